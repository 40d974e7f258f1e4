//! The result of reading logs: one segment a stream, and what became of every file. It can be
//! saved, loaded and merged; merging files' summaries gives what one run over all files gives.

mod names;
mod numbers;

use std::collections::BTreeMap;
use std::io::{Read, Write};

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

pub(super) use names::named;

use super::aggregate::kinds::earliest;
use super::aggregate::segment::Segment;
use super::decode::Ends;
use super::event::Component;
use super::input::{Plan, Stream, Years, is_controller};
use super::scan::{Only, TimeFilter};
use super::stitch;
use super::writer;

/// Names the format of saved summaries.
const FORMAT: &str = "etcd-doctor.logs-summary";
/// Its version; older ones are refused with a clear word, never misread.
const VERSION: u32 = 1;
/// Largest saved summary that is read.
const MAX_SAVED: u64 = 256 << 20;
/// Most files named one by one.
const MAX_FILES: usize = 10_000;

/// What became of one file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileReport {
    /// Its name as the user gave it, or as it was found.
    pub name: String,
    /// Lines.
    pub lines: u64,
    /// Lines of records that were understood.
    pub parsed: u64,
    /// Lines that were not.
    pub unparsed: u64,
    /// Records outside `--since` and `--until`.
    pub outside: u64,
    /// Bytes, inflated.
    pub bytes: u64,
    /// Lines that were too long and were cut.
    pub cut_lines: u64,
    /// First record.
    pub from: Option<Timestamp>,
    /// Last record.
    pub to: Option<Timestamp>,
    /// Why it could not be read, or not to its end.
    pub error: Option<String>,
    /// How far its wrappers' clock was taken to be east of UTC, in microseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub local_us: i64,
    /// How far the clock of its records that name no zone was taken to be.
    #[serde(skip_serializing_if = "is_zero")]
    pub bare_us: i64,
    /// Where the year of its dates without one came from.
    #[serde(skip_serializing_if = "is_last_change")]
    pub years: Years,
    /// Its newest lines stand first.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub newest_first: bool,
    /// They could not be read from its end, so the lines of one request did not find each other.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unjoined: bool,
}

fn is_last_change(years: &Years) -> bool {
    *years == Years::LastChange
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl FileReport {
    /// Adds what a later chunk of the same file gave.
    pub fn absorb(&mut self, later: &FileReport) {
        self.lines += later.lines;
        self.parsed += later.parsed;
        self.unparsed += later.unparsed;
        self.outside += later.outside;
        self.bytes += later.bytes;
        self.cut_lines += later.cut_lines;
        self.from = earliest(self.from, later.from);
        self.to = self.to.max(later.to);
        if self.error.is_none() {
            self.error.clone_from(&later.error);
        }
    }
}

/// What one writer wrote.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StreamSummary {
    /// Its stable name.
    pub id: String,
    /// Component by the names of its files; empty where these do not tell.
    pub named: String,
    /// Node, where known.
    pub node: Option<String>,
    /// What it goes by where nothing says better: an etcd member by its pod's name, a program that
    /// nobody knows by its workload's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub called: String,
    /// Records by the component that their text names.
    pub components: BTreeMap<String, u64>,
    /// What was learnt.
    pub segment: Segment,
    /// Its files, oldest first.
    pub files: Vec<FileReport>,
    /// Files that are not named any more, because they are too many.
    pub more_files: u64,
    /// What is open at its ends; not counted above until [`Summary::close`].
    pub ends: Ends,
}

impl StreamSummary {
    /// An empty one for a stream of the plan.
    pub fn of(stream: &Stream) -> Self {
        StreamSummary {
            id: stream.id.clone(),
            named: names::named(stream),
            node: stream.node.clone(),
            called: names::called(stream),
            ..StreamSummary::default()
        }
    }

    /// The component: by its files' names, else by what most of its records say, else the writer
    /// that most of its wrappers name, where they name more than they leave open.
    pub fn component(&self) -> &str {
        if !self.named.is_empty() {
            return &self.named;
        }
        let most = self
            .components
            .iter()
            .max_by_key(|(name, count)| (**count, std::cmp::Reverse(name.as_str())));
        if let Some((name, _)) = most {
            return name;
        }
        let writers = || self.segment.writers.iter();
        let named: u64 = writers().map(|(_, said)| said.records()).sum();
        let others: u64 = self.segment.kinds.iter().map(|(_, row)| row.count).sum();
        // A name here and there does not say whose all the other lines are.
        if others >= named {
            // `logs/my-operator.log`: where no line tells, its name does.
            let file = self.id.rsplit('/').next().unwrap_or_default();
            return match is_controller(file) {
                true => Component::Controller.word(),
                false => "unknown",
            };
        }
        writers()
            .map(|(writer, said)| (writer::parts(writer).0, said.records()))
            .max_by_key(|(name, count)| (*count, std::cmp::Reverse(*name)))
            .map_or("unknown", |(name, _)| name)
    }

