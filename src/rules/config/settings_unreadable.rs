//! A source of settings could not be read, so what it sets is not known.

use crate::evidence::Missing;
use crate::rules::faults;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "settings-unreadable",
    summary: "a file of settings cannot be read, by the component neither",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "settings-unreadable",
    check,
};

const FAULTS: &[&str] = &["config-file-not-read", "unfilled-template", "unreadable"];

/// Told in full, of one subject.
const MANY: usize = 3;

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let mut drafts = Vec::new();
    for (subject, all) in faults::by_subject(cx, FAULTS)? {
        // The kubelet starts nothing from YAML that does not parse. A template is filled in by somebody
        // before, and a file that was left out may well be in order.
        let broken = |fault: &faults::Fault| fault.kind == "unreadable" && fault.weight == "stop";
        let severity = match all.iter().any(broken) {
            true => Severity::Warn,
            false => Severity::Info,
        };
        let words = faults::in_words(cx, &all, MANY);
        drafts.push(
            Draft::new(subject, severity, words)
                .confidence(Confidence::High)
                .threshold("what a file sets is known only if it can be read")
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
    fn broken_files_warn_and_those_left_out_are_notes() {
        let of = |kind, weight| fault(kind, weight).status(&RULE);
        assert_eq!(of("unreadable", "stop"), (Status::Fail, Severity::Warn));
        let note = (Status::Fail, Severity::Info);
        assert_eq!(of("unreadable", "note"), note);
        assert_eq!(of("unfilled-template", "stop"), note);
        assert_eq!(of("config-file-not-read", "warn"), note);
        assert_eq!(of("invalid-value", "stop").0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
