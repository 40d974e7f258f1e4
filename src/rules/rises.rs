//! What several rules ask of counters: how much one rose within a stretch of time. A total alone says
//! nothing of now: four changes of the leader in a quarter of an hour are a fault, four in a year none.

use crate::clock::Timestamp;
use crate::evidence::{Key, Missing, Subject, keys};
use crate::profile::Limit;
use crate::units::format_ms;

use super::{Context, Draft, Severity, Verdict};

/// How much a counter of one subject rose, at most, within some seconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rise {
    pub(super) subject: Subject,
    pub(super) most: f64,
    secs: f64,
}

impl Rise {
    /// `5 leader changes in 15 min`.
    pub(super) fn words(&self, what: &str) -> String {
        format!("{:.0} {what} in {}", self.most, self.within())
    }

    /// `2 min 30 s`.
    pub(super) fn within(&self) -> String {
        span(self.secs)
    }
}

/// `15 min`, where the whole words would be `15 min 0 s`.
pub(super) fn span(secs: f64) -> String {
    let words = format_ms(secs * 1e3);
    let words = words.trim_end_matches(" 0 s").trim_end_matches(" 0 min");
    words.to_owned()
}

/// The rises of a counter that are too many.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rises {
    pub(super) over: Vec<Rise>,
    /// Set when some counter rose as much in more time than was asked for, and nothing says when.
    pub(super) untold: Option<Missing>,
}

impl Rises {
    /// A draft for each that is too many. `what` names what was counted.
    pub(super) fn drafts(
        &self,
        cx: &Context<'_>,
        key: &Key<f64>,
        what: &str,
        severity: Severity,
        limit: &Limit,
    ) -> Vec<Draft> {
        let draft = |rise: &Rise| {
            cx.evidence.cite(key, &rise.subject);
            Draft::new(rise.subject.clone(), severity, rise.words(what))
                .threshold(limit.words())
                .cites(cx.evidence.take_citations())
        };
        self.over.iter().map(draft).collect()
    }
}

/// Adds drafts of a second source: what is of a subject that has one already confirms that.
pub(super) fn join(drafts: &mut Vec<Draft>, more: Vec<Draft>) {
    for draft in more {
        match drafts.iter_mut().find(|have| have.is_about(draft.about())) {
            Some(have) => have.add_citations(draft.evidence),
            None => drafts.push(draft),
        }
    }
}

/// The verdict of what counters and logs tell, either of which is enough. Counters of which nothing
/// says when they rose clear nothing; `dated` says whether the logs do so instead.
pub(super) fn verdict<L>(
    drafts: Vec<Draft>,
    metrics: Result<Rises, Missing>,
    logs: Result<L, Missing>,
    dated: bool,
) -> Result<Verdict, Missing> {
    match metrics {
        Ok(Rises {
            untold: Some(why), ..
        }) if drafts.is_empty() && !dated => Err(why),
        metrics => Verdict::of_either(drafts, metrics, logs),
    }
}

/// One stretch between two scrapes, in seconds.
struct Step {
    from: f64,
    to: f64,
    rise: f64,
}

/// Subjects whose counter rose by too much within `span` seconds: between the scrapes as far as they
/// are known, and at least by the mean of the whole window. Cites nothing.
pub(super) fn over(
    cx: &Context<'_>,
    key: &Key<f64>,
    column: &str,
    span: f64,
    too_much: impl Fn(f64) -> bool,
) -> Result<Rises, Missing> {
    over_but(cx, key, column, span, &[], too_much)
}

/// As [`over`], without what was done on purpose: each of these moments, in seconds since 1970, takes
/// one from what was counted at its time.
pub(super) fn over_but(
    cx: &Context<'_>,
    key: &Key<f64>,
    column: &str,
    span: f64,
    excused: &[f64],
    too_much: impl Fn(f64) -> bool,
) -> Result<Rises, Missing> {
    let all = cx.evidence.some(key)?;
    cx.evidence.take_citations();
    let mut rises = Rises::default();
    for (subject, total) in all {
        let record = cx.evidence.record(key, &subject);
        let secs = record.and_then(|record| record.secs());
        let window = record.and_then(|record| record.window.from.zip(record.window.to));
        let total = window.map_or(total, |(from, to)| {
            less(total, excused, seconds(from), seconds(to))
        });
        let mut steps = steps(cx, &subject, column);
        for step in &mut steps {
            step.rise = less(step.rise, excused, step.from, step.to);
        }
        let mean = match secs {
            Some(secs) if secs > span => total * span / secs,
            Some(_) => total,
            None => 0.0,
        };
        let most = busiest(&steps, span).max(mean);
        if too_much(most) {
            rises.over.push(Rise {
                subject,
                most,
                secs: secs.unwrap_or(span).min(span),
            });
            continue;
        }
        let known: f64 = steps.iter().map(|step| step.rise).sum();
        let coarse = steps.iter().filter(|step| step.to - step.from > span);
        let may_be = coarse
            .map(|step| step.rise)
            .chain(std::iter::once(total - known))
            .fold(0.0, f64::max);
        if too_much(may_be) && rises.untold.is_none() {
            let when = secs.map_or_else(
                || "since an unknown start".to_owned(),
                |secs| format!("in {}", self::span(secs)),
            );
            rises.untold = Some(Missing::NotEnough {
                why: format!(
                    "{} counted {total:.0} {when}, and not whether they came within {}: scrapes \
                     minutes apart tell",
                    subject.name,
                    self::span(span)
                ),
            });
        }
    }
    Ok(rises)
}

