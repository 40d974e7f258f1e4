//! etcd logged WAL syncs of more than a second: the WAL stands still meanwhile, and so do all
//! writes and linearizable reads.

use crate::evidence::Missing;
use crate::rules::events;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "wal-sync-stalled",
    summary: "single WAL syncs took more than a second",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "wal-sync-stalled",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("wal-sync-stall");
    let drafts = events::seen(cx, &["wal-sync-slow"])?
        .into_iter()
        .map(|seen| {
            events::cite(cx, &seen, "slow WAL syncs logged");
            // One stall can be a moment; several are a pattern.
            let severity = if seen.count >= 3.0 {
                Severity::Critical
            } else {
                Severity::Warn
            };
            let longest = seen.max_ms.map_or_else(String::new, |ms| {
                format!(", the longest {}", crate::units::format_ms(ms))
            });
            Draft::new(
                seen.subject.clone(),
                severity,
                format!(
                    "etcd logged {} over 1 s{longest}",
                    events::counted(seen.count, "WAL syncs")
                ),
            )
            // The line is a fact; that the disk is to blame is for the diagnosis to say.
            .confidence(Confidence::High)
            .threshold(limit.words())
            .cites(cx.evidence.take_citations())
        })
        .collect();
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::keys;
    use crate::rules::Status;
    use crate::rules::testing::{Set, member, table};

    #[test]
    fn one_stall_warns_three_are_critical_none_passes() {
        let with = |count: f64| {
            Set::new().put(
                &keys::LOGS_EVENTS,
                member(),
                table(&[
                    ("wal-sync-slow", &[("count", count), ("max_ms", 1500.0)]),
                    ("leader-elected", &[("count", 1.0)]),
                ]),
            )
        };
        assert_eq!(with(0.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(1.0).status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(with(2.0).status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(with(3.0).status(&RULE), (Status::Fail, Severity::Critical));
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
