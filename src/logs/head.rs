//! The commonest lines of a big log, before a record is made of them.
//!
//! etcd's lines about slow requests are most of a log that is worth reading. What they begin with
//! is known by their call site, and what follows is read in one go by
//! [`hot`](super::aggregate::hot): for them the way over a [`Record`] would be a detour.

use std::borrow::Cow;

use crate::clock::Timestamp;

use super::record::{Encoding, Fields, Level, Record};

/// A message that such lines have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// `apply request took too long`.
    SlowApply,
    /// `trace[N] …`.
    Trace,
    /// `request stats`.
    Stats,
}

impl Message {
    /// The message of a call site of an etcd server.
    #[inline]
    pub fn of(logger: &[u8], caller: &[u8], msg: &[u8]) -> Option<Self> {
        if !logger.is_empty() {
            return None;
        }
        let message = match msg {
            b"apply request took too long" => return Some(Message::SlowApply),
            b"request stats" => Message::Stats,
            [b't', b'r', b'a', b'c', b'e', b'[', ..] => Message::Trace,
            _ => return None,
        };
        // Clients have traces and calls of their own.
        (!caller.starts_with(b"clientv3/")).then_some(message)
    }
}

/// A line's beginning, as far as it is known without looking at its fields.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Which of those messages it is, if any.
    pub message: Option<Message>,
    /// The call site: never the same number for two that differ in logger, caller or message; 0
    /// where it is not known.
    pub site: u64,
    /// Severity.
    pub level: Level,
    /// The time.
    pub time: Option<Timestamp>,
    /// The name of the logger.
    pub logger: &'a [u8],
    /// File and line.
    pub caller: &'a [u8],
    /// The message's text, which holds no escapes.
    pub msg: &'a [u8],
    /// The object from the comma after the message on, as in [`Fields::Json`].
    pub fields: &'a [u8],
}

impl<'a> Head<'a> {
    /// The beginning of a record that has one of those messages.
    pub fn of(record: &'a Record<'_>) -> Option<Self> {
        let (Fields::Json(fields), Cow::Borrowed(msg)) = (record.fields, &record.msg) else {
            return None;
        };
        if record.encoding != Encoding::ZapJson || record.repeats != 1 {
            return None;
        }
        Some(Head {
            message: Some(Message::of(record.logger, record.caller, msg)?),
            site: 0,
            level: record.level,
            time: record.time,
            logger: record.logger,
            caller: record.caller,
            msg,
            fields,
        })
    }
}

/// What takes the records of a [`Decoder`](super::decode::Decoder).
pub trait Taker {
    /// Takes a record.
    fn take(&mut self, record: &Record<'_>);

    /// Takes a line by its beginning. `false` means that nothing was done, and that its record is
    /// wanted. Whoever takes one with a [`Message`] has read all of it, up to the end of its object;
    /// any other one is known to hold no second record.
    #[inline]
    fn take_head(&mut self, _head: &Head<'_>) -> bool {
        false
    }
}

impl<F: FnMut(&Record<'_>)> Taker for F {
    fn take(&mut self, record: &Record<'_>) {
        self(record);
    }
}
