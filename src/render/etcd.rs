//! The overview of a live etcd on a terminal.

use std::io::{self, Write};

use crate::advise::{Advice, Strength};
use crate::report::etcd::{EtcdOverview, MemberLine};
use crate::units::{format_bytes, format_ms};

use super::advice;
use super::plain::{Paint, Terminal, safe, table, trimmed, wrap};

/// Who leads. One that was not asked, or that does not answer here, may lead all the same.
fn leader(overview: &EtcdOverview) -> String {
    let Some(leader) = &overview.leader else {
        return "no leader".to_owned();
    };
    let name = leader.name.as_ref().unwrap_or(&leader.id);
    let here = match leader.state.as_deref() {
        Some("answers") => "",
        None | Some("not-asked") => ", which was not asked",
        Some(_) => ", which others follow and which does not answer here",
    };
    let term = leader.term.unwrap_or_default();
    format!("leader {name} in term {term:.0}{here}")
}

/// Prints members side by side, alarms, rights and hashes.
pub fn etcd_overview(
    out: &mut dyn Write,
    terminal: Terminal,
    overview: &EtcdOverview,
) -> io::Result<()> {
    let members = &overview.members;
    let answering = members.iter().filter(|one| one.state == "answers").count();
    let head = match overview.backend.as_deref() {
        Some("etcd") => {
            let leader = leader(overview);
            format!(
                "etcd: {answering} of {} members answer, {leader}",
                members.len()
            )
        }
        Some("kine") => {
            "kine: a database behind etcd's protocol; rules about etcd do not apply".to_owned()
        }
        Some(_) => {
            "this speaks etcd's protocol and is no etcd; rules about etcd do not apply".to_owned()
        }
        None => "nobody answered".to_owned(),
    };
    writeln!(out, "{}", terminal.paint(Paint::Strong, safe(&head)))?;
    let mut rows = table(
        terminal,
        &[
            "MEMBER", "ROLE", "VERSION", "DB", "IN USE", "QUOTA", "BEHIND", "READS",
        ],
    );
    for member in members {
        rows.add_row(line(member));
    }
    // An id that is broken over two lines is found by no search.
    if let Some(column) = rows.column_mut(0) {
        column.set_constraint(comfy_table::ColumnConstraint::ContentWidth);
    }
    writeln!(out, "{}", trimmed(&rows))?;
    if answering > 0 {
        para(
            out,
            terminal,
            "  ",
            "quota: share in use; behind: raft entries not received or not applied; reads: of the member's own data/confirmed by the leader (median)",
        )?;
    }
    if let Some(quota) = quotas(members) {
        para(out, terminal, "  ", &quota)?;
    }
    for member in members.iter().filter(|one| one.why.is_some()) {
        let why = member.why.as_deref().unwrap_or_default();
        para(out, terminal, "  ! ", &format!("{}: {why}", member.name))?;
    }
    for alarm in &overview.alarms {
        let text = format!("alarm {} raised by {}", alarm.alarm, alarm.member);
        writeln!(out, "  {}", terminal.paint(Paint::Bad, safe(&text)))?;
    }
    let metrics: Vec<String> = members
        .iter()
        .filter_map(|one| {
            let fsync = one
                .wal_fsync_ms
                .map(|ms| format!("fsync {}", format_ms(ms)));
            let rtt = one
                .peer_rtt_ms
                .map(|ms| format!("to peers {}", format_ms(ms)));
            let both: Vec<String> = fsync.into_iter().chain(rtt).collect();
            (!both.is_empty()).then(|| format!("{} {}", one.name, both.join(", ")))
        })
        .collect();
    if !metrics.is_empty() {
        para(out, terminal, "  means: ", &metrics.join("; "))?;
    }
    let hashes = &overview.hashes;
    match (hashes.state, &hashes.why) {
        ("agree", _) => writeln!(
            out,
            "  hashes of {} agree at revision {:.0}",
            count(hashes.members.len(), "member"),
            hashes.revision.unwrap_or_default()
        )?,
        ("not-compared", why) => para(
            out,
            terminal,
            "  hashes were not compared: ",
            why.as_deref()
                .unwrap_or("members were compacted at different revisions"),
        )?,
        _ => {}
    }
    for right in overview
        .rights
        .iter()
        .filter(|right| right.state == "denied")
    {
        let mut text = format!(
            "{}: {}",
            right.what,
            right.why.as_deref().unwrap_or("denied")
        );
        if let Some(needs) = &right.needs {
            text.push_str("; needs ");
            text.push_str(needs);
        }
        para(out, terminal, "  not seen: ", &text)?;
    }
    Ok(())
}

