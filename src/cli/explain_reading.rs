//! What `explain` says of a metric or of a reading: what it means, who reads it, and with which limit
//! it is compared.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::catalog::metrics::{Kind, METRICS, Metric, MetricUnit};
use crate::error::Error;
use crate::evidence::{KeyInfo, Unit, keys};
use crate::exit::Exit;
use crate::metrics::collect::feeds;
use crate::playbook::{self, Page};
use crate::profile::Profile;
use crate::render;
use crate::rules::reads::{READS, Reads};
use crate::rules::{self, Rule};

use super::common::{Format, Session};

/// A metric or a reading, with all that is known about it.
pub(super) struct Explained {
    /// What it is, in words.
    what: String,
    doc: &'static str,
    unit: &'static str,
    /// What it is read as.
    readings: Vec<&'static KeyInfo>,
    /// The rules that read it, with what they read.
    rules: Vec<(&'static Rule, &'static Reads)>,
}

/// All spellings of all metrics.
pub(super) fn metrics() -> impl Iterator<Item = &'static str> {
    METRICS
        .iter()
        .flat_map(|(_, info)| info.names.iter().copied())
}

/// The names of all readings.
pub(super) fn readings() -> impl Iterator<Item = &'static str> {
    keys::all().map(|info| info.name)
}

/// Those of a metric's readings that are made of few metrics, if there are any: who reads a table of
/// all of them need not look at this one.
fn of_few(fed: &[&'static str]) -> Vec<&'static str> {
    const FEW: usize = 2;
    let made_of = |key: &str| {
        let metrics = METRICS.iter();
        metrics
            .filter(|(one, _)| feeds(*one).contains(&key))
            .count()
    };
    let few = fed.iter().copied().filter(|key| made_of(key) <= FEW);
    let few: Vec<&str> = few.collect();
    if few.is_empty() { fed.to_vec() } else { few }
}

impl Explained {
    /// What a name means: any spelling of a metric, with or without what a histogram appends to it,
    /// or a reading's name.
    pub(super) fn find(name: &str) -> Option<Self> {
        if let Some(key) = keys::info(name) {
            return Some(Explained {
                what: "a reading".to_owned(),
                doc: key.doc,
                unit: unit(key.unit),
                readings: vec![key],
                rules: readers(&[key.name]),
            });
        }
        let metric = ["", "_bucket", "_sum", "_count"]
            .into_iter()
            .filter_map(|end| name.strip_suffix(end))
            .find_map(metric)?;
        let info = metric.info();
        let fed = feeds(metric);
        let mut what = match info.kind {
            Kind::Counter => "a counter",
            Kind::Level => "a counter that outlives its process",
            Kind::Gauge => "a gauge",
            Kind::Histogram => "a histogram",
            Kind::Summary => "a summary",
            Kind::Info => "a metric whose labels tell it",
        }
        .to_owned();
        if let [newest, older @ ..] = info.names
            && !older.is_empty()
        {
            write!(
                what,
                ", called `{newest}`, before that `{}`",
                older.join("`, `")
            )
            .ok();
        }
        if !info.labels.is_empty() {
            let labels: Vec<String> = info
                .labels
                .iter()
                .map(|label| format!("`{}`", label.replace('|', "` or `")))
                .collect();
            write!(what, ", read by {}", labels.join(", ")).ok();
        }
        Some(Explained {
            what,
            doc: info.doc,
            unit: match (info.kind, info.unit) {
                (Kind::Info, _) => "",
                (_, MetricUnit::Secs) => "seconds",
                (_, MetricUnit::Ms) => "milliseconds",
                (_, MetricUnit::Bytes) => "bytes",
                (_, MetricUnit::Count) => "a count",
            },
            readings: fed.iter().filter_map(|name| keys::info(name)).collect(),
            rules: readers(&of_few(fed)),
        })
    }

    /// Prints it, and the page where there is only one.
    pub(super) fn print(&self, name: &str, session: &mut Session<'_>) -> Result<Exit, Error> {
        let pages = self.pages();
        if session.format == Format::Json {
            let profile = Profile::default();
            let rules: Vec<_> = self
                .rules
                .iter()
                .map(|(rule, reads)| {
                    let limits: Vec<String> = limits(&profile, reads);
                    serde_json::json!({
                        "id": rule.id,
                        "summary": rule.summary,
                        "severity": rule.severity.word(),
                        "limits": limits,
                        "page": rule.playbook,
                    })
                })
                .collect();
            let readings: Vec<_> = self
                .readings
                .iter()
                .map(|key| {
                    serde_json::json!({
                        "name": key.name,
                        "unit": unit(key.unit),
                        "doc": one_line(key.doc),
                    })
                })
                .collect();
            let page = self.one_page();
            session.json(&serde_json::json!({
                "id": name,
                "page": page.map(|page| page.name),
                "summary": one_line(self.doc),
                "severity": serde_json::Value::Null,
                "unit": self.unit,
                "readings": readings,
                "rules": rules,
                "pages": pages.iter().map(|page| page.name).collect::<Vec<_>>(),
                "text": page.map_or_else(|| self.text(name), |page| page.text.to_owned()),
            }))?;
            return Ok(Exit::Clean);
        }
        render::markdown_text(session.out, session.terminal, &self.text(name))?;
        if let Some(page) = self.one_page() {
            writeln!(session.out)?;
            render::markdown_text(session.out, session.terminal, page.text)?;
        }
        Ok(Exit::Clean)
    }

    fn pages(&self) -> Vec<&'static Page> {
        let names: BTreeSet<&str> = self.rules.iter().map(|(rule, _)| rule.playbook).collect();
        names.into_iter().filter_map(playbook::page).collect()
    }

    fn one_page(&self) -> Option<&'static Page> {
        if let [page] = self.pages().as_slice() {
            return Some(page);
        }
        // Others read it beside what they are about; one that reads nothing else is about it.
        let own = |reads: &Reads| {
            let mut keys = reads.keys.iter();
            keys.all(|key| self.readings.iter().any(|reading| reading.name == *key))
        };
        let mut about = self.rules.iter().filter(|(_, reads)| own(reads));
        match (about.next(), about.next()) {
            (Some((rule, _)), None) => playbook::page(rule.playbook),
            _ => None,
        }
    }

    /// All but the page, as Markdown.
    fn text(&self, name: &str) -> String {
        let mut text = format!(
            "# {name}\n\n{}\n\nThis is {}",
            one_line(self.doc),
            self.what
        );
        if !self.unit.is_empty() {
            write!(text, "; unit: {}", self.unit).ok();
        }
        text.push_str(".\n");
        let is_reading = matches!(self.readings.as_slice(), [key] if key.name == name);
        if !is_reading {
            text.push_str("\n## Read as\n\n");
            for key in &self.readings {
                writeln!(text, "- `{}`: {}", key.name, one_line(key.doc)).ok();
            }
            if self.readings.is_empty() {
                text.push_str(
                    "No reading of its own: it tells whose a scrape is, or is not used yet.\n",
                );
            }
        }
        text.push_str("\n## Rules that read it\n\n");
        if self.rules.is_empty() {
            text.push_str("None: it is shown, saved and compared, and no rule judges it.\n");
        }
        let profile = Profile::default();
        for (rule, reads) in &self.rules {
            write!(
                text,
                "- `{}` ({}): {}",
                rule.id, rule.severity, rule.summary
            )
            .ok();
            let limits = limits(&profile, reads);
            if !limits.is_empty() {
                write!(text, "; compares with {}", limits.join("; ")).ok();
            }
            text.push('\n');
        }
        let pages = self.pages();
        if pages.len() > 1 {
            text.push_str("\n## Pages\n\n");
            for page in pages {
                writeln!(
                    text,
                    "- `etcd-doctor explain {}`: {}",
                    page.name,
                    page.title()
                )
                .ok();
            }
        }
        text
    }
}

