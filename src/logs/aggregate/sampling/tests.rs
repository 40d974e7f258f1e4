//! Estimates of what sampling left out hold the truth, however the lines are cut.

use super::*;
use proptest::prelude::*;

/// What zap writes of records at these times.
fn sample(times: &[i64]) -> Vec<i64> {
    let (mut reset, mut n) = (i64::MIN, 0);
    let mut written = Vec::new();
    for time in times {
        if *time >= reset {
            (reset, n) = (time + TICK_US, 0);
        }
        n += 1;
        if n <= INITIAL || (n - INITIAL).is_multiple_of(THEREAFTER) {
            written.push(*time);
        }
    }
    written
}

fn of(lines: &[i64], cuts: &[usize]) -> Sampled {
    let mut all = Sampled::default();
    let mut at = 0;
    for cut in cuts.iter().chain([&lines.len()]) {
        let mut piece = Sampled::default();
        lines[at..*cut].iter().for_each(|time| piece.add(*time));
        if *cut % 2 == 0 {
            piece.lay();
        }
        all.absorb(piece);
        at = *cut;
    }
    all
}

#[test]
fn three_thousand_in_one_and_a_half_seconds() {
    for rough in [1, 1000] {
        let times: Vec<i64> = (0..3000).map(|n| (7 + n * 501) / rough * rough).collect();
        let lines = sample(&times);
        assert_eq!(lines.len(), 200 + 18 + 9);
        let estimate = of(&lines, &[]).estimate();
        assert!(
            estimate.low <= 3000 && 3000 <= estimate.high,
            "{estimate:?}"
        );
        assert!(
            estimate.high as f64 / estimate.low as f64 <= 1.3,
            "{estimate:?}"
        );
    }
}

#[test]
fn a_quiet_log_is_counted_exactly() {
    let lines: Vec<i64> = (0..500).map(|n| n * 20_000).collect();
    let estimate = of(&lines, &[]).estimate();
    assert_eq!(estimate, Estimate::exact(500));
}

#[test]
fn windows_that_are_just_full_are_taken_at_the_middle_of_what_they_hide() {
    // 150 a second, of which 100 are written.
    let times: Vec<i64> = (0..3000).map(|n| 7 + n * 6_667).collect();
    let lines = sample(&times);
    assert!(lines.len() <= 2000, "{}", lines.len());
    let estimate = of(&lines, &[]).estimate();
    assert_eq!((estimate.low, estimate.sampled_lines), (2000, 0));
    assert!(estimate.value.abs_diff(3000) <= 20, "{estimate:?}");
}

#[test]
fn a_window_that_sampling_cannot_make_was_not_sampled() {
    let lines: Vec<i64> = (0..3000).map(|n| n * 500).collect();
    assert_eq!(of(&lines, &[]).estimate(), Estimate::exact(3000));
}

#[test]
fn a_log_behind_another_one_of_the_same_time_was_not_sampled() {
    // Two members' logs in one file; the newer piece first; lines in no order.
    let hour: Vec<i64> = (0..250).map(|n| n * 7_000_000).collect();
    let twice = [hour.clone(), hour.clone()].concat();
    let (older, newer) = hour.split_at(100);
    let turned = [newer, older].concat();
    let mixed: Vec<i64> = (0..250).map(|n| n * 97 % 250 * 7_000_000).collect();
    for lines in [twice, turned, mixed] {
        let exact = Estimate::exact(lines.len() as u64);
        assert_eq!(of(&lines, &[]).estimate(), exact);
        assert_eq!(of(&lines, &[3, 100, 102, 240]).estimate(), exact);
    }
}

#[test]
fn lines_a_little_out_of_order_stay_in_their_window() {
    let times: Vec<i64> = (0..3000).map(|n| 7 + n * 501).collect();
    let mut lines = sample(&times);
    let whole = of(&lines, &[]).estimate();
    lines.chunks_mut(3).for_each(<[i64]>::reverse);
    let estimate = of(&lines, &[]).estimate();
    assert_eq!(estimate.lines, whole.lines);
    assert!(
        estimate.low <= 3000 && 3000 <= estimate.high,
        "{estimate:?}"
    );
}

proptest! {
    #[test]
    fn writers_are_cut_anywhere_and_folded_either_way(
        lines in prop::collection::vec((0u32..100, 0i64..9_000), 0..3000),
        cuts in prop::collection::vec(0usize..3000, 0..4),
    ) {
        let mut now = 0;
        let piece = |lines: &[(u32, i64)]| {
            let mut piece = Writers::default();
            lines.iter().for_each(|(id, at)| { piece.add(id.wrapping_mul(0x9E37_79B9), 0, *at); });
            piece
        };
        let lines: Vec<(u32, i64)> = lines.into_iter().map(|(id, gap)| { now += gap; (id, now) }).collect();
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= lines.len()).collect();
        cuts.sort_unstable();
        let whole = piece(&lines).estimate(0);
        let mut pieces = Vec::new();
        let mut at = 0;
        for cut in cuts.iter().chain([&lines.len()]) {
            pieces.push(piece(&lines[at..*cut]));
            at = *cut;
        }
        let mut left = Writers::default();
        pieces.iter().for_each(|piece| left.absorb(piece.clone()));
        prop_assert_eq!(left.estimate(0), whole);
        let mut right = Writers::default();
        for mut piece in pieces.into_iter().rev() {
            piece.absorb(right);
            right = piece;
        }
        prop_assert_eq!(right.estimate(0), whole);
        prop_assert!(right.by_id.len() <= MAX_WRITERS);
    }

    #[test]
    fn the_interval_holds_the_truth(
        gaps in prop::collection::vec(prop_oneof![1i64..2_000, 1i64..300_000], 1..2000),
    ) {
        let mut now = 1;
        let times: Vec<i64> = gaps.iter().map(|gap| { now += gap; now }).collect();
        let estimate = of(&sample(&times), &[]).estimate();
        let truth = times.len() as u64;
        prop_assert!(estimate.low <= truth && truth <= estimate.high, "{estimate:?} {truth}");
    }

    #[test]
    fn cutting_changes_nothing(
        gaps in prop::collection::vec(
            prop_oneof![0i64..20_000, 0i64..700_000, -1_500_000i64..1_500_000], 0..300),
        cuts in prop::collection::vec(0usize..300, 0..5),
    ) {
        let mut now = 0;
        let lines: Vec<i64> = gaps.iter().map(|gap| { now += gap; now }).collect();
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|c| *c <= lines.len()).collect();
        cuts.sort_unstable();
        prop_assert_eq!(of(&lines, &cuts).estimate(), of(&lines, &[]).estimate());
        // Folded from the right.
        let mut pieces = Vec::new();
        let mut at = 0;
        for cut in cuts.iter().chain([&lines.len()]) {
            let mut piece = of(&lines[at..*cut], &[]);
            piece.lay();
            pieces.push(piece);
            at = *cut;
        }
        let mut all = Sampled::default();
        for mut piece in pieces.into_iter().rev() {
            piece.absorb(all);
            all = piece;
        }
        prop_assert_eq!(all.estimate(), of(&lines, &[]).estimate());
    }
}
