//! `STEPS.md`: what to do in which order, one node at a time, how to look, how to go back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::advise::{Advice, Disposition, Strength};
use crate::catalog::releases::Version;

use super::change::{component_of, is_list};
use super::events_etcd::{DATA_DIR, Member};
use super::floor::Floor;
use super::members::{joined, order};
use super::model::{PatchInput, PatchSet};

/// What the place is called that is no node's.
pub(super) const CONFIGURATION: &str = "ClusterConfiguration";

/// What the steps are made from.
pub(super) struct Plan<'a> {
    pub(super) input: &'a PatchInput<'a>,
    pub(super) set: &'a PatchSet,
    /// Advice that files carry out.
    pub(super) done: &'a BTreeSet<String>,
    /// Versions by component.
    pub(super) versions: &'a BTreeMap<String, String>,
    /// Flags taken out, by component.
    pub(super) removed: &'a [(String, String)],
    /// Members of the events etcd that is made.
    pub(super) members: &'a [Member],
    /// Variables of etcdctl that open the events etcd.
    pub(super) access: &'a [(&'static str, String)],
    /// Options of etcdctl that open main etcd from its own pod.
    pub(super) own_access: &'a str,
    /// Members of main etcd whose nodes' manifests were not given.
    pub(super) not_given: &'a [String],
    /// Whether manifests of several nodes were given.
    pub(super) many_nodes: bool,
    /// Values that were not as the evidence showed them.
    pub(super) differ: &'a [String],
    /// Whether a manifest's name is not its component's.
    pub(super) own_names: bool,
}

impl Plan<'_> {
    /// Kubernetes' version, where it is known.
    fn kubernetes(&self) -> Option<Version> {
        self.versions
            .iter()
            .filter(|(component, _)| component.starts_with("kube-"))
            .find_map(|(_, version)| Version::parse(version))
    }

    /// kubeadm's flag for patches: it lost its prefix in 1.22 (kubernetes #103063).
    fn patches_flag(&self) -> &'static str {
        match self.kubernetes() {
            Some(version) if version < Version::minor(1, 22) => "--experimental-patches",
            _ => "--patches",
        }
    }

    /// Where else the folder may be named: v1beta3, which came with 1.22, has it for new nodes alone.
    fn patches_elsewhere(&self) -> &'static str {
        match self.kubernetes() {
            Some(version) if version < Version::minor(1, 22) => "",
            _ => "; for nodes that join later, `patches.directory` of JoinConfiguration",
        }
    }

    fn done(&self) -> impl Iterator<Item = &Advice> {
        self.input
            .advices
            .iter()
            .filter(|advice| self.done.contains(&advice.id))
    }

    /// Advice that is wanted and that no file carries out.
    fn by_hand(&self) -> impl Iterator<Item = &Advice> {
        self.input
            .advices
            .iter()
            .filter(|advice| self.input.wants(advice) && !self.done.contains(&advice.id))
            .filter(|advice| self.set.shown.iter().any(|shown| shown.advice == advice.id))
    }

    fn has(&self, prefix: &str) -> bool {
        self.set
            .files
            .iter()
            .any(|file| file.path.starts_with(prefix))
    }

    /// Components whose manifests changed, in the order in which to roll them.
    fn rolled(&self) -> Vec<&'static str> {
        [
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
        ]
        .into_iter()
        .filter(|component| self.done().any(|advice| advice.target == *component))
        .collect()
    }
}

/// The whole text.
pub(super) fn steps(plan: &Plan<'_>) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    write_all(plan, &mut out).ok();
    out
}

