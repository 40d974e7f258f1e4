//! Where a record surely starts: what the reader cuts files by, and what ends an open record.

use crate::logs::format::object::{self, Object, Stream};
use crate::logs::format::{klog, starts_record, zap};
use crate::logs::timestamp::TimeCache;
use crate::logs::wrapper::{self, clean};

use super::entry;
use super::open::is_dump;
use super::slow::LAYERS;

/// How a line begins, as far as cutting a file before it is concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineStart {
    /// Whether a record surely starts here.
    pub sure: bool,
    /// Whether a runtime's part of a line is open after this line, and on which output.
    pub part: Option<(usize, bool)>,
}

impl LineStart {
    /// Looks at one line, without its newline.
    pub fn of(line: &[u8], cache: &mut TimeCache) -> Self {
        // A binary field of a journal's export: its text begins behind its length, and belongs to it.
        if entry::is_length(line) {
            return LineStart::default();
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.starts_with(b"__CURSOR=") || entry::Entry::start(line, 1, cache).is_some() {
            return LineStart {
                sure: true,
                part: None,
            };
        }
        let mut start = LineStart::default();
        start.look(clean::strip_start(line), cache, 0, false);
        start
    }

    fn look(&mut self, text: &[u8], cache: &mut TimeCache, depth: u8, syslog: bool) {
        let bare = clean::strip_start(text.trim_ascii_start());
        if depth >= LAYERS {
            return;
        }
        if object::starts(bare) {
            self.object(bare, cache, depth);
            return;
        }
        match wrapper::peel(bare, cache) {
            Some(peeled) => {
                if let Some((stream, more)) = peeled.part {
                    self.part = Some((usize::from(stream == Stream::Stderr), more));
                }
                self.look(peeled.text, cache, depth + 1, syslog || peeled.syslog);
            }
            None => self.sure = starts_record(bare) || syslog && plain_start(text),
        }
    }

    fn object(&mut self, text: &[u8], cache: &mut TimeCache, depth: u8) {
        self.sure = true;
        if text.starts_with(zap::HEAD) || object::is_audit(text) {
            return;
        }
        let Object::Wrapper(wrapped) = object::classify(text, cache) else {
            return;
        };
        let line = object::line_of(wrapped.text);
        if let Some(stream) = wrapped.docker {
            let more = !line.ends_with(b"\n");
            self.part = Some((usize::from(stream == Stream::Stderr), more));
        }
        self.sure = false;
        let first = if object::has_objects(&wrapped.text) {
            &line
        } else {
            line.split(|b| *b == b'\n').next().unwrap_or_default()
        };
        self.look(first, cache, depth + 1, wrapped.journal);
    }
}

/// Whether a text that its wrapper alone makes a record starts a new one.
pub(super) fn plain_start(text: &[u8]) -> bool {
    let first = text.first().copied().unwrap_or(b' ');
    !first.is_ascii_whitespace()
        && !matches!(first, b'}' | b']' | b'"' | b'{')
        && !klog::is_trace(text)
        && !is_dump(text)
}
