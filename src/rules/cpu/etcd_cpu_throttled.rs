//! The kernel holds etcd back because its cgroup has used up its CPU limit.

use crate::evidence::{Missing, keys};
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "etcd-cpu-throttled",
    summary: "etcd is throttled by its CPU limit",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "etcd-cpu-throttled",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("cgroup-throttled-periods");
    let mut drafts = Vec::new();
    for (subject, value) in cx.evidence.some(&keys::CGROUP_THROTTLED)? {
        if value <= limit.value {
            continue;
        }
        cx.evidence.cite(&keys::CGROUP_THROTTLED, &subject);
        drafts.push(
            Draft::new(
                subject.clone(),
                Severity::Critical,
                format!(
                    "{} was throttled in {:.0} % of the scheduling periods",
                    subject.name,
                    value * 100.0
                ),
            )
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
    use crate::rules::testing::{Set, component};

    #[test]
    fn both_sides_of_the_limit() {
        let limit = crate::profile::Profile::default().get("cgroup-throttled-periods");
        let with = |value: f64| Set::new().put(&keys::CGROUP_THROTTLED, component("etcd"), value);
        assert_eq!(with(limit).status(&RULE).0, Status::Pass);
        assert_eq!(
            with(limit * 1.01).status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
