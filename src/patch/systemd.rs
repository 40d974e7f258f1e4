//! systemd: a drop-in for the unit that runs etcd, or the one place where a setting already stands.
//!
//! etcd refuses to start when a flag and its variable are both set (etcd `pkg/flags/flag.go`), so a
//! flag on `ExecStart=` is changed there, behind an empty `ExecStart=`. Variables of an
//! `EnvironmentFile=` win over `Environment=` (systemd.exec), so they are changed in that file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::catalog::releases::Version;
use crate::catalog::settings::{Component, Kind, setting, stops_at_both};
use crate::manifest::{
    Means, Provenance, Settled, effective_of_files, expand_specifiers, is_pattern, matches_pattern,
};

use super::apf;
use super::component_file;
use super::diff::{safe_name, unified};
use super::events_unit;
use super::exec_line::{changed, once, runs, unit_with};
use super::members::order;
use super::model::{Emitter, NodeManifests, PatchFile, PatchInput, PatchSet, Shown, apart};
use super::steps::{self, sentence};
use super::wanted::{Wanted, flags};
use super::yaml::{line_end, lines};

/// The emitter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Systemd;

pub(super) const DROP_IN: &str = "90-etcd-doctor.conf";
const WRITTEN: &str = "# Written by etcd-doctor; see STEPS.md.";

/// The drop-in while it grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DropIn {
    pub(super) exec: Option<String>,
    env: BTreeMap<String, String>,
    /// Lines of `[Service]` that somebody added by hand.
    more: Vec<String>,
}

impl DropIn {
    /// What an earlier run left, and what was added to it since.
    pub(super) fn parse(text: &str) -> Self {
        let mut own = DropIn::default();
        for line in text.lines() {
            if let Some(exec) = line.strip_prefix("ExecStart=") {
                if !exec.is_empty() {
                    own.exec = Some(exec.to_owned());
                }
            } else if let Some((name, value)) = line
                .strip_prefix("Environment=\"")
                .and_then(|rest| rest.strip_suffix('"'))
                .and_then(|rest| rest.split_once('='))
                .filter(|(_, value)| !value.contains('"'))
            {
                own.env.insert(name.to_owned(), value.replace("%%", "%"));
            } else if !line.trim().is_empty() && line != "[Service]" && line != WRITTEN {
                own.more.push(line.to_owned());
            }
        }
        own
    }

    pub(super) fn text(&self) -> String {
        let mut text = format!("{WRITTEN}\n[Service]\n");
        for (name, value) in &self.env {
            // Writing to a String cannot fail. `%` starts a specifier.
            writeln!(text, "Environment=\"{name}={}\"", value.replace('%', "%%")).ok();
        }
        if let Some(exec) = &self.exec {
            write!(text, "ExecStart=\nExecStart={exec}\n").ok();
        }
        for line in &self.more {
            writeln!(text, "{line}").ok();
        }
        text
    }
}

/// One node's files while they are edited.
struct Node<'a> {
    name: &'a str,
    /// Path below the root, and text.
    files: Vec<(String, String)>,
    before: Vec<(String, String)>,
    advice: BTreeMap<String, BTreeSet<String>>,
    /// etcd's version, where known.
    etcd: Option<Version>,
}

/// The path below a root that a file's name stands for.
pub(super) fn place(name: &str) -> String {
    if ["etc/", "run/", "usr/", "lib/"]
        .iter()
        .any(|dir| name.starts_with(dir))
    {
        name.to_owned()
    } else if name.ends_with(".service") || name.contains(".service.d/") {
        format!("etc/systemd/system/{name}")
    } else {
        format!("etc/default/{name}")
    }
}

/// Every file with the path that it has below the root: a file that a unit names lies where the
/// unit says, whatever folder it was copied to.
pub(super) fn places(node: &NodeManifests) -> Vec<(String, String)> {
    let named: Vec<String> = node
        .files
        .iter()
        .filter(|(name, _)| name.ends_with(".service") || name.ends_with(".conf"))
        .flat_map(|(name, text)| named_files(name, text))
        .map(|named| named.path)
        .collect();
    node.files
        .iter()
        .map(|(name, text)| {
            let base = name.rsplit('/').next().unwrap_or(name);
            let own = place(name);
            let path = named
                .iter()
                .find_map(|path| {
                    let (dir, last) = path.rsplit_once('/')?;
                    let pattern = is_pattern(last) && matches_pattern(last, base);
                    (last == base || pattern).then(|| format!("{dir}/{base}"))
                })
                .filter(|_| own.starts_with("etc/default/"));
            (path.unwrap_or(own), text.clone())
        })
        .collect()
}

