//! The files that an `EnvironmentFile=` names: by path or by a pattern, among the files that were
//! given and below a host's root.

use std::collections::BTreeMap;

use regex::Regex;

use crate::evidence::Missing;
use crate::target::HostRoot;

/// Files that one pattern may name; they are held together.
const MAX_NAMED: usize = 100;

/// What lies where an `EnvironmentFile=` points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// These files, in the order in which they count: name and text.
    Files(Vec<(String, String)>),
    /// Nothing, for certain.
    Absent,
    /// It cannot be told; why.
    Unread(String),
}

/// Whether a path holds a pattern of glob(7).
pub(crate) fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// Whether a file's name is one of a pattern. Names with a leading dot are not, as in glob(7).
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    matcher(pattern)(name)
}

/// The same for many names.
fn matcher(pattern: &str) -> impl Fn(&str) -> bool {
    let hidden = pattern.starts_with('.');
    let pattern = Regex::new(&expression(pattern));
    move |name| {
        (hidden || !name.starts_with('.'))
            && pattern.as_ref().is_ok_and(|pattern| pattern.is_match(name))
    }
}

/// A pattern of glob(7) as a regular expression.
fn expression(pattern: &str) -> String {
    let escaped = |c: char| regex::escape(c.encode_utf8(&mut [0; 4]));
    let mut out = String::from("(?s)^");
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => {
                let (not, inside) = match chars.as_str().strip_prefix(['!', '^']) {
                    Some(inside) => ("^", inside),
                    None => ("", chars.as_str()),
                };
                // A bracket right after the opening one is a character of the class.
                let mut class = inside.chars();
                let first = class.next();
                let Some((first, (more, after))) = first.zip(class.as_str().split_once(']')) else {
                    out.push_str("\\[");
                    continue;
                };
                out.push('[');
                out.push_str(not);
                for c in std::iter::once(first).chain(more.chars()) {
                    match c {
                        '-' => out.push(c),
                        c => out.push_str(&escaped(c)),
                    }
                }
                out.push(']');
                chars = after.chars();
            }
            c => out.push_str(&escaped(c)),
        }
    }
    out.push('$');
    out
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Looks among the files that were given, by name. `near` is the unit's own file: of several nodes'
/// files the one that lies beside it is meant.
pub(super) fn of_texts(texts: &BTreeMap<String, String>, near: &str, path: &str) -> Option<Found> {
    let path = path.trim_start_matches('/');
    let (dir, base) = split(path);
    let common = |name: &str| {
        name.bytes()
            .zip(near.bytes())
            .take_while(|(a, b)| a == b)
            .count()
    };
    let below = |have: &str, wanted: &str| {
        have == wanted
            || have
                .strip_suffix(wanted)
                .is_some_and(|front| front.is_empty() || front.ends_with('/'))
    };
    if !is_pattern(path) {
        return texts
            .iter()
            .filter(|(name, _)| below(name, path))
            .max_by_key(|(name, _)| common(name))
            .map(|(name, text)| Found::Files(vec![(name.clone(), text.clone())]));
    }
    let fits = matcher(base);
    let mut found: Vec<(&String, &String)> = texts
        .iter()
        .filter(|(name, _)| {
            let (own, file) = split(name);
            below(own, dir) && fits(file)
        })
        .collect();
    let most = found.iter().map(|(name, _)| common(split(name).0)).max()?;
    found.retain(|(name, _)| common(split(name).0) == most);
    if found.len() > MAX_NAMED {
        return Some(Found::Unread(too_many(path)));
    }
    Some(Found::Files(
        found
            .into_iter()
            .map(|(name, text)| (name.clone(), text.clone()))
            .collect(),
    ))
}

fn too_many(path: &str) -> String {
    format!("{path} names more than {MAX_NAMED} files: they were not read")
}

