//! The apiserver waits long for etcd: a symptom that tells nothing about the cause.

use crate::evidence::{Missing, Unit, keys, number};
use crate::rules::phases;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "etcd-requests-slow",
    summary: "kube-apiserver waits long for etcd",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "etcd-requests-slow",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("etcd-request-p99");
    let mut drafts = Vec::new();
    for (subject, histogram) in cx.evidence.some(&keys::APISERVER_ETCD_TOOK)? {
        let Some((low, high)) = histogram.bracket(0.99) else {
            continue;
        };
        if histogram.count() < 100.0 {
            continue;
        }
        let worst = cx
            .evidence
            .peek(&keys::APISERVER_PHASES, &subject)
            .and_then(|table| phases::worst_etcd_requests(&table))
            .filter(|worst| worst.low > low && worst.low >= limit.value);
        cx.evidence.take_citations();
        if low < limit.value && worst.is_none() {
            // A way to etcd that costs every request as much leaves p99 below the limit.
            let half = cx.profile.limit("etcd-request-p50");
            let median = histogram.bracket(0.5);
            if let Some((low, high)) = median.filter(|(low, _)| *low >= half.value) {
                cx.evidence.cite(&keys::APISERVER_ETCD_TOOK, &subject);
                let words = format!(
                    "half of {:.0} requests to etcd take longer than {} to {}",
                    histogram.count(),
                    number(low, Unit::Ms),
                    number(high, Unit::Ms)
                );
                drafts.push(
                    Draft::new(subject, Severity::Warn, words)
                        .confidence(Confidence::High)
                        .threshold(half.words())
                        .cites(cx.evidence.take_citations()),
                );
            }
            continue;
        }
        cx.evidence.cite(&keys::APISERVER_ETCD_TOOK, &subject);
        let whole = format!(
            "between {} and {}",
            number(low, Unit::Ms),
            if high.is_finite() {
                number(high, Unit::Ms)
            } else {
                "∞".to_owned()
            }
        );
        let message = match &worst {
            Some(worst) => {
                let words = worst.words();
                cx.evidence.cite_as(
                    &keys::APISERVER_PHASES,
                    &subject,
                    format!("p99 of requests to etcd {words}"),
                );
                if low < limit.value {
                    format!(
                        "p99 of requests to etcd was {words}; over the whole window it is {whole}"
                    )
                } else {
                    format!("p99 of requests to etcd is {whole}; at its worst {words}")
                }
            }
            None => format!("p99 of requests to etcd is {whole}"),
        };
        drafts.push(
            Draft::new(subject, Severity::Warn, message)
                .confidence(Confidence::High)
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
    use crate::rules::testing::{Set, component, histogram};

    #[test]
    fn only_a_bracket_above_the_limit() {
        let with = |buckets: &[(f64, f64)]| {
            Set::new().put(
                &keys::APISERVER_ETCD_TOOK,
                component("kube-apiserver"),
                histogram(buckets),
            )
        };
        assert_eq!(
            with(&[(1000.0, 0.0), (2000.0, 100.0)]).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(
            with(&[(5.0, 900.0), (800.0, 0.0), (1250.0, 100.0)])
                .status(&RULE)
                .0,
            Status::Pass
        );
        assert_eq!(
            with(&[(1000.0, 0.0), (2000.0, 99.0)]).status(&RULE).0,
            Status::Pass
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    /// p99 is below its limit, and no request is answered as fast as etcd answers.
    #[test]
    fn a_slow_way_makes_every_request_slow() {
        let limit = crate::profile::Profile::default().get("etcd-request-p50");
        let with = |low: f64| {
            let took = histogram(&[(low, 0.0), (low * 2.0, 300.0), (600.0, 2.0)]);
            let about = component("kube-apiserver");
            Set::new().put(&keys::APISERVER_ETCD_TOOK, about, took)
        };
        assert_eq!(with(limit).status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(with(limit * 0.9).status(&RULE).0, Status::Pass);
    }
}
