//! The built-in resources: key segment, plural, group, and whether objects live in a namespace.
//!
//! Source: `DefaultKubernetesResourcePrefixes`/`SpecialDefaultResourcePrefixes` of kube-apiserver
//! and the storage factories of openshift-apiserver, Kubernetes 1.16 to 1.36.

use std::sync::LazyLock;

use hashbrown::HashMap;

/// One built-in resource.
#[derive(Debug, PartialEq, Eq)]
pub struct Builtin {
    /// What stands in the key: `minions`, `services/specs`.
    pub segment: &'static str,
    /// Plural name: `nodes`, `services`.
    pub resource: &'static str,
    /// API group; empty for the core group.
    pub group: &'static str,
    /// `leases.coordination.k8s.io`, `pods`: the row of the load table.
    pub resource_group: &'static str,
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
}

macro_rules! builtins {
    ($($segment:literal $resource:literal $group:literal $full:literal $namespaced:literal;)*) => {
        &[$(Builtin {
            segment: $segment,
            resource: $resource,
            group: $group,
            resource_group: $full,
            namespaced: $namespaced,
        },)*]
    };
}

/// Resources that Kubernetes itself stores, sorted by key segment.
pub static BUILTINS: &[Builtin] = builtins! {
    "apiextensions.k8s.io/customresourcedefinitions" "customresourcedefinitions" "apiextensions.k8s.io" "customresourcedefinitions.apiextensions.k8s.io" false;
    "apiregistration.k8s.io/apiservices" "apiservices" "apiregistration.k8s.io" "apiservices.apiregistration.k8s.io" false;
    "auditsinks" "auditsinks" "auditregistration.k8s.io" "auditsinks.auditregistration.k8s.io" false;
    "certificatesigningrequests" "certificatesigningrequests" "certificates.k8s.io" "certificatesigningrequests.certificates.k8s.io" false;
    "clusterrolebindings" "clusterrolebindings" "rbac.authorization.k8s.io" "clusterrolebindings.rbac.authorization.k8s.io" false;
    "clusterroles" "clusterroles" "rbac.authorization.k8s.io" "clusterroles.rbac.authorization.k8s.io" false;
    "clustertrustbundles" "clustertrustbundles" "certificates.k8s.io" "clustertrustbundles.certificates.k8s.io" false;
    "componentstatuses" "componentstatuses" "" "componentstatuses" false;
    "configmaps" "configmaps" "" "configmaps" true;
    "controllerrevisions" "controllerrevisions" "apps" "controllerrevisions.apps" true;
    "controllers" "replicationcontrollers" "" "replicationcontrollers" true;
    "cronjobs" "cronjobs" "batch" "cronjobs.batch" true;
    "csidrivers" "csidrivers" "storage.k8s.io" "csidrivers.storage.k8s.io" false;
    "csinodes" "csinodes" "storage.k8s.io" "csinodes.storage.k8s.io" false;
    "csistoragecapacities" "csistoragecapacities" "storage.k8s.io" "csistoragecapacities.storage.k8s.io" true;
    "daemonsets" "daemonsets" "apps" "daemonsets.apps" true;
    "deployments" "deployments" "apps" "deployments.apps" true;
    "deviceclasses" "deviceclasses" "resource.k8s.io" "deviceclasses.resource.k8s.io" false;
    "devicetaintrules" "devicetaintrules" "resource.k8s.io" "devicetaintrules.resource.k8s.io" false;
    "endpointslices" "endpointslices" "discovery.k8s.io" "endpointslices.discovery.k8s.io" true;
    "events" "events" "" "events" true;
    "flowschemas" "flowschemas" "flowcontrol.apiserver.k8s.io" "flowschemas.flowcontrol.apiserver.k8s.io" false;
    "horizontalpodautoscalers" "horizontalpodautoscalers" "autoscaling" "horizontalpodautoscalers.autoscaling" true;
    "ingress" "ingresses" "networking.k8s.io" "ingresses.networking.k8s.io" true;
    "ingressclasses" "ingressclasses" "networking.k8s.io" "ingressclasses.networking.k8s.io" false;
    "ipaddresses" "ipaddresses" "networking.k8s.io" "ipaddresses.networking.k8s.io" false;
    "jobs" "jobs" "batch" "jobs.batch" true;
    "leasecandidates" "leasecandidates" "coordination.k8s.io" "leasecandidates.coordination.k8s.io" true;
    "leases" "leases" "coordination.k8s.io" "leases.coordination.k8s.io" true;
    "limitranges" "limitranges" "" "limitranges" true;
    "minions" "nodes" "" "nodes" false;
    "mutatingadmissionpolicies" "mutatingadmissionpolicies" "admissionregistration.k8s.io" "mutatingadmissionpolicies.admissionregistration.k8s.io" false;
    "mutatingadmissionpolicybindings" "mutatingadmissionpolicybindings" "admissionregistration.k8s.io" "mutatingadmissionpolicybindings.admissionregistration.k8s.io" false;
    "mutatingwebhookconfigurations" "mutatingwebhookconfigurations" "admissionregistration.k8s.io" "mutatingwebhookconfigurations.admissionregistration.k8s.io" false;
    "namespaces" "namespaces" "" "namespaces" false;
    "networkpolicies" "networkpolicies" "networking.k8s.io" "networkpolicies.networking.k8s.io" true;
    "persistentvolumeclaims" "persistentvolumeclaims" "" "persistentvolumeclaims" true;
    "persistentvolumes" "persistentvolumes" "" "persistentvolumes" false;
    "podcertificaterequests" "podcertificaterequests" "certificates.k8s.io" "podcertificaterequests.certificates.k8s.io" true;
    "poddisruptionbudgets" "poddisruptionbudgets" "policy" "poddisruptionbudgets.policy" true;
    "podgroups" "podgroups" "scheduling.k8s.io" "podgroups.scheduling.k8s.io" true;
    "podpresets" "podpresets" "settings.k8s.io" "podpresets.settings.k8s.io" true;
    "pods" "pods" "" "pods" true;
    "podschedulingcontexts" "podschedulingcontexts" "resource.k8s.io" "podschedulingcontexts.resource.k8s.io" true;
    "podsecuritypolicy" "podsecuritypolicies" "policy" "podsecuritypolicies.policy" false;
    "podtemplates" "podtemplates" "" "podtemplates" true;
    "priorityclasses" "priorityclasses" "scheduling.k8s.io" "priorityclasses.scheduling.k8s.io" false;
    "prioritylevelconfigurations" "prioritylevelconfigurations" "flowcontrol.apiserver.k8s.io" "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io" false;
    "replicasets" "replicasets" "apps" "replicasets.apps" true;
    "resourceclaims" "resourceclaims" "resource.k8s.io" "resourceclaims.resource.k8s.io" true;
    "resourceclaimtemplates" "resourceclaimtemplates" "resource.k8s.io" "resourceclaimtemplates.resource.k8s.io" true;
    "resourceclasses" "resourceclasses" "resource.k8s.io" "resourceclasses.resource.k8s.io" false;
    "resourcepoolstatusrequests" "resourcepoolstatusrequests" "resource.k8s.io" "resourcepoolstatusrequests.resource.k8s.io" false;
    "resourcequotas" "resourcequotas" "" "resourcequotas" true;
    "resourceslices" "resourceslices" "resource.k8s.io" "resourceslices.resource.k8s.io" false;
    "rolebindings" "rolebindings" "rbac.authorization.k8s.io" "rolebindings.rbac.authorization.k8s.io" true;
    "roles" "roles" "rbac.authorization.k8s.io" "roles.rbac.authorization.k8s.io" true;
    "runtimeclasses" "runtimeclasses" "node.k8s.io" "runtimeclasses.node.k8s.io" false;
    "secrets" "secrets" "" "secrets" true;
    "serviceaccounts" "serviceaccounts" "" "serviceaccounts" true;
    "servicecidrs" "servicecidrs" "networking.k8s.io" "servicecidrs.networking.k8s.io" false;
    "services/endpoints" "endpoints" "" "endpoints" true;
    "services/specs" "services" "" "services" true;
    "statefulsets" "statefulsets" "apps" "statefulsets.apps" true;
    "storageclasses" "storageclasses" "storage.k8s.io" "storageclasses.storage.k8s.io" false;
    "storageversionmigrations" "storageversionmigrations" "storagemigration.k8s.io" "storageversionmigrations.storagemigration.k8s.io" false;
    "storageversions" "storageversions" "internal.apiserver.k8s.io" "storageversions.internal.apiserver.k8s.io" false;
    "validatingadmissionpolicies" "validatingadmissionpolicies" "admissionregistration.k8s.io" "validatingadmissionpolicies.admissionregistration.k8s.io" false;
    "validatingadmissionpolicybindings" "validatingadmissionpolicybindings" "admissionregistration.k8s.io" "validatingadmissionpolicybindings.admissionregistration.k8s.io" false;
    "validatingwebhookconfigurations" "validatingwebhookconfigurations" "admissionregistration.k8s.io" "validatingwebhookconfigurations.admissionregistration.k8s.io" false;
    "volumeattachments" "volumeattachments" "storage.k8s.io" "volumeattachments.storage.k8s.io" false;
    "volumeattributesclasses" "volumeattributesclasses" "storage.k8s.io" "volumeattributesclasses.storage.k8s.io" false;
    "workloads" "workloads" "scheduling.k8s.io" "workloads.scheduling.k8s.io" true;
};

