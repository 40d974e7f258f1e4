//! Durations as Go programs print them, and as people read them.

/// Reads a Go duration (`1m15.841622694s`, `123.279445ms`, `56.905µs`, `8h0m2.59s`, `0s`) as
/// nanoseconds. Accepts `us`, `µs` (U+00B5) and `μs` (U+03BC, seen after copying).
#[inline]
pub fn parse_go_duration(text: &[u8]) -> Option<u64> {
    at_once(text).or_else(|| other_forms(text))
}

/// Out of the way of the usual form, whose few registers need no saving.
#[cold]
#[inline(never)]
fn other_forms(text: &[u8]) -> Option<u64> {
    single_unit(text).or_else(|| any_units(text))
}

/// `123.456789ms` and the like in few steps: up to seven digits on each side of a point and one
/// unit, the fraction and it in up to eight bytes. `None` for anything else, good or bad.
#[inline]
fn at_once(text: &[u8]) -> Option<u64> {
    let first = u64::from_le_bytes(*text.first_chunk()?);
    let last = u64::from_le_bytes(*text.last_chunk()?);
    let (whole, len) = leading_digits(first)?;
    if first >> (8 * len) & 0xFF != u64::from(b'.') {
        return None;
    }
    let behind = text.len().checked_sub(len as usize + 1)?;
    let unread = 8_usize.checked_sub(behind).filter(|unread| *unread < 8)?;
    let rest = last >> (8 * unread);
    let (fraction, places) = leading_digits(rest)?;
    const NS: u64 = u64::from_le_bytes(*b"ns\0\0\0\0\0\0");
    const US: u64 = u64::from_le_bytes(*b"us\0\0\0\0\0\0");
    const MICRO: u64 = u64::from_le_bytes(*b"\xc2\xb5s\0\0\0\0\0");
    const MS: u64 = u64::from_le_bytes(*b"ms\0\0\0\0\0\0");
    const S: u64 = u64::from_le_bytes(*b"s\0\0\0\0\0\0\0");
    let unit = match rest >> (8 * places) {
        NS => 0,
        US | MICRO => 3,
        MS => 6,
        S => 9,
        _ => return None,
    };
    let places = places as usize;
    let fraction = if places <= unit {
        fraction * POWERS.get(unit - places)?
    } else {
        fraction / POWERS.get(places - unit)?
    };
    Some(whole * POWERS.get(unit)? + fraction)
}

const ZEROS: u64 = 0x3030_3030_3030_3030;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The number that a word of text begins with, and how many digits it has: one to seven.
#[inline(always)]
pub(crate) fn leading_digits(word: u64) -> Option<(u64, u32)> {
    let digits = word ^ ZEROS;
    // Above nine, adding 118 reaches the high bit; what that carries on is behind the first one.
    let other = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & HIGH;
    let len = other.trailing_zeros() / 8;
    if len == 0 || other == 0 {
        return None;
    }
    // Zeros in front.
    Some((together(digits << (8 * (8 - len))), len))
}

/// How many digits a word of text begins with.
#[inline]
pub(crate) fn digit_run(word: u64) -> u32 {
    let digits = word ^ ZEROS;
    // As in `leading_digits`; without another byte all eight are digits.
    ((digits.wrapping_add(0x7676_7676_7676_7676) | digits) & HIGH).trailing_zeros() / 8
}

/// The number that eight bytes of text are, if all of them are digits.
#[inline]
pub(crate) fn eight_digits(word: u64) -> Option<u32> {
    let digits = word ^ ZEROS;
    let other = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & HIGH;
    (other == 0).then(|| u32::try_from(together(digits)).unwrap_or(0))
}

/// Puts neighbours together: digits, pairs, fours.
#[inline]
fn together(eight: u64) -> u64 {
    let pairs = (eight.wrapping_mul(10) + (eight >> 8)) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_FFFF_0000_FFFF;
    (fours.wrapping_mul(10_000) + (fours >> 32)) & 0xFFFF_FFFF
}

const POWERS: [u64; 10] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
];

