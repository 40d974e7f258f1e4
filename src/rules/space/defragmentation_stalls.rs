//! A defragmentation held a member up: it serves nothing while its database is written anew.

use crate::evidence::{Episode, Missing, keys};
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::units::format_ms;

/// The rule.
pub static RULE: Rule = Rule {
    id: "defragmentation-stalls",
    summary: "a defragmentation holds a member of etcd up",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "defragmentation-stalls",
    check,
};

/// The end of a defragmentation, with its length.
const DONE: &str = "defrag-finish";

/// What requests say that waited for it.
const WAITED: &[&str] = &[
    "apply-entries-slow",
    "readindex-retry",
    "readindex-timeout",
    "slow-apply",
];

/// Who waited says so up to so much later.
const AFTER_US: i64 = 1_000_000;

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("defragmentation-took");
    let least = cx.profile.get("slow-requests-min");
    let members = cx.evidence.some(&keys::LOGS_EPISODES)?;
    cx.evidence.take_citations();
    let mut drafts = Vec::new();
    for (subject, all) in members {
        let long = |episode: &&Episode| {
            episode.kind == DONE && episode.max_ms.is_some_and(|took| took >= limit.value)
        };
        let worst = all
            .episodes
            .iter()
            .filter(long)
            .max_by(|a, b| a.max_ms.unwrap_or(0.0).total_cmp(&b.max_ms.unwrap_or(0.0)));
        let Some(worst) = worst else { continue };
        // Those that were still slow long after its end had other reasons, too.
        let end = worst.to.add_us(AFTER_US);
        let waited: u64 = all
            .episodes
            .iter()
            .filter(|episode| WAITED.contains(&episode.kind.as_str()))
            .filter(|episode| episode.from <= end && worst.from <= episode.to)
            .map(|episode| episode.count)
            .sum();
        // Its own WAL waited as well, and with it all that was to be written.
        let synced = all
            .episodes
            .iter()
            .filter(|episode| episode.kind == "wal-sync-slow")
            .filter(|episode| worst.from <= episode.from && episode.to <= worst.to)
            .filter_map(|episode| episode.max_ms)
            .reduce(f64::max);
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let many = waited as f64 >= least;
        let felt = many || synced.is_some();
        let took = format_ms(worst.max_ms.unwrap_or(0.0));
        let mut words = format!("a defragmentation held {} up for {took}", subject.called());
        if let Some(ms) = synced {
            words = format!("{words}, and a WAL sync within it for {}", format_ms(ms));
        }
        if many {
            words = format!("{words}, with {waited} messages about slow requests");
        }
        cx.evidence
            .cite_as(&keys::LOGS_EPISODES, &subject, words.clone());
        let severity = if felt { Severity::Warn } else { Severity::Info };
        drafts.push(
            Draft::new(subject, severity, words)
                .confidence(Confidence::High)
                .threshold(limit.words())
                .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::{self, Set, member};

    fn episode(kind: &str, from: i64, to: i64, count: u64, max_ms: f64) -> Episode {
        Episode {
            count,
            max_ms: Some(max_ms),
            planned: kind == DONE,
            ..testing::episode(kind, from, to)
        }
    }

    fn with(took_ms: f64, slow_from: i64, slow: u64) -> (Status, Severity) {
        let episodes = testing::episodes(vec![
            episode(DONE, 100, 131, 1, took_ms),
            episode("slow-apply", slow_from, slow_from + 10, slow, 9e3),
        ]);
        Set::new()
            .put(&keys::LOGS_EPISODES, member(), episodes)
            .status(&RULE)
    }

    #[test]
    fn it_is_a_fault_where_the_wal_waited_for_it() {
        let with = |from: i64, to: i64| {
            let episodes = testing::episodes(vec![
                episode(DONE, 100, 102, 1, 1900.0),
                episode("wal-sync-slow", from, to, 1, 1060.0),
            ]);
            Set::new()
                .put(&keys::LOGS_EPISODES, member(), episodes)
                .status(&RULE)
                .1
        };
        assert_eq!(with(101, 102), Severity::Warn);
        assert_eq!(with(102, 103), Severity::Info);
    }

    #[test]
    fn it_is_a_fault_where_requests_waited_for_it() {
        let profile = crate::profile::Profile::default();
        let limit = profile.get("defragmentation-took");
        assert_eq!(with(limit, 125, 10), (Status::Fail, Severity::Warn));
        assert_eq!(with(limit, 132, 10), (Status::Fail, Severity::Warn));
        // Slow at other times, or a few only.
        assert_eq!(with(limit, 133, 10), (Status::Fail, Severity::Info));
        assert_eq!(with(limit, 80, 10), (Status::Fail, Severity::Info));
        assert_eq!(with(limit, 125, 9), (Status::Fail, Severity::Info));
        assert_eq!(with(limit - 1.0, 125, 10).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }
}
