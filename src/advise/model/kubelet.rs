//! Events of kubelets: their limit grew tenfold with 1.27, and a cluster may not be made for that.

use crate::catalog::releases::Version;
use crate::catalog::resources::is_events;
use crate::evidence::keys;
use crate::rules::Confidence;

use super::super::advice::{Advice, Disposition, Remedy, Strength};
use super::super::facts::Facts;
use super::pace::number;
use super::relief::percent;

/// From here on a kubelet may write 50 events a second, before that 5.
const TENFOLD: Version = Version::minor(1, 27);
/// The limits before that, event-qps and event-burst.
const FORMER: [(&str, &str, f64); 2] = [
    ("kubelet-event-qps", "event-qps", 5.0),
    ("kubelet-event-burst", "event-burst", 10.0),
];
/// Kubelets write most of the events when they write at least this share.
const MOST: f64 = 0.5;

/// The former limits, where kubelets are what floods etcd with events.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    let Some(finding) = facts.ails("events-dominate") else {
        return Vec::new();
    };
    let Some(share) = share(facts).filter(|share| *share >= MOST) else {
        return Vec::new();
    };
    let version = facts.version("kubelet").or_else(|| facts.kubernetes());
    if version.is_some_and(|span| span.newest < TENFOLD) {
        return Vec::new();
    }
    let mut all = Vec::new();
    for (id, setting, value) in FORMER {
        let now = facts.setting("kubelet", setting, None);
        let have = now.as_ref().and_then(super::super::facts::Current::least);
        // Zero is no limit at all.
        if have.is_some_and(|have| have > 0.0 && have <= value) {
            continue;
        }
        let mut advice =
            Advice::new(id, Remedy::Client, "kubelet", setting).detail("lowers", "true");
        advice.strength = if version.is_some() {
            Strength::Recommended
        } else {
            Strength::Candidate
        };
        advice.now = now.map(|now| now.words());
        advice.proposed = number(value);
        advice.why = format!(
            "{}, and kubelets write {} of them: from 1.27 on each may write 50 a second and 100 at \
             once, before that 5 and 10",
            finding.message,
            percent(share)
        );
        advice.effect = "a node in trouble no longer writes an event for each attempt".to_owned();
        advice.confidence = Confidence::Medium;
        advice.risk =
            "events beyond the limit are dropped by the kubelet and are seen nowhere. Each \
                       kubelet restarts: one node first, then in groups"
                .to_owned();
        advice.undo = format!("take {setting} out of the kubelets' configuration again");
        advice.verify = "writes of events a second in `etcd_requests_total`".to_owned();
        advice.disposition = Disposition::Disruptive;
        advice.finding_ids = vec!["events-dominate".to_owned()];
        advice.source =
            "kubernetes/kubelet config/v1beta1 by tag: eventRecordQPS 5 and eventBurst 10 up to 1.26, \
             50 and 100 from 1.27 on"
                .to_owned();
        all.push(advice);
    }
    all
}

/// Which share of the events that were written kubelets wrote, as the audit log tells.
fn share(facts: &Facts<'_>) -> Option<f64> {
    let (mut own, mut all) = (0.0, 0.0);
    for (_, table) in facts.all(&keys::LOGS_AUDIT_CLIENTS) {
        for row in &table.rows {
            let text = |column: &str| row.get_text(column).unwrap_or_default();
            if !is_events(text("resource"))
                || !matches!(text("verb"), "create" | "patch" | "update")
            {
                continue;
            }
            let n = row.get("requests").unwrap_or(0.0);
            all += n;
            // node-problem-detector and the like go by a node's name too; a kubelet says so.
            if text("user").starts_with("system:node:") && text("user_agent").starts_with("kubelet")
            {
                own += n;
            }
        }
    }
    (all > 0.0).then(|| own / all)
}
