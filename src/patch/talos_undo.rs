//! The way back for Talos: a patch of the machine configuration that restores what was there.
//!
//! A strategic merge patch sets values; since Talos 1.8 it also takes keys out by `$patch: delete`
//! (siderolabs/talos #9275: `deleteForPath` goes through structs and maps by name). `talosctl patch`
//! merges on the side of the client, so it is talosctl's version that counts.

use std::collections::{BTreeMap, BTreeSet};

use yaml_serde::Value;

use crate::catalog::releases::{Version, of_image};
use crate::catalog::settings::Component;

use super::diff::safe_name;
use super::model::{PatchFile, PatchSet};
use super::talos::section;
use super::wanted::Wanted;
use super::yaml::{documents, quoted};

/// The first release whose patches delete.
const DELETES: Version = Version::minor(1, 8);
/// No Talos before 1.8 runs this Kubernetes.
const NEW_KUBERNETES: Version = Version::minor(1, 31);

/// What a key of `extraArgs` was.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Was {
    /// A value.
    Set(String),
    /// Not there.
    Absent,
    /// A list: merging appends to it.
    List,
}

/// What one machine had.
struct Machine {
    name: String,
    keys: Vec<(Component, String, Was)>,
    deletes: bool,
}

/// The way back of one patch.
pub(super) struct Undo {
    machines: Vec<Machine>,
}

impl Undo {
    /// What the machines have now of what is wanted.
    pub(super) fn new(
        machines: &[(String, &str)],
        wanted: &[Wanted],
        set: &PatchSet,
        kubernetes: Option<Version>,
    ) -> Self {
        // What a machine keeps is no change to take back.
        let kept = |name: &str, one: &Wanted| {
            let on = format!("{} of {name}", one.component.program());
            set.had
                .iter()
                .any(|had| had.becomes.is_none() && had.advice == one.advice && had.on == on)
        };
        let machines = machines
            .iter()
            .map(|(name, text)| Machine {
                name: name.clone(),
                keys: wanted
                    .iter()
                    .filter(|one| !kept(name, one))
                    .map(|one| (one.component, one.flag.clone(), was(text, one)))
                    .collect(),
                deletes: installer(text).map_or(
                    kubernetes.is_some_and(|version| version >= NEW_KUBERNETES),
                    |version| version >= DELETES,
                ),
            })
            .collect();
        Undo { machines }
    }

    /// The files: one where all machines are alike, else one for each.
    pub(super) fn files(&self, advice: &BTreeSet<String>) -> Vec<PatchFile> {
        let file = |path: String, content: String| PatchFile {
            path,
            content,
            what: "patch for `talosctl patch mc` that leads back".to_owned(),
            advice: advice.iter().cloned().collect(),
        };
        let texts: Vec<Option<String>> = self.machines.iter().map(Machine::patch).collect();
        let alike = texts.windows(2).all(|pair| pair.first() == pair.last());
        match (alike, texts.first()) {
            (_, None) => Vec::new(),
            (true, Some(text)) => text
                .clone()
                .map(|text| file("talos-undo.yaml".to_owned(), text))
                .into_iter()
                .collect(),
            (false, _) => self
                .machines
                .iter()
                .zip(texts)
                .filter_map(|(machine, text)| {
                    Some(file(format!("undo/{}", file_name(&machine.name)), text?))
                })
                .collect(),
        }
    }

