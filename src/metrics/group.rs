//! Which scrapes belong to one process, whose it is, and in which order they were taken.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::metrics::Metric;

use super::copies::{Look, are_copies};
use super::fault::{Fault, FaultKind};
use super::gaps::Order;
use super::identity::{Named, Role};
use super::joined::Group;
use super::load::Loader;
use super::moment::TimeSource;
use super::store::{FROM_LABELS, Interner, Key, SEPARATOR, Scrape};
use super::timeline::{Column, Model, Target, Timeline};

/// Component, node and instance.
type GroupKey = (String, Option<String>, Option<String>);

pub(super) fn key_of(target: &Target) -> GroupKey {
    (
        target.component.clone(),
        target.node.clone(),
        target.instance.clone(),
    )
}

impl Loader {
    /// Groups the scrapes by process and orders them by time.
    pub fn finish(self) -> Model {
        self.finish_named(|targets| vec![None; targets.len()])
    }

    /// As `finish`, with names of nodes from the caller, one for each target or none: by the place that
    /// a scrape was read from, by what its own names tell, and by what stands beside it. Scrapes of one
    /// process are one time line, whatever places they came from.
    pub fn finish_named(
        mut self,
        name: impl Fn(&[(usize, &Target)]) -> Vec<Option<String>>,
    ) -> Model {
        let scrapes = std::mem::take(&mut self.scrapes);
        let mut model = Model {
            scrapes: scrapes.len(),
            ..Model::default()
        };
        let mut groups: BTreeMap<(usize, GroupKey), Group> = BTreeMap::new();
        for (scrape, named, place) in scrapes {
            let target = self.target_of(&scrape, named);
            groups
                .entry((place, key_of(&target)))
                .or_insert_with(|| Group {
                    target,
                    scrapes: Vec::new(),
                    place,
                    sure: false,
                })
                .scrapes
                .push(scrape);
        }
        let groups = self.joined(groups.into_values().collect(), name);
        for Group {
            target, scrapes, ..
        } in groups
        {
            for (target, scrapes) in self.split_processes(target, scrapes) {
                let timeline = self.timeline(target, scrapes);
                self.faults.extend(timeline.faults());
                self.faults.extend(timeline.resets());
                for (metric, source) in timeline.broken_histograms() {
                    self.faults.push(Fault::new(
                        source,
                        FaultKind::BrokenHistogram,
                        format!("buckets of `{}` do not rise: not used", metric.name()),
                    ));
                }
                model.timelines.push(timeline);
            }
        }
        self.faults.sort();
        self.faults.dedup();
        model.faults = self.faults;
        model
    }

    fn target_of(&mut self, scrape: &Scrape, mut named: Named) -> Target {
        let mut roles = self.roles_of(scrape, &named);
        let from = scrape.from.as_deref().map(from_labels).unwrap_or_default();
        match named.role {
            Some(role) if roles.is_empty() => roles = vec![role],
            // A controller that does not lead shows little of what it is.
            Some(role @ (Role::ControllerManager | Role::Scheduler | Role::Kubelet))
                if roles == [Role::Controller] =>
            {
                roles = vec![role];
            }
            Some(_) if roles == [Role::Controller] => {
                if let Some((component, node)) = named.literal() {
                    named.component = Some(component);
                    named.node = node;
                }
            }
            _ => {}
        }
        let component = match roles.as_slice() {
            [Role::Controller] => named
                .component
                .clone()
                .or_else(|| from.get("container").or_else(|| from.get("job")).cloned())
                .unwrap_or_else(|| Role::Controller.word().to_owned()),
            [role] => role.word().to_owned(),
            [] => {
                self.faults.push(Fault::new(
                    &scrape.source,
                    FaultKind::UnknownComponent,
                    "neither its content nor its name tells which component it is of",
                ));
                named
                    .component
                    .clone()
                    .unwrap_or_else(|| "unknown".to_owned())
            }
            // Several in one process: the distribution names it.
            _ => {
                let version = self.info_of(scrape, Metric::BuildInfo).unwrap_or_default();
                ["k3s", "rke2", "k0s"]
                    .into_iter()
                    .find(|name| version.contains(name))
                    .unwrap_or("control-plane")
                    .to_owned()
            }
        };
        let mut node = named.node;
        if scrape.from.is_some() {
            node = node_of_labels(&from, &component);
        }
        let mut instance = None;
        if roles == [Role::Etcd]
            && let Some(name) = &node
        {
            // `etcd-events-NODE`: the second etcd that many clusters have.
            let words: Vec<&str> = name.split('-').collect();
            if words.first() == Some(&"events") || words.last() == Some(&"events") {
                let rest: Vec<&str> = words.into_iter().filter(|w| *w != "events").collect();
                node = (!rest.is_empty()).then(|| rest.join("-"));
                instance = Some("events".to_owned());
            }
        }
        Target {
            member_id: self.info_of(scrape, Metric::ServerId),
            roles,
            component,
            node,
            instance,
        }
    }

