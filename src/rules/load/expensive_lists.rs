//! Lists of one resource decide what etcd spends its time on.

use std::collections::BTreeMap;

use crate::evidence::{Missing, Row, Subject, SubjectKind, Table, keys};
use crate::rules::seconds;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};
use crate::units::{format_bytes, format_ms};

/// The rule.
pub static RULE: Rule = Rule {
    id: "expensive-lists",
    summary: "lists of a resource cost etcd most of its time",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "expensive-lists",
    check,
};

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let logs = cx.evidence.get(&keys::LOGS_REQUESTS, &Subject::cluster());
    cx.evidence.take_citations();
    let metrics = cx.evidence.some(&keys::APISERVER_ETCD_REQUESTS);
    cx.evidence.take_citations();
    let mut drafts = Vec::new();
    if let Ok(metrics) = &metrics {
        from_metrics(cx, metrics, &mut drafts);
    }
    from_server(cx, logs.as_ref().ok(), &mut drafts);
    if let Ok(table) = &logs {
        from_logs(cx, table, &mut drafts);
    }
    match drafts.is_empty() {
        // etcd's own counters are enough.
        false => Ok(Verdict::Fail(drafts)),
        true => Verdict::of_either(drafts, logs, metrics),
    }
}

/// The aspect of lists that keep etcd itself at work.
pub(crate) const OWN_CPU: &str = "own-cpu";

/// What lists of one resource took, through one kube-apiserver or through several.
#[derive(Clone, Default)]
struct Lists {
    lists: f64,
    per_sec: f64,
    secs: f64,
    /// What all requests to etcd took.
    of_secs: f64,
    /// Lists whose objects were counted, and these objects.
    counted: f64,
    fetched: f64,
    of: Vec<Subject>,
}

impl Lists {
    /// Adds those through another kube-apiserver.
    fn add(&mut self, other: &Lists) {
        self.lists += other.lists;
        self.per_sec += other.per_sec;
        self.secs += other.secs;
        self.counted += other.counted;
        self.fetched += other.fetched;
        self.of.extend(other.of.iter().cloned());
    }

    fn share(&self) -> f64 {
        self.secs / self.of_secs
    }

    fn each_ms(&self) -> f64 {
        self.secs * 1e3 / self.lists.max(1.0)
    }

    /// Objects that one list fetched from etcd, on average.
    fn objects(&self) -> Option<f64> {
        (self.counted > 0.0).then(|| self.fetched / self.counted)
    }

    fn words(&self, resource: &str) -> String {
        format!(
            "{:.0} lists of {resource}{}{} took {} each, {:.0} % of the time the apiserver waited for etcd",
            self.lists,
            match self.of.len() {
                0 | 1 => String::new(),
                n => format!(" through {n} kube-apiservers"),
            },
            self.objects()
                .map_or_else(String::new, |n| format!(" ({n:.0} objects)")),
            format_ms(self.each_ms()),
            self.share() * 100.0
        )
    }
}

/// Exact counts: lists of one resource take a large share of all time spent waiting for etcd,
/// and each takes long. A client's lists may be spread over all kube-apiservers or go to one of them.
fn from_metrics(cx: &Context<'_>, metrics: &[(Subject, Table)], drafts: &mut Vec<Draft>) {
    let share_limit = cx.profile.limit("list-share");
    let fast = cx.profile.get("etcd-request-fast");
    let least = cx.profile.get("list-rate");
    let page = cx.profile.get("list-items");
    let dear = |it: &Lists| {
        let large = it.each_ms() >= fast || it.objects().is_some_and(|n| n >= page);
        it.of_secs > 0.0 && it.share() >= share_limit.value && large && it.per_sec >= least
    };
    let mut by: BTreeMap<&str, Vec<Lists>> = BTreeMap::new();
    let mut waited = 0.0;
    for (subject, table) in metrics {
        let record = cx.evidence.record(&keys::APISERVER_ETCD_REQUESTS, subject);
        let Some(secs) = record.and_then(|record| record.secs()).filter(|s| *s > 0.0) else {
            continue;
        };
        let of_secs = table.total("total_secs");
        waited += of_secs;
        let objects = cx.evidence.peek(&keys::APISERVER_LISTS, subject);
        for row in &table.rows {
            let objects = objects.as_ref().and_then(|table| table.row(&row.key));
            let count = |column| objects.and_then(|row| row.get(column)).unwrap_or(0.0);
            let lists = row.get("lists").unwrap_or(0.0);
            by.entry(&row.key).or_default().push(Lists {
                lists,
                per_sec: lists / secs,
                secs: row.get("list_secs").unwrap_or(0.0),
                of_secs,
                counted: count("lists"),
                fetched: count("fetched"),
                of: vec![subject.clone()],
            });
        }
    }
    let mut found: Vec<(&str, Lists)> = Vec::new();
    for (resource, each) in &by {
        // Those that list none of it wait for etcd as well.
        let mut all = Lists {
            of_secs: waited,
            ..Lists::default()
        };
        for one in each.iter().filter(|one| one.lists > 0.0) {
            all.add(one);
        }
        let most = each
            .iter()
            .max_by(|a, b| a.secs.total_cmp(&b.secs))
            .cloned();
        found.extend(
            [Some(all), most]
                .into_iter()
                .flatten()
                .find(|it| dear(it))
                .map(|it| (*resource, it)),
        );
    }
    found.sort_by(|a, b| b.1.secs.total_cmp(&a.1.secs));
    for (resource, it) in found {
        let words = it.words(resource);
        for subject in &it.of {
            cx.evidence
                .cite_as(&keys::APISERVER_ETCD_REQUESTS, subject, words.clone());
        }
        drafts.push(
            Draft::new(
                Subject::new(SubjectKind::Resource, resource),
                Severity::Warn,
                words,
            )
            .weight(it.share())
            .threshold(share_limit.words())
            .cites(cx.evidence.take_citations()),
        );
    }
}

