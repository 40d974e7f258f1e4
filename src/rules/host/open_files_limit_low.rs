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
    let tables = match cx.evidence.some(&keys::PROCESS_FACTS) {
        Ok(tables) => tables,
        Err(_) if !drafts.is_empty() => return Ok(Verdict::Fail(drafts)),
        Err(why) => return Err(why),
    };
    cx.evidence.take_citations();
    let mut looked = !drafts.is_empty();
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
