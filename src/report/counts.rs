//! Why the log's counts and the exact ones differ, in one place: the threshold above which etcd logs, the lines that sampling
//! took away, and the time that both really cover.

use crate::evidence::{EvidenceSet, Reader, Subject, Unit, Window, keys, number};
use crate::units::format_ms;

/// Below this share of common time two counts are of different things.
const ENOUGH: f64 = 0.9;

/// etcd's own default (etcd: server/etcdserver, DefaultWarningApplyDuration).
const DEFAULT_THRESHOLD_MS: f64 = 100.0;

/// The counts side by side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Requests that etcd's log tells of, each once.
    pub logged: Option<f64>,
    /// How many passed the threshold with sampling undone: least and most.
    pub estimate: Option<(f64, f64)>,
    /// Slow applies by etcd's own counter, which is never sampled.
    pub slow_applies: Option<f64>,
    /// etcd requests as kube-apiserver counted them, fast ones too.
    pub requests: Option<f64>,
    /// The threshold above which etcd logs, in milliseconds.
    pub threshold_ms: Option<f64>,
    /// Whether the log holds every request.
    pub complete: bool,
    /// Share of the log's time that the scrapes cover, where both are known.
    pub shared: Option<f64>,
    /// Logged requests that waited for the leader, and their seconds, where there are any.
    pub stalled: Option<(f64, f64)>,
    /// What follows, one sentence each.
    pub sentences: Vec<String>,
}

/// Compares the counts; `None` when there is neither a log of requests nor a counter.
pub fn counts(evidence: &EvidenceSet) -> Option<Counts> {
    let reader = Reader::new(evidence);
    let cluster = Subject::cluster();
    let logs = reader.peek(&keys::LOGS_REQUESTS, &cluster);
    let estimate = reader.peek(&keys::LOGS_REQUESTS_ESTIMATE, &cluster);
    let row = estimate.as_ref().and_then(|table| table.row("all"));
    let metrics = reader.all(&keys::APISERVER_ETCD_REQUESTS);
    let slow = reader.all(&keys::SLOW_APPLIES);
    if logs.is_none() && metrics.is_empty() {
        return None;
    }
    let logged = row
        .and_then(|row| row.get("joined"))
        .or_else(|| logs.as_ref().map(|table| table.total("requests")));
    let mut counts = Counts {
        logged,
        estimate: row.and_then(|row| Some((row.get("low")?, row.get("high")?))),
        slow_applies: (!slow.is_empty()).then(|| slow.iter().map(|(_, n)| n).sum()),
        requests: (!metrics.is_empty()).then(|| {
            metrics
                .iter()
                .map(|(_, table)| table.total("requests"))
                .sum()
        }),
        threshold_ms: reader.peek(&keys::LOGS_SLOW_THRESHOLD, &cluster),
        complete: reader.peek(&keys::LOGS_SLOW_COMPLETE, &cluster) == Some(true),
        ..Counts::default()
    };
    let log_window = reader
        .record(&keys::LOGS_REQUESTS, &cluster)
        .map(|record| record.window);
    let scrape_window = slow
        .first()
        .and_then(|(subject, _)| reader.record(&keys::SLOW_APPLIES, subject))
        .or_else(|| {
            let (subject, _) = metrics.first()?;
            reader.record(&keys::APISERVER_ETCD_REQUESTS, subject)
        })
        .map(|record| record.window);
    counts.shared = log_window
        .zip(scrape_window)
        .and_then(|(log, scrapes)| share(&log, &scrapes));
    // Lines of a debug level, or of a lowered threshold that no line tells, hold fast requests too.
    let mean_ms = logs.as_ref().and_then(|table| {
        let requests = table.total("requests");
        (requests > 0.0).then(|| table.total("slow_secs") * 1e3 / requests)
    });
    let threshold = counts.threshold_ms.unwrap_or(DEFAULT_THRESHOLD_MS);
    let fast = mean_ms.is_some_and(|mean| mean > 0.0 && mean < threshold);
    counts.stalled = logs
        .as_ref()
        .map(|table| (table.total("stalled"), table.total("stalled_secs")))
        .filter(|(requests, _)| *requests > 0.0);
    counts.sentences = sentences(&counts, fast, log_window.zip(scrape_window));
    Some(counts)
}

