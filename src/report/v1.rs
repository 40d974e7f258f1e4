//! The report's JSON, version 1. Frozen: fields are added, never renamed or removed, and the inner
//! model can change behind it. `etcd-doctor schema report` prints its schema.

mod advised;
mod checked;

use serde::Serialize;

use crate::advise;
use crate::diagnosis;
use crate::evidence::Citation;
use crate::rules;

use super::Report;
pub use advised::AdviceDocument;
pub use checked::{CheckDocument, LevelSeats, ServerSeats};

/// The whole document.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    /// Always `etcd-doctor/report`.
    pub format: &'static str,
    /// Always 1.
    pub version: u32,
    /// The program's release.
    pub program: &'static str,
    /// When the report was made, RFC 3339.
    pub at: String,
    /// What was given, so that a report can be made again.
    pub input: &'a [String],
    /// The profile whose limits were used.
    pub profile: &'a str,
    /// The answer.
    pub verdict: Verdict<'a>,
    /// Causes shown by the evidence, the primary one first.
    pub causes: Vec<Cause<'a>>,
    /// Causes that could also be.
    pub alternatives: Vec<Alternative<'a>>,
    /// Causes that the evidence clears.
    pub ruled_out: Vec<RuledOut<'a>>,
    /// Every rule's answer.
    pub findings: Vec<Finding<'a>>,
    /// What to change, in order.
    pub advice: Vec<Advice<'a>>,
    /// What was looked at and argued against, with the reason in `why`.
    pub not_advised: Vec<Advice<'a>>,
    /// Slow lists and changes of etcd by client: which clients asked for the resource in the same second; null where
    /// etcd's logs or those of kube-apiserver's clients were not read.
    pub slow_clients: Option<&'a diagnosis::who::Joined>,
    /// What happened, over all members and components, in the order of time.
    pub timeline: Vec<TimelineEntry<'a>>,
    /// What was looked at.
    pub seen: Seen<'a>,
    /// The log's counts beside the exact ones, and why they differ; null where there are none.
    pub counts: Option<Counts>,
}

/// The log's counts beside the exact ones.
#[derive(Debug, Serialize)]
pub struct Counts {
    /// Requests that etcd's log tells of, each once.
    pub logged: Option<f64>,
    /// Least number of requests above the threshold, with sampling undone.
    pub estimate_low: Option<f64>,
    /// Largest such number.
    pub estimate_high: Option<f64>,
    /// Slow applies by etcd's own counter over the scrapes.
    pub slow_applies: Option<f64>,
    /// etcd requests as kube-apiserver counted them.
    pub requests: Option<f64>,
    /// The threshold above which etcd logs.
    pub threshold_ms: Option<f64>,
    /// Whether the log holds every request.
    pub complete: bool,
    /// Share of the log's time that the scrapes cover.
    pub shared: Option<f64>,
    /// What follows, one sentence each.
    pub sentences: Vec<String>,
}

impl Counts {
    fn of(counts: super::counts::Counts) -> Self {
        Counts {
            logged: counts.logged,
            estimate_low: counts.estimate.map(|(low, _)| low),
            estimate_high: counts.estimate.map(|(_, high)| high),
            slow_applies: counts.slow_applies,
            requests: counts.requests,
            threshold_ms: counts.threshold_ms,
            complete: counts.complete,
            shared: counts.shared.map(two_digits),
            sentences: counts.sentences,
        }
    }
}

/// Something that happened.
#[derive(Debug, Serialize)]
pub struct TimelineEntry<'a> {
    /// First sign, RFC 3339.
    pub from: String,
    /// Last sign.
    pub to: String,
    /// Who told of it, `kind:name@node`.
    pub subject: String,
    /// Kind of message.
    pub kind: &'a str,
    /// `fault`, `symptom`, `request`, `change`, ….
    pub nature: &'a str,
    /// Signs.
    pub count: u64,
    /// The worst one's size, or null.
    pub max_ms: Option<f64>,
    /// A detail.
    pub detail: &'a str,
    /// Done on purpose.
    pub planned: bool,
    /// Whether it is the first sign of the primary cause.
    pub first_cause: bool,
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct Verdict<'a> {
    /// `disk`, `cpu`, `network`, `query-load`, `space`, `config`, `client-throttling`, `apiserver-saturation`, `none` or `unknown`.
    pub cause: &'static str,
    /// 0 to 1.
    pub confidence: f64,
    /// Whether nothing at or above `warn` was seen in what was looked at.
    pub no_fault_seen: bool,
    /// Kinds of evidence that were not looked at.
    pub missing: &'a [String],
    /// One sentence.
    pub summary: &'a str,
}

/// A reading that carries a finding or a cause.
#[derive(Debug, Serialize)]
pub struct Evidence<'a> {
    /// The key's dotted name.
    pub key: &'a str,
    /// What it is about, `kind:name@node`.
    pub subject: String,
    /// The value in words, with its unit.
    pub value: &'a str,
    /// First moment, RFC 3339, or null.
    pub from: Option<String>,
    /// Last moment, RFC 3339, or null.
    pub to: Option<String>,
    /// Which collector.
    pub collector: &'static str,
    /// File or address.
    pub source: &'a str,
    /// `exact`, `at-least` or `estimate`.
    pub completeness: crate::evidence::Completeness,
    /// The file that it speaks of, as it was read; left out where it is about no single place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<&'a str>,
    /// The line in that file, from 1; left out where only the file is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// `file:line` in its two parts.
