//! The patches that were collected, proven there and back, and the steps to run them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::patch::diff::{safe_name, unified};
use crate::patch::model::{PatchFile, PatchInput, PatchSet, Shown};
use crate::patch::steps;

use super::{Object, Target, apply};

/// Proves each patch and its way back, and writes the files.
pub(super) fn finish(
    input: &PatchInput<'_>,
    mut set: PatchSet,
    work: BTreeMap<Target, Object>,
) -> PatchSet {
    let mut how = String::from(
        "Each patch is refused by the API server when the object differs from what was read, and \
         when it runs a second time; then read the object again and run `patch` anew. The \
         installer (clusterctl, Helm, GitOps) writes the object anew at its next run: set the \
         value there too.\n\n",
    );
    let mut back = String::new();
    let mut done = BTreeSet::new();
    for (target, object) in work {
        if object.advice.is_empty() {
            continue;
        }
        let show = |why: String, set: &mut PatchSet| {
            for advice in &object.advice {
                set.shown.push(Shown {
                    advice: advice.clone(),
                    on: target.name.clone(),
                    why: why.clone(),
                });
            }
        };
        // From the object as read, and a second time: the second must not change anything.
        let mut once = object.before.clone();
        if let Err(why) = apply(&mut once, &object.operations) {
            show(format!("the patch does not prove itself: {why}"), &mut set);
            continue;
        }
        let mut twice = once.clone();
        if once != object.value || apply(&mut twice, &object.operations).is_ok() && twice != once {
            show("the patch does not prove itself".to_owned(), &mut set);
            continue;
        }
        let undo = undo(&object);
        let mut undone = once.clone();
        if apply(&mut undone, &undo).is_err() || undone != object.before {
            show("the way back does not prove itself".to_owned(), &mut set);
            continue;
        }
        let stem = format!(
            "{}-{}",
            safe_name(&target.namespace),
            safe_name(&target.name)
        );
        let advice: Vec<String> = object.advice.iter().cloned().collect();
        let before = pretty(&object.before);
        let after = pretty(&object.value);
        for (path, content, what) in [
            (
                format!("{stem}.json"),
                pretty(&object.operations),
                format!("JSON patch for {} {}", target.kind, target.name),
            ),
            (
                format!("{stem}.undo.json"),
                pretty(&undo),
                format!("the way back for {} {}", target.kind, target.name),
            ),
            (
                format!("{stem}.diff"),
                unified(&before, &after, &format!("{stem}.json")),
                "what changes in the object".to_owned(),
            ),
        ] {
            set.files.push(PatchFile {
                path,
                content,
                what,
                advice: advice.clone(),
            });
        }
        let (ns, kind, name) = (&target.namespace, target.kind.to_lowercase(), &target.name);
        how = format!(
            "{how}    kubectl -n {ns} patch {kind} {name} --type=json --patch-file={stem}.json\n    \
             kubectl -n {ns} rollout status {kind}/{name}\n"
        );
        back = format!(
            "{back}    kubectl -n {ns} patch {kind} {name} --type=json \
             --patch-file={stem}.undo.json\n"
        );
        done.extend(object.advice);
    }
    if done.is_empty() {
        return set;
    }
    let content = steps::short(input, &set, &done, &how, &back);
    set.lead(content, done);
    set
}

/// Operations that lead back: whole lists, each guarded by the list as the patch leaves it.
fn undo(object: &Object) -> Vec<Value> {
    let mut paths = BTreeSet::new();
    for one in &object.operations {
        let path = one.get("path").and_then(Value::as_str).unwrap_or_default();
        if one.get("op").and_then(Value::as_str) == Some("test") {
            continue;
        }
        // `/spec/template/spec/containers/N/LIST` and whatever follows.
        let list: Vec<&str> = path.split('/').take(7).collect();
        paths.insert(list.join("/"));
    }
    let mut operations = Vec::new();
    for path in paths {
        operations.push(json!({
            "op": "test", "path": path, "value": object.value.pointer(&path),
        }));
        operations.push(match object.before.pointer(&path) {
            Some(old) => json!({ "op": "replace", "path": path, "value": old }),
            None => json!({ "op": "remove", "path": path }),
        });
    }
    operations
}

/// Anything as indented JSON with a final newline.
fn pretty(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
