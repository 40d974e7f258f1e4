//! Files that people and tools left in a bad state, for every target that edits files: edited with
//! all the rest kept, or refused with line and column. Never half, never silently.
#![expect(clippy::unwrap_used, reason = "a test over files it made itself")]

#[path = "support/patching.rs"]
mod patching;
mod support;

use std::collections::BTreeMap;
use std::fs;

use patching::{tree, write_tree};
use serde_json::{Value, json};
use support::doctor;

/// A target with a whole file of its kind.
struct Kind {
    target: &'static str,
    file: &'static str,
    text: &'static str,
    advice: (&'static str, &'static str, &'static str),
    details: &'static str,
    /// What the result must hold.
    holds: &'static str,
    /// Whether the edited file itself is written, or a patch to lay over it.
    edits: bool,
    more: &'static [&'static str],
}

const KINDS: &[Kind] = &[
    Kind {
        target: "kubeadm",
        file: "kube-controller-manager.yaml",
        text: "apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-controller-manager\n  namespace: kube-system\nspec:\n  containers:\n  - command:\n    - kube-controller-manager\n    - --bind-address=127.0.0.1 # ours\n    - --kube-api-qps=20\n    image: registry.k8s.io/kube-controller-manager:v1.31.2\n    name: kube-controller-manager\n",
        advice: ("kube-controller-manager", "kube-api-qps", "100"),
        details: "{}",
        holds: "--kube-api-qps=100",
        edits: true,
        more: &[],
    },
    Kind {
        target: "rke2",
        file: "config.yaml",
        text: "# ours\ntoken: x\ntls-san:\n- rke.example.test\nkube-controller-manager-arg:\n- \"kube-api-qps=20\" # low\n- v=2\n",
        advice: ("kube-controller-manager", "kube-api-qps", "100"),
        details: "{}",
        holds: "kube-api-qps=100",
        edits: true,
        more: &[],
    },
    Kind {
        target: "talos",
        file: "controlplane.yaml",
        text: "version: v1alpha1\nmachine:\n  type: controlplane # ours\ncluster:\n  controllerManager:\n    image: registry.k8s.io/kube-controller-manager:v1.33.1\n    extraArgs:\n      kube-api-qps: \"20\"\n",
        advice: ("kube-controller-manager", "kube-api-qps", "100"),
        details: "{}",
        holds: "kube-api-qps: \"100\"",
        edits: false,
        more: &[],
    },
    Kind {
        target: "json-patch",
        file: "deployment.yaml",
        text: "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: capi-controller-manager\n  namespace: capi-system\nspec:\n  template:\n    spec:\n      containers:\n      - name: manager\n        args:\n        - --leader-elect # ours\n        - --kube-api-qps=20\n",
        advice: ("capi-controller-manager", "kube-api-qps", "100"),
        details: "{\"kind\":\"Deployment\",\"namespace\":\"capi-system\",\"workload\":\"capi-controller-manager\",\"container\":\"manager\",\"means\":\"flag\"}",
        holds: "--kube-api-qps=100",
        edits: false,
        more: &[],
    },
    Kind {
        target: "helm",
        file: "values.yaml",
        text: "# ours\nfunctions:\n  imagePullPolicy: Always\noperator:\n  create: true\n  kubeClientQPS: 20\n",
        advice: ("openfaas", "operator.kubeClientQPS", "100"),
        details: "{\"helm\":\"operator.kubeClientQPS\",\"controller\":\"openfaas-operator\"}",
        holds: "kubeClientQPS: 100",
        edits: false,
        more: &[],
    },
    Kind {
        target: "scheduler-config",
        file: "scheduler.yaml",
        text: "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nclientConnection:\n  kubeconfig: /etc/kubernetes/scheduler.conf # ours\n  qps: 50\n",
        advice: ("kube-scheduler", "kube-api-qps", "100"),
        details: "{}",
        holds: "qps: 100",
        edits: true,
        more: &[],
    },
    Kind {
        target: "kubelet-config",
        file: "kubelet.yaml",
        text: "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nclusterDNS: # ours\n- 10.96.0.10\nkubeAPIQPS: 5\n",
        advice: ("kubelet", "kube-api-qps", "50"),
        details: "{}",
        holds: "kubeAPIQPS: 50",
        edits: true,
        more: &[],
    },
];

