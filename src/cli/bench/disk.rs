//! `bench disk`: the emulators of etcd's WAL and commits beside a directory.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::ValueEnum;

use crate::bench::disk::plan;
use crate::bench::disk::run::{Context, run as run_plan};
use crate::bench::disk::watch::Watch;
use crate::bench::disk::{Host, RealDisk, Rig, SystemTime, WorkDir};
use crate::bench::{Cancel, Progress};
use crate::error::Error;
use crate::exit::Exit;
use crate::formats::bench::disk::{Arrivals, Growth, Plan, PlanName, Records};
use crate::target::HostRoot;

use super::super::common::Session;
use super::host::Live;
use super::outcome::OutcomeArgs;

/// How long and how thoroughly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Thorough {
    /// About 20 s: barriers, what a sync costs, one load
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
    /// Write records without checksums
    #[arg(long, help_heading = "Load")]
    pub no_crc: bool,
    /// Limits and where the result goes
    #[command(flatten)]
    pub outcome: OutcomeArgs,
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
struct Line {
    on: bool,
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

/// Runs the bench that is safe on this node.
pub(super) fn bare(_session: &mut Session<'_>) -> Result<Exit, Error> {
    Err(Error::Usage(
        "say where to write: `etcd-doctor bench disk --dir DIR`, a directory on the disk in question and outside etcd's data".to_owned(),
    ))
}

/// Runs the command.
pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<Exit, Error> {
    let Some(dir) = args.dir.as_ref().or(args.wal_dir.as_ref()) else {
        return bare(session);
    };
    session.catch_signals()?;
    let plan = args.outcome.paced(args.plan(dir));
    let host = Live::new();
    let work = |dir: &PathBuf| {
        WorkDir::create(dir).map_err(|source| Error::Write {
            path: dir.clone(),
            source,
        })
    };
    let wal_work = work(dir)?;
    let db_work = args.db_dir.as_ref().map(work).transpose()?;
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
    for dir in [Some(dir), args.db_dir.as_ref()].into_iter().flatten() {
        let ground = host.ground(dir);
        stats.extend(ground.disks.into_iter().map(|disk| disk.stat_path));
        devices.extend(ground.device);
    }
    stats.sort();
    stats.dedup();
    let rig = Rig {
        wal,
        db,
        time: Arc::new(SystemTime::new()),
        watch: Watch::new(HostRoot::live(), stats, devices),
        cancel: Cancel::on(Arc::clone(&session.stop)),
    };
    let progress = Line {
        on: std::io::stderr().is_terminal(),
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
    let result = run_plan(&plan, &context);
    drop(progress);
    drop((wal_work, db_work));
    args.outcome.finish(&result, session)
}
