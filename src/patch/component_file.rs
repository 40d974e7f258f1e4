//! KubeSchedulerConfiguration and KubeletConfiguration: single values, set where they stand.

use std::collections::BTreeSet;

use yaml_serde::{Mapping, Value};

use crate::advise::{Advice, Disposition};
use crate::catalog::settings::{Component, setting};

use super::change::component_of;
use super::diff::{safe_name, unified};
use super::edit::rewrite;
use super::floor::{Floor, Own, left_with, together};
use super::model::{Emitter, PatchFile, PatchInput, PatchSet, Shown};
use super::steps;
use super::yaml::{Refusal, documents};

/// The emitter for one kind of file.
#[derive(Clone, Copy, Debug)]
pub struct ComponentFile {
    name: &'static str,
    kind: &'static str,
    component: Component,
    how: &'static str,
}

/// The scheduler's file, `--config` of kube-scheduler.
pub const SCHEDULER_FILE: ComponentFile = ComponentFile {
    name: "scheduler-config",
    kind: "KubeSchedulerConfiguration",
    component: Component::Scheduler,
    how: "Put the file where `--config` of kube-scheduler points, on one control-plane node after \
          the other; on kubeadm, move /etc/kubernetes/manifests/kube-scheduler.yaml away and back \
          so that the pod restarts. With `--config`, kube-scheduler ignores the flags of the same \
          settings.",
};

/// The kubelet's file.
pub const KUBELET_FILE: ComponentFile = ComponentFile {
    name: "kubelet-config",
    kind: "KubeletConfiguration",
    component: Component::Kubelet,
    how: "On kubeadm: put the values into the ConfigMap kube-system/kubelet-config, then on each node \
          `kubeadm upgrade node phase kubelet-config` and `systemctl restart kubelet`; elsewhere \
          replace the file of each node (/var/lib/kubelet/config.yaml) and restart the kubelet. \
          One node first, then the rest in groups: each restart posts a status and relists.",
};

/// The path of an advice's setting in the file.
fn path(advice: &Advice, component: Component) -> Option<String> {
    if component_of(advice) != Some(component) {
        return None;
    }
    let found = setting(component, &advice.setting)?;
    let file = found
        .setting
        .file
        .or((!found.setting.flag).then_some(found.setting.name))?;
    Some(file.to_owned())
}

/// A proposal as the file's value: numbers and booleans as such.
pub(super) fn value(text: &str) -> Value {
    match yaml_serde::from_str::<Value>(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}

/// A single value as text.
pub(super) fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => String::new(),
    }
}

/// The value at a dotted path.
fn get<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(document, |at, key| at.get(key))
}

/// The same document with the value set.
fn with(document: &Value, path: &str, new: &Value) -> Result<Value, Refusal> {
    let mut document = document.clone();
    let mut at = &mut document;
    let mut keys = path.split('.').peekable();
    while let Some(key) = keys.next() {
        // A key without anything below it.
        if at.is_null() {
            *at = Value::Mapping(Mapping::new());
        }
        let Value::Mapping(map) = at else {
            return Err(Refusal::new(format!(
                "`{key}` lies below a value that is no map"
            )));
        };
        let name = Value::String(key.to_owned());
        if keys.peek().is_none() {
            map.insert(name, new.clone());
            return Ok(document);
        }
        at = map
            .entry(name)
            .or_insert_with(|| Value::Mapping(Mapping::new()));
    }
    Ok(document)
}

/// The text with one value set in one of its documents; comments and order stay.
pub(super) fn edited(text: &str, index: usize, path: &str, new: &Value) -> Result<String, Refusal> {
    let before = documents(text)?;
    let document = before
        .get(index)
        .ok_or_else(|| Refusal::new("the document is gone"))?;
    let mut wanted = before.clone();
    if let Some(slot) = wanted.get_mut(index) {
        *slot = with(document, path, new)?;
    }
    rewrite(text, &wanted).ok_or_else(|| Refusal {
        why: format!("`{path}` cannot be set alone"),
        place: path
            .split('.')
            .next()
            .and_then(|key| text.find(&format!("{key}:")))
            .map(|at| super::yaml::place(text, at)),
    })
}

