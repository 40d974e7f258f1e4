//! Two sets of readings side by side, with the spread of their rounds taken into account.
//!
//! A difference is only claimed where the rounds of both sides do not overlap at all, or where a
//! rank test over many rounds says so. Otherwise it is "no difference shown", which is not "no
//! difference": more rounds may show one.

use serde::Serialize;

use crate::evidence::{EvidenceSet, Reader, Subject, Table, keys};

/// Fewest rounds on each side: with four and four, sets that do not overlap come by chance in 2.9 %
/// of all cases (2 of 70 orders), with three and three in 10 %.
const LEAST_ROUNDS: usize = 4;
/// From so many rounds on, ranks are compared instead.
const MANY_ROUNDS: usize = 8;
/// A difference below this share is of no use to anybody, however sure.
const LEAST_SHARE: f64 = 0.05;

/// What a comparison came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// The second is better.
    Better,
    /// The second is worse.
    Worse,
    /// It is another, and neither was or became a trouble.
    Minor,
    /// The spread of the rounds hides a difference, if there is one.
    NoneShown,
    /// There are too few rounds to tell.
    TooFew,
}

impl Change {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Change::Better => "better",
            Change::Worse => "worse",
            Change::Minor => "different",
            Change::NoneShown => "no difference shown",
            Change::TooFew => "too few rounds to tell",
        }
    }
}

/// The values of one side's rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Side {
    /// Rounds.
    pub rounds: usize,
    /// The median of the rounds.
    pub median: f64,
    /// The smallest.
    pub low: f64,
    /// The largest.
    pub high: f64,
}

/// One compared number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// What: `p99_ms`.
    pub what: String,
    /// The key it is from.
    pub key: String,
    /// Before.
    pub a: Side,
    /// After.
    pub b: Side,
    /// `b` over `a`, less one.
    pub share: Option<f64>,
    /// What it came to.
    pub change: Change,
}

/// A word that changed or not, such as a verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Word {
    /// What: `level`.
    pub what: String,
    /// Before.
    pub a: Option<String>,
    /// After.
    pub b: Option<String>,
    /// Whether that is for the worse, by itself.
    pub change: Change,
}

/// Two sides compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// Always `etcd-doctor/compare`.
    pub format: &'static str,
    /// The format's version.
    pub version: u32,
    /// The names of the two sides.
    pub names: [String; 2],
    /// Verdicts and barriers.
    pub words: Vec<Word>,
    /// Numbers with a spread.
    pub lines: Vec<Line>,
    /// The p99 of distributions, where both sides hold evidence of a run.
    pub brackets: Vec<super::compare_runs::Bracket>,
    /// Findings that are not the same.
    pub findings: Vec<super::compare_runs::FindingChange>,
    /// What makes the two hard to compare.
    pub doubts: Vec<String>,
}

impl Comparison {
    /// Whether anything got worse.
    pub fn worse(&self) -> bool {
        self.words.iter().any(|word| word.change == Change::Worse)
            || self.lines.iter().any(|line| line.change == Change::Worse)
            || self
                .brackets
                .iter()
                .any(|line| line.change == Change::Worse)
            || self
                .findings
                .iter()
                .any(|line| line.change == Change::Worse)
    }

    /// Whether the two sides have anything in common, so that something was compared.
    pub fn in_common(&self) -> bool {
        let both = |word: &Word| word.a.is_some() && word.b.is_some();
        self.words.iter().any(both)
            || self
                .lines
                .iter()
                .any(|line| line.a.rounds > 0 && line.b.rounds > 0)
            || !self.brackets.is_empty()
    }

    /// Whether there was nothing to compare.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty() && self.lines.is_empty()
    }
}

/// Compares two sets.
pub fn compare(names: [String; 2], a: &EvidenceSet, b: &EvidenceSet) -> Comparison {
    let mut comparison = Comparison {
        format: "etcd-doctor/compare",
        version: 1,
        names,
        ..Comparison::default()
    };
    let (a, b) = (Reader::new(a), Reader::new(b));
    words(&a, &b, &mut comparison);
    rounds(&a, &b, &mut comparison);
    comparison
}

