//! The whole of `bench etcd`: find the cluster, refuse or load it, judge, clean up.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustls::ClientConfig;

use crate::formats::bench::etcd as saved;
use crate::target::etcd::Endpoint;

use super::auth::Auth;
use super::channel::{Address, CallError};
use super::check_perf::{self, Class};
use super::cluster::{Cluster, Target};
use super::guard::{self, Reason, Refusal};
use super::keyspace::{Keyspace, ValueSize};
use super::limit::{self, Facts, Limit, MemberFacts};
use super::plan::{CheckPerf, Plan};
use super::record::{Recorder, together};
use super::session::{Measured, Session, Spec, Surroundings, fatal};
use super::shape::{Schedule, Shape};
use super::summary::{self, summary};
use super::workload::Workload;

/// With what the cluster is reached.
#[derive(Clone, Debug)]
pub struct Access {
    /// Members' addresses.
    pub endpoints: Vec<Endpoint>,
    /// For those that speak TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// A user of etcd's authentication and the password.
    pub user: Option<(String, String)>,
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No member answered.
    Unreachable {
        /// What was tried.
        target: String,
        /// What the first one said.
        why: String,
    },
    /// The load was not begun.
    Refused(Refusal),
    /// The preparation failed.
    Failed(String),
}

impl From<CallError> for Failure {
    fn from(err: CallError) -> Self {
        Failure::Failed(err.to_string())
    }
}

/// Runs the plan on a runtime of its own.
pub fn run(
    plan: &Plan,
    access: &Access,
    signal: &Arc<AtomicBool>,
    around: &mut dyn Surroundings,
) -> Result<saved::BenchEtcd, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|err| Failure::Failed(err.to_string()))?;
    let local = tokio::task::LocalSet::new();
    let result = local.block_on(&runtime, bench(plan, access, signal, around));
    drop(local);
    // A name that does not resolve may still hold a thread.
    runtime.shutdown_background();
    result
}

async fn bench(
    plan: &Plan,
    access: &Access,
    signal: &Arc<AtomicBool>,
    around: &mut dyn Surroundings,
) -> Result<saved::BenchEtcd, Failure> {
    let auth = Auth::new(access.user.clone());
    let cluster = find(plan, access, &auth).await?;
    let chosen = cluster.chosen(&plan.target);
    if chosen.is_empty() {
        return Err(Failure::Refused(nobody(&plan.target, &cluster)));
    }
    let quotas: Vec<Option<f64>> = cluster
        .members
        .iter()
        .map(|member| {
            let text = around.metrics(&member.address).ok()?;
            super::server::Counters::parse(&text).quota
        })
        .collect();
    let seen = guard::look(&cluster, &quotas).await.map_err(|err| {
        Failure::Refused(Refusal {
            what: format!("cannot see whose keys this cluster holds: {err}"),
            hint: "give a user that may read all keys".to_owned(),
        })
    })?;
    guard::judge(plan, &seen).map_err(Failure::Refused)?;
    let (key_size, values) = if plan.check_perf.is_some() {
        (
            plan.prefix().len() + check_perf::KEY,
            ValueSize::Bytes(check_perf::VALUE),
        )
    } else {
        (plan.key_size, plan.values)
    };
    let keys = Keyspace::new(&plan.prefix(), plan.keys, key_size, values);
    let mut document = head(plan, &cluster, &chosen, &seen, &keys);
    let bytes_per_write = keys.bytes_per_write();
    let mut session =
        Session::begin(plan, cluster, chosen, auth, &seen, keys, Arc::clone(signal)).await?;
    document.bounds.growth_limit_bytes = session.allowance();
    let result = match plan.check_perf {
        None => plain(plan, &mut session, around).await.map(|run| {
            document.runs.push(run);
        }),
        Some(asked) => {
            let checked = check(plan, asked, bytes_per_write, &mut session, around).await;
            checked.map(|(runs, verdict)| {
                document.runs = runs;
                document.check_perf = Some(verdict);
            })
        }
    };
    document.bounds.db_after_bytes = session.db_seen().max(seen.db_size);
    let cleaned = session.clean_up(around).await;
    document.cleanup = saved::Cleanup {
        keys_left: cleaned.keys_left,
        leases_revoked: cleaned.leases_revoked,
        fault: cleaned.fault,
    };
    // What failed in the middle was cleaned up before it is told.
    result?;
    Ok(document)
}

