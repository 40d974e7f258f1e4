//! Two runs of `diagnose` side by side: what is new, what is gone, what got worse beyond noise.
//!
//! A finding near its limit fails in one run and passes in the next without any change. Where it
//! rests on a distribution, the two distributions decide: a difference is only claimed when the
//! share of values above the better side's p99 more than doubled and chance does not explain it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::evidence::{EvidenceSet, Histogram, Key, Reader, keys};
use crate::rules::Status;

use super::Report;
use super::compare::{Change, Comparison, Word};

/// Fewest values of a distribution that is compared.
const LEAST_VALUES: f64 = 100.0;
/// Standard errors that a difference of shares must have: one in a thousand by chance.
const SURE: f64 = 3.3;

/// What a run said, read back from a report or judged anew from a bundle.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// The verdict's cause.
    pub cause: String,
    /// Kinds of evidence that were not looked at.
    pub missing: Vec<String>,
    /// What the rules said.
    pub findings: Vec<Said>,
}

/// What one rule said about one subject.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// The rule.
    pub rule: String,
    /// `kind:name@node`.
    pub subject: String,
    /// `fail`, `pass`, `unknown` or `not-applicable`.
    pub status: String,
    /// `info`, `warn` or `critical`.
    pub severity: String,
    /// One sentence.
    pub message: String,
    /// Key and subject of what it rests on.
    pub rests_on: Vec<(String, String)>,
    /// Whether somebody accepted it, and that still holds.
    pub accepted: bool,
}

impl Run {
    /// Of a report.
    pub fn of(report: &Report) -> Self {
        let verdict = &report.diagnosis.verdict;
        Run {
            cause: verdict.cause.word().to_owned(),
            missing: verdict.missing.clone(),
            findings: report
                .findings
                .iter()
                .map(|finding| Said {
                    rule: finding.rule.clone(),
                    subject: finding.subject.to_string(),
                    status: finding.status.word().to_owned(),
                    severity: finding.severity.word().to_owned(),
                    message: finding.message.clone(),
                    rests_on: finding
                        .evidence
                        .iter()
                        .map(|c| (c.key.clone(), c.subject.to_string()))
                        .collect(),
                    accepted: finding.failed() && !finding.counts(),
                })
                .collect(),
        }
    }
}

/// A finding that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FindingChange {
    /// The rule.
    pub rule: String,
    /// What it is about.
    pub subject: String,
    /// Its severity before, or its status where it did not fail; null where the rule said nothing.
    pub a: Option<String>,
    /// After.
    pub b: Option<String>,
    /// What it says, on the side where it fails; after, where it fails on both.
    pub message: String,
    /// What it came to.
    pub change: Change,
    /// Why a difference is not claimed, where that needs a word.
    pub note: String,
}

/// The p99 of one distribution on both sides, as brackets.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bracket {
    /// What: `WAL fsync`.
    pub what: String,
    /// The key it is from.
    pub key: String,
    /// What it is about.
    pub subject: String,
    /// Before.
    pub a: BracketSide,
    /// After.
    pub b: BracketSide,
    /// What it came to.
    pub change: Change,
}

/// One side of it, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BracketSide {
    /// Values.
    pub count: f64,
    /// The p99 is above this,
    pub low_ms: f64,
    /// and not above this; null where the last bucket is open.
    pub high_ms: Option<f64>,
}

/// Distributions that are compared.
const WHAT: &[(&str, &Key<Histogram>)] = &[
    ("WAL fsync", &keys::WAL_FSYNC),
    ("backend commit", &keys::WAL_COMMIT),
    ("peer round trip", &keys::PEER_RTT),
    (
        "etcd requests of kube-apiserver",
        &keys::APISERVER_ETCD_TOOK,
    ),
    (
        "wait in the client's own limiter",
        &keys::CLIENT_LIMITER_WAIT,
    ),
];

