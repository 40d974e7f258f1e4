//! Objects stored beside the limits that Kubernetes is tested with.

use crate::evidence::{Missing, Subject, SubjectKind, Unit, keys, number};
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "object-limits",
    summary: "more objects are stored than Kubernetes is tested with",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "object-limits",
    check,
};

/// Resources with a limit of their own; all others have that of one type.
const OWN: &[(&str, &str)] = &[
    ("events", "objects-events"),
    ("namespaces", "objects-namespaces"),
    ("nodes", "objects-nodes"),
    ("services", "objects-services"),
];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let tables = cx.evidence.some(&keys::APISERVER_OBJECTS)?;
    cx.evidence.take_citations();
    let mut drafts: Vec<Draft> = Vec::new();
    for (subject, table) in tables {
        for (row, bytes) in table.top("last_bytes") {
            let limit = cx.profile.limit("objects-bytes");
            let about = Subject::new(SubjectKind::Resource, &row.key);
            if bytes <= limit.value || drafts.iter().any(|draft| draft.is_about(&about)) {
                continue;
            }
            let objects = row
                .get("last_objects")
                .map_or_else(String::new, |n| format!(" in {n:.0} objects"));
            let words = format!(
                "{} take about {}{objects}",
                row.key,
                number(bytes, Unit::Bytes)
            );
            cx.evidence
                .cite_as(&keys::APISERVER_OBJECTS, &subject, words.clone());
            drafts.push(
                Draft::new(about, Severity::Warn, words)
                    .threshold(limit.words())
                    .cites(cx.evidence.take_citations()),
            );
        }
        for (row, objects) in table.top("last_objects") {
            let name = OWN
                .iter()
                .find(|(resource, _)| *resource == row.key)
                .map_or("objects-of-a-type", |o| o.1);
            let limit = cx.profile.limit(name);
            // Four fifths of a limit are worth knowing.
            let severity = if objects > limit.value {
                Severity::Warn
            } else if objects > limit.value * 0.8 {
                Severity::Info
            } else {
                continue;
            };
            let about = Subject::new(SubjectKind::Resource, &row.key);
            if drafts.iter().any(|draft| draft.is_about(&about)) {
                continue;
            }
            let words = format!("{objects:.0} {} are stored", row.key);
            cx.evidence
                .cite_as(&keys::APISERVER_OBJECTS, &subject, words.clone());
            drafts.push(
                Draft::new(about, severity, words)
                    .threshold(limit.words())
                    .cites(cx.evidence.take_citations()),
            );
        }
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, table};

    #[test]
    fn all_objects_of_a_type_have_a_limit_of_bytes() {
        let limit = crate::profile::Profile::default().get("objects-bytes");
        let with = |bytes: f64| {
            let row: &[(&str, f64)] = &[("last_objects", 4100.0), ("last_bytes", bytes)];
            Set::new()
                .put(
                    &keys::APISERVER_OBJECTS,
                    component("kube-apiserver"),
                    table(&[("secrets", row)]),
                )
                .status(&RULE)
        };
        assert_eq!(with(limit + 1.0), (Status::Fail, Severity::Warn));
        assert_eq!(with(limit).0, Status::Pass);
    }

    #[test]
    fn four_fifths_inform_more_warns() {
        let with = |resource: &str, n: f64| {
            Set::new().put(
                &keys::APISERVER_OBJECTS,
                component("kube-apiserver"),
                table(&[(resource, &[("last_objects", n)])]),
            )
        };
        let nodes = crate::profile::Profile::default().get("objects-nodes");
        assert_eq!(with("nodes", nodes * 0.8).status(&RULE).0, Status::Pass);
        assert_eq!(
            with("nodes", nodes).status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(
            with("nodes", nodes + 1.0).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(
            with("configmaps", nodes + 1.0).status(&RULE).0,
            Status::Pass
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