struct Outcome {
    told: Value,
    files: BTreeMap<String, String>,
}

impl Outcome {
    /// The file or patch with the advised value.
    fn written(&self, kind: &Kind) -> Option<&str> {
        self.files
            .iter()
            .filter(|(name, _)| !name.ends_with(".diff") && name.as_str() != "STEPS.md")
            .find(|(_, text)| text.contains(kind.holds))
            .map(|(_, text)| text.as_str())
    }

    fn why(&self) -> String {
        let all: Vec<&str> = self.told["shown"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["why"].as_str().unwrap())
            .collect();
        all.join("\n")
    }
}

fn run(kind: &Kind, bytes: &[u8]) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let (target, setting, proposed) = kind.advice;
    let advice = json!([{
        "id": "a", "remedy": "client-limits", "strength": "recommended", "target": target,
        "setting": setting, "now": null, "proposed": proposed, "why": "w", "effect": "e",
        "confidence": "high", "risk": "r", "undo": "u", "verify": "v",
        "disposition": "disruptive", "finding_ids": [], "source": "s",
        "details": serde_json::from_str::<Value>(kind.details).unwrap(),
    }]);
    write_tree(dir.path(), [("report.json", advice.to_string().as_str())]);
    fs::create_dir_all(dir.path().join("in")).unwrap();
    fs::write(dir.path().join("in").join(kind.file), bytes).unwrap();
    let told = doctor(&[
        "patch",
        "--format",
        "json",
        "--target",
        kind.target,
        "--report",
    ])
    .path(dir.path().join("report.json"))
    .arg("--manifests")
    .path(dir.path().join("in"))
    .arg("--out")
    .path(dir.path().join("out"))
    .args(kind.more)
    .json();
    let out = dir.path().join("out");
    let files = match out.exists() {
        true => tree(&out),
        false => BTreeMap::new(),
    };
    Outcome { told, files }
}

/// The first line whose text begins with blanks, and a text in which its blanks are a tab.
fn with_tab(text: &str) -> (usize, String) {
    let at = text
        .lines()
        .position(|line| line.starts_with(' '))
        .unwrap_or(0);
    let lines: Vec<String> = text
        .lines()
        .enumerate()
        .map(|(n, line)| match n == at {
            true if line.starts_with(' ') => format!("\t{}", line.trim_start()),
            true => format!("\t{line}"),
            false => line.to_owned(),
        })
        .collect();
    (at + 1, format!("{}\n", lines.join("\n")))
}

#[test]
fn tabs_templates_and_twins_are_refused_with_line_and_column() {
    for kind in KINDS {
        let (line, tab) = with_tab(kind.text);
        let last = kind.text.lines().count();
        let template = format!("{}extra: {{{{ .Values.x }}}}\n", kind.text);
        let twin = format!("{}extra: 1\nextra: 2\n", kind.text);
        for (what, text, place) in [
            ("tab", tab, format!("line {line}, column 1:")),
            (
                "template",
                template,
                format!("line {}, column 8:", last + 1),
            ),
            ("twin", twin, format!("line {}, column 1:", last + 2)),
        ] {
            let outcome = run(kind, text.as_bytes());
            let why = outcome.why();
            assert!(why.contains(&place), "{} {what}: {why}", kind.target);
            if kind.edits {
                assert_eq!(outcome.told["files"], json!([]), "{} {what}", kind.target);
            }
        }
    }
}

#[test]
fn torn_and_strange_files_never_break_a_run() {
    for kind in KINDS {
        let cut = kind.text.len() * 2 / 3;
        let long = format!("{}# {}\n", kind.text, "x".repeat(1 << 20));
        for (what, bytes) in [
            ("empty", Vec::new()),
            ("blank", b"\n\n".to_vec()),
            ("comments", b"# nothing\n---\n# more\n".to_vec()),
            ("torn", kind.text.as_bytes()[..cut].to_vec()),
            ("binary", vec![0, 159, 146, 150, 10, 0, 255]),
            ("long", long.into_bytes()),
            ("list", b"- a\n- b\n".to_vec()),
            ("deep", "[".repeat(5000).into_bytes()),
        ] {
            let outcome = run(kind, &bytes);
            // An empty file of k3s says nothing, and a drop-in does.
            let quiet = kind.target != "rke2" || matches!(what, "binary" | "deep" | "long");
            if kind.edits && quiet && what != "torn" {
                assert!(outcome.written(kind).is_none(), "{} {what}", kind.target);
            }
        }
    }
}

