//! `report`: the same as `diagnose`, as a page to hand on.

use std::path::PathBuf;

use crate::error::Error;
use crate::exit::Exit;
use crate::render;

use super::common::Session;
use super::diagnose;

/// Arguments of `report`.
#[derive(Debug, clap::Args)]
#[group(id = "report-args")]
pub struct Args {
    /// Where to write the page; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub html: PathBuf,
    /// What to look at
    #[command(flatten)]
    pub diagnose: diagnose::Args,
}

/// Runs the command. The exit code is that of `diagnose`.
pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<Exit, Error> {
    let (report, exit) = diagnose::report(&args.diagnose, session)?;
    if args.html.as_os_str() == "-" {
        render::html(session.out, &report)?;
        return Ok(exit);
    }
    let mut page = Vec::new();
    render::html(&mut page, &report)?;
    // A page that is cut in the middle would read as if nothing else was wrong.
    super::save::whole(&args.html, |out| out.write_all(&page))?;
    let verdict = &report.diagnosis.verdict;
    writeln!(
        session.out,
        "{}: {} (confidence {:.0} %); the page is {}",
        verdict.cause.word(),
        verdict.cause.headline(),
        verdict.confidence * 100.0,
        args.html.display()
    )?;
    Ok(exit)
}
