//! The calls that are made, as the paths that gRPC sends.

/// `KV/Put`.
pub const PUT: &str = "/etcdserverpb.KV/Put";
/// `KV/Range`.
pub const RANGE: &str = "/etcdserverpb.KV/Range";
/// `KV/Txn`.
pub const TXN: &str = "/etcdserverpb.KV/Txn";
/// `KV/DeleteRange`.
pub const DELETE_RANGE: &str = "/etcdserverpb.KV/DeleteRange";
/// `Lease/LeaseGrant`.
pub const LEASE_GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
/// `Lease/LeaseRevoke`.
pub const LEASE_REVOKE: &str = "/etcdserverpb.Lease/LeaseRevoke";
/// `Lease/LeaseKeepAlive`, a stream.
pub const LEASE_KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";
/// `Watch/Watch`, a stream.
pub const WATCH: &str = "/etcdserverpb.Watch/Watch";
/// `Maintenance/Status`.
pub const STATUS: &str = "/etcdserverpb.Maintenance/Status";
/// `Cluster/MemberList`.
pub const MEMBER_LIST: &str = "/etcdserverpb.Cluster/MemberList";
/// `Auth/Authenticate`.
pub const AUTHENTICATE: &str = "/etcdserverpb.Auth/Authenticate";
