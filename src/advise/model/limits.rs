//! QPS and burst of clients that hold themselves back.
//!
//! Two bounds decide what a controller gets done: its QPS over the requests of one reconcile, and
//! its workers over the seconds of one reconcile. Raising one while the other binds does nothing,
//! so both are shown; `workers` has the other half.

use std::fmt::Write as _;

use crate::catalog::controllers::{Buckets, Controller, Knob, Known, Role};
use crate::catalog::settings::allowance;
use crate::diagnosis::Cause;
use crate::rules::{Confidence, Finding};
use crate::units::format_ms;

use super::super::advice::{Advice, Remedy, Strength};
use super::super::facts::Facts;
use super::super::process::{Process, Set};
use super::ask::{ANSWERED, Ask};
use super::headroom::headroom;
use super::knob::{disposition, place, remove_if_default, undo};
use super::pace::{bounds, number, resync, waits};
use super::pairs::Pair;
use super::unraised::{beyond, lacks, not_now, unknown_client};

/// client-go's limits where a program sets none.
const CLIENT_GO: (f64, f64) = (5.0, 10.0);

/// Advice for every client that holds itself back.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    let throttled = facts.ails("client-throttled").is_some()
        || facts.input.diagnosis.verdict.cause == Cause::ClientThrottling;
    facts
        .processes()
        .iter()
        .flat_map(|process| match facts.first_cause() {
            // Faster clients on a sick etcd make it sicker: its remedy comes first.
            Some(cause) if throttled && process.throttled => vec![not_now(process, cause)],
            Some(_) => Vec::new(),
            None if throttled && process.throttled => {
                let mut all = raise(facts, process);
                if let Some(ill) = facts.etcd_sick() {
                    for advice in &mut all {
                        only_then(advice, ill);
                    }
                }
                all
            }
            None if facts.etcd_ill().is_some() => Vec::new(),
            None => headroom(facts, process),
        })
        .collect()
}

/// While etcd itself is ill or slow, faster clients are no first remedy.
fn only_then(advice: &mut Advice, ill: &Finding) {
    if advice.strength != Strength::Refused {
        advice.strength = Strength::Candidate;
    }
    advice.why = format!(
        "{}; but first find out what is wrong with etcd ({})",
        advice.why, ill.message
    );
}

fn raise(facts: &Facts<'_>, process: &Process) -> Vec<Advice> {
    let knobs = process
        .known
        .and_then(|known| Some((known, known.knob(Role::Qps)?, known.knob(Role::Burst)?)));
    let Some((known, qps_knob, burst_knob)) = knobs else {
        return vec![unknown_client(process)];
    };
    let (qps_set, burst_set) = (
        process.knob(facts, qps_knob),
        process.knob(facts, burst_knob),
    );
    if let Known::NotYet(first) | Known::Gone(first) = process.knows(qps_knob)
        && !qps_set.set
    {
        return vec![lacks(process, qps_knob, first)];
    }
    let (oldest, newest) = process.span();
    let default = |knob: &Knob| -> Option<f64> { knob.default_for(oldest, newest)?.parse().ok() };
    // Of several nodes the one that is held most counts; below zero is no limit.
    let least = qps_set.now.as_ref().and_then(|now| {
        let allowed = |text| allowance("qps", text);
        now.texts().filter_map(allowed).min_by(f64::total_cmp)
    });
    let (Some(qps), Some(burst)) = (
        least.or_else(|| default(qps_knob)),
        burst_set.number().or_else(|| default(burst_knob)),
    ) else {
        return vec![unknown_client(process)];
    };
    if qps.is_infinite() {
        // The wait comes from elsewhere.
        return Vec::new();
    }
    // A chart's value that is not set, and a client that waits far below its default: the program
    // is older than the value, and has client-go's own limit.
    let older = !qps_set.set
        && qps_knob.helm.is_some()
        && process.client_rate.is_some_and(|rate| rate < qps * 0.5);
    let (qps, burst) = if older { CLIENT_GO } else { (qps, burst) };
    let ask = Ask::of(
        facts,
        process,
        known,
        default(qps_knob).zip(default(burst_knob)),
    );
    // A request that waits t seconds for a bucket filled q times a second stands behind t·q others.
    let backlog = ask.wait * qps;
    let Some(pair) = ask.raise((qps, burst)) else {
        return vec![beyond(process, known, qps, burst)];
    };
    // Had a lower limit been in force when this was recorded, would what is set now be its answer?
    // Then the waits may be older than the setting, and another raise would follow from nothing.
    let answered = (qps_set.set || burst_set.set) && ask.answered((qps, burst));
    // Requests that wait a second on average went through a bucket that was empty all along, at the
    // rate of the bucket: half of that was never measured under the limit that is set now.
    let slower = qps_set.set
        && default(qps_knob).is_some_and(|default| default <= qps)
        && process
            .wait
            .mean_ms
            .is_some_and(|mean| mean >= ask.target * 1e3)
        && process.client_rate.is_some_and(|rate| rate < qps * 0.5);
    let in_force = ask.in_force(process, qps);
    let raise = Raise {
        facts,
        process,
        known,
        qps,
        burst,
        backlog,
        pair,
        older,
        answered: slower || answered && !in_force,
        further: ask
            .default
            .is_some_and(|default| ask.above(default).is_some()),
    };
    let first = raise.one(qps_knob, &qps_set, qps, raise.pair.qps, "qps");
    let mut second = raise.one(
        burst_knob,
        &burst_set,
        burst,
        raise.pair.burst.max(burst),
        "burst",
    );
    let mut all = Vec::new();
    if raise.pair.qps > qps {
        second.why = format!(
            "goes with {}: a burst below it would hold back every wave of changes",
            qps_set.name
        );
        all.push(first);
    }
    if raise.pair.burst > burst {
        all.push(second);
    }
    all
}

