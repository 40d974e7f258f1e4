//! How controllers behave, with evidence: pinned at a rate, requeued for ever, reconciled without
//! a change, read past the cache, without a leader, on Endpoints, noisy, hungry for CPU.
//!
//! None of this is said of a controller that merely could: each needs a rate that was measured.

use crate::catalog::controllers::{Role, controllers};
use crate::diagnosis::Cause;
use crate::evidence::{Row, keys};
use crate::rules::Confidence;
use crate::units::format_ms;

use super::super::advice::{Advice, Disposition, Remedy, Strength};
use super::super::facts::Facts;
use super::super::process::{Loop, Process};
use super::client::slug;
use super::limits::{number, place};
use super::relief::percent;

/// client-go's bucket for retries.
const RETRY_BUCKET: f64 = 10.0;
/// How close to a limit a rate must be to be held by it.
const NEAR: f64 = 0.06;
/// A rate that moves by less than this share from scrape to scrape is steady.
const STEADY: f64 = 0.15;

/// Everything that is wrong with how controllers behave.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    let mut all = Vec::new();
    for process in facts.processes() {
        let pinned = pinned(facts, process);
        let endless = if pinned.is_empty() {
            endless(process)
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
    all.extend(noise(facts));
    all
}

fn near(value: f64, limit: f64) -> bool {
    limit > 0.0 && (value - limit).abs() <= limit * NEAR
}

/// Whether the rates of a queue stay the same from scrape to scrape; `None` with fewer than two
/// pairs of scrapes.
fn steady(facts: &Facts<'_>, process: &Process, queue: &str, column: &str) -> Option<bool> {
    let rates: Vec<f64> = facts
        .all(&keys::WORKQUEUE_PHASES)
        .iter()
        .filter(|(subject, _)| process.names.contains(&subject.name))
        .flat_map(|(_, table)| table.rows.clone())
        .filter(|row| row.get_text("queue") == Some(queue))
        .filter(|row| row.get("secs").is_some_and(|secs| secs >= 5.0))
        .filter_map(|row| row.get(column))
        .collect();
    if rates.len() < 2 {
        return None;
    }
    let (least, most) = rates.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), rate| {
        (a.min(*rate), b.max(*rate))
    });
    Some(most > 0.0 && (most - least) / most <= STEADY)
}

/// Loops whose rate is that of a bucket, and not that of the changes.
fn pinned(facts: &Facts<'_>, process: &Process) -> Vec<Advice> {
    let mut all = Vec::new();
    // The parts of Kubernetes use their queues as they should; a rate of theirs near ten is chance.
    if process
        .known
        .is_some_and(|known| known.id.starts_with("kube"))
    {
        return all;
    }
    let queue_knob = process.known.and_then(|known| known.knob(Role::QueueQps));
    let set = queue_knob.map(|knob| process.knob(facts, knob));
    let configured = set.as_ref().and_then(super::super::process::Set::number);
    for one in &process.loops {
        let limit = configured.unwrap_or(RETRY_BUCKET);
        let Some((rate, column)) = held(one, limit).or_else(|| held(one, RETRY_BUCKET)) else {
            continue;
        };
        // One number near a limit is chance; a rate that does not move, or a queue that waits
        // behind it, is not.
        let waiting = one.depth >= facts.limit("workqueue-depth");
        match steady(facts, process, &one.name, column) {
            Some(false) => continue,
            // Changes may come ten a second by chance; then nothing waits.
            _ if !waiting && column != "retries_per_sec" => continue,
            None if !waiting => continue,
            _ => {}
        }
        let known_limit = if near(rate, limit) {
            limit
        } else {
            RETRY_BUCKET
        };
        all.extend(match (queue_knob, &set) {
            (Some(_), Some(_)) => queue_rate(facts, process, one, rate, known_limit),
            // The rule about retries has the same to say of retries alone.
            _ if column == "retries_per_sec" => Vec::new(),
            _ => vec![bucket(process, one, rate, known_limit)],
        });
    }
    all
}

/// The rate of a loop that equals a limit, and the column that shows it.
fn held(one: &Loop, limit: f64) -> Option<(f64, &'static str)> {
    for (rate, column) in [
        (one.retries_per_sec, "retries_per_sec"),
        (one.adds_per_sec, "adds_per_sec"),
        (one.per_sec, "adds_per_sec"),
    ] {
        if let Some(rate) = rate.filter(|rate| near(*rate, limit)) {
            return Some((rate, column));
        }
    }
    None
}

