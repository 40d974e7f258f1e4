//! Space for the database: recovery in order, compaction, quota, defragmentation.

use std::cmp::Ordering;

use crate::diagnosis::Cause;
use crate::evidence::{Subject, keys};
use crate::rules::{Confidence, Finding, Severity};
use crate::units::{format_bytes, format_ms};

use super::super::advice::{Advice, Disposition, Remedy, Strength};
use super::super::facts::{Current, Facts, whole};
use super::filler::{self, Filler};
use super::{defrag, pending, quota_max};

/// etcd's suggested maximum.
pub(super) const QUOTA_MAX: u64 = 8 << 30;
pub(super) const QUOTA_DEFAULT: u64 = 2 << 30;

/// Advice about space.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    let mut all = Vec::new();
    // A defragmentation writes a copy, and a larger quota lets the file grow: both need the room.
    all.extend(disk_full(facts));
    // While etcd takes no writes, that comes next; then what filled it.
    all.extend(recovery(facts));
    let defragment = defragment(facts);
    // What is in use is little: nothing needs to be deleted.
    let empty = defragment.is_some()
        && in_use(facts)
            .zip(quota_now(facts))
            .is_some_and(|(used, quota)| used <= quota / 2);
    if let Some(outgrown) = outgrown(facts).filter(|_| pressing(facts) && !empty) {
        all.extend(
            filler::advise(facts, outgrown, in_use(facts))
                .or_else(|| quota_max::content(facts, outgrown)),
        );
    }
    all.extend(filler::growth(facts));
    all.extend(compaction(facts));
    all.extend(saw_tooth(facts));
    // Free pages are room without a restart for a larger quota.
    all.extend(defragment);
    all.extend(quota(facts));
    all.extend(quota_max::lower(facts));
    all
}

fn pressing(facts: &Facts<'_>) -> bool {
    facts.has_cause(Cause::Space)
        || facts.full_database().is_some()
        || facts.ails("quota-near-limit").is_some()
        || filler::soon(facts).is_some()
}

fn compaction(facts: &Facts<'_>) -> Option<Advice> {
    let finding = facts.failed("compaction-off").next()?;
    // An apiserver that compacts nothing fills any quota; without pressure it is still a fault
    // that will bite, but a note is no advice.
    if finding.severity < Severity::Warn && !pressing(facts) {
        return None;
    }
    let now = facts.setting("kube-apiserver", "etcd-compaction-interval", None);
    let mut advice = Advice::new(
        "etcd-compaction-interval",
        Remedy::Space,
        "kube-apiserver",
        "etcd-compaction-interval",
    );
    advice.now = now.map(|c| c.words());
    advice.proposed = "5m0s".to_owned();
    advice.why = format!(
        "{}; without compaction every old revision stays in the database, and any quota is \
         reached in time",
        finding.message
    );
    advice.effect = "history older than five to ten minutes is dropped, and its pages are used \
                     again"
        .to_owned();
    advice.confidence = Confidence::High;
    advice.risk = "the first compaction of a long history is a long one: run `etcdctl compact` by \
                   hand at a quiet hour before"
        .to_owned();
    advice.undo = "set etcd-compaction-interval back, one kube-apiserver at a time".to_owned();
    advice.verify = "etcd logs `finished scheduled compaction` each five minutes".to_owned();
    advice.disposition = Disposition::Disruptive;
    advice.finding_ids = vec!["compaction-off".to_owned()];
    advice.source = "kube-apiserver reference: default 5m".to_owned();
    Some(advice)
}

