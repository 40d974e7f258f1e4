//! `logs`: what the control plane's logs say about its load and its troubles.

mod build;
mod calls;
mod events;
mod follow;
mod notes;

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::clock::Timestamp;
use crate::error::Error;
use crate::exit::Exit;
use crate::logs::event::Component;
use crate::logs::input::{Plan, Stream, plan};
use crate::logs::scan::{Only, ScanOptions, scan_open};
use crate::logs::summary::{StreamSummary, Summary};
use crate::render;
use crate::target::HostRoot;

use super::common::{Format, Session, node_root, parse_time};
use super::guest::{self, Guest};
use super::redact::Redactor;
use super::save;

/// What the load table has a row for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// resource.group
    #[default]
    Resource,
    /// List, get, count poll, …
    Shape,
    /// Namespace
    Namespace,
    /// Client address
    Client,
    /// Key prefix
    Prefix,
}

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// Seconds of slow requests
    #[default]
    Slow,
    /// Requests
    Requests,
    /// LISTs
    Lists,
    /// Writes
    Writes,
    /// Objects returned
    Items,
    /// Bytes returned
    Bytes,
    /// 99th percentile of the duration
    P99,
    /// Longest request
    Max,
    /// Name
    Name,
}

/// What to write line by line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Emit {
    /// One JSON object per recognised record
    Events,
}

/// Without a path, so much of the past is read: six hours.
const DEFAULT_WINDOW_US: i64 = 6 * 3600 * 1_000_000;

/// Words that people search for.
const GREP_WORDS: [&str; 6] = [
    "events",
    "pods",
    "configmap",
    "deployments",
    "leases",
    "nodes",
];

