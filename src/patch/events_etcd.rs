//! A second etcd for events: one static pod per control-plane node, made from the main one's.
//!
//! Image, certificates and tuning flags are main etcd's own, so the version is the same and the
//! one client certificate of kube-apiserver is accepted. Names, addresses, ports and the data
//! directory are its own.

use std::collections::BTreeMap;

use yaml_serde::Value;

use crate::catalog::releases::Version;

use super::argv;
use super::members::joined;
use super::pod::Pod;
use super::yaml::scalar;

/// 2381 is kubeadm's metrics port of main etcd.
pub(super) const CLIENT_PORT: u16 = 2382;
/// Its own disk is to be mounted here.
pub(super) const DATA_DIR: &str = "/var/lib/etcd-events";
/// Half of the suggested maximum: events live one hour.
const QUOTA: &str = "4294967296";

/// Flags that say who and where a member is; never copied.
const OWN: &[&str] = &[
    "advertise-client-urls",
    "config-file",
    "data-dir",
    "force-new-cluster",
    "initial-advertise-peer-urls",
    "initial-cluster",
    "initial-cluster-state",
    "initial-cluster-token",
    "listen-client-http-urls",
    "listen-client-urls",
    "listen-metrics-urls",
    "listen-peer-urls",
    "log-outputs",
    "name",
    "quota-backend-bytes",
    "unsafe-no-fsync",
    "wal-dir",
];

/// A member of main etcd: where the shard's member goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member {
    pub(super) name: String,
    /// How its peers are asked.
    pub(super) scheme: String,
    /// How its clients are asked.
    pub(super) client: String,
    pub(super) host: String,
    /// Its client port; peers and metrics have the two behind it.
    pub(super) port: u16,
}

impl Member {
    /// Where kube-apiserver finds the shard's member.
    pub(super) fn url(&self) -> String {
        format!("{}://{}:{}", self.client, self.host, self.port)
    }

    /// Its three ports.
    pub(super) fn ports(&self) -> [u16; 3] {
        [self.port, self.port + 1, self.port + 2]
    }
}

/// The port of the events' servers in the value of an override; the usual one where it tells none.
fn port_in(overrides: &str) -> u16 {
    let mine = |entry: &&str| entry.trim().starts_with("/events#");
    overrides
        .split(',')
        .find(mine)
        .and_then(|entry| {
            entry
                .split(';')
                .next()?
                .rsplit_once(':')?
                .1
                .trim()
                .parse()
                .ok()
        })
        .filter(|port| *port < u16::MAX - 2)
        .unwrap_or(CLIENT_PORT)
}

/// Members with the scheme of main etcd's client URLs and the port that the override names.
pub(super) fn reached(
    mut members: Vec<Member>,
    client_urls: Option<&str>,
    overrides: &str,
) -> Vec<Member> {
    let client = client_urls.and_then(|urls| address(urls.split(',').next()?));
    for member in &mut members {
        if let Some((scheme, _)) = &client {
            member.client.clone_from(scheme);
        }
        member.port = port_in(overrides);
    }
    members
}

/// Why the shard would meet something of main etcd's or kube-apiserver's, given their flags.
pub(super) fn conflict<'a>(
    flags: impl Iterator<Item = (&'a String, &'a String)>,
    ports: &[u16],
) -> Option<String> {
    let inside = |a: &str, b: &str| {
        let (a, b) = (a.trim_end_matches('/'), b.trim_end_matches('/'));
        a == b || a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'))
    };
    for (name, value) in flags {
        if ["data-dir", "wal-dir"].contains(&name.as_str())
            && (inside(value, DATA_DIR) || inside(DATA_DIR, value))
        {
            return Some(format!(
                "main etcd has --{name}={value}, and the second etcd's data would go to {DATA_DIR}: two \
                 etcds in one folder destroy each other's data. Build the second one by hand with a \
                 folder and a disk of its own"
            ));
        }
        let taken = value.split([',', ';']).find(|url| {
            let port = url
                .split_once("://")
                .and_then(|(_, rest)| rest.split('/').next()?.rsplit_once(':')?.1.parse().ok());
            port.is_some_and(|port: u16| ports.contains(&port))
        });
        if let Some(url) = taken {
            return Some(format!(
                "--{name} has {url}, and the second etcd needs the ports {ports:?}: whoever starts last \
                 does not come up. Choose other ports and build it by hand"
            ));
        }
    }
    None
}

