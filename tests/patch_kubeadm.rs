//! `patch --target kubeadm` on real and made-up manifests: what is written reads back with the
//! advised values through the program's own readers, and nothing else is touched.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test over files it made itself"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use etcd_doctor::manifest::{read_bundle, settle};
use etcd_doctor::target::HostRoot;
use serde_json::{Value, json};
use support::{doctor, fixtures};

fn advice(id: &str, target: &str, setting: &str, proposed: &str) -> Value {
    json!({
        "id": id, "remedy": "etcd", "strength": "recommended", "target": target,
        "setting": setting, "now": null, "proposed": proposed, "why": "because", "effect": "better",
        "confidence": "high", "risk": "some", "undo": "set it back", "verify": "look",
        "disposition": "disruptive", "finding_ids": [], "source": "docs",
    })
}

fn shard() -> Value {
    let mut shard = advice(
        "shard-events",
        "kube-apiserver",
        "etcd-servers-overrides",
        "/events#https://10.10.0.11:2382;https://10.10.0.12:2382;https://10.10.0.13:2382",
    );
    shard["details"] = json!({ "resource": "events" });
    shard
}

fn apf() -> Value {
    let mut apf = advice("apf-x", "kube-apiserver", "FlowSchema limit-x", "a level");
    apf["disposition"] = json!("safe");
    apf["details"] =
        json!({ "level": "limit-x", "user": "system:serviceaccount:a:b", "shares": "10" });
    apf
}

fn all() -> Vec<Value> {
    vec![
        shard(),
        advice("kcm-qps", "kube-controller-manager", "kube-api-qps", "200"),
        advice(
            "kcm-burst",
            "kube-controller-manager",
            "kube-api-burst",
            "200",
        ),
        advice("etcd-quota", "etcd", "quota-backend-bytes", "8589934592"),
        advice(
            "jobs",
            "kube-controller-manager",
            "concurrent-job-syncs",
            "10",
        ),
        apf(),
    ]
}

struct Case {
    dir: tempfile::TempDir,
}

impl Case {
    fn new(advice: &[Value]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join("report.json"),
            json!({ "advice": advice }).to_string(),
        )
        .unwrap();
        Case { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, manifests: &Path, out: &str, more: &[&str]) -> Value {
        doctor(&["patch", "--format", "json", "--target", "kubeadm"])
            .arg("--report")
            .path(self.path("report.json"))
            .arg("--manifests")
            .path(manifests)
            .arg("--out")
            .path(self.path(out))
            .args(more)
            .json()
    }
}

/// Every file under a folder with its text.
fn tree(dir: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(at) = todo.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let name = path
                    .strip_prefix(dir)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                all.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    all
}

/// Effective settings of a folder of manifests: component, setting, value, for what was given.
fn effective(dir: &Path) -> BTreeMap<(String, String), String> {
    let stage = tempfile::tempdir().unwrap();
    let to = stage.path().join("manifests");
    fs::create_dir_all(&to).unwrap();
    for (name, text) in tree(dir) {
        let flat = name.replace('/', "-");
        fs::write(to.join(flat), text).unwrap();
    }
    let model = read_bundle(&HostRoot::new(stage.path()));
    let mut all = BTreeMap::new();
    for instance in &model.instances {
        for (name, one) in settle(instance).settings {
            if one.place.is_some() {
                all.insert((instance.name.clone(), name), one.value.unwrap_or_default());
            }
        }
    }
    all
}

#[test]
fn the_patch_reads_back_and_changes_nothing_else() {
    let manifests = fixtures().join("paypal/manifests");
    let case = Case::new(&all());
    let told = case.run(&manifests, "out", &[]);
    let out = tree(&case.path("out"));
    let names: Vec<&str> = out.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "STEPS.md",
            "apf/limit-x.yaml",
            "diffs/etcd.yaml.diff",
            "diffs/kube-apiserver.yaml.diff",
            "diffs/kube-controller-manager.yaml.diff",
            "events-etcd/cp0/etcd-events.yaml",
            "events-etcd/cp1/etcd-events.yaml",
            "events-etcd/cp2/etcd-events.yaml",
            "kubeadm/extra-args.v1beta2.yaml",
            "manifests/etcd.yaml",
            "manifests/kube-apiserver.yaml",
            "manifests/kube-controller-manager.yaml",
        ]
    );
    // 1.20 has no such flag.
    let shown = told["shown"].as_array().unwrap();
    assert!(
        shown
            .iter()
            .any(|s| s["advice"] == "jobs" && s["why"].as_str().unwrap().contains("1.20.6")),
        "{shown:?}"
    );
    let mut wanted = effective(&manifests);
    // Nothing is advised about it, so its manifest is not written.
    wanted.retain(|(component, _), _| component != "kube-scheduler");
    for (component, name, value) in [
        ("kube-controller-manager", "kube-api-qps", "200"),
        ("kube-controller-manager", "kube-api-burst", "200"),
        ("etcd", "quota-backend-bytes", "8589934592"),
        (
            "kube-apiserver",
            "etcd-servers-overrides",
            "/events#https://10.10.0.11:2382;https://10.10.0.12:2382;https://10.10.0.13:2382",
        ),
    ] {
        wanted.insert((component.to_owned(), name.to_owned()), value.to_owned());
    }
    assert_eq!(effective(&case.path("out/manifests")), wanted);
    for (name, lines) in [
        ("etcd", 1),
        ("kube-apiserver", 1),
        ("kube-controller-manager", 2),
    ] {
        let diff = &out[&format!("diffs/{name}.yaml.diff")];
        let count = |mark: char| {
            diff.lines()
                .filter(|l| l.starts_with(mark) && !l.starts_with("---") && !l.starts_with("+++"))
                .count()
        };
        assert_eq!((count('+'), count('-')), (lines, 0), "{diff}");
    }
    assert!(out["apf/limit-x.yaml"].contains("v1beta1"));
    assert!(out["kubeadm/extra-args.v1beta2.yaml"].contains("kube-api-qps: \"200\""));
}

