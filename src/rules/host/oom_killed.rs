//! The kernel killed processes for want of memory.

use crate::evidence::{Missing, Subject, keys};
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

/// Programs whose death stops the control plane.
const OURS: &[&str] = &[
    "etcd",
    "kube-apiserver",
    "kube-controller",
    "kube-scheduler",
    "kubelet",
    "k3s",
    "rke2",
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
            cx.evidence
                .cite_as(&keys::KERNEL_NOTES, subject, example.to_owned());
            drafts.push(draft(cx, subject.clone(), count, example));
        }
    }
    for (subject, list) in cx.evidence.all(&keys::LOGS_EPISODES) {
        let kills: Vec<_> = list
            .episodes
            .iter()
            .filter(|episode| episode.kind == "kernel-oom-kill")
            .collect();
        let count: u64 = kills.iter().map(|kill| kill.count).sum();
        // The same messages may have been read by both.
        if count == 0 || !drafts.is_empty() {
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
        drafts.push(draft(cx, subject, count as f64, &names));
    }
    for (subject, facts) in cx.evidence.all(&keys::PROCESS_FACTS) {
        looked = Some(());
        let kills = facts
            .row("oom-kills")
            .and_then(|row| row.get("value"))
            .unwrap_or(0.0);
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
    let logs = cx.evidence.some(&keys::LOGS_EPISODES);
    cx.evidence.take_citations();
    match (notes, logs, looked) {
        (Err(why), Err(_), None) => Err(why),
        _ => Ok(Verdict::Fail(drafts)),
    }
}

fn processes(count: f64) -> String {
    match count {
        1.0 => "1 process".to_owned(),
        n => format!("{n:.0} processes"),
    }
}

fn draft(cx: &Context<'_>, subject: Subject, count: f64, who: &str) -> Draft {
    let ours = OURS.iter().any(|name| who.contains(name));
    let severity = if ours {
        Severity::Critical
    } else if who
        .to_ascii_lowercase()
        .contains("memory cgroup out of memory")
    {
        // A pod that met its own limit is its own affair.
        Severity::Info
    } else {
        Severity::Warn
    };
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
    use crate::evidence::{Row, Table};
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, table};

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
}
