//! A scrape is torn, empty or no metrics at all: its numbers were not used.

use crate::evidence::{Missing, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "metrics-faults",
    summary: "a scrape of metrics is damaged or has a counter reset",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "metrics-faults",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let mut drafts = Vec::new();
    let tables = cx.evidence.some(&keys::METRICS_FAULTS)?;
    cx.evidence.take_citations();
    for (subject, table) in tables {
        let faults: Vec<String> = table
            .rows
            .iter()
            .take(3)
            .map(|row| {
                format!(
                    "{}: {}",
                    row.key,
                    row.get_text("fault").unwrap_or("damaged")
                )
            })
            .collect();
        if faults.is_empty() {
            continue;
        }
        let words = format!(
            "{} faults of scrapes: {}",
            table.rows.len(),
            faults.join("; ")
        );
        cx.evidence
            .cite_as(&keys::METRICS_FAULTS, &subject, words.clone());
        drafts.push(
            Draft::new(subject, Severity::Info, words)
                .confidence(Confidence::High)
                .threshold("what a scrape lacks or begins anew is not counted")
                .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Row, Subject, Table};
    use crate::rules::Status;
    use crate::rules::testing::Set;

    #[test]
    fn any_fault_is_told() {
        let with = |rows: Vec<Row>| {
            Set::new().put(
                &keys::METRICS_FAULTS,
                Subject::cluster(),
                Table {
                    rows,
                    ..Table::default()
                },
            )
        };
        assert_eq!(with(vec![]).status(&RULE).0, Status::Pass);
        let torn = with(vec![Row::new("a.prom").text("fault", "torn")]);
        assert_eq!(torn.status(&RULE), (Status::Fail, Severity::Info));
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
