//! One HTTP/2 connection to one member, for unary calls and streams of gRPC.
//!
//! Directly on `h2`: a general gRPC client spends more on each call than etcd's own benchmark
//! does, and would measure itself. One task drives the connection; callers share its sender.

use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::address::Address;
use super::auth::Auth;
use super::coalesce::{Coalesce, Driver};
use super::grpc::{CallError, code, collect, message, ok, split, status, strip};
use super::wire;

/// Room for answers before the server must wait for us: more than any answer of a load.
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;

/// Longest wait for a log-in: etcd hashes the password, on purpose slowly.
const LOG_IN: Duration = Duration::from_secs(5);

/// A connection. Cloning shares it.
#[derive(Clone)]
pub struct Channel {
    sender: SendRequest<Bytes>,
    base: Rc<Base>,
}

struct Base {
    name: String,
    origin: String,
    auth: Auth,
    // Aborts the driver when the last user of the connection is gone.
    driver: tokio::task::AbortHandle,
}

impl Drop for Base {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("name", &self.base.name)
            .finish_non_exhaustive()
    }
}

/// A call's path on one connection, with all that is the same for each of its requests.
#[derive(Clone, Debug)]
pub struct Prepared {
    uri: Uri,
    headers: HeaderMap,
}

impl Channel {
    /// Connects within `limit`.
    pub async fn connect(
        address: &Address,
        auth: &Auth,
        limit: Duration,
    ) -> Result<Channel, CallError> {
        tokio::time::timeout(limit, Self::open(address, auth))
            .await
            .map_err(|_| CallError::Timeout)?
    }

    async fn open(address: &Address, auth: &Auth) -> Result<Channel, CallError> {
        let transport = |err: std::io::Error| CallError::Transport(words(&err));
        let Some(host) = address.endpoint.host() else {
            let socket = UnixStream::connect(&address.endpoint.address)
                .await
                .map_err(transport)?;
            return Self::handshake(Coalesce::new(socket), address, auth).await;
        };
        // With the brackets of an IPv6 address, as the resolver of names takes it.
        let tcp = TcpStream::connect(address.endpoint.address.as_str())
            .await
            .map_err(transport)?;
        tcp.set_nodelay(true).map_err(transport)?;
        match &address.tls {
            None => Self::handshake(Coalesce::new(tcp), address, auth).await,
            Some(config) => {
                let name = ServerName::try_from(host.to_owned())
                    .map_err(|_| CallError::Transport(format!("`{host}` is no name for TLS")))?;
                let tls = TlsConnector::from(Arc::clone(config))
                    .connect(name, tcp)
                    .await
                    .map_err(transport)?;
                Self::handshake(Coalesce::new(tls), address, auth).await
            }
        }
    }

    async fn handshake<T>(
        io: Coalesce<T>,
        address: &Address,
        auth: &Auth,
    ) -> Result<Channel, CallError>
    where
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
    {
        let mut writer = io.share();
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .enable_push(false)
            .max_concurrent_reset_streams(1024)
            .handshake::<_, Bytes>(io)
            .await?;
        // What the handshake wrote went to the buffer only.
        poll_fn(|cx| writer.poll_drain(cx))
            .await
            .map_err(|err| CallError::Transport(words(&err)))?;
        // How a connection ends is told to each of its calls; nothing is lost here.
        let driver = tokio::task::spawn_local(Driver::new(connection, writer));
        Ok(Channel {
            sender,
            base: Rc::new(Base {
                name: address.to_string(),
                origin: address.origin(),
                auth: auth.clone(),
                driver: driver.abort_handle(),
            }),
        })
    }