/// The members behind the endpoints, and the leader even where no endpoint leads to it.
async fn find(plan: &Plan, access: &Access, auth: &Auth) -> Result<Cluster, Failure> {
    let mut addresses = Vec::new();
    let mut unusable = Vec::new();
    for endpoint in &access.endpoints {
        match Address::of(endpoint, access.tls.as_ref()) {
            Ok(address) => addresses.push(address),
            Err(why) => unusable.push((endpoint.to_string(), CallError::Transport(why))),
        }
    }
    let mut cluster = Cluster::find(&addresses, auth).await;
    cluster.silent.extend(unusable);
    if cluster.members.is_empty() {
        let (target, why) = cluster.silent.first().map_or_else(
            || ("etcd".to_owned(), "no endpoint is known".to_owned()),
            |(endpoint, err)| (endpoint.clone(), err.to_string()),
        );
        return Err(Failure::Unreachable { target, why });
    }
    let wanted = match &plan.target {
        Target::Leader => cluster.leader_id(),
        Target::Member(name) => cluster
            .listed
            .iter()
            .find(|m| m.name == *name)
            .map(|m| m.id),
        Target::All => None,
    };
    if let Some(id) = wanted
        && cluster.chosen(&plan.target).is_empty()
    {
        let more: Vec<Address> = cluster
            .urls_of(id)
            .iter()
            .filter_map(|url| Endpoint::parse(url, access.tls.is_some()).ok())
            .filter_map(|endpoint| Address::of(&endpoint, access.tls.as_ref()).ok())
            .collect();
        addresses.extend(more);
        let silent = std::mem::take(&mut cluster.silent);
        cluster = Cluster::find(&addresses, auth).await;
        for entry in silent {
            if cluster.silent.iter().all(|(known, _)| *known != entry.0) {
                cluster.silent.push(entry);
            }
        }
    }
    Ok(cluster)
}

fn nobody(target: &Target, cluster: &Cluster) -> Refusal {
    let names: Vec<&str> = cluster.members.iter().map(|m| m.name.as_str()).collect();
    let names = names.join(", ");
    match target {
        Target::Leader => Refusal {
            what: "the leader does not answer at any address that is known".to_owned(),
            hint: format!(
                "name its address by --endpoints, or load what answers ({names}) by --target all"
            ),
        },
        _ => Refusal {
            what: format!("no member that answers is called `{}`", target.name()),
            hint: format!("members that answer: {names}"),
        },
    }
}

fn head(
    plan: &Plan,
    cluster: &Cluster,
    chosen: &[usize],
    seen: &guard::Seen,
    keys: &Keyspace,
) -> saved::BenchEtcd {
    let values = match plan.check_perf {
        Some(_) => check_perf::VALUE as f64,
        None => plan.values.mean(),
    };
    saved::BenchEtcd {
        format: "etcd-doctor/bench-etcd".to_owned(),
        version: 1,
        plan: saved::Plan {
            workload: if plan.check_perf.is_some() {
                "check-perf".to_owned()
            } else {
                plan.workload.name().to_owned()
            },
            target: plan.target.name().to_owned(),
            clients: plan.clients,
            connections: plan.connections,
            keys: plan.keys,
            key_bytes: keys.key_size() as u64,
            value_bytes: values,
            consistency: if plan.serializable {
                "serializable"
            } else {
                "linearizable"
            }
            .to_owned(),
            pacing: if plan.rate.is_some() || plan.check_perf.is_some() {
                "open"
            } else {
                "closed"
            }
            .to_owned(),
            rate: plan.rate,
            shape: plan.shape.name().to_owned(),
            secs: plan.time.as_secs_f64(),
            total: plan.total,
            leased: plan.leased,
            prefix: plan.prefix(),
        },
        members: cluster
            .members
            .iter()
            .enumerate()
            .map(|(at, member)| saved::Member {
                name: member.name.clone(),
                endpoint: member.address.to_string(),
                version: member.status.version.clone(),
                leader: member.status.leader != 0 && member.status.leader == member.status.member,
                loaded: chosen.contains(&at),
            })
            .collect(),
        silent: cluster
            .silent
            .iter()
            .map(|(endpoint, err)| saved::Silent {
                endpoint: endpoint.clone(),
                why: err.to_string(),
            })
            .collect(),
        bounds: saved::Bounds {
            foreign: seen.foreign.clone(),
            leftovers: seen.leftovers,
            db_before_bytes: seen.db_size,
            db_after_bytes: seen.db_size,
            growth_limit_bytes: 0,
            quota_bytes: seen.quota,
            quota_source: seen.quota_source.name().to_owned(),
        },
        runs: Vec::new(),
        check_perf: None,
        cleanup: saved::Cleanup::default(),
    }
}

