//! What is asked of etcd, and by whom.

pub mod client_heavy_lists;
pub mod client_hot_loop;
pub mod compaction_saw_tooth;
pub mod events_dominate;
pub mod expensive_lists;
pub mod leases_granted_fast;
pub mod slow_requests;
pub mod watchers_behind;
