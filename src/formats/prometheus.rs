//! The Prometheus text format and OpenMetrics, read from bytes, one line after the other.
//!
//! Nothing is kept but what the [`Sink`] asks for: a scrape of a large kube-apiserver has some
//! 50 MB and 300 000 lines of which a few families matter. A line of an unwanted family costs one
//! search for its end. Every line is accounted for: blank + comments + samples + skipped +
//! garbage + torn = lines.

use std::borrow::Cow;

use memchr::{memchr, memchr3};

/// One sample of a wanted family.
#[derive(Debug)]
pub struct Sample<'a, 'b> {
    /// The sample's name, with `_bucket`, `_sum` and the like.
    pub name: &'a [u8],
    /// Its labels in the order of the text.
    pub labels: &'b [Label<'a>],
    /// Its value. May be `NaN` or infinite.
    pub value: f64,
    /// When it was taken, in milliseconds since the epoch, where the text says so.
    pub timestamp_ms: Option<i64>,
    /// Whether this is the next bucket of the sample before: only the last label, `le`, differs.
    pub next_bucket: bool,
}

/// One label as it stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its value between the quotes, escapes not yet undone.
    raw: &'a [u8],
}

impl<'a> Label<'a> {
    /// The value with `\\`, `\"` and `\n` undone.
    pub fn value(&self) -> Cow<'a, [u8]> {
        if memchr(b'\\', self.raw).is_none() {
            return Cow::Borrowed(self.raw);
        }
        let mut out = Vec::with_capacity(self.raw.len());
        let mut bytes = self.raw.iter().copied();
        while let Some(byte) = bytes.next() {
            if byte != b'\\' {
                out.push(byte);
                continue;
            }
            match bytes.next() {
                Some(b'n') => out.push(b'\n'),
                Some(escaped @ (b'"' | b'\\')) => out.push(escaped),
                // Not an escape of the format: kept as it is.
                Some(other) => out.extend([b'\\', other]),
                None => out.push(b'\\'),
            }
        }
        Cow::Owned(out)
    }
}

/// Receives what a scan finds.
pub trait Sink {
    /// Whether samples of this name are wanted. Asked once for each run of lines with that name.
    fn wants(&mut self, name: &[u8]) -> bool;
    /// A `# TYPE` line: the family and its type.
    fn family(&mut self, name: &[u8], kind: &[u8]);
    /// A sample of a wanted name.
    fn sample(&mut self, sample: &Sample<'_, '_>);
}

/// What a scan went over. Lines of all kinds add up to `lines`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Lines, the torn one included.
    pub lines: u64,
    /// Empty lines.
    pub blank: u64,
    /// `#` lines.
    pub comments: u64,
    /// Samples given to the sink.
    pub samples: u64,
    /// Samples that the sink did not want; only their name was looked at.
    pub skipped: u64,
    /// Lines that are neither.
    pub garbage: u64,
    /// 1 when the text stops within a line. A sample on it is not used: a cut number is wrong.
    pub torn: u64,
    /// Whether OpenMetrics' `# EOF` was seen, so that nothing can be missing.
    pub eof: bool,
}

impl Stats {
    /// Lines that hold a sample.
    pub fn all_samples(&self) -> u64 {
        self.samples + self.skipped
    }
}

/// Reads a whole text, giving wanted samples to the sink.
pub fn scan(text: &[u8], sink: &mut impl Sink) -> Stats {
    let mut scanner = Scanner {
        stats: Stats::default(),
        name: &[],
        wanted: false,
        labels: Vec::with_capacity(16),
        series: &[],
    };
    let mut rest = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    while let Some(end) = memchr(b'\n', rest) {
        let (line, tail) = rest.split_at(end);
        scanner.line(line, sink);
        rest = tail.get(1..).unwrap_or_default();
    }
    if !rest.is_empty() {
        scanner.stats.lines += 1;
        if trim(rest) == b"# EOF" {
            scanner.stats.comments += 1;
            scanner.stats.eof = true;
        } else {
            scanner.stats.torn = 1;
        }
    }
    scanner.stats
}

struct Scanner<'a> {
    stats: Stats,
    /// Name of the last sample, and whether the sink wants it.
    name: &'a [u8],
    wanted: bool,
    labels: Vec<Label<'a>>,
    /// The last line up to its bound, when it was a wanted bucket: `NAME{a="b",`. Most lines of a
    /// scrape are buckets of the series before, whose labels need not be read again.
    series: &'a [u8],
}

impl<'a> Scanner<'a> {
    fn line(&mut self, line: &'a [u8], sink: &mut impl Sink) {
        self.stats.lines += 1;
        let line = trim(line);
        match line.first() {
            None => self.stats.blank += 1,
            Some(b'#') => {
                self.stats.comments += 1;
                self.comment(line, sink);
            }
            Some(_) => self.sample(line, sink),
        }
    }