/// What only openshift-apiserver stores (mostly under `/openshift.io`), sorted by key segment.
pub(super) static OPENSHIFT: &[Builtin] = builtins! {
    "brokertemplateinstances" "brokertemplateinstances" "template.openshift.io" "brokertemplateinstances.template.openshift.io" false;
    "buildconfigs" "buildconfigs" "build.openshift.io" "buildconfigs.build.openshift.io" true;
    "builds" "builds" "build.openshift.io" "builds.build.openshift.io" true;
    "clusternetworks" "clusternetworks" "network.openshift.io" "clusternetworks.network.openshift.io" false;
    "clusterresourcequotas" "clusterresourcequotas" "quota.openshift.io" "clusterresourcequotas.quota.openshift.io" false;
    "deploymentconfigs" "deploymentconfigs" "apps.openshift.io" "deploymentconfigs.apps.openshift.io" true;
    "egressnetworkpolicies" "egressnetworkpolicies" "network.openshift.io" "egressnetworkpolicies.network.openshift.io" true;
    "groups" "groups" "user.openshift.io" "groups.user.openshift.io" false;
    "hostsubnets" "hostsubnets" "network.openshift.io" "hostsubnets.network.openshift.io" false;
    "images" "images" "image.openshift.io" "images.image.openshift.io" false;
    "imagestreams" "imagestreams" "image.openshift.io" "imagestreams.image.openshift.io" true;
    "netnamespaces" "netnamespaces" "network.openshift.io" "netnamespaces.network.openshift.io" false;
    "oauth/accesstokens" "oauthaccesstokens" "oauth.openshift.io" "oauthaccesstokens.oauth.openshift.io" false;
    "oauth/authorizetokens" "oauthauthorizetokens" "oauth.openshift.io" "oauthauthorizetokens.oauth.openshift.io" false;
    "oauth/clientauthorizations" "oauthclientauthorizations" "oauth.openshift.io" "oauthclientauthorizations.oauth.openshift.io" false;
    "oauth/clients" "oauthclients" "oauth.openshift.io" "oauthclients.oauth.openshift.io" false;
    "rangeallocations" "rangeallocations" "security.openshift.io" "rangeallocations.security.openshift.io" false;
    "rolebindingrestrictions" "rolebindingrestrictions" "authorization.openshift.io" "rolebindingrestrictions.authorization.openshift.io" true;
    "routes" "routes" "route.openshift.io" "routes.route.openshift.io" true;
    "securitycontextconstraints" "securitycontextconstraints" "security.openshift.io" "securitycontextconstraints.security.openshift.io" false;
    "templateinstances" "templateinstances" "template.openshift.io" "templateinstances.template.openshift.io" true;
    "templates" "templates" "template.openshift.io" "templates.template.openshift.io" true;
    "useridentities" "identities" "user.openshift.io" "identities.user.openshift.io" false;
    "users" "users" "user.openshift.io" "users.user.openshift.io" false;
};

