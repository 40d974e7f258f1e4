//! The links between members, and the raft timers that follow from a round trip and a WAL sync that
//! one must live with.
//!
//! etcd's tuning guide: each timeout is the total time from a request to the answer of the other
//! member, and slow disks on both sides are part of it as the network is. So what the heartbeat is
//! measured by is the round trip and the WAL sync together.

use crate::diagnosis::Cause;
use crate::evidence::keys;
use crate::rules::Confidence;
use crate::units::format_ms;

use super::super::advice::{Advice, Disposition, Remedy, Strength};
use super::super::facts::{Current, Facts, whole};

/// etcd refuses an election timeout above this.
pub(super) const ELECTION_MAX_MS: f64 = 50_000.0;
/// etcd refuses an election timeout below this many heartbeats, and its docs ask for ten.
pub(super) const ELECTION_HEARTBEATS: f64 = 10.0;

/// First the link or the disk; the timers only when it has to stay as it is.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    let turn = Turn::of(facts);
    if !facts.has_cause(Cause::Network) {
        // A disk that costs the lead: the disk model has the remedy, this is the bridge to it.
        let shaken: Vec<String> = ["leader-unstable", "heartbeat-late"]
            .iter()
            .filter_map(|rule| facts.ails(rule))
            .map(|finding| finding.message.clone())
            .collect();
        if !facts.has_cause(Cause::Disk) || shaken.is_empty() {
            return Vec::new();
        }
        return timers(facts, &turn, Remedy::Etcd, &shaken.join("; "));
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
    let grounds = facts.grounds(&[], Cause::Network);
    let shown = grounds.iter().filter_map(|rule| facts.failed(rule).next());
    let rests: Vec<String> = shown.map(|finding| finding.message.clone()).collect();
    let rtt = turn.rtt;
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
    link.why = match (why.is_empty(), rests.is_empty()) {
        (false, _) => why.clone(),
        (true, false) => format!(
            "{}; the diagnosis blames the links between members",
            rests.join("; ")
        ),
        (true, true) => "the diagnosis blames the links between members".to_owned(),
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
    link.finding_ids = facts.grounds(&rules, Cause::Network);
    link.source = facts.input.profile.limit("peer-rtt-p99").source.clone();
    let mut all = vec![link];
    if rtt.is_some() {
        all.extend(timers(facts, &turn, Remedy::Network, &why));
    }
    all
}

/// What one raft message and its answer take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    /// Mean round trip to the farthest member.
    pub(super) rtt: Option<f64>,
    /// What the slowest member's WAL syncs stay below, but for one in a hundred.
    pub(super) sync: Option<f64>,
    /// The longest WAL sync that a member logged.
    pub(super) stall: Option<f64>,
}

impl Turn {
    pub(super) fn of(facts: &Facts<'_>) -> Self {
        let rtt = facts.all(&keys::PEER_RTT);
        let sync = facts.all(&keys::WAL_FSYNC);
        let events = facts.all(&keys::LOGS_EVENTS);
        Turn {
            rtt: rtt
                .iter()
                .filter_map(|(_, rtt)| rtt.mean())
                .max_by(f64::total_cmp),
            sync: sync
                .iter()
                .filter_map(|(_, took)| took.bracket(0.99))
                .map(|(low, high)| if high.is_finite() { high } else { low })
                .max_by(f64::total_cmp),
            stall: events
                .iter()
                .filter_map(|(_, table)| table.row("wal-sync-slow")?.get("max_ms"))
                .max_by(f64::total_cmp),
        }
    }

    pub(super) fn total(self) -> f64 {
        self.rtt.unwrap_or(0.0) + self.sync.unwrap_or(0.0)
    }

