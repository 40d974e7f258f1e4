//! Texts that hold one process's scrapes of several moments, each sample with its time: what
//! `promtool tsdb dump-openmetrics` writes, series by series, and scrapes that follow each other.

use std::collections::{BTreeMap, HashSet};

/// Most moments of one text.
const MAX_MOMENTS: usize = 2_000;

/// The lines of each moment, the earliest first; `None` where no series stands twice, so that the
/// times are those of one scrape's targets.
pub(super) fn split(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let samples = || text.split(|b| *b == b'\n').filter_map(sample);
    // Nearly all scrapes have no times.
    samples().next()?.time?;
    let mut known = HashSet::new();
    let mut times = HashSet::new();
    let mut twice = false;
    for line in samples() {
        times.insert(line.time.unwrap_or_default());
        twice |= !known.insert(line.series);
    }
    if !twice || times.len() < 2 || times.len() > MAX_MOMENTS {
        return None;
    }
    let mut moments: BTreeMap<Moment<'_>, Vec<u8>> = BTreeMap::new();
    for line in samples() {
        let into = moments.entry(Moment::of(line.time)).or_default();
        into.extend_from_slice(line.whole);
        into.push(b'\n');
    }
    Some(moments.into_values().collect())
}

/// A time as it is written, in its order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Moment<'t> {
    /// Digits before the point: a number without leading zeros is the larger the longer it is.
    digits: usize,
    text: &'t [u8],
}

impl<'t> Moment<'t> {
    fn of(time: Option<&'t [u8]>) -> Self {
        let text = time.unwrap_or_default();
        let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
        Moment { digits, text }
    }
}

struct Line<'t> {
    whole: &'t [u8],
    /// Name and labels.
    series: &'t [u8],
    time: Option<&'t [u8]>,
}

fn sample(line: &[u8]) -> Option<Line<'_>> {
    let whole = line.trim_ascii();
    if matches!(whole.first(), None | Some(b'#')) {
        return None;
    }
    let end = end_of_series(whole);
    let (series, rest) = whole.split_at_checked(end)?;
    let mut words = rest
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    words.next()?;
    let time = words.next().filter(|word| *word != b"#");
    Some(Line {
        whole,
        series,
        time,
    })
}

/// Where name and labels end. Values of labels may hold anything but a bare quote.
fn end_of_series(line: &[u8]) -> usize {
    let mut quoted = false;
    let mut escaped = false;
    let mut labels = false;
    for (at, byte) in line.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' => labels = true,
            b'}' => return at + 1,
            b' ' | b'\t' if !labels => return at,
            _ => {}
        }
    }
    line.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_of(text: &str) -> Option<Vec<String>> {
        let parts = split(text.as_bytes())?;
        Some(
            parts
                .into_iter()
                .map(|part| String::from_utf8(part).unwrap())
                .collect(),
        )
    }

    #[test]
    fn moments_of_one_text_come_apart() {
        // Series by series, and one scrape after the other.
        let by_series = "# TYPE a counter\na{x=\"} 1 2\"} 1 900\na{x=\"} 1 2\"} 2 1000\nb 3 900\nb 4 1000 # {id=\"7\"} 1 2\n# EOF\n";
        let by_scrape =
            "a{x=\"} 1 2\"} 1 900\nb 3 900\na{x=\"} 1 2\"} 2 1000\nb 4 1000 # {id=\"7\"} 1 2\n";
        let want = [
            "a{x=\"} 1 2\"} 1 900\nb 3 900\n",
            "a{x=\"} 1 2\"} 2 1000\nb 4 1000 # {id=\"7\"} 1 2\n",
        ];
        for text in [by_series, by_scrape] {
            assert_eq!(split_of(text).unwrap(), want, "{text}");
        }
        assert_eq!(
            split_of("a 1 9.5\na 2 10\n").unwrap(),
            ["a 1 9.5\n", "a 2 10\n"]
        );
    }

    #[test]
    fn one_scrape_stays_one() {
        for text in [
            "",
            "# only a comment\n",
            "a 1\nb 2\n",
            "a 1\na 2\n",
            "a 1 900\nb 2 900\n",
            // Targets of a federation, each with its own time.
            "a{instance=\"x\"} 1 900\na{instance=\"y\"} 1 950\n",
        ] {
            assert_eq!(split_of(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost(text in "([ab](\\{[xy]=\"[} ]{0,2}\"\\})? [12]( [0-9]{1,2})?\n){0,8}") {
            if let Some(parts) = split(text.as_bytes()) {
                let lines = |text: &[u8]| text.split(|b| *b == b'\n').filter(|l| !l.is_empty()).count();
                let sum: usize = parts.iter().map(|part| lines(part)).sum();
                proptest::prop_assert_eq!(sum, lines(text.as_bytes()));
            }
        }
    }
}
