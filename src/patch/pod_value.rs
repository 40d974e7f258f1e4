//! Values of a static pod beside its flags: probes and resources, set or taken out one by one.

use yaml_serde::Value;

use super::pod::{Pod, container_mut};
use super::yaml::{Refusal, indent_of, line_end, lines, quoted, replaced, scalar};

/// What one key of the container is to be; `None` takes it out.
pub(super) type Wish = (&'static [&'static str], Option<Value>);

/// A value as YAML text.
pub(super) fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        other => yaml_serde::to_string(other)
            .unwrap_or_default()
            .trim_end()
            .to_owned(),
    }
}

/// Whether a line is `key: …`, in a list or not.
fn is_key(line: &str, key: &str) -> bool {
    line.trim_start_matches([' ', '-'])
        .strip_prefix(key)
        .is_some_and(|rest| rest.trim_start().starts_with(':'))
}

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
        let parent = container_mut(&mut wanted, self.place)
            .and_then(|at| parents.iter().try_fold(at, |at, key| at.get_mut(*key)))
            .and_then(Value::as_mapping_mut)
            .ok_or_else(|| Refusal::new(format!("no {} to set {leaf} in", parents.join("."))))?;
        let old = parent.insert(Value::from(*leaf), value.clone());
        let new = inline(value);
        let mut candidates = Vec::new();
        match old {
            Some(old) => {
                let plain = inline(&old);
                let text = old.as_str().map_or_else(|| plain.clone(), str::to_owned);
                for old in [plain, text.clone(), quoted(&text), format!("'{text}'")] {
                    for (start, line) in lines(&self.text).filter(|(_, line)| is_key(line, leaf)) {
                        for line in replaced(line, &old, &new) {
                            candidates.extend(self.with_line(start, &line));
                        }
                    }
                    // A flow map holds its keys on one line.
                    candidates.extend(replaced(
                        &self.text,
                        &format!("{leaf}: {old}"),
                        &format!("{leaf}: {new}"),
                    ));
                }
            }
            None => {
                let end = line_end(&self.text);
                let parent = parents.last().copied().unwrap_or_default();
                for (start, line) in lines(&self.text).filter(|(_, line)| is_key(line, parent)) {
                    let base = line.len() - line.trim_start_matches([' ', '-']).len();
                    for indent in [base + 2, base + 4, indent_of(line) + 2] {
                        let at = start + line.len();
                        if let Some((before, after)) = self.text.split_at_checked(at) {
                            let new = format!("{}{leaf}: {new}{end}", " ".repeat(indent));
                            candidates.push(format!("{before}{new}{after}"));
                        }
                    }
                }
                candidates.extend(replaced(
                    &self.text,
                    &format!("{parent}: {{"),
                    &format!("{parent}: {{{leaf}: {new}, "),
                ));
            }
        }
        self.take(
            wanted,
            candidates,
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
        let count = path.len() - depth + 1;
        let all: Vec<(usize, &str)> = lines(&self.text).collect();
        let candidates = all
            .iter()
            .enumerate()
            .filter(|(_, (_, line))| is_key(line, leaf))
            .filter_map(|(n, (start, _))| {
                let (last, line) = all.get(n + count - 1)?;
                let before = self.text.get(..*start)?;
                let after = self.text.get(last + line.len()..)?;
                Some(format!("{before}{after}"))
            })
            .collect();
        self.take(
            wanted,
            candidates,
            &format!("{} cannot be taken out alone", path.join(".")),
        )
    }

    /// The text with another line at the byte where one begins.
    fn with_line(&self, start: usize, line: &str) -> Option<String> {
        let before = self.text.get(..start)?;
        let rest = self.text.get(start..)?;
        let old = rest.split_inclusive('\n').next()?;
        Some(format!("{before}{line}{}", rest.get(old.len()..)?))
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
                "startupProbe:\n",
                "startupProbe:\n      timeoutSeconds: 15\n"
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
                .contains("{timeoutSeconds: 15, failureThreshold: 24, httpGet")
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
