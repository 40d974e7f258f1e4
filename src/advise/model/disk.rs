//! The disk under etcd: safety first, then a device that syncs in time. Never fewer syncs.
//!
//! Barriers and fsync are never traded for speed: without them acknowledged writes are lost in a
//! power cut, and a device with a protected or write-through cache gains nothing from it.

use std::collections::BTreeSet;

use crate::diagnosis::Cause;
use crate::evidence::{Row, Subject, keys};
use crate::rules::{Confidence, Finding, Severity};

use super::super::advice::{Advice, Disposition, Remedy, Strength};
use super::super::facts::{Facts, component_of, same_node};
use super::accused::{SLOW, accused};

/// Advice about data safety and about a disk that is too slow.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    let mut all = Vec::new();
    all.extend(read_only(facts));
    all.extend(barriers(facts));
    all.extend(no_fsync(facts));
    all.extend(io_errors(facts));
    // A file system that takes no writes is no slow one.
    let broken = facts.failed("filesystem-read-only").next().is_some();
    let slow = SLOW.iter().any(|rule| facts.ails(rule).is_some());
    if facts.has_cause(Cause::Disk) && (slow || !broken) {
        all.push(device(facts));
        all.extend(wal_device(facts));
        all.extend(neighbours(facts));
    }
    all
}

/// A mount under etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// Its node, where mounts of several were read.
    node: Option<String>,
    path: String,
    fs: String,
    options: String,
    device: String,
}

impl Place {
    /// `/var/lib/etcd`, or `/var/lib/etcd on cp1`.
    fn words(&self) -> String {
        format!("{}{}", self.path, self.on())
    }

    fn lost(&self) -> Lost {
        let has = |option: &str| self.options.split(',').any(|have| have.trim() == option);
        match self.fs.as_str() {
            "tmpfs" | "ramfs" => Lost::Memory,
            "overlay" if has("volatile") || has("fsync=volatile") => Lost::Volatile,
            "zfs" => Lost::Zfs,
            _ => Lost::Options,
        }
    }

    fn on(&self) -> String {
        self.node
            .as_ref()
            .map_or_else(String::new, |node| format!(" on {node}"))
    }
}

/// Why a mount loses what it acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lost {
    /// It is memory.
    Memory,
    /// An overlay that never syncs.
    Volatile,
    /// ZFS that answers before it wrote.
    Zfs,
    /// Its options, as far as is known.
    Options,
}

impl Lost {
    /// What to do about it.
    fn way(self) -> &'static str {
        match self {
            Lost::Memory => {
                "move the data directory from memory to a local disk: stop the member, copy the \
                 directory, set `--data-dir` (or mount the disk there) and start it"
            }
            Lost::Volatile => {
                "move the data directory out of the container's volatile layer: onto a volume or a \
                 directory of the host, on a local disk"
            }
            Lost::Zfs => {
                "let ZFS sync: `zfs set sync=standard DATASET`, and the module's parameter \
                 `zfs_nocacheflush` at 0"
            }
            Lost::Options => "mount with write barriers: remove `nobarrier` or `barrier=0`",
        }
    }
}

