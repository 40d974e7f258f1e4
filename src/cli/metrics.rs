//! `metrics`: scrapes saved, live or remembered by Prometheus, as brackets and rates.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::Error;
use crate::exit::Exit;
use crate::metrics::fetch::{Access, FetchLimits, Fetcher, complete, live};
use crate::metrics::prometheus_api::{Range, query};
use crate::metrics::{self, Hint, Limits, Loader};
use crate::render;
use crate::target::HostRoot;

use super::common::{Format, Session, parse_time};

/// Arguments of `metrics`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  etcd-doctor metrics --url https://127.0.0.1:2379/metrics --window 30s \\
      --cacert /etc/kubernetes/pki/etcd/ca.crt \\
      --cert /etc/kubernetes/pki/etcd/server.crt --key /etc/kubernetes/pki/etcd/server.key
  etcd-doctor metrics scrapes/            two or more saved scrapes of each component
  etcd-doctor metrics --prometheus http://prom:9090 --since 2026-11-21T03:00:00Z \\
      --until 2026-11-21T03:30:00Z --selector 'cluster=\"prod\"'")]
pub struct Args {
    /// Saved scrapes: files, or folders with them (`-` reads standard input)
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Scrape this address twice; may be given several times
    #[arg(long, value_name = "URL", help_heading = "Live")]
    url: Vec<String>,
    /// Time between the two scrapes
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_window, help_heading = "Live")]
    window: Duration,
    /// Ask this Prometheus for what it remembers
    #[arg(
        long,
        value_name = "URL",
        requires = "since",
        help_heading = "Prometheus"
    )]
    prometheus: Option<String>,
    /// Begin of the time in question (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = parse_time, help_heading = "Prometheus")]
    since: Option<Timestamp>,
    /// End of the time in question; by default now
    #[arg(long, value_name = "TIME", value_parser = parse_time, help_heading = "Prometheus")]
    until: Option<Timestamp>,
    /// More label matchers, such as `cluster="prod"`
    #[arg(
        long,
        value_name = "MATCHERS",
        default_value = "",
        help_heading = "Prometheus"
    )]
    selector: String,
    /// How to reach the servers
    #[command(flatten)]
    access: AccessArgs,
}

/// How to reach servers.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "TLS and access")]
pub struct AccessArgs {
    /// Authorities to trust, PEM
    #[arg(long, value_name = "FILE")]
    pub(super) cacert: Option<PathBuf>,
    /// Client certificate, PEM
    #[arg(long, value_name = "FILE")]
    pub(super) cert: Option<PathBuf>,
    /// Key of the client certificate, PEM
    #[arg(long, value_name = "FILE")]
    pub(super) key: Option<PathBuf>,
    /// File that holds a bearer token
    #[arg(long, value_name = "FILE")]
    pub(super) bearer_token_file: Option<PathBuf>,
    /// Take any server certificate
    #[arg(long)]
    pub(super) insecure_skip_tls_verify: bool,
    /// Longest time for one answer
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = parse_window)]
    pub(super) timeout: Duration,
}

