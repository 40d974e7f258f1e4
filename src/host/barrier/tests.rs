//! Whether barriers are on, by mount, chain and counts.

use super::*;
use crate::formats::mountinfo::parse_mountinfo;
use crate::host::Missing;

fn mount(fs: &str, options: &str) -> Mount {
    let line = format!("1 0 7:0 / /var/lib/etcd rw - {fs} /dev/x {options}\n");
    parse_mountinfo(line.as_bytes()).mounts.remove(0)
}

fn disk(name: &str, kind: LayerKind, cache: Option<WriteCache>) -> Layer {
    Layer {
        name: name.to_owned(),
        numbers: None,
        kind,
        below: Vec::new(),
        write_cache: cache.ok_or(Missing::NotCollected),
        claim: None,
        queue: Vec::new(),
        model: None,
        cloud: None,
        size: None,
        paths: Vec::new(),
    }
}

fn chain(layers: Vec<Layer>) -> Chain {
    Chain {
        layers,
        ..Chain::default()
    }
}

fn count(flushes: u64, writes: u64, secs: f64) -> Option<FlushCount> {
    Some(FlushCount {
        flushes,
        writes,
        flush_ms: flushes,
        secs,
        etcd_wrote: false,
    })
}

fn state(mount: &Mount, chain: &Chain, count: Option<FlushCount>) -> BarrierState {
    judge(&Facts {
        mount,
        volatile_overlay: false,
        chain,
        journal: Journal::Unknown,
        unsafe_no_fsync: None,
        count,
        zfs_no_flush: None,
        zfs_sync: None,
    })
    .state
}

use BarrierState::{NotNeeded, Off, On, Unknown};
use WriteCache::{Back, Through};

#[test]
fn the_option_and_the_count_agree_that_barriers_are_off() {
    let back = chain(vec![disk("sda", LayerKind::Scsi, Some(Back))]);
    let nobarrier = mount("ext4", "rw,nobarrier");
    assert_eq!(state(&nobarrier, &back, None), Off);
    assert_eq!(state(&nobarrier, &back, count(0, 2572, 80.0)), Off);
    // Another file system on the same disk may well flush.
    assert_eq!(state(&nobarrier, &back, count(9, 2572, 80.0)), Off);
    assert_eq!(state(&mount("xfs", "rw,nobarrier"), &back, None), Off);
    assert_eq!(state(&mount("btrfs", "rw,nobarrier"), &back, None), Off);
    let lazy = mount("bcachefs", "rw,journal_flush_disabled");
    assert_eq!(state(&lazy, &back, None), Off);
    let often = mount("bcachefs", "rw,journal_flush_delay=1000");
    assert_eq!(state(&often, &back, None), Unknown);
}

#[test]
fn no_cache_needs_no_barrier() {
    let ram = chain(vec![disk("zram1", LayerKind::Memory, Some(Through))]);
    let plain = mount("ext4", "rw");
    assert_eq!(state(&plain, &ram, None), NotNeeded);
    assert_eq!(state(&plain, &ram, count(0, 9000, 100.0)), NotNeeded);
    assert_eq!(state(&mount("ext4", "rw,nobarrier"), &ram, None), NotNeeded);
}

#[test]
fn a_write_back_disk_is_judged_by_its_flushes() {
    let back = chain(vec![disk("sda", LayerKind::Scsi, Some(Back))]);
    let plain = mount("ext4", "rw");
    assert_eq!(state(&plain, &back, None), On);
    assert_eq!(state(&plain, &back, count(6334, 9000, 84.0)), On);
    assert_eq!(state(&plain, &back, count(0, 9000, 84.0)), Off);
    // Too few writes, or too short without knowing that etcd wrote: no proof.
    assert_eq!(state(&plain, &back, count(0, 49, 84.0)), On);
    assert_eq!(state(&plain, &back, count(0, 9000, 34.0)), On);
    let wrote = count(0, 50, 5.0).map(|count| FlushCount {
        etcd_wrote: true,
        ..count
    });
    assert_eq!(state(&plain, &back, wrote), Off);
}

#[test]
fn an_unknown_cache_is_no_proof() {
    let unknown = chain(vec![disk("sda", LayerKind::Scsi, None)]);
    assert_eq!(state(&mount("ext4", "rw,nobarrier"), &unknown, None), Off);
    let barrier = judge(&Facts {
        mount: &mount("ext4", "rw"),
        volatile_overlay: false,
        chain: &unknown,
        journal: Journal::Absent,
        unsafe_no_fsync: Some(false),
        count: count(0, 9000, 100.0),
        zfs_no_flush: None,
        zfs_sync: None,
    });
    assert_eq!((barrier.state, barrier.confidence), (On, Confidence::Low));
    assert_eq!(barrier.steps.len(), 5);
    assert!(barrier.why.contains("no journal"));
}

#[test]
fn an_overridden_cache_is_off() {
    let mut sda = disk("sda", LayerKind::Scsi, Some(Through));
    sda.claim = Some((Back, "cache_type".to_owned()));
    assert_eq!(state(&mount("xfs", "rw"), &chain(vec![sda]), None), Off);
    let mut upper = disk("dm-0", LayerKind::Mapper("lvm"), Some(Through));
    upper.below = vec!["sda".to_owned()];
    let lower = disk("sda", LayerKind::Scsi, Some(Back));
    let stack = chain(vec![upper, lower]);
    assert_eq!(state(&mount("xfs", "rw"), &stack, count(5, 5, 5.0)), Off);
    // The disk under a loop device's file is not asked through this queue.
    let mut looped = disk("loop0", LayerKind::Loop(None), Some(Through));
    looped.below = vec!["sda".to_owned()];
    let lower = disk("sda", LayerKind::Scsi, Some(Back));
    let stack = chain(vec![looped, lower]);
    assert_eq!(state(&mount("xfs", "rw"), &stack, None), NotNeeded);
}

