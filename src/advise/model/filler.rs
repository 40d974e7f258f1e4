//! What fills the database: the resource that takes most of it, as kube-apiserver estimates (1.34+).

use std::collections::BTreeMap;

use crate::diagnosis::Cause;
use crate::evidence::keys;
use crate::rules::{Confidence, Finding, Severity};
use crate::units::format_bytes;

use super::super::advice::{Advice, Remedy, Strength};
use super::super::facts::{Facts, whole};

/// The resource that takes most of what is in use.
pub(super) struct Filler {
    resource: String,
    bytes: u64,
}

impl Filler {
    /// The largest resource, where it is a good part of what is in use.
    pub(super) fn of(facts: &Facts<'_>, in_use: Option<u64>) -> Option<Self> {
        // Every kube-apiserver estimates the same objects.
        let mut sizes: BTreeMap<String, f64> = BTreeMap::new();
        for (_, table) in facts.all(&keys::APISERVER_OBJECTS) {
            for row in &table.rows {
                let bytes = row.get("last_bytes").unwrap_or_default();
                let have = sizes.entry(row.key.clone()).or_default();
                *have = have.max(bytes);
            }
        }
        let all: f64 = sizes.values().sum();
        let used = in_use.map_or(all, |used| used as f64);
        let (resource, bytes) = sizes.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
        (bytes > 0.0 && bytes >= used * facts.limit("fills-database")).then_some(())?;
        Some(Filler {
            resource: resource.trim_end_matches('.').to_owned(),
            bytes: whole(bytes)?,
        })
    }

    /// In a few words.
    pub(super) fn words(&self) -> String {
        format!(
            "{} alone take about {}, as kube-apiserver estimates",
            self.resource,
            format_bytes(self.bytes)
        )
    }
}

/// What to do about it, while there is too little room.
pub(super) fn advise(facts: &Facts<'_>, finding: &Finding, in_use: Option<u64>) -> Option<Advice> {
    let filler = Filler::of(facts, in_use)?;
    let what = &filler.resource;
    let mut advice = Advice::new(
        "database-content",
        Remedy::Space,
        "kube-apiserver",
        format!("objects of {what}"),
    );
    advice.now = Some(format!("about {}", format_bytes(filler.bytes)));
    advice.proposed = format!(
        "find who writes {what} (`kubectl get {what} -A --sort-by=.metadata.creationTimestamp`, then its owner), \
         stop it, and delete what nobody needs"
    );
    advice.why = format!("{}; {}", finding.message, filler.words());
    advice.effect = "room that a larger quota and a defragmentation do not make".to_owned();
    advice.confidence = Confidence::Medium;
    advice.risk = "deleted objects are gone: save them or a snapshot of etcd before".to_owned();
    advice.undo = "create the objects again from what was saved".to_owned();
    advice.verify = format!(
        "`apiserver_resource_size_estimate_bytes` of {what} falls, and after the next compaction what \
         etcd has in use"
    );
    advice.finding_ids = vec![finding.rule.clone()];
    advice.source = "kube-apiserver 1.34: apiserver_resource_size_estimate_bytes".to_owned();
    Some(advice)
}

/// That the quota is reached within hours, where this is all that was found: while something else is
/// wrong, what grows may be its doing.
pub(super) fn soon<'a>(facts: &Facts<'a>) -> Option<&'a Finding> {
    let known = facts.input.diagnosis.verdict.cause != Cause::Unknown;
    let finding = facts.ails("database-growing-fast")?;
    (!known && finding.severity == Severity::Critical).then_some(finding)
}

