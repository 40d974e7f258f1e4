//! kubeadm's ClusterConfiguration: `extraArgs` as a map (up to v1beta3) or a list (v1beta4).
//!
//! kubeadm writes the static pods anew at each upgrade from here, so a flag that is only in the
//! pod is lost then. An edited copy is given where the user gave the file, else a fragment to
//! merge. Flags never go through kubeadm's `patches` folder: `command` is an atomic list there.

use yaml_serde::{Mapping, Value};

use crate::catalog::releases::Version;

use super::edit::rewrite;
use super::yaml::{Refusal, documents, quoted};

/// The two shapes of `extraArgs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    /// A map. The version differs by release.
    Map(&'static str),
    /// A list of name and value, from v1beta4 on.
    List,
}

impl Api {
    /// The `apiVersion`.
    pub(super) fn version(self) -> &'static str {
        match self {
            Api::Map(version) => version,
            Api::List => "kubeadm.k8s.io/v1beta4",
        }
    }

    /// The form that a file names, be it one that cannot be edited.
    pub(super) fn named_in(text: &str) -> Option<Api> {
        let version = text.lines().find_map(|line| {
            let value = line.trim().strip_prefix("apiVersion:")?.trim();
            value
                .trim_matches(['"', '\''])
                .strip_prefix("kubeadm.k8s.io/")
        })?;
        match version {
            "v1beta4" => Some(Api::List),
            "v1beta3" => Some(Api::Map("kubeadm.k8s.io/v1beta3")),
            "v1beta2" => Some(Api::Map("kubeadm.k8s.io/v1beta2")),
            "v1beta1" => Some(Api::Map("kubeadm.k8s.io/v1beta1")),
            _ => None,
        }
    }

    /// What to write for a Kubernetes version; both current ones when it is not known.
    pub(super) fn for_kubernetes(version: Option<Version>) -> Vec<Api> {
        match version {
            Some(v) if v >= Version::minor(1, 31) => vec![Api::List],
            Some(v) if v >= Version::minor(1, 22) => vec![Api::Map("kubeadm.k8s.io/v1beta3")],
            Some(v) if v >= Version::minor(1, 15) => vec![Api::Map("kubeadm.k8s.io/v1beta2")],
            // kubeadm 1.13 and 1.14 read no other one of this form.
            Some(_) => vec![Api::Map("kubeadm.k8s.io/v1beta1")],
            None => vec![Api::Map("kubeadm.k8s.io/v1beta3"), Api::List],
        }
    }
}

/// Where a component's extraArgs are.
pub(super) fn section(component: &str) -> Option<&'static [&'static str]> {
    match component {
        "kube-apiserver" => Some(&["apiServer"]),
        "kube-controller-manager" => Some(&["controllerManager"]),
        "kube-scheduler" => Some(&["scheduler"]),
        "etcd" => Some(&["etcd", "local"]),
        _ => None,
    }
}

/// One flag of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arg {
    pub(super) component: String,
    pub(super) name: String,
    pub(super) value: String,
}

/// A fragment with just these flags.
pub(super) fn fragment(api: Api, args: &[Arg]) -> String {
    let mut text = format!(
        "apiVersion: {}\nkind: ClusterConfiguration\n",
        api.version()
    );
    for component in [
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "etcd",
    ] {
        let own: Vec<&Arg> = args
            .iter()
            .filter(|arg| arg.component == component)
            .collect();
        let Some(path) = section(component).filter(|_| !own.is_empty()) else {
            continue;
        };
        let mut indent = String::new();
        for key in path.iter().chain(&["extraArgs"]) {
            text = format!("{text}{indent}{key}:\n");
            indent.push_str("  ");
        }
        for arg in own {
            text = format!("{text}{}", entry(api, &indent, arg, "\n"));
        }
    }
    text
}

fn entry(api: Api, indent: &str, arg: &Arg, end: &str) -> String {
    let value = quoted(&arg.value);
    match api {
        Api::Map(_) => format!("{indent}{}: {value}{end}", arg.name),
        Api::List => format!(
            "{indent}- name: {}{end}{indent}  value: {value}{end}",
            arg.name
        ),
    }
}

/// A ClusterConfiguration as found, edited.
#[derive(Clone, Debug)]
pub(super) struct ClusterConfiguration {
    text: String,
    documents: Vec<Value>,
    at: usize,
    api: Api,
}

