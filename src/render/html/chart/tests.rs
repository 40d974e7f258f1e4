//! Charts.

use super::*;
use crate::evidence::Bucket;

fn fsync() -> Histogram {
    Histogram {
        buckets: [(1.0, 0.0), (2.0, 90.0), (4.0, 9.0), (8.0, 0.0), (16.0, 1.0)]
            .into_iter()
            .chain([(f64::INFINITY, 0.0)])
            .map(|(le, count)| Bucket { le, count })
            .collect(),
        sum: 160.0,
        max: None,
    }
}

#[test]
fn a_histogram_says_its_brackets_and_its_limit() {
    let svg = histogram("WAL fsync", &fsync(), Some(10.0)).unwrap();
    assert!(svg.contains("p50 1 ms to 2 ms"), "{svg}");
    assert!(svg.contains("p99 2 ms to 4 ms"), "{svg}");
    assert!(svg.contains("limit 10 ms"));
    assert!(svg.contains("8 ms to 16 ms: 1"));
    assert_eq!(histogram("x", &Histogram::default(), None), None);
}

#[test]
fn an_open_last_bucket_is_said_as_such() {
    let open = Histogram {
        buckets: vec![
            Bucket {
                le: 8000.0,
                count: 1.0,
            },
            Bucket {
                le: f64::INFINITY,
                count: 9.0,
            },
        ],
        sum: 90_000.0,
        max: None,
    };
    let svg = histogram("x", &open, None).unwrap();
    assert!(svg.contains("p99 over 8 s"), "{svg}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

#[test]
fn the_curve_says_what_four_kilobytes_take() {
    let at = |bytes, p50, p99| Size { bytes, p50, p99 };
    let sizes = [
        at(65536.0, 1.0, 4.0),
        at(512.0, 0.4, 1.5),
        at(4096.0, 0.5, 20.0),
        // Made up: left out.
        at(-1.0, 1.0, 2.0),
        at(1024.0, f64::NAN, 2.0),
    ];
    let svg = curve("Sync", &sizes, Some(10.0)).unwrap();
    assert!(
        svg.contains("<desc>at 4 KiB: p50 500 µs, p99 20 ms; from 512 B"),
        "{svg}"
    );
    assert_eq!(svg.matches("bar over").count(), 1);
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    assert_eq!(curve("none", &[], None), None);
}

#[test]
fn labels_are_escaped() {
    let at = Timestamp::from_secs(1_700_000_000);
    let lanes = [Lane {
        label: "<b>".to_owned(),
        class: "fault",
        spans: vec![Span {
            from: at,
            to: at,
            words: "\"><script>".to_owned(),
        }],
    }];
    for narrow in [false, true] {
        let svg = timeline("<t>", &lanes, narrow).unwrap();
        assert!(!svg.contains("<b>") && !svg.contains("<script>") && !svg.contains("<t>"));
        assert_eq!(timeline("none", &[], narrow), None);
    }
}
