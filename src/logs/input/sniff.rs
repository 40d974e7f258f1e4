//! Whether a file is a log: by its name where that is clear, by its first bytes otherwise.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;

use crate::clock::Timestamp;
use crate::formats::inflate::{Compression, Inflate, Limits};
use crate::logs::decode::{DecodeContext, Decoder, LineStart};
use crate::logs::format::object::{self, Object};
use crate::logs::record::{Encoding, Record, TimeSource};
use crate::logs::signature::traced_day;
use crate::logs::timestamp::{QUARTER_US, TimeCache, quarters};
use crate::logs::wrapper::section;

use super::Told;

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

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A log.
    Log,
    /// Text that holds no line of a known log.
    Text,
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
    let told = Told {
        dated: look.dated,
        traced: look.traced,
        local_us: if look.is_local() {
            zone(file, size, look)
        } else {
            0
        },
        sections: has_sections(&head),
        newest_first: is_newest_first(file, size, &head),
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
        dated: look.dated,
        traced: look.traced,
        local_us: look.zone(),
        newest_first: descend(&times(head)),
        ..Told::default()
    }
}

/// How far the wrappers' clock is east of UTC: by what most of the records that say it do. Those
/// with a zone may be rare, so places all over a plain file are looked at.
fn zone(file: &File, size: u64, mut look: Look) -> i64 {
    let step = size / PLACES;
    if step > 0 && !is_packed(file) {
        // No line counts twice: the head was looked at, and no place reaches the next one.
        let mut bytes = vec![0; HEAD.min(usize::try_from(step).unwrap_or(HEAD))];
        let places = (1..PLACES).map(|place| place * step);
        for from in places.filter(|from| *from >= HEAD as u64) {
            let Ok(len) = file.read_at(&mut bytes, from) else {
                break;
            };
            let read = bytes.get(..len).unwrap_or_default();
            let whole = memchr::memchr(b'\n', read).and_then(|at| read.get(at + 1..));
            look.at(whole.unwrap_or_default());
        }
    }
    look.zone()
}

/// What a look at lines found.
#[derive(Default)]
struct Look {
    /// The first time that names its year.
    dated: Option<Timestamp>,
    /// The first day that a trace names.
    traced: Option<Timestamp>,
    /// Records whose time is their wrapper's, or that have a wrapper's beside their own.
    wrapped: bool,
    /// How many quarters of an hour wrappers are ahead of the records in them, and how often.
    zones: BTreeMap<i64, u64>,
}

impl Look {
    /// Looks at lines, of which the last one may be cut off.
    fn at(&mut self, bytes: &[u8]) {
        let end = memchr::memrchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
        let mut decoder = Decoder::new(DecodeContext::default());
        let lines = bytes.get(..end).unwrap_or_default();
        decoder.block(lines, 1, &mut |record: &Record<'_>| {
            self.dated = self.dated.or(record.time);
            if self.traced.is_none() && record.msg.starts_with(b"Trace[") {
                self.traced = traced_day(&record.msg);
            }
            self.record(record);
        });
    }

    fn record(&mut self, record: &Record<'_>) {
        self.wrapped |= record.outer.ident.is_some();
        // These always name their zone, or count from the epoch.
        let zoned = matches!(
            record.encoding,
            Encoding::ZapJson | Encoding::ZapConsole | Encoding::KlogJson | Encoding::Logrus
        );
        if zoned
            && record.time_source == TimeSource::Inner
            && let (Some(outer), Some(inner)) = (record.outer.time, record.time)
            && let Some(quarters) = quarters(outer, inner)
        {
            *self.zones.entry(quarters).or_default() += 1;
        }
    }

    /// The zone that most records show: where clocks are put on an hour a file holds two, and most
    /// of it is right. Where no zone is most records', nobody can tell.
    fn zone(&self) -> i64 {
        let all: u64 = self.zones.values().sum();
        let most = self.zones.iter().find(|(_, count)| **count * 2 > all);
        most.map_or(0, |(quarters, _)| quarters * QUARTER_US)
    }

    /// Whether the file may have wrappers in local time.
    fn is_local(&self) -> bool {
        self.wrapped && self.zones.keys().all(|quarters| *quarters != 0) || self.zones.len() > 1
    }
}

