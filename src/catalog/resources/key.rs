//! Reads an etcd key: `PREFIX/RESOURCE[/NAMESPACE]/NAME`, group-qualified or not.

use std::borrow::Cow;

use memchr::memchr;

use super::parts::{KeyParts, Scope};
use super::table::{Builtin, builtin_by_segment};

/// Prefixes that Kubernetes distributions use: kube-apiserver's default, OpenShift's
/// kube-apiserver and OpenShift's openshift-apiserver.
pub const KNOWN_PREFIXES: [&str; 3] = ["/registry", "/kubernetes.io", "/openshift.io"];

/// First segments of programs that keep their own data in an etcd and whose keys hold words that
/// are Kubernetes resources too (Sensu's and APISIX's `events`, `services`, `pods`).
const FOREIGN: [&[u8]; 12] = [
    b"sensu.io",
    b"apisix",
    b"calico",
    b"coreos.com",
    b"cilium",
    b"skydns",
    b"traefik",
    b"patroni",
    b"service",
    b"vitess",
    b"rook",
    b"m3",
];

/// What stands directly under a prefix and is no API object.
const SPECIAL: [(&[u8], &str); 6] = [
    (b"masterleases", "(masterleases)"),
    (b"health", "(health)"),
    (b"ranges", "(ranges)"),
    (b"peerserverleases", "(peerserverleases)"),
    (b"compact_rev_key", "(compact_rev_key)"),
    (b"thirdpartyresourcedata", "(thirdpartyresourcedata)"),
];

/// How many segments of an unknown key are looked at to find a resource in it.
const MAX_PREFIX_SEGMENTS: usize = 6;

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
        return under_prefix(Cow::Borrowed("/registry"), rest);
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
            return under_prefix(text(prefix), rest);
        }
    }
    detect(key)
}

/// As [`parse_key`] for keys whose prefix was cut off, as kube-apiserver's own traces print them:
/// `/pods/kube-system`, `/longhorn.io/engines`.
pub fn parse_bare_key(key: &[u8]) -> KeyParts<'_> {
    under_prefix(Cow::Borrowed(""), key)
}

/// Whether a key is only read to see that etcd answers.
pub fn is_health_key(key: &[u8]) -> bool {
    matches!(key, b"health" | b"foo" | b"/registry/health") || key.ends_with(b"io/health")
}

fn special(resource: &'static str, scope: Scope) -> KeyParts<'static> {
    KeyParts {
        resource: Cow::Borrowed(resource),
        scope,
        ..KeyParts::default()
    }
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// The first segment and what follows it, from its slash on.
fn split(rest: &[u8]) -> (&[u8], &[u8]) {
    rest.split_at(memchr(b'/', rest).unwrap_or(rest.len()))
}

/// The first two segments, where there are two.
fn two_segments(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = memchr(b'/', rest)?;
    let second = rest.get(first + 1..)?;
    let len = first + 1 + memchr(b'/', second).unwrap_or(second.len());
    rest.split_at_checked(len)
}

/// `rest` is what follows the prefix: empty or from the slash on.
fn under_prefix<'a>(prefix: Cow<'a, str>, rest: &'a [u8]) -> KeyParts<'a> {
    let rest = rest.strip_prefix(b"/").unwrap_or(rest);
    if rest.is_empty() {
        return KeyParts {
            prefix,
            ..special("(all)", Scope::All)
        };
    }
    let (first, tail) = split(rest);
    if let Some(builtin) = builtin_by_segment(first) {
        return of_builtin(prefix, builtin, tail);
    }
    if memchr(b'.', first).is_some() || matches!(first, b"services" | b"oauth") {
        if let Some((two, tail)) = two_segments(rest) {
            if let Some(builtin) = builtin_by_segment(two) {
                return of_builtin(prefix, builtin, tail);
            }
            if let Some(plural) = two.get(first.len() + 1..)
                && !plural.is_empty()
                && memchr(b'.', first).is_some()
            {
                return of_unknown(prefix, text(plural), Some(text(first)), tail);
            }
        }
        if first == b"services" {
            // Both `services/specs` and `services/endpoints` lie here.
            return of_unknown(
                prefix,
                Cow::Borrowed("services"),
                Some(Cow::Borrowed("")),
                b"/",
            );
        }
        return KeyParts {
            prefix,
            group: Some(text(first)),
            ..special("(all)", Scope::All)
        };
    }
    if let Some((_, name)) = SPECIAL.iter().find(|(segment, _)| *segment == first) {
        let object = tail.strip_prefix(b"/").filter(|name| !name.is_empty());
        let scope = match (tail, object) {
            // `/registry/health` is the key itself.
            (b"", _) if *name == "(health)" || *name == "(compact_rev_key)" => Scope::Object,
            (b"", _) => Scope::ResourceBare,
            (_, None) => Scope::Resource,
            (_, Some(_)) => Scope::Object,
        };
        return KeyParts {
            prefix,
            name: object.map(text),
            ..special(name, scope)
        };
    }
    of_unknown(prefix, text(first), None, tail)
}

fn of_builtin<'a>(prefix: Cow<'a, str>, builtin: &'static Builtin, tail: &'a [u8]) -> KeyParts<'a> {
    let parts = KeyParts {
        prefix,
        builtin: Some(builtin),
        resource: Cow::Borrowed(builtin.resource),
        group: Some(Cow::Borrowed(builtin.group)),
        ..KeyParts::default()
    };
    with_object(parts, tail, Some(builtin.namespaced))
}

