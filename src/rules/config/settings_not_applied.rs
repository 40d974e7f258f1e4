//! What runs is not what the manifest says: a change waits for a restart, or was made by hand.

use crate::evidence::Missing;
use crate::rules::faults;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "settings-not-applied",
    summary: "a running process has other settings than its manifest",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "settings-not-applied",
    check,
};

const KINDS: &[&str] = &["not-applied", "drift", "two-definitions", "stray-manifest"];

/// Settings that are told in full. More than this that differ may be more than a pending change: the
/// process was started otherwise, or the file belongs to something else.
const MANY: usize = 3;

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let mut drafts = Vec::new();
    for (subject, all) in faults::by_subject(cx, KINDS)? {
        let severity = if all.iter().all(|fault| fault.weight == "note") {
            Severity::Info
        } else {
            Severity::Warn
        };
        let words = faults::in_words(cx, &all, MANY);
        drafts.push(
            Draft::new(subject, severity, words)
                .confidence(if all.len() > MANY {
                    Confidence::Medium
                } else {
                    Confidence::High
                })
                .threshold("the next start takes what the file says")
                .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Row, Table, keys};
    use crate::rules::Status;
    use crate::rules::faults::testing::fault;
    use crate::rules::testing::{Set, component};

    #[test]
    fn more_settings_that_differ_are_never_less_of_a_fault() {
        for count in 1..8 {
            let rows = (0..count).map(|n| {
                Row::new(format!("not-applied:s{n}"))
                    .text("kind", "not-applied")
                    .text("weight", "warn")
                    .text("fault", format!("s{n} is another"))
            });
            let table = Table {
                rows: rows.collect(),
                ..Table::default()
            };
            let found = Set::new()
                .put(&keys::SETTINGS_FAULTS, component("etcd"), table)
                .check(&RULE);
            assert_eq!(found[0].severity, Severity::Warn, "{count}");
            let told = found[0].message.contains("more");
            assert_eq!(told, count > MANY, "{}", found[0].message);
        }
    }

    #[test]
    fn the_kind_and_the_weight_decide() {
        assert_eq!(
            fault("not-applied", "warn").status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(
            fault("drift", "note").status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(fault("no-such-kind", "stop").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
