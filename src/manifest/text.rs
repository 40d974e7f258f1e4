//! Reads settings back from a text in memory, so that a patch can prove itself before it is shown.

use super::effective::{Settled, settle};
use super::env_files::Found;
use super::gather::{File, ManifestModel};
use super::settled::settle_all;
use crate::catalog::settings::Component;

/// No file but those that were given: one that must be there was left out, or is not known.
fn not_given(path: &str) -> Found {
    Found::Unread(format!("{path} is not among the files"))
}

/// The model of one file's text under a file name, as if it had been read from a folder.
pub fn model_of_text(name: &str, text: &str) -> ManifestModel {
    let mut model = ManifestModel::default();
    model.files = 1;
    model.add_file(File {
        name,
        node: None,
        text,
    });
    model.finish(None, &not_given);
    model
}

/// What a component would run with, given one file's text: a static pod, a unit, a kubeadm or
/// k3s configuration, a Talos machine configuration, or the component's own file. `None` when the
/// text says nothing about the component, or could not be read.
pub fn effective_of_text(component: Component, name: &str, text: &str) -> Option<Settled> {
    let model = model_of_text(name, text);
    if let Some(unit) = settle_all(&model)
        .into_iter()
        .find(|unit| unit.main().component == Some(component))
    {
        return Some(unit.settled);
    }
    model
        .instances
        .iter()
        .find(|instance| instance.component == Some(component))
        .map(settle)
}

