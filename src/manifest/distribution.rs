//! Which distribution runs the control plane, and where the API server's data lives.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::gather::ManifestModel;
use super::model::{Instance, Means, Place, SourceKind};
use crate::catalog::settings::{Component, parse_list};

/// A distribution, as far as it decides how settings are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Distro {
    /// kubeadm's static pods.
    Kubeadm,
    /// k3s.
    K3s,
    /// RKE2.
    Rke2,
    /// Talos Linux.
    Talos,
    /// kOps.
    Kops,
    /// OpenShift.
    OpenShift,
    /// Units of systemd alone.
    Systemd,
    /// No sign of any.
    Unknown,
}

impl Distro {
    /// The word used in evidence and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Distro::Kubeadm => "kubeadm",
            Distro::K3s => "k3s",
            Distro::Rke2 => "rke2",
            Distro::Talos => "talos",
            Distro::Kops => "kops",
            Distro::OpenShift => "openshift",
            Distro::Systemd => "systemd",
            Distro::Unknown => "unknown",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [
            Distro::Kubeadm,
            Distro::K3s,
            Distro::Rke2,
            Distro::Talos,
            Distro::Kops,
            Distro::OpenShift,
            Distro::Systemd,
        ]
        .into_iter()
        .find(|distro| distro.word() == word)
    }
}

/// The distribution with the reasons for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// The most likely one.
    pub distro: Distro,
    /// Why, with the place of each sign.
    pub reasons: Vec<(String, Place)>,
    /// Others that left signs too.
    pub others: Vec<Distro>,
}

/// Parts of paths and images that only one distribution uses, with their weight.
const MARKS: &[(&str, Distro, u32)] = &[
    ("/var/lib/rancher/rke2", Distro::Rke2, 4),
    ("/etc/rancher/rke2", Distro::Rke2, 4),
    ("rancher/rke2", Distro::Rke2, 4),
    ("rancher/hardened-", Distro::Rke2, 3),
    ("rke2r", Distro::Rke2, 3),
    ("/var/lib/rancher/k3s", Distro::K3s, 4),
    ("/etc/rancher/k3s", Distro::K3s, 4),
    ("rancher/k3s", Distro::K3s, 4),
    ("+k3s", Distro::K3s, 3),
    ("ghcr.io/siderolabs/", Distro::Talos, 3),
    ("/system/secrets/", Distro::Talos, 4),
    ("etcdadm/etcd-manager", Distro::Kops, 4),
    ("/srv/kubernetes/", Distro::Kops, 3),
    ("/srv/sshproxy", Distro::Kops, 3),
    ("quay.io/openshift", Distro::OpenShift, 4),
    ("openshift-release-dev", Distro::OpenShift, 4),
    ("/static-pod-resources/", Distro::OpenShift, 4),
    ("/static-pod-certs/", Distro::OpenShift, 4),
    ("/etc/kubernetes/pki", Distro::Kubeadm, 2),
    ("kubeadm-flags.env", Distro::Kubeadm, 2),
];

/// Which distribution a model shows.
pub fn distribution(model: &ManifestModel) -> Distribution {
    let mut scores: BTreeMap<Distro, (u32, Vec<(String, Place)>)> = BTreeMap::new();
    let mut add = |distro: Distro, weight: u32, reason: String, place: &Place| {
        let (score, reasons) = scores.entry(distro).or_default();
        *score += weight;
        if reasons.len() < 5 && !reasons.iter().any(|(have, _)| *have == reason) {
            reasons.push((reason, place.clone()));
        }
    };
    for (name, sign, place) in &model.signs {
        if let Some(distro) = Distro::of(name) {
            add(distro, 4, sign.clone(), place);
        }
    }
    for instance in model
        .instances
        .iter()
        .filter(|instance| instance.component.is_some())
    {
        marks(instance, &mut add);
        if instance.source == SourceKind::Systemd && instance.component == Some(Component::Etcd) {
            add(
                Distro::Systemd,
                1,
                "etcd runs from a systemd unit".to_owned(),
                &instance.place,
            );
        }
    }
    let mut ranked = Vec::from_iter(scores);
    ranked.sort_by(|a, b| b.1.0.cmp(&a.1.0).then(a.0.cmp(&b.0)));
    let others = ranked.iter().skip(1).map(|(distro, _)| *distro).collect();
    match ranked.into_iter().next() {
        Some((distro, (_, reasons))) => Distribution {
            distro,
            reasons,
            others,
        },
        None => Distribution {
            distro: Distro::Unknown,
            reasons: Vec::new(),
            others,
        },
    }
}

fn marks(instance: &Instance, add: &mut impl FnMut(Distro, u32, String, &Place)) {
    let mut seen = Vec::new();
    let mut look = |text: &str, place: &Place| {
        for (mark, distro, weight) in MARKS {
            if text.contains(mark) && !seen.contains(mark) {
                seen.push(mark);
                add(
                    *distro,
                    *weight,
                    format!("`{mark}` in {}", instance.name),
                    place,
                );
            }
        }
    };
    look(&instance.place.file, &instance.place);
    if let Some(image) = &instance.image {
        look(image, &instance.place);
    }
    for given in &instance.given {
        if let Some(value) = &given.value {
            look(value, &given.place);
        }
    }
}

