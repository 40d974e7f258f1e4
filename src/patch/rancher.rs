//! k3s and RKE2: a drop-in of `config.yaml.d`, or the one place where a flag is already set.
//!
//! Lists of `config.yaml` are replaced by later files unless their key ends in `+`, which appends
//! (rancher/rke2-docs, install/configuration). A flag that a found file already sets is changed
//! there, so that it is never given twice.

use std::collections::BTreeSet;

use yaml_serde::Value;

use crate::catalog::settings::Component;

use super::kubeadm::{safe_name, unified};
use super::model::{Emitter, PatchFile, PatchInput, PatchSet, Shown};
use super::steps;
use super::wanted::{Wanted, flags};
use super::yaml::{Refusal, documents, first_that_gives, quoted, replaced};

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

/// The key whose list holds a component's flags.
fn key(component: Component) -> Option<&'static str> {
    match component {
        Component::ApiServer => Some("kube-apiserver-arg"),
        Component::ControllerManager => Some("kube-controller-manager-arg"),
        Component::Scheduler => Some("kube-scheduler-arg"),
        Component::Etcd => Some("etcd-arg"),
        Component::Kubelet => None,
    }
}

/// The elements of a key in a file, with or without `+`.
fn elements(document: &Value, key: &str) -> Vec<(String, usize, String)> {
    [key.to_owned(), format!("{key}+")]
        .into_iter()
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
struct File {
    node: String,
    name: String,
    before: String,
    text: String,
    value: Value,
    advice: BTreeSet<String>,
}

impl File {
    /// Sets a flag where the file already has it; `false` when it has not.
    fn set(&mut self, key: &str, one: &Wanted) -> Result<bool, Refusal> {
        let found: Vec<_> = elements(&self.value, key)
            .into_iter()
            .filter(|(_, _, text)| is_flag(text, &one.flag))
            .collect();
        let (name, at, old) = match found.as_slice() {
            [] => return Ok(false),
            [only] => only.clone(),
            _ => {
                return Err(Refusal::new(format!(
                    "{} is there more than once",
                    one.flag
                )));
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
                    *slot = Value::String(new.clone());
                }
            }
            Some(slot) => *slot = Value::String(new.clone()),
            None => {}
        }
        let forms = [
            (old.clone(), new.clone()),
            (quoted(&old), quoted(&new)),
            (format!("'{old}'"), quoted(&new)),
            (old.clone(), quoted(&new)),
        ];
        let candidates = forms
            .iter()
            .flat_map(|(old, new)| replaced(&self.text, old, new));
        let text =
            first_that_gives(std::slice::from_ref(&wanted), candidates).ok_or_else(|| Refusal {
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
        );
        let mut set = PatchSet {
            shown,
            ..PatchSet::default()
        };
        let mut files = read(input, &mut set);
        // With an external datastore k3s runs no etcd.
        let kine = files
            .iter()
            .any(|file| file.value.get("datastore-endpoint").is_some());
        let mut rest: Vec<Wanted> = Vec::new();
        for one in wanted {
            let Some(key) = key(one.component) else {
                continue;
            };
            let mut show = |why: String| {
                set.shown.push(Shown {
                    advice: one.advice.clone(),
                    on: one.component.program().to_owned(),
                    why,
                });
            };
            if kine && one.component == Component::Etcd {
                show("the datastore is no etcd of this cluster (datastore-endpoint)".to_owned());
                continue;
            }
            let mut placed = false;
            let mut refused = false;
            for file in &mut files {
                let was = file.text.clone();
                match file.set(key, &one) {
                    Ok(true) if file.text == was => {
                        placed = true;
                        set.already.push(format!("{}: {}", file.name, one.flag));
                    }
                    Ok(found) => placed |= found,
                    Err(refusal) => {
                        refused = true;
                        show(format!("{}: {refusal}", file.name));
                    }
                }
            }
            if !placed && !refused {
                rest.push(one);
            }
        }
        self.write(input, set, &files, &rest)
    }
}

/// The configuration files among what was found.
fn read(input: &PatchInput<'_>, set: &mut PatchSet) -> Vec<File> {
    let mut files = Vec::new();
    for node in &input.nodes {
        for (name, text) in &node.files {
            let read = documents(text).and_then(|mut all| match (all.pop(), all.is_empty()) {
                (Some(value), true) => Ok(value),
                (None, _) => Ok(Value::Null),
                _ => Err(Refusal::new("more than one document")),
            });
            match read {
                // A manifest is no configuration.
                Ok(value) if value.get("kind").is_none() => files.push(File {
                    node: node.node.clone(),
                    name: name.clone(),
                    before: text.clone(),
                    text: text.clone(),
                    value,
                    advice: BTreeSet::new(),
                }),
                Ok(_) => {}
                Err(refusal) => set.shown.push(Shown {
                    advice: String::new(),
                    on: name.clone(),
                    why: refusal.to_string(),
                }),
            }
        }
    }
    files
}

impl Rancher {
    fn write(
        &self,
        input: &PatchInput<'_>,
        mut set: PatchSet,
        files: &[File],
        rest: &[Wanted],
    ) -> PatchSet {
        let mut done: BTreeSet<String> = BTreeSet::new();
        for file in files.iter().filter(|file| file.text != file.before) {
            let dir = if file.node.is_empty() {
                String::new()
            } else {
                format!("{}/", safe_name(&file.node))
            };
            let name = safe_name(&file.name);
            let advice: Vec<String> = file.advice.iter().cloned().collect();
            set.files.push(PatchFile {
                path: format!("config/{dir}{name}"),
                content: file.text.clone(),
                what: "the file with the new values".to_owned(),
                advice: advice.clone(),
            });
            set.files.push(PatchFile {
                path: format!("diffs/{dir}{name}.diff"),
                content: unified(&file.before, &file.text, &name),
                what: "what changed".to_owned(),
                advice,
            });
            done.extend(file.advice.iter().cloned());
        }
        if let Some(text) = drop_in(rest) {
            set.files.push(PatchFile {
                path: format!("config.yaml.d/{DROP_IN}"),
                content: text,
                what: format!(
                    "drop-in for /etc/rancher/{}/config.yaml.d",
                    if self.name == "k3s" { "k3s" } else { "rke2" }
                ),
                advice: rest.iter().map(|one| one.advice.clone()).collect(),
            });
            done.extend(rest.iter().map(|one| one.advice.clone()));
        }
        if set.files.is_empty() {
            return set;
        }
        let dir = format!("/etc/rancher/{}", self.name);
        let how = format!(
            "On every server node: copy `config.yaml.d/{DROP_IN}` to {dir}/config.yaml.d/ (and a \
             changed file of `config/` over its original), then `systemctl restart {}`. Wait until \
             the node is Ready and `kubectl get --raw /readyz` answers before the next.\n\n\
             Keys end in `+`: they append to lists of earlier files. A later file that sets the \
             same key without `+` undoes them.",
            self.service
        );
        let back = format!(
            "Remove {dir}/config.yaml.d/{DROP_IN}, put the originals back, restart {} on one node \
             after the other.",
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

/// The drop-in, read back.
fn drop_in(rest: &[Wanted]) -> Option<String> {
    let mut text = String::new();
    for component in Component::ALL {
        let own: Vec<&Wanted> = rest
            .iter()
            .filter(|one| one.component == component)
            .collect();
        let Some(key) = key(component).filter(|_| !own.is_empty()) else {
            continue;
        };
        text = format!("{text}{key}+:\n");
        for one in own {
            text = format!(
                "{text}  - {}\n",
                quoted(&format!("{}={}", one.flag, one.value))
            );
        }
    }
    let read = documents(&text).ok()?;
    let holds = |one: &Wanted| {
        let want = format!("{}={}", one.flag, one.value);
        key(one.component).is_some_and(|key| {
            read.first()
                .is_some_and(|doc| elements(doc, key).iter().any(|(_, _, text)| *text == want))
        })
    };
    (!rest.is_empty() && rest.iter().all(holds)).then_some(text)
}
