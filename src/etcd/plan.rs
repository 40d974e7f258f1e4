//! What to ask of etcd, and within which limits.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Clock;
use crate::formats::x509::Certificate;
use crate::target::etcd::{Access, Endpoint};

/// What to ask.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where to begin.
    pub endpoints: Vec<Endpoint>,
    /// Credentials and time limits.
    pub access: Access,
    /// Whether to ask the members that the given ones list.
    pub follow: bool,
    /// Time between the two looks at each member.
    pub window: Duration,
    /// Reads of each kind that each member answers.
    pub reads: u32,
    /// Compare hashes where every database is at most this large.
    pub hash: Option<u64>,
    /// Members that others call otherwise, such as by their node's name.
    pub known_as: BTreeMap<String, String>,
    /// Where "now" comes from.
    pub clock: Clock,
}

impl Plan {
    /// The client certificate with the name of its file, where there is one.
    pub fn own_certificate(&self) -> Option<(Certificate, String)> {
        let cert = &self.access.identity.as_ref()?.cert;
        let first = Certificate::of_pem(&cert.bytes).into_iter().next()?;
        Some((first, cert.path.clone()))
    }

    /// The usual questions.
    pub fn new(endpoints: Vec<Endpoint>, access: Access, clock: Clock) -> Self {
        Plan {
            endpoints,
            access,
            follow: true,
            window: Duration::from_secs(10),
            reads: 10,
            hash: None,
            known_as: BTreeMap::new(),
            clock,
        }
    }
}
