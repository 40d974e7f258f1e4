//! Links between members break or do not answer probes.

use std::collections::BTreeMap;

use crate::evidence::{Episode, Missing, Row, Subject, Table, keys};
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

/// The same, as old releases say it when a stream cannot be opened.
const DIAL: &[&str] = &["peer-dial-failed"];

/// The same, as the leader's version monitor meets it.
const ASKED: &[&str] = &["peer-unreachable"];

/// Fewer looks than this without an answer can be a peer that is just starting: two of the streams,
/// two of the messages, 30 s apart.
const MIN_LOOKS: f64 = 4.0;

/// A member looks at each of its peers every 30 s (etcd: rafthttp/probing_status.go,
/// statusMonitoringInterval): so long after a look without an answer the next one had one.
const LOOKS_SECS: f64 = 65.0;

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("peer-link-unstable");
    let often = |count| count >= limit.value;
    let logged = events::often(cx, &[KINDS, DIAL, ASKED], often);
    let probed = cx.evidence.some(&keys::PEER_RTT_BY);
    cx.evidence.take_citations();
    let mut drafts: Vec<Draft> = logged
        .iter()
        .flatten()
        .map(|seen| {
            events::cite(cx, seen, "lost or unhealthy peer links");
            let words = format!(
                "{:.0} lost streams or unhealthy probes of peers",
                seen.count
            );
            let words = match (gone(cx, &seen.subject), named(cx, &seen.subject)) {
                (Some(gone), _) => format!("{words}: {gone}"),
                (None, Some(peer)) => format!("{words}, {peer}"),
                (None, None) => words,
            };
            Draft::new(seen.subject.clone(), Severity::Warn, words)
                .confidence(Confidence::Medium)
                .threshold(limit.words())
                .cites(cx.evidence.take_citations())
        })
        .collect();
    drafts.extend(silent(cx, probed.as_deref().unwrap_or_default()));
    Verdict::of_either(drafts, logged, probed)
}

/// What a member says of its one peer that is in trouble, where that does not answer at all up to the
/// end: no link flaps then.
fn gone(cx: &Context<'_>, about: &Subject) -> Option<String> {
    let (peer, row, since) = silent_peer(cx, about)?;
    let since = events::moment(since);
    let (refused, silent) = (row.get("refused")?, row.get("silent")?);
    let words = match silent {
        0.0 => format!("{peer} refused all {refused:.0} since {since}: nothing listens there"),
        _ => format!("{peer} does not answer at all since {since}: it, or the way to it, is gone"),
    };
    cx.evidence.cite_as(&keys::LOGS_LIVES, about, words.clone());
    Some(words)
}

/// A member's peer that answered no look at it up to the end of the log, with its row and since when, if
/// no other one has any trouble.
pub(super) fn silent_peer(cx: &Context<'_>, about: &Subject) -> Option<(String, Row, f64)> {
    let life = cx.evidence.peek(&keys::LOGS_LIVES, about)?;
    let end = life.row("self")?.get("last_record_secs")?;
    let mut failing = life.rows.iter().filter(|row| {
        row.get("silent_since_secs").is_some() || row.get("last_lost_secs").is_some()
    });
    let (Some(row), None) = (failing.next(), failing.next()) else {
        return None;
    };
    let since = row.get("silent_since_secs")?;
    let answered = row
        .get("last_active_secs")
        .is_some_and(|found| found > since);
    if answered || row.get("last_silent_secs")? + LOOKS_SECS < end {
        return None;
    }
    let name = names(cx).remove(&row.key);
    Some((name.unwrap_or_else(|| row.key.clone()), row.clone(), since))
}

