//! From a bundle to the files of kube-scheduler and the kubelet: what they set is what is in force, it
//! is never lowered, and the patch changes it where it stands.
#![expect(clippy::unwrap_used, reason = "a test over its own fixtures")]

#[path = "support/patching.rs"]
mod patching;
mod support;

use std::fmt::Write as _;

use patching::{tree, write_tree};
use serde_json::{Value, json};
use support::doctor;

/// A scrape of kube-scheduler after so many requests that waited 1.5 s each.
fn scrape(waited: u32) -> String {
    let name = "rest_client_rate_limiter_duration_seconds";
    let at = "host=\"10.0.0.1:6443\",verb=\"POST\"";
    let mut text = format!("# TYPE {name} histogram\n");
    for (le, count) in [("1", 100), ("2", 100 + waited), ("+Inf", 100 + waited)] {
        writeln!(text, "{name}_bucket{{{at},le=\"{le}\"}} {count}").unwrap();
    }
    let sum = f64::from(waited) * 1.5;
    writeln!(text, "{name}_sum{{{at}}} {sum}").unwrap();
    writeln!(text, "{name}_count{{{at}}} {}", 100 + waited).unwrap();
    text + "# TYPE scheduler_pending_pods gauge\nscheduler_pending_pods{queue=\"active\"} 4000\n"
}

struct Bundle(tempfile::TempDir);

impl Bundle {
    /// kube-scheduler 1.28 that waits, with a file.
    fn scheduler(file: &str) -> Self {
        let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-scheduler\n  namespace: kube-system\nspec:\n  containers:\n  - command:\n    - kube-scheduler\n    - --config=/etc/kubernetes/sched.yaml\n    image: registry.k8s.io/kube-scheduler:v1.28.5\n    name: kube-scheduler\n";
        let (before, after) = (scrape(0), scrape(7000));
        let dir = tempfile::tempdir().unwrap();
        write_tree(
            &dir.path().join("bundle"),
            [
                ("manifests/kube-scheduler.yaml", pod),
                ("manifests/sched.yaml", file),
                (
                    "metrics/kube-scheduler-m0-20261121T203026.612Z.prom",
                    before.as_str(),
                ),
                (
                    "metrics/kube-scheduler-m0-20261121T203256.874Z.prom",
                    after.as_str(),
                ),
            ],
        );
        Bundle(dir)
    }

    /// A kubelet that waits, with a file, beside a kube-apiserver of a version.
    fn kubelet(version: &str, file: &str) -> Self {
        let mut log = String::new();
        for second in 10..40 {
            writeln!(
                log,
                "Nov 21 20:30:{second} cp0 kubelet[900]: I1121 20:30:{second}.000000    900 request.go:752] \"Waited before sending request\" delay=\"1.8s\" reason=\"client-side throttling, not priority and fairness\" verb=\"PATCH\" URL=\"https://10.0.0.1:6443/api/v1/namespaces/a/pods/p/status\""
            )
            .unwrap();
        }
        let pod = format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-apiserver\n  namespace: kube-system\nspec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --etcd-servers=https://127.0.0.1:2379\n    image: registry.k8s.io/kube-apiserver:{version}\n    name: kube-apiserver\n"
        );
        let dir = tempfile::tempdir().unwrap();
        write_tree(
            &dir.path().join("bundle"),
            [
                ("manifests/kube-apiserver.yaml", pod.as_str()),
                ("manifests/kubelet-config.yaml", file),
                ("logs/var/log/kubelet.log", log.as_str()),
            ],
        );
        Bundle(dir)
    }

    fn advice(&self, id: &str) -> Option<Value> {
        let report = doctor(&["diagnose", "--format", "json", "--bundle"])
            .path(self.0.path().join("bundle"))
            .json();
        let all = report["advice"].as_array().unwrap();
        all.iter().find(|advice| advice["id"] == id).cloned()
    }

    /// The text of a file as `patch` leaves it.
    fn patched(&self, target: &str, file: &str, advice: &[&str]) -> String {
        let told = doctor(&["patch", "--format", "json", "--target", target, "--bundle"])
            .path(self.0.path().join("bundle"))
            .args(advice)
            .arg("--out")
            .path(self.0.path().join("out"))
            .json();
        assert_ne!(told["files"], json!([]), "{told}");
        let out = tree(&self.0.path().join("out"));
        let found = out.iter().find(|(name, _)| name.ends_with(file));
        found
            .unwrap_or_else(|| panic!("no {file} in {told}"))
            .1
            .clone()
    }
}

const SCHEDULER: &str = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nclientConnection:\n  kubeconfig: /etc/kubernetes/scheduler.conf # keep\n";

#[test]
fn the_schedulers_file_is_what_it_has_and_where_it_is_raised() {
    let bundle = Bundle::scheduler(&format!("{SCHEDULER}  qps: 20\n  burst: 100\n"));
    let qps = bundle.advice("scheduler-qps").unwrap();
    assert_eq!(
        (&qps["now"], &qps["setting"]),
        (&json!("20"), &json!("kube-api-qps"))
    );
    let proposed = qps["proposed"].as_str().unwrap();
    assert!(proposed.parse::<f64>().unwrap() > 20.0, "{qps}");
    let after = bundle.patched("scheduler-config", "sched.yaml", &[]);
    let wanted = format!("{SCHEDULER}  qps: {proposed}\n");
    assert!(after.starts_with(&wanted), "{after}");
    // More than anybody publishes is never made less.
    let high = Bundle::scheduler(&format!("{SCHEDULER}  qps: 200\n  burst: 400\n"));
    if let Some(qps) = high.advice("scheduler-qps") {
        assert_eq!(qps["now"], json!("200"));
        let proposed = qps["proposed"].as_str().unwrap().parse::<f64>();
        assert!(proposed.is_ok_and(|qps| qps > 200.0), "{qps}");
    }
}

#[test]
fn the_kubelets_file_is_judged_by_kubernetes_version_and_raised_in_it() {
    let file = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nkubeAPIQPS: 5\nkubeAPIBurst: 10\nmaxPods: 250\n";
    let bundle = Bundle::kubelet("v1.34.1", file);
    let qps = bundle.advice("kubelet-qps").unwrap();
    assert_eq!(qps["now"], json!("5"));
    assert_eq!(qps["proposed"], json!("50"), "{qps}");
    let after = bundle.patched(
        "kubelet-config",
        "kubelet-config.yaml",
        &["--advice", "kubelet-qps", "kubelet-burst"],
    );
    let raised = file
        .replace("QPS: 5\n", "QPS: 50\n")
        .replace("Burst: 10\n", "Burst: 100\n");
    assert_eq!(after, raised);
    let high = Bundle::kubelet(
        "v1.34.1",
        &file
            .replace(": 5\n", ": 200\n")
            .replace(": 10\n", ": 400\n"),
    );
    if let Some(qps) = high.advice("kubelet-qps") {
        assert_eq!(qps["now"], json!("200"));
    }
}
