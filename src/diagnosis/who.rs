//! Which client is behind etcd's slow requests: slow lists and changes of etcd find the clients
//! whose requests for the same resource were under way in the same second.
//!
//! A second with one such client is his. With several, each has his share, and the answer is less
//! certain. Clocks of an etcd member and of kube-apiserver may differ: the shift at which most slow
//! seconds find a client is taken for the difference, if no shift finds clearly less.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::evidence::{EvidenceSet, Reader, Subject, keys};

/// Shifts that are tried, in seconds: clocks that drift, and logs in a local time.
const NEAR: i64 = 30;
const ZONE: i64 = 1_800;
const ZONES: i64 = 28;
/// A shift must explain so much more of the slow time than none.
const CLEARER: f64 = 0.25;
/// Fewer slow seconds than this say nothing about clocks.
const MIN_CELLS: usize = 5;
/// Most clients in a report.
const MOST: usize = 50;

/// How a client is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The audit log names the user agent and the user.
    Audit,
    /// A trace of kube-apiserver names the user agent.
    Trace,
}

impl Source {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Source::Audit => "the audit log",
            Source::Trace => "kube-apiserver's traces",
        }
    }
}

/// Slow requests of etcd that are one client's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlowClient {
    /// Its user agent.
    pub user_agent: String,
    /// Its user; empty where only a trace names the client.
    pub user: String,
    /// How it is known.
    pub source: Source,
    /// Resource of the requests.
    pub resource: String,
    /// `list` or `write`.
    pub class: String,
    /// Slow requests of etcd that are its, by its share of each second.
    pub requests: f64,
    /// Their time in seconds.
    pub slow_secs: f64,
    /// Of the time of all slow requests of the class.
    pub share: f64,
    /// 0 to 1.
    pub confidence: f64,
}

/// An estimate of how far a member's clock is ahead of kube-apiserver's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skew {
    /// The member.
    pub member: String,
    /// Seconds ahead; negative is behind.
    pub secs: i64,
    /// Of its slow time, what finds a client with this shift, and without.
    pub found: f64,
    /// Without any shift.
    pub found_unshifted: f64,
}

/// What was joined.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Joined {
    /// Clients, the most slow time first.
    pub clients: Vec<SlowClient>,
    /// Time of slow lists and of slow changes in seconds, whoever sent them.
    pub slow_secs: f64,
    /// Of it, what no client was found for.
    pub unknown_secs: f64,
    /// Clocks that differ.
    pub skews: Vec<Skew>,
}

/// Who was active in which second.
#[derive(Default)]
struct Active<'e> {
    /// By resource and class, then second: user agent, user, requests.
    cells: BTreeMap<(&'e str, &'e str), BTreeMap<i64, Vec<Caller<'e>>>>,
}

#[derive(Clone, Copy)]
struct Caller<'e> {
    agent: &'e str,
    user: &'e str,
    requests: f64,
}

impl<'e> Active<'e> {
    fn at(&self, cell: &Slow<'e>, shift: i64) -> Option<&Vec<Caller<'e>>> {
        self.cells
            .get(&(cell.resource, cell.class))?
            .get(&(cell.second - shift))
    }
}

/// One second of slow requests.
struct Slow<'e> {
    second: i64,
    resource: &'e str,
    class: &'e str,
    requests: f64,
    secs: f64,
}

