//! A component's QPS is set below its default.

use crate::evidence::Missing;
use crate::rules::settings;
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "client-qps-low",
    summary: "a component's request rate is limited below its default",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "client-qps-low",
    check,
};

/// Component, setting, and the limit that holds its default.
const CLIENTS: &[(&str, &str, &str)] = &[
    ("kube-controller-manager", "kube-api-qps", "kcm-qps"),
    ("kube-controller-manager", "kube-api-burst", "kcm-burst"),
    ("kube-scheduler", "clientConnection.qps", "scheduler-qps"),
    (
        "kube-scheduler",
        "clientConnection.burst",
        "scheduler-burst",
    ),
];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let mut drafts = Vec::new();
    let mut looked = false;
    let mut why = Missing::NotCollected;
    for (component, name, limit) in CLIENTS {
        let limit = cx.profile.limit(limit);
        let settings = match settings::of(cx, component, &[name]) {
            Ok(settings) => settings,
            Err(missing) => {
                why = missing;
                continue;
            }
        };
        looked = true;
        for setting in settings {
            // A value below zero switches the limit off.
            let Some(value) = setting.number().filter(|n| (0.0..limit.value).contains(n)) else {
                continue;
            };
            if !setting.is_set() {
                continue;
            }
            settings::cite(cx, &setting, name);
            drafts.push(
                Draft::new(
                    setting.subject.clone(),
                    Severity::Warn,
                    format!("{name} of {component} is {value}, below its default"),
                )
                .threshold(limit.words())
                .cites(cx.evidence.take_citations()),
            );
        }
    }
    if looked {
        Ok(Verdict::Fail(drafts))
    } else {
        Err(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::keys;
    use crate::rules::Status;
    use crate::rules::settings::testing::settings;
    use crate::rules::testing::{Set, component};

    #[test]
    fn below_the_default_when_set() {
        let with = |value: &str, source: &str| {
            Set::new().put(
                &keys::SETTINGS,
                component("kube-controller-manager"),
                settings(&[("kube-api-qps", value, source)]),
            )
        };
        assert_eq!(
            with("19", "flag").status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(with("20", "flag").status(&RULE).0, Status::Pass);
        assert_eq!(with("19", "default").status(&RULE).0, Status::Pass);
        assert_eq!(with("-1", "flag").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
