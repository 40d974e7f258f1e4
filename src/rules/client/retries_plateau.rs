//! A work queue retries at the fixed rate of its own bucket: 10 a second, which no QPS flag moves.

use crate::evidence::{Missing, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "retries-plateau",
    summary: "a work queue retries at the fixed rate of its bucket",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "retries-plateau",
    check,
};

/// In less time a few retries more or less are a tenth of the rate.
const LEAST_SECS: f64 = 30.0;

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("retries-plateau");
    let mut drafts = Vec::new();
    let tables = cx.evidence.some(&keys::WORKQUEUES)?;
    cx.evidence.take_citations();
    let mut judged = false;
    for (subject, table) in tables {
        let record = cx.evidence.record(&keys::WORKQUEUES, &subject);
        let Some(secs) = record
            .and_then(|record| record.secs())
            .filter(|secs| *secs >= LEAST_SECS)
        else {
            continue;
        };
        judged = true;
        for (row, retries) in table.top("retries") {
            let rate = retries / secs;
            // A tenth around client-go's bucket of 10 a second.
            if (rate - limit.value).abs() > limit.value * 0.1 {
                continue;
            }
            let words = format!(
                "queue {} of {} retries {rate:.1} times a second",
                row.key, subject.name
            );
            cx.evidence
                .cite_as(&keys::WORKQUEUES, &subject, words.clone());
            drafts.push(
                Draft::new(subject.clone(), Severity::Info, words)
                    .confidence(Confidence::Medium)
                    .threshold(limit.words())
                    .cites(cx.evidence.take_citations()),
            );
        }
    }
    if !judged {
        return Err(Missing::NotEnough {
            why: format!("a rate of retries needs scrapes over {LEAST_SECS:.0} s or more"),
        });
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, table};

    #[test]
    fn only_a_rate_near_the_bucket() {
        let with = |per_sec: f64| {
            Set::new().put(
                &keys::WORKQUEUES,
                component("manager"),
                table(&[("machine", &[("retries", per_sec * 100.0)])]),
            )
        };
        assert_eq!(with(10.0).status(&RULE), (Status::Fail, Severity::Info));
        assert_eq!(with(9.0).status(&RULE).0, Status::Fail);
        assert_eq!(with(8.9).status(&RULE).0, Status::Pass);
        assert_eq!(with(11.1).status(&RULE).0, Status::Pass);
        // The default window of a live run.
        let over = |secs: i64| {
            Set::new().put_over(
                &keys::WORKQUEUES,
                component("manager"),
                table(&[("machine", &[("retries", 10.0 * secs as f64)])]),
                secs,
            )
        };
        assert_eq!(over(29).status(&RULE).0, Status::Unknown);
        assert_eq!(over(30).status(&RULE).0, Status::Fail);
        // One window that can be judged is enough.
        let both = over(10).put(
            &keys::WORKQUEUES,
            component("other"),
            table(&[("machine", &[("retries", 1.0)])]),
        );
        assert_eq!(both.status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
