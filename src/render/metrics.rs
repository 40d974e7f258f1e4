//! What metrics told, as tables: brackets, rates, and what was wrong with the scrapes.

mod cells;

use std::io::{self, Write};

use crate::evidence::{EvidenceSet, Histogram, Key, Reader, Subject, Table, keys};
use crate::units::format_ms;

use super::plain::{Paint, Terminal, safe, table, trimmed};
use cells::{
    bracket, clock, columns, interval, moment, named, number, percent, rate, seconds, size,
    version, whole,
};

/// A number in words.
type Words = fn(f64) -> String;

/// Rows of a table by resource or queue.
const TOP: usize = 12;

/// Prints everything that metrics told.
pub fn metrics(out: &mut dyn Write, terminal: Terminal, set: &EvidenceSet) -> io::Result<()> {
    let page = Page {
        out,
        terminal,
        reader: Reader::new(set),
    };
    page.all()
}

struct Page<'a> {
    out: &'a mut dyn Write,
    terminal: Terminal,
    reader: Reader<'a>,
}

impl Page<'_> {
    fn all(mut self) -> io::Result<()> {
        self.coverage()?;
        self.members()?;
        self.phases()?;
        for subject in self.subjects(&keys::APISERVER_ETCD_TOOK, &keys::APISERVER_REQUESTS) {
            self.apiserver(&subject)?;
        }
        self.scheduler()?;
        self.clients()?;
        self.queues()?;
        self.faults()
    }

    fn head(&mut self, text: &str) -> io::Result<()> {
        writeln!(
            self.out,
            "\n{}",
            self.terminal.paint(Paint::Strong, safe(text))
        )
    }

    fn print(&mut self, header: &[&str], rows: Vec<Vec<String>>) -> io::Result<()> {
        let mut shown = table(self.terminal, header);
        for row in rows {
            shown.add_row(row.iter().map(|cell| safe(cell)));
        }
        writeln!(self.out, "{}", trimmed(&shown))
    }

    /// Subjects that have either reading.
    fn subjects<A, B>(&self, a: &Key<A>, b: &Key<B>) -> Vec<Subject> {
        let known = |record: &&crate::evidence::Record| {
            matches!(record.value, crate::evidence::Reading::Known(_))
        };
        let mut subjects: Vec<Subject> = self
            .reader
            .records(a)
            .into_iter()
            .filter(known)
            .chain(self.reader.records(b).into_iter().filter(known))
            .map(|record| record.subject.clone())
            .collect();
        subjects.sort();
        subjects.dedup();
        subjects
    }

    fn coverage(&mut self) -> io::Result<()> {
        let rows: Vec<Vec<String>> = self
            .reader
            .all(&keys::METRICS_COVERAGE)
            .iter()
            .flat_map(|(subject, table)| table.rows.iter().map(move |row| (subject, row)))
            .map(|(subject, row)| {
                let window = match row.get("secs") {
                    Some(secs) => seconds(secs),
                    None if row.get("scrapes") == Some(1.0) => {
                        "since its start; no rates".to_owned()
                    }
                    None => "unknown; no rates".to_owned(),
                };
                vec![
                    named(subject),
                    number(row.get("scrapes")),
                    window,
                    moment(row.get_text("from")),
                    moment(row.get_text("to")),
                ]
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        writeln!(
            self.out,
            "{}",
            self.terminal.paint(Paint::Strong, "Scrapes")
        )?;
        self.print(&["COMPONENT", "SCRAPES", "WINDOW", "FROM", "TO"], rows)
    }

    fn members(&mut self) -> io::Result<()> {
        let members = self.subjects(&keys::WAL_FSYNC, &keys::HAS_LEADER);
        if members.is_empty() {
            return Ok(());
        }
        self.head("etcd")?;
        let names: Vec<String> = members.iter().map(|m| m.name.clone()).collect();
        let mut header = vec!["OVER THE WINDOW"];
        header.extend(names.iter().map(String::as_str));
        let mut rows: Vec<Vec<String>> = Vec::new();
        let mut line = |name: &str, cells: Vec<Option<String>>| {
            if cells.iter().any(Option::is_some) {
                let mut row = vec![name.to_owned()];
                row.extend(
                    cells
                        .into_iter()
                        .map(|c| c.unwrap_or_else(|| "–".to_owned())),
                );
                rows.push(row);
            }
        };
        let reader = &self.reader;
        let hists: [(&str, &Key<Histogram>); 9] = [
            ("WAL fsync", &keys::WAL_FSYNC),
            ("WAL write", &keys::WAL_WRITE),
            ("backend commit", &keys::WAL_COMMIT),
            ("peer round trip", &keys::PEER_RTT),
            ("apply", &keys::SERVER_APPLY),
            ("range", &keys::SERVER_RANGE),
            ("compaction batch", &keys::COMPACTION_PAUSE),
            ("defragmentation", &keys::DEFRAG),
            ("snapshot fsync", &keys::SNAPSHOT_FSYNC),
        ];
        for (name, key) in hists {
            let found: Vec<Option<Histogram>> = members
                .iter()
                .map(|m| reader.peek(key, m).filter(|h| h.count() > 0.0))
                .collect();
            for (what, q) in [("p50", 0.5), ("p99", 0.99)] {
                line(
                    &format!("{name} {what}"),
                    found.iter().map(|h| bracket(h.as_ref()?, q)).collect(),
                );
            }
            line(
                &format!("{name} mean (count)"),
                found
                    .iter()
                    .map(|h| {
                        let h = h.as_ref()?;
                        Some(format!(
                            "{} ({})",
                            format_ms(h.mean()?),
                            number(Some(h.count()))
                        ))
                    })
                    .collect(),
            );
        }
        let values: [(&str, &Key<f64>, Words); 13] = [
            ("commit duty", &keys::COMMIT_DUTY, percent),
            ("proposals /s", &keys::PROPOSALS_RATE, rate),
            ("proposals pending, most", &keys::PROPOSALS_PENDING, whole),
            ("proposals failed", &keys::PROPOSALS_FAILED, whole),
            ("leader changes", &keys::LEADER_CHANGES, whole),
            ("heartbeat failures", &keys::HEARTBEAT_FAILURES, whole),
            ("slow applies", &keys::SLOW_APPLIES, whole),
            ("slow read indexes", &keys::SLOW_READ_INDEXES, whole),
            ("read indexes failed", &keys::READ_INDEXES_FAILED, whole),
            ("database in use", &keys::DB_IN_USE, size),
            ("quota", &keys::DB_QUOTA, size),
            ("database growth /s", &keys::DB_GROWTH, size),
            ("time to full", &keys::DB_TIME_TO_FULL, seconds),
        ];
        for (name, key, words) in values {
            if name == "database in use" {
                line(
                    "database",
                    members
                        .iter()
                        .map(|m| {
                            let series = reader.peek(&keys::DB_SIZE, m)?;
                            series.points.last().map(|point| size(point.value))
                        })
                        .collect(),
                );
            }
            line(
                name,
                members
                    .iter()
                    .map(|m| reader.peek(key, m).map(words))
                    .collect(),
            );
        }
        line(
            "alarms",
            members
                .iter()
                .map(|m| {
                    let alarms = reader.peek(&keys::SERVER_ALARMS, m)?;
                    let names: Vec<&str> = alarms.rows.iter().map(|r| r.key.as_str()).collect();
                    Some(names.join(", "))
                })
                .collect(),
        );
        line(
            "version",
            members
                .iter()
                .map(|m| version(&reader.peek(&keys::METRICS_VERSIONS, m)?))
                .collect(),
        );
        self.print(&header, rows)
    }

    fn phases(&mut self) -> io::Result<()> {
        let mut rows = Vec::new();
        for (member, phases) in self.reader.all(&keys::WAL_FSYNC_PHASES) {
            if phases.rows.len() < 2 {
                continue;
            }
            let commits = self.reader.peek(&keys::COMMIT_PHASES, &member);
            let others = self.reader.peek(&keys::MEMBER_PHASES, &member);
            for row in phases.rows.iter().rev().take(40).rev() {
                let same = |table: &Option<Table>| table.as_ref()?.row(&row.key).cloned();
                let commit = same(&commits);
                let other = same(&others);
                let of = |column: &str| other.as_ref().and_then(|row| row.get(column));
                rows.push(vec![
                    member.name.clone(),
                    clock(&row.key),
                    row.get("secs").map(seconds).unwrap_or_default(),
                    columns(row, "p99").unwrap_or_else(|| "–".to_owned()),
                    commit
                        .and_then(|row| columns(&row, "p99"))
                        .unwrap_or_else(|| "–".to_owned()),
                    of("proposals_per_sec").map_or_else(|| "–".to_owned(), rate),
                    of("slow_applies").map_or_else(|| "–".to_owned(), whole),
                    of("cpu").map_or_else(|| "–".to_owned(), percent),
                ]);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        self.head("etcd from scrape to scrape")?;
        self.print(
            &[
                "MEMBER",
                "FROM",
                "FOR",
                "FSYNC P99",
                "COMMIT P99",
                "PROPOSALS/S",
                "SLOW",
                "CPU",
            ],
            rows,
        )
    }

    fn apiserver(&mut self, subject: &Subject) -> io::Result<()> {
        self.head(&named(subject))?;
        let peek = |key: &Key<f64>| self.reader.peek(key, subject);
        let mut facts = Vec::new();
        if let Some(value) = peek(&keys::APISERVER_REQUESTS_RATE) {
            facts.push(format!("{} requests/s", rate(value)));
        }
        for (key, what) in [
            (&keys::APISERVER_REQUESTS_429, "answered 429"),
            (&keys::APISERVER_REQUESTS_5XX, "answered 5xx"),
            (&keys::APISERVER_TERMINATIONS, "cut off"),
        ] {
            if let Some(value) = peek(key) {
                facts.push(format!("{} {what}", whole(value)));
            }
        }
        if let Some(took) = self.reader.peek(&keys::APISERVER_ETCD_TOOK, subject)
            && let (Some(p99), Some(mean)) = (bracket(&took, 0.99), took.mean())
        {
            facts.push(format!("etcd p99 {p99}, mean {}", format_ms(mean)));
        }
        if !facts.is_empty() {
            writeln!(self.out, "{}", facts.join("; "))?;
        }
        self.resources(subject)?;
        self.fairness(subject)?;
        self.slos(subject)
    }

    fn resources(&mut self, subject: &Subject) -> io::Result<()> {
        let Some(used) = self.reader.peek(&keys::APISERVER_ETCD_REQUESTS, subject) else {
            return Ok(());
        };
        let objects = self.reader.peek(&keys::APISERVER_OBJECTS, subject);
        let lists = self.reader.peek(&keys::APISERVER_LISTS, subject);
        let rows: Vec<Vec<String>> = used
            .top("total_secs")
            .into_iter()
            .filter(|(_, secs)| *secs > 0.0)
            .take(TOP)
            .map(|(row, secs)| {
                let requests = row.get("requests").unwrap_or_default();
                let of = |table: &Option<Table>, column: &str| {
                    table.as_ref()?.row(&row.key)?.get(column)
                };
                vec![
                    row.key.clone(),
                    number(row.get("requests")),
                    row.get("per_sec").map_or_else(|| "–".to_owned(), rate),
                    number(row.get("lists")),
                    number(row.get("gets")),
                    number(row.get("writes")),
                    if requests > 0.0 {
                        format_ms(secs * 1000.0 / requests)
                    } else {
                        "–".to_owned()
                    },
                    seconds(secs),
                    number(of(&objects, "last_objects")),
                    number(of(&lists, "fetched")),
                ]
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        writeln!(self.out, "etcd requests by resource, most time first:")?;
        self.print(
            &[
                "RESOURCE", "REQUESTS", "/S", "LISTS", "GETS", "WRITES", "MEAN", "IN ALL",
                "OBJECTS", "FETCHED",
            ],
            rows,
        )
    }

    fn fairness(&mut self, subject: &Subject) -> io::Result<()> {
        let Some(levels) = self.reader.peek(&keys::APF_LEVELS, subject) else {
            return Ok(());
        };
        let rows: Vec<Vec<String>> = levels
            .rows
            .iter()
            .filter(|row| {
                row.get("dispatched").unwrap_or_default() > 0.0
                    || row.get("rejected").unwrap_or_default() > 0.0
            })
            .map(|row| {
                vec![
                    row.key.clone(),
                    number(row.get("limit_seats")),
                    number(row.get("limit_current_seats")),
                    number(row.get("max_demand_seats")),
                    number(row.get("max_executing_seats")),
                    number(row.get("max_inqueue")),
                    number(row.get("dispatched")),
                    number(row.get("rejected")),
                    interval(row.get("wait_p99_low_ms"), row.get("max_wait_p99_high_ms"))
                        .unwrap_or_else(|| "–".to_owned()),
                ]
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        writeln!(self.out, "priority levels:")?;
        self.print(
            &[
                "LEVEL", "SEATS", "NOW", "WANTED", "TAKEN", "QUEUED", "EXECUTED", "REJECTED",
                "WAIT P99",
            ],
            rows,
        )
    }

    fn slos(&mut self, subject: &Subject) -> io::Result<()> {
        let Some(slos) = self.reader.peek(&keys::SLO, subject) else {
            return Ok(());
        };
        let rows: Vec<Vec<String>> = slos
            .rows
            .iter()
            .map(|row| {
                let low = row.get("max_p99_low_ms");
                let missed = low >= row.get("limit_ms");
                let met = row
                    .get("max_p99_ms")
                    .is_some_and(|high| Some(high) <= row.get("limit_ms"));
                vec![
                    row.key.clone(),
                    interval(low, row.get("max_p99_ms")).unwrap_or_default(),
                    row.get("limit_ms").map(format_ms).unwrap_or_default(),
                    match (missed, met) {
                        (true, _) => "missed".to_owned(),
                        (_, true) => "met".to_owned(),
                        _ => "open".to_owned(),
                    },
                    number(row.get("requests")),
                    row.get_text("worst").unwrap_or_default().to_owned(),
                ]
            })
            .collect();
        writeln!(self.out, "objectives:")?;
        self.print(&["SLO", "P99", "LIMIT", "", "REQUESTS", "WORST"], rows)
    }

    fn scheduler(&mut self) -> io::Result<()> {
        for subject in self.subjects(&keys::SCHEDULER_PENDING, &keys::SCHEDULER_E2E) {
            self.head(&named(&subject))?;
            let mut facts = Vec::new();
            if let Some(pending) = self.reader.peek(&keys::SCHEDULER_PENDING, &subject) {
                let queues: Vec<String> = pending
                    .rows
                    .iter()
                    .filter(|row| row.key != "waiting")
                    .map(|row| format!("{} {}", row.key, number(row.get("max_pods"))))
                    .collect();
                facts.push(format!("most pods pending: {}", queues.join(", ")));
            }
            if let Some(attempts) = self.reader.peek(&keys::SCHEDULER_ATTEMPTS, &subject) {
                let results: Vec<String> = attempts
                    .rows
                    .iter()
                    .map(|row| format!("{} {}", number(row.get("attempts")), row.key))
                    .collect();
                if !results.is_empty() {
                    facts.push(format!("attempts: {}", results.join(", ")));
                }
            }
            for (what, key) in [
                ("seen to bound", &keys::SCHEDULER_E2E),
                ("one attempt", &keys::SCHEDULER_ATTEMPT_TOOK),
                ("binding", &keys::SCHEDULER_BINDING),
            ] {
                if let Some(p99) = self
                    .reader
                    .peek(key, &subject)
                    .and_then(|hist| bracket(&hist, 0.99))
                {
                    facts.push(format!("{what} p99 {p99}"));
                }
            }
            for fact in facts {
                writeln!(self.out, "{}", safe(&fact))?;
            }
        }
        Ok(())
    }

    fn clients(&mut self) -> io::Result<()> {
        let mut rows = Vec::new();
        for subject in self.subjects(&keys::PROCESS_CPU, &keys::PROCESS_RSS) {
            let peek = |key: &Key<f64>| self.reader.peek(key, &subject);
            let wait = self
                .reader
                .peek(&keys::CLIENT_LIMITER_WAIT, &subject)
                .filter(|hist| hist.count() > 0.0);
            rows.push(vec![
                named(&subject),
                peek(&keys::PROCESS_CPU).map_or_else(|| "–".to_owned(), percent),
                peek(&keys::PROCESS_RSS).map_or_else(|| "–".to_owned(), size),
                peek(&keys::CLIENT_REQUESTS_RATE).map_or_else(|| "–".to_owned(), rate),
                wait.as_ref()
                    .and_then(|h| bracket(h, 0.99))
                    .unwrap_or_else(|| "–".to_owned()),
                wait.and_then(|h| h.mean())
                    .map_or_else(|| "–".to_owned(), format_ms),
                self.reader
                    .peek(&keys::METRICS_VERSIONS, &subject)
                    .and_then(|table| version(&table))
                    .unwrap_or_default(),
            ]);
        }
        if rows.is_empty() {
            return Ok(());
        }
        self.head("Processes, and how long their own client held requests back")?;
        self.print(
            &[
                "COMPONENT",
                "CPU",
                "MEMORY",
                "SENT/S",
                "HELD P99",
                "HELD MEAN",
                "VERSION",
            ],
            rows,
        )
    }

    fn queues(&mut self) -> io::Result<()> {
        let mut busy: Vec<(f64, Vec<String>)> = Vec::new();
        for (subject, queues) in self.reader.all(&keys::WORKQUEUES) {
            for row in &queues.rows {
                let of = |column: &str| row.get(column).unwrap_or_default();
                let weight = of("max_depth") + of("queue_secs");
                if of("max_depth") < 2.0 && of("queue_secs") < 1.0 && of("retries") < 1.0 {
                    continue;
                }
                busy.push((
                    weight,
                    vec![
                        subject.name.clone(),
                        row.key.clone(),
                        number(row.get("max_depth")),
                        number(row.get("adds")),
                        row.get("max_retries_per_sec")
                            .map_or_else(|| "–".to_owned(), rate),
                        columns(row, "max_wait_p99").unwrap_or_else(|| "–".to_owned()),
                        columns(row, "max_work_p99").unwrap_or_else(|| "–".to_owned()),
                    ],
                ));
            }
        }
        if busy.is_empty() {
            return Ok(());
        }
        busy.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        self.head("Work queues")?;
        self.print(
            &[
                "COMPONENT",
                "QUEUE",
                "DEPTH",
                "ADDED",
                "RETRIES/S",
                "WAIT P99",
                "WORK P99",
            ],
            busy.into_iter().take(TOP).map(|(_, row)| row).collect(),
        )
    }

    fn faults(&mut self) -> io::Result<()> {
        let Some(faults) = self.reader.peek(&keys::METRICS_FAULTS, &Subject::cluster()) else {
            return Ok(());
        };
        self.head("What was wrong with the scrapes")?;
        for row in faults.rows.iter().take(40) {
            writeln!(
                self.out,
                "- {}",
                safe(row.get_text("fault").unwrap_or(&row.key))
            )?;
        }
        if faults.rows.len() > 40 {
            writeln!(self.out, "- and {} more", faults.rows.len() - 40)?;
        }
        Ok(())
    }
}
