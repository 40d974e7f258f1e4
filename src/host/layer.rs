//! One block device: what kind it is, what its queue is set to, what it says of its cache.

use std::sync::mpsc;
use std::time::Duration;

use crate::sys::nvme;
use crate::target::HostRoot;

use super::cloud::{self, CloudDisk};
use super::{Got, Missing};

/// What kind of device a layer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// A partition of the next layer.
    Partition,
    /// Device mapper, with its purpose: `lvm`, `crypt`, `multipath`, `other`.
    Mapper(&'static str),
    /// Software RAID, with its level.
    Raid(String),
    /// A file used as a device, with the file's path.
    Loop(Option<String>),
    /// NVMe.
    Nvme,
    /// SCSI, SATA, USB, or a virtual SCSI disk.
    Scsi,
    /// virtio-blk.
    Virtio,
    /// Xen's block device.
    Xen,
    /// SD card or eMMC.
    Mmc,
    /// A device in memory: zram, ram, pmem.
    Memory,
    /// A device over the network: nbd, rbd, drbd.
    Network,
    /// Anything else.
    Other,
}

impl LayerKind {
    /// One word, for reports.
    pub fn word(&self) -> &str {
        match self {
            LayerKind::Partition => "partition",
            LayerKind::Mapper(purpose) => purpose,
            LayerKind::Raid(_) => "raid",
            LayerKind::Loop(_) => "loop",
            LayerKind::Nvme => "nvme",
            LayerKind::Scsi => "scsi",
            LayerKind::Virtio => "virtio",
            LayerKind::Xen => "xen",
            LayerKind::Mmc => "mmc",
            LayerKind::Memory => "memory",
            LayerKind::Network => "network",
            LayerKind::Other => "other",
        }
    }

    /// Whether the kernel's own threads do the I/O of such a device (`loop` workers, dm-crypt's write
    /// queue, `mdX_raidN`, …). A mapper of unknown purpose may have some.
    pub fn has_threads(&self) -> bool {
        matches!(
            self,
            LayerKind::Loop(_)
                | LayerKind::Mapper("crypt" | "other")
                | LayerKind::Raid(_)
                | LayerKind::Network
        )
    }

    /// Whether nothing that this node sees lies under such a device.
    pub fn is_bottom(&self) -> bool {
        matches!(
            self,
            LayerKind::Nvme
                | LayerKind::Scsi
                | LayerKind::Virtio
                | LayerKind::Xen
                | LayerKind::Mmc
                | LayerKind::Memory
        )
    }

    /// Whether the kernel counts flushes here: only devices with a request queue of their own do
    /// (`blk_account_io_flush`).
    pub fn counts_flushes(&self) -> bool {
        matches!(
            self,
            LayerKind::Loop(_)
                | LayerKind::Nvme
                | LayerKind::Scsi
                | LayerKind::Virtio
                | LayerKind::Xen
                | LayerKind::Mmc
                | LayerKind::Network
        )
    }
}

/// Whether a device says that it has a volatile cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteCache {
    /// A volatile cache: flushes are needed, and the kernel sends them.
    Back,
    /// No volatile cache: the kernel drops flushes before they reach the device.
    Through,
}

impl WriteCache {
    /// Reads `queue/write_cache`, `cache_type`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.starts_with("write back") || text == "writeback" {
            Some(WriteCache::Back)
        } else if text.starts_with("write through") || text == "writethrough" || text == "none" {
            Some(WriteCache::Through)
        } else {
            None
        }
    }

    /// The kernel's words.
    pub fn words(self) -> &'static str {
        match self {
            WriteCache::Back => "write back",
            WriteCache::Through => "write through",
        }
    }
}

