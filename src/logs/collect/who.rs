//! Who asked when: the seconds by which slow requests and clients find each other, and how
//! steadily clients ask, as evidence.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::evidence::{EvidenceSet, Row, Subject, Table, keys};

use super::super::aggregate::audit::{AuditRow, SEPARATOR};
use super::super::aggregate::seconds::Seconds;
use super::super::view::View;
use super::{Out, num, secs, subject};

/// Most seconds of one reading that evidence keeps, the heaviest first.
const MAX_SECONDS: usize = 3_000;
/// Most clients and objects.
const MAX_PACED: usize = 200;
/// Fewer requests than this for one object are no loop.
const MIN_REPEATS: u64 = 10;
/// What is asked for shorter than this is a burst and no rate: as short as the stretch that makes a pace.
const LASTING_US: i64 = 30_000_000;

/// Whether anything was read that tells who asked kube-apiserver.
pub fn tells_clients(view: &View) -> bool {
    view.audit_records > 0
        || view.audit.seconds.iter().next().is_some()
        || view
            .facts
            .iter()
            .any(|(_, facts)| facts.slow_calls().1.iter().next().is_some())
        || view.has("kube-apiserver")
}

pub(super) fn who(view: &View, out: &Out<'_>, set: &mut EvidenceSet) {
    for (place, load) in &view.loads {
        let rows = cells(&load.tables.seconds, None);
        if rows.is_empty() {
            continue;
        }
        set.put(
            &keys::LOGS_SLOW_SECONDS,
            subject(place),
            out.window,
            out.origin(),
            heaviest(rows),
        );
    }
    let mut rows = cells(&view.audit.seconds, Some("audit"));
    for (_, facts) in &view.facts {
        rows.extend(cells(facts.slow_calls().1, Some("trace")));
    }
    if tells_clients(view) {
        set.put(
            &keys::LOGS_CLIENT_SECONDS,
            Subject::cluster(),
            out.window,
            out.origin(),
            heaviest(rows),
        );
    }
    if view.audit_records == 0 {
        return;
    }
    let mut asked: BTreeMap<(&str, &str), Vec<Asked>> = BTreeMap::new();
    for (key, row) in view.audit.callers.iter() {
        let mut parts = key.split(SEPARATOR);
        let mut next = || parts.next().unwrap_or_default();
        let client = (next(), next());
        asked.entry(client).or_default().extend(Asked::of(row));
    }
    let mut paced: Vec<Row> = view
        .audit
        .clients
        .iter()
        .map(|(key, row)| {
            let (agent, user) = key.split_once(SEPARATOR).unwrap_or((key, ""));
            let out = Row::new(format!("{agent} | {user}"))
                .num("requests", num(row.requests))
                .num("not_found", num(row.not_found))
                .num("throttled", num(row.throttled))
                .num("active_secs", num(row.active_secs()))
                .text("user_agent", agent)
                .text("user", user);
            let busiest = asked.get(&(agent, user)).and_then(|all| busiest(all));
            let out = match busiest {
                Some(rate) => out.num("max_per_sec", rate),
                None => out,
            };
            match row.plateau() {
                Some((rate, share)) => out
                    .num("max_plateau_per_sec", rate)
                    .num("max_plateau_share", share),
                None => out,
            }
        })
        .collect();
    most(&mut paced);
    let mut objects: Vec<Row> = view
        .audit
        .objects
        .iter()
        .filter(|(_, row)| row.requests >= MIN_REPEATS)
        .map(|(key, row)| {
            let mut parts = key.split(SEPARATOR);
            let mut next = || parts.next().unwrap_or_default();
            let (agent, user, verb, resource, object) = (next(), next(), next(), next(), next());
            Row::new(format!("{agent} | {user} | {verb} {resource} {object}"))
                .num("requests", num(row.requests))
                .num("not_found", num(row.not_found))
                .num("max_per_sec", row.rate().unwrap_or(0.0))
                .num("max_steady_per_sec", row.steady_rate().unwrap_or(0.0))
                .text("user_agent", agent)
                .text("user", user)
                .text("verb", verb)
                .text("resource", resource)
                .text("object", object)
        })
        .collect();
    most(&mut objects);
    for (key, rows) in [
        (&keys::LOGS_AUDIT_PACE, paced),
        (&keys::LOGS_AUDIT_OBJECTS, objects),
    ] {
        let table = Table {
            rows,
            ..Table::default()
        };
        set.put(key, Subject::cluster(), out.window, out.origin(), table);
    }
}

