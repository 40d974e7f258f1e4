//! The container runtimes' file format, and the times that `kubectl logs --timestamps` and
//! must-gather put before a line.

use crate::logs::format::object::Stream;
use crate::logs::timestamp::{Stamp, TimeCache};

use super::Peeled;

/// Reads `RFC3339Nano stdout|stderr F|P[:tag…] text`. CRI-O and containerd split long lines:
/// `P` marks a part.
#[inline]
pub fn peel<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    // `stamp stdout F ` is at least this long.
    if !text.first()?.is_ascii_digit() {
        return None;
    }
    let stamp = cache.iso(text)?;
    let (stream, more, rest) = flags(text.get(stamp.len..)?)?;
    Some(wrap(stamp, stream, more, rest))
}

/// Reads ` stdout F ` and what follows.
#[inline]
pub fn flags(text: &[u8]) -> Option<(Stream, bool, &[u8])> {
    let (stream, rest) = match text {
        [b' ', b's', b't', b'd', b'e', b'r', b'r', b' ', rest @ ..] => (Stream::Stderr, rest),
        [b' ', b's', b't', b'd', b'o', b'u', b't', b' ', rest @ ..] => (Stream::Stdout, rest),
        _ => return None,
    };
    let (more, rest) = match rest {
        [b'F', rest @ ..] => (false, rest),
        [b'P', rest @ ..] => (true, rest),
        _ => return None,
    };
    match rest {
        [b' ', rest @ ..] => Some((stream, more, rest)),
        // An empty line, whose final space an editor took off.
        [] => Some((stream, more, rest)),
        // Tags are separated by colons: `F:x`.
        [b':', tags @ ..] => {
            let end = memchr::memchr(b' ', tags.get(..tags.len().min(64))?)?;
            Some((stream, more, tags.get(end + 1..)?))
        }
        _ => None,
    }
}

#[inline]
fn wrap<'a>(stamp: Stamp, stream: Stream, more: bool, text: &'a [u8]) -> Peeled<'a> {
    Peeled {
        time: Some(stamp.time),
        zoned: stamp.zoned,
        part: Some((stream, more)),
        ..Peeled::text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_tags_and_streams() {
        let mut cache = TimeCache::default();
        let cases: &[(&str, Stream, bool, &str)] = &[
            (
                "2022-11-21T02:50:53.90545154Z stderr F {\"a\":1}",
                Stream::Stderr,
                false,
                "{\"a\":1}",
            ),
            (
                "2022-11-21T02:50:53.9+00:00 stdout P part",
                Stream::Stdout,
                true,
                "part",
            ),
            (
                "2022-11-21T02:50:53Z stdout F:x:y  indented",
                Stream::Stdout,
                false,
                " indented",
            ),
            ("2022-11-21T02:50:53Z stdout F", Stream::Stdout, false, ""),
        ];
        for (text, stream, more, inner) in cases {
            let peeled = peel(text.as_bytes(), &mut cache).expect(text);
            assert_eq!(peeled.part, Some((*stream, *more)), "{text}");
            assert_eq!(peeled.text, inner.as_bytes(), "{text}");
            assert!(peeled.time.is_some() && peeled.zoned);
        }
        for text in [
            "2022-11-21T02:50:53Z stderr X text",
            "2022-11-21T02:50:53Z stdwhat F text",
            "2022-11-21T02:50:53Z F text",
            "stderr F text",
        ] {
            assert!(peel(text.as_bytes(), &mut cache).is_none(), "{text}");
        }
    }
}
