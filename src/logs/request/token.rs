//! Tokens of a request text, at any depth of quoting.
//!
//! At depth L (0: bare protobuf text, 1: inside `%q` or a JSON string, 2: that inside another
//! JSON string) the quote that opens or closes a text is written with 2^L − 1 backslashes before
//! it, and a quote inside the text with 2^(L+1) − 1 on top of any escaped backslashes. Depth is
//! read off each opening quote, so text whose outer quoting was already undone, or never done,
//! needs no other reader.

use std::borrow::Cow;

use memchr::memchr;

use super::unescape::unescape;
use crate::logs::needle::near2;

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A field's name; its `:` was there, or a bracket follows.
    Name(&'a [u8]),
    /// A quoted text.
    Text(Quoted<'a>),
    /// A number or a word.
    Word(&'a [u8]),
    /// `<` or `{`.
    Open,
    /// `>` or `}`.
    Close,
}

/// A quoted text, its quotes off, its escapes still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<'a> {
    raw: &'a [u8],
    /// How many levels of escapes to undo: depth of quoting, and protobuf text's own.
    levels: u8,
    /// Whether the closing quote is missing.
    pub torn: bool,
}

impl<'a> Quoted<'a> {
    /// The bytes themselves.
    pub fn bytes(&self) -> Cow<'a, [u8]> {
        if memchr(b'\\', self.raw).is_none() {
            return Cow::Borrowed(self.raw);
        }
        let mut bytes: Cow<'a, [u8]> = unescape(self.raw);
        for _ in 1..self.levels {
            bytes = Cow::Owned(unescape(&bytes).into_owned());
        }
        bytes
    }

    /// The bytes as they stand in the line.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }
}

/// Reads tokens one after the other. Anything is accepted; what cannot be a token is skipped.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    rest: &'a [u8],
}

/// The bytes that end a name, a number or a word.
const ENDS_WORD: [bool; 256] = {
    let mut table = [false; 256];
    let ends = b": <>{}\"\\\n\t,";
    let mut at = 0;
    while at < ends.len() {
        table[ends[at] as usize] = true;
        at += 1;
    }
    table
};

/// Deeper quoting than this is noise: three JSON levels around `%q`.
const MAX_DEPTH: u32 = 4;

impl<'a> Tokens<'a> {
    /// Starts at the beginning of `text`.
    pub fn new(text: &'a [u8]) -> Self {
        Tokens { rest: text }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn skip(&mut self, len: usize) {
        self.rest = self.rest.get(len..).unwrap_or_default();
    }

    /// Takes the next token if it is one that `accept` wants.
    pub fn take_if(&mut self, accept: impl Fn(&Token<'a>) -> bool) -> Option<Token<'a>> {
        let mut ahead = self.clone();
        let token = ahead.next().filter(accept)?;
        *self = ahead;
        Some(token)
    }

    /// Skips a field's value, whatever it is; a missing one is not looked for further on.
    pub fn skip_value(&mut self) {
        let value =
            self.take_if(|token| matches!(token, Token::Text(_) | Token::Word(_) | Token::Open));
        if value == Some(Token::Open) {
            self.skip_block();
        }
    }

    /// Skips to behind the bracket that closes the block we are in.
    pub fn skip_block(&mut self) {
        let mut depth = 1;
        for token in self.by_ref() {
            match token {
                Token::Open => depth += 1,
                Token::Close => {
                    depth -= 1;
                    if depth == 0 {
                        return;
                    }
                }
                _ => {}
            }
        }
    }

    /// The text from an opening quote at the start, which `backslashes` precede.
    fn quoted(&mut self, backslashes: usize) -> Option<Token<'a>> {
        // 0, 1, 3, 7 backslashes: depth 0, 1, 2, 3.
        let unit = backslashes + 1;
        let depth = unit.trailing_zeros();
        if !unit.is_power_of_two() || depth > MAX_DEPTH {
            self.skip(unit);
            return None;
        }
        let body = self.rest.get(unit..)?;
        let mut from = 0;
        while let Some(at) = memchr(b'"', body.get(from..)?) {
            let quote = from + at;
            let run = body
                .get(from..quote)?
                .iter()
                .rev()
                .take_while(|b| **b == b'\\')
                .count();
            // Whole escaped backslashes are 2·unit; a closing quote has unit − 1 more, a quote
            // inside the text 2·unit − 1 more.
            if run % (2 * unit) == unit - 1 {
                let raw = body.get(..quote - (unit - 1))?;
                self.skip(unit + quote + 1);
                return Some(Token::Text(Quoted {
                    raw,
                    levels: u8::try_from(depth + 1).unwrap_or(1),
                    torn: false,
                }));
            }
            from = quote + 1;
        }
        self.rest = &[];
        Some(Token::Text(Quoted {
            raw: body,
            levels: u8::try_from(depth + 1).unwrap_or(1),
            torn: true,
        }))
    }

    /// What begins with backslashes: a quote, or a bracket as `\u003c`.
    fn escaped(&mut self) -> Option<Token<'a>> {
        let run = self.rest.iter().take_while(|b| **b == b'\\').count();
        let after = self.rest.get(run..)?;
        if after.first() == Some(&b'"') {
            return self.quoted(run);
        }
        let token = match after.get(..5) {
            Some(b"u003c" | b"u003C" | b"u007b" | b"u007B") => Token::Open,
            Some(b"u003e" | b"u003E" | b"u007d" | b"u007D") => Token::Close,
            _ => {
                // `\n` or `\t` between tokens, or noise.
                self.skip(run + 1);
                return None;
            }
        };
        self.skip(run + 5);
        Some(token)
    }

    #[inline]
    fn word(&mut self) -> Token<'a> {
        let len = self
            .rest
            .iter()
            .position(|b| ENDS_WORD[usize::from(*b)])
            .unwrap_or(self.rest.len());
        let (word, tail) = self.rest.split_at(len);
        self.rest = tail;
        match tail.first() {
            Some(b':') => {
                self.skip(1);
                Token::Name(word)
            }
            Some(b'<' | b'{') => Token::Name(word),
            _ => Token::Word(word),
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    #[inline]
    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let token = match self.rest.first()? {
                b' ' | b'\n' | b'\t' | b'\r' | b',' => {
                    self.skip(1);
                    continue;
                }
                b'<' | b'{' => Token::Open,
                b'>' | b'}' => Token::Close,
                b'"' => match self.quoted(0) {
                    Some(token) => return Some(token),
                    None => continue,
                },
                b'\\' => match self.escaped() {
                    Some(token) => return Some(token),
                    None => continue,
                },
                b':' => {
                    self.skip(1);
                    continue;
                }
                _ => return Some(self.word()),
            };
            self.skip(1);
            return Some(token);
        }
    }
}

