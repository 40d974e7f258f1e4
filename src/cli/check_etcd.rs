//! `check etcd`: a live etcd, member by member, without writing to it.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use crate::advise;
use crate::bundle;
use crate::catalog::settings::{Component, parse_list};
use crate::diagnosis;
use crate::error::Error;
use crate::etcd::{self, Plan, Quotas};
use crate::evidence::{EvidenceSet, Reading, keys};
use crate::exit::Exit;
use crate::manifest::{self, ManifestModel};
use crate::metrics;
use crate::render;
use crate::report::etcd::EtcdOverview;
use crate::report::{Checked, Judged};
use crate::rules::{self, Rule};
use crate::target::etcd::{Access, Discovered, Endpoint};

use super::check::Common;
use super::collect::{Gathered, How};
use super::common::{OutputFormat, Session, node_root};
use super::diagnose;
use super::etcd_access::{EtcdArgs, known};

/// Arguments of `check etcd`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Nothing is written: status, member list and reads of one key that need not exist. Alarms are read \
from the members' status, so a cluster without a leader can be checked.

Examples:
  etcd-doctor check etcd                    on a control-plane node, as root
  etcd-doctor check etcd --window 10m       long enough to say when the database is full
  etcd-doctor check etcd --endpoints https://cp-1:2379 --cacert ca.crt --cert c.crt --key c.key")]
pub struct Args {
    /// What every check looks at
    #[command(flatten)]
    pub common: Common,
    /// How to reach it
    #[command(flatten)]
    pub etcd: EtcdArgs,
    /// Ask only the endpoints given, not the members that they list
    #[arg(long)]
    pub endpoints_only: bool,
    /// Time between the two looks at each member and its metrics
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = super::metrics::parse_window)]
    pub window: Duration,
    /// Compare the members' hashes at one revision: each member walks its whole keyspace
    #[arg(long)]
    pub hash: bool,
    /// Compare hashes only where every database is at most this large
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = size)]
    pub hash_max_size: u64,
    /// Save all evidence to replay it later with --bundle
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
}

fn size(text: &str) -> Result<u64, String> {
    crate::units::parse_bytes(text).ok_or_else(|| format!("`{text}` is not a size such as 512MiB"))
}

/// Families of rules about etcd, and single rules of others.
const FAMILIES: &[&str] = &["raft", "space"];
const RULES: &[&str] = &[
    "backend-commit-slow",
    "certificate-expiring",
    "data-corruption",
    "election-timeouts-unequal",
    "heartbeat-election-mismatch",
    "known-bad-release",
    "peer-rtt-high",
    "quota-above-maximum",
    "quota-default",
    "snapshot-count-high",
    "unsafe-no-fsync",
    "versions-mixed",
    "wal-fsync-slow",
];

/// Runs the command.
pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<Exit, Error> {
    let profile = diagnose::profile(&args.common.profile)?;
    let mut problems = Vec::new();
    let mut had = true;
    let evidence = if args.common.bundle.is_empty() {
        look(args, session, &mut problems, &mut had)?
    } else {
        replay(args, session, &mut problems, &mut had)?
    };
    if let Some(path) = &args.save {
        save(path, session, &evidence, &problems)?;
    }
    let wanted: Vec<&Rule> = rules::FAMILIES
        .iter()
        .flat_map(|(family, rules)| {
            rules
                .iter()
                .copied()
                .filter(move |rule| FAMILIES.contains(family) || RULES.contains(&rule.id))
        })
        .collect();
    let mut findings = rules::run(&wanted, &evidence, &profile);
    problems.extend(args.common.accepted.apply(&mut findings, session)?);
    let diagnosis = diagnosis::diagnose(&evidence, &findings, &profile);
    let advice = advise::advise(&advise::Input {
        evidence: &evidence,
        findings: &findings,
        diagnosis: &diagnosis,
        profile: &profile,
    });
    let checked = Checked {
        findings,
        problems,
        profile: profile.name,
        seats: Vec::new(),
        barriers: Vec::new(),
        etcd: EtcdOverview::of(&evidence),
        advice,
    };
    let judged = Judged::checked(&checked, session.clock.now());
    match session.wanted {
        OutputFormat::Table => {
            if let Some(overview) = &checked.etcd {
                render::etcd_overview(session.out, session.terminal, overview)?;
                writeln!(session.out)?;
            }
            render::checked(session.out, session.terminal, &checked, args.common.all)?;
            render::etcd_advice(session.out, session.terminal, &checked.advice)?;
        }
        OutputFormat::Json => session.json(&checked.document())?,
        OutputFormat::Markdown => render::markdown_checked(session.out, &checked)?,
        OutputFormat::Junit => render::junit(session.out, &judged)?,
        OutputFormat::Sarif => render::sarif(session.out, &judged)?,
        OutputFormat::Prom => render::prom(session.out, &judged)?,
    }
    if let Some(exit) = session.stopped() {
        return Ok(exit);
    }
    let worst = checked
        .findings
        .iter()
        .filter(|f| f.counts())
        .map(|f| f.severity)
        .max();
    Ok(
        if worst.is_some_and(|severity| session.fail_on.matches(severity)) {
            Exit::Findings
        } else if !had || session.strict && !checked.problems.is_empty() {
            Exit::Incomplete
        } else {
            Exit::Clean
        },
    )
}

