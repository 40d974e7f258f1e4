//! Reads are slow now: those that wait for the leader, or a member's own.

use crate::evidence::{Missing, Row, Unit, keys, number};
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
    for (subject, table) in all {
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
                    "{} needs {} for a read that the leader confirms, {} for one of its own: the leader or the link to it",
                    subject.name,
                    number(took, Unit::Ms),
                    middle(own).map_or_else(|| "?".to_owned(), |ms| number(ms, Unit::Ms))
                ),
                "linearizable",
            )
        } else {
            continue;
        };
        cx.evidence.cite_as(&keys::ETCD_READS, &subject, what);
        drafts.push(
            Draft::new(subject, severity, message)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Table;
    use crate::rules::Status;
    use crate::rules::testing::{Set, member};

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
