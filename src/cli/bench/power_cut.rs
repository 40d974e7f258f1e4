//! `bench disk barrier-record`, `barrier-peer`, `barrier-verify`: whether a disk keeps its word
//! when its power is really cut.

use std::fs::{self, File};
use std::io::IsTerminal as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::bench::Cancel;
use crate::bench::disk::power_cut::ring::{HEAD_BYTES, Head, MAX_RECORD, MIN_RECORD};
use crate::bench::disk::power_cut::verify::{Cut, Found, judge};
use crate::bench::disk::power_cut::{FOLDER, peer, record};
use crate::bench::disk::{RealDisk, Refused, SystemTime, faults, place};
use crate::error::Error;
use crate::exit::Exit;
use crate::formats::bench::power_cut::{
    Heard, HeardRun, PEER_FORMAT, Proof, RECORD_FORMAT, Recorded, VERSION,
};
use crate::render;
use crate::target::HostRoot;

use super::super::common::{Format, Session};
use super::disk::Line;
use super::live::Node;

/// The three parts of a power-cut check.
#[derive(Debug, clap::Subcommand)]
#[expect(
    clippy::enum_variant_names,
    reason = "they are the names of the commands"
)]
pub enum PowerCut {
    /// On the machine whose power will be cut: write records and tell a peer of each durable one
    BarrierRecord(RecordArgs),
    /// On another machine: remember which records were acknowledged
    BarrierPeer(PeerArgs),
    /// After the cut: compare the disk with what the peer remembers
    BarrierVerify(VerifyArgs),
}

/// Arguments of `barrier-record`.
#[derive(Debug, clap::Args)]
pub struct RecordArgs {
    /// A directory on the disk in question, outside of etcd's data
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// The peer that listens on another machine
    #[arg(long, value_name = "HOST:PORT")]
    pub peer: String,
    /// Bytes of each record
    #[arg(long, value_name = "BYTES", default_value_t = 512, value_parser = clap::value_parser!(u32).range(i64::from(MIN_RECORD)..=i64::from(MAX_RECORD)))]
    pub record_bytes: u32,
    /// Size of the file, which is written round and round
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size)]
    pub size: u64,
    /// End after this time; without it, when the power goes
    #[arg(long = "for", value_name = "TIME", value_parser = super::super::metrics::parse_window)]
    pub time: Option<Duration>,
    /// Know of no etcd but these processes; several test runs share one machine
    #[arg(long, value_name = "PID", hide = true)]
    pub only_etcd: Vec<u32>,
}

/// Arguments of `barrier-peer`.
#[derive(Debug, clap::Args)]
pub struct PeerArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:7654")]
    pub listen: String,
    /// The file to append to
    #[arg(long, value_name = "FILE")]
    pub log: PathBuf,
    /// End when the first link ends
    #[arg(long)]
    pub once: bool,
}

/// Arguments of `barrier-verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    /// The directory that was given to `barrier-record`
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// The peer's file
    #[arg(long, value_name = "FILE")]
    pub log: PathBuf,
    /// The run, where the peer knows several and the disk has forgotten it
    #[arg(long, value_name = "HEX")]
    pub run: Option<String>,
    /// Only the disk lost its power, not this machine
    #[arg(long)]
    pub disk_only: bool,
    /// Remove the records afterwards
    #[arg(long)]
    pub remove: bool,
}

fn size(text: &str) -> Result<u64, String> {
    crate::units::parse_bytes(text)
        .filter(|bytes| (1 << 20..=16 << 30).contains(bytes))
        .ok_or_else(|| format!("`{text}` is not a size from 1MiB to 16GiB"))
}

/// Runs one of them.
pub(super) fn run(what: &PowerCut, session: &mut Session<'_>) -> Result<Exit, Error> {
    match what {
        PowerCut::BarrierRecord(args) => record_run(args, session),
        PowerCut::BarrierPeer(args) => peer_run(args, session),
        PowerCut::BarrierVerify(args) => verify_run(args, session),
    }
}

fn boot_id() -> Option<String> {
    let text = HostRoot::live()
        .read_text("/proc/sys/kernel/random/boot_id")
        .ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}