#[test]
fn a_second_run_over_its_own_output_changes_nothing() {
    let case = Case::new(&all()[..4]);
    case.run(&fixtures().join("paypal/manifests"), "out", &[]);
    // What the steps say: the second etcd's pod lies beside the others.
    fs::copy(
        case.path("out/events-etcd/cp0/etcd-events.yaml"),
        case.path("out/manifests/etcd-events.yaml"),
    )
    .unwrap();
    let told = case.run(&case.path("out/manifests"), "again", &[]);
    assert_eq!(told["files"], json!([]));
    assert_eq!(told["already"].as_array().unwrap().len(), 4);
    assert!(!case.path("again").exists());
}

#[test]
fn undo_by_the_old_value_restores_the_file() {
    let manifests = fixtures().join("paypal/manifests");
    let case = Case::new(&[advice("s", "etcd", "snapshot-count", "5000")]);
    case.run(&manifests, "out", &[]);
    let back = Case::new(&[advice("s", "etcd", "snapshot-count", "10000")]);
    back.run(&case.path("out/manifests"), "out", &[]);
    assert_eq!(
        fs::read_to_string(back.path("out/manifests/etcd.yaml")).unwrap(),
        fs::read_to_string(manifests.join("etcd.yaml")).unwrap()
    );
}

#[test]
fn the_second_etcd_has_its_own_places_and_the_first_ones_certificates() {
    let case = Case::new(&[shard()]);
    case.run(&fixtures().join("paypal/manifests"), "out", &[]);
    let all = effective(&case.path("out/events-etcd/cp1"));
    let get = |name: &str| {
        all.iter()
            .find(|((_, setting), _)| setting == name)
            .map(|(_, value)| value.as_str())
    };
    assert_eq!(get("name"), Some("cp1-events"));
    assert_eq!(get("data-dir"), Some("/var/lib/etcd-events"));
    assert_eq!(
        get("initial-cluster"),
        Some(
            "cp0-events=https://10.10.0.11:2383,cp1-events=https://10.10.0.12:2383,cp2-events=https://10.10.0.13:2383"
        )
    );
    assert_eq!(get("initial-cluster-state"), Some("new"));
    assert_eq!(
        get("listen-client-urls"),
        Some("https://127.0.0.1:2382,https://10.10.0.12:2382")
    );
    assert_eq!(get("listen-metrics-urls"), Some("http://127.0.0.1:2384"));
    assert_eq!(
        get("trusted-ca-file"),
        Some("/etc/kubernetes/pki/etcd/ca.crt")
    );
    assert_eq!(get("client-cert-auth"), Some("true"));
    let text = fs::read_to_string(case.path("out/events-etcd/cp1/etcd-events.yaml")).unwrap();
    assert!(text.contains("image: k8s.gcr.io/etcd:3.4.13-0"));
    // 3.4.13 knows neither /livez nor `serializable=`.
    assert!(text.contains("path: /health\n"), "{text}");
    let steps = fs::read_to_string(case.path("out/STEPS.md")).unwrap();
    let at = |part: &str| {
        steps
            .find(part)
            .unwrap_or_else(|| panic!("no {part}:\n{steps}"))
    };
    assert!(at("snapshot save") < at("start the second etcd"));
    assert!(at("start the second etcd") < at("one node at a time"));
    assert!(at("mountpoint -q /var/lib/etcd-events") < at("## Back"));
    assert!(steps.contains("make-mirror"));
}

#[test]
fn from_1_34_on_the_liveness_probe_leaves_the_shard_out() {
    let case = Case::new(&[shard()]);
    let manifests = case.path("manifests");
    fs::create_dir_all(&manifests).unwrap();
    for (name, text) in tree(&fixtures().join("paypal/manifests")) {
        let text = text
            .replace("v1.20.6", "v1.34.1")
            .replace("3.4.13-0", "3.6.4-0");
        fs::write(manifests.join(name), text).unwrap();
    }
    case.run(&manifests, "out", &[]);
    let out = tree(&case.path("out"));
    let probe = "path: /livez?exclude=etcd-override-0";
    assert!(out["manifests/kube-apiserver.yaml"].contains(probe));
    assert!(out["patches/kube-apiserver-liveness+strategic.yaml"].contains(probe));
    assert!(out["kubeadm/extra-args.v1beta4.yaml"].contains("- name: etcd-servers-overrides"));
    assert!(out["events-etcd/cp0/etcd-events.yaml"].contains("path: /livez\n"));
    for (name, text) in out.iter().filter(|(name, _)| name.starts_with("patches/")) {
        assert!(
            !text.contains("command"),
            "{name}: a merge would replace the whole command"
        );
    }
}

