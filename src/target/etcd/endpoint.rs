//! An address of etcd, as etcdctl takes it: a URL, `HOST:PORT`, or a unix socket.

use std::fmt;

/// How bytes travel to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Plain TCP.
    Http,
    /// TLS over TCP.
    Https,
    /// A unix socket.
    Unix,
}

/// One address of an etcd server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// How to talk.
    pub scheme: Scheme,
    /// `HOST:PORT`, or the path of a socket.
    pub address: String,
}

impl Endpoint {
    /// Reads what people and member lists write. `tls` says what an address without a scheme
    /// means, as etcdctl does: TLS when certificates are given.
    pub fn parse(text: &str, tls: bool) -> Result<Self, String> {
        let text = text.trim();
        let bad = |why: &str| Err(format!("`{}` is no endpoint: {why}", masked(text)));
        if let Some(path) = text
            .strip_prefix("unix://")
            .or_else(|| text.strip_prefix("unix:"))
        {
            return if path.is_empty() {
                bad("the path of the socket is missing")
            } else {
                Ok(Endpoint {
                    scheme: Scheme::Unix,
                    address: path.to_owned(),
                })
            };
        }
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(("unixs", _)) => return bad("TLS over a unix socket is not supported"),
            Some(_) => return bad("it begins with neither http://, https:// nor unix://"),
            None if tls => (Scheme::Https, text),
            None => (Scheme::Http, text),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return bad("a user goes into --user, not into the address");
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') && !host.is_empty() => (host, port),
            // etcdctl's own default port.
            _ => (authority, "2379"),
        };
        if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return bad("the host is missing");
        }
        if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
            return bad("an IPv6 address stands in brackets, such as [::1]:2379");
        }
        if port.parse::<u16>().map_or(true, |port| port == 0) {
            return bad("the port is not a number from 1 to 65535");
        }
        Ok(Endpoint {
            scheme,
            address: format!("{host}:{port}"),
        })
    }

    /// Whether TLS is spoken there.
    pub fn is_tls(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// The host without brackets and port; `None` for a socket.
    pub fn host(&self) -> Option<&str> {
        if self.scheme == Scheme::Unix {
            return None;
        }
        let host = self
            .address
            .rsplit_once(':')
            .map_or(self.address.as_str(), |(host, _)| host);
        Some(host.trim_matches(['[', ']']))
    }

    /// The same endpoint where a wildcard address means the loopback: what a server listens on is
    /// not always what one can connect to.
    #[must_use]
    pub fn connectable(mut self) -> Self {
        for (wildcard, loopback) in [("0.0.0.0:", "127.0.0.1:"), ("[::]:", "[::1]:")] {
            if let Some(port) = self.address.strip_prefix(wildcard) {
                self.address = format!("{loopback}{port}");
            }
        }
        self
    }

    /// Whether the address is of this machine by its form alone.
    pub fn is_loopback(&self) -> bool {
        self.host().is_none_or(|host| {
            host == "localhost"
                || host
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|ip| ip.is_loopback())
        })
    }

    /// Where its metrics are; `None` for a socket.
    pub fn metrics_url(&self) -> Option<String> {
        (self.scheme != Scheme::Unix).then(|| format!("{self}/metrics"))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Unix => "unix",
        };
        write!(f, "{scheme}://{}", self.address)
    }
}

/// A wrong endpoint as it may be shown: what stands before an `@` could be a password.
fn masked(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_and_member_lists_write() {
        let cases = [
            ("127.0.0.1:2379", false, "http://127.0.0.1:2379"),
            ("127.0.0.1:2379", true, "https://127.0.0.1:2379"),
            ("http://127.0.0.1:2379", true, "http://127.0.0.1:2379"),
            (" https://cp-1 ", false, "https://cp-1:2379"),
            ("https://cp-1:4001/", false, "https://cp-1:4001"),
            ("https://[fd00::1]:2379", false, "https://[fd00::1]:2379"),
            ("[::1]", true, "https://[::1]:2379"),
            ("unix:///run/kine.sock", false, "unix:///run/kine.sock"),
            ("unix:etcd.sock:0", false, "unix://etcd.sock:0"),
        ];
        for (text, tls, shown) in cases {
            assert_eq!(
                Endpoint::parse(text, tls).unwrap().to_string(),
                shown,
                "{text}"
            );
        }
        let of = |text: &str| Endpoint::parse(text, true).unwrap();
        assert_eq!(of("https://[fd00::1]:2379").host(), Some("fd00::1"));
        assert_eq!(of("0.0.0.0:2379").connectable(), of("127.0.0.1:2379"));
        assert_eq!(of("[::]:2379").connectable(), of("[::1]:2379"));
        assert!(of("127.0.0.5:1").is_loopback() && of("unix:/x").is_loopback());
        assert!(!of("10.0.0.1:1").is_loopback());
    }

    #[test]
    fn what_is_none_says_why_and_shows_no_password() {
        for (text, why) in [
            ("", "host is missing"),
            ("ftp://x", "begins with neither"),
            ("https://a:0", "port"),
            ("a:b:c", "brackets"),
            ("unix://", "path"),
            ("unixs:///x", "not supported"),
            ("https://root:hunter2@cp-1:2379", "--user"),
        ] {
            let err = Endpoint::parse(text, true).unwrap_err();
            assert!(err.contains(why), "{text}: {err}");
            assert!(!err.contains("hunter2"), "{err}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_reads_its_own(text in "\\PC{0,40}", tls: bool) {
            if let Ok(endpoint) = Endpoint::parse(&text, tls) {
                proptest::prop_assert_eq!(Endpoint::parse(&endpoint.to_string(), !tls).unwrap(), endpoint);
            }
        }
    }
}
