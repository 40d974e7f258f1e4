//! Watchers lag behind: etcd has events for them that it could not send yet.

use crate::evidence::{Missing, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "watchers-behind",
    summary: "watchers of etcd lag behind all the time",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "watchers-behind",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("slow-watchers");
    let members = cx.evidence.some(&keys::SLOW_WATCHERS)?;
    cx.evidence.take_citations();
    let mut drafts = Vec::new();
    for (subject, slow) in members {
        // A watch that begins in the past lags for a moment: what counts is who lags at every look.
        let least = slow.points.iter().map(|point| point.value);
        let least = least.fold(f64::INFINITY, f64::min);
        if !least.is_finite() || least < limit.value {
            continue;
        }
        cx.evidence.cite_as(
            &keys::SLOW_WATCHERS,
            &subject,
            format!("{least:.0} at least, at {} looks", slow.points.len()),
        );
        let row = |name| {
            let table = cx.evidence.peek(&keys::WATCHERS, &subject)?;
            table.row(name)?.get("last_count")
        };
        let of = row("watchers").map_or_else(String::new, |all| format!(" of {all:.0}"));
        let pending = row("pending-events").filter(|events| *events > 0.0);
        let pending = pending.map_or_else(String::new, |events| {
            format!("; {events:.0} events wait to be sent")
        });
        let once = slow.points.len() < 2;
        let (severity, confidence) = match once {
            true => (Severity::Info, Confidence::Medium),
            false => (Severity::Warn, Confidence::High),
        };
        drafts.push(
            Draft::new(
                subject,
                severity,
                format!("at least {least:.0}{of} watchers lag behind{pending}"),
            )
            .confidence(confidence)
            .threshold(limit.words())
            .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::evidence::{Point, Series};
    use crate::rules::Status;
    use crate::rules::testing::{Set, member};

    fn with(values: &[f64]) -> Set {
        let points = (0..)
            .zip(values)
            .map(|(at, value)| Point {
                at: Timestamp::from_secs(at),
                value: *value,
            })
            .collect();
        Set::new().put(&keys::SLOW_WATCHERS, member(), Series { points })
    }

    #[test]
    fn only_those_that_lag_at_every_look() {
        let limit = crate::profile::Profile::default().get("slow-watchers");
        assert_eq!(
            with(&[limit, 9e4]).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(with(&[limit - 1.0, 9e4]).status(&RULE).0, Status::Pass);
        assert_eq!(with(&[limit]).status(&RULE), (Status::Fail, Severity::Info));
        assert_eq!(with(&[]).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