#[test]
fn an_unknown_version_shows_what_depends_on_it() {
    let case = Case::new(&[
        advice(
            "jobs",
            "kube-controller-manager",
            "concurrent-job-syncs",
            "10",
        ),
        advice("qps", "kube-controller-manager", "kube-api-qps", "100"),
        apf(),
    ]);
    let manifests = case.path("manifests");
    fs::create_dir_all(&manifests).unwrap();
    let text = fs::read_to_string(fixtures().join("paypal/manifests/kube-controller-manager.yaml"))
        .unwrap();
    let text = text.replace(
        "kube-controller-manager:v1.20.6",
        "kube-controller-manager@sha256:0a1b",
    );
    fs::write(manifests.join("kube-controller-manager.yaml"), text).unwrap();
    let told = case.run(&manifests, "out", &[]);
    let shown: Vec<&str> = told["shown"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["advice"].as_str().unwrap())
        .collect();
    assert_eq!(shown, ["jobs", "apf-x"]);
    let out = tree(&case.path("out"));
    assert!(out["manifests/kube-controller-manager.yaml"].contains("--kube-api-qps=100"));
    assert!(out.contains_key("kubeadm/extra-args.v1beta3.yaml"));
    assert!(out.contains_key("kubeadm/extra-args.v1beta4.yaml"));
    // The version can be told.
    let told = case.run(&manifests, "told", &["--kubernetes-version", "1.30.2"]);
    assert_eq!(told["shown"], json!([]));
}

#[test]
fn candidates_only_when_named_and_refused_never() {
    let mut candidate = advice("c", "etcd", "quota-backend-bytes", "8589934592");
    candidate["strength"] = json!("candidate");
    let mut refused = advice("r", "etcd", "snapshot-count", "1");
    refused["strength"] = json!("refused");
    let case = Case::new(&[candidate, refused]);
    let manifests = fixtures().join("paypal/manifests");
    assert_eq!(case.run(&manifests, "none", &[])["files"], json!([]));
    let named = case.run(&manifests, "one", &["--advice", "c"]);
    assert!(!named["files"].as_array().unwrap().is_empty());
    assert_eq!(
        case.run(&manifests, "two", &["--advice", "r"])["files"],
        json!([])
    );
}

#[test]
fn damaged_manifests_are_refused_with_their_place_and_the_rest_is_written() {
    let case = Case::new(&[
        advice("qps", "kube-controller-manager", "kube-api-qps", "100"),
        advice("q", "etcd", "quota-backend-bytes", "8589934592"),
    ]);
    let manifests = case.path("manifests");
    fs::create_dir_all(&manifests).unwrap();
    let kcm =
        "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n\t- name: kube-controller-manager\n";
    fs::write(manifests.join("kube-controller-manager.yaml"), kcm).unwrap();
    fs::copy(
        fixtures().join("paypal/manifests/etcd.yaml"),
        manifests.join("etcd.yaml"),
    )
    .unwrap();
    let told = case.run(&manifests, "out", &["--kubernetes-version", "1.30.0"]);
    let why = told["shown"][0]["why"].as_str().unwrap();
    assert!(why.starts_with("line 5, column 1:"), "{why}");
    let out = tree(&case.path("out"));
    assert!(out.contains_key("manifests/etcd.yaml"));
    assert!(!out.contains_key("manifests/kube-controller-manager.yaml"));
}

#[test]
fn a_cluster_configuration_is_edited_and_keeps_its_comments() {
    let case = Case::new(&all()[..3]);
    let config = case.path("config.yaml");
    let text = "# ours\napiVersion: kubeadm.k8s.io/v1beta2\nkind: ClusterConfiguration\napiServer:\n  extraArgs:\n    authorization-mode: Node,RBAC # both\nkubernetesVersion: v1.20.6\n";
    fs::write(&config, text).unwrap();
    case.run(
        &fixtures().join("paypal/manifests"),
        "out",
        &["--cluster-configuration", config.to_str().unwrap()],
    );
    let out = tree(&case.path("out"));
    let edited = &out["kubeadm/ClusterConfiguration.yaml"];
    for line in text.lines() {
        assert!(edited.contains(line), "{line}");
    }
    assert!(
        edited.contains("controllerManager:\n  extraArgs:\n    kube-api-qps: \"200\"\n"),
        "{edited}"
    );
    assert!(!out.keys().any(|name| name.contains("extra-args")));
}

