//! How far the limits of a client that waits are to go, from what was seen of it.
//!
//! Whether a raise has been made already is asked here too: the waits may be older than what is set.

use crate::catalog::controllers::{Buckets, Controller, Role};

use super::super::facts::Facts;
use super::super::process::{Process, Set};
use super::pace::number;
use super::pairs::{Pair, STEPS, step};

/// Said where what is set may already be the answer to what was seen.
pub(super) const ANSWERED: &str = "what is set now would be the answer if all this was recorded \
                                   before it was set: restart it, record anew, and raise it only \
                                   if it still waits";

/// A client that sends this share of a limit is held by that limit.
const IN_FORCE: f64 = 0.8;
/// The slowest bucket that a backlog is reckoned from.
const LEAST_QPS: f64 = 1.0;

/// What was seen of one client, and what decides how far its limits go. The answer follows from this
/// and not from how often it was given: the same waits never raise a limit twice.
pub(super) struct Ask {
    known: &'static Controller,
    /// QPS and burst that its version has by default.
    pub(super) default: Option<(f64, f64)>,
    /// The longest wait, in seconds.
    pub(super) wait: f64,
    /// The wait that is to be reached.
    pub(super) target: f64,
    nodes: Option<u64>,
}

impl Ask {
    pub(super) fn of(
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
    pub(super) fn above(&self, (qps, burst): (f64, f64)) -> Option<Pair> {
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
    pub(super) fn raise(&self, now: (f64, f64)) -> Option<Pair> {
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
    pub(super) fn answered(&self, now: (f64, f64)) -> bool {
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
    pub(super) fn in_force(&self, process: &Process, qps: f64) -> bool {
        self.known.buckets == Buckets::Process
            && self.wait * IN_FORCE > self.target
            && process
                .client_rate
                .is_some_and(|rate| rate >= qps * IN_FORCE)
    }
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
