//! What an earlier run of `patch` left in the folder that this one writes into.

use std::path::Path;

use crate::error::Error;
use crate::evidence::Missing;
use crate::patch::PatchSet;
use crate::target::HostRoot;

/// Most bytes of a `STEPS.md`.
const MAX_STEPS: u64 = 16 << 20;
/// How `STEPS.md` of every target begins.
const OWN_STEPS: &str = "# Steps\n\nNothing was applied.";

/// Most files of an earlier run that are named.
const MAX_STALE: usize = 50;

/// Files that an earlier run left in the folder and that are none of this run: its STEPS.md does not
/// speak of them. A STEPS.md of somebody else is not written over.
pub(super) fn files(out: &Path, set: &PatchSet) -> Result<Vec<String>, Error> {
    // A run that writes nothing leaves the earlier steps as they were.
    if set.files.is_empty() {
        return Ok(Vec::new());
    }
    let root = HostRoot::new(out);
    match root.read("/STEPS.md", MAX_STEPS) {
        Ok(text) if text.starts_with(OWN_STEPS.as_bytes()) => {}
        Err(Missing::NotPresent { .. }) => return Ok(Vec::new()),
        _ => {
            return Err(Error::Usage(format!(
                "refusing to write over `{}`, which no run of `patch` wrote: name another folder",
                out.join("STEPS.md").display()
            )));
        }
    }
    let mut found = Vec::new();
    let mut todo = vec![(String::new(), 0)];
    while let Some((dir, depth)) = todo.pop() {
        for entry in root.list(format!("{dir}/")).unwrap_or_default() {
            let path = format!("{dir}/{}", entry.name.to_string_lossy());
            if entry.is_dir && depth < 4 {
                todo.push((path, depth + 1));
            } else if !entry.is_dir && found.len() < MAX_STALE {
                let path = path.trim_start_matches('/');
                if set.file(path).is_none() {
                    found.push(path.to_owned());
                }
            }
        }
    }
    found.sort();
    Ok(found)
}