/// A peer that the episodes name, with the end of the error, which says why.
fn named(cx: &Context<'_>, about: &Subject) -> Option<String> {
    let episodes = cx.evidence.peek(&keys::LOGS_EPISODES, about)?;
    let names = names(cx);
    let told = |episode: &&Episode| {
        [KINDS, DIAL, ASKED]
            .concat()
            .contains(&episode.kind.as_str())
            && !episode.planned
            && episode.detail.starts_with("peer ")
    };
    // That a stream ended says less than why it cannot be opened again.
    let worst = episodes
        .episodes
        .iter()
        .filter(told)
        .max_by_key(|episode| {
            let says_why = why(&episode.detail).is_some_and(|why| why != "EOF");
            // A long error is cut off, and with it the words that say why.
            let whole = !episode.detail.ends_with('…');
            (says_why && whole, says_why, episode.count)
        })?;
    let id = worst.detail.strip_prefix("peer ")?;
    let id = id.split_once(':').map_or(id, |(id, _)| id);
    let peer = names.get(id).map_or(id, |name| name);
    let words = match why(&worst.detail) {
        Some(why) => format!("among them of {peer}: {why}"),
        None => format!("among them of {peer}"),
    };
    cx.evidence
        .cite_as(&keys::LOGS_EPISODES, about, words.clone());
    Some(words)
}

/// The last words of an episode's error: `dial tcp 10.0.0.1:2380: connect: connection refused`.
fn why(detail: &str) -> Option<&str> {
    let (_, error) = detail.split_once(": ")?;
    // `failed to read ID on stream MsgApp v2 (unexpected EOF)`: the reason is in the parentheses.
    let error = match error.split_once(" (") {
        Some((_, inside)) => inside.trim_end_matches(')'),
        None => error,
    };
    error.rsplit(": ").next()
}

/// Members' names by their ids.
fn names(cx: &Context<'_>) -> BTreeMap<String, String> {
    cx.evidence
        .all(&keys::MEMBER_ID)
        .into_iter()
        .map(|(subject, id)| (id, subject.name))
        .collect()
}

