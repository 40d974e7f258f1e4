//! The answer's text: `range_response_count:62 size:49518`.

use crate::logs::event::Response;

use super::token::{Token, Tokens};

/// Reads `range_response_count:N size:M`, `responses:<range_response_count:2
/// range_response_count:1> size:4155` (summed), `size:31`. An `error:…` gives neither.
///
/// A count poll's answer says `range_response_count:0`; the number of objects is not in it.
pub fn parse_response(text: &[u8]) -> Response {
    let mut out = Response::default();
    if text.starts_with(b"error:") {
        return out;
    }
    let mut tokens = Tokens::new(text);
    while let Some(token) = tokens.next() {
        let field = match token {
            Token::Name(b"range_response_count") => &mut out.range_response_count,
            Token::Name(b"size") => &mut out.size,
            _ => continue,
        };
        // Cut at its end, a number may lack digits; a whole text closes with more than digits
        // only when a wrapper cut it, which the caller says.
        if let Some(Token::Word(word)) = tokens.next()
            && let Ok(text) = std::str::from_utf8(word)
            && let Ok(number) = text.parse::<u64>()
        {
            *field = Some(field.unwrap_or(0).saturating_add(number));
        }
    }
    out
}

/// The error that capnslog prints in place of the answer.
pub fn response_error(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b"error:")
        .filter(|error| !error.is_empty())
}
