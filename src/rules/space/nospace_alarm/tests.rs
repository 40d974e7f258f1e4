//! When the alarm holds, when it is history, and when a line about it is contradicted.

use super::*;
use crate::clock::Timestamp;
use crate::evidence::{Point, Series};
use crate::rules::Status;
use crate::rules::testing::{Set, member, table};

fn sized(size: f64, quota: f64) -> Set {
    let points = vec![Point {
        at: Timestamp(0),
        value: size,
    }];
    Set::new()
        .put(&keys::DB_SIZE, member(), Series { points })
        .put(&keys::DB_QUOTA, member(), quota)
}

/// Logs that tell of the alarm at second 1000, and of what else the columns say.
fn logged(columns: &[(&str, f64)]) -> Set {
    let mut row = vec![("last_raised_secs", 1_000.0)];
    row.extend(columns);
    Set::new()
        .put(&keys::LOGS_EVENTS, member(), table(&[]))
        .put(&keys::LOGS_ALARMS, member(), table(&[("NOSPACE", &row)]))
}

#[test]
fn an_alarm_that_came_again_is_told_so() {
    use crate::rules::testing::{episode, episodes};
    let told = |raised: &[i64]| {
        let all = raised.iter().map(|at| episode("alarm-raised", *at, *at));
        let set = logged(&[("raised", 2.0), ("last_disarmed_secs", 1_001.0)]).put(
            &keys::LOGS_EPISODES,
            member(),
            episodes(all.collect()),
        );
        set.check(&RULE).remove(0).message
    };
    let twice = told(&[960, 990]);
    let words = "00:16:00 to 1970-01-01 00:16:40 (2 times: disarmed in between, and raised again at \
                 1970-01-01 00:16:30); the alarm was disarmed since";
    assert!(twice.ends_with(words), "{twice}");
    assert!(!told(&[960]).contains("times"), "{}", told(&[960]));
}

#[test]
fn an_alarm_that_is_over_is_a_warning_for_an_hour() {
    let raised = ("raised", 2.0);
    let disarmed = |secs: f64| logged(&[raised, ("last_disarmed_secs", secs)]);
    let found = disarmed(1_001.0).check(&RULE).remove(0);
    assert_eq!(
        (found.severity, found.aspect.as_str()),
        (Severity::Warn, IS_OVER)
    );
    assert!(
        found
            .message
            .ends_with("1970-01-01 00:16:40; the alarm was disarmed since")
    );
    let row: &[(&str, f64)] = &[
        raised,
        ("last_raised_secs", 10.0),
        ("last_disarmed_secs", 11.0),
    ];
    let old = |secs| {
        Set::new()
            .put(&keys::LOGS_EVENTS, member(), table(&[]))
            .put_over(
                &keys::LOGS_ALARMS,
                member(),
                table(&[("NOSPACE", row)]),
                secs,
            )
    };
    assert_eq!(old(3_000).status(&RULE).0, Status::Fail);
    assert_eq!(old(4_000).status(&RULE).0, Status::Pass);
    assert_eq!(
        disarmed(999.0).status(&RULE),
        (Status::Fail, Severity::Critical)
    );
    // Another alarm of the same name's kind is another matter.
    let corrupt = Set::new()
        .put(&keys::LOGS_EVENTS, member(), table(&[]))
        .put(
            &keys::LOGS_ALARMS,
            member(),
            table(&[("CORRUPT", &[raised])]),
        );
    assert_eq!(corrupt.status(&RULE).0, Status::Pass);
    // A size measured later, well below the quota or not.
    let below = crate::profile::Profile::default().get("quota-used-warn");
    let later = |secs: i64, size: f64| {
        let point = Point {
            at: Timestamp::from_secs(secs),
            value: size,
        };
        let series = Series {
            points: vec![point],
        };
        logged(&[raised])
            .put(&keys::DB_SIZE, member(), series)
            .put(&keys::DB_QUOTA, member(), 1.0)
    };
    let fails = |severity| (Status::Fail, severity);
    assert_eq!(later(1_010, below).status(&RULE), fails(Severity::Critical));
    assert_eq!(later(990, 0.1).status(&RULE), fails(Severity::Critical));
    assert_eq!(later(1_010, 0.1).status(&RULE), fails(Severity::Warn));
    assert_eq!(later(4_700, 0.1).status(&RULE).0, Status::Pass);
}

#[test]
fn metrics_show_an_alarm_that_nobody_disarmed() {
    use crate::rules::alarms::testing::showing;
    // Compacted and defragmented, and nothing else done.
    let small = || sized(286.0, 2_048.0);
    let fails = |severity| (Status::Fail, severity);
    let held = showing(small(), "a", ALARM, 0.0, Some(0.0));
    assert_eq!(held.status(&RULE), fails(Severity::Critical));
    // One finding of all members, which show the alarms of each other.
    let all = showing(held, "b", ALARM, 0.0, Some(0.0)).check(&RULE);
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].message.contains("of a, b:"), "{}", all[0].message);
    // What was disarmed stays in the metric, while writes go through.
    let over = showing(small(), "a", ALARM, 0.0, Some(9.0));
    assert_eq!(over.status(&RULE).0, Status::Pass);
    let raised = showing(small(), "a", ALARM, 3.0, Some(9.0));
    assert_eq!(raised.status(&RULE), fails(Severity::Warn));
    let untold = showing(small(), "a", ALARM, 0.0, None);
    assert_eq!(untold.status(&RULE), fails(Severity::Warn));
    let other = showing(small(), "a", "CORRUPT", 0.0, Some(0.0));
    assert_eq!(other.status(&RULE).0, Status::Pass);
    // Members were asked, and have none.
    let none = crate::evidence::Table::default();
    let asked = untold.put(&keys::ETCD_ALARMS, Subject::cluster(), none);
    assert_eq!(asked.status(&RULE).0, Status::Pass);
}

