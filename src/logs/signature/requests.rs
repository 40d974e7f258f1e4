//! Reads the lines about single etcd requests that are no slow apply: request stats, traces.

use std::borrow::Cow;

use memchr::memmem;

use crate::logs::needle::{after, after_digits, near};

use crate::catalog::resources::{KeyParts, Scope, parse_key};
use crate::logs::event::{Event, Extra, Operation, Request, Response, Shape};
use crate::logs::record::{Record, Value, ValueKind};
use crate::logs::request::names;
use crate::logs::request::{
    Facts, Step, TraceDetail, closing_quote, cut_shape, page_parts, parse_cut_request,
    parse_detail, parse_request_as, parse_step, parse_torn, shape_of,
};
use crate::units::parse_go_duration;

use super::apply::until;
use super::classify::Detail;
use super::dispatch::Found;
use super::extract;

/// Request stats: the only line with the client's address.
pub(super) fn stats<'a>(
    event: &mut Event<'a>,
    record: &'a Record<'a>,
    found: &Found<'a>,
    detail: Detail,
) {
    let mut content = None;
    let mut method: &[u8] = b"";
    let plain = |raw| Value {
        raw,
        kind: ValueKind::Plain,
    };
    let captured = found
        .captures
        .iter()
        .map(|(name, raw)| (name.as_bytes(), plain(raw)));
    for (name, value) in captured.chain(record.fields.iter()) {
        match name {
            b"time spent" => event.took_ns = value.duration_ns(),
            b"remote" if !value.is_torn() => {
                event.client = Some(value.text_lossy()).filter(|client| !client.is_empty());
            }
            b"response type" if !value.is_torn() => method = value.raw,
            b"response count" => event.response.range_response_count = value.as_u64(),
            b"response size" => event.response.size = value.as_u64(),
            b"request content" => content = Some(value),
            b"request size" if detail == Detail::Full => {
                if let Some(size) = value.as_i64().filter(|size| *size >= 0) {
                    event.extra.push(("request_size", Extra::Int(size)));
                }
            }
            _ => {}
        }
    }
    let operation = operation_of_method(method);
    if !matches!(operation, Operation::Range | Operation::DeleteRange) {
        event.response.range_response_count = None;
    }
    event.request = match content {
        Some(content) if content.is_torn() => Some(parse_cut_request(content.raw, operation)),
        Some(content) if !content.raw.is_empty() => Some(parse_request_as(content.raw, operation)),
        _ if operation == Operation::Unknown => None,
        // The line breaks off before its text.
        None => Some(Request::of(operation, {
            let shape = shape_without_text(operation);
            cut_shape(operation, &Facts::default(), shape)
        })),
        // etcd's own /health and empty ranges have no text; leases are never printed.
        _ => Some(Request::of(operation, shape_without_text(operation))),
    };
    if detail == Detail::Full && !method.is_empty() {
        event
            .extra
            .push(("method", Extra::Text(String::from_utf8_lossy(method))));
    }
}

fn shape_without_text(operation: Operation) -> Shape {
    shape_of(operation, &Facts::default(), None, None, Scope::Unknown)
}

/// `/etcdserverpb.KV/Range`.
pub(super) fn operation_of_method(method: &[u8]) -> Operation {
    match method.strip_prefix(b"/etcdserverpb.").unwrap_or_default() {
        b"KV/Range" | b"KV/RangeStream" => Operation::Range,
        b"KV/Put" => Operation::Put,
        b"KV/DeleteRange" => Operation::DeleteRange,
        b"KV/Txn" => Operation::Txn,
        b"KV/Compact" => Operation::Compaction,
        b"Lease/LeaseGrant" => Operation::LeaseGrant,
        b"Lease/LeaseRevoke" => Operation::LeaseRevoke,
        b"Maintenance/Alarm" => Operation::Alarm,
        rest => names::of_method(rest),
    }
}

const AGREEMENT: &[u8] = b"agreement among raft nodes before linearized reading";
const COUNTED: &[u8] = b"count revisions from in-memory index tree";
const FROM_DISK: &[u8] = b"range keys from bolt db";
/// The step of a read loop in which this member applies what the leader has confirmed.
const APPLYING: &[u8] = b"applied index is now lower than readState.Index";
/// A read loop that takes longer would be retried (etcd: v3_server.go, readIndexRetryTime).
const SLOW_LOOP_NS: u64 = 500_000_000;

/// What a trace's steps tell of its request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceSteps {
    /// The wait for the read index.
    pub agreement_ns: Option<u64>,
    /// Keys were counted.
    pub counted: bool,
    /// Keys were read from disk.
    pub from_disk: bool,
}

impl TraceSteps {
    /// Adds a step: its text without the quotes around it. Escapes stay.
    pub fn add(&mut self, text: &[u8]) {
        if let Some(step) = parse_step(text) {
            self.add_step(&step);
        }
    }

    fn add_step(&mut self, step: &Step<'_>) {
        match step.name {
            AGREEMENT => self.agreement_ns = Some(step.took_ns),
            COUNTED => self.counted = true,
            FROM_DISK => self.from_disk = true,
            _ => {}
        }
    }
}

