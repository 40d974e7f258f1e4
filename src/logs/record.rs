//! One decoded log record, before anyone asks what it means.
//!
//! Everything borrows from the line buffer: the hot path allocates nothing. Texts are bytes,
//! because logs hold torn UTF-8.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// Severity as the writer gave it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Not given, as in native journald capnslog messages without their fields.
    #[default]
    Unknown,
    /// capnslog T.
    Trace,
    /// Debug.
    Debug,
    /// Info.
    Info,
    /// capnslog N.
    Notice,
    /// Warning.
    Warn,
    /// Error.
    Error,
    /// capnslog C, zap dpanic, panic and fatal, klog F.
    Fatal,
}

impl Level {
    /// The word used in output.
    pub fn word(self) -> Option<&'static str> {
        Some(match self {
            Level::Unknown => return None,
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Notice => "notice",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Fatal => "fatal",
        })
    }
}

/// How the record was written, below all wrappers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// etcd zap JSON.
    ZapJson,
    /// etcd zap console (3.6+).
    ZapConsole,
    /// `2021-05-25 03:59:18.123456 W | pkg: message`, and its native-journald form without header.
    Capnslog,
    /// `raft2022/03/19 02:50:20 INFO: …`.
    RaftText,
    /// `WARNING: 2021/05/14 16:47:45 grpc: …`.
    GrpcText,
    /// klog text.
    Klog,
    /// klog JSON.
    KlogJson,
    /// `Trace[484169231]: …`: a line that follows a klog trace header. Its `msg` is the whole
    /// line, as the header's `msg` starts with `Trace[484169231]: ` too.
    KlogTrace,
    /// logrus text or JSON.
    Logrus,
    /// audit.k8s.io JSON. Its `msg` is empty, its fields are the whole object; `time` is the
    /// stage's.
    Audit,
    /// A line without any known header, or with a wrapper's only: kernel messages, panics with
    /// their dump (level fatal, lines joined by `\n`), client programs.
    Bare,
}

/// Where a record's time was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TimeSource {
    /// There is none.
    #[default]
    None,
    /// From the record itself, with its zone (or UTC, where the format has none and etcd runs in UTC).
    Inner,
    /// From the wrapper (CRI, journal, syslog).
    Wrapper,
    /// From the record, with the year or the zone taken from the wrapper, file or clock.
    Completed,
}

/// A value of a field, still escaped as it stands in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    /// The text; for strings without the quotes.
    pub raw: &'a [u8],
    /// What it is.
    pub kind: ValueKind,
}

/// What a field's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// A JSON string whose escapes are still there.
    String,
    /// A text that needs no unescaping.
    Plain,
    /// A number.
    Number,
    /// `true`, `false` or `null`.
    Word,
    /// A nested object or array, verbatim.
    Nested,
    /// A value whose end is missing: good for reading what is there, never for a number or a
    /// duration, of which half is another one.
    Torn,
}

/// The fields of a record, scanned when asked for.
#[derive(Clone, Copy, Debug, Default)]
pub enum Fields<'a> {
    /// None.
    #[default]
    None,
    /// A JSON object's text, from `{` on, or from the comma after the head that the record
    /// already holds (level, ts, logger, caller, msg); may be torn at its end.
    Json(&'a [u8]),
    /// `key="value" key2=3` after a klog message.
    Klog(&'a [u8]),
}

/// What the wrappers said about the record.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outer<'a> {
    /// Time of the outermost wrapper that has one.
    pub time: Option<Timestamp>,
    /// Program name: syslog tag, journal identifier, unit, compose service.
    pub ident: Option<&'a [u8]>,
    /// Host name, where wrappers name several.
    pub host: Option<&'a [u8]>,
    /// Which writer of several in one stream it is, by all names that wrappers give it: hosts,
    /// programs, pods, files; 0 where none has a name.
    pub writer: u64,
    /// It came through etcd's own journald writer, which does not sample.
    pub unsampled: bool,
    /// Message was cut by its wrapper (systemctl status, syslog limits): its tail is not to be trusted.
    pub cut: bool,
    /// How many lines were counted as not understood with it.
    pub unread: u64,
}

/// One decoded record.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// First line in its file, from 1.
    pub line: u64,
    /// Last line; equal to `line` unless parts or continuation lines were joined.
    pub line_end: u64,
    /// How it was written.
    pub encoding: Encoding,
    /// Severity.
    pub level: Level,
    /// When, in UTC.
    pub time: Option<Timestamp>,
    /// Where the time was read.
    pub time_source: TimeSource,
    /// zap `logger`, capnslog package, klog JSON `logger`; empty when absent.
    pub logger: &'a [u8],
    /// zap `caller`, klog `file.go:123`; empty when absent.
    pub caller: &'a [u8],
    /// The message: zap and klog-JSON `msg` unescaped; capnslog and klog text after the header
    /// (klog structured: the text inside the first quotes).
    pub msg: Cow<'a, [u8]>,
    /// Its fields.
    pub fields: Fields<'a>,
    /// How many records this one stands for (`[merged 12 repeated lines in 1s]`).
    pub repeats: u64,
    /// What the wrappers said.
    pub outer: Outer<'a>,
}
