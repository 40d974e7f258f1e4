//! `ClusterConfiguration`, from which each upgrade writes the static pods anew.

use crate::advise::Advice;
use crate::catalog::settings::Component;
use crate::patch::change::{Change, differs, union};
use crate::patch::cluster_config::{Api, Arg, ClusterConfiguration, fragment};
use crate::patch::diff::unified;
use crate::patch::floor::{Floor, Own};
use crate::patch::model::{PatchFile, PatchSet, Shown};
use crate::patch::steps::CONFIGURATION;

use super::Work;
use super::values::{difference, fitted};

/// Where the flags of an etcd belong that kubeadm does not run.
pub(super) const EXTERNAL: &str = "etcd is external: kubeadm sets no flag of it, and `etcd.local` beside \
    `etcd.external` is refused. Set it where the etcd runs: with its unit by `patch --target systemd` on \
    its machines, else in its own manifest or configuration file";

/// A flag for ClusterConfiguration, and the advice that asks for it.
#[derive(Clone)]
pub(super) struct Noted {
    pub(super) arg: Arg,
    pub(super) advice: Advice,
    pub(super) component: Component,
    /// What it became in the static pods, all lists together; the advice's value without pods.
    pub(super) in_pods: String,
}

impl Work<'_> {
    /// ClusterConfiguration: edited where it was given, else fragments to merge.
    pub(super) fn cluster_configuration(&mut self) {
        if self.args.is_empty() && self.removed.is_empty() {
            return;
        }
        let ids: Vec<String> = self.done.union(&self.noted).cloned().collect();
        let file = |path: &str, content: String, what: &str| PatchFile {
            path: path.to_owned(),
            content,
            what: what.to_owned(),
            advice: ids.clone(),
        };
        if let Some(text) = &self.input.cluster_configuration {
            match edited_configuration(text, &self.args, &self.removed, &mut self.set) {
                Ok((before, after, mut differ)) => {
                    self.differ.append(&mut differ);
                    if before != after {
                        let path = "kubeadm/ClusterConfiguration.yaml";
                        self.set.files.push(file(
                            "diffs/ClusterConfiguration.diff",
                            unified(&before, &after, "ClusterConfiguration"),
                            "what changed",
                        ));
                        self.set.files.push(file(
                            path,
                            after,
                            "the configuration with the new arguments",
                        ));
                        self.done.append(&mut self.noted);
                    }
                    return;
                }
                Err(why) => {
                    self.set.shown.push(Shown {
                        advice: String::new(),
                        on: "ClusterConfiguration".to_owned(),
                        why: format!("{why}; a fragment to merge is given instead"),
                    });
                    // What the pods have already the next upgrade takes back, unless it is merged.
                    if !holds(text, &self.args) {
                        self.done.append(&mut self.noted);
                    }
                }
            }
        }
        self.fragments();
    }

    /// Arguments to merge into a configuration that was not given or cannot be edited.
    fn fragments(&mut self) {
        let ids: Vec<String> = self.done.iter().cloned().collect();
        let file = |path: &str, content: String, what: &str| PatchFile {
            path: path.to_owned(),
            content,
            what: what.to_owned(),
            advice: ids.clone(),
        };
        if self.done.is_empty() || self.args.is_empty() {
            return;
        }
        // Of two advices about one list the fragment holds both.
        let mut args: Vec<Arg> = Vec::new();
        for one in &self.args {
            let same =
                |arg: &&mut Arg| (&arg.component, &arg.name) == (&one.arg.component, &one.arg.name);
            match args.iter_mut().find(same) {
                Some(arg) => {
                    arg.value = union(&one.advice, one.component, &arg.value, &one.in_pods);
                }
                None => args.push(Arg {
                    value: one.in_pods.clone(),
                    ..one.arg.clone()
                }),
            }
        }
        // The form of the file that it is merged into.
        let own = self.input.cluster_configuration.as_deref();
        let apis = match own.and_then(Api::named_in) {
            Some(api) => vec![api],
            None => Api::for_kubernetes(self.kubernetes()),
        };
        for api in apis {
            let text = fragment(api, &args);
            let version = api.version().rsplit('/').next().unwrap_or_default();
            let proven = ClusterConfiguration::parse(&text).is_ok_and(|config| {
                args.iter()
                    .all(|arg| config.get(&arg.component, &arg.name).as_deref() == Some(&arg.value))
            });
            if proven {
                self.set.files.push(file(
                    &format!("kubeadm/extra-args.{version}.yaml"),
                    text,
                    "arguments to merge into ClusterConfiguration",
                ));
            }
        }
    }
}

/// Whether it says that etcd is none of kubeadm's.
pub(super) fn is_external(text: &str) -> bool {
    ClusterConfiguration::parse(text).is_ok_and(|config| config.is_external())
}

/// The configuration as it was and as it will be, and where it is not as the evidence was.
fn edited_configuration(
    text: &str,
    args: &[Noted],
    removed: &[(String, String)],
    set: &mut PatchSet,
) -> Result<(String, String, Vec<String>), String> {
    let mut config = ClusterConfiguration::parse(text).map_err(|refusal| refusal.to_string())?;
    let before = config.text().to_owned();
    let version = config.kubernetes();
    let mut differ = Vec::new();
    for one in args {
        let (component, flag) = (&one.arg.component, &one.arg.name);
        let have = config.get(component, flag);
        // What it does not set may stand in the pods only: then no default says anything.
        let own = have.as_deref().map_or(Own::Unknown, Own::Given);
        let on = format!("{component} in {CONFIGURATION}");
        let floor = Floor::of(&one.advice, version);
        if set.keeps(floor.as_ref(), &one.advice.id, &on, own) {
            continue;
        }
        let change = Change::Set {
            flag: flag.clone(),
            value: one.arg.value.clone(),
        };
        let change = fitted(change, &one.advice, one.component, have.as_deref())
            .map_err(|why| format!("{flag} of {component}: {why}"))?;
        // What it does not set is no difference: most of a running flag may stand in the pod only.
        if have.is_some() && differs(&one.advice, one.component, have.as_deref()) {
            differ.push(difference(
                &format!("{component} in ClusterConfiguration"),
                &one.advice,
                have.as_deref(),
                &change,
            ));
        }
        match change {
            Change::Set { value, .. } => {
                if have.as_deref() != Some(value.as_str()) {
                    set.changes(&one.advice.id, &on, own, &value);
                }
                config.set(&Arg {
                    value,
                    ..one.arg.clone()
                })
            }
            Change::Remove { flags } => flags
                .iter()
                .try_for_each(|flag| config.remove(component, flag)),
        }
        .map_err(|refusal| refusal.to_string())?;
    }
    for (component, flag) in removed {
        config
            .remove(component, flag)
            .map_err(|refusal| refusal.to_string())?;
    }
    Ok((before, config.text().to_owned(), differ))
}

/// Whether a configuration that cannot be edited is known to hold all arguments already.
fn holds(text: &str, args: &[Noted]) -> bool {
    ClusterConfiguration::parse(text).is_ok_and(|config| {
        args.iter().all(|one| {
            let have = config.get(&one.arg.component, &one.arg.name);
            have.as_deref() == Some(one.in_pods.as_str())
        })
    })
}
