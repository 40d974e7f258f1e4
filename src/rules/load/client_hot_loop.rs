//! A client asks at a high, steady rate and much of it for objects that are gone: it does not
//! wait for changes, it spins.

use crate::evidence::{Missing, Subject, SubjectKind, keys};
use crate::rules::audit;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "client-hot-loop",
    summary: "a client repeats requests at a high, steady rate",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "client-hot-loop",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let rate_limit = cx.profile.limit("hot-loop-rate");
    let share_limit = cx.profile.limit("hot-loop-404-share");
    let (subject, secs, clients) = audit::clients(cx)?;
    let mut drafts = Vec::new();
    for client in clients.iter().filter(|client| !client.is_core()) {
        // By the rows' own times, where a client did not ask all the time.
        let own: f64 = client
            .rows
            .iter()
            .filter_map(|row| row.get("max_per_sec"))
            .sum();
        let rate = (client.requests / secs).max(own);
        let gone = client.not_found / client.requests.max(1.0);
        if rate < rate_limit.value || gone < share_limit.value {
            continue;
        }
        let mut rows: Vec<_> = client.rows.iter().collect();
        rows.sort_by(|a, b| {
            b.get("requests")
                .unwrap_or(0.0)
                .total_cmp(&a.get("requests").unwrap_or(0.0))
        });
        let what: Vec<String> = rows
            .iter()
            .take(2)
            .filter_map(|row| {
                Some(format!(
                    "{} {}",
                    row.get_text("verb")?,
                    row.get_text("resource")?
                ))
            })
            .collect();
        let words = format!(
            "{}: {:.0} requests in {secs:.0} s ({rate:.1}/s), {:.0} of them 404 ({:.0} %)",
            client.name(),
            client.requests,
            client.not_found,
            gone * 100.0
        );
        cx.evidence
            .cite_as(&keys::LOGS_AUDIT_CLIENTS, &subject, words);
        drafts.push(
            Draft::new(
                Subject::new(SubjectKind::Client, client.name()),
                Severity::Warn,
                format!(
                    "{} sends {rate:.1} requests/s ({}), {:.0} % of them for objects that are gone",
                    client.name(),
                    what.join(", "),
                    gone * 100.0
                ),
            )
            .confidence(Confidence::High)
            .threshold(format!("{}/s; {}", rate_limit.words(), share_limit.words()))
            .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Row, Table};
    use crate::rules::Status;
    use crate::rules::testing::Set;

    fn with(agent: &str, user: &str, requests: f64, not_found: f64) -> Set {
        let row = Row::new("r")
            .text("user_agent", agent)
            .text("user", user)
            .text("verb", "get")
            .text("resource", "pods")
            .num("requests", requests)
            .num("not_found", not_found);
        Set::new().put(
            &keys::LOGS_AUDIT_CLIENTS,
            Subject::cluster(),
            Table {
                rows: vec![row],
                ..Table::default()
            },
        )
    }

    #[test]
    fn a_steady_rate_with_many_404s_is_a_loop() {
        // The test window is 100 s, the limits 5/s and 20 %.
        assert_eq!(
            with("bmo/1", "u", 500.0, 100.0).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(
            with("bmo/1", "u", 499.0, 100.0).status(&RULE).0,
            Status::Pass
        );
        assert_eq!(
            with("bmo/1", "u", 500.0, 99.0).status(&RULE).0,
            Status::Pass
        );
        assert_eq!(
            with("kubelet/v1", "system:node:a", 900.0, 900.0)
                .status(&RULE)
                .0,
            Status::Pass
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
