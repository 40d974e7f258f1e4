//! Sharding by resource: `--etcd-servers-overrides`, events first, leases at size, nothing else.
//!
//! What the flag can and cannot do was read in k8s.io/apiserver `pkg/server/options/etcd.go` and
//! `pkg/server/storage/storage_factory.go`: only types compiled into kube-apiserver, one set of
//! credentials and one prefix for all servers, one storage per resource.

use std::collections::BTreeSet;

use crate::catalog::releases::Version;
use crate::diagnosis::{Cause, LOADED};
use crate::rules::Confidence;

use super::super::advice::{Advice, Bound, Disposition, Relief, Remedy, Strength};
use super::super::facts::Facts;
use super::client::culprits;
use super::overrides::{Overrides, SETTING};
use super::pace::number;
use super::places::{EVENTS_PORT, LEASES_PORT, Places, event_ttl, key_prefix};
use super::relief::{Load, percent, weight, words, writes_per_sec};
use super::unfinished;

/// Failed findings that say that etcd itself feels the load.
const PRESSED: &[&str] = &[
    "client-heavy-lists",
    "etcd-requests-slow",
    "events-dominate",
    "expensive-lists",
    "heartbeat-late",
    "proposals-failing",
    "read-index-slow",
    "slow-requests",
];

/// From here on lists with `resourceVersion=""` come from the watch cache, if every etcd
/// endpoint can report progress (k8s.io/apiserver `feature_support_checker.go`).
const CONSISTENT_READS: Version = Version::minor(1, 31);
/// From here on an override etcd is part of `/livez` (k8s.io/apiserver 1.34).
const OVERRIDE_HEALTH: Version = Version::minor(1, 34);

/// Built-in resources whose data cannot be lost or split without a copy, as etcd names them.
const CORE: &[&str] = &[
    "configmaps",
    "controllerrevisions",
    "cronjobs",
    "daemonsets",
    "deployments",
    "endpoints",
    "endpointslices",
    "ingresses",
    "jobs",
    "limitranges",
    "namespaces",
    "nodes",
    "persistentvolumeclaims",
    "persistentvolumes",
    "poddisruptionbudgets",
    "pods",
    "podtemplates",
    "replicasets",
    "replicationcontrollers",
    "resourcequotas",
    "rolebindings",
    "roles",
    "secrets",
    "serviceaccounts",
    "services",
    "statefulsets",
    "clusterroles",
    "clusterrolebindings",
    "csinodes",
    "volumeattachments",
    "storageclasses",
    "priorityclasses",
    "networkpolicies",
    "horizontalpodautoscalers",
    "leases",
    "events",
    "csistoragecapacities",
    "runtimeclasses",
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
    "apiservices",
    "certificatesigningrequests",
    "flowschemas",
    "prioritylevelconfigurations",
    "ingressclasses",
    "customresourcedefinitions",
    "csidrivers",
];

/// What kind of resource it is for the flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Events,
    Leases,
    BuiltIn,
    /// Custom resources are stored by apiextensions, which knows main etcd only.
    Custom,
}

fn kind(resource: &str) -> Kind {
    let (name, group) = resource.split_once('.').unwrap_or((resource, ""));
    let built_in_group = group.is_empty()
        || !group.contains('.')
        || (group.ends_with(".k8s.io") && !group.contains(".x-k8s.io") && CORE.contains(&name));
    match name {
        "events" if built_in_group => Kind::Events,
        "leases" if built_in_group => Kind::Leases,
        // The etcd path of a built-in resource often carries no group; a bare name that no
        // release ever compiled in is a custom one.
        _ if built_in_group && CORE.contains(&name) => Kind::BuiltIn,
        _ => Kind::Custom,
    }
}

