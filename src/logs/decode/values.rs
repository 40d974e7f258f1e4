//! What is saved of lines that are still open holds no object values: etcd prints them at debug
//! level, audit records hold whole bodies, and clients print both at high verbosity.
//!
//! Each byte of a value becomes an [`FILL`], so that joining finds the same lines, quotes and
//! brackets in the same places; nothing that is counted is read from a value. A file may also begin
//! in the middle of one: then what looks like its rest goes, while the rest of a key stays.

use std::ops::Range;

use memchr::{memchr, memchr_iter, memmem};

use crate::logs::format::starts_record;
use crate::logs::timestamp::TimeCache;
use crate::logs::wrapper::cri;

use super::{Ends, LineStart, OpenTail};

/// What stands for a byte of a value.
const FILL: u8 = b'x';
/// Texts of an etcd request that are values or secrets: `value:"…"`.
const TEXTS: [&[u8]; 4] = [b"value:", b"Val:", b"password:", b"token:"];
/// Objects of an audit record that are bodies.
const BODIES: [&[u8]; 2] = [b"requestObject", b"responseObject"];
/// What a client at high verbosity prints a body behind.
const DUMPS: [&[u8]; 2] = [b"Request Body: ", b"Response Body: "];
/// What follows the bodies of an audit record.
const AFTER_BODIES: &[u8] = b"\"requestReceivedTimestamp";
/// What stands before them, and in no object.
const BEFORE_BODIES: [&[u8]; 4] = [b"auditID\"", b"sourceIPs\"", b"objectRef\"", b"userAgent\""];
/// A runtime's part of a line that is longer than this and says nothing else is of a body.
const LONG: usize = 4 << 10;

/// Where a line ended that goes on in the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    /// Outside of all values.
    Nothing,
    /// Nobody knows: it began before what was kept.
    Unknown,
    /// A text whose closing quote has `unit - 1` backslashes; so many stood at the line's end.
    Text { unit: usize, run: usize },
    /// The body of an audit record, or a dump.
    Body,
}

/// Hides the values in what is open at the ends of a stream.
pub(super) fn hide_in(ends: &mut Ends) {
    let mut nothing = OpenTail::default();
    let tail = ends.tail.as_mut().unwrap_or(&mut nothing);
    let torn = tail.torn.get_or_insert_default();
    if let Some(head) = &mut ends.head {
        if ends.only_head {
            // The torn line goes on from there.
            hide_lines(&mut head.bytes, torn);
        } else {
            hide_lines(&mut head.bytes, &mut Vec::new());
        }
    }
    let mut cache = TimeCache::default();
    let lane = LineStart::of(torn, &mut cache).part.map(|(lane, _)| lane);
    for (at, part) in tail.parts.iter_mut().enumerate() {
        if let Some(part) = part {
            let rest = match lane == Some(at) {
                true => content(torn, &mut cache),
                false => 0..0,
            };
            let rest = torn.get_mut(rest).unwrap_or_default();
            hide_two(&mut part.text, rest);
        }
    }
    if let Some(open) = &mut tail.open {
        hide_lines(&mut open.text, torn);
    } else if let Some(entry) = &mut tail.entry {
        let (data, message) = entry.texts();
        hide_lines(message, &mut Vec::new());
        if let Some(data) = data
            && data.len() >= 8
        {
            // Behind its length.
            let mut text = data.split_off(8);
            hide_lines(&mut text, torn);
            data.append(&mut text);
        }
    } else if lane.is_none_or(|lane| tail.parts.get(lane).is_none_or(Option::is_none))
        && !ends.only_head
    {
        hide_lines(torn, &mut Vec::new());
    }
    if torn.is_empty() {
        tail.torn = None;
    }
}

