//! QPS, burst and workers of clients that hold themselves back.
//!
//! Two bounds decide what a controller gets done: its QPS over the requests of one reconcile, and
//! its workers over the seconds of one reconcile. Raising one while the other binds does nothing.

use std::collections::BTreeMap;

use crate::diagnosis::Cause;
use crate::evidence::{SubjectKind, keys};
use crate::rules::Confidence;
use crate::units::format_ms;

use super::super::advice::{Advice, Disposition, Remedy, Strength};
use super::super::facts::Facts;
use super::controllers::{Controller, QUEUES, Where, controller};

/// Published pairs of QPS and burst for one client, with the cluster size they were published
/// for. A proposal is always one of them.
const STEPS: &[(f64, f64, u64, &str)] = &[
    (20.0, 30.0, 0, "kube-controller-manager default 20/30"),
    (50.0, 100.0, 0, "component-base default 50/100"),
    (
        100.0,
        100.0,
        0,
        "100/100: Kubernetes' own 5000-node scale tests, and Huawei CCE from 50 nodes on",
    ),
    (200.0, 200.0, 1000, "200/200: Huawei CCE above 1000 nodes"),
    (500.0, 500.0, 5000, "500/500: kOps' 5000-node scale test"),
];

/// How much one component waits for its own limiter.
#[derive(Clone, Debug, Default)]
struct Wait {
    /// Longest wait seen.
    max_ms: f64,
    /// Throttling lines in its log, a floor.
    lines: f64,
    /// The request that waits most often.
    request: Option<String>,
    /// 99th percentile of the wait from its metrics.
    p99_ms: Option<(f64, f64)>,
}

/// Advice for every client that holds itself back.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    let throttled = facts.ails("client-throttled").is_some()
        || facts.input.diagnosis.verdict.cause == Cause::ClientThrottling;
    // Faster clients on a sick etcd make it sicker: its remedy comes first.
    if facts.first_cause().is_some() {
        return Vec::new();
    }
    let waits = if throttled {
        waits(facts)
    } else {
        BTreeMap::new()
    };
    let mut all = Vec::new();
    for (component, wait) in &waits {
        all.extend(raise(facts, component, wait));
    }
    all.extend(workers(facts, &waits));
    all
}

fn waits(facts: &Facts<'_>) -> BTreeMap<String, Wait> {
    let mut waits: BTreeMap<String, Wait> = BTreeMap::new();
    let mut most: BTreeMap<String, f64> = BTreeMap::new();
    for (subject, table) in facts.all(&keys::LOGS_THROTTLING) {
        for row in &table.rows {
            let component = row
                .get_text("component")
                .map_or_else(|| subject.name.clone(), str::to_owned);
            let wait = waits.entry(component.clone()).or_default();
            let lines = row.get("lines").unwrap_or(0.0);
            wait.lines += lines;
            wait.max_ms = wait.max_ms.max(row.get("max_delay_ms").unwrap_or(0.0));
            let best = most.entry(component).or_default();
            if lines > *best {
                *best = lines;
                wait.request = match (row.get_text("verb"), row.get_text("resource")) {
                    (Some(verb), Some(resource)) => Some(format!("{verb} {resource}")),
                    (verb, resource) => verb.or(resource).map(str::to_owned),
                };
            }
        }
    }
    for (subject, histogram) in facts.all(&keys::CLIENT_LIMITER_WAIT) {
        let component = match subject.kind {
            SubjectKind::Member => "etcd".to_owned(),
            _ => subject.name.clone(),
        };
        let Some((low, high)) = histogram.bracket(0.99) else {
            continue;
        };
        let wait = waits.entry(component).or_default();
        let longer = wait.p99_ms.is_none_or(|(have, _)| low > have);
        if longer {
            wait.p99_ms = Some((low, high));
        }
        // The slowest hundredth waits at least that long.
        wait.max_ms = wait.max_ms.max(histogram.max.unwrap_or(low));
    }
    let (line_limit, line_wait) = (facts.limit("throttled-lines"), facts.limit("client-wait"));
    let p99_limit = facts.limit("limiter-wait-p99");
    waits.retain(|_, wait| {
        let logged = wait.lines >= line_limit && wait.max_ms >= line_wait;
        let measured = wait.p99_ms.is_some_and(|(_, high)| high > p99_limit);
        logged || measured
    });
    waits
}

