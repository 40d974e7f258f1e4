//! How rules read evidence: every reading that is looked at is noted and becomes a citation.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};

use super::address::{Origin, Subject, Window};
use super::key::{FromShape, Key, Unit};
use super::set::{EvidenceSet, Record};
use super::shape::{Scalar, Shape};
use super::{Missing, Reading, keys};
use crate::units;

/// One reading that a finding rests on, in words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Citation {
    /// The key's dotted name.
    pub key: String,
    /// What it is about.
    pub subject: Subject,
    /// The value in words.
    pub value: String,
    /// When it holds.
    #[serde(default)]
    pub window: Window,
    /// Where it came from.
    pub origin: Origin,
    /// `file:line` of what it speaks of, where that is one place in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

/// Reads evidence and notes what was read.
#[derive(Debug)]
pub struct Reader<'a> {
    set: &'a EvidenceSet,
    cited: RefCell<Vec<Citation>>,
    /// Every key that was asked for, found or not: tests hold the rules' tables to it.
    #[cfg(test)]
    asked: RefCell<std::collections::BTreeSet<&'static str>>,
}

impl<'a> Reader<'a> {
    /// A reader that has cited nothing yet.
    pub fn new(set: &'a EvidenceSet) -> Self {
        Reader {
            set,
            cited: RefCell::new(Vec::new()),
            #[cfg(test)]
            asked: RefCell::default(),
        }
    }

    /// The names of all keys that were asked for so far.
    #[cfg(test)]
    pub(crate) fn asked(&self) -> std::collections::BTreeSet<&'static str> {
        self.asked.borrow().clone()
    }

    /// All readings, once it is noted what is asked for.
    #[cfg_attr(not(test), expect(unused_variables, reason = "only tests keep it"))]
    fn ask<T>(&self, key: &Key<T>) -> &'a EvidenceSet {
        #[cfg(test)]
        self.asked.borrow_mut().insert(key.name());
        self.set
    }

    /// The reading of a key about a subject. Cites it; what is missing says why.
    pub fn get<T: FromShape>(&self, key: &Key<T>, subject: &Subject) -> Result<T, Missing> {
        match self.ask(key).record(key, subject) {
            Some(record) => self.typed(key, record),
            None => Err(Missing::NotEnough {
                why: format!("{} was not collected", key.name()),
            }),
        }
    }

    /// The reading of a key for the one subject that has it; the first by name when several do.
    pub fn any<T: FromShape>(&self, key: &Key<T>) -> Result<(Subject, T), Missing> {
        let mut why = None;
        for record in self.ask(key).of_key(key) {
            match self.typed(key, record) {
                Ok(value) => return Ok((record.subject.clone(), value)),
                Err(missing) => why = Some(missing),
            }
        }
        Err(why.unwrap_or_else(|| Missing::NotEnough {
            why: format!("{} was not collected", key.name()),
        }))
    }

    /// All known readings of a key, by subject. Cites none: cite what you use with [`Self::cite`].
    pub fn all<T: FromShape>(&self, key: &Key<T>) -> Vec<(Subject, T)> {
        self.ask(key)
            .of_key(key)
            .filter_map(|record| match &record.value {
                Reading::Known(shape) => Some((record.subject.clone(), T::from_shape(shape)?)),
                Reading::Missing(_) => None,
            })
            .collect()
    }

    /// Like [`Self::all`], but an error when nobody has the reading.
    pub fn some<T: FromShape>(&self, key: &Key<T>) -> Result<Vec<(Subject, T)>, Missing> {
        let all = self.all(key);
        if all.is_empty() {
            // Gives the reason why it is missing, where one was noted.
            self.any(key)?;
        }
        Ok(all)
    }

    /// Looks without citing: for context that a finding does not rest on.
    pub fn peek<T: FromShape>(&self, key: &Key<T>, subject: &Subject) -> Option<T> {
        match &self.ask(key).record(key, subject)?.value {
            Reading::Known(shape) => T::from_shape(shape),
            Reading::Missing(_) => None,
        }
    }

    /// The record with its window and origin, without citing.
    pub fn record<T>(&self, key: &Key<T>, subject: &Subject) -> Option<&'a Record> {
        self.ask(key).record(key, subject)
    }

    /// All records of a key, without citing.
    pub fn records<T>(&self, key: &Key<T>) -> Vec<&'a Record> {
        self.ask(key).of_key(key).collect()
    }

    /// Notes a reading as used.
    pub fn cite<T>(&self, key: &Key<T>, subject: &Subject) {
        if let Some(record) = self.ask(key).record(key, subject) {
            self.note(record, None, None);
        }
    }

    /// Notes a reading as used, with words that say what about it matters (a table's row).
    pub fn cite_as<T>(&self, key: &Key<T>, subject: &Subject, words: impl Into<String>) {
        if let Some(record) = self.ask(key).record(key, subject) {
            self.note(record, Some(words.into()), None);
        }
    }

    /// Notes a reading as used, with words and the place in a file that they speak of.
    pub fn cite_at<T>(
        &self,
        key: &Key<T>,
        subject: &Subject,
        words: impl Into<String>,
        place: Option<String>,
    ) {
        if let Some(record) = self.ask(key).record(key, subject) {
            self.note(record, Some(words.into()), place);
        }
    }

    /// What was cited since the last call.
    pub fn take_citations(&self) -> Vec<Citation> {
        self.cited.take()
    }

    fn typed<T: FromShape>(&self, key: &Key<T>, record: &Record) -> Result<T, Missing> {
        match &record.value {
            Reading::Known(shape) => {
                self.note(record, None, None);
                T::from_shape(shape).ok_or_else(|| Missing::Unreadable {
                    source: record.origin.source.clone(),
                    line: None,
                    why: format!("{} has another shape than it should", key.name()),
                })
            }
            Reading::Missing(why) => Err(why.clone()),
        }
    }

    fn note(&self, record: &Record, words: Option<String>, place: Option<String>) {
        let Reading::Known(shape) = &record.value else {
            return;
        };
        let explicit = words.is_some();
        let citation = Citation {
            key: record.key.clone(),
            subject: record.subject.clone(),
            value: words.unwrap_or_else(|| in_words(&record.key, shape)),
            window: record.window,
            origin: record.origin.clone(),
            place,
        };
        let mut cited = self.cited.borrow_mut();
        // Words about a reading replace its generic mention.
        if explicit {
            let generic = in_words(&record.key, shape);
            cited.retain(|have| {
                have.key != citation.key
                    || have.subject != citation.subject
                    || have.value != generic
            });
        } else if cited
            .iter()
            .any(|have| have.key == citation.key && have.subject == citation.subject)
        {
            return;
        }
        if !cited.contains(&citation) {
            cited.push(citation);
        }
    }
}