/// Lines, and a torn one that goes on from them.
fn hide_lines(lines: &mut Vec<u8>, torn: &mut Vec<u8>) {
    let len = lines.len();
    let mut text = std::mem::take(lines);
    let whole = text.last().is_none_or(|b| *b == b'\n');
    if !whole {
        text.push(b'\n');
    }
    let begin = text.len();
    text.append(torn);
    let mut text = hidden(&text);
    *torn = text.split_off(begin);
    text.truncate(len);
    *lines = text;
}

/// A text, and what goes on from it.
fn hide_two(text: &mut Vec<u8>, rest: &mut [u8]) {
    let len = text.len();
    text.extend_from_slice(rest);
    hide(text, Inside::Unknown, true);
    rest.copy_from_slice(text.get(len..).unwrap_or_default());
    text.truncate(len);
}

/// A text of one or several lines without the values in it.
fn hidden(text: &[u8]) -> Vec<u8> {
    let mut out = text.to_vec();
    let mut cache = TimeCache::default();
    // What a runtime split is one text, on each of a container's outputs.
    let mut parts: [Vec<Range<usize>>; 2] = [Vec::new(), Vec::new()];
    let mut inside = Inside::Unknown;
    let mut next = 0;
    while next < text.len() {
        let begin = next;
        let end = memchr(b'\n', text.get(begin..).unwrap_or_default())
            .map_or(text.len(), |len| begin + len);
        next = end + 1;
        let line = text.get(begin..end).unwrap_or_default();
        let start = LineStart::of(line, &mut cache);
        if let Some((lane, more)) = start.part
            && let Some(parts) = parts.get_mut(lane)
        {
            if start.sure {
                hide_parts(&mut out, parts, true);
            }
            let content = content(line, &mut cache);
            parts.push(begin + content.start..begin + content.end);
            if !more {
                hide_parts(&mut out, parts, false);
            }
            continue;
        }
        // The first one may only look like a start.
        if start.sure && begin > 0 {
            inside = Inside::Nothing;
        }
        let content = content(line, &mut cache);
        let content = begin + content.start..begin + content.end;
        inside = hide(out.get_mut(content).unwrap_or_default(), inside, false);
    }
    for parts in &mut parts {
        hide_parts(&mut out, parts, true);
    }
    out
}

/// The parts of a line as the one text that they are; whether it goes on.
fn hide_parts(text: &mut [u8], parts: &mut Vec<Range<usize>>, more: bool) {
    let mut whole = Vec::new();
    for part in &*parts {
        whole.extend_from_slice(text.get(part.clone()).unwrap_or_default());
    }
    hide(&mut whole, Inside::Unknown, more);
    let mut rest: &[u8] = &whole;
    for part in parts.drain(..) {
        if let Some(part) = text.get_mut(part)
            && let Some((here, more)) = rest.split_at_checked(part.len())
        {
            part.copy_from_slice(here);
            rest = more;
        }
    }
}

/// What a runtime's line holds, without its header, which may be in the file before.
fn content(line: &[u8], cache: &mut TimeCache) -> Range<usize> {
    const DOCKER: &[u8] = br#"{"log":""#;
    const STREAM: &[u8] = br#"","stream":"std"#;
    let docker = line.starts_with(DOCKER);
    let from = match docker {
        true => DOCKER.len(),
        false => cri::peel(line, cache)
            .map(|peeled| line.len() - peeled.text.len())
            .or_else(|| behind_header(line))
            .unwrap_or(0),
    };
    let end = memmem::rfind(line, STREAM)
        .filter(|at| *at >= from && (docker || backslashes(line, from, *at).is_multiple_of(2)));
    from..end.unwrap_or(line.len())
}

/// What follows a header whose beginning is in the file before: `1-20T19:06:42.0Z stderr F `.
fn behind_header(line: &[u8]) -> Option<usize> {
    let at = memmem::find(line.get(..line.len().min(64))?, b" std")?;
    let time = |b: &u8| b.is_ascii_digit() || matches!(b, b'-' | b'T' | b':' | b'.' | b'Z' | b'+');
    let (_, _, text) = cri::flags(line.get(at..)?)?;
    line.get(..at)?
        .iter()
        .all(time)
        .then_some(line.len() - text.len())
}

