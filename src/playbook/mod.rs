//! The playbook pages, embedded: one page a fault, readable offline with `explain`.

mod pages;

pub use pages::PAGES;

/// One page.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Its file name in `playbooks/`, without `.md`.
    pub name: &'static str,
    /// Its Markdown.
    pub text: &'static str,
}

impl Page {
    /// Its first heading.
    pub fn title(&self) -> &'static str {
        self.text
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches('#')
            .trim()
    }
}

/// A page by name.
pub fn page(name: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.name == name)
}

/// The page whose name shares most words with `text`, for "did you mean".
pub fn nearest(text: &str) -> Option<&'static str> {
    nearest_of(text, PAGES.iter().map(|page| page.name))
}

/// As [`nearest`], of other names.
pub fn nearest_of(text: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let words = |name: &str| {
        name.split(['-', '.', '_', ' '])
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let wanted = words(text);
    names
        .map(|name| {
            let words = words(name);
            let shared = words.iter().filter(|word| wanted.contains(word)).count();
            // Of two that share as much, the one with less besides.
            (shared, std::cmp::Reverse(words.len()), name)
        })
        .filter(|(shared, ..)| *shared > 0)
        .max_by_key(|(shared, rest, _)| (*shared, *rest))
        .map(|(.., name)| name)
}
