//! JSON patches (RFC 6902) for operators' Deployments: guarded by `test`, and harmless when run twice.
//!
//! `/args/-` appends each time it runs and leaves a flag given twice; so a flag that is there is
//! replaced at its index behind a `test` of its old text, and one that is not there is added behind
//! a `test` of the whole list.

mod written;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::advise::{Advice, Disposition};

use super::argv::shell_of;
use super::floor::{Floor, Own};
use super::model::{Emitter, PatchInput, PatchSet, Shown};
use super::yaml::documents;
use written::finish;

/// The emitter.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonPatch;

/// The list of a container where its flags stand.
const LISTS: [&str; 2] = ["args", "command"];

/// Which container of which object an advice is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    kind: String,
    namespace: String,
    name: String,
    container: String,
}

/// An object while operations on it are collected.
struct Object {
    value: Value,
    before: Value,
    operations: Vec<Value>,
    advice: BTreeSet<String>,
}

/// What an advice changes.
enum Wish<'a> {
    Flag(&'a str, &'a str),
    RemoveFlag(&'a str),
    Env(&'a str, &'a str),
}

fn pointer(parts: &[&str]) -> String {
    parts.iter().fold(String::new(), |path, part| {
        format!("{path}/{}", part.replace('~', "~0").replace('/', "~1"))
    })
}

/// Applies operations in memory; the first `test` that fails stops it. Knows what is emitted here.
fn apply(value: &mut Value, operations: &[Value]) -> Result<(), String> {
    for one in operations {
        let text = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default();
        let (op, path) = (text("op"), text("path"));
        let new = one.get("value").cloned();
        let (parent, key) = path.rsplit_once('/').ok_or("a path without a slash")?;
        match op {
            "test" => {
                // As the API server's own library does: null passes where nothing is.
                let have = value.pointer(path).unwrap_or(&Value::Null);
                if Some(have) != new.as_ref() {
                    return Err(format!("test of {path} fails"));
                }
            }
            "add" | "replace" | "remove" => {
                let at = value
                    .pointer_mut(parent)
                    .ok_or_else(|| format!("nothing at {parent}"))?;
                match (at, op) {
                    (Value::Array(list), "add") if key == "-" => {
                        list.push(new.unwrap_or_default());
                    }
                    (Value::Array(list), _) => {
                        let index: usize = key.parse().map_err(|_| format!("no index: {key}"))?;
                        if op == "remove" && index < list.len() {
                            list.remove(index);
                        } else {
                            *list.get_mut(index).ok_or("an index out of range")? =
                                new.unwrap_or_default();
                        }
                    }
                    (Value::Object(map), "remove") => {
                        map.remove(key)
                            .ok_or_else(|| format!("nothing at {path}"))?;
                    }
                    (Value::Object(map), _) => {
                        map.insert(key.to_owned(), new.unwrap_or_default());
                    }
                    _ => return Err(format!("{parent} is no list and no object")),
                }
            }
            other => return Err(format!("unknown operation {other}")),
        }
    }
    Ok(())
}

/// Where a flag stands in a list: index, and whether its value is the next element.
fn places(list: &[Value], flag: &str) -> Vec<(usize, bool)> {
    list.iter()
        .enumerate()
        .filter_map(|(at, item)| {
            let bare = item.as_str()?.strip_prefix('-')?;
            let bare = bare.strip_prefix('-').unwrap_or(bare);
            if bare == flag {
                let next = list.get(at + 1).and_then(Value::as_str);
                Some((at, next.is_some_and(|text| !text.starts_with('-'))))
            } else {
                bare.strip_prefix(flag)?
                    .strip_prefix('=')
                    .map(|_| (at, false))
            }
        })
        .collect()
}

impl Object {
    /// Collects the operations for one wish. `Ok(false)`: it is so already.
    fn wish(&mut self, base: &[&str], wish: &Wish<'_>) -> Result<bool, String> {
        match wish {
            Wish::Flag(flag, value) => self.flag(base, flag, value),
            Wish::RemoveFlag(flag) => self.remove(base, flag),
            Wish::Env(name, value) => self.env(base, name, value),
        }
    }