/// A file that a unit names, by its path below the root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    /// Its path without the leading slash; it may be a pattern of names.
    pub(crate) path: String,
    /// Whether the unit starts without it.
    pub(crate) optional: bool,
}

/// Files that a unit or its drop-in of that name names: its environment files, and the
/// configuration that etcd reads. What a specifier hides is left out; reading the unit says so.
pub(crate) fn named_files(name: &str, text: &str) -> Vec<Named> {
    let mut parts = name.rsplit('/');
    let unit = match (parts.next().unwrap_or_default(), parts.next()) {
        (own, _) if own.ends_with(".service") => own,
        (own, folder) => folder.and_then(|dir| dir.strip_suffix(".d")).unwrap_or(own),
    };
    let named = |path: &str| {
        let optional = path.starts_with('-');
        let path = path.trim_start_matches('-').trim_matches('"');
        let path = expand_specifiers(path, unit, None).ok()?;
        let path = path.strip_prefix('/')?.trim_start_matches('/').to_owned();
        Some(Named { path, optional })
    };
    let mut all: Vec<Named> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("EnvironmentFile="))
        .filter_map(named)
        .collect();
    for mark in ["--config-file", "ETCD_CONFIG_FILE"] {
        for (at, _) in text.match_indices(mark) {
            let rest = text.get(at + mark.len()..).unwrap_or_default();
            let path = rest
                .trim_start_matches(['=', ' ', '"'])
                .split(['"', '\'', ' ', '\n', '\r', '\\'])
                .next()
                .unwrap_or_default();
            all.extend(named(path));
        }
    }
    all
}

impl<'a> Node<'a> {
    fn new(node: &'a NodeManifests, etcd: Option<Version>) -> Self {
        let files: Vec<_> = places(node);
        Node {
            etcd,
            name: &node.node,
            before: files.clone(),
            files,
            advice: BTreeMap::new(),
        }
    }

    fn settled(&self, component: Component) -> Option<Settled> {
        let files: Vec<(&str, &str)> = self
            .files
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        effective_of_files(component, &files)
    }

    /// The unit that runs the component: its name and the raw `ExecStart=`, the last that counts.
    fn unit(&self, component: Component) -> Option<(String, String)> {
        unit_with(&self.files, &|exec| runs(exec, component))
    }

    fn text(&self, path: &str) -> Option<&str> {
        let found = self.files.iter().find(|(name, _)| name == path);
        found.map(|(_, text)| text.as_str())
    }

    fn put(&mut self, path: &str, text: String) {
        match self.files.iter_mut().find(|(name, _)| name == path) {
            Some((_, have)) => *have = text,
            None => self.files.push((path.to_owned(), text)),
        }
    }