/// What one raise is made from.
struct Raise<'a> {
    facts: &'a Facts<'a>,
    process: &'a Process,
    known: &'static Controller,
    qps: f64,
    burst: f64,
    backlog: f64,
    pair: Pair,
    /// The program is older than the knob.
    older: bool,
    /// The waits may be older than what is set, which would be their answer.
    answered: bool,
    /// There are published limits above the default.
    further: bool,
}

impl Raise<'_> {
    fn one(&self, knob: &Knob, set: &Set, old: f64, value: f64, id: &str) -> Advice {
        let mut advice = Advice::new(
            format!("{}-{id}", self.process.short()),
            Remedy::ClientLimits,
            &self.process.name,
            set.name.clone(),
        );
        advice.strength = self.strength(set, knob);
        advice.now = if self.older {
            Some(format!(
                "not set, and not the chart's default; as from {}",
                number(old)
            ))
        } else {
            let read = set.unread.is_none();
            set.words().or_else(|| read.then(|| number(old)))
        };
        advice.proposed = number(value);
        advice.why = self.why();
        if let Some(unread) = &set.unread {
            write!(
                advice.why,
                "; what is in force is not known, as {unread}: look there first, and leave a higher value alone"
            )
            .ok();
        }
        advice.effect = self.effect();
        advice.confidence = if self.process.wait.p99_ms.is_some() {
            Confidence::High
        } else {
            Confidence::Medium
        };
        advice.risk = self.risk(knob);
        advice.undo = undo(set, self.known);
        advice.verify = "no more client-side throttling in its log, and \
                         `rest_client_rate_limiter_duration_seconds` near zero, while etcd's \
                         request latency stays where it is"
            .to_owned();
        advice.disposition = disposition(self.process, set, self.known);
        advice.finding_ids =
            self.facts
                .failing(&["client-throttled", "client-qps-low", "workqueue-backlog"]);
        advice.source = format!("{}; {}", self.pair.source, self.known.source);
        let advice = place(advice, self.process, knob, set);
        remove_if_default(advice, self.process, knob, set, value, self.further)
    }

    fn strength(&self, set: &Set, knob: &Knob) -> Strength {
        let far = self.facts.nodes().is_none() && self.pair.qps > 100.0 && self.pair.size > 0;
        // A variable or a chart's value that an older program does not know does no harm.
        let harmless = knob.helm.is_some();
        let sure = set.now.is_some() || (harmless && set.read);
        if !sure
            || self.known.per_node
            || far
            || self.answered
            || self.process.knows(knob) == Known::Unknown && !set.set
        {
            Strength::Candidate
        } else {
            Strength::Recommended
        }
    }

    fn effect(&self) -> String {
        let whom = match self.known.buckets {
            Buckets::Process => "it",
            Buckets::Loop => "each of its loops",
            Buckets::Kind => "each kind of object that it asks for",
        };
        if self.pair.qps <= self.qps {
            return format!(
                "{} requests pass at once before the limit of {} a second holds {whom}, in place of \
                 {}; a longer backlog drains no faster",
                number(self.pair.burst),
                number(self.qps),
                number(self.burst)
            );
        }
        let mut text = format!(
            "{} requests a second for {whom}; a backlog as seen ({:.0} requests) drains in {} \
             instead of {}",
            number(self.pair.qps),
            self.backlog,
            format_ms(self.backlog / self.pair.qps * 1e3),
            format_ms(self.process.wait.max_ms),
        );
        if let Some(each) = self.process.requests_each() {
            write!(
                text,
                "; at {} requests a reconcile that allows {:.0} reconciles a second",
                number(each),
                self.pair.qps / each
            )
            .ok();
        }
        text.push_str(
            ". If its work queues stay deep after that, its workers bind: see its concurrency",
        );
        text
    }

    fn risk(&self, knob: &Knob) -> String {
        let latency = self.process.latency(self.facts);
        let (ms, from) = match latency {
            Some(ms) => (ms, "as measured"),
            None => (50.0, "assumed"),
        };
        let mut risk = format!(
            "more requests reach kube-apiserver and etcd: at {} each ({from}), {} a second hold \
             about {:.0} seats",
            format_ms(ms),
            number(self.pair.qps),
            (self.pair.qps * ms / 1e3).ceil()
        );
        if self.facts.has_cause(Cause::QueryLoad) {
            risk.push_str("; etcd is under load now, so do this after the remedies above");
        }
        if self.known.per_node {
            risk.push_str("; it runs on every node, so the load grows with their number");
        }
        if self.pair.size == 0 && self.known.steps.is_empty() && self.facts.nodes().is_none() {
            risk.push_str("; the number of nodes is not known, so no higher step is proposed");
        }
        if let Some(helm) = &knob.helm {
            write!(
                risk,
                "; set it as `{helm}` of its chart: an edit of the {} alone is lost with the next \
                 upgrade",
                self.known.kind
            )
            .ok();
        } else if self.known.kind == "Deployment" {
            risk.push_str(
                "; an upgrade by its installer writes the Deployment anew: set it there too",
            );
        }
        risk.push('.');
        risk
    }

    fn why(&self) -> String {
        let mut parts = waits(self.process);
        if let Some(rate) = self.process.client_rate.filter(|_| self.older) {
            parts.push(format!(
                "it sends {} requests a second, far below the chart's default: the program is \
                 older than this value, so upgrade the chart with it",
                number(rate)
            ));
        }
        parts.push(format!(
            "at {} requests a second that is a backlog of {:.0}",
            number(self.qps),
            self.backlog
        ));
        parts.push(format!(
            "the limit {}/{} holds for {}",
            number(self.qps),
            number(self.burst),
            self.known.buckets.whom()
        ));
        parts.extend(bounds(self.facts, self.process));
        parts.extend(resync(self.facts, self.process, self.qps));
        if self.process.name == "kube-controller-manager" {
            parts.push(format!(
                "a ReplicaSet's pod takes two requests (pod and event), so {} a second is {:.0} \
                 pods a second",
                number(self.qps),
                (self.qps / 2.0).max(0.0)
            ));
        }
        if self.answered {
            parts.push(ANSWERED.to_owned());
        }
        if let Some(slow) = self.facts.etcd_slow() {
            parts.push(format!("note that {slow}"));
        } else if self.facts.etcd_is_fast() {
            parts.push("etcd and kube-apiserver are not what it waits for".to_owned());
        } else {
            parts.push("whether etcd answers it in time was not seen".to_owned());
        }
        parts.join("; ")
    }
}
