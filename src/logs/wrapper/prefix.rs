//! Loose prefixes: what kubectl, talosctl, compose, stern and grep put before a line. They have
//! no shape of their own, so each is taken off only where a record or a strict wrapper follows.

use memchr::memchr;

use crate::logs::format::klog::quote_end;
use crate::logs::format::level_word;
use crate::logs::format::object;
use crate::logs::needle;
use crate::logs::signature::is_message;
use crate::logs::timestamp::{Stamp, TimeCache, zone};
use crate::logs::writer;

use super::{Peeled, is_strict, may_hold, plausible};

/// Longest prefix that is believed.
const PREFIX_MAX: usize = 512;

/// Most labels, with their values, that are believed.
const LABELS_MAX: usize = 4096;

/// Takes one prefix off.
pub fn peel<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    let strict = stamped(text, cache)
        .or_else(|| downloaded(text, cache))
        .or_else(|| labelled(text))
        .or_else(|| tagged(text, cache))
        .or_else(|| listed(text))
        .or_else(|| numbered(text, cache));
    if strict.is_some() {
        return strict;
    }
    if !may_hold(text) {
        return None;
    }
    kail(text, cache)
        .or_else(|| bracketed(text, cache))
        .or_else(|| columns(text, cache))
        .or_else(|| coloned(text, cache))
        .or_else(|| bulleted(text, cache))
        .or_else(|| worded(text, cache))
}

/// `2022-07-04T06:35:26.512448489Z text` of `kubectl logs --timestamps` and must-gather, and
/// `2023-05-15T05:20:07.955Z | text` of log viewers.
pub(super) fn stamped<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    let (stamp, rest) = stamp(text, cache)?;
    // Nanoseconds with a zone are a shape of their own; fewer digits need a record after them, or what
    // is left of one where only times and messages were exported.
    if stamp.digits < 7 && !stands_behind_times(rest, cache) && !is_message(rest) {
        return None;
    }
    Some(Peeled {
        time: Some(stamp.time),
        zoned: true,
        ..Peeled::text(rest)
    })
}

/// `1709633474346 TAB 2024-03-05T10:11:14.346Z TAB text`, which Grafana gives for a download as text.
fn downloaded<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    let (head, rest) = text.split_first_chunk::<14>()?;
    let (millis, tab) = head.split_first_chunk::<13>()?;
    if tab != b"\t" || !millis.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let stamp = cache.iso(rest)?;
    let text = rest.get(stamp.len..)?.strip_prefix(b"\t")?;
    stamp.zoned.then_some(Peeled {
        time: Some(stamp.time),
        zoned: true,
        ..Peeled::text(text)
    })
}

/// A time with its zone, and what follows it.
fn stamp<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<(Stamp, &'a [u8])> {
    if !text.first()?.is_ascii_digit() || text.get(10) != Some(&b'T') {
        return None;
    }
    let stamp = cache.iso(text)?;
    if !stamp.zoned {
        return None;
    }
    let rest = text.get(stamp.len..)?.strip_prefix(b" ")?;
    Some((stamp, rest.strip_prefix(b"| ").unwrap_or(rest)))
}

/// Whether a record or a strict wrapper stands here, or behind a few times more.
fn stands_behind_times(text: &[u8], cache: &mut TimeCache) -> bool {
    /// More of them are no line's wrappers.
    const TIMES: usize = 4;
    let mut rest = text;
    for _ in 0..TIMES {
        if is_strict(rest, cache) || labelled(rest).is_some() {
            return true;
        }
        match stamp(rest, cache) {
            Some((stamp, inner)) if stamp.digits < 7 => rest = inner,
            Some(_) => return true,
            // `aws logs tail` has the stream's name behind the time.
            None => return word(rest).is_some_and(|(_, rest)| is_strict(rest, cache)),
        }
    }
    false
}

/// `12 TAB text` of `cat -n` and `nl`.
fn numbered<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    let len = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let rest = text.get(len..)?.strip_prefix(b"\t")?;
    (len > 0 && plausible(rest, cache)).then_some(Peeled::text(rest))
}

