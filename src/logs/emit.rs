//! Every recognised record as one JSON object a line, in the order of the files.
//!
//! Reading is sequential, with a small look-ahead: whether a transaction's trace belongs to a
//! later line is known a few request lines later, so what comes after such a trace waits.

mod object;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::aggregate::facts::text;
use super::aggregate::join::{Joiner, LineKind};
use super::aggregate::load;
use super::decode::{DecodeContext, Decoder};
use super::event::{Component, Event};
use super::input::{LogFile, Plan, Stream};
use super::reader::{Chunk, lines_of, open};
use super::record::{Encoding, Record};
use super::scan::{ScanOptions, TimeFilter, by_wrapper};
use super::signature::{Detail, classify};
use super::tail::{News, Tails, split};
use object::Object;

/// Request lines after which a trace's partner cannot come any more.
const DECIDED_AFTER: u64 = 64;
/// Most objects that wait.
const MAX_WAITING: usize = 4096;
/// How long to sleep when no followed file grew.
const POLL: Duration = Duration::from_millis(200);
/// How often new files are looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Files of a stream that are remembered, since a record may begin in one and end in another.
const MAX_PLACES: usize = 16;

/// Changes texts that may hold names, for `--redact`.
pub trait Redact {
    /// A name or namespace.
    fn name(&self, text: &str) -> String;
    /// A user.
    fn user(&self, text: &str) -> String;
    /// A user agent, or an address.
    fn agent(&self, text: &str) -> String;
    /// A free text.
    fn text(&self, text: &str) -> String;
    /// A key.
    fn key(&self, key: &str) -> String;
    /// Whether anything is changed at all.
    fn is_on(&self) -> bool;
}

/// What emitting came to.
#[derive(Clone, Debug, Default)]
pub struct Emitted {
    /// Objects written.
    pub objects: u64,
    /// Files that were read, at least in part.
    pub good: u64,
    /// Files that could not be read, or not to their end, and why.
    pub bad: Vec<(String, String)>,
}

/// How to go on as files grow.
#[expect(missing_debug_implementations, reason = "it holds a function")]
pub struct Follow<'f> {
    /// Looks for files again.
    pub again: &'f dyn Fn() -> Plan,
}

/// Writes the events of a plan.
pub fn emit(
    plan: &Plan,
    options: &ScanOptions,
    follow: Option<&Follow<'_>>,
    redact: &dyn Redact,
    out: &mut dyn Write,
    stop: &AtomicBool,
) -> io::Result<Emitted> {
    let mut done = Emitted::default();
    let (now, followed) = match follow {
        Some(_) => split(plan),
        None => (plan.clone(), Vec::new()),
    };
    let mut runs: BTreeMap<usize, Run<'_>> = BTreeMap::new();
    for (at, stream) in now.streams.iter().enumerate() {
        let mut run = Run::new(at, stream, options, redact);
        for file in &stream.files {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            match run.file(file, options, out, stop) {
                Ok(()) => done.good += 1,
                Err(Failure::Output(err)) => return Err(err),
                Err(Failure::Input(err)) => done.bad.push((file.name.clone(), err.to_string())),
            }
        }
        if followed.iter().any(|(stream, _)| *stream == at) {
            done.good += 1;
            runs.insert(at, run);
        } else {
            run.end(out)?;
            done.objects += run.lines.written;
        }
    }
    if let Some(follow) = follow {
        let (mut tails, bad) = Tails::new(plan, followed, options.read);
        done.bad
            .extend(bad.into_iter().map(|(name, err)| (name, err.to_string())));
        let mut looked = Instant::now();
        while !stop.load(Ordering::Relaxed) && !tails.ended() {
            let any = tails.poll(&mut |at, news| {
                let Some(run) = runs.get_mut(&at) else {
                    return Ok(());
                };
                match news {
                    News::File(file) => run.begin(file, options),
                    News::Lines(lines) => return run.block(lines, out),
                    News::Failed(file, err) => {
                        done.bad.push((file.name.clone(), err.to_string()));
                    }
                }
                Ok(())
            })?;
            if any {
                continue;
            }
            for run in runs.values_mut() {
                run.lines.flush(out)?;
            }
            out.flush()?;
            if looked.elapsed() >= LOOK_AGAIN {
                looked = Instant::now();
                let at = runs
                    .keys()
                    .last()
                    .map_or(0, |at| at + 1)
                    .max(plan.streams.len());
                for (more, stream) in tails.look_again((follow.again)()).iter().enumerate() {
                    runs.insert(at + more, Run::new(at + more, stream, options, redact));
                }
            }
            std::thread::sleep(POLL);
        }
    }
    for mut run in runs.into_values() {
        run.end(out)?;
        done.objects += run.lines.written;
    }
    out.flush()?;
    Ok(done)
}

