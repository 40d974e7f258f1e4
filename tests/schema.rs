//! What the program prints is what its schemas say: no more, no less.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test through the binary"
)]

#[path = "support/json_schema.rs"]
mod json_schema;
mod support;

use std::collections::BTreeSet;
use std::path::Path;

use std::sync::Arc;

use etcd_doctor::bench::disk::run::{Context, run as run_plan};
use etcd_doctor::bench::disk::simulated::{Costs, SimulatedDisk, SimulatedTime};
use etcd_doctor::bench::disk::watch::Watch;
use etcd_doctor::bench::disk::{Counted, Host, Rig, plan};
use etcd_doctor::bench::{Cancel, NoProgress};
use etcd_doctor::bundle;
use etcd_doctor::clock::{Clock, Timestamp};
use etcd_doctor::evidence::{
    Bucket, Collector, Completeness, Episode, Episodes, EvidenceSet, Histogram, Missing, Origin,
    Point, Reading, Record, Row, Scalar, Series, Shape, Subject, SubjectKind, Table, Window,
};
use etcd_doctor::formats::bench::disk::{
    Arrivals, Barrier, BarrierStep, Commits, Contention, DeviceCount, DiskBench, Ground, PerSync,
    Plan, PlanName, RealTime, Volume, Writer,
};
use etcd_doctor::formats::bench::throttle::{
    Confidence, Limit, Plateau, Step, ThrottleProbe, Trial,
};
use etcd_doctor::formats::bench::{observe, power_cut, replay};
use etcd_doctor::profile::Profile;
use etcd_doctor::report::schema::{SCHEMAS, schema};
use json_schema::Checker;
use serde_json::{Value, json};
use support::{doctor, fixtures};

/// Recordings that together show most of what a report can hold.
const RECORDINGS: &[&str] = &["events-flood", "healthy", "slow-network"];

fn checker(name: &str) -> Checker {
    Checker::new(schema(name).unwrap().text)
}

/// Checks documents, and that they show every declared property but the named ones.
fn hold(name: &str, documents: &[Value], rarely_shown: &[&str]) {
    let mut checker = checker(name);
    for (number, document) in documents.iter().enumerate() {
        let mut errors = checker.check(document);
        errors.truncate(20);
        assert!(
            errors.is_empty(),
            "{name}, document {number}:\n{}",
            errors.join("\n")
        );
    }
    let declared = checker.declared();
    let unmet: Vec<&str> = declared
        .difference(&checker.met)
        .map(String::as_str)
        .filter(|at| !rarely_shown.contains(at))
        .collect();
    assert!(
        unmet.is_empty(),
        "{name}: declared, and in no output here (is the property gone, or did the test shrink?): {unmet:?}"
    );
}

fn recording(name: &str) -> support::Run {
    doctor(&["diagnose", "--format", "json", "--bundle"])
        .path(fixtures().join("captures").join(format!("{name}.tar.zst")))
}

#[test]
fn the_schemas_are_sound() {
    for schema in SCHEMAS {
        let checker = Checker::new(schema.text);
        let faults = checker.faults();
        assert!(faults.is_empty(), "{}:\n{}", schema.name, faults.join("\n"));
    }
}

#[test]
fn the_command_prints_and_lists_them() {
    for schema in SCHEMAS {
        let output = doctor(&["schema", schema.name]).output();
        assert_eq!(output.stdout, schema.text.as_bytes());
        assert_eq!(output.status.code(), Some(0));
    }
    let list = doctor(&["schema", "--format", "json"]).json();
    assert_eq!(list.as_array().unwrap().len(), SCHEMAS.len());
    let plain = String::from_utf8(doctor(&["schema"]).output().stdout).unwrap();
    assert_eq!(plain.lines().count(), SCHEMAS.len());
    assert_eq!(doctor(&["schema", "no"]).output().status.code(), Some(64));
}

#[test]
fn readings_are_described_alike_everywhere() {
    let of = |name: &str| -> Value { serde_json::from_str(schema(name).unwrap().text).unwrap() };
    assert_eq!(of("bundle")["$defs"], of("metrics")["$defs"]);
}

/// A run in which a risk is accepted.
fn accepting(args: &[&str]) -> support::Run {
    let run = doctor(&["--format", "json"]).args(args);
    let file = "[[accept]]\nrule = \"client-qps-low\"\nreason = \"known\"\nuntil = 2026-12-31\n";
    let path = run.home().join("risks.toml");
    std::fs::write(&path, file).unwrap();
    run.arg("--accept").path(path)
}

