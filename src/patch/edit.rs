//! Edits of YAML that leave everything else as it was.
//!
//! What is wanted is given as plain values. Where they differ from what the text reads as, the text is
//! changed through its syntax tree (`yaml-edit`), so comments, order, quotes and line ends stay. The
//! result is read again, and counts only when it equals what was wanted: a list that an alias shares,
//! or a second meaning of a key, can so never be changed by mistake.

use yaml_edit::{Mapping, Sequence, YamlFile, YamlNode};
use yaml_serde::Value;

use super::yaml::{documents, quoted, scalar};

/// The text that reads as the wanted documents, with the fewest changes; `None` where there is none.
pub(super) fn rewrite(text: &str, wanted: &[Value]) -> Option<String> {
    let before = documents(text).ok()?;
    if before == wanted {
        return Some(text.to_owned());
    }
    let file: YamlFile = text.parse().ok()?;
    let trees: Vec<_> = file.documents().collect();
    if before.len() != wanted.len() || trees.len() != before.len() {
        return None;
    }
    for ((tree, old), new) in trees.iter().zip(&before).zip(wanted) {
        if old == new {
            continue;
        }
        if let (Some(map), Value::Mapping(_), Value::Mapping(_)) = (tree.as_mapping(), old, new) {
            change_map(&map, old, new)?;
        } else {
            let list = tree.as_sequence()?;
            change_list(&list, old.as_sequence()?, new.as_sequence()?)?;
        }
    }
    let out = file.to_string();
    let json = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let same = documents(&out).is_ok_and(|have| have == wanted);
    // A file in JSON stays one.
    (same && (json(&out) || !json(text))).then_some(out)
}

/// Where a new text goes, which decides its quotes.
#[derive(Clone, Copy)]
enum In {
    /// Values of maps are quoted: most of them are numbers and truth values that must be texts.
    Map,
    /// Elements of lists are flags.
    List,
}

/// A value as the text of one scalar, in the quotes that are there.
fn form(old: Option<&str>, new: &Value, place: In) -> Option<String> {
    let old = old.map(str::trim).unwrap_or_default();
    Some(match new {
        Value::String(text) if old.starts_with('"') => quoted(text),
        Value::String(text) if old.starts_with('\'') && !text.contains(char::is_control) => {
            format!("'{}'", text.replace('\'', "''"))
        }
        Value::String(text) if old.is_empty() && matches!(place, In::Map) => quoted(text),
        // In a flow list a comma ends a plain text.
        Value::String(text) if text.contains([',', '[', ']', '{', '}']) => quoted(text),
        Value::String(text) => scalar(text),
        Value::Number(_) | Value::Bool(_) => yaml_serde::to_string(new).ok()?.trim_end().to_owned(),
        _ => return None,
    })
}

fn change(node: &YamlNode, old: &Value, new: &Value, place: In) -> Option<()> {
    match (node, old, new) {
        (_, old, new) if old == new => {}
        (YamlNode::Mapping(map), Value::Mapping(_), Value::Mapping(_)) => {
            change_map(map, old, new)?;
        }
        (YamlNode::Sequence(list), Value::Sequence(old), Value::Sequence(new)) => {
            change_list(list, old, new)?;
        }
        (YamlNode::Scalar(one), _, Value::String(_) | Value::Number(_) | Value::Bool(_)) => {
            one.set_value(&form(Some(&one.value()), new, place)?);
        }
        _ => return None,
    }
    Some(())
}

fn change_map(map: &Mapping, old: &Value, new: &Value) -> Option<()> {
    let (old, new) = (old.as_mapping()?, new.as_mapping()?);
    for (key, _) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
        map.remove(key.as_str()?)?;
    }
    for (key, value) in new {
        let name = key.as_str()?;
        match old.get(key) {
            Some(have) if have == value => {}
            // A key without a value.
            Some(Value::Null) => fresh(map, name, value)?,
            // `extraArgs: {}` that becomes a list.
            Some(Value::Mapping(have)) if have.is_empty() && value.is_sequence() => {
                fresh(map, name, value)?;
            }
            // An alias is no node of its own: what it names belongs to others too.
            Some(have) => change(&map.get(name)?, have, value, In::Map)?,
            None => fresh(map, name, value)?,
        }
    }
    Some(())
}

