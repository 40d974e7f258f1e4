//! Values that a file holds and the process does not: whether a restart may bring them into force.
//!
//! The rules are asked a second time, of the settings as they are after a restart. What fails only
//! then would come with the restart, so it is mended in the file first.

use std::collections::BTreeSet;

use crate::evidence::{Cell, EvidenceSet, Record, Row, Shape, Subject, keys};
use crate::rules::{self, Confidence, Finding, Severity, reads};
use crate::units::{format_bytes, parse_bytes};

use super::super::advice::{Advice, Disposition, Remedy};
use super::super::facts::{Facts, whole};
use super::client::slug;
use super::space;

const RULE: &str = "settings-not-applied";

/// One advice for each component whose file and process differ.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    let mut findings: Vec<&Finding> = facts
        .failed(RULE)
        .filter(|finding| {
            finding.severity >= Severity::Warn
                || (finding.subject.name == "etcd" && space::quota_waits(facts))
        })
        .collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let mut seen = BTreeSet::new();
    findings.retain(|finding| seen.insert(&finding.subject.name));
    let after = (!findings.is_empty()).then(|| after_restart(facts));
    findings
        .into_iter()
        .enumerate()
        .map(|(n, finding)| {
            let broken = after
                .as_ref()
                .map_or_else(Broken::default, |after| after.of(&finding.subject.name));
            one(facts, finding, &broken, n == 0)
        })
        .collect()
}

fn one(facts: &Facts<'_>, finding: &Finding, broken: &Broken, first: bool) -> Advice {
    let target = match finding.subject.name.as_str() {
        "" => "control plane",
        name => name,
    };
    let id = match first {
        true => RULE.to_owned(),
        false => format!("{RULE}-{}", slug(target)),
    };
    let mut advice = Advice::new(id, Remedy::Etcd, target, "running process");
    advice.why = finding.message.clone();
    advice.confidence = finding.confidence;
    advice.finding_ids = vec![RULE.to_owned()];
    advice.undo = "undo the edit".to_owned();
    advice.source = "settings act at the start of the process".to_owned();
    if broken.words.is_empty() && only_files_differ(facts, &finding.subject.name, None) {
        advice.setting = "definition".to_owned();
        advice.proposed =
            "keep one definition: write what is wanted into the place that counts, and \
                           take it out of, or make it equal in, the others"
                .to_owned();
        advice.effect = "the next start or upgrade changes nothing by surprise".to_owned();
        advice.risk = "none while the process runs on".to_owned();
        advice.verify = "`etcd-doctor check config` finds one definition".to_owned();
        return advice;
    }
    if broken.words.is_empty() {
        advice.proposed =
            "restart the component so that it takes the settings of its file".to_owned();
        advice.effect = "the file and the process agree".to_owned();
        advice.risk = super::config::ONE_BY_ONE.to_owned();
        advice.verify = "the running command line equals the file".to_owned();
        if target == "etcd" && space::quota_waits(facts) {
            // The room that is missing is there but for a restart.
            advice.remedy = Remedy::Space;
            if let Some(outgrown) = space::outgrown(facts) {
                advice.why = format!(
                    "{}, and a larger quota only waits for a restart; {}",
                    outgrown.message, advice.why
                );
            }
            advice.effect = format!(
                "room up to {}; it buys time, and no more: find what grows as well",
                format_bytes(pending_quota(facts).unwrap_or_default())
            );
            advice.finding_ids.extend(space::grounds(facts));
        }
        return advice;
    }
    advice.proposed =
        "mend the file before the component is restarted, or take out of it what was \
                       not meant"
            .to_owned();
    advice.why = format!(
        "with what the file says: {}; {}",
        broken.words.join("; "),
        advice.why
    );
    advice.effect = "the next restart, whoever asks for it, takes settings that work".to_owned();
    advice.risk =
        "none while the process runs on; a crash or a reboot takes the file as it is".to_owned();
    advice.verify = "another run advises the restart itself: the file is sound then".to_owned();
    advice.confidence = Confidence::High;
    if broken.refused {
        advice.finding_ids.extend(facts.failing(&[
            "flag-removed",
            "flag-and-environment",
            "setting-refused",
        ]));
    }
    if broken.worst == Some(Severity::Critical) {
        advice.remedy = Remedy::Safety;
    }
    advice
}

/// What would be wrong after a restart, in words.
#[derive(Default)]
struct Broken {
    words: Vec<String>,
    worst: Option<Severity>,
    /// A fault of the file itself is among it.
    refused: bool,
}

impl Broken {
    fn add(&mut self, severity: Severity, words: &str) {
        self.worst = self.worst.max(Some(severity));
        if !self.words.iter().any(|have| have == words) {
            self.words.push(words.to_owned());
        }
    }
}