/// `scheme` and `host` of a URL.
fn address(url: &str) -> Option<(String, String)> {
    let (scheme, rest) = url.trim().split_once("://")?;
    let authority = rest.split('/').next()?;
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    (!host.is_empty()).then(|| (scheme.to_owned(), host.to_owned()))
}

/// The members that main etcd's manifests name, all of them together: the first node of a kubeadm
/// cluster names only itself.
pub(super) fn members<'a>(pods: impl Iterator<Item = &'a Pod>) -> Vec<Member> {
    members_of(pods.filter_map(|pod| pod.flag("initial-cluster")))
}

/// The members that lists in the form of `--initial-cluster` name, all of them together.
pub(super) fn members_of(lists: impl Iterator<Item = String>) -> Vec<Member> {
    let mut all: BTreeMap<String, Member> = BTreeMap::new();
    for cluster in lists {
        for one in cluster.split(',') {
            if let Some((name, url)) = one.split_once('=')
                && let Some((scheme, host)) = address(url)
            {
                all.insert(
                    name.trim().to_owned(),
                    Member {
                        name: name.trim().to_owned(),
                        client: scheme.clone(),
                        scheme,
                        host,
                        port: CLIENT_PORT,
                    },
                );
            }
        }
    }
    all.into_values().collect()
}

/// The override that points kube-apiserver at the members.
pub(super) fn servers(members: &[Member]) -> String {
    members
        .iter()
        .map(Member::url)
        .collect::<Vec<_>>()
        .join(";")
}

/// How many servers an override has for events, those without an address among them.
pub(super) fn places_in(overrides: &str) -> usize {
    overrides
        .rsplit_once("/events#")
        .map_or(1, |(_, servers)| servers.split([';', ',']).count())
}

/// Why nothing is written where not all members are known.
pub(super) fn unaddressed(names: &[String], proposed: &str) -> Option<String> {
    (!names.is_empty()).then(|| {
        format!(
            "the files that were given name only {} as etcd's members, and nothing tells whether those are \
             all (the first node of a cluster names only itself): give the files of every control-plane \
             node, a folder a node, and run this again. By hand it is {proposed}",
            joined(names)
        )
    })
}

/// The manifest for one member, read back.
pub(super) fn manifest(
    main: &Pod,
    member: &Member,
    members: &[Member],
    version: Option<Version>,
) -> Result<String, String> {
    let image = main.image().ok_or("main etcd's manifest names no image")?;
    let argv = main.argv();
    let program = argv.first().cloned().unwrap_or_else(|| "etcd".to_owned());
    let flags = flags(main, member, members, version);
    let mut command = String::new();
    for arg in std::iter::once(program).chain(flags.iter().map(|(n, v)| format!("--{n}={v}"))) {
        command = format!("{command}    - {}\n", scalar(&arg));
    }
    let (mounts, volumes) = volumes(main);
    let probes = probes(version, member.port + 2);
    let requests = requests(main);
    let text = format!(
        "\
# A second etcd, for events only. The disk of {DATA_DIR} must be its own: see STEPS.md.
apiVersion: v1
kind: Pod
metadata:
  name: etcd-events
  namespace: kube-system
  labels:
    component: etcd-events
    tier: control-plane
spec:
  hostNetwork: true
  priorityClassName: system-node-critical
  containers:
  - name: etcd-events
    image: {image}
    imagePullPolicy: IfNotPresent
    command:
{command}{probes}{requests}    volumeMounts:
    - name: etcd-events-data
      mountPath: {DATA_DIR}
{mounts}  volumes:
  - name: etcd-events-data
    hostPath:
      path: {DATA_DIR}
      # Not DirectoryOrCreate: without its disk the shard must not start on the root disk.
      type: Directory
{volumes}",
        image = scalar(image),
    );
    let read = Pod::parse(&text, "etcd-events").map_err(|refusal| refusal.to_string())?;
    let wanted: BTreeMap<String, String> = flags.into_iter().collect();
    if read.effective() != wanted {
        return Err("the manifest does not read back as meant".to_owned());
    }
    Ok(text)
}

