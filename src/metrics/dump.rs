//! Texts that hold several scrapes: of one process at several moments, each sample with its time, as
//! `promtool tsdb dump-openmetrics` writes them series by series; and of several processes one after
//! the other, as `cat *.prom` does.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use memchr::memmem;

/// One scrape of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part<'t> {
    pub(super) text: Cow<'t, [u8]>,
    /// Whether no later part is of the same process: the file's own time is its time.
    pub(super) last: bool,
}

/// The scrapes that a text holds; `None` where they cannot be told apart before they are read, or
/// where it is one.
pub(super) fn parts(text: &[u8]) -> Option<Vec<Part<'_>>> {
    by_time(text).or_else(|| by_family(text))
}

/// The scrapes of several processes. Families are sorted in each, and those of the Go runtime stand in
/// all: where the order breaks off another scrape begins.
fn by_family(text: &[u8]) -> Option<Vec<Part<'_>>> {
    const TYPE: &[u8] = b"# TYPE ";
    let mut begins = Vec::new();
    let mut families: Vec<HashSet<&[u8]>> = Vec::new();
    let mut firsts = Vec::new();
    let mut last: &[u8] = b"";
    for at in memmem::find_iter(text, TYPE) {
        if at > 0 && text.get(at - 1) != Some(&b'\n') {
            continue;
        }
        let rest = text.get(at + TYPE.len()..)?;
        let len = rest.iter().position(u8::is_ascii_whitespace)?;
        let name = rest.get(..len)?;
        if name < last || begins.is_empty() {
            begins.push(if begins.is_empty() { 0 } else { at });
            families.push(HashSet::new());
            firsts.push(name);
        }
        last = name;
        // One that stands twice in a scrape is another process's.
        if !families.last_mut()?.insert(name) {
            return None;
        }
    }
    let related = |pair: &[HashSet<&[u8]>]| match pair {
        [a, b] => !a.is_disjoint(b),
        _ => false,
    };
    if begins.len() < 2 || !families.windows(2).all(related) {
        return None;
    }
    let ends = begins.iter().skip(1).copied().chain([text.len()]);
    let scrapes = begins.iter().copied().zip(ends).zip(1..);
    scrapes
        .map(|((begin, end), next)| {
            let later = firsts.get(next..).unwrap_or_default();
            Some(Part {
                text: Cow::Borrowed(text.get(begin..end)?),
                last: firsts.get(next - 1).is_some_and(|own| !later.contains(own)),
            })
        })
        .collect()
}

/// Most moments of one text.
const MAX_MOMENTS: usize = 2_000;

/// The lines of each moment, the earliest first; `None` where no series stands twice, so that the
/// times are those of one scrape's targets.
fn by_time(text: &[u8]) -> Option<Vec<Part<'_>>> {
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
    let parts = moments.into_values().map(|text| Part {
        text: Cow::Owned(text),
        // The samples tell their time.
        last: false,
    });
    Some(parts.collect())
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
        let parts = by_time(text.as_bytes())?.into_iter();
        Some(
            parts
                .map(|part| String::from_utf8(part.text.into_owned()).unwrap())
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

    #[test]
    fn processes_of_one_text_come_apart() {
        let scrape = |families: &[&str]| -> String {
            let text = families.iter();
            text.map(|name| format!("# HELP {name} x\n# TYPE {name} gauge\n{name} 1\n"))
                .collect()
        };
        let etcd = scrape(&[
            "etcd_server_has_leader",
            "go_threads",
            "process_cpu_seconds_total",
        ]);
        let apiserver = scrape(&["apiserver_request_total", "go_threads", "process_open_fds"]);
        let of = |text: &str| -> Option<Vec<(usize, bool)>> {
            let parts = parts(text.as_bytes())?;
            Some(
                parts
                    .iter()
                    .map(|part| (part.text.len(), part.last))
                    .collect(),
            )
        };
        let help = "# HELP apiserver_request_total x\n".len();
        assert_eq!(
            of(&format!("{etcd}{apiserver}")),
            Some(vec![
                (etcd.len() + help, true),
                (apiserver.len() - help, true)
            ])
        );
        // Two moments of both: the file's time is that of the later one.
        let found = of(&format!("{etcd}{apiserver}{etcd}{apiserver}")).unwrap();
        let last: Vec<bool> = found.iter().map(|(_, last)| *last).collect();
        assert_eq!(last, [false, false, true, true]);
        assert_eq!(of(&etcd), None);
        // One scrape out of order.
        assert_eq!(of(&scrape(&["b", "a", "c"])), None);
        assert_eq!(of(&scrape(&["b", "b"])), None);
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost(text in "([ab](\\{[xy]=\"[} ]{0,2}\"\\})? [12]( [0-9]{1,2})?\n){0,8}") {
            if let Some(parts) = by_time(text.as_bytes()) {
                let lines = |text: &[u8]| text.split(|b| *b == b'\n').filter(|l| !l.is_empty()).count();
                let sum: usize = parts.iter().map(|part| lines(&part.text)).sum();
                proptest::prop_assert_eq!(sum, lines(text.as_bytes()));
            }
        }
    }
}
