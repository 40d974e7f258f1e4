//! The loads and criteria of `etcdctl check perf`, and how the highest class is found.
//!
//! etcd: `etcdctl/ctlv3/command/check.go`, the same from 3.2 to 3.6: puts of 1024 bytes with keys of
//! 256 bytes behind the prefix, each client on a connection of its own, one rate limiter without
//! burst before all clients, and between them a queue with a place for each client: what the limiter
//! would let through while the queue is full is never sent. Latencies count from the sending of a request,
//! and what the queue holds at the end is still sent.

use std::time::Duration;

/// One class of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// `s`, `m`, `l` or `xl`.
    pub name: &'static str,
    /// Writes a second.
    pub rate: u32,
    /// Clients, each with its own connection.
    pub clients: u32,
}

/// The classes, small to large.
pub const CLASSES: [Class; 4] = [
    Class {
        name: "s",
        rate: 150,
        clients: 50,
    },
    Class {
        name: "m",
        rate: 1000,
        clients: 200,
    },
    Class {
        name: "l",
        rate: 8000,
        clients: 500,
    },
    Class {
        name: "xl",
        rate: 15_000,
        clients: 1000,
    },
];

/// How long the official check runs.
pub const TIME: Duration = Duration::from_secs(60);
/// Bytes of a value.
pub const VALUE: usize = 1024;
/// Bytes of a key behind the prefix.
pub const KEY: usize = 256;
/// The slowest request may take this long, in seconds.
pub const SLOWEST: f64 = 0.5;
/// The standard deviation may be this large, in seconds.
pub const STDDEV: f64 = 0.1;
/// More than this share of the rate must be reached.
pub const THROUGHPUT: f64 = 0.9;

/// A class by its name.
pub fn class(name: &str) -> Option<Class> {
    CLASSES.into_iter().find(|class| class.name == name)
}

/// What a run of a class came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Writes a second, of those that were answered well.
    pub throughput: f64,
    /// The slowest in seconds.
    pub slowest: f64,
    /// The standard deviation in seconds.
    pub stddev: f64,
    /// Requests that failed.
    pub errors: u64,
}

/// One criterion with what was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Criterion {
    /// Its name.
    pub name: &'static str,
    /// What was measured.
    pub value: f64,
    /// What it is held against.
    pub limit: f64,
    /// Whether it holds.
    pub pass: bool,
}

/// The official criteria, one by one. All must hold.
pub fn judge(class: Class, stats: &Stats) -> Vec<Criterion> {
    let rate = f64::from(class.rate);
    vec![
        Criterion {
            name: "errors",
            value: stats.errors as f64,
            limit: 0.0,
            pass: stats.errors == 0,
        },
        Criterion {
            name: "throughput",
            value: stats.throughput,
            limit: rate * THROUGHPUT,
            pass: stats.throughput / rate > THROUGHPUT,
        },
        Criterion {
            name: "slowest",
            value: stats.slowest,
            limit: SLOWEST,
            pass: stats.slowest <= SLOWEST,
        },
        Criterion {
            name: "stddev",
            value: stats.stddev,
            limit: STDDEV,
            pass: stats.stddev <= STDDEV,
        },
    ]
}

/// Whether the class can no longer be passed, whatever comes: so that nobody waits a minute for
/// a verdict that stands after a second. `answered` of the class's requests after `elapsed` of
/// `whole`.
pub fn lost(
    class: Class,
    answered: u64,
    errors: u64,
    slowest: Duration,
    elapsed: Duration,
    whole: Duration,
) -> Option<String> {
    if errors > 0 {
        return Some("a request failed, and none may".to_owned());
    }
    if slowest.as_secs_f64() > SLOWEST {
        return Some(format!(
            "a request took {:.0} ms, and none may take more than {:.0} ms",
            slowest.as_secs_f64() * 1e3,
            SLOWEST * 1e3
        ));
    }
    // Even at the full rate from now on, and with all that is under way and waits answered well. The
    // limiter gives no more than the rate: what is missing cannot be made up for.
    let rate = f64::from(class.rate);
    let left = whole.saturating_sub(elapsed).as_secs_f64();
    let begun = answered as f64 + 2.0 * f64::from(class.clients);
    let best = (begun + rate * left) / whole.as_secs_f64();
    if best / rate <= THROUGHPUT {
        return Some(format!(
            "{:.0} writes/s so far: {:.0} % of the rate can no longer be reached",
            answered as f64 / elapsed.as_secs_f64().max(1e-3),
            THROUGHPUT * 100.0
        ));
    }
    None
}

/// The class to begin with, by what a short run as fast as possible came to: the highest one that
/// it does not rule out. A short run flatters, so a class may still fail and the next lower one is
/// tried; but a class that no run comes near costs no minute.
pub fn first(capacity: f64) -> Class {
    CLASSES
        .into_iter()
        .rev()
        .find(|class| capacity > f64::from(class.rate) * THROUGHPUT)
        .unwrap_or(CLASSES[0])
}

/// The next lower class.
pub fn lower(class: Class) -> Option<Class> {
    let at = CLASSES.iter().position(|c| *c == class)?;
    CLASSES.get(at.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(class: Class, stats: Stats) -> bool {
        judge(class, &stats).iter().all(|c| c.pass)
    }

    const GOOD: Stats = Stats {
        throughput: 1000.0,
        slowest: 0.5,
        stddev: 0.1,
        errors: 0,
    };

    #[test]
    fn both_sides_of_each_criterion() {
        let m = class("m").unwrap();
        assert!(passes(m, GOOD));
        // check.go: `RPS/limit <= 0.9` fails, `Slowest > 0.5` fails, `Stddev > 0.1` fails.
        assert!(!passes(
            m,
            Stats {
                throughput: 900.0,
                ..GOOD
            }
        ));
        assert!(passes(
            m,
            Stats {
                throughput: 900.1,
                ..GOOD
            }
        ));
        assert!(!passes(
            m,
            Stats {
                slowest: 0.5001,
                ..GOOD
            }
        ));
        assert!(!passes(
            m,
            Stats {
                stddev: 0.1001,
                ..GOOD
            }
        ));
        assert!(!passes(m, Stats { errors: 1, ..GOOD }));
    }

    #[test]
    fn a_lost_class_is_known_early_and_an_open_one_is_not_given_up() {
        let l = class("l").unwrap();
        let (second, ms) = (Duration::from_secs(1), Duration::from_millis(1));
        let lost = |answered, errors, slowest, secs| {
            super::lost(l, answered, errors, slowest, second * secs, TIME)
        };
        assert_eq!(lost(8000, 0, ms, 1), None);
        assert!(lost(8000, 1, ms, 1).is_some());
        assert!(lost(8000, 0, ms * 501, 1).is_some());
        // Half the rate: lost once 6 of 60 seconds' worth is missing, after 12 s, and a thousand that
        // may still be answered do not help any more.
        assert_eq!(lost(4000 * 12, 0, ms, 12), None);
        assert!(lost(4000 * 13, 0, ms, 13).is_some());
    }

    #[test]
    fn the_search_begins_where_a_short_run_points_and_goes_down() {
        assert_eq!(first(50.0).name, "s");
        assert_eq!(first(901.0).name, "m");
        assert_eq!(first(13_499.0).name, "l");
        assert_eq!(first(20_000.0).name, "xl");
        assert_eq!(lower(class("xl").unwrap()).unwrap().name, "l");
        assert_eq!(lower(class("s").unwrap()), None);
        assert!(CLASSES.windows(2).all(|pair| pair[0].rate < pair[1].rate));
    }
}
