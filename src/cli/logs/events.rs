//! `logs --emit events`: JSON Lines.

use crate::error::Error;
use crate::exit::Exit;
use crate::logs::emit::{Follow, Redact, emit};
use crate::logs::input::Plan;
use crate::logs::scan::ScanOptions;

use super::super::common::Session;
use super::Args;
use crate::cli::redact::Redactor;

impl Redact for Redactor {
    fn name(&self, text: &str) -> String {
        Redactor::name(self, text)
    }
    fn user(&self, text: &str) -> String {
        Redactor::user(self, text)
    }
    fn agent(&self, text: &str) -> String {
        Redactor::agent(self, text)
    }
    fn text(&self, text: &str) -> String {
        Redactor::text(self, text)
    }
    fn key(&self, key: &str) -> String {
        Redactor::key(self, key)
    }
    fn is_on(&self) -> bool {
        Redactor::is_on(self)
    }
}

/// Writes the events.
pub(super) fn run(
    args: &Args,
    session: &mut Session<'_>,
    plan: &Plan,
    options: &ScanOptions,
    again: &dyn Fn() -> Plan,
) -> Result<Exit, Error> {
    let redactor = Redactor::new(args.redact);
    let stop = session.stop.clone();
    let follow = args.follow.then_some(Follow { again });
    let done = emit(
        plan,
        options,
        follow.as_ref(),
        &redactor,
        session.out,
        &stop,
    )?;
    if let Some(exit) = session.stopped() {
        return Ok(exit);
    }
    let mut bad = done.bad.len();
    let mut asked_for = 0;
    for (name, why) in &done.bad {
        session.note(&format!("{name}: {why}"));
    }
    for problem in &plan.problems {
        session.note(&format!("{}: {}", problem.path, problem.why));
        bad += usize::from(problem.named);
        asked_for += usize::from(problem.named && super::is_named(args, &problem.path));
    }
    if asked_for > 0 || bad > 0 && (done.good == 0 || session.strict) {
        return Ok(Exit::Incomplete);
    }
    Ok(Exit::Clean)
}