async fn plain(
    plan: &Plan,
    session: &mut Session<'_>,
    around: &mut dyn Surroundings,
) -> Result<saved::Run, CallError> {
    let schedule = plan
        .rate
        .map(|rate| Schedule::new(plan.shape, rate, plan.time.as_secs_f64()));
    let spec = Spec {
        workload: plan.workload,
        clients: plan.clients,
        connections: plan.connections,
        time: plan.time,
        total: plan.total,
        schedule,
        queue: None,
        warm_up: plan.warm_up,
        early: None,
    };
    let measured = session.measure(&spec, around).await?;
    Ok(told(plan.workload.name(), &spec, &measured, session))
}

/// How long the run that looks for a class takes.
const PROBE: Duration = Duration::from_secs(5);
/// A class that cannot run for this long within the growth limit is not run.
const SHORTEST: Duration = Duration::from_secs(5);

async fn check(
    plan: &Plan,
    asked: CheckPerf,
    bytes_per_write: f64,
    session: &mut Session<'_>,
    around: &mut dyn Surroundings,
) -> Result<(Vec<saved::Run>, saved::CheckPerf), CallError> {
    let mut runs = Vec::new();
    let mut verdict = saved::CheckPerf {
        asked: match asked {
            CheckPerf::Class(class) => class.name.to_owned(),
            CheckPerf::Highest => "highest".to_owned(),
        },
        capacity_per_sec: None,
        highest: None,
        classes: Vec::new(),
    };
    let mut class = match asked {
        CheckPerf::Class(class) => Some(class),
        CheckPerf::Highest => {
            let most = check_perf::CLASSES[check_perf::CLASSES.len() - 1];
            let time = PROBE.min(plan.time);
            // As fast as possible, but no faster than the highest class needs: what is beyond it
            // only fills the database.
            let schedule = Schedule::new(Shape::Constant, f64::from(most.rate), time.as_secs_f64());
            let spec = Spec {
                workload: Workload::Put,
                clients: u64::from(most.clients),
                connections: u64::from(most.clients.min(100)),
                time,
                total: None,
                schedule: Some(schedule),
                queue: None,
                warm_up: Duration::ZERO,
                early: None,
            };
            let measured = session.measure(&spec, around).await?;
            let run = told("probe", &spec, &measured, session);
            let capacity = run.summary.count as f64 / time.as_secs_f64();
            verdict.capacity_per_sec = Some(capacity);
            let over = fatal(&measured.watched);
            runs.push(run);
            (!over).then(|| check_perf::first(capacity))
        }
    };
    while let Some(current) = class.take() {
        let (run, judged, over) =
            one_class(plan, current, bytes_per_write, session, around).await?;
        let passed = judged.verdict == "pass";
        verdict.classes.push(judged);
        runs.push(run);
        if passed {
            verdict.highest = Some(current.name.to_owned());
        } else if asked == CheckPerf::Highest && !over {
            class = check_perf::lower(current);
        }
    }
    Ok((runs, verdict))
}

