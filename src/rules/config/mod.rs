//! Settings.

pub mod client_qps_low;
pub mod compaction_doubled;
pub mod compaction_off;
pub mod election_timeouts_unequal;
pub mod event_ttl_long;
pub mod flag_and_environment;
pub mod flag_removed;
pub mod heartbeat_election_mismatch;
pub mod inflight_unbalanced;
pub mod known_bad_release;
pub mod leader_election_tight;
pub mod lists_bypass_cache;
pub mod liveness_probe_kills;
pub mod max_request_bytes_raised;
pub mod node_status_frequency_trap;
pub mod overrides_invalid;
pub mod quota_above_maximum;
pub mod quota_default;
pub mod setting_refused;
pub mod setting_without_effect;
pub mod settings_not_applied;
pub mod settings_unreadable;
pub mod snapshot_count_high;
pub mod unsafe_no_fsync;
pub mod warning_threshold_lowered;
pub mod yaml_scalar_ambiguous;
