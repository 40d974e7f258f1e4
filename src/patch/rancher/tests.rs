//! Configuration of k3s and RKE2, before and after.

use super::*;
use crate::advise::Advice;
use crate::catalog::releases::Version;

const QUOTA: &str = "quota-backend-bytes";

fn advice() -> Advice {
    serde_json::from_value(serde_json::json!({
        "id": QUOTA, "remedy": "etcd", "strength": "recommended", "target": "etcd",
        "setting": QUOTA, "now": null, "proposed": "8589934592", "why": "w", "effect": "e",
        "confidence": "high", "risk": "r", "undo": "u", "verify": "v",
        "disposition": "disruptive", "finding_ids": [], "source": "s",
    }))
    .unwrap()
}

fn emit(rancher: Rancher, files: &[(&str, &str)]) -> PatchSet {
    rancher.emit(&PatchInput {
        advices: &[advice()],
        etcd: Version::parse("3.5.13"),
        nodes: vec![NodeManifests {
            node: String::new(),
            files: files
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect(),
        }],
        ..PatchInput::default()
    })
}

fn unit(exec: &str) -> String {
    format!("[Unit]\nDescription=Kubernetes: server\n[Service]\nExecStart={exec}\n")
}

#[test]
fn a_list_on_the_command_line_is_changed_there() {
    for (rancher, name, exec, after) in [
        (
            K3S,
            "k3s.service",
            "/usr/local/bin/k3s \\\n    server \\\n\t'--etcd-arg=quota-backend-bytes=4294967296' \\\n",
            "/usr/local/bin/k3s server '--etcd-arg=quota-backend-bytes=8589934592'",
        ),
        (
            K3S,
            "k3s.service",
            "/usr/local/bin/k3s server --etcd-arg quota-backend-bytes=1 --tls-san=x",
            "/usr/local/bin/k3s server --etcd-arg quota-backend-bytes=8589934592 --tls-san=x",
        ),
        (
            RKE2,
            "rke2-server.service",
            "/usr/local/bin/rke2 server --etcd-arg=snapshot-count=5000",
            "/usr/local/bin/rke2 server --etcd-arg=snapshot-count=5000 '--etcd-arg=quota-backend-bytes=8589934592'",
        ),
    ] {
        let unit = unit(exec);
        // What the files say is of no effect, be it there or not.
        for config in [
            "cluster-init: true\n",
            "etcd-arg: [quota-backend-bytes=2]\n",
        ] {
            let set = emit(rancher, &[("config.yaml", config), (name, &unit)]);
            assert_eq!(set.shown, [], "{exec}");
            let path = format!("{name}.d/90-etcd-doctor.conf");
            let file = set.file(&path).unwrap();
            assert!(
                file.content
                    .ends_with(&format!("ExecStart=\nExecStart={after}\n")),
                "{}",
                file.content
            );
            let paths: Vec<&str> = set.files.iter().map(|file| file.path.as_str()).collect();
            assert_eq!(paths, ["STEPS.md", &path, &format!("diffs/{path}.diff")]);
            let steps = &set.files[0].content;
            assert!(
                steps.contains(&format!("0644 {path} /etc/systemd/system/{path}")),
                "{steps}"
            );
            assert!(!steps.contains("config.yaml.d"), "{steps}");
            // The same again changes nothing.
            let again = emit(
                rancher,
                &[
                    ("config.yaml", config),
                    (name, &unit),
                    (&path, &file.content),
                ],
            );
            assert!(
                again.files.is_empty() && again.shown.is_empty(),
                "{again:?}"
            );
            assert_eq!(again.already.len(), 1);
        }
    }
}

#[test]
fn a_command_line_without_the_list_leaves_the_files_in_force() {
    let unit = unit("/usr/local/bin/k3s server --kube-apiserver-arg=v=2");
    let set = emit(
        K3S,
        &[
            ("config.yaml", "cluster-init: true\n"),
            ("k3s.service", &unit),
        ],
    );
    assert_eq!(set.shown, []);
    assert!(set.file("config.yaml.d/90-etcd-doctor.yaml").is_some());
    assert!(
        !set.files[0].content.contains("systemctl cat"),
        "{}",
        set.files[0].content
    );
    // Without the unit nobody knows.
    let set = emit(K3S, &[("config.yaml", "cluster-init: true\n")]);
    assert!(
        set.files[0].content.contains("`systemctl cat k3s`"),
        "{}",
        set.files[0].content
    );
}

#[test]
fn a_command_line_that_cannot_be_read_is_refused_in_words() {
    for (exec, why) in [
        (
            "/bin/sh -c 'exec k3s server $OPTS'",
            "through another program",
        ),
        ("/usr/local/bin/k3s server $OPTS", "from variables"),
        ("/usr/local/bin/k3s server '--etcd-arg=a=b", "never closed"),
    ] {
        let unit = unit(exec);
        let set = emit(
            K3S,
            &[
                ("config.yaml", "cluster-init: true\n"),
                ("k3s.service", &unit),
            ],
        );
        assert!(set.files.is_empty(), "{exec}");
        assert!(set.shown[0].why.contains(why), "{:?}", set.shown);
    }
}

#[test]
fn two_servers_without_a_name_lose_no_file() {
    let node = |text: &str| NodeManifests {
        node: String::new(),
        files: vec![("config.yaml".to_owned(), text.to_owned())],
    };
    let set = K3S.emit(&PatchInput {
        advices: &[advice()],
        etcd: Version::parse("3.5.13"),
        nodes: vec![
            node("etcd-arg: [quota-backend-bytes=1]\n"),
            node("etcd-arg: [quota-backend-bytes=2]\n"),
        ],
        ..PatchInput::default()
    });
    assert!(set.file("config/node-1/config.yaml").is_some(), "{set:?}");
    assert!(set.file("config/node-2/config.yaml").is_some(), "{set:?}");
}
