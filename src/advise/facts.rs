//! What the models ask of the evidence: cluster size, versions, settings in force, what is slow.
//!
//! Each fact may be unknown, and says where it comes from. Nothing is guessed: a default counts
//! as the value in force only where the settings were read and do not name the setting.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::releases::Version;
use crate::diagnosis::{Cause, ILL, Members, Role, host_of, is_loopback};
use crate::evidence::{FromShape, Key, Reader, Row, Subject, SubjectKind, Table, keys};
use crate::rules::{Finding, Severity, Status};

use super::Input;
pub(super) use super::current::Current;
use super::process::{Process, processes};

/// A count with the place it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeCount {
    /// How many nodes there are, at least.
    pub(super) count: u64,
    /// Whether it may be more.
    pub(super) at_least: bool,
    /// Where that comes from, in words.
    pub(super) from: &'static str,
}

impl NodeCount {
    /// `4100 nodes (apiserver's object counts)`.
    pub(super) fn words(&self) -> String {
        let floor = if self.at_least { "at least " } else { "" };
        format!("{floor}{} nodes ({})", self.count, self.from)
    }
}

/// The oldest and the newest version of a component over all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The oldest one.
    pub(super) oldest: Version,
    /// The newest one.
    pub(super) newest: Version,
}

impl Span {
    /// `3.5.12`, or `3.5.12 to 3.6.1` while nodes differ.
    pub(super) fn words(self) -> String {
        if self.oldest == self.newest {
            self.oldest.to_string()
        } else {
            format!("{} to {}", self.oldest, self.newest)
        }
    }
}

/// The facts of one run.
pub(super) struct Facts<'a> {
    /// What the models were given.
    pub(super) input: &'a Input<'a>,
    reader: Reader<'a>,
    settings: Vec<(String, Option<String>, Table)>,
    /// What programs said of their settings as they started; far from all of them.
    said: Vec<(String, Option<String>, Table)>,
    versions: BTreeMap<String, Span>,
    nodes: Option<NodeCount>,
    processes: Vec<Process>,
}

/// Whether two names of nodes may be one: an unnamed one is any.
pub(super) fn same_node(a: &str, b: &str) -> bool {
    a.is_empty() || b.is_empty() || a == b
}

/// The component and node that a subject names. etcd's readings are about members, a second etcd's
/// about `NODE/events`.
pub(super) fn component_of(subject: &Subject) -> (String, Option<String>) {
    match (subject.kind, subject.name.split_once('/')) {
        (SubjectKind::Member, Some((node, which))) if !subject.name.contains("://") => {
            let name = match which {
                "main" => "etcd".to_owned(),
                other => format!("etcd-{other}"),
            };
            (name, Some(node.to_owned()))
        }
        (SubjectKind::Member, _) => {
            let node = subject.node.clone().or_else(|| Some(subject.name.clone()));
            ("etcd".to_owned(), node.filter(|node| !node.is_empty()))
        }
        _ => (subject.name.clone(), subject.node.clone()),
    }
}

impl<'a> Facts<'a> {
    /// Derives them.
    pub(super) fn new(input: &'a Input<'a>) -> Self {
        let reader = Reader::new(input.evidence);
        let by_component = |key: &Key<Table>| -> Vec<_> {
            let all = reader.all(key).into_iter();
            all.map(|(subject, table)| {
                let (component, node) = component_of(&subject);
                (component, node, table)
            })
            .collect()
        };
        let settings = by_component(&keys::SETTINGS);
        let said = by_component(&keys::LOGS_SETTINGS);
        let versions = versions(&reader);
        let nodes = nodes(&reader);
        let mut facts = Facts {
            input,
            reader,
            settings,
            said,
            versions,
            nodes,
            processes: Vec::new(),
        };
        facts.processes = processes(&facts);
        facts
    }

