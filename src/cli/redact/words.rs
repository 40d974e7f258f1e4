//! Which words of a free text tell no name: those of known messages, of Kubernetes and of etcd,
//! numbers, times, versions and addresses. All others may be names.

use std::collections::HashSet;
use std::sync::LazyLock;

use crate::catalog::controllers::controllers;
use crate::catalog::resources::{builtin_by_name, builtin_by_segment};
use crate::logs::signature::{How, catalogue};

/// Words of the messages that programs pass on: of Go, gRPC, etcd and Kubernetes.
static COMMON: &str = include_str!("words.txt");
/// Programs that everybody knows, as user agents name them.
static PROGRAMS: &str = include_str!("programs.txt");

/// All words that stay, in lower case.
static WORDS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let mut words: HashSet<String> = COMMON.split_whitespace().map(str::to_owned).collect();
    for form in catalogue().iter().flat_map(|signature| signature.forms) {
        let (How::Msg(text)
        | How::Client(text)
        | How::Klog(text)
        | How::Text(text)
        | How::Find(text)) = form.how
        else {
            continue;
        };
        // The fixed parts of a template.
        let fixed = text
            .split('{')
            .map(|part| part.split_once('}').map_or(part, |(_, fixed)| fixed));
        for part in fixed {
            words.extend(pieces(part).into_iter().map(str::to_ascii_lowercase));
        }
    }
    words
});

static KNOWN_PROGRAMS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    PROGRAMS
        .split_whitespace()
        .chain(
            controllers()
                .iter()
                .flat_map(|known| &known.names)
                .map(String::as_str),
        )
        .collect()
});

/// A text in pieces: what can be a name or a word, and what stands between.
pub(super) fn pieces(text: &str) -> Vec<&str> {
    let inside = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
    let mut out = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let len = rest.find(|c| !inside(c)).unwrap_or(rest.len());
        if len == 0 {
            let len = rest.find(inside).unwrap_or(rest.len());
            let (between, more) = rest.split_at(len);
            out.push(between);
            rest = more;
            continue;
        }
        let (word, more) = rest.split_at(len);
        // A full stop, a dash and dots end sentences, not names.
        let word_only = word.trim_matches(|c: char| !c.is_alphanumeric());
        if word_only.is_empty() {
            out.push(word);
        } else {
            let begin = word.find(|c: char| c.is_alphanumeric()).unwrap_or(0);
            let (before, tail) = word.split_at(begin);
            let (middle, after) = tail.split_at(word_only.len());
            out.extend(
                [before, middle, after]
                    .into_iter()
                    .filter(|part| !part.is_empty()),
            );
        }
        rest = more;
    }
    out
}

/// Whether a piece tells no name.
pub(super) fn is_plain(piece: &str) -> bool {
    if piece.chars().count() < 2 || !piece.contains(char::is_alphanumeric) {
        return true;
    }
    let lower = piece.to_ascii_lowercase();
    if WORDS.contains(&lower) || is_number(piece) || is_version(&lower) || is_id(&lower) {
        return true;
    }
    if is_resource(&lower) {
        return true;
    }
    // `etcd.log`, `0.log.1`, `trace.go`.
    if let Some(stem) = lower.strip_suffix(".go") {
        return WORDS.contains(stem);
    }
    match lower.split_once(".log") {
        Some((stem, rest)) => {
            let rotated = |part: &str| is_number(part) || matches!(part, "" | "gz" | "zst" | "xz");
            (WORDS.contains(stem) || is_number(stem) || is_program(stem))
                && rest.split('.').all(rotated)
        }
        // `v1.Pod`.
        None => lower
            .split_once('.')
            .is_some_and(|(version, kind)| is_version(version) && WORDS.contains(kind)),
    }
}

/// Whether a piece of a user agent is a program that everybody knows, or a commit.
pub(super) fn is_program(piece: &str) -> bool {
    let commit = (7..=40).contains(&piece.len())
        && piece.bytes().all(|b| b.is_ascii_hexdigit())
        && piece.bytes().any(|b| b.is_ascii_digit());
    commit || KNOWN_PROGRAMS.contains(piece.to_ascii_lowercase().as_str())
}

/// A number, a duration, a size, a date or an address.
fn is_number(piece: &str) -> bool {
    if !piece.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let figures = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if figures(piece) {
        return true;
    }
    // 2026-11-21T19, and the day of Kubernetes's traces.
    let date: Vec<&str> = piece.split(['-', 'T']).collect();
    if date.len() >= 3
        && date
            .iter()
            .enumerate()
            .all(|(at, part)| digits(part) && part.len() <= 4 || at == 1 && part.len() == 3)
        && date.iter().any(|part| part.len() == 4)
    {
        return true;
    }
    if let Some(unit) = ["kb", "mb", "gb", "b", "ki", "mi", "gi", "kib", "mib", "gib"]
        .iter()
        .find_map(|unit| {
            piece
                .to_ascii_lowercase()
                .strip_suffix(unit)
                .map(str::to_owned)
        })
    {
        return figures(&unit);
    }
    // 1m2.5s, and seconds with their zone.
    let duration =
        |c: char| c.is_ascii_digit() || matches!(c, '.' | 'n' | 'u' | '\u{b5}' | 'm' | 's' | 'h');
    let second = piece.strip_suffix('Z').is_some_and(figures);
    second || piece.chars().all(duration) && piece.ends_with(['s', 'm', 'h'])
}

/// `v1`, `v1beta1`, `1.24.3-rc.0`.
fn is_version(piece: &str) -> bool {
    let rest = piece.strip_prefix('v').unwrap_or(piece);
    if !rest.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let rest = ["alpha", "beta", "rc"]
        .iter()
        .fold(rest.to_owned(), |text, word| text.replacen(word, "", 1));
    rest.bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-'))
        && (piece.starts_with('v') || rest.contains('.'))
}

/// Numbers of members, traces and audit records, and what was hashed already.
fn is_id(piece: &str) -> bool {
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    let digit = piece.bytes().any(|b| b.is_ascii_digit());
    if piece.strip_prefix("0x").is_some_and(hex)
        || hex(piece) && digit && (15..=16).contains(&piece.len())
    {
        return true;
    }
    if piece
        .strip_prefix("x-")
        .is_some_and(|hash| hex(hash) && hash.len() == 12)
    {
        return true;
    }
    let groups: Vec<&str> = piece.split('-').collect();
    groups.iter().copied().map(str::len).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| hex(group))
}

/// `deployments`, `deployments.apps`.
fn is_resource(piece: &str) -> bool {
    builtin_by_segment(piece.as_bytes()).is_some()
        || builtin_by_name(piece, "").is_some()
        || piece
            .split_once('.')
            .is_some_and(|(resource, group)| builtin_by_name(resource, group).is_some())
}
