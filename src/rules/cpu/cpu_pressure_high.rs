//! Tasks of the host wait for a CPU. On its own this is information: it says nothing about etcd.

use crate::evidence::{Missing, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "cpu-pressure-high",
    summary: "tasks of the host wait for a CPU",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "cpu-pressure-high",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("cpu-pressure");
    let mut drafts = Vec::new();
    let mut looked = false;
    for (subject, table) in cx.evidence.some(&keys::PRESSURE)? {
        let Some(some) = table.row("cpu").and_then(|row| row.get("max_some")) else {
            continue;
        };
        looked = true;
        if some <= limit.value {
            continue;
        }
        let words = format!(
            "some task waited for a CPU {:.0} % of the time",
            some * 100.0
        );
        cx.evidence
            .cite_as(&keys::PRESSURE, &subject, words.clone());
        drafts.push(
            Draft::new(subject, Severity::Info, words)
                .confidence(Confidence::High)
                .threshold(limit.words())
                .cites(cx.evidence.take_citations()),
        );
    }
    if !looked {
        return Err(Missing::NotEnough {
            why: "what was read of the host's pressure holds nothing about its CPUs".to_owned(),
        });
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, table};

    #[test]
    fn both_sides_of_the_limit() {
        let limit = crate::profile::Profile::default().get("cpu-pressure");
        let with = |some: f64| {
            Set::new().put(
                &keys::PRESSURE,
                component("host"),
                table(&[("cpu", &[("max_some", some)])]),
            )
        };
        assert_eq!(with(limit).status(&RULE).0, Status::Pass);
        assert_eq!(
            with(limit + 0.01).status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
        // Only the disk's pressure was read.
        let other = table(&[("io", &[("max_some", 0.5)])]);
        let other = Set::new().put(&keys::PRESSURE, component("host"), other);
        assert_eq!(other.status(&RULE).0, Status::Unknown);
    }
}
