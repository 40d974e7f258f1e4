//! Searchers that are built once: building one costs as much as searching a line with it.

use std::sync::LazyLock;

use memchr::memmem::{Finder, FinderRev};

macro_rules! needles {
    ($($name:ident = $text:literal;)*) => {
        $(pub(crate) static $name: Needle = Needle(LazyLock::new(|| Finder::new($text)));)*
    };
}

/// A text to look for.
pub(crate) struct Needle(LazyLock<Finder<'static>>);

impl Needle {
    /// Where it is.
    #[inline]
    pub(crate) fn find(&self, text: &[u8]) -> Option<usize> {
        self.0.find(text)
    }

    /// Everywhere it is, in order.
    pub(crate) fn find_iter<'t>(&'t self, text: &'t [u8]) -> impl Iterator<Item = usize> + 't {
        self.0.find_iter(text)
    }

    /// Whether it is there.
    #[inline]
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        self.find(text).is_some()
    }
}

needles! {
    ZAP = b"{\"level\":\"";
    ZAP_ESCAPED = b"{\\\"level\\\":\\\"";
    GO_LINE = b".go:";
    BAR_END = b"| ";
    BAR = b" | ";
    PID_END = b"]: ";
    KERNEL = b" kernel: ";
    MSG = b" msg=";
    TRACE = b"Trace[";
    TAB = b"#011";
    ESCAPE = b"#033[";
    DOTS = b" ...";
    ELLIPSIS = b"\xe2\x80\xa6";
}

/// The last text of Docker's own form, sought from the end.
pub(crate) static DOCKER_STREAM: LazyLock<FinderRev<'static>> =
    LazyLock::new(|| FinderRev::new(b"\",\"stream\":\"std"));

/// What stands before the duration of a trace's step, sought from the end.
pub(crate) static STEP_DURATION: LazyLock<FinderRev<'static>> =
    LazyLock::new(|| FinderRev::new(b"(duration: "));
