//! Templates: `sync duration of {took}, expected less than {expected-duration}`.

use memchr::memchr_iter;

/// Captured parts, by name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Captures<'a> {
    items: [(&'static str, &'a [u8]); Captures::MAX],
    len: usize,
}

impl<'a> Captures<'a> {
    const MAX: usize = 10;

    fn push(&mut self, name: &'static str, text: &'a [u8]) {
        if let Some(slot) = self.items.get_mut(self.len) {
            *slot = (name, text);
            self.len += 1;
        }
    }

    /// All captured parts.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &'a [u8])> {
        self.items.into_iter().take(self.len)
    }

    /// A part by name.
    pub(super) fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, text)| text)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Any,
    Hex,
    Int,
}

#[derive(Clone, Copy, Debug)]
struct Hole {
    name: &'static str,
    kind: Kind,
}

/// A template, taken apart.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// What it begins with; empty when it begins with a hole.
    pub(super) head: &'static str,
    /// Holes, each with the fixed text after it; empty only at the very end.
    rest: Vec<(Hole, &'static str)>,
}

impl Template {
    /// Takes a template apart. The tables are fixed, so a mistake in one is found by their test.
    pub(super) fn new(text: &'static str) -> Self {
        let mut parts = text.split('{');
        let head = parts.next().unwrap_or_default();
        let rest = parts
            .map(|part| {
                let (hole, fixed) = part.split_once('}').unwrap_or((part, ""));
                let (name, kind) = match hole.split_once(':') {
                    Some((name, "hex")) => (name, Kind::Hex),
                    Some((name, "int")) => (name, Kind::Int),
                    _ => (hole, Kind::Any),
                };
                (Hole { name, kind }, fixed)
            })
            .collect();
        Template { head, rest }
    }

    /// Fixed text after the first hole, for templates that begin with one.
    pub(super) fn second(&self) -> &'static str {
        self.rest.first().map_or("", |(_, fixed)| fixed)
    }

    /// Matches from the start of `text`; more may follow.
    pub(super) fn matches<'a>(&self, text: &'a [u8]) -> Option<Captures<'a>> {
        let mut rest = text.strip_prefix(self.head.as_bytes())?;
        let mut out = Captures::default();
        for (hole, fixed) in &self.rest {
            let end = if fixed.is_empty() {
                rest.len()
            } else {
                find(rest, fixed.as_bytes())?
            };
            let part = rest.get(..end)?;
            let fits = match hole.kind {
                Kind::Any => true,
                Kind::Hex => {
                    (1..=16).contains(&part.len()) && part.iter().all(u8::is_ascii_hexdigit)
                }
                Kind::Int => !part.is_empty() && part.iter().all(u8::is_ascii_digit),
            };
            if !fits {
                return None;
            }
            if hole.name != "_" {
                out.push(hole.name, part);
            }
            rest = rest.get(end + fixed.len()..)?;
        }
        Some(out)
    }
}

/// The first place of a short text: no searcher need be built for it.
fn find(text: &[u8], short: &[u8]) -> Option<usize> {
    let first = *short.first()?;
    memchr_iter(first, text).find(|at| text.get(*at..).is_some_and(|rest| rest.starts_with(short)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_take_what_lies_between() {
        let template = Template::new("{id:hex} [term {term:int}] starts to {_} leadership to {to}");
        let captures = template
            .matches(b"7339c4e5e833c029 [term 3] starts to transfer leadership to 729934363faa4a24")
            .unwrap();
        let all: Vec<_> = captures.iter().collect();
        assert_eq!(
            all,
            [
                ("id", &b"7339c4e5e833c029"[..]),
                ("term", b"3"),
                ("to", b"729934363faa4a24")
            ]
        );
        assert!(
            template
                .matches(b"xyz [term 3] starts to x leadership to y")
                .is_none()
        );
        assert!(
            template
                .matches(b"12 [term x] starts to x leadership to y")
                .is_none()
        );
        assert!(Template::new("a {b} c").matches(b"a b").is_none());
        assert!(Template::new("a").matches(b"abc").is_some());
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text: Vec<u8>) {
            for template in ["{id:hex} b {c}", "a{b}c{d}", "{_}"] {
                let _ = Template::new(template).matches(&text);
            }
        }
    }
}
