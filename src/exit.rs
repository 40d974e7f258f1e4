//! The exit codes, fixed and documented: scripts rely on them.

use std::process::ExitCode;

/// How a run ended. The numbers never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Nothing at or above `--fail-on`.
    Clean,
    /// Findings at or above `--fail-on`.
    Findings,
    /// Evidence that was asked for by name could not be had, or any with `--strict`.
    Incomplete,
    /// The command line was wrong.
    Usage,
    /// The target could not be reached.
    Unreachable,
    /// The program could not do its work.
    Failed,
    /// Ended by SIGINT; what was measured so far was reported.
    Interrupted,
    /// Ended by SIGTERM or SIGHUP; what was measured so far was reported.
    Terminated,
}

/// Every exit code with its documented meaning, in numeric order.
pub const EXIT_CODES: &[(Exit, u8, &str)] = &[
    (Exit::Clean, 0, "nothing at or above --fail-on"),
    (Exit::Findings, 1, "findings at or above --fail-on"),
    (
        Exit::Incomplete,
        3,
        "evidence that was asked for by name could not be had (with --strict: any)",
    ),
    (Exit::Usage, 64, "wrong command line"),
    (Exit::Unreachable, 69, "target unreachable"),
    (Exit::Failed, 70, "could not do the work"),
    (
        Exit::Interrupted,
        130,
        "interrupted (SIGINT); what was measured so far is reported",
    ),
    (
        Exit::Terminated,
        143,
        "terminated (SIGTERM, SIGHUP); what was measured so far is reported",
    ),
];

impl Exit {
    /// The number the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Exit::Clean => 0,
            Exit::Findings => 1,
            Exit::Incomplete => 3,
            Exit::Usage => 64,
            Exit::Unreachable => 69,
            Exit::Failed => 70,
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_matches_the_codes_and_is_sorted() {
        for (exit, code, meaning) in EXIT_CODES {
            assert_eq!(exit.code(), *code);
            assert!(!meaning.is_empty());
        }
        assert!(EXIT_CODES.is_sorted_by(|a, b| a.1 < b.1));
    }
}