/// `2026-11-21 19:32:33 +0000 tag: {…}` and, with tabs, `2026-11-21T19:32:33+00:00 tag {…}` of
/// fluentd's outputs.
fn tagged<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    if !text.first()?.is_ascii_digit() {
        return None;
    }
    let stamp = cache.iso(text)?;
    let mut rest = text.get(stamp.len..)?;
    let mut time = stamp.time;
    let mut zoned = stamp.zoned;
    if let (false, Some(after)) = (zoned, rest.strip_prefix(b" "))
        && let Some((offset_us, len)) = zone(after)
    {
        time = time.add_us(-offset_us);
        zoned = true;
        rest = after.get(len..)?;
    }
    let (end, inner) = match rest.split_first()? {
        (b' ', rest) => (&b": "[..], rest),
        (b'\t', rest) => (&b"\t"[..], rest),
        _ => return None,
    };
    let space = |b: &u8| b.is_ascii_whitespace();
    let first = inner.get(..inner.len().min(PREFIX_MAX))?;
    let len = (first.iter().position(space)? + 1).checked_sub(end.len())?;
    let (tag, inner) = inner.split_at_checked(len)?;
    let inner = inner.strip_prefix(end)?;
    (len > 0 && object::starts(inner)).then_some(Peeled {
        time: Some(time),
        zoned,
        name: names_writer(tag).then_some(tag),
        ..Peeled::text(inner)
    })
}

/// `{container="etcd", pod="etcd-x"} text` of logcli, which leaves out the labels that all lines
/// share: `{} text`.
fn labelled(text: &[u8]) -> Option<Peeled<'_>> {
    let head = text.get(..text.len().min(LABELS_MAX))?;
    let mut rest = head.strip_prefix(b"{")?;
    let (mut container, mut pod, mut app) = (None, None, None);
    let name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'/' | b':');
    while rest.first() != Some(&b'}') {
        let len = rest.iter().position(|b| !name(b)).filter(|len| *len > 0)?;
        let (label, after) = rest.split_at(len);
        let value = after.strip_prefix(b"=\"")?;
        let end = quote_end(value, 0)?;
        match label {
            b"container" => container = value.get(..end),
            b"pod" => pod = value.get(..end),
            b"app" | b"app_kubernetes_io_name" | b"component" => app = app.or(value.get(..end)),
            _ => {}
        }
        rest = value.get(end + 1..)?;
        if let Some(after) = rest.strip_prefix(b",") {
            rest = after.trim_ascii_start();
        }
    }
    rest.strip_prefix(b"} ")?;
    let inner = text.get(head.len() - rest.len() + 2..)?;
    let [container, app, pod] =
        [container, app, pod].map(|name| name.filter(|name| names_writer(name)));
    Some(Peeled {
        ident: writer::surest([container, app], pod),
        // Pods of one name each are as many writers.
        host: pod,
        name: pod,
        ..Peeled::text(inner.trim_ascii_start())
    })
}

/// `[{…},{…}]` of exports: the objects come one after the other.
fn listed(text: &[u8]) -> Option<Peeled<'_>> {
    let inner = text.get(1..).filter(|_| object::starts_list(text))?;
    Some(Peeled::text(inner))
}

/// `[pod/etcd-x/etcd] text` of `kubectl logs --prefix`.
fn bracketed<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    let inner = text.strip_prefix(b"[")?;
    let end = memchr(b']', inner.get(..inner.len().min(PREFIX_MAX))?)?;
    let (name, rest) = inner.split_at(end);
    let rest = rest.strip_prefix(b"] ")?;
    let slashes = name.iter().filter(|b| **b == b'/').count();
    let strict = name.starts_with(b"pod/") && slashes == 2;
    if !strict && !plausible(rest, cache) {
        return None;
    }
    // A pod's container is named with its pod: many are called `manager`.
    let ident = match strict {
        true => Some(name),
        false => name.rsplit(|b| *b == b'/').next(),
    };
    Some(Peeled {
        ident: ident.filter(|name| names_writer(name)),
        name: names_writer(name).then_some(name),
        ..Peeled::text(rest)
    })
}

/// `kube-system/etcd-x[etcd]: text` of kail.
fn kail<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    let head = text.get(..text.len().min(PREFIX_MAX))?;
    let end = needle::PID_END.find(head)?;
    let before = head.get(..end)?;
    let (slash, open) = (memchr(b'/', before)?, memchr(b'[', before)?);
    let namespace = before.get(..slash)?;
    let (pod, container) = (before.get(slash + 1..open)?, before.get(open + 1..)?);
    let named = [namespace, pod, container]
        .iter()
        .all(|name| !name.is_empty() && is_object_name(name));
    let rest = text.get(end..)?.strip_prefix(b"]: ")?.trim_ascii_start();
    (named && plausible(rest, cache)).then_some(Peeled {
        // The pod and its container.
        ident: before.get(slash + 1..),
        name: Some(pod),
        ..Peeled::text(rest)
    })
}

