//! One run as the result holds it: what was measured, what limited it, and what speaks against it.

use std::time::Duration;

use crate::formats::bench::etcd as saved;

use super::guard::Reason;
use super::limit::{self, Facts, Limit, MemberFacts};
use super::record::together;
use super::session::{Measured, Session, Spec};
use super::shape::Schedule;
use super::summary::{self, summary};

/// A run as the result holds it.
pub(super) fn told(
    name: &str,
    spec: &Spec<'_>,
    measured: &Measured,
    session: &Session<'_>,
) -> saved::Run {
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
        let secs = delta.window(secs);
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
