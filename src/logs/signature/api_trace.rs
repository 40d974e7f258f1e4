//! Reads the slow operations that Kubernetes components trace: a header with what it was, and the
//! steps after it.

use std::borrow::Cow;

use crate::catalog::resources::{
    KeyParts, Scope, builtin_by_name, builtin_by_type, parse_bare_key,
};
use crate::clock::Timestamp;
use crate::logs::event::{Component, Event, Extra};
use crate::logs::needle::{self, Needle, near};
use crate::logs::record::{Record, TimeSource};
use crate::logs::timestamp::{DAY_US, YearFrom, civil_days, complete, month};
use crate::units::parse_go_duration;

use super::api::{refine, url, verb};
use super::classify::Detail;
use super::extract::{call, clip};

/// Names that separate the fields of a trace's header: values may hold commas and colons.
const TRACE_FIELDS: [&str; 29] = [
    "accept",
    "audit-id",
    "client",
    "protocol",
    "resource",
    "scope",
    "url",
    "user-agent",
    "verb",
    "api-group",
    "api-version",
    "name",
    "subresource",
    "namespace",
    "key",
    "resourceVersion",
    "resourceVersionMatch",
    "limit",
    "continue",
    "type",
    "path",
    "method",
    "count",
    "etcd",
    "configuration",
    "webhook",
    "operation",
    "UID",
    "custom-resource-definition",
];

/// The text before and behind a literal for which there is a searcher.
fn parted<'t>(text: &'t str, needle: &Needle, literal: &str) -> Option<(&'t str, &'t str)> {
    let at = needle.find(text.as_bytes())?;
    Some((text.get(..at)?, text.get(at + literal.len()..)?))
}

