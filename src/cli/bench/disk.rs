//! `bench disk`: the emulators of etcd's WAL and commits beside a directory.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;

use crate::bench::disk::observe::guard;
use crate::bench::disk::plan;
use crate::bench::disk::run::{Context, run as run_plan};
use crate::bench::disk::watch::Watch;
use crate::bench::disk::{Host, RealDisk, Refused, Rig, SystemTime, Terms, WorkDir};
use crate::bench::{Cancel, Progress};
use crate::cli::etcd_access::EtcdArgs;
use crate::error::Error;
use crate::exit::Exit;
use crate::formats::bench::disk::{Arrivals, Ground, Growth, Plan, PlanName, Records};
use crate::host::filesystem::is_memory;
use crate::target::HostRoot;

use super::super::common::Session;
use super::host::Live;
use super::hurry;
use super::live::{LiveEtcd, Node};
use super::observe::{self, ObserveArgs};
use super::outcome::OutcomeArgs;
use super::power_cut::{self, PowerCut};
use super::replay;

/// How long and how thoroughly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Thorough {
    /// 20 to 35 s: barriers, what a sync costs, one load
    #[default]
    Quick,
    /// About 2 min: also the fsync curve, commits against WAL, a limit of throughput
    Standard,
    /// About 30 min: as standard, with long rounds
    Soak,
}

/// How the database file grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Grows {
    /// etcd up to 3.4.23 and 3.5.7: pages are written past the end
    Bbolt136,
    /// Later: 16 MiB at once, with an fsync inside the commit
    #[default]
    Bbolt137,
}

/// Arguments of `bench disk`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Where to write; a directory of its own is made in there and removed at the end
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Write the WAL here, to compare two devices
    #[arg(long, value_name = "DIR", conflicts_with = "dir")]
    pub wal_dir: Option<PathBuf>,
    /// Write the database here; by default beside the WAL
    #[arg(long, value_name = "DIR")]
    pub db_dir: Option<PathBuf>,
    /// How long and how thoroughly
    #[arg(long, value_enum, default_value_t, value_name = "PLAN")]
    pub plan: Thorough,
    /// What is written: put256, lease, k8s, fio, large, or bytes of one record
    #[arg(long, value_name = "NAME|BYTES", default_value = "k8s", value_parser = plan::records, help_heading = "Load")]
    pub profile: Records,
    /// Records per second, whether the disk keeps up or not (open loop)
    #[arg(long, value_name = "N", default_value_t = 500.0, value_parser = rate, help_heading = "Load")]
    pub rate: f64,
    /// Let records arrive at random times with that mean rate
    #[arg(long, help_heading = "Load")]
    pub poisson: bool,
    /// So many clients that wait for their answer (closed loop), in place of a rate
    #[arg(long, value_name = "N", conflicts_with_all = ["rate", "poisson"], value_parser = clap::value_parser!(u32).range(1..=4096), help_heading = "Load")]
    pub clients: Option<u32>,
    /// One client, one record after the other: the same as --clients 1
    #[arg(long, conflicts_with_all = ["rate", "poisson", "clients"], help_heading = "Load")]
    pub closed: bool,
    /// Write the WAL only, no commits
    #[arg(long, help_heading = "Load")]
    pub wal_only: bool,
    /// How the database file grows
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "HOW",
        help_heading = "Load"
    )]
    pub growth: Grows,
    /// Fill the database to this size first
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = size, help_heading = "Load")]
    pub db_prefill: u64,
    /// Let commits rewrite pages of the filled database, as after a compaction
    #[arg(long, requires = "db_prefill", help_heading = "Load")]
    pub db_steady: bool,
    /// Length of a WAL segment in MB, at least 8; etcd's is 64
    #[arg(long, value_name = "MB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(8..=1024), help_heading = "Load")]
    pub segment_mb: u64,
    /// Measure on a network file system or one in user space all the same; never fit for etcd
    #[arg(long)]
    pub allow_network_fs: bool,
    /// Write records without checksums
    #[arg(long, help_heading = "Load")]
    pub no_crc: bool,
    /// Limits and where the result goes
    #[command(flatten)]
    pub outcome: OutcomeArgs,
    /// Replay these segments of a real WAL (copies) in place of a made load
    #[arg(long, value_name = "FILE.wal", num_args = 1.., requires = "dir", help_heading = "Load")]
    pub replay: Vec<PathBuf>,
    /// Entries per second of a replay
    #[arg(long, value_name = "N", requires = "replay", value_parser = rate, help_heading = "Load")]
    pub replay_rate: Option<f64>,
    /// Beside a live etcd
    #[command(flatten)]
    pub observe: ObserveArgs,
    /// Its metrics
    #[command(flatten)]
    pub etcd: EtcdArgs,
    /// A check with a real power cut
    #[command(subcommand)]
    pub power_cut: Option<PowerCut>,
}

