//! `--accept FILE`: risks that somebody decided to live with.

use std::path::PathBuf;

use crate::error::Error;
use crate::rules::{self, AcceptedRisks, Finding};

use super::common::Session;

/// The flag.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct AcceptArgs {
    /// Accepted risks: a TOML file of [[accept]] entries with rule, subject (a regular expression, optional), reason, until; they are shown, and do not make the exit code 1
    #[arg(long, value_name = "FILE")]
    pub accept: Option<PathBuf>,
}

impl AcceptArgs {
    /// Marks accepted findings. Gives notes about entries that match nothing.
    pub(super) fn apply(
        &self,
        findings: &mut [Finding],
        session: &Session<'_>,
    ) -> Result<Vec<String>, Error> {
        let Some(path) = &self.accept else {
            return Ok(Vec::new());
        };
        #[expect(clippy::disallowed_methods, reason = "the user named this file")]
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        let risks = AcceptedRisks::parse(&text, |id| rules::rule(id).is_some()).map_err(|why| {
            Error::Format {
                path: path.clone(),
                why,
            }
        })?;
        Ok(risks.apply(findings, session.clock.now()))
    }
}
