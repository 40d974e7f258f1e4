//! `ExecStart=` lines: which program one runs, and the same line with another value of a flag.

use std::collections::BTreeMap;

use crate::catalog::settings::Component;

/// The last `ExecStart=` of a unit file that is not empty, continuation lines joined.
pub(super) fn exec_start(text: &str) -> Option<String> {
    let mut exec = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(rest) = line.trim_start().strip_prefix("ExecStart=") else {
            continue;
        };
        let mut joined = rest.trim().to_owned();
        while let Some(open) = joined.strip_suffix('\\') {
            // Remarks between continued lines are skipped (systemd.syntax).
            let next = lines
                .by_ref()
                .map(str::trim)
                .find(|line| !line.starts_with(['#', ';']))
                .unwrap_or_default();
            joined = format!("{} {next}", open.trim_end()).trim_end().to_owned();
        }
        exec = (!joined.is_empty()).then_some(joined);
    }
    exec
}

/// Programs that start another one.
const STARTERS: &[&str] = &[
    "bash", "chrt", "env", "ionice", "nice", "numactl", "sh", "taskset",
];

/// The unit whose command line is as asked: its name and the raw `ExecStart=`, the last that counts.
/// `files` have the paths that they have below the root.
pub(super) fn unit_with(
    files: &[(String, String)],
    asked: &dyn Fn(&str) -> bool,
) -> Option<(String, String)> {
    let mut units: BTreeMap<String, Vec<(&str, &str)>> = BTreeMap::new();
    for (name, text) in files {
        let unit = match name.rsplit_once('/') {
            Some((dir, _)) if dir.ends_with(".service.d") => {
                dir.trim_end_matches(".d").rsplit('/').next()
            }
            _ => name.rsplit('/').next().filter(|n| n.ends_with(".service")),
        };
        if let Some(unit) = unit {
            units
                .entry(unit.to_owned())
                .or_default()
                .push((name.as_str(), text.as_str()));
        }
    }
    units.into_iter().find_map(|(unit, mut files)| {
        // The unit itself first, then its drop-ins by name.
        files.sort_by_key(|(name, _)| (name.contains(".service.d/"), name.to_owned()));
        let exec = files
            .iter()
            .filter_map(|(_, text)| exec_start(text))
            .next_back()?;
        asked(&exec).then_some((unit, exec))
    })
}

/// Whether a command line runs a component.
pub(super) fn runs(exec: &str, component: Component) -> bool {
    runs_program(exec, component.program())
}

/// Whether a command line runs a program, be it through another one.
pub(super) fn runs_program(exec: &str, program: &str) -> bool {
    let base = |word: &str| {
        let word = word.trim_matches(['"', '\'']);
        word.rsplit('/').next().unwrap_or(word).to_owned()
    };
    let mut words = exec
        .trim_start_matches(['@', '-', ':', '+', '!', '|'])
        .split_whitespace();
    let first = base(words.next().unwrap_or_default());
    first == program
        || (STARTERS.contains(&first.as_str()) && words.any(|word| base(word) == program))
}

/// Where the words of a command line begin and end, in bytes.
fn spans(exec: &str) -> Vec<(usize, usize)> {
    let mut spans = Vec::new();
    let mut start = None;
    for (at, c) in exec.char_indices() {
        match (c.is_whitespace(), start) {
            (false, None) => start = Some(at),
            (true, Some(from)) => {
                spans.push((from, at));
                start = None;
            }
            _ => {}
        }
    }
    spans.extend(start.map(|from| (from, exec.len())));
    spans
}

/// The command line with a flag once only: of several the last one counts, and it stays. What stands
/// in quotes, or beside a sign of a shell, is left where it is.
pub(super) fn once(exec: &str, spelled: &str) -> String {
    let mut exec = exec.to_owned();
    loop {
        let spans = spans(&exec);
        let word = |n: usize| spans.get(n).and_then(|(from, to)| exec.get(*from..*to));
        let found: Vec<(usize, usize)> = spans
            .iter()
            .enumerate()
            .filter_map(|(n, (from, _))| {
                // One in quotes is a word of a shell, and cannot go alone.
                let name = word(n)?.strip_prefix('-')?.trim_start_matches('-');
                let until = if name == spelled {
                    // A flag without a value is followed by another one.
                    let alone = word(n + 1).is_none_or(|next| next.starts_with("--"));
                    n + if alone { 1 } else { 2 }
                } else {
                    name.strip_prefix(spelled)?.strip_prefix('=')?;
                    n + 1
                };
                Some((*from, spans.get(until).map_or(exec.len(), |(at, _)| *at)))
            })
            .collect();
        let [(from, to), _, ..] = found.as_slice() else {
            return exec;
        };
        if !exec.get(*from..*to).is_some_and(is_simple) {
            return exec;
        }
        exec.replace_range(*from..*to, "");
    }
}