/// How many backslashes stand before a place, from `from` on.
fn backslashes(text: &[u8], from: usize, at: usize) -> usize {
    let before = text.get(from..at).unwrap_or_default();
    before.iter().rev().take_while(|b| **b == b'\\').count()
}

fn hide(text: &mut [u8], mut inside: Inside, more: bool) -> Inside {
    let mut at = 0;
    if inside == Inside::Unknown {
        (at, inside) = hide_rest(text, more);
    }
    loop {
        match inside {
            Inside::Nothing => {
                let Some((begin, found)) = next_value(text, at) else {
                    return Inside::Nothing;
                };
                at = begin;
                match matching(text, begin).filter(|_| found == Inside::Body) {
                    Some(end) => {
                        blank(text, begin, end);
                        at = end;
                    }
                    None => inside = found,
                }
            }
            Inside::Text { unit, run } => match closing(text, at, unit, run) {
                Some(end) => {
                    fill(text, at, end);
                    (at, inside) = (end, Inside::Nothing);
                }
                None => {
                    let run = backslashes(text, at, text.len());
                    fill(text, at, text.len());
                    return Inside::Text { unit, run };
                }
            },
            Inside::Body => match end_of_body(text, at) {
                Some(end) => {
                    blank(text, at, end);
                    (at, inside) = (end, Inside::Nothing);
                }
                None => {
                    blank(text, at, text.len());
                    return Inside::Body;
                }
            },
            Inside::Unknown => return Inside::Unknown,
        }
    }
}

/// The next value from a place on: where its content begins.
fn next_value(text: &[u8], from: usize) -> Option<(usize, Inside)> {
    let rest = text.get(from..)?;
    let texts = TEXTS.iter().flat_map(|name| {
        memmem::find_iter(rest, name).find_map(|at| {
            let (begin, unit) = opening(text, from + at + name.len())?;
            Some((begin, Inside::Text { unit, run: 0 }))
        })
    });
    let bodies = BODIES.iter().filter_map(|name| {
        let begin = next_body(text, from, name)? + name.len();
        Some((begin, Inside::Body))
    });
    let dumps = DUMPS.iter().filter_map(|name| {
        let at = memmem::find(rest, name)?;
        Some((from + at + name.len(), Inside::Body))
    });
    texts.chain(bodies).chain(dumps).min_by_key(|(at, _)| *at)
}

/// The next body with this name.
fn next_body(text: &[u8], from: usize, name: &[u8]) -> Option<usize> {
    memmem::find_iter(text.get(from..)?, name)
        .map(|at| from + at)
        .find(|at| opening(text, at + name.len()).is_some())
}

/// The quote that opens a text at a place: where its content begins, and its unit.
fn opening(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = text.get(at..)?;
    let run = rest.iter().take_while(|b| **b == b'\\').count();
    let unit = run + 1;
    (rest.get(run) == Some(&b'"') && unit.is_power_of_two()).then_some((at + unit, unit))
}

/// The place before the quote, with its backslashes, that closes a text. So many backslashes stood
/// before `from`.
fn closing(text: &[u8], from: usize, unit: usize, before: usize) -> Option<usize> {
    for quote in memchr_iter(b'"', text.get(from..)?).map(|at| from + at) {
        let here = backslashes(text, from, quote);
        let run = here + if quote - here == from { before } else { 0 };
        // Its own quote, or that of a text around it: it was torn.
        let own = run % (2 * unit) == unit - 1;
        let outer = run + 1 < unit && (run + 1).is_power_of_two();
        if own || outer {
            return Some(quote - here.min(unit - 1));
        }
    }
    None
}

