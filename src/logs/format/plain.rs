//! The small encodings beside etcd's main ones: the third format of 3.4's raft package, grpc-go's,
//! Go's own log format, and etcd's `[WARNING]` lines.

use std::borrow::Cow;

use crate::clock::Timestamp;
use crate::logs::record::{Encoding, Level, TimeSource};
use crate::logs::timestamp::{DAY_US, civil_days, clock, two};

use super::{Parsed, Reference, level_word};

/// Whether one of them stands here.
pub fn starts(text: &[u8]) -> bool {
    head(text).is_some()
}

/// Reads a line.
pub fn parse<'a>(text: &'a [u8], reference: &Reference) -> Option<Parsed<'a>> {
    let head = head(text)?;
    let mut parsed = Parsed::bare(head.encoding, text.get(head.len..)?);
    parsed.level = head.level;
    if let Some(local) = head.time {
        let (time, moved) = reference.zone(local);
        parsed.time = Some(time);
        parsed.time_source = if moved {
            TimeSource::Completed
        } else {
            TimeSource::Inner
        };
    }
    if head.encoding == Encoding::RaftText {
        parsed.logger = b"raft";
    }
    parsed.msg = Cow::Borrowed(text.get(head.len..)?);
    Some(parsed)
}

struct Head {
    encoding: Encoding,
    level: Level,
    time: Option<Timestamp>,
    len: usize,
}

fn head(text: &[u8]) -> Option<Head> {
    if let Some(rest) = text.strip_prefix(b"raft") {
        // `raft2022/03/19 02:50:20 INFO: …`
        let (time, taken) = slashed(rest)?;
        let rest = rest.get(taken..)?.strip_prefix(b" ")?;
        let (level, len) = word(rest)?;
        return Some(Head {
            encoding: Encoding::RaftText,
            level,
            time: Some(time),
            len: 4 + taken + 1 + len,
        });
    }
    for (prefix, level) in [
        (&b"[WARNING] "[..], Level::Warn),
        (b"[ERROR] ", Level::Error),
        (b"[INFO] ", Level::Info),
    ] {
        if text.starts_with(prefix) {
            return Some(Head {
                encoding: Encoding::Bare,
                level,
                time: None,
                len: prefix.len(),
            });
        }
    }
    if let Some((level, len)) = word(text) {
        // `WARNING: 2021/05/14 16:47:45 grpc: …`
        let (time, taken) = slashed(text.get(len..)?)?;
        let len = len + taken;
        return Some(Head {
            encoding: Encoding::GrpcText,
            level,
            time: Some(time),
            len: len + usize::from(text.get(len) == Some(&b' ')),
        });
    }
    // Go's log package: `2022/03/19 02:50:20 text`.
    let (time, taken) = slashed(text)?;
    let rest = text.get(taken..)?.strip_prefix(b" ")?;
    let (level, len) = word(rest).unwrap_or((Level::Unknown, 0));
    // grpc-go from 1.5x on: `2026/11/21 20:50:00 WARNING: [core] [Server #3] grpc: …`.
    let encoding = if len > 0 {
        Encoding::GrpcText
    } else {
        Encoding::Bare
    };
    Some(Head {
        encoding,
        level,
        time: Some(time),
        len: taken + 1 + len,
    })
}

/// `INFO: `, with how much it takes.
fn word(text: &[u8]) -> Option<(Level, usize)> {
    let len = text.iter().take(9).position(|b| *b == b':')?;
    let word = text.get(..len)?;
    if !word.iter().all(u8::is_ascii_uppercase) || text.get(len + 1) != Some(&b' ') {
        return None;
    }
    Some((level_word(word)?, len + 2))
}

/// `2022/03/19 02:50:20[.123456]`.
fn slashed(text: &[u8]) -> Option<(Timestamp, usize)> {
    let (&[y1, y2, y3, y4, b'/', m1, m2, b'/', d1, d2, b' '], rest) = text.split_first_chunk()?
    else {
        return None;
    };
    let year = two(y1, y2)? * 100 + two(y3, y4)?;
    let days = civil_days(i64::from(year), two(m1, m2)?, two(d1, d2)?)?;
    let (us, taken) = clock(rest)?;
    Some((Timestamp(days * DAY_US + us), 11 + taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raft_grpc_go_and_warnings() {
        let cases = [
            (
                "raft2022/03/19 02:50:20 INFO: 6cb8 became follower at term 35",
                (
                    Encoding::RaftText,
                    Level::Info,
                    "6cb8 became follower at term 35",
                    true,
                ),
            ),
            (
                "WARNING: 2021/05/14 16:47:45 grpc: Server.processUnaryRPC failed",
                (
                    Encoding::GrpcText,
                    Level::Warn,
                    "grpc: Server.processUnaryRPC failed",
                    true,
                ),
            ),
            (
                "ERROR: 2023/05/14 16:47:45 [core] grpc: x",
                (Encoding::GrpcText, Level::Error, "[core] grpc: x", true),
            ),
            (
                "2026/11/21 20:50:00 WARNING: [core] [Server #3] grpc: x",
                (
                    Encoding::GrpcText,
                    Level::Warn,
                    "[core] [Server #3] grpc: x",
                    true,
                ),
            ),
            (
                "[WARNING] Deprecated flag",
                (Encoding::Bare, Level::Warn, "Deprecated flag", false),
            ),
            (
                "2022/03/19 02:50:20.123456 http: TLS handshake error",
                (
                    Encoding::Bare,
                    Level::Unknown,
                    "http: TLS handshake error",
                    true,
                ),
            ),
        ];
        for (text, (encoding, level, msg, timed)) in cases {
            let parsed = parse(text.as_bytes(), &Reference::default()).expect(text);
            assert_eq!((parsed.encoding, parsed.level), (encoding, level), "{text}");
            assert_eq!(&*parsed.msg, msg.as_bytes(), "{text}");
            assert_eq!(parsed.time.is_some(), timed, "{text}");
        }
        for text in [
            "raft: no",
            "WARNING: no time",
            "2022/13/19 02:50:20 x",
            "[warning] x",
        ] {
            assert!(!starts(text.as_bytes()), "{text}");
        }
    }
}
