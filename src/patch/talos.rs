//! Talos: a machine configuration patch with `extraArgs`.
//!
//! Talos sets some flags itself and refuses them here (siderolabs/talos
//! `control_plane_static_pod.go`, v1.13).

use std::collections::BTreeSet;

use yaml_serde::Value;

use crate::catalog::releases::{Version, of_image};
use crate::catalog::settings::{Component, setting};
use crate::manifest::{Provenance, effective_of_text};

use super::apf;
use super::floor::Own;
use super::members::order;
use super::model::{Emitter, PatchFile, PatchInput, PatchSet, Shown};
use super::steps;
use super::talos_undo::{Undo, file_name};
use super::wanted::{Wanted, flags};
use super::yaml::{documents, quoted};

/// The emitter for Talos.
#[derive(Clone, Copy, Debug, Default)]
pub struct Talos;

/// The patch that every machine may have.
const PATCH: &str = "talos-patch.yaml";

/// Flags that Talos does not let anybody set.
const DENIED: &[&str] = &[
    "advertise-client-urls",
    "authorization-config",
    "cert-file",
    "client-ca-file",
    "data-dir",
    "encryption-provider-config",
    "etcd-cafile",
    "etcd-certfile",
    "etcd-keyfile",
    "etcd-servers",
    "initial-advertise-peer-urls",
    "initial-cluster",
    "initial-cluster-state",
    "key-file",
    "listen-client-urls",
    "listen-peer-urls",
    "name",
    "peer-cert-file",
    "peer-key-file",
    "peer-trusted-ca-file",
    "tls-cert-file",
    "tls-private-key-file",
    "trusted-ca-file",
];

/// Where the arguments of a component are.
pub(super) fn section(component: Component) -> Option<&'static str> {
    match component {
        Component::ApiServer => Some("apiServer"),
        Component::ControllerManager => Some("controllerManager"),
        Component::Scheduler => Some("scheduler"),
        Component::Etcd => Some("etcd"),
        Component::Kubelet => None,
    }
}

/// Whether the text is a machine configuration of Talos.
fn is_machine(text: &str) -> bool {
    documents(text).is_ok_and(|read| {
        read.iter()
            .any(|doc| doc.get("kind").is_none() && doc.get("machine").is_some())
    })
}

/// What a machine configuration gives for a flag.
fn given(text: &str, one: &Wanted) -> Option<String> {
    let settled = effective_of_text(one.component, "controlplane.yaml", text)?;
    let name = setting(one.component, &one.flag).map_or(one.flag.as_str(), |f| f.setting.name);
    let have = settled.settings.get(name)?;
    matches!(have.from, Provenance::Given(_))
        .then(|| have.value.clone())
        .flatten()
}

/// The version that a machine configuration's image tells.
fn version(text: &str, component: Component) -> Option<Version> {
    let section = section(component)?;
    documents(text).ok()?.iter().find_map(|doc| {
        let image = doc.get("cluster")?.get(section)?.get("image")?;
        of_image(image.as_str()?)
    })
}

impl Emitter for Talos {
    fn name(&self) -> &'static str {
        "talos"
    }

    fn emit(&self, input: &PatchInput<'_>) -> PatchSet {
        let components = [
            Component::ApiServer,
            Component::ControllerManager,
            Component::Scheduler,
            Component::Etcd,
        ];
        let mut set = PatchSet::default();
        let mut machines: Vec<(String, &str)> = Vec::new();
        for node in &input.nodes {
            for (name, text) in &node.files {
                match documents(text) {
                    Ok(_) if is_machine(text) => machines.push((
                        if node.node.is_empty() {
                            name.clone()
                        } else {
                            format!("{name} of {}", node.node)
                        },
                        text,
                    )),
                    Ok(_) => {}
                    Err(refusal) => set.shown.push(Shown {
                        advice: String::new(),
                        on: name.clone(),
                        why: refusal.to_string(),
                    }),
                }
            }
        }
        let oldest = |component: Component| {
            machines
                .iter()
                .filter_map(|(_, text)| version(text, component))
                .min()
        };
        let mut input = input.clone();
        input.kubernetes = input
            .kubernetes
            .or_else(|| components.into_iter().take(3).find_map(oldest));
        input.etcd = input.etcd.or_else(|| oldest(Component::Etcd));
        let input = &input;
        let (mut wanted, shown) = flags(input, &components, &|value| {
            format!(
                "Talos runs one etcd by itself and starts no second one, so no file is written: an \
                 override to an etcd that is not there keeps kube-apiserver from starting. Build it on \
                 machines of its own, with a server certificate of Talos' etcd CA (`cluster.etcd.ca` of \
                 the machine configuration) and accepting client certificates of that CA: \
                 kube-apiserver has one set for all etcds. When every member is healthy, patch \
                 `cluster.apiServer.extraArgs.etcd-servers-overrides: \"{value}\"` with the addresses of \
                 all members into one control-plane node after the other"
            )
        });
        set.shown.extend(shown);
        wanted.retain(|one| {
            let denied = DENIED.contains(&one.flag.as_str());
            if denied {
                set.shown.push(Shown {
                    advice: one.advice.clone(),
                    on: one.component.program().to_owned(),
                    why: format!("Talos sets {} itself and refuses it here", one.flag),
                });
            }
            !denied
        });
        let mut done: BTreeSet<String> = BTreeSet::new();
        let patches = patches(&machines, &wanted, &mut set);
        for (path, wanted) in &patches {
            let Some(text) = patch(wanted) else {
                continue;
            };
            let advice: BTreeSet<String> = wanted.iter().map(|one| one.advice.clone()).collect();
            set.files.push(PatchFile {
                path: path.clone(),
                content: text,
                what: "patch for `talosctl patch mc`".to_owned(),
                advice: advice.iter().cloned().collect(),
            });
            done.extend(advice);
        }
        wanted.retain(|one| done.contains(&one.advice));
        let own = !patches.iter().any(|(path, _)| path == PATCH);
        let way = Undo::new(&machines, &wanted, &set, input.kubernetes);
        if !done.is_empty() {
            set.files.extend(way.files(&done));
        }
        let levels = apf::add(input, input.kubernetes, &mut set);
        let mut how = String::new();
        if !done.is_empty() {
            let (nodes, file) = match own {
                true => ("each node that has a file in patch/", "patch/NODE.yaml"),
                false => ("each control-plane node", PATCH),
            };
            how = format!(
                "For {nodes}, one at a time: `talosctl -n NODE get mc v1alpha1 -o yaml > \
                 before-NODE.yaml`, then `talosctl -n NODE patch mc --patch @{file}`. \
                 Talos restarts the static pods it concerns. Wait until `talosctl -n NODE health` is well \
                 before the next. The same patch again changes nothing.",
            );
            if own {
                how.push_str(
                    " The nodes differ, so each has its own patch: do not give one node's to another.",
                );
            } else if wanted.iter().any(|one| one.floor.is_some()) {
                how.push_str(
                    " Look into before-NODE.yaml first: a node whose extraArgs have as much already, or \
                     more, does not get the patch, which would lower it.",
                );
            }
            if wanted.iter().any(|one| one.component == Component::Etcd) {
                how = format!(
                    "{how} etcd takes its arguments at the node's next reboot: Talos does not let its \
                     etcd be restarted alone. `talosctl -n NODE reboot`, one node at a time, and \
                     `talosctl -n NODE health` before the next. {}.",
                    steps::sentence(&order(
                        &input.members,
                        "`talosctl -n NODE,NODE,NODE etcd status` (MEMBER equal to LEADER)"
                    ))
                );
            }
        }
        if !levels.is_empty() {
            how = format!(
                "{how}{}{}",
                if how.is_empty() { "" } else { "\n\n" },
                apf::HOW
            );
        }
        let levels_only = done.is_empty();
        done.extend(levels);
        if done.is_empty() {
            return set;
        }
        let back = way.words(!levels_only);
        let content = steps::short(input, &set, &done, &how, back.trim_end());
        set.lead(content, done);
        set
    }
}