enum Failure {
    Input(io::Error),
    Output(io::Error),
}

/// One stream: its decoder goes on from file to file, since records do.
struct Run<'p> {
    decoder: Decoder,
    lines: Lines<'p>,
}

impl<'p> Run<'p> {
    fn new(at: usize, stream: &Stream, options: &ScanOptions, redact: &'p dyn Redact) -> Self {
        let decoder = Decoder::across(DecodeContext {
            reference: options.now,
            ..DecodeContext::default()
        });
        Run {
            decoder,
            lines: Lines::new(at, stream, options, redact),
        }
    }

    fn begin(&mut self, file: &LogFile, options: &ScanOptions) {
        self.decoder.next_file(file.context(options.now));
        let before = self.decoder.next_line().max(1) - 1;
        self.lines.places.push_back(Place {
            before,
            passed: file.told.again.1,
            name: file.name.clone(),
            backward: None,
        });
        // A record that began further back than this is over.
        if self.lines.places.len() > MAX_PLACES {
            self.lines.places.pop_front();
        }
    }

    fn block(&mut self, block: &[u8], out: &mut dyn Write) -> io::Result<()> {
        let next = self.decoder.next_line().max(1);
        let lines = &mut self.lines;
        let mut result = Ok(());
        self.decoder.block(block, next, &mut |record: &Record<'_>| {
            if result.is_ok() {
                result = lines.record(record, out);
            }
        });
        result
    }

    fn file(
        &mut self,
        file: &LogFile,
        options: &ScanOptions,
        out: &mut dyn Write,
        stop: &AtomicBool,
    ) -> Result<(), Failure> {
        self.begin(file, options);
        if file.is_read_backward(&options.read)
            && let Some(place) = self.lines.places.back_mut()
        {
            place.backward = Some(lines_of(file, &options.read).map_err(Failure::Input)?);
        }
        let mut reader =
            open(file, Chunk::WHOLE, &options.read, Vec::new()).map_err(Failure::Input)?;
        let mut first = true;
        loop {
            match reader.next_block_until(stop) {
                Ok(Some(block)) => {
                    if std::mem::take(&mut first)
                        && let Some(file) = file.begun(block.bytes)
                    {
                        self.decoder.learns(&file.context(options.now));
                    }
                    self.block(block.bytes, out).map_err(Failure::Output)?;
                }
                Ok(None) => return Ok(()),
                Err(err) => return Err(Failure::Input(err)),
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
    }

    fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let lines = &mut self.lines;
        let mut result = Ok(());
        self.decoder.finish(&mut |record: &Record<'_>| {
            if result.is_ok() {
                result = lines.record(record, out);
            }
        });
        result?;
        self.lines.flush(out)
    }
}

/// One object on its way out.
struct Waiting {
    /// The object's text up to `request_id`.
    text: Vec<u8>,
    /// Index of the request line, for lines that are joined.
    index: Option<u64>,
    root: u64,
    primary: bool,
    /// A later line may still claim it.
    open: bool,
}

/// Where a file's lines stand in the stream.
struct Place {
    /// Lines before its first one.
    before: u64,
    /// Lines at its beginning that are not read.
    passed: u64,
    name: String,
    /// How many lines it has, where it is read from its end.
    backward: Option<u64>,
}

/// The objects of one stream.
struct Lines<'p> {
    stream_at: usize,
    component: Component,
    filter: TimeFilter,
    redact: &'p dyn Redact,
    /// The stream's files, with the number of lines before each.
    places: VecDeque<Place>,
    joiner: Joiner<()>,
    /// Roots of the latest request lines, by index.
    roots: VecDeque<u64>,
    waiting: VecDeque<Waiting>,
    written: u64,
    /// Number of the last trace's header, and whose it is.
    traced: (String, Component),
}

impl<'p> Lines<'p> {
    fn new(at: usize, stream: &Stream, options: &ScanOptions, redact: &'p dyn Redact) -> Self {
        Lines {
            stream_at: at,
            component: stream.component,
            filter: TimeFilter::new(options),
            redact,
            places: VecDeque::new(),
            joiner: Joiner::default(),
            roots: VecDeque::new(),
            waiting: VecDeque::new(),
            written: 0,
            traced: (String::new(), Component::Unknown),
        }
    }

    /// A step of a trace is whose its header is.
    fn follow(&mut self, event: &mut Event<'_>) {
        if !matches!(event.encoding, Encoding::Klog | Encoding::KlogTrace) {
            return;
        }
        let Some(number) = text(event, "trace") else {
            return;
        };
        if event.encoding == Encoding::Klog {
            self.traced = (number.to_owned(), event.component);
        } else if self.traced.0 == number {
            event.component = self.traced.1;
        }
    }

