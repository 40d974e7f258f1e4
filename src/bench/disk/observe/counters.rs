//! A device's counters, second by second: what it did, and whether it stood at a ceiling.

use crate::bench::disk::throttle::step::variation;
use crate::formats::bench::observe::{Ceiling, ObservedDisk};
use crate::formats::blockstat::{BlockDelta, BlockStat, delta};

/// A ceiling is flat for at least so many seconds, …
const FLAT_SECS: f64 = 10.0;
/// … varies no more than this, …
const FLAT: f64 = 0.05;
/// … while the device is busy all the time, …
const BUSY: f64 = 0.9;
/// … and its writes wait at least so many times as long as in the best window. A steady load is as
/// flat, but nothing waits.
const WAIT_RATIO: f64 = 2.0;

/// The windows of one device.
#[derive(Clone, Debug, Default)]
pub(super) struct Windows {
    last: Option<(f64, BlockStat)>,
    windows: Vec<BlockDelta>,
    lost_secs: f64,
}

/// Windows that are kept: an hour of seconds.
const MAX_WINDOWS: usize = 3_600;

impl Windows {
    /// Adds a reading at so many seconds after the begin.
    pub(super) fn add(&mut self, at: f64, stat: BlockStat) {
        if let Some((then, before)) = self.last.replace((at, stat)) {
            match delta(&before, &stat, at - then) {
                Some(window) if self.windows.len() < MAX_WINDOWS => self.windows.push(window),
                Some(_) => {}
                None => self.lost_secs += at - then,
            }
        }
    }

    /// Bytes written in all windows.
    pub(super) fn write_bytes(&self) -> u64 {
        self.windows.iter().map(|w| w.write_bytes).sum()
    }

    /// The device as it was seen; `None` without two readings.
    pub(super) fn disk(&self, name: &str) -> Option<ObservedDisk> {
        let secs: f64 = self.windows.iter().map(|w| w.secs).sum();
        if secs <= 0.0 {
            return None;
        }
        let sum = |of: fn(&BlockDelta) -> u64| self.windows.iter().map(of).sum::<u64>();
        let optional =
            |of: fn(&BlockDelta) -> Option<u64>| self.windows.iter().map(of).sum::<Option<u64>>();
        let weighted = |of: fn(&BlockDelta) -> f64| {
            self.windows.iter().map(|w| of(w) * w.secs).sum::<f64>() / secs
        };
        let mean = |ms: u64, count: u64| (count > 0).then(|| ms as f64 / count as f64);
        let writes = sum(|w| w.writes);
        let flushes = optional(|w| w.flushes);
        Some(ObservedDisk {
            name: name.to_owned(),
            writes_per_sec: writes as f64 / secs,
            write_bytes_per_sec: self.write_bytes() as f64 / secs,
            write_ms: mean(sum(|w| w.write_ms), writes),
            flushes_per_sec: flushes.map(|count| count as f64 / secs),
            flush_ms: optional(|w| w.flush_ms)
                .zip(flushes)
                .and_then(|(ms, count)| mean(ms, count)),
            busy: weighted(|w| w.busy),
            queue: weighted(|w| w.queue),
            foreign_share: None,
            ceiling: self.ceiling(),
            volume: None,
            lost_secs: self.lost_secs,
        })
    }

    /// The longest flat stretch with waiting requests.
    fn ceiling(&self) -> Option<Ceiling> {
        let best = self
            .windows
            .iter()
            .filter_map(BlockDelta::write_mean_ms)
            .fold(f64::INFINITY, f64::min);
        // A mean below what the counters resolve is taken as their resolution.
        let best = best.max(0.01);
        let mut found: Option<Ceiling> = None;
        for begin in 0..self.windows.len() {
            let busy = self.windows.get(begin..).unwrap_or_default();
            let run = busy.iter().take_while(|w| w.busy >= BUSY).count();
            for end in (begin + 1..=begin + run).rev() {
                let part = self.windows.get(begin..end).unwrap_or_default();
                let secs: f64 = part.iter().map(|w| w.secs).sum();
                if secs < FLAT_SECS || found.is_some_and(|f| secs <= f.secs) {
                    break;
                }
                if let Some(ceiling) = flat(part, secs, best) {
                    found = Some(ceiling);
                    break;
                }
            }
        }
        found
    }
}

