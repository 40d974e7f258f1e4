//! Members run different releases of etcd.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::{Missing, Subject, SubjectKind, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "versions-mixed",
    summary: "members run different releases of etcd",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "versions-mixed",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let mut by_node: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut told: BTreeSet<String> = BTreeSet::new();
    let mut confidence = Confidence::High;
    for key in [&keys::VERSIONS, &keys::METRICS_VERSIONS] {
        for (subject, table) in cx.evidence.all(key) {
            let etcd = subject.kind == SubjectKind::Member || subject.name == "etcd";
            if !etcd {
                continue;
            }
            // The running binary knows best; an image tag may be newer than what runs.
            for row in &table.rows {
                // A scrape also tells the cluster's version and that of Go.
                if key.name() == keys::METRICS_VERSIONS.name() && row.key != "server" {
                    continue;
                }
                // Nor does a version that was only asked about run anywhere.
                if row.key == "asked" {
                    continue;
                }
                if let Some(version) = row.get_text("version") {
                    let node = node_of(&subject);
                    told.insert(node.clone());
                    by_node.entry(plain(version)).or_default().insert(node);
                    cx.evidence.cite_as(key, &subject, version.to_owned());
                }
            }
        }
    }
    // Who is not asked says in its log what it started as. The last start counts: an upgrade that
    // went round leaves one release behind.
    for (subject, table) in cx.evidence.all(&keys::LOGS_RESTARTS) {
        let node = node_of(&subject);
        if subject.kind != SubjectKind::Member || told.contains(&node) {
            continue;
        }
        let last = table
            .rows
            .iter()
            .filter_map(|row| Some((row.key != "?", &row.key, row.get_text("version")?)))
            .max();
        if let Some((_, _, version)) = last {
            confidence = Confidence::Medium;
            by_node.entry(plain(version)).or_default().insert(node);
            cx.evidence
                .cite_as(&keys::LOGS_RESTARTS, &subject, version.to_owned());
        }
    }
    if by_node.is_empty() {
        return Err(Missing::NotEnough {
            why: "no version of etcd is known".to_owned(),
        });
    }
    let nodes: BTreeSet<&String> = by_node.values().flatten().collect();
    if by_node.len() < 2 || nodes.len() < 2 {
        return Ok(Verdict::Pass);
    }
    let words: Vec<String> = by_node
        .iter()
        .map(|(version, nodes)| {
            format!(
                "{version} on {}",
                nodes.iter().cloned().collect::<Vec<_>>().join(", ")
            )
        })
        .collect();
    Ok(Verdict::fail(
        Draft::new(Subject::cluster(), Severity::Warn, words.join("; "))
            .confidence(confidence)
            .threshold("etcd upgrade guide: mixed releases only during an upgrade"),
    ))
}

fn node_of(subject: &Subject) -> String {
    subject.node.clone().unwrap_or_else(|| subject.name.clone())
}

/// `3.5.15` of `v3.5.15-0`.
fn plain(version: &str) -> String {
    version
        .trim_start_matches('v')
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == '.')
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Row, Table};
    use crate::rules::Status;
    use crate::rules::testing::Set;

    fn with(versions: &[&str]) -> Set {
        versions
            .iter()
            .enumerate()
            .fold(Set::new(), |set, (at, version)| {
                let subject = Subject::new(SubjectKind::Component, "etcd").on(format!("n{at}"));
                let rows = vec![Row::new("image").text("version", *version)];
                set.put(
                    &keys::VERSIONS,
                    subject,
                    Table {
                        rows,
                        ..Table::default()
                    },
                )
            })
    }

    #[test]
    fn different_releases_on_different_nodes() {
        assert_eq!(with(&["3.5.15-0", "v3.5.15"]).status(&RULE).0, Status::Pass);
        assert_eq!(
            with(&["3.5.15-0", "3.4.23"]).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    /// Starts in the logs of n0, n1, …: time and version.
    fn started(of: &[&[(&str, &str)]]) -> Set {
        of.iter().enumerate().fold(Set::new(), |set, (at, starts)| {
            let rows = starts
                .iter()
                .map(|(time, version)| Row::new(*time).text("version", *version))
                .collect();
            let subject = Subject::new(SubjectKind::Member, format!("n{at}"));
            set.put(
                &keys::LOGS_RESTARTS,
                subject,
                Table {
                    rows,
                    ..Table::default()
                },
            )
        })
    }

    #[test]
    fn the_last_start_in_the_log_says_what_runs() {
        let (morning, noon) = ("2026-11-20T08:00:00Z", "2026-11-20T12:00:00Z");
        let mixed = started(&[&[(morning, "3.5.12")], &[(morning, "3.6.1")]]);
        assert_eq!(mixed.status(&RULE), (Status::Fail, Severity::Warn));
        let upgraded = started(&[
            &[(morning, "3.5.12"), (noon, "3.6.1")],
            &[(morning, "3.5.12"), (noon, "3.6.1")],
        ]);
        assert_eq!(upgraded.status(&RULE).0, Status::Pass);
        // What runs is known better than from the log.
        let subject = Subject::new(SubjectKind::Component, "etcd").on("n1");
        let asked = started(&[&[(noon, "3.6.1")], &[(morning, "3.5.12")]]).put(
            &keys::VERSIONS,
            subject,
            Table {
                rows: vec![Row::new("binary").text("version", "3.6.1")],
                ..Table::default()
            },
        );
        assert_eq!(asked.status(&RULE).0, Status::Pass);
    }
}