/// From worst to best, as far as words can be ordered.
const LEVELS: &[&str] = &["unsafe", "not-for-etcd", "marginal", "ok", "heavy-load-ok"];
const BARRIERS: &[&str] = &["off", "on", "not-needed"];

fn words(a: &Reader<'_>, b: &Reader<'_>, out: &mut Comparison) {
    for (what, key, order) in [
        ("verdict", &keys::BENCH_DISK_LEVEL, LEVELS),
        ("flushes", &keys::BENCH_DISK_BARRIER, BARRIERS),
    ] {
        let (before, after) = (one(a, key), one(b, key));
        if before.is_none() && after.is_none() {
            continue;
        }
        let rank = |word: &Option<String>| {
            let word = word.as_deref()?;
            order.iter().position(|have| *have == word)
        };
        let change = match (rank(&before), rank(&after)) {
            // Flushes that are not needed are not better than flushes that are sent.
            (Some(a), Some(b)) if what == "flushes" && a > 0 && b > 0 => Change::NoneShown,
            (Some(a), Some(b)) if b < a => Change::Worse,
            (Some(a), Some(b)) if b > a => Change::Better,
            (None, Some(0)) => Change::Worse,
            _ => Change::NoneShown,
        };
        out.words.push(Word {
            what: what.to_owned(),
            a: before,
            b: after,
            change,
        });
    }
    plateau(a, b, out);
    let plans = (
        one(a, &keys::BENCH_DISK_PLAN),
        one(b, &keys::BENCH_DISK_PLAN),
    );
    if let (Some(before), Some(after)) = plans
        && before != after
    {
        out.doubts.push(format!(
            "the plans differ, so the numbers need not be comparable: {before} against {after}"
        ));
    }
}

/// A cap that is a tenth lower than the last time is another cap.
const PLATEAU_SHARE: f64 = 0.1;

/// Where somebody limits the disk, then and now. A side without one may not have looked for it.
fn plateau(a: &Reader<'_>, b: &Reader<'_>, out: &mut Comparison) {
    let of = |reader: &Reader<'_>| {
        let found = reader.all(&keys::BENCH_DISK_PLATEAU).into_iter().next();
        found.map(|(_, bytes_per_sec)| bytes_per_sec)
    };
    let (before, after) = (of(a), of(b));
    if before.is_none() && after.is_none() {
        return;
    }
    let change = match (before, after) {
        (Some(a), Some(b)) if b < a * (1.0 - PLATEAU_SHARE) => Change::Worse,
        (Some(a), Some(b)) if b > a * (1.0 + PLATEAU_SHARE) => Change::Better,
        _ => Change::NoneShown,
    };
    let words = |rate: Option<f64>| rate.map(|rate| format!("{:.1} MiB/s", rate / 1_048_576.0));
    out.words.push(Word {
        what: "limit".to_owned(),
        a: words(before),
        b: words(after),
        change,
    });
}

fn one(reader: &Reader<'_>, key: &crate::evidence::Key<String>) -> Option<String> {
    reader.all(key).into_iter().next().map(|(_, word)| word)
}

/// A table and what it is about.
type About = (Subject, Table);

/// Tables of rounds of both sides: of the same subject, or of the only one on each side.
fn rounds(a: &Reader<'_>, b: &Reader<'_>, out: &mut Comparison) {
    let key = &keys::BENCH_DISK_ROUNDS;
    let (before, after) = (a.all(key), b.all(key));
    let pairs: Vec<(&About, &About)> = match (before.as_slice(), after.as_slice()) {
        ([one], [other]) => vec![(one, other)],
        _ => before
            .iter()
            .filter_map(|one| Some((one, after.iter().find(|other| other.0 == one.0)?)))
            .collect(),
    };
    if pairs.is_empty() && !(before.is_empty() && after.is_empty()) {
        out.doubts
            .push("the two sides have no disk in common to compare".to_owned());
    }
    for (one, other) in pairs {
        for column in columns(&one.1) {
            let sides = (side(&one.1, &column), side(&other.1, &column));
            let (Some((before, a)), Some((after, b))) = sides else {
                continue;
            };
            // Times are better when small, rates when large.
            let small_is_good = !column.ends_with("per_sec");
            out.lines.push(Line {
                change: change(&before, &after, small_is_good),
                share: (a.median > 0.0).then(|| b.median / a.median - 1.0),
                what: column,
                key: key.name().to_owned(),
                a,
                b,
            });
        }
    }
}

