//! Leader election of components and operators: durations that outlast the stalls that were seen.

use crate::catalog::controllers::{Knob, Known, Role};
use crate::evidence::keys;
use crate::rules::Confidence;
use crate::units::format_ms;

use super::super::advice::{Advice, Disposition, Remedy, Strength};
use super::super::facts::Facts;
use super::super::process::Process;
use super::knob::place;

/// Published durations in seconds: lease, renew deadline, retry period, source.
const STEPS: &[(u32, u32, u32, &str)] = &[
    (
        15,
        10,
        2,
        "component-base and client-go defaults 15s/10s/2s",
    ),
    (60, 40, 5, "60s/40s/5s: Cluster API's control plane manager"),
    (
        137,
        107,
        26,
        "137s/107s/26s: OpenShift's library-go, pkg/config/leaderelection (da7c1856): made for 60 s \
         without kube-apiserver, bears 78 s",
    ),
];

/// Time between two tries to renew where no setting tells another.
const CLIENT_GO_RETRY_MS: f64 = 2_000.0;

/// Kinds of messages whose duration is that of a stall of the control plane.
const STALLS: &[&str] = &[
    "wal-sync-slow",
    "heartbeat-late",
    "readindex-retry",
    "readindex-timeout",
    "tick-missed",
];

/// Advice for components that lost their lease, or that give it up too soon.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    let stall = longest_stall(facts);
    facts
        .processes()
        .iter()
        .flat_map(|process| durations(facts, process, stall.as_ref()))
        .collect()
}

/// The longest time that the control plane stood still, and what says so.
fn longest_stall(facts: &Facts<'_>) -> Option<(f64, String)> {
    let mut longest: Option<(f64, String)> = None;
    let mut offer = |ms: f64, what: String| {
        if ms.is_finite() && longest.as_ref().is_none_or(|(have, _)| ms > *have) {
            longest = Some((ms, what));
        }
    };
    for (_, table) in facts.all(&keys::LOGS_EVENTS) {
        for row in &table.rows {
            if let Some(ms) = row
                .get("max_ms")
                .filter(|_| STALLS.contains(&row.key.as_str()))
            {
                offer(
                    ms,
                    format!("etcd's log has {} of {}", row.key, format_ms(ms)),
                );
            }
        }
    }
    for (_, table) in facts.all(&keys::LOGS_REQUESTS) {
        for row in &table.rows {
            if let Some(ms) = row.get("max_took_ms") {
                offer(ms, format!("a request in etcd took {}", format_ms(ms)));
            }
        }
    }
    for (_, took) in facts.all(&keys::APISERVER_ETCD_TOOK) {
        if let Some((low, _)) = took.bracket(0.999) {
            offer(
                low,
                format!(
                    "one in a thousand of kube-apiserver's etcd requests took {} or more",
                    format_ms(low)
                ),
            );
        }
    }
    longest
}

/// How often a process lost its lease, as its log says.
fn lost(facts: &Facts<'_>, process: &Process) -> f64 {
    facts
        .all(&keys::LOGS_EVENTS)
        .iter()
        .filter(|(subject, _)| process.names.contains(&subject.name))
        .filter_map(|(_, table)| table.row("leaderelection-lost")?.get("count"))
        .sum()
}

fn often(times: f64) -> String {
    if times < 2.0 {
        "once".to_owned()
    } else {
        format!("{times:.0} times")
    }
}

fn millis(text: &str) -> Option<f64> {
    crate::units::parse_go_duration(text.trim().as_bytes()).map(|ns| ns as f64 / 1e6)
}

