//! Members have different heartbeat or election timeouts.

use std::collections::BTreeMap;

use crate::evidence::{Missing, Subject, SubjectKind};
use crate::rules::nodes;
use crate::rules::settings::{self, Setting};
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "election-timeouts-unequal",
    summary: "members have different heartbeat or election timeouts",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "election-timeouts-unequal",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let mut drafts = Vec::new();
    let mut members = 0;
    for name in ["heartbeat-interval", "election-timeout"] {
        // An etcd for events beside the main one is another cluster, with timers of its own.
        let mut clusters: BTreeMap<String, Vec<Setting>> = BTreeMap::new();
        for setting in settings::of(cx, "etcd", &[name])? {
            let which = nodes::instance(&setting.subject).to_owned();
            clusters.entry(which).or_default().push(setting);
        }
        for (which, all) in clusters {
            members = members.max(all.len());
            drafts.extend(differing(cx, name, &which, &all));
        }
    }
    if members < 2 {
        return Ok(Verdict::NotApplicable(
            "settings of one member are known".to_owned(),
        ));
    }
    Ok(Verdict::Fail(drafts))
}

/// The values of one timer over the members of one cluster, where they differ.
fn differing(cx: &Context<'_>, name: &str, which: &str, all: &[Setting]) -> Option<Draft> {
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for setting in all {
        let key = setting
            .ms()
            .map_or_else(|| setting.value.clone(), |ms| format!("{ms:.0} ms"));
        values
            .entry(key)
            .or_default()
            .push(setting.subject.node.clone().unwrap_or_default());
    }
    if values.len() < 2 {
        return None;
    }
    for setting in all {
        settings::cite(cx, setting, name);
    }
    let words: Vec<String> = values
        .iter()
        .map(|(value, nodes)| format!("{value} on {}", nodes.join(", ")))
        .collect();
    let subject = match which {
        "" => Subject::cluster(),
        which => Subject::new(SubjectKind::Component, format!("etcd-{which}")),
    };
    let words = format!("{name}: {}", words.join("; "));
    let draft = Draft::new(subject, Severity::Warn, words)
        .threshold("etcd tuning guide: all members need the same values")
        .cites(cx.evidence.take_citations());
    Some(draft)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::keys;
    use crate::rules::Status;
    use crate::rules::settings::testing::settings;
    use crate::rules::testing::Set;

    fn with(elections: &[&str]) -> Set {
        elections
            .iter()
            .enumerate()
            .fold(Set::new(), |set, (at, election)| {
                let subject = Subject::new(SubjectKind::Component, "etcd").on(format!("n{at}"));
                set.put(
                    &keys::SETTINGS,
                    subject,
                    settings(&[("election-timeout", election, "flag")]),
                )
            })
    }

    #[test]
    fn different_values_fail_whatever_their_spelling() {
        assert_eq!(with(&["1000", "1000"]).status(&RULE).0, Status::Pass);
        assert_eq!(with(&["1000", "1s"]).status(&RULE).0, Status::Pass);
        assert_eq!(
            with(&["1000", "5000"]).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(with(&["1000"]).status(&RULE).0, Status::NotApplicable);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
    #[test]
    fn an_etcd_for_events_is_a_cluster_of_its_own() {
        let events = |set: Set, node: &str, election: &str| {
            set.put(
                &keys::SETTINGS,
                Subject::new(SubjectKind::Component, "etcd-events").on(node),
                settings(&[("election-timeout", election, "flag")]),
            )
        };
        let beside = events(with(&["1000"]), "n0", "5000");
        assert_eq!(beside.status(&RULE).0, Status::NotApplicable);
        let both = events(events(with(&["1000", "1000"]), "n0", "5000"), "n1", "5000");
        assert_eq!(both.status(&RULE).0, Status::Pass);
        let unequal = events(events(with(&["1000", "1000"]), "n0", "5000"), "n1", "2000");
        let found = unequal.check(&RULE);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].subject.name, "etcd-events");
        assert!(!found[0].message.contains("1000"), "{}", found[0].message);
    }
}