/// Compactions that take long: smaller ones, more often, where kube-apiserver is the only one that
/// compacts.
fn saw_tooth(facts: &Facts<'_>) -> Option<Advice> {
    let finding = facts.failed("compaction-saw-tooth").next()?;
    if !facts.has_cause(Cause::QueryLoad) {
        return None;
    }
    let now = facts.setting("kube-apiserver", "etcd-compaction-interval", Some("5m0s"));
    let interval = now
        .as_ref()
        .and_then(|now| crate::units::parse_go_duration(now.texts().next()?.as_bytes()))?;
    // 150 s is the shortest that is published; shorter ones make watches relist.
    if interval <= 150_000_000_000 {
        return None;
    }
    let mut advice = Advice::new(
        "compaction-smaller",
        Remedy::Etcd,
        "kube-apiserver",
        "etcd-compaction-interval",
    );
    advice.strength = Strength::Candidate;
    advice.now = now.map(|c| c.words());
    advice.proposed = "2m30s".to_owned();
    advice.why = format!(
        "{}; half the interval is half the revisions to drop at once{}",
        finding.message,
        if facts.failed("compaction-doubled").next().is_some() {
            "; but etcd compacts by itself too, and that comes out first"
        } else {
            ""
        }
    );
    advice.effect = "shorter stalls, twice as often; the database holds less history".to_owned();
    advice.confidence = Confidence::Low;
    advice.risk = "history is kept for 2.5 to 5 minutes: a watch or a paged list that is older \
                   starts anew. The same on every kube-apiserver, or the shortest one counts"
        .to_owned();
    advice.undo = "set etcd-compaction-interval back, one kube-apiserver at a time".to_owned();
    advice.verify =
        "`finished scheduled compaction` in etcd's log takes less than before".to_owned();
    advice.disposition = Disposition::Disruptive;
    advice.finding_ids = vec!["compaction-saw-tooth".to_owned()];
    advice.source =
        "150 s: Kubernetes' own 5000-node scale tests (ETCD_COMPACTION_INTERVAL_SEC)".to_owned();
    Some(advice)
}

fn recovery(facts: &Facts<'_>) -> Option<Advice> {
    let finding = facts.full_database()?;
    let mut advice = Advice::new("nospace-recovery", Remedy::Space, "etcd", "NOSPACE alarm");
    advice.now = Some("raised: etcd takes no writes".to_owned());
    let revision = facts
        .all(&keys::ETCD_STATUS)
        .iter()
        .filter_map(|(_, table)| table.row("status")?.get("revision"))
        .max_by(f64::total_cmp)
        .map_or_else(
            || "REV` at the current revision".to_owned(),
            |revision| format!("{revision:.0}` (the revision seen here)"),
        );
    let third = defrag::steps(facts)
        .unwrap_or_else(|| "`etcdctl defrag` member by member, the leader last".to_owned());
    let used = in_use(facts);
    // What is in use stays so: neither step gives it back.
    let of_data = used.zip(quota_now(facts)).is_some_and(|(used, quota)| {
        used as f64 >= quota as f64 * facts.limit("quota-used-critical")
    });
    let first = match of_data {
        true => {
            "save a snapshot, then delete objects that nobody needs: deletes are taken with the alarm on"
        }
        false => "save a snapshot",
    };
    advice.proposed = format!(
        "1. {first}; 2. `etcdctl compact {revision}; 3. {third}, the next member only when \
         the last one is healthy; 4. `etcdctl alarm disarm`"
    );
    advice.why = match Filler::of(facts, used) {
        Some(filler) => format!("{}; {}", finding.message, filler.words()),
        None => finding.message.clone(),
    };
    advice.effect =
        "writes are taken again; the file shrinks to what is in use after step 3".to_owned();
    advice.confidence = Confidence::High;
    advice.risk = format!(
        "each defragmentation stops its member, {}; without step 2 it frees next to nothing, and \
         without mending what fills the database the alarm comes back",
        defrag::stall(facts)
    );
    advice.undo = "restore the snapshot".to_owned();
    advice.verify = format!(
        "`etcdctl alarm list` is empty, `etcdctl endpoint status --cluster` shows the size {} the quota, \
         and a `kubectl create configmap` works",
        if of_data { "below" } else { "far below" }
    );
    advice.finding_ids = vec!["nospace-alarm".to_owned()];
    advice.source = "etcd maintenance guide: space quota".to_owned();
    Some(advice)
}

