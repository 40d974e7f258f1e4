//! QPS and burst of clients that hold themselves back.
//!
//! Two bounds decide what a controller gets done: its QPS over the requests of one reconcile, and
//! its workers over the seconds of one reconcile. Raising one while the other binds does nothing,
//! so both are shown; `workers` has the other half.

use std::fmt::Write as _;

use crate::catalog::controllers::{Buckets, Controller, Knob, Known, Role};
use crate::diagnosis::Cause;
use crate::rules::{Confidence, Finding};
use crate::units::format_ms;

use super::super::advice::{Advice, Disposition, Remedy, Strength};
use super::super::facts::Facts;
use super::super::process::{Process, Set};
use super::headroom::headroom;
use super::pace::{bounds, number, resync, waits};
use super::unraised::{beyond, lacks, not_now, unknown_client};

/// Published pairs of QPS and burst for one client, with the cluster size they were published
/// for. A proposal is always one of them, or one of the controller's own in the catalogue.
const STEPS: &[(f64, f64, u64, &str)] = &[
    (20.0, 30.0, 0, "kube-controller-manager default 20/30"),
    (50.0, 100.0, 0, "component-base default 50/100"),
    (
        100.0,
        100.0,
        0,
        "100/100: Kubernetes' own 5000-node scale tests, and Huawei CCE from 50 nodes on",
    ),
    (200.0, 200.0, 1000, "200/200: Huawei CCE above 1000 nodes"),
    (500.0, 500.0, 5000, "500/500: kOps' 5000-node scale test"),
];

/// Said where what is set may already be the answer to what was seen.
pub(super) const ANSWERED: &str = "what is set now would be the answer if all this was recorded \
                                   before it was set: restart it, record anew, and raise it only \
                                   if it still waits";

