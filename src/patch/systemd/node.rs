//! One node's files, and a setting changed where it acts: on the command line, in a file of variables,
//! in the configuration file or in the drop-in. An edit stands when reading all files again proves it.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::releases::Version;
use crate::catalog::settings::{Component, Kind, setting, stops_at_both};
use crate::manifest::{Means, OPEN_VARIABLE, Provenance, Settled, effective_of_files};
use crate::patch::component_file;
use crate::patch::exec_line::{changed, once, runs, unit_with};
use crate::patch::model::NodeManifests;
use crate::patch::wanted::Wanted;
use crate::patch::yaml::{line_end, lines};

use super::files::places;
use super::{DROP_IN, DropIn};

/// One node's files while they are edited.
#[derive(Clone)]
pub(super) struct Node<'a> {
    pub(super) name: &'a str,
    /// Path below the root, and text.
    pub(super) files: Vec<(String, String)>,
    pub(super) before: Vec<(String, String)>,
    pub(super) advice: BTreeMap<String, BTreeSet<String>>,
    /// etcd's version, where known.
    etcd: Option<Version>,
}

impl<'a> Node<'a> {
    pub(super) fn new(node: &'a NodeManifests, etcd: Option<Version>) -> Self {
        let files: Vec<_> = places(node);
        Node {
            etcd,
            name: &node.node,
            before: files.clone(),
            files,
            advice: BTreeMap::new(),
        }
    }

    /// `etcd on cp0`.
    pub(super) fn words(&self, component: Component) -> String {
        let program = component.program();
        if self.name.is_empty() {
            program.to_owned()
        } else {
            format!("{program} on {}", self.name)
        }
    }

    pub(super) fn settled(&self, component: Component) -> Option<Settled> {
        let files: Vec<(&str, &str)> = self
            .files
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        effective_of_files(component, &files)
    }

    /// The unit that runs the component: its name and the raw `ExecStart=`, the last that counts.
    pub(super) fn unit(&self, component: Component) -> Option<(String, String)> {
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
    pub(super) fn set(&mut self, one: &Wanted) -> Result<bool, String> {
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
        if let Some(why) = before
            .unread
            .iter()
            .find(|why| why.starts_with(OPEN_VARIABLE))
        {
            return Err(format!(
                "the command line of {unit} takes arguments that are not known: {why}. Give that file too"
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
                            let new = format!("{head}{variable}=\"{}\"{end}", one.value);
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
                .map(str::trim_start)
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
