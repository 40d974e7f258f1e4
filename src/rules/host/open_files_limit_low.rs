//! etcd may open few files, or has opened all that it may: every client connection is one.

use crate::evidence::{Missing, keys};
use crate::rules::events;
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "open-files-limit-low",
    summary: "etcd may open few files",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "open-files-limit-low",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("open-files");
    let mut drafts = used_up(cx);
    let counted = counted(cx, &mut drafts);
    let tables = match cx.evidence.some(&keys::PROCESS_FACTS) {
        Ok(tables) => tables,
        Err(_) if counted || !drafts.is_empty() => return Ok(Verdict::Fail(drafts)),
        Err(why) => return Err(why),
    };
    cx.evidence.take_citations();
    let mut looked = counted || !drafts.is_empty();
    for (subject, table) in tables {
        let Some(value) = table.row("nofile").and_then(|row| row.get("value")) else {
            continue;
        };
        looked = true;
        if value > limit.value {
            continue;
        }
        let words = format!("etcd may open {value:.0} files");
        cx.evidence
            .cite_as(&keys::PROCESS_FACTS, &subject, words.clone());
        drafts.push(
            Draft::new(subject, Severity::Info, words)
                .threshold(limit.words())
                .cites(cx.evidence.take_citations()),
        );
    }
    if !looked {
        return Err(Missing::NotEnough {
            why: "`nofile` of etcd's process is not known".to_owned(),
        });
    }
    Ok(Verdict::Fail(drafts))
}

/// Adds processes that have opened most of what they may. Says whether any tells how many.
fn counted(cx: &Context<'_>, drafts: &mut Vec<Draft>) -> bool {
    let limit = cx.profile.limit("open-files-used");
    let mut counted = false;
    for (subject, table) in cx.evidence.all(&keys::PROCESS_FDS) {
        let row = table.row("open");
        let open = row.and_then(|row| Some((row.get("max_fds")?, row.get("limit_fds")?)));
        // A second etcd (`etcd-events`) is an etcd too.
        let etcd = subject.name == "etcd" || subject.name.starts_with("etcd-");
        let Some((open, may)) = open.filter(|(_, may)| etcd && *may > 0.0) else {
            continue;
        };
        counted = true;
        if open < may * limit.value {
            continue;
        }
        let words = format!("etcd has opened {open:.0} of the {may:.0} files that it may open");
        cx.evidence
            .cite_as(&keys::PROCESS_FDS, &subject, words.clone());
        drafts.push(
            Draft::new(subject, Severity::Warn, words)
                .threshold(limit.words())
                .cites(cx.evidence.take_citations()),
        );
    }
    counted
}

/// Members that turned connections away because they may open no more files.
fn used_up(cx: &Context<'_>) -> Vec<Draft> {
    const KINDS: &[&str] = &["rejected-connection"];
    let seen = events::seen(cx, KINDS).unwrap_or_default();
    let mut drafts = Vec::new();
    for mut seen in seen {
        seen.count = events::column(cx, &seen.subject, KINDS, "open_files");
        if seen.count == 0.0 {
            continue;
        }
        events::cite(cx, &seen, "refused connections");
        drafts.push(
            Draft::new(
                seen.subject.clone(),
                Severity::Warn,
                format!(
                    "{:.0} connections refused: etcd has too many open files",
                    seen.count
                ),
            )
            .threshold("one: old connections hold all that the limit allows")
            .cites(cx.evidence.take_citations()),
        );
    }
    cx.evidence.take_citations();
    drafts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, member, table};

    #[test]
    fn both_sides_of_the_limit() {
        let limit = crate::profile::Profile::default().get("open-files");
        let with = |value: f64| {
            Set::new().put(
                &keys::PROCESS_FACTS,
                component("etcd"),
                table(&[("nofile", &[("value", value)])]),
            )
        };
        assert_eq!(with(limit).status(&RULE), (Status::Fail, Severity::Info));
        assert_eq!(with(limit + 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn what_is_open_counts_by_what_is_allowed() {
        let share = crate::profile::Profile::default().get("open-files-used");
        let with = |name: &str, open: f64| {
            let row: &[(&str, f64)] = &[("limit_fds", 1000.0), ("max_fds", open)];
            Set::new().put(&keys::PROCESS_FDS, component(name), table(&[("open", row)]))
        };
        let fails = (Status::Fail, Severity::Warn);
        assert_eq!(with("etcd", 1000.0 * share).status(&RULE), fails);
        assert_eq!(with("etcd-events", 999.0).status(&RULE), fails);
        assert_eq!(
            with("etcd", 1000.0 * share - 1.0).status(&RULE).0,
            Status::Pass
        );
        assert_eq!(
            with("kube-apiserver", 999.0).status(&RULE).0,
            Status::Unknown
        );
    }

    #[test]
    fn refused_connections_tell_it_without_the_process() {
        let refused = |open_files: f64| {
            Set::new().put(
                &keys::LOGS_EVENTS,
                member(),
                table(&[(
                    "rejected-connection",
                    &[("count", 380.0), ("open_files", open_files)],
                )]),
            )
        };
        assert_eq!(refused(380.0).status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(refused(0.0).status(&RULE).0, Status::Unknown);
    }
}
