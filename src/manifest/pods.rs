//! Pods and workloads → instances: static pods, and what `kubectl get -o yaml` gives.

use super::argv::{self, Word};
use super::model::{
    Given, Instance, Means, Place, Probe, Resources, SourceKind, VersionSeen, Workload,
};
use super::secret::mask_env;
use super::shell_env;
use super::yaml::{Node, Value};
use crate::catalog::controllers::{self, Controller};
use crate::catalog::releases;
use crate::catalog::settings::Component;

/// Parts of the names of variables by which controllers are tuned; other variables of other
/// programs are of no interest and may hold secrets.
const TUNING: &[&str] = &[
    "QPS",
    "BURST",
    "CONCURREN",
    "WORKER",
    "RECONCILE",
    "THREADS",
    "LEADER_ELECTION",
    "SYNC_PERIOD",
    "PROVISIONING_LIMIT",
    "PROCESSORS",
];

/// Whether a document is a pod, a workload with a pod template, or a list of them.
pub(super) fn is_workload(doc: &Node) -> bool {
    template(doc).is_some()
        || doc
            .get("items")
            .is_some_and(|items| items.items().iter().any(|item| template(item).is_some()))
}

/// The instances of a document.
pub(super) fn read(doc: &Node, file: &str, source: SourceKind) -> Vec<Instance> {
    if let Some(items) = doc.get("items") {
        return items
            .items()
            .iter()
            .flat_map(|item| one(item, file, SourceKind::Workload))
            .collect();
    }
    one(doc, file, source)
}

/// The metadata and spec of the pod that an object describes.
fn template(doc: &Node) -> Option<(Option<&Node>, &Node)> {
    let of = |node: &'_ Node| -> bool { node.get("containers").is_some() };
    match doc.text_at(&["kind"])? {
        "Pod" => {
            let spec = doc.get("spec").filter(|spec| of(spec))?;
            Some((doc.get("metadata"), spec))
        }
        "Deployment"
        | "StatefulSet"
        | "DaemonSet"
        | "ReplicaSet"
        | "ReplicationController"
        | "Job" => {
            let template = doc.at(&["spec", "template"])?;
            let spec = template.get("spec").filter(|spec| of(spec))?;
            Some((template.get("metadata"), spec))
        }
        "CronJob" => {
            let template = doc.at(&["spec", "jobTemplate", "spec", "template"])?;
            let spec = template.get("spec").filter(|spec| of(spec))?;
            Some((template.get("metadata"), spec))
        }
        _ => None,
    }
}

fn one(doc: &Node, file: &str, source: SourceKind) -> Vec<Instance> {
    let Some((metadata, spec)) = template(doc) else {
        return Vec::new();
    };
    let kind = doc.text_at(&["kind"]).unwrap_or_default();
    let own_name = doc.text_at(&["metadata", "name"]).unwrap_or("");
    // What a Deployment made is described by the Deployment; its old revisions run nothing.
    let owner = doc
        .at(&["metadata", "ownerReferences"])
        .and_then(|owners| owners.items().first())
        .and_then(|owner| Some((owner.text_at(&["kind"])?, owner.text_at(&["name"])?)));
    if kind == "ReplicaSet" && owner.is_some() && doc.text_at(&["spec", "replicas"]) == Some("0") {
        return Vec::new();
    }
    let owned = match (kind, owner) {
        ("Pod", Some(("ReplicaSet", name))) => Some(("Deployment", without_hash(name))),
        ("Pod", Some((kind @ ("StatefulSet" | "DaemonSet"), name))) => Some((kind, name)),
        ("ReplicaSet", Some(("Deployment", name))) => Some(("Deployment", name)),
        _ => None,
    };
    let (kind, object) = owned.unwrap_or((kind, own_name));
    let is_pod = kind == "Pod";
    let on_every_node = kind == "DaemonSet";
    let node = spec
        .text_at(&["nodeName"])
        .filter(|name| !name.is_empty() && (owned.is_none() || on_every_node));
    let label = metadata.and_then(|m| m.text_at(&["labels", "component"]));
    let containers = spec.get("containers").map_or(&[][..], Node::items);
    // Init containers that restart always are sidecars; etcd has been run that way.
    let sidecars = spec
        .get("initContainers")
        .map_or(&[][..], Node::items)
        .iter()
        .filter(|container| container.text_at(&["restartPolicy"]) == Some("Always"));
    let several = containers.len() > 1;
    let mut out = Vec::new();
    for (index, container) in containers.iter().chain(sidecars).enumerate() {
        let own = container.text_at(&["name"]).unwrap_or("");
        let mut instance = of_container(container, file, source);
        instance.node = node.map(str::to_owned);
        instance.name = match instance.component {
            Some(Component::Etcd) => etcd_name(&instance, [label.unwrap_or(""), own, object], node),
            Some(component) => component.program().to_owned(),
            None if is_pod && !object.is_empty() => {
                let name = node
                    .and_then(|node| object.strip_suffix(node))
                    .map_or(object, |name| name.trim_end_matches('-'));
                joined(name, own, several)
            }
            None => {
                let main = index == 0 || controllers::component_of_pod(object, own) == object;
                joined(object, own, several && !main)
            }
        };
        let controller = Controller::of_container(object, own, instance.image.as_deref());
        instance.workload = Some(Workload {
            kind: kind.to_owned(),
            namespace: doc.text_at(&["metadata", "namespace"]).map(str::to_owned),
            name: object.to_owned(),
            container: own.to_owned(),
            // A replica set's or a pod's own number says nothing of the whole.
            replicas: doc
                .text_at(&["spec", "replicas"])
                .filter(|_| owned.is_none())
                .and_then(|text| text.parse().ok()),
            controller: controller.map(|controller| controller.id.clone()),
        });
        out.push(instance);
    }
    out
}

