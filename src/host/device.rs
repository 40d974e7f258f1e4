//! From a mount to the disks under it: partitions, device mapper, md, loop, multipath.
//!
//! `/sys/dev/block/M:N` names the device, `slaves/` and `loop/backing_file` lead down. Where a
//! bundle lacks these links, `/proc/diskstats` knows the numbers and the mount names its source.
//! All of it is readable without root.

use std::collections::BTreeSet;

use crate::formats::mountinfo::{Mount, MountTable};
use crate::target::HostRoot;

use super::Missing;
use super::filesystem::is_volatile;
use super::layer::{Layer, LayerKind, folder, layer, whole_disk_name};
use crate::formats::blockstat::parse_diskstats;

/// How deep a stack of devices may be.
const MAX_DEPTH: usize = 12;
/// How many devices a stack may have.
const MAX_LAYERS: usize = 256;

/// A stack of devices, from the mounted one down to the disks.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// The layers, top first.
    pub layers: Vec<Layer>,
    /// Why there are none, or why the stack ends early.
    pub problem: Option<Missing>,
    /// The mounts that hold the files of loop devices, by the device's name.
    pub backings: Vec<(String, Mount)>,
}

impl Chain {
    /// A layer by name.
    pub fn layer(&self, name: &str) -> Option<&Layer> {
        self.layers.iter().find(|layer| layer.name == name)
    }

    /// The layers whose counters tell about the device: on each way down, the first with a request
    /// queue of its own, else the last one.
    pub fn disks(&self) -> Vec<&Layer> {
        let mut disks: Vec<&Layer> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut todo: Vec<&Layer> = self.layers.first().into_iter().collect();
        while let Some(layer) = todo.pop() {
            if !seen.insert(layer.name.as_str()) {
                continue;
            }
            let below: Vec<&Layer> = layer.below.iter().filter_map(|n| self.layer(n)).collect();
            if layer.kind.counts_flushes() || below.is_empty() {
                disks.push(layer);
            } else {
                todo.extend(below);
            }
        }
        disks.sort_by(|a, b| a.name.cmp(&b.name));
        disks
    }

    /// The layers above those disks that keep counters of their own: a device mapper's or a RAID's
    /// time is not in the counters of what lies under it. A partition's requests are its disk's.
    pub fn above(&self) -> Vec<&Layer> {
        let disks = self.disks();
        let mut above: Vec<&Layer> = Vec::new();
        let mut todo: Vec<&Layer> = self.layers.first().into_iter().collect();
        while let Some(layer) = todo.pop() {
            let named = |other: &&Layer| other.name == layer.name;
            if disks.iter().any(named) || above.iter().any(named) {
                continue;
            }
            above.push(layer);
            todo.extend(layer.below.iter().filter_map(|name| self.layer(name)));
        }
        above.retain(|layer| layer.kind != LayerKind::Partition);
        above.sort_by(|a, b| a.name.cmp(&b.name));
        above
    }

    /// The mount that holds the file of a loop device, and the stack under it.
    pub fn under_file(&self, name: &str) -> Option<(&Mount, Chain)> {
        let (_, mount) = self.backings.iter().find(|(have, _)| have == name)?;
        let mut under = Chain {
            backings: self.backings.clone(),
            ..Chain::default()
        };
        let mut todo: Vec<&str> = self.layer(name)?.below.iter().map(String::as_str).collect();
        while let Some(next) = todo.pop() {
            let layer = self.layer(next).filter(|_| under.layer(next).is_none());
            if let Some(layer) = layer {
                under.layers.push(layer.clone());
                todo.extend(layer.below.iter().map(String::as_str));
            }
        }
        Some((mount, under))
    }

    /// The numbers of every device that the stack has; `None` where one of them is not known.
    pub fn numbers(&self) -> Option<BTreeSet<&str>> {
        let whole = self.problem.is_none()
            && !self.layers.is_empty()
            && self.bottoms().all(|layer| layer.kind.is_bottom());
        // The kernel takes limits of whole devices only (block/blk-cgroup.c).
        let devices = self.layers.iter();
        let mut devices = devices.filter(|layer| layer.kind != LayerKind::Partition);
        whole
            .then(|| {
                devices.try_fold(BTreeSet::new(), |mut all, layer| {
                    all.insert(layer.numbers.as_deref()?);
                    Some(all)
                })
            })
            .flatten()
    }

    /// The layers at the very bottom.
    pub fn bottoms(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().filter(|layer| layer.below.is_empty())
    }

