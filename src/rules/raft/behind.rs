//! How far members are behind, by what their metrics say of raft's log.

use crate::clock::Timestamp;
use crate::evidence::{Missing, Series, Subject, keys};
use crate::rules::Context;

/// Scrapes of one round are no further apart than this: what another member has applied by then, this
/// one could have, too.
const ROUND_US: i64 = 1_000_000;

/// How far the times of two members' samples may be off: a scrape without a time of its own is up to
/// two minutes younger than it says, and a query answers with what was scraped an interval before.
const DOUBT_SECS: f64 = 150.0;

/// One member, with the smallest lag of all looks at it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Behind {
    pub(super) subject: Subject,
    /// Entries that another member had applied and it had not.
    pub(super) entries: f64,
    /// Entries that it knew to be committed and had not applied.
    pub(super) unapplied: f64,
    /// Looks that could tell.
    pub(super) looks: usize,
    /// Entries behind at the first look beside another member and at the last, as the samples say.
    pub(super) trend: Option<(f64, f64)>,
    /// How far off such a number may be, for the times of the samples.
    pub(super) doubt: f64,
}

/// Where a member is going that is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Going {
    CatchesUp,
    FallsBehind,
    /// One look, or too little change.
    Unknown,
}

impl Behind {
    /// Whether it catches up, by more than the samples may be off.
    pub(super) fn going(&self) -> Going {
        match self.trend {
            Some((first, last)) if first - last > self.doubt => Going::CatchesUp,
            Some((first, last)) if last - first > self.doubt => Going::FallsBehind,
            _ => Going::Unknown,
        }
    }

    /// How far behind it was last, as the samples say.
    pub(super) fn last(&self) -> f64 {
        self.trend.map_or(self.entries, |(_, last)| last)
    }
}

/// Members by metrics. Cites nothing. `Err` when no member's metrics tell.
pub(super) fn by_metrics(cx: &Context<'_>) -> Result<Vec<Behind>, Missing> {
    let applied = cx.evidence.some(&keys::PROPOSALS_APPLIED)?;
    let committed = cx.evidence.all(&keys::PROPOSALS_COMMITTED);
    cx.evidence.take_citations();
    Ok(applied
        .iter()
        .filter_map(|(subject, own)| {
            let known = committed.iter().find(|(about, _)| about == subject);
            let others: Vec<&Series> = applied
                .iter()
                .filter(|(other, _)| other != subject && are_peers(cx, subject, other))
                .map(|(_, series)| series)
                .collect();
            // What the others apply in the time that is in doubt is no lag.
            let doubt = others
                .iter()
                .map(|series| rate(series).map(|rate| rate * DOUBT_SECS))
                .try_fold(0.0, |a: f64, b| Some(a.max(b?)));
            let mut found = Behind {
                subject: subject.clone(),
                entries: f64::INFINITY,
                unapplied: f64::INFINITY,
                looks: 0,
                trend: None,
                doubt: doubt.unwrap_or_default(),
            };
            // A member that has just started has applied nothing yet, and says 0.
            for point in own.points.iter().filter(|point| point.value > 0.0) {
                let by = point.at.add_us(ROUND_US);
                let most = others.iter().filter_map(|series| last_by(series, by));
                let most = most.max_by(f64::total_cmp);
                if let Some(gap) = most.map(|most| (most - point.value).max(0.0)) {
                    let first = found.trend.map_or(gap, |(first, _)| first);
                    found.trend = Some((first, gap));
                }
                let most = most.and_then(|most| Some(most - doubt?));
                let index = known.and_then(|(_, series)| {
                    let same = series.points.iter().find(|look| look.at == point.at)?;
                    Some(same.value)
                });
                if most.is_none() && index.is_none() {
                    continue;
                }
                let lag = |index: Option<f64>| index.map_or(0.0, |n| (n - point.value).max(0.0));
                found.looks += 1;
                found.entries = found.entries.min(lag(most));
                found.unapplied = found.unapplied.min(lag(index));
            }
            (found.looks > 0).then_some(found)
        })
        .collect())
}

/// Whether two members surely belong to one cluster: one of them sends to the other. Several
/// clusters may be in one bundle, each with a log of its own.
pub(super) fn are_peers(cx: &Context<'_>, one: &Subject, other: &Subject) -> bool {
    let knows = |one: &Subject, other: &Subject| {
        let peers = cx.evidence.get(&keys::PEER_RTT_BY, one);
        let id = cx.evidence.get(&keys::MEMBER_ID, other);
        matches!((peers, id), (Ok(peers), Ok(id)) if peers.row(&id).is_some())
    };
    let known = knows(one, other) || knows(other, one);
    cx.evidence.take_citations();
    known
}

/// Whether two members surely belong to two clusters: the ids of both are known, and neither sends to
/// the other.
pub(super) fn are_strangers(cx: &Context<'_>, one: &Subject, other: &Subject) -> bool {
    let has_id = |about| cx.evidence.peek(&keys::MEMBER_ID, about).is_some();
    has_id(one) && has_id(other) && !are_peers(cx, one, other)
}

/// How fast a series grows in a second; `None` for a single look.
fn rate(series: &Series) -> Option<f64> {
    let (first, last) = (series.points.first()?, series.points.last()?);
    #[expect(clippy::cast_precision_loss, reason = "a stretch of time")]
    let secs = last.at.since_us(first.at) as f64 / 1e6;
    (secs > 0.0).then(|| ((last.value - first.value) / secs).max(0.0))
}

/// What a series said last up to a moment.
fn last_by(series: &Series, by: Timestamp) -> Option<f64> {
    let mut past = series.points.iter().filter(|point| point.at <= by);
    past.next_back().map(|point| point.value)
}

#[cfg(test)]
pub(super) mod testing {
    //! Hand-made indexes.

    use super::*;
    use crate::evidence::{Row, SubjectKind, Table};
    use crate::rules::testing::{Set, each_minute};

    /// Adds a member that has applied so much at each scrape, a minute apart.
    pub(crate) fn applied(set: Set, member: &str, values: &[f64]) -> Set {
        let subject = Subject::new(SubjectKind::Member, member);
        // Members of one cluster know each other; `NODE/events` is of another one.
        let cluster = member.split_once('/').map_or("", |(_, etcd)| etcd);
        let id = |node: &str| format!("{node}-{cluster}");
        let peers = ["b", "m0", "m1", "m2"].map(|node| Row::new(id(node)).num("count", 1.0));
        let peers = Table {
            rows: peers.into(),
            ..Table::default()
        };
        let node = member.split('/').next().unwrap_or_default();
        set.put(
            &keys::PROPOSALS_APPLIED,
            subject.clone(),
            each_minute(values),
        )
        .put(&keys::MEMBER_ID, subject.clone(), id(node))
        .put(&keys::PEER_RTT_BY, subject, peers)
    }
}
