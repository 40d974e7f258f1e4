//! Finds the node's own etcd: endpoints from its settings, credentials from where each
//! distribution keeps a client certificate.

use super::access::{Access, Identity, Pem};
use super::endpoint::{Endpoint, Scheme};
use crate::evidence::Missing;
use crate::target::HostRoot;

/// A PEM file is small.
const MAX_PEM: u64 = 1 << 20;

/// An etcd that runs on the node, as its settings tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalEtcd {
    /// Its role: `etcd`, `etcd-events`.
    pub name: String,
    /// Where its settings were read: a process, a manifest.
    pub place: String,
    /// `--listen-client-urls`.
    pub listen: Vec<String>,
    /// `--advertise-client-urls`.
    pub advertise: Vec<String>,
    /// `--trusted-ca-file`.
    pub ca: Option<String>,
    /// `--cert-file`.
    pub cert: Option<String>,
    /// `--key-file`.
    pub key: Option<String>,
}

/// What an API server uses to talk to its etcd.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiServerEtcd {
    /// Where its settings were read.
    pub place: String,
    /// `--etcd-servers`.
    pub servers: Vec<String>,
    /// `--etcd-cafile`.
    pub ca: Option<String>,
    /// `--etcd-certfile`.
    pub cert: Option<String>,
    /// `--etcd-keyfile`.
    pub key: Option<String>,
}

/// What is known of the node before anybody connects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// etcds that run here.
    pub etcds: Vec<LocalEtcd>,
    /// API servers that run here.
    pub apiservers: Vec<ApiServerEtcd>,
}

/// What was found, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovered {
    /// Endpoints, the surest first; one is enough to learn of the other members.
    pub endpoints: Vec<Endpoint>,
    /// Credentials; those of the user's command line are laid over them.
    pub access: Access,
    /// How each was found, in words.
    pub how: Vec<String>,
    /// What was there and could not be read, in words.
    pub denied: Vec<String>,
    /// Whether there was no sign of an etcd, and the endpoint is only etcdctl's default.
    pub guessed: bool,
}

/// One place where a client certificate for etcd lies.
struct Place {
    whose: &'static str,
    ca: &'static str,
    cert: &'static str,
    key: &'static str,
    /// The etcd that belongs to it, where its settings are not readable as flags.
    endpoint: Option<&'static str>,
}

/// In the order of the fewest rights: kubeadm's health check certificate first, then what the API
/// server uses. Sources: kubeadm phases/certs, k3s and RKE2 server/tls, kOps nodeup, k0s docs.
const PLACES: &[Place] = &[
    Place {
        whose: "kubeadm's health check certificate",
        ca: "/etc/kubernetes/pki/etcd/ca.crt",
        cert: "/etc/kubernetes/pki/etcd/healthcheck-client.crt",
        key: "/etc/kubernetes/pki/etcd/healthcheck-client.key",
        endpoint: None,
    },
    Place {
        whose: "kubeadm's API server certificate for etcd",
        ca: "/etc/kubernetes/pki/etcd/ca.crt",
        cert: "/etc/kubernetes/pki/apiserver-etcd-client.crt",
        key: "/etc/kubernetes/pki/apiserver-etcd-client.key",
        endpoint: None,
    },
    Place {
        whose: "k3s's etcd client certificate",
        ca: "/var/lib/rancher/k3s/server/tls/etcd/server-ca.crt",
        cert: "/var/lib/rancher/k3s/server/tls/etcd/client.crt",
        key: "/var/lib/rancher/k3s/server/tls/etcd/client.key",
        endpoint: Some("https://127.0.0.1:2379"),
    },
    Place {
        whose: "RKE2's etcd client certificate",
        ca: "/var/lib/rancher/rke2/server/tls/etcd/server-ca.crt",
        cert: "/var/lib/rancher/rke2/server/tls/etcd/client.crt",
        key: "/var/lib/rancher/rke2/server/tls/etcd/client.key",
        endpoint: Some("https://127.0.0.1:2379"),
    },
    Place {
        whose: "kOps's etcd client certificate",
        ca: "/srv/kubernetes/kube-apiserver/etcd-ca.crt",
        cert: "/srv/kubernetes/kube-apiserver/etcd-client.crt",
        key: "/srv/kubernetes/kube-apiserver/etcd-client.key",
        endpoint: Some("https://127.0.0.1:4001"),
    },
    Place {
        whose: "k0s's etcd client certificate",
        ca: "/var/lib/k0s/pki/etcd/ca.crt",
        cert: "/var/lib/k0s/pki/apiserver-etcd-client.crt",
        key: "/var/lib/k0s/pki/apiserver-etcd-client.key",
        endpoint: Some("https://127.0.0.1:2379"),
    },
    Place {
        whose: "minikube's API server certificate for etcd",
        ca: "/var/lib/minikube/certs/etcd/ca.crt",
        cert: "/var/lib/minikube/certs/apiserver-etcd-client.crt",
        key: "/var/lib/minikube/certs/apiserver-etcd-client.key",
        endpoint: None,
    },
];