    /// What `STEPS.md` says of it.
    pub(super) fn words(&self, any: bool) -> String {
        let mut text = String::new();
        if any {
            let files = self.files(&BTreeSet::new());
            match files.as_slice() {
                [] => text.push_str(
                    "`talosctl -n NODE edit mc` and put the arguments back as they were \
                     (before-NODE.yaml), one node at a time.",
                ),
                [one] if self.machines.len() == 1 || one.path == "talos-undo.yaml" => {
                    text = format!(
                        "`talosctl -n NODE patch mc --patch @{}`, one node at a time, as above: it \
                         restores what the machine configuration said.",
                        one.path
                    );
                }
                _ => text.push_str(
                    "`talosctl -n NODE patch mc --patch @undo/NODE.yaml`, one node at a time, as \
                     above: each restores what the machine configuration of that node said.",
                ),
            }
            if files.iter().any(|file| file.content.contains("$patch")) {
                text.push_str(
                    " `$patch: delete` takes a key out that was not there; talosctl knows it from 1.8 \
                     on, an older one refuses the patch.",
                );
            }
            let mut by_hand: BTreeMap<String, String> = BTreeMap::new();
            for machine in &self.machines {
                for (component, flag, was) in &machine.keys {
                    let why = match was {
                        Was::List => {
                            "was a list, and a merge would append to it: put it back from \
                             before-NODE.yaml with `talosctl -n NODE edit mc`"
                        }
                        Was::Absent if !machine.deletes => {
                            "was not set, and no patch takes a key out before Talos 1.8: take it out \
                             with `talosctl -n NODE edit mc`, or with talosctl 1.8 or later by a patch \
                             that gives it the value `{$patch: delete}`"
                        }
                        _ => continue,
                    };
                    let section = section(*component).unwrap_or_default();
                    let key = format!("cluster.{section}.extraArgs.{flag} of {}", machine.name);
                    by_hand.insert(key, why.to_owned());
                }
            }
            if !by_hand.is_empty() {
                text.push_str("\n\nNot in the patch, to be done by hand:\n");
                for (key, why) in by_hand {
                    text = format!("{text}\n- {key}: {why}");
                }
            }
        }
        let gap = if text.is_empty() { "" } else { "\n\n" };
        format!("{text}{gap}`kubectl delete -f apf/` for priority levels, where there are any.")
    }
}

/// The file of a machine, by its name.
pub(super) fn file_name(machine: &str) -> String {
    let name = safe_name(machine);
    let end = if name.ends_with(".yaml") { "" } else { ".yaml" };
    format!("{name}{end}")
}

impl Machine {
    /// The patch that restores it, read back; `None` where there is nothing that a patch can restore.
    fn patch(&self) -> Option<String> {
        let mut text = String::from("cluster:\n");
        let mut any = false;
        for component in Component::ALL {
            let lines: String = self
                .keys
                .iter()
                .filter(|(have, ..)| *have == component)
                .filter_map(|(_, flag, was)| match was {
                    Was::Set(value) => Some(format!("      {flag}: {}\n", quoted(value))),
                    Was::Absent if self.deletes => {
                        Some(format!("      {flag}:\n        $patch: delete\n"))
                    }
                    Was::Absent | Was::List => None,
                })
                .collect();
            let Some(section) = section(component).filter(|_| !lines.is_empty()) else {
                continue;
            };
            any = true;
            text = format!("{text}  {section}:\n    extraArgs:\n{lines}");
        }
        (any && documents(&text).is_ok()).then_some(text)
    }
}

/// What a machine's `extraArgs` hold of a flag.
fn was(text: &str, one: &Wanted) -> Was {
    let value = documents(text).ok().and_then(|all| {
        all.iter().find_map(|doc| {
            doc.get("cluster")?
                .get(section(one.component)?)?
                .get("extraArgs")?
                .get(one.flag.as_str())
                .cloned()
        })
    });
    match value {
        Some(Value::String(text)) => Was::Set(text),
        Some(Value::Number(number)) => Was::Set(number.to_string()),
        Some(Value::Bool(flag)) => Was::Set(flag.to_string()),
        Some(Value::Sequence(_)) => Was::List,
        _ => Was::Absent,
    }
}

/// Talos' version as the installer's image tells it.
fn installer(text: &str) -> Option<Version> {
    documents(text).ok()?.iter().find_map(|doc| {
        let image = doc.get("machine")?.get("install")?.get("image")?;
        of_image(image.as_str()?)
    })
}
