//! How controllers behave, with evidence: reconciled without a change, read past the cache, without
//! a leader, on Endpoints, hungry for CPU; and, in files of their own, pinned at a rate, requeued for
//! ever, noisy.
//!
//! None of this is said of a controller that merely could: each needs a rate that was measured.

use crate::catalog::controllers::Role;
use crate::catalog::core_clients::is_core;
use crate::diagnosis::Cause;
use crate::evidence::keys;
use crate::rules::Confidence;
use crate::units::format_ms;

use super::super::advice::{Advice, Disposition, Remedy, Strength};
use super::super::facts::Facts;
use super::super::process::Process;
use super::knob::place;
use super::pace::number;
use super::relief::percent;

/// Everything that is wrong with how controllers behave.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    let mut all = Vec::new();
    for process in facts.processes() {
        let pinned = super::pinned::pinned(facts, process);
        let endless = if pinned.is_empty() {
            super::endless::endless(process)
        } else {
            Vec::new()
        };
        if pinned.is_empty() && endless.is_empty() {
            all.extend(unchanged(facts, process));
        }
        all.extend(pinned);
        all.extend(endless);
        all.extend(uncached(process));
        all.extend(leaderless(facts, process));
        all.extend(hungry(facts, process));
    }
    all.extend(endpoints(facts));
    let in_logs = super::endless::endless_in_logs(facts, &all);
    all.extend(in_logs);
    all.extend(super::noise::noise(facts));
    all
}

/// Reconciles without a write: the same objects again and again.
fn unchanged(facts: &Facts<'_>, process: &Process) -> Option<Advice> {
    if process.requests.is_empty() || process.throttled {
        return None;
    }
    let known = process.known?;
    // The parts of Kubernetes look at much and write little by their nature.
    if known.id.starts_with("kube") {
        return None;
    }
    let rate: f64 = process.loops.iter().filter_map(|one| one.per_sec).sum();
    let sent: f64 = process.requests.values().sum();
    let writes = process.sent(&["POST", "PUT", "PATCH", "DELETE"], &["2"]);
    let client = process.client_rate?;
    if sent <= 0.0 || rate < 2.0 {
        return None;
    }
    let writes_per_sec = client * writes / sent;
    let objects = known
        .objects
        .iter()
        .filter_map(|resource| facts.objects(resource))
        .max_by(f64::total_cmp);
    let period = known
        .knob(Role::SyncPeriod)
        .and_then(|knob| process.knob(facts, knob).now)
        .and_then(|now| {
            let text = now.texts().next()?.to_owned();
            crate::units::parse_go_duration(text.as_bytes())
        })
        .map_or(36_000.0, |ns| ns as f64 / 1e9);
    // Ten times what a look at every object each period needs.
    let expected = objects? / period * 10.0;
    if writes_per_sec > rate * 0.05 || rate <= expected.max(2.0) {
        return None;
    }
    let mut advice = Advice::new(
        format!("unchanged-{}", process.short()),
        Remedy::Client,
        &process.name,
        "reconciles without a change",
    );
    advice.strength = Strength::Candidate;
    advice.now = Some(format!(
        "{} reconciles and {} writes a second",
        number(rate),
        number(writes_per_sec)
    ));
    advice.proposed = "compare old and new object in the update handler and drop what did not \
                       change (resourceVersion, generation)"
        .to_owned();
    advice.why = format!(
        "{} reconciles {} objects a second and writes {} a second: a look at each of {:.0} objects \
         per {} would be {} a second",
        process.name,
        number(rate),
        number(writes_per_sec),
        objects.unwrap_or_default(),
        format_ms(period * 1e3),
        number(expected / 10.0)
    );
    advice.effect = "its queue holds changes only".to_owned();
    advice.confidence = Confidence::Medium;
    advice.risk =
        "a predicate that drops too much misses a change until the next resync".to_owned();
    advice.undo = "roll the controller back to its former version".to_owned();
    advice.verify = "reconciles a second fall towards the rate of changes".to_owned();
    advice.source = "kubernetes sample-controller and controller-runtime predicates".to_owned();
    Some(advice)
}

