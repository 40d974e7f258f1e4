//! Puts the causes in order and says the one thing.

use std::collections::BTreeMap;

use crate::evidence::EvidenceSet;
use crate::profile::Profile;
use crate::rules::quality::component_restarting::UNASKED;
use crate::rules::{Finding, Severity};
use crate::units::format_ms;

use super::assess::{Assessment, CLAIM, Case, by_traces};
use super::cause::{Alternative, Cause, CauseFound, Diagnosis, Role, RuledOut, Verdict};
use super::facts::{DEFRAGMENTED, Facts, UPKEEP, node_of};
use super::{client, clients, config, cpu, disk, down, load, network, space, timeline, who};

/// Causes that explain slowness downstream, in the order in which they explain each other: a full
/// database refuses writes whatever the disk does, and a stalled disk makes peers answer late.
/// A full or slow disk may be what a member is gone for; one that is gone answers nobody.
const UPSTREAM: &[Cause] = &[
    Cause::Space,
    Cause::Disk,
    Cause::MemberDown,
    Cause::Cpu,
    Cause::Network,
];

/// From this confidence on a claim keeps its place in the order.
const STRONG: f64 = 0.6;

/// Rules of load that rest on counts, which a slow etcd does not raise.
const COUNTED: &[&str] = &[
    "client-heavy-lists",
    "client-hot-loop",
    "events-dominate",
    "leases-granted-fast",
];

/// Finds the root causes.
pub fn diagnose(evidence: &EvidenceSet, findings: &[Finding], profile: &Profile) -> Diagnosis {
    let facts = Facts::of(evidence, profile);
    let case = Case {
        findings,
        facts: &facts,
    };
    let assessments = [
        down::assess(&case),
        space::assess(&case),
        disk::assess(&case),
        cpu::assess(&case),
        network::assess(&case),
        load::assess(&case),
        clients::saturation(&case),
        clients::throttling(&case),
        config::assess(&case),
    ];
    let mut causes: Vec<CauseFound> = Vec::new();
    let mut alternatives: Vec<Alternative> = Vec::new();
    let mut ruled_out: Vec<RuledOut> = Vec::new();
    let mut weak: Vec<CauseFound> = Vec::new();
    for Assessment {
        found,
        weak: too_weak,
        alternative,
        ruled_out: cleared,
    } in assessments
    {
        causes.extend(found);
        weak.extend(too_weak);
        alternatives.extend(alternative);
        ruled_out.extend(cleared);
    }
    let carried: Vec<(Cause, Vec<String>)> = weak
        .iter()
        .map(|weak| (weak.cause, weak.rules.clone()))
        .collect();
    order(&mut causes);
    let own_work = own_work(&case, &mut causes);
    demote(&case, &mut causes, &mut alternatives, own_work);
    follow(&mut causes, &mut alternatives, weak);
    alternatives.sort_by(|a, b| {
        b.confidence
            .total_cmp(&a.confidence)
            .then(a.cause.cmp(&b.cause))
    });
    // A finding of its own tells it, and "it could be unknown" is no word.
    alternatives.retain(|other| other.cause != Cause::MemberDown);
    let who = who::joined(evidence);
    client::name(&mut causes, evidence, findings, who.as_ref());
    let skews = who
        .as_ref()
        .map(|who| who.skews.as_slice())
        .unwrap_or_default();
    let timeline = timeline::timeline(evidence, causes.first(), skews);
    let signs = timeline::signs(&timeline);
    let verdict = verdict(&causes, &alternatives, &carried, findings, &facts, &signs);
    Diagnosis {
        verdict,
        causes,
        alternatives,
        ruled_out,
        who,
        timeline,
    }
}

/// Upstream causes first in their fixed order, then by confidence.
fn order(causes: &mut [CauseFound]) {
    // A weak claim upstream does not go before a strong one downstream.
    let place = |found: &CauseFound| {
        UPSTREAM
            .iter()
            .position(|cause| *cause == found.cause && found.confidence >= STRONG)
            .unwrap_or(UPSTREAM.len())
    };
    // A client that holds itself back harms nobody but those who wait for it; what loads etcd or fills
    // the seats harms all. Whichever was measured better, the order is the same.
    let harms = causes.iter().any(harms_all);
    let own_matter = |found: &CauseFound| harms && found.cause == Cause::ClientThrottling;
    causes.sort_by(|a, b| {
        place(a)
            .cmp(&place(b))
            .then_with(|| own_matter(a).cmp(&own_matter(b)))
            .then_with(|| b.confidence.total_cmp(&a.confidence))
            .then_with(|| a.cause.cmp(&b.cause))
    });
}