    /// Sets one flag. `Ok(false)`: it is so already.
    fn set(&mut self, one: &Wanted) -> Result<bool, String> {
        let component = one.component;
        let program = component.program();
        let before = self
            .settled(component)
            .ok_or_else(|| format!("no unit that runs {program} is among the files"))?;
        let (unit, exec) = self
            .unit(component)
            .ok_or_else(|| format!("no unit that runs {program} is among the files"))?;
        let name = setting(component, &one.flag).map_or(one.flag.as_str(), |f| f.setting.name);
        let now = before.settings.get(name);
        if now.is_some_and(|now| now.value.as_deref() == Some(one.value.as_str())) {
            return Ok(false);
        }
        if before.faults.iter().any(|fault| fault.kind == "open-quote") {
            return Err(format!(
                "a quote in the `ExecStart=` of {unit} is never closed, so systemd does not load \
                 the unit: mend it first"
            ));
        }
        let config = before
            .settings
            .get("config-file")
            .and_then(|config| config.value.clone());
        if let Some(config) = config {
            return self.set_in_config(&config, one, &before);
        }
        let drop_in = format!("etc/systemd/system/{unit}.d/{DROP_IN}");
        let mut own = self
            .text(&drop_in)
            .map_or_else(DropIn::default, DropIn::parse);
        let variable = format!("ETCD_{}", one.flag.to_uppercase().replace('-', "_"));
        let given = now.and_then(|now| match now.from {
            Provenance::Given(means) => Some((means, now)),
            _ => None,
        });
        let mut tries: Vec<(String, String)> = Vec::new();
        match given {
            Some((Means::Flag, now)) => {
                if component == Component::Etcd && self.sets(&variable) {
                    let both = format!("--{} and {variable} are both set", one.flag);
                    match stops_at_both(self.etcd) {
                        // The flag counts, and etcd leaves the variable alone.
                        Some(false) => {}
                        Some(true) => {
                            return Err(format!(
                                "{both}, and etcd does not start with both: take one out first"
                            ));
                        }
                        None => {
                            return Err(format!(
                                "{both}: etcd from 3.4 on does not start with both, an older one takes \
                                 the flag. Take one out first, or say --etcd-version"
                            ));
                        }
                    }
                }
                let spelled = now.spelled.as_deref().unwrap_or(&one.flag);
                let exec = once(&exec, spelled);
                for exec in changed(&exec, spelled, &one.flag, &one.value) {
                    own.exec = Some(exec);
                    tries.push((drop_in.clone(), own.text()));
                }
            }
            Some((Means::Env, now)) => {
                let file = now
                    .place
                    .as_ref()
                    .map(|p| p.file.clone())
                    .unwrap_or_default();
                let in_unit = file.contains(".service");
                if in_unit {
                    beaten(&unit, &before)?;
                    own.env.insert(variable, one.value.clone());
                    tries.push((drop_in, own.text()));
                } else {
                    let text = self
                        .text(&file)
                        .ok_or_else(|| format!("{file} is not among the files"))?;
                    for (start, line) in lines(text) {
                        let lead = line.len() - line.trim_start().len();
                        let bare = line.trim_start();
                        let export = if bare.starts_with("export ") {
                            "export "
                        } else {
                            ""
                        };
                        let bare = bare.trim_start_matches("export ");
                        if !bare.starts_with(&format!("{variable}=")) {
                            continue;
                        }
                        let end = line_end(line);
                        let end = if line.ends_with('\n') { end } else { "" };
                        if let (Some(before), Some(head), Some(after)) = (
                            text.get(..start),
                            line.get(..lead),
                            text.get(start + line.len()..),
                        ) {
                            let new = format!("{head}{export}{variable}=\"{}\"{end}", one.value);
                            tries.push((file.clone(), format!("{before}{new}{after}")));
                        }
                    }
                }
            }
            Some((_, _)) => {
                return Err("it is set in a file of its own: change it there".to_owned());
            }
            None if component == Component::Etcd => {
                beaten(&unit, &before)?;
                own.env.insert(variable, one.value.clone());
                tries.push((drop_in, own.text()));
            }
            None => {
                let value = one.value.replace('%', "%%");
                own.exec = Some(format!("{exec} --{}={value}", one.flag));
                tries.push((drop_in, own.text()));
            }
        }
        self.first_proven(tries, one, name, &before)
    }

    /// Whether any file gives a variable.
    fn sets(&self, variable: &str) -> bool {
        self.files.iter().any(|(_, text)| {
            text.lines()
                .map(|line| line.trim_start().trim_start_matches("export "))
                .filter(|line| !line.starts_with(['#', ';']))
                .any(|line| {
                    let plain = line.strip_prefix("Environment=").unwrap_or(line);
                    plain
                        .split_whitespace()
                        .map(|word| word.trim_start_matches(['"', '\'']))
                        .any(|word| {
                            word.strip_prefix(variable)
                                .is_some_and(|r| r.starts_with('='))
                        })
                })
        })
    }

