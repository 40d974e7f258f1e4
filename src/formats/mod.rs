//! Bytes to values, without any I/O: the formats that more than one engine reads.

pub mod argv;
