//! The files that a changed node needs, and the steps to put them there and to go back.

use std::collections::BTreeSet;

use crate::patch::apf;
use crate::patch::diff::{safe_name, unified};
use crate::patch::members::order;
use crate::patch::model::{PatchFile, PatchInput, PatchSet};
use crate::patch::steps::{self, sentence};
use crate::patch::systemd;

use super::node::Node;
use super::{DROP_IN, Rancher};

/// What to do with the drop-ins of units, and how to go back.
#[derive(Default)]
struct UnitSteps {
    how: String,
    back: String,
}

/// Which configuration files changed.
struct Changes {
    drop_in: bool,
    others: bool,
    /// The drop-in was not there before; one that was is an original like others.
    added: bool,
    /// A file that was there before has an original to go back to.
    restored: bool,
}

impl Changes {
    fn of(nodes: &[Node]) -> Self {
        let changed = || {
            let files = nodes.iter().flat_map(|node| &node.files);
            files.filter(|file| file.changed())
        };
        Changes {
            drop_in: changed().any(|file| file.is_own()),
            others: changed().any(|file| !file.is_own()),
            added: changed().any(|file| file.is_own() && file.before.is_empty()),
            restored: changed().any(|file| !file.before.is_empty()),
        }
    }

    fn files(&self) -> bool {
        self.drop_in || self.others
    }
}

impl Rancher {
    /// Drop-ins of units that changed, and what to do with them.
    fn write_units(
        &self,
        set: &mut PatchSet,
        nodes: &[Node],
        done: &mut BTreeSet<String>,
    ) -> UnitSteps {
        let mut steps = UnitSteps::default();
        for node in nodes.iter().filter(|node| !node.unit_advice.is_empty()) {
            let Some((unit, _)) = &node.unit else {
                continue;
            };
            let short = format!("{unit}.d/{}", systemd::DROP_IN);
            let to = format!("etc/systemd/system/{short}");
            let Some((_, text)) = node.units.iter().find(|(path, _)| *path == to) else {
                continue;
            };
            let (path, on) = if node.name.is_empty() {
                (short, String::new())
            } else {
                let folder = safe_name(&node.name);
                (format!("{folder}/{short}"), format!("On {}: ", node.name))
            };
            let advice: Vec<String> = node.unit_advice.iter().cloned().collect();
            done.extend(node.unit_advice.iter().cloned());
            set.files.push(PatchFile {
                path: path.clone(),
                content: text.clone(),
                what: format!("/{to}"),
                advice: advice.clone(),
            });
            set.files.push(PatchFile {
                path: format!("diffs/{path}.diff"),
                content: unified(&node.unit_before, text, &to),
                what: "what changes in it".to_owned(),
                advice,
            });
            steps.how = format!(
                "{}{on}`install -D -m 0644 {path} /{to}`, then `systemctl daemon-reload`.\n\n",
                steps.how
            );
            let undo = if node.unit_before.is_empty() {
                format!("remove /{to}")
            } else {
                format!("put the earlier /{to} back")
            };
            steps.back = format!(
                "{}{}, `systemctl daemon-reload`.\n\n",
                steps.back,
                sentence(&format!("{on}{undo}"))
            );
        }
        if !steps.how.is_empty() {
            steps.how = format!(
                "The command line of {}.service holds a list of arguments, and that replaces the list \
                 of the files: so the value is set there, by a drop-in with the whole command line. It \
                 stands until it is removed: give the value to the installer too (INSTALL_{}_EXEC), or \
                 move the arguments into config.yaml, before the unit is changed by anything else.\n\n{}",
                self.service,
                self.name.to_uppercase(),
                steps.how
            );
        }
        steps
    }

