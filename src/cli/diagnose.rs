//! `diagnose`: everything that can be gathered, to one verdict with advice.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::advise::{self, Advice};
use crate::bundle;
use crate::clock::Timestamp;
use crate::diagnosis;
use crate::error::Error;
use crate::evidence::EvidenceSet;
use crate::exit::Exit;
use crate::metrics::prometheus_api::Range;
use crate::patch::{self, NodeManifests, PatchInput, PatchSet};
use crate::profile::{Profile, Profiles};
use crate::render;
use crate::report::{Judged, Report, Seen, v1};
use crate::rules;
use crate::target::HostRoot;

use super::accept::AcceptArgs;
use super::collect::{Gathered, How};
use super::common::{OutputFormat, Session, node_root, parse_time};
use super::guest::Guest;
use super::live::{Live, Remembered};
use super::metrics::AccessArgs;
use super::redact::Redactor;
use super::redact_evidence::redacted;
use super::side_by_side::Show;

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
    /// Saved scrapes of a control plane whose nodes cannot be reached: files, or folders with them
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with = "demo")]
    pub metrics: Vec<PathBuf>,
    /// Save all evidence (no raw logs) to replay it later with --bundle
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Hide node names, namespaces, object names, users and addresses, in the report and in --save; the same name is the same hash within one run
    #[arg(long)]
    pub redact: bool,
    /// As --redact, with hashes that runs with this file share (16 random bytes or more, kept secret), so that what several nodes saved can be put together
    #[arg(long, value_name = "FILE")]
    pub redact_key: Option<PathBuf>,
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
    /// Ask this Prometheus for the metrics since --since (6 h) in place of scraping
    #[arg(long, value_name = "URL", help_heading = "Live node")]
    pub prometheus: Option<String>,
    /// More label matchers for --prometheus, such as `cluster="prod"`
    #[arg(
        long,
        value_name = "MATCHERS",
        default_value = "",
        help_heading = "Live node"
    )]
    pub selector: String,
    /// Longest time for one collector; what is not there by then is left out, and said
    #[arg(long, value_name = "TIME", default_value = super::live::DEADLINE, value_parser = super::metrics::parse_window, help_heading = "Live node")]
    pub deadline: Duration,
    /// Tell on standard error when a collector ends, also where that is no terminal
    #[arg(long, help_heading = "Live node")]
    pub progress: bool,
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
    super::heard(print(&report, session))?;
    Ok(exit)
}

fn print(report: &Report, session: &mut Session<'_>) -> Result<(), Error> {
    match session.wanted {
        OutputFormat::Table => render::diagnose(session.out, session.terminal, report)?,
        OutputFormat::Json => session.json(&v1::Document::of(report))?,
        OutputFormat::Markdown => render::markdown(session.out, report)?,
        OutputFormat::Junit => render::junit(session.out, &Judged::of(report))?,
        OutputFormat::Sarif => render::sarif(session.out, &Judged::of(report))?,
        OutputFormat::Prom => render::prom(session.out, &Judged::of(report))?,
    }
    Ok(())
}

/// Gathers, judges and saves where asked: all of `diagnose` but the printing.
pub(super) fn report(args: &Args, session: &mut Session<'_>) -> Result<(Report, Exit), Error> {
    session.catch_signals()?;
    let profile = profile(&args.profile)?;
    let redactor = match &args.redact_key {
        Some(path) => Redactor::shared(path)?,
        None => Redactor::new(args.redact),
    };
    let (mut gathered, mut input) = gather(args, session)?;
    if redactor.is_on() {
        // Paths that the user gave may hold the names of nodes.
        let given = gathered.problems.len();
        gathered.problems.append(&mut input);
        gathered.evidence = redacted(&gathered.evidence, &mut gathered.problems, &redactor);
        input = gathered.problems.split_off(given);
        // The files that a patch is for hold names and addresses.
        gathered.manifests.clear();
    }
    let members = patch::members(&gathered.evidence);
    let mut report = judge(
        gathered.evidence,
        gathered.problems,
        input,
        &profile,
        session.clock.now(),
    );
    let notes = args.accepted.apply(&mut report.findings, session)?;
    report.seen.problems.extend(notes);
    report.patch = kubeadm_patch(&report.advice, gathered.manifests, members);
    if let Some(path) = &args.save {
        save(path, &report)?;
    }
    let exit = exit(&report, gathered.lacks_named, session);
    Ok((report, exit))
}

