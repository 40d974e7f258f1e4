//! The three declared stories through `patch`: what is written, that it acts, that a second run
//! with the old logs and metrics changes nothing, and that the way back leads back.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test over its own fixtures"
)]

#[path = "support/patching.rs"]
mod patching;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use patching::{apply_diff, as_text, copy_tree, in_force, json_patch, tree};
use serde_json::{Value, json};
use support::{doctor, fixtures};

/// A copy of a declared bundle that patches may be applied to.
struct Story {
    dir: tempfile::TempDir,
}

impl Story {
    fn new(bundle: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy_tree(&fixtures().join(bundle), &dir.path().join("bundle"));
        Story { dir }
    }

    fn bundle(&self) -> PathBuf {
        self.dir.path().join("bundle")
    }

    fn out(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn patch(&self, target: &str, out: &str) -> (Value, BTreeMap<String, String>) {
        let told = doctor(&["patch", "--format", "json", "--target", target, "--bundle"])
            .path(self.bundle())
            .arg("--out")
            .path(self.out(out))
            .json();
        let files = match self.out(out).exists() {
            true => tree(&self.out(out)),
            false => BTreeMap::new(),
        };
        (told, files)
    }

    fn check(&self, target: &str) -> String {
        doctor(&["patch", "--check", "--target", target, "--bundle"])
            .path(self.bundle())
            .text()
    }

    fn manifest(&self, name: &str) -> PathBuf {
        self.bundle().join("manifests").join(name)
    }

    /// Puts the static pods of a patch over those of the bundle.
    fn take(&self, files: &BTreeMap<String, String>) {
        for (name, text) in files {
            if let Some(file) = name.strip_prefix("manifests/") {
                fs::write(self.manifest(file), text).unwrap();
            }
        }
        if let Some(text) = files.get("events-etcd/cp0/etcd-events.yaml") {
            fs::write(self.manifest("etcd-events.yaml"), text).unwrap();
        }
    }
}

/// The texts without their arguments, which the tests of the models hold.
fn bare(text: &str) -> String {
    let argument = ["- why: ", "- effect: ", "- risk: ", "- source: "];
    text.split_inclusive('\n')
        .filter(|line| !argument.iter().any(|begin| line.starts_with(begin)))
        .collect()
}

fn value(all: &BTreeMap<(String, String), String>, component: &str, setting: &str) -> String {
    let key = (component.to_owned(), setting.to_owned());
    all.get(&key)
        .cloned()
        .unwrap_or_else(|| panic!("no {key:?}"))
}

/// Each diff leads from the old file to the new one and back, byte for byte.
fn diffs_lead_back(files: &BTreeMap<String, String>, old: &Path) {
    for (name, diff) in files {
        let Some(file) = name
            .strip_prefix("diffs/")
            .and_then(|n| n.strip_suffix(".diff"))
        else {
            continue;
        };
        let before = fs::read_to_string(old.join(file)).unwrap();
        let after = &files[&format!("manifests/{file}")];
        assert_eq!(
            apply_diff(&before, diff, false).as_ref(),
            Some(after),
            "{name}"
        );
        assert_eq!(apply_diff(after, diff, true), Some(before), "{name}");
    }
}

#[test]
fn a_control_plane_of_4100_nodes() {
    let story = Story::new("paypal");
    let before = story.check("kubeadm");
    assert!(before.starts_with("exit 1"), "{before}");
    let (_, files) = story.patch("kubeadm", "out");
    insta::assert_snapshot!(
        "paypal",
        bare(&as_text(&files, |name| !name.starts_with("manifests/")
            && !name.starts_with("events-etcd/cp0")
            && !name.starts_with("events-etcd/cp2")))
    );
    diffs_lead_back(&files, &fixtures().join("paypal/manifests"));
    let old = in_force(&story.bundle());
    story.take(&files);
    let new = in_force(&story.bundle());
    for (component, setting, wanted) in [
        (
            "kube-apiserver",
            "etcd-servers-overrides",
            "/events#https://10.10.0.11:2382;https://10.10.0.12:2382;https://10.10.0.13:2382",
        ),
        ("kube-controller-manager", "kube-api-qps", "200"),
        ("kube-controller-manager", "kube-api-burst", "200"),
        (
            "kube-controller-manager",
            "concurrent-deployment-syncs",
            "20",
        ),
        (
            "kube-controller-manager",
            "leader-elect-lease-duration",
            "60s",
        ),
        (
            "kube-controller-manager",
            "leader-elect-renew-deadline",
            "40s",
        ),
        ("kube-controller-manager", "leader-elect-retry-period", "5s"),
        ("kube-scheduler", "leader-elect-lease-duration", "60s"),
        ("etcd", "quota-backend-bytes", "8589934592"),
        ("etcd-events", "data-dir", "/var/lib/etcd-events"),
    ] {
        assert_eq!(
            value(&new, component, setting),
            wanted,
            "{component} {setting}"
        );
    }
    // While etcd is slow, nobody touches the limits of kube-apiserver.
    assert!(!new.keys().any(|(_, setting)| setting.contains("inflight")));
    for (key, was) in &old {
        assert_eq!(new.get(key), Some(was), "{key:?} was not advised");
    }
    let etcd = &files["manifests/etcd.yaml"];
    assert!(etcd.contains("failureThreshold: 24"), "{etcd}");
    assert!(files["patches/etcd-liveness+strategic.yaml"].contains("failureThreshold: 24"));

    let (again, _) = story.patch("kubeadm", "again");
    assert_eq!(
        again["files"],
        json!([]),
        "old logs, new manifests: {again}"
    );
    let after = story.check("kubeadm");
    assert!(after.starts_with("exit 0"), "{after}");
}

#[test]
fn the_inflight_limits_once_etcd_is_fast() {
    let story = Story::new("paypal-after");
    let (_, files) = story.patch("kubeadm", "out");
    insta::assert_snapshot!(
        "paypal_after",
        as_text(&files, |name| name.starts_with("diffs/")
            || name.starts_with("kubeadm/"))
    );
    diffs_lead_back(&files, &fixtures().join("paypal-after/manifests"));
    story.take(&files);
    let new = in_force(&story.bundle());
    assert_eq!(
        value(&new, "kube-apiserver", "max-requests-inflight"),
        "1000"
    );
    assert_eq!(
        value(&new, "kube-apiserver", "max-mutating-requests-inflight"),
        "500"
    );
    let (again, _) = story.patch("kubeadm", "again");
    assert_eq!(again["files"], json!([]), "{again}");
}

#[test]
fn the_twins_get_no_shard() {
    for twin in ["paypal-twin-counts", "paypal-twin-disk"] {
        let (_, files) = Story::new(twin).patch("kubeadm", "out");
        for (name, text) in &files {
            assert!(!name.starts_with("events-etcd"), "{twin}: {name}");
            if name.starts_with("manifests/") || name.starts_with("kubeadm/") {
                assert!(!text.contains("etcd-servers-overrides"), "{twin}: {name}");
                assert!(!text.contains("inflight"), "{twin}: {name}");
            }
        }
    }
}

/// The object of a name in a file of YAML documents or lists.
fn object(text: &str, name: &str) -> Value {
    let mut found = Vec::new();
    for document in serde_yaml_documents(text) {
        match document["items"].as_array() {
            Some(items) => found.extend(items.iter().cloned()),
            None => found.push(document),
        }
    }
    let is = |one: &&Value| one["metadata"]["name"] == name;
    found
        .iter()
        .find(is)
        .unwrap_or_else(|| panic!("no {name}"))
        .clone()
}

fn serde_yaml_documents(text: &str) -> Vec<Value> {
    use serde::Deserialize as _;
    yaml_serde::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

/// Runs the JSON patches of a story: applies them, tries them again and takes them back.
fn deployments(story: &Story, file: &str, names: &[(&str, &str)]) -> BTreeMap<String, Value> {
    let (_, files) = story.patch("json-patch", "out");
    let text = fs::read_to_string(story.manifest(file)).unwrap();
    let mut patched = BTreeMap::new();
    let mut all = Vec::new();
    for (namespace, name) in names {
        let before = object(&text, name);
        let read = |end: &str| -> Value {
            serde_json::from_str(&files[&format!("{namespace}-{name}{end}")]).unwrap()
        };
        let mut after = before.clone();
        json_patch(&mut after, &read(".json")).unwrap();
        let mut twice = after.clone();
        let second = json_patch(&mut twice, &read(".json"));
        assert!(second.is_err() || twice == after, "{name}: not twice");
        let mut back = after.clone();
        json_patch(&mut back, &read(".undo.json")).unwrap();
        assert_eq!(back, before, "{name}: the way back");
        all.push(after.clone());
        patched.insert((*name).to_owned(), after);
    }
    // Objects that nothing is advised for stay in the bundle.
    for document in serde_yaml_documents(&text) {
        for one in document["items"]
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![document.clone()])
        {
            if !names
                .iter()
                .any(|(_, name)| one["metadata"]["name"] == *name)
            {
                all.push(one);
            }
        }
    }
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": all });
    fs::write(story.manifest(file), list.to_string()).unwrap();
    let (again, _) = story.patch("json-patch", "again");
    assert_eq!(
        again["files"],
        json!([]),
        "old metrics, new objects: {again}"
    );
    patched
}

fn args(object: &Value) -> Vec<String> {
    let container = &object["spec"]["template"]["spec"]["containers"][0];
    let list = container["args"].as_array().cloned().unwrap_or_default();
    list.iter()
        .map(|arg| arg.as_str().unwrap().to_owned())
        .collect()
}

const CAPI: (&str, &str) = ("capi-system", "capi-controller-manager");
const KCP: (&str, &str) = (
    "capi-kubeadm-control-plane-system",
    "capi-kubeadm-control-plane-controller-manager",
);
const CABPK: (&str, &str) = (
    "capi-kubeadm-bootstrap-system",
    "capi-kubeadm-bootstrap-controller-manager",
);

#[test]
fn three_managers_of_a_thousand_clusters() {
    let story = Story::new("metal3");
    let patched = deployments(&story, "deployments.yaml", &[CAPI, KCP, CABPK]);
    let own = ["--leader-elect", "--diagnostics-address=:8443", "--v=2"];
    for ((_, name), flags) in [
        (
            CAPI,
            &["--cluster-concurrency=100", "--machine-concurrency=100"][..],
        ),
        (KCP, &["--kubeadmcontrolplane-concurrency=100"]),
        (CABPK, &["--kubeadmconfig-concurrency=100"]),
    ] {
        let have = args(&patched[name]);
        let mut wanted: Vec<&str> = own.to_vec();
        wanted.extend(["--kube-api-qps=100", "--kube-api-burst=200"]);
        wanted.extend(flags);
        let (mut have, mut wanted) = (have, wanted);
        have.sort();
        wanted.sort_unstable();
        assert_eq!(have, wanted, "{name}");
    }
    insta::assert_snapshot!(
        "metal3",
        bare(&as_text(&tree(&story.out("out")), |name| !name
            .ends_with(".undo.json")))
    );
}

#[test]
fn after_the_upgrade_no_flag_crashes_and_none_says_the_default() {
    let story = Story::new("metal3-1.13");
    let patched = deployments(&story, "deployments.yaml", &[CAPI, KCP, CABPK]);
    let has = |name: &str, flag: &str| args(&patched[name]).iter().any(|arg| arg.contains(flag));
    assert!(!has(CABPK.1, "cluster-concurrency"), "gone in 1.13");
    // What was set by hand and equals the default does no harm, and is left alone.
    assert!(has(CABPK.1, "kube-api-qps=100"));
    for (_, name) in [CAPI, KCP] {
        for flag in ["kube-api-qps", "kube-api-burst"] {
            assert!(!has(name, flag), "{name}: {flag} would say the default");
        }
    }
    assert!(has(CAPI.1, "cluster-concurrency=100"));
    let tuned = Story::new("metal3-tuned").patch("json-patch", "out").0;
    assert_eq!(tuned["files"], json!([]), "{tuned}");
}

#[test]
fn fifteen_thousand_functions() {
    let story = Story::new("openfaas");
    let patched = deployments(&story, "gateway.yaml", &[("openfaas", "gateway")]);
    let containers = patched["gateway"]["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap();
    let env: BTreeMap<&str, &str> = containers[1]["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["name"].as_str().unwrap(),
                one["value"].as_str().unwrap(),
            )
        })
        .collect();
    for (name, wanted) in [
        ("kube_client_qps", "100"),
        ("kube_client_burst", "250"),
        ("reconcile_qps", "100"),
        ("reconcile_burst", "250"),
        ("leader_election", "true"),
        ("reconcile_workers", "1"),
        ("function_namespace", "openfaas-fn"),
    ] {
        assert_eq!(env.get(name), Some(&wanted), "{name}");
    }
    assert_eq!(
        containers[0]["env"].as_array().unwrap().len(),
        1,
        "the gateway's own"
    );
    insta::assert_snapshot!(
        "openfaas",
        bare(&as_text(&tree(&story.out("out")), |name| !name
            .ends_with(".undo.json")))
    );
}

