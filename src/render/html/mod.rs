//! The report as one self-contained HTML page: no script, no request, nothing from a log unescaped.

mod chart;
mod measured;
mod text;

use std::collections::BTreeMap;
use std::io::{self, Write};

use minijinja::value::Value;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use crate::advise::Strength;
use crate::diagnosis::{Cause, Mark, Role};
use crate::evidence::{Citation, Subject};
use crate::playbook;
use crate::report::Report;
use crate::report::counts::counts;
use crate::rules::{self, Finding, Severity, Status};

use super::advice::headline;
use super::diagnose::cited;
use super::load::{LoadRow, load};

use chart::{Lane, Span};
use measured::{ChartView, charts};

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");

/// Markup of our own, which the template must not escape.
fn markup(html: String) -> Value {
    Value::from_safe_string(html)
}

#[derive(Serialize)]
struct Page {
    title: String,
    style: Value,
    program: &'static str,
    at: String,
    profile: String,
    input: String,
    tone: &'static str,
    cause: &'static str,
    headline: &'static str,
    sure: Option<String>,
    summary: String,
    readings: Vec<String>,
    first: Option<String>,
    next: Option<String>,
    causes: Vec<CauseView>,
    alternatives: Vec<(String, String, String)>,
    cleared: Vec<(String, String)>,
    timeline: Option<Value>,
    first_sign: Option<String>,
    happened: Vec<HappenedView>,
    resources: Vec<ResourceView>,
    resources_more: usize,
    resources_words: String,
    charts: Vec<ChartView>,
    findings: Vec<FindingView>,
    counts: [usize; 4],
    advice: Vec<AdviceView>,
    refused: Vec<(String, String)>,
    diffs: Vec<DiffView>,
    unknown: Vec<(String, String)>,
    missing: Vec<String>,
    problems: Vec<String>,
    sources: Vec<[String; 4]>,
}

#[derive(Serialize)]
struct CauseView {
    cause: &'static str,
    role: &'static str,
    sure: String,
    summary: String,
    client: Option<String>,
    evidence: Vec<CitedView>,
}

#[derive(Serialize)]
struct CitedView {
    subject: String,
    key: String,
    value: String,
    source: String,
    window: String,
}

#[derive(Serialize)]
struct HappenedView {
    from: String,
    to: String,
    who: String,
    kind: String,
    count: u64,
    worst: String,
    detail: String,
}

#[derive(Serialize)]
struct ResourceView {
    resource: String,
    cells: Vec<String>,
    share: String,
}

#[derive(Serialize)]
struct FindingView {
    rule: String,
    subject: String,
    severity: &'static str,
    confidence: &'static str,
    message: String,
    threshold: String,
    accepted: Option<String>,
    evidence: Vec<CitedView>,
    playbook: Option<Value>,
}