/// What the answers of a member to its clients are, by its own counters.
struct Answers {
    ranges_per_sec: f64,
    bytes_per_range: f64,
    cores: f64,
}

impl Answers {
    fn of(cx: &Context<'_>, member: &Subject, counters: &Table) -> Option<Self> {
        let of = |row: &str, column: &str| counters.row(row)?.get(column);
        let ranges = of("ranges", "count").filter(|n| *n > 0.0)?;
        let sent = of("client-bytes-out", "count")?;
        // Watchers get each change: at most the size of what was put.
        let events = of("watch-events", "count").unwrap_or(0.0);
        let put = of("client-bytes-in", "count").unwrap_or(0.0);
        let puts = of("puts", "count").unwrap_or(0.0).max(1.0);
        let (_, instance) = member.name.split_once('/').unwrap_or((&member.name, ""));
        let cores = cx
            .evidence
            .all(&keys::PROCESS_CPU)
            .into_iter()
            .filter(|(of, _)| of.node_name() == member.node_name())
            .find(|(of, _)| match of.name.split_once('/') {
                None => of.name == "etcd" && instance.is_empty(),
                Some((name, its)) => name == "etcd" && its == instance,
            });
        cx.evidence.take_citations();
        let (process, cores) = cores?;
        cx.evidence.cite(&keys::PROCESS_CPU, &process);
        Some(Answers {
            ranges_per_sec: of("ranges", "per_sec")?,
            bytes_per_range: (sent - events * put / puts) / ranges,
            cores,
        })
    }
}

/// etcd's own counters: its answers are whole lists, and it is at work on them most of the time. Whoever
/// asks so burns the processor that etcd then waits for.
fn from_server(cx: &Context<'_>, logs: Option<&Table>, drafts: &mut Vec<Draft>) {
    let size = cx.profile.limit("list-size");
    let busy = cx.profile.limit("list-cpu");
    // The one that logged lists are of, where one is most of them.
    let total = logs.map_or(0.0, |table| table.total("list_slow_secs"));
    let logged = logs
        .and_then(|table| table.top("list_slow_secs").into_iter().next())
        .filter(|(_, secs)| *secs > 0.0 && *secs >= total / 2.0);
    let members = cx.evidence.all(&keys::SERVER_COUNTERS);
    cx.evidence.take_citations();
    for (member, counters) in members {
        let Some(it) = Answers::of(cx, &member, &counters)
            .filter(|it| it.bytes_per_range >= size.value && it.cores >= busy.value)
        else {
            cx.evidence.take_citations();
            continue;
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a mean of sizes"
        )]
        let mut words = format!(
            "etcd used {:.1} cores itself, for {:.1} reads a second whose answers were {} each on average",
            it.cores,
            it.ranges_per_sec,
            format_bytes(it.bytes_per_range as u64)
        );
        let mut subject = member.clone();
        if let Some((row, _)) = &logged {
            words.push_str("; the slow lists that it logged are of ");
            words.push_str(&row.key);
            subject = Subject::new(SubjectKind::Resource, &row.key).on(member.node_name());
        }
        cx.evidence
            .cite_as(&keys::SERVER_COUNTERS, &member, words.clone());
        drafts.push(
            Draft::new(subject, Severity::Warn, words)
                .aspect(OWN_CPU)
                .weight(1.0)
                .threshold(format!("{}; {}", size.words(), busy.words()))
                .cites(cx.evidence.take_citations()),
        );
    }
}

