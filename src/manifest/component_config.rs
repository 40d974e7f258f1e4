//! Configuration files of the components themselves: KubeletConfiguration,
//! KubeSchedulerConfiguration and etcd's `--config-file`.

use super::model::{Given, Instance, Means, Place, SourceKind};
use super::secret::mask;
use super::yaml::{Node, Value};
use crate::catalog::settings::{self, Component};

/// Depth of settings in a file.
const MAX_DEPTH: usize = 8;

/// Which component's file a document is.
pub(super) fn component_of(doc: &Node, file: &str) -> Option<Component> {
    match doc.text_at(&["kind"]) {
        Some("KubeletConfiguration") => return Some(Component::Kubelet),
        Some("KubeSchedulerConfiguration") => return Some(Component::Scheduler),
        Some(_) => return None,
        None => {}
    }
    if doc.get("apiVersion").is_some() {
        return None;
    }
    // etcd's file has no kind: its keys are flags.
    let known = doc
        .entries()
        .iter()
        .filter_map(|(key, _)| key.text())
        .filter(|key| {
            settings::setting(Component::Etcd, key).is_some()
                || matches!(
                    *key,
                    "client-transport-security" | "peer-transport-security"
                )
        })
        .count();
    let named = file
        .rsplit('/')
        .next()
        .is_some_and(|name| name.starts_with("etcd"));
    let telling = [
        "data-dir",
        "listen-client-urls",
        "initial-cluster",
        "listen-peer-urls",
        "quota-backend-bytes",
    ]
    .iter()
    .any(|key| doc.get(key).is_some());
    let enough = if named { 1 } else { 2 };
    (known >= enough && (telling || named) && known * 2 >= doc.entries().len())
        .then_some(Component::Etcd)
}

/// The settings of a file as an instance of their component.
pub(super) fn read(doc: &Node, file: &str, component: Component) -> Instance {
    let mut instance = Instance::new(
        component.program(),
        SourceKind::Config,
        Place::new(file, doc.line),
    );
    instance.component = Some(component);
    instance.given = flatten(doc, file);
    if component == Component::Scheduler {
        instance.given.retain(|given| !is_left_to_default(given));
    }
    instance
}

/// Zeros that the scheduler replaces by its defaults (SetDefaults_KubeSchedulerConfiguration and
/// RecommendedDefaultLeaderElectionConfiguration).
fn is_left_to_default(given: &Given) -> bool {
    let value = given.value.as_deref().unwrap_or_default();
    match given.name.as_str() {
        "clientConnection.qps" | "clientConnection.burst" => {
            settings::parse_float(value) == Some(0.0)
        }
        "leaderElection.leaseDuration"
        | "leaderElection.renewDeadline"
        | "leaderElection.retryPeriod" => settings::parse_duration_setting(value, 1.0) == Some(0.0),
        _ => false,
    }
}

/// All scalar settings of a document by dotted path.
pub(super) fn flatten(doc: &Node, file: &str) -> Vec<Given> {
    let mut out = Vec::new();
    walk(doc, "", file, 0, &mut out);
    out
}

fn walk(node: &Node, path: &str, file: &str, depth: usize, out: &mut Vec<Given>) {
    if depth > MAX_DEPTH {
        return;
    }
    for (key, value) in node.entries() {
        let Some(key_text) = key.text() else { continue };
        if path.is_empty() && matches!(key_text, "apiVersion" | "kind" | "metadata") {
            continue;
        }
        if key_text == "<<" {
            walk(value, path, file, depth + 1, out);
            continue;
        }
        let own = if path.is_empty() {
            key_text.to_owned()
        } else {
            format!("{path}.{key_text}")
        };
        let text = match &value.value {
            Value::Plain(text) | Value::Text(text) => text.clone(),
            Value::Seq(items) => {
                let texts: Option<Vec<&str>> = items.iter().map(Node::text).collect();
                let Some(texts) = texts else { continue };
                texts.join(",")
            }
            // A map of gates is one setting.
            Value::Map(entries) if key_text == "featureGates" => entries
                .iter()
                .filter_map(|(gate, on)| Some(format!("{}={}", gate.text()?, on.text()?)))
                .collect::<Vec<_>>()
                .join(","),
            Value::Map(_) => {
                walk(value, &own, file, depth + 1, out);
                continue;
            }
            // An empty value leaves the default.
            Value::Null => continue,
        };
        out.push(Given {
            value: Some(mask(&own, &text)),
            name: own,
            means: Means::File,
            place: Place::new(file, key.line),
        });
    }
}

