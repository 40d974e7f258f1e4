//! Messages that are faults by themselves and that no other rule judges: crashes, refusals, a server
//! that cannot be reached.

use crate::evidence::{Missing, Subject, SubjectKind, keys};
use crate::profile::Limit;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::rules::{events, settings};

/// The rule.
pub static RULE: Rule = Rule {
    id: "faults-logged",
    summary: "components log crashes, refusals or a server that cannot be reached",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "faults-logged",
    check,
};

/// Kinds of which one message is one too many, and what they say.
const ONCE: &[(&str, &str)] = &[
    ("panic", "crashed"),
    (
        "fatal-exit",
        "ended by itself: what it checks at its start was not so",
    ),
    (
        "member-bootstrapped",
        "has an empty data directory, and the cluster knows it as a member that has data: it does not start",
    ),
    (
        "db-locked",
        "could not open its database: another etcd holds the file, or it loads for long",
    ),
    (
        "db-snapshot-failed",
        "could not send its database to a member",
    ),
    ("defrag-failed", "failed to defragment"),
    (
        "etcd-error-too-large",
        "met an object or an answer larger than etcd or gRPC allow",
    ),
    ("etcd-exhausted", "was refused for lack of a resource"),
    (
        "quota-disabled",
        "runs without a backend quota: the database may fill the disk",
    ),
    (
        "server-not-member",
        "waits for an etcd cluster that does not list this node under its name and address",
    ),
    (
        "storage-io-error",
        "could not read or write its files: the disk fails, or is read-only",
    ),
    ("too-many-open-files", "ran out of file descriptors"),
    ("kernel-device-timeout", "a device did not answer in time"),
    (
        "kernel-fs-error",
        "a file system is damaged or went read-only",
    ),
    ("kernel-hung-task", "a task hung for two minutes"),
    ("kernel-io-error", "a device failed to read or write"),
    ("kernel-oom-kill", "a process was killed for lack of memory"),
    (
        "kernel-soft-lockup",
        "a CPU was not given back for many seconds",
    ),
    (
        "unit-oom-killed",
        "a process of a service was killed for lack of memory",
    ),
];

/// Kinds of which a start, a stop or a roll-out brings a few, or which a healthy cluster shows now and
/// then, and what they say. Those that say the same count together; what counts is how many there are
/// in an hour.
const MANY: &[(&[&str], &str)] = &[
    (&["publish-failed"], "could not write its name through raft"),
    (&["health-error"], "answered health checks with an error"),
    (&["no-leader-drop"], "dropped requests for lack of a leader"),
    (
        &["tick-missed"],
        "could not tick raft's clock in time: starved of CPU, or stopped",
    ),
    (
        &["client-limiter-error"],
        "gave requests up in its own rate limiter",
    ),
    (
        &["etcd-error-no-leader"],
        "was told that etcd has no leader",
    ),
    (
        &["etcd-error-too-many-requests"],
        "was told that etcd takes no more proposals",
    ),
    (&["etcd-unavailable"], "could not reach etcd"),
    (
        &["grpc-connect-failed"],
        "could not connect to a server, mostly etcd",
    ),
    (
        &["election-started", "vote-ignored"],
        "tells of campaigns for leadership: a member hears no leader",
    ),
    (
        &["readindex-failed", "readstate-timeout"],
        "could not serve reads: raft refused, or nobody took its answer",
    ),
    (&["failed-apply"], "could not apply requests"),
    (
        &["backup-slow"],
        "sends a snapshot so slowly that the database grows meanwhile",
    ),
    (
        &["cluster-id-mismatch"],
        "met members of another cluster at the addresses of its peers (cluster ID mismatch): they were \
         bootstrapped apart, with another initial-cluster or token, or hold other data, and never become one",
    ),
    (
        &["peer-removed", "peer-unknown"],
        "met a member that is not of its cluster",
    ),
    (
        &["raft-message-failed"],
        "could not read or take what a peer sent",
    ),
    (
        &["member-change-refused"],
        "refused to change the members: too few of them are healthy",
    ),
    (
        &["cluster-info-failed"],
        "could not ask another member who the members are",
    ),
    (
        &["hash-request-failed"],
        "could not compare its data with another member's",
    ),
    (
        &["datastore-test-failed"],
        "could not ask the etcd inside it",
    ),
    (
        &["learner-stalled"],
        "waits for a new member that does not catch up",
    ),
    (
        &["watch-processing-slow", "watcher-closed-slow"],
        "could not hand events on as fast as they came: it, its network or who watches is too slow",
    ),
    (
        &["panic-recovered"],
        "caught panics of its own: a defect, or answers that were broken off",
    ),
    (&["auth-failed"], "refused tokens or passwords of clients"),
    (
        &["apiserver-client-expired"],
        "turned clients away whose certificate has expired or is not valid yet",
    ),
    (&["apiserver-health-failed"], "failed health checks"),
    (
        &["http-server-error"],
        "answered requests with an error of its own (5xx)",
    ),
    (
        &["etcd-client-retry", "etcd-error-leader-changed"],
        "had calls of etcd that failed",
    ),
    (
        &["etcd-client-keepalive-full"],
        "did not take the answers to its keep-alives: it was held up",
    ),
    (
        &["api-version-too-large"],
        "waited for etcd's events in vain: its watch cache lags",
    ),
    (&["server-wait"], "had to wait because the server said so"),
    (
        &[
            "leaderelection-lock-error",
            "leaderelection-renew-failed",
            "lease-update-failed",
        ],
        "could not read or renew its lease",
    ),
    (
        &["journald-suppressed"],
        "the journal threw messages away, so what was said meanwhile is not known",
    ),
];

