//! kube-apiserver has too little CPU: its cgroup's limit holds it back, its threads wait for one, or it
//! uses all that its node has. etcd may be well beside it.

use crate::evidence::{Missing, Subject, Unit, keys, number};
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

use super::etcd_cpu_throttled;
use super::run_delay_high::{APISERVER, Waits};

/// The rule.
pub static RULE: Rule = Rule {
    id: "apiserver-cpu-short",
    summary: "kube-apiserver has too little CPU",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "apiserver-cpu-short",
    check,
};

/// The aspect of one that uses all there is: what it is asked for may be too much.
pub(crate) const ALL_USED: &str = "all-used";

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let mut drafts = Vec::new();
    let mut looked = false;
    for (subject, share) in of_apiservers(cx.evidence.all(&keys::CGROUP_THROTTLED)) {
        looked = true;
        drafts.extend(throttled(cx, &subject, share));
    }
    for (subject, per_sec) in of_apiservers(cx.evidence.all(&keys::RUN_DELAY)) {
        looked = true;
        drafts.extend(waits(cx, &subject, per_sec));
    }
    for (subject, cores) in of_apiservers(cx.evidence.all(&keys::PROCESS_CPU)) {
        let Some(cpus) = processors(cx, &subject) else {
            continue;
        };
        looked = true;
        drafts.extend(all_used(cx, &subject, cores, cpus));
    }
    if !looked {
        return Err(Missing::NotEnough {
            why: "no cgroup, no run delay and no CPU time of kube-apiserver beside the number of processors"
                .to_owned(),
        });
    }
    Ok(Verdict::Fail(drafts))
}

fn of_apiservers(all: Vec<(Subject, f64)>) -> impl Iterator<Item = (Subject, f64)> {
    all.into_iter()
        .filter(|(subject, _)| subject.name == APISERVER)
}

fn throttled(cx: &Context<'_>, subject: &Subject, share: f64) -> Option<Draft> {
    let limit = cx.profile.limit("cgroup-throttled-periods");
    cx.evidence.take_citations();
    if share <= limit.value {
        return None;
    }
    cx.evidence.cite(&keys::CGROUP_THROTTLED, subject);
    let words = format!(
        "{APISERVER} was throttled in {:.0} % of the scheduling periods{}",
        share * 100.0,
        etcd_cpu_throttled::worst_of(cx, subject)
    );
    Some(
        Draft::new(subject.clone(), Severity::Warn, words)
            .threshold(limit.words())
            .cites(cx.evidence.take_citations()),
    )
}

/// A busy kube-apiserver has many threads that wait a little: the sum of it tells nothing, and how long
/// it waits each time does.
fn waits(cx: &Context<'_>, subject: &Subject, per_sec: f64) -> Option<Draft> {
    let waits = Waits {
        per_sec,
        mean_ms: cx.evidence.peek(&keys::RUN_WAIT, subject),
        share: cx.evidence.peek(&keys::RUN_WAIT_SHARE, subject),
    };
    cx.evidence.take_citations();
    if !waits.starved(cx.profile) {
        return None;
    }
    for key in [&keys::RUN_WAIT, &keys::RUN_WAIT_SHARE, &keys::RUN_DELAY] {
        cx.evidence.cite(key, subject);
    }
    let words = format!(
        "threads of {APISERVER} waited for a CPU {:.0} % of the time in which they could run, {} before each run",
        waits.share.unwrap_or(0.0) * 100.0,
        number(waits.mean_ms.unwrap_or(0.0), Unit::Ms)
    );
    Some(
        Draft::new(subject.clone(), Severity::Warn, words)
            .threshold(cx.profile.limit("run-wait").words())
            .cites(cx.evidence.take_citations()),
    )
}

fn all_used(cx: &Context<'_>, subject: &Subject, cores: f64, cpus: f64) -> Option<Draft> {
    let limit = cx.profile.limit("process-cpu-share");
    cx.evidence.take_citations();
    if cores < limit.value * cpus {
        return None;
    }
    cx.evidence.cite(&keys::PROCESS_CPU, subject);
    let words = format!("{APISERVER} uses {cores:.1} of the {cpus:.0} processors that it has");
    Some(
        Draft::new(subject.clone(), Severity::Warn, words)
            .aspect(ALL_USED)
            .threshold(limit.words())
            .cites(cx.evidence.take_citations()),
    )
}

