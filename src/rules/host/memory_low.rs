//! The node has little memory left: the page cache of etcd's database goes first, then the OOM
//! killer comes.

use crate::evidence::{Missing, keys};
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "memory-low",
    summary: "the node has little memory left",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "memory-low",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("memory-available");
    let mut drafts = Vec::new();
    for (subject, share) in cx.evidence.some(&keys::MEM_AVAILABLE)? {
        if share >= limit.value {
            continue;
        }
        cx.evidence.cite(&keys::MEM_AVAILABLE, &subject);
        drafts.push(
            Draft::new(
                subject,
                Severity::Warn,
                match share < 0.01 {
                    true => "less than 1 % of the memory is available".to_owned(),
                    false => format!("{:.0} % of the memory is available", share * 100.0),
                },
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
        let limit = crate::profile::Profile::default().get("memory-available");
        let with = |share: f64| Set::new().put(&keys::MEM_AVAILABLE, component("host"), share);
        assert_eq!(with(limit).status(&RULE).0, Status::Pass);
        assert_eq!(
            with(limit - 0.001).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        let message = with(0.004).check(&RULE)[0].message.clone();
        assert_eq!(message, "less than 1 % of the memory is available");
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
