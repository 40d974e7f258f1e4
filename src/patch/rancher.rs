//! k3s and RKE2: a drop-in of `config.yaml.d`, or the one place where a flag is already set.
//!
//! Lists of `config.yaml` are replaced by later files unless their key ends in `+`, which appends
//! (rancher/rke2-docs, install/configuration). A flag that a found file already sets is changed
//! there, so that it is never given twice; and all files of a node are merged again after each
//! edit, so that a later file that drops what an earlier one says is found out.

use std::collections::{BTreeMap, BTreeSet};

use yaml_serde::Value;

use crate::catalog::settings::{Component, setting};
use crate::manifest::{Settled, effective_of_files};

use super::apf;
use super::edit::rewrite;
use super::kubeadm::{safe_name, unified};
use super::members::order;
use super::model::{Emitter, NodeManifests, PatchFile, PatchInput, PatchSet, Shown};
use super::steps::{self, sentence};
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
struct Node {
    name: String,
    files: Vec<File>,
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
        let after = self.settled(one.component);
        let others = |settled: &Option<Settled>| -> BTreeMap<String, Option<String>> {
            settled
                .iter()
                .flat_map(|settled| &settled.settings)
                .filter(|(key, have)| key.as_str() != name && have.place.is_some())
                .map(|(key, have)| (key.clone(), have.value.clone()))
                .collect()
        };
        if value(&after).as_deref() == Some(one.value.as_str()) && others(&before) == others(&after)
        {
            return Ok(true);
        }
        self.files = saved;
        let key = keys(one.component).first().copied().unwrap_or_default();
        Err(format!(
            "{} would not come into force: a later file gives `{key}` without `+` and drops what \
             earlier ones say",
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
        let mut nodes: Vec<Node> = input
            .nodes
            .iter()
            .map(|node| read(node, &mut set))
            .collect();
        if nodes.is_empty() {
            nodes.push(Node {
                name: String::new(),
                files: Vec::new(),
                unreadable: false,
            });
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

/// The configuration files among a node's files.
fn read(node: &NodeManifests, set: &mut PatchSet) -> Node {
    let mut files = Vec::new();
    let mut unreadable = false;
    for (name, text) in &node.files {
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
        unreadable,
    }
}

impl Rancher {
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
        let levels = apf::add(input, input.kubernetes, &mut set);
        if set.files.is_empty() {
            return set;
        }
        let dir = format!("/etc/rancher/{}", self.name);
        let etcd = input
            .advices
            .iter()
            .any(|advice| advice.target == "etcd" && done.contains(&advice.id));
        let mut how = if done.is_empty() {
            String::new()
        } else {
            format!(
                "Keep a copy first: `cp -a {dir} /root/rancher-before`. On every server node: copy \
                 `config.yaml.d/{DROP_IN}` to {dir}/config.yaml.d/ (and a changed file of `config/` \
                 over its original), then `systemctl restart {}`.{} Wait until the node is Ready and `kubectl get --raw /readyz` answers before the next.\n\n\
                 Keys end in `+`: they append to lists of earlier files. A later file that sets the \
                 same key without `+` undoes them.",
                self.service,
                if etcd {
                    format!(" {}.", sentence(&order(&input.members, &self.ask())))
                } else {
                    String::new()
                }
            )
        };
        if !levels.is_empty() {
            how = format!(
                "{how}{}{}",
                if how.is_empty() { "" } else { "\n\n" },
                apf::HOW
            );
        }
        done.extend(levels);
        let back = format!(
            "Remove {dir}/config.yaml.d/{DROP_IN}, put the originals back, restart {} on one node \
             after the other; `kubectl delete -f apf/` for priority levels.",
            self.service
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