    fn roles_of(&self, scrape: &Scrape, named: &Named) -> Vec<Role> {
        let mut roles = BTreeSet::new();
        let mut controller = false;
        // Aggregated API servers (metrics-server) serve requests like kube-apiserver, without etcd.
        let serves = named.component.is_none()
            && !matches!(named.role, Some(Role::ControllerManager | Role::Scheduler));
        for (id, _) in &scrape.values {
            let Some(key) = self.interner.key(*id) else {
                continue;
            };
            match key.metric {
                Metric::HasLeader | Metric::WalFsync | Metric::ServerId => {
                    roles.insert(Role::Etcd);
                }
                Metric::EtcdRequest | Metric::EtcdRequests | Metric::Objects => {
                    roles.insert(Role::Apiserver);
                }
                Metric::ApiRequests | Metric::Inflight if serves => {
                    roles.insert(Role::Apiserver);
                }
                Metric::PendingPods | Metric::ScheduleAttempts => {
                    roles.insert(Role::Scheduler);
                }
                Metric::KcmMark => {
                    roles.insert(Role::ControllerManager);
                }
                Metric::KubeletMark => {
                    roles.insert(Role::Kubelet);
                }
                Metric::LeaderStatus if &*key.labels == "kube-controller-manager" => {
                    roles.insert(Role::ControllerManager);
                }
                Metric::LeaderStatus if &*key.labels == "kube-scheduler" => {
                    roles.insert(Role::Scheduler);
                }
                Metric::QueueDepth | Metric::QueueAdds
                    if matches!(&*key.labels, "replicaset" | "daemonset" | "deployment") =>
                {
                    roles.insert(Role::ControllerManager);
                }
                Metric::QueueDepth | Metric::Reconciles | Metric::RestRequests => {
                    controller = true;
                }
                _ => {}
            }
        }
        if roles.is_empty() && controller {
            roles.insert(Role::Controller);
        }
        roles.into_iter().collect()
    }

    fn info_of(&self, scrape: &Scrape, metric: Metric) -> Option<String> {
        scrape
            .values
            .iter()
            .filter_map(|(id, _)| self.interner.key(*id))
            .find(|key| key.metric == metric)
            .map(|key| key.labels.to_string())
            .filter(|text| !text.is_empty())
    }

    /// Scrapes under one name may be of different processes: of several members in files without
    /// a node, or of several apiservers behind one address.
    fn split_processes(
        &mut self,
        target: Target,
        scrapes: Vec<Scrape>,
    ) -> Vec<(Target, Vec<Scrape>)> {
        let mut by_member: BTreeMap<Option<String>, Vec<Scrape>> = BTreeMap::new();
        for scrape in scrapes {
            let id = self.info_of(&scrape, Metric::ServerId);
            by_member.entry(id).or_default().push(scrape);
        }
        // A scrape torn before its id belongs to the one member there is.
        if by_member.len() == 2
            && let Some(without) = by_member.remove(&None)
            && let Some(mut first) = by_member.first_entry()
        {
            first.get_mut().extend(without);
        }
        let several = by_member.len() > 1;
        let mut out: Vec<(Target, Vec<Scrape>)> = Vec::new();
        for (id, scrapes) in by_member {
            let mut target = target.clone();
            target.member_id.clone_from(&id);
            if several {
                target.instance = join(target.instance.as_deref(), id.as_deref());
            }
            let chains = self.chains(scrapes);
            let many = chains.len() > 1;
            for (number, chain) in (1..).zip(chains) {
                let mut target = target.clone();
                if many {
                    let label = format!("process-{number}");
                    target.instance = join(target.instance.as_deref(), Some(&label));
                }
                out.push((target, chain));
            }
        }
        if out.len() > 1
            && let Some(first) = out.first().and_then(|(_, scrapes)| scrapes.first())
        {
            self.faults.push(Fault::new(
                first.source.clone(),
                FaultKind::MixedProcesses,
                format!(
                    "scrapes of {} under the same name come from {} processes: kept apart",
                    target.component,
                    out.len()
                ),
            ));
        }
        out
    }

