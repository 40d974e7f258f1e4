//! `diagnose` on a node: deadlines, Ctrl-C, what could not be had, and control planes of which only
//! a part can be reached. Nodes are made-up roots, servers small ones on the loopback.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test through the binary"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{capture, doctor};

/// Serves answers by path until the test ends. Gives its address.
fn serve(answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || one(stream, &*answer));
        }
    });
    address
}

fn one(
    mut stream: TcpStream,
    answer: &(dyn Fn(&str) -> Option<String> + Send + Sync),
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        let target = line.split(' ').nth(1)?.to_owned();
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if header.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let asked = format!("{target} {}", String::from_utf8_lossy(&body));
        let (status, text) = match answer(&asked) {
            Some(text) => ("200 OK", text),
            None => ("404 Not Found", String::new()),
        };
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        )
        .ok()?;
    }
}

/// A server that takes connections and never answers.
fn hang() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let kept: Vec<_> = listener.incoming().collect();
        drop(kept);
    });
    address
}

/// A node's root from a recording: settings and logs where a node has them.
fn root(name: &str, dir: &Path) -> PathBuf {
    let tree = capture(name, dir);
    let root = dir.join("root");
    fs::create_dir_all(root.join("etc/kubernetes")).unwrap();
    fs::rename(
        tree.join("manifests"),
        root.join("etc/kubernetes/manifests"),
    )
    .unwrap();
    fs::rename(tree.join("logs/var"), root.join("var")).unwrap();
    fs::rename(tree.join("host/proc"), root.join("proc")).unwrap();
    fs::rename(tree.join("host/sys"), root.join("sys")).unwrap();
    fresh(&root.join("var/log"));
    root
}

/// What was last written long ago is not looked at: recordings are packed without times.
fn fresh(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            fresh(&path);
        } else {
            let file = fs::File::options().append(true).open(&path).unwrap();
            file.set_modified(std::time::SystemTime::now()).unwrap();
        }
    }
}

/// Scrapes of a recording by component, oldest first.
fn scrapes(tree: &Path) -> BTreeMap<String, Vec<String>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(tree.join("metrics"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        let component = name.split("-m0-").next().unwrap().to_owned();
        if name.ends_with(".prom") {
            found
                .entry(component)
                .or_default()
                .push(fs::read_to_string(&path).unwrap());
        }
    }
    found
}

fn problems(report: &Value) -> Vec<&str> {
    report["seen"]["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p.as_str().unwrap())
        .collect()
}

fn says(report: &Value, words: &str) -> bool {
    problems(report)
        .iter()
        .any(|problem| problem.contains(words))
}

const SINCE: [&str; 2] = ["--since", "2026-11-21T00:00:00Z"];

/// From a debug pod with the host's root mounted: settings, logs and facts of that node, not of
/// this machine; its endpoints do not answer here, which is said.
#[test]
fn a_debug_pod_sees_the_node_under_its_root() {
    let dir = tempfile::tempdir().unwrap();
    let root = root("nospace", dir.path());
    let report = doctor(&[
        "diagnose", "--format", "json", "--window", "100ms", "--root",
    ])
    .path(&root)
    .args(&SINCE)
    .json();
    assert_eq!(report["verdict"]["cause"], "space", "{}", report["verdict"]);
    let text = report.to_string();
    assert!(text.contains("component:etcd@lab08-cp0"), "{text}");
    assert!(
        says(&report, "nothing listens there") || says(&report, "metrics of"),
        "{:?}",
        problems(&report)
    );
}

/// The recorded apiserver, controller manager and scheduler without an etcd beside them.
#[test]
fn an_external_etcd_is_said_to_be_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let root = root("nospace", dir.path());
    fs::remove_file(root.join("etc/kubernetes/manifests/etcd.yaml")).unwrap();
    for entry in fs::read_dir(root.join("var/log/pods")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains("kube-system_etcd") {
            fs::remove_dir_all(path).unwrap();
        }
    }
    for entry in fs::read_dir(root.join("proc")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.bytes().all(|b| b.is_ascii_digit()) {
            fs::remove_dir_all(path).unwrap();
        }
    }
    let report = doctor(&[
        "diagnose", "--format", "json", "--window", "100ms", "--root",
    ])
    .path(&root)
    .args(&SINCE)
    .json();
    // The apiserver's log tells of the full database, and nobody claims to have seen its disk.
    assert_eq!(report["verdict"]["cause"], "space", "{}", report["verdict"]);
    assert!(
        says(&report, "etcd: none runs here"),
        "{:?}",
        problems(&report)
    );
}

