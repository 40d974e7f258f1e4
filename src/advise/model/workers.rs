//! Workers: how many objects a controller works on at once, and which of its two bounds holds it.

use crate::catalog::controllers::{Buckets, Knob, Known, Role, WorkerStep};
use crate::rules::Confidence;
use crate::units::format_ms;

use super::super::advice::{Advice, Remedy, Strength};
use super::super::facts::Facts;
use super::super::process::{Loop, Process, Set};
use super::knob::{disposition, place, remove_if_default};
use super::not_safe;
use super::pace::number;

/// Workers are raised at most this many times over at once.
const MOST_AT_ONCE: f64 = 4.0;

/// Both bounds of one loop.
#[derive(Clone, Debug)]
pub(in super::super) struct Bound {
    /// The loop.
    pub(in super::super) name: String,
    /// Reconciles a second that the limiter allows.
    pub(in super::super) limiter: Option<f64>,
    /// Reconciles a second that the workers can do, their waits for the limiter left out.
    pub(in super::super) workers: Option<f64>,
    /// Reconciles a second that were done.
    pub(in super::super) done: Option<f64>,
    qps: Option<f64>,
    each: Option<f64>,
    count: Option<f64>,
    secs: Option<f64>,
    /// The reconciles' time holds waits for the limiter.
    waits_inside: bool,
}

impl Bound {
    /// The bound that is lower: `limiter` or `workers`.
    pub(in super::super) fn binds(&self) -> Option<&'static str> {
        let (limiter, workers) = (self.limiter?, self.workers?);
        if self.waits_inside {
            // Its log shows the waits, and its workers are busy with them.
            return Some("limiter");
        }
        Some(if limiter <= workers {
            "limiter"
        } else {
            "workers"
        })
    }

    /// Both in words, where at least one is known.
    pub(in super::super) fn words(&self) -> Option<String> {
        let limiter = self
            .limiter
            .zip(self.qps)
            .zip(self.each)
            .map(|((bound, qps), each)| {
                format!(
                    "{} requests a second at {} a reconcile allow {}/s",
                    number(qps),
                    number(each),
                    number(bound)
                )
            });
        let workers = self
            .workers
            .zip(self.count)
            .zip(self.secs)
            .map(|((bound, n), secs)| {
                format!(
                    "{} workers at {} a reconcile{} {}/s",
                    number(n),
                    format_ms(secs * 1e3),
                    if self.waits_inside {
                        " (its waits inside)"
                    } else {
                        ""
                    },
                    number(bound)
                )
            });
        let done = self.done.map_or_else(String::new, |done| {
            format!(", done were {}/s", number(done))
        });
        let binds = match self.binds() {
            Some("limiter") => ": the limiter binds",
            Some(_) => ": the workers bind",
            None => "",
        };
        let both: Vec<String> = limiter.into_iter().chain(workers).collect();
        (!both.is_empty()).then(|| format!("`{}`: {}{done}{binds}", self.name, both.join(", ")))
    }
}

/// The bounds of every loop with work, the deepest queue first.
pub(in super::super) fn bounds(
    facts: &Facts<'_>,
    process: &Process,
    qps: Option<f64>,
) -> Vec<Bound> {
    let each = process.requests_each();
    process
        .loops
        .iter()
        .filter(|one| one.depth > 0.0 || one.per_sec.is_some())
        .map(|one| {
            let count = workers_now(facts, process, one);
            let secs = process.work_secs(one);
            // A bucket that several loops share is no bound of one of them.
            let own = process
                .known
                .is_some_and(|known| known.buckets != Buckets::Process)
                || process.loops.len() == 1;
            let qps = qps.filter(|qps| *qps > 0.0 && own);
            Bound {
                name: one.name.clone(),
                limiter: qps.zip(each).map(|(qps, each)| qps / each),
                workers: count.zip(secs).map(|(n, secs)| n / secs),
                done: one.per_sec,
                qps,
                each,
                count,
                secs,
                waits_inside: process.waits_inside(),
            }
        })
        .collect()
}