/// Columns that are compared. The number of samples follows from the others.
fn columns(table: &Table) -> Vec<String> {
    let mut columns: Vec<String> = table
        .rows
        .iter()
        .flat_map(|row| row.cells.keys().cloned())
        .filter(|column| column != "samples")
        .collect();
    columns.sort();
    columns.dedup();
    columns
}

fn side(table: &Table, column: &str) -> Option<(Vec<f64>, Side)> {
    let mut values: Vec<f64> = table
        .rows
        .iter()
        .filter_map(|row| row.get(column))
        .filter(|value| value.is_finite())
        .collect();
    values.sort_by(f64::total_cmp);
    let (low, high) = (*values.first()?, *values.last()?);
    let middle = values.len() / 2;
    let median = if values.len() % 2 == 1 {
        *values.get(middle)?
    } else {
        (values.get(middle - 1)? + values.get(middle)?) / 2.0
    };
    let side = Side {
        rounds: values.len(),
        median,
        low,
        high,
    };
    Some((values, side))
}

/// Both sorted.
fn change(a: &[f64], b: &[f64], small_is_good: bool) -> Change {
    if a.len() < LEAST_ROUNDS || b.len() < LEAST_ROUNDS {
        return Change::TooFew;
    }
    let median = |values: &[f64]| values.get(values.len() / 2).copied().unwrap_or(0.0);
    let (ma, mb) = (median(a), median(b));
    if (mb - ma).abs() < LEAST_SHARE * ma.abs() {
        return Change::NoneShown;
    }
    let apart = match (a.first(), a.last(), b.first(), b.last()) {
        (Some(a_low), Some(a_high), Some(b_low), Some(b_high)) => a_high < b_low || b_high < a_low,
        _ => false,
    };
    let many = a.len() >= MANY_ROUNDS && b.len() >= MANY_ROUNDS;
    if !(apart || many && ranks_differ(a, b)) {
        return Change::NoneShown;
    }
    if (mb < ma) == small_is_good {
        Change::Better
    } else {
        Change::Worse
    }
}

