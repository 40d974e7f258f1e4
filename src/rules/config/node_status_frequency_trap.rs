//! nodeStatusUpdateFrequency is written out in a KubeletConfiguration: then the report frequency follows it, and
//! every node writes its full status every ten seconds instead of every five minutes. The writes that
//! kube-apiserver counts tell it without the kubelets' files.
//!
//! The flag does not do that: defaults are filled in where a configuration file is decoded, and flags are laid over
//! what came of it (kubernetes: pkg/kubelet/apis/config/v1beta1/defaults.go, cmd/kubelet/app/server.go).

use crate::evidence::{Missing, Subject, SubjectKind, keys};
use crate::rules::settings;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "node-status-frequency-trap",
    summary: "every node writes its full status every few seconds",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "node-status-frequency-trap",
    check,
};

/// How kubelets write it (kubernetes: pkg/util/node, PatchNodeStatus).
const WRITES: &str = "PATCH nodes/status";

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let written = written(cx);
    match (written, by_settings(cx)) {
        (Ok(None), Err(why)) | (Err(_), Err(why)) => Err(why),
        (Ok(Some(draft)), Err(_)) => Ok(Verdict::fail(draft)),
        (written, Ok(mut drafts)) => {
            drafts.extend(written.ok().flatten());
            Ok(Verdict::Fail(drafts))
        }
    }
}

/// What kube-apiserver counts: status writes of all nodes beside their number.
fn written(cx: &Context<'_>) -> Result<Option<Draft>, Missing> {
    let tables = cx.evidence.some(&keys::APISERVER_REQUESTS)?;
    cx.evidence.take_citations();
    // Each kube-apiserver counts its own requests, and all of them the same nodes.
    let mut rate = 0.0;
    let mut counted = Vec::new();
    for (subject, table) in &tables {
        if let Some(own) = table.row(WRITES).and_then(|row| row.get("per_sec")) {
            rate += own;
            counted.push((subject, own));
        }
    }
    let objects = cx.evidence.all(&keys::APISERVER_OBJECTS);
    let nodes = objects
        .iter()
        .filter_map(|(_, table)| table.row("nodes")?.get("last_objects"));
    let nodes = nodes.fold(0.0, f64::max);
    let limit = cx.profile.limit("node-status-interval");
    if nodes < cx.profile.get("node-status-nodes") || rate * limit.value / 1e3 < nodes {
        return Ok(None);
    }
    for (subject, own) in counted {
        let words = format!("{WRITES} {own:.1}/s");
        cx.evidence
            .cite_as(&keys::APISERVER_REQUESTS, subject, words);
    }
    let words = format!(
        "{nodes:.0} nodes write their status {rate:.1} times a second: each one every {:.0} s, where 5 min is \
         the default",
        nodes / rate
    );
    Ok(Some(
        Draft::new(
            Subject::new(SubjectKind::Resource, "nodes"),
            Severity::Warn,
            words,
        )
        .confidence(Confidence::High)
        .threshold(limit.words())
        .cites(cx.evidence.take_citations()),
    ))
}

fn by_settings(cx: &Context<'_>) -> Result<Vec<Draft>, Missing> {
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
    Ok(drafts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::settings::testing::settings;
    use crate::rules::testing::{Set, component, table};

    #[test]
    fn the_rate_tells_it_without_the_files() {
        let secs = crate::profile::Profile::default().get("node-status-interval") / 1e3;
        let with = |nodes: f64, rate: f64| {
            let about = || component("kube-apiserver");
            let writes = table(&[(WRITES, &[("per_sec", rate)])]);
            let objects = table(&[("nodes", &[("last_objects", nodes)])]);
            Set::new()
                .put(&keys::APISERVER_REQUESTS, about(), writes)
                .put(&keys::APISERVER_OBJECTS, about(), objects)
                .status(&RULE)
        };
        assert_eq!(with(5000.0, 5000.0 / secs), (Status::Fail, Severity::Warn));
        assert_eq!(with(5000.0, 4999.0 / secs).0, Status::Unknown);
        // Three nodes that start write as often.
        assert_eq!(with(3.0, 1.0).0, Status::Unknown);
    }

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