/// The mounts that a finding is about: those of its own etcd, else of its node. `bad` says which
/// rows are meant; without any it is the one of the data.
fn places(facts: &Facts<'_>, about: &Subject, bad: fn(&Row) -> bool) -> Vec<Place> {
    let all = facts.all(&keys::MOUNTS);
    let nodes: BTreeSet<&str> = all.iter().map(|(subject, _)| subject.node_name()).collect();
    let several = nodes.len() > 1;
    let own: Vec<_> = all.iter().filter(|(subject, _)| subject == about).collect();
    let tables = if own.is_empty() {
        let node = about.node_name();
        // Where several were read, a finding without a node is about none that is known.
        all.iter()
            .filter(|(subject, _)| match several {
                true => subject.node_name() == node,
                false => same_node(subject.node_name(), node),
            })
            .collect()
    } else {
        own
    };
    let mut places: Vec<Place> = Vec::new();
    for (subject, table) in tables {
        let mut rows: Vec<&Row> = table.rows.iter().filter(|row| bad(row)).collect();
        if rows.is_empty() {
            rows.extend(table.row("data").or_else(|| table.rows.first()));
        }
        for row in rows {
            let text = |column: &str| row.get_text(column).unwrap_or_default().to_owned();
            let place = Place {
                node: several.then(|| subject.node_name().to_owned()),
                path: text("mount"),
                fs: text("fs"),
                options: text("options"),
                device: text("device"),
            };
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    places
}

/// The same for several findings, each place once.
fn places_of<'f>(
    facts: &Facts<'_>,
    findings: impl IntoIterator<Item = &'f Finding>,
    bad: fn(&Row) -> bool,
) -> Vec<Place> {
    let mut all = Vec::new();
    for finding in findings {
        for place in places(facts, &finding.subject, bad) {
            if !all.contains(&place) {
                all.push(place);
            }
        }
    }
    all
}

/// Distinct texts in their order.
fn joined(texts: impl IntoIterator<Item = String>, with: &str) -> String {
    let mut all: Vec<String> = Vec::new();
    for text in texts {
        if !all.contains(&text) {
            all.push(text);
        }
    }
    all.join(with)
}

fn targets(findings: &[&Finding]) -> String {
    joined(findings.iter().map(|found| found.subject.to_string()), ", ")
}

fn messages(findings: &[&Finding]) -> String {
    joined(findings.iter().map(|found| found.message.clone()), "; ")
}

/// A file system that takes no writes: what stopped them comes first, a remount never.
fn read_only(facts: &Facts<'_>) -> Option<Advice> {
    let findings: Vec<&Finding> = facts.failed("filesystem-read-only").collect();
    let sure = findings
        .iter()
        .map(|found| found.confidence)
        .max()
        .filter(|_| !findings.is_empty())?;
    let bad = |row: &Row| row.get_text("read_only").is_some_and(|how| how != "no");
    let places = places_of(facts, findings.iter().copied(), bad);
    let target = match places.is_empty() {
        true => targets(&findings),
        false => joined(places.iter().map(Place::words), ", "),
    };
    let mut advice = Advice::new(
        "read-only-filesystem",
        Remedy::Safety,
        target,
        "file system",
    );
    advice.now = Some(joined(places.into_iter().map(|place| place.options), "; "))
        .filter(|options| !options.is_empty());
    advice.proposed = "look in the kernel log for what stopped the writes (`dmesg`), and take a \
                       snapshot from another member; then replace the device and the member, or, \
                       where the device is sound, stop etcd, unmount and `fsck` before it is mounted \
                       again"
        .to_owned();
    advice.why = messages(&findings);
    advice.effect = "the member writes its WAL again, on a file system that is whole".to_owned();
    advice.confidence = sure;
    advice.risk = "a forced remount on top of an aborted journal can lose what is still whole; \
                   replacing a member is a membership change: keep a majority healthy"
        .to_owned();
    advice.undo = "restore the snapshot".to_owned();
    advice.verify =
        "`findmnt -no VFS-OPTIONS,FS-OPTIONS -T` of the data directory shows `rw` twice \
                     and no `emergency_ro`, and etcd stays up"
            .to_owned();
    advice.finding_ids = vec!["filesystem-read-only".to_owned()];
    advice.source = "Linux Documentation/admin-guide/ext4.rst: errors=remount-ro; etcd disaster \
                     recovery guide"
        .to_owned();
    Some(advice)
}

fn barriers(facts: &Facts<'_>) -> Option<Advice> {
    let findings: Vec<&Finding> = facts.failed("write-barriers-off").collect();
    if findings.is_empty() {
        return None;
    }
    let off = |row: &Row| row.get_text("barrier") == Some("off");
    let places = places_of(facts, findings.iter().copied(), off);
    let target = match places.is_empty() {
        true => "the mount under etcd's data".to_owned(),
        false => joined(places.iter().map(Place::words), ", "),
    };
    let mut advice = Advice::new("mount-barriers", Remedy::Safety, target, "mount options");
    advice.now = Some(joined(
        places.iter().map(|place| place.options.clone()),
        "; ",
    ))
    .filter(|options| !options.is_empty());
    let lost: BTreeSet<Lost> = places.iter().map(Place::lost).collect();
    // Without a mount that was read the options are the first to look at.
    let options = lost.is_empty() || lost.contains(&Lost::Options);
    let mut ways: Vec<&str> = lost.iter().map(|lost| lost.way()).collect();
    if lost.is_empty() {
        ways.push(Lost::Options.way());
    }
    advice.proposed = ways.join("; ");
    advice.why = messages(&findings);
    advice.effect = "an acknowledged write is on stable media again; syncs cost what the device's \
                     flush costs"
        .to_owned();
    advice.confidence = Confidence::High;
    advice.risk = "writes may get slower: if they do, the device is too slow for etcd, and the \
                   remedy is another device, not fewer flushes"
        .to_owned();
    advice.undo = "none is advised".to_owned();
    if !options {
        advice.setting = "file system".to_owned();
        advice.disposition = Disposition::Disruptive;
        advice.risk = format!(
            "{}; etcd stops meanwhile: one member at a time, the leader last, and a snapshot first",
            advice.risk
        );
        advice.verify = format!(
            "`findmnt -no FSTYPE,SOURCE,OPTIONS -T` of the data directory shows a file system on a \
             local disk{}",
            if lost.contains(&Lost::Zfs) {
                ", and `zfs get sync` of the dataset `standard`"
            } else {
                ""
            }
        );
        advice.finding_ids = vec!["write-barriers-off".to_owned()];
        advice.source = "etcd docs, \"Hardware recommendations\"; Linux \
                         Documentation/filesystems/tmpfs.rst and overlayfs.rst; zfsprops(7)"
            .to_owned();
        return Some(advice);
    }
    let looks = match places.is_empty() {
        true => "`findmnt -no OPTIONS -T` of the data directory".to_owned(),
        false => joined(
            places
                .iter()
                .map(|place| format!("`findmnt -no OPTIONS {}`{}", place.path, place.on())),
            " and ",
        ),
    };
    advice.verify = format!(
        "{looks} shows neither `nobarrier` nor `barrier=0`{}",
        if places.iter().any(|place| place.fs == "ext4") {
            "; `mount -o remount,barrier=1` switches a live ext4 back, /etc/fstab keeps it so"
        } else {
            ""
        }
    );
    advice.finding_ids = vec!["write-barriers-off".to_owned()];
    advice.source = "Linux Documentation/admin-guide/ext4.rst: barriers may be off only with \
                     battery-backed disks"
        .to_owned();
    Some(advice)
}

fn no_fsync(facts: &Facts<'_>) -> Option<Advice> {
    let finding = facts.failed("unsafe-no-fsync").next()?;
    let mut advice = Advice::new("unsafe-no-fsync", Remedy::Safety, "etcd", "unsafe-no-fsync");
    advice.now = facts
        .setting("etcd", "unsafe-no-fsync", None)
        .map(|c| c.words());
    advice.proposed = "remove the flag".to_owned();
    advice = advice.detail("remove", "unsafe-no-fsync");
    advice.why = finding.message.clone();
    advice.effect = "acknowledged writes survive a crash again".to_owned();
    advice.confidence = Confidence::High;
    advice.risk = "writes wait for the disk again; restarts the member: one at a time, the leader \
                   last"
        .to_owned();
    advice.undo = "none is advised".to_owned();
    advice.verify = "etcd's command line no longer has the flag".to_owned();
    advice.disposition = Disposition::Disruptive;
    advice.finding_ids = vec!["unsafe-no-fsync".to_owned()];
    advice.source = "etcd --help: unsafe, will cause data loss".to_owned();
    Some(advice)
}

fn io_errors(facts: &Facts<'_>) -> Option<Advice> {
    // What is said of another device is a note, and no reason to touch etcd's.
    let findings: Vec<&Finding> = facts
        .failed("kernel-io-errors")
        .filter(|found| found.severity == Severity::Critical)
        .collect();
    let own: Vec<&Finding> = findings
        .iter()
        .copied()
        .filter(|found| found.confidence > Confidence::Low)
        .collect();
    let is_own = !own.is_empty();
    let findings = if is_own { own } else { findings };
    if findings.is_empty() {
        return None;
    }
    let mut advice = Advice::new(
        "replace-device",
        Remedy::Safety,
        targets(&findings),
        "device",
    );
    advice.proposed = "take a snapshot of etcd now, then replace the device; move the member off \
                       it rather than repair it"
        .to_owned();
    advice.why = messages(&findings);
    advice.confidence = Confidence::High;
    if !is_own {
        advice.strength = Strength::Candidate;
        advice.confidence = Confidence::Low;
        advice.proposed = "take a snapshot of etcd now, and compare the device in the kernel's \
                           messages with the one under etcd (`findmnt -nvo SOURCE -T` of the data \
                           directory, then `lsblk -s` of that); only when they are one, replace it"
            .to_owned();
    }
    advice.effect = "no more failing reads and writes under etcd".to_owned();
    advice.risk = "replacing a member is a membership change: keep a majority healthy".to_owned();
    advice.undo = "restore the snapshot".to_owned();
    advice.verify = "the kernel log has no new I/O error".to_owned();
    advice.finding_ids = vec!["kernel-io-errors".to_owned()];
    advice.source = "etcd disaster recovery guide".to_owned();
    Some(advice)
}

/// Which etcd's disk is accused: the one for events where it is the only one.
fn etcd_of(accused: &[&Subject]) -> &'static str {
    const EVENTS: &str = "etcd-events";
    let mut named = accused
        .iter()
        .map(|subject| component_of(subject).0)
        .filter(|name| name == "etcd" || name.starts_with("etcd-"))
        .peekable();
    let only_events = named.peek().is_some() && named.all(|name| name == EVENTS);
    if only_events { EVENTS } else { "etcd" }
}