    fn comment(&mut self, line: &[u8], sink: &mut impl Sink) {
        let mut words = line
            .split(|b| matches!(b, b' ' | b'\t'))
            .filter(|word| !word.is_empty())
            .skip(1);
        match words.next() {
            Some(b"TYPE") => {
                if let (Some(name), Some(kind)) = (words.next(), words.next())
                    && is_name(name)
                {
                    sink.family(name, kind);
                }
            }
            Some(b"EOF") => self.stats.eof = true,
            _ => {}
        }
    }

    fn sample(&mut self, line: &'a [u8], sink: &mut impl Sink) {
        if self.next_bucket(line, sink) {
            return;
        }
        self.series = &[];
        let end = memchr3(b'{', b' ', b'\t', line).unwrap_or(line.len());
        let (name, rest) = line.split_at(end);
        if name != self.name || name.is_empty() {
            if !is_name(name) || rest.is_empty() {
                self.stats.garbage += 1;
                return;
            }
            self.name = name;
            self.wanted = sink.wants(name);
        }
        if !self.wanted {
            self.stats.skipped += 1;
            return;
        }
        self.labels.clear();
        let rest = match skip_blanks(rest).strip_prefix(b"{") {
            Some(inside) => match labels(inside, &mut self.labels) {
                Some(rest) => rest,
                None => {
                    self.stats.garbage += 1;
                    return;
                }
            },
            None => rest,
        };
        let Some((value, timestamp_ms)) = value_and_time(rest) else {
            self.stats.garbage += 1;
            return;
        };
        self.stats.samples += 1;
        if let Some(last) = self.labels.last().filter(|last| last.name == b"le") {
            // Both are parts of this line, so the distance is where the bound begins.
            let bound = last.name.as_ptr() as usize - line.as_ptr() as usize;
            self.series = line.get(..bound).unwrap_or_default();
        }
        sink.sample(&Sample {
            name,
            labels: &self.labels,
            value,
            timestamp_ms,
            next_bucket: false,
        });
    }

    /// Reads the line as the next bucket of the series before; `false` when it is none.
    fn next_bucket(&mut self, line: &'a [u8], sink: &mut impl Sink) -> bool {
        if self.series.is_empty() {
            return false;
        }
        let Some(rest) = line
            .strip_prefix(self.series)
            .and_then(|rest| rest.strip_prefix(b"le=\""))
        else {
            return false;
        };
        let Some(close) = memchr(b'"', rest) else {
            return false;
        };
        let (raw, rest) = rest.split_at(close);
        let Some(rest) = rest.strip_prefix(b"\"}") else {
            return false;
        };
        let Some((value, timestamp_ms)) = value_and_time(rest) else {
            return false;
        };
        if let Some(last) = self.labels.last_mut() {
            last.raw = raw;
        }
        self.stats.samples += 1;
        sink.sample(&Sample {
            name: self.name,
            labels: &self.labels,
            value,
            timestamp_ms,
            next_bucket: true,
        });
        true
    }
}

/// Reads labels up to and with the closing brace; gives back what follows.
fn labels<'a>(mut rest: &'a [u8], out: &mut Vec<Label<'a>>) -> Option<&'a [u8]> {
    loop {
        rest = skip_blanks(rest);
        if let Some(after) = rest.strip_prefix(b"}") {
            return Some(after);
        }
        let equals = memchr(b'=', rest)?;
        let (name, after) = rest.split_at(equals);
        let name = trim(name);
        if !is_name(name) {
            return None;
        }
        rest = skip_blanks(after.get(1..)?).strip_prefix(b"\"")?;
        let close = closing_quote(rest)?;
        let (raw, after) = rest.split_at(close);
        out.push(Label { name, raw });
        rest = skip_blanks(after.get(1..)?);
        match rest.first()? {
            b',' => rest = rest.get(1..)?,
            b'}' => {}
            _ => return None,
        }
    }
}

/// The place of the quote that ends a label value.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// `VALUE [TIMESTAMP] [# exemplar]`.
fn value_and_time(text: &[u8]) -> Option<(f64, Option<i64>)> {
    let mut words = text
        .split(|b| matches!(b, b' ' | b'\t'))
        .filter(|word| !word.is_empty());
    let value = number(words.next()?)?;
    let time = match words.next() {
        None | Some(b"#") => None,
        Some(word) => Some(milliseconds(word)?),
    };
    match words.next() {
        None | Some(b"#") => Some((value, time)),
        Some(_) if time.is_none() => Some((value, time)),
        Some(_) => None,
    }
}