#[test]
fn a_configuration_that_cannot_be_edited_is_missing_what_the_pods_have() {
    let case = Case::new(&all()[1..2]);
    case.run(&fixtures().join("paypal/manifests"), "out", &[]);
    let manifests = case.path("out/manifests");
    let config = case.path("config.yaml");
    let text = "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\nkubernetesVersion: v1.31.0\ncontrollerManager: &x\n  extraArgs:\n    kube-api-qps: \"50\"\ny: *x\n";
    fs::write(&config, text).unwrap();
    let given = ["--cluster-configuration", config.to_str().unwrap()];
    let told = case.run(&manifests, "again", &given);
    let files = told["files"].as_array().unwrap();
    let fragment = "kubeadm/extra-args.v1beta3.yaml";
    assert!(files.iter().any(|file| file["path"] == fragment), "{told}");
    let text = &tree(&case.path("again"))[fragment];
    assert!(text.contains("kube-api-qps: \"200\""), "{text}");
    let checked = doctor(&["patch", "--target", "kubeadm", "--check", "--report"])
        .path(case.path("report.json"))
        .arg("--manifests")
        .path(&manifests)
        .args(&given)
        .output();
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert_eq!(checked.status.code(), Some(1), "{text}");
    assert!(text.contains("missing   kcm-qps"), "{text}");
    assert!(text.contains("by hand   ClusterConfiguration: "), "{text}");
}

#[test]
fn what_an_earlier_run_left_is_named_and_what_is_not_ours_is_kept() {
    let case = Case::new(&all()[1..4]);
    let manifests = fixtures().join("paypal/manifests");
    case.run(&manifests, "out", &[]);
    let told = case.run(&manifests, "out", &["--advice", "kcm-qps"]);
    assert_eq!(
        told["stale"],
        json!(["diffs/etcd.yaml.diff", "manifests/etcd.yaml"])
    );
    let foreign = case.path("mine/STEPS.md");
    fs::create_dir_all(case.path("mine")).unwrap();
    fs::write(&foreign, "# My steps\n").unwrap();
    let refused = doctor(&["patch", "--target", "kubeadm", "--report"])
        .path(case.path("report.json"))
        .arg("--manifests")
        .path(&manifests)
        .arg("--out")
        .path(case.path("mine"))
        .output();
    assert_eq!(refused.status.code(), Some(64));
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "# My steps\n");
    assert!(!case.path("mine/manifests").exists());
}

#[test]
fn what_is_no_file_is_said_in_its_own_words() {
    let mut move_it = advice(
        "shard-leases",
        "kube-apiserver",
        "etcd-servers-overrides",
        "move",
    );
    move_it["disposition"] = json!("show-only");
    let case = Case::new(&[move_it]);
    let told = case.run(&fixtures().join("paypal/manifests"), "out", &[]);
    let why = told["shown"][0]["why"].as_str().unwrap();
    assert_eq!(why, "something to do, not a file: move");
}

/// What the program says when it is to write there.
fn written_to(case: &Case, out: &Path) -> String {
    doctor(&["patch", "--target", "kubeadm"])
        .arg("--report")
        .path(case.path("report.json"))
        .arg("--manifests")
        .path(fixtures().join("paypal/manifests"))
        .arg("--out")
        .path(out)
        .text()
}

#[test]
fn nothing_is_written_where_the_kubelet_would_start_it() {
    let case = Case::new(&all());
    let pods = case.path("etc/kubernetes/manifests");
    fs::create_dir_all(&pods).unwrap();
    let link = case.path("link");
    std::os::unix::fs::symlink(&pods, &link).unwrap();
    for out in [pods.clone(), pods.join("sub/dir"), link] {
        let text = written_to(&case, &out);
        assert!(text.starts_with("exit 64"), "{text}");
        assert!(text.contains("the kubelet starts every file"), "{text}");
    }
    assert!(tree(&pods).is_empty());
    // What other programs do with their folders by themselves.
    for (folder, why) in [
        (
            "var/lib/rancher/k3s/server/manifests",
            "k3s applies every file",
        ),
        ("etc/rancher/rke2", "in force at the next restart"),
        ("etc/systemd/system", "in force at the next restart"),
    ] {
        let text = written_to(&case, &case.path(folder));
        assert!(text.starts_with("exit 64") && text.contains(why), "{text}");
    }
    // A link inside the folder that leads out of it.
    let out = case.path("out");
    fs::create_dir_all(&out).unwrap();
    std::os::unix::fs::symlink(&pods, out.join("manifests")).unwrap();
    let text = written_to(&case, &out);
    assert!(text.starts_with("exit 64"), "{text}");
    assert!(tree(&pods).is_empty());
    let left: Vec<String> = tree(&out).into_keys().collect();
    assert!(left.is_empty(), "all or none: {left:?}");
}

const LEASES: &str = "coordination.k8s.io/leases#https://10.10.0.11:2385";

/// The shard as advised where the evidence showed an override of leases.
fn shard_beside_leases() -> Value {
    let mut shard = shard();
    let events = shard["proposed"].as_str().unwrap().to_owned();
    shard["now"] = json!(LEASES);
    shard["proposed"] = json!(format!("{LEASES},{events}"));
    shard
}