fn write_all(plan: &Plan<'_>, out: &mut String) -> std::fmt::Result {
    writeln!(out, "# Steps\n")?;
    writeln!(
        out,
        "Nothing was applied. Every edited file was parsed again: each setting below reads back \
         with the advised value, and nothing else changed.\n"
    )?;
    if !plan.versions.is_empty() {
        let words: Vec<String> = plan
            .versions
            .iter()
            .map(|(c, v)| format!("{c} {v}"))
            .collect();
        writeln!(out, "Checked for: {}.\n", words.join(", "))?;
    }
    writeln!(out, "## What changes\n")?;
    for advice in plan.done() {
        write_advice(advice, plan.set, out)?;
    }
    if !plan.differ.is_empty() {
        writeln!(out, "### Not as the evidence showed it\n")?;
        writeln!(
            out,
            "The files are written from what stands in them, entry by entry where it is a list:\n"
        )?;
        for one in plan.differ {
            writeln!(out, "- {one}")?;
        }
        writeln!(out)?;
    }
    let mut n = 0;
    let mut step = |out: &mut String, title: &str| {
        n += 1;
        writeln!(out, "## Step {n}: {title}\n")
    };
    step(out, "save what is there")?;
    writeln!(
        out,
        "On one node: `ETCDCTL_API=3 etcdctl{} snapshot save /root/etcd-before.db`. On every control-plane node: `cp -a /etc/kubernetes \
         /root/kubernetes-before`. Never keep a copy inside /etc/kubernetes/manifests: the kubelet \
         starts every file in there, `.bak` too.\n",
        plan.own_access
    )?;
    if plan.by_hand().next().is_some() {
        step(out, "by hand, in this order")?;
        for advice in plan.by_hand() {
            write_advice(advice, plan.set, out)?;
        }
    }
    if plan.has("apf/") {
        step(out, "priority levels")?;
        writeln!(
            out,
            "`kubectl apply -f apf/`. It acts at once and restarts nothing. Undo: `kubectl delete \
             -f apf/`.\n"
        )?;
    }
    if plan.has("events-etcd/") {
        step(out, "start the second etcd")?;
        write_events(plan, out)?;
    }
    if plan.has("kubeadm/") {
        step(out, "tell kubeadm")?;
        write_kubeadm(plan, out)?;
    }
    let rolled = plan.rolled();
    if plan.has("manifests/") || (plan.has("kubeadm/") && !rolled.is_empty()) {
        step(out, "one node at a time")?;
        write_roll(plan, &rolled, out)?;
    }
    if plan.has("patches/") {
        step(out, "patches")?;
        writeln!(
            out,
            "`patches/` is for the next upgrade: `kubeadm upgrade apply {flag} patches` on the first node, \
             `kubeadm upgrade node {flag} patches` on the others{elsewhere}. It changes probes and \
             resources only; flags never go there, since a strategic merge replaces the whole command.\n",
            flag = plan.patches_flag(),
            elsewhere = plan.patches_elsewhere(),
        )?;
    }
    step(out, "look whether it worked")?;
    for advice in plan.done() {
        writeln!(out, "- {}: {}", advice.id, advice.verify)?;
    }
    writeln!(out, "\n## Back\n")?;
    writeln!(
        out,
        "Move the saved manifest of the component back, one node at a time, as in the step above, \
         and restore ClusterConfiguration.\n"
    )?;
    for advice in plan.done() {
        writeln!(out, "- {}: {}", advice.id, advice.undo)?;
    }
    write_rest(plan.input, plan.set, out)
}

/// Steps for a distribution that takes one file: what changes, what to run, how to go back.
pub(super) fn short(
    input: &PatchInput<'_>,
    set: &PatchSet,
    done: &BTreeSet<String>,
    how: &str,
    back: &str,
) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    write_short(input, set, done, how, back, &mut out).ok();
    out
}

