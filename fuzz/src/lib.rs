//! What each fuzz target does with its input: feed it to a parser and hold the parser to its
//! promises. Never panics, loses no line, gives the same answer however the input is cut.

use etcd_doctor::bundle;
use etcd_doctor::catalog::resources::{parse_bare_key, parse_key};
use etcd_doctor::catalog::settings::Component;
use etcd_doctor::clock::Timestamp;
use etcd_doctor::formats::inflate::{Inflate, Limits as InflateLimits};
use etcd_doctor::formats::mountinfo::{parse_mountinfo, parse_mounts};
use etcd_doctor::formats::prometheus::{Label, Sample, Sink, scan, sniff};
use etcd_doctor::host::kernel_log;
use etcd_doctor::logs::decode::{DecodeContext, Decoder, LineCounts};
use etcd_doctor::logs::record::Record;
use etcd_doctor::logs::request::{
    parse_detail, parse_request, parse_response, parse_step, unescape,
};
use etcd_doctor::logs::signature::{Detail, classify};
use etcd_doctor::logs::timestamp::TimeCache;
use etcd_doctor::logs::{audit, wrapper};
use etcd_doctor::manifest::{self, model_of_text};
use etcd_doctor::metrics::{self, Hint, Limits, Loader};

/// A target by its name.
pub struct Target {
    /// Its name: the file in `fuzz_targets/` and the folder in `seeds/`.
    pub name: &'static str,
    /// What it does with an input.
    pub run: fn(&[u8]),
}

/// All targets, sorted by name.
pub const TARGETS: &[Target] = &[
    Target {
        name: "audit",
        run: audit_line,
    },
    Target {
        name: "bundle",
        run: bundle_file,
    },
    Target {
        name: "classify",
        run: classify_lines,
    },
    Target {
        name: "decode",
        run: decode,
    },
    Target {
        name: "ebs",
        run: ebs,
    },
    Target {
        name: "ftrace",
        run: ftrace,
    },
    Target {
        name: "inflate",
        run: inflate,
    },
    Target {
        name: "kernel",
        run: kernel,
    },
    Target {
        name: "key",
        run: key,
    },
    Target {
        name: "manifest",
        run: manifest_file,
    },
    Target {
        name: "metrics",
        run: metrics_file,
    },
    Target {
        name: "mountinfo",
        run: mountinfo,
    },
    Target {
        name: "prometheus",
        run: prometheus,
    },
    Target {
        name: "request",
        run: request,
    },
    Target {
        name: "summary",
        run: summary_file,
    },
    Target {
        name: "wal",
        run: wal,
    },
    Target {
        name: "wrapper",
        run: wrapper_line,
    },
    Target {
        name: "x509",
        run: x509,
    },
];

/// Certificates: no more are read of a text than it has beginnings, what is read of DER is read again the
/// same behind other bytes' end, and a moment is outside of the validity exactly when something is said.
pub fn x509(data: &[u8]) {
    use etcd_doctor::formats::x509::Certificate;
    let all = Certificate::of_pem(data);
    let begins = String::from_utf8_lossy(data).matches("-----BEGIN").count();
    assert!(all.len() <= begins, "{} of {begins}", all.len());
    let Some(certificate) = Certificate::parse(data) else {
        return;
    };
    let mut longer = data.to_vec();
    longer.extend_from_slice(b"more");
    assert_eq!(Certificate::parse(&longer).as_ref(), Some(&certificate));
    let valid = certificate.not_before <= certificate.not_after;
    for moment in [certificate.not_before, certificate.not_after] {
        assert!(!valid || certificate.trouble_at(moment).is_none());
    }
}

/// A segment of a write-ahead log: the valid part never ends beyond the input, a cut loses no
/// record before it, and batches hold every entry.
pub fn wal(data: &[u8]) {
    use etcd_doctor::formats::wal::{Batcher, End, Kind, Reader, parse_entry, parse_state};
    let read = |data: &[u8]| {
        let mut reader = Reader::new(data);
        let mut batcher = Batcher::default();
        let (mut offsets, mut entries, mut batched) = (Vec::new(), 0u64, 0u64);
        while let Some(record) = reader.next() {
            offsets.push(record.offset);
            match record.kind {
                Kind::Entry => {
                    entries += 1;
                    let _ = parse_entry(record.data);
                }
                Kind::State => {
                    let _ = parse_state(record.data);
                }
                _ => {}
            }
            if let Some(batch) = batcher.push(&record) {
                batched += u64::from(batch.entries);
            }
        }
        batched += batcher.finish().map_or(0, |batch| u64::from(batch.entries));
        assert_eq!(entries, batched, "entries of all batches");
        assert!(
            reader.offset() <= data.len() as u64,
            "an end beyond the input"
        );
        let unreadable = matches!(reader.end(), Some(End::Unreadable { .. }) | None);
        assert!(!unreadable, "memory can be read");
        (offsets, reader.offset())
    };
    let (whole, end) = read(data);
    let half = data.get(..data.len() / 2).unwrap_or_default();
    let (part, _) = read(half);
    assert_eq!(
        whole.get(..part.len()),
        Some(part.as_slice()),
        "a cut changed what is before it"
    );
    assert!(
        whole.last().is_none_or(|last| *last < end),
        "a record without length"
    );
}

