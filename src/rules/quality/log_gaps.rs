//! The log has holes: what happened meanwhile is not known.

use crate::evidence::{Missing, Subject, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::units::format_ms;

/// The rule.
pub static RULE: Rule = Rule {
    id: "log-gaps",
    summary: "a component's log has a hole",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "log-gaps",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("log-gap");
    let cluster = Subject::cluster();
    let table = cx.evidence.get(&keys::LOGS_COVERAGE, &cluster)?;
    cx.evidence.take_citations();
    let mut drafts = Vec::new();
    for (row, gap) in table.top("max_gap_secs") {
        // A healthy etcd writes something at each compaction; the others may be silent for long.
        if !row.key.starts_with("etcd") || gap * 1e3 <= limit.value {
            continue;
        }
        let words = format!(
            "nothing in the log of {} for {}",
            row.key,
            format_ms(gap * 1e3)
        );
        cx.evidence
            .cite_as(&keys::LOGS_COVERAGE, &cluster, words.clone());
        drafts.push(
            Draft::new(cluster.clone(), Severity::Info, words)
                .confidence(Confidence::Medium)
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
    use crate::rules::testing::{Set, table};

    #[test]
    fn only_etcd_writes_steadily() {
        let limit = crate::profile::Profile::default().get("log-gap") / 1e3;
        let with = |component: &str, gap: f64| {
            Set::new().put(
                &keys::LOGS_COVERAGE,
                Subject::cluster(),
                table(&[(component, &[("max_gap_secs", gap)])]),
            )
        };
        assert_eq!(with("etcd", limit).status(&RULE).0, Status::Pass);
        assert_eq!(
            with("etcd", limit + 1.0).status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(
            with("kube-scheduler", limit + 1.0).status(&RULE).0,
            Status::Pass
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
