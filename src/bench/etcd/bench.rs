//! The whole of `bench etcd`: find the cluster, refuse or load it, judge, clean up.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustls::ClientConfig;

use crate::formats::bench::etcd as saved;
use crate::target::etcd::Endpoint;

use super::address::Address;
use super::auth::Auth;
use super::check_perf;
use super::check_run::check;
use super::cluster::{Cluster, Target};
use super::grpc::CallError;
use super::guard::{self, Refusal};
use super::keyspace::{Keyspace, ValueSize};
use super::outcome::told;
use super::plan::Plan;
use super::session::{Session, Spec, Surroundings};
use super::shape::Schedule;

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
    let largest = session.db_seen().max(seen.db_size);
    let cleaned = session.clean_up(around).await;
    document.bounds.db_after_bytes = largest.max(cleaned.db_size.unwrap_or(0));
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
    let found = !cluster.chosen(&plan.target).is_empty();
    let wanted: Vec<u64> = match &plan.target {
        Target::Leader if !found => cluster.leader_id().into_iter().collect(),
        Target::Member(name) if !found => cluster
            .listed
            .iter()
            .filter(|m| m.name == *name)
            .map(|m| m.id)
            .collect(),
        Target::All => unreached(&cluster).collect(),
        Target::Leader | Target::Member(_) => Vec::new(),
    };
    let addresses_of = |cluster: &Cluster, id: u64| -> Vec<Address> {
        cluster
            .urls_of(id)
            .iter()
            .filter_map(|url| Endpoint::parse(url, access.tls.is_some()).ok())
            .filter_map(|endpoint| Address::of(&endpoint, access.tls.as_ref()).ok())
            .collect()
    };
    if !wanted.is_empty() {
        for id in wanted {
            addresses.extend(addresses_of(&cluster, id));
        }
        let silent = std::mem::take(&mut cluster.silent);
        cluster = Cluster::find(&addresses, auth).await;
        for entry in silent {
            if cluster.silent.iter().all(|(known, _)| *known != entry.0) {
                cluster.silent.push(entry);
            }
        }
    }
    let spare = unreached(&cluster).flat_map(|id| addresses_of(&cluster, id));
    cluster.spare = spare.collect();
    Ok(cluster)
}

/// Members that the cluster lists and no endpoint led to.
fn unreached(cluster: &Cluster) -> impl Iterator<Item = u64> {
    let reached = |id: u64| cluster.members.iter().any(|m| m.status.member == id);
    cluster
        .listed
        .iter()
        .map(|m| m.id)
        .filter(move |id| !reached(*id))
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
