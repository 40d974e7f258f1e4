//! `check etcd` against real servers: a healthy cluster is quiet, each fault has its name, and
//! nothing is written.
#![cfg(feature = "live")]
#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "tests against real servers"
)]

#[path = "support/etcd.rs"]
mod servers;
mod support;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use servers::{Cluster, Pki, Setup, etcd, etcd35, skip};
use support::doctor;

/// A profile whose limits a small test cluster can reach.
const SMALL: &str = r#"
name = "small-test"
extends = "base"
summary = "limits that a test reaches"
[limits]
"fragmentation-min-size" = { value = "1MiB", source = "test" }
"#;

struct Checked {
    exit: i32,
    json: Value,
    stderr: String,
}

impl Checked {
    /// Rules that failed, with severity, subject and message.
    fn failed(&self) -> Vec<(String, String, String, String)> {
        let text = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();
        self.json["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["status"] == "fail")
            .map(|finding| {
                (
                    text(finding, "rule"),
                    text(finding, "severity"),
                    text(finding, "subject"),
                    text(finding, "message"),
                )
            })
            .collect()
    }

    /// Names of rules that failed as more than a note. How fast this machine is at the moment is
    /// not what is tested.
    fn faults(&self) -> BTreeSet<String> {
        let timing = |rule: &str, severity: &str| {
            let rules = [
                "backend-commit-slow",
                "wal-fsync-slow",
                "peer-rtt-high",
                "heartbeat-late",
            ];
            rules.contains(&rule) || (rule == "reads-slow" && severity == "warn")
        };
        self.failed()
            .into_iter()
            .filter(|(rule, severity, _, _)| severity != "info" && !timing(rule, severity))
            .map(|(rule, _, _, _)| rule)
            .collect()
    }

    fn message(&self, rule: &str) -> (String, String) {
        self.failed()
            .into_iter()
            .find(|(name, _, _, _)| name == rule)
            .map(|(_, _, subject, message)| (subject, message))
            .unwrap_or_else(|| panic!("{rule} did not fail: {:#?}", self.failed()))
    }

    fn members(&self) -> &Vec<Value> {
        self.json["etcd"]["members"].as_array().unwrap()
    }
}

fn run(args: &[&str]) -> Checked {
    let mut all = vec!["check", "etcd", "--format", "json"];
    all.extend(args);
    if !args.contains(&"--window") {
        all.extend(["--window", "500ms"]);
    }
    let output = doctor(&all).output();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Checked {
        exit: output.status.code().unwrap(),
        json: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        stderr,
    }
}

/// Standard error of a check that reaches nobody: 69, or 64 where a file that was given is at fault.
fn refused(args: &[&str]) -> String {
    let checked = run(args);
    let own = [
        "key does not belong",
        "no private key",
        "no certificate",
        "cannot read",
    ]
    .iter()
    .any(|words| checked.stderr.contains(words));
    let code = if own { 64 } else { 69 };
    assert_eq!(checked.exit, code, "{}", checked.stderr);
    assert_eq!(checked.json, Value::Null);
    let error: Vec<&str> = checked
        .stderr
        .lines()
        .skip_while(|line| !line.starts_with("error: "))
        .collect();
    error.join("\n")
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_cluster_with_client_certificates_from_well_to_dead() {
    let Some(etcd) = etcd() else {
        return skip("no etcd here");
    };
    let pki = Pki::new();
    let mut cluster = Cluster::start(&Setup {
        programs: vec![etcd.clone(), etcd.clone(), etcd.clone()],
        tls: Some((&pki, "server")),
        ..Setup::default()
    });
    let before = cluster.wait_settled();
    let first = cluster.members[0].client.clone();
    let file = |name: &str| pki.path(name).display().to_string();
    let (ca, cert, key) = (file("ca.crt"), file("client.crt"), file("client.key"));
    let tls = ["--cacert", &ca, "--cert", &cert, "--key", &key];
    let with = |more: &[&str]| {
        let mut args = vec!["--endpoints", &first];
        args.extend(tls);
        args.extend(more);
        run(&args)
    };

    // Well: quiet, complete, from one endpoint to all members, and not one raft entry.
    let well = with(&["--hash"]);
    assert_eq!(well.exit, 0, "{}", well.stderr);
    assert_eq!(well.faults(), set(&[]), "{:#?}", well.failed());
    let members = well.members();
    assert_eq!(members.len(), 3);
    let mut roles: Vec<&str> = members
        .iter()
        .map(|m| m["role"].as_str().unwrap())
        .collect();
    roles.sort_unstable();
    assert_eq!(roles, ["follower", "follower", "leader"]);
    for member in members {
        assert_eq!(member["state"], "answers");
        assert_eq!(member["quota_bytes"], 2_147_483_648.0);
        assert!(member["serializable_ms"].as_f64().unwrap() > 0.0);
        assert!(member["linearizable_ms"].as_f64().unwrap() > 0.0);
        assert_eq!(member["index"], members[0]["index"]);
        assert_eq!(member["behind"], 0.0);
    }
    assert_eq!(well.json["etcd"]["hashes"]["state"], "agree");
    assert_eq!(well.json["etcd"]["backend"], "etcd");
    assert_eq!(
        well.json["problems"].as_array().unwrap().len(),
        0,
        "{}",
        well.json["problems"]
    );
    // Three servers and the client.
    assert_eq!(
        well.json["etcd"]["certificates"].as_array().unwrap().len(),
        4
    );
    let after = cluster.look();
    let index = |model: &etcd_doctor::etcd::Model| -> Vec<u64> {
        model
            .members
            .iter()
            .map(|m| m.last().unwrap().index)
            .collect()
    };
    assert_eq!(index(&before), index(&after), "a check made raft entries");

    wrong_credentials(&pki, &first);
    by_the_nodes_own_files(&pki, &first);

    // Much deleted and compacted.
    cluster.ask(|mut client| async move {
        for at in 0..40 {
            client
                .put(format!("k{at}"), vec![b'x'; 200_000], None)
                .await
                .unwrap();
        }
        let prefix = etcd_client::DeleteOptions::new().with_prefix();
        let deleted = client.delete("k", Some(prefix)).await.unwrap();
        let revision = deleted.header().unwrap().revision();
        let physical = etcd_client::CompactionOptions::new().with_physical();
        client.compact(revision, Some(physical)).await.unwrap();
        // Pages count as free after the writes that follow the compaction.
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            client.put("after", "x", None).await.unwrap();
        }
    });
    let profile = pki.path("small.toml");
    std::fs::write(&profile, SMALL).unwrap();
    let profile = profile.display().to_string();
    cluster.wait("freed pages", |model| {
        model.answering().all(|member| {
            let last = member.last().unwrap();
            last.in_use.unwrap() < last.db.unwrap() / 2.0
        })
    });
    let fragmented = with(&["--profile", &profile]);
    let (_, message) = fragmented.message("database-fragmented");
    assert!(message.contains("free pages"), "{message}");
    assert_eq!(
        fragmented.faults(),
        set(&[]),
        "free pages far from the quota are a note"
    );

    // A learner.
    cluster.add_learner(&etcd);
    cluster.wait("the learner", |model| {
        model.answering().count() == 4
            && model
                .members
                .iter()
                .any(|m| m.name == "m4" && m.is_learner())
    });
    let learning = with(&[]);
    assert_eq!(
        learning.faults(),
        set(&["learner-not-promoted"]),
        "{:#?}",
        learning.failed()
    );
    assert_eq!(learning.message("learner-not-promoted").0, "member:m4");

    // One voter away, then two.
    cluster.members[2].kill();
    cluster.wait("a leader among the others", |model| {
        let alive = |id: u64| model.answering().any(|member| member.id == Some(id));
        model
            .answering()
            .filter(|member| !member.is_learner())
            .all(|member| alive(member.last().unwrap().leader))
    });
    let one_down = with(&[]);
    assert_eq!(one_down.exit, 0);
    let (subject, message) = one_down.message("member-unreachable");
    assert_eq!(subject, "member:m3");
    assert!(
        message.contains("2 of 3 members are left: the next failure"),
        "{message}"
    );
    assert!(message.contains("nothing listens there"), "{message}");

    cluster.members[1].kill();
    cluster.wait("the loss of the leader", |model| {
        // A learner calls no election and believes in the old leader for ever.
        model
            .answering()
            .all(|member| member.is_learner() || member.last().unwrap().leader == 0)
    });
    let dead = with(&[]);
    assert_eq!(dead.exit, 1);
    let faults = dead.faults();
    for rule in ["leader-missing", "member-unreachable"] {
        assert!(faults.contains(rule), "{rule}: {:#?}", dead.failed());
    }
    let (_, message) = dead.message("member-unreachable");
    assert!(
        message.contains("1 of 3 members are left, 2 are needed"),
        "{message}"
    );
    // Whoever answers still serves its own data.
    let alive = dead.members().iter().find(|m| m["name"] == "m1").unwrap();
    assert_eq!(alive["role"], "no-leader");
    assert!(alive["serializable_ms"].as_f64().is_some(), "{alive}");
}

/// Every wrong certificate and scheme is said in words.
fn wrong_credentials(pki: &Pki, first: &str) {
    let file = |name: &str| pki.path(name).display().to_string();
    let ca = file("ca.crt");
    pki.issue_foreign("foreign");
    pki.issue("old", (2019, 2020));
    let of = |name: &str| {
        let (cert, key) = (file(&format!("{name}.crt")), file(&format!("{name}.key")));
        refused(&[
            "--endpoints",
            first,
            "--cacert",
            &ca,
            "--cert",
            &cert,
            "--key",
            &key,
        ])
    };
    let text = of("foreign");
    assert!(
        text.contains("does not accept the client certificate"),
        "{text}"
    );
    assert!(text.contains("signed by `other-ca`"), "{text}");
    let text = of("old");
    assert!(text.contains("expired on 2020-01-01"), "{text}");
    let text = refused(&["--endpoints", first, "--cacert", &ca]);
    assert!(text.contains("wants a client certificate"), "{text}");
    let text = refused(&["--endpoints", first, "--cacert", &file("foreign-ca.crt")]);
    assert!(
        text.contains("signed by `etcd-ca`, which is not trusted here"),
        "{text}"
    );
    let plain = first.replace("https://", "http://");
    let text = refused(&["--endpoints", &plain]);
    assert!(
        text.contains("speaks TLS") && text.contains("https://"),
        "{text}"
    );
    // The key of another certificate.
    let (cert, key) = (file("client.crt"), file("old.key"));
    let text = refused(&[
        "--endpoints",
        first,
        "--cacert",
        &ca,
        "--cert",
        &cert,
        "--key",
        &key,
    ]);
    assert!(text.contains("key does not belong"), "{text}");
}

/// Without any flag: the node's static pod and kubeadm's health check certificate.
fn by_the_nodes_own_files(pki: &Pki, first: &str) {
    let root = tempfile::tempdir().unwrap();
    let put = |path: &str, from: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::copy(pki.path(from), path).unwrap();
    };
    put("etc/kubernetes/pki/etcd/ca.crt", "ca.crt");
    put(
        "etc/kubernetes/pki/etcd/healthcheck-client.crt",
        "client.crt",
    );
    put(
        "etc/kubernetes/pki/etcd/healthcheck-client.key",
        "client.key",
    );
    let pod = root.path().join("etc/kubernetes/manifests/etcd.yaml");
    std::fs::create_dir_all(pod.parent().unwrap()).unwrap();
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: etcd\n  namespace: kube-system\nspec:\n  \
         containers:\n  - name: etcd\n    image: registry.k8s.io/etcd:3.4.23-0\n    command:\n    \
         - etcd\n    - --name=m1\n    - --listen-client-urls={first}\n    \
         - --cert-file=/etc/kubernetes/pki/etcd/server.crt\n"
    );
    std::fs::write(&pod, text).unwrap();
    let root = root.path().display().to_string();
    let checked = run(&["--root", &root]);
    assert_eq!(checked.exit, 0, "{}", checked.stderr);
    assert_eq!(checked.members().len(), 3);
    assert!(
        checked.stderr.contains("healthcheck-client.crt"),
        "{}",
        checked.stderr
    );
    assert!(checked.stderr.contains(first), "{}", checked.stderr);

    // `diagnose` asks the same etcd in its live run.
    let report = doctor(&[
        "diagnose", "--format", "json", "--window", "1s", "--root", &root,
    ])
    .args(&["--since", "@4000000000", "--fail-on", "never"])
    .json();
    let sources = report["seen"]["sources"].as_array().unwrap();
    assert!(
        sources.iter().any(|source| source["collector"] == "etcd"),
        "{sources:?} {}",
        report["seen"]["problems"]
    );
    let passed = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .any(|finding| finding["rule"] == "member-unreachable" && finding["status"] == "pass");
    assert!(passed, "the members were not judged");
}