impl Emitter for ComponentFile {
    fn name(&self) -> &'static str {
        self.name
    }

    fn emit(&self, input: &PatchInput<'_>) -> PatchSet {
        let mut set = PatchSet::default();
        let mut wanted: Vec<(&Advice, String, Value)> = Vec::new();
        for advice in input.advices.iter().filter(|advice| input.wants(advice)) {
            let mut show = |why: String| {
                set.shown.push(Shown {
                    advice: advice.id.clone(),
                    on: advice.target.clone(),
                    why,
                });
            };
            match path(advice, self.component) {
                Some(_) if advice.disposition == Disposition::ShowOnly => {
                    show("something to do, not a setting".to_owned());
                }
                Some(_) if advice.proposed.is_empty() || advice.proposed.contains(' ') => {
                    show("the proposal is something to do, not a value to set".to_owned());
                }
                Some(path) => wanted.push((advice, path, value(&advice.proposed))),
                None => show(format!("not a value of a {}", self.kind)),
            }
        }
        let mut done = BTreeSet::new();
        let mut found = false;
        for node in &input.nodes {
            for (name, text) in &node.files {
                let read = match documents(text) {
                    Ok(read) => read,
                    Err(refusal) => {
                        set.shown.push(Shown {
                            advice: String::new(),
                            on: name.clone(),
                            why: refusal.to_string(),
                        });
                        continue;
                    }
                };
                let Some(index) = read
                    .iter()
                    .position(|doc| doc.get("kind").and_then(Value::as_str) == Some(self.kind))
                else {
                    continue;
                };
                found = true;
                let place = if node.node.is_empty() {
                    safe_name(name)
                } else {
                    format!("{}/{}", safe_name(&node.node), safe_name(name))
                };
                let mut after = text.clone();
                let mut own = BTreeSet::new();
                let name = |(advice, ..): &(&Advice, String, Value)| {
                    (advice.target.clone(), advice.setting.clone())
                };
                for group in together(&wanted, &name) {
                    let before = after.clone();
                    let mut written = Vec::new();
                    let mut refused: Option<String> = None;
                    for (advice, path, new) in group.iter().filter_map(|at| wanted.get(*at)) {
                        let have = read.get(index).and_then(|doc| get(doc, path));
                        if have == Some(new) {
                            set.already.push(format!("{place}: {path}"));
                            continue;
                        }
                        let have = have.map(scalar);
                        let have = Own::read(have.as_deref());
                        let floor = Floor::of(advice, input.kubernetes);
                        if set.keeps(floor.as_ref(), &advice.id, &place, have) {
                            continue;
                        }
                        match edited(&after, index, path, new) {
                            Ok(text) => {
                                after = text;
                                written.push((*advice, path, scalar(new)));
                            }
                            Err(refusal) => {
                                refused = Some(path.clone());
                                set.shown.push(Shown {
                                    advice: advice.id.clone(),
                                    on: place.clone(),
                                    why: refusal.to_string(),
                                });
                            }
                        }
                    }
                    if refused.is_some() {
                        after = before;
                    }
                    for (advice, path, new) in written {
                        if let Some(refused) = &refused {
                            set.shown.push(Shown {
                                advice: advice.id.clone(),
                                on: place.clone(),
                                why: left_with(refused),
                            });
                            continue;
                        }
                        let have = read.get(index).and_then(|doc| get(doc, path)).map(scalar);
                        set.changes(&advice.id, &place, Own::read(have.as_deref()), &new);
                        own.insert(advice.id.clone());
                    }
                }
                if own.is_empty() {
                    continue;
                }
                let advice: Vec<String> = own.iter().cloned().collect();
                set.files.push(PatchFile {
                    path: place.clone(),
                    content: after.clone(),
                    what: format!("the {} as it shall be", self.kind),
                    advice: advice.clone(),
                });
                set.files.push(PatchFile {
                    path: format!("{place}.diff"),
                    content: unified(text, &after, &place),
                    what: "what changes in it".to_owned(),
                    advice,
                });
                done.extend(own);
            }
        }
        if !found {
            for (advice, path, _) in &wanted {
                set.shown.push(Shown {
                    advice: advice.id.clone(),
                    on: self.kind.to_owned(),
                    why: format!(
                        "there is no {} in what was given (--manifests); set {path} in it",
                        self.kind
                    ),
                });
            }
        }
        if done.is_empty() {
            return set;
        }
        let content = steps::short(
            input,
            &set,
            &done,
            self.how,
            "Put the old file back and restart the component, one node at a time.",
        );
        set.lead(content, done);
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set_in(text: &str, path: &str, new: &str) -> String {
        edited(text, 0, path, &value(new)).unwrap()
    }

    #[test]
    fn values_are_set_where_they_stand_and_comments_stay() {
        let text = "kind: KubeSchedulerConfiguration\nclientConnection:\n  kubeconfig: /a # ours\n  qps: 50 # half\nprofiles:\n- x: 1\n";
        assert_eq!(
            set_in(text, "clientConnection.qps", "100"),
            text.replace("qps: 50 # half", "qps: 100 # half")
        );
        assert_eq!(
            set_in(text, "clientConnection.burst", "200"),
            text.replace("# half\n", "# half\n  burst: 200\n")
        );
        assert_eq!(
            set_in(text, "parallelism", "32"),
            format!("{text}parallelism: 32\n")
        );
    }

    #[test]
    fn missing_maps_are_made_and_line_ends_kept() {
        assert_eq!(
            set_in("kind: K\r\n", "clientConnection.qps", "100"),
            "kind: K\r\nclientConnection:\r\n  qps: 100\r\n"
        );
        assert_eq!(
            set_in("kind: K\n---\nkind: L\n", "a", "1"),
            "kind: K\na: 1\n---\nkind: L\n"
        );
    }

    #[test]
    fn flow_maps_take_a_key_and_what_is_no_map_does_not() {
        let text = "kind: K\nclientConnection: {qps: 50} # ours\n";
        assert_eq!(
            set_in(text, "clientConnection.burst", "1"),
            text.replace("50}", "50, burst: 1}")
        );
        let text = "kind: K\nclientConnection: none\n";
        assert!(edited(text, 0, "clientConnection.burst", &value("1")).is_err());
    }

    proptest! {
        /// Whatever the text, an edit that succeeds changes the one value and nothing else.
        #[test]
        fn an_edit_proves_itself(text in "[a-c:#\n -]{0,60}", n in 0u8..9) {
            let path = "a.b";
            if let Ok(after) = edited(&text, 0, path, &value(&n.to_string())) {
                let mut wanted = documents(&text).unwrap();
                wanted[0] = with(&wanted[0], path, &value(&n.to_string())).unwrap();
                prop_assert_eq!(documents(&after).unwrap(), wanted);
            }
        }
    }
}
