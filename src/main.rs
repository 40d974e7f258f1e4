//! Parses the command line, runs it, and turns the outcome into an exit code.

use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match etcd_doctor::run_from_env() {
        Ok(outcome) => outcome.into(),
        // The reader went away, as in `etcd-doctor logs | head`. Not a fault.
        Err(err) if err.is_broken_pipe() => ExitCode::SUCCESS,
        Err(err) => {
            // Not `eprintln!`, which panics when stderr is closed.
            write!(io::stderr(), "{}", err.report()).ok();
            err.exit_code().into()
        }
    }
}