#[test]
fn a_full_database_and_the_way_out() {
    let Some(etcd) = etcd() else {
        return skip("no etcd here");
    };
    let cluster = Cluster::start(&Setup {
        programs: vec![etcd],
        flags: vec!["--quota-backend-bytes=8388608".to_owned()],
        ..Setup::default()
    });
    cluster.wait_settled();
    let full = cluster.ask(|mut client| async move {
        for _ in 0..200 {
            if let Err(err) = client.put("k", vec![b'x'; 200_000], None).await {
                return err.to_string();
            }
        }
        "never full".to_owned()
    });
    assert!(full.contains("database space exceeded"), "{full}");
    let endpoints = cluster.endpoints();
    let checked = run(&["--endpoints", &endpoints]);
    assert_eq!(checked.exit, 1);
    let (subject, message) = checked.message("nospace-alarm");
    assert_eq!(subject, "member:m1");
    assert!(message.contains("takes no writes"), "{message}");
    assert_eq!(checked.json["etcd"]["alarms"][0]["alarm"], "NOSPACE");
    assert_eq!(checked.json["etcd"]["alarms"][0]["member"], "m1");
    assert_eq!(checked.members()[0]["quota_bytes"], 8_388_608.0);
    let advice = &checked.json["advice"];
    let steps = advice
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["id"] == "nospace-recovery")
        .unwrap_or_else(|| panic!("{advice:#}"))["proposed"]
        .as_str()
        .unwrap()
        .to_owned();
    let order = ["snapshot", "compact", "defrag", "alarm disarm"];
    let places: Vec<usize> = order.iter().map(|word| steps.find(word).unwrap()).collect();
    assert!(places.is_sorted(), "{steps}");
    assert!(steps.contains(&endpoints), "{steps}");

    // The advice works.
    let revision = checked.members()[0]["revision"].as_f64().unwrap();
    assert!(
        steps.contains(&format!("etcdctl compact {revision:.0}")),
        "{steps}"
    );
    cluster.ask(|mut client| async move {
        let physical = etcd_client::CompactionOptions::new().with_physical();
        #[expect(clippy::cast_possible_truncation, reason = "a small revision")]
        client
            .compact(revision as i64, Some(physical))
            .await
            .unwrap();
        client.defragment().await.unwrap();
        let status = client.status().await.unwrap();
        let mut of_member = etcd_client::AlarmOptions::new();
        of_member.with_member(status.header().unwrap().member_id());
        client
            .alarm(
                etcd_client::AlarmAction::Deactivate,
                etcd_client::AlarmType::Nospace,
                Some(of_member),
            )
            .await
            .unwrap();
    });
    let checked = run(&["--endpoints", &endpoints]);
    assert_eq!(checked.faults(), set(&[]), "{:#?}", checked.failed());
    assert_eq!(checked.json["etcd"]["alarms"].as_array().unwrap().len(), 0);
}

