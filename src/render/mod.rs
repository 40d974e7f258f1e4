//! Words, widths and colour: values in, text out. Nothing here measures or judges.

pub mod advice;
mod advise;
mod bench;
mod bench_etcd;
mod compare;
mod diagnose;
mod etcd;
mod html;
mod junit;
mod live;
mod load;
mod markdown;
mod metrics;
mod plain;
pub use advise::advise;
pub use bench::bench_disk;
pub use bench_etcd::bench_etcd;
pub use compare::compared;
mod prom;
mod sarif;
mod shell;
pub use diagnose::{checked, diagnose};
pub use etcd::{etcd_advice, etcd_overview};
pub use html::html;
pub use junit::junit;
pub use live::{observed, power_cut, replay};
pub use markdown::{markdown, markdown_checked};
pub use metrics::metrics;
pub use prom::prom;
pub use sarif::sarif;
mod logs;
pub use logs::{LoadBy, logs};
pub use plain::{
    Paint, Terminal, fitted, markdown_text, middle, safe, table, terminal_rows, terminal_width,
    trimmed, wrap,
};

/// How long the longest of several events took; of lines that repeat while one wait goes on, how long they
/// went on: none of them tells of a wait of its own.
fn longest(kind: &str, ms: f64) -> String {
    let took = crate::units::format_ms(ms);
    match kind {
        "readindex-retry" => format!(", for {took}"),
        _ => format!(", up to {took}"),
    }
}