/// How many workers a loop has: as its metrics say, else as it is set.
fn workers_now(facts: &Facts<'_>, process: &Process, one: &Loop) -> Option<f64> {
    one.workers.or_else(|| {
        let knob = knob_of(process, one)?;
        process.knob(facts, knob).number()
    })
}

fn knob_of(process: &Process, one: &Loop) -> Option<&'static Knob> {
    process
        .known?
        .knobs_of(Role::Workers)
        .find(|knob| knob.serves(&one.name))
}

/// Advice for loops whose workers bind.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    let calm = facts.first_cause().is_none();
    let felt =
        facts.ails("workqueue-backlog").is_some() || facts.ails("client-throttled").is_some();
    let mut all = Vec::new();
    for process in facts.processes() {
        all.extend(not_safe::crashes(facts, process));
        all.extend(not_safe::unsafe_now(facts, process));
        if !felt || !calm {
            continue;
        }
        for one in &process.loops {
            let Some(knob) = knob_of(process, one) else {
                continue;
            };
            let set = process.knob(facts, knob);
            if matches!(process.knows(knob), Known::NotYet(_) | Known::Gone(_))
                || (process.knows(knob) == Known::Unknown && !set.set)
            {
                continue;
            }
            let Some(have) = workers_now(facts, process, one) else {
                continue;
            };
            let Some(need) = need(facts, process, one, have) else {
                continue;
            };
            if let Some(advice) = raise(facts, process, knob, &set, one, have, &need) {
                all.push(advice);
            }
        }
    }
    all
}

/// Why workers bind, and how many it takes.
struct Need {
    workers: f64,
    /// What was seen asks for so many, however many there are; 0 where that was not measured.
    seen: f64,
    argument: String,
    /// Whether the numbers behind it were measured.
    measured: bool,
    /// It follows from a limiter that is to be raised first.
    after_limits: bool,
}

fn need(facts: &Facts<'_>, process: &Process, one: &Loop, have: f64) -> Option<Need> {
    let deep = one.depth >= facts.limit("workqueue-depth");
    let busy = one
        .active
        .zip(one.workers)
        .is_some_and(|(active, workers)| active >= workers);
    if !(deep || busy && process.throttled) {
        return None;
    }
    if process.throttled {
        // While the limiter binds, a reconcile's time is mostly waiting for it. What binds after
        // a raise: as many workers as requests are under way at the new rate.
        let qps = super::ask::proposed_qps(facts, process)?;
        let latency = process.latency(facts)? / 1e3;
        let (under_way, words, measured) = match (process.requests_each(), process.work_secs(one)) {
            (Some(each), Some(secs)) if process.known?.buckets == Buckets::Kind => {
                let rate = qps / each.max(1.0);
                (
                    rate * secs.max(latency),
                    format!(
                        "at {} requests a second the limiter allows {} reconciles a second; at {} \
                         each{}",
                        number(qps),
                        number(rate),
                        format_ms(secs.max(latency) * 1e3),
                        if process.waits_inside() {
                            " at the most, since part of that is waiting for the limiter"
                        } else {
                            " without the waits"
                        }
                    ),
                    !process.waits_inside(),
                )
            }
            _ => (
                qps * latency,
                format!(
                    "at {} requests a second and {} a call",
                    number(qps),
                    format_ms(latency * 1e3)
                ),
                true,
            ),
        };
        return (under_way > have).then(|| Need {
            workers: under_way,
            seen: under_way,
            argument: format!(
                "{words}, {:.0} are under way at once, but only {have:.0} workers are there",
                under_way.ceil()
            ),
            measured,
            after_limits: true,
        });
    }
    let demand = one.adds_per_sec.or(one.per_sec);
    let secs = process.work_secs(one);
    Some(match (secs, demand) {
        (Some(secs), Some(demand)) => Need {
            workers: (demand * secs * 1.25).max(have + 1.0),
            seen: demand * secs * 1.25,
            argument: format!(
                "{have:.0} workers at {} a reconcile finish {} a second, {} were added, and no \
                 limiter holds them",
                format_ms(secs * 1e3),
                number(have / secs),
                number(demand)
            ),
            measured: true,
            after_limits: false,
        },
        (Some(secs), None) => Need {
            workers: have + 1.0,
            seen: 0.0,
            argument: format!(
                "{have:.0} workers at {} a reconcile finish {} a second, and no limiter holds them",
                format_ms(secs * 1e3),
                number(have / secs)
            ),
            measured: true,
            after_limits: false,
        },
        _ => Need {
            workers: have + 1.0,
            seen: 0.0,
            argument: format!("no limiter holds its {have:.0} workers"),
            measured: false,
            after_limits: false,
        },
    })
}

