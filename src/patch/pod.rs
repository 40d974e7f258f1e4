//! A static pod as text: one flag set or taken out, one line changed, everything else as it was.

use std::collections::BTreeMap;

use yaml_serde::Value;

use super::argv::{self, Found, base, shell_of};
use super::edit::rewrite;
use super::yaml::{Refusal, documents};

/// A static pod manifest with the container of one component.
#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub(super) text: String,
    component: String,
    pub(super) documents: Vec<Value>,
    /// Which document and which container.
    pub(super) place: (usize, usize),
}

fn strings(value: Option<&Value>) -> Option<Vec<String>> {
    value?
        .as_sequence()?
        .iter()
        .map(|item| item.as_str().map(str::to_owned))
        .collect()
}

impl Pod {
    /// Reads a manifest and finds the component's container in it.
    pub(super) fn parse(text: &str, component: &str) -> Result<Pod, Refusal> {
        let documents = documents(text)?;
        // A container of the name comes before one that only runs the program: a second etcd may
        // stand in the same file.
        let (mut named, mut running) = (Vec::new(), Vec::new());
        for (d, document) in documents.iter().enumerate() {
            let containers = document
                .get("spec")
                .and_then(|spec| spec.get("containers"))
                .and_then(Value::as_sequence);
            for (c, container) in containers.into_iter().flatten().enumerate() {
                let name = container.get("name").and_then(Value::as_str);
                let first = strings(container.get("command")).and_then(|c| c.first().cloned());
                if name == Some(component) {
                    named.push((d, c));
                } else if first.as_deref().map(base) == Some(component) {
                    running.push((d, c));
                }
            }
        }
        let place = match (named.as_slice(), running.as_slice()) {
            ([one], _) | ([], [one]) => *one,
            ([], []) => return Err(Refusal::new(format!("no container of {component}"))),
            _ => return Err(Refusal::new(format!("two containers of {component}"))),
        };
        let pod = Pod {
            text: text.to_owned(),
            component: component.to_owned(),
            documents,
            place,
        };
        pod.check()?;
        Ok(pod)
    }

    /// Refuses what cannot be edited as a list of flags.
    fn check(&self) -> Result<(), Refusal> {
        let argv = self.argv();
        let Some(program) = argv.first() else {
            return Err(Refusal::new(format!(
                "the container of {} has neither command nor args",
                self.component
            )));
        };
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        if shell_of(&words).is_some() || base(program) == "env" {
            let place = self.text.find(program.as_str());
            return Err(Refusal {
                why: format!(
                    "{} is started through `{program}`; its flags are not a list",
                    self.component
                ),
                place: place.map(|at| super::yaml::place(&self.text, at)),
            });
        }
        if self.component == "etcd" && self.flag("config-file").is_some() {
            return Err(Refusal::new(
                "etcd runs with --config-file and ignores all other flags: edit that file",
            ));
        }
        Ok(())
    }

