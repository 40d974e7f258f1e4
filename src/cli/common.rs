//! Flags that every command shares, and the session that commands write through.

use std::io::{self, IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, ValueEnum};

use crate::clock::{Clock, Timestamp};
use crate::error::Error;
use crate::exit::Exit;
use crate::render::Terminal;
use crate::rules::Severity;
use crate::target::HostRoot;

/// How the report is written, as asked for. Every command that reports knows tables and JSON;
/// those that judge know the rest too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Tables for people
    #[default]
    Table,
    /// JSON for programs
    Json,
    /// Markdown, to paste into a ticket (diagnose, check)
    Markdown,
    /// JUnit XML: each finding a test case (diagnose, check)
    Junit,
    /// SARIF 2.1.0, pointing at file and line of settings (diagnose, check)
    Sarif,
    /// Prometheus text for node_exporter's textfile collector (diagnose, check)
    Prom,
}

/// The two formats that every command that reports knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Tables for people.
    #[default]
    Table,
    /// JSON for programs.
    Json,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Which severity makes the exit code 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Findings that are at least `warn`
    Warn,
    /// Findings that are `critical`
    #[default]
    Critical,
    /// Nothing
    Never,
    /// Anything that got worse (only `compare`)
    Worse,
}

impl FailOn {
    /// Whether a severity counts.
    pub fn matches(self, severity: Severity) -> bool {
        match self {
            FailOn::Warn => severity >= Severity::Warn,
            FailOn::Critical => severity >= Severity::Critical,
            FailOn::Never | FailOn::Worse => false,
        }
    }
}

/// Flags that every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output and exit code")]
pub struct Global {
    /// How to write the report
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub format: OutputFormat,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: ColorChoice,
    /// The severity from which on the exit code is 1
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "SEVERITY"
    )]
    pub fail_on: FailOn,
    /// Exit with 3 when any evidence could not be had
    #[arg(long, global = true)]
    pub strict: bool,
    /// Columns to use; by default the terminal's, or 80
    #[arg(
        long,
        global = true,
        value_name = "N",
        env = "COLUMNS",
        hide_env = true
    )]
    pub width: Option<u16>,
    /// Take this as the current time (RFC 3339), for replays
    #[arg(long, global = true, value_name = "TIME", hide = true, value_parser = parse_time)]
    pub now: Option<Timestamp>,
    /// Set to any value: no colour (https://no-color.org)
    #[arg(
        long,
        global = true,
        hide = true,
        env = "NO_COLOR",
        hide_env = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1"
    )]
    pub no_color: Option<String>,
    /// `dumb` is a terminal that knows no colour
    #[arg(long, global = true, hide = true, env = "TERM", hide_env = true)]
    pub term: Option<std::ffi::OsString>,
}

/// Reads a time for clap.
pub(super) fn parse_time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| {
        format!(
            "`{text}` is not a time such as 2026-11-21T20:38:05Z, `2026-11-21 20:38` or @SECONDS"
        )
    })
}

/// The root of a node that the user named, which must be a folder.
pub(super) fn node_root(path: &Path) -> Result<HostRoot, Error> {
    let is_dir = std::fs::metadata(path).and_then(|meta| match meta.is_dir() {
        true => Ok(()),
        false => Err(io::ErrorKind::NotADirectory.into()),
    });
    is_dir.map_err(|source| Error::Evidence {
        path: path.to_owned(),
        source,
    })?;
    Ok(HostRoot::new(path))
}

/// What a command writes through.
pub struct Session<'a> {
    /// Standard output; the report only.
    pub out: &'a mut dyn Write,
    /// Its width and colour.
    pub terminal: Terminal,
    /// How to write the report, for commands that know tables and JSON.
    pub format: Format,
    /// How to write the report, for commands that judge.
    pub wanted: OutputFormat,
    /// The severity from which on the exit code is 1.
    pub fail_on: FailOn,
    /// Whether missing evidence is a fault.
    pub strict: bool,
    /// Where "now" comes from.
    pub clock: Clock,
    /// Set by SIGINT and SIGTERM once [`Session::catch_signals`] was called.
    pub stop: Arc<AtomicBool>,
    terminated: Arc<AtomicBool>,
}