/// A replica set's name without the hash of its template.
fn without_hash(name: &str) -> &str {
    name.rsplit_once('-').map_or(name, |(base, _)| base)
}

fn joined(object: &str, container: &str, both: bool) -> String {
    if both || object.is_empty() {
        format!("{object}/{container}")
    } else {
        object.to_owned()
    }
}

/// `etcd`, or another name where a node runs several: from label, container and pod.
fn etcd_name(instance: &Instance, names: [&str; 3], node: Option<&str>) -> String {
    for name in names {
        let name = node
            .and_then(|node| name.strip_suffix(node))
            .map_or(name, |name| name.trim_end_matches('-'));
        if name == "etcd" {
            break;
        }
        if matches!(name, "etcd-events" | "etcd-main" | "etcd-leases") {
            return if name == "etcd-main" {
                "etcd".to_owned()
            } else {
                name.to_owned()
            };
        }
    }
    etcd_role(instance)
}

/// The role of an etcd told by its own name and folder: clusters keep events apart.
pub(super) fn etcd_role(instance: &Instance) -> String {
    let tells = |word: &str| {
        ["name", "data-dir"].iter().any(|flag| {
            instance.last(flag).is_some_and(|value| {
                value
                    .split(|c: char| !c.is_ascii_alphanumeric())
                    .any(|part| part == word)
            })
        })
    };
    for role in ["events", "leases"] {
        if tells(role) {
            return format!("etcd-{role}");
        }
    }
    "etcd".to_owned()
}

