//! The kernel logged I/O errors.

use crate::evidence::{Missing, keys};
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

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
        let kinds: Vec<String> = table
            .top("count")
            .iter()
            .filter(|(_, count)| *count > 0.0)
            .map(|(row, count)| format!("{count:.0}× {}", row.key))
            .collect();
        if kinds.is_empty() {
            continue;
        }
        cx.evidence
            .cite_as(&keys::KERNEL_IO_ERRORS, &subject, kinds.join(", "));
        drafts.push(
            Draft::new(
                subject,
                Severity::Critical,
                format!("the kernel logged {}", kinds.join(", ")),
            )
            .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, table};

    #[test]
    fn any_error_is_critical() {
        let with = |count: f64| {
            Set::new().put(
                &keys::KERNEL_IO_ERRORS,
                component("kernel"),
                table(&[("ext4-error", &[("count", count)])]),
            )
        };
        assert_eq!(with(1.0).status(&RULE), (Status::Fail, Severity::Critical));
        assert_eq!(with(0.0).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
