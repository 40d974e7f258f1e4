//! Slow calls that kube-apiserver itself made, in the report of `logs`.

use serde::Serialize;

/// Slow calls of one kind that an apiserver made.
#[derive(Clone, Debug, Serialize)]
pub struct CallReport {
    /// Node of the apiserver, where known.
    pub node: Option<String>,
    /// `etcd`, `cache` or `webhook`.
    pub target: &'static str,
    /// The webhook's name, or the custom resource that it converts.
    pub name: Option<String>,
    /// Verb.
    pub verb: String,
    /// `resource.group`.
    pub resource: String,
    /// Lines.
    pub lines: u64,
    /// The longest call.
    pub max_ms: f64,
    /// All calls.
    pub total_ms: f64,
    /// First line, RFC 3339.
    pub first: Option<String>,
    /// Last line.
    pub last: Option<String>,
}
