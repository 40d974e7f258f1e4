//! Settings of etcd and the Kubernetes components: name, type and default by version.
//!
//! One table a component, sorted by name. The main name of a setting is the newest one; older
//! spellings (`--experimental-…`) and feature gates that replaced flags are kept as former names
//! with the versions that accept them. Every row says where its facts come from.

mod apiserver;
mod controller_manager;
mod etcd;
mod kubelet;
mod lookup;
pub mod overrides;
mod scheduler;
mod value;

pub use lookup::{
    DefaultOf, Existence, Found, Spelling, env_name, flag_of_env, setting, setting_of_file,
    settings, stops_at_both,
};
pub use value::{
    allowance, parse_bool, parse_duration_setting, parse_float, parse_gates, parse_int, parse_list,
};

use super::releases::Version;

/// The components whose settings are catalogued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// etcd itself.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// The kubelet.
    Kubelet,
}

impl Component {
    /// All of them.
    pub const ALL: [Component; 5] = [
        Component::Etcd,
        Component::ApiServer,
        Component::ControllerManager,
        Component::Scheduler,
        Component::Kubelet,
    ];

    /// The program's name.
    pub const fn program(self) -> &'static str {
        match self {
            Component::Etcd => "etcd",
            Component::ApiServer => "kube-apiserver",
            Component::ControllerManager => "kube-controller-manager",
            Component::Scheduler => "kube-scheduler",
            Component::Kubelet => "kubelet",
        }
    }

    /// The component behind the name of a subject: `etcd-events` is an etcd too.
    pub fn of_subject(name: &str) -> Option<Self> {
        match name {
            "etcd-events" | "etcd-leases" | "etcd-main" => Some(Component::Etcd),
            _ => Component::of_program(name),
        }
    }

    /// The component that a program's name means.
    pub fn of_program(name: &str) -> Option<Self> {
        match name {
            "apiserver" => Some(Component::ApiServer),
            "controller-manager" => Some(Component::ControllerManager),
            "scheduler" => Some(Component::Scheduler),
            _ => Component::ALL.into_iter().find(|c| c.program() == name),
        }
    }
}

/// What a value is. Decides how repeated flags combine and how texts compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Yes or no.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// A size in bytes, as a whole number.
    Bytes,
    /// A Go duration (`10ms`, `1h0m0s`); in etcd's file whole nanoseconds.
    Duration,
    /// A whole number of milliseconds.
    Millis,
    /// A whole number of seconds.
    Secs,
    /// Any text.
    Text,
    /// Values separated by commas; a repeated flag of a Kubernetes component adds to them.
    List,
    /// `Name=true` pairs separated by commas; repeated flags add to them.
    Gates,
}

/// From which version on something exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// In every version covered here (etcd 3.3, Kubernetes 1.19 and later).
    Always,
    /// Since that version.
    At(Version),
    /// Seen in that version; nothing is claimed about older ones.
    SeenIn(Version),
    /// Brought into several minors at once: the first release with it in each, oldest first.
    /// Minors above the last one have it from their start.
    Backported(&'static [Version]),
}

/// Another spelling of a setting.
#[derive(Clone, Copy, Debug)]
pub struct Former {
    /// The flag's name.
    pub name: &'static str,
    /// First version with it.
    pub since: Since,
    /// First version that refuses it.
    pub removed: Option<Version>,
}

/// A value that later versions refuse.
#[derive(Clone, Copy, Debug)]
pub struct RemovedValue {
    /// The value.
    pub value: &'static str,
    /// First version that refuses it.
    pub removed: Version,
    /// Whether it is refused in the component's file too.
    pub in_file: bool,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Whose.
    pub component: Component,
    /// The newest name: the long flag without dashes, `feature-gates.NAME`, or the path in the
    /// component's file when there is no flag.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// The default of the oldest covered version; `None` when it is empty or depends on the host.
    pub default: Option<&'static str>,
    /// Defaults that changed: from that version on.
    pub later: &'static [(Version, &'static str)],
    /// Values that later versions refuse.
    pub refused: &'static [RemovedValue],
    /// Since when the main name is accepted.
    pub since: Since,
    /// First version that refuses the main name.
    pub removed: Option<Version>,
    /// Whether the main name is a command line flag.
    pub flag: bool,
    /// Older spellings.
    pub former: &'static [Former],
    /// Path in the component's configuration file, dotted.
    pub file: Option<&'static str>,
    /// Whether the setting acts only after a restart of the process.
    pub restart: bool,
    /// Where this row's facts come from.
    pub source: &'static str,
}

impl Setting {
    const fn new(
        component: Component,
        name: &'static str,
        kind: Kind,
        source: &'static str,
    ) -> Self {
        Setting {
            component,
            name,
            kind,
            default: None,
            later: &[],
            refused: &[],
            since: Since::Always,
            removed: None,
            flag: true,
            former: &[],
            file: None,
            restart: true,
            source,
        }
    }

    const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    const fn later(mut self, eras: &'static [(Version, &'static str)]) -> Self {
        self.later = eras;
        self
    }

    const fn refuses(mut self, values: &'static [RemovedValue]) -> Self {
        self.refused = values;
        self
    }

    const fn since(mut self, major: u16, minor: u16) -> Self {
        self.since = Since::At(Version::minor(major, minor));
        self
    }

    const fn backported(mut self, firsts: &'static [Version]) -> Self {
        self.since = Since::Backported(firsts);
        self
    }

    const fn seen(mut self, version: Version) -> Self {
        self.since = Since::SeenIn(version);
        self
    }

    const fn removed(mut self, major: u16, minor: u16) -> Self {
        self.removed = Some(Version::minor(major, minor));
        self
    }

    const fn former(mut self, former: &'static [Former]) -> Self {
        self.former = former;
        self
    }

    const fn file(mut self, path: &'static str) -> Self {
        self.file = Some(path);
        self
    }

    const fn file_only(mut self) -> Self {
        self.flag = false;
        self.file = Some(self.name);
        self
    }

    const fn gate(mut self) -> Self {
        self.flag = false;
        self
    }
}
