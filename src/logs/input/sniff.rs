//! Whether a file is a log: by its name where that is clear, by its first bytes otherwise.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;

use crate::clock::Timestamp;
use crate::formats::inflate::{Compression, Inflate, Limits};
use crate::logs::aggregate::hash::stable_hash;
use crate::logs::decode::{DecodeContext, Decoder, LineStart};
use crate::logs::format::json::JsonFields;
use crate::logs::format::object::{self, Object};
use crate::logs::record::{Encoding, Record, TimeSource};
use crate::logs::signature::traced_day;
use crate::logs::timestamp::{QUARTER_US, TimeCache, quarters};
use crate::logs::wrapper::section;

use super::Told;
use super::years::{NO_YEAR, with_year};

/// How much of a file is looked at, inflated.
const HEAD: usize = 16 << 10;
/// How many lines of it.
const LINES: usize = 40;
/// NULs in a row from which on they are a hole: blocks that a power cut left unwritten, or what is
/// left before a log that was truncated while its writer went on where it was.
const HOLE: usize = 64;
/// How far a file that begins with a hole is searched for its end.
const FAR: u64 = 1 << 30;
/// At how many places a file is looked at for the zone of its wrappers.
const PLACES: u64 = 16;
/// How zap's JSON begins its time, and within how many bytes of its line.
const ZAP_TIME: &[u8] = b"\"ts\":\"";
const HEAD_OF_LINE: usize = 64;
/// For the years of its lines only each so-manieth of them is.
const FEW: u64 = 5;

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A log.
    Log,
    /// Text that holds no line of a known log.
    Text,
    /// A log may be in it, but not so that it can be read, and why.
    Packed(&'static str),
    /// Nothing to read as lines, and why.
    Other(&'static str),
}

/// What a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByName {
    /// Surely a log, if it is text.
    Log,
    /// Surely none.
    Other,
    /// Look inside.
    Unclear,
}

/// Judges a name.
pub(super) fn by_name(name: &str) -> ByName {
    let lower = name.to_ascii_lowercase();
    let (stem, order) = super::name::rotation(&lower);
    let dated = order.slot == 0 && lower.contains(".log");
    if stem.ends_with(".log") || stem.contains(".log.") || dated {
        return ByName::Log;
    }
    const OTHER: [&str; 44] = [
        "yaml", "yml", "prom", "db", "wal", "snap", "sock", "pem", "crt", "key", "cert", "conf",
        "cfg", "toml", "ini", "sh", "py", "go", "md", "html", "htm", "css", "js", "png", "svg",
        "jpg", "tar", "tgz", "zip", "so", "journal", "lock", "pid", "service", "timer", "tsv",
        "csv", "xml", "bin", "o", "exe", "pprof", "tmp", "rpm",
    ];
    match stem.rsplit_once('.') {
        Some((_, extension)) if OTHER.contains(&extension) => ByName::Other,
        _ => ByName::Unclear,
    }
}

/// Judges the first bytes of a file, compressed or not, and what a few of its lines tell.
pub(super) fn sniff(file: &File, size: u64) -> std::io::Result<(Kind, Told)> {
    let limits = Limits {
        bytes: HEAD as u64,
        ..Limits::default()
    };
    let mut inflate = Inflate::new(file.take(4 << 20), limits)?;
    let mut head = Vec::new();
    // What came out before an error is judged; the error comes again when the file is read.
    let failed = inflate.read_to_end(&mut head).is_err();
    if head.is_empty() && failed {
        return Ok((Kind::Log, Told::default()));
    }
    if is_hole(&head) && !is_packed(file) {
        head = after_hole(file)?;
    }
    let kind = judge(&head);
    let mut look = Look::default();
    look.at(&head);
    let is_local = look.is_local();
    if is_local || look.yearless || look.host.is_some() {
        look.at_places(file, size, if is_local { 1 } else { FEW });
    }
    let told = Told {
        local_us: if is_local { look.zone() } else { 0 },
        bare_us: own_zone(&head),
        sections: has_sections(&head),
        newest_first: is_newest_first(file, size, &head),
        ..look.told()
    };
    Ok((kind, told))
}

fn is_hole(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| *b == 0)
}

/// The first bytes of a plain file after the hole that it begins with.
fn after_hole(file: &File) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; 1 << 20];
    let mut from = 0;
    while from < FAR {
        let len = file.read_at(&mut bytes, from)?;
        let read = bytes.get(..len).unwrap_or_default();
        if let Some(at) = read.iter().position(|b| *b != 0) {
            let mut head = vec![0; HEAD];
            let len = file.read_at(&mut head, from + at as u64)?;
            head.truncate(len);
            return Ok(head);
        }
        if len == 0 {
            break;
        }
        from += len as u64;
    }
    Ok(vec![0; HEAD])
}