/// Prints what to do, where there is something.
pub fn etcd_advice(out: &mut dyn Write, terminal: Terminal, all: &[Advice]) -> io::Result<()> {
    let recommended: Vec<&Advice> = all
        .iter()
        .filter(|advice| advice.strength != Strength::Refused)
        .collect();
    if recommended.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", terminal.paint(Paint::Strong, "WHAT TO DO"))?;
    for (at, one) in recommended.iter().enumerate() {
        advice::one(out, terminal, at + 1, one, None)?;
    }
    Ok(())
}

/// The quotas in force and where they were read; one sentence where all are the same.
fn quotas(members: &[MemberLine]) -> Option<String> {
    let known: Vec<(&MemberLine, f64)> = members
        .iter()
        .filter_map(|one| Some((one, one.quota_bytes?)))
        .collect();
    let (first, quota) = known.first()?;
    let from = first.quota_from.as_deref().unwrap_or_default();
    let words = |quota: f64| {
        if quota < 0.0 {
            "none".to_owned()
        } else {
            size(quota)
        }
    };
    if known
        .iter()
        .all(|(_, other)| other.total_cmp(quota).is_eq())
    {
        return Some(format!("quota in force: {} (by {from})", words(*quota)));
    }
    let each: Vec<String> = known
        .iter()
        .map(|(one, quota)| format!("{} {}", one.name, words(*quota)))
        .collect();
    Some(format!("quotas differ: {}", each.join(", ")))
}

fn size(bytes: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes are not negative"
    )]
    format_bytes(bytes.max(0.0) as u64)
}

fn line(member: &MemberLine) -> Vec<String> {
    let or = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    let quota = match (member.quota_bytes, member.db_bytes) {
        (Some(quota), _) if quota < 0.0 => Some("none".to_owned()),
        (Some(quota), Some(db)) if quota > 0.0 => Some(format!("{:.0} %", db / quota * 100.0)),
        _ => None,
    };
    let behind = member
        .behind
        .map(|behind| behind.max(member.unapplied.unwrap_or_default()));
    let reads = match (member.serializable_ms, member.linearizable_ms) {
        (None, None) => None,
        (own, shared) => {
            let ms = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.1}"));
            Some(format!("{}/{} ms", ms(own), ms(shared)))
        }
    };
    vec![
        safe(&member.name),
        member
            .role
            .map_or_else(|| member.state.clone(), str::to_owned),
        safe(&or(member.version.clone())),
        or(member.db_bytes.map(size)),
        or(member.in_use_bytes.map(size)),
        or(quota),
        or(behind.map(|behind| format!("{behind:.0}"))),
        or(reads),
    ]
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn para(out: &mut dyn Write, terminal: Terminal, first: &str, text: &str) -> io::Result<()> {
    let indent = first.chars().count();
    let width = usize::from(terminal.width.min(110));
    let text = wrap(&safe(text), width.saturating_sub(indent).max(30), 0);
    for (at, line) in text.lines().enumerate() {
        if at == 0 {
            writeln!(out, "{first}{line}")?;
        } else {
            writeln!(out, "{}{line}", " ".repeat(indent))?;
        }
    }
    Ok(())
}
