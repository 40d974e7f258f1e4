//! Quantities with their units: parsing what others print, printing what people read.

mod bytes;
mod duration;
pub mod growth;
mod histogram;

pub use bytes::{format_bytes, parse_bytes};
pub(crate) use duration::{digit_run, eight_digits, leading_digits};
pub use duration::{format_ms, format_ns, parse_go_duration};
pub use histogram::{Bucket, LogHistogram};
