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

/// How long until the database is full.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TimeToFull {
    /// Seconds at the growth of the window.
    Secs(f64),
    /// It is full now.
    Full,
    /// The window is too short or the growth too small to say.
    NotEnough,
}

/// Draws the growth of a window out to the quota. `growth` is bytes per second and bytes; `None`
/// when the quota or the size is not known, or there is no quota.
pub fn time_to_full(
    quota: Option<f64>,
    size: Option<f64>,
    growth: Option<(f64, f64)>,
    secs: Option<f64>,
) -> Option<TimeToFull> {
    // etcd compares the size of the file, not what is in use of it, with the quota
    // (server/storage/quota.go).
    let (quota, size) = (quota.filter(|q| *q > 0.0)?, size?);
    if size >= quota {
        return Some(TimeToFull::Full);
    }
    let (Some((rate, bytes)), Some(secs)) = (growth, secs) else {
        return Some(TimeToFull::NotEnough);
    };
    let left = quota - size;
    let steady = secs >= MIN_SECS && bytes >= MIN_BYTES.max(quota / 200.0);
    let fast = secs >= FAST_SECS && bytes >= MIN_BYTES.max(left * FAST_SHARE);
    Some(if (steady || fast) && rate > 0.0 {
        TimeToFull::Secs(left / rate)
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
                Some((grew * mib / secs, grew * mib)),
                Some(secs),
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
        assert_eq!(time_to_full(None, Some(1.0), None, None), None);
        assert_eq!(time_to_full(Some(0.0), Some(1.0), None, None), None);
    }
}
