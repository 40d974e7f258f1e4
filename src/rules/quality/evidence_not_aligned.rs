//! Logs and metrics are of different times: what one shows, the other cannot confirm.

use crate::evidence::{Collector, Missing, Subject, Window, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::units::format_ms;

/// The rule.
pub static RULE: Rule = Rule {
    id: "evidence-not-aligned",
    summary: "logs and metrics are of different times",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "evidence-not-aligned",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("evidence-overlap");
    let cluster = Subject::cluster();
    cx.evidence.get(&keys::LOGS_LINES, &cluster)?;
    let logs = cx
        .evidence
        .record(&keys::LOGS_LINES, &cluster)
        .map(|r| r.window)
        .unwrap_or_default();
    let mut metrics = Window::default();
    for key in [&keys::WAL_FSYNC, &keys::APISERVER_ETCD_TOOK] {
        for record in cx.evidence.records(key) {
            if record.origin.collector == Collector::Metrics {
                metrics = metrics.union(record.window);
                cx.evidence.cite(key, &record.subject);
            }
        }
    }
    let (Some(of_logs), Some(of_metrics), Some(both)) =
        (logs.secs(), metrics.secs(), logs.overlap_secs(&metrics))
    else {
        return Err(Missing::NotEnough {
            why: "the times of logs and metrics are not both known".to_owned(),
        });
    };
    let shorter = of_logs.min(of_metrics);
    if shorter <= 0.0 || both / shorter >= limit.value {
        return Ok(Verdict::Pass);
    }
    Ok(Verdict::fail(
        Draft::new(
            cluster,
            Severity::Info,
            format!(
                "logs cover {}, metrics {}, and both together only {}",
                format_ms(of_logs * 1e3),
                format_ms(of_metrics * 1e3),
                format_ms(both * 1e3)
            ),
        )
        .confidence(Confidence::High)
        .threshold(limit.words()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::evidence::{EvidenceSet, Histogram, Origin};
    use crate::rules::testing::{Set, member};
    use crate::rules::{Status, run};

    fn with(from: i64, to: i64) -> Status {
        let mut set = EvidenceSet::new();
        let at = |from, to| Window::between(Timestamp::from_secs(from), Timestamp::from_secs(to));
        let origin = |collector| Origin::new(collector, "test");
        set.put(
            &keys::LOGS_LINES,
            Subject::cluster(),
            at(0, 100),
            origin(Collector::Logs),
            5,
        );
        set.put(
            &keys::WAL_FSYNC,
            member(),
            at(from, to),
            origin(Collector::Metrics),
            Histogram::default(),
        );
        run(&[&RULE], &set, &crate::profile::Profile::default())[0].status
    }

    #[test]
    fn half_of_the_shorter_window_is_enough() {
        assert_eq!(with(50, 150), Status::Pass);
        assert_eq!(with(51, 151), Status::Fail);
        assert_eq!(with(500, 600), Status::Fail);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
        // What was read is what is cited.
        let apiserver = Set::new()
            .put(&keys::LOGS_LINES, Subject::cluster(), 5)
            .put(&keys::APISERVER_ETCD_TOOK, member(), Histogram::default());
        let cited = apiserver.check(&RULE)[0].evidence.clone();
        let key = keys::APISERVER_ETCD_TOOK.info.name;
        assert!(cited.iter().any(|cite| cite.key == key), "{cited:?}");
    }
}
