//! The kubelet's liveness probe can kill an etcd that is merely slow.

use crate::evidence::{Missing, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "liveness-probe-kills",
    summary: "the liveness probe can kill an etcd that is merely slow",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "liveness-probe-kills",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let threshold = cx.profile.limit("probe-failures");
    let timeout = cx.profile.limit("probe-timeout");
    let tables = cx.evidence.some(&keys::PROBES)?;
    cx.evidence.take_citations();
    let mut drafts = Vec::new();
    for (subject, table) in tables {
        if subject.name != "etcd" {
            continue;
        }
        let Some(row) = table.row("liveness") else {
            continue;
        };
        let path = row.get_text("path").unwrap_or_default();
        let failures = row.get("failure_threshold").unwrap_or(3.0);
        let seconds = row.get("timeout_secs").unwrap_or(1.0);
        // /livez does not ask the quorum; neither does /health with serializable=true.
        let quorum = path.starts_with("/health") && !path.contains("serializable=true");
        let patient = failures >= threshold.value && seconds * 1e3 >= timeout.value;
        let (severity, why) = match (quorum, patient) {
            (true, false) => (Severity::Warn, "asks for a quorum read and gives up soon"),
            (true, true) => (Severity::Info, "asks for a quorum read"),
            (false, false) if !path.is_empty() => (Severity::Info, "gives up soon"),
            _ => continue,
        };
        let words =
            format!("liveness probe {path} {why} (timeout {seconds:.0} s, {failures:.0} failures)");
        cx.evidence.cite_as(&keys::PROBES, &subject, words.clone());
        drafts.push(
            Draft::new(subject, severity, words)
                .confidence(Confidence::High)
                .threshold(threshold.words())
                .cites(cx.evidence.take_citations()),
        );
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
    fn quorum_and_patience() {
        let with = |path: &str, failures: f64, timeout: f64| {
            let row = Row::new("liveness")
                .text("path", path)
                .num("failure_threshold", failures)
                .num("timeout_secs", timeout);
            Set::new().put(
                &keys::PROBES,
                component("etcd"),
                Table {
                    rows: vec![row],
                    ..Table::default()
                },
            )
        };
        assert_eq!(
            with("/health", 3.0, 1.0).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(
            with("/health", 8.0, 15.0).status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(
            with("/health?exclude=NOSPACE&serializable=true", 8.0, 15.0)
                .status(&RULE)
                .0,
            Status::Pass
        );
        assert_eq!(
            with("/livez", 7.0, 15.0).status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(with("/livez", 8.0, 15.0).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