/// Whether a cause downstream of etcd's own is claimed well enough and holds up everybody: requests are
/// turned away, or lists and events take up etcd.
fn harms_all(found: &CauseFound) -> bool {
    let first = found.rules.first().map_or("", String::as_str);
    let harms = match found.cause {
        Cause::ApiserverSaturation => first != "apf-queue-waits",
        Cause::QueryLoad => matches!(
            first,
            "client-heavy-lists" | "expensive-lists" | "events-dominate"
        ),
        _ => false,
    };
    harms && found.confidence >= STRONG
}

/// Where etcd waits for a processor that it uses itself, for lists, these come first: more cores only
/// make room for more of them. Neighbours, a limit and a hypervisor are another matter.
fn own_work(case: &Case<'_>, causes: &mut [CauseFound]) -> bool {
    let [cpu, ..] = &*causes else {
        return false;
    };
    let node = cpu.subject.as_ref().map(node_of).unwrap_or_default();
    let waits = cpu.cause == Cause::Cpu
        && cpu
            .rules
            .first()
            .is_some_and(|rule| rule == "run-delay-high");
    let load = causes
        .iter()
        .position(|cause| cause.cause == Cause::QueryLoad);
    match load {
        Some(load) if waits && case.burns_on(&node) => {
            if let Some(before) = causes.get_mut(..=load) {
                before.rotate_right(1);
            }
            true
        }
        _ => false,
    }
}

/// Whether limits far below the default are among the findings: they turn requests away whatever
/// etcd does.
fn few_seats(cause: &CauseFound) -> bool {
    cause.rules.iter().any(|rule| rule == "inflight-unbalanced")
}

/// Whether somebody was counted to list a lot, and those lists are what costs time.
fn counted_lists(cause: &CauseFound) -> bool {
    ["client-heavy-lists", "expensive-lists"]
        .iter()
        .all(|rule| cause.rules.iter().any(|have| have == rule))
}

/// Gives roles: what follows from the primary cause is a consequence; what only looks like a cause
/// while the primary one is at work is dropped to an alternative.
fn demote(
    case: &Case<'_>,
    causes: &mut Vec<CauseFound>,
    alternatives: &mut Vec<Alternative>,
    own_work: bool,
) {
    let Some(primary) = causes.first().map(|c| c.cause) else {
        return;
    };
    let upstream = UPSTREAM.contains(&primary);
    let mut kept = Vec::new();
    for (at, mut cause) in causes.drain(..).enumerate() {
        cause.role = if at == 0 {
            Role::Primary
        } else {
            match cause.cause {
                // Requests queue up in front of a slow etcd.
                Cause::ApiserverSaturation if upstream && !few_seats(&cause) => Role::Consequence,
                // etcd lacks what the lists use up.
                Cause::Cpu if own_work => Role::Consequence,
                // A slow disk or a starved process answers its peers late, one that is down never; links
                // that are slow between others are not of its making.
                Cause::Network
                    if matches!(primary, Cause::MemberDown | Cause::Disk | Cause::Cpu)
                        && !case.facts.slow_apart =>
                {
                    Role::Consequence
                }
                _ => Role::Contributing,
            }
        };
        // While etcd itself is slow, the latency of lists accuses nobody; counts of requests do.
        let counted = cause
            .rules
            .first()
            .is_some_and(|rule| COUNTED.contains(&rule.as_str()));
        if at > 0
            && upstream
            && cause.cause == Cause::QueryLoad
            && primary != Cause::Space
            && !counted
        {
            alternatives.push(Alternative {
                cause: cause.cause,
                confidence: (cause.confidence * 0.4).min(0.4),
                why: format!("{} (while {})", cause.summary, primary.headline()),
                settle: "look again when etcd is fast".to_owned(),
            });
            continue;
        }
        kept.push(cause);
    }
    *causes = kept;
}

