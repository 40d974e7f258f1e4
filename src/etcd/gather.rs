//! Asks the members: status twice, lists, reads, and hashes when wanted. Writes nothing.
//!
//! Status and member list are answered by the member alone, without its leader and without rights,
//! so a cluster without a quorum can be looked at. Linearizable reads wait for the leader and make
//! no raft entry. A log-in is a raft entry of etcd's own making; it happens only with `--user`,
//! and only where a leader is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use etcd_client::{GetOptions, ResponseHeader};
use tokio::task::JoinSet;

use super::connect::{Connection, Dialer, runtime, within};
use super::model::{Hash, Listed, Member, Model, Reads, Sample};
use super::plan::Plan;
use super::roster::{add_listed, add_reached, assign, label, lists_address, sort, sorted};
use super::trouble::{Trouble, TroubleKind};
use crate::target::etcd::Endpoint;

/// The key that `etcdctl endpoint health` reads; it need not exist.
const KEY: &str = "health";
/// Longest time that all reads of one kind take on one member.
const READS_LIMIT: Duration = Duration::from_secs(10);

/// Asks everything in the plan, until `deadline` or a signal. What was learnt by then is kept.
///
/// An error means that nothing could be asked at all: credentials that cannot be used.
pub fn gather(plan: &Plan, deadline: Duration, cancel: &AtomicBool) -> Result<Model, Trouble> {
    gather_telling(plan, deadline, cancel, |_| {})
}

/// Like [`gather`]; `found` is told where members answer as soon as that is known, so that their
/// metrics can be read over the same window.
pub fn gather_telling(
    plan: &Plan,
    deadline: Duration,
    cancel: &AtomicBool,
    found: impl FnOnce(Vec<Endpoint>),
) -> Result<Model, Trouble> {
    let dialer = Dialer::new(plan.access.clone(), plan.clock)?;
    let runtime = runtime().map_err(|err| Trouble::of_io(&err))?;
    let asker = Asker {
        plan,
        anonymous: Arc::new(dialer.without_user()),
        dialer: Arc::new(dialer),
        end: Instant::now() + deadline,
        cancel,
    };
    let model = runtime.block_on(asker.run(found));
    // A name that does not resolve may hold a thread.
    runtime.shutdown_background();
    Ok(model)
}

struct Asker<'a> {
    plan: &'a Plan,
    dialer: Arc<Dialer>,
    anonymous: Arc<Dialer>,
    end: Instant,
    cancel: &'a AtomicBool,
}

/// A member that answered, and the way to it.
pub(super) struct Reached {
    pub(super) connection: Connection,
    pub(super) sample: Sample,
}

