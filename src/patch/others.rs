//! Nodes whose files were not given: what the steps say of them. The files of a node hold its name and
//! its addresses, and a member that starts with another's is lost.

use std::collections::BTreeSet;

use super::members::{joined, not_given};
use super::model::{NodeManifests, PatchInput};

/// Whose files are there and whose are not.
pub(super) struct Others {
    /// The only given node, in words; `None` where there are several.
    only: Option<String>,
    /// Members whose nodes were not given.
    missing: Vec<String>,
}

impl Others {
    /// Of an input's nodes: `own` tells the name of a node's member, `listed` the names of members that
    /// configurations list.
    pub(super) fn of(
        input: &PatchInput<'_>,
        own: &dyn Fn(&NodeManifests) -> Option<String>,
        listed: impl Iterator<Item = String>,
    ) -> Self {
        let mut given: BTreeSet<String> = BTreeSet::new();
        for node in &input.nodes {
            given.extend([node.node.clone()].into_iter().chain(own(node)));
        }
        given.remove("");
        // Nobody knows which of the members the only node is.
        let missing = if given.is_empty() {
            Vec::new()
        } else {
            not_given(&input.members, listed, &given)
        };
        let only = match input.nodes.as_slice() {
            [node] => Some(
                Some(node.node.clone())
                    .filter(|name| !name.is_empty())
                    .or_else(|| own(node))
                    .unwrap_or_else(|| "the node whose files were given".to_owned()),
            ),
            _ => None,
        };
        Others { only, missing }
    }

    /// Whose files are meant, as the beginning of a sentence; `None` where each has its own.
    pub(super) fn whose(&self) -> Option<String> {
        match (self.missing.as_slice(), &self.only) {
            ([], None) => None,
            ([], Some(_)) => Some("any other node".to_owned()),
            (missing, _) => Some(joined(missing)),
        }
    }

    /// What to do there, given the settings that were written for others, where they stand there and
    /// how to give this program those nodes' files.
    pub(super) fn steps(&self, values: &BTreeSet<String>, places: &str, give: &str) -> String {
        let Some(whose) = self.whose() else {
            return String::new();
        };
        let of = self.only.as_deref().map_or_else(
            || "the files here are those of other nodes".to_owned(),
            |only| format!("the files here are those of {only} alone"),
        );
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        format!(
            "On {whose}: {of}, with its name and its addresses. Never install them on another node: a \
             member that starts with them is lost. Set the same in that node's own {places}, where they \
             have it: {}. Or give the files of every node, a folder a node (`--manifests DIR`, with \
             DIR/NODE/{give}): then each gets its own.\n\n",
            values.join(", ")
        )
    }

    /// How to go back there.
    pub(super) fn back(&self) -> String {
        self.whose().map_or_else(String::new, |whose| {
            format!("On {whose}: take back in its own files what was set there by hand.\n\n")
        })
    }

    /// Members whose nodes were not given.
    pub(super) fn missing(&self) -> &[String] {
        &self.missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_one_node_are_said_to_be_its_alone() {
        let node = |name: &str| NodeManifests {
            node: name.to_owned(),
            files: Vec::new(),
        };
        let says = |nodes: Vec<NodeManifests>, listed: &[&str]| {
            let input = PatchInput {
                nodes,
                ..PatchInput::default()
            };
            let listed = listed.iter().map(|&name| name.to_owned());
            let others = Others::of(&input, &|_| None, listed);
            others.steps(&BTreeSet::from(["etcd `--a=1`".to_owned()]), "unit", "u")
        };
        let text = says(vec![node("cp0")], &["cp0", "cp1", "cp2"]);
        assert!(text.starts_with("On cp1 and cp2: "), "{text}");
        assert!(
            text.contains("those of cp0 alone") && text.contains("etcd `--a=1`"),
            "{text}"
        );
        let text = says(vec![node("")], &["cp0", "cp1"]);
        assert!(text.starts_with("On any other node: "), "{text}");
        let text = says(vec![node("cp0"), node("cp1")], &["cp0", "cp1", "cp2"]);
        assert!(text.starts_with("On cp2: "), "{text}");
        assert_eq!(says(vec![node("cp0"), node("cp1")], &["cp0", "cp1"]), "");
    }
}