/// Bytes without their holes.
fn without_holes(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    for run in bytes.chunk_by(|a, b| (*a == 0) == (*b == 0)) {
        if run.len() < HOLE || !is_hole(run) {
            text.extend_from_slice(run);
        }
    }
    text
}

/// Whether a file's newest lines stand first: those of its beginning do, and its end is older.
fn is_newest_first(file: &File, size: u64, head: &[u8]) -> bool {
    let first = times(head);
    if !descend(&first) {
        return false;
    }
    let mut tail = vec![0; HEAD];
    let from = size.saturating_sub(HEAD as u64);
    if from < head.len() as u64 || is_packed(file) {
        return true;
    }
    let Ok(len) = file.read_at(&mut tail, from) else {
        return false;
    };
    tail.truncate(len);
    let last = times(memchr::memchr(b'\n', &tail).map_or(&[], |at| tail.split_at(at).1));
    matches!((first.last(), last.first()), (Some(first), Some(last)) if last <= first)
}

/// The times of records in these lines, of which the last one may be cut off.
fn times(bytes: &[u8]) -> Vec<Timestamp> {
    let end = memchr::memrchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
    // Any year will do to tell which of two times is the earlier one.
    let mut decoder = Decoder::new(DecodeContext {
        reference: Some(Timestamp::from_secs(1_700_000_000)),
        ..DecodeContext::default()
    });
    let mut times = Vec::new();
    let lines = bytes.get(..end).unwrap_or_default();
    decoder.block(lines, 1, &mut |record: &Record<'_>| {
        times.extend(record.time);
    });
    times
}

/// Whether times go down, but for few that several writers may have put out of order.
fn descend(times: &[Timestamp]) -> bool {
    /// Fewer steps may be an accident.
    const STEPS: usize = 4;
    /// So many steps down for each one up.
    const DOWN: usize = 10;
    let pairs = || times.iter().zip(times.iter().skip(1));
    let down = pairs().filter(|(a, b)| a > b).count();
    let up = pairs().filter(|(a, b)| a < b).count();
    down >= STEPS && down >= up * DOWN
}

fn is_packed(file: &File) -> bool {
    let mut magic = [0; 8];
    file.read_at(&mut magic, 0)
        .is_ok_and(|_| Compression::detect(&magic).is_some())
}

