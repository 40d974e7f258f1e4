//! What fills the database: the resource that takes most of it, as kube-apiserver estimates (1.34+).

use std::collections::BTreeMap;

use crate::evidence::keys;
use crate::rules::{Confidence, Finding};
use crate::units::format_bytes;

use super::super::advice::{Advice, Remedy};
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

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Plane, component};
    use super::*;
    use crate::diagnosis::Cause;
    use crate::evidence::{Row, Subject, SubjectKind, Table};
    use crate::rules::Severity::Critical;

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
}
