//! k3s and RKE2: a drop-in of `config.yaml.d`, or the one place where a flag is already set.
//!
//! Lists of `config.yaml` are replaced by later files unless their key ends in `+`, which appends
//! (rancher/rke2-docs, install/configuration). A flag that a found file already sets is changed
//! there, so that it is never given twice; and all files of a node are merged again after each
//! edit, so that a later file that drops what an earlier one says is found out.
//!
//! A list on the command line of the unit replaces those of all files (k3s docs,
//! installation/configuration), so there a drop-in of the unit is what takes effect.

mod node;
mod written;

use std::collections::BTreeSet;

use crate::catalog::settings::Component;
use crate::manifest::quotes_closed;

use super::exec_line::{runs_program, unit_with};
use super::floor::{Own, all_or_none};
use super::model::{Emitter, NodeManifests, PatchInput, PatchSet, Shown, apart};
use super::systemd;
use super::wanted::{flags, groups};
use super::yaml::{Refusal, documents};
use node::{File, Node};

/// The emitter for k3s or RKE2, which differ in folder and service only.
#[derive(Clone, Copy, Debug)]
pub struct Rancher {
    name: &'static str,
    service: &'static str,
}

/// k3s.
pub const K3S: Rancher = Rancher {
    name: "k3s",
    service: "k3s",
};
/// RKE2.
pub const RKE2: Rancher = Rancher {
    name: "rke2",
    service: "rke2-server",
};

const DROP_IN: &str = "90-etcd-doctor.yaml";
impl Emitter for Rancher {
    fn name(&self) -> &'static str {
        self.name
    }

    fn emit(&self, input: &PatchInput<'_>) -> PatchSet {
        let (wanted, shown) = flags(
            input,
            &[
                Component::ApiServer,
                Component::ControllerManager,
                Component::Scheduler,
                Component::Etcd,
            ],
            &|value| self.shard(value),
        );
        let mut set = PatchSet {
            shown,
            ..PatchSet::default()
        };
        let mut nodes: Vec<Node> = apart(&input.nodes, &|_| None)
            .iter()
            .map(|node| self.read(node, &mut set))
            .collect();
        if nodes.is_empty() {
            nodes.push(Node::default());
        }
        let mut values = BTreeSet::new();
        for node in &mut nodes {
            let no_etcd = node.has_no_etcd();
            for group in groups(&wanted) {
                let saved = node.clone();
                let mut results = Vec::new();
                for one in group {
                    let on = node.words(one.component);
                    let own = node.settled(one.component);
                    let own = match node.is_given() {
                        true => Own::settled(own.as_ref(), &one.flag, one.component),
                        false => Own::Unknown,
                    };
                    let result = if node.unreadable {
                        Err(
                            "a configuration file of the node could not be read: see its place"
                                .to_owned(),
                        )
                    } else if let Some(why) = &node.opaque {
                        Err(why.clone())
                    } else if no_etcd && one.component == Component::Etcd {
                        Err("the datastore is no etcd of this node (datastore-endpoint)".to_owned())
                    } else if set.keeps(one.floor.as_ref(), &one.advice, &on, own) {
                        continue;
                    } else {
                        node.set(one)
                    };
                    results.push((one, result));
                }
                if all_or_none(&mut results) {
                    node.clone_from(&saved);
                }
                for (one, result) in results {
                    let on = node.words(one.component);
                    match result {
                        Ok(true) => {
                            let own = saved.settled(one.component);
                            if saved.is_given() {
                                let own = Own::settled(own.as_ref(), &one.flag, one.component);
                                set.changes(&one.advice, &on, own, &one.value);
                            }
                            values.insert(format!(
                                "{} `--{}={}`",
                                one.component.program(),
                                one.flag,
                                one.value
                            ));
                        }
                        Ok(false) => set.already.push(format!("{on}: {}", one.flag)),
                        Err(why) => set.shown.push(Shown {
                            advice: one.advice.clone(),
                            on,
                            why,
                        }),
                    }
                }
            }
        }
        self.write(input, set, &nodes, &values)
    }
}
/// Whether a file is a unit, a drop-in of one, or a file of variables.
fn is_unit(name: &str) -> bool {
    let base = name.rsplit('/').next().unwrap_or(name);
    let ext = base.rsplit_once('.').map_or("", |(_, ext)| ext);
    ["service", "conf", "env"].contains(&ext) || !base.contains('.')
}

