//! The timeline of a report on a terminal: what came first, on all members and components.

use std::collections::BTreeSet;
use std::io::{self, Write};

use crate::clock::Timestamp;
use crate::diagnosis::{Cause, Entry, Mark};
use crate::evidence::{Subject, SubjectKind};
use crate::render::plain::safe;
use crate::report::Report;

use super::answer::teller;
use super::page::Page;

impl Page {
    /// What happened around the first sign of the primary cause, on all members and components.
    pub(super) fn timeline(&self, out: &mut dyn Write, report: &Report) -> io::Result<()> {
        const SHOWN: usize = 12;
        let told: Vec<&Entry> = report
            .diagnosis
            .timeline
            .iter()
            .filter(|entry| {
                entry.mark == Mark::FirstCause
                    || entry.is_sign()
                    || !entry.planned && matches!(entry.nature.as_str(), "fault" | "symptom")
            })
            .collect();
        // Without a fault there is nothing that they could be the story of.
        let diagnosis = &report.diagnosis;
        let quiet = diagnosis.causes.is_empty() && diagnosis.verdict.no_fault_seen;
        let signs = told.iter().any(|entry| entry.is_sign());
        if told.is_empty() || quiet && (diagnosis.verdict.cause == Cause::None || !signs) {
            return Ok(());
        }
        let first = told.iter().position(|entry| entry.mark == Mark::FirstCause);
        let begin = first.map_or(0, |at| at.saturating_sub(2));
        let shown = told.get(begin..).unwrap_or_default();
        let shown = shown.get(..SHOWN.min(shown.len())).unwrap_or_default();
        let times: Vec<(Clock, Clock)> = shown
            .iter()
            .map(|entry| (Clock::of(entry.from), Clock::of(entry.to)))
            .collect();
        let days: BTreeSet<&str> = times
            .iter()
            .flat_map(|(from, to)| [from.day.as_str(), to.day.as_str()])
            .collect();
        let day = match (days.first(), days.last()) {
            (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
            (first, _) => first.copied().unwrap_or_default().to_owned(),
        };
        let times: Vec<String> = times
            .iter()
            .map(|(from, to)| from.until(to, days.len() > 1))
            .collect();
        let width = times
            .iter()
            .map(String::len)
            .max()
            .unwrap_or_default()
            .max(17);
        // With one node its name on every line tells nothing.
        let nodes: BTreeSet<&str> = told
            .iter()
            .filter_map(|entry| node_of(&entry.subject))
            .filter(|node| !node.is_empty())
            .collect();
        let node = match nodes.len() {
            1 => nodes.first().map(|node| (*node).to_owned()),
            _ => None,
        };
        let where_ = match &node {
            Some(node) => format!(", on {}", safe(node)),
            None if nodes.is_empty() => String::new(),
            None => ", over all nodes".to_owned(),
        };
        let legend = first.map_or("", |_| "; > is the first sign of the cause");
        self.head(out, &format!("TIMELINE  {day} UTC{where_}{legend}"))?;
        for (entry, when) in shown.iter().zip(&times) {
            let mark = if entry.mark == Mark::FirstCause {
                ">"
            } else {
                " "
            };
            let times = if entry.count > 1 {
                format!(" x{}", entry.count)
            } else {
                String::new()
            };
            let longest = entry
                .max_ms
                .map(|ms| crate::render::longest(&entry.kind, ms))
                .unwrap_or_default();
            let who = teller(&entry.subject);
            let who = match &node {
                Some(node) => who.trim_end_matches(&format!("@{node}")).to_owned(),
                None => who,
            };
            let line = format!("{who} {}{times}{longest}", entry.kind);
            self.para(out, &format!("  {mark} {when:<width$} "), &line)?;
        }
        let more = told.len().saturating_sub(begin + SHOWN);
        if more > 0 {
            writeln!(out, "  and {more} more later")?;
        }
        Ok(())
    }
}

/// Day and time of day.
struct Clock {
    day: String,
    time: String,
}

impl Clock {
    fn of(at: Timestamp) -> Self {
        let text = at.to_string();
        let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default().to_owned();
        Clock {
            day: part(0..10),
            time: part(11..19),
        }
    }

    /// The span from here to there; with its days where others have others.
    fn until(&self, to: &Clock, dated: bool) -> String {
        let Clock { day, time } = self;
        let from = match dated {
            true => format!("{day} {time}"),
            false => time.clone(),
        };
        match (to.day == *day, to.time == *time) {
            (true, true) => from,
            (true, false) => format!("{from}-{}", to.time),
            (false, _) => format!("{from} to {} {}", to.day, to.time),
        }
    }
}

/// The node that something was told on.
fn node_of(subject: &Subject) -> Option<&str> {
    match subject.kind {
        SubjectKind::Member | SubjectKind::Node => Some(&subject.name),
        _ => subject.node.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_told_where_there_are_several() {
        let clock = |text: &str| Clock::of(Timestamp::parse(text).unwrap());
        let from = clock("2026-10-03T20:57:04.4Z");
        let (soon, later) = (clock("2026-10-03T20:57:09Z"), clock("2026-10-04T00:00:01Z"));
        assert_eq!(from.until(&from, false), "20:57:04");
        assert_eq!(from.until(&soon, false), "20:57:04-20:57:09");
        assert_eq!(from.until(&from, true), "2026-10-03 20:57:04");
        assert_eq!(from.until(&soon, true), "2026-10-03 20:57:04-20:57:09");
        assert_eq!(
            from.until(&later, true),
            "2026-10-03 20:57:04 to 2026-10-04 00:00:01"
        );
    }
}