#[test]
fn the_same_by_the_values_of_the_chart() {
    let story = Story::new("openfaas");
    fs::remove_file(story.manifest("gateway.yaml")).unwrap();
    fs::copy(
        fixtures().join("openfaas-values/values.yaml"),
        story.manifest("values.yaml"),
    )
    .unwrap();
    let (_, files) = story.patch("helm", "out");
    let (_, values) = files
        .iter()
        .find(|(name, _)| name.starts_with("values-"))
        .unwrap_or_else(|| panic!("{files:?}"));
    let wanted = "# Give this after your own values: helm upgrade … -f values-openfaas-operator.yaml\n\
        operator:\n  leaderElection:\n    enabled: true\n  kubeClientQPS: 100\n  kubeClientBurst: 250\n  \
        reconcileQPS: 100\n  reconcileBurst: 250\n";
    assert_eq!(values, wanted);
    // Helm lays later files over earlier ones.
    let mut merged =
        serde_yaml_documents(&fs::read_to_string(story.manifest("values.yaml")).unwrap()).remove(0);
    let before = merged.clone();
    lay_over(&mut merged, &serde_yaml_documents(values)[0]);
    fs::write(story.manifest("values.yaml"), merged.to_string()).unwrap();
    let (again, _) = story.patch("helm", "again");
    assert_eq!(again["files"], json!([]), "{again}");
    let (_, undo) = files
        .iter()
        .find(|(name, _)| name.starts_with("undo-"))
        .unwrap_or_else(|| panic!("{:?}", files.keys()));
    lay_over(&mut merged, &serde_yaml_documents(undo)[0]);
    assert_eq!(merged, before);
}

