//! What is asked of etcd: by resource and by client.

use std::io::{self, Write};

use crate::render::load::load;
use crate::render::plain::{Terminal, safe};
use crate::report::Report;
use crate::report::counts::counts;

use super::page::Page;

/// Columns of the load table.
const LOAD_HEADER: [&str; 8] = [
    "RESOURCE",
    "REQUESTS",
    "LISTS",
    "WRITES",
    "SECONDS",
    "SLOW",
    "SLOW LISTS",
    "SLOW S",
];
impl Page {
    /// Load per resource.
    pub(super) fn resources(&self, out: &mut dyn Write, report: &Report) -> io::Result<()> {
        let rows = load(report);
        if rows.is_empty() {
            return Ok(());
        }
        self.head(out, "LOAD PER RESOURCE  by time in etcd")?;
        let more = rows.len().saturating_sub(8);
        let whole = |n: Option<f64>| n.map_or_else(|| "-".to_owned(), |n| format!("{n:.0}"));
        let tenth = |n: Option<f64>| n.map_or_else(|| "-".to_owned(), |n| format!("{n:.1}"));
        let cells: Vec<Vec<String>> = rows
            .iter()
            .take(8)
            .map(|row| {
                vec![
                    safe(&row.name()),
                    whole(row.requests),
                    whole(row.lists),
                    whole(row.writes),
                    tenth(row.seconds),
                    whole(row.slow),
                    whole(row.slow_lists),
                    tenth(row.slow_seconds),
                ]
            })
            .collect();
        // Columns that say nothing go first, then what matters least.
        let empty = |column: &usize| {
            cells
                .iter()
                .all(|row| row.get(*column).is_none_or(|cell| cell == "-"))
        };
        let kept: Vec<usize> = (0..LOAD_HEADER.len())
            .filter(|column| *column == 0 || !empty(column))
            .collect();
        let header: Vec<&str> = kept.iter().map(|at| LOAD_HEADER[*at]).collect();
        let cells: Vec<Vec<String>> = cells
            .iter()
            .map(|row| kept.iter().filter_map(|at| row.get(*at).cloned()).collect())
            .collect();
        let least: Vec<usize> = ["SLOW LISTS", "SLOW", "WRITES", "LISTS", "REQUESTS"]
            .iter()
            .filter_map(|name| header.iter().position(|have| have == name))
            .collect();
        let inner = Terminal {
            width: self.terminal.width.saturating_sub(2),
            ..self.terminal
        };
        let table = crate::render::fitted(inner, &header, &cells, &least);
        for line in crate::render::trimmed(&table).lines() {
            writeln!(out, "  {line}")?;
        }
        if more > 0 {
            writeln!(out, "  and {more} more")?;
        }
        for sentence in counts(&report.evidence).iter().flat_map(|c| &c.sentences) {
            self.para(out, "  ", sentence)?;
        }
        Ok(())
    }

    /// Slow requests of etcd by client.
    pub(super) fn clients(&self, out: &mut dyn Write, report: &Report) -> io::Result<()> {
        let Some(who) = &report.diagnosis.who else {
            return Ok(());
        };
        let rows: Vec<_> = who
            .clients
            .iter()
            .filter(|client| client.slow_secs >= 0.05)
            .take(5)
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        self.head(
            out,
            "SLOW REQUESTS BY CLIENT  same second and resource in etcd's log and the apiserver's",
        )?;
        for client in rows {
            let name = match client.user.is_empty() {
                true => client.user_agent.clone(),
                false => format!("{} ({})", client.user_agent, client.user),
            };
            self.para(
                out,
                &format!("  {:>7.1} s  ", client.slow_secs),
                &format!(
                    "{name}: {:.0} {}s of {}, {:.0} % of the time of slow {}s (confidence {:.0} %, by {})",
                    client.requests,
                    client.class,
                    client.resource,
                    client.share * 100.0,
                    client.class,
                    client.confidence * 100.0,
                    client.source.words()
                ),
            )?;
        }
        if who.unknown_secs >= 0.05 {
            self.para(
                out,
                &format!("  {:>7.1} s  ", who.unknown_secs),
                "of nobody who is known",
            )?;
        }
        for skew in &who.skews {
            self.para(
                out,
                "  ",
                &format!(
                    "The clock of {} seems {} s {} kube-apiserver's; that is accounted for.",
                    skew.member,
                    skew.secs.abs(),
                    if skew.secs > 0 { "ahead of" } else { "behind" }
                ),
            )?;
        }
        Ok(())
    }
}
