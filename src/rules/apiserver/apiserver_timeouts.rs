//! Requests to the apiserver ran into their time limit.

use crate::evidence::{Missing, Subject, SubjectKind};
use crate::rules::events::{self, Seen};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "apiserver-timeouts",
    summary: "requests to kube-apiserver time out",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "apiserver-timeouts",
    check,
};

const KINDS: &[&str] = &[
    "apiserver-timeout",
    "api-timeout",
    "apiserver-handler-timeout",
    "etcd-error-timeout",
    "etcd-deadline",
];

/// A handler that went on after its time-out says so once more when it ends.
const AFTER: &[&str] = &["apiserver-post-timeout"];

/// What the HTTP log says of the same requests.
const ANSWERS: &[&str] = &["http-timeout"];

/// Kinds of which each tells of a time-out for sure. The others say the same of a client that went away
/// (apiserver: filters/timeout.go, both end the request's context).
const SURE: &[&str] = &[
    "api-timeout",
    "apiserver-handler-timeout",
    "etcd-deadline",
    "etcd-error-timeout",
    "http-timeout",
];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("apiserver-timeouts");
    let sure = |about: &Subject| events::column(cx, about, SURE, "count") > 0.0;
    let words = |seen: &Seen| match sure(&seen.subject) {
        true => format!("{:.0} requests timed out", seen.count),
        false => format!(
            "{:.0} requests timed out, or their clients gave them up: the log does not tell which",
            seen.count
        ),
    };
    let mut drafts = events::at_least(cx, &[KINDS, AFTER, ANSWERS], limit, "time-outs", words)?;
    for draft in &mut drafts {
        if !sure(draft.about()) {
            *draft = draft.clone().confidence(Confidence::Medium);
        }
    }
    if drafts.is_empty() {
        drafts.extend(together(cx)?);
    }
    Ok(Verdict::Fail(drafts))
}

/// Time-outs that are spread over several kube-apiservers. Who waited for one of them may tell of the
/// same, so that only their own lines are added up.
fn together(cx: &Context<'_>) -> Result<Option<Draft>, Missing> {
    let limit = cx.profile.limit("apiserver-timeouts");
    for kinds in [KINDS, AFTER, ANSWERS] {
        let mut all = 0.0;
        let mut seen = Vec::new();
        for own in events::seen(cx, kinds)? {
            if own.subject.name == "kube-apiserver" {
                all += own.hourly;
                seen.push(own);
            }
        }
        if seen.len() < 2 || all < limit.value {
            continue;
        }
        let count: f64 = seen.iter().map(|own| own.count).sum();
        for own in &seen {
            events::cite(cx, own, "time-outs");
        }
        return Ok(Some(
            Draft::new(
                Subject::new(SubjectKind::Component, "kube-apiserver"),
                Severity::Warn,
                format!(
                    "{count:.0} requests to {} kube-apiservers timed out",
                    seen.len()
                ),
            )
            .threshold(limit.words())
            .cites(cx.evidence.take_citations()),
        ));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::keys;
    use crate::rules::Status;
    use crate::rules::testing::{Set, member, table};

    fn of(kinds: &[(&str, f64)]) -> Set {
        let rows: Vec<_> = kinds
            .iter()
            .map(|(kind, count)| (*kind, [("count", *count)]))
            .collect();
        let rows: Vec<_> = rows
            .iter()
            .map(|(kind, cells)| (*kind, &cells[..]))
            .collect();
        Set::new().put(&keys::LOGS_EVENTS, member(), table(&rows))
    }

    fn with(count: f64) -> Set {
        of(&[(KINDS[0], count)])
    }

    #[test]
    fn what_ends_after_its_time_counts_once() {
        let limit = crate::profile::Profile::default().get("apiserver-timeouts");
        let status = |timeouts, after| of(&[(KINDS[0], timeouts), (AFTER[0], after)]).status(&RULE);
        assert_eq!(status(limit - 1.0, limit - 1.0).0, Status::Pass);
        assert_eq!(status(0.0, limit).0, Status::Fail);
        let answers = |n| {
            of(&[(KINDS[0], limit - 1.0), (ANSWERS[0], n)])
                .status(&RULE)
                .0
        };
        assert_eq!(answers(limit - 1.0), Status::Pass);
        assert_eq!(answers(limit), Status::Fail);
    }

    #[test]
    fn what_may_be_a_client_that_left_is_said_so() {
        let limit = crate::profile::Profile::default().get("apiserver-timeouts");
        let said = |kinds: &[(&str, f64)]| of(kinds).check(&RULE)[0].message.clone();
        let open = said(&[(KINDS[0], limit)]);
        assert!(open.contains("or their clients gave them up"), "{open}");
        let sure = said(&[(KINDS[0], limit), ("etcd-error-timeout", 1.0)]);
        assert!(sure.ends_with("requests timed out"), "{sure}");
    }

    #[test]
    fn time_outs_of_several_kube_apiservers_are_added_up() {
        let limit = crate::profile::Profile::default().get("apiserver-timeouts");
        let spread = |count: f64| {
            let row = [("count", count / 3.0)];
            Set::new().put_on_three(&keys::LOGS_EVENTS, || table(&[(KINDS[0], &row)]))
        };
        assert_eq!(spread(limit).check(&RULE).len(), 1);
        assert_eq!(spread(limit - 1.0).status(&RULE).0, Status::Pass);
    }

    #[test]
    fn both_sides_of_the_limit() {
        let limit = crate::profile::Profile::default().get("apiserver-timeouts");
        assert_eq!(with(limit - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(limit).status(&RULE).0, Status::Fail);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
