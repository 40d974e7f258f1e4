//! Talos: a machine configuration patch with `extraArgs`.
//!
//! Talos sets some flags itself and refuses them here (siderolabs/talos
//! `control_plane_static_pod.go`, v1.13).

use std::collections::BTreeSet;

use yaml_serde::Value;

use crate::catalog::settings::Component;

use super::model::{Emitter, PatchFile, PatchInput, PatchSet, Shown};
use super::steps;
use super::wanted::{Wanted, flags};
use super::yaml::{documents, quoted};

/// The emitter for Talos.
#[derive(Clone, Copy, Debug, Default)]
pub struct Talos;

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

fn section(component: Component) -> Option<&'static str> {
    match component {
        Component::ApiServer => Some("apiServer"),
        Component::ControllerManager => Some("controllerManager"),
        Component::Scheduler => Some("scheduler"),
        Component::Etcd => Some("etcd"),
        Component::Kubelet => None,
    }
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
        let (mut wanted, shown) = flags(input, &components);
        let mut set = PatchSet {
            shown,
            ..PatchSet::default()
        };
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
        let Some(text) = patch(&wanted) else {
            return set;
        };
        let done: BTreeSet<String> = wanted.iter().map(|one| one.advice.clone()).collect();
        set.files.push(PatchFile {
            path: "talos-patch.yaml".to_owned(),
            content: text,
            what: "patch for `talosctl patch mc`".to_owned(),
            advice: done.iter().cloned().collect(),
        });
        let content = steps::short(
            input,
            &set,
            &done,
            "For each control-plane node: `talosctl -n NODE patch mc --patch @talos-patch.yaml`. \
             Talos restarts the static pods it concerns, and etcd only at the node's next reboot \
             or `talosctl -n NODE service etcd restart`. Wait until `talosctl -n NODE health` is \
             well before the next. The same patch again changes nothing.",
            "`talosctl -n NODE edit mc` and take the arguments out, one node at a time.",
        );
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
