//! The `detail` and `steps` of a trace record.
//!
//! Keys are raw here: not escaped, and they may hold `; `. A detail ends in `; }`, and each field
//! ends before the next `; NAME:` of a known name.

use memchr::memmem;

use crate::logs::needle::{self, near};
use crate::units::parse_go_duration;

/// What a trace's `detail` said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceDetail<'a> {
    /// `range_begin` or `key`.
    pub key: Option<&'a [u8]>,
    /// `range_end`; absent when empty.
    pub range_end: Option<&'a [u8]>,
    /// `response_count`.
    pub response_count: Option<u64>,
    /// `req_size` of a put.
    pub req_size: Option<u64>,
    /// `revision` of a compaction.
    pub revision: Option<u64>,
    /// `number_of_response` of a transaction.
    pub number_of_response: Option<u64>,
    /// `read_only` of a transaction.
    pub read_only: Option<bool>,
    /// The text breaks off: more may have followed.
    pub cut: bool,
    /// It does so inside the key.
    pub key_torn: bool,
}

const NAMES: [&[u8]; 13] = [
    b"range_begin:",
    b"range_end:",
    b"response_count:",
    b"response_revision:",
    b"key:",
    b"req_size:",
    b"read_only:",
    b"number_of_response:",
    b"revision:",
    b"readStateIndex:",
    b"appliedIndex:",
    b"deleted:",
    b"limit:",
];

/// Reads `{range_begin:/registry/pods/; range_end:/registry/pods0; response_count:3; }`.
pub fn parse_detail(text: &[u8]) -> TraceDetail<'_> {
    let mut out = TraceDetail {
        cut: !text.is_empty() && !text.ends_with(b"}"),
        ..TraceDetail::default()
    };
    let mut rest = text.strip_prefix(b"{").unwrap_or(text);
    while let Some(name) = NAMES.iter().find(|name| rest.starts_with(name)) {
        let body = rest.get(name.len()..).unwrap_or_default();
        let end = field_end(body);
        let (value, whole) = match end {
            Some(end) => (body.get(..end).unwrap_or_default(), true),
            None => (body, false),
        };
        let number = || {
            whole
                .then(|| std::str::from_utf8(value).ok()?.parse().ok())
                .flatten()
        };
        match *name {
            b"range_begin:" | b"key:" => (out.key, out.key_torn) = (Some(value), !whole),
            b"range_end:" => out.range_end = Some(value).filter(|end| whole && !end.is_empty()),
            b"response_count:" => out.response_count = number(),
            b"req_size:" => out.req_size = number(),
            b"revision:" => out.revision = number(),
            b"number_of_response:" => out.number_of_response = number(),
            b"read_only:" => out.read_only = whole.then_some(value == b"true"),
            _ => {}
        }
        let Some(end) = end else { break };
        rest = body.get(end + 2..).unwrap_or_default();
    }
    out
}

/// Where a value ends: at `; }` at the very end, or at `; ` before a known name.
fn field_end(body: &[u8]) -> Option<usize> {
    memmem::find_iter(body, b"; ").find(|at| {
        let after = body.get(at + 2..).unwrap_or_default();
        matches!(after, [] | [b'}']) || NAMES.iter().any(|name| after.starts_with(name))
    })
}

/// One step of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// What was done, without quotes.
    pub name: &'a [u8],
    /// How long it took, in nanoseconds.
    pub took_ns: u64,
}

/// Reads one step: `trace[1] 'NAME' {k:v; } (duration: 1.2ms)`, in 3.7 without `trace[1] `.
pub fn parse_step(text: &[u8]) -> Option<Step<'_>> {
    const DURATION: &[u8] = b"(duration: ";
    let open = near(b'\'', text)?;
    // The last bracket is the duration's, unless something follows it.
    let at = last_bracket(text)
        .filter(|at| {
            text.get(*at..)
                .is_some_and(|text| text.starts_with(DURATION))
        })
        .or_else(|| needle::STEP_DURATION.rfind(text))?;
    let head = text.get(open + 1..at)?;
    // A name may hold an apostrophe (`get key's previous created_revision`): the quote that
    // closes it is followed by its detail or two spaces.
    let mut close = near(b'\'', head)?;
    while head.get(close + 1) != Some(&b' ') {
        close += 1 + near(b'\'', head.get(close + 1..)?)?;
    }
    let body = text.get(at + DURATION.len()..)?;
    let end = near(b')', body)?;
    Some(Step {
        name: head.get(..close)?,
        took_ns: parse_go_duration(body.get(..end)?)?,
    })
}

/// The last bracket, which is mostly near the end.
fn last_bracket(text: &[u8]) -> Option<usize> {
    const NEAR_END: usize = 32;
    let from = text.len().saturating_sub(NEAR_END);
    let (head, tail) = text.split_at(from);
    match tail.iter().rposition(|byte| *byte == b'(') {
        Some(at) => Some(from + at),
        None => memchr::memrchr(b'(', head),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_of_each_operation() {
        let detail = parse_detail(
            b"{range_begin:/registry/pods/; range_end:/registry/pods0; response_count:3; \
              response_revision:15; }",
        );
        assert_eq!(detail.key, Some(&b"/registry/pods/"[..]));
        assert_eq!(detail.range_end, Some(&b"/registry/pods0"[..]));
        assert_eq!(detail.response_count, Some(3));
        let detail = parse_detail(b"{range_begin:/a; b; range_end:; response_count:0; }");
        assert_eq!(detail.key, Some(&b"/a; b"[..]));
        assert_eq!(detail.range_end, None);
        let detail =
            parse_detail(b"{read_only:false; response_revision:9; number_of_response:1; }");
        assert_eq!(detail.number_of_response, Some(1));
        assert_eq!(detail.read_only, Some(false));
        // Cut: what is there is used, numbers are not trusted.
        let detail = parse_detail(b"{range_begin:/registry/pods/; range_end:; response_count:3");
        assert_eq!(detail.key, Some(&b"/registry/pods/"[..]));
        assert_eq!(detail.response_count, None);
        assert!(detail.cut && !detail.key_torn);
        let detail = parse_detail(b"{range_begin:/registry/masterle");
        assert!(detail.cut && detail.key_torn);
        let detail = parse_detail(b"{range_begin:/registry/pods/; range_end:/registry/po");
        assert_eq!((detail.range_end, detail.cut), (None, true));
    }

    #[test]
    fn steps_of_both_ages() {
        let step = |text: &'static [u8]| {
            parse_step(text).map(|step| (std::str::from_utf8(step.name).unwrap(), step.took_ns))
        };
        assert_eq!(
            step(b"trace[1] 'agreement among raft nodes before linearized reading'  (duration: 122.764756ms)"),
            Some((
                "agreement among raft nodes before linearized reading",
                122_764_756
            ))
        );
        assert_eq!(
            step(b"'get key's previous created_revision and leaseID' {req_type:put; key:/a; req_size:9; } (duration: 1s)"),
            Some(("get key's previous created_revision and leaseID", 1_000_000_000))
        );
        assert_eq!(step(b"trace[1] 'torn' (dur"), None);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text: Vec<u8>) {
            let _ = parse_detail(&text);
            let _ = parse_step(&text);
        }
    }
}