    /// The value that a flag or a variable has, where it stands once.
    fn now(&self, base: &[&str], wish: &Wish<'_>) -> Option<String> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match wish {
            Wish::RemoveFlag(_) => None,
            Wish::Flag(flag, _) => {
                let (list, at, next) = self.found(base, flag).ok()??;
                let list = self.list(base, list)?;
                match next {
                    true => text(list.get(at + 1)?),
                    false => Some(list.get(at)?.as_str()?.split_once('=')?.1.to_owned()),
                }
            }
            Wish::Env(name, _) => {
                let list = self.list(base, "env")?;
                let one = list
                    .iter()
                    .find(|one| one.get("name").and_then(Value::as_str) == Some(name))?;
                text(one.get("value")?)
            }
        }
    }

    fn list(&self, base: &[&str], list: &str) -> Option<Vec<Value>> {
        self.value
            .pointer(&pointer(&[base, &[list]].concat()))?
            .as_array()
            .cloned()
    }

    /// The one place of a flag over both lists.
    fn found(
        &self,
        base: &[&str],
        flag: &str,
    ) -> Result<Option<(&'static str, usize, bool)>, String> {
        let mut found = Vec::new();
        for name in LISTS {
            let list = self.list(base, name).unwrap_or_default();
            found.extend(
                places(&list, flag)
                    .into_iter()
                    .map(|(at, next)| (name, at, next)),
            );
        }
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            _ => Err(format!(
                "--{flag} is there {} times: take the others out first",
                found.len()
            )),
        }
    }

    /// Refuses flags of a container that starts its program through a shell: behind `sh -c SCRIPT`
    /// a list holds the shell's own `$0`, `$1` and so on, which no program reads.
    fn refuse_shell(&self, base: &[&str]) -> Result<(), String> {
        let words = |list: &str| self.list(base, list).unwrap_or_default();
        let argv = [words("command"), words("args")].concat();
        let argv: Vec<&str> = argv.iter().filter_map(Value::as_str).collect();
        match shell_of(&argv) {
            Some(shell) => Err(format!(
                "the container is started through `{shell}`; its flags are not a list: change the \
                 command there by hand"
            )),
            None => Ok(()),
        }
    }

    fn push(&mut self, operations: Vec<Value>) -> Result<bool, String> {
        let mut after = self.value.clone();
        apply(&mut after, &operations)?;
        self.value = after;
        self.operations.extend(operations);
        Ok(true)
    }

    fn flag(&mut self, base: &[&str], flag: &str, value: &str) -> Result<bool, String> {
        self.refuse_shell(base)?;
        let new = format!("--{flag}={value}");
        if let Some((name, at, next)) = self.found(base, flag)? {
            let list = self.list(base, name).unwrap_or_default();
            let at_text = at.to_string();
            let item = pointer(&[base, &[name, &at_text]].concat());
            let old = list.get(at).cloned().unwrap_or_default();
            if next {
                let after = (at + 1).to_string();
                let place = pointer(&[base, &[name, &after]].concat());
                let old_value = list.get(at + 1).cloned().unwrap_or_default();
                if old_value == value {
                    return Ok(false);
                }
                return self.push(vec![
                    json!({ "op": "test", "path": item, "value": old }),
                    json!({ "op": "test", "path": place, "value": old_value }),
                    json!({ "op": "replace", "path": place, "value": value }),
                ]);
            }
            let dashes: String = old
                .as_str()
                .unwrap_or("--")
                .chars()
                .take_while(|c| *c == '-')
                .collect();
            let new = format!("{dashes}{flag}={value}");
            if old == new.as_str() {
                return Ok(false);
            }
            return self.push(vec![
                json!({ "op": "test", "path": item, "value": old }),
                json!({ "op": "replace", "path": item, "value": new }),
            ]);
        }
        let args = pointer(&[base, &["args"]].concat());
        match self.list(base, "args") {
            Some(list) => self.push(vec![
                json!({ "op": "test", "path": args, "value": list }),
                json!({ "op": "add", "path": format!("{args}/-"), "value": new }),
            ]),
            None => self.push(vec![
                json!({ "op": "test", "path": args, "value": null }),
                json!({ "op": "add", "path": args, "value": [new] }),
            ]),
        }
    }

    fn remove(&mut self, base: &[&str], flag: &str) -> Result<bool, String> {
        self.refuse_shell(base)?;
        let Some((name, at, next)) = self.found(base, flag)? else {
            return Ok(false);
        };
        let list = self.list(base, name).unwrap_or_default();
        let place = |at: usize| {
            let at = at.to_string();
            pointer(&[base, &[name, &at]].concat())
        };
        let mut operations = vec![json!({
            "op": "test", "path": place(at), "value": list.get(at),
        })];
        if next {
            operations.push(json!({
                "op": "test", "path": place(at + 1), "value": list.get(at + 1),
            }));
            operations.push(json!({ "op": "remove", "path": place(at + 1) }));
        }
        operations.push(json!({ "op": "remove", "path": place(at) }));
        self.push(operations)
    }

    fn env(&mut self, base: &[&str], name: &str, value: &str) -> Result<bool, String> {
        let env = pointer(&[base, &["env"]].concat());
        let entry = json!({ "name": name, "value": value });
        let Some(list) = self.list(base, "env") else {
            return self.push(vec![
                json!({ "op": "test", "path": env, "value": null }),
                json!({ "op": "add", "path": env, "value": [entry] }),
            ]);
        };
        let mut found = list
            .iter()
            .enumerate()
            .filter(|(_, one)| one.get("name").and_then(Value::as_str) == Some(name));
        let Some((at, one)) = found.next() else {
            return self.push(vec![
                json!({ "op": "test", "path": env, "value": list }),
                json!({ "op": "add", "path": format!("{env}/-"), "value": entry }),
            ]);
        };
        if found.next().is_some() {
            return Err(format!("{name} is there more than once"));
        }
        if one.get("valueFrom").is_some() {
            return Err(format!("{name} comes from another object: change it there"));
        }
        if one.get("value").and_then(Value::as_str) == Some(value) {
            return Ok(false);
        }
        self.push(vec![
            json!({ "op": "test", "path": format!("{env}/{at}"), "value": one }),
            json!({ "op": "replace", "path": format!("{env}/{at}/value"), "value": value }),
        ])
    }
}

