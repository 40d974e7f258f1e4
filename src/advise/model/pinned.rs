//! Loops whose rate is that of a bucket, and not that of the changes: the retry bucket of the work
//! queue, which no QPS touches, and the queue's own rate where there is a knob for it.

use crate::catalog::controllers::Role;
use crate::evidence::keys;
use crate::rules::Confidence;
use crate::units::format_ms;

use super::super::advice::{Advice, Disposition, Remedy};
use super::super::facts::Facts;
use super::super::process::{Loop, Process};
use super::client::slug;
use super::knob::place;
use super::pace::number;

/// client-go's bucket for retries.
const RETRY_BUCKET: f64 = 10.0;
/// How close to a limit a rate must be to be held by it.
const NEAR: f64 = 0.06;
/// A rate that moves by less than this share from scrape to scrape is steady.
const STEADY: f64 = 0.15;

fn near(value: f64, limit: f64) -> bool {
    limit > 0.0 && (value - limit).abs() <= limit * NEAR
}

/// Whether the rates of a queue stay the same from scrape to scrape; `None` with fewer than two
/// pairs of scrapes.
fn steady(facts: &Facts<'_>, process: &Process, queue: &str, column: &str) -> Option<bool> {
    let rates: Vec<f64> = facts
        .all(&keys::WORKQUEUE_PHASES)
        .iter()
        .filter(|(subject, _)| process.names.contains(&subject.name))
        .flat_map(|(_, table)| table.rows.clone())
        .filter(|row| row.get_text("queue") == Some(queue))
        .filter(|row| row.get("secs").is_some_and(|secs| secs >= 5.0))
        .filter_map(|row| row.get(column))
        .collect();
    if rates.len() < 2 {
        return None;
    }
    let (least, most) = rates.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), rate| {
        (a.min(*rate), b.max(*rate))
    });
    Some(most > 0.0 && (most - least) / most <= STEADY)
}

/// Loops whose rate is that of a bucket, and not that of the changes.
pub(super) fn pinned(facts: &Facts<'_>, process: &Process) -> Vec<Advice> {
    let mut all = Vec::new();
    // The parts of Kubernetes use their queues as they should; a rate of theirs near ten is chance.
    if process
        .known
        .is_some_and(|known| known.id.starts_with("kube"))
    {
        return all;
    }
    let queue_knob = process.known.and_then(|known| known.knob(Role::QueueQps));
    let set = queue_knob.map(|knob| process.knob(facts, knob));
    let configured = set.as_ref().and_then(super::super::process::Set::number);
    for one in &process.loops {
        let limit = configured.unwrap_or(RETRY_BUCKET);
        let Some((rate, column)) = held(one, limit).or_else(|| held(one, RETRY_BUCKET)) else {
            continue;
        };
        // One number near a limit is chance; a rate that does not move, or a queue that waits
        // behind it, is not.
        let waiting = one.depth >= facts.limit("workqueue-depth");
        match steady(facts, process, &one.name, column) {
            Some(false) => continue,
            // Changes may come ten a second by chance; then nothing waits.
            _ if !waiting && column != "retries_per_sec" => continue,
            None if !waiting => continue,
            _ => {}
        }
        let known_limit = if near(rate, limit) {
            limit
        } else {
            RETRY_BUCKET
        };
        all.extend(match (queue_knob, &set) {
            (Some(_), Some(_)) => queue_rate(facts, process, one, rate, known_limit),
            // The rule about retries has the same to say of retries alone.
            _ if column == "retries_per_sec" => Vec::new(),
            _ => vec![bucket(process, one, rate, known_limit)],
        });
    }
    all
}

/// The rate of a loop that equals a limit, and the column that shows it.
fn held(one: &Loop, limit: f64) -> Option<(f64, &'static str)> {
    for (rate, column) in [
        (one.retries_per_sec, "retries_per_sec"),
        (one.adds_per_sec, "adds_per_sec"),
        (one.per_sec, "adds_per_sec"),
    ] {
        if let Some(rate) = rate.filter(|rate| near(*rate, limit)) {
            return Some((rate, column));
        }
    }
    None
}

