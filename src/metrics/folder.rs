//! Scrapes in files: which files of a folder, inflated as needed.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::clock::Timestamp;
use crate::target::HostRoot;

use super::fault::{Fault, FaultKind};
use super::load::{Hint, Loader, file_of};
use super::prometheus_api;

/// Bytes of a file that tell whether it is a scrape.
const HEAD: u64 = 4096;

/// Reads all scrapes below a folder: those in `metrics` folders, or, where there is none, every
/// file that looks like one.
pub fn read_folder(root: &HostRoot, loader: &mut Loader) {
    let mut files = Vec::new();
    let is_metrics = root
        .path()
        .file_name()
        .is_some_and(|name| name == "metrics");
    let mut todo = vec![(String::new(), 0, is_metrics)];
    while let Some((dir, depth, inside)) = todo.pop() {
        let at = if dir.is_empty() { "/" } else { dir.as_str() };
        let Ok(entries) = root.list(at) else { continue };
        for entry in entries {
            let Some(name) = entry.name.to_str() else {
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            let path = format!("{dir}/{name}");
            if entry.is_dir {
                // Other kinds of evidence of a bundle; /proc alone has a million files.
                let other = matches!(
                    name,
                    "logs" | "host" | "manifests" | "proc" | "sys" | "pods"
                );
                if depth < 6 && (inside || !other) {
                    todo.push((path, depth + 1, inside || name == "metrics"));
                }
            } else {
                files.push((path, inside));
            }
        }
    }
    files.sort();
    let ends = |path: &str, ends: &[&str]| {
        let path = path.trim_end_matches(".gz").trim_end_matches(".zst");
        ends.iter().any(|end| path.ends_with(end))
    };
    let surely = |path: &str| ends(path, &[".prom", ".metrics"]);
    let any_inside = files.iter().any(|(_, inside)| *inside);
    let any_sure = files.iter().any(|(path, _)| surely(path));
    // Nobody said of any file that it holds metrics: it only may, by its name.
    let guessed = !any_inside && !any_sure;
    let (faults, scrapes) = (loader.faults.len(), loader.scrapes.len());
    let mut count = 0;
    for (path, inside) in files {
        let take = if any_inside {
            inside
        } else if any_sure {
            surely(&path)
        } else {
            let name = file_of(&path);
            ends(&path, &[".txt", ".json", ".out"]) || !name.contains('.')
        };
        if !take {
            continue;
        }
        count += 1;
        if count > loader.limits.files {
            loader.fault(Fault::new(
                path.trim_start_matches('/'),
                FaultKind::OverLimit,
                "not read: over the limit of files",
            ));
            break;
        }
        read_file(root, &path, loader);
    }
    if guessed {
        let own = loader.faults.split_off(faults);
        if loader.scrapes.len() > scrapes {
            loader.faults.extend(of_scrapes(own));
        }
    }
}

/// Faults of files that are scrapes or may be: what is none is no fault of the folder's.
fn of_scrapes(faults: Vec<Fault>) -> Vec<Fault> {
    let none: BTreeSet<String> = faults
        .iter()
        .filter(|fault| fault.kind == FaultKind::NotMetrics)
        .map(|fault| fault.source.clone())
        .collect();
    faults
        .into_iter()
        .filter(|fault| !none.contains(&fault.source))
        .collect()
}

/// Reads files that were given one by one, as a folder that holds them all is read: a shell's pattern
/// names the files of a folder, in any order.
pub fn read_files(paths: &[PathBuf], loader: &mut Loader) {
    let mut paths: Vec<&PathBuf> = paths.iter().collect();
    paths.sort();
    paths.dedup();
    let Some(mut above) = paths.first().and_then(|path| path.parent()) else {
        return;
    };
    while let Some(parent) = above.parent()
        && !paths.iter().all(|path| path.starts_with(above))
    {
        above = parent;
    }
    let root = HostRoot::new(above);
    for path in &paths {
        let inside = path.strip_prefix(above).unwrap_or(path);
        match inside.to_str() {
            Some(inside) => read_file(&root, inside, loader),
            None => loader.fault(Fault::new(
                inside.to_string_lossy(),
                FaultKind::Unreadable,
                "its name is no text",
            )),
        }
    }
}

/// Whether a file begins as a scrape or an answer of Prometheus does, whatever its name is.
pub fn is_scrape(path: &Path) -> bool {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
    else {
        return false;
    };
    let Ok(file) = HostRoot::new(folder).open(name) else {
        return false;
    };
    // What came out before an end or an error is enough.
    let head = match inflated(file.take(HEAD), HEAD) {
        Ok(head) | Err((head, _)) => head,
    };
    let text = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&head);
    let text = text.trim_ascii_start();
    text.starts_with(b"# HELP ") || text.starts_with(b"# TYPE ") || prometheus_api::is_answer(text)
}

/// Reads one file, inflating it where needed.
pub fn read_file(root: &HostRoot, path: &str, loader: &mut Loader) {
    if let Ok(real) = root.resolve(path)
        && !loader.read.insert(real)
    {
        return;
    }
    let source = path.trim_start_matches('/').to_owned();
    let cap = loader.limits.scrape_bytes;
    let bytes = match root.open(path).map(|file| inflated(file, cap)) {
        Ok(Ok(bytes)) => bytes,
        Ok(Err((some, why))) => {
            // What came out before the error is a torn scrape, which is still of use.
            loader.fault(Fault::new(&source, FaultKind::Unreadable, why));
            some
        }
        Err(missing) => {
            loader.fault(Fault::new(
                &source,
                FaultKind::Unreadable,
                missing.to_string(),
            ));
            return;
        }
    };
    if bytes.is_empty() && loader.faults.last().is_some_and(|f| f.source == source) {
        return;
    }
    let modified = root
        .resolve(path)
        .ok()
        .and_then(|real| std::fs::metadata(real).ok()?.modified().ok())
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .map(Timestamp);
    let hint = Hint {
        modified,
        ..Hint::default()
    };
    loader.add(&source, &source, &bytes, &hint);
}

/// All bytes of a file, gzip and zstd inflated; on an error what came out before, and why.
fn inflated(file: impl Read, cap: u64) -> Result<Vec<u8>, (Vec<u8>, String)> {
    let limits = crate::formats::inflate::Limits {
        bytes: cap,
        ..Default::default()
    };
    let mut bytes = Vec::new();
    let mut source = match crate::formats::inflate::Inflate::new(file, limits) {
        Ok(source) => source,
        Err(err) => return Err((bytes, err.to_string())),
    };
    match source.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(err) => Err((bytes, err.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Limits;

    #[test]
    fn faults_of_files_that_only_may_be_scrapes_are_told_beside_scrapes() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
        let faults = || {
            let mut loader = Loader::new(Limits::default());
            read_folder(&HostRoot::new(dir.path()), &mut loader);
            let faults = loader.faults.iter();
            faults.map(|fault| fault.source.clone()).collect::<Vec<_>>()
        };
        // A damaged archive, and what is none: anything may lie in a copy of a node's root.
        put("notes.txt.gz", b"\x1f\x8b\x08\x00damaged");
        put("token", b"K10abc::server:zz\n");
        assert!(faults().is_empty());
        put("etcd", b"etcd_server_has_leader 1\n");
        assert_eq!(faults(), ["notes.txt.gz"]);
    }
}