#[test]
fn reports() {
    let mut reports = vec![accepting(&["diagnose", "--demo"]).json()];
    reports.extend(RECORDINGS.iter().map(|name| recording(name).json()));
    // Bytes are known where a log tells the size of answers; clocks differ in no recording
    // (tests/captures.rs shifts one); each is of one run.
    let absent = [
        "#/$defs/relief/properties/bytes",
        "#/$defs/seen/properties/runs",
        "#/$defs/skew/properties/found",
        "#/$defs/skew/properties/found_unshifted",
        "#/$defs/skew/properties/member",
        "#/$defs/skew/properties/secs",
    ];
    hold("report", &reports, &absent);
}

#[test]
fn advice() {
    let run = |path: &str| {
        doctor(&["advise", "--format", "json", "--bundle"])
            .path(fixtures().join(path))
            .json()
    };
    let documents = [
        run("metal3"),
        run("metal3-1.13"),
        run("openfaas"),
        run("paypal"),
        run("captures/events-flood.tar.zst"),
    ];
    hold("advice", &documents, &[]);
}

#[test]
fn saved_runs() {
    let mut saved = Vec::new();
    for name in RECORDINGS {
        let mut run = recording(name).arg("--save").arg("run.zst");
        run.output();
        let file = std::fs::read(run.home().join("run.zst")).unwrap();
        saved.push(serde_json::from_slice(&zstd::decode_all(file.as_slice()).unwrap()).unwrap());
    }
    saved.push(plain(|file| {
        bundle::save(file, Timestamp(0), &every_shape(), &["no root".to_owned()]).unwrap();
    }));
    hold("bundle", &saved, &[]);
}

/// A disk that is only a number: 2 ms a sync.
fn simulated_bench() -> DiskBench {
    struct Nowhere;
    impl Host for Nowhere {
        fn ground(&self, dir: &Path) -> Ground {
            Ground {
                dir: dir.display().to_string(),
                fs: "ext4".to_owned(),
                device: Some((8, 0)),
                remarks: vec!["discard: costs".to_owned()],
                kernel_threads: vec!["loop0 (loop)".to_owned()],
                disks: vec![etcd_doctor::formats::bench::disk::Disk {
                    name: "sda".to_owned(),
                    ..Default::default()
                }],
                barrier: Barrier {
                    state: "on".to_owned(),
                    steps: vec![BarrierStep::default()],
                    ..Barrier::default()
                },
                ..Ground::default()
            }
        }
        fn barrier(&self, dir: &Path, _: Counted) -> Barrier {
            self.ground(dir).barrier
        }
    }
    let time = Arc::new(SimulatedTime::default());
    let costs = Costs {
        sync_ns: |_| 2_000_000,
        ..Costs::default()
    };
    let disk = SimulatedDisk::new(Arc::clone(&time), costs);
    let rig = Rig {
        wal: Arc::new(disk.clone()),
        db: Arc::new(disk),
        time,
        watch: Watch::nothing(),
        cancel: Cancel::default(),
    };
    let plan = Plan {
        wal_dir: "/data".to_owned(),
        db_dir: Some("/other".to_owned()),
        real_time_secs: 0.0,
        // Two threads would race for the simulated time.
        wal_only: true,
        ..plan::named(PlanName::Quick)
    };
    let cx = Context {
        rig: &rig,
        host: &Nowhere,
        progress: &NoProgress,
        profile: &Profile::default(),
        clock: Clock::Fixed(Timestamp(0)),
        real_time_allowed: false,
    };
    run_plan(&plan, &cx)
}