#[derive(Default)]
struct Steps<'a> {
    told: TraceSteps,
    longest: Option<Step<'a>>,
}

/// A trace of an etcd server: `trace[N] range` up to 3.6, `trace` with `operation` from 3.7.
pub(super) fn trace<'a>(event: &mut Event<'a>, record: &'a Record<'a>, detail: Detail) {
    let mut operation = match memchr::memchr(b']', &record.msg) {
        Some(at) => record.msg.get(at + 2..).unwrap_or_default(),
        None => b"",
    };
    let mut text = None;
    let mut steps = Steps::default();
    for (name, value) in record.fields.iter() {
        match name {
            b"operation" => operation = value.raw,
            b"duration" => event.took_ns = value.duration_ns(),
            b"detail" => text = Some(value.bytes()),
            b"steps" => steps = read_steps(value.raw),
            _ => {}
        }
    }
    event.agreement_ns = steps.told.agreement_ns;
    let name = operation;
    let operation = match operation {
        b"range" => Operation::Range,
        b"put" => Operation::Put,
        b"transaction" => Operation::Txn,
        b"compact" => Operation::Compaction,
        b"delete_range" => Operation::DeleteRange,
        b"linearizableReadLoop" => Operation::ReadIndex,
        _ => Operation::Unknown,
    };
    let (request, response) = match &text {
        None => (Request::of(operation, Shape::Other), Response::default()),
        Some(Cow::Borrowed(text)) => traced(operation, parse_detail(text), &steps),
        Some(Cow::Owned(text)) => {
            let (request, response) = traced(operation, parse_detail(text), &steps);
            (owned(request), response)
        }
    };
    event.request = Some(request);
    event.response = response;
    if operation == Operation::ReadIndex && event.took_ns.is_some_and(|ns| ns >= SLOW_LOOP_NS) {
        event.kind = match &steps.longest {
            Some(step) if step.name.starts_with(APPLYING) => "apply-behind",
            _ => "read-loop-slow",
        };
    }
    if detail == Detail::Full {
        if let Some(step) = steps.longest {
            event
                .extra
                .push(("step", Extra::Text(String::from_utf8_lossy(step.name))));
            event
                .extra
                .push(("step_ms", Extra::Num(step.took_ns as f64 / 1e6)));
        }
        if operation == Operation::Unknown && !name.is_empty() {
            event
                .extra
                .push(("operation_name", Extra::Text(String::from_utf8_lossy(name))));
        }
    }
}

fn longest<'a>(steps: &mut Steps<'a>, step: Step<'a>) {
    if steps
        .longest
        .is_none_or(|longest| longest.took_ns < step.took_ns)
    {
        steps.longest = Some(step);
    }
}

/// The commonest step as it is written, up to its closing quote: how long it took, and what
/// follows. As [`parse_step`] would read it.
pub fn agreement_step(body: &[u8]) -> Option<(u64, &[u8])> {
    let rest = after_digits(body.strip_prefix(b"trace[")?)?;
    let rest = after(
        rest,
        b"] 'agreement among raft nodes before linearized reading'  (duration: ",
    )?;
    let (took, rest) = rest.split_at(near(b')', rest)?);
    Some((parse_go_duration(took)?, rest.strip_prefix(b")\"")?))
}

/// The steps: a JSON array of texts. Only names and durations matter, so escapes stay.
fn read_steps(raw: &[u8]) -> Steps<'_> {
    let mut out = Steps::default();
    let mut rest = raw;
    while let Some(open) = near(b'"', rest) {
        let body = rest.get(open + 1..).unwrap_or_default();
        if let Some((took_ns, after)) = agreement_step(body) {
            out.told.agreement_ns = Some(took_ns);
            longest(
                &mut out,
                Step {
                    name: AGREEMENT,
                    took_ns,
                },
            );
            rest = after;
            continue;
        }
        let end = closing_quote(body).unwrap_or(body.len());
        if let Some(step) = body.get(..end).and_then(parse_step) {
            out.told.add_step(&step);
            longest(&mut out, step);
        }
        rest = body.get(end + 1..).unwrap_or_default();
    }
    out
}

fn traced<'a>(
    operation: Operation,
    detail: TraceDetail<'a>,
    steps: &Steps<'_>,
) -> (Request<'a>, Response) {
    let facts = Facts {
        count_only: steps.told.counted,
        operations: 1,
        ..Facts::default()
    };
    let mut parts = match detail.key {
        Some(key) if detail.key_torn => parse_torn(key),
        Some(key) => parse_key(key),
        None => KeyParts::default(),
    };
    let mut shape = shape_of(operation, &facts, detail.key, detail.range_end, parts.scope);
    // A trace does not say `count_only`. Where nothing was read and nothing was counted, an
    // empty list and a count poll look alike.
    if shape == Shape::List && !steps.told.from_disk && detail.response_count.unwrap_or(0) == 0 {
        shape = Shape::Other;
    }
    if operation == Operation::Txn || (operation == Operation::Range && detail.key.is_none()) {
        // The trace of a transaction has no key, so it is not known what it was for.
        shape = if operation == Operation::Txn {
            Shape::Txn
        } else {
            Shape::Other
        };
    }
    if detail.cut {
        shape = cut_shape(operation, &facts, shape);
        if detail.range_end.is_none() && operation == Operation::Range {
            // The end that follows may make a position of what looks like a name.
            parts.name = None;
        }
    }
    let mut request = Request::of(operation, shape);
    request.torn = detail.key_torn;
    request.parts = match detail.range_end {
        Some(end) => page_parts(parts, end),
        None => parts,
    };
    request.key = detail.key.map(Cow::Borrowed);
    request.range_end = detail.range_end.map(Cow::Borrowed);
    request.value_size = None;
    request.revision = detail.revision;
    let response = Response {
        range_response_count: detail
            .response_count
            .filter(|_| operation == Operation::Range),
        size: None,
    };
    (request, response)
}