    /// The component by which findings go: a program that nobody knows by its workload's name, where
    /// some of its words were understood.
    pub fn who(&self) -> &str {
        match self.component() {
            "unknown" if self.goes_by_workload() => &self.called,
            known => known,
        }
    }

    /// Whether nothing but its workload's name tells whose it is.
    pub fn goes_by_workload(&self) -> bool {
        let understood = || self.segment.kinds.iter().next().is_some();
        !self.called.is_empty() && self.component() == "unknown" && understood()
    }

    /// The name that the etcd that wrote it says of itself. `cp0-events` runs on `cp0`.
    pub fn member(&self) -> Option<String> {
        let said = self.segment.facts.member.as_deref()?;
        if self.named != writer::EVENTS {
            return Some(said.to_owned());
        }
        let said = said.strip_suffix("-events").unwrap_or(said);
        Some(said.strip_prefix("events-").unwrap_or(said).to_owned())
    }

    /// The pod's name of an etcd whose node is not known.
    pub fn member_pod(&self) -> Option<String> {
        let is_known = writer::is_etcd(&self.named) && !self.called.is_empty();
        is_known.then(|| self.called.clone())
    }

    /// Whether a pod that is called as the etcd for events is the only etcd of a node called
    /// `events-…`: kubeadm calls a member as its node.
    pub fn is_on_events_node(&self) -> bool {
        let node = || {
            let member = self.segment.facts.member.as_deref()?;
            Some(member.strip_prefix("events-")? == self.node.as_deref()?)
        };
        self.named == writer::EVENTS && self.id.ends_with("/etcd") && node().unwrap_or(false)
    }

    /// Adds what came right after. What is open between the two is [`stitch::absorb`]'s.
    pub fn absorb(&mut self, later: StreamSummary) {
        for (name, count) in later.components {
            *self.components.entry(name).or_default() += count;
        }
        if self.segment.is_new() {
            self.segment = later.segment;
            self.segment.settle();
        } else {
            self.segment.absorb(later.segment);
        }
        for file in later.files {
            if let Some(last) = self.files.last_mut().filter(|last| last.name == file.name) {
                // The next chunk of the same file.
                last.absorb(&file);
            } else if self.files.len() < MAX_FILES {
                self.files.push(file);
            } else {
                self.more_files += 1;
            }
        }
        self.more_files += later.more_files;
        if self.node.is_none() {
            self.node = later.node;
        }
        if self.named.is_empty() {
            self.named = later.named;
        }
        if self.called.is_empty() {
            self.called = later.called;
        }
    }
}

/// A count of lines that `grep -ic` would give.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrepCount {
    /// The word.
    pub word: String,
    /// Lines that hold it, in any case.
    pub lines: u64,
}

/// Everything that was read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Summary {
    /// The streams, by id.
    pub streams: Vec<StreamSummary>,
    /// What could not be read at all.
    pub problems: Vec<Problem>,
    /// Files passed over in folders, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Lines by word, where asked for.
    pub grep: Vec<GrepCount>,
    /// Begin of the window that was asked for.
    pub since: Option<Timestamp>,
    /// Its end.
    pub until: Option<Timestamp>,
    /// Whose records are counted; everybody's where nobody is named.
    #[serde(skip_serializing_if = "Only::is_everybody")]
    pub components: Only,
    /// Reading was stopped early.
    pub interrupted: bool,
}

/// Something that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// What.
    pub path: String,
    /// Why, in words.
    pub why: String,
    /// The user named it.
    pub named: bool,
}

/// A saved summary, with what says that it is one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    format: String,
    version: u32,
    summary: Summary,
}

/// Just enough of a saved file to know whether it is one that can be read.
#[derive(Deserialize)]
struct SavedHead {
    format: Option<String>,
    version: Option<u32>,
}