    /// Every controller that any evidence shows.
    pub(super) fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// How many objects of a resource are stored, where kube-apiserver counted them.
    pub(super) fn objects(&self, resource: &str) -> Option<f64> {
        self.all(&keys::APISERVER_OBJECTS)
            .iter()
            .filter_map(|(_, table)| table.row(resource)?.get("last_objects"))
            .filter(|count| *count >= 1.0)
            .max_by(f64::total_cmp)
    }

    /// How many nodes the cluster has, where anything tells.
    pub(super) fn nodes(&self) -> Option<&NodeCount> {
        self.nodes.as_ref()
    }

    /// Versions of a component.
    pub(super) fn version(&self, component: &str) -> Option<Span> {
        self.versions.get(component).copied()
    }

    /// The Kubernetes version: kube-apiserver's, or that of its companions.
    pub(super) fn kubernetes(&self) -> Option<Span> {
        [
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
        ]
        .into_iter()
        .find_map(|component| self.version(component))
    }

    /// All readings of a key.
    pub(super) fn all<T: FromShape>(&self, key: &Key<T>) -> Vec<(Subject, T)> {
        self.reader.all(key)
    }

    /// Seconds that a reading covers, the time between runs left out.
    pub(super) fn covered_secs<T>(&self, key: &Key<T>, subject: &Subject) -> Option<f64> {
        self.reader.record(key, subject)?.secs()
    }

    /// One table over all subjects: the cluster's where there is one, else the sum of the others.
    pub(super) fn summed(&self, key: &Key<Table>) -> Option<Table> {
        let all = self.reader.all(key);
        if let Some((_, table)) = all.iter().find(|(s, _)| s.kind == SubjectKind::Cluster) {
            return Some(table.clone());
        }
        let mut sum: BTreeMap<String, Row> = BTreeMap::new();
        let mut any = false;
        for (_, table) in all {
            any = true;
            for row in table.rows.into_iter().chain(table.other) {
                let into = sum
                    .entry(row.key.clone())
                    .or_insert_with(|| Row::new(row.key.clone()));
                for (column, cell) in row.cells {
                    use crate::evidence::{Cell, is_extreme};
                    match (into.cells.get_mut(&column), cell) {
                        (Some(Cell::Num(have)), Cell::Num(more)) if is_extreme(&column) => {
                            *have = have.max(more);
                        }
                        (Some(Cell::Num(have)), Cell::Num(more)) => *have += more,
                        (Some(_), _) => {}
                        (None, cell) => {
                            into.cells.insert(column, cell);
                        }
                    }
                }
            }
        }
        any.then(|| Table {
            rows: sum.into_values().collect(),
            other: None,
            error: 0.0,
        })
    }

    /// Whether the settings of a component were read at all.
    pub(super) fn settings_read(&self, component: &str) -> bool {
        self.settings.iter().any(|(name, _, _)| name == component)
    }

    /// A setting's value. `None` when the component's settings were not read, or when they do not
    /// hold the setting and `default` is not given.
    pub(super) fn setting(
        &self,
        component: &str,
        name: &str,
        default: Option<&str>,
    ) -> Option<Current> {
        let mut current = Current::default();
        for (have, node, table) in &self.settings {
            if have != component {
                continue;
            }
            let row = table.row(name);
            let source = row.and_then(|row| row.get_text("source"));
            let value = match row.and_then(|row| row.get_text("value")) {
                // The readers write a default that they do not know as an empty text.
                Some("") if source == Some("unknown default") => None,
                Some("") if source == Some("default") => default,
                Some(value) => Some(value),
                None => default,
            };
            if let Some(value) = value {
                current.values.push((
                    node.clone(),
                    value.to_owned(),
                    source.unwrap_or("default").to_owned(),
                ));
            }
        }
        for (have, node, table) in &self.said {
            let read = |(read, at, _): &(String, Option<String>, Table)| {
                read == have
                    && same_node(at.as_deref().unwrap_or(""), node.as_deref().unwrap_or(""))
            };
            if have == component
                && !self.settings.iter().any(read)
                && let Some(value) = table.row(name).and_then(|row| row.get_text("value"))
            {
                current
                    .values
                    .push((node.clone(), value.to_owned(), "log".to_owned()));
            }
        }
        (!current.values.is_empty()).then_some(current)
    }

