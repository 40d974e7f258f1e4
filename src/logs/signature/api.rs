//! Reads lines about calls of the Kubernetes API: throttling, traces, HTTP log, audit.

use std::borrow::Cow;

use memchr::memmem;

use crate::catalog::resources::{KeyParts, Scope, builtin_by_name, names_resource, parse_path};
use crate::logs::audit;
use crate::logs::event::{Component, Event, Extra};
use crate::logs::fields::text;
use crate::logs::needle::{self, near2};
use crate::logs::record::{Fields, Record};
use crate::sys::find;
use crate::units::parse_go_duration;

use super::classify::Detail;
use super::dispatch::{self, Found};
use super::extract::{self, call, clip};

/// Kubernetes's word for an HTTP method; anything else stays, in lower case.
pub(super) fn verb(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        text
    }
}

/// Turns HTTP methods into Kubernetes's verbs by what the path names.
fn api_verb(verb: &str, parts: &KeyParts<'_>) -> Option<&'static str> {
    let whole = matches!(parts.scope, Scope::Resource | Scope::Namespace);
    Some(match verb {
        "get" | "head" if whole => "list",
        "head" => "get",
        "post" => "create",
        "put" => "update",
        "delete" if whole => "deletecollection",
        _ => return None,
    })
}

/// Reads a URL or path into the event's API call.
pub(super) fn url<'a>(event: &mut Event<'a>, text: Cow<'a, str>) {
    let call = call(event);
    let watch = match text {
        Cow::Borrowed(text) => {
            let path = parse_path(text);
            call.parts = path.parts.clone();
            call.subresource = path.subresource.map(Cow::Borrowed);
            let asked = path.param("watch");
            path.watch || asked.is_some_and(|watch| matches!(watch, "true" | "1" | ""))
        }
        Cow::Owned(text) => {
            let path = parse_path(&text);
            let asked = path.param("watch");
            let watch = path.watch || asked.is_some_and(|watch| matches!(watch, "true" | "1" | ""));
            call.subresource = path.subresource.map(|text| Cow::Owned(text.to_owned()));
            call.parts = path.parts.into_owned();
            watch
        }
    };
    if watch {
        call.verb = Cow::Borrowed("watch");
    }
    refine(event);
}

/// Settles the verb once verb and path are both known.
pub(super) fn refine(event: &mut Event<'_>) {
    if let Some(call) = event.api.as_deref_mut()
        && call.parts.scope != Scope::Unknown
        && let Some(verb) = api_verb(&call.verb, &call.parts)
    {
        call.verb = Cow::Borrowed(verb);
    }
}

/// `kube-system/kube-scheduler`: the Lease of a leader election.
pub(super) fn lease<'a>(event: &mut Event<'a>, text: Cow<'a, str>) {
    // client-go put two blanks before the name in some releases.
    let text = text
        .trim_start()
        .trim_end_matches([':', '.', ','])
        .to_owned();
    if text.is_empty() {
        return;
    }
    let (namespace, name) = match text.split_once('/') {
        Some((namespace, name)) => (Some(namespace.to_owned()), name.to_owned()),
        None => (None, text),
    };
    let builtin = builtin_by_name("leases", "coordination.k8s.io");
    let call = call(event);
    call.parts = KeyParts {
        builtin,
        resource: Cow::Borrowed("leases"),
        group: Some(Cow::Borrowed("coordination.k8s.io")),
        namespace: namespace.map(Cow::Owned),
        name: Some(Cow::Owned(name)),
        scope: Scope::Object,
        ..KeyParts::default()
    };
}

/// Up to Kubernetes 1.19 the lock of an election was an Endpoints or a ConfigMap, which the error
/// names: `Get https://…/namespaces/kube-system/endpoints/kube-scheduler`.
pub(super) fn lock_in_text(event: &mut Event<'_>) {
    if event.api.is_none()
        && let Some(target) = event.error.as_deref().and_then(target)
    {
        let target = target.to_owned();
        url(event, Cow::Owned(target));
        let names = event.api.as_deref().is_some_and(|call| {
            matches!(&*call.parts.resource, "leases" | "endpoints" | "configmaps")
                && call.parts.name.is_some()
        });
        // The URL of something else, or half of one, names no lock.
        if !names {
            event.api = None;
        }
        return;
    }
    let error = event.error.as_deref().unwrap_or_default();
    let named = ["endpoints", "configmaps"].into_iter().find(|resource| {
        let mut places = error.match_indices(resource);
        places.any(|(at, _)| {
            let before = error.get(..at).unwrap_or_default();
            before.ends_with('/') && before.contains("/api/v1/")
                || before.ends_with("cannot be fulfilled on ")
        })
    });
    if let (Some(resource), Some(call)) = (named, event.api.as_deref_mut())
        && call.parts.resource == "leases"
    {
        call.parts.builtin = builtin_by_name(resource, "");
        call.parts.resource = Cow::Borrowed(resource);
        call.parts.group = Some(Cow::Borrowed(""));
    }
}

