//! Many lines of the log were not understood.

use crate::evidence::{Missing, Subject, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "log-unparsed",
    summary: "many log lines were not understood",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "log-unparsed",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("unparsed-share");
    let cluster = Subject::cluster();
    let lines = cx.evidence.get(&keys::LOGS_LINES, &cluster)?;
    let unparsed = cx.evidence.get(&keys::LOGS_UNPARSED, &cluster)?;
    if lines == 0 || unparsed as f64 / lines as f64 <= limit.value {
        return Ok(Verdict::Pass);
    }
    Ok(Verdict::fail(
        Draft::new(
            cluster,
            Severity::Info,
            format!("{unparsed} of {lines} lines were not understood: counts are lower bounds"),
        )
        .confidence(Confidence::High)
        .threshold(limit.words()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::Set;

    #[test]
    fn both_sides_of_the_limit() {
        let with = |unparsed: i64| {
            Set::new()
                .put(&keys::LOGS_LINES, Subject::cluster(), 1000)
                .put(&keys::LOGS_UNPARSED, Subject::cluster(), unparsed)
        };
        assert_eq!(with(50).status(&RULE).0, Status::Pass);
        assert_eq!(with(51).status(&RULE), (Status::Fail, Severity::Info));
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
