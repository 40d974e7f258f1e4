//! `logs --follow`, records across rotations, and the manners of a guest, through the binary.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test of the binary on files of its own"
)]

mod support;

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::doctor;

fn slow(second: u32, resource: &str) -> String {
    format!(
        "{{\"level\":\"warn\",\"ts\":\"2026-11-21T20:00:{second:02}.000000Z\",\"caller\":\"txn/util.go:93\",\"msg\":\"apply request took too long\",\"took\":\"400ms\",\"expected-duration\":\"100ms\",\"prefix\":\"read-only range \",\"request\":\"key:\\\"/registry/{resource}/\\\" range_end:\\\"/registry/{resource}0\\\" \",\"response\":\"range_response_count:7 size:900\"}}\n"
    )
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// A run in the background; what it says is collected.
struct Follow {
    child: Child,
    said: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Follow {
    fn start(args: &[&str], path: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_etcd-doctor"))
            .args(["logs", "--follow", "--threads", "1"])
            .args(args)
            .arg(path)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut out = child.stdout.take().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&said);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len) = out.read(&mut buffer) {
                if len == 0 {
                    break;
                }
                into.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&buffer[..len]));
            }
        });
        Follow {
            child,
            said,
            reader: Some(reader),
        }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until what was said holds a text.
    fn until(&self, what: &dyn Fn(&str) -> bool) {
        let begin = Instant::now();
        while !what(&self.said()) {
            assert!(begin.elapsed() < Duration::from_secs(60), "{}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Interrupts it; gives the exit code and all that was said.
    fn interrupt(mut self) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .unwrap()
                .success()
        );
        self.wait()
    }

    fn wait(&mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        self.reader.take().unwrap().join().unwrap();
        (code, self.said())
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The last report of `--format json`, each of which is a line.
fn last(said: &str) -> Value {
    serde_json::from_str(said.lines().last().unwrap()).unwrap()
}

fn lists(report: &Value, resource: &str) -> u64 {
    report["resources"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["name"] == resource)
        .map_or(0, |row| row["lists"].as_u64().unwrap())
}

#[test]
fn the_table_follows_rotation_and_truncation_and_a_signal_ends_it_with_the_report() {
    let home = tempfile::tempdir().unwrap();
    let log = home.path().join("etcd.log");
    append(&log, &slow(1, "pods"));
    let follow = Follow::start(&["--format", "json", "--every", "1"], &log);
    let seen = |n: u64| {
        move |said: &str| {
            said.lines()
                .filter(|line| line.ends_with('}'))
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                .any(|report| report["requests"]["joined"] == n)
        }
    };
    follow.until(&seen(1));
    append(&log, &slow(2, "pods"));
    follow.until(&seen(2));
    // Renamed, and half a record at its end that the new file's first line goes on with.
    append(&log, &slow(3, "secrets"));
    fs::rename(&log, home.path().join("etcd.log.1")).unwrap();
    append(&log, &slow(4, "leases"));
    follow.until(&seen(4));
    // Copied and truncated.
    fs::write(&log, slow(5, "nodes")).unwrap();
    follow.until(&seen(5));
    append(&log, &slow(6, "pods"));
    let (code, said) = follow.interrupt();
    assert_eq!(code, Some(130));
    let report = last(&said);
    assert_eq!(report["requests"]["joined"], 6, "what came last counts too");
    for (resource, count) in [
        ("pods", 3),
        ("secrets", 1),
        ("leases.coordination.k8s.io", 1),
        ("nodes", 1),
    ] {
        assert_eq!(lists(&report, resource), count, "{resource}");
    }
    let coverage = &report["coverage"];
    assert_eq!(
        (&coverage["lines"], &coverage["parsed"]),
        (&6.into(), &6.into())
    );
}

#[test]
fn reports_are_appended_where_no_terminal_is_and_a_pipe_s_end_is_the_end() {
    let mut follow = Follow::start(&["--every", "1"], Path::new("-"));
    let mut input = follow.child.stdin.take().unwrap();
    input.write_all(slow(1, "pods").as_bytes()).unwrap();
    input.flush().unwrap();
    follow.until(&|said| said.contains("1 logged requests"));
    input.write_all(slow(2, "pods").as_bytes()).unwrap();
    input.flush().unwrap();
    follow.until(&|said| said.contains("2 logged requests"));
    input.write_all(slow(3, "pods").as_bytes()).unwrap();
    drop(input);
    let (code, said) = follow.wait();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("3 logged requests"), "{said}");
    assert!(
        said.matches("\n==> 20").count() + usize::from(said.starts_with("==> 20")) >= 3,
        "{said}"
    );
    assert!(!said.contains('\u{1b}'), "{said}");
}

#[test]
fn a_container_that_restarts_writes_a_new_file_which_is_followed() {
    let home = tempfile::tempdir().unwrap();
    let pod = home
        .path()
        .join("kube-system_etcd-cp0_0123456789abcdef0123456789abcdef/etcd");
    fs::create_dir_all(&pod).unwrap();
    append(&pod.join("0.log"), &slow(1, "pods"));
    let follow = Follow::start(&["--format", "json", "--every", "1"], home.path());
    follow.until(&|said| said.contains("\"joined\":1,"));
    append(&pod.join("1.log"), &slow(2, "pods"));
    follow.until(&|said| said.contains("\"joined\":2,"));
    let (_, said) = follow.interrupt();
    let files = last(&said)["coverage"]["file_list"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(files, 2, "{said}");
}

fn cri(flag: char, text: &str) -> String {
    format!("2026-11-21T20:00:05.123Z stderr {flag} {text}\n")
}

fn docker(text: &str) -> String {
    format!(
        "{{\"log\":{},\"stream\":\"stderr\",\"time\":\"2026-11-21T20:00:05.123Z\"}}\n",
        serde_json::to_string(text).unwrap()
    )
}

/// A line of a real request, its trace, and what a client's interceptor said.
fn request() -> [String; 3] {
    let at = |us: u32| format!("2026-11-21T20:00:01.{us:06}Z");
    [
        slow(1, "pods").trim_end().to_owned(),
        format!(
            r#"{{"level":"info","ts":"{}","caller":"traceutil/trace.go:172","msg":"trace[7] range","detail":"{{range_begin:/registry/pods/; range_end:/registry/pods0; response_count:7; response_revision:9; }}","duration":"400.1ms","start":"{}","end":"{}","steps":[],"step_count":0}}"#,
            at(100),
            at(0),
            at(100)
        ),
        format!(
            r#"{{"level":"warn","ts":"{}","caller":"v3rpc/interceptor.go:202","msg":"request stats","start time":"{}","time spent":"400.2ms","remote":"10.0.0.7:4321","response type":"/etcdserverpb.KV/Range","request count":0,"request size":44,"response count":7,"response size":922,"request content":"key:\"/registry/pods/\" range_end:\"/registry/pods0\" "}}"#,
            at(200),
            at(0)
        ),
    ]
}

fn emitted(folder: &Path) -> Vec<Value> {
    doctor(&["logs", "--emit", "events", "--threads", "1"])
        .path(folder)
        .json_lines()
}

#[test]
fn emitted_events_are_the_same_wherever_a_rotation_cut_the_log() {
    let [apply, trace, stats] = request();
    let (half, rest) = apply.split_at(70);
    let (first, second) = apply.split_at(130);
    let klog = [
        cri(
            'F',
            "I1121 20:00:05.000000       1 trace.go:236] Trace[77]: \"List\" url:/api/v1/pods,user-agent:lister/1.0,verb:LIST (total time: 700ms):",
        ),
        cri('F', "Trace[77]: ---\"Listing from storage done\" 690ms"),
        cri('F', "Trace[77]: [700ms] [700ms] END"),
    ];
    let cases: Vec<Vec<String>> = vec![
        [&apply, &trace, &stats].map(|line| cri('F', line)).to_vec(),
        vec![cri('P', half), cri('F', rest), cri('F', &trace)],
        vec![
            cri('P', half),
            cri('P', first.strip_prefix(half).unwrap()),
            cri('F', second),
        ],
        vec![
            docker(half),
            docker(&format!("{rest}\n")),
            docker(&format!("{trace}\n")),
        ],
        klog.to_vec(),
        apply
            .replace(",\"", ",\n  \"")
            .split_inclusive('\n')
            .map(str::to_owned)
            .collect(),
    ];
    for lines in cases {
        let home = tempfile::tempdir().unwrap();
        let whole = home.path().join("whole");
        fs::create_dir(&whole).unwrap();
        fs::write(whole.join("etcd.log"), lines.concat()).unwrap();
        let expected = emitted(&whole);
        assert!(!expected.is_empty());
        for cut in 1..lines.len() {
            let folder = home.path().join(format!("cut-{cut}"));
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("etcd.log.1"), lines[..cut].concat()).unwrap();
            fs::write(folder.join("etcd.log"), lines[cut..].concat()).unwrap();
            let found = emitted(&folder);
            let bare = |events: &[Value]| -> Vec<Value> {
                events
                    .iter()
                    .cloned()
                    .map(|mut event| {
                        for name in ["file", "line", "line_end"] {
                            event.as_object_mut().unwrap().remove(name);
                        }
                        event
                    })
                    .collect()
            };
            assert_eq!(bare(&found), bare(&expected), "cut at {cut}: {lines:#?}");
            // A record has the place where it begins, in that file's numbers.
            for (event, whole) in found.iter().zip(&expected) {
                let line = whole["line"].as_u64().unwrap();
                let cut = cut as u64;
                let (file, line) = if line > cut {
                    ("etcd.log", line - cut)
                } else {
                    ("etcd.log.1", line)
                };
                assert!(event["file"].as_str().unwrap().ends_with(file), "{event}");
                assert_eq!(event["line"], line, "{event}");
                assert!(
                    event["line_end"].as_u64() >= event["line"].as_u64(),
                    "{event}"
                );
            }
        }
    }
}

#[test]
fn beside_a_running_etcd_reading_is_slow_on_purpose() {
    let home = tempfile::tempdir().unwrap();
    let process = home.path().join("proc/7");
    fs::create_dir_all(&process).unwrap();
    fs::write(process.join("comm"), "etcd\n").unwrap();
    let pod = home
        .path()
        .join("var/log/pods/kube-system_etcd-cp0_0123456789abcdef0123456789abcdef/etcd");
    fs::create_dir_all(&pod).unwrap();
    append(&pod.join("0.log"), &slow(1, "pods"));
    let traced = |more: &[&str]| {
        let trace = home.path().join("trace");
        let output = Command::new("strace")
            .args([
                "-f",
                "-e",
                "trace=ioprio_set,setpriority,fadvise64,clone3,clone",
                "-o",
            ])
            .arg(&trace)
            .arg(env!("CARGO_BIN_EXE_etcd-doctor"))
            .args(["logs", "--since", "2026-11-21T19:00:00Z", "--root"])
            .arg(home.path())
            .args(more)
            .env_clear()
            .output()
            .ok()?;
        Some((fs::read_to_string(&trace).unwrap_or_default(), output))
    };
    let Some((calls, output)) = traced(&[]).filter(|(calls, _)| calls.contains("exited")) else {
        eprintln!("skipped: no strace that works here");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("etcd runs here: one thread"), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 logged requests"));
    assert!(
        calls.contains("ioprio_set(IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE"),
        "{calls}"
    );
    assert!(
        calls.contains("setpriority(PRIO_PROCESS, 0, 19)"),
        "{calls}"
    );
    assert!(calls.contains("POSIX_FADV_DONTNEED"), "{calls}");
    let (calls, output) = traced(&["--threads", "2"]).unwrap();
    assert!(
        !calls.contains("ioprio_set") && !calls.contains("DONTNEED"),
        "{calls}"
    );
    assert!(!String::from_utf8_lossy(&output.stderr).contains("etcd runs here"));
}

/// Whoever waits for a pipe that says nothing is still told to stop, and tells what it knows.
#[test]
fn a_signal_ends_a_read_that_waits() {
    let home = tempfile::tempdir().unwrap();
    let fifo = home.path().join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        // Nobody writes to the one; the other says one line and no more.
        for path in [fifo.as_path(), Path::new("-")] {
            for emit in [&[][..], &["--emit", "events"]] {
                let mut child = Command::new(env!("CARGO_BIN_EXE_etcd-doctor"))
                    .args(["logs", "--format", "json"])
                    .args(emit)
                    .arg(path)
                    .env_clear()
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap();
                let mut stdin = child.stdin.take().unwrap();
                stdin.write_all(slow(1, "pods").as_bytes()).unwrap();
                std::thread::sleep(Duration::from_millis(700));
                Command::new("kill")
                    .arg(format!("-{signal}"))
                    .arg(child.id().to_string())
                    .status()
                    .unwrap();
                let begun = Instant::now();
                let status = loop {
                    if let Some(status) = child.try_wait().unwrap() {
                        break status;
                    }
                    if begun.elapsed() > Duration::from_secs(10) {
                        child.kill().unwrap();
                        panic!("{signal} at {path:?} did nothing");
                    }
                    std::thread::sleep(Duration::from_millis(20));
                };
                assert_eq!(status.code(), Some(code), "{signal} at {path:?}");
                let mut said = String::new();
                child
                    .stdout
                    .take()
                    .unwrap()
                    .read_to_string(&mut said)
                    .unwrap();
                drop(stdin);
                if !emit.is_empty() {
                    assert_eq!(said.lines().count(), usize::from(path != fifo), "{said}");
                    continue;
                }
                let report: Value = serde_json::from_str(&said).unwrap();
                assert_eq!(report["coverage"]["interrupted"], true);
                assert_eq!(report["requests"]["seen"], u64::from(path != fifo));
            }
        }
    }
}
