//! One controller as all evidence together shows it: who it is, how long it waits for its own
//! limiter, what its loops get done, what it asks of kube-apiserver.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::controllers::{Controller, Knob, Known, Role, UNNAMED_CLIENT};
use crate::evidence::{Row, SubjectKind, keys};
use crate::rules::client::client_throttled::asked_for;

use super::facts::{Current, Facts, Span};

/// How much a process waits for its own limiter.
#[derive(Clone, Debug, Default)]
pub(super) struct Wait {
    /// Longest wait seen.
    pub(super) max_ms: f64,
    /// Mean wait, from its metrics.
    pub(super) mean_ms: Option<f64>,
    /// Throttling lines in its log, a floor.
    pub(super) lines: f64,
    /// The request that waits most often.
    pub(super) request: Option<String>,
    /// 99th percentile of the wait, from its metrics.
    pub(super) p99_ms: Option<(f64, f64)>,
}

/// One control loop.
#[derive(Clone, Debug, Default)]
pub(super) struct Loop {
    /// Queue or controller.
    pub(super) name: String,
    /// Deepest the queue was.
    pub(super) depth: f64,
    /// Reconciles a second.
    pub(super) per_sec: Option<f64>,
    /// Seconds of one reconcile.
    pub(super) secs_each: Option<f64>,
    /// Retries a second.
    pub(super) retries_per_sec: Option<f64>,
    /// Keys added a second.
    pub(super) adds_per_sec: Option<f64>,
    /// Workers, as its metrics say.
    pub(super) workers: Option<f64>,
    /// Most workers in use.
    pub(super) active: Option<f64>,
    /// Reconciles that failed or asked to come again, share of all.
    pub(super) unfinished: Option<f64>,
}

/// The object that runs it.
#[derive(Clone, Debug, Default)]
pub(super) struct Workload {
    pub(super) kind: String,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) container: String,
    pub(super) replicas: Option<f64>,
}

/// A controller.
#[derive(Clone, Debug, Default)]
pub(super) struct Process {
    /// Its name: as its manifest gives it, else as its log or metrics do.
    pub(super) name: String,
    /// What the catalogue knows of it.
    pub(super) known: Option<&'static Controller>,
    /// All subjects that are it.
    pub(super) names: BTreeSet<String>,
    /// Its versions.
    pub(super) version: Option<Span>,
    /// Its waits.
    pub(super) wait: Wait,
    /// Whether they are long enough to matter.
    pub(super) throttled: bool,
    /// Its loops, the busiest first.
    pub(super) loops: Vec<Loop>,
    /// Requests a second that it sends.
    pub(super) client_rate: Option<f64>,
    /// Requests by `METHOD CODE`.
    pub(super) requests: BTreeMap<String, f64>,
    /// Mean time of a request, its own limiter left out.
    pub(super) latency_ms: Option<f64>,
    /// CPU seconds a second.
    pub(super) cpu: Option<f64>,
    /// The object that runs it.
    pub(super) workload: Option<Workload>,
}

/// The value of a knob.
#[derive(Clone, Debug)]
pub(super) struct Set {
    /// The spelling in force, or the one to use.
    pub(super) name: String,
    /// Its value; `None` where neither setting nor default is known.
    pub(super) now: Option<Current>,
    /// Whether somebody set it.
    pub(super) set: bool,
    /// Whether the settings of this process were read at all.
    pub(super) read: bool,
    /// Why what may set it was not.
    pub(super) unread: Option<String>,
}

impl Set {
    /// Its number.
    pub(super) fn number(&self) -> Option<f64> {
        self.now.as_ref().and_then(Current::least)
    }

    /// Its value in words.
    pub(super) fn words(&self) -> Option<String> {
        self.now.as_ref().map(Current::words)
    }
}

impl Process {
    /// A short form of its name for ids.
    pub(super) fn short(&self) -> String {
        match self.name.as_str() {
            "kube-controller-manager" => "kcm".to_owned(),
            "kube-scheduler" => "scheduler".to_owned(),
            other => super::model::slug(other),
        }
    }