/// Where an API server keeps its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatastoreKind {
    /// etcd on the same nodes.
    Local,
    /// etcd on other machines.
    External,
    /// A database behind kine: advice about etcd does not apply.
    Kine,
    /// It could not be told.
    Unknown,
}

impl DatastoreKind {
    /// The word used in evidence.
    pub fn word(self) -> &'static str {
        match self {
            DatastoreKind::Local => "local",
            DatastoreKind::External => "external",
            DatastoreKind::Kine => "kine",
            DatastoreKind::Unknown => "unknown",
        }
    }
}

/// The datastore with the reason for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Datastore {
    /// Its kind.
    pub kind: DatastoreKind,
    /// Its endpoints, masked, where they are known.
    pub servers: Vec<String>,
    /// Why.
    pub reason: String,
}

/// Where the API servers of a model keep their data.
pub fn datastore(model: &ManifestModel) -> Datastore {
    for (endpoint, place) in &model.datastores {
        let database = [
            "mysql://",
            "postgres://",
            "postgresql://",
            "nats://",
            "sqlite://",
        ];
        let servers: Vec<String> = parse_list(endpoint)
            .into_iter()
            .map(str::to_owned)
            .collect();
        if database.iter().any(|scheme| endpoint.starts_with(scheme)) || endpoint.contains("@tcp(")
        {
            return Datastore {
                kind: DatastoreKind::Kine,
                servers,
                reason: format!("the datastore endpoint at {place} is a database"),
            };
        }
        if !servers.is_empty() {
            return Datastore {
                kind: DatastoreKind::External,
                servers,
                reason: format!("{place} names an etcd that the cluster does not run"),
            };
        }
    }
    let etcd_here = model
        .instances
        .iter()
        .any(|i| i.component == Some(Component::Etcd));
    let apiservers = model
        .instances
        .iter()
        .filter(|instance| instance.component == Some(Component::ApiServer));
    for instance in apiservers {
        // A repeated flag adds to the list.
        let given = instance.given.iter();
        let list: Vec<String> = given
            .filter(|given| given.name == "etcd-servers" && given.means != Means::Env)
            .filter_map(|given| given.value.as_deref())
            .flat_map(parse_list)
            .map(str::to_owned)
            .collect();
        if list.is_empty() {
            continue;
        }
        let place = &instance.place;
        let kine = list
            .iter()
            .any(|server| server.starts_with("unix://") && server.contains("kine"));
        if kine {
            return Datastore {
                kind: DatastoreKind::Kine,
                servers: list,
                reason: format!("the API server at {place} talks to kine's socket"),
            };
        }
        let own = instance.last("advertise-address");
        let local = list.iter().any(|server| is_local(server, own));
        let kind = if local || (etcd_here && list.iter().any(|server| advertised(server, model))) {
            DatastoreKind::Local
        } else {
            DatastoreKind::External
        };
        return Datastore {
            kind,
            reason: match kind {
                DatastoreKind::Local => format!("--etcd-servers at {place} names this node"),
                _ => format!("--etcd-servers at {place} names other machines only"),
            },
            servers: list,
        };
    }
    let kind = if etcd_here {
        DatastoreKind::Local
    } else {
        DatastoreKind::Unknown
    };
    Datastore {
        kind,
        servers: Vec::new(),
        reason: match kind {
            DatastoreKind::Local => "an etcd runs here".to_owned(),
            _ => "neither an etcd nor --etcd-servers was found".to_owned(),
        },
    }
}

/// The host of a URL, without brackets and port.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split('/').next().unwrap_or(rest);
    if let Some(inner) = rest.strip_prefix('[') {
        return inner.split(']').next().unwrap_or(inner);
    }
    rest.rsplit_once(':').map_or(rest, |(host, _)| host)
}

fn is_local(url: &str, own: Option<&str>) -> bool {
    let host = host(url);
    host == "localhost"
        || own == Some(host)
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        || url.starts_with("unix")
}

/// Whether an etcd of this model advertises that address.
fn advertised(url: &str, model: &ManifestModel) -> bool {
    model
        .instances
        .iter()
        .filter(|instance| instance.component == Some(Component::Etcd))
        .filter_map(|instance| instance.last("advertise-client-urls"))
        .flat_map(parse_list)
        .any(|own| host(own) == host(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_urls() {
        assert_eq!(host("https://10.0.0.1:2379"), "10.0.0.1");
        assert_eq!(host("https://[::1]:2379/x"), "::1");
        assert_eq!(host("a.example:1"), "a.example");
        assert!(is_local("https://127.0.0.5:2379", None));
        assert!(is_local("https://10.0.0.1:2379", Some("10.0.0.1")));
        assert!(!is_local("https://10.0.0.1:2379", Some("10.0.0.2")));
    }
}
