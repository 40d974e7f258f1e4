//! A member is far behind: its log, or what it has applied of it.

use crate::evidence::{Missing, Subject, SubjectKind, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "member-lagging",
    summary: "a member of etcd is far behind the others",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "member-lagging",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("raft-lag");
    let urgent = cx.profile.limit("raft-lag-critical");
    let (cluster, lag) = cx.evidence.any(&keys::ETCD_LAG)?;
    cx.evidence.take_citations();
    let mut drafts = Vec::new();
    for row in &lag.rows {
        let (behind, unapplied) = (
            row.get("behind").unwrap_or_default(),
            row.get("unapplied").unwrap_or_default(),
        );
        let worst = behind.max(unapplied);
        if worst < limit.value {
            continue;
        }
        let message = if behind >= unapplied {
            format!("{} is {behind:.0} entries behind the longest log", row.key)
        } else {
            format!(
                "{} has {unapplied:.0} entries in its log that it has not applied",
                row.key
            )
        };
        cx.evidence
            .cite_as(&keys::ETCD_LAG, &cluster, message.clone());
        let (severity, limit) = if worst >= urgent.value {
            (Severity::Critical, urgent)
        } else {
            (Severity::Warn, limit)
        };
        // One look may have met a burst.
        let confidence = if row.get("looks").is_some_and(|looks| looks >= 2.0) {
            Confidence::High
        } else {
            Confidence::Medium
        };
        drafts.push(
            Draft::new(
                Subject::new(SubjectKind::Member, &row.key),
                severity,
                message,
            )
            .confidence(confidence)
            .threshold(limit.words())
            .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, table};

    fn with(behind: f64, unapplied: f64) -> Set {
        let row: &[(&str, f64)] = &[("behind", behind), ("unapplied", unapplied), ("looks", 2.0)];
        Set::new().put(&keys::ETCD_LAG, Subject::cluster(), table(&[("m0", row)]))
    }

    #[test]
    fn both_kinds_of_lag() {
        let profile = crate::profile::Profile::default();
        let (limit, urgent) = (profile.get("raft-lag"), profile.get("raft-lag-critical"));
        assert_eq!(with(limit - 1.0, limit - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(
            with(limit, 0.0).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        let unapplied = with(0.0, urgent).check(&RULE);
        assert_eq!(unapplied[0].severity, Severity::Critical);
        assert!(unapplied[0].message.contains("not applied"));
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
