//! Reading scrapes of every age, and what is damaged.

use super::*;
use proptest::prelude::*;

/// Name, labels, value, time.
type Seen = (String, Vec<(String, String)>, f64, Option<i64>);

#[derive(Default)]
struct All {
    seen: Vec<Seen>,
    families: Vec<(String, String)>,
    refuse: Option<&'static [u8]>,
}

impl Sink for All {
    fn wants(&mut self, name: &[u8]) -> bool {
        self.refuse != Some(name)
    }
    fn family(&mut self, name: &[u8], kind: &[u8]) {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        self.families.push((text(name), text(kind)));
    }
    fn sample(&mut self, sample: &Sample<'_, '_>) {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        self.seen.push((
            text(sample.name),
            sample
                .labels
                .iter()
                .map(|l| (text(l.name), text(&l.value())))
                .collect(),
            sample.value,
            sample.timestamp_ms,
        ));
    }
}

fn read(text: &str) -> (All, Stats) {
    let mut all = All::default();
    let stats = scan(text.as_bytes(), &mut all);
    (all, stats)
}

fn adds_up(stats: &Stats) -> bool {
    stats.blank + stats.comments + stats.samples + stats.skipped + stats.garbage + stats.torn
        == stats.lines
}

#[test]
fn reads_samples_of_every_form() {
    let (all, stats) = read(concat!(
        "# HELP a help text\n",
        "# TYPE a counter\n",
        "a 1\n",
        "a{} 2\r\n",
        "a{x=\"1\",y=\"\"} 3.5e+2 1700000000123\n",
        "a{x=\"q\\\"b\\\\n\\n}\",} NaN\n",
        "a { x = \"1\" , y = \"2\" }   +Inf\n",
        "\n",
        "b_bucket{le=\"+Inf\"} 7 # {trace_id=\"abc\"} 0.67 1520879607.789\n",
        "b_bucket{le=\"1.0\"} 7 1520879607.789 # {trace_id=\"abc\"} 0.67\n",
        "c -Inf 1520879607\n",
        "# UNIT b seconds\n",
        "# EOF\n",
    ));
    assert_eq!(stats.samples, 8);
    assert_eq!(stats.garbage, 0);
    assert!(stats.eof && adds_up(&stats));
    assert_eq!(all.families, [("a".to_owned(), "counter".to_owned())]);
    assert_eq!(all.seen[2].2, 350.0);
    assert_eq!(all.seen[2].3, Some(1_700_000_000_123));
    assert_eq!(all.seen[3].1, [("x".to_owned(), "q\"b\\n\n}".to_owned())]);
    assert!(all.seen[3].2.is_nan());
    assert_eq!(all.seen[4].1.len(), 2);
    assert_eq!(all.seen[4].2, f64::INFINITY);
    assert_eq!(all.seen[5].3, None);
    assert_eq!(all.seen[6].3, Some(1_520_879_607_789));
    assert_eq!(all.seen[7].3, Some(1_520_879_607_000));
}

#[test]
fn a_cut_number_is_not_used() {
    let (all, stats) = read("a 1\na 12");
    assert_eq!(all.seen.len(), 1);
    assert_eq!((stats.samples, stats.torn), (1, 1));
    assert!(adds_up(&stats));
}

#[test]
fn garbage_is_counted_and_stops_nothing() {
    let (all, stats) = read(concat!(
        "a 1\n",
        "a{x=\"1\" 2\n",
        "a{x=1} 2\n",
        "a{x=\"1\"}\n",
        "a one\n",
        "a 1 2 3\n",
        "9a 1\n",
        "a\n",
        "-bash: curl: command not found\n",
        "a 2\n",
    ));
    assert_eq!(stats.garbage, 8);
    assert_eq!(all.seen.len(), 2);
    assert!(adds_up(&stats));
}