/// Whole milliseconds (Prometheus), or seconds with a fraction (OpenMetrics).
fn milliseconds(word: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(word).ok()?;
    if let Ok(whole) = text.parse::<i64>() {
        // OpenMetrics may leave the fraction out. Seconds stay below 10^11 for 3000 years.
        return Some(if whole.abs() < 100_000_000_000 {
            whole.saturating_mul(1000)
        } else {
            whole
        });
    }
    let secs: f64 = text.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
    secs.is_finite().then_some((secs * 1000.0).round() as i64)
}

/// A number as Go's `strconv.ParseFloat` writes them; whole numbers on a short path.
pub fn number(word: &[u8]) -> Option<f64> {
    if word.len() <= 15 && !word.is_empty() && word.iter().all(u8::is_ascii_digit) {
        let whole = word
            .iter()
            .fold(0u64, |n, digit| n * 10 + u64::from(digit - b'0'));
        return Some(whole as f64);
    }
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn is_name(name: &[u8]) -> bool {
    name.first()
        .is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b':'))
        && name
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':'))
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    match text.first() {
        Some(b' ' | b'\t') => text.trim_ascii_start(),
        _ => text,
    }
}

fn trim(line: &[u8]) -> &[u8] {
    match (line.first(), line.last()) {
        (Some(first), Some(last)) if first.is_ascii_whitespace() || last.is_ascii_whitespace() => {
            line.trim_ascii()
        }
        _ => line,
    }
}

/// What a text is that is not a scrape at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotMetrics {
    /// No byte, or blanks only.
    Empty,
    /// The server said that there is no such page.
    NotFound,
    /// A web page, such as a login or an error page; its title where it has one.
    Html(String),
    /// JSON; for a Kubernetes `Status`, its message.
    Json(String),
    /// Something else; how it starts.
    Other(String),
}

impl std::fmt::Display for NotMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, detail) = match self {
            NotMetrics::Empty => ("is empty", ""),
            NotMetrics::NotFound => ("is a `404 page not found`, not metrics", ""),
            NotMetrics::Html(title) => ("is a web page, not metrics", title.as_str()),
            NotMetrics::Json(message) => ("is JSON, not metrics", message.as_str()),
            NotMetrics::Other(start) => ("is not metrics", start.as_str()),
        };
        if detail.is_empty() {
            write!(f, "{what}")
        } else {
            write!(f, "{what}: `{detail}`")
        }
    }
}

/// Tells pages that stand where metrics should be; `None` when the text may hold metrics.
pub fn sniff(text: &[u8]) -> Option<NotMetrics> {
    let text = text
        .strip_prefix(b"\xEF\xBB\xBF")
        .unwrap_or(text)
        .trim_ascii_start();
    let head = text.get(..text.len().min(4096)).unwrap_or_default();
    let words = String::from_utf8_lossy(head);
    match head.first() {
        None => Some(NotMetrics::Empty),
        Some(b'<') => Some(NotMetrics::Html(
            between(&words, "<title>", "</title>").unwrap_or_default(),
        )),
        Some(b'{' | b'[') => Some(NotMetrics::Json(
            between(&words, "\"message\":\"", "\"")
                .or_else(|| between(&words, "\"message\": \"", "\""))
                .or_else(|| between(&words, "\"error\":\"", "\""))
                .unwrap_or_default(),
        )),
        Some(_) if head.starts_with(b"404 ") => Some(NotMetrics::NotFound),
        Some(b'#') => None,
        Some(_) => {
            // A sample line starts with a name and ends in a number. Prose does not.
            let first = head.split(|b| *b == b'\n').next().unwrap_or_default();
            let mut probe = Probe(false);
            let mut line = first.to_vec();
            line.push(b'\n');
            scan(&line, &mut probe);
            (!probe.0 && !looks_torn_or_mixed(head))
                .then(|| NotMetrics::Other(short(&String::from_utf8_lossy(first))))
        }
    }
}

/// Whether any line further down is a sample or a `# TYPE`, so that only the start is odd.
fn looks_torn_or_mixed(head: &[u8]) -> bool {
    let mut probe = Probe(false);
    scan(head, &mut probe);
    probe.0
}

struct Probe(bool);

impl Sink for Probe {
    fn wants(&mut self, _: &[u8]) -> bool {
        true
    }
    fn family(&mut self, _: &[u8], _: &[u8]) {
        self.0 = true;
    }
    fn sample(&mut self, _: &Sample<'_, '_>) {
        self.0 = true;
    }
}

fn between(text: &str, open: &str, close: &str) -> Option<String> {
    let (_, rest) = text.split_once(open)?;
    let (inside, _) = rest.split_once(close)?;
    Some(short(inside))
}

/// At most 120 characters, without control characters: it will be shown.
fn short(text: &str) -> String {
    text.trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(120)
        .collect()
}

#[cfg(test)]
mod tests;