/// etcd alone: no kube-apiserver, its metrics on an address that the user names.
#[test]
fn an_etcd_without_kubernetes() {
    let dir = tempfile::tempdir().unwrap();
    let of = scrapes(&capture("slow-disk", dir.path()))
        .remove("etcd")
        .unwrap();
    let asked = AtomicUsize::new(0);
    let address = serve(move |target| {
        let n = asked.fetch_add(1, Ordering::Relaxed);
        target
            .starts_with("/metrics")
            .then(|| of[(n * (of.len() - 1)).min(of.len() - 1)].clone())
    });
    let root = root("slow-disk", &dir.path().join("again"));
    for name in [
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
    ] {
        // Recordings are cut to what tests need.
        fs::remove_file(root.join(format!("etc/kubernetes/manifests/{name}.yaml"))).ok();
    }
    for entry in fs::read_dir(root.join("var/log/pods")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains("kube-system_kube-") {
            fs::remove_dir_all(path).unwrap();
        }
    }
    fs::remove_dir_all(root.join("var/log/kubernetes")).ok();
    let report = doctor(&[
        "diagnose",
        "--format",
        "json",
        "--window",
        "300ms",
        "--metrics-url",
    ])
    .arg(&format!("http://{address}"))
    .arg("--root")
    .path(&root)
    .args(&SINCE)
    .json();
    assert_eq!(report["verdict"]["cause"], "disk", "{}", report["verdict"]);
}

