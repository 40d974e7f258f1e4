//! Gathers from the running node: settings first, which say where etcd's data and metrics are,
//! then host facts, metrics, etcd's own API and logs side by side.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::evidence::{EvidenceSet, keys};
use crate::target::HostRoot;
use crate::{host, logs, manifest, metrics};

use super::collect::{Gathered, How, host_hints, scan_logs};
use super::metrics::AccessArgs;

/// How far back logs are read when nobody says otherwise.
pub(super) const DEFAULT_HOURS: i64 = 6;

/// What to gather from a running node.
pub(super) struct Live<'a> {
    /// `/`, or where a debug pod sees the host.
    pub(super) root: HostRoot,
    /// Time between two samples.
    pub(super) window: Duration,
    /// Metrics endpoints that the user named.
    pub(super) urls: Vec<String>,
    /// How to reach them.
    pub(super) access: &'a AccessArgs,
    /// Whether to read logs.
    pub(super) logs: bool,
}

/// Endpoints that are reached with the same credentials.
struct Endpoints {
    urls: Vec<String>,
    access: AccessArgs,
}

impl Gathered {
    /// Gathers settings and host facts of the running node, and nothing over the network.
    pub(super) fn add_local(&mut self, live: &Live<'_>, how: &How<'_>) {
        let mut model = manifest::read_host(&live.root);
        model.asked.clone_from(&self.asked);
        let settings = manifest::collect(&model);
        let node = node_name(&settings, &live.root);
        self.evidence.merge(settings);
        let hints = host_hints(&self.evidence, &node);
        let host = host::read(&live.root, &hints, live.window, how.clock);
        self.evidence.merge(host::collect(&host, &node));
    }

    /// Gathers from the running node.
    pub(super) fn add_live(&mut self, live: &Live<'_>, how: &How<'_>) {
        let pods = ["/etc/kubernetes/manifests"];
        self.manifests
            .extend(super::patch::manifests_of(&live.root, &pods, &|_| {}));
        let mut model = manifest::read_host(&live.root);
        model.asked.clone_from(&self.asked);
        let settings = manifest::collect(&model);
        let node = node_name(&settings, &live.root);
        self.evidence.merge(settings);
        let hints = host_hints(&self.evidence, &node);
        let endpoints = endpoints(&self.evidence, live);
        let since = how.since.unwrap_or_else(|| default_since(how.clock.now()));
        // Two samples take the window; logs are read meanwhile.
        let (host, (scraped, problems), asked, logs) = std::thread::scope(|scope| {
            let host = scope.spawn(|| host::read(&live.root, &hints, live.window, how.clock));
            let scraped = scope.spawn(|| scrape(&endpoints, live.window, how));
            let asked = live
                .logs
                .then(|| scope.spawn(|| ask_etcd(live, &model, &node, how)));
            let logs = live.logs.then(|| {
                let plan = logs::input::plan(&[], &live.root, Some(since));
                scan_logs(
                    &plan,
                    &How {
                        since: Some(since),
                        ..*how
                    },
                )
            });
            let asked = asked.and_then(|asked| asked.join().ok());
            (
                host.join(),
                scraped.join().unwrap_or_default(),
                asked.unwrap_or_default(),
                logs,
            )
        });
        match host {
            Ok(host) => self.evidence.merge(host::collect(&host, &node)),
            Err(_) => self
                .problems
                .push("the host's facts could not be read".to_owned()),
        }
        self.problems.extend(problems);
        self.evidence.merge(asked.0);
        self.problems.extend(asked.1);
        let mut scraped = scraped;
        scraped.map_nodes(|target| target.node.is_none().then(|| node.clone()));
        self.evidence.merge(metrics::collect(&scraped));
        if let Some(summary) = logs {
            self.add_summary(&summary, "this node's logs");
            self.problems.push(format!(
                "logs of this node were read from {since} on (--since says otherwise)"
            ));
        }
    }
}

/// What the node's own etcd says, and what stood in the way.
#[cfg(feature = "live")]
fn ask_etcd(
    live: &Live<'_>,
    settings: &manifest::ManifestModel,
    node: &str,
    how: &How<'_>,
) -> (EvidenceSet, Vec<String>) {
    super::live_etcd::ask(&live.root, settings, node, live.window, how.clock, how.stop)
}

/// Without etcd's protocol there is nobody to ask.
#[cfg(not(feature = "live"))]
fn ask_etcd(
    _: &Live<'_>,
    _: &manifest::ManifestModel,
    _: &str,
    _: &How<'_>,
) -> (EvidenceSet, Vec<String>) {
    (EvidenceSet::new(), Vec::new())
}

/// The begin of the default log window.
pub(super) fn default_since(now: Timestamp) -> Timestamp {
    now.add_us(-DEFAULT_HOURS * 3_600_000_000)
}

fn node_name(settings: &EvidenceSet, root: &HostRoot) -> String {
    let of_settings = settings
        .of_key(&keys::SETTINGS)
        .find_map(|r| r.subject.node.clone());
    of_settings.unwrap_or_else(|| {
        root.read_text("/etc/hostname")
            .map(|name| name.trim().to_owned())
            .unwrap_or_default()
    })
}

