//! Heartbeat interval and election timeout, where a rule found them wrong by themselves or for the
//! links and disks that they live with.

use std::collections::BTreeMap;

use crate::diagnosis::Cause;
use crate::evidence::SubjectKind;
use crate::rules::{Confidence, Finding, Severity};

use super::super::advice::{Advice, Disposition, Remedy, Strength};
use super::super::facts::{Facts, whole};
use super::config::ONE_BY_ONE;
use super::network::{ELECTION_HEARTBEATS, ELECTION_MAX_MS, Turn, timers_for};

/// Advice for both, which go together.
pub(super) fn advise(facts: &Facts<'_>) -> Vec<Advice> {
    let mut all: Vec<Advice> = each_etcd(facts, "heartbeat-election-mismatch")
        .into_iter()
        .flat_map(|finding| mismatch(facts, finding))
        .collect();
    let unequal = each_etcd(facts, "election-timeouts-unequal");
    all.extend(
        unequal
            .into_iter()
            .filter_map(|finding| election_equal(facts, finding)),
    );
    all
}

/// The etcd that a finding is about: the main one, or one for events beside it, which is another
/// cluster with timers of its own.
fn etcd_of(finding: &Finding) -> &str {
    match finding.subject.kind {
        SubjectKind::Component => &finding.subject.name,
        _ => "etcd",
    }
}

/// The worst finding of a rule for each etcd.
fn each_etcd<'a>(facts: &Facts<'a>, rule: &str) -> Vec<&'a Finding> {
    let mut worst: BTreeMap<&str, &Finding> = BTreeMap::new();
    for finding in facts.failed(rule) {
        if finding.severity < Severity::Warn {
            continue;
        }
        let slot = worst.entry(etcd_of(finding)).or_insert(finding);
        if finding.severity > slot.severity {
            *slot = finding;
        }
    }
    worst.into_values().collect()
}

/// A timer's values over all members of one etcd, smallest and largest.
fn range(facts: &Facts<'_>, etcd: &str, name: &str, default: &str) -> Option<(f64, f64)> {
    let current = facts.setting(etcd, name, Some(default))?;
    let values = || {
        current
            .texts()
            .filter_map(|text| text.trim().parse::<f64>().ok())
    };
    Some((
        values().min_by(f64::total_cmp)?,
        values().max_by(f64::total_cmp)?,
    ))
}

/// An election timeout or a heartbeat interval that fits neither the other nor its surroundings.
fn mismatch(facts: &Facts<'_>, finding: &Finding) -> Vec<Advice> {
    let etcd = etcd_of(finding);
    let Some((beat, longest_beat)) = range(facts, etcd, "heartbeat-interval", "100") else {
        return Vec::new();
    };
    let (election, longest_election) =
        range(facts, etcd, "election-timeout", "1000").unwrap_or((1000.0, 1000.0));
    let turn = Turn::of(facts);
    let (fitting_beat, fitting_election) = timers_for(turn, turn.stall.unwrap_or(0.0));
    // Below the default is a choice, until the members cannot keep to it.
    let hurried = beat < facts.limit("heartbeat-interval");
    let late = facts
        .ails("heartbeat-late")
        .or_else(|| facts.ails("leader-unstable"))
        .filter(|_| hurried);
    let distant = turn
        .rtt
        .is_some_and(|rtt| beat < rtt * facts.limit("heartbeat-rtts"));
    // etcd takes none of 0.
    let refused = beat < facts.limit("heartbeat-min");
    let new_beat = match late.is_some() || distant || refused {
        true => fitting_beat.max(longest_beat),
        false => longest_beat,
    };
    let new_election = fitting_election
        .max(new_beat * ELECTION_HEARTBEATS)
        .min(ELECTION_MAX_MS);
    let both = new_beat > beat;
    let mut all = Vec::new();
    if both {
        all.push(heartbeat(facts, finding, late, new_beat));
    }
    if election < new_election || longest_election > ELECTION_MAX_MS {
        all.push(election_timeout(facts, finding, new_election, both));
    }
    // A time that the disk or a CPU makes is mended there, whatever the verdict can tell of it.
    let first = if rests_on(finding, "server.wal.fsync") {
        "only until the disk or the CPU that keeps the syncs waiting is mended: longer timers keep \
         the lead, and make no write any faster"
    } else if held_up(facts, finding) {
        "a member that waits for its disk or a CPU answers its peers late: mend that first, and \
         measure the links again"
    } else {
        return all;
    };
    for advice in &mut all {
        advice.strength = Strength::Candidate;
        advice.confidence = advice.confidence.min(Confidence::Medium);
        advice.why = format!("{}; {first}", advice.why);
    }
    all
}

