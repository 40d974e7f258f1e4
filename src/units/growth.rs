//! When a growing database reaches its quota, and when that cannot be said.

/// Shortest span from which a growth is drawn out to a time: a database grows in steps of
/// compactions (every 5 minutes, kube-apiserver's `--etcd-compaction-interval`).
const MIN_SECS: f64 = 600.0;
/// Growth below this is what compactions and pages of a resting cluster make, too.
const MIN_BYTES: f64 = 8.0 * 1024.0 * 1024.0;
/// Share of what is left that has to go within a shorter span for it to tell: at such a pace ten
/// more spans like it fill the rest, and no compaction makes the file smaller.
const FAST_SHARE: f64 = 0.1;
/// Shortest span of all: two looks closer than this see one batch.
const FAST_SECS: f64 = 5.0;

/// The part of a span, its end, in which a growth has to go on to be drawn out: what ended before
/// fills nothing.
const END: f64 = 0.25;

/// How a file grew up to the last look at it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// Bytes per second. A growth that became slower, or ended, is as slow as it was at its end.
    pub per_sec: f64,
    /// Bytes.
    pub bytes: f64,
    /// In how many seconds.
    pub secs: f64,
}

/// How a file grew by sizes at times in seconds, in order, since it was last made smaller. A file
/// that is `full` takes no more: of it the growth before counts. `None` of fewer than two looks.
pub fn growth(points: &[(f64, f64)], full: bool) -> Option<Growth> {
    let mut shrank = (1..points.len()).rev();
    let shrank = shrank.find(|at| points[*at].1 < points[*at - 1].1);
    let mut run = points.get(shrank.unwrap_or(0)..)?;
    while full
        && let [.., before, last] = run
        && before.1 >= last.1
    {
        run = &run[..run.len() - 1];
    }
    let (first, last) = (run.first()?, run.last()?);
    let secs = last.0 - first.0;
    if secs <= 0.0 {
        return None;
    }
    let bytes = last.1 - first.1;
    // Compactions leave room that is filled before the file grows on: the end is as long as is asked
    // of a whole span.
    let least = match secs >= MIN_SECS {
        true => MIN_SECS,
        false => FAST_SECS,
    };
    let end = f64::max(secs * END, least);
    let from = run.iter().rev().find(|point| last.0 - point.0 >= end);
    let from = from.unwrap_or(first);
    let at_end = (last.1 - from.1) / (last.0 - from.0);
    Some(Growth {
        per_sec: at_end.min(bytes / secs),
        bytes,
        secs,
    })
}

/// How long until the database is full.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TimeToFull {
    /// Seconds at the growth of late.
    Secs(f64),
    /// It is full now.
    Full,
    /// The window is too short or the growth too small to say.
    NotEnough,
}

