//! What a run is to do, as the command line decided it.

use std::time::Duration;

use super::check_perf::Class;
use super::cluster::Target;
use super::keyspace::ValueSize;
use super::shape::Shape;
use super::workload::Workload;

/// Everything under which a load may write: so that leftovers of another run are known as such.
pub const ROOT: &str = "/etcd-doctor-bench/";

/// Share of the quota that a load may fill the database to.
pub const QUOTA_SHARE: f64 = 0.6;

/// What is asked of `--check-perf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckPerf {
    /// One class.
    Class(Class),
    /// The highest class that passes.
    Highest,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What to do.
    pub workload: Workload,
    /// The official check instead of a workload.
    pub check_perf: Option<CheckPerf>,
    /// Requests at once.
    pub clients: u64,
    /// Connections that they share.
    pub connections: u64,
    /// Who gets the load.
    pub target: Target,
    /// How long.
    pub time: Duration,
    /// How many requests at most.
    pub total: Option<u64>,
    /// Requests a second; without it, as fast as clients can.
    pub rate: Option<f64>,
    /// How the rate changes.
    pub shape: Shape,
    /// Before anything is recorded.
    pub warm_up: Duration,
    /// Keys that are written over and over.
    pub keys: u64,
    /// Bytes of a key, its prefix included.
    pub key_size: usize,
    /// Bytes of a value.
    pub values: ValueSize,
    /// Whether reads may be answered by any member itself.
    pub serializable: bool,
    /// Keys in a page.
    pub page: i64,
    /// Whether keys get leases.
    pub leased: bool,
    /// Seconds to live of the first lease.
    pub lease_ttl: i64,
    /// Whether a cluster with foreign keys may be loaded.
    pub production: bool,
    /// Most bytes that the database may grow by; by default by what is at stake.
    pub max_growth: Option<u64>,
    /// Longest wait for one answer.
    pub limit: Duration,
    /// Part of the prefix that is this run's alone.
    pub run: String,
}

/// On a cluster that holds nothing but benches.
const GROWTH_SCRATCH: u64 = 1 << 30;
/// On a cluster that somebody needs: what a load adds stays in the file until it is defragmented.
const GROWTH_PRODUCTION: u64 = 128 << 20;

impl Plan {
    /// The prefix of all keys.
    pub fn prefix(&self) -> String {
        format!("{ROOT}{}/", self.run)
    }

    /// Bytes that the database may grow by: the flag or the default, and never beyond 60 % of the
    /// quota.
    pub fn allowance(&self, foreign: bool, db_size: u64, quota: u64) -> u64 {
        let wanted = self.max_growth.unwrap_or(if foreign {
            GROWTH_PRODUCTION
        } else {
            GROWTH_SCRATCH
        });
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of the quota"
        )]
        let ceiling = (quota as f64 * QUOTA_SHARE) as u64;
        wanted.min(ceiling.saturating_sub(db_size))
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A small run of puts.
    pub(in crate::bench::etcd) fn plan() -> Plan {
        Plan {
            workload: Workload::Put,
            check_perf: None,
            clients: 4,
            connections: 2,
            target: Target::Leader,
            time: Duration::from_secs(1),
            total: None,
            rate: None,
            shape: Shape::Constant,
            warm_up: Duration::ZERO,
            keys: 100,
            key_size: 64,
            values: ValueSize::Bytes(256),
            serializable: false,
            page: 500,
            leased: true,
            lease_ttl: 60,
            production: false,
            max_growth: None,
            limit: Duration::from_secs(5),
            run: "test".to_owned(),
        }
    }
}
