//! What goes into an emitter and what comes out: values only. Writing files is the command's job.

use std::collections::BTreeSet;

use crate::advise::{Advice, Disposition, Strength};
use crate::catalog::releases::Version;

use super::members::Member;

/// The manifests of one control-plane node.
#[derive(Clone, Debug, Default)]
pub struct NodeManifests {
    /// The node's name, as far as known; empty for the only one.
    pub node: String,
    /// File name and text of each static pod.
    pub files: Vec<(String, String)>,
}

/// How the text of a file begins that is there and could not be read. No file that can be edited
/// begins so.
const UNREAD: char = '\0';

impl NodeManifests {
    /// Notes a file that is there and could not be read: what it says is not known, which must not
    /// be taken for nothing.
    pub fn unread(&mut self, name: String, why: &str) {
        self.files.push((name, format!("{UNREAD}{why}")));
    }

    /// The text of a file by name.
    pub fn file(&self, name: &str) -> Option<&str> {
        self.files
            .iter()
            .find(|(have, _)| have == name)
            .map(|(_, text)| text.as_str())
    }
}

/// Why a file could not be read, where it could not.
pub(super) fn why_unread(text: &str) -> Option<&str> {
    text.strip_prefix(UNREAD)
}

/// The nodes, each under a name of its own where there are several: one that has none, or another's,
/// gets the one that its files tell, or its number.
pub(super) fn apart(
    nodes: &[NodeManifests],
    told: &dyn Fn(&NodeManifests) -> Option<String>,
) -> Vec<NodeManifests> {
    let mut nodes = nodes.to_vec();
    if nodes.len() < 2 {
        return nodes;
    }
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for (at, node) in nodes.iter_mut().enumerate() {
        let free = |name: &String| !name.is_empty() && !taken.contains(name);
        if !free(&node.node) {
            node.node = told(node)
                .filter(free)
                .unwrap_or_else(|| format!("node-{}", at + 1));
        }
        taken.insert(node.node.clone());
    }
    nodes
}

/// What an emitter works on.
#[derive(Clone, Debug, Default)]
pub struct PatchInput<'a> {
    /// The advice to put into files, in order.
    pub advices: &'a [Advice],
    /// Ids of advice that was asked for by name: only then a candidate is written.
    pub chosen: Vec<String>,
    /// Manifests as found, node by node.
    pub nodes: Vec<NodeManifests>,
    /// The distribution's own configuration file, where one was given: kubeadm's
    /// ClusterConfiguration.
    pub cluster_configuration: Option<String>,
    /// The Kubernetes version, where known from elsewhere than the manifests.
    pub kubernetes: Option<Version>,
    /// The etcd version, where known from elsewhere than the manifests.
    pub etcd: Option<Version>,
    /// etcd's members, where the evidence shows them.
    pub members: Vec<Member>,
}

impl PatchInput<'_> {
    /// Whether an advice is to be written: recommended ones, or those asked for; never a refused
    /// one.
    pub fn wants(&self, advice: &Advice) -> bool {
        let chosen = self.chosen.contains(&advice.id);
        match advice.strength {
            Strength::Recommended => self.chosen.is_empty() || chosen,
            Strength::Candidate => chosen,
            Strength::Refused => false,
        }
    }
}

/// One file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchFile {
    /// Relative path under the output folder, with `/`.
    pub path: String,
    /// The whole content.
    pub content: String,
    /// What it is, for the list.
    pub what: String,
    /// The advice it carries out.
    pub advice: Vec<String>,
}

/// An advice for which no file is written, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The advice.
    pub advice: String,
    /// The file or object it was about.
    pub on: String,
    /// Why there is no file.
    pub why: String,
}

/// What an emitter gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchSet {
    /// The files, `STEPS.md` first.
    pub files: Vec<PatchFile>,
    /// What was not written.
    pub shown: Vec<Shown>,
    /// Settings that already have the advised value, or more where it is a raise, as `component on
    /// node: setting`.
    pub already: Vec<String>,
    /// What each place had of an advised setting, and what becomes of it.
    pub had: Vec<Had>,
}

/// What one place had of an advised setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Had {
    /// The advice.
    pub advice: String,
    /// The component and its node, or the file.
    pub on: String,
    /// What it had, in words.
    pub had: String,
    /// The new value; `None` where its own stays.
    pub becomes: Option<String>,
}

impl PatchSet {
    /// A file by path.
    pub fn file(&self, path: &str) -> Option<&PatchFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Puts `STEPS.md` before all other files: what to do, and the advice that the files carry out.
    pub(super) fn lead(&mut self, content: String, done: BTreeSet<String>) {
        let steps = PatchFile {
            path: "STEPS.md".to_owned(),
            content,
            what: "what to do, in order".to_owned(),
            advice: done.into_iter().collect(),
        };
        self.files.insert(0, steps);
    }

    /// What applying the set does at worst.
    pub fn disposition(&self, advices: &[Advice]) -> Disposition {
        let written = |id: &str| {
            self.files
                .iter()
                .any(|file| file.advice.iter().any(|a| a == id))
        };
        advices
            .iter()
            .filter(|advice| written(&advice.id))
            .map(|advice| advice.disposition)
            .max()
            .unwrap_or(Disposition::ShowOnly)
    }
}

/// Puts advice into files of one distribution.
pub trait Emitter {
    /// The name for `--target`.
    fn name(&self) -> &'static str;
    /// The files, each applied in memory and read back before it is given.
    fn emit(&self, input: &PatchInput<'_>) -> PatchSet;
}
