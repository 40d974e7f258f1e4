//! One cluster, one prefix, and the runs on it: prepare, measure, clean up.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::address::Address;
use super::arrivals::Arrivals;
use super::auth::Auth;
use super::channel::Channel;
use super::cluster::{self, Cluster, Member};
use super::drive::{self, Link, Run};
use super::grpc::CallError;
use super::guard::{self, Early, Reason, Watchdog, Watched};
use super::keyspace::{KEYS_AT_ONCE, Keyspace};
use super::leases;
use super::plan::Plan;
use super::record::{Op, Recorder};
use super::server::{Counters, Delta, between};
use super::shape::Schedule;
use super::wire::{self, Range, path};
use super::workload::{Client, Common, Preload, Workload};

/// How long a clean-up waits for a leader: longer than elections take, with etcd's longest
/// recommended timeout of some seconds.
const PATIENCE: Duration = Duration::from_secs(15);

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

    /// A connection to a member that knows a leader now: after a run that ended because one was
    /// lost, the old connection may lead to a dead member.
    async fn living(&self) -> Option<Channel> {
        let until = Instant::now() + PATIENCE;
        loop {
            for member in self
                .cluster
                .leader()
                .iter()
                .copied()
                .chain(&self.cluster.members)
            {
                if let Some(channel) = self.alive(member).await {
                    return Some(channel);
                }
            }
            if Instant::now() >= until {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn alive(&self, member: &Member) -> Option<Channel> {
        let mut channel = member.channel.clone();
        let status = match cluster::ask(&mut channel).await {
            Ok(status) => status,
            Err(_) => {
                channel = Channel::connect(&member.address, &self.auth, cluster::ASK)
                    .await
                    .ok()?;
                cluster::ask(&mut channel).await.ok()?
            }
        };
        (status.leader != 0).then_some(channel)
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

    /// Leases, connections, and the keys that a workload expects.
    async fn prepare(
        &mut self,
        spec: &Spec<'_>,
        clients: &[Rc<RefCell<Client>>],
        around: &mut dyn Surroundings,
    ) -> Result<(), CallError> {
        let writes = spec.workload.write_share() > 0.0 || spec.workload.preloads() != Preload::None;
        if self.plan.leased && writes && self.leases.is_empty() {
            let Some(mut channel) = self.control() else {
                return Err(CallError::Transport("no member answers".to_owned()));
            };
            let granted = leases::grant(&mut channel, &self.keys, self.plan.lease_ttl).await?;
            self.keys.set_leases(granted.clone());
            self.leases = Rc::new(granted);
            let mut channels = vec![channel];
            channels.extend(self.cluster.members.iter().map(|m| m.channel.clone()));
            self.keeper = Some(tokio::task::spawn_local(leases::keep(
                channels,
                Rc::clone(&self.leases),
                self.plan.lease_ttl,
            )));
        }
        while (self.links.len() as u64) < spec.connections {
            let at = self.links.len() % self.chosen.len().max(1);
            let place = self.chosen.get(at).copied().unwrap_or(0);
            let Some(member) = self.cluster.members.get(place) else {
                return Err(CallError::Transport("no member to load".to_owned()));
            };
            let limit = self.plan.limit;
            self.links
                .push(Link::open(&member.address, &self.auth, limit).await?);
        }
        if spec.workload == Workload::KeepAlive {
            let Some(mut channel) = self.control() else {
                return Ok(());
            };
            for (number, client) in clients.iter().enumerate() {
                let ttl = leases::ttl(self.plan.lease_ttl, number as u64 % 60, 1);
                let lease = leases::grant_one(&mut channel, ttl).await?;
                self.extra.push(lease);
                client.borrow_mut().hold(lease);
            }
        }
        if spec.workload.preloads() != Preload::None {
            around.progress("writing the keys", Duration::ZERO);
            self.written = true;
            self.preload(spec.workload.preloads(), clients).await?;
        }
        self.written |= writes;
        Ok(())
    }

    /// Writes the keys that a workload reads or changes, some at once.
    async fn preload(
        &self,
        which: Preload,
        clients: &[Rc<RefCell<Client>>],
    ) -> Result<(), CallError> {
        let at_once = 32.min(clients.len().max(1));
        let step = if which == Preload::Half { 2 } else { 1 };
        let next = Rc::new(Cell::new(0_u64));
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..at_once {
            let Some(link) = self.links.get(number % self.links.len().max(1)) else {
                continue;
            };
            let mut ready = link
                .ready()
                .ok_or_else(|| CallError::Transport("not connected".to_owned()))?;
            let (keys, next, limit) = (Rc::clone(&self.keys), Rc::clone(&next), self.plan.limit);
            let signal = Arc::clone(&self.signal);
            // Half: each client creates every second key of its own, and so learns its revision.
            let own: Vec<_> = clients
                .iter()
                .skip(number)
                .step_by(at_once)
                .cloned()
                .collect();
            tasks.spawn_local(async move {
                let stopped = || signal.load(std::sync::atomic::Ordering::Relaxed);
                if which == Preload::Half {
                    for client in own {
                        let mut slot = 0;
                        loop {
                            let planned = client.borrow_mut().preload(slot);
                            let Some(planned) = planned.filter(|_| !stopped()) else {
                                break;
                            };
                            let answer = tokio::time::timeout(limit, ready.send(&planned))
                                .await
                                .map_err(|_| CallError::Timeout)??;
                            client.borrow_mut().answered(&planned, &answer);
                            slot += step;
                        }
                    }
                    return Ok(());
                }
                let mut key = Vec::new();
                let mut buffer = BytesMut::new();
                while next.get() < keys.count() && !stopped() {
                    let n = next.replace(next.get() + 1);
                    keys.key(n, &mut key);
                    let message = wire::put(&mut buffer, &key, keys.value(n), keys.lease(n));
                    tokio::time::timeout(limit, ready.put(message))
                        .await
                        .map_err(|_| CallError::Timeout)??;
                }
                Ok::<(), CallError>(())
            });
        }
        while let Some(joined) = tasks.join_next().await {
            joined.unwrap_or_else(|err| Err(CallError::Transport(err.to_string())))?;
        }
        Ok(())
    }

    /// Makes one run.
    pub async fn measure(
        &mut self,
        spec: &Spec<'_>,
        around: &mut dyn Surroundings,
    ) -> Result<Measured, CallError> {
        let common = Common {
            keys: Rc::clone(&self.keys),
            workload: spec.workload,
            serializable: self.plan.serializable,
            page: self.plan.page,
            lease_ttl: self.plan.lease_ttl,
            clients: spec.clients,
        };
        let clients: Vec<_> = (0..spec.clients)
            .map(|number| Rc::new(RefCell::new(Client::new(&common, number))))
            .collect();
        self.prepare(spec, &clients, around).await?;
        let links: Vec<_> = self
            .links
            .iter()
            .take(usize::try_from(spec.connections).unwrap_or(usize::MAX))
            .cloned()
            .collect();
        if !spec.warm_up.is_zero() && !self.stopped() {
            around.progress("warming up", spec.warm_up);
            let begin = Instant::now();
            // At the rate of the run's begin: a warm-up must not be the harder part.
            let arrivals = match &spec.schedule {
                Some(schedule) => {
                    let rate = schedule.rate_at(0).max(1.0);
                    let secs = spec.warm_up.as_secs_f64();
                    let steady = Schedule::new(super::shape::Shape::Constant, rate, secs);
                    Arrivals::open(begin, spec.warm_up, steady)
                }
                None => Arrivals::closed(begin, spec.warm_up, None),
            };
            let early: &Early = &|_, _| None;
            self.drive(spec, arrivals, &links, &clients, Some(early), true)
                .await?;
        }
        let before = self.scrape(around);
        let machine_before = around.machine();
        around.progress("measuring", spec.time);
        let cpu_before = crate::sys::own_cpu();
        let begin = Instant::now();
        let arrivals = match spec.schedule {
            Some(schedule) => match spec.queue {
                Some(queue) => Arrivals::limited(begin, spec.time, schedule, queue),
                None => Arrivals::open(begin, spec.time, schedule),
            },
            None => Arrivals::closed(begin, spec.time, spec.total),
        };
        let mut measured = self
            .drive(spec, arrivals, &links, &clients, spec.early, false)
            .await?;
        let cpu_after = crate::sys::own_cpu();
        let machine_after = around.machine();
        for client in &clients {
            self.extra.extend_from_slice(client.borrow().leases());
        }
        self.extra.sort_unstable();
        self.extra.dedup();
        measured.own_cpu = cpu_before
            .zip(cpu_after)
            .map(|(before, after)| (after.0 - before.0, after.1 - before.1));
        if let (Some(before), Some(after)) = (machine_before, machine_after) {
            let total = after.total.saturating_sub(before.total);
            let busy = after.busy.saturating_sub(before.busy);
            measured.machine_busy = (total > 0).then(|| busy as f64 / total as f64);
            measured.cpus = Some(after.cpus);
        }
        measured.idle = self.idle;
        let after = self.scrape(around);
        measured.servers = before
            .into_iter()
            .zip(after)
            .map(|pair| match pair {
                (Ok(before), Ok(after)) => between(&before, &after)
                    .ok_or_else(|| "it was restarted during the run".to_owned()),
                (Err(why), _) | (_, Err(why)) => Err(why),
            })
            .collect();
        Ok(measured)
    }

    fn scrape(&self, around: &mut dyn Surroundings) -> Vec<Result<Counters, String>> {
        self.cluster
            .members
            .iter()
            .map(|member| Ok(Counters::parse(&around.metrics(&member.address)?)))
            .collect()
    }

    /// Runs the clients under the watchdog's eyes.
    async fn drive(
        &mut self,
        spec: &Spec<'_>,
        arrivals: Arrivals,
        links: &[Rc<Link>],
        clients: &[Rc<RefCell<Client>>],
        early: Option<&Early>,
        warm: bool,
    ) -> Result<Measured, CallError> {
        let renewed = self.auth.renewals();
        let recorder = Recorder::new(arrivals.begin(), arrivals.is_open());
        let run = Rc::new(Run {
            arrivals,
            recorder: RefCell::new(recorder),
            limit: self.plan.limit,
        });
        let leader = self.cluster.leader_id().unwrap_or(0);
        let term = self.cluster.members.iter().map(|m| m.status.term).max();
        let dog = Watchdog {
            allowance: self.allowance,
            db_before: self.db_before,
            leader,
            term: term.unwrap_or(0),
            idle: self.idle,
            floor: if self.foreign {
                guard::FLOOR_PRODUCTION
            } else {
                guard::FLOOR_SCRATCH
            },
            signal: Arc::clone(&self.signal),
        };
        let watched = RefCell::new(Watched::default());
        let done = Cell::new(false);
        let mut channels: Vec<Channel> = self.control().into_iter().collect();
        for place in &self.chosen {
            if let Some(member) = self.cluster.members.get(*place)
                && channels.iter().all(|c| c.name() != member.channel.name())
            {
                channels.push(member.channel.clone());
            }
        }
        let mut watch = None;
        {
            let work = async {
                if spec.workload == Workload::Watch {
                    watch = Some(self.watchers(&run, links, clients, warm).await?);
                } else {
                    drive::all(&run, links, clients, spec.workload).await;
                }
                done.set(true);
                Ok::<(), CallError>(())
            };
            let guard = dog.watch(&run, channels, early, &watched, &done);
            let (result, ()) = tokio::join!(work, guard);
            result?;
        }
        self.db_seen = self.db_seen.max(watched.borrow().db_size);
        let now = Instant::now();
        let unserved = run.arrivals.unserved(now);
        let begin = run.arrivals.begin();
        let run = Rc::into_inner(run)
            .ok_or_else(|| CallError::Transport("a client did not end".to_owned()))?;
        let recorder = run.recorder.into_inner();
        let last = recorder.last().unwrap_or(now);
        let puts = recorder.service().get(&Op::Put).map_or(0, |l| l.count());
        Ok(Measured {
            took: last.saturating_duration_since(begin),
            unserved,
            own_cpu: None,
            machine_busy: None,
            cpus: None,
            servers: Vec::new(),
            watched: watched.into_inner(),
            idle: None,
            watch,
            puts,
            renewals: self.auth.renewals() - renewed,
            recorder,
        })
    }

    /// Opens the watches, then writes, then waits for the last events.
    async fn watchers(
        &self,
        run: &Rc<Run>,
        links: &[Rc<Link>],
        clients: &[Rc<RefCell<Client>>],
        warm: bool,
    ) -> Result<(u64, u64), CallError> {
        let (opened, events) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let range = (self.keys.prefix().to_vec(), self.keys.end());
        let mut tasks = Vec::new();
        for number in 0..clients.len() {
            let Some(link) = links.get(number % links.len().max(1)) else {
                continue;
            };
            tasks.push(tokio::task::spawn_local(drive::watch(
                Rc::clone(run),
                Rc::clone(link),
                range.clone(),
                Rc::clone(&opened),
                Rc::clone(&events),
            )));
        }
        let watchers = tasks.len() as u64;
        let until = Instant::now() + self.plan.limit;
        while opened.get() < watchers && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if let (Some(link), Some(client)) = (links.first(), clients.first()) {
            let pacer = {
                let run = Rc::clone(run);
                tokio::task::spawn_local(async move { run.arrivals.pace().await })
            };
            drive::marked_puts(Rc::clone(run), Rc::clone(link), Rc::clone(client)).await;
            pacer.abort();
            pacer.await.ok();
        }
        // What was written last is still on its way; a warm-up need not wait for it.
        let puts = run
            .recorder
            .borrow()
            .service()
            .get(&Op::Put)
            .map_or(0, |l| l.count());
        let patience = if warm {
            Duration::from_millis(200)
        } else {
            Duration::from_secs(3)
        };
        let until = Instant::now() + patience;
        while events.get() < puts * watchers && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for task in tasks {
            task.abort();
            task.await.ok();
        }
        Ok((watchers, events.get()))
    }

    /// Takes away everything that was written: at most a thousand keys at once, with a pause after them
    /// as long as it took, so that others get their turn. Tells how many leases went and how many keys are
    /// left.
    pub async fn clean_up(mut self, around: &mut dyn Surroundings) -> Cleaned {
        let mut cleaned = Cleaned::default();
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
        }
        // The load's own connections go first: nothing of it is to come after the clean-up.
        self.links.clear();
        if !self.written && self.leases.is_empty() && self.extra.is_empty() {
            cleaned.keys_left = Some(0);
            return cleaned;
        }
        around.progress("cleaning up", Duration::ZERO);
        let Some(mut channel) = self.living().await else {
            cleaned.fault = Some("no member with a leader answers".to_owned());
            return cleaned;
        };
        let fault = |cleaned: &mut Cleaned, err: CallError| {
            cleaned.fault.get_or_insert(err.to_string());
        };
        let at_once = usize::try_from(self.keys.leases_at_once()).unwrap_or(1);
        for some in self
            .leases
            .chunks(at_once)
            .chain(self.extra.chunks(at_once))
        {
            let begin = Instant::now();
            for result in leases::revoke_all(&channel, some.to_vec()).await {
                match result {
                    Ok(()) => cleaned.leases_revoked += 1,
                    Err(err) => fault(&mut cleaned, err),
                }
            }
            tokio::time::sleep(begin.elapsed().min(Duration::from_millis(200))).await;
        }
        if self.leases.is_empty()
            && self.written
            && let Err(err) = self.delete(&mut channel).await
        {
            fault(&mut cleaned, err);
        }
        let end = self.keys.end();
        let count = Range {
            key: self.keys.prefix(),
            end: &end,
            count_only: true,
            ..Range::default()
        };
        match guard::range_once(&mut channel, &count).await {
            Ok(answer) => {
                cleaned.keys_left = u64::try_from(wire::ranged(&answer).count).ok();
            }
            Err(err) => fault(&mut cleaned, err),
        }
        cleaned
    }

    /// Deletes keys without leases, a thousand at once.
    async fn delete(&self, channel: &mut Channel) -> Result<(), CallError> {
        let mut buffer = BytesMut::new();
        let (mut key, mut end) = (Vec::new(), Vec::new());
        let mut from = 0;
        while from < self.keys.count() {
            self.keys.key(from, &mut key);
            let next = from + KEYS_AT_ONCE;
            if next < self.keys.count() {
                self.keys.key(next, &mut end);
            } else {
                end = self.keys.end();
            }
            let begin = Instant::now();
            let request = wire::delete_range(&mut buffer, &key, &end);
            channel
                .once(path::DELETE_RANGE, request, Duration::from_secs(30))
                .await?;
            tokio::time::sleep(begin.elapsed().min(Duration::from_millis(200))).await;
            from = next;
        }
        Ok(())
    }
}

/// What a clean-up came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Leases revoked.
    pub leases_revoked: u64,
    /// Keys left under the prefix.
    pub keys_left: Option<u64>,
    /// The first thing that went wrong.
    pub fault: Option<String>,
}

/// Whether a run was ended by something that ends the whole bench.
pub fn fatal(watched: &Watched) -> bool {
    matches!(
        watched.reason,
        Some(Reason::Signal | Reason::Hurt(_) | Reason::Full(_))
    )
}
