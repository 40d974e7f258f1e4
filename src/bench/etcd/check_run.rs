//! The runs of `check perf`: a probe that tells a class to begin with, then class after class.

use std::time::Duration;

use crate::formats::bench::etcd as saved;

use super::check_perf::{self, Class};
use super::grpc::CallError;
use super::guard::RESERVE;
use super::outcome::told;
use super::plan::{CheckPerf, Plan};
use super::record::{Recorder, together};
use super::session::{Session, Spec, Surroundings, fatal};
use super::shape::{Schedule, Shape};
use super::workload::Workload;

/// How long the run that looks for a class takes.
const PROBE: Duration = Duration::from_secs(5);
/// A class that cannot run for this long within the growth limit is not run.
const SHORTEST: Duration = Duration::from_secs(5);

/// The class that was asked for, or the highest that passes; and the runs that tell.
pub(super) async fn check(
    plan: &Plan,
    asked: CheckPerf,
    bytes_per_write: f64,
    session: &mut Session<'_>,
    around: &mut dyn Surroundings,
) -> Result<(Vec<saved::Run>, saved::CheckPerf), CallError> {
    let mut runs = Vec::new();
    let mut verdict = saved::CheckPerf {
        asked: match asked {
            CheckPerf::Class(class) => class.name.to_owned(),
            CheckPerf::Highest => "highest".to_owned(),
        },
        capacity_per_sec: None,
        highest: None,
        classes: Vec::new(),
    };
    let mut class = match asked {
        CheckPerf::Class(class) => Some(class),
        CheckPerf::Highest => {
            let most = check_perf::CLASSES[check_perf::CLASSES.len() - 1];
            let time = PROBE.min(plan.time);
            // As fast as possible, but no faster than the highest class needs: what is beyond it
            // only fills the database.
            let schedule = Schedule::new(Shape::Constant, f64::from(most.rate), time.as_secs_f64());
            let spec = Spec {
                workload: Workload::Put,
                clients: u64::from(most.clients),
                connections: u64::from(most.clients.min(100)),
                time,
                total: None,
                schedule: Some(schedule),
                queue: None,
                warm_up: Duration::ZERO,
                early: None,
            };
            let measured = session.measure(&spec, around).await?;
            let run = told("probe", &spec, &measured, session);
            let capacity = run.summary.count as f64 / time.as_secs_f64();
            verdict.capacity_per_sec = Some(capacity);
            let over = fatal(&measured.watched);
            runs.push(run);
            (!over).then(|| check_perf::first(capacity))
        }
    };
    while let Some(current) = class.take() {
        let (run, judged, over) =
            one_class(plan, current, bytes_per_write, session, around).await?;
        let passed = judged.verdict == "pass";
        verdict.classes.push(judged);
        runs.push(run);
        if passed {
            verdict.highest = Some(current.name.to_owned());
        } else if asked == CheckPerf::Highest && !over {
            class = check_perf::lower(current);
        }
    }
    Ok((runs, verdict))
}

async fn one_class(
    plan: &Plan,
    class: Class,
    bytes_per_write: f64,
    session: &mut Session<'_>,
    around: &mut dyn Surroundings,
) -> Result<(saved::Run, saved::Class, bool), CallError> {
    let rate = f64::from(class.rate);
    let room = session.allowance() - session.allowance() / RESERVE;
    let room = room.saturating_sub(session.grown()) as f64;
    let fits = Duration::from_secs_f64((room / (rate * bytes_per_write)).min(3600.0));
    let time = plan.time.min(fits.max(SHORTEST));
    let early = move |recorder: &Recorder, elapsed: Duration| {
        check_perf::lost(
            class,
            recorder.answered(),
            recorder.failures(),
            recorder.slowest(),
            elapsed,
            time,
        )
    };
    let spec = Spec {
        workload: Workload::Put,
        clients: u64::from(class.clients),
        connections: u64::from(class.clients),
        time,
        total: None,
        schedule: Some(Schedule::new(Shape::Constant, rate, time.as_secs_f64())),
        queue: Some(u64::from(class.clients)),
        warm_up: Duration::ZERO,
        early: Some(&early),
    };
    let measured = session.measure(&spec, around).await?;
    let mut run = told(
        &format!("check-perf {}", class.name),
        &spec,
        &measured,
        session,
    );
    // The official check counts from the sending.
    let all = together(measured.recorder.service());
    let secs = measured.took.max(Duration::from_millis(1)).as_secs_f64();
    let stats = check_perf::Stats {
        throughput: all.count() as f64 / secs,
        slowest: all.max().unwrap_or(0.0),
        stddev: all.stddev().unwrap_or(0.0),
        errors: measured.recorder.failures(),
    };
    let criteria = check_perf::judge(class, &stats);
    let over = fatal(&measured.watched);
    let verdict = if over {
        "unknown"
    } else if criteria.iter().all(|c| c.pass)
        && measured.watched.reason.is_none()
        && all.count() > 0
    {
        "pass"
    } else {
        "fail"
    };
    let official = time >= check_perf::TIME && measured.watched.reason.is_none();
    if time < plan.time {
        run.doubts.push(format!(
            "{:.0} s instead of {:.0} s: more would have filled the database beyond its bound",
            time.as_secs_f64(),
            plan.time.as_secs_f64()
        ));
    }
    let limited_by = run
        .limits
        .first()
        .map_or_else(String::new, |l| l.limit.clone());
    Ok((
        run,
        saved::Class {
            class: class.name.to_owned(),
            verdict: verdict.to_owned(),
            official,
            criteria: criteria
                .into_iter()
                .map(|c| saved::Criterion {
                    name: c.name.to_owned(),
                    value: c.value,
                    limit: c.limit,
                    pass: c.pass,
                })
                .collect(),
            limited_by,
        },
        over,
    ))
}
