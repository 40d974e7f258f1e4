//! Losses of a leader and the elections that follow them.

use super::{ELECTION_US, ElectionView};

/// A term of which all that is said is that its leader was lost is no election of its own: a
/// pre-vote leaves the term as it was, and the next leader's term is a later one. Its loss belongs
/// to that one. Without a next one in the log it stays: nobody was elected so far. `found` is in
/// the order of time.
pub(super) fn join_losses(found: &mut Vec<ElectionView>) {
    let mut at = 0;
    while let Some(loss) = found.get(at) {
        let (term, last) = (loss.term, loss.election.last);
        let follows = |next: &ElectionView| {
            next.election.elected
                && next.term > term
                && next.election.first.0.abs_diff(last.0) <= ELECTION_US
        };
        let next = match loss.election.elected {
            true => None,
            false => found.iter().position(follows),
        };
        let Some(next) = next else {
            at += 1;
            continue;
        };
        let loss = found.remove(at);
        // What is behind the removed one moved up.
        if let Some(next) = found.get_mut(next - usize::from(next > at)) {
            next.election.lost = true;
            next.election.lines += loss.election.lines;
            next.election.first = next.election.first.min(loss.election.first);
            next.nodes.extend(loss.nodes);
        }
    }
    found.sort_by_key(|view| (view.election.first, view.term));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::clock::Timestamp;
    use crate::logs::aggregate::facts::Election;
    use crate::logs::decode::{DecodeContext, Decoder};
    use crate::logs::event::Component;
    use crate::logs::record::Record;
    use crate::logs::scan::{Counter, TimeFilter};
    use crate::logs::summary::Summary;
    use crate::logs::view::View;

    fn told(term: u64, secs: i64, elected: bool) -> ElectionView {
        let at = Timestamp::from_secs(secs);
        ElectionView {
            term,
            election: Election {
                first: at,
                last: at,
                lines: 1,
                leader: None,
                lost: !elected,
                elected,
            },
            nodes: BTreeSet::from([format!("cp{term}")]),
            planned: false,
            start: false,
        }
    }

    /// What members' logs tell, each a file of its own.
    fn leaders(members: &[&str]) -> Vec<(u64, Option<String>, bool)> {
        let streams = members.iter().map(|log| {
            let mut counter = Counter::new(Component::Etcd, TimeFilter::of(None, None));
            let mut decoder = Decoder::new(DecodeContext::default());
            decoder.block(log.as_bytes(), 1, &mut counter);
            decoder.finish(&mut |record: &Record<'_>| counter.add(record));
            counter.finish()
        });
        let view = View::of(&Summary {
            streams: streams.collect(),
            ..Summary::default()
        });
        let told = view.elections.into_iter();
        told.map(|view| (view.term, view.election.leader, view.election.lost))
            .collect()
    }

    #[test]
    fn the_leader_is_who_was_elected_and_never_who_was_lost() {
        const LOST: &str = "raft2021/03/01 10:00:00 INFO: raft.node: b lost leader a at term 9\n";
        const ELECTED: &str =
            "raft2021/03/01 10:00:00 INFO: raft.node: b elected leader c at term 9\n";
        const LATER: &str = "raft2021/03/01 10:00:01 INFO: raft.node: a lost leader a at term 9\n";
        const CHANGED: &str =
            "raft2021/03/01 10:00:01 INFO: raft.node: d changed leader from a to c at term 9\n";
        let led = |leader: &str| vec![(9, Some(leader.to_owned()), true)];
        let both = [LOST, ELECTED].concat();
        let turned = [ELECTED, LOST].concat();
        assert_eq!(leaders(&[&both]), led("c"));
        assert_eq!(leaders(&[&turned]), led("c"));
        assert_eq!(leaders(&[&both, LATER]), led("c"));
        // The first file that tells of the term knows only the loss.
        assert_eq!(leaders(&[LATER, &both]), led("c"));
        assert_eq!(leaders(&[LOST, CHANGED]), led("c"));
        // Nobody is said to lead.
        assert_eq!(leaders(&[LOST]), [(9, None, true)]);
        assert_eq!(leaders(&[LOST, LATER]), [(9, None, true)]);
    }

    #[test]
    fn a_loss_and_the_election_after_it_are_one() {
        let mut found = vec![told(10, 100, false), told(11, 101, true)];
        join_losses(&mut found);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].term, found[0].election.lost), (11, true));
        assert_eq!(found[0].election.first, Timestamp::from_secs(100));
        assert_eq!(found[0].nodes.len(), 2);
        // Nobody was elected after it, much later, or in an earlier term.
        for mut other in [
            vec![told(10, 100, false)],
            vec![told(10, 100, false), told(11, 900, true)],
            vec![told(9, 99, true), told(10, 100, false)],
        ] {
            let before = other.len();
            join_losses(&mut other);
            assert_eq!(other.len(), before);
        }
    }
}
