//! Files whose times are those of a copy. Where the scrapes say nothing of their time themselves, the
//! files' times must fit what one living process counts.

use crate::clock::Timestamp;

use super::moment::TimeSource;

/// What one scrape of a process tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) at: Option<(Timestamp, TimeSource)>,
    /// When the process started, in seconds since 1970.
    pub(super) start: Option<f64>,
    /// CPU time that it has used, in seconds.
    pub(super) cpu: Option<f64>,
    /// Whether a garbage collection in it confirms the file's time.
    pub(super) confirmed: bool,
}

/// Two files that were written within a second are no two scrapes with a rate between them.
const APART_US: i64 = 1_000_000;

/// More processors than a process of the control plane keeps busy.
const CORES: f64 = 256.0;

/// Whether the files' times cannot be those at which the scrapes were taken.
pub(super) fn are_copies(looks: &[Look]) -> bool {
    let mut timed: Vec<(Timestamp, &Look)> = looks
        .iter()
        .filter(|look| !look.confirmed)
        .filter_map(|look| match look.at {
            Some((at, TimeSource::Modified)) => Some((at, look)),
            _ => None,
        })
        .collect();
    timed.sort_by_key(|(at, _)| *at);
    timed.windows(2).any(|pair| {
        let [(before, first), (after, second)] = pair else {
            return false;
        };
        let us = after.since_us(*before);
        let same_life = first
            .start
            .zip(second.start)
            .is_some_and(|(a, b)| (a - b).abs() < 1.5);
        let used = first.cpu.zip(second.cpu).map(|(a, b)| b - a);
        // CPU time never falls while a process lives, nor does it grow faster than time.
        let impossible = used.is_some_and(|used| used < 0.0 || used > us as f64 / 1e6 * CORES);
        us < APART_US || (same_life && impossible)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(at_ms: i64, cpu: f64) -> Look {
        Look {
            at: Some((Timestamp(at_ms * 1000), TimeSource::Modified)),
            start: Some(1e9),
            cpu: Some(cpu),
            confirmed: false,
        }
    }

    #[test]
    fn times_that_no_process_can_have() {
        assert!(!are_copies(&[look(0, 10.0), look(60_000, 20.0)]));
        assert!(are_copies(&[look(0, 10.0), look(0, 20.0)]));
        assert!(are_copies(&[look(0, 10.0), look(300, 11.0)]));
        // In the wrong order: the process did not start anew.
        assert!(are_copies(&[look(0, 20.0), look(60_000, 10.0)]));
        let mut anew = look(60_000, 10.0);
        anew.start = Some(1e9 + 30.0);
        assert!(!are_copies(&[look(0, 20.0), anew]));
        // A thousand seconds of work in two.
        assert!(are_copies(&[look(0, 10.0), look(2000, 1010.0)]));
        let confirmed = |look: Look| Look {
            confirmed: true,
            ..look
        };
        assert!(!are_copies(&[
            confirmed(look(0, 10.0)),
            confirmed(look(300, 11.0))
        ]));
    }
}