fn rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate: &f64| (0.1..=1e6).contains(rate))
        .ok_or_else(|| {
            format!("`{text}` is not a number of records per second from 0.1 to 1000000")
        })
}

fn size(text: &str) -> Result<u64, String> {
    crate::units::parse_bytes(text)
        .filter(|bytes| *bytes <= 64 << 30)
        .ok_or_else(|| format!("`{text}` is not a size up to 64GiB, such as 500MB"))
}

impl Args {
    /// The plan that is asked for, in these directories.
    fn plan(&self, wal_dir: &std::path::Path) -> Plan {
        let name = match self.plan {
            Thorough::Quick => PlanName::Quick,
            Thorough::Standard => PlanName::Standard,
            Thorough::Soak => PlanName::Soak,
        };
        let arrivals = if self.closed {
            Arrivals::Clients { clients: 1 }
        } else if let Some(clients) = self.clients {
            Arrivals::Clients { clients }
        } else if self.poisson {
            Arrivals::Poisson { per_sec: self.rate }
        } else {
            Arrivals::Constant { per_sec: self.rate }
        };
        Plan {
            wal_dir: wal_dir.display().to_string(),
            db_dir: self.db_dir.as_ref().map(|dir| dir.display().to_string()),
            records: self.profile.clone(),
            arrivals,
            wal_only: self.wal_only,
            segment_bytes: self.segment_mb * 1_000_000,
            crc: !self.no_crc,
            growth: match self.growth {
                Grows::Bbolt136 => Growth::Bbolt136,
                Grows::Bbolt137 => Growth::Bbolt137,
            },
            db_prefill_bytes: self.db_prefill,
            db_steady: self.db_steady,
            ..plan::named(name)
        }
    }
}

/// One line on standard error that says how far it is; nothing when that is no terminal.
pub(super) struct Line {
    on: bool,
}

impl Line {
    /// On a terminal, or silent.
    pub(super) fn new(on: bool) -> Self {
        Line { on }
    }
}

