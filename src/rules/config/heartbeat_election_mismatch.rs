//! Heartbeat and election timeouts do not fit each other, or the measured round trip.

use crate::evidence::{Missing, Unit, keys, number};
use crate::rules::latency::Least;
use crate::rules::nodes;
use crate::rules::raft::leader_unstable;
use crate::rules::settings::{self, Setting};
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "heartbeat-election-mismatch",
    summary: "heartbeat and election timeouts do not fit each other or the network",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "heartbeat-election-mismatch",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let least_beat = cx.profile.limit("heartbeat-min");
    let least_heartbeats = cx.profile.limit("election-heartbeats");
    let longest = cx.profile.limit("election-timeout-max");
    let least_rtts = cx.profile.limit("election-rtts");
    let heartbeat_rtts = cx.profile.limit("heartbeat-rtts");
    let heartbeats = settings::of(cx, "etcd", &["heartbeat-interval"])?;
    let elections = settings::of(cx, "etcd", &["election-timeout"])?;
    let slowest = cx
        .evidence
        .all(&keys::PEER_RTT)
        .into_iter()
        .filter_map(|(subject, rtt)| Some((subject, rtt.mean()?)))
        .max_by(|a, b| a.1.total_cmp(&b.1));
    let usual = cx.profile.limit("election-timeout");
    let least = Least::of(cx, "slow-values");
    let unstable = leader_unstable::is_so(cx, cx.profile.get("leader-changes"));
    let mut drafts = Vec::new();
    for election in &elections {
        // On one node there may be two: the main etcd and one for events.
        let same = |s: &&Setting| s.subject == election.subject;
        let which = nodes::instance(&election.subject);
        let (Some(timeout), Some(heartbeat)) = (
            election.ms(),
            heartbeats.iter().find(same).and_then(Setting::ms),
        ) else {
            continue;
        };
        // etcd checks both against each other as it starts, and ends.
        let refused = heartbeat < least_beat.value
            || timeout < heartbeat * least_heartbeats.value
            || timeout > longest.value;
        let mut of_the_disk = false;
        let (message, threshold) = if heartbeat < least_beat.value {
            (
                format!("heartbeat-interval {heartbeat:.0} ms is no interval: etcd does not start"),
                least_beat.words(),
            )
        } else if timeout < heartbeat * least_heartbeats.value {
            (
                format!(
                    "election-timeout {timeout:.0} ms is less than five heartbeats of {heartbeat:.0} ms: etcd \
                     does not start"
                ),
                least_heartbeats.words(),
            )
        } else if timeout > longest.value {
            (
                format!(
                    "election-timeout {timeout:.0} ms is more than etcd takes: it does not start"
                ),
                longest.words(),
            )
        } else if let Some((subject, rtt)) = slowest
            .as_ref()
            .filter(|(_, rtt)| timeout < rtt * least_rtts.value)
        {
            cx.evidence.cite(&keys::PEER_RTT, subject);
            (
                format!(
                    "election-timeout {timeout:.0} ms is less than ten round trips of {}",
                    number(*rtt, Unit::Ms)
                ),
                least_rtts.words(),
            )
        } else if let Some((subject, sync)) = cx
            .evidence
            .all(&keys::WAL_FSYNC)
            .into_iter()
            .filter(|(subject, _)| nodes::instance(subject) == which)
            .filter(|(_, syncs)| least.is_slow(syncs, timeout))
            // The counter of the same scrapes knows whether they cost anyone the lead.
            .filter(|(subject, _)| {
                let changes = cx.evidence.peek(&keys::LEADER_CHANGES, subject);
                changes.is_none_or(|changes| changes >= 1.0)
            })
            .find_map(|(subject, syncs)| Some((subject, syncs.bracket(0.99)?.0)))
        {
            cx.evidence.cite(&keys::WAL_FSYNC, &subject);
            cx.evidence.cite(&keys::LEADER_CHANGES, &subject);
            // A disk that etcd's own timers do not outlast is at fault, and they are not.
            of_the_disk = timeout >= usual.value;
            (
                format!(
                    "election-timeout {timeout:.0} ms is less than a WAL fsync of {} (p99 above {}): a slow sync of a \
                     leader can be an election",
                    subject.name,
                    number(sync, Unit::Ms)
                ),
                "a leader that waits for its disk sends no heartbeats (etcd FAQ)".to_owned(),
            )
        } else if let Some((subject, rtt)) = slowest
            .as_ref()
            .filter(|(_, rtt)| heartbeat < rtt * heartbeat_rtts.value)
        {
            cx.evidence.cite(&keys::PEER_RTT, subject);
            (
                format!(
                    "heartbeat-interval {heartbeat:.0} ms is less than half of a round trip of {}",
                    number(*rtt, Unit::Ms)
                ),
                heartbeat_rtts.words(),
            )
        } else if timeout < usual.value && unstable {
            (
                format!(
                    "election-timeout {timeout:.0} ms is below the default of {:.0} ms, and the leader changes \
                     again and again: one slow WAL sync starts an election",
                    usual.value
                ),
                usual.words(),
            )
        } else {
            continue;
        };
        let severity = match (refused, of_the_disk) {
            (true, _) => Severity::Critical,
            (false, true) => Severity::Info,
            (false, false) => Severity::Warn,
        };
        settings::cite(cx, election, "election-timeout");
        drafts.push(
            Draft::new(election.subject.clone(), severity, message)
                .threshold(threshold)
                .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Subject, SubjectKind};
    use crate::rules::Status;
    use crate::rules::settings::testing::settings;
    use crate::rules::testing::{Set, component, histogram, member};

    fn with(heartbeat: &str, election: &str) -> Set {
        Set::new().put(
            &keys::SETTINGS,
            component("etcd"),
            settings(&[
                ("heartbeat-interval", heartbeat, "flag"),
                ("election-timeout", election, "flag"),
            ]),
        )
    }

    #[test]
    fn five_heartbeats_and_ten_round_trips() {
        assert_eq!(with("100", "500").status(&RULE).0, Status::Pass);
        assert_eq!(
            with("100", "499").status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        assert_eq!(with("100", "50000").status(&RULE).0, Status::Pass);
        assert_eq!(
            with("100", "50001").status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        // Without a heartbeat any election timeout is more than five of them.
        for election in ["1000", "0"] {
            let found = with("0", election).check(&RULE);
            assert_eq!(found[0].severity, Severity::Critical);
            assert!(found[0].message.contains("heartbeat-interval 0 ms"));
        }
        assert_eq!(with("1", "1000").status(&RULE).0, Status::Pass);
        // A mean of 70 ms: 700 ms is enough, 699 ms is not.
        let rtt = histogram(&[(100.0, 10.0)]);
        let far = |election| with("50", election).put(&keys::PEER_RTT, member(), rtt.clone());
        assert_eq!(far("700").status(&RULE).0, Status::Pass);
        assert_eq!(far("699").status(&RULE).0, Status::Fail);
        // Half a round trip of 35 ms.
        let beat = |ms| with(ms, "1000").put(&keys::PEER_RTT, member(), rtt.clone());
        assert_eq!(beat("35").status(&RULE).0, Status::Pass);
        assert_eq!(beat("34").status(&RULE).0, Status::Fail);
        // Every sync above 512 ms: an election timeout of 512 ms is too short, one more is not.
        let disk = |election, count| {
            let syncs = histogram(&[(512.0, 0.0), (1024.0, count)]);
            with("50", election).put(&keys::WAL_FSYNC, member(), syncs)
        };
        let least = crate::profile::Profile::default().get("slow-values");
        assert_eq!(disk("513", least).status(&RULE).0, Status::Pass);
        assert_eq!(disk("512", least).status(&RULE).0, Status::Fail);
        assert_eq!(disk("512", least - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
        // Syncs that cost nobody the lead, as the counter of the same time says.
        let led = |changes| disk("512", least).put(&keys::LEADER_CHANGES, member(), changes);
        assert_eq!(led(0.0).status(&RULE).0, Status::Pass);
        assert_eq!(led(1.0).status(&RULE), (Status::Fail, Severity::Warn));
        // The default is not at fault for a disk that stands still for longer.
        let stands = |election| {
            let syncs = histogram(&[(1024.0, 0.0), (2048.0, 500.0)]);
            with("50", election).put(&keys::WAL_FSYNC, member(), syncs)
        };
        let usual = stands("1000").status(&RULE);
        assert_eq!(usual, (Status::Fail, Severity::Info));
        let short = stands("999").status(&RULE);
        assert_eq!(short, (Status::Fail, Severity::Warn));
        // Below the default alone is a choice; with a leader that comes and goes it is the reason.
        let changes = |n: f64| with("10", "50").put(&keys::LEADER_CHANGES, member(), n);
        assert_eq!(changes(9.0).status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(changes(0.0).status(&RULE).0, Status::Pass);
    }
    #[test]
    fn each_etcd_of_a_node_has_its_own_heartbeat() {
        let events = |heartbeat, election| {
            with("100", "1000").put(
                &keys::SETTINGS,
                component("etcd-events"),
                settings(&[
                    ("heartbeat-interval", heartbeat, "flag"),
                    ("election-timeout", election, "flag"),
                ]),
            )
        };
        let found = events("1000", "3000").check(&RULE);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].subject, component("etcd-events"));
        assert_eq!(found[0].severity, Severity::Critical);
        assert_eq!(events("500", "5000").status(&RULE).0, Status::Pass);
        // Slow syncs of the one are no matter of the other.
        let syncs = || histogram(&[(512.0, 0.0), (1024.0, 500.0)]);
        let disk = |name: &str| {
            let member = Subject::new(SubjectKind::Member, name);
            events("100", "500").put(&keys::WAL_FSYNC, member, syncs())
        };
        assert_eq!(disk("a").status(&RULE).0, Status::Pass);
        assert_eq!(disk("a/events").status(&RULE).0, Status::Fail);
    }
}
