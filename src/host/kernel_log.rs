//! Kernel messages that say a disk, a file system or the machine is broken.
//!
//! Sources, the first one that can be read: `/dev/kmsg`, recorded `dmesg` output, then the kernel's
//! part of the system log. One source only, because they hold the same messages.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use memchr::memmem;

use crate::clock::Timestamp;
use crate::target::HostRoot;

use super::{Got, Missing};

/// How much of the end of a log is read.
const TAIL: u64 = 16 << 20;
/// Longest example kept.
const EXAMPLE: usize = 240;
/// Messages older than this are counted apart: they are about another day.
const RECENT_US: i64 = 24 * 3600 * 1_000_000;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// A disk or file system failed.
    Io,
    /// Something else that slows or stops etcd.
    Machine,
}

/// A kind of message: its name, its topic, and the parts that a line must all hold.
const KINDS: &[(&str, Topic, &[&str])] = &[
    ("ext4-error", Topic::Io, &["EXT4-fs error"]),
    ("journal-aborted", Topic::Io, &["borted journal"]),
    ("journal-aborted", Topic::Io, &["Aborting journal"]),
    ("xfs-corruption", Topic::Io, &["XFS", "orruption"]),
    ("xfs-shutdown", Topic::Io, &["XFS", "hutdown"]),
    (
        "xfs-shutdown",
        Topic::Io,
        &["XFS", "Shutting down filesystem"],
    ),
    ("xfs-shutdown", Topic::Io, &["XFS", "log I/O error"]),
    ("btrfs-error", Topic::Io, &["BTRFS error"]),
    ("btrfs-error", Topic::Io, &["BTRFS critical"]),
    ("btrfs-error", Topic::Io, &["BTRFS: error"]),
    (
        "remounted-read-only",
        Topic::Io,
        &["emounting filesystem read-only"],
    ),
    ("remounted-read-only", Topic::Io, &["forced readonly"]),
    ("buffer-io-error", Topic::Io, &["Buffer I/O error"]),
    ("medium-error", Topic::Io, &["critical medium error"]),
    ("io-error", Topic::Io, &["blk_update_request", "error"]),
    ("io-error", Topic::Io, &["print_req_error"]),
    ("io-error", Topic::Io, &["I/O error, dev "]),
    ("io-error", Topic::Io, &["lost async page write"]),
    ("nvme-timeout", Topic::Io, &["nvme", "timeout, "]),
    ("nvme-reset", Topic::Io, &["nvme", "controller is down"]),
    ("nvme-reset", Topic::Io, &["nvme", "resetting controller"]),
    ("ata-error", Topic::Io, &["ata", "exception Emask"]),
    ("ata-error", Topic::Io, &["ata", "hard resetting link"]),
    ("scsi-error", Topic::Io, &["FAILED Result", "sd "]),
    (
        "scsi-error",
        Topic::Io,
        &["rejecting I/O to offline device"],
    ),
    ("raid-failure", Topic::Io, &["md/raid", "Disk failure"]),
    (
        "multipath-failure",
        Topic::Io,
        &["device-mapper: multipath", "Failing path"],
    ),
    (
        "hung-task",
        Topic::Io,
        &["task etcd", "blocked for more than"],
    ),
    (
        "hung-task",
        Topic::Io,
        &["task jbd2", "blocked for more than"],
    ),
    (
        "hung-task",
        Topic::Io,
        &["task xfsaild", "blocked for more than"],
    ),
    (
        "hung-task-other",
        Topic::Machine,
        &["blocked for more than", "seconds"],
    ),
    ("oom-kill", Topic::Machine, &["Out of memory", "Kill"]),
    ("oom-kill", Topic::Machine, &["Memory cgroup out of memory"]),
    ("soft-lockup", Topic::Machine, &["soft lockup"]),
    ("clock-unstable", Topic::Machine, &["Marking TSC unstable"]),
    (
        "clock-unstable",
        Topic::Machine,
        &["clocksource", "unstable"],
    ),
    (
        "cpu-thermal",
        Topic::Machine,
        &["temperature above threshold"],
    ),
];

