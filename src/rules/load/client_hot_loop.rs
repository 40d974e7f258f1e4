//! A client asks at a high, steady rate, and much of it changes nothing: it asks for objects that are
//! gone, or reads the same object again and again. It does not wait for changes, it spins. One that
//! writes at such a rate is at work as far as anybody can tell, and worth a note.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::evidence::{Completeness, Missing, Row, Subject, SubjectKind, keys};
use crate::rules::audit;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "client-hot-loop",
    summary: "a client repeats requests at a high, steady rate",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "client-hot-loop",
    check,
};

/// The aspect of a client that asks for what is gone.
pub const GONE: &str = "gone";
/// The aspect of a client that reads an object again and again.
pub const READS: &str = "reads";
/// The aspect of a client whose writes of an object are refused again and again.
pub const REFUSED: &str = "refused";
/// The aspect of a client that writes one object at a high, steady rate: a note, as nothing shows that its
/// writes change nothing.
pub const WRITES: &str = "writes";

/// A rate that is so many times the plateau of one log is that of several.
const SPREAD: f64 = 1.5;

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let rate_limit = cx.profile.limit("hot-loop-rate");
    let share_limit = cx.profile.limit("hot-loop-404-share");
    let mut drafts = Vec::new();
    let (subject, secs, clients) = match audit::clients(cx) {
        Ok(audit) => audit,
        // The apiserver's counts do not say who, but they say that somebody does.
        Err(why) => {
            let judged = from_metrics(cx, &mut drafts).ok_or(why)?;
            if judged == 0 {
                return Err(Missing::NotEnough {
                    why: "what kube-apiserver counted since its start is no rate: it needs two scrapes"
                        .to_owned(),
                });
            }
            return Ok(Verdict::Fail(drafts));
        }
    };
    for client in &clients {
        // By the pace of its own time, where a client did not ask all the time.
        let own = paced(cx, client, |row| row.get("max_per_sec"));
        let rate = (client.requests / secs).max(own.unwrap_or(0.0));
        if rate < rate_limit.value {
            continue;
        }
        // What fits that rate: the time in which it asked, not that of the whole log.
        let asked_secs = client.requests / rate;
        let gone = client.not_found / client.requests.max(1.0);
        let same = same_object(cx, client, secs, rate_limit.value);
        let (aspect, severity, tail) = match same {
            _ if gone >= share_limit.value && !client.is_core() => {
                (GONE, Severity::Warn, gone_words(gone))
            }
            Some(same) if same.spins => (same.aspect, Severity::Warn, same.words),
            // Parts of Kubernetes ask for much, and for what is gone; none of it for one object all the time.
            Some(same) if !client.is_core() => (same.aspect, Severity::Info, same.words),
            _ => continue,
        };
        let pinned = pinned(cx, client, rate);
        let mut rows: Vec<_> = client.rows.iter().collect();
        rows.sort_by(|a, b| {
            b.get("requests")
                .unwrap_or(0.0)
                .total_cmp(&a.get("requests").unwrap_or(0.0))
        });
        let what: Vec<String> = rows
            .iter()
            .take(2)
            .filter_map(|row| {
                Some(format!(
                    "{} {}",
                    row.get_text("verb")?,
                    row.get_text("resource")?
                ))
            })
            .collect();
        let words = format!(
            "{}: {:.0} requests in {asked_secs:.0} s ({rate:.1}/s){pinned}, {:.0} of them 404 ({:.0} %)",
            client.name(),
            client.requests,
            client.not_found,
            gone * 100.0
        );
        cx.evidence
            .cite_as(&keys::LOGS_AUDIT_CLIENTS, &subject, words);
        drafts.push(
            Draft::new(
                Subject::new(SubjectKind::Client, client.name()),
                severity,
                format!(
                    "{} sends {rate:.1} requests/s{pinned} ({}), {tail}",
                    client.name(),
                    what.join(", "),
                ),
            )
            .aspect(aspect)
            // Equal gaps alone may be the pace at which answers come.
            .confidence(match aspect {
                GONE => Confidence::High,
                _ => Confidence::Medium,
            })
            .threshold(format!("{}/s; {}", rate_limit.words(), share_limit.words()))
            .cites(cx.evidence.take_citations()),
        );
    }
    // A loop that no single client of the audit log shows is in the counts all the same.
    if drafts.iter().all(|draft| draft.has_aspect(WRITES)) {
        from_metrics(cx, &mut drafts);
    }
    Ok(Verdict::Fail(drafts))
}