fn record_run(args: &RecordArgs, session: &mut Session<'_>) -> Result<Exit, Error> {
    let node = Node::look(session.clock, &args.only_etcd);
    let (beside, unsure) = node.beside(&args.dir);
    if let Some(etcd) = beside.first() {
        return Err(Error::Usage(format!(
            "{} uses this disk: its power must not be cut, and it must not be slowed",
            etcd.words()
        )));
    }
    if let Some(why) = unsure.first() {
        return Err(Error::Usage(format!(
            "it cannot be told whether an etcd uses this disk ({why}): stop it first"
        )));
    }
    let slots = args.size.saturating_sub(HEAD_BYTES) / u64::from(args.record_bytes);
    let run = std::hash::BuildHasher::hash_one(
        &foldhash::fast::RandomState::default(),
        std::process::id(),
    );
    let head = Head {
        run,
        record_bytes: args.record_bytes,
        slots,
        boot: boot_id().unwrap_or_default(),
    };
    let parent =
        place::allowed(&args.dir, &node.terms(head.file_bytes(), false)).map_err(refused)?;
    let folder = parent.join(FOLDER);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Write { path, source }
    };
    // An older run's records are its evidence: they are not overwritten.
    fs::create_dir(&folder).map_err(|source| {
        if source.kind() == std::io::ErrorKind::AlreadyExists {
            Error::Usage(format!(
                "`{}` holds the records of an earlier run: look at them with barrier-verify, then remove them",
                folder.display()
            ))
        } else {
            failed(&folder)(source)
        }
    })?;
    let disk = RealDisk::open(&folder).map_err(failed(&folder))?;
    let mut link = peer::Link::open(&args.peer, run, Duration::from_secs(5)).map_err(|err| {
        fs::remove_dir(&folder).ok();
        Error::Unreachable {
            target: args.peer.clone(),
            why: err.to_string(),
        }
    })?;
    // The folder itself has to survive.
    RealDisk::open(&parent)
        .and_then(|parent| crate::bench::disk::Disk::sync_dir(&parent))
        .map_err(failed(&parent))?;
    session.catch_signals()?;
    session.note(&format!(
        "run {run:016x} writes to {}; cut the power of this machine when you like, then run barrier-verify with the peer's file",
        folder.display()
    ));
    let cancel = Cancel::on(Arc::clone(&session.stop));
    let progress = Line::new(std::io::stderr().is_terminal());
    let time = SystemTime::new();
    let recorded = record::run(
        &disk, &time, &head, &mut link, args.time, &cancel, &progress,
    );
    drop(progress);
    let latency = recorded.sync.latency();
    match session.format {
        Format::Json => session.json(&Recorded {
            format: RECORD_FORMAT.to_owned(),
            version: VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            run: format!("{run:016x}"),
            dir: folder.display().to_string(),
            durable: recorded.durable,
            secs: recorded.secs,
            sync: latency,
            ended: recorded.error.as_ref().map(faults::words),
        })?,
        Format::Table => writeln!(
            session.out,
            "{} records were made durable and told in {:.1} s, {:.2} ms each; they are kept in {}",
            recorded.durable,
            recorded.secs,
            latency.mean_us / 1e3,
            folder.display()
        )?,
    }
    match recorded.error {
        Some(err) => {
            session.note(&format!("ended: {}", faults::words(&err)));
            Ok(Exit::Failed)
        }
        None => Ok(session.stopped().unwrap_or(Exit::Clean)),
    }
}

fn refused(refused: Refused) -> Error {
    super::disk::refused(&refused)
}

