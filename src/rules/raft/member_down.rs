//! A member is down, or does not start: by its own log, or by its peers, who lost it and did not find
//! it again.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::evidence::{Missing, Row, Subject, SubjectKind, Table, keys};
use crate::rules::events;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "member-down",
    summary: "a member of etcd is down, or does not start",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "member-down",
    check,
};

/// What every member of a cluster has to keep to.
const QUORUM: &str = "a cluster of n members needs n/2 + 1 of them (etcd FAQ)";
/// kubelet and systemd start a process that died within seconds; its peers find it at the next try,
/// each 100 ms (etcd: rafthttp/stream.go, dialRetryFrequency).
const AWAY_SECS: f64 = 10.0;
/// Without its own log it may have been stopped in order: a reboot or an upgrade takes so long.
const AWAY_UNSEEN_SECS: f64 = 60.0;
/// kubelet gives a pod that it stops so long to end, and starts a static one anew right after
/// (Kubernetes: terminationGracePeriodSeconds). One that was stopped in order and is away for longer
/// stays so until somebody starts it.
const AWAY_STOPPED_SECS: f64 = 30.0;
/// Peers notice a process that died at once, and lines of a log are not in the order of clocks.
const SLACK_SECS: f64 = 2.0;
/// Its log says more so long after its last start where it runs: a start takes seconds.
const ALIVE_SECS: f64 = 60.0;
/// A member that runs writes a line each five minutes, as kube-apiserver compacts; twice that is
/// another time.
const QUIET_SECS: f64 = 600.0;

/// One member's log.
struct Life {
    subject: Subject,
    table: Table,
}

impl Life {
    fn own(&self, column: &str) -> Option<f64> {
        self.table.row("self")?.get(column)
    }

    /// Until when it watched its peers.
    fn until(&self, since: f64) -> f64 {
        let stop = self.own("last_stop_secs").filter(|stop| *stop > since);
        stop.or(self.own("last_record_secs")).unwrap_or(since)
    }

    fn peers(&self) -> impl Iterator<Item = &Row> {
        self.table.rows.iter().filter(|row| row.key != "self")
    }
}

/// One that is down.
struct Down {
    subject: Subject,
    since: f64,
    words: String,
    told_by: Vec<Subject>,
    sure: bool,
}

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let lives: Vec<Life> = cx
        .evidence
        .some(&keys::LOGS_LIVES)?
        .into_iter()
        .filter(|(subject, _)| subject.kind == SubjectKind::Member)
        .map(|(subject, table)| Life { subject, table })
        .collect();
    let names = names(cx, &lives);
    cx.evidence.take_citations();
    let mut down: Vec<Down> = lives.iter().filter_map(|life| ended(cx, life)).collect();
    let mut ids: Vec<&str> = lives
        .iter()
        .flat_map(|life| life.peers().map(|row| row.key.as_str()))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        let subject = names
            .get(id)
            .cloned()
            .unwrap_or_else(|| Subject::new(SubjectKind::Member, id));
        if down.iter().all(|known| known.subject != subject) {
            down.extend(lost(cx, &lives, id, subject));
        }
    }
    down.sort_by(|a, b| {
        a.since
            .total_cmp(&b.since)
            .then_with(|| a.subject.cmp(&b.subject))
    });
    let rest = left(&lives, names.len(), down.len());
    let draft = |one: Down| {
        for teller in &one.told_by {
            cx.evidence
                .cite_as(&keys::LOGS_LIVES, teller, one.words.clone());
        }
        let words = format!("{}; {rest}", one.words);
        Draft::new(one.subject, Severity::Critical, words)
            .confidence(match one.sure {
                true => Confidence::High,
                false => Confidence::Medium,
            })
            .threshold(QUORUM)
            .cites(cx.evidence.take_citations())
    };
    Ok(Verdict::Fail(down.into_iter().map(draft).collect()))
}

/// Members by their ids, as metrics and logs tell them.
fn names(cx: &Context<'_>, lives: &[Life]) -> BTreeMap<String, Subject> {
    let mut names: BTreeMap<String, Subject> = cx
        .evidence
        .all(&keys::MEMBER_ID)
        .into_iter()
        .map(|(subject, id)| (id, subject))
        .collect();
    for life in lives {
        let own = life.table.row("self");
        if let Some(id) = own.and_then(|row| row.get_text("id")) {
            names.insert(id.to_owned(), life.subject.clone());
        }
    }
    names
}