fn gone_words(share: f64) -> String {
    format!("{:.0} % of them for objects that are gone", share * 100.0)
}

/// What was asked for one resource, of all kube-apiservers together.
#[derive(Default)]
struct Asked {
    requests: f64,
    gone: f64,
    gone_per_sec: f64,
    of: Vec<(Subject, String)>,
}

/// Resources that somebody asks for at a high rate although they are gone; a client's requests may be
/// spread over all kube-apiservers. How many of those were judged; `None` without counts.
fn from_metrics(cx: &Context<'_>, drafts: &mut Vec<Draft>) -> Option<usize> {
    let rate_limit = cx.profile.limit("gone-rate");
    let share_limit = cx.profile.limit("hot-loop-404-share");
    let tables = cx.evidence.some(&keys::APISERVER_REQUESTS).ok()?;
    let whose = match audit::clients(cx) {
        Ok(_) => ", and no client of the audit log stands out",
        Err(_) => ", and the audit log would name it",
    };
    cx.evidence.take_citations();
    let mut by: BTreeMap<String, Asked> = BTreeMap::new();
    let mut judged = 0;
    for (subject, table) in &tables {
        let record = cx.evidence.record(&keys::APISERVER_REQUESTS, subject);
        // A start asks for much that is not there yet: what was counted since is no rate.
        let record = record.filter(|r| r.origin.completeness != Completeness::Estimate);
        let Some(secs) = record.and_then(|r| r.secs()).filter(|n| *n > 0.0) else {
            continue;
        };
        judged += 1;
        let mut own: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for row in &table.rows {
            let Some((_, resource)) = row.key.split_once(' ') else {
                continue;
            };
            let resource = resource.split('/').next().unwrap_or(resource);
            let (requests, gone) = own.entry(resource).or_default();
            *requests += row.get("requests").unwrap_or(0.0);
            *gone += row.get("not_found").unwrap_or(0.0);
        }
        for (resource, (requests, gone)) in own {
            let asked = by.entry(resource.to_owned()).or_default();
            asked.requests += requests;
            asked.gone += gone;
            asked.gone_per_sec += gone / secs;
            let words = format!(
                "{gone:.0} of {requests:.0} requests for {resource} in {secs:.0} s ({:.1}/s) are for objects \
                 that are gone",
                gone / secs
            );
            asked.of.push((subject.clone(), words));
        }
    }
    for (resource, asked) in by {
        let share = asked.gone / asked.requests.max(1.0);
        if asked.gone_per_sec < rate_limit.value || share < share_limit.value {
            continue;
        }
        let words = match asked.of.as_slice() {
            [(_, words)] => words.clone(),
            of => format!(
                "{:.0} of {:.0} requests for {resource} through {} kube-apiservers ({:.1}/s) are for objects \
                 that are gone",
                asked.gone,
                asked.requests,
                of.len(),
                asked.gone_per_sec
            ),
        };
        for (subject, words) in &asked.of {
            cx.evidence
                .cite_as(&keys::APISERVER_REQUESTS, subject, words.clone());
        }
        drafts.push(
            Draft::new(
                Subject::new(SubjectKind::Resource, resource),
                Severity::Warn,
                format!("{words}: some client spins{whose}"),
            )
            .confidence(Confidence::Medium)
            .threshold(format!("{}/s; {}", rate_limit.words(), share_limit.words()))
            .cites(cx.evidence.take_citations()),
        );
    }
    Some(judged)
}

/// An object that a client asks for at a high, steady rate.
struct Same {
    rate: f64,
    /// Whether so many of the requests change nothing that they make a loop by themselves.
    spins: bool,
    aspect: &'static str,
    words: String,
}