    /// Takes the first edit after which the setting has the value and nothing else changed.
    fn first_proven(
        &mut self,
        tries: Vec<(String, String)>,
        one: &Wanted,
        name: &str,
        before: &Settled,
    ) -> Result<bool, String> {
        for (path, text) in tries {
            let was = self.files.clone();
            self.put(&path, text);
            let proven = self.settled(one.component).is_some_and(|after| {
                after.settings.get(name).and_then(|s| s.value.as_deref())
                    == Some(one.value.as_str())
                    && same_but(before, &after, name)
                    && loads_as(before, &after)
            });
            if proven {
                self.advice
                    .entry(path)
                    .or_default()
                    .insert(one.advice.clone());
                return Ok(true);
            }
            self.files = was;
        }
        Err(format!(
            "--{} cannot be changed alone in the command line as it is written: set it there by hand",
            one.flag
        ))
    }

    /// Sets a flag in the file that etcd reads in place of flags and variables.
    fn set_in_config(
        &mut self,
        config: &str,
        one: &Wanted,
        before: &Settled,
    ) -> Result<bool, String> {
        let path = config.trim_start_matches('/').to_owned();
        let text = self.text(&path).ok_or_else(|| {
            format!(
                "{} reads its settings from {config} and ignores flags and variables; that file is \
                 not among the files: give it too",
                one.component.program()
            )
        })?;
        let found = setting(one.component, &one.flag);
        let name = found.map_or(one.flag.as_str(), |found| found.setting.name);
        // An older spelling is its own key; the newest one may stand in a section.
        let key = found
            .filter(|found| found.former.is_none())
            .and_then(|found| found.setting.file)
            .unwrap_or(&one.flag);
        let duration = found.is_some_and(|found| found.setting.kind == Kind::Duration);
        let value = if duration {
            // etcd's file holds whole nanoseconds.
            let ns = crate::units::parse_go_duration(one.value.as_bytes())
                .ok_or_else(|| format!("{} is no duration", one.value))?;
            yaml_serde::Value::from(ns)
        } else {
            component_file::value(&one.value)
        };
        let text = component_file::edited(text, 0, key, &value)
            .map_err(|refusal| format!("{config}: {refusal}"))?;
        self.first_proven(vec![(path, text)], one, name, before)
    }
}

/// A drop-in's variable does not count where a file that was not read may give it too.
fn beaten(unit: &str, before: &Settled) -> Result<(), String> {
    match before.unread.first() {
        Some(why) => Err(format!(
            "{unit} reads variables from a file, which win over a drop-in's, and they are not known \
             ({why}): give that file too"
        )),
        None => Ok(()),
    }
}

/// How to ask which member leads, with the addresses and certificates of the unit.
fn ask(input: &PatchInput<'_>) -> String {
    let given = input.nodes.iter().find_map(events_unit::given);
    let mut command = String::from("etcdctl");
    for (flag, option) in [
        ("advertise-client-urls", "endpoints"),
        ("trusted-ca-file", "cacert"),
        ("cert-file", "cert"),
        ("key-file", "key"),
    ] {
        if let Some(value) = given.as_ref().and_then(|given| given.get(flag)) {
            write!(command, " --{option}={value}").ok();
        }
    }
    format!("`{command} endpoint status --cluster -w table` (column IS LEADER)")
}

/// Whether everything but one setting is in force as before.
fn same_but(before: &Settled, after: &Settled, name: &str) -> bool {
    let values = |settled: &Settled| -> BTreeMap<String, Option<String>> {
        settled
            .settings
            .iter()
            .filter(|(key, _)| key.as_str() != name)
            .map(|(key, one)| (key.clone(), one.value.clone()))
            .collect()
    };
    values(before) == values(after)
}

/// Faults of a command line that no edit may bring about.
const BROKEN: &[&str] = &["bare-word", "missing-value", "open-quote"];

/// Whether the command line is no worse than before: it loads, and no word of it is lost.
fn loads_as(before: &Settled, after: &Settled) -> bool {
    let broken = |settled: &Settled| -> Vec<(&'static str, String)> {
        let faults = settled.faults.iter();
        faults
            .filter(|fault| BROKEN.contains(&fault.kind))
            .map(|fault| (fault.kind, fault.text.clone()))
            .collect()
    };
    broken(before) == broken(after)
}

