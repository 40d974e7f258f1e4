//! What all emitters write in the same way: names of files, and diffs to read.

use std::fmt::Write as _;

use similar::{ChangeTag, TextDiff};

use crate::manifest::mask_lines;

/// A name that is a single path segment.
pub(super) fn safe_name(name: &str) -> String {
    let safe: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    if safe.is_empty() || safe.chars().all(|c| c == '.') {
        "node".to_owned()
    } else {
        safe
    }
}

/// A unified diff with three lines around each change, to be read: it is printed, and put into pages
/// that are handed on, so secrets in it are masked. The files beside it hold everything.
pub(super) fn unified(before: &str, after: &str, name: &str) -> String {
    let diff = TextDiff::from_lines(before, after);
    // What a line means is told by the lines before it, also by those that are not shown.
    let old = mask_lines(&diff.iter_old_slices().collect::<Vec<_>>());
    let new = mask_lines(&diff.iter_new_slices().collect::<Vec<_>>());
    let mut out = String::new();
    for (at, hunk) in diff
        .unified_diff()
        .context_radius(3)
        .iter_hunks()
        .enumerate()
    {
        if at == 0 {
            writeln!(out, "--- a/{name}\n+++ b/{name}").ok();
        }
        writeln!(out, "{}", hunk.header()).ok();
        for change in hunk.iter_changes() {
            let line = match change.tag() {
                ChangeTag::Insert => change.new_index().and_then(|at| new.get(at)),
                ChangeTag::Delete | ChangeTag::Equal => {
                    change.old_index().and_then(|at| old.get(at))
                }
            };
            let line = line.map_or("", String::as_str);
            write!(out, "{}{line}", change.tag()).ok();
            if change.missing_newline() {
                out.push_str("\n\\ No newline at end of file\n");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_without_secrets_is_that_of_diff() {
        let before = "a: 1\nb: 2\nc: 3\nd: 4\ne: 5\nf: 6\ng: 7\nh: 8\ni: 9";
        let after = before.replace("c: 3", "c: 4").replace("i: 9", "i: 10\n");
        let expected = TextDiff::from_lines(before, &after)
            .unified_diff()
            .context_radius(3)
            .header("a/x", "b/x")
            .to_string();
        assert_eq!(unified(before, &after, "x"), expected);
        assert_eq!(unified(before, before, "x"), "");
    }

    #[test]
    fn secrets_beside_a_change_and_in_it_are_masked() {
        let before =
            "env:\n- name: A_PASSWORD\n  value: leak\na: 1\nrun: etcd --token=leak --quota=1\n";
        let after = before.replace("a: 1", "a: 2").replace("quota=1", "quota=2");
        assert_eq!(
            unified(before, &after, "x"),
            "--- a/x\n+++ b/x\n@@ -1,5 +1,5 @@\n env:\n - name: A_PASSWORD\n   value: ***\n\
             -a: 1\n-run: etcd --token=*** --quota=1\n+a: 2\n+run: etcd --token=*** --quota=2\n"
        );
    }
}