static BY_SEGMENT: LazyLock<HashMap<&'static [u8], &'static Builtin, foldhash::fast::FixedState>> =
    LazyLock::new(|| {
        OPENSHIFT
            .iter()
            .chain(BUILTINS)
            .map(|builtin| (builtin.segment.as_bytes(), builtin))
            .collect()
    });

static BY_NAME: LazyLock<HashMap<(&'static str, &'static str), &'static Builtin>> =
    LazyLock::new(|| {
        OPENSHIFT
            .iter()
            .chain(BUILTINS)
            .map(|builtin| ((builtin.resource, builtin.group), builtin))
            .collect()
    });

/// The built-in resource that a key segment (or two, as in `services/specs`) stands for.
pub fn builtin_by_segment(segment: &[u8]) -> Option<&'static Builtin> {
    BY_SEGMENT.get(segment).copied()
}

/// The built-in resource of a plural and a group, as the API names them.
pub fn builtin_by_name(resource: &str, group: &str) -> Option<&'static Builtin> {
    // Core events are served under two groups and stored once (kube-apiserver,
    // SpecialDefaultResourcePrefixes); old ingresses lived in `extensions`.
    let group = match (resource, group) {
        ("events", "events.k8s.io") => "",
        ("ingresses", "extensions") => "networking.k8s.io",
        ("deployments" | "daemonsets" | "replicasets", "extensions") => "apps",
        _ => group,
    };
    BY_NAME.get(&(resource, group)).copied()
}

