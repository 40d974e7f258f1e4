//! `bench etcd` where connections are guarded: TLS with client certificates, users, tokens that end in
//! the middle, and unix sockets. Real servers; counts, never latencies.
#![cfg(feature = "live")]
#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "tests against real servers"
)]

#[path = "support/etcd.rs"]
mod servers;
mod support;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use etcd_doctor::target::etcd::User;
use serde_json::{Value, json};
use servers::{Cluster, Pki, Setup, etcd, etcd35, skip};
use support::doctor;

fn programs() -> Vec<PathBuf> {
    let all: Vec<PathBuf> = [etcd(), etcd35()].into_iter().flatten().collect();
    if all.is_empty() {
        skip("no etcd here");
    }
    all
}

fn root() -> User {
    User {
        name: "root".to_owned(),
        password: "hunter2".to_owned(),
    }
}

/// Turns authentication on, with a user that may do everything.
fn guard(cluster: &Cluster) {
    cluster.ask(|mut client| async move {
        client.user_add("root", "hunter2", None).await.unwrap();
        client.role_add("root").await.ok();
        client.user_grant_role("root", "root").await.unwrap();
        client.auth_enable().await.unwrap();
    });
}

/// All keys and all leases.
fn left(cluster: &Cluster) -> (i64, usize) {
    cluster.ask_as(Some(root()), |mut client| async move {
        let all = etcd_client::GetOptions::new()
            .with_all_keys()
            .with_count_only();
        let keys = client.get("", Some(all)).await.unwrap().count();
        let leases = client.leases().await.unwrap().leases().len();
        (keys, leases)
    })
}

/// The document of a run that did what it was asked.
fn measured(output: &std::process::Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let shown = format!("{}{stderr}", String::from_utf8_lossy(&output.stdout));
    assert!(!shown.contains("hunter"), "a password is shown: {shown}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = &result["runs"][0];
    assert!(run["summary"]["count"].as_u64().unwrap() > 0, "{run:#}");
    assert_eq!(run["errors"], json!({}), "{run:#}");
    assert_eq!(result["cleanup"]["keys_left"], 0, "{result:#}");
    result
}

fn loaded(result: &Value) -> Vec<&str> {
    let members = result["members"].as_array().unwrap();
    members
        .iter()
        .filter(|member| member["loaded"] == true)
        .map(|member| member["name"].as_str().unwrap())
        .collect()
}

#[test]
fn three_members_with_client_certificates_and_users() {
    // Both releases stand alone in the tests below.
    if let Some(program) = programs().pop() {
        let pki = Pki::new();
        let cluster = Cluster::start(&Setup {
            programs: vec![program.clone(), program.clone(), program],
            tls: Some((&pki, "server")),
            // A busy test machine must not look like a lost leader.
            flags: ["--heartbeat-interval=500", "--election-timeout=5000"]
                .map(str::to_owned)
                .to_vec(),
            ..Setup::default()
        });
        cluster.wait_settled();
        guard(&cluster);
        let file = |name: &str| pki.path(name).display().to_string();
        let (ca, cert, key) = (file("ca.crt"), file("client.crt"), file("client.key"));
        let endpoints = cluster.endpoints();
        let args = |endpoints: &str| -> Vec<String> {
            [
                "bench",
                "etcd",
                "--endpoints",
                endpoints,
                "--user",
                "root:hunter2",
            ]
            .into_iter()
            .chain(["--cacert", &ca, "--cert", &cert, "--key", &key])
            .chain(["--clients", "6", "--connections", "6", "--keys", "300"])
            .map(str::to_owned)
            .collect()
        };
        let run = |endpoints: &str, more: &[&str]| {
            let args = args(endpoints);
            let mut all: Vec<&str> = args.iter().map(String::as_str).collect();
            all.extend(more);
            all.extend(["--warm-up", "0", "--format", "json"]);
            doctor(&all).output()
        };
        // A constant rate against each choice of members.
        let constant = ["--rate", "100", "--duration", "1s", "--target"];
        let of = |endpoints: &str, target: &str| {
            measured(&run(endpoints, &[&constant[..], &[target]].concat()))
        };
        let all = of(&endpoints, "all");
        assert_eq!(loaded(&all), ["m1", "m2", "m3"]);
        assert_eq!(loaded(&of(&endpoints, "m2")), ["m2"]);
        assert_eq!(loaded(&of(&endpoints, "leader")).len(), 1);
        // From one endpoint the leader is found, whoever it is.
        for member in &cluster.members {
            let leader = of(&member.client, "leader");
            let leads = |m: &Value| m["loaded"] == true && m["leader"] == true;
            assert!(
                leader["members"].as_array().unwrap().iter().any(leads),
                "{leader:#}"
            );
        }
        // Metrics of all three were read with the same certificate.
        let servers = all["runs"][0]["servers"].as_array().unwrap();
        assert_eq!(servers.len(), 3);
        assert!(
            servers
                .iter()
                .all(|s| s["wal_fsync"]["mean_ms"].is_number())
        );

        // Killed in the middle, everything goes with its leases.
        let mut child = Command::new(env!("CARGO_BIN_EXE_etcd-doctor"))
            .args(args(&endpoints))
            .args(["--duration", "60s", "--lease-ttl", "5s", "--warm-up", "0"])
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while left(&cluster).0 < 300 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(100));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let (keys, leases) = left(&cluster);
        assert!(keys > 0 && leases > 0, "the load did not begin");
        let until = Instant::now() + Duration::from_secs(90);
        while left(&cluster) != (0, 0) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(500));
        }
        assert_eq!(left(&cluster), (0, 0));
    }
}

