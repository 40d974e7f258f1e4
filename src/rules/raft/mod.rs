//! Leadership, proposals and read indexes.

pub mod heartbeat_late;
pub mod leader_missing;
pub mod leader_unstable;
pub mod member_odd_one_out;
pub mod proposals_failing;
pub mod read_index_slow;
