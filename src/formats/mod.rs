//! Bytes to values, without any I/O: the formats that more than one engine reads.

pub mod argv;
pub mod inflate;
pub mod mountinfo;
pub mod prometheus;
