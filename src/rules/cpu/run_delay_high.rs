//! A component's threads are ready to run and wait for a CPU.

use crate::evidence::{Completeness, Missing, Subject, Unit, keys, number};
use crate::profile::Profile;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "run-delay-high",
    summary: "a component waits long for a CPU",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "run-delay-high",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("run-delay");
    let mut drafts = Vec::new();
    for (subject, value) in cx.evidence.some(&keys::RUN_DELAY)? {
        // What kube-apiserver lacks is `apiserver-cpu-short`.
        if subject.name == APISERVER {
            continue;
        }
        let waits = Waits {
            per_sec: value,
            mean_ms: cx.evidence.peek(&keys::RUN_WAIT, &subject),
            share: cx.evidence.peek(&keys::RUN_WAIT_SHARE, &subject),
        };
        let long = value > limit.value;
        if !long && !waits.starved(cx.profile) {
            continue;
        }
        cx.evidence.cite(&keys::RUN_DELAY, &subject);
        let mut words = format!(
            "threads of {} waited {:.0} % of the time for a CPU",
            subject.name,
            value * 100.0
        );
        if let (Some(share), Some(ms)) = (waits.share, waits.mean_ms) {
            cx.evidence.cite(&keys::RUN_WAIT, &subject);
            cx.evidence.cite(&keys::RUN_WAIT_SHARE, &subject);
            words = format!(
                "{words}: {:.0} % of that in which they could run, {} before each run",
                share * 100.0,
                number(ms, Unit::Ms)
            );
        }
        let threshold = match long {
            true => limit.words(),
            false => cx.profile.limit("run-wait").words(),
        };
        drafts.push(
            Draft::new(subject.clone(), Severity::Warn, words)
                .confidence(confidence(cx, &subject))
                .threshold(threshold)
                .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

/// The name of kube-apiserver among components.
pub(crate) const APISERVER: &str = "kube-apiserver";

/// One thread is a sample of all of them.
fn confidence(cx: &Context<'_>, subject: &Subject) -> Confidence {
    let record = cx.evidence.record(&keys::RUN_DELAY, subject);
    match record.map(|record| record.origin.completeness) {
        Some(Completeness::AtLeast) => Confidence::Medium,
        _ => Confidence::High,
    }
}

/// How a component waited for a CPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waits {
    /// Seconds of waiting per second.
    pub(crate) per_sec: f64,
    /// Milliseconds before each run.
    pub(crate) mean_ms: Option<f64>,
    /// Of the time in which it could run.
    pub(crate) share: Option<f64>,
}

impl Waits {
    /// Whether it got far less of a CPU than it asked for. A component that runs little waits little
    /// in sum, and each of its runs may still come too late.
    pub(crate) fn starved(&self, profile: &Profile) -> bool {
        let above = |value: Option<f64>, limit: &str| value.is_some_and(|v| v > profile.get(limit));
        above(Some(self.per_sec), "run-delay-least")
            && above(self.mean_ms, "run-wait")
            && above(self.share, "run-wait-share")
    }

    /// Whether it surely got what it asked for; half the limit, as one near it is not cleared. The
    /// sum alone tells that only where it is of all threads.
    pub(crate) fn free(&self, of_all: bool, profile: &Profile) -> bool {
        match self.mean_ms {
            Some(ms) => {
                self.per_sec <= profile.get("run-delay") && ms <= profile.get("run-wait") / 2.0
            }
            None => of_all && self.per_sec <= profile.get("run-delay-least"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component};

    #[test]
    fn both_sides_of_the_limit() {
        let limit = crate::profile::Profile::default().get("run-delay");
        let with = |value: f64| Set::new().put(&keys::RUN_DELAY, component("etcd"), value);
        assert_eq!(with(limit).status(&RULE).0, Status::Pass);
        assert_eq!(
            with(limit * 1.01).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    /// The first thread of an etcd beside busy neighbours: a quarter of the time, nearly always in vain.
    #[test]
    fn one_that_runs_little_and_waits_each_time_is_starved() {
        let with = |sum: f64, ms: f64, share: f64| {
            Set::new()
                .put(&keys::RUN_DELAY, component("etcd"), sum)
                .put(&keys::RUN_WAIT, component("etcd"), ms)
                .put(&keys::RUN_WAIT_SHARE, component("etcd"), share)
        };
        let starved = with(0.27, 1.6, 0.95);
        assert_eq!(starved.status(&RULE), (Status::Fail, Severity::Warn));
        let words = starved.check(&RULE)[0].message.clone();
        assert!(words.contains("27 %") && words.contains("95 %"), "{words}");
        // Busy and preempted now and then; many short waits; hardly at work.
        for (sum, ms, share) in [(0.4, 1.6, 0.1), (0.2, 0.1, 0.7), (0.05, 2.0, 0.9)] {
            assert_eq!(with(sum, ms, share).status(&RULE).0, Status::Pass);
        }
    }
}
