//! kubeadm: static pods as found, ClusterConfiguration, an events etcd, priority levels, steps.

mod cluster;
mod objects;
mod pods;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use crate::advise::{Advice, Disposition};
use crate::catalog::releases::{Version, of_image};
use crate::catalog::settings::Component;

use super::change::{Change, change_of, component_of, differs, union};
use super::cluster_config::{Arg, ClusterConfiguration};
use super::events_etcd;
use super::floor::{Floor, Own, left_with, together};
use super::model::{Emitter, PatchFile, PatchInput, PatchSet, Shown};
use super::pod::Pod;
use super::pod_value::Wish;
use super::{probes, steps};
use cluster::{EXTERNAL, Noted, is_external};
use pods::{Edited, pod_files};
use values::{apply, difference, fitted, have, heeded, sets_anew};

/// The emitter for clusters that kubeadm made, and for others whose components are static pods.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kubeadm;

/// Why nothing is written for OpenShift.
const OPENSHIFT: &str = "these are OpenShift's static pods: its operators write them anew, and kubeadm has no \
    part in them. etcd's quota is `backendQuotaGiB` of `etcd/cluster` (8 to 32, 8 by default), its timers \
    `controlPlaneHardwareSpeed`; flags of kube-apiserver, overrides among them, go only through \
    `unsupportedConfigOverrides`, which ends the vendor's support: ask them first. FlowSchemas may be \
    applied as elsewhere";

/// What the emitter has so far.
#[derive(Clone)]
struct Work<'a> {
    input: &'a PatchInput<'a>,
    pods: Vec<Edited>,
    args: Vec<Noted>,
    removed: Vec<(String, String)>,
    /// Values of files that are not those of the evidence, and what becomes of them.
    differ: Vec<String>,
    /// ClusterConfiguration or kube-apiserver says that etcd is none of kubeadm's.
    external: bool,
    events_members: Vec<events_etcd::Member>,
    /// The second etcd's pods that are there, by node.
    events_pods: Vec<(String, Pod)>,
    set: PatchSet,
    done: BTreeSet<String>,
    /// Advice that the pods already follow, and that the configuration may lack.
    noted: BTreeSet<String>,
    /// Components with a manifest that could not be read.
    unreadable: BTreeSet<Component>,
}

impl Emitter for Kubeadm {
    fn name(&self) -> &'static str {
        "kubeadm"
    }

    fn emit(&self, input: &PatchInput<'_>) -> PatchSet {
        let mut work = Work::new(input);
        if work.is_openshift() {
            for advice in input.advices.iter().filter(|advice| input.wants(advice)) {
                work.show(advice, &advice.target.clone(), OPENSHIFT);
            }
            return work.set;
        }
        let wanted: Vec<&Advice> = input.advices.iter().filter(|a| input.wants(a)).collect();
        let name = |advice: &&Advice| (advice.target.clone(), advice.setting.clone());
        for group in together(&wanted, &name) {
            let group: Vec<&Advice> = group
                .iter()
                .filter_map(|at| wanted.get(*at).copied())
                .collect();
            work.group(&group);
        }
        work.finish()
    }
}

impl<'a> Work<'a> {
    fn new(input: &'a PatchInput<'a>) -> Self {
        let mut pods = Vec::new();
        let mut set = PatchSet::default();
        let mut events_pods = Vec::new();
        let mut unreadable = BTreeSet::new();
        for node in &input.nodes {
            for (file, text) in &node.files {
                let events = Pod::parse(text, "etcd-events").ok();
                events_pods.extend(events.iter().map(|pod| (node.node.clone(), pod.clone())));
                for component in [
                    Component::ApiServer,
                    Component::ControllerManager,
                    Component::Scheduler,
                    Component::Etcd,
                ] {
                    let program = component.program();
                    match Pod::parse(text, program) {
                        Ok(pod)
                            if events
                                .as_ref()
                                .is_some_and(|events| events.place == pod.place) => {}
                        Ok(pod) => pods.push(Edited {
                            node: node.node.clone(),
                            file: file.clone(),
                            component,
                            before: text.clone(),
                            pod,
                            advice: Vec::new(),
                        }),
                        // A file that is meant to be this component's says why it cannot be used.
                        Err(refusal)
                            if [".yaml", ".yml", ".manifest"]
                                .iter()
                                .any(|end| file.strip_suffix(end) == Some(program)) =>
                        {
                            unreadable.insert(component);
                            set.shown.push(Shown {
                                advice: String::new(),
                                on: on(&node.node, file),
                                why: refusal.to_string(),
                            });
                        }
                        Err(_) => {}
                    }
                }
            }
        }
        let external = asks_elsewhere(&pods);
        Work {
            input,
            pods,
            args: Vec::new(),
            removed: Vec::new(),
            differ: Vec::new(),
            external: external
                || input
                    .cluster_configuration
                    .as_deref()
                    .is_some_and(is_external),
            events_members: Vec::new(),
            events_pods,
            set,
            done: BTreeSet::new(),
            noted: BTreeSet::new(),
            unreadable,
        }
    }