    /// `sda1 > sda`, for reports.
    pub fn words(&self) -> String {
        self.layers
            .iter()
            .map(|layer| layer.name.as_str())
            .collect::<Vec<_>>()
            .join(" > ")
    }
}

/// Resolves what is mounted. `host_mounts` finds the disk under a loop device's file.
pub(super) fn chain(
    root: &HostRoot,
    numbers: Option<(u32, u32)>,
    source: &str,
    host_mounts: &MountTable,
) -> Chain {
    let mut chain = Chain::default();
    match name_of(root, numbers, source) {
        Some(name) => descend(root, &name, host_mounts, 0, &mut chain),
        None => {
            chain.problem = Some(Missing::NotEnough {
                why: format!("`{source}` is not a block device that this tree knows"),
            });
        }
    }
    chain
}

/// The stack under one device by name, when no mount leads to it.
pub(super) fn chain_of_device(root: &HostRoot, name: &str) -> Chain {
    let mut chain = Chain::default();
    descend(root, name, &MountTable::default(), 0, &mut chain);
    chain
}

fn descend(root: &HostRoot, name: &str, mounts: &MountTable, depth: usize, chain: &mut Chain) {
    if chain.layer(name).is_some() {
        return;
    }
    if depth >= MAX_DEPTH || chain.layers.len() >= MAX_LAYERS {
        chain.problem = Some(Missing::NotEnough {
            why: format!("the stack of devices under `{name}` is too deep"),
        });
        return;
    }
    let mut layer = layer(root, name);
    let mut next: Vec<String> = Vec::new();
    if layer.kind == LayerKind::Partition {
        next.extend(disk_of_partition(root, name));
    }
    next.extend(
        super::samples::names(root, &format!("{}/slaves", folder(root, name)))
            .into_iter()
            .take(MAX_LAYERS),
    );
    let mut backing_chain = None;
    if let LayerKind::Loop(Some(file)) = &layer.kind {
        // The file lies on a mount of the host; its disks carry the I/O in the end.
        if let Some(mount) = mounts.of_path(file).map(|on| below_overlay(on, mounts)) {
            backing_chain = name_of(root, mount.device, &mount.source);
            if !mounts.may_hide(file) {
                chain.backings.push((name.to_owned(), mount.clone()));
            }
        }
    }
    next.extend(backing_chain);
    next.dedup();
    layer.below.clone_from(&next);
    chain.layers.push(layer);
    for name in next {
        descend(root, &name, mounts, depth + 1, chain);
    }
}

/// The mount that an overlay writes to, where it is one that syncs and that mount is known.
fn below_overlay<'a>(mount: &'a Mount, mounts: &'a MountTable) -> &'a Mount {
    let upper = mount
        .value("upperdir")
        .filter(|_| mount.fs == "overlay" && !is_volatile(mount));
    upper
        .and_then(|upper| mounts.of_path(upper))
        // From within a container the path leads back to the overlay.
        .filter(|under| under.fs != "overlay")
        .unwrap_or(mount)
}

/// The path of a device's counters below `/sys`.
pub(super) fn stat_path(root: &HostRoot, name: &str) -> String {
    let block = format!("/sys/block/{name}");
    if root.exists(format!("{block}/stat")) {
        return format!("{block}/stat");
    }
    let folder = folder(root, name);
    if root.exists(format!("{folder}/stat")) {
        return format!("{folder}/stat");
    }
    format!("{block}/stat")
}

