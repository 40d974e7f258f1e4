//! Evidence about etcd's directories: mounts, barriers, space.

use crate::evidence::{Row, Subject, SubjectKind, keys};
use crate::formats::mountinfo::Mount;
use crate::host::barrier::{BarrierState, Journal};
use crate::host::filesystem::fitness;
use crate::host::model::{DeviceUse, HostModel, Storage, StorageRole};

use super::{Out, moment, subject, table, window};

/// Fewest flushes whose mean is worth telling.
pub(super) const ENOUGH_FLUSHES: u64 = 5;

/// Mounts and barriers, one table an etcd (or one for the node where no process is known).
pub(super) fn collect(model: &HostModel, out: &mut Out) {
    if let Some(why) = &model.storage_missing {
        let node = out.node();
        out.missing(&keys::MOUNTS, &node, "proc/self/mountinfo", why);
        return;
    }
    let mut by_subject: Vec<(Subject, Vec<&Storage>)> = Vec::new();
    for storage in &model.storage {
        let etcd = storage.pid.and_then(|pid| model.etcd(pid));
        let about = match etcd {
            Some(etcd) => subject(model, etcd, &out.node),
            None => Subject::new(SubjectKind::Component, "etcd").on(&out.node),
        };
        match by_subject.iter_mut().find(|(have, _)| *have == about) {
            Some((_, list)) => list.push(storage),
            None => by_subject.push((about, vec![storage])),
        }
    }
    for (about, list) in by_subject {
        let known: Vec<&Storage> = list
            .iter()
            .copied()
            .filter(|storage| storage.mount.is_ok())
            .collect();
        let source = list.first().map_or("", |storage| storage.source.as_str());
        let Some(first) = known.first() else {
            if let Some(Err(why)) = list.first().map(|storage| &storage.mount) {
                out.missing(&keys::MOUNTS, &about, source, why);
            }
            continue;
        };
        let at = moment(model);
        let origin = Out::origin(&first.source);
        let rows = known.iter().filter_map(|s| mount_row(model, s)).collect();
        out.set.put(
            &keys::MOUNTS,
            about.clone(),
            window(at),
            origin.clone(),
            table(rows),
        );
        let steps = known
            .iter()
            .flat_map(|storage| step_rows(storage))
            .collect();
        out.set.put(
            &keys::BARRIER_STEPS,
            about.clone(),
            window(at),
            origin.clone(),
            table(steps),
        );
        let remarks: Vec<Row> = known
            .iter()
            .flat_map(|storage| {
                storage.remarks.iter().map(|(option, why)| {
                    Row::new(format!("{} {option}", storage.role.word())).text("why", *why)
                })
            })
            .collect();
        out.set.put(
            &keys::MOUNT_REMARKS,
            about.clone(),
            window(at),
            origin,
            table(remarks),
        );
        space(model, &list, &about, out);
    }
}

