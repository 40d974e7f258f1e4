//! Whole lines through the decoder: every wrapper around every encoding.

use super::*;
use crate::logs::record::{Encoding, TimeSource};

/// What a test looks at in a record.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    lines: (u64, u64),
    encoding: Encoding,
    level: Level,
    time: Option<String>,
    source: TimeSource,
    logger: String,
    msg: String,
    fields: Vec<(String, String)>,
    ident: Option<String>,
    cut: bool,
    repeats: u64,
}

fn seen(record: &Record<'_>) -> Seen {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Seen {
        lines: (record.line, record.line_end),
        encoding: record.encoding,
        level: record.level,
        time: record.time.map(|time| time.to_string()),
        source: record.time_source,
        logger: text(record.logger),
        msg: text(&record.msg),
        fields: record
            .fields
            .iter()
            .map(|(name, value)| (text(name), value.text_lossy().into_owned()))
            .collect(),
        ident: record.outer.ident.map(text),
        cut: record.outer.cut,
        repeats: record.repeats,
    }
}

fn context() -> DecodeContext {
    DecodeContext {
        reference: Timestamp::parse("2026-11-21T21:00:00Z"),
    }
}

fn decode(text: impl AsRef<[u8]>) -> (Vec<Seen>, LineCounts) {
    let mut records = Vec::new();
    let mut decoder = Decoder::new(context());
    let mut sink = |record: &Record<'_>| records.push(seen(record));
    decoder.block(text.as_ref(), 1, &mut sink);
    decoder.finish(&mut sink);
    let counts = decoder.counts();
    assert_eq!(counts.parsed + counts.unparsed, counts.lines);
    (records, counts)
}

const ZAP: &str = r#"{"level":"warn","ts":"2026-11-20T19:06:42.123456Z","caller":"etcdserver/util.go:170","msg":"apply request took too long","took":"112.966862ms"}"#;
const CAPNSLOG: &str = "2026-11-20 19:06:42.123456 W | etcdserver: apply request took too long";
const KLOG: &str =
    r#"W1120 19:06:42.123456       1 a.go:1] "apply request took too long" took="112.966862ms""#;

#[test]
fn bare_lines_of_the_three_encodings() {
    let (records, counts) = decode(format!("{ZAP}\n{CAPNSLOG}\n{KLOG}"));
    assert_eq!((counts.lines, counts.parsed, counts.records), (3, 3, 3));
    for (record, encoding) in
        records
            .iter()
            .zip([Encoding::ZapJson, Encoding::Capnslog, Encoding::Klog])
    {
        assert_eq!(record.encoding, encoding);
        assert_eq!(record.level, Level::Warn);
        assert_eq!(record.msg, "apply request took too long");
        assert_eq!(record.time.as_deref(), Some("2026-11-20T19:06:42.123456Z"));
    }
}
