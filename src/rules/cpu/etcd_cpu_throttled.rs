//! The kernel holds etcd back because its cgroup has used up its CPU limit.

use crate::evidence::{Missing, Subject, keys};
use crate::rules::cpu::run_delay_high::APISERVER;
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "etcd-cpu-throttled",
    summary: "etcd is throttled by its CPU limit",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "etcd-cpu-throttled",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("cgroup-throttled-periods");
    let mut drafts = Vec::new();
    for (subject, value) in cx.evidence.some(&keys::CGROUP_THROTTLED)? {
        // What kube-apiserver lacks is `apiserver-cpu-short`.
        if value <= limit.value || subject.name == APISERVER {
            continue;
        }
        cx.evidence.cite(&keys::CGROUP_THROTTLED, &subject);
        drafts.push(
            Draft::new(
                subject.clone(),
                Severity::Critical,
                format!(
                    "{} was throttled in {:.0} % of the scheduling periods{}",
                    subject.name,
                    value * 100.0,
                    worst_of(cx, &subject)
                ),
            )
            .threshold(limit.words())
            .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

/// Of several windows the worst one is told, which is not the share over all of them.
pub(super) fn worst_of(cx: &Context<'_>, subject: &Subject) -> &'static str {
    let record = cx.evidence.record(&keys::CGROUP_THROTTLED, subject);
    let whole = record.and_then(|record| Some(record.window.to?.since_us(record.window.from?)));
    let longest = cx.evidence.peek(&keys::PROCESS_SAMPLE_SECS, subject);
    match (whole, longest) {
        (Some(whole), Some(secs)) if secs * 1e6 < whole as f64 * 0.9 => " of the worst window",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::evidence::{Collector, Origin, Window};
    use crate::rules::Status;
    use crate::rules::testing::{Set, component};

    #[test]
    fn both_sides_of_the_limit() {
        let limit = crate::profile::Profile::default().get("cgroup-throttled-periods");
        let with = |value: f64| Set::new().put(&keys::CGROUP_THROTTLED, component("etcd"), value);
        assert_eq!(with(limit).status(&RULE).0, Status::Pass);
        assert_eq!(
            with(limit * 1.01).status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn the_worst_of_several_windows_is_called_that() {
        let mut set = Set::new();
        let at = |secs| Some(Timestamp::from_secs(secs));
        for (from, share) in [(0, 0.64), (60, 0.0)] {
            let window = Window {
                from: at(from),
                to: at(from + 60),
            };
            let origin = || Origin::new(Collector::Host, "test");
            let etcd = || component("etcd");
            set.0
                .put(&keys::CGROUP_THROTTLED, etcd(), window, origin(), share);
            set.0
                .put(&keys::PROCESS_SAMPLE_SECS, etcd(), window, origin(), 60.0);
        }
        let words = set.check(&RULE)[0].message.clone();
        assert!(
            words.contains("64 % of the scheduling periods of the worst"),
            "{words}"
        );
    }
}
