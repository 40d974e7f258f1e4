//! What lies under any directory, such as one that a bench is to write in: the mount, the devices
//! and the ladder of evidence about barriers.

use crate::target::HostRoot;

use super::barrier::{Barrier, Facts, FlushCount, judge};
use super::filesystem::is_volatile;
use super::model::Storage;
use super::storage;

/// What lies under a directory, as this process sees it.
pub fn directory(root: &HostRoot, path: &str) -> Storage {
    storage::of_path(root, path)
}

/// Whether flushes from a directory reach the disk; `None` where its mount is not known.
pub fn barrier(
    root: &HostRoot,
    storage: &Storage,
    unsafe_no_fsync: Option<bool>,
    count: Option<FlushCount>,
) -> Option<Barrier> {
    let mount = storage.mount.as_ref().ok()?;
    let real = storage.below_overlay.as_ref().unwrap_or(mount);
    Some(judge(&Facts {
        mount: real,
        volatile_overlay: is_volatile(mount),
        chain: &storage.chain,
        journal: storage.journal,
        unsafe_no_fsync,
        count,
        zfs_no_flush: storage::zfs_no_flush(root),
        zfs_sync: (real.fs == "zfs")
            .then(|| storage::zfs_sync(root, &real.source))
            .flatten(),
    }))
}

/// The path of a device's counters below the root.
pub fn stat_path(root: &HostRoot, device: &str) -> String {
    super::device::stat_path(root, device)
}

#[cfg(test)]
mod tests {
    use super::super::barrier::BarrierState;
    use super::*;
    use std::fs;

    #[test]
    fn a_directory_leads_to_its_disk_and_its_barriers() {
        let dir = tempfile::tempdir().unwrap();
        for folder in [
            "proc/self",
            "proc/1",
            "sys/block/sda/queue",
            "sys/dev/block",
        ] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let put = |path: &str, text: &str| fs::write(dir.path().join(path), text).unwrap();
        let table =
            "1 0 8:0 / / rw - ext4 /dev/sda rw\n2 1 8:0 / /fast rw - ext4 /dev/sda rw,nobarrier\n";
        put("proc/self/mountinfo", table);
        put("proc/1/mountinfo", table);
        put("sys/block/sda/queue/write_cache", "write back\n");
        put("sys/block/sda/dev", "8:0\n");
        put("sys/block/sda/stat", "1 0 8 0 5 0 8 5 0 0 0 0 0 0 0 7 40\n");
        std::os::unix::fs::symlink("../../block/sda", dir.path().join("sys/dev/block/8:0"))
            .unwrap();
        let root = HostRoot::new(dir.path());
        let plain = directory(&root, "/var/lib/etcd");
        assert_eq!(plain.chain.words(), "sda");
        let state = |storage: &Storage| barrier(&root, storage, None, None).unwrap().state;
        assert_eq!(state(&plain), BarrierState::On);
        assert_eq!(state(&directory(&root, "/fast/bench")), BarrierState::Off);
        assert_eq!(stat_path(&root, "sda"), "/sys/block/sda/stat");
    }
}
