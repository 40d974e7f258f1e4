//! Compactions take long again and again. Whether requests are slow meanwhile is not judged here.

use crate::evidence::{Missing, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::units::format_ms;

/// The rule.
pub static RULE: Rule = Rule {
    id: "compaction-saw-tooth",
    summary: "compactions take long, which can slow down requests",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "compaction-saw-tooth",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("compaction-took");
    let mut drafts = Vec::new();
    let all = cx.evidence.some(&keys::LOGS_COMPACTION_TOOK)?;
    cx.evidence.take_citations();
    for (subject, series) in all {
        // Saved runs may have a zero for each minute without a compaction.
        let all = series.points.iter().filter(|p| p.value > 0.0).count();
        let long = series
            .points
            .iter()
            .filter(|point| point.value >= limit.value)
            .count();
        // One long compaction follows a burst; a saw-tooth has several.
        if long < 3 || long * 2 < all {
            continue;
        }
        let longest = series
            .points
            .iter()
            .map(|point| point.value)
            .fold(0.0, f64::max);
        let words = format!(
            "{long} of {all} compactions took over {}, the longest {}",
            format_ms(limit.value),
            format_ms(longest)
        );
        cx.evidence
            .cite_as(&keys::LOGS_COMPACTION_TOOK, &subject, words.clone());
        drafts.push(
            Draft::new(subject, Severity::Info, words)
                .confidence(Confidence::Medium)
                .threshold(limit.words())
                .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::evidence::{Point, Series};
    use crate::rules::Status;
    use crate::rules::testing::{Set, member};

    #[test]
    fn three_long_compactions_are_a_pattern() {
        let limit = crate::profile::Profile::default().get("compaction-took");
        let with = |long: usize| {
            let points = (0..4)
                .map(|i| Point {
                    at: Timestamp::from_secs(i * 300),
                    value: if usize::try_from(i).unwrap() < long {
                        limit
                    } else {
                        1.0
                    },
                })
                .collect();
            Set::new().put(&keys::LOGS_COMPACTION_TOOK, member(), Series { points })
        };
        assert_eq!(with(3).status(&RULE), (Status::Fail, Severity::Info));
        assert_eq!(with(2).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
