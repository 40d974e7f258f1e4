//! The leader changes again and again.

use crate::evidence::{Missing, Subject, keys};
use crate::rules::rises::{self, Rises};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "leader-unstable",
    summary: "the etcd leader changes again and again",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "leader-unstable",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("leader-changes");
    let mut metrics = counted(cx, limit.value);
    if let Ok(rises) = &mut metrics {
        rises.over.sort_by(|a, b| b.most.total_cmp(&a.most));
    }
    let logs = logged(cx, limit.value);
    cx.evidence.take_citations();
    let (key, what) = (&keys::LEADER_CHANGES, "leader changes");
    let mut drafts = metrics.as_ref().map_or_else(
        |_| Vec::new(),
        |rises| joined(rises.drafts(cx, key, what, Severity::Critical, limit)),
    );
    if let Ok(logs) = &logs
        && logs.most > limit.value
        && drafts.is_empty()
    {
        let words = format!("{:.0} unplanned elections, counted by term", logs.all);
        for (subject, _) in cx.evidence.all(&keys::LOGS_ELECTIONS) {
            cx.evidence
                .cite_as(&keys::LOGS_ELECTIONS, &subject, words.clone());
        }
        drafts.push(
            Draft::new(Subject::cluster(), Severity::Critical, words)
                .confidence(Confidence::High)
                .threshold(limit.words())
                .cites(cx.evidence.take_citations()),
        );
    }
    let dated = logs.is_ok();
    rises::verdict(drafts, metrics, logs, dated)
}

/// Whether the leader changed more than `limit` times in a short while, by counters or by logs.
pub(in crate::rules) fn is_so(cx: &Context<'_>, limit: f64) -> bool {
    counted(cx, limit).is_ok_and(|rises| !rises.over.is_empty())
        || logged(cx, limit).is_ok_and(|logs| logs.most > limit)
}

/// Members that counted more than `limit` changes within the time that the limit is for.
fn counted(cx: &Context<'_>, limit: f64) -> Result<Rises, Missing> {
    let span = cx.profile.get("counted-within") / 1e3;
    let over = |count: f64| count > limit;
    let planned = planned(cx);
    let (key, column) = (&keys::LEADER_CHANGES, "leader_changes");
    rises::over_but(cx, key, column, span, &planned, over)
}

/// When logs tell that leadership was handed over on purpose, in seconds since 1970: the counter
/// counts those as well, and they stop no writes for an election timeout.
fn planned(cx: &Context<'_>) -> Vec<f64> {
    let tables = cx.evidence.all(&keys::LOGS_ELECTIONS);
    let rows = tables.iter().filter_map(|(_, table)| table.row("planned"));
    let times = rows.filter_map(|row| row.get_text("at"));
    let times = times.flat_map(str::split_ascii_whitespace);
    times.filter_map(|at| at.parse().ok()).collect()
}

/// One finding for one thing: each member counts the changes of the one leader that they have. The
/// words are those of the first one.
fn joined(drafts: Vec<Draft>) -> Vec<Draft> {
    let several = drafts.len() > 1;
    let mut all = drafts.into_iter();
    let Some(mut one) = all.next() else {
        return Vec::new();
    };
    if several {
        one.subject = Subject::cluster();
    }
    for draft in all {
        one.add_citations(draft.evidence);
    }
    vec![one]
}

/// Elections that nobody asked for.
struct Elections {
    /// All of them.
    all: f64,
    /// Most within a quarter of an hour.
    most: f64,
}

