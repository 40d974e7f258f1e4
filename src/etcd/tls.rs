//! TLS as etcd's users set it up: own authorities, a client certificate, or no verification.

use std::sync::{Arc, Mutex};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::trouble::{Trouble, TroubleKind};
use crate::target::HostRoot;
use crate::target::etcd::{Access, Pem};

/// Where systems keep the authorities they trust, for an etcd with a public certificate.
const SYSTEM_ROOTS: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Judges the server's certificate, and remembers what was shown: a refused certificate is what
/// the user needs to see.
#[derive(Debug)]
pub(super) struct Judge {
    inner: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Vec<Vec<u8>>>,
}

impl Judge {
    /// A judge by these authorities, or one that takes all.
    pub(super) fn new(access: &Access) -> Result<Arc<Self>, Trouble> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let inner = if access.skip_verify {
            None
        } else {
            let roots = Arc::new(roots(access)?);
            let built =
                WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
            Some(built.map_err(|err| {
                Trouble::new(
                    TroubleKind::Credentials,
                    format!("no authority to trust: {err}"),
                )
                .hint("give etcd's authority by --cacert")
            })?)
        };
        Ok(Arc::new(Judge {
            inner,
            provider,
            seen: Mutex::default(),
        }))
    }

    /// The certificates that the last server showed, its own first.
    pub(super) fn seen(&self) -> Vec<Vec<u8>> {
        self.seen
            .lock()
            .map(|seen| seen.clone())
            .unwrap_or_default()
    }
}

fn roots(access: &Access) -> Result<RootCertStore, Trouble> {
    let mut store = RootCertStore::empty();
    if let Some(ca) = &access.ca {
        let certificates = certificates(ca)?;
        store.add_parsable_certificates(certificates);
        return Ok(store);
    }
    let root = HostRoot::live();
    for path in SYSTEM_ROOTS {
        if let Ok(bytes) = root.read(path, 16 << 20) {
            store.add_parsable_certificates(
                CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok),
            );
            break;
        }
    }
    Ok(store)
}

/// The certificates of a PEM file.
fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, Trouble> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem.bytes)
        .filter_map(Result::ok)
        .collect();
    if found.is_empty() {
        return Err(Trouble::new(
            TroubleKind::Credentials,
            format!("`{}` holds no certificate in PEM form", pem.path),
        ));
    }
    Ok(found)
}

/// A client configuration that shows the client certificate and asks `judge` about the server's.
pub(super) fn config(access: &Access, judge: Arc<Judge>) -> Result<ClientConfig, Trouble> {
    let wrong = |err: rustls::Error| {
        let said = match err {
            rustls::Error::InconsistentKeys(_) => {
                "the key does not belong to the client certificate".to_owned()
            }
            // Other texts could quote the key.
            _ => "the client certificate or its key cannot be used".to_owned(),
        };
        Trouble::new(TroubleKind::Credentials, said)
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&judge.provider))
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .dangerous()
        .with_custom_certificate_verifier(judge);
    let mut config = match &access.identity {
        Some(identity) => {
            let chain = certificates(&identity.cert)?;
            let key = PrivateKeyDer::from_pem_slice(&identity.key.bytes).map_err(|_| {
                let path = &identity.key.path;
                // `BEGIN ENCRYPTED PRIVATE KEY`, or the older `Proc-Type: 4,ENCRYPTED`.
                let locked = memchr::memmem::find(&identity.key.bytes, b"ENCRYPTED").is_some();
                let said = match locked {
                    true => format!("the key in `{path}` is encrypted"),
                    false => format!("`{path}` holds no private key in PEM form"),
                };
                let trouble = Trouble::new(TroubleKind::Credentials, said);
                match locked {
                    true => trouble.hint("give one without a passphrase: `openssl pkey -in FILE`"),
                    false => trouble,
                }
            })?;
            builder.with_client_auth_cert(chain, key).map_err(wrong)?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Ok(mut seen) = self.seen.lock() {
            *seen = std::iter::once(end_entity)
                .chain(intermediates)
                .map(|der| der.to_vec())
                .collect();
        }
        match &self.inner {
            Some(inner) => {
                inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
