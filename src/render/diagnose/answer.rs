//! The first lines: verdict, the readings that carry it, what to do first; then the causes.

use std::io::{self, Write};

use crate::advise::Strength;
use crate::diagnosis::{Cause, LONGER, Role};
use crate::evidence::{Citation, Subject, SubjectKind};
use crate::render::advice;
use crate::render::plain::Paint;
use crate::report::Report;

use super::cited;
use super::page::Page;

/// Lines of the summary among the first ten.
const SUMMARY_LINES: usize = 2;

impl Page {
    /// Verdict, confidence, the three readings that carry it, the first thing to do: ten lines at
    /// most, so what is long is cut here and whole below.
    pub(super) fn answer(&self, out: &mut dyn Write, report: &Report) -> io::Result<()> {
        let verdict = &report.diagnosis.verdict;
        let paint = match verdict.cause {
            Cause::None => Paint::Good,
            Cause::Unknown => Paint::Doubt,
            _ => Paint::Bad,
        };
        let sure = if verdict.cause == Cause::Unknown && verdict.confidence == 0.0 {
            String::new()
        } else {
            format!("  (confidence {:.0} %)", verdict.confidence * 100.0)
        };
        let word = verdict.cause.word();
        let headline = format!("{word}: {}", verdict.cause.headline());
        let fits = 9 + headline.chars().count() + sure.chars().count() <= self.width;
        let headline = self.terminal.paint(paint, headline);
        if fits {
            writeln!(out, "VERDICT  {headline}{sure}")?;
            self.first_lines(out, "         ", &verdict.summary, SUMMARY_LINES)?;
        } else {
            writeln!(out, "VERDICT  {headline}")?;
            let text = format!("{} {}", sure.trim(), verdict.summary);
            self.first_lines(out, "         ", &text, SUMMARY_LINES)?;
        }
        for (words, lines) in self.readings(report) {
            self.first_lines(out, "  - ", &words, lines)?;
        }
        let first = report
            .advice
            .iter()
            .find(|a| a.strength == Strength::Recommended);
        match first {
            Some(advice) => self.first_lines(out, "DO FIRST ", &advice::headline(advice), 2),
            None if verdict.cause == Cause::None => self.para(out, "DO FIRST ", "nothing"),
            None => {
                let settle = report
                    .diagnosis
                    .alternatives
                    .first()
                    .map(|a| a.settle.clone());
                let text = settle.map_or_else(
                    || format!("give more evidence: {}", verdict.missing.join(", ")),
                    |settle| format!("look at {settle}"),
                );
                let all_read = verdict.missing.iter().all(|missing| missing == LONGER);
                if all_read && report.diagnosis.alternatives.is_empty() {
                    // All that tells causes apart was read: what was found is what there is.
                    let worst = report
                        .findings
                        .iter()
                        .filter(|finding| finding.failed())
                        .max_by_key(|finding| (finding.severity, finding.confidence));
                    let candidate = report
                        .advice
                        .iter()
                        .find(|a| a.strength == Strength::Candidate);
                    match worst {
                        Some(_) if verdict.cause != Cause::Unknown && candidate.is_some() => {
                            let headline = candidate.map_or_else(String::new, advice::headline);
                            let words = format!(
                                "nothing is sure enough to come first; look at the advice below, such as {headline}"
                            );
                            self.first_lines(out, "NEXT     ", &words, 2)
                        }
                        Some(finding) => {
                            let explain = format!("`etcd-doctor explain {}`", finding.rule);
                            let words = match (verdict.cause, !verdict.missing.is_empty()) {
                                (Cause::Unknown, true) => format!(
                                    "no cause that is known fits what was found: {explain} says how to look further"
                                ),
                                (Cause::Unknown, false) => format!(
                                    "what was found needs no further look: {explain} says what to do about it"
                                ),
                                _ => format!(
                                    "no change of a setting helps by itself: {explain} says what does"
                                ),
                            };
                            self.first_lines(out, "NEXT     ", &words, 2)
                        }
                        None => Ok(()),
                    }
                } else {
                    self.first_lines(out, "NEXT     ", &text, 2)
                }
            }
        }
    }

