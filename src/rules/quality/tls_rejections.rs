//! Connections are refused because of TLS.

use crate::evidence::{Missing, SubjectKind};
use crate::rules::events;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "tls-rejections",
    summary: "connections are refused because of TLS",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "tls-rejections",
    check,
};

const KINDS: &[&str] = &["rejected-connection"];

const PEERS: &[&str] = &["peer-unhealthy", "stream-lost", "peer-inactive"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("tls-rejections");
    let links = cx.profile.get("peer-link-unstable");
    let broken: Vec<_> = events::seen(cx, PEERS)?
        .into_iter()
        .filter(|seen| seen.count >= links)
        .collect();
    let drafts = events::seen(cx, KINDS)?
        .into_iter()
        .filter(|seen| seen.count >= limit.value)
        .map(|seen| {
            events::cite(cx, &seen, "refused connections");
            // Scans and balancers are refused every day; with peers that cannot reach each other it is
            // a member's certificate.
            let severity = match broken.first() {
                Some(link) if seen.subject.kind == SubjectKind::Member => {
                    events::cite(cx, link, "lost or unhealthy peer links");
                    Severity::Warn
                }
                _ => Severity::Info,
            };
            let meanwhile = if severity == Severity::Warn {
                "; meanwhile peers do not reach each other"
            } else {
                ""
            };
            Draft::new(
                seen.subject.clone(),
                severity,
                format!("{:.0} connections refused by TLS{meanwhile}", seen.count),
            )
            .confidence(Confidence::High)
            .threshold(limit.words())
            .cites(cx.evidence.take_citations())
        })
        .collect();
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::keys;
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
        let limit = crate::profile::Profile::default().get("tls-rejections");
        assert_eq!(with(limit - 1.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(limit).status(&RULE).0, Status::Fail);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn with_broken_peer_links_it_is_a_members_certificate() {
        let both = Set::new().put(
            &keys::LOGS_EVENTS,
            member(),
            table(&[
                ("peer-unhealthy", &[("count", 12.0)]),
                (KINDS[0], &[("count", 50.0)]),
            ]),
        );
        assert_eq!(both.status(&RULE), (Status::Fail, Severity::Warn));
    }
}
