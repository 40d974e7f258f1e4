//! Bench results as evidence, which can be saved, merged with a node's other evidence and judged.

use crate::evidence::{
    Bucket, Collector, EvidenceSet, Histogram, Missing, Origin, Row, Subject, SubjectKind, Table,
    Window, keys,
};
use crate::formats::bench::Latency;
use crate::formats::bench::disk::{DiskBench, Level, PerSync, Round};

/// A result of `bench disk` as evidence about the disk, on the node where it was run.
pub fn disk(result: &DiskBench) -> EvidenceSet {
    let mut out = Out {
        set: EvidenceSet::new(),
        subject: subject(result),
        window: Window {
            from: result.started,
            to: result.ended,
        },
        origin: Origin::new(
            Collector::Bench,
            format!("bench disk --dir {}", result.plan.wal_dir),
        ),
    };
    out.put(
        &keys::BENCH_DISK_LEVEL,
        level_word(result.verdict.level).to_owned(),
    );
    out.put(&keys::BENCH_DISK_WHY, result.verdict.why.clone());
    out.put(&keys::BENCH_DISK_PLAN, result.plan.words());
    out.put(&keys::BENCH_DISK_BARRIER, barrier(result));
    out.put(&keys::BENCH_DISK_DOUBTS, doubts(result));
    out.put(&keys::BENCH_DISK_ROUNDS, rounds(&result.rounds));
    out.put(&keys::BENCH_DISK_LEDGER, ledger(result));
    match &result.total {
        Some(total) => main(total, &mut out),
        None => {
            let why = Missing::NotEnough {
                why: result
                    .partial
                    .clone()
                    .unwrap_or_else(|| "the bench did not come to its main rounds".to_owned()),
            };
            out.missing(&keys::BENCH_DISK_SYNC, why.clone());
            out.missing(&keys::BENCH_DISK_DURABLE, why);
        }
    }
    match result.ledger.flush_ms {
        Some(ms) => out.put(&keys::BENCH_DISK_FLUSH_TIME, ms),
        None => out.missing(
            &keys::BENCH_DISK_FLUSH_TIME,
            Missing::NotEnough {
                why: "flushes are not counted on this disk, or too few".to_owned(),
            },
        ),
    }
    if let Some(plateau) = result.throttle.as_ref().and_then(|probe| probe.plateau) {
        out.put(&keys::BENCH_DISK_PLATEAU, plateau.bytes_per_sec);
    }
    if !result.curve.is_empty() {
        out.put(&keys::BENCH_DISK_CURVE, curve(result));
    }
    if let Some(capacity) = &result.capacity {
        let rows = capacity
            .expected
            .iter()
            .map(|expected| {
                Row::new(format!("{:05}", expected.clients))
                    .num("puts_per_sec", expected.puts_per_sec)
                    .num("entries_per_sync", expected.entries_per_sync)
            })
            .collect();
        out.put(&keys::BENCH_DISK_PUTS, table(rows));
    }
    if let Some(contention) = &result.contention
        && let Some(cost) = contention.p99_cost
    {
        out.put(
            &keys::BENCH_DISK_WAL_DB_COST,
            if contention.shown { cost } else { 0.0 },
        );
    }
    out.set
}

struct Out {
    set: EvidenceSet,
    subject: Subject,
    window: Window,
    origin: Origin,
}

impl Out {
    fn put<T: crate::evidence::FromShape>(&mut self, key: &crate::evidence::Key<T>, value: T) {
        let subject = self.subject.clone();
        self.set
            .put(key, subject, self.window, self.origin.clone(), value);
    }

    fn missing<T>(&mut self, key: &crate::evidence::Key<T>, why: Missing) {
        let subject = self.subject.clone();
        self.set.put_missing(key, subject, self.origin.clone(), why);
    }
}

/// The disk; where none is known, the directory.
fn subject(result: &DiskBench) -> Subject {
    let names: Vec<&str> = result
        .ground
        .disks
        .iter()
        .map(|disk| disk.name.as_str())
        .collect();
    let name = if names.is_empty() {
        result.plan.wal_dir.clone()
    } else {
        names.join("+")
    };
    Subject::new(SubjectKind::Device, name).on(&result.machine.node)
}

/// The level's word in evidence.
pub fn level_word(level: Level) -> &'static str {
    match level {
        Level::HeavyLoadOk => "heavy-load-ok",
        Level::Ok => "ok",
        Level::Marginal => "marginal",
        Level::NotForEtcd => "not-for-etcd",
        Level::Inconclusive => "inconclusive",
        Level::Unsafe => "unsafe",
    }
}

fn barrier(result: &DiskBench) -> String {
    let db_off = result
        .db_ground
        .as_ref()
        .is_some_and(|ground| ground.barrier.off());
    if db_off {
        "off".to_owned()
    } else {
        result.ground.barrier.state.clone()
    }
}