/// Flags that name a component's configuration file.
pub(super) fn config_flag(component: Component) -> Option<&'static str> {
    match component {
        Component::Etcd => Some("config-file"),
        Component::Kubelet | Component::Scheduler => Some("config"),
        Component::ApiServer | Component::ControllerManager => None,
    }
}

/// A file of more flags that a program was given: OpenShift's operators write all but a few as
/// `extendedArguments` of one, which is of no kind that is read here.
fn arguments_file(instance: &Instance, component: Component) -> Option<&str> {
    let kinds = [Component::ApiServer, Component::ControllerManager];
    let mut flags = ["openshift-config", "config"].iter();
    let named = flags.find_map(|flag| instance.last(flag));
    named.filter(|_| kinds.contains(&component))
}

fn not_read(path: &str) -> String {
    format!("{path}, which holds the settings, was not read")
}

/// Gives every program that names a configuration file the settings of that file, where it was
/// read; files that nobody names stay as they are.
pub(super) fn link(instances: &mut Vec<Instance>, unread: &[String]) {
    let mut missed: Vec<(usize, String)> = Vec::new();
    let mut used = vec![false; instances.len()];
    let mut adds: Vec<(usize, Vec<Given>)> = Vec::new();
    for (at, instance) in instances.iter().enumerate() {
        let Some(component) = instance.component else {
            continue;
        };
        if instance.source == SourceKind::Config {
            continue;
        }
        // The kubelet's drop-ins come after its file, by name.
        let mut drop_ins: Vec<(usize, &Instance)> = match (component, instance.last("config-dir")) {
            (Component::Kubelet, Some(dir)) => instances
                .iter()
                .enumerate()
                .filter(|(_, file)| {
                    file.source == SourceKind::Config
                        && file.component == Some(component)
                        && file.place.file.ends_with(".conf")
                        && file
                            .place
                            .file
                            .rsplit_once('/')
                            .is_some_and(|(parent, _)| same_file(parent, dir))
                })
                .collect(),
            _ => Vec::new(),
        };
        drop_ins.sort_by(|a, b| a.1.place.file.cmp(&b.1.place.file));
        let dropped: Vec<Given> = drop_ins
            .iter()
            .flat_map(|(index, file)| {
                if let Some(mark) = used.get_mut(*index) {
                    *mark = true;
                }
                file.given.iter().cloned()
            })
            .collect();
        if let Some(path) = arguments_file(instance, component) {
            missed.push((at, not_read(path)));
        }
        let Some(path) = config_path(instance, component) else {
            if !dropped.is_empty() {
                adds.push((at, dropped));
            }
            continue;
        };
        let found = instances.iter().enumerate().find(|(_, file)| {
            file.source == SourceKind::Config
                && file.component == Some(component)
                && !file.partial
                && (file.node.is_none() || instance.node.is_none() || file.node == instance.node)
                && same_file(&file.place.file, &path)
        });
        if found.is_none() {
            let known = unread.iter().find(|why| why.contains(path.as_str()));
            missed.push((at, known.cloned().unwrap_or_else(|| not_read(&path))));
            if !dropped.is_empty() {
                adds.push((at, dropped));
            }
        } else if let Some((index, file)) = found {
            if let Some(mark) = used.get_mut(index) {
                *mark = true;
            }
            let mut given = file.given.clone();
            given.extend(dropped);
            adds.push((at, given));
        }
    }
    for (at, why) in missed {
        if let Some(instance) = instances.get_mut(at) {
            instance.unread.push(why);
        }
    }
    for (at, mut given) in adds {
        let Some(instance) = instances.get_mut(at) else {
            continue;
        };
        if instance.component == Some(Component::Scheduler) {
            // With a file the scheduler ignores its deprecated client flags.
            instance.given.append(&mut given);
        } else {
            // The kubelet's flags win over its file; etcd ignores its flags altogether.
            given.append(&mut instance.given);
            instance.given = given;
        }
    }
    let mut used = used.into_iter();
    instances.retain(|_| !used.next().unwrap_or(false));
}