/// Reads that go to kube-apiserver in each reconcile.
fn uncached(process: &Process) -> Option<Advice> {
    let known = process.known?;
    if known.id.starts_with("kube") {
        return None;
    }
    let sent: f64 = process.requests.values().sum();
    let reads = process.sent(&["GET"], &[]);
    let rate: f64 = process.loops.iter().filter_map(|one| one.per_sec).sum();
    let per_sec = process.client_rate? * reads / sent;
    if sent <= 0.0 || rate <= 0.0 || per_sec < 5.0 || per_sec / rate < 0.8 || reads / sent < 0.5 {
        return None;
    }
    let mut advice = Advice::new(
        format!("uncached-{}", process.short()),
        Remedy::Client,
        &process.name,
        "reads in each reconcile",
    );
    advice.strength = Strength::Candidate;
    advice.now = Some(format!(
        "{} reads a second, {} in each reconcile",
        number(per_sec),
        number(per_sec / rate)
    ));
    advice.proposed =
        "read through the informer's cache (lister, the manager's client) instead of \
                       the API"
            .to_owned();
    advice.why = format!(
        "{} of the requests of {} are reads, {} in each reconcile: its cache would answer those \
         for nothing, and each counts against its QPS",
        percent(reads / sent),
        process.name,
        number(per_sec / rate)
    );
    advice.effect = "a reconcile of an unchanged object sends no request".to_owned();
    advice.risk =
        "the cache may be some milliseconds old, and holds the objects in memory".to_owned();
    advice.undo = "roll the controller back to its former version".to_owned();
    advice.verify =
        "`rest_client_requests_total{method=\"GET\"}` of it stands almost still".to_owned();
    advice.source = "controller-runtime: the manager's client reads from the cache".to_owned();
    Some(advice)
}

/// Several replicas that all work, for want of a leader election.
fn leaderless(facts: &Facts<'_>, process: &Process) -> Option<Advice> {
    let known = process.known?;
    let knob = known.knob(Role::LeaderElection)?;
    let replicas = process.workload.as_ref()?.replicas?;
    let set = process.knob(facts, knob);
    let off = set
        .now
        .as_ref()?
        .texts()
        .any(|text| matches!(text, "false" | "0" | "False" | ""));
    // A flag without a value is on.
    if replicas < 2.0 || !off || (set.set && set.now.as_ref()?.texts().all(str::is_empty)) {
        return None;
    }
    let mut advice = Advice::new(
        format!("{}-leader-election", process.short()),
        Remedy::Client,
        &process.name,
        set.name.clone(),
    );
    advice.now = set.words();
    advice.proposed = "true".to_owned();
    advice.why = format!(
        "{replicas:.0} replicas of {} run without a leader election: each of them reconciles every \
         object, and their writes meet as conflicts",
        known.title
    );
    advice.effect = format!(
        "one of {replicas:.0} works and the others stand by: its requests fall to {}",
        percent(1.0 / replicas)
    );
    advice.confidence = Confidence::High;
    advice.risk = format!(
        "the lease is renewed every few seconds, and a stall of etcd that is longer than the \
         renew deadline costs the lead{}",
        knob.helm.as_ref().map_or_else(String::new, |helm| format!(
            "; set it as `{helm}` of its chart"
        ))
    );
    advice.undo = format!("set {} back", set.name);
    advice.verify = "one pod's log says that it leads, and its conflicts (409) stop".to_owned();
    advice.disposition = if set.set {
        Disposition::Disruptive
    } else {
        Disposition::ShowOnly
    };
    advice.source.clone_from(&known.source);
    Some(place(advice, process, knob, &set))
}

