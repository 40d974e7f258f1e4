//! Settings → evidence.

use std::collections::BTreeMap;

use super::distribution::{datastore, distribution};
use super::effective::{Effective, Provenance};
use super::gather::ManifestModel;
use super::model::{Fault, Instance, Place, SourceKind};
use super::settled::{Unit, settle_all};
use crate::evidence::{
    Collector, EvidenceSet, Missing, Origin, Row, Subject, SubjectKind, Table, Window, keys,
};

/// Rows of faults kept per subject.
const MAX_FAULTS: usize = 500;

/// Everything the model holds, as evidence.
pub fn collect(model: &ManifestModel) -> EvidenceSet {
    let mut set = EvidenceSet::new();
    let units = settle_all(model);
    for unit in &units {
        put_unit(unit, &mut set);
    }
    put_loose_faults(model, &mut set);
    put_cluster(model, &mut set);
    for why in &model.unread {
        set.put_missing(
            &keys::SETTINGS,
            Subject::cluster(),
            Origin::new(Collector::Manifest, "settings"),
            Missing::NotEnough { why: why.clone() },
        );
    }
    set
}

/// Distribution and datastore. Nothing is claimed of a model without any instance.
fn put_cluster(model: &ManifestModel, set: &mut EvidenceSet) {
    if model.instances.is_empty() && model.signs.is_empty() {
        return;
    }
    let origin = Origin::new(Collector::Manifest, "settings");
    let found = distribution(model);
    let why: Vec<String> = found
        .reasons
        .iter()
        .map(|(reason, place)| format!("{reason} ({place})"))
        .collect();
    let others: Vec<&str> = found.others.iter().map(|distro| distro.word()).collect();
    let row = Row::new("distribution")
        .text("name", found.distro.word())
        .text("why", why.join("; "))
        .text("others", others.join(","));
    put(
        set,
        &keys::DISTRIBUTION,
        &Subject::cluster(),
        &origin,
        vec![row],
    );
    let store = datastore(model);
    let row = Row::new("datastore")
        .text("kind", store.kind.word())
        .text("servers", store.servers.join(","))
        .text("why", store.reason);
    put(
        set,
        &keys::DATASTORE,
        &Subject::cluster(),
        &origin,
        vec![row],
    );
}

fn subject(name: &str, node: Option<&str>) -> Subject {
    let subject = Subject::new(SubjectKind::Component, name);
    match node {
        Some(node) => subject.on(node),
        None => subject,
    }
}

/// Whether the command line of the running process gives a setting, and another file is shown for it:
/// the line of the manifest that says the same.
fn of_process(main: &Instance, effective: &Effective) -> bool {
    let elsewhere = |place: &Place| place.file != main.place.file;
    let spelled = effective.spelled.as_ref().unwrap_or(&effective.name);
    main.source == SourceKind::Process
        && effective.place.as_ref().is_some_and(elsewhere)
        && main
            .given
            .iter()
            .any(|given| given.name == *spelled && !elsewhere(&given.place))
}

fn put_unit(unit: &Unit<'_>, set: &mut EvidenceSet) {
    let subject = subject(&unit.name, unit.node.as_deref());
    let origin = Origin::new(Collector::Manifest, unit.definition().place.file.clone());
    let mut rows = Vec::with_capacity(unit.settled.settings.len());
    for effective in unit.settled.settings.values() {
        let mut row = Row::new(effective.name.clone())
            .text("value", effective.value.clone().unwrap_or_default())
            .text("source", effective.from.word());
        if let Some(place) = &effective.place {
            row = row.text("where", place.to_string());
        }
        if let Some(spelled) = effective
            .spelled
            .as_ref()
            .filter(|name| **name != effective.name)
        {
            row = row.text("spelled", spelled.clone());
        }
        if !effective.known {
            row = row.text("known", "no");
        }
        if effective.from == Provenance::UnknownDefault && !unit.settled.unread.is_empty() {
            row = row.text("unread", unit.settled.unread.join("; "));
        }
        if of_process(unit.main(), effective) {
            row = row.text("process", "yes");
        }
        if let Some(defined) = unit.defined.get(&effective.name) {
            row = row
                .text("defined", defined.value.clone().unwrap_or_default())
                .text("defined-where", defined.place.to_string());
        }
        rows.push(row);
    }
    if !rows.is_empty() {
        put(set, &keys::SETTINGS, &subject, &origin, rows);
    }
    put_workload(unit, &subject, &origin, set);
    put_probes(unit.definition(), &subject, &origin, set);
    put_versions(unit, &subject, &origin, set);
    put_resources(unit.definition(), &subject, &origin, set);
    put_faults(&unit.settled.faults, &subject, &origin, set);
}

fn put(
    set: &mut EvidenceSet,
    key: &crate::evidence::Key<Table>,
    subject: &Subject,
    origin: &Origin,
    mut rows: Vec<Row>,
) {
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    set.put(
        key,
        subject.clone(),
        Window::default(),
        origin.clone(),
        Table {
            rows,
            ..Table::default()
        },
    );
}