/// The queue's own rate, where the controller has a knob for it.
fn queue_rate(
    facts: &Facts<'_>,
    process: &Process,
    one: &Loop,
    rate: f64,
    limit: f64,
) -> Vec<Advice> {
    let Some(known) = process.known.filter(|_| facts.first_cause().is_none()) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    let step = known.steps.first();
    for (role, id) in [
        (Role::QueueQps, "queue-qps"),
        (Role::QueueBurst, "queue-burst"),
    ] {
        let (Some(knob), Some(step)) = (known.knob(role), step) else {
            continue;
        };
        let set = process.knob(facts, knob);
        let value = match role {
            Role::QueueQps => step.qps,
            _ => step.burst,
        };
        // A default that was read would not pin the queue: the program is older than the knob.
        let have = set.number().filter(|_| set.set);
        if have.is_some_and(|have| have >= value) {
            continue;
        }
        let mut advice = Advice::new(
            format!("{}-{id}", process.short()),
            Remedy::ClientLimits,
            &process.name,
            set.name.clone(),
        );
        advice.now = if set.set {
            set.words()
        } else {
            Some(format!(
                "not set; its queue goes at {} a second",
                number(rate)
            ))
        };
        advice.proposed = number(value);
        advice.why = format!(
            "the loop `{}` is pinned: {} a second, whatever there is to do, which is the bucket of \
             its work queue ({} a second){}; the QPS of its client does not touch that bucket",
            one.name,
            number(rate),
            number(limit),
            if one.depth > 0.0 {
                format!(", while up to {:.0} keys wait", one.depth)
            } else {
                String::new()
            }
        );
        advice.effect = format!(
            "up to {} objects a second are taken from the queue{}",
            number(step.qps),
            if one.depth > 0.0 {
                format!(
                    ": a backlog as seen drains in {} instead of {}",
                    format_ms((one.depth / step.qps) * 1e3),
                    format_ms((one.depth / rate.max(0.1)) * 1e3)
                )
            } else {
                String::new()
            }
        );
        advice.confidence = Confidence::High;
        advice.risk = format!(
            "more requests reach kube-apiserver: raise the client's QPS with it, or that binds \
             next. Releases older than the knob ignore it: look that the rate moves{}",
            knob.helm.as_ref().map_or_else(String::new, |helm| format!(
                "; set it as `{helm}` of its chart"
            ))
        );
        advice.undo = format!("set {} back to the value above", set.name);
        advice.verify = format!(
            "`workqueue_adds_total{{name=\"{}\"}}` grows by more than {} a second while keys wait",
            one.name,
            number(limit)
        );
        advice.disposition = if set.set {
            Disposition::Disruptive
        } else {
            Disposition::ShowOnly
        };
        advice.finding_ids = facts.failing(&["retries-plateau", "workqueue-backlog"]);
        advice.source = format!("{}; {}", step.source, known.source);
        all.push(place(advice, process, knob, &set));
    }
    if let Some(client) = client_with_queue(facts, process) {
        all.extend(client);
    }
    all
}

/// The client's own limit, raised with the queue's where it is lower than what the queue asks for.
fn client_with_queue(facts: &Facts<'_>, process: &Process) -> Option<Vec<Advice>> {
    let known = process.known?;
    let step = known.steps.first()?;
    if process.throttled {
        // The model of limits says it with more evidence.
        return None;
    }
    let mut all = Vec::new();
    for (role, id, value) in [
        (Role::Qps, "qps", step.qps),
        (Role::Burst, "burst", step.burst),
    ] {
        let knob = known.knob(role)?;
        let set = process.knob(facts, knob);
        if !set.set || set.number().is_none_or(|have| have >= value) {
            continue;
        }
        let mut advice = Advice::new(
            format!("{}-{id}", process.short()),
            Remedy::ClientLimits,
            &process.name,
            set.name.clone(),
        );
        advice.now = set.words();
        advice.proposed = number(value);
        advice.why = "goes with the queue's rate: each object taken from the queue takes one \
                      request or more, so the lower of the two binds"
            .to_owned();
        advice.effect = format!("{} requests a second for the operator", number(step.qps));
        advice.risk = format!(
            "more requests reach kube-apiserver and etcd{}",
            knob.helm.as_ref().map_or_else(String::new, |helm| format!(
                "; set it as `{helm}` of its chart"
            ))
        );
        advice.undo = format!("set {} back to the value above", set.name);
        advice.verify = "no client-side throttling in its log".to_owned();
        advice.disposition = Disposition::Disruptive;
        advice.source = format!("{}; {}", step.source, known.source);
        all.push(place(advice, process, knob, &set));
    }
    Some(all)
}

/// A bucket that no knob reaches.
fn bucket(process: &Process, one: &Loop, rate: f64, limit: f64) -> Advice {
    let mut advice = Advice::new(
        format!("pinned-{}-{}", process.short(), slug(&one.name)),
        Remedy::Client,
        &process.name,
        format!("rate of the queue `{}`", one.name),
    );
    advice.now = Some(format!("{} a second, always", number(rate)));
    advice.proposed = "enqueue changes with Add and keep AddRateLimited for errors, or give the \
                       queue a limiter of its own"
        .to_owned();
    advice.why = format!(
        "the loop `{}` is pinned at {} a second, the bucket of client-go's work queue ({} a \
         second); QPS and burst of the client do not touch that bucket",
        one.name,
        number(rate),
        number(limit)
    );
    advice.effect = "changes are worked on as they come".to_owned();
    advice.risk = "more requests reach kube-apiserver".to_owned();
    advice.undo = "roll the controller back to its former version".to_owned();
    advice.verify = format!(
        "`workqueue_adds_total{{name=\"{}\"}}` follows the changes",
        one.name
    );
    advice.source =
        "client-go util/workqueue/default_rate_limiters.go: bucket of 10/s, burst 100".to_owned();
    advice
}

