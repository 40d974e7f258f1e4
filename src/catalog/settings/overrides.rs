//! `--etcd-servers-overrides` of kube-apiserver: parser, and the traps of sharding.
//!
//! Sources: kubernetes/apiserver pkg/server/options/etcd.go, pkg/server/storage/storage_factory.go,
//! kubernetes pkg/kubeapiserver/default_storage_factory_builder.go.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::catalog::releases::Version;
use crate::catalog::resources::builtin_by_name;

/// One override: a resource and the etcd servers that hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// API group; empty for the core group.
    pub group: String,
    /// Lower-case plural, or `*` for the whole group.
    pub resource: String,
    /// Servers.
    pub servers: Vec<String>,
}

/// What is wrong with an override.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The API server refuses it and does not start.
    Refused {
        /// The part as written.
        part: String,
        /// Why.
        why: &'static str,
    },
    /// It is accepted and does nothing.
    NoEffect {
        /// The resource.
        resource: String,
        /// The name that would work, where there is one.
        instead: Option<&'static str>,
        /// Why.
        why: &'static str,
    },
    /// It works and brings a danger of its own.
    Danger {
        /// The resource.
        resource: String,
        /// Which.
        why: &'static str,
    },
    /// The same resource twice: only one of them counts.
    Twice {
        /// The resource.
        resource: String,
    },
}

/// Groups that are compiled into kube-apiserver. Anything else is a custom or aggregated resource.
const BUILT_IN: &[&str] = &[
    "",
    "admissionregistration.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "extensions",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// Names that share the storage of another one, which alone decides where it lives.
const COHABITS: &[(&str, &str, &str)] = &[
    ("events.k8s.io", "events", "/events"),
    ("extensions", "daemonsets", "apps/daemonsets"),
    ("extensions", "deployments", "apps/deployments"),
    ("extensions", "ingresses", "networking.k8s.io/ingresses"),
    (
        "extensions",
        "networkpolicies",
        "networking.k8s.io/networkpolicies",
    ),
    ("extensions", "replicasets", "apps/replicasets"),
];

/// What a value was found to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The overrides that the API server accepts.
    pub overrides: Vec<Override>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Reads the flag's value (repeated flags joined by commas) as a version of the API server would.
/// Without a version the rules of the newest one hold. `probe` is the liveness path of the API
/// server's pod, where it is known.
pub fn parse(value: &str, version: Option<Version>, probe: Option<&str>) -> Parsed {
    let mut out = Parsed::default();
    let modern = version.is_none_or(|version| version >= Version::minor(1, 34));
    let mut known: BTreeSet<String> = BTreeSet::new();
    for part in value.split(',') {
        // An empty flag is no override; an empty part among others is refused.
        if part.is_empty() && value.is_empty() {
            continue;
        }
        match one(part, modern) {
            Ok(found) => {
                if !known.insert(name(&found)) {
                    out.problems.push(Problem::Twice {
                        resource: name(&found),
                    });
                }
                judge(&found, modern, &mut out.problems);
                out.overrides.push(found);
            }
            Err(why) => out.problems.push(Problem::Refused {
                part: part.to_owned(),
                why,
            }),
        }
    }
    if modern
        && !out.overrides.is_empty()
        && let Some(open) = probe.and_then(|path| not_excluded(value, path))
    {
        out.problems.push(Problem::Danger {
            resource: open,
            why: "from 1.34 an outage of this etcd fails /livez, so that the kubelet restarts every API server; the probe needs ?exclude=etcd-override-N with its number (distinct sets of servers, counted from 0)",
        });
    }
    out
}

/// Which number kube-apiserver gives the servers of each entry: distinct sets from 0, as they stand
/// there (k8s.io/apiserver `pkg/server/options/etcd.go`).
pub fn numbered(value: &str) -> Vec<(&str, usize)> {
    let mut sets: HashMap<&str, usize> = HashMap::new();
    let entries = value
        .split(',')
        .filter_map(|one| one.trim().split_once('#'));
    entries
        .map(|(resource, set)| {
            let next = sets.len();
            (resource, *sets.entry(set).or_insert(next))
        })
        .collect()
}

/// The first resource whose servers a liveness path of `/livez` still asks for.
fn not_excluded(value: &str, path: &str) -> Option<String> {
    let (bare, query) = path.split_once('?').unwrap_or((path, ""));
    if bare != "/livez" {
        return None;
    }
    let excluded: BTreeSet<&str> = query
        .split('&')
        .filter_map(|part| part.strip_prefix("exclude="))
        .collect();
    // `etcd` is the group of them all.
    if excluded.contains("etcd") {
        return None;
    }
    numbered(value)
        .into_iter()
        .find(|(_, at)| !excluded.contains(format!("etcd-override-{at}").as_str()))
        .map(|(resource, _)| resource.to_owned())
}

/// A resource that kube-apiservers look for in different places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// As in `/events`.
    pub resource: String,
    /// The one entry of those that have one; `None` where they differ among themselves.
    pub entry: Option<String>,
    /// Nodes with an entry.
    pub with: Vec<String>,
    /// Nodes without: there the resource is in main etcd.
    pub without: Vec<String>,
}