fn device(facts: &Facts<'_>) -> Advice {
    let accused = accused(facts);
    let mut now = Vec::new();
    for subject in &accused {
        for place in places(facts, subject, |row| row.key == "data") {
            if !now.contains(&place) {
                now.push(place);
            }
        }
    }
    let why: Vec<String> = SLOW
        .iter()
        .filter_map(|rule| {
            // What is said of the node that the diagnosis names, where anything is.
            let first = accused.first().map_or("", |subject| subject.node_name());
            facts
                .failed(rule)
                .find(|finding| same_node(finding.subject.node_name(), first))
                .or_else(|| facts.ails(rule))
        })
        .map(|finding| finding.message.clone())
        .take(3)
        .collect();
    let target = etcd_of(&accused);
    let mut advice = Advice::new("etcd-own-device", Remedy::Disk, target, "data-dir device");
    advice.now = (!now.is_empty()).then(|| {
        joined(
            now.iter().map(|place| {
                let Place {
                    path, fs, device, ..
                } = place;
                format!("{path} ({fs} on {device}){}", place.on())
            }),
            ", ",
        )
    });
    advice.proposed = "a low-latency SSD or NVMe of etcd's own, or a provisioned disk with at \
                       least 3000 IOPS that nothing else uses"
        .to_owned();
    let layers = slow_layers(facts);
    if !layers.is_empty() {
        advice.proposed = format!(
            "first see what slows {layers} over a disk that is not slow (`dmsetup status`, \
             /proc/mdstat: a snapshot, a full thin pool, a rebuild, a limit); then {}",
            advice.proposed
        );
    }
    advice.why = if why.is_empty() {
        "the diagnosis blames the disk under etcd".to_owned()
    } else {
        why.join("; ")
    };
    advice.effect = format!(
        "WAL syncs within {}: heartbeats, commits and linearizable reads no longer wait for the \
         disk",
        facts.input.profile.limit("wal-fsync-p99").text
    );
    advice.confidence = Confidence::High;
    advice.risk = "moving a member's data stops that member: one at a time, the leader last, with \
                   a snapshot at hand. A local SSD of a virtual machine is gone with the machine."
        .to_owned();
    advice.undo = "move the data directory back, or rejoin the member with an empty one".to_owned();
    advice.verify = "`etcd-doctor bench disk` on the new device before the move, and \
                     `etcd_disk_wal_fsync_duration_seconds` p99 after it"
        .to_owned();
    advice.finding_ids = facts.grounds(SLOW, Cause::Disk);
    advice.source =
        "etcd hardware guide: 50 sequential IOPS at the least, 500 under load, and the \
                     FAQ's 10 ms for a sync"
            .to_owned();
    advice
}

