//! `schema NAME`: the JSON Schema of a command's output.

use clap::builder::PossibleValuesParser;

use crate::error::Error;
use crate::exit::Exit;
use crate::report::schema::{SCHEMAS, schema};

use super::common::{Format, Session};

/// Arguments of `schema`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which; without it, the list
    #[arg(value_parser = PossibleValuesParser::new(SCHEMAS.iter().map(|s| s.name)))]
    pub name: Option<String>,
}

/// Runs the command.
pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<Exit, Error> {
    if let Some(schema) = args.name.as_deref().and_then(schema) {
        session.out.write_all(schema.text.as_bytes())?;
    } else if session.format == Format::Json {
        let names: Vec<_> = SCHEMAS
            .iter()
            .map(|schema| serde_json::json!({ "name": schema.name, "of": schema.of }))
            .collect();
        session.json(&names)?;
    } else {
        for schema in SCHEMAS {
            writeln!(session.out, "{:<18} {}", schema.name, schema.of)?;
        }
    }
    Ok(Exit::Clean)
}
