//! Which controller a workload, a component or an image is.

use super::{Controller, controllers, is_mentioned};
use crate::catalog::settings::Component;

/// Whether a text is so long and may be one that Kubernetes made up.
fn generated(part: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
    lengths.contains(&part.len())
        && part
            .bytes()
            // Kubernetes leaves vowels out, so that no word comes about.
            .all(|b| b.is_ascii_digit() || (b.is_ascii_lowercase() && !b"aeiou".contains(&b)))
}

/// Whether a text is the hash of a pod template: a number, each of whose digits stands as one of ten
/// characters (Kubernetes: `rand.SafeEncodeString` of a decimal number of 32 bits).
fn is_template_hash(part: &str) -> bool {
    (6..=10).contains(&part.len())
        && part.bytes().all(|b| b"456789bcdf".contains(&b))
        && part.bytes().any(|b| b.is_ascii_digit())
        && part.bytes().any(|b| b.is_ascii_lowercase())
}

/// The name before a ReplicaSet's hash or a Job's minute and the pod's own end behind it, if it ends
/// with both.
fn before_pair(name: &str) -> Option<&str> {
    let (rest, last) = name.rsplit_once('-')?;
    let (base, hash) = rest.rsplit_once('-').unwrap_or(("", rest));
    let own = last.len() == 5
        && last
            .bytes()
            .all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
    let pair = own && is_template_hash(hash)
        || generated(last, 5..=5) && generated(hash, 8..=10) && hash.len() < rest.len()
        || generated(last, 5..=5) && hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_digit());
    pair.then_some(base)
}

/// Whether a text is all that a Deployment, a Job or a StatefulSet puts behind its name to call a pod:
/// `7d4b9c6f5d-x2x9z`, `28391040-x2x9z`, `0`.
pub fn is_generated(end: &str) -> bool {
    let ordinal = !end.is_empty() && end.bytes().all(|b| b.is_ascii_digit());
    ordinal || before_pair(end) == Some("")
}

/// Whether a pod's name ends as a Deployment or a Job makes it.
pub fn has_generated_end(name: &str) -> bool {
    before_pair(name).is_some()
}

/// Generated ends of pod names: `-7d4b9c6f5d-x2x9z`, `-0`, `-x2x9z`.
fn without_generated(name: &str) -> &str {
    let Some((rest, last)) = name.rsplit_once('-') else {
        return name;
    };
    if !last.is_empty() && last.len() <= 3 && last.bytes().all(|b| b.is_ascii_digit()) {
        return rest;
    }
    match before_pair(name) {
        Some(base) if !base.is_empty() => base,
        _ if generated(last, 5..=5) => rest,
        _ => name,
    }
}

/// The component that a pod's container is: its workload's name, with the container's where that
/// is not the workload's main one. As the readers of manifests name it.
pub fn component_of_pod(pod: &str, container: &str) -> String {
    let workload = without_generated(pod);
    let main = container.is_empty()
        || matches!(container, "manager" | "controller")
        || workload.contains(container)
        || container.contains(workload);
    if main {
        workload.to_owned()
    } else {
        format!("{workload}/{container}")
    }
}

/// Whether a pattern with `*` is part of a text.
fn part_of(pattern: &str, text: &str) -> bool {
    let mut rest = text;
    for piece in pattern.split('*') {
        let Some(at) = rest.find(piece) else {
            return false;
        };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
    }
    true
}

/// The controller of a workload's, a component's or a pod's name. `DEPLOYMENT/CONTAINER` is read
/// by the container where that is the one with the knobs.
fn by_name(name: &str) -> Option<&'static Controller> {
    let (workload, container) = name.split_once('/').unwrap_or((name, ""));
    let exact = |wanted: &str| {
        if !is_mentioned(wanted) {
            return None;
        }
        controllers().iter().find(|controller| {
            controller.names.iter().any(|have| have == wanted)
                && (container.is_empty()
                    || controller
                        .container
                        .as_deref()
                        .is_none_or(|own| own == container))
        })
    };
    exact(workload).or_else(|| {
        let base = without_generated(workload);
        (base != workload).then(|| exact(base)).flatten()
    })
}

/// The controller of an image, where its path names one.
fn by_image(image: &str) -> Option<&'static Controller> {
    let path = image.split('@').next().unwrap_or(image);
    // The tag follows the last colon after the last slash.
    let path = match path.rsplit_once(':') {
        Some((before, tag)) if !tag.contains('/') => before,
        _ => path,
    };
    controllers().iter().find(|controller| {
        controller.images.iter().any(|pattern| {
            // A pattern ends where the path ends, or the image is another one of the same family.
            part_of(pattern, path)
                && (path.ends_with(pattern.rsplit('*').next().unwrap_or(pattern)))
        })
    })
}

