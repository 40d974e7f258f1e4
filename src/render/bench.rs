//! A result of `bench disk` for people: the verdict first, then what it rests on.

use std::io::{self, Write};

use crate::formats::bench::Latency;
use crate::formats::bench::disk::{Contention, CurvePoint, DiskBench, Ground, Level, PerSync};
use crate::units::{format_bytes, format_ms};

use super::plain::{Paint, Terminal, safe, table, trimmed, wrap};

/// Prints a result.
pub fn bench_disk(out: &mut dyn Write, terminal: Terminal, result: &DiskBench) -> io::Result<()> {
    let mut page = Page { out, terminal };
    page.verdict(result)?;
    page.facts(result)?;
    page.lines(result)?;
    page.latencies(result)?;
    page.ledger(result)?;
    page.curve(&result.curve)?;
    page.contention(result.contention.as_ref())?;
    page.real_time(result)?;
    page.throttle(result)?;
    page.capacity(result)?;
    page.doubts(result)
}

struct Page<'a> {
    out: &'a mut dyn Write,
    terminal: Terminal,
}

impl Page<'_> {
    fn width(&self) -> usize {
        usize::from(self.terminal.width.min(110))
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

    fn paragraph(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", wrap(&safe(text), self.width(), 0))
    }

    fn verdict(&mut self, result: &DiskBench) -> io::Result<()> {
        let verdict = &result.verdict;
        let paint = match verdict.level {
            Level::HeavyLoadOk | Level::Ok => Paint::Good,
            Level::Marginal | Level::Inconclusive => Paint::Doubt,
            Level::NotForEtcd | Level::Unsafe => Paint::Bad,
        };
        let words = self.terminal.paint(paint, verdict.level.words());
        writeln!(self.out, "{words}  {}", safe(&result.plan.wal_dir))?;
        self.paragraph(&verdict.why)?;
        if let Some(level) = verdict.latency_level {
            self.paragraph(&format!(
                "By its latency alone it would be: {}.",
                level.words()
            ))?;
        }
        if let Some(why) = &result.partial {
            let text = format!("Partial: {why}. What was measured until then is below.");
            let text = self.terminal.paint(Paint::Doubt, safe(&text));
            writeln!(self.out, "{}", wrap(&text, self.width(), 0))?;
        }
        Ok(())
    }

    fn fact(&mut self, name: &str, text: &str) -> io::Result<()> {
        let line = format!("{name:<9} {}", safe(text));
        let (first, rest) = line.split_at_checked(10).unwrap_or((line.as_str(), ""));
        let wrapped = wrap(rest, self.width().saturating_sub(10), 0).replace('\n', "\n          ");
        writeln!(self.out, "{first}{wrapped}")
    }

    fn facts(&mut self, result: &DiskBench) -> io::Result<()> {
        writeln!(self.out)?;
        self.fact("Where", &ground(&result.ground))?;
        if let Some(db) = &result.db_ground {
            self.fact("Database", &ground(db))?;
        }
        let barrier = &result.ground.barrier;
        self.fact(
            "Flushes",
            &format!("{}: {}", result.verdict.barrier, barrier.why),
        )?;
        let machine = &result.machine;
        self.fact(
            "Machine",
            &format!(
                "{}{} CPUs{}{}, Linux {}",
                if machine.node.is_empty() {
                    String::new()
                } else {
                    format!("{}: ", machine.node)
                },
                machine.cpus,
                machine
                    .cpu
                    .as_ref()
                    .map_or_else(String::new, |cpu| format!(" ({cpu})")),
                machine
                    .memory_bytes
                    .map_or_else(String::new, |n| format!(", {} memory", format_bytes(n))),
                machine.kernel.as_deref().unwrap_or("?")
            ),
        )?;
        let (planned, made) = (result.plan.rounds as usize, result.rounds.len());
        let more = match made.saturating_sub(planned) {
            0 => String::new(),
            more => format!(", and {more} more as the samples did not decide"),
        };
        self.fact("Plan", &format!("{}{more}", result.plan.words()))
    }

    fn lines(&mut self, result: &DiskBench) -> io::Result<()> {
        if result.verdict.lines.is_empty() {
            return Ok(());
        }
        self.head(&format!(
            "Judged by the profile `{}`",
            result.verdict.profile
        ))?;
        let rows = result
            .verdict
            .lines
            .iter()
            .map(|line| {
                // The source is in the JSON and in the profile.
                let limit = line.limit.split(" (").next().unwrap_or_default();
                vec![
                    line.outcome.clone(),
                    line.what.clone(),
                    line.measured.clone(),
                    limit.to_owned(),
                ]
            })
            .collect();
        self.print(&["", "WHAT", "MEASURED", "LIMIT"], rows)
    }

    fn latencies(&mut self, result: &DiskBench) -> io::Result<()> {
        let Some(total) = &result.total else {
            return Ok(());
        };
        self.head(&format!(
            "Latency over {:.0} s: {} records in {} syncs{}",
            total.secs,
            total.entries,
            total.sync.count,
            total.entries_per_sync().map_or_else(String::new, |n| {
                let each = total.bytes as f64 / total.sync.count.max(1) as f64;
                format!(", {n:.2} and {} a sync", bytes(each))
            })
        ))?;
        let mut rows = vec![
            latency_row("WAL fdatasync", &total.sync),
            latency_row("WAL write", &total.write),
            latency_row("due to durable", &total.durable),
        ];
        if total.cuts.count > 0 {
            rows.push(latency_row("cut of a segment", &total.cuts));
        }
        if let Some(commits) = &total.commits {
            rows.push(latency_row("backend commit", &commits.total));
            rows.push(latency_row("  sync of pages", &commits.data_sync));
            rows.push(latency_row("  sync of meta", &commits.meta_sync));
            if commits.grow_sync.count > 0 {
                rows.push(latency_row("  fsync to grow", &commits.grow_sync));
            }
        }
        self.print(
            &["", "COUNT", "MEAN", "P50", "P90", "P99", "P99.9", "MAX"],
            rows,
        )?;
        let around = &total.around;
        let mut notes = Vec::new();
        if let Some(some) = around.psi_cpu_some {
            notes.push(format!("CPU pressure {:.0} %", some * 100.0));
        }
        if let Some(some) = around.psi_io_some {
            notes.push(format!("I/O pressure {:.0} %", some * 100.0));
        }
        if let Some(steal) = around.steal.filter(|steal| *steal >= 0.005) {
            notes.push(format!("steal {:.0} %", steal * 100.0));
        }
        if let Some(spread) = result.spread {
            notes.push(format!(
                "p99 of {} rounds within {:.0} %",
                result.rounds.len(),
                spread * 100.0
            ));
        }
        if notes.is_empty() {
            return Ok(());
        }
        self.paragraph(&format!("Meanwhile: {}.", notes.join(", ")))
    }

    fn ledger(&mut self, result: &DiskBench) -> io::Result<()> {
        let ledger = &result.ledger;
        let row = |name: &str, cost: Option<PerSync>, p50: Option<f64>, sync: Option<&Latency>| {
            let cost = cost?;
            let number = |n: Option<f64>| n.map_or_else(|| "–".to_owned(), |n| format!("{n:.2}"));
            let time = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), format_ms);
            let p99 = sync.and_then(|sync| sync.p99).filter(|p99| p99.enough);
            Some(vec![
                name.to_owned(),
                number(cost.flushes),
                number(cost.expected_flushes),
                format!("{:.2}", cost.writes),
                bytes(cost.device_bytes),
                time(p50),
                time(p99.map(|p99| p99.us / 1e3)),
            ])
        };
        let timed = |name: &str, cost: Option<PerSync>, sync: Option<&Latency>| {
            let p50 = sync.and_then(|sync| sync.p50).map(|p50| p50.us / 1e3);
            row(name, cost, p50, sync)
        };
        let large = result.curve.iter().find(|point| point.bytes == 8_192);
        let rows: Vec<Vec<String>> = [
            timed(
                "376 B, as most of etcd's",
                ledger.small,
                ledger.small_sync.as_ref(),
            ),
            timed(
                "2300 B, as fio's recipe",
                ledger.fio,
                ledger.fio_sync.as_ref(),
            ),
            large.and_then(|point| timed("8 KiB, a busy cluster", point.cost, Some(&point.sync))),
            row(
                "2300 B, written before",
                ledger.overwrite,
                ledger.overwrite_sync_ms,
                None,
            ),
            row("2300 B, growing file", ledger.append, None, None),
        ]
        .into_iter()
        .flatten()
        .collect();
        if rows.is_empty() {
            return Ok(());
        }
        self.head("What one sync costs the device, one after the other")?;
        self.print(
            &["", "FLUSHES", "EXPECTED", "WRITES", "BYTES", "P50", "P99"],
            rows,
        )?;
        let mut text = String::new();
        if let Some(ms) = ledger.flush_ms {
            text = format!("One flush takes {} at the device.", format_ms(ms));
        }
        if let (Some(total), Some(writes), Some(each)) =
            (&result.total, ledger.writes_per_put, ledger.bytes_per_put)
        {
            let rate = total.entries as f64 / total.secs.max(1e-9);
            let flushes = ledger
                .flushes_per_sec
                .zip(ledger.flushes_per_put)
                .map_or_else(String::new, |(per_sec, per_put)| {
                    format!("{per_sec:.0} flushes/s: {per_put:.2} flushes, ")
                });
            text = format!(
                "{text} {rate:.0} puts/s cost {flushes}{writes:.2} device writes and {} for each put.",
                bytes(each)
            );
        }
        if text.is_empty() {
            return Ok(());
        }
        self.paragraph(text.trim())
    }

    /// Bars on a logarithmic scale: to the p50, and a mark at the p99.
    fn curve(&mut self, curve: &[CurvePoint]) -> io::Result<()> {
        let known: Vec<(&CurvePoint, f64, f64)> = curve
            .iter()
            .filter_map(|point| Some((point, point.sync.p50?.us, point.sync.p99?.us)))
            .collect();
        if known.len() < 2 {
            return Ok(());
        }
        self.head("fsync by record size, one after the other (█ to p50, │ p99, logarithmic)")?;
        let low = known
            .iter()
            .map(|(_, p50, _)| *p50)
            .fold(f64::INFINITY, f64::min)
            / 2.0;
        let high = known.iter().map(|(.., p99)| *p99).fold(0.0, f64::max);
        let columns = self.width().saturating_sub(50).clamp(10, 50);
        let place = |us: f64| {
            let share = (us / low).ln() / (high / low).max(1.001).ln();
            cells(share * columns as f64).clamp(1, columns)
        };
        let mut stepped = false;
        for (point, p50, p99) in known {
            if point.bytes >= 4096 && !stepped {
                stepped = true;
                let text = "from 4 KiB on every sync touches new blocks: two flushes on a journal";
                writeln!(self.out, "{}", self.terminal.paint(Paint::Faint, text))?;
            }
            let (bar, mark) = (place(p50), place(p99));
            let mut line: Vec<char> = vec!['█'; bar];
            line.resize(columns, ' ');
            if let Some(cell) = line.get_mut(mark.saturating_sub(1))
                && *cell == ' '
            {
                *cell = '│';
            }
            let line: String = line.into_iter().collect();
            let flushes = point
                .cost
                .and_then(|cost| cost.flushes)
                .map_or_else(String::new, |n| format!("  {n:.2} fl"));
            writeln!(
                self.out,
                "{:>8}  {line}  {:>7} {:>7}{flushes}",
                size(point.bytes),
                format_ms(p50 / 1e3),
                format_ms(p99 / 1e3),
            )?;
        }
        Ok(())
    }

    fn contention(&mut self, contention: Option<&Contention>) -> io::Result<()> {
        let Some(contention) = contention else {
            return Ok(());
        };
        self.head("What the commits cost the WAL")?;
        self.print(
            &["", "COUNT", "MEAN", "P50", "P90", "P99", "P99.9", "MAX"],
            vec![
                latency_row("WAL alone", &contention.alone.sync),
                latency_row("WAL beside commits", &contention.with_commits.sync),
            ],
        )?;
        let text = match contention.p99_cost {
            None => "Too few syncs to compare the p99.".to_owned(),
            Some(_) if !contention.shown => {
                "No difference of the p99 is shown: a device of its own for the WAL (`--wal-dir`) promises nothing here.".to_owned()
            }
            Some(cost) => format!(
                "Commits put {:.0} % on the WAL's p99{}.",
                cost * 100.0,
                if cost > 0.3 {
                    ": a device of its own for the WAL (etcd's `--wal-dir`) takes that off"
                } else {
                    ""
                }
            ),
        };
        self.paragraph(&text)
    }

    fn real_time(&mut self, result: &DiskBench) -> io::Result<()> {
        let Some(compared) = &result.real_time else {
            return Ok(());
        };
        if compared.fifo.count == 0 {
            return Ok(());
        }
        self.head("Disk or processor: the same load in two scheduling classes")?;
        self.print(
            &["", "COUNT", "MEAN", "P50", "P90", "P99", "P99.9", "MAX"],
            vec![
                latency_row("normal", &compared.normal),
                latency_row("real time", &compared.fifo),
            ],
        )
    }

    fn capacity(&mut self, result: &DiskBench) -> io::Result<()> {
        let Some(capacity) = &result.capacity else {
            return Ok(());
        };
        self.head("What it should carry (a model, ±30 %; one member)")?;
        let mut puts: Vec<String> = capacity
            .expected
            .iter()
            .filter(|expected| expected.bound != "processor")
            .map(|expected| {
                format!(
                    "{} with {} writer{}",
                    rounded(expected.puts_per_sec),
                    expected.clients,
                    if expected.clients == 1 { "" } else { "s" }
                )
            })
            .collect();
        let bounded = capacity.expected.iter().find(|e| e.bound == "processor");
        if let Some((most, first)) = capacity.cpu_puts_per_sec.zip(bounded) {
            puts.push(format!(
                "{} from {} writers on, where this machine's processors ({}) are etcd's limit and no longer the disk",
                rounded(most),
                first.clients,
                result.machine.cpus
            ));
        }
        let verdict = &result.verdict;
        let refuted = verdict.latency_level.unwrap_or(verdict.level) == Level::NotForEtcd;
        let class = match capacity.check_perf.as_deref() {
            Some(class) => format!("; the class `{class}` of `etcdctl check perf`"),
            // Its rate may be reached, and its latency not.
            None if refuted => String::new(),
            None => "; not even the class `s` of `etcdctl check perf`".to_owned(),
        };
        let limited = match capacity.expected.iter().any(|e| e.bound == "limit") {
            true => "; the limit of throughput below bounds it",
            false => "",
        };
        self.paragraph(&format!(
            "Puts per second: {}{class}{limited}.",
            puts.join(", ")
        ))?;
        if let Some(duty) = capacity.commit_duty {
            self.paragraph(&format!(
                "At this plan's rate a commit locks the store {:.1} % of the time: puts and new reads wait for it.",
                duty * 100.0
            ))?;
        }
        Ok(())
    }

    fn throttle(&mut self, result: &DiskBench) -> io::Result<()> {
        match &result.throttle {
            Some(found) => {
                self.head("Limits of throughput")?;
                self.paragraph(&format!("Found {}.", found.words))
            }
            None => Ok(()),
        }
    }

    fn doubts(&mut self, result: &DiskBench) -> io::Result<()> {
        if result.doubts.is_empty() {
            return Ok(());
        }
        self.head("Keep in mind")?;
        for doubt in &result.doubts {
            let text = format!("- {}", safe(doubt));
            writeln!(self.out, "{}", wrap(&text, self.width(), 2))?;
        }
        Ok(())
    }
}

