//! Reads an etcd key: `PREFIX/RESOURCE[/NAMESPACE]/NAME`, group-qualified or not.

use std::borrow::Cow;

use super::detect::{deeper, detect};
use super::parts::{KeyParts, Scope};
use super::under_prefix::{special, text, under_prefix};

/// How many segments a prefix may have below a known one.
const MAX_BELOW: u8 = 3;

/// Prefixes that Kubernetes distributions use: kube-apiserver's default, OpenShift's
/// kube-apiserver and OpenShift's openshift-apiserver.
pub const KNOWN_PREFIXES: [&str; 3] = ["/registry", "/kubernetes.io", "/openshift.io"];

/// What a key means, under the known prefixes or one that its resource gives away.
pub fn parse_key(key: &[u8]) -> KeyParts<'_> {
    parse_key_with(key, &[])
}

/// As [`parse_key`], with prefixes known from elsewhere (`--etcd-prefix`), such as `/tenant-a/k8s`.
pub fn parse_key_with<'a>(key: &'a [u8], prefixes: &[&str]) -> KeyParts<'a> {
    // A continue token's key is the last one of the page and a NUL.
    let key = key.strip_suffix(b"\0").unwrap_or(key);
    if let Some(rest) = key.strip_prefix(b"/registry")
        && matches!(rest, [] | [b'/', ..])
    {
        return under_known(Cow::Borrowed("/registry"), key, "/registry".len());
    }
    match key {
        b"" => return special("(all)", Scope::All),
        b"health" => return special("(health)", Scope::Object),
        // kubeadm's etcd liveness probe up to 1.16 read this key.
        b"foo" => return special("(foo)", Scope::Object),
        b"compact_rev_key" => return special("(compact_rev_key)", Scope::Object),
        _ => {}
    }
    for prefix in prefixes.iter().copied().chain(KNOWN_PREFIXES) {
        let prefix = prefix.trim_end_matches('/');
        if let Some(rest) = key.strip_prefix(prefix.as_bytes())
            && !prefix.is_empty()
            && matches!(rest, [] | [b'/', ..])
            && let Some(prefix) = key.get(..prefix.len())
        {
            return under_known(text(prefix), key, prefix.len());
        }
    }
    detect(key)
}

/// What stands under a known prefix of so many bytes, or under one that lies below it:
/// `--etcd-prefix=/registry/cluster-1`.
fn under_known<'a>(prefix: Cow<'a, str>, key: &'a [u8], mut len: usize) -> KeyParts<'a> {
    let mut parts = under_prefix(prefix, key.get(len..).unwrap_or_default());
    for _ in 0..MAX_BELOW {
        if parts.builtin.is_some() || parts.group.is_some() || !parts.is_object() {
            break;
        }
        let Some(longer) = deeper(key, len) else {
            break;
        };
        len = longer;
        let (prefix, rest) = key.split_at_checked(len).unwrap_or((key, b""));
        parts = under_prefix(text(prefix), rest);
    }
    parts
}

/// As [`parse_key`] for keys whose prefix was cut off, as kube-apiserver's own traces print them:
/// `/pods/kube-system`, `/longhorn.io/engines`.
pub fn parse_bare_key(key: &[u8]) -> KeyParts<'_> {
    under_prefix(Cow::Borrowed(""), key)
}

