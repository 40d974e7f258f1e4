//! Rules: pure functions from evidence to findings, one file a rule.
//!
//! Every rule has an id, a playbook page and boundary tests; [`RULES`] is the registry.

mod accept;
mod alarms;
mod answers;
mod audit;
mod backend;
mod devices;
mod engine;
mod events;
mod faults;
mod finding;
mod latency;
mod nodes;
pub(crate) mod phases;
mod rises;
mod seconds;
mod settings;
#[cfg(test)]
mod several_runs;
#[cfg(test)]
pub(crate) mod testing;

pub mod apiserver;
pub mod bench;
pub mod client;
pub mod config;
pub mod cpu;
pub mod disk;
pub mod harmless;
pub mod host;
pub mod load;
pub mod network;
pub mod quality;
pub mod raft;
pub mod reads;
pub mod space;
pub mod started;

use std::collections::BTreeMap;
use std::sync::LazyLock;

pub use accept::{Accepted, AcceptedRisks};
pub use engine::{Context, Rule, Verdict, run};
pub use finding::{Confidence, Draft, Finding, Severity, Status};

/// Makes the registry and the families from one list: a rule's family is the folder it is in.
macro_rules! registry {
    ($(&$family:ident::$rule:ident::RULE,)*) => {
        /// All rules, sorted by id.
        pub static RULES: &[&Rule] = &[$(&$family::$rule::RULE),*];
        /// The family of each, in the same order.
        const FAMILY_OF: &[&str] = &[$(stringify!($family)),*];
    };
}

registry! {
    &apiserver::apf_queue_waits::RULE,
    &apiserver::apf_rejections::RULE,
    &apiserver::api_slo_missed::RULE,
    &cpu::apiserver_cpu_short::RULE,
    &apiserver::apiserver_timeouts::RULE,
    &apiserver::apiservice_unavailable::RULE,
    &disk::backend_commit_slow::RULE,
    &bench::disk_slow::RULE,
    &bench::disk_unsafe::RULE,
    &quality::certificate_expiring::RULE,
    &load::client_heavy_lists::RULE,
    &load::client_hot_loop::RULE,
    &config::client_qps_low::RULE,
    &client::client_throttled::RULE,
    &network::clock_drift::RULE,
    &config::compaction_doubled::RULE,
    &config::compaction_off::RULE,
    &load::compaction_saw_tooth::RULE,
    &quality::component_restarting::RULE,
    &host::cpu_governor_slow::RULE,
    &cpu::cpu_pressure_high::RULE,
    &cpu::cpu_steal_high::RULE,
    &quality::data_corruption::RULE,
    &space::database_fragmented::RULE,
    &space::database_growing_fast::RULE,
    &apiserver::datastore_slow::RULE,
    &space::defragmentation_stalls::RULE,
    &disk::device_flush_slow::RULE,
    &disk::device_write_slow::RULE,
    &disk::disk_shared::RULE,
    &disk::disk_space_low::RULE,
    &config::election_timeouts_unequal::RULE,
    &cpu::etcd_cpu_throttled::RULE,
    &disk::etcd_io_limited::RULE,
    &apiserver::etcd_requests_slow::RULE,
    &config::event_ttl_long::RULE,
    &load::events_dominate::RULE,
    &quality::evidence_not_aligned::RULE,
    &load::expensive_lists::RULE,
    &quality::faults_logged::RULE,
    &disk::filesystem_read_only::RULE,
    &disk::filesystem_unsuited::RULE,
    &config::flag_and_environment::RULE,
    &config::flag_removed::RULE,
    &config::heartbeat_election_mismatch::RULE,
    &raft::heartbeat_late::RULE,
    &config::inflight_unbalanced::RULE,
    &host::io_scheduler_unsuited::RULE,
    &disk::kernel_io_errors::RULE,
    &apiserver::kms_slow::RULE,
    &config::known_bad_release::RULE,
    &raft::leader_disputed::RULE,
    &client::leader_election_lost::RULE,
    &config::leader_election_tight::RULE,
    &raft::leader_missing::RULE,
    &raft::leader_unstable::RULE,
    &raft::learner_not_promoted::RULE,
    &load::leases_granted_fast::RULE,
    &config::lists_bypass_cache::RULE,
    &config::liveness_probe_kills::RULE,
    &quality::log_gaps::RULE,
    &quality::log_sampled::RULE,
    &quality::log_unparsed::RULE,
    &config::max_request_bytes_raised::RULE,
    &raft::member_down::RULE,
    &raft::member_lagging::RULE,
    &raft::member_lists_differ::RULE,
    &raft::member_odd_one_out::RULE,
    &raft::member_unreachable::RULE,
    &host::memory_low::RULE,
    &quality::metrics_faults::RULE,
    &config::node_status_frequency_trap::RULE,
    &space::nospace_alarm::RULE,
    &apiserver::object_limits::RULE,
    &host::oom_killed::RULE,
    &host::open_files_limit_low::RULE,
    &config::overrides_invalid::RULE,
    &network::peer_link_unstable::RULE,
    &network::peer_rtt_high::RULE,
    &raft::proposals_failing::RULE,
    &config::quota_above_maximum::RULE,
    &config::quota_default::RULE,
    &space::quota_near_limit::RULE,
    &network::raft_messages_dropped::RULE,
    &raft::read_index_slow::RULE,
    &raft::reads_slow::RULE,
    &apiserver::requests_failing::RULE,
    &client::retries_plateau::RULE,
    &cpu::run_delay_high::RULE,
    &client::scheduler_backlog::RULE,
    &config::setting_refused::RULE,
    &config::setting_without_effect::RULE,
    &config::settings_not_applied::RULE,
    &config::settings_unreadable::RULE,
    &load::slow_requests::RULE,
    &config::snapshot_count_high::RULE,
    &host::swap_in_use::RULE,
    &host::time_unsynced::RULE,
    &quality::tls_rejections::RULE,
    &config::unsafe_no_fsync::RULE,
    &quality::versions_mixed::RULE,
    &disk::wal_fsync_slow::RULE,
    &bench::wal_shares_device::RULE,
    &disk::wal_sync_stalled::RULE,
    &config::warning_threshold_lowered::RULE,
    &load::watchers_behind::RULE,
    &apiserver::webhook_slow::RULE,
    &client::workqueue_backlog::RULE,
    &disk::write_barriers_off::RULE,
    &config::yaml_scalar_ambiguous::RULE,
}