fn flags(
    main: &Pod,
    member: &Member,
    members: &[Member],
    version: Option<Version>,
) -> Vec<(String, String)> {
    own_flags(
        &argv::effective(&main.argv(), true),
        member,
        members,
        version,
    )
}

/// Whether a version has no port of its own for metrics and probes, `--listen-metrics-urls`, and does
/// not start with that flag: it came with 3.3 (etcd CHANGELOG-3.3).
fn has_no_metrics_port(version: Option<Version>) -> bool {
    version.is_some_and(|version| version < Version::minor(3, 3))
}

/// Main etcd's flags with those of the shard's member in place of its own.
pub(super) fn own_flags(
    main: &BTreeMap<String, String>,
    member: &Member,
    members: &[Member],
    version: Option<Version>,
) -> Vec<(String, String)> {
    let Member {
        scheme, host, name, ..
    } = member;
    let [port, peer_port, metrics_port] = member.ports();
    let local = host == "localhost" || host.starts_with("127.");
    let own = member.url();
    let listen = if local {
        own.clone()
    } else {
        format!("{}://127.0.0.1:{port},{own}", member.client)
    };
    let peer = format!("{scheme}://{host}:{peer_port}");
    let cluster = members
        .iter()
        .map(|m| format!("{}-events={}://{}:{}", m.name, m.scheme, m.host, m.port + 1))
        .collect::<Vec<_>>()
        .join(",");
    let mut flags: BTreeMap<String, String> = main
        .iter()
        .filter(|(name, _)| !OWN.contains(&name.as_str()) && !name.starts_with("discovery"))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for (flag, value) in [
        ("name", format!("{name}-events")),
        ("data-dir", DATA_DIR.to_owned()),
        ("listen-client-urls", listen),
        ("advertise-client-urls", own),
        ("listen-peer-urls", peer.clone()),
        ("initial-advertise-peer-urls", peer),
        ("initial-cluster", cluster),
        ("initial-cluster-token", "etcd-events-1".to_owned()),
        ("initial-cluster-state", "new".to_owned()),
        (
            "listen-metrics-urls",
            format!("http://127.0.0.1:{metrics_port}"),
        ),
        ("quota-backend-bytes", QUOTA.to_owned()),
    ] {
        flags.insert(flag.to_owned(), value);
    }
    if has_no_metrics_port(version) {
        flags.remove("listen-metrics-urls");
    }
    flags.into_iter().collect()
}

/// Probes that the version understands: `/livez` from 3.5.11 and 3.4.29, `serializable=` from
/// 3.5.3 and 3.4.29 on. Without a port of their own they would need a client certificate, which the
/// kubelet has none of.
fn probes(version: Option<Version>, metrics_port: u16) -> String {
    if has_no_metrics_port(version) {
        return String::new();
    }
    let at_least = |patch34: u16, patch35: u16| {
        version.is_some_and(|v| match (v.major, v.minor) {
            (3, 4) => v.patch >= patch34,
            (3, 5) => v.patch >= patch35,
            (major, minor) => (major, minor) > (3, 5),
        })
    };
    let (live, ready) = if at_least(29, 11) {
        ("/livez", "/readyz")
    } else if at_least(29, 3) {
        (
            "/health?exclude=NOSPACE&serializable=true",
            "/health?serializable=false",
        )
    } else {
        ("/health", "/health")
    };
    let one = |kind: &str, path: &str, failures: u8| {
        format!(
            "    {kind}:
      httpGet:
        host: 127.0.0.1
        path: {}
        port: {metrics_port}
        scheme: HTTP
      failureThreshold: {failures}
      initialDelaySeconds: 10
      periodSeconds: 10
      timeoutSeconds: 15\n",
            scalar(path)
        )
    };
    format!(
        "{}{}",
        one("livenessProbe", live, 8),
        one("startupProbe", ready, 24)
    )
}