/// A folder with main etcd's manifest and kube-apiserver's, the latter edited.
fn with_apiserver(case: &Case, dir: &str, edit: &dyn Fn(&str) -> String) -> PathBuf {
    let from = fixtures().join("paypal/manifests");
    let to = case.path(dir);
    fs::create_dir_all(&to).unwrap();
    fs::copy(from.join("etcd.yaml"), to.join("etcd.yaml")).unwrap();
    let text = fs::read_to_string(from.join("kube-apiserver.yaml")).unwrap();
    fs::write(to.join("kube-apiserver.yaml"), edit(&text)).unwrap();
    to
}

/// Why nothing was written for an advice.
fn why(told: &Value, advice: &str) -> String {
    let shown = told["shown"].as_array().unwrap();
    let one = shown.iter().find(|shown| shown["advice"] == advice);
    one.map(|one| one["why"].as_str().unwrap().to_owned())
        .unwrap_or_default()
}

#[test]
fn an_override_to_an_etcd_that_would_not_answer_is_withheld() {
    let etcd = |edit: &dyn Fn(&str) -> String| {
        let case = Case::new(&[shard()]);
        let dir = with_apiserver(&case, "m", &str::to_owned);
        let text = fs::read_to_string(dir.join("etcd.yaml")).unwrap();
        let after = edit(&text);
        assert_ne!(text, after);
        fs::write(dir.join("etcd.yaml"), after).unwrap();
        let told = case.run(&dir, "out", &[]);
        (told, case.path("out").exists())
    };
    for (from, to, part) in [
        ("https://", "http://", "kube-apiserver would not start"),
        (
            "--data-dir=/var/lib/etcd",
            "--data-dir=/var/lib/etcd-events",
            "one folder",
        ),
        (
            "http://127.0.0.1:2381",
            "http://127.0.0.1:2384",
            "--listen-metrics-urls has",
        ),
    ] {
        let (told, written) = etcd(&|text| text.replace(from, to));
        let why = why(&told, "shard-events");
        assert!(why.contains(part), "{to}: {why}");
        assert!(!written, "{to}");
    }
    // Without main etcd's manifest there is no second etcd; and etcd is of other machines, so that
    // kubeadm sets no flag of it.
    let case = Case::new(&[
        shard(),
        advice("etcd-quota", "etcd", "quota-backend-bytes", "8589934592"),
    ]);
    let dir = with_apiserver(&case, "m", &str::to_owned);
    fs::remove_file(dir.join("etcd.yaml")).unwrap();
    let told = case.run(&dir, "out", &[]);
    assert!(why(&told, "shard-events").contains("keeps kube-apiserver from starting"));
    assert!(why(&told, "etcd-quota").contains("etcd is external"));
    assert!(!case.path("out").exists());
}

#[test]
fn a_plain_etcd_gets_a_plain_shard_without_certificates() {
    let mut plain = shard();
    let value = plain["proposed"].as_str().unwrap().replace("https", "http");
    plain["proposed"] = json!(value.replace(":2382", ":2392"));
    let case = Case::new(&[plain]);
    let dir = with_apiserver(&case, "m", &|text| text.replace("https://", "http://"));
    let text = fs::read_to_string(dir.join("etcd.yaml")).unwrap();
    let keep = |line: &&str| {
        !["-file=", "-auth=", "--trusted-ca", "--peer-trusted-ca"]
            .iter()
            .any(|part| line.contains(part))
    };
    let text: Vec<String> = text
        .lines()
        .filter(keep)
        .map(|line| line.replace("https://", "http://"))
        .collect();
    fs::write(dir.join("etcd.yaml"), format!("{}\n", text.join("\n"))).unwrap();
    let told = case.run(&dir, "out", &[]);
    assert_eq!(why(&told, "shard-events"), "");
    let out = tree(&case.path("out"));
    let pod = &out["events-etcd/cp0/etcd-events.yaml"];
    for part in [
        "--advertise-client-urls=http://10.10.0.11:2392",
        "--initial-advertise-peer-urls=http://10.10.0.11:2393",
        "--listen-metrics-urls=http://127.0.0.1:2394",
        "port: 2394",
    ] {
        assert!(pod.contains(part), "no {part}:\n{pod}");
    }
    assert!(!pod.contains("pki"), "{pod}");
    let steps = &out["STEPS.md"];
    assert!(!steps.contains("ETCDCTL_CACERT"), "{steps}");
    assert!(steps.contains("(2392|2393|2394)"), "{steps}");
}