#[test]
fn users_and_what_they_may_see() {
    let Some(etcd) = etcd() else {
        return skip("no etcd here");
    };
    let cluster = Cluster::start(&Setup {
        programs: vec![etcd],
        ..Setup::default()
    });
    cluster.wait_settled();
    cluster.ask(|mut client| async move {
        client.user_add("root", "hunter2", None).await.unwrap();
        client.user_grant_role("root", "root").await.ok();
        client.role_add("root").await.ok();
        client.user_grant_role("root", "root").await.ok();
        client.user_add("weak", "hunter3", None).await.unwrap();
        client.auth_enable().await.unwrap();
    });
    let endpoints = cluster.endpoints();
    // The same member over its socket.
    let socket = format!("unix://{}", cluster.socket("m1").display());
    let over_socket = run(&["--endpoints", &socket, "--endpoints-only"]);
    assert_eq!(over_socket.exit, 0, "{}", over_socket.stderr);
    assert_eq!(over_socket.members()[0]["name"], "m1");
    let right = |checked: &Checked, what: &str| -> (String, String) {
        let rights = checked.json["etcd"]["rights"].as_array().unwrap();
        let row = rights.iter().find(|row| row["what"] == what).unwrap();
        (
            row["state"].as_str().unwrap().to_owned(),
            row["why"].as_str().unwrap_or_default().to_owned(),
        )
    };
    // Nobody: status and list are seen, reads are not, and it is said what they need.
    let nobody = run(&["--endpoints", &endpoints, "--hash"]);
    // Hashes were asked for by name, and were not to be had.
    assert_eq!(nobody.exit, 3, "{}", nobody.stderr);
    assert_eq!(right(&nobody, "status and member list").0, "seen");
    let (state, why) = right(&nobody, "reads");
    assert_eq!(state, "denied");
    assert!(why.contains("no user was given"), "{why}");
    assert_eq!(right(&nobody, "hash").0, "denied");
    assert_eq!(nobody.faults(), set(&[]), "{:#?}", nobody.failed());

    let weak = run(&["--endpoints", &endpoints, "--user", "weak:hunter3"]);
    let (state, why) = right(&weak, "reads");
    assert_eq!(state, "denied");
    assert!(why.contains("lacks this right"), "{why}");
    assert!(
        weak.stderr.contains("each log-in is an entry")
            && !weak.stderr.contains("nothing is written"),
        "{}",
        weak.stderr
    );

    let root = run(&[
        "--endpoints",
        &endpoints,
        "--user",
        "root:hunter2",
        "--hash",
    ]);
    assert_eq!(right(&root, "reads").0, "seen");
    assert_eq!(right(&root, "hash").0, "seen");
    assert!(root.members()[0]["linearizable_ms"].as_f64().is_some());
    assert_eq!(root.exit, 0, "{}", root.stderr);

    let wrong = run(&["--endpoints", &endpoints, "--user", "root:hunter4"]);
    let (state, why) = right(&wrong, "reads");
    assert_eq!(state, "denied");
    assert!(why.contains("does not accept this user"), "{why}");
    assert_eq!(wrong.exit, 3, "{}", wrong.stderr);
    // Of two addresses that were named one is nobody's.
    let nobodys = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let both = format!("{endpoints},http://{nobodys}");
    let half = run(&["--endpoints", &both, "--user", "root:hunter2"]);
    assert_eq!(half.exit, 3, "{}", half.stderr);
    assert!(
        half.json["problems"]
            .to_string()
            .contains("nothing listens")
    );
    for checked in [nobody, weak, root, wrong] {
        let all = format!("{}{}", checked.json, checked.stderr);
        assert!(!all.contains("hunter"), "a password is shown: {all}");
    }
    // For people: one line says what is not seen.
    let text = doctor(&[
        "check",
        "etcd",
        "--window",
        "100ms",
        "--endpoints",
        &endpoints,
    ])
    .text();
    assert!(
        text.contains("not seen: reads: etcd's authentication is on"),
        "{text}"
    );
}