/// `Trace[1]: "List" url:/api/v1/pods,user-agent:…,client:… (31-Mar-2022 …) (total time: 2272ms):`
pub(super) fn trace<'a>(event: &mut Event<'a>, record: &'a Record<'a>, detail: Detail) {
    let Ok(text) = std::str::from_utf8(&record.msg) else {
        return;
    };
    let header = parted(text, &needle::TRACE_NAME, "]: \"");
    let Some((head, rest)) = header.or_else(|| inside(text)) else {
        return;
    };
    let Some((what, rest)) = rest.split_once('"') else {
        return;
    };
    let id = head.trim_start_matches("Trace[");
    if let Some((before, total)) = parted(rest, &needle::TOTAL_TIME, "(total time: ") {
        if record.time_source == TimeSource::Completed {
            event.time = event.time.map(|time| dated(time, before));
        }
        // Without its end it is the beginning of another number.
        let total = total.split_once(')').map(|(total, _)| total);
        event.took_ns = total.and_then(|total| parse_go_duration(total.as_bytes()));
    } else if let Some((before, _)) = rest.rsplit_once(" (") {
        // Inside another trace: `…,UID:abc 4201ms (20:30:22.100)`.
        let took = before.split_whitespace().next_back();
        event.took_ns = took.and_then(|took| parse_go_duration(took.as_bytes()));
    }
    // Up to 1.16 the path and the type of the object stood in the name.
    let old = rest.starts_with(" (started: ");
    let (what, path) = match old.then(|| what.split_once(" /")).flatten() {
        Some((verb, _)) => (verb, what.get(verb.len() + 1..)),
        None => (what, None),
    };
    let (what, of_type) = match old.then(|| what.split_once(" etcd3: ")).flatten() {
        Some((verb, of_type)) => (what.get(..verb.len() + 6).unwrap_or(what), Some(of_type)),
        None => (what, None),
    };
    let storage = what.ends_with(" etcd3");
    // Answered from memory: what takes long then is the server itself.
    let cache = what.starts_with("cacher list");
    let webhook = what.starts_with("Call ") && what.ends_with(" webhook");
    let http = matches!(
        what,
        "List"
            | "Get"
            | "Create"
            | "Update"
            | "Patch"
            | "Delete"
            | "Watch"
            | "DeleteCollection"
            | "Delete Collection"
            | "HTTP Request"
    );
    event.component = Component::Apiserver;
    event.kind = if storage {
        "apiserver-storage-trace"
    } else if cache {
        "apiserver-cache-trace"
    } else if webhook {
        "apiserver-webhook-trace"
    } else if http {
        "apiserver-trace"
    } else {
        // The scheduler, drivers of storage and networks, and whoever has an informer.
        event.component = Component::Unknown;
        "component-trace"
    };
    if detail == Detail::Full {
        event.extra.push(("trace", Extra::Text(Cow::Borrowed(id))));
        event.extra.push(("what", Extra::Text(Cow::Borrowed(what))));
    }
    let fields = header_fields(rest);
    let get = |name: &str| {
        fields
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
            .filter(|value| !value.is_empty())
    };
    event.client = get("client").map(Cow::Borrowed);
    if http {
        call(event).verb = verb(Cow::Borrowed(get("verb").unwrap_or(what)));
        if let Some(target) = path.or_else(|| get("url")) {
            url(event, Cow::Borrowed(target));
        }
        if let Some(agent) = get("user-agent") {
            call(event).user_agent = Some(clip(Cow::Borrowed(agent.trim())));
        }
        refine(event);
    } else if storage || cache {
        let call = call(event);
        call.verb = match what.split([' ', '(']).next().unwrap_or_default() {
            "GuaranteedUpdate" => Cow::Borrowed("update"),
            "cacher" => Cow::Borrowed("list"),
            other => verb(Cow::Borrowed(other)),
        };
        let named = get("resource").and_then(of_name).or_else(|| {
            let text = of_type.or_else(|| get("type"))?;
            of_name(text).or_else(|| of_go_type(text))
        });
        if let Some(key) = get("key") {
            // The key is without its prefix here.
            call.parts = parse_bare_key(key.as_bytes());
        } else if let Some(parts) = named {
            call.parts = parts;
        }
    } else if webhook {
        let call = call(event);
        call.verb = verb(Cow::Borrowed(get("operation").unwrap_or("convert")));
        if let Some(parts) = get("resource").and_then(of_version) {
            call.parts = parts;
        }
        call.subresource = get("subresource").map(Cow::Borrowed);
        if detail == Detail::Full
            && let Some(name) = get("webhook").or_else(|| get("custom-resource-definition"))
        {
            let name = clip(Cow::Borrowed(name));
            event.extra.push(("webhook", Extra::Text(name)));
        }
    }
    if detail == Detail::Full {
        if let Some(limit) = get("limit").and_then(|limit| limit.parse().ok()) {
            event.extra.push(("limit", Extra::Int(limit)));
        }
        for (name, value) in [
            ("object_type", of_type.or_else(|| get("type"))),
            ("resource_version", get("resourceVersion")),
            ("audit_id", get("audit-id")),
        ] {
            if let Some(value) = value {
                event.extra.push((name, Extra::Text(Cow::Borrowed(value))));
            }
        }
    }
}

/// The number of a trace, and what follows the quote before the name of an operation inside it:
/// `Trace[1]: ["Call validating webhook" …`.
fn inside(text: &str) -> Option<(&str, &str)> {
    let (head, rest) = text.split_once("]: ")?;
    let name = rest.trim_start_matches([' ', '[', '-']);
    Some((head, name.strip_prefix('"')?))
}

/// Whether a line inside a trace is the call of a webhook.
pub(super) fn is_webhook_step(msg: &[u8]) -> bool {
    /// The number of a trace is shorter.
    const HEAD: usize = 48;
    let head = msg.get(..HEAD).unwrap_or(msg);
    memchr::memchr(b'"', head)
        .and_then(|at| msg.get(at + 1..))
        .and_then(|name| name.strip_prefix(b"Call "))
        .and_then(|name| name.split(|b| *b == b'"').next())
        .is_some_and(|name| name.ends_with(b" webhook"))
}

