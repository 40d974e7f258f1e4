//! Parts of etcd's memory are swapped out: touching them costs a disk read.

use crate::evidence::{Missing, keys};
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "swap-in-use",
    summary: "etcd is partly swapped out",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "swap-in-use",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("swap-in-use");
    let tables = cx.evidence.some(&keys::PROCESS_FACTS)?;
    cx.evidence.take_citations();
    let mut drafts = Vec::new();
    let mut looked = false;
    for (subject, table) in tables {
        let Some(value) = table.row("swap-bytes").and_then(|row| row.get("value")) else {
            continue;
        };
        looked = true;
        if value <= limit.value {
            continue;
        }
        let words = format!(
            "{} of etcd are swapped out",
            crate::evidence::number(value, crate::evidence::Unit::Bytes)
        );
        cx.evidence
            .cite_as(&keys::PROCESS_FACTS, &subject, words.clone());
        drafts.push(
            Draft::new(subject, Severity::Warn, words)
                .threshold(limit.words())
                .cites(cx.evidence.take_citations()),
        );
    }
    if !looked {
        return Err(Missing::NotEnough {
            why: "`swap-bytes` of etcd's process is not known".to_owned(),
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
        let limit = crate::profile::Profile::default().get("swap-in-use");
        let with = |value: f64| {
            Set::new().put(
                &keys::PROCESS_FACTS,
                component("etcd"),
                table(&[("swap-bytes", &[("value", value)])]),
            )
        };
        assert_eq!(
            with(limit + 1.0).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(with(limit).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