    /// Whether the operators of OpenShift own the pods.
    fn is_openshift(&self) -> bool {
        self.pods.iter().any(|one| {
            let namespace = one.pod.pod_value(&["metadata", "namespace"]);
            namespace
                .and_then(yaml_serde::Value::as_str)
                .is_some_and(|name| name.starts_with("openshift-"))
        })
    }

    fn kubernetes(&self) -> Option<Version> {
        self.pods
            .iter()
            .filter(|pod| pod.component != Component::Etcd)
            .filter_map(|pod| of_image(pod.pod.image()?))
            .min()
            .or(self.input.kubernetes)
            .or_else(|| {
                let text = self.input.cluster_configuration.as_deref()?;
                ClusterConfiguration::parse(text).ok()?.kubernetes()
            })
    }

    fn show(&mut self, advice: &Advice, on: &str, why: impl Into<String>) {
        self.set.shown.push(Shown {
            advice: advice.id.clone(),
            on: on.to_owned(),
            why: why.into(),
        });
    }

    /// Advice that goes together: all of it, or none.
    fn group(&mut self, group: &[&Advice]) {
        let saved = (group.len() > 1).then(|| self.clone());
        for advice in group {
            self.advice(advice);
        }
        let Some(mut saved) = saved else {
            return;
        };
        let new = self.set.shown.split_off(saved.set.shown.len());
        let Some(refused) = group
            .iter()
            .find(|advice| new.iter().any(|shown| shown.advice == advice.id))
        else {
            return;
        };
        saved.set.shown.extend(new.iter().cloned());
        for advice in group {
            let was_set = self.done.contains(&advice.id) && !saved.done.contains(&advice.id);
            if was_set && !new.iter().any(|shown| shown.advice == advice.id) {
                saved.show(advice, &advice.target, left_with(&refused.setting));
            }
        }
        *self = saved;
    }

    fn advice(&mut self, advice: &Advice) {
        if advice.details.contains_key("level") {
            self.priority_level(advice);
            return;
        }
        if let Some(wishes) = probes::wishes_of(advice) {
            self.values(advice, &wishes);
            return;
        }
        let Some(component) = component_of(advice) else {
            self.show(
                advice,
                &advice.target,
                "nothing that kubeadm starts: do it by hand",
            );
            return;
        };
        let events = advice.details.get("resource").map(String::as_str) == Some("events");
        let proposed = if events {
            self.events_value(advice)
        } else {
            advice.proposed.clone()
        };
        // A shard whose addresses only the manifests tell was shown for want of them.
        let addressed = events && !proposed.contains('<');
        if advice.disposition == Disposition::ShowOnly && !addressed {
            let unaddressed = events.then(|| self.unaddressed(advice)).flatten();
            let why = unaddressed
                .unwrap_or_else(|| format!("something to do, not a file: {}", advice.proposed));
            self.show(advice, component.program(), why);
            return;
        }
        if events && let Err(why) = self.shard_can_run(&proposed) {
            self.show(advice, "etcd-events and kube-apiserver", why);
            return;
        }
        let so_before = self.set.already.len();
        self.flags(advice, component, &proposed);
        if events && self.done.contains(&advice.id) {
            self.events_etcd(advice, &proposed);
        }
        if events && (self.done.contains(&advice.id) || self.set.already.len() > so_before) {
            self.exclude_override(advice, &proposed);
        }
    }

    /// Takes an edited pod in. The others of the same file are read again from its new text.
    fn commit(&mut self, at: usize, pod: Pod, advice: &Advice) {
        let Some(one) = self.pods.get_mut(at) else {
            return;
        };
        one.pod = pod;
        if !one.advice.contains(&advice.id) {
            one.advice.push(advice.id.clone());
        }
        let one = one.clone();
        for (_, other) in self
            .pods
            .iter_mut()
            .enumerate()
            .filter(|(n, other)| *n != at && other.node == one.node && other.file == one.file)
        {
            // One container's edit leaves the others as they are, so they read as before.
            if let Ok(pod) = Pod::parse(one.pod.text(), other.component.program()) {
                other.pod = pod;
            }
        }
    }