pub(super) fn config_path(instance: &Instance, component: Component) -> Option<String> {
    if let Some(path) = config_flag(component).and_then(|flag| instance.last(flag)) {
        return Some(path.to_owned());
    }
    (component == Component::Etcd)
        .then(|| {
            instance
                .given
                .iter()
                .find(|given| given.name == "ETCD_CONFIG_FILE")
                .and_then(|given| given.value.clone())
        })
        .flatten()
}

/// Whether a file of a bundle is the one that a flag names: the same path below some folder, or
/// at least the same file name.
fn same_file(have: &str, named: &str) -> bool {
    let have = have.trim_start_matches('/');
    let named = named.trim_start_matches('/');
    if have.ends_with(named) {
        return true;
    }
    let base = |path: &str| path.rsplit('/').next().unwrap_or("").to_owned();
    // `config.yaml` alone says nothing; a telling name does.
    base(have) == base(named)
        && !matches!(base(have).as_str(), "config.yaml" | "config" | "config.yml")
}

#[cfg(test)]
mod tests {
    use super::super::effective::settle;
    use super::super::yaml;
    use super::*;

    fn file(name: &str, text: &str) -> Instance {
        let doc = yaml::read(text).documents.remove(0);
        let component = component_of(&doc, name).expect("a component's file");
        read(&doc, name, component)
    }

    #[test]
    fn the_kubelets_flags_beat_its_drop_ins_and_those_its_file() {
        let kind = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
        let mut kubelet = Instance::new("kubelet", SourceKind::Process, Place::default());
        kubelet.component = Some(Component::Kubelet);
        for (name, value) in [
            ("config", "/var/lib/kubelet/config.yaml"),
            ("config-dir", "/etc/kubernetes/kubelet.conf.d"),
            ("max-pods", "50"),
        ] {
            kubelet.given.push(Given {
                name: name.to_owned(),
                value: Some(value.to_owned()),
                means: Means::Flag,
                place: Place::default(),
            });
        }
        let mut all = vec![
            file(
                "etc/kubernetes/kubelet.conf.d/20-b.conf",
                &format!("{kind}kubeAPIQPS: 30\n"),
            ),
            file(
                "var/lib/kubelet/config.yaml",
                &format!("{kind}kubeAPIQPS: 10\nkubeAPIBurst: 11\nmaxPods: 12\n"),
            ),
            kubelet,
            file(
                "etc/kubernetes/kubelet.conf.d/10-a.conf",
                &format!("{kind}kubeAPIQPS: 20\n"),
            ),
            file("elsewhere/other.conf", &format!("{kind}kubeAPIQPS: 99\n")),
        ];
        link(&mut all, &[]);
        assert_eq!(all.len(), 2, "only the file that nobody names is left");
        let settled = settle(&all[0]);
        assert_eq!(settled.faults, []);
        assert!(all[0].unread.is_empty());
        let value = |name: &str| settled.settings[name].value.clone().unwrap_or_default();
        assert_eq!(
            (
                value("kube-api-qps"),
                value("kube-api-burst"),
                value("max-pods")
            ),
            ("30".into(), "11".into(), "50".into())
        );
    }

