//! What a chart's values and a controller's ConfigMap set: the knobs of the controllers in the
//! catalogue, by their paths.

use super::model::{Given, Instance, Means, Place, SourceKind, Workload};
use super::secret::{mask, mask_env};
use super::yaml::Node;
use crate::catalog::controllers::{Controller, Knob, controllers};

/// The node at a dotted path; a key that holds dots itself is found too.
fn at<'a>(doc: &'a Node, path: &str) -> Option<&'a Node> {
    if let Some(found) = doc.get(path) {
        return Some(found);
    }
    let mut end = path.len();
    while let Some(dot) = path.get(..end)?.rfind('.') {
        let (head, rest) = (path.get(..dot)?, path.get(dot + 1..)?);
        if let Some(found) = doc.get(head).and_then(|inner| at(inner, rest)) {
            return Some(found);
        }
        end = dot;
    }
    None
}

/// What a node at a knob's path says of the knob: a scalar, an entry of `env`, or an argument.
fn said(node: &Node, knob: &Knob, path: &str, file: &str) -> Vec<Given> {
    let given = |name: &str, value: Option<&str>, line: u32, means: Means| Given {
        name: name.to_owned(),
        value: value.map(|value| match means {
            Means::Env => mask_env(name, value),
            _ => mask(name, value),
        }),
        means,
        place: Place::new(file, line),
    };
    if let Some(text) = node.text() {
        return vec![given(path, Some(text), node.line, Means::File)];
    }
    let mut out = Vec::new();
    for item in node.items() {
        if let (Some(name), Some(value)) = (item.text_at(&["name"]), item.get("value"))
            && knob.names.iter().any(|have| have == name)
        {
            out.push(given(name, value.text(), item.line, Means::Env));
        } else if let Some(word) = item.text() {
            let word = word.trim_start_matches('-');
            let (name, value) = word
                .split_once('=')
                .map_or((word, None), |(name, value)| (name, Some(value)));
            if knob.names.iter().any(|have| have == name) {
                out.push(given(name, value, item.line, Means::Flag));
            }
        }
    }
    for (key, value) in node.entries() {
        // `env: {KUBE_CLIENT_QPS: "100"}`
        if let (Some(name), Some(text)) = (key.text(), value.text())
            && knob.names.iter().any(|have| have == name)
        {
            out.push(given(name, Some(text), value.line, Means::Env));
        }
    }
    out
}

fn instance(controller: &Controller, file: &str, line: u32, kind: &str) -> Instance {
    let name = controller
        .names
        .first()
        .map_or(&*controller.id, |name| name);
    let container = controller.container.as_deref().unwrap_or_default();
    // As the reader of its workload names it.
    let name = match crate::catalog::controllers::component_of_pod(name, container) {
        joined if controller.id == "openfaas-operator" => joined,
        _ => name.to_owned(),
    };
    let mut instance = Instance::new(&name, SourceKind::Config, Place::new(file, line));
    instance.partial = true;
    instance.workload = Some(Workload {
        kind: kind.to_owned(),
        namespace: None,
        name: name.split('/').next().unwrap_or_default().to_owned(),
        container: container.to_owned(),
        replicas: None,
        controller: Some(controller.id.clone()),
    });
    instance
}

/// The controllers that a chart's values set something of. A document with a kind is no values.
pub(super) fn values(doc: &Node, file: &str) -> Vec<Instance> {
    if doc.get("kind").is_some() || doc.get("apiVersion").is_some() || doc.entries().is_empty() {
        return Vec::new();
    }
    let mut out = Vec::new();
    for controller in controllers() {
        let mut given: Vec<Given> = Vec::new();
        for knob in &controller.knobs {
            let Some(path) = knob.helm.as_deref() else {
                continue;
            };
            // `concurrent: 4` alone is nobody's; a path tells more.
            let Some(node) =
                at(doc, path).filter(|node| path.contains('.') || node.text().is_none())
            else {
                continue;
            };
            for one in said(node, knob, path, file) {
                if !given.contains(&one) {
                    given.push(one);
                }
            }
        }
        let switched_on = controller
            .helm_create
            .as_deref()
            .and_then(|path| at(doc, path))
            .and_then(Node::text)
            == Some("true");
        if given.is_empty() && !switched_on {
            continue;
        }
        let line = given.first().map_or(doc.line, |given| given.place.line);
        let mut instance = instance(controller, file, line, "Values");
        if let Some(workload) = &mut instance.workload {
            workload.replicas = controller
                .helm_replicas
                .as_deref()
                .and_then(|path| at(doc, path)?.text()?.parse().ok());
        }
        instance.given = given;
        out.push(instance);
    }
    out
}

