//! Requests of users, members, versions, leases and maintenance, by the names that etcd gives them
//! (api/etcdserverpb: raft_internal.proto, rpc.proto).

use crate::logs::event::Operation;

/// The name of a call, and that of its request.
const AUTH: [(&str, &str); 17] = [
    ("AuthEnable", "auth_enable"),
    ("AuthDisable", "auth_disable"),
    ("AuthStatus", "auth_status"),
    ("Authenticate", "authenticate"),
    ("UserAdd", "auth_user_add"),
    ("UserGet", "auth_user_get"),
    ("UserList", "auth_user_list"),
    ("UserDelete", "auth_user_delete"),
    ("UserChangePassword", "auth_user_change_password"),
    ("UserGrantRole", "auth_user_grant_role"),
    ("UserRevokeRole", "auth_user_revoke_role"),
    ("RoleAdd", "auth_role_add"),
    ("RoleGet", "auth_role_get"),
    ("RoleList", "auth_role_list"),
    ("RoleDelete", "auth_role_delete"),
    ("RoleGrantPermission", "auth_role_grant_permission"),
    ("RoleRevokePermission", "auth_role_revoke_permission"),
];

/// Calls of members; no raft request has their name.
const MEMBERS: [(&str, &str); 5] = [
    ("MemberAdd", "member_add"),
    ("MemberRemove", "member_remove"),
    ("MemberUpdate", "member_update"),
    ("MemberList", "member_list"),
    ("MemberPromote", "member_promote"),
];

/// Calls of leases that no raft request has the name of.
const LEASES: [(&str, &str); 3] = [
    ("LeaseTimeToLive", "lease_time_to_live"),
    ("LeaseLeases", "lease_leases"),
    ("LeaseKeepAlive", "lease_keep_alive"),
];

/// Calls of maintenance.
const MAINTENANCE: [(&str, &str); 7] = [
    ("Status", "status"),
    ("Defragment", "defragment"),
    ("Hash", "hash"),
    ("HashKV", "hash_kv"),
    ("Snapshot", "snapshot"),
    ("MoveLeader", "move_leader"),
    ("Downgrade", "downgrade"),
];

/// Requests that etcd makes by itself.
const CLUSTER: [&str; 4] = [
    "cluster_version_set",
    "cluster_member_attr_set",
    "downgrade_info_set",
    "downgrade_version_test",
];

/// The request of a raft entry; unknown where it is neither of users nor of the cluster.
pub(super) fn of_request(name: &[u8]) -> Operation {
    if let Some((_, known)) = AUTH.iter().find(|(_, known)| known.as_bytes() == name) {
        return Operation::Auth(known);
    }
    if name.starts_with(b"auth_") {
        return Operation::Auth("auth");
    }
    let known = CLUSTER.iter().find(|known| known.as_bytes() == name);
    known.map_or(Operation::Unknown, |known| Operation::Cluster(known))
}

/// The request of a call: `Auth/UserAdd`.
pub fn of_method(method: &[u8]) -> Operation {
    let named = |names: &[(&str, &'static str)], method: &[u8]| {
        let known = names.iter().find(|(known, _)| known.as_bytes() == method);
        known.map(|(_, name)| *name)
    };
    if let Some(method) = method.strip_prefix(b"Auth/") {
        return Operation::Auth(named(&AUTH, method).unwrap_or("auth"));
    }
    if let Some(method) = method.strip_prefix(b"Lease/") {
        return Operation::Call(named(&LEASES, method).unwrap_or("lease"));
    }
    if let Some(method) = method.strip_prefix(b"Maintenance/") {
        return Operation::Call(named(&MAINTENANCE, method).unwrap_or("maintenance"));
    }
    match method.strip_prefix(b"Cluster/") {
        Some(method) => Operation::Cluster(named(&MEMBERS, method).unwrap_or("cluster")),
        None => Operation::Unknown,
    }
}
