//! Sizes in bytes, with binary units as etcd's own documentation uses them.

/// Prints bytes with a binary unit and three significant digits, four from 1000 to 1023 of a unit: `8 GiB`,
/// `61.4 MiB`, `1023 B`.
pub fn format_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    // As it will be printed: 1023.97 KiB is 1 MiB.
    while value.round() >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let unit = UNITS[unit];
    if unit == "B" || value.fract() == 0.0 || value >= 100.0 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// Reads `8GiB`, `8 GiB`, `512Mi`, `1.5G`, `100` (bytes). Units without `i` are decimal.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split)?;
    let number: f64 = number.parse().ok()?;
    let factor: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "ki" | "kib" => 1024.0,
        "mi" | "mib" => 1_048_576.0,
        "gi" | "gib" => 1_073_741_824.0,
        "ti" | "tib" => 1_099_511_627_776.0,
        _ => return None,
    };
    let value = number * factor;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be finite, not negative and below 2^63"
    )]
    (value.is_finite() && (0.0..9.2e18).contains(&value)).then_some(value.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_print_short() {
        assert_eq!(format_bytes(0), "0 B");
        assert_eq!(format_bytes(8_589_934_592), "8 GiB");
        assert_eq!(format_bytes(64_382_566), "61.4 MiB");
        assert_eq!(format_bytes(1023), "1023 B");
        assert_eq!(format_bytes(1_048_550), "1.0 MiB");
        assert_eq!(format_bytes(1_047_900), "1023 KiB");
        assert_eq!(format_bytes(1 << 30), "1 GiB");
    }

    #[test]
    fn sizes_parse_with_binary_and_decimal_units() {
        assert_eq!(parse_bytes("8GiB"), Some(8_589_934_592));
        assert_eq!(parse_bytes("2 Gi"), Some(2_147_483_648));
        assert_eq!(parse_bytes("1.5k"), Some(1500));
        assert_eq!(parse_bytes("100"), Some(100));
        assert_eq!(parse_bytes("much"), None);
        assert_eq!(parse_bytes("-1"), None);
    }
}
