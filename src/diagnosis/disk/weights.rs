//! How much each state of the evidence says for or against the disk: one row a state, with its
//! confidence and why.
//!
//! The confidences order the causes and were set by hand. What they keep: from 0.5 on a cause is
//! claimed ([`CLAIM`](crate::diagnosis::assess::CLAIM)), so a row that a starved CPU explains as
//! well stays below; what was measured below etcd stands above what etcd says of itself; and no row
//! is certain, as a measurement can be of another time.

use crate::rules::Confidence;

/// What is known of the node of one finding.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OnNode {
    /// etcd's cgroup throttles it.
    pub(super) throttled: bool,
    /// etcd waits for a CPU.
    pub(super) waits: bool,
    /// etcd surely had the CPU that it wanted.
    pub(super) free_cpu: bool,
    /// It answers its peers at once, so it is not kept from running.
    pub(super) runs_freely: bool,
}

/// Lines about syncs over a second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stalls {
    /// The node of the worst.
    pub(super) on: OnNode,
    /// Enough of them to be critical.
    pub(super) many: bool,
}

/// Syncs whose p99 is over the limit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SlowSyncs {
    /// The node of the worst.
    pub(super) on: OnNode,
    /// Each sync of it is slow, not only a few.
    pub(super) steady: bool,
}

/// Commits of the backend whose p99 is over the limit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SlowCommits {
    /// The node of the worst.
    pub(super) on: OnNode,
    /// They are on a node whose device takes long for a flush.
    pub(super) flushed_slowly: bool,
}

/// What the evidence says of the disk. Findings that a fast device clears are not in it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// The filesystem is read-only, and how sure that is.
    pub(super) read_only: Option<Confidence>,
    /// The device takes long for a flush.
    pub(super) slow_flush: bool,
    /// The kernel reports errors of the device under a member whose syncs are slow.
    pub(super) broken_beneath: bool,
    /// The kernel reports errors of a device under some member.
    pub(super) broken: bool,
    /// It reports errors of a device, and whether that is etcd's is not known.
    pub(super) broken_somewhere: bool,
    /// A component logged that it could not write.
    pub(super) unwritable: bool,
    /// The device takes long for a write: its worst node.
    pub(super) slow_writes: Option<OnNode>,
    /// etcd logged syncs over a second.
    pub(super) stalls: Option<Stalls>,
    /// etcd's syncs are slow.
    pub(super) slow_syncs: Option<SlowSyncs>,
    /// Every member's syncs were measured and are fast.
    pub(super) fast_syncs: bool,
    /// Commits of the backend are slow.
    pub(super) slow_commits: Option<SlowCommits>,
    /// Every device under etcd was measured and is fast.
    pub(super) fast_device: bool,
    /// Raft's clock was late more often than a sync was.
    pub(super) starved: bool,
    /// etcd used next to no CPU.
    pub(super) idle: bool,
}

impl Seen {
    fn felt(&self) -> bool {
        self.stalls.is_some() || self.slow_syncs.is_some()
    }
}

/// What a state means for the disk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Says {
    /// It is the cause, with this confidence.
    Cause(f64),
    /// It is not the cause.
    Cleared,
    /// Nothing.
    Nothing,
}

/// One state of the evidence.
#[derive(Debug)]
pub struct Weight {
    /// The state, for people.
    pub name: &'static str,
    holds: fn(&Seen) -> bool,
    says: Says,
    /// Why it weighs so much.
    pub why: &'static str,
}

impl Weight {
    /// The confidence that it is the disk; `None` when it is cleared, or nothing can be said.
    pub fn confidence(&self) -> Option<f64> {
        match self.says {
            Says::Cause(confidence) => Some(confidence),
            Says::Cleared | Says::Nothing => None,
        }
    }

    /// Whether the disk is not the cause then.
    pub fn clears(&self) -> bool {
        self.says == Says::Cleared
    }
}

const fn weight(
    name: &'static str,
    holds: fn(&Seen) -> bool,
    says: Says,
    why: &'static str,
) -> Weight {
    Weight {
        name,
        holds,
        says,
        why,
    }
}

/// The state that holds: the first of the table, else nothing.
pub(super) fn says(seen: &Seen) -> Says {
    let first = WEIGHTS.iter().find(|weight| (weight.holds)(seen));
    first.map_or(Says::Nothing, |weight| weight.says)
}

fn on_writes(seen: &Seen, is: fn(&OnNode) -> bool) -> bool {
    seen.slow_writes.as_ref().is_some_and(is)
}

fn on_stalls(seen: &Seen, is: fn(&Stalls) -> bool) -> bool {
    seen.stalls.as_ref().is_some_and(is)
}

fn on_syncs(seen: &Seen, is: fn(&SlowSyncs) -> bool) -> bool {
    seen.slow_syncs.as_ref().is_some_and(is)
}

fn on_commits(seen: &Seen, is: fn(&SlowCommits) -> bool) -> bool {
    seen.slow_commits.as_ref().is_some_and(is)
}

