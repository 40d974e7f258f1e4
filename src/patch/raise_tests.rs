//! Every emitter over two places, one below and one above what an advice raises to: the first is
//! raised, the second stays, and `STEPS.md` says so.

use crate::advise::Advice;
use crate::catalog::releases::Version;

use super::model::{NodeManifests, PatchInput, PatchSet};

fn advice(id: &str, target: &str, setting: &str, (now, proposed): (&str, &str)) -> Advice {
    serde_json::from_value(serde_json::json!({
        "id": id, "remedy": "etcd", "strength": "recommended", "target": target,
        "setting": setting, "now": now, "proposed": proposed, "why": "w", "effect": "e",
        "confidence": "high", "risk": "r", "undo": "u", "verify": "v",
        "disposition": "disruptive", "finding_ids": [], "source": "s",
        "details": { "kind": "Deployment", "namespace": "n", "workload": "w", "container": "c",
            "means": "flag", "helm": setting },
    }))
    .unwrap()
}

fn emit(target: &str, advices: &[Advice], nodes: &[(&str, &str, String)]) -> PatchSet {
    let input = PatchInput {
        advices,
        kubernetes: Version::parse("1.31.2"),
        etcd: Version::parse("3.5.16"),
        nodes: nodes
            .iter()
            .map(|(node, file, text)| NodeManifests {
                node: (*node).to_owned(),
                files: vec![((*file).to_owned(), text.clone())],
            })
            .collect(),
        ..PatchInput::default()
    };
    super::emit(target, &input).unwrap()
}

fn pod(flags: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: etcd\nspec:\n  containers:\n  - command:\n    - etcd\n{flags}    image: registry.k8s.io/etcd:3.5.16-0\n    name: etcd\n"
    )
}

const LOW: &str = "67108864";
const ADVISED: &str = "2147483648";
const HIGH: &str = "6442450944";

fn of(target: &str, value: &str) -> (&'static str, String) {
    match target {
        "kubeadm" => (
            "etcd.yaml",
            pod(&format!("    - --quota-backend-bytes={value}\n")),
        ),
        "k3s" | "rke2" => (
            "config.yaml",
            format!("etcd-arg:\n- quota-backend-bytes={value}\n"),
        ),
        "talos" => (
            "controlplane.yaml",
            format!(
                "machine:\n  type: controlplane\ncluster:\n  etcd:\n    extraArgs:\n      quota-backend-bytes: \"{value}\"\n"
            ),
        ),
        _ => (
            "etcd.service",
            format!("[Service]\nExecStart=/usr/bin/etcd --name=a --quota-backend-bytes={value}\n"),
        ),
    }
}

#[test]
fn the_file_that_has_more_is_left_alone_and_said_to_be() {
    let advices = [advice("q", "etcd", "quota-backend-bytes", (LOW, ADVISED))];
    for target in ["kubeadm", "k3s", "rke2", "talos", "systemd"] {
        let node = |name: &'static str, value: &str| {
            let (file, text) = of(target, value);
            (name, file, text)
        };
        let set = emit(target, &advices, &[node("s1", LOW), node("s2", HIGH)]);
        let written = |text: &str| {
            set.files
                .iter()
                .filter(|file| file.path != "STEPS.md" && !file.path.ends_with(".diff"))
                .any(|file| file.content.contains(text))
        };
        assert!(written(ADVISED), "{target}: {set:?}");
        let of_second = |file: &&super::model::PatchFile| {
            file.path.contains("s2") && !file.path.starts_with("kubeadm/")
        };
        assert!(
            !set.files.iter().any(|file| of_second(&file)),
            "{target}: {set:?}"
        );
        assert!(
            set.file("talos-patch.yaml").is_none(),
            "one for all would lower s2"
        );
        let steps = &set.file("STEPS.md").unwrap().content;
        assert!(
            steps.contains(&format!("`{LOW}`, becomes `{ADVISED}`")),
            "{target}: {steps}"
        );
        assert!(
            steps.contains(&format!("`{HIGH}`, which is more, left as it is")),
            "{target}: {steps}"
        );
        assert!(set.already.iter().any(|one| one.contains("s2")), "{target}");
        // Where all have as much, nothing is written.
        let set = emit(target, &advices, &[node("s1", ADVISED), node("s2", HIGH)]);
        assert!(
            set.files.is_empty() && set.already.len() == 2,
            "{target}: {set:?}"
        );
        // A value that is lowered on purpose is lowered everywhere.
        let lower = [advice("q", "etcd", "quota-backend-bytes", (HIGH, ADVISED))];
        let set = emit(
            target,
            &lower,
            &[node("s1", HIGH), node("s2", "9000000000")],
        );
        assert!(
            set.already.is_empty() && !set.files.is_empty(),
            "{target}: {set:?}"
        );
    }
}