/// The resources whose entry is not the same in every value, given each node's. The order of servers
/// says nothing.
pub fn splits(nodes: &[(String, String)]) -> Vec<Split> {
    let nodes: Vec<(&String, BTreeMap<&str, &str>)> = nodes
        .iter()
        .map(|(node, value)| {
            let entries = value.split(',').map(str::trim);
            let entries = entries.filter_map(|entry| Some((entry.split_once('#')?.0, entry)));
            (node, entries.collect())
        })
        .collect();
    let resources: BTreeSet<&str> = nodes
        .iter()
        .flat_map(|(_, have)| have.keys().copied())
        .collect();
    let mut found = Vec::new();
    for resource in resources {
        let mut entries: BTreeMap<BTreeSet<&str>, &str> = BTreeMap::new();
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for (node, have) in &nodes {
            match have.get(resource) {
                Some(entry) => {
                    let servers = entry.split_once('#').map_or("", |(_, servers)| servers);
                    entries.insert(servers.split(';').map(str::trim).collect(), entry);
                    with.push((*node).clone());
                }
                None => without.push((*node).clone()),
            }
        }
        if entries.len() < 2 && without.is_empty() {
            continue;
        }
        let mut entries = entries.into_values();
        let entry = match (entries.next(), entries.next()) {
            (Some(only), None) => Some(only.to_owned()),
            _ => None,
        };
        found.push(Split {
            resource: resource.to_owned(),
            entry,
            with,
            without,
        });
    }
    found
}

fn name(found: &Override) -> String {
    format!("{}/{}", found.group, found.resource)
}

fn one(part: &str, modern: bool) -> Result<Override, &'static str> {
    let (left, right) = part
        .split_once('#')
        .filter(|(_, right)| !right.contains('#'))
        .ok_or("must be GROUP/RESOURCE#SERVERS with exactly one `#`")?;
    let (group, resource) = left
        .split_once('/')
        .filter(|(_, resource)| !resource.contains('/'))
        .ok_or("must name GROUP/RESOURCE with exactly one `/`; the core group is empty, as in `/events`")?;
    let servers: Vec<String> = right
        .split(';')
        .map(|server| server.trim().to_owned())
        .collect();
    if servers.iter().all(String::is_empty) || (modern && servers.iter().any(String::is_empty)) {
        return Err("has an empty server; a `;` at the end makes one");
    }
    Ok(Override {
        group: group.to_owned(),
        resource: resource.to_owned(),
        servers: servers
            .into_iter()
            .filter(|server| !server.is_empty())
            .collect(),
    })
}

