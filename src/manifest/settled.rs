//! Instances that describe one and the same program on one node are joined: the running process
//! says what is in force, its manifest what will be after the next restart.

use std::collections::BTreeMap;

use super::effective::{Effective, Provenance, Settled, settle_as};
use super::gather::ManifestModel;
use super::model::{Fault, Instance, Means, Place, SourceKind, Weight};
use crate::catalog::controllers::{Controller, Knob};
use crate::catalog::releases::Version;
use crate::catalog::settings::{
    self, Component, Kind, parse_bool, parse_duration_setting, parse_float, parse_list,
};

/// What a definition says about a setting that runs with another value.
#[derive(Clone, Debug, PartialEq)]
pub struct Defined {
    /// The value there.
    pub value: Option<String>,
    /// Where.
    pub place: Place,
}

/// One program on one node, from all sources that describe it.
#[derive(Clone, Debug)]
pub struct Unit<'a> {
    /// Its name.
    pub name: String,
    /// Its node.
    pub node: Option<String>,
    /// Its sources, the one in force first.
    pub instances: Vec<&'a Instance>,
    /// The version that it is to be judged by, where one was asked for.
    pub asked: Option<Version>,
    /// What is in force.
    pub settled: Settled,
    /// Settings that the definition gives another value.
    pub defined: BTreeMap<String, Defined>,
}

impl Unit<'_> {
    /// The source that is in force.
    pub fn main(&self) -> &Instance {
        // Units are made from at least one instance.
        self.instances
            .first()
            .copied()
            .unwrap_or_else(|| unreachable!("a unit has a source"))
    }

    /// The manifest or unit that defines the program, or the process when there is none.
    pub fn definition(&self) -> &Instance {
        self.instances
            .iter()
            .copied()
            .find(|instance| instance.source != SourceKind::Process)
            .unwrap_or_else(|| self.main())
    }

    /// The newest knowledge of its version.
    pub fn version(&self) -> Option<Version> {
        self.instances
            .iter()
            .find_map(|instance| instance.version())
    }
}

fn rank(source: SourceKind) -> u8 {
    match source {
        SourceKind::Process => 0,
        SourceKind::StaticPod => 1,
        SourceKind::Systemd => 2,
        SourceKind::Workload => 3,
        SourceKind::Config => 4,
    }
}

/// Joins the instances of a model and works out what is in force for each program.
pub fn settle_all(model: &ManifestModel) -> Vec<Unit<'_>> {
    let mut groups: BTreeMap<(&str, Option<&str>), Vec<&Instance>> = BTreeMap::new();
    // A cluster-wide configuration speaks of every node's instance, and is none itself.
    let (shared, own): (Vec<&Instance>, Vec<&Instance>) =
        model.instances.iter().partition(|instance| {
            instance.source == SourceKind::Config
                && instance.node.is_none()
                && model
                    .instances
                    .iter()
                    .any(|other| other.name == instance.name && other.node.is_some())
        });
    for instance in own {
        groups
            .entry((instance.name.as_str(), instance.node.as_deref()))
            .or_default()
            .push(instance);
    }
    let mut units = Vec::new();
    for ((name, node), mut instances) in groups {
        instances.extend(
            shared
                .iter()
                .copied()
                .filter(|instance| instance.name == name),
        );
        // A component's own file outranks what was only meant to be added by an installer.
        // Of several processes the one counts that the definition starts.
        let data_dir = instances
            .iter()
            .copied()
            .find(|instance| instance.source != SourceKind::Process)
            .and_then(|definition| definition.last("data-dir"));
        let of_definition = |instance: &Instance| instance.last("data-dir") == data_dir;
        instances.sort_by_key(|instance| {
            let another = instance.source == SourceKind::Process && !of_definition(instance);
            (rank(instance.source), another, instance.partial)
        });
        let Some(main) = instances.first() else {
            continue;
        };
        let asked = model
            .asked
            .iter()
            .find(|(component, _)| main.component == Some(*component));
        let version = asked
            .map(|(_, version)| *version)
            .or_else(|| instances.iter().find_map(|instance| instance.version()));
        let with = with_flags(main, &instances);
        let mut settled = settle_as(with.as_ref().unwrap_or(main), version);
        let mut defined = BTreeMap::new();
        let definition = instances
            .iter()
            .position(|instance| instance.source == SourceKind::StaticPod);
        for (index, other) in instances.iter().enumerate().skip(1) {
            // A second manifest of the same pod is a stray copy, and reported as one.
            if other.source == SourceKind::StaticPod && Some(index) != definition {
                continue;
            }
            // Nor does another process say what this one starts with next: it is another program.
            if other.source == SourceKind::Process {
                continue;
            }
            // Containers side by side in one object are two programs: a proxy beside a controller.
            if let (Some(own), Some(there)) = (&main.workload, &other.workload)
                && (&own.kind, &own.namespace, &own.name)
                    == (&there.kind, &there.namespace, &there.name)
                && own.container != there.container
            {
                continue;
            }
            if with.is_some() && adds_flags(other) {
                continue;
            }
            compare(main, other, version, &mut settled, &mut defined);
        }
        units.push(Unit {
            name: name.to_owned(),
            node: node.map(str::to_owned),
            asked: asked.map(|(_, version)| *version),
            instances,
            settled,
            defined,
        });
    }
    units
}