/// Saved evidence in place of a live etcd.
fn replay(
    args: &Args,
    session: &Session<'_>,
    problems: &mut Vec<String>,
    had: &mut bool,
) -> Result<EvidenceSet, Error> {
    let mut gathered = Gathered::default();
    let how = How {
        clock: session.clock,
        stop: &session.stop,
        threads: 1,
        read: crate::logs::reader::ReadOptions::default(),
        since: None,
        until: None,
    };
    gathered.add_bundles(&args.common.bundle, &how)?;
    let known = gathered
        .evidence
        .of_key(&keys::ETCD_MEMBERS)
        .any(|record| matches!(record.value, Reading::Known(_)));
    if !known {
        return Err(Error::Nothing {
            what: "found no etcd that was asked in what was given".to_owned(),
            hint: "save one with `check etcd --save FILE`".to_owned(),
        });
    }
    problems.append(&mut gathered.problems);
    *had = !gathered.lacks_named;
    Ok(gathered.evidence)
}

/// Settings of this node, the members, and their metrics over the same window. `had` becomes false
/// where something that was asked for by name could not be had.
fn look(
    args: &Args,
    session: &Session<'_>,
    problems: &mut Vec<String>,
    had: &mut bool,
) -> Result<EvidenceSet, Error> {
    let root = node_root(&args.common.root)?;
    let settings = manifest::read_host(&root);
    let found = args.etcd.resolve_with(&root, || known(&settings))?;
    for how in &found.how {
        session.note(how);
    }
    problems.extend(found.denied.iter().cloned());
    let mut plan = Plan::new(found.endpoints.clone(), found.access.clone(), session.clock);
    plan.follow = !args.endpoints_only;
    plan.window = args.window;
    plan.hash = args.hash.then_some(args.hash_max_size);
    session.note(&format!(
        "looking at etcd twice, {} s apart; {}",
        args.window.as_secs_f64(),
        // etcd puts each log-in through its log, as it does a write.
        if found.access.user.is_some() {
            "no key is written, but each log-in is an entry of etcd's log"
        } else {
            "nothing is written"
        }
    ));
    let (model, scraped) = side_by_side(&plan, session);
    let model = model.map_err(|trouble| match trouble.kind {
        // Files of this side: nobody was asked.
        etcd::TroubleKind::Credentials => Error::Usage(trouble.in_full()),
        _ => Error::Unreachable {
            target: targets(&found.endpoints),
            why: trouble.in_full(),
        },
    })?;
    if model.answering().next().is_none() {
        return Err(unreachable(&model, &found));
    }
    *had = had_by_name(args, &found, &model) && hashes_given(&model);
    problems.extend(model.problems.iter().cloned());
    for (endpoint, trouble) in &model.strangers {
        problems.push(format!("{endpoint}: {}", trouble.in_full()));
    }
    let mut scraped = scraped;
    problems.extend(
        scraped
            .faults
            .iter()
            .filter(|fault| fault.kind == metrics::FaultKind::NotReached)
            .map(|fault| format!("metrics of {}: {}", fault.source, fault.what)),
    );
    // Members are told apart by their id: an address may be of any of them.
    for timeline in &mut scraped.timelines {
        let target = &mut timeline.target;
        let id = target
            .member_id
            .as_deref()
            .and_then(|id| u64::from_str_radix(id, 16).ok());
        if let Some(id) = id {
            target.node = Some(model.name_of(id));
            target.instance = None;
        }
    }
    let mut evidence = metrics::collect(&scraped);
    let mut quotas = quotas(&settings, &model);
    quotas.retain(|name, _| {
        !evidence
            .of_key(&keys::DB_QUOTA)
            .any(|record| record.subject.name == *name && matches!(record.value, Reading::Known(_)))
    });
    let own = plan.own_certificate();
    evidence.merge(etcd::collect(&model, own.as_ref(), &quotas));
    evidence.merge(manifest::collect(&of_cluster(settings, &model)));
    Ok(evidence)
}