    /// Requests of one reconcile, where both rates were measured. Loops of Kubernetes' own parts are too
    /// unlike for a mean: the garbage collector's graph asks for nothing, another for many objects at
    /// once. Of those it is told where one loop alone did anything.
    pub(super) fn requests_each(&self) -> Option<f64> {
        let working = |one: &&Loop| one.per_sec.is_some_and(|rate| rate > 0.0);
        let mut loops = self.loops.iter().filter(working);
        if let Some(known) = self.known.filter(|known| known.id.starts_with("kube-")) {
            let (only, None) = (loops.next()?, loops.next()) else {
                return None;
            };
            // What asks outside of all queues (scheduling) is no reconcile of one.
            let served = known
                .knobs_of(Role::Workers)
                .any(|knob| knob.serves(&only.name));
            if !served {
                return None;
            }
        }
        let reconciles: f64 = self.loops.iter().filter_map(|one| one.per_sec).sum();
        let each = self.client_rate? / reconciles;
        (reconciles > 0.0 && each.is_finite() && each > 0.01).then_some(each)
    }

    /// Mean time of a request in milliseconds: as kube-apiserver measured it, else as the client
    /// did. client-go counts the wait for its own limiter in, which is taken out again.
    pub(super) fn latency(&self, facts: &Facts<'_>) -> Option<f64> {
        super::model::mean_latency(facts).or_else(|| {
            let own = self.latency_ms?;
            Some((own - self.wait.mean_ms.unwrap_or(0.0)).max(1.0))
        })
    }

    /// Whether the time of its reconciles holds waits for the limiter that cannot be taken out:
    /// controller-runtime does not count them, and elsewhere that takes the requests of a reconcile.
    pub(super) fn waits_inside(&self) -> bool {
        self.throttled && (self.wait.mean_ms.is_none() || self.requests_each().is_none())
    }

    /// Seconds of one reconcile of a loop, without its waits for the limiter where they are known.
    pub(super) fn work_secs(&self, one: &Loop) -> Option<f64> {
        let gross = one.secs_each?;
        let Some((wait, each)) = self
            .wait
            .mean_ms
            .filter(|_| self.throttled)
            .zip(self.requests_each())
        else {
            return Some(gross);
        };
        // What is left is at least the requests themselves.
        let least = self.latency_ms.unwrap_or(5.0) / 1e3 * each.min(1.0);
        Some((gross - each * wait / 1e3).max(least))
    }

    /// The value of a knob of it.
    pub(super) fn knob(&self, facts: &Facts<'_>, knob: &Knob) -> Set {
        let (oldest, newest) = self.span();
        let read = self.names.iter().any(|name| facts.settings_read(name))
            || self
                .workload
                .as_ref()
                .is_some_and(|workload| !matches!(workload.kind.as_str(), "Values" | "ConfigMap"));
        let mut quiet = None;
        let mut unread = None;
        for name in &knob.names {
            for component in &self.names {
                unread = unread.or_else(|| facts.unread(component, name));
                let Some(current) = facts.setting(component, name, None) else {
                    continue;
                };
                if current.is_set() {
                    return Set {
                        name: name.clone(),
                        now: Some(current),
                        set: true,
                        read: true,
                        unread: None,
                    };
                }
                quiet.get_or_insert(current);
            }
        }
        let read = read && unread.is_none();
        let now = quiet.filter(|_| read).or_else(|| {
            let default = knob.default_for(oldest, newest)?;
            read.then(|| Current::default_of(default))
        });
        // Where only a chart's values were read, its path is where to set it.
        let values = self
            .workload
            .as_ref()
            .is_some_and(|workload| workload.kind == "Values");
        let name = knob
            .helm
            .as_ref()
            .filter(|helm| values && knob.names.contains(helm))
            .or(knob.names.first())
            .cloned()
            .unwrap_or_default();
        Set {
            name,
            now,
            set: false,
            read,
            unread,
        }
    }