/// The patches: one for all machines that want the same, else one for each that lacks something.
fn patches(
    machines: &[(String, &str)],
    wanted: &[Wanted],
    set: &mut PatchSet,
) -> Vec<(String, Vec<Wanted>)> {
    if machines.is_empty() {
        return vec![(PATCH.to_owned(), wanted.to_vec())];
    }
    // What every machine already has is left out.
    let is = |text: &str, one: &Wanted| given(text, one).as_deref() == Some(one.value.as_str());
    let mut lacking: Vec<(&str, Vec<Wanted>)> = Vec::new();
    for (name, text) in machines {
        let mut own = Vec::new();
        for one in wanted {
            let on = format!("{} of {name}", one.component.program());
            let have = given(text, one);
            let place = Own::read(have.as_deref());
            if set.keeps(one.floor.as_ref(), &one.advice, &on, place) {
                continue;
            }
            if !is(text, one) {
                set.changes(&one.advice, &on, place, &one.value);
            }
            own.push(one.clone());
        }
        lacking.push((name, own));
    }
    for one in wanted {
        if machines.iter().all(|(_, text)| is(text, one)) {
            let text = format!("{}: {}", one.component.program(), one.flag);
            set.already.push(text);
            for (_, own) in &mut lacking {
                own.retain(|have| have != one);
            }
        }
    }
    // A value that is there already does no harm in a patch for all.
    let alike = lacking.windows(2).all(|pair| match pair {
        [(_, one), (_, two)] => one == two,
        _ => true,
    });
    if alike {
        let first = lacking.into_iter().next();
        return first
            .map(|(_, own)| (PATCH.to_owned(), own))
            .into_iter()
            .collect();
    }
    for ((_, own), (name, text)) in lacking.iter_mut().zip(machines) {
        own.retain(|one| {
            let so = is(text, one);
            if so {
                let program = one.component.program();
                set.already
                    .push(format!("{program} of {name}: {}", one.flag));
            }
            !so
        });
    }
    lacking
        .into_iter()
        .filter(|(_, own)| !own.is_empty())
        .map(|(name, own)| (format!("patch/{}", file_name(name)), own))
        .collect()
}

/// The patch, read back.
fn patch(wanted: &[Wanted]) -> Option<String> {
    let mut text = String::from("cluster:\n");
    for component in Component::ALL {
        let own: Vec<&Wanted> = wanted
            .iter()
            .filter(|one| one.component == component)
            .collect();
        let Some(section) = section(component).filter(|_| !own.is_empty()) else {
            continue;
        };
        text = format!("{text}  {section}:\n    extraArgs:\n");
        for one in own {
            text = format!("{text}      {}: {}\n", one.flag, quoted(&one.value));
        }
    }
    let read = documents(&text).ok()?;
    let holds = |one: &Wanted| {
        let value = read.first().and_then(|doc| {
            doc.get("cluster")?
                .get(section(one.component)?)?
                .get("extraArgs")?
                .get(one.flag.as_str())
        });
        value.and_then(Value::as_str) == Some(one.value.as_str())
    };
    (!wanted.is_empty() && wanted.iter().all(holds)).then_some(text)
}
