//! A component runs a release with a known defect. Without a symptom it is information.

use std::collections::BTreeMap;

use crate::catalog::advisories::{self, Advisory};
use crate::catalog::releases::Version;
use crate::evidence::{Missing, Subject, SubjectKind, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "known-bad-release",
    summary: "a release with a known defect runs",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "known-bad-release",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let mut versions: BTreeMap<Version, Subject> = BTreeMap::new();
    let mut cited = Vec::new();
    for key in [
        &keys::VERSIONS,
        &keys::METRICS_VERSIONS,
        &keys::LOGS_VERSIONS,
    ] {
        for (subject, table) in cx.evidence.all(key) {
            let etcd = subject.kind == SubjectKind::Member || subject.name == "etcd";
            for row in &table.rows {
                let other = !etcd && !row.key.starts_with("etcd");
                if other || matches!(row.key.as_str(), "go" | "cluster") {
                    continue;
                }
                let Some(version) = row.get_text("version").and_then(Version::parse) else {
                    continue;
                };
                // The releases of etcd; a log or scrape may name other programs as well.
                if version.major != 3 && version.major != 2 {
                    continue;
                }
                versions.entry(version).or_insert_with(|| subject.clone());
                cx.evidence
                    .cite_as(key, &subject, format!("etcd {version}"));
                cited.extend(cx.evidence.take_citations());
            }
        }
    }
    if versions.is_empty() {
        return Err(Missing::NotEnough {
            why: "no version of etcd is known".to_owned(),
        });
    }
    let mut drafts = Vec::new();
    for (version, subject) in versions {
        let all = advisories::affecting("etcd", version);
        let (ill, mut quiet): (Vec<_>, Vec<_>) = all
            .into_iter()
            .map(|advisory| {
                (
                    advisory,
                    advisory.symptoms.iter().find(|symptom| seen(cx, symptom)),
                )
            })
            .partition(|(_, symptom)| symptom.is_some());
        // What matters only with a setting does not matter without it.
        quiet.retain(|(advisory, _)| {
            let symptoms = &advisory.symptoms;
            symptoms.is_empty() || !symptoms.iter().all(|one| one.starts_with("setting:"))
        });
        for (advisory, symptom) in ill {
            let sign = symptom.map_or("", String::as_str);
            let sign = sign.strip_prefix("rule:").unwrap_or(sign);
            let fixed = fixed(advisory, version);
            drafts.push(
                Draft::new(
                    subject.clone(),
                    Severity::Warn,
                    format!(
                        "etcd {version}: {} (and `{sign}` was seen){fixed}",
                        advisory.summary
                    ),
                )
                .confidence(Confidence::Medium)
                .threshold(source(advisory))
                .cites(cited.clone()),
            );
        }
        if quiet.is_empty() {
            continue;
        }
        let sources: Vec<String> = quiet.iter().map(|(advisory, _)| source(advisory)).collect();
        drafts.push(
            Draft::new(subject.clone(), Severity::Info, in_short(version, &quiet))
                .confidence(Confidence::High)
                .threshold(sources.join(", "))
                .cites(cited.clone()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

/// Defects of which nothing was seen, in one sentence: two by name, and where they are mended.
fn in_short(version: Version, quiet: &[(&Advisory, Option<&String>)]) -> String {
    const NAMED: usize = 2;
    let named: Vec<&str> = quiet
        .iter()
        .take(NAMED)
        .map(|(advisory, _)| advisory.summary.as_str())
        .collect();
    let head = match quiet.len() {
        1 => "a known defect".to_owned(),
        n => format!("{n} known defects"),
    };
    let more = match quiet.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let mended = quiet
        .iter()
        .filter_map(|(advisory, _)| advisory.fixed_for(version))
        .max()
        .map_or_else(String::new, |mended| match quiet.len() {
            1 => format!(". {mended} mends it"),
            _ => format!(". {mended} mends all of them"),
        });
    format!(
        "etcd {version} has {head}, of which no sign was seen: {}{more}{mended}",
        named.join("; ")
    )
}

fn fixed(advisory: &Advisory, version: Version) -> String {
    advisory
        .fixed_for(version)
        .map_or_else(String::new, |fixed| format!("; fixed in {fixed}"))
}

fn source(advisory: &Advisory) -> String {
    format!("{} ({})", advisory.id, advisory.source)
}

/// Whether a symptom was seen: a kind of log event, a setting that is set, or what a rule found.
fn seen(cx: &Context<'_>, symptom: &str) -> bool {
    if symptom == "rule:compaction-saw-tooth" {
        return crate::rules::load::compaction_saw_tooth::seen(cx);
    }
    if let Some(name) = symptom.strip_prefix("setting:") {
        return crate::rules::settings::of(cx, "etcd", &[name])
            .is_ok_and(|all| all.iter().any(crate::rules::settings::Setting::is_set));
    }
    cx.evidence
        .all(&keys::LOGS_EVENTS)
        .iter()
        .any(|(_, table)| {
            table.rows.iter().any(|row| {
                row.key.starts_with(symptom) && row.get("count").is_some_and(|n| n > 0.0)
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Row, Table};
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, member, table};

    fn running(version: &str) -> Set {
        let rows = vec![Row::new("image").text("version", version)];
        Set::new().put(
            &keys::VERSIONS,
            component("etcd"),
            Table {
                rows,
                ..Table::default()
            },
        )
    }

    #[test]
    fn a_defect_informs_and_its_symptom_warns() {
        let findings = running("3.5.1").check(&RULE);
        assert!(
            findings
                .iter()
                .all(|f| f.failed() && f.severity == Severity::Info),
            "{findings:?}"
        );
        let ill = running("3.5.1").put(
            &keys::LOGS_EVENTS,
            member(),
            table(&[("corruption-detected", &[("count", 1.0)])]),
        );
        assert!(
            ill.check(&RULE)
                .iter()
                .any(|f| f.severity == Severity::Warn)
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn the_newest_release_has_no_known_defect() {
        assert_eq!(running("3.7.9").status(&RULE).0, Status::Pass);
    }
}