    #[test]
    fn zeros_of_the_schedulers_file_are_its_defaults() {
        let of = |text: &str| {
            let kind =
                "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
            settle(&file("sched.yaml", &format!("{kind}{text}")))
        };
        let zero = of("clientConnection: {qps: 0, burst: 0}\nleaderElection: {retryPeriod: 0s}\n");
        for (name, default) in [
            ("kube-api-qps", "50"),
            ("kube-api-burst", "100"),
            ("leader-elect-retry-period", "2s"),
        ] {
            let setting = &zero.settings[name];
            assert_eq!(
                (setting.value.as_deref(), setting.from.word()),
                (Some(default), "default"),
                "{name}"
            );
        }
        let set = of("clientConnection: {qps: 5}\n");
        assert_eq!(set.settings["kube-api-qps"].value.as_deref(), Some("5"));
    }

    #[test]
    fn without_its_file_a_default_is_not_known() {
        let mut etcd = Instance::new("etcd", SourceKind::Systemd, Place::default());
        etcd.component = Some(Component::Etcd);
        etcd.given.push(Given {
            name: "config-file".to_owned(),
            value: Some("/etc/etcd.yml".to_owned()),
            means: Means::Flag,
            place: Place::default(),
        });
        let denied = "no permission for /etc/etcd.yml".to_owned();
        for (unread, why) in [
            (vec![denied.clone()], denied.as_str()),
            (vec![], "was not read"),
        ] {
            let mut all = vec![etcd.clone()];
            link(&mut all, &unread);
            let settled = settle(&all[0]);
            assert!(settled.unread[0].contains(why), "{:?}", settled.unread);
            let fsync = &settled.settings["unsafe-no-fsync"];
            assert_eq!(fsync.from.word(), "unknown default");
        }
        let mut all = vec![etcd, file("etc/etcd.yml", "name: a\ndata-dir: /d\n")];
        link(&mut all, &[]);
        let settled = settle(&all[0]);
        assert!(settled.unread.is_empty());
        assert_eq!(settled.settings["unsafe-no-fsync"].from.word(), "default");
    }

    #[test]
    fn flags_in_a_file_of_openshift_leave_no_default_known() {
        let with = |flag: &str, component: Component| {
            let mut program = Instance::new("kcm", SourceKind::StaticPod, Place::default());
            program.component = Some(component);
            for (name, value) in [(flag, "/etc/kubernetes/config.yaml"), ("v", "2")] {
                program.given.push(Given {
                    name: name.to_owned(),
                    value: Some(value.to_owned()),
                    means: Means::Flag,
                    place: Place::default(),
                });
            }
            let mut all = vec![program];
            link(&mut all, &[]);
            settle(&all[0])
        };
        for component in [Component::ControllerManager, Component::ApiServer] {
            for flag in ["openshift-config", "config"] {
                let hidden = with(flag, component);
                assert!(hidden.unread[0].contains("config.yaml"), "{flag}");
                let profiling = &hidden.settings["profiling"];
                assert_eq!(profiling.from.word(), "unknown default");
            }
            assert!(with("kubeconfig", component).unread.is_empty());
        }
    }

    #[test]
    fn only_files_with_etcds_own_keys_are_etcds() {
        let is = |name: &str, text: &str| component_of(&yaml::read(text).documents[0], name);
        assert_eq!(
            is("config", "name: a\ndata-dir: /d\n"),
            Some(Component::Etcd)
        );
        assert_eq!(
            is("etcd.conf.yml", "quota-backend-bytes: 5\n"),
            Some(Component::Etcd)
        );
        assert_eq!(is("values.yaml", "name: a\nreplicas: 3\nimage: x\n"), None);
        assert_eq!(
            is("x.yaml", "apiVersion: v1\nname: a\ndata-dir: /d\n"),
            None
        );
    }
}