#[test]
fn an_expired_server_certificate_is_named() {
    let Some(etcd) = etcd() else {
        return skip("no etcd here");
    };
    let pki = Pki::new();
    pki.issue("expired", (2019, 2020));
    let cluster = Cluster::start(&Setup {
        programs: vec![etcd],
        tls: Some((&pki, "expired")),
        ..Setup::default()
    });
    let first = cluster.members[0].client.clone();
    let file = |name: &str| pki.path(name).display().to_string();
    let (ca, cert, key) = (file("ca.crt"), file("client.crt"), file("client.key"));
    let tls = ["--cacert", &ca, "--cert", &cert, "--key", &key];
    let mut args = vec!["--endpoints", &first];
    args.extend(tls);
    cluster.wait("a server that refuses nobody but is refused", |model| {
        model
            .strangers
            .iter()
            .any(|(_, trouble)| trouble.said.contains("expired"))
    });
    let text = refused(&args);
    assert!(
        text.contains("the server's certificate expired on 2020-01-01 00:00 UTC"),
        "{text}"
    );
    // Whoever must look all the same can.
    args.push("--insecure-skip-tls-verify");
    let checked = run(&args);
    assert_eq!(checked.exit, 1, "{}", checked.stderr);
    let (subject, message) = checked.message("certificate-expiring");
    assert_eq!(subject, "member:m1");
    assert!(message.contains("expired on 2020-01-01"), "{message}");
}

