//! Writes what README.md and docs/ repeat from the program itself: a session, commands, exit
//! codes, rules, kinds of log messages, keys of readings. `make regenerate` runs it, and
//! `tests/generated.sh` holds that nothing is out of date.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use etcd_doctor::cli::{self, Cli, Session};
use etcd_doctor::diagnosis::DISK_WEIGHTS;
use etcd_doctor::evidence::{KeyInfo, MergeLaw, ShapeKind, Unit, keys};
use etcd_doctor::exit::EXIT_CODES;
use etcd_doctor::logs::event::Component;
use etcd_doctor::logs::signature::{Signature, catalogue};
use etcd_doctor::rules::RULES;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Columns of sessions and help texts.
const WIDTH: usize = 100;

fn main() -> Result<()> {
    let root = std::env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let readme = root.join("README.md");
    let mut text = read(&readme)?;
    for (name, part) in [
        ("session", session()?),
        ("commands", commands()?),
        ("exit-codes", exit_codes()?),
    ] {
        text = replaced(&text, name, &part)?;
    }
    fs::write(readme, text)?;
    let docs = root.join("docs");
    fs::create_dir_all(&docs)?;
    fs::write(docs.join("command-line.md"), command_line()?)?;
    fs::write(docs.join("rules.md"), rules()?)?;
    fs::write(docs.join("log-kinds.md"), log_kinds()?)?;
    fs::write(docs.join("evidence-keys.md"), evidence_keys()?)?;
    fs::write(docs.join("disk-weights.md"), disk_weights()?)?;
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    #[expect(clippy::disallowed_methods, reason = "the repository's own file")]
    let text = fs::read_to_string(path)?;
    Ok(text)
}

/// The text with a part between `<!-- NAME:begin -->` and `<!-- NAME:end -->` replaced.
fn replaced(text: &str, name: &str, part: &str) -> Result<String> {
    let (begin, end) = (
        format!("<!-- {name}:begin -->\n"),
        format!("<!-- {name}:end -->"),
    );
    let lacks = || format!("README.md lacks the marks of `{name}`");
    let (before, rest) = text.split_once(&begin).ok_or_else(lacks)?;
    let (_, after) = rest.split_once(&end).ok_or_else(lacks)?;
    Ok(format!("{before}{begin}{}\n{end}{after}", part.trim_end()))
}

/// What a command prints.
fn printed(args: &[&str]) -> Result<String> {
    let width = WIDTH.to_string();
    let all = ["etcd-doctor", "--color", "never", "--width", &width];
    let cli = Cli::try_parse_from(all.iter().chain(args))?;
    let mut out = Vec::new();
    let mut session = Session::new(&cli.global, &mut out);
    cli::run(&cli.command, &mut session)?;
    Ok(String::from_utf8(out)?)
}

/// The demo, cut to what shows its shape. `…` stands for lines left out.
fn session() -> Result<String> {
    let mut out = String::from("```console\n$ etcd-doctor diagnose --demo\n");
    let text = printed(&["diagnose", "--demo"])?;
    let mut parts = Vec::new();
    for block in text.trim_end().split("\n\n") {
        let first = block.split_whitespace().next().unwrap_or_default();
        let mut part: Vec<String> = Vec::new();
        for (at, line) in block.lines().enumerate() {
            // What the reasons go on to say is in the report itself.
            let goes_on = first == "ADVICE" && line.starts_with("        ");
            let second = line.starts_with("  2. ");
            match first {
                "LOOKED" => break,
                "LOAD" | "FINDINGS" if at >= 5 => {
                    part.push("  …".to_owned());
                    break;
                }
                "ADVICE" if second => {
                    part.push("  …".to_owned());
                    break;
                }
                _ if goes_on => {
                    if let Some(last) = part.last_mut().filter(|last| !last.ends_with('…')) {
                        last.push_str(" …");
                    }
                }
                _ => part.push(line.to_owned()),
            }
        }
        parts.push(part);
    }
    parts.retain(|part| !part.is_empty());
    let parts: Vec<String> = parts.iter().map(|part| part.join("\n") + "\n").collect();
    out += &parts.join("\n");
    out.push_str("```\n");
    Ok(out)
}

