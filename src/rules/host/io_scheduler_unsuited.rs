//! The device under etcd uses an I/O scheduler that delays synchronous writes.

use crate::evidence::{Missing, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "io-scheduler-unsuited",
    summary: "the I/O scheduler under etcd delays synchronous writes",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "io-scheduler-unsuited",
    check,
};

/// Schedulers that trade latency for fairness between processes.
const FAIR: &[&str] = &["bfq", "cfq"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let tables = cx.evidence.some(&keys::DEVICE_QUEUE)?;
    cx.evidence.take_citations();
    let mut drafts = Vec::new();
    for (device, table) in tables {
        let value = |name: &str| table.row(name).and_then(|row| row.get_text("value"));
        let Some(scheduler) = value("scheduler").filter(|s| FAIR.contains(s)) else {
            continue;
        };
        // Whatever the disk: they wait for more of the same program after each sync, and virtual
        // disks call themselves rotating.
        let words = format!("{} uses the scheduler {scheduler}", device.name);
        cx.evidence
            .cite_as(&keys::DEVICE_QUEUE, &device, words.clone());
        drafts.push(
            Draft::new(device, Severity::Info, words)
                .confidence(Confidence::Medium)
                .threshold("none or mq-deadline on SSD and NVMe, mq-deadline on a rotating disk")
                .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Row, Table};
    use crate::rules::Status;
    use crate::rules::testing::{Set, device};

    #[test]
    fn fair_schedulers() {
        let with = |scheduler: &str, rotational: &str| {
            let rows = vec![
                Row::new("rotational").text("value", rotational),
                Row::new("scheduler").text("value", scheduler),
            ];
            Set::new().put(
                &keys::DEVICE_QUEUE,
                device("sda"),
                Table {
                    rows,
                    ..Table::default()
                },
            )
        };
        assert_eq!(
            with("bfq", "0").status(&RULE),
            (Status::Fail, Severity::Info)
        );
        // A rotating disk, or a virtual one that calls itself so.
        assert_eq!(with("bfq", "1").status(&RULE).0, Status::Fail);
        assert_eq!(with("cfq", "1").status(&RULE).0, Status::Fail);
        assert_eq!(with("mq-deadline", "1").status(&RULE).0, Status::Pass);
        assert_eq!(with("mq-deadline", "0").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
