//! Quota, size and fragmentation of the database.

pub mod database_fragmented;
pub mod database_growing_fast;
pub mod defragmentation_stalls;
pub mod nospace_alarm;
pub mod quota_near_limit;
