//! Facts that clear or prove causes, read from the evidence once.

use std::collections::BTreeSet;

use crate::evidence::{Citation, Collector, EvidenceSet, Reader, Reading, Subject, keys};
use crate::profile::Profile;
use crate::rules::{Finding, Severity, phases};

use super::cover::{self, Lacks, cover_of};
use super::links::{self, Complaint};
use super::measured::{self, ByNode, Measured, is_etcd, unanswered};
use super::members::{self, Members};
use super::{late, seats, unseen};

/// Fewer WAL syncs than this make no p99.
pub(super) const MIN_SYNCS: f64 = 100.0;

/// The node that a subject is on: a member's name is its node's, `NODE/events` for a second etcd.
pub(super) fn node_of(subject: &Subject) -> String {
    subject.node_name().to_owned()
}

/// Whether raft's clock was late more often than a sync took over a second.
fn ticks_over_syncs(reader: &Reader<'_>) -> bool {
    let events = reader.all(&keys::LOGS_EVENTS);
    let count = |kind: &str| -> f64 {
        let rows = events.iter().filter_map(|(_, table)| table.row(kind));
        rows.map(|row| row.get("count").unwrap_or(0.0) - row.get("settling").unwrap_or(0.0))
            .sum()
    };
    count("tick-missed") > count("wal-sync-slow")
}

/// A quota that is reached within so many seconds is as good as reached: nobody comes in time.
const FULL_SOON_SECS: f64 = 600.0;

/// What is known besides the findings.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Whose logs were read.
    logs: Seen,
    /// Whose metrics were read.
    seen_metrics: Seen,
    /// Metrics over a window were read.
    pub(super) metrics: bool,
    /// A kube-apiserver has fewer seats than its defaults give.
    pub(super) few_seats: bool,
    /// kube-apiserver's counts say that etcd answers quickly on average.
    pub(super) etcd_answers: bool,
    /// etcd itself was looked at: its log or its metrics.
    pub(super) etcd_seen: bool,
    /// The quota is reached within minutes, as the growth goes.
    pub(super) full_soon: bool,
    /// The audit log was read.
    pub(super) audit: bool,
    /// Whose settings were read.
    seen_settings: Seen,
    /// The mounts under etcd were read.
    pub(super) mounts: bool,
    /// Every device under etcd that was measured is fast.
    pub(super) device_fast: Option<Vec<Citation>>,
    /// The devices under etcd by node: good when all that a sync waits for is fast.
    devices: ByNode,
    /// Flushes of some device under etcd were timed.
    pub(super) flushes_seen: bool,
    /// Layers above those devices whose writes were not timed.
    unmeasured_layers: Vec<String>,
    /// What the times of measurements lack.
    lacks: Lacks,
    /// etcd's CPU by node: good when it was not held back.
    cpus: ByNode,
    /// How long etcd waited for a CPU was measured on some node.
    pub(super) run_delay_seen: bool,
    /// Nodes where etcd surely did not wait for a CPU, which its limit does not tell.
    run_delay_known: BTreeSet<String>,
    /// Nodes where etcd waited for a CPU often, and each time too shortly to be felt.
    pub(super) short_waits: BTreeSet<String>,
    /// Throttling that a long window may hide, in words.
    pub(super) throttling_hidden: Option<String>,
    /// Members whose own probes of their peers come back at once: a process that is kept from running
    /// would be late with them.
    answering: ByNode,
    /// Members whose median WAL sync is above the limit: each one is slow, not only a few.
    pub(super) steadily_slow: BTreeSet<String>,
    /// How many nodes with etcd the evidence knows.
    etcd_nodes: usize,
    /// p99 of WAL fsync is within the limit on every member.
    pub(super) fsync_fast: Option<Vec<Citation>>,
    /// etcd's CPU was measured and it was not held back.
    pub(super) cpu_free: Option<Vec<Citation>>,
    /// kube-apiserver traced more requests as slow than a start makes.
    pub(super) slow_traces: bool,
    /// Round trips to peers were measured.
    rtt_seen: bool,
    /// Members at which all slow links meet.
    pub(super) late_ends: BTreeSet<String>,
    /// Slow links have both ends at members that are in time.
    pub(super) slow_apart: bool,
    /// Devices whose flushes are fast while their writes are those of a defragmentation.
    pub(super) rewritten: BTreeSet<Subject>,
    /// The slow links were looked at no more than once.
    pub(super) one_look: bool,
    /// Members whose WAL syncs were measured and are within the limit.
    pub(super) prompt: BTreeSet<String>,
    /// What members say of their links to peers, by time.
    pub(super) complaints: Vec<Complaint>,
    /// How many members the cluster has, as far as anything tells.
    pub(super) members: usize,
    /// Round trips to peers were measured and are fast.
    pub(super) network_fast: Option<Vec<Citation>>,
    /// There is only one member, so that no peer can be slow.
    pub(super) single_member: bool,
    /// The apiserver gets its answers from etcd fast.
    pub(super) etcd_fast: Option<Vec<Citation>>,
    /// Largest CPU use of an etcd process, in cores.
    pub(super) etcd_cpu: Option<f64>,
    /// What share of the time for which requests hold seats is spent in webhooks, where it is most of it.
    pub(super) webhook_share: Option<f64>,
    /// Members that no log, metric or host fact is of, in words.
    unseen_members: Option<String>,
    /// What some members gave and others did not, in words.
    unseen_parts: Vec<String>,
    /// Readings are of runs with an hour or more between them.
    pub(super) several_runs: bool,
    /// Whose metrics are those of one scrape, in words.
    one_scrape: Vec<String>,
    /// Raft's clock could not tick more often than a sync was slow.
    pub(super) ticks_over_syncs: bool,
}

