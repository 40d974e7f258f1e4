//! Loose prefixes: what kubectl, talosctl, compose, stern and grep put before a line. They have
//! no shape of their own, so each is taken off only where a record or a strict wrapper follows.

use memchr::memchr;

use crate::logs::needle;
use crate::logs::timestamp::TimeCache;

use super::{Peeled, may_hold, plausible};

/// Longest prefix that is believed.
const PREFIX_MAX: usize = 512;

/// Takes one prefix off.
pub fn peel<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    if let Some(peeled) = stamped(text, cache) {
        return Some(peeled);
    }
    if !may_hold(text) {
        return None;
    }
    bracketed(text, cache)
        .or_else(|| columns(text, cache))
        .or_else(|| coloned(text, cache))
        .or_else(|| worded(text, cache))
}

/// `2022-07-04T06:35:26.512448489Z text` of `kubectl logs --timestamps` and must-gather, and
/// `2023-05-15T05:20:07.955Z | text` of log viewers.
pub(super) fn stamped<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    if !text.first()?.is_ascii_digit() || text.get(10) != Some(&b'T') {
        return None;
    }
    let stamp = cache.iso(text)?;
    if !stamp.zoned {
        return None;
    }
    let rest = text.get(stamp.len..)?.strip_prefix(b" ")?;
    let barred = rest.strip_prefix(b"| ");
    let rest = barred.unwrap_or(rest);
    // Nanoseconds with a zone are a shape of their own; fewer digits need a record after them.
    if stamp.digits < 7 && !plausible(rest, cache) {
        return None;
    }
    Some(Peeled {
        time: Some(stamp.time),
        zoned: true,
        ..Peeled::text(rest)
    })
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
    let container = name.rsplit(|b| *b == b'/').next();
    Some(Peeled {
        ident: container.filter(|name| !name.is_empty()),
        ..Peeled::text(rest)
    })
}

/// `etcd2   | text` of docker compose, and tables: ` a | b | 2025-… UTC | text`.
fn columns<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    let head = text.get(..text.len().min(PREFIX_MAX))?;
    let mut name: Option<&[u8]> = None;
    for bar in needle::BAR_END.find_iter(head).take(6) {
        let column = head.get(..bar)?.rsplit(|b| *b == b'|').next()?.trim_ascii();
        let rest = text.get(bar + 2..)?;
        let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
        if !column.is_empty() && column.iter().all(plain) {
            name = Some(column);
        }
        if plausible(rest, cache) {
            return Some(Peeled {
                ident: name,
                ..Peeled::text(rest)
            });
        }
    }
    None
}

/// `path:text`, `221:text`, `path:221:text`, `path-221-text` of grep and rg, and talosctl's
/// `10.0.0.1: text`.
fn coloned<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    let head = text.get(..text.len().min(PREFIX_MAX))?;
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
                return Some(Peeled::text(rest));
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
            return Some(Peeled::text(rest));
        }
    }
    None
}

/// `pod container text` of stern.
fn worded<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    let name = |b: &u8| {
        b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'/' | b'>' | b'+' | b'<')
    };
    let word = |text: &'a [u8]| -> Option<(&'a [u8], &'a [u8])> {
        let end = memchr(b' ', text.get(..text.len().min(PREFIX_MAX))?)?;
        let (word, rest) = text.split_at(end);
        (end > 1 && word.iter().all(name)).then_some((word, rest.get(1..)?))
    };
    let (_, rest) = word(text)?;
    if plausible(rest, cache) {
        return Some(Peeled::text(rest));
    }
    let (container, rest) = word(rest)?;
    plausible(rest, cache).then_some(Peeled {
        ident: Some(container),
        ..Peeled::text(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZAP: &str = r#"{"level":"info","ts":"2025-04-14T07:23:25.134294Z","msg":"x"}"#;
    const CAPNSLOG: &str = "2020-09-25 20:20:54.061610 W | etcdserver: x";

    #[test]
    fn each_prefix_comes_off() {
        let mut cache = TimeCache::default();
        for prefix in [
            "2025-12-08T07:31:53.675701835Z ",
            "2023-05-15T05:20:07.955Z | ",
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
        ] {
            for line in [ZAP, CAPNSLOG] {
                if prefix.ends_with('-') && line == CAPNSLOG {
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
    fn nothing_comes_off_a_line_that_is_not_wrapped() {
        let mut cache = TimeCache::default();
        for text in [
            "client  | Client [entrypoint]: starting...",
            "etcdserver: read-only range request key:\"/registry/pods/\"",
            "path: no record here",
            "two words and more",
            "2025-12-08T07:31:53.675Z no record here",
            "[x/y] z",
        ] {
            assert!(peel(text.as_bytes(), &mut cache).is_none(), "{text}");
        }
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
