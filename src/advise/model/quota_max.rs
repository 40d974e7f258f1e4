//! At and above etcd's suggested maximum of the quota: no larger one helps, and a lower one needs a
//! database that fits it.

use crate::evidence::keys;
use crate::rules::{Confidence, Finding};
use crate::units::{format_bytes, format_ms};

use super::super::advice::{Advice, Disposition, Remedy, Strength};
use super::super::facts::{Facts, whole};
use super::space::{QUOTA_MAX, in_use, quota_now};

/// The size of the largest database: of its file, which is what etcd holds against the quota.
fn largest(facts: &Facts<'_>) -> Option<u64> {
    let of_etcd = facts
        .all(&keys::DB_SIZE)
        .into_iter()
        .filter_map(|(_, series)| series.points.last().map(|point| point.value));
    let of_apiserver = facts
        .all(&keys::APISERVER_DB_SIZE)
        .into_iter()
        .map(|(_, bytes)| bytes);
    of_etcd
        .chain(of_apiserver)
        .max_by(f64::total_cmp)
        .and_then(whole)
        .max(in_use(facts))
}

/// Bytes of the smallest file system that holds a database, where one was read.
pub(super) fn file_system(facts: &Facts<'_>) -> Option<u64> {
    facts
        .all(&keys::FS_SPACE)
        .iter()
        .filter_map(|(_, table)| table.row("data")?.get("size_bytes"))
        .filter(|bytes| *bytes > 0.0)
        .min_by(f64::total_cmp)
        .and_then(whole)
}

/// Why growth alone is too little for a larger quota: the time to the quota is longer than the growth
/// was watched.
pub(super) fn only_extrapolated(facts: &Facts<'_>, outgrown: &Finding) -> Option<String> {
    if outgrown.rule != "database-growing-fast" {
        return None;
    }
    let key = &keys::DB_GROWTH;
    let watched = facts
        .all(key)
        .iter()
        .filter_map(|(subject, _)| facts.covered_secs(key, subject))
        .max_by(f64::total_cmp)?;
    let left = facts
        .all(&keys::DB_TIME_TO_FULL)
        .into_iter()
        .map(|(_, secs)| secs)
        .min_by(f64::total_cmp)?;
    (watched < left).then(|| {
        format!(
            "the growth was watched for {} only: see first whether it goes on, and who writes so much",
            format_ms(watched * 1e3)
        )
    })
}

/// A quota above the maximum, brought back to it where the database surely fits.
pub(super) fn lower(facts: &Facts<'_>) -> Option<Advice> {
    let finding = facts.ails("quota-above-maximum")?;
    // A full database needs its recovery, and no lower quota.
    if facts.ails("nospace-alarm").is_some() {
        return None;
    }
    let size = largest(facts);
    let room = QUOTA_MAX as f64 * facts.limit("quota-used-warn");
    let fits = size.map(|size| (size as f64) < room);
    let mut advice = Advice::new(
        "etcd-quota-maximum",
        Remedy::Space,
        "etcd",
        "quota-backend-bytes",
    )
    .detail("lowers", "true");
    advice.now = facts
        .setting("etcd", "quota-backend-bytes", None)
        .map(|c| c.words());
    advice.proposed = QUOTA_MAX.to_string();
    advice.why = finding.message.clone();
    advice.disposition = Disposition::Disruptive;
    match (fits, size) {
        (Some(true), Some(size)) => {
            advice.why = format!("{}, and the database is {}", advice.why, format_bytes(size));
        }
        (_, Some(size)) => {
            advice.strength = Strength::Candidate;
            advice.disposition = Disposition::ShowOnly;
            advice.proposed = format!(
                "shrink the database below {} first (delete what nobody needs, compact, defragment), then \
                 set {QUOTA_MAX}",
                format_bytes(whole(room).unwrap_or(QUOTA_MAX))
            );
            advice.conflicts.push(format!(
                "the database is {}: under a quota of {} it would take no writes",
                format_bytes(size),
                format_bytes(QUOTA_MAX)
            ));
        }
        _ => {
            advice.strength = Strength::Candidate;
            advice
                .conflicts
                .push("the size of the database was not read, and it must fit".to_owned());
        }
    }
    advice.effect = "the alarm comes while a defragmentation still ends within minutes".to_owned();
    advice.risk = "while the database is larger than the new quota, the alarm is raised at once: \
                   shrink it first"
        .to_owned();
    advice.undo = "set the former value again".to_owned();
    advice.verify = "etcd logs no warning about the quota at its start".to_owned();
    advice.finding_ids = vec!["quota-above-maximum".to_owned()];
    advice.source = "etcd maintenance guide: suggested maximum 8 GiB".to_owned();
    Some(advice)
}