impl Facts {
    /// Reads the facts.
    pub(super) fn of(evidence: &EvidenceSet, profile: &Profile) -> Self {
        let reader = Reader::new(evidence);
        let has = |collector: Collector| {
            evidence.records().any(|record| {
                record.origin.collector == collector && matches!(record.value, Reading::Known(_))
            })
        };
        let logs = Seen::in_logs(&reader, has(Collector::Logs));
        let seen_metrics = Seen::in_metrics(&reader);
        let mut facts = Facts {
            etcd_seen: logs.etcd || seen_metrics.etcd,
            logs,
            seen_metrics,
            full_soon: reader
                .all(&keys::DB_TIME_TO_FULL)
                .iter()
                .any(|(_, secs)| *secs < FULL_SOON_SECS),
            few_seats: seats::few(&reader, profile),
            etcd_answers: etcd_answers(&reader, profile),
            audit: !reader.all(&keys::LOGS_AUDIT_CLIENTS).is_empty(),
            metrics: !reader.all(&keys::WAL_FSYNC).is_empty()
                || !reader.all(&keys::APISERVER_ETCD_TOOK).is_empty(),
            seen_settings: Seen::in_settings(&reader),
            mounts: !reader.all(&keys::MOUNTS).is_empty(),
            ..Facts::default()
        };
        facts.etcd_nodes = members::nodes(evidence);
        facts.lacks = cover::lacks(&reader, profile);
        facts.devices = measured::devices(&reader, profile);
        facts.device_fast = measured::all_good(&facts.devices);
        facts.run_delay_seen = reader
            .all(&keys::RUN_DELAY)
            .iter()
            .any(|(subject, _)| is_etcd(subject));
        facts.flushes_seen = !reader.all(&keys::DEVICE_FLUSH_TIME).is_empty();
        facts.unmeasured_layers = measured::unmeasured_layers(&reader);
        let cpus = measured::cpus(&reader, profile);
        (facts.cpus, facts.run_delay_known) = (cpus.by, cpus.delay_known);
        facts.throttling_hidden = cpus.hidden;
        facts.short_waits = measured::short_waits(&reader, profile);
        facts.answering = measured::answering(&reader, profile);
        facts.steadily_slow = steadily_slow(&reader, profile);
        facts.fsync_fast = fsync_fast(&reader, profile);
        facts.cpu_free = facts.cpus_all_free();
        facts.rtt_seen = !reader.all(&keys::PEER_RTT).is_empty();
        facts.network_fast = network_fast(&reader, profile);
        facts.late_ends = late::common_ends(&reader, profile);
        facts.one_look = late::one_look(&reader, profile);
        facts.prompt = late::prompt(&reader, profile);
        facts.slow_apart = late::apart(&reader, profile, &|node| {
            facts.prompt.contains(node)
                || (facts.fast_device(node).is_some() && facts.free_cpu(node))
        });
        facts.rewritten = measured::rewritten(&reader, profile);
        facts.complaints = links::complaints(&reader);
        let members = Members::of(evidence);
        (facts.members, facts.single_member) = (members.least, members.is_single());
        facts.etcd_fast = etcd_fast(&reader, profile);
        facts.etcd_cpu = reader
            .all(&keys::PROCESS_CPU)
            .into_iter()
            .filter(|(subject, _)| is_etcd(subject))
            .map(|(_, cores)| cores)
            .reduce(f64::max);
        let traces = reader.all(&keys::LOGS_TRACES);
        let traced: f64 = traces.iter().map(|(_, table)| table.total("count")).sum();
        facts.slow_traces = traced >= profile.get("slow-requests-min");
        facts.ticks_over_syncs = ticks_over_syncs(&reader);
        facts.webhook_share = seats::webhook_share(&reader, profile);
        facts.one_scrape = unseen::second_scrapes(&reader);
        facts.unseen_members = unseen::members(&reader, members, evidence);
        facts.unseen_parts = unseen::parts(&reader, members.least, evidence);
        facts.several_runs = !evidence.runs().is_empty();
        facts
    }

