//! Reads what stands under a prefix: resource, namespace and name, or what is no API object.

use std::borrow::Cow;

use memchr::memchr;

use super::parts::{KeyParts, Scope};
use super::table::{Builtin, builtin_by_segment};

/// What stands directly under a prefix and is no API object.
pub(super) const SPECIAL: [(&[u8], &str); 6] = [
    (b"masterleases", "(masterleases)"),
    (b"health", "(health)"),
    (b"ranges", "(ranges)"),
    (b"peerserverleases", "(peerserverleases)"),
    (b"compact_rev_key", "(compact_rev_key)"),
    (b"thirdpartyresourcedata", "(thirdpartyresourcedata)"),
];

pub(super) fn special(resource: &'static str, scope: Scope) -> KeyParts<'static> {
    KeyParts {
        resource: Cow::Borrowed(resource),
        scope,
        ..KeyParts::default()
    }
}

pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// The first segment and what follows it, from its slash on.
pub(super) fn split(rest: &[u8]) -> (&[u8], &[u8]) {
    rest.split_at(memchr(b'/', rest).unwrap_or(rest.len()))
}

/// The first two segments, where there are two.
pub(super) fn two_segments(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = memchr(b'/', rest)?;
    let second = rest.get(first + 1..)?;
    let len = first + 1 + memchr(b'/', second).unwrap_or(second.len());
    rest.split_at_checked(len)
}

/// `rest` is what follows the prefix: empty or from the slash on.
pub(super) fn under_prefix<'a>(prefix: Cow<'a, str>, rest: &'a [u8]) -> KeyParts<'a> {
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

pub(super) fn of_builtin<'a>(
    prefix: Cow<'a, str>,
    builtin: &'static Builtin,
    tail: &'a [u8],
) -> KeyParts<'a> {
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