/// Adds what two runs have to say to a comparison. Distributions need the evidence of both sides.
pub fn compare_runs(
    a: &Run,
    b: &Run,
    evidence: Option<(&EvidenceSet, &EvidenceSet)>,
    out: &mut Comparison,
) {
    if let Some((before, after)) = evidence {
        brackets(before, after, &mut out.brackets);
    }
    let good = |cause: &str| cause == "none";
    let open = |cause: &str| cause == "unknown";
    out.words.push(Word {
        what: "cause".to_owned(),
        a: Some(a.cause.clone()),
        b: Some(b.cause.clone()),
        change: match (a.cause.as_str(), b.cause.as_str()) {
            (a, b) if open(a) || open(b) => Change::TooFew,
            (a, b) if good(a) && !good(b) => Change::Worse,
            (a, b) if !good(a) && good(b) => Change::Better,
            _ => Change::NoneShown,
        },
    });
    for (side, other, name) in [(a, b, "B"), (b, a, "A")] {
        let lost: Vec<&str> = other
            .missing
            .iter()
            .filter(|kind| !side.missing.contains(kind))
            .map(String::as_str)
            .collect();
        if !lost.is_empty() {
            out.doubts
                .push(format!("{name} did not look at: {}", lost.join(", ")));
        }
    }
    let subjects = |run: &Run| -> BTreeSet<String> {
        run.findings
            .iter()
            .map(|said| said.subject.clone())
            .filter(|subject| subject != "cluster")
            .collect()
    };
    let (of_a, of_b) = (subjects(a), subjects(b));
    if !of_a.is_empty() && !of_b.is_empty() && of_a.is_disjoint(&of_b) {
        out.doubts.push(
            "the two sides have no node, member or component in common: are they of one cluster?"
                .to_owned(),
        );
    }
    findings(a, b, out);
}

/// What one rule says of one subject, and there may be several of it, on both sides.
type Pair<'r> = (Option<&'r Said>, Option<&'r Said>);

/// Findings of one rule on one subject that belong together: those that say the same but for the
/// numbers; and what is left, if it is one on each side.
fn paired<'r>(before: &[&'r Said], after: &[&'r Said]) -> Vec<Pair<'r>> {
    let masked = |said: &Said| -> String {
        let mut text = String::new();
        for c in said.message.chars().filter(|c| *c != '.') {
            let c = if c.is_ascii_digit() { '#' } else { c };
            if !(c == '#' && text.ends_with('#')) {
                text.push(c);
            }
        }
        text
    };
    let mut left: Vec<&Said> = after.to_vec();
    let mut alone: Vec<&Said> = Vec::new();
    let mut pairs = Vec::new();
    for was in before {
        match left.iter().position(|is| masked(is) == masked(was)) {
            Some(at) => pairs.push((Some(*was), Some(left.remove(at)))),
            None => alone.push(was),
        }
    }
    if let ([was], [is]) = (alone.as_slice(), left.as_slice()) {
        pairs.push((Some(*was), Some(*is)));
        return pairs;
    }
    pairs.extend(alone.into_iter().map(|was| (Some(was), None)));
    pairs.extend(left.into_iter().map(|is| (None, Some(is))));
    pairs
}

fn findings(a: &Run, b: &Run, out: &mut Comparison) {
    type Place = (String, String);
    fn by(run: &Run) -> BTreeMap<Place, Vec<&Said>> {
        let mut places: BTreeMap<Place, Vec<&Said>> = BTreeMap::new();
        for said in &run.findings {
            let place = (said.rule.clone(), said.subject.clone());
            places.entry(place).or_default().push(said);
        }
        places
    }
    let (before, after) = (by(a), by(b));
    let all: BTreeSet<&Place> = before.keys().chain(after.keys()).collect();
    let pairs = all.into_iter().flat_map(|place| {
        let none = Vec::new();
        let pairs = paired(
            before.get(place).unwrap_or(&none),
            after.get(place).unwrap_or(&none),
        );
        pairs.into_iter().map(move |pair| (place, pair))
    });
    for (place, (was, is)) in pairs {
        let fails = |said: Option<&Said>| said.is_some_and(|said| said.status == "fail");
        if !fails(was) && !fails(is) {
            continue;
        }
        let state = |said: Option<&Said>, run: &Run| -> Option<String> {
            match said {
                Some(said) if said.status == "fail" && said.accepted => Some("accepted".to_owned()),
                Some(said) if said.status == "fail" => Some(said.severity.clone()),
                Some(said) => Some(said.status.clone()),
                // A rule that passes speaks of nobody; one that failed elsewhere passed here.
                None => whole(&place.0, run),
            }
        };
        let (from, to) = (state(was, a), state(is, b));
        if from == to {
            continue;
        }
        let (mut change, mut note) = (judged(from.as_deref(), to.as_deref()), String::new());
        let said = is.filter(|said| said.status == "fail").or(was);
        let Some(said) = said else {
            continue;
        };
        // Of a hint only what came by chance is told; which way it went is nobody's trouble.
        let by_chance = |bracket: &&Bracket| match change {
            Change::Worse | Change::Better => bracket.change != change,
            Change::Minor => bracket.change == Change::NoneShown,
            Change::NoneShown | Change::TooFew => false,
        };
        if let Some(bracket) = decides(said, &out.brackets).filter(by_chance) {
            change = bracket.change;
            note = format!("its {} differs no more than by chance", bracket.what);
        }
        out.findings.push(FindingChange {
            rule: place.0.clone(),
            subject: place.1.clone(),
            a: from,
            b: to,
            message: said.message.clone(),
            change,
            note,
        });
    }
    let rank = |change: Change| match change {
        Change::Worse => 0,
        Change::Better => 1,
        Change::TooFew => 2,
        Change::Minor => 3,
        Change::NoneShown => 4,
    };
    out.findings
        .sort_by(|x, y| (rank(x.change), &x.rule).cmp(&(rank(y.change), &y.rule)));
}

/// What a rule said about nobody in particular.
fn whole(rule: &str, run: &Run) -> Option<String> {
    let of: Vec<&Said> = run
        .findings
        .iter()
        .filter(|said| said.rule == rule)
        .collect();
    if of
        .iter()
        .any(|said| said.status == "fail" || said.status == "pass")
    {
        return Some(Status::Pass.word().to_owned());
    }
    of.first().map(|said| said.status.clone())
}

fn judged(from: Option<&str>, to: Option<&str>) -> Change {
    let rank = |state: &str| match state {
        "critical" => Some(3),
        "warn" => Some(2),
        "info" | "accepted" => Some(1),
        "pass" | "not-applicable" => Some(0),
        _ => None,
    };
    match (from.and_then(rank), to.and_then(rank)) {
        (Some(from), Some(to)) if to > from && to >= 2 => Change::Worse,
        (Some(from), Some(to)) if to < from && from >= 2 => Change::Better,
        (Some(_), Some(_)) => Change::Minor,
        _ => Change::TooFew,
    }
}

/// The distribution that a finding rests on, where there is one on both sides.
fn decides<'b>(said: &Said, brackets: &'b [Bracket]) -> Option<&'b Bracket> {
    let first = said.rests_on.first()?;
    brackets
        .iter()
        .find(|bracket| bracket.key == first.0 && bracket.subject == first.1)
}