/// Reconciles that fail or come again at a steady rate, and the answers that say so.
fn endless(process: &Process) -> Vec<Advice> {
    let all_requests: f64 = process.requests.values().sum();
    let gone = process.sent(&["GET", "PATCH", "PUT", "DELETE"], &["404"]);
    let gone_share = if all_requests > 0.0 {
        gone / all_requests
    } else {
        0.0
    };
    let mut all = Vec::new();
    for one in &process.loops {
        let (Some(rate), Some(again)) = (one.per_sec, one.unfinished) else {
            continue;
        };
        // A wave of conflicts fails too, but it ends; one that is most of the work does not.
        if rate < 1.0 || again < 0.8 {
            continue;
        }
        let mut advice = Advice::new(
            format!("endless-{}-{}", process.short(), slug(&one.name)),
            Remedy::Client,
            &process.name,
            format!("requeue of `{}`", one.name),
        );
        advice.now = Some(format!(
            "{} reconciles a second, {} of them fail or ask to come again",
            number(rate),
            percent(again)
        ));
        advice.proposed = "stop on NotFound, requeue with back-off, and mend the error that its \
                           log repeats"
            .to_owned();
        advice.why = format!(
            "`{}` of {} does not come to an end: {} of {} reconciles a second have to come again{}{}",
            one.name,
            process.name,
            percent(again),
            number(rate),
            if gone_share >= 0.2 {
                format!(
                    ", and {} of its requests are answered 404",
                    percent(gone_share)
                )
            } else {
                String::new()
            },
            process
                .known
                .and_then(|known| known.note.as_deref())
                .map_or_else(String::new, |note| format!("; {note}"))
        );
        advice.effect =
            "the queue is free for real changes, and its log becomes readable".to_owned();
        advice.confidence = if gone_share >= 0.2 {
            Confidence::High
        } else {
            Confidence::Medium
        };
        advice.risk =
            "a back-off that is too long delays real changes: cap it at a few minutes".to_owned();
        advice.undo = "roll the controller back to its former version".to_owned();
        advice.verify = format!(
            "`controller_runtime_reconcile_errors_total{{controller=\"{}\"}}` stands still",
            one.name
        );
        advice.source = "controller-runtime: an error or Requeue puts the object back".to_owned();
        all.push(advice);
    }
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
                || super::client::is_core(text("user_agent"), text("user"))
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

/// A log that is mostly one message.
fn noise(facts: &Facts<'_>) -> Vec<Advice> {
    let mut all = Vec::new();
    let coverage = facts.all(&keys::LOGS_COVERAGE);
    let span = facts
        .all(&keys::LOGS_SPAN)
        .into_iter()
        .map(|(_, secs)| secs)
        .max_by(f64::total_cmp)
        .unwrap_or(0.0);
    for (subject, table) in facts.all(&keys::LOGS_MESSAGES) {
        // Only programs that are known to be controllers: their authors can be told.
        let is_controller = controllers().iter().any(|known| {
            !known.id.starts_with("kube")
                && crate::catalog::controllers::Controller::by_name(&subject.name)
                    .is_some_and(|own| own.id == known.id)
        });
        let lines: f64 = coverage
            .iter()
            .flat_map(|(_, table)| &table.rows)
            .filter(|row| row.key.split(" on ").next() == Some(subject.name.as_str()))
            .filter_map(|row| row.get("lines"))
            .sum();
        let Some((row, records)) = most(&table.rows) else {
            continue;
        };
        let share = records / lines.max(records);
        if !is_controller || share < 0.5 || span < 30.0 || records / span < 5.0 {
            continue;
        }
        let mut advice = Advice::new(
            format!("log-noise-{}", slug(&subject.name)),
            Remedy::Hygiene,
            &subject.name,
            "log messages",
        );
        advice.strength = Strength::Candidate;
        advice.now = Some(format!(
            "{records:.0} lines `{}…`, {} of its log",
            row.key,
            percent(share)
        ));
        advice.proposed = "lower its verbosity, or take this message out".to_owned();
        advice.why = format!(
            "one message is {} of what {} writes, {} a second",
            percent(share),
            subject.name,
            number(records / span)
        );
        advice.effect =
            "the rest of its log can be read, and the disk that holds it writes less".to_owned();
        advice.risk = "none, where the message says nothing".to_owned();
        advice.undo = "set the verbosity back".to_owned();
        advice.verify = format!("`etcd-doctor logs` over the log of {}", subject.name);
        advice.source =
            "half of a log that is one sentence tells nothing by its second half".to_owned();
        all.push(advice);
    }
    all
}

fn most(rows: &[Row]) -> Option<(&Row, f64)> {
    rows.iter()
        .filter_map(|row| Some((row, row.get("records")?)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
}