/// CPU and memory requests as main etcd has them. Limits are not copied: they throttle.
fn requests(main: &Pod) -> String {
    let Some(requests) = main
        .get(&["resources", "requests"])
        .and_then(Value::as_mapping)
    else {
        return String::new();
    };
    let mut text = "    resources:\n      requests:\n".to_owned();
    for (name, amount) in requests {
        let amount = match amount {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => continue,
        };
        text = format!(
            "{text}        {}: {}\n",
            scalar(name.as_str().unwrap_or_default()),
            scalar(&amount)
        );
    }
    text
}

/// Main etcd's mounts and volumes without its data: where its certificates come from.
fn volumes(main: &Pod) -> (String, String) {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let data = main.flag("data-dir").unwrap_or_default();
    let wal = main.flag("wal-dir").unwrap_or_default();
    let tls = ["cert-file", "peer-cert-file", "config-file"]
        .iter()
        .any(|flag| main.flag(flag).is_some());
    let mut found = Vec::new();
    let mounts = main.get(&["volumeMounts"]).and_then(Value::as_sequence);
    let volumes = main
        .pod_value(&["spec", "volumes"])
        .and_then(Value::as_sequence);
    for mount in mounts.into_iter().flatten() {
        let (Some(name), Some(path)) = (text(mount.get("name")), text(mount.get("mountPath")))
        else {
            continue;
        };
        let holds = |dir: &str| !dir.is_empty() && dir.starts_with(path.trim_end_matches('/'));
        if holds(&data) || holds(&wal) {
            continue;
        }
        // Without TLS the folder of certificates may not be there, and a folder that is not there keeps
        // the pod from starting.
        let named = || {
            main.effective()
                .values()
                .any(|value| value.starts_with(&path))
        };
        if !tls && !named() {
            continue;
        }
        let host = volumes
            .into_iter()
            .flatten()
            .find(|volume| text(volume.get("name")).as_deref() == Some(&name))
            .and_then(|volume| text(volume.get("hostPath")?.get("path")));
        if let Some(host) = host {
            found.push((name, path, host));
        }
    }
    if found.is_empty()
        && let Some((dir, _)) = main
            .flag("cert-file")
            .as_deref()
            .and_then(|file| file.rsplit_once('/'))
    {
        found.push(("etcd-certs".to_owned(), dir.to_owned(), dir.to_owned()));
    }
    let mut out = (String::new(), String::new());
    for (name, path, host) in found {
        let (name, path, host) = (scalar(&name), scalar(&path), scalar(&host));
        out.0 = format!(
            "{}    - name: {name}\n      mountPath: {path}\n      readOnly: true\n",
            out.0
        );
        out.1 = format!(
            "{}  - name: {name}\n    hostPath:\n      path: {host}\n      type: Directory\n",
            out.1
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_etcd_gets_no_flag_that_it_does_not_know() {
        let member = Member {
            name: "cp0".to_owned(),
            scheme: "https".to_owned(),
            client: "https".to_owned(),
            host: "10.0.0.1".to_owned(),
            port: CLIENT_PORT,
        };
        let members = [member];
        let metrics = |version: Option<Version>| {
            let flags = own_flags(&BTreeMap::new(), &members[0], &members, version);
            let has = flags.iter().any(|(name, _)| name == "listen-metrics-urls");
            assert_eq!(has, !probes(version, 2384).is_empty());
            has
        };
        assert!(!metrics(Some(Version::new(3, 2, 24))));
        assert!(metrics(Some(Version::new(3, 3, 0))));
        assert!(metrics(None));
    }

    #[test]
    fn places_of_an_override_are_counted() {
        for (value, places) in [
            ("/events#https://10.0.0.1:2382;https://<etcd-2>:2382", 2),
            (
                "/pods#https://a:1;https://b:1,/events#http://<etcd>:2382",
                1,
            ),
        ] {
            assert_eq!(places_in(value), places, "{value}");
        }
    }
}
