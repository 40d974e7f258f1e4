//! Settings of whole nodes, one invented tree a distribution: what is in force, from where, and
//! which faults are told.

use std::path::{Path, PathBuf};

use etcd_doctor::catalog::settings::Component;
use etcd_doctor::evidence::{EvidenceSet, Reading, Row, Shape, Subject, SubjectKind, Table, keys};
use etcd_doctor::manifest::{self, DatastoreKind, Distro, ManifestModel};
use etcd_doctor::target::HostRoot;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/manifests")
        .join(name)
}

fn model(name: &str) -> ManifestModel {
    let root = HostRoot::new(folder(name));
    if root.exists("/manifests") {
        manifest::read_bundle(&root)
    } else {
        manifest::read_host(&root)
    }
}

fn table(
    set: &EvidenceSet,
    key: &etcd_doctor::evidence::Key<Table>,
    component: &str,
    node: &str,
) -> Table {
    let subject = Subject::new(SubjectKind::Component, component).on(node);
    match &set
        .record(key, &subject)
        .unwrap_or_else(|| panic!("no {} of {subject}", key.name()))
        .value
    {
        Reading::Known(Shape::Table(table)) => table.clone(),
        other => panic!("{other:?}"),
    }
}

/// `(value, source, where)` of a setting.
fn setting(name: &str, component: &str, node: &str, setting: &str) -> (String, String, String) {
    let set = manifest::collect(&model(name));
    let table = table(&set, &keys::SETTINGS, component, node);
    let row: &Row = table.row(setting).unwrap_or_else(|| panic!("no {setting}"));
    let text = |column| row.get_text(column).unwrap_or("").to_owned();
    (text("value"), text("source"), text("where"))
}

fn faults(name: &str, component: &str, node: &str) -> Vec<String> {
    let set = manifest::collect(&model(name));
    table(&set, &keys::SETTINGS_FAULTS, component, node)
        .rows
        .iter()
        .map(|row| row.key.clone())
        .collect()
}

fn is(got: (String, String, String), value: &str, source: &str, place: &str) {
    assert_eq!(
        (got.0.as_str(), got.1.as_str(), got.2.as_str()),
        (value, source, place)
    );
}

#[test]
fn a_kubeadm_node_with_a_pending_restart() {
    let etcd = |name| setting("kubeadm", "etcd", "cp-1", name);
    let manifests = "etc/kubernetes/manifests";
    // The process still has 2 GiB, the manifest says 8.
    is(
        etcd("quota-backend-bytes"),
        "2147483648",
        "flag",
        "/proc/100/cmdline",
    );
    is(
        etcd("max-wals"),
        "7",
        "env",
        &format!("{manifests}/etcd.yaml:26"),
    );
    is(
        etcd("watch-progress-notify-interval"),
        "5s",
        "flag",
        &format!("{manifests}/etcd.yaml:22"),
    );
    is(etcd("heartbeat-interval"), "100", "default", "");
    assert_eq!(
        faults("kubeadm", "etcd", "cp-1"),
        [
            "flag-and-variable:snapshot-count",
            "not-applied:quota-backend-bytes",
            "unknown-setting:discovery-password",
            "unknown-variable:ETCD_IMAGE_DIGEST",
        ]
    );
    assert_eq!(
        faults("kubeadm", "etcd-events", "cp-1"),
        ["refused-timers:election-timeout"]
    );
    let apiserver = |name| setting("kubeadm", "kube-apiserver", "cp-1", name);
    is(
        apiserver("max-requests-inflight"),
        "1200",
        "flag",
        &format!("{manifests}/kube-apiserver.yaml:18"),
    );
    assert_eq!(
        apiserver("enable-admission-plugins").0,
        "NodeRestriction,PodSecurity"
    );
    assert_eq!(apiserver("feature-gates.A").0, "false");
    assert_eq!(apiserver("acme-corp-flag").0, "7");
    assert_eq!(apiserver("http2-max-streams-per-connection").0, "100");
    let kubelet = |name| setting("kubeadm", "kubelet", "cp-1", name);
    is(
        kubelet("kube-api-qps"),
        "20",
        "file",
        "var/lib/kubelet/config.yaml:11",
    );
    assert_eq!(kubelet("max-pods").0, "80");
    // Set explicitly, the update frequency drags the report frequency along.
    is(kubelet("nodeStatusReportFrequency"), "10s", "default", "");
    // No version of the kubelet is known, and this default moved with 1.27.
    is(kubelet("event-qps"), "", "unknown default", "");
}

