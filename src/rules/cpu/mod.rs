//! CPU for etcd.

pub mod cpu_pressure_high;
pub mod cpu_steal_high;
pub mod etcd_cpu_throttled;
pub mod run_delay_high;
