//! Writes to the device under etcd take long, measured by the kernel below etcd. Kernels before 5.5
//! count no flushes, and layers of a device mapper or a RAID never do: there this is all that tells.

use crate::evidence::{Histogram, Key, Missing, Subject, SubjectKind, keys};
use crate::rules::{Context, Draft, Rule, Severity, Verdict};
use crate::rules::{devices, events};

/// The rule.
pub static RULE: Rule = Rule {
    id: "device-write-slow",
    summary: "writes to the device under etcd take too long",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "device-write-slow",
    check,
};

/// Fewer writes than this may be one burst of somebody else's.
const MIN_WRITES: f64 = 100.0;

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("device-write");
    let mut drafts = Vec::new();
    let mut looked = 0;
    let mut told: Vec<Subject> = Vec::new();
    for (device, mean_ms) in cx.evidence.all(&keys::DEVICE_WRITE_TIME) {
        if !devices::is_etcds(cx, &device) {
            continue;
        }
        looked += 1;
        let writes = cx.evidence.peek(&keys::DEVICE_WRITES, &device);
        let writes = writes.unwrap_or(0.0);
        cx.evidence.take_citations();
        if mean_ms > limit.value && writes >= MIN_WRITES {
            cx.evidence.cite(&keys::DEVICE_WRITE_TIME, &device);
            cx.evidence.cite(&keys::DEVICE_WRITES, &device);
            drafts.push(draft(cx, device.clone(), mean_ms, writes));
        }
    }
    for (device, layers) in cx.evidence.all(&keys::DEVICE_ABOVE) {
        if !devices::is_etcds(cx, &device) {
            continue;
        }
        for row in &layers.rows {
            let Some(mean_ms) = row.get("max_write_mean_ms") else {
                continue;
            };
            looked += 1;
            let writes = row.get("writes").unwrap_or(0.0);
            let layer = Subject {
                name: row.key.clone(),
                ..device.clone()
            };
            // A RAID lies above each of its disks.
            if mean_ms <= limit.value || writes < MIN_WRITES || told.contains(&layer) {
                continue;
            }
            told.push(layer.clone());
            cx.evidence.take_citations();
            let words = format!("{}: {mean_ms:.1} ms for one of {writes:.0} writes", row.key);
            cx.evidence.cite_as(&keys::DEVICE_ABOVE, &device, words);
            drafts.push(draft(cx, layer, mean_ms, writes));
        }
    }
    if looked == 0 {
        return Err(cx
            .evidence
            .any(&keys::DEVICE_WRITE_TIME)
            .err()
            .unwrap_or(Missing::NotCollected));
    }
    Ok(Verdict::Fail(drafts))
}

fn draft(cx: &Context<'_>, device: Subject, mean_ms: f64, writes: f64) -> Draft {
    let cites = cx.evidence.take_citations();
    // Writes that wait in a long queue of somebody's are slow on any disk: without a sync or a
    // commit that waited as well it is no fault.
    let severity = match felt(cx, device.node_name()) {
        true => Severity::Warn,
        false => Severity::Info,
    };
    let words = format!(
        "one write to {} takes {mean_ms:.1} ms on average in the slowest window, of {writes:.0} writes in all",
        device.name
    );
    cx.evidence.take_citations();
    Draft::new(device, severity, words)
        .threshold(cx.profile.limit("device-write").words())
        .cites(cites)
}

/// Whether an etcd on a node says that its syncs or its commits are slow: with a WAL of its own
/// device only the commits wait for that of the database.
fn felt(cx: &Context<'_>, node: &str) -> bool {
    let same = |subject: &Subject| {
        let other = subject.node_name();
        other.is_empty() || node.is_empty() || other == node
    };
    let slow = |key: &Key<Histogram>, limit: f64| {
        let all = cx.evidence.all(key);
        // Where there is one member, the names that two sources give its node do not matter.
        let one = all.len() == 1;
        all.iter().any(|(subject, took)| {
            (one || same(subject)) && took.bracket(0.99).is_some_and(|(low, _)| low >= limit)
        })
    };
    slow(&keys::WAL_FSYNC, cx.profile.get("wal-fsync-p99"))
        || slow(&keys::WAL_COMMIT, cx.profile.get("backend-commit-p99"))
        || events::seen(cx, &["wal-sync-slow"])
            .unwrap_or_default()
            .iter()
            .any(|seen| seen.subject.kind == SubjectKind::Cluster || same(&seen.subject))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, device, histogram, member, table};

    fn with(ms: f64, writes: f64) -> Set {
        Set::new()
            .put(&keys::DEVICE_WRITE_TIME, device("sda"), ms)
            .put(&keys::DEVICE_WRITES, device("sda"), writes)
    }

    fn slow_syncs(set: Set) -> Set {
        set.put(
            &keys::WAL_FSYNC,
            member(),
            histogram(&[(64.0, 0.0), (128.0, 400.0)]),
        )
    }

    #[test]
    fn both_sides_of_the_limit_and_too_few_writes() {
        let limit = crate::profile::Profile::default().get("device-write");
        assert_eq!(with(limit, 500.0).status(&RULE).0, Status::Pass);
        let over = || with(limit + 0.1, 500.0);
        assert_eq!(over().status(&RULE), (Status::Fail, Severity::Info));
        assert_eq!(
            slow_syncs(over()).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        let logged = over().put(
            &keys::LOGS_EVENTS,
            member(),
            table(&[("wal-sync-slow", &[("count", 3.0)])]),
        );
        assert_eq!(logged.status(&RULE).1, Severity::Warn);
        let commits = |ms: f64| {
            let took = histogram(&[(ms, 0.0), (ms * 2.0, 400.0)]);
            over().put(&keys::WAL_COMMIT, member(), took).status(&RULE)
        };
        let limit = crate::profile::Profile::default().get("backend-commit-p99");
        assert_eq!(commits(limit).1, Severity::Warn);
        assert_eq!(commits(limit / 2.0).1, Severity::Info);
        assert_eq!(with(99.0, 99.0).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn a_slow_layer_above_a_fast_disk_is_named() {
        let set = slow_syncs(with(0.1, 500.0)).put(
            &keys::DEVICE_ABOVE,
            device("sda"),
            table(&[
                ("dm-0", &[("writes", 900.0), ("max_write_mean_ms", 45.0)]),
                ("dm-1", &[]),
            ]),
        );
        let found = set.check(&RULE);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].subject, device("dm-0"));
        assert_eq!(found[0].severity, Severity::Warn);
        assert!(found[0].message.contains("45.0 ms"), "{}", found[0].message);
        assert!(!found[0].evidence.is_empty());
    }
}
