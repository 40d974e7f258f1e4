//! The CPU saves power: it wakes up slowly for each of etcd's short bursts.

use crate::evidence::{Missing, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "cpu-governor-slow",
    summary: "the CPU governor saves power",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "cpu-governor-slow",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let tables = cx.evidence.some(&keys::HOST_SETTINGS)?;
    cx.evidence.take_citations();
    let mut drafts = Vec::new();
    let mut looked = false;
    for (subject, table) in tables {
        let Some(governor) = table.row("governor").and_then(|row| row.get_text("value")) else {
            continue;
        };
        looked = true;
        if !governor
            .split([' ', ','])
            .any(|word| matches!(word, "powersave" | "conservative"))
        {
            continue;
        }
        let words = format!("the CPU governor is {governor}");
        cx.evidence
            .cite_as(&keys::HOST_SETTINGS, &subject, words.clone());
        drafts.push(
            Draft::new(subject, Severity::Info, words)
                // Drivers that steer themselves (intel_pstate) call a fast mode powersave too.
                .confidence(Confidence::Low)
                .threshold("etcd tuning guide: governor performance")
                .cites(cx.evidence.take_citations()),
        );
    }
    if !looked {
        return Err(Missing::NotEnough {
            why: "the CPU governor is not known".to_owned(),
        });
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Row, Table};
    use crate::rules::Status;
    use crate::rules::testing::{Set, component};

    #[test]
    fn only_saving_governors() {
        let with = |governor: &str| {
            let rows = vec![Row::new("governor").text("value", governor)];
            Set::new().put(
                &keys::HOST_SETTINGS,
                component("host"),
                Table {
                    rows,
                    ..Table::default()
                },
            )
        };
        assert_eq!(
            with("powersave").status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(with("performance").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
