//! The kernel killed processes for want of memory.

use crate::evidence::{Missing, Row, Subject, keys};
use crate::rules::nodes;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "oom-killed",
    summary: "the kernel killed processes for want of memory",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "memory-low",
    check,
};

/// Programs whose death stops the control plane, as the kernel names them: by 15 letters at most, and
/// k3s by what it serves as.
const OURS: &[&str] = &[
    "etcd",
    "kube-apiserver",
    "kube-controller",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "k3s",
    "k3s-agent",
    "k3s-server",
    "rke2",
    "rke2-agent",
    "rke2-server",
];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let mut drafts = Vec::new();
    let mut looked = None;
    let notes = cx.evidence.some(&keys::KERNEL_NOTES);
    for (subject, table) in notes.as_deref().unwrap_or_default() {
        looked = Some(());
        let Some(row) = table.row("oom-kill") else {
            continue;
        };
        let count = row.get("count").unwrap_or(0.0);
        if count > 0.0 {
            let example = row.get_text("example").unwrap_or_default();
            let names = |of: &str| {
                let names = row
                    .cells
                    .keys()
                    .filter_map(|column| column.strip_prefix(of));
                names.collect::<Vec<_>>().join(", ")
            };
            let (killed, limited) = (names("killed:"), names("limited:"));
            let severity = severity(&killed, &limited, example);
            let who = match (&*killed, &*limited) {
                // A bundle of an older release has the last message only.
                ("", "") => example.to_owned(),
                ("", limited) => limited.to_owned(),
                (killed, "") => killed.to_owned(),
                (killed, limited) => format!("{killed}; by their own limits {limited}"),
            };
            cx.evidence
                .cite_as(&keys::KERNEL_NOTES, subject, example.to_owned());
            drafts.push(draft(cx, subject.clone(), severity, count, &who));
        }
    }
    let mut found = Vec::new();
    for (subject, list) in cx.evidence.all(&keys::LOGS_EPISODES) {
        let kills: Vec<_> = list
            .episodes
            .iter()
            .filter(|episode| episode.kind == "kernel-oom-kill")
            .collect();
        let count: u64 = kills.iter().map(|kill| kill.count).sum();
        // The same messages of one node may have been read by both.
        let told = drafts
            .iter()
            .any(|draft| nodes::same(draft.about(), &subject));
        if count == 0 || told {
            continue;
        }
        let mut names: Vec<&str> = kills.iter().map(|kill| kill.detail.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let names = names.join(", ");
        cx.evidence.cite_as(
            &keys::LOGS_EPISODES,
            &subject,
            format!("{count} OOM kills: {names}"),
        );
        found.push(draft(
            cx,
            subject,
            severity(&names, "", ""),
            count as f64,
            &names,
        ));
    }
    drafts.extend(found);
    for (subject, facts) in cx.evidence.all(&keys::PROCESS_FACTS) {
        let kills = facts.row("oom-kills").and_then(|row| row.get("value"));
        let Some(kills) = kills else { continue };
        looked = Some(());
        if kills <= 0.0 {
            continue;
        }
        cx.evidence.cite_as(
            &keys::PROCESS_FACTS,
            &subject,
            format!("{kills:.0} OOM kills in the cgroup of {}", subject.name),
        );
        drafts.push(
            Draft::new(
                subject.clone(),
                Severity::Critical,
                format!(
                    "the memory limit of {}'s cgroup killed {} since it was made",
                    subject.name,
                    processes(kills)
                ),
            )
            .confidence(Confidence::High)
            .threshold("a killed member or API server is an outage, and its restart reads everything again")
            .cites(cx.evidence.take_citations()),
        );
    }
    // Only the kernel's own log, or the counter of the cgroup, shows that nobody was killed. Of a log
    // without such notes the other readings of it tell that it was read.
    let read = cx.evidence.some(&keys::KERNEL_IO_ERRORS);
    let lines = cx.evidence.all(&keys::LOGS_COVERAGE);
    cx.evidence.take_citations();
    let of_kernel = |row: &Row| row.key == "kernel" || row.key.starts_with("kernel on ");
    let kernel = lines
        .iter()
        .any(|(_, table)| table.rows.iter().any(of_kernel));
    match read {
        Err(why) if drafts.is_empty() && looked.is_none() && !kernel => Err(why),
        _ => Ok(Verdict::Fail(drafts)),
    }
}

fn processes(count: f64) -> String {
    match count {
        1.0 => "1 process".to_owned(),
        n => format!("{n:.0} processes"),
    }
}

/// How bad it is who was killed: the worst of all that are known counts.
fn severity(killed: &str, limited: &str, example: &str) -> Severity {
    let ours = |text: &str| {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .any(|word| OURS.contains(&word))
    };
    let unnamed = killed.is_empty() && limited.is_empty();
    if ours(killed) || ours(limited) || (unnamed && ours(example)) {
        return Severity::Critical;
    }
    let by_limit = match unnamed {
        true => example
            .to_ascii_lowercase()
            .contains("memory cgroup out of memory"),
        false => killed.is_empty(),
    };
    match by_limit {
        // A pod that met its own limit is its own affair.
        true => Severity::Info,
        false => Severity::Warn,
    }
}

