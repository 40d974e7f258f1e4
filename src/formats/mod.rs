//! File and wire formats: bytes to values, without I/O.

pub mod prometheus;