fn brackets(a: &EvidenceSet, b: &EvidenceSet, out: &mut Vec<Bracket>) {
    let (a, b) = (Reader::new(a), Reader::new(b));
    for (what, key) in WHAT {
        for (subject, before) in a.all(key) {
            let Some(after) = b.peek(key, &subject) else {
                continue;
            };
            let side = |histogram: &Histogram| {
                let (low_ms, high) = histogram.bracket(0.99)?;
                Some(BracketSide {
                    count: histogram.count(),
                    low_ms,
                    high_ms: high.is_finite().then_some(high),
                })
            };
            let (Some(of_a), Some(of_b)) = (side(&before), side(&after)) else {
                continue;
            };
            out.push(Bracket {
                what: (*what).to_owned(),
                key: key.name().to_owned(),
                subject: subject.to_string(),
                a: of_a,
                b: of_b,
                change: differ(&before, &after, of_a, of_b),
            });
        }
    }
}

/// Whether one distribution's tail is surely longer.
fn differ(a: &Histogram, b: &Histogram, of_a: BracketSide, of_b: BracketSide) -> Change {
    if of_a.count < LEAST_VALUES || of_b.count < LEAST_VALUES {
        return Change::TooFew;
    }
    let longer = |short: &Histogram, long: &Histogram, side: BracketSide| -> bool {
        let Some(limit) = side.high_ms else {
            return false;
        };
        let (n, m) = (short.count(), long.count());
        // Both ends of a bucket that spans the limit are unknown: doubt goes to "no difference".
        let (few, many) = (short.above(limit).1 / n, long.above(limit).0 / m);
        let both = (few * n + many * m) / (n + m);
        let error = (both * (1.0 - both) * (1.0 / n + 1.0 / m)).sqrt();
        many > 2.0 * few.max(0.005) && error > 0.0 && (many - few) / error > SURE
    };
    if longer(a, b, of_a) {
        Change::Worse
    } else if longer(b, a, of_b) {
        Change::Better
    } else {
        Change::NoneShown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Bucket;

    fn histogram(counts: &[f64; 5]) -> Histogram {
        let les = [4.0, 8.0, 16.0, 32.0, f64::INFINITY];
        Histogram {
            buckets: les
                .iter()
                .zip(counts)
                .map(|(le, count)| Bucket {
                    le: *le,
                    count: *count,
                })
                .collect(),
            sum: 1.0,
            max: None,
        }
    }

    fn change(a: &[f64; 5], b: &[f64; 5]) -> Change {
        let (a, b) = (histogram(a), histogram(b));
        let side = |h: &Histogram| {
            let (low_ms, high) = h.bracket(0.99).unwrap();
            BracketSide {
                count: h.count(),
                low_ms,
                high_ms: high.is_finite().then_some(high),
            }
        };
        differ(&a, &b, side(&a), side(&b))
    }

    #[test]
    fn a_p99_that_moves_one_bucket_by_chance_is_no_difference() {
        // 0.9 % and 1.1 % above 8 ms: the brackets differ, the runs do not.
        let (a, b) = ([900.0, 91.0, 9.0, 0.0, 0.0], [900.0, 89.0, 11.0, 0.0, 0.0]);
        assert_eq!(change(&a, &b), Change::NoneShown);
        assert_eq!(change(&b, &a), Change::NoneShown);
        let worse = [800.0, 100.0, 80.0, 20.0, 0.0];
        assert_eq!(change(&a, &worse), Change::Worse);
        assert_eq!(change(&worse, &a), Change::Better);
        assert_eq!(change(&[50.0, 1.0, 0.0, 0.0, 0.0], &worse), Change::TooFew);
    }

    fn run(said: &[(&str, &str, &str, &str)]) -> Run {
        Run {
            cause: "none".to_owned(),
            missing: vec![],
            findings: said
                .iter()
                .map(|(rule, subject, status, severity)| Said {
                    rule: (*rule).to_owned(),
                    subject: (*subject).to_owned(),
                    status: (*status).to_owned(),
                    severity: (*severity).to_owned(),
                    ..Said::default()
                })
                .collect(),
        }
    }

    #[test]
    fn two_findings_of_one_rule_on_one_subject_are_kept_apart() {
        let run = |said: &[(&str, &str)]| Run {
            findings: said
                .iter()
                .map(|(severity, message)| Said {
                    rule: "low".to_owned(),
                    subject: "component:c".to_owned(),
                    status: "fail".to_owned(),
                    severity: (*severity).to_owned(),
                    message: (*message).to_owned(),
                    ..Said::default()
                })
                .collect(),
            ..Run::default()
        };
        let changes = |a: &[(&str, &str)], b: &[(&str, &str)]| {
            let mut out = Comparison::default();
            compare_runs(&run(a), &run(b), None, &mut out);
            let said = out.findings.into_iter();
            said.map(|f| (f.message, f.change)).collect::<Vec<_>>()
        };
        let (qps, burst) = (("warn", "qps is 5 of 20"), ("warn", "burst is 5 of 30"));
        assert_eq!(changes(&[qps, burst], &[burst, qps]), []);
        let gone = changes(&[qps, burst], &[("warn", "burst is 10.5 of 30")]);
        assert_eq!(gone, [(qps.1.to_owned(), Change::Better)]);
        let new = changes(&[burst], &[qps, burst]);
        assert_eq!(new, [(qps.1.to_owned(), Change::Worse)]);
        let worse = changes(&[qps, burst], &[("critical", "qps is 1 of 20"), burst]);
        assert_eq!(worse, [("qps is 1 of 20".to_owned(), Change::Worse)]);
        // One on each side is the same finding, whatever its words.
        assert_eq!(changes(&[qps], &[("warn", "it is low")]), []);
    }

    #[test]
    fn what_was_not_looked_at_is_neither_better_nor_worse() {
        let changes = |a: &[(&str, &str, &str, &str)], b: &[(&str, &str, &str, &str)]| {
            let mut out = Comparison::default();
            compare_runs(&run(a), &run(b), None, &mut out);
            out.findings.iter().map(|f| f.change).collect::<Vec<_>>()
        };
        let fails = ("slow", "member:a", "fail", "warn");
        let worse = ("slow", "member:a", "fail", "critical");
        let hint = ("slow", "member:a", "fail", "info");
        let passes = ("slow", "cluster", "pass", "warn");
        let unknown = ("slow", "cluster", "unknown", "warn");
        assert_eq!(changes(&[passes], &[fails]), [Change::Worse]);
        assert_eq!(changes(&[fails], &[passes]), [Change::Better]);
        assert_eq!(changes(&[fails], &[worse]), [Change::Worse]);
        assert_eq!(changes(&[fails], &[unknown]), [Change::TooFew]);
        assert_eq!(changes(&[], &[fails]), [Change::TooFew]);
        assert_eq!(changes(&[passes], &[hint]), [Change::Minor]);
        assert_eq!(changes(&[hint], &[passes]), [Change::Minor]);
        assert_eq!(changes(&[fails], &[fails]), []);
        // It failed on another member: here it passed.
        let other = ("slow", "member:b", "fail", "warn");
        assert_eq!(changes(&[other], &[other, fails]), [Change::Worse]);
    }
}