/// What is tried every few minutes at most, so that an hour holds few such lines even where each try
/// fails: they count over the whole log (etcd: v3compactor/periodic.go, a tenth of the period, at most
/// six minutes; the apiserver's compactor, five).
const RARELY_TRIED: (&[&str], &str) = (&["auto-compaction-failed"], "failed to compact");

/// A program that ended with an error, and does again and again.
const ENDED: (&[&str], &str) = (&["command-failed"], "ended with an error");

/// A member that was taken out once says so once; this one is started with its former data all the same.
const REMOVED: (&[&str], &str) = (
    &["member-removed"],
    "was removed from the cluster and cannot come back with the data it has",
);

/// Every watch of a component fails when its server is away for a moment.
const WATCHES: (&[&str], &str) = (
    &[
        "reflector-list-failed",
        "reflector-watch-failed",
        "watch-cache-terminated",
    ],
    "could not list or watch what it caches",
);

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let mut drafts = Vec::new();
    for (kind, words) in ONCE {
        judge(cx, (&[*kind], words), None, true, &mut drafts)?;
    }
    let limit = Some(cx.profile.limit("faults-logged"));
    for group in MANY {
        judge(cx, *group, limit, true, &mut drafts)?;
    }
    judge(cx, RARELY_TRIED, limit, false, &mut drafts)?;
    let limit = cx.profile.limit("ends-with-error");
    judge(cx, ENDED, Some(limit), true, &mut drafts)?;
    judge(cx, REMOVED, Some(limit), true, &mut drafts)?;
    let limit = cx.profile.limit("watches-failed");
    judge(cx, WATCHES, Some(limit), true, &mut drafts)?;
    Ok(Verdict::Fail(drafts))
}

/// Judges messages that say the same. Without a limit one of them is enough; `hourly` holds
/// it against one hour.
fn judge(
    cx: &Context<'_>,
    (kinds, words): (&[&str], &str),
    limit: Option<&Limit>,
    hourly: bool,
    drafts: &mut Vec<Draft>,
) -> Result<(), Missing> {
    let is = |wanted: &str| kinds.iter().any(|kind| kind.starts_with(wanted));
    for all in events::seen(cx, kinds)? {
        let counts = if hourly { all.hourly } else { all.count };
        if limit.is_some_and(|limit| counts < limit.value) {
            continue;
        }
        // Settings are looked up before anything is cited: that starts anew.
        let shard = kinds
            .contains(&UNREACHED)
            .then(|| shard_unreached(cx, &all.subject))
            .flatten();
        // Each kind is cited by its name, which says more than the words that they share.
        for kind in kinds {
            for seen in events::seen(cx, &[kind])? {
                if seen.subject == all.subject {
                    events::cite(cx, &seen, &format!("{kind} messages"));
                }
            }
        }
        let who = all.subject.called();
        let words = match is("kernel-") || is("unit-") || is("journald-") {
            true => words.to_owned(),
            false => match shard {
                Some(which) => format!("{who} could not connect to {which}"),
                None => format!("{who} {words}"),
            },
        };
        let times = match all.count {
            1.0 => String::new(),
            n => format!(" ({n:.0} messages)"),
        };
        let severity = match holds_the_cluster(&all.subject) {
            true if is("panic")
                || is("fatal-exit")
                || is("member-bootstrapped")
                || is("storage-io-error") =>
            {
                Severity::Critical
            }
            _ => Severity::Warn,
        };
        let threshold = limit.map_or_else(
            || "one such message is one too many".to_owned(),
            |limit| limit.words(),
        );
        drafts.push(
            Draft::new(all.subject.clone(), severity, format!("{words}{times}"))
                .confidence(Confidence::High)
                .threshold(threshold)
                .cites(cx.evidence.take_citations()),
        );
    }
    Ok(())
}

