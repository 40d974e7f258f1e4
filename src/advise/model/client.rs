//! Clients that misbehave: named, and told what to change, before anything is scaled for them.

use std::collections::BTreeMap;

use crate::catalog::controllers::Role;
use crate::catalog::core_clients::{is_core, product};
use crate::catalog::resources::is_events;
use crate::diagnosis::Cause;
use crate::evidence::{Row, SubjectKind, keys};
use crate::rules::load::expensive_lists::OWN_CPU;
use crate::rules::{Confidence, Finding, Severity};

use super::super::advice::{Advice, Remedy, Strength};
use super::super::facts::Facts;
use super::events;
use super::relief::percent;
use super::watch_cache;

/// Share from which on one client is the source of a load.
const ONE_SOURCE: f64 = 0.5;

/// A client that stands out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Culprit {
    /// Its user agent, or what the finding names it by.
    pub(super) name: String,
    /// The user it authenticates as, where the audit log tells.
    pub(super) user: Option<String>,
    /// The resource it asks for most, where known.
    pub(super) resource: Option<String>,
    /// The rule that found it.
    pub(super) rule: &'static str,
    /// Which of the rule's faults it is.
    pub(super) aspect: String,
    /// The finding's sentence.
    pub(super) message: String,
}

/// A row's number of requests, by whatever name its table has for it.
fn requests(row: &Row) -> f64 {
    ["requests", "count", "lists"]
        .iter()
        .find_map(|column| row.get(column))
        .unwrap_or(0.0)
}

/// Product and user out of a finding's `inventory-scraper/1.0 (system:serviceaccount:a:b)`.
fn split_name(name: &str) -> (&str, Option<&str>) {
    match name.split_once(" (") {
        Some((agent, user)) => (agent, user.strip_suffix(')')),
        None => (name, None),
    }
}

/// Every client that a failed finding blames.
pub(super) fn culprits(facts: &Facts<'_>) -> Vec<Culprit> {
    let mut all: Vec<Culprit> = Vec::new();
    for rule in ["client-heavy-lists", "client-hot-loop"] {
        for finding in facts.failed(rule) {
            if finding.subject.kind != SubjectKind::Client || finding.subject.name.is_empty() {
                continue;
            }
            // A client that is only seen to write much is a note.
            if rule == "client-hot-loop" && finding.severity < Severity::Warn {
                continue;
            }
            let (name, user) = split_name(&finding.subject.name);
            if all
                .iter()
                .any(|have| have.name == name && have.rule == rule)
            {
                continue;
            }
            let (audit_user, resource) = audit_of(facts, name, user, rule);
            all.push(Culprit {
                user: user.map(str::to_owned).or(audit_user),
                resource: resource.or_else(|| resource_of(facts, name)),
                name: name.to_owned(),
                rule,
                aspect: finding.aspect.clone(),
                message: without_name(finding, name),
            });
        }
    }
    if let Some(finding) = facts.ails("events-dominate")
        && let Some((name, user, share)) = event_source(facts)
    {
        // Most say so themselves.
        let message = match finding.message.contains(&name) {
            true => finding.message.clone(),
            false => format!("{}; it makes {} of them", finding.message, percent(share)),
        };
        all.push(Culprit {
            name,
            user,
            resource: Some("events".to_owned()),
            rule: "events-dominate",
            aspect: String::new(),
            message,
        });
    }
    // Whom the verdict accuses comes first.
    let leads = facts.leading_rule(Cause::QueryLoad);
    all.sort_by_key(|culprit| leads != Some(culprit.rule));
    all
}

/// Requests in the audit log by product and user, and all of them together.
fn audit(
    facts: &Facts<'_>,
    mut keep: impl FnMut(&Row) -> bool,
) -> (BTreeMap<(String, String), f64>, f64) {
    let mut clients: BTreeMap<(String, String), f64> = BTreeMap::new();
    let mut total = 0.0;
    for (_, table) in facts.all(&keys::LOGS_AUDIT_CLIENTS) {
        for row in table.rows.iter().chain(&table.other) {
            if !keep(row) {
                continue;
            }
            let n = requests(row);
            total += n;
            let agent = product(row.get_text("user_agent").unwrap_or_default());
            let user = row.get_text("user").unwrap_or_default();
            if !agent.is_empty() || !user.is_empty() {
                *clients
                    .entry((agent.to_owned(), user.to_owned()))
                    .or_default() += n;
            }
        }
    }
    (clients, total)
}

