//! The load bench: what an etcd cluster can do, asked as its clients ask.

pub mod address;
pub mod arrivals;
pub mod auth;
pub mod bench;
pub mod channel;
pub mod check_perf;
mod check_run;
pub mod client;
pub mod cluster;
pub mod coalesce;
pub mod collect;
pub mod drive;
pub mod grpc;
pub mod guard;
pub mod keyspace;
pub mod leases;
pub mod limit;
mod outcome;
pub mod plan;
pub mod random;
pub mod record;
pub mod server;
pub mod session;
pub mod shape;
pub mod summary;
pub mod wire;
pub mod workload;