/// Unplanned elections in logs. Every member writes lines of its own about one election, so terms are
/// counted.
fn logged(cx: &Context<'_>, limit: f64) -> Result<Elections, Missing> {
    let span = cx.profile.get("counted-within") / 1e3;
    let mut found = Elections {
        all: 0.0,
        most: 0.0,
    };
    for (subject, table) in cx.evidence.some(&keys::LOGS_ELECTIONS)? {
        let Some(row) = table.row("unplanned") else {
            continue;
        };
        // Those of several members' logs add up in `terms`.
        let all = row
            .get("max_all")
            .or_else(|| row.get("terms"))
            .unwrap_or(0.0);
        let record = cx.evidence.record(&keys::LOGS_ELECTIONS, &subject);
        let secs = record.and_then(|record| record.secs());
        // A bundle of an older release does not say when: as many as the mean.
        let mean = all * (span / secs.unwrap_or(span).max(span));
        let most = row.get("max_terms").unwrap_or(mean).max(mean);
        if all > limit && most <= limit && row.get("max_terms").is_none() {
            return Err(Missing::NotEnough {
                why: format!("{all:.0} unplanned elections, and not known how close together"),
            });
        }
        found.all = found.all.max(all);
        found.most = found.most.max(most);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, member, table};

    #[test]
    fn both_sides_of_the_limit_from_either_source() {
        let limit = crate::profile::Profile::default().get("leader-changes");
        let metrics = |n: f64| Set::new().put(&keys::LEADER_CHANGES, member(), n);
        assert_eq!(metrics(limit).status(&RULE).0, Status::Pass);
        assert_eq!(
            metrics(limit + 1.0).status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        let logs = |n: f64| {
            Set::new().put(
                &keys::LOGS_ELECTIONS,
                Subject::cluster(),
                table(&[
                    ("unplanned", &[("terms", n)]),
                    ("planned", &[("terms", 9.0)]),
                ]),
            )
        };
        assert_eq!(logs(limit).status(&RULE).0, Status::Pass);
        assert_eq!(
            logs(limit + 1.0).status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn what_was_handed_over_on_purpose_is_no_trouble() {
        let planned = |moments: &str| {
            let rows = vec![
                crate::evidence::Row::new("planned")
                    .num("terms", 6.0)
                    .text("at", moments),
            ];
            let elections = crate::evidence::Table {
                rows,
                ..Default::default()
            };
            let other = Subject::new(crate::evidence::SubjectKind::Member, "b");
            Set::new()
                .put_over(&keys::LEADER_CHANGES, member(), 6.0, 60)
                .put_over(&keys::LEADER_CHANGES, other, 7.0, 60)
                .put(&keys::LOGS_ELECTIONS, Subject::cluster(), elections)
        };
        let at = |n: i64| {
            let moments: Vec<String> = (10..10 + n).map(|at| format!("{at}.500")).collect();
            planned(&moments.join(" "))
        };
        assert_eq!(at(6).status(&RULE).0, Status::Pass);
        assert_eq!(at(4).status(&RULE).0, Status::Pass);
        // One finding of both members, in the words of the one that counted most.
        let found = at(2).check(&RULE);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].message, "5 leader changes in 60 s");
        assert_eq!(found[0].evidence.len(), 2, "{found:?}");
        // Those of another time excuse nothing.
        let other = planned("61.000 62.000 63.000 64.000 65.000 66.000");
        assert_eq!(other.status(&RULE).0, Status::Fail);
    }

    #[test]
    fn what_is_spread_over_months_is_no_fault_of_now() {
        let month = 30 * 86_400;
        let counted = Set::new().put_over(&keys::LEADER_CHANGES, member(), 5.0, month);
        assert_eq!(counted.status(&RULE).0, Status::Unknown);
        let logs = |most: f64| {
            let row: &[(&str, f64)] = &[("max_terms", most), ("terms", 9.0)];
            let elections = table(&[("unplanned", row)]);
            Set::new().put_over(&keys::LOGS_ELECTIONS, Subject::cluster(), elections, month)
        };
        assert_eq!(logs(3.0).status(&RULE).0, Status::Pass);
        assert_eq!(logs(4.0).status(&RULE).0, Status::Fail);
        let row: &[(&str, f64)] = &[("terms", 9.0)];
        let old = table(&[("unplanned", row)]);
        let old = Set::new().put_over(&keys::LOGS_ELECTIONS, Subject::cluster(), old, month);
        assert_eq!(old.status(&RULE).0, Status::Unknown);
        // A log of the same time tells what the counters do not.
        let both = logs(1.0).put_over(&keys::LEADER_CHANGES, member(), 5.0, month);
        assert_eq!(both.status(&RULE).0, Status::Pass);
    }
}
