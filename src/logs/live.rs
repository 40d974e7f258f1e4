//! The summary of logs that go on: what was there at first, and what came since.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::AtomicBool;

use super::decode::{DecodeContext, Decoder};
use super::input::{LogFile, Plan};
use super::record::Record;
use super::scan::{Counter, ScanOptions, TimeFilter, count_words, scan_open, words};
use super::summary::{FileReport, StreamSummary, Summary};
use super::tail::{News, Tails, split};

/// A summary that grows.
pub struct Live<'o> {
    options: &'o ScanOptions,
    words: Option<aho_corasick::AhoCorasick>,
    summary: Summary,
    feeds: BTreeMap<usize, Feed>,
    tails: Tails,
}

/// What is read of one stream now.
struct Feed {
    decoder: Decoder,
    counter: Counter,
    file: FileReport,
    /// Lines of the file before that are in the summary, understood and not.
    settled: (u64, u64),
    outside: u64,
    bytes: u64,
}

impl std::fmt::Debug for Live<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

impl<'o> Live<'o> {
    /// Reads what is there, and begins to follow.
    pub fn new(plan: &Plan, options: &'o ScanOptions, stop: &AtomicBool) -> Self {
        let (now, followed) = split(plan);
        let mut summary = scan_open(&now, options, stop);
        let (tails, bad) = Tails::new(plan, followed, options.read);
        for (name, err) in bad {
            summary.problems.push(super::summary::Problem {
                path: name,
                why: err.to_string(),
                named: true,
            });
        }
        Live {
            options,
            words: words(&options.grep),
            summary,
            feeds: BTreeMap::new(),
            tails,
        }
    }

    /// Whether nothing can come any more.
    pub fn ended(&self) -> bool {
        self.tails.ended()
    }

    /// How many files and pipes are followed.
    pub fn count(&self) -> usize {
        self.tails.count()
    }

    /// Takes what came by now; whether there was anything.
    pub fn poll(&mut self) -> bool {
        let (options, words) = (self.options, &self.words);
        let (summary, feeds) = (&mut self.summary, &mut self.feeds);
        let polled = self.tails.poll(&mut |at, news| {
            let Some(stream) = summary.streams.get_mut(at) else {
                return Ok(());
            };
            let feed = feeds
                .entry(at)
                .or_insert_with(|| Feed::new(stream, options));
            match news {
                News::File(file) => feed.begin(file, stream, options),
                News::Lines(lines) => {
                    if let Some(words) = words {
                        let mut counts = vec![0; summary.grep.len()];
                        count_words(words, lines, &mut counts);
                        for (count, add) in summary.grep.iter_mut().zip(counts) {
                            count.lines += add;
                        }
                    }
                    feed.take(lines, stream);
                }
                News::Failed(file, err) => {
                    feed.settle(stream);
                    stream.files.push(FileReport {
                        name: file.name.clone(),
                        error: Some(err.to_string()),
                        ..FileReport::default()
                    });
                }
            }
            Ok::<(), io::Error>(())
        });
        polled.unwrap_or(false)
    }

    /// Takes up files that came since.
    pub fn look_again(&mut self, plan: Plan) {
        for stream in self.tails.look_again(plan) {
            self.summary.streams.push(StreamSummary::of(&stream));
        }
    }

    /// What is known now.
    pub fn summary(&mut self) -> Summary {
        for (at, feed) in &mut self.feeds {
            if let Some(stream) = self.summary.streams.get_mut(*at) {
                feed.settle(stream);
            }
        }
        let mut now = self.summary.clone();
        now.close();
        now
    }

    /// Ends it, with what was read.
    pub fn finish(mut self) -> Summary {
        for (at, feed) in &mut self.feeds {
            if let Some(stream) = self.summary.streams.get_mut(*at) {
                feed.end();
                feed.settle(stream);
            }
        }
        self.summary.close();
        self.summary
    }
}

impl Feed {
    fn new(stream: &mut StreamSummary, options: &ScanOptions) -> Self {
        let filter = TimeFilter::new(options);
        let component = super::scan::component_of(&stream.named);
        if stream.ends.only_head {
            super::stitch::close(stream, filter);
        }
        let mut decoder = Decoder::across(DecodeContext {
            reference: options.now,
            ..DecodeContext::default()
        });
        // The last record of the file before may go on.
        if let Some(tail) = stream.ends.tail.take() {
            decoder.resume(tail);
        }
        Feed {
            decoder,
            counter: Counter::new(component, filter)
                .of(&stream.named, stream.node.as_deref())
                .after(&stream.segment),
            file: FileReport::default(),
            settled: (0, 0),
            outside: 0,
            bytes: 0,
        }
    }

    fn begin(&mut self, file: &LogFile, stream: &mut StreamSummary, options: &ScanOptions) {
        self.settle(stream);
        self.decoder.next_file(DecodeContext {
            reference: options.now.max(file.modified),
            ..file.context(options.now)
        });
        self.file = FileReport {
            name: file.name.clone(),
            ..FileReport::default()
        };
    }

    fn take(&mut self, lines: &[u8], stream: &mut StreamSummary) {
        self.bytes += lines.len() as u64;
        let counter = &mut self.counter;
        let next = self.decoder.next_line().max(1);
        self.decoder.block(lines, next, counter);
        if self.bytes >= 8 << 20 {
            self.settle(stream);
        }
    }

    fn end(&mut self) {
        let counter = &mut self.counter;
        self.decoder
            .finish(&mut |record: &Record<'_>| counter.add(record));
    }

    /// Moves what was counted to the stream.
    fn settle(&mut self, stream: &mut StreamSummary) {
        let counts = self.decoder.counts();
        let (mut parsed, mut unparsed) = (
            counts.parsed - self.settled.0,
            counts.unparsed - self.settled.1,
        );
        let explained = self.counter.explained().min(unparsed);
        (parsed, unparsed) = (parsed + explained, unparsed - explained);
        self.settled = (counts.parsed, counts.unparsed);
        let bytes = std::mem::take(&mut self.bytes);
        let mut piece = self.counter.take();
        let coverage = &mut piece.segment.coverage;
        coverage.lines += parsed + unparsed;
        coverage.parsed += parsed;
        coverage.unparsed += unparsed;
        coverage.bytes += bytes;
        let span = coverage.span();
        let outside =
            self.counter.outside - std::mem::replace(&mut self.outside, self.counter.outside);
        if !self.file.name.is_empty() {
            piece.files.push(FileReport {
                name: self.file.name.clone(),
                lines: parsed + unparsed,
                parsed,
                unparsed,
                outside,
                bytes,
                from: span.map(|(from, _)| from),
                to: span.map(|(_, to)| to),
                ..FileReport::default()
            });
        }
        stream.absorb(piece);
    }
}
