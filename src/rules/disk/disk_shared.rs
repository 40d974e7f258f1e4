//! Others write more to etcd's device than etcd does.

use crate::evidence::{Missing, Unit, keys, number};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::rules::{devices, nodes};

/// The rule.
pub static RULE: Rule = Rule {
    id: "disk-shared",
    summary: "others write heavily to the device under etcd",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "disk-shared",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("disk-shared-rate");
    let mut written = Vec::new();
    for (subject, facts) in cx.evidence.some(&keys::PROCESS_FACTS)? {
        let rate = facts
            .row("write-bytes-per-sec")
            .and_then(|row| row.get("value"));
        // A second etcd (`etcd-events`) is an etcd too.
        let etcd = subject.name == "etcd" || subject.name.starts_with("etcd-");
        written.extend(rate.filter(|_| etcd).map(|rate| (subject, rate)));
    }
    cx.evidence.take_citations();
    let devices = cx.evidence.some(&keys::DEVICE_WRITE_RATE)?;
    cx.evidence.take_citations();
    let asking: Vec<_> = devices.iter().map(|(device, _)| device.clone()).collect();
    let (mut drafts, mut known) = (Vec::new(), false);
    for (device, rate) in devices {
        // etcd on another node writes to another device.
        let on_node = nodes::beside(&written, &device, &asking);
        if on_node.is_empty() {
            continue;
        }
        known = true;
        let own: f64 = on_node.into_iter().sum();
        let others = rate - own;
        // Journals and metadata double what etcd writes, so others count above twice its own.
        if !devices::is_etcds(cx, &device) || others < limit.value || rate < own * 3.0 {
            continue;
        }
        cx.evidence.cite(&keys::DEVICE_WRITE_RATE, &device);
        drafts.push(
            Draft::new(
                device.clone(),
                Severity::Info,
                format!(
                    "{}/s are written to {}, of which etcd writes {}/s",
                    number(rate, Unit::Bytes),
                    device.name,
                    number(own, Unit::Bytes)
                ),
            )
            .confidence(Confidence::Medium)
            .threshold(limit.words())
            .cites(cx.evidence.take_citations()),
        );
    }
    if !known {
        return Err(Missing::NotEnough {
            why: "how much etcd itself writes is not known".to_owned(),
        });
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Subject, SubjectKind};
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, device, table};

    #[test]
    fn only_heavy_writing_of_others() {
        let limit = crate::profile::Profile::default().get("disk-shared-rate");
        let with = |own: f64, all: f64| {
            Set::new()
                .put(
                    &keys::PROCESS_FACTS,
                    component("etcd"),
                    table(&[("write-bytes-per-sec", &[("value", own)])]),
                )
                .put(&keys::DEVICE_WRITE_RATE, device("sda"), all)
        };
        assert_eq!(
            with(0.0, limit).status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(with(0.0, limit - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(limit, limit * 2.9).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
        // What etcd writes on other nodes does not go to this device.
        let other = |node: &str| Subject::new(SubjectKind::Component, "etcd").on(node);
        let writes = |own: f64| table(&[("write-bytes-per-sec", &[("value", own)])]);
        let three = with(limit, limit * 4.0)
            .put(&keys::PROCESS_FACTS, other("b"), writes(limit))
            .put(&keys::PROCESS_FACTS, other("c"), writes(limit));
        let found = &three.check(&RULE)[0];
        assert!(found.message.contains("etcd writes 9.5 MiB/s"), "{found:?}");
    }
}