/// Looks below a root.
pub(super) fn of_root(root: &HostRoot, prefix: &str, path: &str) -> Found {
    if !path.starts_with('/') {
        // systemd ignores a path that is not absolute.
        return Found::Absent;
    }
    let paths: Vec<String> = if is_pattern(path) {
        let (dir, base) = split(path);
        if is_pattern(dir) {
            return Found::Unread(format!(
                "{path}: a pattern in a folder's name is not followed"
            ));
        }
        let fits = matcher(base);
        match root.list(format!("{prefix}{dir}/")) {
            Ok(entries) => entries
                .iter()
                .filter(|entry| !entry.is_dir)
                .map(|entry| entry.name.to_string_lossy())
                .filter(|name| fits(name))
                .map(|name| format!("{dir}/{name}"))
                .collect(),
            Err(why) => return missing(root, prefix, path, &why),
        }
    } else {
        vec![path.to_owned()]
    };
    if paths.len() > MAX_NAMED {
        return Found::Unread(too_many(path));
    }
    let mut files = Vec::new();
    for path in paths {
        match root.read_text(format!("{prefix}{path}")) {
            Ok(text) => files.push((path, text)),
            Err(why) => return missing(root, prefix, &path, &why),
        }
    }
    if files.is_empty() {
        return Found::Absent;
    }
    Found::Files(files)
}

/// What is not there is absent where its tree was copied at all: `/etc` for `/etc/default/etcd`.
fn missing(root: &HostRoot, prefix: &str, path: &str, why: &Missing) -> Found {
    let top = path.split('/').nth(1).unwrap_or_default();
    match why {
        Missing::NotPresent { .. } if root.is_live() || root.exists(format!("{prefix}/{top}")) => {
            Found::Absent
        }
        Missing::NotPresent { .. } => Found::Unread(format!("{path} is not among the files")),
        why => Found::Unread(why.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_names() {
        for (pattern, name, want) in [
            ("*.env", "10.env", true),
            ("*.env", ".env", false),
            ("*.env", "10.envs", false),
            ("[0-9]?-*", "10-a", true),
            ("[!0-9]*", "10", false),
            ("[ab", "[ab", true),
            ("[]a]", "]", true),
            ("[^-a]", "b", true),
            ("[a-c&&b]", "a", true),
            ("a.b", "axb", false),
            ("ä?", "äö", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
        let long = "a".repeat(2_000);
        assert!(!matches(&format!("{}b", "a*".repeat(200)), &long));
    }

    #[test]
    fn of_several_nodes_the_file_beside_the_unit() {
        let texts: BTreeMap<String, String> = ["cp1", "cp2"]
            .into_iter()
            .map(|node| (format!("m/{node}/etc/default/etcd"), node.to_owned()))
            .collect();
        for path in ["/etc/default/etcd", "/etc/default/e*"] {
            let found = of_texts(&texts, "m/cp2/etc/systemd/system/etcd.service", path);
            let Some(Found::Files(files)) = found else {
                panic!("{path}: {found:?}");
            };
            assert_eq!(files.len(), 1, "{path}");
            assert_eq!(files[0].1, "cp2", "{path}");
        }
        assert_eq!(of_texts(&texts, "", "/default/etc"), None);
    }

    #[test]
    fn absent_is_known_only_where_the_tree_was_copied() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("etc/etcd")).unwrap();
        std::fs::write(dir.path().join("etc/etcd/2.env"), "A=2\n").unwrap();
        std::fs::write(dir.path().join("etc/etcd/1.env"), "A=1\n").unwrap();
        let root = HostRoot::new(dir.path());
        let Found::Files(files) = of_root(&root, "", "/etc/etcd/*.env") else {
            panic!("not found");
        };
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["/etc/etcd/1.env", "/etc/etcd/2.env"]);
        assert_eq!(of_root(&root, "", "/etc/etcd/*.conf"), Found::Absent);
        assert_eq!(of_root(&root, "", "/etc/no"), Found::Absent);
        for path in ["/var/no", "/etc/*/a", "/etc/etcd"] {
            assert!(
                matches!(of_root(&root, "", path), Found::Unread(_)),
                "{path}"
            );
        }
    }
}
