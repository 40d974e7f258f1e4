//! Reads a Kubernetes API path or URL: which resource a request was for.

use std::borrow::Cow;

use memchr::memchr;

use super::parts::{KeyParts, Scope};
use super::table::builtin_by_name;

/// What a request URI asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiPath<'a> {
    /// Resource, group, namespace and name.
    pub parts: KeyParts<'a>,
    /// API version: `v1`.
    pub version: Option<&'a str>,
    /// `status`, `binding`, `eviction`, `log`, ….
    pub subresource: Option<&'a str>,
    /// The query, without its question mark.
    pub query: &'a str,
    /// Whether it is one of the deprecated paths of watches: `/api/v1/watch/pods`.
    pub watch: bool,
}

impl<'a> ApiPath<'a> {
    /// A query parameter's value, still percent-encoded.
    pub fn param(&self, name: &str) -> Option<&'a str> {
        let mut rest = Some(self.query);
        while let Some(text) = rest {
            let (pair, more) = cut(text, b'&');
            rest = more;
            if let Some(value) = pair.strip_prefix(name)
                && let Some(value) = value.strip_prefix('=').or(value.is_empty().then_some(""))
            {
                return Some(value);
            }
        }
        None
    }
}

/// Reads `https://host:6443/apis/apps/v1/namespaces/a/deployments/b/status?x=y`, with or without
/// scheme and host. Paths that name no resource (`/healthz`, discovery) give empty parts.
pub fn parse_path(url: &str) -> ApiPath<'_> {
    walk(url, set_resource)
}

/// Whether [`parse_path`] finds a resource; `None` for what is no text.
pub fn names_resource(url: &[u8]) -> Option<bool> {
    if url.is_ascii() && is_plain_core(url) {
        return Some(true);
    }
    let url = std::str::from_utf8(url).ok()?;
    Some(walk(url, |_, _, _| {}).parts.scope != Scope::Unknown)
}

/// Whether this is the path of a core resource at its plainest, which most are:
/// `/api/v1/pods?limit=500`.
fn is_plain_core(url: &[u8]) -> bool {
    let Some(rest) = url.strip_prefix(b"/api/v1/") else {
        return false;
    };
    let len = rest
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric())
        .count();
    let (resource, rest) = rest.split_at(len);
    len > 0
        && matches!(rest.first(), None | Some(b'/' | b'?'))
        && !matches!(resource, b"watch" | b"namespaces")
        // A second `://` would make all before it a host.
        && memchr(b':', rest).is_none()
}

fn walk<'a>(
    url: &'a str,
    set_resource: impl Fn(&mut KeyParts<'a>, &'a str, &'a str),
) -> ApiPath<'a> {
    // Most are paths alone: one look for a colon spares the search for `://`.
    let scheme = memchr(b':', url.as_bytes()).and_then(|_| url.split_once("://"));
    let path = match scheme {
        Some((_, rest)) => match memchr(b'/', rest.as_bytes()) {
            Some(at) => rest.get(at..).unwrap_or_default(),
            None => "",
        },
        None => url,
    };
    let (path, query) = cut(path, b'?');
    let mut out = ApiPath {
        query: query.unwrap_or_default(),
        ..ApiPath::default()
    };
    let mut segments = Segments(Some(path.trim_start_matches('/')));
    let group = match segments.next() {
        Some("api") => "",
        Some("apis") => match segments.next() {
            Some(group) => group,
            None => return out,
        },
        _ => return out,
    };
    out.version = segments.next();
    let mut rest = segments.peekable();
    if rest.peek() == Some(&"watch") {
        out.watch = true;
        rest.next();
    }
    let mut namespace = None;
    if rest.peek() == Some(&"namespaces") {
        rest.next();
        let Some(name) = rest
            .next()
            .filter(|name| !name.is_empty() || rest.peek().is_some())
        else {
            set_resource(&mut out.parts, "namespaces", group);
            out.parts.scope = Scope::Resource;
            return out;
        };
        match rest.peek() {
            // `/namespaces/x`, its status and finalize are the namespace itself.
            None | Some(&("" | "status" | "finalize")) => {
                set_resource(&mut out.parts, "namespaces", group);
                out.parts.name = Some(Cow::Borrowed(name));
                out.parts.scope = Scope::Object;
                out.subresource = rest.next().filter(|name| !name.is_empty());
                return out;
            }
            Some(_) => namespace = Some(name).filter(|name| !name.is_empty()),
        }
    }
    let Some(resource) = rest.next().filter(|resource| !resource.is_empty()) else {
        return out;
    };
    set_resource(&mut out.parts, resource, group);
    out.parts.namespace = namespace.map(Cow::Borrowed);
    out.parts.name = rest
        .next()
        .filter(|name| !name.is_empty())
        .map(Cow::Borrowed);
    out.subresource = rest.next().filter(|name| !name.is_empty());
    out.parts.scope = match (&out.parts.name, &out.parts.namespace) {
        (Some(_), _) => Scope::Object,
        (None, Some(_)) => Scope::Namespace,
        (None, None) => Scope::Resource,
    };
    out
}