/// The kind of message in which a gRPC client says that it cannot reach its server.
const UNREACHED: &str = "grpc-connect-failed";

/// The etcd of an override that most of the failed connections were for, in words.
fn shard_unreached(cx: &Context<'_>, subject: &Subject) -> Option<String> {
    let set = settings::of(cx, "kube-apiserver", &["etcd-servers-overrides"]).ok()?;
    let own = set.iter().find(|setting| setting.subject == *subject)?;
    let all = cx.evidence.peek(&keys::LOGS_EPISODES, subject)?;
    let failed = || all.episodes.iter().filter(|one| one.kind == UNREACHED);
    let total: u64 = failed().map(|one| one.count).sum();
    own.value.split(',').find_map(|entry| {
        let (resource, servers) = entry.split_once('#')?;
        servers.split(';').find_map(|server| {
            let address = server.rsplit("//").next().filter(|text| !text.is_empty())?;
            // `10.0.0.9:2382` is no part of `10.0.0.9:23820`, nor of `110.0.0.9:2382`.
            let named = |detail: &str| {
                detail
                    .split(|c: char| c.is_whitespace() || "\"{}<>,".contains(c))
                    .any(|word| word.trim_end_matches(':').rsplit('/').next() == Some(address))
            };
            let here: u64 = failed()
                .filter(|one| named(&one.detail))
                .map(|one| one.count)
                .sum();
            (here * 2 > total).then(|| {
                format!("{address}, the etcd that etcd-servers-overrides gives to {resource}")
            })
        })
    })
}

