//! `diagnose`: everything that can be gathered, to one verdict with advice.

use std::path::PathBuf;
use std::time::Duration;

use crate::advise::{self, Advice};
use crate::bundle;
use crate::clock::Timestamp;
use crate::diagnosis;
use crate::error::Error;
use crate::evidence::EvidenceSet;
use crate::exit::Exit;
use crate::patch::{self, NodeManifests, PatchInput, PatchSet};
use crate::profile::{Profile, Profiles};
use crate::render;
use crate::report::{Judged, Report, Seen, v1};
use crate::rules;
use crate::target::HostRoot;

use super::accept::AcceptArgs;
use super::collect::{Gathered, How};
use super::common::{OutputFormat, Session, parse_time};
use super::guest::Guest;
use super::live::Live;
use super::metrics::AccessArgs;

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
    /// Risks that were accepted
    #[command(flatten)]
    pub accepted: AcceptArgs,
    /// Save all evidence (no raw logs) to replay it later with --bundle
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Look at log records from this time on
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub since: Option<Timestamp>,
    /// Look at log records up to this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub until: Option<Timestamp>,
    /// Threads to read logs with; by default one per CPU for a bundle, one on a live node
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Where the node's root is, as from a debug pod
    #[arg(
        long,
        value_name = "DIR",
        default_value = "/",
        help_heading = "Live node"
    )]
    pub root: PathBuf,
    /// Time between two samples of metrics and host counters
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = super::metrics::parse_window, help_heading = "Live node")]
    pub window: Duration,
    /// Metrics endpoints, in place of those that the settings name; may be given several times
    #[arg(long, value_name = "URL", help_heading = "Live node")]
    pub metrics_url: Vec<String>,
    /// How to reach metrics
    #[command(flatten)]
    pub access: AccessArgs,
}

impl Args {
    /// What the command line gives without arguments: this node.
    pub(super) fn live() -> Self {
        #[derive(clap::Parser)]
        struct Only {
            #[command(flatten)]
            args: Args,
        }
        <Only as clap::Parser>::parse_from(["diagnose"]).args
    }

    /// A run over bundles, with everything else as by default.
    pub(super) fn of_bundle(bundle: Vec<PathBuf>) -> Self {
        Args {
            bundle,
            ..Args::live()
        }
    }
}

/// The embedded recording.
const DEMO: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/demo/kcm-throttled.tar.zst"
));

/// Runs the command.
pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<Exit, Error> {
    let (report, exit) = report(args, session)?;
    match session.wanted {
        OutputFormat::Table => render::diagnose(session.out, session.terminal, &report)?,
        OutputFormat::Json => session.json(&v1::Document::of(&report))?,
        OutputFormat::Markdown => render::markdown(session.out, &report)?,
        OutputFormat::Junit => render::junit(session.out, &Judged::of(&report))?,
        OutputFormat::Sarif => render::sarif(session.out, &Judged::of(&report))?,
        OutputFormat::Prom => render::prom(session.out, &Judged::of(&report))?,
    }
    Ok(exit)
}

/// Gathers, judges and saves where asked: all of `diagnose` but the printing.
pub(super) fn report(args: &Args, session: &mut Session<'_>) -> Result<(Report, Exit), Error> {
    session.catch_signals()?;
    let profile = profile(&args.profile)?;
    let (gathered, input) = gather(args, session)?;
    let mut report = judge(
        gathered.evidence,
        gathered.problems,
        input,
        &profile,
        session.clock.now(),
    );
    let notes = args.accepted.apply(&mut report.findings, session)?;
    report.seen.problems.extend(notes);
    report.patch = kubeadm_patch(&report.advice, gathered.manifests);
    if let Some(path) = &args.save {
        save(path, &report)?;
    }
    let exit = exit(&report, session);
    Ok((report, exit))
}

pub(super) fn gather(args: &Args, session: &Session<'_>) -> Result<(Gathered, Vec<String>), Error> {
    let live = args.bundle.is_empty() && !args.demo;
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    // A guest on a node that may be sick, also where its etcd is down just now.
    let guest = match (args.threads, live) {
        (Some(threads), _) => Guest::with_threads(threads),
        (None, true) => Guest::polite(),
        (None, false) => Guest::with_threads(all()),
    };
    let how = How {
        clock: session.clock,
        stop: &session.stop,
        threads: guest.threads,
        read: guest.read(),
        since: args.since,
        until: args.until,
    };
    let mut gathered = Gathered::default();
    let mut input = Vec::new();
    if args.demo {
        gathered.add_tarball(DEMO, "the demo", &how)?;
        input.push("demo".to_owned());
    } else if args.bundle.is_empty() {
        let manners = match guest.polite {
            true => " (one thread, nice 19, idle I/O; --threads says otherwise)",
            false => "",
        };
        session.note(&format!(
            "looking at this node for {} s{manners}; logs of the last {} h unless --since says otherwise",
            args.window.as_secs_f64(),
            super::live::DEFAULT_HOURS
        ));
        let live = Live {
            root: HostRoot::new(&args.root),
            window: args.window,
            urls: args.metrics_url.clone(),
            access: &args.access,
            logs: true,
        };
        gathered.add_live(&live, &how);
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

/// The recommended advice as kubeadm files, where static pods were found.
fn kubeadm_patch(advice: &[Advice], nodes: Vec<NodeManifests>) -> Option<PatchSet> {
    if nodes.is_empty() || advice.is_empty() {
        return None;
    }
    let emitter = patch::emitter("kubeadm")?;
    Some(emitter.emit(&PatchInput {
        advices: advice,
        nodes,
        ..PatchInput::default()
    }))
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
        limits: profile
            .limits()
            .map(|(name, _)| (name.to_owned(), profile.get(name)))
            .collect(),
        input,
        seen: Seen::of(&evidence, problems),
        evidence,
        findings,
        diagnosis,
        advice,
        patch: None,
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

pub(super) fn exit(report: &Report, session: &Session<'_>) -> Exit {
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