async fn one_class(
    plan: &Plan,
    class: Class,
    bytes_per_write: f64,
    session: &mut Session<'_>,
    around: &mut dyn Surroundings,
) -> Result<(saved::Run, saved::Class, bool), CallError> {
    let rate = f64::from(class.rate);
    let room = session.allowance().saturating_sub(session.grown()) as f64;
    let fits = Duration::from_secs_f64((room / (rate * bytes_per_write)).min(3600.0));
    let time = plan.time.min(fits.max(SHORTEST));
    let early = move |recorder: &Recorder, elapsed: Duration| {
        check_perf::lost(
            class,
            recorder.answered(),
            recorder.failures(),
            recorder.slowest(),
            elapsed,
            time,
        )
    };
    let spec = Spec {
        workload: Workload::Put,
        clients: u64::from(class.clients),
        connections: u64::from(class.clients),
        time,
        total: None,
        schedule: Some(Schedule::new(Shape::Constant, rate, time.as_secs_f64())),
        queue: Some(u64::from(class.clients)),
        warm_up: Duration::ZERO,
        early: Some(&early),
    };
    let measured = session.measure(&spec, around).await?;
    let mut run = told(
        &format!("check-perf {}", class.name),
        &spec,
        &measured,
        session,
    );
    // The official check counts from the sending.
    let all = together(measured.recorder.service());
    let secs = measured.took.max(Duration::from_millis(1)).as_secs_f64();
    let stats = check_perf::Stats {
        throughput: all.count() as f64 / secs,
        slowest: all.max().unwrap_or(0.0),
        stddev: all.stddev().unwrap_or(0.0),
        errors: measured.recorder.failures(),
    };
    let criteria = check_perf::judge(class, &stats);
    let over = fatal(&measured.watched);
    let verdict = if over {
        "unknown"
    } else if criteria.iter().all(|c| c.pass)
        && measured.watched.reason.is_none()
        && all.count() > 0
    {
        "pass"
    } else {
        "fail"
    };
    let official = time >= check_perf::TIME && measured.watched.reason.is_none();
    if time < plan.time {
        run.doubts.push(format!(
            "{:.0} s instead of {:.0} s: more would have filled the database beyond its bound",
            time.as_secs_f64(),
            plan.time.as_secs_f64()
        ));
    }
    let limited_by = run
        .limits
        .first()
        .map_or_else(String::new, |l| l.limit.clone());
    Ok((
        run,
        saved::Class {
            class: class.name.to_owned(),
            verdict: verdict.to_owned(),
            official,
            criteria: criteria
                .into_iter()
                .map(|c| saved::Criterion {
                    name: c.name.to_owned(),
                    value: c.value,
                    limit: c.limit,
                    pass: c.pass,
                })
                .collect(),
            limited_by,
        },
        over,
    ))
}

/// A run as the result holds it.
fn told(name: &str, spec: &Spec<'_>, measured: &Measured, session: &Session<'_>) -> saved::Run {
    let recorder = &measured.recorder;
    let secs = measured.took.max(Duration::from_millis(1)).as_secs_f64();
    let open = spec.schedule.is_some();
    let mut service = together(recorder.service());
    let mut intended = together(recorder.intended());
    if let Some(events) = recorder.service().get(&super::record::Op::WatchEvent) {
        // What a watch run is about are events; its puts are in the table.
        service = events.clone();
        intended = events.clone();
    }
    let requests = service.count();
    let own = measured.own_cpu.map(|(user, system)| user + system);
    let share = own.map(|own| own / secs);
    let members: Vec<MemberFacts> = session
        .cluster
        .members
        .iter()
        .zip(&measured.servers)
        .map(|(member, delta)| facts_of(member, delta, secs))
        .collect();
    let local = session.chosen.iter().any(|at| {
        session
            .cluster
            .members
            .get(*at)
            .is_some_and(|m| m.address.endpoint.is_loopback())
    });
    let asked = spec.schedule.as_ref().map(|s| {
        s.due(u64::try_from(measured.took.as_nanos()).unwrap_or(u64::MAX))
            .max(1)
    });
    let facts = Facts {
        writes: recorder.service().keys().any(|op| op.writes()),
        reached: asked.map(|asked| recorder.answered() as f64 / asked as f64),
        mean: together(recorder.service()).mean().unwrap_or(0.0),
        clients: spec.clients,
        own_cpu: share,
        machine_busy: measured.machine_busy,
        cpus: measured.cpus,
        local,
        idle_read: measured.idle,
        members,
    };
    let limits = limit::limits(&facts);
    let client_limit = limits.iter().any(|(limit, _)| *limit == Limit::Client);
    let late = recorder.late();
    saved::Run {
        name: name.to_owned(),
        clients: spec.clients,
        connections: spec.connections,
        rate: spec.schedule.as_ref().map(Schedule::peak),
        summary: summary(if open { &intended } else { &service }, secs),
        service: open.then(|| summary(&service, secs)),
        requests: summary::requests(recorder),
        errors: recorder.errors().clone(),
        conflicts: recorder.conflicts(),
        unserved: measured.unserved,
        token_renewals: measured.renewals,
        watch: measured.watch.map(|(watchers, events)| saved::Watch {
            watchers,
            events,
            expected: watchers * measured.puts,
        }),
        slices: summary::slices(recorder, spec.schedule.as_ref(), measured.took),
        client: saved::Client {
            user_secs: measured.own_cpu.map(|(user, _)| user),
            system_secs: measured.own_cpu.map(|(_, system)| system),
            share,
            us_per_request: own
                .filter(|_| requests > 0)
                .map(|own| own * 1e6 / requests as f64),
            machine_busy: measured.machine_busy,
            cpus: measured.cpus,
            limit: client_limit,
            late_p99_ms: open
                .then(|| late.percentile(99.0).map(|s| s * 1e3))
                .flatten(),
        },
        servers: session
            .cluster
            .members
            .iter()
            .zip(&measured.servers)
            .map(|(member, delta)| {
                let leader = member.status.leader == member.status.member;
                match delta {
                    Ok(delta) => summary::server(&member.name, leader, delta, secs),
                    Err(why) => saved::Server {
                        name: member.name.clone(),
                        leader,
                        missing: Some(why.clone()),
                        ..saved::Server::default()
                    },
                }
            })
            .collect(),
        idle_read_ms: measured.idle.map(|s| s * 1e3),
        loaded_read_ms: measured.watched.canary.map(|s| s * 1e3),
        limits: limits
            .into_iter()
            .map(|(limit, why)| saved::Limit {
                limit: limit.name().to_owned(),
                why,
            })
            .collect(),
        ended: measured.watched.reason.as_ref().map(|reason| saved::Ended {
            kind: reason.kind().to_owned(),
            why: reason.words().to_owned(),
        }),
        doubts: doubts(measured, requests, local, session.keys_per_lease()),
    }
}