impl Emitter for Systemd {
    fn name(&self) -> &'static str {
        "systemd"
    }

    fn emit(&self, input: &PatchInput<'_>) -> PatchSet {
        let (wanted, shown) = flags(input, &Component::ALL, &|value| {
            format!(
                "build the second etcd first, with certificates of the same CA; then give \
                 kube-apiserver --etcd-servers-overrides={value}"
            )
        });
        let mut set = PatchSet {
            shown,
            ..PatchSet::default()
        };
        let nodes = apart(&input.nodes, &|node| {
            events_unit::given(node)?.remove("name")
        });
        let input = &PatchInput {
            nodes,
            ..input.clone()
        };
        let mut done = BTreeSet::new();
        let (mut how, mut back) = (String::new(), String::new());
        for node in &input.nodes {
            let mut node = Node::new(node, input.etcd);
            let mut units = BTreeSet::new();
            for one in &wanted {
                let on = if node.name.is_empty() {
                    one.component.program().to_owned()
                } else {
                    format!("{} on {}", one.component.program(), node.name)
                };
                match node.set(one) {
                    Ok(true) => {
                        done.insert(one.advice.clone());
                        units.extend(node.unit(one.component).map(|(unit, _)| unit));
                    }
                    Ok(false) => set.already.push(format!("{on}: {}", one.flag)),
                    Err(why) => set.shown.push(Shown {
                        advice: one.advice.clone(),
                        on,
                        why,
                    }),
                }
            }
            let placed = write(&node, &mut set);
            let (there, again) = node_steps(node.name, &placed, &units);
            how.push_str(&there);
            back.push_str(&again);
        }
        if input.nodes.is_empty() {
            for one in &wanted {
                set.shown.push(Shown {
                    advice: one.advice.clone(),
                    on: one.component.program().to_owned(),
                    why: "no unit was given: run it on the node, or give --manifests DIR with \
                          etcd.service, its drop-ins and its environment file"
                        .to_owned(),
                });
            }
        }
        if !how.is_empty() {
            let etcd = wanted
                .iter()
                .any(|one| one.component == Component::Etcd && done.contains(&one.advice));
            let first = if etcd {
                format!(" {}.", sentence(&order(&input.members, &ask(input))))
            } else {
                String::new()
            };
            let kept = if how.contains(BEFORE) {
                format!(" A copy of each file that was there is kept in {BEFORE}.")
            } else {
                String::new()
            };
            how = format!(
                "One node after the other.{first}{kept}\n\n{how}{}The same files again change nothing.\n\n",
                if etcd {
                    "Go on when every member answers and none lags. "
                } else {
                    ""
                }
            );
            back = format!(
                "One node after the other, as before.\n\n{}",
                back.trim_end()
            );
        }
        let shard = events_unit::add(input, &mut set);
        done.extend(shard.iter().cloned());
        let levels = apf::add(input, input.kubernetes, &mut set);
        done.extend(levels.iter().cloned());
        if done.is_empty() {
            return set;
        }
        if !shard.is_empty() {
            how.push_str(events_unit::STEPS);
            how.push_str(steps::EVENTS);
        }
        if !levels.is_empty() {
            how = format!("{how}\n{}", apf::HOW);
        }
        if back.is_empty() {
            "What was put in place goes again, the last first.".clone_into(&mut back);
        }
        let content = steps::short(input, &set, &done, how.trim_end(), &back);
        set.files.insert(
            0,
            PatchFile {
                path: "STEPS.md".to_owned(),
                content,
                what: "what to do, in order".to_owned(),
                advice: done.into_iter().collect(),
            },
        );
        set
    }
}

/// Where the steps keep what was there before.
const BEFORE: &str = "/root/etcd-doctor-before";

/// A file that goes to a node.
struct Placed {
    /// Below the folder that is written into.
    from: String,
    /// On the node.
    to: String,
    /// Whether nothing is there yet.
    fresh: bool,
}

