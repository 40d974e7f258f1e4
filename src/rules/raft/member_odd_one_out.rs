//! One member differs from the others: the fault is there, not in the cluster.

use std::collections::BTreeMap;

use super::behind;
use crate::evidence::{Histogram, Missing, Subject, SubjectKind, Table, Unit, keys, number};
use crate::rules::events;
use crate::rules::nodes;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "member-odd-one-out",
    summary: "one member is much slower than the others",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "member-odd-one-out",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let syncs = cx.evidence.some(&keys::WAL_FSYNC);
    let links = cx.evidence.some(&keys::PEER_RTT_BY);
    let logs = events::seen(cx, &["wal-sync-slow"]);
    cx.evidence.take_citations();
    let mut drafts: Vec<Draft> = Vec::new();
    drafts.extend(syncs.as_deref().ok().and_then(|all| slow_syncs(cx, all)));
    drafts.extend(links.as_deref().ok().and_then(|all| slow_links(cx, all)));
    if drafts.is_empty() {
        drafts.extend(logs.as_deref().ok().and_then(|all| stalls(cx, all)));
    }
    let members = cx
        .evidence
        .all(&keys::LOGS_EVENTS)
        .iter()
        .filter(|(subject, _)| subject.kind == SubjectKind::Member)
        .fold(BTreeMap::<String, usize>::new(), |mut of, (subject, _)| {
            *of.entry(nodes::instance(subject).to_owned()).or_default() += 1;
            of
        })
        .into_values()
        .max()
        .unwrap_or(0)
        .max(syncs.as_ref().map_or(0, Vec::len));
    match (syncs, logs) {
        (Err(why), Err(_)) => Err(why),
        _ if members < 2 => Ok(Verdict::NotApplicable("one member was measured".to_owned())),
        _ => Ok(Verdict::Fail(drafts)),
    }
}

/// One member whose WAL syncs take far longer than those of all others.
fn slow_syncs(cx: &Context<'_>, all: &[(Subject, Histogram)]) -> Option<Draft> {
    let factor = cx.profile.limit("odd-member-factor");
    let floor = cx.profile.get("wal-fsync-p99");
    // A mean of few syncs is an accident.
    let mut means: Vec<_> = all
        .iter()
        .filter(|(_, syncs)| syncs.count() >= 50.0)
        .filter_map(|(subject, syncs)| Some((subject, syncs.mean()?)))
        .collect();
    means.sort_by(|a, b| b.1.total_cmp(&a.1));
    let (slow, mean, next, others) = means.iter().find_map(|(slow, mean)| {
        let of_it = |(other, _): &&(&Subject, f64)| {
            other != slow && !behind::are_strangers(cx, slow, other)
        };
        let others: Vec<_> = means.iter().filter(of_it).collect();
        let (_, next) = others.first()?;
        let odd = *mean >= floor && *mean >= next * factor.value;
        odd.then_some((*slow, mean, *next, others))
    })?;
    let peers = others
        .iter()
        .all(|(other, _)| behind::are_peers(cx, slow, other));
    cx.evidence.cite(&keys::WAL_FSYNC, slow);
    for (subject, _) in others {
        cx.evidence.cite(&keys::WAL_FSYNC, subject);
    }
    Some(
        Draft::new(
            slow.clone(),
            Severity::Warn,
            format!(
                "{} needs {} for a WAL fsync on average, the next slowest member {}",
                slow.name,
                number(*mean, Unit::Ms),
                number(next, Unit::Ms)
            ),
        )
        // Where nothing says that they are of one cluster, their machines may be meant to differ.
        .confidence(if peers {
            Confidence::High
        } else {
            Confidence::Medium
        })
        .threshold(factor.words())
        .cites(cx.evidence.take_citations()),
    )
}