fn durations(facts: &Facts<'_>, process: &Process, stall: Option<&(f64, String)>) -> Vec<Advice> {
    let Some(known) = process.known else {
        return Vec::new();
    };
    let tight = facts
        .failed("leader-election-tight")
        .find(|finding| process.names.contains(&finding.subject.name));
    let times = lost(facts, process);
    if tight.is_none() && times < 1.0 {
        return Vec::new();
    }
    let (Some(lease), Some(renew), Some(retry)) = (
        known.knob(Role::LeaseDuration),
        known.knob(Role::RenewDeadline),
        known.knob(Role::RetryPeriod),
    ) else {
        return not_settable(process, times, stall);
    };
    let renew_set = process.knob(facts, renew);
    let renew_now = renew_set
        .now
        .as_ref()
        .and_then(|now| now.texts().filter_map(millis).min_by(f64::total_cmp))
        .unwrap_or(10_000.0);
    // The lease was lost, so something stood still for as long as it tried to renew: for the
    // default at least, since the log may be older than a longer deadline.
    let (oldest, newest) = process.span();
    let default = renew.default_for(oldest, newest).and_then(millis);
    let by_default = default.map_or(renew_now, |default| default.min(renew_now));
    let floor = if times >= 1.0 { by_default } else { 0.0 };
    let seen = stall.map_or(0.0, |(ms, _)| *ms).max(floor);
    let logged = stall.map_or(0.0, |(ms, _)| *ms);
    // A default that is written out is what shorter durations are raised to.
    let restored = renew_set.set
        && default.is_some_and(|default| renew_now == default)
        && renew_now >= logged * 1.2;
    let answered = restored || renew_now > by_default && renew_now >= seen * 1.2;
    let step = STEPS.iter().find(|(_, deadline, ..)| {
        let ms = f64::from(*deadline) * 1e3;
        ms > renew_now && ms >= seen * 1.2
    });
    let Some((lease_secs, renew_secs, retry_secs, source)) = step else {
        return Vec::new();
    };
    let first_cause = facts.first_cause();
    // Either shorter durations than by default go back to it, or something was seen that at least one
    // try to renew must have felt.
    let lowered = default.is_some_and(|default| renew_now < default);
    let retry_set = process.knob(facts, retry);
    let tries = retry_set.now.as_ref().and_then(|now| {
        let all = now.texts().filter_map(millis);
        all.min_by(f64::total_cmp)
    });
    let felt = tries.unwrap_or(CLIENT_GO_RETRY_MS);
    let explained = logged >= felt || lowered;
    let mut why = Vec::new();
    if let Some(tight) = tight {
        why.push(tight.message.clone());
    }
    if times >= 1.0 {
        why.push(format!(
            "{} lost its lease {}: renewing it failed for the whole renew deadline \
             of {}",
            process.name,
            often(times),
            format_ms(renew_now)
        ));
    }
    if let Some((_, what)) = stall {
        why.push(format!("the longest stall seen: {what}"));
    }
    if !explained {
        why.push(format!(
            "nothing was seen that took longer than the {} between two tries: first find out what kept it \
             from renewing, since a process that crashed or lost its way to kube-apiserver is not helped",
            format_ms(felt)
        ));
    }
    if answered {
        why.push(super::ask::ANSWERED.to_owned());
    }
    if let Some(cause) = first_cause {
        why.push(format!(
            "{}: mend that first, longer leases only hide it",
            cause.headline()
        ));
    }
    let why = why.join("; ");
    let one = |knob: &Knob, secs: u32, part: &str| -> Option<Advice> {
        if matches!(process.knows(knob), Known::NotYet(_) | Known::Gone(_)) {
            return None;
        }
        let set = process.knob(facts, knob);
        let same = set.now.as_ref().is_some_and(|now| {
            now.texts()
                .all(|text| millis(text) == Some(f64::from(secs) * 1e3))
        });
        if same {
            return None;
        }
        let mut advice = Advice::new(
            format!("{}-{part}", process.short()),
            Remedy::Hygiene,
            &process.name,
            set.name.clone(),
        );
        advice.strength = if first_cause.is_some() || !set.read || answered || !explained {
            Strength::Candidate
        } else {
            Strength::Recommended
        };
        advice.now = set.words();
        advice.proposed = format!("{secs}s");
        advice.why = if part == "lease-duration" {
            why.clone()
        } else {
            format!("goes with the lease duration: lease > renew deadline > retry period; {why}")
        };
        advice.effect =
            format!("a stall of up to {renew_secs} s no longer costs the lead and a restart");
        advice.confidence = match (explained, times >= 1.0 && logged >= renew_now) {
            (true, true) => Confidence::High,
            (true, false) => Confidence::Medium,
            (false, _) => Confidence::Low,
        };
        advice.risk = format!(
            "a dead leader is replaced after {lease_secs} s; the three durations change together, \
             and on every replica"
        );
        advice.undo = format!("set {} back to the value above", set.name);
        advice.verify = "no `leader election lost` in its log".to_owned();
        advice.disposition = if set.read {
            Disposition::Disruptive
        } else {
            Disposition::ShowOnly
        };
        advice.finding_ids = facts.failing(&["leader-election-tight", "leader-election-lost"]);
        advice.source = (*source).to_owned();
        Some(place(advice, process, knob, &set))
    };
    [
        one(lease, *lease_secs, "lease-duration"),
        one(renew, *renew_secs, "renew-deadline"),
        one(retry, *retry_secs, "retry-period"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A controller whose durations no flag sets.
fn not_settable(process: &Process, times: f64, stall: Option<&(f64, String)>) -> Vec<Advice> {
    if times < 1.0 {
        return Vec::new();
    }
    let mut advice = Advice::new(
        format!("{}-leader-election-lost", process.short()),
        Remedy::Hygiene,
        &process.name,
        "leader election durations",
    );
    advice.strength = Strength::Candidate;
    advice.proposed = "mend the stall; no flag of it that is known sets these durations".to_owned();
    advice.why = format!(
        "{} lost its lease {}{}",
        process.name,
        often(times),
        stall.map_or_else(String::new, |(_, what)| format!(
            "; the longest stall seen: {what}"
        ))
    );
    advice.effect = "it keeps its lead".to_owned();
    advice.risk = "none".to_owned();
    advice.undo = "nothing to undo".to_owned();
    advice.verify = "no `leader election lost` in its log".to_owned();
    advice.finding_ids = vec!["leader-election-lost".to_owned()];
    advice.source = "client-go leader election: 15s/10s/2s".to_owned();
    vec![advice]
}

#[cfg(test)]
mod tests {
    use super::STEPS;

    #[test]
    fn durations_are_in_the_order_that_client_go_demands() {
        for (lease, renew, retry, _) in STEPS {
            // client-go: lease > renew deadline > retry period × 1.2.
            assert!(lease > renew && f64::from(*renew) > f64::from(*retry) * 1.2);
        }
    }
}
