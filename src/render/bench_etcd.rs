//! `bench etcd` for people: etcd's own summary first, then what it means.

use std::io::{self, Write};

use crate::formats::bench::etcd::{BenchEtcd, CheckPerf, Run, Server, Summary, Timed};
use crate::units::format_bytes;

use super::plain::{Paint, Terminal, safe, table, trimmed, wrap};

/// Prints the result.
pub fn bench_etcd(out: &mut dyn Write, terminal: Terminal, result: &BenchEtcd) -> io::Result<()> {
    let mut page = Page { out, terminal };
    if let Some(check) = &result.check_perf {
        page.check_perf(check, &result.runs)?;
    }
    page.cluster(result)?;
    for run in &result.runs {
        page.run(run, result)?;
    }
    page.end(result)
}

struct Page<'a> {
    out: &'a mut dyn Write,
    terminal: Terminal,
}

/// Slices that are shown where the rate changed.
const SHOWN_SLICES: usize = 12;

impl Page<'_> {
    fn head(&mut self, text: &str) -> io::Result<()> {
        writeln!(
            self.out,
            "\n{}",
            self.terminal.paint(Paint::Strong, safe(text))
        )
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        let width = usize::from(self.terminal.width).saturating_sub(2);
        writeln!(self.out, "  {}", wrap(&safe(text), width, 2))
    }

    fn check_perf(&mut self, check: &CheckPerf, runs: &[Run]) -> io::Result<()> {
        let (paint, verdict) = match (&check.highest, check.asked.as_str()) {
            (Some(class), "highest") => (
                Paint::Good,
                format!("`{class}` is the highest class of etcdctl's check perf that passes"),
            ),
            (Some(class), _) => (Paint::Good, format!("class `{class}` passes")),
            (None, "highest") => (Paint::Bad, "no class passes".to_owned()),
            (None, class) if check.classes.iter().any(|c| c.verdict == "unknown") => (
                Paint::Doubt,
                format!("class `{class}`: could not be told, the run was ended"),
            ),
            (None, class) => (Paint::Bad, format!("class `{class}` does not pass")),
        };
        writeln!(
            self.out,
            "{}  {}",
            self.terminal.paint(Paint::Strong, "CHECK PERF"),
            self.terminal.paint(paint, verdict)
        )?;
        if let Some(capacity) = check.capacity_per_sec {
            self.line(&format!(
                "a short run to look for the class came to {capacity:.0} writes/s"
            ))?;
        }
        for class in &check.classes {
            let length = if class.official {
                ""
            } else {
                ", shorter than the official 60 s"
            };
            let why = runs
                .iter()
                .find(|run| run.name.split(' ').next_back() == Some(class.class.as_str()))
                .and_then(|run| run.limits.first())
                .map_or_else(
                    || class.limited_by.clone(),
                    |limit| format!("{}: {}", limit.limit, limit.why),
                );
            self.line(&format!(
                "{}: {}{length}; limited by {why}",
                class.class, class.verdict
            ))?;
            for criterion in &class.criteria {
                let word = if criterion.pass { "PASS" } else { "FAIL" };
                let text = match criterion.name.as_str() {
                    "errors" => format!("{word}: {:.0} requests failed", criterion.value),
                    "throughput" => format!(
                        "{word}: throughput is {:.0} writes/s (more than {:.0})",
                        criterion.value, criterion.limit
                    ),
                    name => format!(
                        "{word}: {} is {:.6}s (at most {}s)",
                        if name == "slowest" {
                            "slowest request"
                        } else {
                            name
                        },
                        criterion.value,
                        criterion.limit
                    ),
                };
                writeln!(self.out, "    {text}")?;
            }
        }
        Ok(())
    }

    fn cluster(&mut self, result: &BenchEtcd) -> io::Result<()> {
        self.head("CLUSTER")?;
        let mut shown = table(
            self.terminal,
            &["MEMBER", "ENDPOINT", "VERSION", "ROLE", "LOAD"],
        );
        for member in &result.members {
            shown.add_row([
                safe(&member.name),
                safe(&member.endpoint),
                safe(&member.version),
                if member.leader { "leader" } else { "follower" }.to_owned(),
                if member.loaded { "yes" } else { "no" }.to_owned(),
            ]);
        }
        writeln!(self.out, "{}", trimmed(&shown))?;
        for silent in &result.silent {
            self.line(&format!(
                "{} did not answer: {}",
                silent.endpoint, silent.why
            ))?;
        }
        let plan = &result.plan;
        self.line(&format!(
            "{} keys of {} bytes under {}, values of {:.0} bytes{}",
            plan.keys,
            plan.key_bytes,
            plan.prefix,
            plan.value_bytes,
            if plan.leased { "" } else { ", without leases" }
        ))
    }

    fn run(&mut self, run: &Run, result: &BenchEtcd) -> io::Result<()> {
        let pace = run.rate.map_or_else(
            || "as fast as they can".to_owned(),
            |rate| match result.plan.shape.as_str() {
                "constant" => format!("{rate} a second"),
                shape => format!("{shape} up to {rate} a second"),
            },
        );
        self.head(&format!(
            "RUN {}: {} clients on {} connections, {pace}",
            run.name, run.clients, run.connections
        ))?;
        if let Some(ended) = &run.ended {
            let text = format!("  ended early: {}", safe(&ended.why));
            writeln!(self.out, "{}", self.terminal.paint(Paint::Doubt, text))?;
        }
        self.summary(&run.summary)?;
        if !run.errors.is_empty() {
            writeln!(self.out, "\nError distribution:")?;
            for (kind, count) in &run.errors {
                writeln!(self.out, "  [{count}]\t{}", safe(kind))?;
            }
        }
        self.requests(run)?;
        if result.plan.shape != "constant" || run.unserved > 0 {
            self.slices(run)?;
        }
        self.servers(&run.servers)?;
        self.client(run)?;
        self.head("LIMITED BY")?;
        for limit in &run.limits {
            self.line(&format!("{}: {}", limit.limit, limit.why))?;
        }
        for doubt in &run.doubts {
            self.line(&format!("doubt: {doubt}"))?;
        }
        Ok(())
    }

    /// Word for word what etcd's tools/benchmark prints, so that eyes and scripts find it.
    fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        if summary.count == 0 {
            return self.line("no request was answered");
        }
        let out = &mut self.out;
        writeln!(out, "\nSummary:")?;
        for (name, secs) in [
            ("Total", summary.total_secs),
            ("Slowest", summary.slowest_secs),
            ("Fastest", summary.fastest_secs),
            ("Average", summary.average_secs),
            ("Stddev", summary.stddev_secs),
        ] {
            writeln!(out, "  {name}:\t{secs:.4} secs.")?;
        }
        writeln!(out, "  Requests/sec:\t{:.4}", summary.per_sec)?;
        writeln!(out, "\nResponse time histogram:")?;
        let most = summary.histogram.iter().map(|bar| bar.count).max();
        for bar in &summary.histogram {
            let length = match most {
                Some(most) if most > 0 => bar.count * 40 / most,
                _ => 0,
            };
            let length = usize::try_from(length).unwrap_or(40);
            writeln!(
                out,
                "  {:.4} [{}]\t|{}",
                bar.upto_secs,
                bar.count,
                "∎".repeat(length)
            )?;
        }
        writeln!(out, "\nLatency distribution:")?;
        for percentile in &summary.percentiles {
            writeln!(
                out,
                "  {}% in {:.4} secs.",
                percentile.percent, percentile.secs
            )?;
        }
        Ok(())
    }

    fn requests(&mut self, run: &Run) -> io::Result<()> {
        self.head("REQUESTS  milliseconds, from sending to answer")?;
        let mut shown = table(
            self.terminal,
            &["KIND", "COUNT", "MEAN", "P50", "P99", "MAX"],
        );
        for kind in &run.requests {
            shown.add_row([
                kind.kind.clone(),
                kind.count.to_string(),
                format!("{:.2}", kind.mean_ms),
                format!("{:.2}", kind.p50_ms),
                format!("{:.2}", kind.p99_ms),
                format!("{:.2}", kind.max_ms),
            ]);
        }
        writeln!(self.out, "{}", trimmed(&shown))?;
        if run.service.is_some() {
            self.line(
                "The summary above counts from the moment at which a request should have begun, \
                 so a stall is seen by every request that it held up; the table counts from the \
                 sending.",
            )?;
        }
        if run.unserved > 0 {
            self.line(&format!(
                "{} requests should have begun and found no idle client: etcd did not keep up \
                 with the rate, or there are too few clients",
                run.unserved
            ))?;
        }
        if run.conflicts > 0 {
            self.line(&format!(
                "{} transactions found another revision than they expected",
                run.conflicts
            ))?;
        }
        if run.token_renewals > 0 {
            self.line(&format!(
                "{} new log-ins: etcd took the token no more, and the requests that it refused were \
                 sent once more",
                run.token_renewals
            ))?;
        }
        if let Some(watch) = &run.watch {
            self.line(&format!(
                "{} watchers got {} of {} events",
                watch.watchers, watch.events, watch.expected
            ))?;
        }
        Ok(())
    }

    fn slices(&mut self, run: &Run) -> io::Result<()> {
        self.head("OVER TIME  milliseconds from the intended begin")?;
        let mut shown = table(
            self.terminal,
            &["FROM", "ASKED/S", "DONE/S", "FAILED", "P50", "P99"],
        );
        let step = run.slices.len().div_ceil(SHOWN_SLICES).max(1);
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.2}"));
        for slice in run.slices.iter().step_by(step) {
            shown.add_row([
                format!("{:.0} s", slice.at_secs),
                slice
                    .asked_per_sec
                    .map_or("-".to_owned(), |v| format!("{v:.0}")),
                format!("{:.0}", slice.done_per_sec),
                slice.failed.to_string(),
                number(slice.p50_ms),
                number(slice.p99_ms),
            ]);
        }
        writeln!(self.out, "{}", trimmed(&shown))
    }

    fn servers(&mut self, servers: &[Server]) -> io::Result<()> {
        self.head("MEMBERS MEANWHILE  by their own metrics")?;
        let mut shown = table(
            self.terminal,
            &[
                "MEMBER",
                "WAL FSYNC",
                "COMMIT",
                "PEER RTT",
                "CPUS",
                "SLOW APPLIES",
            ],
        );
        for server in servers.iter().filter(|server| server.missing.is_none()) {
            let number = |value: Option<f64>, digits: usize| {
                value.map_or("-".to_owned(), |v| format!("{v:.digits$}"))
            };
            shown.add_row([
                safe(&server.name),
                timed(server.wal_fsync.as_ref()),
                timed(server.backend_commit.as_ref()),
                timed(server.peer_round_trip.as_ref()),
                number(server.cpu_cores, 2),
                number(server.slow_applies, 0),
            ]);
        }
        if servers.iter().any(|server| server.missing.is_none()) {
            writeln!(self.out, "{}", trimmed(&shown))?;
            self.line(
                "mean / bucket of the p99 in milliseconds, and the share of the time that it took",
            )?;
        }
        for server in servers {
            if let Some(why) = &server.missing {
                self.line(&format!("{}: no metrics: {why}", server.name))?;
            }
        }
        Ok(())
    }

    fn client(&mut self, run: &Run) -> io::Result<()> {
        let client = &run.client;
        self.head("THIS CLIENT")?;
        match (client.share, client.us_per_request) {
            (Some(share), Some(each)) => self.line(&format!(
                "{:.0} % of the one processor that it can use, {each:.1} µs a request; {}",
                share * 100.0,
                if client.limit {
                    "it WAS the limit"
                } else {
                    "it was not the limit"
                }
            ))?,
            (Some(share), None) => {
                self.line(&format!("{:.0} % of one processor", share * 100.0))?;
            }
            _ => self.line("its processor time could not be read")?,
        }
        if let (Some(busy), Some(cpus)) = (client.machine_busy, client.cpus) {
            self.line(&format!(
                "this machine: {cpus} processors, {:.0} % busy",
                busy * 100.0
            ))?;
        }
        if let Some(late) = client.late_p99_ms {
            self.line(&format!(
                "requests began up to {late:.2} ms after their moment (p99)"
            ))?;
        }
        if let (Some(idle), Some(loaded)) = (run.idle_read_ms, run.loaded_read_ms) {
            self.line(&format!(
                "a read of one key took {idle:.2} ms before and {loaded:.2} ms during the load"
            ))?;
        }
        Ok(())
    }

    fn end(&mut self, result: &BenchEtcd) -> io::Result<()> {
        self.head("AFTERWARDS")?;
        let bounds = &result.bounds;
        self.line(&format!(
            "database {} → {} (allowed: {} more; quota {}, {})",
            format_bytes(bounds.db_before_bytes),
            format_bytes(bounds.db_after_bytes),
            format_bytes(bounds.growth_limit_bytes),
            format_bytes(bounds.quota_bytes),
            match bounds.quota_source.as_str() {
                "assumed" => "etcd's default, as it could not be asked",
                "metric" => "by its metric",
                _ => "by its status",
            }
        ))?;
        let cleanup = &result.cleanup;
        match (cleanup.keys_left, &cleanup.fault) {
            (Some(0), None) => self.line(
                "all keys are deleted; their history stays until the cluster's next compaction",
            )?,
            (left, fault) => {
                if let Some(left) = left.filter(|left| *left > 0) {
                    self.line(&format!(
                        "{left} keys are left under {}",
                        result.plan.prefix
                    ))?;
                }
                if let Some(fault) = fault {
                    self.line(&format!("cleaning up failed: {fault}"))?;
                }
                if result.plan.leased {
                    self.line("what is left goes with its leases")?;
                } else {
                    self.line(&format!(
                        "delete what is left by `etcdctl del --prefix {}`",
                        result.plan.prefix
                    ))?;
                }
            }
        }
        if bounds.leftovers > 0 {
            self.line(&format!(
                "{} keys of an earlier run were there before: they go with their leases, those of \
                 a run without leases by `etcdctl del --prefix {}`",
                bounds.leftovers,
                root_of(&result.plan.prefix)
            ))?;
        }
        if let Some(foreign) = &bounds.foreign {
            self.line(&format!("the cluster holds keys of others (`{foreign}`)"))?;
        }
        Ok(())
    }
}

/// What is common to the prefixes of all runs: `/etcd-doctor-bench/` of `/etcd-doctor-bench/RUN/`.
fn root_of(prefix: &str) -> &str {
    let end = prefix
        .char_indices()
        .filter(|(_, c)| *c == '/')
        .nth(1)
        .map_or(prefix.len(), |(at, _)| at + 1);
    prefix.get(..end).unwrap_or(prefix)
}

fn timed(timed: Option<&Timed>) -> String {
    let Some(timed) = timed else {
        return "-".to_owned();
    };
    let p99 = match timed.p99_high_ms {
        Some(high) => format!("{}–{high}", timed.p99_low_ms),
        None => format!("above {}", timed.p99_low_ms),
    };
    format!("{:.2} / {p99} ({:.0} %)", timed.mean_ms, timed.duty * 100.0)
}
