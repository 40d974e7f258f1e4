//! The files that a changed node needs, and the steps to put them there and to go back.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::patch::apf;
use crate::patch::diff::{safe_name, unified};
use crate::patch::members::{order, rank};
use crate::patch::model::{PatchFile, PatchInput, PatchSet};
use crate::patch::others::Others;
use crate::patch::steps::{self, sentence};
use crate::patch::systemd;

use super::node::Node;
use super::{DROP_IN, Rancher};

/// Where the steps keep what was there before.
const BEFORE: &str = "/root/rancher-before";

/// A file that goes to a server.
struct Placed {
    /// Below the folder that is written into.
    from: String,
    /// On the server.
    to: String,
    /// Whether nothing is there yet.
    fresh: bool,
}

/// What one server is given.
#[derive(Default)]
struct Server {
    name: String,
    /// When it comes: the one that leads goes last.
    rank: usize,
    placed: Vec<Placed>,
    /// Whether a drop-in of its unit is among them.
    unit: bool,
}

impl Server {
    /// The commands that put its files there and those that take them back.
    fn commands(&self, service: &str) -> (String, String) {
        let (mut keep, mut put, mut back) = (String::new(), String::new(), String::new());
        for Placed { from, to, fresh } in &self.placed {
            // Writing to a String cannot fail.
            if *fresh {
                let mode = if to.ends_with(".conf") {
                    "0644"
                } else {
                    "0600"
                };
                writeln!(put, "    install -D -m {mode} {from} {to}").ok();
                writeln!(back, "    rm {to}").ok();
            } else {
                // Owner and mode of the file that is there stay.
                writeln!(keep, "    cp -a --parents {to} {BEFORE}").ok();
                writeln!(put, "    cp {from} {to}").ok();
                writeln!(back, "    cp -a {BEFORE}{to} {to}").ok();
            }
        }
        if !keep.is_empty() {
            keep = format!("    mkdir -p {BEFORE}\n{keep}");
        }
        let reload = if self.unit {
            "    systemctl daemon-reload\n"
        } else {
            ""
        };
        let on = if self.name.is_empty() {
            "On the server whose files were given".to_owned()
        } else {
            format!("On {}", self.name)
        };
        let end = format!("{reload}    systemctl restart {service}\n");
        (
            format!("{on}:\n\n{keep}{put}{end}\n"),
            format!("{on}:\n\n{back}{end}\n"),
        )
    }
}

/// What the steps are made from.
struct Written {
    servers: Vec<Server>,
    done: BTreeSet<String>,
    /// One drop-in that every server may have: nothing of it is a server's own.
    shared: bool,
    /// A drop-in of `config.yaml.d` changed.
    drop_in: bool,
    /// A configuration file changed.
    files: bool,
}

impl Rancher {
    /// Drop-ins of units that changed.
    fn write_units(&self, set: &mut PatchSet, nodes: &[Node], written: &mut Written) {
        for (node, server) in nodes.iter().zip(&mut written.servers) {
            let Some((unit, _)) = node.unit.as_ref().filter(|_| !node.unit_advice.is_empty())
            else {
                continue;
            };
            let short = format!("{unit}.d/{}", systemd::DROP_IN);
            let to = format!("etc/systemd/system/{short}");
            let Some((_, text)) = node.units.iter().find(|(path, _)| *path == to) else {
                continue;
            };
            let path = format!("{}{short}", folder(node));
            let advice: Vec<String> = node.unit_advice.iter().cloned().collect();
            written.done.extend(node.unit_advice.iter().cloned());
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
            server.unit = true;
            server.placed.push(Placed {
                from: path,
                to: format!("/{to}"),
                fresh: node.unit_before.is_empty(),
            });
        }
    }