    /// Parts scrapes by process start. Lives that follow each other are one chain of restarts;
    /// lives that overlap are different processes.
    fn chains(&self, scrapes: Vec<Scrape>) -> Vec<Vec<Scrape>> {
        let start = |scrape: &Scrape| value_of(&self.interner, scrape, Metric::StartTime);
        let mut starts: Vec<f64> = scrapes.iter().filter_map(start).collect();
        starts.sort_by(f64::total_cmp);
        // A start moves by some seconds when the clock is set.
        starts.dedup_by(|b, a| *b - *a < 60.0);
        if starts.len() < 2 {
            return vec![scrapes];
        }
        let life = |scrape: &Scrape| {
            let own = start(scrape)?;
            Some(
                starts
                    .partition_point(|s| *s <= own + 0.001)
                    .saturating_sub(1),
            )
        };
        let mut last_seen = vec![f64::NEG_INFINITY; starts.len()];
        for scrape in &scrapes {
            if let (Some(life), Some((at, _))) = (life(scrape), scrape.at)
                && let Some(seen) = last_seen.get_mut(life)
            {
                *seen = seen.max(at.0 as f64 / 1e6);
            }
        }
        let overlap = last_seen
            .iter()
            .zip(starts.iter().skip(1))
            .any(|(seen, next)| *seen > next + 5.0);
        if !overlap {
            return vec![scrapes];
        }
        let mut out: Vec<Vec<Scrape>> = Vec::new();
        out.resize_with(starts.len(), Vec::new);
        for scrape in scrapes {
            let life = life(&scrape).unwrap_or(0);
            if let Some(chain) = out.get_mut(life) {
                chain.push(scrape);
            }
        }
        out.retain(|chain| !chain.is_empty());
        out
    }

    fn timeline(&mut self, target: Target, mut scrapes: Vec<Scrape>) -> Timeline {
        self.forget_copies(&mut scrapes);
        let cpu = |scrape: &Scrape| value_of(&self.interner, scrape, Metric::Cpu);
        scrapes.sort_by(|a, b| {
            let time = |s: &Scrape| s.at.map(|(at, _)| at);
            let timed = time(a).zip(time(b)).map(|(a, b)| a.cmp(&b));
            timed
                .or_else(|| cpu(a).zip(cpu(b)).map(|(a, b)| a.total_cmp(&b)))
                .unwrap_or(std::cmp::Ordering::Equal)
                .then_with(|| a.source.cmp(&b.source))
        });
        let mut kept: Vec<Scrape> = Vec::new();
        for mut scrape in scrapes {
            scrape.values.sort_unstable_by_key(|(id, _)| *id);
            // Prometheus repeats a value at each step until the next scrape; a file does not.
            let taken = matches!(scrape.at, Some((_, TimeSource::Taken)));
            let same = kept.last().is_some_and(|last| {
                (last.at.is_some() && last.at.map(|a| a.0) == scrape.at.map(|a| a.0))
                    || (!taken && last.values == scrape.values && last.torn_at == scrape.torn_at)
            });
            if same {
                self.faults.push(Fault::new(
                    &scrape.source,
                    FaultKind::Duplicate,
                    "the same scrape again: used once",
                ));
            } else {
                kept.push(scrape);
            }
        }
        let columns = kept
            .iter()
            .map(|scrape| Column {
                at: scrape.at.map(|(at, _)| at),
                time: scrape.at.map_or(TimeSource::LastGc, |(_, source)| source),
                source: scrape.source.clone(),
                torn_at: scrape.torn_at.clone(),
                last_family: scrape.last_family.clone(),
                order: order_of(scrape),
                start: value_of(&self.interner, scrape, Metric::StartTime),
                restarted: false,
                old_until: 0,
            })
            .collect();
        let mut rows: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for (at, scrape) in kept.iter().enumerate() {
            for (id, value) in &scrape.values {
                let row = rows
                    .entry(*id)
                    .or_insert_with(|| vec![f64::NAN; kept.len()]);
                if let Some(slot) = row.get_mut(at) {
                    *slot = *value;
                }
            }
        }
        // The family that a torn text stops in is not complete: none of it is used.
        for (id, row) in &mut rows {
            let Some(name) = self.interner.key(*id).map(Key::name) else {
                continue;
            };
            for (slot, scrape) in row.iter_mut().zip(&kept) {
                if scrape.torn_at.is_some() && name == &*scrape.last_family {
                    *slot = f64::NAN;
                }
            }
        }
        let rows = rows
            .into_iter()
            .filter_map(|(id, row)| Some((self.interner.key(id)?.clone(), row)))
            .collect();
        Timeline::new(target, columns, rows)
    }

