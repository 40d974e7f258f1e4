//! What several rules ask of kube-apiserver's answers: how many requests failed, and by whose doing.

use std::collections::BTreeSet;

use crate::catalog::resources::is_events;
use crate::evidence::{Missing, Row, Subject, keys};

use super::events::HOUR_SECS;
use super::{Context, settings};

/// What one kube-apiserver answered over its scrapes.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    pub(super) subject: Subject,
    /// All requests.
    pub(super) requests: f64,
    /// Hours of the scrapes; at least one, so that a few faults in a minute are no hundreds in an hour.
    pub(super) hours: f64,
    /// What API Priority and Fairness rejected of them; `None` where it is off, or was not scraped.
    pub(super) rejected: Option<f64>,
    /// By verb and resource, without what only passes through to a server behind it.
    pub(super) rows: Vec<Row>,
}

impl Answers {
    /// The sum of a column.
    pub(super) fn total(&self, column: &str) -> f64 {
        self.rows.iter().filter_map(|row| row.get(column)).sum()
    }

    /// Answers 429 that no eviction met.
    pub(super) fn throttled(&self) -> f64 {
        self.total("throttled") - self.evictions()
    }

    /// Evictions answered 429: a PodDisruptionBudget lets no pod go, whatever the load
    /// (kubernetes: pkg/registry/core/pod/storage/eviction.go).
    pub(super) fn evictions(&self) -> f64 {
        let rows = self.rows.iter().filter(|row| is_eviction(&row.key));
        rows.filter_map(|row| row.get("throttled")).sum()
    }

    /// Answers 429 that API Priority and Fairness did not give; `None` where it is not known.
    pub(super) fn throttled_by_others(&self) -> Option<f64> {
        Some((self.throttled() - self.rejected?).max(0.0))
    }

    /// Where most of them are: `POST pods 4000, LIST secrets 20`.
    pub(super) fn most(&self, count: &dyn Fn(&Row) -> f64) -> String {
        let mut rows: Vec<(&str, f64)> = self
            .rows
            .iter()
            .map(|row| (row.key.as_str(), count(row)))
            .filter(|(_, n)| *n > 0.0)
            .collect();
        rows.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
        let rows: Vec<String> = rows
            .iter()
            .take(3)
            .map(|(key, n)| format!("{key} {n:.0}"))
            .collect();
        rows.join(", ")
    }
}

/// Whether kube-apiserver itself answers for an object: what a pod, a service or a kubelet answers through
/// it is none of its own answers, and `/readyz` fails at each start.
fn is_own(key: &str) -> bool {
    let (verb, resource) = key.split_once(' ').unwrap_or_default();
    verb != "CONNECT" && !resource.ends_with("/proxy") && is_object(resource)
}

/// Whether it is a resource, and no path such as `/readyz`.
pub(super) fn is_object(resource: &str) -> bool {
    !resource.is_empty() && !resource.starts_with('/')
}

/// `POST pods/eviction`
pub(super) fn is_eviction(key: &str) -> bool {
    key.ends_with("/eviction")
}

/// What each kube-apiserver answered. `Err` when no scrape of one tells. Cites nothing.
pub(super) fn all(cx: &Context<'_>) -> Result<Vec<Answers>, Missing> {
    let tables = cx.evidence.some(&keys::APISERVER_REQUESTS)?;
    cx.evidence.take_citations();
    let answers = tables.into_iter().map(|(subject, table)| {
        let levels = cx.evidence.peek(&keys::APF_LEVELS, &subject);
        let rejected = levels.map(|levels| levels.total("rejected"));
        let record = cx.evidence.record(&keys::APISERVER_REQUESTS, &subject);
        let secs = record.and_then(|record| record.secs()).unwrap_or(0.0);
        Answers {
            requests: table.total("requests"),
            hours: (secs / HOUR_SECS).max(1.0),
            rejected,
            rows: table
                .rows
                .into_iter()
                .filter(|row| is_own(&row.key))
                .collect(),
            subject,
        }
    });
    Ok(answers.collect())
}

/// API groups of aggregated servers that are down: what they cannot answer is not kube-apiserver's.
pub(super) fn groups_down(cx: &Context<'_>) -> BTreeSet<String> {
    let tables = cx.evidence.all(&keys::APISERVER_APISERVICES);
    let rows = tables.iter().flat_map(|(_, table)| &table.rows);
    rows.filter(|row| row.get("max_down_share").is_some_and(|share| share > 0.0))
        // `v1beta1.metrics.k8s.io`
        .filter_map(|row| row.key.split_once('.'))
        .map(|(_, group)| group.to_owned())
        .collect()
}

/// Whether a resource, `pods.metrics.k8s.io`, is of one of these groups.
pub(super) fn is_of(resource: &str, groups: &BTreeSet<String>) -> bool {
    let whole = resource.split('/').next().unwrap_or_default();
    let group = whole.split_once('.').map(|(_, group)| group);
    group.is_some_and(|group| groups.contains(group))
}

/// Whether the admission plug-in EventRateLimit is on, which answers 429 to events only.
pub(super) fn limits_events(cx: &Context<'_>) -> bool {
    let plugins = settings::of(cx, "kube-apiserver", &["enable-admission-plugins"]);
    let limits = plugins.is_ok_and(|all| {
        let mut values = all.iter().flat_map(|setting| setting.value.split(','));
        values.any(|name| name.trim() == "EventRateLimit")
    });
    cx.evidence.take_citations();
    limits
}

/// Of a row of the audit log the answers 429 that EventRateLimit may have given.
pub(super) fn limited_events(row: &Row) -> f64 {
    let events = row.get_text("resource").is_some_and(is_events);
    let writes = matches!(row.get_text("verb"), Some("create" | "update" | "patch"));
    match events && writes {
        true => row.get("throttled").unwrap_or(0.0),
        false => 0.0,
    }
}