/// Draws a growth out to the quota. `None` when the quota or the size is not known, or there is no
/// quota.
pub fn time_to_full(
    quota: Option<f64>,
    size: Option<f64>,
    growth: Option<Growth>,
) -> Option<TimeToFull> {
    // etcd compares the size of the file, not what is in use of it, with the quota
    // (server/storage/quota.go).
    let (quota, size) = (quota.filter(|q| *q > 0.0)?, size?);
    if size >= quota {
        return Some(TimeToFull::Full);
    }
    let Some(growth) = growth else {
        return Some(TimeToFull::NotEnough);
    };
    let Growth {
        per_sec,
        bytes,
        secs,
    } = growth;
    let left = quota - size;
    let steady = secs >= MIN_SECS && bytes >= MIN_BYTES.max(quota / 200.0);
    let fast = secs >= FAST_SECS && bytes >= MIN_BYTES.max(left * FAST_SHARE);
    Some(if (steady || fast) && per_sec > 0.0 {
        TimeToFull::Secs(left / per_sec)
    } else {
        TimeToFull::NotEnough
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_needs_a_span_and_a_growth() {
        let mib = 1024.0 * 1024.0;
        let quota = Some(2048.0 * mib);
        let of = |size: f64, grew: f64, secs: f64| {
            time_to_full(
                quota,
                Some(size * mib),
                Some(Growth {
                    per_sec: grew * mib / secs,
                    bytes: grew * mib,
                    secs,
                }),
            )
        };
        // 16 MiB in 1000 s, 1024 MiB left.
        assert_eq!(of(1024.0, 16.0, 1000.0), Some(TimeToFull::Secs(64_000.0)));
        assert_eq!(of(1024.0, 16.0, 599.0), Some(TimeToFull::NotEnough));
        assert_eq!(of(1024.0, 9.0, 1000.0), Some(TimeToFull::NotEnough));
        assert_eq!(of(2048.0, 16.0, 30.0), Some(TimeToFull::Full));
        // A tenth of what is left within ten seconds tells; within two it may be one batch.
        assert_eq!(
            of(1024.0, 103.0, 10.0),
            Some(TimeToFull::Secs(1024.0 / 10.3))
        );
        assert_eq!(of(1024.0, 102.0, 10.0), Some(TimeToFull::NotEnough));
        assert_eq!(of(1024.0, 103.0, 2.0), Some(TimeToFull::NotEnough));
        assert_eq!(time_to_full(None, Some(1.0), None), None);
        assert_eq!(time_to_full(Some(0.0), Some(1.0), None), None);
    }

    #[test]
    fn a_growth_that_ended_fills_nothing() {
        // Sizes of a recording: a batch of writes, then nothing more.
        let ended = [
            (0.0, 20_480.0),
            (24.0, 29_126_656.0),
            (35.0, 29_659_136.0),
            (58.0, 29_659_136.0),
        ];
        let of = |points: &[(f64, f64)]| growth(points, false).unwrap();
        assert_eq!(of(&ended).per_sec, 0.0);
        let left = |growth| time_to_full(Some(41_943_040.0), Some(29_659_136.0), Some(growth));
        assert_eq!(left(of(&ended)), Some(TimeToFull::NotEnough));
        // It goes on, and slower than it began.
        assert_eq!(of(&ended[..3]).per_sec, 532_480.0 / 11.0);
        assert!(matches!(left(of(&ended[..2])), Some(TimeToFull::Secs(_))));
        // A quarter of an hour at rest, at the end of an hour.
        let hour = |rest: f64| {
            let at = |n: u32| (f64::from(n) * 60.0, 1e6 * f64::from(n).min(60.0 - rest));
            of(&(0..=60).map(at).collect::<Vec<_>>()).per_sec
        };
        assert_eq!(hour(15.0), 0.0);
        assert!(hour(5.0) > 10_000.0);
    }

    #[test]
    fn a_file_that_was_made_smaller_is_watched_from_there() {
        let points = [
            (0.0, 20_480.0),
            (33.0, 33_927_168.0),
            (39.0, 6_713_344.0),
            (65.0, 19_161_088.0),
        ];
        let grew = growth(&points, false).unwrap();
        assert_eq!((grew.bytes, grew.secs), (12_447_744.0, 26.0));
        let left = time_to_full(Some(33_554_432.0), Some(19_161_088.0), Some(grew));
        assert_eq!(left, Some(TimeToFull::Secs(14_393_344.0 / grew.per_sec)));
        assert_eq!(growth(&points[..3], false), None);
        assert_eq!(growth(&[], true), None);
    }

    #[test]
    fn what_is_full_grew_until_then() {
        let points = [(0.0, 0.0), (20.0, 16e6), (40.0, 16e6), (58.0, 16e6)];
        assert_eq!(growth(&points, true).unwrap().per_sec, 800_000.0);
        assert_eq!(growth(&points, false).unwrap().per_sec, 0.0);
        assert_eq!(growth(&points[1..], true), None);
    }
}
