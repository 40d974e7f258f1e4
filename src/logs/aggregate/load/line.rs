//! The lines that etcd writes of one request: who wrote one, which one it is, and what it has in
//! common with the others.

use crate::logs::aggregate::hash::stable_hash;
use crate::logs::aggregate::join::{Item, LineKind};
use crate::logs::event::{Event, Operation, Request, Shape};
use crate::logs::record::Outer;

/// Who wrote a line, as far as it matters for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer {
    /// Which of the stream's writers; 0 where no wrapper names it.
    pub id: u32,
    /// Whether it samples.
    pub samples: bool,
}

impl Writer {
    /// The writer of zap's lines without a wrapper that says anything of it.
    pub const BARE: Writer = Writer {
        id: 0,
        samples: true,
    };

    /// The writer of a zap line.
    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is one too")]
    pub fn of(outer: &Outer<'_>) -> Self {
        let id = match outer.writer {
            0 => 0,
            hash => ((hash ^ hash >> 32) as u32).max(1),
        };
        Writer {
            id,
            samples: !outer.unsampled,
        }
    }
}

/// Which line of a request an event is.
pub(super) fn kind_of(event: &Event<'_>) -> Option<LineKind> {
    match event.kind {
        "slow-apply" => Some(LineKind::Apply),
        "trace" => Some(LineKind::Trace),
        "request-stats" => Some(LineKind::Stats),
        _ => None,
    }
}

/// What the joiner needs to know of an event, for those that are lines about one request.
pub fn item_of(event: &Event<'_>, outer: &Outer<'_>) -> Option<(Item, LineKind)> {
    let writer = Writer::of(outer).id;
    let kind = kind_of(event)?;
    match &event.request {
        Some(request) => match request.operation {
            Operation::ReadIndex | Operation::V2 | Operation::Cluster(_) => None,
            _ => Some((item(event, request, kind, writer), kind)),
        },
        None if kind == LineKind::Apply => {
            let lost = Request::of(Operation::Unknown, Shape::Other);
            Some((item(event, &lost, kind, writer), kind))
        }
        None => None,
    }
}

pub(super) fn item(event: &Event<'_>, request: &Request<'_>, kind: LineKind, writer: u32) -> Item {
    let operation = u64::from(request.operation.number());
    let key = match request.key.as_deref() {
        Some(key) => {
            let end = request.range_end.as_deref().unwrap_or_default();
            Some(stable_hash(stable_hash(operation, key), end))
        }
        None if kind == LineKind::Trace && request.operation == Operation::Txn => None,
        None => Some(stable_hash(operation, b"")),
    };
    Item {
        kind,
        key,
        txn: request.operation == Operation::Txn,
        writer,
        time_us: event.time.map(|at| at.0),
        took_us: i64::try_from(event.took_ns.unwrap_or(0) / 1000).unwrap_or(i64::MAX),
    }
}

/// `10.0.0.1:41230` and `[::1]:41230` without the port, which changes with every connection.
pub(super) fn host_of(client: &str) -> &str {
    match client.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            host.trim_matches(['[', ']'])
        }
        _ => client,
    }
}