/// Sockets of kine, which speaks etcd's protocol over a database.
const KINE: &[&str] = &["/var/lib/rancher/k3s/server/kine.sock"];

/// Finds endpoints and credentials. Always gives at least one endpoint: with no sign of an etcd,
/// etcdctl's default, and `how` says so.
pub fn discover(root: &HostRoot, known: &Known) -> Discovered {
    let mut found = Discovered::default();
    let default = credentials(root, known, &mut found);
    endpoints(root, known, default, &mut found);
    found
}

/// Only the credentials, for endpoints that the user named.
pub fn credentials(root: &HostRoot, known: &Known, found: &mut Discovered) -> Option<&'static str> {
    for place in PLACES {
        if let Some((ca, identity)) = read_set(root, place.ca, place.cert, place.key, found) {
            found
                .how
                .push(format!("{}: {}", place.whose, identity.cert.path));
            found.access.ca = Some(ca);
            found.access.identity = Some(identity);
            return place.endpoint;
        }
    }
    // What the programs here use themselves.
    let of_apiservers = known.apiservers.iter().map(|one| {
        let whose = "the API server's certificate for etcd";
        (whose, &one.place, &one.ca, &one.cert, &one.key)
    });
    let of_etcds = known.etcds.iter().map(|one| {
        let whose = "etcd's own certificate";
        (whose, &one.place, &one.ca, &one.cert, &one.key)
    });
    for (whose, place, ca, cert, key) in of_apiservers.chain(of_etcds) {
        let (Some(ca), Some(cert), Some(key)) = (ca, cert, key) else {
            continue;
        };
        if let Some((ca, identity)) = read_set(root, ca, cert, key, found) {
            found
                .how
                .push(format!("{whose}: {} (from {place})", identity.cert.path));
            found.access.ca = Some(ca);
            found.access.identity = Some(identity);
            return None;
        }
    }
    None
}

fn endpoints(root: &HostRoot, known: &Known, default: Option<&str>, found: &mut Discovered) {
    // The main etcd before one for events alone.
    let mut etcds: Vec<&LocalEtcd> = known.etcds.iter().collect();
    etcds.sort_by_key(|etcd| (etcd.name != "etcd", etcd.name.clone()));
    if let Some(etcd) = etcds.first() {
        let tls = etcd.cert.is_some();
        let mut urls: Vec<Endpoint> = etcd
            .listen
            .iter()
            .chain(&etcd.advertise)
            .filter_map(|url| Endpoint::parse(url, tls).ok())
            .map(Endpoint::connectable)
            .collect();
        // The loopback works while the network of the node does not.
        urls.sort_by_key(|url| !url.is_loopback());
        if let Some(url) = urls.into_iter().next() {
            found
                .how
                .push(format!("{url}: {} of {}", etcd.name, etcd.place));
            found.endpoints.push(url);
        }
        for other in etcds.iter().skip(1) {
            found.how.push(format!(
                "{} of {} is another etcd: give its address by --endpoints to check it",
                other.name, other.place
            ));
        }
    }
    if found.endpoints.is_empty() {
        for apiserver in &known.apiservers {
            let tls = apiserver.cert.is_some();
            let mut servers: Vec<Endpoint> = apiserver
                .servers
                .iter()
                .filter_map(|url| Endpoint::parse(url, tls).ok())
                .collect();
            servers.sort_by_key(|url| !url.is_loopback());
            if !servers.is_empty() {
                found
                    .how
                    .push(format!("--etcd-servers of {}", apiserver.place));
                found.endpoints = servers;
                break;
            }
        }
    }
    if found.endpoints.is_empty()
        && let Some(url) = default
        && let Ok(endpoint) = Endpoint::parse(url, true)
    {
        found
            .how
            .push(format!("{endpoint}: where that distribution runs etcd"));
        found.endpoints.push(endpoint);
    }
    if found.endpoints.is_empty() {
        for path in KINE.iter().filter(|path| root.exists(path)) {
            if let Ok(real) = root.resolve(path) {
                found.how.push(format!("{path}: kine's socket"));
                found.endpoints.push(Endpoint {
                    scheme: Scheme::Unix,
                    address: real.display().to_string(),
                });
                return;
            }
        }
    }
    if found.endpoints.is_empty() {
        found.guessed = true;
        found.how.push(
            "found no etcd among processes and manifests: trying etcdctl's default address"
                .to_owned(),
        );
        found.endpoints.push(Endpoint {
            scheme: if found.access.ca.is_some() {
                Scheme::Https
            } else {
                Scheme::Http
            },
            address: "127.0.0.1:2379".to_owned(),
        });
    }
}

