//! Syslog and the journal's text outputs: a time, a host, a program, and the line.

use memchr::memchr;

use crate::clock::Timestamp;
use crate::logs::format::{level_priority, level_word};
use crate::logs::needle;
use crate::logs::record::Level;
use crate::logs::timestamp::{TimeCache, YearFrom, clock, complete, epoch, month};

use super::Peeled;
use super::calendar::{any_month, zone_word};

/// Longest host and program name that is believed.
const NAME_MAX: usize = 255;

/// Takes off any of: RFC 3164, RFC 5424, journalctl short, short-precise, short-iso, short-full,
/// short-unix, short-monotonic, short-delta, with-unit, rsyslog's and syslog-ng's files. A time without a year is left
/// out here and completed by [`complete_time`].
pub fn peel<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    match text.first()? {
        b'<' => priority(text, cache),
        b'0'..=b'9' => iso(text, cache)
            .or_else(|| dated(text))
            .or_else(|| unix(text)),
        b'[' => monotonic(text),
        b'A'..=b'Z' => named(text, cache),
        b'a'..=b'z' => dated(text).or_else(|| no_time(text)),
        // A month's name in another script.
        0x80.. => dated(text),
        _ => None,
    }
}

/// `<30>Mon dd …` and `<30>1 2026-… host app pid msgid sd text`.
fn priority<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    let end = memchr(b'>', text.get(..text.len().min(5))?)?;
    let number: u32 = std::str::from_utf8(text.get(1..end)?).ok()?.parse().ok()?;
    if number > 191 {
        return None;
    }
    let rest = text.get(end + 1..)?;
    let mut peeled = match rest.strip_prefix(b"1 ") {
        Some(rest) => structured(rest, cache)?,
        None => match rest.first()? {
            b'0'..=b'9' => iso(rest, cache)?,
            _ => named(rest, cache).or_else(|| dated(rest))?,
        },
    };
    if peeled.level == Level::Unknown {
        peeled.level = level_priority(number & 7);
    }
    Some(peeled)
}

/// RFC 5424 after its version.
fn structured<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    let (time, rest) = match text.strip_prefix(b"- ") {
        Some(rest) => (None, rest),
        None => {
            let stamp = cache.iso(text)?;
            (Some(stamp), text.get(stamp.len..)?.strip_prefix(b" ")?)
        }
    };
    let (host, rest) = word(rest)?;
    let (app, rest) = word(rest)?;
    let (_pid, rest) = word(rest)?;
    let (_msgid, rest) = word(rest)?;
    let rest = match rest.first() {
        Some(b'-') => rest.get(1..)?,
        Some(b'[') => elements(rest)?,
        _ => return None,
    };
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let rest = rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rest);
    let known = |name: &'a [u8]| (name != b"-").then_some(name);
    Some(Peeled {
        time: time.map(|stamp| stamp.time),
        zoned: time.is_some_and(|stamp| stamp.zoned),
        ident: known(app),
        host: known(host),
        syslog: true,
        ..Peeled::text(rest)
    })
}

/// What follows the structured data `[id name="value"]…`.
fn elements(text: &[u8]) -> Option<&[u8]> {
    let mut quoted = false;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            b']' if !quoted && text.get(at + 1) != Some(&b'[') => return text.get(at + 1..),
            _ => {}
        }
        at += 1;
    }
    None
}

/// `2026-11-21T20:04:04+0000 host ident[pid]: text`. `kubectl logs --timestamps` has the same
/// beginning and any text after it, so host and program must have their shapes.
fn iso<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    let stamp = cache.iso(text)?;
    let rest = text.get(stamp.len..)?.strip_prefix(b" ")?;
    // Many programs begin their lines so: no syslog's line without the process that wrote it.
    if text.get(10) != Some(&b'T') && !stamp.zoned && !(stamp.digits <= 6 && named_program(rest)) {
        return None;
    }
    // RFC3339Nano is a container runtime's time: no syslog has more than microseconds.
    if stamp.digits > 6 && !loose_program(rest) {
        return None;
    }
    let mut peeled = program(rest)?;
    peeled.time = Some(stamp.time);
    peeled.zoned = stamp.zoned;
    if !stamp.zoned {
        // syslog-ng as StarlingX sets it up: the severity as a word before the message.
        if let Some((word, rest)) = word(peeled.text)
            && word.iter().all(u8::is_ascii_lowercase)
            && let Some(level) = level_word(word)
        {
            peeled.level = level;
            peeled.text = rest;
        }
    }
    Some(peeled)
}