#[test]
fn the_one_slow_disk_of_three_is_named() {
    let Some(etcd) = etcd() else {
        return skip("no etcd here");
    };
    let args = [
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=fdatasync",
        "-e",
        "inject=fdatasync:delay_exit=60000",
    ];
    let works = Command::new("strace")
        .args(args)
        .arg("true")
        .status()
        .is_ok_and(|status| status.success());
    if !works {
        return skip("strace cannot slow system calls down here");
    }
    let cluster = Cluster::start(&Setup {
        programs: vec![etcd.clone(), etcd.clone(), etcd],
        traced: Some((2, args.iter().map(|arg| (*arg).to_owned()).collect())),
        ..Setup::default()
    });
    cluster.wait_settled();
    let endpoints = cluster.endpoints();
    let checked = std::thread::scope(|scope| {
        let check = scope.spawn(|| run(&["--endpoints", &endpoints, "--window", "8s"]));
        cluster.ask(|client| async move {
            while !check.is_finished() {
                let mut tasks = tokio::task::JoinSet::new();
                for at in 0..8 {
                    let mut client = client.clone();
                    tasks.spawn(async move { client.put(format!("k{at}"), "v", None).await.ok() });
                }
                while tasks.join_next().await.is_some() {}
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            check.join().unwrap()
        })
    });
    let (subject, message) = checked.message("member-odd-one-out");
    assert_eq!(subject, "member:m3", "{message}");
    assert!(message.contains("m3 needs"), "{message}");
    let slow = checked
        .members()
        .iter()
        .find(|m| m["name"] == "m3")
        .unwrap();
    assert!(slow["wal_fsync_ms"].as_f64().unwrap() >= 60.0, "{slow}");
}

#[test]
fn mixed_releases_are_named() {
    let (Some(etcd), Some(newer)) = (etcd(), etcd35()) else {
        return skip("needs an etcd 3.4 and a 3.5 (make test-deps)");
    };
    let cluster = Cluster::start(&Setup {
        programs: vec![etcd.clone(), etcd, newer],
        ..Setup::default()
    });
    let model = cluster.wait_settled();
    let versions: BTreeSet<&str> = model
        .answering()
        .map(|member| &member.last().unwrap().version[..3])
        .collect();
    if versions.len() < 2 {
        return skip("the etcd here is a 3.5 itself");
    }
    let checked = run(&["--endpoints", &cluster.endpoints(), "--hash"]);
    let (_, message) = checked.message("versions-mixed");
    assert!(
        message.contains("on m3") && message.contains("on m1, m2"),
        "{message}"
    );
    assert_eq!(
        checked.faults(),
        set(&["versions-mixed"]),
        "{:#?}",
        checked.failed()
    );
    assert_eq!(checked.json["etcd"]["hashes"]["state"], "agree");
}

/// A proxy lists itself in place of the members: said, and no member is missed for it.
#[test]
fn a_grpc_proxy_is_no_cluster_that_lost_members() {
    let Some(etcd) = etcd() else {
        return skip("no etcd here");
    };
    let cluster = Cluster::start(&Setup {
        programs: vec![etcd.clone()],
        ..Setup::default()
    });
    cluster.wait_settled();
    let member = cluster.members[0].client.clone();
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let address = format!("127.0.0.1:{port}");
    let proxy = Command::new(&etcd)
        .args(["grpc-proxy", "start", "--endpoints"])
        .arg(member.trim_start_matches("http://"))
        .args([
            "--listen-addr",
            &address,
            "--advertise-client-url",
            &address,
        ])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    let Ok(mut proxy) = proxy else {
        return skip("this etcd is no grpc-proxy");
    };
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while std::net::TcpStream::connect(&address).is_err() && std::time::Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    let endpoint = format!("http://{address}");
    let checked = run(&["--endpoints", &endpoint]);
    proxy.kill().ok();
    proxy.wait().ok();
    assert_eq!(checked.faults(), set(&[]), "{:#?}", checked.failed());
    assert_eq!(checked.exit, 0, "{}", checked.stderr);
    assert_eq!(checked.members().len(), 1, "{:#?}", checked.members());
    let problems = checked.json["problems"].to_string();
    assert!(
        problems.contains(&format!("{endpoint} is an etcd grpc-proxy")),
        "{problems}"
    );
}

/// Nothing is written whatever is asked for: the raft index of an idle member is the same afterwards.
#[test]
fn no_option_makes_a_raft_entry() {
    let Some(etcd) = etcd() else {
        return skip("no etcd here");
    };
    let cluster = Cluster::start(&Setup {
        programs: vec![etcd],
        ..Setup::default()
    });
    cluster.wait_settled();
    let endpoints = cluster.endpoints();
    let index = || {
        let model = cluster.look();
        let last = model.members[0].last().unwrap();
        (last.index, last.revision)
    };
    let before = index();
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved").display().to_string();
    let options: [&[&str]; 6] = [
        &[],
        &["--hash"],
        &["--endpoints-only"],
        &["--hash", "--hash-max-size", "1KiB"],
        &["--save", &saved],
        &["--all", "--profile", "large"],
    ];
    for more in options {
        let mut args = vec!["--endpoints", &endpoints];
        args.extend(more);
        let checked = run(&args);
        assert!(checked.exit == 0 || checked.exit == 1, "{}", checked.stderr);
        assert_eq!(index(), before, "{more:?} made an entry");
    }
    let root = folder.path().join("root");
    let pod = root.join("etc/kubernetes/manifests/etcd.yaml");
    std::fs::create_dir_all(pod.parent().unwrap()).unwrap();
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: etcd\n  namespace: kube-system\nspec:\n  \
         containers:\n  - name: etcd\n    command:\n    - etcd\n    - --name=m1\n    \
         - --listen-client-urls={endpoints}\n"
    );
    std::fs::write(&pod, text).unwrap();
    let report = doctor(&["diagnose", "--format", "json", "--window", "1s", "--root"])
        .path(&root)
        .args(&["--since", "@4000000000", "--fail-on", "never"])
        .json();
    let sources = report["seen"]["sources"].as_array().unwrap();
    assert!(
        sources.iter().any(|source| source["collector"] == "etcd"),
        "{sources:?}"
    );
    assert_eq!(index(), before, "diagnose made an entry");
}

