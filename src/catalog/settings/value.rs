//! Values of settings as text → numbers, durations, flags and lists.
//!
//! Each gives `None` for a text that the component itself would refuse.

use crate::units::parse_go_duration;

/// A Go boolean (`strconv.ParseBool`), and the words of YAML 1.1 that configuration files allow.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text.trim() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            Some(true)
        }
        "0" | "f" | "F" | "false" | "FALSE" | "False" | "no" | "No" | "NO" | "off" | "Off"
        | "OFF" => Some(false),
        _ => None,
    }
}

/// A whole number, as Go's flag package reads it: decimal, `0x`, `0o` and a leading `0` for
/// octal, with `_` between digits.
pub fn parse_int(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase().replace('_', "");
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, lower.get(2..)?),
        [b'0', b'o', ..] => (8, lower.get(2..)?),
        [b'0', b'b', ..] => (2, lower.get(2..)?),
        [b'0', _, ..] => (8, lower.get(1..)?),
        _ => (10, lower.as_str()),
    };
    if !digits.bytes().next()?.is_ascii_alphanumeric() {
        return None;
    }
    let value = i64::from_str_radix(digits, radix).ok()?;
    Some(if negative { -value } else { value })
}

/// A finite number.
pub fn parse_float(text: &str) -> Option<f64> {
    let value: f64 = text.trim().parse().ok()?;
    value.is_finite().then_some(value)
}

/// etcd's own quota where 0 is given (etcd `server/storage/quota.go`).
const QUOTA_DEFAULT: f64 = 2_147_483_648.0;

/// How much a value of a limit lets through; infinite where it is no limit.
pub fn allowance(name: &str, text: &str) -> Option<f64> {
    let number = parse_float(text.trim().trim_matches(['"', '\'']))?;
    let quota = name == "quota-backend-bytes";
    Some(match number {
        // client-go has no limiter below zero, and etcd no quota.
        below if below < 0.0 && (quota || name.to_ascii_lowercase().contains("qps")) => {
            f64::INFINITY
        }
        0.0 if quota => QUOTA_DEFAULT,
        // No limit at all without priority levels, and with them all of the sum is in the other flag.
        0.0 if name.ends_with("requests-inflight") => f64::INFINITY,
        number => number,
    })
}

/// A duration in milliseconds: a Go duration (`10m`, `1m30s`), or a bare number in the unit that
/// the setting counts in (`unit_ms`: 1 for etcd's heartbeat, 1000 for seconds).
pub fn parse_duration_setting(text: &str, unit_ms: f64) -> Option<f64> {
    let text = text.trim();
    if let Some(number) = parse_float(text) {
        return Some(number * unit_ms);
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    parse_go_duration(rest.as_bytes()).map(|ns| sign * ns as f64 / 1e6)
}

/// Parts of a comma separated value, empty ones left out.
pub fn parse_list(text: &str) -> Vec<&str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect()
}

/// `Name=true,Other=false`; a part that is no such pair gives `None` in its place.
pub fn parse_gates(text: &str) -> Vec<(&str, Option<bool>)> {
    parse_list(text)
        .into_iter()
        .map(|part| match part.split_once('=') {
            Some((name, value)) => (name.trim(), parse_bool(value)),
            None => (part, None),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_as_go_reads_them() {
        let cases: &[(&str, Option<i64>)] = &[
            ("8589934592", Some(8_589_934_592)),
            ("-1", Some(-1)),
            ("0", Some(0)),
            ("0x10", Some(16)),
            ("017", Some(15)),
            ("1_000", Some(1000)),
            ("8GiB", None),
            ("", None),
            ("--1", None),
            ("1.5", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_int(text), *expected, "{text}");
        }
    }

    #[test]
    fn durations_with_their_unit() {
        assert_eq!(parse_duration_setting("100", 1.0), Some(100.0));
        assert_eq!(parse_duration_setting("5", 1000.0), Some(5000.0));
        assert_eq!(parse_duration_setting("5m0s", 1.0), Some(300_000.0));
        assert_eq!(parse_duration_setting("0", 1.0), Some(0.0));
        assert_eq!(parse_duration_setting("-10s", 1.0), Some(-10_000.0));
        assert_eq!(parse_duration_setting("soon", 1.0), None);
    }

    #[test]
    fn gates_and_flags() {
        assert_eq!(
            parse_gates("A=true, B=false,C,D=maybe,"),
            [
                ("A", Some(true)),
                ("B", Some(false)),
                ("C", None),
                ("D", None)
            ]
        );
        assert_eq!(parse_bool("True"), Some(true));
        assert_eq!(parse_bool("tRue"), None);
    }

    proptest! {
        #[test]
        fn never_panics(text: String) {
            let _ = (parse_bool(&text), parse_int(&text), parse_float(&text), parse_gates(&text));
            let _ = parse_duration_setting(&text, 1.0);
        }

        #[test]
        fn whole_numbers_round_trip(n: i32) {
            prop_assert_eq!(parse_int(&n.to_string()), Some(i64::from(n)));
        }
    }
}