/// Whether this is the beginning of a `kubectl cluster-info dump`: its lists of objects, or the line
/// before a pod's log.
fn has_sections(head: &[u8]) -> bool {
    let list = head.trim_ascii_start().starts_with(b"{");
    memchr::memmem::find(head, section::START).is_some()
        || list && memchr::memmem::find(head, br#""kind": "NodeList""#).is_some()
}

/// What the first lines of a pipe tell, of which there is nothing else to look at.
pub(super) fn of_lines(bytes: &[u8]) -> Told {
    let head = bytes.get(..bytes.len().min(4 * HEAD)).unwrap_or_default();
    let mut look = Look::default();
    look.at(head);
    Told {
        local_us: look.zone(),
        bare_us: own_zone(head),
        newest_first: descend(&times(head)),
        ..look.told()
    }
}

/// What a look at lines found.
#[derive(Default)]
struct Look {
    /// The first time that names its year.
    dated: Option<Timestamp>,
    /// The earliest and the latest one.
    years: Option<(Timestamp, Timestamp)>,
    /// Whether dates were seen that have no year.
    yearless: bool,
    /// The first day that a trace names.
    traced: Option<Timestamp>,
    /// Records whose time is their wrapper's, or that have a wrapper's beside their own.
    wrapped: bool,
    /// The first host that a wrapper names.
    host: Option<u64>,
    /// Whether another one is named.
    hosts: bool,
    /// How many quarters of an hour wrappers are ahead of the records in them, and how often.
    zones: BTreeMap<i64, u64>,
    /// The same of records that name no zone: what they are written in is UTC where it is not the
    /// wrapper's, as in a container.
    unzoned: BTreeMap<i64, u64>,
}

impl Look {
    /// Looks at lines, of which the last one may be cut off.
    fn at(&mut self, bytes: &[u8]) {
        let end = memchr::memrchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
        let mut decoder = Decoder::new(DecodeContext {
            reference: Some(NO_YEAR),
            hosts: true,
            ..DecodeContext::default()
        });
        let lines = bytes.get(..end).unwrap_or_default();
        decoder.block(lines, 1, &mut |record: &Record<'_>| {
            for time in [record.outer.time, record.time].into_iter().flatten() {
                self.date(time);
            }
            if let Some(time) = entry_time(&record.msg) {
                self.date(time);
            }
            if self.traced.is_none() && record.msg.starts_with(b"Trace[") {
                self.traced = traced_day(&record.msg);
            }
            self.record(record);
        });
    }

    fn date(&mut self, time: Timestamp) {
        match with_year(time) {
            Some(true) => {
                self.dated = self.dated.or(Some(time));
                let (from, to) = self.years.unwrap_or((time, time));
                self.years = Some((from.min(time), to.max(time)));
            }
            Some(false) => self.yearless = true,
            None => {}
        }
    }

    /// Looks at places all over a plain file: lines that tell may be rare.
    fn at_places(&mut self, file: &File, size: u64, each: u64) {
        let step = size / PLACES;
        if step == 0 || is_packed(file) {
            return;
        }
        // No line counts twice: the head was looked at, and no place reaches the next one.
        let len = HEAD.min(usize::try_from(step).unwrap_or(HEAD));
        let mut bytes = vec![0; len];
        let places = (1..PLACES)
            .filter(|place| place % each == 0)
            .map(|place| place * step);
        for from in places.filter(|from| *from >= HEAD as u64) {
            let Ok(len) = file.read_at(&mut bytes, from) else {
                break;
            };
            let read = bytes.get(..len).unwrap_or_default();
            let whole = memchr::memchr(b'\n', read).and_then(|at| read.get(at + 1..));
            self.at(whole.unwrap_or_default());
        }
    }

    /// What it found, but for what needs more than that.
    fn told(&self) -> Told {
        Told {
            dated: self.dated,
            years: self.years,
            yearless: self.yearless,
            traced: self.traced,
            hosts: self.hosts,
            ..Told::default()
        }
    }

    fn record(&mut self, record: &Record<'_>) {
        self.wrapped |= record.outer.ident.is_some();
        // A machine that starts has no name yet.
        if let Some(host) = record.outer.host.filter(|host| *host != b"localhost") {
            let host = stable_hash(0, host);
            self.hosts |= *self.host.get_or_insert(host) != host;
        }
        // These always name their zone, or count from the epoch.
        let zoned = matches!(
            record.encoding,
            Encoding::ZapJson | Encoding::ZapConsole | Encoding::KlogJson | Encoding::Logrus
        );
        let zones = match zoned {
            true => &mut self.zones,
            false => &mut self.unzoned,
        };
        if record.encoding != Encoding::Bare
            && record.time_source == TimeSource::Inner
            && let (Some(outer), Some(inner)) = (record.outer.time, record.time)
            && let Some(quarters) = quarters(outer, inner)
        {
            *zones.entry(quarters).or_default() += 1;
        }
    }

    /// The zone that most records show: where clocks are put on an hour a file holds two, and most
    /// of it is right. Where no zone is most records', nobody can tell.
    fn zone(&self) -> i64 {
        let zones = match self.zones.is_empty() {
            true => &self.unzoned,
            false => &self.zones,
        };
        let all: u64 = zones.values().sum();
        let most = zones.iter().find(|(_, count)| **count * 2 > all);
        most.map_or(0, |(quarters, _)| quarters * QUARTER_US)
    }

    /// Whether the file may have wrappers in local time.
    fn is_local(&self) -> bool {
        self.wrapped && self.zones.keys().all(|quarters| *quarters != 0) || self.zones.len() > 1
    }
}

/// How far east of UTC the zone is that most of zap's records here name, in microseconds. Those that
/// count seconds name none, and a record in a wrapper does not begin its line.
fn own_zone(head: &[u8]) -> i64 {
    let mut cache = TimeCache::default();
    let mut zones: BTreeMap<i64, u64> = BTreeMap::new();
    for line in head.split(|b| *b == b'\n') {
        let begin = match line.first() {
            Some(b'{') => line.get(..line.len().min(HEAD_OF_LINE)).unwrap_or(line),
            Some(b'0'..=b'9') => line,
            _ => continue,
        };
        let time = match begin.first() {
            Some(b'{') => memchr::memmem::find(begin, ZAP_TIME)
                .and_then(|at| begin.get(at + ZAP_TIME.len()..)),
            _ => Some(begin),
        };
        let Some(time) = time else { continue };
        // The time as it stands there, and in UTC.
        let (Some(local), Some(stamp)) = (
            time.get(..19).and_then(|second| cache.iso(second)),
            cache.iso(time),
        ) else {
            continue;
        };
        // What stands behind it: zap's console puts a tab, other logs a blank.
        if stamp.zoned && matches!(time.get(stamp.len), Some(b'"' | b'\t')) {
            let second = stamp.time.0.div_euclid(1_000_000) * 1_000_000;
            *zones.entry(local.time.0 - second).or_default() += 1;
        }
    }
    let all: u64 = zones.values().sum();
    let most = zones.iter().find(|(_, count)| **count * 2 > all);
    most.map_or(0, |(east_us, _)| *east_us)
}

