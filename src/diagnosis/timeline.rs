//! What happened on all members and components in one order, with the first cause marked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::evidence::{EvidenceSet, Reading, Shape, Subject, SubjectKind};

use super::cause::{Cause, CauseFound};
use super::who::Skew;

/// Most entries.
const MOST: usize = 500;
/// Trouble within so much of a start belongs to the start.
const START_US: i64 = 20_000_000;

/// The part that an entry plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// Nothing special.
    #[default]
    None,
    /// The first sign of the root cause: what comes later may follow from it.
    FirstCause,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// First sign, by kube-apiserver's clock where the member's is known to differ.
    pub from: Timestamp,
    /// Last sign.
    pub to: Timestamp,
    /// Who told of it.
    pub subject: Subject,
    /// Kind of message.
    pub kind: String,
    /// `fault`, `symptom`, `request`, `change`, ….
    pub nature: String,
    /// Signs.
    pub count: u64,
    /// The worst one's size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ms: Option<f64>,
    /// A detail.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Done on purpose.
    pub planned: bool,
    /// Its part.
    pub mark: Mark,
}

/// Kubernetes' objective for its longest answers, whole lists (kubernetes/community: api_call_latency.md).
const LONGEST_LIST_MS: f64 = 30_000.0;
/// What no start, stop or roll-out brings along, although it is not told as a fault.
const NEVER: [&str; 2] = ["apply-entries-slow", "cluster-id-mismatch"];

impl Entry {
    /// Whether it is a sign of trouble by itself, however few there are: a fault that nobody meant, or
    /// a list that took far too long. That clients try again, and that probes break off, is none.
    pub fn is_sign(&self) -> bool {
        let long =
            self.kind == "apiserver-trace" && self.max_ms.is_some_and(|ms| ms >= LONGEST_LIST_MS);
        // Scans and probes show no certificate.
        let expired =
            self.kind == "rejected-connection" && self.detail.contains("certificate has expired");
        let never = NEVER.contains(&self.kind.as_str());
        !self.planned && (self.nature == "fault" || never || long || expired)
    }
}

/// The signs of trouble that belong to no start, by their kinds: how many, and the worst one's size.
pub(super) fn signs(entries: &[Entry]) -> BTreeMap<&str, (u64, Option<f64>)> {
    let starts: Vec<Timestamp> = starts(entries).collect();
    let mut signs: BTreeMap<&str, (u64, Option<f64>)> = BTreeMap::new();
    for entry in entries {
        if entry.is_sign() && !is_of_start(entry, &starts) {
            let (count, max_ms) = signs.entry(&entry.kind).or_default();
            *count += entry.count;
            *max_ms = max_ms.map_or(entry.max_ms, |max| {
                entry.max_ms.map(|ms| ms.max(max)).or(Some(max))
            });
        }
    }
    signs
}

fn starts(entries: &[Entry]) -> impl Iterator<Item = Timestamp> {
    let is_start = |entry: &&Entry| entry.kind.ends_with("-start");
    entries.iter().filter(is_start).map(|entry| entry.from)
}

fn is_of_start(entry: &Entry, starts: &[Timestamp]) -> bool {
    starts
        .iter()
        .any(|start| (0..=START_US).contains(&entry.from.since_us(*start)))
}

/// Kinds of messages that are a cause's own, not what follows from it.
fn own(cause: Cause) -> &'static [&'static str] {
    match cause {
        Cause::MemberDown => &[
            "fatal-exit",
            "member-bootstrapped",
            "panic",
            "peer-inactive",
            "peer-unreachable",
            "storage-damaged",
            "storage-io-error",
            "stream-lost",
        ],
        Cause::Disk => &["wal-sync-slow", "kernel-io-error", "disk-full"],
        Cause::Cpu => &["tick-missed", "heartbeat-late"],
        Cause::Network => &[
            "peer-inactive",
            "peer-unhealthy",
            "raft-message-dropped",
            "stream-lost",
            "readindex-retry",
        ],
        Cause::QueryLoad => &["slow-apply", "apiserver-trace", "request-stats"],
        Cause::Space => &[
            "quota-exceeded",
            "alarm-raised",
            "health-alarm",
            "etcd-error-no-space",
            "disk-full",
        ],
        Cause::ClientThrottling => &["client-throttled", "client-limiter-error"],
        Cause::ApiserverSaturation => &["api-too-many-requests"],
        Cause::Config | Cause::None | Cause::Unknown => &[],
    }
}

/// Kinds of messages that follow from a cause and come before its own: etcd logs a slow request
/// from 100 ms on, a sync from a second on.
fn early(cause: Cause) -> &'static [&'static str] {
    match cause {
        Cause::Disk | Cause::Cpu | Cause::Network => &["slow-apply"],
        _ => &[],
    }
}