/// A managed control plane: nothing but metrics. The verdict rests on them and claims no all-clear.
#[test]
fn metrics_alone_from_files() {
    for (name, cause) in [
        ("inflight-429", "apiserver-saturation"),
        ("healthy", "unknown"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let tree = capture(name, dir.path());
        let report = doctor(&["diagnose", "--format", "json", "--metrics"])
            .path(tree.join("metrics"))
            .json();
        assert_eq!(
            report["verdict"]["cause"], cause,
            "{name}: {}",
            report["verdict"]
        );
        let kinds: Vec<&str> = report["seen"]["sources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|source| source["collector"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, ["metrics"], "{name}");
    }
}

/// The same from what a Prometheus remembers: the server speaks its API with the recorded scrapes.
#[test]
fn metrics_alone_from_prometheus() {
    let dir = tempfile::tempdir().unwrap();
    let apiserver = scrapes(&capture("inflight-429", dir.path()))
        .remove("kube-apiserver")
        .unwrap();
    // Two moments, a minute and a half apart.
    let moments = [
        ("1795294150", apiserver.first().unwrap().clone()),
        ("1795294240", apiserver.last().unwrap().clone()),
    ];
    let address = serve(move |target| {
        target
            .contains("/api/v1/query_range")
            .then(|| matrix(target, &moments))
    });
    // A machine that is no node: nothing of it is looked at.
    let nowhere = dir.path().join("nowhere");
    fs::create_dir(&nowhere).unwrap();
    let report = doctor(&[
        "diagnose", "--format", "json", "--window", "100ms", "--root",
    ])
    .path(&nowhere)
    .args(&[
        "--since",
        "@1795294100",
        "--until",
        "@1795294300",
        "--prometheus",
    ])
    .arg(&format!("http://{address}"))
    .json();
    assert_eq!(
        report["verdict"]["cause"], "apiserver-saturation",
        "{report}"
    );
    assert!(
        says(&report, "only the metrics were asked"),
        "{:?}",
        problems(&report)
    );
    let kinds = report["seen"]["sources"].to_string();
    assert!(
        !kinds.contains("host") && !kinds.contains("logs"),
        "{kinds}"
    );
}

/// The answer of a range query: all series of the metrics that it names, at both moments.
fn matrix(target: &str, moments: &[(&str, String)]) -> String {
    let decoded = target
        .replace("%7C", "|")
        .replace("%7c", "|")
        .replace("%22", "\"")
        .replace("%7E", "~")
        .replace("%28", "(")
        .replace("%29", ")");
    let mut series: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for (at, text) in moments {
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((labels, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let name = labels.split('{').next().unwrap();
            let asked = decoded
                .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
                .any(|word| word == name);
            if asked {
                series
                    .entry(labels.to_owned())
                    .or_default()
                    .push(((*at).to_owned(), value.to_owned()));
            }
        }
    }
    let results: Vec<Value> = series
        .into_iter()
        .map(|(labels, values)| {
            let mut metric = serde_json::Map::new();
            let (name, rest) = labels.split_once('{').unwrap_or((&labels, "}"));
            metric.insert("__name__".into(), name.into());
            metric.insert("instance".into(), "10.0.0.5:6443".into());
            metric.insert("job".into(), "apiserver".into());
            for pair in rest
                .trim_end_matches('}')
                .split("\",")
                .filter(|p| p.contains('='))
            {
                let (key, value) = pair.split_once("=\"").unwrap();
                metric.insert(key.into(), value.trim_end_matches('"').into());
            }
            let values: Vec<Value> = values
                .into_iter()
                .map(|(at, value)| serde_json::json!([at.parse::<f64>().unwrap(), value]))
                .collect();
            serde_json::json!({"metric": metric, "values": values})
        })
        .collect();
    serde_json::json!({"status": "success", "data": {"resultType": "matrix", "result": results}})
        .to_string()
}

/// One collector that hangs costs its deadline and what it collects; the others are all there, it is
/// said, and a line of progress tells each end.
#[test]
fn a_collector_that_hangs_is_left_behind_and_the_rest_is_judged() {
    let dir = tempfile::tempdir().unwrap();
    let root = root("nospace", dir.path());
    let begin = Instant::now();
    let mut run = doctor(&[
        "diagnose",
        "--format",
        "json",
        "--window",
        "100ms",
        "--timeout",
        "60s",
        "--deadline",
        "2s",
        "--progress",
        "--metrics-url",
    ])
    .arg(&format!("http://{}", hang()))
    .arg("--root")
    .path(&root)
    .args(&SINCE);
    let output = run.output();
    assert!(
        begin.elapsed() < Duration::from_secs(30),
        "{:?}",
        begin.elapsed()
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verdict"]["cause"], "space", "{}", report["verdict"]);
    assert!(
        says(&report, "metrics: nothing, not done within 2 s"),
        "{:?}",
        problems(&report)
    );
    assert!(
        says(&report, "a longer --timeout"),
        "{:?}",
        problems(&report)
    );
    let unknown = report["findings"].as_array().unwrap().iter().any(|f| {
        f["status"] == "unknown"
            && f["message"]
                .as_str()
                .unwrap()
                .contains("metrics did not answer within 2000 ms")
    });
    assert!(unknown, "no rule says why it could not tell");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("metrics   given up after"), "{errors}");
    assert!(
        errors.contains("logs      done in") && errors.contains("host      done in"),
        "{errors}"
    );
}

/// Ctrl-C ends the wait and gives the report of what was there by then, also as a saved file.
#[test]
fn ctrl_c_reports_what_was_collected() {
    let dir = tempfile::tempdir().unwrap();
    let root = root("nospace", dir.path());
    let saved = dir.path().join("part.zst");
    let mut run = doctor(&[
        "diagnose",
        "--format",
        "json",
        "--window",
        "1h",
        "--metrics-url",
    ])
    .arg(&format!("http://{}", hang()))
    .arg("--save")
    .path(&saved)
    .arg("--root")
    .path(&root)
    .args(&SINCE)
    .args(&["--timeout", "60s", "--progress"]);
    let mut child = run.spawn();
    // Logs are read by then; the window is an hour.
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut seen = String::new();
    while !seen.contains("logs      done") {
        assert!(errors.read_line(&mut seen).unwrap() > 0, "{seen}");
    }
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let begin = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(output.status.code(), Some(130));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verdict"]["cause"], "space", "{}", report["verdict"]);
    assert!(
        says(&report, "the run was stopped"),
        "{:?}",
        problems(&report)
    );
    let again = doctor(&["diagnose", "--format", "json", "--bundle"])
        .path(&saved)
        .json();
    assert_eq!(again["verdict"], report["verdict"]);
    assert!(says(&again, "the run was stopped"));
}

/// All collectors at once: two seconds of window for host and metrics are two seconds, not four.
#[test]
fn the_time_is_that_of_the_slowest() {
    let dir = tempfile::tempdir().unwrap();
    let of = scrapes(&capture("healthy", dir.path()))
        .remove("etcd")
        .unwrap();
    let slow = move |target: &str| {
        std::thread::sleep(Duration::from_millis(700));
        target.starts_with("/metrics").then(|| of[0].clone())
    };
    let urls: Vec<String> = (0..4)
        .map(|_| format!("http://{}", serve(slow.clone())))
        .collect();
    let root = root("healthy", &dir.path().join("again"));
    let mut run = doctor(&["diagnose", "--format", "json", "--window", "2s", "--root"])
        .path(&root)
        .args(&SINCE);
    for url in &urls {
        run = run.arg("--metrics-url").arg(url);
    }
    let begin = Instant::now();
    let report = run.json();
    // One after the other: eight answers of 0.7 s and two windows, 9.6 s.
    assert!(
        begin.elapsed() < Duration::from_secs(8),
        "{:?}",
        begin.elapsed()
    );
    assert!(report["seen"]["sources"].to_string().contains("metrics"));
}