/// How many processors it can use: those of its node, or fewer where its Go runtime was told so.
fn processors(cx: &Context<'_>, subject: &Subject) -> Option<f64> {
    let go = cx.evidence.peek(&keys::PROCESS_GO, subject);
    let go = go.and_then(|table| table.row("go")?.get("last_procs"));
    let hosts = cx.evidence.all(&keys::HOST_SETTINGS);
    let host = hosts
        .iter()
        .find(|(host, _)| host.node_name() == subject.node_name())
        .and_then(|(_, settings)| settings.row("cpus")?.get_text("value")?.parse().ok());
    let known = [go, host].into_iter().flatten();
    known.filter(|n| *n > 0.0).reduce(f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Row, SubjectKind, Table};
    use crate::rules::Status;
    use crate::rules::testing::{Set, component, table};

    fn apiserver() -> Subject {
        component(APISERVER)
    }

    #[test]
    fn its_own_limit_on_both_sides_and_not_that_of_etcd() {
        let limit = crate::profile::Profile::default().get("cgroup-throttled-periods");
        let with = |about: Subject, share| Set::new().put(&keys::CGROUP_THROTTLED, about, share);
        let over = limit * 1.01;
        assert_eq!(with(apiserver(), limit).status(&RULE).0, Status::Pass);
        let held = with(apiserver(), over);
        assert_eq!(held.status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(
            with(component("etcd"), over).status(&RULE).0,
            Status::Unknown
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
        // It is told once, and etcd is not accused of it.
        let etcds = &crate::rules::cpu::etcd_cpu_throttled::RULE;
        assert_eq!(held.status(etcds).0, Status::Pass);
    }

    #[test]
    fn many_short_waits_are_a_busy_server_and_long_ones_are_not() {
        let with = |per_sec: f64, ms: f64, share: f64| {
            Set::new()
                .put(&keys::RUN_DELAY, apiserver(), per_sec)
                .put(&keys::RUN_WAIT, apiserver(), ms)
                .put(&keys::RUN_WAIT_SHARE, apiserver(), share)
        };
        let starved = with(2.0, 5.0, 0.9);
        assert_eq!(starved.status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(with(2.0, 0.05, 0.3).status(&RULE).0, Status::Pass);
        let etcds = &crate::rules::cpu::run_delay_high::RULE;
        assert_eq!(starved.status(etcds).0, Status::Pass);
    }

    #[test]
    fn one_that_uses_all_processors_is_told() {
        let limit = crate::profile::Profile::default().get("process-cpu-share");
        let cpus = Table {
            rows: vec![Row::new("cpus").text("value", "4")],
            ..Table::default()
        };
        let node = Subject::new(SubjectKind::Node, "a");
        let host = |cores: f64| {
            Set::new().put(&keys::PROCESS_CPU, apiserver(), cores).put(
                &keys::HOST_SETTINGS,
                node.clone(),
                cpus.clone(),
            )
        };
        let found = host(4.0 * limit).check(&RULE);
        assert_eq!(found[0].aspect, ALL_USED);
        assert!(
            found[0].message.contains("of the 4 processors"),
            "{found:?}"
        );
        assert_eq!(host(4.0 * limit - 0.1).status(&RULE).0, Status::Pass);
        // A Go runtime that was given two of four.
        let procs: &[(&str, f64)] = &[("last_procs", 2.0)];
        let go = host(2.0).put(&keys::PROCESS_GO, apiserver(), table(&[("go", procs)]));
        assert_eq!(go.status(&RULE), (Status::Fail, Severity::Warn));
        // How many there are is not known.
        let alone = Set::new().put(&keys::PROCESS_CPU, apiserver(), 9.0);
        assert_eq!(alone.status(&RULE).0, Status::Unknown);
    }
}
