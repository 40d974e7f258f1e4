//! The node's own etcd over its API, beside the other collectors of `diagnose`.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::catalog::settings::Component;
use crate::clock::Clock;
use crate::etcd::{self, Plan};
use crate::evidence::EvidenceSet;
use crate::manifest::{self, ManifestModel};
use crate::target::HostRoot;
use crate::target::etcd::discover;

use super::check_etcd::quotas;
use super::etcd_access::known;

/// Asks the node's own etcd and the members it lists. Nothing is asked where no etcd was found:
/// diagnosis of a worker node, or of a copied root, is no reason to try addresses.
pub(super) fn ask(
    root: &HostRoot,
    settings: &ManifestModel,
    node: &str,
    window: Duration,
    clock: Clock,
    stop: &AtomicBool,
) -> (EvidenceSet, Vec<String>) {
    let found = discover(root, &known(settings));
    if found.guessed {
        return (EvidenceSet::new(), Vec::new());
    }
    let mut problems = found.denied.clone();
    let mut plan = Plan::new(found.endpoints, found.access, clock);
    plan.window = window;
    // Other collectors name the member by its node.
    for unit in manifest::settle_all(settings) {
        let name = unit.settled.settings.get("name");
        if unit.main().component == Some(Component::Etcd)
            && unit.name == "etcd"
            && let Some(name) = name.and_then(|name| name.value.clone())
            && !node.is_empty()
        {
            plan.known_as.insert(name, node.to_owned());
        }
    }
    let deadline = window + plan.access.dial_timeout + plan.access.command_timeout;
    let model = match etcd::gather(&plan, deadline, stop) {
        Ok(model) => model,
        Err(trouble) => {
            problems.push(format!("etcd: {}", trouble.in_full()));
            return (EvidenceSet::new(), problems);
        }
    };
    problems.extend(model.problems.iter().cloned());
    problems.extend(
        model
            .strangers
            .iter()
            .map(|(endpoint, trouble)| format!("{endpoint}: {}", trouble.in_full())),
    );
    let quotas = quotas(settings, &model);
    let own = plan.own_certificate();
    (etcd::collect(&model, own.as_ref(), &quotas), problems)
}
