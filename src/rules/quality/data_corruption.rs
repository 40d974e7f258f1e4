//! Members hold different data, or a file is corrupt.

use std::collections::BTreeMap;

use crate::evidence::{Missing, Subject, SubjectKind, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::rules::{alarms, events};

/// The rule.
pub static RULE: Rule = Rule {
    id: "data-corruption",
    summary: "etcd reports corrupt or differing data",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "data-corruption",
    check,
};

const KINDS: &[&str] = &["corruption-detected"];
/// What one member says of its own files: the others need not be touched by it.
const FILES: &[&str] = &["storage-damaged"];
/// The aspect of a finding about a member's own files.
pub const OF_FILES: &str = "files";
/// What etcd calls the alarm.
const ALARM: &str = "CORRUPT";

/// The alarm as metrics show it.
fn by_metrics(shown: &alarms::Shown) -> Draft {
    let (severity, confidence, words) = match shown.holds {
        true => (
            Severity::Critical,
            Confidence::High,
            "show the CORRUPT alarm, and nothing is written",
        ),
        false => (
            Severity::Warn,
            Confidence::Medium,
            "show a CORRUPT alarm since the start of etcd, and whether it was disarmed is not known",
        ),
    };
    let words = format!("the metrics of {} {words}", shown.members);
    Draft::new(shown.subject.clone(), severity, words)
        .confidence(confidence)
        .threshold("etcd raises CORRUPT when hashes of members differ")
}

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("data-corruption");
    let mut drafts = hashes(cx);
    let hashed = cx.evidence.any(&keys::ETCD_HASHES).is_ok();
    let members = cx.evidence.any(&keys::ETCD_ALARMS);
    cx.evidence.take_citations();
    if let Ok((cluster, alarms)) = &members {
        for row in alarms
            .rows
            .iter()
            .filter(|row| row.get_text("alarm") == Some(ALARM))
        {
            let member = row.get_text("member").unwrap_or_default();
            let agree = match agreeing(cx) {
                Some(members) => format!("; the hashes of {members} members agree now"),
                None => String::new(),
            };
            cx.evidence.cite(&keys::ETCD_ALARMS, cluster);
            drafts.push(
                Draft::new(
                    Subject::new(SubjectKind::Member, member),
                    Severity::Critical,
                    format!(
                        "the CORRUPT alarm of {member} is raised: a check found that its data differs from the others'{agree}"
                    ),
                )
                .confidence(Confidence::High)
                .threshold("etcd raises CORRUPT when hashes of members differ")
                .cites(cx.evidence.take_citations()),
            );
        }
    }
    // Members who were asked know it better than a metric that outlives the alarm.
    if let Some(shown) = alarms::shown(cx, ALARM).filter(|_| members.is_err()) {
        alarms::cite(cx, ALARM);
        drafts.push(by_metrics(&shown).cites(cx.evidence.take_citations()));
    }
    let told = events::raised(cx, ALARM).unwrap_or_default();
    for seen in told.seen {
        if drafts
            .iter()
            .any(|draft: &Draft| draft.is_about(&seen.subject))
        {
            continue;
        }
        events::cite_alarm(cx, &seen, "messages about the CORRUPT alarm");
        drafts.push(
            Draft::new(
                seen.subject.clone(),
                Severity::Critical,
                "it logged the CORRUPT alarm: data of members differ",
            )
            .confidence(Confidence::High)
            .threshold("etcd raises CORRUPT when hashes of members differ")
            .cites(cx.evidence.take_citations()),
        );
    }
    let logs = match events::seen(cx, KINDS) {
        Ok(logs) => logs,
        Err(why) if drafts.is_empty() && !hashed && members.is_err() => return Err(why),
        Err(_) => Vec::new(),
    };
    let logged = logs
        .into_iter()
        .filter(|seen| seen.count >= limit.value)
        .map(|seen| {
            events::cite(cx, &seen, "signs of corruption");
            let severity = Severity::Critical;
            Draft::new(
                seen.subject.clone(),
                severity,
                events::counted(seen.count, "signs of corrupt or differing data"),
            )
            .confidence(Confidence::High)
            .threshold(limit.words())
            .cites(cx.evidence.take_citations())
        });
    drafts.extend(logged);
    let damaged = events::seen(cx, FILES).unwrap_or_default();
    drafts.extend(damaged.into_iter().map(|seen| {
        events::cite(cx, &seen, "storage-damaged messages");
        let life = cx.evidence.peek(&keys::LOGS_LIVES, &seen.subject);
        let own = life.as_ref().and_then(|life| life.row("self"));
        let why = own.and_then(|row| row.get_text("why"));
        let why = why.map_or_else(String::new, |why| format!(": \"{why}\""));
        let who = seen.subject.called();
        let words = format!("files of {who}'s data directory are damaged or missing{why}");
        Draft::new(seen.subject, Severity::Critical, words)
            .aspect(OF_FILES)
            .confidence(Confidence::High)
            .threshold("etcd checks what it reads of its WAL, its snapshots and its database")
            .cites(cx.evidence.take_citations())
    }));
    Ok(Verdict::Fail(drafts))
}