/// Workloads in the files that were given, by kind, namespace and name. Lists of `kubectl get -o
/// yaml|json` are looked into.
fn objects(
    input: &PatchInput<'_>,
    set: &mut PatchSet,
) -> BTreeMap<(String, String, String), Value> {
    let mut found = BTreeMap::new();
    for (file, text) in input.nodes.iter().flat_map(|node| &node.files) {
        let read = match documents(text) {
            Ok(read) => read,
            Err(refusal) => {
                set.shown.push(Shown {
                    advice: String::new(),
                    on: file.clone(),
                    why: refusal.to_string(),
                });
                continue;
            }
        };
        for document in read {
            let Ok(value) = serde_json::to_value(&document) else {
                continue;
            };
            let items = match value.get("items").and_then(Value::as_array) {
                Some(items) => items.clone(),
                None => vec![value],
            };
            for item in items {
                let text = |path: &str| {
                    item.pointer(path)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned()
                };
                let key = (
                    text("/kind"),
                    text("/metadata/namespace"),
                    text("/metadata/name"),
                );
                if ["Deployment", "StatefulSet", "DaemonSet"].contains(&key.0.as_str()) {
                    found.insert(key, item);
                }
            }
        }
    }
    found
}

fn target(advice: &Advice) -> Option<Target> {
    let detail = |name: &str| advice.details.get(name).cloned().unwrap_or_default();
    (!detail("workload").is_empty()).then(|| Target {
        kind: detail("kind"),
        namespace: detail("namespace"),
        name: detail("workload"),
        container: detail("container"),
    })
}