fn of_container(container: &Node, file: &str, source: SourceKind) -> Instance {
    let mut words = Vec::new();
    for key in ["command", "args"] {
        for item in container.get(key).map_or(&[][..], Node::items) {
            if let Some(text) = item.text() {
                words.push(Word::new(text, item.line));
            }
        }
    }
    let env: Vec<(&str, &str, u32)> = container
        .get("env")
        .map_or(&[][..], Node::items)
        .iter()
        .filter_map(|entry| {
            let value = entry.get("value")?;
            Some((
                entry.text_at(&["name"])?,
                value.text().unwrap_or(""),
                entry.line,
            ))
        })
        .collect();
    for word in &mut words {
        word.text = expand(&word.text, &env);
    }
    shell_env::put_in(&mut words, &|name| {
        let mut all = env.iter().rev();
        let found = all.find(|(own, ..)| *own == name);
        found.map(|(_, value, _)| *value)
    });
    let image = container.text_at(&["image"]);
    let line = words.first().map_or(container.line, |word| word.line);
    let mut instance = Instance::new("", source, Place::new(file, line));
    // With no `command` the image's entry point runs: the name tells which program that is.
    let no_command = container
        .get("command")
        .is_none_or(|command| command.items().is_empty());
    let assumed = no_command
        .then(|| program_of_image(image?, container.text_at(&["name"])))
        .flatten();
    let command = argv::read(&words, file, assumed);
    instance.component = command.component;
    instance.given = command.given;
    instance.unread = command
        .open
        .iter()
        .map(|(name, line)| {
            let place = Place::new(file, *line);
            format!("{name} of the shell's script ({place}) is set in no file that was read")
        })
        .collect();
    instance.bare = command.bare;
    instance.dangling = command.dangling;
    for (name, value, line) in env {
        let wanted = match instance.component {
            Some(Component::Etcd) => name.starts_with("ETCD_"),
            Some(_) => false,
            None => {
                let upper = name.to_ascii_uppercase();
                TUNING.iter().any(|word| upper.contains(word))
            }
        };
        if wanted {
            instance.given.push(Given {
                name: name.to_owned(),
                value: Some(mask_env(name, value)),
                means: Means::Env,
                place: Place::new(file, line),
            });
        }
    }
    if let Some(image) = image {
        instance.image = Some(image.to_owned());
        if let Some(version) = releases::of_image(image) {
            let line = container.get("image").map_or(0, |node| node.line);
            instance.versions.push(VersionSeen {
                source: "image",
                version,
                text: image.to_owned(),
                place: Place::new(file, line),
            });
        }
    }
    for (key, kind) in [
        ("livenessProbe", "liveness"),
        ("readinessProbe", "readiness"),
        ("startupProbe", "startup"),
    ] {
        instance
            .probes
            .extend(container.get(key).and_then(|node| probe(node, kind, file)));
    }
    instance.resources = resources(container);
    instance
}

/// The program of an image without a command: the image's or the container's own name.
fn program_of_image(image: &str, container: Option<&str>) -> Option<Component> {
    let name = image
        .split('@')
        .next()?
        .rsplit('/')
        .next()?
        .split(':')
        .next()?;
    Component::ALL
        .into_iter()
        .find(|c| c.program() == name || container == Some(c.program()))
}

/// Kubernetes' own `$(NAME)` in arguments, for variables with a plain value; `$$(NAME)` is an
/// escape, and an unknown name stays as it is.
fn expand(text: &str, env: &[(&str, &str, u32)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        if let Some(after) = from.strip_prefix("$$") {
            out.push('$');
            rest = after;
            continue;
        }
        let name = from
            .strip_prefix("$(")
            .and_then(|inner| inner.split_once(')'))
            .map(|(name, _)| name);
        let value = name.and_then(|name| env.iter().rev().find(|(n, _, _)| *n == name));
        match (name, value) {
            (Some(name), Some((_, value, _))) => {
                out.push_str(value);
                rest = from.get(name.len() + 3..).unwrap_or("");
            }
            _ => {
                out.push('$');
                rest = from.get(1..).unwrap_or("");
            }
        }
    }
    out.push_str(rest);
    out
}