/// Sets a key; in quotes where the others of a flow map have them.
fn set(map: &Mapping, key: &str, value: impl yaml_edit::AsYaml) {
    let text = map.to_string();
    let first = text.trim_start_matches(|c: char| c == '{' || c.is_whitespace());
    if map.is_flow_style() && first.starts_with('"') {
        map.set(yaml_edit::ScalarValue::double_quoted(key), value);
    } else {
        map.set(key, value);
    }
}

/// A key with a value that is new as a whole.
fn fresh(map: &Mapping, key: &str, value: &Value) -> Option<()> {
    match value {
        Value::Mapping(inner) => {
            set(map, key, Mapping::new());
            let YamlNode::Mapping(made) = map.get(key)? else {
                return None;
            };
            for (key, value) in inner {
                fresh(&made, key.as_str()?, value)?;
            }
        }
        Value::Sequence(inner) => {
            set(map, key, Sequence::new());
            let YamlNode::Sequence(made) = map.get(key)? else {
                return None;
            };
            for (at, value) in inner.iter().enumerate() {
                put(&made, at, value)?;
            }
        }
        Value::Null => set(map, key, yaml_edit::ScalarValue::null()),
        _ => {
            set(map, key, "x");
            // The name of a flag is plain, as kubeadm writes it; in JSON nothing is.
            let place = if key == "name" && !map.is_flow_style() {
                In::List
            } else {
                In::Map
            };
            map.get(key)?
                .as_scalar()?
                .set_value(&form(None, value, place)?);
        }
    }
    Some(())
}

fn change_list(list: &Sequence, old: &[Value], new: &[Value]) -> Option<()> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old, new) = (old.get(head..)?, new.get(head..)?);
    let tail = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let (old, new) = (old.get(..old.len() - tail)?, new.get(..new.len() - tail)?);
    let both = old.len().min(new.len());
    for (at, (old, new)) in old.iter().zip(new).enumerate() {
        change(&list.get(head + at)?, old, new, In::List)?;
    }
    for _ in both..old.len() {
        list.remove(head + both)?;
    }
    for (at, value) in new.iter().enumerate().skip(both) {
        put(list, head + at, value)?;
    }
    Some(())
}