/// What could not be read of which program's settings, and files that are closed to us, each once.
pub fn unread(model: &ManifestModel) -> Vec<String> {
    let mut all: Vec<String> = settle_all(model)
        .iter()
        .flat_map(|unit| {
            let whys = unit.settled.unread.iter();
            whys.map(|why| format!("settings of {}: {why}", unit.name))
        })
        .collect();
    all.extend(model.closed.iter().map(|why| format!("settings: {why}")));
    all.sort();
    all.dedup();
    all
}

/// Whether an instance only says which flags an installer adds.
fn adds_flags(instance: &Instance) -> bool {
    instance.source == SourceKind::Config && instance.partial
}

/// A component's own file with the flags that it is started with beside it, which are no second
/// definition of it: the kubelet's win over its file, and the scheduler's lose.
fn with_flags(main: &Instance, all: &[&Instance]) -> Option<Instance> {
    let last = match main.component {
        Some(Component::Kubelet) => true,
        Some(Component::Scheduler) => false,
        _ => return None,
    };
    if main.source != SourceKind::Config || main.partial {
        return None;
    }
    let flags = all.iter().filter(|other| adds_flags(other));
    let mut flags: Vec<_> = flags.flat_map(|other| other.given.clone()).collect();
    if flags.is_empty() {
        return None;
    }
    let mut with = main.clone();
    match last {
        true => with.given.append(&mut flags),
        false => {
            flags.append(&mut with.given);
            with.given = flags;
        }
    }
    Some(with)
}

