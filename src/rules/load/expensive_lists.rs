//! Lists of one resource decide what etcd spends its time on.

use crate::evidence::{Missing, Row, Subject, SubjectKind, Table, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::units::{format_bytes, format_ms};

/// The rule.
pub static RULE: Rule = Rule {
    id: "expensive-lists",
    summary: "lists of a resource cost etcd most of its time",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "expensive-lists",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let logs = cx.evidence.get(&keys::LOGS_REQUESTS, &Subject::cluster());
    cx.evidence.take_citations();
    let metrics = cx.evidence.some(&keys::APISERVER_ETCD_REQUESTS);
    cx.evidence.take_citations();
    let mut drafts = Vec::new();
    if let Ok(metrics) = &metrics {
        for (subject, table) in metrics {
            from_metrics(cx, subject, table, &mut drafts);
        }
    }
    if let Ok(table) = &logs {
        from_logs(cx, table, &mut drafts);
    }
    Verdict::of_either(drafts, logs, metrics)
}

/// Exact counts: lists of one resource take a large share of all time spent waiting for etcd,
/// and each takes long.
fn from_metrics(cx: &Context<'_>, subject: &Subject, table: &Table, drafts: &mut Vec<Draft>) {
    let share_limit = cx.profile.limit("list-share");
    let fast = cx.profile.get("etcd-request-fast");
    let least = cx.profile.get("list-rate");
    let page = cx.profile.get("list-items");
    let secs = cx
        .evidence
        .record(&keys::APISERVER_ETCD_REQUESTS, subject)
        .and_then(|record| record.secs())
        .unwrap_or(0.0);
    let total = table.total("total_secs");
    for (row, list_secs) in table.top("list_secs") {
        let lists = row.get("lists").unwrap_or(0.0);
        let each_ms = list_secs * 1e3 / lists.max(1.0);
        let often = secs > 0.0 && lists / secs >= least;
        let objects = objects_per_list(cx, subject, &row.key);
        let large = each_ms >= fast || objects.is_some_and(|n| n >= page);
        if total <= 0.0 || list_secs / total < share_limit.value || !large || !often {
            continue;
        }
        let words = format!(
            "{lists:.0} lists of {}{} took {} each, {:.0} % of the time the apiserver waited for etcd",
            row.key,
            objects.map_or_else(String::new, |n| format!(" ({n:.0} objects)")),
            format_ms(each_ms),
            list_secs / total * 100.0
        );
        cx.evidence
            .cite_as(&keys::APISERVER_ETCD_REQUESTS, subject, words.clone());
        drafts.push(
            Draft::new(
                Subject::new(SubjectKind::Resource, &row.key),
                Severity::Warn,
                words,
            )
            .weight(list_secs / total)
            .threshold(share_limit.words())
            .cites(cx.evidence.take_citations()),
        );
    }
}

/// Objects that one list of a resource fetched from etcd, on average.
fn objects_per_list(cx: &Context<'_>, subject: &Subject, resource: &str) -> Option<f64> {
    let table = cx.evidence.peek(&keys::APISERVER_LISTS, subject)?;
    let row = table.row(resource)?;
    let lists = row.get("lists").filter(|n| *n > 0.0)?;
    Some(row.get("fetched")? / lists)
}

/// From this share of a list's time on, a read of one object is as slow.
const AS_SLOW: f64 = 0.8;

/// Slow requests only: large answers that take a large share of all slow-seconds.
fn from_logs(cx: &Context<'_>, table: &Table, drafts: &mut Vec<Draft>) {
    let share_limit = cx.profile.limit("list-share");
    let page = cx.profile.get("list-items");
    let size = cx.profile.get("list-size");
    let least = cx.profile.get("list-lines");
    let busy = cx.profile.get("list-busy");
    let usual = cx.profile.get("slow-apply-default");
    let span = cx
        .evidence
        .record(&keys::LOGS_REQUESTS, &Subject::cluster())
        .and_then(|record| record.secs())
        .unwrap_or(f64::INFINITY);
    let total = table.total("slow_secs");
    let bound = cx
        .evidence
        .peek(&keys::LOGS_READINDEX_BOUND, &Subject::cluster())
        .and_then(|table| table.row("all").and_then(|row| row.get("slow_secs")))
        .unwrap_or(0.0);
    // Where most of the time went into waiting for the leader, the keys asked for are an accident.
    if total <= 0.0 || bound / total > 0.5 {
        return;
    }
    // Where reads of one object take as long as lists of thousands do, neither is the reason.
    let gets = table.total("gets");
    let lists = table.total("lists");
    let get_secs = table
        .rows
        .iter()
        .filter(|row| row.get("gets").is_some_and(|n| n > 0.0))
        .map(|row| {
            let of = |column| row.get(column).unwrap_or(0.0);
            // Other reads than lists and gets are not told apart: an upper bound.
            (of("slow_secs") - of("list_slow_secs") - of("write_slow_secs")).max(0.0)
        })
        .sum::<f64>();
    let list_secs = table.total("list_slow_secs");
    if gets >= lists
        && gets >= least
        && get_secs / gets.max(1.0) >= AS_SLOW * list_secs / lists.max(1.0)
    {
        return;
    }
    let mean =
        |row: &Row, column: &str, lists: f64| row.get(column).map(|sum| sum / lists.max(1.0));
    for (row, list_secs) in table.top("list_slow_secs") {
        let lists = row.get("lists").unwrap_or(0.0);
        let items = mean(row, "items", lists).unwrap_or(0.0);
        let bytes = mean(row, "bytes", lists).unwrap_or(0.0);
        // A lowered warning threshold logs lists that cost nothing: lines are not slowness.
        let slow = list_secs * 1e3 / lists.max(1.0) >= usual || list_secs / span >= busy;
        let large = (items >= page || bytes >= size) && slow;
        if list_secs / total < share_limit.value || lists < least || !large {
            continue;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a mean of sizes"
        )]
        let words = format!(
            "{lists:.0} slow lists of {} ({items:.0} objects, {} each) took {:.0} % of all logged time",
            row.key,
            format_bytes(bytes as u64),
            list_secs / total * 100.0
        );
        cx.evidence
            .cite_as(&keys::LOGS_REQUESTS, &Subject::cluster(), words.clone());
        let subject = Subject::new(SubjectKind::Resource, &row.key);
        let cites = cx.evidence.take_citations();
        if let Some(have) = drafts.iter_mut().find(|draft| draft.is_about(&subject)) {
            have.add_citations(cites);
            continue;
        }
        drafts.push(
            Draft::new(subject, Severity::Warn, words)
                // The log holds slow requests only: a lower bound and an inference.
                .confidence(Confidence::Medium)
                .weight(list_secs / total)
                .threshold(share_limit.words())
                .cites(cites),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, table};

    fn logs(lists: f64, items: f64, bound: f64) -> Set {
        Set::new()
            .put(
                &keys::LOGS_REQUESTS,
                Subject::cluster(),
                table(&[
                    (
                        "configmaps",
                        &[
                            ("lists", lists),
                            ("list_slow_secs", 30.0),
                            ("slow_secs", 30.0),
                            ("items", items * lists),
                            ("bytes", 0.0),
                        ],
                    ),
                    ("pods", &[("slow_secs", 70.0), ("lists", 0.0)]),
                ]),
            )
            .put(
                &keys::LOGS_READINDEX_BOUND,
                Subject::cluster(),
                table(&[("all", &[("slow_secs", bound)])]),
            )
    }

    #[test]
    fn large_slow_lists_with_a_large_share_fail() {
        let profile = crate::profile::Profile::default();
        let (page, least) = (profile.get("list-items"), profile.get("list-lines"));
        assert_eq!(
            logs(least, page, 0.0).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(logs(least - 1.0, page, 0.0).status(&RULE).0, Status::Pass);
        assert_eq!(logs(least, page - 1.0, 0.0).status(&RULE).0, Status::Pass);
        // A stalled leader makes any key slow.
        assert_eq!(logs(least, page, 51.0).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn lists_that_are_no_slower_than_reads_of_one_object_are_no_cause() {
        let with = |gets: f64, get_secs: f64| {
            Set::new().put(
                &keys::LOGS_REQUESTS,
                Subject::cluster(),
                table(&[
                    (
                        "configmaps",
                        &[
                            ("lists", 60.0),
                            ("list_slow_secs", 60.0),
                            ("slow_secs", 60.0),
                            ("items", 60.0 * 2500.0),
                            ("bytes", 60.0 * 4.4e6),
                        ],
                    ),
                    ("pods", &[("gets", gets), ("slow_secs", gets * get_secs)]),
                ]),
            )
        };
        assert_eq!(with(60.0, 0.5).status(&RULE).0, Status::Fail);
        assert_eq!(with(60.0, 0.9).status(&RULE).0, Status::Pass);
        assert_eq!(with(59.0, 0.9).status(&RULE).0, Status::Fail);
    }

    #[test]
    fn lines_of_a_lowered_threshold_are_not_slowness() {
        let with = |secs: f64| {
            Set::new().put(
                &keys::LOGS_REQUESTS,
                Subject::cluster(),
                table(&[(
                    "configmaps",
                    &[
                        ("lists", 200.0),
                        ("list_slow_secs", secs),
                        ("slow_secs", secs),
                        ("items", 200.0 * 2500.0),
                        ("bytes", 200.0 * 4.4e6),
                    ],
                )]),
            )
        };
        // Of 100 s.
        assert_eq!(with(1.0).status(&RULE).0, Status::Fail);
        assert_eq!(with(0.9).status(&RULE).0, Status::Pass);
    }

    #[test]
    fn exact_counts_decide_where_they_exist() {
        let with = |list_secs: f64| {
            Set::new().put(
                &keys::APISERVER_ETCD_REQUESTS,
                component("kube-apiserver"),
                table(&[
                    (
                        "configmaps",
                        &[
                            ("lists", 100.0),
                            ("list_secs", list_secs),
                            ("total_secs", list_secs),
                        ],
                    ),
                    (
                        "leases",
                        &[("lists", 0.0), ("list_secs", 0.0), ("total_secs", 10.0)],
                    ),
                ]),
            )
        };
        assert_eq!(with(50.0).status(&RULE), (Status::Fail, Severity::Warn));
        // 100 lists in 9.9 s are 99 ms each: fast.
        assert_eq!(with(9.9).status(&RULE).0, Status::Pass);
    }
}
