//! One cluster, one prefix, and the runs on it: prepare, measure, clean up.

mod clean_up;
mod measure;
mod prepare;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::address::Address;
use super::auth::Auth;
use super::channel::Channel;
use super::cluster::Cluster;
use super::drive::Link;
use super::grpc::CallError;
use super::guard::{self, Early, Reason, Watched};
use super::keyspace::Keyspace;
use super::plan::Plan;
use super::record::Recorder;
use super::server::Delta;
use super::shape::Schedule;
use super::workload::Workload;

pub use clean_up::Cleaned;

/// Processor time of the whole machine, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// In use.
    pub busy: u64,
    /// All.
    pub total: u64,
    /// Processors.
    pub cpus: u32,
}

/// What a run needs of its surroundings; `cli` gives it. Called only while no load is under way.
pub trait Surroundings {
    /// The text of a member's metrics, or why it cannot be had.
    fn metrics(&mut self, address: &Address) -> Result<Vec<u8>, String>;
    /// Processor time of this machine.
    fn machine(&mut self) -> Option<Machine>;
    /// How far the bench is: the part under way and how long it takes.
    fn progress(&mut self, part: &str, time: Duration);
}

/// One run on a session.
pub struct Spec<'a> {
    /// What to do.
    pub workload: Workload,
    /// Requests at once.
    pub clients: u64,
    /// Connections.
    pub connections: u64,
    /// How long.
    pub time: Duration,
    /// How many requests at most.
    pub total: Option<u64>,
    /// When requests begin, in an open loop.
    pub schedule: Option<Schedule>,
    /// Most requests that may wait for a client in an open loop; what comes then is lost.
    pub queue: Option<u64>,
    /// Before anything is recorded.
    pub warm_up: Duration,
    /// Ends it when its outcome stands.
    pub early: Option<&'a Early>,
}

impl std::fmt::Debug for Spec<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spec")
            .field("workload", &self.workload)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

/// What a run came to.
#[derive(Debug)]
pub struct Measured {
    /// Latencies and outcomes.
    pub recorder: Recorder,
    /// From the begin to the last answer.
    pub took: Duration,
    /// Requests that should have begun and did not.
    pub unserved: u64,
    /// Our processor time, own and the kernel's.
    pub own_cpu: Option<(f64, f64)>,
    /// Share of the machine in use.
    pub machine_busy: Option<f64>,
    /// Processors of the machine.
    pub cpus: Option<u32>,
    /// Each member's counters, by its place in the cluster.
    pub servers: Vec<Result<Delta, String>>,
    /// What the watchdog saw.
    pub watched: Watched,
    /// Idle latency of a read.
    pub idle: Option<f64>,
    /// Watchers and the events that reached them.
    pub watch: Option<(u64, u64)>,
    /// Puts of a watch run.
    pub puts: u64,
    /// New log-ins because the token had ended.
    pub renewals: u64,
}

/// A cluster that may be loaded, with everything that will have to be cleaned up.
#[derive(Debug)]
pub struct Session<'a> {
    plan: &'a Plan,
    /// The members.
    pub cluster: Cluster,
    /// Places of the members that get the load.
    pub chosen: Vec<usize>,
    keys: Rc<Keyspace>,
    auth: Auth,
    leases: Rc<Vec<i64>>,
    // Leases of clients of a lease workload.
    extra: Vec<i64>,
    keeper: Option<tokio::task::JoinHandle<()>>,
    links: Vec<Rc<Link>>,
    allowance: u64,
    db_before: u64,
    foreign: bool,
    signal: Arc<AtomicBool>,
    idle: Option<f64>,
    written: bool,
    db_seen: u64,
}

impl<'a> Session<'a> {
    /// Grants the leases; nothing is written yet.
    pub async fn begin(
        plan: &'a Plan,
        cluster: Cluster,
        chosen: Vec<usize>,
        auth: Auth,
        seen: &guard::Seen,
        keys: Keyspace,
        signal: Arc<AtomicBool>,
    ) -> Result<Session<'a>, CallError> {
        let keys = Rc::new(keys);
        let mut session = Session {
            plan,
            cluster,
            chosen,
            keys,
            auth,
            leases: Rc::default(),
            extra: Vec::new(),
            keeper: None,
            links: Vec::new(),
            allowance: plan.allowance(seen.foreign.is_some(), seen.db_size, seen.quota),
            db_before: seen.db_size,
            foreign: seen.foreign.is_some(),
            signal,
            idle: None,
            written: false,
            db_seen: seen.db_size,
        };
        if let Some(mut channel) = session.control() {
            session.idle = guard::idle(&mut channel).await;
        }
        Ok(session)
    }

    /// A connection for everything that is not load: to the leader where it can be reached.
    fn control(&self) -> Option<Channel> {
        let member = self.cluster.leader().or(self.cluster.members.first())?;
        Some(member.channel.clone())
    }

    fn stopped(&self) -> bool {
        self.signal.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Bytes that the database may still grow by.
    pub fn allowance(&self) -> u64 {
        self.allowance
    }

    /// Keys that share a lease; 0 where none has one.
    pub fn keys_per_lease(&self) -> u64 {
        if self.leases.is_empty() {
            0
        } else {
            self.keys.keys_per_lease()
        }
    }

    /// The largest database that was seen.
    pub fn db_seen(&self) -> u64 {
        self.db_seen
    }

    /// Bytes that it has grown by.
    pub fn grown(&self) -> u64 {
        self.db_seen.saturating_sub(self.db_before)
    }
}

/// Whether a run was ended by something that ends the whole bench.
pub fn fatal(watched: &Watched) -> bool {
    matches!(
        watched.reason,
        Some(Reason::Signal | Reason::Hurt(_) | Reason::Full(_))
    )
}