/// A client that sends this share of a limit is held by that limit.
const IN_FORCE: f64 = 0.8;
/// The slowest bucket that a backlog is reckoned from.
const LEAST_QPS: f64 = 1.0;

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
                if let Some(ill) = facts.etcd_ill() {
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

/// While etcd itself is ill for a reason that is not known, faster clients are no first remedy.
fn only_then(advice: &mut Advice, ill: &Finding) {
    advice.strength = Strength::Candidate;
    advice.why = format!(
        "{}; first find out why etcd itself is ill ({})",
        advice.why, ill.message
    );
}

/// A pair to propose.
struct Pair {
    qps: f64,
    burst: f64,
    /// Nodes for which it was published; 0 where that does not matter.
    size: u64,
    source: String,
}

/// The smallest published step that lets the longest wait fall below a second, within what was
/// published for this controller, or for the size of the cluster.
fn step(
    own: Option<&Controller>,
    qps: f64,
    burst: f64,
    backlog: f64,
    nodes: Option<u64>,
    target_secs: f64,
) -> Option<Pair> {
    let own_steps = own.map_or(&[][..], |own| own.steps.as_slice());
    let pairs: Vec<Pair> = if own_steps.is_empty() {
        STEPS
            .iter()
            .map(|(qps, burst, size, source)| Pair {
                qps: *qps,
                burst: *burst,
                size: *size,
                source: (*source).to_owned(),
            })
            .collect()
    } else {
        own_steps
            .iter()
            .map(|step| Pair {
                qps: step.qps,
                burst: step.burst,
                size: 0,
                source: format!(
                    "{}/{}: {}",
                    number(step.qps),
                    number(step.burst),
                    step.source
                ),
            })
            .collect()
    };
    let mut best = None;
    for pair in pairs {
        let higher = pair.qps > qps || (pair.qps >= qps && pair.burst > burst);
        let published = pair.size == 0 || nodes.is_some_and(|nodes| nodes >= pair.size);
        if !higher || !published {
            continue;
        }
        let enough = backlog / pair.qps <= target_secs;
        best = Some(pair);
        if enough {
            break;
        }
    }
    best
}

/// What was seen of one client, and what decides how far its limits go. The answer follows from this
/// and not from how often it was given: the same waits never raise a limit twice.
struct Ask {
    known: &'static Controller,
    /// QPS and burst that its version has by default.
    default: Option<(f64, f64)>,
    /// The longest wait, in seconds.
    wait: f64,
    /// The wait that is to be reached.
    target: f64,
    nodes: Option<u64>,
}

impl Ask {
    fn of(
        facts: &Facts<'_>,
        process: &Process,
        known: &'static Controller,
        default: Option<(f64, f64)>,
    ) -> Self {
        Ask {
            known,
            default,
            wait: process.wait.max_ms / 1e3,
            target: facts.limit("client-wait") / 1e3,
            nodes: facts.nodes().map(|nodes| nodes.count),
        }
    }

    /// The smallest published pair above limits that drains their backlog.
    fn above(&self, (qps, burst): (f64, f64)) -> Option<Pair> {
        let backlog = self.wait * qps;
        step(
            Some(self.known),
            qps,
            burst,
            backlog,
            self.nodes,
            self.target,
        )
    }

    /// What limits are to be raised to. Those below the default go to the default where that drains
    /// the backlog, else as far as the default itself would have to go.
    fn raise(&self, now: (f64, f64)) -> Option<Pair> {
        let Some(default) = self.default.filter(|default| now.0 < default.0) else {
            return self.above(now);
        };
        // A bucket slower than one a second is nobody's choice, and tells little of the backlog.
        let drains = self.wait * now.0.max(LEAST_QPS) <= default.0 * self.target;
        let further = (!drains).then(|| self.above(default)).flatten();
        Some(further.unwrap_or_else(|| {
            let own = STEPS
                .iter()
                .find(|(qps, burst, size, _)| (*qps, *burst) == default && *size == 0);
            Pair {
                qps: default.0,
                burst: default.1,
                size: 0,
                source: own.map_or_else(
                    || {
                        format!(
                            "{}/{}: its default, below which it is set",
                            number(default.0),
                            number(default.1)
                        )
                    },
                    |(.., source)| (*source).to_owned(),
                ),
            }
        }))
    }

    /// Whether limits that somebody set may be the answer to the same waits under lower ones.
    fn answered(&self, now: (f64, f64)) -> bool {
        let Some(default) = self.default else {
            // Nobody knows from where it was raised; a published value is an answer.
            return self
                .known
                .steps
                .first()
                .map_or(STEPS.first().map(|step| step.0), |step| Some(step.qps))
                .is_some_and(|least| least <= now.0);
        };
        if now.0 < default.0 {
            return false;
        }
        let by_default = self
            .above(default)
            .is_some_and(|first| first.qps <= now.0 && first.burst <= now.1);
        // The default written out is what lower limits are raised to.
        let restored = now.0 == default.0
            && now.1 >= default.1
            && self.wait * LEAST_QPS <= default.0 * self.target;
        by_default || restored
    }

    /// Whether a limit was surely in force when the waits were seen: a bucket that is one for all of
    /// the process shows its rate. Near the target a slightly lower bucket would show the same.
    fn in_force(&self, process: &Process, qps: f64) -> bool {
        self.known.buckets == Buckets::Process
            && self.wait * IN_FORCE > self.target
            && process
                .client_rate
                .is_some_and(|rate| rate >= qps * IN_FORCE)
    }
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
    let (Some(qps), Some(burst)) = (
        qps_set.number().or_else(|| default(qps_knob)),
        burst_set.number().or_else(|| default(burst_knob)),
    ) else {
        return vec![unknown_client(process)];
    };
    if qps < 0.0 {
        // A negative QPS is no limit: the wait comes from elsewhere.
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
            set.words().or_else(|| Some(number(old)))
        };
        advice.proposed = number(value);
        advice.why = self.why();
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
        } else {
            parts.push("etcd and kube-apiserver are not what it waits for".to_owned());
        }
        parts.join("; ")
    }
}

/// Adds where a knob is set, for those who write files.
pub(super) fn place(mut advice: Advice, process: &Process, knob: &Knob, set: &Set) -> Advice {
    let Some(known) = process.known else {
        return advice;
    };
    if known.id.starts_with("kube") {
        return advice;
    }
    advice = advice.detail("controller", known.id.clone());
    if let Some(workload) = &process.workload {
        for (name, value) in [
            ("kind", Some(&workload.kind)),
            ("namespace", workload.namespace.as_ref()),
            ("workload", Some(&workload.name)),
            ("container", Some(&workload.container)),
        ] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                advice = advice.detail(name, value.clone());
            }
        }
    }
    for (name, value) in [("helm", &knob.helm), ("config-map", &knob.config_map)] {
        if let Some(value) = value {
            advice = advice.detail(name, value.clone());
        }
    }
    // Variables are written with capitals or underscores, flags never are.
    let means = if knob.helm.as_deref() == Some(set.name.as_str()) || set.name.contains('.') {
        "file"
    } else if set.name.contains('_') {
        "env"
    } else {
        "flag"
    };
    advice.detail("means", means)
}

