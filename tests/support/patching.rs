//! What tests of `patch` share: trees of files, JSON patches and diffs applied by other code than
//! the program's own.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "shared by several test binaries, each of which uses a part of it"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use etcd_doctor::manifest::{read_bundle, settle_all};
use etcd_doctor::target::HostRoot;
use serde_json::Value;

/// Every file under a folder with its text.
pub fn tree(dir: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(at) = todo.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap();
                let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                all.insert(name.to_string_lossy().into_owned(), text);
            }
        }
    }
    all
}

/// Writes files below a folder.
pub fn write_tree<'a>(dir: &Path, files: impl IntoIterator<Item = (&'a str, &'a str)>) {
    for (name, text) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Copies a folder.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let place = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_tree(&path, &place);
        } else {
            fs::copy(&path, &place).unwrap();
        }
    }
}

/// Some of a tree as one text, for whole comparison.
pub fn as_text(files: &BTreeMap<String, String>, keep: impl Fn(&str) -> bool) -> String {
    let mut out = String::new();
    for (name, text) in files.iter().filter(|(name, _)| keep(name)) {
        write!(out, "==> {name}\n{text}").unwrap();
        if !text.ends_with('\n') {
            out.push('\n');
        }
    }
    out
}

/// RFC 6902, strictly.
pub fn json_patch(value: &mut Value, operations: &Value) -> Result<(), String> {
    for one in operations.as_array().ok_or("no list")? {
        let (op, path) = (one["op"].as_str().unwrap(), one["path"].as_str().unwrap());
        let (parent, key) = path.rsplit_once('/').unwrap();
        let key = key.replace("~1", "/").replace("~0", "~");
        if op == "test" {
            let have = value.pointer(path).cloned().unwrap_or(Value::Null);
            if have != one["value"] {
                return Err(format!("test of {path}: {have}"));
            }
            continue;
        }
        let new = one["value"].clone();
        let at = value.pointer_mut(parent).ok_or(format!("no {parent}"))?;
        match (at, op) {
            (Value::Array(list), "add") if key == "-" => list.push(new),
            (Value::Array(list), op) => {
                let index: usize = key.parse().map_err(|_| key.clone())?;
                match op {
                    "add" if index <= list.len() => list.insert(index, new),
                    "replace" if index < list.len() => list[index] = new,
                    "remove" if index < list.len() => drop(list.remove(index)),
                    _ => return Err(format!("{op} {path}")),
                }
            }
            (Value::Object(map), "add") => drop(map.insert(key, new)),
            (Value::Object(map), "replace") if map.contains_key(&key) => {
                map.insert(key, new);
            }
            (Value::Object(map), "remove") if map.contains_key(&key) => drop(map.remove(&key)),
            (_, op) => return Err(format!("{op} {path}")),
        }
    }
    Ok(())
}

/// Applies a unified diff, or takes it back; `None` where the text is not the one it was made from.
pub fn apply_diff(text: &str, diff: &str, back: bool) -> Option<String> {
    let (gone, new) = if back { ('+', '-') } else { ('-', '+') };
    let old: Vec<&str> = text.split_inclusive('\n').collect();
    let mut out = String::new();
    let mut at = 0;
    for line in diff.split_inclusive('\n').skip(2) {
        if let Some(head) = line.strip_prefix("@@ -") {
            let (before, after) = head.split_once(" +")?;
            let side = if back { after } else { before };
            let start = side.split([',', ' ']).next()?.parse::<usize>().ok()?;
            let empty = side.split(' ').next()?.ends_with(",0");
            let start = if empty { start } else { start - 1 };
            out.extend(old.get(at..start)?.iter().copied());
            at = start;
            continue;
        }
        let (mark, body) = (line.chars().next()?, line.get(1..)?);
        if mark == ' ' || mark == gone {
            if *old.get(at)? != body {
                return None;
            }
            at += 1;
        }
        if mark == ' ' || mark == new {
            out.push_str(body);
        }
    }
    out.extend(old.get(at..)?.iter().copied());
    Some(out)
}

/// What a tree of files sets: component, setting, value.
pub fn in_force(dir: &Path) -> BTreeMap<(String, String), String> {
    let model = read_bundle(&HostRoot::new(dir));
    let mut all = BTreeMap::new();
    for unit in settle_all(&model) {
        let name = unit.main().name.clone();
        for (setting, one) in unit.settled.settings {
            if one.place.is_some() {
                all.insert((name.clone(), setting), one.value.unwrap_or_default());
            }
        }
    }
    all
}
