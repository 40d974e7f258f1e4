//! Settings that a program tells as it starts; those of its last start count.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::facts::{int, num, text};
use crate::clock::Timestamp;
use crate::logs::event::Event;

/// More names than this are not kept; far fewer are compared with anything.
const MAX: usize = 64;

/// Flags that are compared. Others may be names and addresses.
const KEPT: [&str; 7] = [
    "concurrent-",
    "etcd-compaction-interval",
    "event-ttl",
    "kube-api-burst",
    "kube-api-qps",
    "max-mutating-requests-inflight",
    "max-requests-inflight",
];

/// The value of a setting, as a start told it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// When; the last one counts.
    pub at: Option<Timestamp>,
    /// The value, as it was written.
    pub value: String,
}

/// Settings by the name of their flag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings(pub BTreeMap<String, Said>);

impl Settings {
    /// One of the flags of a Kubernetes component.
    pub fn flag(&mut self, event: &Event<'_>) {
        let (Some(flag), Some(value)) = (text(event, "flag"), text(event, "value")) else {
            return;
        };
        if KEPT.iter().any(|kept| flag.starts_with(kept)) {
            self.add(flag, value.to_owned(), event.time);
        }
    }

    /// What etcd tells as it starts.
    pub fn of_etcd(&mut self, event: &Event<'_>) {
        let ms = |name| num(event, name).map(|ms| ms.to_string());
        let quota = int(event, "quota_bytes").map(|bytes| bytes.to_string());
        for (name, value) in [
            ("quota-backend-bytes", quota),
            ("heartbeat-interval", ms("heartbeat_interval_ms")),
            ("election-timeout", ms("election_timeout_ms")),
        ] {
            if let Some(value) = value {
                self.add(name, value, event.time);
            }
        }
    }

    /// Adds another piece.
    pub fn merge(&mut self, other: &Self) {
        for (name, said) in &other.0 {
            self.add(name, said.value.clone(), said.at);
        }
    }

    /// Whether nothing was told.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, name: &str, value: String, at: Option<Timestamp>) {
        let new = Said { at, value };
        let room = self.0.len() < MAX;
        match self.0.get_mut(name) {
            Some(old) if old.at > new.at => {}
            Some(old) => *old = new,
            None if room => {
                self.0.insert(name.to_owned(), new);
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_start_counts_in_any_order() {
        let at = |secs| Some(Timestamp::from_secs(secs));
        let mut early = Settings::default();
        early.add("quota-backend-bytes", "1".to_owned(), at(1));
        let mut late = Settings::default();
        late.add("quota-backend-bytes", "2".to_owned(), at(2));
        let mut merged = early.clone();
        merged.merge(&late);
        late.merge(&early);
        assert_eq!(merged, late);
        assert_eq!(merged.0["quota-backend-bytes"].value, "2");
    }
}