#[test]
fn a_copy_in_the_manifest_folder_is_told_and_a_hidden_file_is_not_read() {
    let model = model("kubeadm");
    let stray: Vec<&str> = model
        .faults
        .iter()
        .filter(|(_, fault)| fault.kind == "stray-manifest")
        .map(|(_, fault)| fault.place.file.as_str())
        .collect();
    assert!(
        stray.contains(&"etc/kubernetes/manifests/etcd.yaml.bak"),
        "{stray:?}"
    );
    assert!(
        stray.contains(&"etc/kubernetes/manifests/.etcd.yaml.swp"),
        "{stray:?}"
    );
}

#[test]
fn rke2_reads_its_file_and_loses_a_replaced_list() {
    let etcd = |name| setting("rke2", "etcd", "rke-a", name);
    let config = "var/lib/rancher/rke2/server/db/etcd/config";
    is(
        etcd("heartbeat-interval"),
        "500",
        "file",
        &format!("{config}:9"),
    );
    is(
        etcd("watch-progress-notify-interval"),
        "5000000000",
        "file",
        &format!("{config}:8"),
    );
    is(etcd("quota-backend-bytes"), "0", "default", "");
    let faults = faults("rke2", "etcd", "rke-a");
    assert!(
        faults.contains(&"ignored-settings:config-file".to_owned()),
        "{faults:?}"
    );
    assert!(
        faults.contains(&"drift:heartbeat-interval".to_owned()),
        "{faults:?}"
    );
    let model = model("rke2");
    assert!(
        model
            .faults
            .iter()
            .any(|(_, fault)| fault.setting.as_deref() == Some("etcd-arg"))
    );
    assert_eq!(
        setting(
            "rke2",
            "kube-apiserver",
            "rke-a",
            "max-mutating-requests-inflight"
        )
        .0,
        "500"
    );
    // What an installer sets beside these arguments is not known.
    is(
        setting("rke2", "kube-apiserver", "rke-a", "goaway-chance"),
        "",
        "unknown default",
        "",
    );
}

#[test]
fn an_external_etcd_under_systemd() {
    let etcd = |name| setting("systemd", "etcd", "ext-etcd-1", name);
    is(
        etcd("quota-backend-bytes"),
        "6442450944",
        "file",
        "etc/etcd/etcd.conf.yml:4",
    );
    is(etcd("snapshot-count"), "10000", "default", "");
    assert_eq!(
        faults("systemd", "etcd", "ext-etcd-1"),
        [
            "ignored-settings:config-file",
            "invalid-value:watch-progress-notify-interval"
        ]
    );
}

#[test]
fn the_others_in_short() {
    is(
        setting("talos", "kubelet", "talos-a", "kube-api-qps"),
        "30",
        "file",
        "manifests/controlplane.yaml:10",
    );
    is(
        setting("openshift", "etcd", "m0", "election-timeout"),
        "2500",
        "env",
        "manifests/etcd-pod.yaml:29",
    );
    is(
        setting("openshift", "etcd", "m0", "listen-metrics-urls"),
        "https://0.0.0.0:9978",
        "flag",
        "manifests/etcd-pod.yaml:23",
    );
    is(
        setting("workloads", "kube-scheduler", "w1", "kube-api-qps"),
        "200",
        "file",
        "manifests/sched.yaml:4",
    );
    assert_eq!(
        setting(
            "workloads",
            "capm3-controller-manager",
            "",
            "kube-api-burst"
        )
        .0,
        "200"
    );
    assert_eq!(
        setting("k3s", "kube-controller-manager", "", "kube-api-qps").0,
        "70"
    );
    assert_eq!(
        faults("fleet", "etcd", "cp1"),
        [
            "drift:heartbeat-interval",
            "drift:quota-backend-bytes",
            // kubeadm's heartbeat of 250 ms: the next upgrade would bring an etcd that does not start.
            "refused-timers:election-timeout",
            "removed-setting:feature-gates.InitialCorruptCheck"
        ]
    );
    assert!(
        faults("fleet", "etcd", "cp2")
            .contains(&"renamed-setting:feature-gates.InitialCorruptCheck".to_owned())
    );
}