/// Parts of messages that look like faults and are none: drives without a medium, which every
/// virtual machine seems to have, and requests that a device need not know.
const HARMLESS: &[&str] = &[
    "dev fd0",
    "dev sr0",
    "dev sr1",
    "operation not supported error",
];

/// All messages of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// What they are about.
    pub topic: Topic,
    /// How many, of the last day or of unknown time.
    pub count: u64,
    /// How many older ones.
    pub older: u64,
    /// How many of `count` name one of etcd's devices, or etcd itself.
    pub on_etcd_disk: u64,
    /// How many of `count` name another device, where etcd's own is known.
    pub elsewhere: u64,
    /// Those other devices.
    pub others: BTreeSet<String>,
    /// How many of `count` killed a process for want of the machine's memory, by its name.
    pub killed: BTreeMap<String, u64>,
    /// The same of those that met the limit of their own cgroup.
    pub killed_by_limit: BTreeMap<String, u64>,
    /// Time of the last one.
    pub last: Option<Timestamp>,
    /// The last one.
    pub example: String,
}

/// What a kernel log says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelLog {
    /// The file.
    pub source: String,
    /// Lines looked at.
    pub lines: u64,
    /// Kinds by name.
    pub kinds: BTreeMap<&'static str, Kind>,
}

/// How a source's lines are to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Only kernel messages, as `dmesg` prints them or as `/dev/kmsg` gives them.
    Kernel,
    /// A system log: only lines of the kernel count.
    Syslog,
}

const FILES: &[(&str, Form)] = &[
    ("/kmsg", Form::Kernel),
    ("/dmesg", Form::Kernel),
    ("/dmesg.txt", Form::Kernel),
    ("/dmesg.log", Form::Kernel),
    ("/var/log/dmesg.log", Form::Kernel),
    ("/journal-kernel.log", Form::Kernel),
    ("/journalctl-k.log", Form::Kernel),
    ("/var/log/kern.log", Form::Syslog),
    ("/kern.log", Form::Syslog),
    ("/var/log/messages", Form::Syslog),
    ("/var/log/syslog", Form::Syslog),
    // Written at boot only, so it is the last resort.
    ("/var/log/dmesg", Form::Kernel),
];

/// Reads the kernel log of a tree, or else of the folders of `logs` that were taken beside it.
/// `disks` are the names of the devices under etcd.
pub(super) fn read(
    root: &HostRoot,
    live: bool,
    boot: Option<Timestamp>,
    now: Option<Timestamp>,
    disks: &[String],
    logs: &[PathBuf],
) -> Got<KernelLog> {
    let mut why = None;
    // A loop device that holds no file now lies under nothing. A tree that was copied may just lack it.
    let gone = |name: &str| {
        live && begins(name, &["loop"], |rest| {
            rest.bytes().all(|b| b.is_ascii_digit())
        }) && root.exists("/sys/block")
            && !root.exists(format!("/sys/block/{name}/loop/backing_file"))
    };
    if live {
        match read_kmsg(root) {
            Ok(bytes) => {
                let form = Form::Kernel;
                return Ok(parse_beside(
                    "/dev/kmsg",
                    &bytes,
                    form,
                    boot,
                    now,
                    disks,
                    &gone,
                ));
            }
            Err(missing) => why = Some(missing),
        }
    }
    let beside = logs.iter().map(HostRoot::new);
    for root in std::iter::once(root.clone()).chain(beside) {
        for (path, form) in FILES {
            match tail(&root, path) {
                Ok(bytes) => {
                    return Ok(parse_beside(path, &bytes, *form, boot, now, disks, &gone));
                }
                Err(Missing::NotPresent { .. }) => {}
                Err(missing) => {
                    why.get_or_insert(missing);
                }
            }
        }
    }
    Err(why.unwrap_or(Missing::NotPresent {
        source: "kernel log".to_owned(),
    }))
}

