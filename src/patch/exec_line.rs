//! `ExecStart=` lines: which program one runs, and the same line with another value of a flag.

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
            let next = lines.next().unwrap_or_default().trim();
            joined = format!("{} {next}", open.trim_end());
        }
        exec = (!joined.is_empty()).then_some(joined);
    }
    exec
}

/// Programs that start another one.
const STARTERS: &[&str] = &[
    "bash", "chrt", "env", "ionice", "nice", "numactl", "sh", "taskset",
];

/// Whether a command line runs a component.
pub(super) fn runs(exec: &str, component: Component) -> bool {
    let base = |word: &str| {
        let word = word.trim_matches(['"', '\'']);
        word.rsplit('/').next().unwrap_or(word).to_owned()
    };
    let mut words = exec
        .trim_start_matches(['@', '-', ':', '+', '!', '|'])
        .split_whitespace();
    let first = base(words.next().unwrap_or_default());
    first == component.program()
        || (STARTERS.contains(&first.as_str())
            && words.any(|word| base(word) == component.program()))
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

/// The command line with a flag once only: of several the last one counts, and it stays.
pub(super) fn once(exec: &str, spelled: &str) -> String {
    let mut exec = exec.to_owned();
    loop {
        let spans = spans(&exec);
        let found: Vec<(usize, usize)> = spans
            .iter()
            .enumerate()
            .filter_map(|(n, (from, to))| {
                // One in quotes is a word of a shell, and cannot go alone.
                let name = exec
                    .get(*from..*to)?
                    .strip_prefix('-')?
                    .trim_start_matches('-');
                if name == spelled {
                    Some((
                        *from,
                        spans.get(n + 2).map_or(exec.len(), |(from, _)| *from),
                    ))
                } else {
                    let rest = name.strip_prefix(spelled)?;
                    let next = spans.get(n + 1).map_or(exec.len(), |(from, _)| *from);
                    rest.starts_with('=').then_some((*from, next))
                }
            })
            .collect();
        let [(from, to), _, ..] = found.as_slice() else {
            return exec;
        };
        exec.replace_range(*from..*to, "");
    }
}

/// Command lines in which one spelling of a flag has the new value; the rest stays as it is.
pub(super) fn changed(exec: &str, spelled: &str, flag: &str, value: &str) -> Vec<String> {
    let value = value.replace('%', "%%");
    let spans = spans(exec);
    let mut out = Vec::new();
    for (n, (from, to)) in spans.iter().enumerate() {
        let word = exec.get(*from..*to).unwrap_or_default();
        let open = word.len() - word.trim_start_matches(['"', '\'']).len();
        let quote = word.get(..open).unwrap_or_default();
        let body = word.get(open..).unwrap_or_default();
        let bare = body.trim_end_matches(['"', '\'']);
        let close = body.get(bare.len()..).unwrap_or_default();
        let name = bare.trim_start_matches('-');
        let until = if name == spelled {
            // The value is the next word.
            spans.get(n + 1).map(|(_, to)| *to)
        } else if name
            .strip_prefix(spelled)
            .is_some_and(|rest| rest.starts_with('='))
        {
            Some(*to)
        } else {
            None
        };
        let Some(until) = until else { continue };
        let (Some(before), Some(after)) = (exec.get(..*from), exec.get(until..)) else {
            continue;
        };
        out.push(format!("{before}{quote}--{flag}={value}{close}{after}"));
        if quote.is_empty() && !close.is_empty() {
            // `--name="a"` in plain, and the last word of a quoted command.
            out.push(format!("{before}--{flag}={value}{after}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::once;

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
}
