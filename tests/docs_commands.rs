//! Every command line of the program in its documents is one that it takes.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test over the documents"
)]

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use clap::error::ErrorKind;
use etcd_doctor::cli::Cli;

/// Documents that people read; `command-line.md` is what the program prints of itself.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    for dir in ["docs", "playbooks"] {
        let entries = fs::read_dir(root.join(dir)).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().path()));
    }
    files.retain(|path| !path.ends_with("command-line.md"));
    files.sort();
    files
}

/// The lines of code blocks, with those that a backslash continues in one, and what stands in
/// backticks; of a script its comments.
fn code(text: &str, script: bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut block = false;
    let mut open = String::new();
    for line in text.lines() {
        if script {
            found.extend(line.strip_prefix('#').map(str::to_owned));
            continue;
        }
        if line.trim_start().starts_with("```") {
            block = !block;
            continue;
        }
        if block || line.starts_with("    ") {
            match line.trim_end().strip_suffix('\\') {
                Some(begun) => open = open + begun.trim() + " ",
                None if open.is_empty() => found.push(line.to_owned()),
                None => found.push(std::mem::take(&mut open) + line.trim()),
            }
        }
    }
    if !script {
        // A span may go on in the next line.
        let prose: String = text.split("```").step_by(2).collect();
        let spans = prose.split('`').skip(1).step_by(2);
        found.extend(spans.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    found
}

/// The command lines of the program in a line of shell.
fn commands(line: &str) -> Vec<String> {
    let parts = line
        .split(['|', ';', '\'', '"', '(', ')', '>', '<'])
        .flat_map(|part| part.split("&&"));
    parts
        .filter_map(|part| {
            let words = part.trim_start();
            let words = words.strip_prefix("ssh cp0 ").unwrap_or(words);
            let words = words.strip_prefix("sudo ").unwrap_or(words);
            let words = words.strip_prefix("$ ").unwrap_or(words);
            let words = words.strip_prefix("./target/release/").unwrap_or(words);
            let rest = words.strip_prefix("etcd-doctor ")?;
            // What follows many blanks or a `#` is said, not typed.
            let rest = rest.split("   ").next().unwrap_or(rest);
            Some(rest.split(" #").next().unwrap_or(rest).trim().to_owned())
        })
        .filter(|rest| !rest.is_empty())
        .collect()
}

/// The words of a command, with values in place of those that stand for any.
fn words(command: &str) -> Vec<String> {
    let mut words: Vec<String> = vec!["etcd-doctor".to_owned()];
    for word in command.split_whitespace() {
        let word = word.trim_matches(['[', ']']);
        let timed = words
            .last()
            .is_some_and(|last| matches!(last.as_str(), "--since" | "--until"));
        match word.trim_end_matches('…') {
            "" | "TIME" if timed => words.push("2026-01-01T00:00:00Z".to_owned()),
            "" if words.last().is_some_and(|last| last.starts_with('-')) => {
                words.push("VALUE".to_owned());
            }
            "" => {}
            word => words.push(word.to_owned()),
        }
    }
    words
}

#[test]
fn the_documents_command_lines_are_taken() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for path in documents() {
        let script = path.extension().is_some_and(|end| end == "sh");
        let text = fs::read_to_string(&path).unwrap();
        for command in code(&text, script).iter().flat_map(|line| commands(line)) {
            seen += 1;
            let words = words(&command);
            // The name of a command alone speaks of it.
            let mentioned = words.iter().skip(1).all(|word| !word.starts_with('-'));
            let Err(err) = Cli::try_parse_from(&words) else {
                continue;
            };
            let short = matches!(
                err.kind(),
                ErrorKind::MissingRequiredArgument
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                    | ErrorKind::MissingSubcommand
            );
            if err.kind() != ErrorKind::DisplayHelp && !(mentioned && short) {
                let name = path.file_name().unwrap().to_string_lossy();
                wrong.push(format!("{name}: etcd-doctor {command}\n{err}"));
            }
        }
    }
    assert!(seen > 100, "only {seen} command lines were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A page that says what to type says it whole: `metrics` alone reads nothing.
#[test]
fn pages_give_metrics_something_to_read() {
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        let typed = text.split("```").skip(1).step_by(2).flat_map(str::lines);
        for command in typed.flat_map(commands) {
            assert_ne!(command, "metrics", "{}", path.display());
        }
    }
}

#[test]
fn command_lines_are_found_where_they_stand() {
    let text = "Run `etcd-doctor\nlogs PATH…`:\n\n```\nssh cp0 sudo etcd-doctor check host   # says\n\
                kubectl get x | etcd-doctor metrics \\\n  --since … --url URL ; etcd-doctor logs\n```\n";
    let found: Vec<String> = code(text, false)
        .iter()
        .flat_map(|line| commands(line))
        .collect();
    assert_eq!(
        found,
        [
            "check host",
            "metrics --since … --url URL",
            "logs",
            "logs PATH…"
        ]
    );
    assert_eq!(
        words("logs [PATH…] --since …"),
        [
            "etcd-doctor",
            "logs",
            "PATH",
            "--since",
            "2026-01-01T00:00:00Z"
        ]
    );
}