/// Shard advice, and the arguments against shards that come to mind.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    let pressed = match facts.failing(PRESSED) {
        none if none.is_empty() => facts.grounds(&[], Cause::QueryLoad),
        pressed => pressed,
    };
    let felt = PRESSED.iter().any(|rule| facts.ails(rule).is_some());
    let verdict = facts.input.diagnosis.verdict.cause;
    let elsewhere = matches!(
        verdict,
        Cause::ApiserverSaturation | Cause::ClientThrottling | Cause::None
    );
    // Slow requests alone say nothing about whose they are.
    let asked = LOADED.iter().any(|rule| facts.ails(rule).is_some());
    let unknown = verdict == Cause::Unknown && !asked;
    if !facts.has_cause(Cause::QueryLoad) && (elsewhere || !felt || unknown) {
        return Vec::new();
    }
    if facts
        .setting("kube-apiserver", "etcd-servers", None)
        .is_some_and(|servers| {
            servers
                .texts()
                .any(|text| text.contains("kine") || text.starts_with("unix:"))
        })
    {
        // A kine datastore is no etcd; there is nothing to split.
        return Vec::new();
    }
    let Some(load) = Load::of(facts) else {
        return Vec::new();
    };
    let overrides = Overrides::of(facts);
    let mut all = Vec::new();
    all.extend(events(facts, &load, &pressed, &overrides));
    if facts.first_cause().is_some() {
        // The rest is talk about load while something else is broken.
        return all;
    }
    all.extend(leases(facts, &load, &pressed, &overrides));
    all.extend(others(facts, &load, &pressed));
    all
}

/// The flag's value with one more override, for the hosts that are known, and whether those are all.
/// What has no effect is left out of it.
fn value(
    facts: &Facts<'_>,
    overrides: &Overrides,
    resource: &str,
    places: &Places,
) -> (String, bool) {
    let (hosts, known) = facts.etcd_hosts();
    let url = |host: &str| format!("{}://{host}:{}", places.scheme, places.port);
    let mut servers: Vec<String> = hosts.iter().map(|host| url(host)).collect();
    if !known {
        // Whoever fills it in sees that somebody may be missing.
        let others = (servers.len() + 1)..=3.max(servers.len() + 1);
        servers.extend(others.map(|n| url(&format!("<etcd-{n}>"))));
    }
    let one = format!("{resource}#{}", servers.join(";"));
    let mut all = overrides.kept.clone();
    all.push(one);
    (all.join(","), known)
}