/// The built-in resource of a Go type of Kubernetes' own, by its package and name: `core`, `Node`.
pub fn builtin_by_type(package: &str, kind: &str) -> Option<&'static Builtin> {
    let package = if package == "core" { "" } else { package };
    let plural = |resource: &str| {
        let stem = resource.get(..kind.len()).unwrap_or_default();
        let ending = resource.get(kind.len()..).unwrap_or_default();
        match kind.strip_suffix('y') {
            Some(kind) if resource.ends_with("ies") => {
                let stem = resource.strip_suffix("ies").unwrap_or_default();
                stem.eq_ignore_ascii_case(kind)
            }
            _ => {
                let ends = match ending {
                    "es" => kind.ends_with(['s', 'x', 'h']),
                    other => matches!(other, "" | "s"),
                };
                ends && stem.eq_ignore_ascii_case(kind)
            }
        }
    };
    BUILTINS
        .iter()
        .find(|known| known.group.split('.').next() == Some(package) && plural(known.resource))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_go_type_names_its_resource() {
        for (package, kind, resource) in [
            ("core", "Node", "nodes"),
            ("core", "Endpoints", "endpoints"),
            ("apps", "Deployment", "deployments.apps"),
            ("coordination", "Lease", "leases.coordination.k8s.io"),
            (
                "networking",
                "NetworkPolicy",
                "networkpolicies.networking.k8s.io",
            ),
            ("networking", "Ingress", "ingresses.networking.k8s.io"),
        ] {
            let found = builtin_by_type(package, kind).map(|known| known.resource_group);
            assert_eq!(found, Some(resource), "{package}.{kind}");
        }
        // Another group's, and a custom resource's.
        assert_eq!(builtin_by_type("apps", "Node"), None);
        assert_eq!(builtin_by_type("unstructured", "Unstructured"), None);
        assert_eq!(builtin_by_type("core", "Nod"), None);
    }

    #[test]
    fn segments_are_sorted_unique_and_complete() {
        for table in [BUILTINS, OPENSHIFT] {
            assert!(table.is_sorted_by(|a, b| a.segment < b.segment));
        }
        for builtin in BUILTINS.iter().chain(OPENSHIFT) {
            let expected = if builtin.group.is_empty() {
                builtin.resource.to_owned()
            } else {
                format!("{}.{}", builtin.resource, builtin.group)
            };
            assert_eq!(builtin.resource_group, expected);
            assert_eq!(
                builtin_by_segment(builtin.segment.as_bytes()),
                Some(builtin)
            );
            assert_eq!(
                builtin_by_name(builtin.resource, builtin.group),
                Some(builtin)
            );
        }
    }

    #[test]
    fn served_groups_lead_to_the_stored_resource() {
        let group = |resource, group| builtin_by_name(resource, group).map(|b| b.resource_group);
        assert_eq!(group("events", "events.k8s.io"), Some("events"));
        assert_eq!(
            group("ingresses", "extensions"),
            Some("ingresses.networking.k8s.io")
        );
        assert_eq!(group("services", "serving.knative.dev"), None);
        assert_eq!(group("pods", "metrics.k8s.io"), None);
    }
}
