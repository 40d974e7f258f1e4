//! A component runs a release with a known defect. Without a symptom it is information.

use std::collections::BTreeMap;

use crate::catalog::advisories::{self, Advisory};
use crate::catalog::releases::Version;
use crate::evidence::{Citation, Missing, Subject, SubjectKind, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::rules::{events, nodes};

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
    let mut versions: BTreeMap<Version, Vec<Subject>> = BTreeMap::new();
    let mut cited: Vec<(Version, Citation)> = Vec::new();
    for key in [
        &keys::VERSIONS,
        &keys::METRICS_VERSIONS,
        &keys::LOGS_VERSIONS,
    ] {
        for (subject, table) in cx.evidence.all(key) {
            for row in &table.rows {
                let other = !is_etcd(&subject) && !row.key.starts_with("etcd");
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
                let on = versions.entry(version).or_default();
                if !on.contains(&subject) {
                    on.push(subject.clone());
                }
                cx.evidence
                    .cite_as(key, &subject, format!("etcd {version}"));
                let cites = cx.evidence.take_citations().into_iter();
                cited.extend(cites.map(|cite| (version, cite)));
            }
        }
    }
    if versions.is_empty() {
        return Err(Missing::NotEnough {
            why: "no version of etcd is known".to_owned(),
        });
    }
    let mut drafts = Vec::new();
    for (version, subjects) in versions {
        let (mut ill, mut quiet) = (Vec::new(), Vec::new());
        for advisory in advisories::affecting("etcd", version) {
            cx.evidence.take_citations();
            let sign = advisory
                .symptoms
                .iter()
                .find_map(|symptom| seen(cx, &subjects, symptom).map(|words| (symptom, words)));
            let cites = cx.evidence.take_citations();
            let of_setting = |one: &String| one.starts_with("setting:");
            let needs_setting =
                !advisory.symptoms.is_empty() && advisory.symptoms.iter().all(of_setting);
            match sign {
                // A setting makes it matter, and is no sign of it.
                Some(_) if needs_setting => quiet.push((advisory, cites)),
                Some(sign) => ill.push((advisory, sign, cites)),
                // What matters only with a setting does not matter without it.
                None if needs_setting => {}
                None => quiet.push((advisory, Vec::new())),
            }
        }
        let Some(subject) = subjects.first() else {
            continue;
        };
        let cited: Vec<Citation> = cited
            .iter()
            .filter(|(of, _)| *of == version)
            .map(|(_, cite)| cite.clone())
            .collect();
        let with = |more: &[Citation]| [&cited, more].concat();
        for (advisory, (symptom, sign), cites) in &ill {
            let fixed = fixed(advisory, version);
            drafts.push(
                Draft::new(
                    subject.clone(),
                    Severity::Warn,
                    format!("etcd {version}: {} (and {sign}){fixed}", advisory.summary),
                )
                .confidence(Confidence::Medium)
                .aspect(symptom.trim_start_matches("rule:"))
                .threshold(source(advisory))
                .cites(with(cites)),
            );
        }
        drafts.extend(upgraded(cx, version, &subjects, &cited));
        if quiet.is_empty() {
            continue;
        }
        let sources: Vec<String> = quiet.iter().map(|(advisory, _)| source(advisory)).collect();
        let more: Vec<Citation> = quiet.iter().flat_map(|(_, cites)| cites.clone()).collect();
        let known: Vec<&Advisory> = quiet.into_iter().map(|(advisory, _)| advisory).collect();
        drafts.push(
            Draft::new(subject.clone(), Severity::Info, in_short(version, &known))
                .confidence(Confidence::High)
                .threshold(sources.join(", "))
                .cites(with(&more)),
        );
    }
    Ok(Verdict::Fail(drafts))
}

/// What 3.6 says as it ends where its member list, as an older 3.5 left it, has learners that were
/// promoted long ago (etcd: membership/errors.go, #19557).
const LEARNERS: &str = "too many learner members in cluster";
/// The defect of the releases before, whose fix 3.6 needs.
const UPGRADE: &str = "upgrade-to-3-6";

