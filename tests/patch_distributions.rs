//! Every target of `patch` on an input as its distribution makes it: the output parses, the
//! read-back has the advised values and nothing else changed, a second run changes nothing, and
//! the way back restores what was there.
#![expect(clippy::unwrap_used, reason = "a test over files it made itself")]

#[path = "support/patching.rs"]
mod patching;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use patching::{apply_diff, in_force, tree, write_tree};
use serde_json::{Value, json};
use support::{doctor, fixtures};

fn advice(target: &str, setting: &str, proposed: &str) -> Value {
    json!({
        "id": format!("{target}-{setting}"), "remedy": "etcd", "strength": "recommended",
        "target": target, "setting": setting, "now": null, "proposed": proposed,
        "why": "because", "effect": "better", "confidence": "high", "risk": "some",
        "undo": "set it back", "verify": "look", "disposition": "disruptive",
        "finding_ids": [], "source": "docs",
    })
}

fn level() -> Value {
    let mut level = advice("kube-apiserver", "FlowSchema limit-x", "a level");
    level["disposition"] = json!("safe");
    level["details"] =
        json!({ "level": "limit-x", "user": "system:serviceaccount:a:b", "shares": "10" });
    level
}

fn shard() -> Value {
    let mut shard = advice(
        "kube-apiserver",
        "etcd-servers-overrides",
        "/events#https://<etcd>:2382",
    );
    shard["disposition"] = json!("show-only");
    shard["details"] = json!({ "resource": "events" });
    shard
}

fn settings() -> Vec<Value> {
    vec![
        advice("etcd", "quota-backend-bytes", "8589934592"),
        advice("etcd", "heartbeat-interval", "250"),
        advice("etcd", "election-timeout", "2500"),
        advice("kube-apiserver", "max-requests-inflight", "1500"),
        advice("kube-apiserver", "goaway-chance", "0.001"),
        advice("kube-controller-manager", "kube-api-qps", "100"),
        advice("kube-controller-manager", "kube-api-burst", "200"),
        advice("kube-scheduler", "leader-elect-lease-duration", "60s"),
    ]
}

/// A folder with a node's files, and a report.
struct Case {
    dir: tempfile::TempDir,
}

impl Case {
    fn new(advice: &[Value], files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let report = json!({ "advice": advice }).to_string();
        write_tree(dir.path(), [("report.json", report.as_str())]);
        fs::create_dir_all(dir.path().join("in")).unwrap();
        write_tree(&dir.path().join("in"), files.iter().copied());
        Case { dir }
    }

    fn input(&self) -> PathBuf {
        self.dir.path().join("in")
    }

    fn run(&self, target: &str, out: &str, more: &[&str]) -> (Value, BTreeMap<String, String>) {
        let told = doctor(&["patch", "--format", "json", "--target", target, "--report"])
            .path(self.dir.path().join("report.json"))
            .arg("--manifests")
            .path(self.input())
            .arg("--out")
            .path(self.dir.path().join(out))
            .args(more)
            .json();
        let out = self.dir.path().join(out);
        let files = match out.exists() {
            true => tree(&out),
            false => BTreeMap::new(),
        };
        (told, files)
    }

    fn put(&self, name: &str, text: &str) {
        write_tree(&self.input(), [(name, text)]);
    }

    /// What the files say, as the program reads a node.
    fn says(&self, below: &str) -> BTreeMap<(String, String), String> {
        let stage = tempfile::tempdir().unwrap();
        let files = tree(&self.input());
        let named: Vec<(String, String)> = files
            .into_iter()
            .map(|(name, text)| (format!("{below}{name}"), text))
            .collect();
        write_tree(
            stage.path(),
            named
                .iter()
                .map(|(name, text)| (name.as_str(), text.as_str())),
        );
        in_force(stage.path())
    }
}

fn shown(told: &Value) -> Vec<(String, String)> {
    told["shown"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let text = |key: &str| one[key].as_str().unwrap().to_owned();
            (text("advice"), text("why"))
        })
        .collect()
}

/// Old values stay, but for those of the settings named; these have the advised value.
fn only_what_was_advised(
    old: &BTreeMap<(String, String), String>,
    new: &BTreeMap<(String, String), String>,
    advised: &[Value],
) {
    let mut wanted = old.clone();
    for one in advised {
        let key = (
            one["target"].as_str().unwrap().to_owned(),
            one["setting"].as_str().unwrap().to_owned(),
        );
        wanted.insert(key, one["proposed"].as_str().unwrap().to_owned());
    }
    assert_eq!(new, &wanted);
}

fn kubeadm_pods() -> Vec<(String, String)> {
    let pods = tree(&fixtures().join("paypal/manifests"));
    let newer = |text: &str| {
        text.replace("v1.20.6", "v1.31.2")
            .replace("3.4.13-0", "3.5.16-0")
    };
    pods.into_iter()
        .map(|(name, text)| (name, newer(&text)))
        .collect()
}