#[test]
fn buckets_of_one_series_and_of_the_next() {
    let (all, stats) = read(concat!(
        "h_bucket{a=\"1\",le=\"1\"} 1\n",
        "h_bucket{a=\"1\",le=\"+Inf\"} 2 1700000000123\n",
        "h_bucket{a=\"1\",le=\"broken} 3\n",
        "h_bucket{a=\"2\",le=\"1\"} 4\n",
        "h_bucket{a=\"2\",le=\"2\",b=\"x\"} 5\n",
        "h_bucket{a=\"2\",le=\"2\",b=\"y\"} 6\n",
        "h_sum{a=\"2\"} 7\n",
        "h_bucket{le=\"1\"} 8\n",
        "h_bucket{le=\"2\"} 9 # {t=\"x\"} 1\n",
    ));
    assert_eq!((stats.samples, stats.garbage), (8, 1));
    let bounds: Vec<(String, f64)> = all
        .seen
        .iter()
        .map(|(_, labels, value, _)| {
            let text: Vec<String> = labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
            (text.join(","), *value)
        })
        .collect();
    let expected = [
        ("a=1,le=1", 1.0),
        ("a=1,le=+Inf", 2.0),
        ("a=2,le=1", 4.0),
        ("a=2,le=2,b=x", 5.0),
        ("a=2,le=2,b=y", 6.0),
        ("a=2", 7.0),
        ("le=1", 8.0),
        ("le=2", 9.0),
    ];
    assert_eq!(
        bounds,
        expected.map(|(text, value)| (text.to_owned(), value))
    );
    assert_eq!(all.seen[1].3, Some(1_700_000_000_123));
}

#[test]
fn unwanted_names_are_skipped_and_counted() {
    let mut all = All {
        refuse: Some(b"a"),
        ..All::default()
    };
    let stats = scan(b"a 1\na{x=\"1\"} 2\nb 3\n", &mut all);
    assert_eq!((stats.skipped, stats.samples), (2, 1));
}

#[test]
fn pages_that_are_not_metrics_are_named() {
    assert_eq!(sniff(b""), Some(NotMetrics::Empty));
    assert_eq!(sniff(b" \r\n"), Some(NotMetrics::Empty));
    assert_eq!(sniff(b"404 page not found\n"), Some(NotMetrics::NotFound));
    assert_eq!(
        sniff(b"<!DOCTYPE html><html><title>Log in</title>"),
        Some(NotMetrics::Html("Log in".to_owned()))
    );
    assert_eq!(
        sniff(b"{\"kind\":\"Status\",\"message\":\"forbidden: User \\\"x\\\"\"}"),
        Some(NotMetrics::Json("forbidden: User \\".to_owned()))
    );
    assert_eq!(
        sniff(b"Client sent an HTTP request to an HTTPS server.\n"),
        Some(NotMetrics::Other(
            "Client sent an HTTP request to an HTTPS server.".to_owned()
        ))
    );
    assert_eq!(sniff(b"# HELP a b\n"), None);
    assert_eq!(sniff(b"a 1\n"), None);
    // A shell message above a good scrape does not make it useless.
    assert_eq!(sniff(b"warning: something\na 1\n"), None);
}

proptest! {
    #[test]
    fn never_panics_never_loses_count(text: Vec<u8>) {
        let mut all = All::default();
        let stats = scan(&text, &mut all);
        prop_assert!(adds_up(&stats));
        prop_assert_eq!(all.seen.len() as u64, stats.samples);
        sniff(&text);
    }

    #[test]
    fn near_misses_never_panic(text in r#"[a{}="\\,# 1\n\r.+-]{0,80}"#) {
        let (all, stats) = read(&text);
        prop_assert!(adds_up(&stats));
        prop_assert_eq!(all.seen.len() as u64, stats.samples);
    }

    #[test]
    fn what_is_written_is_read(
        value in prop::num::f64::ANY,
        label in "[^\\n]{0,20}",
        time in prop::option::of(1_000_000_000_000i64..9_000_000_000_000),
    ) {
        let escaped = label.replace('\\', "\\\\").replace('"', "\\\"");
        let stamp = time.map_or(String::new(), |t| format!(" {t}"));
        let (all, stats) = read(&format!("m{{l=\"{escaped}\"}} {value}{stamp}\n"));
        prop_assert_eq!(stats.samples, 1);
        prop_assert_eq!(&all.seen[0].1[0].1, &label);
        prop_assert!(all.seen[0].2 == value || (value.is_nan() && all.seen[0].2.is_nan()));
        prop_assert_eq!(all.seen[0].3, time);
    }

    #[test]
    fn a_cut_text_yields_a_prefix_of_its_samples(cut in 0usize..60) {
        let text = "# TYPE a counter\na{x=\"1\"} 10\na{x=\"2\"} 205\nb 31\n";
        let (whole, _) = read(text);
        let (part, stats) = read(text.get(..cut.min(text.len())).unwrap());
        prop_assert!(whole.seen.starts_with(&part.seen));
        prop_assert!(adds_up(&stats));
    }
}