pub(super) fn parse_window(text: &str) -> Result<Duration, String> {
    crate::units::parse_go_duration(text.as_bytes())
        .map(Duration::from_nanos)
        .filter(|d| (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(d))
        .ok_or_else(|| format!("`{text}` is not a time between 100ms and 1h, such as 30s"))
}

impl AccessArgs {
    /// Reads the files.
    pub(super) fn fetcher(&self) -> Result<Fetcher, Error> {
        let file = |path: &Option<PathBuf>| path.as_deref().map(read_secret).transpose();
        let token = match &self.bearer_token_file {
            Some(path) => {
                let bytes = read_secret(path)?;
                let text = String::from_utf8(bytes).map_err(|_| Error::Format {
                    path: path.clone(),
                    why: "is no text".to_owned(),
                })?;
                Some(text.trim().to_owned())
            }
            None => None,
        };
        let access = Access {
            ca: file(&self.cacert)?,
            cert: file(&self.cert)?,
            key: file(&self.key)?,
            token,
            insecure: self.insecure_skip_tls_verify,
        };
        let limits = FetchLimits {
            deadline: self.timeout,
            ..FetchLimits::default()
        };
        Fetcher::new(&access, limits).map_err(|err| Error::Usage(err.to_string()))
    }
}

/// A certificate, key or token that the user named.
fn read_secret(path: &Path) -> Result<Vec<u8>, Error> {
    let read = || {
        #[expect(clippy::disallowed_methods, reason = "the user named this file")]
        let file = std::fs::File::open(path)?;
        let mut bytes = Vec::new();
        file.take(1 << 20).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

/// Runs the command.
pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<Exit, Error> {
    if args.paths.is_empty() && args.url.is_empty() && args.prometheus.is_none() {
        return Err(Error::Usage(
            "give saved scrapes, --url, or --prometheus with --since".to_owned(),
        ));
    }
    session.catch_signals()?;
    let mut loader = Loader::new(Limits::default());
    read_paths(&args.paths, &mut loader)?;
    if !args.url.is_empty() || args.prometheus.is_some() {
        let fetcher = args.access.fetcher()?;
        if let (Some(base), Some(since)) = (&args.prometheus, args.since) {
            let until = args.until.unwrap_or_else(|| session.clock.now());
            if until <= since {
                return Err(Error::Usage("--until is not after --since".to_owned()));
            }
            let range = Range { since, until };
            query(&fetcher, base, range, &args.selector, &mut loader);
        }
        if !args.url.is_empty() {
            let urls: Vec<String> = args.url.iter().map(|url| complete(url)).collect();
            session.note(&format!(
                "scraping {} twice, {} s apart",
                urls.len(),
                args.window.as_secs_f64()
            ));
            live(
                &fetcher,
                &urls,
                args.window,
                session.clock,
                &session.stop,
                &mut loader,
            );
        }
    }
    let model = loader.finish();
    let set = metrics::collect(&model);
    if model.timelines.is_empty() {
        if let Some(fault) = model.faults.first()
            && fault.kind == metrics::FaultKind::NotReached
            && args.paths.is_empty()
        {
            return Err(Error::Unreachable {
                target: fault.source.clone(),
                why: fault.what.clone(),
            });
        }
        let what = model.faults.first().map_or_else(
            || "no scrape was found".to_owned(),
            |fault| format!("no scrape could be used: {}: {}", fault.source, fault.what),
        );
        return Err(Error::Nothing {
            what,
            hint: "a scrape is what `curl https://HOST:PORT/metrics` prints".to_owned(),
        });
    }
    match session.format {
        Format::Table => render::metrics(session.out, session.terminal, &set)?,
        Format::Json => {
            let records: Vec<_> = set.records().collect();
            session.json(&serde_json::json!({
                "format": "etcd-doctor/metrics",
                "version": 1,
                "readings": records,
            }))?;
        }
    }
    if let Some(exit) = session.stopped() {
        return Ok(exit);
    }
    Ok(if session.strict && !model.faults.is_empty() {
        Exit::Incomplete
    } else {
        Exit::Clean
    })
}

/// Reads files and folders that the user named. Their order, and how they are cut into arguments, is
/// no matter: single files are read as a folder that holds them is.
pub(super) fn read_paths(paths: &[PathBuf], loader: &mut Loader) -> Result<(), Error> {
    let mut files = Vec::new();
    loader.next_place();
    for path in paths {
        if let Some(file) = read_path(path, loader)? {
            files.push(file);
        }
    }
    loader.next_place();
    metrics::read_files(&files, loader);
    Ok(())
}

/// Reads a folder, or gives the file that is to be read.
fn read_path(path: &Path, loader: &mut Loader) -> Result<Option<PathBuf>, Error> {
    let fail = |source| Error::Evidence {
        path: path.to_owned(),
        source,
    };
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin()
            .lock()
            .take(Limits::default().scrape_bytes + 1)
            .read_to_end(&mut bytes)
            .map_err(fail)?;
        loader.add("", "standard input", &bytes, &Hint::default());
        return Ok(None);
    }
    // The name of what a link leads to: `read_files` keeps to the folder of the file.
    let real = path.canonicalize().map_err(fail)?;
    if real.is_dir() {
        loader.next_place();
        metrics::read_folder(&HostRoot::new(real), loader);
        return Ok(None);
    }
    if !std::fs::metadata(&real).map_err(fail)?.is_file() {
        return Err(fail(std::io::Error::other("is no plain file")));
    }
    Ok(Some(real))
}