/// Arguments of `logs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files and folders; `-` is standard input. Without any: this node's logs of the last 6 h
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Leave out records before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub since: Option<Timestamp>,
    /// Leave out records after this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub until: Option<Timestamp>,
    /// Only this component: etcd, apiserver, kcm, scheduler, kubelet, controller. Files of others are not read; of a file of several, what is surely another's is not counted
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = parse_component)]
    pub component: Vec<Component>,
    /// Where this node's files hang, such as /host in a debug pod
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Write what is recognised line by line, as JSON Lines
    #[arg(long, value_enum, value_name = "WHAT")]
    pub emit: Option<Emit>,
    /// Go on as the files grow; Ctrl-C ends it with the report
    #[arg(long, conflicts_with_all = ["merge", "save_summary"])]
    pub follow: bool,
    /// With --follow: seconds between two reports; by default 2 on a terminal, else 60
    #[arg(long, value_name = "SECS", requires = "follow", value_parser = clap::value_parser!(u64).range(1..))]
    pub every: Option<u64>,
    /// What rows are sorted by
    #[arg(long, value_enum, default_value_t, value_name = "COLUMN")]
    pub sort: Sort,
    /// Rows to show; 0 shows all
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub top: usize,
    /// What the table has a row for
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub by: By,
    /// Also show what `grep -ic WORD` would have said of each word (`--compare-grep=pods,RANGE`); without words, the usual six
    #[arg(long, num_args = 0.., require_equals = true, value_delimiter = ',', value_name = "WORD")]
    pub compare_grep: Option<Vec<String>>,
    /// Hash names and namespaces: of objects, users, hosts, nodes, programs that are not well known. The same name is the same hash within a run; resources, addresses, numbers and words of known messages stay, any other word may be a name
    #[arg(long)]
    pub redact: bool,
    /// Save what was found, for --merge: names stay as they are, so not with --redact, which hides them when the summary is shown (--merge FILE --redact)
    #[arg(long, value_name = "FILE")]
    pub save_summary: Option<PathBuf>,
    /// Merge saved summaries (and what PATH holds, if given), in any order: pieces of one log go by their times. Merge all at once: a piece that is missing from one merge is not fitted in by the next. What chooses lines (--since, --until, --component) is given when a summary is saved
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub merge: Vec<PathBuf>,
    /// Threads; by default one beside a running etcd, else as many as there are processors
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// Runs the command.
pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<Exit, Error> {
    if args.redact && args.save_summary.is_some() {
        return Err(Error::Usage(
            "a saved summary keeps names as they are, which `--merge` needs: save it without `--redact`, and hide them when it is shown, with `etcd-doctor logs --merge FILE --redact`".to_owned(),
        ));
    }
    if !args.merge.is_empty() {
        asks_for_lines(args)?;
    }
    if args.compare_grep.as_ref().is_some_and(Vec::is_empty)
        && let Some(word) = args.paths.iter().find(|path| !path.exists())
    {
        return Err(Error::Usage(format!(
            "there is no `{}`; were it a word to count, it is given as `--compare-grep={0}`",
            word.display()
        )));
    }
    let root = match &args.root {
        Some(path) => node_root(path)?,
        None => HostRoot::live(),
    };
    let nothing_named = args.paths.is_empty() && args.merge.is_empty();
    let now = session.clock.now();
    let since = args
        .since
        .or_else(|| nothing_named.then(|| now.add_us(-DEFAULT_WINDOW_US)));
    let mut only = Only::default();
    for component in &args.component {
        only.add(*component);
    }
    let look = || {
        let mut found = plan(&args.paths, &root, since);
        if !args.component.is_empty() {
            found
                .streams
                .retain(|stream| only.has(component_of(stream)));
        }
        found
    };
    let guest = match args.threads {
        Some(threads) => Guest::with_threads(threads),
        None => guest::beside_etcd(&root),
    };
    if let Some(words) = guest.words() {
        session.note(words);
    }
    let plan = if args.paths.is_empty() && !args.merge.is_empty() {
        Plan::default()
    } else {
        look()
    };
    let options = ScanOptions {
        threads: guest.threads,
        since,
        until: args.until,
        now: Some(now),
        only,
        grep: match &args.compare_grep {
            None => Vec::new(),
            Some(words) if words.is_empty() => GREP_WORDS.map(str::to_owned).to_vec(),
            Some(words) => words.clone(),
        },
        read: guest.read(),
        ..ScanOptions::default()
    };
    session.catch_signals()?;
    if args.emit.is_some() {
        return events::run(args, session, &plan, &options, &look);
    }
    if args.follow {
        let summary = follow::run(args, session, &plan, &options, &look)?;
        return exit(&summary, args, session);
    }
    let mut pieces = load_all(&args.merge, session)?;
    // Without a path nothing was asked for but what the pieces were saved for.
    let mut summary = if args.paths.is_empty() && !pieces.is_empty() {
        pieces.remove(0)
    } else {
        scan_open(&plan, &options, &session.stop)
    };
    summary.merge_all(pieces);
    if let Some(path) = &args.save_summary {
        save::whole(path, |out| summary.save(out))?;
    }
    summary.close();
    let report = report(&summary, args);
    if session.format == Format::Json {
        session.json(&report)?;
    } else {
        render::logs(session.out, session.terminal, &report, by(args), args.top)?;
    }
    exit(&summary, args, session)
}

/// The report's values, with what the arguments left to a default.
fn report(summary: &Summary, args: &Args) -> crate::report::logs::LogsReport {
    let mut report = build::report(summary, args, &Redactor::new(args.redact));
    let asked = args.compare_grep.iter().flatten();
    let uncounted: Vec<_> = asked
        .filter(|word| !summary.grep.iter().any(|known| known.word == **word))
        .map(|word| format!("`{word}`"))
        .collect();
    if !args.merge.is_empty() && !uncounted.is_empty() {
        report.notes.push(format!(
            "What `grep -ic` says of {} is counted as lines are read: ask for it when the summary is saved.",
            uncounted.join(", ")
        ));
    }
    if args.paths.is_empty() && args.merge.is_empty() {
        report.notes.insert(
            0,
            "No PATH was given: this node's logs of the last 6 h (`--since` changes that)."
                .to_owned(),
        );
    }
    report
}

fn by(args: &Args) -> render::LoadBy {
    match args.by {
        By::Resource => render::LoadBy::Resource,
        By::Shape => render::LoadBy::Shape,
        By::Namespace => render::LoadBy::Namespace,
        By::Client => render::LoadBy::Client,
        By::Prefix => render::LoadBy::Prefix,
    }
}

