//! What happened when: which kinds of message make episodes, and what came first.
//!
//! Signs of one kind on one node that lie close together are one episode. How close is a property
//! of the kind: the gap below is how long its cause can go on without a new line.

use crate::clock::Timestamp;

use super::aggregate::facts::{int, text};
use super::aggregate::runs::Run;
use super::event::Event;
use super::signature::{Extractor, Nature, Role, signature};

/// How signs of a kind become episodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Signs up to this far apart are one episode, in microseconds.
    pub gap_us: i64,
    /// The line is written when what it tells is over, so the episode began `took` before it.
    pub ends_at_line: bool,
    /// The line stands for so many microseconds of waiting before it, where it names none.
    pub waited_us: i64,
}

const SECOND: i64 = 1_000_000;
const DEFAULT: Rule = Rule {
    gap_us: 10 * SECOND,
    ends_at_line: false,
    waited_us: 0,
};

/// The rule of a kind, or `None` when it makes no episodes.
pub fn rule(kind: &str) -> Option<Rule> {
    Some(match kind {
        "slow-apply"
        | "wal-sync-slow"
        | "apply-entries-slow"
        | "apiserver-storage-trace"
        | "apiserver-trace"
        | "apiserver-webhook-trace"
        | "read-loop-slow"
        | "readindex-timeout"
        | "apply-behind"
        | "compaction-finished"
        | "defrag-finish"
        | "leader-transfer-finished" => Rule {
            ends_at_line: true,
            ..DEFAULT
        },
        // etcd retries every 500 ms (etcd: v3_server.go, readIndexRetryTime): twenty lines are one stall of 10 s.
        "readindex-retry" => Rule {
            waited_us: SECOND / 2,
            ..DEFAULT
        },
        // Peers are probed every few seconds, and the state is looked at every 30 s (etcd:
        // rafthttp/probing_status.go, statusMonitoringInterval).
        "clock-drift" | "peer-unhealthy" => Rule {
            gap_us: 65 * SECOND,
            ..DEFAULT
        },
        // Only a probe makes such a line, and probes come every 10 s or more rarely.
        "health-error" | "health-alarm" => Rule {
            gap_us: 35 * SECOND,
            ..DEFAULT
        },
        "request-stats" | "trace" | "audit-request" | "apply-debug" | "request-logged" => {
            return None;
        }
        kind => match signature(kind)?.nature {
            Nature::Fault | Nature::Symptom | Nature::Change | Nature::Planned => DEFAULT,
            Nature::Request | Nature::Noise => return None,
        },
    })
}

/// Whether a sign of a kind may have a detail: see `detail`. `extras` says whether its own fields
/// are read.
pub fn has_detail(kind: &str, extras: bool) -> bool {
    let Some(signature) = signature(kind) else {
        return true;
    };
    signature.extractor != Extractor::Fields
        || signature.fields.iter().any(|field| {
            field.role == Role::Error
                || extras
                    && matches!(
                        field.role.extra(),
                        Some("term" | "version" | "process" | "peer")
                    )
        })
}

/// The sign that an event is; its detail is left out where nobody would see it.
pub fn sign(event: &Event<'_>, at: Timestamp, rule: Rule, with_detail: bool) -> Run {
    Run {
        detail: if with_detail {
            detail(event)
        } else {
            String::new()
        },
        ..plain_sign(event.took_ns, event.repeats, at, rule)
    }
}

/// A sign without detail.
pub fn plain_sign(took_ns: Option<u64>, repeats: u64, at: Timestamp, rule: Rule) -> Run {
    let took_ns = took_ns.unwrap_or(0);
    let back_us = if rule.ends_at_line {
        i64::try_from(took_ns / 1000).unwrap_or(i64::MAX)
    } else {
        rule.waited_us
    };
    Run {
        from: at.add_us(back_us.saturating_neg()),
        to: at,
        count: repeats,
        max_ns: took_ns,
        detail: String::new(),
    }
}

/// One short text that tells this sign from others, never a value of an object.
fn detail(event: &Event<'_>) -> String {
    if event.kind == "slow-apply" {
        return String::new();
    }
    if let Some(term) = int(event, "term") {
        return match text(event, "leader").or_else(|| text(event, "to")) {
            Some(leader) => format!("term {term}, leader {leader}"),
            None => format!("term {term}"),
        };
    }
    if let Some(version) = text(event, "version") {
        return format!("version {version}");
    }
    if let Some(process) = text(event, "process") {
        return short(process);
    }
    if let Some(peer) = text(event, "peer") {
        return match event.error.as_deref().map(reason) {
            Some(error) if !error.is_empty() => format!("peer {peer}: {error}"),
            _ => format!("peer {peer}"),
        };
    }
    if let Some(call) = event.api.as_deref()
        && !call.verb.is_empty()
    {
        return format!("{} {}", call.verb, call.parts.resource_group());
    }
    event.error.as_deref().map(short).unwrap_or_default()
}

/// Longest detail: what fits a table.
const MAX: usize = 100;

/// As [`short`], of an error that says its reason last: of a long one the beginning is left out, which
/// is mostly an address (`Get "https://…": dial tcp 10.0.0.1:2380: connect: connection refused`).
fn reason(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default();
    if line.len() <= MAX {
        return line.to_owned();
    }
    let mut ends = line.match_indices(": ").map(|(at, _)| line.get(at + 2..));
    match ends.find_map(|end| end.filter(|end| end.len() < MAX)) {
        Some(end) if !end.is_empty() => format!("…{end}"),
        _ => short(line),
    }
}

/// The first line of a text, cut to what fits a table.
fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_error_keeps_its_reason() {
        let refused = "dial tcp 192.0.2.104:2380: connect: connection refused";
        let url = "https://etcd-2.etcd-headless.etcd.svc.cluster.local:2380/version";
        assert_eq!(
            reason(&format!("Get \"{url}\": {refused}")),
            format!("…{refused}")
        );
        assert_eq!(reason(refused), refused);
        // One that is long to its end, and one without parts.
        for long in [format!("read: {}", "x".repeat(200)), "y".repeat(200)] {
            let told = reason(&long);
            assert!(told.ends_with('…') && long.starts_with(told.trim_end_matches('…')));
        }
    }
}