fn wish(advice: &Advice) -> Option<Wish<'_>> {
    let means = advice.details.get("means").map(String::as_str);
    match (advice.details.get("remove"), means) {
        (Some(flag), Some("flag")) => Some(Wish::RemoveFlag(flag)),
        (None, Some("flag")) => Some(Wish::Flag(&advice.setting, &advice.proposed)),
        (None, Some("env")) => Some(Wish::Env(&advice.setting, &advice.proposed)),
        _ => None,
    }
}

/// The path of the container in an object: by its name, or the only one.
fn container(object: &Value, name: &str) -> Result<usize, String> {
    let list = object
        .pointer("/spec/template/spec/containers")
        .and_then(Value::as_array)
        .ok_or("it has no containers")?;
    let named = list
        .iter()
        .position(|c| c.get("name").and_then(Value::as_str) == Some(name));
    match named {
        Some(at) => Ok(at),
        None if list.len() == 1 && name.is_empty() => Ok(0),
        None => Err(format!("it has no container `{name}`")),
    }
}

impl Emitter for JsonPatch {
    fn name(&self) -> &'static str {
        "json-patch"
    }

    fn emit(&self, input: &PatchInput<'_>) -> PatchSet {
        let mut set = PatchSet::default();
        let found = objects(input, &mut set);
        let mut work: BTreeMap<Target, Object> = BTreeMap::new();
        for advice in input.advices.iter().filter(|advice| input.wants(advice)) {
            let show = |why: String, set: &mut PatchSet| {
                set.shown.push(Shown {
                    advice: advice.id.clone(),
                    on: advice.target.clone(),
                    why,
                });
            };
            let (Some(target), Some(wish)) = (target(advice), wish(advice)) else {
                show(
                    "not a flag or variable of an operator's Deployment".to_owned(),
                    &mut set,
                );
                continue;
            };
            if advice.disposition == Disposition::ShowOnly {
                show("something to do, not a setting".to_owned(), &mut set);
                continue;
            }
            let key = (
                target.kind.clone(),
                target.namespace.clone(),
                target.name.clone(),
            );
            let Some(object) = found.get(&key) else {
                let why = format!(
                    "give the {} as `kubectl -n {} get {} {} -o yaml`, with --manifests: a patch \
                     is guarded by what is there",
                    target.kind,
                    target.namespace,
                    target.kind.to_lowercase(),
                    target.name
                );
                show(why, &mut set);
                continue;
            };
            let index = match container(object, &target.container) {
                Ok(index) => index.to_string(),
                Err(why) => {
                    show(why, &mut set);
                    continue;
                }
            };
            let base = ["spec", "template", "spec", "containers", index.as_str()];
            let work = work.entry(target.clone()).or_insert_with(|| Object {
                value: object.clone(),
                before: object.clone(),
                operations: vec![json!({
                    "op": "test",
                    "path": pointer(&[&base[..], &["name"]].concat()),
                    "value": object.pointer(&pointer(&[&base[..], &["name"]].concat())),
                })],
                advice: BTreeSet::new(),
            });
            let on = format!("{} in {}", target.name, target.namespace);
            let have = work.now(&base, &wish);
            let own = Own::read(have.as_deref());
            if set.keeps(Floor::of(advice, None).as_ref(), &advice.id, &on, own) {
                continue;
            }
            match work.wish(&base, &wish) {
                Ok(true) => {
                    work.advice.insert(advice.id.clone());
                    if !matches!(wish, Wish::RemoveFlag(_)) {
                        set.changes(&advice.id, &on, own, &advice.proposed);
                    }
                }
                Ok(false) => set.already.push(format!("{on}: {}", advice.setting)),
                Err(why) => show(why, &mut set),
            }
        }
        finish(input, set, work)
    }
}

#[cfg(test)]
mod tests;
