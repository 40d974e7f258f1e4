//! `bench etcd`: a bounded load on a live cluster, and what it says about it.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::PossibleValuesParser;

use crate::bench::etcd::address::Address;
use crate::bench::etcd::bench::{self, Access, Failure};
use crate::bench::etcd::check_perf;
use crate::bench::etcd::cluster::Target;
use crate::bench::etcd::collect;
use crate::bench::etcd::keyspace::ValueSize;
use crate::bench::etcd::plan::{CheckPerf, Plan};
use crate::bench::etcd::session::{Machine, Surroundings};
use crate::bench::etcd::shape::Shape;
use crate::bench::etcd::workload::Workload;
use crate::bundle;
use crate::error::Error;
use crate::etcd::Dialer;
use crate::exit::Exit;
use crate::formats::bench::etcd::BenchEtcd;
use crate::formats::cpu::parse_cpu;
use crate::metrics::fetch::{self, FetchLimits, Fetcher};
use crate::render;
use crate::target::HostRoot;
use crate::target::etcd::Discovered;

use super::super::common::{Format, Session};
use super::super::etcd_access::EtcdArgs;
use super::super::save;

/// Arguments of `bench etcd`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
It writes under /etcd-doctor-bench/ only, to a bounded number of keys with leases, and deletes them
at the end; killed, the leases delete them. It compacts and defragments nothing, so the history of
what it wrote stays in the database until the cluster's next compaction.

Examples:
  etcd-doctor bench etcd --endpoints http://127.0.0.1:2379 --clients 100 --connections 10
  etcd-doctor bench etcd --workload mixed --rate 2000 --duration 60s     with the latency that users see
  etcd-doctor bench etcd --workload put --rate 5000 --shape ramp         where does it bend?
  etcd-doctor bench etcd --check-perf                                    highest class of `etcdctl check perf`")]
pub struct Args {
    /// What to do
    #[arg(long, value_name = "NAME", default_value = "put", value_parser = PossibleValuesParser::new(Workload::ALL.map(|w| w.1)), help_heading = "Load")]
    pub workload: String,
    /// The loads and criteria of `etcdctl check perf`: one class, or the highest that passes
    #[arg(long, value_name = "CLASS", num_args = 0..=1, default_missing_value = "highest", value_parser = ["s", "m", "l", "xl", "highest"], conflicts_with_all = ["workload", "clients", "connections", "rate", "shape", "total", "key_size", "value_size"], help_heading = "Load")]
    pub check_perf: Option<String>,
    /// Who gets it: leader, all, or a member by name, id or address
    #[arg(
        long,
        value_name = "WHO",
        default_value = "leader",
        help_heading = "Load"
    )]
    pub target: String,
    /// Requests at once
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=10_000), help_heading = "Load")]
    pub clients: u64,
    /// Connections that the clients share; by default one for ten clients
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000), help_heading = "Load")]
    pub connections: Option<u64>,
    /// How long; 10 s by default, 60 s a class with --check-perf
    #[arg(long, value_name = "TIME", value_parser = parse_time, help_heading = "Load")]
    pub duration: Option<Duration>,
    /// End after so many requests
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "rate", help_heading = "Load")]
    pub total: Option<u64>,
    /// Begin so many requests a second whether or not etcd keeps up (open loop); without it, each client begins when its last request was answered
    #[arg(long, value_name = "N", value_parser = parse_rate, help_heading = "Load")]
    pub rate: Option<f64>,
    /// How the rate changes: constant, ramp (10 to 100 %), spike (a third, then all for a fifth of the time), wave
    #[arg(long, value_name = "SHAPE", default_value = "constant", requires_ifs = [("ramp", "rate"), ("spike", "rate"), ("wave", "rate")], value_parser = PossibleValuesParser::new(Shape::ALL.map(|s| s.1)), help_heading = "Load")]
    pub shape: String,
    /// Load before anything is recorded
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_warm_up, help_heading = "Load")]
    pub warm_up: Duration,
    /// Keys that are written over and over
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000), help_heading = "Load")]
    pub keys: u64,
    /// Bytes of a key, its prefix included
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(48..=4096), help_heading = "Load")]
    pub key_size: u32,
    /// Bytes of a value, or `objects`: a mix as of Kubernetes objects; 256, and objects for `mixed`
    #[arg(long, value_name = "BYTES", value_parser = parse_value_size, help_heading = "Load")]
    pub value_size: Option<ValueSize>,
    /// Let any member answer reads by itself; by default reads are linearizable
    #[arg(long, help_heading = "Load")]
    pub serializable: bool,
    /// Keys in a page of the workload `page`
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(i64).range(1..=100_000), help_heading = "Load")]
    pub page: i64,
    /// Load a cluster that holds keys of others
    #[arg(long, help_heading = "Safety")]
    pub i_know_this_is_production: bool,
    /// Stop when the database grew by this; 1 GiB by default, 128 MiB where others have keys, never beyond 60 % of the quota
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = "Safety")]
    pub max_db_growth: Option<u64>,
    /// Write keys without leases, to compare with published numbers; on a scratch cluster only
    #[arg(long, help_heading = "Safety")]
    pub no_lease: bool,
    /// How long keys outlive this program if it is killed; each thousand keys a second longer
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_ttl, help_heading = "Safety")]
    pub lease_ttl: i64,
    /// Also write what was measured to a bundle, for `diagnose --bundle`
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// How to reach etcd
    #[command(flatten)]
    pub etcd: EtcdArgs,
}

