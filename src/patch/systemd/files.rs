//! Where a unit's files lie, and the files that it names.

use crate::manifest::{expand_specifiers, is_pattern, matches_pattern};
use crate::patch::model::NodeManifests;

/// The path below a root that a file's name stands for.
pub(in crate::patch) fn place(name: &str) -> String {
    if ["etc/", "run/", "usr/", "lib/"]
        .iter()
        .any(|dir| name.starts_with(dir))
    {
        name.to_owned()
    } else if name.ends_with(".service") || name.contains(".service.d/") {
        format!("etc/systemd/system/{name}")
    } else {
        format!("etc/default/{name}")
    }
}

/// Every file with the path that it has below the root: a file that a unit names lies where the
/// unit says, whatever folder it was copied to.
pub(in crate::patch) fn places(node: &NodeManifests) -> Vec<(String, String)> {
    let named: Vec<String> = node
        .files
        .iter()
        .filter(|(name, _)| name.ends_with(".service") || name.ends_with(".conf"))
        .flat_map(|(name, text)| named_files(name, text))
        .map(|named| named.path)
        .collect();
    node.files
        .iter()
        .map(|(name, text)| {
            let base = name.rsplit('/').next().unwrap_or(name);
            let own = place(name);
            let path = named
                .iter()
                .find_map(|path| {
                    let (dir, last) = path.rsplit_once('/')?;
                    let pattern = is_pattern(last) && matches_pattern(last, base);
                    (last == base || pattern).then(|| format!("{dir}/{base}"))
                })
                .filter(|_| own.starts_with("etc/default/"));
            (path.unwrap_or(own), text.clone())
        })
        .collect()
}

/// A file that a unit names, by its path below the root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    /// Its path without the leading slash; it may be a pattern of names.
    pub(crate) path: String,
    /// Whether the unit starts without it.
    pub(crate) optional: bool,
}

/// Files that a unit or its drop-in of that name names: its environment files, and the
/// configuration that etcd reads. What a specifier hides is left out; reading the unit says so.
pub(crate) fn named_files(name: &str, text: &str) -> Vec<Named> {
    let mut parts = name.rsplit('/');
    let unit = match (parts.next().unwrap_or_default(), parts.next()) {
        (own, _) if own.ends_with(".service") => own,
        (own, folder) => folder.and_then(|dir| dir.strip_suffix(".d")).unwrap_or(own),
    };
    let named = |path: &str| {
        let optional = path.starts_with('-');
        let path = path.trim_start_matches('-').trim_matches('"');
        let path = expand_specifiers(path, unit, None).ok()?;
        let path = path.strip_prefix('/')?.trim_start_matches('/').to_owned();
        Some(Named { path, optional })
    };
    let mut all: Vec<Named> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("EnvironmentFile="))
        .filter_map(named)
        .collect();
    for mark in ["--config-file", "ETCD_CONFIG_FILE"] {
        for (at, _) in text.match_indices(mark) {
            let rest = text.get(at + mark.len()..).unwrap_or_default();
            let path = rest
                .trim_start_matches(['=', ' ', '"'])
                .split(['"', '\'', ' ', '\n', '\r', '\\'])
                .next()
                .unwrap_or_default();
            all.extend(named(path));
        }
    }
    all
}