/// `etcd2   | text` of docker compose, and tables: ` a | b | 2025-… UTC | text`.
fn columns<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    let head = text.get(..text.len().min(PREFIX_MAX))?;
    let mut name: Option<&[u8]> = None;
    // The first one is the service or the pod.
    let mut writer: Option<&[u8]> = None;
    for bar in needle::BAR_END.find_iter(head).take(6) {
        let column = head.get(..bar)?.rsplit(|b| *b == b'|').next()?.trim_ascii();
        let rest = text.get(bar + 2..)?;
        let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
        if !column.is_empty() && column.iter().all(plain) {
            name = Some(column);
            writer = writer.or(Some(column).filter(|column| names_writer(column)));
        }
        if plausible(rest, cache) {
            return Some(Peeled {
                // A column of words would be another writer at each line.
                ident: name.filter(|name| names_writer(name)),
                name: writer,
                ..Peeled::text(rest)
            });
        }
    }
    None
}

/// `path:text`, `221:text`, `path:221:text`, `path-221-text` of grep and rg, and talosctl's
/// `10.0.0.1: text`.
fn coloned<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    // `"name": {` goes on with an object that is printed over several lines.
    let head = text.get(..text.len().min(PREFIX_MAX))?;
    if head.first() == Some(&b'"') {
        return None;
    }
    // A path holds no spaces; at most three colons stand before the line.
    let space = memchr(b' ', head).unwrap_or(head.len());
    let limit = head.len().min(space + 2);
    let mut seen = 0;
    for at in 0..limit {
        let (Some(b':'), true) = (head.get(at), at > 0) else {
            // `rg -C` marks context lines with dashes around the number.
            if head.get(at) == Some(&b'-')
                && at > 0
                && head.get(at - 1).is_some_and(u8::is_ascii_digit)
                && let Some(rest) = text.get(at + 1..)
                && rest.first() == Some(&b'{')
                && plausible(rest, cache)
            {
                let file = head.get(..at).and_then(without_number).and_then(file_of);
                return Some(Peeled {
                    ident: file.filter(|file| file.contains(&b'/')),
                    name: file,
                    ..Peeled::text(rest)
                });
            }
            continue;
        };
        seen += 1;
        if seen > 6 {
            return None;
        }
        let rest = text.get(at + 1..)?;
        let spaced = rest.strip_prefix(b" ");
        let rest = spaced.unwrap_or(rest);
        if plausible(rest, cache) {
            let before = head.get(..at)?;
            let node = spaced.and_then(|_| address(before));
            let file = file_of(before);
            return Some(Peeled {
                ident: file.filter(|file| node.is_none() && file.contains(&b'/')),
                host: node,
                name: node.or(file),
                ..Peeled::text(rest)
            });
        }
    }
    None
}

/// `* text` of `minikube logs`, `> text` of a quotation, `- text` of a list.
fn bulleted<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    let mut rest = text;
    while let [b'*' | b'>' | b'-', b' ', inner @ ..] = rest {
        rest = inner.trim_ascii_start();
    }
    (rest.len() < text.len() && plausible(rest, cache)).then_some(Peeled::text(rest))
}

/// `pod container text` of stern, and `namespace pod container text`.
fn worded<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    let named = |word: &'a [u8]| names_writer(word).then_some(word);
    let (first, rest) = word(text)?;
    if plausible(rest, cache) {
        return Some(Peeled {
            // EKS's streams have their programs' names.
            ident: named(first).filter(|name| writer::writer(name).is_some()),
            name: named(first),
            ..Peeled::text(rest)
        });
    }
    let (second, rest) = word(rest)?;
    if plausible(rest, cache) {
        let names = text.get(..first.len() + 1 + second.len());
        return Some(Peeled {
            ident: names.filter(|_| names_writer(second)),
            name: named(first),
            ..Peeled::text(rest)
        });
    }
    let (third, rest) = word(rest)?;
    // Three words are soon found in a sentence; a control plane's pods have a dash in their names.
    let objects = [first, second, third]
        .iter()
        .all(|name| is_object_name(name))
        && second.contains(&b'-');
    let from = first.len() + 1;
    let names = text.get(from..from + second.len() + 1 + third.len());
    (objects && plausible(rest, cache)).then_some(Peeled {
        ident: names.filter(|_| names_writer(third)),
        name: named(second),
        ..Peeled::text(rest)
    })
}

