//! The changed files of a node, and the commands that put them there and back.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::patch::diff::{safe_name, unified};
use crate::patch::model::{PatchFile, PatchSet};

use super::node::Node;

/// Where the steps keep what was there before.
pub(super) const BEFORE: &str = "/root/etcd-doctor-before";

/// A file that goes to a node.
pub(super) struct Placed {
    /// Below the folder that is written into.
    from: String,
    /// On the node.
    to: String,
    /// Whether nothing is there yet.
    fresh: bool,
}

/// What to do on one node, and how to go back: each file that was written, and no other.
pub(super) fn node_steps(
    name: &str,
    placed: &[Placed],
    units: &BTreeSet<String>,
) -> (String, String) {
    if placed.is_empty() {
        return (String::new(), String::new());
    }
    let (mut keep, mut put, mut back) = (String::new(), String::new(), String::new());
    for file in placed {
        let (from, to) = (&file.from, &file.to);
        // Writing to a String cannot fail.
        if file.fresh {
            writeln!(put, "    install -D -m 0644 {from} {to}").ok();
            writeln!(back, "    rm {to}").ok();
        } else {
            // Owner and mode of the file that is there stay.
            writeln!(keep, "    cp -a --parents {to} {BEFORE}").ok();
            writeln!(put, "    cp {from} {to}").ok();
            writeln!(back, "    cp -a {BEFORE}{to} {to}").ok();
        }
    }
    let mut end = String::from("    systemctl daemon-reload\n");
    for unit in units {
        writeln!(end, "    systemctl restart {unit}").ok();
    }
    if units.iter().any(|unit| unit.starts_with("etcd")) {
        end.push_str("    etcdctl endpoint status --cluster -w table\n");
    }
    if !keep.is_empty() {
        keep = format!("    mkdir -p {BEFORE}\n{keep}");
    }
    let on = if name.is_empty() {
        String::new()
    } else {
        format!("On {name}:\n\n")
    };
    (
        format!("{on}{keep}{put}{end}\n"),
        format!("{on}{back}{end}\n"),
    )
}

/// The files of a node that changed, with their diffs; gives where each goes.
pub(super) fn write(node: &Node<'_>, set: &mut PatchSet) -> Vec<Placed> {
    let mut placed = Vec::new();
    for (path, text) in &node.files {
        let Some(advice) = node.advice.get(path) else {
            continue;
        };
        let old = node
            .before
            .iter()
            .find(|(name, _)| name == path)
            .map_or("", |(_, text)| text.as_str());
        let short = path
            .trim_start_matches("etc/systemd/system/")
            .split('/')
            .map(safe_name)
            .collect::<Vec<_>>()
            .join("/");
        let short = if node.name.is_empty() {
            short
        } else {
            format!("{}/{short}", safe_name(node.name))
        };
        let advice: Vec<String> = advice.iter().cloned().collect();
        set.files.push(PatchFile {
            path: short.clone(),
            content: text.clone(),
            what: format!("/{path}"),
            advice: advice.clone(),
        });
        set.files.push(PatchFile {
            path: format!("{short}.diff"),
            content: unified(old, text, path),
            what: "what changes in it".to_owned(),
            advice,
        });
        placed.push(Placed {
            from: short,
            to: format!("/{path}"),
            fresh: old.is_empty(),
        });
    }
    placed
}