fn ground(ground: &Ground) -> String {
    let disks: Vec<String> = ground
        .disks
        .iter()
        .map(|disk| {
            let mut text = disk.name.clone();
            for part in [
                disk.model.as_deref(),
                Some(disk.kind.as_str()),
                disk.write_cache.as_deref(),
            ]
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            {
                text.push_str(", ");
                text.push_str(part);
            }
            text
        })
        .collect();
    let journal = match ground.journal.as_str() {
        "present" => ", journal",
        "absent" => ", no journal",
        _ => "",
    };
    format!(
        "{} on {} ({}{journal}); {}",
        ground.dir,
        ground.mount_point,
        ground.fs,
        if disks.is_empty() {
            "no disk known under it".to_owned()
        } else {
            disks.join("; ")
        }
    )
}

/// One row of a table of latencies.
fn latency_row(name: &str, latency: &Latency) -> Vec<String> {
    let time = |us: f64| format_ms(us / 1e3);
    let at = |p: Option<crate::formats::bench::Percentile>| match p {
        Some(p) if p.enough => time(p.us),
        // The value of too small a sample is no percentile of the disk.
        _ => "–".to_owned(),
    };
    if latency.count == 0 {
        let mut row = vec![name.to_owned(), "0".to_owned()];
        row.resize(8, "–".to_owned());
        return row;
    }
    vec![
        name.to_owned(),
        latency.count.to_string(),
        time(latency.mean_us),
        at(latency.p50),
        at(latency.p90),
        at(latency.p99),
        at(latency.p999),
        time(latency.max_us),
    ]
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is what a display wants"
)]
fn bytes(n: f64) -> String {
    format_bytes(n.max(0.0) as u64)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and the caller clamps"
)]
fn cells(n: f64) -> usize {
    n.round() as usize
}

fn size(n: u32) -> String {
    if n >= 4096 && n.is_multiple_of(1024) {
        format!("{} KiB", n / 1024)
    } else {
        format!("{n} B")
    }
}

/// Two significant digits: a model promises no more.
fn rounded(n: f64) -> String {
    if n < 1.0 {
        return format!("{n:.1}");
    }
    let scale = 10f64.powf(n.log10().floor() - 1.0);
    format!("{:.0}", (n / scale).round() * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_promise_what_they_can_hold() {
        assert_eq!(rounded(1_234.0), "1200");
        assert_eq!(rounded(57.4), "57");
        assert_eq!(rounded(0.44), "0.4");
        assert_eq!(size(376), "376 B");
        assert_eq!(size(102_400), "100 KiB");
        assert_eq!(latency_row("x", &Latency::default())[2], "–");
    }
}