/// The exit code, or the error of a run that could read nothing at all.
fn exit(summary: &Summary, args: &Args, session: &Session<'_>) -> Result<Exit, Error> {
    if let Some(exit) = session.stopped() {
        return Ok(exit);
    }
    let nothing_named = args.paths.is_empty() && args.merge.is_empty();
    let mut bad = 0;
    // What was named for this run; a summary may come from one that named something else.
    let mut asked_for = 0;
    for problem in &summary.problems {
        session.note(&format!("{}: {}", problem.path, problem.why));
        bad += u64::from(problem.named);
        asked_for += u64::from(problem.named && is_named(args, &problem.path));
    }
    let mut good = 0;
    for file in summary.files() {
        match &file.error {
            Some(why) => {
                session.note(&format!("{}: {why}", file.name));
                bad += 1;
                // One that breaks off was had in part.
                asked_for += u64::from(file.lines == 0 && is_named(args, &file.name));
                good += u64::from(file.lines > 0);
            }
            None => good += 1,
        }
    }
    if good == 0 && bad == 0 && nothing_named {
        return Err(Error::Nothing {
            what: "no control-plane log was found on this node".to_owned(),
            hint: "name a file or folder, or run as root on a control-plane node".to_owned(),
        });
    }
    if asked_for > 0 || bad > 0 && (good == 0 || session.strict) {
        return Ok(Exit::Incomplete);
    }
    Ok(Exit::Clean)
}

/// Whether the command line names this very path.
fn is_named(args: &Args, name: &str) -> bool {
    args.paths
        .iter()
        .any(|path| path.display().to_string() == name)
}

/// `etcd`, `kube-apiserver` and its short forms.
fn parse_component(word: &str) -> Result<Component, String> {
    let lower = word.to_ascii_lowercase();
    Ok(match lower.strip_prefix("kube-").unwrap_or(&lower) {
        "etcd" => Component::Etcd,
        "apiserver" => Component::Apiserver,
        "kcm" | "controller-manager" => Component::ControllerManager,
        "scheduler" => Component::Scheduler,
        "kubelet" => Component::Kubelet,
        "controller" => Component::Controller,
        _ => {
            return Err(
                "known are etcd, apiserver, kcm, scheduler, kubelet, controller".to_owned(),
            );
        }
    })
}

/// Whose a stream is by its names. Of another one only its records tell: better too much than nothing.
fn component_of(stream: &Stream) -> Component {
    match stream.component {
        Component::Unknown if !StreamSummary::of(stream).named.is_empty() => Component::Controller,
        known => known,
    }
}

/// Refuses what only lines can answer, of which a saved summary has none.
fn asks_for_lines(args: &Args) -> Result<(), Error> {
    if args.emit.is_some() {
        return Err(Error::Usage(
            "`--emit events` writes an object for each record, and a saved summary holds none: name the logs themselves, without `--merge`".to_owned(),
        ));
    }
    let chosen = args.since.is_some() || args.until.is_some() || !args.component.is_empty();
    if chosen && args.paths.is_empty() {
        return Err(Error::Usage(
            "`--since`, `--until` and `--component` choose lines as they are read, and a saved summary has none: give them when it is saved (`etcd-doctor logs PATH --since TIME --save-summary FILE`)".to_owned(),
        ));
    }
    Ok(())
}

/// The saved summaries, each file once however often it is named.
fn load_all(paths: &[PathBuf], session: &Session<'_>) -> Result<Vec<Summary>, Error> {
    let mut known = BTreeSet::new();
    let mut pieces = Vec::new();
    for path in paths {
        let (piece, id) = load(path)?;
        if id.is_none_or(|id| known.insert(id)) {
            pieces.push(piece);
        } else {
            session.note(&format!(
                "{} is named twice and counts once",
                path.display()
            ));
        }
    }
    Ok(pieces)
}

/// A saved summary, and which file it is.
fn load(path: &Path) -> Result<(Summary, Option<(u64, u64)>), Error> {
    let unread = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    #[expect(clippy::disallowed_methods, reason = "a path that the user named")]
    let file = std::fs::File::open(path).map_err(unread)?;
    let meta = file.metadata().map_err(unread)?;
    // What comes out of a pipe is something else each time.
    let id = meta.is_file().then(|| (meta.dev(), meta.ino()));
    let summary = Summary::load(file).map_err(|why| Error::Format {
        path: path.to_owned(),
        why,
    })?;
    Ok((summary, id))
}

#[cfg(test)]
mod merge_tests;