/// Joins; nothing where one of the two sides was not read.
pub fn joined(evidence: &EvidenceSet) -> Option<Joined> {
    let reader = Reader::new(evidence);
    let members = reader.all(&keys::LOGS_SLOW_SECONDS);
    let clients = reader.peek(&keys::LOGS_CLIENT_SECONDS, &Subject::cluster())?;
    if members.is_empty() {
        return None;
    }
    let mut audit = Active::default();
    let mut traces = Active::default();
    for row in &clients.rows {
        let mut parts = row.key.splitn(6, '|');
        let mut next = || parts.next().unwrap_or_default();
        let (second, resource, class) = (next(), next(), next());
        let (source, agent, user) = (next(), next(), next());
        let Ok(second) = second.parse() else {
            continue;
        };
        let active = match source {
            "audit" => &mut audit,
            "trace" => &mut traces,
            _ => continue,
        };
        let caller = Caller {
            agent,
            user,
            requests: row.get("requests").unwrap_or(0.0),
        };
        active
            .cells
            .entry((resource, class))
            .or_default()
            .entry(second)
            .or_default()
            .push(caller);
    }
    let mut out = Joined::default();
    let mut found: BTreeMap<Identity<'_>, Sum> = BTreeMap::new();
    let mut totals: BTreeMap<String, f64> = BTreeMap::new();
    for (subject, table) in &members {
        let cells: Vec<Slow<'_>> = table.rows.iter().filter_map(slow).collect();
        let shift = shift(&cells, &audit, &traces);
        if let Some((secs, with, without)) = shift {
            out.skews.push(Skew {
                member: subject.name.clone(),
                secs,
                found: with,
                found_unshifted: without,
            });
        }
        let shift = shift.map_or(0, |(secs, ..)| secs);
        for cell in &cells {
            out.slow_secs += cell.secs;
            *totals.entry(cell.class.to_owned()).or_default() += cell.secs;
            let (source, callers) = match (audit.at(cell, shift), traces.at(cell, shift)) {
                (Some(callers), _) => (Source::Audit, callers),
                (None, Some(callers)) => (Source::Trace, callers),
                (None, None) => {
                    out.unknown_secs += cell.secs;
                    continue;
                }
            };
            let all: f64 = callers.iter().map(|caller| caller.requests).sum();
            for caller in callers {
                let share = caller.requests / all.max(f64::MIN_POSITIVE);
                let sum = found
                    .entry((caller.agent, caller.user, source, cell.resource, cell.class))
                    .or_default();
                sum.requests += cell.requests * share;
                sum.secs += cell.secs * share;
                // How sure the second is, weighted by what it adds.
                sum.sure += cell.secs * share * share;
                sum.seconds.insert(cell.second);
                sum.shifted |= shift != 0;
            }
        }
    }
    out.clients = found
        .into_iter()
        .map(|((agent, user, source, resource, class), sum)| SlowClient {
            user_agent: agent.to_owned(),
            user: user.to_owned(),
            source,
            resource: resource.to_owned(),
            class: class.to_owned(),
            requests: sum.requests,
            slow_secs: sum.secs,
            share: sum.secs
                / totals
                    .get(class)
                    .copied()
                    .unwrap_or(0.0)
                    .max(f64::MIN_POSITIVE),
            confidence: sum.confidence(source),
        })
        .collect();
    out.clients.sort_by(|a, b| {
        b.slow_secs.total_cmp(&a.slow_secs).then_with(|| {
            (&a.user_agent, &a.user, &a.resource).cmp(&(&b.user_agent, &b.user, &b.resource))
        })
    });
    out.clients.truncate(MOST);
    Some(out)
}

type Identity<'e> = (&'e str, &'e str, Source, &'e str, &'e str);

#[derive(Default)]
struct Sum {
    requests: f64,
    secs: f64,
    sure: f64,
    seconds: BTreeSet<i64>,
    shifted: bool,
}

impl Sum {
    fn confidence(&self, source: Source) -> f64 {
        let mut confidence = self.sure / self.secs.max(f64::MIN_POSITIVE);
        // A coincidence in time is no proof, a trace holds the slow calls only, and an estimated
        // shift is one more doubt.
        confidence *= match source {
            Source::Audit => 0.9,
            Source::Trace => 0.8,
        };
        if self.shifted {
            confidence *= 0.8;
        }
        match self.seconds.len() {
            1 => confidence * 0.5,
            2 => confidence * 0.7,
            _ => confidence,
        }
    }
}

fn slow(row: &crate::evidence::Row) -> Option<Slow<'_>> {
    let mut parts = row.key.splitn(3, '|');
    Some(Slow {
        second: parts.next()?.parse().ok()?,
        resource: parts.next()?,
        class: parts.next()?,
        requests: row.get("requests")?,
        secs: row.get("secs")?,
    })
}

/// How far the member's clock is ahead, what the shift finds, and what none finds.
fn shift<'e>(
    cells: &[Slow<'e>],
    audit: &Active<'e>,
    traces: &Active<'e>,
) -> Option<(i64, f64, f64)> {
    let total: f64 = cells.iter().map(|cell| cell.secs).sum();
    if cells.len() < MIN_CELLS || total <= 0.0 {
        return None;
    }
    let found = |shift: i64| {
        let secs: f64 = cells
            .iter()
            .filter(|cell| audit.at(cell, shift).is_some() || traces.at(cell, shift).is_some())
            .map(|cell| cell.secs)
            .sum();
        secs / total
    };
    let without = found(0);
    let zones = (-ZONES..=ZONES).map(|zone| zone * ZONE);
    // The smallest shift that finds most.
    let (best, with) = (-NEAR..=NEAR)
        .chain(zones)
        .map(|shift| (shift, found(shift)))
        .max_by(|a, b| a.1.total_cmp(&b.1).then_with(|| b.0.abs().cmp(&a.0.abs())))?;
    if best != 0 && with >= without + CLEARER {
        return Some((best, with, without));
    }
    // Where a client is active all the time, every shift finds it. What comes and goes together
    // still tells.
    let best = in_step(cells, audit)?;
    Some((best, found(best), without))
}