/// One member that all slow links begin or end at, while the links among the others are fast.
fn slow_links(cx: &Context<'_>, all: &[(Subject, Table)]) -> Option<Draft> {
    let limit = cx.profile.limit("peer-rtt-p99");
    let names: BTreeMap<String, Subject> = cx
        .evidence
        .all(&keys::MEMBER_ID)
        .into_iter()
        .map(|(subject, id)| (id, subject))
        .collect();
    // Ends of each measured link, and its mean. A link to a peer that does not answer has a mean of
    // zero in etcd's metrics: it was not measured.
    let mut links: Vec<(String, String, f64)> = Vec::new();
    for (subject, table) in all {
        let own = names
            .iter()
            .find(|(_, name)| *name == subject)
            .map_or_else(|| subject.name.clone(), |(id, _)| id.clone());
        for row in &table.rows {
            if let Some(mean) = row.get("mean_ms").filter(|mean| *mean > 0.0) {
                links.push((own.clone(), row.key.clone(), mean));
            }
        }
    }
    let slow: Vec<_> = links.iter().filter(|link| link.2 >= limit.value).collect();
    let fast: Vec<_> = links.iter().filter(|link| link.2 < limit.value).collect();
    let mut ends: Vec<&String> = slow.iter().flat_map(|link| [&link.0, &link.1]).collect();
    ends.sort_unstable();
    ends.dedup();
    // With two members every link has both ends, and nobody stands out.
    let mut odd = ends.into_iter().filter(|end| {
        slow.iter().all(|link| link.0 == **end || link.1 == **end)
            && fast.iter().any(|link| link.0 != **end && link.1 != **end)
    });
    let one = odd.next()?;
    if odd.next().is_some() {
        return None;
    }
    let subject = names
        .get(one)
        .cloned()
        .unwrap_or_else(|| Subject::new(SubjectKind::Member, one.clone()));
    let mean = slow.iter().map(|link| link.2).sum::<f64>() / slow.len() as f64;
    let others = fast
        .iter()
        .filter(|link| link.0 != *one && link.1 != *one)
        .map(|link| link.2)
        .fold(0.0, f64::max);
    for (about, _) in all {
        cx.evidence.cite(&keys::PEER_RTT_BY, about);
    }
    Some(
        Draft::new(
            subject.clone(),
            Severity::Warn,
            format!(
                "only the links of {} are slow: {} on average, at most {} among the other members",
                subject.name,
                number(mean, Unit::Ms),
                number(others, Unit::Ms)
            ),
        )
        .confidence(Confidence::High)
        .threshold(limit.words())
        .cites(cx.evidence.take_citations()),
    )
}

