//! What the readers find: settings as given, with the file and line of each, and instances of
//! components made from them.

use std::fmt;

use crate::catalog::releases::Version;
use crate::catalog::settings::Component;

/// Where something was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file, as it is named inside the root or bundle.
    pub file: String,
    /// The line, from 1; 0 where there are no lines.
    pub line: u32,
}

impl Place {
    pub(super) fn new(file: &str, line: u32) -> Self {
        Place {
            file: file.to_owned(),
            line,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}", self.file)
        } else {
            write!(f, "{}:{}", self.file, self.line)
        }
    }
}

/// How a setting was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Means {
    /// On the command line.
    Flag,
    /// By an environment variable.
    Env,
    /// In a configuration file.
    File,
}

impl Means {
    /// The word used in evidence.
    pub fn word(self) -> &'static str {
        match self {
            Means::Flag => "flag",
            Means::Env => "env",
            Means::File => "file",
        }
    }
}

/// A setting as it stands somewhere. Secrets are masked when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Its name as spelled there: flag without dashes, variable, path in the file.
    pub name: String,
    /// Its value; `None` for a flag without one (`--debug`).
    pub value: Option<String>,
    /// How it was given.
    pub means: Means,
    /// Where.
    pub place: Place,
}

/// The kind of source that an instance was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// A static pod's manifest.
    StaticPod,
    /// A pod, Deployment, StatefulSet or DaemonSet as the API gives it.
    Workload,
    /// A process that runs.
    Process,
    /// A systemd unit with its drop-ins.
    Systemd,
    /// A configuration file alone (kubeadm, k3s, RKE2, Talos, a kubelet's).
    Config,
}

impl SourceKind {
    /// The words used in evidence.
    pub fn word(self) -> &'static str {
        match self {
            SourceKind::StaticPod => "static-pod",
            SourceKind::Workload => "workload",
            SourceKind::Process => "process",
            SourceKind::Systemd => "systemd",
            SourceKind::Config => "config",
        }
    }
}

/// One probe of a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// `liveness`, `readiness` or `startup`.
    pub kind: &'static str,
    /// `http`, `exec`, `tcp` or `grpc`.
    pub how: &'static str,
    /// Path with query, or the command.
    pub path: Option<String>,
    /// Port as written.
    pub port: Option<String>,
    /// Host as written.
    pub host: Option<String>,
    /// Scheme as written.
    pub scheme: Option<String>,
    /// Seconds until one attempt fails (Kubernetes' default 1).
    pub timeout_secs: f64,
    /// Seconds between attempts (default 10).
    pub period_secs: f64,
    /// Failures in a row until the container is restarted (default 3).
    pub failure_threshold: f64,
    /// Seconds before the first attempt (default 0).
    pub initial_delay_secs: f64,
    /// Where.
    pub place: Place,
}

/// A version of a component with where it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionSeen {
    /// `image`, `binary`, `process`, `config`.
    pub source: &'static str,
    /// The version.
    pub version: Version,
    /// The text it was read from.
    pub text: String,
    /// Where.
    pub place: Place,
}

/// CPU and memory of a container as written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    /// `(name, request or limit, quantity)`, such as `("cpu", "limit", "500m")`.
    pub amounts: Vec<(String, &'static str, String)>,
}

/// The object of the API that runs a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// `Deployment`, `StatefulSet`, `DaemonSet`, `Pod`, or `Values` for a chart's values.
    pub kind: String,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The container.
    pub container: String,
    /// How many replicas it asks for, where that is written.
    pub replicas: Option<u32>,
    /// The id of the controller that it is, out of the catalogue.
    pub controller: Option<String>,
}

/// What neither kubeadm nor Talos sets of an etcd, whatever else they do.
pub(super) const ETCD_TIMERS: &[&str] = &["election-timeout", "heartbeat-interval"];