fn number(n: f64) -> String {
    if n.fract() == 0.0 {
        format!("{n:.0}")
    } else {
        n.to_string()
    }
}

/// The smallest published step that lets the longest wait fall below a second, within what was
/// published for the size of the cluster.
fn step(
    qps: f64,
    burst: f64,
    backlog: f64,
    nodes: Option<u64>,
    target_secs: f64,
) -> Option<&'static (f64, f64, u64, &'static str)> {
    let mut best = None;
    for step in STEPS {
        let higher = step.0 > qps || (step.0 >= qps && step.1 > burst);
        let published = step.2 == 0 || nodes.is_some_and(|nodes| nodes >= step.2);
        if !higher || !published {
            continue;
        }
        best = Some(step);
        if backlog / step.0 <= target_secs {
            break;
        }
    }
    best
}

fn raise(facts: &Facts<'_>, component: &str, wait: &Wait) -> Vec<Advice> {
    let Some(known) = controller(component) else {
        return vec![unknown_client(component, wait)];
    };
    let (qps_name, burst_name) = match known.at {
        Where::Flags { qps, burst } | Where::Env { qps, burst } => (qps, burst),
        Where::SchedulerConfig => ("clientConnection.qps", "clientConnection.burst"),
        Where::KubeletConfig => ("kubeAPIQPS", "kubeAPIBurst"),
    };
    let version = facts.version(component).or_else(|| {
        (known.at == Where::KubeletConfig)
            .then(|| facts.kubernetes())
            .flatten()
    });
    let default = known.default_for(version.map(|v| v.oldest), version.map(|v| v.newest));
    let text = |value: Option<f64>| value.map(number);
    let qps_now = facts.setting(component, qps_name, text(default.map(|d| d.0)).as_deref());
    let burst_now = facts.setting(component, burst_name, text(default.map(|d| d.1)).as_deref());
    let known_now = qps_now.is_some();
    let qps = qps_now
        .as_ref()
        .and_then(|current| current.least())
        .or(default.map(|d| d.0));
    let burst = burst_now
        .as_ref()
        .and_then(|current| current.least())
        .or(default.map(|d| d.1));
    let (Some(qps), Some(burst)) = (qps, burst) else {
        return vec![unknown_client(component, wait)];
    };
    if qps < 0.0 {
        // A negative QPS is no limit: the wait comes from elsewhere.
        return Vec::new();
    }
    let nodes = facts.nodes().map(|nodes| nodes.count);
    // A request that waits t seconds for a bucket filled q times a second stands behind t·q others.
    let backlog = wait.max_ms / 1e3 * qps;
    let target = facts.limit("client-wait") / 1e3;
    let Some((new_qps, new_burst, size, source)) = step(qps, burst, backlog, nodes, target) else {
        return Vec::new();
    };
    let new_burst = new_burst.max(burst);
    let (known_version, strength) = (
        version.is_some(),
        strength(known, known_now, nodes, *new_qps),
    );
    let why = why(facts, component, wait, known, qps, burst, backlog);
    let effect = format!(
        "{} requests a second for {}; a backlog as seen ({backlog:.0} requests) drains in {} \
         instead of {}. If its work queues stay deep after that, its workers bind: see its \
         concurrency next",
        number(*new_qps),
        if known.per_loop {
            "each of its loops"
        } else {
            "it"
        },
        format_ms(backlog / new_qps * 1e3),
        format_ms(wait.max_ms),
    );
    let mut risk = format!(
        "more requests reach kube-apiserver and etcd: at 50 ms each, {} a second hold about {:.0} \
         seats",
        number(*new_qps),
        (new_qps * 0.05).ceil()
    );
    if facts.has_cause(Cause::QueryLoad) {
        risk.push_str("; etcd is under load now, so do this after the remedies above");
    }
    if matches!(known.at, Where::KubeletConfig)
        || component.starts_with("cilium") && component != "cilium-operator"
    {
        risk.push_str("; it runs on every node, so the load grows with their number");
    }
    if *size == 0 && nodes.is_none() {
        risk.push_str("; the number of nodes is not known, so no higher step is proposed");
    }
    risk.push('.');
    let disposition = match known.at {
        Where::Flags { .. } if component == "kube-controller-manager" => Disposition::Disruptive,
        Where::Flags { .. } | Where::Env { .. } if known_version && known_now => {
            Disposition::Disruptive
        }
        _ => Disposition::ShowOnly,
    };
    let make = |id: String, setting: &str, now: Option<String>, value: f64| Advice {
        strength,
        now,
        proposed: number(value),
        why: why.clone(),
        effect: effect.clone(),
        confidence: if wait.p99_ms.is_some() {
            Confidence::High
        } else {
            Confidence::Medium
        },
        risk: risk.clone(),
        undo: undo(setting, known_now),
        verify: "no more client-side throttling in its log, and \
                 `rest_client_rate_limiter_duration_seconds` near zero, while etcd's request \
                 latency stays where it is"
            .to_owned(),
        disposition,
        finding_ids: facts.failing(&["client-throttled", "client-qps-low", "workqueue-backlog"]),
        source: format!("{source}; {}", known.source),
        ..Advice::new(id, Remedy::ClientLimits, component, setting)
    };
    let short = short_name(component);
    let first = make(
        format!("{short}-qps"),
        qps_name,
        qps_now.map(|c| c.words()),
        *new_qps,
    );
    let mut second = make(
        format!("{short}-burst"),
        burst_name,
        burst_now.map(|c| c.words()),
        new_burst,
    );
    let mut all = Vec::new();
    if *new_qps > qps {
        second.why =
            format!("goes with {qps_name}: a burst below it would hold back every wave of changes");
        all.push(first);
    }
    if new_burst > burst {
        all.push(second);
    }
    all
}

