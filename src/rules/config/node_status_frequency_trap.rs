//! nodeStatusUpdateFrequency is written out in a KubeletConfiguration: then the report frequency follows it, and
//! every node writes its full status every ten seconds instead of every five minutes.
//!
//! The flag does not do that: defaults are filled in where a configuration file is decoded, and flags are laid over
//! what came of it (kubernetes: pkg/kubelet/apis/config/v1beta1/defaults.go, cmd/kubelet/app/server.go).

use crate::evidence::Missing;
use crate::rules::settings;
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "node-status-frequency-trap",
    summary: "every node writes its full status every few seconds",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "node-status-frequency-trap",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let updates = settings::of(
        cx,
        "kubelet",
        &["nodeStatusUpdateFrequency", "node-status-update-frequency"],
    )?;
    let reports = settings::of(cx, "kubelet", &["nodeStatusReportFrequency"])?;
    let mut drafts = Vec::new();
    for update in updates.into_iter().filter(|update| update.source == "file") {
        let reported = reports
            .iter()
            .any(|report| report.subject == update.subject && report.is_set());
        let often = update.ms().is_some_and(|ms| ms > 0.0 && ms < 300_000.0);
        if reported || !often {
            continue;
        }
        settings::cite(cx, &update, "nodeStatusUpdateFrequency");
        drafts.push(
            Draft::new(
                update.subject.clone(),
                Severity::Info,
                format!(
                    "nodeStatusUpdateFrequency is set to {}, so nodeStatusReportFrequency is too: \
                     the full status is written that often",
                    update.value
                ),
            )
            .threshold(
                "kubelet: nodeStatusReportFrequency is 5m unless nodeStatusUpdateFrequency is set",
            )
            .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::keys;
    use crate::rules::Status;
    use crate::rules::settings::testing::settings;
    use crate::rules::testing::{Set, component};

    #[test]
    fn only_when_written_out_alone() {
        let with = |rows: &[(&str, &str, &str)]| {
            Set::new().put(&keys::SETTINGS, component("kubelet"), settings(rows))
        };
        let set = ("nodeStatusUpdateFrequency", "10s", "file");
        assert_eq!(with(&[set]).status(&RULE), (Status::Fail, Severity::Info));
        assert_eq!(
            with(&[set, ("nodeStatusReportFrequency", "5m", "file")])
                .status(&RULE)
                .0,
            Status::Pass
        );
        assert_eq!(
            with(&[("nodeStatusUpdateFrequency", "10s", "default")])
                .status(&RULE)
                .0,
            Status::Pass
        );
        // A flag leaves the report frequency at its default.
        assert_eq!(
            with(&[("node-status-update-frequency", "4s", "flag")])
                .status(&RULE)
                .0,
            Status::Pass
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
