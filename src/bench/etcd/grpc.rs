//! What gRPC adds to HTTP/2: a header before each message, a status behind the last one, and with
//! them why a call failed.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use h2::RecvStream;
use http::HeaderMap;

use super::wire;

/// Longest answer that is kept: a range of a load never comes near.
const ANSWER_LIMIT: usize = 64 << 20;

/// Why a call failed. The kinds are what errors are counted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The server answered with a gRPC status.
    Status {
        /// The gRPC code.
        code: u16,
        /// The server's words.
        message: String,
    },
    /// The connection could not be made, or broke.
    Transport(String),
    /// No answer within the limit.
    Timeout,
}

impl CallError {
    /// What it is counted as: the server's own words, or how the connection failed.
    pub fn kind(&self) -> String {
        match self {
            CallError::Status { code, message } if message.is_empty() => {
                format!("gRPC code {code}")
            }
            CallError::Status { message, .. } => message.clone(),
            CallError::Transport(why) => format!("connection: {why}"),
            CallError::Timeout => "no answer in time".to_owned(),
        }
    }

    /// Whether etcd does not know the token (any more), or its users have changed since it was given.
    ///
    /// etcd: `ErrGRPCInvalidAuthToken` is Unauthenticated, `ErrGRPCAuthOldRevision` InvalidArgument.
    pub fn is_stale_token(&self) -> bool {
        match self {
            CallError::Status { code: 16, .. } => true,
            CallError::Status { code: 3, message } => {
                message.contains("revision of auth store is old")
            }
            _ => false,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind())
    }
}

impl From<h2::Error> for CallError {
    fn from(err: h2::Error) -> Self {
        CallError::Transport(err.to_string())
    }
}

/// Takes one message off the front of what has come.
pub(super) fn split(buffer: &mut BytesMut) -> Result<Option<Bytes>, CallError> {
    let Some(prefix) = buffer.first_chunk::<{ wire::PREFIX }>() else {
        return Ok(None);
    };
    let [flags, length @ ..] = *prefix;
    let length = u32::from_be_bytes(length) as usize;
    if flags != 0 || length > ANSWER_LIMIT {
        return Err(CallError::Transport(
            "a message is compressed or too long".to_owned(),
        ));
    }
    if buffer.len() < wire::PREFIX + length {
        return Ok(None);
    }
    buffer.advance(wire::PREFIX);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// A whole body. Mostly one chunk, which is then not copied.
pub(super) async fn collect(answer: &mut RecvStream) -> Result<Bytes, CallError> {
    let Some(first) = answer.data().await else {
        return Ok(Bytes::new());
    };
    let first = first?;
    answer.flow_control().release_capacity(first.len())?;
    if complete(&first) {
        return Ok(first);
    }
    let mut all = BytesMut::from(first);
    while let Some(chunk) = answer.data().await {
        let chunk = chunk?;
        answer.flow_control().release_capacity(chunk.len())?;
        all.extend_from_slice(&chunk);
        if all.len() > ANSWER_LIMIT {
            return Err(CallError::Transport("the answer is too long".to_owned()));
        }
    }
    Ok(all.freeze())
}

fn complete(body: &[u8]) -> bool {
    body.first_chunk::<{ wire::PREFIX }>()
        .is_some_and(|[_, length @ ..]| {
            body.len() >= wire::PREFIX + u32::from_be_bytes(*length) as usize
        })
}

pub(super) fn strip(mut body: Bytes) -> Result<Bytes, CallError> {
    if body.first() != Some(&0) || !complete(&body) {
        return Err(CallError::Transport("a torn answer".to_owned()));
    }
    body.advance(wire::PREFIX);
    Ok(body)
}

pub(super) fn ok(headers: &HeaderMap) -> bool {
    headers
        .get("grpc-status")
        .is_some_and(|value| value.as_bytes() == b"0")
}

pub(super) fn code(headers: &HeaderMap) -> u16 {
    headers
        .get("grpc-status")
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .unwrap_or(2)
}

pub(super) fn message(headers: &HeaderMap) -> String {
    headers
        .get("grpc-message")
        .map_or_else(String::new, |value| unescape(value.as_bytes()))
}

pub(super) fn status(headers: &HeaderMap, head: &http::response::Parts) -> CallError {
    if headers.contains_key("grpc-status") {
        return CallError::Status {
            code: code(headers),
            message: message(headers),
        };
    }
    // Not gRPC: a proxy, or another server on this port.
    CallError::Transport(format!("HTTP status {} and no gRPC status", head.status))
}

/// gRPC writes bytes outside of printable ASCII as `%XX`.
fn unescape(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.first_chunk::<2>().filter(|_| byte == b'%');
        let value = hex
            .and_then(|pair| std::str::from_utf8(pair).ok())
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match value {
            Some(value) => {
                out.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_servers_are_unescaped() {
        assert_eq!(unescape(b"a%20b%"), "a b%");
        assert_eq!(unescape(b"%zz"), "%zz");
        assert_eq!(
            unescape("etcdserver: too many requests".as_bytes()),
            "etcdserver: too many requests"
        );
    }

    #[test]
    fn a_stream_is_cut_into_messages() {
        let mut buffer = BytesMut::from(&[0, 0, 0, 0, 2, 7, 8, 0, 0, 0, 0, 0, 0][..]);
        assert_eq!(split(&mut buffer).unwrap().unwrap(), &[7, 8][..]);
        assert_eq!(split(&mut buffer).unwrap().unwrap(), &[][..]);
        assert_eq!(split(&mut buffer).unwrap(), None);
        let mut compressed = BytesMut::from(&[1, 0, 0, 0, 0][..]);
        assert!(split(&mut compressed).is_err());
    }

    #[test]
    fn what_a_stale_token_looks_like() {
        let status = |code, message: &str| CallError::Status {
            code,
            message: message.to_owned(),
        };
        assert!(status(16, "etcdserver: invalid auth token").is_stale_token());
        assert!(status(3, "etcdserver: revision of auth store is old").is_stale_token());
        assert!(!status(3, "etcdserver: authentication failed").is_stale_token());
        assert!(!status(7, "etcdserver: permission denied").is_stale_token());
        assert!(!CallError::Timeout.is_stale_token());
    }
}