/// `kcm` and `scheduler` for the two everybody has, else the component's own name.
fn short_name(component: &str) -> &str {
    match component {
        "kube-controller-manager" => "kcm",
        "kube-scheduler" => "scheduler",
        other => other,
    }
}

fn undo(setting: &str, known: bool) -> String {
    if known {
        format!("set {setting} back to the value above; the component restarts within seconds")
    } else {
        format!("take {setting} out again; the component restarts within seconds")
    }
}

fn strength(known: &Controller, known_now: bool, nodes: Option<u64>, qps: f64) -> Strength {
    let each_node = matches!(known.at, Where::KubeletConfig) || known.names.contains(&"cilium");
    if !known_now || each_node || (nodes.is_none() && qps > 100.0) {
        Strength::Candidate
    } else {
        Strength::Recommended
    }
}

fn why(
    facts: &Facts<'_>,
    component: &str,
    wait: &Wait,
    known: &Controller,
    qps: f64,
    burst: f64,
    backlog: f64,
) -> String {
    let mut parts = Vec::new();
    if let Some((low, high)) = wait.p99_ms {
        parts.push(if high.is_finite() {
            format!(
                "{component} waits for its own limiter: p99 between {} and {}",
                format_ms(low),
                format_ms(high)
            )
        } else {
            format!(
                "{component} waits for its own limiter: p99 above {}",
                format_ms(low)
            )
        });
    }
    if wait.lines > 0.0 {
        parts.push(format!(
            "its log has at least {:.0} lines of client-side throttling, the longest wait {}{}",
            wait.lines,
            format_ms(wait.max_ms),
            match &wait.request {
                Some(request) => format!(", mostly {request}"),
                None => String::new(),
            }
        ));
    }
    parts.push(format!(
        "at {} requests a second that is a backlog of {backlog:.0}",
        number(qps)
    ));
    if known.per_loop {
        parts.push(format!(
            "the limit {}/{} holds for each of its loops by itself",
            number(qps),
            number(burst)
        ));
    }
    if component == "kube-controller-manager" {
        parts.push(format!(
            "a ReplicaSet's pod takes two requests (pod and event), so {} a second is {:.0} pods \
             a second",
            number(qps),
            (qps / 2.0).max(0.0)
        ));
    }
    if let Some(slow) = facts.etcd_slow() {
        parts.push(format!("note that {slow}"));
    } else {
        parts.push("etcd and kube-apiserver are not what it waits for".to_owned());
    }
    parts.join("; ")
}