#[test]
fn memory_and_volatile_overlays_are_off() {
    let none = Chain::default();
    assert_eq!(state(&mount("tmpfs", "rw"), &none, None), Off);
    assert_eq!(state(&mount("nfs4", "rw"), &none, None), Unknown);
    let sda = chain(vec![disk("sda", LayerKind::Scsi, Some(Through))]);
    let barrier = judge(&Facts {
        mount: &mount("ext4", "rw"),
        volatile_overlay: true,
        chain: &sda,
        journal: Journal::Present,
        unsafe_no_fsync: None,
        count: None,
        zfs_no_flush: None,
        zfs_sync: None,
    });
    assert_eq!(barrier.state, Off);
}

#[test]
fn zfs_is_only_judged_by_its_module() {
    let back = chain(vec![disk("sda", LayerKind::Scsi, Some(Back))]);
    let zfs = mount("zfs", "rw");
    assert_eq!(state(&zfs, &back, None), Unknown);
    let barrier = judge(&Facts {
        mount: &zfs,
        volatile_overlay: false,
        chain: &back,
        journal: Journal::Unknown,
        unsafe_no_fsync: None,
        count: count(0, 9000, 100.0),
        zfs_no_flush: Some(true),
        zfs_sync: Some("standard".to_owned()),
    });
    assert_eq!(barrier.state, Off);
}

#[test]
fn the_dataset_says_whether_zfs_syncs() {
    let back = chain(vec![disk("sda", LayerKind::Scsi, Some(Back))]);
    let zfs = mount("zfs", "rw");
    let with = |sync: &str| {
        judge(&Facts {
            mount: &zfs,
            volatile_overlay: false,
            chain: &back,
            journal: Journal::Unknown,
            unsafe_no_fsync: None,
            count: None,
            zfs_no_flush: Some(false),
            zfs_sync: Some(sync.to_owned()),
        })
        .steps[0]
            .state
    };
    assert_eq!(with("disabled"), Off);
    assert_eq!(with("standard"), On);
    assert_eq!(with("always"), On);
    assert_eq!(with("?"), Unknown);
}

/// ext4 on a loop device, whose file lies on a mount of a disk.
fn on_a_file(under: Mount, cache: Option<WriteCache>) -> Chain {
    let mut top = disk("loop1", LayerKind::Loop(None), Some(Back));
    top.below = vec!["sdb".to_owned()];
    let mut stack = chain(vec![top, disk("sdb", LayerKind::Scsi, cache)]);
    stack.backings = vec![("loop1".to_owned(), under)];
    stack
}

#[test]
fn flushes_of_a_loop_device_end_in_the_mount_of_its_file() {
    let plain = mount("ext4", "rw");
    let below = |fs: &str, options: &str, cache| on_a_file(mount(fs, options), cache);
    // The loop device counts its flushes, wherever they end.
    let flushes = count(549, 9000, 60.0);
    let of = |stack: &Chain| state(&plain, stack, flushes);
    assert_eq!(of(&below("ext4", "rw", Some(Back))), On);
    assert_eq!(of(&below("ext4", "rw,nobarrier", Some(Back))), Off);
    // Memory is a doubt.
    assert_eq!(of(&below("tmpfs", "rw", None)), On);
    assert_eq!(of(&below("overlay", "rw,volatile", None)), Off);
    // Without a cache below, the option neither helps nor hurts.
    assert_eq!(of(&below("ext4", "rw,nobarrier", Some(Through))), On);
    // A file on a loop device that lies on another file.
    let mut nested = below("ext4", "rw", Some(Back));
    nested.layers[1] = disk("loop0", LayerKind::Loop(None), Some(Back));
    nested.layers[0].below = vec!["loop0".to_owned()];
    nested
        .backings
        .push(("loop0".to_owned(), mount("ext4", "rw,barrier=0")));
    assert_eq!(of(&nested), Off);
    // A loop of layers ends.
    nested.layers[1].below = vec!["loop1".to_owned()];
    nested.backings[1].1 = mount("ext4", "rw");
    assert_eq!(of(&nested), On);
}

#[test]
fn the_reason_names_the_loop_device_and_where_its_file_lies() {
    let judged = |fs: &str, options: &str| {
        judge(&Facts {
            mount: &mount("ext4", "rw"),
            volatile_overlay: false,
            chain: &on_a_file(mount(fs, options), Some(Back)),
            journal: Journal::Unknown,
            unsafe_no_fsync: None,
            count: count(549, 9000, 60.0),
            zfs_no_flush: None,
            zfs_sync: None,
        })
    };
    let off = judged("ext4", "rw,nobarrier");
    assert!(off.why.starts_with("the file of loop1: "), "{}", off.why);
    assert!(off.why.contains("mounted with nobarrier"), "{}", off.why);
    assert_eq!(off.steps[0].state, Off);
    // What becomes of a flush on a network file system is not known: neither on nor off.
    let doubt = judged("nfs", "rw");
    assert_eq!((doubt.state, doubt.confidence), (On, Confidence::Low));
    assert!(doubt.why.contains("the file of loop1"), "{}", doubt.why);
}
