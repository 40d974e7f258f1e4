//! Tables that several parts share: what an etcd key or an API path means.

pub mod resources;
