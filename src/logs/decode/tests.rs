//! Whole lines through the decoder: records over several lines, cut, damaged and glued.

#![expect(
    clippy::string_slice,
    reason = "the texts are ASCII, and a panic is a failure"
)]

use super::*;
use crate::logs::record::{Encoding, TimeSource};
use wrappers::wrappers;

mod wrappers;

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
        ..DecodeContext::default()
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
const CONSOLE: &str = "2026-11-20T19:06:42.123456Z\twarn\tetcdserver/util.go:170\tapply request took too long\t{\"took\": \"112.966862ms\"}";

#[test]
fn a_zap_line_without_its_begin_is_a_record() {
    let cut = &ZAP[ZAP.find("util.go").unwrap()..];
    let timed = &ZAP[ZAP.find("\"ts\"").unwrap()..];
    let cri = format!("2026-11-20T19:06:43.000000000Z stderr F {cut}");
    let (records, counts) = decode(format!("{cut}\n{ZAP}\n{timed}\n{cri}\n"));
    assert_eq!((counts.parsed, counts.unparsed, counts.records), (4, 0, 4));
    let times: Vec<Option<&str>> = records.iter().map(|seen| seen.time.as_deref()).collect();
    let inner = Some("2026-11-20T19:06:42.123456Z");
    assert_eq!(times[..3], [None, inner, inner]);
    assert!(times[3].is_some_and(|time| time.starts_with("2026-11-20T19:06:43")));
    for record in &records {
        assert_eq!(record.encoding, Encoding::ZapJson);
        assert_eq!(record.msg, "apply request took too long");
        let took = ("took".to_owned(), "112.966862ms".to_owned());
        assert!(record.fields.contains(&took), "{record:?}");
    }
    // Another program's, or without a message.
    let (_, counts) =
        decode("\"user\":\"x\",\"msg\":\"hello\"}\nresult\":\"ok\",\"took\":\"1ms\"}\n");
    assert_eq!((counts.parsed, counts.unparsed), (0, 2));
}

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

fn escaped(text: &str) -> String {
    let quoted = serde_json::to_string(text).expect("serialises");
    quoted[1..quoted.len() - 1].to_owned()
}

/// The one record of a text.
fn one(text: &str) -> Seen {
    let (records, counts) = decode(text);
    assert_eq!(records.len(), 1, "{text}: {records:?}");
    assert_eq!(counts.unparsed, 0, "{text}");
    records.into_iter().next().expect("one")
}

#[test]
fn a_record_over_several_lines_is_one() {
    let pretty = "{\n    \"level\": \"warn\",\n    \"ts\": \"2026-11-20T19:06:42.123Z\",\n    \"msg\": \"slow\",\n    \"request content\":\"key:\"/registry/pods/\" limit:500 \"\n}";
    let record = one(pretty);
    assert_eq!((record.lines, &*record.msg), ((1, 6), "slow"));
    assert_eq!(record.fields[3].1, "key:\"/registry/pods/\" limit:500 ");
    let record = one(
        "Nov 20 18:45:41 cp0 bash[7]: {\"level\":\"info\",\"ts\":\"2026-11-20T19:06:42.123Z\",\"caller\":\"etcdserver/zap_raft.\ngo:77\",\"msg\":\"x lost leader y\"}",
    );
    assert_eq!((record.lines, &*record.msg), ((1, 2), "x lost leader y"));
    let record =
        one("I1120 19:06:42.123456       1 a.go:1] \"Using config\" config=<\n\tone\n\ttwo\n >");
    assert_eq!(
        (record.lines, &*record.fields[0].1),
        ((1, 4), "\tone\n\ttwo")
    );
    let record = one(
        "W1120 19:06:42.123456       1 logging.go:59] [core] failed to connect to {\n  \"Addr\": \"127.0.0.1:2379\",\n}. Err: connection error: desc = \"x\"",
    );
    assert!(
        record
            .msg
            .ends_with("}. Err: connection error: desc = \"x\"")
    );
    let record = one(
        "E1120 19:06:42.123456       1 a.go:1] error: Get \"https://cp0/kube-\n      system/leases\": context deadline exceeded",
    );
    assert_eq!(
        record.msg,
        "error: Get \"https://cp0/kube-system/leases\": context deadline exceeded"
    );
}