/// Layers whose writes are slow although those of the disks under them are not known to be.
fn slow_layers(facts: &Facts<'_>) -> String {
    let slow: Vec<&Finding> = ["device-flush-slow", "device-write-slow"]
        .iter()
        .flat_map(|rule| facts.failed(rule))
        .collect();
    let mut layers: BTreeSet<String> = BTreeSet::new();
    for (disk, above) in facts.all(&keys::DEVICE_ABOVE) {
        if slow.iter().any(|finding| finding.subject == disk) {
            continue;
        }
        for row in &above.rows {
            let layer = Subject {
                name: row.key.clone(),
                ..disk.clone()
            };
            if slow.iter().any(|finding| finding.subject == layer) {
                layers.insert(layer.name);
            }
        }
    }
    layers.into_iter().collect::<Vec<_>>().join(", ")
}

fn wal_device(facts: &Facts<'_>) -> Option<Advice> {
    // Only where the backend's commits and the WAL's syncs are seen to meet on one device, which
    // two members never share.
    let both = facts.failed("backend-commit-slow").any(|commit| {
        facts
            .failed("wal-fsync-slow")
            .chain(facts.failed("disk-shared"))
            .any(|sync| same_node(sync.subject.node_name(), commit.subject.node_name()))
    });
    let set = facts
        .setting("etcd", "wal-dir", None)
        .is_some_and(|current| current.texts().any(|text| !text.is_empty()));
    if !both || set {
        return None;
    }
    let mut advice = Advice::new("etcd-wal-device", Remedy::Disk, "etcd", "wal-dir");
    advice.strength = Strength::Candidate;
    advice.now = facts
        .settings_read("etcd")
        .then(|| "inside the data directory".to_owned());
    advice.proposed = "a directory on a second device of its own".to_owned();
    advice.why =
        "WAL syncs and backend commits are both slow, and each flush of one waits for the \
                  writes of the other"
            .to_owned();
    advice.effect = "WAL syncs no longer queue behind the backend's pages".to_owned();
    advice.risk = "the WAL must be moved with the member stopped; losing either device loses the \
                   member"
        .to_owned();
    advice.undo = "stop the member, move the WAL back, remove the flag".to_owned();
    advice.verify =
        "`etcd_disk_wal_fsync_duration_seconds` p99 falls while commits stay".to_owned();
    advice.finding_ids = facts.failing(&["wal-fsync-slow", "backend-commit-slow", "disk-shared"]);
    advice.source = "etcd configuration: --wal-dir, a dedicated WAL directory".to_owned();
    Some(advice)
}

