//! What a member's log tells of its own life and of its peers': its stops, its ends, and whom it
//! lost and found again. Of each only the last ones are kept, so that nothing grows with the log.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::facts::text;
use crate::clock::Timestamp;
use crate::logs::event::{Component, Event};
use crate::logs::record::Level;

/// More peers, or ends, than this are not kept.
const MAX: usize = 64;
/// The leader of a term without one (raft: None).
const NOBODY: &str = "0";
/// The longest reason that is kept.
const MAX_WHY: usize = 200;

/// What is said of one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Peer {
    /// When it was found last.
    pub active: Option<Timestamp>,
    /// When it was lost: the first time since it was found last.
    pub lost: Option<Timestamp>,
    /// When its address refused a connection last.
    pub refused: Option<Timestamp>,
    /// How often it did.
    pub refusals: u64,
    /// Since when it answers no probe: the first failure since it was found last.
    pub silent: Option<Timestamp>,
    /// The last failure.
    pub silent_last: Option<Timestamp>,
    /// How often it failed, without those refusals.
    pub silences: u64,
}

impl Peer {
    fn lose(&mut self, at: Timestamp) {
        self.lost = since(self.active, self.lost, at);
    }

    fn fail(&mut self, at: Timestamp) {
        self.silent = since(self.active, self.silent, at);
        self.silent_last = self.silent_last.max(Some(at));
    }

    fn find(&mut self, at: Timestamp) {
        self.active = self.active.max(Some(at));
    }

    fn merge(&mut self, other: &Self) {
        other.active.into_iter().for_each(|at| self.find(at));
        other.lost.into_iter().for_each(|at| self.lose(at));
        let failures = other.silent.into_iter().chain(other.silent_last);
        failures.for_each(|at| self.fail(at));
        self.silences += other.silences;
        self.refused = self.refused.max(other.refused);
        self.refusals += other.refusals;
    }
}

/// The first of some losses since a peer was found last, or else the last one.
fn since(active: Option<Timestamp>, before: Option<Timestamp>, at: Timestamp) -> Option<Timestamp> {
    let later = |lost: &Timestamp| active.is_none_or(|active| *lost > active);
    let all = before.into_iter().chain([at]);
    all.filter(later).min().or(before.max(Some(at)))
}

/// What one etcd says of its life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Life {
    /// Its own id, in hexadecimal.
    pub id: Option<String>,
    /// When it took requests last.
    pub ready: Option<Timestamp>,
    /// When it was asked to stop.
    pub stops: BTreeSet<Timestamp>,
    /// When it ended by itself.
    pub deaths: BTreeSet<Timestamp>,
    /// Why it did so last.
    pub why: String,
    /// Its peers by their ids.
    pub peers: BTreeMap<String, Peer>,
}

/// Whether a kind of message tells of a life.
pub fn is_told_by(kind: &str) -> bool {
    matches!(
        kind,
        "corruption-detected"
            | "disk-full"
            | "etcd-ready"
            | "fatal-exit"
            | "leader-changed"
            | "leader-elected"
            | "member-bootstrapped"
            | "member-id"
            | "member-removed"
            | "member-start"
            | "panic"
            | "peer-active"
            | "peer-inactive"
            | "peer-unhealthy"
            | "peer-unreachable"
            | "raft-higher-term"
            | "raft-lower-term"
            | "shutdown"
            | "storage-damaged"
            | "storage-io-error"
            | "stream-lost"
            | "vote-ignored"
    )
}

impl Life {
    /// Whether nothing was told.
    pub fn is_empty(&self) -> bool {
        *self == Life::default()
    }

    /// Takes what an event of etcd tells.
    pub fn add(&mut self, event: &Event<'_>) {
        let Some(at) = event.time else {
            return;
        };
        match event.kind {
            "etcd-ready" => self.ready = self.ready.max(Some(at)),
            // One that was removed ends as it was told to. That a server was closed tells nothing: a
            // start that fails closes it, too.
            "shutdown" | "member-removed" => {
                self.stops.insert(at);
                bound(&mut self.stops);
            }
            // Streams are lost long after the start, too: a log may have been cut.
            "member-id" | "member-start" | "stream-lost" => {
                if let Some(id) = text(event, "member") {
                    self.id = Some(id.to_owned());
                }
            }
            // Raft hears members only.
            "leader-changed" | "leader-elected" => self.hears(event, "leader"),
            "raft-higher-term" | "raft-lower-term" | "vote-ignored" => self.hears(event, "from"),
            "peer-active" => {
                if let Some(peer) = self.peer(event) {
                    peer.find(at);
                }
            }
            "peer-inactive" => {
                if let Some(peer) = self.peer(event) {
                    peer.lose(at);
                }
            }
            "peer-unhealthy" | "peer-unreachable" => {
                let error = event.error.as_deref().unwrap_or_default();
                let refused = error.contains("connection refused");
                if let Some(peer) = self.peer(event) {
                    peer.fail(at);
                    if refused {
                        peer.refused = peer.refused.max(Some(at));
                        peer.refusals += event.repeats;
                    } else {
                        peer.silences += event.repeats;
                    }
                }
            }
            // Hashes are compared with members'.
            "corruption-detected" => {
                self.peer(event);
                self.end(event, at);
            }
            _ => self.end(event, at),
        }
    }

