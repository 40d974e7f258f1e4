//! Links between members break or do not answer probes.

use std::collections::BTreeMap;

use crate::evidence::{Missing, Subject, Table, keys};
use crate::rules::events;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "peer-link-unstable",
    summary: "links between members break",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "peer-link-unstable",
    check,
};

const KINDS: &[&str] = &["peer-unhealthy", "stream-lost", "peer-inactive"];

/// Fewer probes than this without an answer can be a peer that is just starting.
const MIN_PROBES: f64 = 4.0;

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("peer-link-unstable");
    let logged = events::seen(cx, KINDS);
    let probed = cx.evidence.some(&keys::PEER_RTT_BY);
    cx.evidence.take_citations();
    let mut drafts: Vec<Draft> = logged
        .iter()
        .flatten()
        .filter(|seen| seen.count >= limit.value)
        .map(|seen| {
            events::cite(cx, seen, "lost or unhealthy peer links");
            Draft::new(
                seen.subject.clone(),
                Severity::Warn,
                format!(
                    "{:.0} lost streams or unhealthy probes of peers",
                    seen.count
                ),
            )
            .confidence(Confidence::Medium)
            .threshold(limit.words())
            .cites(cx.evidence.take_citations())
        })
        .collect();
    drafts.extend(silent(cx, probed.as_deref().unwrap_or_default()));
    match (logged, probed) {
        (Err(why), Err(_)) => Err(why),
        _ => Ok(Verdict::Fail(drafts)),
    }
}

/// Peers that answered none of a member's probes: etcd notes a round trip of zero for each (rafthttp/probing_status.go).
fn silent(cx: &Context<'_>, probed: &[(Subject, Table)]) -> Vec<Draft> {
    let names: BTreeMap<String, String> = cx
        .evidence
        .all(&keys::MEMBER_ID)
        .into_iter()
        .map(|(subject, id)| (id, subject.name))
        .collect();
    let mut drafts = Vec::new();
    for (subject, table) in probed {
        for row in &table.rows {
            let probes = row.get("count").unwrap_or(0.0);
            if probes < MIN_PROBES || row.get("mean_ms") != Some(0.0) {
                continue;
            }
            let peer = names.get(&row.key).unwrap_or(&row.key);
            let words = format!("peer {peer} answered none of {probes:.0} probes");
            cx.evidence
                .cite_as(&keys::PEER_RTT_BY, subject, words.clone());
            drafts.push(
                Draft::new(subject.clone(), Severity::Warn, words)
                    .confidence(Confidence::High)
                    .threshold("etcd's prober asks each peer every few seconds")
                    .cites(cx.evidence.take_citations()),
            );
        }
    }
    drafts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, member, table};

    fn with(count: f64) -> Set {
        Set::new().put(
            &keys::LOGS_EVENTS,
            member(),
            table(&[(KINDS[0], &[("count", count)])]),
        )
    }

    #[test]
    fn both_sides_of_the_limit() {
        let limit = crate::profile::Profile::default().get("peer-link-unstable");
        assert_eq!(with(limit - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(limit).status(&RULE).0, Status::Fail);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn a_peer_that_answers_no_probe_is_named() {
        let with = |probes: f64, mean: f64| {
            Set::new().put(
                &keys::PEER_RTT_BY,
                member(),
                table(&[("8211f1d0f64f3269", &[("count", probes), ("mean_ms", mean)])]),
            )
        };
        assert_eq!(with(4.0, 0.0).status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(with(3.0, 0.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(24.0, 0.4).status(&RULE).0, Status::Pass);
    }
}