    /// Takes the times of copied files away: the scrapes' order is then that of their CPU time, and
    /// there are no rates.
    fn forget_copies(&mut self, scrapes: &mut [Scrape]) {
        let value = |scrape: &Scrape, metric| value_of(&self.interner, scrape, metric);
        let looks: Vec<Look> = scrapes
            .iter()
            .map(|scrape| Look {
                at: scrape.at,
                start: value(scrape, Metric::StartTime),
                cpu: value(scrape, Metric::Cpu),
                confirmed: value(scrape, Metric::LastGc).is_some(),
            })
            .collect();
        if !are_copies(&looks) {
            return;
        }
        for (scrape, look) in scrapes.iter_mut().zip(&looks) {
            if look.confirmed || !matches!(scrape.at, Some((_, TimeSource::Modified))) {
                continue;
            }
            scrape.at = None;
            self.faults.push(Fault::new(
                &scrape.source,
                FaultKind::DoubtfulTime,
                "the file was last changed when it was copied: when it was taken is not known",
            ));
        }
    }
}

/// How the families of a scrape were printed.
fn order_of(scrape: &Scrape) -> Order {
    match (&scrape.from, scrape.last_family.is_empty()) {
        (Some(_), true) => Order::Apart,
        (None, false) if scrape.sorted => Order::Sorted,
        _ => Order::Unsorted,
    }
}

pub(super) fn value_of(interner: &Interner, scrape: &Scrape, metric: Metric) -> Option<f64> {
    scrape
        .values
        .iter()
        .find(|(id, _)| interner.key(*id).is_some_and(|key| key.metric == metric))
        .map(|(_, value)| *value)
        .filter(|value| value.is_finite())
}

pub(super) fn join(a: Option<&str>, b: Option<&str>) -> Option<String> {
    match (a, b) {
        (Some(a), Some(b)) => Some(format!("{a}-{b}")),
        (a, b) => a.or(b).map(str::to_owned),
    }
}

fn from_labels(text: &str) -> BTreeMap<&str, String> {
    text.split(SEPARATOR)
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, value)| FROM_LABELS.contains(name) && !value.is_empty())
        .map(|(name, value)| (name, value.to_owned()))
        .collect()
}

/// `node`, else the node in a static pod's name, else the host of `instance`.
fn node_of_labels(from: &BTreeMap<&str, String>, component: &str) -> Option<String> {
    let of_pod = from.get("pod").and_then(|pod| {
        pod.strip_prefix(component)
            .and_then(|rest| rest.strip_prefix('-'))
            .map(str::to_owned)
    });
    let of_instance = from
        .get("instance")
        .map(|instance| match instance.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => {
                host.trim_matches(['[', ']']).to_owned()
            }
            _ => instance.clone(),
        });
    from.get("node").cloned().or(of_pod).or(of_instance)
}
