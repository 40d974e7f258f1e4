//! Whether a file is a log: by its name where that is clear, by its first bytes otherwise.

use std::io::Read;

use crate::clock::Timestamp;
use crate::formats::inflate::{Inflate, Limits};
use crate::logs::decode::{DecodeContext, Decoder, LineStart};
use crate::logs::format::object::{self, Object};
use crate::logs::record::Record;
use crate::logs::timestamp::TimeCache;

/// How much of a file is looked at, inflated.
const HEAD: u64 = 16 << 10;
/// How many lines of it.
const LINES: usize = 40;

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
    if stem.ends_with(".log") || stem.contains(".log.") || order.slot == 0 {
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

/// Judges the first bytes of a file, compressed or not, and looks for the first time with a year.
pub(super) fn sniff(file: impl Read) -> std::io::Result<(Kind, Option<Timestamp>)> {
    let limits = Limits {
        bytes: HEAD,
        ..Limits::default()
    };
    let mut inflate = Inflate::new(file.take(4 << 20), limits)?;
    let mut head = Vec::new();
    // What came out before an error is judged; the error comes again when the file is read.
    let failed = inflate.read_to_end(&mut head).is_err();
    if head.is_empty() && failed {
        return Ok((Kind::Log, None));
    }
    Ok((judge(&head), dated(&head)))
}

/// The first time in these lines that names its year.
fn dated(head: &[u8]) -> Option<Timestamp> {
    let mut first = None;
    let mut decoder = Decoder::new(DecodeContext::default());
    // The last line is cut off.
    let end = memchr::memrchr(b'\n', head).map_or(head.len(), |at| at + 1);
    decoder.block(head.get(..end)?, 1, &mut |record: &Record<'_>| {
        first = first.or(record.time);
    });
    first
}

fn judge(head: &[u8]) -> Kind {
    if let Some(why) = archive(head) {
        return Kind::Other(why);
    }
    // Logs may hold a stray NUL (a hole that a crash left); programs and databases are full of
    // them. UTF-16 has one at every second place.
    let nuls = head.iter().filter(|b| **b == 0).count();
    if nuls * 20 > head.len() && !head.starts_with(b"__CURSOR=") {
        return Kind::Other("is binary");
    }
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
    use super::*;

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
        for name in ["truth.json", "stat", "messages", "journal.txt", "syslog.1"] {
            assert_eq!(by_name(name), ByName::Unclear, "{name}");
        }
    }

    #[test]
    fn the_first_year_is_found() {
        let text = b"Nov 24 19:06:42 host k3s[1]: I1124 19:06:42.770951       1 a.go:1] x\n2023-11-24 19:33:30.483562 I | etcdmain: x\n";
        let at = sniff(&text[..]).expect("reads").1;
        assert_eq!(at, Timestamp::parse("2023-11-24T19:33:30.483562Z"));
        assert_eq!(
            sniff(&b"Nov 24 19:06:42 host sshd[1]: x\n"[..])
                .expect("reads")
                .1,
            None
        );
    }

    #[test]
    fn first_bytes() {
        let kind = |text: &[u8]| sniff(text).expect("reads").0;
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
        assert!(matches!(kind(b"\x7fELF\x02\x01"), Kind::Other(_)));
        assert!(matches!(kind(b"PK\x03\x04aaaa"), Kind::Other(_)));
    }
}