/// A watch that ended with its time, or with its client, was answered all the while.
pub(super) fn aborted(event: &mut Event<'_>) {
    if event
        .api
        .as_deref()
        .is_some_and(|call| call.verb == "watch")
    {
        event.kind = "apiserver-watch-ended";
    }
}

/// The whole URL in an error: `Put "https://…": …`, before Go 1.14 `Put https://…: …`.
fn target(error: &str) -> Option<&str> {
    let from = error.find("http")?;
    let rest = error.get(from..)?;
    if !rest.starts_with("http://") && !rest.starts_with("https://") {
        return None;
    }
    let end = rest.find(['"', '\\', ' '])?;
    let whole = rest.get(..end)?;
    Some(whole.strip_suffix(':').unwrap_or(whole))
}

/// Finds the call in an error text: `Get "https://…": context deadline exceeded`, or
/// `(put leases.coordination.k8s.io kube-controller-manager)`.
pub(super) fn call_in_text(event: &mut Event<'_>, _record: &Record<'_>) {
    let Some(error) = event.error.as_deref() else {
        return;
    };
    if let Some(at) = error.find(" \"http") {
        let (before, after) = error.split_at(at);
        let method = before.rsplit([' ', ':', '"']).next().unwrap_or_default();
        let target = after
            .get(2..)
            .unwrap_or_default()
            .split(['"', '\\', ' '])
            .next()
            .unwrap_or_default();
        let (method, target) = (method.to_ascii_lowercase(), target.to_owned());
        if matches!(method.as_str(), "get" | "put" | "post" | "patch" | "delete") {
            call(event).verb = Cow::Owned(method);
            url(event, Cow::Owned(target));
        }
        return;
    }
    let words = error.rfind(" (").and_then(|at| {
        let inner = error.get(at + 2..)?.split(')').next()?;
        let mut words = inner.split(' ');
        Some((
            words.next()?.to_owned(),
            words.next()?.to_owned(),
            words.next().map(str::to_owned),
        ))
    });
    if let Some((method, row, name)) = words
        && matches!(
            method.as_str(),
            "get" | "put" | "post" | "patch" | "delete" | "list"
        )
    {
        let (resource, group) = row.split_once('.').unwrap_or((&row, ""));
        let call = call(event);
        call.parts = KeyParts {
            builtin: builtin_by_name(resource, group),
            resource: Cow::Owned(resource.to_owned()),
            group: Some(Cow::Owned(group.to_owned())),
            scope: if name.is_some() {
                Scope::Object
            } else {
                Scope::Resource
            },
            name: name.map(Cow::Owned),
            ..KeyParts::default()
        };
        call.verb = Cow::Owned(method);
        refine(event);
    }
}

/// A delayed request of a client: its own limiter, or a server that asked to wait.
pub(super) fn waited<'a>(
    event: &mut Event<'a>,
    record: &'a Record<'a>,
    found: &Found<'a>,
    detail: Detail,
) {
    extract::fields(event, record, found, detail);
    if let Some(target) = found.captures.get("target") {
        // In another program's JSON string the rest of its text follows.
        let end = target
            .iter()
            .position(|b| b.is_ascii_whitespace() || matches!(b, b'"' | b'\\'))
            .unwrap_or(target.len());
        let target = target.get(..end).unwrap_or_default();
        url(event, text(target));
    }
    refine(event);
    // The structured wording (client-go 0.33+) is one message with two reasons.
    if let Some(reason) = record.fields.get("reason")
        && memmem::find(reason.raw, b"client-side throttling").is_none()
    {
        event.kind = "server-wait";
        if detail == Detail::Full && !event.extra.iter().any(|(name, _)| *name == "reason") {
            event
                .extra
                .push(("reason", Extra::Text(clip(reason.text_lossy()))));
        }
    }
}

