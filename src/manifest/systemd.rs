//! systemd units with their drop-ins: what `ExecStart=` runs, with which environment.

mod environment;

use std::collections::BTreeMap;

use self::environment::Environment;
use super::argv::{self, Word};
use super::env_files::Found;
use super::model::{Given, Instance, Means, Place, SourceKind};
use super::secret::mask_env;
use super::{shell_env, specifier};
use crate::catalog::settings::Component;

/// How it is told that a variable of the command line is not known.
pub(crate) const OPEN: &str = "${";

/// What the variables of a command line may come to: with the default limits of a stack Linux starts no
/// program with more (execve(2)).
const MAX_COMMAND: usize = 2 << 20;
/// Variables without a value that are told one by one.
const MAX_OPEN: usize = 20;

/// Where units live, the strongest first.
const ORDER: &[&str] = &[
    "etc/systemd/",
    "run/systemd/",
    "usr/local/lib/systemd/",
    "lib/systemd/",
];

/// One file of a unit.
#[derive(Clone, Debug)]
pub(super) struct UnitFile {
    pub(super) name: String,
    pub(super) text: String,
}

/// Unit name and whether it is a drop-in, by path: `etcd.service`, `etcd.service.d/10-x.conf`.
pub(super) fn unit_of(path: &str) -> Option<(&str, bool)> {
    let mut parts = path.rsplit('/');
    let name = parts.next()?;
    if name.ends_with(".service") {
        return Some((name, false));
    }
    let unit = parts.next()?.strip_suffix(".d")?;
    (name.ends_with(".conf") && unit.ends_with(".service")).then_some((unit, true))
}

fn strength(path: &str) -> usize {
    ORDER
        .iter()
        .position(|dir| path.contains(dir))
        .unwrap_or(ORDER.len())
}

/// The state that directives build up.
#[derive(Default)]
struct Unit {
    exec: Vec<Word>,
    exec_file: String,
    /// Where a quote of `ExecStart=` is never closed.
    open: Option<Place>,
    env: Vec<(String, String, Place)>,
    env_files: Vec<(String, Place)>,
    /// `UnsetEnvironment=`: names, or assignments that go only where they are just so.
    unset: Vec<String>,
}

/// What a unit runs.
pub(super) enum Runs {
    /// A catalogued component.
    Component(Box<Instance>),
    /// A k3s or RKE2 server: its words and the file they stand in.
    Rancher(Vec<Word>, String),
    /// Something else.
    Other,
}

/// Reads a unit from its files. `env_file` finds what an `EnvironmentFile=` names.
pub(super) fn read(
    files: &[UnitFile],
    host: Option<&str>,
    env_file: &dyn Fn(&str) -> Found,
) -> Runs {
    let name = files.first().and_then(|file| unit_of(&file.name));
    let name = name.map_or("", |(name, _)| name);
    let mut main: Vec<&UnitFile> = Vec::new();
    // A drop-in of the same name in a stronger folder replaces the weaker one.
    let mut drops: BTreeMap<&str, &UnitFile> = BTreeMap::new();
    for file in files {
        match unit_of(&file.name) {
            Some((_, false)) => main.push(file),
            _ => {
                let name = file.name.rsplit('/').next().unwrap_or("");
                let slot = drops.entry(name).or_insert(file);
                if strength(&file.name) < strength(&slot.name) {
                    *slot = file;
                }
            }
        }
    }
    main.sort_by_key(|file| strength(&file.name));
    let mut unit = Unit::default();
    if let Some(file) = main.first() {
        directives(file, &mut unit);
    }
    for file in drops.into_values() {
        directives(file, &mut unit);
    }
    let mut env = Environment::of(name, unit.env, unit.env_files, host, env_file);
    env.unset(&unit.unset);
    let Expanded {
        mut words,
        open,
        over,
    } = expand(&unit.exec, &env);
    // What is left to a shell it finds in the environment it is started with.
    shell_env::put_in(&mut words, &|name| {
        env.values.get(name).map(|(value, _)| value.as_str())
    });
    let mut unread = std::mem::take(&mut env.unread);
    for (name, line) in open.iter().take(MAX_OPEN) {
        let place = Place::new(&unit.exec_file, *line);
        unread.push(format!(
            "{OPEN}{name}}} of `ExecStart=` ({place}) is set in no file that was read, and {} may set it",
            env.may_set()
        ));
    }
    if open.len() > MAX_OPEN {
        let more = open.len() - MAX_OPEN;
        unread.push(format!(
            "{more} more variables of `ExecStart=` ({}) are set in no file that was read",
            unit.exec_file
        ));
    }
    if let Some(line) = over {
        let place = Place::new(&unit.exec_file, line);
        unread.push(format!(
            "`ExecStart=` ({place}) is longer with its variables than a command line can be: they were not \
             all put in"
        ));
    }
    let program = words.first().and_then(|word| word.text.rsplit('/').next());
    if matches!(program, Some("k3s" | "rke2"))
        && words.get(1).is_some_and(|word| word.text == "server")
    {
        return Runs::Rancher(words, unit.exec_file);
    }
    let line = argv::read(&words, &unit.exec_file, None);
    let Some(component) = line.component else {
        return Runs::Other;
    };
    let place = Place::new(
        &unit.exec_file,
        unit.exec.first().map_or(0, |word| word.line),
    );
    let mut instance = Instance::new(component.program(), SourceKind::Systemd, place);
    instance.component = Some(component);
    instance.given = line.given;
    instance.bare = line.bare;
    instance.dangling = line.dangling;
    instance.open_quote = unit.open;
    unread.extend(line.open.iter().map(|(name, line)| {
        let place = Place::new(&unit.exec_file, *line);
        format!("{name} of the shell's script ({place}) is set in no file that was read")
    }));
    instance.unread = unread;
    if let Some(program) = line.program {
        let place = instance.place.clone();
        instance.note_binary(&program, place);
    }
    if component == Component::Etcd {
        for (name, (value, place)) in env.values {
            if !name.starts_with("ETCD_") {
                continue;
            }
            instance.given.push(Given {
                value: Some(mask_env(&name, &value)),
                name,
                means: Means::Env,
                place,
            });
        }
    }
    Runs::Component(Box::new(instance))
}

