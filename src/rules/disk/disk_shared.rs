//! Others write more to etcd's device than etcd does.

use crate::evidence::{Missing, Row, Subject, Unit, keys, number};
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
        let by = who(cx, &device);
        drafts.push(
            Draft::new(
                device.clone(),
                Severity::Info,
                format!(
                    "{}/s are written to {}, of which etcd writes {}/s{by}",
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

/// Most writers that are named.
const NAMED: usize = 3;

/// Who else writes, in words: processes that may write to this device, or else cgroups.
fn who(cx: &Context<'_>, device: &Subject) -> String {
    let mut all = cx.evidence.all(&keys::WRITERS);
    all.retain(|(subject, _)| nodes::same(subject, device));
    if let [(node, table)] = all.as_slice() {
        let others = most(table.rows.iter().filter(|row| {
            let is = |column: &str, text: &str| row.get_text(column) == Some(text);
            !is("role", "etcd") && !is("on_etcd_disk", "no")
        }));
        if !others.is_empty() {
            cx.evidence.cite_as(&keys::WRITERS, node, others.clone());
            return format!("; of the others the most by {others}");
        }
    }
    // Those of containers have an id for a name, so that etcd's own may be among them.
    let groups = cx.evidence.peek(&keys::DEVICE_WRITERS, device);
    let groups = most(groups.iter().flat_map(|table| &table.rows));
    if groups.is_empty() {
        return String::new();
    }
    cx.evidence
        .cite_as(&keys::DEVICE_WRITERS, device, groups.clone());
    format!("; by cgroup {groups}")
}

/// The heaviest of them with their rates: `fio 4711 48 MiB/s, rsync 90 2 MiB/s`.
fn most<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    let mut rows: Vec<(f64, &str)> = rows
        .filter_map(|row| Some((row.get("max_bytes_per_sec")?, row.key.as_str())))
        .filter(|(rate, _)| *rate >= 1.0)
        .collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    rows.truncate(NAMED);
    let words: Vec<String> = rows
        .iter()
        .map(|(rate, name)| format!("{name} {}/s", number(*rate, Unit::Bytes)))
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{SubjectKind, Table};
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
    #[test]
    fn who_else_writes_is_named() {
        let limit = crate::profile::Profile::default().get("disk-shared-rate");
        let base = || {
            Set::new()
                .put(
                    &keys::PROCESS_FACTS,
                    component("etcd"),
                    table(&[("write-bytes-per-sec", &[("value", 0.0)])]),
                )
                .put(&keys::DEVICE_WRITE_RATE, device("sda"), limit)
        };
        let row = |name: &str, mib: f64, role: &str, on: &str| {
            Row::new(name)
                .num("max_bytes_per_sec", mib * 1_048_576.0)
                .text("role", role)
                .text("on_etcd_disk", on)
        };
        let rows = vec![
            row("backup 40", 3.0, "other", "no"),
            row("etcd 7", 2.0, "etcd", "yes"),
            row("fio 9", 6.0, "other", "yes"),
            row("rsync 8", 1.0, "other", "unknown"),
        ];
        let writers = Table {
            rows,
            ..Table::default()
        };
        let node = Subject::new(SubjectKind::Node, "a");
        let named = base().put(&keys::WRITERS, node, writers);
        let words = |set: &Set| set.check(&RULE)[0].message.clone();
        let told = words(&named);
        assert!(
            told.ends_with("the most by fio 9 6 MiB/s, rsync 8 1 MiB/s"),
            "{told}"
        );
        let group = table(&[("kubepods/pod1/x", &[("max_bytes_per_sec", 5e6)])]);
        let told = words(&base().put(&keys::DEVICE_WRITERS, device("sda"), group));
        assert!(told.contains("; by cgroup kubepods/pod1/x "), "{told}");
        assert!(words(&base()).ends_with("etcd writes 0 B/s"));
    }
}