/// Whether its metrics were read after a moment: then it is up.
fn scraped_after(cx: &Context<'_>, subject: &Subject, secs: f64) -> bool {
    let record = cx.evidence.record(&keys::MEMBER_ID, subject);
    let to = record.and_then(|record| record.window.to);
    to.is_some_and(|to| seconds(to) > secs)
}

#[expect(clippy::cast_precision_loss, reason = "microseconds since 1970")]
fn seconds(at: Timestamp) -> f64 {
    at.0 as f64 / 1e6
}

/// A member whose log ends with an end of its own making, and no start that came to serve.
fn ended(cx: &Context<'_>, life: &Life) -> Option<Down> {
    let death = life.own("last_death_secs")?;
    let since = life.own("last_dying_secs")?;
    let deaths = life.own("deaths").unwrap_or(1.0);
    let start = life.own("last_start_secs");
    let last = start.map_or(death, |start| start.max(death));
    if life
        .own("last_record_secs")
        .is_some_and(|end| end > last + ALIVE_SECS)
        || scraped_after(cx, &life.subject, death)
    {
        return None;
    }
    let why = life.table.row("self").and_then(|row| row.get_text("why"));
    let why = why.map_or_else(String::new, |why| format!(": \"{why}\""));
    let name = life.subject.called();
    let words = match deaths {
        n if n > 1.0 => format!(
            "{name} does not start: it ended {n:.0} times since {}{why}",
            events::moment(since)
        ),
        _ => format!("{name} is down since {}{why}", events::moment(since)),
    };
    Some(Down {
        subject: life.subject.clone(),
        since,
        words,
        told_by: vec![life.subject.clone()],
        sure: true,
    })
}

/// A member that its peers lost and did not find again, though it was not stopped in order.
fn lost(cx: &Context<'_>, lives: &[Life], id: &str, subject: Subject) -> Option<Down> {
    let rows: Vec<(&Life, &Row)> = lives
        .iter()
        .filter(|life| life.subject != subject)
        .filter_map(|life| Some((life, life.table.row(id)?)))
        .collect();
    let away = |row: &Row| {
        // One that was down before the log begins refuses, and nobody can lose it.
        let lost = row.get("last_lost_secs").or_else(|| {
            row.get("last_refused_secs")
                .and_then(|_| row.get("silent_since_secs"))
        })?;
        let found = row.get("last_active_secs");
        found.is_none_or(|found| lost > found).then_some(lost)
    };
    let since = rows
        .iter()
        .filter_map(|(_, row)| away(row))
        .min_by(f64::total_cmp)?;
    // One that somebody has still or again is up: a link is broken. Who only names it tells nothing.
    let has = |(life, row): &(&Life, &Row)| {
        away(row).is_none() && !is_named_only(row) && life.until(since) > since + SLACK_SECS
    };
    if rows.iter().any(has) || scraped_after(cx, &subject, since) {
        return None;
    }
    let watched = rows
        .iter()
        .map(|(life, _)| life.until(since) - since)
        .fold(0.0, f64::max);
    let refused = rows.iter().any(|(life, row)| {
        let last = row.get("last_refused_secs");
        last.is_some_and(|last| last > since && last + ALIVE_SECS > life.until(since))
    });
    let own = lives.iter().find(|life| life.subject == subject);
    let end = own.and_then(|life| life.own("last_record_secs"));
    let told = match (own, end) {
        (Some(own), Some(end)) if end + QUIET_SECS > since => {
            let stop = own.own("last_stop_secs");
            let in_order = stop.is_some_and(|stop| own.own("last_start_secs") <= Some(stop));
            let (ends, away, words) = match in_order {
                true => (
                    AWAY_STOPPED_SECS,
                    AWAY_STOPPED_SECS,
                    "it was told to stop, and ",
                ),
                false => (
                    SLACK_SECS,
                    AWAY_SECS,
                    "its log ends without a shutdown, and ",
                ),
            };
            // It wrote on, so that a link is broken, or it may be back soon.
            if end > since + ends || watched < away {
                return None;
            }
            words
        }
        _ if !refused || watched < AWAY_UNSEEN_SECS => return None,
        _ => "",
    };
    let tellers: Vec<&Life> = rows
        .iter()
        .filter(|(_, row)| away(row).is_some())
        .map(|(life, _)| *life)
        .collect();
    let by: Vec<&str> = tellers.iter().map(|life| life.subject.called()).collect();
    let refuses = match refused {
        true => "; its address refuses connections",
        false => "",
    };
    let words = format!(
        "{} is down since {}: {told}{} lost it and did not find it again{refuses}",
        subject.name,
        events::moment(since),
        by.join(" and "),
    );
    Some(Down {
        subject,
        since,
        words,
        told_by: tellers.iter().map(|life| life.subject.clone()).collect(),
        sure: !told.is_empty() || refused,
    })
}