/// User and main resource of a product or user, from the audit log: what it asks for most, or of
/// one that is blamed for whole lists, what those take longest for. Several users may run one product.
fn audit_of(
    facts: &Facts<'_>,
    name: &str,
    user: Option<&str>,
    rule: &str,
) -> (Option<String>, Option<String>) {
    let mut resources: BTreeMap<String, f64> = BTreeMap::new();
    let (clients, _) = audit(facts, |row| {
        let named = product(row.get_text("user_agent").unwrap_or_default()) == name
            || row.get_text("user") == Some(name);
        let mine = named && (user.is_none() || row.get_text("user") == user);
        if mine && let Some(resource) = row.get_text("resource") {
            let weight = match rule {
                "client-heavy-lists" => whole_lists(row),
                _ => requests(row),
            };
            if weight > 0.0 {
                *resources.entry(resource.to_owned()).or_default() += weight;
            }
        }
        mine
    });
    let user = most(clients)
        .map(|((_, user), _)| user)
        .filter(|user| !user.is_empty());
    (user, most(resources).map(|(resource, _)| resource))
}

/// What a row's lists without limit and resource version took, in seconds; a millisecond each where
/// no time is told.
fn whole_lists(row: &Row) -> f64 {
    let whole = row.get("unlimited").unwrap_or(0.0);
    let asked = requests(row).max(whole).max(1.0);
    let part = || row.get("total_secs").unwrap_or(0.0) * whole / asked;
    let secs = row.get("unlimited_secs").unwrap_or_else(part);
    secs.max(whole / 1e3)
}

/// Requests that a user has under way at once on average, by the audit log: rate times latency.
pub(super) fn at_once(facts: &Facts<'_>, user: &str) -> Option<f64> {
    let key = &keys::LOGS_AUDIT_CLIENTS;
    let mut most: Option<f64> = None;
    for (subject, table) in facts.all(key) {
        let Some(secs) = facts.covered_secs(key, &subject).filter(|secs| *secs > 0.0) else {
            continue;
        };
        let rows = table.rows.iter();
        let own = rows.filter(|row| row.get_text("user") == Some(user));
        // Without a time of each row there is no sum.
        let took: Option<f64> = own.map(|row| row.get("total_secs")).sum();
        if let Some(took) = took.filter(|took| *took > 0.0) {
            most = Some(most.unwrap_or(0.0).max(took / secs));
        }
    }
    most
}

/// The finding's sentence without the client's name, with which most begin: advice tells it itself.
fn without_name(finding: &Finding, name: &str) -> String {
    let message = &finding.message;
    // A whole user agent, or one with its user, of which the name is the beginning.
    let agent = message.split_once(": ");
    let agent = agent.filter(|(agent, _)| product(agent) == name);
    let begun = || message.strip_prefix(&finding.subject.name);
    let rest = agent.map(|(_, rest)| rest).or_else(begun);
    rest.unwrap_or(message).trim_start().to_owned()
}

fn resource_of(facts: &Facts<'_>, name: &str) -> Option<String> {
    let logged = facts.all(&keys::LOGS_REQUESTS_CLIENTS);
    let logged = logged
        .iter()
        .find_map(|(_, table)| table.row(name)?.get_text("resource").map(str::to_owned));
    logged.or_else(|| {
        let mut resources: BTreeMap<String, f64> = BTreeMap::new();
        for (_, table) in facts.all(&keys::LOGS_TRACES) {
            for row in &table.rows {
                let agent = product(row.get_text("user_agent").unwrap_or_default());
                if agent == name
                    && let Some(resource) = row.get_text("resource")
                {
                    *resources.entry(resource.to_owned()).or_default() += requests(row);
                }
            }
        }
        most(resources).map(|(resource, _)| resource)
    })
}

fn most<K: Ord>(counts: BTreeMap<K, f64>) -> Option<(K, f64)> {
    counts.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))
}

/// Who makes most of the events, where one client does.
fn event_source(facts: &Facts<'_>) -> Option<(String, Option<String>, f64)> {
    let (clients, all) = audit(facts, |row| {
        let resource = row.get_text("resource").unwrap_or_default();
        let verb = row.get_text("verb").unwrap_or_default();
        is_events(resource) && matches!(verb, "create" | "patch" | "update")
    });
    let ((agent, user), count) = most(clients)?;
    let share = count / all;
    (all > 0.0 && share >= ONE_SOURCE).then(|| {
        let name = either(agent, &user);
        (name, Some(user).filter(|user| !user.is_empty()), share)
    })
}