/// Whether this is `host ident[pid]: ` or `host kernel: `.
fn named_program(text: &[u8]) -> bool {
    program(text).is_some_and(|peeled| {
        let head = text.get(..text.len() - peeled.text.len());
        peeled.host.is_some_and(|host| level_word(host).is_none())
            && (peeled.ident == Some(b"kernel") || head.is_some_and(|head| head.ends_with(b"]: ")))
    })
}

fn loose_program(text: &[u8]) -> bool {
    // `host tag: text` with a pid is never kubectl's.
    program(text).is_some_and(|peeled| peeled.ident.is_some()) && needle::PID_END.is_in(text)
}

/// `Nov 24 19:06:42 host ident[pid]: text` and `Sat 2026-11-21 20:04:04 UTC host ident: text`.
fn named<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    if let Some(month) = month(text.get(..3)?) {
        return behind_month(month, text.get(3..)?.strip_prefix(b" ")?);
    }
    if let Some(peeled) = dated(text) {
        return Some(peeled);
    }
    const DAYS: [&[u8]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
    if DAYS.contains(&text.get(..3)?) && text.get(3) == Some(&b' ') {
        let rest = text.get(4..)?;
        let stamp = cache.iso(rest)?;
        let rest = rest.get(stamp.len..)?.strip_prefix(b" ")?;
        let (zone, after) = word(rest)?;
        let zone_like =
            |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-');
        if !zone.iter().all(zone_like) {
            return None;
        }
        let mut peeled = program(after)?;
        let offset_us = zone_word(zone);
        peeled.time = Some(stamp.time.add_us(-offset_us.unwrap_or_default()));
        peeled.zoned = offset_us.is_some();
        return Some(peeled);
    }
    no_time(text)
}

/// The same with a month in the host's language, `févr. 16 19:06:42 host ident[pid]: text`.
fn dated(text: &[u8]) -> Option<Peeled<'_>> {
    let (month, rest) = any_month(text)?;
    behind_month(month, rest)
}

/// `24 19:06:42 host ident[pid]: text`.
fn behind_month(month: u32, text: &[u8]) -> Option<Peeled<'_>> {
    let (&[d1, d2, b' '], rest) = text.split_first_chunk()? else {
        return None;
    };
    let tens = if d1 == b' ' { b'0' } else { d1 };
    let day = crate::logs::timestamp::two(tens, d2)?;
    let (us, taken) = clock(rest)?;
    let rest = rest.get(taken..)?.strip_prefix(b" ")?;
    let mut peeled = program(rest)?;
    peeled.time = Some(unfinished(month, day, us));
    Some(peeled)
}

/// `1709633475.345678 host ident[pid]: text` of `-o short-unix`. Numbers stand before many lines, so
/// the process must be named.
fn unix(text: &[u8]) -> Option<Peeled<'_>> {
    let (head, rest) = text.split_first_chunk::<18>()?;
    let (&[ref secs @ .., b'.'], fraction) = head.split_first_chunk::<11>()? else {
        return None;
    };
    let (fraction, space) = fraction.split_first_chunk::<6>()?;
    let digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    if space != b" " || !digits(secs) || !digits(fraction) || !named_program(rest) {
        return None;
    }
    Some(Peeled {
        time: epoch(head.get(..17)?),
        zoned: true,
        ..program(rest)?
    })
}

/// `[ 5123.170712] host ident[pid]: text`, `[ 5123.170712 <    0.000123 >] host …` of
/// `-o short-delta`, and dmesg's `[ 5123.170712] text`.
fn monotonic(text: &[u8]) -> Option<Peeled<'_>> {
    let end = memchr(b']', text.get(..text.len().min(48))?)?;
    let number = text.get(1..end)?.trim_ascii_start();
    let number = without_delta(number).unwrap_or(number);
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let point = memchr(b'.', number)?;
    let (secs, fraction) = (number.get(..point)?, number.get(point + 1..)?);
    if !digits(secs) || !digits(fraction) || fraction.len() != 6 {
        return None;
    }
    let rest = text.get(end + 1..)?.strip_prefix(b" ")?;
    if let Some(peeled) = program(rest).filter(|peeled| peeled.host.is_some() && has_pid(rest)) {
        return Some(peeled);
    }
    Some(Peeled {
        ident: Some(b"kernel"),
        syslog: true,
        ..Peeled::text(rest)
    })
}

/// `5123.170712` of `5123.170712 <    0.000123 >`; the first line has nothing to differ from.
fn without_delta(text: &[u8]) -> Option<&[u8]> {
    let at = memchr(b'<', text)?;
    let (number, delta) = text.split_at_checked(at)?;
    let delta = delta.strip_prefix(b"<")?.strip_suffix(b">")?;
    let plain = |b: &u8| b.is_ascii_digit() || matches!(b, b' ' | b'.');
    delta
        .iter()
        .all(plain)
        .then(|| number.strip_suffix(b" "))
        .flatten()
}

