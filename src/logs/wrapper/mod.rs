//! Wrappers: what runtimes, journals, shippers and people put around a line. Each is taken off
//! only where its shape is strict, and they nest: syslog around CRI around JSON around capnslog.

pub mod calendar;
pub mod clean;
pub mod cri;
pub mod prefix;
pub mod salvage;
pub mod section;
pub mod syslog;

use crate::clock::Timestamp;

use super::format::object::Stream;
use super::format::{klog, starts_record};
use super::needle;
use super::record::Level;
use super::timestamp::TimeCache;

/// What one wrapper said, and the text inside it.
#[derive(Clone, Copy, Debug)]
pub struct Peeled<'a> {
    /// The text inside.
    pub text: &'a [u8],
    /// When the wrapper got it.
    pub time: Option<Timestamp>,
    /// Whether that time names its zone.
    pub zoned: bool,
    /// Program name.
    pub ident: Option<&'a [u8]>,
    /// Host name.
    pub host: Option<&'a [u8]>,
    /// What else tells writers of one stream apart: pod, file, node.
    pub name: Option<&'a [u8]>,
    /// Severity, where the wrapper has one.
    pub level: Level,
    /// A container runtime's output stream, and whether the line goes on in its next record.
    pub part: Option<(Stream, bool)>,
    /// Syslog or journal: the text needs no header of its own to be a record.
    pub syslog: bool,
}

impl<'a> Peeled<'a> {
    /// Only a text.
    pub fn text(text: &'a [u8]) -> Self {
        Peeled {
            text,
            time: None,
            zoned: false,
            ident: None,
            host: None,
            name: None,
            level: Level::Unknown,
            part: None,
            syslog: false,
        }
    }
}

/// Takes the outermost text wrapper off, if there is one. JSON wrappers are
/// [`super::format::object`]'s.
pub fn peel<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Peeled<'a>> {
    // A trace's line begins like a name and a colon.
    if starts_record(text) || klog::is_trace(text) {
        return None;
    }
    cri::peel(text, cache)
        .or_else(|| syslog::peel(text, cache))
        .or_else(|| prefix::peel(text, cache))
}

/// Whether a record could stand somewhere in the middle of a text: nearly all have a time of day
/// or an object. Spares most lines of other programs the search for it.
pub(crate) fn may_hold(text: &[u8]) -> bool {
    let digit = |at: Option<usize>| {
        at.and_then(|at| text.get(at))
            .is_some_and(u8::is_ascii_digit)
    };
    // `12:34` and, with the hour cut off, `:41.942121`.
    let clock = |at: usize| digit(at.checked_sub(1)) && digit(Some(at + 1));
    memchr::memchr(b'{', text).is_some()
        || memchr::memchr_iter(b':', text).any(clock)
        || needle::BAR.is_in(text)
        || needle::MSG.is_in(text)
        || needle::TRACE.is_in(text)
}

/// Whether what follows a loose prefix is worth taking the prefix off: a record, or a wrapper of
/// a strict shape. Other loose prefixes are none, so that a line of colons costs no search tree.
pub(super) fn plausible(text: &[u8], cache: &mut TimeCache) -> bool {
    is_strict(text, cache) || prefix::stamped(text, cache).is_some()
}

/// Whether a record stands here, or a wrapper that cannot be taken for anything else.
fn is_strict(text: &[u8], cache: &mut TimeCache) -> bool {
    starts_record(text)
        || klog::is_trace(text)
        || cri::peel(text, cache).is_some()
        || syslog::peel(text, cache).is_some()
}
