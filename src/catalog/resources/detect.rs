//! Finds the prefix of a key that has none of the known ones, by the resource under it.

use memchr::memchr;

use super::parts::KeyParts;
use super::table::builtin_by_segment;
use super::under_prefix::{SPECIAL, of_builtin, split, text, two_segments, under_prefix};

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

/// How many segments of an unknown key are looked at to find a resource in it.
const MAX_PREFIX_SEGMENTS: usize = 6;
/// Of how many segments an unknown prefix is believed by its health key alone.
const MAX_HEALTH_PREFIX: usize = 2;

/// Finds the resource in a key under an unknown prefix: the first segment that is a built-in
/// resource, or a group followed by a plural.
pub(super) fn detect(key: &[u8]) -> KeyParts<'_> {
    let none = KeyParts::default();
    let Some(body) = key.strip_prefix(b"/") else {
        return none;
    };
    if FOREIGN.contains(&split(body).0) {
        return none;
    }
    if let Some(prefix) = key.strip_suffix(b"/health")
        && may_be_prefix(prefix)
    {
        return under_prefix(text(prefix), b"/health");
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
        if number > 0 && is_kubernetes_own(first, tail) {
            return under_prefix(text(prefix), rest);
        }
        if number > 0 && is_group(first) && two.is_some_and(|(_, more)| more.starts_with(b"/")) {
            return under_prefix(text(prefix), rest);
        }
        at += 1 + first.len();
    }
    none
}

/// Whether `prefix` may be one that an apiserver was given (`--etcd-prefix`), so that its health
/// check reads `health` under it: a word or two that mean nothing else in a key. `/k8s/health` is
/// one then, and not an object of that name as `/k8s/namespaces/health` or
/// `/k8s/example.com/widgets/health` are.
fn may_be_prefix(prefix: &[u8]) -> bool {
    let Some(segments) = prefix.strip_prefix(b"/") else {
        return prefix.is_empty();
    };
    let mut rest = segments;
    for _ in 0..MAX_HEALTH_PREFIX {
        let (segment, tail) = split(rest);
        let means_something = segment.is_empty()
            || segment == b"services"
            || builtin_by_segment(segment).is_some()
            || SPECIAL.iter().any(|(special, _)| *special == segment);
        if means_something {
            return false;
        }
        let Some(more) = tail.strip_prefix(b"/") else {
            return tail.is_empty();
        };
        // A group's plural would follow.
        if is_group(segment) {
            return false;
        }
        rest = more;
    }
    false
}

/// Whether no other program has such a key: the apiserver's own leases and allocation maps.
fn is_kubernetes_own(first: &[u8], tail: &[u8]) -> bool {
    match first {
        b"masterleases" | b"peerserverleases" => true,
        b"ranges" => matches!(
            tail,
            b"/serviceips" | b"/secondaryserviceips" | b"/servicenodeports"
        ),
        _ => false,
    }
}

/// The length of a prefix that lies one segment below one of `len` bytes, where what follows shows
/// that the segment is no resource.
pub(super) fn deeper(key: &[u8], len: usize) -> Option<usize> {
    let (first, tail) = split(key.get(len..)?.strip_prefix(b"/")?);
    let below = tail.strip_prefix(b"/").filter(|_| !first.is_empty())?;
    let (second, more) = split(below);
    let longer = Some(len + 1 + first.len());
    let two = two_segments(below);
    // No namespace has a point in its name.
    if is_group(second) && two.is_some_and(|(two, _)| two.len() > second.len() + 1) {
        return longer;
    }
    let plural = first.iter().all(u8::is_ascii_lowercase) && first.ends_with(b"s");
    let known = builtin_by_segment(second).is_some()
        || two.is_some_and(|(two, _)| builtin_by_segment(two).is_some());
    if known {
        // Namespace and name are two segments.
        let third = more.strip_prefix(b"/").map(|more| split(more).1);
        let many = third.is_some_and(|rest| rest.len() > 1);
        return longer.filter(|_| many || !plural);
    }
    let special = SPECIAL.iter().any(|(special, _)| *special == second);
    // A prefix of several segments.
    let leads = special || deeper(key, len + 1 + first.len()).is_some();
    longer.filter(|_| leads && !plural)
}

/// A DNS subdomain with at least one dot and a letter at its end, as API groups are.
fn is_group(segment: &[u8]) -> bool {
    memchr(b'.', segment).is_some_and(|dot| dot > 0)
        && segment.last().is_some_and(u8::is_ascii_lowercase)
        && segment
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'))
}
