//! The round trip between members is slow: every write and linearizable read waits for it.

use crate::evidence::{Missing, Unit, keys, number};
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

/// Fewer probes than this make no quantile. The prober asks each peer every 30 s, so a short
/// window holds few; the mean is used for them.
const MIN_PROBES: f64 = 2.0;

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("peer-rtt-p99");
    let heartbeat = cx.profile.limit("heartbeat-interval");
    let mut drafts = Vec::new();
    for (subject, histogram) in cx.evidence.some(&keys::PEER_RTT)? {
        let Some((low, high)) = histogram.bracket(0.99) else {
            continue;
        };
        let Some(mean) = histogram.mean() else {
            continue;
        };
        if histogram.count() < MIN_PROBES || low < limit.value || mean < limit.value {
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
                    "the round trip to peers takes {} on average (p99 between {} and {})",
                    number(mean, Unit::Ms),
                    number(low, Unit::Ms),
                    if high.is_finite() {
                        number(high, Unit::Ms)
                    } else {
                        "∞".to_owned()
                    },
                ),
            )
            .threshold(limit.words())
            .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, histogram, member};

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
            with(&[(204.8, 0.0), (409.6, 1.0)]).status(&RULE).0,
            Status::Pass
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