fn mount_row(model: &HostModel, storage: &Storage) -> Option<Row> {
    let mount = storage.mount.as_ref().ok()?;
    let real = storage.below_overlay.as_ref().unwrap_or(mount);
    let disks = storage.chain.disks();
    let names: Vec<&str> = disks.iter().map(|disk| disk.name.as_str()).collect();
    let (fit, fit_why) = fitness(&mount.fs);
    let mut row = Row::new(storage.role.word())
        .text("path", &storage.path)
        .text("path_source", storage.path_source)
        .text("host_path", &storage.host_path)
        .text("mount", &mount.point)
        .text("fs", &mount.fs)
        .text("fs_fitness", fit.word())
        .text("fs_why", fit_why)
        .text("options", mount.all_options().collect::<Vec<_>>().join(","))
        .text("source", &real.source);
    if let Some(first) = names.first() {
        row = row
            .text("device", *first)
            .text("devices", names.join(","))
            .text("stack", storage.chain.words());
    }
    if let Some(disk) = disks.first() {
        row = row.text("device_kind", disk.kind.word());
        if let Some(model) = &disk.model {
            row = row.text("model", model);
        }
        if let Some(cloud) = disk.cloud {
            row = row
                .text("cloud_disk", cloud.name)
                .text("ephemeral", if cloud.ephemeral { "yes" } else { "no" });
        }
    }
    if let Some(how) = read_only(storage, mount, real) {
        row = row.text("read_only", how);
    }
    match storage.journal {
        Journal::Present => row = row.text("journal", "yes"),
        Journal::Absent => row = row.text("journal", "no"),
        Journal::Unknown => {}
    }
    if let Some(under) = &storage.below_overlay {
        row = row
            .text("overlay_on", &under.point)
            .text("overlay_fs", &under.fs);
    }
    if let Some(barrier) = &storage.barrier {
        row = row
            .text("barrier", barrier.state.word())
            .text("why", &barrier.why)
            .text("confidence", barrier.confidence.word());
        let flag = barrier.steps.iter().find(|step| step.id == "2-etcd-flag");
        if let Some(flag) = flag.filter(|step| step.state != BarrierState::Unknown) {
            let off = flag.state == BarrierState::Off;
            row = row.text("unsafe_no_fsync", if off { "yes" } else { "no" });
        }
    }
    // What a flush costs here, measured now, or since boot where none was sent now.
    let used: Vec<&DeviceUse> = names
        .iter()
        .filter_map(|name| model.devices.get(*name))
        .collect();
    let (mut flushes, mut ms, mut secs) = (0u64, 0u64, 0.0f64);
    for window in used.iter().flat_map(|used| &used.windows) {
        flushes += window.delta.flushes.unwrap_or(0);
        ms += window.delta.flush_ms.unwrap_or(0);
        secs += window.delta.secs;
    }
    if flushes >= ENOUGH_FLUSHES && secs > 0.0 {
        row = row
            .num("flush_mean_ms", ms as f64 / flushes as f64)
            .num("flush_share", ms as f64 / 1e3 / secs)
            .num("flushes_per_sec", flushes as f64 / secs);
    }
    if let Some((mean, _)) = used.iter().find_map(|used| used.since_boot) {
        row = row.num("flush_mean_since_boot_ms", mean);
    }
    Some(row)
}

/// File systems that nobody writes to: etcd's data lies on none of them, so the table is not that of
/// the place where etcd runs.
const NEVER_WRITABLE: &[&str] = &["squashfs", "erofs", "iso9660", "cramfs", "romfs"];

/// Whether the mount takes writes: `no` where it does, and nothing where it does not tell.
///
/// The file system's own option counts. That of a mount does only in the table of etcd itself: the
/// same file system may be mounted read-only for whoever looked at it.
fn read_only(storage: &Storage, mount: &Mount, real: &Mount) -> Option<&'static str> {
    let in_layers = real.fs == "overlay" || real.fs == "aufs";
    if NEVER_WRITABLE.contains(&real.fs.as_str()) || in_layers {
        return None;
    }
    let has = |options: &[String], names: &[&str]| {
        options.iter().any(|have| names.contains(&have.as_str()))
    };
    let own = storage
        .pid
        .is_some_and(|pid| storage.source == format!("proc/{pid}/mountinfo"));
    // Linux fs/ext4/super.c: from 6.12 on an error leaves the superblock's flag as it is, and later
    // ones say so with an option of their own.
    if has(&real.super_options, &["ro", "emergency_ro"]) {
        Some(if real.device.is_some() {
            "file system"
        } else {
            "maybe"
        })
    } else if own && has(&mount.options, &["ro"]) {
        Some("mount")
    } else {
        Some("no")
    }
}

