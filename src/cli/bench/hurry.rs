//! A second signal: who cannot wait until the sync under way returns gets the bench's directories
//! removed at once, or is told what is left. A third ends the program as it stands.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::cli::common::Session;
use crate::error::Error;
use crate::exit::Exit;

/// The bench's threads may make another file while their directory is being removed.
const TRIES: u32 = 20;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// The directories that a second signal takes away.
#[derive(Clone, Debug, Default)]
pub(super) struct Dirs(Arc<Mutex<Vec<PathBuf>>>);

impl Dirs {
    /// From now on this one too.
    pub(super) fn add(&self, dir: &Path) {
        let mut dirs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        dirs.push(dir.to_owned());
    }

    /// Removes them; those that stay.
    fn remove(&self) -> Vec<PathBuf> {
        let dirs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        dirs.iter().filter(|dir| !removed(dir)).cloned().collect()
    }
}

/// Catches signals: the first asks the bench to end, the second takes away the directories that
/// were added by then and ends the program.
pub(super) fn catch(session: &Session<'_>) -> Result<Dirs, Error> {
    let dirs = Dirs::default();
    let theirs = dirs.clone();
    let (mut told, signals) = session.catch_signals_and_tell()?;
    let name = std::thread::Builder::new().name("second-signal".to_owned());
    name.spawn(move || {
        let mut byte = [0];
        for _ in 0..2 {
            if told.read_exact(&mut byte).is_err() {
                return;
            }
        }
        // From now on a signal does what it does by default.
        signals.hurry();
        for dir in theirs.remove() {
            Session::say(&format!(
                "left behind: {} (the next bench in the same place removes it)",
                dir.display()
            ));
        }
        let exit = signals.exit().unwrap_or(Exit::Interrupted);
        #[expect(
            clippy::exit,
            reason = "the bench may hang in a sync, and was told twice to end"
        )]
        std::process::exit(exit.code().into());
    })?;
    Ok(dirs)
}

/// Removes a directory that others may still write to.
fn removed(dir: &Path) -> bool {
    for _ in 0..TRIES {
        if std::fs::remove_dir_all(dir).is_ok() || !dir.exists() {
            return true;
        }
        std::thread::sleep(PAUSE);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_go_with_what_is_in_them_and_those_that_are_gone_are_no_trouble() {
        let parent = tempfile::tempdir().unwrap();
        let (full, gone) = (parent.path().join("full"), parent.path().join("gone"));
        std::fs::create_dir_all(full.join("deep")).unwrap();
        let dirs = Dirs::default();
        dirs.add(&full);
        dirs.add(&gone);
        assert_eq!(dirs.remove(), Vec::<PathBuf>::new());
        assert!(!full.exists());
    }
}