/// The queue's own rate, where the controller has a knob for it.
fn queue_rate(
    facts: &Facts<'_>,
    process: &Process,
    one: &Loop,
    rate: f64,
    limit: f64,
) -> Vec<Advice> {
    let Some(known) = process.known.filter(|_| facts.first_cause().is_none()) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    let step = known.steps.first();
    for (role, id) in [
        (Role::QueueQps, "queue-qps"),
        (Role::QueueBurst, "queue-burst"),
    ] {
        let (Some(knob), Some(step)) = (known.knob(role), step) else {
            continue;
        };
        let set = process.knob(facts, knob);
        let value = match role {
            Role::QueueQps => step.qps,
            _ => step.burst,
        };
        // A default that was read would not pin the queue: the program is older than the knob.
        let have = set.number().filter(|_| set.set);
        if have.is_some_and(|have| have >= value) {
            continue;
        }
        let mut advice = Advice::new(
            format!("{}-{id}", process.short()),
            Remedy::ClientLimits,
            &process.name,
            set.name.clone(),
        );
        advice.now = if set.set {
            set.words()
        } else {
            Some(format!(
                "not set; its queue goes at {} a second",
                number(rate)
            ))
        };
        advice.proposed = number(value);
        advice.why = format!(
            "the loop `{}` is pinned: {} a second, whatever there is to do, which is the bucket of \
             its work queue ({} a second){}; the QPS of its client does not touch that bucket",
            one.name,
            number(rate),
            number(limit),
            if one.depth > 0.0 {
                format!(", while up to {:.0} keys wait", one.depth)
            } else {
                String::new()
            }
        );
        advice.effect = format!(
            "up to {} objects a second are taken from the queue{}",
            number(step.qps),
            if one.depth > 0.0 {
                format!(
                    ": a backlog as seen drains in {} instead of {}",
                    format_ms((one.depth / step.qps) * 1e3),
                    format_ms((one.depth / rate.max(0.1)) * 1e3)
                )
            } else {
                String::new()
            }
        );
        advice.confidence = Confidence::High;
        advice.risk = format!(
            "more requests reach kube-apiserver: raise the client's QPS with it, or that binds \
             next. Releases older than the knob ignore it: look that the rate moves{}",
            knob.helm.as_ref().map_or_else(String::new, |helm| format!(
                "; set it as `{helm}` of its chart"
            ))
        );
        advice.undo = format!("set {} back to the value above", set.name);
        advice.verify = format!(
            "`workqueue_adds_total{{name=\"{}\"}}` grows by more than {} a second while keys wait",
            one.name,
            number(limit)
        );
        advice.disposition = if set.set {
            Disposition::Disruptive
        } else {
            Disposition::ShowOnly
        };
        advice.finding_ids = facts.failing(&["retries-plateau", "workqueue-backlog"]);
        advice.source = format!("{}; {}", step.source, known.source);
        all.push(place(advice, process, knob, &set));
    }
    if let Some(client) = client_with_queue(facts, process) {
        all.extend(client);
    }
    all
}

/// The client's own limit, raised with the queue's where it is lower than what the queue asks for.
fn client_with_queue(facts: &Facts<'_>, process: &Process) -> Option<Vec<Advice>> {
    let known = process.known?;
    let step = known.steps.first()?;
    if process.throttled {
        // The model of limits says it with more evidence.
        return None;
    }
    let mut all = Vec::new();
    for (role, id, value) in [
        (Role::Qps, "qps", step.qps),
        (Role::Burst, "burst", step.burst),
    ] {
        let knob = known.knob(role)?;
        let set = process.knob(facts, knob);
        if !set.set || set.number().is_none_or(|have| have >= value) {
            continue;
        }
        let mut advice = Advice::new(
            format!("{}-{id}", process.short()),
            Remedy::ClientLimits,
            &process.name,
            set.name.clone(),
        );
        advice.now = set.words();
        advice.proposed = number(value);
        advice.why = "goes with the queue's rate: each object taken from the queue takes one \
                      request or more, so the lower of the two binds"
            .to_owned();
        advice.effect = format!("{} requests a second for the operator", number(step.qps));
        advice.risk = format!(
            "more requests reach kube-apiserver and etcd{}",
            knob.helm.as_ref().map_or_else(String::new, |helm| format!(
                "; set it as `{helm}` of its chart"
            ))
        );
        advice.undo = format!("set {} back to the value above", set.name);
        advice.verify = "no client-side throttling in its log".to_owned();
        advice.disposition = Disposition::Disruptive;
        advice.source = format!("{}; {}", step.source, known.source);
        all.push(place(advice, process, knob, &set));
    }
    Some(all)
}

/// A bucket that no knob reaches.
fn bucket(process: &Process, one: &Loop, rate: f64, limit: f64) -> Advice {
    let mut advice = Advice::new(
        format!("pinned-{}-{}", process.short(), slug(&one.name)),
        Remedy::Client,
        &process.name,
        format!("rate of the queue `{}`", one.name),
    );
    advice.now = Some(format!("{} a second, always", number(rate)));
    advice.proposed = "enqueue changes with Add and keep AddRateLimited for errors, or give the \
                       queue a limiter of its own"
        .to_owned();
    advice.why = format!(
        "the loop `{}` is pinned at {} a second, the bucket of client-go's work queue ({} a \
         second); QPS and burst of the client do not touch that bucket",
        one.name,
        number(rate),
        number(limit)
    );
    advice.effect = "changes are worked on as they come".to_owned();
    advice.risk = "more requests reach kube-apiserver".to_owned();
    advice.undo = "roll the controller back to its former version".to_owned();
    advice.verify = format!(
        "`workqueue_adds_total{{name=\"{}\"}}` follows the changes",
        one.name
    );
    advice.source =
        "client-go util/workqueue/default_rate_limiters.go: bucket of 10/s, burst 100".to_owned();
    advice
}