/// The lines of a file with continuations joined, each with its first line's number.
fn logical_lines(text: &str) -> Vec<(u32, String)> {
    let mut out: Vec<(u32, String)> = Vec::new();
    let mut open = false;
    let mut number = 0u32;
    for line in text.lines() {
        number = number.saturating_add(1);
        let trimmed = line.trim_start();
        let comment = trimmed.starts_with(['#', ';']);
        if open {
            // Comments between continued lines are skipped (systemd.syntax).
            if comment {
                continue;
            }
        } else if comment || trimmed.is_empty() {
            continue;
        }
        let (body, more) = match line.strip_suffix('\\') {
            Some(body) => (body, true),
            None => (line, false),
        };
        match out.last_mut().filter(|_| open) {
            Some((_, joined)) => {
                // The break is kept as a mark, so that words know their line.
                joined.push('\n');
                joined.push_str(body);
            }
            None => out.push((number, body.to_owned())),
        }
        open = more;
    }
    out
}

fn directives(file: &UnitFile, unit: &mut Unit) {
    let mut in_service = false;
    for (number, line) in logical_lines(&file.text) {
        let trimmed = line.trim();
        if trimmed.starts_with('[') {
            in_service = trimmed.starts_with("[Service]");
            continue;
        }
        if !in_service {
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let value = value.trim();
        let place = Place::new(&file.name, number);
        match key.trim() {
            "ExecStart" => {
                let bare = value.trim_start_matches(['@', '-', ':', '+', '!', '|']);
                let prefix = value.len() - bare.len();
                let renamed = value.get(..prefix).is_some_and(|signs| signs.contains('@'));
                let value = bare;
                if value.is_empty() {
                    unit.exec.clear();
                    unit.open = None;
                } else if unit.exec.is_empty() {
                    // systemd ignores such a line; what it says is shown all the same.
                    let (mut exec, open) = split(value, number);
                    // The word behind the program is what it is to call itself, no argument.
                    if renamed && exec.len() > 1 {
                        exec.remove(1);
                    }
                    // Only a shell reads on behind them.
                    let script = argv::script_at(&exec);
                    for (at, word) in exec.iter_mut().enumerate() {
                        if Some(at) != script {
                            blank_breaks(word);
                        }
                    }
                    unit.exec = exec;
                    unit.open = open.then_some(place);
                    unit.exec_file.clone_from(&file.name);
                }
            }
            "Environment" => {
                if value.is_empty() {
                    unit.env.clear();
                }
                for word in words(value, number) {
                    if let Some((name, value)) = word.text.split_once('=') {
                        let place = Place::new(&file.name, word.line);
                        unit.env.push((name.to_owned(), value.to_owned(), place));
                    }
                }
            }
            "EnvironmentFile" if value.is_empty() => unit.env_files.clear(),
            "EnvironmentFile" => unit.env_files.push((value.to_owned(), place)),
            "UnsetEnvironment" if value.is_empty() => unit.unset.clear(),
            "UnsetEnvironment" => {
                unit.unset
                    .extend(words(value, number).into_iter().map(|word| word.text));
            }
            _ => {}
        }
    }
}

/// Words of a directive.
fn words(text: &str, first_line: u32) -> Vec<Word> {
    let mut words = split(text, first_line).0;
    for word in &mut words {
        blank_breaks(word);
    }
    words
}

/// Where a line is continued systemd puts a blank.
fn blank_breaks(word: &mut Word) {
    word.text = word.text.replace(argv::BREAK, " ");
}

/// Whether every quote of a command line is closed: systemd ignores one where it is not.
pub fn quotes_closed(exec: &str) -> bool {
    !split(exec, 0).1
}

/// Words of a directive, and whether a quote is never closed: blanks separate, quotes hold
/// together, `\` escapes.
fn split(text: &str, first_line: u32) -> (Vec<Word>, bool) {
    let mut out = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote = None;
    let mut line = first_line;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\n' {
            line = line.saturating_add(1);
        }
        match (quote, c) {
            // A new line here is one that was continued.
            (Some(_), '\n') => {
                let slot = word.get_or_insert_with(|| Word::new("", line));
                slot.text.push(argv::BREAK);
            }
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_with(|| Word::new("", line));
            }
            (None, c) if c.is_whitespace() => out.extend(word.take()),
            (_, '\\') => {
                let next = chars.next();
                let slot = word.get_or_insert_with(|| Word::new("", line));
                match next {
                    Some('n') => slot.text.push('\n'),
                    Some('t') => slot.text.push('\t'),
                    Some(next) => slot.text.push(next),
                    None => {}
                }
            }
            (_, c) => word.get_or_insert_with(|| Word::new("", line)).text.push(c),
        }
    }
    out.extend(word);
    (out, quote.is_some())
}