/// The quota in force, the smallest of several.
pub(super) fn quota_now(facts: &Facts<'_>) -> Option<u64> {
    let measured = facts
        .all(&keys::DB_QUOTA)
        .into_iter()
        .map(|(_, bytes)| bytes)
        .min_by(f64::total_cmp);
    measured
        .or_else(|| {
            facts
                .setting("etcd", "quota-backend-bytes", Some("0"))
                .and_then(|current| current.least())
        })
        .and_then(whole)
        .map(|bytes| if bytes == 0 { QUOTA_DEFAULT } else { bytes })
}

/// The smallest power-of-two GiB that leaves the database at half of the quota.
pub(super) fn quota_for(in_use: Option<u64>, now: u64) -> u64 {
    let mut quota = QUOTA_DEFAULT.max(1 << 30);
    while quota < QUOTA_MAX && (quota <= now || in_use.is_some_and(|used| used > quota / 2)) {
        quota *= 2;
    }
    quota.min(QUOTA_MAX)
}

/// Whether the cluster is of a size for which 8 GiB are published: kOps' 5000-node scale test runs
/// it, and etcd's hardware guide calls 1000 nodes and 1 GB of data large.
fn large(facts: &Facts<'_>) -> bool {
    facts
        .nodes()
        .is_some_and(|nodes| nodes.count as f64 >= facts.limit("shard-min-nodes"))
}

/// The quotas of members that have not the same one: the least is that of all, since an alarm on one
/// member stops the writes of every one.
fn differing(facts: &Facts<'_>) -> String {
    let mut quotas = facts.all(&keys::DB_QUOTA);
    quotas.sort_by(|(a, x), (b, y)| x.total_cmp(y).then_with(|| a.cmp(b)));
    let same = |(_, a): &(Subject, f64), (_, b): &(Subject, f64)| a == b;
    let groups: Vec<String> = quotas
        .chunk_by(same)
        .filter_map(|group| {
            let bytes = whole(group.first()?.1)?;
            let names: Vec<&str> = group.iter().map(|(of, _)| of.name.as_str()).collect();
            Some(format!("{} on {}", format_bytes(bytes), names.join(", ")))
        })
        .collect();
    match groups.len() {
        0 | 1 => String::new(),
        _ => format!(
            "; the quotas differ: {}; the first that is full stops all writes",
            groups.join("; ")
        ),
    }
}

/// How long the proposed quota lasts at the growth that was measured.
fn growth(facts: &Facts<'_>, quota: u64) -> String {
    let per_sec = facts
        .all(&keys::DB_GROWTH)
        .into_iter()
        .map(|(_, growth)| growth)
        .filter(|growth| *growth > 0.0)
        .max_by(f64::total_cmp);
    let size = facts
        .all(&keys::DB_SIZE)
        .iter()
        .filter_map(|(_, series)| series.points.last().map(|point| point.value))
        .max_by(f64::total_cmp);
    match (per_sec, size) {
        (Some(per_sec), Some(size)) if size < quota as f64 => format!(
            "; it grew by {} a second in the window, at which the new quota lasts {}",
            format_bytes(whole(per_sec).unwrap_or(0)),
            format_ms((quota as f64 - size) / per_sec * 1e3)
        ),
        _ => String::new(),
    }
}

/// What says that the database needs a larger quota. That the quota is the default says nothing by
/// itself, and neither does a disk that is full.
pub(super) fn outgrown<'a>(facts: &Facts<'a>) -> Option<&'a Finding> {
    facts
        .full_database()
        .or_else(|| facts.failed("quota-near-limit").next())
        .or_else(|| facts.ails("nospace-alarm"))
        .or_else(|| facts.ails("database-growing-fast"))
}

/// The findings that ask for a larger quota.
pub(super) fn grounds(facts: &Facts<'_>) -> Vec<String> {
    facts.failing(&[
        "nospace-alarm",
        "quota-near-limit",
        "database-growing-fast",
        "quota-default",
    ])
}

/// What the fullest database has in use.
pub(super) fn in_use(facts: &Facts<'_>) -> Option<u64> {
    facts
        .all(&keys::DB_IN_USE)
        .into_iter()
        .map(|(_, bytes)| bytes)
        .max_by(f64::total_cmp)
        .and_then(whole)
}

