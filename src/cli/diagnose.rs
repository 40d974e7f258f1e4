//! `diagnose`: everything that can be gathered, to one verdict with advice.

use std::path::PathBuf;

use crate::advise;
use crate::bundle;
use crate::clock::Timestamp;
use crate::diagnosis;
use crate::error::Error;
use crate::evidence::EvidenceSet;
use crate::exit::Exit;
use crate::profile::{Profile, Profiles};
use crate::render;
use crate::report::{Report, Seen, v1};
use crate::rules;

use super::collect::{Gathered, How};
use super::common::{Format, Session, parse_time};

/// Arguments of `diagnose`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to look at instead of this node: a folder (logs/ metrics/ manifests/ host/, or a copied host root), a tarball of one, a saved run, or single files; several are merged
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub bundle: Vec<PathBuf>,
    /// Run on an embedded recording of a real control plane
    #[arg(long, conflicts_with = "bundle")]
    pub demo: bool,
    /// Limits to judge by: a profile's name, or a TOML file laid over the built-in ones
    #[arg(long, value_name = "NAME|FILE", default_value = "base")]
    pub profile: String,
    /// Save all evidence (no raw logs) to replay it later with --bundle
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Look at log records from this time on
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub since: Option<Timestamp>,
    /// Look at log records up to this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub until: Option<Timestamp>,
    /// Threads to read logs with; by default one per CPU for a bundle
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// The embedded recording.
const DEMO: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/demo/kcm-throttled.tar.zst"
));

/// Runs the command.
pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<Exit, Error> {
    session.catch_signals()?;
    let profile = profile(&args.profile)?;
    let (gathered, input) = gather(args, session)?;
    let report = judge(
        gathered.evidence,
        gathered.problems,
        input,
        &profile,
        session.clock.now(),
    );
    if let Some(path) = &args.save {
        save(path, &report)?;
    }
    match session.format {
        Format::Table => render::diagnose(session.out, session.terminal, &report)?,
        Format::Json => session.json(&v1::Document::of(&report))?,
    }
    Ok(exit(&report, session))
}

pub(super) fn gather(args: &Args, session: &Session<'_>) -> Result<(Gathered, Vec<String>), Error> {
    let threads = args
        .threads
        .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1);
    let how = How {
        clock: session.clock,
        stop: &session.stop,
        threads,
        since: args.since,
        until: args.until,
    };
    let mut gathered = Gathered::default();
    let mut input = Vec::new();
    if args.demo {
        gathered.add_tarball(DEMO, "the demo", &how)?;
        input.push("demo".to_owned());
    } else if args.bundle.is_empty() {
        gathered.add_live(&how);
        input.push("this node".to_owned());
    } else {
        for path in &args.bundle {
            gathered.add_bundle(path, &how)?;
            input.push(path.display().to_string());
        }
    }
    if gathered.evidence.is_empty() {
        let what = if args.bundle.is_empty() {
            "on this node".to_owned()
        } else {
            format!("in {}", input.join(", "))
        };
        return Err(Error::Nothing {
            what: format!(
                "found no logs, metrics, settings or host facts of a control plane {what}"
            ),
            hint: "run it on a control-plane node as root, or give --bundle PATH".to_owned(),
        });
    }
    Ok((gathered, input))
}

/// A profile by name, or from a user's file.
pub(super) fn profile(name: &str) -> Result<Profile, Error> {
    let mut profiles = Profiles::builtin();
    let mut wanted = name.to_owned();
    if name.ends_with(".toml") {
        let path = PathBuf::from(name);
        #[expect(clippy::disallowed_methods, reason = "the user named this file")]
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        wanted = profiles
            .add(&text)
            .map_err(|why| Error::Format { path, why })?;
    }
    profiles.profile(&wanted).map_err(Error::Usage)
}

/// Evidence to report.
pub(super) fn judge(
    evidence: EvidenceSet,
    mut problems: Vec<String>,
    input: Vec<String>,
    profile: &Profile,
    at: Timestamp,
) -> Report {
    problems.extend(evidence.conflicts().iter().cloned());
    let findings = rules::run(rules::RULES, &evidence, profile);
    let diagnosis = diagnosis::diagnose(&evidence, &findings, profile);
    let advice = advise::advise(&advise::Input {
        evidence: &evidence,
        findings: &findings,
        diagnosis: &diagnosis,
        profile,
    });
    Report {
        at,
        profile: profile.name.clone(),
        input,
        seen: Seen::of(&evidence, problems),
        evidence,
        findings,
        diagnosis,
        advice,
    }
}

fn save(path: &PathBuf, report: &Report) -> Result<(), Error> {
    let failed = |source| Error::Write {
        path: path.clone(),
        source,
    };
    let file = std::fs::File::create(path).map_err(failed)?;
    bundle::save(file, report.at, &report.evidence, &report.seen.problems).map_err(failed)
}

fn exit(report: &Report, session: &Session<'_>) -> Exit {
    if let Some(exit) = session.stopped() {
        return exit;
    }
    if report
        .worst()
        .is_some_and(|severity| session.fail_on.matches(severity))
    {
        Exit::Findings
    } else if session.strict
        && !(report.seen.problems.is_empty() && report.diagnosis.verdict.missing.is_empty())
    {
        Exit::Incomplete
    } else {
        Exit::Clean
    }
}