/// A new element.
fn put(list: &Sequence, at: usize, value: &Value) -> Option<()> {
    if let Value::Mapping(inner) = value {
        list.insert(at, Mapping::new());
        let node = list.get(at)?;
        let made = node.as_mapping()?;
        for (key, value) in inner {
            fresh(made, key.as_str()?, value)?;
        }
        return Some(());
    }
    // A flow list may be JSON.
    let place = if list.is_flow_style() {
        In::Map
    } else {
        In::List
    };
    list.insert(at, "x");
    list.get(at)?
        .as_scalar()?
        .set_value(&form(None, value, place)?);
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POD: &str = "\
# made by kubeadm
spec:
  containers:
  - command:
    - kcm
    - --bind-address=127.0.0.1   # local only
    - --kube-api-burst=30
    - '--leader-elect=true'
    - \"--v=2\"
    image: x
    name: kcm
    env:
    - name: X
      value: --kube-api-burst=30
  hostNetwork: true
";

    fn list(documents: &mut [Value]) -> Option<&mut Vec<Value>> {
        documents
            .iter_mut()
            .find_map(|document| {
                document
                    .get_mut("spec")?
                    .get_mut("containers")?
                    .get_mut(0)?
                    .get_mut("command")
            })?
            .as_sequence_mut()
    }

    fn flags(text: &str, edit: impl Fn(&mut Vec<Value>)) -> Option<String> {
        let mut wanted = documents(text).ok()?;
        edit(list(&mut wanted)?);
        rewrite(text, &wanted)
    }

    /// Lines that went and lines that came.
    fn changed(before: &str, after: &str) -> (Vec<String>, Vec<String>) {
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        for change in similar::TextDiff::from_lines(before, after).iter_all_changes() {
            let line = change.value().to_owned();
            match change.tag() {
                similar::ChangeTag::Delete => gone.push(line),
                similar::ChangeTag::Insert => new.push(line),
                similar::ChangeTag::Equal => {}
            }
        }
        (gone, new)
    }

    /// The manifest of above as people write it.
    fn forms() -> Vec<(&'static str, String)> {
        let burst = "    - --kube-api-burst=30\n    - '";
        vec![
            ("plain", POD.to_owned()),
            ("crlf", POD.replace('\n', "\r\n")),
            ("mixed line ends", POD.replacen('\n', "\r\n", 4)),
            ("byte order mark", format!("\u{feff}{POD}")),
            ("mark", format!("---\n{POD}")),
            ("directive", format!("%YAML 1.2\n---\n{POD}")),
            ("end mark", format!("{POD}...\n")),
            ("no end of line", POD.trim_end().to_owned()),
            ("another after it", format!("{POD}---\na: {{b: 1}} # c\n")),
            ("another before it", format!("a: {{b: 1}} # c\n---\n{POD}")),
            (
                "anchors elsewhere",
                format!("{POD}x: &all {{a: 1}}\ny: *all\n"),
            ),
            (
                "tab before a comment",
                POD.replace("   # local", "\t# local"),
            ),
            ("wide dashes", POD.replace("    - -", "    -   -")),
            (
                "indented list",
                POD.replace("    - ", "      - ")
                    .replace("      - name: X\n      v", "    - name: X\n      v"),
            ),
            (
                "comments between",
                POD.replace(
                    burst,
                    "    # a\n    - --kube-api-burst=30 # b\n\n    # c\n    - '",
                ),
            ),
            (
                "comment after the key",
                POD.replace("- command:\n", "- command: # flags\n    # ours\n"),
            ),
            (
                "a text over two lines",
                POD.replace(
                    "    - \"--v=2\"\n",
                    "    - --x=a\n      b\n    - \"--v=2\"\n",
                ),
            ),
            ("escapes", POD.replace("\"--v=2\"", "\"--v=\\u0032\"")),
            (
                "block scalar",
                POD.replace(
                    "value: --kube-api-burst=30\n",
                    "value: |\n        --kube-api-burst=30\n        # no comment\n",
                ),
            ),
            ("quoted key", POD.replace("- command:", "- \"command\" :")),
            ("other letters", POD.replace("made by", "gemächt 🦀 von")),
        ]
    }

    #[test]
    fn one_line_changes_and_keeps_its_quotes_comment_and_end() {
        for (what, text) in forms() {
            for (old, new) in [
                ("--kube-api-burst=30", "--kube-api-burst=200"),
                ("--leader-elect=true", "--leader-elect=false"),
                ("--v=2", "--v=4"),
                ("--bind-address=127.0.0.1", "--bind-address=0.0.0.0"),
            ] {
                let after = flags(&text, |list| {
                    let slot = list.iter_mut().find(|one| one.as_str() == Some(old));
                    *slot.unwrap() = Value::from(new);
                });
                let (gone, came) = changed(&text, &after.unwrap_or_else(|| panic!("{what} {old}")));
                assert_eq!((gone.len(), came.len()), (1, 1), "{what} {old}: {came:?}");
                let before = gone[0].replace("\\u0032", "2");
                assert_eq!(came[0], before.replace(old, new), "{what}");
            }
        }
    }

    #[test]
    fn one_line_comes_or_goes() {
        for (what, text) in forms() {
            let added = flags(&text, |list| {
                list.insert(3, Value::from("--kube-api-qps=100"))
            });
            let (gone, came) = changed(&text, &added.unwrap_or_else(|| panic!("{what}")));
            assert_eq!(
                (gone.len(), came.len()),
                (0, 1),
                "{what}: {gone:?} {came:?}"
            );
            assert!(came[0].trim() == "- --kube-api-qps=100", "{what}: {came:?}");
            let removed = flags(&text, |list| {
                list.remove(2);
            });
            let (gone, came) = changed(&text, &removed.unwrap_or_else(|| panic!("{what}")));
            assert_eq!(
                (gone.len(), came.len()),
                (1, 0),
                "{what}: {gone:?} {came:?}"
            );
            assert!(gone[0].contains("--kube-api-burst=30"), "{what}");
        }
    }

    #[test]
    fn flow_collections_and_empty_ones() {
        let set = |text: &str, edit: fn(&mut Value)| {
            let mut wanted = documents(text).unwrap();
            edit(&mut wanted[0]);
            rewrite(text, &wanted)
        };
        for (text, edit, after) in [
            (
                "a: [x,\n  'y', # c\n  z]\n",
                (|v| v["a"][1] = Value::from("w")) as fn(&mut Value),
                "a: [x,\n  'w', # c\n  z]\n",
            ),
            (
                "a: [x, \"b,c\"] # d\n",
                |v| v["a"][0] = Value::from("p,q"),
                "a: [\"p,q\", \"b,c\"] # d\n",
            ),
            (
                "{\n  \"a\": [\n    \"x\",\n    \"y\"\n  ],\n  \"b\": 1\n}\n",
                |v| {
                    v["a"].as_sequence_mut().unwrap().push(Value::from("z"));
                    v["b"] = Value::from(2);
                    v["c"] = Value::from("d");
                },
                "{\n  \"a\": [\n    \"x\",\n    \"y\",\n    \"z\"\n  ],\n  \"b\": 2,\n  \"c\": \"d\"\n}\n",
            ),
            (
                "a: {} # d\n",
                |v| v["a"] = yaml_serde::from_str("{b: '1'}").unwrap(),
                "a: {b: \"1\"} # d\n",
            ),
            (
                "a:\n  b:   # none\n  c: 1\n",
                |v| v["a"]["b"] = Value::from(5),
                "a:\n  b: 5   # none\n  c: 1\n",
            ),
        ] {
            assert_eq!(set(text, edit).as_deref(), Some(after), "{text}");
        }
    }

    #[test]
    fn what_others_share_or_nobody_can_read_is_left_alone() {
        let edit = |list: &mut Vec<Value>| {
            let slot = list
                .iter_mut()
                .find(|one| one.as_str() == Some("--kube-api-burst=30"));
            *slot.unwrap() = Value::from("--kube-api-burst=200");
        };
        let burst = "    - --kube-api-burst=30\n    - '";
        for (what, text) in [
            ("template", POD.replace("image: x", "image: {{ .x }}")),
            (
                "key twice",
                POD.replace(
                    "  hostNetwork: true\n",
                    "  hostNetwork: true\n  hostNetwork: true\n",
                ),
            ),
            (
                "tab",
                POD.replace(burst, "\t- --kube-api-burst=30\n    - '"),
            ),
            (
                "tab after the dash",
                POD.replace(burst, "    -\t--kube-api-burst=30\n    - '"),
            ),
            (
                "an element that others name",
                POD.replace(burst, "    - &b --kube-api-burst=30\n    - '")
                    .replace("value: --kube-api-burst=30", "value: *b"),
            ),
            (
                "a list that is an alias",
                "x: &f [kcm, --kube-api-burst=30]\nspec:\n  containers:\n  - command: *f\n"
                    .to_owned(),
            ),
            (
                "a list that others name",
                "spec:\n  containers:\n  - command: &f [kcm, --kube-api-burst=30]\nx: *f\n"
                    .to_owned(),
            ),
        ] {
            assert_eq!(flags(&text, edit), None, "{what}");
        }
    }

    #[test]
    fn a_large_file_is_edited_in_time() {
        let rest: String = (0..15_000)
            .map(|n| format!("- name: n{n}\n  value: \"{n}\" # c\n"))
            .collect();
        let text = format!("spec:\n  containers:\n  - command: [kcm, --a=1]\nrest:\n{rest}");
        let after = flags(&text, |list| list[1] = Value::from("--a=2"));
        assert_eq!(after, Some(text.replace("--a=1", "--a=2")));
    }

    proptest! {
        /// Whatever is thrown into the text: the edit is exact or there is none.
        #[test]
        fn exact_or_none(
            cuts in prop::collection::vec((0usize..400, 0usize..4, 0usize..20), 1..4),
            op in 0u8..3,
        ) {
            const BITS: &[&str] = &[
                " ", "#", "'", "\"", ":", "- ", "\n", "\n    ", "\t", "&a ", "*a", "{", "}", "[", "]",
                ",", "|\n", "---\n", "\r", "é",
            ];
            let mut text = POD.to_owned();
            for (at, gone, bit) in cuts {
                let from = text.floor_char_boundary(at.min(text.len()));
                let to = text.ceil_char_boundary((from + gone).min(text.len()));
                text.replace_range(from..to, BITS[bit]);
            }
            let edit = |list: &mut Vec<Value>| match op {
                0 => list.push(Value::from("--kube-api-qps=100")),
                1 => drop(list.pop()),
                _ => if let Some(last) = list.last_mut() { *last = Value::from("--v=9") },
            };
            if let Some(after) = flags(&text, edit) {
                let mut wanted = documents(&text).unwrap();
                edit(list(&mut wanted).unwrap());
                prop_assert_eq!(documents(&after).unwrap(), wanted);
            }
        }
    }
}
