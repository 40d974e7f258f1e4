//! etcd logged WAL syncs of more than a second: the WAL stands still meanwhile, and so do all
//! writes and linearizable reads.

use crate::evidence::{Missing, Subject, keys};
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

const KINDS: &[&str] = &["wal-sync-slow"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("wal-sync-stall");
    let several = cx.profile.limit("wal-sync-stalls");
    let drafts = events::seen(cx, KINDS)?
        .into_iter()
        .map(|seen| {
            events::cite(cx, &seen, "slow WAL syncs logged");
            // One stall can be a moment; several within an hour are a pattern.
            let pattern = seen.hourly >= several.value;
            // A defragmentation writes the whole database to the same device: the WAL waits for that.
            let defragmented = within_defragmentations(cx, &seen.subject) >= seen.count;
            let (severity, threshold) = if defragmented {
                (Severity::Info, limit.words())
            } else if pattern {
                let words = format!(
                    "{}; {} of them ({})",
                    limit.words(),
                    several.text,
                    several.source
                );
                (Severity::Critical, words)
            } else {
                (Severity::Warn, limit.words())
            };
            let longest = seen.max_ms.map_or_else(String::new, |ms| {
                format!(", the longest {}", crate::units::format_ms(ms))
            });
            Draft::new(
                seen.subject.clone(),
                severity,
                format!(
                    "etcd logged {} over 1 s{longest}{}",
                    events::counted(seen.count, "WAL syncs"),
                    match defragmented {
                        true => ", while it defragmented its database",
                        false => "",
                    }
                ),
            )
            // The line is a fact; that the disk is to blame is for the diagnosis to say.
            .confidence(Confidence::High)
            .threshold(threshold)
            .cites(cx.evidence.take_citations())
        })
        .collect();
    Ok(Verdict::Fail(drafts))
}

/// How many slow syncs of a member came while it defragmented its database.
fn within_defragmentations(cx: &Context<'_>, member: &Subject) -> f64 {
    let Some(all) = cx.evidence.peek(&keys::LOGS_EPISODES, member) else {
        return 0.0;
    };
    let of = |kind: &'static str| all.episodes.iter().filter(move |e| e.kind == kind);
    let within: u64 = KINDS
        .iter()
        .flat_map(|kind| of(kind))
        .filter(|sync| of("defrag-finish").any(|it| it.from <= sync.from && sync.to <= it.to))
        .map(|sync| sync.count)
        .sum();
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let within = within as f64;
    within
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, episode, episodes, member, table};

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
        // Three on three days of a month are three moments, three within an hour a pattern.
        let days = |apart: i64| {
            let at = |n: i64| episode(KINDS[0], n * apart, n * apart + 1);
            let count: &[(&str, f64)] = &[("count", 3.0), ("max_ms", 1200.0)];
            let month = 30 * 86_400;
            let logged = table(&[(KINDS[0], count)]);
            Set::new()
                .put_over(&keys::LOGS_EVENTS, member(), logged, month)
                .put(
                    &keys::LOGS_EPISODES,
                    member(),
                    episodes((0..3).map(at).collect()),
                )
        };
        assert_eq!(days(86_400).status(&RULE).1, Severity::Warn);
        assert_eq!(days(60).status(&RULE).1, Severity::Critical);
    }

    #[test]
    fn a_sync_that_waited_for_a_defragmentation_is_a_note() {
        let with = |from: i64, to: i64| {
            let count: &[(&str, f64)] = &[("count", 1.0), ("max_ms", 1060.0)];
            Set::new()
                .put(&keys::LOGS_EVENTS, member(), table(&[(KINDS[0], count)]))
                .put(
                    &keys::LOGS_EPISODES,
                    member(),
                    episodes(vec![
                        episode("defrag-finish", 100, 102),
                        episode(KINDS[0], from, to),
                    ]),
                )
                .status(&RULE)
                .1
        };
        assert_eq!(with(101, 102), Severity::Info);
        assert_eq!(with(99, 101), Severity::Warn);
        assert_eq!(with(101, 103), Severity::Warn);
    }
}