    /// The readings that clear etcd's CPU on every node: no limit held it back, and it did not wait
    /// for a CPU, as its run delay tells or syncs that come back in time.
    fn cpus_all_free(&self) -> Option<Vec<Citation>> {
        let mut cites = measured::all_good(&self.cpus)?;
        let known = |node| self.run_delay_known.contains(node);
        if !self.cpus.keys().all(known) {
            cites.extend(self.fsync_fast.clone()?);
        }
        Some(cites)
    }

    /// What was measured on a node. Where the evidence knows one node with etcd only, the names that
    /// different sources give it do not matter.
    fn on<'a>(&self, all: &'a ByNode, node: &str) -> Option<&'a Measured> {
        all.get(node).or_else(|| match all.len() {
            1 if self.etcd_nodes <= 1 => all.values().next(),
            _ => None,
        })
    }

    /// The readings that clear the device under etcd on a node.
    pub(super) fn fast_device(&self, node: &str) -> Option<&[Citation]> {
        let measured = self.on(&self.devices, node).filter(|m| m.good)?;
        Some(&measured.cites)
    }

    /// Whether etcd on a node was surely not kept from running by a limit.
    pub(super) fn free_cpu(&self, node: &str) -> bool {
        self.on(&self.cpus, node).is_some_and(|m| m.good)
    }

    /// Whether etcd on a node was surely not kept from running by anything.
    pub(super) fn runs_freely(&self, node: &str) -> bool {
        let known = self.run_delay_known.contains(node)
            || (self.etcd_nodes <= 1 && self.run_delay_known.len() == 1);
        (known && self.free_cpu(node)) || self.on(&self.answering, node).is_some_and(|m| m.good)
    }

    /// Whether something was seen of every member that is known of.
    pub(super) fn all_seen(&self) -> bool {
        self.unseen_members.is_none()
    }

    /// What is lacking for an all-clear, in words: kinds of evidence, or whose.
    pub(super) fn missing(&self) -> Vec<String> {
        let mut missing = self.logs.missing("logs");
        let mut metrics = self.seen_metrics;
        // What holds a controller manager back is in its log as well.
        metrics.controllers |= self.logs.controllers;
        missing.extend(metrics.missing("metrics"));
        missing.extend(self.seen_settings.missing("settings"));
        if !self.mounts {
            missing.push("mounts".to_owned());
        }
        missing
    }

    /// What an all-clear lacks beside kinds of evidence: members that nobody looked at, and a second
    /// scrape of what was scraped once, which tells the time since a start and not the present.
    pub(super) fn not_looked_at(&self) -> Vec<String> {
        let members = self.unseen_members.iter().chain(&self.unseen_parts);
        members.chain(&self.one_scrape).cloned().collect()
    }

    /// Members that nobody looked at, in words.
    pub(super) fn unseen_members(&self) -> Option<String> {
        self.unseen_members.clone()
    }

    /// What would tell one cause from another and was not read, in words.
    pub(super) fn would_tell(&self, findings: &[Finding]) -> Vec<String> {
        let fails = |rules: &[&str]| {
            let mut worse = findings.iter().filter(|f| f.severity >= Severity::Warn);
            worse.any(|f| f.failed() && rules.contains(&f.rule.as_str()))
        };
        let disk_open = self.device_fast.is_none() && !self.devices.values().any(|m| m.ill);
        let cpu_open = self.cpu_free.is_none() && !self.cpus.values().any(|m| m.ill);
        // etcd is fast by its own account, and waited for all the same.
        let between = fails(&["etcd-requests-slow"])
            && self.fsync_fast.is_some()
            && !fails(&["slow-requests", "backend-commit-slow"]);
        let mut lacking: Vec<String> = self.unseen_members.iter().cloned().collect();
        let open = [
            (
                disk_open && !self.flushes_seen,
                "flush times of the device under etcd (host evidence; the kernel counts them from 5.5 on)",
            ),
            (
                cpu_open,
                "CPU throttling and run delay of all threads of etcd (host evidence)",
            ),
            (
                !self.rtt_seen && !self.single_member,
                "round trips between members (etcd's metrics, two scrapes)",
            ),
            (
                between,
                "what lies between kube-apiserver and etcd: round trips, proxies, the CPU of kube-apiserver",
            ),
            // It tells who asks for what: nothing of a leader that is gone, of a webhook, or of what etcd
            // does with its own database.
            (
                !self.audit
                    && !between
                    && fails(ASKED)
                    && !fails(&["leader-missing", "webhook-slow"])
                    && !fails(UPKEEP),
                "the apiserver's audit log",
            ),
            (
                fails(&["leases-granted-fast"]),
                "which client of etcd grants the leases (its connections to port 2379)",
            ),
            (
                fails(&["webhook-slow"]),
                "logs and metrics of the webhook, and of the way to it",
            ),
            (
                fails(&["oom-killed"]),
                "the memory of all processes before the kill, over time",
            ),
            (
                self.lacks.uncovered,
                "more of the time of the trouble in logs, metrics and host facts",
            ),
            (
                self.lacks.diluted && (disk_open || cpu_open),
                "samples of the host that lie closer together than the trouble is long",
            ),
        ];
        let words = open.into_iter().filter(|(lacks, _)| *lacks);
        lacking.extend(words.map(|(_, words)| words.to_owned()));
        if disk_open && !self.unmeasured_layers.is_empty() {
            lacking.push(format!(
                "write times of {} (host evidence: two samples of /proc/diskstats)",
                self.unmeasured_layers.join(", ")
            ));
        }
        lacking
    }
}