#[derive(Serialize)]
struct AdviceView {
    headline: String,
    strength: &'static str,
    disposition: &'static str,
    confidence: &'static str,
    parts: Vec<(&'static str, String)>,
    rules: Vec<String>,
}

#[derive(Serialize)]
struct DiffView {
    file: String,
    lines: Vec<(&'static str, String)>,
}

/// Writes the page.
pub fn html(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment
        .add_template("page", TEMPLATE)
        .map_err(io::Error::other)?;
    let template = environment.get_template("page").map_err(io::Error::other)?;
    let page = page(report);
    let html = template
        .render(minijinja::value::Serde(&page))
        .map_err(io::Error::other)?;
    out.write_all(html.as_bytes())
}

fn page(report: &Report) -> Page {
    let diagnosis = &report.diagnosis;
    let verdict = &diagnosis.verdict;
    let (timeline, first_sign, happened) = happened(report);
    let (resources, resources_more, resources_words) = resources(report);
    let (yes, no): (Vec<_>, Vec<_>) = report
        .advice
        .iter()
        .partition(|a| a.strength != Strength::Refused);
    let first = yes
        .iter()
        .find(|a| a.strength == Strength::Recommended)
        .map(|a| headline(a));
    let next = match (&first, diagnosis.alternatives.first()) {
        (Some(_), _) => None,
        (None, _) if verdict.cause == Cause::None => Some("nothing to do".to_owned()),
        (None, Some(other)) => Some(format!("look at {}", other.settle)),
        (None, None) if verdict.missing.is_empty() => None,
        (None, None) => Some(format!(
            "give more evidence: {}",
            verdict.missing.join(", ")
        )),
    };
    Page {
        title: format!("etcd-doctor: {}", verdict.cause.word()),
        style: markup(STYLE.to_owned()),
        program: env!("CARGO_PKG_VERSION"),
        at: report.at.to_string(),
        profile: clean(&report.profile),
        input: clean(&report.input.join(", ")),
        tone: match verdict.cause {
            Cause::None => "good",
            Cause::Unknown => "doubt",
            _ => "bad",
        },
        cause: verdict.cause.word(),
        headline: verdict.cause.headline(),
        sure: (verdict.cause != Cause::Unknown || verdict.confidence > 0.0)
            .then(|| percent(verdict.confidence)),
        summary: clean(&verdict.summary),
        readings: diagnosis
            .causes
            .first()
            .map(|cause| {
                cause
                    .evidence
                    .iter()
                    .take(3)
                    .map(|c| clean(&cited(c)))
                    .collect()
            })
            .unwrap_or_default(),
        first: first.map(|text| clean(&text)),
        next: next.map(|text| clean(&text)),
        causes: diagnosis
            .causes
            .iter()
            .map(|cause| CauseView {
                cause: cause.cause.word(),
                role: match cause.role {
                    Role::Primary => "primary",
                    Role::Contributing => "contributing",
                    Role::Consequence => "consequence",
                },
                sure: percent(cause.confidence),
                summary: clean(&cause.summary),
                client: match (&cause.client, &cause.client_unknown) {
                    (Some(client), _) => Some(clean(&format!(
                        "{} ({}, by {}): {}",
                        client.name,
                        percent(client.confidence),
                        client.source.words(),
                        client.why
                    ))),
                    (None, Some(why)) => Some(clean(&format!("not known: {why}"))),
                    (None, None) => None,
                },
                evidence: cause.evidence.iter().map(citation).collect(),
            })
            .collect(),
        alternatives: diagnosis
            .alternatives
            .iter()
            .map(|a| {
                (
                    format!("{} ({})", a.cause.word(), percent(a.confidence)),
                    clean(&a.why),
                    clean(&a.settle),
                )
            })
            .collect(),
        cleared: diagnosis
            .ruled_out
            .iter()
            .map(|r| (r.cause.word().to_owned(), clean(&r.why)))
            .collect(),
        timeline,
        first_sign,
        happened,
        resources,
        resources_more,
        resources_words,
        charts: charts(report),
        findings: report.failures().into_iter().map(finding).collect(),
        counts: [
            report.count(Status::Fail),
            report.count(Status::Pass),
            report.count(Status::Unknown),
            report.count(Status::NotApplicable),
        ],
        advice: yes.into_iter().map(advice).collect(),
        refused: no
            .into_iter()
            .map(|a| (clean(&headline(a)), clean(&a.why)))
            .collect(),
        diffs: diffs(report),
        unknown: report
            .findings
            .iter()
            .filter(|f| f.status == Status::Unknown)
            .map(|f| (f.rule.clone(), clean(&f.message)))
            .collect(),
        missing: verdict.missing.clone(),
        problems: report.seen.problems.iter().map(|p| clean(p)).collect(),
        sources: report
            .seen
            .sources
            .iter()
            .map(|s| {
                let time = |at: Option<crate::clock::Timestamp>| {
                    at.map_or_else(|| "–".to_owned(), |at| at.to_string())
                };
                [
                    s.collector.word().to_owned(),
                    s.readings.to_string(),
                    time(s.window.from),
                    time(s.window.to),
                ]
            })
            .collect(),
    }
}

/// Control characters and those that reorder text are shown, not sent; the template escapes the
/// rest.
fn clean(text: &str) -> String {
    super::safe(text)
}

/// A share in percent, whatever a forged file says.
fn share(of: f64) -> f64 {
    if of.is_finite() {
        (of * 100.0).clamp(0.0, 100.0)
    } else {
        0.0
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn citation(c: &Citation) -> CitedView {
    CitedView {
        subject: clean(&c.subject.to_string()),
        key: clean(&c.key),
        value: clean(&c.value),
        source: clean(&c.origin.source),
        window: match (c.window.from, c.window.to) {
            (Some(from), Some(to)) => format!("{from} to {to}"),
            _ => String::new(),
        },
    }
}

fn finding(finding: &Finding) -> FindingView {
    let page = rules::rule(&finding.rule).and_then(|rule| playbook::page(rule.playbook));
    FindingView {
        rule: clean(&finding.rule),
        subject: clean(&finding.subject.to_string()),
        severity: finding.severity.word(),
        confidence: finding.confidence.word(),
        message: clean(&finding.message),
        threshold: clean(&finding.threshold),
        accepted: finding.accepted.as_ref().map(|a| {
            let over = if a.expired { ", which is over" } else { "" };
            clean(&format!("accepted until {}{over}: {}", a.until, a.reason))
        }),
        evidence: finding.evidence.iter().map(citation).collect(),
        // What is only good to know carries no page: `explain` has it.
        playbook: page
            .filter(|_| finding.severity >= Severity::Warn)
            .map(|page| markup(text::markdown(page.text))),
    }
}

fn advice(advice: &crate::advise::Advice) -> AdviceView {
    use crate::advise::Disposition;
    AdviceView {
        headline: clean(&headline(advice)),
        strength: match advice.strength {
            Strength::Recommended => "recommended",
            Strength::Candidate => "candidate",
            Strength::Refused => "refused",
        },
        disposition: match advice.disposition {
            Disposition::Safe => "safe",
            Disposition::Disruptive => "restarts something",
            Disposition::ShowOnly => "by hand",
        },
        confidence: advice.confidence.word(),
        parts: [
            ("why", &advice.why),
            ("expect", &advice.effect),
            ("risk", &advice.risk),
            ("undo", &advice.undo),
            ("verify", &advice.verify),
            ("source", &advice.source),
        ]
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(label, text)| (label, clean(text)))
        .collect(),
        rules: advice.finding_ids.clone(),
    }
}

fn diffs(report: &Report) -> Vec<DiffView> {
    let files = report.patch.iter().flat_map(|patch| &patch.files);
    files
        .filter(|file| file.path.ends_with(".diff"))
        .map(|file| DiffView {
            file: clean(file.path.trim_end_matches(".diff")),
            lines: file
                .content
                .lines()
                .map(|line| {
                    let class = match line.as_bytes().first() {
                        Some(b'+') => "add",
                        Some(b'-') => "del",
                        Some(b'@') => "at",
                        _ => "",
                    };
                    (class, clean(line))
                })
                .collect(),
        })
        .collect()
}

fn resources(report: &Report) -> (Vec<ResourceView>, usize, String) {
    const SHOWN: usize = 15;
    let rows = load(report);
    let words =
        counts(&report.evidence).map_or_else(String::new, |c| clean(&c.sentences.join(" ")));
    let most = rows.first().map_or(1.0, LoadRow::weight);
    let number = |n: Option<f64>, digits: usize| {
        n.map_or_else(|| "–".to_owned(), |n| format!("{n:.digits$}"))
    };
    let views = rows
        .iter()
        .take(SHOWN)
        .map(|row| ResourceView {
            resource: clean(&row.name()),
            cells: vec![
                number(row.requests, 0),
                number(row.lists, 0),
                number(row.writes, 0),
                number(row.seconds, 1),
                number(row.slow, 0),
                number(row.slow_lists, 0),
                number(row.slow_seconds, 1),
            ],
            share: format!("{:.1}", share(row.weight() / most)),
        })
        .collect();
    (views, rows.len().saturating_sub(SHOWN), words)
}

/// What happened on all components, on one axis, the first sign of the primary cause marked.
fn happened(report: &Report) -> (Option<Value>, Option<String>, Vec<HappenedView>) {
    /// Lanes that a reader can take in.
    const LANES: usize = 24;
    let mut lanes: BTreeMap<(String, String), Lane> = BTreeMap::new();
    let mut rows = Vec::new();
    let mut first_sign = None;
    for entry in &report.diagnosis.timeline {
        let who = who(&entry.subject);
        let worst = entry.max_ms.map(crate::units::format_ms);
        let mut words = format!("{} to {}: {}×", entry.from, entry.to, entry.count);
        if let Some(worst) = &worst {
            words.push_str(", worst ");
            words.push_str(worst);
        }
        if !entry.detail.is_empty() {
            words.push_str(", ");
            words.push_str(&entry.detail);
        }
        let first = entry.mark == Mark::FirstCause;
        if first {
            first_sign = Some(clean(&format!(
                "{} · {who}, at {}",
                entry.kind,
                entry.from.to_second()
            )));
        }
        // Starts, stops and the like of a component share one lane: they are seldom what is
        // looked for.
        let told = first
            || !entry.planned && matches!(entry.nature.as_str(), "fault" | "symptom" | "request");
        let (kind, class) = if told {
            (entry.kind.as_str(), "sign")
        } else {
            words.insert_str(0, &format!("{}, ", entry.kind));
            ("starts, stops, changes", "note")
        };
        let lane = lanes
            .entry((who.clone(), kind.to_owned()))
            .or_insert_with(|| Lane {
                label: format!("{kind} · {who}"),
                class,
                spans: Vec::new(),
            });
        if first {
            lane.class = "first";
        }
        lane.spans.push(Span {
            from: entry.from,
            to: entry.to,
            words,
        });
        rows.push(HappenedView {
            from: entry.from.to_string(),
            to: entry.to.to_string(),
            who: clean(&who),
            kind: clean(&entry.kind),
            count: entry.count,
            worst: worst.unwrap_or_default(),
            detail: clean(&entry.detail),
        });
    }
    let mut lanes: Vec<Lane> = lanes.into_values().collect();
    lanes.sort_by_key(|lane| lane.spans.iter().map(|s| s.from).min());
    let mut over = lanes.len().saturating_sub(LANES);
    lanes.retain(|lane| {
        let drop = over > 0 && lane.class == "note";
        over -= usize::from(drop);
        !drop
    });
    // The lane of the first sign stays, however late it begins.
    while lanes.len() > LANES {
        let Some(at) = lanes.iter().rposition(|lane| lane.class != "first") else {
            break;
        };
        lanes.remove(at);
    }
    rows.truncate(400);
    let title = "What happened when (UTC)";
    let svg = chart::timeline(title, &lanes, false)
        .zip(chart::timeline(title, &lanes, true))
        .map(|(wide, narrow)| {
            markup(format!(
                "<div class=\"wide\">{wide}</div><div class=\"narrow\">{narrow}</div>"
            ))
        });
    (svg, first_sign, rows)
}

fn who(subject: &Subject) -> String {
    match (&subject.name, &subject.node) {
        (name, _) if name.is_empty() => subject.kind.word().to_owned(),
        (name, Some(node)) if !node.is_empty() => format!("{name}@{node}"),
        (name, _) => format!("{} {name}", subject.kind.word()),
    }
}