fn parse_between(text: &str, low: Duration, high: Duration) -> Result<Duration, String> {
    crate::units::parse_go_duration(text.as_bytes())
        .map(Duration::from_nanos)
        .filter(|time| (low..=high).contains(time))
        .ok_or_else(|| format!("`{text}` is not a time from {low:?} to {high:?}, such as 30s"))
}

fn parse_time(text: &str) -> Result<Duration, String> {
    parse_between(text, Duration::from_millis(100), Duration::from_secs(3600))
}

fn parse_warm_up(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    parse_between(text, Duration::ZERO, Duration::from_secs(60))
}

fn parse_ttl(text: &str) -> Result<i64, String> {
    parse_between(text, Duration::from_secs(5), Duration::from_secs(3600))
        .map(|time| i64::try_from(time.as_secs()).unwrap_or(60))
}

fn parse_rate(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|rate| (0.1..=1e6).contains(rate))
        .ok_or_else(|| format!("`{text}` is not a rate from 0.1 to 1000000 a second"))
}

fn parse_size(text: &str) -> Result<u64, String> {
    crate::units::parse_bytes(text)
        .filter(|bytes| *bytes >= 1 << 20)
        .ok_or_else(|| format!("`{text}` is not a size from 1MiB on, such as 500MiB"))
}

/// etcd refuses requests above 1.5 MiB by default (`--max-request-bytes`).
const LARGEST_VALUE: u64 = 1 << 20;

fn parse_value_size(text: &str) -> Result<ValueSize, String> {
    if text == "objects" {
        return Ok(ValueSize::Objects);
    }
    crate::units::parse_bytes(text)
        .filter(|bytes| *bytes <= LARGEST_VALUE)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .map(ValueSize::Bytes)
        .ok_or_else(|| format!("`{text}` is neither `objects` nor a size up to 1MiB"))
}

impl Args {
    fn plan(&self, run: String) -> Plan {
        let workload = Workload::ALL
            .into_iter()
            .find(|(_, name)| *name == self.workload)
            .map_or(Workload::Put, |(workload, _)| workload);
        let shape = Shape::ALL
            .into_iter()
            .find(|(_, name)| *name == self.shape)
            .map_or(Shape::Constant, |(shape, _)| shape);
        let check_perf = self
            .check_perf
            .as_deref()
            .map(|name| check_perf::class(name).map_or(CheckPerf::Highest, CheckPerf::Class));
        let default_time = if check_perf.is_some() {
            check_perf::TIME
        } else {
            Duration::from_secs(10)
        };
        let connections = self
            .connections
            .unwrap_or(self.clients.div_ceil(10))
            .min(self.clients);
        let (clients, connections) = match check_perf {
            Some(CheckPerf::Class(class)) => (u64::from(class.clients), u64::from(class.clients)),
            _ => (self.clients, connections),
        };
        Plan {
            workload,
            check_perf,
            clients,
            connections,
            target: match self.target.as_str() {
                "leader" => Target::Leader,
                "all" => Target::All,
                name => Target::Member(name.to_owned()),
            },
            // With a number of requests, the time is only a bound.
            time: self.duration.unwrap_or(if self.total.is_some() {
                Duration::from_secs(3600)
            } else {
                default_time
            }),
            total: self.total,
            rate: self.rate,
            shape,
            warm_up: self.warm_up,
            keys: self.keys,
            key_size: usize::try_from(self.key_size).unwrap_or(64),
            values: self.value_size.unwrap_or(if workload == Workload::Mixed {
                ValueSize::Objects
            } else {
                ValueSize::Bytes(256)
            }),
            serializable: self.serializable,
            page: self.page,
            leased: !self.no_lease,
            lease_ttl: self.lease_ttl,
            production: self.i_know_this_is_production,
            max_growth: self.max_db_growth,
            limit: self.etcd.command_timeout,
            run,
        }
    }
}

