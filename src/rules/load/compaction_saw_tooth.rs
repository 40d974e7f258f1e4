//! Compactions take long again and again: a warning where the slow requests are theirs.

use crate::evidence::{Missing, Series, Subject, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::units::format_ms;

/// The rule.
pub static RULE: Rule = Rule {
    id: "compaction-saw-tooth",
    summary: "compactions take long and slow down requests",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "compaction-saw-tooth",
    check,
};

/// Compactions that fill more of the time than this meet most requests by chance.
const MUCH_OF_THE_TIME: f64 = 0.5;

/// Requests that were slow, and how many of them began while a compaction ran.
struct Slow {
    all: f64,
    inside: f64,
}

/// Whether some member's slow requests are those of its compactions.
pub(in crate::rules) fn seen(cx: &Context<'_>) -> bool {
    match check(cx) {
        Ok(Verdict::Fail(drafts)) => drafts.iter().any(|draft| draft.severity >= Severity::Warn),
        _ => false,
    }
}

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("compaction-took");
    let mut drafts = Vec::new();
    let all = cx.evidence.some(&keys::LOGS_COMPACTION_TOOK)?;
    cx.evidence.take_citations();
    for (subject, series) in all {
        // Saved runs may have a zero for each minute without a compaction.
        let all = series.points.iter().filter(|p| p.value > 0.0).count();
        let long = series
            .points
            .iter()
            .filter(|point| point.value >= limit.value)
            .count();
        // One long compaction follows a burst; a saw-tooth has several.
        if long < 3 || long * 2 < all {
            continue;
        }
        let longest = series
            .points
            .iter()
            .map(|point| point.value)
            .fold(0.0, f64::max);
        let mut words = format!(
            "{long} of {all} compactions took over {}, the longest {}",
            format_ms(limit.value),
            format_ms(longest)
        );
        cx.evidence
            .cite_as(&keys::LOGS_COMPACTION_TOOK, &subject, words.clone());
        let share = cx.profile.limit("slow-in-compactions");
        let slow = slow(cx, &subject, &series).filter(|slow| {
            slow.all >= cx.profile.get("slow-requests-min") && slow.inside / slow.all >= share.value
        });
        let (severity, threshold) = match slow {
            Some(slow) => {
                let fall = format!(
                    "{:.0} of {:.0} slow requests began while one ran",
                    slow.inside, slow.all
                );
                cx.evidence
                    .cite_as(&keys::LOGS_SLOW_SECONDS, &subject, fall.clone());
                words = format!("{words}; {fall}");
                (Severity::Warn, share.words())
            }
            None => (Severity::Info, limit.words()),
        };
        drafts.push(
            Draft::new(subject, severity, words)
                .confidence(Confidence::Medium)
                .threshold(threshold)
                .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

/// Slow requests of a member beside its compactions. `None` where neither the times of both are known
/// well enough, nor compactions leave enough time without one.
fn slow(cx: &Context<'_>, member: &Subject, took: &Series) -> Option<Slow> {
    let record = cx.evidence.record(&keys::LOGS_COMPACTION_TOOK, member)?;
    let span = record.secs()?;
    // Times are those of buckets, a minute times a power of two wide.
    let minutes = took
        .points
        .iter()
        .map(|point| point.at.0.div_euclid(60_000_000));
    let odd = minutes.map(i64::trailing_zeros).min()?.min(10);
    let width = f64::from(60_u32 << odd);
    let seconds = |us: i64| us as f64 / 1e6;
    let runs: Vec<(f64, f64)> = took
        .points
        .iter()
        .filter(|point| point.value > 0.0)
        .map(|point| {
            let at = seconds(point.at.0);
            (at - point.value / 1e3 - 1.0, at + width)
        })
        .collect();
    let ran: f64 = runs.iter().map(|(from, to)| to - from).sum();
    if ran > span * MUCH_OF_THE_TIME {
        return None;
    }
    let mut slow = Slow {
        all: 0.0,
        inside: 0.0,
    };
    for row in cx.evidence.peek(&keys::LOGS_SLOW_SECONDS, member)?.rows {
        let requests = row.get("requests").unwrap_or_default();
        slow.all += requests;
        // Rows beyond the heaviest are added up without a time: they count against it.
        let at = row
            .key
            .split('|')
            .next()
            .and_then(|at| at.parse::<f64>().ok());
        if at.is_some_and(|at| runs.iter().any(|(from, to)| (*from..=*to).contains(&at))) {
            slow.inside += requests;
        }
    }
    Some(slow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::evidence::{Point, Row, Table};
    use crate::rules::Status;
    use crate::rules::testing::{Set, member};

    #[test]
    fn requests_that_are_slow_only_meanwhile_are_its_own() {
        let compactions = (0..10).map(|i| Point {
            at: Timestamp::from_secs(300 + i * 300),
            value: 18_100.0,
        });
        let compactions = Series {
            points: compactions.collect(),
        };
        let with = |inside: usize, outside: usize| {
            // Each tenth second of a compaction, and times between two of them.
            let at = |n: usize, from: usize| 300 + n % 10 * 300 + from + n / 10;
            let seconds = (0..inside).map(|n| at(n, 0));
            let seconds = seconds.chain((0..outside).map(|n| at(n, 120)));
            let rows = seconds.map(|at| Row::new(format!("{at}|pods|write")).num("requests", 1.0));
            let mut table = Table {
                rows: rows.collect(),
                ..Table::default()
            };
            table.rows.sort_by(|a, b| a.key.cmp(&b.key));
            Set::new()
                .put_over(
                    &keys::LOGS_COMPACTION_TOOK,
                    member(),
                    compactions.clone(),
                    3600,
                )
                .put_over(&keys::LOGS_SLOW_SECONDS, member(), table, 3600)
                .status(&RULE)
                .1
        };
        assert_eq!(with(90, 10), Severity::Warn);
        assert_eq!(with(89, 11), Severity::Info);
        // Too few to say anything.
        assert_eq!(with(9, 0), Severity::Info);
    }

    #[test]
    fn three_long_compactions_are_a_pattern() {
        let limit = crate::profile::Profile::default().get("compaction-took");
        let with = |long: usize| {
            let points = (0..4)
                .map(|i| Point {
                    at: Timestamp::from_secs(i * 300),
                    value: if usize::try_from(i).unwrap() < long {
                        limit
                    } else {
                        1.0
                    },
                })
                .collect();
            Set::new().put(&keys::LOGS_COMPACTION_TOOK, member(), Series { points })
        };
        assert_eq!(with(3).status(&RULE), (Status::Fail, Severity::Info));
        assert_eq!(with(2).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
