//! What went wrong between this program and etcd, in words that name the cause and the way out.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

/// The kinds of trouble that need different remedies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TroubleKind {
    /// Nothing listens there.
    Refused,
    /// The host's name has no address.
    Unresolved,
    /// No route, or the network is down.
    NoRoute,
    /// No answer in time.
    TimedOut,
    /// The server closed the connection without a word.
    Closed,
    /// The server wants a client certificate and got none.
    ClientCertificateWanted,
    /// The server does not accept the client certificate.
    ClientCertificateRefused,
    /// The server's certificate is not to be trusted.
    ServerCertificate,
    /// TLS was spoken to a plain server.
    ServerIsPlain,
    /// Plain text was sent to a TLS server.
    ServerIsTls,
    /// TLS failed otherwise.
    Tls,
    /// Something answers there that is no etcd.
    NotEtcd,
    /// A certificate, key or address of ours cannot be used.
    Credentials,
    /// User and password are wanted, or wrong.
    Authentication,
    /// The user lacks a right.
    Denied,
    /// The member has no leader.
    NoLeader,
    /// The server does not know the request: an old etcd, or another backend.
    Unimplemented,
    /// The server is alive and refused: too many requests, an alarm.
    Busy,
    /// The data or the member is corrupt.
    Corrupt,
    /// Anything else.
    Other,
}

impl TroubleKind {
    /// The word used in evidence.
    pub fn word(self) -> &'static str {
        match self {
            TroubleKind::Refused => "refused",
            TroubleKind::Unresolved => "unresolved",
            TroubleKind::NoRoute => "no-route",
            TroubleKind::TimedOut => "timed-out",
            TroubleKind::Closed => "closed",
            TroubleKind::ClientCertificateWanted => "client-certificate-wanted",
            TroubleKind::ClientCertificateRefused => "client-certificate-refused",
            TroubleKind::ServerCertificate => "server-certificate",
            TroubleKind::ServerIsPlain => "server-is-plain",
            TroubleKind::ServerIsTls => "server-is-tls",
            TroubleKind::Tls => "tls",
            TroubleKind::NotEtcd => "not-etcd",
            TroubleKind::Credentials => "credentials",
            TroubleKind::Authentication => "authentication",
            TroubleKind::Denied => "denied",
            TroubleKind::NoLeader => "no-leader",
            TroubleKind::Unimplemented => "unimplemented",
            TroubleKind::Busy => "busy",
            TroubleKind::Corrupt => "corrupt",
            TroubleKind::Other => "other",
        }
    }

    /// Whether the member did not answer at all, so that it may be down.
    pub fn is_down(self) -> bool {
        matches!(
            self,
            TroubleKind::Refused
                | TroubleKind::Unresolved
                | TroubleKind::NoRoute
                | TroubleKind::TimedOut
                | TroubleKind::Closed
        )
    }

    /// Whether the member may be well and only we may not or cannot talk to it.
    pub fn is_ours(self) -> bool {
        matches!(
            self,
            TroubleKind::ClientCertificateWanted
                | TroubleKind::ClientCertificateRefused
                | TroubleKind::ServerCertificate
                | TroubleKind::ServerIsPlain
                | TroubleKind::ServerIsTls
                | TroubleKind::Tls
                | TroubleKind::Credentials
                | TroubleKind::Authentication
                | TroubleKind::Denied
        )
    }
}

