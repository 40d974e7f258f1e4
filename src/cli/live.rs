//! Gathers from the running node: settings first, which say where etcd's data and metrics are,
//! then host facts, metrics, etcd's own API and logs side by side, each with its deadline.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::evidence::{
    Collector, EvidenceSet, KeyInfo, Missing, Origin, Reading, Record, Subject, Window, keys,
};
use crate::metrics::prometheus_api::{self, Range};
use crate::target::HostRoot;
use crate::{host, logs, manifest, metrics};

use super::collect::{Gathered, How, host_hints, log_options};
use super::metrics::AccessArgs;
use super::naming::etcd_nodes;
use super::side_by_side::{End, Job, Show, Why, run};

/// Part of the deadline in which a guest wants to have read the logs, rests and all.
const LOGS_SHARE: f64 = 0.5;
/// How far back logs are read when nobody says otherwise.
pub(super) const DEFAULT_HOURS: i64 = 6;
/// Time for settings: files of the node and of `/proc`.
const SETTINGS_LIMIT: Duration = Duration::from_secs(20);
/// Time for host facts beside the window.
const HOST_LIMIT: Duration = Duration::from_secs(30);
/// Time for metrics beside the window and the time-out of two answers.
const SLACK: Duration = Duration::from_secs(5);
/// Longest time for one collector when nobody says otherwise.
pub(super) const DEADLINE: &str = "5m";

/// A Prometheus to ask in place of the endpoints.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    pub(super) base: String,
    pub(super) selector: String,
    pub(super) range: Range,
}

/// What to gather from a running node.
#[derive(Clone)]
pub(super) struct Live {
    /// `/`, or where a debug pod sees the host.
    pub(super) root: HostRoot,
    /// Time between two samples.
    pub(super) window: Duration,
    /// Longest time for one collector.
    pub(super) deadline: Duration,
    /// Metrics endpoints that the user named.
    pub(super) urls: Vec<String>,
    /// A Prometheus that the user named.
    pub(super) prometheus: Option<Remembered>,
    /// How to reach them.
    pub(super) access: AccessArgs,
    /// How progress is shown.
    pub(super) show: Show,
}

/// Endpoints that are reached with the same credentials.
struct Endpoint {
    url: String,
    access: AccessArgs,
}

/// What one collector gives.
#[derive(Debug, Default)]
struct Part {
    evidence: EvidenceSet,
    problems: Vec<String>,
    /// An endpoint gave nothing at all.
    unheard: bool,
    manifests: Vec<crate::patch::NodeManifests>,
    settings: manifest::ManifestModel,
}

impl Gathered {
    /// Gathers settings and host facts of the running node, and nothing over the network.
    pub(super) fn add_local(&mut self, root: &HostRoot, window: Duration, how: &How<'_>) {
        let mut model = manifest::read_host(root);
        model.asked.clone_from(&self.asked);
        self.problems.extend(manifest::unread(&model));
        let settings = manifest::collect(&model);
        let node = machine_name(&settings, root);
        self.evidence.merge(settings);
        let hints = host_hints(&self.evidence, &node);
        let host = host::read_until(root, &hints, window, how.clock, how.stop);
        self.evidence.merge(host::collect(&host, &node));
    }

    /// Gathers from the running node.
    pub(super) fn add_live(&mut self, live: &Live, how: &How<'_>) {
        let settings = self.live_settings(live, how);
        let node = node_name(&self.evidence, &live.root);
        let found = self.evidence.of_key(&keys::SETTINGS).next().is_some();
        let asked = live.prometheus.is_some() || !live.urls.is_empty();
        // A laptop's disk says nothing of a control plane that is elsewhere.
        let elsewhere = asked && !found;
        let jobs = self.jobs(live, how, settings, &node, elsewhere);
        for (name, end) in run(jobs, how.stop, live.show) {
            match end {
                End::Done(part) => self.take(part),
                End::Cut(part, why) => {
                    self.take(part);
                    self.problems.push(format!(
                        "{name}: {}; what was read by then counts",
                        cut(why)
                    ));
                }
                End::Lost(why) => self.lost(name, why),
            }
        }
        // Endpoints that the settings name were not asked for by anybody.
        self.lacks_named &= asked;
        self.wanted(live, how, found, elsewhere);
    }