fn commands() -> Result<String> {
    let mut out = String::from("| command | what it does |\n|---|---|\n");
    let command = Cli::command();
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let about = sub.get_about().map(ToString::to_string);
        writeln!(
            out,
            "| `etcd-doctor {}` | {} |",
            sub.get_name(),
            about.unwrap_or_default()
        )?;
    }
    out.push_str("\nAll options: [docs/command-line.md](docs/command-line.md).\n");
    Ok(out)
}

fn exit_codes() -> Result<String> {
    let mut out = String::from("| code | meaning |\n|---|---|\n");
    for (_, code, meaning) in EXIT_CODES {
        writeln!(out, "| {code} | {} |", cell(meaning))?;
    }
    Ok(out)
}

fn rules() -> Result<String> {
    let mut out = String::from(
        "# Rules\n\nGenerated from the rules by `make regenerate`.\n\n\
         Each rule is a link to its playbook page, which `etcd-doctor explain RULE` shows offline. Their limits come from\n\
         profiles, each with its source: `etcd-doctor rules`.\n\n\
         | rule | worst severity | fault |\n|---|---|---|\n",
    );
    for rule in RULES {
        writeln!(
            out,
            "| [`{}`](../playbooks/{}.md) | {} | {} |",
            rule.id,
            rule.playbook,
            rule.severity,
            cell(rule.summary)
        )?;
    }
    Ok(out)
}

/// Every command's help, without the options that all share.
fn command_line() -> Result<String> {
    let mut command = Cli::command().term_width(WIDTH);
    command.build();
    let mut out = String::from(
        "# Command line\n\nGenerated from the program by `make regenerate`.\n\n## etcd-doctor\n\n",
    );
    writeln!(out, "```text\n{}```", plain(&mut command))?;
    helps(&mut command, "", &mut out)?;
    Ok(out)
}

/// The help of every command below one.
fn helps(command: &mut clap::Command, above: &str, out: &mut String) -> Result<()> {
    const SHARED: &str = "\nOutput and exit code:\n";
    for sub in command.get_subcommands_mut() {
        if sub.is_hide_set() || sub.get_name() == "help" {
            continue;
        }
        let name = format!("{above}{}", sub.get_name());
        let help = plain(sub);
        // What follows the shared options (examples) begins at the left margin.
        let help = match help.split_once(SHARED) {
            Some((before, shared)) => {
                let examples = shared.find("\nExamples:").and_then(|at| shared.get(at..));
                format!("{before}{}", examples.unwrap_or_default())
            }
            None => help,
        };
        writeln!(out, "\n## {name}\n\n```text\n{}\n```", help.trim_end())?;
        helps(sub, &format!("{name} "), out)?;
    }
    Ok(())
}

