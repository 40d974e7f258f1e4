//! What main etcd would be relieved of if a resource moved out: from counters that count
//! everything, else from logs that hold slow requests only.

use crate::evidence::{Completeness, Row, Table, keys};

use super::super::advice::{Bound, Relief};
use super::super::facts::Facts;

/// Load by resource, from the best source there is.
pub(super) struct Load {
    /// Rows by `resource.group`.
    table: Table,
    /// What its numbers are worth.
    pub(super) bound: Bound,
    /// The source in words.
    pub(super) source: &'static str,
}

impl Load {
    /// From kube-apiserver's own counters of its etcd requests, else from etcd's log.
    pub(super) fn of(facts: &Facts<'_>) -> Option<Load> {
        let metrics = facts
            .summed(&keys::APISERVER_ETCD_REQUESTS)
            .filter(|table| table.total("requests") > 0.0);
        if let Some(table) = metrics {
            return Some(Load {
                table,
                bound: Bound::Exact,
                source: "kube-apiserver's counters of its etcd requests",
            });
        }
        let table = facts
            .summed(&keys::LOGS_REQUESTS)
            .filter(|table| table.total("requests") > 0.0)?;
        let evidence = facts.input.evidence;
        let complete = evidence
            .of_key(&keys::LOGS_REQUESTS)
            .all(|record| record.origin.completeness == Completeness::Exact)
            && facts
                .all(&keys::LOGS_SLOW_COMPLETE)
                .iter()
                .any(|(_, complete)| *complete);
        Some(Load {
            table,
            bound: if complete {
                Bound::Exact
            } else {
                Bound::UpperBound
            },
            source: if complete {
                "etcd's log, which holds every request"
            } else {
                "etcd's log, which holds slow requests only"
            },
        })
    }

    /// Resources by falling share of the seconds that moving them would take away.
    pub(super) fn resources(&self) -> Vec<(&str, Relief)> {
        let mut all: Vec<(&str, Relief)> = self
            .table
            .rows
            .iter()
            .filter(|row| !row.key.is_empty() && row.key != "other" && row.key != "unknown")
            .map(|row| (row.key.as_str(), self.relief(row)))
            .collect();
        all.sort_by(|a, b| {
            weight(&b.1)
                .total_cmp(&weight(&a.1))
                .then_with(|| a.0.cmp(b.0))
        });
        all
    }

    /// The relief from moving one resource.
    pub(super) fn of_resource(&self, resource: &str) -> Option<Relief> {
        self.table.row(resource).map(|row| self.relief(row))
    }

    /// The share of count polls, which read no object and are no reason to move anything.
    pub(super) fn counts_share(&self) -> f64 {
        share(self.table.total("counts"), self.table.total("requests")).unwrap_or(0.0)
    }

    fn relief(&self, row: &Row) -> Relief {
        // Count polls, revision probes and health checks stay out of the numerator: they cost
        // etcd next to nothing, and `other` is what no shape was found for.
        let real = sum(row, &["lists", "gets", "writes"]);
        let (seconds, gets, columns) = if self.table.total("total_secs") > 0.0 {
            ("total_secs", "get_secs", ["list_secs", "write_secs"])
        } else {
            let columns = ["list_slow_secs", "write_slow_secs"];
            ("slow_secs", "get_slow_secs", columns)
        };
        let no_gets = row.get("gets").is_none_or(|gets| gets == 0.0);
        let heavy = match row.get(gets) {
            Some(secs) => Some(secs + sum(row, &columns).unwrap_or(0.0)),
            // Evidence of an earlier version does not tell the time of gets.
            None => sum(row, &columns).filter(|_| no_gets),
        };
        // Without the split by shape, the row's seconds count by its share of real requests.
        let heavy = heavy.or_else(|| {
            let real = share(real?, row.get("requests")?)?;
            Some(row.get(seconds)? * real)
        });
        Relief {
            bound: self.bound,
            requests: real.and_then(|real| share(real, self.table.total("requests"))),
            slow_seconds: heavy.and_then(|secs| share(secs, self.table.total(seconds))),
            bytes: row
                .get("bytes")
                .and_then(|bytes| share(bytes, self.table.total("bytes"))),
            writes: row
                .get("writes")
                .and_then(|writes| share(writes, self.table.total("writes"))),
        }
    }
}

/// What a relief weighs: the share of seconds, else of requests.
pub(super) fn weight(relief: &Relief) -> f64 {
    relief.slow_seconds.or(relief.requests).unwrap_or(0.0)
}

/// Writes a second of the first of these resources that kube-apiservers counted, one decimal.
pub(super) fn writes_per_sec(facts: &Facts<'_>, resources: &[&str]) -> Option<f64> {
    let key = &keys::APISERVER_ETCD_REQUESTS;
    let mut sum: Option<f64> = None;
    for (subject, table) in facts.all(key) {
        let row = resources.iter().find_map(|resource| table.row(resource));
        let Some(writes) = row.and_then(|row| row.get("writes")) else {
            continue;
        };
        let secs = facts
            .covered_secs(key, &subject)
            .filter(|secs| *secs > 0.0)?;
        *sum.get_or_insert(0.0) += writes / secs;
    }
    sum.map(|per_sec| (per_sec * 10.0).round() / 10.0)
}

/// A relief in words, with the word that its bound deserves.
pub(super) fn words(relief: &Relief) -> String {
    let seconds = match relief.bound {
        Bound::Exact => "of the time etcd spends",
        Bound::UpperBound => "of the slow-seconds",
    };
    let parts: Vec<String> = [
        (relief.requests, "of requests"),
        (relief.slow_seconds, seconds),
        (relief.writes, "of writes"),
        (relief.bytes, "of response bytes"),
    ]
    .into_iter()
    .filter_map(|(share, what)| Some(format!("{} {what}", percent(share?))))
    .collect();
    let parts = parts.join(", ");
    match relief.bound {
        Bound::Exact => parts,
        Bound::UpperBound => format!("at most {parts}"),
    }
}

/// A share for people.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 10.0 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

fn sum(row: &Row, columns: &[&str]) -> Option<f64> {
    let known: Vec<f64> = columns.iter().filter_map(|c| row.get(c)).collect();
    (!known.is_empty()).then(|| known.iter().sum())
}

fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0 && part.is_finite()).then(|| (part / whole).clamp(0.0, 1.0))
}