/// Rules about what etcd does with its own database, which holds requests up by itself.
pub(super) const UPKEEP: &[&str] = &["compaction-saw-tooth", DEFRAGMENTED];

/// The rule of defragmentations.
pub(super) const DEFRAGMENTED: &str = "defragmentation-stalls";

/// Rules about requests: who asks for what can be behind them.
const ASKED: &[&str] = &[
    "api-slo-missed",
    "apf-queue-waits",
    "apf-rejections",
    "apiserver-timeouts",
    "client-heavy-lists",
    "client-hot-loop",
    "etcd-requests-slow",
    "events-dominate",
    "expensive-lists",
    "object-limits",
    "slow-requests",
];

/// Of which programs of a control plane there is evidence of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    any: bool,
    etcd: bool,
    apiserver: bool,
    controllers: bool,
}

impl Seen {
    /// In logs: by the programs whose lines were read.
    fn in_logs(reader: &Reader<'_>, any: bool) -> Self {
        let mut seen = Seen {
            any,
            ..Seen::default()
        };
        for (_, table) in reader.all(&keys::LOGS_COVERAGE) {
            for row in &table.rows {
                let name = row.key.split(" on ").next().unwrap_or_default();
                // One program that holds all of them writes one log.
                let all = ["k3s", "k0s", "rke2"]
                    .iter()
                    .any(|one| name.starts_with(one));
                // A second etcd's log tells nothing of the first one.
                seen.etcd |= all || name == "etcd";
                seen.apiserver |= all || name == "kube-apiserver";
                seen.controllers |= all || name == "kube-controller-manager";
            }
        }
        seen
    }