/// A reading in words, with its unit.
pub(crate) fn in_words(key: &str, shape: &Shape) -> String {
    let unit = keys::info(key).map_or(Unit::None, |info| info.unit);
    match shape {
        Shape::Scalar(Scalar::Num(n)) => number(*n, unit),
        Shape::Scalar(Scalar::Int(n)) => number(*n as f64, unit),
        Shape::Scalar(Scalar::Flag(flag)) => (if *flag { "yes" } else { "no" }).to_owned(),
        Shape::Scalar(Scalar::Text(text)) => text.clone(),
        Shape::Histogram(histogram) => match histogram.bracket(0.99) {
            Some((low, high)) if high.is_finite() => format!(
                "p99 between {} and {} (n={:.0})",
                number(low, unit),
                number(high, unit),
                histogram.count()
            ),
            Some((low, _)) => {
                format!(
                    "p99 above {} (n={:.0})",
                    number(low, unit),
                    histogram.count()
                )
            }
            None => "no values".to_owned(),
        },
        Shape::Table(table) => format!("{} rows", table.rows.len()),
        Shape::Series(series) => format!("{} points", series.points.len()),
        Shape::Episodes(episodes) => format!(
            "{} episodes",
            episodes.episodes.len() as u64 + episodes.dropped
        ),
    }
}

/// A number with its unit, for people.
pub(crate) fn number(n: f64, unit: Unit) -> String {
    match unit {
        Unit::Ms => units::format_ms(n),
        Unit::Secs if n == 0.0 => "0 s".to_owned(),
        Unit::Secs => units::format_ms(n * 1e3),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "`as` saturates, which is what a display wants"
        )]
        Unit::Bytes => units::format_bytes(n.max(0.0) as u64),
        Unit::PerSec => format!("{}/s", short(n)),
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "`as` saturates, which is what a display wants"
        )]
        Unit::BytesPerSec => {
            let sign = if n < 0.0 { "-" } else { "" };
            format!("{sign}{}/s", units::format_bytes(n.abs() as u64))
        }
        Unit::Ratio => format!("{} %", short(n * 100.0)),
        Unit::Count | Unit::None => short(n),
    }
}

/// Three significant digits without a useless fraction.
fn short(n: f64) -> String {
    if n.fract() == 0.0 || n.abs() >= 100.0 {
        format!("{n:.0}")
    } else if n.abs() >= 10.0 {
        format!("{n:.1}")
    } else {
        let text = format!("{n:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Collector, keys};
    use super::*;

    #[test]
    fn reading_cites_and_missing_says_why() {
        let mut set = EvidenceSet::new();
        let subject = Subject::cluster();
        let origin = Origin::new(Collector::Logs, "0.log");
        set.put(
            &keys::LOGS_LINES,
            subject.clone(),
            Window::default(),
            origin,
            5,
        );
        let reader = Reader::new(&set);
        assert_eq!(reader.get(&keys::LOGS_LINES, &subject), Ok(5));
        let cited = reader.take_citations();
        assert_eq!(cited.len(), 1);
        assert_eq!(cited[0].key, "logs.lines");
        assert_eq!(cited[0].value, "5");
        assert!(reader.get(&keys::LOGS_UNPARSED, &subject).is_err());
        assert!(reader.take_citations().is_empty());
    }
}
