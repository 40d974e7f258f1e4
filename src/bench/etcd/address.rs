//! Where a member is, and how it is reached.

use std::fmt;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::target::etcd::{Endpoint, Scheme};

/// How to reach one member.
#[derive(Clone, Debug)]
pub struct Address {
    /// Where it is.
    pub endpoint: Endpoint,
    /// TLS, and with which trust and certificate; without it, plain.
    pub tls: Option<Arc<ClientConfig>>,
}

impl Address {
    /// Of an endpoint; `tls` is for those that speak it.
    pub fn of(endpoint: &Endpoint, tls: Option<&Arc<ClientConfig>>) -> Result<Self, String> {
        let tls = if endpoint.is_tls() {
            Some(Arc::clone(tls.ok_or_else(|| {
                "it speaks TLS, and no authority is known".to_owned()
            })?))
        } else {
            None
        };
        Ok(Address {
            endpoint: endpoint.clone(),
            tls,
        })
    }

    /// What requests name as their server: a socket has no name, and gRPC calls it localhost.
    pub(super) fn origin(&self) -> String {
        match self.endpoint.scheme {
            Scheme::Unix => "http://localhost".to_owned(),
            Scheme::Http | Scheme::Https => self.endpoint.to_string(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.endpoint.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_print_as_urls_and_a_socket_has_a_server_name_too() {
        let of = |text: &str| Address::of(&Endpoint::parse(text, false).unwrap(), None).unwrap();
        let six = of("[::1]:2379");
        assert_eq!(six.to_string(), "http://[::1]:2379");
        assert_eq!(six.origin(), "http://[::1]:2379");
        let socket = of("unix:///run/etcd.sock");
        assert_eq!(socket.to_string(), "unix:///run/etcd.sock");
        assert_eq!(socket.origin(), "http://localhost");
        let tls = Address::of(&Endpoint::parse("https://a:1", true).unwrap(), None);
        assert!(tls.unwrap_err().contains("no authority"));
    }
}
