//! Inflight limits of kube-apiserver, by the steps that others published for a cluster's size.

use std::fmt::Write as _;

use crate::catalog::releases::Version;
use crate::diagnosis::Cause;
use crate::evidence::keys;
use crate::rules::{Confidence, Severity};
use crate::units::format_ms;

use super::super::advice::{Advice, Disposition, Remedy, Strength};
use super::super::facts::{Current, Facts};

/// The two flags. Their sum is what priority levels share.
const READ: &str = "max-requests-inflight";
const MUTATING: &str = "max-mutating-requests-inflight";

/// Seats that were measured below this share of both limits were measured under other limits.
pub(super) const IN_FORCE: f64 = 0.8;

/// Their defaults together.
const DEFAULT_SUM: f64 = 600.0;

/// The flag that ends connections now and then, and the release that brought it.
const GOAWAY: &str = "goaway-chance";
const GOAWAY_SINCE: Version = Version::minor(1, 18);

/// Published pairs: read, mutating, smallest size in nodes, source.
const STEPS: &[(u32, u32, u64, &str)] = &[
    (400, 200, 0, "Kubernetes default"),
    (1000, 500, 1000, "Huawei CCE for 1000 nodes"),
    (1500, 500, 500, "kube-up above 500 nodes"),
    (2000, 1000, 2000, "Huawei CCE for 2000 nodes"),
    (3000, 1000, 3000, "kube-up above 3000 nodes"),
];

