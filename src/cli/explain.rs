//! `explain ID`: a rule's or topic's playbook page, offline.

use crate::error::Error;
use crate::exit::Exit;
use crate::playbook;
use crate::render;
use crate::rules;

use super::common::{Format, Session};

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A rule's id (see `etcd-doctor rules`) or a page's name, such as `barriers`; without it, the list of pages
    pub id: Option<String>,
}

/// Runs the command.
pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<Exit, Error> {
    let Some(id) = &args.id else {
        for page in playbook::PAGES {
            writeln!(session.out, "{:<28} {}", page.name, page.title())?;
        }
        return Ok(Exit::Clean);
    };
    let rule = rules::rule(id);
    let name = rule.map_or(id.as_str(), |rule| rule.playbook);
    let Some(page) = playbook::page(name) else {
        let near = playbook::nearest(id);
        return Err(Error::Usage(match near {
            Some(near) => format!("there is no rule or page `{id}`; did you mean `{near}`?"),
            None => format!("there is no rule or page `{id}`"),
        }));
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
