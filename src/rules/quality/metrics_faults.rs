//! A scrape is torn, empty or no metrics at all: its numbers were not used.

use crate::evidence::{Missing, keys};
use crate::rules::events;
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
        let faults: Vec<&str> = table
            .rows
            .iter()
            // A scrape without another one to compare it with is sound.
            .filter(|row| !row.key.starts_with("single-scrape"))
            .map(|row| row.get_text("fault").unwrap_or(&row.key))
            .collect();
        if faults.is_empty() {
            continue;
        }
        let words = format!(
            "{}: {}",
            events::counted(faults.len() as f64, "faults"),
            faults
                .iter()
                .take(3)
                .copied()
                .collect::<Vec<_>>()
                .join("; ")
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
        // The key holds the words as well.
        let fault = "a.prom: the scrape is torn";
        let row = Row::new("torn a.prom the scrape is torn").text("fault", fault);
        let single =
            Row::new("single-scrape b.prom the only one").text("fault", "b.prom: the only");
        let message = with(vec![single.clone(), row]).check(&RULE)[0]
            .message
            .clone();
        assert_eq!(message, "1 fault: a.prom: the scrape is torn");
        assert_eq!(with(vec![single]).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
