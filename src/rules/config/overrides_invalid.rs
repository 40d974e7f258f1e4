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

/// Problems that are told one by one. Kubernetes itself has about sixty resources: a value with more
/// to say is no list of overrides, and what is told must not grow with it.
const MOST: usize = 50;
/// Bytes of a part of the value that are shown.
const SHOWN: usize = 200;

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
        let mut problems: Vec<(Severity, Problem)> =
            overrides::parse(&setting.value, version, probe)
                .problems
                .into_iter()
                .map(|problem| (weight(&problem), problem))
                .collect();
        // Stable: those of one weight stay in the order of the value.
        problems.sort_by_key(|(severity, _)| std::cmp::Reverse(*severity));
        let left = problems.split_off(problems.len().min(MOST));
        let draft = |severity, words| {
            Draft::new(setting.subject.clone(), severity, words)
                .confidence(Confidence::High)
                .threshold("kube-apiserver pkg/server/options/etcd.go")
                .cites(cx.evidence.take_citations())
        };
        for (severity, problem) in &problems {
            cite(cx, &setting, part_of(problem));
            drafts.push(draft(*severity, in_words(problem)));
        }
        if let Some((severity, _)) = left.first() {
            cite(cx, &setting, "");
            let words = format!("{} more problems in the same value", left.len());
            drafts.push(draft(*severity, words));
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
    let mut splits = overrides::splits(&nodes);
    // What splits the cluster's objects before what hides events.
    splits.sort_by_key(|split| split.resource == "/events");
    let left = splits.split_off(splits.len().min(MOST)).len();
    let draft = |split: overrides::Split| {
        for one in all {
            cite(cx, one, &split.resource);
        }
        let resource = cut(&split.resource);
        let with = split.with.join(", ");
        let place = match &split.entry {
            Some(entry) => format!(
                "the override `{}` is on {with} and not on {}",
                cut(entry),
                split.without.join(", ")
            ),
            None => format!("kube-apiservers have different overrides of {resource} ({with})"),
        };
        let (severity, harm) = match split.resource.as_str() {
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
    let mut drafts: Vec<Draft> = splits.into_iter().map(draft).collect();
    if let Some(severity) = drafts.first().map(|draft| draft.severity)
        && left > 0
    {
        let words = format!("{left} more resources differ between kube-apiservers");
        drafts.push(
            Draft::new(Subject::cluster(), severity, words)
                .confidence(Confidence::High)
                .threshold(
                    "kube-apiserver pkg/server/options/etcd.go: each process reads its own flag",
                ),
        );
    }
    drafts
}

fn weight(problem: &Problem) -> Severity {
    match problem {
        Problem::Refused { .. } => Severity::Critical,
        Problem::NoEffect { .. } => Severity::Warn,
        _ => Severity::Info,
    }
}

/// What of the value a problem is about.
fn part_of(problem: &Problem) -> &str {
    match problem {
        Problem::Refused { part, .. } => part,
        Problem::NoEffect { resource, .. }
        | Problem::Danger { resource, .. }
        | Problem::Twice { resource } => resource,
    }
}

/// Notes the value as used, whole where it is short. Of a long one the part that matters: every
/// problem would have its own copy.
fn cite(cx: &Context<'_>, setting: &Setting, part: &str) {
    if setting.value.len() <= SHOWN {
        settings::cite(cx, setting, NAME);
        return;
    }
    let mut short = setting.clone();
    short.value = match part {
        "" => cut(&setting.value),
        part => format!("…{}…", cut(part)),
    };
    settings::cite(cx, &short, NAME);
}

/// Its beginning, where it is long.
fn cut(text: &str) -> String {
    match text.get(..text.floor_char_boundary(SHOWN)) {
        Some(head) if head.len() < text.len() => format!("{head}…"),
        _ => text.to_owned(),
    }
}

fn in_words(problem: &Problem) -> String {
    let part = cut(part_of(problem));
    match problem {
        Problem::Refused { why, .. } => format!("`{part}` is refused: {why}"),
        Problem::NoEffect { instead, why, .. } => {
            let instead = instead.map_or_else(String::new, |name| format!("; use `{name}`"));
            format!("the override of {part} has no effect: {why}{instead}")
        }
        Problem::Danger { why, .. } => format!("the override of {part}: {why}"),
        Problem::Twice { .. } => format!("{part} is overridden twice; one of them counts"),
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

    #[test]
    fn what_is_told_does_not_grow_with_the_value() {
        let size = |entries: usize, tail: &str| {
            let mut value: String = (0..entries)
                .map(|at| format!("custom.io/r{at}#https://{}:1,", "a".repeat(300)))
                .collect();
            value.push_str(tail);
            let found = with(&value).check(&RULE);
            assert!(found.iter().all(|one| one.message.len() < 600), "{found:?}");
            assert_eq!(
                found[0].severity,
                Severity::Critical,
                "the worst comes first"
            );
            (found.len(), serde_json::to_string(&found).unwrap().len())
        };
        let (count, few) = size(100, "events#https://a:1");
        assert_eq!(count, MOST + 1);
        let (count, many) = size(1000, "events#https://a:1");
        assert_eq!(count, MOST + 1);
        assert!(many < few + few / 10, "{few} {many}");
        // A part may be as long as the value.
        let (_, long) = size(0, &"x".repeat(100_000));
        assert!(long < 5_000, "{long}");

        let node = |at: usize, value: &str| {
            (
                component("kube-apiserver").on(format!("cp{at}")),
                settings(&[(NAME, value, "flag")]),
            )
        };
        let value: String = (0..300)
            .map(|at| format!("apps/r{at}#https://a:1,"))
            .collect();
        let set = [node(0, &value), node(1, "/events#https://a:1")]
            .into_iter()
            .fold(Set::new(), |set, (subject, table)| {
                set.put(&keys::SETTINGS, subject, table)
            });
        let found = set.check(&RULE);
        let cluster = found.iter().filter(|one| one.subject.node.is_none());
        let words: Vec<&str> = cluster.map(|one| one.message.as_str()).collect();
        assert_eq!(words.len(), MOST + 1);
        assert!(
            words
                .iter()
                .any(|one| one.starts_with("251 more resources")),
            "{words:?}"
        );
    }
}