fn place(text: Option<&str>) -> (Option<&str>, Option<u32>) {
    let Some(text) = text else {
        return (None, None);
    };
    match text.rsplit_once(':') {
        Some((file, line)) => match line.parse() {
            Ok(line) => (Some(file), Some(line)),
            Err(_) => (Some(text), None),
        },
        None => (Some(text), None),
    }
}

/// One cause.
#[derive(Debug, Serialize)]
pub struct Cause<'a> {
    /// As in the verdict.
    pub cause: &'static str,
    /// `primary`, `contributing` or `consequence`.
    pub role: diagnosis::Role,
    /// 0 to 1.
    pub confidence: f64,
    /// One sentence.
    pub summary: &'a str,
    /// The thing at fault, or null.
    pub subject: Option<String>,
    /// Rules that carry it.
    pub rules: &'a [String],
    /// Readings that carry it.
    pub evidence: Vec<Evidence<'a>>,
    /// The client behind it, or null: where none matters, or none is known.
    pub client: Option<&'a diagnosis::ClientNamed>,
    /// Why no client is named, where one matters; else null.
    pub client_unknown: Option<&'a str>,
}

/// A cause that could also be.
#[derive(Debug, Serialize)]
pub struct Alternative<'a> {
    /// As in the verdict.
    pub cause: &'static str,
    /// 0 to 1.
    pub confidence: f64,
    /// Why it is open.
    pub why: &'a str,
    /// What would settle it.
    pub settle: &'a str,
}

/// A cause that the evidence clears.
#[derive(Debug, Serialize)]
pub struct RuledOut<'a> {
    /// As in the verdict.
    pub cause: &'static str,
    /// What clears it.
    pub why: &'a str,
    /// The readings.
    pub evidence: Vec<Evidence<'a>>,
}

/// A rule's answer about one subject.
#[derive(Debug, Serialize)]
pub struct Finding<'a> {
    /// The rule's id; `etcd-doctor explain ID` says more.
    pub rule: &'a str,
    /// What it is about, `kind:name@node`.
    pub subject: String,
    /// `fail`, `unknown`, `pass` or `not-applicable`.
    pub status: &'static str,
    /// `info`, `warn` or `critical`.
    pub severity: &'static str,
    /// `low`, `medium` or `high`.
    pub confidence: &'static str,
    /// One sentence.
    pub message: &'a str,
    /// The limit with its source, or null.
    pub threshold: Option<&'a str>,
    /// The readings it rests on.
    pub evidence: Vec<Evidence<'a>>,
    /// Why and until when somebody accepted it, or null.
    pub accepted: Option<&'a rules::Accepted>,
}

/// One advice.
#[derive(Debug, Serialize)]
pub struct Advice<'a> {
    /// Stable within a report.
    pub id: &'a str,
    /// Kind of remedy; advice is sorted by it.
    pub remedy: advise::Remedy,
    /// `recommended`, `candidate` or `refused`.
    pub strength: advise::Strength,
    /// Component or thing to change.
    pub target: &'a str,
    /// Setting.
    pub setting: &'a str,
    /// Value now, or null when not known.
    pub now: Option<&'a str>,
    /// Value to set, or what to do.
    pub proposed: &'a str,
    /// Why.
    pub why: &'a str,
    /// What to expect.
    pub effect: &'a str,
    /// `low`, `medium` or `high`.
    pub confidence: &'static str,
    /// What can go wrong.
    pub risk: &'a str,
    /// How to take it back.
    pub undo: &'a str,
    /// How to see that it worked.
    pub verify: &'a str,
    /// `safe`, `disruptive` or `show-only`.
    pub disposition: advise::Disposition,
    /// Rules whose findings ask for it.
    pub finding_ids: &'a [String],
    /// What main etcd is relieved of, or null.
    pub relief: Option<&'a advise::Relief>,
    /// Where the proposed value comes from.
    pub source: &'a str,
    /// How it was settled against other advice.
    pub conflicts: &'a [String],
    /// Parts of the proposal that `patch` needs one by one.
    pub details: &'a std::collections::BTreeMap<String, String>,
}

/// What was looked at.
#[derive(Debug, Serialize)]
pub struct Seen<'a> {
    /// Kinds of evidence.
    pub sources: Vec<Source>,
    /// Runs with an hour or more between them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<String>,
    /// What could not be read.
    pub problems: &'a [String],
}

/// One kind of evidence.
#[derive(Debug, Serialize)]
pub struct Source {
    /// Which collector.
    pub collector: &'static str,
    /// Readings it gave.
    pub readings: usize,
    /// First moment, or null.
    pub from: Option<String>,
    /// Last moment, or null.
    pub to: Option<String>,
}