fn draft(cx: &Context<'_>, subject: Subject, severity: Severity, count: f64, who: &str) -> Draft {
    let whom = if who.is_empty() {
        String::new()
    } else {
        format!(" ({who})")
    };
    Draft::new(
        subject,
        severity,
        format!(
            "the kernel killed {} for want of memory{whom}",
            processes(count)
        ),
    )
    .confidence(Confidence::High)
    .threshold("a killed member or API server is an outage, and its restart reads everything again")
    .cites(cx.evidence.take_citations())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Table;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, episode, episodes, table};

    #[test]
    fn who_was_killed_decides() {
        let with = |example: &str, count: f64| {
            Set::new().put(
                &keys::KERNEL_NOTES,
                component("host"),
                Table {
                    rows: vec![
                        Row::new("oom-kill")
                            .num("count", count)
                            .text("example", example),
                    ],
                    ..Table::default()
                },
            )
        };
        let killed = "Out of memory: Killed process 12 (etcd)";
        assert_eq!(
            with(killed, 1.0).status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        assert_eq!(with(killed, 0.0).status(&RULE).0, Status::Pass);
        for (count, words) in [
            (1.0, "killed 1 process for"),
            (2.0, "killed 2 processes for"),
        ] {
            let message = with(killed, count).check(&RULE)[0].message.clone();
            assert!(message.contains(words), "{message}");
        }
        let other = "Out of memory: Killed process 12 (java)";
        assert_eq!(
            with(other, 1.0).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        let pod = "Memory cgroup out of memory: Killed process 12 (java)";
        assert_eq!(with(pod, 1.0).status(&RULE), (Status::Fail, Severity::Info));
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn the_worst_of_all_victims_decides() {
        let with = |killed: &str, limited: &str| {
            let example = "Memory cgroup out of memory: Killed process 9 (java)";
            let mut row = Row::new("oom-kill")
                .num("count", 2.0)
                .text("example", example);
            for (of, names) in [("killed", killed), ("limited", limited)] {
                for name in names.split(", ").filter(|name| !name.is_empty()) {
                    row = row.num(&format!("{of}:{name}"), 1.0);
                }
            }
            let mut notes = Table::default();
            notes.rows.push(row);
            let set = Set::new().put(&keys::KERNEL_NOTES, component("host"), notes);
            let found = set.check(&RULE)[0].clone();
            (found.severity, found.message)
        };
        let (severity, message) = with("etcd", "java");
        assert_eq!(severity, Severity::Critical);
        assert!(
            message.ends_with("(etcd; by their own limits java)"),
            "{message}"
        );
        assert_eq!(with("", "java, kube-apiserver").0, Severity::Critical);
        assert_eq!(with("", "java").0, Severity::Info);
        assert_eq!(with("java", "python").0, Severity::Warn);
        // Names are whole words.
        assert_eq!(with("", "etcd-operator, etcdctl").0, Severity::Info);
    }

    #[test]
    fn each_node_is_told_of() {
        let killed = |node: &str| {
            let mut kill = episode("kernel-oom-kill", 5, 5);
            kill.detail = "etcd".to_owned();
            let subject = component("kernel").on(node);
            (subject, episodes(vec![kill]))
        };
        let row = Row::new("oom-kill")
            .num("count", 1.0)
            .num("killed:etcd", 1.0);
        let mut notes = Table::default();
        notes.rows.push(row);
        let mut set = Set::new().put(&keys::KERNEL_NOTES, component("host"), notes);
        for (subject, list) in [killed("a"), killed("b"), killed("c")] {
            set = set.put(&keys::LOGS_EPISODES, subject, list);
        }
        let nodes: Vec<_> = set
            .check(&RULE)
            .into_iter()
            .map(|f| f.subject.node)
            .collect();
        let expected = ["a", "b", "c"].map(|node| Some(node.to_owned()));
        assert_eq!(nodes, expected);
    }

    #[test]
    fn the_own_cgroup_counts() {
        let with = |kills: f64| {
            Set::new().put(
                &keys::PROCESS_FACTS,
                component("etcd"),
                table(&[("oom-kills", &[("value", kills)])]),
            )
        };
        assert_eq!(with(1.0).status(&RULE), (Status::Fail, Severity::Critical));
        assert_eq!(with(0.0).status(&RULE).0, Status::Pass);
    }

    #[test]
    fn only_the_kernel_clears() {
        // A process without the counter of its cgroup, and the log of another program.
        let rows = table(&[("pid", &[("value", 7.0)])]);
        let none = Set::new().put(&keys::PROCESS_FACTS, component("etcd"), rows);
        assert_eq!(none.status(&RULE).0, Status::Unknown);
        // A kernel log that was read and holds no such note.
        let clean = Set::new().put(
            &keys::KERNEL_IO_ERRORS,
            component("kernel"),
            Table::default(),
        );
        assert_eq!(clean.status(&RULE).0, Status::Pass);
        let logs = |whose: &str| {
            let lines = table(&[(whose, &[("lines", 9.0)])]);
            let set = Set::new().put(&keys::LOGS_COVERAGE, Subject::cluster(), lines);
            set.put(&keys::LOGS_EPISODES, component("etcd"), episodes(vec![]))
        };
        assert_eq!(logs("etcd on a").status(&RULE).0, Status::Unknown);
        assert_eq!(logs("kernel").status(&RULE).0, Status::Pass);
        assert_eq!(logs("kernel on a").status(&RULE).0, Status::Pass);
    }
}