impl Rancher {
    /// The configuration files among a node's files.
    fn read(&self, node: &NodeManifests, set: &mut PatchSet) -> Node {
        let mut files = Vec::new();
        let mut unreadable = false;
        let (units, configs): (Vec<_>, Vec<_>) =
            node.files.iter().partition(|(name, _)| is_unit(name));
        let units: Vec<(String, String)> = units
            .into_iter()
            .map(|(name, text)| (systemd::place(name), text.clone()))
            .collect();
        let unit = unit_with(&units, &|exec| {
            runs_program(exec, self.name) && exec.contains("server")
        });
        let unit_before = units
            .iter()
            .find(|(path, _)| path.ends_with(&format!("/{}", systemd::DROP_IN)))
            .map(|(_, text)| text.clone())
            .unwrap_or_default();
        let opaque = unit
            .as_ref()
            .and_then(|(unit, exec)| self.opaque(unit, exec));
        for (name, text) in configs {
            let read = documents(text).and_then(|mut all| {
                let manifest = !all.is_empty() && all.iter().all(|doc| doc.get("kind").is_some());
                if manifest {
                    return Ok(None);
                }
                let value = all.pop().unwrap_or_default();
                if all.is_empty() {
                    Ok(Some(value))
                } else {
                    Err(Refusal::new("more than one document"))
                }
            });
            match read {
                Ok(Some(value)) => files.push(File::found(name, text, value)),
                // A manifest is no configuration.
                Ok(None) => {}
                Err(refusal) => {
                    unreadable = true;
                    set.shown.push(Shown {
                        advice: String::new(),
                        on: name.clone(),
                        why: refusal.to_string(),
                    });
                }
            }
        }
        Node {
            name: node.node.clone(),
            files,
            units,
            unit,
            unit_before,
            unit_advice: BTreeSet::new(),
            opaque,
            unreadable,
        }
    }

    /// Why what a command line says is not known, where it is not.
    fn opaque(&self, unit: &str, exec: &str) -> Option<String> {
        let first = exec.split_whitespace().next().unwrap_or_default();
        let first = first.trim_start_matches(['@', '-', ':', '+', '!', '|']);
        let why = if !quotes_closed(exec) {
            "has a quote that is never closed, and systemd does not load it"
        } else if first.rsplit('/').next() != Some(self.name) {
            "starts the server through another program"
        } else if exec.contains('$') {
            "takes arguments from variables"
        } else {
            return None;
        };
        Some(format!(
            "the command line of {unit} {why}: a list there replaces those of the files, so look \
             there first, and set it by hand where it acts"
        ))
    }

    /// How to ask which member of its etcd leads (k3s docs, cli/etcd-snapshot; RKE2 docs, etcd).
    fn ask(&self) -> String {
        let tls = format!("/var/lib/rancher/{}/server/tls/etcd", self.name);
        let (exec, cert) = if self.name == "k3s" {
            ("etcdctl --endpoints=https://127.0.0.1:2379", "client")
        } else {
            (
                "kubectl -n kube-system exec etcd-NODE -- etcdctl",
                "server-client",
            )
        };
        format!(
            "`{exec} --cacert={tls}/server-ca.crt --cert={tls}/{cert}.crt --key={tls}/{cert}.key \
             endpoint status --cluster -w table` (column IS LEADER{})",
            if self.name == "k3s" {
                "; k3s brings no etcdctl along"
            } else {
                ""
            }
        )
    }

    /// Why no second etcd is written, and how to come to one.
    fn shard(&self, value: &str) -> String {
        let name = self.name;
        let tls = format!("/var/lib/rancher/{name}/server/tls/etcd");
        format!(
            "{name} runs one etcd and manages no second one, so no file is written: an override to an \
             etcd that is not there keeps kube-apiserver from starting. By hand, on each server: a \
             systemd unit for a second etcd on a disk of its own, client port 2382, peer port 2383, \
             with `--cert-file={tls}/server-client.crt --key-file={tls}/server-client.key \
             --trusted-ca-file={tls}/server-ca.crt --client-cert-auth \
             --peer-cert-file={tls}/peer-server-client.crt --peer-key-file={tls}/peer-server-client.key \
             --peer-trusted-ca-file={tls}/peer-ca.crt --peer-client-cert-auth`; {name} renews these \
             when it starts, so restart the unit after it. When every member is healthy, put \
             `kube-apiserver-arg+: [\"etcd-servers-overrides={value}\"]` into a file of \
             /etc/rancher/{name}/config.yaml.d with the addresses of all members, and restart one \
             server after the other"
        )
    }
}

#[cfg(test)]
mod tests;