/// From this share of a list's time on, a read of one object is as slow.
const AS_SLOW: f64 = 0.8;

/// Slow requests only: large answers that take a large share of all slow-seconds.
fn from_logs(cx: &Context<'_>, table: &Table, drafts: &mut Vec<Draft>) {
    let share_limit = cx.profile.limit("list-share");
    let page = cx.profile.get("list-items");
    let size = cx.profile.get("list-size");
    let least = cx.profile.get("list-lines");
    let busy = cx.profile.get("list-busy");
    let usual = cx.profile.get("slow-apply-default");
    let span = cx
        .evidence
        .record(&keys::LOGS_REQUESTS, &Subject::cluster())
        .and_then(|record| record.secs());
    let total = table.total("slow_secs");
    let bound = cx
        .evidence
        .peek(&keys::LOGS_READINDEX_BOUND, &Subject::cluster())
        .and_then(|table| table.row("all").and_then(|row| row.get("slow_secs")))
        .unwrap_or(0.0);
    // Where most of the time went into waiting for the leader, the keys asked for are an accident.
    if total <= 0.0 || bound / total > 0.5 {
        return;
    }
    // Where reads of one object take as long as lists of thousands do, neither is the reason.
    let gets = table.total("gets");
    let lists = table.total("lists");
    let get_secs = table
        .rows
        .iter()
        .filter(|row| row.get("gets").is_some_and(|n| n > 0.0))
        .map(|row| {
            let of = |column| row.get(column).unwrap_or(0.0);
            // Other reads than lists and gets are not told apart: an upper bound.
            (of("slow_secs") - of("list_slow_secs") - of("write_slow_secs")).max(0.0)
        })
        .sum::<f64>();
    let list_secs = table.total("list_slow_secs");
    if gets >= lists
        && gets >= least
        && get_secs / gets.max(1.0) >= AS_SLOW * list_secs / lists.max(1.0)
    {
        return;
    }
    let mean =
        |row: &Row, column: &str, lists: f64| row.get(column).map(|sum| sum / lists.max(1.0));
    for (row, list_secs) in table.top("list_slow_secs") {
        let lists = row.get("lists").unwrap_or(0.0);
        let items = mean(row, "items", lists).unwrap_or(0.0);
        let bytes = mean(row, "bytes", lists).unwrap_or(0.0);
        let large = items >= page || bytes >= size;
        if list_secs / total < share_limit.value || lists < least || !large {
            continue;
        }
        // A lowered warning threshold logs lists that cost nothing: lines are not slowness. Slow ones
        // now and then, in a log of days, hold nobody up.
        let slow = list_secs * 1e3 / lists.max(1.0) >= usual;
        let at_once = || within_an_hour(cx, &row.key, (lists, span)) >= least;
        let is_busy = span.is_some_and(|span| list_secs / span >= busy);
        if !(is_busy || slow && at_once()) {
            continue;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a mean of sizes"
        )]
        let words = format!(
            "{lists:.0} slow lists of {} ({items:.0} objects, {} each) took {:.0} % of all logged time",
            row.key,
            format_bytes(bytes as u64),
            list_secs / total * 100.0
        );
        cx.evidence
            .cite_as(&keys::LOGS_REQUESTS, &Subject::cluster(), words.clone());
        let subject = Subject::new(SubjectKind::Resource, &row.key);
        let cites = cx.evidence.take_citations();
        let same = |draft: &Draft| {
            let its = draft.about();
            its.kind == subject.kind && its.name == subject.name
        };
        if let Some(have) = drafts.iter_mut().find(|draft| same(draft)) {
            have.add_citations(cites);
            continue;
        }
        drafts.push(
            Draft::new(subject, Severity::Warn, words)
                // The log holds slow requests only: a lower bound and an inference.
                .confidence(Confidence::Medium)
                .weight(list_secs / total)
                .threshold(share_limit.words())
                .cites(cites),
        );
    }
}

/// How many of a resource's slow lists came within one hour.
fn within_an_hour(cx: &Context<'_>, resource: &str, lists: (f64, Option<f64>)) -> f64 {
    let key = &keys::LOGS_SLOW_SECONDS;
    seconds::within_an_hour(cx, key, &["slow-apply"], lists, |names| {
        names == [resource, "list"]
    })
}

#[cfg(test)]
mod tests;