#[test]
fn a_shard_for_members_that_nobody_knows_is_no_file() {
    let mut open = shard();
    open["proposed"] =
        json!("/events#https://10.10.0.11:2382;https://<etcd-2>:2382;https://<etcd-3>:2382");
    open["disposition"] = json!("show-only");
    let with = |cluster: &str| {
        let case = Case::new(&[open.clone()]);
        let dir = with_apiserver(&case, "m", &str::to_owned);
        let text = fs::read_to_string(dir.join("etcd.yaml")).unwrap();
        let all =
            "cp0=https://10.10.0.11:2380,cp1=https://10.10.0.12:2380,cp2=https://10.10.0.13:2380";
        assert!(text.contains(all));
        fs::write(dir.join("etcd.yaml"), text.replace(all, cluster)).unwrap();
        let told = case.run(&dir, "out", &[]);
        // Where nothing is to be written there is no folder.
        let out = case.path("out");
        let files = match out.exists() {
            true => tree(&out),
            false => BTreeMap::default(),
        };
        (why(&told, "shard-events"), files)
    };
    // The first node of a cluster names only itself.
    let (why, out) = with("cp0=https://10.10.0.11:2380");
    assert!(why.contains("name only cp0 as etcd's members"), "{why}");
    assert!(why.contains("<etcd-3>"), "{why}");
    assert!(
        out.values()
            .all(|text| !text.contains("--etcd-servers-overrides=")),
        "{out:?}"
    );
    // The manifests of all of them tell what the evidence did not.
    let (why, out) =
        with("cp0=https://10.10.0.11:2380,cp1=https://10.10.0.12:2380,cp2=https://10.10.0.13:2380");
    assert_eq!(why, "");
    assert!(out["manifests/kube-apiserver.yaml"].contains(
        "/events#https://10.10.0.11:2382;https://10.10.0.12:2382;https://10.10.0.13:2382"
    ));
}

#[test]
fn a_half_finished_shard_is_finished_on_the_other_nodes() {
    let first = Case::new(&[shard()]);
    first.run(&fixtures().join("paypal/manifests"), "out", &[]);
    let done = tree(&first.path("out"));
    let mut half = shard();
    half["now"] = json!("the override of /events is on cp0 and not on cp1");
    let case = Case::new(&[half]);
    for (name, host) in [("cp0", "10.10.0.11"), ("cp1", "10.10.0.12")] {
        let dir = with_apiserver(&case, &format!("m/{name}"), &str::to_owned);
        let text = fs::read_to_string(dir.join("etcd.yaml")).unwrap();
        let text = text.replace("--name=cp0", &format!("--name={name}"));
        fs::write(dir.join("etcd.yaml"), text).unwrap();
        if name == "cp0" {
            for file in [
                "manifests/kube-apiserver.yaml",
                "events-etcd/cp0/etcd-events.yaml",
            ] {
                let base = file.rsplit('/').next().unwrap();
                fs::write(dir.join(base), &done[file]).unwrap();
            }
        }
        assert!(!host.is_empty());
    }
    case.run(&case.path("m"), "out", &[]);
    let out = tree(&case.path("out"));
    assert!(
        out.contains_key("events-etcd/cp1/etcd-events.yaml"),
        "{:?}",
        out.keys()
    );
    assert!(!out.contains_key("events-etcd/cp0/etcd-events.yaml"));
    assert!(out["manifests/cp1/kube-apiserver.yaml"].contains("/events#https://10.10.0.11:2382"));
    assert!(!out.contains_key("manifests/cp0/kube-apiserver.yaml"));
    // The third member's manifests were not given, and that is said.
    let steps = &out["STEPS.md"];
    assert!(steps.contains("Of cp2 no manifests were given"), "{steps}");
}

#[test]
fn the_probe_of_a_newer_apiserver_is_judged_by_its_own_version() {
    // The other components are a release behind; the probe already excludes something.
    let case = Case::new(&[shard()]);
    let dir = with_apiserver(&case, "m", &|text| {
        text.replace("v1.20.6", "v1.35.0")
            .replace("path: /livez", "path: /livez?verbose&exclude=ping")
    });
    let scheduler = "kube-scheduler.yaml";
    let from = fixtures().join("paypal/manifests").join(scheduler);
    fs::copy(from, dir.join(scheduler)).unwrap();
    case.run(&dir, "out", &[]);
    let out = tree(&case.path("out"));
    let text = &out["manifests/kube-apiserver.yaml"];
    assert!(
        text.contains("/livez?verbose&exclude=ping&exclude=etcd-override-0"),
        "{text}"
    );
}

#[test]
fn what_others_own_is_left_to_them() {
    let lease = advice(
        "scheduler-lease",
        "kube-scheduler",
        "leader-elect-lease-duration",
        "60s",
    );
    let case = Case::new(&[lease, shard()]);
    let dir = with_apiserver(&case, "m", &str::to_owned);
    let from = fixtures().join("paypal/manifests/kube-scheduler.yaml");
    let text = fs::read_to_string(from).unwrap();
    let text = text.replace(
        "    - --leader-elect=true\n",
        "    - --leader-elect=true\n    - --config=/etc/kubernetes/sc.yaml\n",
    );
    assert!(text.contains("sc.yaml"), "{text}");
    let at = dir.join("kube-scheduler.yaml");
    fs::write(&at, &text).unwrap();
    let told = case.run(&dir, "out", &[]);
    assert!(
        why(&told, "scheduler-lease").contains("--target scheduler-config"),
        "{told}"
    );
    // From 1.23 on the flag wins over the file.
    fs::write(&at, text.replace("v1.20.6", "v1.29.0")).unwrap();
    let told = case.run(&dir, "newer", &[]);
    assert_eq!(why(&told, "scheduler-lease"), "");
    // OpenShift's operators write their pods anew.
    for name in ["etcd.yaml", "kube-apiserver.yaml", "kube-scheduler.yaml"] {
        let text = fs::read_to_string(dir.join(name)).unwrap();
        let text = text.replace("namespace: kube-system", "namespace: openshift-etcd");
        fs::write(dir.join(name), text).unwrap();
    }
    let told = case.run(&dir, "openshift", &[]);
    assert!(
        why(&told, "shard-events").contains("backendQuotaGiB"),
        "{told}"
    );
    assert!(!case.path("openshift").exists());
}