/// A defect of the release that ran before, which only its successor shows: 3.6 does not start.
fn upgraded(
    cx: &Context<'_>,
    version: Version,
    on: &[Subject],
    cited: &[Citation],
) -> Option<Draft> {
    let advisory = advisories::advisories()
        .iter()
        .find(|one| one.id == UPGRADE)?;
    let needs = *advisory.fixed.first()?;
    if (version.major, version.minor) != (3, needs.minor + 1) {
        return None;
    }
    cx.evidence.take_citations();
    let lives = cx.evidence.all(&keys::LOGS_LIVES);
    let (subject, _) = lives.into_iter().find(|(subject, life)| {
        let why = life.row("self").and_then(|row| row.get_text("why"));
        on.iter().any(|etcd| nodes::same(etcd, subject))
            && why.is_some_and(|why| why.contains(LEARNERS))
    })?;
    cx.evidence.take_citations();
    cx.evidence
        .cite_as(&keys::LOGS_LIVES, &subject, format!("\"{LEARNERS}\""));
    let words = format!(
        "etcd {version} does not start on what a release before {needs} left: it takes members for learners \
         that were promoted long ago ({LEARNERS}). Back to the release that ran before, to {needs} or later on \
         every member, and only then to {}.{}",
        version.major, version.minor
    );
    let draft = Draft::new(subject, Severity::Warn, words)
        .confidence(Confidence::High)
        .aspect(UPGRADE)
        .threshold(source(advisory))
        .cites([cited, &cx.evidence.take_citations()].concat());
    Some(draft)
}