fn judge(found: &Override, modern: bool, problems: &mut Vec<Problem>) {
    let resource = name(found);
    if let Some((_, _, instead)) = COHABITS
        .iter()
        .find(|(group, plural, _)| found.group == *group && found.resource == *plural)
    {
        problems.push(Problem::NoEffect {
            resource,
            instead: Some(instead),
            why: "it shares the storage of another name, and only that one decides where it lives",
        });
        return;
    }
    let core_name = found.group.is_empty() && found.resource == "leases";
    if core_name {
        problems.push(Problem::NoEffect {
            resource,
            instead: Some("coordination.k8s.io/leases"),
            why: "leases are not in the core group",
        });
        return;
    }
    if found.resource != found.resource.to_lowercase() || found.resource.contains('.') {
        problems.push(Problem::NoEffect {
            resource,
            instead: None,
            why: "resources are named by their lower-case plural without group or version",
        });
        return;
    }
    if !BUILT_IN.contains(&found.group.as_str()) {
        problems.push(Problem::NoEffect {
            resource,
            instead: None,
            why: "only resources compiled into kube-apiserver can be moved; custom and aggregated ones always use the main etcd",
        });
        return;
    }
    let whole_group = found.resource == "*";
    if !whole_group && builtin_by_name(&found.resource, &found.group).is_none() {
        problems.push(Problem::NoEffect {
            resource,
            instead: (found.group.is_empty() && found.resource == "event").then_some("/events"),
            why: "no group that is compiled into kube-apiserver has a resource of this name (up to Kubernetes 1.36); resources go by their plural",
        });
        return;
    }
    let slow = found.group.is_empty() && found.resource == "events";
    if !slow {
        let leases = found.resource == "leases";
        problems.push(Problem::Danger {
            resource: resource.clone(),
            why: if leases {
                "all API servers must switch at the same moment, or two of them serve different leases: two leaders for one lock"
            } else {
                "its data must be copied with all API servers stopped, and backups are no longer of one moment"
            },
        });
    }
    if !modern {
        problems.push(Problem::Danger {
            resource,
            why: "before 1.34 no health endpoint of the API server watches this etcd",
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v(minor: u16) -> Option<Version> {
        Some(Version::minor(1, minor))
    }

    #[test]
    fn the_usual_shard_is_fine() {
        let got = parse(
            "/events#https://10.0.0.1:2382;https://10.0.0.2:2382,coordination.k8s.io/leases#https://a:2384",
            v(35),
            None,
        );
        assert_eq!(got.overrides.len(), 2);
        assert_eq!(got.overrides[0].servers.len(), 2);
        assert_eq!(
            (
                got.overrides[0].group.as_str(),
                got.overrides[0].resource.as_str()
            ),
            ("", "events")
        );
        assert!(
            matches!(got.problems.as_slice(), [Problem::Danger { resource, .. }] if resource == "coordination.k8s.io/leases")
        );
    }

    #[test]
    fn a_name_that_nothing_has_does_nothing() {
        for name in [
            "/event",
            "/pod",
            "/foos",
            "apps/deployment",
            "networking.k8s.io/ingress",
        ] {
            let got = parse(&format!("{name}#https://a:2382"), v(35), None);
            let [Problem::NoEffect { instead, .. }] = got.problems.as_slice() else {
                panic!("{name}: {:?}", got.problems)
            };
            assert_eq!(instead.is_some(), name == "/event");
        }
        for name in [
            "/pods",
            "apps/deployments",
            "networking.k8s.io/ingresses",
            "apps/*",
            "/secrets",
        ] {
            let got = parse(&format!("{name}#https://a:2382"), v(35), None);
            assert!(
                matches!(got.problems.as_slice(), [Problem::Danger { .. }]),
                "{name}: {:?}",
                got.problems
            );
        }
    }

    #[test]
    fn what_differs_between_nodes_is_told_and_the_order_of_servers_is_not() {
        let of = |values: &[&str]| {
            let nodes: Vec<(String, String)> = values
                .iter()
                .enumerate()
                .map(|(at, value)| (format!("cp{at}"), (*value).to_owned()))
                .collect();
            splits(&nodes)
        };
        assert_eq!(
            of(&[
                "/events#https://a:1;https://b:1",
                "/events#https://b:1;https://a:1"
            ]),
            []
        );
        assert_eq!(of(&["", ""]), []);
        assert_eq!(of(&["/events#https://a:1"]), []);
        let half = of(&["/events#https://a:1", "", ""]);
        assert_eq!(half[0].entry.as_deref(), Some("/events#https://a:1"));
        assert_eq!((half[0].with.len(), half[0].without.len()), (1, 2));
        let two = of(&["/events#https://a:1", "/events#https://b:1"]);
        assert_eq!((two[0].entry.as_ref(), two[0].with.len()), (None, 2));
    }

    #[test]
    fn the_traps() {
        let refused = |text: &str, version| {
            parse(text, version, None)
                .problems
                .iter()
                .any(|p| matches!(p, Problem::Refused { .. }))
        };
        assert!(refused("events#https://a:1", v(30)));
        assert!(refused("/events#https://a:1#x", v(30)));
        assert!(refused("v1/core/events#https://a:1", v(30)));
        assert!(refused("/events", v(30)));
        // A trailing `;` is refused from 1.34 on only.
        assert!(!refused("/events#https://a:1;", v(33)));
        assert!(refused("/events#https://a:1;", v(34)));
        assert!(refused("/events#https://a:1;", None));
        let no_effect = |text: &str| {
            parse(text, v(34), None)
                .problems
                .into_iter()
                .find_map(|p| match p {
                    Problem::NoEffect { instead, .. } => Some(instead),
                    _ => None,
                })
        };
        assert_eq!(
            no_effect("events.k8s.io/events#https://a:1"),
            Some(Some("/events"))
        );
        assert_eq!(no_effect("openfaas.com/functions#https://a:1"), Some(None));
        assert_eq!(
            no_effect("/leases#https://a:1"),
            Some(Some("coordination.k8s.io/leases"))
        );
        assert_eq!(no_effect("apps/*#https://a:1"), None);
        assert_eq!(no_effect("/Events#https://a:1"), Some(None));
        let twice = parse("/events#https://a:1,/events#https://b:1", v(34), None);
        assert!(twice.problems.contains(&Problem::Twice {
            resource: "/events".to_owned()
        }));
    }

    #[test]
    fn the_liveness_trap_of_1_34() {
        let danger = |version, probe| {
            parse("/events#https://a:1", version, Some(probe))
                .problems
                .iter()
                .any(|p| matches!(p, Problem::Danger { why, .. } if why.contains("/livez")))
        };
        assert!(danger(v(34), "/livez"));
        assert!(!danger(v(34), "/livez?exclude=etcd-override-0"));
        assert!(!danger(v(33), "/livez"));
        assert!(danger(v(34), "/livez?exclude=ping"));
        assert!(danger(v(34), "/livez?exclude=etcd-override-1"));
        assert!(!danger(v(34), "/livez?verbose&exclude=etcd"));
        let both = "coordination.k8s.io/leases#https://a:1,/events#https://b:1";
        let open = |probe| not_excluded(both, probe);
        assert_eq!(
            open("/livez?exclude=etcd-override-0").as_deref(),
            Some("/events")
        );
        assert_eq!(
            open("/livez?exclude=etcd-override-0&exclude=etcd-override-1"),
            None
        );
    }

    proptest! {
        #[test]
        fn never_panics(text in "[a-z/#;,:.*]{0,40}") {
            let _ = parse(&text, None, Some(&text));
        }
    }
}