fn facts_of(
    member: &super::cluster::Member,
    delta: &Result<super::server::Delta, String>,
    secs: f64,
) -> MemberFacts {
    let mut facts = MemberFacts {
        name: member.name.clone(),
        leader: member.status.leader == member.status.member,
        ..MemberFacts::default()
    };
    if let Ok(delta) = delta {
        facts.fsync_mean = delta.fsync.as_ref().map(|f| f.mean);
        facts.fsync_duty = delta.fsync.as_ref().map(|f| f.sum / secs);
        facts.commit_duty = delta.commit.as_ref().map(|c| c.sum / secs);
        facts.peer_mean = delta.peer.as_ref().map(|p| p.mean);
        facts.cores = delta.cpu_secs.map(|cpu| cpu / secs);
    }
    facts
}

/// A p99 rests on so many requests (95 % of such samples bracket it); a p99.9 on ten times that.
const ENOUGH_P99: u64 = 1000;

/// Keys on one lease from which on they show in the latency of a put where etcd goes through them:
/// measured, 0.6 µs a key (3.5.1, AMD EPYC) beside 50 µs for all else of a put.
const SHOWS: u64 = 10;

fn doubts(measured: &Measured, requests: u64, local: bool, keys_per_lease: u64) -> Vec<String> {
    let mut doubts = Vec::new();
    if keys_per_lease > SHOWS {
        doubts.push(format!(
            "{keys_per_lease} keys share a lease, and before 3.4.27 and 3.5.10 etcd goes through them at \
             each write (etcd #15993); take fewer --keys, or --no-lease on a scratch cluster"
        ));
    }
    if requests == 0 {
        doubts.push("no request was answered".to_owned());
    } else if requests < ENOUGH_P99 {
        doubts.push(format!(
            "{requests} requests are too few for a p99; take {ENOUGH_P99} or more"
        ));
    } else if requests < 10 * ENOUGH_P99 {
        doubts.push(format!(
            "{requests} requests are too few for a p99.9; take {} or more",
            10 * ENOUGH_P99
        ));
    }
    if measured.took < Duration::from_secs(5)
        && !matches!(measured.watched.reason, Some(Reason::Decided(_)))
    {
        doubts.push(format!(
            "{:.1} s is short: a database commits, compacts and snapshots in longer turns",
            measured.took.as_secs_f64()
        ));
    }
    if local && measured.machine_busy.is_some_and(|busy| busy > 0.9) {
        doubts.push(
            "etcd and this program share the processors of this machine; from another machine \
             it may be faster"
                .to_owned(),
        );
    }
    doubts
}