#[test]
fn three_members_in_one_tree_with_their_processes() {
    let model = model("members");
    assert_eq!(model.unread, [""; 0]);
    let units = manifest::settle_all(&model);
    let names: Vec<String> = units
        .iter()
        .filter(|unit| unit.name == "etcd")
        .map(|unit| {
            format!(
                "{} {}",
                unit.node.as_deref().unwrap_or("-"),
                unit.instances.len()
            )
        })
        .collect();
    assert_eq!(names, ["lab12-cp0 2", "lab12-cp1 2", "lab12-cp2 2"]);
    assert!(
        units.iter().all(|unit| unit.settled.faults.is_empty()),
        "{units:?}"
    );
    // What manifest and process agree on is shown at the manifest's line.
    is(
        setting("members", "etcd", "lab12-cp1", "snapshot-count"),
        "10000",
        "flag",
        "manifests/lab12-cp1/etcd.yaml:28",
    );
    is(
        setting(
            "members",
            "kube-controller-manager",
            "lab12-cp0",
            "kube-api-qps",
        ),
        "20",
        "default",
        "",
    );
}

#[test]
fn distributions_and_datastores() {
    let cases = [
        ("kubeadm", Distro::Kubeadm, DatastoreKind::Local),
        ("rke2", Distro::Rke2, DatastoreKind::Local),
        ("k3s", Distro::K3s, DatastoreKind::Kine),
        ("talos", Distro::Talos, DatastoreKind::Local),
        ("kops", Distro::Kops, DatastoreKind::Local),
        ("openshift", Distro::OpenShift, DatastoreKind::Local),
        ("systemd", Distro::Systemd, DatastoreKind::Local),
        ("workloads", Distro::Kubeadm, DatastoreKind::External),
        ("damaged", Distro::Unknown, DatastoreKind::Local),
    ];
    for (name, distro, store) in cases {
        let model = model(name);
        assert_eq!(manifest::distribution(&model).distro, distro, "{name}");
        assert_eq!(manifest::datastore(&model).kind, store, "{name}");
    }
}

#[test]
fn damage_is_told_with_its_line_and_the_rest_is_read() {
    let set = manifest::collect(&model("damaged"));
    let Reading::Known(Shape::Table(faults)) = &set
        .record(&keys::SETTINGS_FAULTS, &Subject::cluster())
        .unwrap()
        .value
    else {
        panic!("no faults")
    };
    let place = |key: &str| {
        faults
            .row(key)
            .unwrap_or_else(|| panic!("{key}"))
            .get_text("where")
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        place("unreadable:manifests/tab.yaml"),
        "manifests/tab.yaml:4"
    );
    assert_eq!(
        place("unfilled-template:manifests/template.yaml"),
        "manifests/template.yaml:7"
    );
    assert_eq!(
        place("duplicate-key:manifests/template.yaml"),
        "manifests/template.yaml:11"
    );
    let subject = Subject::new(SubjectKind::Component, "etcd");
    let Reading::Known(Shape::Table(own)) =
        &set.record(&keys::SETTINGS_FAULTS, &subject).unwrap().value
    else {
        panic!("no faults of etcd")
    };
    let row = own.row("invalid-value:quota-backend-bytes").unwrap();
    assert_eq!(row.get_text("where"), Some("manifests/crlf.yaml:10"));
    assert!(
        own.rows
            .iter()
            .any(|row| row.get_text("kind") == Some("bare-word"))
    );
}