#[test]
fn kubeadm_pods_and_its_configuration_agree_after_one_run() {
    let pods = kubeadm_pods();
    let files: Vec<(&str, &str)> = pods
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    for config in [
        "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\nkubernetesVersion: v1.30.2\napiServer:\n  extraArgs:\n    audit-log-maxage: \"30\" # ours\n    max-requests-inflight: \"800\"\netcd:\n  local:\n    dataDir: /var/lib/etcd\nscheduler: {}\n",
        "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.31.2\napiServer:\n  extraArgs:\n  - name: audit-log-maxage # ours\n    value: \"30\"\n  - name: max-requests-inflight\n    value: \"800\"\netcd:\n  local:\n    dataDir: /var/lib/etcd\n",
    ] {
        let mut all = settings();
        all.push(level());
        let case = Case::new(&all, &files);
        let path = case.dir.path().join("config.yaml");
        fs::write(&path, config).unwrap();
        let more = ["--cluster-configuration", path.to_str().unwrap()];
        let old = case.says("manifests/");
        let (told, out) = case.run("kubeadm", "out", &more);
        assert_eq!(shown(&told), []);
        let edited = &out["kubeadm/ClusterConfiguration.yaml"];
        assert!(edited.contains("# ours"));
        assert_eq!(edited.matches("max-requests-inflight").count(), 1);
        let diff = &out["diffs/ClusterConfiguration.diff"];
        assert_eq!(apply_diff(edited, diff, true).as_deref(), Some(config));
        for (name, text) in &out {
            if let Some(name) = name.strip_prefix("manifests/") {
                let diff = &out[&format!("diffs/{name}.diff")];
                let was = &pods.iter().find(|(have, _)| have == name).unwrap().1;
                assert_eq!(apply_diff(text, diff, true).as_ref(), Some(was));
                case.put(name, text);
            }
        }
        only_what_was_advised(&old, &case.says("manifests/"), &settings());
        // The pods follow, the configuration does not yet: an upgrade would lose it all.
        let (_, late) = case.run("kubeadm", "late", &more);
        assert_eq!(late.get("kubeadm/ClusterConfiguration.yaml"), Some(edited));
        assert!(!late.keys().any(|name| name.starts_with("manifests/")));
        fs::write(&path, edited).unwrap();
        case.put("flow.yaml", &out["apf/limit-x.yaml"]);
        let (again, _) = case.run("kubeadm", "again", &more);
        assert_eq!(again["files"], json!([]), "{again}");
        assert_eq!(shown(&again), [], "in force, and not refused");
    }
}

#[test]
fn kubeadm_takes_out_what_is_to_go_from_pod_and_configuration() {
    let mut go = advice("etcd", "auto-compaction-retention", "remove both");
    go["details"] = json!({ "remove": "auto-compaction-mode,auto-compaction-retention" });
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: etcd, namespace: kube-system}\nspec:\n  containers:\n  - command:\n    - etcd\n    - --auto-compaction-mode=periodic\n    - --auto-compaction-retention=1h\n    - --name=a\n    image: registry.k8s.io/etcd:3.5.16-0\n    name: etcd\n";
    let case = Case::new(&[go], &[("etcd.yaml", pod)]);
    let path = case.dir.path().join("config.yaml");
    let config = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\netcd:\n  local:\n    extraArgs:\n    - name: auto-compaction-mode\n      value: periodic\n    - name: auto-compaction-retention\n      value: 1h\n    - name: quota-backend-bytes\n      value: \"4294967296\"\n";
    fs::write(&path, config).unwrap();
    let more = ["--cluster-configuration", path.to_str().unwrap()];
    let (_, out) = case.run("kubeadm", "out", &more);
    assert!(!out["manifests/etcd.yaml"].contains("auto-compaction"));
    let edited = &out["kubeadm/ClusterConfiguration.yaml"];
    assert!(
        !edited.contains("auto-compaction") && edited.contains("4294967296"),
        "{edited}"
    );
}

const RKE2: &[(&str, &str)] = &[
    (
        "config.yaml",
        "# the first server\ntoken: x\ntls-san: [rke.example.test]\nkube-apiserver-arg:\n  - \"max-requests-inflight=1000\" # since May\n  - 'event-ttl=30m'\netcd-arg:\n  - quota-backend-bytes=4294967296\nkube-scheduler-arg: v=2\n",
    ),
    (
        "config.yaml.d/50-more.yaml",
        "kube-controller-manager-arg+:\n- kube-api-qps=50\n",
    ),
];

#[test]
fn k3s_and_rke2_merge_as_they_do_and_keep_an_earlier_drop_in() {
    for target in ["rke2", "k3s"] {
        let below = format!("host/etc/rancher/{target}/");
        let versions = ["--etcd-version", "3.5.16", "--kubernetes-version", "1.31.2"];
        let mut all = settings();
        all.push(level());
        let case = Case::new(&all, RKE2);
        let old = case.says(&below);
        let (told, out) = case.run(target, "out", &versions);
        assert_eq!(shown(&told), [], "{target}");
        for (name, text) in &out {
            if let Some(name) = name.strip_prefix("config/") {
                let diff = &out[&format!("diffs/{name}.diff")];
                let was = RKE2.iter().find(|(have, _)| *have == name).unwrap().1;
                // The diff is to be read, and the token is not.
                let masked = |text: &str| text.replace("token: x", "token: ***");
                assert_eq!(apply_diff(&masked(text), diff, true), Some(masked(was)));
                case.put(name, text);
            }
        }
        let drop_in = "config.yaml.d/90-etcd-doctor.yaml";
        case.put(drop_in, &out[drop_in]);
        only_what_was_advised(&old, &case.says(&below), &settings());
        case.put("flow.yaml", &out["apf/limit-x.yaml"]);
        let (again, _) = case.run(target, "again", &versions);
        assert_eq!(again["files"], json!([]), "{again}");
        assert_eq!(shown(&again), [], "in force, and not refused");
        // Later advice adds to the drop-in, and does not throw out what is in it.
        let later = [advice(
            "kube-controller-manager",
            "concurrent-gc-syncs",
            "40",
        )];
        fs::write(
            case.dir.path().join("report.json"),
            json!({ "advice": later }).to_string(),
        )
        .unwrap();
        let before = case.says(&below);
        let (told, more) = case.run(target, "more", &versions);
        assert_eq!(shown(&told), []);
        case.put(drop_in, &more[drop_in]);
        only_what_was_advised(&before, &case.says(&below), &later);
    }
}

