//! What runs is not what the manifest says: a change waits for a restart, or was made by hand.

use std::collections::BTreeMap;

use crate::evidence::{Missing, Subject};
use crate::rules::faults;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "settings-not-applied",
    summary: "a running process has other settings than its manifest",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "settings-not-applied",
    check,
};

const KINDS: &[&str] = &["not-applied", "drift", "two-definitions", "stray-manifest"];

/// More settings than this that differ are no pending change: the process was started otherwise,
/// and the file belongs to something else.
const MANY: usize = 3;

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let mut by_subject: BTreeMap<Subject, Vec<faults::Fault>> = BTreeMap::new();
    for fault in faults::of(cx, KINDS)? {
        by_subject
            .entry(fault.subject.clone())
            .or_default()
            .push(fault);
    }
    let mut drafts = Vec::new();
    for (subject, all) in by_subject {
        for fault in all.iter().take(MANY) {
            faults::cite(cx, fault);
        }
        let many = all.len() > MANY;
        let severity = if many || all.iter().all(|fault| fault.weight == "note") {
            Severity::Info
        } else {
            Severity::Warn
        };
        let mut words: Vec<String> = all
            .iter()
            .take(if many { 1 } else { MANY })
            .map(|fault| fault.text.clone())
            .collect();
        if many {
            words.push(format!(
                "and {} more: it was started otherwise",
                all.len() - 1
            ));
        }
        drafts.push(
            Draft::new(subject, severity, words.join("; "))
                .confidence(Confidence::High)
                .threshold("the next start takes what the file says")
                .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::faults::testing::fault;
    use crate::rules::testing::Set;

    #[test]
    fn the_kind_and_the_weight_decide() {
        assert_eq!(
            fault("not-applied", "warn").status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(
            fault("drift", "note").status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(fault("no-such-kind", "stop").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