/// What went wrong. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{said}")]
pub struct Trouble {
    /// Its kind.
    pub kind: TroubleKind,
    /// One sentence, lower case, without a stop.
    pub said: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Trouble {
    /// A trouble in words.
    pub fn new(kind: TroubleKind, said: impl Into<String>) -> Self {
        Trouble {
            kind,
            said: said.into(),
            hint: None,
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A call that took too long.
    pub fn timed_out(what: impl fmt::Display, after: Duration) -> Self {
        Trouble::new(
            TroubleKind::TimedOut,
            format!("{what} did not answer within {} s", after.as_secs_f64()),
        )
    }

    /// The sentence with the way out.
    pub fn in_full(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{} ({hint})", self.said),
            None => self.said.clone(),
        }
    }

    /// An error of the operating system.
    pub fn of_io(err: &io::Error) -> Self {
        if let Some(tls) = err
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            return Trouble::of_tls(tls);
        }
        match err.kind() {
            io::ErrorKind::ConnectionRefused => Trouble::new(
                TroubleKind::Refused,
                "nothing listens there (connection refused)",
            ),
            io::ErrorKind::NotFound => {
                Trouble::new(TroubleKind::Refused, "there is no such socket")
            }
            io::ErrorKind::PermissionDenied => {
                Trouble::new(TroubleKind::Denied, "no permission for that socket")
                    .hint("run as root")
            }
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                Trouble::new(TroubleKind::TimedOut, "no answer in time")
            }
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                Trouble::new(TroubleKind::NoRoute, format!("{err}"))
            }
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionAborted => Trouble::new(
                TroubleKind::Closed,
                "the server closed the connection without a word",
            ),
            _ if err.to_string().contains("lookup address") => {
                Trouble::new(TroubleKind::Unresolved, "the host's name has no address")
            }
            _ => Trouble::new(TroubleKind::Other, err.to_string()),
        }
    }

    /// An error of TLS.
    pub fn of_tls(err: &rustls::Error) -> Self {
        use rustls::{AlertDescription as Alert, CertificateError as Bad, Error};
        let refused = |said: &str| {
            Trouble::new(TroubleKind::ClientCertificateRefused, said)
                .hint("give a certificate of the authority that etcd trusts by --cert and --key")
        };
        let server = |said: String| Trouble::new(TroubleKind::ServerCertificate, said);
        match err {
            Error::AlertReceived(alert) => match alert {
                Alert::CertificateRequired => Trouble::new(
                    TroubleKind::ClientCertificateWanted,
                    "the server wants a client certificate",
                )
                .hint("give one by --cert and --key"),
                Alert::CertificateExpired => {
                    refused("the server says that the client certificate has expired")
                }
                Alert::UnknownCA | Alert::BadCertificate | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked | Alert::CertificateUnknown | Alert::AccessDenied => {
                    refused("the server does not accept the client certificate")
                }
                other => Trouble::new(
                    TroubleKind::Tls,
                    format!("the server ended the TLS handshake: {other:?}"),
                ),
            },
            Error::InvalidCertificate(bad) => match bad {
                Bad::Expired | Bad::ExpiredContext { .. } => {
                    server("the server's certificate has expired".to_owned())
                }
                Bad::NotValidYet | Bad::NotValidYetContext { .. } => server(
                    "the server's certificate is not valid yet; is the clock of this machine right?"
                        .to_owned(),
                ),
                Bad::UnknownIssuer => server(
                    "the server's certificate is signed by an authority that is not trusted here"
                        .to_owned(),
                )
                .hint("give etcd's authority by --cacert"),
                Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                    server("the server's certificate is for other names than this address".to_owned())
                        .hint("use a name or address that the certificate lists")
                }
                other => server(format!("the server's certificate is refused: {other:?}")),
            },
            Error::InvalidMessage(_) => Trouble::new(
                TroubleKind::ServerIsPlain,
                "the server does not speak TLS",
            )
            .hint("write http:// in place of https://"),
            Error::NoCertificatesPresented => server("the server shows no certificate".to_owned()),
            Error::InconsistentKeys(_) => Trouble::new(
                TroubleKind::Credentials,
                "the key does not belong to the client certificate",
            ),
            other => Trouble::new(TroubleKind::Tls, format!("TLS failed: {other}")),
        }
    }

    /// An error of the etcd client.
    pub fn of_client(err: &etcd_client::Error) -> Self {
        match err {
            etcd_client::Error::GRpcStatus(status) => Trouble::of_status(status),
            etcd_client::Error::TransportError(err) => Trouble::of_chain(err)
                .unwrap_or_else(|| Trouble::new(TroubleKind::Other, err.to_string())),
            etcd_client::Error::IoError(err) => Trouble::of_io(err),
            other => Trouble::new(TroubleKind::Other, other.to_string()),
        }
    }

    fn of_status(status: &tonic::Status) -> Self {
        use tonic::Code;
        if let Some(found) = status.source().and_then(Trouble::of_chain) {
            return found;
        }
        let text = status.message().trim_start_matches("etcdserver: ");
        let said = |kind, said: &str| Trouble::new(kind, said);
        // etcd: api/v3rpc/rpctypes/error.go. Old members send some of these with code Unknown.
        if text.contains("user name is empty") {
            return said(
                TroubleKind::Authentication,
                "etcd's authentication is on, and no user was given",
            )
            .hint(
                "give --user NAME:PASSWORD, or a client certificate whose common name is a user",
            );
        }
        if text.contains("authentication failed") || text.contains("invalid auth token") {
            return said(
                TroubleKind::Authentication,
                "etcd does not accept this user and password",
            );
        }
        if text.contains("authentication is not enabled") {
            return said(
                TroubleKind::Authentication,
                "a user was given, and etcd's authentication is off",
            )
            .hint("leave --user away");
        }
        if text.contains("not supported for learner") {
            return said(TroubleKind::Unimplemented, "a learner does not answer this");
        }
        if text.contains("no leader") {
            return said(TroubleKind::NoLeader, "the member has no leader");
        }
        if text.contains("corrupt cluster") {
            return said(
                TroubleKind::Corrupt,
                "the member says that the cluster is corrupt",
            );
        }
        match status.code() {
            Code::PermissionDenied => said(TroubleKind::Denied, "the user lacks this right")
                .hint("a user with the role root may see everything"),
            Code::Unauthenticated => said(TroubleKind::Authentication, text),
            Code::DeadlineExceeded | Code::Cancelled => {
                said(TroubleKind::TimedOut, "no answer in time")
            }
            Code::Unimplemented => said(
                TroubleKind::Unimplemented,
                "the server does not know this request",
            ),
            Code::ResourceExhausted => said(TroubleKind::Busy, text),
            Code::DataLoss => said(TroubleKind::Corrupt, text),
            _ if text.contains("request timed out") || text.contains("Timeout expired") => {
                said(TroubleKind::TimedOut, "no answer in time")
            }
            _ => said(TroubleKind::Other, text),
        }
    }

    /// The first cause of a chain of errors that says something.
    fn of_chain(err: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(err);
        while let Some(err) = next {
            if let Some(tls) = err.downcast_ref::<rustls::Error>() {
                return Some(Trouble::of_tls(tls));
            }
            if let Some(io) = err.downcast_ref::<io::Error>() {
                let found = Trouble::of_io(io);
                if found.kind != TroubleKind::Other {
                    return Some(found);
                }
            }
            if err.is::<tonic::TimeoutExpired>() {
                return Some(Trouble::new(TroubleKind::TimedOut, "no answer in time"));
            }
            if err.to_string().contains("dns error") {
                return Some(Trouble::new(
                    TroubleKind::Unresolved,
                    "the host's name has no address",
                ));
            }
            next = err.source();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etcd_says_and_what_it_means() {
        let of = |code: tonic::Code, text: &str| {
            Trouble::of_client(&etcd_client::Error::GRpcStatus(tonic::Status::new(
                code, text,
            )))
            .kind
        };
        use tonic::Code;
        let cases = [
            (
                Code::InvalidArgument,
                "etcdserver: user name is empty",
                TroubleKind::Authentication,
            ),
            (
                Code::InvalidArgument,
                "etcdserver: authentication failed, invalid user ID or password",
                TroubleKind::Authentication,
            ),
            (
                Code::PermissionDenied,
                "etcdserver: permission denied",
                TroubleKind::Denied,
            ),
            (
                Code::Unavailable,
                "etcdserver: no leader",
                TroubleKind::NoLeader,
            ),
            (
                Code::Unavailable,
                "etcdserver: request timed out",
                TroubleKind::TimedOut,
            ),
            (
                Code::Unimplemented,
                "unknown service",
                TroubleKind::Unimplemented,
            ),
            (
                Code::DataLoss,
                "etcdserver: corrupt cluster",
                TroubleKind::Corrupt,
            ),
            (
                Code::Unavailable,
                "etcdserver: something new",
                TroubleKind::Other,
            ),
        ];
        for (code, text, kind) in cases {
            assert_eq!(of(code, text), kind, "{text}");
        }
    }

    #[test]
    fn tls_and_the_operating_system() {
        let io = |kind: io::ErrorKind| Trouble::of_io(&io::Error::from(kind)).kind;
        assert_eq!(io(io::ErrorKind::ConnectionRefused), TroubleKind::Refused);
        assert_eq!(io(io::ErrorKind::BrokenPipe), TroubleKind::Closed);
        let tls = |err: rustls::Error| {
            Trouble::of_io(&io::Error::new(io::ErrorKind::InvalidData, err)).kind
        };
        assert_eq!(
            tls(rustls::Error::AlertReceived(
                rustls::AlertDescription::CertificateRequired
            )),
            TroubleKind::ClientCertificateWanted
        );
        assert_eq!(
            tls(rustls::Error::InvalidCertificate(
                rustls::CertificateError::Expired
            )),
            TroubleKind::ServerCertificate
        );
        assert!(TroubleKind::Refused.is_down() && !TroubleKind::Refused.is_ours());
        assert!(TroubleKind::Denied.is_ours() && !TroubleKind::Denied.is_down());
    }
}
