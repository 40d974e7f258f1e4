//! Estimates of what sampling left out hold the truth, however the lines are cut.

use super::*;
use crate::clock::Timestamp;
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

/// The program's start stands in the log.
fn known() -> Begin {
    Begin::new(std::iter::empty(), std::iter::once(Timestamp(i64::MIN)))
}

/// The log's first record is of this time.
fn from(time_us: i64) -> Begin {
    Begin::new(std::iter::once(Timestamp(time_us)), std::iter::empty())
}

/// Microseconds of a time that is no longer than a test.
#[expect(clippy::cast_possible_truncation, reason = "a few minutes")]
fn micros(time: f64) -> i64 {
    time as i64
}

/// Records at a rate, evenly or as they come by chance, and the rate changes as given from second to second.
fn flood(rates: &[i64], seconds: i64, chance: Option<u64>) -> Vec<i64> {
    let mut seed = chance.unwrap_or(0);
    let mut now = 300_000_f64;
    let mut times = Vec::new();
    while now < (seconds * TICK_US) as f64 {
        times.push(micros(now));
        let second = usize::try_from(micros(now) / TICK_US).unwrap();
        let rate = rates[second % rates.len()] as f64;
        let wait = if chance.is_some() {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            -((seed >> 11) as f64 / (1_u64 << 53) as f64).max(1e-12).ln()
        } else {
            1.0
        };
        now += wait * TICK_US as f64 / rate;
    }
    times
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
        let estimate = of(&lines, &[]).estimate(&known());
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

/// Bursts on top of a trickle: of so many records within so short a time, so long apart.
fn bursts(
    rate: i64,
    size: i64,
    within_us: i64,
    apart: std::ops::Range<i64>,
    seed: u64,
) -> Vec<i64> {
    let mut times = match rate {
        0 => Vec::new(),
        _ => flood(&[rate], 60, Some(seed)),
    };
    let mut seed = seed;
    let mut now = 400_000;
    while now < 60 * TICK_US {
        times.extend((0..size).map(|n| now + n * within_us / size));
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        now += apart.start + (seed >> 8) as i64 % (apart.end - apart.start).max(1);
    }
    times.sort_unstable();
    times
}

/// Whatever bursts a flood consists of, no course is given up that may be the true one.
#[test]
fn a_flood_of_bursts_that_is_cut_is_in_the_range() {
    for seed in [7919, 2 * 7919, 3 * 7919] {
        let floods = [
            bursts(60, 300, 10_000, 100_000..900_000, seed),
            bursts(90, 1000, 10_000, 1_000_000..4_000_000, seed),
            bursts(0, 100, 5_000, 500_000..500_001, seed),
            bursts(0, 80, 5_000, 300_000..700_000, seed),
            bursts(20, 400, 20_000, 1_000_000..1_000_001, seed),
            bursts(100, 1000, 100_000, 900_000..1_010_000, seed),
            flood(&[50, 900], 60, Some(seed)),
            flood(&[20, 3000], 60, Some(seed)),
            flood(&[10, 1500, 10, 10], 60, Some(seed)),
            flood(&[120, 6000, 120], 60, Some(seed)),
        ];
        for (which, times) in floods.iter().enumerate() {
            let lines = sample(times);
            for cut in [1, 20, 50, 90, 101, 117, 180, 1000] {
                let kept = &lines[cut..];
                let truth = times.iter().filter(|time| **time >= kept[0]).count() as u64;
                let found = of(kept, &[]).estimate(&from(kept[0]));
                assert!(
                    found.low <= truth && truth <= found.high,
                    "{which} {seed} cut at {cut}: {truth} in {found:?}"
                );
            }
        }
    }
}

/// Floods of all rates, cut anywhere: by lines (rotated away, `tail`) and by time (`--since`).
#[test]
fn a_flood_that_is_cut_in_a_window_is_in_the_range() {
    let steady = [
        100, 110, 120, 130, 150, 170, 199, 220, 250, 300, 420, 600, 900, 1500, 2200, 3000,
    ];
    let mut floods: Vec<Vec<i64>> = steady.iter().map(|rate| vec![*rate]).collect();
    floods.extend([
        vec![150, 210, 180],
        vec![350, 420, 310],
        vec![120, 900],
        vec![1500, 3000, 700],
    ]);
    for rates in &floods {
        for chance in [None, Some(9)] {
            let times = flood(rates, 40, chance);
            let lines = sample(&times);
            let holds = |from_us: i64, begin: &Begin, kept: &[i64], what: &str| {
                let truth = times.iter().filter(|time| **time >= from_us).count() as u64;
                let found = of(kept, &[]).estimate(begin);
                assert!(
                    found.low <= truth && truth <= found.high && found.low <= found.value,
                    "{rates:?} {chance:?} {what}: {truth} in {found:?}"
                );
                // Where all windows are full, half a hundred of each is not known, and the begin.
                let least = *rates.iter().min().unwrap();
                let most = match least {
                    1500.. => 1.3,
                    600.. => 2.2,
                    _ => 4.1,
                };
                let range = found.high as f64 / found.low as f64;
                assert!(range <= most, "{rates:?} {chance:?} {what}: {found:?}");
                let off = found.value.abs_diff(truth) as f64 / truth as f64;
                assert!(
                    off <= 0.5,
                    "{rates:?} {chance:?} {what}: {truth}, {found:?}"
                );
            };
            holds(0, &known(), &lines, "whole");
            for cut in [1, 37, 75, 90, 99, 101, 103, 1000] {
                let kept = &lines[cut..];
                holds(kept[0], &from(kept[0]), kept, &format!("cut at {cut}"));
            }
            for since in [
                1, 350_000, 700_000, 1_000_000, 1_500_000, 2_200_000, 9_700_000,
            ] {
                let kept: Vec<i64> = lines
                    .iter()
                    .copied()
                    .filter(|time| *time >= since)
                    .collect();
                holds(since, &from(kept[0]), &kept, &format!("since {since}"));
            }
        }
    }
}

#[test]
fn the_second_before_the_first_line_tells_where_a_window_starts() {
    let times = flood(&[150, 210, 180], 5, Some(3));
    let lines = sample(&times);
    let first = lines[0];
    let ranges: Vec<Estimate> = [first, first - 700_000, first - TICK_US + 1, first - TICK_US]
        .map(|begin| of(&lines, &[]).estimate(&from(begin)))
        .to_vec();
    for pair in ranges.windows(2) {
        assert!(
            pair[0].low <= pair[1].low && pair[1].high <= pair[0].high,
            "{ranges:?}"
        );
    }
    assert!(ranges[1].high > ranges[3].high, "{ranges:?}");
    assert!(ranges[3].high < 2 * ranges[3].low, "{ranges:?}");
    assert_eq!(of(&lines, &[]).estimate(&known()), ranges[3]);
    // A span that begins later says nothing of that second.
    let later = of(&lines, &[]).estimate(&from(first + 1));
    assert_eq!(later, ranges[0]);
    // Nor does a start behind it.
    let started = Begin::new(
        std::iter::once(Timestamp(first)),
        std::iter::once(Timestamp(first + 1)),
    );
    assert_eq!(of(&lines, &[]).estimate(&started), ranges[0]);
    assert_eq!(of(&lines, &[]).estimate(&known().of_several()), ranges[0]);
}

#[test]
fn a_few_lines_at_the_begin_of_a_log_are_what_they_are() {
    let lines: Vec<i64> = (0..90).map(|n| n * 9_000).collect();
    let estimate = of(&lines, &[]).estimate(&from(0));
    assert_eq!(estimate, Estimate::exact(90));
}

#[test]
fn the_best_number_is_that_of_the_steadiest_windows() {
    let times = flood(&[120], 100, None);
    let lines = sample(&times);
    let kept = &lines[47..];
    let truth = times.iter().filter(|time| **time >= kept[0]).count() as u64;
    let found = of(kept, &[]).estimate(&from(kept[0]));
    assert!(
        found.value.abs_diff(truth) * 10 <= truth * 4,
        "{truth} in {found:?}"
    );
}

#[test]
fn a_quiet_log_is_counted_exactly() {
    let lines: Vec<i64> = (0..500).map(|n| n * 20_000).collect();
    let estimate = of(&lines, &[]).estimate(&known());
    assert_eq!(estimate, Estimate::exact(500));
}

#[test]
fn windows_that_are_just_full_are_taken_at_the_middle_of_what_they_hide() {
    // 150 a second, of which 100 are written.
    let times: Vec<i64> = (0..3000).map(|n| 7 + n * 6_667).collect();
    let lines = sample(&times);
    assert!(lines.len() <= 2000, "{}", lines.len());
    let estimate = of(&lines, &[]).estimate(&known());
    assert_eq!((estimate.low, estimate.sampled_lines), (2000, 0));
    assert!(estimate.value.abs_diff(3000) <= 20, "{estimate:?}");
}

#[test]
fn a_window_that_sampling_cannot_make_was_not_sampled() {
    let lines: Vec<i64> = (0..3000).map(|n| n * 500).collect();
    assert_eq!(of(&lines, &[]).estimate(&known()), Estimate::exact(3000));
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
        assert_eq!(of(&lines, &[]).estimate(&known()), exact);
        assert_eq!(of(&lines, &[3, 100, 102, 240]).estimate(&known()), exact);
    }
}