/// `deployments.apps`. The name of a Go type, as older versions write (`*apps.Deployment`), is none.
pub(super) fn of_name(name: &str) -> Option<KeyParts<'_>> {
    if name.starts_with('*') {
        return None;
    }
    let (resource, group) = name.split_once('.').unwrap_or((name, ""));
    Some(of_resource(resource, group))
}

/// The resource whose objects have this Go type: `*apps.Deployment`, `*core.Node`. Objects are stored in
/// the API's inner types; the one that is not is where each kube-apiserver says that it lives
/// (Kubernetes: pkg/controlplane/reconcilers/lease.go).
fn of_go_type(name: &str) -> Option<KeyParts<'_>> {
    let name = name.strip_prefix('*')?;
    if name == "v1.Endpoints" {
        return Some(parse_bare_key(b"/masterleases/"));
    }
    let (package, kind) = name.split_once('.')?;
    let known = builtin_by_type(package, kind)?;
    Some(of_resource(known.resource, known.group))
}

/// `apps/v1, Resource=deployments`.
fn of_version(text: &str) -> Option<KeyParts<'_>> {
    let (version, resource) = text.split_once(", Resource=")?;
    let group = version.split_once('/').map_or("", |(group, _)| group);
    Some(of_resource(resource, group))
}

fn of_resource<'a>(resource: &'a str, group: &'a str) -> KeyParts<'a> {
    KeyParts {
        builtin: builtin_by_name(resource, group),
        resource: Cow::Borrowed(resource),
        group: Some(Cow::Borrowed(group)),
        scope: Scope::Resource,
        ..KeyParts::default()
    }
}

/// The name and the duration of an operation inside a trace, which opens with
/// `["List etcd3" key:/pods 12123ms (10:11:20.000)`, and of a trace whose header is missing:
/// `"List" url:/a (31-Mar-2022 23:00:04.575) (total time: 2268ms):`.
fn opening(rest: &str) -> Option<(&str, Option<u64>)> {
    let rest = rest.trim_start();
    let inner = rest.strip_prefix('[');
    let (name, after) = inner.unwrap_or(rest).strip_prefix('"')?.split_once('"')?;
    let took = match (parted(after, &needle::TOTAL_TIME, "(total time: "), inner) {
        (Some((_, total)), _) => total.split_once(')').map(|(total, _)| total),
        (None, Some(_)) => after
            .rsplit_once(" (")
            .and_then(|(before, _)| before.split_whitespace().next_back()),
        (None, None) => None,
    };
    Some((
        name,
        took.and_then(|took| parse_go_duration(took.as_bytes())),
    ))
}

/// The day on which a traced operation began: `(31-Mar-2022 23:00:04.575) (total time: …`, up to
/// 1.16 `(started: 2019-06-06 10:00:00.1 +0000 UTC m=+1.0) (total time: …`.
pub fn traced_day(msg: &[u8]) -> Option<Timestamp> {
    day_before(msg.get(..needle::BEFORE_TOTAL_TIME.find(msg)?)?)
}

/// The day in what stands before the total.
fn day_before(before: &[u8]) -> Option<Timestamp> {
    let date = before.get(memchr::memrchr(b'(', before)? + 1..)?;
    let (year, month, day) = match date.strip_prefix(b"started: ") {
        Some(date) => {
            let mut parts = date.get(..10)?.split(|b| *b == b'-');
            (parts.next()?, number(parts.next()?)?, parts.next()?)
        }
        None => {
            let mut parts = date.get(..11)?.split(|b| *b == b'-');
            let (day, name) = (parts.next()?, parts.next()?);
            (parts.next()?, i64::from(month(name)?), day)
        }
    };
    let (month, day) = (
        u32::try_from(month).ok()?,
        u32::try_from(number(day)?).ok()?,
    );
    let days = civil_days(number(year)?, month, day)?;
    Some(Timestamp(days * DAY_US))
}