    /// Who raft heard of, and by whom: nothing is told of whether that member can be reached.
    fn hears(&mut self, event: &Event<'_>, whom: &str) {
        let own = text(event, "member");
        if self.id.is_none() {
            self.id = own.map(str::to_owned);
        }
        if let Some(id) = text(event, whom).filter(|id| Some(*id) != own && *id != NOBODY) {
            self.peer_of(id);
        }
    }

    /// A line of the level fatal or panic, or a dump: the program ended with it.
    fn end(&mut self, event: &Event<'_>, at: Timestamp) {
        let of_etcd = matches!(event.component, Component::Etcd | Component::Unknown);
        let ends = matches!(event.kind, "panic" | "fatal-exit") || event.level == Level::Fatal;
        if !of_etcd || !ends {
            return;
        }
        // Behind the first line of a dump stand its goroutines.
        let why = event.error.as_deref().and_then(|why| why.lines().next());
        let why = why.map(|why| why.strip_prefix("panic: ").unwrap_or(why));
        if self.deaths.last().is_none_or(|last| *last <= at)
            && let Some(why) = why.filter(|why| !why.is_empty())
        {
            self.why = why.chars().take(MAX_WHY).collect();
        }
        self.deaths.insert(at);
        bound(&mut self.deaths);
    }

    fn peer(&mut self, event: &Event<'_>) -> Option<&mut Peer> {
        self.peer_of(text(event, "peer")?)
    }

    fn peer_of(&mut self, id: &str) -> Option<&mut Peer> {
        if self.peers.len() >= MAX && !self.peers.contains_key(id) {
            return None;
        }
        Some(self.peers.entry(id.to_owned()).or_default())
    }

    /// Adds another piece.
    pub fn merge(&mut self, other: &Self) {
        if other.id.is_some() {
            self.id.clone_from(&other.id);
        }
        self.ready = self.ready.max(other.ready);
        self.stops.extend(&other.stops);
        bound(&mut self.stops);
        if !other.why.is_empty() && other.deaths.last() >= self.deaths.last() {
            self.why.clone_from(&other.why);
        }
        self.deaths.extend(&other.deaths);
        bound(&mut self.deaths);
        for (id, theirs) in &other.peers {
            if self.peers.len() < MAX || self.peers.contains_key(id) {
                self.peers.entry(id.clone()).or_default().merge(theirs);
            }
        }
    }
}

/// Keeps the last ones.
fn bound(moments: &mut BTreeSet<Timestamp>) {
    while moments.len() > MAX {
        moments.pop_first();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn a_loss_counts_from_its_begin_and_until_the_peer_is_found() {
        let mut peer = Peer::default();
        peer.find(at(1));
        peer.lose(at(10));
        peer.lose(at(20));
        assert_eq!(peer.lost, Some(at(10)));
        peer.find(at(30));
        peer.lose(at(40));
        assert_eq!((peer.lost, peer.active), (Some(at(40)), Some(at(30))));
        // Two pieces, and one after the other.
        let mut early = Peer::default();
        early.lose(at(10));
        let mut late = Peer::default();
        late.lose(at(20));
        late.merge(&early);
        assert_eq!(late.lost, Some(at(10)));
        let mut found = Peer::default();
        found.find(at(15));
        late.merge(&found);
        assert!(late.active > late.lost);
    }

    #[test]
    fn the_last_stops_are_kept() {
        let of = |from: i64| Life {
            stops: (from..from + 40).map(at).collect(),
            ..Life::default()
        };
        let mut life = of(0);
        life.merge(&of(40));
        let kept: Vec<_> = life.stops.iter().copied().collect();
        assert_eq!(kept.len(), MAX);
        assert_eq!((kept[0], kept[MAX - 1]), (at(16), at(79)));
    }

    #[test]
    fn the_reason_of_the_last_end_is_kept() {
        let mut early = Life {
            deaths: BTreeSet::from([at(1)]),
            why: "a".to_owned(),
            ..Life::default()
        };
        let late = Life {
            deaths: BTreeSet::from([at(2)]),
            why: "b".to_owned(),
            ..Life::default()
        };
        let mut other = late.clone();
        other.merge(&early);
        early.merge(&late);
        assert_eq!((early.why.as_str(), early.deaths.len()), ("b", 2));
        assert_eq!(other, early);
    }
}