/// The first row that holds decides: what proves most stands first.
pub const WEIGHTS: &[Weight] = &[
    weight(
        "the filesystem is read-only",
        |seen| seen.read_only == Some(Confidence::High),
        Says::Cause(0.95),
        "no write gets through, whatever else is measured",
    ),
    weight(
        "the filesystem may be read-only",
        |seen| seen.read_only.is_some(),
        Says::Cause(0.7),
        "as said of it, but not seen on the mount",
    ),
    weight(
        "flushes are slow, and so are syncs",
        |seen| seen.slow_flush && seen.felt(),
        Says::Cause(0.95),
        "below etcd and inside etcd: proved twice",
    ),
    weight(
        "flushes are slow, and so are commits, while syncs are fast",
        |seen| {
            seen.slow_flush && seen.fast_syncs && on_commits(seen, |commits| commits.flushed_slowly)
        },
        Says::Cause(0.85),
        "below etcd and inside etcd: the database's device, where the WAL has its own",
    ),
    weight(
        "flushes are slow, and syncs are fast",
        |seen| seen.slow_flush && seen.fast_syncs,
        Says::Cause(0.35),
        "the device is slow, and etcd does not feel it",
    ),
    weight(
        "flushes are slow",
        |seen| seen.slow_flush,
        Says::Cause(0.75),
        "measured below etcd; what etcd felt is not known",
    ),
    weight(
        "the device reports errors, and syncs are slow",
        |seen| seen.broken_beneath,
        Says::Cause(0.85),
        "an ill device under the member that suffers",
    ),
    weight(
        "writes fail",
        |seen| seen.unwritable,
        Says::Cause(0.8),
        "an error, not a latency: no starved CPU makes it",
    ),
    weight(
        "writes are slow, and etcd lacks CPU",
        |seen| on_writes(seen, |on| on.throttled || on.waits),
        Says::Cause(0.6),
        "the device is slow by the kernel's measure; the CPU has its share",
    ),
    weight(
        "writes are slow, and so are commits, while syncs are fast",
        |seen| seen.slow_writes.is_some() && seen.fast_syncs && seen.slow_commits.is_some(),
        Says::Cause(0.7),
        "measured below etcd; the WAL has a device of its own, or smaller writes",
    ),
    weight(
        "writes are slow, and etcd has its CPU",
        |seen| on_writes(seen, |on| on.free_cpu || on.runs_freely),
        Says::Cause(0.85),
        "nothing else keeps etcd waiting",
    ),
    weight(
        "writes are slow",
        |seen| seen.slow_writes.is_some(),
        Says::Cause(0.75),
        "measured below etcd, the writes of others among them",
    ),
    weight(
        "syncs stall, and etcd is throttled",
        |seen| on_stalls(seen, |stalls| stalls.on.throttled),
        Says::Cause(0.35),
        "a process without CPU time logs the same lines",
    ),
    weight(
        "a sync or two stalled",
        |seen| on_stalls(seen, |stalls| !stalls.many) && seen.slow_syncs.is_none(),
        Says::Cause(0.45),
        "one or two such lines in hours are a moment, not a state",
    ),
    weight(
        "syncs stall, and etcd has its CPU",
        |seen| on_stalls(seen, |stalls| stalls.on.free_cpu),
        Says::Cause(0.85),
        "the CPU was measured and is cleared",
    ),
    weight(
        "syncs stall, and peers are answered at once",
        |seen| on_stalls(seen, |stalls| stalls.on.runs_freely),
        Says::Cause(0.75),
        "a process that is kept from running would be late with its answers",
    ),
    weight(
        "syncs stall, and raft's clock is late more often",
        |seen| seen.stalls.is_some() && seen.starved,
        Says::Cause(0.45),
        "a process that is kept from running misses ticks, and its syncs take long as well",
    ),
    weight(
        "few syncs stall, many are slow, and etcd is idle",
        |seen| on_stalls(seen, |stalls| !stalls.many) && seen.slow_syncs.is_some() && seen.idle,
        Says::Cause(0.45),
        "CPU was not looked at: a starved etcd can write a line or two as well",
    ),
    weight(
        "syncs stall",
        |seen| seen.stalls.is_some(),
        Says::Cause(0.65),
        "lines of over a second: rarely the CPU, which was not measured",
    ),
    weight(
        "syncs are slow, and etcd is throttled",
        |seen| on_syncs(seen, |syncs| syncs.on.throttled),
        Says::Nothing,
        "the throttling explains them",
    ),
    weight(
        "every sync is slow, and peers are answered at once",
        |seen| on_syncs(seen, |syncs| syncs.steady && syncs.on.runs_freely),
        Says::Cause(0.6),
        "a process that is kept from running syncs fast while it runs; this one waits for its disk",
    ),
    weight(
        "syncs are slow, and etcd waits for a CPU",
        |seen| on_syncs(seen, |syncs| syncs.on.waits),
        Says::Cause(0.4),
        "disk or CPU, and the CPU was seen",
    ),
    weight(
        "syncs are slow",
        |seen| seen.slow_syncs.is_some(),
        Says::Cause(0.45),
        "without a measurement below etcd: disk or CPU",
    ),
    weight(
        "the device reports errors, and nothing is slow",
        |seen| seen.broken && !seen.felt(),
        Says::Cause(0.65),
        "what fails now and then is not seen in how long the rest takes; no CPU makes such errors",
    ),
    weight(
        "some device reports errors",
        |seen| seen.broken_somewhere && !seen.felt(),
        Says::Cause(0.45),
        "whether it is the one under etcd is not known: it is not cleared",
    ),
    weight(
        "syncs are fast, and so are commits",
        |seen| seen.fast_syncs && seen.slow_commits.is_none(),
        Says::Cleared,
        "what etcd waits for comes in time on every member",
    ),
    weight(
        "commits are slow, and etcd is throttled",
        |seen| on_commits(seen, |commits| commits.on.throttled),
        Says::Nothing,
        "the throttling explains them",
    ),
    weight(
        "commits are slow, while syncs are fast",
        |seen| seen.fast_syncs && seen.slow_commits.is_some() && !seen.fast_device,
        Says::Cause(0.35),
        "the database can lie on another device than the WAL, and a large commit takes long on any",
    ),
    weight(
        "commits are slow",
        |seen| seen.slow_commits.is_some() && !seen.fast_device,
        Says::Cause(0.4),
        "commits sync as the WAL does; what its syncs took at that time is not known",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::assess::CLAIM;

    /// All states of a few flags that can be told apart.
    fn states() -> Vec<Seen> {
        let bit = |n: u32, at: u32| n >> at & 1 == 1;
        let on = |n: u32| OnNode {
            throttled: bit(n, 0),
            waits: bit(n, 1),
            free_cpu: bit(n, 2),
            runs_freely: bit(n, 3),
        };
        let mut all = Vec::new();
        for nodes in 0..16 {
            for n in 0..1 << 16 {
                let stalls = Stalls {
                    on: on(nodes),
                    many: bit(n, 1),
                };
                let slow_syncs = SlowSyncs {
                    on: on(nodes),
                    steady: bit(n, 3),
                };
                all.push(Seen {
                    read_only: bit(n, 4).then_some(match bit(n, 1) {
                        true => Confidence::High,
                        false => Confidence::Medium,
                    }),
                    slow_flush: bit(n, 5),
                    broken_beneath: bit(n, 6),
                    broken: bit(n, 14),
                    broken_somewhere: bit(n, 15),
                    unwritable: bit(n, 7),
                    slow_writes: bit(n, 8).then_some(on(nodes)),
                    stalls: bit(n, 0).then_some(stalls),
                    slow_syncs: bit(n, 2).then_some(slow_syncs),
                    fast_syncs: bit(n, 9),
                    slow_commits: bit(n, 10).then_some(SlowCommits {
                        on: on(nodes),
                        flushed_slowly: bit(n, 5),
                    }),
                    fast_device: bit(n, 11),
                    starved: bit(n, 12),
                    idle: bit(n, 13),
                });
            }
        }
        all
    }

    #[test]
    fn every_row_decides_some_state() {
        let mut decided = vec![false; WEIGHTS.len()];
        for seen in states() {
            if let Some(at) = WEIGHTS.iter().position(|weight| (weight.holds)(&seen)) {
                decided[at] = true;
            }
        }
        for (weight, decided) in WEIGHTS.iter().zip(decided) {
            assert!(decided, "`{}` never decides", weight.name);
            assert!(weight.why.len() > 20, "{}", weight.name);
            let confidence = weight.confidence();
            assert!(
                confidence.is_none_or(|n| n > 0.3 && n < 1.0),
                "{}",
                weight.name
            );
        }
        assert_eq!(says(&Seen::default()), Says::Nothing);
    }

    /// What a throttled etcd explains as well is no claim against its disk, and what was measured
    /// below etcd is never cleared by it.
    #[test]
    fn a_starved_process_is_no_proof_and_a_measured_device_is() {
        for seen in states() {
            let below = seen.read_only.is_some()
                || seen.slow_flush
                || seen.broken_beneath
                || seen.unwritable
                || seen.slow_writes.is_some();
            let says = says(&seen);
            if below {
                assert!(matches!(says, Says::Cause(_)), "{seen:?}");
                continue;
            }
            let claimed = matches!(says, Says::Cause(confidence) if confidence >= CLAIM);
            let throttled = on_stalls(&seen, |stalls| stalls.on.throttled)
                || on_syncs(&seen, |syncs| syncs.on.throttled);
            assert!(!(throttled && claimed), "{seen:?}");
            // Commits that are slow are not etcd's word that its disk is fast.
            assert!(
                seen.slow_commits.is_none() || says != Says::Cleared,
                "{seen:?}"
            );
            assert!(!claimed || seen.felt() || seen.broken, "{seen:?}");
            // A device that fails is cleared by nothing.
            let broken = seen.broken || seen.broken_somewhere;
            assert!(!broken || says != Says::Cleared, "{seen:?}");
        }
    }
}