#[test]
fn benches_of_a_disk_and_their_comparison() {
    let bench = simulated_bench();
    let mut full = bench.clone();
    full.ledger.small = Some(PerSync::default());
    full.real_time = Some(RealTime::default());
    full.plan.arrivals = Arrivals::Poisson { per_sec: 9.0 };
    full.volumes.push(Volume::default());
    full.throttle = Some(ThrottleProbe {
        plateau: Some(Plateau {
            limit: Limit::Bytes,
            bytes_per_sec: 1e6,
            writes_per_sec: 9.0,
            variation: 0.01,
            confidence: Confidence::Low,
            base_us: Some(3.0),
            step: Some(Step {
                at_secs: 1.0,
                before_per_sec: 2.0,
                after_per_sec: 1.0,
                credit: 9.0,
                explained: 0.9,
            }),
        }),
        trials: vec![Trial::default()],
        ..ThrottleProbe::default()
    });
    if let Some(total) = full.total.as_mut() {
        total.commits = Some(Commits::default());
        total.device = Some(DeviceCount::default());
        total.around.own_io_limits.push("8:0 wbps".to_owned());
        total.around.writers.push(Writer::default());
        full.contention = Some(Contention {
            alone: total.clone(),
            with_commits: total.clone(),
            ..Contention::default()
        });
    }
    let mut waiting = bench.clone();
    waiting.plan.arrivals = Arrivals::Clients { clients: 3 };
    let documents: Vec<Value> = [&bench, &full, &waiting]
        .map(|bench| serde_json::to_value(bench).unwrap())
        .to_vec();
    hold("bench-disk", &documents, &[]);

    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("a.json");
    std::fs::write(&file, serde_json::to_vec(&full).unwrap()).unwrap();
    let compared = doctor(&["compare", "--format", "json"])
        .path(&file)
        .path(&file);
    // Two runs of one node, before and after its settings went wrong.
    let node = support::capture("kcm-throttled", home.path());
    let save = |name: &str| {
        let path = home.path().join(name);
        doctor(&["diagnose", "--save"])
            .path(&path)
            .arg("--bundle")
            .path(&node)
            .output();
        path
    };
    let bad = save("bad.zst");
    let manifest = node.join("manifests/kube-controller-manager.yaml");
    let text = support::read(&manifest)
        .replace("--kube-api-qps=5", "--kube-api-qps=50")
        .replace("--kube-api-burst=5", "--kube-api-burst=100");
    std::fs::write(&manifest, text).unwrap();
    let runs = doctor(&["compare", "--format", "json"])
        .path(save("good.zst"))
        .path(&bad);
    hold("compare", &[compared.json(), runs.json()], &[]);
}

/// A bench beside a live etcd, a replay and a check with a power cut, each with all that they can
/// hold. Real ones are checked where they are made (tests/bench_disk_live.rs, bench_disk_rig.rs).
#[test]
fn what_else_the_disk_bench_prints() {
    let latency = simulated_bench().total.unwrap().sync;
    let histogram = Some(observe::HistogramWindow {
        p50_us: Some((1_000.0, Some(2_000.0))),
        p99_us: Some((8_192_000.0, None)),
        ..Default::default()
    });
    let seen = observe::Observed {
        format: observe::FORMAT.to_owned(),
        version: observe::VERSION,
        started: Some(Timestamp(0)),
        etcds: vec![observe::ObservedEtcd {
            io_limits: vec!["8:0 wbps 1".to_owned()],
            metrics: Some(observe::MetricsWindow {
                wal_fsync: histogram,
                commit: histogram,
                ..Default::default()
            }),
            trace: Some(observe::Traced {
                wal: latency.clone(),
                ..Default::default()
            }),
            ..Default::default()
        }],
        disks: vec![observe::ObservedDisk {
            ceiling: Some(observe::Ceiling::default()),
            volume: Some(observe::VolumeLimits::default()),
            ..Default::default()
        }],
        probe: Some(observe::Probe::default()),
        doubts: vec!["processors were short".to_owned()],
        ..Default::default()
    };
    let bare = observe::Observed {
        format: observe::FORMAT.to_owned(),
        version: observe::VERSION,
        ..Default::default()
    };
    let documents = [seen, bare].map(|seen| serde_json::to_value(seen).unwrap());
    hold("bench-disk-observe", &documents, &[]);

    let replayed = replay::Replay {
        format: replay::FORMAT.to_owned(),
        version: replay::VERSION,
        source: replay::Source {
            files: vec!["a.wal".to_owned()],
            remarks: vec!["its end is torn".to_owned()],
            ..Default::default()
        },
        sync: latency.clone(),
        ..Default::default()
    };
    hold(
        "bench-disk-replay",
        &[serde_json::to_value(replayed).unwrap()],
        &[],
    );

    let recorded = power_cut::Recorded {
        format: power_cut::RECORD_FORMAT.to_owned(),
        version: power_cut::VERSION,
        sync: latency,
        ..Default::default()
    };
    hold(
        "barrier-record",
        &[serde_json::to_value(recorded).unwrap()],
        &[],
    );
    let heard = power_cut::Heard {
        format: power_cut::PEER_FORMAT.to_owned(),
        version: power_cut::VERSION,
        runs: vec![power_cut::HeardRun::default()],
        ..Default::default()
    };
    hold("barrier-peer", &[serde_json::to_value(heard).unwrap()], &[]);
    let answer = power_cut::PowerCut {
        format: power_cut::FORMAT.to_owned(),
        version: power_cut::VERSION,
        ..Default::default()
    };
    hold(
        "barrier-verify",
        &[serde_json::to_value(answer).unwrap()],
        &[],
    );
}

