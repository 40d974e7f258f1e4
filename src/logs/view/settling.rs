//! What a member that was asked to stop, or that starts, brings along: its peers, its probes and its
//! clients say then what they say of one that fails.

use super::{PLANNED_US, START_US, View};
use crate::clock::Timestamp;
use crate::logs::writer;

/// A stopped member is away for so long before words about it count.
const STOP_US: i64 = 60_000_000;

/// A member that starts has its streams, and sends heartbeats in time, so long after it: what it
/// loses later was lost, and what it sends late it sends late.
const STREAMS_US: i64 = 10_000_000;

/// Kinds that tell of streams that stood, or of a leader that was at work.
const STOOD: &[&str] = &["heartbeat-late", "peer-inactive", "stream-lost"];

/// Starts of one program that are no further apart are those of a crash loop, and stops too.
const AGAIN_US: i64 = 600_000_000;

/// Kinds that every restart of kube-apiserver brings.
const OF_APISERVER: &[&str] = &[
    "apiserver-health-failed",
    "apiserver-post-timeout",
    // It fills its watch caches.
    "apiserver-storage-trace",
    "apiserver-webhook-trace",
    "apiservice-unavailable",
    "etcd-client-retry",
    "http-server-error",
    "http-timeout",
    "leaderelection-lock-error",
    "leaderelection-renew-failed",
    "lease-update-failed",
    "reflector-list-failed",
    "reflector-watch-failed",
    "webhook-failed",
];

/// Kinds that every restart of a member brings.
const SETTLES: &[&str] = &[
    // Of kube-apiserver, whose own health and answers rest on etcd's.
    "api-version-too-large",
    "apiserver-health-failed",
    "apiserver-post-timeout",
    "apiserver-storage-trace",
    "http-server-error",
    "http-timeout",
    // Of clients of etcd, kube-apiserver above all.
    "etcd-client-retry",
    "etcd-error-leader-changed",
    "etcd-error-no-leader",
    "etcd-unavailable",
    "grpc-connect-failed",
    "lease-revoke-failed",
    // Probes of a member that has no leader yet, or that wait for one.
    "health-error",
    "leadership-check-failed",
    "apply-behind",
    "failed-apply",
    "heartbeat-late",
    "read-loop-slow",
    "readindex-failed",
    "readstate-timeout",
    // Of controllers, who could not reach or change what they wanted meanwhile.
    "lease-update-failed",
    "leaderelection-lock-error",
    "leaderelection-renew-failed",
    "reflector-list-failed",
    "reflector-watch-failed",
    // Of the members among themselves.
    "election-started",
    "leader-lost",
    "no-leader-drop",
    "peer-dial-failed",
    "peer-inactive",
    "peer-unhealthy",
    "peer-unknown",
    "peer-unreachable",
    "publish-failed",
    "quorum-lost",
    "raft-message-dropped",
    "readindex-retry",
    "readindex-timeout",
    "stream-lost",
    "vote-ignored",
];

impl View {
    /// When members of a component stopped as they were asked to, or started; a start counts from
    /// so long before it, and until so long after it.
    fn calm(
        &self,
        component: &str,
        (before_us, after_us): (i64, i64),
    ) -> Vec<(Timestamp, Timestamp)> {
        let mut calm: Vec<(Timestamp, Timestamp)> = Vec::new();
        for (place, facts) in &self.facts {
            let of_etcd = writer::is_etcd(component) && writer::is_etcd(&place.component);
            if place.component != component && !of_etcd {
                continue;
            }
            let stops = first_of(facts.handovers.iter().copied());
            calm.extend(stops.map(|at| (at.add_us(-PLANNED_US), at.add_us(STOP_US))));
            let starts = first_of(facts.starts.iter().filter_map(|start| start.at));
            calm.extend(starts.map(|at| (at.add_us(-before_us), at.add_us(after_us))));
        }
        calm.sort_unstable();
        // Windows that touch are one: a rolling restart is one long one.
        let mut joined: Vec<(Timestamp, Timestamp)> = Vec::new();
        for (from, to) in calm {
            match joined.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => joined.push((from, to)),
            }
        }
        joined
    }

    /// Counts what only tells of a stop that was asked for or of a start. An episode that began
    /// before it, as a crash has, or that outlasts it is none of them.
    pub(super) fn mark_settling(&mut self) {
        let etcd = self.calm("etcd", (PLANNED_US, START_US));
        let stood = self.calm("etcd", (PLANNED_US, STREAMS_US));
        // It says nothing of its stop, and is away until its next start.
        let apiserver = self.calm("kube-apiserver", (STOP_US, START_US));
        for kind in &mut self.kinds {
            let name = kind.kind.as_str();
            let windows = [
                (SETTLES.contains(&name) && !STOOD.contains(&name), &etcd),
                (STOOD.contains(&name), &stood),
                (OF_APISERVER.contains(&name), &apiserver),
            ];
            let settles = |from: Timestamp, to: Timestamp| {
                windows
                    .iter()
                    .any(|(asked, windows)| *asked && holds(windows, from, to))
            };
            for episode in &mut self.episodes {
                if episode.kind == kind.kind
                    && episode.place == kind.place
                    && settles(episode.from, episode.to)
                {
                    episode.planned = true;
                    kind.settling += episode.count;
                }
            }
        }
    }
}

