//! A component's request rate is set below the default of its version.

use crate::catalog::settings::{self as catalogue, Component, DefaultOf};
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

/// Component, setting, and how grave a lower value is: the kubelet serves one node, the others the
/// whole cluster.
const CLIENTS: &[(Component, &str, Severity)] = &[
    (Component::ControllerManager, "kube-api-qps", Severity::Warn),
    (
        Component::ControllerManager,
        "kube-api-burst",
        Severity::Warn,
    ),
    (Component::Scheduler, "kube-api-qps", Severity::Warn),
    (Component::Scheduler, "kube-api-burst", Severity::Warn),
    (Component::Kubelet, "kube-api-qps", Severity::Info),
    (Component::Kubelet, "kube-api-burst", Severity::Info),
    (Component::Kubelet, "event-qps", Severity::Info),
    (Component::Kubelet, "event-burst", Severity::Info),
];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let mut drafts = Vec::new();
    let mut looked = false;
    let mut why = Missing::NotCollected;
    for (component, name, severity) in CLIENTS {
        let program = component.program();
        let settings = match settings::of(cx, program, &[name]) {
            Ok(settings) => settings,
            Err(missing) => {
                why = missing;
                continue;
            }
        };
        looked = true;
        let Some(known) = catalogue::setting(*component, name) else {
            continue;
        };
        for setting in settings {
            let version = settings::version_of(cx, &setting.subject);
            // Without a version only a default that never changed is one.
            let DefaultOf::Value(default) = known.setting.default_of(version) else {
                continue;
            };
            let Ok(usual) = default.parse::<f64>() else {
                continue;
            };
            // Below zero there is no limit; the kubelet takes 0 for no limit of events.
            let unlimited = if name.starts_with("event-") {
                0.0
            } else {
                -1.0
            };
            let low = setting
                .number()
                .filter(|n| *n > unlimited && *n >= 0.0 && *n < usual);
            let (Some(value), true) = (low, setting.is_set()) else {
                continue;
            };
            settings::cite(cx, &setting, name);
            let of = version.map_or_else(String::new, |version| format!(" of {version}"));
            drafts.push(
                Draft::new(
                    setting.subject.clone(),
                    *severity,
                    format!("{name} of {program} is {value}, the default{of} is {default}"),
                )
                .threshold(format!("{default} ({program} default{of})"))
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
    use crate::evidence::{Row, Table, keys};
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

    #[test]
    fn the_scheduler_is_judged_by_its_own_default() {
        let with = |value: &str| {
            Set::new().put(
                &keys::SETTINGS,
                component("kube-scheduler"),
                settings(&[("kube-api-qps", value, "file")]),
            )
        };
        assert_eq!(with("49").status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(with("50").status(&RULE).0, Status::Pass);
    }

    /// The kubelet's default rose tenfold with 1.27.
    #[test]
    fn the_kubelets_default_is_that_of_its_version() {
        let with = |version: Option<&str>, name: &str, value: &str| {
            let set = Set::new().put(
                &keys::SETTINGS,
                component("kubelet"),
                settings(&[(name, value, "file")]),
            );
            match version {
                Some(version) => set.put(
                    &keys::VERSIONS,
                    component("kubelet"),
                    Table {
                        rows: vec![Row::new("binary").text("version", version)],
                        ..Table::default()
                    },
                ),
                None => set,
            }
        };
        let status = |version, name, value| with(version, name, value).status(&RULE);
        let low = (Status::Fail, Severity::Info);
        assert_eq!(status(Some("v1.30.2"), "kube-api-qps", "5"), low);
        assert_eq!(status(Some("v1.26.9"), "kube-api-qps", "5").0, Status::Pass);
        assert_eq!(status(Some("v1.26.9"), "kube-api-qps", "4"), low);
        // Which default holds is not known.
        assert_eq!(status(None, "kube-api-qps", "5").0, Status::Pass);
        // No limit at all.
        assert_eq!(status(Some("v1.30.2"), "event-qps", "0").0, Status::Pass);
        assert_eq!(status(Some("v1.30.2"), "event-qps", "10"), low);
    }
}