/// Every record of the kernel's ring buffer, a line each. Reading takes nothing away from others.
fn read_kmsg(root: &HostRoot) -> Got<Vec<u8>> {
    const SOURCE: &str = "/dev/kmsg";
    let unreadable = |why: String| Missing::Unreadable {
        source: SOURCE.to_owned(),
        line: None,
        why,
    };
    // Opening and reading need different rights (dmesg_restrict), and a pipe under this name
    // would block: only the device will do.
    let mut file = root.open(SOURCE)?;
    let is_device = file
        .metadata()
        .is_ok_and(|meta| std::os::unix::fs::FileTypeExt::is_char_device(&meta.file_type()));
    if !is_device {
        return Err(unreadable("not a device".to_owned()));
    }
    rustix::fs::fcntl_setfl(&file, rustix::fs::OFlags::NONBLOCK)
        .map_err(|err| unreadable(err.to_string()))?;
    let mut all = Vec::new();
    // kernel/printk: a record is at most 1 KiB of text and its header.
    let mut record = [0u8; 8192];
    while (all.len() as u64) < TAIL {
        match file.read(&mut record) {
            Ok(0) => break,
            Ok(n) => all.extend_from_slice(record.get(..n).unwrap_or_default()),
            Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => break,
            // The record was overwritten meanwhile; the next read goes on after it.
            Err(err) if err.kind() == std::io::ErrorKind::BrokenPipe => {}
            Err(err) if err.kind() == std::io::ErrorKind::Interrupted => {}
            Err(err) if err.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(Missing::Denied {
                    source: SOURCE.to_owned(),
                });
            }
            Err(err) => return Err(unreadable(err.to_string())),
        }
    }
    Ok(all)
}