/// Whether words mean themselves wherever they stand: no quote, no escape, no sign of a shell.
fn is_simple(text: &str) -> bool {
    !text.contains(|c| is_quote(c) || is_sign(c) || matches!(c, '(' | '$' | '`'))
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '\\')
}

/// What ends a word of a shell without a blank.
fn is_sign(c: char) -> bool {
    matches!(c, ';' | '&' | '|' | '<' | '>' | ')')
}

/// Whether a value reads the same in systemd, in a shell, and in any quotes.
fn is_plain(value: &str) -> bool {
    value.bytes().all(|b| {
        b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'.' | b'_' | b',' | b':' | b'/' | b'=' | b'+' | b'@' | b'%' | b'-'
            )
    })
}

/// Command lines in which one spelling of a flag has the new value. Name and value change; every
/// other byte, and so all quoting, stays. None where the value would need quotes of its own.
pub(super) fn changed(exec: &str, spelled: &str, flag: &str, value: &str) -> Vec<String> {
    edited(exec, spelled, flag, value, true)
}

/// The same for a flag that another one hands on, with or without dashes: `--etcd-arg=name=value`.
pub(super) fn changed_element(exec: &str, flag: &str, value: &str) -> Vec<String> {
    edited(exec, flag, flag, value, false)
}

/// The command line with one more argument behind it, for a program that stops at none.
pub(super) fn appended(exec: &str, argument: &str) -> Option<String> {
    let argument = argument.replace('%', "%%");
    is_plain(&argument).then(|| format!("{exec} '{argument}'"))
}

fn edited(exec: &str, spelled: &str, flag: &str, value: &str, dashed: bool) -> Vec<String> {
    let mut out = Vec::new();
    if !is_plain(value) {
        return out;
    }
    let value = value.replace('%', "%%");
    for (from, _) in exec.match_indices(spelled) {
        let before = exec.get(..from).unwrap_or_default();
        let rest = exec.get(from + spelled.len()..).unwrap_or_default();
        let start = before.trim_end_matches('-');
        let begins = start
            .chars()
            .next_back()
            .is_none_or(|c| c.is_whitespace() || is_quote(c) || c == '=');
        if !begins || dashed && before.len() == start.len() {
            continue;
        }
        if let Some(given) = rest.strip_prefix('=') {
            out.extend(replaced(given, &value).map(|rest| format!("{before}{flag}={rest}")));
            continue;
        }
        let after = rest.trim_start_matches(is_quote);
        let next = after.trim_start();
        if after.len() == next.len() && !after.is_empty() {
            // The name goes on: another flag.
            continue;
        }
        let between = rest.get(..rest.len() - next.len()).unwrap_or_default();
        if !next.is_empty() {
            let new = replaced(next, &value);
            out.extend(new.map(|rest| format!("{before}{flag}{between}{rest}")));
        }
        // A flag that stood without a value.
        out.push(format!("{before}{flag}={value}{rest}"));
    }
    out
}