/// The time of an entry that stands beside its line: in YAML of `gcloud logging read`, and in a column
/// of CloudWatch Insights.
fn entry_time(line: &[u8]) -> Option<Timestamp> {
    let mut cache = TimeCache::default();
    if let Some(time) = line.strip_prefix(b"timestamp: ") {
        let time = time.strip_prefix(b"'").unwrap_or(time);
        return Some(cache.iso(time)?.time);
    }
    let mut fields = JsonFields::new(line.starts_with(b"{").then_some(line)?);
    let (name, column) = fields.next()?;
    let (_, value) = fields.next()?;
    (name == b"field" && column.raw == b"@timestamp").then_some(())?;
    Some(cache.iso(value.raw)?.time)
}

fn judge(head: &[u8]) -> Kind {
    if head.starts_with(b"\x7fELF") {
        return Kind::Other("is a program");
    }
    if let Some(why) = archive(head).or_else(|| utf16(head)) {
        return Kind::Packed(why);
    }
    let text = without_holes(head);
    if is_noise(&text) || text.is_empty() && !head.is_empty() {
        return Kind::Other("is binary");
    }
    let head = text.as_slice();
    let head = head.trim_ascii_start();
    // An array of records is read like its objects.
    let first = head
        .strip_prefix(b"[")
        .map_or(head, <[u8]>::trim_ascii_start);
    if object::starts(first) {
        return judge_objects(first);
    }
    let mut cache = TimeCache::default();
    let known = head
        .split(|b| *b == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
        .take(LINES)
        .any(|line| {
            // A document's inner objects are no records.
            let object = object::starts(line.trim_ascii_start());
            !(object && unknown(line)) && LineStart::of(line, &mut cache).sure
        });
    if known { Kind::Log } else { Kind::Text }
}

/// Whether bytes are no text. Logs may hold a stray NUL; programs and databases are full of them.
/// What is packed or random has few, but as many of the other bytes that no text has as any. A
/// journal's export may hold fields of such bytes.
fn is_noise(bytes: &[u8]) -> bool {
    let nuls = bytes.iter().filter(|b| **b == 0).count();
    // Terminals' colours begin with an escape.
    let control = |b: u8| b.is_ascii_control() && !b.is_ascii_whitespace() && b != 0x1b && b != 0;
    let controls = bytes.iter().filter(|b| control(**b)).count();
    nuls.max(controls) * 20 > bytes.len() && !bytes.starts_with(b"__CURSOR=")
}

/// UTF-16, by its mark or by the NUL in every ASCII letter.
fn utf16(head: &[u8]) -> Option<&'static str> {
    const WHY: &str = "is UTF-16 text: turn it into UTF-8 first (iconv -f UTF-16 -t UTF-8)";
    let sample = head.get(..head.len().min(512)).unwrap_or_default();
    let nuls = |odd: usize| {
        let bytes = sample.iter().skip(odd).step_by(2);
        bytes.filter(|b| **b == 0).count() * 4 > sample.len()
    };
    let marked = matches!(head, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
    (marked || sample.len() >= 16 && nuls(0) != nuls(1)).then_some(WHY)
}

/// A text that begins with a JSON object is a log if one of its first objects is a record or a
/// wrapper, be it on one line or printed over several.
fn judge_objects(head: &[u8]) -> Kind {
    let mut rest = head;
    for _ in 0..LINES {
        let object = rest.first() == Some(&b'{');
        // A batch is longer than what is looked at.
        if object && (!unknown(rest) || object::begins_batch(rest)) {
            return Kind::Log;
        }
        // The next object at the beginning of a line.
        match memchr::memmem::find(rest, b"\n{").and_then(|at| rest.get(at + 1..)) {
            Some(next) => rest = next,
            None => break,
        }
    }
    Kind::Text
}

/// Whether the object that begins here is none of the known kinds.
fn unknown(text: &[u8]) -> bool {
    let mut cache = TimeCache::default();
    matches!(
        object::classify(text.trim_ascii_start(), &mut cache),
        Object::Unknown
    )
}

fn archive(head: &[u8]) -> Option<&'static str> {
    match head {
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some("is compressed with xz: unpack it first"),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some("is compressed with bzip2: unpack it first"),
        [0x04, 0x22, b'M', 0x18, ..] => Some("is compressed with lz4: unpack it first"),
        // These bytes are what came out.
        _ if Compression::detect(head).is_some() => {
            Some("is compressed twice: unpack it once first")
        }
        [b'P', b'K', 3, 4, ..] => Some("is a zip archive: unpack it first"),
        [b'L', b'P', b'K', b'S', b'H', b'H', b'R', b'H', ..] => {
            Some("is a binary journal: pass the output of `journalctl -o json`")
        }
        _ if head.get(257..262) == Some(b"ustar") => Some("is a tar archive: unpack it first"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