impl<'a> Session<'a> {
    /// A session from the global flags.
    pub fn new(global: &Global, out: &'a mut dyn Write) -> Self {
        let terminal_out = io::stdout().is_terminal();
        let no_color = global
            .no_color
            .as_ref()
            .is_some_and(|value| !value.is_empty());
        let color = match global.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                let dumb = global.term.as_ref().is_some_and(|term| term == "dumb");
                terminal_out && !no_color && !dumb
            }
        };
        let width = global
            .width
            .filter(|width| *width >= 40)
            .or_else(|| {
                if terminal_out {
                    crate::render::terminal_width()
                } else {
                    None
                }
            })
            .unwrap_or(80);
        Session {
            out,
            terminal: Terminal { width, color },
            format: match global.format {
                OutputFormat::Json => Format::Json,
                _ => Format::Table,
            },
            wanted: global.format,
            fail_on: global.fail_on,
            strict: global.strict,
            clock: global.now.map_or(Clock::System, Clock::Fixed),
            stop: Arc::default(),
            terminated: Arc::default(),
        }
    }

    /// From now on SIGINT, SIGTERM and SIGHUP set [`Self::stop`], so that what was measured so far
    /// is reported and what was written is removed; a second one ends the program at once. A SIGHUP
    /// that is ignored, as under `nohup`, stays so.
    pub fn catch_signals(&self) -> Result<(), Error> {
        self.catch(&self.stop)
    }

    /// The same, but a second signal does not end the program: every one writes a byte into the
    /// stream, and whoever reads it decides. `Signals::hurry` gives a further one its default
    /// meaning again.
    pub fn catch_signals_and_tell(&self) -> Result<(UnixStream, Signals), Error> {
        let hurry = Arc::new(AtomicBool::new(false));
        self.catch(&hurry)?;
        let (told, tell) = UnixStream::pair()?;
        for signal in caught() {
            signal_hook::low_level::pipe::register(signal, tell.try_clone()?)?;
        }
        let signals = Signals {
            hurry,
            stop: Arc::clone(&self.stop),
            terminated: Arc::clone(&self.terminated),
        };
        Ok((told, signals))
    }

    /// With `fatal` set, a signal ends the program.
    fn catch(&self, fatal: &Arc<AtomicBool>) -> Result<(), Error> {
        use signal_hook::consts::SIGINT;
        use signal_hook::flag;
        for signal in caught() {
            flag::register_conditional_default(signal, Arc::clone(fatal))?;
            if signal != SIGINT {
                flag::register(signal, Arc::clone(&self.terminated))?;
            }
            flag::register(signal, Arc::clone(&self.stop))?;
        }
        Ok(())
    }

    /// The exit code for a run that a signal ended early.
    pub fn stopped(&self) -> Option<Exit> {
        stopped(&self.stop, &self.terminated)
    }

    /// Says something that is not the report, on standard error. Never fails.
    pub fn note(&self, text: &str) {
        Self::say(text);
    }

    /// [`Self::note`] for a thread that has no session.
    pub fn say(text: &str) {
        writeln!(io::stderr(), "etcd-doctor: {text}").ok();
    }

    /// Writes a value as pretty JSON with a final newline.
    pub fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Error> {
        serde_json::to_writer_pretty(&mut *self.out, value).map_err(io::Error::from)?;
        self.out.write_all(b"\n")?;
        Ok(())
    }
}

/// The signals that are caught; a SIGHUP that is ignored stays so.
fn caught() -> impl Iterator<Item = std::ffi::c_int> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    [SIGINT, SIGTERM, SIGHUP]
        .into_iter()
        .filter(|signal| *signal != SIGHUP || !crate::sys::is_ignored(SIGHUP))
}

fn stopped(stop: &AtomicBool, terminated: &AtomicBool) -> Option<Exit> {
    if !stop.load(Ordering::Relaxed) {
        None
    } else if terminated.load(Ordering::Relaxed) {
        Some(Exit::Terminated)
    } else {
        Some(Exit::Interrupted)
    }
}

/// What signals said, for a thread that outlives the session's borrow.
#[derive(Debug)]
pub struct Signals {
    hurry: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    terminated: Arc<AtomicBool>,
}

impl Signals {
    /// The next signal ends the program as it does by default.
    pub fn hurry(&self) {
        self.hurry.store(true, Ordering::Relaxed);
    }

    /// The exit code that the signals ask for.
    pub fn exit(&self) -> Option<Exit> {
        stopped(&self.stop, &self.terminated)
    }
}

impl std::fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}
