//! Words, widths and colour: values in, text out. Nothing here measures or judges.

mod plain;

pub use plain::{Paint, Terminal, markdown_text, safe, table, terminal_width, trimmed, wrap};