    /// Prepares a path, once for many calls.
    pub fn method(&self, path: &str) -> Result<Prepared, CallError> {
        let uri = format!("{}{path}", self.base.origin)
            .parse::<Uri>()
            .map_err(|err| CallError::Transport(err.to_string()))?;
        let mut headers = HeaderMap::with_capacity(3);
        headers.insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/grpc"),
        );
        headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
        Ok(Prepared { uri, headers })
    }

    fn request(&self, method: &Prepared, token: Option<HeaderValue>) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = method.uri.clone();
        *request.headers_mut() = method.headers.clone();
        if let Some(token) = token {
            request
                .headers_mut()
                .insert(http::HeaderName::from_static("token"), token);
        }
        request
    }

    /// Waits until the server takes one more stream.
    async fn ready(&mut self) -> Result<(), CallError> {
        poll_fn(|cx| self.sender.poll_ready(cx)).await?;
        Ok(())
    }

    /// One request, one answer. The answer is without gRPC's header. Where the token has ended, it
    /// is renewed and the request sent once more.
    pub async fn call(&mut self, method: &Prepared, message: Bytes) -> Result<Bytes, CallError> {
        let Some(token) = self.base.auth.token() else {
            return self.exchange(method, message, None).await;
        };
        let again = message.clone();
        match self.exchange(method, message, Some(token.clone())).await {
            Err(err) if err.is_stale_token() => {
                self.renew(Some(&token)).await?;
                let token = self.base.auth.token();
                self.exchange(method, again, token).await
            }
            answer => answer,
        }
    }

    /// Logs in anew, unless another connection has done it since `used` was refused.
    async fn renew(&mut self, used: Option<&HeaderValue>) -> Result<(), CallError> {
        let auth = self.base.auth.clone();
        auth.renew(used, self.log_in()).await
    }

    /// After a stream failed: when its token had ended, a new one is there for the next stream.
    pub async fn after(&mut self, stream: &Stream, err: &CallError) {
        if err.is_stale_token() && stream.token.is_some() {
            // A log-in that fails is told by the next stream.
            self.renew(stream.token.as_ref()).await.ok();
        }
    }

    /// The token for the user, with its password. Without a user there is none.
    pub async fn log_in(&mut self) -> Result<String, CallError> {
        let auth = self.base.auth.clone();
        let Some((user, password)) = auth.login() else {
            return Err(CallError::Transport("no user is known".to_owned()));
        };
        let request = wire::authenticate(&mut BytesMut::new(), user, password);
        let method = self.method(wire::path::AUTHENTICATE)?;
        // A stale token is no help here.
        let answer = tokio::time::timeout(LOG_IN, self.exchange(&method, request, None))
            .await
            .map_err(|_| CallError::Timeout)??;
        Ok(wire::token(&answer))
    }

    async fn exchange(
        &mut self,
        method: &Prepared,
        message: Bytes,
        token: Option<HeaderValue>,
    ) -> Result<Bytes, CallError> {
        self.ready().await?;
        let request = self.request(method, token);
        let (response, mut body) = self.sender.send_request(request, false)?;
        body.send_data(message, true)?;
        let (head, mut answer) = response.await?.into_parts();
        let bytes = collect(&mut answer).await?;
        // An immediate refusal has no body, and its status among the first headers.
        let trailers = answer.trailers().await?;
        let headers = trailers.as_ref().unwrap_or(&head.headers);
        if !ok(headers) {
            return Err(status(headers, &head));
        }
        strip(bytes)
    }

    /// As [`Channel::call`] for a path that is called once, with a limit.
    pub async fn once(
        &mut self,
        path: &str,
        message: Bytes,
        limit: Duration,
    ) -> Result<Bytes, CallError> {
        let method = self.method(path)?;
        tokio::time::timeout(limit, self.call(&method, message))
            .await
            .map_err(|_| CallError::Timeout)?
    }

    /// Opens a stream in both directions.
    pub async fn stream(&mut self, path: &str) -> Result<Stream, CallError> {
        self.ready().await?;
        let method = self.method(path)?;
        let token = self.base.auth.token();
        let request = self.request(&method, token.clone());
        let (response, sender) = self.sender.send_request(request, false)?;
        Ok(Stream {
            token,
            sender,
            response: Some(response),
            answers: None,
            buffer: BytesMut::new(),
        })
    }

    /// The member's address.
    pub fn name(&self) -> &str {
        &self.base.name
    }
}

/// A stream: many requests, many answers.
pub struct Stream {
    token: Option<HeaderValue>,
    sender: SendStream<Bytes>,
    response: Option<h2::client::ResponseFuture>,
    answers: Option<RecvStream>,
    buffer: BytesMut,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl Stream {
    /// Sends one message.
    pub fn send(&mut self, message: Bytes) -> Result<(), CallError> {
        Ok(self.sender.send_data(message, false)?)
    }

    /// The next message, without gRPC's header; `None` when the server ended the stream well.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        if let Some(response) = self.response.take() {
            let (head, answers) = response.await?.into_parts();
            if head.headers.contains_key("grpc-status") && !ok(&head.headers) {
                return Err(status(&head.headers, &head));
            }
            self.answers = Some(answers);
        }
        let Some(answers) = self.answers.as_mut() else {
            return Ok(None);
        };
        loop {
            if let Some(message) = split(&mut self.buffer)? {
                return Ok(Some(message));
            }
            match answers.data().await {
                Some(chunk) => {
                    let chunk = chunk?;
                    answers.flow_control().release_capacity(chunk.len())?;
                    self.buffer.extend_from_slice(&chunk);
                }
                None => {
                    let trailers = answers.trailers().await?;
                    return match trailers {
                        Some(headers) if !ok(&headers) => Err(CallError::Status {
                            code: code(&headers),
                            message: message(&headers),
                        }),
                        _ => Ok(None),
                    };
                }
            }
        }
    }

    /// The next message within a limit.
    pub async fn next_within(&mut self, limit: Duration) -> Result<Option<Bytes>, CallError> {
        tokio::time::timeout(limit, self.next())
            .await
            .map_err(|_| CallError::Timeout)?
    }
}

/// An I/O error with its cause, without the system's number.
fn words(err: &std::io::Error) -> String {
    err.to_string()
}