#[test]
fn a_token_that_ends_in_the_middle_is_renewed() {
    let programs = programs();
    let newest = programs.len().saturating_sub(1);
    for (at, program) in programs.into_iter().enumerate() {
        // Each kind of call once, and what etcd does at the end of a token in each release.
        let workloads: &[&str] = match at == newest {
            true => &["put", "txn", "keep-alive", "watch"],
            false => &["put", "watch"],
        };
        let keys = tempfile::tempdir().unwrap();
        let secret = keys.path().join("jwt.key");
        std::fs::write(&secret, "a secret of this test").unwrap();
        let token = format!("jwt,priv-key={},sign-method=HS256,ttl=1s", secret.display());
        let cluster = Cluster::start(&Setup {
            programs: vec![program],
            flags: vec!["--auth-token".to_owned(), token],
            ..Setup::default()
        });
        cluster.wait_settled();
        guard(&cluster);
        let endpoints = cluster.endpoints();
        let run = |more: &[&str]| {
            doctor(&[
                "bench",
                "etcd",
                "--endpoints",
                &endpoints,
                "--user",
                "root:hunter2",
            ])
            .args(&[
                "--clients",
                "4",
                "--warm-up",
                "0",
                "--keys",
                "100",
                "--format",
                "json",
            ])
            .args(more)
            .output()
        };
        for workload in workloads {
            let duration = ["--workload", workload, "--duration", "4s", "--rate", "50"];
            let result = measured(&run(&duration));
            // A second's token in four seconds; what came before the run is not the run's.
            let renewed = result["runs"][0]["token_renewals"].as_u64().unwrap_or(0);
            assert!(renewed >= 2, "{workload}: {renewed}");
        }
        let wrong = doctor(&["bench", "etcd", "--endpoints", &endpoints])
            .args(&["--user", "root:hunter3", "--total", "5"])
            .output();
        assert_eq!(wrong.status.code(), Some(69));
    }
}

#[test]
fn a_unix_socket_is_an_endpoint_as_any_other() {
    for program in programs() {
        let cluster = Cluster::start(&Setup {
            programs: vec![program],
            ..Setup::default()
        });
        cluster.wait_settled();
        let socket = format!("unix://{}", cluster.socket("m1").display());
        let output = doctor(&["bench", "etcd", "--endpoints", &socket])
            .args(&["--total", "200", "--warm-up", "0", "--format", "json"])
            .output();
        let result = measured(&output);
        assert_eq!(result["runs"][0]["summary"]["count"], 200);
        assert_eq!(result["members"][0]["endpoint"], socket);
        // No metrics over a socket: said, not guessed.
        assert!(
            result["runs"][0]["servers"][0]["missing"].is_string(),
            "{result:#}"
        );
    }
    for command in ["check", "bench"] {
        let said = doctor(&[command, "etcd", "--endpoints", "unixs:///run/etcd.sock"]).text();
        assert!(said.starts_with("exit 64"), "{said}");
        assert!(
            said.contains("TLS over a unix socket is not supported"),
            "{said}"
        );
    }
}
