//! Scrapes over HTTP: with a deadline, a cap on bytes, TLS as given, and no way to another host.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::clock::{Clock, Timestamp};

use super::fault::{Fault, FaultKind};
use super::load::{Hint, Loader};

/// How to talk to a server. Holds secrets: its `Debug` shows none.
#[derive(Clone, Default)]
pub struct Access {
    /// Authorities to trust, PEM. Without them Mozilla's.
    pub ca: Option<Vec<u8>>,
    /// Client certificate with its chain, PEM.
    pub cert: Option<Vec<u8>>,
    /// Its key, PEM.
    pub key: Option<Vec<u8>>,
    /// Bearer token.
    pub token: Option<String>,
    /// Take any certificate.
    pub insecure: bool,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("ca", &self.ca.is_some())
            .field("cert", &self.cert.is_some())
            .field("token", &self.token.is_some())
            .field("insecure", &self.insecure)
            .finish_non_exhaustive()
    }
}

/// What a fetch may take.
#[derive(Clone, Copy, Debug)]
pub struct FetchLimits {
    /// Time for one answer, from the first packet to the last.
    pub deadline: Duration,
    /// Bytes of one answer, inflated.
    pub bytes: u64,
}

impl Default for FetchLimits {
    fn default() -> Self {
        FetchLimits {
            // Prometheus' own default is 10 s; a sick node gets more.
            deadline: Duration::from_secs(20),
            bytes: 256 << 20,
        }
    }
}

/// A client for scrapes.
#[derive(Debug)]
pub struct Fetcher {
    agent: ureq::Agent,
    token: Option<String>,
    limits: FetchLimits,
    given: Given,
}

/// What was given for TLS, for words about what failed.
#[derive(Clone, Copy, Debug)]
struct Given {
    ca: bool,
    cert: bool,
}

/// Why a fetch failed, in words that hold no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// A certificate or key cannot be used.
    #[error("{0}")]
    Credentials(String),
    /// The server did not answer in time.
    #[error("did not answer within {} s", .0.as_secs())]
    Deadline(Duration),
    /// It answered with a status that is no success.
    #[error("answered {status}{hint}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// What to do about it.
        hint: &'static str,
    },
    /// Any other failure of the network or of TLS.
    #[error("{0}")]
    Failed(String),
}

impl Fetcher {
    /// A client with this access.
    pub fn new(access: &Access, limits: FetchLimits) -> Result<Self, FetchError> {
        let mut tls = TlsConfig::builder().disable_verification(access.insecure);
        if let Some(pem) = &access.ca {
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates(pem, "--cacert")?));
        }
        match (&access.cert, &access.key) {
            (Some(cert), key) => {
                let chain = certificates(cert, "--cert")?;
                // One file often holds both.
                let key = private_key(key.as_ref().unwrap_or(cert))?;
                tls = tls.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
            }
            (None, Some(_)) => {
                return Err(FetchError::Credentials(
                    "--key is of no use without --cert".to_owned(),
                ));
            }
            (None, None) => {}
        }
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(limits.deadline))
            .timeout_connect(Some(limits.deadline.min(Duration::from_secs(5))))
            // A redirect could lead the token, or this program, to another host.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            // A proxy of the environment is not meant for the node's own endpoints.
            .proxy(None)
            .user_agent(concat!("etcd-doctor/", env!("CARGO_PKG_VERSION")))
            .accept("text/plain;version=0.0.4, application/json;q=0.5, */*;q=0.1")
            .tls_config(tls.build())
            .build();
        Ok(Fetcher {
            agent: config.new_agent(),
            token: access.token.clone(),
            limits,
            given: Given {
                ca: access.ca.is_some(),
                cert: access.cert.is_some(),
            },
        })
    }

    /// Gets one answer.
    pub fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let mut request = self.agent.get(url);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let mut response = request.call().map_err(|err| self.say(&err))?;
        let status = response.status().as_u16();
        if !(200..300).contains(&status) {
            return Err(FetchError::Status {
                status,
                hint: match status {
                    300..=399 => ", a redirect: not followed; give the address it leads to",
                    401 => " (who are you?): give --bearer-token-file, or --cert and --key",
                    403 => " (not allowed): this user may not read /metrics",
                    404 => ": no metrics there; is the path /metrics right?",
                    _ => "",
                },
            });
        }
        let mut bytes = Vec::new();
        response
            .body_mut()
            .as_reader()
            .take(self.limits.bytes + 1)
            .read_to_end(&mut bytes)
            .map_err(|err| match err.kind() {
                std::io::ErrorKind::TimedOut => FetchError::Deadline(self.limits.deadline),
                _ => FetchError::Failed(format!("the answer broke off: {err}")),
            })?;
        if bytes.len() as u64 > self.limits.bytes {
            return Err(FetchError::Failed(format!(
                "answered with more than {}",
                crate::units::format_bytes(self.limits.bytes)
            )));
        }
        Ok(bytes)
    }

    fn say(&self, err: &ureq::Error) -> FetchError {
        match err {
            ureq::Error::Timeout(_) => FetchError::Deadline(self.limits.deadline),
            ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => {
                FetchError::Failed("nothing listens there (connection refused)".to_owned())
            }
            err => {
                let text = err.to_string();
                FetchError::Failed(tls_words(&text, self.given).unwrap_or(text))
            }
        }
    }
}

