//! What several rules ask of latencies: whether a p99 is surely above its limit, and whether it rests
//! on enough values to be one.

use crate::evidence::{Histogram, Key, Missing, Table, Unit, number};
use crate::profile::Limit;

use super::{Context, Draft, Severity, Verdict, phases};

/// A latency of members that etcd keeps as a histogram, with its limits.
pub(super) struct Latency<'a> {
    pub(super) key: &'a Key<Histogram>,
    /// The same from scrape to scrape.
    pub(super) phases: &'a Key<Table>,
    /// How reports name it.
    pub(super) what: &'static str,
    pub(super) limit: &'a Limit,
    pub(super) critical: &'a Limit,
    pub(super) least: Least,
    /// The worst severity that it deserves.
    pub(super) gravest: Severity,
}

/// What a p99 above its limit must rest on: as many values as a hundredth part needs, or several slow
/// ones. A disk that stands still gives few values in a minute, and all are slow.
#[derive(Clone, Copy)]
pub(super) struct Least {
    values: f64,
    slow: f64,
}

impl Least {
    /// With so many slow values as a limit of the profile says.
    pub(super) fn of(cx: &Context<'_>, slow: &str) -> Self {
        Least {
            values: cx.profile.get("p99-values"),
            slow: cx.profile.get(slow),
        }
    }

    /// Whether values suffice to say that their p99 is above a limit.
    pub(super) fn enough(self, values: &Histogram, limit: f64) -> bool {
        values.count() >= self.values || values.above(limit).0 >= self.slow
    }

    /// Whether the whole bracket of p99 lies above a limit, and rests on enough.
    pub(super) fn is_slow(self, values: &Histogram, limit: f64) -> bool {
        let above = values.bracket(0.99).is_some_and(|(low, _)| low >= limit);
        above && self.enough(values, limit)
    }
}

/// Why a p99 above its limit is none: it rests on a slow value or two.
pub(super) fn too_few(values: &Histogram, limit: &Limit, what: &str) -> Missing {
    Missing::NotEnough {
        why: format!(
            "{:.0} of {:.0} values of {what} above {}: too few for a p99",
            values.above(limit.value).0,
            values.count(),
            limit.text
        ),
    }
}

/// `between 64 ms and 128 ms`.
pub(super) fn between(low: f64, high: f64) -> String {
    let high = match high.is_finite() {
        true => number(high, Unit::Ms),
        false => "∞".to_owned(),
    };
    format!("between {} and {high}", number(low, Unit::Ms))
}

/// Judges a latency on every member.
pub(super) fn slow(cx: &Context<'_>, of: &Latency<'_>) -> Result<Verdict, Missing> {
    let mut drafts = Vec::new();
    let mut few = None;
    for (subject, values) in cx.evidence.some(of.key)? {
        // Buckets give a bracket. Only when the whole bracket lies above the limit is it passed.
        let Some((low, high)) = values.bracket(0.99) else {
            continue;
        };
        let slow = low >= of.limit.value;
        if slow && !of.least.enough(&values, of.limit.value) {
            few.get_or_insert_with(|| too_few(&values, of.limit, of.what));
            continue;
        }
        // A window that is fast as a whole can hold minutes of standstill: told from the point on
        // where a heartbeat waits for it.
        let worst = cx
            .evidence
            .peek(of.phases, &subject)
            .and_then(|table| phases::worst(&table, cx.profile))
            .filter(|worst| worst.low > low);
        if !slow
            && worst
                .as_ref()
                .is_none_or(|worst| worst.low < of.critical.value)
        {
            continue;
        }
        cx.evidence.cite(of.key, &subject);
        let severity = match low >= of.critical.value {
            true => of.gravest,
            false => Severity::Warn,
        };
        let whole = format!(
            "{} (mean {}, {:.0} values)",
            between(low, high),
            values
                .mean()
                .map_or_else(|| "?".to_owned(), |mean| number(mean, Unit::Ms)),
            values.count(),
        );
        let worst = worst.map(|worst| {
            let words = worst.words();
            cx.evidence
                .cite_as(of.phases, &subject, format!("{} p99 {words}", of.what));
            words
        });
        // What ended is not told as if it went on.
        let end = cx
            .evidence
            .peek(of.phases, &subject)
            .and_then(|table| phases::at_the_end(&table, cx.profile))
            .map_or_else(String::new, |end| format!("; at the end {}", end.words()));
        let what = of.what;
        let message = match worst {
            Some(worst) if !slow => {
                format!("{what} p99 was {worst}; over the whole window it is {whole}")
            }
            Some(worst) => format!("{what} p99 is {whole}; at its worst {worst}{end}"),
            None => format!("{what} p99 is {whole}{end}"),
        };
        let threshold = if slow { of.limit } else { of.critical };
        drafts.push(
            Draft::new(subject, severity, message)
                .threshold(threshold.words())
                .cites(cx.evidence.take_citations()),
        );
    }
    match few {
        Some(why) if drafts.is_empty() => Err(why),
        _ => Ok(Verdict::Fail(drafts)),
    }
}