/// Whether a peer is known by nothing but what raft heard of it.
fn is_named_only(row: &Row) -> bool {
    let told = [
        "last_lost_secs",
        "last_active_secs",
        "last_refused_secs",
        "silent_since_secs",
    ];
    told.iter().all(|column| row.get(column).is_none())
}

/// What is left of the cluster, in words. Who starts finds all its peers; later on nothing is said of those
/// that are well, and raft hears only of some.
fn left(lives: &[Life], named: usize, down: usize) -> String {
    let watched = |life: &Life| {
        let started = life.own("last_start_secs").is_some();
        let found = |row: &&Row| row.get("last_active_secs").is_some();
        let counts = |row: &&Row| found(row) || started && !is_named_only(row);
        life.peers().filter(counts).count()
    };
    let all = lives.iter().map(|life| watched(life) + 1).max();
    let all = all.unwrap_or(0).max(lives.len()).max(named);
    let heard = lives.iter().map(|life| life.peers().count() + 1).max();
    let heard = heard.unwrap_or(0);
    let (quorum, left) = (all / 2 + 1, all.saturating_sub(down));
    match left {
        _ if heard > all => {
            format!("the logs name {heard} members, maybe not all: how many are left is not known")
        }
        _ if all == 1 => {
            "the logs name no other member: if it is the only one, nothing can be read or written"
                .to_owned()
        }
        left if left < quorum => format!(
            "{left} of {all} members are left and {quorum} are needed: nothing can be written"
        ),
        left if left == quorum => {
            format!("{left} of {all} members are left: the next failure stops all writes")
        }
        left => format!("{left} of {all} members are left"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::testing::Set;

    fn log(set: Set, name: &str, rows: Vec<Row>) -> Set {
        let mut rows = rows;
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        let table = Table {
            rows,
            ..Table::default()
        };
        set.put(
            &keys::LOGS_LIVES,
            Subject::new(SubjectKind::Member, name),
            table,
        )
    }

    fn own(id: &str, end: f64) -> Row {
        Row::new("self")
            .text("id", id)
            .num("last_record_secs", end)
            .num("last_start_secs", 1.0)
            .num("last_ready_secs", 2.0)
    }

    fn lost(id: &str, at: f64) -> Row {
        Row::new(id)
            .num("last_lost_secs", at)
            .num("last_active_secs", 3.0)
    }

    fn found(id: &str) -> Row {
        Row::new(id).num("last_active_secs", 3.0)
    }

    /// `c` dies, or whatever its own row says; `a` and `b` watch for so long.
    fn three(c: Row, watched: f64) -> Set {
        let end = 100.0 + watched;
        let set = log(
            Set::new(),
            "a",
            vec![own("1", end), found("2"), lost("3", 100.0)],
        );
        let set = log(set, "b", vec![own("2", end), found("1"), lost("3", 100.5)]);
        log(set, "c", vec![c, found("1"), found("2")])
    }

    #[test]
    fn a_member_that_was_killed_is_down() {
        let found = three(own("3", 90.0), 20.0).check(&RULE);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            found[0].message,
            "c is down since 1970-01-01 00:01:40: its log ends without a shutdown, and a and b lost \
             it and did not find it again; 2 of 3 members are left: the next failure stops all writes"
        );
    }

    #[test]
    fn a_stop_in_order_a_short_look_and_a_broken_link_are_none() {
        let passes = |set: Set| assert_eq!(set.check(&RULE)[0].status, Status::Pass);
        passes(three(own("3", 99.5).num("last_stop_secs", 99.0), 29.0));
        passes(three(own("3", 90.0), 9.0));
        // It writes on.
        passes(three(own("3", 110.0), 20.0));
        // Somebody has it still.
        let set = log(Set::new(), "a", vec![own("1", 200.0), lost("3", 100.0)]);
        passes(log(set, "b", vec![own("2", 200.0), found("3")]));
        // Nobody read its log, and its address does not refuse.
        passes(log(
            Set::new(),
            "a",
            vec![own("1", 900.0), lost("3", 100.0)],
        ));
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn one_that_was_stopped_and_stays_away_is_down() {
        let stopped = own("3", 101.0).num("last_stop_secs", 99.0);
        let found = three(stopped, 45.0).check(&RULE);
        assert_eq!(
            found[0].message,
            "c is down since 1970-01-01 00:01:40: it was told to stop, and a and b lost it and did not \
             find it again; 2 of 3 members are left: the next failure stops all writes"
        );
        // It started again, and writes on.
        let back = own("3", 140.0)
            .num("last_stop_secs", 99.0)
            .num("last_start_secs", 110.0);
        assert_eq!(three(back, 45.0).status(&RULE).0, Status::Pass);
    }

    #[test]
    fn without_its_log_refused_connections_tell() {
        let with = |end: f64| {
            let refuses = lost("3", 100.0).num("last_refused_secs", end - 4.0);
            log(Set::new(), "a", vec![own("1", end), refuses])
        };
        assert_eq!(with(150.0).status(&RULE).0, Status::Pass);
        assert!(
            with(170.0).check(&RULE)[0]
                .message
                .contains("refuses connections")
        );
    }

    #[test]
    fn whom_raft_heard_of_is_a_member_and_may_not_be_all() {
        let dead = || {
            own("1", 12.5)
                .num("last_death_secs", 12.0)
                .num("last_dying_secs", 12.0)
        };
        let words = |peers: Vec<Row>| {
            let rows = peers.into_iter().chain([dead()]).collect();
            let found = log(Set::new(), "a", rows).check(&RULE);
            found[0].message.clone()
        };
        let heard = |id: &str| Row::new(id).num("refused", 0.0);
        let one = words(vec![heard("3")]);
        let told = "; the logs name 2 members, maybe not all: how many are left is not known";
        assert!(one.ends_with(told), "{one}");
        assert!(words(vec![heard("2"), heard("3")]).contains("; the logs name 3 members"));
        // Who watches knows them all.
        assert!(words(vec![found("2"), found("3")]).contains("2 of 3 members are left"));
        // A member that is named by one, and lost by another, is not up for that.
        let set = log(Set::new(), "a", vec![own("1", 200.0), heard("3")]);
        let set = log(set, "b", vec![own("2", 200.0), lost("3", 100.0)]);
        let set = log(set, "c", vec![own("3", 90.0)]);
        assert!(set.check(&RULE)[0].failed());
    }

    #[test]
    fn one_that_never_answered_cannot_be_lost_and_is_down() {
        let with = |refused: Option<f64>| {
            let row = Row::new("3").num("silent_since_secs", 100.0);
            let row = match refused {
                Some(at) => row.num("last_refused_secs", at).num("last_silent_secs", at),
                None => row.num("last_silent_secs", 699.0),
            };
            let own = Row::new("self").num("last_record_secs", 700.0);
            log(Set::new(), "a", vec![row, own])
        };
        let found = with(Some(699.0)).check(&RULE);
        let message = &found[0].message;
        assert!(
            message.starts_with("3 is down since 1970-01-01 00:01:40: a lost it"),
            "{message}"
        );
        // Those that are well are not named in a log that does not begin with its start.
        assert!(message.contains("the logs name 2 members"), "{message}");
        // Silence may be the way to it, and it may answer again.
        assert_eq!(with(None).status(&RULE).0, Status::Pass);
        assert_eq!(with(Some(200.0)).status(&RULE).0, Status::Pass);
    }

    #[test]
    fn one_that_does_not_start_says_why() {
        let dies = |ready: f64, end: f64| {
            let row = own("1", end)
                .num("last_ready_secs", ready)
                .num("last_death_secs", 12.0);
            let row = match ready < 12.0 {
                true => row.num("last_dying_secs", 10.0).num("deaths", 3.0),
                false => row.num("deaths", 0.0),
            };
            log(Set::new(), "a", vec![row.text("why", "wal: crc mismatch")])
        };
        let found = dies(2.0, 12.5).check(&RULE);
        assert_eq!(
            found[0].message,
            "a does not start: it ended 3 times since 1970-01-01 00:00:10: \"wal: crc mismatch\"; the logs name no \
             other member: if it is the only one, nothing can be read or written"
        );
        // It serves again, or writes on.
        assert_eq!(dies(20.0, 21.0).status(&RULE).0, Status::Pass);
        assert_eq!(dies(2.0, 90.0).status(&RULE).0, Status::Pass);
    }
}