/// What a client is called: by its product, else by its user.
fn either(agent: String, user: &str) -> String {
    match agent.is_empty() {
        true => user.to_owned(),
        false => agent,
    }
}

/// The client that sends most of all requests, where one does that is no part of Kubernetes.
pub(super) fn loudest(facts: &Facts<'_>) -> Option<(String, String, f64)> {
    let (clients, all) = audit(facts, |_| true);
    let ((agent, user), count) = most(clients)?;
    let share = count / all;
    (all > 0.0 && share >= ONE_SOURCE && !is_core(&agent, &user))
        .then(|| (either(agent, &user), user, share))
}

/// An id part out of a client's name.
pub(in super::super) fn slug(name: &str) -> String {
    let text: String = name
        .chars()
        .map(|c| match c.is_ascii_alphanumeric() {
            true => c.to_ascii_lowercase(),
            false => '-',
        })
        .collect();
    let mut out = String::new();
    for part in text.split('-').filter(|part| !part.is_empty()) {
        if !out.is_empty() {
            out.push('-');
        }
        out.push_str(part);
        if out.len() >= 40 {
            break;
        }
    }
    out
}

/// What each misbehaving client should change.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    let mut all = Vec::new();
    for culprit in culprits(facts) {
        all.push(match culprit.rule {
            "client-heavy-lists" => lists(facts, &culprit),
            "client-hot-loop" => hot_loop::advise(facts, &culprit),
            _ => event_flood(&culprit),
        });
    }
    all.extend(unnamed_lists(facts, &all));
    if facts.ails("events-dominate").is_some() && facts.has_cause(Cause::QueryLoad) {
        all.push(events::rate_limit(facts));
        all.extend(events::ttl(facts));
    }
    all.extend(retries(facts));
    all.extend(back_off(facts));
    if super::webhook::fills(facts)
        && let Some(webhook) = facts.ails("webhook-slow")
    {
        // Its requests are held up by the webhook, and come again for that.
        for advice in &mut all {
            advice.strength = Strength::Candidate;
            advice.why = format!("{}; but {}: that comes first", advice.why, webhook.message);
        }
    }
    if let Some(cause) = facts.first_cause() {
        // A client that asks much is worth a word; it is not what is broken.
        for advice in &mut all {
            advice.strength = Strength::Candidate;
            advice.why = format!("{}; but {}: that comes first", advice.why, cause.headline());
        }
    }
    all
}

/// A client that fills kube-apiserver and goes on after 429.
fn back_off(facts: &Facts<'_>) -> Option<Advice> {
    let finding = facts
        .ails("apf-rejections")
        .filter(|_| facts.has_cause(Cause::ApiserverSaturation))?;
    let (name, user, share) = loudest(facts)?;
    let culprit = Culprit {
        message: format!(
            "it sends {} of all requests in the audit log, while {}",
            percent(share),
            finding.message
        ),
        name,
        user: Some(user).filter(|user| !user.is_empty()),
        resource: None,
        rule: "apf-rejections",
        aspect: String::new(),
    };
    Some(Advice {
        now: Some("asks again and again".to_owned()),
        proposed: "watch instead of asking, fewer requests at once, and wait as long as \
                   Retry-After says after a 429"
            .to_owned(),
        why: format!("{}: {}", who(&culprit), culprit.message),
        effect: "the seats it holds are free for the others".to_owned(),
        risk: "it sees changes as they come, not when it asks".to_owned(),
        undo: "roll the client back to its former version".to_owned(),
        verify: "`apiserver_flowcontrol_rejected_requests_total` stops growing".to_owned(),
        source: "Kubernetes docs, API Priority and Fairness: a 429 carries Retry-After".to_owned(),
        ..for_client(&culprit, "client-back-off", "requests at once")
    })
}

fn who(culprit: &Culprit) -> String {
    match &culprit.user {
        Some(user) if *user != culprit.name => format!("`{}` (user {user})", culprit.name),
        _ => format!("`{}`", culprit.name),
    }
}

fn for_client(culprit: &Culprit, id: &str, setting: &str) -> Advice {
    let mut advice = Advice::new(
        format!("{id}-{}", slug(&culprit.name)),
        Remedy::Client,
        format!("client {}", culprit.name),
        setting,
    );
    if let Some(user) = &culprit.user {
        advice = advice.detail("user", user);
    }
    advice.finding_ids = vec![culprit.rule.to_owned()];
    advice.confidence = Confidence::High;
    advice
}