    /// Sets values of etcd's container on every node, or on none; kubeadm gets a patch, so that the
    /// next upgrade keeps them.
    fn values(&mut self, advice: &Advice, wishes: &[Wish]) {
        if self.unreadable.contains(&Component::Etcd) {
            self.show(
                advice,
                "etcd",
                "a manifest of it could not be read: see the place above",
            );
            return;
        }
        let etcd = |pod: &Edited| pod.component == Component::Etcd;
        if self.external && !self.pods.iter().any(etcd) {
            self.show(advice, "etcd", EXTERNAL);
            return;
        }
        if self.pods.iter().any(etcd)
            && self
                .pods
                .iter()
                .filter(|p| etcd(p))
                .all(|p| p.pod.is_so(wishes))
        {
            for one in self.pods.iter().filter(|pod| etcd(pod)) {
                self.set
                    .already
                    .push(format!("{}: {}", one.words(), advice.setting));
            }
            return;
        }
        let mut edited = Vec::new();
        for (at, one) in self.pods.iter().enumerate().filter(|(_, pod)| etcd(pod)) {
            let mut pod = one.pod.clone();
            match pod.set_values(wishes) {
                Ok(()) => edited.push((at, pod)),
                Err(refusal) => {
                    let (words, why) = (one.words(), refusal.to_string());
                    self.show(advice, &words, why);
                    return;
                }
            }
        }
        for (at, pod) in edited {
            if self
                .pods
                .get(at)
                .is_some_and(|one| one.pod.text() != pod.text())
            {
                self.commit(at, pod, advice);
            }
        }
        match probes::patch_of(advice) {
            Some(Ok((path, content))) => {
                self.file(path, content, "patch for `kubeadm --patches`", advice);
            }
            Some(Err(why)) => self.show(advice, &advice.target.clone(), why),
            None => {}
        }
    }

    /// Sets or removes a flag on every node, or on none.
    fn flags(&mut self, advice: &Advice, component: Component, proposed: &str) {
        if self.unreadable.contains(&component) {
            // One value everywhere, or nowhere.
            self.show(
                advice,
                component.program(),
                "a manifest of it could not be read: see the place above",
            );
            return;
        }
        let mine: Vec<usize> = self
            .pods
            .iter()
            .enumerate()
            .filter(|(_, pod)| pod.component == component)
            .map(|(at, _)| at)
            .collect();
        if mine.is_empty() {
            self.flags_without_pods(advice, component, proposed);
            return;
        }
        let mut edited = Vec::new();
        let mut trouble = Vec::new();
        let mut differ = Vec::new();
        for at in mine {
            let Some(one) = self.pods.get(at) else {
                continue;
            };
            let version = one.version(self.input);
            let mut pod = one.pod.clone();
            let result = heeded(one, advice, version);
            let result = result.and_then(|()| change_of(advice, component, proposed, version));
            let result = result.and_then(|change| {
                let have = have(&pod, advice, component, &change);
                let floor = Floor::of(advice, version);
                let own = Own::read(have.as_deref());
                if self
                    .set
                    .keeps(floor.as_ref(), &advice.id, &one.words(), own)
                {
                    return Ok((change, true));
                }
                let change = fitted(change, advice, component, have.as_deref())?;
                if differs(advice, component, have.as_deref())
                    && sets_anew(&change, have.as_deref())
                {
                    differ.push(difference(
                        &format!("{} ({})", one.words(), one.file),
                        advice,
                        have.as_deref(),
                        &change,
                    ));
                }
                apply(&mut pod, &change).map_err(|refusal| refusal.to_string())?;
                Ok((change, false))
            });
            match result {
                Ok((change, kept)) => edited.push((at, pod, change, kept)),
                Err(why) => trouble.push((one.words(), why)),
            }
        }
        if !trouble.is_empty() {
            // One value everywhere, or nowhere.
            for (words, why) in trouble {
                self.show(advice, &words, why);
            }
            return;
        }
        self.differ.append(&mut differ);
        let mut changed = false;
        let mut already = Vec::new();
        for (at, pod, change, kept) in edited {
            let Some(one) = self.pods.get(at) else {
                continue;
            };
            if kept || one.pod.text() == pod.text() {
                if !kept {
                    already.push(format!("{}: {}", one.words(), advice.setting));
                }
                // The next upgrade writes the pod anew from the configuration.
                if self.input.cluster_configuration.is_some() {
                    self.note(advice, component, proposed, &change);
                    self.noted.insert(advice.id.clone());
                }
                continue;
            }
            changed = true;
            if let Change::Set { value, .. } = &change {
                let have = have(&one.pod, advice, component, &change);
                let own = Own::read(have.as_deref());
                self.set.changes(&advice.id, &one.words(), own, value);
            }
            self.commit(at, pod, advice);
            self.note(advice, component, proposed, &change);
        }
        self.set.already.extend(already);
        if changed {
            self.done.insert(advice.id.clone());
        }
    }