/// Puts all episodes in one order.
pub(super) fn timeline(
    evidence: &EvidenceSet,
    primary: Option<&CauseFound>,
    skews: &[Skew],
) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for record in evidence.records() {
        let Reading::Known(Shape::Episodes(list)) = &record.value else {
            continue;
        };
        let ahead = skews
            .iter()
            .find(|skew| {
                record.subject.kind == SubjectKind::Member && record.subject.name == skew.member
            })
            .map_or(0, |skew| skew.secs * 1_000_000);
        entries.extend(list.episodes.iter().map(|episode| Entry {
            from: episode.from.add_us(-ahead),
            to: episode.to.add_us(-ahead),
            subject: record.subject.clone(),
            kind: episode.kind.clone(),
            nature: episode.nature.clone(),
            count: episode.count,
            max_ms: episode.max_ms,
            detail: episode.detail.clone(),
            planned: episode.planned,
            mark: Mark::None,
        }));
    }
    entries.sort_by(|a, b| {
        (a.from, a.to, &a.subject, &a.kind).cmp(&(b.from, b.to, &b.subject, &b.kind))
    });
    if let Some(primary) = primary {
        let kinds = own(primary.cause);
        let starts: Vec<Timestamp> = starts(&entries).collect();
        let of_start = |entry: &Entry| is_of_start(entry, &starts);
        let find = |kinds: &[&str], fits: &dyn Fn(&Entry) -> bool| {
            entries.iter().position(|entry| {
                !entry.planned && kinds.contains(&entry.kind.as_str()) && fits(entry)
            })
        };
        let own = find(kinds, &|entry| !of_start(entry)).map(|own| {
            // A start is slow by itself, but not as slow as what was found: that was there already.
            let alike = |entry: &Entry| {
                entries.get(own).is_some_and(|found| {
                    (&entry.kind, &entry.subject) == (&found.kind, &found.subject)
                        && matches!((entry.max_ms, found.max_ms), (Some(one), Some(other)) if one * 2.0 >= other)
                })
            };
            find(kinds, &alike).map_or(own, |first| first.min(own))
        });
        // What is slow until the cause shows itself is slow for it; without a sign of its own the
        // slowness is all that is seen of it.
        let shown = own.and_then(|at| entries.get(at)).map(|entry| entry.from);
        let slow = find(early(primary.cause), &|entry| {
            let leads = |shown| entry.from <= shown && shown <= entry.to;
            !of_start(entry) && shown.is_none_or(leads)
        });
        let first = slow.or(own).or_else(|| find(kinds, &|_| true));
        if let Some(entry) = first.and_then(|at| entries.get_mut(at)) {
            entry.mark = Mark::FirstCause;
        }
    }
    if entries.len() > MOST {
        // Trouble stays, and of the rest what is next to it in time is no more than the bound.
        let keep = |entry: &Entry| {
            entry.mark == Mark::FirstCause || matches!(entry.nature.as_str(), "fault" | "symptom")
        };
        let mut room = MOST.saturating_sub(entries.iter().filter(|entry| keep(entry)).count());
        entries.retain(|entry| {
            keep(entry) || {
                let fits = room > 0;
                room = room.saturating_sub(1);
                fits
            }
        });
        entries.truncate(MOST);
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::Role;
    use crate::evidence::{Collector, Episode, Episodes, Origin, Window, keys};

    fn episode(kind: &str, at: i64) -> Episode {
        Episode {
            kind: kind.to_owned(),
            from: Timestamp(at * 1_000_000),
            to: Timestamp((at + 1) * 1_000_000),
            count: 1,
            max_ms: None,
            detail: String::new(),
            nature: "fault".to_owned(),
            planned: false,
        }
    }

    fn found(cause: Cause) -> CauseFound {
        CauseFound {
            cause,
            role: Role::Primary,
            confidence: 0.9,
            summary: String::new(),
            subject: None,
            rules: Vec::new(),
            evidence: Vec::new(),
            client: None,
            client_unknown: None,
        }
    }

    #[test]
    fn signs_are_faults_and_what_took_far_too_long_outside_of_starts() {
        let entry = |kind: &str, nature: &str, at: i64, max_ms: Option<f64>| Entry {
            from: Timestamp(at * 1_000_000),
            to: Timestamp(at * 1_000_000),
            subject: Subject::cluster(),
            kind: kind.to_owned(),
            nature: nature.to_owned(),
            count: 2,
            max_ms,
            detail: String::new(),
            planned: false,
            mark: Mark::None,
        };
        let all = [
            entry("etcd-start", "change", 10, None),
            // A start brings that along.
            entry("no-leader-drop", "fault", 12, None),
            entry("readindex-timeout", "fault", 100, Some(7_000.0)),
            entry("readindex-timeout", "fault", 200, Some(6_000.0)),
            entry("apiserver-trace", "request", 300, Some(29_000.0)),
            entry("apiserver-trace", "request", 301, Some(57_000.0)),
            // Everyday life.
            entry("workqueue-retry", "symptom", 400, None),
            entry("rejected-connection", "symptom", 401, None),
            Entry {
                planned: true,
                ..entry("leader-lost", "fault", 500, None)
            },
            Entry {
                detail: "x509: certificate has expired or is not yet valid".to_owned(),
                ..entry("rejected-connection", "symptom", 600, None)
            },
        ];
        let found: Vec<_> = signs(&all).into_iter().collect();
        assert_eq!(
            found,
            [
                ("apiserver-trace", (2, Some(57_000.0))),
                ("readindex-timeout", (4, Some(7_000.0))),
                ("rejected-connection", (2, None)),
            ]
        );
    }

    /// The kinds that are marked among slow requests, an answer of another program, and a stall.
    #[test]
    fn slow_requests_that_lead_to_the_cause_are_its_first_sign() {
        let marked = |cause: Cause, slow: (i64, i64), stall: Option<i64>| -> Vec<String> {
            let mut episodes = vec![episode("api-version-too-large", 120)];
            episodes.push(Episode {
                from: Timestamp::from_secs(slow.0),
                to: Timestamp::from_secs(slow.1),
                nature: "request".to_owned(),
                ..episode("slow-apply", slow.0)
            });
            episodes.extend(stall.map(|at| episode("wal-sync-slow", at)));
            let mut set = EvidenceSet::new();
            set.put(
                &keys::LOGS_EPISODES,
                Subject::new(SubjectKind::Member, "cp0"),
                Window::default(),
                Origin::new(Collector::Logs, "t"),
                Episodes {
                    episodes,
                    dropped: 0,
                },
            );
            timeline(&set, Some(&found(cause)), &[])
                .into_iter()
                .filter(|entry| entry.mark == Mark::FirstCause)
                .map(|entry| entry.kind)
                .collect()
        };
        let disk = Cause::Disk;
        assert_eq!(marked(disk, (100, 200), Some(150)), ["slow-apply"]);
        // A list that was slow long before is another matter.
        assert_eq!(marked(disk, (100, 110), Some(150)), ["wal-sync-slow"]);
        assert_eq!(marked(Cause::Cpu, (100, 110), None), ["slow-apply"]);
        assert!(marked(Cause::Space, (100, 110), None).is_empty());
    }

    #[test]
    fn a_stall_in_a_start_that_is_as_long_as_the_later_ones_is_the_first_sign() {
        let marked = |first_ms: f64| {
            let stall = |at, ms| Episode {
                max_ms: Some(ms),
                ..episode("wal-sync-slow", at)
            };
            let episodes = vec![
                episode("etcd-start", 90),
                stall(101, first_ms),
                stall(131, 5_010.0),
            ];
            let mut set = EvidenceSet::new();
            set.put(
                &keys::LOGS_EPISODES,
                Subject::new(SubjectKind::Member, "cp0"),
                Window::default(),
                Origin::new(Collector::Logs, "t"),
                Episodes {
                    episodes,
                    dropped: 0,
                },
            );
            let told = timeline(&set, Some(&found(Cause::Disk)), &[]);
            let mut told = told.iter().filter(|entry| entry.mark == Mark::FirstCause);
            told.next().map(|entry| entry.from.secs())
        };
        assert_eq!(marked(5_000.0), Some(101));
        assert_eq!(marked(1_100.0), Some(131));
    }

    #[test]
    fn members_and_components_are_merged_and_the_first_cause_is_marked() {
        let mut set = EvidenceSet::new();
        let mut put = |subject: Subject, episodes: Vec<Episode>| {
            let value = Episodes {
                episodes,
                dropped: 0,
            };
            set.put(
                &keys::LOGS_EPISODES,
                subject,
                Window::default(),
                Origin::new(Collector::Logs, "t"),
                value,
            );
        };
        let member = |name: &str| Subject::new(SubjectKind::Member, name);
        put(
            member("cp0"),
            vec![
                episode("etcd-start", 90),
                episode("wal-sync-slow", 95),
                episode("heartbeat-late", 203),
            ],
        );
        // Ten seconds ahead.
        put(member("cp1"), vec![episode("wal-sync-slow", 210)]);
        put(
            Subject::new(SubjectKind::Component, "kube-scheduler"),
            vec![episode("leaderelection-lost", 215)],
        );
        let cause = found(Cause::Disk);
        let skews = [Skew {
            member: "cp1".to_owned(),
            secs: 10,
            found: 1.0,
            found_unshifted: 0.0,
        }];
        let told = timeline(&set, Some(&cause), &skews);
        let short: Vec<(i64, &str, Mark)> = told
            .iter()
            .map(|entry| (entry.from.secs(), entry.kind.as_str(), entry.mark))
            .collect();
        assert_eq!(
            short,
            [
                (90, "etcd-start", Mark::None),
                // A start is slow by itself.
                (95, "wal-sync-slow", Mark::None),
                (200, "wal-sync-slow", Mark::FirstCause),
                (203, "heartbeat-late", Mark::None),
                (215, "leaderelection-lost", Mark::None),
            ]
        );
    }
}
