//! File systems and how they serve etcd.

use crate::formats::mountinfo::Mount;

/// How a file system suits etcd's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fitness {
    /// Made for it.
    Fine,
    /// Works, with a cost or a doubt.
    Doubtful,
    /// Not for etcd.
    Unfit,
    /// Not known to this program.
    Unknown,
}

impl Fitness {
    /// One word, for evidence.
    pub fn word(self) -> &'static str {
        match self {
            Fitness::Fine => "fine",
            Fitness::Doubtful => "doubtful",
            Fitness::Unfit => "unfit",
            Fitness::Unknown => "unknown",
        }
    }
}

/// A file system's fitness and the reason.
pub fn fitness(fs: &str) -> (Fitness, &'static str) {
    let kind = fs.split_once('.').map_or(fs, |(kind, _)| kind);
    match kind {
        "ext4" | "xfs" => (Fitness::Fine, "what etcd is run and tested on"),
        "ext3" | "jfs" | "reiserfs" => (Fitness::Doubtful, "old, and rarely tested with etcd"),
        "ext2" => (Fitness::Doubtful, "no journal"),
        "btrfs" => (
            Fitness::Doubtful,
            "copy-on-write: each fdatasync writes a tree, several times the cost of ext4's",
        ),
        "zfs" => (
            Fitness::Doubtful,
            "the intent log decides the latency; flushes cannot be attributed to it",
        ),
        "bcachefs" => (
            Fitness::Doubtful,
            "copy-on-write, rarely tested with etcd; flushes cannot be attributed to it",
        ),
        "vfat" | "exfat" | "msdos" | "ntfs3" | "hfsplus" => (
            Fitness::Doubtful,
            "made for exchange with other systems, rarely tested with etcd",
        ),
        "f2fs" | "nilfs2" => (Fitness::Doubtful, "log-structured, rarely tested with etcd"),
        "overlay" | "aufs" => (
            Fitness::Doubtful,
            "a container's root: the data is gone with the container",
        ),
        "ecryptfs" => (Fitness::Doubtful, "a file system stacked on another"),
        "tmpfs" | "ramfs" => (
            Fitness::Unfit,
            "memory: the data is gone with the machine, and fsync writes nothing",
        ),
        "nfs" | "nfs4" | "cifs" | "smb3" | "smbfs" | "ceph" | "9p" | "afs" | "glusterfs"
        | "lustre" | "beegfs" | "gpfs" | "ocfs2" | "gfs2" | "virtiofs" | "orangefs" => (
            Fitness::Unfit,
            "a network or shared file system: its latency and its locks are not what etcd needs",
        ),
        "fuse" | "fuseblk" => (
            Fitness::Unfit,
            "a file system in user space: every fsync is at the mercy of another process",
        ),
        _ => (
            Fitness::Unknown,
            "not a file system that is known to serve etcd",
        ),
    }
}

/// Whether the file system is memory.
pub fn is_memory(fs: &str) -> bool {
    matches!(fs, "tmpfs" | "ramfs")
}

/// Whether a mount is an overlay that never syncs.
pub fn is_volatile(mount: &Mount) -> bool {
    mount.fs == "overlay" && (mount.has("volatile") || mount.has("fsync=volatile"))
}

/// Whether fsync of this file system turns into flushes that the kernel counts on a disk.
pub fn flushes_are_its_own(fs: &str) -> bool {
    matches!(fs, "ext4" | "ext3" | "xfs" | "btrfs" | "f2fs")
}

/// What about a mount's options is worth knowing besides barriers: the option and why.
pub fn remarks(mount: &Mount) -> Vec<(String, &'static str)> {
    let mut remarks = Vec::new();
    let mut add = |option: &str, why| remarks.push((option.to_owned(), why));
    if mount.value("data") == Some("journal") {
        add(
            "data=journal",
            "every record is written twice and costs three flushes instead of one or two",
        );
    }
    if mount.value("data") == Some("writeback") {
        add(
            "data=writeback",
            "after a crash, files may hold stale blocks; etcd's checksums would stop it",
        );
    }
    if mount.has("sync") || mount.has("dirsync") {
        add("sync", "every write waits for the disk, not only fdatasync");
    }
    if mount.has("journal_async_commit") {
        add(
            "journal_async_commit",
            "the commit block may be on disk before what it commits",
        );
    }
    if mount.has("fast_commit") {
        add(
            "fast_commit",
            "costs small records two flushes where the plain journal needs one",
        );
    }
    if mount.has("noload") || mount.has("norecovery") {
        add("noload", "the journal was not replayed at mount");
    }
    if mount.has("discard") {
        add(
            "discard",
            "removing a WAL segment sends discards to the disk at once; a weekly fstrim does not",
        );
    }
    if mount.has("nodatacow") {
        add(
            "nodatacow",
            "no copies and no checksums: cheaper for etcd, without btrfs' protection",
        );
    }
    if mount.has("ro") {
        add(
            "ro",
            "mounted read-only: etcd cannot write, as after an error of the disk",
        );
    }
    if mount.value("errors") == Some("continue") && mount.fs.starts_with("ext") {
        add(
            "errors=continue",
            "ext4 goes on after errors instead of stopping writes",
        );
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::mountinfo::parse_mountinfo;

    #[test]
    fn kinds_and_their_subtypes() {
        assert_eq!(fitness("ext4").0, Fitness::Fine);
        assert_eq!(fitness("fuse.glusterfs").0, Fitness::Unfit);
        assert_eq!(fitness("nfs4").0, Fitness::Unfit);
        assert_eq!(fitness("tmpfs").0, Fitness::Unfit);
        assert_eq!(fitness("btrfs").0, Fitness::Doubtful);
        assert_eq!(fitness("newfs").0, Fitness::Unknown);
    }

    #[test]
    fn options_worth_a_remark() {
        let of = |options: &str| {
            let line = format!("1 0 8:1 / / rw - ext4 /dev/sda1 {options}\n");
            let table = parse_mountinfo(line.as_bytes());
            remarks(&table.mounts[0])
                .into_iter()
                .map(|(option, _)| option)
                .collect::<Vec<_>>()
        };
        assert_eq!(of("rw,data=journal,discard"), ["data=journal", "discard"]);
        assert_eq!(
            of("rw,data=ordered,errors=remount-ro"),
            Vec::<String>::new()
        );
    }
}
