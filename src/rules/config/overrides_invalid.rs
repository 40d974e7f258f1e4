//! `--etcd-servers-overrides` does not do what its author meant.

use crate::catalog::releases::Version;
use crate::catalog::settings::overrides::{self, Problem};
use crate::evidence::{Missing, Subject, keys};
use crate::rules::settings::{self, Setting};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "overrides-invalid",
    summary: "etcd-servers-overrides is refused, has no effect or differs between kube-apiservers",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "overrides-invalid",
    check,
};

const NAME: &str = "etcd-servers-overrides";

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let all = settings::of(cx, "kube-apiserver", &[NAME])?;
    let mut drafts = differing(cx, &all);
    for setting in all {
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

/// Resources that kube-apiservers look for in different places. Of events that costs visibility; of
/// anything else there are two truths at once.
fn differing(cx: &Context<'_>, all: &[Setting]) -> Vec<Draft> {
    let nodes: Vec<(String, String)> = all
        .iter()
        .map(|one| (one.subject.node_name().to_owned(), one.value.clone()))
        .collect();
    let draft = |split: overrides::Split| {
        for one in all {
            settings::cite(cx, one, NAME);
        }
        let resource = &split.resource;
        let with = split.with.join(", ");
        let place = match &split.entry {
            Some(entry) => format!(
                "the override `{entry}` is on {with} and not on {}",
                split.without.join(", ")
            ),
            None => format!("kube-apiservers have different overrides of {resource} ({with})"),
        };
        let (severity, harm) = match resource.as_str() {
            "/events" => (
                Severity::Warn,
                "each kube-apiserver shows only the events of its own etcd",
            ),
            "coordination.k8s.io/leases" => (
                Severity::Critical,
                "two stores of leases are live: two leaders can hold one lock, and nodes seem lost",
            ),
            _ => (
                Severity::Critical,
                "its objects are in two places, and which one answers depends on the kube-apiserver",
            ),
        };
        Draft::new(Subject::cluster(), severity, format!("{place}: {harm}"))
            .confidence(Confidence::High)
            .threshold("kube-apiserver pkg/server/options/etcd.go: each process reads its own flag")
            .cites(cx.evidence.take_citations())
    };
    overrides::splits(&nodes).into_iter().map(draft).collect()
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

    #[test]
    fn one_resource_in_two_places_is_found() {
        let worst = |values: &[&str]| {
            let set = values
                .iter()
                .enumerate()
                .fold(Set::new(), |set, (at, value)| {
                    let source = if value.is_empty() { "default" } else { "flag" };
                    set.put(
                        &keys::SETTINGS,
                        component("kube-apiserver").on(format!("cp{at}")),
                        settings(&[(NAME, value, source)]),
                    )
                });
            let found = set.check(&RULE);
            let cluster = found.iter().find(|one| one.subject.node.is_none());
            cluster.map(|one| (one.severity, one.message.clone()))
        };
        let leases = "coordination.k8s.io/leases#https://a:2385";
        let (severity, text) = worst(&["", "", leases]).unwrap();
        assert_eq!(severity, Severity::Critical);
        assert!(text.contains("on cp2 and not on cp0, cp1"), "{text}");
        let (severity, _) = worst(&["/events#https://a:1", "/events#https://b:1"]).unwrap();
        assert_eq!(severity, Severity::Warn);
        assert_eq!(worst(&[leases, leases]).map(|(severity, _)| severity), None);
    }
}
