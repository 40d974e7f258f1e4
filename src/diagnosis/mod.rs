//! From findings to root causes: cause before symptom, and nothing blamed that the evidence
//! clears.
//!
//! Each file assesses one cause from the rules' findings and the `facts` that clear or prove it.
//! `rank` puts them in order: a stalled disk explains late heartbeats, elections, slow requests
//! and time-outs downstream, so it is one incident and not twelve.

mod assess;
mod cause;
mod client;
mod clients;
mod config;
mod cover;
mod cpu;
mod disk;
mod down;
mod facts;
mod late;
mod links;
mod load;
mod measured;
mod members;
mod network;
mod rank;
mod seats;
mod space;
#[cfg(test)]
mod tests;
mod timeline;
mod unseen;
pub mod who;

pub use assess::{ILL, LOADED};
pub use cause::{Alternative, Cause, CauseFound, Diagnosis, Role, RuledOut, Verdict};
pub use client::ClientNamed;
pub use disk::{WEIGHTS as DISK_WEIGHTS, Weight};
pub use members::{Members, host_of, is_loopback};
pub use rank::{LONGER, diagnose};
pub use timeline::{Entry, Mark};
