//! Values of a static pod beside its flags: probes and resources, set or taken out one by one.

use yaml_serde::Value;

use super::pod::{Pod, container_mut};
use super::yaml::Refusal;

/// What one key of the container is to be; `None` takes it out.
pub(super) type Wish = (&'static [&'static str], Option<Value>);

impl Pod {
    /// Whether every key already is as wished.
    pub(super) fn is_so(&self, wishes: &[Wish]) -> bool {
        wishes
            .iter()
            .all(|(path, value)| self.get(path) == value.as_ref())
    }

    /// Sets or takes out every key, or none of them.
    pub(super) fn set_values(&mut self, wishes: &[Wish]) -> Result<(), Refusal> {
        let saved = self.clone();
        for (path, value) in wishes {
            let done = match value {
                Some(value) => self.set_value(path, value),
                None => self.remove_value(path),
            };
            if done.is_err() {
                *self = saved;
                return done;
            }
        }
        Ok(())
    }

    /// Sets one scalar of the container below a map that is there, and proves it.
    pub(super) fn set_value(&mut self, path: &[&str], value: &Value) -> Result<(), Refusal> {
        if self.get(path) == Some(value) {
            return Ok(());
        }
        let Some((leaf, parents)) = path.split_last() else {
            return Err(Refusal::new("no key to set"));
        };
        let mut wanted = self.documents.clone();
        container_mut(&mut wanted, self.place)
            .and_then(|at| parents.iter().try_fold(at, |at, key| at.get_mut(*key)))
            .and_then(Value::as_mapping_mut)
            .ok_or_else(|| Refusal::new(format!("no {} to set {leaf} in", parents.join("."))))?
            .insert(Value::from(*leaf), value.clone());
        self.take(
            wanted,
            &format!("{} cannot be changed alone", path.join(".")),
        )
    }

    /// Takes one key of the container out, with its map when nothing else is in that.
    pub(super) fn remove_value(&mut self, path: &[&str]) -> Result<(), Refusal> {
        if self.get(path).is_none() {
            return Ok(());
        }
        let mut depth = path.len();
        while depth > 1
            && path
                .get(..depth - 1)
                .and_then(|path| self.get(path))
                .and_then(Value::as_mapping)
                .is_some_and(|map| map.len() == 1)
        {
            depth -= 1;
        }
        let Some((leaf, parents)) = path.get(..depth).and_then(<[&str]>::split_last) else {
            return Err(Refusal::new("no key to take out"));
        };
        let mut wanted = self.documents.clone();
        container_mut(&mut wanted, self.place)
            .and_then(|at| parents.iter().try_fold(at, |at, key| at.get_mut(*key)))
            .and_then(Value::as_mapping_mut)
            .ok_or_else(|| Refusal::new(format!("no {} to take {leaf} out of", parents.join("."))))?
            .remove(*leaf);
        self.take(
            wanted,
            &format!("{} cannot be taken out alone", path.join(".")),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "\
spec:
  containers:
  - name: etcd
    command: [etcd, --name=a]
    livenessProbe:
      failureThreshold: 8 # kubeadm
      httpGet:
        path: /health
        port: 2381
      timeoutSeconds: 15
    startupProbe:
      failureThreshold: 8
      httpGet:
        path: /health
    resources:
      limits:
        cpu: 500m
      requests:
        cpu: 100m
";

    fn pod() -> Pod {
        Pod::parse(POD, "etcd").unwrap()
    }

    #[test]
    fn one_value_is_changed_and_the_twin_is_not() {
        let mut pod = pod();
        pod.set_value(&["livenessProbe", "failureThreshold"], &Value::from(24))
            .unwrap();
        pod.set_value(
            &["livenessProbe", "httpGet", "path"],
            &Value::from("/livez"),
        )
        .unwrap();
        let wanted = POD.replacen("failureThreshold: 8 #", "failureThreshold: 24 #", 1);
        assert_eq!(pod.text(), wanted.replacen("/health", "/livez", 1));
        pod.set_value(
            &["livenessProbe", "httpGet", "path"],
            &Value::from("/health?exclude=NOSPACE&serializable=true"),
        )
        .unwrap();
        assert!(
            pod.text()
                .contains("path: /health?exclude=NOSPACE&serializable=true\n")
        );
    }

    #[test]
    fn a_key_that_lacks_is_added_below_its_map() {
        let mut pod = pod();
        pod.set_value(&["startupProbe", "timeoutSeconds"], &Value::from(15))
            .unwrap();
        assert_eq!(
            pod.text(),
            POD.replace(
                "        path: /health\n    resources",
                "        path: /health\n      timeoutSeconds: 15\n    resources"
            )
        );
        assert!(
            pod.set_value(&["readinessProbe", "timeoutSeconds"], &Value::from(15))
                .is_err()
        );
    }

    #[test]
    fn a_limit_goes_with_its_map_and_the_request_stays() {
        let mut pod = pod();
        pod.set_values(&[(&["resources", "limits", "cpu"], None)])
            .unwrap();
        assert_eq!(
            pod.text(),
            POD.replace("      limits:\n        cpu: 500m\n", "")
        );
        assert!(pod.is_so(&[(&["resources", "limits", "cpu"], None)]));
        let two = POD.replace(
            "        cpu: 500m\n",
            "        cpu: 500m\n        memory: 1Gi\n",
        );
        let mut pod = Pod::parse(&two, "etcd").unwrap();
        pod.set_values(&[(&["resources", "limits", "cpu"], None)])
            .unwrap();
        assert_eq!(pod.text(), two.replace("        cpu: 500m\n", ""));
    }

    #[test]
    fn flow_maps_and_all_or_nothing() {
        let flow = "spec:\n  containers:\n  - {name: etcd, command: [etcd], livenessProbe: {failureThreshold: 8, httpGet: {path: /health}}}\n";
        let mut pod = Pod::parse(flow, "etcd").unwrap();
        pod.set_values(&[
            (
                &["livenessProbe", "failureThreshold"],
                Some(Value::from(24)),
            ),
            (&["livenessProbe", "timeoutSeconds"], Some(Value::from(15))),
        ])
        .unwrap();
        assert!(
            pod.text()
                .contains("{failureThreshold: 24, httpGet: {path: /health}, timeoutSeconds: 15}")
        );
        let before = pod.text().to_owned();
        let done = pod.set_values(&[
            (&["livenessProbe", "failureThreshold"], Some(Value::from(9))),
            (&["startupProbe", "failureThreshold"], Some(Value::from(9))),
        ]);
        assert!(done.is_err());
        assert_eq!(pod.text(), before);
    }
}
