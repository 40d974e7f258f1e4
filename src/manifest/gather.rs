//! Collects files into one model: dispatches each document to its reader, joins what belongs
//! together, and keeps what is wrong.

mod nodes;

use std::collections::{BTreeMap, BTreeSet};

use super::argv::{self, Word};
use super::env_files::{self, Found};
use super::model::{Fault, Instance, Place, SourceKind, Weight};
use super::rancher::{self, Config};
use super::systemd::{self, Runs, UnitFile};
use super::yaml::{self, Node};
use super::{component_config, helm, kubeadm, pods, process, talos};
use crate::catalog::releases::Version;
use crate::catalog::settings::Component;
use crate::evidence::Missing;

/// Endings of copies that people and packages leave behind; the kubelet reads them all.
const COPIES: &[&str] = &[
    ".bak",
    ".backup",
    ".old",
    ".orig",
    ".save",
    ".rpmsave",
    ".rpmnew",
    ".dpkg-old",
    ".dpkg-dist",
    ".copy",
    ".disabled",
    "~",
];

/// Endings of files that hold no settings.
const NO_SETTINGS: &[&str] = &[
    ".crt", ".pem", ".key", ".csr", ".sh", ".log", ".gz", ".zst", ".tar", ".db", ".snap", ".wal",
    ".md", ".txt", ".html", ".prom",
];

/// All that the readers found on one or more nodes.
#[derive(Clone, Debug, Default)]
pub struct ManifestModel {
    /// Every run of a program that some source describes.
    pub instances: Vec<Instance>,
    /// What is wrong with the sources themselves, with the node where it is known.
    pub faults: Vec<(Option<String>, Fault)>,
    /// What could not be read, in words.
    pub unread: Vec<String>,
    /// Of it what is there and closed to us: with more rights more would be known.
    pub closed: Vec<String>,
    /// Signs of a distribution: its name, the sign, the place.
    pub signs: Vec<(&'static str, String, Place)>,
    /// etcd endpoints that a configuration calls external, or another datastore, masked.
    pub datastores: Vec<(String, Place)>,
    /// Files that were read.
    pub files: usize,
    /// Files and documents that hold no settings.
    pub others: usize,
    /// Versions to judge settings by, in place of those that run: what would an upgrade refuse?
    pub asked: Vec<(Component, Version)>,
    pending: Pending,
}

/// The node, and the unit's or folder's name.
type Owner = (Option<String>, String);

/// What is put together when all files are read.
#[derive(Clone, Debug, Default)]
struct Pending {
    units: BTreeMap<Owner, Vec<UnitFile>>,
    rancher: BTreeMap<Owner, Vec<(String, Vec<Node>)>>,
    texts: BTreeMap<String, String>,
    node_names: BTreeSet<String>,
}

/// The text of a file and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct File<'a> {
    /// Its name in reports.
    pub(super) name: &'a str,
    /// The node it belongs to, where that is known.
    pub(super) node: Option<&'a str>,
    /// Its text.
    pub(super) text: &'a str,
}

impl File<'_> {
    fn base(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(self.name)
    }

    fn dir(&self) -> &str {
        self.name.rsplit_once('/').map_or("", |(dir, _)| dir)
    }

    fn owner(&self) -> Option<String> {
        self.node.map(str::to_owned)
    }
}

impl ManifestModel {
    /// Notes what could not be read.
    pub(super) fn cannot_read(&mut self, missing: &Missing) {
        let why = missing.to_string();
        if matches!(missing, Missing::Denied { .. } | Missing::TimedOut { .. }) {
            self.closed.push(why.clone());
        }
        self.unread.push(why);
    }

    /// Adds a fault of a source.
    pub(super) fn fault(&mut self, node: Option<&str>, fault: Fault) {
        self.faults.push((node.map(str::to_owned), fault));
    }