fn lists(facts: &Facts<'_>, culprit: &Culprit) -> Advice {
    let what = culprit.resource.as_deref().unwrap_or("objects");
    let mut advice = cached_lists(culprit, what);
    let off = watch_cache::is_off(facts);
    if off || is_uncached(what) {
        advice.proposed = format!(
            "watch {what} through an informer; where a list must be, page it with `limit=500` and `continue`"
        );
        advice.effect = format!(
            "its lists come in small pages and no longer read every object of {what} out of etcd at once"
        );
        advice.risk = "a paged list is consistent but takes several calls".to_owned();
        advice.source = if off { watch_cache::SOURCE } else { UNCACHED }.to_owned();
        return advice;
    }
    match watch_cache::answers(facts, what) {
        Some(why) => watch_cache::answered(advice, what, &why),
        None => advice,
    }
}

fn cached_lists(culprit: &Culprit, what: &str) -> Advice {
    Advice {
        now: Some(format!("whole lists of {what}, again and again")),
        proposed: format!(
            "watch {what} through an informer; where a list must be, ask with `resourceVersion=0` \
             or page it with `limit=500` and `continue`"
        ),
        why: format!("{}: {}", who(culprit), culprit.message),
        effect: format!(
            "its lists are answered from kube-apiserver's cache or in small pages, and no longer \
             read every object of {what} out of etcd"
        ),
        risk: "a list from the cache may be some seconds old; a paged one is consistent but takes \
               several calls"
            .to_owned(),
        undo: "roll the client back to its former version".to_owned(),
        verify: format!(
            "slow ranges over {what} fall in etcd's log (`etcd-doctor logs --by client`), and the \
             audit log shows `watch` in place of `list` for this client"
        ),
        source:
            "Kubernetes API concepts: resource versions, and retrieving large results in chunks"
                .to_owned(),
        ..for_client(culprit, "client-lists", "list requests")
    }
}

/// Lists are the load, but no client could be named.
fn unnamed_lists(facts: &Facts<'_>, named: &[Advice]) -> Option<Advice> {
    let finding = facts.ails("expensive-lists")?;
    if named.iter().any(|advice| {
        advice
            .finding_ids
            .iter()
            .any(|id| id == "client-heavy-lists")
    }) {
        return None;
    }
    let what = match finding.subject.kind {
        SubjectKind::Resource => finding.subject.name.clone(),
        _ => "the resource".to_owned(),
    };
    // Without a cache there is nothing that a client could ask instead.
    if watch_cache::is_off(facts) && what != WHOLE_KEYSPACE {
        return None;
    }
    let mut advice = Advice::new(
        "client-lists",
        Remedy::Client,
        format!("clients that list {what}"),
        "list requests",
    );
    // What etcd's own counters show is to be done; what slow lines let guess may be.
    advice.strength = match finding.aspect == OWN_CPU {
        true => Strength::Recommended,
        false => Strength::Candidate,
    };
    advice.finding_ids = vec!["expensive-lists".to_owned()];
    let how = match in_pages(facts, &what) {
        // A client that pages reads all of it all the same.
        true => "again and again, page by page and past the cache (without `resourceVersion=0`),",
        false => "without `limit` or `resourceVersion=0`",
    };
    advice.proposed = format!("find who lists {what} {how} and give it an informer");
    advice.why = format!(
        "{}; neither etcd's log nor the rest of the evidence names the client: an audit log at \
         level Metadata does",
        finding.message
    );
    advice.effect = format!("ranges over {what} come from kube-apiserver's cache, not from etcd");
    advice.risk = "none to the cluster; the client's lists may be some seconds old".to_owned();
    advice.undo = "roll the client back to its former version".to_owned();
    advice.verify = format!("slow ranges over {what} fall in etcd's log");
    advice.source =
        "Kubernetes API concepts: resource versions, and retrieving large results in chunks"
            .to_owned();
    if what == WHOLE_KEYSPACE {
        around_the_apiserver(&mut advice, finding);
    } else if is_uncached(&what) {
        advice.proposed = format!(
            "find who lists {what} and let it watch them, or page with `limit=500` and `continue`; \
             `resourceVersion=0` does not help here"
        );
        advice.effect = format!("ranges over {what} are short, and most are not asked at all");
        advice.source = UNCACHED.to_owned();
    }
    Some(advice)
}

