//! The members' clocks differ.

use std::collections::BTreeMap;

use crate::evidence::{Missing, keys};
use crate::rules::events::{self, Seen};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::units::format_ms;

/// The rule.
pub static RULE: Rule = Rule {
    id: "clock-drift",
    summary: "the clocks of members differ by more than a second",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "clock-drift",
    check,
};

const KINDS: &[&str] = &["clock-drift"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("clock-drift");
    let words = |seen: &Seen| {
        let warnings = events::counted(seen.count, "warnings");
        format!("{warnings} of clock drift between members")
    };
    let drafts = events::at_least(cx, &[KINDS], limit, "clock drift warnings", words)?;
    let peers = by_peer(cx);
    if !peers.is_empty() && !drafts.is_empty() {
        return Ok(Verdict::Fail(peers));
    }
    Ok(Verdict::Fail(drafts))
}

/// Each peer whose clock another member found to differ, with by how much. A check writes two lines,
/// and counts once here.
fn by_peer(cx: &Context<'_>) -> Vec<Draft> {
    let limit = cx.profile.limit("clock-drift");
    let names: BTreeMap<String, String> = cx
        .evidence
        .all(&keys::MEMBER_ID)
        .into_iter()
        .map(|(subject, id)| (id, subject.name))
        .collect();
    let mut drafts = Vec::new();
    for (subject, table) in cx.evidence.all(&keys::LOGS_CLOCK_DRIFT) {
        for row in &table.rows {
            let checks = row.get("count").unwrap_or(0.0);
            if checks < limit.value {
                continue;
            }
            let peer = names.get(&row.key).unwrap_or(&row.key);
            let most = row.get("max_drift_ms").filter(|ms| *ms > 0.0);
            let most = most.map_or_else(
                || "more than a second".to_owned(),
                |ms| format!("up to {}", format_ms(ms)),
            );
            let words = format!(
                "the clock of {peer} and that of another member differ by {most}, in {}",
                events::counted(checks, "checks")
            );
            cx.evidence
                .cite_as(&keys::LOGS_CLOCK_DRIFT, &subject, words.clone());
            drafts.push(
                Draft::new(subject.clone(), Severity::Warn, words)
                    .confidence(Confidence::High)
                    .threshold(limit.words())
                    .cites(cx.evidence.take_citations()),
            );
        }
    }
    drafts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Subject;
    use crate::rules::Status;
    use crate::rules::testing::{Set, member, table};

    #[test]
    fn the_peer_and_the_difference_are_told() {
        let drift: &[(&str, f64)] = &[("count", 30.0), ("max_drift_ms", 37_500.0)];
        let found = with(60.0)
            .put(
                &keys::LOGS_CLOCK_DRIFT,
                Subject::cluster(),
                table(&[("8211f1d0f64f3269", drift)]),
            )
            .put(&keys::MEMBER_ID, member(), "8211f1d0f64f3269".to_owned())
            .check(&RULE);
        assert_eq!(found.len(), 1, "{found:?}");
        let words = &found[0].message;
        assert!(words.starts_with("the clock of a and"), "{words}");
        assert!(words.ends_with("by up to 37.5 s, in 30 checks"), "{words}");
    }

    fn with(count: f64) -> Set {
        Set::new().put(
            &keys::LOGS_EVENTS,
            member(),
            table(&[(KINDS[0], &[("count", count)])]),
        )
    }

    #[test]
    fn both_sides_of_the_limit() {
        let limit = crate::profile::Profile::default().get("clock-drift");
        assert_eq!(with(limit - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(limit).status(&RULE).0, Status::Fail);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
