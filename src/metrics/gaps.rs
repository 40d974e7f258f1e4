//! Families that a scrape lacks: whether nothing was counted yet, or nobody knows.
//!
//! A counter or histogram without labels is exposed from the start of its process on, and so are most
//! families with labels. Where one of them is absent from a scrape, the text was cut or filtered: its
//! counts up to that scrape are unknown, not zero.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::catalog::metrics::{Kind, Metric};
use crate::clock::Timestamp;

use super::fault::{Fault, FaultKind};
use super::store::Key;
use super::timeline::{Column, Timeline};

/// How the families of a scrape were printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// By name, as Go programs do: where the text ends early, the last family tells where.
    Sorted,
    /// In another order, without comments, or of several processes at once.
    Unsorted,
    /// As values of their own, in an answer of Prometheus: it has no end to cut off.
    Apart,
}

/// Families of a time line, and what their absence from a scrape means.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    families: Vec<Family>,
    /// Family after family, one value a column: whether a series that is absent was really not there.
    told: Vec<bool>,
    pub(super) faults: Vec<Fault>,
}

/// The rows of one name.
#[derive(Debug)]
struct Family {
    metric: Metric,
    spelling: u8,
    name: &'static str,
    rows: Range<usize>,
}

impl Family {
    fn all(keys: &[Key]) -> Vec<Family> {
        let mut out: Vec<Family> = Vec::new();
        for (row, key) in keys.iter().enumerate() {
            match out.last_mut() {
                Some(last) if (last.metric, last.spelling) == (key.metric, key.spelling) => {
                    last.rows.end = row + 1;
                }
                _ => out.push(Family {
                    metric: key.metric,
                    spelling: key.spelling,
                    name: key.name(),
                    rows: row..row + 1,
                }),
            }
        }
        out
    }

    /// Whether it goes up and down: then its absence takes nothing from a count.
    fn is_gauge(&self) -> bool {
        matches!(self.metric.info().kind, Kind::Gauge | Kind::Info)
    }

    /// Whether its series come with what they count: peers, clients, verbs.
    fn is_labelled(&self) -> bool {
        !self.metric.info().labels.is_empty()
    }

    /// Whether it is exposed as long as its process lives.
    fn lasts(&self) -> bool {
        let info = self.metric.info();
        match info.kind {
            Kind::Info => false,
            Kind::Gauge => info.labels.is_empty(),
            _ => !self.metric.comes_with_its_first_event(),
        }
    }
}

/// Whether a process had just started: its peers were not probed yet (etcd does that every 30 s), and its
/// first clients are still to come.
fn is_young(column: &Column) -> bool {
    /// Seconds.
    const YOUNG: f64 = 120.0;
    let age = |at: Timestamp, start: f64| at.0 as f64 / 1e6 - start;
    let age = column
        .at
        .zip(column.start)
        .map(|(at, start)| age(at, start));
    age.is_some_and(|age| (0.0..YOUNG).contains(&age))
}

impl Gaps {
    /// For each column, whether an absent series of the key's family was really not there.
    pub(super) fn told(&self, key: &Key) -> &[bool] {
        let wanted = (key.metric, key.spelling);
        let width = self.told.len() / self.families.len().max(1);
        self.families
            .binary_search_by_key(&wanted, |family| (family.metric, family.spelling))
            .ok()
            .and_then(|at| self.told.get(at * width..(at + 1) * width))
            .unwrap_or_default()
    }

    fn forget(&mut self, column: usize, which: impl Fn(&Family) -> bool) {
        let width = self.told.len() / self.families.len().max(1);
        for (at, family) in self.families.iter().enumerate() {
            if which(family)
                && let Some(told) = self.told.get_mut(at * width + column)
            {
                *told = false;
            }
        }
    }
}

impl Timeline {
    /// Whether a series of a metric that is absent from a column was really not there.
    pub(super) fn tells(&self, metric: Metric, column: usize) -> bool {
        let series = self.series(metric);
        let key = series.first().and_then(|rows| rows.keys.first());
        key.is_some_and(|key| self.gaps.told(key).get(column) == Some(&true))
    }

    /// Finds what its scrapes lack. To be called once, when the restarts are known.
    pub(super) fn find_gaps(&mut self) {
        let mut gaps = Gaps {
            families: Family::all(&self.keys),
            ..Gaps::default()
        };
        let lives = lives(&self.columns);
        let mut present: Vec<Vec<bool>> = Vec::with_capacity(gaps.families.len());
        let mut lacks: Vec<Vec<usize>> = vec![Vec::new(); self.columns.len()];
        for (number, family) in gaps.families.iter().enumerate() {
            let there: Vec<bool> = (0..self.columns.len())
                .map(|at| family.rows.clone().any(|row| !self.at(row, at).is_nan()))
                .collect();
            let mut firsts: BTreeMap<usize, usize> = BTreeMap::new();
            for (at, life) in lives.iter().enumerate() {
                if there.get(at) == Some(&true) {
                    firsts.entry(*life).or_insert(at);
                }
            }
            for (at, (column, life)) in self.columns.iter().zip(&lives).enumerate() {
                let torn = column
                    .torn_at
                    .as_deref()
                    .is_some_and(|torn| family.name >= torn);
                let first = firsts.get(life);
                // A family that was there does not go while the process lives.
                let gone = !family.is_gauge() && first.is_some_and(|first| *first < at);
                let absent = there.get(at) == Some(&false);
                let yet = family.is_labelled() && is_young(column);
                let told = !torn && !(absent && (gone || family.lasts() && !yet));
                gaps.told.push(told);
                if !told
                    && !torn
                    && first.is_some()
                    && let Some(lacks) = lacks.get_mut(at)
                {
                    lacks.push(number);
                }
            }
            present.push(there);
        }
        for at in 0..self.columns.len() {
            self.judge(at, &mut gaps, &lives, &present, &mut lacks);
        }
        self.name_them(&mut gaps, &lacks);
        self.gaps = gaps;
    }