/// Those moments that do not follow another one closely: what stops or starts again and again was
/// not asked to.
fn first_of(moments: impl Iterator<Item = Timestamp>) -> impl Iterator<Item = Timestamp> {
    let mut moments: Vec<Timestamp> = moments.collect();
    moments.sort_unstable();
    let mut last: Option<Timestamp> = None;
    moments.into_iter().filter(move |at| {
        let again = last.is_some_and(|last| at.since_us(last) < AGAIN_US);
        last = Some(*at);
        !again
    })
}

/// Whether one of these windows, which are in order and apart, holds a stretch.
fn holds(windows: &[(Timestamp, Timestamp)], from: Timestamp, to: Timestamp) -> bool {
    let at = windows.partition_point(|window| window.1 < from);
    windows
        .get(at)
        .is_some_and(|window| window.0 <= from && to <= window.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::decode::{DecodeContext, Decoder};
    use crate::logs::event::Component;
    use crate::logs::record::Record;
    use crate::logs::scan::{Counter, TimeFilter};
    use crate::logs::summary::Summary;

    fn at(secs: u32) -> String {
        format!("20:{:02}:{:02}", 30 + secs / 60, secs % 60)
    }

    fn etcd(secs: u32, rest: &str) -> String {
        let at = at(secs);
        format!(r#"{{"level":"warn","ts":"2026-11-21T{at}.100000Z",{rest}}}"#)
    }

    fn started(secs: u32) -> String {
        etcd(
            secs,
            r#""caller":"embed/etcd.go:323","msg":"starting an etcd server","etcd-version":"3.6.14""#,
        )
    }

    fn stopped(secs: u32) -> String {
        etcd(
            secs,
            r#""caller":"osutil/interrupt_unix.go:64","msg":"received signal; shutting down","signal":"terminated""#,
        )
    }

    /// One failed probe: etcd says it twice.
    fn probe(secs: u32) -> [String; 2] {
        [
            etcd(
                secs,
                r#""caller":"etcdhttp/health.go:214","msg":"serving /health false; no leader""#,
            ),
            etcd(
                secs,
                r#""caller":"etcdhttp/health.go:101","msg":"/health error","output":"{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}","status-code":503"#,
            ),
        ]
    }

    /// kube-apiserver cannot connect, once a second.
    fn refused(secs: std::ops::Range<u32>) -> Vec<String> {
        secs.map(|secs| {
            format!(
                r#"W1121 {}.200000       1 logging.go:55] [core] [Channel #1 SubChannel #2]grpc: addrConn.createTransport failed to connect to {{Addr: "127.0.0.1:2379", }}. Err: connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:2379: connect: connection refused""#,
                at(secs)
            )
        })
        .collect()
    }

    /// How many of a kind there are, and how many of them are none of a failure.
    fn seen(streams: &[(Component, Vec<String>)], kind: &str) -> (u64, u64) {
        let streams = streams
            .iter()
            .map(|(component, lines)| {
                let mut counter = Counter::new(*component, TimeFilter::of(None, None));
                let mut decoder = Decoder::new(DecodeContext {
                    reference: Some(Timestamp::from_secs(1_795_400_000)),
                    ..DecodeContext::default()
                });
                decoder.block(lines.join("\n").as_bytes(), 1, &mut counter);
                decoder.finish(&mut |record: &Record<'_>| counter.add(record));
                let mut stream = counter.finish();
                stream.named = component.word().to_owned();
                stream
            })
            .collect();
        let view = View::of(&Summary {
            streams,
            ..Summary::default()
        });
        view.kinds
            .iter()
            .filter(|found| found.kind == kind)
            .fold((0, 0), |sum, found| {
                (sum.0 + found.row.count, sum.1 + found.settling)
            })
    }

    #[test]
    fn probes_before_the_first_leader_are_no_failure_and_count_once_each() {
        let mut lines = vec![started(0)];
        lines.extend((1..4).flat_map(probe));
        assert_eq!(seen(&[(Component::Etcd, lines)], "health-error"), (3, 3));
        // A member that finds no leader in half a minute has lost more than its start.
        let mut lines = vec![started(0)];
        lines.extend((1..60).flat_map(probe));
        assert_eq!(seen(&[(Component::Etcd, lines)], "health-error"), (59, 0));
    }

    #[test]
    fn a_start_explains_no_streams_that_stood() {
        let lost = |secs: u32| {
            etcd(
                secs,
                r#""caller":"rafthttp/stream.go:421","msg":"lost TCP streaming connection with remote peer","remote-peer-id":"8211f1d0f64f3269","error":"unexpected EOF""#,
            )
        };
        let of = |at: u32| {
            seen(
                &[(Component::Etcd, vec![started(0), lost(at)])],
                "stream-lost",
            )
        };
        assert_eq!(of(5), (1, 1));
        assert_eq!(of(12), (1, 0));
        // A stop that was asked for does.
        let stop = (Component::Etcd, vec![started(0), stopped(20), lost(21)]);
        assert_eq!(seen(&[stop], "stream-lost"), (1, 1));
    }

    #[test]
    fn clients_of_a_member_that_was_asked_to_stop_are_not_cut_off() {
        let clients = |secs| (Component::Apiserver, refused(secs));
        let member = (Component::Etcd, vec![stopped(10), started(16)]);
        let kind = "grpc-connect-failed";
        assert_eq!(seen(&[member.clone(), clients(10..17)], kind), (7, 7));
        // Before the stop, or for longer than it takes, it is something else.
        assert_eq!(seen(&[member.clone(), clients(4..17)], kind), (13, 0));
        assert_eq!(seen(&[member, clients(10..90)], kind), (80, 0));
        // A crash says nothing before its next start.
        let crashed = (Component::Etcd, vec![started(20)]);
        assert_eq!(seen(&[crashed, clients(10..21)], kind), (11, 0));
    }

    #[test]
    fn clients_of_an_apiserver_that_is_restarted_are_not_cut_off() {
        let lists = |secs: std::ops::Range<u32>| {
            let line = |secs| {
                format!(
                    r#"E1121 {}.200000       1 reflector.go:200] "Failed to watch" err="failed to list *v1.Pod: Get \"https://192.0.2.1:6443/api/v1/pods\": dial tcp 192.0.2.1:6443: connect: connection refused" logger="UnhandledError" reflector="k8s.io/client-go/informers/factory.go:160" type="*v1.Pod""#,
                    at(secs)
                )
            };
            (Component::ControllerManager, secs.map(line).collect())
        };
        let starts = |all: &[u32]| {
            let line = |secs: &u32| {
                format!(
                    "I1121 {}.000000       1 server.go:187] Version: v1.36.2",
                    at(*secs)
                )
            };
            (Component::Apiserver, all.iter().map(line).collect())
        };
        let kind = "reflector-list-failed";
        assert_eq!(seen(&[starts(&[20]), lists(12..24)], kind), (12, 12));
        // It was away for longer than a restart takes.
        assert_eq!(seen(&[starts(&[200]), lists(12..204)], kind), (192, 0));
        // One that starts again and again is not being restarted.
        let (all, calm) = seen(&[starts(&[20, 60, 100, 140]), lists(90..120)], kind);
        assert_eq!((all, calm), (30, 0));
    }
}