fn judge(head: &[u8]) -> Kind {
    if let Some(why) = archive(head).or_else(|| utf16(head)) {
        return Kind::Other(why);
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
        if rest.first() == Some(&b'{') && !unknown(rest) {
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
        [0x7f, b'E', b'L', b'F', ..] => Some("is a program"),
        [b'L', b'P', b'K', b'S', b'H', b'H', b'R', b'H', ..] => {
            Some("is a binary journal: pass the output of `journalctl -o json`")
        }
        _ if head.get(257..262) == Some(b"ustar") => Some("is a tar archive: unpack it first"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn look(text: &[u8]) -> (Kind, Told) {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text).expect("writes");
        sniff(&file.reopen().expect("opens"), text.len() as u64).expect("reads")
    }

    fn told(text: &[u8]) -> Told {
        look(text).1
    }

    #[test]
    fn names() {
        for name in [
            "0.log",
            "0.log.20250502-181650.gz",
            "etcd.log.1",
            "x-json.log",
            "audit-2025-05-02T18-16-50.123.log",
        ] {
            assert_eq!(by_name(name), ByName::Log, "{name}");
        }
        for name in [
            "etcd.yaml",
            "kube-apiserver-m0.prom",
            "x.prom.gz",
            "db.db",
            "member/snap/x.snap",
        ] {
            assert_eq!(by_name(name), ByName::Other, "{name}");
        }
        for name in [
            "truth.json",
            "stat",
            "messages",
            "messages-20261118",
            "000001.gz",
            "journal.txt",
            "syslog.1",
        ] {
            assert_eq!(by_name(name), ByName::Unclear, "{name}");
        }
    }

    #[test]
    fn the_first_year_is_found() {
        let text = b"Nov 24 19:06:42 host k3s[1]: I1124 19:06:42.770951       1 a.go:1] x\n2023-11-24 19:33:30.483562 I | etcdmain: x\n";
        let at = told(text).dated;
        assert_eq!(at, Timestamp::parse("2023-11-24T19:33:30.483562Z"));
        assert_eq!(told(b"Nov 24 19:06:42 host sshd[1]: x\n").dated, None);
    }

    #[test]
    fn the_zone_of_wrappers_is_told_by_the_records_in_them() {
        let line = |zone: &str| {
            format!(
                "Feb 16 21:31:27 h k3s[1]: {{\"level\":\"warn\",\"ts\":\"2026-02-16T21:31:27.325{zone}\",\"msg\":\"slow fdatasync\"}}\n"
            )
        };
        let klog = "Feb 16 21:31:27 h k3s[1]: I0216 21:31:27.400003       1 a.go:1] x\n";
        let hour = 4 * QUARTER_US;
        for (zone, want) in [("-0500", -5 * hour), ("+0530", 11 * hour / 2), ("Z", 0)] {
            assert_eq!(told(line(zone).as_bytes()).local_us, want, "{zone}");
            // The only line of etcd stands far from the beginning.
            let many = [klog.repeat(3000), line(zone).repeat(200), klog.repeat(3000)];
            assert_eq!(told(many.concat().as_bytes()).local_us, want, "{zone}");
        }
        assert_eq!(told(klog.as_bytes()).local_us, 0);
        // The line stood in its writer's pipe for long: that is no zone.
        let late = line("Z").replace("21:31:27 h", "21:38:27 h");
        assert_eq!(told(late.as_bytes()).local_us, 0);
    }

    #[test]
    fn the_newest_lines_may_stand_first() {
        let zap = |n: u32| {
            format!(
                "{{\"level\":\"warn\",\"ts\":\"2026-02-16T21:{:02}:{:02}.325Z\",\"msg\":\"x\"}}\n",
                n / 60,
                n % 60
            )
        };
        let syslog = |n: u32| format!("Feb 16 21:{:02}:{:02} h etcd[1]: x\n", n / 60, n % 60);
        let lines: [&dyn Fn(u32) -> String; 2] = [&zap, &syslog];
        for line in lines {
            for many in [20, 3000] {
                let forth: String = (0..many).map(line).collect();
                let back: String = (0..many).rev().map(line).collect();
                assert!(!told(forth.as_bytes()).newest_first);
                assert!(told(back.as_bytes()).newest_first);
                // Only its first lines are out of order.
                let odd = [line(9), line(8), line(7), line(6), line(5), line(4), forth].concat();
                assert!(!told(odd.as_bytes()).newest_first);
            }
        }
    }

    #[test]
    fn first_bytes() {
        let kind = |text: &[u8]| look(text).0;
        for text in [
            &br#"{"level":"info","ts":"2026-11-21T19:32:28.496Z","caller":"a","msg":"x"}"#[..],
            b"2026-11-21 19:33:30.483562 I | etcdmain: x\n",
            b"\n\nNov 24 19:06:42 host sshd[1]: hello\n",
            br#"{"log":"I1008 04:37:11.770951       1 a.go:1] x\n","stream":"stderr","time":"2026-11-21T19:32:28.496Z"}"#,
            b"{\n  \"level\": \"warn\",\n  \"msg\": \"x\"\n}\n",
            b"__CURSOR=s=1\n__REALTIME_TIMESTAMP=1\n",
            b"{container=\"etcd\"} 2026-11-21 19:33:30.483562 I | etcdmain: x\n",
            br#"{"data":{"result":[{"stream":{},"values":[["1","I1008 04:37:11.770951       1 a.go:1] x"]]}]}}"#,
            br#"{"hits":{"hits":[{"_source":{"log":"x"}}]}}"#,
        ] {
            assert_eq!(kind(text), Kind::Log, "{}", String::from_utf8_lossy(text));
        }
        for text in [
            &b"cpu  1 2 3\n"[..],
            b"# HELP etcd_x\n# TYPE etcd_x counter\netcd_x 1\n",
            b"{\n  \"cause\": \"disk\"\n}\n",
            br#"{"root_cause":"disk","n":1}"#,
            br#"{"status":"success","data":{"result":[{"metric":{},"values":[[1,"2"]]}]}}"#,
            br#"{"events":[{"kind":"disk"}],"data":["a"]}"#,
            b"apiVersion: v1\nkind: Pod\n",
        ] {
            assert_eq!(kind(text), Kind::Text, "{}", String::from_utf8_lossy(text));
        }
        assert!(matches!(kind(&[0; 4096]), Kind::Other(_)));
        assert!(matches!(kind(&[0; 40_000]), Kind::Other(_)));
        assert!(matches!(kind(b"\x7fELF\x02\x01"), Kind::Other(_)));
        assert!(matches!(kind(b"PK\x03\x04aaaa"), Kind::Other(_)));
    }

    const ZAP: &str =
        r#"{"level":"warn","ts":"2026-02-16T21:31:27.325Z","caller":"a/b.go:1","msg":"x"}"#;

    #[test]
    fn holes_make_no_log_binary() {
        let line = format!("{ZAP}\n");
        let lines = line.repeat(2000);
        let (front, back) = lines.split_at(50 * line.len());
        let hole = |len: usize| "\0".repeat(len);
        for text in [
            [front, &hole(4096), back].concat(),
            [front, &hole(3 * 4096), line.split_at(20).1, back].concat(),
            [&hole(9000), back].concat(),
            [&hole(100_000), back].concat(),
            [&hole(3 << 20), back].concat(),
        ] {
            assert_eq!(look(text.as_bytes()).0, Kind::Log);
        }
    }

    #[test]
    fn what_is_no_text_is_told_in_words() {
        let why = |bytes: &[u8]| match look(bytes).0 {
            Kind::Other(why) => why.split(':').next().unwrap_or_default(),
            _ => "",
        };
        let wide = |mark: &[u8], order: fn(u16) -> [u8; 2]| {
            let lines = format!("{ZAP}\n").repeat(30);
            let units = lines.encode_utf16().flat_map(order);
            mark.iter().copied().chain(units).collect::<Vec<u8>>()
        };
        assert_eq!(
            why(&wide(&[0xff, 0xfe], u16::to_le_bytes)),
            "is UTF-16 text"
        );
        assert_eq!(
            why(&wide(&[0xfe, 0xff], u16::to_be_bytes)),
            "is UTF-16 text"
        );
        assert_eq!(why(&wide(&[], u16::to_le_bytes)), "is UTF-16 text");
        assert_eq!(why(&wide(&[], u16::to_be_bytes)), "is UTF-16 text");
        assert_eq!(
            why(b"\x04\x22\x4d\x18\x64\x40\xa7{\"level\""),
            "is compressed with lz4"
        );
        let gzip = |bytes: &[u8]| {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(bytes).expect("writes");
            out.finish().expect("ends")
        };
        assert_eq!(why(&gzip(&gzip(ZAP.as_bytes()))), "is compressed twice");
        // Bytes without order, of which one in 256 is a NUL.
        let mut state = 1u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(20_000)
        .collect();
        assert_eq!(why(&noise), "is binary");
        // Colours, tabs, and what an application server puts between lines.
        let coloured = "\x1b[33mW1120 10:00:21.000000       1 a.go:1]\x1b[0m \tx\r\n".repeat(50);
        assert_eq!(why(coloured.as_bytes()), "");
    }
}