/// Whether the quota that the database needs stands in etcd's file already and waits for a restart.
pub(super) fn quota_waits(facts: &Facts<'_>) -> bool {
    let (Some(file), Some(now)) = (pending::pending_quota(facts), quota_now(facts)) else {
        return false;
    };
    pressing(facts)
        && outgrown(facts).is_some()
        && file > now
        && file >= quota_for(in_use(facts), 0)
}

fn quota(facts: &Facts<'_>) -> Option<Advice> {
    let outgrown = outgrown(facts).filter(|_| pressing(facts))?;
    if quota_waits(facts) {
        return None;
    }
    let ids = grounds(facts);
    let now = quota_now(facts);
    let in_use = in_use(facts);
    let proposed = match now {
        Some(now) if now >= QUOTA_MAX => return None,
        // A large cluster grows into the maximum: one restart of each member, not three.
        Some(_) if large(facts) => QUOTA_MAX,
        Some(now) => quota_for(in_use, now),
        // The value in force is not known; what etcd suggests at most can only be a candidate.
        None => QUOTA_MAX,
    }
    // What waits in the file is not taken back.
    .max(pending::pending_quota(facts).unwrap_or(0).min(QUOTA_MAX));
    let current = facts.setting("etcd", "quota-backend-bytes", Some("0"));
    // A setting that would be the answer of a lower quota may be younger than what was seen; a quota
    // that was measured is not.
    let answered = facts.all(&keys::DB_QUOTA).is_empty()
        && current.as_ref().is_some_and(Current::is_set)
        && now.is_some_and(|now| match now.cmp(&QUOTA_DEFAULT) {
            Ordering::Less => false,
            Ordering::Equal => now >= quota_for(in_use, 0),
            Ordering::Greater => now >= quota_for(in_use, QUOTA_DEFAULT),
        });
    let in_file = pending::quota_in_file(facts, now, proposed);
    // What a restart brings is what the rest is reckoned with.
    let proposed = in_file.map_or(proposed, |file| file.min(QUOTA_MAX));
    let mut advice = Advice::new("etcd-quota", Remedy::Space, "etcd", "quota-backend-bytes");
    // What is in use fits well below the quota: it was the free pages that neared it.
    // A full database gets its defragmentation as a step of the recovery.
    let frees = match facts.full_database() {
        Some(_) => Some("nospace-recovery"),
        None => defragment(facts).map(|_| "etcd-defrag"),
    };
    let freed = in_use
        .zip(now)
        .filter(|(used, now)| *used <= now / 2 && !large(facts))
        .zip(frees);
    if let Some(((used, now), frees)) = freed {
        advice.conflicts.push(format!(
            "`{frees}` comes first: it brings the file to {} of {}, and this quota may do",
            format_bytes(used),
            format_bytes(now)
        ));
    }
    let disk = facts.ails("disk-space-low").is_some();
    if disk {
        advice.conflicts.push(
            "`disk-space` comes first: a larger database needs more room on the same disk"
                .to_owned(),
        );
    }
    let grows = filler::soon(facts).is_some_and(|soon| soon.rule == outgrown.rule);
    let guessed = quota_max::only_extrapolated(facts, outgrown);
    // A quota that the file system cannot hold is none: etcd stops for want of space before.
    let small = quota_max::file_system(facts).filter(|bytes| *bytes < proposed);
    if let Some(bytes) = small {
        advice.conflicts.push(format!(
            "the file system of a database has {} in all, less than this quota: a larger file system comes first",
            format_bytes(bytes)
        ));
    }
    let sure = now.is_some() && !grows && guessed.is_none() && small.is_none();
    advice.conflicts.extend(guessed);
    advice.strength = if sure && !answered && freed.is_none() && !disk {
        Strength::Recommended
    } else {
        Strength::Candidate
    };
    advice.now = match (current, now) {
        (Some(current), Some(bytes)) if current.texts().all(|text| text == "0") => {
            Some(format!("not set: {}", format_bytes(bytes)))
        }
        (Some(current), _) => Some(current.words()),
        (None, Some(bytes)) => Some(bytes.to_string()),
        (None, None) => None,
    };
    advice.proposed = proposed.to_string();
    advice.why = format!(
        "{}{}{}{}{}{}",
        outgrown.message,
        differing(facts),
        match in_use {
            Some(used) => format!("; {} are in use", format_bytes(used)),
            None => String::new(),
        },
        growth(facts, proposed),
        if large(facts) {
            format!(
                "; {}: from some hundred nodes on the maximum is what others run",
                facts
                    .nodes()
                    .map_or_else(String::new, super::super::facts::NodeCount::words)
            )
        } else {
            String::new()
        },
        if answered {
            format!("; {}", super::ask::ANSWERED)
        } else {
            String::new()
        }
    );
    advice.effect = format!(
        "room up to {}; it buys time, and no more: find what grows as well",
        format_bytes(proposed)
    );
    advice.confidence = Confidence::Medium;
    advice.risk = "a larger database takes longer to start, to snapshot and to defragment; etcd \
                   warns above 8 GiB. The same value on every member. Restarts the member: one at \
                   a time, the leader last."
        .to_owned();
    advice.undo = "set the former value again while the database is smaller than it".to_owned();
    advice.verify =
        "`etcd_server_quota_backend_bytes` shows the new value on each member".to_owned();
    advice.disposition = Disposition::Disruptive;
    advice.finding_ids = ids;
    advice.source = "etcd maintenance guide: suggested maximum 8 GiB".to_owned();
    if let (Some(file), Some(now)) = (in_file, now) {
        pending::restart_for_quota(&mut advice, now, file);
    }
    Some(advice)
}