/// Whether a word before a line is its writer's name. Numbers, dates, levels and output streams
/// change from line to line of one writer.
fn names_writer(word: &[u8]) -> bool {
    let plain = |b: &u8| {
        b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'/' | b'>' | b'+' | b'<')
    };
    word.iter().any(u8::is_ascii_lowercase)
        && word.iter().all(plain)
        && level_word(word).is_none()
        && !matches!(word, b"stdout" | b"stderr")
}

/// A name without the number behind a dash that follows it.
fn without_number(prefix: &[u8]) -> Option<&[u8]> {
    let at = prefix.iter().rposition(|b| !b.is_ascii_digit())?;
    prefix.get(..at)
}

/// The file that grep names before a line, without numbers of line and column.
fn file_of(prefix: &[u8]) -> Option<&[u8]> {
    let mut file = prefix;
    while let Some(at) = file.iter().rposition(|b| !b.is_ascii_digit())
        && at + 1 < file.len()
        && file.get(at) == Some(&b':')
    {
        file = file.get(..at)?;
    }
    if let Some(node) = address(file) {
        return Some(node);
    }
    // A time of day and a level are no names.
    let clock =
        |part: &[u8]| matches!(part, [a, b':', b] if a.is_ascii_digit() && b.is_ascii_digit());
    let named = file.iter().any(u8::is_ascii_alphabetic)
        && !file.windows(3).any(clock)
        && level_word(file).is_none()
        && !matches!(file, b"stdout" | b"stderr");
    named.then_some(file)
}

/// A node's address, as talosctl puts it before a line.
fn address(text: &[u8]) -> Option<&[u8]> {
    let address: std::net::IpAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!address.is_unspecified()).then_some(text)
}

/// The next word, if it could be a name, and what follows it.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let name = |b: &u8| {
        b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'/' | b'>' | b'+' | b'<')
    };
    let end = memchr(b' ', text.get(..text.len().min(PREFIX_MAX))?)?;
    let (word, rest) = text.split_at(end);
    (end > 1 && word.iter().all(name)).then_some((word, rest.get(1..)?))
}

