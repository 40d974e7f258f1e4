//! Leadership, proposals and read indexes.

mod behind;
pub mod heartbeat_late;
pub mod leader_disputed;
pub mod leader_missing;
pub mod leader_unstable;
pub mod learner_not_promoted;
pub mod member_down;
pub mod member_lagging;
pub mod member_lists_differ;
pub mod member_odd_one_out;
pub mod member_unreachable;
pub mod proposals_failing;
pub mod read_index_slow;
pub mod reads_slow;
