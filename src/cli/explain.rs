//! `explain ID`: the playbook page of a rule, a topic, a metric or a reading, offline.

use crate::error::Error;
use crate::exit::Exit;
use crate::playbook;
use crate::render;
use crate::rules;

use super::common::{Format, Session};
use super::explain_reading::{self, Explained};

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A rule's id (see `etcd-doctor rules`), a page's name such as `barriers`, a metric or the name of a reading such as `server.wal.fsync`; without it, the list of pages
    pub id: Option<String>,
}

/// Runs the command.
pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<Exit, Error> {
    let Some(id) = &args.id else {
        if session.format == Format::Json {
            let pages: Vec<_> = playbook::PAGES
                .iter()
                .map(|page| serde_json::json!({ "page": page.name, "title": page.title() }))
                .collect();
            session.json(&serde_json::json!({ "pages": pages }))?;
            return Ok(Exit::Clean);
        }
        for page in playbook::PAGES {
            writeln!(session.out, "{:<28} {}", page.name, page.title())?;
        }
        return Ok(Exit::Clean);
    };
    let rule = rules::rule(id);
    let name = rule.map_or(id.as_str(), |rule| rule.playbook);
    let Some(page) = playbook::page(name) else {
        return match Explained::find(id) {
            Some(found) => found.print(id, session),
            None => Err(unknown(id)),
        };
    };
    if session.format == Format::Json {
        session.json(&serde_json::json!({
            "id": id,
            "page": page.name,
            "summary": rule.map(|rule| rule.summary),
            "severity": rule.map(|rule| rule.severity.word()),
            "text": page.text,
        }))?;
        return Ok(Exit::Clean);
    }
    if let Some(rule) = rule {
        writeln!(
            session.out,
            "{} ({}, since {})\n{}\n",
            rule.id, rule.severity, rule.since, rule.summary
        )?;
    }
    render::markdown_text(session.out, session.terminal, page.text)?;
    Ok(Exit::Clean)
}

fn unknown(id: &str) -> Error {
    // Metrics have underscores, readings dots, pages neither.
    let near = if id.contains('_') {
        playbook::nearest_of(id, explain_reading::metrics())
    } else if id.contains('.') {
        playbook::nearest_of(id, explain_reading::readings())
    } else {
        playbook::nearest(id)
    };
    Error::Usage(match near {
        Some(near) => {
            format!("there is no rule, page, metric or reading `{id}`; did you mean `{near}`?")
        }
        None => format!(
            "there is no rule, page, metric or reading `{id}`; `etcd-doctor rules` lists the rules"
        ),
    })
}