    /// Reads settings, in time.
    fn live_settings(&mut self, live: &Live, how: &How<'_>) -> manifest::ManifestModel {
        let (root, asked) = (live.root.clone(), self.asked.clone());
        let limit = SETTINGS_LIMIT.min(live.deadline);
        let job = Job::new("settings", limit, move |_: &AtomicBool| {
            let pods = ["/etc/kubernetes/manifests"];
            let manifests = super::patch::manifests_of(&root, &pods, &|_| {});
            let mut settings = manifest::read_host(&root);
            settings.asked = asked;
            Part {
                evidence: manifest::collect(&settings),
                problems: manifest::unread(&settings),
                unheard: false,
                manifests,
                settings,
            }
        });
        let mut settings = manifest::ManifestModel::default();
        // Over before anybody reads a line of progress.
        for (name, end) in run(vec![job], how.stop, Show::Quiet) {
            match end {
                End::Done(mut part) | End::Cut(mut part, _) => {
                    settings = std::mem::take(&mut part.settings);
                    self.take(part);
                }
                End::Lost(why) => self.lost(name, why),
            }
        }
        settings
    }

    fn jobs(
        &self,
        live: &Live,
        how: &How<'_>,
        settings: manifest::ManifestModel,
        node: &str,
        elsewhere: bool,
    ) -> Vec<Job<Part>> {
        let clock = how.clock;
        let within = |limit: Duration| limit.min(live.deadline.max(live.window));
        let mut jobs = Vec::new();
        let endpoints = endpoints(&self.evidence, live);
        let (window, prometheus, name) = (live.window, live.prometheus.clone(), node.to_owned());
        let limit = match &live.prometheus {
            Some(_) => prometheus_api::MAX_TIME + SLACK,
            None => window + 2 * live.access.timeout + SLACK,
        };
        let access = live.access.clone();
        jobs.push(Job::new(
            "metrics",
            within(limit),
            move |stop: &AtomicBool| match &prometheus {
                Some(from) => remembered(from, &access),
                None => scrape(&endpoints, window, &name, clock, stop),
            },
        ));
        if elsewhere {
            return jobs;
        }
        let (root, name) = (live.root.clone(), node.to_owned());
        let hints = host_hints(&self.evidence, node);
        jobs.push(Job::new(
            "host",
            within(window + HOST_LIMIT),
            move |stop: &AtomicBool| {
                let model = host::read_until(&root, &hints, window, clock, stop);
                Part {
                    evidence: host::collect(&model, &name),
                    ..Part::default()
                }
            },
        ));
        let (root, name) = (live.root.clone(), node.to_owned());
        jobs.push(Job::new(
            "etcd",
            within(window + HOST_LIMIT),
            move |stop: &AtomicBool| {
                let (evidence, problems) = ask_etcd(&root, &settings, &name, window, clock, stop);
                Part {
                    evidence,
                    problems,
                    ..Part::default()
                }
            },
        ));
        let since = how.since.unwrap_or_else(|| default_since(clock.now()));
        let options = log_options(&How {
            since: Some(since),
            ..*how
        });
        let (root, deadline) = (live.root.clone(), live.deadline);
        jobs.push(Job::new("logs", deadline, move |stop: &AtomicBool| {
            let plan = logs::input::plan(&[], &root, Some(since));
            if let Some(pace) = options.read.guest {
                let files = plan.streams.iter().flat_map(|stream| &stream.files);
                pace.plan(files.map(|file| file.size).sum(), deadline.mul_f64(LOGS_SHARE));
            }
            let summary = logs::scan::scan(&plan, &options, stop);
            let mut own = Gathered::default();
            own.add_summary(&summary, "this node's logs");
            if plan.streams.is_empty() {
                own.problems.push(
                    "logs: no control-plane log was found below /var/log, nor a unit's journal: \
                     in a debug pod mount the host's root and give --root, else name logs with --bundle"
                        .to_owned(),
                );
            }
            own.problems.push(format!(
                "logs of this node were read from {since} on (--since says otherwise)"
            ));
            Part {
                evidence: own.evidence,
                problems: own.problems,
                ..Part::default()
            }
        }));
        jobs
    }

    fn take(&mut self, part: Part) {
        self.lacks_named |= part.unheard;
        self.evidence.merge(part.evidence);
        self.problems.extend(part.problems);
        self.manifests.extend(part.manifests);
    }

