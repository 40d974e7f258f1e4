//! A member only learns: it adds load and no safety until it is promoted.

use crate::evidence::{Missing, Subject, SubjectKind, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "learner-not-promoted",
    summary: "a member is still a learner and does not vote",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "learner-not-promoted",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let (cluster, members) = cx.evidence.any(&keys::ETCD_MEMBERS)?;
    cx.evidence.take_citations();
    let behind = |name: &str| {
        cx.evidence
            .peek(&keys::ETCD_LAG, &cluster)
            .and_then(|lag| lag.row(name)?.get("behind"))
    };
    let limit = cx.profile.get("raft-lag");
    let drafts = members
        .rows
        .iter()
        .filter(|row| row.get("learner") == Some(1.0))
        .map(|row| {
            cx.evidence
                .cite_as(&keys::ETCD_MEMBERS, &cluster, format!("{} learns", row.key));
            // One that has caught up waits for nothing but its promotion.
            let (severity, state) = match behind(&row.key) {
                Some(behind) if behind < limit => (
                    Severity::Warn,
                    format!("it is {behind:.0} entries behind, near enough to be promoted"),
                ),
                Some(behind) => (
                    Severity::Info,
                    format!("it is {behind:.0} entries behind and still catches up"),
                ),
                None => (
                    Severity::Warn,
                    "how far it has come is not known".to_owned(),
                ),
            };
            Draft::new(
                Subject::new(SubjectKind::Member, &row.key),
                severity,
                format!("{} is a learner and does not vote: {state}", row.key),
            )
            .confidence(Confidence::High)
            .threshold("etcd learner guide: promote a learner once it has caught up")
            .cites(cx.evidence.take_citations())
        })
        .collect();
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, table};

    fn with(learner: f64, behind: f64) -> Set {
        Set::new()
            .put(
                &keys::ETCD_MEMBERS,
                Subject::cluster(),
                table(&[("m0", &[("learner", learner)])]),
            )
            .put(
                &keys::ETCD_LAG,
                Subject::cluster(),
                table(&[("m0", &[("behind", behind)])]),
            )
    }

    #[test]
    fn a_learner_that_caught_up_is_to_be_promoted() {
        assert_eq!(with(0.0, 0.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(1.0, 3.0).status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(with(1.0, 1e5).status(&RULE), (Status::Fail, Severity::Info));
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
