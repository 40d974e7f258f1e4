//! What becomes of a result: judged by limits, printed, saved, and an exit code.

use std::path::PathBuf;

use crate::bench::collect;
use crate::bundle;
use crate::cli::common::{FailOn, Format, Session};
use crate::error::Error;
use crate::exit::Exit;
use crate::formats::bench::disk::{DiskBench, Level, Plan};
use crate::profile::Profile;
use crate::render;

use super::super::{diagnose, save};

/// Limits and where the result goes.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Verdict and result")]
pub struct OutcomeArgs {
    /// Limits to judge by: a profile's name, or a TOML file laid over the built-in ones
    #[arg(long, value_name = "NAME|FILE", default_value = "base")]
    pub limits: String,
    /// Save the readings as a bundle, which `diagnose --bundle` and `compare` read
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Make every part of the plan so many times as long
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = factor, hide = true)]
    pub pace: f64,
    /// Allow a short run in a real-time class without being root (needs CAP_SYS_NICE)
    #[arg(long)]
    pub rt: bool,
}

fn factor(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|factor: &f64| (0.01..=100.0).contains(factor))
        .ok_or_else(|| format!("`{text}` is not a factor from 0.01 to 100"))
}

impl OutcomeArgs {
    /// The plan with all its times at the asked pace.
    pub(super) fn paced(&self, plan: Plan) -> Plan {
        Plan {
            warm_up_secs: plan.warm_up_secs * self.pace,
            round_secs: plan.round_secs * self.pace,
            idle_secs: plan.idle_secs * self.pace,
            point_secs: plan.point_secs * self.pace,
            contention_secs: plan.contention_secs * self.pace,
            real_time_secs: plan.real_time_secs * self.pace.min(1.0),
            ..plan
        }
    }

    /// The limits.
    pub(super) fn profile(&self) -> Result<Profile, Error> {
        diagnose::profile(&self.limits)
    }

    /// Whether threads may be put into a real-time class.
    pub(super) fn real_time_allowed(&self) -> bool {
        self.rt || rustix::process::geteuid().is_root()
    }

    /// Prints and saves a result, and says how the run ended.
    pub(super) fn finish(
        &self,
        result: &DiskBench,
        session: &mut Session<'_>,
    ) -> Result<Exit, Error> {
        match session.format {
            Format::Json => session.json(result)?,
            Format::Table => render::bench_disk(session.out, session.terminal, result)?,
        }
        if let Some(path) = &self.save {
            let evidence = collect::disk(result);
            let notes: Vec<String> = result.partial.iter().cloned().collect();
            let at = session.clock.now();
            save::whole(path, |out| bundle::save(out, at, &evidence, &notes))?;
            session.note(&format!("saved the readings to {}", path.display()));
        }
        Ok(exit(result, session))
    }
}

fn exit(result: &DiskBench, session: &Session<'_>) -> Exit {
    if let Some(exit) = session.stopped() {
        return exit;
    }
    let level = result.verdict.level;
    let fails = match session.fail_on {
        FailOn::Never | FailOn::Worse => false,
        FailOn::Critical => matches!(level, Level::NotForEtcd | Level::Unsafe),
        FailOn::Warn => matches!(level, Level::Marginal | Level::NotForEtcd | Level::Unsafe),
    };
    if fails {
        Exit::Findings
    } else if result.partial.is_some() {
        // An error ended it; what was measured is printed.
        Exit::Failed
    } else if session.strict && level == Level::Inconclusive {
        Exit::Incomplete
    } else {
        Exit::Clean
    }
}
