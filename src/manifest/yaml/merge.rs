//! Merge keys (`<<: *base`): what a mapping takes over from others, where it has no entry of its own.

use std::collections::BTreeSet;

use super::{Node, Value};

/// Puts the entries that mappings take over behind their own ones. What `<<` names that is no mapping is
/// left as it is.
pub(super) fn flatten(node: &mut Node) {
    match &mut node.value {
        Value::Null | Value::Plain(_) | Value::Text(_) => {}
        Value::Seq(items) => items.iter_mut().for_each(flatten),
        Value::Map(entries) => {
            for (_, value) in entries.iter_mut() {
                flatten(value);
            }
            if entries.iter().any(merges) {
                *entries = merged(std::mem::take(entries));
            }
        }
    }
}

/// Whether an entry names mappings to take over.
fn merges((key, value): &(Node, Node)) -> bool {
    key.text() == Some("<<")
        && match &value.value {
            Value::Map(_) => true,
            Value::Seq(items) => items.iter().all(|item| matches!(item.value, Value::Map(_))),
            _ => false,
        }
}

fn merged(entries: Vec<(Node, Node)>) -> Vec<(Node, Node)> {
    let (taken, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(merges);
    let names = own.iter().filter_map(|(key, _)| key.text());
    let mut known: BTreeSet<String> = names.map(str::to_owned).collect();
    let maps = taken.into_iter().flat_map(|(_, value)| match value.value {
        Value::Seq(items) => items,
        _ => vec![value],
    });
    // Of several the first one counts.
    for map in maps {
        let Value::Map(entries) = map.value else {
            continue;
        };
        for (key, value) in entries {
            if key.text().is_some_and(|name| known.insert(name.to_owned())) {
                own.push((key, value));
            }
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use super::super::read;

    #[test]
    fn own_entries_win_and_the_first_of_several() {
        let text = "\
base: &a {x: 1, y: 2}
more: &b {x: 3, z: 4}
own:
  <<: [*a, *b]
  y: 5
deep:
  in:
  - <<: *a
    k: {<<: *b}
";
        let documents = read(text).documents;
        let at = |path: &[&str]| documents[0].at(path).unwrap();
        let shown: Vec<_> = at(&["own"])
            .entries()
            .iter()
            .map(|(key, value)| (key.text().unwrap(), value.text().unwrap()))
            .collect();
        assert_eq!(shown, [("y", "5"), ("x", "1"), ("z", "4")]);
        let item = &at(&["deep", "in"]).items()[0];
        assert_eq!(item.text_at(&["x"]), Some("1"));
        assert_eq!(item.text_at(&["k", "z"]), Some("4"));
        // Nothing that can be taken over.
        assert_eq!(
            read("a: {<<: 5}\n").documents[0]
                .at(&["a"])
                .unwrap()
                .entries()
                .len(),
            1
        );
    }
}