#[expect(clippy::cast_precision_loss, reason = "microseconds since 1970")]
fn seconds(at: Timestamp) -> f64 {
    at.0 as f64 / 1e6
}

/// What was counted, without what was done on purpose meanwhile.
fn less(counted: f64, excused: &[f64], from: f64, to: f64) -> f64 {
    let meanwhile = excused.iter().filter(|at| (from..=to).contains(*at));
    #[expect(clippy::cast_precision_loss, reason = "few moments are kept")]
    let meanwhile = meanwhile.count() as f64;
    (counted - meanwhile).max(0.0)
}

/// The steps in which a counter rose.
fn steps(cx: &Context<'_>, subject: &Subject, column: &str) -> Vec<Step> {
    let table = cx.evidence.peek(&keys::MEMBER_PHASES, subject);
    let rows = table.iter().flat_map(|table| &table.rows);
    rows.filter_map(|row| {
        let from = seconds(Timestamp::parse(&row.key)?);
        let (secs, rise) = (row.get("secs")?, row.get(column)?);
        (secs > 0.0 && rise > 0.0).then_some(Step {
            from,
            to: from + secs,
            rise,
        })
    })
    .collect()
}

/// The largest sum of rises in any `span` seconds; of a step that lies partly in them its share.
fn busiest(steps: &[Step], span: f64) -> f64 {
    let within = |from: f64| -> f64 {
        let share = |step: &Step| {
            let both = step.to.min(from + span) - step.from.max(from);
            step.rise * (both / (step.to - step.from)).clamp(0.0, 1.0)
        };
        steps.iter().map(share).sum()
    };
    // The sum is largest where the stretch begins or ends with a step.
    let begins = steps.iter().flat_map(|step| [step.from, step.to - span]);
    begins.map(within).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Reader, Table};
    use crate::profile::Profile;
    use crate::rules::testing::{Set, member, table};

    fn of(total: f64, secs: i64, steps: Option<Table>) -> Rises {
        let mut set = Set::new().put_over(&keys::LEADER_CHANGES, member(), total, secs);
        if let Some(steps) = steps {
            set = set.put(&keys::MEMBER_PHASES, member(), steps);
        }
        let cx = Context {
            evidence: Reader::new(&set.0),
            profile: &Profile::default(),
        };
        let over = |count: f64| count > 3.0;
        super::over(&cx, &keys::LEADER_CHANGES, "leader_changes", 900.0, over).unwrap()
    }

    #[test]
    fn a_count_is_judged_by_the_time_that_it_took() {
        let told = |rises: &Rises| (rises.over.len(), rises.untold.is_some());
        assert_eq!(told(&of(4.0, 900, None)), (1, false));
        assert_eq!(told(&of(3.0, 900, None)), (0, false));
        // Half of them in a quarter of an hour, as far as the mean goes.
        assert_eq!(told(&of(8.0, 1800, None)), (1, false));
        // In a week it may have been any day, or all at once.
        assert_eq!(told(&of(4.0, 604_800, None)), (0, true));
        assert_eq!(told(&of(3.0, 604_800, None)), (0, false));
        let words = of(4.0, 604_800, None).untold.unwrap().to_string();
        assert!(words.contains("a counted 4 in 7 d"), "{words}");
    }

    #[test]
    fn scrapes_between_tell_when() {
        let step = |rise: f64| [("secs", 600.0), ("leader_changes", rise)];
        let two = |a: f64, b: f64| {
            table(&[
                ("2026-11-21T20:00:00Z", &step(a)),
                ("2026-11-21T20:10:00Z", &step(b)),
                ("2026-11-21T23:00:00Z", &step(1.0)),
            ])
        };
        let burst = of(6.0, 86_400, Some(two(3.0, 2.0)));
        // Of the second ten minutes only five lie within the quarter of an hour.
        assert!((burst.over[0].most - 4.0).abs() < 1e-9, "{burst:?}");
        assert_eq!(
            burst.over[0].words("leader changes"),
            "4 leader changes in 15 min"
        );
        assert_eq!(of(5.0, 86_400, Some(two(2.0, 2.0))), Rises::default());
        // What no step tells of may have come together.
        assert!(of(9.0, 86_400, Some(two(2.0, 2.0))).untold.is_some());
    }
}