/// One device of a stack.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The kernel's name: `sda1`, `dm-0`, `nvme0n1`.
    pub name: String,
    /// Its numbers, `8:16`, where the tree tells them.
    pub numbers: Option<String>,
    /// Its kind.
    pub kind: LayerKind,
    /// Names of the layers right below.
    pub below: Vec<String>,
    /// What the kernel takes its cache for, `queue/write_cache`.
    pub write_cache: Got<WriteCache>,
    /// What the device itself says about its cache, and where it says so.
    pub claim: Option<(WriteCache, String)>,
    /// Queue settings by file name, as they are.
    pub queue: Vec<(&'static str, String)>,
    /// Model, where there is one.
    pub model: Option<String>,
    /// What a cloud calls it, where the model tells.
    pub cloud: Option<CloudDisk>,
    /// Bytes.
    pub size: Option<u64>,
    /// Other devices that carry its I/O and hide its flushes (NVMe multipath).
    pub paths: Vec<String>,
}

impl Layer {
    /// A queue setting.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.queue
            .iter()
            .find(|(have, _)| *have == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The folder of a device below `/sys`, for disks and partitions.
pub(super) fn folder(root: &HostRoot, name: &str) -> String {
    let class = format!("/sys/class/block/{name}");
    if root.exists(&class) {
        return class;
    }
    let disk = format!("/sys/block/{name}");
    if !root.exists(&disk)
        && let Some(whole) = whole_disk_name(name)
    {
        let nested = format!("/sys/block/{whole}/{name}");
        if root.exists(&nested) {
            return nested;
        }
    }
    disk
}

/// The disk's name by the kernel's naming: `sda1` is on `sda`, `nvme0n1p2` on `nvme0n1`.
pub(super) fn whole_disk_name(name: &str) -> Option<String> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() == name.len() {
        return None;
    }
    // Disks whose names end in a digit put a `p` before the partition.
    if let Some(disk) = stem.strip_suffix('p')
        && disk.ends_with(|c: char| c.is_ascii_digit())
    {
        return Some(disk.to_owned());
    }
    let letters = ["sd", "vd", "xvd", "hd"];
    letters
        .iter()
        .any(|prefix| {
            stem.strip_prefix(prefix).is_some_and(|rest| {
                !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_lowercase())
            })
        })
        .then(|| stem.to_owned())
}

/// Reads one device.
pub(super) fn layer(root: &HostRoot, name: &str) -> Layer {
    let folder = folder(root, name);
    let text = |file: &str| -> Got<String> {
        let text = root.read_text(format!("{folder}/{file}"))?;
        Ok(text.trim().to_owned())
    };
    let kind = kind(name, &text, root.exists(format!("{folder}/partition")));
    let write_cache = text("queue/write_cache").and_then(|value| {
        WriteCache::parse(&value).ok_or_else(|| Missing::Unreadable {
            source: format!("{folder}/queue/write_cache"),
            line: None,
            why: format!("`{value}` is not a kind of cache"),
        })
    });
    let mut queue = Vec::new();
    for file in QUEUE_FILES {
        if let Ok(value) = text(&format!("queue/{file}")) {
            queue.push((*file, active(&value).to_owned()));
        }
    }
    let vendor = text("device/vendor").ok();
    let model = text("device/model").ok().filter(|model| !model.is_empty());
    let cloud = model
        .as_deref()
        .and_then(|model| cloud::disk(vendor.as_deref().unwrap_or(""), model));
    Layer {
        name: name.to_owned(),
        numbers: text("dev").ok().filter(|numbers| numbers.contains(':')),
        claim: claim(root, &folder, &kind, &text),
        paths: nvme_paths(root, name, &kind),
        kind,
        below: Vec::new(),
        write_cache,
        queue,
        model,
        cloud,
        size: text("size")
            .ok()
            .and_then(|sectors| sectors.parse::<u64>().ok())
            .map(|sectors| sectors.saturating_mul(512)),
    }
}

/// Queue settings worth knowing. Source: kernel `Documentation/ABI/stable/sysfs-block`.
const QUEUE_FILES: &[&str] = &[
    "scheduler",
    "write_cache",
    "fua",
    "rotational",
    "read_ahead_kb",
    "nr_requests",
    "discard_max_bytes",
    "logical_block_size",
    "physical_block_size",
    "wbt_lat_usec",
    "iostats",
];