fn unknown_client(component: &str, wait: &Wait) -> Advice {
    let mut advice = Advice::new(
        format!("{}-qps", super::client::slug(component)),
        Remedy::ClientLimits,
        component,
        "client QPS and burst",
    );
    advice.strength = Strength::Candidate;
    advice.proposed = "raise its QPS and burst by its own flags, environment or chart values, one \
                       step at a time"
        .to_owned();
    advice.why = format!(
        "{component} throttles itself, the longest wait {}; client-go allows 5 requests a second \
         with burst 10 unless the program sets more. What this program sets, or in which version \
         it runs, is not known",
        format_ms(wait.max_ms)
    );
    advice.effect = "its requests no longer wait in the client".to_owned();
    advice.risk = "more requests reach kube-apiserver and etcd; from controller-runtime 0.21 on \
                   there is no client limit at all unless the program sets one, and then a \
                   priority level is the knob"
        .to_owned();
    advice.undo = "set the former values again".to_owned();
    advice.verify = "no more client-side throttling in its log".to_owned();
    advice.finding_ids = vec!["client-throttled".to_owned()];
    advice.source = "client-go rest/config.go; controller-runtime pkg/client/config".to_owned();
    advice
}

/// Workers of kube-controller-manager's loops, where they bind and not the QPS.
fn workers(facts: &Facts<'_>, waits: &BTreeMap<String, Wait>) -> Vec<Advice> {
    let component = "kube-controller-manager";
    if facts.ails("workqueue-backlog").is_none() && !waits.contains_key(component) {
        return Vec::new();
    }
    let deep = facts.limit("workqueue-depth");
    let throttled = waits.contains_key(component);
    let latency = request_secs(facts);
    let mut all = Vec::new();
    for (subject, table) in facts.all(&keys::WORKQUEUES) {
        if subject.name != component && subject.kind != SubjectKind::Queue {
            continue;
        }
        for row in &table.rows {
            let depth = row.get("max_depth").unwrap_or(0.0);
            let Some((queue, flag, default, since)) =
                QUEUES.iter().find(|(queue, ..)| *queue == row.key)
            else {
                continue;
            };
            if depth < deep {
                continue;
            }
            let old = facts
                .kubernetes()
                .is_some_and(|span| span.oldest.minor < *since);
            if old || (*since > 0 && facts.kubernetes().is_none()) {
                continue;
            }
            let now = facts.setting(component, flag, Some(&default.to_string()));
            let have = now
                .as_ref()
                .and_then(|current| current.least())
                .unwrap_or(f64::from(*default));
            let reconcile = match (row.get("work_secs"), row.get("adds")) {
                (Some(secs), Some(adds)) if adds > 0.0 && secs > 0.0 => Some(secs / adds),
                _ => None,
            };
            let Some(argument) = binds(have, throttled, reconcile, latency) else {
                continue;
            };
            all.push(concurrency(
                facts,
                queue,
                flag,
                depth,
                have,
                now.map(|c| c.words()),
                throttled,
                &argument,
            ));
        }
    }
    all
}

