//! `check`: settings, host or a live etcd against the rules, with an exit code for scripts.

use std::path::PathBuf;
use std::time::Duration;

use crate::catalog::releases::Version;
use crate::catalog::settings::Component;
use crate::error::Error;
use crate::evidence::Collector;
use crate::exit::Exit;
use crate::render;
use crate::report::barriers::ladders;
use crate::report::seats::seats;
use crate::report::{Checked, Judged};
use crate::rules::{self, Rule};

use super::accept::AcceptArgs;
use super::collect::{Gathered, How};
use super::common::{OutputFormat, Session, node_root};
use super::diagnose;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to check
    #[command(subcommand)]
    pub what: What,
}

/// What can be checked.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Settings of etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kubelet
    Config(ConfigArgs),
    /// Mounts, write barriers, devices, CPU, memory, time
    Host(HostArgs),
    /// A live etcd: members, leader, lag, alarms, space, latency, certificates; writes nothing
    #[cfg(feature = "live")]
    Etcd(Box<super::check_etcd::Args>),
}

/// Arguments of `check config`.
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    /// What every check looks at
    #[command(flatten)]
    pub common: Common,
    /// Judge a component's settings as this version would, such as etcd=3.7.0 or kube-apiserver=1.34
    #[arg(long, value_name = "COMPONENT=VERSION", value_parser = component_version)]
    pub for_version: Vec<(Component, Version)>,
}

/// Arguments of `check host`.
#[derive(Debug, clap::Args)]
pub struct HostArgs {
    /// What every check looks at
    #[command(flatten)]
    pub common: Common,
    /// Time between two samples of the host's counters
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = super::metrics::parse_window)]
    pub window: Duration,
}

/// What every check looks at.
#[derive(Debug, clap::Args)]
pub struct Common {
    /// What to look at instead of this node: a folder, a tarball, a saved run or single files
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub bundle: Vec<PathBuf>,
    /// Where the node's root is, as from a debug pod
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Limits to judge by: a profile's name, or a TOML file laid over the built-in ones
    #[arg(long, value_name = "NAME|FILE", default_value = "base")]
    pub profile: String,
    /// Risks that were accepted
    #[command(flatten)]
    pub accepted: AcceptArgs,
    /// Show what passed as well
    #[arg(long)]
    pub all: bool,
}

fn component_version(text: &str) -> Result<(Component, Version), String> {
    let (component, version) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not COMPONENT=VERSION"))?;
    let component = Component::of_subject(component)
        .ok_or_else(|| format!("`{component}` is no component whose settings are known"))?;
    let version = Version::parse(version)
        .ok_or_else(|| format!("`{version}` is not a version such as 3.7.0"))?;
    Ok((component, version))
}

/// Families of rules about settings, and those about the host.
const CONFIG: &[&str] = &["config"];
const HOST: &[&str] = &["disk", "cpu", "host"];

/// Runs the command.
pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<Exit, Error> {
    session.catch_signals()?;
    match &args.what {
        What::Config(args) => {
            let mut gathered = Gathered::default();
            gathered.asked.clone_from(&args.for_version);
            gather(&mut gathered, &args.common, Duration::ZERO, session)?;
            finish(gathered, Collector::Manifest, CONFIG, &args.common, session)
        }
        #[cfg(feature = "live")]
        What::Etcd(args) => super::check_etcd::run(args, session),
        What::Host(args) => {
            let mut gathered = Gathered::default();
            gather(&mut gathered, &args.common, args.window, session)?;
            finish(gathered, Collector::Host, HOST, &args.common, session)
        }
    }
}

fn gather(
    gathered: &mut Gathered,
    common: &Common,
    window: Duration,
    session: &Session<'_>,
) -> Result<(), Error> {
    let how = How {
        clock: session.clock,
        stop: &session.stop,
        threads: 1,
        read: crate::logs::reader::ReadOptions::default(),
        since: None,
        until: None,
    };
    if common.bundle.is_empty() {
        gathered.add_local(&node_root(&common.root)?, window, &how);
    }
    gathered.add_bundles(&common.bundle, &how)?;
    Ok(())
}

fn finish(
    gathered: Gathered,
    collector: Collector,
    families: &[&str],
    common: &Common,
    session: &mut Session<'_>,
) -> Result<Exit, Error> {
    let known = gathered.evidence.records().any(|record| {
        record.origin.collector == collector
            && matches!(record.value, crate::evidence::Reading::Known(_))
    });
    if !known {
        let what = if collector == Collector::Host {
            "host facts"
        } else {
            "settings"
        };
        return Err(Error::Nothing {
            what: format!("found no {what} to check"),
            hint: "run it on a control-plane node as root, or give --bundle PATH".to_owned(),
        });
    }
    let profile = diagnose::profile(&common.profile)?;
    let wanted: Vec<&Rule> = rules::FAMILIES
        .iter()
        .filter(|(family, _)| families.contains(family))
        .flat_map(|(_, rules)| rules.iter().copied())
        .collect();
    let mut findings = rules::run(&wanted, &gathered.evidence, &profile);
    let mut problems = gathered.problems;
    problems.extend(common.accepted.apply(&mut findings, session)?);
    let checked = Checked {
        findings,
        problems,
        profile: profile.name,
        seats: if collector == Collector::Manifest {
            seats(&gathered.evidence)
        } else {
            Vec::new()
        },
        barriers: if collector == Collector::Host {
            ladders(&gathered.evidence)
        } else {
            Vec::new()
        },
        etcd: None,
        advice: Vec::new(),
    };
    let judged = Judged::checked(&checked, session.clock.now());
    match session.wanted {
        OutputFormat::Table => {
            render::checked(session.out, session.terminal, &checked, common.all)?;
        }
        OutputFormat::Json => session.json(&checked.document())?,
        OutputFormat::Markdown => render::markdown_checked(session.out, &checked)?,
        OutputFormat::Junit => render::junit(session.out, &judged)?,
        OutputFormat::Sarif => render::sarif(session.out, &judged)?,
        OutputFormat::Prom => render::prom(session.out, &judged)?,
    }
    if let Some(exit) = session.stopped() {
        return Ok(exit);
    }
    let worst = checked
        .findings
        .iter()
        .filter(|f| f.counts())
        .map(|f| f.severity)
        .max();
    Ok(
        if worst.is_some_and(|severity| session.fail_on.matches(severity)) {
            Exit::Findings
        } else if gathered.lacks_named
            || session.strict
                && (!checked.problems.is_empty() || diagnose::settings_unread(&checked.findings))
        {
            Exit::Incomplete
        } else {
            Exit::Clean
        },
    )
}