fn main(total: &Round, out: &mut Out) {
    out.put(&keys::BENCH_DISK_SYNC, histogram(&total.sync));
    out.put(&keys::BENCH_DISK_DURABLE, histogram(&total.durable));
    if let Some(commits) = &total.commits {
        out.put(&keys::BENCH_DISK_COMMIT, histogram(&commits.total));
        out.put(&keys::BENCH_DISK_COMMIT_DUTY, commits.duty);
    }
}

/// Milliseconds in buckets.
fn histogram(latency: &Latency) -> Histogram {
    Histogram {
        buckets: latency
            .buckets
            .iter()
            .map(|slot| Bucket {
                le: slot.upper_us / 1e3,
                count: slot.count as f64,
            })
            .collect(),
        sum: latency.mean_us / 1e3 * latency.count as f64,
        max: (latency.count > 0).then_some(latency.max_us / 1e3),
    }
}

fn table(mut rows: Vec<Row>) -> Table {
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    Table {
        rows,
        other: None,
        error: 0.0,
    }
}

fn doubts(result: &DiskBench) -> Table {
    let rows = result
        .doubts
        .iter()
        .chain(&result.partial)
        .map(Row::new)
        .collect();
    table(rows)
}

fn rounds(rounds: &[Round]) -> Table {
    let rows = rounds
        .iter()
        .enumerate()
        .map(|(number, round)| {
            let mut row = Row::new(format!("{:03}", number + 1))
                .num("samples", round.sync.count as f64)
                .num("mean_ms", round.sync.mean_us / 1e3);
            for (column, value) in [
                ("p50_ms", round.sync.p50),
                ("p99_ms", round.sync.p99),
                ("durable_p99_ms", round.durable.p99),
            ] {
                if let Some(p) = value {
                    row = row.num(column, p.us / 1e3);
                }
            }
            if let Some(rate) = round.syncs_per_sec() {
                row = row.num("syncs_per_sec", rate);
            }
            match &round.commits {
                Some(commits) if commits.total.count > 0 => {
                    row.num("commit_mean_ms", commits.total.mean_us / 1e3)
                }
                _ => row,
            }
        })
        .collect();
    table(rows)
}

fn ledger(result: &DiskBench) -> Table {
    let ledger = &result.ledger;
    let row = |name: &str, cost: Option<PerSync>| {
        let cost = cost?;
        let mut row = Row::new(name)
            .num("writes", cost.writes)
            .num("device_bytes", cost.device_bytes);
        if let Some(flushes) = cost.flushes {
            row = row.num("flushes", flushes);
        }
        if let Some(expected) = cost.expected_flushes {
            row = row.num("expected_flushes", expected);
        }
        Some(row)
    };
    let rows = [
        row("append", ledger.append),
        row("small", ledger.small),
        row("fio", ledger.fio),
        row("overwrite", ledger.overwrite),
    ];
    table(rows.into_iter().flatten().collect())
}

fn curve(result: &DiskBench) -> Table {
    let rows = result
        .curve
        .iter()
        .map(|point| {
            let mut row = Row::new(format!("{:07}", point.bytes))
                .num("mean_ms", point.sync.mean_us / 1e3)
                .num("per_sec", point.per_sec);
            for (column, value) in [("p50_ms", point.sync.p50), ("p99_ms", point.sync.p99)] {
                if let Some(p) = value {
                    row = row.num(column, p.us / 1e3);
                }
            }
            match point.cost.and_then(|cost| cost.flushes) {
                Some(flushes) => row.num("flushes", flushes),
                None => row,
            }
        })
        .collect();
    table(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::recorder::Recorder;
    use crate::evidence::Reading;
    use crate::formats::bench::disk::{Disk, Ground, Verdict};

    #[test]
    fn a_result_is_evidence_about_the_disk_of_the_node() {
        let mut recorder = Recorder::default();
        (0..500).for_each(|n| recorder.record(1_000_000 + n * 1_000));
        let round = Round {
            secs: 2.0,
            sync: recorder.latency(),
            ..Round::default()
        };
        let result = DiskBench {
            ground: Ground {
                disks: vec![Disk {
                    name: "nvme0n1".to_owned(),
                    ..Disk::default()
                }],
                ..Ground::default()
            },
            verdict: Verdict {
                level: Level::Ok,
                ..Verdict::default()
            },
            total: Some(round.clone()),
            rounds: vec![round],
            ..DiskBench::default()
        };
        let set = disk(&result);
        let record = set.of_key(&keys::BENCH_DISK_SYNC).next().unwrap();
        assert_eq!(record.subject.name, "nvme0n1");
        let Reading::Known(shape) = &record.value else {
            panic!("known")
        };
        let histogram = <Histogram as crate::evidence::FromShape>::from_shape(shape).unwrap();
        assert_eq!(histogram.count(), 500.0);
        assert!((histogram.mean().unwrap() - 1.2495).abs() < 0.001);
        let rounds = set.of_key(&keys::BENCH_DISK_ROUNDS).next().unwrap();
        assert!(matches!(&rounds.value, Reading::Known(_)));
        // What was not measured is missing, and says why.
        let flush = set.of_key(&keys::BENCH_DISK_FLUSH_TIME).next().unwrap();
        assert!(matches!(&flush.value, Reading::Missing(_)));
    }
}
