//! What Prometheus remembers: range queries over HTTP, or their saved answers, for "it was at
//! three in the morning".
//!
//! A matrix becomes one scrape for each process and step, and then goes the same way as files
//! do, so that the answers are the same.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::catalog::metrics::{Kind, METRICS, Metric};
use crate::clock::Timestamp;

use super::fault::{Fault, FaultKind};
use super::fetch::{FetchError, Fetcher, shown};
use super::load::Loader;
use super::moment::TimeSource;
use super::store::{Builder, FROM_LABELS, SEPARATOR, Scrape};

/// Points of one query: Prometheus refuses more than 11 000.
const MAX_STEPS: i64 = 1_000;
/// Samples taken from one answer.
const MAX_SAMPLES: usize = 20_000_000;

/// Time for all queries of one range.
pub const MAX_TIME: Duration = Duration::from_secs(120);

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    error: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<Data<'a>>,
    // A saved `data` alone.
    #[serde(borrow)]
    result: Option<Vec<Entry<'a>>>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, default)]
    result: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    metric: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(borrow, default)]
    values: Vec<(f64, Cow<'a, str>)>,
    #[serde(borrow, default)]
    value: Option<(f64, Cow<'a, str>)>,
}

/// Whether a text is an answer of Prometheus rather than some other JSON.
pub(super) fn is_answer(text: &[u8]) -> bool {
    let head = text.get(..text.len().min(4096)).unwrap_or_default();
    let has = |needle: &[u8]| memchr::memmem::find(head, needle).is_some();
    head.trim_ascii_start().starts_with(b"{")
        && (has(b"\"resultType\"") || (has(b"\"result\"") && has(b"\"metric\"")))
}

/// Reads an answer into scrapes. `source` is how the user names it.
pub(super) fn read(loader: &mut Loader, source: &str, text: &[u8]) {
    let answer: Answer<'_> = match serde_json::from_slice(text) {
        Ok(answer) => answer,
        Err(err) => {
            loader.fault(Fault::new(
                source,
                FaultKind::NotMetrics,
                format!("is no whole answer of Prometheus: {err}"),
            ));
            return;
        }
    };
    if answer
        .status
        .as_deref()
        .is_some_and(|status| status != "success")
    {
        loader.fault(Fault::new(
            source,
            FaultKind::NotMetrics,
            format!(
                "is an error of Prometheus: {}",
                answer.error.as_deref().unwrap_or("without a reason")
            ),
        ));
        return;
    }
    let entries = answer
        .data
        .map(|data| data.result)
        .or(answer.result)
        .unwrap_or_default();
    let mut by_moment: BTreeMap<(String, i64), Vec<(usize, f64)>> = BTreeMap::new();
    let (mut samples, mut dropped) = (0, 0u64);
    for (number, entry) in entries.iter().enumerate() {
        let from = from_of(&entry.metric);
        for (at, value) in entry.values.iter().chain(&entry.value) {
            let Ok(value) = value.parse::<f64>() else {
                continue;
            };
            if samples >= MAX_SAMPLES {
                dropped += 1;
                continue;
            }
            samples += 1;
            #[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
            let ms = (at * 1000.0).round() as i64;
            by_moment
                .entry((from.clone(), ms))
                .or_default()
                .push((number, value));
        }
    }
    if dropped > 0 {
        loader.fault(Fault::new(
            source,
            FaultKind::OverLimit,
            format!("{dropped} samples were dropped: too many"),
        ));
    }
    let mut scrapes = Vec::with_capacity(by_moment.len());
    for ((from, ms), samples) in by_moment {
        let mut builder = Builder::new(loader.interner());
        for (number, value) in samples {
            let Some(entry) = entries.get(number) else {
                continue;
            };
            // `rate(…)` and the like have no name: they are no samples.
            if let Some(name) = entry.metric.get("__name__") {
                builder.add(name, &entry.metric, value);
            }
        }
        for scrape in builder.finish(false).0 {
            scrapes.push(Scrape {
                source: source.to_owned(),
                at: Some((Timestamp(ms.saturating_mul(1000)), TimeSource::Taken)),
                from: Some(from.clone().into()),
                // Which families the query asked for is not known: an absent one is no zero.
                torn_at: None,
                ..scrape
            });
        }
    }
    if scrapes.is_empty() {
        loader.fault(Fault::new(
            source,
            FaultKind::NotMetrics,
            format!(
                "holds no metric that is read here ({} series); ask for plain series, not for \
                 rates",
                entries.len()
            ),
        ));
        return;
    }
    loader.add_scrapes(scrapes);
}

fn from_of(metric: &BTreeMap<Cow<'_, str>, Cow<'_, str>>) -> String {
    let mut text = String::new();
    for label in FROM_LABELS {
        if let Some(value) = metric.get(label) {
            text.push_str(label);
            text.push('=');
            text.push_str(value);
            text.push(SEPARATOR);
        }
    }
    text
}

/// A span of time to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Its begin.
    pub since: Timestamp,
    /// Its end.
    pub until: Timestamp,
}

impl Range {
    /// Seconds between two points: a minute as most set-ups scrape every 15 to 60 s, more for
    /// long spans.
    fn step(self) -> i64 {
        let secs = self.until.secs().saturating_sub(self.since.secs()).max(1);
        (secs / MAX_STEPS + 1).max(if secs <= 1800 { 15 } else { 60 })
    }
}