impl ClusterConfiguration {
    /// Reads the file: the configuration alone, among other documents, or inside the ConfigMap
    /// `kubeadm-config` as `kubectl get -o yaml` prints it.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let all = documents(text)?;
        let inner = all.iter().find_map(|document| {
            (document.get("kind")?.as_str()? == "ConfigMap")
                .then(|| document.get("data")?.get("ClusterConfiguration")?.as_str())?
        });
        if let Some(inner) = inner {
            return Self::parse_plain(inner);
        }
        Self::parse_plain(text)
    }

    fn parse_plain(text: &str) -> Result<Self, Refusal> {
        let documents = documents(text)?;
        let at = documents
            .iter()
            .position(|d| d.get("kind").and_then(Value::as_str) == Some("ClusterConfiguration"))
            .ok_or_else(|| Refusal::new("no ClusterConfiguration in it"))?;
        let version = documents
            .get(at)
            .and_then(|d| d.get("apiVersion")?.as_str())
            .unwrap_or_default();
        let api = match version.strip_prefix("kubeadm.k8s.io/") {
            Some("v1beta4") => Api::List,
            Some("v1beta3") => Api::Map("kubeadm.k8s.io/v1beta3"),
            Some("v1beta2") => Api::Map("kubeadm.k8s.io/v1beta2"),
            Some("v1beta1") => Api::Map("kubeadm.k8s.io/v1beta1"),
            _ => {
                return Err(Refusal::new(format!(
                    "apiVersion `{version}` is not one whose extraArgs are known (v1beta1 to v1beta4)"
                )));
            }
        };
        Ok(ClusterConfiguration {
            text: text.to_owned(),
            documents,
            at,
            api,
        })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The Kubernetes version that it names.
    pub(super) fn kubernetes(&self) -> Option<Version> {
        self.documents
            .get(self.at)?
            .get("kubernetesVersion")?
            .as_str()
            .and_then(Version::parse)
    }

    /// Whether etcd is none that kubeadm runs.
    pub(super) fn is_external(&self) -> bool {
        self.documents
            .get(self.at)
            .and_then(|d| d.get("etcd")?.get("external"))
            .is_some_and(|external| !external.is_null())
    }

    fn extra_args(&self, component: &str) -> Option<&Value> {
        section(component)?
            .iter()
            .try_fold(self.documents.get(self.at)?, |value, key| value.get(*key))?
            .get("extraArgs")
    }

    /// The value of a flag.
    pub(super) fn get(&self, component: &str, name: &str) -> Option<String> {
        match (self.extra_args(component)?, self.api) {
            (Value::Mapping(map), Api::Map(_)) => map.get(name)?.as_str().map(str::to_owned),
            (Value::Sequence(list), Api::List) => list
                .iter()
                .rev()
                .find(|one| one.get("name").and_then(Value::as_str) == Some(name))?
                .get("value")?
                .as_str()
                .map(str::to_owned),
            _ => None,
        }
    }

    /// Sets a flag, and proves it.
    pub(super) fn set(&mut self, arg: &Arg) -> Result<(), Refusal> {
        if self.get(&arg.component, &arg.name).as_deref() == Some(arg.value.as_str()) {
            return Ok(());
        }
        let Some(path) = section(&arg.component) else {
            return Err(Refusal::new(format!(
                "kubeadm does not start {}",
                arg.component
            )));
        };
        if arg.component == "etcd" && self.is_external() {
            return Err(Refusal::new(
                "etcd is external: kubeadm does not set its flags",
            ));
        }
        let wanted = self.wanted(path, arg)?;
        let text = rewrite(&self.text, &wanted).ok_or_else(|| Refusal {
            why: format!("extraArgs of {} cannot be changed alone", path.join(".")),
            place: self
                .text
                .find(&format!("{}:", path.first().copied().unwrap_or_default()))
                .map(|at| super::yaml::place(&self.text, at)),
        })?;
        self.text = text;
        self.documents = wanted;
        Ok(())
    }

    /// Takes a flag out, and proves it.
    pub(super) fn remove(&mut self, component: &str, name: &str) -> Result<(), Refusal> {
        if self.get(component, name).is_none() {
            return Ok(());
        }
        let path = section(component).unwrap_or_default();
        let mut wanted = self.documents.clone();
        let args = wanted.get_mut(self.at).and_then(|document| {
            path.iter()
                .chain(&["extraArgs"])
                .try_fold(document, |value, key| value.get_mut(*key))
        });
        match args {
            Some(Value::Mapping(map)) => {
                map.remove(name);
            }
            Some(Value::Sequence(list)) => {
                list.retain(|one| one.get("name").and_then(Value::as_str) != Some(name));
            }
            _ => {}
        }
        self.text = rewrite(&self.text, &wanted).ok_or_else(|| Refusal {
            why: format!("{name} cannot be taken out of extraArgs alone"),
            place: self
                .text
                .find(name)
                .map(|at| super::yaml::place(&self.text, at)),
        })?;
        self.documents = wanted;
        Ok(())
    }

    /// The documents with the flag set, as plain values.
    fn wanted(&self, path: &[&str], arg: &Arg) -> Result<Vec<Value>, Refusal> {
        let mut wanted = self.documents.clone();
        let mut slot = wanted
            .get_mut(self.at)
            .ok_or_else(|| Refusal::new("no ClusterConfiguration in it"))?;
        for key in path {
            slot = child(slot, key)?;
        }
        let args = child(slot, "extraArgs")?;
        match self.api {
            Api::Map(_) => {
                if args.is_null() {
                    *args = Value::Mapping(Mapping::new());
                }
                args.as_mapping_mut()
                    .ok_or_else(|| Refusal::new("extraArgs is no map"))?
                    .insert(
                        Value::from(arg.name.as_str()),
                        Value::from(arg.value.as_str()),
                    );
            }
            Api::List => {
                // `child` made an empty map where there was nothing.
                if args.is_null() || args.as_mapping().is_some_and(Mapping::is_empty) {
                    *args = Value::Sequence(Vec::new());
                }
                let list = args
                    .as_sequence_mut()
                    .ok_or_else(|| Refusal::new("extraArgs is no list"))?;
                let is_it =
                    |one: &&mut Value| one.get("name").and_then(Value::as_str) == Some(&arg.name);
                let mut have: Vec<&mut Value> = list.iter_mut().filter(is_it).collect();
                match have.as_mut_slice() {
                    [] => list.push(Value::Mapping(pair(arg))),
                    [one] => **one = Value::Mapping(pair(arg)),
                    _ => {
                        return Err(Refusal::new(format!(
                            "{} is there more than once",
                            arg.name
                        )));
                    }
                }
            }
        }
        Ok(wanted)
    }
}