/// Whether a key is only read to see that etcd answers.
pub fn is_health_key(key: &[u8]) -> bool {
    if key != b"foo" && !key.ends_with(b"health") {
        return false;
    }
    let parts = parse_key(key);
    parts.scope == Scope::Object
        && parts.name.is_none()
        && matches!(&*parts.resource, "(health)" | "(foo)")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// prefix, resource.group, namespace, name, scope
    fn read(key: &str) -> (String, String, String, String, Scope) {
        let parts = parse_key(key.as_bytes());
        let or_dash = |text: &Option<Cow<'_, str>>| text.as_deref().unwrap_or("-").to_owned();
        (
            parts.prefix.to_string(),
            parts.resource_group().into_owned(),
            or_dash(&parts.namespace),
            or_dash(&parts.name),
            parts.scope,
        )
    }

    fn check(key: &str, prefix: &str, row: &str, namespace: &str, name: &str, scope: Scope) {
        let expected = (
            prefix.to_owned(),
            row.to_owned(),
            namespace.to_owned(),
            name.to_owned(),
            scope,
        );
        assert_eq!(read(key), expected, "{key}");
    }

    #[test]
    fn built_in_keys_get_their_group_back() {
        use Scope::{Namespace, Object, Resource, ResourceBare};
        let r = "/registry";
        check("/registry/pods/a/b", r, "pods", "a", "b", Object);
        check("/registry/pods/", r, "pods", "-", "-", Resource);
        check("/registry/pods", r, "pods", "-", "-", ResourceBare);
        check(
            "/registry/pods/kube-system/",
            r,
            "pods",
            "kube-system",
            "-",
            Namespace,
        );
        check(
            "/registry/pods/kube-system",
            r,
            "pods",
            "kube-system",
            "-",
            Namespace,
        );
        check("/registry/minions/n1", r, "nodes", "-", "n1", Object);
        check(
            "/registry/services/specs/d/k",
            r,
            "services",
            "d",
            "k",
            Object,
        );
        check(
            "/registry/services/endpoints/",
            r,
            "endpoints",
            "-",
            "-",
            Resource,
        );
        check(
            "/registry/services/specs",
            r,
            "services",
            "-",
            "-",
            ResourceBare,
        );
        check(
            "/registry/controllers/",
            r,
            "replicationcontrollers",
            "-",
            "-",
            Resource,
        );
        check(
            "/registry/ingress/a/b",
            r,
            "ingresses.networking.k8s.io",
            "a",
            "b",
            Object,
        );
        check(
            "/registry/podsecuritypolicy/x",
            r,
            "podsecuritypolicies.policy",
            "-",
            "x",
            Object,
        );
        check(
            "/registry/clusterroles/system:node",
            r,
            "clusterroles.rbac.authorization.k8s.io",
            "-",
            "system:node",
            Object,
        );
        check(
            "/registry/leases/kube-node-lease/n1",
            r,
            "leases.coordination.k8s.io",
            "kube-node-lease",
            "n1",
            Object,
        );
        check(
            "/registry/apiregistration.k8s.io/apiservices/v1.apps",
            r,
            "apiservices.apiregistration.k8s.io",
            "-",
            "v1.apps",
            Object,
        );
    }

    #[test]
    fn namespaces_and_names_that_are_resources_do_not_confuse() {
        use Scope::Object;
        let r = "/registry";
        check(
            "/registry/configmaps/events/x",
            r,
            "configmaps",
            "events",
            "x",
            Object,
        );
        check(
            "/registry/configmaps/pods-leases/pods",
            r,
            "configmaps",
            "pods-leases",
            "pods",
            Object,
        );
        check(
            "/registry/namespaces/events",
            r,
            "namespaces",
            "-",
            "events",
            Object,
        );
        check(
            "/registry/serving.knative.dev/services/a/b",
            r,
            "services.serving.knative.dev",
            "a",
            "b",
            Object,
        );
        check(
            "/registry/helm.toolkit.fluxcd.io/helmreleases/monitor/filebeat",
            r,
            "helmreleases.helm.toolkit.fluxcd.io",
            "monitor",
            "filebeat",
            Object,
        );
        check(
            "/registry/crd.projectcalico.org/bgpconfigurations/default",
            r,
            "bgpconfigurations.crd.projectcalico.org",
            "-",
            "default",
            Object,
        );
    }

    #[test]
    fn what_is_no_api_object_is_said_in_parentheses() {
        use Scope::{All, Object, Resource, Unknown};
        check(
            "/registry/masterleases/10.0.0.1",
            "/registry",
            "(masterleases)",
            "-",
            "10.0.0.1",
            Object,
        );
        check(
            "/registry/masterleases/",
            "/registry",
            "(masterleases)",
            "-",
            "-",
            Resource,
        );
        check(
            "/registry/ranges/serviceips",
            "/registry",
            "(ranges)",
            "-",
            "serviceips",
            Object,
        );
        check(
            "/registry/health",
            "/registry",
            "(health)",
            "-",
            "-",
            Object,
        );
        check("health", "", "(health)", "-", "-", Object);
        check("foo", "", "(foo)", "-", "-", Object);
        check("compact_rev_key", "", "(compact_rev_key)", "-", "-", Object);
        check("\0", "", "(all)", "-", "-", All);
        check("/registry/", "/registry", "(all)", "-", "-", All);
        for foreign in [
            "/sensu.io/handlers/default/keepalive",
            "/sensu.io/events/default/host",
            "/apisix/services/1",
            "/plain/put",
            "/a",
            "cilium/state/pods",
            "/shop/users/7",
        ] {
            check(foreign, "", "", "-", "-", Unknown);
        }
    }

    #[test]
    fn a_health_check_is_one_under_any_prefix() {
        for key in [
            "health",
            "foo",
            "/health",
            "/registry/health",
            "/kubernetes.io/health",
            "/k8s/health",
            "/acme.io/health",
            "/my-cluster/registry/health",
            "/tenants/a/b/registry/health",
            "/clusters/c-1/health",
        ] {
            assert!(is_health_key(key.as_bytes()), "{key}");
        }
        for key in [
            // Objects of that name.
            "/registry/configmaps/ns/health",
            "/registry/namespaces/health",
            "/registry/widgets/health",
            "/registry/health/x",
            "/registry/services/specs/io/health",
            "/registry/kubernetes.io/health",
            "/k8s/namespaces/health",
            "/k8s/minions/health",
            "/k8s/configmaps/ns/health",
            "/k8s/services/specs/ns/health",
            "/k8s/example.com/widgets/health",
            "/example.com/widgets/health",
            "/k8s/masterleases/health",
            // Other programs' keys.
            "/calico/health",
            "/apisix/routes/health",
            "/a/b/c/health",
            "//health",
            "/k8s/unhealth",
            "/k8s/health/",
        ] {
            assert!(!is_health_key(key.as_bytes()), "{key}");
        }
        check("/k8s/health", "/k8s", "(health)", "-", "-", Scope::Object);
    }

    #[test]
    fn other_prefixes_are_found_by_the_resource_under_them() {
        use Scope::{Namespace, Object, Resource};
        check(
            "/kubernetes.io/secrets/a/b",
            "/kubernetes.io",
            "secrets",
            "a",
            "b",
            Object,
        );
        check(
            "/openshift.io/imagestreams/a/b",
            "/openshift.io",
            "imagestreams.image.openshift.io",
            "a",
            "b",
            Object,
        );
        check(
            "/openshift.io/oauth/clients/x",
            "/openshift.io",
            "oauthclients.oauth.openshift.io",
            "-",
            "x",
            Object,
        );
        check(
            "/kubernetes.io/operators.coreos.com/subscriptions/openshift/s1",
            "/kubernetes.io",
            "subscriptions.operators.coreos.com",
            "openshift",
            "s1",
            Object,
        );
        check(
            "/k8s/prod-1/pods/a/b",
            "/k8s/prod-1",
            "pods",
            "a",
            "b",
            Object,
        );
        check(
            "/k8s/services/specs/a/",
            "/k8s",
            "services",
            "a",
            "-",
            Namespace,
        );
        check(
            "/tenant/registry/widgets/a/b",
            "/tenant/registry",
            "widgets",
            "a",
            "b",
            Object,
        );
        check(
            "/c1/longhorn.io/engines/",
            "/c1",
            "engines.longhorn.io",
            "-",
            "-",
            Resource,
        );
        check(
            "/k8s.example.com/pods/a/b",
            "/k8s.example.com",
            "pods",
            "a",
            "b",
            Object,
        );
        check("/pods/a/b", "", "pods", "a", "b", Object);
        let parts = parse_key_with(b"/tke/platform/machines/m1", &["/tke/platform"]);
        assert_eq!(parts.resource, "machines");
        assert_eq!(parts.prefix, "/tke/platform");
    }

    #[test]
    fn a_prefix_below_a_known_one_is_no_resource() {
        use Scope::{Namespace, Object, Resource};
        let r = "/registry/cluster1";
        let at = |key: &str| format!("{r}{key}");
        check(&at("/pods/default/a"), r, "pods", "default", "a", Object);
        check(&at("/pods/default/"), r, "pods", "default", "-", Namespace);
        check(&at("/pods/"), r, "pods", "-", "-", Resource);
        check(&at("/minions/n1"), r, "nodes", "-", "n1", Object);
        check(&at("/services/specs/d/k"), r, "services", "d", "k", Object);
        check(
            &at("/example.com/foos/ns/x"),
            r,
            "foos.example.com",
            "ns",
            "x",
            Object,
        );
        check(&at("/health"), r, "(health)", "-", "-", Object);
        check(
            &at("/ranges/serviceips"),
            r,
            "(ranges)",
            "-",
            "serviceips",
            Object,
        );
        check(
            "/registry/a/b-1/pods/default/a",
            "/registry/a/b-1",
            "pods",
            "default",
            "a",
            Object,
        );
        // A plural that is not known may have a namespace of that name; no object's has a slash.
        let r = "/registry";
        check(
            "/registry/widgets/pods/a",
            r,
            "widgets",
            "pods",
            "a",
            Object,
        );
        check(
            "/registry/widgets/health",
            r,
            "widgets",
            "-",
            "health",
            Object,
        );
        check(
            "/registry/widgets/pods/",
            r,
            "widgets",
            "pods",
            "-",
            Namespace,
        );
        let r = "/registry/tenants";
        check("/registry/tenants/pods/a/b", r, "pods", "a", "b", Object);
    }

    #[test]
    fn what_is_no_object_is_found_under_any_prefix() {
        use Scope::{Object, Resource};
        let p = "/default_k8s";
        check(
            "/default_k8s/masterleases/10.0.0.1",
            p,
            "(masterleases)",
            "-",
            "10.0.0.1",
            Object,
        );
        check(
            "/default_k8s/masterleases/",
            p,
            "(masterleases)",
            "-",
            "-",
            Resource,
        );
        check(
            "/default_k8s/ranges/servicenodeports",
            p,
            "(ranges)",
            "-",
            "servicenodeports",
            Object,
        );
        check("/shop/ranges/7", "", "", "-", "-", Scope::Unknown);
    }

    #[test]
    fn odd_bytes_survive() {
        let parts = parse_key(b"/registry/secrets/ns/bin\xff\x01");
        assert_eq!(parts.resource_group(), "secrets");
        assert_eq!(parts.name.as_deref(), Some("bin\u{fffd}\u{1}"));
        let parts = parse_key("/registry/configmaps/default/café-你好".as_bytes());
        assert_eq!(parts.name.as_deref(), Some("café-你好"));
        let parts = parse_key(b"/registry/pods/kube-system/p-2\0");
        assert_eq!(parts.name.as_deref(), Some("p-2"));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(key: Vec<u8>) {
            let parts = parse_key(&key);
            proptest::prop_assert_eq!(parts.is_object(), !parts.resource_group().is_empty()
                && !parts.resource_group().starts_with('('));
        }

        #[test]
        fn never_panics_on_key_like_text(key in "(/(registry|pods|services|a|x\\.io|)){0,8}/?") {
            let parts = parse_key(key.as_bytes());
            // What is named lies in the key.
            if let Some(name) = &parts.name {
                proptest::prop_assert!(key.contains(name.as_ref()));
            }
        }
    }
}
