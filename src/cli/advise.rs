//! `advise`: recommendations from evidence, and from the manifests of controllers.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::advise::{self, Input};
use crate::bundle::Scratch;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::evidence::{Key, Reader, keys};
use crate::exit::Exit;
use crate::render;
use crate::report::v1;

use super::collect::{Gathered, How};
use super::common::{Format, Session, parse_time};
use super::diagnose;

/// Most bytes of one manifest or of standard input.
const MAX_INPUT: u64 = 256 << 20;
/// Bytes by which a file's kind is told.
const HEAD: usize = 64 << 10;

/// Arguments of `advise`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Manifests of controllers (Deployments, StatefulSets, a chart's values, `kubectl get -o yaml|json`), logs, scrapes, saved runs; `-` reads standard input
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Evidence: a folder (logs/ metrics/ manifests/ host/, or a copied host root), a tarball of one, a saved run, or a single file; may be given several times; without any, this node
    #[arg(long, value_name = "PATH")]
    pub bundle: Vec<PathBuf>,
    /// Limits to judge by: a profile's name, or a TOML file laid over the built-in ones
    #[arg(long, value_name = "NAME|FILE", default_value = "base")]
    pub profile: String,
    /// Show only advice for this component or client; may be given several times
    #[arg(long, value_name = "NAME")]
    pub target: Vec<String>,
    /// Look at log records from this time on
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub since: Option<Timestamp>,
    /// Look at log records up to this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub until: Option<Timestamp>,
    /// Threads to read logs with; by default one per CPU
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// Runs the command.
pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<Exit, Error> {
    session.catch_signals()?;
    let profile = diagnose::profile(&args.profile)?;
    let (gathered, input) = gather(args, session)?;
    let mut report = diagnose::judge(
        gathered.evidence,
        gathered.problems,
        input,
        &profile,
        session.clock.now(),
    );
    if !args.target.is_empty() {
        report.advice.retain(|advice| {
            args.target.iter().any(|wanted| {
                advice.target == *wanted || advice.target == format!("client {wanted}")
            })
        });
    }
    let controllers = advise::controllers(&Input {
        evidence: &report.evidence,
        findings: &report.findings,
        diagnosis: &report.diagnosis,
        profile: &profile,
    });
    match session.format {
        Format::Table => render::advise(session.out, session.terminal, &report, &controllers)?,
        Format::Json => session.json(&v1::AdviceDocument::of(&report, &controllers))?,
    }
    Ok(diagnose::exit(&report, gathered.lacks_named, session))
}

fn gather(args: &Args, session: &Session<'_>) -> Result<(Gathered, Vec<String>), Error> {
    if args.files.is_empty() && args.bundle.is_empty() {
        return diagnose::gather(&diagnose::Args::live(), session);
    }
    let threads = args
        .threads
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let how = How {
        clock: session.clock,
        stop: &session.stop,
        threads,
        read: crate::logs::reader::ReadOptions::default(),
        since: args.since,
        until: args.until,
    };
    let mut gathered = Gathered::default();
    let mut input = Vec::new();
    // Those that are no settings: what is of one server is read together.
    let mut bundles = args.bundle.clone();
    input.extend(bundles.iter().map(|path| path.display().to_string()));
    for path in &args.files {
        if path.as_os_str() == "-" {
            add_stdin(&mut gathered, &how)?;
            input.push("standard input".to_owned());
        } else {
            if !add_settings_file(path, &mut gathered)? {
                bundles.push(path.clone());
            }
            input.push(path.display().to_string());
        }
    }
    gathered.add_bundles(&bundles, &how)?;
    if gathered.evidence.is_empty() {
        return Err(Error::Nothing {
            what: format!(
                "found neither evidence nor settings of a controller that is known in {}",
                input.join(", ")
            ),
            hint: "give --bundle PATH with logs and metrics, or the output of `kubectl get \
                   deployments,statefulsets,daemonsets -A -o yaml`"
                .to_owned(),
        });
    }
    Ok((gathered, input))
}

/// What a text is, by its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Settings,
    Scrape,
    Other,
}

fn kind_of(head: &str) -> Kind {
    let head = head.trim_start_matches('\u{feff}');
    let start = head.trim_start();
    if start.starts_with("# HELP ") || start.starts_with("# TYPE ") {
        return Kind::Scrape;
    }
    if start.starts_with('{') || start.starts_with('[') {
        // Audit records are objects of the API too, one a line.
        let object = start.contains("\"apiVersion\"") && start.contains("\"kind\"");
        return if object && !start.contains("audit.k8s.io/") && !start.contains("etcd-doctor/") {
            Kind::Settings
        } else {
            Kind::Other
        };
    }
    let mut lines = head
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines.find(|line| !line.starts_with("---")).unwrap_or("");
    let key = first.split(':').next().unwrap_or("");
    // `gateway:` or `apiVersion: v1`; a log's line begins with a time or with a severity.
    let plain = first.contains(':')
        && !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'"'))
        && first
            .get(key.len() + 1..)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        && key.bytes().any(|b| b.is_ascii_alphabetic());
    if plain { Kind::Settings } else { Kind::Other }
}