    fn flags_without_pods(&mut self, advice: &Advice, component: Component, proposed: &str) {
        if self.external && component == Component::Etcd {
            self.show(advice, "etcd", EXTERNAL);
            return;
        }
        let version = match component {
            Component::Etcd => self.input.etcd,
            _ => self.kubernetes(),
        };
        match change_of(advice, component, proposed, version) {
            Ok(change @ Change::Set { .. }) => {
                self.note(advice, component, proposed, &change);
                self.done.insert(advice.id.clone());
            }
            Ok(Change::Remove { .. }) => {
                self.show(
                    advice,
                    component.program(),
                    "no manifest to take the flag out of",
                );
            }
            Err(why) => self.show(advice, component.program(), why),
        }
    }

    /// Remembers a change for ClusterConfiguration.
    fn note(&mut self, advice: &Advice, component: Component, proposed: &str, change: &Change) {
        if self.external && component == Component::Etcd {
            return;
        }
        match change {
            Change::Set { flag, value } => {
                let arg = Arg {
                    component: component.program().to_owned(),
                    name: flag.clone(),
                    value: proposed.to_owned(),
                };
                match self
                    .args
                    .iter_mut()
                    .find(|have| have.arg == arg && have.advice.id == advice.id)
                {
                    Some(have) => {
                        have.in_pods = union(advice, component, &have.in_pods, value);
                    }
                    None => self.args.push(Noted {
                        arg,
                        advice: advice.clone(),
                        component,
                        in_pods: value.clone(),
                    }),
                }
            }
            Change::Remove { flags } => {
                for flag in flags {
                    let one = (component.program().to_owned(), flag.clone());
                    if !self.removed.contains(&one) {
                        self.removed.push(one);
                    }
                }
            }
        }
    }

    fn file(&mut self, path: String, content: String, what: &str, advice: &Advice) {
        self.done.insert(advice.id.clone());
        if let Some(have) = self.set.files.iter_mut().find(|file| file.path == path) {
            if have.content != content {
                self.show(advice, &path, "another advice writes the same file");
            } else {
                have.advice.push(advice.id.clone());
            }
            return;
        }
        self.set.files.push(PatchFile {
            path,
            content,
            what: what.to_owned(),
            advice: vec![advice.id.clone()],
        });
    }

    fn finish(mut self) -> PatchSet {
        let many: BTreeSet<&str> = self.pods.iter().map(|pod| pod.node.as_str()).collect();
        let many = many.len() > 1;
        let files = pod_files(&self.pods, many);
        let one_file = self.pods.iter().any(|pod| {
            !pod.advice.is_empty() && pod.file != format!("{}.yaml", pod.component.program())
        });
        self.set.files.splice(0..0, files);
        self.cluster_configuration();
        self.set.files.sort_by(|a, b| a.path.cmp(&b.path));
        if self.set.files.is_empty() {
            return self.set;
        }
        let versions: BTreeMap<String, String> = self
            .pods
            .iter()
            .filter_map(|pod| {
                Some((
                    pod.component.program().to_owned(),
                    pod.version(self.input)?.to_string(),
                ))
            })
            .collect();
        let content = steps::steps(&steps::Plan {
            input: self.input,
            set: &self.set,
            done: &self.done,
            versions: &versions,
            removed: &self.removed,
            members: &self.events_members,
            access: &self.access(),
            own_access: &self.own_access(),
            not_given: &self.not_given(),
            many_nodes: many,
            differ: &self.differ,
            own_names: one_file,
        });
        self.set.lead(content, self.done);
        self.set
    }
}

/// Whether kube-apiservers ask an etcd of other machines, and no manifest of one was given.
fn asks_elsewhere(pods: &[Edited]) -> bool {
    let far = |one: &Edited| {
        one.pod.flag("etcd-servers").is_some_and(|servers| {
            servers
                .split(',')
                .filter_map(|url| url.trim().split_once("://"))
                .any(|(_, host)| {
                    !["127.", "localhost", "[::1]"]
                        .iter()
                        .any(|own| host.starts_with(own))
                })
        })
    };
    let of = |component: Component| pods.iter().filter(move |one| one.component == component);
    of(Component::Etcd).next().is_none() && of(Component::ApiServer).any(far)
}

fn on(node: &str, file: &str) -> String {
    if node.is_empty() {
        file.to_owned()
    } else {
        format!("{file} of {node}")
    }
}
