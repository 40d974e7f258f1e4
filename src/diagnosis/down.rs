//! Is a member down? What is slow or refused beside that mostly follows from it.

use super::assess::{Assessment, Case, names};
use super::cause::Cause;
use super::measured::is_etcd;
use crate::rules::{Finding, Severity};

const SETTLE: &str =
    "the last lines of the member's log (`crictl logs --previous`, `journalctl -u etcd`)";

/// What keeps a member from running, where it is known: the remedy is there.
const KNOWN: &[&str] = &[
    "disk-space-low",
    "filesystem-read-only",
    "kernel-io-errors",
    "oom-killed",
    "setting-refused",
    "flag-removed",
    "overrides-invalid",
];

pub(super) fn assess(case: &Case<'_>) -> Assessment {
    let down = case.failed("member-down");
    let mut loops = case.failed("component-restarting");
    loops.retain(|finding| finding.severity == Severity::Critical && is_etcd(&finding.subject));
    // A reason of its own goes first; that the member is down stays beside it.
    let known = KNOWN
        .iter()
        .any(|rule| case.has_at(rule, Severity::Critical))
        || !case.logged("storage-io-error").is_empty();
    // What it is told to do it refuses: its settings are the cause, not that it ends.
    let refuses = !case.logged("settings-refused").is_empty()
        || KNOWN.iter().any(|rule| case.has_at(rule, Severity::Warn));
    let confidence = match (down.is_empty(), loops.is_empty()) {
        (false, _) if known => 0.55,
        (false, _) => 0.9,
        // What kills it again and again is not known by that.
        (true, false) if known || refuses => return Assessment::default(),
        (true, false) => 0.6,
        (true, true) => return Assessment::default(),
    };
    let mut carry: Vec<&Finding> = down.clone();
    carry.extend(&loops);
    let summary = match down.as_slice() {
        [] => carry
            .first()
            .map_or_else(String::new, |worst| worst.message.clone()),
        [one] => one.message.clone(),
        [first, ..] => format!("{} are down; {}", names(&down), first.message),
    };
    carry.extend(case.failed("data-corruption"));
    carry.extend(case.failed("leader-missing"));
    Assessment::of(Cause::MemberDown, confidence, summary, &carry, SETTLE)
}

#[cfg(test)]
mod tests {
    use crate::diagnosis::{Cause, diagnose};
    use crate::evidence::{Row, Subject, SubjectKind, Table, keys};
    use crate::profile::Profile;
    use crate::rules::testing::{Set, histogram, table};
    use crate::rules::{RULES, run};

    fn log(set: Set, name: &str, rows: Vec<Row>) -> Set {
        let table = Table {
            rows,
            ..Table::default()
        };
        let about = Subject::new(SubjectKind::Member, name);
        set.put(&keys::LOGS_LIVES, about, table)
    }

    #[test]
    fn a_member_that_is_down_is_the_headline_and_its_links_are_not() {
        let watches = |id: &str| {
            vec![
                Row::new("3").num("last_lost_secs", 100.0),
                Row::new("self")
                    .text("id", id)
                    .num("last_record_secs", 200.0),
            ]
        };
        let dead = Row::new("self")
            .text("id", "3")
            .num("last_record_secs", 99.0);
        let set = log(Set::new(), "a", watches("1"));
        let set = log(log(set, "b", watches("2")), "c", vec![dead]);
        let lost: &[(&str, f64)] = &[("count", 40.0)];
        let about = || Subject::new(SubjectKind::Member, "a");
        // Its slow disk is another matter.
        let set = set
            .put(&keys::LOGS_EVENTS, about(), table(&[("stream-lost", lost)]))
            .put(&keys::WAL_FSYNC, about(), histogram(&[(64.0, 5_000.0)]));
        let profile = Profile::default();
        let found = diagnose(&set.0, &run(RULES, &set.0, &profile), &profile);
        assert_eq!(found.verdict.cause, Cause::MemberDown);
        assert!(
            found.verdict.summary.starts_with("c is down since"),
            "{found:?}"
        );
        let mut others = found.alternatives.iter();
        assert!(
            others.all(|other| other.cause != Cause::Network),
            "{found:?}"
        );
    }
}
