//! What a request is for Kubernetes: list, count poll, get, probe, health check, write.

use crate::catalog::resources::{Scope, is_health_key};
use crate::logs::event::{Operation, Shape};

/// What the first compare of a transaction asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// The key must not exist: revision or version 0.
    Absent,
    /// The key must have this revision or version.
    Revision,
    /// Something else: a value, a lease.
    Other,
}

/// What a request text said beside its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `limit:`.
    pub limit: Option<u64>,
    /// `revision:` of a range or compaction.
    pub revision: Option<u64>,
    /// `count_only:true`.
    pub count_only: bool,
    /// `keys_only:true`.
    pub keys_only: bool,
    /// `serializable:true`.
    pub serializable: bool,
    /// A sort order or target was given.
    pub sorted: bool,
    /// The put has a lease.
    pub lease: bool,
    /// `value_size:` of the first put.
    pub value_size: Option<u64>,
    /// Number of compares.
    pub compares: u32,
    /// The first compare.
    pub compare: Option<Compare>,
    /// Operations of the success branch.
    pub operations: u32,
    /// Puts among them.
    pub puts: u32,
    /// Ranges among them.
    pub ranges: u32,
    /// Deletes among them.
    pub deletes: u32,
    /// A v2 request's method is QGET.
    pub v2_qget: bool,
    /// The text breaks off: more may have followed.
    pub cut: bool,
}

/// The shape of a request. `scope` is what the key names.
pub fn shape_of(
    operation: Operation,
    facts: &Facts,
    key: Option<&[u8]>,
    range_end: Option<&[u8]>,
    scope: Scope,
) -> Shape {
    let compactor = key == Some(b"compact_rev_key");
    match operation {
        Operation::Range if compactor => Shape::Compaction,
        Operation::Range => range_shape(facts, key, range_end, scope),
        Operation::Put if compactor => Shape::Compaction,
        Operation::Put => Shape::Update,
        Operation::DeleteRange => Shape::Delete,
        Operation::Txn if compactor => Shape::Compaction,
        Operation::Txn => txn_shape(facts),
        Operation::LeaseGrant | Operation::LeaseRevoke | Operation::LeaseCheckpoint => Shape::Lease,
        Operation::Call(name) if name.starts_with("lease") => Shape::Lease,
        Operation::Compaction => Shape::Compaction,
        Operation::V2 if facts.v2_qget => Shape::Health,
        _ => Shape::Other,
    }
}

/// The shape of a request whose text breaks off: what is missing may say something else. `shape` is
/// what the text so far would be.
pub fn cut_shape(operation: Operation, facts: &Facts, shape: Shape) -> Shape {
    match (operation, shape) {
        // All that decides about a count stands before its last word.
        (Operation::Range, Shape::Count) => Shape::Count,
        (Operation::Range, _) => Shape::Other,
        // What is compared stands before what is put.
        (Operation::Txn, Shape::Create | Shape::Update | Shape::Compaction) => shape,
        (Operation::Txn, _) if facts.puts == 0 => Shape::Other,
        _ => shape,
    }
}

fn range_shape(facts: &Facts, key: Option<&[u8]>, range_end: Option<&[u8]>, scope: Scope) -> Shape {
    let Some(key) = key else {
        // A whole text without a key: etcd's own /health reads nothing in particular (3.5+:
        // limit:1 keys_only:true).
        return Shape::Health;
    };
    match range_end {
        None if is_health_key(key) => Shape::Health,
        _ if facts.count_only => Shape::Count,
        // `/registry/pods` with limit 1: the watch cache asks for the current revision.
        None if scope == Scope::ResourceBare => Shape::RevisionProbe,
        None => Shape::Get,
        // `\000` to `\000` is the whole keyspace, not a continued page.
        Some(b"\0") => Shape::List,
        Some(_) if key.ends_with(b"\0") => Shape::Page,
        Some(end) if facts.limit.is_some_and(|limit| limit > 0) && !is_prefix_end(key, end) => {
            Shape::Page
        }
        Some(_) => Shape::List,
    }
}

/// Whether `end` is the end of the range of all keys that begin with `key`.
fn is_prefix_end(key: &[u8], end: &[u8]) -> bool {
    match (key.split_last(), end.split_last()) {
        (Some((last, head)), Some((end_last, end_head))) => {
            head == end_head && last.checked_add(1) == Some(*end_last)
        }
        _ => false,
    }
}

fn txn_shape(facts: &Facts) -> Shape {
    match facts {
        Facts {
            deletes: 1..,
            puts: 0,
            ..
        } => Shape::Delete,
        Facts { puts: 0, .. } => Shape::Txn,
        Facts {
            compare: Some(Compare::Absent),
            ..
        } => Shape::Create,
        Facts {
            compare: Some(Compare::Revision) | None,
            ..
        } => Shape::Update,
        Facts {
            compare: Some(Compare::Other),
            ..
        } => Shape::Txn,
    }
}