/// A manager that burns CPU for few reconciles.
fn hungry(facts: &Facts<'_>, process: &Process) -> Option<Advice> {
    let known = process.known?;
    if known.id.starts_with("kube") {
        return None;
    }
    let each = |process: &Process| -> Option<f64> {
        let rate: f64 = process.loops.iter().filter_map(|one| one.per_sec).sum();
        (rate > 0.0).then_some(process.cpu? / rate)
    };
    let (cpu, own) = (process.cpu?, each(process)?);
    let others: Vec<f64> = facts
        .processes()
        .iter()
        .filter(|other| other.name != process.name)
        .filter(|other| {
            other
                .known
                .is_some_and(|known| !known.id.starts_with("kube"))
        })
        .filter_map(each)
        .collect();
    let typical = others.iter().copied().min_by(f64::total_cmp);
    // A fifth of a CPU second is some hundred milliseconds of work: no object takes that to compare.
    let far = typical.is_none_or(|typical| own >= typical * 3.0);
    if cpu < 0.5 || own < 0.2 || !far {
        return None;
    }
    let mut advice = Advice::new(
        format!("cpu-{}", process.short()),
        Remedy::Client,
        &process.name,
        "CPU of a reconcile",
    );
    advice.now = Some(format!(
        "{} cores, {} CPU seconds a reconcile",
        number(cpu),
        number(own)
    ));
    advice.proposed = "take a CPU profile (`/debug/pprof/profile`) and cache what it makes anew \
                       each time; look whether a newer release has done so"
        .to_owned();
    advice.why = format!(
        "{} takes {} CPU seconds for each reconcile{}{}; more workers would only take more",
        process.name,
        number(own),
        typical.map_or_else(String::new, |typical| format!(
            ", another manager here {}",
            number(typical)
        )),
        known
            .note
            .as_deref()
            .map_or_else(String::new, |note| format!("; {note}"))
    );
    advice.effect = "reconciles become as fast as their requests".to_owned();
    advice.confidence = Confidence::Medium;
    advice.risk = "profiling costs a little CPU itself".to_owned();
    advice.undo = "nothing to undo".to_owned();
    advice.verify = "`process_cpu_seconds_total` of it over its reconciles".to_owned();
    advice.source = "kubernetes-sigs/cluster-api 8602: keys made anew in each reconcile".to_owned();
    Some(advice)
}

/// Clients outside Kubernetes that still live on Endpoints.
fn endpoints(facts: &Facts<'_>) -> Option<Advice> {
    if !facts.has_cause(Cause::QueryLoad) && !facts.has_cause(Cause::ApiserverSaturation) {
        return None;
    }
    let mut clients: Vec<String> = Vec::new();
    let mut count = 0.0;
    for (_, table) in facts.all(&keys::LOGS_AUDIT_CLIENTS) {
        for row in &table.rows {
            let text = |column: &str| row.get_text(column).unwrap_or_default();
            let n = row.get("requests").unwrap_or(0.0);
            if text("resource") != "endpoints"
                || !matches!(text("verb"), "watch" | "list" | "get")
                || is_core(text("user_agent"), text("user"))
                || n < 10.0
            {
                continue;
            }
            count += n;
            let name = text("user_agent").split(' ').next().unwrap_or_default();
            if !name.is_empty() && !clients.iter().any(|have| have == name) {
                clients.push(name.to_owned());
            }
        }
    }
    if clients.is_empty() {
        return None;
    }
    let mut advice = Advice::new(
        "endpoints-to-slices",
        Remedy::Client,
        format!("client {}", clients.join(", ")),
        "endpoints",
    );
    advice.strength = Strength::Candidate;
    advice.now = Some(format!("{count:.0} requests for endpoints"));
    advice.proposed = "watch EndpointSlices instead of Endpoints".to_owned();
    advice.why = format!(
        "{} asked for endpoints {count:.0} times: one Endpoints object holds every address of a \
         service, and each change of one sends all of it to every watcher; a slice holds a hundred",
        clients.join(", ")
    );
    advice.effect = "a change of one address moves a slice and not the whole list; services with \
                     one replica gain little"
        .to_owned();
    advice.risk = "the client must know discovery.k8s.io/v1".to_owned();
    advice.undo = "roll the client back to its former version".to_owned();
    advice.verify = "the audit log shows endpointslices in place of endpoints".to_owned();
    advice.source =
        "KEP-752: 20 000 endpoints on 5000 nodes send 1 TB with slices, 200 TB without".to_owned();
    Some(advice)
}