fn evidence(citations: &[Citation]) -> Vec<Evidence<'_>> {
    citations
        .iter()
        .map(|c| {
            let (file, line) = place(c.place.as_deref());
            Evidence {
                key: &c.key,
                subject: c.subject.to_string(),
                value: &c.value,
                from: c.window.from.map(|t| t.to_string()),
                to: c.window.to.map(|t| t.to_string()),
                collector: c.origin.collector.word(),
                source: &c.origin.source,
                completeness: c.origin.completeness,
                file,
                line,
            }
        })
        .collect()
}

fn entry(entry: &diagnosis::Entry) -> TimelineEntry<'_> {
    TimelineEntry {
        from: entry.from.to_string(),
        to: entry.to.to_string(),
        subject: entry.subject.to_string(),
        kind: &entry.kind,
        nature: &entry.nature,
        count: entry.count,
        max_ms: entry.max_ms,
        detail: &entry.detail,
        planned: entry.planned,
        first_cause: entry.mark == diagnosis::Mark::FirstCause,
    }
}

fn two_digits(confidence: f64) -> f64 {
    (confidence * 100.0).round() / 100.0
}

impl<'a> Document<'a> {
    /// The document of a report.
    pub fn of(report: &'a Report) -> Self {
        let diagnosis = &report.diagnosis;
        Document {
            format: "etcd-doctor/report",
            version: 1,
            program: env!("CARGO_PKG_VERSION"),
            at: report.at.to_string(),
            input: &report.input,
            profile: &report.profile,
            verdict: Verdict {
                cause: diagnosis.verdict.cause.word(),
                confidence: two_digits(diagnosis.verdict.confidence),
                no_fault_seen: diagnosis.verdict.no_fault_seen,
                missing: &diagnosis.verdict.missing,
                summary: &diagnosis.verdict.summary,
            },
            causes: diagnosis
                .causes
                .iter()
                .map(|c| Cause {
                    cause: c.cause.word(),
                    role: c.role,
                    confidence: two_digits(c.confidence),
                    summary: &c.summary,
                    subject: c.subject.as_ref().map(ToString::to_string),
                    rules: &c.rules,
                    evidence: evidence(&c.evidence),
                    client: c.client.as_ref(),
                    client_unknown: c.client_unknown.as_deref(),
                })
                .collect(),
            alternatives: diagnosis
                .alternatives
                .iter()
                .map(|a| Alternative {
                    cause: a.cause.word(),
                    confidence: two_digits(a.confidence),
                    why: &a.why,
                    settle: &a.settle,
                })
                .collect(),
            ruled_out: diagnosis
                .ruled_out
                .iter()
                .map(|r| RuledOut {
                    cause: r.cause.word(),
                    why: &r.why,
                    evidence: evidence(&r.evidence),
                })
                .collect(),
            findings: report.findings.iter().map(finding).collect(),
            advice: strength(report, |s| s != advise::Strength::Refused),
            not_advised: strength(report, |s| s == advise::Strength::Refused),
            counts: super::counts::counts(&report.evidence).map(Counts::of),
            slow_clients: diagnosis.who.as_ref(),
            timeline: diagnosis.timeline.iter().map(entry).collect(),
            seen: Seen {
                sources: report
                    .seen
                    .sources
                    .iter()
                    .map(|s| Source {
                        collector: s.collector.word(),
                        readings: s.readings,
                        from: s.window.from.map(|t| t.to_string()),
                        to: s.window.to.map(|t| t.to_string()),
                    })
                    .collect(),
                runs: report
                    .seen
                    .runs
                    .iter()
                    .filter_map(|run| Some(format!("{}/{}", run.from?, run.to?)))
                    .collect(),
                problems: &report.seen.problems,
            },
        }
    }
}

fn strength(report: &Report, keep: impl Fn(advise::Strength) -> bool) -> Vec<Advice<'_>> {
    report
        .advice
        .iter()
        .filter(|a| keep(a.strength))
        .map(advice)
        .collect()
}

fn finding(f: &rules::Finding) -> Finding<'_> {
    Finding {
        rule: &f.rule,
        subject: f.subject.to_string(),
        status: f.status.word(),
        severity: f.severity.word(),
        confidence: f.confidence.word(),
        message: &f.message,
        threshold: (!f.threshold.is_empty()).then_some(f.threshold.as_str()),
        evidence: evidence(&f.evidence),
        accepted: f.accepted.as_ref(),
    }
}

fn advice(a: &advise::Advice) -> Advice<'_> {
    Advice {
        id: &a.id,
        remedy: a.remedy,
        strength: a.strength,
        target: &a.target,
        setting: &a.setting,
        now: a.now.as_deref(),
        proposed: &a.proposed,
        why: &a.why,
        effect: &a.effect,
        confidence: a.confidence.word(),
        risk: &a.risk,
        undo: &a.undo,
        verify: &a.verify,
        disposition: a.disposition,
        finding_ids: &a.finding_ids,
        relief: a.relief.as_ref(),
        source: &a.source,
        conflicts: &a.conflicts,
        details: &a.details,
    }
}
