//! Files and answers to time lines: which scrapes belong to one process, and in which order.

use std::collections::BTreeMap;
use std::io::Read as _;

use crate::catalog::metrics::Metric;
use crate::clock::Timestamp;
use crate::formats::prometheus::{scan, sniff};
use crate::target::HostRoot;

use super::fault::{Fault, FaultKind};
use super::identity::{self, Named, Role};
use super::moment::{TimeSource, time_in};
use super::prometheus_api;
use super::store::{Builder, FROM_LABELS, Interner, Key, SEPARATOR, Scrape};
use super::timeline::{Column, Model, Target, Timeline};

/// What a load may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one scrape, inflated.
    pub scrape_bytes: u64,
    /// Bytes of all scrapes, inflated.
    pub total_bytes: u64,
    /// Files.
    pub files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            // A kube-apiserver with 10 000 CRD versions was seen at some 80 MB.
            scrape_bytes: 256 << 20,
            total_bytes: 4 << 30,
            files: 5_000,
        }
    }
}

/// What the caller knows about a scrape.
#[derive(Clone, Debug, Default)]
pub struct Hint {
    /// When it was taken, where the caller took it.
    pub taken: Option<Timestamp>,
    /// When the file was last changed.
    pub modified: Option<Timestamp>,
    /// The node.
    pub node: Option<String>,
    /// The component, as the user names it.
    pub component: Option<String>,
}

/// Component, node and instance.
type GroupKey = (String, Option<String>, Option<String>);

/// Reads scrapes one by one and makes time lines of them.
#[derive(Debug, Default)]
pub struct Loader {
    limits: Limits,
    interner: Interner,
    scrapes: Vec<(Scrape, Named)>,
    faults: Vec<Fault>,
    bytes: u64,
}

impl Loader {
    /// A loader that has read nothing.
    pub fn new(limits: Limits) -> Self {
        Loader {
            limits,
            ..Loader::default()
        }
    }

    /// Notes what could not be read.
    pub fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Reads one text: a scrape, several, a federated one, or a Prometheus answer in JSON.
    /// `path` is its place inside the folder that was given, `source` what the user calls it.
    pub fn add(&mut self, path: &str, source: &str, text: &[u8], hint: &Hint) {
        let size = text.len() as u64;
        if size > self.limits.scrape_bytes || self.bytes + size > self.limits.total_bytes {
            self.faults.push(Fault::new(
                source,
                FaultKind::OverLimit,
                "not read: over the limit of bytes",
            ));
            return;
        }
        self.bytes += size;
        if prometheus_api::is_answer(text) {
            prometheus_api::read(self, source, text);
            return;
        }
        if let Some(what) = sniff(text) {
            self.faults
                .push(Fault::new(source, FaultKind::NotMetrics, what.to_string()));
            return;
        }
        let mut builder = Builder::new(&mut self.interner);
        let stats = scan(text, &mut builder);
        let (scrapes, repeats) = builder.finish(stats.torn > 0 && !stats.eof);
        if stats.torn > 0 {
            self.faults.push(Fault::new(
                source,
                FaultKind::Truncated,
                "the text stops within a line: its last family and what should follow are unknown",
            ));
        }
        if stats.garbage > 0 {
            self.faults.push(Fault::new(
                source,
                FaultKind::GarbageLines,
                format!(
                    "{} of {} lines are neither samples nor comments",
                    stats.garbage, stats.lines
                ),
            ));
        }
        if scrapes.is_empty() {
            self.faults.push(Fault::new(
                source,
                FaultKind::NotMetrics,
                format!(
                    "holds no metric that is read here ({} other samples)",
                    stats.all_samples()
                ),
            ));
            return;
        }
        if repeats > 0 {
            self.faults.push(Fault::new(
                source,
                FaultKind::SeveralInOne,
                format!("holds {} scrapes one after the other", repeats + 1),
            ));
        }
        let named = identity::from_path(path);
        let last = scrapes.len() - 1;
        for (at, mut scrape) in scrapes.into_iter().enumerate() {
            source.clone_into(&mut scrape.source);
            if scrape.bad > 0 {
                self.faults.push(Fault::new(
                    source,
                    FaultKind::BadValues,
                    format!("{} samples are no number", scrape.bad),
                ));
            }
            if scrape.dropped > 0 {
                self.faults.push(Fault::new(
                    source,
                    FaultKind::OverLimit,
                    format!("{} samples were dropped: too many series", scrape.dropped),
                ));
            }
            // The file's own time is that of its last scrape; federated ones share it.
            let own = repeats == 0 || at == last;
            self.set_time(&mut scrape, path, hint, own);
            let mut named = named.clone();
            if hint.node.is_some() {
                named.node.clone_from(&hint.node);
            }
            if hint.component.is_some() {
                named.component.clone_from(&hint.component);
            }
            self.scrapes.push((scrape, named));
        }
    }

    /// Adds scrapes that are already split up, as from Prometheus.
    pub(super) fn add_scrapes(&mut self, scrapes: Vec<Scrape>) {
        for scrape in scrapes {
            self.scrapes.push((scrape, Named::default()));
        }
    }

