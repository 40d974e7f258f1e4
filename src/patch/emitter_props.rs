//! Properties of edits over manifests and units as people write them: any order of flags, joined or
//! in two elements, quoted or plain, split between command and args, with comments.

use proptest::prelude::*;

use crate::advise::Advice;
use crate::catalog::releases::Version;

use super::model::{Emitter, NodeManifests, PatchInput, PatchSet};
use super::pod::Pod;
use super::yaml::quoted;
use super::{K3S, Kubeadm, Systemd};

/// How one flag is written.
#[derive(Clone, Debug)]
struct Written {
    name: &'static str,
    value: &'static str,
    joined: bool,
    quote: u8,
    comment: bool,
}

const FLAGS: &[(&str, &str)] = &[
    ("allocate-node-cidrs", "true"),
    ("bind-address", "127.0.0.1"),
    ("cluster-cidr", "10.244.0.0/16"),
    ("controllers", "*,bootstrapsigner,tokencleaner"),
    ("feature-gates", "A=true,B=false"),
    ("kube-api-burst", "30"),
    ("kube-api-qps", "20"),
    ("kubeconfig", "/etc/kubernetes/controller-manager.conf"),
    ("node-monitor-grace-period", "40s"),
    (
        "requestheader-client-ca-file",
        "/etc/kubernetes/pki/front-proxy-ca.crt",
    ),
    ("v", "2"),
];

fn written() -> impl Strategy<Value = Vec<Written>> {
    let names = prop::sample::subsequence((0..FLAGS.len()).collect::<Vec<_>>(), 1..FLAGS.len())
        .prop_shuffle();
    (
        names,
        prop::collection::vec((any::<bool>(), 0u8..3, any::<bool>()), FLAGS.len()),
    )
        .prop_map(|(names, how)| {
            names
                .into_iter()
                .zip(how)
                .map(|(n, (joined, quote, comment))| Written {
                    name: FLAGS[n].0,
                    value: FLAGS[n].1,
                    joined,
                    quote,
                    comment,
                })
                .collect()
        })
}

fn element(text: &str, quote: u8) -> String {
    match quote {
        0 if !text.starts_with(['*', '&']) => text.to_owned(),
        1 => format!("'{text}'"),
        _ => quoted(text),
    }
}

/// A static pod: the first `split` flags under `command`, the rest under `args`.
fn pod(flags: &[Written], split: usize, indent: usize) -> String {
    let lead = " ".repeat(indent);
    let lines = |flags: &[Written]| -> String {
        flags
            .iter()
            .map(|flag| {
                let comment = if flag.comment { " # ours" } else { "" };
                if flag.joined {
                    let text = format!("--{}={}", flag.name, flag.value);
                    format!("{lead}- {}{comment}\n", element(&text, flag.quote))
                } else {
                    // A number or a truth value would be no string without quotes.
                    format!(
                        "{lead}- --{}\n{lead}- {}{comment}\n",
                        flag.name,
                        element(flag.value, 2)
                    )
                }
            })
            .collect()
    };
    let (command, args) = flags.split_at(split.min(flags.len()));
    let args = if args.is_empty() {
        String::new()
    } else {
        format!("    args:\n{}", lines(args))
    };
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-controller-manager\nspec:\n  containers:\n  - command:\n{lead}- kube-controller-manager\n{}{args}    image: registry.k8s.io/kube-controller-manager:v1.31.2\n    name: kube-controller-manager\n",
        lines(command)
    )
}

fn advice(target: &str, setting: &str, proposed: &str) -> Advice {
    serde_json::from_value(serde_json::json!({
        "id": setting, "remedy": "etcd", "strength": "recommended", "target": target,
        "setting": setting, "now": null, "proposed": proposed, "why": "w", "effect": "e",
        "confidence": "high", "risk": "r", "undo": "u", "verify": "v",
        "disposition": "disruptive", "finding_ids": [], "source": "s",
    }))
    .unwrap()
}

fn emit(emitter: &dyn Emitter, files: &[(String, String)], advices: &[Advice]) -> PatchSet {
    emitter.emit(&PatchInput {
        advices,
        kubernetes: Version::parse("1.31.2"),
        etcd: Version::parse("3.5.16"),
        nodes: vec![NodeManifests {
            node: String::new(),
            files: files.to_vec(),
        }],
        ..PatchInput::default()
    })
}

