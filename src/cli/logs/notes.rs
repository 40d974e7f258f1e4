//! What must be said beside the numbers: of what they are bounds, and what is not in them.

use std::collections::BTreeSet;

use crate::cli::redact::Redactor;
use crate::logs::input::Years;
use crate::logs::summary::FileReport;
use crate::report::logs as v1;

/// How files were read where that is not as they stand there.
pub(super) fn reading(files: &[&FileReport], redactor: &Redactor) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |chosen: &dyn Fn(&FileReport) -> bool, rest: &str| {
        let mut names = files
            .iter()
            .filter(|file| chosen(file))
            .map(|file| &file.name);
        if let Some(first) = names.next() {
            let first = redactor.text(first);
            let more = match names.count() {
                0 => format!("`{first}`"),
                1 => format!("`{first}` and 1 more file"),
                n => format!("`{first}` and {n} more files"),
            };
            notes.push(format!("{more}: {rest}"));
        }
    };
    note(
        &|file| file.newest_first && !file.unjoined,
        "the newest lines stand first, so it was read from its end.",
    );
    note(
        &|file| file.unjoined,
        "the newest lines stand first, and what is compressed or piped cannot be read from its end: the lines of one request did not find each other, so requests count up to three times. Save it as a plain file.",
    );
    note(
        &|file| file.years == Years::Neighbours,
        "the year of dates without one is that of the dated lines beside them, not that of the file's last change.",
    );
    note(
        &|file| file.years == Years::Bundle,
        "the year of dates without one is that of the dated lines in the other files, not that of the file's last change.",
    );
    let zones: BTreeSet<i64> = files.iter().map(|file| file.local_us).collect();
    for local_us in zones.into_iter().filter(|local_us| *local_us != 0) {
        note(
            &|file| file.local_us == local_us,
            &format!(
                "times without a zone are the host's, which records with a zone show to be {}: they were read so.",
                zone(local_us)
            ),
        );
    }
    let zones: BTreeSet<i64> = files.iter().map(|file| file.bare_us).collect();
    for bare_us in zones.into_iter().filter(|bare_us| *bare_us != 0) {
        note(
            &|file| file.bare_us == bare_us,
            &format!(
                "lines without a zone were read as {}, which the other lines name.",
                zone(bare_us)
            ),
        );
    }
    notes
}

/// `UTC+05:30`.
fn zone(east_us: i64) -> String {
    let minutes = east_us.unsigned_abs() / 60_000_000;
    let sign = if east_us < 0 { '-' } else { '+' };
    format!("UTC{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// What the numbers are not.
pub(super) fn notes(report: &v1::LogsReport) -> Vec<String> {
    let mut notes = Vec::new();
    let requests = &report.requests;
    if requests.seen > 0 {
        if requests.complete {
            notes.push(
                "This log holds every request: its threshold or level makes it so.".to_owned(),
            );
        } else if requests.debug_lines > 0 {
            notes.push(
                "The log holds requests at debug level, fast ones too, but not all of them: the level was not debug all the time, or the logger left lines out. Counts are lower bounds, and a missing resource proves nothing."
                    .to_owned(),
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
        let units: Vec<String> = report
            .coverage
            .suppressed_by
            .iter()
            .map(|(unit, count)| format!("{count} of {unit}"))
            .collect();
        let whose = match units.as_slice() {
            [] => String::new(),
            units => format!(" ({})", units.join(", ")),
        };
        let bound = if requests.seen > 0 {
            format!(
                " Requests that they told of are in no table, only in the upper bound: {} to {} requests.",
                requests.estimate.low, requests.estimate.high
            )
        } else {
            String::new()
        };
        notes.push(format!(
            "The journal kept back {} messages{whose}.{bound}",
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
