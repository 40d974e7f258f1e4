//! Words, widths and colour: values in, text out. Nothing here measures or judges.

mod advice;
mod plain;

pub use advice::advice;
pub use plain::{Paint, Terminal, markdown_text, safe, table, terminal_width, trimmed, wrap};