    /// Changed configuration files of all nodes; a drop-in that is the same everywhere is one file.
    fn write_configs(&self, set: &mut PatchSet, nodes: &[Node], done: &mut BTreeSet<String>) {
        let drop_in = |node: &Node| {
            let file = node.files.iter().find(|file| file.is_own())?;
            Some(file.text.clone())
        };
        let first = nodes.first().and_then(drop_in);
        let alike = nodes.iter().all(|node| drop_in(node) == first);
        for node in nodes {
            let dir = if node.name.is_empty() {
                String::new()
            } else {
                format!("{}/", safe_name(&node.name))
            };
            for file in node.files.iter().filter(|file| file.changed()) {
                let advice: Vec<String> = file.advice.iter().cloned().collect();
                done.extend(file.advice.iter().cloned());
                let own = file.is_own();
                let name = safe_name(file.name.rsplit('/').next().unwrap_or(&file.name));
                let path = match (own, alike) {
                    (true, true) => format!("config.yaml.d/{DROP_IN}"),
                    (true, false) => format!("{dir}config.yaml.d/{DROP_IN}"),
                    (false, _) if file.name.contains("config.yaml.d/") => {
                        format!("config/{dir}config.yaml.d/{name}")
                    }
                    (false, _) => format!("config/{dir}{name}"),
                };
                if set.file(&path).is_some() {
                    continue;
                }
                set.files.push(PatchFile {
                    path: path.clone(),
                    content: file.text.clone(),
                    what: if own {
                        format!("drop-in for /etc/rancher/{}/config.yaml.d", self.name)
                    } else {
                        "the file with the new values".to_owned()
                    },
                    advice: advice.clone(),
                });
                if !file.before.is_empty() {
                    let short = path.trim_start_matches("config/");
                    set.files.push(PatchFile {
                        path: format!("diffs/{short}.diff"),
                        content: unified(&file.before, &file.text, &name),
                        what: "what changed".to_owned(),
                        advice,
                    });
                }
            }
        }
    }

    /// How to put the files into place; `order` says which server comes when.
    fn how(&self, nodes: &[Node], changes: &Changes, units: &str, order: &str) -> String {
        let service = self.service;
        let dir = self.dir();
        let mut how = String::new();
        if changes.files() && nodes.iter().any(|node| node.unit.is_none()) {
            how = format!(
                "First look at the command line of the server, which was not among the files: \
                 `systemctl cat {service}`. An argument there, such as `--etcd-arg=…` or \
                 `--kube-apiserver-arg=…`, replaces the whole list of the files, and then nothing of \
                 this acts: give {service}.service beside the configuration, and run this again.\n\n"
            );
        }
        let copy = if changes.files() {
            let copies: Vec<String> = [
                changes
                    .drop_in
                    .then(|| format!("copy `config.yaml.d/{DROP_IN}` to {dir}/config.yaml.d/")),
                changes
                    .others
                    .then(|| "copy each file of `config/` over its original".to_owned()),
            ]
            .into_iter()
            .flatten()
            .collect();
            format!(
                "Keep a copy first: `cp -a {dir} /root/rancher-before`. On every server node: {}, then ",
                copies.join(", ")
            )
        } else {
            "On every server node: ".to_owned()
        };
        how = format!(
            "{how}{units}{copy}`systemctl restart {service}`.{order} Wait until the node is Ready and `kubectl get --raw /readyz` answers before the next.",
        );
        if changes.drop_in {
            how.push_str(
                "\n\nKeys end in `+`: they append to lists of earlier files. A later file that sets the \
                 same key without `+` undoes them.",
            );
        }
        how
    }

    fn back(&self, changes: &Changes, units: &str) -> String {
        let dir = self.dir();
        let files = match (changes.added, changes.restored) {
            (true, true) => {
                format!("Remove {dir}/config.yaml.d/{DROP_IN}, put the originals back, restart")
            }
            (true, false) => format!("Remove {dir}/config.yaml.d/{DROP_IN}, restart"),
            (false, true) => "Put the originals back, restart".to_owned(),
            (false, false) => "Restart".to_owned(),
        };
        format!(
            "{units}{files} {} on one node after the other; `kubectl delete -f apf/` for priority \
             levels.",
            self.service
        )
    }

    fn dir(&self) -> String {
        format!("/etc/rancher/{}", self.name)
    }

    /// All files of a set for the changed nodes, and their STEPS.md.
    pub(super) fn write(
        &self,
        input: &PatchInput<'_>,
        mut set: PatchSet,
        nodes: &[Node],
    ) -> PatchSet {
        let mut done: BTreeSet<String> = BTreeSet::new();
        self.write_configs(&mut set, nodes, &mut done);
        let units = self.write_units(&mut set, nodes, &mut done);
        let levels = apf::add(input, input.kubernetes, &mut set);
        if set.files.is_empty() {
            return set;
        }
        let changes = Changes::of(nodes);
        let mut how = String::new();
        if !done.is_empty() {
            let etcd = input
                .advices
                .iter()
                .any(|advice| advice.target == "etcd" && done.contains(&advice.id));
            let order = if etcd {
                format!(" {}.", sentence(&order(&input.members, &self.ask())))
            } else {
                String::new()
            };
            how = self.how(nodes, &changes, &units.how, &order);
        }
        if !levels.is_empty() {
            how = format!(
                "{how}{}{}",
                if how.is_empty() { "" } else { "\n\n" },
                apf::HOW
            );
        }
        done.extend(levels);
        let back = self.back(&changes, &units.back);
        let content = steps::short(input, &set, &done, &how, &back);
        set.lead(content, done);
        set
    }
}