/// The log page of an Amazon volume, and the difference of two.
pub fn ebs(data: &[u8]) {
    if let Some(page) = etcd_doctor::formats::ebs::parse(data) {
        let still = page.since(&page).map(|delta| delta.exceeded_us());
        assert_eq!(still, Some(0), "no time passed");
    }
}

/// Lines of the kernel's trace.
pub fn ftrace(data: &[u8]) {
    use etcd_doctor::formats::ftrace::{parse, parse_lost};
    for line in data.split(|byte| *byte == b'\n') {
        let _ = parse(line);
    }
    let _ = parse_lost(&String::from_utf8_lossy(data));
}

fn lines_of(data: &[u8]) -> u64 {
    let ends = data.iter().filter(|byte| **byte == b'\n').count();
    let rest = usize::from(!data.is_empty() && !data.ends_with(b"\n"));
    (ends + rest) as u64
}

fn decoder() -> Decoder {
    Decoder::new(DecodeContext {
        reference: Some(Timestamp::from_secs(1_800_000_000)),
        ..DecodeContext::default()
    })
}

fn decoded(blocks: &[&[u8]], sink: &mut impl FnMut(&Record<'_>)) -> LineCounts {
    let mut decoder = decoder();
    let mut line = 1;
    for block in blocks {
        decoder.block(block, line, sink);
        line = decoder.counts().lines + 1;
    }
    decoder.finish(sink);
    decoder.counts()
}

/// Log lines in any wrapper and encoding: every line is parsed or unparsed, and the cut between
/// two blocks changes nothing.
pub fn decode(data: &[u8]) {
    let mut whole = Vec::new();
    let counts = decoded(&[data], &mut |record| whole.push(print(record)));
    assert_eq!(counts.lines, lines_of(data), "lines");
    assert_eq!(
        counts.parsed + counts.unparsed,
        counts.lines,
        "no line is lost"
    );
    assert_eq!(counts.records, whole.len() as u64, "records");
    let middle = data.len() / 2;
    let Some(cut) = data[..middle].iter().rposition(|byte| *byte == b'\n') else {
        return;
    };
    let (left, right) = data.split_at(cut + 1);
    let mut parts = Vec::new();
    let again = decoded(&[left, right], &mut |record| parts.push(print(record)));
    assert_eq!(again, counts, "a cut changes the counts");
    assert_eq!(parts, whole, "a cut changes the records");
}

fn print(record: &Record<'_>) -> String {
    assert!(record.line >= 1 && record.line <= record.line_end);
    format!("{record:?}")
}

/// Records to events, and that names and values are what output can hold.
pub fn classify_lines(data: &[u8]) {
    decoded(&[data], &mut |record| {
        for detail in [Detail::Counts, Detail::Full] {
            let Some(event) = classify(record, detail) else {
                continue;
            };
            assert_eq!((event.line, event.line_end), (record.line, record.line_end));
            assert!(!event.kind.is_empty());
            if let Some(request) = &event.request {
                let _ = request.parts.resource_group();
            }
        }
    });
}

/// One wrapper after the other: what is inside is never longer than what is around it.
pub fn wrapper_line(data: &[u8]) {
    let mut cache = TimeCache::default();
    let mut text = data;
    for _ in 0..32 {
        let Some(peeled) = wrapper::peel(text, &mut cache) else {
            break;
        };
        assert!(
            peeled.text.len() < text.len(),
            "a wrapper takes something off"
        );
        text = peeled.text;
    }
}

/// Texts of requests, answers and traces as log lines hold them.
pub fn request(data: &[u8]) {
    let request = parse_request(data);
    let _ = request.parts.resource_group();
    let _ = parse_response(data);
    let _ = parse_detail(data);
    let _ = parse_step(data);
    assert!(unescape(data).len() <= data.len(), "unescaping never grows");
}

/// etcd keys.
pub fn key(data: &[u8]) {
    for parts in [parse_key(data), parse_bare_key(data)] {
        let group = parts.resource_group().into_owned();
        assert_eq!(parts.into_owned().resource_group(), group);
    }
}

/// Audit records.
pub fn audit_line(data: &[u8]) {
    if let Some(record) = audit::parse(data) {
        let _ = record.latency_ns();
    }
}

struct All<'t> {
    text: &'t [u8],
    samples: u64,
}

