//! etcd's data lies on a file system that does not fit it: in memory, on the network, or one that
//! drops flushes.

use crate::evidence::{Missing, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "filesystem-unsuited",
    summary: "etcd's data lies on a file system that does not fit it",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "filesystem-unsuited",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let tables = cx.evidence.some(&keys::MOUNTS)?;
    cx.evidence.take_citations();
    let mut drafts = Vec::new();
    for (subject, table) in tables {
        for row in &table.rows {
            let severity = match row.get_text("fs_fitness") {
                Some("unfit") => Severity::Warn,
                Some("doubtful") => Severity::Info,
                _ => continue,
            };
            let fs = row.get_text("fs").unwrap_or("?");
            let why = row.get_text("fs_why").unwrap_or_default();
            let words = format!("etcd's {} lies on {fs}: {why}", row.key);
            cx.evidence.cite_as(&keys::MOUNTS, &subject, words.clone());
            drafts.push(
                Draft::new(subject.clone(), severity, words)
                    .confidence(Confidence::High)
                    .threshold("etcd's fsync must reach a local disk before it returns")
                    .cites(cx.evidence.take_citations()),
            );
        }
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Row, Table};
    use crate::rules::Status;
    use crate::rules::testing::{Set, component};

    #[test]
    fn unfit_warns_doubtful_informs() {
        let with = |fitness: &str| {
            let row = Row::new("data")
                .text("fs", "nfs")
                .text("fs_fitness", fitness);
            Set::new().put(
                &keys::MOUNTS,
                component("etcd"),
                Table {
                    rows: vec![row],
                    ..Table::default()
                },
            )
        };
        assert_eq!(with("unfit").status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(
            with("doubtful").status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(with("fine").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