fn peer_run(args: &PeerArgs, session: &mut Session<'_>) -> Result<Exit, Error> {
    let mut log = File::options()
        .append(true)
        .create(true)
        .open(&args.log)
        .map_err(|source| Error::Write {
            path: args.log.clone(),
            source,
        })?;
    let listener = TcpListener::bind(&args.listen).map_err(|err| Error::Unreachable {
        target: args.listen.clone(),
        why: err.to_string(),
    })?;
    session.catch_signals()?;
    let address = listener.local_addr()?;
    session.note(&format!(
        "listening on {address}, remembering in {}",
        args.log.display()
    ));
    let cancel = Cancel::on(Arc::clone(&session.stop));
    let note = |text: &str| session.note(text);
    let heard = peer::serve(&listener, &mut log, args.once, &cancel, &mut |text| {
        note(text)
    })
    .map_err(|source| Error::Write {
        path: args.log.clone(),
        source,
    })?;
    match session.format {
        Format::Json => {
            let runs = heard.runs.iter().map(|(run, number)| HeardRun {
                run: format!("{run:016x}"),
                acknowledged: *number,
            });
            session.json(&Heard {
                format: PEER_FORMAT.to_owned(),
                version: VERSION,
                program: env!("CARGO_PKG_VERSION").to_owned(),
                links: heard.links,
                runs: runs.collect(),
            })?;
        }
        Format::Table => {
            for (run, number) in &heard.runs {
                writeln!(session.out, "run {run:016x}: {number} acknowledged records")?;
            }
        }
    }
    // A peer is ended by a signal as a rule: that is no fault.
    Ok(Exit::Clean)
}

fn verify_run(args: &VerifyArgs, session: &mut Session<'_>) -> Result<Exit, Error> {
    let read = |path: &Path| {
        #[expect(clippy::disallowed_methods, reason = "the user named this file")]
        File::open(path)
    };
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Read { path, source }
    };
    let log = read(&args.log).map_err(unreadable(&args.log))?;
    let (runs, bad) = peer::read_log(log).map_err(unreadable(&args.log))?;
    if bad > 0 {
        session.note(&format!(
            "{bad} lines of {} are no whole entries and are left out",
            args.log.display()
        ));
    }
    let folder = args.dir.join(FOLDER);
    let path = folder.join(record::FILE);
    let found = match read(&path) {
        Ok(file) => Found::read(std::io::BufReader::with_capacity(1 << 20, file))
            .map_err(unreadable(&path))?,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound && args.dir.is_dir() => None,
        Err(source) => return Err(Error::Read { path, source }),
    };
    let run = run_of(
        args,
        found.as_ref(),
        &runs.keys().copied().collect::<Vec<_>>(),
    )?;
    let acknowledged = runs.get(&run).copied().unwrap_or(0);
    let cut = if args.disk_only {
        Cut::DiskOnly
    } else {
        Cut::Machine { boot: boot_id() }
    };
    let mut answer = judge(found.as_ref(), run, acknowledged, &cut);
    answer.dir = folder.display().to_string();
    match session.format {
        Format::Json => session.json(&answer)?,
        Format::Table => render::power_cut(session.out, session.terminal, &answer)?,
    }
    if args.remove && folder.is_dir() {
        fs::remove_dir_all(&folder).map_err(|source| Error::Write {
            path: folder,
            source,
        })?;
    }
    Ok(match answer.proof {
        Proof::ProvenByPowerCut => Exit::Clean,
        Proof::AcknowledgedLost => Exit::Findings,
        Proof::NotProven => Exit::Incomplete,
    })
}

/// Which run to look at: the one in the file, else the named, else the only one that the peer knows.
fn run_of(args: &VerifyArgs, found: Option<&Found>, known: &[u64]) -> Result<u64, Error> {
    if let Some(text) = &args.run {
        return u64::from_str_radix(text.trim_start_matches("0x"), 16)
            .map_err(|_| Error::Usage(format!("`{text}` is no run such as 00c0ffee00c0ffee")));
    }
    if let Some(found) = found {
        return Ok(found.head.run);
    }
    match known {
        [only] => Ok(*only),
        [] => Err(Error::Nothing {
            what: format!(
                "neither `{}` nor the peer's file knows of a run",
                args.dir.display()
            ),
            hint: "give the directory of barrier-record and the file of barrier-peer".to_owned(),
        }),
        several => Err(Error::Usage(format!(
            "the records are gone and the peer knows of {} runs: name one with --run ({})",
            several.len(),
            several
                .iter()
                .map(|run| format!("{run:016x}"))
                .collect::<Vec<_>>()
                .join(", ")
        ))),
    }
}
