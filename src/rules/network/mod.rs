//! Links between members.

pub mod clock_drift;
pub mod peer_link_unstable;
pub mod peer_rtt_high;
pub mod raft_messages_dropped;
