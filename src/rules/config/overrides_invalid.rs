//! `--etcd-servers-overrides` does not do what its author meant.

use crate::catalog::releases::Version;
use crate::catalog::settings::overrides::{self, Problem};
use crate::evidence::{Missing, keys};
use crate::rules::settings;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "overrides-invalid",
    summary: "etcd-servers-overrides is refused or has no effect",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "overrides-invalid",
    check,
};

const NAME: &str = "etcd-servers-overrides";

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let mut drafts = Vec::new();
    for setting in settings::of(cx, "kube-apiserver", &[NAME])? {
        if !setting.is_set() || setting.value.is_empty() {
            continue;
        }
        let version = cx
            .evidence
            .peek(&keys::VERSIONS, &setting.subject)
            .and_then(|table| {
                table
                    .rows
                    .iter()
                    .find_map(|row| Version::parse(row.get_text("version")?))
            });
        let probes = cx.evidence.peek(&keys::PROBES, &setting.subject);
        let probe = probes
            .as_ref()
            .and_then(|table| table.row("liveness")?.get_text("path"));
        for problem in overrides::parse(&setting.value, version, probe).problems {
            settings::cite(cx, &setting, NAME);
            let severity = match &problem {
                Problem::Refused { .. } => Severity::Critical,
                Problem::NoEffect { .. } => Severity::Warn,
                _ => Severity::Info,
            };
            drafts.push(
                Draft::new(setting.subject.clone(), severity, in_words(&problem))
                    .confidence(Confidence::High)
                    .threshold("kube-apiserver pkg/server/options/etcd.go")
                    .cites(cx.evidence.take_citations()),
            );
        }
    }
    Ok(Verdict::Fail(drafts))
}

fn in_words(problem: &Problem) -> String {
    match problem {
        Problem::Refused { part, why } => format!("`{part}` is refused: {why}"),
        Problem::NoEffect {
            resource,
            instead,
            why,
        } => {
            let instead = instead.map_or_else(String::new, |name| format!("; use `{name}`"));
            format!("the override of {resource} has no effect: {why}{instead}")
        }
        Problem::Danger { resource, why } => format!("the override of {resource}: {why}"),
        Problem::Twice { resource } => {
            format!("{resource} is overridden twice; one of them counts")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::settings::testing::settings;
    use crate::rules::testing::{Set, component};

    fn with(value: &str) -> Set {
        Set::new().put(
            &keys::SETTINGS,
            component("kube-apiserver"),
            settings(&[(NAME, value, "flag")]),
        )
    }

    #[test]
    fn refused_is_critical_and_a_good_one_passes() {
        assert_eq!(
            with("/events#https://a:2382;https://b:2382")
                .status(&RULE)
                .0,
            Status::Pass
        );
        assert!(
            with("events#https://a:2382")
                .check(&RULE)
                .iter()
                .any(|f| f.severity == Severity::Critical)
        );
        assert!(
            with("events.k8s.io/events#https://a:2382")
                .check(&RULE)
                .iter()
                .any(|f| f.failed() && f.severity == Severity::Warn)
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