/// Where the object ends whose name, without the quote at its end, ends here.
fn matching(text: &[u8], from: usize) -> Option<usize> {
    let (mut at, unit) = opening(text, from)?;
    let (mut depth, mut quoted) = (0_usize, false);
    at += text
        .get(at..)?
        .iter()
        .take_while(|b| matches!(b, b':' | b' '))
        .count();
    if !matches!(text.get(at)?, b'{' | b'[') {
        // `null`
        return Some(at);
    }
    for (place, byte) in text.iter().enumerate().skip(at) {
        match byte {
            b'"' if backslashes(text, at, place) % (2 * unit) == unit - 1 => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth = depth.checked_sub(1)?,
            _ => continue,
        }
        if depth == 0 {
            return Some(place + 1);
        }
    }
    None
}

/// What follows the bodies of an audit record.
fn end_of_body(text: &[u8], from: usize) -> Option<usize> {
    let at = from + memmem::rfind(text.get(from..)?, AFTER_BODIES)?;
    Some(at - backslashes(text, from, at))
}

/// What a file begins with may be the rest of a value. Gives where reading goes on, and in what.
fn hide_rest(text: &mut [u8], more: bool) -> (usize, Inside) {
    let body = BODIES
        .iter()
        .filter_map(|name| next_body(text, 0, name))
        .min();
    if let Some(begin) = body.or_else(|| end_of_body(text, 0)) {
        if !is_head(text.get(..begin).unwrap_or_default()) {
            blank(text, 0, begin);
        }
        return (begin, Inside::Nothing);
    }
    if starts_record(text) {
        return (0, Inside::Nothing);
    }
    // `val` was in the file before.
    for name in [&b"alue:"[..], b"lue:", b"ue:", b"e:", b"al:"] {
        if text.starts_with(name)
            && let Some((begin, unit)) = opening(text, name.len())
        {
            return (begin, Inside::Text { unit, run: 0 });
        }
    }
    match rest_of_text(text) {
        Some((begin, end)) => {
            fill(text, begin, end);
            (end, Inside::Nothing)
        }
        None if memchr(b'"', text).is_none() && looks_like_a_value(text) => {
            let len = text.len();
            fill(text, 0, len);
            (len, Inside::Unknown)
        }
        None if more && text.len() >= LONG => {
            let len = text.len();
            blank(text, 0, len);
            (len, Inside::Unknown)
        }
        None => (0, Inside::Nothing),
    }
}

/// Whether a text before the bodies, or before the times, is of an audit record itself.
fn is_head(text: &[u8]) -> bool {
    if BEFORE_BODIES
        .iter()
        .any(|name| memmem::find(text, name).is_some())
    {
        return true;
    }
    // `"code":200},` ends a status, `"apiVersion":"v1"},` and the like an object's reference.
    let end = text.strip_suffix(b"\"").unwrap_or(text);
    let end = end
        .get(..end.len() - backslashes(end, 0, end.len()))
        .unwrap_or_default();
    let end = end.strip_suffix(b",").unwrap_or(end);
    let Some(end) = end.strip_suffix(b"}") else {
        // No object ends here.
        return true;
    };
    if memchr(b':', end).is_none() {
        // The rest of one word: `v1`, `status`, `200`.
        let plain = |b: &u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'"' | b'\\');
        return end.len() <= 16 && end.iter().all(plain);
    }
    let field = memchr::memrchr(b',', end).map_or(end, |at| end.get(at..).unwrap_or_default());
    let number = field.rsplit(|b| *b == b':').next().unwrap_or_default();
    if !number.is_empty() && number.iter().all(u8::is_ascii_digit) {
        return true;
    }
    [
        &b"code"[..],
        b"apiVersion",
        b"resourceVersion",
        b"subresource",
        b"name",
        b"uid",
    ]
    .iter()
    .any(|name| memmem::find(field, name).is_some())
}