/// Whether no member that was asked for its hash refused or failed to give it.
fn hashes_given(model: &etcd::Model) -> bool {
    !model
        .members
        .iter()
        .any(|member| matches!(member.hash, Some(Err(_))))
}

/// Whether each address that was given answered, and the user that was given could log in.
fn had_by_name(args: &Args, found: &Discovered, model: &etcd::Model) -> bool {
    let silent = args.etcd.names_endpoints()
        && found
            .endpoints
            .iter()
            .any(|endpoint| model.silent.contains(endpoint));
    let locked_out = found.access.user.is_some()
        && model.members.iter().any(|member| {
            [&member.serializable, &member.linearizable]
                .into_iter()
                .filter_map(|reads| reads.error.as_ref())
                .any(|trouble| trouble.kind == etcd::TroubleKind::Authentication)
        });
    !silent && !locked_out
}

/// The member that an etcd of this node's settings is: they agree on a client address. A name alone
/// proves nothing, every second etcd is called `default`.
fn member_of<'m>(advertised: Option<&str>, model: &'m etcd::Model) -> Option<&'m str> {
    // etcd's own default.
    let advertised = advertised.unwrap_or("http://localhost:2379");
    let own: Vec<Endpoint> = parse_list(advertised)
        .into_iter()
        .filter_map(|url| Endpoint::parse(url, false).ok())
        .collect();
    model
        .members
        .iter()
        .find(|member| {
            member.listed.as_ref().is_some_and(|listed| {
                listed
                    .client_urls
                    .iter()
                    .filter_map(|url| Endpoint::parse(url, false).ok())
                    .any(|url| own.contains(&url))
            })
        })
        .map(|member| member.name.as_str())
}

/// The node's settings without those of etcds that are no members of this cluster: another one for
/// events, or another cluster's altogether when its address was given.
fn of_cluster(mut settings: ManifestModel, model: &etcd::Model) -> ManifestModel {
    settings.instances.retain(|instance| {
        instance.component != Some(Component::Etcd)
            || member_of(instance.last("advertise-client-urls"), model).is_some()
    });
    settings
}

/// Asks the members and, as soon as they are known, scrapes their metrics meanwhile.
fn side_by_side(
    plan: &Plan,
    session: &Session<'_>,
) -> (Result<etcd::Model, etcd::Trouble>, metrics::Model) {
    let access = &plan.access;
    // Two looks, the reads, and a slow member's time-outs on the way; hashes take longer.
    let hash = if plan.hash.is_some() { 120 } else { 0 };
    let deadline = plan.window
        + (access.dial_timeout + access.command_timeout) * 6
        + Duration::from_secs(hash);
    let (send, receive) = mpsc::channel::<Vec<Endpoint>>();
    let stop = &session.stop;
    std::thread::scope(|scope| {
        let asked = scope.spawn(move || {
            etcd::gather_telling(plan, deadline, stop, move |endpoints| {
                // Nobody listens any more when the program ends early.
                send.send(endpoints).ok();
            })
        });
        let scraped = match receive.recv() {
            Ok(endpoints) => scrape(&endpoints, plan, session),
            Err(_) => metrics::Model::default(),
        };
        let asked = asked.join().unwrap_or_else(|_| {
            Err(etcd::Trouble::new(
                etcd::TroubleKind::Other,
                "asking broke off",
            ))
        });
        (asked, scraped)
    })
}