fn scrape(
    endpoints: &[Endpoints],
    window: Duration,
    how: &How<'_>,
) -> (metrics::Model, Vec<String>) {
    let mut problems = Vec::new();
    let mut loaders = Vec::new();
    // Side by side, so that all windows are the same.
    std::thread::scope(|scope| {
        let workers: Vec<_> = endpoints
            .iter()
            .map(|group| {
                scope.spawn(move || {
                    let mut loader = metrics::Loader::new(metrics::Limits::default());
                    let fetcher = group.access.fetcher().map_err(|err| err.to_string())?;
                    metrics::fetch::live(
                        &fetcher,
                        &group.urls,
                        window,
                        how.clock,
                        how.stop,
                        &mut loader,
                    );
                    Ok::<_, String>(loader)
                })
            })
            .collect();
        for worker in workers {
            match worker.join() {
                Ok(Ok(loader)) => loaders.push(loader),
                Ok(Err(why)) => problems.push(why),
                Err(_) => problems.push("metrics could not be read".to_owned()),
            }
        }
    });
    let mut model = metrics::Model::default();
    for loader in loaders {
        let part = loader.finish();
        problems.extend(
            part.faults
                .iter()
                .filter(|fault| fault.kind == metrics::FaultKind::NotReached)
                .map(|fault| format!("metrics of {}: {}", fault.source, fault.what)),
        );
        model.timelines.extend(part.timelines);
        model.faults.extend(part.faults);
    }
    (model, problems)
}

/// Where the metrics are: what the user named, or what the settings of this node say.
fn endpoints(evidence: &EvidenceSet, live: &Live<'_>) -> Vec<Endpoints> {
    if !live.urls.is_empty() {
        let urls = live
            .urls
            .iter()
            .map(|url| metrics::fetch::complete(url))
            .collect();
        return vec![Endpoints {
            urls,
            access: live.access.clone(),
        }];
    }
    let mut groups = Vec::new();
    let own = |name: &str, setting: &str| -> Option<String> {
        evidence
            .of_key(&keys::SETTINGS)
            .filter(|r| r.subject.name == name)
            .find_map(|record| {
                let crate::evidence::Reading::Known(shape) = &record.value else {
                    return None;
                };
                let table =
                    <crate::evidence::Table as crate::evidence::FromShape>::from_shape(shape)?;
                let value = table.row(setting)?.get_text("value")?.to_owned();
                (!value.is_empty()).then_some(value)
            })
    };
    if let Some(listen) =
        own("etcd", "listen-metrics-urls").or_else(|| own("etcd", "listen-client-urls"))
    {
        // One address is enough; the loopback is the surest.
        let urls: Vec<&str> = listen.split(',').map(str::trim).collect();
        let best = urls
            .iter()
            .find(|url| url.contains("127.0.0.1"))
            .or(urls.first());
        if let Some(url) = best {
            groups.push(Endpoints {
                urls: vec![metrics::fetch::complete(
                    &url.replace("0.0.0.0", "127.0.0.1"),
                )],
                access: with_certificates(live, "etcd/ca.crt", "etcd/healthcheck-client", false),
            });
        }
    }
    let port =
        |name: &str, default: &str| own(name, "secure-port").unwrap_or_else(|| default.to_owned());
    let has = |name: &str| {
        evidence
            .of_key(&keys::SETTINGS)
            .any(|r| r.subject.name == name)
    };
    if has("kube-apiserver") {
        groups.push(Endpoints {
            urls: vec![format!(
                "https://127.0.0.1:{}/metrics",
                port("kube-apiserver", "6443")
            )],
            access: with_certificates(live, "ca.crt", "apiserver-kubelet-client", false),
        });
    }
    for (name, default) in [
        ("kube-controller-manager", "10257"),
        ("kube-scheduler", "10259"),
    ] {
        if has(name) {
            groups.push(Endpoints {
                urls: vec![format!("https://127.0.0.1:{}/metrics", port(name, default))],
                // Their certificates are made at each start and signed by nobody; it is the loopback.
                access: with_certificates(live, "ca.crt", "apiserver-kubelet-client", true),
            });
        }
    }
    groups
}

/// The user's credentials, or kubeadm's where they exist.
fn with_certificates(live: &Live<'_>, ca: &str, client: &str, insecure: bool) -> AccessArgs {
    let mut access = live.access.clone();
    let pki = Path::new("/etc/kubernetes/pki");
    let existing = |name: &str| -> Option<PathBuf> {
        let real = live.root.resolve(pki.join(name)).ok()?;
        real.is_file().then_some(real)
    };
    if access.cacert.is_none() {
        access.cacert = existing(ca);
    }
    if access.cert.is_none()
        && let (Some(cert), Some(key)) = (
            existing(&format!("{client}.crt")),
            existing(&format!("{client}.key")),
        )
    {
        access.cert = Some(cert);
        access.key = Some(key);
    }
    access.insecure_skip_tls_verify |= insecure;
    access
}