/// What a client asked for of one kind, and when.
struct Asked {
    from: Timestamp,
    to: Timestamp,
    requests: f64,
}

impl Asked {
    fn of(row: &AuditRow) -> Option<Self> {
        Some(Asked {
            from: row.first?,
            to: row.last?,
            requests: num(row.all_requests()),
        })
    }

    fn us(&self) -> i64 {
        self.to.since_us(self.from)
    }

    /// How much of it fell into a stretch of time.
    fn within(&self, other: &Asked) -> f64 {
        let (from, to) = (self.from.max(other.from), self.to.min(other.to));
        match (to.since_us(from), self.us()) {
            (us, _) if us < 0 => 0.0,
            (_, 0) => self.requests,
            (us, all) => self.requests * us as f64 / all as f64,
        }
    }
}

/// Requests per second in the busiest of the stretches in which a client asked for something: a loop
/// that began late is as fast. What was asked at different times is not added up, and what lasted some
/// seconds only, as at a start, makes no stretch.
fn busiest(all: &[Asked]) -> Option<f64> {
    let long = all.iter().filter(|asked| asked.us() >= LASTING_US);
    let rates = long.map(|asked| {
        let requests: f64 = all.iter().map(|other| other.within(asked)).sum();
        requests * 1e6 / asked.us() as f64
    });
    rates.reduce(f64::max)
}

/// Rows with the most requests, then sorted by key.
fn most(rows: &mut Vec<Row>) {
    let requests = |row: &Row| row.get("requests").unwrap_or(0.0);
    rows.sort_by(|a, b| {
        requests(b)
            .total_cmp(&requests(a))
            .then_with(|| a.key.cmp(&b.key))
    });
    rows.truncate(MAX_PACED);
    rows.sort_by(|a, b| a.key.cmp(&b.key));
}

fn cells(seconds: &Seconds, origin: Option<&str>) -> Vec<Row> {
    seconds
        .iter()
        .map(|(second, parts, cell)| {
            let mut key = second.to_string();
            for (at, part) in parts.iter().enumerate() {
                // A separator inside a name would make another row of it.
                key.push('|');
                key.push_str(&part.replace('|', "/"));
                if let (1, Some(origin)) = (at, origin) {
                    key.push('|');
                    key.push_str(origin);
                }
            }
            Row::new(key)
                .num("requests", num(cell.requests))
                .num("secs", secs(cell.ns))
                .num("unlimited", num(cell.unlimited))
        })
        .collect()
}

/// The heaviest cells by key; what is dropped is added up.
fn heaviest(mut rows: Vec<Row>) -> Table {
    let weight = |row: &Row| row.get("secs").unwrap_or(0.0);
    rows.sort_by(|a, b| {
        weight(b)
            .total_cmp(&weight(a))
            .then_with(|| a.key.cmp(&b.key))
    });
    let mut other: Option<Row> = None;
    for row in rows.drain(MAX_SECONDS.min(rows.len())..) {
        super::add(other.get_or_insert_with(|| Row::new("other")), &row);
    }
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    rows.dedup_by(|a, b| {
        let same = a.key == b.key;
        if same {
            super::add(b, a);
        }
        same
    });
    Table {
        rows,
        other,
        ..Table::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(from: i64, to: i64, requests: f64) -> Asked {
        Asked {
            from: Timestamp::from_secs(from),
            to: Timestamp::from_secs(to),
            requests,
        }
    }

    #[test]
    fn what_was_asked_at_different_times_is_not_added_up() {
        let rate = |all: &[Asked]| busiest(all);
        // A start that asks 10/s for 10 s, and 2/s for the rest of the time.
        let start = [asked(0, 10, 100.0), asked(0, 100, 200.0)];
        assert_eq!(rate(&start), Some(3.0));
        // A loop of two verbs that began late.
        let late = [
            asked(0, 100, 100.0),
            asked(60, 100, 200.0),
            asked(60, 100, 200.0),
        ];
        assert_eq!(rate(&late), Some(11.0));
        assert_eq!(rate(&[asked(0, 29, 900.0)]), None);
        assert_eq!(
            rate(&[asked(0, 30, 900.0), asked(30, 30, 30.0)]),
            Some(31.0)
        );
    }
}