    /// In settings: by the components whose files, units or processes told any.
    fn in_settings(reader: &Reader<'_>) -> Self {
        let all = reader.all(&keys::SETTINGS);
        let of = |name: &str| all.iter().any(|(subject, _)| subject.name == name);
        let etcd = all.iter().any(|(subject, _)| is_etcd(subject));
        Seen {
            any: !all.is_empty(),
            etcd,
            apiserver: of("kube-apiserver"),
            controllers: of("kube-controller-manager"),
        }
    }

    fn in_metrics(reader: &Reader<'_>) -> Self {
        let controllers = reader
            .all(&keys::CLIENT_LIMITER_WAIT)
            .iter()
            .map(|(subject, _)| subject)
            .chain(
                reader
                    .all(&keys::WORKQUEUES)
                    .iter()
                    .map(|(subject, _)| subject),
            )
            .any(|subject| subject.name == "kube-controller-manager");
        // A member without a leader syncs nothing.
        let etcd =
            !reader.all(&keys::WAL_FSYNC).is_empty() || !reader.all(&keys::HAS_LEADER).is_empty();
        let apiserver = !reader.all(&keys::APISERVER_ETCD_TOOK).is_empty();
        Seen {
            any: etcd || apiserver || controllers,
            etcd,
            apiserver,
            controllers,
        }
    }

    /// Whose evidence of this kind is lacking.
    fn missing(self, what: &str) -> Vec<String> {
        if !self.any {
            return vec![what.to_owned()];
        }
        [
            (self.etcd, "etcd"),
            (self.apiserver, "kube-apiserver"),
            (self.controllers, "kube-controller-manager"),
        ]
        .iter()
        .filter(|(there, _)| !there)
        .map(|(_, name)| format!("{what} of {name}"))
        .collect()
    }
}

fn steadily_slow(reader: &Reader<'_>, profile: &Profile) -> BTreeSet<String> {
    let limit = profile.get("wal-fsync-p99");
    reader
        .all(&keys::WAL_FSYNC)
        .into_iter()
        .filter(|(_, syncs)| syncs.count() >= MIN_SYNCS)
        .filter(|(_, syncs)| syncs.bracket(0.5).is_some_and(|(low, _)| low >= limit))
        .map(|(subject, _)| node_of(&subject))
        .collect()
}

