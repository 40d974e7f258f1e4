//! A component refuses a value, or the command line that holds it: it does not start.

use crate::evidence::{Missing, SubjectKind};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::rules::{events, faults};

/// The rule.
pub static RULE: Rule = Rule {
    id: "setting-refused",
    summary: "a component refuses a value or its command line, and does not start",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "setting-refused",
    check,
};

/// What was seen while settings were read.
const FAULTS: &[&str] = &["bare-word", "invalid-value", "missing-value", "open-quote"];

/// What the component itself says as it ends.
const KINDS: &[&str] = &["settings-refused"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let read = faults::of(cx, FAULTS);
    let said = events::seen(cx, KINDS);
    if let (Err(why), Err(_)) = (&read, &said) {
        return Err(why.clone());
    }
    let mut drafts: Vec<Draft> = Vec::new();
    for fault in read.unwrap_or_default() {
        faults::cite(cx, &fault);
        drafts.push(
            Draft::new(fault.subject.clone(), fault.severity(), fault.text)
                .confidence(Confidence::High)
                .threshold("a component that cannot read a setting ends before it serves")
                .cites(cx.evidence.take_citations()),
        );
    }
    for seen in said.unwrap_or_default() {
        events::cite(cx, &seen, "starts that ended at the settings");
        let who = match (&*seen.subject.name, seen.subject.kind) {
            (_, SubjectKind::Member) => "etcd",
            ("", _) | (_, SubjectKind::Cluster) => "a component",
            (name, _) => name,
        };
        let times = events::counted(seen.count, "times");
        // A controller may be anybody's; without these two the cluster stands still.
        let holds = matches!(who, "etcd" | "kube-apiserver");
        drafts.push(
            Draft::new(
                seen.subject.clone(),
                if holds {
                    Severity::Critical
                } else {
                    Severity::Warn
                },
                format!("{who} says that it refuses its settings, and ended at once ({times})"),
            )
            .confidence(Confidence::High)
            .threshold("one such message is one too many")
            .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Subject, keys};
    use crate::rules::Status;
    use crate::rules::faults::testing::fault;
    use crate::rules::testing::{Set, component, member, table};

    #[test]
    fn every_kind_of_refusal_stops_the_component() {
        for kind in FAULTS {
            let found = fault(kind, "stop").status(&RULE);
            assert_eq!(found, (Status::Fail, Severity::Critical), "{kind}");
        }
        let found = fault(FAULTS[1], "warn").status(&RULE);
        assert_eq!(found, (Status::Fail, Severity::Warn));
        assert_eq!(fault("no-such-kind", "stop").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn its_own_words_are_enough() {
        let of = |who: Subject, count: f64| {
            let events = table(&[(KINDS[0], &[("count", count)])]);
            Set::new().put(&keys::LOGS_EVENTS, who, events)
        };
        let critical = (Status::Fail, Severity::Critical);
        assert_eq!(of(member(), 1.0).status(&RULE), critical);
        // A log that names no node.
        let unnamed = Subject::new(SubjectKind::Member, "");
        assert_eq!(of(unnamed, 1.0).status(&RULE), critical);
        assert_eq!(of(component("kube-apiserver"), 1.0).status(&RULE), critical);
        let other = of(component("kube-scheduler"), 1.0).status(&RULE);
        assert_eq!(other, (Status::Fail, Severity::Warn));
        assert_eq!(of(member(), 0.0).status(&RULE).0, Status::Pass);
        let found = of(member(), 3.0).check(&RULE);
        assert!(found[0].message.ends_with("(3 times)"), "{found:?}");
    }
}