/// Notes settings that two sources of one program give different values.
fn compare(
    main: &Instance,
    other: &Instance,
    version: Option<Version>,
    settled: &mut Settled,
    defined: &mut BTreeMap<String, Defined>,
) {
    let theirs = settle_as(other, version);
    // A value that the manifest gives too is shown at its line there, where it can be changed.
    if main.source == SourceKind::Process && other.source != SourceKind::Config {
        for own in settled.settings.values_mut() {
            if let Some(there) = theirs.settings.get(&own.name)
                && there.place.is_some()
                && own
                    .place
                    .as_ref()
                    .is_some_and(|place| place.file == main.place.file || place.line == 0)
                && same(main.component, &own.name, own, there)
            {
                own.place.clone_from(&there.place);
            }
        }
    }
    let explicit = |effective: &&Effective| matches!(effective.from, Provenance::Given(_));
    let mut differ: Vec<(&str, Option<&Effective>, Option<&Effective>)> = Vec::new();
    for effective in theirs.settings.values().filter(explicit) {
        // What a chart's values call by their path is a flag or a variable of the workload.
        let knob = knob_of(main, &effective.name);
        let spellings = knob.into_iter().flat_map(|knob| &knob.names);
        let own = settled.settings.get(&effective.name).or_else(|| {
            let mut others = spellings.filter_map(|name| settled.settings.get(name));
            others.next()
        });
        let by_default = own.is_none()
            && knob.and_then(|knob| knob.default_for(version, version))
                == effective.value.as_deref();
        if !by_default
            && own.is_none_or(|own| !same(main.component, &effective.name, own, effective))
        {
            differ.push((&effective.name, own, Some(effective)));
        }
    }
    // A configuration that says nothing of a setting leaves it to the installer.
    if other.source != SourceKind::Config {
        for own in settled.settings.values().filter(explicit) {
            let there = theirs.settings.get(&own.name);
            let by_env = own.from == Provenance::Given(Means::Env);
            if there.is_none_or(|there| {
                !explicit(&there) && !same(main.component, &own.name, own, there)
            }) && !by_env
            {
                differ.push((&own.name, Some(own), there));
            }
        }
    }
    let mut faults = Vec::new();
    for (name, own, there) in differ {
        let shown = |effective: Option<&Effective>| match effective {
            Some(effective) => match (&effective.value, effective.from) {
                (Some(value), Provenance::Given(_)) => format!("`{value}`"),
                (Some(value), _) => format!("its default `{value}`"),
                (None, _) => "its default".to_owned(),
            },
            None => "nothing".to_owned(),
        };
        let place = there
            .and_then(|there| there.place.clone())
            .unwrap_or_else(|| other.place.clone());
        let (kind, text) = match (main.source, other.source) {
            (SourceKind::Process, _) => (
                "not-applied",
                format!(
                    "{name}: the running process has {}, {} says {}: a restart is pending, or it was started otherwise",
                    shown(own),
                    other.place.file,
                    shown(there)
                ),
            ),
            (_, SourceKind::Config) => (
                "drift",
                format!(
                    "{name}: {} has {}, {} says {}: the next upgrade or restart writes the latter",
                    main.place.file,
                    shown(own),
                    other.place.file,
                    shown(there)
                ),
            ),
            _ => (
                "two-definitions",
                format!(
                    "{name}: {} has {}, {} says {}",
                    main.place.file,
                    shown(own),
                    other.place.file,
                    shown(there)
                ),
            ),
        };
        faults.push(Fault::new(kind, Weight::Warn, place.clone(), text).about(name));
        defined.entry(name.to_owned()).or_insert_with(|| Defined {
            value: there.and_then(|there| there.value.clone()),
            place,
        });
    }
    settled.faults.append(&mut faults);
    // Faults of the definition count too: the next start meets them.
    for fault in theirs.faults {
        let known = settled
            .faults
            .iter()
            .any(|have| have.kind == fault.kind && have.setting == fault.setting);
        if !known {
            settled.faults.push(fault);
        }
    }
}

/// The knob of a controller that goes by a name.
fn knob_of(instance: &Instance, name: &str) -> Option<&'static Knob> {
    let id = instance.workload.as_ref()?.controller.as_deref()?;
    Controller::by_id(id)?.knob_named(name)
}

