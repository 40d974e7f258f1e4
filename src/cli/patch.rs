//! `patch`: advice as files of a distribution, written under one folder and nowhere else.

mod manifests;
mod out;
mod stale;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::advise::Advice;
use crate::catalog::releases::Version;
use crate::error::Error;
use crate::evidence::Missing;
use crate::exit::Exit;
use crate::patch::{EMITTERS, Member, NodeManifests, PatchInput, PatchSet, emit, members};
use crate::render::{self, Paint};
use crate::target::HostRoot;

use super::common::{Format, Session};
use super::diagnose;

pub(super) use manifests::manifests_of;
use manifests::{nodes, server_nodes};
use out::{refuse_inputs, refuse_static_pods, write_files};

/// Most bytes of one manifest or configuration.
const MAX_BYTES: u64 = 1 << 20;
/// Most bytes of a report.
const MAX_REPORT: u64 = 256 << 20;

/// Arguments of `patch`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The distribution to write for
    #[arg(long, value_name = "NAME", value_parser = target_names())]
    pub target: String,
    /// The folder to write into; nothing else is written
    #[arg(long, value_name = "DIR", required_unless_present = "check")]
    pub out: Option<PathBuf>,
    /// Write nothing: say which of the advised settings are in force, and exit with 1 when any is not
    #[arg(long, conflicts_with = "out")]
    pub check: bool,
    /// A saved report (JSON of `diagnose` or `advise`) whose advice to take
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Look at this bundle in place of the node, as `diagnose` does; its manifests are patched
    #[arg(long, value_name = "PATH")]
    pub bundle: Option<PathBuf>,
    /// Limits to judge by: a profile's name, or a TOML file laid over the built-in ones
    #[arg(long, value_name = "NAME|FILE", default_value = "base")]
    pub profile: String,
    /// The files as found, or one folder a node; by default the target's own place on this node
    #[arg(long, value_name = "DIR")]
    pub manifests: Option<PathBuf>,
    /// The distribution's configuration: ClusterConfiguration, or the ConfigMap that holds it
    #[arg(long, value_name = "FILE")]
    pub cluster_configuration: Option<PathBuf>,
    /// The Kubernetes version, where the manifests do not tell
    #[arg(long, value_name = "VERSION", value_parser = version)]
    pub kubernetes_version: Option<Version>,
    /// The etcd version, where the manifests do not tell
    #[arg(long, value_name = "VERSION", value_parser = version)]
    pub etcd_version: Option<Version>,
    /// Write this advice only; candidates are written only when named
    #[arg(long, value_name = "ID", num_args = 1.., value_delimiter = ',')]
    pub advice: Vec<String>,
}

fn target_names() -> clap::builder::PossibleValuesParser {
    let names: Vec<&'static str> = EMITTERS.iter().map(|emitter| emitter.name()).collect();
    clap::builder::PossibleValuesParser::new(names)
}

fn version(text: &str) -> Result<Version, String> {
    Version::parse(text).ok_or_else(|| format!("`{text}` is not a version such as 1.31.2"))
}

/// Runs the command.
pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<Exit, Error> {
    if let Some(out) = &args.out {
        refuse_inputs(&refuse_static_pods(out)?, args)?;
    }
    let diagnosed = match &args.report {
        Some(report) => Diagnosed {
            advices: read_report(report)?,
            ..Diagnosed::default()
        },
        None => diagnosed(args, session)?,
    };
    write(args, diagnosed, session)
}

/// What a run over the bundle or over this node gave.
#[derive(Default)]
struct Diagnosed {
    advices: Vec<Advice>,
    /// The manifests that it found: those of a tarball are nowhere else.
    found: Vec<NodeManifests>,
    members: Vec<Member>,
}