/// Requests that queue up or are turned away in front of a slow etcd are its consequence, not a
/// question of their own.
fn follow(
    causes: &mut Vec<CauseFound>,
    alternatives: &mut Vec<Alternative>,
    weak: Vec<CauseFound>,
) {
    let upstream = causes
        .first()
        .is_some_and(|primary| UPSTREAM.contains(&primary.cause));
    if !upstream {
        return;
    }
    for mut cause in weak {
        cause.role = match cause.cause {
            Cause::ApiserverSaturation if few_seats(&cause) => Role::Contributing,
            Cause::ApiserverSaturation => Role::Consequence,
            // What ails etcd is known, so a client that holds itself back is a matter of its own.
            Cause::ClientThrottling => Role::Contributing,
            // Beside a cause that explains the slow syncs, what was counted is one of its own: a slow
            // etcd makes nobody list more, write more events, or ask for what is gone.
            Cause::QueryLoad if counted_lists(&cause) || cause.confidence >= CLAIM => {
                cause.confidence = cause.confidence.max(CLAIM);
                Role::Contributing
            }
            _ => continue,
        };
        alternatives.retain(|alternative| alternative.cause != cause.cause);
        causes.push(cause);
    }
}

fn from_log(finding: &Finding) -> bool {
    let first = finding.evidence.first();
    first.is_some_and(|cited| cited.key.starts_with("logs."))
}

/// What settles a question that all readings leave open.
pub const LONGER: &str = "a longer stretch of the trouble in logs, metrics and host facts";

/// What is lacking where the evidence is of several runs: an old one that was well thins the trouble out.
pub(super) const LAST_RUN: &str = "the last run by itself (--since): rates here are means over runs with an hour or more between them";

/// Rules about states: one look tells them whole, and a longer one tells no more.
const STATES: &[&str] = &[
    "certificate-expiring",
    "clock-drift",
    "data-corruption",
    "election-timeouts-unequal",
    "learner-not-promoted",
    "member-lists-differ",
    "swap-in-use",
    "time-unsynced",
    "versions-mixed",
];

/// Whether all that was found are states.
pub(super) fn told_whole(findings: &[Finding]) -> bool {
    let mut worse = findings
        .iter()
        .filter(|f| f.failed() && f.severity >= Severity::Warn);
    worse.all(|f| STATES.contains(&f.rule.as_str()))
}

fn verdict(
    causes: &[CauseFound],
    alternatives: &[Alternative],
    carried: &[(Cause, Vec<String>)],
    findings: &[Finding],
    facts: &Facts,
    signs: &Signs<'_>,
) -> Verdict {
    let mut missing = facts.missing();
    let no_fault_seen = !findings
        .iter()
        .any(|f| f.failed() && f.severity >= Severity::Warn);
    if let Some(primary) = causes.first() {
        missing.extend(facts.unseen_members());
        return Verdict {
            cause: primary.cause,
            confidence: primary.confidence,
            no_fault_seen: false,
            missing,
            summary: primary.summary.clone(),
        };
    }
    if no_fault_seen {
        missing.extend(facts.not_looked_at());
    }
    if no_fault_seen && missing.is_empty() {
        return Verdict {
            cause: Cause::None,
            confidence: 0.9,
            no_fault_seen,
            missing,
            summary: "logs, metrics, settings and mounts were read, and nothing is wrong"
                .to_owned(),
        };
    }
    if !no_fault_seen && missing.is_empty() {
        missing = facts.would_tell(findings);
        // All of it was read, and it does not settle the question: only a longer look can.
        if missing.is_empty() && !told_whole(findings) {
            missing.push(LONGER.to_owned());
        }
    } else if !no_fault_seen {
        missing.extend(facts.unseen_members());
    }
    if !no_fault_seen && facts.several_runs {
        missing.insert(0, LAST_RUN.to_owned());
    }
    let summary = if no_fault_seen {
        format!(
            "{}, but not everything was looked at: no {}",
            seen_little(signs),
            missing.join(", no ")
        )
    } else {
        headline(findings, alternatives.first(), carried)
    };
    Verdict {
        cause: Cause::Unknown,
        confidence: alternatives.first().map_or(0.0, |a| a.confidence),
        no_fault_seen,
        missing,
        summary,
    }
}

/// Signs of trouble by their kinds: how many, and the worst one's size.
type Signs<'s> = BTreeMap<&'s str, (u64, Option<f64>)>;

/// What was seen where no rule found anything: rules leave alone what is too seldom for them.
fn seen_little(signs: &Signs<'_>) -> String {
    const NAMED: usize = 3;
    if signs.is_empty() {
        return "nothing wrong was seen".to_owned();
    }
    let mut most: Vec<_> = signs.iter().collect();
    most.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    let named = most.iter().take(NAMED).map(|(kind, (count, max_ms))| {
        let longest = max_ms.map(|ms| format!(", up to {}", format_ms(ms)));
        format!("{count} {kind}{}", longest.unwrap_or_default())
    });
    let named: Vec<String> = named.collect();
    let more = match most.len() > NAMED {
        true => " and others",
        false => "",
    };
    let messages: u64 = signs.values().map(|(count, _)| count).sum();
    let signs = if messages == 1 { "sign" } else { "signs" };
    let named = named.join("; ");
    format!("no limit was reached by what was seen: {messages} {signs} of trouble ({named}{more})")
}

