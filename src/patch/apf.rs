//! A FlowSchema and a PriorityLevelConfiguration for one client, in the API version of the release.

use std::collections::BTreeSet;

use yaml_serde::Value;

use crate::catalog::releases::{Version, of_image};

use super::diff::safe_name;
use super::model::{Emitter, PatchFile, PatchInput, PatchSet, Shown};
use super::pod::Pod;
use super::steps;
use super::yaml::{documents, scalar};

/// The API version that a release serves and its name for shares.
pub(super) fn api(version: Version) -> Option<(&'static str, &'static str)> {
    match version.minor {
        _ if version.major != 1 => None,
        0..20 => None,
        20..23 => Some(("v1beta1", "assuredConcurrencyShares")),
        23..26 => Some(("v1beta2", "assuredConcurrencyShares")),
        26..29 => Some(("v1beta3", "nominalConcurrencyShares")),
        _ => Some(("v1", "nominalConcurrencyShares")),
    }
}

/// The two objects, read back.
pub(super) fn objects(
    name: &str,
    user: &str,
    shares: u32,
    precedence: u32,
    version: Version,
) -> Result<String, String> {
    let (api, field) = api(version)
        .ok_or_else(|| format!("Kubernetes {version} has no priority levels by default"))?;
    // Borrowing came with 1.26; without a limit on it the level would take what others lend.
    let borrowing = if version >= Version::minor(1, 26) {
        "    borrowingLimitPercent: 0\n    lendablePercent: 0\n"
    } else {
        ""
    };
    let subject = match user
        .strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'))
    {
        Some((namespace, account)) => format!(
            "    - kind: ServiceAccount\n      serviceAccount:\n        name: {}\n        namespace: {}\n",
            scalar(account),
            scalar(namespace)
        ),
        None => format!(
            "    - kind: User\n      user:\n        name: {}\n",
            scalar(user)
        ),
    };
    let name = scalar(name);
    let text = format!(
        "\
# One client in a queue of its own. A new level takes a little from every other one.
apiVersion: flowcontrol.apiserver.k8s.io/{api}
kind: PriorityLevelConfiguration
metadata:
  name: {name}
spec:
  type: Limited
  limited:
    {field}: {shares}
{borrowing}    limitResponse:
      type: Queue
      queuing:
        queues: 16
        handSize: 4
        queueLengthLimit: 50
---
apiVersion: flowcontrol.apiserver.k8s.io/{api}
kind: FlowSchema
metadata:
  name: {name}
spec:
  # Before the schema that takes this client's requests now, and after those that come before it.
  matchingPrecedence: {precedence}
  priorityLevelConfiguration:
    name: {name}
  distinguisherMethod:
    type: ByUser
  rules:
  - subjects:
{subject}    resourceRules:
    - verbs: [\"*\"]
      apiGroups: [\"*\"]
      resources: [\"*\"]
      clusterScope: true
      namespaces: [\"*\"]
"
    );
    let read = documents(&text).map_err(|refusal| refusal.to_string())?;
    let shares_read = read
        .first()
        .and_then(|d| d.get("spec")?.get("limited")?.get(field)?.as_u64());
    let subject_read = read.get(1).and_then(|d| {
        let subject = d
            .get("spec")?
            .get("rules")?
            .get(0)?
            .get("subjects")?
            .get(0)?;
        let account = subject.get("serviceAccount");
        match account {
            Some(account) => Some(format!(
                "system:serviceaccount:{}:{}",
                account.get("namespace")?.as_str()?,
                account.get("name")?.as_str()?
            )),
            None => subject
                .get("user")?
                .get("name")
                .and_then(Value::as_str)
                .map(str::to_owned),
        }
    });
    if shares_read == Some(u64::from(shares)) && subject_read.as_deref() == Some(user) {
        Ok(text)
    } else {
        Err("the objects do not read back as meant".to_owned())
    }
}

/// Whether objects of these kinds and names that say all of this are among the files that were
/// given, as `kubectl get flowschemas,prioritylevelconfigurations -o yaml` prints them.
pub(super) fn present(content: &str, input: &PatchInput<'_>) -> bool {
    let wanted = documents(content).unwrap_or_default();
    let mut have = Vec::new();
    for (_, text) in input.nodes.iter().flat_map(|node| &node.files) {
        for document in documents(text).unwrap_or_default() {
            match document.get("items").and_then(Value::as_sequence) {
                Some(items) => have.extend(items.iter().cloned()),
                None => have.push(document),
            }
        }
    }
    let named = |object: &Value| {
        let name = object.get("metadata")?.get("name")?.as_str()?;
        Some((object.get("kind")?.as_str()?.to_owned(), name.to_owned()))
    };
    !wanted.is_empty()
        && wanted.iter().all(|wanted| {
            have.iter().any(|have| {
                named(have) == named(wanted)
                    && wanted
                        .get("spec")
                        .zip(have.get("spec"))
                        .is_some_and(|(w, h)| says(h, w))
            })
        })
}

/// Whether a value says all that another one says; the API server adds defaults.
fn says(have: &Value, wanted: &Value) -> bool {
    match (have, wanted) {
        (Value::Mapping(have), Value::Mapping(wanted)) => wanted
            .iter()
            .all(|(key, value)| have.get(key).is_some_and(|have| says(have, value))),
        (Value::Sequence(have), Value::Sequence(wanted)) => {
            have.len() == wanted.len() && have.iter().zip(wanted).all(|(h, w)| says(h, w))
        }
        _ => have == wanted,
    }
}

/// Adds the objects of every advice that asks for a level of its own; gives what was carried out.
pub(super) fn add(
    input: &PatchInput<'_>,
    version: Option<Version>,
    set: &mut PatchSet,
) -> BTreeSet<String> {
    let mut done = BTreeSet::new();
    for advice in input.advices.iter().filter(|advice| input.wants(advice)) {
        let detail = |name: &str| advice.details.get(name).cloned().unwrap_or_default();
        let level = detail("level");
        if level.is_empty() {
            continue;
        }
        // Said better here than by an emitter that knows flags only.
        set.shown.retain(|shown| shown.advice != advice.id);
        let made = version
            .ok_or_else(|| {
                "the Kubernetes version, and with it the API version, is not known: give \
                 --kubernetes-version"
                    .to_owned()
            })
            .and_then(|version| {
                let shares = detail("shares").parse().unwrap_or(10);
                let precedence = detail("precedence").parse().unwrap_or(1000);
                objects(&level, &detail("user"), shares, precedence, version)
            });
        match made {
            Ok(content) if present(&content, input) => set
                .already
                .push(format!("FlowSchema and PriorityLevelConfiguration {level}")),
            Ok(content) => {
                set.files.push(PatchFile {
                    path: format!("apf/{}.yaml", safe_name(&level)),
                    content,
                    what: "objects for `kubectl apply`".to_owned(),
                    advice: vec![advice.id.clone()],
                });
                done.insert(advice.id.clone());
            }
            Err(why) => set.shown.push(Shown {
                advice: advice.id.clone(),
                on: "FlowSchema".to_owned(),
                why,
            }),
        }
    }
    done
}

/// What to do with the objects.
pub(super) const HOW: &str = "`kubectl apply -f apf/`. It acts at once and restarts nothing.";

/// The emitter for clusters whose control plane belongs to somebody else: these objects are all
/// that can be set there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Apf;

impl Emitter for Apf {
    fn name(&self) -> &'static str {
        "apf"
    }

    fn emit(&self, input: &PatchInput<'_>) -> PatchSet {
        let mut set = PatchSet::default();
        for advice in input.advices.iter().filter(|advice| input.wants(advice)) {
            set.shown.push(Shown {
                advice: advice.id.clone(),
                on: advice.target.clone(),
                why: "no priority level: another target writes it, or nobody can".to_owned(),
            });
        }
        let version = input.kubernetes.or_else(|| {
            let images = input.nodes.iter().flat_map(|node| &node.files);
            images
                .filter_map(|(_, text)| Pod::parse(text, "kube-apiserver").ok())
                .filter_map(|pod| of_image(pod.image()?))
                .min()
        });
        let done = add(input, version, &mut set);
        if done.is_empty() {
            return set;
        }
        let content = steps::short(input, &set, &done, HOW, "`kubectl delete -f apf/`.");
        set.lead(content, done);
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_version_follows_the_release() {
        for (minor, version, field) in [
            (20, "v1beta1", "assuredConcurrencyShares"),
            (25, "v1beta2", "assuredConcurrencyShares"),
            (26, "v1beta3", "nominalConcurrencyShares"),
            (28, "v1beta3", "nominalConcurrencyShares"),
            (29, "v1", "nominalConcurrencyShares"),
            (36, "v1", "nominalConcurrencyShares"),
        ] {
            assert_eq!(
                api(Version::minor(1, minor)),
                Some((version, field)),
                "1.{minor}"
            );
            let text = objects(
                "limit-x",
                "system:serviceaccount:a:b",
                10,
                1000,
                Version::minor(1, minor),
            )
            .unwrap();
            assert!(text.contains(field), "{text}");
            assert_eq!(text.contains("borrowing"), minor >= 26);
        }
        assert_eq!(api(Version::minor(1, 19)), None);
    }

    #[test]
    fn any_user_reads_back() {
        for user in [
            "alice",
            "system:serviceaccount:kube-system:x",
            "CN=x, O=\"y\"",
            "no",
        ] {
            let text = objects("limit-x", user, 10, 190, Version::minor(1, 30)).unwrap();
            assert!(text.contains("matchingPrecedence: 190"), "{text}");
            assert_eq!(documents(&text).unwrap().len(), 2);
        }
    }
}
