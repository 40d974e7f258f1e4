//! A FlowSchema and a PriorityLevelConfiguration for one client, in the API version of the release.

use yaml_serde::Value;

use crate::catalog::releases::Version;

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
  # Below 9000, where service-accounts matches, and above the system's own.
  matchingPrecedence: 1000
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
            let text = objects("limit-x", user, 10, Version::minor(1, 30)).unwrap();
            assert_eq!(documents(&text).unwrap().len(), 2);
        }
    }
}
