//! Raft messages are dropped because the buffer to a peer is full, or cannot be sent in either
//! direction of a link.

use std::collections::BTreeMap;

use super::peer_link_unstable;
use crate::evidence::{Missing, Subject, Table, keys};
use crate::rules::events::{self, Seen};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "raft-messages-dropped",
    summary: "raft messages to a peer are dropped",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "raft-messages-dropped",
    check,
};

const KINDS: &[&str] = &["raft-message-dropped"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("raft-messages-dropped");
    let words = |seen: &Seen| {
        let dropped = events::counted(seen.count, "raft messages dropped");
        match peer_link_unstable::silent_peer(cx, &seen.subject) {
            Some((peer, ..)) => format!("{dropped}, while {peer} did not answer at all"),
            None => dropped,
        }
    };
    let logged = events::at_least(cx, &[KINDS], limit, "dropped raft messages", words);
    let counted = cx.evidence.some(&keys::PEER_RTT_BY);
    cx.evidence.take_citations();
    let logged = logged.map(|drafts| {
        let inferred = |draft: Draft| draft.confidence(Confidence::Medium);
        drafts.into_iter().map(inferred).collect::<Vec<_>>()
    });
    let mut drafts = logged.as_ref().cloned().unwrap_or_default();
    drafts.extend(unsent(cx, counted.as_deref().unwrap_or_default()));
    Verdict::of_either(drafts, logged, counted)
}

/// Pairs of members each of which could not send to the other. One end alone is a peer that is gone,
/// and members that restarted were gone in turns.
fn unsent(cx: &Context<'_>, by_peer: &[(Subject, Table)]) -> Vec<Draft> {
    let limit = cx.profile.limit("peer-sends-failed");
    let ids: BTreeMap<Subject, String> = cx.evidence.all(&keys::MEMBER_ID).into_iter().collect();
    let restarted = |subject: &Subject| {
        let restarts = cx.evidence.peek(&keys::PROCESS_RESTARTS, subject);
        restarts.is_some_and(|restarts| restarts > 0.0)
    };
    let failed = |table: &Table, peer: &Subject| {
        let row = ids.get(peer).and_then(|id| table.row(id));
        row.and_then(|row| row.get("send_failures"))
            .filter(|count| *count >= limit.value)
    };
    let mut drafts = Vec::new();
    for (at, (one, to_other)) in by_peer.iter().enumerate() {
        for (other, to_one) in by_peer.iter().skip(at + 1) {
            let (Some(there), Some(back)) = (failed(to_other, other), failed(to_one, one)) else {
                continue;
            };
            if restarted(one) || restarted(other) {
                continue;
            }
            cx.evidence.take_citations();
            let words = format!(
                "{there:.0} raft messages to {} could not be sent, and {back:.0} from it",
                other.name
            );
            for subject in [one, other] {
                cx.evidence
                    .cite_as(&keys::PEER_RTT_BY, subject, words.clone());
            }
            drafts.push(
                Draft::new(one.clone(), Severity::Warn, words)
                    .confidence(Confidence::High)
                    .threshold(limit.words())
                    .cites(cx.evidence.take_citations()),
            );
        }
    }
    drafts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::SubjectKind;
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
        let limit = crate::profile::Profile::default().get("raft-messages-dropped");
        assert_eq!(with(limit - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(limit).status(&RULE).0, Status::Fail);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn sends_that_fail_in_both_directions_are_the_links() {
        let with = |there: f64, back: f64, restarts: f64| {
            let of = |name: &str| Subject::new(SubjectKind::Member, name);
            let row = |peer: &'static str, failures: f64| {
                table(&[(peer, &[("count", 8.0), ("send_failures", failures)])])
            };
            Set::new()
                .put(&keys::MEMBER_ID, of("cp0"), "aa".to_owned())
                .put(&keys::MEMBER_ID, of("cp1"), "bb".to_owned())
                .put(&keys::PEER_RTT_BY, of("cp0"), row("bb", there))
                .put(&keys::PEER_RTT_BY, of("cp1"), row("aa", back))
                .put(&keys::PROCESS_RESTARTS, of("cp1"), restarts)
        };
        let link = with(120.0, 90.0, 0.0);
        assert_eq!(link.status(&RULE), (Status::Fail, Severity::Warn));
        let words = link.check(&RULE)[0].message.clone();
        assert!(words.contains("120 raft messages to cp1"), "{words}");
        assert_eq!(with(120.0, 9.0, 0.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(120.0, 90.0, 1.0).status(&RULE).0, Status::Pass);
    }
}
