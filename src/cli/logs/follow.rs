//! `logs --follow`: the report again and again as the files grow.
//!
//! On a terminal the screen is drawn anew; elsewhere a report is appended when something came,
//! and with `--format json` each is one line. The end, by a signal or because all pipes ended, is
//! the whole report.

use std::io::{self, IsTerminal as _};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::logs::input::Plan;
use crate::logs::live::Live;
use crate::logs::scan::ScanOptions;
use crate::logs::summary::Summary;
use crate::render;

use super::super::common::{Format, Session};
use super::Args;

/// How long to sleep when nothing came.
const POLL: Duration = Duration::from_millis(200);
/// How often new files are looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Seconds between two reports, on a terminal and elsewhere.
const EVERY: (u64, u64) = (2, 60);

/// Follows until a signal comes or nothing can come any more; gives what was read.
pub(super) fn run(
    args: &Args,
    session: &mut Session<'_>,
    plan: &Plan,
    options: &ScanOptions,
    again: &dyn Fn() -> Plan,
) -> Result<Summary, Error> {
    let terminal = io::stdout().is_terminal() && session.format == Format::Table;
    let secs = args
        .every
        .unwrap_or(if terminal { EVERY.0 } else { EVERY.1 });
    let every = Duration::from_secs(secs);
    let stop = session.stop.clone();
    let mut live = Live::new(plan, options, &stop);
    session.note(&format!(
        "following {}; Ctrl-C ends it with the report",
        match live.count() {
            1 => "1 file".to_owned(),
            n => format!("{n} files"),
        }
    ));
    let (mut shown, mut looked) = (Instant::now(), Instant::now());
    let (mut first, mut news) = (true, false);
    while !stop.load(Ordering::Relaxed) {
        let any = live.poll();
        news |= any;
        // The first report comes when what was there is read.
        if news && (shown.elapsed() >= every || first && !any) {
            show(&live.summary(), args, session, terminal)?;
            (shown, first, news) = (Instant::now(), false, false);
        }
        if any {
            continue;
        }
        if live.ended() {
            break;
        }
        if looked.elapsed() >= LOOK_AGAIN {
            live.look_again(again());
            looked = Instant::now();
        }
        std::thread::sleep(POLL);
    }
    // What came until now counts too.
    live.poll();
    let mut summary = live.finish();
    summary.interrupted = false;
    if terminal {
        write!(session.out, "{CLEAR}")?;
    } else if session.format == Format::Table {
        head(session)?;
    }
    let report = super::report(&summary, args);
    if session.format == Format::Json {
        line(session, &report)?;
    } else {
        render::logs(
            session.out,
            session.terminal,
            &report,
            super::by(args),
            args.top,
        )?;
    }
    session.out.flush()?;
    Ok(summary)
}

/// Cursor home, and everything behind it erased.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

fn show(
    summary: &Summary,
    args: &Args,
    session: &mut Session<'_>,
    terminal: bool,
) -> Result<(), Error> {
    let report = super::report(summary, args);
    if session.format == Format::Json {
        line(session, &report)?;
    } else if terminal {
        let mut text = Vec::new();
        render::logs(
            &mut text,
            session.terminal,
            &report,
            super::by(args),
            args.top,
        )?;
        let text = String::from_utf8_lossy(&text);
        // A screen that scrolls cannot be drawn anew.
        let rows = render::terminal_rows().map_or(usize::MAX, |rows| usize::from(rows).max(4) - 1);
        write!(session.out, "{CLEAR}")?;
        for row in text.lines().take(rows) {
            writeln!(session.out, "{row}")?;
        }
    } else {
        head(session)?;
        render::logs(
            session.out,
            session.terminal,
            &report,
            super::by(args),
            args.top,
        )?;
        writeln!(session.out)?;
    }
    session.out.flush()?;
    Ok(())
}

/// When an appended report was made.
fn head(session: &mut Session<'_>) -> Result<(), Error> {
    let now = session.clock.now();
    writeln!(session.out, "==> {now}")?;
    Ok(())
}

fn line(session: &mut Session<'_>, report: &impl serde::Serialize) -> Result<(), Error> {
    serde_json::to_writer(&mut *session.out, report).map_err(io::Error::from)?;
    session.out.write_all(b"\n")?;
    Ok(())
}