    /// Its oldest and newest version.
    pub(super) fn span(
        &self,
    ) -> (
        Option<crate::catalog::releases::Version>,
        Option<crate::catalog::releases::Version>,
    ) {
        (
            self.version.map(|span| span.oldest),
            self.version.map(|span| span.newest),
        )
    }

    /// Whether its version knows a knob.
    pub(super) fn knows(&self, knob: &Knob) -> Known {
        let (oldest, newest) = self.span();
        knob.known(oldest, newest)
    }

    /// Requests of the methods whose answers begin with one of `codes`.
    pub(super) fn sent(&self, methods: &[&str], codes: &[&str]) -> f64 {
        self.requests
            .iter()
            .filter(|(key, _)| {
                let (method, code) = key.split_once(' ').unwrap_or((key, ""));
                methods.contains(&method)
                    && (codes.is_empty() || codes.iter().any(|begin| code.starts_with(begin)))
            })
            .map(|(_, n)| n)
            .sum()
    }
}

/// Every controller that any evidence shows.
pub(super) fn processes(facts: &Facts<'_>) -> Vec<Process> {
    let mut all = Gather::of(facts);
    waits(facts, &mut all);
    loops(facts, &mut all);
    clients(facts, &mut all);
    let (line_limit, line_wait) = (facts.limit("throttled-lines"), facts.limit("client-wait"));
    let p99_limit = facts.limit("limiter-wait-p99");
    let mut out: Vec<Process> = all.processes.into_values().collect();
    for process in &mut out {
        let wait = &process.wait;
        let logged = wait.lines >= line_limit && wait.max_ms >= line_wait;
        let measured = wait.p99_ms.is_some_and(|(_, high)| high > p99_limit);
        process.throttled = logged || measured;
        let spans = process.names.iter().filter_map(|name| facts.version(name));
        process.version = spans.reduce(|a, b| Span {
            oldest: a.oldest.min(b.oldest),
            newest: a.newest.max(b.newest),
        });
        if process.version.is_none() && process.name.starts_with("kube") {
            // The parts of Kubernetes go by one version.
            process.version = facts.kubernetes();
        }
        process.loops.sort_by(|a, b| {
            b.depth
                .total_cmp(&a.depth)
                .then_with(|| a.name.cmp(&b.name))
        });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

/// Processes by identity while they are put together.
struct Gather {
    processes: BTreeMap<String, Process>,
    /// Names of workloads whose controller runs more than once, and so stand for themselves.
    twins: BTreeSet<String>,
    /// Containers that were read and are no controller of the catalogue, whatever their name.
    strangers: BTreeSet<String>,
}

impl Gather {
    fn of(facts: &Facts<'_>) -> Self {
        let mut by_id: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let workloads = facts.all(&keys::WORKLOADS);
        for (subject, table) in &workloads {
            let id = table
                .row("workload")
                .and_then(|row| row.get_text("controller"));
            if let Some(id) = id {
                by_id
                    .entry(id.to_owned())
                    .or_default()
                    .insert(subject.name.clone());
            }
        }
        let twins = by_id
            .into_values()
            .filter(|names| names.len() > 1)
            .flatten()
            .collect();
        let strangers = workloads
            .iter()
            .filter(|(subject, table)| {
                let row = table.row("workload");
                row.is_some_and(|row| row.get_text("controller").is_none())
                    && !subject.name.starts_with("kube-")
            })
            .map(|(subject, _)| subject.name.clone())
            .collect();
        let mut all = Gather {
            processes: BTreeMap::new(),
            twins,
            strangers,
        };
        for (subject, table) in workloads {
            let Some(row) = table.row("workload") else {
                continue;
            };
            let controller = row.get_text("controller").and_then(Controller::by_id);
            if controller.is_none() && all.strangers.contains(&subject.name) {
                continue;
            }
            let process = all.at(&subject.name, controller);
            process.name.clone_from(&subject.name);
            let text = |column: &str| row.get_text(column).map(str::to_owned);
            process.workload = Some(Workload {
                kind: text("kind").unwrap_or_default(),
                namespace: text("namespace"),
                name: text("name").unwrap_or_default(),
                container: text("container").unwrap_or_default(),
                replicas: row.get("replicas"),
            });
        }
        for (subject, _) in facts.all(&keys::SETTINGS) {
            if subject.kind == SubjectKind::Component
                && !all.strangers.contains(&subject.name)
                && let Some(controller) = Controller::by_name(&subject.name)
            {
                all.at(&subject.name, Some(controller));
            }
        }
        all
    }

    fn at(&mut self, name: &str, known: Option<&'static Controller>) -> &mut Process {
        let known =
            known.or_else(|| Controller::by_name(name).filter(|_| !self.strangers.contains(name)));
        let key = match known {
            Some(known) if !self.twins.contains(name) => format!("id {}", known.id),
            _ => format!("name {name}"),
        };
        let process = self.processes.entry(key).or_insert_with(|| Process {
            name: name.to_owned(),
            known,
            ..Process::default()
        });
        process.names.insert(name.to_owned());
        process
    }
}

/// Subjects that are no clients of kube-apiserver, or none that could be told what to change.
fn is_server(name: &str) -> bool {
    name.starts_with("etcd")
        || name == "kube-apiserver"
        || name.is_empty()
        || name == UNNAMED_CLIENT
}

fn waits(facts: &Facts<'_>, all: &mut Gather) {
    let mut most: BTreeMap<String, f64> = BTreeMap::new();
    for (subject, table) in facts.all(&keys::LOGS_THROTTLING) {
        for row in &table.rows {
            let component = row
                .get_text("component")
                .filter(|_| subject.name.is_empty())
                .unwrap_or(&subject.name)
                .to_owned();
            if is_server(&component) {
                continue;
            }
            let wait = &mut all.at(&component, None).wait;
            let lines = row.get("lines").unwrap_or(0.0);
            wait.lines += lines;
            wait.max_ms = wait.max_ms.max(row.get("max_delay_ms").unwrap_or(0.0));
            let best = most.entry(component).or_default();
            if lines > *best {
                *best = lines;
                wait.request = match (row.get_text("verb"), row.get_text("resource")) {
                    (Some(verb), resource) => Some(asked_for(verb, resource.unwrap_or_default())),
                    (None, resource) => resource.map(str::to_owned),
                };
            }
        }
    }
    for (subject, histogram) in facts.all(&keys::CLIENT_LIMITER_WAIT) {
        let Some((low, high)) = histogram.bracket(0.99) else {
            continue;
        };
        if is_server(&subject.name) || subject.kind == SubjectKind::Member {
            continue;
        }
        let wait = &mut all.at(&subject.name, None).wait;
        if wait.p99_ms.is_none_or(|(have, _)| low > have) {
            wait.p99_ms = Some((low, high));
            wait.mean_ms = histogram.mean();
        }
        // The slowest hundredth waits at least that long.
        wait.max_ms = wait.max_ms.max(histogram.max.unwrap_or(low));
    }
}

fn positive(value: Option<f64>) -> Option<f64> {
    value.filter(|value| *value > 0.0)
}

fn loops(facts: &Facts<'_>, all: &mut Gather) {
    for (subject, table) in facts.all(&keys::WORKQUEUES) {
        if is_server(&subject.name) || subject.kind == SubjectKind::Member {
            continue;
        }
        let process = all.at(&subject.name, None);
        for row in &table.rows {
            merge(&mut process.loops, queue(row));
        }
    }
    for (subject, table) in facts.all(&keys::RECONCILES) {
        if is_server(&subject.name) || subject.kind == SubjectKind::Member {
            continue;
        }
        let process = all.at(&subject.name, None);
        for row in &table.rows {
            let reconciles = row.get("reconciles").unwrap_or(0.0);
            let again = row.get("errors").unwrap_or(0.0) + row.get("requeues").unwrap_or(0.0);
            let each = row
                .get("work_secs")
                .filter(|_| reconciles > 0.0)
                .map(|secs| secs / reconciles);
            merge(
                &mut process.loops,
                Loop {
                    name: row.key.clone(),
                    per_sec: positive(row.get("per_sec")),
                    secs_each: positive(each),
                    workers: positive(row.get("limit_workers")),
                    active: row.get("max_active"),
                    unfinished: (reconciles > 0.0).then(|| (again / reconciles).min(1.0)),
                    ..Loop::default()
                },
            );
        }
    }
}

fn queue(row: &Row) -> Loop {
    let adds = row.get("adds").unwrap_or(0.0);
    let per_sec = positive(row.get("max_adds_per_sec"));
    // The window is what the adds and their rate say.
    let secs = per_sec.filter(|_| adds > 0.0).map(|rate| adds / rate);
    let done = row.get("done").or(Some(adds)).filter(|n| *n > 0.0);
    let finished = done
        .zip(secs)
        .map(|(done, secs)| done / secs)
        .filter(|_| row.get("done").is_some());
    Loop {
        name: row.key.clone(),
        // What one look found may be gone at the next.
        depth: row.get("max_standing_depth").unwrap_or(0.0),
        per_sec: finished.or(per_sec),
        secs_each: positive(
            row.get("work_secs")
                .zip(done)
                .map(|(secs, done)| secs / done),
        ),
        retries_per_sec: positive(row.get("max_retries_per_sec")),
        adds_per_sec: per_sec,
        ..Loop::default()
    }
}

/// A queue and a controller of one name are one loop: the queue knows its depth, the controller
/// its workers.
fn merge(loops: &mut Vec<Loop>, new: Loop) {
    let Some(have) = loops.iter_mut().find(|have| have.name == new.name) else {
        loops.push(new);
        return;
    };
    have.depth = have.depth.max(new.depth);
    for (mine, theirs) in [
        (&mut have.per_sec, new.per_sec),
        (&mut have.secs_each, new.secs_each),
        (&mut have.retries_per_sec, new.retries_per_sec),
        (&mut have.adds_per_sec, new.adds_per_sec),
        (&mut have.workers, new.workers),
        (&mut have.active, new.active),
        (&mut have.unfinished, new.unfinished),
    ] {
        // Of several replicas the leader works: the larger number is its own.
        *mine = match (*mine, theirs) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
    }
}

fn clients(facts: &Facts<'_>, all: &mut Gather) {
    for (subject, rate) in facts.all(&keys::CLIENT_REQUESTS_RATE) {
        if !is_server(&subject.name) && subject.kind == SubjectKind::Component {
            let process = all.at(&subject.name, None);
            process.client_rate = Some(process.client_rate.unwrap_or(0.0).max(rate));
        }
    }
    for (subject, table) in facts.all(&keys::CLIENT_REQUESTS) {
        if is_server(&subject.name) || subject.kind != SubjectKind::Component {
            continue;
        }
        let process = all.at(&subject.name, None);
        for row in &table.rows {
            *process.requests.entry(row.key.clone()).or_default() +=
                row.get("requests").unwrap_or(0.0);
        }
    }
    for (subject, took) in facts.all(&keys::CLIENT_REQUESTS_TOOK) {
        if !is_server(&subject.name)
            && subject.kind == SubjectKind::Component
            && let Some(mean) = took.mean()
        {
            all.at(&subject.name, None).latency_ms = Some(mean);
        }
    }
    for (subject, cpu) in facts.all(&keys::PROCESS_CPU) {
        // A process without any other sign of a controller is none.
        if subject.kind == SubjectKind::Component
            && !is_server(&subject.name)
            && Controller::by_name(&subject.name).is_some()
        {
            let process = all.at(&subject.name, None);
            process.cpu = Some(process.cpu.unwrap_or(0.0).max(cpu));
        }
    }
}
