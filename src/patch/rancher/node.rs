//! What one server node is given, and flags set in it where they act: in the file that has them, in
//! the drop-in, or on the command line of the unit.

use std::collections::{BTreeMap, BTreeSet};

use yaml_serde::Value;

use crate::catalog::settings::{Component, setting};
use crate::manifest::{Settled, effective_of_files};
use crate::patch::edit::rewrite;
use crate::patch::exec_line::{appended, changed_element};
use crate::patch::systemd::{self, DropIn};
use crate::patch::wanted::Wanted;
use crate::patch::yaml::{Refusal, documents, place, quoted};

use super::DROP_IN;

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
pub(super) struct File {
    pub(super) name: String,
    /// Its text as it was found.
    pub(super) before: String,
    pub(super) text: String,
    value: Value,
    /// Advice that its changes carry out.
    pub(super) advice: BTreeSet<String>,
}

impl File {
    /// A file as it was found, and what it says.
    pub(super) fn found(name: &str, text: &str, value: Value) -> Self {
        File {
            name: name.to_owned(),
            before: text.to_owned(),
            text: text.to_owned(),
            value,
            advice: BTreeSet::new(),
        }
    }

    /// Whether it is the drop-in that this program writes.
    pub(super) fn is_own(&self) -> bool {
        self.name.ends_with(DROP_IN)
    }

    pub(super) fn changed(&self) -> bool {
        self.text != self.before
    }

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
                    place: last.map(|at| place(&self.text, at)),
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
            place: self.text.find(&old).map(|at| place(&self.text, at)),
        })?;
        self.text = text;
        self.value = wanted;
        self.advice.insert(one.advice.clone());
        Ok(true)
    }
}

/// The files of one server node.
#[derive(Clone, Default)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) files: Vec<File>,
    /// Units, their drop-ins and files of variables, by their path below the root.
    pub(super) units: Vec<(String, String)>,
    /// The unit that runs the server, and its command line; empty where none was given.
    pub(super) unit: Option<(String, String)>,
    /// The drop-in of an earlier run.
    pub(super) unit_before: String,
    /// Advice that the drop-in of the unit carries out.
    pub(super) unit_advice: BTreeSet<String>,
    /// Why the unit's command line cannot be read, where it cannot.
    pub(super) opaque: Option<String>,
    /// A file of it could not be read, so nobody knows what it already sets.
    pub(super) unreadable: bool,
}

impl Node {
    /// With an external datastore k3s runs no etcd.
    pub(super) fn has_no_etcd(&self) -> bool {
        self.files.iter().any(|file| {
            let key = |key: &str| file.value.get(key).is_some();
            key("datastore-endpoint") || key("server") && key("disable-etcd")
        })
    }

    /// Whether any file of it was given.
    pub(super) fn is_given(&self) -> bool {
        self.unit.is_some() || self.files.iter().any(|file| !file.before.is_empty())
    }

    /// `etcd on cp0`.
    pub(super) fn words(&self, component: Component) -> String {
        let program = component.program();
        if self.name.is_empty() {
            program.to_owned()
        } else {
            format!("{program} on {}", self.name)
        }
    }

    /// What a component runs with, all files merged as the program merges them.
    pub(super) fn settled(&self, component: Component) -> Option<Settled> {
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
    pub(super) fn set(&mut self, one: &Wanted) -> Result<bool, String> {
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
        let name = self.files.iter().position(File::is_own);
        let at = name.unwrap_or_else(|| {
            let name = format!("config.yaml.d/{DROP_IN}");
            self.files.push(File::found(&name, "", Value::Null));
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