fn write_short(
    input: &PatchInput<'_>,
    set: &PatchSet,
    done: &BTreeSet<String>,
    how: &str,
    back: &str,
    out: &mut String,
) -> std::fmt::Result {
    writeln!(
        out,
        "# Steps\n\nNothing was applied. Each file was parsed again and holds the advised values.\n\n\
         ## What changes\n"
    )?;
    let done = || {
        input
            .advices
            .iter()
            .filter(|advice| done.contains(&advice.id))
    };
    for advice in done() {
        write_advice(advice, set, out)?;
    }
    writeln!(out, "## Apply, one at a time\n\n{how}\n")?;
    writeln!(out, "## Look whether it worked\n")?;
    for advice in done() {
        writeln!(out, "- {}: {}", advice.id, advice.verify)?;
    }
    writeln!(out, "\n## Back\n\n{back}\n")?;
    for advice in done() {
        writeln!(out, "- {}: {}", advice.id, advice.undo)?;
    }
    write_rest(input, set, out)
}

fn write_advice(advice: &Advice, set: &PatchSet, out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "### {}: {} {}\n",
        advice.id, advice.target, advice.setting
    )?;
    writeln!(
        out,
        "- now: {}",
        advice.now.as_deref().unwrap_or("not known")
    )?;
    writeln!(out, "- proposed: {}", advice.proposed)?;
    let mut had = set
        .had
        .iter()
        .filter(|one| one.advice == advice.id)
        .peekable();
    if had.peek().is_some() {
        writeln!(out, "- in the files:")?;
    }
    for one in had {
        match &one.becomes {
            Some(becomes) => writeln!(out, "  - {}: {}, becomes `{becomes}`", one.on, one.had)?,
            None => writeln!(out, "  - {}: {}, left as it is", one.on, one.had)?,
        }
    }
    if Floor::of(advice, None).is_some() {
        writeln!(
            out,
            "- only where it is less: a node that has as much already, or more, keeps its value"
        )?;
    }
    writeln!(out, "- why: {}", advice.why)?;
    writeln!(out, "- effect: {}", advice.effect)?;
    writeln!(out, "- confidence: {}", advice.confidence.word())?;
    writeln!(
        out,
        "- disposition: {}{}",
        advice.disposition.word(),
        match advice.disposition {
            Disposition::Disruptive => format!(", restarts {}", advice.target),
            _ => String::new(),
        }
    )?;
    writeln!(out, "- risk: {}", advice.risk)?;
    for conflict in &advice.conflicts {
        writeln!(out, "- settled: {conflict}")?;
    }
    writeln!(out, "- source: {}\n", advice.source)
}

fn write_events(plan: &Plan<'_>, out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "On every node below, mount a disk of its own and check that it is one. On main etcd's \
         device the shard gains little: both wait for the same flushes.\n"
    )?;
    let ports = plan.members.first().map(Member::ports).unwrap_or_default();
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    writeln!(
        out,
        "```sh\nmountpoint -q {DATA_DIR} || echo 'STOP: {DATA_DIR} is no mount of its own'\n\
         chmod 700 {DATA_DIR}\n\
         ss -ltn | grep -E ':({}) ' && echo 'STOP: a port is taken'\n```\n",
        ports.join("|")
    )?;
    writeln!(
        out,
        "The pod uses main etcd's server and peer certificates; they hold the host's names and \
         addresses and are good for other ports. The kubelet starts each pod when its file is \
         moved in:\n"
    )?;
    for member in plan.members {
        let dir = super::diff::safe_name(&member.name);
        writeln!(
            out,
            "- {} ({}): `install -m 600 events-etcd/{dir}/etcd-events.yaml \
             /etc/kubernetes/etcd-events.yaml.new && mv /etc/kubernetes/etcd-events.yaml.new \
             /etc/kubernetes/manifests/etcd-events.yaml`",
            member.name, member.host
        )?;
    }
    let endpoints: Vec<String> = plan.members.iter().map(Member::url).collect();
    writeln!(
        out,
        "\nAll members must be in the list above: the first node of a cluster names only itself in \
         its manifest. Then, before any kube-apiserver is touched, all members must be healthy and \
         of one version (at least 3.4.31 or 3.5.13 where kube-apiserver is 1.31 or later):\n"
    )?;
    let access: Vec<String> = plan
        .access
        .iter()
        .map(|(name, file)| format!(" \\\n  {name}={file}"))
        .collect();
    let access = access.concat();
    writeln!(
        out,
        "```sh\nexport ETCDCTL_API=3{access}\n\
         etcdctl --endpoints={} endpoint status -w table\n```\n",
        endpoints.join(",")
    )?;
    writeln!(out, "{EVENTS}\n")
}

