//! The round trip between members is slow: every write and linearizable read waits for it.

use crate::evidence::{Missing, Subject, Unit, keys, number};
use crate::rules::latency::{self, Least};
use crate::rules::phases;
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "peer-rtt-high",
    summary: "the round trip between etcd members is slow",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "peer-rtt-high",
    check,
};

// etcd probes each peer every 4 s, and each 30 s it puts the round trip, smoothed over the probes,
// into the histogram (rafthttp/probing_status.go). So a short window holds few values, and each of
// them stands for several probes; but a single late probe can lift one of them.

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("peer-rtt-p99");
    let heartbeat = cx.profile.limit("heartbeat-interval");
    let least = Least::of(cx, "slow-rtts");
    let (mut drafts, mut few) = (Vec::new(), None);
    for (subject, histogram) in cx.evidence.some(&keys::PEER_RTT)? {
        let Some((low, high)) = histogram.bracket(0.99) else {
            continue;
        };
        let Some(mean) = histogram.mean() else {
            continue;
        };
        if low < limit.value || mean < limit.value {
            if histogram.above(limit.value).0 >= cx.profile.get("slow-rtts") {
                drafts.extend(bad_phase(cx, &subject, mean));
            }
            continue;
        }
        if !least.enough(&histogram, limit.value) {
            let what = "the round trip to peers";
            few.get_or_insert_with(|| latency::too_few(&histogram, limit, what));
            continue;
        }
        cx.evidence.cite(&keys::PEER_RTT, &subject);
        // A heartbeat that travels longer than its own interval puts elections at risk.
        let severity = if mean >= heartbeat.value {
            Severity::Critical
        } else {
            Severity::Warn
        };
        drafts.push(
            Draft::new(
                subject,
                severity,
                format!(
                    "the round trip to peers takes {} on average (p99 {})",
                    number(mean, Unit::Ms),
                    latency::between(low, high),
                ),
            )
            .threshold(limit.words())
            .cites(cx.evidence.take_citations()),
        );
    }
    match few {
        Some(why) if drafts.is_empty() => Err(why),
        _ => Ok(Verdict::Fail(drafts)),
    }
}

/// The pair of scrapes in which the round trip was longer than a heartbeat, though over the whole window it is not.
fn bad_phase(cx: &Context<'_>, subject: &Subject, whole: f64) -> Option<Draft> {
    let heartbeat = cx.profile.limit("heartbeat-interval");
    let least = cx.profile.get("slow-rtts");
    let table = cx.evidence.peek(&keys::PEER_RTT_PHASES, subject)?;
    let (row, mean) = table
        .rows
        .iter()
        .filter(|row| row.get("count").is_some_and(|count| count >= least))
        .filter_map(|row| Some((row, row.get("mean_ms")?)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .filter(|(_, mean)| *mean >= heartbeat.value)?;
    let words = format!(
        "the round trip to peers took {} on average from {}; over the whole window it is {}",
        number(mean, Unit::Ms),
        phases::span(&row.key, row.get("secs")),
        number(whole, Unit::Ms)
    );
    cx.evidence
        .cite_as(&keys::PEER_RTT_PHASES, subject, words.clone());
    Some(
        Draft::new(subject.clone(), Severity::Warn, words)
            .threshold(heartbeat.words())
            .cites(cx.evidence.take_citations()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, histogram, member, table};

    fn with(buckets: &[(f64, f64)]) -> Set {
        Set::new().put(&keys::PEER_RTT, member(), histogram(buckets))
    }

    #[test]
    fn above_the_heartbeat_is_critical() {
        assert_eq!(
            with(&[(204.8, 0.0), (409.6, 10.0)]).status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        assert_eq!(
            with(&[(51.2, 0.0), (102.4, 10.0)]).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(
            with(&[(25.6, 0.0), (51.2, 10.0)]).status(&RULE).0,
            Status::Pass
        );
        assert_eq!(
            with(&[(0.2, 3.0), (204.8, 0.0), (409.6, 1.0)])
                .status(&RULE)
                .0,
            Status::Unknown
        );
        let slow = crate::profile::Profile::default().get("slow-rtts");
        let few = |slow: f64| with(&[(204.8, 0.0), (409.6, slow)]).status(&RULE).0;
        assert_eq!(few(slow - 1.0), Status::Unknown);
        assert_eq!(few(slow), Status::Fail);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn one_slow_phase_of_a_fast_window_is_dated() {
        let phase = |mean: f64| {
            with(&[(1.0, 500.0), (51.2, 0.0), (102.4, 4.0)]).put(
                &keys::PEER_RTT_PHASES,
                member(),
                table(&[(
                    "2026-11-21T20:57:04Z",
                    &[("count", 4.0), ("mean_ms", mean), ("secs", 30.0)],
                )]),
            )
        };
        let message = phase(100.0).check(&RULE)[0].message.clone();
        assert!(message.contains("from 20:57:04 to 20:57:34"), "{message}");
        assert_eq!(phase(99.0).status(&RULE).0, Status::Pass);
    }
}
