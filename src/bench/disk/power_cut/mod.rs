//! Whether flushes are believed for a reason: records are written and made durable on the disk in
//! question, and only then told to a peer on another machine. Then the power is really cut. What
//! the peer was told of must be there afterwards. The idea is Brad Fitzpatrick's `diskchecker.pl`
//! of 2005.
//!
//! [`record`] writes, [`peer`] remembers, [`verify`] compares. Nothing less than a power cut can
//! prove that a disk keeps its word: a reset of a machine leaves the disk its power, and a guest
//! cannot test its host.

pub mod peer;
pub mod record;
pub mod ring;
pub mod verify;

/// The folder of the records, below the directory that the user named. It is kept: it is what is
/// looked at after the cut.
pub const FOLDER: &str = "etcd-doctor-barrier";