/// `etcd,etcd-readiness check failed: readyz`, and a line for each that failed.
pub(super) fn checks<'a>(
    event: &mut Event<'a>,
    record: &'a Record<'a>,
    found: &Found<'a>,
    detail: Detail,
) {
    extract::fields(event, record, found, detail);
    let msg: &'a [u8] = &record.msg;
    let mut lines = msg.split(|b| *b == b'\n');
    let head = lines.next().unwrap_or_default();
    let Some(end) = needle::CHECK_FAILED.find(head) else {
        return;
    };
    let names = head.get(..end).unwrap_or_default();
    // What is not there yet, or not any more, is no fault; the rest fails with it.
    let passes = |name: &[u8]| {
        name == b"shutdown" || name == b"informer-sync" || name.starts_with(b"poststarthook/")
    };
    if names.split(|b| *b == b',').any(passes) {
        event.kind = "apiserver-not-ready";
    }
    let failed = lines.find_map(|line| {
        let line = std::str::from_utf8(line.strip_prefix(b"[-]")?).ok()?;
        let (_, error) = line.split_once(" failed: ")?;
        Some(clip(Cow::Borrowed(error)))
    });
    event.error = failed.or(event.error.take());
    if detail == Detail::Full && !names.is_empty() {
        event.extra.push(("checks", Extra::Text(clip(text(names)))));
    }
}

/// The start of a component. `"Starting"` is said by many controllers too, and only with a
/// version by a component.
pub(super) fn start<'a>(
    event: &mut Event<'a>,
    record: &'a Record<'a>,
    found: &Found<'a>,
    detail: Detail,
) -> bool {
    let by = record.caller;
    let version = found
        .captures
        .get("version")
        .or_else(|| record.fields.get("version").map(|version| version.raw));
    if version.is_none() {
        return false;
    }
    if by.starts_with(b"server.go") {
        event.kind = "apiserver-start";
        event.component = Component::Apiserver;
    } else if !by.starts_with(b"controllermanager.go") {
        return false;
    }
    extract::fields(event, record, found, detail);
    true
}

/// The HTTP log in its three ages.
pub(super) fn http<'a>(
    event: &mut Event<'a>,
    record: &'a Record<'a>,
    found: &Found<'a>,
    detail: Detail,
) {
    match record.fields {
        Fields::None => {
            if let Cow::Borrowed(msg) = &record.msg {
                http_text(event, msg, found, detail);
            }
        }
        _ => extract::fields(event, record, found, detail),
    }
    refine(event);
    // How long a watch or a connection stood says nothing of how fast the answer was. One that
    // was handed over to its client has no status.
    let stood = event.api.as_ref().is_some_and(|call| {
        matches!(&*call.verb, "watch" | "connect") || matches!(call.status, Some(0 | 101))
    });
    if stood {
        event.took_ns = None;
    }
    let of_api = event
        .api
        .as_ref()
        .is_some_and(|call| call.parts.scope != Scope::Unknown);
    // The controller-manager and the scheduler log their own /healthz this way.
    if of_api {
        event.component = Component::Apiserver;
        failed_answer(event);
    }
}

/// An answer that tells of a fault of the server is a kind of its own.
fn failed_answer(event: &mut Event<'_>) {
    let Some(call) = event.api.as_deref() else {
        return;
    };
    match call.status {
        Some(504) => event.kind = "http-timeout",
        // What an aggregated server or a custom resource's webhook cannot answer is not etcd's
        // nor kube-apiserver's.
        Some(500..) if call.parts.builtin.is_some() => event.kind = "http-server-error",
        _ => {}
    }
}

/// From this duration on more of a request in the HTTP log counts than its duration: what Kubernetes
/// aims at for the list of a namespace. What took less, and more than 500 ms, kube-apiserver traces
/// at every level at which it writes this log.
pub(in crate::logs) const SLOW_HTTP_NS: u64 = 5_000_000_000;

/// What counting a structured line of the HTTP log takes, read by position: its duration, and
/// whose log it is. `None` for any other form, and where more of it counts.
pub(super) fn http_counts(record: &Record<'_>) -> Option<(Option<u64>, bool)> {
    let Fields::Klog(text) = record.fields else {
        return None;
    };
    let plain = |text: &'_ [u8]| -> Option<(usize, usize)> {
        let end = near2(b'"', b'\\', text)?;
        (text.get(end) == Some(&b'"')).then_some((end, end + 1))
    };
    let rest = text.strip_prefix(b" verb=\"")?;
    let (end, after) = plain(rest)?;
    if matches!(
        rest.get(..end)?,
        b"WATCH" | b"CONNECT" | b"watch" | b"connect"
    ) {
        return None;
    }
    let rest = rest.get(after..)?.strip_prefix(b" URI=\"")?;
    let (end, after) = plain(rest)?;
    let uri = rest.get(..end)?;
    let rest = rest.get(after..)?.strip_prefix(b" latency=\"")?;
    let (end, after) = plain(rest)?;
    let took_ns = parse_go_duration(rest.get(..end)?);
    let rest = rest.get(after..)?;
    // The last of a name counts, and an answer 429 or 5xx is a kind of its own.
    if took_ns.is_none_or(|ns| ns >= SLOW_HTTP_NS)
        || holds_uri(rest)
        || holds_latency(rest)
        || may_be_odd(rest)
    {
        return None;
    }
    Some((took_ns, names_resource(uri)?))
}