#[test]
fn no_secret_of_any_fixture_is_kept() {
    for entry in ["kubeadm", "rke2", "k3s", "talos", "workloads"] {
        let model = model(entry);
        let set = manifest::collect(&model);
        for shown in [format!("{model:?}"), format!("{set:?}")] {
            assert!(!shown.contains("fixture-"), "{entry} shows a secret");
            assert!(!shown.contains("Zml4dHVyZS"), "{entry} shows a secret");
        }
    }
}

#[test]
fn a_setting_is_read_back_from_a_text_in_every_form() {
    let cases = [
        (
            "etcd.yaml",
            "kind: Pod\nmetadata: {name: etcd}\nspec:\n  containers:\n  - {name: etcd, image: 'e:3.5.9', command: [etcd, --quota-backend-bytes=7]}\n",
        ),
        (
            "kubeadm.yaml",
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\netcd: {local: {extraArgs: [{name: quota-backend-bytes, value: '7'}]}}\n",
        ),
        (
            "kubeadm.yaml",
            "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\netcd: {local: {extraArgs: {quota-backend-bytes: '7'}}}\n",
        ),
        (
            "etc/rancher/rke2/config.yaml.d/90-x.yaml",
            "etcd-arg+:\n  - quota-backend-bytes=7\n",
        ),
        (
            "talos.yaml",
            "machine: {type: controlplane}\ncluster: {etcd: {extraArgs: {quota-backend-bytes: '7'}}}\n",
        ),
        (
            "etc/systemd/system/etcd.service",
            "[Service]\nEnvironment=ETCD_QUOTA_BACKEND_BYTES=7\nExecStart=/usr/bin/etcd --name=a\n",
        ),
        ("etcd.conf.yml", "name: a\nquota-backend-bytes: 7\n"),
    ];
    for (name, text) in cases {
        let settled = manifest::effective_of_text(Component::Etcd, name, text)
            .unwrap_or_else(|| panic!("{name}"));
        let quota = &settled.settings["quota-backend-bytes"];
        assert_eq!(quota.value.as_deref(), Some("7"), "{name}");
        assert!(
            manifest::effective_of_text(Component::Scheduler, name, text).is_none(),
            "{name}"
        );
    }
    assert!(manifest::effective_of_text(Component::Etcd, "x.yaml", "a: [").is_none());
}

#[test]
fn timers_that_an_installer_leaves_alone_have_their_default() {
    let source = |name: &str, text: &str, setting: &str| {
        let settled = manifest::effective_of_text(Component::Etcd, name, text).unwrap();
        let setting = &settled.settings[setting];
        (setting.value.clone(), setting.from.word())
    };
    let kubeadm = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\netcd: {local: \
                   {extraArgs: [{name: heartbeat-interval, value: '500'}]}}\n";
    let talos = "machine: {type: controlplane}\ncluster: {etcd: {extraArgs: {heartbeat-interval: \
                 '500'}}}\n";
    // k3s and RKE2 set both timers of their etcd.
    let rke2 = "etcd-arg+:\n  - heartbeat-interval=500\n";
    let rke2_file = "etc/rancher/rke2/config.yaml.d/90-x.yaml";
    for (name, text) in [("kubeadm.yaml", kubeadm), ("talos.yaml", talos)] {
        let timeout = source(name, text, "election-timeout");
        assert_eq!(timeout, (Some("1000".to_owned()), "default"), "{name}");
        let given = source(name, text, "heartbeat-interval");
        assert_eq!(given, (Some("500".to_owned()), "flag"), "{name}");
        // kubeadm sets it of itself.
        let snapshots = source(name, text, "snapshot-count");
        assert_eq!(snapshots.1, "unknown default", "{name}");
    }
    let timeout = source(rke2_file, rke2, "election-timeout");
    assert_eq!(timeout, (None, "unknown default"));
}
