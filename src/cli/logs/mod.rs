//! `logs`: what the control plane's logs say about its load and its troubles.

mod build;
mod redact;

use std::path::PathBuf;

use clap::ValueEnum;

use crate::clock::Timestamp;
use crate::error::Error;
use crate::exit::Exit;
use crate::logs::input::{LogFile, Plan, Problem, Stream};
use crate::logs::scan::{ScanOptions, scan};
use crate::logs::summary::Summary;
use crate::render;

use super::common::{Format, Session, parse_time};
use redact::Redactor;

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
    /// What rows are sorted by
    #[arg(long, value_enum, default_value_t, value_name = "COLUMN")]
    pub sort: Sort,
    /// Rows to show; 0 shows all
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub top: usize,
    /// What the table has a row for
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub by: By,
    /// Also show what `grep -ic WORD` would have said; without words, the usual six
    #[arg(long, num_args = 0.., value_name = "WORD")]
    pub compare_grep: Option<Vec<String>>,
    /// Hash names and namespaces
    #[arg(long)]
    pub redact: bool,
    /// Save what was found, for --merge
    #[arg(long, value_name = "FILE")]
    pub save_summary: Option<PathBuf>,
    /// Merge saved summaries (and what PATH holds, if given)
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub merge: Vec<PathBuf>,
    /// Threads; 0 stands for as many as there are processors
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub threads: usize,
}

/// Runs the command.
pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<Exit, Error> {
    let mut plan = Plan::default();
    for path in &args.paths {
        match LogFile::open_path(path) {
            Ok(file) => plan.streams.push(Stream {
                id: path.display().to_string(),
                files: vec![file],
                ..Stream::default()
            }),
            Err(err) => plan.problems.push(Problem {
                path: path.display().to_string(),
                why: err.to_string(),
                named: true,
            }),
        }
    }
    let options = ScanOptions {
        threads: args.threads,
        since: args.since,
        until: args.until,
        now: Some(session.clock.now()),
        grep: match &args.compare_grep {
            None => Vec::new(),
            Some(words) if words.is_empty() => GREP_WORDS.map(str::to_owned).to_vec(),
            Some(words) => words.clone(),
        },
        ..ScanOptions::default()
    };
    session.catch_signals()?;
    let summary: Summary = scan(&plan, &options, &session.stop);
    let report = build::report(&summary, args, &Redactor::new(args.redact));
    if session.format == Format::Json {
        session.json(&report)?;
    } else {
        render::logs(session.out, session.terminal, &report, args.top)?;
    }
    Ok(session.stopped().unwrap_or(Exit::Clean))
}
