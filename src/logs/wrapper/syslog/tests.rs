//! Every shape of the journal's and syslog's lines, and what only looks like one.

use super::*;

fn read(text: &str) -> Option<Peeled<'_>> {
    peel(text.as_bytes(), &mut TimeCache::default())
}

/// Text, time, whether it is zoned, host, program, level, inner text.
type Case = (
    &'static str,
    Option<&'static str>,
    bool,
    &'static str,
    &'static str,
    Level,
    &'static str,
);

#[test]
fn every_shape() {
    let now = Timestamp::parse("2026-11-21T21:00:00Z").expect("a time");
    let cases: &[Case] = &[
        (
            "Nov 20 19:06:42 node1 etcd[2586]: {\"a\"",
            Some("2026-11-20T19:06:42Z"),
            false,
            "node1",
            "etcd",
            Level::Unknown,
            "{\"a\"",
        ),
        (
            "Apr  7 16:25:14 del-1 k3s[884]: x",
            Some("2026-04-07T16:25:14Z"),
            false,
            "del-1",
            "k3s",
            Level::Unknown,
            "x",
        ),
        (
            "Dec 07 16:25:14.123456 del-1 k3s[884]: x",
            Some("2025-12-07T16:25:14.123456Z"),
            false,
            "del-1",
            "k3s",
            Level::Unknown,
            "x",
        ),
        (
            "May 24 03:40:24 localhost etcd: y",
            Some("2026-05-24T03:40:24Z"),
            false,
            "localhost",
            "etcd",
            Level::Unknown,
            "y",
        ),
        (
            "2026-11-21T20:04:04+0000 host etcd[1]: y",
            Some("2026-11-21T20:04:04Z"),
            true,
            "host",
            "etcd",
            Level::Unknown,
            "y",
        ),
        (
            "2026-11-21T20:04:04.123456+00:00 h.x rke2-pods: y",
            Some("2026-11-21T20:04:04.123456Z"),
            true,
            "h.x",
            "rke2-pods",
            Level::Unknown,
            "y",
        ),
        (
            "Sat 2026-11-21 20:04:04 UTC host etcd.service[7]: y",
            Some("2026-11-21T20:04:04Z"),
            true,
            "host",
            "etcd.service",
            Level::Unknown,
            "y",
        ),
        (
            "Sat 2026-11-21 20:04:04 CET host etcd[7]: y",
            Some("2026-11-21T19:04:04Z"),
            true,
            "host",
            "etcd",
            Level::Unknown,
            "y",
        ),
        (
            "Sat 2026-11-21 20:04:04 -03 host etcd[7]: y",
            Some("2026-11-21T23:04:04Z"),
            true,
            "host",
            "etcd",
            Level::Unknown,
            "y",
        ),
        (
            "févr. 16 16:01:27 host k3s[7]: y",
            Some("2026-02-16T16:01:27Z"),
            false,
            "host",
            "k3s",
            Level::Unknown,
            "y",
        ),
        (
            "2月 16 16:01:27 host k3s[7]: y",
            Some("2026-02-16T16:01:27Z"),
            false,
            "host",
            "k3s",
            Level::Unknown,
            "y",
        ),
        (
            "<30>mai 16 16:01:27 host k3s[7]: y",
            Some("2026-05-16T16:01:27Z"),
            false,
            "host",
            "k3s",
            Level::Info,
            "y",
        ),
        (
            "2026-02-16 16:01:27 host etcd[7]: y",
            Some("2026-02-16T16:01:27Z"),
            false,
            "host",
            "etcd",
            Level::Unknown,
            "y",
        ),
        (
            // China's or Chicago's.
            "Sat 2026-11-21 20:04:04 CST host etcd[7]: y",
            Some("2026-11-21T20:04:04Z"),
            false,
            "host",
            "etcd",
            Level::Unknown,
            "y",
        ),
        (
            "[ 5123.170712] host etcd[1]: y",
            None,
            false,
            "host",
            "etcd",
            Level::Unknown,
            "y",
        ),
        (
            "[12345.678901 <    0.000123 >] m1 etcd[1]: y",
            None,
            false,
            "m1",
            "etcd",
            Level::Unknown,
            "y",
        ),
        (
            "[    5.678901 <              >] m1 kernel: y",
            None,
            false,
            "m1",
            "kernel",
            Level::Unknown,
            "y",
        ),
        (
            "1709633475.345678 m1 etcd[9]: y",
            Some("2024-03-05T10:11:15.345678Z"),
            true,
            "m1",
            "etcd",
            Level::Unknown,
            "y",
        ),
        (
            "[ 5123.170712] blk_update_request: I/O error",
            None,
            false,
            "",
            "kernel",
            Level::Unknown,
            "blk_update_request: I/O error",
        ),
        (
            "<27>Nov 20 19:06:42 node1 etcd[2586]: y",
            Some("2026-11-20T19:06:42Z"),
            false,
            "node1",
            "etcd",
            Level::Error,
            "y",
        ),
        (
            "<30>1 2026-11-21T20:04:04Z host etcd 12 - [x@1 a=\"]\"][y] y",
            Some("2026-11-21T20:04:04Z"),
            true,
            "host",
            "etcd",
            Level::Info,
            "y",
        ),
        (
            "<30>1 - - etcd - - - y",
            None,
            false,
            "",
            "etcd",
            Level::Info,
            "y",
        ),
        (
            "2025-04-03T17:46:39.169 controller-0 etcd[23910]: warning read-only range",
            Some("2025-04-03T17:46:39.169Z"),
            false,
            "controller-0",
            "etcd",
            Level::Warn,
            "read-only range",
        ),
        (
            "node1 etcd[1657]: y",
            None,
            false,
            "node1",
            "etcd",
            Level::Unknown,
            "y",
        ),
    ];
    for (text, time, zoned, host, ident, level, inner) in cases {
        let peeled = read(text).expect(text);
        let got = peeled
            .time
            .and_then(|time| complete_time(time, YearFrom::NotAfter(now)));
        assert_eq!(got, time.and_then(Timestamp::parse), "{text}");
        assert_eq!(peeled.zoned, *zoned, "{text}");
        assert_eq!(peeled.host.unwrap_or_default(), host.as_bytes(), "{text}");
        assert_eq!(peeled.ident.unwrap_or_default(), ident.as_bytes(), "{text}");
        assert_eq!(peeled.level, *level, "{text}");
        assert_eq!(peeled.text, inner.as_bytes(), "{text}");
    }
}