/// Both limits, raised together, when they and not etcd are what holds requests back.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    let saturated = facts.has_cause(Cause::ApiserverSaturation);
    // Below the default without a reason: restored before it hurts.
    let lowered = facts.ails("inflight-unbalanced").is_some();
    let slow = facts.etcd_slow().is_some() && !fast(facts);
    if slow || facts.first_cause().is_some() {
        return not_while_slow(facts).into_iter().collect();
    }
    if saturated && super::webhook::fills(facts) {
        return vec![not_for_webhooks(facts)];
    }
    if let Some((level, _, seats)) = super::apf::own_flow(facts).filter(|_| saturated && !lowered) {
        return vec![not_for_own_level(facts, &level, seats)];
    }
    if !(saturated || lowered) {
        return Vec::new();
    }
    let read_now = facts.setting("kube-apiserver", READ, Some("400"));
    let mutating_now = facts.setting("kube-apiserver", MUTATING, Some("200"));
    let read = read_now.as_ref().and_then(|c| c.least()).unwrap_or(400.0);
    let mutating = mutating_now
        .as_ref()
        .and_then(|c| c.least())
        .unwrap_or(200.0);
    if let Some(seats) = seats_in_force(facts).filter(|seats| *seats < (read + mutating) * IN_FORCE)
    {
        return vec![newer(read, mutating, seats)];
    }
    let nodes = facts.nodes().map(|nodes| nodes.count);
    if facts.without_levels() && (read == 0.0 || mutating == 0.0) {
        // Without priority levels 0 is no limit at all: any number would lower it.
        return Vec::new();
    }
    // `0` is a value of its own: all of the sum is in the other flag.
    let sum = read + mutating;
    // The smallest step that holds what the priority levels asked for, within the size; else the
    // next one.
    let wanted = demand(facts).unwrap_or(0.0);
    let within = |size: u64| size == 0 || nodes.is_some_and(|nodes| nodes >= size);
    let step_above = |sum: f64| {
        let higher = || {
            STEPS
                .iter()
                .filter(move |(r, m, ..)| f64::from(*r) + f64::from(*m) > sum)
        };
        let fits = || higher().filter(|(_, _, size, _)| within(*size));
        fits()
            .find(|(r, m, ..)| f64::from(*r) + f64::from(*m) >= wanted)
            .or_else(|| fits().next_back())
            .or_else(|| higher().next())
    };
    let Some((new_read, new_mutating, size, source)) = step_above(sum) else {
        return Vec::new();
    };
    // Had the defaults been in force when requests were turned away, would what is set now be the
    // answer? Then another raise would follow from nothing.
    let by_default = sum > DEFAULT_SUM
        && step_above(DEFAULT_SUM)
            .is_some_and(|(r, m, ..)| f64::from(*r) <= read && f64::from(*m) <= mutating);
    let answered = by_default || restored(facts);
    let restore = *size == 0;
    if !saturated && !restore {
        return Vec::new();
    }
    let fits = restore || nodes.is_some_and(|nodes| nodes >= *size);
    if !fits && nodes.is_some() && facts.nodes().is_some_and(|n| !n.at_least) {
        return vec![beyond(facts, read, mutating)];
    }
    let known = read_now.is_some() && mutating_now.is_some();
    let sick = facts
        .etcd_sick()
        .filter(|sick| !saturated || sick.severity == Severity::Critical);
    let strength = if known && fits && !answered && sick.is_none() {
        Strength::Recommended
    } else {
        Strength::Candidate
    };
    let new = (
        f64::from(*new_read).max(read),
        f64::from(*new_mutating).max(mutating),
    );
    let why = format!(
        "{}; the limits {read:.0} + {mutating:.0} = {sum:.0} are {}{}{}{}{}{}",
        reason(facts),
        if facts.without_levels() {
            "those of one kube-apiserver, each for its own kind of request"
        } else {
            "shared by all priority levels of one kube-apiserver"
        },
        little(facts),
        if restore {
            ", and lie below the default 400 + 200"
        } else {
            ""
        },
        match facts.nodes() {
            Some(nodes) => format!("; the cluster has {}", nodes.words()),
            None if restore => String::new(),
            None => "; the number of nodes, which decides how far to go, is not known".to_owned(),
        },
        if answered {
            format!("; {}", super::ask::ANSWERED)
        } else {
            String::new()
        },
        sick.map_or_else(String::new, |sick| format!(
            "; but first find out what is wrong with etcd ({}): more requests at once would wait there",
            sick.message
        ))
    );
    let make = |id: &str, setting: &str, now: Option<String>, value: f64| Advice {
        strength,
        now,
        proposed: format!("{value:.0}"),
        why: why.clone(),
        effect: if facts.without_levels() {
            format!("{:.0} requests at once in place of {sum:.0}", new.0 + new.1)
        } else {
            format!(
                "{:.0} seats in place of {sum:.0}; every priority level grows in proportion",
                new.0 + new.1
            )
        },
        confidence: if known {
            Confidence::High
        } else {
            Confidence::Medium
        },
        risk: "more requests at once need more memory and CPU in kube-apiserver, and reach etcd \
               at once: raise both flags together, one step, and go back if etcd's request \
               latency rises."
            .to_owned(),
        undo: format!("set {setting} back to the value above, one kube-apiserver at a time"),
        verify: "`apiserver_flowcontrol_rejected_requests_total` stops growing, and \
                 `etcd_request_duration_seconds` stays where it is"
            .to_owned(),
        disposition: Disposition::Disruptive,
        finding_ids: facts.grounds(
            &[
                "apf-rejections",
                "apiserver-timeouts",
                "object-limits",
                "inflight-unbalanced",
            ],
            Cause::ApiserverSaturation,
        ),
        source: (*source).to_owned(),
        ..Advice::new(id, Remedy::Inflight, "kube-apiserver", setting)
    };
    let mut all = Vec::new();
    if new.0 > read {
        all.push(make(
            "inflight-read",
            READ,
            read_now.map(|c| c.words()),
            new.0,
        ));
    }
    if new.1 > mutating {
        let mut second = make(
            "inflight-mutating",
            MUTATING,
            mutating_now.map(|c| c.words()),
            new.1,
        );
        if !all.is_empty() {
            second.why = format!(
                "goes with {READ}: both limits grow together, since priority levels share their sum"
            );
        }
        all.push(second);
    }
    all
}

/// Whether the limits may have been lower when requests were turned away: a default that is written
/// out is what lower limits are restored to, unless it is seen in force.
pub(super) fn restored(facts: &Facts<'_>) -> bool {
    let read = facts.setting("kube-apiserver", READ, Some("400"));
    let mutating = facts.setting("kube-apiserver", MUTATING, Some("200"));
    let set = [&read, &mutating]
        .into_iter()
        .any(|now| now.as_ref().is_some_and(Current::is_set));
    let least =
        |now: Option<Current>, default: f64| now.and_then(|now| now.least()).unwrap_or(default);
    let (read, mutating) = (least(read, 400.0), least(mutating, 200.0));
    set && read >= 400.0
        && mutating >= 200.0
        && (read == 400.0 || mutating == 200.0)
        && demand(facts).unwrap_or(0.0) <= DEFAULT_SUM
        && seats_in_force(facts).is_none_or(|seats| seats < read + mutating)
}