/// What holds a member up for seconds, and what is slow at that time because of it.
const OF_DEFRAGMENTATION: &[&str] = &[
    "backend-commit-slow",
    "device-write-slow",
    "heartbeat-late",
    "run-delay-high",
    "slow-requests",
    "wal-fsync-slow",
    "wal-sync-stalled",
];

/// The worst that was found, and what could be behind it. What could be behind something else is told
/// with that.
fn headline(
    findings: &[Finding],
    likely: Option<&Alternative>,
    carried: &[(Cause, Vec<String>)],
) -> String {
    let failed = || findings.iter().filter(|f| f.failed());
    // Told from the slow requests themselves: these are not two things.
    let waits = failed().any(by_traces);
    // What users feel says less than what makes them feel it, and a line less than a count.
    let worst = failed().max_by_key(|f| {
        let slo = f.rule == "api-slo-missed" || (waits && f.rule == "slow-requests");
        // Slow requests are the symptom of what held them up.
        let upkeep = UPKEEP.contains(&f.rule.as_str());
        // Leases are lost because the datastore is slow, and never the other way round.
        let below = f.rule == "datastore-slow";
        // Who is turned away for a certificate renews no lease and lists nothing.
        let mut cited = f.evidence.iter();
        let expired = cited.any(|c| c.value.contains("apiserver-client-expired"));
        let says = (expired, f.confidence, !from_log(f));
        // Who lost a member was slow because of it.
        let killed = f.rule == "component-restarting" && f.aspect == UNASKED;
        (f.severity, killed, upkeep, !slo, below, says)
    });
    let Some(worst) = worst else {
        return String::new();
    };
    let mut words = worst.message.clone();
    let defragmented = failed().find(|f| f.rule == DEFRAGMENTED);
    if let Some(defragmented) = defragmented
        && OF_DEFRAGMENTATION.contains(&worst.rule.as_str())
    {
        words = format!("{}; {words}", defragmented.message);
    }
    let Some(likely) = likely else {
        return words;
    };
    let word = likely.cause.word();
    let of_worst = carried
        .iter()
        .any(|(cause, rules)| *cause == likely.cause && rules.contains(&worst.rule));
    match of_worst {
        true => format!("{words}; it could be {word}, which is not proved"),
        false => format!(
            "{words}; apart from that, {}: that could be {word}, which is not proved",
            likely.why
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_seldom_for_a_limit_is_told() {
        assert_eq!(seen_little(&Signs::new()), "nothing wrong was seen");
        let mut signs = Signs::from([("leader-lost", (1, None))]);
        let told = "no limit was reached by what was seen: 1 sign of trouble (1 leader-lost)";
        assert_eq!(seen_little(&signs), told);
        signs.extend([
            ("apiserver-trace", (2, Some(57_300.0))),
            ("health-error", (9, None)),
            ("no-leader-drop", (3, None)),
        ]);
        assert_eq!(
            seen_little(&signs),
            "no limit was reached by what was seen: 15 signs of trouble (9 health-error; 3 no-leader-drop; \
             2 apiserver-trace, up to 57.3 s and others)"
        );
    }

    #[test]
    fn only_a_strong_claim_upstream_goes_first() {
        let found = |cause, confidence| CauseFound {
            cause,
            role: Role::Primary,
            confidence,
            summary: String::new(),
            subject: None,
            rules: Vec::new(),
            evidence: Vec::new(),
            client: None,
            client_unknown: None,
        };
        let first = |disk: f64| {
            let mut causes = vec![
                found(Cause::QueryLoad, 0.8),
                found(Cause::Network, 0.9),
                found(Cause::Disk, disk),
            ];
            order(&mut causes);
            causes.iter().map(|one| one.cause).collect::<Vec<_>>()
        };
        let (disk, network, load) = (Cause::Disk, Cause::Network, Cause::QueryLoad);
        assert_eq!(first(0.6), [disk, network, load]);
        assert_eq!(first(0.5), [network, load, disk]);
    }
}
