//! Helm values: a file to give after one's own with `-f`, which holds nothing but the advised values.
//!
//! Helm merges maps of later files into earlier ones, so the file is the same at every run. A value
//! of `null` takes a key out (helm.sh, "Values files").

use std::collections::{BTreeMap, BTreeSet};

use yaml_serde::{Mapping, Value};

use crate::advise::Advice;
use crate::catalog::controllers::{Controller, controllers};

use super::component_file::scalar;
use super::diff::safe_name;
use super::floor::{Floor, Own};
use super::model::{Emitter, PatchFile, PatchInput, PatchSet, Shown};
use super::steps;
use super::yaml::documents;

/// The emitter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Helm;

/// A proposal as a YAML value: numbers and booleans as such, as charts expect them.
fn value(text: &str) -> Value {
    match yaml_serde::from_str::<Value>(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_)))
            if !text.starts_with('0') || text == "0" =>
        {
            value
        }
        _ => Value::String(text.to_owned()),
    }
}

/// The value at a dotted path.
fn get<'a>(values: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(values, |at, key| at.get(key))
}

/// Sets the value at a dotted path, making maps on the way.
fn set(values: &mut Value, path: &str, new: Value) -> Result<(), String> {
    let (head, rest) = match path.split_once('.') {
        Some((head, rest)) => (head, Some(rest)),
        None => (path, None),
    };
    let Value::Mapping(map) = values else {
        return Err(format!("`{head}` lies below a value that is no map"));
    };
    let key = Value::String(head.to_owned());
    match rest {
        None => {
            map.insert(key, new);
            Ok(())
        }
        Some(rest) => {
            let below = map
                .entry(key)
                .or_insert_with(|| Value::Mapping(Mapping::new()));
            set(below, rest, new)
        }
    }
}

/// What the values files that were given hold at a path; the last one that has it wins.
fn now<'a>(files: &'a [(String, Value)], path: &str) -> Option<&'a Value> {
    files.iter().rev().find_map(|(_, values)| get(values, path))
}

/// The controller that a chart is named after.
fn known(chart: &str) -> Option<&'static Controller> {
    let named = |name: &String| name == chart;
    controllers()
        .iter()
        .find(|known| known.id == chart || known.names.iter().any(named))
}

/// What a chart asks for beside a value: paths below the same key, and their texts.
fn beside<'a>(advice: &Advice, path: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let above = |path: &str| path.split('.').next().unwrap_or_default().to_owned();
    let head = above(path);
    let chart = advice.details.get("controller").unwrap_or(&advice.target);
    let all = known(chart).map_or(&[][..], |known| &known.helm_beside);
    all.iter()
        .filter(move |(path, _)| above(path) == head)
        .map(|(path, text)| (path.as_str(), text.as_str()))
}

/// What a chart has at a path by itself, where that is known for every version.
fn default_at(chart: &str, path: &str) -> Option<Value> {
    let mut knobs = known(chart)?.knobs.iter();
    let knob = knobs.find(|knob| knob.helm.as_deref() == Some(path))?;
    knob.default_for(None, None).map(value)
}

/// Of one chart: its new values, the advice that they carry out, and each value by its path.
type Chart = (Value, BTreeSet<String>, Vec<(String, Value)>);

