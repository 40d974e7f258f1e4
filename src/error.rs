//! Errors that end a run: what was tried, on what, why it failed, and what to do next.
//!
//! Whatever stops only *one* measurement is not an error: it is an
//! [`evidence::Missing`](crate::evidence::Missing) and is shown in the report.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use crate::exit::Exit;

/// The one error type that reaches `main`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The command line asks for something impossible.
    #[error("{0}")]
    Usage(String),
    /// A file that the user named cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file as the user gave it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Evidence that the user asked for by name cannot be read.
    #[error("cannot read `{}`", path.display())]
    Evidence {
        /// The file or folder as the user gave it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file as the user gave it.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A saved file is not in the format it should be.
    #[error("cannot use `{}`: {why}", path.display())]
    Format {
        /// The file as the user gave it.
        path: PathBuf,
        /// What is wrong with it, with its place when known.
        why: String,
    },
    /// Nothing at all could be collected.
    #[error("{what}")]
    Nothing {
        /// What was looked for and where.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// Something is not done because it could do harm.
    #[error("{what}")]
    Refused {
        /// What is refused, and why.
        what: String,
        /// What to do instead.
        hint: String,
    },
    /// A server did not answer.
    #[error("cannot reach {target}: {why}")]
    Unreachable {
        /// The address that was tried.
        target: String,
        /// What the connection said.
        why: String,
    },
    /// The report could not be written to standard output.
    #[error("cannot write the report")]
    Output(#[from] io::Error),
}

impl Error {
    /// Whether the reader of our output went away, which is no fault.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Error::Output(err) if err.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The exit code this error ends the run with.
    pub fn exit_code(&self) -> Exit {
        match self {
            Error::Usage(_) => Exit::Usage,
            Error::Unreachable { .. } => Exit::Unreachable,
            Error::Nothing { .. } | Error::Evidence { .. } => Exit::Incomplete,
            _ => Exit::Failed,
        }
    }

    /// What the user can do about it, where something sensible can be said.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Read { source, .. } | Error::Evidence { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Some("run as root, or copy the file and pass the copy".to_owned())
            }
            Error::Nothing { hint, .. } | Error::Refused { hint, .. } => Some(hint.clone()),
            Error::Usage(_) => Some("see `etcd-doctor help`".to_owned()),
            _ => None,
        }
    }

    /// The message as `main` prints it: error, causes, hint.
    pub fn report(&self) -> String {
        let mut text = format!("error: {self}\n");
        let mut cause = self.source();
        while let Some(err) = cause {
            writeln!(text, "  caused by: {err}").ok();
            cause = err.source();
        }
        if let Some(hint) = self.hint() {
            writeln!(text, "  hint: {hint}").ok();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_file_names_the_file_the_cause_and_the_way_out() {
        let err = Error::Read {
            path: "/var/log/pods/x/0.log".into(),
            source: io::Error::from(io::ErrorKind::PermissionDenied),
        };
        assert_eq!(
            err.report(),
            "error: cannot read `/var/log/pods/x/0.log`\n  caused by: permission denied\n  \
             hint: run as root, or copy the file and pass the copy\n"
        );
        assert_eq!(err.exit_code(), Exit::Failed);
        let err = Error::Evidence {
            path: "bundle.tar.gz".into(),
            source: io::Error::from(io::ErrorKind::NotFound),
        };
        assert_eq!(err.exit_code(), Exit::Incomplete);
    }
}