/// The value to propose. Workers below their default go to the default where what was seen asks for
/// no more, else as far as the default itself would have to go, so that the same evidence never
/// raises them twice.
fn target(
    facts: &Facts<'_>,
    process: &Process,
    knob: &Knob,
    have: f64,
    need: &Need,
) -> Option<(f64, String)> {
    let Some(default) = default_of(process, knob).filter(|default| have < *default) else {
        return proposal(facts, knob, have, need.workers);
    };
    let restored = || (default, "its default, below which it is set".to_owned());
    if knob.steps.is_empty() {
        return if need.seen <= default {
            Some(restored())
        } else {
            proposal(facts, knob, default, need.workers.max(default + 1.0))
        };
    }
    let published = proposal(facts, knob, have, need.workers);
    Some(
        published
            .filter(|(value, _)| *value > default)
            .unwrap_or_else(restored),
    )
}

/// A published value for this controller, else doubled as often as the need asks for.
fn proposal(facts: &Facts<'_>, knob: &Knob, have: f64, need: f64) -> Option<(f64, String)> {
    if knob.steps.is_empty() {
        let mut value = have * 2.0;
        while value < need && value < have * MOST_AT_ONCE {
            value *= 2.0;
        }
        return Some((
            value,
            if value > have * 2.0 {
                "doubled until it meets the need, four times at most: a step, not a published value"
            } else {
                "doubling is a step, not a published value"
            }
            .to_owned(),
        ));
    }
    let objects = knob
        .objects
        .iter()
        .filter_map(|resource| facts.objects(resource))
        .max_by(f64::total_cmp);
    let sized =
        |step: &WorkerStep| step.objects == 0 || objects.is_some_and(|n| n >= step.objects as f64);
    let mut best: Option<&WorkerStep> = None;
    for step in knob.steps.iter().filter(|step| step.value > have) {
        if !sized(step) {
            continue;
        }
        if best.is_none() || step.objects > 0 || best.is_some_and(|best| best.value < need) {
            best = Some(step);
        }
    }
    // How many objects there are is not known: the next value is a thought.
    let thought = || {
        let mut above = knob.steps.iter().filter(|step| step.value > have);
        above.next().filter(|_| objects.is_none())
    };
    best.or_else(thought)
        .map(|step| (step.value, step.source.clone()))
}

