//! Command lines → the program and its flags, through shells and wrappers.

use super::model::{Given, Means, Place};
use super::secret::{mask, mask_name};
use crate::catalog::settings::{self, Component, Kind};

/// Words of one command line; more are not read.
const MAX_WORDS: usize = 10_000;

/// Programs that start another one named later on their own command line.
const WRAPPERS: &[&str] = &[
    "go-runner",
    "tini",
    "dumb-init",
    "nice",
    "ionice",
    "chrt",
    "taskset",
    "env",
    "sudo",
    "setsid",
    "nohup",
    "kube-log-runner",
    "numactl",
    "time",
    "exec",
    "command",
];

/// Stands in a word where a line was continued inside quotes: a blank to whoever gets the word, and a new
/// line to whoever counts. No argument can hold this byte.
pub(super) const BREAK: char = '\0';

/// One word with the line it stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) line: u32,
}

impl Word {
    pub(super) fn new(text: impl Into<String>, line: u32) -> Self {
        Word {
            text: text.into(),
            line,
        }
    }
}

/// A command line, understood.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct CommandLine {
    /// The program's path as written.
    pub(super) program: Option<String>,
    /// The catalogued component, when it is one.
    pub(super) component: Option<Component>,
    /// Flags, and variables that a shell sets for it.
    pub(super) given: Vec<Given>,
    /// Words that belong to no flag, as written and masked.
    pub(super) bare: Vec<String>,
    /// Flags that lack the value they need.
    pub(super) dangling: Vec<(String, u32)>,
    /// Variables of a shell that stand for whole words, and that nobody is known to set.
    pub(super) open: Vec<(String, u32)>,
}

fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

fn is_shell(word: &str) -> bool {
    matches!(base(word), "sh" | "bash" | "ash" | "dash")
}

/// Reads a command line. `assumed` is the component when the words are only its arguments.
pub(super) fn read(words: &[Word], file: &str, assumed: Option<Component>) -> CommandLine {
    let words = words.get(..words.len().min(MAX_WORDS)).unwrap_or(words);
    match script_at(words).and_then(|at| words.get(at)) {
        Some(script) => read_script(script, file),
        None => read_words(words, file, assumed, false),
    }
}

/// Reads a command line that is no shell's, or a command of a shell's script.
fn read_words(
    words: &[Word],
    file: &str,
    assumed: Option<Component>,
    in_script: bool,
) -> CommandLine {
    let Some((at, component, skip)) = find_program(words) else {
        let mut out = CommandLine {
            component: assumed,
            ..CommandLine::default()
        };
        // Arguments alone, or a program that is not catalogued.
        let start = match words.first() {
            Some(first) if !first.text.starts_with('-') => {
                out.program = Some(first.text.clone());
                1
            }
            _ => 0,
        };
        flags(words.get(start..).unwrap_or(&[]), file, in_script, &mut out);
        return out;
    };
    let mut out = CommandLine {
        program: words.get(at).map(|word| word.text.clone()),
        component: Some(component),
        ..CommandLine::default()
    };
    // `env ETCD_NAME=a etcd …`: assignments between a wrapper and the program. Others (`GOMAXPROCS=2`,
    // `TZ=UTC`) are for Go and its libraries: etcd does not look at them.
    for word in words.get(..at).unwrap_or(&[]) {
        if let Some((name, value)) = assignment(&word.text)
            && (component != Component::Etcd || name.starts_with("ETCD_"))
        {
            out.given.push(variable(name, value, file, word.line));
        }
    }
    let rest = words.get(at + skip..).unwrap_or(&[]);
    flags(rest, file, in_script, &mut out);
    out
}

/// Where the program stands, which one it is, and how many words name it.
fn find_program(words: &[Word]) -> Option<(usize, Component, usize)> {
    let mut wrapped = false;
    for (at, word) in words.iter().enumerate() {
        let name = base(&word.text);
        if name == "hyperkube" || name == "kube" {
            let component = Component::of_program(&words.get(at + 1)?.text)?;
            return Some((at, component, 2));
        }
        let path = !word.text.starts_with('-');
        if path && let Some(component) = Component::ALL.into_iter().find(|c| c.program() == name) {
            // `etcd gateway` and `etcd grpc-proxy` are other programs under the same name.
            let proxy = component == Component::Etcd
                && words
                    .get(at + 1)
                    .is_some_and(|next| matches!(next.text.as_str(), "gateway" | "grpc-proxy"));
            return (!proxy).then_some((at, component, 1));
        }
        if WRAPPERS.contains(&name) || assignment(&word.text).is_some() {
            wrapped = true;
            continue;
        }
        if !wrapped {
            return None;
        }
    }
    None
}

fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let first = name.bytes().next()?;
    let good = (first.is_ascii_alphabetic() || first == b'_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    good.then_some((name, value))
}

fn variable(name: &str, value: &str, file: &str, line: u32) -> Given {
    Given {
        name: name.to_owned(),
        value: Some(super::secret::mask_env(name, value)),
        means: Means::Env,
        place: Place::new(file, line),
    }
}

/// Reads flags in the way of the program: Go's `flag` for etcd (stops at the first bare word,
/// one dash is as good as two), `pflag` for the rest.
fn flags(words: &[Word], file: &str, in_script: bool, out: &mut CommandLine) {
    let go_flag = out.component == Some(Component::Etcd);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let text = word.text.as_str();
        if text == "--" {
            out.bare.extend(words.map(|word| shown(&word.text)));
            return;
        }
        // What a shell makes of it is not known: flags, or nothing at all.
        if in_script && text.starts_with('$') {
            out.open.push((shown(text), word.line));
            continue;
        }
        let Some(name) = text.strip_prefix("--").or_else(|| text.strip_prefix('-')) else {
            out.bare.push(shown(text));
            if go_flag {
                out.bare.extend(words.map(|word| shown(&word.text)));
                return;
            }
            continue;
        };
        if name.is_empty() {
            out.bare.push(text.to_owned());
            continue;
        }
        let (name, mut value) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (name, None),
        };
        let mut name = name;
        // `-v2` and `-v=2` of the Kubernetes components.
        if !text.starts_with("--")
            && let Some(digits) = name.strip_prefix('v')
            && !digits.is_empty()
            && digits.bytes().all(|b| b.is_ascii_digit())
        {
            (name, value) = ("v", Some(digits));
        }
        if value.is_none() {
            let kind = out
                .component
                .and_then(|component| settings::setting(component, name))
                .map(|found| found.setting.kind);
            let next = words.as_slice().first();
            let takes = match kind {
                Some(Kind::Bool) => false,
                Some(_) => {
                    if next.is_none() {
                        out.dangling.push((name.to_owned(), word.line));
                    }
                    true
                }
                // Nobody knows this flag: a word that is no flag is most likely its value.
                None => next.is_some_and(|next| !next.text.starts_with('-')),
            };
            if takes {
                value = words.next().map(|next| next.text.as_str());
            }
        }
        out.given.push(Given {
            name: mask_name(name),
            value: value.map(|value| mask(name, value)),
            means: Means::Flag,
            place: Place::new(file, word.line),
        });
    }
}

/// A bare word as it may be shown.
fn shown(word: &str) -> String {
    super::secret::mask_text(word)
}

/// Where the script of `sh -c SCRIPT` stands.
pub(super) fn script_at(words: &[Word]) -> Option<usize> {
    let shell = words.iter().position(|word| is_shell(&word.text))?;
    let before = words.get(..shell)?;
    if before
        .iter()
        .any(|word| !WRAPPERS.contains(&base(&word.text)) && !word.text.starts_with('-'))
    {
        return None;
    }
    let rest = words.get(shell + 1..)?;
    let option = rest.iter().position(|word| {
        word.text.starts_with('-') && !word.text.starts_with("--") && word.text.contains('c')
    })?;
    let script = rest
        .get(option + 1..)?
        .iter()
        .position(|word| !word.text.starts_with('-'))?;
    Some(shell + 1 + option + 1 + script)
}

/// The command of a shell script that runs a catalogued program.
fn read_script(script: &Word, file: &str) -> CommandLine {
    let mut exported = Vec::new();
    for command in shell_commands(&script.text, script.line) {
        let command: Vec<Word> = match command.first().map(|word| word.text.as_str()) {
            Some("export") => {
                for word in command.iter().skip(1) {
                    if let Some((name, value)) = assignment(&word.text)
                        && name.starts_with("ETCD_")
                    {
                        exported.push(variable(name, value, file, word.line));
                    }
                }
                continue;
            }
            Some("exec") => command.get(1..).unwrap_or(&[]).to_vec(),
            _ => command,
        };
        if let Some((_, component, _)) = find_program(&command) {
            let mut out = read_words(&command, file, Some(component), true);
            exported.append(&mut out.given);
            out.given = exported;
            return out;
        }
    }
    CommandLine::default()
}

