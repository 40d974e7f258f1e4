//! The plan's parts in their order, and the result that they fill.

use std::path::Path;

use crate::bench::Progress;
use crate::bench::stats::spread;
use crate::clock::Clock;
use crate::formats::bench::disk::{DiskBench, FORMAT, Plan, VERSION};

use super::emulate::{self, Class, Measured, Rig};
use super::host::Host;

/// Runs a plan. Whatever ends it early, what was measured by then is in the result.
pub fn run(
    plan: &Plan,
    rig: &Rig,
    host: &dyn Host,
    progress: &dyn Progress,
    clock: Clock,
) -> DiskBench {
    let mut result = DiskBench {
        format: FORMAT.to_owned(),
        version: VERSION,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        started: Some(clock.now()),
        plan: plan.clone(),
        ground: host.ground(Path::new(&plan.wal_dir)),
        db_ground: plan
            .db_dir
            .as_deref()
            .map(|dir| host.ground(Path::new(dir))),
        ..DiskBench::default()
    };
    rounds(plan, rig, progress, &mut result);
    if result.partial.is_none() {
        result.partial = rig.cancel.reason();
    }
    result.ended = Some(clock.now());
    result
}

fn rounds(plan: &Plan, rig: &Rig, progress: &dyn Progress, result: &mut DiskBench) {
    let mut total = Measured::default();
    for number in 1..=plan.rounds {
        if rig.cancel.stopped() {
            break;
        }
        let name = format!("round {number} of {}", plan.rounds);
        let left = f64::from(plan.rounds + 1 - number) * (plan.round_secs + plan.warm_up_secs);
        progress.at(&name, left);
        let run = emulate::Run {
            name: &name,
            plan,
            arrivals: plan.arrivals,
            secs: plan.round_secs,
            with_db: !plan.wal_only,
            class: Class::Other,
            seed: plan.seed + u64::from(number),
        };
        let (measured, failed) = emulate::run(rig, &run);
        if measured.sync.count() > 0 {
            total.add(&measured);
            result.rounds.push(measured.round(&name));
        }
        if let Some(err) = failed {
            result.partial = Some(format!("{name}: {err}"));
            break;
        }
    }
    if total.sync.count() > 0 {
        result.total = Some(total.round("all rounds"));
    }
    let p99s: Vec<f64> = result
        .rounds
        .iter()
        .filter_map(|round| round.sync.p99_ms())
        .collect();
    result.spread = spread(&p99s);
}