#[test]
fn lines_a_little_out_of_order_stay_in_their_window() {
    let times: Vec<i64> = (0..3000).map(|n| 7 + n * 501).collect();
    let mut lines = sample(&times);
    let whole = of(&lines, &[]).estimate(&known());
    lines.chunks_mut(3).for_each(<[i64]>::reverse);
    let estimate = of(&lines, &[]).estimate(&known());
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
        let whole = piece(&lines).estimate(0, &known());
        let mut pieces = Vec::new();
        let mut at = 0;
        for cut in cuts.iter().chain([&lines.len()]) {
            pieces.push(piece(&lines[at..*cut]));
            at = *cut;
        }
        let mut left = Writers::default();
        pieces.iter().for_each(|piece| left.absorb(piece.clone()));
        prop_assert_eq!(left.estimate(0, &known()), whole);
        let mut right = Writers::default();
        for mut piece in pieces.into_iter().rev() {
            piece.absorb(right);
            right = piece;
        }
        prop_assert_eq!(right.estimate(0, &known()), whole);
        prop_assert!(right.by_id.len() <= MAX_WRITERS);
    }

    #[test]
    fn the_interval_holds_the_truth(
        gaps in prop::collection::vec(prop_oneof![1i64..2_000, 1i64..300_000], 1..2000),
    ) {
        let mut now = 1;
        let times: Vec<i64> = gaps.iter().map(|gap| { now += gap; now }).collect();
        let estimate = of(&sample(&times), &[]).estimate(&known());
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
        let begin = match lines.first() {
            Some(first) if cuts.len().is_multiple_of(2) => from(*first - 200_000),
            _ => known(),
        };
        prop_assert_eq!(of(&lines, &cuts).estimate(&begin), of(&lines, &[]).estimate(&begin));
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
        prop_assert_eq!(all.estimate(&begin), of(&lines, &[]).estimate(&begin));
    }

    #[test]
    fn a_flood_is_the_same_however_it_is_cut(
        rate in 100i64..3000,
        seed in 1u64..u64::MAX,
        skip in 0usize..150,
        cuts in prop::collection::vec(0usize..2000, 1..5),
    ) {
        let lines = sample(&flood(&[rate], 20, Some(seed)));
        let lines = &lines[skip..];
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(lines.len())).collect();
        cuts.sort_unstable();
        let begin = from(lines[0]);
        let whole = of(lines, &[]).estimate(&begin);
        prop_assert_eq!(of(lines, &cuts).estimate(&begin), whole);
        // As saved and read again.
        let (one, two) = lines.split_at(cuts[0]);
        let saved = |lines: &[i64]| -> Sampled {
            let mut piece = of(lines, &[]);
            piece.lay();
            serde_json::from_str(&serde_json::to_string(&piece).unwrap()).unwrap()
        };
        let mut all = saved(one);
        all.absorb(saved(two));
        prop_assert_eq!(all.estimate(&begin), whole);
    }
}