    /// What the families that a column lacks say of the others in it.
    fn judge(
        &mut self,
        at: usize,
        gaps: &mut Gaps,
        lives: &[usize],
        present: &[Vec<bool>],
        lacks: &mut [Vec<usize>],
    ) {
        let whole = |other: usize| lacks.get(other).is_none_or(Vec::is_empty);
        let Some(column) = self.columns.get(at).filter(|_| !whole(at)) else {
            return;
        };
        let last = column.last_family.clone();
        match column.order {
            Order::Apart => {}
            Order::Unsorted => {
                let same_end = self.columns.iter().enumerate().any(|(other, c)| {
                    lives.get(other) == lives.get(at) && whole(other) && c.last_family == last
                });
                if !same_end {
                    // Cut, who knows where: the last family may not be complete.
                    gaps.forget(at, |_| true);
                    self.drop_family(gaps, at, &last);
                }
            }
            Order::Sorted => {
                let missing: Vec<usize> = lacks.get(at).cloned().unwrap_or_default();
                let name = |number: &usize| gaps.families.get(*number).map_or("", |f| f.name);
                let (behind, inside): (Vec<usize>, Vec<usize>) =
                    missing.iter().partition(|number| name(number) >= &*last);
                // Lines that were lost may have taken a part of the families before and behind.
                let mut holes: Vec<(&str, &str)> = Vec::new();
                for number in &inside {
                    let here = gaps
                        .families
                        .iter()
                        .zip(present)
                        .filter(|(_, there)| there.get(at) == Some(&true))
                        .map(|(family, _)| family.name);
                    let before = here.clone().filter(|other| *other < name(number)).max();
                    let behind = here.filter(|other| *other > name(number)).min();
                    holes.push((before.unwrap_or(""), behind.unwrap_or("\u{7f}")));
                }
                gaps.forget(at, |family| {
                    let within =
                        |(from, to): &(&str, &str)| *from <= family.name && family.name <= *to;
                    holes.iter().any(within) || (!behind.is_empty() && family.name >= &*last)
                });
                if !behind.is_empty() {
                    let source = column.source.clone();
                    self.drop_family(gaps, at, &last);
                    gaps.faults.push(Fault::new(
                        source,
                        FaultKind::Truncated,
                        format!(
                            "stops at `{last}` where other scrapes of the process go on: what \
                             should follow is unknown"
                        ),
                    ));
                }
                if let Some(lacks) = lacks.get_mut(at) {
                    *lacks = inside;
                }
            }
        }
    }

    /// Takes the values of a family in a column away: it may not be complete there.
    fn drop_family(&mut self, gaps: &Gaps, column: usize, name: &str) {
        let width = self.columns.len();
        let of_name = gaps.families.iter().filter(|family| family.name == name);
        for row in of_name.flat_map(|family| family.rows.clone()) {
            if let Some(value) = self.values.get_mut(row * width + column) {
                *value = f64::NAN;
            }
        }
    }

    /// One fault for the scrapes of a source that lack the same.
    fn name_them(&self, gaps: &mut Gaps, lacks: &[Vec<usize>]) {
        let mut alike: BTreeMap<(&str, &[usize]), Vec<usize>> = BTreeMap::new();
        for (at, column) in self.columns.iter().enumerate() {
            if let Some(lacks) = lacks.get(at).filter(|lacks| !lacks.is_empty()) {
                alike.entry((&column.source, lacks)).or_default().push(at);
            }
        }
        for ((source, numbers), columns) in alike {
            let names: BTreeSet<&str> = numbers
                .iter()
                .filter_map(|number| gaps.families.get(*number))
                .map(|family| family.name)
                .collect();
            let time = |at: Option<&usize>| Some(self.columns.get(*at?)?.at?.to_string());
            let several = self.columns.iter().filter(|c| c.source == source).count() > 1;
            let place = match (time(columns.first()), time(columns.last())) {
                (Some(at), _) if several && columns.len() == 1 => {
                    format!("in its scrape of {at}, ")
                }
                (Some(from), Some(to)) if several => {
                    format!("in {} of its scrapes from {from} to {to}, ", columns.len())
                }
                _ => String::new(),
            };
            gaps.faults.push(Fault::new(
                source,
                FaultKind::MissingFamily,
                format!("{place}{}", words(&names)),
            ));
        }
    }
}

/// Names that a fault spells out.
const SHOWN: usize = 6;

fn words(names: &BTreeSet<&str>) -> String {
    let mut shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    if let Some(more) = names.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        shown.push(format!("{more} more"));
    }
    let last = shown.pop().unwrap_or_default();
    match shown.is_empty() {
        true => format!(
            "{last} is missing, which other scrapes of the process have: unknown there, not zero"
        ),
        false => format!(
            "{} and {last} are missing, which other scrapes of the process have: unknown there, \
             not zero",
            shown.join(", ")
        ),
    }
}

/// The number of each column's life: restarts part them.
fn lives(columns: &[Column]) -> Vec<usize> {
    let mut life = 0;
    columns
        .iter()
        .map(|column| {
            life += usize::from(column.restarted);
            life
        })
        .collect()
}