impl Emitter for Helm {
    fn name(&self) -> &'static str {
        "helm"
    }

    fn emit(&self, input: &PatchInput<'_>) -> PatchSet {
        let mut set_of = PatchSet::default();
        let files = values_files(input, &mut set_of);
        let mut charts: BTreeMap<String, Chart> = BTreeMap::new();
        for advice in input.advices.iter().filter(|advice| input.wants(advice)) {
            let show = |why: String, set_of: &mut PatchSet| {
                set_of.shown.push(Shown {
                    advice: advice.id.clone(),
                    on: advice.target.clone(),
                    why,
                });
            };
            let Some(path) = advice.details.get("helm") else {
                show(
                    "not a value of a chart that is known".to_owned(),
                    &mut set_of,
                );
                continue;
            };
            let new = match advice.details.get("remove") {
                Some(_) => Value::Null,
                None => value(&advice.proposed),
            };
            if now(&files, path) == Some(&new) || new.is_null() && now(&files, path).is_none() {
                set_of.already.push(format!("{}: {path}", advice.target));
                continue;
            }
            let own = now(&files, path).map(scalar);
            let floor = Floor::of(advice, None);
            // What the values do not say the chart says, and that was not read.
            let own = own.as_deref().map_or(Own::Unknown, Own::Given);
            if set_of.keeps(floor.as_ref(), &advice.id, path, own) {
                continue;
            }
            let becomes = match advice.details.get("remove") {
                Some(_) => "nothing".to_owned(),
                None => advice.proposed.clone(),
            };
            let chart = advice
                .details
                .get("controller")
                .unwrap_or(&advice.target)
                .clone();
            let (values, done, wanted) = charts
                .entry(chart)
                .or_insert_with(|| (Value::Mapping(Mapping::new()), BTreeSet::new(), Vec::new()));
            if let Err(why) = set(values, path, new.clone()) {
                show(why, &mut set_of);
                continue;
            }
            for (beside, text) in beside(advice, path) {
                if now(&files, beside).is_none() && get(values, beside).is_none() {
                    let text = Value::String(text.to_owned());
                    if set(values, beside, text.clone()).is_ok() {
                        wanted.push((beside.to_owned(), text));
                    }
                }
            }
            set_of.changes(&advice.id, path, own, &becomes);
            wanted.push((path.clone(), new));
            done.insert(advice.id.clone());
        }
        let mut all = BTreeSet::new();
        let mut undone = false;
        let mut how = String::new();
        for (chart, (values, done, wanted)) in charts {
            let name = format!("values-{}.yaml", safe_name(&chart));
            let body = yaml_serde::to_string(&values).unwrap_or_default();
            let content =
                format!("# Give this after your own values: helm upgrade … -f {name}\n{body}");
            let holds = documents(&content).is_ok_and(|read| {
                read.first().is_some_and(|read| {
                    wanted
                        .iter()
                        .all(|(path, new)| get(read, path) == Some(new))
                })
            });
            if !holds {
                for advice in done {
                    set_of.shown.push(Shown {
                        advice,
                        on: chart.clone(),
                        why: "the values do not read back as meant".to_owned(),
                    });
                }
                continue;
            }
            how = format!(
                "{how}    helm get values RELEASE -n NAMESPACE > before.yaml\n    helm upgrade RELEASE \
                 CHART -n NAMESPACE --version SAME_VERSION --reuse-values -f {name}\n"
            );
            set_of.files.push(PatchFile {
                path: name,
                content,
                what: format!("values for the chart of {chart}"),
                advice: done.iter().cloned().collect(),
            });
            if let Some(content) = undo(&chart, &files, &wanted) {
                undone = true;
                set_of.files.push(PatchFile {
                    path: format!("undo-{}.yaml", safe_name(&chart)),
                    content,
                    what: "the way back, after the values above".to_owned(),
                    advice: done.iter().cloned().collect(),
                });
            }
            all.extend(done);
        }
        if all.is_empty() {
            return set_of;
        }
        let content = steps::short(
            input,
            &set_of,
            &all,
            &how,
            if undone {
                "`helm rollback RELEASE`; or `helm upgrade … --reuse-values -f undo-CHART.yaml`, which \
                 holds the old values."
            } else {
                "`helm rollback RELEASE`; or `helm upgrade … -f before.yaml`, which holds the values \
                 that were set before."
            },
        );
        set_of.lead(content, all);
        set_of
    }
}

/// Values that lead back: the old ones, and the chart's own where there was none. With
/// `--reuse-values` a `null` takes nothing away (helm issue 30765), so that without a default that is
/// known there is no such file. Only where values files were given.
fn undo(chart: &str, files: &[(String, Value)], wanted: &[(String, Value)]) -> Option<String> {
    if files.is_empty() {
        return None;
    }
    let mut values = Value::Mapping(Mapping::new());
    // What the chart asks for beside a value may stay.
    let stays = |path: &str| {
        let beside = known(chart).map_or(&[][..], |known| &known.helm_beside);
        beside.iter().any(|(known, _)| known == path)
    };
    for (path, _) in wanted.iter().filter(|(path, _)| !stays(path)) {
        let old = now(files, path).cloned();
        set(&mut values, path, old.or_else(|| default_at(chart, path))?).ok()?;
    }
    yaml_serde::to_string(&values).ok()
}