fn share(log: &Window, scrapes: &Window) -> Option<f64> {
    let common = log.overlap_secs(scrapes)?;
    let own = log.secs().filter(|secs| *secs > 0.0)?;
    Some((common / own).clamp(0.0, 1.0))
}

fn sentences(counts: &Counts, fast: bool, windows: Option<(Window, Window)>) -> Vec<String> {
    let mut all = Vec::new();
    let count = |n: f64| number(n, Unit::Count);
    if let Some(requests) = counts.requests {
        all.push(format!(
            "REQUESTS to SECONDS: all {} etcd requests, as kube-apiserver counted them.",
            count(requests)
        ));
    }
    let Some(logged) = counts.logged else {
        return all;
    };
    let limit = counts
        .threshold_ms
        .map_or_else(|| "its threshold (100 ms by default)".to_owned(), format_ms);
    all.push(if counts.complete {
        "SLOW: the log holds every request.".to_owned()
    } else if fast {
        format!(
            "SLOW: {} logged requests, each once, and most of them fast: etcd logs at debug level, or above a threshold that was lowered. These are lower bounds.",
            count(logged)
        )
    } else {
        format!(
            "SLOW: {} logged requests, each once. Threshold: etcd logs only those slower than {limit}, so these are lower bounds.",
            count(logged)
        )
    });
    if let Some((requests, secs)) = counts.stalled {
        all.push(format!(
            "* Of these, {} ({secs:.1} s) waited for the read index: a stalled leader, not an expensive query.",
            count(requests)
        ));
    }
    if let Some((low, high)) = counts.estimate
        && high > logged
    {
        all.push(if high - logged < 1.0 {
            "Sampling: no line is missing.".to_owned()
        } else {
            format!(
                "Sampling: etcd's logger drops lines when many are alike in one second; with them {} to {} requests {}.",
                count(low.max(logged)),
                count(high),
                match fast {
                    true => "were to be logged",
                    false => "passed the threshold",
                }
            )
        });
    }
    if let (Some(shared), Some((log, scrapes))) = (counts.shared, windows)
        && shared < ENOUGH
    {
        let span = |window: &Window| match (window.from, window.to) {
            (Some(from), Some(to)) => format!("{} to {}", from.to_second(), to.to_second()),
            _ => "an unknown time".to_owned(),
        };
        all.push(format!(
            "Coverage: the log is of {}, the scrapes of {}: they share {:.0} % of the log's time.",
            span(&log),
            span(&scrapes),
            shared * 100.0
        ));
    }
    if let Some(slow) = counts.slow_applies {
        let (low, high) = counts.estimate.unwrap_or((logged, logged));
        let shared = counts.shared.unwrap_or(0.0);
        let verdict = if slow >= low.min(logged) && slow <= high.max(logged) {
            "both agree"
        } else if shared < ENOUGH && slow < low.min(logged) {
            "fewer than logged, because the scrapes cover less time"
        } else if slow > high.max(logged) {
            "more than logged: the log lacks a part, by its rotation or by a gap"
        } else {
            "fewer than logged: the log counts requests that are slow elsewhere than in the apply step as well"
        };
        all.push(format!(
            "etcd's own counter of slow applies over the scrapes is {}: {verdict}.",
            count(slow)
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::evidence::{Collector, Origin, Row, SubjectKind, Table};

    fn window(from: i64, to: i64) -> Window {
        Window::between(Timestamp::from_secs(from), Timestamp::from_secs(to))
    }

    fn set(log: Window, scrapes: Window, low: f64, high: f64, slow: f64) -> EvidenceSet {
        let mut set = EvidenceSet::new();
        let logs = Origin::new(Collector::Logs, "etcd.log");
        let one = |row: Row| Table {
            rows: vec![row],
            ..Table::default()
        };
        set.put(
            &keys::LOGS_REQUESTS,
            Subject::cluster(),
            log,
            logs.clone(),
            one(Row::new("pods").num("requests", 100.0)),
        );
        set.put(
            &keys::LOGS_REQUESTS_ESTIMATE,
            Subject::cluster(),
            log,
            logs,
            one(Row::new("all")
                .num("low", low)
                .num("high", high)
                .num("joined", 100.0)),
        );
        set.put(
            &keys::SLOW_APPLIES,
            Subject::new(SubjectKind::Member, "cp0"),
            scrapes,
            Origin::new(Collector::Metrics, "etcd.prom"),
            slow,
        );
        set
    }

    fn said(set: &EvidenceSet) -> String {
        counts(set).unwrap().sentences.join(" ")
    }

    #[test]
    fn equal_counts_agree() {
        let text = said(&set(window(0, 100), window(0, 100), 100.0, 100.0, 100.0));
        assert!(text.contains("both agree"), "{text}");
        assert!(!text.contains("Coverage"), "{text}");
        assert!(!text.contains("Sampling"), "{text}");
    }

    #[test]
    fn requests_that_waited_for_the_leader_are_told_of() {
        let with = |waited: f64| {
            let mut set = set(window(0, 100), window(0, 100), 100.0, 100.0, 100.0);
            let row = Row::new("pods")
                .num("requests", 100.0)
                .num("stalled", waited)
                .num("stalled_secs", waited * 1.5);
            let rows = vec![row];
            set.put(
                &keys::LOGS_REQUESTS,
                Subject::cluster(),
                window(0, 100),
                Origin::new(Collector::Logs, "etcd.log"),
                Table {
                    rows,
                    ..Table::default()
                },
            );
            said(&set)
        };
        let text = with(40.0);
        assert!(text.contains("* Of these, 40 (60.0 s) waited"), "{text}");
        assert!(!with(0.0).contains("waited"), "{}", with(0.0));
    }

    #[test]
    fn threshold_sampling_and_coverage_are_told_together() {
        let text = said(&set(window(0, 100), window(50, 100), 140.0, 180.0, 60.0));
        assert!(text.contains("Threshold: etcd logs only"), "{text}");
        assert!(
            text.contains("140 to 180 requests passed the threshold"),
            "{text}"
        );
        assert!(text.contains("share 50 % of the log's time"), "{text}");
        assert!(
            text.contains("because the scrapes cover less time"),
            "{text}"
        );
    }

    #[test]
    fn requests_of_a_debug_level_are_not_called_slow() {
        let with = |secs: f64| {
            let mut set = set(window(0, 100), window(0, 100), 140.0, 180.0, 60.0);
            let row = Row::new("pods")
                .num("requests", 100.0)
                .num("slow_secs", secs);
            set = set
                .records()
                .filter(|record| record.key != keys::LOGS_REQUESTS.info.name)
                .cloned()
                .collect::<Vec<_>>()
                .into_iter()
                .fold(EvidenceSet::new(), |mut set, record| {
                    set.insert(record);
                    set
                });
            let table = Table {
                rows: vec![row],
                ..Table::default()
            };
            let logs = Origin::new(Collector::Logs, "etcd.log");
            set.put(
                &keys::LOGS_REQUESTS,
                Subject::cluster(),
                window(0, 100),
                logs,
                table,
            );
            said(&set)
        };
        let fast = with(0.4);
        assert!(
            fast.contains("most of them fast") && !fast.contains("threshold."),
            "{fast}"
        );
        assert!(with(20.0).contains("etcd logs only those slower"));
    }

    #[test]
    fn a_counter_above_the_log_means_that_the_log_lacks_a_part() {
        let text = said(&set(window(0, 100), window(0, 100), 100.0, 100.0, 400.0));
        assert!(text.contains("the log lacks a part"), "{text}");
        assert_eq!(counts(&EvidenceSet::new()), None);
    }
}