impl Controller {
    /// The controller of a container: its image knows best, its workload's name next.
    pub fn of_container(
        workload: &str,
        container: &str,
        image: Option<&str>,
    ) -> Option<&'static Controller> {
        let named = by_name(&format!("{workload}/{container}")).or_else(|| by_name(workload));
        let imaged = image.and_then(by_image);
        match (named, imaged) {
            // Argo CD and others run several programs from one image.
            (Some(named), Some(imaged)) if named.id != imaged.id => {
                let own =
                    |c: &Controller| c.container.as_deref().is_none_or(|own| own == container);
                if own(imaged) && !own(named) {
                    Some(imaged)
                } else {
                    Some(named)
                }
            }
            (Some(named), _) => named
                .container
                .as_deref()
                .is_none_or(|own| own == container || named.names.len() == 1)
                .then_some(named),
            (None, Some(imaged)) => imaged
                .container
                .as_deref()
                .is_none_or(|own| own == container || imaged.id.starts_with("kube-"))
                .then_some(imaged),
            (None, None) => None,
        }
    }

    /// The controller of a workload's, a component's or a pod's name.
    pub fn by_name(name: &str) -> Option<&'static Controller> {
        by_name(name)
    }

    /// The component of Kubernetes that it is, where the settings table has one of its name.
    pub fn component(&self) -> Option<Component> {
        Component::ALL
            .into_iter()
            .find(|component| component.program() == self.id)
    }

    /// The controller of an id.
    pub fn by_id(id: &str) -> Option<&'static Controller> {
        controllers().iter().find(|controller| controller.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(found: Option<&'static Controller>) -> &'static str {
        found.map_or("", |c| c.id.as_str())
    }

    #[test]
    fn every_name_is_mentioned() {
        for name in controllers().iter().flat_map(|one| &one.names) {
            assert!(is_mentioned(name), "{name}");
        }
    }

    /// Evidence has settings under the table's names, and patches are written by them.
    #[test]
    fn knobs_of_components_go_by_the_names_of_the_settings_table() {
        let mut looked = 0;
        for controller in controllers() {
            let Some(component) = controller.component() else {
                continue;
            };
            for name in controller.knobs.iter().flat_map(|knob| &knob.names) {
                let found = crate::catalog::settings::setting(component, name);
                assert!(found.is_some(), "{} {name}", controller.id);
                looked += 1;
            }
        }
        assert!(looked > 10);
    }

    #[test]
    fn names_of_workloads_and_pods() {
        for (name, wanted) in [
            ("capi-controller-manager", "cluster-api"),
            ("capi-controller-manager-7d4b9c6f5d-x2x9z", "cluster-api"),
            (
                "capi-kubeadm-bootstrap-controller-manager",
                "cluster-api-bootstrap-kubeadm",
            ),
            ("gateway/operator", "openfaas-operator"),
            ("gateway/gateway", ""),
            (
                "argocd-application-controller-0",
                "argocd-application-controller",
            ),
            ("cilium-x2x9z", "cilium-agent"),
            ("kube-controller-manager", "kube-controller-manager"),
            ("somebody-else", ""),
            ("", ""),
        ] {
            assert_eq!(id(by_name(name)), wanted, "{name}");
        }
    }

    #[test]
    fn ends_that_kubernetes_makes_up() {
        for (pod, workload) in [
            ("web-7d4b9c6f5d-x2x9z", "web"),
            ("kyverno-admission-6d5f5f5f-abcde", "kyverno-admission"),
            ("etcd-operator-7f9b8c-xyz12", "etcd-operator"),
            ("batcher-28391040-x2x9z", "batcher"),
            ("myop-0", "myop"),
            ("cilium-x2x9z", "cilium"),
            // Words.
            ("cert-manager-cainjector", "cert-manager-cainjector"),
            ("web-backend-admin", "web-backend-admin"),
        ] {
            assert_eq!(without_generated(pod), workload, "{pod}");
        }
        for (end, wanted) in [
            ("7d4b9c6f5d-x2x9z", true),
            ("6d5f5f5f-abcde", true),
            ("28391040-x2x9z", true),
            ("0", true),
            // Nodes.
            ("cp0", false),
            ("mstr0012-db001", false),
            ("k8s-cp-0", false),
            ("x2x9z", false),
            ("dc-7d4b9c6f5d-x2x9z", false),
            ("", false),
        ] {
            assert_eq!(is_generated(end), wanted, "{end}");
        }
    }

    #[test]
    fn images_of_any_registry() {
        for (image, wanted) in [
            (
                "registry.k8s.io/cluster-api/cluster-api-controller:v1.7.2",
                "cluster-api",
            ),
            (
                "mirror:5000/x/cluster-api/cluster-api-controller@sha256:ab",
                "cluster-api",
            ),
            (
                "quay.io/metal3-io/baremetal-operator:v0.6.1",
                "baremetal-operator",
            ),
            ("quay.io/metal3-io/baremetal-operator-tools:v1", ""),
            (
                "ghcr.io/fluxcd/kustomize-controller:v1.3.0",
                "flux-kustomize",
            ),
            (
                "gcr.io/knative-releases/knative.dev/serving/cmd/controller:v1",
                "knative",
            ),
            (
                "quay.io/jetstack/cert-manager-controller:v1.15.0",
                "cert-manager",
            ),
            ("nginx:1.27", ""),
            ("", ""),
        ] {
            assert_eq!(id(by_image(image)), wanted, "{image}");
        }
    }

    #[test]
    fn containers() {
        let of =
            |workload, container, image| id(Controller::of_container(workload, container, image));
        assert_eq!(
            of(
                "gateway",
                "operator",
                Some("ghcr.io/openfaasltd/faas-netes:0.4.1")
            ),
            "openfaas-operator"
        );
        assert_eq!(
            of(
                "gateway",
                "gateway",
                Some("ghcr.io/openfaasltd/gateway:0.4.1")
            ),
            ""
        );
        assert_eq!(
            of(
                "my-capi",
                "manager",
                Some("r/cluster-api/cluster-api-controller:v1.9.0")
            ),
            "cluster-api"
        );
        assert_eq!(
            of(
                "argocd-server",
                "argocd-server",
                Some("quay.io/argoproj/argocd:v2.12.0")
            ),
            ""
        );
        assert_eq!(
            of("cert-manager", "cert-manager-controller", None),
            "cert-manager"
        );
    }

    proptest! {
        #[test]
        fn never_panics(a in "\\PC{0,40}", b in "\\PC{0,20}") {
            let _ = Controller::of_container(&a, &b, Some(&a));
            let _ = by_name(&format!("{a}/{b}"));
        }
    }
}
