//! Which records are asked for: those of a window, and of some components.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::logs::event::{Component, Event};
use crate::logs::record::{Encoding, Record};
use crate::logs::writer::{parts, writer};

use super::ScanOptions;

/// Every component that a record can name.
pub(super) const ALL_COMPONENTS: [Component; COMPONENTS] = [
    Component::Unknown,
    Component::Etcd,
    Component::Apiserver,
    Component::ControllerManager,
    Component::Scheduler,
    Component::Kubelet,
    Component::Controller,
    Component::Kernel,
];
pub(super) const COMPONENTS: usize = 8;

/// Components that were asked for; nobody's name stands for everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct Only(u8);

impl Only {
    /// Adds a component.
    pub fn add(&mut self, component: Component) {
        self.0 |= Only::bit(component);
    }

    /// Whether everybody is asked for.
    pub fn is_everybody(&self) -> bool {
        self.0 == 0
    }

    /// Whether what is this component's is asked for. What may be anybody's is.
    pub fn has(self, component: Component) -> bool {
        self.0 == 0 || component == Component::Unknown || self.0 & Only::bit(component) != 0
    }

    /// Whether nothing but etcd is asked for.
    fn is_etcd(self) -> bool {
        self.0 == Only::bit(Component::Etcd)
    }

    fn bit(component: Component) -> u8 {
        let at = ALL_COMPONENTS.iter().position(|known| *known == component);
        at.map_or(0, |at| 1 << at)
    }
}

impl From<Vec<String>> for Only {
    fn from(words: Vec<String>) -> Self {
        let mut only = Only::default();
        for word in words {
            only.add(component_of(&word));
        }
        only
    }
}

impl From<Only> for Vec<String> {
    fn from(only: Only) -> Self {
        let named = |component: &Component| only.0 & Only::bit(*component) != 0;
        let words = ALL_COMPONENTS.into_iter().filter(named);
        words.map(|component| component.word().to_owned()).collect()
    }
}

/// Which records were asked for: those of a window, and of some components.
#[derive(Clone, Copy, Debug)]
pub struct TimeFilter {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// Whether the last record with a time was inside: one without a time follows it.
    inside: bool,
    only: Only,
}

impl TimeFilter {
    /// The filter that the options ask for.
    pub fn new(options: &ScanOptions) -> Self {
        TimeFilter::of(options.since, options.until).only(options.only)
    }

    /// The same for these components.
    pub fn only(self, only: Only) -> Self {
        TimeFilter { only, ..self }
    }

    /// Whether all records are some component's that was asked for, as far as this tells.
    pub fn is_for_all(&self) -> bool {
        self.only.is_everybody()
    }

    /// Whether a record is one of the components that were asked for, or may be. Its event is what
    /// the catalogue knows of it.
    pub fn wants(&self, record: &Record<'_>, event: Option<&Event<'_>>) -> bool {
        if self.only.is_everybody() {
            return true;
        }
        if record.encoding == Encoding::Audit {
            return self.only.has(Component::Apiserver);
        }
        let by_wrapper = by_wrapper(record);
        let said = match event.map_or(Component::Unknown, |event| event.component) {
            // Only etcd writes this, and never klog.
            Component::Unknown
                if matches!(record.encoding, Encoding::Capnslog | Encoding::RaftText) =>
            {
                Component::Etcd
            }
            Component::Unknown
                if matches!(
                    record.encoding,
                    Encoding::Klog | Encoding::KlogJson | Encoding::KlogTrace
                ) =>
            {
                return by_wrapper.map_or(!self.only.is_etcd(), |known| self.only.has(known));
            }
            said => said,
        };
        self.only.has(by_wrapper.unwrap_or(said))
    }

    /// The filter of a window.
    pub fn of(since: Option<Timestamp>, until: Option<Timestamp>) -> Self {
        TimeFilter {
            since,
            until,
            inside: true,
            only: Only::default(),
        }
    }

    /// Whether the next record is inside.
    pub fn inside(&mut self, time: Option<Timestamp>) -> bool {
        if let Some(at) = time {
            self.inside = self.since.is_none_or(|since| at >= since)
                && self.until.is_none_or(|until| at <= until);
        }
        self.inside
    }
}

/// Whose a record is, where its wrapper names its writer.
pub(in crate::logs) fn by_wrapper(record: &Record<'_>) -> Option<Component> {
    let name = record.outer.ident.and_then(writer)?;
    Some(match component_of(parts(&name).0) {
        // All writers that are known and no part of the control plane are controllers.
        Component::Unknown => Component::Controller,
        known => known,
    })
}

/// The component of a word, as streams are named by it.
pub(in crate::logs) fn component_of(word: &str) -> Component {
    ALL_COMPONENTS
        .into_iter()
        .find(|known| known.word() == word)
        .unwrap_or_default()
}