/// Seats of all priority levels of the kube-apiserver that has most, as it reported them.
pub(super) fn seats_in_force(facts: &Facts<'_>) -> Option<f64> {
    facts
        .all(&keys::APF_LEVELS)
        .iter()
        // All of them, or the sum says nothing.
        .filter(|(_, table)| {
            ["system", "workload-low", "global-default", "catch-all"]
                .iter()
                .all(|level| {
                    table
                        .row(level)
                        .is_some_and(|row| row.get("limit_seats").is_some())
                })
        })
        .map(|(_, table)| {
            table
                .rows
                .iter()
                .filter_map(|row| row.get("limit_seats"))
                .sum::<f64>()
        })
        .filter(|seats| *seats > 0.0)
        .max_by(f64::total_cmp)
}

/// The limits are larger than what was in force when the requests were turned away.
fn newer(read: f64, mutating: f64, seats: f64) -> Advice {
    let mut advice = Advice::new("inflight", Remedy::Inflight, "kube-apiserver", READ);
    advice.strength = Strength::Refused;
    advice.now = Some(format!("{read:.0} and {mutating:.0}"));
    advice.proposed = "leave both limits as they are, and look again".to_owned();
    advice.why = format!(
        "kube-apiserver had at most {seats:.0} seats when it was measured (each level's share is rounded \
         up), and {read:.0} + {mutating:.0} are set: what was measured is older than the setting, or kube-apiserver was not restarted"
    );
    advice.effect = "none: what was measured says nothing of the new limits".to_owned();
    advice.risk = "a second raise that nothing asks for".to_owned();
    advice.undo = "nothing to undo".to_owned();
    advice.verify =
        "`apiserver_flowcontrol_nominal_limit_seats` over all levels add up to the sum \
                     of both limits"
            .to_owned();
    advice.source = "kube-apiserver: priority levels share the sum of both limits".to_owned();
    advice
}

/// Seats that all priority levels of one kube-apiserver asked for at their highest.
fn demand(facts: &Facts<'_>) -> Option<f64> {
    facts
        .all(&keys::APF_LEVELS)
        .iter()
        .map(|(_, table)| {
            table
                .rows
                .iter()
                .filter_map(|row| row.get("max_demand_seats"))
                .sum::<f64>()
        })
        .filter(|seats| *seats > 0.0)
        .max_by(f64::total_cmp)
}

/// Requests inside a kube-apiserver on average, by Little's law, and what the fullest levels asked
/// for. A request's latency includes its wait for a seat, so these are not the seats that are held.
fn little(facts: &Facts<'_>) -> String {
    let mut text = String::new();
    let inside = facts
        .all(&keys::APISERVER_REQUESTS)
        .iter()
        .map(|(_, table)| {
            table
                .rows
                .iter()
                .filter(|row| !row.key.starts_with("WATCH ") && !row.key.starts_with("CONNECT "))
                .filter_map(|row| {
                    let requests = row.get("requests").filter(|n| *n > 0.0)?;
                    Some(row.get("per_sec")? * row.get("total_secs")? / requests)
                })
                .sum::<f64>()
        })
        .filter(|inside| *inside > 0.0)
        .max_by(f64::total_cmp);
    if let Some(inside) = inside {
        write!(
            text,
            "; by Little's law (rate times latency) {} requests were inside it on average, served or \
             waiting for a seat",
            super::pace::number((inside * 10.0).round() / 10.0)
        )
        .ok();
    }
    for (_, table) in facts.all(&keys::APF_LEVELS) {
        for (row, rejected) in table.top("rejected").into_iter().take(2) {
            if rejected < 1.0 {
                continue;
            }
            write!(text, "; `{}` rejected {rejected:.0}", row.key).ok();
            if let Some(asked) = row.get("max_demand_seats") {
                write!(text, " and asked for up to {asked:.0} seats").ok();
            }
            if let Some(limit) = row.get("limit_seats") {
                write!(text, " of its {limit:.0}").ok();
            }
        }
    }
    text
}

