//! A certificate of etcd, or the one used to reach it, has expired or soon will.

use crate::evidence::{Missing, Subject, SubjectKind, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "certificate-expiring",
    summary: "a certificate of etcd has expired or expires soon",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "certificate-expiring",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("certificate-days");
    let urgent = cx.profile.limit("certificate-days-critical");
    let (cluster, certificates) = cx.evidence.any(&keys::ETCD_CERTIFICATES)?;
    cx.evidence.take_citations();
    let mut drafts = Vec::new();
    for row in &certificates.rows {
        let Some(days) = row.get("days_left").filter(|days| *days < limit.value) else {
            continue;
        };
        let until = row.get_text("until").unwrap_or_default();
        let (subject, whose) = match row.key.strip_prefix("server ") {
            Some(member) => (
                Subject::new(SubjectKind::Member, member),
                format!("the server certificate of {member}"),
            ),
            None => (
                Subject::cluster(),
                format!(
                    "the client certificate {}",
                    row.get_text("path").unwrap_or_default()
                ),
            ),
        };
        cx.evidence.cite_as(
            &keys::ETCD_CERTIFICATES,
            &cluster,
            format!("{}: until {until}", row.key),
        );
        let (severity, limit) = if days < urgent.value {
            (Severity::Critical, urgent)
        } else {
            (Severity::Warn, limit)
        };
        let message = if days < 0.0 {
            format!("{whose} expired on {until}")
        } else {
            format!("{whose} expires in {days:.1} days, on {until}")
        };
        drafts.push(
            Draft::new(subject, severity, message)
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
    use crate::rules::testing::{Set, table};

    fn with(days: f64) -> Set {
        let row: &[(&str, f64)] = &[("days_left", days)];
        Set::new().put(
            &keys::ETCD_CERTIFICATES,
            Subject::cluster(),
            table(&[("server m0", row)]),
        )
    }

    #[test]
    fn two_steps_and_the_past() {
        assert_eq!(with(7.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(6.9).status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(with(0.9).status(&RULE), (Status::Fail, Severity::Critical));
        let past = with(-3.0).check(&RULE);
        assert_eq!(past[0].subject.name, "m0");
        assert!(past[0].message.contains("expired on"), "{past:?}");
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
