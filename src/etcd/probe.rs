//! One handshake by hand: what the server's certificate says, and why a connection fails.
//!
//! With TLS 1.3 a client believes that the handshake is done before the server has judged the
//! client certificate; the refusal comes as an alert that a busy HTTP/2 client reports as a broken
//! pipe. Here the alert is waited for and read.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::tls::{self, Judge};
use super::trouble::{Trouble, TroubleKind};
use crate::clock::Timestamp;
use crate::formats::x509::Certificate;
use crate::target::etcd::{Access, Endpoint, Scheme};

/// The beginning of HTTP/2 with an empty SETTINGS frame (RFC 9113, 3.4): etcd answers with its
/// own settings, or with the alert.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Bytes before the payload of a frame: length, type, flags, stream.
const FRAME: usize = 9;
/// The type of a SETTINGS frame, which is the first that a server sends.
const SETTINGS: u8 = 4;

/// What a server showed at the door.
#[derive(Clone, Debug, Default)]
pub struct Greeting {
    /// Time until TCP stood.
    pub connected: Option<Duration>,
    /// The server's certificates, its own first.
    pub certificates: Vec<Certificate>,
}

/// Knocks at an endpoint. Blocks for at most the dial time-out for each of its steps.
pub fn probe(
    endpoint: &Endpoint,
    access: &Access,
    now: Timestamp,
) -> (Greeting, Result<(), Trouble>) {
    let mut greeting = Greeting::default();
    let outcome = knock(endpoint, access, now, &mut greeting);
    (greeting, outcome)
}

fn knock(
    endpoint: &Endpoint,
    access: &Access,
    now: Timestamp,
    greeting: &mut Greeting,
) -> Result<(), Trouble> {
    if endpoint.scheme == Scheme::Unix {
        std::os::unix::net::UnixStream::connect(&endpoint.address)
            .map_err(|err| Trouble::of_io(&err))?;
        return Ok(());
    }
    let begin = Instant::now();
    let tcp = connect(endpoint, access.dial_timeout)?;
    greeting.connected = Some(begin.elapsed());
    if endpoint.is_tls() {
        return shake(endpoint, tcp, access, now, greeting);
    }
    // A TLS server hangs up on plain text, or says so in HTTP/1; whether it is one, a handshake
    // without verification tells.
    let mut tcp = tcp;
    let answer = hello(&mut tcp, access.dial_timeout);
    if answer.is_ok() {
        return Ok(());
    }
    let anyone = Access {
        skip_verify: true,
        identity: None,
        ca: None,
        ..access.clone()
    };
    let tls = connect(endpoint, access.dial_timeout)
        .and_then(|tcp| shake(endpoint, tcp, &anyone, now, greeting));
    match tls {
        Ok(()) => Err(speaks_tls()),
        Err(trouble) if trouble.kind == TroubleKind::ClientCertificateWanted => Err(speaks_tls()),
        Err(_) if !greeting.certificates.is_empty() => Err(speaks_tls()),
        Err(_) => answer,
    }
}

fn speaks_tls() -> Trouble {
    Trouble::new(TroubleKind::ServerIsTls, "the server speaks TLS")
        .hint("write https:// in place of http://")
}

fn connect(endpoint: &Endpoint, limit: Duration) -> Result<TcpStream, Trouble> {
    let addresses = endpoint.address.to_socket_addrs().map_err(|err| {
        let found = Trouble::of_io(&err);
        if found.kind == TroubleKind::Other {
            Trouble::new(TroubleKind::Unresolved, "the host's name has no address")
        } else {
            found
        }
    })?;
    let mut last = Trouble::new(TroubleKind::Unresolved, "the host's name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(tcp) => {
                let set = tcp
                    .set_read_timeout(Some(limit))
                    .and_then(|()| tcp.set_write_timeout(Some(limit)));
                return set.map(|()| tcp).map_err(|err| Trouble::of_io(&err));
            }
            Err(err) if late(&err) => {
                last = Trouble::new(
                    TroubleKind::TimedOut,
                    format!("no connection within {} s", limit.as_secs_f64()),
                )
                .hint("the host is down, or something on the way drops packets");
            }
            Err(err) => last = Trouble::of_io(&err),
        }
    }
    Err(last)
}

fn shake(
    endpoint: &Endpoint,
    tcp: TcpStream,
    access: &Access,
    now: Timestamp,
    greeting: &mut Greeting,
) -> Result<(), Trouble> {
    let judge = Judge::new(access)?;
    let config = tls::config(access, Arc::clone(&judge))?;
    let host = endpoint.host().unwrap_or_default().to_owned();
    let name = ServerName::try_from(host.clone()).map_err(|_| {
        Trouble::new(
            TroubleKind::Credentials,
            format!("`{host}` is no name that a certificate can hold"),
        )
    })?;
    let connection =
        ClientConnection::new(Arc::new(config), name).map_err(|err| Trouble::of_tls(&err))?;
    let mut stream = StreamOwned::new(connection, tcp);
    let outcome = hello(&mut stream, access.dial_timeout);
    greeting.certificates = judge
        .seen()
        .iter()
        .filter_map(|der| Certificate::parse(der))
        .collect();
    outcome.map_err(|trouble| explain(trouble, endpoint, access, now, greeting))
}

/// Whether the operating system gave up waiting.
fn late(err: &std::io::Error) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    matches!(err.kind(), TimedOut | WouldBlock)
}