fn diagnosed(args: &Args, session: &Session<'_>) -> Result<Diagnosed, Error> {
    let profile = diagnose::profile(&args.profile)?;
    let bundle: Vec<PathBuf> = args.bundle.iter().cloned().collect();
    let (gathered, input) = if bundle.is_empty() {
        diagnose::gather(&diagnose::Args::live(), session)?
    } else {
        diagnose::gather(&diagnose::Args::of_bundle(bundle), session)?
    };
    let members = members(&gathered.evidence);
    let report = diagnose::judge(
        gathered.evidence,
        gathered.problems,
        input,
        &profile,
        session.clock.now(),
    );
    Ok(Diagnosed {
        advices: report.advice,
        found: gathered.manifests,
        members,
    })
}

/// Emits, writes and tells.
fn write(args: &Args, diagnosed: Diagnosed, session: &mut Session<'_>) -> Result<Exit, Error> {
    let Diagnosed {
        advices,
        found,
        members,
    } = diagnosed;
    for id in &args.advice {
        if !advices.iter().any(|advice| advice.id == *id) {
            let ids: Vec<&str> = advices.iter().map(|advice| advice.id.as_str()).collect();
            return Err(Error::Usage(format!(
                "there is no advice `{id}`; there is {}",
                if ids.is_empty() {
                    "none".to_owned()
                } else {
                    ids.join(", ")
                }
            )));
        }
    }
    let cluster_configuration = match &args.cluster_configuration {
        Some(path) => Some(read_text(path, MAX_BYTES)?),
        None => None,
    };
    let input = PatchInput {
        advices: &advices,
        chosen: args.advice.clone(),
        nodes: match server_nodes(args, session)? {
            servers if !servers.is_empty() => servers,
            _ if args.manifests.is_none() && args.bundle.is_some() && !found.is_empty() => found,
            _ => nodes(args, session)?,
        },
        cluster_configuration,
        kubernetes: args.kubernetes_version,
        etcd: args.etcd_version,
        members,
    };
    let set = emit(&args.target, &input)
        .ok_or_else(|| Error::Usage(format!("there is no target `{}`", args.target)))?;
    let Some(out) = &args.out else {
        return drift(&set, session);
    };
    let out = refuse_static_pods(out)?;
    refuse_inputs(&out, args)?;
    let stale = stale::files(&out, &set)?;
    write_files(&out, &set.files)?;
    tell(&out, &set, &stale, session)?;
    Ok(Exit::Clean)
}

/// Says what is in force and what is not. What would be written is not in force yet.
fn drift(set: &PatchSet, session: &mut Session<'_>) -> Result<Exit, Error> {
    let missing: Vec<&str> = set
        .files
        .iter()
        .filter(|file| file.path != "STEPS.md")
        .flat_map(|file| file.advice.iter().map(String::as_str))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    if session.format == Format::Json {
        let shown: Vec<_> = set
            .shown
            .iter()
            .map(|shown| {
                serde_json::json!({ "advice": shown.advice, "on": shown.on, "why": shown.why })
            })
            .collect();
        session.json(&serde_json::json!({
            "in_force": set.already,
            "missing": missing,
            "shown": shown,
        }))?;
    } else {
        for one in &set.already {
            writeln!(session.out, "in force  {}", render::safe(one))?;
        }
        for one in &missing {
            writeln!(session.out, "missing   {}", render::safe(one))?;
        }
        for shown in &set.shown {
            let on = if shown.advice.is_empty() {
                shown.on.clone()
            } else {
                format!("{} ({})", shown.advice, shown.on)
            };
            let text = format!("{on}: {}", shown.why);
            let width = usize::from(session.terminal.width).saturating_sub(10);
            let text = render::wrap(&render::safe(&text), width, 10);
            writeln!(session.out, "by hand   {text}")?;
        }
        if set.already.is_empty() && missing.is_empty() && set.shown.is_empty() {
            writeln!(session.out, "no advice")?;
        }
        differences(set, session)?;
    }
    Ok(if missing.is_empty() {
        Exit::Clean
    } else {
        Exit::Findings
    })
}

/// What changes, or is to change, line by line.
fn differences(set: &PatchSet, session: &mut Session<'_>) -> Result<(), Error> {
    for file in set.files.iter().filter(|file| file.path.ends_with(".diff")) {
        writeln!(session.out)?;
        for line in file.content.lines() {
            let line = render::safe(line);
            let painted = match line.chars().next() {
                Some('+') => session.terminal.paint(Paint::Good, &line),
                Some('-') => session.terminal.paint(Paint::Bad, &line),
                _ => line,
            };
            writeln!(session.out, "{painted}")?;
        }
    }
    Ok(())
}

