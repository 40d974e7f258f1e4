//! Reads are slow now: those that wait for the leader, or a member's own.

use crate::evidence::{Missing, Row, Subject, Unit, keys, number};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "reads-slow",
    summary: "etcd answers a read of one key slowly or not at all",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "reads-slow",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("read-latency");
    let all = cx.evidence.some(&keys::ETCD_READS)?;
    cx.evidence.take_citations();
    let mut drafts = Vec::new();
    let mut judged = false;
    let mut why = None;
    // Members whose reads the leader confirms quickly.
    let quick: Vec<(&str, f64)> = all
        .iter()
        .filter_map(|(subject, table)| {
            let took = table.row("linearizable")?.get("p50_ms")?;
            (took < limit.value).then_some((subject.name.as_str(), took))
        })
        .collect();
    for (subject, table) in &all {
        let (own, shared) = (table.row("serializable"), table.row("linearizable"));
        let middle = |row: Option<&Row>| row?.get("p50_ms");
        let failed = |row: Option<&Row>| {
            let kind = row?.get_text("kind")?;
            matches!(
                kind,
                "timed-out" | "no-leader" | "busy" | "closed" | "other"
            )
            .then_some(())
        };
        judged |= middle(own).is_some() || failed(own).is_some() || failed(shared).is_some();
        if !judged {
            why = own
                .or(shared)
                .and_then(|row| row.get_text("error"))
                .map(str::to_owned);
        }
        let (severity, message, what) = if failed(own).is_some() {
            let error = own
                .and_then(|row| row.get_text("error"))
                .unwrap_or_default();
            (
                Severity::Critical,
                format!(
                    "{} answers not even a read of its own data: {error}",
                    subject.name
                ),
                "serializable",
            )
        } else if failed(shared).is_some() {
            let error = shared
                .and_then(|row| row.get_text("error"))
                .unwrap_or_default();
            (
                Severity::Critical,
                format!(
                    "{} answers reads of its own data, and none that needs the leader: {error}",
                    subject.name
                ),
                "linearizable",
            )
        } else if let Some(took) = middle(own).filter(|took| *took >= limit.value) {
            (
                Severity::Warn,
                format!(
                    "{} needs {} for a read of its own data: its CPU or its connection, not the quorum",
                    subject.name,
                    number(took, Unit::Ms)
                ),
                "serializable",
            )
        } else if let Some(took) = middle(shared).filter(|took| *took >= limit.value) {
            (
                Severity::Warn,
                format!(
                    "{} needs {} for a read that the leader confirms, {} for one of its own: {}",
                    subject.name,
                    number(took, Unit::Ms),
                    middle(own).map_or_else(|| "?".to_owned(), |ms| number(ms, Unit::Ms)),
                    why_slow(cx, subject, &quick)
                ),
                "linearizable",
            )
        } else {
            continue;
        };
        cx.evidence.cite_as(&keys::ETCD_READS, subject, what);
        drafts.push(
            Draft::new(subject.clone(), severity, message)
                .confidence(Confidence::High)
                .threshold(limit.words())
                .cites(cx.evidence.take_citations()),
        );
    }
    if !judged {
        return Err(Missing::NotEnough {
            why: why.unwrap_or_else(|| "no read was made".to_owned()),
        });
    }
    Ok(Verdict::Fail(drafts))
}

/// What may hold back the reads of a member that the leader has to confirm. A member answers only when it has
/// applied what the leader had, so its own slow disk does it too.
fn why_slow(cx: &Context<'_>, member: &Subject, quick: &[(&str, f64)]) -> String {
    let Some((other, took)) = quick.first() else {
        return "the leader or the link to it".to_owned();
    };
    let confirms = format!(
        "the leader confirms those of {other} in {}",
        number(*took, Unit::Ms)
    );
    let sync = cx.evidence.peek(&keys::WAL_FSYNC, member);
    let slow = cx.profile.get("wal-fsync-p99");
    match sync.and_then(|sync| sync.mean()).filter(|ms| *ms >= slow) {
        Some(ms) => {
            cx.evidence.cite(&keys::WAL_FSYNC, member);
            format!(
                "{confirms}, and {} needs {} for a WAL fsync: its own disk",
                member.name,
                number(ms, Unit::Ms)
            )
        }
        None => format!("{confirms}, so it is this member or its link to the leader"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{SubjectKind, Table};
    use crate::rules::Status;
    use crate::rules::testing::{Set, histogram, member};

    fn with(own: Result<f64, &str>, shared: Result<f64, &str>) -> Set {
        let row = |name: &str, read: Result<f64, &str>| match read {
            Ok(ms) => Row::new(name).num("p50_ms", ms),
            Err(kind) => Row::new(name).text("kind", kind).text("error", "it failed"),
        };
        let rows = vec![row("linearizable", shared), row("serializable", own)];
        Set::new().put(
            &keys::ETCD_READS,
            member(),
            Table {
                rows,
                ..Table::default()
            },
        )
    }

    #[test]
    fn the_leader_is_not_blamed_where_it_answers_others() {
        let reads = |set: Set, name: &str, ms: f64| {
            let rows = vec![
                Row::new("linearizable").num("p50_ms", ms),
                Row::new("serializable").num("p50_ms", 1.0),
            ];
            let about = Subject::new(SubjectKind::Member, name);
            let table = Table {
                rows,
                ..Table::default()
            };
            set.put(&keys::ETCD_READS, about, table)
        };
        let told = |set: &Set| set.check(&RULE)[0].message.clone();
        let alone = reads(Set::new(), "m2", 199.0);
        assert!(told(&alone).ends_with("the leader or the link to it"));
        let all = reads(reads(alone, "m1", 180.0), "m3", 150.0);
        assert!(told(&all).ends_with("the leader or the link to it"));
        let beside = || reads(reads(Set::new(), "m1", 2.8), "m2", 199.0);
        let words = told(&beside());
        assert!(words.contains("those of m1 in 2.8 ms"), "{words}");
        assert!(words.ends_with("or its link to the leader"), "{words}");
        let synced = |buckets| {
            let about = Subject::new(SubjectKind::Member, "m2");
            told(&beside().put(&keys::WAL_FSYNC, about, histogram(buckets)))
        };
        let slow = synced(&[(32.0, 0.0), (64.0, 50.0)]);
        assert!(slow.ends_with("for a WAL fsync: its own disk"), "{slow}");
        let fast = synced(&[(1.0, 50.0), (64.0, 0.0)]);
        assert!(fast.ends_with("or its link to the leader"), "{fast}");
    }

    #[test]
    fn the_member_or_the_leader() {
        assert_eq!(with(Ok(1.0), Ok(99.0)).status(&RULE).0, Status::Pass);
        assert_eq!(
            with(Ok(1.0), Ok(100.0)).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        let own = with(Ok(100.0), Ok(101.0)).check(&RULE);
        assert!(own[0].message.contains("not the quorum"), "{own:?}");
        let leaderless = with(Ok(1.0), Err("timed-out")).check(&RULE);
        assert_eq!(leaderless[0].severity, Severity::Critical);
        assert!(
            leaderless[0].message.contains("needs the leader"),
            "{leaderless:?}"
        );
        // A right that lacks is no slowness.
        assert_eq!(
            with(Err("denied"), Err("denied")).status(&RULE).0,
            Status::Unknown
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