/// What a saved run holds, once decompressed.
fn plain(save: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut file = Vec::new();
    save(&mut file);
    serde_json::from_slice(&zstd::decode_all(file.as_slice()).unwrap()).unwrap()
}

/// Shapes and reasons that recordings seldom hold.
fn every_shape() -> EvidenceSet {
    let known = |shape| Reading::Known(shape);
    let source = || "/proc/1/stat".to_owned();
    let why = || "torn".to_owned();
    let at = Timestamp::from_secs(1);
    let values = [
        known(Shape::Scalar(Scalar::Int(7))),
        known(Shape::Scalar(Scalar::Flag(true))),
        known(Shape::Histogram(Histogram {
            buckets: vec![Bucket {
                le: f64::INFINITY,
                count: 1.0,
            }],
            sum: 3.0,
            max: Some(3.0),
        })),
        known(Shape::Table(Table {
            rows: vec![Row::new("a").num("n", 1.0).text("t", "x")],
            other: Some(Row::new("other").num("n", 2.0)),
            error: 0.1,
        })),
        known(Shape::Series(Series {
            points: vec![Point { at, value: 1.0 }],
        })),
        known(Shape::Episodes(Episodes {
            episodes: vec![Episode {
                kind: "wal-sync-slow".to_owned(),
                from: at,
                to: at,
                count: 2,
                max_ms: Some(1500.0),
                detail: "took 1.5s".to_owned(),
                nature: "fault".to_owned(),
                planned: false,
            }],
            dropped: 3,
        })),
        Reading::Missing(Missing::NotCollected),
        Reading::Missing(Missing::NotPresent { source: source() }),
        Reading::Missing(Missing::Denied { source: source() }),
        Reading::Missing(Missing::TimedOut {
            source: source(),
            after_ms: 20,
        }),
        Reading::Missing(Missing::Unreadable {
            source: source(),
            line: Some(3),
            why: why(),
        }),
        Reading::Missing(Missing::NotEnough { why: why() }),
    ];
    let mut set = EvidenceSet::new();
    for (number, value) in values.into_iter().enumerate() {
        set.insert(Record {
            key: format!("test.{number}"),
            subject: Subject::new(SubjectKind::Node, "cp0"),
            window: Window::at(at),
            covered: vec![Window::at(at), Window::at(at)],
            origin: Origin::new(Collector::Host, "/").with(Completeness::AtLeast),
            value,
        });
    }
    set
}

#[test]
fn metrics() {
    let json = doctor(&["metrics", "--format", "json"])
        .path(fixtures().join("metrics/slow-network/metrics"))
        .json();
    let mut checker = checker("metrics");
    let errors = checker.check(&json);
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    assert!(json["readings"].as_array().unwrap().len() > 10);
}

/// Logs that together show most of what `logs` can say.
fn logs(args: &[&str]) -> support::Run {
    let mut run = doctor(&["logs", "--now", "2026-12-01T00:00:00Z"]);
    for arg in args {
        run = run.arg(arg);
    }
    for path in ["logs-meaning", "logs", "paypal"] {
        run = run.path(fixtures().join(path));
    }
    run
}

#[test]
fn load_and_troubles_of_logs() {
    let report = logs(&[
        "--format",
        "json",
        "--compare-grep",
        "--since",
        "2000-01-01T00:00:00Z",
    ])
    .json();
    assert!(report["requests"]["joined"].as_u64().unwrap() > 1000);
    let mut checker = checker("logs");
    let errors = checker.check(&report);
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn events_of_logs() {
    let output = logs(&["--emit", "events"]).output();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut checker = checker("events");
    let mut kinds = BTreeSet::new();
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let errors = checker.check(&event);
        assert!(errors.is_empty(), "{line}\n{}", errors.join("\n"));
        kinds.insert(event["kind"].as_str().unwrap().to_owned());
    }
    assert!(kinds.len() > 20, "{kinds:?}");
}

