//! Pressure stall information: `/proc/pressure/*` and the `*.pressure` files of cgroups.
//!
//! The share of a window comes from the difference of `total`; the kernel's own `avg10` is only a
//! fallback where one sample is all there is. Pressure of the whole host is information: it never
//! says by itself who suffered.

/// One pressure file: microseconds stalled since boot, and the kernel's ten-second mean.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// Some task waited.
    pub some_us: u64,
    /// Share of the last ten seconds in which some task waited, 0 to 1.
    pub some_avg10: f64,
    /// All tasks waited; older kernels have no such line for the CPU.
    pub full_us: Option<u64>,
    /// Share of the last ten seconds in which all tasks waited.
    pub full_avg10: Option<f64>,
}

/// Reads a pressure file.
pub fn parse_pressure(bytes: &[u8]) -> Option<Pressure> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut pressure = Pressure::default();
    let mut found = false;
    for line in text.lines() {
        let (kind, rest) = line.split_once(' ')?;
        let value = |name: &str| {
            rest.split_ascii_whitespace()
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let avg10: f64 = value("avg10")?.parse().ok()?;
        let total: u64 = value("total")?.parse().ok()?;
        let avg10 = (0.0..=100.0).contains(&avg10).then_some(avg10 / 100.0)?;
        match kind {
            "some" => {
                pressure.some_us = total;
                pressure.some_avg10 = avg10;
                found = true;
            }
            "full" => {
                pressure.full_us = Some(total);
                pressure.full_avg10 = Some(avg10);
            }
            _ => {}
        }
    }
    found.then_some(pressure)
}

/// Shares of the window between two samples: some, full. `None` after a restart.
pub fn stalled(before: &Pressure, after: &Pressure, secs: f64) -> Option<(f64, Option<f64>)> {
    if !secs.is_finite() || secs <= 0.0 {
        return None;
    }
    let share = |a: u64, b: u64| Some((b.checked_sub(a)? as f64 / 1e6 / secs).min(1.0));
    let full = match (before.full_us, after.full_us) {
        (Some(a), Some(b)) => Some(share(a, b)?),
        _ => None,
    };
    Some((share(before.some_us, after.some_us)?, full))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &[u8] = b"some avg10=44.41 avg60=36.46 avg300=36.97 total=3104178514\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
    const B: &[u8] = b"some avg10=74.11 avg60=59.71 avg300=43.79 total=3154805644\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";

    #[test]
    fn the_share_comes_from_totals() {
        let (a, b) = (parse_pressure(A).unwrap(), parse_pressure(B).unwrap());
        let (some, full) = stalled(&a, &b, 75.585).unwrap();
        assert!((some - 0.6698).abs() < 0.0001);
        assert_eq!(full, Some(0.0));
        assert_eq!(stalled(&b, &a, 75.0), None);
        assert!((a.some_avg10 - 0.4441).abs() < 1e-9);
    }

    #[test]
    fn old_kernels_have_no_full_line_for_the_cpu() {
        let one = parse_pressure(b"some avg10=1.00 avg60=0 avg300=0 total=5\n").unwrap();
        assert_eq!(one.full_us, None);
        assert_eq!(parse_pressure(b""), None);
        assert_eq!(parse_pressure(b"some avg10=1.00 avg60=0.0"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_do(bytes: Vec<u8>, cut in 0..A.len(), secs: f64) {
            let _ = parse_pressure(&bytes);
            if let (Some(a), Some(b)) = (parse_pressure(&A[..cut]), parse_pressure(B)) {
                let _ = stalled(&a, &b, secs);
            }
        }
    }
}