/// Reads the three files of a set; notes what is there and may not be read.
fn read_set(
    root: &HostRoot,
    ca: &str,
    cert: &str,
    key: &str,
    found: &mut Discovered,
) -> Option<(Pem, Identity)> {
    let mut read = |path: &str| match root.read(path, MAX_PEM) {
        Ok(bytes) => Some(Pem {
            path: path.to_owned(),
            bytes,
        }),
        Err(Missing::NotPresent { .. }) => None,
        Err(missing) => {
            let words = missing.to_string();
            if !found.denied.contains(&words) {
                found.denied.push(words);
            }
            None
        }
    };
    let (ca, cert, key) = (read(ca), read(cert), read(key));
    Some((
        ca?,
        Identity {
            cert: cert?,
            key: key?,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        dir
    }

    fn etcd(name: &str, listen: &[&str]) -> LocalEtcd {
        LocalEtcd {
            name: name.to_owned(),
            place: "/proc/7/cmdline".to_owned(),
            listen: listen.iter().map(|url| (*url).to_owned()).collect(),
            ca: Some("/pki/ca.crt".to_owned()),
            cert: Some("/pki/server.crt".to_owned()),
            key: Some("/pki/server.key".to_owned()),
            ..LocalEtcd::default()
        }
    }

    const KUBEADM: [&str; 3] = [
        "etc/kubernetes/pki/etcd/ca.crt",
        "etc/kubernetes/pki/etcd/healthcheck-client.crt",
        "etc/kubernetes/pki/etcd/healthcheck-client.key",
    ];

    fn shown(found: &Discovered) -> Vec<String> {
        found.endpoints.iter().map(Endpoint::to_string).collect()
    }

    #[test]
    fn kubeadm_by_its_process_and_health_check_certificate() {
        let dir = root(&KUBEADM);
        let known = Known {
            etcds: vec![
                etcd("etcd-events", &["https://127.0.0.1:4001"]),
                etcd("etcd", &["https://10.0.0.1:2379", "https://127.0.0.1:2379"]),
            ],
            ..Known::default()
        };
        let found = discover(&HostRoot::new(dir.path()), &known);
        assert_eq!(shown(&found), ["https://127.0.0.1:2379"]);
        let identity = found.access.identity.unwrap();
        assert!(identity.cert.path.ends_with("healthcheck-client.crt"));
        assert_eq!(found.how.len(), 3, "{:?}", found.how);
        assert!(found.how[2].contains("etcd-events"));
    }

    #[test]
    fn the_servers_own_certificate_and_wildcards() {
        let dir = root(&["pki/ca.crt", "pki/server.crt", "pki/server.key"]);
        let known = Known {
            etcds: vec![etcd("etcd", &["https://0.0.0.0:2379"])],
            ..Known::default()
        };
        let found = discover(&HostRoot::new(dir.path()), &known);
        assert_eq!(shown(&found), ["https://127.0.0.1:2379"]);
        assert_eq!(found.access.identity.unwrap().cert.path, "/pki/server.crt");
    }

    #[test]
    fn k3s_by_its_folders_and_an_external_etcd_by_the_api_server() {
        let dir = root(&[
            "var/lib/rancher/k3s/server/tls/etcd/server-ca.crt",
            "var/lib/rancher/k3s/server/tls/etcd/client.crt",
            "var/lib/rancher/k3s/server/tls/etcd/client.key",
        ]);
        let found = discover(&HostRoot::new(dir.path()), &Known::default());
        assert_eq!(shown(&found), ["https://127.0.0.1:2379"]);

        let dir = root(&["e/ca", "e/cert", "e/key"]);
        let known = Known {
            apiservers: vec![ApiServerEtcd {
                place: "kube-apiserver.yaml".to_owned(),
                servers: vec![
                    "https://10.0.0.8:2379".to_owned(),
                    "https://10.0.0.9:2379".to_owned(),
                ],
                ca: Some("/e/ca".to_owned()),
                cert: Some("/e/cert".to_owned()),
                key: Some("/e/key".to_owned()),
            }],
            ..Known::default()
        };
        let found = discover(&HostRoot::new(dir.path()), &known);
        assert_eq!(
            shown(&found),
            ["https://10.0.0.8:2379", "https://10.0.0.9:2379"]
        );
        assert_eq!(found.access.ca.unwrap().path, "/e/ca");
    }

    #[test]
    fn kine_and_nothing() {
        let dir = root(&["var/lib/rancher/k3s/server/kine.sock"]);
        let found = discover(&HostRoot::new(dir.path()), &Known::default());
        assert!(shown(&found)[0].starts_with("unix://") && shown(&found)[0].ends_with("kine.sock"));
        let dir = root(&[]);
        let found = discover(&HostRoot::new(dir.path()), &Known::default());
        assert_eq!(shown(&found), ["http://127.0.0.1:2379"]);
        assert!(found.how[0].contains("found no etcd") && found.guessed);
    }
}
