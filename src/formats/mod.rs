//! Bytes to values, without knowing what they are for.

pub mod inflate;