fn metric(name: &str) -> Option<Metric> {
    METRICS
        .iter()
        .find(|(_, info)| info.names.contains(&name))
        .map(|(metric, _)| *metric)
}

fn readers(of: &[&str]) -> Vec<(&'static Rule, &'static Reads)> {
    READS
        .iter()
        .filter(|reads| reads.keys.iter().any(|key| of.contains(key)))
        .filter_map(|reads| Some((rules::rule(reads.rule)?, reads)))
        .collect()
}

/// The limits of the base profile that a rule compares with.
fn limits(profile: &Profile, reads: &Reads) -> Vec<String> {
    reads
        .limits
        .iter()
        .map(|name| format!("{name}: {}", profile.limit(name).words()))
        .collect()
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Ms => "milliseconds",
        Unit::Secs => "seconds",
        Unit::Bytes => "bytes",
        Unit::Count => "a count",
        Unit::PerSec => "per second",
        Unit::BytesPerSec => "bytes per second",
        Unit::Ratio => "a share, 0 to 1",
        Unit::None => "",
    }
}

/// A doc comment in one line.
fn one_line(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_and_reading_is_explained() {
        for name in metrics().chain(readings()) {
            let found = Explained::find(name).unwrap_or_else(|| panic!("{name}"));
            assert!(!found.doc.is_empty(), "{name}");
            assert!(found.text(name).contains("Rules that read it"), "{name}");
        }
        assert!(Explained::find("etcd_disk_wal_fsync_duration_seconds_bucket").is_some());
        assert!(Explained::find("no_such_metric").is_none());
    }

    #[test]
    fn a_metric_leads_to_its_rules_and_their_limits() {
        let found = Explained::find("etcd_disk_backend_commit_duration_seconds").unwrap();
        assert_eq!(found.one_page().unwrap().name, "backend-commit-slow");
        let text = found.text("etcd_disk_backend_commit_duration_seconds");
        for part in [
            "server.backend.commit",
            "backend-commit-p99: 25ms",
            "seconds",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
