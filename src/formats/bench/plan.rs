//! How a disk bench writes: its plan, as documents hold it.

use serde::{Deserialize, Serialize};

/// How long and how thoroughly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlanName {
    /// About 20 s; 35 where the samples do not decide and more are taken.
    #[default]
    Quick,
    /// About 2 min.
    Standard,
    /// About 30 min.
    Soak,
}

impl PlanName {
    /// The word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            PlanName::Quick => "quick",
            PlanName::Standard => "standard",
            PlanName::Soak => "soak",
        }
    }
}

/// How the database file grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Growth {
    /// bbolt up to 1.3.6 (etcd up to 3.4.23 and 3.5.7): pages are written past the end.
    Bbolt136,
    /// bbolt from 1.3.7 on: the file is made 16 MiB longer and fsynced inside the commit.
    #[default]
    Bbolt137,
}

/// When records arrive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// At a constant rate, whether the disk keeps up or not (open loop).
    Constant {
        /// Records per second.
        per_sec: f64,
    },
    /// At random times with that mean rate (open loop).
    Poisson {
        /// Records per second.
        per_sec: f64,
    },
    /// Each of so many clients waits for its record before it sends the next (closed loop).
    Clients {
        /// How many.
        clients: u32,
    },
}

impl Default for Arrivals {
    fn default() -> Self {
        Arrivals::Constant { per_sec: 500.0 }
    }
}

/// One size of records and its share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordSize {
    /// Bytes of one entry in the WAL.
    pub bytes: u32,
    /// Share of the entries, 0 to 1.
    pub share: f64,
}

/// What is written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Records {
    /// Its name: `put256`, `lease`, `k8s`, `fio`, `large`, or the number of bytes.
    pub name: String,
    /// The sizes.
    pub sizes: Vec<RecordSize>,
    /// Bytes that each sync adds to its entries: etcd writes one 40-byte HardState record.
    pub per_sync_bytes: u32,
}

/// Everything that decides what the bench does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// Which plan.
    pub name: PlanName,
    /// Where the WAL is written: the directory that the user named.
    pub wal_dir: String,
    /// Where the database is written, when not there.
    pub db_dir: Option<String>,
    /// What is written.
    pub records: Records,
    /// When.
    pub arrivals: Arrivals,
    /// Only the WAL, no commits.
    pub wal_only: bool,
    /// Length of a WAL segment, bytes.
    pub segment_bytes: u64,
    /// Whether records carry a checksum, as etcd's do.
    pub crc: bool,
    /// How the database grows.
    pub growth: Growth,
    /// The database is filled to this size first, bytes.
    pub db_prefill_bytes: u64,
    /// Commits only rewrite pages of that size, as after a compaction.
    pub db_steady: bool,
    /// Seconds at the begin of each part that are not counted.
    pub warm_up_secs: f64,
    /// Rounds of the main measurement.
    pub rounds: u32,
    /// Length of a round, seconds.
    pub round_secs: f64,
    /// Seconds of watching the device before anything is written.
    pub idle_secs: f64,
    /// Length of each point of the curve, seconds.
    pub point_secs: f64,
    /// Record sizes of the curve.
    pub curve_bytes: Vec<u32>,
    /// Length of each side of the comparison of the WAL alone with WAL and commits; 0 leaves it out.
    pub contention_secs: f64,
    /// Length of the run in a real-time scheduling class; 0 leaves it out.
    pub real_time_secs: f64,
    /// Whether to look for a limit of throughput.
    pub throttle_probe: bool,
    /// Seed of sizes and arrivals.
    pub seed: u64,
}

impl Plan {
    /// What is written, when and where, in one line.
    pub fn words(&self) -> String {
        let arrivals = match self.arrivals {
            Arrivals::Constant { per_sec } => format!("at {per_sec:.0}/s"),
            Arrivals::Poisson { per_sec } => format!("at {per_sec:.0}/s (random times)"),
            Arrivals::Clients { clients: 1 } => "one after the other".to_owned(),
            Arrivals::Clients { clients } => format!("from {clients} waiting clients"),
        };
        let what = match (self.wal_only, self.db_dir.is_some()) {
            (true, _) => "WAL only".to_owned(),
            (false, false) => "WAL and commits".to_owned(),
            (false, true) => "WAL and, elsewhere, commits".to_owned(),
        };
        let mut text = format!(
            "{}: records `{}` {arrivals}, {what}; {} rounds of {} s",
            self.name.word(),
            self.records.name,
            self.rounds,
            self.round_secs
        );
        if self.db_steady {
            text.push_str(", steady database");
        }
        text
    }
}
