//! The table of pages, sorted by name. A test keeps it equal to the folder `playbooks/`.

use super::Page;

macro_rules! pages {
    ($($name:literal),* $(,)?) => {
        &[$(Page {
            name: $name,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks/", $name, ".md")),
        }),*]
    };
}

/// Every page, sorted by name.
pub static PAGES: &[Page] = pages![];