    pub(super) fn interner(&mut self) -> &mut Interner {
        &mut self.interner
    }

    fn set_time(&mut self, scrape: &mut Scrape, path: &str, hint: &Hint, own: bool) {
        let gauge = |metric| value_of(&self.interner, scrape, metric).filter(|v| *v > 0.0);
        #[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
        let last_gc = gauge(Metric::LastGc).map(|secs| Timestamp((secs * 1e6) as i64));
        if let Some(at) = hint.taken.filter(|_| own) {
            scrape.at = Some((at, TimeSource::Taken));
        } else if scrape.at.is_some() {
            // The samples say so.
        } else if let Some((at, _)) = time_in(file_of(path)).filter(|_| own) {
            scrape.at = Some((at, TimeSource::Name));
            if last_gc.is_some_and(|gc| at.since_us(gc) < -5_000_000) {
                self.faults.push(Fault::new(
                    &scrape.source,
                    FaultKind::DoubtfulTime,
                    "the time in its name is before its last garbage collection: another time \
                     zone or another clock",
                ));
            }
        } else if let Some(at) = hint.modified.filter(|at| {
            // A copy has the time of the copy. Go collects garbage at least every two minutes.
            own && last_gc.is_none_or(|gc| (-5_000_000..150_000_000).contains(&at.since_us(gc)))
        }) {
            scrape.at = Some((at, TimeSource::Modified));
        } else {
            scrape.at = last_gc.map(|at| (at, TimeSource::LastGc));
            self.faults.push(Fault::new(
                &scrape.source,
                FaultKind::DoubtfulTime,
                match scrape.at {
                    Some(_) => {
                        "neither its name nor its file tells when it was taken: the last \
                                garbage collection stands for it, up to two minutes early"
                    }
                    None => "nothing tells when it was taken: no rates",
                },
            ));
        }
    }