    /// Changed configuration files of all nodes; a drop-in that is the same everywhere is one file.
    fn write_configs(&self, set: &mut PatchSet, nodes: &[Node], written: &mut Written) {
        let drop_in = |node: &Node| {
            let file = node.files.iter().find(|file| file.is_own())?;
            Some(file.text.clone())
        };
        let first = nodes.first().and_then(drop_in);
        let alike = nodes.iter().all(|node| drop_in(node) == first);
        for (node, server) in nodes.iter().zip(&mut written.servers) {
            let dir = folder(node);
            for file in node.files.iter().filter(|file| file.changed()) {
                let advice: Vec<String> = file.advice.iter().cloned().collect();
                written.done.extend(file.advice.iter().cloned());
                let own = file.is_own();
                written.files = true;
                written.drop_in |= own;
                written.shared &= own && alike && file.before.is_empty();
                let name = safe_name(file.name.rsplit('/').next().unwrap_or(&file.name));
                let below = if own || file.name.contains("config.yaml.d/") {
                    "config.yaml.d/"
                } else {
                    ""
                };
                let path = match (own, alike) {
                    (true, true) => format!("config.yaml.d/{DROP_IN}"),
                    (true, false) => format!("{dir}config.yaml.d/{DROP_IN}"),
                    (false, _) => format!("config/{dir}{below}{name}"),
                };
                server.placed.push(Placed {
                    from: path.clone(),
                    to: format!("{}/{below}{name}", self.dir()),
                    fresh: file.before.is_empty(),
                });
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

    /// What to know before files are put into place.
    fn first(&self, nodes: &[Node], written: &Written) -> String {
        let service = self.service;
        let mut first = String::new();
        if written.files && nodes.iter().any(|node| node.unit.is_none()) {
            first = format!(
                "First look at the command line of the server, which was not among the files: \
                 `systemctl cat {service}`. An argument there, such as `--etcd-arg=…` or \
                 `--kube-apiserver-arg=…`, replaces the whole list of the files, and then nothing of \
                 this acts: give {service}.service beside the configuration, and run this again.\n\n"
            );
        }
        if written.servers.iter().any(|server| server.unit) {
            first = format!(
                "{first}The command line of {service}.service holds a list of arguments, and that replaces \
                 the list of the files: so the value is set there, by a drop-in with the whole command \
                 line. It stands until it is removed: give the value to the installer too \
                 (INSTALL_{}_EXEC), or move the arguments into config.yaml, before the unit is changed by \
                 anything else.\n\n",
                self.name.to_uppercase(),
            );
        }
        first
    }

    /// How to put the files into place, and back; `order` says which server comes when.
    fn how(
        &self,
        nodes: &[Node],
        written: &Written,
        others: &Others,
        values: &BTreeSet<String>,
        order: &str,
    ) -> (String, String) {
        let (service, dir) = (self.service, self.dir());
        let first = self.first(nodes, written);
        let wait =
            "Wait until the node is Ready and `kubectl get --raw /readyz` answers before the next.";
        let levels = "`kubectl delete -f apf/` for priority levels.";
        let (mut how, back);
        if written.shared {
            let care = if others.whose().is_some() {
                format!(
                    " On a server whose configuration was not given, look first whether its own files \
                     or the command line of {service}.service give the same lists: what is set there \
                     already is changed there."
                )
            } else {
                String::new()
            };
            how = format!(
                "{first}Keep a copy first: `cp -a {dir} {BEFORE}`. On every server node: copy \
                 `config.yaml.d/{DROP_IN}` to {dir}/config.yaml.d/, then `systemctl restart \
                 {service}`.{care}{order} {wait}"
            );
            back = format!(
                "Remove {dir}/config.yaml.d/{DROP_IN}, restart {service} on one node after the other; \
                 {levels}"
            );
        } else {
            let mut servers: Vec<&Server> = written.servers.iter().collect();
            servers.retain(|server| !server.placed.is_empty());
            servers.sort_by_key(|server| server.rank);
            let mut elsewhere = others.steps(
                values,
                "configuration or command line",
                "config.yaml and what else is in its folder, with the unit",
            );
            let (mut there, mut again) = (String::new(), String::new());
            for server in servers {
                let (put, undo) = server.commands(service);
                if server.rank > 0 {
                    there.push_str(&std::mem::take(&mut elsewhere));
                }
                there.push_str(&put);
                again.push_str(&undo);
            }
            how = format!(
                "{first}One server after the other; each file is that of one server, and goes to no \
                 other.{order} {wait}\n\n{there}{elsewhere}"
            );
            how.truncate(how.trim_end().len());
            back = format!(
                "One server after the other, as before.\n\n{again}{}And {levels}",
                others.back()
            );
        }
        if written.drop_in {
            how.push_str(
                "\n\nKeys end in `+`: they append to lists of earlier files. A later file that sets the \
                 same key without `+` undoes them.",
            );
        }
        (how, back)
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
        values: &BTreeSet<String>,
    ) -> PatchSet {
        let server = |node: &Node| Server {
            name: node.name.clone(),
            rank: rank(&input.members, &[&node.name]),
            ..Server::default()
        };
        let mut written = Written {
            servers: nodes.iter().map(server).collect(),
            done: BTreeSet::new(),
            shared: true,
            drop_in: false,
            files: false,
        };
        self.write_configs(&mut set, nodes, &mut written);
        self.write_units(&mut set, nodes, &mut written);
        written.shared &= written.servers.iter().all(|server| !server.unit);
        let levels = apf::add(input, input.kubernetes, &mut set);
        if set.files.is_empty() {
            return set;
        }
        let (mut how, mut back) = (
            String::new(),
            "`kubectl delete -f apf/` for priority levels.".to_owned(),
        );
        if !written.done.is_empty() {
            let etcd = input
                .advices
                .iter()
                .any(|advice| advice.target == "etcd" && written.done.contains(&advice.id));
            let order = if etcd {
                format!(" {}.", sentence(&order(&input.members, &self.ask())))
            } else {
                String::new()
            };
            let others = Others::of(input, &|_| None, std::iter::empty());
            (how, back) = self.how(nodes, &written, &others, values, &order);
        }
        if !levels.is_empty() {
            how = format!(
                "{how}{}{}",
                if how.is_empty() { "" } else { "\n\n" },
                apf::HOW
            );
        }
        written.done.extend(levels);
        let content = steps::short(input, &set, &written.done, &how, &back);
        set.lead(content, written.done);
        set
    }
}

/// A node's folder, with a slash at its end; none where there is one node.
fn folder(node: &Node) -> String {
    if node.name.is_empty() {
        String::new()
    } else {
        format!("{}/", safe_name(&node.name))
    }
}