    /// `a mean round trip of 368ms and a WAL sync of up to 16ms (p99)`.
    fn words(self) -> String {
        let rtt = self
            .rtt
            .map(|ms| format!("the mean round trip between members is {}", format_ms(ms)));
        let sync = self
            .sync
            .map(|ms| format!("99 of 100 WAL syncs take up to {}", format_ms(ms)));
        let stall = self
            .stall
            .map(|ms| format!("the longest one logged took {}", format_ms(ms)));
        let all: Vec<String> = rtt.into_iter().chain(sync).chain(stall).collect();
        all.join(", ")
    }
}

/// Heartbeat and election timeout for a mean round trip, the WAL sync that may come on top of it, and
/// the longest stall of a leader that is to keep its lead.
///
/// Ten of the mean round trips, as the tuning guide asks; a sync's time is the upper edge of a bucket
/// around its p99, so that one of them is outlasted and ten of them would be minutes without a leader.
pub(super) fn timers_for(turn: Turn, stall_ms: f64) -> (f64, f64) {
    // Whole fifties: the timers are a matter of size, not of digits.
    let fifties =
        |ms: f64| ((ms / 50.0).ceil() * 50.0).clamp(100.0, ELECTION_MAX_MS / ELECTION_HEARTBEATS);
    // A follower waits between one and two election timeouts; one is what is sure.
    let longest = stall_ms.max(turn.sync.unwrap_or(0.0));
    let outlast = (longest * 1.2 / 500.0).ceil() * 500.0;
    let election = (fifties(turn.rtt.unwrap_or(0.0)) * ELECTION_HEARTBEATS)
        .max(outlast)
        .min(ELECTION_MAX_MS);
    let heartbeat = fifties(turn.total()).min(election / ELECTION_HEARTBEATS);
    (heartbeat, election)
}

