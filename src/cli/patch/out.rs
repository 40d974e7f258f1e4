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
    const FOLDERS: [(&str, &str); 15] = [
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
        ("var/lib/k0s/manifests", "k0s applies every file under it"),
        ("etc/rancher/rke2", READS),
        ("etc/rancher/k3s", READS),
        ("etc/systemd/system", READS),
        ("run/systemd/system", READS),
        ("usr/lib/systemd/system", READS),
        ("lib/systemd/system", READS),
        ("usr/local/lib/systemd/system", READS),
        ("microk8s/current/args", READS),
        ("etc/k0s", READS),
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

/// Moves what was staged to its place; on failure what came new goes again, and what was there
/// before comes back.
fn put_in_place(staged: &[(PathBuf, PathBuf)]) -> Result<(), Error> {
    // What surely fails, fails before anything was moved.
    for (_, path) in staged {
        if fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()) {
            return Err(Error::Write {
                path: path.clone(),
                source: std::io::Error::from(std::io::ErrorKind::IsADirectory),
            });
        }
    }
    // Each moved file, with a second name of the one that it took the place of.
    let mut moved: Vec<(&Path, Option<PathBuf>)> = Vec::new();
    let mut result = Ok(());
    for (temp, path) in staged {
        let kept = second_name(path);
        let renamed = fs::rename(temp, path);
        moved.push((path, kept));
        if let Err(source) = renamed {
            result = Err(Error::Write {
                path: path.clone(),
                source,
            });
            break;
        }
    }
    let failed = result.is_err().then(|| moved.pop()).flatten();
    for (path, kept) in &moved {
        match kept {
            Some(kept) if result.is_err() => fs::rename(kept, path).ok(),
            Some(kept) => fs::remove_file(kept).ok(),
            None if result.is_err() => fs::remove_file(path).ok(),
            None => None,
        };
    }
    if let Some((_, Some(kept))) = failed {
        fs::remove_file(kept).ok();
    }
    result
}

/// Another name for a file that is about to be replaced, so that it can come back; `None` where there
/// is no file.
fn second_name(path: &Path) -> Option<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name()?);
    name.push(format!(".{}.before", std::process::id()));
    let kept = path.with_file_name(name);
    fs::hard_link(path, &kept).ok().map(|()| kept)
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

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests look at what was written"
)]
mod tests {
    use super::*;

    fn file(path: &str, content: &str) -> PatchFile {
        PatchFile {
            path: path.to_owned(),
            content: content.to_owned(),
            what: String::new(),
            advice: Vec::new(),
        }
    }

    #[test]
    fn what_was_there_stays_when_one_file_cannot_be_written() {
        let out = tempfile::tempdir().unwrap();
        let at = |name: &str| out.path().join(name);
        let read = |name: &str| fs::read_to_string(at(name)).unwrap();
        write_files(out.path(), &[file("a.yaml", "old")]).unwrap();
        fs::create_dir(at("b.yaml")).unwrap();
        let files = [file("a.yaml", "new"), file("b.yaml", "x")];
        assert!(write_files(out.path(), &files).is_err());
        assert_eq!(read("a.yaml"), "old");
        // Nothing is left of the try, and none of the way back.
        let names = || fs::read_dir(out.path()).unwrap().count();
        assert_eq!(names(), 2);
        fs::remove_dir(at("b.yaml")).unwrap();
        write_files(out.path(), &files).unwrap();
        assert_eq!((read("a.yaml"), read("b.yaml")), ("new".into(), "x".into()));
        assert_eq!(names(), 2);
    }

    #[test]
    fn a_file_that_fails_late_brings_the_others_back() {
        let out = tempfile::tempdir().unwrap();
        let at = |name: &str| out.path().join(name);
        for (name, text) in [("old", "1"), ("staged", "2"), ("fresh", "3")] {
            fs::write(at(name), text).unwrap();
        }
        let staged = [
            (at("staged"), at("old")),
            (at("fresh"), at("new")),
            (at("not there"), at("third")),
        ];
        assert!(put_in_place(&staged).is_err());
        assert_eq!(fs::read_to_string(at("old")).unwrap(), "1");
        assert!(!at("new").exists());
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1);
    }

    #[test]
    fn folders_whose_files_act_are_known() {
        for path in [
            "/etc/kubernetes/manifests",
            "/host/etc/kubernetes/manifests/sub",
            "/var/lib/k0s/manifests/etcd",
            "/run/systemd/system",
            "/usr/lib/systemd/system/etcd.service.d",
            "/var/snap/microk8s/current/args",
        ] {
            assert!(acts(Path::new(path)).is_some(), "{path}");
        }
        assert_eq!(acts(Path::new("/root/patches")), None);
    }
}