fn events(
    facts: &Facts<'_>,
    load: &Load,
    pressed: &[String],
    overrides: &Overrides,
) -> Option<Advice> {
    if overrides.split.iter().any(|one| one.resource != "/events") {
        // Other data is in two places: nothing is rolled over that.
        return None;
    }
    if overrides.has("/events") {
        return unfinished::advise(facts, overrides);
    }
    let relief = of_events(load)?;
    let by_writes = relief.bound == Bound::Exact
        && relief.writes.unwrap_or(0.0) >= facts.limit("events-writes-share");
    let by_time = weight(&relief) >= facts.limit("list-share");
    let mut advice = Advice::new("shard-events", Remedy::Shard, "kube-apiserver", SETTING)
        .detail("resource", "events");
    advice.finding_ids = pressed.to_vec();
    if !by_writes && !by_time {
        // Worth a word only where the raw counts look as if events were the load.
        let looks = load.counts_share() >= 0.5;
        return looks.then(|| against_events_counts(advice, load, &relief));
    }
    let places = Places::free(facts, EVENTS_PORT);
    let (proposed, hosts_known) = value(facts, overrides, "/events", &places);
    let mut reasons: Vec<String> = places.moved.iter().cloned().collect();
    if !hosts_known {
        reasons.push("the addresses of all etcd members are not known".to_owned());
    }
    let mut strength = Strength::Recommended;
    let few = facts.limit("shard-min-nodes");
    match facts.nodes() {
        None => {
            strength = Strength::Candidate;
            reasons.push(format!(
                "the number of nodes is not known, and below {few:.0} a shard seldom pays"
            ));
        }
        Some(nodes) if (nodes.count as f64) < few && nodes.at_least => {
            strength = Strength::Candidate;
            reasons.push(format!(
                "only a floor of the number of nodes is known: {}",
                nodes.words()
            ));
        }
        Some(nodes) if (nodes.count as f64) < few => {
            if facts.first_cause().is_some() {
                return None;
            }
            let dominate = relief.bound == Bound::Exact && relief.writes.unwrap_or(0.0) >= 0.5;
            if !dominate {
                return Some(too_small(advice, facts, &relief, &nodes.words()));
            }
            strength = Strength::Candidate;
            reasons.push(format!(
                "{} do not ask for a shard by themselves; it pays only if the events keep coming",
                nodes.words()
            ));
        }
        Some(nodes) => reasons.push(format!("the cluster has {}", nodes.words())),
    }
    if let Some(cause) = facts.first_cause() {
        strength = Strength::Candidate;
        reasons.push(format!(
            "{}: mend that first, then measure again, since a shard on the same ground stays as slow",
            cause.headline()
        ));
    }
    if facts.first_cause().is_none() && !facts.has_cause(Cause::QueryLoad) {
        strength = Strength::Candidate;
        reasons.push(
            "that they are why etcd is slow is not shown: a slow disk or processor makes them slow \
             as well, and would in a shard beside it"
                .to_owned(),
        );
    }
    if let Some(client) = culprits(facts)
        .into_iter()
        .find(|client| client.resource.as_deref().is_none_or(is_events))
    {
        strength = Strength::Candidate;
        reasons.push(format!(
            "`{}` is behind much of this load: fix it first, the shard may then not be needed",
            client.name
        ));
    }
    let floor = floor(facts);
    if let Some(below) = &floor.below {
        strength = Strength::Candidate;
        reasons.push(below.clone());
    }
    advice.strength = strength;
    if !overrides.idle.is_empty() {
        let idle = overrides.idle.iter();
        let idle: Vec<String> = idle.map(|(e, _)| format!("`{e}`")).collect();
        reasons.push(format!(
            "{} has no effect in the flag and goes out of it",
            idle.join(" and ")
        ));
    }
    advice.now = overrides.now.clone().or_else(|| {
        facts
            .settings_read("kube-apiserver")
            .then(|| "not set: events live in main etcd".to_owned())
    });
    advice.proposed = proposed;
    advice.why = format!(
        "events account for {} ({}); they have no watch cache by default, so every list, get and \
         watch of them reaches etcd, and they are the only large resource that may be lost; {}",
        words(&relief),
        load.source,
        reasons.join("; ")
    );
    advice.effect = match relief.bound {
        Bound::Exact => format!("main etcd loses {}", words(&relief)),
        Bound::UpperBound => format!(
            "main etcd loses {}. This is an upper bound: the log shows slow requests only, and \
             requests that were slow because others were go away with them",
            words(&relief)
        ),
    };
    advice.confidence = match relief.bound {
        Bound::Exact => Confidence::High,
        Bound::UpperBound => Confidence::Medium,
    };
    advice.risk = format!(
        "Events of the roll-out are invisible to apiservers that are not yet rolled. The shard \
         needs its own disk: on main etcd's device both wait for the same flushes. Its server \
         certificates must chain to `--etcd-cafile` and it must accept the same client \
         certificate, since the flag knows one set of credentials and one prefix; an unreachable \
         shard keeps kube-apiserver from starting. {} {}",
        floor.text,
        livez(facts, &overrides.kept)
    );
    advice.undo = "Remove the override on one kube-apiserver after the other; events written in \
                   between are lost, nothing else is."
        .to_owned();
    let prefix = key_prefix(facts);
    advice.verify = format!(
        "`kubectl get events -A` shows new events, `etcdctl --endpoints={}://HOST:{} get {prefix}/events \
         --prefix --keys-only --limit=1` answers with a key, and no new key appears under \
         {prefix}/events in main etcd; its rest expires within the event TTL ({}).",
        places.scheme,
        places.port,
        event_ttl(facts)
    );
    advice.disposition = if hosts_known {
        Disposition::Disruptive
    } else {
        Disposition::ShowOnly
    };
    advice.relief = Some(relief);
    advice.source =
        "Kubernetes docs, considerations for large clusters (events in their own etcd); \
                     kube-up and kOps run it so by default"
            .to_owned();
    Some(advice)
}

fn of_events(load: &Load) -> Option<Relief> {
    load.of_resource("events")
        .or_else(|| load.of_resource("events.events.k8s.io"))
}

/// Whether events come before leases.
fn events_first(load: &Load, leases: Option<&Relief>) -> &'static str {
    let events = of_events(load).map_or(0.0, |relief| weight(&relief));
    match leases.map_or(0.0, weight) {
        _ if events == 0.0 => "",
        leases if events > leases => {
            "; split off events first and look again: that is safer and takes more away"
        }
        _ => "; to split off events is safer, but takes less away",
    }
}

fn is_events(resource: &str) -> bool {
    kind(resource) == Kind::Events
}