/// `[mq-deadline] none` names the active one in brackets.
fn active(value: &str) -> &str {
    value
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or(value, |(name, _)| name)
}

fn kind(name: &str, text: &dyn Fn(&str) -> Got<String>, partition: bool) -> LayerKind {
    if partition {
        return LayerKind::Partition;
    }
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if starts(&["dm-"]) {
        let uuid = text("dm/uuid").unwrap_or_default();
        return LayerKind::Mapper(if uuid.starts_with("LVM-") {
            "lvm"
        } else if uuid.starts_with("CRYPT-") {
            "crypt"
        } else if uuid.starts_with("mpath-") {
            "multipath"
        } else if uuid.starts_with("part") {
            "mapped partition"
        } else {
            "device mapper"
        });
    }
    // `md0`, `md_d0`, `md127`, `md0p1`.
    if starts(&["md"]) && whole_disk_name(name).is_none() {
        return LayerKind::Raid(text("md/level").unwrap_or_default());
    }
    if starts(&["loop"]) && whole_disk_name(name).is_none() {
        return LayerKind::Loop(text("loop/backing_file").ok());
    }
    // A tree without `/sys` still shows by the name that this is a partition.
    if whole_disk_name(name).is_some() {
        return LayerKind::Partition;
    }
    if starts(&["nvme"]) {
        LayerKind::Nvme
    } else if starts(&["sd", "hd"]) {
        LayerKind::Scsi
    } else if starts(&["vd"]) {
        LayerKind::Virtio
    } else if starts(&["xvd"]) {
        LayerKind::Xen
    } else if starts(&["mmcblk"]) {
        LayerKind::Mmc
    } else if starts(&["zram", "ram", "pmem"]) {
        LayerKind::Memory
    } else if starts(&["nbd", "rbd", "drbd"]) {
        LayerKind::Network
    } else {
        LayerKind::Other
    }
}

/// What the device says about its own cache, apart from `queue/write_cache`, which anybody may
/// have overwritten.
fn claim(
    root: &HostRoot,
    folder: &str,
    kind: &LayerKind,
    text: &dyn Fn(&str) -> Got<String>,
) -> Option<(WriteCache, String)> {
    match kind {
        LayerKind::Scsi => {
            let disks = super::samples::names(root, &format!("{folder}/device/scsi_disk"));
            let file = format!("device/scsi_disk/{}/cache_type", disks.first()?);
            let cache = WriteCache::parse(&text(&file).ok()?)?;
            Some((cache, format!("{folder}/{file}")))
        }
        LayerKind::Virtio => {
            let cache = WriteCache::parse(&text("cache_type").ok()?)?;
            Some((cache, format!("{folder}/cache_type")))
        }
        LayerKind::Nvme => nvme_claim(root, folder),
        // The driver claims a volatile cache for every file that can be synced, which all of the
        // file systems that can hold one can (kernel drivers/block/loop.c).
        LayerKind::Loop(Some(_)) => Some((WriteCache::Back, "the loop driver".to_owned())),
        _ => None,
    }
}

/// How long a controller may take to answer.
const NVME_LIMIT: Duration = Duration::from_secs(3);