    /// The first three readings of the primary cause, and how many lines each may take: five
    /// together.
    pub(super) fn readings(&self, report: &Report) -> Vec<(String, usize)> {
        const LINES: usize = 5;
        let Some(primary) = report.diagnosis.causes.first() else {
            return Vec::new();
        };
        let words: Vec<String> = primary.evidence.iter().take(3).map(short_cited).collect();
        let mut lines: Vec<usize> = words
            .iter()
            .map(|words| self.lines(4, words).min(2))
            .collect();
        // The last of the long ones gives way.
        while lines.iter().sum::<usize>() > LINES {
            match lines.iter_mut().rev().find(|lines| **lines > 1) {
                Some(longest) => *longest -= 1,
                None => break,
            }
        }
        words.into_iter().zip(lines).collect()
    }

    pub(super) fn causes(&self, out: &mut dyn Write, report: &Report) -> io::Result<()> {
        let diagnosis = &report.diagnosis;
        if !diagnosis.causes.is_empty() {
            self.head(out, "CAUSES")?;
        } else if !diagnosis.alternatives.is_empty() {
            self.head(out, "OPEN")?;
        } else if !diagnosis.ruled_out.is_empty() {
            self.head(out, "RULED OUT")?;
        }
        // What the first lines have said whole is not said again.
        let said: Vec<String> = self
            .readings(report)
            .into_iter()
            .filter(|(words, lines)| self.lines(4, words) <= *lines)
            .map(|(words, _)| words)
            .collect();
        for (at, cause) in diagnosis.causes.iter().enumerate() {
            let role = match cause.role {
                Role::Primary => "primary",
                Role::Contributing => "contributing",
                Role::Consequence => "consequence",
            };
            let again = at == 0
                && cause.summary == diagnosis.verdict.summary
                && self.lines(9, &cause.summary) <= SUMMARY_LINES;
            let more: Vec<String> = cause
                .evidence
                .iter()
                .take(6)
                .map(short_cited)
                .filter(|words| at > 0 || !said.contains(words))
                .collect();
            let line = format!(
                "{} ({role}, {:.0} %): {}",
                cause.cause.word(),
                cause.confidence * 100.0,
                match (again, more.is_empty()) {
                    (true, true) => "as said above",
                    (true, false) => "as said above, and",
                    (false, _) => &cause.summary,
                }
            );
            self.para(out, "  ", &line)?;
            if let Some(client) = &cause.client {
                self.para(
                    out,
                    "    client: ",
                    &format!(
                        "{} ({:.0} %, by {}){}",
                        client.name,
                        client.confidence * 100.0,
                        client.source.words(),
                        // The summary may say it already.
                        match cause.summary.contains(&client.why) {
                            true => String::new(),
                            false => format!(": {}", client.why),
                        }
                    ),
                )?;
            }
            for words in more {
                self.para(out, "    - ", &words)?;
            }
        }
        for other in &diagnosis.alternatives {
            self.para(
                out,
                "  could be ",
                &format!(
                    "{} ({:.0} %): {}",
                    other.cause.word(),
                    other.confidence * 100.0,
                    other.why
                ),
            )?;
            self.para(out, "    to settle: ", &other.settle)?;
        }
        for cleared in &diagnosis.ruled_out {
            self.para(
                out,
                "  not ",
                &format!("{}: {}", cleared.cause.word(), cleared.why),
            )?;
        }
        Ok(())
    }
}

/// Who told something, without its kind: `kube-scheduler@cp0`, `etcd@cp0`.
pub(super) fn teller(subject: &Subject) -> String {
    match subject.kind {
        SubjectKind::Member if subject.name.is_empty() => "etcd".to_owned(),
        SubjectKind::Member => format!("etcd@{}", subject.name),
        _ => subject
            .to_string()
            .split_once(':')
            .map_or_else(|| subject.to_string(), |(_, name)| name.to_owned()),
    }
}

/// A citation as one line of a terminal: who, what, how much.
fn short_cited(citation: &Citation) -> String {
    let subject = &citation.subject;
    match subject.kind {
        SubjectKind::Cluster => format!("{}: {}", citation.key, citation.value),
        SubjectKind::Member | SubjectKind::Component | SubjectKind::Device => {
            format!("{} {}: {}", teller(subject), citation.key, citation.value)
        }
        _ => cited(citation),
    }
}
