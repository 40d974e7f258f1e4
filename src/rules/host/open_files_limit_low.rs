//! etcd may open few files: every client connection is one.

use crate::evidence::{Missing, keys};
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "open-files-limit-low",
    summary: "etcd may open few files",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "open-files-limit-low",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("open-files");
    let tables = cx.evidence.some(&keys::PROCESS_FACTS)?;
    cx.evidence.take_citations();
    let mut drafts = Vec::new();
    let mut looked = false;
    for (subject, table) in tables {
        let Some(value) = table.row("nofile").and_then(|row| row.get("value")) else {
            continue;
        };
        looked = true;
        if value > limit.value {
            continue;
        }
        let words = format!("etcd may open {value:.0} files");
        cx.evidence
            .cite_as(&keys::PROCESS_FACTS, &subject, words.clone());
        drafts.push(
            Draft::new(subject, Severity::Info, words)
                .threshold(limit.words())
                .cites(cx.evidence.take_citations()),
        );
    }
    if !looked {
        return Err(Missing::NotEnough {
            why: "`nofile` of etcd's process is not known".to_owned(),
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
        let limit = crate::profile::Profile::default().get("open-files");
        let with = |value: f64| {
            Set::new().put(
                &keys::PROCESS_FACTS,
                component("etcd"),
                table(&[("nofile", &[("value", value)])]),
            )
        };
        assert_eq!(with(limit).status(&RULE), (Status::Fail, Severity::Info));
        assert_eq!(with(limit + 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