    /// Each node whose settings say something of a setting, be it that it is not set, and its value.
    pub(super) fn rows_of(&self, component: &str, name: &str) -> Vec<(String, String)> {
        let mine = self
            .settings
            .iter()
            .filter(|(have, _, _)| have == component);
        mine.filter_map(|(_, node, table)| {
            let value = table.row(name)?.get_text("value")?;
            Some((node.clone().unwrap_or_default(), value.to_owned()))
        })
        .collect()
    }

    /// Why a source that may set it could not be read: its default is no value then.
    pub(super) fn unread(&self, component: &str, name: &str) -> Option<String> {
        let mut tables = self
            .settings
            .iter()
            .filter(|(have, _, _)| have == component);
        let why = tables.find_map(|(_, _, table)| table.row(name)?.get_text("unread"));
        why.map(str::to_owned)
    }

    /// Values of a setting that a file holds and the running process does not.
    pub(super) fn pending<'s>(
        &'s self,
        component: &str,
        name: &str,
    ) -> impl Iterator<Item = &'s str> + use<'s, 'a> {
        let (component, name) = (component.to_owned(), name.to_owned());
        self.settings
            .iter()
            .filter(move |(have, _, _)| *have == component)
            .filter_map(move |(_, _, table)| table.row(&name)?.get_text("defined"))
            .filter(|value| !value.is_empty())
    }

    /// Failed findings of a rule.
    pub(super) fn failed(&self, rule: &str) -> impl Iterator<Item = &'a Finding> + use<'a, '_> {
        let rule = rule.to_owned();
        self.input
            .findings
            .iter()
            .filter(move |finding| finding.rule == rule && finding.failed())
    }

    /// That the database is full, unless it was only full some time ago.
    pub(super) fn full_database(&self) -> Option<&'a Finding> {
        self.failed("nospace-alarm")
            .find(|finding| finding.severity == Severity::Critical)
    }

    /// The worst failed finding of a rule that is more than a note; of equals the first.
    pub(super) fn ails(&self, rule: &str) -> Option<&'a Finding> {
        self.failed(rule)
            .filter(|finding| finding.severity >= Severity::Warn)
            .min_by_key(|finding| std::cmp::Reverse(finding.severity))
    }

    /// The ids out of a list whose findings failed.
    pub(super) fn failing(&self, rules: &[&str]) -> Vec<String> {
        rules
            .iter()
            .filter(|rule| self.failed(rule).next().is_some())
            .map(|rule| (*rule).to_owned())
            .collect()
    }

    /// What asks for an advice: the ids out of a list whose findings failed, and what the diagnosis
    /// rests a cause on.
    pub(super) fn grounds(&self, rules: &[&str], cause: Cause) -> Vec<String> {
        let mut all = self.failing(rules);
        let causes = self.input.diagnosis.causes.iter();
        for rule in causes
            .filter(|found| found.cause == cause)
            .flat_map(|found| &found.rules)
        {
            if !all.contains(rule) {
                all.push(rule.clone());
            }
        }
        all
    }

    /// Whether a cause is shown and not a mere consequence of another.
    pub(super) fn has_cause(&self, cause: Cause) -> bool {
        self.input.diagnosis.verdict.cause == cause
            || self
                .input
                .diagnosis
                .causes
                .iter()
                .any(|found| found.cause == cause && found.role != Role::Consequence)
    }

    /// The rule whose finding says most for a cause.
    pub(super) fn leading_rule(&self, cause: Cause) -> Option<&'a str> {
        let mut causes = self.input.diagnosis.causes.iter();
        let found = causes.find(|found| found.cause == cause)?;
        found.rules.first().map(String::as_str)
    }

    /// The primary cause whose remedy comes before any scaling, where there is one.
    pub(super) fn first_cause(&self) -> Option<Cause> {
        let diagnosis = self.input.diagnosis;
        std::iter::once(diagnosis.verdict.cause)
            .chain(
                diagnosis
                    .causes
                    .iter()
                    .filter(|found| found.role == Role::Primary)
                    .map(|found| found.cause),
            )
            .find(|cause| cause.blocks_scaling_advice())
    }

    /// What says that etcd itself is ill, where no cause is shown that explains it.
    pub(super) fn etcd_ill(&self) -> Option<&'a Finding> {
        if self.input.diagnosis.verdict.cause != Cause::Unknown {
            return None;
        }
        ILL.iter()
            .chain(&["slow-requests"])
            .find_map(|rule| self.ails(rule))
    }

    /// What says that etcd is ill, throttled or slow, whatever the verdict: no limit in front of it is
    /// raised as a first remedy then.
    pub(super) fn etcd_sick(&self) -> Option<&'a Finding> {
        // Under a load that is known these are its consequence, and its remedies come before all limits.
        let slow: &[&str] = match self.has_cause(Cause::QueryLoad) {
            true => &[],
            false => &["etcd-requests-slow", "slow-requests"],
        };
        let mut found: Vec<&Finding> = ["etcd-cpu-throttled"]
            .iter()
            .chain(ILL)
            .chain(slow)
            .filter_map(|rule| self.ails(rule))
            .collect();
        // Of equals the first, which proves most.
        found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        found.first().copied()
    }

    /// Whether kube-apiserver is known to have no priority levels: they are off, or it is older.
    pub(super) fn without_levels(&self) -> bool {
        let off = self
            .setting(
                "kube-apiserver",
                "enable-priority-and-fairness",
                Some("true"),
            )
            .is_some_and(|current| current.texts().any(|text| text == "false"));
        off || self
            .kubernetes()
            .is_some_and(|span| span.oldest < Version::minor(1, 20))
    }

    /// What says that etcd answers slowly, as rule ids or the verdict's word.
    pub(super) fn etcd_slow(&self) -> Option<String> {
        if let Some(cause) = self.first_cause() {
            return Some(cause.headline().to_owned());
        }
        if self.has_cause(Cause::QueryLoad) {
            return Some(Cause::QueryLoad.headline().to_owned());
        }
        [
            "etcd-requests-slow",
            "slow-requests",
            "read-index-slow",
            "wal-sync-stalled",
        ]
        .into_iter()
        .find_map(|rule| self.ails(rule))
        .map(|finding| finding.message.clone())
    }

    /// Whether what etcd needs for its requests was seen, by either side, and was well.
    pub(super) fn etcd_is_fast(&self) -> bool {
        const ASKED: [&str; 2] = ["etcd-requests-slow", "slow-requests"];
        let passed = |finding: &&Finding| {
            ASKED.contains(&finding.rule.as_str()) && finding.status == Status::Pass
        };
        self.etcd_slow().is_none() && self.input.findings.iter().any(|one| passed(&one))
    }

    /// A limit's number.
    pub(super) fn limit(&self, name: &str) -> f64 {
        self.input.profile.get(name)
    }

    /// Addresses of the etcd members as kube-apiserver reaches them or as they announce
    /// themselves, and whether those are surely all: `--initial-cluster` of a node that joined first
    /// or second names nobody who came later.
    pub(super) fn etcd_hosts(&self) -> (Vec<String>, bool) {
        let mut hosts: BTreeSet<String> = BTreeSet::new();
        let mut asked = 0;
        for name in ["initial-cluster", "advertise-client-urls"] {
            if let Some(current) = self.setting("etcd", name, None) {
                for text in current.texts() {
                    hosts.extend(text.split(',').filter_map(host_of));
                }
            }
        }
        if let Some(current) = self.setting("kube-apiserver", "etcd-servers", None) {
            let servers: Vec<String> = current
                .texts()
                .flat_map(|text| text.split(','))
                .filter_map(host_of)
                .collect();
            let far = servers.iter().filter(|host| !is_loopback(host));
            asked = far.collect::<BTreeSet<_>>().len();
            // Stacked members listen on their loopback too; it names no other member.
            if hosts.is_empty() || servers.iter().any(|host| !is_loopback(host)) {
                hosts.extend(servers);
            }
        }
        if hosts.iter().any(|host| !is_loopback(host)) {
            hosts.retain(|host| !is_loopback(host));
        }
        let members = Members::of(self.input.evidence);
        // Whoever gives kube-apiserver other addresses than its own gives all of them. Without that, one
        // or two may be a cluster that was still being built up.
        let enough = members.all || asked > 0 || hosts.len() > 2;
        let all = !hosts.is_empty() && enough && hosts.len() >= members.least;
        (hosts.into_iter().collect(), all)
    }
}