fn owned<'a>(request: Request<'_>) -> Request<'a> {
    let own = |bytes: Cow<'_, [u8]>| Cow::Owned(bytes.into_owned());
    Request {
        operation: request.operation,
        shape: request.shape,
        id: request.id,
        key: request.key.map(own),
        range_end: request.range_end.map(own),
        parts: request.parts.into_owned(),
        limit: request.limit,
        revision: request.revision,
        count_only: request.count_only,
        keys_only: request.keys_only,
        serializable: request.serializable,
        leased: request.leased,
        operations: request.operations,
        value_size: request.value_size,
        torn: request.torn,
    }
}

/// A lease that could not be revoked.
pub(super) fn lease_revoke<'a>(
    event: &mut Event<'a>,
    record: &'a Record<'a>,
    found: &Found<'a>,
    detail: Detail,
) {
    extract::fields(event, record, found, detail);
    event.request = Some(Request::of(Operation::LeaseRevoke, Shape::Lease));
}

/// A failed probe of /health. From 3.6 on this is the only place where an alarm shows, so its
/// name and member are read here rather than by the declared fields.
pub(super) fn health<'a>(
    event: &mut Event<'a>,
    record: &'a Record<'a>,
    found: &Found<'a>,
    detail: Detail,
) {
    extract::fields(event, record, found, detail);
    event
        .extra
        .retain(|(name, _)| !matches!(*name, "alarm" | "peer"));
    let text = |name| record.fields.get(name).map(|value: Value<'a>| value.raw);
    let captured = found.captures.get("alarm-type");
    let texts = [captured, text("alarm"), text("output"), text("reason")];
    let alarm = texts.into_iter().flatten().find_map(|text| {
        ["NOSPACE", "CORRUPT"]
            .into_iter()
            .find(|alarm| memmem::find(text, alarm.as_bytes()).is_some())
    });
    let Some(alarm) = alarm else {
        return;
    };
    event.kind = "health-alarm";
    if detail == Detail::Counts {
        return;
    }
    event
        .extra
        .push(("alarm", Extra::Text(Cow::Borrowed(alarm))));
    // Decimal here and hexadecimal everywhere else.
    let member = found.captures.get("memberID").or_else(|| {
        let text = text("alarm")?.strip_prefix(b"memberID:")?;
        until(text, b" ")
    });
    let member = member
        .and_then(|member| std::str::from_utf8(member).ok())
        .and_then(|member| member.parse::<u64>().ok());
    if let Some(member) = member {
        event
            .extra
            .push(("peer", Extra::Text(Cow::Owned(format!("{member:x}")))));
    }
}

/// A peer's clock that differs. The line is written from one second on, so of two durations that
/// stand the wrong way round (early 3.4) the smaller one is below that.
pub(super) fn drift<'a>(
    event: &mut Event<'a>,
    record: &'a Record<'a>,
    found: &Found<'a>,
    detail: Detail,
) {
    const LEAST_NS: u64 = 1_000_000_000;
    extract::fields(event, record, found, detail);
    let value = |name| record.fields.get(name)?.duration_ns();
    let (Some(drift), Some(rtt)) = (value("clock-drift"), value("rtt")) else {
        return;
    };
    if drift >= LEAST_NS || rtt < LEAST_NS {
        return;
    }
    event.took_ns = Some(rtt);
    for (name, extra) in &mut event.extra {
        if *name == "rtt_ms" {
            *extra = Extra::Num(drift as f64 / 1e6);
        }
    }
}

/// A call that an etcd client repeats; one that its caller gave up is no sign of anything.
pub(super) fn client_retry<'a>(
    event: &mut Event<'a>,
    record: &'a Record<'a>,
    found: &Found<'a>,
    detail: Detail,
) {
    extract::fields(event, record, found, detail);
    let method = record.fields.get("method").map(|method| method.raw);
    let operation = operation_of_method(method.unwrap_or_default());
    if operation != Operation::Unknown {
        event.request = Some(Request::of(operation, Shape::Other));
    }
    let code = |code: &str| {
        let error = event.error.as_deref().unwrap_or_default();
        error.contains(&format!("code = {code} "))
    };
    if code("Canceled") {
        event.kind = "etcd-client-canceled";
    } else if code("OutOfRange") || code("NotFound") {
        event.kind = "etcd-client-answered";
    }
}