/// A command line with its variables put in.
struct Expanded {
    words: Vec<Word>,
    /// Variables that something may set that was not read, with their lines.
    open: Vec<(String, u32)>,
    /// Where it came to be too long.
    over: Option<u32>,
}

/// `${NAME}` inside a word, and `$NAME` alone, which may become several words. Unknown names
/// become empty, as systemd makes them; specifiers such as `%i` stay as they are. Where a file that was
/// not read may set them, words that are nothing else are left out, and told with their lines.
fn expand(exec: &[Word], env: &Environment) -> Expanded {
    let doubt = env.doubt();
    let mut open: Vec<(String, u32)> = Vec::new();
    let mut over = None;
    // A name that stands there again and again has a copy of its value each time.
    let mut room = MAX_COMMAND;
    let mut value = |name: &str, line: u32| {
        let value = env.get(name).unwrap_or("");
        let Some(left) = room.checked_sub(value.len()) else {
            over.get_or_insert(line);
            return "";
        };
        room = left;
        value
    };
    let mut out = Vec::new();
    for word in exec {
        let alone = word.text.strip_prefix('$').filter(|name| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        });
        let whole = alone.or_else(|| word.text.strip_prefix("${")?.strip_suffix('}'));
        if let Some(name) = whole.filter(|name| doubt && env.get(name).is_none()) {
            open.push((name.to_owned(), word.line));
            continue;
        }
        if let Some(name) = alone {
            out.extend(
                words(value(name, word.line), word.line)
                    .into_iter()
                    .map(|w| Word {
                        line: word.line,
                        ..w
                    }),
            );
            continue;
        }
        let mut text = String::new();
        let mut rest = word.text.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            text.push_str(before);
            match after.split_once('}') {
                Some((name, tail)) => {
                    text.push_str(value(name, word.line));
                    rest = tail;
                }
                None => {
                    text.push_str("${");
                    rest = after;
                }
            }
        }
        text.push_str(rest);
        out.push(Word {
            text: text.replace("$$", "$"),
            line: word.line,
        });
    }
    Expanded {
        words: out,
        open,
        over,
    }
}

/// The assignments of an environment file.
pub(super) fn env_lines(text: &str, file: &str) -> Vec<(String, String, Place)> {
    logical_lines(text)
        .into_iter()
        .filter_map(|(number, line)| {
            // systemd ignores `export NAME=`: that is no name of a variable (systemd
            // src/core/execute.c, invalid_env), so such a line sets nothing.
            let line = line.trim();
            let (name, value) = line.split_once('=')?;
            let name = name.trim();
            let good =
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let value = value.trim();
            let plain = value
                .strip_prefix('"')
                .and_then(|v| v.strip_suffix('"'))
                .or_else(|| value.strip_prefix('\'').and_then(|v| v.strip_suffix('\'')))
                .unwrap_or(value);
            good.then(|| {
                (
                    name.to_owned(),
                    plain.replace('\n', " "),
                    Place::new(file, number),
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
