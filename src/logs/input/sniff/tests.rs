//! What is a log, and what its lines tell before it is read.

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
fn records_without_a_zone_show_the_wrappers_where_they_differ() {
    let line = |host: &str, text: &str| format!("May 26 {host} h etcd[1]: {text}\n");
    let bar = |host| {
        line(
            host,
            "2020-05-26 14:00:13.749838 I | etcdmain: etcd Version: 3.4.2",
        )
    };
    let hour = 4 * QUARTER_US;
    for (host, want) in [
        ("22:00:13", 8 * hour),
        ("08:30:14", -11 * hour / 2),
        ("14:00:13", 0),
    ] {
        let kernel = format!("May 26 {host} h kernel: x\n");
        let text = [bar(host), kernel.repeat(3), bar(host)].concat();
        assert_eq!(told(text.as_bytes()).local_us, want, "{host}");
    }
    // What names its zone tells more.
    let zap = line(
        "22:00:13",
        r#"{"level":"warn","ts":"2020-05-26T22:00:13.325Z","msg":"x"}"#,
    );
    let text = [bar("22:00:13"), bar("22:00:14"), zap].concat();
    assert_eq!(told(text.as_bytes()).local_us, 0);
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
    assert!(matches!(kind(b"PK\x03\x04aaaa"), Kind::Packed(_)));
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
        Kind::Packed(why) | Kind::Other(why) => why.split(':').next().unwrap_or_default(),
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

#[test]
fn years_are_seen_with_lines_that_have_none() {
    let klog = "I1124 19:06:42.071205       1 a.go:1] x\n";
    let zap = |day: &str| {
        format!(
            "{{\"level\":\"warn\",\"ts\":\"{day}T06:42:36.000Z\",\"caller\":\"a.go:1\",\"msg\":\"x\"}}\n"
        )
    };
    let at = |day: &str| Timestamp::parse(&format!("{day}T06:42:36Z")).expect("a time");
    let none = told(klog.as_bytes());
    assert_eq!((none.years, none.dated, none.yearless), (None, None, true));
    let both = told(
        [zap("2020-12-31").as_str(), klog, &zap("2021-01-01")]
            .concat()
            .as_bytes(),
    );
    assert!(both.yearless);
    assert_eq!(both.years, Some((at("2020-12-31"), at("2021-01-01"))));
    assert_eq!(both.dated, Some(at("2020-12-31")));
    // Only far from the beginning.
    let late = [
        klog.repeat(4000),
        zap("2021-01-01").repeat(300),
        klog.repeat(100),
    ]
    .concat();
    assert_eq!(
        told(late.as_bytes()).years.map(|(from, _)| from),
        Some(at("2021-01-01"))
    );
    // A syslog's date beside a zap time is that time's; a clock that was not set is no date.
    let syslog = |inner: &str| format!("Nov 24 19:06:42 host etcd[1]: {inner}");
    assert!(!told(syslog(&zap("2021-11-24")).as_bytes()).yearless);
    assert!(told(syslog("plain text\n").as_bytes()).yearless);
    assert_eq!(told(zap("1970-01-01").as_bytes()).years, None);
    // Google's YAML has the entry's time in a line of its own.
    let yaml = format!(
        "textPayload: '{}'\ntimestamp: '2021-01-01T06:42:36Z'\n",
        klog.trim_end()
    );
    let google = told(yaml.as_bytes());
    assert_eq!(
        (google.dated, google.yearless),
        (Some(at("2021-01-01")), true)
    );
    let column = r#"{"field":"NAME","value":"VALUE"}"#;
    let column = |name: &str, value: &str| column.replace("NAME", name).replace("VALUE", value);
    let insights = format!(
        "{{\n\"results\": [\n[\n{},\n{}\n]]}}\n",
        column("@timestamp", "2021-01-01 06:42:36.000"),
        column("@message", klog.trim_end()),
    );
    let columns = told(insights.as_bytes());
    assert_eq!(
        (columns.dated, columns.yearless),
        (Some(at("2021-01-01")), true)
    );
}

#[test]
fn a_batch_of_audit_records_is_a_log_however_long_it_is() {
    let event = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"a","stage":"ResponseComplete"}"#;
    let of = |api: &str| {
        let items = vec![event; 400].join(",");
        let list = format!(r#"{{"kind":"EventList","apiVersion":"{api}","items":[{items}]}}"#);
        assert!(list.len() > HEAD);
        look(list.as_bytes()).0
    };
    assert_eq!(of("audit.k8s.io/v1"), Kind::Log);
    assert_eq!(of("v1"), Kind::Text);
    assert_eq!(look(format!("[{event},{event}]").as_bytes()).0, Kind::Log);
}
