//! Leases are granted at a rate that no kube-apiserver asks for.

use crate::evidence::{Missing, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "leases-granted-fast",
    summary: "a client of etcd makes leases again and again",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "leases-granted-fast",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("leases-granted");
    let members = cx.evidence.some(&keys::SERVER_COUNTERS)?;
    cx.evidence.take_citations();
    let rate = |table: &crate::evidence::Table, row: &str| table.row(row)?.get("per_sec");
    // Every member applies every grant: those who count most of them count all.
    let (subject, table, granted) = members
        .iter()
        .filter_map(|(subject, table)| Some((subject, table, rate(table, "leases-granted")?)))
        .max_by(|a, b| a.2.total_cmp(&b.2))
        .ok_or_else(|| Missing::NotEnough {
            why: "no member tells a rate of granted leases: that needs two scrapes".to_owned(),
        })?;
    if granted < limit.value {
        return Ok(Verdict::Pass);
    }
    let gone = rate(table, "leases-revoked").unwrap_or(0.0);
    let words = format!("{granted:.0} leases granted each second, {gone:.0} revoked");
    cx.evidence
        .cite_as(&keys::SERVER_COUNTERS, subject, words.clone());
    Ok(Verdict::fail(
        Draft::new(subject.clone(), Severity::Warn, words)
            .confidence(Confidence::High)
            .threshold(limit.words())
            .cites(cx.evidence.take_citations()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, member, table};

    #[test]
    fn both_sides_of_the_limit() {
        let limit = crate::profile::Profile::default().get("leases-granted");
        let with = |rate: f64| {
            Set::new().put(
                &keys::SERVER_COUNTERS,
                member(),
                table(&[
                    ("leases-granted", &[("count", 9e9), ("per_sec", rate)]),
                    // Keeping leases alive is what clients are to do.
                    ("leases-renewed", &[("count", 9e9), ("per_sec", 1e4)]),
                ]),
            )
        };
        assert_eq!(with(limit).status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(with(limit * 0.99).status(&RULE).0, Status::Pass);
        // One scrape tells no rate.
        let once = Set::new().put(
            &keys::SERVER_COUNTERS,
            member(),
            table(&[("leases-granted", &[("count", 9e9)])]),
        );
        assert_eq!(once.status(&RULE).0, Status::Unknown);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
