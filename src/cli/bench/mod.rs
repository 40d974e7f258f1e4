//! `bench`: how fast the disk under etcd is, as etcd feels it.

mod disk;
#[cfg(feature = "live")]
mod etcd;
mod host;
mod hurry;
mod live;
mod observe;
mod outcome;
mod power_cut;
mod replay;

use crate::error::Error;
use crate::exit::Exit;

use super::common::Session;

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to measure; without it, what is safe on this node
    #[command(subcommand)]
    pub what: Option<What>,
}

/// What can be measured.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// What this disk costs etcd: WAL fsync, commits, flushes, and whether they can be believed
    Disk(Box<disk::Args>),
    /// What a live cluster can do, under a bounded load that cleans up after itself
    #[cfg(feature = "live")]
    Etcd(Box<etcd::Args>),
}

/// Runs the command.
pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<Exit, Error> {
    match &args.what {
        Some(What::Disk(args)) => disk::run(args, session),
        #[cfg(feature = "live")]
        Some(What::Etcd(args)) => etcd::run(args, session),
        None => disk::bare(session),
    }
}
