//! CPU for etcd, and for kube-apiserver.

pub mod apiserver_cpu_short;
pub mod cpu_pressure_high;
pub mod cpu_steal_high;
pub mod etcd_cpu_throttled;
pub mod run_delay_high;
