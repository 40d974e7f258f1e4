//! In which order members are defragmented, with the command for each.

use crate::evidence::{SubjectKind, keys};

use super::super::facts::Facts;

/// One command a member, followers first, the leader last; `None` where the members were not asked.
pub(super) fn steps(facts: &Facts<'_>) -> Option<String> {
    let mut members: Vec<(bool, String, String)> = facts
        .all(&keys::ETCD_STATUS)
        .into_iter()
        .filter(|(subject, _)| subject.kind == SubjectKind::Member)
        .filter_map(|(subject, table)| {
            let row = table.row("status")?;
            let leads = row.get("leads") == Some(1.0);
            Some((leads, subject.name, row.get_text("endpoint")?.to_owned()))
        })
        .collect();
    if members.is_empty() {
        return None;
    }
    members.sort();
    let several = members.len() > 1;
    let steps: Vec<String> = members
        .iter()
        .map(|(leads, name, endpoint)| {
            let last = if *leads && several {
                " (the leader, last)"
            } else {
                ""
            };
            format!(
                "`etcdctl --endpoints {endpoint} --command-timeout=10m defrag` for {name}{last}"
            )
        })
        .collect();
    Some(steps.join(", then "))
}