#[test]
fn a_panic_keeps_its_dump() {
    let text = format!(
        "{ZAP}\npanic: freepages: failed to get all reachable pages (page 4517: multiple references)\n\ngoroutine 107 [running]:\ngo.etcd.io/bbolt.(*DB).freepages.func2(0xc0000a6000)\n\t/go/pkg/mod/go.etcd.io/bbolt/db.go:1003 +0xe9\ncreated by go.etcd.io/bbolt.(*DB).freepages\n\t/go/pkg/x.go:2 +0x1\n{ZAP}"
    );
    let (records, counts) = decode(&text);
    assert_eq!((records.len(), counts.unparsed), (3, 0));
    assert_eq!((records[1].lines, records[1].level), ((2, 8), Level::Fatal));
    assert!(records[1].msg.starts_with("panic: freepages"));
    let text = format!(
        "F1120 19:06:42.123456       1 a.go:1] leaderelection lost\ngoroutine 1 [running]:\nmain.main()\n\t/go/a.go:1 +0x1\n{KLOG}"
    );
    let (records, counts) = decode(&text);
    assert_eq!((records.len(), counts.unparsed), (2, 0));
}

#[test]
fn gos_panic_after_etcds_own_line_is_the_same_end() {
    let said = "2026-11-20 19:06:42.123456 C | mvcc: range cannot find rev (5,0)";
    let dump = "panic: range cannot find rev (5,0)\n\ngoroutine 1 [running]:\nmain.main()\n\t/go/a.go:1 +0x1";
    let (records, counts) = decode(format!("{said}\n{dump}\n{ZAP}"));
    assert_eq!((records.len(), counts.unparsed), (2, 0));
    // After another line it is all that tells of the end.
    let (records, _) = decode(format!("{CAPNSLOG}\n{dump}\n{ZAP}"));
    assert_eq!(records.len(), 3);
}

#[test]
fn back_quotes_and_numbers_around_a_line_come_off() {
    let raft = "2026-11-20 19:06:42.123456 I | raft: 1 became candidate at term 7";
    let native = "Nov 20 19:06:42 h etcd: timed out waiting for read index response";
    for line in [raft, native] {
        let (plain, _) = decode(line);
        for text in [
            format!("`{line}`"),
            format!("    12\t{line}"),
            format!("12\t{line}"),
        ] {
            let (records, counts) = decode(&text);
            assert_eq!((&records, counts.unparsed), (&plain, 0), "{text}");
        }
    }
}

#[test]
fn a_fault_is_one_record_with_its_dump() {
    let dump = "unexpected fault address 0x7f3a457f3008\nfatal error: fault\n[signal SIGBUS: bus error code=0x2 addr=0x7f3a457f3008 pc=0x9e2b65]\n\ngoroutine 1 [running]:\nruntime.throw(0x121d104, 0x5)\n\t/go/panic.go:1117 +0x72";
    let framed = |frame: &str| -> String {
        let lines = dump.lines().map(|line| format!("{frame}{line}\n"));
        lines.collect()
    };
    for frame in [
        "",
        "2026-11-28T10:00:01.1Z stderr F ",
        "Nov 20 10:00:01 h etcd[5]: ",
    ] {
        let (records, counts) = decode(format!("{}{frame}{ZAP}", framed(frame)));
        assert_eq!((records.len(), counts.unparsed), (2, 0), "{frame}");
        assert_eq!((records[0].lines, records[0].level), ((1, 7), Level::Fatal));
        assert!(records[0].msg.contains("[signal SIGBUS"), "{frame}");
    }
}

#[test]
fn two_records_on_one_line_are_two() {
    let (records, counts) = decode(format!("{CAPNSLOG} {CAPNSLOG}\n{ZAP}{ZAP}\n"));
    assert_eq!((records.len(), counts.lines, counts.parsed), (4, 2, 2));
    // A record that a crash tore, and the first one after the restart.
    let (records, _) = decode(format!("{}{ZAP}", &ZAP[..120]));
    assert_eq!(records.len(), 2);
    assert_eq!(records[1].msg, "apply request took too long");
}

