//! The catalogue of messages: which text means what, and which of its parts are worth keeping.
//!
//! Every message is declared once, in one of the family tables: its id, who writes it, in which
//! versions, the texts it is recognised by, its fields, and a sample line for each text. The
//! dispatch of [`classify`] is built from the tables: a hash of the `msg` for zap and structured
//! klog, the first bytes for capnslog, one Aho-Corasick automaton for free text.

mod api;
mod api_trace;
mod apply;
mod classify;
mod dispatch;
mod ending;
mod etcd_peers;
mod etcd_raft;
mod etcd_requests;
mod etcd_server;
mod etcd_stalls;
mod etcd_storage;
mod etcd_warnings;
mod extract;
mod kernel;
mod kine;
mod kube_apiserver;
mod kube_clients;
mod kube_errors;
mod origin;
mod requests;
mod template;
mod types;
mod watch_cache;

use std::sync::LazyLock;

pub(super) use api::SLOW_HTTP_NS;
pub use api_trace::traced_day;
pub use classify::{
    Detail, classify, classify_as, classify_http, classify_plain, plain_fields, warm_up,
};
pub use extract::PlainFields;
pub use origin::{CLOUD_MANAGER, is_etcd};
pub use requests::{TraceSteps, agreement_step};
pub use types::{Extractor, Field, Form, How, Nature, Role, Signature};

/// Whether a whole text is a message of etcd's, as zap has it.
pub fn is_message(text: &[u8]) -> bool {
    dispatch::message(text).is_some()
}

/// The family tables. Earlier tables win where free text could mean two things.
static FAMILIES: [&[Signature]; 13] = [
    etcd_requests::TABLE,
    etcd_stalls::TABLE,
    etcd_raft::TABLE,
    etcd_peers::TABLE,
    etcd_storage::TABLE,
    etcd_server::TABLE,
    etcd_warnings::TABLE,
    kine::TABLE,
    kube_clients::TABLE,
    kube_errors::TABLE,
    kube_apiserver::TABLE,
    watch_cache::TABLE,
    kernel::TABLE,
];

static CATALOGUE: LazyLock<Vec<&'static Signature>> = LazyLock::new(|| {
    let mut all: Vec<_> = FAMILIES.iter().copied().flatten().collect();
    all.sort_by_key(|signature| signature.id);
    all
});

/// All signatures, sorted by id.
pub fn catalogue() -> &'static [&'static Signature] {
    &CATALOGUE
}

/// A signature by its id.
pub fn signature(id: &str) -> Option<&'static Signature> {
    CATALOGUE
        .binary_search_by_key(&id, |signature| signature.id)
        .ok()
        .and_then(|at| CATALOGUE.get(at))
        .copied()
}

#[cfg(test)]
mod tests;