impl Summary {
    /// An empty one with the streams of a plan.
    pub fn of(plan: &Plan) -> Self {
        let skipped = &plan.skipped;
        let mut problems: Vec<Problem> = plan
            .problems
            .iter()
            .map(|problem| Problem {
                path: problem.path.clone(),
                why: problem.why.clone(),
                named: problem.named,
            })
            .collect();
        problems.sort();
        Summary {
            streams: plan.streams.iter().map(StreamSummary::of).collect(),
            problems,
            skipped: [
                ("other", skipped.other),
                ("empty", skipped.empty),
                ("duplicates", skipped.duplicates),
                ("overlaps", skipped.overlaps),
                ("overlaps-not-sought", skipped.unsought),
                ("special", skipped.special),
                ("old", skipped.old),
            ]
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(reason, count)| (reason.to_owned(), count))
            .collect(),
            ..Summary::default()
        }
    }

    /// Adds another run's summary. Streams of the same id continue each other in the order of
    /// their times; others stand side by side.
    pub fn merge(&mut self, other: Summary) {
        self.merge_all(vec![other]);
    }

    /// Adds other runs' summaries, in whatever order they come: all pieces of a stream are put in the
    /// order of their times before the first two are joined, so that each meets its neighbours. A
    /// stream that was joined over a gap stays one piece: what lies in the gap comes too late.
    pub fn merge_all(&mut self, others: Vec<Summary>) {
        let mut pieces: Vec<StreamSummary> = std::mem::take(&mut self.streams);
        for mut other in others {
            pieces.append(&mut other.streams);
            self.absorb_rest(other);
        }
        // What is open where one piece meets another is asked for as all of them are.
        let filter = TimeFilter::of(self.since, self.until).only(self.components);
        let mut begins: BTreeMap<(String, Option<String>), Option<Timestamp>> = BTreeMap::new();
        let mut ordered: Vec<_> = pieces
            .into_iter()
            .map(|piece| {
                let stream = (piece.id.clone(), piece.node.clone());
                // One without a time stays behind the one that it was given after.
                let last = begins.entry(stream.clone()).or_default();
                *last = stitch::begin(&piece).or(*last);
                ((stream, *last), piece)
            })
            .collect();
        ordered.sort_by(|a, b| a.0.cmp(&b.0));
        for (_, piece) in ordered {
            match self.streams.last_mut() {
                Some(known) if known.id == piece.id && known.node == piece.node => {
                    stitch::absorb(known, piece, filter);
                }
                _ => self.streams.push(piece),
            }
        }
    }

    /// Adds what is not about streams.
    fn absorb_rest(&mut self, other: Summary) {
        self.problems.extend(other.problems);
        self.problems.sort();
        self.problems.dedup();
        for (reason, count) in other.skipped {
            *self.skipped.entry(reason).or_default() += count;
        }
        for theirs in other.grep {
            match self.grep.iter_mut().find(|mine| mine.word == theirs.word) {
                Some(mine) => mine.lines += theirs.lines,
                None => self.grep.push(theirs),
            }
        }
        self.since = match (self.since, other.since) {
            (Some(a), Some(b)) => Some(a.min(b)),
            _ => None,
        };
        self.until = match (self.until, other.until) {
            (Some(a), Some(b)) => Some(a.max(b)),
            _ => None,
        };
        if self.components != other.components {
            self.components = Only::default();
        }
        self.interrupted |= other.interrupted;
    }

    /// Ends what is open at the ends of every stream: nothing comes before or after.
    pub fn close(&mut self) {
        let filter = TimeFilter::of(self.since, self.until).only(self.components);
        for stream in &mut self.streams {
            stitch::close(stream, filter);
        }
    }

    /// All files.
    pub fn files(&self) -> impl Iterator<Item = &FileReport> {
        self.streams.iter().flat_map(|stream| &stream.files)
    }

    /// Writes the summary so that [`Self::load`] reads it.
    pub fn save(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut summary = self.clone();
        for stream in &mut summary.streams {
            stream.segment.settle_all();
            stream.ends.hide_values();
        }
        let saved = Saved {
            format: FORMAT.to_owned(),
            version: VERSION,
            summary,
        };
        serde_json::to_writer(&mut *out, &saved)?;
        out.write_all(b"\n")
    }

    /// Reads a saved summary; what is wrong with it, in words.
    pub fn load(from: impl Read) -> Result<Self, String> {
        let mut text = Vec::new();
        from.take(MAX_SAVED + 1)
            .read_to_end(&mut text)
            .map_err(|err| err.to_string())?;
        if text.len() as u64 > MAX_SAVED {
            return Err(format!(
                "larger than {}",
                crate::units::format_bytes(MAX_SAVED)
            ));
        }
        let head: SavedHead = serde_json::from_slice(&text)
            .map_err(|err| format!("it is no saved summary of logs ({err})"))?;
        if head.format.as_deref() != Some(FORMAT) {
            return Err("it is no saved summary of logs".to_owned());
        }
        match head.version {
            Some(VERSION) => {}
            Some(version) => {
                return Err(format!(
                    "its format has version {version}, this program reads version {VERSION}"
                ));
            }
            None => return Err("it does not say its version".to_owned()),
        }
        numbers::check(&text)?;
        let saved: Saved = serde_json::from_slice(&text).map_err(|err| err.to_string())?;
        let mut summary = saved.summary;
        for stream in &mut summary.streams {
            stream.segment.restore();
        }
        Ok(summary)
    }
}
