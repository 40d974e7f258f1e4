//! The report on a terminal: the first lines are the answer, the rest is why.

mod timeline;

use std::io::{self, Write};

use crate::advise::{Advice, Strength};
use crate::diagnosis::{Cause, LONGER, Role};
use crate::evidence::{Citation, Subject, SubjectKind};
use crate::report::counts::counts;
use crate::report::seats::Seats;
use crate::report::{Checked, Report};
use crate::rules::{Finding, Severity, Status};

use super::advice;
use super::load::load;
use super::plain::{Paint, Terminal, safe, wrap};

/// Prints the whole report.
pub fn diagnose(out: &mut dyn Write, terminal: Terminal, report: &Report) -> io::Result<()> {
    let page = Page {
        terminal,
        width: usize::from(terminal.width.min(110)),
    };
    page.answer(out, report)?;
    page.causes(out, report)?;
    page.timeline(out, report)?;
    page.resources(out, report)?;
    page.clients(out, report)?;
    page.findings(out, report)?;
    page.advice(out, report)?;
    page.patch(out, report)?;
    page.unseen(out, report)
}

/// Prints what `check` found: failures, and with `all` the rest as well.
pub fn checked(
    out: &mut dyn Write,
    terminal: Terminal,
    checked: &Checked,
    all: bool,
) -> io::Result<()> {
    let page = Page {
        terminal,
        width: usize::from(terminal.width.min(110)),
    };
    let count = |status| {
        checked
            .findings
            .iter()
            .filter(|f| f.status == status)
            .count()
    };
    let mut failures: Vec<&Finding> = checked.findings.iter().filter(|f| f.failed()).collect();
    failures.sort_by(|a, b| {
        b.severity
            .cmp(&a.severity)
            .then_with(|| (&a.rule, &a.subject).cmp(&(&b.rule, &b.subject)))
    });
    writeln!(
        out,
        "{} failed, {} passed, {} could not be told, {} do not apply",
        failures.len(),
        count(Status::Pass),
        count(Status::Unknown),
        count(Status::NotApplicable)
    )?;
    for finding in failures {
        page.finding(out, finding)?;
    }
    if all {
        for finding in checked.findings.iter().filter(|f| !f.failed()) {
            page.para(
                out,
                &format!("  {:<8} {}: ", finding.status.word(), finding.rule),
                &finding.message,
            )?;
        }
    }
    for problem in &checked.problems {
        page.para(out, "  ! ", problem)?;
    }
    for server in &checked.seats {
        page.seats(out, server)?;
    }
    Ok(())
}

/// Columns of the load table.
const LOAD_HEADER: [&str; 8] = [
    "RESOURCE",
    "REQUESTS",
    "LISTS",
    "WRITES",
    "SECONDS",
    "SLOW",
    "SLOW LISTS",
    "SLOW S",
];
/// Lines of the summary among the first ten.
const SUMMARY_LINES: usize = 2;

struct Page {
    terminal: Terminal,
    width: usize,
}

impl Page {
    fn head(&self, out: &mut dyn Write, text: &str) -> io::Result<()> {
        if text.chars().count() <= self.width {
            return writeln!(out, "\n{}", self.terminal.paint(Paint::Strong, text));
        }
        // The title stays strong and whole; what explains it goes on below.
        writeln!(out)?;
        let (title, rest) = text.split_once("  ").unwrap_or((text, ""));
        let lines = wrap(&format!("{title} {rest}"), self.width - 1, 2);
        let lines = lines.replacen(&format!("{title} "), &format!("{title}  "), 1);
        for line in lines.lines() {
            writeln!(out, "{}", self.terminal.paint(Paint::Strong, line))?;
        }
        Ok(())
    }

    fn para(&self, out: &mut dyn Write, first: &str, text: &str) -> io::Result<()> {
        let indent = first.chars().count();
        if indent + 30 > self.width {
            // Beside so long a beginning nothing has room: what follows stands below it.
            let bare = first.trim_start();
            let lead = " ".repeat(indent - bare.chars().count());
            let width = self.width.saturating_sub(lead.len());
            for line in wrap(&format!("{bare}{}", safe(text)), width, 4).lines() {
                writeln!(out, "{lead}{line}")?;
            }
            return Ok(());
        }
        let text = wrap(&safe(text), self.width - indent, 0);
        for (at, line) in text.lines().enumerate() {
            if at == 0 {
                writeln!(out, "{first}{line}")?;
            } else {
                writeln!(out, "{}{line}", " ".repeat(indent))?;
            }
        }
        Ok(())
    }