/// Requests wait or are turned away, but etcd is what holds the seats.
fn not_while_slow(facts: &Facts<'_>) -> Option<Advice> {
    let finding = facts
        .ails("apf-rejections")
        .or_else(|| facts.ails("apiserver-timeouts"))?;
    let slow = facts.etcd_slow()?;
    let read = facts.setting("kube-apiserver", READ, Some("400"));
    let mutating = facts.setting("kube-apiserver", MUTATING, Some("200"));
    let sum = read.as_ref().and_then(|c| c.least()).unwrap_or(400.0)
        + mutating.as_ref().and_then(|c| c.least()).unwrap_or(200.0);
    let nodes = facts.nodes().map(|nodes| nodes.count);
    let next = STEPS.iter().rfind(|(r, m, size, _)| {
        f64::from(*r) + f64::from(*m) > sum
            && (*size == 0 || nodes.is_some_and(|nodes| nodes >= *size))
    });
    let mut advice = Advice::new("inflight", Remedy::Inflight, "kube-apiserver", READ);
    advice.strength = Strength::Refused;
    advice.now = read
        .zip(mutating)
        .map(|(read, mutating)| format!("{} and {}", read.words(), mutating.words()));
    advice.proposed = "leave both limits as they are while etcd is slow".to_owned();
    advice.why = format!(
        "{}, but {slow}: requests hold their seats because etcd is slow, and more seats would \
         only make more of them wait in etcd{}",
        finding.message,
        match next {
            Some((read, mutating, _, source)) => format!(
                "; when etcd answers fast and requests are still turned away, {read} and \
                 {mutating} are published for this size ({source})"
            ),
            None => String::new(),
        }
    );
    advice.effect = "none but a longer queue in etcd".to_owned();
    advice.risk = "etcd's memory and kube-apiserver's".to_owned();
    advice.undo = "nothing to undo".to_owned();
    advice.verify = "look again once the remedies above have acted".to_owned();
    advice.finding_ids = facts.failing(&["apf-rejections", "apiserver-timeouts"]);
    advice.source = "order of remedies: disk and etcd, client, shard, priority levels, and these \
                     limits last"
        .to_owned();
    Some(advice)
}

/// Seats that webhooks hold: more of them would be held as well.
fn not_for_webhooks(facts: &Facts<'_>) -> Advice {
    let read = facts.setting("kube-apiserver", READ, Some("400"));
    let mutating = facts.setting("kube-apiserver", MUTATING, Some("200"));
    let slow = facts.ails("webhook-slow");
    let mut advice = Advice::new("inflight", Remedy::Inflight, "kube-apiserver", READ);
    advice.strength = Strength::Refused;
    advice.now = read
        .zip(mutating)
        .map(|(read, mutating)| format!("{} and {}", read.words(), mutating.words()));
    advice.proposed = "leave both limits as they are until the webhook answers".to_owned();
    advice.why = format!(
        "{}, but {}: requests keep their seats while they wait for it, and more seats would only \
         make more of them wait",
        reason(facts),
        slow.map_or("a webhook is slow", |finding| finding.message.as_str())
    );
    advice.effect = "none but more requests that wait for the webhook".to_owned();
    advice.risk = "kube-apiserver's memory, and that of what answers the webhook".to_owned();
    advice.undo = "nothing to undo".to_owned();
    advice.verify = "look again once the webhook answers in time".to_owned();
    advice.finding_ids = facts.grounds(&["apf-rejections"], Cause::ApiserverSaturation);
    advice.source = "order of remedies: disk and etcd, client, shard, priority levels, and these \
                     limits last"
        .to_owned();
    advice
}

/// Most requests were turned away in a level that somebody made small on purpose.
fn not_for_own_level(facts: &Facts<'_>, level: &str, seats: Option<f64>) -> Advice {
    let mut advice = Advice::new("inflight", Remedy::Inflight, "kube-apiserver", READ);
    advice.strength = Strength::Refused;
    advice.proposed = "leave both limits as they are".to_owned();
    advice.why = format!(
        "{}, most of them in `{level}`, a priority level of this cluster's own{}: its shares are what \
         holds them back, and more seats for all levels would hardly reach it",
        reason(facts),
        seats.map_or_else(String::new, |seats| format!(" with {seats:.0} seats"))
    );
    advice.effect = format!("hardly any in `{level}`");
    advice.risk = "kube-apiserver's memory, and etcd behind it".to_owned();
    advice.undo = "nothing to undo".to_owned();
    advice.verify = "nothing to verify".to_owned();
    advice.finding_ids = facts.grounds(&["apf-rejections"], Cause::ApiserverSaturation);
    advice.source = "kube-apiserver: priority levels share the sum of both limits".to_owned();
    advice
}