fn raise(
    facts: &Facts<'_>,
    process: &Process,
    knob: &'static Knob,
    set: &Set,
    one: &Loop,
    have: f64,
    need: &Need,
) -> Option<Advice> {
    let known = process.known?;
    let flag = set.name.clone();
    let (oldest, _) = process.span();
    let not_safe = knob
        .unsafe_before
        .filter(|safe| oldest.is_none_or(|oldest| oldest < *safe));
    let (value, source) = target(facts, process, knob, have, need)?;
    // The workers that were seen are fewer than those that are set by now.
    if set.number().is_some_and(|number| number >= value) {
        return None;
    }
    let mut advice = Advice::new(
        format!("{}-{flag}", process.short()),
        Remedy::ClientLimits,
        &process.name,
        flag.clone(),
    );
    advice.now = set.words().or_else(|| Some(number(have)));
    advice.why = format!(
        "the queue `{}` held up to {:.0} keys; {}{}{}",
        one.name,
        one.depth,
        need.argument,
        match super::pace::bounds_of(facts, process, &one.name) {
            Some(words) => format!("; {words}"),
            None => String::new(),
        },
        if need.after_limits {
            "; its QPS comes first"
        } else {
            ""
        }
    );
    advice.finding_ids = facts.failing(&["workqueue-backlog", "client-throttled"]);
    advice.source = format!("{source}; {}", known.source);
    advice.verify = format!(
        "`workqueue_depth{{name=\"{}\"}}` falls to a few keys between waves",
        one.name
    );
    advice.undo = format!("set {flag} back to the value above");
    if let Some(safe) = not_safe {
        advice.strength = Strength::Refused;
        advice.proposed = format!("leave it at {} before {safe}", number(have));
        advice.effect = "none: the workers would get into each other's way".to_owned();
        advice.risk = knob
            .note
            .clone()
            .unwrap_or_else(|| "more than one worker is not safe there".to_owned());
        return Some(advice);
    }
    // Busy workers and as many objects as a value was published for are as good as a measurement.
    let published = knob.steps.iter().any(|step| {
        step.value == value
            && step.objects > 0
            && knob
                .objects
                .iter()
                .filter_map(|resource| facts.objects(resource))
                .any(|n| n >= step.objects as f64)
    });
    let for_more = knob
        .steps
        .iter()
        .any(|step| step.value == value && step.objects > 0);
    let unsure = (for_more && !published)
        || (set.now.is_none() && one.workers.is_none())
        || (need.after_limits && !need.measured && !published);
    // The queue may be older than the workers, which would be its answer: to what was seen, or to
    // what the default would have needed.
    let by_default = || {
        let default = default_of(process, knob).filter(|default| *default <= have)?;
        let need = self::need(facts, process, one, default)?;
        let (first, _) = proposal(facts, knob, default, need.workers)?;
        Some(first <= have)
    };
    let enough = need.measured && need.seen <= have;
    let answer = match default_of(process, knob) {
        Some(default) if have < default => false,
        Some(default) => {
            enough || (need.seen <= have && default == have) || by_default() == Some(true)
        }
        // Nobody knows from where they were raised; doubled or published, they are an answer.
        None => enough || knob.steps.first().is_none_or(|step| step.value <= have),
    };
    let answered = set.set && one.workers.is_none() && answer;
    if answered {
        advice.why = format!("{}; {}", advice.why, super::ask::ANSWERED);
    }
    advice.strength = if unsure || answered {
        Strength::Candidate
    } else {
        Strength::Recommended
    };
    advice.confidence = if need.measured {
        Confidence::High
    } else {
        Confidence::Medium
    };
    advice.proposed = number(value);
    advice.effect = format!(
        "{} times as many objects are worked on at once",
        number(value / have)
    );
    advice.risk = format!(
        "more requests at once reach kube-apiserver, and more memory is used: look, and go on only \
         if the queue stays deep{}",
        match &knob.helm {
            Some(helm) => format!("; set it as `{helm}` of its chart"),
            None => String::new(),
        }
    );
    advice.disposition = disposition(process, set, known);
    let advice = place(advice, process, knob, set);
    // Published values above the default were taken at once where they are for this size.
    let further = knob.steps.is_empty();
    Some(remove_if_default(
        advice, process, knob, set, value, further,
    ))
}

/// The default of a knob in the version at hand.
fn default_of(process: &Process, knob: &Knob) -> Option<f64> {
    let (oldest, newest) = process.span();
    knob.default_for(oldest, newest)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::controllers::Controller;
    use crate::diagnosis::Cause;

    #[test]
    fn published_values_by_size_and_need() {
        let plane = |clusters: f64| {
            super::super::super::testing::Plane::with(Cause::ClientThrottling)
                .objects(&[("clusters.cluster.x-k8s.io", clusters)])
        };
        let knob = Controller::by_id("cluster-api")
            .unwrap()
            .knob_named("cluster-concurrency")
            .unwrap();
        for (clusters, need, wanted) in [
            (1000.0, 12.0, 100.0),
            (600.0, 12.0, 100.0),
            (100.0, 12.0, 50.0),
            (100.0, 80.0, 50.0),
        ] {
            let got = plane(clusters).with_facts(|facts| proposal(facts, knob, 10.0, need));
            assert_eq!(got.unwrap().0, wanted, "{clusters} {need}");
        }
        assert_eq!(
            plane(1000.0).with_facts(|facts| proposal(facts, knob, 100.0, 500.0)),
            None
        );
    }
}