/// A report's advice: the `advice` of an object, or a bare list.
fn read_report(path: &Path) -> Result<Vec<Advice>, Error> {
    let text = read_text(path, MAX_REPORT)?;
    let format = |why: String| Error::Format {
        path: path.to_owned(),
        why,
    };
    let mut value: serde_json::Value =
        serde_json::from_str(&text).map_err(|err| format(err.to_string()))?;
    let list = match &mut value {
        serde_json::Value::Object(map) => map.remove("advice"),
        serde_json::Value::Array(_) => Some(value),
        _ => None,
    };
    let list = list.ok_or_else(|| format("there is no `advice` in it".to_owned()))?;
    serde_json::from_value(list).map_err(|err| format(format!("its advice: {err}")))
}

fn read_text(path: &Path, cap: u64) -> Result<String, Error> {
    let (dir, name) = match (path.parent(), path.file_name()) {
        (Some(dir), Some(name)) => (dir, name),
        _ => (Path::new("."), path.as_os_str()),
    };
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    let dir = fs::canonicalize(dir).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let bytes = HostRoot::new(dir)
        .read(Path::new("/").join(name), cap)
        .map_err(|missing| Error::Format {
            path: path.to_owned(),
            why: match missing {
                Missing::Unreadable { why, .. } => why,
                missing => missing.to_string(),
            },
        })?;
    String::from_utf8(bytes).map_err(|err| Error::Format {
        path: path.to_owned(),
        why: format!("not UTF-8 at byte {}", err.utf8_error().valid_up_to()),
    })
}

fn tell(
    out: &Path,
    set: &PatchSet,
    stale: &[String],
    session: &mut Session<'_>,
) -> Result<(), Error> {
    if session.format == Format::Json {
        let files: Vec<_> = set
            .files
            .iter()
            .map(|file| {
                serde_json::json!({
                    "path": file.path, "what": file.what, "advice": file.advice,
                })
            })
            .collect();
        let shown: Vec<_> = set
            .shown
            .iter()
            .map(|shown| {
                serde_json::json!({ "advice": shown.advice, "on": shown.on, "why": shown.why })
            })
            .collect();
        return session.json(&serde_json::json!({
            "out": out.display().to_string(),
            "files": files,
            "shown": shown,
            "already": set.already,
            "stale": stale,
        }));
    }
    if set.files.is_empty() {
        writeln!(session.out, "Nothing to write.")?;
    } else {
        writeln!(
            session.out,
            "Written under {}:",
            render::safe(&out.display().to_string())
        )?;
        for file in &set.files {
            writeln!(
                session.out,
                "  {:<44} {}",
                render::safe(&file.path),
                render::safe(&file.what)
            )?;
        }
        differences(set, session)?;
    }
    for already in &set.already {
        writeln!(session.out, "Already so: {}", render::safe(already))?;
    }
    if !set.shown.is_empty() {
        writeln!(session.out, "\nNot written:")?;
        for shown in &set.shown {
            let id = if shown.advice.is_empty() {
                String::new()
            } else {
                format!("{}: ", shown.advice)
            };
            let text = format!("- {id}{}: {}", shown.on, shown.why);
            let width = usize::from(session.terminal.width);
            writeln!(
                session.out,
                "{}",
                render::wrap(&render::safe(&text), width, 2)
            )?;
        }
    }
    if !stale.is_empty() {
        writeln!(
            session.out,
            "\nOf an earlier run, and none of this one; remove them before STEPS.md is followed:"
        )?;
        for path in stale {
            writeln!(session.out, "  {}", render::safe(path))?;
        }
    }
    if !set.files.is_empty() {
        writeln!(
            session.out,
            "\nNothing was applied. Next: read STEPS.md in there."
        )?;
    }
    Ok(())
}