#[test]
fn a_later_file_that_would_drop_the_flag_is_found_out() {
    let mut files = RKE2.to_vec();
    files.push((
        "config.yaml.d/95-ours.yaml",
        "kube-controller-manager-arg:\n- v=3\n",
    ));
    let case = Case::new(
        &[advice("kube-controller-manager", "kube-api-burst", "200")],
        &files,
    );
    let (told, _) = case.run("rke2", "out", &[]);
    assert_eq!(told["files"], json!([]));
    assert!(shown(&told)[0].1.contains("without `+`"), "{told}");
}

#[test]
fn each_rke2_server_gets_what_it_lacks() {
    let case = Case::new(
        &[advice("kube-controller-manager", "kube-api-qps", "100")],
        &[
            (
                "a/config.yaml",
                "token: x\nkube-controller-manager-arg: [kube-api-qps=50]\n",
            ),
            ("b/config.yaml", "token: x\nserver: https://a:9345\n"),
        ],
    );
    let (_, out) = case.run("rke2", "out", &[]);
    assert!(out["config/a/config.yaml"].contains("kube-api-qps=100"));
    assert!(out["b/config.yaml.d/90-etcd-doctor.yaml"].contains("kube-api-qps=100"));
    for (name, text) in &out {
        let place = name.strip_prefix("config/").unwrap_or(name);
        if place.starts_with("a/") || place.starts_with("b/") {
            case.put(place, text);
        }
    }
    let (again, _) = case.run("rke2", "again", &[]);
    assert_eq!(again["files"], json!([]), "{again}");
}

const MACHINE: &str = "version: v1alpha1\nmachine:\n  type: controlplane\n  token: abc.def\n  network: {hostname: talos-a}\ncluster:\n  apiServer:\n    image: registry.k8s.io/kube-apiserver:v1.33.1\n    extraArgs:\n      max-requests-inflight: \"1000\"\n      feature-gates: A=true\n  controllerManager:\n    image: registry.k8s.io/kube-controller-manager:v1.33.1\n    extraArgs: {kube-api-qps: \"50\"}\n  scheduler:\n    image: registry.k8s.io/kube-scheduler:v1.33.1\n  etcd:\n    image: gcr.io/etcd-development/etcd:v3.5.21\n";

