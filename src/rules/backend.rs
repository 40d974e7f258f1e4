//! Where the control plane's data is not in etcd, rules about etcd do not apply.

use crate::evidence::keys;

use super::engine::{Context, Rule};

/// Families that are about etcd alone.
const FAMILIES: &[&str] = &["raft", "space"];
/// Rules of other families that are.
const RULES: &[&str] = &[
    "backend-commit-slow",
    "certificate-expiring",
    "compaction-off",
    "data-corruption",
    "election-timeouts-unequal",
    "heartbeat-election-mismatch",
    "known-bad-release",
    "peer-link-unstable",
    "peer-rtt-high",
    "quota-above-maximum",
    "quota-default",
    "raft-messages-dropped",
    "snapshot-count-high",
    "wal-fsync-slow",
    "wal-sync-stalled",
];

/// Why a rule does not apply; `None` when it does.
///
/// What answered through etcd's own protocol decides. Settings decide only where no etcd was
/// measured: a bundle of several clusters may hold both.
pub(super) fn spares(rule: &Rule, cx: &Context<'_>) -> Option<String> {
    let about_etcd = RULES.contains(&rule.id)
        || FAMILIES
            .iter()
            .filter_map(|family| super::FAMILIES.get(family))
            .any(|rules| rules.iter().any(|one| one.id == rule.id));
    if !about_etcd {
        return None;
    }
    let answered = cx.evidence.all(&keys::ETCD_BACKEND);
    if let Some((_, backend)) = answered.first() {
        return match backend.as_str() {
            "etcd" => None,
            "kine" => Some("the datastore is a database behind kine, not etcd".to_owned()),
            _ => Some("the datastore speaks etcd's protocol and is not etcd".to_owned()),
        };
    }
    if !cx.evidence.records(&keys::WAL_FSYNC).is_empty()
        || !cx.evidence.records(&keys::DB_SIZE).is_empty()
    {
        return None;
    }
    cx.evidence
        .all(&keys::DATASTORE)
        .iter()
        .filter_map(|(_, table)| table.row("datastore")?.get_text("kind").map(str::to_owned))
        .any(|kind| kind == "kine")
        .then(|| "by the settings the datastore is a database behind kine, not etcd".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Row, Subject, Table};
    use crate::rules::testing::{Set, member};
    use crate::rules::{Severity, Status, rule};

    #[test]
    fn every_name_is_a_rule() {
        for id in RULES {
            assert!(rule(id).is_some(), "{id}");
        }
        for family in FAMILIES {
            assert!(super::super::FAMILIES.contains_key(family), "{family}");
        }
    }

    #[test]
    fn kine_turns_rules_about_etcd_off_and_no_others() {
        let quota = rule("quota-near-limit").unwrap();
        let full = || {
            Set::new().put(&keys::DB_QUOTA, member(), 1e9).put(
                &keys::DB_SIZE,
                member(),
                crate::evidence::Series {
                    points: vec![crate::evidence::Point {
                        at: crate::clock::Timestamp(0),
                        value: 1e9,
                    }],
                },
            )
        };
        assert_eq!(full().status(quota), (Status::Fail, Severity::Critical));
        let backend =
            |word: &str| full().put(&keys::ETCD_BACKEND, Subject::cluster(), word.to_owned());
        assert_eq!(backend("etcd").status(quota).0, Status::Fail);
        assert_eq!(backend("kine").status(quota).0, Status::NotApplicable);
        assert_eq!(backend("other").status(quota).0, Status::NotApplicable);
        let row = Row::new("datastore").text("kind", "kine");
        let by_settings = Set::new().put(
            &keys::DATASTORE,
            Subject::cluster(),
            Table {
                rows: vec![row],
                ..Table::default()
            },
        );
        assert_eq!(by_settings.status(quota).0, Status::NotApplicable);
        let throttled = rule("client-throttled").unwrap();
        assert_eq!(backend("kine").status(throttled).0, Status::Unknown);
    }
}
