//! Durations of the hot path: one number and one unit, which is all a request takes.

use crate::logs::record::{Value, ValueKind};

/// `123.279445ms` and its like in nanoseconds, in 64 bits. Anything with two units, a bare
/// number or a cut goes the general way.
pub(super) fn nanos(value: &Value<'_>) -> Option<u64> {
    if value.kind == ValueKind::String
        && let Some(ns) = single_unit(value.raw)
    {
        return Some(ns);
    }
    value.duration_ns()
}

fn single_unit(text: &[u8]) -> Option<u64> {
    // Nine digits on each side of the point fit into 64 bits with every unit.
    const MAX_DIGITS: usize = 9;
    let mut value: u64 = 0;
    let mut at = 0;
    while let Some(digit) = text.get(at).filter(|b| b.is_ascii_digit()) {
        value = value * 10 + u64::from(digit - b'0');
        at += 1;
        if at > MAX_DIGITS {
            return None;
        }
    }
    if at == 0 {
        return None;
    }
    let mut fraction = 0;
    let mut digits = 0;
    if text.get(at) == Some(&b'.') {
        at += 1;
        while let Some(digit) = text.get(at).filter(|b| b.is_ascii_digit()) {
            fraction = fraction * 10 + u64::from(digit - b'0');
            at += 1;
            digits += 1;
            if digits > MAX_DIGITS {
                return None;
            }
        }
    }
    // The number of decimal places that a unit leaves to nanoseconds.
    let places = match text.get(at..)? {
        b"ns" => 0,
        b"us" | b"\xc2\xb5s" => 3,
        b"ms" => 6,
        b"s" => 9,
        _ => return None,
    };
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
    let unit = POWERS.get(places)?;
    let fraction = if digits <= places {
        fraction * POWERS.get(places - digits)?
    } else {
        fraction / POWERS.get(digits - places)?
    };
    value.checked_mul(*unit)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::parse_go_duration;

    #[test]
    fn agrees_with_the_general_reader() {
        for text in [
            "123.279445ms",
            "1.263337456s",
            "56.905µs",
            "56.905us",
            "250ns",
            "0s",
            "100ms",
            "1s",
            "1.5ns",
            "0.1s",
        ] {
            assert_eq!(
                single_unit(text.as_bytes()),
                parse_go_duration(text.as_bytes()),
                "{text}"
            );
        }
        for text in ["1m15.8s", "", "s", "12", "1.s1", "99999999999s", "now"] {
            assert_eq!(single_unit(text.as_bytes()), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn agrees_wherever_it_answers(text in "[0-9]{1,9}(\\.[0-9]{1,9})?(ns|us|µs|ms|s)") {
            proptest::prop_assert_eq!(
                single_unit(text.as_bytes()),
                parse_go_duration(text.as_bytes())
            );
        }
    }
}
