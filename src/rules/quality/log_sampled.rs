//! etcd's logger dropped lines: counts from the log are lower bounds.

use crate::evidence::{Missing, Subject, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "log-sampled",
    summary: "the log was sampled, so counts from it are estimates",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "log-sampled",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let cluster = Subject::cluster();
    let table = cx.evidence.get(&keys::LOGS_REQUESTS_ESTIMATE, &cluster)?;
    cx.evidence.take_citations();
    let row = table.row("all");
    let get = |column| row.and_then(|row| row.get(column)).unwrap_or(0.0);
    let (low, high, joined) = (get("low"), get("high"), get("joined"));
    if high <= joined {
        return Ok(Verdict::Pass);
    }
    let words =
        format!("{joined:.0} requests are in the log, which stand for {low:.0} to {high:.0}");
    cx.evidence
        .cite_as(&keys::LOGS_REQUESTS_ESTIMATE, &cluster, words.clone());
    Ok(Verdict::fail(
        Draft::new(cluster, Severity::Info, words)
            .confidence(Confidence::High)
            .threshold("zap writes the first 100 messages of a kind each second, then every 100th"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, table};

    #[test]
    fn an_estimate_above_the_count_tells() {
        let with = |high: f64| {
            Set::new().put(
                &keys::LOGS_REQUESTS_ESTIMATE,
                Subject::cluster(),
                table(&[("all", &[("low", 225.0), ("high", high), ("joined", 225.0)])]),
            )
        };
        assert_eq!(with(225.0).status(&RULE).0, Status::Pass);
        assert_eq!(with(226.0).status(&RULE), (Status::Fail, Severity::Info));
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
