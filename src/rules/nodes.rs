//! What several rules ask of readings of other subjects on the same node.

use std::collections::BTreeSet;

use crate::evidence::{Subject, SubjectKind};

/// Whether two subjects are on one node, as far as both name theirs.
pub(super) fn same(a: &Subject, b: &Subject) -> bool {
    let (a, b) = (a.node_name(), b.node_name());
    a == b || a.is_empty() || b.is_empty()
}

/// The readings of the node that a subject is on. Sources name one node differently, so where
/// everything is of one node the names do not matter.
pub(super) fn beside<'a, T>(
    all: &'a [(Subject, T)],
    about: &Subject,
    asking: &[Subject],
) -> Vec<&'a T> {
    let nodes: BTreeSet<&str> = all.iter().map(|(subject, _)| subject.node_name()).collect();
    let asking: BTreeSet<&str> = asking.iter().map(Subject::node_name).collect();
    let one = nodes.len() <= 1 && asking.len() <= 1;
    all.iter()
        .filter(|(subject, _)| one || same(subject, about))
        .map(|(_, value)| value)
        .collect()
}

/// Which etcd of a node a subject is of: empty for the main one, `events` for `etcd-events` and its
/// members, `NODE/events`. Each is a cluster of its own.
pub(super) fn instance(subject: &Subject) -> &str {
    let name = subject.name.as_str();
    let which = match subject.kind {
        // One that is only known by its address is called by it.
        SubjectKind::Member if name.contains("://") => None,
        SubjectKind::Member => name.split_once('/').map(|(_, which)| which),
        _ => name.strip_prefix("etcd-"),
    };
    which.filter(|which| *which != "main").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_matter_where_there_are_several_nodes() {
        let on = |node: &str| Subject::new(SubjectKind::Component, "etcd").on(node);
        let all = [(on("a"), 1), (on("b"), 2)];
        assert_eq!(beside(&all, &on("b"), &[on("a"), on("b")]), [&2]);
        assert!(beside(&all, &on("c"), &[on("c")]).is_empty());
        let one = [(on("10.0.0.1"), 1)];
        assert_eq!(beside(&one, &on("a"), &[on("a")]), [&1]);
        assert!(beside(&one, &on("a"), &[on("a"), on("b")]).is_empty());
    }

    #[test]
    fn an_etcd_for_events_is_told_from_an_address() {
        let member = |name: &str| Subject::new(SubjectKind::Member, name);
        let component = |name: &str| Subject::new(SubjectKind::Component, name);
        for (subject, which) in [
            (member("cp0"), ""),
            (member("cp0/main"), ""),
            (member("cp0/events"), "events"),
            (member("https://10.0.0.1:2379"), ""),
            (component("etcd"), ""),
            (component("etcd-events"), "events"),
        ] {
            assert_eq!(instance(&subject), which, "{subject}");
        }
    }
}
