//! The command line: parsing, one file a command, and the session that commands write through.

mod accept;
mod advise;
mod bench;
mod check;
#[cfg(feature = "live")]
mod check_etcd;
mod collect;
mod common;
mod compare;
mod diagnose;
mod etcd_access;
mod explain;
mod explain_reading;
mod generate;
mod guest;
mod live;
#[cfg(feature = "live")]
mod live_etcd;
mod logs;
mod metrics;
mod naming;
mod patch;
mod redact;
mod redact_evidence;
mod redact_names;
mod report;
mod rules;
mod save;
mod schema;
mod side_by_side;
mod whose;

pub use common::{ColorChoice, FailOn, Format, OutputFormat, Session};
pub use etcd_access::EtcdArgs;

use std::io::{self, Write};

use clap::{CommandFactory, FromArgMatches as _, Parser, Subcommand};

use crate::error::Error;
use crate::exit::{EXIT_CODES, Exit};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "etcd-doctor",
    version,
    about = "Finds what ails etcd and the Kubernetes control plane around it, and writes the config patch",
    after_help = exit_codes_help(),
    max_term_width = 100,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// Flags that every command takes.
    #[command(flatten)]
    pub global: common::Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say what is wrong with a control plane, why, and what to change: the main job
    Diagnose(Box<diagnose::Args>),
    /// Say what to set, from evidence: shards, limits, workers, quota, timeouts, controllers
    Advise(Box<advise::Args>),
    /// Read control-plane logs: load by resource, stalls, clients
    Logs(logs::Args),
    /// Check settings, the host or a live etcd against the rules
    Check(check::Args),
    /// Measure the disk under etcd as etcd feels it, or what a live etcd can do
    Bench(bench::Args),
    /// Compare two runs of `diagnose` or of `bench disk`: before and after
    Compare(compare::Args),
    /// Show a rule's or a metric's playbook page, offline
    Explain(explain::Args),
    /// Read metrics: two scrapes, live or saved, or what Prometheus remembers
    Metrics(Box<metrics::Args>),
    /// List the rules with their severity and playbook
    Rules(rules::Args),
    /// Write the diagnosis as one self-contained HTML page
    Report(Box<report::Args>),
    /// Print the JSON Schema of an output
    Schema(schema::Args),
    /// Write advice as files of a distribution, with steps and rollback; applies nothing
    Patch(patch::Args),
    /// Print a shell completion script
    Completions(generate::CompletionsArgs),
    /// Print the man page
    Man,
}

fn exit_codes_help() -> String {
    let mut text = String::from("Exit codes:\n");
    for (_, code, meaning) in EXIT_CODES {
        text.push_str(&format_args!("  {code:>3}  {meaning}\n").to_string());
    }
    text
}

/// A variable that is set to nothing counts as not set, as etcdctl takes it.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| {
            let empty = arg
                .get_env()
                .is_some_and(|name| std::env::var_os(name).is_some_and(|value| value.is_empty()));
            if empty {
                arg.env(None::<&'static str>)
            } else {
                arg
            }
        })
        .mut_subcommands(without_empty_variables)
}

/// Parses the process's arguments and runs the command.
pub fn run_from_env() -> Result<Exit, Error> {
    let mut command = without_empty_variables(Cli::command());
    let parsed = command
        .try_get_matches_from_mut(std::env::args_os())
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(|err| err.format(&mut command));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(err) => {
            // Help and version go to standard output and are no fault; a closed pipe is none either.
            let code = if err.use_stderr() {
                Exit::Usage
            } else {
                Exit::Clean
            };
            err.print().ok();
            return Ok(code);
        }
    };
    let stdout = io::stdout();
    let mut out = io::BufWriter::with_capacity(1 << 16, stdout.lock());
    let mut session = Session::new(&cli.global, &mut out);
    if session.fail_on == FailOn::Worse && !matches!(cli.command, Command::Compare(_)) {
        return Err(Error::Usage(
            "--fail-on worse is for `compare` alone".to_owned(),
        ));
    }
    let exit = run(&cli.command, &mut session)?;
    // A reader that had enough does not change what was found.
    heard(out.flush().map_err(Error::from))?;
    Ok(exit)
}

/// What printing came to; that the reader went away is no fault.
fn heard(printed: Result<(), Error>) -> Result<(), Error> {
    match printed {
        Err(err) if err.is_broken_pipe() => Ok(()),
        printed => printed,
    }
}

/// Runs one command.
pub fn run(command: &Command, session: &mut Session<'_>) -> Result<Exit, Error> {
    let judges = matches!(command, Command::Diagnose(_) | Command::Check(_));
    if !judges && !matches!(session.wanted, OutputFormat::Table | OutputFormat::Json) {
        return Err(Error::Usage(
            "this command writes tables or JSON; `diagnose` and `check` write the other formats"
                .to_owned(),
        ));
    }
    match asked(command, session) {
        // What a signal cut off is not missing.
        Err(Error::Nothing { .. }) if let Some(exit) = session.stopped() => {
            session.note("stopped by a signal before anything was read");
            Ok(exit)
        }
        done => done,
    }
}

fn asked(command: &Command, session: &mut Session<'_>) -> Result<Exit, Error> {
    match command {
        Command::Diagnose(args) => diagnose::run(args, session),
        Command::Advise(args) => advise::run(args, session),
        Command::Logs(args) => logs::run(args, session),
        Command::Check(args) => check::run(args, session),
        Command::Bench(args) => bench::run(args, session),
        Command::Compare(args) => compare::run(args, session),
        Command::Explain(args) => explain::run(args, session),
        Command::Metrics(args) => metrics::run(args, session),
        Command::Report(args) => report::run(args, session),
        Command::Rules(args) => rules::run(args, session),
        Command::Schema(args) => schema::run(args, session),
        Command::Patch(args) => patch::run(args, session),
        Command::Completions(args) => generate::completions(args, &mut Cli::command(), session),
        Command::Man => generate::man(Cli::command(), session),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
