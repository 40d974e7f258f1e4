//! Reads slow apply and its relatives: etcd's frame around a request and its answer.

use memchr::memmem;

use crate::logs::event::{Event, Operation, Request, Shape};
use crate::logs::record::{Encoding, Record, Value, ValueKind};
use crate::logs::request::{
    closing_quote, parse_cut_request, parse_request, parse_response, response_error,
};
use crate::units::parse_go_duration;

use super::extract;

/// Slow apply, failed apply, and the frames of patched servers that log every request. False
/// when a text only begins like one.
pub(super) fn apply<'a>(event: &mut Event<'a>, record: &'a Record<'a>) -> bool {
    if matches!(record.encoding, Encoding::ZapJson | Encoding::ZapConsole) {
        apply_fields(event, record);
        return true;
    }
    if apply_text(event, &record.msg) {
        return true;
    }
    // zap's message and fields in logrus' form; a text that has quotes is a frame of its own.
    if record.encoding != Encoding::Logrus || record.msg.contains(&b'"') {
        return false;
    }
    apply_fields(event, record);
    event.took_ns.is_some() || event.request.is_some()
}

fn apply_fields<'a>(event: &mut Event<'a>, record: &'a Record<'a>) {
    let mut read_only = false;
    for (name, value) in record.fields.iter() {
        match name {
            b"took" => event.took_ns = value.duration_ns(),
            b"expected-duration" => event.expected_ns = value.duration_ns(),
            b"prefix" => read_only = value.raw.starts_with(b"read-only range"),
            b"request" => event.request = request_of(&value),
            b"response" if value.kind != ValueKind::Torn => {
                event.response = parse_response(value.raw);
            }
            b"error" => event.error = Some(extract::clip(value.text_lossy())),
            _ => {}
        }
    }
    if event.request.is_none() && read_only {
        event.request = Some(Request::of(Operation::Range, Shape::Other));
    }
}

/// A request text in a JSON value. Empty text is no request.
fn request_of<'a>(value: &Value<'a>) -> Option<Request<'a>> {
    if value.raw.is_empty() {
        return None;
    }
    Some(match value.is_torn() {
        true => parse_cut_request(value.raw, Operation::Unknown),
        false => parse_request(value.raw),
    })
}

/// `PREFIXrequest "REQ" with result "RES" took too long (D) to execute`.
fn apply_text<'a>(event: &mut Event<'a>, msg: &'a [u8]) -> bool {
    if let Some(rest) = msg.strip_prefix(b"failed to apply request,took ") {
        failed_unquoted(event, rest);
        return true;
    }
    // The frame begins within its prefix: `read-only range `, `failed to apply `.
    let head = msg.get(..40).unwrap_or(msg);
    let Some(at) = memmem::find(head, b"request \"") else {
        return apply_tail(event, msg);
    };
    let body = msg.get(at + 9..).unwrap_or_default();
    let Some(end) = closing_quote(body) else {
        // Cut inside the request.
        event.request = Some(parse_cut_request(body, Operation::Unknown));
        return is_known(event);
    };
    if framed(event, body, end) {
        return true;
    }
    // Inner quotes that lost their backslashes, as in a shell or a chat: the first of them ends
    // nothing.
    match unescaped_end(body) {
        Some(end) => framed(event, body, end),
        None if body.get(..end).is_some_and(|text| text.ends_with(b":")) => {
            event.request = Some(parse_cut_request(body, Operation::Unknown));
            is_known(event)
        }
        None => false,
    }
}

/// The end of a request text by what follows it.
fn unescaped_end(body: &[u8]) -> Option<usize> {
    const FOLLOWS: [&[u8]; 4] = [
        b"\" with result \"",
        b"\" with response \"",
        b"\" took too long (",
        b"\" took (",
    ];
    let places = FOLLOWS.iter().filter_map(|text| memmem::find(body, text));
    places.min()
}

/// `REQ" with result "RES" took too long (D) to execute`, with the request's end known.
fn framed<'a>(event: &mut Event<'a>, body: &'a [u8], end: usize) -> bool {
    let (request, mut rest) = body.split_at(end);
    rest = rest.get(1..).unwrap_or_default();
    if !request.is_empty() {
        event.request = Some(parse_request(request));
    }
    let result = rest
        .strip_prefix(b" with result \"")
        .or_else(|| rest.strip_prefix(b" with response \""));
    if let Some(result) = result {
        let (text, after, whole) = match closing_quote(result) {
            Some(end) => {
                let (text, after) = result.split_at(end);
                (text, after.get(1..).unwrap_or_default(), true)
            }
            None => (result, &b""[..], false),
        };
        match response_error(text) {
            Some(error) => event.error = Some(extract::clip(extract::unescaped(error))),
            None if whole => event.response = parse_response(text),
            None => {}
        }
        rest = after;
    }
    let too_long = rest.strip_prefix(b" took too long (");
    let took = too_long.or_else(|| rest.strip_prefix(b" took ("));
    if let Some(took) = took {
        event.took_ns = until(took, b")").and_then(parse_go_duration);
        if too_long.is_none() && event.kind == "slow-apply" {
            // Servers patched to log every request (kubemark): not slow.
            event.kind = "request-logged";
        }
    }
    if let Some(at) = memmem::find(rest, b", err is ") {
        let error = rest.get(at + 9..).unwrap_or_default();
        event.error = Some(extract::clip(String::from_utf8_lossy(error)));
    }
    // Other programs begin their lines with `request "` too.
    result.is_some() || took.is_some() || (rest.is_empty() && is_known(event))
}

fn is_known(event: &Event<'_>) -> bool {
    event
        .request
        .as_ref()
        .is_some_and(|request| request.operation != Operation::Unknown)
}

/// The end of a line whose beginning was lost: `nt:1 size:518" took too long (395ms) to execute`.
fn apply_tail<'a>(event: &mut Event<'a>, msg: &'a [u8]) -> bool {
    const MARK: &[u8] = b" took too long (";
    let Some(at) = memmem::find(msg, MARK) else {
        return false;
    };
    let (before, after) = msg.split_at(at);
    let after = after.get(MARK.len()..).unwrap_or_default();
    let Some(took) = until(after, b") to execute") else {
        return false;
    };
    event.took_ns = parse_go_duration(took);
    if let Some(at) = memmem::rfind(before, b"size:") {
        event.response.size = parse_response(before.get(at..).unwrap_or_default()).size;
    }
    event.took_ns.is_some()
}

/// `D,request REQ,resp RES,err is ERR` of late 3.3: nothing is quoted.
fn failed_unquoted<'a>(event: &mut Event<'a>, rest: &'a [u8]) {
    event.took_ns = until(rest, b",request ").and_then(parse_go_duration);
    let between = |from: &[u8], to: &[u8]| {
        let at = memmem::find(rest, from)? + from.len();
        let body = rest.get(at..)?;
        let whole = until(body, to);
        Some((whole.unwrap_or(body), whole.is_some()))
    };
    event.request = between(b",request ", b",resp ").map(|(request, whole)| match whole {
        true => parse_request(request),
        false => parse_cut_request(request, Operation::Unknown),
    });
    if let Some((response, true)) = between(b",resp ", b",err is ") {
        event.response = parse_response(response);
    }
    event.error =
        between(b",err is ", b"\n").map(|(error, _)| extract::clip(String::from_utf8_lossy(error)));
}

pub(super) fn until<'a>(text: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    text.get(..memmem::find(text, end)?)
}
