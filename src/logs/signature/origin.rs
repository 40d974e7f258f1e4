//! Which program wrote a record, as the record itself tells it where its kind does not: etcd's
//! packages and source files, the name of a leader election's lock.

use crate::logs::event::{Component, Event};
use crate::logs::record::{Encoding, Record};

use super::dispatch::is_client;

/// First folders of etcd's packages, as capnslog names them. Other programs of that time use capnslog
/// too (rkt, clair, locksmith), with packages of their own.
const PACKAGES: &[&[u8]] = &[
    b"alarm",
    b"auth",
    b"compactor",
    b"discovery",
    b"embed",
    b"etcdmain",
    b"etcdserver",
    b"lease",
    b"membership",
    b"mvcc",
    b"pkg",
    b"raft",
    b"rafthttp",
    b"snap",
    b"store",
    b"wal",
];

/// Beginnings of zap's callers that only an etcd server has. Folders whose name other programs use as
/// well stand with their file.
const CALLERS: &[&[u8]] = &[
    b"auth/store.go",
    b"backend/backend.go",
    b"backend/batch_tx.go",
    b"backend/read_tx.go",
    b"bbolt@",
    b"embed/config.go",
    b"embed/etcd.go",
    b"embed/serve.go",
    b"etcdhttp/",
    b"etcdmain/",
    b"etcdserver/",
    b"lease/lessor.go",
    b"leasehttp/",
    b"membership/cluster.go",
    b"membership/store.go",
    b"mvcc/",
    b"rafthttp/",
    b"schema/membership.go",
    b"schema/migration.go",
    b"schema/schema.go",
    b"snap/db.go",
    b"snap/snapshotter.go",
    b"storage/backend.go",
    b"storage/hooks.go",
    b"storage/quota.go",
    b"storage/schema/",
    b"storage/storage.go",
    b"v3compactor/",
    b"v3rpc/",
    b"wal/",
];

/// The controller manager of a cloud, which has a file `controllermanager.go` as well.
pub const CLOUD_MANAGER: &str = "cloud-controller-manager";

/// Whether an etcd server wrote a record.
pub fn is_etcd(record: &Record<'_>) -> bool {
    match record.encoding {
        Encoding::Capnslog => {
            let package = record.logger.split(|b| *b == b'/').next();
            match package.unwrap_or_default() {
                b"" => matches!(
                    record.outer.ident,
                    Some(b"etcd" | b"etcd.service" | b"etcd2")
                ),
                package => PACKAGES.contains(&package),
            }
        }
        Encoding::ZapJson | Encoding::ZapConsole => {
            let known = || CALLERS.iter().any(|begin| record.caller.starts_with(begin));
            !is_client(record.logger, record.caller) && known()
        }
        _ => false,
    }
}

/// A program with a control plane inside it writes for all of its parts: whose leader election it
/// is, is told by the lock's own name, and of its end by the file that writes it.
pub(super) fn elected(event: &mut Event<'_>, record: &Record<'_>) {
    if event.component != Component::Unknown || !event.kind.starts_with("leaderelection-") {
        return;
    }
    let parts = event.api.as_deref().map(|call| &call.parts);
    let lock = parts.and_then(|parts| {
        let system = parts.namespace.as_deref() == Some("kube-system");
        parts.name.as_deref().filter(|_| system)
    });
    let manager = record.caller.starts_with(b"controllermanager.go:");
    let component = match lock {
        Some(CLOUD_MANAGER) => {
            event.writer = Some(CLOUD_MANAGER);
            return;
        }
        Some("kube-controller-manager") => Component::ControllerManager,
        Some("kube-scheduler") => Component::Scheduler,
        None if manager && event.kind == "leaderelection-lost" => Component::ControllerManager,
        _ => return,
    };
    event.component = component;
    event.writer = Some(component.word());
}