impl Asker<'_> {
    fn stopped(&self) -> bool {
        self.cancel.load(Ordering::Relaxed) || Instant::now() >= self.end
    }

    /// What the tasks gave by the deadline, or within a second of a signal; late ones are given up.
    async fn join<T: 'static>(&self, mut tasks: JoinSet<T>) -> Vec<T> {
        let mut all = Vec::new();
        let mut end = self.end;
        let mut signalled = false;
        loop {
            if !signalled && self.cancel.load(Ordering::Relaxed) {
                signalled = true;
                end = end.min(Instant::now() + Duration::from_secs(1));
            }
            let left = end.saturating_duration_since(Instant::now());
            let turn = left.min(Duration::from_millis(100));
            match tokio::time::timeout(turn, tasks.join_next()).await {
                Ok(Some(done)) => all.extend(done),
                Ok(None) => return all,
                Err(_) if left.is_zero() => return all,
                Err(_) => {}
            }
        }
    }

    /// The limit of one request.
    fn limit(&self) -> Duration {
        let left = self.end.saturating_duration_since(Instant::now());
        self.plan.access.command_timeout.min(left)
    }

    async fn run(&self, found: impl FnOnce(Vec<Endpoint>)) -> Model {
        let begin = Instant::now();
        let from = self.plan.clock.now();
        let mut model = Model {
            hash_asked: self.plan.hash.is_some(),
            user: self.plan.access.user.as_ref().map(|user| user.name.clone()),
            ..Model::default()
        };
        let mut ways: Vec<Option<Connection>> = Vec::new();
        let first = self.reach(self.plan.endpoints.clone()).await;
        let mut silent = Vec::new();
        for (endpoint, outcome) in first {
            match outcome {
                Ok(reached) => add_reached(&mut model, &mut ways, reached),
                Err(trouble) => silent.push((endpoint, trouble)),
            }
        }
        self.lists(&mut model, &mut ways).await;
        if self.plan.follow && !self.stopped() {
            self.follow(&mut model, &mut ways, &silent).await;
            // A member that was found only now may list others.
            self.lists(&mut model, &mut ways).await;
        }
        assign(&mut model, silent);
        ways.resize_with(model.members.len(), || None);
        found(
            ways.iter()
                .flatten()
                .map(|way| way.endpoint.clone())
                .collect(),
        );
        self.doors(&mut model).await;
        self.reads(&mut model, &ways).await;
        // Where nobody answers there is nothing to look at twice.
        let anybody = ways.iter().any(Option::is_some);
        while anybody && begin.elapsed() < self.plan.window && !self.stopped() {
            let left = self.plan.window.saturating_sub(begin.elapsed());
            tokio::time::sleep(left.min(Duration::from_millis(100))).await;
        }
        // After a signal the second look is still taken: it is cheap and makes the first one tell.
        if Instant::now() < self.end {
            self.again(&mut model, &ways).await;
        }
        if self.plan.hash.is_some() && !self.stopped() {
            self.hashes(&mut model, &ways).await;
        }
        sort(&mut model, &self.plan.known_as);
        model.window = Some((from, self.plan.clock.now()));
        model
    }

    /// Asks endpoints side by side for their status.
    async fn reach(&self, endpoints: Vec<Endpoint>) -> Vec<(Endpoint, Result<Reached, Trouble>)> {
        let mut tasks = JoinSet::new();
        let asked: Vec<(usize, Endpoint)> = endpoints.into_iter().enumerate().collect();
        for (at, endpoint) in asked.clone() {
            let dialer = Arc::clone(&self.anonymous);
            let (limit, clock) = (self.limit(), self.plan.clock);
            tasks.spawn(async move {
                let outcome = reach_one(&dialer, &endpoint, limit, clock).await;
                (at, endpoint, outcome)
            });
        }
        let mut all = self.join(tasks).await;
        // Who has not answered by the deadline is told apart from who was never asked.
        for (at, endpoint) in asked {
            if !all.iter().any(|(done, _, _)| *done == at) {
                let late = Trouble::timed_out("the member", self.plan.access.command_timeout);
                all.push((at, endpoint, Err(late)));
            }
        }
        all.sort_by_key(|(at, _, _)| *at);
        all.into_iter()
            .map(|(_, endpoint, outcome)| (endpoint, outcome))
            .collect()
    }

    /// Member lists of all who answer and have not been asked.
    async fn lists(&self, model: &mut Model, ways: &mut Vec<Option<Connection>>) {
        let mut tasks = JoinSet::new();
        for (at, way) in ways.iter().enumerate() {
            let (Some(way), Some(member)) = (way, model.members.get(at)) else {
                continue;
            };
            // A learner gives no list.
            if model.lists.contains_key(&label(member)) || member.is_learner() {
                continue;
            }
            let (mut client, limit) = (way.client.clone(), self.limit());
            tasks.spawn(async move {
                let answer = within(limit, "the member list", client.member_list()).await;
                (at, answer)
            });
        }
        let mut answers = self.join(tasks).await;
        answers.sort_by_key(|(at, _)| *at);
        for (at, answer) in answers {
            let Some(who) = model.members.get(at).map(label) else {
                continue;
            };
            match answer {
                Ok(list) => {
                    let mut list: Vec<Listed> = list
                        .members()
                        .iter()
                        .map(|member| Listed {
                            id: member.id(),
                            name: member.name().to_owned(),
                            peer_urls: sorted(member.peer_urls()),
                            client_urls: sorted(member.client_urls()),
                            learner: member.is_learner(),
                        })
                        .collect();
                    list.sort();
                    // etcd: server/proxy/grpcproxy/cluster.go lists the proxies, without ids and peers.
                    if list.iter().any(|one| one.peer_urls.is_empty()) {
                        let at = model.members.get(at).and_then(|one| one.endpoint.as_ref());
                        let problem = format!(
                            "{} is an etcd grpc-proxy, which lists proxies in place of members: what is \
                             said here is of the one member that it asked; name the members by \
                             --endpoints",
                            at.map_or_else(String::new, ToString::to_string)
                        );
                        if !model.problems.contains(&problem) {
                            model.problems.push(problem);
                        }
                        continue;
                    }
                    add_listed(model, &list);
                    model.lists.insert(who, list);
                }
                Err(trouble) if trouble.kind == TroubleKind::Unimplemented => {}
                Err(trouble) => model.problems.push(format!(
                    "the member list of {}: {}",
                    model.members.get(at).map_or("", |member| &member.name),
                    trouble.in_full()
                )),
            }
        }
        ways.resize_with(model.members.len(), || None);
    }

    /// Asks members that are listed and were not named, at their client URLs in order.
    async fn follow(
        &self,
        model: &mut Model,
        ways: &mut Vec<Option<Connection>>,
        silent: &[(Endpoint, Trouble)],
    ) {
        let mut tasks = JoinSet::new();
        for (at, member) in model.members.iter().enumerate() {
            let Some(listed) = member.listed.as_ref().filter(|_| !member.answers()) else {
                continue;
            };
            let mut endpoints: Vec<Endpoint> = listed
                .client_urls
                .iter()
                .filter_map(|url| Endpoint::parse(url, self.plan.access.ca.is_some()).ok())
                .collect();
            // An address that was asked already gives the same answer again.
            endpoints.retain(|endpoint| !silent.iter().any(|(asked, _)| asked == endpoint));
            let dialer = Arc::clone(&self.anonymous);
            let (limit, clock) = (self.limit(), self.plan.clock);
            tasks.spawn(async move {
                let mut failed = None;
                for endpoint in endpoints {
                    match reach_one(&dialer, &endpoint, limit, clock).await {
                        Ok(reached) => return (at, Ok(reached)),
                        Err(trouble) => failed = failed.or(Some((endpoint, trouble))),
                    }
                }
                (at, Err(failed))
            });
        }
        let mut done = self.join(tasks).await;
        done.sort_by_key(|(at, _)| *at);
        for (at, outcome) in done {
            match outcome {
                Ok(reached) => {
                    let known = model.members.get(at).and_then(|member| member.id);
                    if known.is_some_and(|id| id != reached.sample.id) {
                        model.problems.push(format!(
                            "{} is listed as the address of {} and belongs to another member ({:x})",
                            reached.connection.endpoint,
                            model.members.get(at).map_or("", |member| &member.name),
                            reached.sample.id
                        ));
                        continue;
                    }
                    add_reached(model, ways, reached);
                }
                Err(Some((endpoint, trouble))) => {
                    if let Some(member) = model.members.get_mut(at) {
                        member.endpoint = Some(endpoint);
                        member.trouble = Some(trouble);
                    }
                }
                Err(None) => {}
            }
        }
        for member in &mut model.members {
            let waited = member
                .listed
                .as_ref()
                .is_some_and(|listed| !listed.client_urls.is_empty());
            let asked = silent
                .iter()
                .any(|(endpoint, _)| lists_address(member, endpoint));
            if waited && !asked && !member.answers() && member.trouble.is_none() {
                let limit = self.plan.access.command_timeout;
                member.trouble = Some(Trouble::timed_out("the member", limit));
            }
        }
    }

    /// What each member shows at the door: its certificate.
    async fn doors(&self, model: &mut Model) {
        let mut tasks = JoinSet::new();
        for (at, member) in model.members.iter().enumerate() {
            let Some(endpoint) = member.endpoint.clone().filter(Endpoint::is_tls) else {
                continue;
            };
            let dialer = Arc::clone(&self.anonymous);
            tasks.spawn(async move { (at, dialer.greet(&endpoint).await.0) });
        }
        for (at, greeting) in self.join(tasks).await {
            if let Some(member) = model.members.get_mut(at) {
                member.greeting = greeting;
            }
        }
    }

    /// Reads of both kinds on every member side by side: they are small, and a slow one holds up
    /// nobody.
    async fn reads(&self, model: &mut Model, ways: &[Option<Connection>]) {
        let mut tasks = JoinSet::new();
        for (at, way) in ways.iter().enumerate() {
            let Some(way) = way.clone() else {
                continue;
            };
            let Some(member) = model.members.get(at) else {
                continue;
            };
            let reading = Reading {
                user: self.plan.access.user.is_some(),
                leader: member.last().is_some_and(|sample| sample.leader != 0),
                learner: member.is_learner(),
                count: self.plan.reads,
                limit: self.limit(),
                end: self.end.min(Instant::now() + READS_LIMIT),
            };
            let dialer = Arc::clone(&self.dialer);
            tasks.spawn(async move {
                let (serializable, linearizable) = reading.read(&dialer, &way).await;
                (at, serializable, linearizable)
            });
        }
        for (at, serializable, linearizable) in self.join(tasks).await {
            if let Some(member) = model.members.get_mut(at) {
                member.serializable = serializable;
                member.linearizable = linearizable;
            }
        }
    }

    /// The second look.
    async fn again(&self, model: &mut Model, ways: &[Option<Connection>]) {
        let mut tasks = JoinSet::new();
        for (at, way) in ways.iter().enumerate() {
            if let Some(way) = way.clone() {
                let (limit, clock) = (self.limit(), self.plan.clock);
                tasks.spawn(async move { (at, status(&way, limit, clock).await) });
            }
        }
        for (at, answer) in self.join(tasks).await {
            let Some(member) = model.members.get_mut(at) else {
                continue;
            };
            match answer {
                Ok(sample) => member.samples.push(sample),
                Err(trouble) => model.problems.push(format!(
                    "{} answered once and then no more: {}",
                    member.name,
                    trouble.in_full()
                )),
            }
        }
    }

    /// Hashes at one revision that every member has.
    async fn hashes(&self, model: &mut Model, ways: &[Option<Connection>]) {
        let most = self.plan.hash.unwrap_or_default();
        let lasts = || model.members.iter().filter_map(Member::last);
        let largest = lasts().filter_map(|sample| sample.db).fold(0.0, f64::max);
        if largest > most as f64 {
            model.hash_refused = Some(format!(
                "a database is larger than {}: hashing walks all of it (--hash-max-size)",
                crate::units::format_bytes(most)
            ));
            return;
        }
        if model.clusters().len() > 1 {
            model.hash_refused = Some(
                "the addresses lead to several clusters, whose data are not to be compared"
                    .to_owned(),
            );
            return;
        }
        let Some(revision) = lasts().map(|sample| sample.revision).min() else {
            return;
        };
        let mut tasks = JoinSet::new();
        for (at, way) in ways.iter().enumerate() {
            let Some(way) = way.clone() else {
                continue;
            };
            let dialer = Arc::clone(&self.dialer);
            let user = self.plan.access.user.is_some();
            // A hash reads the whole database.
            let limit = self.end.saturating_duration_since(Instant::now()).min(
                self.plan
                    .access
                    .command_timeout
                    .max(Duration::from_secs(60)),
            );
            tasks.spawn(async move {
                let answer = async {
                    let mut client = if user {
                        dialer.connect(&way.endpoint).await?.client
                    } else {
                        way.client.clone()
                    };
                    let asked = within(limit, "the hash", client.hash_kv(revision)).await;
                    let (found, revision) = match asked {
                        // Compacted up to the newest revision: of a revision that is named etcd gives
                        // none, of the newest it does, and says which that is.
                        Err(trouble) if trouble.said.contains("has been compacted") => {
                            let newest = within(limit, "the hash", client.hash_kv(0)).await?;
                            let at = newest.header().map_or(revision, ResponseHeader::revision);
                            (newest, at)
                        }
                        asked => (asked?, revision),
                    };
                    Ok(Hash {
                        hash: found.hash(),
                        revision,
                        compacted: found.compact_version(),
                    })
                };
                (at, answer.await)
            });
        }
        for (at, answer) in self.join(tasks).await {
            if let Some(member) = model.members.get_mut(at) {
                member.hash = Some(answer);
            }
        }
    }
}