/// Mean seconds of a mutating call as kube-apiserver measured it.
fn request_secs(facts: &Facts<'_>) -> Option<f64> {
    let table = facts.summed(&keys::APISERVER_REQUESTS)?;
    let (mut secs, mut count) = (0.0, 0.0);
    for row in &table.rows {
        let verb = row.key.split(' ').next().unwrap_or_default();
        if matches!(
            verb,
            "POST" | "PUT" | "PATCH" | "DELETE" | "CREATE" | "UPDATE"
        ) {
            secs += row.get("total_secs").unwrap_or(0.0);
            count += row.get("requests").unwrap_or(0.0);
        }
    }
    (count > 0.0 && secs > 0.0).then(|| secs / count)
}

/// Why workers bind, or `None` when they do not, or when it cannot be told.
fn binds(
    workers: f64,
    throttled: bool,
    reconcile: Option<f64>,
    latency: Option<f64>,
) -> Option<String> {
    if throttled {
        // While the limiter binds, a reconcile's time is mostly waiting for it. What binds after
        // a raise: at 100 requests a second, as many workers as requests are in flight.
        let latency = latency?;
        let needed = 100.0 * latency;
        (needed > workers).then(|| {
            format!(
                "at 100 requests a second and {} a call, {needed:.0} calls are in flight, but only \
                 {workers:.0} workers make them",
                format_ms(latency * 1e3)
            )
        })
    } else {
        Some(match reconcile {
            Some(secs) => format!(
                "{workers:.0} workers at {} a reconcile finish {:.1} a second, and no limiter \
                 holds them",
                format_ms(secs * 1e3),
                workers / secs
            ),
            None => format!("no limiter holds its {workers:.0} workers"),
        })
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of one sentence")]
fn concurrency(
    facts: &Facts<'_>,
    queue: &str,
    flag: &str,
    depth: f64,
    have: f64,
    now: Option<String>,
    throttled: bool,
    argument: &str,
) -> Advice {
    let mut advice = Advice::new(
        format!("kcm-{flag}"),
        Remedy::ClientLimits,
        "kube-controller-manager",
        flag,
    );
    advice.strength = if throttled || now.is_none() {
        Strength::Candidate
    } else {
        Strength::Recommended
    };
    advice.now = now;
    advice.proposed = number(have * 2.0);
    advice.why = format!(
        "the queue `{queue}` held up to {depth:.0} keys; {argument}{}",
        if throttled {
            "; raise QPS first and see"
        } else {
            ""
        }
    );
    advice.effect = "twice as many keys are worked on at once".to_owned();
    advice.risk = "more requests at once reach kube-apiserver, and more memory is used; double \
                   once, look, and go on only if the queue stays deep"
        .to_owned();
    advice.undo = format!("set {flag} back; kube-controller-manager restarts within seconds");
    advice.verify =
        format!("`workqueue_depth{{name=\"{queue}\"}}` falls to a few keys between waves");
    advice.disposition = Disposition::Disruptive;
    advice.finding_ids = facts.failing(&["workqueue-backlog", "client-throttled"]);
    advice.source = "kube-controller-manager reference for the default; doubling is a step, not a \
                     published value"
        .to_owned();
    advice
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_published_pairs_within_the_size() {
        let qps =
            |qps, burst, backlog, nodes| step(qps, burst, backlog, nodes, 1.0).map(|s| (s.0, s.1));
        // 5/5 with the longest wait 3.9 s: the default drains it.
        assert_eq!(qps(5.0, 5.0, 19.5, None), Some((20.0, 30.0)));
        assert_eq!(qps(20.0, 30.0, 632.0, Some(4100)), Some((200.0, 200.0)));
        assert_eq!(qps(20.0, 30.0, 632.0, None), Some((100.0, 100.0)));
        assert_eq!(qps(20.0, 30.0, 632.0, Some(300)), Some((100.0, 100.0)));
        assert_eq!(qps(200.0, 200.0, 9999.0, Some(4100)), None);
        assert_eq!(qps(200.0, 200.0, 9999.0, Some(5000)), Some((500.0, 500.0)));
        assert!(STEPS.is_sorted_by(|a, b| a.0 < b.0 && a.2 <= b.2));
    }
}