proptest! {
    /// A flag is set in any manifest, nothing else changes, twice is once, and the way back leads
    /// back to the very text.
    #[test]
    fn any_manifest_takes_a_flag_and_gives_it_back(
        flags in written(),
        split in 0usize..12,
        wide in any::<bool>(),
        crlf in any::<bool>(),
        which in 0usize..11,
    ) {
        let text = pod(&flags, split, if wide { 6 } else { 4 });
        let text = if crlf { text.replace('\n', "\r\n") } else { text };
        let before = Pod::parse(&text, "kube-controller-manager").unwrap();
        let (name, _) = FLAGS[which];
        let old = before.flag(name);
        let mut edited = before.clone();
        edited.set_flag(name, "77s").unwrap();
        let mut wanted = before.effective();
        wanted.insert(name.to_owned(), "77s".to_owned());
        prop_assert_eq!(edited.effective(), wanted);
        let mut twice = Pod::parse(edited.text(), "kube-controller-manager").unwrap();
        prop_assert_eq!(twice.effective(), edited.effective());
        twice.set_flag(name, "77s").unwrap();
        prop_assert_eq!(twice.text(), edited.text());
        prop_assert_eq!(
            edited.text().matches("# ours").count(),
            text.matches("# ours").count()
        );
        if crlf {
            prop_assert!(!edited.text().replace("\r\n", "").contains('\n'));
        }
        match old {
            Some(old) => edited.set_flag(name, &old).unwrap(),
            None => edited.remove_flag(name).unwrap(),
        }
        prop_assert_eq!(edited.effective(), before.effective());
        if before.flag(name).is_none() {
            prop_assert_eq!(edited.text(), text);
        }
    }

    /// The same through the whole emitter: what it writes, it leaves alone the next time.
    #[test]
    fn kubeadm_leaves_its_own_output_alone(flags in written(), split in 0usize..12) {
        let all = [
            advice("kube-controller-manager", "kube-api-qps", "100"),
            advice("kube-controller-manager", "concurrent-gc-syncs", "40"),
        ];
        let name = "kube-controller-manager.yaml".to_owned();
        let first = emit(&Kubeadm, &[(name.clone(), pod(&flags, split, 4))], &all);
        prop_assert_eq!(&first.shown, &[]);
        let text = first.file(&format!("manifests/{name}")).unwrap().content.clone();
        let again = emit(&Kubeadm, &[(name, text)], &all);
        prop_assert!(again.files.is_empty(), "{:?}", again.files);
        prop_assert_eq!(again.already.len(), 2);
    }

    /// A unit with its flags in any form: set, proven, and left alone the next time.
    #[test]
    fn systemd_leaves_its_own_output_alone(
        own in prop::sample::subsequence(vec![
            "--name=a", "--name a", "-data-dir /var/lib/etcd", "--heartbeat-interval=100",
            "--heartbeat-interval 100", "--quota-backend-bytes \"4294967296\"",
            "--initial-cluster 'a=http://10.0.0.1:2380'", "--enable-v2", "\\\n  --logger=zap",
        ], 0..9).prop_shuffle(),
        variables in any::<bool>(),
        wrapper in prop::sample::select(vec!["", "/usr/bin/nice -n -10 ", "/usr/bin/ionice -c2 -n0 "]),
    ) {
        // A flag twice is etcd's business; names twice are none of ours.
        let names: Vec<&str> = own
            .iter()
            .map(|flag| flag.trim_start_matches(['\\', '\n', ' ', '-']))
            .map(|flag| flag.split(['=', ' ']).next().unwrap())
            .collect();
        let mut once = names.clone();
        once.sort_unstable();
        once.dedup();
        prop_assume!(once.len() == names.len());
        let env = if variables { "Environment=ETCD_SNAPSHOT_COUNT=9999\n" } else { "" };
        let unit = format!("[Service]\n{env}ExecStart={wrapper}/usr/bin/etcd {}\n", own.join(" "));
        let all = [
            advice("etcd", "quota-backend-bytes", "8589934592"),
            advice("etcd", "heartbeat-interval", "250"),
            advice("etcd", "snapshot-count", "10000"),
        ];
        let files = vec![("etcd.service".to_owned(), unit)];
        let first = emit(&Systemd, &files, &all);
        prop_assert_eq!(&first.shown, &[]);
        let mut after = files;
        for file in first.files.iter().filter(|file| file.path.ends_with(".conf")) {
            after.push((file.path.clone(), file.content.clone()));
        }
        let again = emit(&Systemd, &after, &all);
        prop_assert!(again.files.is_empty(), "{:?}", again.files);
        prop_assert_eq!(again.already.len(), 3);
    }

    /// The lists of k3s in any form.
    #[test]
    fn k3s_leaves_its_own_output_alone(
        flow in any::<bool>(),
        quote in any::<bool>(),
        appended in any::<bool>(),
        has in any::<bool>(),
    ) {
        let flag = |text: &str| if quote { quoted(text) } else { text.to_owned() };
        let list: Vec<String> = ["v=2", "kube-api-qps=20"]
            .iter()
            .take(if has { 2 } else { 1 })
            .map(|text| flag(text))
            .collect();
        let plus = if appended { "+" } else { "" };
        let body = if flow {
            format!(" [{}]\n", list.join(", "))
        } else {
            format!("\n{}", list.iter().map(|text| format!("- {text} # x\n")).collect::<String>())
        };
        let config = format!("token: x\nkube-controller-manager-arg{plus}:{body}");
        let all = [advice("kube-controller-manager", "kube-api-qps", "100")];
        let files = vec![("config.yaml".to_owned(), config)];
        let first = emit(&K3S, &files, &all);
        prop_assert_eq!(&first.shown, &[]);
        let mut after = Vec::new();
        match first.file("config/config.yaml") {
            Some(file) => after.push(("config.yaml".to_owned(), file.content.clone())),
            None => after.extend(files),
        }
        let drop_in = "config.yaml.d/90-etcd-doctor.yaml";
        after.extend(first.file(drop_in).map(|file| (drop_in.to_owned(), file.content.clone())));
        let again = emit(&K3S, &after, &all);
        prop_assert!(again.files.is_empty(), "{:?}", again.files);
    }
}