fn nodes(reader: &Reader<'_>) -> Option<NodeCount> {
    let counted = reader
        .all(&keys::APISERVER_OBJECTS)
        .iter()
        .filter_map(|(_, table)| table.row("nodes")?.get("last_objects"))
        // The counter starts at 0 and is polled once a minute.
        .filter(|count| *count >= 1.0)
        .max_by(f64::total_cmp);
    if let Some(count) = counted.and_then(whole) {
        return Some(NodeCount {
            count,
            at_least: false,
            from: "kube-apiserver's object counts",
        });
    }
    let mut users = BTreeSet::new();
    for (_, table) in reader.all(&keys::LOGS_AUDIT_CLIENTS) {
        for row in &table.rows {
            if let Some(user) = row.get_text("user")
                && user.starts_with("system:node:")
            {
                users.insert(user.to_owned());
            }
        }
    }
    (!users.is_empty()).then_some(NodeCount {
        count: users.len() as u64,
        at_least: true,
        from: "kubelets named in the audit log",
    })
}

/// A measured count as a whole number.
pub(super) fn whole(n: f64) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to lie in the range of whole numbers"
    )]
    (n.is_finite() && (0.0..1e15).contains(&n)).then(|| n.round() as u64)
}

fn versions(reader: &Reader<'_>) -> BTreeMap<String, Span> {
    // A running process knows best, a log line next, an image tag last.
    let mut best: BTreeMap<(String, Option<String>), (u8, Version)> = BTreeMap::new();
    let mut offer = |subject: &Subject, rank: u8, text: Option<&str>| {
        let Some(version) = text.and_then(Version::parse) else {
            return;
        };
        let slot = best.entry(component_of(subject)).or_insert((rank, version));
        if rank < slot.0 {
            *slot = (rank, version);
        }
    };
    for (subject, table) in reader.all(&keys::METRICS_VERSIONS) {
        for row in &table.rows {
            offer(&subject, 0, row.get_text("version"));
        }
    }
    for (subject, table) in reader.all(&keys::LOGS_VERSIONS) {
        for row in &table.rows {
            offer(&subject, 2, row.get_text("version"));
        }
    }
    for (subject, table) in reader.all(&keys::VERSIONS) {
        for row in &table.rows {
            let rank = match row.key.as_str() {
                "metrics" | "binary" => 0,
                "image" => 1,
                _ => 2,
            };
            offer(&subject, rank, row.get_text("version"));
        }
    }
    let mut spans: BTreeMap<String, Span> = BTreeMap::new();
    for ((component, _), (_, version)) in best {
        spans
            .entry(component)
            .and_modify(|span| {
                span.oldest = span.oldest.min(version);
                span.newest = span.newest.max(version);
            })
            .or_insert(Span {
                oldest: version,
                newest: version,
            });
    }
    spans
}