    /// The manifest's text now.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn container(&self) -> Option<&Value> {
        container(&self.documents, self.place)
    }

    /// A value of the container by path.
    pub(super) fn get(&self, path: &[&str]) -> Option<&Value> {
        path.iter()
            .try_fold(self.container()?, |value, key| value.get(*key))
    }

    /// A value of the pod by path.
    pub(super) fn pod_value(&self, path: &[&str]) -> Option<&Value> {
        path.iter()
            .try_fold(self.documents.get(self.place.0)?, |value, key| {
                value.get(*key)
            })
    }

    /// The image.
    pub(super) fn image(&self) -> Option<&str> {
        self.get(&["image"])?.as_str()
    }

    /// Command and args together, as the program gets them.
    pub(super) fn argv(&self) -> Vec<String> {
        let mut argv = strings(self.get(&["command"])).unwrap_or_default();
        argv.extend(strings(self.get(&["args"])).unwrap_or_default());
        argv
    }

    fn single_dash(&self) -> bool {
        self.component == "etcd"
    }

    /// The flags in force.
    pub(super) fn effective(&self) -> BTreeMap<String, String> {
        argv::effective(&self.argv(), self.single_dash())
    }

    /// The value of one flag.
    pub(super) fn flag(&self, name: &str) -> Option<String> {
        self.effective().remove(name)
    }

    /// The values of one flag that is given any number of times, with commas between: a list.
    pub(super) fn joined(&self, name: &str) -> Option<String> {
        let found = self.found(name);
        let values: Vec<&str> = found.iter().map(Found::value).collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    /// The value of an environment variable.
    pub(super) fn env(&self, name: &str) -> Option<&str> {
        let env = self.get(&["env"])?.as_sequence()?;
        env.iter()
            .find(|one| one.get("name").and_then(Value::as_str) == Some(name))
            .map(|one| one.get("value").and_then(Value::as_str).unwrap_or_default())
    }

    /// Sets a flag, and proves it: the flag has the value, and nothing else changed.
    pub(super) fn set_flag(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let before = self.effective();
        if before.get(name).map(String::as_str) == Some(value) && self.count(name) == 1 {
            return Ok(());
        }
        let env = format!("ETCD_{}", name.to_ascii_uppercase().replace('-', "_"));
        let saved = self.clone();
        if self.component == "etcd" && self.env(&env).is_some() && self.count(name) > 0 {
            return Err(Refusal {
                why: format!(
                    "--{name} and {env} are both set, and etcd does not start with both: take one \
                     out first"
                ),
                place: self
                    .text
                    .find(&env)
                    .map(|at| super::yaml::place(&self.text, at)),
            });
        }
        let done = if self.component == "etcd" && self.env(&env).is_some() {
            // A flag beside its own variable keeps etcd from starting (pkg/flags/flag.go).
            self.set_env(&env, value)
        } else {
            let done = self.put(name, value);
            done.and_then(|()| {
                let mut wanted = before;
                wanted.insert(name.to_owned(), value.to_owned());
                let once = self.count(name) == 1;
                (once && self.effective() == wanted)
                    .then_some(())
                    .ok_or_else(|| Refusal::new(format!("--{name} does not read back as {value}")))
            })
        };
        if done.is_err() {
            *self = saved;
        }
        done
    }

    /// Takes a flag out, and proves it.
    pub(super) fn remove_flag(&mut self, name: &str) -> Result<(), Refusal> {
        let saved = self.clone();
        let mut wanted = self.effective();
        wanted.remove(name);
        while let Some(found) = self.found(name).pop() {
            if let Err(refusal) = self.cut(&found) {
                *self = saved;
                return Err(refusal);
            }
        }
        if self.effective() == wanted {
            Ok(())
        } else {
            *self = saved;
            Err(Refusal::new(format!(
                "--{name} cannot be taken out without changing more"
            )))
        }
    }

    fn found(&self, name: &str) -> Vec<Found> {
        argv::flags(&self.argv(), self.single_dash())
            .into_iter()
            .filter(|flag| flag.name == name)
            .collect()
    }

    fn count(&self, name: &str) -> usize {
        self.found(name).len()
    }

    /// Brings the text to the wanted documents.
    pub(super) fn take(&mut self, wanted: Vec<Value>, why: &str) -> Result<(), Refusal> {
        match rewrite(&self.text, &wanted) {
            Some(text) => {
                self.text = text;
                self.documents = wanted;
                Ok(())
            }
            None => Err(Refusal {
                why: why.to_owned(),
                place: self.list_place(),
            }),
        }
    }

    /// Where the list of flags stands, for a refusal.
    fn list_place(&self) -> Option<(usize, usize)> {
        let at = self
            .text
            .find("command:")
            .or_else(|| self.text.find("args:"))?;
        Some(super::yaml::place(&self.text, at))
    }

    /// The key and index of an element of [`Self::argv`].
    fn element(&self, at: usize) -> (&'static str, usize) {
        let command = strings(self.get(&["command"])).map_or(0, |c| c.len());
        if at < command {
            ("command", at)
        } else {
            ("args", at - command)
        }
    }

    fn put(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let mut found = self.found(name);
        // A flag given twice: the last one counts; keep one, so that nobody edits the wrong one.
        while found.len() > 1 {
            let first = found.remove(0);
            self.cut(&first)?;
            found = self.found(name);
        }
        match found.pop() {
            Some(flag) => self.change(&flag, value),
            None => self.add(name, value),
        }
    }

    fn change(&mut self, flag: &Found, value: &str) -> Result<(), Refusal> {
        let (at, old, new) = match &flag.value {
            argv::Value::Joined(old) => (
                flag.at,
                format!("{}={old}", flag.head),
                format!("{}={value}", flag.head),
            ),
            argv::Value::Next(old) => (flag.at + 1, old.clone(), value.to_owned()),
            argv::Value::Alone => (flag.at, flag.head.clone(), format!("{}={value}", flag.head)),
        };
        let (key, index) = self.element(at);
        let mut wanted = self.documents.clone();
        if let Some(slot) = list_mut(&mut wanted, self.place, key).and_then(|l| l.get_mut(index)) {
            *slot = Value::String(new);
        }
        self.take(
            wanted,
            &format!("the element `{old}` cannot be changed alone"),
        )
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let argv = self.argv();
        let flags = argv::flags(&argv, self.single_dash());
        let (command, args) = (
            strings(self.get(&["command"])).map_or(0, |c| c.len()),
            strings(self.get(&["args"])).map_or(0, |c| c.len()),
        );
        // kubeadm writes flags in order of their names; keep that where it holds.
        let sorted = flags.is_sorted_by(|a, b| a.name <= b.name);
        let end = if args > 0 { command + args } else { command };
        let after = |flag: &Found| {
            flag.at
                + if matches!(flag.value, argv::Value::Next(_)) {
                    2
                } else {
                    1
                }
        };
        let at = match flags.iter().rev().find(|flag| flag.name.as_str() < name) {
            Some(flag) if sorted => after(flag),
            None if sorted => flags.first().map_or(end, |flag| flag.at),
            _ => flags.last().map_or(end, after),
        };
        let element = format!("--{name}={value}");
        let Some((key, index)) = at.checked_sub(1).map(|before| self.element(before)) else {
            return Err(Refusal::new("an empty command"));
        };
        let previous = argv.get(at - 1).cloned().unwrap_or_default();
        let mut wanted = self.documents.clone();
        if let Some(list) = list_mut(&mut wanted, self.place, key) {
            list.insert(index + 1, Value::String(element));
        }
        self.take(
            wanted,
            &format!("no place after `{previous}` takes one more element"),
        )
    }

    /// Takes one flag's element or elements out.
    fn cut(&mut self, flag: &Found) -> Result<(), Refusal> {
        let count = if matches!(flag.value, argv::Value::Next(_)) {
            2
        } else {
            1
        };
        for _ in 0..count {
            let (key, index) = self.element(flag.at);
            let old = self.argv().get(flag.at).cloned().unwrap_or_default();
            let mut wanted = self.documents.clone();
            if let Some(list) = list_mut(&mut wanted, self.place, key) {
                if index >= list.len() {
                    return Err(Refusal::new("the element is gone"));
                }
                list.remove(index);
            }
            self.take(
                wanted,
                &format!("the element `{old}` cannot be taken out alone"),
            )?;
        }
        Ok(())
    }

    fn set_env(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let old = self.env(name).unwrap_or_default().to_owned();
        if old == value {
            return Ok(());
        }
        let mut wanted = self.documents.clone();
        let slot = container_mut(&mut wanted, self.place)
            .and_then(|container| container.get_mut("env"))
            .and_then(Value::as_sequence_mut)
            .and_then(|env| {
                env.iter_mut()
                    .find(|one| one.get("name").and_then(Value::as_str) == Some(name))
            })
            .and_then(|one| one.get_mut("value"));
        match slot {
            Some(slot) => *slot = Value::String(value.to_owned()),
            None => return Err(Refusal::new(format!("{name} has no plain value"))),
        }
        self.take(wanted, &format!("{name} cannot be changed alone"))
    }
}

fn container(documents: &[Value], place: (usize, usize)) -> Option<&Value> {
    documents
        .get(place.0)?
        .get("spec")?
        .get("containers")?
        .get(place.1)
}

pub(super) fn container_mut(documents: &mut [Value], place: (usize, usize)) -> Option<&mut Value> {
    documents
        .get_mut(place.0)?
        .get_mut("spec")?
        .get_mut("containers")?
        .get_mut(place.1)
}

fn list_mut<'a>(
    documents: &'a mut [Value],
    place: (usize, usize),
    key: &str,
) -> Option<&'a mut Vec<Value>> {
    container_mut(documents, place)?
        .get_mut(key)?
        .as_sequence_mut()
}

#[cfg(test)]
mod tests;
