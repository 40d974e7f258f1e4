//! `bench disk` beside a live etcd: watches and writes nothing; with `--write`, a careful probe
//! under a guard.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::bench::disk::observe::{self, guard, probe};
use crate::bench::disk::{RealDisk, SystemTime, Terms, WorkDir, faults};
use crate::bench::{Cancel, Progress};
use crate::cli::etcd_access::EtcdArgs;
use crate::error::Error;
use crate::exit::Exit;
use crate::formats::bench::observe::{Observed, Probe};
use crate::render;
use crate::sys;
use crate::target::HostRoot;

use super::super::common::{Format, Session};
use super::host::volume_page;
use super::hurry::{self, Dirs};
use super::live::{LiveEtcd, Node};

/// How etcd is watched before something is written.
const BASELINE: Duration = Duration::from_secs(5);
/// The probe's file, and its directory.
const PROBE_NEEDS: u64 = 8 << 20;

/// Arguments of observe mode.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Beside a live etcd")]
pub struct ObserveArgs {
    /// How long to watch, and how long to probe with --write (at most 60s)
    #[arg(long = "for", value_name = "TIME", default_value = "20s", value_parser = super::super::metrics::parse_window)]
    pub time: Duration,
    /// Time each sync of etcd in the kernel: exact histograms of WAL and database (root)
    #[arg(long)]
    pub trace: bool,
    /// Also write small records, at most 20 a second, while etcd is watched
    #[arg(long)]
    pub write: bool,
    /// Run the full bench although a live etcd uses the disk; it is slowed while that runs
    #[arg(long, conflicts_with_all = ["write", "trace"])]
    pub i_know_etcd_is_live: bool,
    /// Allow a directory beside `member` where the data directory is a mount of its own
    #[arg(long)]
    pub in_data_dir: bool,
    /// Know of no etcd but these processes; several test runs share one machine
    #[arg(long, value_name = "PID", hide = true)]
    pub only_etcd: Vec<u32>,
    /// Leave this much free in place of the rule; for tests on machines that are nearly full
    #[arg(long, value_name = "SIZE", hide = true, value_parser = free)]
    pub leave_free: Option<u64>,
}

fn free(text: &str) -> Result<u64, String> {
    crate::units::parse_bytes(text).ok_or_else(|| format!("`{text}` is not a size"))
}

/// Watches these etcds.
pub(super) fn run(
    node: &Node,
    etcds: &[LiveEtcd],
    dir: Option<&Path>,
    args: &ObserveArgs,
    access: &EtcdArgs,
    progress: &dyn Progress,
    session: &mut Session<'_>,
) -> Result<Exit, Error> {
    let second_signal = hurry::catch(session)?;
    let mut devices = Vec::new();
    for disk in etcds.iter().flat_map(LiveEtcd::disks) {
        if !devices.contains(disk) {
            devices.push(disk.clone());
        }
    }
    let plan = observe::Plan {
        subjects: etcds
            .iter()
            .map(|etcd| node.subject(etcd, access))
            .collect(),
        devices,
        time: args.time,
        trace: args.trace,
    };
    let cancel = Cancel::on(Arc::clone(&session.stop));
    let root = HostRoot::live();
    let mut seen = observe::run(&plan, &root, &volume_page, &cancel, progress, session.clock);
    let mut exit = Exit::Clean;
    if args.write && !cancel.stopped() {
        let place = (dir, &second_signal);
        match write(node, etcds, place, args, access, &cancel, progress) {
            Ok(probe) => {
                if probe.aborted.is_some() {
                    exit = Exit::Findings;
                }
                seen.probe = Some(probe);
            }
            Err(why) => {
                seen.doubts.push(format!("nothing was written: {why}"));
                exit = Exit::Incomplete;
            }
        }
    }
    if args.trace && seen.etcds.iter().any(|etcd| etcd.trace.is_none()) {
        exit = exit.max(Exit::Incomplete);
    }
    // What was asked for by name is no longer there to be watched.
    if seen.etcds.iter().any(|etcd| etcd.ended) {
        exit = exit.max(Exit::Incomplete);
    }
    print(&seen, session)?;
    Ok(session.stopped().unwrap_or(exit))
}

fn print(seen: &Observed, session: &mut Session<'_>) -> Result<(), Error> {
    match session.format {
        Format::Json => session.json(seen),
        Format::Table => Ok(render::observed(session.out, session.terminal, seen)?),
    }
}

/// Probes under the guard; the reason where it may not or cannot.
fn write(
    node: &Node,
    etcds: &[LiveEtcd],
    (dir, second_signal): (Option<&Path>, &Dirs),
    args: &ObserveArgs,
    access: &EtcdArgs,
    cancel: &Cancel,
    progress: &dyn Progress,
) -> Result<Probe, String> {
    // The etcd that suffers most shows it: on one disk all of them do.
    let etcd = etcds.first().ok_or("no etcd runs here")?;
    // Somebody must be able to see that it hurts, before anything is made.
    let eyes = node
        .eyes(etcd, access)
        .map_err(|why| format!("the guard cannot see how {} fares: {why}", etcd.words()))?;
    let dir = match dir {
        Some(dir) => dir.to_owned(),
        None => beside(etcd).ok_or("no directory on etcd's disk is known; --dir names one")?,
    };
    let in_data_dir = args.in_data_dir;
    let work = WorkDir::create(
        &dir,
        &Terms {
            floor_bytes: args.leave_free,
            ..node.terms(PROBE_NEEDS, in_data_dir)
        },
    )
    .map_err(|refused| format!("{refused} ({})", refused.hint()))?;
    second_signal.add(work.path());
    let disk = RealDisk::open(work.path()).map_err(|err| faults::words(&err))?;
    let time = SystemTime::new();
    let secs = args.time.as_secs_f64().min(probe::MOST_SECS);
    progress.at(
        "learning what is usual for etcd",
        secs + BASELINE.as_secs_f64(),
    );
    let mut io_class = "none".to_owned();
    let ((mut found, error), watched) = guard::under(&*eyes.vitals, BASELINE, cancel, || {
        progress.at("probing", secs);
        // It waits behind etcd where the I/O scheduler knows classes (BFQ, mq-deadline).
        match sys::set_ioprio(2, 7) {
            Ok(()) => "best-effort 7".clone_into(&mut io_class),
            Err(err) => io_class = format!("unchanged: {err}"),
        }
        probe::run(&disk, &time, secs, cancel)
    })?;
    found.dir = dir.display().to_string();
    found.io_class = io_class;
    eyes.by.clone_into(&mut found.guarded_by);
    found.etcd_before_us = watched.before_us;
    found.etcd_during_us = watched.during_us;
    found.aborted = watched.aborted.or_else(|| {
        let err = error?;
        Some(format!("the probe ended early: {}", faults::words(&err)))
    });
    Ok(found)
}

/// A directory on the WAL's file system and outside of the data directory.
fn beside(etcd: &LiveEtcd) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    let device = |path: &Path| std::fs::metadata(path).map(|meta| meta.dev()).ok();
    let wal = etcd.wal_dir.as_ref().map(PathBuf::from)?;
    let data = etcd.data_dir.as_ref().map(PathBuf::from)?;
    let up = if wal.starts_with(&data) {
        data.parent()?
    } else {
        wal.parent()?
    };
    (device(up)? == device(&wal)?).then(|| up.to_owned())
}