fn step_rows(storage: &Storage) -> Vec<Row> {
    let steps = storage.barrier.as_ref().map_or(&[][..], |b| &b.steps);
    steps
        .iter()
        .map(|step| {
            Row::new(format!("{} {}", storage.role.word(), step.id))
                .text("state", step.state.word())
                .text("why", &step.why)
                .text("confidence", step.confidence.word())
        })
        .collect()
}

/// A WAL segment: etcd server/storage/wal/wal.go, `SegmentSizeBytes` (64 000 000).
const SEGMENT: u64 = 64_000_000;

/// Whether two directories lie on different file systems: by the numbers of these, or by the mounts
/// where a short table of mounts does not tell them.
fn lies_apart(one: &Storage, other: &Storage) -> bool {
    let (Ok(a), Ok(b)) = (&one.mount, &other.mount) else {
        return false;
    };
    match (a.device, b.device) {
        (Some(a), Some(b)) => a != b,
        _ => a.point != b.point,
    }
}

/// Free space and inodes, and what etcd may need of them.
fn space(model: &HostModel, list: &[&Storage], about: &Subject, out: &mut Out) {
    let at = moment(model);
    let mut rows = Vec::new();
    let mut source = String::new();
    let data = list.iter().find(|s| s.role == StorageRole::Data);
    for storage in list {
        let apart = data.is_some_and(|data| lies_apart(storage, data));
        let space = match &storage.space {
            Some(Ok(space)) => space,
            Some(Err(why)) => {
                if storage.role == StorageRole::Data {
                    out.missing(&keys::FS_FREE, about, &storage.host_path, why);
                } else if apart {
                    rows.push(
                        Row::new(storage.role.word())
                            .text("apart", "yes")
                            .text("missing", why.to_string()),
                    );
                }
                continue;
            }
            None => continue,
        };
        let mut row = Row::new(storage.role.word());
        let columns = [
            ("size_bytes", space.size),
            ("free_bytes", space.free),
            ("inodes", space.inodes),
            ("inodes_free", space.inodes_free),
        ];
        for (name, value) in columns {
            if let Some(value) = value {
                row = row.num(name, value as f64);
            }
        }
        let kept = storage.kept.as_ref().and_then(|kept| kept.as_ref().ok());
        let db = model.db_hint.or_else(|| kept.and_then(|kept| kept.db));
        if storage.role == StorageRole::Data {
            if let Some(db) = db {
                // A defragmentation writes the database anew beside the old one; a snapshot from
                // the leader arrives whole before it takes its place.
                row = row
                    .num("db_bytes", db as f64)
                    .num("need_defrag_bytes", db as f64)
                    .num("need_snapshot_bytes", db as f64);
            }
            for (name, value) in [
                ("wal_bytes", kept.and_then(|kept| kept.wal)),
                ("snapshot_bytes", kept.and_then(|kept| kept.snapshots)),
            ] {
                if let Some(value) = value {
                    row = row.num(name, value as f64);
                }
            }
        } else {
            // One segment is cut while the next is preallocated already.
            row = row.num("need_wal_bytes", (2 * SEGMENT) as f64);
            if apart {
                row = row.text("apart", "yes");
            }
        }
        if source.is_empty() {
            source.clone_from(&space.source);
        }
        rows.push(row);
        if storage.role == StorageRole::Data {
            source.clone_from(&space.source);
            let origin = || Out::origin(&space.source);
            if let Some(free) = space.free {
                out.num(&keys::FS_FREE, about, at, origin(), free as f64);
                if let Some(size) = space.size.filter(|size| *size > 0) {
                    let share = free as f64 / size as f64;
                    out.num(&keys::FS_FREE_SHARE, about, at, origin(), share);
                }
            }
            if let Some(free) = space.inodes_free {
                out.num(&keys::FS_INODES_FREE, about, at, origin(), free as f64);
            }
        }
    }
    if !rows.is_empty() {
        out.set.put(
            &keys::FS_SPACE,
            about.clone(),
            window(at),
            Out::origin(&source),
            table(rows),
        );
    }
}