    /// What each priority level gets of a server's concurrency.
    fn seats(&self, out: &mut dyn Write, server: &Seats) -> io::Result<()> {
        self.head(
            out,
            &format!(
                "SEATS  of {}: {} requests at once, version {}",
                server.subject, server.limit, server.version
            ),
        )?;
        let mut table = super::table(
            self.terminal,
            &["LEVEL", "SHARE", "KEEPS", "MOST", "ONE REQUEST"],
        );
        for (level, seats) in &server.levels {
            table.add_row(vec![
                (*level).to_owned(),
                seats.nominal.to_string(),
                seats.min.to_string(),
                seats.max.to_string(),
                seats.request_max.to_string(),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
        for line in super::trimmed(&table).lines() {
            writeln!(out, "  {line}")?;
        }
        self.para(
            out,
            "  ",
            "SHARE: its own seats; KEEPS: what is left when all that it may lend is lent; MOST: with everything borrowed; \
             ONE REQUEST: what a single request may take. Levels that were added to the cluster make every share smaller.",
        )
    }

    /// Verdict, confidence, the three readings that carry it, the first thing to do: ten lines at
    /// most, so what is long is cut here and whole below.
    fn answer(&self, out: &mut dyn Write, report: &Report) -> io::Result<()> {
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
                    match worst {
                        Some(finding) => self.first_lines(
                            out,
                            "NEXT     ",
                            &format!(
                                "no cause that is known fits what was found: `etcd-doctor explain {}` says how to look further",
                                finding.rule
                            ),
                            2,
                        ),
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
    fn readings(&self, report: &Report) -> Vec<(String, usize)> {
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

    /// How many lines a text takes.
    fn lines(&self, indent: usize, text: &str) -> usize {
        let text = text.replace("system:serviceaccount:", "sa:");
        wrap(&safe(&text), self.width.saturating_sub(indent).max(30), 0)
            .lines()
            .count()
    }

    /// A paragraph of at most `most` lines; `…` says that there is more.
    fn first_lines(
        &self,
        out: &mut dyn Write,
        first: &str,
        text: &str,
        most: usize,
    ) -> io::Result<()> {
        let indent = first.chars().count();
        let width = self.width.saturating_sub(indent).max(30);
        // Long names of accounts would push out what is said about them; below they are whole.
        let text = text.replace("system:serviceaccount:", "sa:");
        let text = wrap(&safe(&text), width, 0);
        let count = text.lines().count();
        for (at, line) in text.lines().take(most).enumerate() {
            let lead = if at == 0 {
                first.to_owned()
            } else {
                " ".repeat(indent)
            };
            if at + 1 == most && count > most {
                let kept: String = line.chars().take(width - 2).collect();
                writeln!(
                    out,
                    "{lead}{} …",
                    kept.trim_end_matches([',', ';', ':', ' '])
                )?;
            } else {
                writeln!(out, "{lead}{line}")?;
            }
        }
        Ok(())
    }

    fn causes(&self, out: &mut dyn Write, report: &Report) -> io::Result<()> {
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

    /// Slow requests of etcd by client.
    fn clients(&self, out: &mut dyn Write, report: &Report) -> io::Result<()> {
        let Some(who) = &report.diagnosis.who else {
            return Ok(());
        };
        let rows: Vec<_> = who
            .clients
            .iter()
            .filter(|client| client.slow_secs >= 0.05)
            .take(5)
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        self.head(
            out,
            "SLOW REQUESTS BY CLIENT  same second and resource in etcd's log and the apiserver's",
        )?;
        for client in rows {
            let name = match client.user.is_empty() {
                true => client.user_agent.clone(),
                false => format!("{} ({})", client.user_agent, client.user),
            };
            self.para(
                out,
                &format!("  {:>7.1} s  ", client.slow_secs),
                &format!(
                    "{name}: {:.0} {}s of {}, {:.0} % of the time of slow {}s (confidence {:.0} %, by {})",
                    client.requests,
                    client.class,
                    client.resource,
                    client.share * 100.0,
                    client.class,
                    client.confidence * 100.0,
                    client.source.words()
                ),
            )?;
        }
        if who.unknown_secs >= 0.05 {
            self.para(
                out,
                &format!("  {:>7.1} s  ", who.unknown_secs),
                "of nobody who is known",
            )?;
        }
        for skew in &who.skews {
            self.para(
                out,
                "  ",
                &format!(
                    "The clock of {} seems {} s {} kube-apiserver's; that is accounted for.",
                    skew.member,
                    skew.secs.abs(),
                    if skew.secs > 0 { "ahead of" } else { "behind" }
                ),
            )?;
        }
        Ok(())
    }

    /// Load per resource.
    fn resources(&self, out: &mut dyn Write, report: &Report) -> io::Result<()> {
        let rows = load(report);
        if rows.is_empty() {
            return Ok(());
        }
        self.head(out, "LOAD PER RESOURCE  by time in etcd")?;
        let more = rows.len().saturating_sub(8);
        let whole = |n: Option<f64>| n.map_or_else(|| "-".to_owned(), |n| format!("{n:.0}"));
        let tenth = |n: Option<f64>| n.map_or_else(|| "-".to_owned(), |n| format!("{n:.1}"));
        let cells: Vec<Vec<String>> = rows
            .iter()
            .take(8)
            .map(|row| {
                vec![
                    safe(&row.resource),
                    whole(row.requests),
                    whole(row.lists),
                    whole(row.writes),
                    tenth(row.seconds),
                    whole(row.slow),
                    whole(row.slow_lists),
                    tenth(row.slow_seconds),
                ]
            })
            .collect();
        // Columns that say nothing go first, then what matters least.
        let empty = |column: &usize| {
            cells
                .iter()
                .all(|row| row.get(*column).is_none_or(|cell| cell == "-"))
        };
        let kept: Vec<usize> = (0..LOAD_HEADER.len())
            .filter(|column| *column == 0 || !empty(column))
            .collect();
        let header: Vec<&str> = kept.iter().map(|at| LOAD_HEADER[*at]).collect();
        let cells: Vec<Vec<String>> = cells
            .iter()
            .map(|row| kept.iter().filter_map(|at| row.get(*at).cloned()).collect())
            .collect();
        let least: Vec<usize> = ["SLOW LISTS", "SLOW", "WRITES", "LISTS", "REQUESTS"]
            .iter()
            .filter_map(|name| header.iter().position(|have| have == name))
            .collect();
        let inner = Terminal {
            width: self.terminal.width.saturating_sub(2),
            ..self.terminal
        };
        let table = super::fitted(inner, &header, &cells, &least);
        for line in super::trimmed(&table).lines() {
            writeln!(out, "  {line}")?;
        }
        if more > 0 {
            writeln!(out, "  and {more} more")?;
        }
        for sentence in counts(&report.evidence).iter().flat_map(|c| &c.sentences) {
            self.para(out, "  ", sentence)?;
        }
        Ok(())
    }

    /// The patch in short: what it changes in the manifests that were found.
    fn patch(&self, out: &mut dyn Write, report: &Report) -> io::Result<()> {
        let Some(patch) = &report.patch else {
            return Ok(());
        };
        let diffs: Vec<_> = patch
            .files
            .iter()
            .filter(|file| file.path.ends_with(".diff"))
            .collect();
        if diffs.is_empty() {
            return Ok(());
        }
        self.head(out, "PATCH  (kubeadm; `etcd-doctor patch --target kubeadm --out DIR` writes it with STEPS.md)")?;
        for file in diffs.iter().take(4) {
            // Each of several nodes has a file of this name.
            let rest = file.path.strip_prefix("diffs/").unwrap_or_default();
            if let Some((node, _)) = rest.split_once('/') {
                writeln!(out, "  on {}:", safe(node))?;
            }
            for line in file.content.lines() {
                let paint = match line.as_bytes().first() {
                    Some(b'+') => Paint::Good,
                    Some(b'-') => Paint::Bad,
                    _ => Paint::Faint,
                };
                writeln!(out, "  {}", self.terminal.paint(paint, safe(line)))?;
            }
        }
        Ok(())
    }

    fn findings(&self, out: &mut dyn Write, report: &Report) -> io::Result<()> {
        let failures = report.failures();
        self.head(
            out,
            &format!(
                "FINDINGS  {} failed, {} passed, {} could not be told, {} do not apply",
                failures.len(),
                report.count(Status::Pass),
                report.count(Status::Unknown),
                report.count(Status::NotApplicable)
            ),
        )?;
        for finding in failures {
            self.finding(out, finding)?;
        }
        Ok(())
    }

    fn finding(&self, out: &mut dyn Write, finding: &Finding) -> io::Result<()> {
        let paint = match finding.severity {
            Severity::Critical => Paint::Bad,
            Severity::Warn => Paint::Doubt,
            Severity::Info => Paint::Faint,
        };
        let paint = if finding.counts() {
            paint
        } else {
            Paint::Faint
        };
        let word = format!("{:<8}", finding.severity.word());
        let subject = match nameless(&finding.subject) {
            true => String::new(),
            false => format!("[{}]", safe(&finding.subject.to_string())),
        };
        let rule = &finding.rule;
        write!(out, "  {} {rule}", self.terminal.paint(paint, word))?;
        if subject.is_empty() {
            writeln!(out)?;
        } else if 12 + rule.chars().count() + subject.chars().count() <= self.width {
            writeln!(out, " {subject}")?;
        } else {
            writeln!(out)?;
            self.para(out, "           ", &subject)?;
        }
        self.para(out, "           ", &finding.message)?;
        if let Some(accepted) = &finding.accepted {
            let words = if accepted.expired {
                format!(
                    "until {}, which is over: {}",
                    accepted.until, accepted.reason
                )
            } else {
                format!("until {}: {}", accepted.until, accepted.reason)
            };
            self.para(out, "           accepted ", &words)?;
        }
        if !finding.threshold.is_empty() && finding.severity >= Severity::Warn {
            self.para(out, "           limit: ", &finding.threshold)?;
        }
        let mut places: Vec<&str> = finding
            .evidence
            .iter()
            .filter_map(|citation| citation.place.as_deref())
            .filter(|place| !finding.message.contains(place))
            .collect();
        places.dedup();
        if !places.is_empty() {
            self.para(out, "           at: ", &places.join(", "))?;
        }
        Ok(())
    }

    fn advice(&self, out: &mut dyn Write, report: &Report) -> io::Result<()> {
        if report.advice.is_empty() {
            return Ok(());
        }
        self.head(out, "ADVICE  in this order")?;
        let (yes, no): (Vec<&Advice>, Vec<&Advice>) = report
            .advice
            .iter()
            .partition(|a| a.strength != Strength::Refused);
        for (number, advice) in yes.iter().enumerate() {
            let before = number.checked_sub(1).and_then(|at| yes.get(at)).copied();
            advice::one(out, self.terminal, number + 1, advice, before)?;
        }
        if !no.is_empty() {
            writeln!(out, "  Looked at and not advised:")?;
            for advice in no {
                self.para(
                    out,
                    "  - ",
                    &format!("{}: {}", advice::headline(advice), advice.why),
                )?;
            }
        }
        Ok(())
    }

    fn unseen(&self, out: &mut dyn Write, report: &Report) -> io::Result<()> {
        self.head(out, "LOOKED AT")?;
        for source in &report.seen.sources {
            let window = match (source.window.from, source.window.to) {
                (Some(from), Some(to)) => {
                    format!(", {} to {}", from.to_second(), to.to_second())
                }
                _ => String::new(),
            };
            writeln!(
                out,
                "  {:<9} {} readings{window}",
                source.collector.word(),
                source.readings
            )?;
        }
        if !report.diagnosis.verdict.missing.is_empty() {
            self.para(
                out,
                "  not seen: ",
                &report.diagnosis.verdict.missing.join(", "),
            )?;
        }
        for problem in &report.seen.problems {
            self.para(out, "  ! ", problem)?;
        }
        writeln!(
            out,
            "  profile {}; `etcd-doctor explain RULE` says more about a finding",
            report.profile
        )
    }
}

/// A member or a component of which nobody said which one it is.
fn nameless(subject: &Subject) -> bool {
    subject.kind != SubjectKind::Cluster && subject.name.is_empty() && subject.node.is_none()
}

/// Who told something, without its kind: `kube-scheduler@cp0`, `etcd@cp0`.
fn teller(subject: &Subject) -> String {
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

/// A citation as one line.
pub(super) fn cited(citation: &Citation) -> String {
    format!("{} {}: {}", citation.subject, citation.key, citation.value)
}