/// Whether a status may stand there that makes another kind of the line, or no latency. It is
/// mostly the last field.
fn may_be_odd(text: &[u8]) -> bool {
    match text.last_chunk::<9>() {
        Some([b' ', b'r', b'e', b's', b'p', b'=', status @ ..]) => {
            matches!(status, b"429" | b"101" | [b'5', ..])
        }
        _ => {
            let status = |begin| holds(text, b" resp", begin);
            dispatch::is_429(text) || status(b"=0") || status(b"=101") || status(b"=5")
        }
    }
}

/// Whether ` URI=` stands there. Its first letter is seldom met.
fn holds_uri(text: &[u8]) -> bool {
    holds(text, b" ", b"URI=")
}

/// Whether ` latency=` stands there. Its last letter is seldom met.
fn holds_latency(text: &[u8]) -> bool {
    holds(text, b" latenc", b"y=")
}

/// Whether two texts stand there one after the other, of which the second begins with a letter
/// that is seldom met.
#[inline]
fn holds(text: &[u8], first: &[u8], second: &[u8]) -> bool {
    let Some(letter) = second.first() else {
        return false;
    };
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| find(*letter, rest)) {
        let (before, after) = text.split_at(from + at);
        if before.ends_with(first) && after.starts_with(second) {
            return true;
        }
        from += at + 1;
    }
    false
}

fn http_text<'a>(event: &mut Event<'a>, msg: &'a [u8], found: &Found<'a>, detail: Detail) {
    if msg.starts_with(b"verb=") {
        for (name, value) in Fields::Klog(msg).iter() {
            if let Some(field) = found
                .signature
                .fields
                .iter()
                .find(|field| field.name.as_bytes().eq_ignore_ascii_case(name))
            {
                extract::apply(event, field.role, value, detail);
            }
        }
        return;
    }
    // `GET /api/v1/pods?limit=500: (2.3ms) 200 [kubelet/v1.16 10.0.0.1:4444]`
    let text = String::from_utf8_lossy(msg);
    let Cow::Borrowed(text) = text else {
        return;
    };
    let Some((method, rest)) = text.split_once(' ') else {
        return;
    };
    let Some((path, rest)) = rest.split_once(": (") else {
        return;
    };
    call(event).verb = verb(Cow::Borrowed(method));
    url(event, Cow::Borrowed(path));
    let Some((took, rest)) = rest.split_once(')') else {
        return;
    };
    event.took_ns = parse_go_duration(took.as_bytes());
    let status = rest
        .trim_start()
        .split([' ', '\n'])
        .next()
        .unwrap_or_default();
    call(event).status = status
        .parse()
        .ok()
        .filter(|status| extract::is_status(*status));
    // Up to 1.4 the agent had brackets of its own: `[[kubelet/v1.2] 10.0.0.1:4444]`.
    if let Some((_, who)) = rest.split_once('[')
        && let Some((agent, client)) = who.trim_end_matches(']').rsplit_once(' ')
    {
        let agent = match agent.strip_prefix('[') {
            Some(agent) => agent.trim_end_matches(']'),
            None => agent,
        };
        call(event).user_agent = Some(clip(Cow::Borrowed(agent)));
        event.client = Some(Cow::Borrowed(client));
    }
}

/// An audit record.
pub(super) fn audit<'a>(event: &mut Event<'a>, record: &'a Record<'a>, detail: Detail) {
    let Fields::Json(text) = record.fields else {
        return;
    };
    let Some(audit) = audit::parse(text) else {
        return;
    };
    event.component = Component::Apiserver;
    event.took_ns = audit.latency_ns();
    event.client = audit.source_ip.clone();
    let call = call(event);
    call.verb = audit.verb.clone();
    call.user_agent.clone_from(&audit.user_agent);
    call.subresource.clone_from(&audit.subresource);
    call.status = audit.code;
    call.parts = audit.parts.clone();
    if detail == Detail::Full {
        let mut text = |name, value: Option<Cow<'a, str>>| {
            if let Some(value) = value {
                event.extra.push((name, Extra::Text(value)));
            }
        };
        text("audit_id", Some(audit.audit_id.clone()));
        text("stage", Some(Cow::Borrowed(audit.stage.word())));
        text("user", audit.user.clone());
        text("impersonated", audit.impersonated.clone());
        if let Some(ns) = audit.etcd_ns {
            event.extra.push(("etcd_ms", Extra::Num(ns as f64 / 1e6)));
        }
        if let Some(list) = audit.list {
            event
                .extra
                .push(("list", Extra::Text(Cow::Borrowed(list.source.word()))));
        }
    }
}
