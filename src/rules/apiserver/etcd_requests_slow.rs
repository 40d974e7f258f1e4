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
        if low < limit.value && worst.is_none() {
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
            with(&[(800.0, 0.0), (1250.0, 100.0)]).status(&RULE).0,
            Status::Pass
        );
        assert_eq!(
            with(&[(1000.0, 0.0), (2000.0, 99.0)]).status(&RULE).0,
            Status::Pass
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
