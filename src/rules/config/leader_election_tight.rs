//! A component gives up its leader lease sooner than the default: short stalls restart it.

use crate::evidence::Missing;
use crate::rules::settings::{self, Setting};
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "leader-election-tight",
    summary: "a component gives up its leader lease sooner than the default",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "leader-election-tight",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("renew-deadline");
    let mut drafts = Vec::new();
    let mut why = None;
    let mut looked = false;
    for component in ["kube-controller-manager", "kube-scheduler"] {
        let settings = match settings::of(cx, component, &["leader-elect-renew-deadline"]) {
            Ok(settings) => settings,
            Err(missing) => {
                why = Some(missing);
                continue;
            }
        };
        looked = true;
        for setting in settings.into_iter().filter(Setting::is_set) {
            let Some(ms) = setting.ms() else { continue };
            if ms >= limit.value {
                continue;
            }
            settings::cite(cx, &setting, "leader-elect-renew-deadline");
            drafts.push(
                Draft::new(
                    setting.subject.clone(),
                    Severity::Warn,
                    format!(
                        "{component} gives up its lease after {} without a renewal",
                        setting.value
                    ),
                )
                .threshold(limit.words())
                .cites(cx.evidence.take_citations()),
            );
        }
    }
    match why {
        Some(why) if !looked => Err(why),
        _ => Ok(Verdict::Fail(drafts)),
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
    fn below_the_default_only_when_set() {
        let with = |value: &str, source: &str| {
            Set::new().put(
                &keys::SETTINGS,
                component("kube-scheduler"),
                settings(&[("leader-elect-renew-deadline", value, source)]),
            )
        };
        assert_eq!(
            with("9s", "flag").status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(with("10s", "flag").status(&RULE).0, Status::Pass);
        assert_eq!(with("9s", "default").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