fn lay_over(have: &mut Value, new: &Value) {
    match (have, new) {
        (Value::Object(have), Value::Object(new)) => {
            for (key, value) in new {
                lay_over(have.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (have, new) => *have = new.clone(),
    }
}

#[test]
fn talos_reads_the_machine_configuration_before_it_writes() {
    let mut all = settings();
    all.push(level());
    all.push(advice("etcd", "data-dir", "/elsewhere"));
    let case = Case::new(&all, &[("controlplane.yaml", MACHINE)]);
    let old = case.says("manifests/");
    let (told, out) = case.run("talos", "out", &[]);
    let why = shown(&told);
    assert_eq!(why.len(), 1, "{why:?}");
    assert!(why[0].1.contains("Talos sets data-dir itself"));
    assert!(
        out.contains_key("apf/limit-x.yaml"),
        "the version is in the images"
    );
    let mut merged: Value = yaml_serde::from_str(MACHINE).unwrap();
    lay_over(
        &mut merged,
        &yaml_serde::from_str(&out["talos-patch.yaml"]).unwrap(),
    );
    case.put(
        "controlplane.yaml",
        &yaml_serde::to_string(&merged).unwrap(),
    );
    only_what_was_advised(&old, &case.says("manifests/"), &settings());
    case.put("flow.yaml", &out["apf/limit-x.yaml"]);
    let (again, _) = case.run("talos", "again", &[]);
    assert_eq!(again["files"], json!([]), "{again}");
    // And back: all of the configuration is as it was, but for maps that are empty now.
    case.put("controlplane.yaml", MACHINE);
    let mut back = merged.clone();
    merge_talos(
        &mut back,
        &yaml_serde::from_str(&out["talos-undo.yaml"]).unwrap(),
    );
    drop_empty(&mut back);
    assert_eq!(back, yaml_serde::from_str::<Value>(MACHINE).unwrap());
    let steps = &out["STEPS.md"];
    assert!(steps.contains("--patch @talos-undo.yaml"), "{steps}");
    assert!(!steps.contains("to be done by hand"), "{steps}");
}

/// Merges as Talos does: maps by key, lists appended, `$patch: delete` takes a key out, and one that
/// is not there is an error.
fn merge_talos(have: &mut Value, new: &Value) {
    match (have, new) {
        (Value::Object(have), Value::Object(new)) => {
            for (key, value) in new {
                if value.get("$patch").is_some_and(|what| what == "delete") {
                    assert!(have.remove(key).is_some(), "{key} is not there");
                } else {
                    merge_talos(have.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (Value::Array(have), Value::Array(new)) => have.extend(new.iter().cloned()),
        (have, new) => *have = new.clone(),
    }
}

fn drop_empty(value: &mut Value) {
    if let Value::Object(map) = value {
        map.values_mut().for_each(drop_empty);
        map.retain(|_, value| *value != json!({}));
    }
}

#[test]
fn the_way_back_of_talos_by_machine_and_by_version() {
    let other = MACHINE
        .replace("talos-a", "talos-b")
        .replace("\"1000\"", "\"700\"");
    let case = Case::new(
        &settings(),
        &[
            ("a/controlplane.yaml", MACHINE),
            ("b/controlplane.yaml", &other),
        ],
    );
    let (_, out) = case.run("talos", "out", &[]);
    let undo: Vec<&String> = out.keys().filter(|name| name.contains("undo")).collect();
    assert_eq!(undo.len(), 2, "{undo:?}");
    for (text, machine) in undo.iter().map(|name| &out[*name]).zip([MACHINE, &other]) {
        let mut merged: Value = yaml_serde::from_str(machine).unwrap();
        let old = merged.clone();
        merge_talos(
            &mut merged,
            &yaml_serde::from_str(&out["talos-patch.yaml"]).unwrap(),
        );
        assert_ne!(merged, old);
        merge_talos(&mut merged, &yaml_serde::from_str(text).unwrap());
        drop_empty(&mut merged);
        assert_eq!(merged, old);
    }
    // A Talos that cannot take a key out: the values come back, the rest is named.
    for (machine, deletes) in [
        (MACHINE.replace("v1.33.1", "v1.28.2"), false),
        (
            MACHINE.replace(
                "machine:\n",
                "machine:\n  install: {image: \"ghcr.io/siderolabs/installer:v1.7.6\"}\n",
            ),
            false,
        ),
        (
            MACHINE.replace("v1.33.1", "v1.28.2").replace(
                "machine:\n",
                "machine:\n  install: {image: \"ghcr.io/siderolabs/installer:v1.8.0\"}\n",
            ),
            true,
        ),
    ] {
        let case = Case::new(&settings(), &[("controlplane.yaml", &machine)]);
        let (_, out) = case.run("talos", "out", &[]);
        let (undo, steps) = (&out["talos-undo.yaml"], &out["STEPS.md"]);
        assert!(undo.contains("max-requests-inflight: \"1000\""), "{undo}");
        assert_eq!(undo.contains("$patch: delete"), deletes, "{undo}");
        assert_eq!(
            steps.contains(
                "- cluster.etcd.extraArgs.quota-backend-bytes of controlplane.yaml: was not set"
            ),
            !deletes,
            "{steps}"
        );
        assert!(
            !steps.contains("extraArgs.max-requests-inflight of"),
            "{steps}"
        );
    }
}

/// External etcd as distributions and people run it.
fn units() -> Vec<(&'static str, Vec<(&'static str, &'static str)>)> {
    vec![
        (
            "flags",
            vec![(
                "etcd.service",
                "[Unit]\nDescription=etcd\n\n[Service]\nUser=etcd\nType=notify\nExecStart=/usr/local/bin/etcd \\\n  --name a \\\n  --data-dir=/var/lib/etcd \\\n  --heartbeat-interval 100 --election-timeout=1000 \\\n  --initial-cluster \"a=https://10.0.0.1:2380,b=https://10.0.0.2:2380\"\nRestart=always\n",
            )],
        ),
        (
            "Debian",
            vec![
                (
                    "etcd.service",
                    "[Service]\nEnvironment=DAEMON_ARGS=\nEnvironment=ETCD_NAME=%H\nEnvironment=ETCD_DATA_DIR=/var/lib/etcd/default\nEnvironmentFile=-/etc/default/%p\nEnvironmentFile=-/etc/default/etcd\nType=notify\nUser=etcd\nExecStart=/usr/bin/etcd $DAEMON_ARGS\n",
                ),
                (
                    "etcd",
                    "## etcd(1) daemon options\n# ETCD_HEARTBEAT_INTERVAL=\"100\"\nETCD_ELECTION_TIMEOUT=\"1000\"\n  ETCD_SNAPSHOT_COUNT=20000\n",
                ),
            ],
        ),
        (
            "a shell",
            vec![
                (
                    "etcd.service",
                    "[Service]\nType=notify\nWorkingDirectory=/var/lib/etcd/\nEnvironmentFile=-/etc/etcd/etcd.conf\nUser=etcd\nExecStart=/bin/bash -c \"GOMAXPROCS=$(nproc) /usr/bin/etcd --name=\\\"${ETCD_NAME}\\\" --data-dir=\\\"${ETCD_DATA_DIR}\\\"\"\n",
                ),
                (
                    "etcd.conf",
                    "ETCD_NAME=a\nETCD_DATA_DIR=\"/var/lib/etcd\"\nETCD_HEARTBEAT_INTERVAL=\"100\"\n",
                ),
            ],
        ),
        (
            "a configuration file",
            vec![
                (
                    "etcd.service",
                    "[Service]\nType=notify\nExecStart=/opt/etcd/etcd --config-file=/etc/etcd/etcd.conf.yml\n",
                ),
                (
                    "etcd.conf.yml",
                    "# member a\nname: a\ndata-dir: /data/etcd\nheartbeat-interval: 100 # default\ninitial-cluster: a=https://10.0.0.1:2380,b=https://10.0.0.2:2380\nclient-transport-security:\n  cert-file: /etc/etcd/server.crt\n  client-cert-auth: true\n",
                ),
            ],
        ),
        (
            "an earlier drop-in",
            vec![
                (
                    "etcd.service",
                    "[Service]\r\nExecStart=/usr/bin/etcd --name a\r\n",
                ),
                (
                    "etcd.service.d/90-etcd-doctor.conf",
                    "# Written by etcd-doctor; see STEPS.md.\n[Service]\nEnvironment=\"ETCD_SNAPSHOT_COUNT=50000\"\nLimitNOFILE=65536\n",
                ),
            ],
        ),
    ]
}

#[test]
fn systemd_changes_each_setting_where_it_stands() {
    let advised = &settings()[..3];
    for (what, files) in units() {
        let case = Case::new(advised, &files);
        let below = |case: &Case| {
            let mut moved = BTreeMap::new();
            for (name, text) in tree(&case.input()) {
                let place = match name.as_str() {
                    "etcd" => "host/etc/default/etcd".to_owned(),
                    "etcd.conf" | "etcd.conf.yml" => format!("host/etc/etcd/{name}"),
                    other => format!("host/etc/systemd/system/{other}"),
                };
                moved.insert(place, text);
            }
            let stage = tempfile::tempdir().unwrap();
            write_tree(
                stage.path(),
                moved
                    .iter()
                    .map(|(name, text)| (name.as_str(), text.as_str())),
            );
            in_force(stage.path())
        };
        let old = below(&case);
        assert!(old.len() > 1, "{what}: {old:?}");
        let (told, out) = case.run("systemd", "out", &["--etcd-version", "3.5.16"]);
        assert_eq!(shown(&told), [], "{what}");
        for (name, diff) in out.iter().filter(|(name, _)| name.ends_with(".diff")) {
            let name = name.trim_end_matches(".diff");
            let text = &out[name];
            let base = name
                .strip_prefix("etc/default/")
                .or(name.strip_prefix("etc/etcd/"))
                .unwrap_or(name);
            let was = files
                .iter()
                .find(|(have, _)| *have == base)
                .map_or("", |(_, text)| text);
            assert_eq!(
                apply_diff(text, diff, true).as_deref(),
                Some(was),
                "{what}: {name}"
            );
            case.put(base, text);
        }
        only_what_was_advised(&old, &below(&case), advised);
        let (again, _) = case.run("systemd", "again", &["--etcd-version", "3.5.16"]);
        assert_eq!(again["files"], json!([]), "{what}: {again}");
        assert_eq!(
            again["already"].as_array().unwrap().len(),
            advised.len(),
            "{what}"
        );
        if what == "an earlier drop-in" {
            let drop_in = &out["etcd.service.d/90-etcd-doctor.conf"];
            assert!(drop_in.contains("LimitNOFILE=65536"), "{drop_in}");
        }
    }
}

#[test]
fn systemd_asks_for_the_files_that_decide() {
    let advised = [advice("etcd", "quota-backend-bytes", "8589934592")];
    for (unit, part) in [
        (
            "[Service]\nExecStart=/usr/bin/etcd --config-file /etc/etcd.yml\n",
            "/etc/etcd.yml",
        ),
        (
            "[Service]\nEnvironmentFile=/etc/etcd.env\nExecStart=/usr/bin/etcd\n",
            "etc/etcd.env",
        ),
        (
            "[Service]\nEnvironmentFile=/etc/etcd/*.env\nExecStart=/usr/bin/etcd\n",
            "etc/etcd/*.env",
        ),
        (
            "[Service]\nEnvironmentFile=-/etc/default/etcd-%m\nExecStart=/usr/bin/etcd\n",
            "%m is not known",
        ),
    ] {
        let case = Case::new(&advised, &[("etcd.service", unit)]);
        let (told, _) = case.run("systemd", "out", &["--etcd-version", "3.5.16"]);
        assert_eq!(told["files"], json!([]), "{unit}");
        assert!(shown(&told)[0].1.contains(part), "{told}");
    }
}

#[test]
fn systemd_edits_the_variable_where_it_stands() {
    let advised = [advice("etcd", "quota-backend-bytes", "8589934592")];
    let own = "ETCD_QUOTA_BACKEND_BYTES=1073741824\n";
    for (path, file) in [
        ("-/etc/default/%p", "etc/default/etcd"),
        ("/etc/etcd/*.env", "etc/etcd/10.env"),
    ] {
        let unit = format!("[Service]\nEnvironmentFile={path}\nExecStart=/usr/bin/etcd\n");
        let place = "etc/systemd/system/etcd.service";
        let case = Case::new(&advised, &[(place, &unit), (file, own)]);
        let (told, files) = case.run("systemd", "out", &["--etcd-version", "3.5.16"]);
        let edited = files.iter().find(|(name, _)| name.ends_with(file));
        let (_, text) = edited.unwrap_or_else(|| panic!("{path}: {told}"));
        assert_eq!(text, "ETCD_QUOTA_BACKEND_BYTES=\"8589934592\"\n", "{path}");
        // A file that may be missing and is sets nothing; one that must be there was not copied.
        let case = Case::new(&advised, &[(place, &unit), ("etc/hostname", "cp1\n")]);
        let (told, files) = case.run("systemd", "out", &["--etcd-version", "3.5.16"]);
        assert_eq!(files.is_empty(), !path.starts_with('-'), "{told}");
    }
}

#[test]
fn a_variable_behind_export_sets_nothing() {
    let advised = [advice("etcd", "quota-backend-bytes", "8589934592")];
    let unit = "[Service]\nEnvironmentFile=/etc/etcd.env\nExecStart=/usr/bin/etcd --name=a\n";
    let own = "export ETCD_QUOTA_BACKEND_BYTES=1\n";
    let place = "etc/systemd/system/etcd.service";
    let case = Case::new(&advised, &[(place, unit), ("etc/etcd.env", own)]);
    let (told, files) = case.run("systemd", "out", &["--etcd-version", "3.5.16"]);
    let drop_in = &files["etcd.service.d/90-etcd-doctor.conf"];
    assert!(
        drop_in.contains("ETCD_QUOTA_BACKEND_BYTES=8589934592"),
        "{told}"
    );
    assert!(
        !files.keys().any(|name| name.ends_with("etcd.env")),
        "{told}"
    );
}

#[test]
fn the_files_of_one_node_are_not_for_the_others() {
    let advised = [advice("etcd", "quota-backend-bytes", "8589934592")];
    let unit = "[Service]\nExecStart=/usr/bin/etcd --name=a --quota-backend-bytes=1 \
                --initial-cluster=a=https://10.0.0.1:2380,b=https://10.0.0.2:2380\n";
    let case = Case::new(&advised, &[("etcd.service", unit)]);
    let (_, files) = case.run("systemd", "out", &["--etcd-version", "3.5.16"]);
    let steps = &files["STEPS.md"];
    assert!(steps.contains("On a:\n"), "{steps}");
    assert!(
        steps.contains("On b: the files here are those of a alone"),
        "{steps}"
    );
    // A configuration that is a server's own goes to that server.
    let own = "node-name: cp0\netcd-arg: [quota-backend-bytes=1]\n";
    let case = Case::new(&advised, &[("config.yaml", own)]);
    let (_, files) = case.run("k3s", "out", &["--etcd-version", "3.5.16"]);
    let steps = &files["STEPS.md"];
    assert!(!steps.contains("On every server node"), "{steps}");
    assert!(
        steps.contains("cp config/config.yaml /etc/rancher/k3s/config.yaml"),
        "{steps}"
    );
    assert!(steps.contains("On any other node: "), "{steps}");
}

#[test]
fn the_second_etcd_of_a_configuration_file_reads_no_file() {
    let files = units().remove(3).1;
    let case = Case::new(&[shard()], &files);
    let (_, out) = case.run("systemd", "out", &["--etcd-version", "3.5.16"]);
    let unit = &out["etcd-events.service"];
    assert!(
        !unit.contains("--config-file"),
        "it would start on main etcd's data:\n{unit}"
    );
    for part in [
        "ExecStart=/opt/etcd/etcd \\\n",
        "--data-dir=/var/lib/etcd-events \\\n",
        "--name=a-events \\\n",
        "--cert-file=/etc/etcd/server.crt \\\n",
        "--client-cert-auth=true \\\n",
        "--initial-cluster=a-events=https://10.0.0.1:2383,b-events=https://10.0.0.2:2383 \\\n",
    ] {
        assert!(unit.contains(part), "no `{part}` in\n{unit}");
    }
    let steps = &out["STEPS.md"];
    for part in [
        "mountpoint -q /var/lib/etcd-events",
        "event TTL",
        "make-mirror",
        "#139252",
        "Back: take the override out",
        "etcd-servers-overrides",
    ] {
        assert!(steps.contains(part), "no `{part}` in\n{steps}");
    }
}

#[test]
fn files_of_scheduler_and_kubelet_keep_what_is_theirs() {
    for (target, text, advised, keys) in [
        (
            "scheduler-config",
            "# ours\napiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nclientConnection:\n  kubeconfig: /etc/kubernetes/scheduler.conf\n  qps: 50 # half\nleaderElection: {leaderElect: true}\nprofiles:\n- schedulerName: default-scheduler\n",
            vec![
                advice("kube-scheduler", "kube-api-qps", "100"),
                advice("kube-scheduler", "kube-api-burst", "200"),
                advice("kube-scheduler", "parallelism", "32"),
            ],
            vec![
                ("/clientConnection/qps", json!(100)),
                ("/clientConnection/burst", json!(200)),
                ("/parallelism", json!(32)),
            ],
        ),
        (
            "kubelet-config",
            "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nauthentication:\n  anonymous:\n    enabled: false\nclusterDNS:\n- 10.96.0.10\neventRecordQPS: 0\nnodeStatusUpdateFrequency: 10s # as always\n",
            vec![
                advice("kubelet", "kube-api-qps", "50"),
                advice("kubelet", "kube-api-burst", "100"),
                advice("kubelet", "event-qps", "5"),
                advice("kubelet", "nodeStatusReportFrequency", "5m0s"),
            ],
            vec![
                ("/kubeAPIQPS", json!(50)),
                ("/kubeAPIBurst", json!(100)),
                ("/eventRecordQPS", json!(5)),
                ("/nodeStatusReportFrequency", json!("5m0s")),
            ],
        ),
    ] {
        let case = Case::new(&advised, &[("config.yaml", text)]);
        let (told, out) = case.run(target, "out", &[]);
        assert_eq!(shown(&told), [], "{target}");
        let after = &out["config.yaml"];
        let mut wanted: Value = yaml_serde::from_str(text).unwrap();
        let read: Value = yaml_serde::from_str(after).unwrap();
        for (pointer, value) in keys {
            assert_eq!(read.pointer(pointer), Some(&value), "{target} {pointer}");
            let mut at = &mut wanted;
            for key in pointer.trim_start_matches('/').split('/') {
                at = &mut at[key];
            }
            *at = value;
        }
        assert_eq!(read, wanted, "{target}: nothing else");
        assert!(after.contains("# half") || after.contains("# as always"));
        assert_eq!(
            apply_diff(after, &out["config.yaml.diff"], true).as_deref(),
            Some(text)
        );
        case.put("config.yaml", after);
        let (again, _) = case.run(target, "again", &[]);
        assert_eq!(again["files"], json!([]), "{again}");
    }
}

#[test]
fn priority_levels_in_the_version_of_each_release() {
    for (release, api, shares) in [
        ("1.20.6", "v1beta1", "assuredConcurrencyShares"),
        ("1.23.1", "v1beta2", "assuredConcurrencyShares"),
        ("1.26.0", "v1beta3", "nominalConcurrencyShares"),
        ("1.29.0", "v1", "nominalConcurrencyShares"),
        ("1.36.0", "v1", "nominalConcurrencyShares"),
    ] {
        let case = Case::new(&[level()], &[]);
        let version = ["--kubernetes-version", release];
        let (_, out) = case.run("apf", "out", &version);
        let text = &out["apf/limit-x.yaml"];
        for part in [
            &format!("flowcontrol.apiserver.k8s.io/{api}\n"),
            &format!("{shares}: 10"),
        ] {
            assert!(text.contains(part.as_str()), "{release}: {text}");
        }
        // As the API server gives it back: with defaults and a status, in a list.
        let mut items: Vec<Value> = {
            use serde::Deserialize as _;
            yaml_serde::Deserializer::from_str(text)
                .map(|document| Value::deserialize(document).unwrap())
                .collect()
        };
        for item in &mut items {
            item["metadata"]["uid"] = json!("1");
            item["status"] = json!({});
        }
        items[1]["spec"]["matchingPrecedence"] = json!(1000);
        let list = json!({ "kind": "List", "apiVersion": "v1", "items": items });
        case.put("live.json", &list.to_string());
        let (again, _) = case.run("apf", "again", &version);
        assert_eq!(again["files"], json!([]), "{again}");
        items[0]["spec"]["limited"][shares] = json!(99);
        let list = json!({ "kind": "List", "apiVersion": "v1", "items": items });
        case.put("live.json", &list.to_string());
        let (drifted, _) = case.run("apf", "drifted", &version);
        assert_ne!(drifted["files"], json!([]), "somebody changed the shares");
    }
    let case = Case::new(&[level()], &[]);
    let (told, _) = case.run("apf", "out", &["--kubernetes-version", "1.19.3"]);
    assert_eq!(told["files"], json!([]), "1.19 has none by default");
}

#[test]
fn the_member_that_leads_goes_last_and_each_target_says_how_to_find_it() {
    let unit = "[Service]\nExecStart=/usr/bin/etcd --name=a --data-dir=/var/lib/etcd --advertise-client-urls=https://10.0.0.1:2379 --trusted-ca-file=/etc/etcd/ca.crt --cert-file=/etc/etcd/s.crt --key-file=/etc/etcd/s.key\n";
    let quota = [advice("etcd", "quota-backend-bytes", "8589934592")];
    for (target, files, ask) in [
        (
            "k3s",
            &[("config.yaml", "token: x\n")][..],
            "`etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/var/lib/rancher/k3s/server/tls/etcd/server-ca.crt",
        ),
        (
            "rke2",
            &[("config.yaml", "token: x\n")],
            "`kubectl -n kube-system exec etcd-NODE -- etcdctl --cacert=/var/lib/rancher/rke2/server/tls/etcd/server-ca.crt",
        ),
        (
            "talos",
            &[("controlplane.yaml", MACHINE)],
            "`talosctl -n NODE,NODE,NODE etcd status`",
        ),
        (
            "systemd",
            &[("etcd.service", unit)],
            "`etcdctl --endpoints=https://10.0.0.1:2379 --cacert=/etc/etcd/ca.crt --cert=/etc/etcd/s.crt --key=/etc/etcd/s.key endpoint status --cluster -w table`",
        ),
    ] {
        let case = Case::new(&quota, files);
        let (_, out) = case.run(target, "out", &["--etcd-version", "3.5.21"]);
        let steps = &out["STEPS.md"];
        assert!(steps.contains(ask), "{target}: {steps}");
        assert!(
            steps.contains("Which member of etcd leads is not known: `"),
            "{target}: {steps}"
        );
        // Who does not touch etcd need not know.
        let case = Case::new(
            &[advice("kube-controller-manager", "kube-api-qps", "100")],
            files,
        );
        let (_, out) = case.run(target, "out", &[]);
        assert!(
            out.get("STEPS.md")
                .is_none_or(|steps| !steps.contains("leads")),
            "{target}"
        );
    }
}

#[test]
fn a_second_etcd_that_is_not_written_is_explained() {
    for (target, parts) in [
        (
            "k3s",
            &[
                "--cert-file=/var/lib/rancher/k3s/server/tls/etcd/server-client.crt",
                "kube-apiserver-arg+: [\"etcd-servers-overrides=/events#",
                "keeps kube-apiserver from starting",
            ][..],
        ),
        (
            "rke2",
            &["/var/lib/rancher/rke2/server/tls/etcd/peer-ca.crt"],
        ),
        (
            "talos",
            &[
                "`cluster.etcd.ca`",
                "cluster.apiServer.extraArgs.etcd-servers-overrides",
            ],
        ),
    ] {
        let case = Case::new(&[shard()], &[]);
        let (told, out) = case.run(target, "out", &["--kubernetes-version", "1.31.2"]);
        let why = shown(&told);
        assert_eq!(why.len(), 1, "{why:?}");
        for part in parts {
            assert!(why[0].1.contains(part), "{target}: {}", why[0].1);
        }
        assert!(out.is_empty(), "{out:?}");
    }
}

#[test]
fn units_and_lists_that_give_a_setting_twice() {
    let quota = [advice("etcd", "quota-backend-bytes", "8589934592")];
    let unit = "[Service]\nExecStart=/usr/bin/etcd --quota-backend-bytes=1 --name=a -quota-backend-bytes 2 --data-dir=/x\n";
    let case = Case::new(&quota, &[("etcd.service", unit)]);
    let (_, out) = case.run("systemd", "out", &["--etcd-version", "3.5.16"]);
    assert!(
        out["etcd.service.d/90-etcd-doctor.conf"].ends_with(
            "ExecStart=/usr/bin/etcd --name=a -quota-backend-bytes 8589934592 --data-dir=/x\n"
        ),
        "{out:?}"
    );
    let both = "[Service]\nEnvironment=\"ETCD_QUOTA_BACKEND_BYTES=1\" ETCD_NAME=a\nExecStart=/usr/bin/etcd --quota-backend-bytes=2\n";
    let case = Case::new(&quota, &[("etcd.service", both)]);
    let (told, out) = case.run("systemd", "out", &["--etcd-version", "3.5.16"]);
    assert!(shown(&told)[0].1.contains("take one out first"), "{told}");
    assert!(out.is_empty(), "{out:?}");
    let list = "etcd-arg:\n- quota-backend-bytes=1\n- quota-backend-bytes=2\n";
    let case = Case::new(&quota, &[("config.yaml", list)]);
    let (told, _) = case.run("rke2", "out", &["--etcd-version", "3.5.16"]);
    assert!(
        shown(&told)[0]
            .1
            .contains("line 3, column 3: quota-backend-bytes is there more than once"),
        "{told}"
    );
    // A key without a value takes one; a map that others share does not.
    let qps = [advice("kube-scheduler", "kube-api-qps", "100")];
    let kind = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
    let case = Case::new(
        &qps,
        &[("s.yaml", &format!("{kind}clientConnection: # none\n"))],
    );
    let (_, out) = case.run("scheduler-config", "out", &[]);
    assert_eq!(
        out["s.yaml"],
        format!("{kind}clientConnection: # none\n  qps: 100\n")
    );
    let shared = format!("{kind}x: &c {{qps: 5}}\nclientConnection: *c\n");
    let case = Case::new(&qps, &[("s.yaml", &shared)]);
    let (told, out) = case.run("scheduler-config", "out", &[]);
    assert!(
        shown(&told)[0].1.starts_with("line 4, column 1: "),
        "{told}"
    );
    assert!(out.is_empty(), "{out:?}");
}

/// The list on a server's command line replaces those of its files: with the unit in the tree, the
/// change stands where it acts, and reads back as the program reads the node.
#[test]
fn a_list_on_the_command_line_of_a_server_is_found_in_its_tree() {
    let advised = [advice("etcd", "quota-backend-bytes", "8589934592")];
    let more = ["--etcd-version", "3.5.13"];
    let dropped = "k3s.service.d/90-etcd-doctor.conf";
    for (folders, outs) in [
        (vec![""], vec![""]),
        (vec!["manifests/"], vec![""]),
        (vec!["cp0/", "cp1/"], vec!["cp0/", "cp1/"]),
    ] {
        let unit = "[Service]\nExecStart=/usr/local/bin/k3s \\\n    server \\\n\t'--etcd-arg=quota-backend-bytes=1' \\\n\n";
        let case = Case::new(&advised, &[]);
        for folder in &folders {
            case.put(
                &format!("{folder}etc/rancher/k3s/config.yaml"),
                "cluster-init: true\n",
            );
            case.put(&format!("{folder}etc/systemd/system/k3s.service"), unit);
        }
        let (told, files) = case.run("k3s", "out", &more);
        assert_eq!(shown(&told), []);
        assert!(files["STEPS.md"].contains("replaces the list of the files"));
        for (folder, out) in folders.iter().zip(&outs) {
            let text = &files[&format!("{out}{dropped}")];
            case.put(&format!("{folder}etc/systemd/system/{dropped}"), text);
        }
        assert!(files.keys().all(|path| !path.contains("config.yaml.d")));
        let (told, _) = case.run("k3s", "again", &more);
        assert_eq!(told["files"], json!([]));
        assert_eq!(told["already"].as_array().unwrap().len(), folders.len());
        if folders == [""] {
            let says = case.says("manifests/");
            let key = ("etcd".to_owned(), "quota-backend-bytes".to_owned());
            assert_eq!(says[&key], "8589934592");
        }
    }
}

/// Folders of nodes that are laid out as the node's root, with etcd's own configuration file.
#[test]
fn systemd_reads_the_trees_of_several_nodes() {
    let advised = [advice("etcd", "quota-backend-bytes", "8589934592")];
    let case = Case::new(&advised, &[]);
    for (node, quota) in [("cp0", "67108864"), ("cp1", "9000000000")] {
        case.put(
            &format!("{node}/etc/systemd/system/etcd.service"),
            "[Service]\nExecStart=/usr/bin/etcd --config-file /etc/etcd/etcd.conf.yml\n",
        );
        case.put(
            &format!("{node}/etc/etcd/etcd.conf.yml"),
            &format!("name: {node}\nquota-backend-bytes: {quota}\n"),
        );
    }
    let (told, files) = case.run("systemd", "out", &["--etcd-version", "3.5.16"]);
    assert_eq!(shown(&told), []);
    assert!(files["cp0/etc/etcd/etcd.conf.yml"].contains("8589934592"));
    assert!(
        !files.keys().any(|path| path.starts_with("cp1/")),
        "{files:?}"
    );
    assert!(
        told["already"][0].as_str().unwrap().contains("etcd on cp1"),
        "{told}"
    );
}