/// One run of a program, as one source describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Name as a subject: `etcd`, `etcd-events`, `kube-apiserver`, `capi-controller-manager`.
    pub name: String,
    /// The catalogued component, when it is one.
    pub component: Option<Component>,
    /// The node, where a folder, a host name or a flag tells.
    pub node: Option<String>,
    /// What was read.
    pub source: SourceKind,
    /// Main place.
    pub place: Place,
    /// Everything given, in order.
    pub given: Vec<Given>,
    /// Words on the command line that belong to no flag.
    pub bare: Vec<String>,
    /// Flags that lack the value they need, with their line.
    pub dangling: Vec<(String, u32)>,
    /// Where a quote of the command line is never closed.
    pub open_quote: Option<Place>,
    /// The image, if any.
    pub image: Option<String>,
    /// The object that runs it, where it is one of the API.
    pub workload: Option<Workload>,
    /// Versions seen.
    pub versions: Vec<VersionSeen>,
    /// Probes.
    pub probes: Vec<Probe>,
    /// Resources.
    pub resources: Resources,
    /// The process, when it is one.
    pub pid: Option<u32>,
    /// Of a process whose cgroup could be read: the systemd service that it runs in, or an empty text when it runs
    /// in none (a container, a shell).
    pub service: Option<String>,
    /// Whether the source only lists additions to what an installer sets (kubeadm, k3s, Talos):
    /// then what it does not name is not known to be the component's default.
    pub partial: bool,
    /// Names that such an installer never sets of itself: what the source does not name of them is the
    /// component's default.
    pub left_alone: &'static [&'static str],
    /// Why a source of its settings could not be read: then too what was not given is not known to
    /// be the default.
    pub unread: Vec<String>,
}

impl Instance {
    pub(super) fn new(name: &str, source: SourceKind, place: Place) -> Self {
        Instance {
            name: name.to_owned(),
            component: None,
            node: None,
            source,
            place,
            given: Vec::new(),
            bare: Vec::new(),
            dangling: Vec::new(),
            open_quote: None,
            image: None,
            workload: None,
            versions: Vec::new(),
            probes: Vec::new(),
            resources: Resources::default(),
            pid: None,
            service: None,
            partial: false,
            left_alone: &[],
            unread: Vec::new(),
        }
    }

    /// Notes the version that a program's path names (`/opt/etcd-v3.5.16-linux-amd64/etcd`).
    pub(super) fn note_binary(&mut self, path: &str, place: Place) {
        let found = path.split('/').rev().find_map(Version::parse);
        if let Some(version) = found
            && !self.versions.iter().any(|seen| seen.source == "binary")
        {
            self.versions.push(VersionSeen {
                source: "binary",
                version,
                text: path.to_owned(),
                place,
            });
        }
    }

    /// The last value given for a flag or file key of that name.
    pub fn last(&self, name: &str) -> Option<&str> {
        self.given
            .iter()
            .rev()
            .find(|given| given.name == name && given.means != Means::Env)
            .and_then(|given| given.value.as_deref())
    }

    /// The newest version seen, the process's own before the image's.
    pub fn version(&self) -> Option<Version> {
        let of = |source: &str| {
            self.versions
                .iter()
                .find(|seen| seen.source == source)
                .map(|seen| seen.version)
        };
        of("process")
            .or_else(|| of("binary"))
            .or_else(|| of("image"))
            .or_else(|| of("config"))
    }
}

/// How much a fault weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// Worth knowing.
    Note,
    /// Probably not what was meant.
    Warn,
    /// The component will not start with it, or the source could not be read.
    Stop,
}

impl Weight {
    /// The word used in evidence.
    pub fn word(self) -> &'static str {
        match self {
            Weight::Note => "note",
            Weight::Warn => "warn",
            Weight::Stop => "stop",
        }
    }
}

/// Something wrong with the settings themselves, or with reading them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind, kebab-case; see the evidence key's documentation for the list.
    pub kind: &'static str,
    /// How much it weighs.
    pub weight: Weight,
    /// The setting it is about, where it is about one.
    pub setting: Option<String>,
    /// What is wrong, in one sentence without a final stop; never a secret.
    pub text: String,
    /// Where.
    pub place: Place,
}

impl Fault {
    pub(super) fn new(
        kind: &'static str,
        weight: Weight,
        place: Place,
        text: impl Into<String>,
    ) -> Self {
        Fault {
            kind,
            weight,
            setting: None,
            text: text.into(),
            place,
        }
    }

    #[must_use]
    pub(super) fn about(mut self, setting: &str) -> Self {
        self.setting = Some(setting.to_owned());
        self
    }
}