/// What to do on one node, and how to go back: each file that was written, and no other.
fn node_steps(name: &str, placed: &[Placed], units: &BTreeSet<String>) -> (String, String) {
    if placed.is_empty() {
        return (String::new(), String::new());
    }
    let (mut keep, mut put, mut back) = (String::new(), String::new(), String::new());
    for file in placed {
        let (from, to) = (&file.from, &file.to);
        // Writing to a String cannot fail.
        if file.fresh {
            writeln!(put, "    install -D -m 0644 {from} {to}").ok();
            writeln!(back, "    rm {to}").ok();
        } else {
            // Owner and mode of the file that is there stay.
            writeln!(keep, "    cp -a --parents {to} {BEFORE}").ok();
            writeln!(put, "    cp {from} {to}").ok();
            writeln!(back, "    cp -a {BEFORE}{to} {to}").ok();
        }
    }
    let mut end = String::from("    systemctl daemon-reload\n");
    for unit in units {
        writeln!(end, "    systemctl restart {unit}").ok();
    }
    if units.iter().any(|unit| unit.starts_with("etcd")) {
        end.push_str("    etcdctl endpoint status --cluster -w table\n");
    }
    if !keep.is_empty() {
        keep = format!("    mkdir -p {BEFORE}\n{keep}");
    }
    let on = if name.is_empty() {
        String::new()
    } else {
        format!("On {name}:\n\n")
    };
    (
        format!("{on}{keep}{put}{end}\n"),
        format!("{on}{back}{end}\n"),
    )
}

