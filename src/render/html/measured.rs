//! Histograms and curves of what was measured, each with its limit.

use minijinja::value::Value;
use serde::Serialize;

use super::chart::{self, Phase};
use super::{clean, markup, who};
use crate::evidence::{Histogram, Key, Reader, Table, keys};
use crate::report::Report;

#[derive(Serialize)]
pub(super) struct ChartView {
    pub(super) title: String,
    pub(super) words: String,
    pub(super) svg: Value,
}

pub(super) fn charts(report: &Report) -> Vec<ChartView> {
    let mut views = Vec::new();
    let limit = |name: &str| report.limits.get(name).copied();
    let reader = Reader::new(&report.evidence);
    let mut histograms = |title: &str, key: &Key<Histogram>, limit: Option<f64>, words: &str| {
        for (subject, histogram) in reader.all(key).into_iter().take(6) {
            let title = format!("{title}, {}", who(&subject));
            if let Some(svg) = chart::histogram(&title, &histogram, limit) {
                views.push(ChartView {
                    title: clean(&title),
                    words: words.to_owned(),
                    svg: markup(svg),
                });
            }
        }
    };
    let wal = limit("wal-fsync-p99");
    histograms(
        "WAL fsync",
        &keys::WAL_FSYNC,
        wal,
        "As etcd measured it; it includes the wait for a CPU after the disk is done.",
    );
    histograms(
        "Backend commit",
        &keys::WAL_COMMIT,
        limit("backend-commit-p99"),
        "While a commit runs, writes and new reads wait.",
    );
    histograms("Round trip time to peers", &keys::PEER_RTT, None, "");
    histograms(
        "etcd requests as kube-apiserver measured them",
        &keys::APISERVER_ETCD_TOOK,
        None,
        "",
    );
    histograms(
        "Logged requests",
        &keys::LOGS_REQUESTS_TOOK,
        None,
        "etcd logs slow requests only, unless its threshold says otherwise.",
    );
    for (subject, table) in reader.all(&keys::BENCH_DISK_CURVE).into_iter().take(6) {
        let title = format!("Sync by size, measured by a bench on {}", who(&subject));
        if let Some(svg) = chart::curve(&title, &sizes(&table), wal) {
            views.push(ChartView {
                title: clean(&title),
                words: "How long one fdatasync takes after so many bytes, on this disk by itself. \
                        etcd's WAL writes are mostly of a few KiB."
                    .to_owned(),
                svg: markup(svg),
            });
        }
    }
    for (subject, table) in reader.all(&keys::WAL_FSYNC_PHASES) {
        let title = format!("p99 of WAL fsync from scrape to scrape, {}", who(&subject));
        if let Some(svg) = chart::phases(&title, &phases(&table), wal) {
            views.push(ChartView {
                title: clean(&title),
                words: "Each bar is a bracket: the p99 lies between its lower and its upper end."
                    .to_owned(),
                svg: markup(svg),
            });
        }
    }
    views
}

fn sizes(table: &Table) -> Vec<chart::Size> {
    table
        .rows
        .iter()
        .filter_map(|row| {
            Some(chart::Size {
                bytes: row.key.parse().ok()?,
                p50: row.get("p50_ms")?,
                p99: row.get("p99_ms")?,
            })
        })
        .collect()
}

fn phases(table: &Table) -> Vec<Phase> {
    table
        .rows
        .iter()
        .filter_map(|row| {
            Some(Phase {
                from: crate::clock::Timestamp::parse(&row.key)?,
                secs: row.get("secs")?,
                low: row.get("p99_low_ms")?,
                high: row.get("p99_high_ms").unwrap_or(f64::INFINITY),
                count: row.get("count").unwrap_or(0.0),
            })
        })
        .collect()
}
