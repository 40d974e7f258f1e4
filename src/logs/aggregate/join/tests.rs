//! Lines of requests in the order of the log, cut anywhere, and what they are joined to.

use super::*;
use proptest::prelude::*;

impl Payload for Vec<u64> {
    fn join(&mut self, later: Self) {
        self.extend(later);
    }
}

fn item(kind: LineKind, key: Option<u64>, end_ms: i64, took_ms: i64) -> Item {
    Item {
        kind,
        key,
        txn: key.is_none_or(|key| key % 2 == 0),
        writer: 0,
        time_us: Some(end_ms * 1000),
        took_us: took_ms * 1000,
    }
}

fn joined(items: &[Item], cuts: &[usize], reach: u64) -> Vec<Vec<u64>> {
    let mut closed = Vec::new();
    let mut sink = |group| closed.push(group);
    let mut left: Option<Joiner<Vec<u64>>> = None;
    let mut at = 0;
    let mut cuts = cuts.to_vec();
    cuts.push(items.len());
    cuts.sort_unstable();
    for cut in cuts {
        let mut piece = Joiner::with_reach(reach);
        for (id, item) in items.iter().enumerate().take(cut).skip(at) {
            piece.add(*item, vec![id as u64], &mut sink);
        }
        at = at.max(cut);
        match &mut left {
            None => left = Some(piece),
            Some(left) => left.absorb(piece, &mut sink),
        }
    }
    left.unwrap().finish(&mut sink);
    closed.sort();
    closed
}

#[test]
fn three_lines_of_one_request_are_one() {
    use LineKind::{Apply, Stats, Trace};
    let lines = [
        item(Apply, Some(1), 1000, 350),
        item(Trace, Some(1), 1001, 351),
        item(Stats, Some(1), 1002, 352),
        // The same key, later: another request.
        item(Apply, Some(1), 2000, 350),
        // Another key at the same time.
        item(Trace, Some(3), 2001, 352),
    ];
    assert_eq!(
        joined(&lines, &[], WINDOW),
        [vec![0, 1, 2], vec![3], vec![4]]
    );
}

#[test]
fn concurrent_equal_requests_stay_apart_in_number() {
    use LineKind::{Apply, Stats, Trace};
    let mut lines = Vec::new();
    for n in 0..5 {
        lines.push(item(Apply, Some(7), 1000 + n, 300));
    }
    for n in 0..5 {
        lines.push(item(Trace, Some(7), 1010 + n, 310));
        lines.push(item(Stats, Some(7), 1010 + n, 310));
    }
    let groups = joined(&lines, &[], WINDOW);
    assert_eq!(groups.len(), 5);
    assert!(groups.iter().all(|group| group.len() == 3), "{groups:?}");
}

#[test]
fn lines_of_two_writers_are_two_requests() {
    use LineKind::{Apply, Stats, Trace};
    let by = |writer, item: Item| Item { writer, ..item };
    let lines = [
        item(Apply, Some(1), 1000, 350),
        by(1, item(Trace, Some(1), 1001, 351)),
        by(2, item(Stats, Some(1), 1002, 352)),
    ];
    assert_eq!(joined(&lines, &[], WINDOW).len(), 3);
    // Also where the trace names no key.
    let lines = [
        by(1, item(Apply, Some(2), 1000, 120)),
        by(2, item(Trace, None, 1001, 140)),
        by(1, item(Stats, Some(4), 1002, 141)),
    ];
    assert_eq!(joined(&lines, &[], WINDOW).len(), 3);
}

#[test]
fn different_durations_of_one_request_still_join() {
    use LineKind::{Apply, Trace};
    // 113 ms in one line and 180 ms in the other, as starved hosts print.
    let lines = [
        item(Apply, Some(1), 1000, 113),
        item(Trace, Some(1), 1060, 180),
    ];
    assert_eq!(joined(&lines, &[], WINDOW).len(), 1);
    // A day apart is not one request, however long it says it took.
    let lines = [
        item(Apply, Some(1), 1000, 113),
        item(Trace, Some(1), 86_400_000, 86_400_000),
    ];
    assert_eq!(joined(&lines, &[], WINDOW).len(), 2);
}

#[test]
fn a_trace_without_a_key_belongs_to_its_transaction() {
    use LineKind::{Apply, Stats, Trace};
    // With an applied line only.
    let lines = [
        item(Apply, Some(2), 1000, 120),
        item(Trace, None, 1001, 140),
    ];
    assert_eq!(joined(&lines, &[], WINDOW).len(), 1);
    // With request stats only, as when proposing was slow and applying was not.
    let lines = [
        item(Trace, None, 1001, 440),
        item(Stats, Some(2), 1002, 442),
    ];
    assert_eq!(joined(&lines, &[], WINDOW).len(), 1);
    // Two transactions at once: the stats line's key decides, and neither is counted twice.
    let lines = [
        item(Apply, Some(2), 1000, 120),
        item(Apply, Some(4), 1000, 120),
        item(Trace, None, 1001, 400),
        item(Stats, Some(2), 1002, 402),
        item(Trace, None, 1003, 402),
        item(Stats, Some(4), 1004, 404),
    ];
    assert_eq!(joined(&lines, &[], WINDOW).len(), 2);
}

fn arbitrary_item() -> impl Strategy<Value = Item> {
    let kind = prop_oneof![
        Just(LineKind::Apply),
        Just(LineKind::Trace),
        Just(LineKind::Stats)
    ];
    (kind, 0..4u64, 0..400i64, 0..60i64, 0..3u32).prop_map(|(kind, key, end, took, writer)| {
        let key = (key > 0 || kind != LineKind::Trace).then_some(key + 1);
        Item {
            writer,
            ..item(kind, key, end, took)
        }
    })
}

proptest! {
    #[test]
    fn cutting_changes_nothing(
        items in prop::collection::vec(arbitrary_item(), 0..80),
        cuts in prop::collection::vec(0usize..80, 0..6),
        reach in 1u64..40,
    ) {
        let cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= items.len()).collect();
        prop_assert_eq!(joined(&items, &[], reach), joined(&items, &cuts, reach));
    }

    #[test]
    fn no_line_is_counted_twice(items in prop::collection::vec(arbitrary_item(), 0..80)) {
        let mut seen: Vec<u64> = joined(&items, &[], WINDOW).into_iter().flatten().collect();
        let len = seen.len();
        seen.sort_unstable();
        seen.dedup();
        prop_assert_eq!(seen.len(), len);
        // Only traces without a key may vanish into a transaction.
        let keyed = items.iter().filter(|item| item.key.is_some()).count();
        prop_assert!(len >= keyed);
    }
}