/// Splits a shell script into simple commands of words. Quotes and line continuations are
/// understood; variables and substitutions are left as they are; redirections are dropped.
pub(super) fn shell_commands(script: &str, first_line: u32) -> Vec<Vec<Word>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<(String, u32)> = None;
    let mut line = first_line;
    let mut quote: Option<char> = None;
    let mut drop_next = false;
    let mut depth = 0u32;
    let mut chars = script.chars().peekable();
    let mut finish = |word: &mut Option<(String, u32)>, commands: &mut Vec<Vec<Word>>| {
        if let Some((text, line)) = word.take() {
            if std::mem::take(&mut drop_next) {
                return;
            }
            // `2>&1`, `>file`, `>`: where output goes says nothing about settings.
            let target = text.trim_start_matches(|c: char| c.is_ascii_digit());
            if target.starts_with(['>', '<']) {
                drop_next = target.trim_start_matches(['>', '<', '&']).is_empty();
                return;
            }
            if let Some(command) = commands.last_mut() {
                command.push(Word { text, line });
            }
        }
    };
    while let Some(c) = chars.next() {
        if matches!(c, '\n' | BREAK) {
            line = line.saturating_add(1);
        }
        let c = if c == BREAK { ' ' } else { c };
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('\''), c) => word.get_or_insert((String::new(), line)).0.push(c),
            (_, '\\') => match chars.next() {
                Some('\n') => line = line.saturating_add(1),
                Some(next) => {
                    let text = &mut word.get_or_insert((String::new(), line)).0;
                    if quote == Some('"') && !matches!(next, '"' | '\\' | '$' | '`') {
                        text.push('\\');
                    }
                    text.push(next);
                }
                None => {}
            },
            (Some(_), c) => word.get_or_insert((String::new(), line)).0.push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert((String::new(), line));
            }
            (None, '#') if word.is_none() => {
                while chars.peek().is_some_and(|c| *c != '\n') {
                    chars.next();
                }
            }
            (None, '$') if chars.peek() == Some(&'(') => {
                depth += 1;
                chars.next();
                word.get_or_insert((String::new(), line)).0.push_str("$(");
            }
            (None, ')') if depth > 0 => {
                depth -= 1;
                word.get_or_insert((String::new(), line)).0.push(')');
            }
            (None, c) if depth > 0 => word.get_or_insert((String::new(), line)).0.push(c),
            (None, ' ' | '\t' | '\r') => finish(&mut word, &mut commands),
            (None, '&')
                if word
                    .as_ref()
                    .is_some_and(|(text, _)| text.ends_with(['>', '<'])) =>
            {
                word.get_or_insert((String::new(), line)).0.push('&');
            }
            (None, '\n' | ';' | '|' | '&' | '(' | ')') => {
                finish(&mut word, &mut commands);
                if commands.last().is_some_and(|command| !command.is_empty()) {
                    commands.push(Vec::new());
                }
            }
            (None, c) => word.get_or_insert((String::new(), line)).0.push(c),
        }
    }
    finish(&mut word, &mut commands);
    commands.retain(|command| !command.is_empty());
    commands
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(texts: &[&str]) -> Vec<Word> {
        texts
            .iter()
            .zip(1u32..)
            .map(|(text, line)| Word::new(*text, line))
            .collect()
    }

    fn pairs(line: &CommandLine) -> Vec<(&str, Option<&str>)> {
        line.given
            .iter()
            .map(|given| (given.name.as_str(), given.value.as_deref()))
            .collect()
    }

    #[test]
    fn both_forms_booleans_and_bare_words() {
        let line = read(
            &words(&[
                "/usr/local/bin/kube-apiserver",
                "--secure-port",
                "6443",
                "--profiling",
                "true",
                "-v=2",
                "--unknown-flag",
                "x",
                "--etcd-servers=https://u:secret@a:2379",
                "--anonymous-auth=false",
            ]),
            "f",
            None,
        );
        assert_eq!(line.component, Some(Component::ApiServer));
        assert_eq!(
            pairs(&line),
            [
                ("secure-port", Some("6443")),
                ("profiling", None),
                ("v", Some("2")),
                ("unknown-flag", Some("x")),
                ("etcd-servers", Some("https://u:***@a:2379")),
                ("anonymous-auth", Some("false")),
            ]
        );
        assert_eq!(line.bare, ["true"]);
        assert_eq!(line.given[1].place.line, 4);
    }

    #[test]
    fn variables_that_etcd_does_not_look_at_are_none_of_its_settings() {
        for line in [
            &["/usr/bin/env", "TZ=UTC", "GOGC=50", "ETCD_NAME=a", "etcd"][..],
            &["sh", "-c", "GOMAXPROCS=$(nproc) ETCD_NAME=a /usr/bin/etcd"],
        ] {
            let line = read(&words(line), "f", None);
            assert_eq!(line.component, Some(Component::Etcd));
            assert_eq!(pairs(&line), [("ETCD_NAME", Some("a"))]);
        }
    }

    #[test]
    fn etcd_stops_at_the_first_bare_word() {
        let line = read(
            &words(&["etcd", "-name=a", "oops", "--quota-backend-bytes=5"]),
            "f",
            None,
        );
        assert_eq!(pairs(&line), [("name", Some("a"))]);
        assert_eq!(line.bare, ["oops", "--quota-backend-bytes=5"]);
    }

    #[test]
    fn a_flag_that_needs_a_value_takes_the_next_word_whatever_it_is() {
        let line = read(
            &words(&["etcd", "--wal-dir", "--name=a", "--data-dir"]),
            "f",
            None,
        );
        assert_eq!(
            pairs(&line),
            [("wal-dir", Some("--name=a")), ("data-dir", None)]
        );
        assert_eq!(line.dangling, [("data-dir".to_owned(), 4)]);
    }

    #[test]
    fn shells_and_wrappers() {
        let script = "set -e\nexport ETCD_NAME=a OTHER=1\n# etcd --name=no\nmkdir -p /d && \\\n  exec nice -n -19 ionice -c2 -n0 etcd \\\n  --data-dir=/d --name=\"b c\" 2>&1 | tee /log";
        let line = read(&words(&["/bin/bash", "-ec", script]), "f", None);
        assert_eq!(line.component, Some(Component::Etcd));
        assert_eq!(
            pairs(&line),
            [
                ("ETCD_NAME", Some("a")),
                ("data-dir", Some("/d")),
                ("name", Some("b c"))
            ]
        );
        assert!(line.bare.is_empty());
        let line = read(
            &words(&[
                "/go-runner",
                "--log-file=/x.log",
                "/usr/local/bin/kube-controller-manager",
                "--kube-api-qps=50",
            ]),
            "f",
            None,
        );
        assert_eq!(line.component, Some(Component::ControllerManager));
        assert_eq!(pairs(&line), [("kube-api-qps", Some("50"))]);
        let line = read(&words(&["hyperkube", "kubelet", "--max-pods=5"]), "f", None);
        assert_eq!(line.component, Some(Component::Kubelet));
        assert_eq!(pairs(&line), [("max-pods", Some("5"))]);
        assert_eq!(
            read(&words(&["etcd", "grpc-proxy", "start"]), "f", None).component,
            None
        );
    }

    #[test]
    fn other_controllers_keep_their_flags() {
        let line = read(
            &words(&["/manager", "--leader-elect", "--kube-api-qps=20"]),
            "f",
            None,
        );
        assert_eq!(
            (line.component, line.program.as_deref()),
            (None, Some("/manager"))
        );
        assert_eq!(
            pairs(&line),
            [("leader-elect", None), ("kube-api-qps", Some("20"))]
        );
    }

    proptest! {
        #[test]
        fn never_panics(texts in prop::collection::vec(".{0,30}", 0..12)) {
            let all: Vec<Word> = texts.iter().map(|text| Word::new(text.clone(), 1)).collect();
            let _ = read(&all, "f", None);
            let _ = read(&all, "f", Some(Component::Etcd));
            let mut shell = words(&["sh", "-c"]);
            shell.push(Word::new(texts.join(" "), 1));
            let _ = read(&shell, "f", None);
        }

        #[test]
        fn both_syntaxes_mean_the_same(value in "[a-z0-9:/.]{1,20}", glued: bool) {
            let texts: Vec<String> = if glued {
                vec!["etcd".into(), format!("--data-dir={value}")]
            } else {
                vec!["etcd".into(), "--data-dir".into(), value.clone()]
            };
            let all: Vec<Word> = texts.iter().map(|text| Word::new(text.clone(), 1)).collect();
            let line = read(&all, "f", None);
            prop_assert_eq!(pairs(&line), vec![("data-dir", Some(value.as_str()))]);
        }
    }
}