fn tail(root: &HostRoot, path: &str) -> Got<Vec<u8>> {
    let mut file = root.open(path)?;
    let meta = file.metadata();
    let is_file = meta.as_ref().is_ok_and(std::fs::Metadata::is_file);
    let len = meta.map_or(0, |meta| meta.len());
    let read = |file: &mut std::fs::File| {
        file.seek(SeekFrom::Start(len.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    let unreadable = |why: String| Missing::Unreadable {
        source: path.to_owned(),
        line: None,
        why,
    };
    if !is_file {
        return Err(unreadable("not a file".to_owned()));
    }
    read(&mut file).map_err(|err| unreadable(err.to_string()))
}

/// Sorts the lines of a kernel log into kinds.
pub fn parse(
    source: &str,
    bytes: &[u8],
    form: Form,
    boot: Option<Timestamp>,
    now: Option<Timestamp>,
    disks: &[String],
) -> KernelLog {
    parse_beside(source, bytes, form, boot, now, disks, &|_| false)
}

/// The same where of some devices it is known that nothing lies on them.
fn parse_beside(
    source: &str,
    bytes: &[u8],
    form: Form,
    boot: Option<Timestamp>,
    now: Option<Timestamp>,
    disks: &[String],
    gone: &dyn Fn(&str) -> bool,
) -> KernelLog {
    let mut log = KernelLog {
        source: source.to_owned(),
        ..KernelLog::default()
    };
    let bases: BTreeSet<&str> = disks.iter().map(|disk| base(disk)).collect();
    // Messages of an NVMe controller name it, not its name spaces: `nvme1` of `nvme1n1`.
    let controllers: BTreeSet<&str> = bases
        .iter()
        .filter(|disk| disk.starts_with("nvme"))
        .filter_map(|disk| disk.rsplit_once('n'))
        .map(|(controller, _)| controller)
        .collect();
    // Of a volume or a loop device alone it is not known which disk is below.
    let is_known = bases.iter().any(|disk| is_disk(disk));
    for line in bytes.split(|b| *b == b'\n') {
        if line.is_empty() {
            continue;
        }
        log.lines += 1;
        let has = |part: &str| memmem::find(line, part.as_bytes()).is_some();
        if form == Form::Syslog && !has("kernel:") && !has("\"kernel\"") {
            continue;
        }
        if HARMLESS.iter().any(|part| has(part)) {
            continue;
        }
        let found = KINDS
            .iter()
            .find(|(_, _, parts)| parts.iter().all(|part| has(part)));
        let Some((name, topic, _)) = found else {
            continue;
        };
        let at = time(line, boot, now);
        let is_old = at
            .zip(now)
            .is_some_and(|(at, now)| now.since_us(at) > RECENT_US);
        let kind = log.kinds.entry(name).or_insert(Kind {
            topic: *topic,
            count: 0,
            older: 0,
            on_etcd_disk: 0,
            elsewhere: 0,
            others: BTreeSet::new(),
            killed: BTreeMap::new(),
            killed_by_limit: BTreeMap::new(),
            last: None,
            example: String::new(),
        });
        if is_old {
            kind.older += 1;
        } else {
            kind.count += 1;
            if let Some(victim) = killed(line) {
                let names = match has("cgroup out of memory") {
                    true => &mut kind.killed_by_limit,
                    false => &mut kind.killed,
                };
                if names.len() < VICTIMS || names.contains_key(&victim) {
                    *names.entry(victim).or_default() += 1;
                }
            }
            let named = devices_in(line);
            if has("task etcd")
                || disks.iter().any(|disk| names(line, disk))
                || named.iter().any(|name| bases.contains(base(name)))
                || named.iter().any(|name| controllers.contains(name))
            {
                kind.on_etcd_disk += 1;
            } else if !named.is_empty()
                && (is_known || !bases.is_empty() && named.iter().all(|name| gone(name)))
            {
                kind.elsewhere += 1;
                let room = OTHERS.saturating_sub(kind.others.len());
                kind.others
                    .extend(named.iter().take(room).map(|name| base(name).to_owned()));
            }
        }
        if kind.last <= at {
            kind.last = at;
            kind.example = String::from_utf8_lossy(line)
                .chars()
                .filter(|c| !c.is_control())
                .take(EXAMPLE)
                .collect();
        }
    }
    log
}

/// Most names of other devices that are kept.
const OTHERS: usize = 8;
/// Most names of killed processes that are kept.
const VICTIMS: usize = 32;

/// The process that an OOM message names: `Killed process 31925 (etcd) total-vm:…`.
fn killed(line: &[u8]) -> Option<String> {
    let at = memmem::find(line, b"ill")?;
    let rest = line.get(at..)?;
    let at = memmem::find(rest, b" process ")?;
    let rest = String::from_utf8_lossy(rest.get(at + " process ".len()..)?);
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    // A thread names itself, so that the name may hold blanks and brackets.
    let (name, _) = rest.strip_prefix(" (")?.split_once(')')?;
    let name: String = name
        .chars()
        .filter(|c| !c.is_control() && *c != ',')
        .collect();
    (!name.is_empty()).then(|| name.chars().take(NAME).collect())
}

/// Longest name of a process that is kept; the kernel's own have 15 letters.
const NAME: usize = 32;

/// Beginnings of the names of disks that end in letters, and of those that end in a number.
const LETTERED: &[&str] = &["xvd", "dasd", "sd", "vd", "hd"];
const NUMBERED: &[&str] = &["nvme", "mmcblk", "nbd", "rbd", "zram", "pmem", "zd"];
/// Devices that lie on others.
const LAYERS: &[&str] = &["dm-", "md", "loop", "drbd", "bcache"];

/// Whether a name is that of a disk and not of a layer above one.
fn is_disk(name: &str) -> bool {
    begins(name, LETTERED, |rest| {
        rest.chars().all(|c| c.is_ascii_lowercase())
    }) || begins(name, NUMBERED, |rest| {
        rest.starts_with(|c: char| c.is_ascii_digit())
    })
}

fn begins(name: &str, with: &[&str], rest_is: impl Fn(&str) -> bool) -> bool {
    with.iter()
        .filter_map(|start| name.strip_prefix(start))
        .any(|rest| !rest.is_empty() && rest_is(rest))
}

/// The disk of a partition: `sda` of `sda1`, `nvme0n1` of `nvme0n1p2`.
fn base(name: &str) -> &str {
    let cut = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if begins(cut, LETTERED, |rest| {
        rest.chars().all(|c| c.is_ascii_lowercase())
    }) {
        return cut;
    }
    match cut.strip_suffix('p') {
        // `nvme0n1p2` and `mmcblk0p1`, not the `p` of a name without a partition.
        Some(disk) if cut != name && disk.ends_with(|c: char| c.is_ascii_digit()) => disk,
        _ => name,
    }
}

/// The block devices that a line names.
fn devices_in(line: &[u8]) -> Vec<&str> {
    line.split(|b| !b.is_ascii_alphanumeric() && *b != b'-')
        .filter_map(|word| std::str::from_utf8(word).ok())
        // `sdb1-8` is the journal of `sdb1`.
        .map(|word| match word.split_once('-') {
            Some((head, _)) if head != "dm" => head,
            _ => word,
        })
        .filter(|word| {
            is_disk(base(word))
                || begins(word, LAYERS, |rest| {
                    rest.bytes().all(|b| b.is_ascii_digit())
                })
        })
        .collect()
}

/// Whether a line names a device, as a whole word: `sda` or `sda1`, not `sdaa`.
fn names(line: &[u8], disk: &str) -> bool {
    memmem::find_iter(line, disk.as_bytes()).any(|at| {
        let before = at.checked_sub(1).and_then(|at| line.get(at));
        let rest = line.get(at + disk.len()..).unwrap_or_default();
        // A partition of the disk is the disk; `sda10` of `sda`, `nvme0n1p2` of `nvme0n1`.
        let digits = rest.strip_prefix(b"p").unwrap_or(rest);
        let after = digits.iter().find(|b| !b.is_ascii_digit());
        let ends_in_digit = disk.ends_with(|c: char| c.is_ascii_digit());
        let joined = ends_in_digit && rest.first().is_some_and(u8::is_ascii_digit);
        !before.is_some_and(u8::is_ascii_alphanumeric)
            && !after.is_some_and(u8::is_ascii_alphanumeric)
            && !joined
    })
}

/// When a line was written, as far as its form tells.
fn time(line: &[u8], boot: Option<Timestamp>, now: Option<Timestamp>) -> Option<Timestamp> {
    let head = String::from_utf8_lossy(line.get(..96.min(line.len()))?).into_owned();
    // `/dev/kmsg`: `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;text`.
    if let Some((header, _)) = head.split_once(';')
        && let [_, _, us, ..] = header.split(',').collect::<Vec<_>>().as_slice()
        && let Ok(us) = us.parse::<i64>()
    {
        return Some(boot?.add_us(us));
    }
    if let Some((_, rest)) = head.split_once('[')
        && head.starts_with(['[', '<'])
        && let Some((stamp, _)) = rest.split_once(']')
    {
        // Seconds since boot, or the date of `dmesg -T`.
        if let Ok(secs) = stamp.trim().parse::<f64>() {
            #[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
            return Some(boot?.add_us((secs * 1e6) as i64));
        }
        let date = jiff::civil::DateTime::strptime("%a %b %d %H:%M:%S %Y", stamp.trim()).ok()?;
        return Timestamp::parse(&date.to_string());
    }
    let first = head.split_ascii_whitespace().next()?;
    if let Some(at) = Timestamp::parse(first).filter(|_| first.contains('T')) {
        return Some(at);
    }
    // `Nov 21 20:38:05 host kernel: …`, without a year: the last such day before now.
    let now = now?;
    let stamp: Vec<&str> = head.split_ascii_whitespace().take(3).collect();
    let year: i32 = now.to_string().get(..4)?.parse().ok()?;
    [year, year - 1].into_iter().find_map(|year| {
        let text = format!("{year} {}", stamp.join(" "));
        let date = jiff::civil::DateTime::strptime("%Y %b %d %H:%M:%S", text).ok()?;
        let at = Timestamp::parse(&date.to_string())?;
        // The log may be in another time zone.
        (at.since_us(now) < RECENT_US).then_some(at)
    })
}

#[cfg(test)]
mod tests;
