//! `compare A B`: before and after, of benches and of diagnoses, with the spread taken into account.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::bench::collect;
use crate::bundle;
use crate::error::Error;
use crate::evidence::{Collector, EvidenceSet};
use crate::exit::Exit;
use crate::formats::bench::disk::{DiskBench, FORMAT, VERSION};
use crate::render;
use crate::report::compare::compare;
use crate::report::compare_runs::{Run, Said, compare_runs};

use super::common::{FailOn, Format, Session};
use super::diagnose;

/// What a result says it is.
#[derive(serde::Deserialize)]
struct Named {
    format: String,
}

/// Most bytes of a result.
const MAX_BYTES: u64 = 256 << 20;

/// Arguments of `compare`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  etcd-doctor bench disk --dir /data --save before.json   (change something)
  etcd-doctor bench disk --dir /data --save after.json
  etcd-doctor compare before.json after.json --fail-on worse
  etcd-doctor diagnose --save before.zst                  (change something, wait)
  etcd-doctor diagnose --save after.zst
  etcd-doctor compare before.zst after.zst --fail-on worse")]
pub struct Args {
    /// Before: a saved run of `diagnose` or `bench disk`, or what one of them wrote with --format json
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// After
    #[arg(value_name = "B")]
    pub b: PathBuf,
}

/// One side.
#[derive(Default)]
struct Side {
    evidence: EvidenceSet,
    run: Option<Run>,
    /// Whether the evidence is that of the run.
    whole: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<Exit, Error> {
    let (a, b) = (read(&args.a, session)?, read(&args.b, session)?);
    let names = [&args.a, &args.b].map(|path| path.display().to_string());
    let mut comparison = compare(names, &a.evidence, &b.evidence);
    match (&a.run, &b.run) {
        (Some(before), Some(after)) => {
            let evidence = (a.whole && b.whole).then_some((&a.evidence, &b.evidence));
            compare_runs(before, after, evidence, &mut comparison);
            if evidence.is_none() {
                comparison.doubts.push(
                    "a report holds findings and no distributions: one near its limit may change by chance; \
                     saved runs (--save) tell that apart"
                        .to_owned(),
                );
            }
        }
        (None, None) => {}
        (one, _) => comparison.doubts.push(format!(
            "only {} is a run of diagnose",
            if one.is_some() { "A" } else { "B" }
        )),
    }
    if comparison.is_empty() {
        return Err(Error::Nothing {
            what: "the two sides hold neither rounds of a bench nor runs of diagnose to compare".to_owned(),
            hint: "compare two files of one kind: `bench disk --save` or `diagnose --save`, or their --format json"
                .to_owned(),
        });
    }
    match session.format {
        Format::Json => session.json(&comparison)?,
        Format::Table => render::compared(session.out, session.terminal, &comparison)?,
    }
    Ok(if session.fail_on == FailOn::Worse && comparison.worse() {
        Exit::Findings
    } else if comparison.in_common() {
        Exit::Clean
    } else {
        session.note("the two sides have nothing in common: nothing was compared");
        Exit::Incomplete
    })
}

/// A report as `diagnose --format json` wrote it: what is needed of it.
#[derive(serde::Deserialize)]
struct ReportFile {
    version: u32,
    verdict: ReportVerdict,
    findings: Vec<ReportFinding>,
}

#[derive(serde::Deserialize)]
struct ReportVerdict {
    cause: String,
    #[serde(default)]
    missing: Vec<String>,
}

#[derive(serde::Deserialize)]
struct ReportFinding {
    rule: String,
    subject: String,
    status: String,
    severity: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    accepted: Option<ReportAccepted>,
}

#[derive(serde::Deserialize)]
struct ReportAccepted {
    expired: bool,
}

impl ReportFile {
    fn run(self) -> Run {
        Run {
            cause: self.verdict.cause,
            missing: self.verdict.missing,
            findings: self
                .findings
                .into_iter()
                .map(|finding| Said {
                    rule: finding.rule,
                    subject: finding.subject,
                    status: finding.status,
                    severity: finding.severity,
                    message: finding.message,
                    rests_on: vec![],
                    accepted: finding.accepted.is_some_and(|accepted| !accepted.expired),
                })
                .collect(),
        }
    }
}

/// One side, whatever kind of file it is.
fn read(path: &Path, session: &Session<'_>) -> Result<Side, Error> {
    let unreadable = |source| Error::Evidence {
        path: path.to_owned(),
        source,
    };
    let wrong = |why: String| Error::Format {
        path: path.to_owned(),
        why,
    };
    let newer = |version: u32| {
        wrong(format!(
            "saved by a newer release (format version {version})"
        ))
    };
    #[expect(clippy::disallowed_methods, reason = "the user named this file")]
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(wrong("too large for a result".to_owned()));
    }
    // Other programs may have put the fields in another order.
    let format = serde_json::from_slice::<Named>(&bytes).map(|named| named.format);
    match format.as_deref() {
        Ok(FORMAT) => {
            let result: DiskBench =
                serde_json::from_slice(&bytes).map_err(|err| wrong(err.to_string()))?;
            if result.version > VERSION {
                return Err(newer(result.version));
            }
            Ok(Side {
                evidence: collect::disk(&result),
                ..Side::default()
            })
        }
        Ok("etcd-doctor/report") => {
            let report: ReportFile =
                serde_json::from_slice(&bytes).map_err(|err| wrong(err.to_string()))?;
            if report.version > 1 {
                return Err(newer(report.version));
            }
            Ok(Side {
                run: Some(report.run()),
                ..Side::default()
            })
        }
        Ok(other) if other.starts_with("etcd-doctor/b") && other != bundle::FORMAT => {
            Err(wrong(format!(
                "a result of the format `{other}`: of benches only those of `bench disk` that \
                 measured are compared, neither watched nor replayed ones nor `bench etcd`"
            )))
        }
        _ => {
            let saved = bundle::load(bytes.as_slice()).map_err(|why| {
                wrong(format!(
                    "neither a saved run nor a result of `bench disk` or `diagnose` ({why})"
                ))
            })?;
            let diagnosed = saved
                .evidence
                .records()
                .any(|record| record.origin.collector != Collector::Bench);
            let run = match diagnosed {
                true => Some(judged(&saved.evidence, session)?),
                false => None,
            };
            Ok(Side {
                evidence: saved.evidence,
                run,
                whole: true,
            })
        }
    }
}

/// What the rules say about saved evidence today: both sides by the same rules and limits.
fn judged(evidence: &EvidenceSet, session: &Session<'_>) -> Result<Run, Error> {
    let profile = diagnose::profile("base")?;
    let report = diagnose::judge(
        evidence.clone(),
        vec![],
        vec![],
        &profile,
        session.clock.now(),
    );
    Ok(Run::of(&report))
}