/// Says hello in HTTP/2 and waits for the settings with which a server begins.
fn hello(stream: &mut (impl Read + Write), limit: Duration) -> Result<(), Trouble> {
    let mut answer = [0; FRAME];
    let mut length = 0;
    let mut read = stream.write_all(PREFACE).and_then(|()| stream.flush());
    while read.is_ok() && length < FRAME {
        match stream.read(answer.get_mut(length..).unwrap_or_default()) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(err) => read = Err(err),
        }
    }
    match read {
        // What came before tells more than how it ended.
        _ if length > 0 => greeted(answer.get(..length).unwrap_or_default()),
        Ok(()) => Err(Trouble::new(
            TroubleKind::Closed,
            "the server closed the connection without a word",
        )),
        Err(err) if late(&err) => Err(Trouble::new(
            TroubleKind::TimedOut,
            format!(
                "something takes connections there and answers nothing within {} s",
                limit.as_secs_f64()
            ),
        )),
        Err(err) => Err(Trouble::of_io(&err)),
    }
}

/// Whether the first bytes are those of an HTTP/2 server, as etcd is one.
fn greeted(answer: &[u8]) -> Result<(), Trouble> {
    if answer.len() == FRAME && answer.first() == Some(&0) && answer.get(3) == Some(&SETTINGS) {
        return Ok(());
    }
    Err(if answer.starts_with(b"HTTP/1") {
        Trouble::new(
            TroubleKind::NotEtcd,
            "an HTTP/1 server answers there, which is not etcd's client port",
        )
        .hint("clients are served at port 2379 by default; what kubeadm has at 2381 serves metrics only")
    } else {
        Trouble::new(
            TroubleKind::NotEtcd,
            "what answers there does not speak HTTP/2, so it is no etcd",
        )
    })
}

/// Adds to a refusal what the certificates themselves say.
fn explain(
    mut trouble: Trouble,
    endpoint: &Endpoint,
    access: &Access,
    now: Timestamp,
    greeting: &Greeting,
) -> Trouble {
    let own = access.identity.as_ref().and_then(|identity| {
        Some((
            Certificate::of_pem(&identity.cert.bytes)
                .into_iter()
                .next()?,
            &identity.cert.path,
        ))
    });
    match trouble.kind {
        TroubleKind::ServerCertificate => {
            let Some(certificate) = greeting.certificates.first() else {
                return trouble;
            };
            if let Some(wrong) = certificate.trouble_at(now) {
                trouble.said = format!("the server's certificate {wrong}");
                trouble.hint = Some(
                    "renew it (kubeadm: `kubeadm certs renew etcd-server`), and restart etcd"
                        .to_owned(),
                );
            } else if trouble.said.contains("other names") {
                let host = endpoint.host().unwrap_or_default();
                trouble.said = if certificate.names.is_empty() {
                    format!(
                        "the server's certificate lists no names (SAN), only the common name `{}`, which TLS libraries no longer accept",
                        certificate.subject
                    )
                } else {
                    format!(
                        "the server's certificate is for {}, not for {host}",
                        certificate.names.join(", ")
                    )
                };
            } else if trouble.said.contains("not trusted") {
                trouble.said = format!(
                    "the server's certificate is signed by `{}`, which is not trusted here",
                    certificate.issuer
                );
            }
        }
        TroubleKind::ClientCertificateRefused
        | TroubleKind::Closed
        | TroubleKind::ClientCertificateWanted => {
            let Some((certificate, path)) = own else {
                // etcd with --client-cert-auth sends `bad certificate` for none at all.
                if trouble.kind == TroubleKind::ClientCertificateRefused {
                    return Trouble::new(
                        TroubleKind::ClientCertificateWanted,
                        "the server wants a client certificate",
                    )
                    .hint("give one by --cert and --key");
                }
                return trouble;
            };
            let why = if let Some(wrong) = certificate.trouble_at(now) {
                wrong
            } else if certificate
                .usages
                .as_ref()
                .is_some_and(|usages| !usages.contains(&"client"))
            {
                "is not for clients (extended key usage)".to_owned()
            } else if trouble.kind == TroubleKind::Closed {
                return trouble;
            } else {
                format!(
                    "is signed by `{}`, which etcd may not trust",
                    certificate.issuer
                )
            };
            trouble.kind = TroubleKind::ClientCertificateRefused;
            trouble.said =
                format!("the server does not accept the client certificate: `{path}` {why}");
        }
        _ => {}
    }
    trouble
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes all that is written; gives these bytes and then the end.
    struct Server(&'static [u8]);

    impl Read for Server {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            // In small pieces, as networks do.
            let length = into.len().min(2).min(self.0.len());
            let (now, rest) = self.0.split_at(length);
            into[..length].copy_from_slice(now);
            self.0 = rest;
            Ok(length)
        }
    }

    impl Write for Server {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn only_settings_of_http2_are_a_greeting() {
        let of = |bytes: &'static [u8]| {
            hello(&mut Server(bytes), Duration::from_secs(1)).map_err(|trouble| trouble.kind)
        };
        assert_eq!(of(b"\0\0\x0c\x04\0\0\0\0\0more"), Ok(()));
        assert_eq!(of(b"\0\0\x0c\x04\0"), Err(TroubleKind::NotEtcd), "torn");
        assert_eq!(
            of(b"HTTP/1.1 400 Bad Request\r\n"),
            Err(TroubleKind::NotEtcd)
        );
        assert_eq!(of(b"SSH-2.0-OpenSSH_9.2\r\n"), Err(TroubleKind::NotEtcd));
        assert_eq!(of(b""), Err(TroubleKind::Closed));
    }
}