/// The members in the order in which to go.
fn order(facts: &Facts<'_>) -> String {
    let mut members: Vec<(bool, String)> = facts
        .all(&keys::IS_LEADER)
        .into_iter()
        .filter_map(|(subject, series)| {
            let leads = series.points.last()?.value > 0.5;
            Some((leads, subject.name))
        })
        .filter(|(_, name)| !name.is_empty())
        .collect();
    members.sort();
    if members.len() < 2 {
        return String::new();
    }
    let names: Vec<&str> = members.iter().map(|(_, name)| name.as_str()).collect();
    format!(": {}", names.join(", then "))
}

fn defragment(facts: &Facts<'_>) -> Option<Advice> {
    let finding = facts.failed("database-fragmented").next()?;
    // The alarm's own recovery has the step in its order; and free pages are no fault by
    // themselves while the quota is far.
    if facts.full_database().is_some() || (finding.severity < Severity::Warn && !pressing(facts)) {
        return None;
    }
    let mut advice = Advice::new("etcd-defrag", Remedy::Space, "etcd", "defragmentation");
    advice.proposed = defrag::steps(facts).unwrap_or_else(|| {
        format!(
            "`etcdctl defrag` member by member, the leader last{}",
            order(facts)
        )
    });
    advice.why = finding.message.clone();
    advice.effect = "the file shrinks to what is in use".to_owned();
    advice.confidence = Confidence::High;
    advice.risk = format!(
        "the member stands still meanwhile, {}; the next one only when it is healthy again, and \
         not while one is down",
        defrag::stall(facts)
    );
    advice.undo = "nothing to undo".to_owned();
    advice.verify = "`etcdctl endpoint status --cluster` shows size near size in use".to_owned();
    advice.finding_ids = vec!["database-fragmented".to_owned()];
    advice.source = "etcd maintenance guide: defragmentation".to_owned();
    Some(advice)
}