    /// Notes for each reading of a collector that it could not be had.
    fn lost(&mut self, name: &str, why: Why) {
        let (collector, family): (Collector, &[KeyInfo]) = match name {
            "settings" => (Collector::Manifest, keys::MANIFEST),
            "host" => (Collector::Host, keys::HOST),
            "metrics" => (Collector::Metrics, keys::METRICS),
            "etcd" => (Collector::Etcd, keys::ETCD),
            _ => (Collector::Logs, keys::LOGS),
        };
        self.lacks_named |= collector == Collector::Metrics;
        let missing = match why {
            Why::Late(limit) => Missing::TimedOut {
                source: name.to_owned(),
                after_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
            },
            Why::Stopped | Why::Broken => Missing::NotEnough {
                why: format!("{name}: {}", cut(why)),
            },
        };
        for info in family {
            self.evidence.insert(Record {
                key: info.name.to_owned(),
                subject: Subject::cluster(),
                window: Window::default(),
                covered: Vec::new(),
                origin: Origin::new(collector, "this node"),
                value: Reading::Missing(missing.clone()),
            });
        }
        let help = match (why, name) {
            (Why::Late(_), "metrics") => {
                ": an endpoint takes connections and does not answer; a longer --timeout, or fewer --metrics-url"
            }
            (Why::Late(_), "logs") => ": a later --since reads less, a longer --deadline more",
            (Why::Late(_), _) => {
                ": a read hangs in the kernel or the node is very slow; a longer --deadline waits for it"
            }
            (Why::Stopped | Why::Broken, _) => "",
        };
        self.problems
            .push(format!("{name}: nothing, {}{help}", cut(why)));
    }

    /// Says what would have given more, where that is plain: another user, an address, a mount.
    fn wanted(&mut self, live: &Live, how: &How<'_>, found: bool, elsewhere: bool) {
        if elsewhere {
            self.problems.push(
                "this node runs no control plane: only the metrics were asked, not its disk and its logs"
                    .to_owned(),
            );
            return;
        }
        if !found && how.stop.load(std::sync::atomic::Ordering::Relaxed) {
            return;
        }
        if !found {
            self.problems.push(format!(
                "settings: no etcd and no Kubernetes component was found under {}: on a node with neither give \
                 --metrics-url, or --prometheus; in a debug pod --root /host",
                live.root.path().display()
            ));
        } else if !self
            .evidence
            .of_key(&keys::SETTINGS)
            .any(|r| r.subject.name == "etcd")
        {
            self.problems.push(
                "etcd: none runs here (external, or on other nodes): its disk and its log were not seen; \
                 run this on its node too with --save, and put the files together with --bundle"
                    .to_owned(),
            );
        }
        let denied = denied(&self.evidence);
        if !denied.is_empty() {
            let root = match rustix::process::geteuid().is_root() {
                true => "although run as root: a container needs privileges and the host's root",
                false => "run it as root (sudo)",
            };
            self.problems
                .push(format!("no permission for {}: {root}", denied.join(", ")));
        }
        if !rustix::process::geteuid().is_root() {
            self.problems.push(
                "not run as root: processes, logs and certificates of the control plane are mostly closed to others; \
                 sudo gives more"
                    .to_owned(),
            );
        }
    }
}

/// Why a collector did not come to its end, in words.
fn cut(why: Why) -> String {
    match why {
        Why::Late(limit) => format!(
            "not done within {}",
            crate::units::format_ms(limit.as_secs_f64() * 1e3)
        ),
        Why::Stopped => "the run was stopped".to_owned(),
        Why::Broken => "it failed, which is a fault of this program".to_owned(),
    }
}

/// What was closed to us, a few of them by name.
fn denied(evidence: &EvidenceSet) -> Vec<String> {
    const NAMED: usize = 4;
    let mut sources: Vec<String> = evidence
        .records()
        .filter_map(|record| match &record.value {
            Reading::Missing(Missing::Denied { source }) => Some(source.clone()),
            _ => None,
        })
        .collect();
    sources.sort();
    sources.dedup();
    let more = sources.len().saturating_sub(NAMED);
    sources.truncate(NAMED);
    if more > 0 {
        sources.push(format!("{more} more"));
    }
    sources
}

/// What the node's own etcd says, and what stood in the way.
#[cfg(feature = "live")]
fn ask_etcd(
    root: &HostRoot,
    settings: &manifest::ManifestModel,
    node: &str,
    window: Duration,
    clock: Clock,
    stop: &AtomicBool,
) -> (EvidenceSet, Vec<String>) {
    super::live_etcd::ask(root, settings, node, window, clock, stop)
}

/// Without etcd's protocol there is nobody to ask.
#[cfg(not(feature = "live"))]
fn ask_etcd(
    _: &HostRoot,
    _: &manifest::ManifestModel,
    _: &str,
    _: Duration,
    _: Clock,
    _: &AtomicBool,
) -> (EvidenceSet, Vec<String>) {
    (EvidenceSet::new(), Vec::new())
}