/// The kernel's name of a device by its numbers, or by what the mount calls it.
fn name_of(root: &HostRoot, numbers: Option<(u32, u32)>, source: &str) -> Option<String> {
    // Major 0 is anonymous: btrfs, overlay, network. Then only the source can tell.
    if let Some((major, minor)) = numbers.filter(|(major, _)| *major != 0) {
        let link = format!("/sys/dev/block/{major}:{minor}");
        if root.exists(&link)
            && let Ok(real) = root.resolve(&link)
            && let Some(name) = real.file_name().and_then(|name| name.to_str())
            && !name.contains(':')
        {
            return Some(name.to_owned());
        }
        if let Ok(text) = root.read_text(format!("{link}/uevent"))
            && let Some(name) = text.lines().find_map(|line| line.strip_prefix("DEVNAME="))
        {
            return Some(name.to_owned());
        }
        if let Ok(bytes) = root.read("/proc/diskstats", 4 << 20)
            && let Some(lines) = parse_diskstats(&bytes)
            && let Some(line) = lines.iter().find(|line| line.device == (major, minor))
        {
            return Some(line.name.clone());
        }
    }
    let device = source.strip_prefix("/dev/")?;
    if device == "root" {
        return None;
    }
    if !device.contains('/') {
        return Some(device.to_owned());
    }
    // `/dev/mapper/NAME`, `/dev/vg/lv`: a link, or found by the mapper's own name.
    if let Ok(real) = root.resolve(source)
        && let Some(name) = real.file_name().and_then(|name| name.to_str())
        && root.exists(format!("/sys/block/{name}"))
    {
        return Some(name.to_owned());
    }
    let mapper = match device.strip_prefix("mapper/") {
        Some(name) => name.to_owned(),
        // LVM doubles dashes inside of names.
        None => {
            let (group, volume) = device.split_once('/')?;
            format!("{}-{}", group.replace('-', "--"), volume.replace('-', "--"))
        }
    };
    super::samples::names(root, "/sys/block")
        .into_iter()
        .filter(|name| name.starts_with("dm-"))
        .find(|name| {
            root.read_text(format!("/sys/block/{name}/dm/name"))
                .is_ok_and(|text| text.trim() == mapper)
        })
}