/// Runs the command.
pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<Exit, Error> {
    session.catch_signals()?;
    let root = HostRoot::live();
    let found = args.etcd.resolve(&root)?;
    let begun = session.clock.now();
    // Unique enough to tell two runs on one cluster apart.
    let name = format!("{:x}-{:x}", begun.secs(), std::process::id());
    let plan = args.plan(name);
    let access = access(&found, session)?;
    let mut around = Live {
        fetcher: fetcher(&found)?,
        root,
        talks: std::io::stderr().is_terminal(),
    };
    let result = bench::run(&plan, &access, &session.stop, &mut around)
        .map_err(|err| failure(err, &found, session))?;
    if let Some(path) = &args.save {
        save(path, &result, begun, session)?;
    }
    match session.format {
        Format::Table => render::bench_etcd(session.out, session.terminal, &result)?,
        Format::Json => session.json(&result)?,
    }
    Ok(session.stopped().unwrap_or(exit(&result)))
}

/// A check that did not pass is a finding; a run that was ended to protect the cluster is one too.
fn exit(result: &BenchEtcd) -> Exit {
    let failed = result.check_perf.as_ref().is_some_and(|check| {
        if check.asked == "highest" {
            check.highest.is_none()
        } else {
            check.classes.iter().any(|class| class.verdict != "pass")
        }
    });
    let hurt = result
        .runs
        .iter()
        .any(|run| run.ended.as_ref().is_some_and(|ended| ended.kind == "hurt"));
    if failed || hurt {
        Exit::Findings
    } else {
        Exit::Clean
    }
}

fn failure(failure: Failure, found: &Discovered, session: &Session<'_>) -> Error {
    match failure {
        Failure::Unreachable { target, why } => {
            let (target, why) = knock(found, session).unwrap_or((target, why));
            Error::Unreachable { target, why }
        }
        Failure::Refused(refusal) => Error::Nothing {
            what: refusal.what,
            hint: refusal.hint,
        },
        Failure::Failed(why) => Error::Nothing {
            what: format!("the bench could not be made: {why}"),
            hint: "see `etcd-doctor check etcd`".to_owned(),
        },
    }
}

/// Why no endpoint answers, in the words of `check etcd`; `None` where the doors are open, so that the
/// trouble lies behind them.
fn knock(found: &Discovered, session: &Session<'_>) -> Option<(String, String)> {
    let dialer = Dialer::new(found.access.clone(), session.clock).ok()?;
    let runtime = crate::etcd::runtime().ok()?;
    let reasons: Vec<(String, String)> = runtime.block_on(async {
        let mut reasons = Vec::new();
        for endpoint in &found.endpoints {
            if let (_, Err(trouble)) = dialer.greet(endpoint).await {
                reasons.push((endpoint.to_string(), trouble.in_full()));
            }
        }
        reasons
    });
    runtime.shutdown_background();
    let mut reasons = reasons.into_iter();
    let (target, why) = reasons.next()?;
    let others = reasons.map(|(other, reason)| format!("; {other}: {reason}"));
    Some((target, std::iter::once(why).chain(others).collect()))
}

fn access(found: &Discovered, session: &Session<'_>) -> Result<Access, Error> {
    let trouble = |trouble: crate::etcd::Trouble| Error::Usage(trouble.in_full());
    let tls = if found.endpoints.iter().any(|endpoint| endpoint.is_tls()) {
        let dialer = Dialer::new(found.access.clone(), session.clock).map_err(trouble)?;
        Some(dialer.tls().map_err(trouble)?)
    } else {
        None
    };
    Ok(Access {
        endpoints: found.endpoints.clone(),
        tls,
        user: found
            .access
            .user
            .as_ref()
            .map(|user| (user.name.clone(), user.password.clone())),
    })
}

