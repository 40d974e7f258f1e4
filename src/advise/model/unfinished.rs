//! A second etcd for events that some kube-apiservers use and others do not.

use crate::rules::Confidence;

use super::super::advice::{Advice, Disposition, Remedy, Strength};
use super::super::facts::Facts;
use super::overrides::{Overrides, SETTING};
use super::shard::livez;

/// Events that some kube-apiservers already look for in a second etcd, and others in main etcd: a
/// roll-out that was not finished. Which of two different places is right, nobody here knows.
pub(super) fn advise(facts: &Facts<'_>, overrides: &Overrides) -> Option<Advice> {
    let split = overrides.split_of("/events")?;
    let entry = split.entry.as_ref()?;
    let mut advice = Advice::new("shard-events", Remedy::Shard, "kube-apiserver", SETTING)
        .detail("resource", "events");
    let (with, without) = (split.with.join(", "), split.without.join(", "));
    advice.strength = Strength::Recommended;
    advice.finding_ids = vec!["overrides-invalid".to_owned()];
    advice.now = Some(format!(
        "the override of /events is on {with} and not on {without}"
    ));
    advice.proposed = overrides.kept.join(",");
    advice.why = format!(
        "{with} keeps events in `{entry}`, {without} in main etcd: each shows its own events alone, \
         and neither shows those of the other. The roll-out of the second etcd was not finished"
    );
    advice.effect = "every kube-apiserver shows all new events".to_owned();
    advice.confidence = Confidence::High;
    advice.risk = format!(
        "An unreachable shard keeps kube-apiserver from starting: first see that every server in the \
         entry is well. {}",
        livez(facts, &[])
    );
    advice.undo = format!("Take the override out on {with} too; events written there are lost.");
    advice.verify = "`kubectl get events -A` shows the same on every kube-apiserver.".to_owned();
    advice.disposition = Disposition::Disruptive;
    advice.source =
        "k8s.io/apiserver pkg/server/options/etcd.go: each process reads its own flag".to_owned();
    Some(advice)
}