/// What to do about a database that nears a quota which cannot grow, where nothing tells what fills it.
pub(super) fn content(facts: &Facts<'_>, finding: &Finding) -> Option<Advice> {
    // The recovery of a full one says it in its order.
    if facts.full_database().is_some() {
        return None;
    }
    let quota = quota_now(facts).filter(|quota| *quota >= QUOTA_MAX)?;
    let mut advice = Advice::new(
        "database-content",
        Remedy::Space,
        "kube-apiserver",
        "objects in the database",
    );
    advice.now = in_use(facts).map(|used| format!("{} in use", format_bytes(used)));
    advice.proposed = "find what takes the room (kube-apiserver counts objects in \
                       `apiserver_storage_objects`, and from 1.34 on estimates bytes in \
                       `apiserver_resource_size_estimate_bytes`), stop who writes it, delete what nobody \
                       needs, then compact and defragment"
        .to_owned();
    advice.why = format!(
        "{}; the quota is {}, and no larger one is suggested",
        finding.message,
        format_bytes(quota)
    );
    advice.effect = "room that no quota makes any more".to_owned();
    advice.confidence = Confidence::Medium;
    advice.risk = "deleted objects are gone: save them or a snapshot of etcd before".to_owned();
    advice.undo = "create the objects again from what was saved".to_owned();
    advice.verify =
        "`etcd_mvcc_db_total_size_in_use_in_bytes` falls after the next compaction, and the file after a \
         defragmentation"
            .to_owned();
    advice.disposition = Disposition::ShowOnly;
    advice.finding_ids = vec![finding.rule.clone()];
    advice.source = "etcd maintenance guide: suggested maximum 8 GiB".to_owned();
    Some(advice)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Plane, component};
    use super::*;
    use crate::diagnosis::Cause;
    use crate::evidence::{Subject, SubjectKind};
    use crate::rules::Severity::{Critical, Warn};

    const GIB: f64 = 1_073_741_824.0;

    fn member() -> Subject {
        Subject::new(SubjectKind::Member, "cp0")
    }

    fn raised() -> Plane {
        Plane::with(Cause::Unknown)
            .fails("quota-above-maximum", component("etcd"), Warn)
            .settings("etcd", &[("quota-backend-bytes", "100000000000")])
    }

    fn of_size(gib: f64) -> Plane {
        let series = crate::rules::testing::each_minute(&[gib * GIB]);
        raised().put(&keys::DB_SIZE, member(), series)
    }

    #[test]
    fn a_quota_is_lowered_only_below_a_database_that_fits() {
        let fits = of_size(5.9).find("etcd-quota-maximum").unwrap();
        assert_eq!(fits.strength, Strength::Recommended);
        assert_eq!(fits.disposition, Disposition::Disruptive);
        // 75 % of 8 GiB.
        for gib in [6.0, 9.2] {
            let tight = of_size(gib).find("etcd-quota-maximum").unwrap();
            assert_eq!(tight.strength, Strength::Candidate);
            assert_eq!(tight.disposition, Disposition::ShowOnly);
            assert!(tight.proposed.starts_with("shrink the database below 6"));
        }
        let blind = raised().find("etcd-quota-maximum").unwrap();
        assert_eq!(blind.strength, Strength::Candidate);
        // A file that is not measured is at least as large as what is in use.
        let used = raised().put(&keys::DB_IN_USE, member(), 9.0 * GIB);
        let used = used.find("etcd-quota-maximum").unwrap();
        assert_eq!(used.disposition, Disposition::ShowOnly);
        let full = of_size(9.0).fails("nospace-alarm", member(), Critical);
        assert!(full.find("etcd-quota-maximum").is_none());
    }

    #[test]
    fn a_database_that_nears_the_largest_quota_is_to_be_emptied() {
        let using = |quota: f64, used: f64| {
            Plane::with(Cause::Space)
                .fails("quota-near-limit", member(), Critical)
                .put(&keys::DB_QUOTA, member(), quota * GIB)
                .put(&keys::DB_IN_USE, member(), used * GIB)
        };
        let near = |quota: f64| using(quota, quota * 0.9);
        let content = near(8.0).find("database-content").unwrap();
        assert!(content.why.contains("no larger one"), "{content:?}");
        assert!(near(8.0).find("etcd-quota").is_none());
        // A smaller one can grow.
        assert!(near(4.0).find("database-content").is_none());
        // What is in use is little: a defragmentation is room enough, and nothing is to be deleted.
        let free = |used: f64| using(8.0, used).fails("database-fragmented", member(), Warn);
        let ids = |plane: Plane| plane.advice().into_iter().map(|advice| advice.id);
        assert_eq!(ids(free(1.0)).next().as_deref(), Some("etcd-defrag"));
        assert!(free(1.0).find("database-content").is_none());
        assert!(free(5.0).find("database-content").is_some());
    }

    #[test]
    fn seconds_of_growth_and_a_small_file_system_ask_for_no_larger_quota() {
        let growing = |left: f64| {
            Plane::with(Cause::Space)
                .fails("database-growing-fast", member(), Critical)
                .put(&keys::DB_QUOTA, member(), 2.0 * GIB)
                .put(&keys::DB_TIME_TO_FULL, member(), left)
                // Watched for a hundred seconds.
                .put_timed(&keys::DB_GROWTH, member(), 1e6)
        };
        let of = |plane: Plane| plane.find("etcd-quota").unwrap();
        assert_eq!(of(growing(90.0)).strength, Strength::Recommended);
        let far = of(growing(900.0));
        assert_eq!(far.strength, Strength::Candidate);
        assert!(far.conflicts[0].contains("watched for"), "{far:?}");
        let on = |gib: f64| {
            let row = crate::evidence::Row::new("data").num("size_bytes", gib * GIB);
            let space = super::super::super::testing::table(vec![row]);
            of(growing(90.0).put(&keys::FS_SPACE, member(), space))
        };
        assert_eq!(on(50.0).strength, Strength::Recommended);
        let small = on(0.5);
        assert_eq!(small.strength, Strength::Candidate);
        assert!(small.conflicts[0].contains("512 MiB in all"), "{small:?}");
    }
}