async fn reach_one(
    dialer: &Dialer,
    endpoint: &Endpoint,
    limit: Duration,
    clock: crate::clock::Clock,
) -> Result<Reached, Trouble> {
    let connection = dialer.connect(endpoint).await?;
    // The first call opens the connection.
    let limit = limit + dialer.access().dial_timeout;
    match status(&connection, limit, clock).await {
        Ok(sample) => Ok(Reached { connection, sample }),
        Err(trouble) => Err(dialer.diagnose(endpoint, trouble).await.0),
    }
}

async fn status(
    connection: &Connection,
    limit: Duration,
    clock: crate::clock::Clock,
) -> Result<Sample, Trouble> {
    let mut client = connection.client.clone();
    let answer = within(limit, "the status", client.status()).await?;
    let header = answer.header();
    // Old servers leave fields that they do not know at 0: that is "not told".
    let told = |value: i64| (value > 0).then_some(value as f64);
    Ok(Sample {
        at: clock.now(),
        id: header.map_or(0, etcd_client::ResponseHeader::member_id),
        cluster_id: header.map_or(0, etcd_client::ResponseHeader::cluster_id),
        revision: header.map_or(0, etcd_client::ResponseHeader::revision),
        version: answer.version().to_owned(),
        storage_version: answer.storage_version().to_owned(),
        db: told(answer.db_size()),
        in_use: told(answer.raft_used_db_size()),
        quota: told(answer.db_size_quota()),
        leader: answer.leader(),
        term: answer.raft_term(),
        index: answer.raft_index(),
        applied: answer.raft_applied_index(),
        learner: answer.is_learner(),
        errors: answer.errors().to_vec(),
    })
}

