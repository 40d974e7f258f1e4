//! What each etcd's log tells of its own life and of its peers', as evidence.

use crate::clock::Timestamp;
use crate::evidence::{EvidenceSet, Row, keys};

use super::{MAX_ROWS, Out, num, subject, table};
use crate::logs::aggregate::facts::{Facts, Start};
use crate::logs::view::{Place, View};
use crate::logs::writer;

/// Puts one table for each etcd that told anything.
pub(super) fn lives(view: &View, out: &Out<'_>, set: &mut EvidenceSet) {
    for (place, facts) in &view.facts {
        if !writer::is_etcd(&place.component) || (facts.life.is_empty() && facts.starts.is_empty())
        {
            continue;
        }
        let mut rows = vec![own(place, facts, view)];
        for (id, peer) in &facts.life.peers {
            let row = Row::new(id)
                .num("refused", num(peer.refusals))
                .num("silent", num(peer.silences));
            rows.push(moments(
                row,
                &[
                    ("last_lost_secs", peer.lost),
                    ("last_active_secs", peer.active),
                    ("last_refused_secs", peer.refused),
                    ("silent_since_secs", peer.silent),
                    ("last_silent_secs", peer.silent_last),
                ],
            ));
        }
        let rows = table(rows, MAX_ROWS);
        set.put(
            &keys::LOGS_LIVES,
            subject(place),
            out.window,
            out.origin(),
            rows,
        );
    }
}

/// The starts of one program, each with what is known of the end before it: of an etcd whether it
/// was asked to stop. Nothing tells that of a log's first line, nor of starts of unknown time.
pub(super) fn starts(place: &Place, facts: &Facts, view: &View) -> Vec<Row> {
    let is_etcd = writer::is_etcd(&place.component);
    // Who holds an etcd of his own, as k3s does, stops it without a word.
    let own_log = !facts.starts.is_empty() && has_own_log(place, view);
    let mut before = first_record(place, view).filter(|_| own_log);
    let row = |start: &Start| {
        let at = start.at.map_or_else(|| "?".to_owned(), |at| at.to_string());
        let mut row = Row::new(at).num("count", 1.0);
        if let (true, Some(from), Some(to)) = (is_etcd, before, start.at)
            && to.since_us(from) > AT_ONCE_US
        {
            let asked = facts.life.stops.range(from..=to).next().is_some();
            row = row.num("asked", f64::from(u8::from(asked)));
            if own_log {
                row = row.num("last_own_log", 1.0);
            }
        }
        before = start.at.or(before);
        match &start.version {
            Some(version) => row.text("version", version),
            None => row,
        }
    };
    facts.starts.iter().map(row).collect()
}

/// The row of the etcd itself.
fn own(place: &Place, facts: &Facts, view: &View) -> Row {
    let life = &facts.life;
    // A dump without a time has that of the line before it, which may be the one that it is ready.
    let since_served = |at: &&Timestamp| life.ready.is_none_or(|ready| **at >= ready);
    let deaths = life.deaths.iter().filter(since_served);
    let mut row = Row::new("self").num("deaths", num(deaths.clone().count() as u64));
    row = moments(
        row,
        &[
            ("last_record_secs", last_record(place, view)),
            (
                "last_start_secs",
                facts.starts.iter().filter_map(|start| start.at).max(),
            ),
            ("last_ready_secs", life.ready),
            ("last_stop_secs", life.stops.last().copied()),
            ("last_death_secs", life.deaths.last().copied()),
            ("last_dying_secs", deaths.min().copied()),
        ],
    );
    if let Some(id) = &life.id {
        row = row.text("id", id);
    }
    if !life.why.is_empty() {
        row = row.text("why", &life.why);
    }
    row
}

/// What a program writes so soon after its first line belongs to the same start.
const AT_ONCE_US: i64 = 2_000_000;

/// Whether what it wrote lies in logs of its own alone.
fn has_own_log(place: &Place, view: &View) -> bool {
    let of_node = |at: &usize| {
        let coverage = view.coverage.get(*at);
        coverage.is_some_and(|(whose, ..)| whose.node == place.node)
    };
    view.coverage.iter().any(|(whose, ..)| whose == place) && !view.mixed.iter().any(of_node)
}

fn first_record(place: &Place, view: &View) -> Option<Timestamp> {
    let its = view.coverage.iter().filter(|(whose, ..)| whose == place);
    its.filter_map(|(_, _, read)| read.span().map(|span| span.0))
        .min()
}

/// The last record of its log. A log of several programs tells of all of them, so that the last word
/// of this one may be earlier. Of several members in one log it is the last one that was recognised.
fn last_record(place: &Place, view: &View) -> Option<Timestamp> {
    let streams = view.coverage.iter().enumerate();
    let its = streams.filter(|(at, (whose, ..))| {
        whose == place || (view.mixed.contains(at) && whose.node == place.node)
    });
    its.filter_map(|(_, (_, _, read))| read.span().map(|span| span.1))
        .max()
        .or_else(|| {
            let own = view.kinds.iter().filter(|kind| kind.place == *place);
            own.filter_map(|kind| kind.row.last).max()
        })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds since 1970 stay below 2^53"
)]
fn moments(row: Row, all: &[(&str, Option<Timestamp>)]) -> Row {
    all.iter().fold(row, |row, (name, at)| match at {
        Some(at) => row.num(name, at.0 as f64 / 1e6),
        None => row,
    })
}
