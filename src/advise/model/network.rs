//! The links between members, and the raft timers that follow from a round trip one must live with.

use crate::diagnosis::Cause;
use crate::evidence::keys;
use crate::rules::Confidence;
use crate::units::format_ms;

use super::super::advice::{Advice, Disposition, Remedy, Strength};
use super::super::facts::{Facts, whole};

/// etcd refuses an election timeout above this.
const ELECTION_MAX_MS: f64 = 50_000.0;
/// etcd refuses an election timeout below this many heartbeats, and its docs ask for ten.
const ELECTION_HEARTBEATS: f64 = 10.0;

/// First the link; the timers only when the distance is there to stay.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    if !facts.has_cause(Cause::Network) {
        return Vec::new();
    }
    let rules = [
        "peer-rtt-high",
        "peer-link-unstable",
        "raft-messages-dropped",
        "clock-drift",
    ];
    let why = rules
        .iter()
        .filter_map(|rule| facts.failed(rule).next())
        .map(|finding| finding.message.clone())
        .collect::<Vec<_>>()
        .join("; ");
    let rtt = facts
        .all(&keys::PEER_RTT)
        .iter()
        .filter_map(|(_, rtt)| rtt.mean())
        .max_by(f64::total_cmp);
    let mut link = Advice::new(
        "peer-links",
        Remedy::Network,
        "etcd members",
        "network path",
    );
    link.now = rtt.map(|ms| format!("mean round trip {}", format_ms(ms)));
    link.proposed = "find and mend what delays or drops packets between the members (errors, \
                     shaping, an overloaded firewall or VPN), or place the members closer together"
        .to_owned();
    link.why = if why.is_empty() {
        "the diagnosis blames the links between members".to_owned()
    } else {
        why.clone()
    };
    link.effect = "every write needs one round trip to a majority: commits get faster by as much \
                   as the round trip shrinks"
        .to_owned();
    link.confidence = if rtt.is_some() {
        Confidence::High
    } else {
        Confidence::Medium
    };
    link.risk =
        "moving a member is a membership change: one at a time, with a backup at hand".to_owned();
    link.undo = "depends on what was changed".to_owned();
    link.verify = format!(
        "`etcd_network_peer_round_trip_time_seconds` p99 below {}, no late heartbeats",
        facts.input.profile.limit("peer-rtt-p99").text
    );
    link.finding_ids = facts.failing(&rules);
    link.source = facts.input.profile.limit("peer-rtt-p99").source.clone();
    let mut all = vec![link];
    if let Some(rtt) = rtt {
        all.extend(timers(facts, rtt, &why));
    }
    all
}

/// Heartbeat and election timeout for a measured round trip.
pub(super) fn timers_for(rtt_ms: f64) -> (f64, f64) {
    // Whole fifties: the timers are a matter of size, not of digits.
    let heartbeat =
        ((rtt_ms / 50.0).ceil() * 50.0).clamp(100.0, ELECTION_MAX_MS / ELECTION_HEARTBEATS);
    (
        heartbeat,
        (heartbeat * ELECTION_HEARTBEATS).min(ELECTION_MAX_MS),
    )
}

fn timers(facts: &Facts<'_>, rtt: f64, why: &str) -> Vec<Advice> {
    let heartbeat_now = facts.setting("etcd", "heartbeat-interval", Some("100"));
    let election_now = facts.setting("etcd", "election-timeout", Some("1000"));
    let have = heartbeat_now
        .as_ref()
        .and_then(|current| current.least())
        .unwrap_or(100.0);
    let election_have = election_now
        .as_ref()
        .and_then(|current| current.least())
        .unwrap_or(1000.0);
    // etcd's tuning guide: the heartbeat should be about 0.5 to 1.5 round trips.
    if have >= rtt * 0.5 && election_have >= rtt * ELECTION_HEARTBEATS {
        return Vec::new();
    }
    let (heartbeat, election) = timers_for(rtt);
    let make = |id: &str, setting: &str, now: Option<String>, value: f64, old: f64| Advice {
        strength: Strength::Candidate,
        now,
        proposed: whole(value).unwrap_or_default().to_string(),
        why: format!(
            "the mean round trip between members is {}, and the raft timers are made for less \
             ({have:.0} ms heartbeat, {election_have:.0} ms election){}{why}. Only if the distance \
             is there to stay: else mend the link",
            format_ms(rtt),
            if why.is_empty() { "" } else { "; " },
        ),
        effect: "no elections for want of a heartbeat; writes get no faster".to_owned(),
        confidence: Confidence::Medium,
        risk: format!(
            "a dead leader is noticed only after {} instead of {}. All members must have the same \
             values: until all are restarted they differ, so do it without a pause",
            format_ms(election),
            format_ms(election_have)
        ),
        undo: format!("set {setting} back to {old:.0} on every member"),
        verify: "`etcd_server_leader_changes_seen_total` stands still and no heartbeat is late"
            .to_owned(),
        disposition: Disposition::Disruptive,
        finding_ids: facts.failing(&[
            "peer-rtt-high",
            "heartbeat-election-mismatch",
            "heartbeat-late",
            "leader-unstable",
        ]),
        source:
            "etcd tuning guide: heartbeat 0.5 to 1.5 round trips, election ten round trips, at \
                 most 50 s"
                .to_owned(),
        ..Advice::new(id, Remedy::Network, "etcd", setting)
    };
    vec![
        make(
            "heartbeat-interval",
            "heartbeat-interval",
            heartbeat_now.map(|c| c.words()),
            heartbeat,
            have,
        ),
        make(
            "election-timeout",
            "election-timeout",
            election_now.map(|c| c.words()),
            election.max(election_have),
            election_have,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::timers_for;

    #[test]
    fn timers_fit_the_round_trip_and_what_etcd_allows() {
        assert_eq!(timers_for(368.0), (400.0, 4000.0));
        assert_eq!(timers_for(3.0), (100.0, 1000.0));
        assert_eq!(timers_for(99_000.0), (5000.0, 50_000.0));
        for rtt in [1.0, 50.0, 51.0, 240.0, 4_999.0] {
            let (heartbeat, election) = timers_for(rtt);
            assert!(election >= 5.0 * heartbeat && election <= 50_000.0);
            assert!(heartbeat >= rtt * 0.5);
        }
    }
}
