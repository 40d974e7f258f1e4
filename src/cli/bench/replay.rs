//! `bench disk --replay FILE.wal`: a real write-ahead log on a candidate disk.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bench::disk::replay::{Log, run as engine};
use crate::bench::disk::{RealDisk, SystemTime, Terms, WorkDir, faults, place};
use crate::bench::{Cancel, Progress};
use crate::error::Error;
use crate::exit::Exit;
use crate::render;

use super::super::common::{Format, Session};
use super::hurry;
use super::live::Node;

/// Two segments at once, and what they need beside.
const NEEDS: u64 = 160 << 20;

/// Replays segments in a directory, at a rate or as fast as it goes.
pub(super) fn run(
    files: &[PathBuf],
    dir: &Path,
    (rate, leave_free): (Option<f64>, Option<u64>),
    node: &Node,
    progress: &dyn Progress,
    session: &mut Session<'_>,
) -> Result<Exit, Error> {
    let terms = Terms {
        floor_bytes: leave_free,
        ..node.terms(NEEDS, false)
    };
    let mut sorted: Vec<&PathBuf> = files.iter().collect();
    // Names of segments sort in their order.
    sorted.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    let mut segments: Vec<(String, Box<dyn Read>)> = Vec::new();
    for path in sorted {
        refuse_live(path, &terms.data_dirs)?;
        #[expect(
            clippy::disallowed_methods,
            reason = "the user named this file; read only"
        )]
        let file = File::open(path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        segments.push((path.display().to_string(), Box::new(file)));
    }
    let log = Log::read(segments);
    if log.batches.is_empty() {
        let why = log.source.remarks.join("; ");
        return Err(Error::Format {
            path: files.first().cloned().unwrap_or_default(),
            why: if why.is_empty() {
                "it holds no entry of a raft log".to_owned()
            } else {
                why
            },
        });
    }
    let second_signal = hurry::catch(session)?;
    let work = WorkDir::create(dir, &terms).map_err(|err| super::disk::refused(&err))?;
    second_signal.add(work.path());
    let disk = RealDisk::open(work.path()).map_err(|source| Error::Write {
        path: work.path().to_owned(),
        source,
    })?;
    let cancel = Cancel::on(Arc::clone(&session.stop));
    let (mut replay, error) = engine(&log, &disk, &SystemTime::new(), rate, &cancel, progress);
    replay.partial = match &error {
        Some(err) => Some(faults::words(err)),
        None => cancel.reason(),
    };
    drop(work);
    match session.format {
        Format::Json => session.json(&replay)?,
        Format::Table => render::replay(session.out, session.terminal, &replay)?,
    }
    if error.is_some() {
        return Ok(Exit::Failed);
    }
    Ok(session.stopped().unwrap_or(Exit::Clean))
}

/// A segment of a running etcd is not opened, though that would only read: a copy does as well and
/// leaves its page cache alone.
fn refuse_live(path: &Path, live: &[PathBuf]) -> Result<(), Error> {
    let real = path.canonicalize().map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let inside = |data: &PathBuf| {
        let data = data.canonicalize().unwrap_or_else(|_| data.clone());
        real.starts_with(data)
    };
    let name = real
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let segment = name.is_some_and(|name| place::is_segment(&name));
    if live.iter().any(inside) {
        let what = if segment { "a WAL segment" } else { "a file" };
        return Err(Error::Usage(format!(
            "`{}` is {what} of a running etcd: copy it and give the copy",
            path.display()
        )));
    }
    Ok(())
}
