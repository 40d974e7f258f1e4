//! Finds etcd's directories, the mounts that hold them and the disks under those.

use crate::formats::mountinfo::{Mount, MountTable, below, parse_mountinfo, parse_mounts};
use crate::target::HostRoot;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::barrier::Journal;
use super::device::{self, Chain};
use super::filesystem;
use super::model::{Hints, Storage, StorageRole};
use super::process::{EtcdProcess, READ_LIMIT, Role};
use super::{Got, Missing};

/// Mount tables of large nodes reach some megabytes.
const CAP: u64 = 32 << 20;
/// Where distributions keep etcd's data.
const USUAL: &[&str] = &[
    "/var/lib/etcd",
    "/var/lib/rancher/rke2/server/db/etcd",
    "/var/lib/rancher/k3s/server/db/etcd",
    "/var/lib/k0s/etcd",
    "/var/lib/minikube/etcd",
    "/var/lib/etcd-events",
];

/// The mount tables of a tree.
pub(super) struct Tables {
    /// The host's own.
    pub(super) host: Got<(String, MountTable)>,
}

/// Reads the host's mount table: of process 1, of ourselves, or the short form.
pub(super) fn tables(root: &HostRoot) -> Tables {
    let mut why = None;
    for (path, full) in [
        ("/proc/1/mountinfo", true),
        ("/proc/self/mountinfo", true),
        ("/proc/mountinfo", true),
        ("/proc/self/mounts", false),
        ("/proc/mounts", false),
        ("/etc/mtab", false),
    ] {
        match table(root, path, full) {
            Ok(table) if !table.mounts.is_empty() => {
                return Tables {
                    host: Ok((path.trim_start_matches('/').to_owned(), table)),
                };
            }
            Ok(_) => {
                why.get_or_insert(Missing::Unreadable {
                    source: path.to_owned(),
                    line: None,
                    why: "holds no mount".to_owned(),
                });
            }
            // What was there and could not be read says more than what was not there.
            Err(missing) => {
                let replace = match &why {
                    None => true,
                    Some(Missing::NotPresent { .. }) => {
                        !matches!(missing, Missing::NotPresent { .. })
                    }
                    Some(_) => false,
                };
                if replace {
                    why = Some(missing);
                }
            }
        }
    }
    Tables {
        host: Err(why.unwrap_or(Missing::NotCollected)),
    }
}

fn table(root: &HostRoot, path: &str, full: bool) -> Got<MountTable> {
    let bytes = root.read_within(path, CAP, READ_LIMIT)?;
    Ok(if full {
        parse_mountinfo(&bytes)
    } else {
        parse_mounts(&bytes)
    })
}

/// The directories of every etcd; of the hints or the usual paths where no process is there.
pub(super) fn find(
    root: &HostRoot,
    tables: &Tables,
    processes: &[EtcdProcess],
    hints: &Hints,
    live: bool,
) -> Got<Vec<Storage>> {
    let mut found = Vec::new();
    let several = processes.iter().filter(|e| e.role == Role::Main).count() > 1;
    for etcd in processes {
        // A hint speaks of the main etcd, and of no one where several could be meant.
        let hinted = (etcd.role == Role::Main && !several).then_some(hints);
        let of_hints = |path: fn(&Hints) -> &Option<String>| {
            hinted
                .and_then(|hints| path(hints).clone())
                .map(|p| (p, "hint"))
        };
        let own = etcd.data_dir.clone().map(|path| (path, "process"));
        let data = own.or_else(|| of_hints(|hints| &hints.data_dir));
        let wal = etcd
            .wal_dir
            .clone()
            .map(|path| (path, "process"))
            .or_else(|| of_hints(|hints| &hints.wal_dir));
        let own_table = table(root, &format!("/proc/{}/mountinfo", etcd.pid), true)
            .ok()
            .filter(|table| !table.mounts.is_empty())
            .map(|table| (format!("proc/{}/mountinfo", etcd.pid), table));
        let data = data.or_else(|| usual(root, tables, live));
        add(
            root,
            tables,
            own_table.as_ref(),
            Some(etcd.pid),
            data,
            wal,
            &mut found,
        );
    }
    if processes.is_empty() {
        let hint = |path: &Option<String>| path.clone().map(|path| (path, "hint"));
        let data = hint(&hints.data_dir).or_else(|| usual(root, tables, live));
        add(
            root,
            tables,
            None,
            None,
            data,
            hint(&hints.wal_dir),
            &mut found,
        );
    }
    if found.is_empty() {
        return Err(Missing::NotEnough {
            why: "neither an etcd process nor its data directory is in this tree".to_owned(),
        });
    }
    Ok(found)
}