/// The values files that were given: YAML without a `kind`.
fn values_files(input: &PatchInput<'_>, set: &mut PatchSet) -> Vec<(String, Value)> {
    let mut files = Vec::new();
    for (name, text) in input.nodes.iter().flat_map(|node| &node.files) {
        match documents(text) {
            Ok(read) => files.extend(
                read.into_iter()
                    .filter(|value| value.is_mapping() && value.get("kind").is_none())
                    .map(|value| (name.clone(), value)),
            ),
            Err(refusal) => set.shown.push(Shown {
                advice: String::new(),
                on: name.clone(),
                why: refusal.to_string(),
            }),
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::NodeManifests;

    fn advice(path: &str, proposed: &str, remove: bool) -> Advice {
        let mut details = serde_json::json!({ "helm": path, "controller": "openfaas-operator" });
        if remove {
            details["remove"] = path.into();
        }
        serde_json::from_value(serde_json::json!({
            "id": path, "remedy": "client-limits", "strength": "recommended", "target": "openfaas",
            "setting": path, "now": null, "proposed": proposed, "why": "w", "effect": "e",
            "confidence": "high", "risk": "r", "undo": "u", "verify": "v",
            "disposition": "disruptive", "finding_ids": [], "source": "s", "details": details,
        }))
        .unwrap()
    }

    fn emit(own: &str, advices: &[Advice]) -> PatchSet {
        Helm.emit(&PatchInput {
            advices,
            nodes: vec![NodeManifests {
                node: String::new(),
                files: vec![("values.yaml".to_owned(), own.to_owned())],
            }],
            ..PatchInput::default()
        })
    }

    #[test]
    fn values_hold_the_advice_and_nothing_else() {
        let all = [
            advice("operator.kubeClientQPS", "100", false),
            advice("operator.kubeClientBurst", "250", false),
            advice("operator.leaderElection.enabled", "true", false),
            advice("operator.old", "remove it", true),
        ];
        let set = emit("operator:\n  kubeClientBurst: 250\n  old: 1\n", &all);
        assert_eq!(
            set.file("values-openfaas-operator.yaml").unwrap().content,
            "# Give this after your own values: helm upgrade … -f values-openfaas-operator.yaml\n\
             operator:\n  kubeClientQPS: 100\n  leaderElection:\n    enabled: true\n  old: null\n"
        );
        assert_eq!(set.already, ["openfaas: operator.kubeClientBurst"]);
    }

    #[test]
    fn the_way_back_holds_values_and_never_null() {
        let all = [
            advice("operator.kubeClientQPS", "100", false),
            advice("operator.leaderElection.enabled", "true", false),
        ];
        let set = emit("operator:\n  kubeClientQPS: 20\n", &all);
        assert_eq!(
            set.file("undo-openfaas-operator.yaml").unwrap().content,
            "operator:\n  kubeClientQPS: 20\n  leaderElection:\n    enabled: false\n"
        );
        // No default is known of it.
        let set = emit("x: 1\n", &[advice("operator.other", "15s", false)]);
        assert!(set.file("undo-openfaas-operator.yaml").is_none(), "{set:?}");
    }

    #[test]
    fn what_a_chart_requires_beside_a_value_comes_along() {
        let mut qps = advice("config.kubernetesAPIQPS", "100", false);
        qps.details
            .insert("controller".to_owned(), "cert-manager".to_owned());
        let file = |own: &str| {
            let set = emit(own, std::slice::from_ref(&qps));
            set.file("values-cert-manager.yaml")
                .unwrap()
                .content
                .clone()
        };
        let both = "config:\n  apiVersion: controller.config.cert-manager.io/v1alpha1\n  kind: ControllerConfiguration\n";
        let held = file("x: 1\n");
        assert!(
            held.contains("  apiVersion: controller.config.cert-manager.io/v1alpha1\n"),
            "{held}"
        );
        assert!(held.contains("  kind: ControllerConfiguration\n"), "{held}");
        assert!(!file(both).contains("kind:"), "{}", file(both));
    }

    #[test]
    fn a_second_run_over_the_result_changes_nothing() {
        let all = [advice("operator.kubeClientQPS", "100", false)];
        let first = emit("x: 1\n", &all);
        let again = emit(
            &first.file("values-openfaas-operator.yaml").unwrap().content,
            &all,
        );
        assert!(again.files.is_empty(), "{again:?}");
    }

    #[test]
    fn texts_that_look_like_numbers_stay_texts_where_yaml_reads_another_number() {
        assert_eq!(value("017"), Value::String("017".to_owned()));
        assert_eq!(value("15s"), Value::String("15s".to_owned()));
        assert!(value("2.5").is_number() && value("true").is_bool());
    }
}