fn plain(command: &mut clap::Command) -> String {
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

/// A text for a cell of a Markdown table.
fn cell(text: &str) -> String {
    let one: Vec<&str> = text.split_whitespace().collect();
    one.join(" ").replace('|', "\\|").replace('<', "&lt;")
}

fn log_kinds() -> Result<String> {
    let mut out = String::from(
        "# Kinds of log messages\n\nGenerated from the catalogue of messages by `make regenerate`.\n\n\
         The `kind` of `etcd-doctor logs --emit events`, of episodes and of the tables of messages. Ids are never renamed\n\
         or reused. *Nature* says what a message tells about the system: a *fault* is something wrong now, a *symptom* a\n\
         sign of trouble that may lie elsewhere, a *request* one request or call, a *change* a start, stop, election or\n\
         compaction, *planned* something done on purpose, *noise* says nothing about health. *Fields* are the message's own,\n\
         beside those that every object has; names that end in `_ms` are milliseconds.\n",
    );
    let all = [
        Component::Etcd,
        Component::Apiserver,
        Component::ControllerManager,
        Component::Scheduler,
        Component::Kubelet,
        Component::Controller,
        Component::Unknown,
        Component::Kernel,
    ];
    for component in all {
        let rows: Vec<&Signature> = catalogue()
            .iter()
            .copied()
            .filter(|signature| signature.component == component)
            .collect();
        if rows.is_empty() {
            continue;
        }
        let title = match component {
            Component::Unknown => "Several programs",
            known => known.word(),
        };
        writeln!(
            out,
            "\n## {title}\n\n| kind | nature | versions | meaning | fields |\n|---|---|---|---|---|"
        )?;
        for row in rows {
            let mut fields: Vec<String> = Vec::new();
            for name in row.fields.iter().filter_map(|field| field.role.extra()) {
                let name = format!("`{name}`");
                if !fields.contains(&name) {
                    fields.push(name);
                }
            }
            writeln!(
                out,
                "| `{}` | {} | {} | {} | {} |",
                row.id,
                row.nature.word(),
                cell(row.versions),
                cell(row.doc),
                fields.join(", ")
            )?;
        }
    }
    Ok(out)
}

fn disk_weights() -> Result<String> {
    let mut out = String::from(
        "# How much the evidence weighs against the disk\n\nGenerated from `src/diagnosis/disk/weights.rs` by `make \
         regenerate`.\n\n\
         The first row that holds decides; before it, slow syncs of a device that the kernel measured as fast are left out.\n\
         From 50 % on the disk is claimed as a cause, below it is a possibility. The figures were set by hand: they order\n\
         causes and are no probabilities.\n\n| what is seen | confidence | why |\n|---|---|---|\n",
    );
    for weight in DISK_WEIGHTS {
        let says = match weight.confidence() {
            Some(confidence) => format!("{:.0} %", confidence * 100.0),
            None if weight.clears() => "not the disk".to_owned(),
            None => "nothing".to_owned(),
        };
        writeln!(out, "| {} | {says} | {} |", weight.name, weight.why)?;
    }
    Ok(out)
}

fn evidence_keys() -> Result<String> {
    let mut out = String::from(
        "# Evidence keys\n\nGenerated from the catalogue of keys by `make regenerate`.\n\n\
         Every reading in a report or a saved run has one of these keys. *Merge* says what becomes of two readings of the\n\
         same key and subject, as when several runs are put together: the *latest* wins, the larger (*max*) or smaller\n\
         (*min*) one wins, they are added (*sum*), or joined by time (*union*). Readings of different subjects stand side by\n\
         side. A reading that is not there is *missing* with a reason, never 0.\n",
    );
    let mut family = "";
    let mut all: Vec<&KeyInfo> = keys::all().collect();
    all.sort_by_key(|info| info.name);
    for info in all {
        let first = info.name.split('.').next().unwrap_or_default();
        if first != family {
            family = first;
            writeln!(
                out,
                "\n## {family}\n\n| key | shape | unit | merge | meaning |\n|---|---|---|---|---|"
            )?;
        }
        writeln!(
            out,
            "| `{}` | {} | {} | {} | {} |",
            info.name,
            shape(info),
            unit(info),
            merge(info),
            cell(info.doc)
        )?;
    }
    Ok(out)
}

fn shape(info: &KeyInfo) -> &'static str {
    match info.shape {
        ShapeKind::Scalar => "scalar",
        ShapeKind::Histogram => "histogram",
        ShapeKind::Table => "table",
        ShapeKind::Series => "series",
        ShapeKind::Episodes => "episodes",
    }
}

fn unit(info: &KeyInfo) -> &'static str {
    match info.unit {
        Unit::Ms => "ms",
        Unit::Secs => "s",
        Unit::Bytes => "bytes",
        Unit::Count => "count",
        Unit::PerSec => "per second",
        Unit::Ratio => "share",
        Unit::BytesPerSec => "bytes/s",
        Unit::None => "",
    }
}

fn merge(info: &KeyInfo) -> &'static str {
    match info.merge {
        MergeLaw::Latest => "latest",
        MergeLaw::Max => "max",
        MergeLaw::Min => "min",
        MergeLaw::Sum => "sum",
        MergeLaw::Union => "union",
    }
}
