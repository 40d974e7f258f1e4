//! The disk under etcd: safety first, then a device that syncs in time. Never fewer syncs.
//!
//! Barriers and fsync are never traded for speed: without them acknowledged writes are lost in a
//! power cut, and a device with a protected or write-through cache gains nothing from it.

use crate::diagnosis::Cause;
use crate::evidence::keys;
use crate::rules::Confidence;

use super::super::advice::{Advice, Disposition, Remedy, Strength};
use super::super::facts::Facts;

/// Findings about the disk, the strongest first.
const SLOW: &[&str] = &[
    "wal-sync-stalled",
    "device-flush-slow",
    "wal-fsync-slow",
    "backend-commit-slow",
    "disk-shared",
    "filesystem-unsuited",
];

/// Advice about data safety and about a disk that is too slow.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    let mut all = Vec::new();
    all.extend(barriers(facts));
    all.extend(no_fsync(facts));
    all.extend(io_errors(facts));
    if facts.has_cause(Cause::Disk) {
        all.push(device(facts));
        all.extend(wal_device(facts));
        all.extend(neighbours(facts));
    }
    all
}

fn mount(facts: &Facts<'_>) -> Option<(String, String, String, String)> {
    facts.all(&keys::MOUNTS).iter().find_map(|(_, table)| {
        let row = table.row("data").or_else(|| table.rows.first())?;
        let text = |column: &str| row.get_text(column).unwrap_or_default().to_owned();
        Some((text("mount"), text("fs"), text("options"), text("device")))
    })
}

fn barriers(facts: &Facts<'_>) -> Option<Advice> {
    let finding = facts.failed("write-barriers-off").next()?;
    let place = mount(facts);
    let (path, fs) = place
        .as_ref()
        .map_or(("the mount under etcd's data", ""), |(mount, fs, ..)| {
            (mount.as_str(), fs.as_str())
        });
    let mut advice = Advice::new("mount-barriers", Remedy::Safety, path, "mount options");
    advice.now = place
        .as_ref()
        .map(|(_, _, options, _)| options.clone())
        .filter(|o| !o.is_empty());
    advice.proposed = "mount with write barriers: remove `nobarrier` or `barrier=0`".to_owned();
    advice.why = finding.message.clone();
    advice.effect = "an acknowledged write is on stable media again; syncs cost what the device's \
                     flush costs"
        .to_owned();
    advice.confidence = Confidence::High;
    advice.risk = "writes may get slower: if they do, the device is too slow for etcd, and the \
                   remedy is another device, not fewer flushes"
        .to_owned();
    advice.undo = "none is advised".to_owned();
    advice.verify = format!(
        "`findmnt -no OPTIONS {path}` shows neither `nobarrier` nor `barrier=0`{}",
        if fs == "ext4" {
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
    let finding = facts.failed("kernel-io-errors").next()?;
    let mut advice = Advice::new(
        "replace-device",
        Remedy::Safety,
        finding.subject.to_string(),
        "device",
    );
    advice.proposed = "take a snapshot of etcd now, then replace the device; move the member off \
                       it rather than repair it"
        .to_owned();
    advice.why = finding.message.clone();
    advice.effect = "no more failing reads and writes under etcd".to_owned();
    advice.confidence = Confidence::High;
    advice.risk = "replacing a member is a membership change: keep a majority healthy".to_owned();
    advice.undo = "restore the snapshot".to_owned();
    advice.verify = "the kernel log has no new I/O error".to_owned();
    advice.finding_ids = vec!["kernel-io-errors".to_owned()];
    advice.source = "etcd disaster recovery guide".to_owned();
    Some(advice)
}

fn device(facts: &Facts<'_>) -> Advice {
    let place = mount(facts);
    let why: Vec<String> = SLOW
        .iter()
        .filter_map(|rule| facts.failed(rule).next())
        .map(|finding| finding.message.clone())
        .take(3)
        .collect();
    let mut advice = Advice::new("etcd-own-device", Remedy::Disk, "etcd", "data-dir device");
    advice.now = place.map(|(mount, fs, _, device)| format!("{mount} ({fs} on {device})"));
    advice.proposed = "a low-latency SSD or NVMe of etcd's own, or a provisioned disk with at \
                       least 3000 IOPS that nothing else uses"
        .to_owned();
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

fn wal_device(facts: &Facts<'_>) -> Option<Advice> {
    // Only where the backend's commits and the WAL's syncs are seen to meet on one device.
    let both = facts.failed("backend-commit-slow").next().is_some()
        && (facts.failed("wal-fsync-slow").next().is_some()
            || facts.failed("disk-shared").next().is_some());
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
    let finding = facts.failed("disk-shared").next()?;
    let mut advice = Advice::new(
        "disk-neighbours",
        Remedy::Disk,
        finding.subject.to_string(),
        "other writers",
    );
    advice.proposed = "move logs, images and other writers to another device; until then give \
                       etcd the best I/O class (`ionice -c2 -n0 -p PID`)"
        .to_owned();
    advice.why = finding.message.clone();
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
