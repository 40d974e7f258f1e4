//! `patch`: advice as files of a distribution, written under one folder and nowhere else.

mod stale;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Component, Path, PathBuf};

use crate::advise::Advice;
use crate::catalog::releases::Version;
use crate::error::Error;
use crate::evidence::Missing;
use crate::exit::Exit;
use crate::manifest::{is_pattern, matches_pattern};
use crate::patch::{
    EMITTERS, Member, Named, NodeManifests, PatchFile, PatchInput, PatchSet, emitter, members,
    named_files,
};
use crate::render::{self, Paint};
use crate::target::HostRoot;

use super::common::{Format, Session};
use super::diagnose;

/// The kubelet starts whatever lies here.
const STATIC_PODS: &str = "/etc/kubernetes/manifests";
/// Most manifests of one node.
const MAX_FILES: usize = 200;
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
        refuse_static_pods(out)?;
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
    let emitter = emitter(&args.target)
        .ok_or_else(|| Error::Usage(format!("there is no target `{}`", args.target)))?;
    let set = emitter.emit(&input);
    let Some(out) = &args.out else {
        return drift(&set, session);
    };
    let out = refuse_static_pods(out)?;
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

/// Manifests by node: the files of a folder, and those of its sub-folders.
fn nodes(args: &Args, session: &Session<'_>) -> Result<Vec<NodeManifests>, Error> {
    let (root, dirs): (HostRoot, Vec<&str>) = match (&args.manifests, &args.bundle) {
        (Some(manifests), _) => (HostRoot::new(existing(manifests)?), vec!["/"]),
        (None, Some(bundle)) => (
            HostRoot::new(existing(bundle)?),
            vec!["/manifests", STATIC_PODS, "/host/etc/kubernetes/manifests"],
        ),
        (None, None) if args.target == "systemd" => {
            return Ok(units(&HostRoot::live(), "", UNITS, &|text| {
                session.note(text)
            }));
        }
        (None, None) if args.target == "kubelet-config" => {
            let mut node = NodeManifests::default();
            let note = |text: &str| session.note(text);
            let path = Path::new("/var/lib/kubelet/config.yaml");
            read_into(&HostRoot::live(), path, "config.yaml", &mut node, &note);
            return Ok(vec![node]);
        }
        (None, None) => {
            let dir = match args.target.as_str() {
                "k3s" => "/etc/rancher/k3s",
                "rke2" => "/etc/rancher/rke2",
                _ => STATIC_PODS,
            };
            (HostRoot::live(), vec![dir])
        }
    };
    if args.target == "systemd" {
        let found = units(&root, "", UNITS, &|text| session.note(text));
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(manifests_of(&root, &dirs, &|text| session.note(text)))
}

/// k3s and RKE2 on this node, or in a tree with `etc/rancher`: their configuration with the unit that
/// starts the server, since a list on its command line replaces those of the files. Empty where the
/// files lie in another way.
fn server_nodes(args: &Args, session: &Session<'_>) -> Result<Vec<NodeManifests>, Error> {
    let service = match args.target.as_str() {
        "k3s" => "k3s",
        "rke2" => "rke2-server",
        _ => return Ok(Vec::new()),
    };
    let given = args.manifests.as_ref().or(args.bundle.as_ref());
    let root = match given {
        Some(path) => HostRoot::new(existing(path)?),
        None => HostRoot::live(),
    };
    let note = |text: &str| session.note(text);
    let server = |folder: &str, name: &str| {
        let mut node = NodeManifests {
            node: name.to_owned(),
            files: Vec::new(),
        };
        let mut configured = false;
        for below in ["", "/manifests", "/host"] {
            let base = format!("{folder}{below}");
            let dir = format!("{base}/etc/rancher/{}", args.target);
            let configs = manifests_of(&root, &[&dir], &note);
            let units = units(&root, &base, &[service], &note);
            configured |= root.exists(&dir) || !units.is_empty();
            for (name, text) in configs
                .into_iter()
                .filter(|own| own.node.is_empty())
                .chain(units)
                .flat_map(|own| own.files)
            {
                if node.file(&name).is_none() {
                    node.files.push((name, text));
                }
            }
        }
        configured.then_some(node)
    };
    let own = server("", "");
    if own.is_some() || given.is_none() {
        return Ok(own.into_iter().collect());
    }
    let folders = root.list("/").unwrap_or_default();
    Ok(folders
        .iter()
        .filter(|entry| entry.is_dir)
        .filter_map(|entry| {
            let name = entry.name.to_string_lossy();
            server(&format!("/{name}"), &name)
        })
        .collect())
}

/// The units of a control plane without a distribution.
const UNITS: &[&str] = &[
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
];

/// Units with their drop-ins and environment files, below a folder of a root.
fn units(root: &HostRoot, base: &str, names: &[&str], note: &dyn Fn(&str)) -> Vec<NodeManifests> {
    let mut node = NodeManifests::default();
    let read = |path: &str, node: &mut NodeManifests| {
        if let Ok(bytes) = root.read(format!("{base}/{path}"), MAX_BYTES) {
            match String::from_utf8(bytes) {
                Ok(text) => node
                    .files
                    .push((path.trim_start_matches('/').to_owned(), text)),
                Err(_) => note(&format!("{path} is not UTF-8 and was left out")),
            }
        }
    };
    for unit in names {
        for dir in [
            "/etc/systemd/system",
            "/run/systemd/system",
            "/usr/local/lib/systemd/system",
            "/usr/lib/systemd/system",
            "/lib/systemd/system",
        ] {
            read(&format!("{dir}/{unit}.service"), &mut node);
            let drops = format!("{dir}/{unit}.service.d");
            for entry in root.list(format!("{base}{drops}")).unwrap_or_default() {
                let name = entry.name.to_string_lossy();
                if name.ends_with(".conf") {
                    read(&format!("{drops}/{name}"), &mut node);
                }
            }
        }
    }
    // Only the files that a unit names.
    let named: BTreeSet<Named> = node
        .files
        .iter()
        .flat_map(|(name, text)| named_files(name, text))
        .collect();
    for Named { path, optional } in named {
        let had = node.files.len();
        let mut absent = false;
        if let Some((dir, last)) = path.rsplit_once('/').filter(|_| is_pattern(&path)) {
            match root.list(format!("{base}/{dir}")) {
                Ok(entries) => {
                    for entry in entries {
                        let name = entry.name.to_string_lossy();
                        if !entry.is_dir && matches_pattern(last, &name) {
                            read(&format!("{dir}/{name}"), &mut node);
                        }
                    }
                    absent = node.files.len() == had;
                }
                Err(missing) => absent = matches!(missing, Missing::NotPresent { .. }),
            }
        } else {
            read(&path, &mut node);
            let there = root.read(format!("{base}/{path}"), MAX_BYTES);
            absent |= matches!(there, Err(Missing::NotPresent { .. }));
        }
        // One that may be missing and is sets nothing, which must be known. Of one that must be
        // there nothing is known: it was not copied.
        if node.files.len() == had && absent && optional {
            node.files.push((path, String::new()));
        }
    }
    if node.files.is_empty() {
        Vec::new()
    } else {
        vec![node]
    }
}

/// The manifests below the first of `dirs` that has any, node by node.
pub(super) fn manifests_of(
    root: &HostRoot,
    dirs: &[&str],
    note: &dyn Fn(&str),
) -> Vec<NodeManifests> {
    let mut nodes = Vec::new();
    for dir in dirs {
        let Ok(entries) = root.list(dir) else {
            continue;
        };
        let mut own = NodeManifests::default();
        for entry in entries {
            let path = Path::new(dir).join(&entry.name);
            let name = entry.name.to_string_lossy().into_owned();
            if entry.is_dir && (name == "config.yaml.d" || name.ends_with(".service.d")) {
                // k3s, RKE2 and systemd: parts of one node's configuration.
                for inner in root.list(&path).unwrap_or_default() {
                    let inner = inner.name.to_string_lossy().into_owned();
                    let full = format!("{name}/{inner}");
                    read_into(root, &path.join(&inner), &full, &mut own, note);
                }
            } else if entry.is_dir {
                let mut node = NodeManifests {
                    node: name,
                    files: Vec::new(),
                };
                for inner in root.list(&path).unwrap_or_default() {
                    let inner_name = inner.name.to_string_lossy().into_owned();
                    let parts = inner_name == "config.yaml.d" || inner_name.ends_with(".service.d");
                    if inner.is_dir && parts {
                        let dir = path.join(&inner.name);
                        for drop_in in root.list(&dir).unwrap_or_default() {
                            let name = drop_in.name.to_string_lossy().into_owned();
                            let full = format!("{inner_name}/{name}");
                            read_into(root, &dir.join(&name), &full, &mut node, note);
                        }
                    }
                    if !inner.is_dir {
                        read_into(
                            root,
                            &path.join(&inner.name),
                            &inner.name.to_string_lossy(),
                            &mut node,
                            note,
                        );
                    }
                }
                if !node.files.is_empty() {
                    nodes.push(node);
                }
            } else {
                read_into(root, &path, &name, &mut own, note);
            }
        }
        if !own.files.is_empty() {
            nodes.push(own);
        }
        if !nodes.is_empty() {
            break;
        }
    }
    nodes
}

fn existing(path: &Path) -> Result<PathBuf, Error> {
    fs::canonicalize(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

fn read_into(
    root: &HostRoot,
    path: &Path,
    name: &str,
    node: &mut NodeManifests,
    note: &dyn Fn(&str),
) {
    let drop_in = name
        .rsplit_once('/')
        .is_some_and(|(dir, _)| dir.ends_with("config.yaml.d"));
    let wanted = match Path::new(name).extension() {
        // k3s and RKE2 read these of their folder, in any case, and nothing else.
        ext if drop_in => ext.is_some_and(|ext| {
            ["yaml", "yml"]
                .iter()
                .any(|end| ext.eq_ignore_ascii_case(end))
        }),
        Some(ext) => ["yaml", "yml", "json", "service", "conf", "env"]
            .iter()
            .any(|e| ext == *e),
        // Environment files seldom have an extension: /etc/default/etcd.
        None => name == "etcd",
    };
    if !wanted || node.files.len() >= MAX_FILES {
        return;
    }
    match root.read(path, MAX_BYTES) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => node.files.push((name.to_owned(), text)),
            Err(err) => {
                let place = err.utf8_error().valid_up_to();
                let why = format!("not UTF-8 at byte {place}");
                note(&format!("{name} was left out: {why}"));
                node.unread(name.to_owned(), &why);
            }
        },
        Err(missing) => {
            note(&format!("{name} was left out: {missing}"));
            node.unread(name.to_owned(), &missing.to_string());
        }
    }
}

/// Refuses to write where the kubelet would start what is written.
fn refuse_static_pods(out: &Path) -> Result<PathBuf, Error> {
    // Resolve as much as exists, so that a symlink cannot hide the place.
    let mut missing = Vec::new();
    let mut at = if out.is_absolute() {
        out.to_owned()
    } else {
        existing(Path::new("."))?.join(out)
    };
    if at.components().any(|part| part == Component::ParentDir) && !at.exists() {
        return Err(Error::Usage(format!(
            "`--out {}` has `..` in a path that does not exist yet",
            out.display()
        )));
    }
    let real = loop {
        if let Ok(real) = fs::canonicalize(&at) {
            break real;
        }
        match (at.file_name().map(ToOwned::to_owned), at.parent()) {
            (Some(name), Some(parent)) => {
                missing.push(name);
                at = parent.to_owned();
            }
            _ => break at,
        }
    };
    let full = missing
        .iter()
        .rev()
        .fold(real, |path, name| path.join(name));
    if is_static_pods(&full) {
        return Err(Error::Usage(format!(
            "refusing to write into `{}`: the kubelet starts every file under it",
            full.display()
        )));
    }
    Ok(full)
}

/// The folder itself or one below it, on this machine or in a tree that stands for one.
fn is_static_pods(path: &Path) -> bool {
    path.ancestors().any(|dir| {
        dir.ends_with("etc/kubernetes/manifests")
            || dir.ends_with("rancher/rke2/agent/pod-manifests")
            || dir.ends_with("rancher/k3s/agent/pod-manifests")
    })
}

/// Writes all files or none: everything is staged beside its place first, then moved.
fn write_files(out: &Path, files: &[PatchFile]) -> Result<(), Error> {
    let mut staged: Vec<(PathBuf, PathBuf)> = Vec::new();
    let result = stage(out, files, &mut staged);
    let result = result.and_then(|()| put_in_place(&staged));
    if result.is_err() {
        // What was moved is gone from here; the rest goes now.
        for (temp, _) in &staged {
            fs::remove_file(temp).ok();
        }
    }
    result
}

/// Moves what was staged to its place; on failure what came new goes again.
fn put_in_place(staged: &[(PathBuf, PathBuf)]) -> Result<(), Error> {
    let mut new: Vec<&Path> = Vec::new();
    for (temp, path) in staged {
        let fresh = fs::symlink_metadata(path).is_err();
        if let Err(source) = fs::rename(temp, path) {
            for path in new {
                fs::remove_file(path).ok();
            }
            return Err(Error::Write {
                path: path.clone(),
                source,
            });
        }
        if fresh {
            new.push(path);
        }
    }
    Ok(())
}

fn stage(
    out: &Path,
    files: &[PatchFile],
    staged: &mut Vec<(PathBuf, PathBuf)>,
) -> Result<(), Error> {
    for file in files {
        let path = out.join(&file.path);
        let fail = |source| Error::Write {
            path: path.clone(),
            source,
        };
        let dir = path.parent().unwrap_or(out);
        fs::create_dir_all(dir).map_err(fail)?;
        // A link inside the folder must not lead out of it.
        let inside = fs::canonicalize(dir).map_err(fail)?;
        let root = fs::canonicalize(out).map_err(fail)?;
        if !inside.starts_with(&root) || is_static_pods(&inside) {
            return Err(Error::Usage(format!(
                "`{}` leads out of `{}`",
                dir.display(),
                out.display()
            )));
        }
        if staged.iter().any(|(_, have)| *have == path) {
            return Err(fail(std::io::Error::other(
                "two files of this name were to be written",
            )));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temp = dir.join(format!(".{name}.{}.new", std::process::id()));
        staged.push((temp.clone(), path.clone()));
        let mut handle = fs::File::create(&temp).map_err(fail)?;
        handle.write_all(file.content.as_bytes()).map_err(fail)?;
        handle.sync_all().map_err(fail)?;
    }
    Ok(())
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