/// What the rules say of the settings as the files have them.
struct After {
    findings: Vec<Finding>,
    stops: Vec<(Subject, String)>,
    small_quota: Option<String>,
}

impl After {
    fn of(&self, component: &str) -> Broken {
        let mut broken = Broken::default();
        for (_, words) in self.stops.iter().filter(|(s, _)| s.name == component) {
            broken.add(Severity::Critical, words);
            broken.refused = true;
        }
        for finding in &self.findings {
            // A file that is refused as a whole does no other harm.
            let counts = !broken.refused || finding.severity == Severity::Critical;
            if finding.subject.name == component && counts {
                let threshold = match finding.threshold.as_str() {
                    "" => String::new(),
                    words => format!(" (limit: {words})"),
                };
                broken.add(finding.severity, &format!("{}{threshold}", finding.message));
            }
        }
        if let Some(words) = self.small_quota.as_deref().filter(|_| component == "etcd") {
            broken.add(Severity::Critical, words);
        }
        broken
    }
}

fn after_restart(facts: &Facts<'_>) -> After {
    let evidence = with_files(facts.input.evidence);
    let asked: Vec<&rules::Rule> = reads::readers(keys::SETTINGS.info.name)
        // That a restart is pending is what is asked about.
        .filter(|reads| reads.rule != RULE)
        .filter_map(|reads| rules::rule(reads.rule))
        .collect();
    let mut findings = rules::run(&asked, &evidence, facts.input.profile);
    findings.retain(|finding| {
        finding.failed()
            && finding.severity >= Severity::Warn
            && !facts
                .failed(&finding.rule)
                .any(|now| now.subject == finding.subject && now.message == finding.message)
    });
    After {
        findings,
        stops: stops(facts),
        small_quota: small_quota(facts),
    }
}

/// The evidence as it is once every process was started from its file.
fn with_files(now: &EvidenceSet) -> EvidenceSet {
    let changed: Vec<Record> = now
        .of_key(&keys::SETTINGS)
        .cloned()
        .map(|mut record| {
            if let crate::evidence::Reading::Known(Shape::Table(table)) = &mut record.value {
                table.rows.iter_mut().for_each(take_defined);
            }
            record
        })
        .collect();
    let mut after = now.clone();
    after.retain(|record| record.key != keys::SETTINGS.info.name);
    changed.into_iter().for_each(|record| after.insert(record));
    after
}

fn take_defined(row: &mut Row) {
    let Some(defined) = row.get_text("defined").map(str::to_owned) else {
        return;
    };
    // A file without the setting leaves it to its default, which the readers write as an empty text.
    let source = match defined.is_empty() {
        true => "unknown default",
        false => "file",
    };
    if let Some(place) = row.get_text("defined-where").map(str::to_owned) {
        row.cells.insert("where".to_owned(), Cell::Text(place));
    }
    row.cells.insert("value".to_owned(), Cell::Text(defined));
    row.cells
        .insert("source".to_owned(), Cell::Text(source.to_owned()));
}

/// Faults of files with which a component does not start.
fn stops(facts: &Facts<'_>) -> Vec<(Subject, String)> {
    let mut all = Vec::new();
    for (subject, table) in facts.all(&keys::SETTINGS_FAULTS) {
        for row in &table.rows {
            // A source that could not be read says nothing of its values.
            let unread = row.get_text("kind") == Some("unreadable");
            if row.get_text("weight") == Some("stop")
                && !unread
                && let Some(fault) = row.get_text("fault")
            {
                all.push((subject.clone(), fault.to_owned()));
            }
        }
    }
    all
}

/// Whether files contradict each other about a component, or about one setting of it, and no process
/// differs from its file: then a restart changes nothing.
fn only_files_differ(facts: &Facts<'_>, component: &str, setting: Option<&str>) -> bool {
    let mut differ = false;
    for (subject, table) in facts.all(&keys::SETTINGS_FAULTS) {
        for row in &table.rows {
            let about = setting.is_none_or(|name| row.get_text("setting") == Some(name));
            if subject.name != component || !about {
                continue;
            }
            match row.get_text("kind") {
                Some("not-applied") => return false,
                Some("drift" | "two-definitions" | "stray-manifest") => differ = true,
                _ => {}
            }
        }
    }
    differ
}

/// A quota in the file that the database has outgrown.
fn small_quota(facts: &Facts<'_>) -> Option<String> {
    let waits = pending_quota(facts)?;
    let size = facts
        .all(&keys::DB_SIZE)
        .iter()
        .filter_map(|(_, series)| series.points.last().map(|point| point.value))
        .max_by(f64::total_cmp)
        .and_then(whole)?;
    (waits <= size).then(|| {
        format!(
            "the quota of {} is less than the database of {}: etcd would take no writes",
            format_bytes(waits),
            format_bytes(size)
        )
    })
}

