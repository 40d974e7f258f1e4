//! kubeadm: static pods as found, ClusterConfiguration, an events etcd, priority levels, steps.

mod objects;

use std::collections::{BTreeMap, BTreeSet};

use crate::advise::{Advice, Disposition};
use crate::catalog::releases::{Version, of_image};
use crate::catalog::settings::Component;

use super::change::{Change, change_of, component_of, differs, is_list, union, value_for};
use super::cluster_config::{Api, Arg, ClusterConfiguration, fragment};
use super::diff::{safe_name, unified};
use super::events_etcd;
use super::model::{Emitter, PatchFile, PatchInput, PatchSet, Shown};
use super::pod::Pod;
use super::pod_value::Wish;
use super::{probes, steps};

/// The emitter for clusters that kubeadm made, and for others whose components are static pods.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kubeadm;

/// A static pod while it is edited.
#[derive(Clone, Debug)]
struct Edited {
    node: String,
    file: String,
    component: Component,
    before: String,
    pod: Pod,
    advice: Vec<String>,
}

impl Edited {
    fn version(&self, input: &PatchInput<'_>) -> Option<Version> {
        self.pod
            .image()
            .and_then(of_image)
            .or(match self.component {
                Component::Etcd => input.etcd,
                _ => input.kubernetes,
            })
    }

    /// `kube-apiserver on cp0`.
    fn words(&self) -> String {
        let program = self.component.program();
        if self.node.is_empty() {
            program.to_owned()
        } else {
            format!("{program} on {}", self.node)
        }
    }
}

/// A flag for ClusterConfiguration, and the advice that asks for it.
struct Noted {
    arg: Arg,
    advice: Advice,
    component: Component,
    /// What it became in the static pods, all lists together; the advice's value without pods.
    in_pods: String,
}

/// What the emitter has so far.
struct Work<'a> {
    input: &'a PatchInput<'a>,
    pods: Vec<Edited>,
    args: Vec<Noted>,
    removed: Vec<(String, String)>,
    /// Values of files that are not those of the evidence, and what becomes of them.
    differ: Vec<String>,
    /// ClusterConfiguration says that etcd is none of kubeadm's.
    external: bool,
    events_members: Vec<events_etcd::Member>,
    has_events_etcd: bool,
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
        for advice in input.advices.iter().filter(|advice| input.wants(advice)) {
            work.advice(advice);
        }
        work.finish()
    }
}