fn fetcher(found: &Discovered) -> Result<Fetcher, Error> {
    let access = fetch::Access {
        ca: found.access.ca.as_ref().map(|pem| pem.bytes.clone()),
        cert: found.access.identity.as_ref().map(|i| i.cert.bytes.clone()),
        key: found.access.identity.as_ref().map(|i| i.key.bytes.clone()),
        token: None,
        insecure: found.access.skip_verify,
    };
    let limits = FetchLimits {
        deadline: found.access.command_timeout,
        ..FetchLimits::default()
    };
    Fetcher::new(&access, limits).map_err(|err| Error::Usage(err.to_string()))
}

/// The node and the members' metrics, as they are.
struct Live {
    fetcher: Fetcher,
    root: HostRoot,
    talks: bool,
}

impl Surroundings for Live {
    fn metrics(&mut self, address: &Address) -> Result<Vec<u8>, String> {
        // etcd serves its metrics on the client addresses, whatever --listen-metrics-urls adds.
        let url = address.endpoint.metrics_url().ok_or_else(|| {
            "it is reached over a socket, and metrics are read over TCP only".to_owned()
        })?;
        self.fetcher.get(&url).map_err(|err| err.to_string())
    }

    fn machine(&mut self) -> Option<Machine> {
        let bytes = self.root.read("/proc/stat", 1 << 20).ok()?;
        let times = parse_cpu(&bytes)?;
        Some(Machine {
            busy: times
                .total
                .saturating_sub(times.idle)
                .saturating_sub(times.iowait),
            total: times.total,
            cpus: times.cpus,
        })
    }

    fn progress(&mut self, part: &str, time: Duration) {
        use std::io::Write as _;
        if !self.talks {
            return;
        }
        let mut err = std::io::stderr().lock();
        if time.is_zero() {
            writeln!(err, "etcd-doctor: {part}").ok();
        } else {
            writeln!(err, "etcd-doctor: {part}, {:.0} s", time.as_secs_f64()).ok();
        }
    }
}

fn save(
    path: &Path,
    result: &BenchEtcd,
    begun: crate::clock::Timestamp,
    session: &Session<'_>,
) -> Result<(), Error> {
    let at = session.clock.now();
    let evidence = collect::collect(result, begun, at);
    save::whole(path, |out| bundle::save(out, at, &evidence, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(Debug, clap::Parser)]
    struct Only {
        #[command(flatten)]
        args: Args,
    }

    fn plan(args: &[&str]) -> Plan {
        let only = Only::try_parse_from(std::iter::once(&"x").chain(args)).unwrap();
        only.args.plan("r".to_owned())
    }

    fn refused(args: &[&str]) -> bool {
        Only::try_parse_from(std::iter::once(&"x").chain(args)).is_err()
    }

    #[test]
    fn defaults_are_modest() {
        let plan = plan(&[]);
        assert_eq!(plan.workload, Workload::Put);
        assert_eq!((plan.clients, plan.connections), (32, 4));
        assert_eq!(plan.time, Duration::from_secs(10));
        assert!(plan.leased && !plan.production);
        assert_eq!(plan.values, ValueSize::Bytes(256));
        assert_eq!(plan.target, Target::Leader);
    }

    #[test]
    fn flags_become_a_plan() {
        let mixed = plan(&["--workload", "mixed", "--rate", "50", "--shape", "wave"]);
        assert_eq!(mixed.values, ValueSize::Objects);
        assert_eq!((mixed.rate, mixed.shape), (Some(50.0), Shape::Wave));
        let checked = plan(&["--check-perf"]);
        assert_eq!(checked.check_perf, Some(CheckPerf::Highest));
        assert_eq!(checked.time, check_perf::TIME);
        let small = plan(&["--check-perf", "s"]);
        assert_eq!((small.clients, small.connections), (50, 50));
        assert_eq!(plan(&["--clients=3", "--connections=9"]).connections, 3);
        assert_eq!(plan(&["--total=5"]).total, Some(5));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert!(refused(&["--shape", "ramp"]), "a shape needs a rate");
        assert!(refused(&["--check-perf", "s", "--rate", "5"]));
        assert!(refused(&["--check-perf", "xxl"]));
        assert!(refused(&["--value-size", "2MiB"]));
        assert!(refused(&["--rate", "0"]));
        assert!(refused(&["--key-size", "8"]));
        assert!(refused(&["--lease-ttl", "1s"]));
        assert!(refused(&["--rate", "5", "--total", "5"]));
    }
}
