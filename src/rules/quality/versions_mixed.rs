//! Members run different releases of etcd.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::{Missing, Subject, keys};
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
    let mut known = false;
    for key in [&keys::VERSIONS, &keys::METRICS_VERSIONS] {
        for (subject, table) in cx.evidence.all(key) {
            let etcd =
                subject.kind == crate::evidence::SubjectKind::Member || subject.name == "etcd";
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
                    known = true;
                    let node = subject.node.clone().unwrap_or_else(|| subject.name.clone());
                    by_node.entry(plain(version)).or_default().insert(node);
                    cx.evidence.cite_as(key, &subject, version.to_owned());
                }
            }
        }
    }
    if !known {
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
            .confidence(Confidence::High)
            .threshold("etcd upgrade guide: mixed releases only during an upgrade"),
    ))
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
    use crate::evidence::{Row, SubjectKind, Table};
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
}
