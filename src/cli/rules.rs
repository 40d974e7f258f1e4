//! `rules`: the registry as a table.

use crate::error::Error;
use crate::exit::Exit;
use crate::render;
use crate::rules::RULES;

use super::common::{Format, Session};

/// Arguments of `rules`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub(super) fn run(_args: &Args, session: &mut Session<'_>) -> Result<Exit, Error> {
    if session.format == Format::Json {
        let rows: Vec<_> = RULES
            .iter()
            .map(|rule| {
                serde_json::json!({
                    "id": rule.id,
                    "summary": rule.summary,
                    "severity": rule.severity.word(),
                    "since": rule.since,
                    "playbook": rule.playbook,
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
    Ok(Exit::Clean)
}
