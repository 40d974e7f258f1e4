//! What the evidence itself is worth.

pub mod certificate_expiring;
pub mod component_restarting;
pub mod data_corruption;
pub mod evidence_not_aligned;
pub mod faults_logged;
pub mod log_gaps;
pub mod log_sampled;
pub mod log_unparsed;
pub mod metrics_faults;
pub mod tls_rejections;
pub mod versions_mixed;