/// Whether two values of a setting mean the same (`1m0s` and `60s`, `true` and `1`).
fn same(component: Option<Component>, name: &str, a: &Effective, b: &Effective) -> bool {
    let (Some(x), Some(y)) = (a.value.as_deref(), b.value.as_deref()) else {
        return a.value.as_deref().unwrap_or("") == b.value.as_deref().unwrap_or("");
    };
    if x == y {
        return true;
    }
    let kind = component
        .and_then(|component| settings::setting(component, name))
        .map(|found| found.setting.kind);
    match kind {
        Some(Kind::Bool) => parse_bool(x).is_some() && parse_bool(x) == parse_bool(y),
        Some(Kind::Duration | Kind::Millis | Kind::Secs) => {
            let (x, y) = (
                parse_duration_setting(x, 1.0),
                parse_duration_setting(y, 1.0),
            );
            x.is_some() && x == y
        }
        Some(Kind::Int | Kind::Bytes | Kind::Float) => {
            parse_float(x).is_some() && parse_float(x) == parse_float(y)
        }
        Some(Kind::List | Kind::Gates) => {
            let (mut x, mut y) = (parse_list(x), parse_list(y));
            x.sort_unstable();
            y.sort_unstable();
            x == y
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model of etcds on one node, each of a source and with flags.
    fn model(all: &[(SourceKind, &[(&str, &str)])]) -> ManifestModel {
        let mut model = ManifestModel::default();
        for (index, (source, flags)) in all.iter().enumerate() {
            let place = Place::new(&format!("source-{index}"), 0);
            let mut etcd = Instance::new("etcd", *source, place.clone());
            etcd.component = Some(Component::Etcd);
            etcd.node = Some("cp1".to_owned());
            etcd.given = flags
                .iter()
                .map(|(name, value)| super::super::model::Given {
                    name: (*name).to_owned(),
                    value: Some((*value).to_owned()),
                    means: Means::Flag,
                    place: place.clone(),
                })
                .collect();
            model.instances.push(etcd);
        }
        model
    }

    #[test]
    fn values_of_a_chart_are_the_variables_of_its_workload() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("manifests");
        std::fs::create_dir(&folder).unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        put(
            "gateway.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: gateway, namespace: openfaas}\nspec:\n  template:\n    spec:\n      containers:\n      - name: gateway\n        image: ghcr.io/openfaasltd/gateway:0.4.20\n      - name: operator\n        image: ghcr.io/openfaasltd/faas-netes:0.5.60\n        env:\n        - {name: kube_client_qps, value: \"20\"}\n",
        );
        let faults = |values: &str| {
            put(
                "values.yaml",
                &format!("operator:\n  create: true\n{values}"),
            );
            let model = crate::manifest::read_bundle(&crate::target::HostRoot::new(dir.path()));
            let units = settle_all(&model);
            assert!(
                units.iter().any(|unit| unit.instances.len() == 2),
                "{units:?}"
            );
            let faults = units.iter().flat_map(|unit| &unit.settled.faults);
            faults
                .map(|fault| fault.kind.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            faults("  kubeClientQPS: 20\n  reconcileWorkers: 1\n"),
            Vec::<String>::new()
        );
        assert_eq!(faults("  kubeClientQPS: 40\n"), ["drift"]);
    }

    /// kubeadm makes flags of them, and the kubelet's flags win over its file.
    #[test]
    fn extra_arguments_beside_a_file_are_no_drift() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("manifests");
        std::fs::create_dir(&folder).unwrap();
        let kubeadm = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\nnodeRegistration:\n  kubeletExtraArgs:\n  - {name: kube-api-qps, value: \"5\"}\n  - {name: node-ip, value: \"10.0.0.1\"}\n---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\ncgroupDriver: systemd\nkubeAPIQPS: 7\nkubeAPIBurst: 9\n";
        std::fs::write(folder.join("kubeadm.yaml"), kubeadm).unwrap();
        let model = crate::manifest::read_bundle(&crate::target::HostRoot::new(dir.path()));
        let units = settle_all(&model);
        assert_eq!(units.len(), 1);
        let settled = &units[0].settled;
        assert!(
            settled.faults.iter().all(|fault| fault.kind != "drift"),
            "{:?}",
            settled.faults
        );
        assert!(units[0].defined.is_empty());
        let value = |name: &str| settled.settings[name].value.as_deref();
        assert_eq!(value("kube-api-qps"), Some("5"));
        assert_eq!(value("kube-api-burst"), Some("9"));
        assert_eq!(value("node-ip"), Some("10.0.0.1"));
    }

    #[test]
    fn what_is_closed_to_us_is_told() {
        use crate::evidence::Missing;
        let mut model = ManifestModel::default();
        let source = "/manifests/etcd.yaml".to_owned();
        model.cannot_read(&Missing::NotPresent {
            source: source.clone(),
        });
        assert!(unread(&model).is_empty());
        model.cannot_read(&Missing::Denied { source });
        assert_eq!(
            unread(&model),
            ["settings: no permission for /manifests/etcd.yaml"]
        );
    }

    #[test]
    fn two_processes_are_two_programs() {
        use SourceKind::{Process, StaticPod};
        let (main, other) = (
            [("data-dir", "/d/main")],
            [("data-dir", "/d/other"), ("snapshot-count", "5000")],
        );
        let two = model(&[(Process, &main), (Process, &other)]);
        let units = settle_all(&two);
        assert_eq!(units.len(), 1);
        assert!(units[0].settled.faults.is_empty(), "{:?}", units[0].settled);
        assert!(units[0].defined.is_empty());
        // The manifest is that of the one with its data.
        for processes in [[&main[..], &other[..]], [&other[..], &main[..]]] {
            let [one, two] = processes;
            let three = model(&[(Process, one), (Process, two), (StaticPod, &other)]);
            let units = settle_all(&three);
            assert_eq!(units[0].main().last("data-dir"), Some("/d/other"));
            assert!(units[0].settled.faults.is_empty(), "{:?}", units[0].settled);
        }
        // One process beside its manifest is compared as ever.
        let pending = model(&[(Process, &main), (StaticPod, &other)]);
        assert_eq!(settle_all(&pending)[0].settled.faults.len(), 2);
    }
}