/// A usual path that is there, or a mount point that is named after etcd.
fn usual(root: &HostRoot, tables: &Tables, live: bool) -> Option<(String, &'static str)> {
    let there = USUAL.iter().find(|path| root.exists(path));
    if let Some(path) = there {
        return Some(((*path).to_owned(), "usual path"));
    }
    let (_, table) = tables.host.as_ref().ok()?;
    let named: Vec<&Mount> = table
        .mounts
        .iter()
        .filter(|mount| {
            let last = mount.point.rsplit('/').next().unwrap_or("");
            last.contains("etcd") || USUAL.iter().any(|usual| mount.point == *usual)
        })
        .collect();
    // Live, the folder itself would be there; several candidates would be a guess.
    match named.as_slice() {
        [one] if !live => Some((one.point.clone(), "mount point")),
        _ => None,
    }
}

/// What lies under a directory of this process's own namespace.
pub(super) fn of_path(root: &HostRoot, path: &str) -> Storage {
    let tables = tables(root);
    let own = table(root, "/proc/self/mountinfo", true)
        .ok()
        .filter(|table| !table.mounts.is_empty())
        .map(|table| ("proc/self/mountinfo".to_owned(), table));
    let role = StorageRole::Data;
    let path = path.to_owned();
    resolve(root, &tables, own.as_ref(), None, role, path, "process")
}