/// Finds the end of a `%q` or JSON text that starts behind its opening quote: the position of
/// the closing quote.
pub(crate) fn closing_quote(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let found = at + near2(b'"', b'\\', body.get(at..)?)?;
        if body.get(found) == Some(&b'"') {
            return Some(found);
        }
        at = found + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &[u8]) -> Vec<(Vec<u8>, bool)> {
        Tokens::new(text)
            .filter_map(|token| match token {
                Token::Text(quoted) => Some((quoted.bytes().into_owned(), quoted.torn)),
                _ => None,
            })
            .collect()
    }

    /// Quotes as protobuf text and then `depth` times as a string.
    fn quote(key: &[u8], depth: usize) -> Vec<u8> {
        fn level(text: &[u8]) -> Vec<u8> {
            let mut out = vec![b'"'];
            for byte in text {
                match byte {
                    b'"' | b'\\' => out.extend([b'\\', *byte]),
                    _ => out.push(*byte),
                }
            }
            out.push(b'"');
            out
        }
        let mut text = level(key);
        for _ in 0..depth {
            text = level(&text);
            text.pop();
            text.remove(0);
        }
        text
    }

    #[test]
    fn quotes_are_read_at_every_depth() {
        for key in [
            &b"/a"[..],
            b"",
            b"\"",
            b"\\",
            b"a\\\"",
            b"\\\\\"\"x range_end:\"y",
        ] {
            for depth in 0..4 {
                let mut text = b"key:".to_vec();
                text.extend(quote(key, depth));
                text.extend(b" limit:1 ");
                assert_eq!(texts(&text), [(key.to_vec(), false)], "{depth} {key:?}");
            }
        }
    }

    #[test]
    fn both_dialects_give_the_same_tokens() {
        let old = Tokens::new(br#"delete_range:<key:"a" range_end:"b" > "#);
        let new = Tokens::new(br#"delete_range:{key:"a"  range_end:"b"}"#);
        let json = Tokens::new(br#"delete_range:\u003ckey:\"a\" range_end:\"b\" \u003e"#);
        let kinds = |tokens: Tokens<'_>| -> Vec<String> {
            tokens
                .map(|token| match token {
                    Token::Text(quoted) => format!("{:?}", quoted.bytes()),
                    other => format!("{other:?}"),
                })
                .collect()
        };
        assert_eq!(kinds(old.clone()), kinds(new));
        assert_eq!(kinds(old), kinds(json));
    }

    #[test]
    fn torn_text_gives_what_is_there() {
        assert_eq!(
            texts(br#"key:\"/registry/po"#),
            [(b"/registry/po".to_vec(), true)]
        );
    }

    #[test]
    fn closing_quotes() {
        assert_eq!(closing_quote(br#"a\"b" with"#), Some(4));
        assert_eq!(closing_quote(br#"a\\" x"#), Some(3));
        assert_eq!(closing_quote(br"a\"), None);
        assert_eq!(closing_quote(b"abc"), None);
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_ends(text: Vec<u8>) {
            let tokens = Tokens::new(&text).count();
            proptest::prop_assert!(tokens <= text.len());
            let _ = closing_quote(&text);
        }

        #[test]
        fn reads_back_any_key(key: Vec<u8>, depth in 0usize..3) {
            let mut text = b"key:".to_vec();
            text.extend(quote(&key, depth));
            proptest::prop_assert_eq!(texts(&text), vec![(key, false)]);
        }
    }
}
