//! Where a second etcd can listen: ports that nothing configured has, and the scheme that main etcd's
//! clients use.

use std::collections::BTreeMap;

use super::super::facts::{Current, Facts};
use super::overrides::SETTING;

/// Client ports of the shards beside 2379: 2381 is kubeadm's metrics port of main etcd.
pub(super) const EVENTS_PORT: u16 = 2382;
/// The one of leases.
pub(super) const LEASES_PORT: u16 = 2385;
/// A shard takes three ports in a row: clients, peers, metrics.
const PORTS: u16 = 3;
/// How far the next try is, and how many there are.
const STEP: u16 = 10;
const TRIES: u16 = 10;

/// Where a second etcd listens.
pub(super) struct Places {
    /// `https`, or `http` where main etcd is asked so: the shard gets main etcd's certificates, and
    /// without any it serves none.
    pub(super) scheme: &'static str,
    /// Its client port.
    pub(super) port: u16,
    /// Why it is not the usual one.
    pub(super) moved: Option<String>,
}

impl Places {
    /// The usual port, or the next one that is free as far as settings tell.
    pub(super) fn free(facts: &Facts<'_>, usual: u16) -> Self {
        let taken = taken(facts);
        let own = |base: &u16| *base..*base + PORTS;
        let port = (0..TRIES)
            .map(|n| usual + n * STEP)
            .find(|base| own(base).all(|port| !taken.contains_key(&port)))
            .unwrap_or(usual);
        let moved = (port != usual).then(|| {
            let why = own(&usual).find_map(|at| Some((at, taken.get(&at)?)));
            let (at, by) = why.map_or((usual, "another"), |(at, by)| (at, by.as_str()));
            format!("port {at} is {by}'s already, so the shard gets {port}")
        });
        Places {
            scheme: scheme(facts),
            port,
            moved,
        }
    }
}

/// Ports of URLs that etcd and kube-apiserver are configured with, and by what.
fn taken(facts: &Facts<'_>) -> BTreeMap<u16, String> {
    let mut taken = BTreeMap::new();
    for (component, name) in [
        ("etcd", "listen-client-urls"),
        ("etcd", "listen-client-http-urls"),
        ("etcd", "listen-peer-urls"),
        ("etcd", "listen-metrics-urls"),
        ("kube-apiserver", "etcd-servers"),
        ("kube-apiserver", SETTING),
    ] {
        let Some(set) = facts.setting(component, name, None) else {
            continue;
        };
        for url in set.texts().flat_map(|text| text.split([',', ';'])) {
            if let Some(port) = port_of(url) {
                taken
                    .entry(port)
                    .or_insert_with(|| format!("--{name} of {component}"));
            }
        }
    }
    taken
}

/// The port of a URL, also behind a resource and `#`.
fn port_of(url: &str) -> Option<u16> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    authority.rsplit_once(':')?.1.trim().parse().ok()
}

fn scheme(facts: &Facts<'_>) -> &'static str {
    let of = |component: &str, name: &str| facts.setting(component, name, None);
    let set = of("kube-apiserver", "etcd-servers").or_else(|| of("etcd", "advertise-client-urls"));
    let plain = set.is_some_and(|set| {
        let urls: Vec<&str> = set.texts().flat_map(|text| text.split(',')).collect();
        !urls.is_empty() && urls.iter().all(|url| url.trim().starts_with("http://"))
    });
    if plain { "http" } else { "https" }
}

/// Where kube-apiserver keeps its keys, without a slash at the end.
pub(super) fn key_prefix(facts: &Facts<'_>) -> String {
    let set = facts.setting("kube-apiserver", "etcd-prefix", Some("/registry"));
    let text = set.and_then(|set| set.texts().next().map(str::to_owned));
    let text = text.unwrap_or_default();
    match text.trim_matches('/') {
        "" => "/registry".to_owned(),
        bare => format!("/{bare}"),
    }
}

/// How long an event lives.
pub(super) fn event_ttl(facts: &Facts<'_>) -> String {
    let set = facts.setting("kube-apiserver", "event-ttl", None);
    set.filter(Current::is_set)
        .map_or_else(|| "1 h".to_owned(), |set| set.words())
}