fn scrape(endpoints: &[Endpoint], plan: &Plan, session: &Session<'_>) -> metrics::Model {
    let mut loader = metrics::Loader::new(metrics::Limits::default());
    let urls: Vec<String> = endpoints.iter().filter_map(Endpoint::metrics_url).collect();
    if urls.is_empty() {
        return metrics::Model::default();
    }
    match fetcher(&plan.access) {
        Ok(fetcher) => metrics::fetch::live(
            &fetcher,
            &urls,
            plan.window,
            session.clock,
            &session.stop,
            &mut loader,
        ),
        Err(err) => loader.fault(metrics::Fault::new(
            "metrics",
            metrics::FaultKind::NotReached,
            err.to_string(),
        )),
    }
    loader.finish()
}

/// The same credentials for the members' metrics.
fn fetcher(access: &Access) -> Result<metrics::fetch::Fetcher, metrics::fetch::FetchError> {
    let pem = |pem: &crate::target::etcd::Pem| pem.bytes.clone();
    let identity = access.identity.as_ref();
    let same = metrics::fetch::Access {
        ca: access.ca.as_ref().map(pem),
        cert: identity.map(|identity| pem(&identity.cert)),
        key: identity.map(|identity| pem(&identity.key)),
        token: None,
        insecure: access.skip_verify,
    };
    let limits = metrics::fetch::FetchLimits {
        deadline: access.command_timeout + access.dial_timeout,
        ..metrics::fetch::FetchLimits::default()
    };
    metrics::fetch::Fetcher::new(&same, limits)
}

/// Quotas by member name, as the settings of this node give them.
pub(super) fn quotas(settings: &ManifestModel, model: &etcd::Model) -> Quotas {
    let mut quotas = Quotas::new();
    for unit in manifest::settle_all(settings) {
        if unit.main().component != Some(Component::Etcd) {
            continue;
        }
        let value = |name: &str| unit.settled.settings.get(name)?.value.clone();
        let quota = unit.settled.settings.get("quota-backend-bytes");
        let Some(bytes) = value("quota-backend-bytes").and_then(|text| text.trim().parse().ok())
        else {
            continue;
        };
        // etcd: server/storage/quota.go, DefaultQuotaBytes.
        let bytes: f64 = if bytes == 0.0 { 2_147_483_648.0 } else { bytes };
        let place = quota
            .and_then(|quota| quota.place.as_ref())
            .unwrap_or(&unit.main().place);
        if let Some(name) = member_of(value("advertise-client-urls").as_deref(), model) {
            quotas.insert(name.to_owned(), (bytes, place.to_string()));
        }
    }
    quotas
}

fn targets(endpoints: &[Endpoint]) -> String {
    let all: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
    all.join(", ")
}

/// Nobody answered: each address with its own reason.
fn unreachable(model: &etcd::Model, found: &Discovered) -> Error {
    let mut all: Vec<(String, String)> = model
        .strangers
        .iter()
        .map(|(endpoint, trouble)| (endpoint.to_string(), trouble.in_full()))
        .collect();
    for denied in &found.denied {
        all.push((denied.clone(), "run as root".to_owned()));
    }
    let mut all = all.into_iter();
    let Some((target, mut why)) = all.next() else {
        return Error::Unreachable {
            target: targets(&found.endpoints),
            why: "no answer in time".to_owned(),
        };
    };
    for (other, reason) in all {
        why.push_str("; ");
        why.push_str(&other);
        why.push_str(": ");
        why.push_str(&reason);
    }
    Error::Unreachable { target, why }
}

fn save(
    path: &Path,
    session: &Session<'_>,
    evidence: &EvidenceSet,
    problems: &[String],
) -> Result<(), Error> {
    let at = session.clock.now();
    super::save::whole(path, |out| bundle::save(out, at, evidence, problems))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_rule() {
        for id in RULES {
            assert!(rules::rule(id).is_some(), "{id}");
        }
    }
}
