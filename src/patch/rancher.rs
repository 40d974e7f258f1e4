//! k3s and RKE2: a drop-in of `config.yaml.d`, or the one place where a flag is already set.
//!
//! Lists of `config.yaml` are replaced by later files unless their key ends in `+`, which appends
//! (rancher/rke2-docs, install/configuration). A flag that a found file already sets is changed
//! there, so that it is never given twice; and all files of a node are merged again after each
//! edit, so that a later file that drops what an earlier one says is found out.
//!
//! A list on the command line of the unit replaces those of all files (k3s docs,
//! installation/configuration), so there a drop-in of the unit is what takes effect.

use std::collections::{BTreeMap, BTreeSet};

use yaml_serde::Value;

use crate::catalog::settings::{Component, setting};
use crate::manifest::{Settled, effective_of_files, quotes_closed};

use super::apf;
use super::diff::{safe_name, unified};
use super::edit::rewrite;
use super::exec_line::{appended, changed_element, runs_program, unit_with};
use super::members::order;
use super::model::{Emitter, NodeManifests, PatchFile, PatchInput, PatchSet, Shown, apart};
use super::steps::{self, sentence};
use super::systemd::{self, DropIn};
use super::wanted::{Wanted, flags};
use super::yaml::{Refusal, documents, quoted};

/// The emitter for k3s or RKE2, which differ in folder and service only.
#[derive(Clone, Copy, Debug)]
pub struct Rancher {
    name: &'static str,
    service: &'static str,
}

/// k3s.
pub const K3S: Rancher = Rancher {
    name: "k3s",
    service: "k3s",
};
/// RKE2.
pub const RKE2: Rancher = Rancher {
    name: "rke2",
    service: "rke2-server",
};

const DROP_IN: &str = "90-etcd-doctor.yaml";

/// The keys whose lists hold a component's flags, the one to write first.
fn keys(component: Component) -> &'static [&'static str] {
    match component {
        Component::ApiServer => &["kube-apiserver-arg"],
        Component::ControllerManager => &["kube-controller-manager-arg", "kube-controller-arg"],
        Component::Scheduler => &["kube-scheduler-arg"],
        Component::Etcd => &["etcd-arg"],
        Component::Kubelet => &[],
    }
}