/// One number and one unit, which is all that most durations are, in 64 bits. `None` for anything
/// else, good or bad.
#[inline]
fn single_unit(text: &[u8]) -> Option<u64> {
    // So many digits fit into 64 bits.
    const MAX_DIGITS: usize = 18;
    // All digits as one number; the point only says where the unit stands.
    let mut value: u64 = 0;
    let mut point = None;
    let mut len = 0;
    for byte in text {
        match byte.wrapping_sub(b'0') {
            digit @ 0..=9 => value = value.wrapping_mul(10).wrapping_add(u64::from(digit)),
            _ if *byte == b'.' && point.is_none() && len > 0 => point = Some(len),
            _ => break,
        }
        len += 1;
    }
    let (digits, places) = match point {
        Some(at) => (len - 1, len - 1 - at),
        None => (len, 0),
    };
    if digits == 0 || digits > MAX_DIGITS {
        return None;
    }
    // The number of decimal places that a unit leaves to nanoseconds.
    let unit = match text.get(len..)? {
        b"ns" => 0,
        b"us" | b"\xc2\xb5s" => 3,
        b"ms" => 6,
        b"s" => 9,
        _ => return None,
    };
    if places <= unit {
        value.checked_mul(*POWERS.get(unit - places)?)
    } else {
        Some(value / POWERS.get(places - unit)?)
    }
}

fn any_units(text: &[u8]) -> Option<u64> {
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let mut whole: u128 = 0;
        let mut at = 0;
        while let Some(digit) = rest.get(at).filter(|b| b.is_ascii_digit()) {
            whole = whole
                .checked_mul(10)?
                .checked_add(u128::from(digit - b'0'))?;
            at += 1;
        }
        let digits = at;
        let mut fraction: u128 = 0;
        let mut scale: u128 = 1;
        if rest.get(at) == Some(&b'.') {
            at += 1;
            while let Some(digit) = rest.get(at).filter(|b| b.is_ascii_digit()) {
                // More than 18 digits cannot change a nanosecond.
                if scale < 1_000_000_000_000_000_000 {
                    fraction = fraction * 10 + u128::from(digit - b'0');
                    scale *= 10;
                }
                at += 1;
            }
        }
        if digits == 0 && scale == 1 {
            return None;
        }
        rest = rest.get(at..)?;
        let (unit, len): (u128, usize) = match rest {
            [b'n', b's', ..] => (1, 2),
            [b'u', b's', ..] => (1_000, 2),
            [0xC2, 0xB5, b's', ..] | [0xCE, 0xBC, b's', ..] => (1_000, 3),
            // `µ` in Latin-1, read as Latin-1 and written again, and replaced because of it: no
            // other unit has a byte beyond ASCII.
            [0xB5, b's', ..] => (1_000, 2),
            [0xC3, 0x82, 0xC2, 0xB5, b's', ..] => (1_000, 5),
            [0xEF, 0xBF, 0xBD, b's', ..] => (1_000, 4),
            [b'm', b's', ..] => (1_000_000, 2),
            [b's', ..] => (1_000_000_000, 1),
            [b'm', ..] => (60_000_000_000, 1),
            [b'h', ..] => (3_600_000_000_000, 1),
            // Go prints zero as `0s`; a bare 0 is seen in hand-made text.
            [] if whole == 0 && fraction == 0 => (1, 0),
            _ => return None,
        };
        total = total.checked_add(
            whole
                .checked_mul(unit)?
                .checked_add(fraction * unit / scale)?,
        )?;
        rest = rest.get(len..)?;
    }
    u64::try_from(total).ok()
}

/// Prints nanoseconds with three significant digits: `1.2 s`, `13.8 ms`, `250 µs`, `2 h 5 min`.
pub fn format_ns(ns: u64) -> String {
    let value = ns as f64;
    if ns < 1_000 {
        format!("{ns} ns")
    } else if ns < 999_500 {
        three(value / 1e3, "µs")
    } else if ns < 999_500_000 {
        three(value / 1e6, "ms")
    } else if ns < 120_000_000_000 {
        three(value / 1e9, "s")
    } else {
        let minutes = ns / 60_000_000_000;
        if minutes < 120 {
            format!("{minutes} min {} s", ns / 1_000_000_000 % 60)
        } else if minutes < 2 * 24 * 60 {
            format!("{} h {} min", minutes / 60, minutes % 60)
        } else {
            format!("{} d {} h", minutes / 1440, minutes / 60 % 24)
        }
    }
}

/// Prints milliseconds like [`format_ns`].
pub fn format_ms(ms: f64) -> String {
    // Nothing is not a matter of nanoseconds.
    if ms == 0.0 {
        return "0 ms".to_owned();
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, which is what a display wants"
    )]
    format_ns((ms.max(0.0) * 1e6) as u64)
}

