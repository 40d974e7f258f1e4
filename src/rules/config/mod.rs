//! Settings.

pub mod compaction_doubled;
pub mod compaction_off;
pub mod election_timeouts_unequal;
pub mod event_ttl_long;
pub mod heartbeat_election_mismatch;
pub mod leader_election_tight;
pub mod max_request_bytes_raised;
pub mod quota_above_maximum;
pub mod quota_default;
pub mod snapshot_count_high;
pub mod unsafe_no_fsync;
pub mod warning_threshold_lowered;