/// What an NVMe controller says of its cache: asked live, or from the recordings `nvme-id-ctrl-CONTROLLER` (4096 bytes, as
/// `nvme id-ctrl --raw-binary` writes them) and `nvme-vwc-CONTROLLER` (`nvme get-feature -f 6`) beside a tree.
fn nvme_claim(root: &HostRoot, folder: &str) -> Option<(WriteCache, String)> {
    let name = folder.rsplit('/').next()?;
    let number: String = name
        .strip_prefix("nvme")?
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    let controller = format!("nvme{number}");
    let cache = if root.is_live() {
        let file = root.open(format!("/dev/{controller}")).ok()?;
        let (tell, told) = mpsc::channel();
        // A sick controller can hang in the kernel: the thread is left behind then.
        std::thread::spawn(move || tell.send(nvme::write_cache(&file)).ok());
        told.recv_timeout(NVME_LIMIT).ok()??
    } else {
        let data = root
            .read(format!("/nvme-id-ctrl-{controller}"), 1 << 16)
            .ok()?;
        nvme::WriteCache {
            present: nvme::present_in_identify(&data)?,
            enabled: root
                .read_text(format!("/nvme-vwc-{controller}"))
                .ok()
                .and_then(|text| feature_value(&text))
                .map(nvme::enabled_in_feature),
        }
    };
    let (state, says) = match (cache.present, cache.enabled) {
        (false, _) => (WriteCache::Through, "has no volatile cache"),
        (true, Some(false)) => (WriteCache::Through, "has a volatile cache, switched off"),
        (true, _) => (WriteCache::Back, "has a volatile cache"),
    };
    Some((state, format!("the controller {controller} ({says})")))
}

/// The value in what `nvme get-feature` prints: `…, Current value:0x00000001`, or a bare number.
fn feature_value(text: &str) -> Option<u32> {
    let value = text.trim().rsplit([':', ' ']).next()?.trim();
    match value.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => value.parse().ok(),
    }
}

/// The paths under a multipath NVMe disk: `nvme0c1n1` is a path of `nvme0n1`. The flushes are
/// counted there and not on the disk that is mounted.
fn nvme_paths(root: &HostRoot, name: &str, kind: &LayerKind) -> Vec<String> {
    if *kind != LayerKind::Nvme {
        return Vec::new();
    }
    let Some((subsystem, namespace)) = name.strip_prefix("nvme").and_then(|n| n.split_once('n'))
    else {
        return Vec::new();
    };
    let prefix = format!("nvme{subsystem}c");
    let suffix = format!("n{namespace}");
    super::samples::names(root, "/sys/block")
        .into_iter()
        .filter(|have| {
            have.strip_prefix(&prefix)
                .and_then(|rest| rest.strip_suffix(&suffix))
                .is_some_and(|path| path.bytes().all(|b| b.is_ascii_digit()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controllers_own_words_about_its_cache() {
        use crate::host::layer::WriteCache::{Back, Through};
        let dir = tempfile::tempdir().unwrap();
        let root = HostRoot::new(dir.path());
        let claim = || nvme_claim(&root, "/sys/block/nvme1n1").map(|(cache, _)| cache);
        assert_eq!(claim(), None);
        let mut data = vec![0u8; nvme::IDENTIFY_LEN];
        data[..2].copy_from_slice(&[0x4D, 0x14]);
        let put = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
        put("nvme-id-ctrl-nvme1", &data);
        assert_eq!(claim(), Some(Through));
        data[525] = 1;
        put("nvme-id-ctrl-nvme1", &data);
        assert_eq!(claim(), Some(Back));
        put(
            "nvme-vwc-nvme1",
            b"get-feature:0x06 (Volatile Write Cache), Current value:0x00000000\n",
        );
        assert_eq!(claim(), Some(Through));
        put("nvme-vwc-nvme1", b"1\n");
        assert_eq!(claim(), Some(Back));
    }

    #[test]
    fn partitions_by_name() {
        for (name, disk) in [
            ("sda1", Some("sda")),
            ("nvme0n1p3", Some("nvme0n1")),
            ("mmcblk0p1", Some("mmcblk0")),
            ("xvda15", Some("xvda")),
            ("loop0", None),
            ("nvme0n1", None),
            ("dm-3", None),
            ("md127", None),
            ("sda", None),
            ("md0p1", Some("md0")),
        ] {
            assert_eq!(whole_disk_name(name).as_deref(), disk, "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_name_does(name: String, value: String) {
            let _ = (whole_disk_name(&name), active(&value).len(), WriteCache::parse(&value));
        }
    }
}