/// First aid while there is still room: what grows is not known.
pub(super) fn growth(facts: &Facts<'_>) -> Option<Advice> {
    let finding = soon(facts)?;
    let mut advice = Advice::new(
        "database-growth",
        Remedy::Space,
        "kube-apiserver",
        "objects that grow in number or size",
    );
    advice.strength = Strength::Candidate;
    advice.proposed =
        "take a snapshot of etcd (`etcdctl snapshot save`); find what grows: `kubectl get --raw \
         /metrics | grep -E '^apiserver_(storage_objects|resource_size_estimate_bytes)'` twice some minutes apart, \
         and who writes it in the audit log; stop it, and look at the growth again before anything else"
            .to_owned();
    advice.why = finding.message.clone();
    advice.effect = "writes go on: at its quota etcd takes none any more".to_owned();
    advice.confidence = finding.confidence;
    advice.risk = "none to look; a snapshot reads the whole database once".to_owned();
    advice.undo = "nothing to undo".to_owned();
    advice.verify = "`etcd_mvcc_db_total_size_in_bytes` no longer grows".to_owned();
    advice.finding_ids = vec![finding.rule.clone()];
    advice.source = "etcd maintenance guide: space quota".to_owned();
    Some(advice)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Plane, component};
    use super::*;
    use crate::evidence::{Row, Subject, SubjectKind, Table};
    use crate::rules::Severity::{Critical, Warn};

    const GIB: f64 = 1_073_741_824.0;

    fn full(in_use: f64, secrets: f64) -> Plane {
        let member = || Subject::new(SubjectKind::Member, "etcd-0");
        let rows = vec![
            Row::new("pods").num("last_bytes", 0.1 * GIB),
            Row::new("secrets").num("last_bytes", secrets * GIB),
        ];
        let table = Table {
            rows,
            ..Table::default()
        };
        Plane::with(Cause::Space)
            .fails("nospace-alarm", member(), Critical)
            .put(&keys::DB_QUOTA, member(), 8.0 * GIB)
            .put(&keys::DB_IN_USE, member(), in_use * GIB)
            .put(&keys::APISERVER_OBJECTS, component("kube-apiserver"), table)
    }

    #[test]
    fn what_takes_most_of_a_full_database_is_named() {
        let advice = full(7.9, 7.0).find("database-content").unwrap();
        assert!(advice.setting.contains("secrets"), "{advice:?}");
        let recovery = full(7.9, 7.0).find("nospace-recovery").unwrap();
        assert!(recovery.why.contains("secrets alone"), "{recovery:?}");
        // Less than half of it.
        assert!(full(7.9, 3.0).find("database-content").is_none());
    }

    #[test]
    fn a_database_full_of_data_is_not_promised_to_shrink() {
        let full_of_data = full(7.9, 7.0).find("nospace-recovery").unwrap();
        assert!(full_of_data.proposed.contains("delete"), "{full_of_data:?}");
        assert!(!full_of_data.verify.contains("far below"));
        let of_free_pages = full(1.0, 0.3).find("nospace-recovery").unwrap();
        assert!(of_free_pages.verify.contains("far below"));
        assert!(!of_free_pages.proposed.contains("delete"));
    }
    #[test]
    fn a_quota_that_is_reached_in_hours_gets_first_aid() {
        let grows = |cause, severity| {
            let member = || Subject::new(SubjectKind::Member, "etcd-0");
            Plane::with(cause)
                .fails("database-growing-fast", member(), severity)
                .put(&keys::DB_QUOTA, member(), 2.0 * GIB)
                .put(&keys::DB_IN_USE, member(), GIB)
        };
        let soon = grows(Cause::Unknown, Critical);
        let growth = soon.find("database-growth").unwrap();
        assert!(growth.proposed.contains("snapshot"), "{growth:?}");
        let quota = soon.find("etcd-quota").unwrap();
        assert_eq!(quota.strength, Strength::Candidate);
        // In a day, or as the doing of something else that is wrong.
        for calm in [
            grows(Cause::Unknown, Warn),
            grows(Cause::QueryLoad, Critical),
        ] {
            assert_eq!(calm.find("database-growth"), None);
            assert_eq!(calm.find("etcd-quota"), None);
        }
    }
}