fn disk_full(facts: &Facts<'_>) -> Option<Advice> {
    let finding = facts.ails("disk-space-low")?;
    let mut advice = Advice::new(
        "disk-space",
        Remedy::Space,
        finding.subject.to_string(),
        "free space",
    );
    advice.proposed = "free space beside etcd's data, or grow the file system; never delete files \
                       under the data directory"
        .to_owned();
    advice.why = finding.message.clone();
    advice.effect = "etcd can write its next WAL segment and snapshot".to_owned();
    advice.confidence = Confidence::High;
    advice.risk = "a member that cannot write its WAL stops".to_owned();
    advice.undo = "nothing to undo".to_owned();
    advice.verify = "`df` and `df -i` of the data directory and of the WAL's".to_owned();
    advice.finding_ids = vec!["disk-space-low".to_owned()];
    advice.source = "etcd needs its quota, 5 WAL segments of 64 MB and 5 snapshots".to_owned();
    Some(advice)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Plane, component};
    use super::*;
    use crate::evidence::{Subject, SubjectKind};
    use crate::rules::Severity::{Critical, Info};

    #[test]
    fn quota_grows_in_steps_and_never_above_the_maximum() {
        let gib = 1u64 << 30;
        assert_eq!(quota_for(None, 64 << 20), 2 * gib);
        assert_eq!(quota_for(Some(66 << 20), 64 << 20), 2 * gib);
        assert_eq!(quota_for(Some(2 * gib), 2 * gib), 4 * gib);
        assert_eq!(quota_for(Some(3 * gib), 2 * gib), 8 * gib);
        assert_eq!(quota_for(Some(20 * gib), 4 * gib), 8 * gib);
        assert!(quota_for(None, u64::MAX) <= QUOTA_MAX);
    }

    #[test]
    fn quotas_that_differ_are_told_with_their_members() {
        let member = |name: &str| Subject::new(SubjectKind::Member, name);
        let flag = |node: &str, value: &str| {
            let row = crate::evidence::Row::new("quota-backend-bytes")
                .text("value", value)
                .text("source", "flag");
            (
                component("etcd").on(node),
                super::super::super::testing::table(vec![row]),
            )
        };
        let of = |least: f64| {
            let ((cp0, zero), (cp1, small)) = (flag("cp0", "0"), flag("cp1", "16777216"));
            Plane::with(Cause::Space)
                .fails("nospace-alarm", member("cp1"), Critical)
                .put(&keys::SETTINGS, cp0, zero)
                .put(&keys::SETTINGS, cp1, small)
                .put(&keys::DB_QUOTA, member("cp0"), 2_147_483_648.0)
                .put(&keys::DB_QUOTA, member("cp1"), least)
                .put(&keys::DB_QUOTA, member("cp2"), 2_147_483_648.0)
                .find("etcd-quota")
                .unwrap()
        };
        let quota = of(16_777_216.0);
        let differ =
            "; the quotas differ: 16 MiB on cp1; 2 GiB on cp0, cp2; the first that is full";
        assert!(quota.why.contains(differ), "{}", quota.why);
        // What is in force on one is not told of all, and each file is held to its own value.
        let now = quota.now.as_deref();
        assert_eq!(now, Some("0 (cp0), 16777216 (cp1)"));
        assert!(!of(2_147_483_648.0).why.contains("differ"));
    }

    #[test]
    fn a_full_disk_is_no_reason_for_a_larger_quota() {
        let member = || Subject::new(SubjectKind::Member, "cp0");
        let full = || {
            Plane::with(Cause::Space)
                .fails("disk-space-low", member(), Critical)
                .fails("quota-default", component("etcd"), Info)
                .settings("etcd", &[("quota-backend-bytes", "0")])
        };
        let all = full().advice();
        assert_eq!(all[0].id, "disk-space", "{all:?}");
        assert!(
            !all.iter().any(|advice| advice.id == "etcd-quota"),
            "{all:?}"
        );
        // A database that is full as well gets its quota when there is room for it.
        let both = full().fails("quota-near-limit", member(), Critical).put(
            &keys::DB_QUOTA,
            member(),
            f64::from(1 << 30) * 2.0,
        );
        assert_eq!(both.advice()[0].id, "disk-space");
        let quota = both.find("etcd-quota").unwrap();
        assert_eq!(quota.strength, Strength::Candidate);
        assert!(
            quota.why.starts_with("quota-near-limit was found"),
            "{}",
            quota.why
        );
        assert!(
            quota
                .conflicts
                .iter()
                .any(|why| why.contains("`disk-space`"))
        );
    }
}