fn put_workload(unit: &Unit<'_>, subject: &Subject, origin: &Origin, set: &mut EvidenceSet) {
    let described = |wanted: &str| {
        unit.instances
            .iter()
            .filter_map(|instance| Some((instance, instance.workload.as_ref()?)))
            .find(|(_, workload)| wanted.is_empty() || workload.kind == wanted)
    };
    // The object that runs says more than a chart's values.
    let Some((instance, workload)) = ["Deployment", "StatefulSet", "DaemonSet", ""]
        .into_iter()
        .find_map(described)
    else {
        return;
    };
    let mut row = Row::new("workload")
        .text("kind", workload.kind.clone())
        .text("name", workload.name.clone())
        .text("container", workload.container.clone());
    for (column, value) in [
        ("namespace", &workload.namespace),
        ("image", &instance.image),
        ("controller", &workload.controller),
    ] {
        if let Some(value) = value {
            row = row.text(column, value.clone());
        }
    }
    let replicas = unit
        .instances
        .iter()
        .find_map(|instance| instance.workload.as_ref()?.replicas);
    if let Some(replicas) = replicas {
        row = row.num("replicas", f64::from(replicas));
    }
    put(set, &keys::WORKLOADS, subject, origin, vec![row]);
}

fn put_probes(instance: &Instance, subject: &Subject, origin: &Origin, set: &mut EvidenceSet) {
    let rows: Vec<Row> = instance
        .probes
        .iter()
        .map(|probe| {
            let mut row = Row::new(probe.kind)
                .text("how", probe.how)
                .text("where", probe.place.to_string())
                .num("timeout_secs", probe.timeout_secs)
                .num("period_secs", probe.period_secs)
                .num("failure_threshold", probe.failure_threshold)
                .num("initial_delay_secs", probe.initial_delay_secs);
            for (column, value) in [
                ("path", &probe.path),
                ("port", &probe.port),
                ("host", &probe.host),
                ("scheme", &probe.scheme),
            ] {
                if let Some(value) = value {
                    row = row.text(column, value.clone());
                }
            }
            row
        })
        .collect();
    if !rows.is_empty() {
        put(set, &keys::PROBES, subject, origin, rows);
    }
}

fn put_versions(unit: &Unit<'_>, subject: &Subject, origin: &Origin, set: &mut EvidenceSet) {
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    for instance in &unit.instances {
        for seen in &instance.versions {
            rows.entry(seen.source).or_insert_with(|| {
                Row::new(seen.source)
                    .text("version", seen.version.to_string())
                    .text("text", seen.text.clone())
                    .text("where", seen.place.to_string())
            });
        }
    }
    // A version that was asked about is judged by before all that were seen.
    if let Some(asked) = unit.asked {
        rows.insert(
            "asked",
            Row::new("asked")
                .text("version", asked.to_string())
                .text("text", "--for-version"),
        );
    }
    if !rows.is_empty() {
        put(
            set,
            &keys::VERSIONS,
            subject,
            origin,
            rows.into_values().collect(),
        );
    }
}

fn put_resources(instance: &Instance, subject: &Subject, origin: &Origin, set: &mut EvidenceSet) {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for (name, what, quantity) in &instance.resources.amounts {
        let row = rows.remove(name).unwrap_or_else(|| Row::new(name.clone()));
        rows.insert(name.clone(), row.text(what, quantity.clone()));
    }
    if !rows.is_empty() {
        put(
            set,
            &keys::RESOURCES,
            subject,
            origin,
            rows.into_values().collect(),
        );
    }
}

fn put_faults<'a>(
    faults: impl IntoIterator<Item = &'a Fault>,
    subject: &Subject,
    origin: &Origin,
    set: &mut EvidenceSet,
) {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for fault in faults {
        if rows.len() >= MAX_FAULTS {
            break;
        }
        let about = fault.setting.as_deref().unwrap_or(&fault.place.file);
        let mut key = format!("{}:{about}", fault.kind);
        let mut again = 2;
        while rows.contains_key(&key) {
            key = format!("{}:{about}#{again}", fault.kind);
            again += 1;
        }
        let mut row = Row::new(key.clone())
            .text("fault", fault.text.clone())
            .text("kind", fault.kind)
            .text("weight", fault.weight.word())
            .text("where", fault.place.to_string());
        if let Some(setting) = &fault.setting {
            row = row.text("setting", setting.clone());
        }
        rows.insert(key, row);
    }
    if !rows.is_empty() {
        put(
            set,
            &keys::SETTINGS_FAULTS,
            subject,
            origin,
            rows.into_values().collect(),
        );
    }
}

/// Faults of files that belong to no component: on the node, or on the cluster.
fn put_loose_faults(model: &ManifestModel, set: &mut EvidenceSet) {
    let mut by_node: BTreeMap<Option<&str>, Vec<&Fault>> = BTreeMap::new();
    for (node, fault) in &model.faults {
        by_node.entry(node.as_deref()).or_default().push(fault);
    }
    let origin = Origin::new(Collector::Manifest, "settings");
    for (node, faults) in by_node {
        let subject = match node {
            Some(node) => Subject::new(SubjectKind::Node, node).on(node),
            None => Subject::cluster(),
        };
        put_faults(faults, &subject, &origin, set);
    }
}