fn three(value: f64, unit: &str) -> String {
    if value >= 99.95 {
        format!("{value:.0} {unit}")
    } else if value >= 9.995 {
        format!("{:.1} {unit}", value).replace(".0 ", " ")
    } else {
        let text = format!("{value:.2}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        format!("{text} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_of_every_form() {
        let cases: &[(&str, Option<u64>)] = &[
            ("1m15.841622694s", Some(75_841_622_694)),
            ("8h0m2.59s", Some(28_802_590_000_000)),
            ("123.279445ms", Some(123_279_445)),
            ("56.905µs", Some(56_905)),
            ("56.905μs", Some(56_905)),
            ("56.905us", Some(56_905)),
            ("250ns", Some(250)),
            ("0s", Some(0)),
            ("0", Some(0)),
            ("", None),
            ("12", None),
            ("now", None),
            ("1.5", None),
            (".s", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_go_duration(text.as_bytes()), *expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_ways_agree(
            whole in 0_u64..200_000_000,
            digits in 0_usize..11,
            fraction in 0_u64..10_000_000_000,
            unit in 0_usize..8,
        ) {
            let unit = ["ns", "us", "\u{b5}s", "\u{3bc}s", "ms", "s", "m", ""][unit];
            let fraction = format!("{fraction:010}");
            let text = match digits {
                0 => format!("{whole}{unit}"),
                _ => format!("{whole}.{}{unit}", fraction.split_at(digits - 1).0),
            };
            let told = any_units(text.as_bytes());
            proptest::prop_assert_eq!(parse_go_duration(text.as_bytes()), told, "{}", text);
        }

        #[test]
        fn digits_are_read_at_once(bytes in proptest::collection::vec(0x28_u8..0x42, 8), any: u64) {
            for word in [u64::from_le_bytes(bytes.try_into().unwrap()), any] {
                let text = word.to_le_bytes();
                let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let told = std::str::from_utf8(&text[..len]).unwrap().parse::<u64>().ok();
                let wanted = told.filter(|_| len < 8).map(|value| (value, u32::try_from(len).unwrap()));
                proptest::prop_assert_eq!(leading_digits(word), wanted);
                proptest::prop_assert_eq!(digit_run(word) as usize, len);
                let eight = told.filter(|_| len == 8).and_then(|value| u32::try_from(value).ok());
                proptest::prop_assert_eq!(eight_digits(word), eight);
            }
        }

        #[test]
        fn bytes_of_durations_are_read_alike(text in proptest::collection::vec(proptest::sample::select(b"0123456789.nu\xc2\xb5ms ".to_vec()), 0..20), any: Vec<u8>) {
            proptest::prop_assert_eq!(parse_go_duration(&text), any_units(&text));
            proptest::prop_assert_eq!(parse_go_duration(&any), any_units(&any));
        }
    }

    #[test]
    fn a_micro_sign_may_be_damaged() {
        let texts: [&[u8]; 3] = [
            b"12.39\xb5s",
            b"12.39\xc3\x82\xc2\xb5s",
            b"12.39\xef\xbf\xbds",
        ];
        for text in texts {
            assert_eq!(parse_go_duration(text), Some(12_390));
        }
    }

    #[test]
    fn durations_print_short() {
        assert_eq!(format_ns(250), "250 ns");
        assert_eq!(format_ns(13_800_000), "13.8 ms");
        assert_eq!(format_ns(1_200_000_000), "1.2 s");
        assert_eq!(format_ns(1_000_000), "1 ms");
        assert_eq!(format_ns(999_600), "1 ms");
        assert_eq!(format_ns(125 * 60_000_000_000), "2 h 5 min");
    }

    #[test]
    fn the_short_way_agrees_with_the_general_one() {
        for text in [
            "123.279445ms",
            "1.263337456s",
            "56.905µs",
            "56.905us",
            "250ns",
            "0s",
            "1s",
            "1.s",
            "1.5ns",
            "0.1s",
            "1.123456789ms",
        ] {
            let text = text.as_bytes();
            assert!(single_unit(text).is_some());
            assert_eq!(single_unit(text), any_units(text));
        }
        for text in [
            "1m15.8s",
            "",
            "s",
            "12",
            "1.s1",
            "99999999999s",
            "now",
            ".s",
        ] {
            assert_eq!(single_unit(text.as_bytes()), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text: Vec<u8>) {
            let _ = parse_go_duration(&text);
        }

        #[test]
        fn both_ways_agree(text in "[0-9]{0,11}(\\.[0-9]{0,11})?(ns|us|µs|μs|ms|s|m|h|)") {
            if let Some(ns) = single_unit(text.as_bytes()) {
                proptest::prop_assert_eq!(Some(ns), any_units(text.as_bytes()));
            }
        }
    }
}