fn pair(arg: &Arg) -> Mapping {
    let mut map = Mapping::new();
    map.insert(Value::from("name"), Value::from(arg.name.as_str()));
    map.insert(Value::from("value"), Value::from(arg.value.as_str()));
    map
}

/// A key's value in a map, made when it lacks.
fn child<'a>(value: &'a mut Value, key: &str) -> Result<&'a mut Value, Refusal> {
    if value.is_null() {
        *value = Value::Mapping(Mapping::new());
    }
    let map = value
        .as_mapping_mut()
        .ok_or_else(|| Refusal::new(format!("what holds {key} is no map")))?;
    Ok(map.entry(Value::from(key)).or_insert(Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arg(component: &str, name: &str, value: &str) -> Arg {
        Arg {
            component: component.to_owned(),
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    const V3: &str = "\
# the cluster
apiVersion: kubeadm.k8s.io/v1beta3
kind: ClusterConfiguration
apiServer:
  # why
  extraArgs:
    authorization-mode: Node,RBAC
    max-requests-inflight: \"400\" # default
  timeoutForControlPlane: 4m0s
controllerManager: {}
etcd:
  local:
    dataDir: /var/lib/etcd
kubernetesVersion: v1.28.3
scheduler: {}
---
apiVersion: kubeadm.k8s.io/v1beta3
kind: InitConfiguration
";

    const V4: &str = "\
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
apiServer:
  extraArgs:
  - name: authorization-mode
    value: Node,RBAC
etcd:
  local:
    extraArgs:
      - name: quota-backend-bytes
        value: \"2147483648\"
";

    #[test]
    fn a_flag_is_taken_out_again() {
        for text in [V3, V4] {
            let mut config = ClusterConfiguration::parse(text).unwrap();
            for new in [
                arg("kube-controller-manager", "kube-api-qps", "100"),
                arg("kube-apiserver", "event-ttl", "1h0m0s"),
            ] {
                config.set(&new).unwrap();
                config.remove(&new.component, &new.name).unwrap();
                assert_eq!(config.get(&new.component, &new.name), None);
            }
            let have = config.get("kube-apiserver", "authorization-mode");
            assert_eq!(have.as_deref(), Some("Node,RBAC"));
        }
        let mut config = ClusterConfiguration::parse(V3).unwrap();
        config
            .remove("kube-apiserver", "max-requests-inflight")
            .unwrap();
        let gone = V3.replace("    max-requests-inflight: \"400\" # default\n", "");
        assert_eq!(config.text(), gone);
        config
            .remove("kube-apiserver", "max-requests-inflight")
            .unwrap();
        assert_eq!(config.text(), gone);
    }

    #[test]
    fn maps_and_lists_in_every_state() {
        let cases = [
            (V3, "kube-apiserver", "event-ttl"),
            (V3, "kube-apiserver", "max-requests-inflight"),
            (V3, "kube-controller-manager", "kube-api-qps"),
            (V3, "etcd", "quota-backend-bytes"),
            (V3, "kube-scheduler", "v"),
            (V4, "kube-apiserver", "event-ttl"),
            (V4, "kube-apiserver", "authorization-mode"),
            (V4, "kube-controller-manager", "kube-api-qps"),
            (V4, "etcd", "quota-backend-bytes"),
            (V4, "etcd", "snapshot-count"),
        ];
        for (text, component, name) in cases {
            let mut config = ClusterConfiguration::parse(text).unwrap();
            let arg = arg(component, name, "1000");
            config
                .set(&arg)
                .unwrap_or_else(|err| panic!("{component} {name}: {err}"));
            let again = ClusterConfiguration::parse(config.text()).unwrap();
            assert_eq!(
                again.get(component, name).as_deref(),
                Some("1000"),
                "{component} {name}"
            );
            for comment in text
                .lines()
                .filter(|l| l.contains('#') && !l.contains(name))
            {
                assert!(config.text().contains(comment), "{comment}");
            }
            let once = config.text().to_owned();
            config.set(&arg).unwrap();
            assert_eq!(config.text(), once, "twice is as once");
        }
    }

    #[test]
    fn flow_maps_and_crlf() {
        let text = "apiVersion: kubeadm.k8s.io/v1beta3\r\nkind: ClusterConfiguration\r\napiServer: {extraArgs: {a: \"1\"}} # x\r\n";
        let mut config = ClusterConfiguration::parse(text).unwrap();
        config.set(&arg("kube-apiserver", "b", "2")).unwrap();
        assert!(
            config.text().contains("{a: \"1\", b: \"2\"}} # x\r\n"),
            "{}",
            config.text()
        );
        config.set(&arg("etcd", "c", "3")).unwrap();
        assert!(!config.text().replace("\r\n", "").contains('\n'));
    }

    #[test]
    fn the_config_map_that_kubectl_prints() {
        let text = "apiVersion: v1\nkind: ConfigMap\ndata:\n  ClusterConfiguration: |\n    apiVersion: kubeadm.k8s.io/v1beta4\n    kind: ClusterConfiguration\n    kubernetesVersion: v1.31.0\n";
        let mut config = ClusterConfiguration::parse(text).unwrap();
        assert_eq!(config.kubernetes(), Some(Version::new(1, 31, 0)));
        config.set(&arg("kube-apiserver", "b", "2")).unwrap();
        assert!(
            config
                .text()
                .starts_with("apiVersion: kubeadm.k8s.io/v1beta4")
        );
    }

    #[test]
    fn external_etcd_and_unknown_versions_are_refused() {
        let text = "apiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\netcd:\n  external:\n    endpoints: [https://10.0.0.9:2379]\n";
        let mut config = ClusterConfiguration::parse(text).unwrap();
        assert!(config.set(&arg("etcd", "a", "1")).is_err());
        assert!(config.set(&arg("kube-apiserver", "a", "1")).is_ok());
        assert!(
            ClusterConfiguration::parse(
                "apiVersion: kubeadm.k8s.io/v1beta9\nkind: ClusterConfiguration\n"
            )
            .is_err()
        );
    }

    #[test]
    fn fragments_read_back_in_the_version_that_fits() {
        let args = [arg("kube-apiserver", "a", "1"), arg("etcd", "b", "x#y;z")];
        for (version, apis) in [
            (Some(Version::new(1, 13, 2)), vec!["kubeadm.k8s.io/v1beta1"]),
            (Some(Version::new(1, 15, 0)), vec!["kubeadm.k8s.io/v1beta2"]),
            (Some(Version::new(1, 20, 6)), vec!["kubeadm.k8s.io/v1beta2"]),
            (Some(Version::new(1, 30, 0)), vec!["kubeadm.k8s.io/v1beta3"]),
            (Some(Version::new(1, 31, 0)), vec!["kubeadm.k8s.io/v1beta4"]),
            (
                None,
                vec!["kubeadm.k8s.io/v1beta3", "kubeadm.k8s.io/v1beta4"],
            ),
        ] {
            let found = Api::for_kubernetes(version);
            assert_eq!(found.iter().map(|a| a.version()).collect::<Vec<_>>(), apis);
            for api in found {
                let config = ClusterConfiguration::parse(&fragment(api, &args)).unwrap();
                for arg in &args {
                    assert_eq!(
                        config.get(&arg.component, &arg.name).as_deref(),
                        Some(arg.value.as_str())
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn damaged_configurations_never_panic(cut in 0usize..500, junk in "[ -~\n]{0,6}") {
            let at = V3.char_indices().map(|(i, _)| i).nth(cut).unwrap_or(V3.len());
            let (before, after) = V3.split_at(at);
            let text = format!("{before}{junk}{after}");
            if let Ok(mut config) = ClusterConfiguration::parse(&text) {
                let before = config.documents.clone();
                if config.set(&arg("etcd", "a", "1")).is_ok() {
                    prop_assert_eq!(config.get("etcd", "a"), Some("1".to_owned()));
                } else {
                    prop_assert_eq!(config.documents, before);
                }
            }
        }
    }
}
