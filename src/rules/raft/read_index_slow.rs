//! Linearizable reads wait long for the leader's confirmation.

use crate::evidence::{Missing, keys};
use crate::rules::events;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "read-index-slow",
    summary: "linearizable reads wait long for the leader",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "read-index-slow",
    check,
};

const KINDS: &[&str] = &["readindex-retry", "readindex-timeout", "readindex-stale"];

/// Traces of the loop that waits for the leader, of 500 ms or more: what a retry stands for, too.
const LOOPS: &[&str] = &["read-loop-slow"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("read-index-slow");
    let metrics = cx.evidence.some(&keys::SLOW_READ_INDEXES);
    let logs = events::seen(cx, KINDS);
    let mut drafts: Vec<Draft> = Vec::new();
    if let Ok(metrics) = &metrics {
        for (subject, count) in metrics.iter().filter(|(_, count)| *count >= limit.value) {
            cx.evidence.cite(&keys::SLOW_READ_INDEXES, subject);
            drafts.push(
                Draft::new(
                    subject.clone(),
                    Severity::Warn,
                    format!("{count:.0} slow read indexes"),
                )
                .threshold(limit.words())
                .cites(cx.evidence.take_citations()),
            );
        }
    }
    if let Ok(logs) = &logs {
        for seen in logs.iter().filter(|seen| seen.count >= limit.value) {
            events::cite(cx, seen, "read-index retries and time-outs");
            if let Some(have) = drafts
                .iter_mut()
                .find(|draft| draft.is_about(&seen.subject))
            {
                have.add_citations(cx.evidence.take_citations());
                continue;
            }
            drafts.push(
                Draft::new(
                    seen.subject.clone(),
                    Severity::Warn,
                    // Each retry line stands for 500 ms of waiting.
                    format!(
                        "{:.0} read-index retries (one each 500 ms of waiting)",
                        seen.count
                    ),
                )
                .confidence(Confidence::High)
                .threshold(limit.words())
                .cites(cx.evidence.take_citations()),
            );
        }
    }
    for seen in events::seen(cx, LOOPS).unwrap_or_default() {
        let told = drafts.iter().any(|draft| draft.is_about(&seen.subject));
        if told || seen.count < limit.value {
            continue;
        }
        events::cite(cx, &seen, "waits of reads for the leader");
        drafts.push(
            Draft::new(
                seen.subject.clone(),
                Severity::Warn,
                format!("reads waited {:.0} times for the leader", seen.count),
            )
            .confidence(Confidence::High)
            .threshold(limit.words())
            .cites(cx.evidence.take_citations()),
        );
    }
    Verdict::of_either(drafts, metrics, logs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, member, table};

    #[test]
    fn logs_or_metrics_are_enough() {
        let limit = crate::profile::Profile::default().get("read-index-slow");
        for kind in [KINDS[0], LOOPS[0]] {
            let logs = |n: f64| {
                Set::new().put(
                    &keys::LOGS_EVENTS,
                    member(),
                    table(&[(kind, &[("count", n)])]),
                )
            };
            assert_eq!(logs(limit).status(&RULE), (Status::Fail, Severity::Warn));
            assert_eq!(logs(limit - 1.0).status(&RULE).0, Status::Pass);
        }
        let metrics = |n: f64| Set::new().put(&keys::SLOW_READ_INDEXES, member(), n);
        assert_eq!(metrics(limit).status(&RULE).0, Status::Fail);
        assert_eq!(metrics(limit - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