/// The object that the client asks for most, where that is a steady rate; one that it asks for without
/// changing anything comes before all that it writes.
fn same_object(cx: &Context<'_>, client: &audit::Client, secs: f64, least: f64) -> Option<Same> {
    let table = cx
        .evidence
        .peek(&keys::LOGS_AUDIT_OBJECTS, &Subject::cluster())?;
    let own: Vec<&Row> = table
        .rows
        .iter()
        .filter(|row| {
            row.get_text("user_agent") == Some(client.user_agent.as_str())
                && row.get_text("user") == Some(client.user.as_str())
        })
        .collect();
    let steady = own.iter().filter_map(|row| {
        let steady = row.get("max_steady_per_sec").filter(|rate| *rate > 0.0)?;
        // Its own rate is that of one log; a client whose requests are spread over several kube-apiservers
        // is in several.
        let rate = steady.max(row.get("requests").unwrap_or(0.0) / secs);
        (rate >= least).then(|| same(client, &own, row, rate, least))
    });
    steady.max_by(|a, b| {
        (a.spins, a.rate)
            .partial_cmp(&(b.spins, b.rate))
            .unwrap_or(Ordering::Equal)
    })
}

fn same(client: &audit::Client, own: &[&Row], row: &Row, rate: f64, least: f64) -> Same {
    let text = |name| row.get_text(name).unwrap_or("?");
    let (verb, resource, object) = (text("verb"), text("resource"), text("object"));
    let requests = row.get("requests").unwrap_or(0.0).max(1.0);
    if matches!(verb, "get" | "list") {
        // Whoever writes an object reads it before.
        let written: f64 = own
            .iter()
            .filter(|other| {
                other.get_text("object") == Some(object)
                    && other.get_text("resource") == Some(resource)
                    && !matches!(other.get_text("verb"), Some("get" | "list" | "watch"))
            })
            .map(|other| other.get("requests").unwrap_or(0.0) * (1.0 - refused(client, other)))
            .sum();
        let idle = rate * (1.0 - written / requests).max(0.0);
        if idle >= least {
            return Same {
                rate: idle,
                spins: true,
                aspect: READS,
                words: format!(
                    "{idle:.1}/s of them to read {resource} {object}, at equal gaps and without a write"
                ),
            };
        }
    }
    let idle = rate * refused(client, row);
    if idle >= least {
        return Same {
            rate: idle,
            spins: true,
            aspect: REFUSED,
            words: format!(
                "{idle:.1}/s of them for {resource} {object}, at equal gaps and answered 404 or 409"
            ),
        };
    }
    Same {
        rate,
        spins: false,
        aspect: WRITES,
        words: format!(
            "{rate:.1}/s of them for {resource} {object}, at equal gaps; as far as the audit log tells they change something"
        ),
    }
}

/// The share of the requests for an object that were answered 404 or 409. Conflicts are counted by verb
/// and resource, not by object.
fn refused(client: &audit::Client, row: &Row) -> f64 {
    let share = |row: &Row, column| {
        row.get(column).unwrap_or(0.0) / row.get("requests").unwrap_or(0.0).max(1.0)
    };
    let same = |other: &&Row| {
        ["verb", "resource"]
            .iter()
            .all(|name| other.get_text(name) == row.get_text(name))
    };
    let conflicts = client
        .rows
        .iter()
        .find(same)
        .map(|all| share(all, "conflicts"));
    (share(row, "not_found") + conflicts.unwrap_or(0.0)).min(1.0)
}

/// What the reading of a client's pace says.
fn paced<T>(
    cx: &Context<'_>,
    client: &audit::Client,
    what: impl FnOnce(&Row) -> Option<T>,
) -> Option<T> {
    let table = cx
        .evidence
        .peek(&keys::LOGS_AUDIT_PACE, &Subject::cluster())?;
    let row = table.rows.iter().find(|row| {
        row.get_text("user_agent") == Some(client.user_agent.as_str())
            && row.get_text("user") == Some(client.user.as_str())
    })?;
    what(row)
}

/// `, pinned at 10/s in 97 % of its seconds`, where it is. Of a client whose requests are spread over
/// several logs the plateau is that of one of them, and says nothing of all.
fn pinned(cx: &Context<'_>, client: &audit::Client, rate: f64) -> String {
    let words = paced(cx, client, |row| {
        let plateau = row.get("max_plateau_per_sec")?;
        (rate < plateau * SPREAD).then_some(())?;
        Some(format!(
            ", pinned at {plateau:.0}/s in {:.0} % of its seconds",
            row.get("max_plateau_share")? * 100.0
        ))
    });
    words.unwrap_or_default()
}

#[cfg(test)]
mod tests;