fn of_unknown<'a>(
    prefix: Cow<'a, str>,
    resource: Cow<'a, str>,
    group: Option<Cow<'a, str>>,
    tail: &'a [u8],
) -> KeyParts<'a> {
    let parts = KeyParts {
        prefix,
        resource,
        group,
        ..KeyParts::default()
    };
    with_object(parts, tail, None)
}

/// Reads namespace and name. Names of API objects hold no slash, so segments count; only where
/// the resource is known to be namespaced or not does that decide.
fn with_object<'a>(
    mut parts: KeyParts<'a>,
    tail: &'a [u8],
    namespaced: Option<bool>,
) -> KeyParts<'a> {
    let Some(rest) = tail.strip_prefix(b"/") else {
        parts.scope = Scope::ResourceBare;
        return parts;
    };
    if rest.is_empty() {
        parts.scope = Scope::Resource;
        return parts;
    }
    if namespaced == Some(false) {
        let name = rest.strip_suffix(b"/").unwrap_or(rest);
        parts.name = Some(text(name));
        parts.scope = Scope::Object;
        return parts;
    }
    let (first, more) = split(rest);
    match (more, namespaced) {
        (b"", None) => {
            parts.name = Some(text(first));
            parts.scope = Scope::Object;
        }
        (b"" | b"/", _) => {
            parts.namespace = Some(text(first));
            parts.scope = Scope::Namespace;
        }
        (more, _) => {
            parts.namespace = Some(text(first));
            parts.name = more.strip_prefix(b"/").map(text);
            parts.scope = Scope::Object;
        }
    }
    parts
}

/// Finds the resource in a key under an unknown prefix: the first segment that is a built-in
/// resource, or a group followed by a plural.
fn detect(key: &[u8]) -> KeyParts<'_> {
    let none = KeyParts::default();
    let Some(body) = key.strip_prefix(b"/") else {
        return none;
    };
    if FOREIGN.contains(&split(body).0) {
        return none;
    }
    let mut at = 0;
    for number in 0..MAX_PREFIX_SEGMENTS {
        let Some(rest) = key.get(at..) else {
            return none;
        };
        let Some(segments) = rest.strip_prefix(b"/") else {
            return none;
        };
        let (first, tail) = split(segments);
        let prefix = key.get(..at).unwrap_or_default();
        let two = two_segments(segments);
        if let Some((two, tail)) = two
            && let Some(builtin) = builtin_by_segment(two)
        {
            return of_builtin(text(prefix), builtin, tail);
        }
        // OpenShift's own plurals (`users`, `images`) are too common as words for a guess.
        if let Some(builtin) = builtin_by_segment(first)
            && !builtin.group.ends_with("openshift.io")
        {
            return of_builtin(text(prefix), builtin, tail);
        }
        let known = at > 0 && matches!(first, b"kubernetes.io" | b"openshift.io" | b"registry");
        if known {
            let Some(prefix) = key.get(..at + 1 + first.len()) else {
                return none;
            };
            return under_prefix(text(prefix), tail);
        }
        if number > 0 && is_group(first) && two.is_some_and(|(_, more)| more.starts_with(b"/")) {
            return under_prefix(text(prefix), rest);
        }
        at += 1 + first.len();
    }
    none
}

/// A DNS subdomain with at least one dot and a letter at its end, as API groups are.
fn is_group(segment: &[u8]) -> bool {
    memchr(b'.', segment).is_some_and(|dot| dot > 0)
        && segment.last().is_some_and(u8::is_ascii_lowercase)
        && segment
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'))
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