/// Peers that answered none of a member's probes: etcd notes a round trip of zero at each look at
/// them (rafthttp/probing_status.go).
fn silent(cx: &Context<'_>, probed: &[(Subject, Table)]) -> Vec<Draft> {
    let names = names(cx);
    let mut drafts = Vec::new();
    for (subject, table) in probed {
        for row in &table.rows {
            let probes = row.get("count").unwrap_or(0.0);
            if probes < MIN_LOOKS || row.get("mean_ms") != Some(0.0) {
                continue;
            }
            let peer = names.get(&row.key).unwrap_or(&row.key);
            let words = format!("peer {peer} answered no probe at any of {probes:.0} looks");
            cx.evidence
                .cite_as(&keys::PEER_RTT_BY, subject, words.clone());
            drafts.push(
                Draft::new(subject.clone(), Severity::Warn, words)
                    .confidence(Confidence::High)
                    .threshold("etcd probes each peer every 4 s, and each 30 s it notes the round trip (rafthttp/probing_status.go)")
                    .cites(cx.evidence.take_citations()),
            );
        }
    }
    drafts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Episode;
    use crate::rules::Status;
    use crate::rules::testing::{self, Set, member, table};

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
    fn a_peer_that_answers_nothing_is_no_link_that_flaps() {
        let said = |columns: &[(&str, f64)], end: f64| {
            let mut row = Row::new("2");
            for (name, value) in columns {
                row = row.num(name, *value);
            }
            let well = Row::new("3").num("last_active_secs", 1.0);
            let own = Row::new("self").num("last_record_secs", end);
            let life = Table {
                rows: vec![row, well, own],
                ..Table::default()
            };
            let found = with(60.0).put(&keys::LOGS_LIVES, member(), life);
            found.check(&RULE)[0].message.clone()
        };
        let head = "60 lost streams or unhealthy probes of peers";
        let silent = [
            ("silent", 60.0),
            ("refused", 0.0),
            ("silent_since_secs", 60.0),
            ("last_silent_secs", 600.0),
        ];
        assert_eq!(
            said(&silent, 630.0),
            format!(
                "{head}: 2 does not answer at all since 1970-01-01 00:01:00: it, or the way to it, is gone"
            )
        );
        // It was looked at again, and answered.
        assert_eq!(said(&silent, 700.0), head);
        let found = [silent.as_slice(), &[("last_active_secs", 300.0)]].concat();
        assert_eq!(said(&found, 630.0), head);
        let mut refused = silent;
        (refused[0].1, refused[1].1) = (0.0, 60.0);
        assert!(
            said(&refused, 630.0).contains("2 refused all 60 since"),
            "{}",
            said(&refused, 630.0)
        );
    }

    #[test]
    fn losses_of_a_month_are_no_link_that_flaps() {
        let limit = crate::profile::Profile::default().get("peer-link-unstable");
        let with = |apart: i64| {
            let times = (0..).step_by(usize::try_from(apart).unwrap());
            let lost = times.take(12).map(|at| testing::episode(KINDS[1], at, at));
            let events = table(&[(KINDS[1], &[("count", 12.0)])]);
            Set::new()
                .put_over(&keys::LOGS_EVENTS, member(), events, 30 * 86_400)
                .put(
                    &keys::LOGS_EPISODES,
                    member(),
                    testing::episodes(lost.collect()),
                )
                .status(&RULE)
                .0
        };
        assert!((1.0..=12.0).contains(&limit), "the counts above are for it");
        assert_eq!(with(60 * 3600), Status::Pass);
        assert_eq!(with(60), Status::Fail);
    }

    #[test]
    fn lines_about_one_loss_count_once() {
        let limit = crate::profile::Profile::default().get("peer-link-unstable");
        let with = |counts: [f64; 3]| {
            let cells = counts.map(|count| [("count", count)]);
            let rows: Vec<_> = [KINDS[0], DIAL[0], ASKED[0]]
                .into_iter()
                .zip(&cells)
                .map(|(kind, cells)| (kind, &cells[..]))
                .collect();
            Set::new()
                .put(&keys::LOGS_EVENTS, member(), table(&rows))
                .status(&RULE)
                .0
        };
        assert_eq!(with([limit - 1.0; 3]), Status::Pass);
        assert_eq!(with([0.0, limit, 0.0]), Status::Fail);
        assert_eq!(with([0.0, 0.0, limit]), Status::Fail);
    }

    #[test]
    fn the_peer_is_named_with_why() {
        let episode = |kind: &str, count, detail: &str| Episode {
            count,
            detail: detail.to_owned(),
            ..testing::episode(kind, 1, 9)
        };
        let refused = "peer 8211f1d0f64f3269: dial tcp 10.0.0.1:2380: connect: connection refused";
        let episodes = testing::episodes(vec![
            episode("stream-lost", 90, "peer 8211f1d0f64f3269: EOF"),
            episode("peer-unhealthy", 40, refused),
            episode("clock-drift", 400, "peer 1: x"),
        ]);
        let found = with(74.0)
            .put(&keys::LOGS_EPISODES, member(), episodes)
            .check(&RULE);
        let words = &found[0].message;
        assert!(
            words.ends_with(", among them of 8211f1d0f64f3269: connection refused"),
            "{words}"
        );
    }

    #[test]
    fn of_an_error_that_was_cut_off_no_half_is_told_as_the_whole() {
        let cut =
            "peer 8211f1d0f64f3269: Get \"http://10.0.0.1:2380/version\": read: connection re…";
        let told = |details: &[(u64, &str)]| {
            let episodes = details.iter().map(|(count, detail)| Episode {
                count: *count,
                detail: (*detail).to_owned(),
                ..testing::episode("peer-unhealthy", 1, 9)
            });
            let episodes = testing::episodes(episodes.collect());
            let set = with(74.0).put(&keys::LOGS_EPISODES, member(), episodes);
            set.check(&RULE).remove(0).message
        };
        let whole = "peer 8211f1d0f64f3269: read: connection reset by peer";
        let words = told(&[(90, cut), (1, whole)]);
        assert!(words.ends_with(": connection reset by peer"), "{words}");
        let words = told(&[(90, cut)]);
        assert!(words.ends_with(": connection re…"), "{words}");
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