fn neighbours(facts: &Facts<'_>) -> Option<Advice> {
    let findings: Vec<&Finding> = facts.failed("disk-shared").collect();
    if findings.is_empty() {
        return None;
    }
    let mut advice = Advice::new(
        "disk-neighbours",
        Remedy::Disk,
        targets(&findings),
        "other writers",
    );
    advice.proposed = "move logs, images and other writers to another device; until then give \
                       etcd the best I/O class (`ionice -c2 -n0 -p PID`)"
        .to_owned();
    advice.why = messages(&findings);
    advice.effect = "etcd's syncs no longer wait behind the writes of others".to_owned();
    advice.risk = "the I/O class acts only under the BFQ scheduler; with none or mq-deadline it \
                   changes nothing"
        .to_owned();
    advice.undo = "`ionice -c0 -p PID`".to_owned();
    advice.verify =
        "the device's share of time busy falls, and with it the WAL sync time".to_owned();
    advice.finding_ids = vec!["disk-shared".to_owned()];
    advice.source = "etcd tuning guide: disk priority".to_owned();
    Some(advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::testing::Plane;
    use crate::evidence::SubjectKind;
    use crate::rules::testing::table;

    #[test]
    fn a_slow_layer_is_looked_at_before_its_disk_is_replaced() {
        let device = |name: &str| Subject::new(SubjectKind::Device, name).on("cp0");
        let with = |slow: &[&str]| {
            let above = table(&[("dm-0", &[("writes", 900.0), ("max_write_mean_ms", 45.0)])]);
            let mut plane = Plane::with(Cause::Disk).put(&keys::DEVICE_ABOVE, device("sda"), above);
            for name in slow {
                plane = plane.fails("device-write-slow", device(name), Severity::Warn);
            }
            let all = plane.advice();
            let own = all.iter().find(|one| one.id == "etcd-own-device").unwrap();
            own.proposed.clone()
        };
        assert!(with(&["dm-0"]).starts_with("first see what slows dm-0"));
        // The disk's own slowness is in its layers' times.
        assert!(with(&["dm-0", "sda"]).starts_with("a low-latency SSD"));
    }
}