#[test]
fn what_is_legal_is_kept() {
    for kind in KINDS {
        let other =
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\ndata: {x: \"${HOME}\"}\n";
        let anchors = "x-ours: &all {a: 1}\nx-more: *all\n";
        let variable = "x-image: ${REGISTRY}/image:$TAG\n";
        let crlf = kind.text.replace('\n', "\r\n");
        let bom = format!("\u{feff}{}", kind.text);
        let mut all = vec![
            ("plain", kind.text.to_owned()),
            ("crlf", crlf),
            ("bom", bom),
            ("anchors", format!("{}{anchors}", kind.text)),
            ("variable", format!("{}{variable}", kind.text)),
            ("marks", format!("---\n{}", kind.text)),
            ("no end of line", kind.text.trim_end().to_owned()),
        ];
        // A configuration of k3s is one document.
        if kind.target != "rke2" {
            all.push(("documents", format!("{}---\n{other}", kind.text)));
            all.push(("after another", format!("{other}---\n{}", kind.text)));
        }
        for (what, text) in all {
            let outcome = run(kind, text.as_bytes());
            let Some(after) = outcome.written(kind) else {
                panic!(
                    "{} {what}: {}\n{:?}",
                    kind.target,
                    outcome.why(),
                    outcome.files.keys()
                );
            };
            if !kind.edits {
                continue;
            }
            // One line changed, all others are as they were, with their ends.
            let old: Vec<&str> = text.split_inclusive('\n').collect();
            let new: Vec<&str> = after.split_inclusive('\n').collect();
            assert_eq!(old.len(), new.len(), "{} {what}:\n{after}", kind.target);
            let differ = old.iter().zip(&new).filter(|(a, b)| a != b).count();
            assert_eq!(differ, 1, "{} {what}:\n{after}", kind.target);
            assert_eq!(
                text.matches("\r\n").count(),
                after.matches("\r\n").count(),
                "{} {what}",
                kind.target
            );
        }
    }
}

/// Links are followed within the folder; one that leads out of it names a file that is there.
#[test]
fn a_manifest_that_is_a_link_out_of_the_folder_is_told_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let kind = &KINDS[0];
    write_tree(
        dir.path(),
        [("elsewhere.yaml", kind.text), ("report.json", "[]")],
    );
    fs::create_dir_all(dir.path().join("in")).unwrap();
    let link = dir.path().join("in").join(kind.file);
    std::os::unix::fs::symlink(dir.path().join("elsewhere.yaml"), link).unwrap();
    let output = doctor(&["patch", "--target", kind.target, "--report"])
        .path(dir.path().join("report.json"))
        .arg("--manifests")
        .path(dir.path().join("in"))
        .arg("--out")
        .path(dir.path().join("out"))
        .output();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("it is a link to"), "{said}");
    assert!(
        said.contains("give the folder that holds the file"),
        "{said}"
    );
}

#[test]
fn a_list_that_is_an_alias_is_refused_with_its_place() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-controller-manager}\nx-flags: &flags\n- kube-controller-manager\n- --kube-api-qps=20\nspec:\n  containers:\n  - name: kube-controller-manager\n    image: registry.k8s.io/kube-controller-manager:v1.31.2\n    command: *flags\n";
    let outcome = run(&KINDS[0], pod.as_bytes());
    assert_eq!(outcome.told["files"], json!([]));
    assert!(
        outcome.why().contains("line 11, column 5:"),
        "{}",
        outcome.why()
    );
    let config = "token: x\nx-own: &own [kube-api-qps=20]\nkube-controller-manager-arg: *own\nkube-scheduler-arg: *own\n";
    let outcome = run(&KINDS[1], config.as_bytes());
    assert!(
        outcome.written(&KINDS[1]).is_none(),
        "the scheduler has the same list"
    );
    assert!(
        outcome.why().contains("line 2, column 14:"),
        "{}",
        outcome.why()
    );
}
