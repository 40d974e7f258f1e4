//! Files written under one folder, all or none.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Component, Path, PathBuf};

use crate::error::Error;
use crate::patch::PatchFile;

use super::super::save;
use super::Args;
use super::manifests::existing;

/// Refuses to write where the kubelet would start what is written.
pub(super) fn refuse_static_pods(out: &Path) -> Result<PathBuf, Error> {
    // Resolve as much as exists, so that a symlink cannot hide the place.
    let mut missing = Vec::new();
    let mut at = if out.is_absolute() {
        out.to_owned()
    } else {
        existing(Path::new("."))?.join(out)
    };
    if at.components().any(|part| part == Component::ParentDir) && !at.exists() {
        return Err(Error::Usage(format!(
            "`--out {}` has `..` in a path that does not exist yet",
            out.display()
        )));
    }
    let real = loop {
        if let Ok(real) = fs::canonicalize(&at) {
            break real;
        }
        match (at.file_name().map(ToOwned::to_owned), at.parent()) {
            (Some(name), Some(parent)) => {
                missing.push(name);
                at = parent.to_owned();
            }
            _ => break at,
        }
    };
    let full = missing
        .iter()
        .rev()
        .fold(real, |path, name| path.join(name));
    if let Some(why) = acts(&full) {
        return Err(Error::Usage(format!(
            "refusing to write into `{}`: {why}",
            full.display()
        )));
    }
    Ok(full)
}

/// Refuses to write where this program reads: the next run would take what is written for nodes of
/// their own.
pub(super) fn refuse_inputs(out: &Path, args: &Args) -> Result<(), Error> {
    let bundle = args.bundle.as_ref().map(|path| path.join("manifests"));
    for read in args.manifests.iter().chain(&bundle) {
        let Ok(read) = fs::canonicalize(read) else {
            continue;
        };
        if read.is_dir() && out.starts_with(&read) {
            return Err(Error::Usage(format!(
                "refusing to write into `{}`: it lies in `{}`, and the next run would read its files as \
                 those of nodes",
                out.display(),
                read.display()
            )));
        }
    }
    Ok(())
}

/// What somebody does with every file in a folder or below it, on this machine or in a tree that
/// stands for one.
fn acts(path: &Path) -> Option<&'static str> {
    const FOLDERS: [(&str, &str); 8] = [
        ("etc/kubernetes/manifests", STARTS),
        ("rancher/rke2/agent/pod-manifests", STARTS),
        ("rancher/k3s/agent/pod-manifests", STARTS),
        (
            "rancher/rke2/server/manifests",
            "RKE2 applies every file under it",
        ),
        (
            "rancher/k3s/server/manifests",
            "k3s applies every file under it",
        ),
        ("etc/rancher/rke2", READS),
        ("etc/rancher/k3s", READS),
        ("etc/systemd/system", READS),
    ];
    const STARTS: &str = "the kubelet starts every file under it";
    const READS: &str = "what is under it is in force at the next restart";
    let of = |dir: &Path| FOLDERS.iter().find(|(end, _)| dir.ends_with(end));
    path.ancestors().find_map(of).map(|(_, why)| *why)
}

/// Writes all files or none: everything is staged beside its place first, then moved.
pub(super) fn write_files(out: &Path, files: &[PatchFile]) -> Result<(), Error> {
    let mut staged: Vec<(PathBuf, PathBuf)> = Vec::new();
    let result = stage(out, files, &mut staged);
    let result = result.and_then(|()| put_in_place(&staged));
    if result.is_err() {
        // What was moved is gone from here; the rest goes now.
        for (temp, _) in &staged {
            fs::remove_file(temp).ok();
        }
    }
    result
}

/// Moves what was staged to its place; on failure what came new goes again.
fn put_in_place(staged: &[(PathBuf, PathBuf)]) -> Result<(), Error> {
    let mut new: Vec<&Path> = Vec::new();
    for (temp, path) in staged {
        let fresh = fs::symlink_metadata(path).is_err();
        if let Err(source) = fs::rename(temp, path) {
            for path in new {
                fs::remove_file(path).ok();
            }
            return Err(Error::Write {
                path: path.clone(),
                source,
            });
        }
        if fresh {
            new.push(path);
        }
    }
    Ok(())
}

fn stage(
    out: &Path,
    files: &[PatchFile],
    staged: &mut Vec<(PathBuf, PathBuf)>,
) -> Result<(), Error> {
    for file in files {
        let path = out.join(&file.path);
        let fail = |source| Error::Write {
            path: path.clone(),
            source,
        };
        let dir = path.parent().unwrap_or(out);
        // What is written holds what the node's own files hold, secrets too.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(fail)?;
        // A link inside the folder must not lead out of it.
        let inside = fs::canonicalize(dir).map_err(fail)?;
        let root = fs::canonicalize(out).map_err(fail)?;
        if !inside.starts_with(&root) || acts(&inside).is_some() {
            return Err(Error::Usage(format!(
                "`{}` leads out of `{}`",
                dir.display(),
                out.display()
            )));
        }
        if staged.iter().any(|(_, have)| *have == path) {
            return Err(fail(std::io::Error::other(
                "two files of this name were to be written",
            )));
        }
        let (temp, mut handle) = save::fresh(dir).map_err(fail)?;
        staged.push((temp, path.clone()));
        handle.write_all(file.content.as_bytes()).map_err(fail)?;
        handle.sync_all().map_err(fail)?;
    }
    Ok(())
}