/// What a failure of TLS means and what to do about it; `None` for other failures. The words that are looked for are
/// rustls' own (rustls: error.rs, `CertificateError` and `AlertDescription`).
fn tls_words(text: &str, given: Given) -> Option<String> {
    let own = match () {
        () if text.contains("UnknownIssuer") && given.ca => {
            "its certificate was signed by another authority than those of --cacert: give the authority that signed it \
             (kubeadm's etcd: /etc/kubernetes/pki/etcd/ca.crt)"
        }
        () if text.contains("UnknownIssuer") => {
            "its certificate is signed by no public authority: give the authority with --cacert \
             (kubeadm's etcd: /etc/kubernetes/pki/etcd/ca.crt)"
        }
        () if text.contains("peer certificate: Expired")
            || text.contains("certificate expired") =>
        {
            "its certificate has expired, or this node's clock is wrong: renew it (`kubeadm certs check-expiration`)"
        }
        () if text.contains("NotValidYet") || text.contains("not valid yet") => {
            "its certificate is not valid yet: this node's clock or that of the authority is wrong"
        }
        () if text.contains("not valid for name") || text.contains("NotValidForName") => {
            "its certificate is for other names than this address: use one of those, or renew it with this address"
        }
        () if text.contains("Revoked") => "its certificate was revoked",
        () if text.contains("fatal alert: CertificateExpired") => {
            "it refuses the client certificate, which has expired"
        }
        () if text.contains("fatal alert: UnknownCA") => {
            "it refuses the client certificate, which another authority signed: give one that its own authority signed"
        }
        () if (text.contains("fatal alert: BadCertificate")
            || text.contains("fatal alert: CertificateRequired")
            || text.contains("fatal alert: HandshakeFailure"))
            && !given.cert =>
        {
            "it asks for a client certificate: give --cert and --key \
             (kubeadm's etcd: /etc/kubernetes/pki/etcd/healthcheck-client.crt and .key)"
        }
        () if text.contains("fatal alert: BadCertificate")
            || text.contains("fatal alert: CertificateUnknown") =>
        {
            "it refuses the client certificate: another authority signed it, or it has expired"
        }
        () if text.contains("InvalidContentType") || text.contains("corrupt message") => {
            "it does not speak TLS: is it http:// in place of https://?"
        }
        () => return None,
    };
    Some(format!("TLS: {own} ({text})"))
}

fn certificates(pem: &[u8], flag: &str) -> Result<Vec<Certificate<'static>>, FetchError> {
    let mut found = Vec::new();
    for item in parse_pem(pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(err) => return Err(FetchError::Credentials(format!("{flag}: {err}"))),
        }
    }
    if found.is_empty() {
        return Err(FetchError::Credentials(format!(
            "{flag}: no certificate in PEM form"
        )));
    }
    Ok(found)
}

fn private_key(pem: &[u8]) -> Result<PrivateKey<'static>, FetchError> {
    // The error of the reader might quote the key.
    PrivateKey::from_pem(pem)
        .map_err(|_| FetchError::Credentials("--key: no private key in PEM form".to_owned()))
}

