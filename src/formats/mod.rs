//! Bytes to values, without any I/O: the formats that more than one engine reads.

pub mod argv;
pub mod bench;
pub mod blockstat;
pub mod cpu;
pub mod crc32c;
pub mod ebs;
pub mod ftrace;
pub mod inflate;
pub mod mountinfo;
pub mod pressure;
pub mod prometheus;
pub mod wal;
pub mod x509;