/// Metrics that are asked for: all but those with too many series to fetch over a range.
fn wanted() -> impl Iterator<Item = (&'static [&'static str], Kind)> {
    METRICS
        .iter()
        .filter(|(metric, _)| {
            !matches!(
                metric,
                Metric::ApiDuration
                    | Metric::ApiSli
                    | Metric::ApfExecution
                    | Metric::SchedLatency
                    | Metric::ExtensionPoint
            )
        })
        .map(|(_, info)| (info.names, info.kind))
}

/// Fetches a range of every wanted metric from a Prometheus at `base`.
///
/// One query a metric, so that a metric that is too large or unknown costs only itself.
pub fn query(fetcher: &Fetcher, base: &str, range: Range, selector: &str, loader: &mut Loader) {
    let base = base.trim_end_matches('/');
    let step = range.step();
    let mut parts = Vec::new();
    let mut failed: Option<FetchError> = None;
    let begin = Instant::now();
    for (names, kind) in wanted() {
        if begin.elapsed() > MAX_TIME {
            loader.fault(Fault::new(
                shown(base),
                FaultKind::OverLimit,
                format!(
                    "gave up after {} s; later metrics are missing",
                    MAX_TIME.as_secs()
                ),
            ));
            break;
        }
        let names = names.join("|");
        let pattern = match kind {
            Kind::Histogram => format!("({names})_(bucket|sum|count)"),
            Kind::Summary => format!("({names})_(sum|count)"),
            _ => names,
        };
        let inside = match selector.trim().trim_matches(['{', '}']).trim() {
            "" => format!("__name__=~\"{pattern}\""),
            more => format!("__name__=~\"{pattern}\",{more}"),
        };
        let url = format!(
            "{base}/api/v1/query_range?query={}&start={}&end={}&step={step}",
            escaped(&format!("{{{inside}}}")),
            range.since.secs(),
            range.until.secs(),
        );
        match fetcher.get(&url) {
            Ok(bytes) => parts.push(bytes),
            Err(err) => {
                // A server that is not there will not be there for the next one either.
                let gone = !matches!(err, FetchError::Status { .. });
                failed.get_or_insert(err);
                if gone {
                    break;
                }
            }
        }
    }
    let source = shown(base);
    if let Some(err) = failed {
        loader.fault(Fault::new(&source, FaultKind::NotReached, err.to_string()));
    }
    join(loader, &source, &parts);
}

/// Answers of several queries are one set of scrapes.
fn join(loader: &mut Loader, source: &str, parts: &[Vec<u8>]) {
    let mut whole: Vec<u8> =
        b"{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[".to_vec();
    let mut any = false;
    for part in parts {
        let Some(rows) = rows_of(part) else { continue };
        if rows.trim_ascii().is_empty() {
            continue;
        }
        if any {
            whole.push(b',');
        }
        whole.extend_from_slice(rows);
        any = true;
    }
    whole.extend_from_slice(b"]}}");
    if any {
        read(loader, source, &whole);
    } else if !parts.is_empty() {
        loader.fault(Fault::new(
            source,
            FaultKind::NotMetrics,
            "has no such metrics in that span of time",
        ));
    }
}

/// What stands between the brackets of `result`.
fn rows_of(answer: &[u8]) -> Option<&[u8]> {
    let key = b"\"result\":";
    let at = memchr::memmem::find(answer, key)? + key.len();
    let rest = answer.get(at..)?.trim_ascii_start().strip_prefix(b"[")?;
    // Only `stats`, `warnings` and closing braces can follow the rows.
    let mut depth = 1u32;
    let mut quoted = false;
    let mut escape = false;
    for (at, byte) in rest.iter().enumerate() {
        match byte {
            _ if escape => escape = false,
            b'\\' if quoted => escape = true,
            b'"' => quoted = !quoted,
            b'[' if !quoted => depth += 1,
            b']' if !quoted => {
                depth -= 1;
                if depth == 0 {
                    return rest.get(..at);
                }
            }
            _ => {}
        }
    }
    None
}

/// Percent-encodes a query.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for half in [byte >> 4, byte & 15] {
                out.push(char::from_digit(u32::from(half), 16).unwrap_or('0'));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_from_other_json() {
        assert!(is_answer(
            b"{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[]}}"
        ));
        assert!(is_answer(b" {\"result\":[{\"metric\":{}}]}"));
        assert!(!is_answer(b"{\"kind\":\"Status\",\"message\":\"no\"}"));
        assert!(!is_answer(b"# TYPE a counter"));
    }

    #[test]
    fn rows_between_brackets() {
        let answer =
            br#"{"data":{"result":[{"metric":{"a":"]\""},"values":[[1,"2"]]}]},"warnings":["x"]}"#;
        assert_eq!(
            rows_of(answer),
            Some(br#"{"metric":{"a":"]\""},"values":[[1,"2"]]}"#.as_slice())
        );
        assert_eq!(rows_of(b"{\"result\":[1"), None);
    }

    #[test]
    fn steps_are_chosen_for_the_span() {
        let range = |secs: i64| Range {
            since: Timestamp::from_secs(1_000_000),
            until: Timestamp::from_secs(1_000_000 + secs),
        };
        assert_eq!(range(600).step(), 15);
        assert_eq!(range(3600).step(), 60);
        assert_eq!(range(86_400 * 7).step(), 605);
        assert_eq!(range(0).step(), 15);
    }

    #[test]
    fn queries_are_escaped() {
        assert_eq!(escaped("{a=~\"b|c\"}"), "%7ba%3d~%22b%7cc%22%7d");
    }
}