fn has_pid(text: &[u8]) -> bool {
    let head = text.get(..text.len().min(2 * NAME_MAX)).unwrap_or_default();
    needle::PID_END.is_in(head) || needle::KERNEL.is_in(head)
}

/// `node1 etcd[1657]: text`, whose time somebody cut off: only with a process id.
fn no_time(text: &[u8]) -> Option<Peeled<'_>> {
    let head = text.get(..text.len().min(2 * NAME_MAX))?;
    let end = needle::PID_END.find(head)?;
    let before = head.get(..end)?;
    let open = before.iter().rposition(|b| *b == b'[')?;
    let pid = before.get(open + 1..)?;
    let spaces = before.iter().filter(|b| **b == b' ').count();
    if spaces != 1 || pid.is_empty() || !pid.iter().all(u8::is_ascii_digit) {
        return None;
    }
    program(text)
}

/// `host ident[pid]: text`, or `ident[pid]: text` where the host is left out.
fn program(text: &[u8]) -> Option<Peeled<'_>> {
    let (first, rest) = word(text)?;
    if let Some((ident, inner)) = tag(text) {
        // `-o short --no-hostname`.
        return Some(Peeled {
            ident: Some(ident),
            syslog: true,
            ..Peeled::text(inner)
        });
    }
    let host = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
    if first.len() > NAME_MAX || !first.iter().all(host) {
        return None;
    }
    let (ident, inner) = tag(rest)?;
    Some(Peeled {
        ident: Some(ident),
        host: Some(first),
        syslog: true,
        ..Peeled::text(inner)
    })
}

/// `ident[pid]: ` or `ident: `, with what follows.
fn tag(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let allowed = |b: &u8| {
        b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'.' | b'-' | b'_' | b'/' | b'@' | b'(' | b')' | b'\\' | b'+'
            )
    };
    let end = text.iter().take(NAME_MAX).position(|b| !allowed(b))?;
    let (ident, rest) = text.split_at(end);
    // A step of a trace, `Trace[1]: `, looks like a program and its number.
    if ident.is_empty() || ident == b"Trace" {
        return None;
    }
    let rest = match rest.strip_prefix(b"[") {
        Some(rest) => {
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            rest.get(digits..)?.strip_prefix(b"]")?
        }
        None => rest,
    };
    let rest = rest.strip_prefix(b":")?;
    match rest.strip_prefix(b" ") {
        Some(inner) => Some((ident, inner)),
        None if rest.is_empty() => Some((ident, rest)),
        None => None,
    }
}

fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b' ', text.get(..text.len().min(NAME_MAX + 1))?)?;
    (end > 0).then_some((text.get(..end)?, text.get(end + 1..)?))
}

/// A date without a year, as days and time of a leap year before the epoch's first: what no
/// real log can hold, until [`complete_time`] gives it its year.
fn unfinished(month: u32, day: u32, us: i64) -> Timestamp {
    let packed = i64::from(month) * 32 + i64::from(day);
    Timestamp(i64::MIN + packed * crate::logs::timestamp::DAY_US + us)
}

/// Gives a time without a year its year.
pub fn complete_time(time: Timestamp, year: YearFrom) -> Option<Timestamp> {
    let since = time.0.wrapping_sub(i64::MIN);
    if !(0..500 * crate::logs::timestamp::DAY_US).contains(&since) {
        return Some(time);
    }
    let packed = u32::try_from(since.div_euclid(crate::logs::timestamp::DAY_US)).ok()?;
    let us = since.rem_euclid(crate::logs::timestamp::DAY_US);
    complete(packed / 32, packed % 32, year).map(|days| Timestamp(days + us))
}

/// What rsyslog makes of equal messages in a row: `message repeated 3 times: [ MSG]`, after the first
/// one. With how many more there were, the message, and whether its end is lost.
pub fn repeated(text: &[u8]) -> Option<(u64, &[u8], bool)> {
    /// rsyslog keeps so many bytes of the message (rsyslog: msg.c, `%.800s`).
    const KEPT: usize = 800;
    let rest = text.strip_prefix(b"message repeated ")?;
    let (times, rest) = rest.split_at(rest.iter().position(|b| !b.is_ascii_digit())?);
    let times = std::str::from_utf8(times).ok()?.parse().ok()?;
    let inner = rest.strip_prefix(b" times: [")?.trim_ascii_end();
    let whole = inner.strip_suffix(b"]");
    let msg = whole.unwrap_or(inner);
    Some((
        times,
        msg.trim_ascii_start(),
        whole.is_none() || msg.len() >= KEPT,
    ))
}

#[cfg(test)]
mod tests;