/// The rest of a request's text that began before: only if what is in it is no key.
fn rest_of_text(text: &[u8]) -> Option<(usize, usize)> {
    // The opening quote itself, or the last half of one inside the value.
    let from = opening(text, usize::from(text.first() == Some(&b':'))).map_or(0, |(at, _)| at);
    let quotes = || memchr_iter(b'"', text).map(|quote| (quote, backslashes(text, 0, quote)));
    let least = quotes().map(|(_, run)| run).min()?;
    if from > 0 && is_after_value(text.get(from..)?) {
        return None;
    }
    // In a JSON object, a request's own texts are one level further in.
    let end = text.trim_ascii_end();
    let end = end.strip_suffix(b"\\n").unwrap_or(end);
    let json = end.ends_with(b"}") || memmem::find(text, b"\",\"").is_some();
    let most = if json { 2 * least + 1 } else { least };
    let (quote, run) = quotes().find(|(quote, run)| *quote >= from && *run <= most)?;
    let content = text.get(from..quote - run)?;
    if json && run < most || is_key(content) {
        return None;
    }
    let over = is_after_value(text.get(quote + 1..)?);
    (over || looks_like_a_value(content)).then_some((from, quote - run))
}

/// Whether a text can be of a key, with the NUL that a page begins after.
fn is_key(text: &[u8]) -> bool {
    let end = text.strip_suffix(b"000").map(|rest| {
        let run = backslashes(rest, 0, rest.len());
        rest.get(..rest.len() - run).unwrap_or_default()
    });
    let allowed = |b: &u8| {
        b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'/' | b'.' | b'_' | b':' | b'-' | b'@' | b'~' | b'%' | b'+' | b'='
            )
    };
    end.unwrap_or(text).iter().all(allowed)
}

/// What etcd prints behind a value.
fn is_after_value(rest: &[u8]) -> bool {
    [
        &b" >"[..],
        b" \\u003e",
        b" \\\\u003e",
        b" lease:",
        b" prev_kv:",
        b" ignore_",
        b" \"",
        b" \\\"",
        b" result:",
    ]
    .iter()
    .any(|after| rest.starts_with(after))
}

/// Escaped bytes, or the quotes of an object inside a quoted text.
fn looks_like_a_value(text: &[u8]) -> bool {
    let octal = |at: usize| {
        text.get(at + 1..at + 4)
            .is_some_and(|digits| digits.iter().all(|b| matches!(b, b'0'..=b'7')))
    };
    let quote = |at: usize| text.get(at..at + 4) == Some(br#"\\\""#);
    // Several fields of a request.
    let fields = [&b"key:"[..], b" range_end:", b" limit:", b" mod_revision:"];
    if fields.iter().any(|name| memmem::find(text, name).is_some()) {
        return false;
    }
    memchr_iter(b'\\', text).any(|at| octal(at) || quote(at))
}

/// Fills a part of a text; of a quote that is cut there, backslashes stay.
fn fill(text: &mut [u8], from: usize, to: usize) {
    let to = to - backslashes(text, from, to);
    if let Some(part) = text.get_mut(from..to) {
        part.fill(FILL);
    }
}

/// Fills all of a text but quotes, brackets and what separates.
fn blank(text: &mut [u8], from: usize, to: usize) {
    let part = text.get_mut(from..to).unwrap_or_default();
    let mut run = 0;
    for at in 0..part.len() {
        match part.get(at) {
            Some(b'\\') => {
                run += 1;
                continue;
            }
            Some(b'"') => {}
            Some(b'{' | b'}' | b'[' | b']' | b':' | b',' | b' ' | b'\t') if run == 0 => {}
            // With the backslashes before it.
            _ => {
                if let Some(part) = part.get_mut(at - run..=at) {
                    part.fill(FILL);
                }
            }
        }
        run = 0;
    }
}

#[cfg(test)]
#[expect(clippy::string_slice, reason = "the lines that are cut here are ASCII")]
mod tests;