/// Gathers from a file of settings; gives false where it is something else.
fn add_settings_file(path: &Path, gathered: &mut Gathered) -> Result<bool, Error> {
    let unreadable = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    if std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(false);
    }
    #[expect(clippy::disallowed_methods, reason = "the user named this file")]
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    let mut head = Vec::new();
    (&mut file)
        .take(HEAD as u64)
        .read_to_end(&mut head)
        .map_err(unreadable)?;
    let named = path
        .extension()
        .is_some_and(|ext| ext == "yaml" || ext == "yml");
    if !named && kind_of(&String::from_utf8_lossy(&head)) != Kind::Settings {
        return Ok(false);
    }
    let mut bytes = head;
    file.take(MAX_INPUT + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    let name = path.display().to_string();
    if bytes.len() as u64 > MAX_INPUT {
        return Err(too_large(&name));
    }
    gathered.add_settings(&name, &String::from_utf8_lossy(&bytes));
    Ok(true)
}

fn too_large(name: &str) -> Error {
    Error::Usage(format!(
        "{name} is larger than {}: give it as --bundle",
        crate::units::format_bytes(MAX_INPUT)
    ))
}

/// Settings are read where they are; anything else goes through a private file, so that it is
/// read as a file of its kind is.
fn add_stdin(gathered: &mut Gathered, how: &How<'_>) -> Result<(), Error> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(MAX_INPUT + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_INPUT {
        return Err(too_large("standard input"));
    }
    let head = bytes.get(..bytes.len().min(HEAD)).unwrap_or_default();
    let kind = kind_of(&String::from_utf8_lossy(head));
    if kind == Kind::Settings {
        gathered.add_settings("stdin.yaml", &String::from_utf8_lossy(&bytes));
        return Ok(());
    }
    let scratch = Scratch::new()?;
    let name = match kind {
        Kind::Scrape => "stdin.prom",
        _ => "stdin.log",
    };
    let path = scratch.path().join(name);
    std::fs::write(&path, &bytes).map_err(|source| Error::Write {
        path: path.clone(),
        source,
    })?;
    let mut own = Gathered::default();
    own.add_bundle(&path, how)?;
    let reader = Reader::new(&own.evidence);
    let count = |key: &Key<i64>| reader.all(key).iter().map(|(_, n)| *n).sum::<i64>();
    let (lines, unparsed) = (count(&keys::LOGS_LINES), count(&keys::LOGS_UNPARSED));
    if kind == Kind::Other && lines == unparsed {
        return Err(Error::Nothing {
            what: format!(
                "standard input is no manifest, no scrape and no log of a known form ({lines} lines)"
            ),
            hint:
                "pipe in the output of `kubectl get deployments,statefulsets,daemonsets -A -o yaml`"
                    .to_owned(),
        });
    }
    gathered.evidence.merge(own.evidence);
    gathered.problems.extend(own.problems);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_takes_one_path_and_leaves_the_files() {
        #[derive(clap::Parser)]
        struct Only {
            #[command(flatten)]
            args: Args,
        }
        let parse = |line: &str| {
            let words = line.split(' ');
            <Only as clap::Parser>::try_parse_from(words).map(|only| only.args)
        };
        let args = parse("advise --bundle cp0/ -").unwrap();
        assert_eq!(args.bundle, [PathBuf::from("cp0/")]);
        assert_eq!(args.files, [PathBuf::from("-")]);
        let args = parse("advise --bundle a --bundle b c d").unwrap();
        assert_eq!(args.bundle, [PathBuf::from("a"), PathBuf::from("b")]);
        assert_eq!(args.files, [PathBuf::from("c"), PathBuf::from("d")]);
    }

    #[test]
    fn kinds_of_texts() {
        for (text, kind) in [
            ("apiVersion: v1\nkind: List\n", Kind::Settings),
            (
                "# a comment\n---\ngateway:\n  replicas: 3\n",
                Kind::Settings,
            ),
            (
                "{\n  \"apiVersion\": \"v1\",\n  \"items\": [],\n  \"kind\": \"List\"\n}",
                Kind::Settings,
            ),
            (
                "{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\"}\n",
                Kind::Other,
            ),
            ("{\"level\":\"warn\",\"msg\":\"x\"}\n", Kind::Other),
            ("# HELP a b\n# TYPE a counter\na 1\n", Kind::Scrape),
            (
                "I0504 17:54:55.731559       1 request.go:655] Throttling\n",
                Kind::Other,
            ),
            ("2026-11-21T20:30:08.814591Z stderr F I1121\n", Kind::Other),
            ("17:54:55 hello\n", Kind::Other),
            ("", Kind::Other),
        ] {
            assert_eq!(kind_of(text), kind, "{text}");
        }
    }
}
