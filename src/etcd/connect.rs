//! One client for one endpoint, over a channel whose TLS, deadlines and windows are ours.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Channel, Client, ConnectOptions};
use tonic::transport::{ClientTlsConfig, Identity};

use super::probe::{Greeting, probe};
use super::tls::{self, Judge};
use super::trouble::{Trouble, TroubleKind};
use crate::clock::{Clock, Timestamp};
use crate::formats::x509;
use crate::target::etcd::{Access, Endpoint};

/// Opens connections with one set of credentials.
#[derive(Clone, Debug)]
pub struct Dialer {
    access: Access,
    clock: Clock,
}

/// A client of one endpoint. Nothing is sent until the first call.
#[derive(Clone)]
pub struct Connection {
    /// Where it leads.
    pub endpoint: Endpoint,
    /// The client. Every call is to go through [`within`].
    pub client: Client,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.endpoint)
    }
}

/// A runtime for one thread. Shut it down with `shutdown_background`: a name that does not
/// resolve may still hold a thread.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// Waits for a call of the client, at most for `limit`.
pub async fn within<T>(
    limit: Duration,
    what: &str,
    call: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, Trouble> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(err)) => {
            let trouble = Trouble::of_client(&err);
            Err(if trouble.kind == TroubleKind::TimedOut {
                Trouble::timed_out(what, limit)
            } else {
                trouble
            })
        }
        Err(_) => Err(Trouble::timed_out(what, limit)),
    }
}

impl Dialer {
    /// Checks the credentials: a key that does not fit or a file that holds no certificate is said
    /// before anything is sent.
    pub fn new(access: Access, clock: Clock) -> Result<Self, Trouble> {
        if access.identity.is_some() || access.ca.is_some() {
            tls::config(&access, Judge::new(&access)?)?;
        }
        Ok(Dialer { access, clock })
    }

    /// The same without its user: what needs no rights is better asked without a log-in, which
    /// etcd notes in its raft log and which hangs without a leader.
    #[must_use]
    pub fn without_user(&self) -> Self {
        let mut other = self.clone();
        other.access.user = None;
        other
    }

    /// The credentials and limits.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Longest time for one request.
    pub fn command_timeout(&self) -> Duration {
        self.access.command_timeout
    }

    /// The client certificate, where there is one that can be read.
    pub fn client_certificate(&self) -> Option<x509::Certificate> {
        let identity = self.access.identity.as_ref()?;
        x509::Certificate::of_pem(&identity.cert.bytes)
            .into_iter()
            .next()
    }

    /// The TLS settings, for a protocol client of another kind than ours.
    pub fn tls(&self) -> Result<Arc<rustls::ClientConfig>, Trouble> {
        tls::config(&self.access, Judge::new(&self.access)?).map(Arc::new)
    }

    /// A channel to an endpoint, after `tune` has set windows and buffers.
    ///
    /// It connects with the first request, and again after each loss.
    pub fn channel(
        &self,
        endpoint: &Endpoint,
        tune: impl FnOnce(tonic::transport::Endpoint) -> tonic::transport::Endpoint,
    ) -> Result<tonic::transport::Channel, Trouble> {
        let failed = |err: tonic::transport::Error| {
            Trouble::new(
                TroubleKind::Credentials,
                format!("cannot use {endpoint} with these credentials: {err}"),
            )
        };
        let mut built =
            tonic::transport::Endpoint::from_shared(endpoint.to_string()).map_err(failed)?;
        built = built
            .user_agent(concat!("etcd-doctor/", env!("CARGO_PKG_VERSION")))
            .map_err(failed)?
            .connect_timeout(self.access.dial_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(self.access.dial_timeout);
        if endpoint.is_tls() {
            // Checked once here for clear words; tonic builds its own from the same parts.
            let judge = Judge::new(&self.access)?;
            tls::config(&self.access, Arc::clone(&judge))?;
            let mut config = ClientTlsConfig::new().timeout(self.access.dial_timeout);
            if let Some(identity) = &self.access.identity {
                config = config.identity(Identity::from_pem(
                    &identity.cert.bytes,
                    &identity.key.bytes,
                ));
            }
            built = built
                .tls_config_with_verifier(config, judge)
                .map_err(failed)?;
        }
        Ok(tune(built).connect_lazy())
    }

    /// A client over a channel. With a user this asks etcd for a token.
    pub async fn client(&self, channel: tonic::transport::Channel) -> Result<Client, Trouble> {
        let mut options = ConnectOptions::new().with_auto_token_refresh(true);
        if let Some(user) = &self.access.user {
            options = options.with_user(&user.name, &user.password);
        }
        let limit = self.access.dial_timeout + self.access.command_timeout;
        within(
            limit,
            "the log-in",
            Client::from_channel(Channel::Tonic(channel), Some(options)),
        )
        .await
    }

    /// A client of one endpoint.
    pub async fn connect(&self, endpoint: &Endpoint) -> Result<Connection, Trouble> {
        let channel = self.channel(endpoint, |built| built)?;
        match self.client(channel).await {
            Ok(client) => Ok(Connection {
                endpoint: endpoint.clone(),
                client,
            }),
            Err(trouble) => Err(self.diagnose(endpoint, trouble).await.0),
        }
    }

    /// Why a call failed, by a handshake of our own; and what the server showed.
    ///
    /// What etcd itself answered is kept: only a failed connection is looked into.
    pub async fn diagnose(&self, endpoint: &Endpoint, trouble: Trouble) -> (Trouble, Greeting) {
        let (greeting, outcome) = self.greet(endpoint).await;
        let answered = matches!(
            trouble.kind,
            TroubleKind::Authentication
                | TroubleKind::Denied
                | TroubleKind::NoLeader
                | TroubleKind::Unimplemented
                | TroubleKind::Busy
                | TroubleKind::Corrupt
        );
        match outcome {
            Err(found) if !answered => (found, greeting),
            _ => (trouble, greeting),
        }
    }

    /// Knocks at an endpoint and says what the server showed.
    pub async fn greet(&self, endpoint: &Endpoint) -> (Greeting, Result<(), Trouble>) {
        let (endpoint, access) = (endpoint.clone(), self.access.clone());
        let now: Timestamp = self.clock.now();
        // Name, TCP and two handshakes, each with its own limit.
        let limit = access.dial_timeout * 4;
        let source = endpoint.to_string();
        let task = tokio::task::spawn_blocking(move || probe(&endpoint, &access, now));
        match tokio::time::timeout(limit, task).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => (
                Greeting::default(),
                Err(Trouble::new(TroubleKind::Other, "the handshake broke off")),
            ),
            Err(_) => (Greeting::default(), Err(Trouble::timed_out(source, limit))),
        }
    }
}
