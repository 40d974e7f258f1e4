//! `controllers.toml` → the table of controllers.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::releases::Version;
use super::{Buckets, ClientStep, Controller, Knob, Role, WorkerStep};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    controller: Vec<Raw>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    id: String,
    title: String,
    names: Vec<String>,
    images: Vec<String>,
    kind: String,
    #[serde(default)]
    namespaces: Vec<String>,
    container: Option<String>,
    helm_create: Option<String>,
    #[serde(default)]
    helm_beside: BTreeMap<String, String>,
    helm_replicas: Option<String>,
    buckets: RawBuckets,
    #[serde(default)]
    per_node: bool,
    #[serde(default)]
    objects: Vec<String>,
    #[serde(default)]
    steps: Vec<RawClientStep>,
    note: Option<String>,
    source: String,
    knob: Vec<RawKnob>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawBuckets {
    Process,
    Loop,
    Kind,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClientStep {
    qps: f64,
    burst: f64,
    source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWorkerStep {
    value: f64,
    objects: u64,
    source: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawRole {
    Qps,
    Burst,
    Workers,
    QueueQps,
    QueueBurst,
    LeaderElection,
    LeaseDuration,
    RenewDeadline,
    RetryPeriod,
    SyncPeriod,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawKnob {
    role: RawRole,
    names: Vec<String>,
    helm: Option<String>,
    config_map: Option<String>,
    #[serde(default)]
    default: BTreeMap<String, String>,
    since: Option<String>,
    removed: Option<String>,
    unsafe_before: Option<String>,
    #[serde(default)]
    loops: Vec<String>,
    #[serde(default)]
    objects: Vec<String>,
    #[serde(default)]
    steps: Vec<RawWorkerStep>,
    note: Option<String>,
}

/// Reads a table of controllers; the error says which entry is wrong.
pub fn parse(text: &str) -> Result<Vec<Controller>, String> {
    let file: File = toml::from_str(text).map_err(|err| err.to_string())?;
    file.controller.into_iter().map(controller).collect()
}

fn controller(raw: Raw) -> Result<Controller, String> {
    let knobs = raw
        .knob
        .into_iter()
        .map(|one| knob(&raw.id, one))
        .collect::<Result<_, _>>()?;
    Ok(Controller {
        title: raw.title,
        names: raw.names,
        images: raw.images,
        kind: raw.kind,
        namespaces: raw.namespaces,
        container: raw.container,
        helm_create: raw.helm_create,
        helm_beside: raw.helm_beside.into_iter().collect(),
        helm_replicas: raw.helm_replicas,
        buckets: match raw.buckets {
            RawBuckets::Process => Buckets::Process,
            RawBuckets::Loop => Buckets::Loop,
            RawBuckets::Kind => Buckets::Kind,
        },
        per_node: raw.per_node,
        objects: raw.objects,
        steps: raw
            .steps
            .into_iter()
            .map(|step| ClientStep {
                qps: step.qps,
                burst: step.burst,
                source: step.source,
            })
            .collect(),
        note: raw.note,
        source: raw.source,
        knobs,
        id: raw.id,
    })
}

fn knob(id: &str, raw: RawKnob) -> Result<Knob, String> {
    let version =
        |text: &str| Version::parse(text).ok_or_else(|| format!("{id}: `{text}` is no version"));
    let some = |text: Option<String>| text.map(|text| version(&text)).transpose();
    let mut defaults = Vec::new();
    for (from, value) in raw.default {
        let from = match from.as_str() {
            "0" => None,
            text => Some(version(text)?),
        };
        defaults.push((from, value));
    }
    defaults.sort_by_key(|default| default.0);
    if raw.names.is_empty() {
        return Err(format!("{id}: a knob without a name"));
    }
    Ok(Knob {
        role: match raw.role {
            RawRole::Qps => Role::Qps,
            RawRole::Burst => Role::Burst,
            RawRole::Workers => Role::Workers,
            RawRole::QueueQps => Role::QueueQps,
            RawRole::QueueBurst => Role::QueueBurst,
            RawRole::LeaderElection => Role::LeaderElection,
            RawRole::LeaseDuration => Role::LeaseDuration,
            RawRole::RenewDeadline => Role::RenewDeadline,
            RawRole::RetryPeriod => Role::RetryPeriod,
            RawRole::SyncPeriod => Role::SyncPeriod,
        },
        names: raw.names,
        helm: raw.helm,
        config_map: raw.config_map,
        defaults,
        since: some(raw.since)?,
        removed: some(raw.removed)?,
        unsafe_before: some(raw.unsafe_before)?,
        loops: raw.loops,
        objects: raw.objects,
        steps: raw
            .steps
            .into_iter()
            .map(|step| WorkerStep {
                value: step.value,
                objects: step.objects,
                source: step.source,
            })
            .collect(),
        note: raw.note,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_tables_are_refused_with_the_entry() {
        let with = |knob: &str| {
            parse(&format!(
                "[[controller]]\nid = \"x\"\ntitle = \"x\"\nnames = []\nimages = []\nkind = \"node\"\nbuckets = \"process\"\nsource = \"s\"\nknob = [{knob}]\n"
            ))
        };
        assert_eq!(with("").unwrap().len(), 1);
        assert!(
            with("{ role = \"qps\", names = [] }")
                .unwrap_err()
                .contains("x:")
        );
        assert!(
            with("{ role = \"qps\", names = [\"a\"], since = \"soon\" }")
                .unwrap_err()
                .contains("soon")
        );
        assert!(with("{ role = \"speed\", names = [\"a\"] }").is_err());
    }
}
