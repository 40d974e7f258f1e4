//! What runs measured, and their sum: recorders stay recorders until a result is made of them.

use crate::bench::recorder::Recorder;
use crate::formats::bench::Latency;
use crate::formats::bench::disk::{Commits, DeviceCount, Round, Surroundings, Tick};

use super::super::backend::Committed;
use super::Class;

/// What a run measured, so that several can be added up.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Seconds that count.
    pub secs: f64,
    /// From when to when, on the rig's clock.
    pub(super) counted: (u64, u64),
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) backlog: u64,
    pub(super) write: Recorder,
    /// The syncs.
    pub sync: Recorder,
    pub(super) durable: Recorder,
    pub(super) cuts: Recorder,
    pub(super) waits: Option<Recorder>,
    pub(super) net: Option<Recorder>,
    pub(super) commits: Option<CommitsMeasured>,
    /// What the devices did.
    pub device: Option<DeviceCount>,
    pub(super) around: Surroundings,
    pub(super) series: Vec<Tick>,
    pub(super) class: Class,
    /// Whether segments could not be reserved.
    pub sparse: bool,
}

/// The same of commits.
#[derive(Clone, Debug, Default)]
pub(super) struct CommitsMeasured {
    pub(super) total: Recorder,
    pub(super) data_sync: Recorder,
    pub(super) meta_sync: Recorder,
    pub(super) grow_sync: Recorder,
    pub(super) pages: u64,
    pub(super) bytes: u64,
    /// Nanoseconds in which one was under way, within the time that counts.
    busy_ns: u64,
    /// Begin and end of the first and of the last one.
    ends: Option<[(u64, u64); 2]>,
}

impl CommitsMeasured {
    pub(super) fn record(&mut self, committed: &Committed) {
        self.total.record(committed.total_ns);
        self.busy_ns += committed.total_ns;
        let span = (committed.began, committed.began + committed.total_ns);
        self.ends = Some([self.ends.map_or(span, |[first, _]| first), span]);
        self.data_sync.record(committed.data_sync_ns);
        self.meta_sync.record(committed.meta_sync_ns);
        if let Some(ns) = committed.grow_ns {
            self.grow_sync.record(ns);
        }
        self.pages += committed.pages;
        self.bytes += committed.bytes;
    }

    /// Takes away what the first and the last one did outside the time that counts: one follows the
    /// other, so no others reach beyond it.
    pub(super) fn within(mut self, (from, to): (u64, u64)) -> Self {
        if let Some([first, last]) = self.ends.take() {
            let early = first.1.min(from).saturating_sub(first.0);
            let late = last.1.saturating_sub(last.0.max(to));
            self.busy_ns = self.busy_ns.saturating_sub(early + late);
        }
        self
    }

    fn add(&mut self, other: &CommitsMeasured) {
        self.busy_ns += other.busy_ns;
        self.total.add(&other.total);
        self.data_sync.add(&other.data_sync);
        self.meta_sync.add(&other.meta_sync);
        self.grow_sync.add(&other.grow_sync);
        self.pages += other.pages;
        self.bytes += other.bytes;
    }
}

impl Measured {
    /// Adds another run of the same kind. The series is not joined.
    pub fn add(&mut self, other: &Measured) {
        let weight = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) if self.secs + other.secs > 0.0 => {
                Some((a * self.secs + b * other.secs) / (self.secs + other.secs))
            }
            _ => None,
        };
        if self.secs == 0.0 {
            *self = Measured {
                series: Vec::new(),
                ..other.clone()
            };
            return;
        }
        let mut around = Surroundings {
            psi_cpu_some: weight(self.around.psi_cpu_some, other.around.psi_cpu_some),
            psi_io_some: weight(self.around.psi_io_some, other.around.psi_io_some),
            steal: weight(self.around.steal, other.around.steal),
            cpu_busy: weight(self.around.cpu_busy, other.around.cpu_busy),
            run_delay_ms: sum(self.around.run_delay_ms, other.around.run_delay_ms),
            own_write_bytes: self
                .around
                .own_write_bytes
                .zip(other.around.own_write_bytes)
                .map(|(a, b)| a + b),
            own_io_limits: other.around.own_io_limits.clone(),
            writers: std::mem::take(&mut self.around.writers),
        };
        for writer in &other.around.writers {
            match around
                .writers
                .iter_mut()
                .find(|have| have.pid == writer.pid)
            {
                Some(have) => have.bytes += writer.bytes,
                None => around.writers.push(writer.clone()),
            }
        }
        around
            .writers
            .sort_by_key(|writer| std::cmp::Reverse(writer.bytes));
        self.around = around;
        self.secs += other.secs;
        self.entries += other.entries;
        self.bytes += other.bytes;
        self.backlog = self.backlog.max(other.backlog);
        self.write.add(&other.write);
        self.sync.add(&other.sync);
        self.durable.add(&other.durable);
        self.cuts.add(&other.cuts);
        join(&mut self.waits, other.waits.as_ref(), Recorder::add);
        join(&mut self.net, other.net.as_ref(), Recorder::add);
        join(
            &mut self.commits,
            other.commits.as_ref(),
            CommitsMeasured::add,
        );
        self.device = match (self.device, other.device) {
            (Some(a), Some(b)) => Some(add_devices(&a, &b)),
            _ => None,
        };
        self.sparse |= other.sparse;
    }

    /// The commits' whole times; `None` where there were none to make.
    pub fn commit_latency(&self) -> Option<Latency> {
        let commits = self.commits.as_ref()?;
        Some(commits.total.latency())
    }

    /// As results store it.
    pub fn round(&self, name: &str) -> Round {
        Round {
            name: name.to_owned(),
            secs: self.secs,
            entries: self.entries,
            bytes: self.bytes,
            backlog: self.backlog,
            write: self.write.latency(),
            sync: self.sync.latency(),
            durable: self.durable.latency(),
            cuts: self.cuts.latency(),
            run_delay: self.waits.as_ref().map(Recorder::latency),
            sync_without_delay: self.net.as_ref().map(Recorder::latency),
            commits: self.commits.as_ref().map(|commits| Commits {
                total: commits.total.latency(),
                data_sync: commits.data_sync.latency(),
                meta_sync: commits.meta_sync.latency(),
                grow_sync: commits.grow_sync.latency(),
                duty: if self.secs > 0.0 {
                    commits.busy_ns as f64 / 1e9 / self.secs
                } else {
                    0.0
                },
                pages: commits.pages,
                bytes: commits.bytes,
            }),
            series: self.series.clone(),
            device: self.device,
            around: self.around.clone(),
            class: self.class.word().to_owned(),
        }
    }
}

fn sum(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    Some(a? + b?)
}

fn join<T>(into: &mut Option<T>, other: Option<&T>, add: fn(&mut T, &T)) {
    match (into.as_mut(), other) {
        (Some(into), Some(other)) => add(into, other),
        _ => *into = None,
    }
}

fn add_devices(a: &DeviceCount, b: &DeviceCount) -> DeviceCount {
    let both = |a: Option<u64>, b: Option<u64>| Some(a? + b?);
    DeviceCount {
        secs: a.secs + b.secs,
        writes: a.writes + b.writes,
        write_bytes: a.write_bytes + b.write_bytes,
        write_ms: a.write_ms + b.write_ms,
        reads: a.reads + b.reads,
        read_bytes: a.read_bytes + b.read_bytes,
        flushes: both(a.flushes, b.flushes),
        flush_ms: both(a.flush_ms, b.flush_ms),
        discards: both(a.discards, b.discards),
    }
}