/// Whether round trips were measured while the diagnosis blames what makes them long by itself.
fn held_up(facts: &Facts<'_>, finding: &Finding) -> bool {
    matches!(facts.first_cause(), Some(Cause::Disk | Cause::Cpu))
        && rests_on(finding, "server.peer.rtt")
}

fn rests_on(finding: &Finding, key: &str) -> bool {
    finding.evidence.iter().any(|cited| cited.key == key)
}

fn make(facts: &Facts<'_>, etcd: &str, setting: &str, default: &str, value: f64) -> Advice {
    let id = match etcd {
        "etcd" => setting.to_owned(),
        other => format!("{setting}-{other}"),
    };
    let mut advice = Advice::new(id, Remedy::Etcd, etcd, setting);
    advice.now = facts
        .setting(etcd, setting, Some(default))
        .map(|current| current.words());
    advice.proposed = whole(value).unwrap_or_default().to_string();
    advice.undo = "set the former value again on every member".to_owned();
    advice.verify =
        "`etcd_server_leader_changes_seen_total` stands still, and no heartbeat is late".to_owned();
    // Only the main etcd's files are edited.
    advice.disposition = match etcd {
        "etcd" => Disposition::Disruptive,
        _ => Disposition::ShowOnly,
    };
    advice.finding_ids = vec!["heartbeat-election-mismatch".to_owned()];
    advice.source = "etcd tuning guide: heartbeat 0.5 to 1.5 round trips (default 100 ms), \
                     election timeout ten heartbeats or round trips, at most 50 s"
        .to_owned();
    advice
}

fn heartbeat(facts: &Facts<'_>, finding: &Finding, late: Option<&Finding>, value: f64) -> Advice {
    let mut advice = make(facts, etcd_of(finding), "heartbeat-interval", "100", value);
    advice.why = match late {
        Some(late) => format!(
            "{}: with less than the default of {} between two heartbeats, a short wait for the disk \
             or the processor is a late one; {}",
            late.message,
            facts.input.profile.limit("heartbeat-interval").text,
            finding.message
        ),
        None => finding.message.clone(),
    };
    advice.effect = "a leader has the time to send its heartbeats".to_owned();
    advice.confidence = late.map_or(finding.confidence, |late| late.confidence);
    advice.risk = "a lost leader is noticed later. All members must have the same value, and \
                   `election-timeout` goes with it in one edit: etcd refuses one below five \
                   heartbeats"
        .to_owned();
    advice
        .finding_ids
        .extend(facts.failing(&["heartbeat-late", "leader-unstable"]));
    advice
}

fn election_timeout(facts: &Facts<'_>, finding: &Finding, value: f64, both: bool) -> Advice {
    let mut advice = make(facts, etcd_of(finding), "election-timeout", "1000", value);
    advice.why = finding.message.clone();
    advice.effect = "a lost heartbeat or two no longer start an election".to_owned();
    advice.confidence = finding.confidence;
    advice.risk = format!(
        "a dead leader is noticed after {value:.0} ms. All members must have the same value; until \
         all are restarted they differ, so do it without a pause{}",
        match both {
            true => ", and `heartbeat-interval` in the same edit",
            false => "",
        }
    );
    advice
}

fn election_equal(facts: &Facts<'_>, finding: &Finding) -> Option<Advice> {
    let etcd = etcd_of(finding);
    let (_, longest_beat) = range(facts, etcd, "heartbeat-interval", "100")?;
    let (_, longest) = range(facts, etcd, "election-timeout", "1000")?;
    // Links that were measured say what all of them need; without them somebody may have had a reason
    // for the longest.
    let turn = Turn::of(facts);
    let (heartbeat, election) = match turn.rtt {
        Some(_) => timers_for(turn, turn.stall.unwrap_or(0.0)),
        None => (longest_beat, longest.max(longest_beat * 10.0)),
    };
    let id = match etcd {
        "etcd" => "election-timeouts-equal".to_owned(),
        other => format!("election-timeouts-equal-{other}"),
    };
    let setting = "election-timeout on every member";
    let mut advice = Advice::new(id, Remedy::Etcd, etcd, setting);
    advice.now = facts
        .setting(etcd, "election-timeout", Some("1000"))
        .map(|c| c.words());
    advice.proposed = format!(
        "heartbeat-interval {heartbeat:.0} and election-timeout {:.0} on every member",
        election
    );
    advice.why = finding.message.clone();
    advice.effect = "no member calls an election before the others would".to_owned();
    advice.confidence = Confidence::High;
    advice.risk = ONE_BY_ONE.to_owned();
    advice.undo = "set the former values again".to_owned();
    advice.verify = "`etcd-doctor check` finds equal values, and the term stands still".to_owned();
    advice.finding_ids = vec!["election-timeouts-unequal".to_owned()];
    advice.source = "etcd tuning guide: the same values for all members of a cluster".to_owned();
    Some(advice)
}