/// The files of a node that changed, with their diffs; gives where each goes.
fn write(node: &Node<'_>, set: &mut PatchSet) -> Vec<Placed> {
    let mut placed = Vec::new();
    for (path, text) in &node.files {
        let Some(advice) = node.advice.get(path) else {
            continue;
        };
        let old = node
            .before
            .iter()
            .find(|(name, _)| name == path)
            .map_or("", |(_, text)| text.as_str());
        let short = path
            .trim_start_matches("etc/systemd/system/")
            .split('/')
            .map(safe_name)
            .collect::<Vec<_>>()
            .join("/");
        let short = if node.name.is_empty() {
            short
        } else {
            format!("{}/{short}", safe_name(node.name))
        };
        let advice: Vec<String> = advice.iter().cloned().collect();
        set.files.push(PatchFile {
            path: short.clone(),
            content: text.clone(),
            what: format!("/{path}"),
            advice: advice.clone(),
        });
        set.files.push(PatchFile {
            path: format!("{short}.diff"),
            content: unified(old, text, path),
            what: "what changes in it".to_owned(),
            advice,
        });
        placed.push(Placed {
            from: short,
            to: format!("/{path}"),
            fresh: old.is_empty(),
        });
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::Advice;

    fn advice(setting: &str, proposed: &str) -> Advice {
        serde_json::from_value(serde_json::json!({
            "id": setting, "remedy": "etcd", "strength": "recommended", "target": "etcd",
            "setting": setting, "now": null, "proposed": proposed, "why": "w", "effect": "e",
            "confidence": "high", "risk": "r", "undo": "u", "verify": "v",
            "disposition": "disruptive", "finding_ids": [], "source": "s",
        }))
        .unwrap()
    }

    const UNIT: &str = "[Unit]\nDescription=etcd\n[Service]\nType=notify\nEnvironmentFile=-/etc/default/etcd\nEnvironment=ETCD_SNAPSHOT_COUNT=50000\n\
                        ExecStart=/usr/bin/etcd --name a \\\n  --heartbeat-interval=100 \\\n  --data-dir /var/lib/etcd\n";
    const FILE: &str = "# ours\nETCD_ELECTION_TIMEOUT=\"1000\"\n";

    fn emit(files: &[(&str, &str)], advices: &[Advice]) -> PatchSet {
        Systemd.emit(&PatchInput {
            advices,
            etcd: Some(Version::parse("3.5.16").unwrap()),
            nodes: vec![NodeManifests {
                node: String::new(),
                files: files
                    .iter()
                    .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                    .collect(),
            }],
            ..PatchInput::default()
        })
    }

    fn all() -> [Advice; 4] {
        [
            advice("quota-backend-bytes", "8589934592"),
            advice("heartbeat-interval", "300"),
            advice("election-timeout", "3000"),
            advice("snapshot-count", "10000"),
        ]
    }

    #[test]
    fn each_setting_is_changed_where_it_stands() {
        let set = emit(&[("etcd.service", UNIT), ("etcd", FILE)], &all());
        assert_eq!(set.shown, []);
        assert_eq!(
            set.file("etcd.service.d/90-etcd-doctor.conf")
                .unwrap()
                .content,
            "# Written by etcd-doctor; see STEPS.md.\n[Service]\n\
             Environment=\"ETCD_QUOTA_BACKEND_BYTES=8589934592\"\n\
             Environment=\"ETCD_SNAPSHOT_COUNT=10000\"\nExecStart=\n\
             ExecStart=/usr/bin/etcd --name a --heartbeat-interval=300 --data-dir /var/lib/etcd\n"
        );
        assert_eq!(
            set.file("etc/default/etcd").unwrap().content,
            "# ours\nETCD_ELECTION_TIMEOUT=\"3000\"\n"
        );
    }

    #[test]
    fn a_second_run_changes_nothing() {
        let set = emit(&[("etcd.service", UNIT), ("etcd", FILE)], &all());
        let drop_in = &set
            .file("etcd.service.d/90-etcd-doctor.conf")
            .unwrap()
            .content;
        let file = &set.file("etc/default/etcd").unwrap().content;
        let again = emit(
            &[
                ("etcd.service", UNIT),
                ("etcd", file),
                ("etcd.service.d/90-etcd-doctor.conf", drop_in),
            ],
            &all(),
        );
        assert!(again.files.is_empty(), "{again:?}");
        assert_eq!(again.already.len(), 4);
    }

    #[test]
    fn a_flag_in_the_words_of_a_shell_keeps_their_quotes() {
        let quota = [advice("quota-backend-bytes", "8589934592")];
        for (exec, after) in [
            (
                r#"/bin/bash -c "/usr/bin/etcd --name=a --quota-backend-bytes 1""#,
                r#"/bin/bash -c "/usr/bin/etcd --name=a --quota-backend-bytes 8589934592""#,
            ),
            (
                r"/bin/sh -c 'exec etcd --quota-backend-bytes 1 --name=a'",
                r"/bin/sh -c 'exec etcd --quota-backend-bytes 8589934592 --name=a'",
            ),
            (
                r#"/bin/bash -c "GOMAXPROCS=$(nproc) /usr/bin/etcd --name=\"${ETCD_NAME}\" --quota-backend-bytes=\"1\"""#,
                r#"/bin/bash -c "GOMAXPROCS=$(nproc) /usr/bin/etcd --name=\"${ETCD_NAME}\" --quota-backend-bytes=\"8589934592\"""#,
            ),
        ] {
            let unit = format!("[Service]\nExecStart={exec}\n");
            let set = emit(&[("etcd.service", &unit)], &quota);
            assert_eq!(set.shown, [], "{exec}");
            let file = set.file("etcd.service.d/90-etcd-doctor.conf").unwrap();
            assert!(
                file.content.ends_with(&format!("\nExecStart={after}\n")),
                "{}",
                file.content
            );
        }
    }

    #[test]
    fn a_line_that_does_not_load_is_left_alone() {
        let quota = [advice("quota-backend-bytes", "8589934592")];
        for (exec, why) in [
            (
                r#"/bin/bash -c "etcd --quota-backend-bytes=1"#,
                "never closed",
            ),
            (
                r"/bin/sh -c 'etcd --quota-backend-bytes=$(cat /etc/quota)'",
                "by hand",
            ),
        ] {
            let unit = format!("[Service]\nExecStart={exec}\n");
            let set = emit(&[("etcd.service", &unit)], &quota);
            assert!(set.files.is_empty(), "{exec}");
            assert!(set.shown[0].why.contains(why), "{:?}", set.shown);
        }
    }

    #[test]
    fn the_steps_name_each_file_that_is_written_and_no_other() {
        let unit = "[Service]\nEnvironmentFile=/etc/default/etcd\nExecStart=/usr/bin/etcd\n";
        let config = "[Service]\nExecStart=/usr/bin/etcd --config-file /etc/etcd/etcd.conf.yml\n";
        for (files, path) in [
            ([("etcd.service", unit), ("etcd", FILE)], "etc/default/etcd"),
            (
                [
                    ("etcd.service", config),
                    ("etcd.conf.yml", "election-timeout: 1000\n"),
                ],
                "etc/etcd/etcd.conf.yml",
            ),
        ] {
            let set = emit(&files, &[advice("election-timeout", "3000")]);
            assert_eq!(set.shown, []);
            let steps = &set.file("STEPS.md").unwrap().content;
            assert!(set.file(path).is_some(), "{:?}", set.files);
            assert!(!steps.contains(DROP_IN), "{steps}");
            for line in [
                format!("    cp -a --parents /{path} {BEFORE}\n    cp {path} /{path}\n"),
                format!("    cp -a {BEFORE}/{path} /{path}\n    systemctl daemon-reload\n"),
            ] {
                assert!(steps.contains(&line), "{line}\n{steps}");
            }
        }
        let set = emit(
            &[("etcd.service", UNIT)],
            &[advice("heartbeat-interval", "300")],
        );
        let steps = &set.file("STEPS.md").unwrap().content;
        let to = format!("/etc/systemd/system/etcd.service.d/{DROP_IN}");
        assert!(
            steps.contains(&format!("0644 etcd.service.d/{DROP_IN} {to}\n")),
            "{steps}"
        );
        assert!(steps.contains(&format!("    rm {to}\n")), "{steps}");
    }

    #[test]
    fn nodes_without_a_name_get_a_folder_each() {
        let node = |name: &str| NodeManifests {
            node: String::new(),
            files: vec![(
                "etcd.service".to_owned(),
                format!("[Service]\nExecStart=/usr/bin/etcd {name} --quota-backend-bytes=1\n"),
            )],
        };
        let advices = [advice("quota-backend-bytes", "8589934592")];
        for (nodes, folders) in [
            ([node("--name=a"), node("--name=b")], ["a", "b"]),
            ([node(""), node("")], ["node-1", "node-2"]),
            ([node("--name=a"), node("--name=a")], ["a", "node-2"]),
        ] {
            let set = Systemd.emit(&PatchInput {
                advices: &advices,
                nodes: nodes.to_vec(),
                ..PatchInput::default()
            });
            assert_eq!(set.shown, []);
            let steps = &set.file("STEPS.md").unwrap().content;
            for folder in folders {
                let path = format!("{folder}/etcd.service.d/{DROP_IN}");
                assert!(set.file(&path).is_some(), "{:?}", set.files);
                assert!(
                    steps.contains(&format!(
                        "On {folder}:\n\n    install -D -m 0644 {path} /etc/"
                    )),
                    "{steps}"
                );
            }
        }
    }

    #[test]
    fn a_flag_and_its_variable_stop_etcd_from_3_4_on() {
        let unit = "[Service]\nEnvironment=ETCD_QUOTA_BACKEND_BYTES=2\nExecStart=/usr/bin/etcd --quota-backend-bytes=1\n";
        let advices = [advice("quota-backend-bytes", "8589934592")];
        for (version, why) in [
            (Some("3.3.15"), None),
            (
                Some("3.4.0"),
                Some("does not start with both: take one out first"),
            ),
            (None, Some("or say --etcd-version")),
        ] {
            let set = Systemd.emit(&PatchInput {
                advices: &advices,
                etcd: version.and_then(Version::parse),
                nodes: vec![NodeManifests {
                    node: String::new(),
                    files: vec![("etcd.service".to_owned(), unit.to_owned())],
                }],
                ..PatchInput::default()
            });
            let told = set.shown.first().map(|shown| shown.why.as_str());
            assert_eq!(told.is_some(), why.is_some(), "{told:?}");
            assert!(
                told.unwrap_or_default().contains(why.unwrap_or_default()),
                "{told:?}"
            );
            assert_eq!(set.files.is_empty(), why.is_some());
        }
    }

    #[test]
    fn a_configuration_file_is_not_shadowed() {
        let unit = "[Service]\nExecStart=/usr/bin/etcd --config-file /etc/etcd.yml\n";
        let set = emit(&[("etcd.service", unit)], &all());
        assert!(set.files.is_empty());
        assert!(
            set.shown[0].why.contains("/etc/etcd.yml"),
            "{:?}",
            set.shown
        );
    }
}