#[test]
fn a_full_database_or_its_messages_are_critical() {
    assert_eq!(sized(98.0, 100.0).status(&RULE).0, Status::Pass);
    assert_eq!(
        sized(99.0, 100.0).status(&RULE),
        (Status::Fail, Severity::Critical)
    );
    // A negative quota means none.
    assert_eq!(sized(99.0, -1.0).status(&RULE).0, Status::Pass);
    let logs = logged(&[("raised", 1.0)]);
    assert_eq!(logs.status(&RULE), (Status::Fail, Severity::Critical));
    let row = crate::evidence::Row::new("NOSPACE a")
        .text("alarm", "NOSPACE")
        .text("member", "a");
    let alarmed = |rows| {
        let table = crate::evidence::Table {
            rows,
            ..crate::evidence::Table::default()
        };
        sized(99.0, 100.0).put(&keys::ETCD_ALARMS, Subject::cluster(), table)
    };
    let both = sized(99.0, 100.0)
        .put(&keys::LOGS_EVENTS, member(), table(&[]))
        .put(
            &keys::LOGS_ALARMS,
            member(),
            table(&[("NOSPACE", &[("raised", 1.0), ("last_raised_secs", 1_000.0)])]),
        );
    let found = both.check(&RULE);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].message.starts_with("the database is"));
    assert_eq!(found[0].evidence.len(), 3, "{found:?}");
    // The alarm and the size of the same member are one finding.
    let findings = alarmed(vec![row]).check(&RULE);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].message.contains("takes no writes"));
    assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
}

/// Sizes of the member's database by second, under a quota of 100.
fn sizes(set: Set, key: &crate::evidence::Key<Series>, all: &[(i64, f64)]) -> Set {
    let point = |(secs, value): &(i64, f64)| Point {
        at: Timestamp::from_secs(*secs),
        value: *value,
    };
    let points = all.iter().map(point).collect();
    set.put(key, member(), Series { points })
        .put(&keys::DB_QUOTA, member(), 100.0)
}

fn told(set: &Set) -> (Severity, String) {
    let found = set.check(&RULE).remove(0);
    (found.severity, found.message)
}

#[test]
fn what_a_log_tells_of_the_size_after_the_alarm_counts_without_metrics() {
    let raised = || logged(&[("raised", 2.0)]);
    let after = |secs, size| sizes(raised(), &keys::LOGS_DB_SIZE, &[(secs, size)]);
    assert_eq!(told(&after(999, 1.0)).0, Severity::Critical);
    assert_eq!(told(&after(1_001, 99.0)).0, Severity::Critical);
    let (severity, words) = told(&after(1_001, 1.0));
    assert_eq!(severity, Severity::Warn);
    // Nobody saw it large.
    assert!(words.contains("far below the quota since"), "{words}");
    let both = sizes(raised(), &keys::LOGS_DB_SIZE, &[(990, 99.0), (1_001, 1.0)]);
    assert!(
        told(&both).1.contains("came down since"),
        "{both:?}",
        both = told(&both)
    );
    let done = crate::rules::testing::episode("defrag-finish", 1_000, 1_001);
    let list = crate::rules::testing::episodes(vec![done]);
    let defragmented = after(1_001, 1.0).put(&keys::LOGS_EPISODES, member(), list);
    assert!(told(&defragmented).1.contains("came down since"));
}

/// A ticket's text in some log, while the database is small and takes writes.
#[test]
fn metrics_of_the_same_time_contradict_a_line() {
    let quoted = |puts: f64, all: &[(i64, f64)]| {
        let counters = table(&[("puts", &[("count", puts)])]);
        let set = logged(&[("raised", 1.0)]).put(&keys::SERVER_COUNTERS, member(), counters);
        sizes(set, &keys::DB_SIZE, all)
    };
    let small: &[(i64, f64)] = &[(900, 1.0), (1_100, 2.0)];
    let (severity, words) = told(&quoted(9.0, small));
    assert_eq!(severity, Severity::Info);
    assert!(
        words.ends_with("at most 2 B of a quota of 100 B, and keys were put"),
        "{words}"
    );
    // Refused writes, and a size that was high once, are as the alarm says.
    assert_eq!(told(&quoted(0.0, small)).0, Severity::Warn);
    assert_eq!(
        told(&quoted(9.0, &[(900, 99.0), (1_100, 2.0)])).0,
        Severity::Warn
    );
    // Right before the line, and so long before it that the database may have been filled since.
    assert_eq!(
        told(&quoted(9.0, &[(900, 1.0), (990, 10.0)])).0,
        Severity::Info
    );
    assert_eq!(
        told(&quoted(9.0, &[(100, 1.0), (500, 50.0)])).0,
        Severity::Critical
    );
    // What made room since would be in etcd's own log, read from second 0 on.
    assert_eq!(
        told(&quoted(9.0, &[(1_100, 1.0), (1_200, 1.0)])).0,
        Severity::Info
    );
    let done = crate::rules::testing::episode("defrag-finish", 1_040, 1_050);
    let list = crate::rules::testing::episodes(vec![done]);
    let made_room =
        quoted(9.0, &[(1_100, 1.0), (1_200, 1.0)]).put(&keys::LOGS_EPISODES, member(), list);
    assert_eq!(told(&made_room).0, Severity::Warn);
    // A member of which nothing was measured may be the full one.
    let other = Subject::new(SubjectKind::Member, "b");
    let unseen = quoted(9.0, small).put(&keys::LOGS_EVENTS, other, table(&[]));
    assert_eq!(told(&unseen).0, Severity::Warn);
}