/// What holds for a second etcd for events, wherever it runs.
pub(super) const EVENTS: &str = "Nothing is copied. Old events expire in main etcd within the event \
    TTL (`--event-ttl` of kube-apiserver, 1 h by default); do not use `etcdctl make-mirror`, which writes them without their lease. While \
    kube-apiservers differ, each shows its own events. Revisions of the new etcd start low: watchers of \
    events that resume with an old one may wait for long, so restart event exporters; or seed the \
    second etcd before its first start by `etcdutl snapshot restore --bump-revision 1000000000 \
    --mark-compacted` (etcdutl 3.5.10 or later, etcdctl 3.4.28) from a snapshot of an empty one. An \
    unreachable shard keeps kube-apiserver from starting, and from 1.34 on it is part of /livez and \
    /readyz. Never wipe the shard while a kube-apiserver runs (kubernetes #139252). After that time \
    defragment main etcd, member by member, the leader last. Back up and watch both etcds from now on, \
    and restart the second one when its certificates are renewed: nothing else knows it.\n\nBack: take \
    the override out, one kube-apiserver after the other; events go to main etcd again, and those that \
    were written in between are lost. Stop the second etcd only when no kube-apiserver names it any \
    more.";

fn write_kubeadm(plan: &Plan<'_>, out: &mut String) -> std::fmt::Result {
    let edited = plan.set.file("kubeadm/ClusterConfiguration.yaml").is_some();
    if edited {
        writeln!(
            out,
            "`kubeadm/ClusterConfiguration.yaml` is your file with the new arguments. Put it into \
             the ConfigMap `kubeadm-config` of kube-system (key ClusterConfiguration): what is only \
             in a static pod is lost at the next `kubeadm upgrade`.\n"
        )?;
    } else {
        writeln!(
            out,
            "Merge `kubeadm/extra-args.*.yaml` into the ClusterConfiguration of your version \
             (`kubectl -n kube-system edit cm kubeadm-config`): what is only in a static pod is \
             lost at the next `kubeadm upgrade`. v1beta3 and older hold a map, v1beta4 a list of \
             name and value.\n"
        )?;
        if plan
            .done()
            .any(|advice| component_of(advice).is_some_and(|component| is_list(advice, component)))
        {
            writeln!(
                out,
                "A value that is a list (`etcd-servers-overrides`, `feature-gates`) goes to the \
                 entries that are there, not in their place.\n"
            )?;
        }
    }
    let stays = |one: &&super::model::Had| one.becomes.is_none() && !one.on.contains(CONFIGURATION);
    if plan.set.had.iter().any(|one| stays(&one)) {
        writeln!(
            out,
            "ClusterConfiguration holds one value for all nodes: where a node keeps a larger one (see \
             above), put the larger one there, or the next `kubeadm upgrade` lowers that node.\n"
        )?;
    }
    for (component, flag) in plan.removed {
        writeln!(
            out,
            "- take `{flag}` out of the extraArgs of {component}, if it is there"
        )?;
    }
    if !plan.removed.is_empty() {
        writeln!(out)?;
    }
    Ok(())
}

