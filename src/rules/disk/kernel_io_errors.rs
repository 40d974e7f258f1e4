//! The kernel logged I/O errors.

use std::collections::BTreeSet;

use crate::evidence::{Missing, Row, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "kernel-io-errors",
    summary: "the kernel logged I/O errors",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "kernel-io-errors",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let mut drafts = Vec::new();
    for (subject, table) in cx.evidence.some(&keys::KERNEL_IO_ERRORS)? {
        let mut told = |rows: Vec<(&Row, f64)>, severity, confidence, what: &str| {
            let kinds: Vec<String> = rows
                .iter()
                .map(|(row, count)| format!("{count:.0}× {}", row.key))
                .collect();
            if kinds.is_empty() {
                return;
            }
            let kinds = kinds.join(", ");
            cx.evidence
                .cite_as(&keys::KERNEL_IO_ERRORS, &subject, kinds.clone());
            drafts.push(
                Draft::new(
                    subject.clone(),
                    severity,
                    format!("the kernel logged {kinds}{what}"),
                )
                .confidence(confidence)
                .threshold("one such message of the kernel is one too many")
                .cites(cx.evidence.take_citations()),
            );
        };
        let top = table.top("count");
        let some = |count: &dyn Fn(&Row, f64) -> f64| -> Vec<(&Row, f64)> {
            top.iter()
                .map(|(row, all)| (*row, count(row, *all)))
                .filter(|(_, count)| *count > 0.0)
                .collect()
        };
        let own = |row: &Row| row.get("on_etcd_disk").unwrap_or(0.0);
        let elsewhere = |row: &Row| row.get("elsewhere").unwrap_or(0.0);
        let others: BTreeSet<&str> = top
            .iter()
            .filter_map(|(row, _)| row.get_text("others"))
            .flat_map(|names| names.split(','))
            .collect();
        let others: Vec<&str> = others.into_iter().collect();
        told(
            some(&|row, _| own(row)),
            Severity::Critical,
            Confidence::High,
            " on the device under etcd",
        );
        told(
            some(&|row, all| all - own(row) - elsewhere(row)),
            Severity::Critical,
            Confidence::Low,
            "; whether on the device under etcd is not known",
        );
        told(
            some(&|row, _| elsewhere(row)),
            Severity::Info,
            Confidence::High,
            &format!(" on {}, which is not under etcd", others.join(", ")),
        );
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Table;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, table};

    fn with(count: f64, own: f64, elsewhere: f64) -> Set {
        let cells = [
            ("count", count),
            ("on_etcd_disk", own),
            ("elsewhere", elsewhere),
        ];
        let all = table(&[("io-error", &cells)]);
        let rows = all.rows.into_iter().map(|row| row.text("others", "sdz"));
        Set::new().put(
            &keys::KERNEL_IO_ERRORS,
            component("kernel"),
            Table {
                rows: rows.collect(),
                ..Table::default()
            },
        )
    }

    #[test]
    fn an_error_under_etcd_is_critical() {
        let set = with(1.0, 1.0, 0.0);
        assert_eq!(set.status(&RULE), (Status::Fail, Severity::Critical));
        assert_eq!(set.check(&RULE)[0].confidence, Confidence::High);
        assert_eq!(with(0.0, 0.0, 0.0).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn an_error_of_another_device_is_a_note_that_names_it() {
        let set = with(2.0, 0.0, 2.0);
        assert_eq!(set.status(&RULE), (Status::Fail, Severity::Info));
        let message = &set.check(&RULE)[0].message;
        assert!(
            message.contains("sdz, which is not under etcd"),
            "{message}"
        );
    }

    #[test]
    fn where_the_device_is_not_known_it_is_a_hint() {
        let set = with(1.0, 0.0, 0.0);
        assert_eq!(set.status(&RULE), (Status::Fail, Severity::Critical));
        assert_eq!(set.check(&RULE)[0].confidence, Confidence::Low);
        assert!(set.check(&RULE)[0].message.contains("is not known"));
        // Each class is told apart.
        let all = with(6.0, 1.0, 2.0).check(&RULE);
        let messages: Vec<&str> = all.iter().map(|found| found.message.as_str()).collect();
        assert_eq!(messages.len(), 3, "{messages:?}");
        for count in ["1× io-error on", "2× io-error on sdz", "3× io-error;"] {
            assert!(messages.iter().any(|m| m.contains(count)), "{messages:?}");
        }
    }
}