/// The same for several files of one node: a unit with its drop-ins and environment files.
pub fn effective_of_files(component: Component, files: &[(&str, &str)]) -> Option<Settled> {
    let mut model = ManifestModel::default();
    for (name, text) in files {
        model.files += 1;
        model.add_file(File {
            name,
            node: None,
            text,
        });
    }
    model.finish(None, &not_given);
    settle_all(&model)
        .into_iter()
        .find(|unit| unit.main().component == Some(component))
        .map(|unit| unit.settled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::releases::Version;
    use crate::manifest::{Weight, collect};
    use proptest::prelude::*;

    const NAMES: &[&str] = &[
        "manifests/x.yaml",
        "x.json",
        "etc/systemd/system/etcd.service",
        "etc/systemd/system/kubelet.service.d/10-x.conf",
        "etc/rancher/k3s/config.yaml",
        "etc/rancher/rke2/config.yaml.d/5.yaml",
        "etc/default/etcd",
        "var/lib/kubelet/kubeadm-flags.env",
        "config",
        "etcd.yaml.bak",
    ];

    /// etcd's faults of a kind, in a pod of an image, judged by a version that is asked about.
    fn faults(image: &str, more: &str, asked: Option<&str>, kind: &str) -> Vec<(Weight, String)> {
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: etcd}}\nspec:\n  containers:\n  - name: etcd\n    image: {image}\n{more}"
        );
        let mut model = model_of_text("etcd.yaml", &text);
        let asked = asked.and_then(Version::parse);
        model.asked = asked.into_iter().map(|v| (Component::Etcd, v)).collect();
        let units = settle_all(&model);
        units[0]
            .settled
            .faults
            .iter()
            .filter(|fault| fault.kind == kind)
            .map(|fault| (fault.weight, fault.text.clone()))
            .collect()
    }

    #[test]
    fn a_copy_beside_the_drop_ins_of_k3s_sets_nothing() {
        let config = (
            "etc/rancher/k3s/config.yaml",
            "kube-apiserver-arg: [event-ttl=5h]\n",
        );
        let of = |name: &str| {
            let name = format!("etc/rancher/k3s/config.yaml.d/{name}");
            let files = [
                config,
                (name.as_str(), "kube-apiserver-arg: [event-ttl=1h]\n"),
            ];
            let settled = effective_of_files(Component::ApiServer, &files).unwrap();
            settled.settings["event-ttl"].value.clone().unwrap()
        };
        for name in ["2.yaml", "2.yml", "2.YAML"] {
            assert_eq!(of(name), "1h", "{name}");
        }
        for name in [
            "2.yaml.bak",
            "2.yaml~",
            "2.disabled",
            "2.yaml.rpmsave",
            "2.json",
        ] {
            assert_eq!(of(name), "5h", "{name}");
        }
    }

    #[test]
    fn a_flag_and_its_variable_weigh_as_the_version_takes_them() {
        let more = "    command: [etcd, --name=a]\n    env: [{name: ETCD_NAME, value: a}]\n";
        for (tag, weight, says) in [
            (
                "e:3.3.15-0",
                Weight::Note,
                "etcd 3.3.15 leaves the variable `ETCD_NAME` unused",
            ),
            ("e:3.4.0-0", Weight::Stop, "etcd refuses to start"),
            ("e:3.6.1-0", Weight::Stop, "etcd refuses to start"),
            ("e:latest", Weight::Warn, "which version runs is not known"),
        ] {
            let found = faults(tag, more, None, "flag-and-variable");
            assert_eq!(found.len(), 1, "{tag}");
            assert_eq!(found[0].0, weight, "{tag}");
            assert!(found[0].1.contains(says), "{tag}: {}", found[0].1);
        }
        let found = faults("e:3.3.15-0", more, Some("3.5.13"), "flag-and-variable");
        assert_eq!(found[0].0, Weight::Stop);
    }

    #[test]
    fn a_value_that_a_version_took_away_stops_it() {
        let run = |flag: &str, asked| {
            let more = format!("    command: [etcd, --name=a, {flag}]\n");
            faults("e:3.4.23-0", &more, asked, "removed-value")
        };
        let capnslog = "--logger=capnslog";
        assert_eq!(run(capnslog, None), []);
        assert_eq!(run(capnslog, Some("3.4.30")), []);
        let found = run(capnslog, Some("3.5.13"));
        assert_eq!(found[0].0, Weight::Stop);
        assert_eq!(
            found[0].1,
            "etcd 3.5.13 refuses the value `capnslog` of `logger`, which was removed in 3.5"
        );
        assert_eq!(run("--logger=zap", Some("3.6.0")), []);
        assert_eq!(run("--v2-deprecation=not-yet", Some("3.5.13")), []);
        assert_eq!(run("--v2-deprecation=not-yet", Some("3.6.0")).len(), 1);
    }

    /// Text in the manner of the files that are read, broken in all ways.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "apiVersion: v1\n",
            "kind: Pod\n",
            "kind: List\n",
            "kind: ConfigMap\n",
            "kind: ClusterConfiguration\n",
            "apiVersion: kubeadm.k8s.io/v1beta4\n",
            "metadata: {name: etcd}\n",
            "spec:\n",
            "  containers:\n",
            "  - name: etcd\n",
            "    command: [etcd, --name=a, --quota-backend-bytes=",
            "8GiB]\n",
            "- ",
            "{",
            "}",
            "[",
            "]",
            "\t",
            "---\n",
            "...\n",
            "#",
            "'",
            "\"",
            "&a ",
            "*a",
            "<<: *a\n",
            "| \n",
            "machine: {type: x}\n",
            "cluster: {etcd: {extraArgs: {a: b}}}\n",
            "etcd-arg+: [a=b]\n",
            "[Service]\n",
            "ExecStart=/usr/bin/etcd ",
            "Environment=ETCD_NAME=a\n",
            "$X ${Y} \\\n",
            "KUBELET_KUBEADM_ARGS=\"--a --b=c\"\n",
            "data:\n  x: |\n    apiVersion: v1\n",
            "extraArgs: [{name: a, value: 1}]\n",
            "items:\n",
            "--feature-gates=A,B=x",
            "\r\n",
            "\u{feff}",
            "é",
        ]);
        prop::collection::vec(piece, 0..25).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_text_under_any_name(name in prop::sample::select(NAMES), text in pieces()) {
            let model = model_of_text(name, &text);
            let _ = collect(&model);
            for component in Component::ALL {
                let _ = effective_of_text(component, name, &text);
            }
        }

        #[test]
        fn any_bytes_under_any_name(name in prop::sample::select(NAMES), bytes: Vec<u8>) {
            let _ = collect(&model_of_text(name, &String::from_utf8_lossy(&bytes)));
        }

        #[test]
        fn a_secret_is_in_no_output(secret in "[A-Za-z0-9]{12,20}") {
            let texts = [
                ("x.yaml", format!("kind: Pod\nmetadata: {{name: etcd}}\nspec:\n  containers:\n  - name: etcd\n    image: e:3.6.1\n    command: [etcd, --discovery-password={secret}, --discovery-user, 'root:{secret}', '--my-token={secret}']\n    env: [{{name: ETCD_DISCOVERY_PASSWORD, value: {secret}}}, {{name: MY_SECRET, value: {secret}}}]\n")),
                ("x.yaml", format!("kind: Pod\nmetadata: {{name: kube-apiserver}}\nspec:\n  containers:\n  - command: [kube-apiserver, '--etcd-servers=https://u:{secret}@a:1,https://v:{secret}@b:2', --oidc-client-secret={secret}, 'https://w:{secret}@x']\n")),
                ("etc/rancher/k3s/config.yaml", format!("token: {secret}\nagent-token: {secret}\ndatastore-endpoint: 'mysql://u:{secret}@tcp(h:3306)/k'\nkube-apiserver-arg: [some-password={secret}]\n")),
                ("etc/systemd/system/etcd.service", format!("[Service]\nEnvironment=ETCD_DISCOVERY_PASSWORD={secret}\nExecStart=/usr/bin/etcd --api-token {secret}\n")),
                ("etc/systemd/system/k3s.service", format!("[Service]\nExecStart=/usr/local/bin/k3s server --token {secret} --datastore-endpoint postgres://u:{secret}@h/k\n")),
                ("m.yaml", format!("machine: {{type: controlplane, token: {secret}}}\ncluster: {{secret: {secret}, apiServer: {{extraArgs: {{webhook-token: {secret}}}}}}}\n")),
            ];
            for (name, text) in texts {
                let model = model_of_text(name, &text);
                let shown = format!("{model:?} {:?}", collect(&model));
                prop_assert!(!shown.contains(&secret), "{}: {}", name, shown);
            }
        }
    }
}