/// The overrides of kube-apiserver in a folder of manifests.
fn overrides(dir: &Path) -> String {
    let of = (
        "kube-apiserver".to_owned(),
        "etcd-servers-overrides".to_owned(),
    );
    effective(dir).remove(&of).unwrap_or_default()
}

#[test]
fn every_file_keeps_the_overrides_that_the_advice_is_not_about() {
    let events = shard()["proposed"].as_str().unwrap().to_owned();
    let manifests = fixtures().join("paypal/manifests");
    // The evidence showed none, and the configuration has one: it stays.
    let mut fresh = shard();
    fresh["now"] = json!("not set: events live in main etcd");
    let case = Case::new(&[fresh]);
    fs::write(
        case.path("cc.yaml"),
        format!(
            "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\nkubernetesVersion: v1.29.3\n\
             apiServer:\n  extraArgs:\n    etcd-servers-overrides: {LEASES}\n"
        ),
    )
    .unwrap();
    let cc = case.path("cc.yaml");
    case.run(
        &manifests,
        "out",
        &["--cluster-configuration", cc.to_str().unwrap()],
    );
    let out = tree(&case.path("out"));
    let config = &out["kubeadm/ClusterConfiguration.yaml"];
    assert!(config.contains(&format!("{LEASES},{events}")), "{config}");
    assert_eq!(overrides(&case.path("out/manifests")), events);
    let steps = &out["STEPS.md"];
    let said = "kube-apiserver in ClusterConfiguration: etcd-servers-overrides is";
    assert!(steps.contains(said), "{steps}");
    // The evidence showed leases, and one manifest has pods in their place.
    let case = Case::new(&[shard_beside_leases()]);
    let pods = "/pods#https://10.10.0.9:2390";
    let text = fs::read_to_string(manifests.join("kube-apiserver.yaml")).unwrap();
    with_apiserver(&case, "m", &str::to_owned);
    fs::write(
        case.path("m/kube-apiserver.yaml"),
        text.replacen(
            "    - --secure-port",
            &format!("    - --etcd-servers-overrides={pods}\n    - --secure-port"),
            1,
        ),
    )
    .unwrap();
    case.run(&case.path("m"), "out", &[]);
    assert_eq!(
        overrides(&case.path("out/manifests")),
        format!("{pods},{events}")
    );
    let out = tree(&case.path("out"));
    assert!(out["STEPS.md"].contains("goes to the entries that are there"));
    assert!(out["STEPS.md"].contains("Not as the evidence showed it"));
    // The same resource at other servers is for nobody to guess.
    let mut other = shard();
    other["now"] = json!(null);
    let case = Case::new(&[other]);
    with_apiserver(&case, "m", &str::to_owned);
    fs::write(
        case.path("m/kube-apiserver.yaml"),
        text.replacen(
            "    - --secure-port",
            "    - --etcd-servers-overrides=/events#https://10.10.0.9:2390\n    - --secure-port",
            1,
        ),
    )
    .unwrap();
    let told = case.run(&case.path("m"), "out", &[]);
    let why = told["shown"][0]["why"].as_str().unwrap();
    assert!(why.contains("https://10.10.0.9:2390"), "{why}");
    assert!(!case.path("out/manifests").exists());
}

#[test]
fn repeated_overrides_are_one_list() {
    let events = shard()["proposed"].as_str().unwrap().to_owned();
    let case = Case::new(&[shard_beside_leases()]);
    let pods = "/pods#https://10.10.0.9:2390";
    let from = fixtures().join("paypal/manifests/kube-apiserver.yaml");
    let text = fs::read_to_string(from).unwrap();
    with_apiserver(&case, "m", &str::to_owned);
    fs::write(
        case.path("m/kube-apiserver.yaml"),
        text.replacen(
            "    - --secure-port",
            &format!(
                "    - --etcd-servers-overrides={LEASES}\n    - --etcd-servers-overrides={pods}\n    \
                 - --secure-port"
            ),
            1,
        ),
    )
    .unwrap();
    case.run(&case.path("m"), "out", &[]);
    assert_eq!(
        overrides(&case.path("out/manifests")),
        format!("{LEASES},{pods},{events}")
    );
}