fn against(mut advice: Advice, proposed: &str, why: String, relief: Relief) -> Advice {
    advice.strength = Strength::Refused;
    advice.proposed = proposed.to_owned();
    advice.why = why;
    advice.effect = "none worth the second cluster to run, back up and upgrade".to_owned();
    advice.risk = "a shard that is not needed is one more etcd that can fail".to_owned();
    advice.undo = "nothing to undo".to_owned();
    advice.verify = "nothing to verify".to_owned();
    advice.disposition = Disposition::ShowOnly;
    advice.relief = Some(relief);
    advice.source =
        "k8s.io/apiserver storage_factory.go and options/etcd.go: what the flag can do".to_owned();
    advice
}

fn against_events_counts(advice: Advice, load: &Load, relief: &Relief) -> Advice {
    let why = format!(
        "{} of the logged requests are count polls, which read no object; without them events \
         account for {} only, below what a shard pays for",
        percent(load.counts_share()),
        words(relief)
    );
    against(advice, "leave events in main etcd", why, relief.clone())
}

fn too_small(advice: Advice, facts: &Facts<'_>, relief: &Relief, nodes: &str) -> Advice {
    let why = format!(
        "events account for {}, but the cluster has {nodes}: too small for a shard, which {}",
        words(relief),
        facts.input.profile.limit("shard-min-nodes").source
    );
    against(advice, "leave events in main etcd", why, relief.clone())
}

fn leases(
    facts: &Facts<'_>,
    load: &Load,
    pressed: &[String],
    overrides: &Overrides,
) -> Option<Advice> {
    let resource = "coordination.k8s.io/leases";
    let nodes = facts.nodes()?;
    let large = nodes.count as f64 >= facts.limit("shard-leases-min-nodes");
    if !large || overrides.has(resource) || !overrides.split.is_empty() {
        return None;
    }
    let relief = load
        .of_resource("leases.coordination.k8s.io")
        .or_else(|| load.of_resource("leases"));
    // KEP-589: every kubelet renews its lease each 10 s.
    let expected = nodes.count as f64 / 10.0;
    let after_events = overrides.has("/events");
    let share = relief.as_ref().and_then(|r| r.writes).unwrap_or(0.0);
    let exact = relief.as_ref().filter(|r| r.bound == Bound::Exact);
    let measured = exact.is_some() && share >= facts.limit("events-writes-share");
    // What was counted, rather than what the nodes should ask for.
    let counted = writes_per_sec(facts, &["leases.coordination.k8s.io", "leases"]);
    let (proposed, _) = value(
        facts,
        overrides,
        resource,
        &Places::free(facts, LEASES_PORT),
    );
    let mut advice = Advice::new("shard-leases", Remedy::Shard, "kube-apiserver", SETTING)
        .detail("resource", "leases");
    // One flag carries both overrides: this one is a later step, not a rival of the events shard.
    advice.setting = format!("{SETTING} (leases)");
    if let Some(relief) = exact.filter(|relief| !measured && relief.writes.is_some()) {
        advice.finding_ids = pressed.to_vec();
        let why = format!(
            "{} should renew their leases {expected:.0} times a second (one renewal each 10 s), but \
             counted were {}{}: there is next to nothing to take off main etcd",
            nodes.words(),
            counted.map_or_else(String::new, |n| format!(
                "{} writes of leases a second, ",
                number(n)
            )),
            words(relief)
        );
        return Some(against(
            advice,
            "leave leases in main etcd",
            why,
            relief.clone(),
        ));
    }
    let per_sec = counted.unwrap_or(expected);
    advice.strength = if after_events && measured && facts.first_cause().is_none() {
        Strength::Recommended
    } else {
        Strength::Candidate
    };
    advice.now.clone_from(&overrides.now);
    advice.proposed = proposed;
    advice.why = format!(
        "{} renew their leases {expected:.0} times a second (one renewal each 10 s), all of them \
         writes{}{}{}",
        nodes.words(),
        counted.map_or_else(String::new, |n| format!(
            "; counted were {} a second",
            number(n)
        )),
        match &relief {
            Some(relief) => format!("; leases account for {}", words(relief)),
            None => String::new(),
        },
        match after_events {
            true => "",
            false => events_first(load, relief.as_ref()),
        }
    );
    advice.effect = format!("main etcd loses about {} writes a second", number(per_sec));
    advice.confidence = if measured {
        Confidence::High
    } else {
        Confidence::Low
    };
    advice.risk = "All apiservers must switch at the same moment: two lease stores mean two \
                   leaders for one lock, and nodes that seem lost. Plan a short outage of the \
                   control plane. The shard needs its own disk and the same CA and client \
                   certificate as main etcd."
        .to_owned();
    advice.undo = "Stop controller-manager and scheduler, stop all apiservers, remove the \
                   override, start all; leases are made anew within 10 s."
        .to_owned();
    advice.verify = "`kubectl get leases -A` shows renewals younger than 10 s, and main etcd's \
                     proposals per second fell by the rate above."
        .to_owned();
    advice.disposition = Disposition::ShowOnly;
    advice.finding_ids = pressed.to_vec();
    advice.relief = relief;
    advice.source =
        "kOps docs, etcd cluster `leases` for very large clusters; KEP-589 for the rate".to_owned();
    Some(advice)
}

