//! `rules`: the registry as a table, and the limits that rules compare with.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::exit::Exit;
use crate::profile::Profile;
use crate::render;
use crate::rules::RULES;
use crate::rules::reads::READS;

use super::common::{Format, Session};

/// Arguments of `rules`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub(super) fn run(_args: &Args, session: &mut Session<'_>) -> Result<Exit, Error> {
    let profile = Profile::default();
    let limits_of = |id: &str| {
        let reads = READS.iter().find(|reads| reads.rule == id);
        reads.map_or(&[][..], |reads| reads.limits)
    };
    if session.format == Format::Json {
        let rows: Vec<_> = RULES
            .iter()
            .map(|rule| {
                let limits: Vec<_> = limits_of(rule.id)
                    .iter()
                    .map(|name| {
                        let limit = profile.limit(name);
                        serde_json::json!({
                            "name": name,
                            "value": limit.value,
                            "unit": limit.unit(),
                            "source": limit.source,
                        })
                    })
                    .collect();
                serde_json::json!({
                    "id": rule.id,
                    "summary": rule.summary,
                    "severity": rule.severity.word(),
                    "since": rule.since,
                    "playbook": rule.playbook,
                    "limits": limits,
                })
            })
            .collect();
        session.json(&rows)?;
        return Ok(Exit::Clean);
    }
    let mut table = render::table(session.terminal, &["RULE", "WORST", "FAULT"]);
    // An id that is cut cannot be copied.
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(comfy_table::ColumnConstraint::ContentWidth);
    }
    for rule in RULES {
        table.add_row(vec![rule.id, rule.severity.word(), rule.summary]);
    }
    writeln!(session.out, "{}", render::trimmed(&table))?;
    // Each limit once: most of them are read by several rules.
    let names: BTreeSet<&str> = RULES
        .iter()
        .flat_map(|rule| limits_of(rule.id))
        .copied()
        .collect();
    let mut table = render::table(session.terminal, &["LIMIT", "VALUE", "SOURCE"]);
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(comfy_table::ColumnConstraint::ContentWidth);
    }
    for name in names {
        let limit = profile.limit(name);
        table.add_row(vec![name, &limit.text, &limit.source]);
    }
    writeln!(session.out)?;
    writeln!(session.out, "{}", render::trimmed(&table))?;
    Ok(Exit::Clean)
}