/// A server on loopback that does this with each connection.
fn serve(what: fn(std::net::TcpStream)) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || what(stream));
        }
    });
    port
}

/// What is no etcd, or is silent, is told by both commands in the same words and long before the
/// window of a look is over.
#[test]
fn strangers_at_the_address_are_named_in_time() {
    use std::io::{Read as _, Write as _};
    let silent = serve(|mut stream| {
        stream.read_exact(&mut [0; 24]).ok();
        std::thread::sleep(Duration::from_secs(60));
    });
    let garbage = serve(|mut stream| {
        stream.write_all(b"\xff\x00 garbage \r\n").ok();
        stream.read_exact(&mut [0; 24]).ok();
    });
    let http1 = serve(|mut stream| {
        stream.read_exact(&mut [0; 24]).ok();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").ok();
    });
    let rude = serve(drop);
    let cases = [
        (
            "http",
            silent,
            "takes connections there and answers nothing",
        ),
        (
            "https",
            silent,
            "takes connections there and answers nothing",
        ),
        ("http", garbage, "does not speak HTTP/2, so it is no etcd"),
        ("https", garbage, "does not speak TLS"),
        ("http", http1, "an HTTP/1 server answers there"),
        ("https", http1, "does not speak TLS"),
        ("http", rude, "closed the connection without a word"),
        ("https", rude, "closed the connection without a word"),
    ];
    for (scheme, port, words) in cases {
        let endpoint = format!("{scheme}://127.0.0.1:{port}");
        for command in ["check", "bench"] {
            let begin = std::time::Instant::now();
            let limits = ["--dial-timeout", "500ms", "--command-timeout", "500ms"];
            let said = doctor(&[command, "etcd", "--endpoints", &endpoint])
                .args(&limits)
                .text();
            assert!(said.starts_with("exit 69"), "{command} {endpoint}: {said}");
            assert!(said.contains(words), "{command} {endpoint}: {said}");
            assert!(said.contains(&endpoint), "{said}");
            // The window of 10 s is for those who answer, the rest is room for a busy machine.
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "{command} {endpoint}"
            );
        }
    }
}

