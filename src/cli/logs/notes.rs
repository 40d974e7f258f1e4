//! What must be said beside the numbers: of what they are bounds, and what is not in them.

use crate::report::logs as v1;

/// What the numbers are not.
pub(super) fn notes(report: &v1::LogsReport) -> Vec<String> {
    let mut notes = Vec::new();
    let requests = &report.requests;
    if requests.seen > 0 {
        if requests.complete {
            notes.push(
                "This log holds every request: its threshold or level makes it so.".to_owned(),
            );
        } else {
            let than = match (requests.threshold_ms, requests.threshold_max_ms) {
                (Some(low), Some(high)) if low < high => format!(
                    "{} to {} (by `expected-duration`)",
                    crate::units::format_ms(low),
                    crate::units::format_ms(high)
                ),
                (Some(ms), _) => {
                    format!("{} (by `expected-duration`)", crate::units::format_ms(ms))
                }
                _ => {
                    "the server's threshold (100 ms by default; these lines do not say)".to_owned()
                }
            };
            notes.push(format!(
                "The log holds only requests slower than {than}: counts are lower bounds, and a missing resource proves nothing."
            ));
        }
        if requests.sampled_lines + requests.full_lines > 0 {
            let how = match requests.sampled_lines {
                0 => {
                    "The logger may have left lines out (a second has just the 100 of one message that it lets through)"
                }
                _ => "The logger left lines out (over 100 of one message in a second)",
            };
            notes.push(format!(
                "{how}: {} requests joined, {} to {} estimated, best {}.",
                requests.joined,
                requests.estimate.low,
                requests.estimate.high,
                requests.estimate.value
            ));
        }
        if requests.load.stalled > 0 {
            notes.push(format!(
                "{} requests ({:.1} s) waited for the read index: a stalled leader, not an expensive query. They count as slow seconds, not as list seconds.",
                requests.load.stalled, requests.load.stalled_secs
            ));
        }
    }
    for bound in &report.bounded {
        notes.push(format!(
            "Table of {}: {} rows were added up in `other` ({} requests); no row lacks more than {} requests.",
            bound.table, bound.dropped, bound.requests, bound.error_requests
        ));
    }
    if report.coverage.suppressed > 0 {
        notes.push(format!(
            "The journal kept back {} messages.",
            report.coverage.suppressed
        ));
    }
    if !report.throttling.is_empty() {
        notes.push(
            "Throttling lines are a floor: clients log few of their delays; the largest delay says more than the count.".to_owned(),
        );
    }
    if report.coverage.interrupted {
        notes.push("Reading was stopped early: this is what was read by then.".to_owned());
    }
    notes
}