/// An address as shown: without user, password and query, which may hold secrets.
pub fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = rest.split_once('/').map_or((rest, ""), |(h, p)| (h, p));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}/{path}")
}

/// Completes what people type: `127.0.0.1:2381` → `http://127.0.0.1:2381/metrics`.
pub fn complete(url: &str) -> String {
    let url = if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    };
    match url.split_once("://").map(|(_, rest)| rest.split_once('/')) {
        Some(None) => format!("{url}/metrics"),
        Some(Some((_, ""))) => format!("{url}metrics"),
        _ => url,
    }
}

/// Scrapes each address twice, `window` apart, into the loader. Gives up waiting when `stop` is
/// set, and then takes the second scrape at once.
pub fn live(
    fetcher: &Fetcher,
    urls: &[String],
    window: Duration,
    clock: Clock,
    stop: &AtomicBool,
    loader: &mut Loader,
) {
    let begin = Instant::now();
    let first = scrape_all(fetcher, urls, clock, loader);
    if !first.contains(&true) {
        return;
    }
    while begin.elapsed() < window && !stop.load(Ordering::Relaxed) {
        let left = window.saturating_sub(begin.elapsed());
        std::thread::sleep(left.min(Duration::from_millis(100)));
    }
    // What did not answer at first is not asked again: a fault is enough.
    let alive: Vec<String> = urls
        .iter()
        .zip(first)
        .filter(|(_, ok)| *ok)
        .map(|(url, _)| url.clone())
        .collect();
    scrape_all(fetcher, &alive, clock, loader);
}

fn scrape_all(fetcher: &Fetcher, urls: &[String], clock: Clock, loader: &mut Loader) -> Vec<bool> {
    urls.iter()
        .map(|url| {
            let source = shown(url);
            let before = clock.now();
            match fetcher.get(url) {
                Ok(bytes) => {
                    // The server reads its counters while it answers: the middle is best.
                    let took = clock.now().since_us(before);
                    let hint = Hint {
                        taken: Some(Timestamp(before.0 + took / 2)),
                        node: host_of(&source),
                        ..Hint::default()
                    };
                    loader.add("", &source, &bytes, &hint);
                    true
                }
                Err(err) => {
                    loader.fault(Fault::new(source, FaultKind::NotReached, err.to_string()));
                    false
                }
            }
        })
        .collect()
}

/// The host of a shown address. The loopback is the node itself, whose name is not known here.
fn host_of(shown: &str) -> Option<String> {
    let (_, rest) = shown.split_once("://")?;
    let authority = rest.split('/').next()?;
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    let host = host.trim_matches(['[', ']']);
    let loopback = host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback());
    (!loopback && !host.is_empty()).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_typed_and_as_shown() {
        for (typed, full) in [
            ("127.0.0.1:2381", "http://127.0.0.1:2381/metrics"),
            ("https://cp-1:6443/", "https://cp-1:6443/metrics"),
            ("https://cp-1:6443/metrics", "https://cp-1:6443/metrics"),
        ] {
            assert_eq!(complete(typed), full);
        }
        assert_eq!(
            shown("https://user:secret@cp-1:6443/metrics?token=secret"),
            "https://cp-1:6443/metrics"
        );
        assert_eq!(
            host_of("https://cp-1:6443/metrics").as_deref(),
            Some("cp-1")
        );
        assert_eq!(host_of("http://127.0.0.1:2381/metrics"), None);
        assert_eq!(host_of("http://[::1]:2381/metrics"), None);
        assert_eq!(
            host_of("http://[fd00::1]:2381/").as_deref(),
            Some("fd00::1")
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let access = Access {
            token: Some("hunter2".to_owned()),
            key: Some(b"hunter2".to_vec()),
            ..Access::default()
        };
        assert!(!format!("{access:?}").contains("hunter2"));
        let err = Fetcher::new(&access, FetchLimits::default()).unwrap_err();
        assert!(!err.to_string().contains("hunter2"), "{err}");
        let access = Access {
            cert: Some(b"-----BEGIN hunter2".to_vec()),
            ..Access::default()
        };
        let err = Fetcher::new(&access, FetchLimits::default()).unwrap_err();
        assert!(!err.to_string().contains("hunter2"), "{err}");
    }
}