/// Whether most of a resource's logged lists were asked for with a limit.
fn in_pages(facts: &Facts<'_>, resource: &str) -> bool {
    let table = facts.summed(&keys::LOGS_REQUESTS);
    let row = table.as_ref().and_then(|table| table.row(resource));
    let of = |column| row.and_then(|row| row.get(column));
    of("unlimited")
        .zip(of("lists"))
        .is_some_and(|(unlimited, lists)| unlimited < lists / 2.0)
}

/// The name that ranges over all keys have.
const WHOLE_KEYSPACE: &str = "(all)";

/// kube-apiserver never reads all keys at once: whoever does reads etcd itself.
fn around_the_apiserver(advice: &mut Advice, finding: &Finding) {
    advice.target = "whoever reads etcd directly".to_owned();
    advice.setting = "ranges over all keys".to_owned();
    advice.proposed = "find the backup, exporter or script that reads all keys of etcd, stop it, and let backups use \
                       `etcdctl snapshot save`"
        .to_owned();
    advice.why = format!(
        "{}; kube-apiserver never reads all keys at once, so this client goes around it: `etcd-doctor logs --by \
         client` shows the addresses that etcd's log names",
        finding.message
    );
    advice.effect =
        "ranges over all keys stop; a snapshot is read from the database file in pieces".to_owned();
    advice.risk = "none to the cluster; whoever needs that data gets it another way".to_owned();
    advice.undo = "start it again".to_owned();
    advice.verify = "slow ranges over (all) stop in etcd's log".to_owned();
    advice.source =
        "etcd operations guide: disaster recovery, snapshotting the keyspace".to_owned();
}

/// Whether kube-apiserver holds no watch cache for a resource.
fn is_uncached(resource: &str) -> bool {
    is_events(resource)
}

const UNCACHED: &str = "kube-apiserver --watch-cache-sizes: none for events by default, so that \
                        `resourceVersion=0` reaches etcd";

fn event_flood(culprit: &Culprit) -> Advice {
    Advice {
        now: Some("writes an event for each occurrence".to_owned()),
        proposed: "stop the source of the events, or record them through client-go's correlator, \
                   which folds repeats into one"
            .to_owned(),
        why: format!("{}: {}", who(culprit), culprit.message),
        effect: "the writes of this source, their leases and the keys kept for the event TTL go \
                 away"
            .to_owned(),
        risk: "repeats show as a count instead of single events".to_owned(),
        undo: "roll the source back to its former version".to_owned(),
        verify: "creations of events in the audit log or `apiserver_request_total` fall to the \
                 rate of pod changes"
            .to_owned(),
        source: "client-go tools/record/events_cache.go: repeats within 10 min are folded, 25 per \
                 source and object, then one in 5 min"
            .to_owned(),
        ..for_client(culprit, "client-events", "events")
    }
}

/// The bucket of the work queue, which no QPS flag reaches.
fn retries(facts: &Facts<'_>) -> Option<Advice> {
    let finding = facts.failed("retries-plateau").next()?;
    let felt = finding.severity >= Severity::Warn
        || facts.ails("client-throttled").is_some()
        || facts.ails("workqueue-backlog").is_some();
    if !felt {
        return None;
    }
    let target = finding.subject.name.clone();
    let own_rate = facts.processes().iter().any(|process| {
        process.names.contains(&target)
            && process
                .known
                .is_some_and(|known| known.knob(Role::QueueQps).is_some())
    });
    if own_rate {
        // Its queue has a rate of its own, and a knob for it: the pinned loop says more.
        return None;
    }
    let mut advice = Advice::new(
        "retries-plateau",
        Remedy::Client,
        target,
        "failing reconciles",
    );
    advice.proposed =
        "find the error behind the retries in the controller's log and mend that".to_owned();
    advice.why = format!(
        "{}; client-go's work queue admits 10 retries a second over all objects, and neither QPS \
         nor burst touches that",
        finding.message
    );
    advice.effect = "the queue's bucket is free again for real changes".to_owned();
    advice.risk = "none".to_owned();
    advice.undo = "nothing to undo".to_owned();
    advice.verify = "`workqueue_retries_total` grows by less than 10 a second".to_owned();
    advice.finding_ids = vec!["retries-plateau".to_owned()];
    advice.source =
        "client-go util/workqueue/default_rate_limiters.go: bucket of 10/s, burst 100".to_owned();
    Some(advice)
}

mod hot_loop;
#[cfg(test)]
mod tests;