/// Whether Kubernetes would take a word for a name.
fn is_object_name(word: &[u8]) -> bool {
    let allowed = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    word.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    const ZAP: &str = r#"{"level":"info","ts":"2025-04-14T07:23:25.134294Z","msg":"x"}"#;
    const CAPNSLOG: &str = "2020-09-25 20:20:54.061610 W | etcdserver: x";
    const RAFT: &str = "raft2020/09/25 20:20:54 INFO: x";

    #[test]
    fn each_prefix_comes_off() {
        let mut cache = TimeCache::default();
        for prefix in [
            "2025-12-08T07:31:53.675701835Z ",
            "2023-05-15T05:20:07.955Z | ",
            "2026-11-21T19:32:33Z {container=\"etcd\", pod=\"etcd-\\\"x}\"} ",
            "2026-11-21T19:32:33+01:00 {app_kubernetes_io_name=\"etcd\"}   ",
            "2026-11-21T19:32:33Z {} ",
            "1709633474346\t2024-03-05T10:11:14.346Z\t",
            "{container=\"etcd\"} ",
            "[pod/etcd-x/etcd] ",
            "etcd2   | ",
            " etcd-kind-control-plane | etcd      | 2025-05-02 18:16:50.971678050 UTC | ",
            "etcd.log-20200925-1601065806.gz:",
            "221:",
            "var/log/0.log:221:",
            "var/log/0.log-221-",
            "10.0.0.1: ",
            "<node-ip>: ",
            "etcd-cp0 etcd ",
            "kube-system etcd-cp0 etcd ",
            "* ",
            "> > ",
            "2026-11-21T19:32:33.123456+00:00 kube-apiserver-audit-0a1b ",
        ] {
            for line in [ZAP, CAPNSLOG, RAFT] {
                if prefix.ends_with('-') && line != ZAP {
                    continue;
                }
                let text = format!("{prefix}{line}");
                let mut left = text.as_bytes();
                while left != line.as_bytes() {
                    left = peel(left, &mut cache).expect(&text).text;
                }
            }
        }
    }

    #[test]
    fn prefixes_that_name_the_writer_say_so() {
        let mut cache = TimeCache::default();
        for (prefix, name) in [
            ("[pod/etcd-x/etcd] ", "pod/etcd-x/etcd"),
            ("[etcd-x] ", "etcd-x"),
            ("etcd2   | ", "etcd2"),
            (" etcd-cp0 | etcd      | 2025-05-02 | ", "etcd-cp0"),
            ("etcd.log:", "etcd.log"),
            ("etcd-0: ", "etcd-0"),
            ("var/log/0.log:221:", "var/log/0.log"),
            ("var/log/0.log:221:7:", "var/log/0.log"),
            ("var/log/0.log-221-", "var/log/0.log"),
            ("10.0.0.1: ", "10.0.0.1"),
            ("fd00:1::2: ", "fd00:1::2"),
            ("etcd-cp0 etcd ", "etcd-cp0"),
            ("etcd-cp0 ", "etcd-cp0"),
            ("kube-system etcd-cp0 etcd ", "etcd-cp0"),
            ("* ", ""),
            ("{container=\"etcd\", pod=\"etcd-cp0\"} ", "etcd-cp0"),
            // These change from line to line of one writer.
            ("221:", ""),
            ("221-", ""),
            ("[WARN] ", ""),
            ("[12] ", ""),
            ("warn: ", ""),
            ("12:34:56: ", ""),
            ("12:34:56:", ""),
            ("1646644110.080202 ", ""),
            ("stderr ", ""),
            ("INFO ", ""),
        ] {
            let text = format!("{prefix}{ZAP}");
            let peeled = peel(text.as_bytes(), &mut cache).expect(&text);
            assert_eq!(peeled.text, ZAP.as_bytes(), "{text}");
            assert_eq!(peeled.name.unwrap_or_default(), name.as_bytes(), "{text}");
            if name.is_empty() {
                assert_eq!(peeled.ident, None, "{text}");
            }
        }
    }

    #[test]
    fn fluentds_time_and_tag_come_off_an_object() {
        let mut cache = TimeCache::default();
        for head in [
            "2026-11-21 21:32:33 +0200 kubernetes.etcd: ",
            "2026-11-21 19:32:33.000000000 +0000 kubernetes.etcd: ",
            "2026-11-21T19:32:33+00:00\tkubernetes.etcd\t",
            "2026-11-21 19:32:33 +0000\tkubernetes.etcd\t",
        ] {
            let text = format!("{head}{ZAP}");
            let peeled = peel(text.as_bytes(), &mut cache).expect(head);
            assert_eq!(peeled.text, ZAP.as_bytes(), "{head}");
            assert_eq!(peeled.time, Timestamp::parse("2026-11-21T19:32:33Z"));
            assert!(peeled.zoned, "{head}");
        }
        for text in [
            "2026-11-21 19:32:33 +0000 two tags: {\"log\":\"x\"}",
            "2026-11-21 19:32:33 +0000 : {\"log\":\"x\"}",
            "2026-11-21 19:32:33 +0000 tag: text",
            "2026-11-21 19:32:33",
            "2026-11-21 19:32:33 ",
        ] {
            assert!(tagged(text.as_bytes(), &mut cache).is_none(), "{text}");
        }
    }

    #[test]
    fn nothing_comes_off_a_line_that_is_not_wrapped() {
        let mut cache = TimeCache::default();
        for text in [
            "client  | Client [entrypoint]: starting...",
            "etcdserver: read-only range request key:\"/registry/pods/\"",
            "path: no record here",
            "two words and more",
            "170963347434\t2024-03-05T10:11:14.346Z\tx",
            "1709633474346\t2024-03-05T10:11:14.346\tx",
            "2025-12-08T07:31:53.675Z no record here",
            "[x/y] z",
            "{a=1} b",
            "\"stream\": {",
            "{a=\"b\" b",
            "2026-11-21T19:32:33Z {container} no labels",
            "this was at 2020/09/25 20:20:54 by the clock",
            "*2020/09/25 20:20:54 x",
        ] {
            assert!(peel(text.as_bytes(), &mut cache).is_none(), "{text}");
        }
    }

    #[test]
    fn a_line_of_nothing_but_times_is_soon_given_up() {
        let text = "2026-11-21T19:32:33Z ".repeat(400_000);
        assert!(peel(text.as_bytes(), &mut TimeCache::default()).is_none());
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_only_shortens(text: Vec<u8>, tail in "[A-Za-z0-9 :|\\[\\]/{\"T.-]{0,60}") {
            let mut cache = TimeCache::default();
            for text in [&text[..], tail.as_bytes()] {
                if let Some(peeled) = peel(text, &mut cache) {
                    proptest::prop_assert!(peeled.text.len() < text.len());
                }
            }
        }
    }
}