pub(super) fn gather(args: &Args, session: &Session<'_>) -> Result<(Gathered, Vec<String>), Error> {
    let live = args.bundle.is_empty() && args.metrics.is_empty() && !args.demo;
    if !live && (args.prometheus.is_some() || !args.metrics_url.is_empty()) {
        return Err(Error::Usage(
            "--prometheus and --metrics-url ask live servers: give them without --bundle and --metrics, save with \
             --save, and put the files together with --bundle"
                .to_owned(),
        ));
    }
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    // A guest on a node that may be sick, also where its etcd is down just now.
    let guest = match (args.threads, live) {
        (Some(threads), _) => Guest::with_threads(threads),
        (None, true) => Guest::polite(&HostRoot::new(&args.root)),
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
    } else if live {
        gathered.add_live(&this_node(args, session, guest)?, &how);
        input.push("this node".to_owned());
    } else {
        gathered.add_given(&args.bundle, &args.metrics, &how)?;
        let given = args.bundle.iter().chain(&args.metrics);
        input.extend(given.map(|path| path.display().to_string()));
    }
    if gathered.evidence.is_empty() {
        let what = if live {
            "on this node".to_owned()
        } else {
            format!("in {}", input.join(", "))
        };
        // What was left out may be why.
        let why = gathered
            .problems
            .iter()
            .take(3)
            .map(|why| format!("; {why}"));
        return Err(Error::Nothing {
            what: format!(
                "found no logs, metrics, settings or host facts of a control plane {what}{}",
                crate::render::safe(&why.collect::<String>())
            ),
            hint: "run it on a control-plane node as root, or give --bundle PATH".to_owned(),
        });
    }
    Ok((gathered, input))
}

/// What to gather here, and says how.
fn this_node(args: &Args, session: &Session<'_>, guest: Guest) -> Result<Live, Error> {
    let manners = match guest.polite {
        true => {
            " (one thread, nice 19, idle I/O, with rests while etcd works; --threads says otherwise)"
        }
        false => "",
    };
    session.note(&format!(
        "looking at this node for {} s{manners}; logs of the last {} h unless --since says otherwise",
        args.window.as_secs_f64(),
        super::live::DEFAULT_HOURS
    ));
    let until = args.until.unwrap_or_else(|| session.clock.now());
    let since = args
        .since
        .unwrap_or_else(|| super::live::default_since(until));
    if args.prometheus.is_some() && until <= since {
        return Err(Error::Usage("--until is not after --since".to_owned()));
    }
    let prometheus = args.prometheus.as_ref().map(|base| Remembered {
        base: base.clone(),
        selector: args.selector.clone(),
        range: Range { since, until },
    });
    Ok(Live {
        root: node_root(&args.root)?,
        window: args.window,
        deadline: args.deadline,
        urls: args.metrics_url.clone(),
        prometheus,
        access: args.access.clone(),
        show: Show::new(args.progress),
    })
}

/// The recommended advice as kubeadm files, where static pods were found.
fn kubeadm_patch(
    advice: &[Advice],
    nodes: Vec<NodeManifests>,
    members: Vec<patch::Member>,
) -> Option<PatchSet> {
    if nodes.is_empty() || advice.is_empty() {
        return None;
    }
    patch::emit(
        "kubeadm",
        &PatchInput {
            advices: advice,
            nodes,
            members,
            ..PatchInput::default()
        },
    )
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
    // What is saved stays as it was read: another run may bring the metrics or the process to it.
    let mut in_force = evidence.clone();
    rules::started::reconcile(&mut in_force);
    let findings = rules::run(rules::RULES, &in_force, profile);
    let diagnosis = diagnosis::diagnose(&in_force, &findings, profile);
    let advice = advise::advise(&advise::Input {
        evidence: &in_force,
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

fn save(path: &Path, report: &Report) -> Result<(), Error> {
    super::save::whole(path, |out| {
        bundle::save(out, report.at, &report.evidence, &report.seen.problems)
    })
}

/// Whether files of settings were found that nobody could read: evidence that is not there.
pub(super) fn settings_unread(findings: &[rules::Finding]) -> bool {
    let id = rules::config::settings_unreadable::RULE.id;
    findings
        .iter()
        .any(|finding| finding.rule == id && finding.status == rules::Status::Fail)
}

/// The exit code. `lacks_named` says that something that was asked for by name could not be had.
pub(super) fn exit(report: &Report, lacks_named: bool, session: &Session<'_>) -> Exit {
    if let Some(exit) = session.stopped() {
        return exit;
    }
    if report
        .worst()
        .is_some_and(|severity| session.fail_on.matches(severity))
    {
        Exit::Findings
    } else if lacks_named
        || session.strict
            && (!report.seen.problems.is_empty()
                || !report.diagnosis.verdict.missing.is_empty()
                || settings_unread(&report.findings))
    {
        Exit::Incomplete
    } else {
        Exit::Clean
    }
}