    /// The file in which a line stands, with its number there.
    fn place(&self, line: u64, line_end: u64) -> (&str, u64, u64) {
        let at = self
            .places
            .iter()
            .rposition(|place| place.before < line)
            .unwrap_or(0);
        let Some(place) = self.places.get(at) else {
            return ("-", line, line_end);
        };
        let last = self.places.get(at + 1).map_or(u64::MAX, |next| next.before);
        let local = |line: u64| line.saturating_sub(place.before).max(1) + place.passed;
        let (line, line_end) = (local(line), local(line_end.min(last)));
        match place.backward {
            Some(lines) => {
                let back = |line: u64| (lines + 1).saturating_sub(line).max(1);
                (&place.name, back(line_end), back(line))
            }
            None => (&place.name, line, line_end),
        }
    }

    fn record(&mut self, record: &Record<'_>, out: &mut dyn Write) -> io::Result<()> {
        if !self.filter.inside(record.time) {
            return Ok(());
        }
        let Some(mut event) = classify(record, Detail::Full) else {
            return Ok(());
        };
        self.follow(&mut event);
        if self.component == Component::Unknown && !self.filter.wants(record, Some(&event)) {
            return Ok(());
        }
        let mut text = Vec::with_capacity(512);
        // Wrappers are asked where no name says whose the whole stream is, as where records are
        // counted.
        let component = match (self.component, event.component) {
            (Component::Unknown, said) => by_wrapper(record).unwrap_or(said),
            (stream, Component::Unknown) => stream,
            (_, said) => said,
        };
        let (file, line, line_end) = self.place(event.line, event.line_end);
        let object = Object {
            file,
            line,
            line_end,
            event: &event,
            component,
            redact: self.redact,
        };
        serde_json::to_writer(&mut text, &object)?;
        // The object goes on when its request is known.
        text.pop();
        let mut waiting = Waiting {
            text,
            index: None,
            root: 0,
            primary: false,
            open: false,
        };
        if let Some((item, kind)) = load::item_of(&event, &record.outer) {
            let index = self.joiner.total();
            let links = self.joiner.add(item, (), &mut |()| {});
            waiting.index = Some(index);
            let previous = links.previous.and_then(|at| self.root(at, index));
            waiting.root = previous.unwrap_or(index);
            waiting.primary = previous.is_none();
            if let Some(trace) = links.trace {
                // The trace is this request's: it leads where there is no apply line.
                let root = previous.unwrap_or(trace);
                waiting.root = root;
                waiting.primary = false;
                if let Some(known) = self.waiting.iter_mut().find(|w| w.index == Some(trace)) {
                    (known.root, known.primary, known.open) = (root, previous.is_none(), false);
                }
            }
            if kind == LineKind::Trace && item.key.is_none() {
                waiting.open = true;
                if let Some(root) = links.apply.and_then(|at| self.root(at, index)) {
                    waiting.root = root;
                    waiting.primary = false;
                }
            }
            self.roots.push_back(waiting.root);
            if self.roots.len() as u64 > super::aggregate::join::WINDOW + 1 {
                self.roots.pop_front();
            }
        }
        self.waiting.push_back(waiting);
        self.release(out)
    }

    /// The root of an earlier line; `index` is the number of the line after the last known one.
    fn root(&self, at: u64, index: u64) -> Option<u64> {
        let back = usize::try_from(index.checked_sub(at)?).ok()?;
        self.roots
            .len()
            .checked_sub(back)
            .and_then(|at| self.roots.get(at))
            .copied()
    }

    /// Writes what waits for nothing.
    fn release(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let total = self.joiner.total();
        while let Some(first) = self.waiting.front() {
            let undecided = first.open && first.index.is_some_and(|at| at + DECIDED_AFTER >= total);
            if undecided && self.waiting.len() < MAX_WAITING {
                return Ok(());
            }
            if let Some(first) = self.waiting.pop_front() {
                self.write(first, out)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut dyn Write) -> io::Result<()> {
        while let Some(first) = self.waiting.pop_front() {
            self.write(first, out)?;
        }
        Ok(())
    }

    fn write(&mut self, object: Waiting, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&object.text)?;
        match object.index {
            Some(_) => writeln!(
                out,
                r#","request_id":"{}-{}","primary":{}}}"#,
                self.stream_at, object.root, object.primary
            )?,
            None => writeln!(out, r#","request_id":null,"primary":null}}"#)?,
        }
        self.written += 1;
        Ok(())
    }
}
