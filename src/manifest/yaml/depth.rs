//! Brackets inside one another, counted before the text is parsed: for each token libyaml goes through
//! all that are open, so that a file of nothing but brackets would take minutes.

/// Open at once outside of quotes. `yaml_serde` itself follows 128 levels and refuses what has more, but
/// only after it has seen all of it.
const OPEN: usize = 256;
/// Open at once wherever they stand. What quotes are is a guess where a block of text holds an odd one;
/// this count does not depend on it, and leaves more room to texts with brackets that nobody closes.
const OPEN_ANYWHERE: usize = 1_000;

/// Counts the brackets of a text that are open.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Depth {
    outside: usize,
    anywhere: usize,
    /// Where there came to be too many, and the limit.
    over: Option<(usize, usize)>,
}

impl Depth {
    /// Takes the byte at a place, which is in quotes or not.
    pub(super) fn take(&mut self, at: usize, byte: u8, quoted: bool) {
        let step: fn(usize) -> usize = match byte {
            b'[' | b'{' => |open| open.saturating_add(1),
            b']' | b'}' => |open| open.saturating_sub(1),
            _ => return,
        };
        self.anywhere = step(self.anywhere);
        if !quoted {
            self.outside = step(self.outside);
        }
        let over = [(self.outside, OPEN), (self.anywhere, OPEN_ANYWHERE)];
        if let (None, Some((_, limit))) = (self.over, over.iter().find(|(open, most)| open > most))
        {
            self.over = Some((at, *limit));
        }
    }

    /// Whether there were too many: the lines before that place, and the limit.
    pub(super) fn over(&self, text: &str) -> Option<(u32, usize)> {
        let (at, limit) = self.over?;
        let before = text.as_bytes().get(..at).unwrap_or_default();
        let lines = memchr::memchr_iter(b'\n', before).count();
        Some((u32::try_from(lines).unwrap_or(u32::MAX), limit))
    }
}