#[test]
fn component_files_values_and_deployments_keep_more_too() {
    let qps = |id: &str, target: &str, setting: &str| [advice(id, target, setting, ("5", "20"))];
    let kubelet = |value: &str| format!("kind: KubeletConfiguration\nkubeAPIQPS: {value}\n");
    let set = emit(
        "kubelet-config",
        &qps("k", "kubelet", "kube-api-qps"),
        &[
            ("n1", "kubelet.yaml", kubelet("5")),
            ("n2", "kubelet.yaml", kubelet("100")),
        ],
    );
    assert!(set.file("n1/kubelet.yaml").is_some(), "{set:?}");
    assert!(set.file("n2/kubelet.yaml").is_none(), "{set:?}");
    let helm = |own: &str| {
        let text = format!("operator:\n  qps: {own}\n");
        emit(
            "helm",
            &qps("h", "w", "operator.qps"),
            &[("", "values.yaml", text)],
        )
    };
    assert!(!helm("5").files.is_empty());
    assert!(helm("100").files.is_empty());
    assert!(helm("-1").files.is_empty(), "no limit at all");
    let deployment = |own: &str| {
        let text = format!(
            "kind: Deployment\nmetadata:\n  name: w\n  namespace: n\nspec:\n  template:\n    spec:\n      containers:\n      - name: c\n        args: [\"--kube-api-qps={own}\"]\n"
        );
        emit(
            "json-patch",
            &qps("j", "w", "kube-api-qps"),
            &[("", "d.yaml", text)],
        )
    };
    assert!(!deployment("5").files.is_empty());
    assert!(deployment("100").files.is_empty());
}

#[test]
fn cluster_configuration_keeps_more_too() {
    let text = "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\ncontrollerManager:\n  extraArgs:\n    kube-api-qps: \"200\"\n";
    let advices = [advice(
        "k",
        "kube-controller-manager",
        "kube-api-qps",
        ("5", "20"),
    )];
    let with = |text: &str| {
        let input = PatchInput {
            advices: &advices,
            cluster_configuration: Some(text.to_owned()),
            kubernetes: Version::parse("1.31.2"),
            ..PatchInput::default()
        };
        super::emit("kubeadm", &input).unwrap()
    };
    let file = "kubeadm/ClusterConfiguration.yaml";
    assert!(with(text).file(file).is_none());
    let low = with(&text.replace("200", "5"));
    assert!(
        low.file(file).unwrap().content.contains("\"20\""),
        "{low:?}"
    );
}

/// What a file of etcd's own says is not known, and no default is taken for it.
#[test]
fn a_pod_that_reads_a_file_is_not_said_to_have_the_default() {
    let quota = [advice("q", "etcd", "quota-backend-bytes", (LOW, ADVISED))];
    let with = |flags: &str| emit("kubeadm", &quota, &[("", "etcd.yaml", pod(flags))]);
    let file = with("    - --config-file=/etc/etcd/etcd.conf.yml\n");
    assert!(
        file.already.is_empty() && !file.shown.is_empty(),
        "{file:?}"
    );
    let plain = with("    - --name=a\n");
    assert!(plain.already[0].contains("by default"), "{plain:?}");
}

/// One of two limits stands behind an alias of YAML, and cannot be changed alone.
#[test]
fn of_two_that_go_together_none_is_written_alone() {
    let pair = [
        advice("r", "kube-apiserver", "max-requests-inflight", ("8", "400")),
        advice(
            "m",
            "kube-apiserver",
            "max-mutating-requests-inflight",
            ("4", "200"),
        ),
        advice("e", "kube-apiserver", "event-ttl", ("1h", "30m")),
    ];
    let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  annotations:\n    x: &x \"--max-requests-inflight=8\"\nspec:\n  containers:\n  - command:\n    - kube-apiserver\n    - *x\n    - --max-mutating-requests-inflight=4\n    image: registry.k8s.io/kube-apiserver:v1.31.2\n    name: kube-apiserver\n";
    let set = emit(
        "kubeadm",
        &pair,
        &[("", "kube-apiserver.yaml", pod.to_owned())],
    );
    let why = |id: &str| {
        set.shown
            .iter()
            .find(|one| one.advice == id)
            .map(|one| &one.why)
    };
    assert!(why("r").is_some(), "{set:?}");
    assert!(
        why("m")
            .unwrap()
            .contains("goes with max-requests-inflight"),
        "{set:?}"
    );
    let text = &set.file("manifests/kube-apiserver.yaml").unwrap().content;
    assert!(
        text.contains("inflight=4\n") && text.contains("--event-ttl=30m"),
        "{text}"
    );
    let plain = pod.replace("*x", "--max-requests-inflight=8");
    let set = emit("kubeadm", &pair, &[("", "kube-apiserver.yaml", plain)]);
    let text = &set.file("manifests/kube-apiserver.yaml").unwrap().content;
    assert!(text.contains("mutating-requests-inflight=200"), "{text}");
    let odd = [
        advice(
            "r",
            "kube-apiserver",
            "max-requests-inflight",
            ("8", "some more"),
        ),
        pair[1].clone(),
    ];
    for target in ["rke2", "talos"] {
        let set = emit(target, &odd, &[]);
        assert!(set.files.is_empty(), "{target}: {set:?}");
        assert!(
            set.shown.iter().any(|one| one.advice == "m"),
            "{target}: {set:?}"
        );
    }
}
