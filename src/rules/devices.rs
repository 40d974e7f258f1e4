//! Which devices carry etcd's data.

use crate::evidence::{Subject, keys};

use super::Context;

/// Whether etcd's data or WAL lies on this device. Where the mounts are not known, every device
/// that was measured counts: collectors measure those under the data directory first.
pub(super) fn is_etcds(cx: &Context<'_>, device: &Subject) -> bool {
    let mut known = false;
    for (subject, table) in cx.evidence.all(&keys::MOUNTS) {
        let same_node = subject.node == device.node
            || subject.node.is_none()
            || device.node.is_none()
            || subject.name == device.node.clone().unwrap_or_default();
        if !same_node {
            continue;
        }
        for row in &table.rows {
            // A RAID has several.
            let names = row.get_text("devices").or_else(|| row.get_text("device"));
            for name in names.into_iter().flat_map(|names| names.split(',')) {
                known = true;
                if name.rsplit('/').next() == Some(&device.name) || name == device.name {
                    return true;
                }
            }
        }
    }
    !known
}