/// The elements of keys in a file, with or without `+`.
fn elements(document: &Value, keys: &[&str]) -> Vec<(String, usize, String)> {
    keys.iter()
        .flat_map(|key| [(*key).to_owned(), format!("{key}+")])
        .flat_map(|name| {
            let list = match document.get(name.as_str()) {
                Some(Value::Sequence(list)) => list.iter().map(Value::as_str).collect(),
                Some(Value::String(one)) => vec![Some(one.as_str())],
                _ => Vec::new(),
            };
            list.into_iter()
                .enumerate()
                .filter_map(|(at, text)| Some((name.clone(), at, text?.to_owned())))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn is_flag(element: &str, flag: &str) -> bool {
    let bare = element.trim_start_matches('-');
    bare == flag
        || bare
            .strip_prefix(flag)
            .is_some_and(|rest| rest.starts_with('='))
}

/// A configuration file while it is edited.
#[derive(Clone)]
struct File {
    name: String,
    before: String,
    text: String,
    value: Value,
    advice: BTreeSet<String>,
}

impl File {
    /// Changes a flag where the file already has it; `false` when it has not.
    fn set(&mut self, one: &Wanted) -> Result<bool, Refusal> {
        let found: Vec<_> = elements(&self.value, keys(one.component))
            .into_iter()
            .filter(|(_, _, text)| is_flag(text, &one.flag))
            .collect();
        let (name, at, old) = match found.as_slice() {
            [] => return Ok(false),
            [only] => only.clone(),
            _ => {
                let last = found
                    .last()
                    .and_then(|(_, _, text)| self.text.rfind(text.as_str()));
                return Err(Refusal {
                    why: format!("{} is there more than once", one.flag),
                    place: last.map(|at| super::yaml::place(&self.text, at)),
                });
            }
        };
        let dashes = old.len() - old.trim_start_matches('-').len();
        let new = format!("{}{}={}", "-".repeat(dashes), one.flag, one.value);
        if old == new {
            return Ok(true);
        }
        let mut wanted = self.value.clone();
        match wanted.get_mut(name.as_str()) {
            Some(Value::Sequence(list)) => {
                if let Some(slot) = list.get_mut(at) {
                    *slot = Value::String(new);
                }
            }
            Some(slot) => *slot = Value::String(new),
            None => {}
        }
        let text = rewrite(&self.text, std::slice::from_ref(&wanted)).ok_or_else(|| Refusal {
            why: format!("`{old}` cannot be changed alone"),
            place: self
                .text
                .find(&old)
                .map(|at| super::yaml::place(&self.text, at)),
        })?;
        self.text = text;
        self.value = wanted;
        self.advice.insert(one.advice.clone());
        Ok(true)
    }
}

/// The files of one server node.
#[derive(Default)]
struct Node {
    name: String,
    files: Vec<File>,
    /// Units, their drop-ins and files of variables, by their path below the root.
    units: Vec<(String, String)>,
    /// The unit that runs the server, and its command line; empty where none was given.
    unit: Option<(String, String)>,
    /// The drop-in of an earlier run.
    unit_before: String,
    /// Advice that the drop-in of the unit carries out.
    unit_advice: BTreeSet<String>,
    /// Why the unit's command line cannot be read, where it cannot.
    opaque: Option<String>,
    /// A file of it could not be read, so nobody knows what it already sets.
    unreadable: bool,
}

impl Node {
    /// With an external datastore k3s runs no etcd.
    fn has_no_etcd(&self) -> bool {
        self.files.iter().any(|file| {
            let key = |key: &str| file.value.get(key).is_some();
            key("datastore-endpoint") || key("server") && key("disable-etcd")
        })
    }

    /// What a component runs with, all files merged as the program merges them.
    fn settled(&self, component: Component) -> Option<Settled> {
        let place = |name: &str| match name.rsplit_once('/') {
            Some((dir, base)) if dir.ends_with("config.yaml.d") => {
                format!("etc/rancher/rke2/config.yaml.d/{base}")
            }
            Some((_, base)) => format!("etc/rancher/rke2/{base}"),
            None => format!("etc/rancher/rke2/{name}"),
        };
        let files: Vec<(String, &str)> = self
            .files
            .iter()
            .map(|file| (place(&file.name), file.text.as_str()))
            .chain(
                self.units
                    .iter()
                    .map(|(name, text)| (name.clone(), text.as_str())),
            )
            .collect();
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(name, text)| (name.as_str(), *text))
            .collect();
        effective_of_files(component, &files)
    }

    /// Sets a flag where it stands, else in the drop-in. `Ok(false)`: it is so already.
    fn set(&mut self, one: &Wanted) -> Result<bool, String> {
        let name = setting(one.component, &one.flag).map_or(one.flag.as_str(), |f| f.setting.name);
        let value = |settled: &Option<Settled>| {
            let settled = settled.as_ref()?;
            settled.settings.get(name)?.value.clone()
        };
        let before = self.settled(one.component);
        let given = before.as_ref().is_some_and(|settled| {
            settled
                .settings
                .get(name)
                .is_some_and(|have| have.place.is_some())
        });
        if given && value(&before).as_deref() == Some(one.value.as_str()) {
            return Ok(false);
        }
        let saved = self.files.clone();
        let mut placed = false;
        for file in &mut self.files {
            placed |= file
                .set(one)
                .map_err(|refusal| format!("{}: {refusal}", file.name))?;
        }
        if !placed {
            self.add(one)?;
        }
        if self.proves(one, name, &before) {
            return Ok(true);
        }
        self.files = saved;
        self.set_in_unit(one, name, &before)
    }

    /// Whether a setting has the value now, and nothing else that is given changed.
    fn proves(&self, one: &Wanted, name: &str, before: &Option<Settled>) -> bool {
        let after = self.settled(one.component);
        let others = |settled: &Option<Settled>| -> BTreeMap<String, Option<String>> {
            settled
                .iter()
                .flat_map(|settled| &settled.settings)
                .filter(|(key, have)| key.as_str() != name && have.place.is_some())
                .map(|(key, have)| (key.clone(), have.value.clone()))
                .collect()
        };
        let value = after
            .as_ref()
            .and_then(|settled| settled.settings.get(name)?.value.as_deref());
        value == Some(one.value.as_str()) && others(before) == others(&after)
    }

    /// Sets a flag on the command line of the unit, where that gives the list.
    fn set_in_unit(
        &mut self,
        one: &Wanted,
        name: &str,
        before: &Option<Settled>,
    ) -> Result<bool, String> {
        let given = |exec: &str| {
            keys(one.component)
                .iter()
                .copied()
                .find(|key| exec.contains(&format!("--{key}")))
        };
        let in_unit = self
            .unit
            .clone()
            .and_then(|(unit, exec)| Some((given(&exec)?, unit, exec)));
        let Some((key, unit, exec)) = in_unit else {
            let key = keys(one.component).first().copied().unwrap_or_default();
            return Err(format!(
                "{} would not come into force: a later file gives `{key}` without `+` and drops what \
                 earlier ones say",
                one.flag
            ));
        };
        let path = format!("etc/systemd/system/{unit}.d/{}", systemd::DROP_IN);
        let at = self.units.iter().position(|(have, _)| *have == path);
        let own = at
            .and_then(|at| self.units.get(at))
            .map_or_else(DropIn::default, |(_, text)| DropIn::parse(text));
        let mut tries = changed_element(&exec, &one.flag, &one.value);
        tries.extend(appended(
            &exec,
            &format!("--{key}={}={}", one.flag, one.value),
        ));
        for exec in tries {
            let saved = self.units.clone();
            let mut own = own.clone();
            own.exec = Some(exec.clone());
            match at.and_then(|at| self.units.get_mut(at)) {
                Some((_, text)) => *text = own.text(),
                None => self.units.push((path.clone(), own.text())),
            }
            if self.proves(one, name, before) {
                self.unit = Some((unit, exec));
                self.unit_advice.insert(one.advice.clone());
                return Ok(true);
            }
            self.units = saved;
        }
        Err(format!(
            "the command line of {unit} gives `--{key}`, which replaces the list of all files, and {} \
             cannot be changed alone there: set it there by hand",
            one.flag
        ))
    }

    /// Puts a flag into the drop-in, beside what an earlier run left there.
    fn add(&mut self, one: &Wanted) -> Result<(), String> {
        let name = self
            .files
            .iter()
            .position(|file| file.name.ends_with(DROP_IN));
        let at = name.unwrap_or_else(|| {
            self.files.push(File {
                name: format!("config.yaml.d/{DROP_IN}"),
                before: String::new(),
                text: String::new(),
                value: Value::Null,
                advice: BTreeSet::new(),
            });
            self.files.len() - 1
        });
        let Some(file) = self.files.get_mut(at) else {
            return Err("the drop-in is gone".to_owned());
        };
        let mut lists: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let components = || Component::ALL.into_iter().filter(|c| !keys(*c).is_empty());
        for component in components() {
            let Some(key) = keys(component).first() else {
                continue;
            };
            let own = elements(&file.value, keys(component));
            lists
                .entry(*key)
                .or_default()
                .extend(own.into_iter().map(|(_, _, text)| text));
            if component == one.component {
                let new = format!("{}={}", one.flag, one.value);
                lists.entry(*key).or_default().push(new);
            }
        }
        let known: BTreeSet<String> = components()
            .flat_map(keys)
            .flat_map(|key| [(*key).to_owned(), format!("{key}+")])
            .collect();
        let foreign = file.value.as_mapping().is_some_and(|map| {
            map.keys()
                .any(|key| key.as_str().is_none_or(|key| !known.contains(key)))
        });
        if foreign {
            return Err(format!(
                "{} holds keys that were not written by this program: put {}={} there by hand",
                file.name, one.flag, one.value
            ));
        }
        let mut text = String::new();
        for component in components() {
            let Some(key) = keys(component).first() else {
                continue;
            };
            let list = lists.get(key).map(Vec::as_slice).unwrap_or_default();
            if !list.is_empty() {
                text = format!("{text}{key}+:\n");
            }
            for element in list {
                text = format!("{text}  - {}\n", quoted(element));
            }
        }
        let mut read = documents(&text).map_err(|refusal| refusal.to_string())?;
        file.value = read.pop().unwrap_or_default();
        file.text = text;
        file.advice.insert(one.advice.clone());
        Ok(())
    }
}

impl Emitter for Rancher {
    fn name(&self) -> &'static str {
        self.name
    }

    fn emit(&self, input: &PatchInput<'_>) -> PatchSet {
        let (wanted, shown) = flags(
            input,
            &[
                Component::ApiServer,
                Component::ControllerManager,
                Component::Scheduler,
                Component::Etcd,
            ],
            &|value| self.shard(value),
        );
        let mut set = PatchSet {
            shown,
            ..PatchSet::default()
        };
        let mut nodes: Vec<Node> = apart(&input.nodes, &|_| None)
            .iter()
            .map(|node| self.read(node, &mut set))
            .collect();
        if nodes.is_empty() {
            nodes.push(Node::default());
        }
        for node in &mut nodes {
            let no_etcd = node.has_no_etcd();
            for one in &wanted {
                let on = if node.name.is_empty() {
                    one.component.program().to_owned()
                } else {
                    format!("{} on {}", one.component.program(), node.name)
                };
                let result = if node.unreadable {
                    Err(
                        "a configuration file of the node could not be read: see its place"
                            .to_owned(),
                    )
                } else if let Some(why) = &node.opaque {
                    Err(why.clone())
                } else if no_etcd && one.component == Component::Etcd {
                    Err("the datastore is no etcd of this node (datastore-endpoint)".to_owned())
                } else {
                    node.set(one)
                };
                match result {
                    Ok(true) => {}
                    Ok(false) => set.already.push(format!("{on}: {}", one.flag)),
                    Err(why) => set.shown.push(Shown {
                        advice: one.advice.clone(),
                        on,
                        why,
                    }),
                }
            }
        }
        self.write(input, set, &nodes)
    }
}

/// What to do with the drop-ins of units, and how to go back.
#[derive(Default)]
struct UnitSteps {
    how: String,
    back: String,
}

/// Whether a file is a unit, a drop-in of one, or a file of variables.
fn is_unit(name: &str) -> bool {
    let base = name.rsplit('/').next().unwrap_or(name);
    let ext = base.rsplit_once('.').map_or("", |(_, ext)| ext);
    ["service", "conf", "env"].contains(&ext) || !base.contains('.')
}

impl Rancher {
    /// The configuration files among a node's files.
    fn read(&self, node: &NodeManifests, set: &mut PatchSet) -> Node {
        let mut files = Vec::new();
        let mut unreadable = false;
        let (units, configs): (Vec<_>, Vec<_>) =
            node.files.iter().partition(|(name, _)| is_unit(name));
        let units: Vec<(String, String)> = units
            .into_iter()
            .map(|(name, text)| (systemd::place(name), text.clone()))
            .collect();
        let unit = unit_with(&units, &|exec| {
            runs_program(exec, self.name) && exec.contains("server")
        });
        let unit_before = units
            .iter()
            .find(|(path, _)| path.ends_with(&format!("/{}", systemd::DROP_IN)))
            .map(|(_, text)| text.clone())
            .unwrap_or_default();
        let opaque = unit
            .as_ref()
            .and_then(|(unit, exec)| self.opaque(unit, exec));
        for (name, text) in configs {
            let read = documents(text).and_then(|mut all| {
                let manifest = !all.is_empty() && all.iter().all(|doc| doc.get("kind").is_some());
                if manifest {
                    return Ok(None);
                }
                let value = all.pop().unwrap_or_default();
                if all.is_empty() {
                    Ok(Some(value))
                } else {
                    Err(Refusal::new("more than one document"))
                }
            });
            match read {
                Ok(Some(value)) => files.push(File {
                    name: name.clone(),
                    before: text.clone(),
                    text: text.clone(),
                    value,
                    advice: BTreeSet::new(),
                }),
                // A manifest is no configuration.
                Ok(None) => {}
                Err(refusal) => {
                    unreadable = true;
                    set.shown.push(Shown {
                        advice: String::new(),
                        on: name.clone(),
                        why: refusal.to_string(),
                    });
                }
            }
        }
        Node {
            name: node.node.clone(),
            files,
            units,
            unit,
            unit_before,
            unit_advice: BTreeSet::new(),
            opaque,
            unreadable,
        }
    }

    /// Why what a command line says is not known, where it is not.
    fn opaque(&self, unit: &str, exec: &str) -> Option<String> {
        let first = exec.split_whitespace().next().unwrap_or_default();
        let first = first.trim_start_matches(['@', '-', ':', '+', '!', '|']);
        let why = if !quotes_closed(exec) {
            "has a quote that is never closed, and systemd does not load it"
        } else if first.rsplit('/').next() != Some(self.name) {
            "starts the server through another program"
        } else if exec.contains('$') {
            "takes arguments from variables"
        } else {
            return None;
        };
        Some(format!(
            "the command line of {unit} {why}: a list there replaces those of the files, so look \
             there first, and set it by hand where it acts"
        ))
    }

    /// How to ask which member of its etcd leads (k3s docs, cli/etcd-snapshot; RKE2 docs, etcd).
    fn ask(&self) -> String {
        let tls = format!("/var/lib/rancher/{}/server/tls/etcd", self.name);
        let (exec, cert) = if self.name == "k3s" {
            ("etcdctl --endpoints=https://127.0.0.1:2379", "client")
        } else {
            (
                "kubectl -n kube-system exec etcd-NODE -- etcdctl",
                "server-client",
            )
        };
        format!(
            "`{exec} --cacert={tls}/server-ca.crt --cert={tls}/{cert}.crt --key={tls}/{cert}.key \
             endpoint status --cluster -w table` (column IS LEADER{})",
            if self.name == "k3s" {
                "; k3s brings no etcdctl along"
            } else {
                ""
            }
        )
    }

    /// Why no second etcd is written, and how to come to one.
    fn shard(&self, value: &str) -> String {
        let name = self.name;
        let tls = format!("/var/lib/rancher/{name}/server/tls/etcd");
        format!(
            "{name} runs one etcd and manages no second one, so no file is written: an override to an \
             etcd that is not there keeps kube-apiserver from starting. By hand, on each server: a \
             systemd unit for a second etcd on a disk of its own, client port 2382, peer port 2383, \
             with `--cert-file={tls}/server-client.crt --key-file={tls}/server-client.key \
             --trusted-ca-file={tls}/server-ca.crt --client-cert-auth \
             --peer-cert-file={tls}/peer-server-client.crt --peer-key-file={tls}/peer-server-client.key \
             --peer-trusted-ca-file={tls}/peer-ca.crt --peer-client-cert-auth`; {name} renews these \
             when it starts, so restart the unit after it. When every member is healthy, put \
             `kube-apiserver-arg+: [\"etcd-servers-overrides={value}\"]` into a file of \
             /etc/rancher/{name}/config.yaml.d with the addresses of all members, and restart one \
             server after the other"
        )
    }

    /// Drop-ins of units that changed, and what to do with them.
    fn write_units(
        &self,
        set: &mut PatchSet,
        nodes: &[Node],
        done: &mut BTreeSet<String>,
    ) -> UnitSteps {
        let mut steps = UnitSteps::default();
        for node in nodes.iter().filter(|node| !node.unit_advice.is_empty()) {
            let Some((unit, _)) = &node.unit else {
                continue;
            };
            let short = format!("{unit}.d/{}", systemd::DROP_IN);
            let to = format!("etc/systemd/system/{short}");
            let Some((_, text)) = node.units.iter().find(|(path, _)| *path == to) else {
                continue;
            };
            let (path, on) = if node.name.is_empty() {
                (short, String::new())
            } else {
                let folder = safe_name(&node.name);
                (format!("{folder}/{short}"), format!("On {}: ", node.name))
            };
            let advice: Vec<String> = node.unit_advice.iter().cloned().collect();
            done.extend(node.unit_advice.iter().cloned());
            set.files.push(PatchFile {
                path: path.clone(),
                content: text.clone(),
                what: format!("/{to}"),
                advice: advice.clone(),
            });
            set.files.push(PatchFile {
                path: format!("diffs/{path}.diff"),
                content: unified(&node.unit_before, text, &to),
                what: "what changes in it".to_owned(),
                advice,
            });
            steps.how = format!(
                "{}{on}`install -D -m 0644 {path} /{to}`, then `systemctl daemon-reload`.\n\n",
                steps.how
            );
            let undo = if node.unit_before.is_empty() {
                format!("remove /{to}")
            } else {
                format!("put the earlier /{to} back")
            };
            steps.back = format!(
                "{}{}, `systemctl daemon-reload`.\n\n",
                steps.back,
                sentence(&format!("{on}{undo}"))
            );
        }
        if !steps.how.is_empty() {
            steps.how = format!(
                "The command line of {}.service holds a list of arguments, and that replaces the list \
                 of the files: so the value is set there, by a drop-in with the whole command line. It \
                 stands until it is removed: give the value to the installer too (INSTALL_{}_EXEC), or \
                 move the arguments into config.yaml, before the unit is changed by anything else.\n\n{}",
                self.service,
                self.name.to_uppercase(),
                steps.how
            );
        }
        steps
    }

    fn write(&self, input: &PatchInput<'_>, mut set: PatchSet, nodes: &[Node]) -> PatchSet {
        let mut done: BTreeSet<String> = BTreeSet::new();
        let drop_in = |node: &Node| {
            let file = node
                .files
                .iter()
                .find(|file| file.name.ends_with(DROP_IN))?;
            Some(file.text.clone())
        };
        // The same for all nodes is one file.
        let first = nodes.first().and_then(drop_in);
        let alike = nodes.iter().all(|node| drop_in(node) == first);
        for node in nodes {
            let dir = if node.name.is_empty() {
                String::new()
            } else {
                format!("{}/", safe_name(&node.name))
            };
            for file in node.files.iter().filter(|file| file.text != file.before) {
                let advice: Vec<String> = file.advice.iter().cloned().collect();
                done.extend(file.advice.iter().cloned());
                let own = file.name.ends_with(DROP_IN);
                let name = safe_name(file.name.rsplit('/').next().unwrap_or(&file.name));
                let path = match (own, alike) {
                    (true, true) => format!("config.yaml.d/{DROP_IN}"),
                    (true, false) => format!("{dir}config.yaml.d/{DROP_IN}"),
                    (false, _) if file.name.contains("config.yaml.d/") => {
                        format!("config/{dir}config.yaml.d/{name}")
                    }
                    (false, _) => format!("config/{dir}{name}"),
                };
                if set.file(&path).is_some() {
                    continue;
                }
                set.files.push(PatchFile {
                    path: path.clone(),
                    content: file.text.clone(),
                    what: if own {
                        format!("drop-in for /etc/rancher/{}/config.yaml.d", self.name)
                    } else {
                        "the file with the new values".to_owned()
                    },
                    advice: advice.clone(),
                });
                if !file.before.is_empty() {
                    let short = path.trim_start_matches("config/");
                    set.files.push(PatchFile {
                        path: format!("diffs/{short}.diff"),
                        content: unified(&file.before, &file.text, &name),
                        what: "what changed".to_owned(),
                        advice,
                    });
                }
            }
        }
        let units = self.write_units(&mut set, nodes, &mut done);
        let levels = apf::add(input, input.kubernetes, &mut set);
        if set.files.is_empty() {
            return set;
        }
        let dir = format!("/etc/rancher/{}", self.name);
        let etcd = input
            .advices
            .iter()
            .any(|advice| advice.target == "etcd" && done.contains(&advice.id));
        let written = || {
            nodes
                .iter()
                .flat_map(|node| &node.files)
                .filter(|file| file.text != file.before)
        };
        let is_own = |file: &&File| file.name.ends_with(DROP_IN);
        let dropped = written().any(|file| is_own(&file));
        let changed = written().any(|file| !is_own(&file));
        // One that was there before is an original like others.
        let added = written().any(|file| is_own(&file) && file.before.is_empty());
        let restored = written().any(|file| !file.before.is_empty());
        let files = dropped || changed;
        let mut how = String::new();
        if files && nodes.iter().any(|node| node.unit.is_none()) {
            let service = self.service;
            how = format!(
                "First look at the command line of the server, which was not among the files: \
                 `systemctl cat {service}`. An argument there, such as `--etcd-arg=…` or \
                 `--kube-apiserver-arg=…`, replaces the whole list of the files, and then nothing of \
                 this acts: give {service}.service beside the configuration, and run this again.\n\n"
            );
        }
        if !done.is_empty() {
            let order = if etcd {
                format!(" {}.", sentence(&order(&input.members, &self.ask())))
            } else {
                String::new()
            };
            let copy = if files {
                let copies: Vec<String> = [
                    dropped
                        .then(|| format!("copy `config.yaml.d/{DROP_IN}` to {dir}/config.yaml.d/")),
                    changed.then(|| "copy each file of `config/` over its original".to_owned()),
                ]
                .into_iter()
                .flatten()
                .collect();
                format!(
                    "Keep a copy first: `cp -a {dir} /root/rancher-before`. On every server node: {}, then ",
                    copies.join(", ")
                )
            } else {
                "On every server node: ".to_owned()
            };
            how = format!(
                "{how}{}{copy}`systemctl restart {}`.{order} Wait until the node is Ready and `kubectl get --raw /readyz` answers before the next.",
                units.how, self.service
            );
            if dropped {
                how.push_str(
                    "\n\nKeys end in `+`: they append to lists of earlier files. A later file that sets the \
                     same key without `+` undoes them.",
                );
            }
        }
        if !levels.is_empty() {
            how = format!(
                "{how}{}{}",
                if how.is_empty() { "" } else { "\n\n" },
                apf::HOW
            );
        }
        done.extend(levels);
        let files_back = match (added, restored) {
            (true, true) => {
                format!("Remove {dir}/config.yaml.d/{DROP_IN}, put the originals back, restart")
            }
            (true, false) => format!("Remove {dir}/config.yaml.d/{DROP_IN}, restart"),
            (false, true) => "Put the originals back, restart".to_owned(),
            (false, false) => "Restart".to_owned(),
        };
        let back = format!(
            "{}{files_back} {} on one node after the other; `kubectl delete -f apf/` for priority \
             levels.",
            units.back, self.service
        );
        let content = steps::short(input, &set, &done, &how, &back);
        set.files.insert(
            0,
            PatchFile {
                path: "STEPS.md".to_owned(),
                content,
                what: "what to do, in order".to_owned(),
                advice: done.into_iter().collect(),
            },
        );
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::Advice;
    use crate::catalog::releases::Version;

    const QUOTA: &str = "quota-backend-bytes";

    fn advice() -> Advice {
        serde_json::from_value(serde_json::json!({
            "id": QUOTA, "remedy": "etcd", "strength": "recommended", "target": "etcd",
            "setting": QUOTA, "now": null, "proposed": "8589934592", "why": "w", "effect": "e",
            "confidence": "high", "risk": "r", "undo": "u", "verify": "v",
            "disposition": "disruptive", "finding_ids": [], "source": "s",
        }))
        .unwrap()
    }

    fn emit(rancher: Rancher, files: &[(&str, &str)]) -> PatchSet {
        rancher.emit(&PatchInput {
            advices: &[advice()],
            etcd: Version::parse("3.5.13"),
            nodes: vec![NodeManifests {
                node: String::new(),
                files: files
                    .iter()
                    .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                    .collect(),
            }],
            ..PatchInput::default()
        })
    }

    fn unit(exec: &str) -> String {
        format!("[Unit]\nDescription=Kubernetes: server\n[Service]\nExecStart={exec}\n")
    }

    #[test]
    fn a_list_on_the_command_line_is_changed_there() {
        for (rancher, name, exec, after) in [
            (
                K3S,
                "k3s.service",
                "/usr/local/bin/k3s \\\n    server \\\n\t'--etcd-arg=quota-backend-bytes=4294967296' \\\n",
                "/usr/local/bin/k3s server '--etcd-arg=quota-backend-bytes=8589934592'",
            ),
            (
                K3S,
                "k3s.service",
                "/usr/local/bin/k3s server --etcd-arg quota-backend-bytes=1 --tls-san=x",
                "/usr/local/bin/k3s server --etcd-arg quota-backend-bytes=8589934592 --tls-san=x",
            ),
            (
                RKE2,
                "rke2-server.service",
                "/usr/local/bin/rke2 server --etcd-arg=snapshot-count=5000",
                "/usr/local/bin/rke2 server --etcd-arg=snapshot-count=5000 '--etcd-arg=quota-backend-bytes=8589934592'",
            ),
        ] {
            let unit = unit(exec);
            // What the files say is of no effect, be it there or not.
            for config in [
                "cluster-init: true\n",
                "etcd-arg: [quota-backend-bytes=2]\n",
            ] {
                let set = emit(rancher, &[("config.yaml", config), (name, &unit)]);
                assert_eq!(set.shown, [], "{exec}");
                let path = format!("{name}.d/90-etcd-doctor.conf");
                let file = set.file(&path).unwrap();
                assert!(
                    file.content
                        .ends_with(&format!("ExecStart=\nExecStart={after}\n")),
                    "{}",
                    file.content
                );
                let paths: Vec<&str> = set.files.iter().map(|file| file.path.as_str()).collect();
                assert_eq!(paths, ["STEPS.md", &path, &format!("diffs/{path}.diff")]);
                let steps = &set.files[0].content;
                assert!(
                    steps.contains(&format!("0644 {path} /etc/systemd/system/{path}")),
                    "{steps}"
                );
                assert!(!steps.contains("config.yaml.d"), "{steps}");
                // The same again changes nothing.
                let again = emit(
                    rancher,
                    &[
                        ("config.yaml", config),
                        (name, &unit),
                        (&path, &file.content),
                    ],
                );
                assert!(
                    again.files.is_empty() && again.shown.is_empty(),
                    "{again:?}"
                );
                assert_eq!(again.already.len(), 1);
            }
        }
    }

    #[test]
    fn a_command_line_without_the_list_leaves_the_files_in_force() {
        let unit = unit("/usr/local/bin/k3s server --kube-apiserver-arg=v=2");
        let set = emit(
            K3S,
            &[
                ("config.yaml", "cluster-init: true\n"),
                ("k3s.service", &unit),
            ],
        );
        assert_eq!(set.shown, []);
        assert!(set.file("config.yaml.d/90-etcd-doctor.yaml").is_some());
        assert!(
            !set.files[0].content.contains("systemctl cat"),
            "{}",
            set.files[0].content
        );
        // Without the unit nobody knows.
        let set = emit(K3S, &[("config.yaml", "cluster-init: true\n")]);
        assert!(
            set.files[0].content.contains("`systemctl cat k3s`"),
            "{}",
            set.files[0].content
        );
    }

    #[test]
    fn a_command_line_that_cannot_be_read_is_refused_in_words() {
        for (exec, why) in [
            (
                "/bin/sh -c 'exec k3s server $OPTS'",
                "through another program",
            ),
            ("/usr/local/bin/k3s server $OPTS", "from variables"),
            ("/usr/local/bin/k3s server '--etcd-arg=a=b", "never closed"),
        ] {
            let unit = unit(exec);
            let set = emit(
                K3S,
                &[
                    ("config.yaml", "cluster-init: true\n"),
                    ("k3s.service", &unit),
                ],
            );
            assert!(set.files.is_empty(), "{exec}");
            assert!(set.shown[0].why.contains(why), "{:?}", set.shown);
        }
    }

    #[test]
    fn two_servers_without_a_name_lose_no_file() {
        let node = |text: &str| NodeManifests {
            node: String::new(),
            files: vec![("config.yaml".to_owned(), text.to_owned())],
        };
        let set = K3S.emit(&PatchInput {
            advices: &[advice()],
            etcd: Version::parse("3.5.13"),
            nodes: vec![
                node("etcd-arg: [quota-backend-bytes=1]\n"),
                node("etcd-arg: [quota-backend-bytes=2]\n"),
            ],
            ..PatchInput::default()
        });
        assert!(set.file("config/node-1/config.yaml").is_some(), "{set:?}");
        assert!(set.file("config/node-2/config.yaml").is_some(), "{set:?}");
    }
}