    /// Groups the scrapes by process and orders them by time.
    pub fn finish(mut self) -> Model {
        let scrapes = std::mem::take(&mut self.scrapes);
        let mut model = Model {
            scrapes: scrapes.len(),
            ..Model::default()
        };
        let mut groups: BTreeMap<GroupKey, (Target, Vec<Scrape>)> = BTreeMap::new();
        for (scrape, named) in scrapes {
            let target = self.target_of(&scrape, named);
            let group = (
                target.component.clone(),
                target.node.clone(),
                target.instance.clone(),
            );
            groups
                .entry(group)
                .or_insert_with(|| (target, Vec::new()))
                .1
                .push(scrape);
        }
        for (target, scrapes) in self.join_numbered(groups.into_values().collect()) {
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

    /// `etcd-cp-a-1.prom` and `etcd-cp-a-2.prom` may be two nodes, or two scrapes of one: the
    /// start of the process tells.
    fn join_numbered(&self, groups: Vec<(Target, Vec<Scrape>)>) -> Vec<(Target, Vec<Scrape>)> {
        let start = |scrapes: &[Scrape]| {
            let first = scrapes.first()?;
            value_of(&self.interner, first, Metric::StartTime)
        };
        let mut out: Vec<(Target, Vec<Scrape>)> = Vec::new();
        for (target, scrapes) in groups {
            let same = out.iter_mut().find_map(|(have, kept)| {
                let stem =
                    identity::same_but_number(have.node.as_deref()?, target.node.as_deref()?)
                        .map(str::to_owned)
                        .or_else(|| {
                            have.node.clone().filter(|node| {
                                identity::same_but_number(
                                    target.node.as_deref().unwrap_or_default(),
                                    &format!("{node}-0"),
                                )
                                .is_some()
                            })
                        })?;
                let one_process = have.component == target.component
                    && have.instance == target.instance
                    && have.member_id == target.member_id
                    && start(kept).is_some_and(|a| start(&scrapes) == Some(a));
                one_process.then_some((have, kept, stem))
            });
            match same {
                Some((have, kept, stem)) => {
                    have.node = Some(stem);
                    kept.extend(scrapes);
                }
                None => out.push((target, scrapes)),
            }
        }
        out
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
        use std::collections::BTreeSet;
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
        self.mark_short(&mut kept);
        let columns = kept
            .iter()
            .map(|scrape| Column {
                at: scrape.at.map(|(at, _)| at),
                time: scrape.at.map_or(TimeSource::LastGc, |(_, source)| source),
                source: scrape.source.clone(),
                torn_at: scrape.torn_at.clone(),
                start: value_of(&self.interner, scrape, Metric::StartTime),
                restarted: false,
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

    /// A text cut at the end of a line shows only beside the others of its process: it stops at
    /// an earlier family, and lacks the process metrics that every Go program prints near the
    /// end of its sorted families.
    fn mark_short(&mut self, scrapes: &mut [Scrape]) {
        let start = |s: &Scrape| value_of(&self.interner, s, Metric::StartTime);
        if !scrapes.iter().any(|s| start(s).is_some()) {
            return;
        }
        let last = scrapes
            .iter()
            .filter(|s| s.sorted && s.from.is_none())
            .map(|s| s.last_family.clone())
            .max();
        let Some(last) = last.filter(|last| !last.is_empty()) else {
            return;
        };
        for scrape in scrapes {
            if scrape.sorted
                && scrape.torn_at.is_none()
                && scrape.from.is_none()
                && !scrape.last_family.is_empty()
                && scrape.last_family < last
                && value_of(&self.interner, scrape, Metric::StartTime).is_none()
            {
                scrape.torn_at = Some(scrape.last_family.clone());
                self.faults.push(Fault::new(
                    &scrape.source,
                    FaultKind::Truncated,
                    format!(
                        "stops at `{}` where other scrapes of the process go on: what should \
                         follow is unknown",
                        scrape.last_family
                    ),
                ));
            }
        }
    }
}

fn value_of(interner: &Interner, scrape: &Scrape, metric: Metric) -> Option<f64> {
    scrape
        .values
        .iter()
        .find(|(id, _)| interner.key(*id).is_some_and(|key| key.metric == metric))
        .map(|(_, value)| *value)
        .filter(|value| value.is_finite())
}

fn join(a: Option<&str>, b: Option<&str>) -> Option<String> {
    match (a, b) {
        (Some(a), Some(b)) => Some(format!("{a}-{b}")),
        (a, b) => a.or(b).map(str::to_owned),
    }
}

fn file_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
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

/// Reads all scrapes below a folder: those in `metrics` folders, or, where there is none, every
/// file that looks like one.
pub fn read_folder(root: &HostRoot, loader: &mut Loader) {
    let mut files = Vec::new();
    let is_metrics = root
        .path()
        .file_name()
        .is_some_and(|name| name == "metrics");
    let mut todo = vec![(String::new(), 0, is_metrics)];
    while let Some((dir, depth, inside)) = todo.pop() {
        let at = if dir.is_empty() { "/" } else { dir.as_str() };
        let Ok(entries) = root.list(at) else { continue };
        for entry in entries {
            let Some(name) = entry.name.to_str() else {
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            let path = format!("{dir}/{name}");
            if entry.is_dir {
                // Other kinds of evidence of a bundle; /proc alone has a million files.
                let other = matches!(
                    name,
                    "logs" | "host" | "manifests" | "proc" | "sys" | "pods"
                );
                if depth < 6 && (inside || !other) {
                    todo.push((path, depth + 1, inside || name == "metrics"));
                }
            } else {
                files.push((path, inside));
            }
        }
    }
    files.sort();
    let ends = |path: &str, ends: &[&str]| {
        let path = path.trim_end_matches(".gz").trim_end_matches(".zst");
        ends.iter().any(|end| path.ends_with(end))
    };
    let surely = |path: &str| ends(path, &[".prom", ".metrics"]);
    let any_inside = files.iter().any(|(_, inside)| *inside);
    let any_sure = files.iter().any(|(path, _)| surely(path));
    let mut read = 0;
    for (path, inside) in files {
        let take = if any_inside {
            inside
        } else if any_sure {
            surely(&path)
        } else {
            let name = file_of(&path);
            ends(&path, &[".txt", ".json", ".out"]) || !name.contains('.')
        };
        if !take {
            continue;
        }
        read += 1;
        if read > loader.limits.files {
            loader.fault(Fault::new(
                path.trim_start_matches('/'),
                FaultKind::OverLimit,
                "not read: over the limit of files",
            ));
            break;
        }
        read_file(root, &path, loader);
    }
}

/// Reads one file, inflating it where needed.
pub fn read_file(root: &HostRoot, path: &str, loader: &mut Loader) {
    let source = path.trim_start_matches('/').to_owned();
    let cap = loader.limits.scrape_bytes;
    let bytes = match root.open(path).map(|file| inflated(file, cap)) {
        Ok(Ok(bytes)) => bytes,
        Ok(Err((some, why))) => {
            // What came out before the error is a torn scrape, which is still of use.
            loader.fault(Fault::new(&source, FaultKind::Unreadable, why));
            some
        }
        Err(missing) => {
            loader.fault(Fault::new(
                &source,
                FaultKind::Unreadable,
                missing.to_string(),
            ));
            return;
        }
    };
    if bytes.is_empty() && loader.faults.last().is_some_and(|f| f.source == source) {
        return;
    }
    let modified = root
        .resolve(path)
        .ok()
        .and_then(|real| std::fs::metadata(real).ok()?.modified().ok())
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .map(Timestamp);
    let hint = Hint {
        modified,
        ..Hint::default()
    };
    loader.add(&source, &source, &bytes, &hint);
}

/// All bytes of a file, gzip and zstd inflated; on an error what came out before, and why.
fn inflated(file: std::fs::File, cap: u64) -> Result<Vec<u8>, (Vec<u8>, String)> {
    let limits = crate::formats::inflate::Limits {
        bytes: cap,
        ..Default::default()
    };
    let mut bytes = Vec::new();
    let mut source = match crate::formats::inflate::Inflate::new(file, limits) {
        Ok(source) => source,
        Err(err) => return Err((bytes, err.to_string())),
    };
    match source.read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(err) => Err((bytes, err.to_string())),
    }
}