/// The controller that takes its settings from a ConfigMap of this name.
pub(super) fn config_map(doc: &Node, file: &str) -> Option<Instance> {
    let name = doc.text_at(&["metadata", "name"])?;
    let controller = controllers().iter().find(|controller| {
        controller
            .knobs
            .iter()
            .any(|knob| knob.config_map.as_deref() == Some(name))
    })?;
    let data = doc.get("data")?;
    let mut instance = instance(controller, file, doc.line, "ConfigMap");
    if let Some(workload) = &mut instance.workload {
        workload.namespace = doc.text_at(&["metadata", "namespace"]).map(str::to_owned);
    }
    for (key, value) in data.entries() {
        let (Some(key), Some(text)) = (key.text(), value.text()) else {
            continue;
        };
        if controller.knob_named(key).is_some() {
            instance.given.push(Given {
                name: key.to_owned(),
                value: Some(mask(key, text)),
                means: Means::File,
                place: Place::new(file, value.line),
            });
        }
    }
    (!instance.given.is_empty()).then_some(instance)
}

#[cfg(test)]
mod tests {
    use super::super::text::model_of_text;
    use super::super::{ManifestModel, settle_all};

    fn settings(model: &ManifestModel) -> Vec<String> {
        settle_all(model)
            .iter()
            .flat_map(|unit| {
                unit.settled.settings.values().map(|one| {
                    format!(
                        "{} {}={} {}",
                        unit.name,
                        one.name,
                        one.value.as_deref().unwrap_or(""),
                        one.from.word()
                    )
                })
            })
            .collect()
    }

    #[test]
    fn values_of_charts() {
        let model = model_of_text(
            "values.yaml",
            "gateway:\n  replicas: 3\noperator:\n  create: true\n  kubeClientQPS: 10\n  leaderElection:\n    enabled: false\n",
        );
        assert_eq!(
            settings(&model),
            [
                "gateway/operator operator.kubeClientQPS=10 file",
                "gateway/operator operator.leaderElection.enabled=false file"
            ]
        );
        let workload = model.instances[0].workload.as_ref().unwrap();
        assert_eq!(
            (workload.replicas, workload.kind.as_str()),
            (Some(3), "Values")
        );
        let env = model_of_text(
            "values.yaml",
            "controller:\n  env:\n  - {name: ARGOCD_K8S_CLIENT_QPS, value: \"80\"}\n  - {name: OTHER, value: x}\n",
        );
        assert!(
            settings(&env)
                .contains(&"argocd-application-controller ARGOCD_K8S_CLIENT_QPS=80 env".to_owned())
        );
        assert!(!settings(&env).iter().any(|one| one.contains("OTHER")));
    }

    #[test]
    fn config_maps_of_controllers() {
        let model = model_of_text(
            "cm.yaml",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: argocd-cmd-params-cm, namespace: argocd}\ndata:\n  controller.status.processors: \"20\"\n  server.insecure: \"true\"\n",
        );
        assert_eq!(
            settings(&model),
            ["argocd-application-controller controller.status.processors=20 file"]
        );
    }

    #[test]
    fn what_is_no_values_file() {
        for text in [
            "a: 1\n",
            "concurrent: 4\n",
            "kind: X\noperator: {kubeClientQPS: 1}\n",
            "- operator\n",
            "",
        ] {
            assert_eq!(model_of_text("x.yaml", text).instances, [], "{text}");
        }
    }
}