/// The shift at which slow requests and the audit log's requests of the same resource and class
/// rise and fall together, where it is clearly not zero.
fn in_step(cells: &[Slow<'_>], audit: &Active<'_>) -> Option<i64> {
    /// Fewer cells than this go up and down together by chance.
    const CELLS: usize = 40;
    /// Longest span that is looked at, in seconds.
    const SPAN: i64 = 24 * 3600;
    /// Least correlation, and how much more than at zero.
    const STEP: f64 = 0.3;
    const MORE: f64 = 0.15;
    let (first, last) = (
        cells.iter().map(|cell| cell.second).min()?,
        cells.iter().map(|cell| cell.second).max()?,
    );
    if cells.len() < CELLS || last - first > SPAN {
        return None;
    }
    let mut slow: BTreeMap<(&str, &str), BTreeMap<i64, f64>> = BTreeMap::new();
    for cell in cells {
        *slow
            .entry((cell.resource, cell.class))
            .or_default()
            .entry(cell.second)
            .or_default() += cell.requests;
    }
    let span = (last - first + 1) as f64;
    let correlation = |shift: i64| {
        let (mut both, mut of_slow, mut of_asked) = (0.0, 0.0, 0.0);
        for (key, seconds) in &slow {
            let Some(asked) = audit.cells.get(key) else {
                continue;
            };
            let count = |callers: &Vec<Caller<'_>>| callers.iter().map(|c| c.requests).sum::<f64>();
            let inside = asked.range(first - shift..=last - shift);
            let (sum, squares) = inside
                .map(|(_, callers)| count(callers))
                .fold((0.0, 0.0), |(sum, squares), n| (sum + n, squares + n * n));
            let (slow_sum, slow_squares) = seconds
                .values()
                .fold((0.0, 0.0), |(sum, squares), n| (sum + n, squares + n * n));
            let products: f64 = seconds
                .iter()
                .filter_map(|(at, n)| Some(n * count(asked.get(&(at - shift))?)))
                .sum();
            both += products - sum * slow_sum / span;
            of_slow += slow_squares - slow_sum * slow_sum / span;
            of_asked += squares - sum * sum / span;
        }
        let scale = (of_slow * of_asked).sqrt();
        if scale > 0.0 { both / scale } else { 0.0 }
    };
    let (best, most) = (-NEAR..=NEAR)
        .map(|shift| (shift, correlation(shift)))
        .max_by(|a, b| a.1.total_cmp(&b.1).then_with(|| b.0.abs().cmp(&a.0.abs())))?;
    // A neighbour of zero is within the rounding to seconds.
    (best.abs() > 1 && most >= STEP && most >= correlation(0) + MORE).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Collector, Origin, Row, SubjectKind, Table, Window};

    fn set(
        slow: &[(i64, &str, &str)],
        clients: &[(i64, &str, &str, &str, &str, &str, f64)],
    ) -> EvidenceSet {
        let mut set = EvidenceSet::new();
        let mut rows: Vec<Row> = slow
            .iter()
            .map(|(second, resource, class)| {
                Row::new(format!("{second}|{resource}|{class}"))
                    .num("requests", 2.0)
                    .num("secs", 1.0)
            })
            .collect();
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        let table = |rows| Table {
            rows,
            ..Table::default()
        };
        let origin = || Origin::new(Collector::Logs, "test");
        set.put(
            &keys::LOGS_SLOW_SECONDS,
            Subject::new(SubjectKind::Member, "cp0"),
            Window::default(),
            origin(),
            table(rows),
        );
        let mut rows: Vec<Row> = clients
            .iter()
            .map(|(second, resource, class, source, agent, user, n)| {
                Row::new(format!(
                    "{second}|{resource}|{class}|{source}|{agent}|{user}"
                ))
                .num("requests", *n)
                .num("secs", 1.0)
            })
            .collect();
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        set.put(
            &keys::LOGS_CLIENT_SECONDS,
            Subject::cluster(),
            Window::default(),
            origin(),
            table(rows),
        );
        set
    }

    /// Seconds at odd distances, so that no other shift fits them.
    const AT: [i64; 8] = [100, 101, 107, 118, 134, 155, 181, 212];

    #[test]
    fn the_client_of_the_same_second_and_resource() {
        let slow: Vec<_> = AT.map(|at| (at, "pods", "list")).to_vec();
        let mut clients: Vec<_> = AT
            .map(|at| (at, "pods", "list", "audit", "scraper/1", "sa", 3.0))
            .to_vec();
        clients.extend(AT.map(|at| (at, "pods", "write", "audit", "kubelet/1", "node", 9.0)));
        clients.extend(AT.map(|at| (at, "nodes", "list", "audit", "other/1", "x", 9.0)));
        let found = joined(&set(&slow, &clients)).unwrap();
        assert_eq!(found.clients.len(), 1);
        let one = &found.clients[0];
        assert_eq!(
            (one.user_agent.as_str(), one.user.as_str(), one.source),
            ("scraper/1", "sa", Source::Audit)
        );
        assert!(
            (one.share - 1.0).abs() < 1e-9 && (one.confidence - 0.9).abs() < 1e-9,
            "{one:?}"
        );
        assert!((one.requests - 16.0).abs() < 1e-9);
        assert_eq!((found.unknown_secs, found.skews.len()), (0.0, 0));
    }

    #[test]
    fn shared_seconds_are_less_certain_and_traces_only_where_audit_is_silent() {
        let slow: Vec<_> = AT.map(|at| (at, "pods", "list")).to_vec();
        let clients: Vec<_> = AT
            .iter()
            .flat_map(|at| {
                let traced = (*at, "pods", "list", "trace", "traced/1", "", 1.0);
                if *at > 150 {
                    vec![traced]
                } else {
                    vec![
                        traced,
                        (*at, "pods", "list", "audit", "a/1", "u", 3.0),
                        (*at, "pods", "list", "audit", "b/1", "u", 1.0),
                    ]
                }
            })
            .collect();
        let found = joined(&set(&slow, &clients)).unwrap();
        let of = |agent: &str| {
            found
                .clients
                .iter()
                .find(|c| c.user_agent == agent)
                .unwrap()
        };
        assert!((of("a/1").slow_secs - 3.75).abs() < 1e-9);
        assert!((of("b/1").slow_secs - 1.25).abs() < 1e-9);
        assert!((of("traced/1").slow_secs - 3.0).abs() < 1e-9);
        assert!(of("a/1").confidence < 0.7 && of("b/1").confidence < 0.3);
        assert!((of("traced/1").confidence - 0.8).abs() < 1e-9);
    }

    /// A client that is always there is found at any shift; that it comes in waves tells the clock.
    #[test]
    fn waves_tell_a_clock_where_the_client_is_always_there() {
        let wave = |at: i64| 1.0 + f64::from(u8::from((at * at) % 211 < 60)) * 6.0;
        for ahead in [0, 7, -9] {
            let slow: Vec<_> = (100..300)
                .filter(|at| wave(*at) > 2.0)
                .map(|at| (at + ahead, "pods", "write"))
                .collect();
            let clients: Vec<_> = (50..350)
                .map(|at| (at, "pods", "write", "audit", "writer/1", "sa", wave(at)))
                .collect();
            let found = joined(&set(&slow, &clients)).unwrap();
            let skews: Vec<i64> = found.skews.iter().map(|skew| skew.secs).collect();
            let expected: Vec<i64> = (ahead != 0).then_some(ahead).into_iter().collect();
            assert_eq!(skews, expected);
        }
    }

    #[test]
    fn a_clock_that_differs_is_estimated_and_an_unknown_client_stays_unknown() {
        for ahead in [3, -7, 3600, 19_800] {
            let slow: Vec<_> = AT.map(|at| (at + ahead, "pods", "list")).to_vec();
            let clients: Vec<_> = AT
                .map(|at| (at, "pods", "list", "audit", "scraper/1", "sa", 3.0))
                .to_vec();
            let found = joined(&set(&slow, &clients)).unwrap();
            assert_eq!(found.skews[0].secs, ahead);
            assert!((found.clients[0].share - 1.0).abs() < 1e-9);
            assert!(found.clients[0].confidence < 0.75);
        }
        let slow: Vec<_> = AT.map(|at| (at, "secrets", "list")).to_vec();
        let clients = [(100, "pods", "list", "audit", "scraper/1", "sa", 3.0)];
        let found = joined(&set(&slow, &clients)).unwrap();
        assert!(found.clients.is_empty() && found.skews.is_empty());
        assert_eq!(found.unknown_secs, found.slow_secs);
        assert_eq!(joined(&EvidenceSet::new()), None);
    }
}