/// Mann and Whitney's test, two-sided at 5 %, with the normal approximation that holds from eight
/// values on.
fn ranks_differ(a: &[f64], b: &[f64]) -> bool {
    let mut u = 0.0;
    for x in a {
        for y in b {
            u += if x > y {
                1.0
            } else if x == y {
                0.5
            } else {
                0.0
            };
        }
    }
    let (n, m) = (a.len() as f64, b.len() as f64);
    let deviation = (n * m * (n + m + 1.0) / 12.0).sqrt();
    (u - n * m / 2.0).abs() - 0.5 > 1.96 * deviation
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Collector, Origin, Row, SubjectKind, Window};

    #[test]
    fn words_of_one_side_alone_are_nothing_in_common() {
        let with = |a: Option<&str>, b: Option<&str>| Comparison {
            words: vec![Word {
                what: "verdict".to_owned(),
                a: a.map(str::to_owned),
                b: b.map(str::to_owned),
                change: Change::NoneShown,
            }],
            ..Comparison::default()
        };
        assert!(!with(Some("ok"), None).in_common());
        assert!(with(Some("ok"), Some("ok")).in_common());
    }

    #[test]
    fn a_lower_plateau_is_worse_and_the_same_is_no_news() {
        let with = |mib: f64| {
            let mut set = set(&[1.0; 5], "ok");
            set.put(
                &keys::BENCH_DISK_PLATEAU,
                Subject::new(SubjectKind::Device, "sda").on("a"),
                Window::default(),
                Origin::new(Collector::Bench, "bench disk"),
                mib * 1_048_576.0,
            );
            set
        };
        let limit = |a: f64, b: f64| {
            let compared = compare(["a".into(), "b".into()], &with(a), &with(b));
            let word = compared.words.into_iter().find(|word| word.what == "limit");
            let word = word.unwrap();
            (word.a.unwrap(), word.b.unwrap(), word.change)
        };
        assert_eq!(
            limit(16.0, 8.0),
            ("16.0 MiB/s".into(), "8.0 MiB/s".into(), Change::Worse)
        );
        assert_eq!(limit(16.0, 15.5).2, Change::NoneShown);
        assert_eq!(limit(8.0, 16.0).2, Change::Better);
        let none = compare(["a".into(), "b".into()], &set(&[1.0; 5], "ok"), &with(8.0));
        let word = none.words.iter().find(|word| word.what == "limit").unwrap();
        assert_eq!((&word.a, word.change), (&None, Change::NoneShown));
    }

    fn set(p99s: &[f64], level: &str) -> EvidenceSet {
        let mut set = EvidenceSet::new();
        let subject = Subject::new(SubjectKind::Device, "sda").on("a");
        let origin = Origin::new(Collector::Bench, "bench disk");
        let rows = p99s
            .iter()
            .enumerate()
            .map(|(n, p99)| {
                Row::new(format!("{n:03}"))
                    .num("p99_ms", *p99)
                    .num("syncs_per_sec", 1_000.0 / p99)
                    .num("samples", 500.0)
            })
            .collect();
        let table = Table {
            rows,
            ..Table::default()
        };
        let window = Window::default();
        set.put(
            &keys::BENCH_DISK_ROUNDS,
            subject.clone(),
            window,
            origin.clone(),
            table,
        );
        set.put(
            &keys::BENCH_DISK_LEVEL,
            subject,
            window,
            origin,
            level.to_owned(),
        );
        set
    }

    fn p99(a: &[f64], b: &[f64]) -> Change {
        let names = ["a".to_owned(), "b".to_owned()];
        let compared = compare(names, &set(a, "ok"), &set(b, "ok"));
        let line = compared.lines.iter().find(|l| l.what == "p99_ms").unwrap();
        let rate = compared
            .lines
            .iter()
            .find(|l| l.what == "syncs_per_sec")
            .unwrap();
        assert_eq!(line.change, rate.change, "a rate is the other way round");
        assert!(compared.lines.iter().all(|line| line.what != "samples"));
        line.change
    }

    #[test]
    fn a_difference_is_claimed_only_beyond_the_spread() {
        let base = [10.0, 11.0, 10.5, 10.2];
        assert_eq!(p99(&base, &[5.0, 5.5, 6.0, 5.2]), Change::Better);
        assert_eq!(p99(&base, &[15.0, 15.5, 16.0, 15.2]), Change::Worse);
        // One round reaches into the other side.
        assert_eq!(p99(&base, &[15.0, 15.5, 16.0, 10.9]), Change::NoneShown);
        // Apart, and too little to matter.
        assert_eq!(
            p99(&[10.0, 10.1, 10.2, 10.3], &[10.4, 10.5, 10.6, 10.7]),
            Change::NoneShown
        );
        assert_eq!(p99(&base[..3], &[5.0, 5.5, 6.0]), Change::TooFew);
    }

    #[test]
    fn many_rounds_are_compared_by_rank() {
        let base: Vec<f64> = (0..20).map(|n| 10.0 + f64::from(n % 5)).collect();
        let shifted: Vec<f64> = base.iter().map(|x| x + 2.5).collect();
        assert_eq!(
            p99(&base, &shifted),
            Change::Worse,
            "they overlap and differ"
        );
        let same: Vec<f64> = base.iter().rev().map(|x| x + 0.1).collect();
        assert_eq!(p99(&base, &same), Change::NoneShown);
    }

    #[test]
    fn a_verdict_that_falls_is_worse_by_itself() {
        let fast = [1.0, 1.1, 1.2, 1.3];
        let names = || ["a".to_owned(), "b".to_owned()];
        let fell = compare(names(), &set(&fast, "ok"), &set(&fast, "unsafe"));
        assert!(fell.worse());
        let same = compare(names(), &set(&fast, "ok"), &set(&fast, "inconclusive"));
        assert!(!same.worse());
        assert!(compare(names(), &EvidenceSet::new(), &EvidenceSet::new()).is_empty());
    }
}