/// A proposal that equals the default of a version whose default changed says nothing: the
/// setting goes, and later defaults act. It stays where it is a step from below the default with
/// more steps above (`further`): a default that is written out shows that it was raised.
pub(super) fn remove_if_default(
    mut advice: Advice,
    process: &Process,
    knob: &Knob,
    set: &Set,
    value: f64,
    further: bool,
) -> Advice {
    let (oldest, newest) = process.span();
    let default = knob
        .default_for(oldest, newest)
        .and_then(|text| text.parse::<f64>().ok());
    if knob.defaults.len() < 2 || default != Some(value) || !set.set || further {
        return advice;
    }
    advice.proposed = format!("remove it: the default is {}", number(value));
    advice.detail("remove", set.name.clone())
}

/// The rate that a throttled process is to be raised to, or has when there is no higher one or when
/// what is set may be the answer already.
pub(super) fn proposed_qps(facts: &Facts<'_>, process: &Process) -> Option<f64> {
    let known = process.known?;
    let (oldest, newest) = process.span();
    let both = |role: Role| -> Option<(Set, Option<f64>)> {
        let knob = known.knob(role)?;
        let default = knob
            .default_for(oldest, newest)
            .and_then(|text| text.parse().ok());
        Some((process.knob(facts, knob), default))
    };
    let ((qps, qps_default), (burst, burst_default)) = (both(Role::Qps)?, both(Role::Burst)?);
    let now = (
        qps.number().or(qps_default)?,
        burst.number().or(burst_default)?,
    );
    let ask = Ask::of(facts, process, known, qps_default.zip(burst_default));
    if (qps.set || burst.set) && ask.answered(now) && !ask.in_force(process, now.0) {
        return Some(now.0);
    }
    Some(ask.raise(now).map_or(now.0, |pair| pair.qps))
}

/// What a file may be written for: known values in known versions.
pub(super) fn disposition(process: &Process, set: &Set, known: &Controller) -> Disposition {
    if known.id == "kube-controller-manager" {
        return Disposition::Disruptive;
    }
    let flags = !known.id.starts_with("kube");
    let sure = set.set || process.version.is_some();
    if flags && sure && set.now.is_some() {
        Disposition::Disruptive
    } else {
        Disposition::ShowOnly
    }
}

pub(super) fn undo(set: &Set, known: &Controller) -> String {
    let restarts = match known.kind.as_str() {
        "Deployment" | "StatefulSet" | "DaemonSet" => "its pods are rolled",
        _ => "the component restarts within seconds",
    };
    if set.now.is_some() {
        format!("set {} back to the value above; {restarts}", set.name)
    } else {
        format!("take {} out again; {restarts}", set.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_published_pairs_within_the_size() {
        let qps = |qps, burst, backlog, nodes| {
            step(None, qps, burst, backlog, nodes, 1.0).map(|s| (s.qps, s.burst))
        };
        // 5/5 with the longest wait 3.9 s: the default drains it.
        assert_eq!(qps(5.0, 5.0, 19.5, None), Some((20.0, 30.0)));
        assert_eq!(qps(20.0, 30.0, 632.0, Some(4100)), Some((200.0, 200.0)));
        assert_eq!(qps(20.0, 30.0, 632.0, None), Some((100.0, 100.0)));
        assert_eq!(qps(20.0, 30.0, 632.0, Some(300)), Some((100.0, 100.0)));
        assert_eq!(qps(200.0, 200.0, 9999.0, Some(4100)), None);
        assert_eq!(qps(200.0, 200.0, 9999.0, Some(5000)), Some((500.0, 500.0)));
        assert!(STEPS.is_sorted_by(|a, b| a.0 < b.0 && a.2 <= b.2));
    }

    #[test]
    fn a_controller_with_published_values_gets_those() {
        let capi = Controller::by_id("cluster-api");
        let pair = step(capi, 20.0, 30.0, 60.0, Some(50), 1.0).unwrap();
        assert_eq!((pair.qps, pair.burst), (100.0, 200.0));
        assert!(step(capi, 100.0, 200.0, 9e9, Some(9000), 1.0).is_none());
        let faas = Controller::by_id("openfaas-operator");
        let pair = step(faas, 5.0, 10.0, 60.0, None, 1.0).unwrap();
        assert_eq!((pair.qps, pair.burst), (100.0, 250.0));
    }
}
