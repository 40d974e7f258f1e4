//! Who asks: clients of slow requests, and those of the audit log.

use std::io::{self, Write};

use crate::render::{Paint, Terminal, safe, wrap};
use crate::report::logs::{LogsReport, SlowClientReport};

use super::lines::{heading, more, rows, time};

fn who(agent: &str, user: &str) -> String {
    let agent = safe(agent.split(' ').next().unwrap_or_default());
    match (agent.as_str(), user) {
        ("", user) => safe(user),
        (agent, "") => agent.to_owned(),
        (agent, user) => format!("{agent} ({})", safe(user)),
    }
}

/// Less than this is shown as nothing.
fn tells(client: &SlowClientReport) -> bool {
    client.slow_secs >= 0.05
}

pub(super) fn slow_clients(
    out: &mut dyn Write,
    terminal: Terminal,
    report: &LogsReport,
) -> io::Result<()> {
    let Some(found) = report
        .slow_clients
        .as_ref()
        .filter(|found| found.clients.iter().any(tells))
    else {
        return Ok(());
    };
    heading(out, terminal, "Slow requests of etcd, by who asked")?;
    let lines: Vec<Vec<String>> = found
        .clients
        .iter()
        .filter(|client| tells(client))
        .take(10)
        .map(|client| {
            vec![
                format!("{:.1}", client.slow_secs),
                format!("{:.0}%", client.share * 100.0),
                format!("{:.0}%", client.confidence * 100.0),
                client.source.to_owned(),
                format!(
                    "{} {}  {}",
                    client.class,
                    safe(&client.resource),
                    who(&client.user_agent, &client.user)
                ),
            ]
        })
        .collect();
    rows(
        out,
        terminal,
        &["SLOW-S", "SHARE", "SURE", "KNOWN BY", "WHAT AND WHO"],
        &lines,
    )?;
    let shown = found.clients.iter().filter(|client| tells(client)).count();
    more(out, terminal, shown.saturating_sub(10))?;
    let mut below = Vec::new();
    if found.unknown_secs >= 0.05 {
        below.push(format!(
            "{:.1} s of {:.1} s are of nobody who is known",
            found.unknown_secs, found.slow_secs
        ));
    }
    for skew in &found.clock_skews {
        below.push(format!(
            "the clock of {} seems {} s {} kube-apiserver's, which is accounted for",
            safe(&skew.member),
            skew.secs.abs(),
            if skew.secs > 0 { "ahead of" } else { "behind" }
        ));
    }
    if !below.is_empty() {
        let below = wrap(&below.join("; "), usize::from(terminal.width), 2);
        writeln!(out, "{}", terminal.paint(Paint::Faint, below))?;
    }
    Ok(())
}

pub(super) fn audit(
    out: &mut dyn Write,
    terminal: Terminal,
    report: &LogsReport,
) -> io::Result<()> {
    let Some(audit) = &report.audit else {
        return Ok(());
    };
    heading(
        out,
        terminal,
        &format!(
            "Audit log: {} requests in {} records",
            audit.requests, audit.records
        ),
    )?;
    let lines: Vec<Vec<String>> = audit
        .callers
        .iter()
        .take(10)
        .map(|row| {
            let mut marks = Vec::new();
            for (count, what) in [
                (row.not_found, "404"),
                (row.throttled, "429"),
                (row.server_errors, "5xx"),
                (row.unlimited, "unlimited"),
                (row.rv_unset, "rv unset"),
            ] {
                if count > 0 {
                    marks.push(format!("{count} {what}"));
                }
            }
            let etcd = row
                .etcd_share
                .map_or_else(|| "-".to_owned(), |share| format!("{:.0}%", share * 100.0));
            vec![
                row.requests.to_string(),
                row.per_sec
                    .map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}/s")),
                time(row.p99_ms),
                etcd,
                format!(
                    "{} {}  {}  {}",
                    row.verb,
                    safe(&row.resource),
                    match row.user_agent.as_str() {
                        // The marks need the room more than a second name.
                        "" => safe(&row.user),
                        agent => safe(agent),
                    },
                    marks.join(", ")
                ),
            ]
        })
        .collect();
    rows(
        out,
        terminal,
        &["REQS", "RATE", "P99", "ETCD", "WHAT AND WHO"],
        &lines,
    )?;
    more(out, terminal, audit.callers.len().saturating_sub(10))?;
    let pinned: Vec<Vec<String>> = audit
        .clients
        .iter()
        .filter_map(|client| {
            Some(vec![
                format!("{:.0}/s", client.plateau_per_sec?),
                format!("{:.0}%", client.plateau_share? * 100.0),
                client.active_secs.to_string(),
                client.not_found.to_string(),
                who(&client.user_agent, &client.user),
            ])
        })
        .take(5)
        .collect();
    if !pinned.is_empty() {
        heading(out, terminal, "Pinned at a constant rate")?;
        rows(
            out,
            terminal,
            &["RATE", "OF SECS", "SECS", "404", "WHO"],
            &pinned,
        )?;
    }
    let loops: Vec<Vec<String>> = audit
        .objects
        .iter()
        // Leases are renewed every other second on purpose.
        .filter(|object| {
            object.not_found * 2 > object.requests
                || object.steady && object.per_sec.is_some_and(|rate| rate >= 1.0)
        })
        .take(8)
        .map(|object| {
            vec![
                object.requests.to_string(),
                object
                    .per_sec
                    .map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}/s")),
                object.not_found.to_string(),
                (if object.steady { "steady" } else { "-" }).to_owned(),
                format!(
                    "{} {} {}  {}",
                    object.verb,
                    safe(&object.resource),
                    safe(&object.object),
                    who(&object.user_agent, &object.user)
                ),
            ]
        })
        .collect();
    if !loops.is_empty() {
        heading(out, terminal, "The same object again and again")?;
        rows(
            out,
            terminal,
            &["REQS", "RATE", "404", "GAPS", "WHAT AND WHO"],
            &loops,
        )?;
    }
    Ok(())
}