/// The begin of the default log window.
pub(super) fn default_since(now: Timestamp) -> Timestamp {
    now.add_us(-DEFAULT_HOURS * 3_600_000_000)
}

/// The node's name. Several main etcds in one tree bear their members' names, and none of these is
/// the machine's.
fn machine_name(settings: &EvidenceSet, root: &HostRoot) -> String {
    match etcd_nodes(settings).len() {
        0 | 1 => node_name(settings, root),
        _ => host::hostname(root).unwrap_or_else(|| node_name(settings, root)),
    }
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

/// Scrapes each endpoint twice, all of them side by side, so that all windows are the same.
fn scrape(
    endpoints: &[Endpoint],
    window: Duration,
    node: &str,
    clock: Clock,
    stop: &AtomicBool,
) -> Part {
    let mut part = Part::default();
    let mut loaders = Vec::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = endpoints
            .iter()
            .map(|endpoint| {
                scope.spawn(move || {
                    let mut loader = metrics::Loader::new(metrics::Limits::default());
                    let fetcher = endpoint.access.fetcher().map_err(|err| err.to_string())?;
                    let urls = std::slice::from_ref(&endpoint.url);
                    metrics::fetch::live(&fetcher, urls, window, clock, stop, &mut loader);
                    Ok::<_, String>(loader)
                })
            })
            .collect();
        for worker in workers {
            match worker.join() {
                Ok(Ok(loader)) => loaders.push(loader),
                Ok(Err(why)) => {
                    part.unheard = true;
                    part.problems.push(why);
                }
                Err(_) => part.problems.push("metrics could not be read".to_owned()),
            }
        }
    });
    for loader in loaders {
        let mut model = loader.finish();
        part.unheard |= model.timelines.is_empty();
        part.problems.extend(not_reached(&model));
        model.map_nodes(|target| target.node.is_none().then(|| node.to_owned()));
        part.evidence.merge(metrics::collect(&model));
    }
    part.problems.dedup();
    part
}

/// What a Prometheus remembers.
fn remembered(from: &Remembered, access: &AccessArgs) -> Part {
    let mut part = Part::default();
    match access.fetcher() {
        Ok(fetcher) => {
            let mut loader = metrics::Loader::new(metrics::Limits::default());
            prometheus_api::query(
                &fetcher,
                &from.base,
                from.range,
                &from.selector,
                &mut loader,
            );
            let model = loader.finish();
            part.unheard = model.timelines.is_empty();
            part.problems.extend(not_reached(&model));
            part.evidence.merge(metrics::collect(&model));
        }
        Err(err) => {
            part.unheard = true;
            part.problems.push(err.to_string());
        }
    }
    part
}

fn not_reached(model: &metrics::Model) -> Vec<String> {
    model
        .faults
        .iter()
        .filter(|fault| fault.kind == metrics::FaultKind::NotReached)
        .map(|fault| format!("metrics of {}: {}", fault.source, fault.what))
        .collect()
}

/// Where the metrics are: what the user named, or what the settings of this node say.
fn endpoints(evidence: &EvidenceSet, live: &Live) -> Vec<Endpoint> {
    if !live.urls.is_empty() {
        return live
            .urls
            .iter()
            .map(|url| Endpoint {
                url: metrics::fetch::complete(url),
                access: live.access.clone(),
            })
            .collect();
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
            groups.push(Endpoint {
                url: metrics::fetch::complete(&url.replace("0.0.0.0", "127.0.0.1")),
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
        groups.push(Endpoint {
            url: format!(
                "https://127.0.0.1:{}/metrics",
                port("kube-apiserver", "6443")
            ),
            access: with_certificates(live, "ca.crt", "apiserver-kubelet-client", false),
        });
    }
    for (name, default) in [
        ("kube-controller-manager", "10257"),
        ("kube-scheduler", "10259"),
    ] {
        if has(name) {
            groups.push(Endpoint {
                url: format!("https://127.0.0.1:{}/metrics", port(name, default)),
                // Their certificates are made at each start and signed by nobody; it is the loopback.
                access: with_certificates(live, "ca.crt", "apiserver-kubelet-client", true),
            });
        }
    }
    groups
}

/// The user's credentials, or kubeadm's where they exist.
fn with_certificates(live: &Live, ca: &str, client: &str, insecure: bool) -> AccessArgs {
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