fn write_roll(plan: &Plan<'_>, rolled: &[&str], out: &mut String) -> std::fmt::Result {
    let dir = if plan.many_nodes {
        "manifests/NODE"
    } else {
        "manifests"
    };
    writeln!(
        out,
        "In this order: {}. One node, then look, then the next.\n",
        rolled.join(", ")
    )?;
    if rolled.contains(&"etcd") {
        writeln!(
            out,
            "{}.\n",
            sentence(&order(&plan.input.members, &ask(plan)))
        )?;
    }
    if plan.has("manifests/") {
        writeln!(
            out,
            "```sh\n# on the node; the temporary file is outside the manifests folder\n\
             install -m 600 {dir}/COMPONENT.yaml /etc/kubernetes/COMPONENT.yaml.new\n\
             mv /etc/kubernetes/COMPONENT.yaml.new /etc/kubernetes/manifests/COMPONENT.yaml\n```\n"
        )?;
        if plan.own_names {
            writeln!(
                out,
                "COMPONENT.yaml stands for the manifest's own name: see `manifests/`.\n"
            )?;
        }
        if plan.many_nodes && !plan.not_given.is_empty() {
            writeln!(
                out,
                "Of {} no manifests were given. On each make the same change (see `diffs/`) in its own \
                 manifests, where they have it: addresses and names differ, so never copy another \
                 node's file.\n",
                joined(plan.not_given)
            )?;
        }
        if !plan.many_nodes {
            writeln!(
                out,
                "The files are those of one node. On the others make the same change (see \
                 `diffs/`) in their own manifests: addresses and names differ.\n"
            )?;
        }
    }
    writeln!(
        out,
        "Or let kubeadm write the pod from its configuration: `kubeadm init phase control-plane \
         apiserver --config FILE` (`controller-manager`, `scheduler`; `kubeadm init phase etcd \
         local` for etcd).\n"
    )?;
    writeln!(
        out,
        "Wait until the node is well before the next: `kubectl get --raw /readyz?verbose` against \
         this kube-apiserver, `etcdctl endpoint health --cluster`, and no restart count that \
         grows.\n"
    )
}

/// How to ask a kubeadm control plane which member leads.
fn ask(plan: &Plan<'_>) -> String {
    // Until 3.3 etcdctl speaks the old API unless told; the images of later ones have no `env`.
    let old = plan
        .versions
        .get("etcd")
        .and_then(|text| Version::parse(text));
    let env = match old {
        Some(version) if version < Version::minor(3, 4) => "env ETCDCTL_API=3 ",
        _ => "",
    };
    format!(
        "`kubectl -n kube-system exec etcd-NODE -- {env}etcdctl{} endpoint status --cluster -w table` \
         (column IS LEADER)",
        plan.own_access
    )
}

/// A text with a capital letter at its beginning.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

/// What no file was written for, and what was left out on purpose.
fn write_rest(input: &PatchInput<'_>, set: &PatchSet, out: &mut String) -> std::fmt::Result {
    if !set.already.is_empty() {
        writeln!(out, "\n## Already so\n")?;
        for one in &set.already {
            writeln!(out, "- {one}")?;
        }
    }
    if !set.shown.is_empty() {
        writeln!(out, "\n## Not written, and why\n")?;
        for shown in &set.shown {
            let id = if shown.advice.is_empty() {
                ""
            } else {
                &shown.advice
            };
            let gap = if id.is_empty() { "" } else { ": " };
            writeln!(out, "- {id}{gap}{}: {}", shown.on, shown.why)?;
        }
    }
    let candidates: Vec<&Advice> = input
        .advices
        .iter()
        .filter(|advice| advice.strength == Strength::Candidate && !input.wants(advice))
        .collect();
    if !candidates.is_empty() {
        writeln!(out, "\n## Candidates\n")?;
        writeln!(
            out,
            "Something that decides is not known for these; ask for one with `--advice ID` when you \
             know it.\n"
        )?;
        for advice in candidates {
            writeln!(
                out,
                "- {}: {}: {}. {}",
                advice.id, advice.setting, advice.proposed, advice.why
            )?;
        }
    }
    Ok(())
}