fn probe(node: &Node, kind: &'static str, file: &str) -> Option<Probe> {
    let number = |key: &str, default: f64| {
        node.text_at(&[key])
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let text = |node: &Node, key: &str| node.text_at(&[key]).map(str::to_owned);
    let (how, path, target) = if let Some(http) = node.get("httpGet") {
        ("http", text(http, "path"), Some(http))
    } else if let Some(exec) = node.get("exec") {
        let words: Vec<&str> = exec
            .get("command")
            .map_or(&[][..], Node::items)
            .iter()
            .filter_map(Node::text)
            .collect();
        (
            "exec",
            Some(super::secret::mask_command(&words.join(" "))),
            None,
        )
    } else if let Some(tcp) = node.get("tcpSocket") {
        ("tcp", None, Some(tcp))
    } else {
        ("grpc", None, Some(node.get("grpc")?))
    };
    Some(Probe {
        kind,
        how,
        path,
        port: target.and_then(|target| text(target, "port")),
        host: target.and_then(|target| text(target, "host")),
        scheme: target.and_then(|target| text(target, "scheme")),
        timeout_secs: number("timeoutSeconds", 1.0),
        period_secs: number("periodSeconds", 10.0),
        failure_threshold: number("failureThreshold", 3.0),
        initial_delay_secs: number("initialDelaySeconds", 0.0),
        place: Place::new(file, node.line),
    })
}

fn resources(container: &Node) -> Resources {
    let mut amounts = Vec::new();
    for (key, what) in [("requests", "request"), ("limits", "limit")] {
        let Some(entries) = container.at(&["resources", key]) else {
            continue;
        };
        if let Value::Map(entries) = &entries.value {
            for (name, quantity) in entries {
                if let (Some(name), Some(quantity)) = (name.text(), quantity.text()) {
                    amounts.push((name.to_owned(), what, quantity.to_owned()));
                }
            }
        }
    }
    Resources { amounts }
}

#[cfg(test)]
mod tests {
    use super::super::yaml;
    use super::*;

    fn instances(text: &str) -> Vec<Instance> {
        let read = yaml::read(text);
        assert_eq!(read.troubles, []);
        read.documents
            .iter()
            .flat_map(|doc| super::read(doc, "f.yaml", SourceKind::StaticPod))
            .collect()
    }

    #[test]
    fn command_args_env_probes_and_expansion() {
        let all = instances(
            "apiVersion: v1\nkind: Pod\nmetadata: {name: etcd-events, labels: {component: etcd-events}}\nspec:\n  nodeName: cp1\n  containers:\n  - name: etcd-events\n    image: registry.k8s.io/etcd:3.5.15-0\n    command: [etcd]\n    args:\n    - --name=$(NODE)-events\n    - --data-dir\n    - $(UNKNOWN)/x\n    env:\n    - {name: NODE, value: cp1}\n    - name: ETCD_QUOTA_BACKEND_BYTES\n      value: \"8589934592\"\n    livenessProbe:\n      httpGet: {host: 127.0.0.1, path: /livez, port: 2384}\n      failureThreshold: 8\n",
        );
        let [etcd] = all.as_slice() else {
            panic!("{all:?}")
        };
        assert_eq!(
            (etcd.name.as_str(), etcd.node.as_deref()),
            ("etcd-events", Some("cp1"))
        );
        assert_eq!(etcd.last("name"), Some("cp1-events"));
        assert_eq!(etcd.last("data-dir"), Some("$(UNKNOWN)/x"));
        let env: Vec<_> = etcd
            .given
            .iter()
            .filter(|g| g.means == Means::Env)
            .collect();
        assert_eq!(env.len(), 1);
        assert_eq!(env[0].place.line, 16);
        assert_eq!(etcd.version().unwrap().to_string(), "3.5.15");
        let probe = &etcd.probes[0];
        assert_eq!(
            (
                probe.path.as_deref(),
                probe.failure_threshold,
                probe.timeout_secs
            ),
            (Some("/livez"), 8.0, 1.0)
        );
    }

    #[test]
    fn lists_deployments_and_their_containers() {
        let all = instances(
            "apiVersion: v1\nkind: List\nitems:\n- apiVersion: apps/v1\n  kind: Deployment\n  metadata: {name: capi-controller-manager, namespace: capi-system}\n  spec:\n    template:\n      spec:\n        containers:\n        - name: manager\n          image: registry.k8s.io/cluster-api/cluster-api-controller:v1.9.3\n          command: [/manager]\n          args: [--leader-elect, --kube-api-qps=100]\n          env: [{name: MY_TOKEN, value: s3cr3t}, {name: BMO_CONCURRENCY, value: \"8\"}]\n        - name: proxy\n          image: p:1.0\n- kind: Service\n",
        );
        let names: Vec<&str> = all.iter().map(|i| i.name.as_str()).collect();
        assert_eq!(
            names,
            ["capi-controller-manager", "capi-controller-manager/proxy"]
        );
        assert_eq!(all[0].last("kube-api-qps"), Some("100"));
        assert_eq!(
            all[0]
                .given
                .iter()
                .filter(|g| g.means == Means::Env)
                .count(),
            1
        );
        assert!(!format!("{all:?}").contains("s3cr3t"));
    }

    #[test]
    fn an_image_without_command() {
        let all = instances(
            "kind: Pod\nmetadata: {name: kube-scheduler}\nspec:\n  containers:\n  - name: kube-scheduler\n    image: x/kube-scheduler:v1.30.1\n    args: [--v=2]\n",
        );
        assert_eq!(all[0].component, Some(Component::Scheduler));
        assert_eq!(all[0].last("v"), Some("2"));
    }
}
