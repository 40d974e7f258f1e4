//! Limits that the periodic look at all objects alone nearly uses up.

use crate::catalog::controllers::{Known, Role};
use crate::rules::Confidence;

use super::super::advice::{Advice, Remedy, Strength};
use super::super::facts::Facts;
use super::super::process::Process;
use super::knob::{disposition, place, undo};
use super::pace::{number, resync};

/// Share of a limit that looking at unchanged objects may take before changes run short of it.
const RESYNC_SHARE: f64 = 0.5;

/// A limit that the periodic look at all objects alone uses half of: the next wave of changes
/// meets it.
pub(super) fn headroom(facts: &Facts<'_>, process: &Process) -> Vec<Advice> {
    let Some(known) = process.known else {
        return Vec::new();
    };
    let (Some(qps_knob), Some(burst_knob), Some(step)) = (
        known.knob(Role::Qps),
        known.knob(Role::Burst),
        known.steps.first(),
    ) else {
        return Vec::new();
    };
    let set = process.knob(facts, qps_knob);
    let Some(qps) = set.number().filter(|qps| *qps > 0.0 && *qps < step.qps) else {
        return Vec::new();
    };
    if matches!(process.knows(qps_knob), Known::NotYet(_) | Known::Gone(_)) {
        return Vec::new();
    }
    let Some(load) = resync_load(facts, process).filter(|load| *load >= qps * RESYNC_SHARE) else {
        return Vec::new();
    };
    let Some(why) = resync(facts, process, qps) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for (knob, value, id) in [
        (qps_knob, step.qps, "qps"),
        (burst_knob, step.burst, "burst"),
    ] {
        let set = process.knob(facts, knob);
        let mut advice = Advice::new(
            format!("{}-{id}", process.short()),
            Remedy::ClientLimits,
            &process.name,
            set.name.clone(),
        );
        advice.strength = Strength::Candidate;
        advice.now = set.words();
        advice.proposed = number(value);
        advice.why = format!("{why}; no wait was seen yet");
        advice.effect = format!(
            "the periodic look takes {:.0} % of the limit, and the rest is for changes",
            load / step.qps * 100.0
        );
        advice.confidence = Confidence::Medium;
        advice.risk =
            "more requests may reach kube-apiserver and etcd in a wave of changes".to_owned();
        advice.undo = undo(&set, known);
        advice.verify = "no client-side throttling in its log when many objects change".to_owned();
        advice.disposition = disposition(process, &set, known);
        advice.source = format!("{}; {}", step.source, known.source);
        all.push(place(advice, process, knob, &set));
    }
    all
}

/// Requests a second that looking at every object once each sync period asks for.
fn resync_load(facts: &Facts<'_>, process: &Process) -> Option<f64> {
    let known = process.known?;
    let period = process.knob(facts, known.knob(Role::SyncPeriod)?);
    let text = period.now.as_ref()?.texts().next()?.to_owned();
    let secs = crate::units::parse_go_duration(text.as_bytes())? as f64 / 1e9;
    let count = known
        .objects
        .iter()
        .find_map(|resource| facts.objects(resource))?;
    (secs > 0.0).then(|| count / secs * process.requests_each().unwrap_or(1.0))
}