/// As Helm does: maps merge, everything else is replaced, and null takes a key out.
fn lay_over(have: &mut Value, new: &Value) {
    match (have, new) {
        (Value::Object(have), Value::Object(new)) => {
            for (key, value) in new {
                if value.is_null() {
                    have.remove(key);
                } else {
                    lay_over(have.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (have, new) => *have = new.clone(),
    }
}

/// `STRENGTH TARGET SETTING`, and the value where it is one, of everything that is advised.
fn said(report: &Value) -> Vec<String> {
    report["advice"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let text = |key: &str| one[key].as_str().unwrap();
            let value = Some(text("proposed")).filter(|value| !value.contains(' '));
            let value = value.map_or_else(String::new, |value| format!(" = {value}"));
            format!(
                "{} {} {}{value}",
                text("strength"),
                text("target"),
                text("setting")
            )
        })
        .collect()
}

#[test]
fn recordings_get_the_knob_of_their_cause_and_the_innocent_ones_none() {
    for (recording, wanted) in [
        (
            "tests/fixtures/captures/hot-loop",
            &["recommended client bmo-manager/v0.3 requeue"][..],
        ),
        (
            "demo/kcm-throttled",
            &[
                "recommended kube-controller-manager kube-api-qps = 20",
                "recommended kube-controller-manager kube-api-burst = 30",
            ],
        ),
        (
            "tests/fixtures/captures/events-flood",
            &[
                "recommended client node-problem-detector/0.8 events",
                "recommended client event-exporter/1.7 list requests",
                "candidate kube-apiserver enable-admission-plugins",
                "candidate kube-apiserver event-ttl = 30m0s",
                // Whether the cluster is large enough is not known.
                "candidate kube-apiserver etcd-servers-overrides = /events#https://127.0.0.1:2382",
                // On average it has less than one list under way.
                "candidate kube-apiserver FlowSchema limit-event-exporter-1-7",
            ],
        ),
        (
            "tests/fixtures/captures/inflight-429",
            &[
                "recommended client fleet-agent/0.9 list requests",
                "recommended client fleet-agent/0.9 requests at once",
                "candidate kube-apiserver FlowSchema limit-fleet-agent-0-9",
                "recommended kube-apiserver max-requests-inflight = 400",
                "recommended kube-apiserver max-mutating-requests-inflight = 200",
            ],
        ),
    ] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("{recording}.tar.zst"));
        let report = doctor(&["advise", "--format", "json", "--bundle"])
            .path(&file)
            .json();
        assert_eq!(said(&report), wanted, "{recording}");
        // The same evidence over the patched manifests: nothing more to write.
        let dir = tempfile::tempdir().unwrap();
        let unpacked = std::process::Command::new("tar")
            .args(["--zstd", "-xf"])
            .arg(&file)
            .arg("-C")
            .arg(dir.path())
            .status();
        if !unpacked.is_ok_and(|status| status.success()) {
            println!("skipped: no tar with zstd");
            continue;
        }
        // One folder may hold it all.
        let mut root = dir.path().to_owned();
        while !root.join("manifests").exists() {
            root = fs::read_dir(&root).unwrap().next().unwrap().unwrap().path();
        }
        // With metrics, and by the logs alone, which do not tell what was in force.
        for without in ["", "metrics"] {
            let story = Story {
                dir: tempfile::tempdir().unwrap(),
            };
            copy_tree(&root, &story.bundle());
            if !without.is_empty() && story.bundle().join(without).exists() {
                fs::remove_dir_all(story.bundle().join(without)).unwrap();
            }
            let (_, files) = story.patch("kubeadm", "out");
            if files.is_empty() {
                continue;
            }
            story.take(&files);
            for (name, text) in &files {
                if name.starts_with("apf/") {
                    fs::write(story.manifest(&name.replace('/', "-")), text).unwrap();
                }
            }
            let (again, _) = story.patch("kubeadm", "again");
            assert_eq!(
                again["files"],
                json!([]),
                "{recording} without {without:?}: {again}"
            );
        }
    }
}