    /// Adds a file by its name and content.
    pub(super) fn add_file(&mut self, file: File<'_>) {
        let base = file.base();
        if let Some((unit, _)) = systemd::unit_of(file.name) {
            let key = (file.owner(), unit.to_owned());
            self.pending.units.entry(key).or_default().push(UnitFile {
                name: file.name.to_owned(),
                text: file.text.to_owned(),
            });
            return;
        }
        // k3s and RKE2 read `*.yaml` and `*.yml` of this folder, in any case, and nothing else
        // (k3s pkg/configfilearg/parser.go): a backup beside them is out of force.
        let lower = base.to_ascii_lowercase();
        if file.dir().ends_with("/config.yaml.d")
            && ![".yaml", ".yml"].iter().any(|end| lower.ends_with(end))
        {
            self.others += 1;
            return;
        }
        let start = file.text.trim_start();
        let no_settings = NO_SETTINGS.iter().any(|end| base.ends_with(end))
            || start.starts_with("-----BEGIN")
            || start.starts_with("#!");
        if no_settings {
            self.others += 1;
            return;
        }
        // `/etc/default/etcd` and the like have no ending.
        let yaml_name = [".yaml", ".yml", ".json", ".manifest"]
            .iter()
            .any(|end| base.ends_with(end));
        let first = file
            .text
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with(['#', ';']))
            .unwrap_or("");
        let assignment = first
            .strip_prefix("export ")
            .unwrap_or(first)
            .split_once('=')
            .is_some_and(|(name, _)| {
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            });
        // An empty one sets nothing, which must be known to the unit that names it.
        if !yaml_name && (assignment || base.ends_with(".env") || first.is_empty()) {
            self.add_env(file);
            return;
        }
        let copy = COPIES.iter().any(|end| base.ends_with(end));
        let before = self.instances.len();
        self.add_yaml(file, yaml_name || copy);
        if copy && self.instances.len() > before {
            self.fault(
                file.node,
                Fault::new(
                    "stray-manifest",
                    Weight::Warn,
                    Place::new(file.name, 0),
                    format!("`{base}` looks like a copy, but the kubelet reads every file of its manifest folder whose name does not begin with a dot"),
                ),
            );
        }
    }

    /// Adds a file of assignments: kept for units that name it; kubeadm's holds the kubelet's flags.
    fn add_env(&mut self, file: File<'_>) {
        self.pending
            .texts
            .insert(file.name.to_owned(), file.text.to_owned());
        let mut words = Vec::new();
        for (name, value, place) in systemd::env_lines(file.text, file.name) {
            if matches!(name.as_str(), "KUBELET_KUBEADM_ARGS" | "KUBELET_EXTRA_ARGS") {
                words.extend(
                    argv::shell_commands(&value, place.line)
                        .into_iter()
                        .flatten()
                        .map(|word| Word::new(word.text, place.line)),
                );
            }
        }
        if words.is_empty() {
            self.others += 1;
            return;
        }
        let line = argv::read(&words, file.name, Some(Component::Kubelet));
        let mut instance = Instance::new("kubelet", SourceKind::Config, Place::new(file.name, 1));
        instance.component = Some(Component::Kubelet);
        instance.partial = true;
        instance.given = line.given;
        instance.node = file.owner();
        self.instances.push(instance);
    }

    /// Adds a YAML or JSON file of any kind. What only might be YAML is not blamed for being none.
    pub(super) fn add_yaml(&mut self, file: File<'_>, surely: bool) {
        let read = yaml::read(file.text);
        let mut holds = false;
        let mut rancher = Vec::new();
        for doc in read.documents {
            if rancher::is_config(&doc, file.name) {
                rancher.push(doc);
                holds = true;
            } else if self.add_document(&doc, file, 0) {
                holds = true;
            } else {
                self.others += 1;
            }
        }
        if !rancher.is_empty() {
            let dir = file
                .name
                .split_once("/config.yaml")
                .map_or_else(|| file.dir(), |(dir, _)| dir);
            let key = (file.owner(), dir.to_owned());
            self.pending
                .rancher
                .entry(key)
                .or_default()
                .push((file.name.to_owned(), rancher));
        }
        if !surely && !holds {
            return;
        }
        for trouble in read.troubles {
            let place = Place::new(file.name, trouble.line);
            let column = trouble
                .column
                .map_or(String::new(), |column| format!(", column {column}"));
            let template = trouble.why.contains("template");
            let (kind, weight) = match (trouble.fatal, template) {
                _ if trouble.ambiguous => ("ambiguous-scalar", Weight::Note),
                (true, true) => ("unfilled-template", Weight::Stop),
                (true, false) => ("unreadable", Weight::Stop),
                (false, _) => ("duplicate-key", Weight::Warn),
            };
            let text = format!("line {}{column}: {}", trouble.line, trouble.why);
            self.fault(file.node, Fault::new(kind, weight, place, text));
        }
    }

    /// Adds one document; says whether it held settings. `offset` lines stand before it.
    fn add_document(&mut self, doc: &Node, file: File<'_>, offset: u32) -> bool {
        let push = |model: &mut Self, mut instance: Instance| {
            // No control plane runs from a file with a template in a setting: it is the source of one
            // that was never made, and none of it is in force.
            if let Some((place, mark)) = unfilled(&instance) {
                let text = format!("line {}: {}", place.line, yaml::unfilled(mark));
                let fault = Fault::new("unfilled-template", Weight::Stop, place, text);
                model.fault(file.node, fault);
                return;
            }
            instance.node = instance.node.take().or_else(|| file.owner());
            model.instances.push(instance);
        };
        if doc.get("items").is_none() && pods::is_workload(doc) {
            let from_api = doc.at(&["metadata", "uid"]).is_some()
                || doc
                    .at(&["metadata", "annotations", "kubernetes.io/config.mirror"])
                    .is_some()
                || doc.text_at(&["kind"]) != Some("Pod");
            let source = if from_api {
                SourceKind::Workload
            } else {
                SourceKind::StaticPod
            };
            for instance in pods::read(doc, file.name, source) {
                push(self, instance);
            }
            return true;
        }
        if kubeadm::is_kubeadm(doc) {
            let read = kubeadm::read(doc, file.name, offset);
            self.sign(
                "kubeadm",
                "a kubeadm configuration",
                Place::new(file.name, offset),
            );
            self.pending.node_names.extend(read.node.clone());
            for mut instance in read.instances {
                instance.node = read.node.clone();
                push(self, instance);
            }
            for fault in read.faults {
                self.fault(file.node, fault);
            }
            if let Some((servers, line)) = read.external_etcd {
                self.datastores.push((
                    super::secret::mask_text(&servers),
                    Place::new(file.name, line),
                ));
            }
            return true;
        }
        if doc.text_at(&["kind"]) == Some("ConfigMap") {
            let own = helm::config_map(doc, file.name);
            let held = own.is_some();
            if let Some(instance) = own {
                push(self, instance);
            }
            return self.add_config_map(doc, file) || held;
        }
        // `kubectl get -o yaml` of several kinds at once, ConfigMaps among them.
        if let Some(items) = doc.get("items").filter(|_| offset == 0) {
            let mut held = false;
            for item in items.items() {
                if item.get("items").is_none() {
                    held |= self.add_document(item, file, 0);
                }
            }
            return held;
        }
        if talos::is_machine(doc) {
            self.sign(
                "talos",
                "a Talos machine configuration",
                Place::new(file.name, doc.line),
            );
            let node = talos::host_name(doc).map(str::to_owned);
            self.pending.node_names.extend(node.clone());
            for mut instance in talos::read(doc, file.name) {
                instance.node.clone_from(&node);
                push(self, instance);
            }
            return true;
        }
        if let Some(api) = doc.text_at(&["apiVersion"])
            && api.starts_with("kops.k8s.io/")
        {
            self.sign("kops", "a kOps object", Place::new(file.name, doc.line));
            return true;
        }
        if let Some(component) = component_config::component_of(doc, file.name) {
            push(self, component_config::read(doc, file.name, component));
            return true;
        }
        let values = helm::values(doc, file.name);
        let held = !values.is_empty();
        for instance in values {
            push(self, instance);
        }
        held
    }

    /// ConfigMaps that hold configurations as text: kubeadm-config, kubelet-config.
    fn add_config_map(&mut self, doc: &Node, file: File<'_>) -> bool {
        let mut held = false;
        for (_, value) in doc.get("data").map_or(&[][..], Node::entries) {
            let Some(text) = value.text().filter(|text| text.contains("apiVersion:")) else {
                continue;
            };
            let offset = value.line.saturating_sub(1);
            for mut inner in yaml::read(text).documents {
                shift(&mut inner, offset);
                held |= self.add_document(&inner, file, 0);
            }
        }
        held
    }

    /// Notes a sign of a distribution.
    pub(super) fn sign(&mut self, name: &'static str, sign: &str, place: Place) {
        self.signs.push((name, sign.to_owned(), place));
    }

    /// Puts together what came in several files. `lookup` finds files that were not added.
    pub(super) fn finish(&mut self, host: Option<&str>, lookup: &dyn Fn(&str) -> Found) {
        let pending = std::mem::take(&mut self.pending);
        let mut rancher: BTreeMap<Owner, Config> = BTreeMap::new();
        for ((node, dir), mut files) in pending.rancher {
            // `config.yaml` first, then its drop-ins by name.
            files.sort_by(|a, b| {
                let drop_in = |name: &str| name.contains("/config.yaml.d/");
                (drop_in(&a.0), &a.0).cmp(&(drop_in(&b.0), &b.0))
            });
            let which = files.first().map_or("", |(name, _)| name.as_str());
            let name = if which.contains("rke2") {
                "rke2"
            } else {
                "k3s"
            };
            if which.contains("rke2") || which.contains("k3s") {
                self.sign(name, "its config.yaml", Place::new(which, 0));
            }
            let config = rancher.entry((node, dir)).or_default();
            for (name, docs) in &files {
                for doc in docs {
                    config.add(doc, name);
                }
            }
        }
        for ((node, unit), files) in pending.units {
            let near = files.first().map_or("", |file| file.name.as_str());
            let env_file = |path: &str| {
                let own = env_files::of_texts(&pending.texts, near, path);
                own.unwrap_or_else(|| lookup(path))
            };
            match systemd::read(&files, host, &env_file) {
                Runs::Component(mut instance) => {
                    instance.node.clone_from(&node);
                    self.instances.push(*instance);
                }
                Runs::Rancher(words, file) => {
                    let name = if unit.contains("rke2") { "rke2" } else { "k3s" };
                    self.sign(name, "its systemd unit", Place::new(&file, 0));
                    let key = rancher.keys().find(|(owner, _)| *owner == node).cloned();
                    let config = rancher
                        .entry(key.unwrap_or((node, String::new())))
                        .or_default();
                    config.add_words(words.get(2..).unwrap_or(&[]), &file);
                }
                Runs::Other => self.others += 1,
            }
        }
        for ((node, _), config) in rancher {
            self.add_rancher(node, config);
        }
        component_config::link(&mut self.instances, &self.unread);
        self.drop_idle_units();
        self.name_nodes(host, &pending.node_names);
        self.note_twins();
        self.unread
            .extend(process::beside_one_another(&self.instances));
    }

    fn add_rancher(&mut self, node: Option<String>, config: Config) {
        let own = config.value("node-name").map(|(name, _)| name.to_owned());
        if let Some((endpoint, place)) = config.value("datastore-endpoint") {
            self.datastores.push((
                super::secret::mask("datastore-endpoint", endpoint),
                place.clone(),
            ));
        }
        let (instances, faults) = config.finish();
        for fault in faults {
            self.fault(node.as_deref(), fault);
        }
        for mut instance in instances {
            instance.node = node.clone().or_else(|| own.clone());
            self.instances.push(instance);
        }
    }

    /// A packaged unit beside a static pod of the same program, or beside a process that something else started: it is
    /// installed and does not run, so it neither tells nor contradicts what does.
    fn drop_idle_units(&mut self) {
        let key = |instance: &Instance| (instance.name.clone(), instance.node.clone());
        let pods: BTreeSet<(String, Option<String>)> = self
            .instances
            .iter()
            .filter(|instance| instance.source == SourceKind::StaticPod)
            .map(key)
            .collect();
        let mut services: BTreeMap<(String, Option<String>), Vec<Option<String>>> = BTreeMap::new();
        for instance in &self.instances {
            if instance.source == SourceKind::Process {
                services
                    .entry(key(instance))
                    .or_default()
                    .push(instance.service.clone());
            }
        }
        let mut idle = Vec::new();
        self.instances.retain(|instance| {
            if instance.source != SourceKind::Systemd {
                return true;
            }
            let unit = systemd::unit_of(&instance.place.file).map_or("", |(unit, _)| unit);
            let own = key(instance);
            let why = if pods.contains(&own) {
                "its static pod"
            } else if services.get(&own).is_some_and(|all| {
                all.iter()
                    .all(|service| service.as_deref().is_some_and(|service| service != unit))
            }) {
                "a process that was started otherwise"
            } else {
                return true;
            };
            idle.push((
                instance.node.clone(),
                Fault::new(
                    "idle-unit",
                    Weight::Note,
                    instance.place.clone(),
                    format!(
                        "a unit for {} exists beside {why}; the unit was left out of account",
                        instance.name
                    ),
                ),
            ));
            false
        });
        self.faults.extend(idle);
    }

    /// Two files of one manifest folder that define the same program: both are read.
    fn note_twins(&mut self) {
        let mut twins = Vec::new();
        let pods: Vec<&Instance> = self
            .instances
            .iter()
            .filter(|instance| {
                instance.source == SourceKind::StaticPod && instance.component.is_some()
            })
            .collect();
        let dir = |instance: &Instance| {
            instance
                .place
                .file
                .rsplit_once('/')
                .map(|(dir, _)| dir.to_owned())
        };
        for (index, one) in pods.iter().enumerate() {
            let twin = pods.iter().take(index).find(|other| {
                other.name == one.name
                    && other.node == one.node
                    && other.place.file != one.place.file
                    && dir(other) == dir(one)
            });
            if let Some(twin) = twin {
                twins.push((
                    one.node.clone(),
                    Fault::new(
                        "stray-manifest",
                        Weight::Warn,
                        one.place.clone(),
                        format!(
                            "{} and {} in one folder both define {}: the kubelet reads both, and which one runs is chance",
                            twin.place.file, one.place.file, one.name
                        ),
                    ),
                ));
            }
        }
        self.faults.extend(twins);
    }
}

fn shift(node: &mut Node, by: u32) {
    node.line = node.line.saturating_add(by);
    match &mut node.value {
        yaml::Value::Seq(items) => items.iter_mut().for_each(|item| shift(item, by)),
        yaml::Value::Map(entries) => {
            for (key, value) in entries {
                shift(key, by);
                shift(value, by);
            }
        }
        yaml::Value::Null | yaml::Value::Plain(_) | yaml::Value::Text(_) => {}
    }
}

/// Where a component of the control plane is given a template that nobody filled in. Arguments of
/// other programs may well be templates.
fn unfilled(instance: &Instance) -> Option<(Place, &'static str)> {
    instance.component?;
    let image = instance.image.iter().map(|image| (image, &instance.place));
    let bare = instance.bare.iter().map(|word| (word, &instance.place));
    instance
        .given
        .iter()
        .filter_map(|given| Some((given.value.as_ref()?, &given.place)))
        .chain(bare)
        .chain(image)
        .find_map(|(text, place)| Some((place.clone(), yaml::template_in(text)?.1)))
}