#[cfg(test)]
mod tests {
    use super::super::super::advice::Strength;
    use super::super::super::testing::{Plane, component};
    use crate::diagnosis::Cause;
    use crate::evidence::{Bucket, Histogram, Subject, SubjectKind, keys};
    use crate::rules::Confidence;
    use crate::rules::Severity::{Critical, Warn};

    const MISMATCH: &str = "heartbeat-election-mismatch";

    fn timers(beat: &str, election: &str) -> Plane {
        Plane::with(Cause::Config)
            .fails(MISMATCH, component("etcd"), Warn)
            .settings(
                "etcd",
                &[("heartbeat-interval", beat), ("election-timeout", election)],
            )
    }

    fn proposed(plane: &Plane) -> (Option<String>, Option<String>) {
        let value = |id| plane.find(id).map(|advice| advice.proposed);
        (value("heartbeat-interval"), value("election-timeout"))
    }

    #[test]
    fn a_heartbeat_that_nobody_keeps_goes_back_to_the_default_with_its_election() {
        let member = || Subject::new(SubjectKind::Member, "cp0");
        let both = (Some("100".to_owned()), Some("1000".to_owned()));
        let late = timers("10", "50")
            .fails("leader-unstable", member(), Critical)
            .fails("heartbeat-late", member(), Warn);
        assert_eq!(proposed(&late), both);
        let why = late.find("heartbeat-interval").unwrap().why;
        assert!(why.starts_with("heartbeat-late was found: "), "{why}");
        // None at all is refused.
        let (beat, election) = proposed(&timers("0", "1000"));
        assert_eq!((beat.as_deref(), election), (Some("100"), None));
        // Short heartbeats that are kept are a choice.
        assert_eq!(
            proposed(&timers("10", "40")),
            (None, Some("1000".to_owned()))
        );
        // Long ones stay, and the election follows them.
        let long = timers("500", "600").fails("heartbeat-late", member(), Warn);
        assert_eq!(proposed(&long), (None, Some("5000".to_owned())));
        assert_eq!(
            proposed(&timers("100", "60000")),
            (None, Some("1000".to_owned()))
        );
    }
    #[test]
    fn an_etcd_for_events_gets_advice_of_its_own() {
        let both = timers("100", "1000").fails(MISMATCH, component("etcd-events"), Critical);
        let both = both.settings(
            "etcd-events",
            &[("heartbeat-interval", "1000"), ("election-timeout", "3000")],
        );
        let events = both.find("election-timeout-etcd-events").unwrap();
        assert_eq!(events.proposed, "10000");
        assert_eq!(
            (events.target.as_str(), events.now.as_deref()),
            ("etcd-events", Some("3000"))
        );
        assert!(both.find("election-timeout").is_none(), "the main one fits");
    }
    #[test]
    fn a_sync_that_is_too_long_is_outlasted_only_until_it_is_mended() {
        let member = || Subject::new(SubjectKind::Member, "cp0");
        let bucket = |le, count| Bucket { le, count };
        let syncs = Histogram {
            buckets: vec![bucket(1_024.0, 0.0), bucket(2_048.0, 500.0)],
            sum: 750_000.0,
            max: None,
        };
        for cause in [Cause::Disk, Cause::Cpu, Cause::Unknown] {
            let advice = Plane::with(cause)
                .put(&keys::WAL_FSYNC, member(), syncs.clone())
                .settings("etcd", &[("election-timeout", "800")])
                .fails(MISMATCH, component("etcd"), Warn)
                .citing(&keys::WAL_FSYNC, &member())
                .find("election-timeout")
                .unwrap();
            // Once the longest sync, and not ten times.
            assert_eq!(advice.proposed, "2500");
            assert_eq!(advice.strength, Strength::Candidate);
            assert_eq!(advice.confidence, Confidence::Medium);
            assert!(advice.why.contains("only until the disk or the CPU"));
        }
    }
}