fn flat(part: &[BlockDelta], secs: f64, best_ms: f64) -> Option<Ceiling> {
    let rates = |of: fn(&BlockDelta) -> u64| -> Vec<f64> {
        part.iter().map(|w| of(w) as f64 / w.secs).collect()
    };
    let bytes = variation(&rates(|w| w.write_bytes));
    let writes = variation(&rates(|w| w.writes));
    let variation = bytes?.min(writes?);
    let count: u64 = part.iter().map(|w| w.writes).sum();
    let ms: u64 = part.iter().map(|w| w.write_ms).sum();
    let wait_ratio = ms as f64 / count.max(1) as f64 / best_ms;
    (variation < FLAT && wait_ratio >= WAIT_RATIO && count > 0).then(|| Ceiling {
        secs,
        bytes_per_sec: part.iter().map(|w| w.write_bytes).sum::<u64>() as f64 / secs,
        writes_per_sec: count as f64 / secs,
        variation,
        wait_ratio,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readings of a device, a second apart: writes of 4 KiB, milliseconds of each, busy share.
    fn windows(seconds: &[(u64, u64, u64)]) -> Windows {
        let mut stat = BlockStat {
            flushes: Some(0),
            ms_flushing: Some(0),
            ..BlockStat::default()
        };
        let mut windows = Windows::default();
        windows.add(0.0, stat);
        for (at, (writes, ms_each, busy_ms)) in seconds.iter().enumerate() {
            stat.writes += writes;
            stat.sectors_written += writes * 8;
            stat.ms_writing += writes * ms_each;
            stat.ms_busy += busy_ms;
            stat.flushes = stat.flushes.map(|f| f + 10);
            stat.ms_flushing = stat.ms_flushing.map(|f| f + 50);
            windows.add((at + 1) as f64, stat);
        }
        windows
    }

    #[test]
    fn rates_and_means_of_all_seconds() {
        let disk = windows(&[(100, 2, 500), (300, 2, 700)])
            .disk("sda")
            .unwrap();
        assert_eq!(disk.writes_per_sec, 200.0);
        assert_eq!(disk.write_ms, Some(2.0));
        assert_eq!(
            (disk.flushes_per_sec, disk.flush_ms),
            (Some(10.0), Some(5.0))
        );
        assert!((disk.busy - 0.6).abs() < 1e-9);
        assert_eq!(disk.ceiling, None);
        assert_eq!(Windows::default().disk("sda"), None);
    }

    #[test]
    fn a_ceiling_is_flat_and_makes_wait() {
        let mut seconds = vec![(200, 1, 400); 4];
        seconds.extend([(1_000, 20, 1_000); 12]);
        let ceiling = windows(&seconds).disk("sda").unwrap().ceiling.unwrap();
        assert_eq!(ceiling.writes_per_sec, 1_000.0);
        assert!(ceiling.secs >= 10.0 && ceiling.wait_ratio >= 19.0);
    }

    #[test]
    fn a_steady_load_is_no_ceiling() {
        // As flat, but nothing waits; and busy, but not flat.
        assert_eq!(
            windows(&[(500, 1, 1_000); 20]).disk("sda").unwrap().ceiling,
            None
        );
        let wild: Vec<_> = (0..20).map(|i| (200 + i * 100, 5 + i, 1_000)).collect();
        assert_eq!(windows(&wild).disk("sda").unwrap().ceiling, None);
    }

    #[test]
    fn a_restart_of_the_counters_is_lost_time() {
        let mut windows = windows(&[(100, 2, 500)]);
        windows.add(2.0, BlockStat::default());
        windows.add(
            3.0,
            BlockStat {
                writes: 50,
                ..BlockStat::default()
            },
        );
        let disk = windows.disk("sda").unwrap();
        assert_eq!(disk.lost_secs, 1.0);
        assert_eq!(disk.writes_per_sec, 75.0);
        assert_eq!(disk.flushes_per_sec, None, "not counted in all windows");
    }
}
