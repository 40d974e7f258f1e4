//! The hypervisor gives the CPU to others.

use crate::evidence::{Missing, keys};
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "cpu-steal-high",
    summary: "the hypervisor takes CPU time away",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "cpu-steal-high",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("cpu-steal");
    let mut drafts = Vec::new();
    for (subject, value) in cx.evidence.some(&keys::CPU_STEAL)? {
        if value <= limit.value {
            continue;
        }
        cx.evidence.cite(&keys::CPU_STEAL, &subject);
        drafts.push(
            Draft::new(
                subject.clone(),
                Severity::Warn,
                format!(
                    "{:.0} % of the CPU time was stolen by the hypervisor",
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
        let limit = crate::profile::Profile::default().get("cpu-steal");
        let with = |value: f64| Set::new().put(&keys::CPU_STEAL, component("host"), value);
        assert_eq!(with(limit).status(&RULE).0, Status::Pass);
        assert_eq!(
            with(limit * 1.01).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