fn timers(facts: &Facts<'_>, turn: &Turn, remedy: Remedy, why: &str) -> Vec<Advice> {
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
    let total = turn.total();
    let stall = turn.stall.unwrap_or(0.0).max(turn.sync.unwrap_or(0.0));
    let (heartbeat, election) = timers_for(*turn, stall);
    // etcd's tuning guide: the heartbeat should be about 0.5 to 1.5 round trips.
    let wide = (have >= total * 0.5 || have >= heartbeat)
        && election_have >= turn.rtt.unwrap_or(0.0) * ELECTION_HEARTBEATS
        && election_have >= stall;
    if total <= 0.0 || wide || stall > ELECTION_MAX_MS {
        return Vec::new();
    }
    // Neither gets shorter: more heartbeats are no help to a leader that is late with those it has.
    let most = |current: &Option<Current>, default| {
        let most = current.as_ref().and_then(Current::most);
        most.unwrap_or(default)
    };
    let (beat_most, election_most) = (most(&heartbeat_now, 100.0), most(&election_now, 1000.0));
    let heartbeat = heartbeat.max(beat_most);
    let election = election
        .max(heartbeat * ELECTION_HEARTBEATS)
        .min(ELECTION_MAX_MS)
        .max(election_most);
    let mend = match remedy {
        Remedy::Network => "Only if the distance is there to stay: else mend the link",
        _ => {
            "Only until the disk is replaced: longer timers keep the lead, and make no write any \
             faster"
        }
    };
    let make = |setting: &str, now: Option<String>, value: f64, old: f64| Advice {
        strength: Strength::Candidate,
        now,
        proposed: whole(value).unwrap_or_default().to_string(),
        why: format!(
            "{}, and the raft timers are made for less ({have:.0} ms heartbeat, \
             {election_have:.0} ms election){}{why}. {mend}",
            turn.words(),
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
        finding_ids: facts.grounds(
            &[
                "peer-rtt-high",
                "heartbeat-election-mismatch",
                "heartbeat-late",
                "leader-unstable",
            ],
            match remedy {
                Remedy::Network => Cause::Network,
                _ => Cause::Disk,
            },
        ),
        source: "etcd tuning guide: heartbeat 0.5 to 1.5 round trips, election ten, at most 50 s; \
                 the time of the disks on both sides is part of each"
            .to_owned(),
        ..Advice::new(setting, remedy, "etcd", setting)
    };
    let mut all = Vec::new();
    for (setting, now, value, old) in [
        ("heartbeat-interval", heartbeat_now, heartbeat, have),
        ("election-timeout", election_now, election, election_have),
    ] {
        // Where all members have it already there is nothing to set.
        if value > old {
            all.push(make(
                setting,
                now.map(|current| current.words()),
                value,
                old,
            ));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Plane, table};
    use super::{Turn, timers_for};
    use crate::diagnosis::Cause;
    use crate::evidence::{Row, Subject, SubjectKind, keys};
    use crate::rules::Severity::Warn;
    use crate::rules::testing::histogram;

    fn far(rtt: f64) -> Turn {
        Turn {
            rtt: Some(rtt),
            ..Turn::default()
        }
    }

    #[test]
    fn timers_fit_the_round_trip_and_what_etcd_allows() {
        assert_eq!(timers_for(far(368.0), 0.0), (400.0, 4000.0));
        assert_eq!(timers_for(far(3.0), 0.0), (100.0, 1000.0));
        assert_eq!(timers_for(far(99_000.0), 0.0), (5000.0, 50_000.0));
        // A leader whose WAL stood still for 3.9 s keeps its lead.
        assert_eq!(timers_for(far(130.0), 3_900.0), (150.0, 5_000.0));
        for turn in [1.0, 50.0, 51.0, 240.0, 4_999.0] {
            let (heartbeat, election) = timers_for(far(turn), 700.0);
            assert!(election >= 5.0 * heartbeat && election <= 50_000.0);
            assert!(heartbeat >= turn * 0.5);
        }
    }
    #[test]
    fn a_leader_that_is_late_gets_no_more_heartbeats_to_send() {
        let stalled = |beat: &str, election: &str, took: f64| {
            let member = Subject::new(SubjectKind::Member, "cp0");
            let stalls = vec![
                Row::new("wal-sync-slow")
                    .num("count", 12.0)
                    .num("max_ms", took),
            ];
            let syncs = histogram(&[(32.0, 0.0), (64.0, 500.0)]);
            Plane::with(Cause::Disk)
                .fails("heartbeat-late", member.clone(), Warn)
                .put(&keys::LOGS_EVENTS, member.clone(), table(stalls))
                .put(&keys::WAL_FSYNC, member, syncs)
                .settings(
                    "etcd",
                    &[("heartbeat-interval", beat), ("election-timeout", election)],
                )
        };
        let proposed = |plane: &Plane| {
            ["heartbeat-interval", "election-timeout"]
                .map(|id| plane.find(id).map(|advice| advice.proposed))
        };
        let value = |text: &str| Some(text.to_owned());
        let of = |beat, election, took| proposed(&stalled(beat, election, took));
        assert_eq!(of("500", "2500", 4_200.0), [None, value("5500")]);
        // Ten of the heartbeats that stay, where the stall asks for less.
        assert_eq!(of("500", "2500", 2_600.0), [None, value("5000")]);
        assert_eq!(of("100", "1000", 4_200.0), [None, value("5500")]);
    }

    #[test]
    fn a_slow_sync_is_outlasted_once_and_not_ten_times() {
        let syncs = |rtt: f64, sync: f64| Turn {
            sync: Some(sync),
            ..far(rtt)
        };
        assert_eq!(timers_for(syncs(0.5, 2_048.0), 0.0), (250.0, 2_500.0));
        assert_eq!(timers_for(syncs(0.5, 4_096.0), 5_000.0), (600.0, 6_000.0));
        // One that the default outlasts asks for nothing.
        assert_eq!(timers_for(syncs(0.5, 256.0), 0.0), (100.0, 1_000.0));
        assert_eq!(timers_for(syncs(130.0, 16.0), 0.0), (150.0, 1_500.0));
    }
}
