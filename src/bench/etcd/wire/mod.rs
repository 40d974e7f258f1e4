//! etcd's protocol, as far as a load needs it: requests written by hand, answers read by field.
//!
//! Generated types would cost an allocation for each field of each request; a load wants to
//! measure the server, not itself. Field numbers are those of etcd's `api/etcdserverpb/rpc.proto`
//! and `api/mvccpb/kv.proto`, unchanged from 3.0 on. What an answer holds beyond the fields that
//! are read here is skipped, so newer servers are no problem.

mod answer;
mod fields;
mod message;
pub mod path;
mod request;

pub use answer::{
    Member, Ranged, Status, Watched, keys, leased, members, ranged, status, token, txn_answer,
    txn_found, watched,
};
pub use message::PREFIX;
pub use request::{
    Range, Then, authenticate, delete_range, empty, lease_grant, lease_id, put, txn, watch_create,
};