fn fsync_fast(reader: &Reader<'_>, profile: &Profile) -> Option<Vec<Citation>> {
    let limit = profile.get("wal-fsync-p99");
    let all = reader.all(&keys::WAL_FSYNC);
    let mut enough = 0;
    for (subject, histogram) in &all {
        if histogram.count() < MIN_SYNCS {
            continue;
        }
        let cover = cover_of(reader, profile, &keys::WAL_FSYNC, subject, None)?;
        enough += 1;
        // A good window may hold a bad phase.
        let bad_phase = reader
            .peek(&keys::WAL_FSYNC_PHASES, subject)
            .and_then(|table| phases::worst(&table, profile))
            .is_some_and(|worst| worst.low >= profile.get("wal-fsync-p99-critical"));
        if bad_phase {
            return None;
        }
        // The bracket may straddle the limit: that is not slow.
        let p99 = histogram.bracket(cover.quantile(0.99));
        if p99.is_none_or(|(low, _)| low >= limit) {
            return None;
        }
        reader.cite(&keys::WAL_FSYNC, subject);
    }
    (enough > 0).then(|| reader.take_citations())
}

fn network_fast(reader: &Reader<'_>, profile: &Profile) -> Option<Vec<Citation>> {
    let limit = profile.get("peer-rtt-p99");
    let mut measured = 0;
    for (subject, histogram) in reader.all(&keys::PEER_RTT) {
        if histogram.count() <= 0.0 {
            continue;
        }
        measured += 1;
        let cover = cover_of(reader, profile, &keys::PEER_RTT, &subject, None)?;
        let (low, _) = histogram.bracket(cover.quantile(0.99))?;
        let lost = unanswered(reader, &subject) || failing_sends(reader, &subject, profile);
        if low >= limit || lost {
            return None;
        }
        reader.cite(&keys::PEER_RTT, &subject);
    }
    (measured > 0).then(|| reader.take_citations())
}

/// Whether messages of a member to some peer failed more often than a restart's first moment makes
/// them: its round trips are those of the probes that came back.
fn failing_sends(reader: &Reader<'_>, member: &Subject, profile: &Profile) -> bool {
    let limit = profile.get("peer-sends-failed");
    let by_peer = reader.peek(&keys::PEER_RTT_BY, member);
    by_peer.is_some_and(|table| {
        let mut failures = table.rows.iter().filter_map(|row| row.get("send_failures"));
        failures.any(|count| count >= limit)
    })
}

/// Whether the requests that kube-apiserver counted by resource took little time on average; without a
/// histogram that is all that is known of etcd.
fn etcd_answers(reader: &Reader<'_>, profile: &Profile) -> bool {
    let tables = reader.all(&keys::APISERVER_ETCD_REQUESTS);
    let total = |column| -> f64 { tables.iter().map(|(_, table)| table.total(column)).sum() };
    let (requests, secs) = (total("requests"), total("total_secs"));
    requests > 0.0 && secs > 0.0 && secs * 1e3 / requests < profile.get("etcd-request-fast")
}

fn etcd_fast(reader: &Reader<'_>, profile: &Profile) -> Option<Vec<Citation>> {
    let fast = profile.get("etcd-request-fast");
    let mut measured = 0;
    for (subject, histogram) in reader.all(&keys::APISERVER_ETCD_TOOK) {
        let Some(mean) = histogram.mean() else {
            continue;
        };
        measured += 1;
        let cover = cover_of(reader, profile, &keys::APISERVER_ETCD_TOOK, &subject, None)?;
        let (p99, _) = histogram.bracket(cover.quantile(0.99))?;
        let whole_ms = mean * histogram.count();
        if !cover.within(mean, fast, whole_ms) || p99 >= profile.get("etcd-request-p99") {
            return None;
        }
        reader.cite(&keys::APISERVER_ETCD_TOOK, &subject);
    }
    (measured > 0).then(|| reader.take_citations())
}
