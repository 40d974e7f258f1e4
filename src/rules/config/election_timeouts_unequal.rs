//! Members have different heartbeat or election timeouts.

use std::collections::BTreeMap;

use crate::evidence::{Missing, Subject};
use crate::rules::settings;
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
        let all = settings::of(cx, "etcd", &[name])?;
        members = members.max(all.len());
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for setting in &all {
            let key = setting
                .ms()
                .map_or_else(|| setting.value.clone(), |ms| format!("{ms:.0} ms"));
            values
                .entry(key)
                .or_default()
                .push(setting.subject.node.clone().unwrap_or_default());
        }
        if values.len() < 2 {
            continue;
        }
        for setting in &all {
            settings::cite(cx, setting, name);
        }
        let words: Vec<String> = values
            .iter()
            .map(|(value, nodes)| format!("{value} on {}", nodes.join(", ")))
            .collect();
        drafts.push(
            Draft::new(
                Subject::cluster(),
                Severity::Warn,
                format!("{name}: {}", words.join("; ")),
            )
            .threshold("etcd tuning guide: all members need the same values")
            .cites(cx.evidence.take_citations()),
        );
    }
    if members < 2 {
        return Ok(Verdict::NotApplicable(
            "settings of one member are known".to_owned(),
        ));
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{SubjectKind, keys};
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
}