#[test]
fn a_line_that_its_terminal_cut_says_so() {
    let record = one(
        r#"Nov 16 12:10:05 node1 etcd[27235]: {"level":"warn","ts":"2026-11-16T12:10:05.337596Z","caller":"etcdserver/util.go:170","msg":"apply request took too long","took":"330.8313ms","expected-dur>"#,
    );
    assert!(record.cut);
    assert_eq!(
        record.fields.last().map(|(name, took)| (&**name, &**took)),
        Some(("took", "330.8313ms"))
    );
    let record = one(
        r#"Nov 16 12:10:05 node1 etcd[27235]: request "header:<ID:1 > lease_revoke:<id:6a>" with result "size:31" took too long (1s) to execute"#,
    );
    assert!(!record.cut);
}

#[test]
fn unknown_lines_are_records_and_are_counted() {
    let (records, counts) =
        decode("Hello there\n\n  \nnt:1 size:518\" took too long (395.5ms) to execute\n");
    assert_eq!(
        (counts.lines, counts.parsed, counts.unparsed, counts.blank),
        (4, 2, 2, 2)
    );
    assert!(
        records
            .iter()
            .all(|record| record.encoding == Encoding::Bare)
    );
    assert_eq!(records.len(), 2);
}

#[test]
fn parts_that_never_end_are_given_out() {
    let (records, counts) = decode(
        "2026-11-20T19:06:42.2Z stderr P {\"level\":\"warn\",\"ts\":\"2026-11-20T19:06:42.123Z\",\"msg\":\"a\",\"took\":\"1m",
    );
    assert_eq!((records.len(), counts.unparsed), (1, 0));
    assert_eq!(records[0].msg, "a");
    // The writer died; another line of the same output follows.
    let (records, _) = decode(format!(
        "2026-11-20T19:06:42.2Z stderr P {}\n2026-11-20T19:06:42.2Z stderr F {ZAP}\n",
        &ZAP[..120]
    ));
    assert_eq!(records.len(), 2);
}

