//! What holds a controller, in numbers and words: its waits, both bounds of its loops, and what its
//! periodic look at all objects asks for.

use crate::catalog::controllers::Role;
use crate::evidence::keys;
use crate::units::format_ms;

use super::super::facts::Facts;
use super::super::process::Process;

/// A number without needless digits.
pub(super) fn number(n: f64) -> String {
    if n.fract() == 0.0 {
        format!("{n:.0}")
    } else {
        let text = format!("{n:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// How much it waits, in words.
pub(super) fn waits(process: &Process) -> Vec<String> {
    let (wait, name) = (&process.wait, &process.name);
    let mut parts = Vec::new();
    if let Some((low, high)) = wait.p99_ms {
        parts.push(if high.is_finite() {
            format!(
                "{name} waits for its own limiter: p99 between {} and {}",
                format_ms(low),
                format_ms(high)
            )
        } else {
            format!(
                "{name} waits for its own limiter: p99 above {}",
                format_ms(low)
            )
        });
    }
    if wait.lines > 0.0 {
        let whose = if parts.is_empty() {
            format!("the log of {name}")
        } else {
            "its log".to_owned()
        };
        parts.push(format!(
            "{whose} has at least {:.0} lines of client-side throttling, the longest wait {}{}",
            wait.lines,
            format_ms(wait.max_ms),
            match &wait.request {
                Some(request) => format!(", mostly {request}"),
                None => String::new(),
            }
        ));
    }
    parts
}

/// Both bounds of its busiest loops, where they were measured.
pub(super) fn bounds(facts: &Facts<'_>, process: &Process) -> Vec<String> {
    let qps = process
        .known
        .and_then(|known| known.knob(Role::Qps))
        .and_then(|knob| process.knob(facts, knob).number());
    let mut parts = Vec::new();
    for bound in super::workers::bounds(facts, process, qps)
        .into_iter()
        .take(2)
    {
        parts.extend(bound.words());
    }
    parts
}

/// Both bounds of one loop in words.
pub(super) fn bounds_of(facts: &Facts<'_>, process: &Process, name: &str) -> Option<String> {
    let qps = process
        .known
        .and_then(|known| known.knob(Role::Qps))
        .and_then(|knob| process.knob(facts, knob).number());
    super::workers::bounds(facts, process, qps)
        .into_iter()
        .find(|bound| bound.name == name)?
        .words()
}

/// What looking at every object once each sync period asks for, where both are known.
pub(super) fn resync(facts: &Facts<'_>, process: &Process, qps: f64) -> Option<String> {
    let known = process.known?;
    let period = process.knob(facts, known.knob(Role::SyncPeriod)?);
    let text = period.now.as_ref()?.texts().next()?.to_owned();
    let secs = crate::units::parse_go_duration(text.as_bytes())? as f64 / 1e9;
    let (resource, count) = known
        .objects
        .iter()
        .find_map(|resource| Some((resource, facts.objects(resource)?)))?;
    if secs <= 0.0 {
        return None;
    }
    let per_sec = count / secs;
    let (requests, how) = match process.requests_each() {
        Some(each) => (per_sec * each, format!("at {} requests each", number(each))),
        None => (
            per_sec,
            "at one request each, the least there can be".to_owned(),
        ),
    };
    Some(format!(
        "{count:.0} {resource} looked at every {text} are {} reconciles a second without any \
         change, and {how} {:.0} % of the limit of {}",
        number(per_sec),
        requests / qps * 100.0,
        number(qps)
    ))
}

/// Mean time of a call as kube-apiserver measured it, watches left out.
pub(in super::super) fn mean_latency(facts: &Facts<'_>) -> Option<f64> {
    let table = facts.summed(&keys::APISERVER_REQUESTS)?;
    let (mut secs, mut count) = (0.0, 0.0);
    for row in &table.rows {
        let verb = row.key.split(' ').next().unwrap_or_default();
        if !matches!(verb, "WATCH" | "CONNECT") {
            secs += row.get("total_secs").unwrap_or(0.0);
            count += row.get("requests").unwrap_or(0.0);
        }
    }
    (count > 0.0 && secs > 0.0).then(|| secs / count * 1e3)
}