/// How many members have one hash at one revision, where all that were asked do.
fn agreeing(cx: &Context<'_>) -> Option<usize> {
    let (_, hashes) = cx.evidence.any(&keys::ETCD_HASHES).ok()?;
    cx.evidence.take_citations();
    let all = hashes.rows.iter().map(|row| {
        let bits = |column| row.get(column).map(f64::to_bits);
        Some((bits("hash")?, bits("revision")?, bits("compacted")?))
    });
    let all: Vec<_> = all.collect::<Option<_>>()?;
    let one = all.windows(2).all(|pair| pair.first() == pair.last());
    (one && all.len() > 1).then_some(all.len())
}

/// Members whose hash at one revision differs from that of most.
fn hashes(cx: &Context<'_>) -> Vec<Draft> {
    let Ok((cluster, hashes)) = cx.evidence.any(&keys::ETCD_HASHES) else {
        return Vec::new();
    };
    cx.evidence.take_citations();
    // Hashes compare at one revision with the same compaction behind them.
    let mut alike: BTreeMap<(i64, i64), BTreeMap<i64, Vec<&str>>> = BTreeMap::new();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole numbers far below 2^53"
    )]
    for row in &hashes.rows {
        if let (Some(hash), Some(revision), Some(compacted)) =
            (row.get("hash"), row.get("revision"), row.get("compacted"))
        {
            alike
                .entry((revision as i64, compacted as i64))
                .or_default()
                .entry(hash as i64)
                .or_default()
                .push(&row.key);
        }
    }
    let mut drafts = Vec::new();
    for ((revision, _), by_hash) in alike.into_iter().filter(|(_, by)| by.len() > 1) {
        let words: Vec<String> = by_hash
            .iter()
            .map(|(hash, members)| format!("{} {hash:08x}", members.join(", ")))
            .collect();
        cx.evidence.cite(&keys::ETCD_HASHES, &cluster);
        drafts.push(
            Draft::new(
                Subject::cluster(),
                Severity::Critical,
                format!(
                    "members hold different data at revision {revision}: {}",
                    words.join("; ")
                ),
            )
            .confidence(Confidence::High)
            .threshold("the hash of the keyspace at one revision is the same on every member")
            .cites(cx.evidence.take_citations()),
        );
    }
    drafts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Row, Table};
    use crate::rules::Status;
    use crate::rules::testing::{Set, member, table};

    fn with(count: f64) -> Set {
        Set::new().put(
            &keys::LOGS_EVENTS,
            member(),
            table(&[(KINDS[0], &[("count", count)])]),
        )
    }

    #[test]
    fn metrics_show_the_alarm() {
        use crate::rules::alarms::testing::showing;
        let with = |alarm, puts| showing(Set::new(), "a", alarm, 0.0, puts);
        let fails = |severity| (Status::Fail, severity);
        assert_eq!(
            with(ALARM, Some(0.0)).status(&RULE),
            fails(Severity::Critical)
        );
        assert_eq!(with(ALARM, None).status(&RULE), fails(Severity::Warn));
        assert_eq!(with(ALARM, Some(5.0)).status(&RULE).0, Status::Unknown);
        assert_eq!(with("NOSPACE", Some(0.0)).status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn hashes_compare_at_one_revision_and_compaction() {
        let of = |rows: &[(&str, f64, f64)]| {
            let cells: Vec<(&str, [(&str, f64); 3])> = rows
                .iter()
                .map(|(name, hash, compacted)| {
                    (
                        *name,
                        [
                            ("hash", *hash),
                            ("revision", 9.0),
                            ("compacted", *compacted),
                        ],
                    )
                })
                .collect();
            let rows: Vec<(&str, &[(&str, f64)])> = cells
                .iter()
                .map(|(name, cells)| (*name, &cells[..]))
                .collect();
            Set::new().put(&keys::ETCD_HASHES, Subject::cluster(), table(&rows))
        };
        assert_eq!(
            of(&[("a", 7.0, 1.0), ("b", 7.0, 1.0)]).status(&RULE).0,
            Status::Pass
        );
        assert_eq!(
            of(&[("a", 7.0, 1.0), ("b", 8.0, 2.0)]).status(&RULE).0,
            Status::Pass
        );
        let found = of(&[("a", 7.0, 1.0), ("b", 8.0, 1.0), ("c", 7.0, 1.0)]).check(&RULE);
        assert_eq!(found[0].severity, Severity::Critical);
        assert!(
            found[0].message.contains("a, c 00000007; b 00000008"),
            "{found:?}"
        );
    }

    #[test]
    fn an_alarm_beside_hashes_that_agree() {
        let alarm = || {
            let row = Row::new("CORRUPT m1")
                .text("alarm", "CORRUPT")
                .text("member", "m1");
            let rows = vec![row];
            let table = Table {
                rows,
                ..Table::default()
            };
            Set::new().put(&keys::ETCD_ALARMS, Subject::cluster(), table)
        };
        let hashes = |other: f64| {
            let row = |hash: f64| [("hash", hash), ("revision", 9.0), ("compacted", 1.0)];
            let (one, two) = (row(7.0), row(other));
            let rows: [(&str, &[(&str, f64)]); 2] = [("a", &one), ("b", &two)];
            alarm().put(&keys::ETCD_HASHES, Subject::cluster(), table(&rows))
        };
        let told = |set: Set| {
            let found = set.check(&RULE);
            let about = found.iter().find(|finding| finding.subject.name == "m1");
            about.unwrap().message.clone()
        };
        assert!(told(hashes(7.0)).ends_with("the hashes of 2 members agree now"));
        assert!(!told(hashes(8.0)).contains("agree"));
        assert!(!told(alarm()).contains("agree"));
    }

    #[test]
    fn damaged_files_are_one_members_own() {
        let set = Set::new().put(
            &keys::LOGS_EVENTS,
            member(),
            table(&[(FILES[0], &[("count", 3.0)])]),
        );
        let row = Row::new("self").text("why", "discovery failed: walpb: crc mismatch");
        let rows = vec![row];
        let life = Table {
            rows,
            ..Table::default()
        };
        let found = set.put(&keys::LOGS_LIVES, member(), life).check(&RULE);
        assert_eq!((found.len(), found[0].aspect.as_str()), (1, OF_FILES));
        assert!(
            found[0]
                .message
                .ends_with("\"discovery failed: walpb: crc mismatch\"")
        );
        assert!(!found[0].threshold.contains("hashes"));
    }

    #[test]
    fn both_sides_of_the_limit() {
        let limit = crate::profile::Profile::default().get("data-corruption");
        assert_eq!(with(limit - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(limit).status(&RULE).0, Status::Fail);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
