//! systemd units with their drop-ins: what `ExecStart=` runs, with which environment.

use std::collections::BTreeMap;

use super::argv::{self, Word};
use super::env_files::Found;
use super::model::{Given, Instance, Means, Place, SourceKind};
use super::secret::mask_env;
use super::specifier;
use crate::catalog::settings::Component;

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
    let mut env: Vec<(String, String, Place)> = unit.env;
    // Files come after `Environment=` and override it (systemd.exec).
    let mut unread = Vec::new();
    for (path, place) in unit.env_files {
        let optional = path.starts_with('-');
        let path = path.trim_start_matches('-').trim_matches('"');
        let found = match specifier::expand(path, name, host) {
            Ok(path) => env_file(&path),
            Err(sign) => Found::Unread(format!("{path} ({place}): {sign} is not known")),
        };
        match found {
            Found::Files(files) => {
                for (name, text) in files {
                    env.extend(env_lines(&text, &name));
                }
            }
            Found::Absent if optional => {}
            Found::Absent => unread.push(format!(
                "{path} is not there, and {name} does not start without it ({place})"
            )),
            Found::Unread(why) => unread.push(why),
        }
    }
    // The last step of all (systemd.exec).
    env.retain(|(name, value, _)| {
        !unit.unset.iter().any(|gone| match gone.split_once('=') {
            Some((own, only)) => own == name && only == value,
            None => gone == name,
        })
    });
    let words = expand(&unit.exec, &env);
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
    instance.unread = unread;
    if let Some(program) = line.program {
        let place = instance.place.clone();
        instance.note_binary(&program, place);
    }
    if component == Component::Etcd {
        // The last assignment of a variable is the one the process gets.
        let mut last: BTreeMap<String, (String, Place)> = BTreeMap::new();
        for (name, value, place) in env {
            if name.starts_with("ETCD_") {
                last.insert(name, (value, place));
            }
        }
        for (name, (value, place)) in last {
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
    split(text, first_line).0
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

/// `${NAME}` inside a word, and `$NAME` alone, which may become several words. Unknown names
/// become empty, as systemd makes them; specifiers such as `%i` stay as they are.
fn expand(exec: &[Word], env: &[(String, String, Place)]) -> Vec<Word> {
    let value = |name: &str| {
        env.iter()
            .rev()
            .find(|(n, _, _)| n == name)
            .map(|(_, value, _)| value.as_str())
    };
    let mut out = Vec::new();
    for word in exec {
        let alone = word.text.strip_prefix('$').filter(|name| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        });
        if let Some(name) = alone {
            out.extend(
                words(value(name).unwrap_or(""), word.line)
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
                    text.push_str(value(name).unwrap_or(""));
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
    out
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(name: &str, text: &str) -> UnitFile {
        UnitFile {
            name: name.to_owned(),
            text: text.to_owned(),
        }
    }

    fn component(files: &[UnitFile], find: &dyn Fn(&str) -> Option<(String, String)>) -> Instance {
        let find = |path: &str| find(path).map_or(Found::Absent, |file| Found::Files(vec![file]));
        match read(files, Some("cp1"), &find) {
            Runs::Component(instance) => *instance,
            Runs::Rancher(..) | Runs::Other => panic!("runs no component"),
        }
    }

    #[test]
    fn drop_ins_reset_and_files_override() {
        let files = [
            file(
                "etc/systemd/system/etcd.service",
                "[Unit]\nExecStart=no\n[Service]\n# etcd\nEnvironment=ETCD_NAME=a \"ETCD_DATA_DIR=/d d\"\nEnvironmentFile=-/etc/default/etcd\nExecStart=/usr/bin/etcd \\\n  --heartbeat-interval=100 \\\n  # a remark\n  --election-timeout ${ELECTION} $EXTRA --listen=%H\n",
            ),
            file(
                "usr/lib/systemd/system/etcd.service",
                "[Service]\nExecStart=/usr/bin/etcd --weak\n",
            ),
            file(
                "etc/systemd/system/etcd.service.d/90-x.conf",
                "[Service]\nEnvironment=ELECTION=1000\n",
            ),
        ];
        let find = |path: &str| {
            (path == "/etc/default/etcd").then(|| {
                (
                    "etc/default/etcd".to_owned(),
                    "ETCD_NAME='b'\nEXTRA=\"--wal-dir /w --logger=zap\"\n".to_owned(),
                )
            })
        };
        let etcd = component(&files, &find);
        let shown: Vec<_> = etcd
            .given
            .iter()
            .map(|g| {
                (
                    g.name.as_str(),
                    g.value.as_deref().unwrap_or(""),
                    g.place.line,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("heartbeat-interval", "100", 8),
                ("election-timeout", "1000", 9),
                ("wal-dir", "/w", 9),
                ("logger", "zap", 9),
                ("listen", "%H", 9),
                ("ETCD_DATA_DIR", "/d d", 5),
                ("ETCD_NAME", "b", 1),
            ]
        );
        let reset = file(
            "etc/systemd/system/etcd.service.d/95-y.conf",
            "[Service]\nExecStart=\nExecStart=-/opt/etcd --name=z\n",
        );
        let mut more = files.to_vec();
        more.push(reset);
        let etcd = component(&more, &find);
        assert_eq!(etcd.last("name"), Some("z"));
        assert_eq!(
            etcd.place.to_string(),
            "etc/systemd/system/etcd.service.d/95-y.conf:3"
        );
    }

    /// The variables and flags of one unit, and what was not read.
    fn shown(unit: &str, text: &str) -> (Vec<String>, Vec<String>) {
        let find = |path: &str| match path {
            "/etc/default/etcd" | "/etc/default/etcd-main" => {
                Some((path.to_owned(), "ETCD_UNSAFE_NO_FSYNC=true\n".to_owned()))
            }
            _ => None,
        };
        let etcd = component(&[file(unit, &format!("[Service]\n{text}"))], &find);
        let given = etcd.given.iter().map(|given| {
            let value = given.value.as_deref().unwrap_or("");
            format!("{}={value}", given.name)
        });
        (given.collect(), etcd.unread)
    }

    #[test]
    fn environment_files_are_named_by_specifiers() {
        for (unit, path) in [
            ("etcd.service", "-/etc/default/%p"),
            ("etcd.service", "/etc/default/%N"),
            ("etcd@main.service", "/etc/default/%p-%i"),
        ] {
            let (given, unread) = shown(unit, &format!("EnvironmentFile={path}\nExecStart=etcd\n"));
            assert_eq!(given, ["ETCD_UNSAFE_NO_FSYNC=true"], "{path}");
            assert!(unread.is_empty(), "{unread:?}");
        }
        // Of a template the instance is not known; a file that must be there is not.
        for (unit, path, part) in [
            ("etcd@.service", "-/etc/default/etcd-%i", "%i is not known"),
            ("etcd.service", "/etc/no", "/etc/no is not there"),
        ] {
            let (given, unread) = shown(unit, &format!("EnvironmentFile={path}\nExecStart=etcd\n"));
            assert!(given.is_empty());
            assert!(unread[0].contains(part), "{unread:?}");
        }
        let (_, unread) = shown("etcd.service", "EnvironmentFile=-/etc/no\nExecStart=etcd\n");
        assert!(unread.is_empty());
    }

    #[test]
    fn what_is_unset_is_not_set() {
        let text = "EnvironmentFile=/etc/default/etcd\nEnvironment=ETCD_NAME=a\nExecStart=etcd --data-dir=${ETCD_NAME}\n";
        for (unset, want) in [
            (
                "UnsetEnvironment=ETCD_UNSAFE_NO_FSYNC",
                &["data-dir=a", "ETCD_NAME=a"][..],
            ),
            (
                "UnsetEnvironment=ETCD_NAME=b ETCD_UNSAFE_NO_FSYNC=true",
                &["data-dir=a", "ETCD_NAME=a"],
            ),
            (
                "UnsetEnvironment=ETCD_UNSAFE_NO_FSYNC\nUnsetEnvironment=\nUnsetEnvironment=ETCD_NAME",
                &["data-dir=", "ETCD_UNSAFE_NO_FSYNC=true"],
            ),
        ] {
            let (given, _) = shown("etcd.service", &format!("{unset}\n{text}"));
            assert_eq!(given, want, "{unset}");
        }
    }

    #[test]
    fn a_program_under_another_name_keeps_its_flags() {
        for exec in [
            "@/usr/bin/etcd etcd-main --unsafe-no-fsync --name=a",
            "-@/usr/bin/etcd \"etcd main\" --unsafe-no-fsync --name=a",
            "/usr/bin/etcd --unsafe-no-fsync --name=a",
        ] {
            let (given, _) = shown("etcd.service", &format!("ExecStart={exec}\n"));
            assert_eq!(given, ["unsafe-no-fsync=", "name=a"], "{exec}");
        }
    }

    #[test]
    fn a_quote_that_is_never_closed_is_found() {
        for (exec, open) in [
            ("bash -c \"etcd --name=a", true),
            ("bash -c \"etcd --name='a\"", false),
            ("etcd --name='a", true),
            ("etcd --name=\\'a", false),
        ] {
            let text = format!("[Service]\nExecStart={exec}\n");
            let etcd = component(&[file("etcd.service", &text)], &|_| None);
            assert_eq!(etcd.open_quote.is_some(), open, "{exec}");
            let settled = crate::manifest::settle(&etcd);
            let found = settled
                .faults
                .iter()
                .any(|fault| fault.kind == "open-quote");
            assert_eq!(found, open, "{exec}");
        }
    }

    #[test]
    fn other_units_are_none_of_ours() {
        let other = read(
            &[file("a.service", "[Service]\nExecStart=/bin/true\n")],
            None,
            &|_| Found::Absent,
        );
        assert!(matches!(other, Runs::Other));
        let k3s = read(
            &[file(
                "k3s.service",
                "[Service]\nExecStart=/usr/local/bin/k3s server \\\n '--etcd-arg=a=b'\n",
            )],
            None,
            &|_| Found::Absent,
        );
        assert!(matches!(k3s, Runs::Rancher(words, _) if words.len() == 3));
        assert_eq!(
            unit_of("etc/systemd/system/kubelet.service.d/10-kubeadm.conf"),
            Some(("kubelet.service", true))
        );
        assert_eq!(unit_of("x/kubelet.conf.d/10.conf"), None);
    }

    proptest! {
        #[test]
        fn never_panics(text in "(\\[Service\\]\n)?(ExecStart=|Environment=|[a-z$\\{\\}\"'\\\\ =\n-]){0,60}") {
            let _ = read(&[file("e.service", &text)], None, &|_| {
                Found::Files(vec![(String::new(), text.clone())])
            });
        }
    }
}