/// Defects of which nothing was seen, in one sentence: two by name, and where they are mended.
fn in_short(version: Version, quiet: &[&Advisory]) -> String {
    const NAMED: usize = 2;
    let named: Vec<&str> = quiet
        .iter()
        .take(NAMED)
        .map(|advisory| advisory.summary.as_str())
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
        .filter_map(|advisory| advisory.fixed_for(version))
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

/// A symptom that was seen on the nodes of a release, in words: a kind of log event, a setting that
/// is set, or what a rule found.
fn seen(cx: &Context<'_>, on: &[Subject], symptom: &str) -> Option<String> {
    if symptom == "rule:compaction-saw-tooth" {
        let seen = crate::rules::load::compaction_saw_tooth::seen(cx);
        return seen.then(|| "`compaction-saw-tooth` was seen".to_owned());
    }
    if let Some(name) = symptom.strip_prefix("setting:") {
        return set(cx, on, name);
    }
    for (subject, table) in cx.evidence.all(&keys::LOGS_EVENTS) {
        // Another program's panic is not etcd's.
        if !is_etcd(&subject) || !on.iter().any(|etcd| nodes::same(etcd, &subject)) {
            continue;
        }
        let row = table.rows.iter().find(|row| {
            let kind = row.key.strip_prefix(symptom);
            kind.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
                && row.get("count").is_some_and(|n| n > 0.0)
        });
        if let Some(row) = row {
            let count = row.get("count").unwrap_or(0.0);
            let words = events::counted(count, &format!("{} messages", row.key));
            cx.evidence.cite_as(&keys::LOGS_EVENTS, &subject, words);
            return Some(format!("`{}` was seen", row.key));
        }
    }
    None
}

/// A setting that somebody set; `NAME*` stands for all that begin so.
fn set(cx: &Context<'_>, on: &[Subject], name: &str) -> Option<String> {
    for (subject, table) in cx.evidence.all(&keys::SETTINGS) {
        if !is_etcd(&subject) || !on.iter().any(|etcd| nodes::same(etcd, &subject)) {
            continue;
        }
        let row = table.rows.iter().find(|row| {
            let is_it = match name.strip_suffix('*') {
                Some(prefix) => row.key.starts_with(prefix),
                None => row.key == name,
            };
            let source = row.get_text("source").unwrap_or("flag");
            is_it && row.get_text("value").is_some() && !source.ends_with("default")
        });
        if let Some(row) = row {
            cx.evidence
                .cite_as(&keys::SETTINGS, &subject, format!("{} is set", row.key));
            return Some(format!("`{}` is set", row.key));
        }
    }
    None
}

/// Whether a subject is an etcd; `etcd-events` is one too.
fn is_etcd(subject: &Subject) -> bool {
    subject.kind == SubjectKind::Member
        || subject.name == "etcd"
        || subject.name.starts_with("etcd-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Row, Table};
    use crate::rules::Status;
    use crate::rules::settings::testing::settings;
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
    fn an_upgrade_from_a_release_with_a_defect_is_told_by_how_it_ends() {
        let with = |version: &str, why: &str| {
            let life = Table {
                rows: vec![Row::new("self").text("why", why)],
                ..Table::default()
            };
            let found = running(version)
                .put(&keys::LOGS_LIVES, member(), life)
                .check(&RULE);
            let told = found.into_iter().find(|f| f.severity == Severity::Warn);
            told.map(|found| found.message)
        };
        let why = "discovery failed: membership: too many learner members in cluster";
        let told = with("3.6.0", why).unwrap();
        assert!(
            told.starts_with("etcd 3.6.0 does not start on what a release before 3.5.26 left"),
            "{told}"
        );
        assert_eq!(with("3.6.0", "wal: crc mismatch"), None);
        // A learner too many in 3.5 is one.
        assert_eq!(with("3.5.30", why), None);
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
    fn only_the_release_that_is_ill_is_blamed() {
        let panic = |about: Subject| {
            let events = table(&[("panic", &[("count", 1.0)])]);
            let set = running("3.5.1").put(&keys::LOGS_EVENTS, about, events);
            let found = set.check(&RULE);
            found.into_iter().find(|f| f.severity == Severity::Warn)
        };
        assert_eq!(panic(component("unknown")), None, "another program");
        let elsewhere = Subject::new(SubjectKind::Member, "b");
        assert_eq!(panic(elsewhere), None, "another node");
        let own = panic(member()).unwrap();
        assert!(own.message.contains("(and `panic` was seen)"), "{own:?}");
        let key = keys::LOGS_EVENTS.info.name;
        assert!(own.evidence.iter().any(|cite| cite.key == key), "{own:?}");
    }

    #[test]
    fn every_advisory_can_be_told() {
        for advisory in advisories::advisories() {
            let (_, before) = advisory.affected[0];
            let version = match advisory.affected[0].0 {
                Some(from) => from.to_string(),
                None if before.patch > 0 => {
                    format!("{}.{}.{}", before.major, before.minor, before.patch - 1)
                }
                None => format!("{}.{}.0", before.major, before.minor - 1),
            };
            let mut set = running(&version);
            match advisory.symptoms.first() {
                Some(one) if one.starts_with("setting:") => {
                    let name = one.trim_start_matches("setting:").replace('*', "name");
                    let set_to = settings(&[(&name, "true", "flag")]);
                    set = set.put(&keys::SETTINGS, component("etcd"), set_to);
                }
                // Compactions that hold requests up; a test of the diagnosis tells it.
                Some(rule) if rule.starts_with("rule:") => {
                    let id = rule.trim_start_matches("rule:");
                    assert_eq!(id, crate::rules::load::compaction_saw_tooth::RULE.id);
                }
                Some(kind) => {
                    let known = |kind: &str| crate::logs::signature::signature(kind).is_some();
                    let kind = match known(kind) {
                        true => kind.clone(),
                        false => format!("{kind}-detected"),
                    };
                    assert!(known(&kind), "{}: no message `{kind}`", advisory.id);
                    let events = table(&[(&kind, &[("count", 1.0)])]);
                    set = set.put(&keys::LOGS_EVENTS, member(), events);
                }
                None => {}
            }
            let told = |found: &crate::rules::Finding| found.threshold.contains(&advisory.id);
            assert!(
                set.check(&RULE).iter().any(told),
                "{} {version}",
                advisory.id
            );
        }
    }

    #[test]
    fn the_newest_release_has_no_known_defect() {
        assert_eq!(running("3.7.9").status(&RULE).0, Status::Pass);
    }
}