fn number(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// A time whose year was completed, in the year that its trace names.
fn dated(time: Timestamp, before: &str) -> Timestamp {
    let moved = || {
        let near = day_before(before.as_bytes())?;
        // What is nearer than half a year is in the right year already.
        if time.since_us(near).abs() < 180 * DAY_US {
            return None;
        }
        let text = time.to_string();
        let (month, day) = (
            text.get(5..7)?.parse().ok()?,
            text.get(8..10)?.parse().ok()?,
        );
        let midnight = complete(month, day, YearFrom::Near(near))?;
        Some(Timestamp(midnight + time.0.rem_euclid(DAY_US)))
    };
    moved().unwrap_or(time)
}

/// Where the last ` (` is.
fn last_date(text: &str) -> Option<usize> {
    let text = text.as_bytes();
    let mut places = memchr::memrchr_iter(b'(', text);
    places.find_map(|at| at.checked_sub(1).filter(|at| text.get(*at) == Some(&b' ')))
}

/// Splits ` name:value,name:value (31-Mar-2022 …` at commas that a known name follows.
fn header_fields(rest: &str) -> Vec<(&str, &str)> {
    let text = rest.trim_start();
    // The date begins the tail: ` (31-Mar-2022 23:00:04.575) (total time: …`.
    let end = parted(text, &needle::BEFORE_TOTAL_TIME, "")
        .and_then(|(before, _)| last_date(before))
        .unwrap_or(text.len());
    let mut text = text.get(..end).unwrap_or_default();
    let mut out = Vec::new();
    let name_at = |text: &str| {
        /// The longest of them is shorter.
        const MAX: usize = 32;
        let head = text.as_bytes();
        let end = near(b':', head.get(..MAX).unwrap_or(head))?;
        let name = text.get(..end)?;
        TRACE_FIELDS.iter().copied().find(|known| *known == name)
    };
    let mut next = name_at(text);
    while let Some(name) = next.take() {
        let body = text.get(name.len() + 1..).unwrap_or_default();
        let mut cut = body.len();
        for at in memchr::memchr_iter(b',', body.as_bytes()) {
            next = body.get(at + 1..).and_then(name_at);
            if next.is_some() {
                cut = at;
                break;
            }
        }
        out.push((name, body.get(..cut).unwrap_or_default()));
        text = body.get(cut + 1..).unwrap_or_default();
    }
    out
}

/// `Trace[1]: ---"Writing http response done" 45107ms (07:32:11.071)`, `Trace[1]: [45.1s] [45.1s] END`.
pub(super) fn trace_step<'a>(event: &mut Event<'a>, record: &'a Record<'a>, detail: Detail) {
    let Ok(text) = std::str::from_utf8(&record.msg) else {
        return;
    };
    let Some((head, rest)) = text.split_once("]: ") else {
        return;
    };
    let mut step = None;
    if let Some((_, named)) = rest.split_once("---\"")
        && let Some((name, after)) = named.split_once('"')
    {
        step = Some(name);
        let took = after
            .split_whitespace()
            .find_map(|word| parse_go_duration(word.as_bytes()));
        event.took_ns = took;
    } else if let Some((name, took)) = opening(rest) {
        step = Some(name);
        event.took_ns = took;
    } else if let Some(total) = rest.strip_prefix('[') {
        event.took_ns = total
            .split_once(']')
            .and_then(|(took, _)| parse_go_duration(took.as_bytes()));
    }
    if detail == Detail::Full {
        let id = head.trim_start_matches("Trace[");
        event.extra.push(("trace", Extra::Text(Cow::Borrowed(id))));
        if let Some(step) = step {
            event.extra.push(("step", Extra::Text(Cow::Borrowed(step))));
        }
    }
}
