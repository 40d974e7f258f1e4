//! Keeps the table of who may name whom: a module that names one it must not know fails here.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test over the program's own sources"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules at the bottom, which every other may use.
const BASE: &[&str] = &["units", "clock", "sys", "catalog", "formats"];
/// Engines: they never name each other.
const ENGINES: &[&str] = &["host", "manifest", "metrics", "logs", "etcd", "bench"];
/// What may name everything: the command line ties the parts together.
const FREE: &[&str] = &["cli", "lib", "main"];

/// What a module may name besides itself and `BASE`; `None` means everything.
fn allowed(module: &str) -> Option<Vec<&'static str>> {
    let list: &[&str] = match module {
        "units" | "clock" | "sys" | "catalog" | "formats" | "exit" => &[],
        "evidence" | "profile" => &["evidence", "profile"],
        "target" => &["evidence", "profile"],
        "error" => &["exit"],
        engine if ENGINES.contains(&engine) => &["evidence", "profile", "target"],
        "rules" => &["evidence", "profile"],
        "diagnosis" => &["evidence", "profile", "rules"],
        "advise" => &["evidence", "profile", "rules", "diagnosis"],
        "patch" => &[
            "advise", "manifest", "evidence", "rules", "target", "profile",
        ],
        "bundle" => &["evidence", "target"],
        "playbook" => &[],
        "report" => &[
            "evidence",
            "profile",
            "rules",
            "diagnosis",
            "advise",
            "patch",
        ],
        "render" => &[
            "report",
            "playbook",
            "evidence",
            "rules",
            "diagnosis",
            "advise",
            "patch",
        ],
        _ => return None,
    };
    Some(list.to_vec())
}

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            into.push(path);
        }
    }
}

/// The top-level modules, and the roots of the crate.
fn modules(root: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(root).unwrap();
    let name = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    entries.map(|entry| name(entry.unwrap().path())).collect()
}

/// Top-level modules that a source names, in `use crate::…` and in paths.
fn named(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = text.get(at + "crate::".len()..).unwrap_or_default();
        if let Some(group) = rest.strip_prefix('{') {
            for part in group.split('}').next().unwrap_or("").split(',') {
                names.insert(word(part.trim()));
            }
        } else {
            names.insert(word(rest));
        }
    }
    names.remove("");
    names
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect()
}

/// A source without what is only compiled for tests, and without comments. What stands behind a test
/// module is program again.
fn program(text: &str) -> String {
    let mut kept = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        if line.trim() != "#[cfg(test)]" {
            kept.push(line);
            continue;
        }
        // The item ends at its own depth: `mod tests;`, a field, or the brace that closes a block.
        let indent = line.get(..line.len() - line.trim_start().len()).unwrap();
        for item in lines.by_ref() {
            let own = item
                .strip_prefix(indent)
                .filter(|rest| !rest.starts_with(char::is_whitespace));
            if own.is_some_and(|rest| rest.ends_with([';', ',', '}'])) {
                break;
            }
        }
    }
    kept.join("\n")
}

#[test]
fn what_stands_behind_a_test_module_is_looked_at() {
    let of = |text: &str| named(&program(text)).into_iter().collect::<Vec<_>>();
    let outside = "#[cfg(test)]\nmod tests;\n\nuse crate::render;\n";
    assert_eq!(of(outside), ["render"]);
    let block = "use crate::logs;\n#[cfg(test)]\n#[expect(\n    unused,\n)]\npub(crate) mod tests {\n    \
                 use crate::host;\n}\nuse crate::{cli, patch};\n";
    assert_eq!(of(block), ["cli", "logs", "patch"]);
    let within = "impl A {\n    #[cfg(test)]\n    fn a() {\n        crate::host::a();\n    }\n    fn b() \
                  {\n        crate::etcd::b();\n    }\n}\n";
    assert_eq!(of(within), ["etcd"]);
}

#[test]
fn nobody_names_a_module_it_must_not_know() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 50, "the sources were not found");
    let modules = modules(&root);
    let mut wrong = Vec::new();
    for file in &files {
        let inside = file.strip_prefix(&root).unwrap();
        let module = inside
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs")
            .to_owned();
        let Some(allowed) = allowed(&module) else {
            continue;
        };
        let text = program(&fs::read_to_string(file).unwrap());
        for name in named(&text) {
            let known = modules.contains(&name);
            if !known
                || name == module
                || BASE.contains(&name.as_str())
                || allowed.contains(&name.as_str())
            {
                continue;
            }
            wrong.push(format!("{} names {name}", inside.display()));
        }
        let engine = ENGINES.contains(&module.as_str());
        let view = inside.file_name().unwrap() == "collect.rs"
            || inside.components().any(|c| c.as_os_str() == "collect");
        if engine && !view && named(&text).contains("evidence") {
            // Missing is the vocabulary of "could not tell" and is needed where files are read.
            let only_missing = text.match_indices("crate::evidence::").all(|(at, found)| {
                text.get(at + found.len()..)
                    .is_some_and(|rest| rest.starts_with("Missing"))
            });
            if !only_missing {
                wrong.push(format!(
                    "{} names evidence outside its collect.rs",
                    inside.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_names_what_there_is() {
    let modules = modules(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    for module in &modules {
        let told = allowed(module).is_some();
        assert_ne!(told, FREE.contains(&module.as_str()), "{module}");
        for other in allowed(module).unwrap_or_default() {
            assert!(modules.contains(other), "{module} may name `{other}`");
        }
    }
    for name in BASE.iter().chain(ENGINES).chain(FREE) {
        assert!(modules.contains(*name), "there is no `{name}`");
    }
}

#[test]
fn every_source_says_what_it_is_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        assert!(
            text.starts_with("//! "),
            "{} opens without its purpose",
            file.display()
        );
    }
}

#[test]
fn main_decides_nothing() {
    let main = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/main.rs");
    assert!(fs::read_to_string(main).unwrap().lines().count() < 40);
}
