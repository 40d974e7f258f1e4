//! Puts two pieces of a stream together: what one left open at its end and the other began with is
//! decoded as the one text that it was.
//!
//! Threads' chunks, rotated files and saved summaries all meet here, so a record, a runtime's
//! parts of a line, or a line that a copy cut in the middle count the same wherever the stream was
//! cut.

use crate::clock::Timestamp;

use super::aggregate::kinds::earliest;
use super::decode::{DecodeContext, Ends, LineCounts, finish_head, join, join_heads, join_open};
use super::record::Record;
use super::scan::{Counter, TimeFilter, component_of};
use super::summary::{FileReport, StreamSummary};

/// Adds to a stream what came right after it.
pub fn absorb(into: &mut StreamSummary, mut later: StreamSummary, filter: TimeFilter) {
    let mine = std::mem::take(&mut into.ends);
    let theirs = std::mem::take(&mut later.ends);
    if is_blank(into, &mine) {
        into.absorb(later);
        into.ends = theirs;
        return;
    }
    if is_blank(&later, &theirs) {
        into.absorb(later);
        into.ends = mine;
        return;
    }
    let mut edge = Edge::new(into, filter).after(into);
    let ends = if mine.only_head {
        edge.heads(mine, theirs)
    } else {
        edge.between(mine, theirs)
    };
    // The lines belong to the file before, of which they are the end.
    edge.settle(into, Place::Last);
    into.absorb(later);
    into.ends = ends;
}

/// Ends what is open: nothing comes before or after.
pub fn close(stream: &mut StreamSummary, filter: TimeFilter) {
    let ends = std::mem::take(&mut stream.ends);
    let [before, after] = ends.contexts();
    let mut edge = Edge::new(stream, filter).after(stream);
    if ends.only_head {
        let counter = &mut edge.counter;
        let counts = finish_head(ends.head, ends.tail, before, &mut |record| {
            counter.add(record);
        });
        edge.counts.add(&counts);
        edge.settle(stream, Place::Last);
        return;
    }
    if let Some(head) = ends.head {
        let mut first = Edge::new(stream, filter);
        let counter = &mut first.counter;
        let counts = join(None, Some(head), before, &mut |_, record| {
            counter.add(record);
        });
        first.counts.add(&counts);
        first.settle(stream, Place::First);
    }
    if let Some(tail) = ends.tail {
        edge.tail(tail, after);
    }
    edge.settle(stream, Place::Last);
}

/// The time of a stream's first record.
pub fn begin(stream: &StreamSummary) -> Option<Timestamp> {
    let span = |stream: &StreamSummary| stream.segment.coverage.span().map(|(from, _)| from);
    let begin = span(stream);
    if begin.is_some() && !stream.ends.only_head {
        return begin;
    }
    // All that it has may be open at its ends.
    let mut closed = stream.clone();
    close(&mut closed, TimeFilter::of(None, None));
    span(&closed)
}

/// Whether a piece has no line at all.
fn is_blank(stream: &StreamSummary, ends: &Ends) -> bool {
    stream.segment.coverage.lines == 0 && ends.head.is_none() && ends.tail.is_none()
}

/// At which of the stream's files lines are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    First,
    Last,
}

/// What is decoded between two pieces.
struct Edge {
    counter: Counter,
    counts: LineCounts,
}

impl Edge {
    fn new(stream: &StreamSummary, filter: TimeFilter) -> Self {
        Edge {
            counter: Counter::new(component_of(&stream.named), filter)
                .of(&stream.named, stream.node.as_deref()),
            counts: LineCounts::default(),
        }
    }

    /// As what follows all that the stream has.
    fn after(self, stream: &StreamSummary) -> Self {
        Edge {
            counter: self.counter.after(&stream.segment),
            ..self
        }
    }

    fn add(&mut self) -> impl FnMut(&Record<'_>) + use<'_> {
        let counter = &mut self.counter;
        |record: &Record<'_>| counter.add(record)
    }

    fn tail(&mut self, tail: super::decode::OpenTail, context: DecodeContext) {
        let mut add = self.add();
        let counts = join(Some(tail), None, context, &mut |_, record| add(record));
        drop(add);
        self.counts.add(&counts);
    }

    /// The usual case: the first piece has a body of its own.
    fn between(&mut self, mine: Ends, theirs: Ends) -> Ends {
        let ([first, end], [begin, last]) = (mine.contexts(), theirs.contexts());
        let context = match mine.tail {
            Some(_) => end,
            None => begin,
        };
        let mut add = self.add();
        let sink = &mut |_, record: &Record<'_>| add(record);
        let (counts, tail) = if theirs.only_head {
            join_open(mine.tail, theirs.head, theirs.tail, context, sink)
        } else {
            (join(mine.tail, theirs.head, context, sink), theirs.tail)
        };
        drop(add);
        self.counts.add(&counts);
        Ends {
            head: mine.head,
            tail,
            only_head: false,
            ..Ends::default()
        }
        .with_contexts([first, last])
    }

    /// The first piece is all beginning: the two beginnings are one.
    fn heads(&mut self, mine: Ends, theirs: Ends) -> Ends {
        let ([context, _], [_, last_context]) = (mine.contexts(), theirs.contexts());
        let head = mine.head.unwrap_or_default();
        let next = theirs.head.unwrap_or_default();
        let mut add = self.add();
        let last = theirs.tail.as_ref().filter(|_| theirs.only_head);
        let edges = join_heads(&head, mine.tail, &next, last, context, &mut add);
        drop(add);
        self.counts.add(&edges.counts);
        let mut tail = edges.tail;
        if !theirs.only_head {
            // What follows begins with a record.
            if let Some(open) = tail.take() {
                self.tail(open, context);
            }
            tail = theirs.tail;
        }
        Ends {
            head: edges.head,
            tail,
            only_head: edges.only_head && theirs.only_head,
            ..Ends::default()
        }
        .with_contexts([context, last_context])
    }

    /// Adds what was decoded to the stream.
    fn settle(self, stream: &mut StreamSummary, place: Place) {
        let mut counts = self.counts;
        let mut counter = self.counter;
        counts.explain(counter.explained());
        if counts.lines == 0 && counts.records == 0 {
            return;
        }
        let outside = counter.outside;
        let mut edge = counter.finish();
        let coverage = &mut edge.segment.coverage;
        coverage.lines += counts.lines;
        coverage.parsed += counts.parsed;
        coverage.unparsed += counts.unparsed;
        let span = coverage.span();
        let files = &mut stream.files;
        let file = match place {
            Place::First => files.first_mut(),
            Place::Last => files.last_mut(),
        };
        if let Some(file) = file {
            count(file, &counts, span);
            file.outside += outside;
        }
        if place == Place::Last {
            stream.absorb(edge);
            return;
        }
        // Before everything else of the stream.
        let body = std::mem::take(&mut stream.segment);
        stream.segment = edge.segment;
        stream.segment.absorb(body);
        for (name, count) in edge.components {
            *stream.components.entry(name).or_default() += count;
        }
    }
}

fn count(file: &mut FileReport, counts: &LineCounts, span: Option<(Timestamp, Timestamp)>) {
    file.lines += counts.lines;
    file.parsed += counts.parsed;
    file.unparsed += counts.unparsed;
    if let Some((from, to)) = span {
        file.from = earliest(file.from, Some(from));
        file.to = file.to.max(Some(to));
    }
}
