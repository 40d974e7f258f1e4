//! Many lines of the log were not understood.

use crate::evidence::{Missing, Subject, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "log-unparsed",
    summary: "many log lines were not understood",
    severity: Severity::Info,
    since: "0.1.0",
    playbook: "log-unparsed",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("unparsed-share");
    let cluster = Subject::cluster();
    let lines = cx.evidence.get(&keys::LOGS_LINES, &cluster)?;
    let unparsed = cx.evidence.get(&keys::LOGS_UNPARSED, &cluster)?;
    #[expect(clippy::cast_precision_loss, reason = "counts of lines")]
    let too_many = lines > 0 && unparsed as f64 / lines as f64 > limit.value;
    let whole = format!("{unparsed} of {lines} lines were not understood: counts are lower bounds");
    let words = match too_many {
        true => Some(whole),
        false => one_log(cx, limit.value),
    };
    let Some(words) = words else {
        return Ok(Verdict::Pass);
    };
    Ok(Verdict::fail(
        Draft::new(cluster, Severity::Info, words)
            .confidence(Confidence::High)
            .threshold(limit.words()),
    ))
}

/// A log that was not understood may be few lines beside the others: an audit log in batches has a
/// hundred requests in each.
fn one_log(cx: &Context<'_>, limit: f64) -> Option<String> {
    let table = cx
        .evidence
        .peek(&keys::LOGS_COVERAGE, &Subject::cluster())?;
    let told = table.rows.iter().filter_map(|row| {
        let (lines, unparsed) = (row.get("lines")?, row.get("unparsed")?);
        let named = !row.key.starts_with("unknown");
        (named && lines > 0.0 && unparsed / lines > limit).then_some((row, lines, unparsed))
    });
    let (row, lines, unparsed) = told.max_by(|a, b| (a.2 / a.1).total_cmp(&(b.2 / b.1)))?;
    let words = format!(
        "{unparsed:.0} of {lines:.0} lines of {} were not understood: its counts are lower bounds",
        row.key
    );
    cx.evidence
        .cite_as(&keys::LOGS_COVERAGE, &Subject::cluster(), words.clone());
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{Set, table};

    #[test]
    fn both_sides_of_the_limit() {
        let with = |unparsed: i64| {
            Set::new()
                .put(&keys::LOGS_LINES, Subject::cluster(), 1000)
                .put(&keys::LOGS_UNPARSED, Subject::cluster(), unparsed)
        };
        assert_eq!(with(50).status(&RULE).0, Status::Pass);
        // One log alone.
        let audit = |unparsed: f64, name: &str| {
            let row: &[(&str, f64)] = &[("lines", 30.0), ("unparsed", unparsed)];
            let coverage = table(&[(name, row), ("etcd", &[("lines", 970.0)])]);
            with(30).put(&keys::LOGS_COVERAGE, Subject::cluster(), coverage)
        };
        let found = audit(30.0, "kube-apiserver on a").check(&RULE).remove(0);
        assert_eq!(
            found.message,
            "30 of 30 lines of kube-apiserver on a were not understood: its counts are lower bounds"
        );
        assert_eq!(audit(1.0, "kube-apiserver").status(&RULE).0, Status::Pass);
        assert_eq!(audit(30.0, "unknown").status(&RULE).0, Status::Pass);
        assert_eq!(with(51).status(&RULE), (Status::Fail, Severity::Info));
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