/// Connections that stick to one kube-apiserver of several behind a load balancer.
pub(super) fn uneven(facts: &Facts<'_>) -> Option<Advice> {
    if facts.first_cause().is_some()
        || !(facts.has_cause(Cause::ApiserverSaturation)
            || facts.ails("apiserver-timeouts").is_some()
            || facts.ails("apf-rejections").is_some())
    {
        return None;
    }
    let rates: Vec<(String, f64)> = facts
        .all(&keys::APISERVER_REQUESTS_RATE)
        .into_iter()
        .filter_map(|(subject, rate)| Some((subject.node?, rate)))
        .collect();
    let (busiest, most) = rates.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let (idlest, least) = rates.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
    // Twice the load of another one is more than chance spreads over many connections.
    if rates.len() < 2 || *most < 2.0 * least.max(1.0) {
        return None;
    }
    let set = facts.setting("kube-apiserver", GOAWAY, Some("0"));
    if set.as_ref().is_some_and(|current| {
        current
            .texts()
            .any(|text| text.trim().parse::<f64>().is_ok_and(|chance| chance > 0.0))
    }) {
        return None;
    }
    let old = facts
        .kubernetes()
        .is_none_or(|span| span.oldest < GOAWAY_SINCE);
    let mut advice = Advice::new("goaway-chance", Remedy::Apf, "kube-apiserver", GOAWAY);
    advice.strength = if old {
        Strength::Candidate
    } else {
        Strength::Recommended
    };
    advice.now = set.map(|current| current.words());
    advice.proposed = "0.001".to_owned();
    advice.why = format!(
        "kube-apiserver on {busiest} answers {most:.0} requests a second and the one on {idlest} \
         {least:.0}: connections stay where they were made, so one that restarted last has few"
    );
    advice.effect = "one request in a thousand ends its connection, and the client makes the next \
                     one through the load balancer: the load evens out within minutes"
        .to_owned();
    advice.confidence = Confidence::Medium;
    advice.risk = "only with several apiservers behind a load balancer: with one, clients only \
                   reconnect to it; kube-apiserver refuses more than 0.02"
        .to_owned();
    advice.undo = "set goaway-chance back to 0, one kube-apiserver at a time".to_owned();
    advice.verify =
        "the rates of `apiserver_request_total` of all apiservers approach each other".to_owned();
    advice.disposition = if old {
        Disposition::ShowOnly
    } else {
        Disposition::Disruptive
    };
    advice.finding_ids = facts.grounds(
        &["apf-rejections", "apiserver-timeouts"],
        Cause::ApiserverSaturation,
    );
    advice.source =
        "kube-apiserver reference: goaway-chance, .001 is the recommended starting point"
            .to_owned();
    Some(advice)
}

/// Whether etcd is known to answer fast: measured below the limit.
pub(super) fn fast(facts: &Facts<'_>) -> bool {
    let limit = facts.limit("etcd-request-fast");
    let all = facts.all(&keys::APISERVER_ETCD_TOOK);
    !all.is_empty()
        && all
            .iter()
            .all(|(_, took)| took.bracket(0.99).is_some_and(|(low, _)| low < limit))
}

fn reason(facts: &Facts<'_>) -> String {
    let rejected: f64 = facts
        .all(&keys::APF_LEVELS)
        .iter()
        .map(|(_, table)| table.total("rejected"))
        .sum();
    let etcd = facts
        .all(&keys::APISERVER_ETCD_TOOK)
        .iter()
        .filter_map(|(_, took)| took.mean())
        .max_by(f64::total_cmp);
    let mut text = if rejected > 0.0 {
        format!("kube-apiserver rejected {rejected:.0} requests for lack of seats")
    } else if !facts.has_cause(Cause::ApiserverSaturation) {
        "kube-apiserver serves fewer requests at once than by default".to_owned()
    } else {
        "kube-apiserver is full".to_owned()
    };
    if let Some(mean) = etcd {
        text = format!(
            "{text} while etcd answered in {} on average",
            format_ms(mean)
        );
    }
    text
}

/// The limits are already what is published for this size: more of them is not the remedy.
fn beyond(facts: &Facts<'_>, read: f64, mutating: f64) -> Advice {
    let mut advice = Advice::new("inflight", Remedy::Inflight, "kube-apiserver", READ);
    advice.strength = Strength::Refused;
    advice.now = Some(format!("{read:.0} and {mutating:.0}"));
    advice.proposed = "leave both limits as they are".to_owned();
    advice.why = format!(
        "{}, but nobody publishes more than these limits for a cluster of this size: {}; the \
         client that fills them is the remedy",
        reason(facts),
        facts
            .nodes()
            .map_or_else(|| "size not known".to_owned(), |nodes| nodes.words())
    );
    advice.effect = "none: more seats fill up as fast".to_owned();
    advice.risk = "kube-apiserver's memory, and etcd behind it".to_owned();
    advice.undo = "nothing to undo".to_owned();
    advice.verify = "nothing to verify".to_owned();
    advice.finding_ids = facts.grounds(&["apf-rejections"], Cause::ApiserverSaturation);
    advice.source = "kube-up and Huawei CCE steps by number of nodes".to_owned();
    advice
}