/// How one member is read.
struct Reading {
    /// Whether a user has to log in.
    user: bool,
    /// Whether the member sees a leader.
    leader: bool,
    /// A learner serves its own data only.
    learner: bool,
    count: u32,
    limit: Duration,
    end: Instant,
}

impl Reading {
    /// Serializable and linearizable reads.
    async fn read(self, dialer: &Dialer, way: &Connection) -> (Reads, Reads) {
        let failed = |error: Trouble| {
            let none = Reads {
                took: Vec::new(),
                error: Some(error),
            };
            (none.clone(), none)
        };
        let mut client = way.client.clone();
        if self.user {
            if !self.leader {
                return failed(Trouble::new(
                    TroubleKind::NoLeader,
                    "the member has no leader, and a log-in needs one",
                ));
            }
            match dialer.connect(&way.endpoint).await {
                Ok(connection) => client = connection.client,
                Err(error) => return failed(error),
            }
        }
        let mut serializable = Reads::default();
        let mut linearizable = Reads::default();
        for (own, reads) in [(true, &mut serializable), (false, &mut linearizable)] {
            if self.learner && !own {
                continue;
            }
            for _ in 0..self.count {
                if Instant::now() >= self.end {
                    break;
                }
                let mut options = GetOptions::new().with_limit(1).with_keys_only();
                if own {
                    options = options.with_serializable();
                }
                let begin = Instant::now();
                match within(self.limit, "a read", client.get(KEY, Some(options))).await {
                    Ok(_) => reads.took.push(begin.elapsed()),
                    Err(trouble) => {
                        reads.error = Some(trouble);
                        break;
                    }
                }
            }
        }
        (serializable, linearizable)
    }
}