/// The arguments against the next thoughts: custom resources and resources with data to keep.
fn others(facts: &Facts<'_>, load: &Load, pressed: &[String]) -> Vec<Advice> {
    let limit = facts.limit("list-share");
    load.resources()
        .into_iter()
        .filter(|(resource, relief)| {
            matches!(kind(resource), Kind::BuiltIn | Kind::Custom) && weight(relief) >= limit
        })
        .take(2)
        .map(|(resource, relief)| {
            let id = format!("shard-{resource}");
            let mut advice = Advice::new(id, Remedy::Shard, "kube-apiserver", SETTING)
                .detail("resource", resource);
            advice.finding_ids = pressed.to_vec();
            let why = if resource == "(all)" {
                format!(
                    "{resource} is no resource but every key at once: {}",
                    words(&relief)
                )
            } else if kind(resource) == Kind::Custom {
                format!(
                    "{resource} account for {}, but custom resources cannot be moved: the flag \
                     knows only types compiled into kube-apiserver; fix who lists or writes them",
                    words(&relief)
                )
            } else {
                format!(
                    "{resource} account for {}, but their data must be copied with the whole \
                     control plane stopped, backups of two etcds are never of one moment, and \
                     owner references cross the cut; page or cache the lists instead \
                     (`limit`, `resourceVersion=0`, informers)",
                    words(&relief)
                )
            };
            against(
                advice,
                &format!("leave {resource} in main etcd"),
                why,
                relief,
            )
        })
        .collect()
}

struct Floor {
    text: String,
    below: Option<String>,
}

/// Consistent reads from the cache need progress notifications from every endpoint; one older
/// etcd turns them off for the whole kube-apiserver.
fn floor(facts: &Facts<'_>) -> Floor {
    let reads = facts
        .kubernetes()
        .is_none_or(|span| span.newest >= CONSISTENT_READS);
    if !reads {
        return Floor {
            text: "Run the shard with main etcd's own version.".to_owned(),
            below: None,
        };
    }
    let enough = |v: Version| v.holds(31, 13);
    let text = "Run the shard with main etcd's own version, at least 3.4.31 or 3.5.13: one older \
                endpoint makes every list of kube-apiserver 1.31 and later go to etcd again."
        .to_owned();
    let below = facts.version("etcd").and_then(|span| {
        (span.oldest.patch_known && !enough(span.oldest)).then(|| {
            format!(
                "etcd {} lacks progress notifications that kube-apiserver needs to answer lists \
                 from its cache: upgrade etcd first, which may be relief enough",
                span.oldest
            )
        })
    });
    Floor { text, below }
}

/// What the health checks of kube-apiserver make of the shard.
pub(super) fn livez(facts: &Facts<'_>, overrides: &[String]) -> String {
    let sets: BTreeSet<&str> = overrides
        .iter()
        .filter_map(|one| Some(one.split_once('#')?.1))
        .collect();
    let next = sets.len();
    let probe = format!(
        "an outage of the shard fails `/livez` and the kubelet restarts kube-apiserver, unless its \
         liveness probe asks for `/livez?exclude=etcd-override-{next}`"
    );
    match facts.kubernetes() {
        Some(span) if span.oldest >= OVERRIDE_HEALTH => {
            format!("With Kubernetes {}, {probe}.", span.words())
        }
        Some(span) if span.newest < OVERRIDE_HEALTH => format!(
            "Kubernetes {} does not look at override servers in its health checks: watch the \
             shard yourself.",
            span.words()
        ),
        _ => format!("From Kubernetes 1.34 on, {probe}."),
    }
}