impl<'a> Work<'a> {
    fn new(input: &'a PatchInput<'a>) -> Self {
        let mut pods = Vec::new();
        let mut set = PatchSet::default();
        let mut has_events_etcd = false;
        let mut unreadable = BTreeSet::new();
        for node in &input.nodes {
            for (file, text) in &node.files {
                let events = Pod::parse(text, "etcd-events").ok();
                has_events_etcd |= events.is_some();
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
                            if file.trim_end_matches(".yml").trim_end_matches(".yaml")
                                == program =>
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
        Work {
            input,
            pods,
            args: Vec::new(),
            removed: Vec::new(),
            differ: Vec::new(),
            external: input
                .cluster_configuration
                .as_deref()
                .is_some_and(is_external),
            events_members: Vec::new(),
            has_events_etcd,
            set,
            done: BTreeSet::new(),
            noted: BTreeSet::new(),
            unreadable,
        }
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
            self.show(
                advice,
                component.program(),
                format!("something to do, not a file: {}", advice.proposed),
            );
            return;
        }
        self.flags(advice, component, &proposed);
        if events && self.done.contains(&advice.id) {
            self.events_etcd(advice);
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
            let result = change_of(advice, component, proposed, version).and_then(|change| {
                let have = have(&pod, advice, component, &change);
                let change = fitted(change, advice, component, have.as_deref())?;
                if differs(advice, component, have.as_deref()) {
                    differ.push(difference(
                        &format!("{} ({})", one.words(), one.file),
                        advice,
                        have.as_deref(),
                        &change,
                    ));
                }
                apply(&mut pod, &change).map_err(|refusal| refusal.to_string())?;
                Ok(change)
            });
            match result {
                Ok(change) => edited.push((at, pod, change)),
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
        for (at, pod, change) in edited {
            let Some(one) = self.pods.get(at) else {
                continue;
            };
            if one.pod.text() == pod.text() {
                already.push(format!("{}: {}", one.words(), advice.setting));
                // The next upgrade writes the pod anew from the configuration.
                if self.input.cluster_configuration.is_some() {
                    self.note(advice, component, proposed, &change);
                    self.noted.insert(advice.id.clone());
                }
                continue;
            }
            changed = true;
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

    /// ClusterConfiguration: edited where it was given, else fragments to merge.
    fn cluster_configuration(&mut self) {
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
            match edited_configuration(text, &self.args, &self.removed) {
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
        let ids: Vec<String> = self.done.iter().cloned().collect();
        let file = |path: &str, content: String, what: &str| PatchFile {
            path: path.to_owned(),
            content,
            what: what.to_owned(),
            advice: ids.clone(),
        };
        if self.done.is_empty() {
            return;
        }
        if self.args.is_empty() {
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

    fn finish(mut self) -> PatchSet {
        let many: BTreeSet<&str> = self.pods.iter().map(|pod| pod.node.as_str()).collect();
        let many = many.len() > 1;
        let mut files: Vec<PatchFile> = Vec::new();
        let mut written: BTreeSet<(&str, &str)> = BTreeSet::new();
        for one in &self.pods {
            if one.pod.text() == one.before || !written.insert((&one.node, &one.file)) {
                continue;
            }
            let dir = if many {
                format!("{}/", safe_name(&one.node))
            } else {
                String::new()
            };
            // Names that differ may be one when they are made safe.
            let safe = safe_name(&one.file);
            let name = (1..)
                .map(|n| match n {
                    1 => safe.clone(),
                    n => format!("{n}-{safe}"),
                })
                .find(|name| {
                    let path = format!("manifests/{dir}{name}");
                    files.iter().all(|file| file.path != path)
                })
                .unwrap_or(safe.clone());
            let mut advice: Vec<String> = Vec::new();
            let mut words: Vec<String> = Vec::new();
            for part in self.pods.iter().filter(|part| {
                (&part.node, &part.file) == (&one.node, &one.file) && !part.advice.is_empty()
            }) {
                words.push(part.words());
                for id in &part.advice {
                    if !advice.contains(id) {
                        advice.push(id.clone());
                    }
                }
            }
            files.push(PatchFile {
                path: format!("manifests/{dir}{name}"),
                content: one.pod.text().to_owned(),
                what: format!(
                    "static pod{} of {}",
                    if words.len() > 1 { "s" } else { "" },
                    words.join(", ")
                ),
                advice: advice.clone(),
            });
            files.push(PatchFile {
                path: format!("diffs/{dir}{name}.diff"),
                content: unified(&one.before, one.pod.text(), &name),
                what: "what changed".to_owned(),
                advice,
            });
        }
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
            many_nodes: many,
            differ: &self.differ,
            own_names: one_file,
        });
        let advice = self.done.iter().cloned().collect();
        self.set.files.insert(
            0,
            PatchFile {
                path: "STEPS.md".to_owned(),
                content,
                what: "what to do, in order".to_owned(),
                advice,
            },
        );
        self.set
    }
}

fn apply(pod: &mut Pod, change: &Change) -> Result<(), super::yaml::Refusal> {
    match change {
        Change::Set { flag, value } => pod.set_flag(flag, value),
        Change::Remove { flags } => flags.iter().try_for_each(|flag| pod.remove_flag(flag)),
    }
}

/// Where the flags of an etcd belong that kubeadm does not run.
const EXTERNAL: &str = "etcd is external: kubeadm sets no flag of it, and `etcd.local` beside \
    `etcd.external` is refused. Set it where the etcd runs: with its unit by `patch --target systemd` on \
    its machines, else in its own manifest or configuration file";

/// What a pod has for the flag that a change sets.
fn have(pod: &Pod, advice: &Advice, component: Component, change: &Change) -> Option<String> {
    let Change::Set { flag, .. } = change else {
        return None;
    };
    let given = if is_list(advice, component) {
        pod.joined(flag)
    } else {
        pod.flag(flag)
    };
    given.or_else(|| {
        let variable = format!("ETCD_{}", flag.to_ascii_uppercase().replace('-', "_"));
        let set = (component == Component::Etcd).then(|| pod.env(&variable));
        set.flatten().map(str::to_owned)
    })
}

/// The change as it is for a file that has this value.
fn fitted(
    change: Change,
    advice: &Advice,
    component: Component,
    have: Option<&str>,
) -> Result<Change, String> {
    let Change::Set { flag, value } = change else {
        return Ok(change);
    };
    let value = value_for(advice, component, &value, have)?;
    Ok(if value.is_empty() {
        Change::Remove { flags: vec![flag] }
    } else {
        Change::Set { flag, value }
    })
}

/// A value that is not what the advice was made from, and what becomes of it.
fn difference(on: &str, advice: &Advice, have: Option<&str>, change: &Change) -> String {
    let after = match change {
        Change::Set { value, .. } => format!("becomes `{value}`"),
        Change::Remove { .. } => "goes".to_owned(),
    };
    format!(
        "{on}: {} is {} there, and the evidence showed `{}`; it {after}",
        advice.setting,
        have.map_or_else(|| "not set".to_owned(), |have| format!("`{have}`")),
        advice.now.as_deref().unwrap_or("nothing"),
    )
}

fn is_external(text: &str) -> bool {
    ClusterConfiguration::parse(text).is_ok_and(|config| config.is_external())
}

/// The configuration as it was and as it will be, and where it is not as the evidence was.
fn edited_configuration(
    text: &str,
    args: &[Noted],
    removed: &[(String, String)],
) -> Result<(String, String, Vec<String>), String> {
    let mut config = ClusterConfiguration::parse(text).map_err(|refusal| refusal.to_string())?;
    let before = config.text().to_owned();
    let mut differ = Vec::new();
    for one in args {
        let (component, flag) = (&one.arg.component, &one.arg.name);
        let have = config.get(component, flag);
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
            Change::Set { value, .. } => config.set(&Arg {
                value,
                ..one.arg.clone()
            }),
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

fn on(node: &str, file: &str) -> String {
    if node.is_empty() {
        file.to_owned()
    } else {
        format!("{file} of {node}")
    }
}
