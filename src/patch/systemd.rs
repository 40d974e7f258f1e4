//! systemd: a drop-in for the unit that runs etcd, or the one place where a setting already stands.
//!
//! etcd refuses to start when a flag and its variable are both set (etcd `pkg/flags/flag.go`), so a
//! flag on `ExecStart=` is changed there, behind an empty `ExecStart=`. Variables of an
//! `EnvironmentFile=` win over `Environment=` (systemd.exec), so they are changed in that file.

mod drop_in;
mod files;
mod node;
mod written;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::catalog::settings::Component;

use super::apf;
use super::events_unit;
use super::floor::{Own, all_or_none};
use super::members::{order, rank};
use super::model::{Emitter, NodeManifests, PatchInput, PatchSet, Shown, apart};
use super::others::Others;
use super::steps::{self, sentence};
use super::wanted::{flags, groups};
pub(super) use drop_in::DropIn;
pub(crate) use files::{Named, named_files};
pub(super) use files::{place, places};
use node::Node;
use written::{BEFORE, node_steps, write};

/// The emitter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Systemd;

pub(super) const DROP_IN: &str = "90-etcd-doctor.conf";

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

/// The name that a node's etcd has among the members.
fn member_of(node: &NodeManifests) -> Option<String> {
    events_unit::given(node)?.remove("name")
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
        let nodes = apart(&input.nodes, &member_of);
        let input = &PatchInput {
            nodes,
            ..input.clone()
        };
        let mut done = BTreeSet::new();
        let mut blocks = Vec::new();
        let mut values: BTreeSet<String> = BTreeSet::new();
        let listed = events_unit::members(input).into_iter();
        let others = Others::of(input, &member_of, listed.map(|member| member.name));
        for node in &input.nodes {
            let member = member_of(node);
            let names = [node.node.as_str(), member.as_deref().unwrap_or_default()];
            let rank = rank(&input.members, &names);
            let mut node = Node::new(node, input.etcd);
            let mut units = BTreeSet::new();
            for group in groups(&wanted) {
                let saved = node.clone();
                let mut results = Vec::new();
                for one in group {
                    let settled = node.settled(one.component);
                    let own = Own::settled(settled.as_ref(), &one.flag, one.component);
                    let on = node.words(one.component);
                    if !set.keeps(one.floor.as_ref(), &one.advice, &on, own) {
                        results.push((one, node.set(one)));
                    }
                }
                if all_or_none(&mut results) {
                    node.clone_from(&saved);
                }
                for (one, result) in results {
                    let on = node.words(one.component);
                    match result {
                        Ok(true) => {
                            let settled = saved.settled(one.component);
                            let own = Own::settled(settled.as_ref(), &one.flag, one.component);
                            set.changes(&one.advice, &on, own, &one.value);
                            done.insert(one.advice.clone());
                            values.insert(format!(
                                "{} `--{}={}`",
                                one.component.program(),
                                one.flag,
                                one.value
                            ));
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
            }
            let placed = write(&node, &mut set);
            let name = if node.name.is_empty() {
                member.as_deref().unwrap_or_default()
            } else {
                node.name
            };
            let (there, again) = node_steps(name, &placed, &units);
            blocks.push((rank, there, again));
        }
        // In the order in which the members are to be taken.
        blocks.sort_by_key(|(rank, _, _)| *rank);
        let (mut how, mut back) = (String::new(), String::new());
        let mut elsewhere = others.steps(
            &values,
            "unit, drop-ins or files of variables",
            "etcd.service and what it reads",
        );
        for (rank, there, again) in blocks {
            if rank > 0 && !there.is_empty() {
                how.push_str(&std::mem::take(&mut elsewhere));
            }
            how.push_str(&there);
            back.push_str(&again);
        }
        if !how.is_empty() {
            how.push_str(&elsewhere);
            back.push_str(&others.back());
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
            how.push_str(&events_unit::missing(others.missing()));
            how.push_str(steps::EVENTS);
        }
        if !levels.is_empty() {
            how = format!("{how}\n{}", apf::HOW);
        }
        if back.is_empty() {
            "What was put in place goes again, the last first.".clone_into(&mut back);
        }
        let content = steps::short(input, &set, &done, how.trim_end(), &back);
        set.lead(content, done);
        set
    }
}

#[cfg(test)]
mod tests;