/// Whether the cluster stands still without it.
fn holds_the_cluster(subject: &Subject) -> bool {
    subject.kind == SubjectKind::Member || matches!(&*subject.name, "etcd" | "kube-apiserver")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, episode, episodes, member, table};

    fn with(subject: Subject, kind: &str, count: f64) -> (Status, Severity) {
        Set::new()
            .put(
                &keys::LOGS_EVENTS,
                subject,
                table(&[(kind, &[("count", count)])]),
            )
            .status(&RULE)
    }

    #[test]
    fn one_crash_is_enough_and_of_others_a_few_are_not() {
        let limit = crate::profile::Profile::default().get("faults-logged");
        assert_eq!(
            with(member(), "panic", 1.0),
            (Status::Fail, Severity::Critical)
        );
        assert_eq!(
            with(component("kube-scheduler"), "panic", 1.0),
            (Status::Fail, Severity::Warn)
        );
        for kind in MANY.iter().flat_map(|(kinds, _)| *kinds) {
            assert_eq!(with(member(), kind, limit - 1.0).0, Status::Pass, "{kind}");
            assert_eq!(with(member(), kind, limit).0, Status::Fail, "{kind}");
        }
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn a_second_etcd_that_is_not_reached_is_named() {
        let with = |detail: &str| {
            let mut failed = episode(UNREACHED, 0, 99);
            failed.count = 100;
            detail.clone_into(&mut failed.detail);
            let overrides = "/events#https://10.0.0.9:2382";
            let set = [("etcd-servers-overrides", overrides, "flag")];
            Set::new()
                .put(
                    &keys::LOGS_EVENTS,
                    component("kube-apiserver"),
                    table(&[(UNREACHED, &[("count", 100.0)])]),
                )
                .put(
                    &keys::LOGS_EPISODES,
                    component("kube-apiserver"),
                    episodes(vec![failed]),
                )
                .put(
                    &keys::SETTINGS,
                    component("kube-apiserver"),
                    settings::testing::settings(&set),
                )
                .check(&RULE)[0]
                .message
                .clone()
        };
        let shard = with("desc = \"transport: dial tcp 10.0.0.9:2382: connect: connectio…");
        assert_eq!(
            shard,
            "kube-apiserver could not connect to 10.0.0.9:2382, the etcd that \
             etcd-servers-overrides gives to /events (100 messages)"
        );
        for other in ["10.0.0.9:2379", "10.0.0.9:23820", "110.0.0.9:2382"] {
            let main = with(&format!("dial tcp {other}: connect: refused"));
            assert!(main.contains("mostly etcd"), "{other}: {main}");
        }
    }

    #[test]
    fn kinds_that_say_the_same_count_together() {
        let limit = crate::profile::Profile::default().get("faults-logged");
        let with = |renewals: f64| {
            Set::new().put(
                &keys::LOGS_EVENTS,
                component("kube-scheduler"),
                table(&[
                    ("leaderelection-lock-error", &[("count", limit - 2.0)]),
                    ("leaderelection-renew-failed", &[("count", renewals)]),
                ]),
            )
        };
        assert_eq!(with(1.0).status(&RULE).0, Status::Pass);
        let found = with(2.0).check(&RULE);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].evidence.len(), 2, "{found:?}");
    }

    #[test]
    fn a_program_may_end_while_it_waits_for_etcd_and_watches_fail_together() {
        let profile = crate::profile::Profile::default();
        for (kinds, limit) in [
            (ENDED.0, profile.get("ends-with-error")),
            (REMOVED.0, profile.get("ends-with-error")),
            (WATCHES.0, profile.get("watches-failed")),
        ] {
            for kind in kinds {
                let of = |count| with(component("kube-apiserver"), kind, count).0;
                assert_eq!(of(limit - 1.0), Status::Pass, "{kind}");
                assert_eq!(of(limit), Status::Fail, "{kind}");
            }
        }
    }

    #[test]
    fn signs_of_every_day_count_by_the_hour() {
        let limit = crate::profile::Profile::default().get("faults-logged");
        let over = |hours: i64, kind: &str, count: f64| {
            Set::new()
                .put_over(
                    &keys::LOGS_EVENTS,
                    member(),
                    table(&[(kind, &[("count", count)])]),
                    hours * 3600,
                )
                .status(&RULE)
                .0
        };
        for kind in MANY.iter().flat_map(|(kinds, _)| *kinds) {
            assert_eq!(over(24, kind, 24.0), Status::Pass, "{kind}");
            assert_eq!(over(24, kind, 24.0 * limit), Status::Fail, "{kind}");
        }
        assert_eq!(over(24, RARELY_TRIED.0[0], limit), Status::Fail);
        assert_eq!(over(24, RARELY_TRIED.0[0], limit - 1.0), Status::Pass);
    }

    #[test]
    fn a_burst_counts_whole_however_long_the_log_is() {
        let limit = crate::profile::Profile::default().get("faults-logged");
        assert!((2.0..=20.0).contains(&limit), "the counts below are for it");
        let kind = MANY[0].0[0];
        let with = |apart_secs: usize| {
            let seconds = (0..).step_by(apart_secs).take(20);
            let all = seconds.map(|at| episode(kind, at, at)).collect();
            let events = table(&[(kind, &[("count", 20.0)])]);
            Set::new()
                .put_over(&keys::LOGS_EVENTS, member(), events, 24 * 3600)
                .put(&keys::LOGS_EPISODES, member(), episodes(all))
                .status(&RULE)
                .0
        };
        assert_eq!(with(60), Status::Fail);
        assert_eq!(with(3600), Status::Pass);
    }

    #[test]
    fn what_a_stop_brings_along_is_none() {
        let set = Set::new().put(
            &keys::LOGS_EVENTS,
            member(),
            table(&[("health-error", &[("count", 30.0), ("settling", 25.0)])]),
        );
        assert_eq!(set.status(&RULE).0, Status::Pass);
    }
}