/// The smallest quota that waits in a file for a restart of etcd.
pub(super) fn pending_quota(facts: &Facts<'_>) -> Option<u64> {
    const QUOTA: &str = "quota-backend-bytes";
    if only_files_differ(facts, "etcd", Some(QUOTA)) {
        return None;
    }
    facts
        .pending("etcd", QUOTA)
        .filter_map(parse_bytes)
        .map(|bytes| match bytes {
            0 => space::QUOTA_DEFAULT,
            bytes => bytes,
        })
        .min()
}

/// The quota that every file that was read has, where the metric shows less: nothing is left to
/// write.
pub(super) fn quota_in_file(facts: &Facts<'_>, now: Option<u64>, proposed: u64) -> Option<u64> {
    let set = facts.setting("etcd", "quota-backend-bytes", None)?;
    let file = set.texts().map(parse_bytes).min().flatten()?;
    let waits = now.is_some_and(|now| now < file) && file >= proposed;
    (waits && !facts.all(&keys::DB_QUOTA).is_empty()).then_some(file)
}

/// Turns advice on a quota into a restart that brings the one of the file.
pub(super) fn restart_for_quota(advice: &mut Advice, now: u64, file: u64) {
    advice.now = Some(format!("{now} in force, {file} in the settings"));
    advice.proposed = match file > space::QUOTA_MAX {
        true => format!(
            "write {} into its settings, which say {file}, and restart etcd",
            space::QUOTA_MAX
        ),
        false => format!("restart etcd so that it takes {file} from its settings"),
    };
    advice.why = format!(
        "{}; its settings say {file} and its metrics {now}: the change waits for a restart, or the \
         metrics are older than the last one",
        advice.why
    );
    advice.disposition = Disposition::ShowOnly;
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Plane, component, table};
    use super::*;
    use crate::clock::Timestamp;
    use crate::diagnosis::Cause;
    use crate::evidence::{Point, Series, SubjectKind};
    use crate::rules::Severity::{Critical, Info, Warn};

    /// etcd runs with its defaults, and its file says something else.
    fn waiting(values: &[(&str, &str, &str)]) -> Plane {
        let rows = values
            .iter()
            .map(|(name, runs, file)| {
                Row::new(*name)
                    .text("value", *runs)
                    .text("source", "default")
                    .text("defined", *file)
                    .text("defined-where", "etcd.yaml:30")
            })
            .collect();
        Plane::with(Cause::Unknown)
            .fails(RULE, component("etcd"), Warn)
            .put(&keys::SETTINGS, component("etcd"), table(rows))
    }

    #[test]
    fn a_sound_file_is_worth_a_restart() {
        let advice = waiting(&[
            ("heartbeat-interval", "100", "250"),
            ("election-timeout", "1000", "2500"),
        ])
        .find(RULE)
        .unwrap();
        assert!(advice.proposed.starts_with("restart"), "{advice:?}");
        assert_eq!(advice.remedy, Remedy::Etcd);
    }

    #[test]
    fn a_file_that_etcd_refuses_is_mended_first() {
        let refused: &[&[(&str, &str, &str)]] = &[
            &[
                ("heartbeat-interval", "100", "500"),
                ("election-timeout", "1000", "600"),
            ],
            &[
                ("heartbeat-interval", "100", "100"),
                ("election-timeout", "1000", "60000"),
            ],
            &[("unsafe-no-fsync", "false", "true")],
        ];
        for values in refused {
            let all = waiting(values).advice();
            assert!(
                all.iter()
                    .all(|a| !a.proposed.contains("restart the component so")),
                "{all:?}"
            );
            let advice = all.iter().find(|a| a.id == RULE).unwrap();
            assert!(advice.proposed.starts_with("mend the file"), "{advice:?}");
            assert!(advice.why.starts_with("with what the file says: "));
        }
        // What endangers data goes before all else.
        let unsafe_one = waiting(refused[2]).find(RULE).unwrap();
        assert_eq!(unsafe_one.remedy, Remedy::Safety);
    }

    #[test]
    fn a_flag_that_the_version_lacks_holds_the_restart_back() {
        let fault = |weight: &str| {
            let row = Row::new("removed-setting:enable-v2")
                .text("kind", "removed-setting")
                .text("weight", weight)
                .text("fault", "etcd 3.6.14 refuses `--enable-v2`");
            waiting(&[("enable-v2", "", "true")]).put(
                &keys::SETTINGS_FAULTS,
                component("etcd"),
                table(vec![row]),
            )
        };
        let advice = fault("stop").find(RULE).unwrap();
        assert!(advice.why.contains("refuses `--enable-v2`"), "{advice:?}");
        assert!(
            fault("note")
                .find(RULE)
                .unwrap()
                .proposed
                .starts_with("restart")
        );
    }

    fn database(gib: f64) -> Series {
        Series {
            points: vec![Point {
                at: Timestamp(0),
                value: gib * f64::from(1 << 30),
            }],
        }
    }

    #[test]
    fn a_quota_that_only_waits_is_not_lowered_and_its_restart_goes_first() {
        let member = || Subject::new(SubjectKind::Member, "cp0");
        let gib = f64::from(1 << 30);
        let full = |file: &str| {
            waiting(&[("quota-backend-bytes", "0", file)])
                .fails("quota-near-limit", member(), Critical)
                .put(&keys::DB_SIZE, member(), database(1.9))
                .put(&keys::DB_IN_USE, member(), 1.8 * gib)
                .put(&keys::DB_QUOTA, member(), 2.0 * gib)
        };
        let all = full("8589934592").advice();
        assert_eq!(all[0].id, RULE, "{all:?}");
        assert_eq!(all[0].remedy, Remedy::Space);
        assert!(all[0].finding_ids.contains(&"quota-near-limit".to_owned()));
        assert!(!all.iter().any(|a| a.id == "etcd-quota"), "{all:?}");
        // One that would not do is raised, and never below what the file has.
        assert_eq!(
            full("3221225472").find("etcd-quota").unwrap().proposed,
            "4294967296"
        );
        // More pending changes than one are a note by themselves: the quota still waits.
        let noted = Plane::with(Cause::Space)
            .fails(RULE, component("etcd"), Info)
            .fails("quota-near-limit", member(), Critical)
            .put(&keys::DB_QUOTA, member(), 2.0 * gib)
            .put(
                &keys::SETTINGS,
                component("etcd"),
                table(vec![
                    Row::new("quota-backend-bytes")
                        .text("value", "0")
                        .text("source", "default")
                        .text("defined", "8589934592"),
                ]),
            );
        assert!(noted.find(RULE).is_some());
        // A smaller one than the database is a trap.
        let trap = waiting(&[("quota-backend-bytes", "8589934592", "2147483648")])
            .put(&keys::DB_SIZE, member(), database(3.0))
            .put(&keys::DB_QUOTA, member(), 8.0 * gib);
        let advice = trap.find(RULE).unwrap();
        assert!(
            advice.why.contains("less than the database of 3 GiB"),
            "{advice:?}"
        );
    }

    #[test]
    fn a_quota_that_the_settings_have_and_the_metric_lacks_is_not_written_again() {
        let member = || Subject::new(SubjectKind::Member, "cp0");
        let gib = f64::from(1 << 30);
        let with = |set: &str| {
            Plane::with(Cause::Space)
                .fails("quota-near-limit", member(), Critical)
                .settings("etcd", &[("quota-backend-bytes", set)])
                .put(&keys::DB_QUOTA, member(), 2.0 * gib)
                .put(&keys::DB_IN_USE, member(), 1.8 * gib)
                .find("etcd-quota")
                .unwrap()
        };
        let waits = with("8589934592");
        assert_eq!(waits.disposition, Disposition::ShowOnly);
        assert!(waits.proposed.starts_with("restart etcd"), "{waits:?}");
        assert_eq!(with("2147483648").disposition, Disposition::Disruptive);
    }

    #[test]
    fn files_that_contradict_each_other_ask_for_no_restart() {
        let member = || Subject::new(SubjectKind::Member, "cp0");
        let differ = |kind: &str| {
            let row = Row::new(format!("{kind}:quota-backend-bytes"))
                .text("kind", kind)
                .text("weight", "warn")
                .text("setting", "quota-backend-bytes")
                .text("fault", "one says 2 GiB, another 8 GiB");
            waiting(&[("quota-backend-bytes", "2147483648", "8589934592")])
                .fails("quota-near-limit", member(), Critical)
                .put(&keys::DB_QUOTA, member(), f64::from(1 << 30) * 2.0)
                .put(&keys::SETTINGS_FAULTS, component("etcd"), table(vec![row]))
        };
        let drift = differ("drift");
        assert!(drift.find(RULE).unwrap().proposed.starts_with("keep one"));
        // The quota that a restart would not bring is still to be raised.
        assert!(drift.find("etcd-quota").is_some());
        let waits = differ("not-applied");
        assert!(waits.find(RULE).unwrap().proposed.starts_with("restart"));
        assert!(waits.find("etcd-quota").is_none());
    }
}