/// Packets to an address that nobody has vanish: an interface of its own in a network of its own.
#[test]
fn dropped_packets_end_in_words_too() {
    let lay = "ip link set lo up && ip tuntap add black mode tun && \
               ip addr add 10.99.0.1/24 dev black && ip link set black up";
    let works = Command::new("unshare")
        .args(["-n", "sh", "-c", lay])
        .output()
        .is_ok_and(|output| output.status.success());
    if !works {
        return skip("no network of its own can be made here");
    }
    for command in ["check", "bench"] {
        let output = Command::new("unshare")
            .args(["-n", "sh", "-c"])
            .arg(format!(
                "{lay} && exec {} {command} etcd --endpoints http://10.99.0.2:2379 \
                 --dial-timeout 500ms --command-timeout 500ms",
                env!("CARGO_BIN_EXE_etcd-doctor")
            ))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(69), "{said}");
        assert!(said.contains("no connection within 0.5 s"), "{said}");
        assert!(said.contains("drops packets"), "{said}");
    }
}

#[test]
fn nobody_there_is_an_exit_code() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let port = {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        other.local_addr().unwrap().port()
    };
    let nobody = format!("http://127.0.0.1:{port}");
    let both = format!("{nobody},{silent}");
    let text = refused(&[
        "--endpoints",
        &both,
        "--dial-timeout",
        "300ms",
        "--command-timeout",
        "300ms",
    ]);
    assert!(text.contains("nothing listens there"), "{text}");
    assert!(text.contains(&silent), "{text}");
    let text = refused(&["--endpoints", "http://no-such-host.invalid:2379"]);
    assert!(text.contains("the host's name has no address"), "{text}");
    let usage = doctor(&["check", "etcd", "--endpoints", "https://u:hunter2@h:1"]).text();
    assert!(usage.starts_with("exit 64"), "{usage}");
    assert!(!usage.contains("hunter2"), "{usage}");
}