#[test]
fn a_stream_cut_anywhere_between_lines_is_joined_again() {
    let half = ZAP.len() / 2;
    let text = format!(
        "2026-11-20T19:06:42.2Z stderr F {ZAP}\n2026-11-20T19:06:42.2Z stderr P {}\n2026-11-20T19:06:42.2Z stderr P {}\n2026-11-20T19:06:42.2Z stderr F {}\n2026-11-20T19:06:42.3Z stderr F {KLOG} diff=<\n2026-11-20T19:06:42.3Z stderr F \tone\n2026-11-20T19:06:42.3Z stderr F  >\n2026-11-20T19:06:42.2Z stderr F {ZAP}\n",
        &ZAP[..half],
        &ZAP[half..half + 5],
        &ZAP[half + 5..]
    );
    let (whole, all) = decode(&text);
    assert_eq!(whole.len(), 4);
    for (at, _) in text.match_indices('\n') {
        let (first, second) = text.split_at(at + 1);
        let mut records = Vec::new();
        let mut one = Decoder::new(context());
        one.block(first.as_bytes(), 1, &mut |record: &Record<'_>| {
            records.push(seen(record))
        });
        let before = one.close();
        let mut later = Vec::new();
        let mut two = Decoder::with_head(context());
        two.block(second.as_bytes(), 1, &mut |record: &Record<'_>| {
            later.push(seen(record))
        });
        let after = two.close();
        let middle = join(before.tail, after.head, context(), &mut |_, record| {
            records.push(seen(record))
        });
        let tail = join(after.tail, None, context(), &mut |_, record| {
            later.push(seen(record))
        });
        records.extend(later);
        let mut counts = before.counts;
        for part in [middle, after.counts, tail] {
            counts.add(&part);
        }
        let bare = |records: &[Seen]| {
            records
                .iter()
                .map(|seen| Seen {
                    lines: (0, 0),
                    ..seen.clone()
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(bare(&records), bare(&whole), "cut at {at}");
        assert_eq!(
            (counts.lines, counts.parsed, counts.unparsed),
            (all.lines, all.parsed, all.unparsed)
        );
        assert_eq!(before.lines + after.lines, all.lines);
    }
}

/// Lines to mix: whole, torn, wrapped, continued.
fn pool() -> Vec<String> {
    let mut pool: Vec<String> = [ZAP, CAPNSLOG, KLOG, CONSOLE]
        .iter()
        .flat_map(|line| wrappers(line).into_iter().map(|(text, _)| text))
        .collect();
    pool.extend(
        [
            &ZAP[..100],
            "}",
            "{",
            "  \"a\": 1,",
            "\tgoroutine",
            "panic: x",
            "goroutine 1 [running]:",
            "",
            "Trace[1]: x",
            "MESSAGE",
            "__CURSOR=1",
            " >",
            "plain text",
        ]
        .map(str::to_owned),
    );
    let json = escaped(ZAP);
    pool.extend([
        format!("[{ZAP},{ZAP}]"),
        format!("[{ZAP},{}", &ZAP[..100]),
        format!(r#"{{"_source":{{"log":"{json}"}}}}"#),
        format!(r#"{{"values":[["1","{json}"],["2","{}"]]}}"#, &json[..60]),
    ]);
    pool
}

/// Every line the slow way, whatever it is.
fn decode_slowly(text: &[u8]) -> (Vec<Seen>, LineCounts) {
    let mut records = Vec::new();
    let mut decoder = Decoder::new(context());
    let mut sink = |record: &Record<'_>| records.push(seen(record));
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    for (number, line) in (1..).zip(text.split(|b| *b == b'\n')) {
        decoder.counts.lines += 1;
        decoder.slow(line, number, &mut sink);
    }
    decoder.finish(&mut sink);
    let counts = decoder.counts();
    (records, LineCounts { slow: 0, ..counts })
}

/// Pieces that lines of other programs and near misses of every wrapper are made of.
const SCRAPS: [&str; 58] = [
    "2026-11-01T00:00:01.000001",
    "2026-11-01T00:00:01.000001Z",
    "2026-11-01t00:00:01.000001Z",
    "2026-11-01T00:00:01+01:00",
    "2026-11-01 00:00:01.000001",
    "2026/11/01 00:00:01",
    "20:04:04.123456",
    ":41.942121",
    "Nov 21 20:04:04",
    "Sat 2026-11-21 20:04:04 UTC",
    "I1121 20:04:04.123456       1 a.go:12]",
    "etcd",
    "etcd[12]:",
    "host",
    "tag:",
    "a/b",
    "x.log:12:",
    "221:",
    "|",
    "W |",
    "stderr F",
    "stdout P",
    " std",
    "<30>",
    "<30>1",
    "{",
    "}",
    "{\"level\":\"warn\",\"msg\":\"x\"}",
    "[pod/a/b]",
    "[ 5123.170712]",
    "[WARNING]",
    "WARNING:",
    "raft2026/11/01 00:00:01",
    "INFO:",
    "time=2026-11-01T00:00:01Z",
    "level=info",
    "ts=1",
    "msg=x",
    "panic:",
    "goroutine 1",
    "runtime:",
    "PC=0x1",
    "exit status 2",
    "main.main()",
    "Trace[12]:",
    "--",
    "^C",
    "\t",
    "\r",
    "\u{1b}[31m",
    "#011",
    "\0",
    "words of a text",
    "took 12.5ms;",
    "1709633475.345678",
    "1.673954235507425e+09\t",
    "ERROR\t",
    "m1 kernel: ",
];

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        max_global_rejects: 100_000,
        ..proptest::prelude::ProptestConfig::with_cases(1000)
    })]

    /// What is told to be free text at once is what the long way finds to be free text.
    #[test]
    fn fast_and_slow_agree_on_lines_of_scraps(
        picks in proptest::collection::vec((0..SCRAPS.len(), 0..3_usize), 1..9)
    ) {
        let mut text = String::new();
        for (pick, space) in picks {
            text.push_str(SCRAPS[pick]);
            text.push_str(["", " ", " "][space]);
        }
        proptest::prop_assume!(bare::is_free_text(text.as_bytes()));
        let (fast, counts) = decode(&text);
        let slow = decode_slowly(text.as_bytes());
        proptest::prop_assert_eq!((fast, LineCounts { slow: 0, ..counts }), slow, "{:?}", text);
    }

    #[test]
    fn fast_and_slow_agree_on_any_text(text in "[A-Za-z0-9 :|\\[\\]/{}\"T.=<>,#-]{1,80}") {
        proptest::prop_assume!(bare::is_free_text(text.as_bytes()));
        let (fast, counts) = decode(&text);
        let slow = decode_slowly(text.as_bytes());
        proptest::prop_assert_eq!((fast, LineCounts { slow: 0, ..counts }), slow, "{:?}", text);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_break_the_law(bytes: Vec<u8>, newlines in proptest::collection::vec(0..200_usize, 0..8)) {
        let mut bytes = bytes;
        for at in newlines {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = b'\n';
            }
        }
        let (_, counts) = decode(&bytes);
        let lines = bytes.split(|b| *b == b'\n').count() - usize::from(bytes.is_empty() || bytes.ends_with(b"\n"));
        proptest::prop_assert_eq!(counts.lines, lines as u64);
    }

    #[test]
    fn damaged_lines_keep_the_law(
        picks in proptest::collection::vec((0..1000_usize, 0..400_usize, proptest::option::of(0..255_u8)), 1..12)
    ) {
        let pool = pool();
        let mut bytes = Vec::new();
        for (pick, at, byte) in picks {
            let mut line = pool[pick % pool.len()].clone().into_bytes();
            let at = at % (line.len() + 1);
            match byte {
                Some(byte) => line.insert(at, byte),
                None => line.truncate(at),
            }
            bytes.extend_from_slice(&line);
            bytes.push(b'\n');
        }
        decode(&bytes);
    }

    #[test]
    fn fast_and_slow_agree_on_damaged_lines(
        picks in proptest::collection::vec((0..1000_usize, 0..400_usize, proptest::option::of(0..255_u8)), 1..6)
    ) {
        let pool = pool();
        let mut bytes = Vec::new();
        for (pick, at, byte) in picks {
            let mut line = pool[pick % pool.len()].clone().into_bytes();
            let at = at % (line.len() + 1);
            match byte {
                Some(byte) => line.insert(at, byte),
                None => line.truncate(at),
            }
            bytes.extend_from_slice(&line);
            bytes.push(b'\n');
        }
        for line in bytes.split(|b| *b == b'\n').filter(|line| bare::is_free_text(line)) {
            let (fast, counts) = decode(line);
            let slow = decode_slowly(line);
            proptest::prop_assert_eq!((fast, LineCounts { slow: 0, ..counts }), slow);
        }
    }

    #[test]
    fn blocks_may_be_split_between_any_lines(
        picks in proptest::collection::vec((0..1000_usize, proptest::bool::ANY), 1..20)
    ) {
        let pool = pool();
        let mut text = String::new();
        let mut blocks = vec![String::new()];
        for (pick, split) in picks {
            let line = format!("{}\n", pool[pick % pool.len()]);
            text.push_str(&line);
            // A wrapper of several lines is split between them too.
            for line in line.split_inclusive('\n') {
                blocks.last_mut().expect("one").push_str(line);
                if split {
                    blocks.push(String::new());
                }
            }
        }
        let (whole, counts) = decode(&text);
        let mut records = Vec::new();
        let mut decoder = Decoder::new(context());
        for block in &blocks {
            let first = decoder.counts().lines + 1;
            decoder.block(block.as_bytes(), first, &mut |record: &Record<'_>| records.push(seen(record)));
        }
        decoder.finish(&mut |record: &Record<'_>| records.push(seen(record)));
        proptest::prop_assert_eq!(records, whole);
        proptest::prop_assert_eq!(decoder.counts(), counts);
    }

    /// What the reader's cuts rest on: a decoder started at a sure start, with no part open
    /// before it, gives the rest of the records.
    #[test]
    fn a_sure_start_ends_all_that_was_open(
        picks in proptest::collection::vec(0..1000_usize, 2..20)
    ) {
        let pool = pool();
        let text: String = picks.iter().map(|pick| format!("{}\n", pool[pick % pool.len()])).collect();
        let (whole, _) = decode(&text);
        let mut cache = TimeCache::default();
        let mut open = [false; 2];
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let start = LineStart::of(line.trim_end_matches('\n').as_bytes(), &mut cache);
            if start.sure && open == [false; 2] && at > 0 {
                let (mut first, _) = decode(&text[..at]);
                let (second, _) = decode(&text[at..]);
                let lines = text[..at].matches('\n').count() as u64;
                first.extend(second.into_iter().map(|seen| Seen { lines: (seen.lines.0 + lines, seen.lines.1 + lines), ..seen }));
                proptest::prop_assert_eq!(&first, &whole, "cut before {}", line);
            }
            if let Some((lane, more)) = start.part {
                open[lane] = more;
            }
            at += line.len();
        }
    }
}