impl Sink for All<'_> {
    fn wants(&mut self, name: &[u8]) -> bool {
        // Some are not wanted, so that skipping is exercised.
        !name.len().is_multiple_of(3)
    }
    fn family(&mut self, _: &[u8], _: &[u8]) {}
    fn sample(&mut self, sample: &Sample<'_, '_>) {
        self.samples += 1;
        assert!(sample.name.len() <= self.text.len());
        for label in sample.labels {
            let _ = Label::value(label);
        }
    }
}

/// Prometheus text: every line is accounted for.
pub fn prometheus(data: &[u8]) {
    let mut sink = All {
        text: data,
        samples: 0,
    };
    let _ = sniff(data);
    let stats = scan(data, &mut sink);
    assert_eq!(stats.samples, sink.samples);
    let known = stats.blank + stats.comments + stats.all_samples() + stats.garbage + stats.torn;
    assert_eq!(known, stats.lines, "no line is lost: {stats:?}");
}

/// Scrapes or a Prometheus answer on their way to evidence: the same text twice, and its halves.
pub fn metrics_file(data: &[u8]) {
    let halves = data.split_at(data.len() / 2);
    for (first, second) in [(data, data), halves] {
        let mut loader = Loader::new(Limits::default());
        loader.add(
            "etcd-m0-20270115T080000Z.prom",
            "a",
            first,
            &Hint::default(),
        );
        loader.add(
            "etcd-m0-20270115T080030Z.prom",
            "b",
            second,
            &Hint::default(),
        );
        let _ = metrics::collect(&loader.finish());
    }
}

/// Manifests, unit files and configurations, told by their name; the first line of the input is
/// the name.
pub fn manifest_file(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (name, text) = text.split_once('\n').unwrap_or(("etcd.yaml", &text));
    let _ = manifest::collect(&model_of_text(name, text));
    let _ = manifest::effective_of_text(Component::Etcd, name, text);
}

/// Mount tables.
pub fn mountinfo(data: &[u8]) {
    for table in [parse_mountinfo(data), parse_mounts(data)] {
        let _ = table.of_path("/var/lib/etcd/member/wal");
    }
}

/// Kernel logs: every line is looked at once.
pub fn kernel(data: &[u8]) {
    let now = Some(Timestamp::from_secs(1_800_000_000));
    for form in [kernel_log::Form::Kernel, kernel_log::Form::Syslog] {
        let log = kernel_log::parse("dmesg", data, form, now, now, &["sda".to_owned()]);
        let found: u64 = log.kinds.values().map(|kind| kind.count + kind.older).sum();
        assert!(found <= log.lines, "a line is one message: {log:?}");
    }
}

/// Saved runs: what can be loaded can be saved and loaded again.
pub fn bundle_file(data: &[u8]) {
    let Ok(loaded) = bundle::load(data) else {
        return;
    };
    let mut saved = Vec::new();
    bundle::save(&mut saved, loaded.at, &loaded.evidence, &loaded.notes).expect("memory");
    let again = bundle::load(saved.as_slice()).expect("what was saved can be read");
    assert_eq!(again.evidence.len(), loaded.evidence.len());
}

/// Saved summaries of logs: what can be read can be merged with itself, looked at, and saved again.
pub fn summary_file(data: &[u8]) {
    use etcd_doctor::logs::{collect, summary::Summary, view::View};
    let Ok(summary) = Summary::load(data) else {
        return;
    };
    let mut merged = Summary::load(data).expect("it was read just now");
    merged.merge_all(vec![summary.clone()]);
    for mut summary in [summary, merged] {
        let mut saved = Vec::new();
        summary.save(&mut saved).expect("memory");
        summary.close();
        let _ = View::of(&summary);
        let _ = collect(&summary, "summary.json");
        Summary::load(saved.as_slice()).expect("what was saved can be read");
    }
}

/// Compressed files, bounded.
pub fn inflate(data: &[u8]) {
    let limits = InflateLimits {
        bytes: 1 << 20,
        ..InflateLimits::default()
    };
    let Ok(mut reader) = Inflate::new(data, limits) else {
        return;
    };
    let mut sink = Vec::new();
    let _ = std::io::Read::read_to_end(&mut reader, &mut sink);
    assert!(sink.len() as u64 <= limits.bytes, "the limit holds");
    assert_eq!(reader.bytes_out(), sink.len() as u64);
}