#[test]
fn what_is_not_wrapped_stays() {
    for text in [
        "2022-07-04T06:35:26.512448489Z starting: the server",
        "2021-05-14 16:47:40.070062 W | wal: sync",
        "etcdserver: read-only range request",
        "Nov is a month",
        "mai is a month",
        "2026-02-16 16:01:27 INFO etcd: y",
        "2026-02-16 16:01:27 host etcd: y",
        "2026-02-16 16:01:27 ERROR worker[7]: y",
        "1709633475.345678 m1 etcd: y",
        "1709633475.345678 ERROR etcd[1]: y",
        "1709633475.34567 m1 etcd[1]: y",
        "170963347.345678 m1 etcd[1]: y",
        "[12345.678901 < x >] m1 etcd[1]: y",
        "<no>",
        "<999>Nov 20 19:06:42 node1 etcd[1]: y",
        "[WARNING] Deprecated",
        "panic: freepages: failed",
        "goroutine 1 [running]:",
        "created by main[1]: no",
    ] {
        assert!(read(text).is_none(), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn never_panics(text: Vec<u8>, tail in "[A-Za-z0-9 :\\[\\]<>T.+-]{0,60}") {
        let mut cache = TimeCache::default();
        let _ = peel(&text, &mut cache);
        let _ = peel(tail.as_bytes(), &mut cache);
        for head in ["<1>", "Nov 20 19:06:42 ", "[ 1.123456] ", "[ 1.123456 < 1.0 >] ", "1709633475.345678 ", "2026-11-21T20:04:04Z "] {
            let text = [head.as_bytes(), tail.as_bytes()].concat();
            let _ = peel(&text, &mut cache);
        }
    }
}