fn add(
    root: &HostRoot,
    tables: &Tables,
    own: Option<&(String, MountTable)>,
    pid: Option<u32>,
    data: Option<(String, &'static str)>,
    wal: Option<(String, &'static str)>,
    found: &mut Vec<Storage>,
) {
    let Some((data, source)) = data else { return };
    // Without a directory of its own the WAL is in the data directory, which may hold a mount.
    let (wal, wal_source) = wal.unwrap_or_else(|| (format!("{data}/member/wal"), source));
    for (role, path, path_source) in [
        (StorageRole::Data, data, source),
        (StorageRole::Wal, wal, wal_source),
    ] {
        found.push(resolve(root, tables, own, pid, role, path, path_source));
    }
}

fn resolve(
    root: &HostRoot,
    tables: &Tables,
    own: Option<&(String, MountTable)>,
    pid: Option<u32>,
    role: StorageRole,
    path: String,
    path_source: &'static str,
) -> Storage {
    let empty = MountTable::default();
    let host = tables.host.as_ref().ok();
    let host_table = host.map_or(&empty, |(_, table)| table);
    // A path from a process is in its own namespace; a hint is a path of the host.
    let (source, table) = match own.filter(|_| path_source == "process").or(host) {
        Some((source, table)) => (source.clone(), Some(table)),
        None => (String::new(), None),
    };
    let foreign = own.filter(|_| path_source == "process");
    let real = real_path(
        root,
        pid,
        foreign.map(|(_, table)| table),
        host_table,
        &path,
    );
    let mount = match table {
        Some(table) if table.may_hide(&real) => Err(Missing::Unreadable {
            source: source.clone(),
            line: None,
            why: format!("a line of it is torn, and it may be the mount that holds `{real}`"),
        }),
        Some(table) => table.of_path(&real).cloned().ok_or(Missing::NotEnough {
            why: format!("no mount in {source} holds `{real}`"),
        }),
        None => Err(tables
            .host
            .as_ref()
            .err()
            .cloned()
            .unwrap_or(Missing::NotCollected)),
    };
    let mut storage = Storage {
        pid,
        role,
        host_path: real.clone(),
        path,
        path_source,
        mount,
        below_overlay: None,
        source,
        chain: Chain::default(),
        journal: Journal::Unknown,
        barrier: None,
        remarks: Vec::new(),
        space: None,
        kept: None,
        shared_with: Vec::new(),
    };
    let Ok(mount) = &storage.mount else {
        return storage;
    };
    if let Some(path) = host_path(mount, &real, host_table) {
        storage.host_path = path;
    }
    storage.remarks = filesystem::remarks(mount);
    let mut at = mount.clone();
    if mount.fs == "overlay"
        && let Some(upper) = mount.value("upperdir")
        && let Some(under) = host_table.of_path(upper)
    {
        storage.below_overlay = Some(under.clone());
        storage.remarks.extend(filesystem::remarks(under));
        at = under.clone();
    }
    storage.chain = device::chain(root, at.device, &at.source, host_table);
    let top = storage
        .chain
        .layers
        .first()
        .map_or("", |layer| layer.name.as_str());
    storage.journal = journal(root, &at, top);
    if storage.journal == Journal::Absent {
        let why = "no journal: after a crash the file system needs a full check, and a half-written directory can lose a WAL segment";
        storage.remarks.push(("no-journal".to_owned(), why));
    }
    // Online discards only cost where the disk takes them.
    let takes_discards = |chain: &Chain| {
        chain
            .disks()
            .iter()
            .any(|disk| disk.setting("discard_max_bytes") != Some("0"))
    };
    if !takes_discards(&storage.chain) {
        storage.remarks.retain(|(option, _)| option != "discard");
    }
    storage.shared_with = shared(root, &storage, &at, host_table);
    storage
}

/// A path with its symbolic links followed where the process that uses it finds them: in its own
/// root, which a tree that was copied does not hold for a container.
fn real_path(
    root: &HostRoot,
    pid: Option<u32>,
    own: Option<&MountTable>,
    host: &MountTable,
    path: &str,
) -> String {
    let top = |table: &MountTable| {
        table
            .of_path("/")
            .map(|mount| (mount.device, mount.root.clone(), mount.source.clone()))
    };
    let same_root = own.is_none_or(|own| host.mounts.is_empty() || top(own) == top(host));
    let container = pid.map(|pid| root.path().join(format!("proc/{pid}/root")));
    let base = if same_root {
        root.clone()
    } else {
        match container.filter(|at| at.join(".").is_dir()) {
            Some(at) => HostRoot::new(at),
            None => return path.to_owned(),
        }
    };
    let Ok(real) = base.resolve(path) else {
        return path.to_owned();
    };
    match real.strip_prefix(base.path()) {
        Ok(inside) => format!("/{}", inside.display()),
        Err(_) => path.to_owned(),
    }
}

/// The path on the host of a path in a container: the same file system, mounted elsewhere.
fn host_path(mount: &Mount, path: &str, host: &MountTable) -> Option<String> {
    mount.device?;
    let inside = format!(
        "{}/{}",
        mount.root.trim_end_matches('/'),
        below(&mount.point, path)?
    );
    // The mount of the same file system whose root folder holds it, the closest one.
    let at = host
        .mounts
        .iter()
        .filter(|have| have.device == mount.device)
        .filter_map(|have| Some((have, below(&have.root, &inside)?)))
        .min_by_key(|(_, rest)| rest.len())?;
    let (have, rest) = at;
    let joined = format!("{}/{rest}", have.point.trim_end_matches('/'));
    Some(joined.trim_end_matches('/').to_owned())
}

/// Other mount points whose disks are the same: they share its queue.
fn shared(root: &HostRoot, storage: &Storage, own: &Mount, host: &MountTable) -> Vec<Mount> {
    let disks: Vec<String> = storage
        .chain
        .disks()
        .iter()
        .map(|disk| disk.name.clone())
        .collect();
    if disks.is_empty() {
        return Vec::new();
    }
    let mut seen = Vec::new();
    let mut shared: Vec<Mount> = Vec::new();
    for mount in &host.mounts {
        // One entry per file system: bind mounts of it (pods have many) say nothing new.
        let Some(numbers) = mount.device.filter(|(major, _)| *major != 0) else {
            continue;
        };
        if seen.contains(&numbers) || seen.len() >= 256 {
            continue;
        }
        seen.push(numbers);
        if Some(numbers) == own.device {
            // The same file system: its other users are seen where it is mounted at its root.
            if mount.point != own.point && mount.root == "/" {
                shared.push(mount.clone());
            }
            continue;
        }
        let chain = device::chain(root, mount.device, &mount.source, host);
        if chain.disks().iter().any(|disk| disks.contains(&disk.name)) {
            shared.push(mount.clone());
        }
    }
    shared
}

/// Whether the ext4 of a device has a journal.
fn journal(root: &HostRoot, mount: &Mount, device: &str) -> Journal {
    match mount.fs.as_str() {
        "ext4" | "ext3" => {}
        "ext2" => return Journal::Absent,
        "xfs" | "jfs" | "reiserfs" => return Journal::Present,
        _ => return Journal::Unknown,
    }
    if mount.value("data").is_some() {
        return Journal::Present;
    }
    if let Ok(text) = root.read_text(format!("/sys/fs/ext4/{device}/journal_task")) {
        return if text.trim() == "<none>" {
            Journal::Absent
        } else {
            Journal::Present
        };
    }
    // The full list of options names the data mode if and only if there is a journal.
    if let Ok(text) = root.read_text(format!("/proc/fs/ext4/{device}/options")) {
        return if text.lines().any(|line| line.starts_with("data=")) {
            Journal::Present
        } else {
            Journal::Absent
        };
    }
    Journal::Unknown
}

/// How long `zfs` may take.
const ZFS_LIMIT: Duration = Duration::from_secs(5);

/// The property `sync` of a ZFS dataset: asked with `zfs get` on a running host, or from the recording `zfs-get-sync`
/// (`zfs get -H sync`, one dataset a line) beside a tree.
pub(super) fn zfs_sync(root: &HostRoot, dataset: &str) -> Option<String> {
    let text = if root.is_live() {
        // A dataset's name begins with its pool's, never with a dash.
        if dataset.starts_with('-') {
            return None;
        }
        let mut child = Command::new("zfs")
            .args(["get", "-H", "sync", dataset])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let begin = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(_)) => break,
                Ok(None) if begin.elapsed() < ZFS_LIMIT => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                _ => {
                    // A pool that is stuck keeps it waiting for ever.
                    child.kill().ok();
                    return None;
                }
            }
        }
        let mut text = String::new();
        child
            .stdout
            .take()?
            .take(1 << 16)
            .read_to_string(&mut text)
            .ok()?;
        text
    } else {
        root.read_text("/zfs-get-sync").ok()?
    };
    sync_of(&text, dataset)
}

/// The value in lines of `NAME<tab>sync<tab>VALUE<tab>SOURCE`.
fn sync_of(text: &str, dataset: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let mut parts = line.split('\t');
        let own = parts.next()? == dataset && parts.next()? == "sync";
        own.then(|| parts.next().map(str::to_owned)).flatten()
    })
}

/// Whether ZFS is told not to flush.
pub(super) fn zfs_no_flush(root: &HostRoot) -> Option<bool> {
    let set = |name: &str| {
        root.read_text(format!("/sys/module/zfs/parameters/{name}"))
            .ok()
            .map(|text| text.trim() != "0")
    };
    match (set("zil_nocacheflush"), set("zfs_nocacheflush")) {
        (None, None) => None,
        (a, b) => Some(a == Some(true) || b == Some(true)),
    }
}

#[cfg(test)]
mod tests;
