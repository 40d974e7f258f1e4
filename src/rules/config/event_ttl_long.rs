//! Events are kept long, or for ever.

use crate::evidence::Missing;
use crate::rules::settings;
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "event-ttl-long",
    summary: "Events are kept long",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "event-ttl-long",
    check,
};

/// The setting's names, the present one first.
const NAMES: &[&str] = &["event-ttl"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("event-ttl");
    let mut drafts = Vec::new();
    for setting in settings::of(cx, "kube-apiserver", NAMES)? {
        let Some(ms) = setting.ms() else { continue };
        if ms != 0.0 && ms <= limit.value {
            continue;
        }
        settings::cite(cx, &setting, NAMES[0]);
        drafts.push(
            Draft::new(
                setting.subject.clone(),
                if ms == 0.0 {
                    Severity::Warn
                } else {
                    Severity::Info
                },
                if ms == 0.0 {
                    "--event-ttl=0: events never expire".to_owned()
                } else {
                    format!("events are kept for {}", setting.value)
                },
            )
            .threshold(limit.words())
            .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::keys;
    use crate::rules::Status;
    use crate::rules::settings::testing::settings;
    use crate::rules::testing::{Set, component};

    fn with(value: &str, source: &str) -> Set {
        Set::new().put(
            &keys::SETTINGS,
            component("kube-apiserver"),
            settings(&[(NAMES[0], value, source)]),
        )
    }

    #[test]
    fn both_sides() {
        assert_eq!(
            with("0s", "flag").status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(
            with("4h", "flag").status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(with("1h0m0s", "default").status(&RULE).0, Status::Pass);
        assert_eq!(with("3h", "flag").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