/// A text that begins with a value, perhaps in quotes, with another value in its place; `None` where
/// it is not one plain word.
fn replaced(text: &str, value: &str) -> Option<String> {
    let bare = text.trim_start_matches(is_quote);
    let open = text.get(..text.len() - bare.len())?;
    let until = bare
        .find(|c: char| c.is_whitespace() || is_quote(c) || is_sign(c) || matches!(c, '(' | '`'))
        .unwrap_or(bare.len());
    let (old, rest) = (bare.get(..until)?, bare.get(until..)?);
    let whole = old.matches('{').count() == old.matches('}').count();
    let simple = whole && !rest.starts_with(['(', '`']);
    // `--flag=""`: the quotes that open it close it too.
    if old.is_empty() && !open.is_empty() {
        let half = open.len() / 2;
        let (left, right) = (open.get(..half)?, open.get(half..)?);
        return (left == right).then(|| format!("{left}{value}{right}{rest}"));
    }
    simple.then(|| format!("{open}{value}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_flag_given_twice_stays() {
        for (exec, after) in [
            (
                "/usr/bin/etcd --q=1 --name=a -q 2 --d=/x",
                "/usr/bin/etcd --name=a -q 2 --d=/x",
            ),
            ("etcd --q 1 --q=2 --q=3", "etcd --q=3"),
            ("etcd --q=1 --quota=2", "etcd --q=1 --quota=2"),
            ("etcd -q 1 -q 2", "etcd -q 2"),
        ] {
            assert_eq!(once(exec, "q"), after);
        }
    }

    #[test]
    fn a_value_changes_and_every_quote_stays() {
        for (exec, after) in [
            ("etcd --q=1 --name=a", "etcd --q=2 --name=a"),
            ("etcd -q 1 --name=a", "etcd -q 2 --name=a"),
            (
                "bash -c \"etcd --name=a --q 1\"",
                "bash -c \"etcd --name=a --q 2\"",
            ),
            ("bash -c \"etcd --q 1\" x", "bash -c \"etcd --q 2\" x"),
            ("sh -c 'etcd --q 1; sleep 1'", "sh -c 'etcd --q 2; sleep 1'"),
            (
                "bash -c \"N=$(nproc) etcd --name=\\\"${NAME}\\\" --q=\\\"1\\\"\"",
                "bash -c \"N=$(nproc) etcd --name=\\\"${NAME}\\\" --q=\\\"2\\\"\"",
            ),
            (
                "bash -c \"etcd --q=\\\"${Q}\\\" --name=a\"",
                "bash -c \"etcd --q=\\\"2\\\" --name=a\"",
            ),
            ("etcd '--q=1' \"--name=a\"", "etcd '--q=2' \"--name=a\""),
            ("etcd \"--q\" '1'", "etcd \"--q\" '2'"),
            ("etcd --q=\"1\" --qq=1", "etcd --q=\"2\" --qq=1"),
            ("etcd --q=\"\"", "etcd --q=\"2\""),
        ] {
            let all = changed(exec, "q", "q", "2");
            assert_eq!(all.first().map(String::as_str), Some(after), "{exec}");
            let quotes = |text: &str| text.matches(is_quote).collect::<String>();
            for one in &all {
                assert_eq!(quotes(one), quotes(exec), "{one}");
            }
        }
        // Without a value; under a new name; with a sign of systemd.
        assert_eq!(
            changed("etcd --q --name=a", "q", "q", "true")
                .last()
                .map(String::as_str),
            Some("etcd --q=true --name=a")
        );
        assert_eq!(changed("etcd --q=1", "q", "r", "5%"), ["etcd --r=5%%"]);
    }

    #[test]
    fn what_is_no_plain_word_is_not_changed() {
        for exec in [
            "sh -c 'etcd --q=$(cat q) --name=a'",
            "sh -c 'etcd --q=`q`'",
            "etcd --qq=1",
        ] {
            assert!(changed(exec, "q", "q", "2").is_empty(), "{exec}");
        }
        for value in ["a b", "a\"", "$x", "a;b", "a\\"] {
            assert!(changed("etcd --q=1", "q", "q", value).is_empty(), "{value}");
        }
    }

    #[test]
    fn one_of_two_in_quotes_stays_where_it_is() {
        for exec in [
            "sh -c 'etcd --q=\"a b\" --q=2'",
            "sh -c 'etcd --q=$(x y) --q=2'",
        ] {
            assert_eq!(once(exec, "q"), exec);
        }
        assert_eq!(once("sh -c 'etcd --q=1 --q=2'", "q"), "sh -c 'etcd --q=2'");
        assert_eq!(once("etcd --q --name=a --q", "q"), "etcd --name=a --q");
    }

    #[test]
    fn remarks_between_continued_lines_are_no_arguments() {
        let unit =
            "[Service]\nExecStart=/usr/bin/etcd \\\n  # a remark\n  --q=1 \\\n\nType=notify\n";
        assert_eq!(exec_start(unit).as_deref(), Some("/usr/bin/etcd --q=1"));
    }
}