impl Progress for Line {
    fn at(&self, part: &str, left_secs: f64) {
        if self.on {
            let mut err = std::io::stderr().lock();
            write!(err, "\r\u{1b}[K{part}; {left_secs:.0} s left").ok();
            err.flush().ok();
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.on {
            write!(std::io::stderr(), "\r\u{1b}[K").ok();
        }
    }
}

/// Runs the bench that is safe on this node: watches a live etcd, or measures beside the data of
/// one that does not run.
pub(super) fn bare(session: &mut Session<'_>) -> Result<Exit, Error> {
    use clap::FromArgMatches as _;
    let command = <Args as clap::Args>::augment_args(clap::Command::new("disk"));
    let matches = command
        .try_get_matches_from(["disk"])
        .map_err(|err| Error::Usage(err.to_string()))?;
    let args = Args::from_arg_matches(&matches).map_err(|err| Error::Usage(err.to_string()))?;
    run(&args, session)
}

/// A refusal as an error of the run.
pub(super) fn refused(refused: &Refused) -> Error {
    Error::Refused {
        what: refused.to_string(),
        hint: refused.hint().to_owned(),
    }
}

/// Runs the command.
pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<Exit, Error> {
    if let Some(what) = &args.power_cut {
        return power_cut::run(what, session);
    }
    let node = Node::look(session.clock, &args.observe.only_etcd);
    let progress = Line::new(std::io::stderr().is_terminal());
    let asked = args.dir.as_ref().or(args.wal_dir.as_ref());
    if !args.replay.is_empty()
        && let Some(dir) = asked
    {
        refuse_beside_live(&node, dir, args)?;
        let rate = args.replay_rate;
        return replay::run(
            &args.replay,
            dir,
            (rate, args.observe.leave_free),
            &node,
            &progress,
            session,
        );
    }
    let Some(dir) = asked else {
        return unasked(args, &node, &progress, session);
    };
    let dirs = [Some(dir), args.db_dir.as_ref()];
    let mut beside = Vec::new();
    for dir in dirs.into_iter().flatten() {
        let (etcds, unsure) = node.beside(dir);
        if let Some(why) = unsure.first().filter(|_| !args.observe.i_know_etcd_is_live) {
            return Err(in_doubt(why));
        }
        beside.extend(etcds);
    }
    if let (Some(etcd), false) = (beside.first(), args.observe.i_know_etcd_is_live) {
        // To watch needs no directory, but a name that was mistyped means another disk.
        for dir in dirs.into_iter().flatten() {
            std::fs::metadata(dir).map_err(|source| Error::Read {
                path: dir.clone(),
                source,
            })?;
        }
        session.note(&format!(
            "{} uses this disk: watching it; --write probes with care, --i-know-etcd-is-live runs the full bench",
            etcd.words()
        ));
        return observe::run(
            &node,
            &beside,
            Some(dir),
            &args.observe,
            &args.etcd,
            &progress,
            session,
        );
    }
    if args.observe.write || args.observe.trace {
        return Err(Error::Usage(
            "--write and --trace are about a live etcd, and none uses this disk".to_owned(),
        ));
    }
    full(args, dir, &node, beside.first(), progress, session)
}

/// Without a directory: what is safe here.
fn unasked(
    args: &Args,
    node: &Node,
    progress: &Line,
    session: &mut Session<'_>,
) -> Result<Exit, Error> {
    let etcds = node.etcds();
    if !etcds.is_empty() {
        if args.observe.i_know_etcd_is_live {
            return Err(Error::Usage(
                "--i-know-etcd-is-live needs --dir: a directory on the disk in question and outside of etcd's data".to_owned(),
            ));
        }
        return observe::run(
            node,
            &etcds,
            None,
            &args.observe,
            &args.etcd,
            progress,
            session,
        );
    }
    let Some(data) = node.resting_data_dir() else {
        return Err(Error::Usage(
            "no etcd and no data directory of one was found here: say where to write with --dir DIR, a directory on the disk in question".to_owned(),
        ));
    };
    let parent = data.parent().filter(|up| same_file_system(up, &data));
    let Some(dir) = parent else {
        return Err(Error::Usage(format!(
            "`{}` is a mount of its own: say where to write with --dir DIR, or allow a directory in it with --dir {0} --in-data-dir",
            data.display()
        )));
    };
    session.note(&format!(
        "no etcd runs here; measuring beside `{}`, in `{}`",
        data.display(),
        dir.display()
    ));
    full(args, dir, node, None, Line::new(progress.on), session)
}

fn same_file_system(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let device = |path| std::fs::metadata(path).map(|meta| meta.dev()).ok();
    device(a).is_some() && device(a) == device(b)
}

/// Numbers of a network file system say nothing about a disk, and may load a server of others.
/// Memory is measured: its verdict says what it is.
fn refuse_unfit(ground: &Ground, allowed: bool) -> Result<(), Error> {
    if ground.fitness != "unfit" || allowed || is_memory(&ground.fs) {
        return Ok(());
    }
    Err(Error::Refused {
        what: format!(
            "refusing to measure on `{}`, which is {}: {}",
            ground.dir, ground.fs, ground.fitness_why
        ),
        hint: "take a local disk, or say --allow-network-fs; the verdict is never OK there"
            .to_owned(),
    })
}

fn in_doubt(why: &str) -> Error {
    Error::Refused {
        what: format!(
            "refusing to write: it cannot be told whether a live etcd uses this disk ({why})"
        ),
        hint: "run as root, or say --i-know-etcd-is-live".to_owned(),
    }
}

fn refuse_beside_live(node: &Node, dir: &Path, args: &Args) -> Result<(), Error> {
    let (etcds, unsure) = node.beside(dir);
    if args.observe.i_know_etcd_is_live {
        return Ok(());
    }
    if let Some(why) = unsure.first() {
        return Err(in_doubt(why));
    }
    match etcds.first() {
        Some(etcd) => Err(Error::Refused {
            what: format!(
                "refusing to replay beside {}, which uses this disk",
                etcd.words()
            ),
            hint: "take another disk, or say --i-know-etcd-is-live".to_owned(),
        }),
        None => Ok(()),
    }
}

/// The full bench; under the guard where an etcd uses the disk.
fn full(
    args: &Args,
    dir: &Path,
    node: &Node,
    live: Option<&LiveEtcd>,
    progress: Line,
    session: &mut Session<'_>,
) -> Result<Exit, Error> {
    let second_signal = hurry::catch(session)?;
    let plan = args.outcome.paced(args.plan(dir));
    let host = Live::new();
    let terms = Terms {
        floor_bytes: args.observe.leave_free,
        ..node.terms(plan::most_bytes(&plan), args.observe.in_data_dir)
    };
    let work = |dir: &Path| {
        let work = WorkDir::create(dir, &terms).map_err(|err| refused(&err))?;
        second_signal.add(work.path());
        Ok::<_, Error>(work)
    };
    for dir in [Some(dir), args.db_dir.as_deref()].into_iter().flatten() {
        refuse_unfit(&host.ground(dir), args.allow_network_fs)?;
    }
    let wal_work = work(dir)?;
    let db_work = args.db_dir.as_deref().map(work).transpose()?;
    for swept in &wal_work.swept {
        session.note(&format!(
            "removed what a killed run left: {}",
            swept.display()
        ));
    }
    let open = |work: &WorkDir| {
        RealDisk::open(work.path())
            .map(Arc::new)
            .map_err(|source| Error::Write {
                path: work.path().to_owned(),
                source,
            })
    };
    let wal = open(&wal_work)?;
    let db = match &db_work {
        Some(work) => open(work)?,
        None => Arc::clone(&wal),
    };
    let mut stats = Vec::new();
    let mut devices = Vec::new();
    for dir in [Some(dir), args.db_dir.as_deref()].into_iter().flatten() {
        let ground = host.ground(dir);
        stats.extend(ground.disks.into_iter().map(|disk| disk.stat_path));
        devices.extend(ground.device);
    }
    stats.sort();
    stats.dedup();
    let cancel = Cancel::on(Arc::clone(&session.stop));
    let rig = Rig {
        wal,
        db,
        time: Arc::new(SystemTime::new()),
        watch: Watch::new(HostRoot::live(), stats, devices),
        cancel: cancel.clone(),
    };
    let profile = args.outcome.profile()?;
    let context = Context {
        rig: &rig,
        host: &host,
        progress: &progress,
        profile: &profile,
        clock: session.clock,
        real_time_allowed: args.outcome.real_time_allowed(),
    };
    let bench = || run_plan(&plan, &context);
    let mut unseen = None;
    let mut result = match live {
        None => bench(),
        Some(etcd) => {
            let unguarded = |why: String| {
                Error::Refused {
                what: format!(
                    "refusing to load the disk of {}: the guard cannot see how it fares: {why}",
                    etcd.words()
                ),
                hint: "name its metrics with --endpoints and the certificates, or run as root with tracefs mounted".to_owned(),
            }
            };
            let eyes = node.eyes(etcd, &args.etcd).map_err(unguarded)?;
            if eyes.by == "trace" {
                unseen = Some(
                    "etcd's metrics could not be read: the guard traced its syncs, and saw neither leader changes nor waiting proposals",
                );
            }
            let learn = std::time::Duration::from_secs(5);
            guard::under(&*eyes.vitals, learn, &cancel, bench)
                .map_err(unguarded)?
                .0
        }
    };
    drop(progress);
    // The files in it are open until here.
    drop(rig);
    for work in [Some(wal_work), db_work].into_iter().flatten() {
        if let Err((path, err)) = work.remove() {
            result.doubts.push(format!(
                "{} was left behind: {}; the next bench there removes it",
                path.display(),
                crate::bench::disk::faults::words(&err)
            ));
        }
    }
    result.doubts.extend(unseen.map(str::to_owned));
    args.outcome.finish(&result, session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_file_system_is_refused_unless_it_is_asked_for() {
        let on = |fs: &str| {
            let (fit, why) = crate::host::filesystem::fitness(fs);
            Ground {
                fs: fs.to_owned(),
                fitness: fit.word().to_owned(),
                fitness_why: why.to_owned(),
                ..Ground::default()
            }
        };
        for fs in ["nfs4", "ceph", "9p", "fuse.s3fs"] {
            let err = refuse_unfit(&on(fs), false).unwrap_err().to_string();
            assert!(err.contains(fs), "{err}");
            assert!(refuse_unfit(&on(fs), true).is_ok());
        }
        for fs in ["ext4", "xfs", "btrfs", "overlay", "tmpfs", "newfs"] {
            assert!(refuse_unfit(&on(fs), false).is_ok(), "{fs}");
        }
    }
}
