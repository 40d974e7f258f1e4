//! kube-apiserver in front of etcd.

pub mod apf_queue_waits;
pub mod apf_rejections;
pub mod api_slo_missed;
pub mod apiserver_timeouts;
pub mod apiservice_unavailable;
pub mod datastore_slow;
pub mod etcd_requests_slow;
pub mod kms_slow;
pub mod object_limits;
pub mod requests_failing;
pub mod webhook_slow;
