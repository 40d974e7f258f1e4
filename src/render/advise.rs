//! What `advise` prints for people: the controllers with both bounds, the advice, what is missing.

use std::io::{self, Write};

use crate::advise::{Advice, ControllerView, Strength};
use crate::report::Report;

use super::advice;
use super::plain::{Paint, Terminal, safe, table, trimmed, wrap};

/// Prints advice and the controllers it is about.
pub fn advise(
    out: &mut dyn Write,
    terminal: Terminal,
    report: &Report,
    controllers: &[ControllerView],
) -> io::Result<()> {
    let width = usize::from(terminal.width.min(110));
    let verdict = &report.diagnosis.verdict;
    let line = format!(
        "{}: {}  (confidence {:.0} %)",
        verdict.cause.word(),
        verdict.summary,
        verdict.confidence * 100.0
    );
    para(out, width, "FROM  ", &line)?;
    if !controllers.is_empty() {
        head(out, terminal, "CONTROLLERS")?;
        writeln!(out, "{}", knobs(terminal, controllers))?;
        let loops = loops(terminal, controllers);
        if !loops.is_empty() {
            head(out, terminal, "LOOPS  reconciles a second, by both bounds")?;
            writeln!(out, "{loops}")?;
        }
    }
    let (yes, no): (Vec<&Advice>, Vec<&Advice>) = report
        .advice
        .iter()
        .partition(|a| a.strength != Strength::Refused);
    head(out, terminal, "ADVICE  in this order")?;
    if yes.is_empty() {
        writeln!(out, "  nothing to change, by what was looked at")?;
    }
    for (number, one) in yes.iter().enumerate() {
        advice::one(out, terminal, number + 1, one, None)?;
    }
    if !no.is_empty() {
        writeln!(out, "  Looked at and not advised:")?;
        for one in no {
            let text = format!("{}: {}", advice::headline(one), one.why);
            para(out, width, "  - ", &text)?;
        }
    }
    if !verdict.missing.is_empty() || !report.seen.problems.is_empty() {
        head(out, terminal, "NOT SEEN")?;
        if !verdict.missing.is_empty() {
            para(out, width, "  ", &verdict.missing.join(", "))?;
        }
        for problem in &report.seen.problems {
            para(out, width, "  ! ", problem)?;
        }
    }
    Ok(())
}

fn head(out: &mut dyn Write, terminal: Terminal, text: &str) -> io::Result<()> {
    writeln!(out, "\n{}", terminal.paint(Paint::Strong, text))
}

fn para(out: &mut dyn Write, width: usize, first: &str, text: &str) -> io::Result<()> {
    let indent = first.chars().count();
    let text = wrap(&safe(text), width.saturating_sub(indent).max(30), 0);
    for (at, line) in text.lines().enumerate() {
        let begin = if at == 0 {
            first.to_owned()
        } else {
            " ".repeat(indent)
        };
        writeln!(out, "{begin}{line}")?;
    }
    Ok(())
}

fn knobs(terminal: Terminal, controllers: &[ControllerView]) -> String {
    let mut shown = table(
        terminal,
        &[
            "NAME",
            "VERSION",
            "QPS/BURST",
            "WORKERS",
            "REPLICAS",
            "THROTTLED",
        ],
    );
    for controller in controllers {
        let value = |role: &str| {
            controller
                .knobs
                .iter()
                .find(|knob| knob.role == role)
                .and_then(|knob| knob.value.as_deref())
                .map_or("?", |value| value.split(' ').next().unwrap_or("?"))
        };
        let workers: Vec<String> = controller
            .knobs
            .iter()
            .filter(|knob| knob.role == "workers")
            .filter_map(|knob| {
                let value = knob.value.as_deref()?.split(' ').next()?;
                Some(format!("{} {value}", short(&knob.setting)))
            })
            .take(3)
            .collect();
        let limit = if controller.knobs.iter().any(|knob| knob.role == "qps") {
            format!("{}/{}", value("qps"), value("burst"))
        } else {
            "-".to_owned()
        };
        shown.add_row([
            safe(&controller.name),
            safe(controller.version.as_deref().unwrap_or("?")),
            safe(&limit),
            safe(&if workers.is_empty() {
                "-".to_owned()
            } else {
                workers.join(", ")
            }),
            controller
                .replicas
                .map_or_else(|| "?".to_owned(), |replicas| format!("{replicas:.0}")),
            if controller.throttled { "yes" } else { "no" }.to_owned(),
        ]);
    }
    trimmed(&shown)
}

/// A worker flag without what all of them have in common.
fn short(setting: &str) -> &str {
    setting
        .trim_start_matches("concurrent-")
        .trim_end_matches("-syncs")
        .trim_end_matches("-concurrency")
}

fn loops(terminal: Terminal, controllers: &[ControllerView]) -> String {
    let mut shown = table(
        terminal,
        &[
            "CONTROLLER",
            "LOOP",
            "DEPTH",
            "DONE/S",
            "LIMITER/S",
            "WORKERS/S",
            "BINDS",
        ],
    );
    let mut any = false;
    for controller in controllers {
        for one in controller.loops.iter().take(3) {
            let rate = |value: Option<f64>| {
                value.map_or_else(|| "?".to_owned(), |value| format!("{value:.1}"))
            };
            // A loop of which nothing is known says nothing.
            if one.limiter_per_sec.is_none() && one.workers_per_sec.is_none() && one.depth < 1.0 {
                continue;
            }
            any = true;
            shown.add_row([
                safe(&controller.name),
                safe(&one.name),
                format!("{:.0}", one.depth),
                rate(one.done_per_sec),
                rate(one.limiter_per_sec),
                rate(one.workers_per_sec),
                one.binds.unwrap_or("?").to_owned(),
            ]);
        }
    }
    if any { trimmed(&shown) } else { String::new() }
}