/// One member whose log alone tells of WAL syncs over a second, among those of its own cluster: an
/// etcd for events is another one.
fn stalls(cx: &Context<'_>, all: &[events::Seen]) -> Option<Draft> {
    let [seen] = all else {
        return None;
    };
    let which = nodes::instance(&seen.subject);
    let members: Vec<Subject> = cx
        .evidence
        .all(&keys::LOGS_EVENTS)
        .into_iter()
        .map(|(subject, _)| subject)
        .filter(|subject| subject.kind == SubjectKind::Member)
        .filter(|subject| nodes::instance(subject) == which)
        .collect();
    let least = cx.profile.limit("wal-sync-stalls");
    if members.len() < 2 || seen.hourly < least.value {
        return None;
    }
    events::cite(cx, seen, "slow WAL syncs logged");
    Some(
        Draft::new(
            seen.subject.clone(),
            Severity::Warn,
            format!(
                "only {} logged WAL syncs over 1 s ({:.0}); the logs of {} other members hold none",
                seen.subject.name,
                seen.count,
                members.len() - 1
            ),
        )
        .confidence(Confidence::Medium)
        .threshold(format!(
            "{}; {}",
            cx.profile.limit("wal-sync-stall").words(),
            least.words()
        ))
        .cites(cx.evidence.take_citations()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, histogram, table};

    fn with(means: &[f64]) -> Set {
        means
            .iter()
            .enumerate()
            .fold(Set::new(), |set, (at, mean)| {
                // The helper's sum is 0.7 of the bound.
                let syncs = histogram(&[(mean / 0.7, 100.0)]);
                set.put(
                    &keys::WAL_FSYNC,
                    Subject::new(SubjectKind::Member, format!("m{at}")),
                    syncs,
                )
            })
    }

    #[test]
    fn one_slow_member_of_three_is_named() {
        let findings = with(&[2.0, 100.0, 3.0]).check(&RULE);
        assert_eq!(findings[0].subject.name, "m1");
        assert_eq!(with(&[90.0, 100.0, 80.0]).status(&RULE).0, Status::Pass);
        assert_eq!(with(&[1.0, 9.0, 1.0]).status(&RULE).0, Status::Pass);
        assert_eq!(with(&[100.0]).status(&RULE).0, Status::NotApplicable);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    /// Each of a cluster's members has a round trip to the others.
    #[test]
    fn members_of_other_clusters_are_not_compared() {
        let about = |at: usize| Subject::new(SubjectKind::Member, format!("m{at}"));
        let known = |set: Set, at: usize, id: &str, peers: &[&str]| {
            let rows: Vec<(&str, &[(&str, f64)])> = peers
                .iter()
                .map(|peer| (*peer, &[("mean_ms", 0.5)][..]))
                .collect();
            let set = set.put(&keys::MEMBER_ID, about(at), id.to_owned());
            match rows.is_empty() {
                true => set,
                false => set.put(&keys::PEER_RTT_BY, about(at), table(&rows)),
            }
        };
        let two = known(known(with(&[2.0, 100.0]), 0, "a", &[]), 1, "b", &[]);
        assert_eq!(two.status(&RULE).0, Status::Pass);
        let pair = |set| known(known(set, 0, "a", &["b"]), 1, "b", &["a"]);
        let found = pair(with(&[2.0, 100.0])).check(&RULE);
        assert_eq!(found[0].confidence, Confidence::High);
        // A slower one of another cluster hides nobody.
        let third = known(pair(with(&[2.0, 100.0, 400.0])), 2, "c", &[]).check(&RULE);
        assert_eq!(
            (third[0].status, &*third[0].subject.name),
            (Status::Fail, "m1")
        );
        let unknown = with(&[2.0, 100.0]).check(&RULE);
        assert_eq!(unknown[0].confidence, Confidence::Medium);
    }

    #[test]
    fn the_member_at_the_end_of_all_slow_links_is_named() {
        let about = |at: usize| Subject::new(SubjectKind::Member, format!("m{at}"));
        let cluster = |rtts: [[f64; 2]; 3]| {
            let peers = [["b", "c"], ["a", "c"], ["a", "b"]];
            let mut set = with(&[1.0, 1.0, 1.0]);
            for (at, id) in ["a", "b", "c"].into_iter().enumerate() {
                let rows: Vec<(&str, [(&str, f64); 1])> = (0..2)
                    .map(|n| (peers[at][n], [("mean_ms", rtts[at][n])]))
                    .collect();
                let rows: Vec<(&str, &[(&str, f64)])> = rows
                    .iter()
                    .map(|(key, cells)| (*key, cells.as_slice()))
                    .collect();
                set = set.put(&keys::MEMBER_ID, about(at), id.to_owned()).put(
                    &keys::PEER_RTT_BY,
                    about(at),
                    table(&rows),
                );
            }
            set
        };
        let one = cluster([[1.0, 200.0], [1.0, 200.0], [200.0, 200.0]]);
        assert_eq!(one.check(&RULE)[0].subject.name, "m2");
        let all = cluster([[200.0, 200.0], [200.0, 200.0], [200.0, 200.0]]);
        assert_eq!(all.status(&RULE).0, Status::Pass);
        // A peer that is gone has a round trip of zero: nothing was measured.
        let gone = cluster([[0.0, 200.0], [0.0, 200.0], [0.0, 0.0]]);
        assert_eq!(gone.status(&RULE).0, Status::Pass);
    }

    #[test]
    fn one_log_of_several_with_stalls_is_named() {
        let log = |set: Set, at: usize, count: f64| {
            set.put(
                &keys::LOGS_EVENTS,
                Subject::new(SubjectKind::Member, format!("m{at}")),
                table(&[("wal-sync-slow", &[("count", count)])]),
            )
        };
        let set = log(log(log(Set::new(), 0, 0.0), 1, 5.0), 2, 0.0);
        assert_eq!(set.check(&RULE)[0].subject.name, "m1");
        let two = log(log(Set::new(), 0, 5.0), 1, 5.0);
        assert_eq!(two.status(&RULE).0, Status::Pass);
    }
}