#[test]
fn checks_and_patches() {
    let bundle = fixtures().join("captures/barrier-off.tar.zst");
    let check = |what: &str| {
        doctor(&["check", what, "--format", "json", "--bundle"])
            .path(&bundle)
            .json()
    };
    let placed = doctor(&["check", "config", "--format", "json", "--bundle"])
        .path(fixtures().join("captures/inflight-429.tar.zst"))
        .json();
    let accepted = accepting(&["check", "config"])
        .arg("--bundle")
        .path(Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/kcm-throttled.tar.zst"))
        .json();
    let checks = [check("config"), check("host"), placed, accepted];
    hold("check", &checks, &[]);
    #[cfg(feature = "live")]
    {
        let etcd = |name: &str| {
            doctor(&["check", "etcd", "--format", "json", "--bundle"])
                .path(fixtures().join("etcd").join(name))
                .json()
        };
        hold(
            "check-etcd",
            &[etcd("well.json.zst"), etcd("full-and-one-down.json.zst")],
            // Only settings have a place.
            &[
                "#/$defs/evidence/properties/file",
                "#/$defs/evidence/properties/line",
            ],
        );
    }
    let patch = |bundle: &Path| {
        doctor(&["patch", "--target", "kubeadm", "--out", "out", "--format"])
            .arg("json")
            .arg("--bundle")
            .path(bundle)
            .json()
    };
    let patches = [patch(&fixtures().join("paypal")), patch(&bundle)];
    hold("patch", &patches, &[]);
    let in_force = |target: &str, bundle: &Path| {
        doctor(&["patch", "--check", "--format", "json", "--target", target])
            .arg("--bundle")
            .path(bundle)
            .json()
    };
    let looked_at = [
        in_force("kubeadm", &fixtures().join("paypal")),
        in_force("kubeadm", &bundle),
        in_force("json-patch", &fixtures().join("metal3")),
    ];
    hold("patch-check", &looked_at, &[]);
}

#[test]
fn rules_and_pages() {
    hold(
        "rules",
        &[doctor(&["rules", "--format", "json"]).json()],
        &[],
    );
    let page = |id: &str| doctor(&["explain", id, "--format", "json"]).json();
    let metric = page("etcd_disk_wal_fsync_duration_seconds");
    let reading = page("server.wal.fsync");
    hold(
        "page",
        &[page("wal-fsync-slow"), page("barriers"), metric, reading],
        &[],
    );
    let pages = doctor(&["explain", "--format", "json"]).json();
    hold("pages", &[pages], &[]);
}

#[test]
fn the_checker_sees_what_is_wrong() {
    let good = doctor(&["rules", "--format", "json"]).json();
    let wrong = |change: &dyn Fn(&mut Value)| {
        let mut value = good.clone();
        change(&mut value);
        checker("rules").check(&value)
    };
    assert_eq!(wrong(&|_| ()), [""; 0]);
    assert_eq!(
        wrong(&|v| v[0]["severity"] = json!("bad")),
        [r#"$[0].severity: "bad" is none of ["info","warn","critical"]"#]
    );
    assert_eq!(
        wrong(&|v| v[0]["new"] = json!(1)),
        ["$[0].new: not described"]
    );
    assert_eq!(
        wrong(&|v| v[1]["id"] = json!(1)),
        [r#"$[1].id: 1 is no "string""#]
    );
    assert_eq!(
        wrong(&|v| {
            v[0].as_object_mut().unwrap().remove("since");
        }),
        ["$[0]: `since` is absent"]
    );
    let mut bundle = checker("bundle");
    let record = |value: Value| {
        json!({"format": "etcd-doctor/bundle", "version": 1, "program": "1", "at": "2026-01-01T00:00:00Z",
               "records": [{"key": "k", "subject": {"kind": "node"}, "origin": {"collector": "logs", "source": "s"}, "value": value}]})
    };
    assert!(
        bundle
            .check(&record(json!({"known": {"scalar": {"int": 1}}})))
            .is_empty()
    );
    for bad in [
        json!({"known": {"scalar": {"int": 1.5}}}),
        json!({"known": {"scalar": {"int": 1}}, "missing": {"reason": "denied"}}),
        json!({"missing": {"reason": "lost"}}),
        json!({"known": {"series": {"points": [{"at": "yesterday", "value": 1}]}}}),
        json!({}),
    ] {
        assert!(!bundle.check(&record(bad.clone())).is_empty(), "{bad}");
    }
}