#[test]
fn components_of_one_file_are_edited_into_one_file() {
    let from = fixtures().join("paypal/manifests");
    let case = Case::new(&all());
    let apart = case.run(&from, "apart", &[]);
    let parts: Vec<String> = ["etcd", "kube-apiserver", "kube-controller-manager"]
        .iter()
        .map(|name| fs::read_to_string(from.join(format!("{name}.yaml"))).unwrap())
        .collect();
    fs::create_dir_all(case.path("m")).unwrap();
    fs::write(case.path("m/all.yaml"), parts.join("---\n")).unwrap();
    let told = case.run(&case.path("m"), "out", &[]);
    assert_eq!(told["shown"], apart["shown"]);
    let out = tree(&case.path("out"));
    let manifests: Vec<&String> = out.keys().filter(|n| n.starts_with("manifests/")).collect();
    assert_eq!(manifests, ["manifests/all.yaml"]);
    assert!(out["diffs/all.yaml.diff"].contains("+    - --kube-api-qps=200"));
    assert!(out["STEPS.md"].contains("the manifest's own name"));
    assert!(!out.keys().any(|name| name.contains(".new")));
    for flag in [
        "--etcd-servers-overrides=/events#",
        "--kube-api-qps=200",
        "--kube-api-burst=200",
        "--quota-backend-bytes=8589934592",
    ] {
        assert_eq!(out["manifests/all.yaml"].matches(flag).count(), 1, "{flag}");
    }
    // With the second etcd in the same file the run is the same, and it is left alone.
    let second = tree(&case.path("out"))
        .into_iter()
        .find(|(name, _)| name.starts_with("events-etcd/"))
        .unwrap()
        .1;
    fs::write(
        case.path("m/all.yaml"),
        format!("{second}---\n{}", parts.join("---\n")),
    )
    .unwrap();
    case.run(&case.path("m"), "two", &[]);
    let text = tree(&case.path("two"))
        .remove("manifests/all.yaml")
        .unwrap();
    assert_eq!(text, format!("{second}---\n{}", out["manifests/all.yaml"]));
}

#[test]
fn a_file_that_cannot_be_put_in_place_leaves_nothing_behind() {
    let case = Case::new(&all());
    // A folder stands where a file is to go.
    let taken = case.path("out/manifests/kube-controller-manager.yaml");
    fs::create_dir_all(&taken).unwrap();
    let text = doctor(&["patch", "--target", "kubeadm"])
        .arg("--report")
        .path(case.path("report.json"))
        .arg("--manifests")
        .path(fixtures().join("paypal/manifests"))
        .arg("--out")
        .path(case.path("out"))
        .text();
    assert!(text.starts_with("exit 70"), "{text}");
    let left: Vec<String> = tree(&case.path("out")).into_keys().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn an_external_etcd_is_not_made_a_local_one() {
    let mut advice = all();
    advice.push(json!({
        "id": "etcd-liveness-probe", "remedy": "etcd", "strength": "recommended", "target": "etcd",
        "setting": "livenessProbe", "now": null, "proposed": "path /livez", "why": "w",
        "effect": "e", "confidence": "high", "risk": "r", "undo": "u", "verify": "v",
        "disposition": "disruptive", "finding_ids": [], "source": "s",
    }));
    let case = Case::new(&advice);
    let before = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n\
                  kubernetesVersion: v1.31.2 # keep\netcd:\n  external:\n    \
                  endpoints: [https://10.0.0.5:2379]\n    caFile: /x\n";
    fs::write(case.path("cc.yaml"), before).unwrap();
    fs::create_dir_all(case.path("none")).unwrap();
    let cc = case.path("cc.yaml");
    let told = case.run(
        &case.path("none"),
        "out",
        &["--cluster-configuration", cc.to_str().unwrap()],
    );
    let out = tree(&case.path("out"));
    let config = &out["kubeadm/ClusterConfiguration.yaml"];
    for part in [
        "kubernetesVersion: v1.31.2 # keep",
        "endpoints: [https://10.0.0.5:2379]",
        "name: kube-api-qps",
    ] {
        assert!(config.contains(part), "no {part} in {config}");
    }
    // No second etcd is written, so nothing may point at one.
    assert!(!config.contains("overrides"), "{config}");
    assert!(why(&told, "shard-events").contains("--target systemd"));
    assert!(!config.contains("local") && !config.contains("quota-backend-bytes"));
    assert!(!out.keys().any(|name| name.contains("extra-args")));
    assert!(!out.keys().any(|name| name.starts_with("patches/etcd")));
    for id in ["etcd-quota", "etcd-liveness-probe"] {
        let shown = told["shown"].as_array().unwrap();
        let one = shown.iter().find(|shown| shown["advice"] == id).unwrap();
        let why = one["why"].as_str().unwrap();
        assert!(why.contains("--target systemd"), "{id}: {why}");
    }
}

#[test]
fn bad_reports_say_what_is_wrong() {
    let case = Case::new(&[]);
    for (text, part) in [
        ("{}", "there is no `advice`"),
        ("{\"advice\": [{}]}", "its advice"),
        ("nonsense", "cannot use"),
    ] {
        fs::write(case.path("report.json"), text).unwrap();
        let text = doctor(&["patch", "--target", "kubeadm", "--out", "out"])
            .arg("--report")
            .path(case.path("report.json"))
            .text();
        assert!(text.starts_with("exit 70") && text.contains(part), "{text}");
    }
    let text = doctor(&["patch", "--target", "toaster", "--out", "out"]).text();
    assert!(text.starts_with("exit 64"), "{text}");
}