/// The whole disk that a partition is on.
fn disk_of_partition(root: &HostRoot, name: &str) -> Option<String> {
    let class = format!("/sys/class/block/{name}");
    if root.exists(format!("{class}/partition"))
        && let Ok(real) = root.resolve(&class)
        && let Some(parent) = real.parent().and_then(|path| path.file_name())
        && let Some(parent) = parent.to_str().filter(|name| *name != "block")
    {
        return Some(parent.to_owned());
    }
    whole_disk_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::mountinfo::parse_mountinfo;
    use crate::host::layer::WriteCache;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn write(dir: &Path, path: &str, text: &str) {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// ext4 on LVM on LUKS on a partition of an EBS volume, with sysfs' own links.
    fn lvm_tree(dir: &Path) {
        let nvme = "sys/devices/pci0/nvme/nvme0/nvme0n1";
        write(
            dir,
            &format!("{nvme}/device/model"),
            "Amazon Elastic Block Store              \n",
        );
        write(dir, &format!("{nvme}/queue/write_cache"), "write back\n");
        write(
            dir,
            &format!("{nvme}/queue/scheduler"),
            "[none] mq-deadline\n",
        );
        write(dir, &format!("{nvme}/size"), "2048\n");
        write(dir, &format!("{nvme}/dev"), "259:4\n");
        write(dir, "sys/devices/virtual/block/dm-0/dev", "253:0\n");
        write(dir, "sys/devices/virtual/block/dm-1/dev", "253:1\n");
        write(dir, &format!("{nvme}/nvme0n1p3/partition"), "3\n");
        write(
            dir,
            "sys/devices/virtual/block/dm-0/dm/uuid",
            "CRYPT-LUKS2-abc\n",
        );
        write(dir, "sys/devices/virtual/block/dm-1/dm/uuid", "LVM-xyz\n");
        write(
            dir,
            "sys/devices/virtual/block/dm-1/dm/name",
            "vg--a-etcd\n",
        );
        for folder in ["sys/block", "sys/class/block", "sys/dev/block"] {
            std::fs::create_dir_all(dir.join(folder)).unwrap();
        }
        let up = "../../devices";
        for (link, target) in [
            ("sys/block/nvme0n1", "../devices/pci0/nvme/nvme0/nvme0n1"),
            ("sys/block/dm-0", "../devices/virtual/block/dm-0"),
            ("sys/block/dm-1", "../devices/virtual/block/dm-1"),
        ] {
            symlink(target, dir.join(link)).unwrap();
        }
        for (name, path) in [
            ("nvme0n1", "pci0/nvme/nvme0/nvme0n1"),
            ("nvme0n1p3", "pci0/nvme/nvme0/nvme0n1/nvme0n1p3"),
            ("dm-0", "virtual/block/dm-0"),
            ("dm-1", "virtual/block/dm-1"),
        ] {
            symlink(
                format!("{up}/{path}"),
                dir.join("sys/class/block").join(name),
            )
            .unwrap();
        }
        symlink(
            format!("{up}/virtual/block/dm-1"),
            dir.join("sys/dev/block/253:1"),
        )
        .unwrap();
        for (dm, slave) in [("dm-1", "dm-0"), ("dm-0", "nvme0n1p3")] {
            write(
                dir,
                &format!("sys/devices/virtual/block/{dm}/slaves/{slave}/x"),
                "",
            );
        }
    }

    #[test]
    fn lvm_on_luks_on_a_partition_of_a_cloud_disk() {
        let dir = tempfile::tempdir().unwrap();
        lvm_tree(dir.path());
        let root = HostRoot::new(dir.path());
        let none = MountTable::default();
        for chain in [
            chain(&root, Some((253, 1)), "whatever", &none),
            chain(&root, Some((0, 44)), "/dev/mapper/vg--a-etcd", &none),
            chain(&root, None, "/dev/vg-a/etcd", &none),
        ] {
            assert_eq!(chain.words(), "dm-1 > dm-0 > nvme0n1p3 > nvme0n1");
            let kinds: Vec<&str> = chain.layers.iter().map(|l| l.kind.word()).collect();
            assert_eq!(kinds, ["lvm", "crypt", "partition", "nvme"]);
            let disks: Vec<&str> = chain.disks().iter().map(|l| l.name.as_str()).collect();
            assert_eq!(disks, ["nvme0n1"]);
            let above: Vec<&str> = chain.above().iter().map(|l| l.name.as_str()).collect();
            assert_eq!(above, ["dm-0", "dm-1"]);
            let numbers = chain.numbers().unwrap();
            assert!(numbers.into_iter().eq(["253:0", "253:1", "259:4"]));
            let disk = chain.layer("nvme0n1").unwrap();
            assert_eq!(disk.setting("scheduler"), Some("none"));
            assert_eq!(disk.size, Some(1 << 20));
            assert!(disk.cloud.is_some_and(|cloud| !cloud.ephemeral));
        }
    }

    #[test]
    fn a_loop_device_stands_on_the_disk_of_its_file() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            "sys/block/loop0/loop/backing_file",
            "/srv/disk.img\n",
        );
        write(
            dir.path(),
            "sys/block/loop0/queue/write_cache",
            "write through\n",
        );
        write(dir.path(), "sys/block/vda/vda2/partition", "2\n");
        write(dir.path(), "proc/diskstats", "");
        let mounts = parse_mountinfo(b"1 0 254:2 / /srv rw - ext4 /dev/vda2 rw\n");
        let chain = chain(
            &HostRoot::new(dir.path()),
            Some((7, 0)),
            "/dev/loop0",
            &mounts,
        );
        assert_eq!(chain.words(), "loop0 > vda2 > vda");
        assert_eq!(chain.disks()[0].name, "loop0");
        assert!(chain.above().is_empty());
        let (mount, under) = chain.under_file("loop0").unwrap();
        assert_eq!((&*mount.point, &*under.words()), ("/srv", "vda2 > vda"));
        assert!(chain.under_file("vda").is_none());
        let overlay = parse_mountinfo(
            b"1 0 254:2 / / rw - ext4 /dev/vda2 rw,nobarrier\n\
              2 1 0:50 / /srv rw - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w\n",
        );
        let root = HostRoot::new(dir.path());
        let on_overlay = super::chain(&root, Some((7, 0)), "/dev/loop0", &overlay);
        let (mount, under) = on_overlay.under_file("loop0").unwrap();
        assert_eq!((&*mount.point, &*under.words()), ("/", "vda2 > vda"));
        // Nothing tells the numbers of these.
        assert_eq!(chain.numbers(), None);
        let layer = &chain.layers[0];
        assert_eq!(layer.write_cache, Ok(WriteCache::Through));
        assert_eq!(
            layer.claim.as_ref().map(|(cache, _)| *cache),
            Some(WriteCache::Back)
        );
    }

    #[test]
    fn numbers_are_looked_up_in_diskstats_where_links_are_missing() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            "proc/diskstats",
            "8 3 sdb3 1 2 3 4 5 6 7 8 9 10 11\n",
        );
        let root = HostRoot::new(dir.path());
        let found = chain(&root, Some((8, 3)), "/dev/root", &MountTable::default());
        assert_eq!(found.words(), "sdb3 > sdb");
        let none = chain(&root, Some((0, 30)), "tmpfs", &MountTable::default());
        assert!(none.layers.is_empty() && none.problem.is_some());
    }

    #[test]
    fn a_loop_of_slaves_ends() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "sys/block/dm-0/slaves/dm-1/x", "");
        write(dir.path(), "sys/block/dm-1/slaves/dm-0/x", "");
        let chain = chain_of_device(&HostRoot::new(dir.path()), "dm-0");
        assert_eq!(chain.words(), "dm-0 > dm-1");
        assert!(chain.disks().is_empty());
    }
}
