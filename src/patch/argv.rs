//! The flags on a command line, as the program itself would read them.

use std::collections::BTreeMap;

/// One flag as found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Position of its element.
    pub(super) at: usize,
    /// The name, without dashes, `_` as `-`.
    pub(super) name: String,
    /// Its spelling up to the `=` or the end of the element.
    pub(super) head: String,
    /// The value in the same element, or in the next one.
    pub(super) value: Value,
}

/// Where a flag's value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// `--flag=value`
    Joined(String),
    /// `--flag` and `value` in the next element.
    Next(String),
    /// `--flag` alone.
    Alone,
}

impl Found {
    /// The value in force.
    pub(super) fn value(&self) -> &str {
        match &self.value {
            Value::Joined(value) | Value::Next(value) => value,
            Value::Alone => "true",
        }
    }
}

/// All flags of a command line, the program's name left out. Both programs' flag parsers stop at
/// `--`; a single dash is read as two by etcd, and starts short flags elsewhere.
pub(super) fn flags(argv: &[String], single_dash: bool) -> Vec<Found> {
    let mut found = Vec::new();
    let mut at = usize::from(argv.first().is_some_and(|arg| !arg.starts_with('-')));
    while let Some(arg) = argv.get(at) {
        if arg == "--" {
            break;
        }
        let name = arg.strip_prefix("--").or_else(|| {
            let rest = arg.strip_prefix('-')?;
            (single_dash && rest.len() > 1).then_some(rest)
        });
        if let Some(name) = name {
            let dashes = arg.len() - name.len();
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name, Value::Joined(value.to_owned())),
                None => match argv.get(at + 1).filter(|next| !next.starts_with('-')) {
                    Some(next) => (name, Value::Next(next.clone())),
                    None => (name, Value::Alone),
                },
            };
            let step = if matches!(value, Value::Next(_)) {
                2
            } else {
                1
            };
            found.push(Found {
                at,
                name: name.replace('_', "-"),
                head: arg.get(..dashes + name.len()).unwrap_or(arg).to_owned(),
                value,
            });
            at += step;
        } else {
            at += 1;
        }
    }
    found
}

const SHELLS: &[&str] = &["ash", "bash", "busybox", "dash", "sh"];

/// Programs that start what follows them.
const WRAPPERS: &[&str] = &[
    "dumb-init",
    "env",
    "exec",
    "nice",
    "nohup",
    "setsid",
    "tini",
];

/// The last path segment of a program's name.
pub(super) fn base(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// The shell that a command line starts its program through, be it behind a wrapper.
pub(super) fn shell_of<'a>(argv: &[&'a str]) -> Option<&'a str> {
    let mut wrapped = false;
    for word in argv.iter().copied() {
        let name = base(word);
        if SHELLS.contains(&name) {
            return Some(word);
        }
        // A wrapper's own options, and the variables that `env` sets.
        let passed = wrapped && (word.starts_with('-') || word.contains('='));
        if !WRAPPERS.contains(&name) && !passed {
            return None;
        }
        wrapped = true;
    }
    None
}

/// The values in force: the last of each.
pub(super) fn effective(argv: &[String], single_dash: bool) -> BTreeMap<String, String> {
    flags(argv, single_dash)
        .into_iter()
        .map(|flag| (flag.name.clone(), flag.value().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_shell_is_found_behind_its_wrappers() {
        for (line, shell) in [
            ("/bin/sh -c etcd", Some("/bin/sh")),
            ("tini -g -- bash -c etcd", Some("bash")),
            ("env A=1 sh run.sh", Some("sh")),
            ("env A=1 /manager sh", None),
            ("/manager --with sh", None),
            ("--with sh", None),
            ("", None),
        ] {
            let words = argv(line);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            assert_eq!(shell_of(&words), shell, "{line}");
        }
    }

    #[test]
    fn every_form_of_a_flag() {
        let all = effective(
            &argv("etcd --a=1 --b 2 --c --d=x=y --a_b=3 -v=4 --a=5"),
            false,
        );
        let get = |name: &str| all.get(name).map(String::as_str);
        assert_eq!(get("a"), Some("5"));
        assert_eq!(get("b"), Some("2"));
        assert_eq!(get("c"), Some("true"));
        assert_eq!(get("d"), Some("x=y"));
        assert_eq!(get("a-b"), Some("3"));
        assert_eq!(get("v"), None);
        assert_eq!(
            effective(&argv("etcd -name=x"), true)
                .get("name")
                .map(String::as_str),
            Some("x")
        );
        assert!(effective(&argv("etcd -- --a=1"), false).is_empty());
    }
}