/// The text before an ASCII letter, and what follows it, where it occurs.
fn cut(text: &str, at: u8) -> (&str, Option<&str>) {
    match memchr(at, text.as_bytes()) {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    }
}

/// The parts of a path between slashes.
struct Segments<'a>(Option<&'a str>);

impl<'a> Iterator for Segments<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (segment, rest) = cut(self.0?, b'/');
        self.0 = rest;
        Some(segment)
    }
}

fn set_resource<'a>(parts: &mut KeyParts<'a>, resource: &'a str, group: &'a str) {
    parts.builtin = builtin_by_name(resource, group);
    parts.resource = Cow::Borrowed(resource);
    parts.group = Some(Cow::Borrowed(parts.builtin.map_or(group, |b| b.group)));
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_resource_is_named_as_the_path_says(
            url in "(/api/v1/|/apis/|/)(pods|watch|namespaces|x9)?(/|[?]|:)?(a|://b/api/v1/c)?(/[a-z]{0,3}|[?]x=y)?",
        ) {
            let told = parse_path(&url).parts.scope != Scope::Unknown;
            proptest::prop_assert_eq!(names_resource(url.as_bytes()), Some(told));
            if is_plain_core(url.as_bytes()) {
                proptest::prop_assert!(told, "{}", url);
            }
        }
    }

    #[test]
    fn urls_of_every_form() {
        let row = |url: &str| {
            let path = parse_path(url);
            format!(
                "{} {} {} {}",
                path.parts.resource_group(),
                path.parts.namespace.as_deref().unwrap_or("-"),
                path.parts.name.as_deref().unwrap_or("-"),
                path.subresource.unwrap_or("-"),
            )
        };
        assert_eq!(
            row("https://127.0.0.1:34721/api/v1/namespaces/default/pods/nginx-7c/eviction"),
            "pods default nginx-7c eviction"
        );
        assert_eq!(row("/api/v1/namespaces//pods"), "pods - - -");
        assert_eq!(row("/api/v1/namespaces/infer/pods"), "pods infer - -");
        assert_eq!(row("/api/v1/namespaces"), "namespaces - - -");
        assert_eq!(row("/api/v1/namespaces/x"), "namespaces - x -");
        assert_eq!(
            row("/api/v1/namespaces/x/finalize"),
            "namespaces - x finalize"
        );
        assert_eq!(
            row("/apis/rbac.authorization.k8s.io/v1/namespaces/kube-public/roles?timeout=10s"),
            "roles.rbac.authorization.k8s.io kube-public - -"
        );
        assert_eq!(
            row("/apis/metrics.k8s.io/v1beta1/pods"),
            "pods.metrics.k8s.io - - -"
        );
        assert_eq!(row("/apis/events.k8s.io/v1/events"), "events - - -");
        assert_eq!(
            row("https://x:6443/apis/coordination.k8s.io/v1beta1?timeout=32s"),
            " - - -"
        );
        assert_eq!(row("/healthz"), " - - -");
        assert_eq!(row("/api/v1/watch/nodes"), "nodes - - -");
        assert_eq!(
            parse_path("/api/v1/pods?limit=500&resourceVersion=0").param("resourceVersion"),
            Some("0")
        );
    }

    proptest::proptest! {
        #[test]
        fn never_panics(url in "\\PC{0,80}") {
            let _ = parse_path(&url);
        }
    }
}