/// The rules by family, both sorted.
pub static FAMILIES: LazyLock<BTreeMap<&'static str, Vec<&'static Rule>>> = LazyLock::new(|| {
    let mut families: BTreeMap<&'static str, Vec<&'static Rule>> = BTreeMap::new();
    for (rule, family) in RULES.iter().zip(FAMILY_OF) {
        families.entry(family).or_default().push(rule);
    }
    families
});

/// A rule by id.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_sorted_unique_and_well_formed() {
        assert!(RULES.is_sorted_by(|a, b| a.id < b.id));
        for rule in RULES {
            assert!(
                rule.id
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{}",
                rule.id
            );
            assert!(
                rule.summary.len() > 10 && !rule.summary.ends_with('.'),
                "{}",
                rule.id
            );
        }
    }

    #[test]
    fn every_rule_is_in_the_family_of_its_folder_and_in_no_other() {
        let in_families: usize = FAMILIES.values().map(Vec::len).sum();
        assert_eq!(in_families, RULES.len());
        let in_one = |family: &str, id: &str| FAMILIES[family].iter().any(|rule| rule.id == id);
        assert!(in_one("disk", "filesystem-read-only"));
        assert!(in_one("quality", "faults-logged"));
        assert!(!in_one("raft", "faults-logged"));
        for (family, rules) in FAMILIES.iter() {
            assert!(rules.is_sorted_by(|a, b| a.id < b.id), "{family}");
        }
    }

    #[test]
    fn every_rule_has_a_playbook_page() {
        for rule in RULES {
            assert!(
                crate::playbook::page(rule.playbook).is_some(),
                "{}: no page {}",
                rule.id,
                rule.playbook
            );
        }
    }

    #[test]
    fn without_evidence_every_rule_is_unknown() {
        let findings = run(
            RULES,
            &crate::evidence::EvidenceSet::new(),
            &crate::profile::Profile::default(),
        );
        let unknown: BTreeSet<&str> = findings
            .iter()
            .filter(|f| f.status == Status::Unknown)
            .map(|f| f.rule.as_str())
            .collect();
        for rule in RULES {
            assert!(
                unknown.contains(rule.id),
                "{} judges without evidence",
                rule.id
            );
        }
    }
}
