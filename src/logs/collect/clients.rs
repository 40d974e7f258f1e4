//! Who asked: client-side throttling, traced calls and the audit log, as evidence.

use std::collections::BTreeMap;

use crate::evidence::{Completeness, EvidenceSet, Row, Subject, Table, Window, keys};

use super::super::aggregate::audit::{AuditRow, SEPARATOR};
use super::super::view::{DelayView, UNNAMED_CLIENT, View};
use super::{MAX_CLIENTS, MAX_ROWS, Out, add, component, ms, num, secs, subject, table};

pub(super) fn delays(view: &View, out: &Out<'_>, set: &mut EvidenceSet) {
    let mut tables: Vec<(Subject, Vec<Row>)> = Vec::new();
    for delay in &view.throttling {
        let [verb, resource] = parts(delay);
        let mut row = Row::new(format!("{verb} {resource}"))
            .num("lines", num(delay.row.lines))
            .num("max_delay_ms", ms(delay.row.max_ns))
            .text("component", component(&delay.place))
            .text("verb", verb)
            .text("resource", resource);
        if is_startup(view, delay) {
            row = row.num("startup", num(delay.row.lines));
        }
        if let Some(last) = delay.row.last {
            row = row.num("last_secs", last.0 as f64 / 1e6);
        }
        let about = subject(&delay.place);
        match tables.iter_mut().find(|(have, _)| *have == about) {
            Some((_, rows)) => rows.push(row),
            None => tables.push((about, vec![row])),
        }
    }
    for (about, rows) in tables {
        set.put(
            &keys::LOGS_THROTTLING,
            about,
            out.window,
            out.origin().with(Completeness::AtLeast),
            table(rows, MAX_ROWS),
        );
    }
    if view.throttling.is_empty() {
        // Nobody said so: that is known, and at default verbosity no proof of none.
        set.put(
            &keys::LOGS_THROTTLING,
            Subject::cluster(),
            out.window,
            out.origin().with(Completeness::AtLeast),
            Table::default(),
        );
    }
    turned_away(view, out, set);
    apiserver_calls(view, out, set);
    if view.traces.is_empty() && !view.has("kube-apiserver") {
        return;
    }
    let rows = view
        .traces
        .iter()
        .map(|delay| {
            let [agent, verb, resource] = parts(delay);
            Row::new(format!("{agent} {verb} {resource}"))
                .num("count", num(delay.row.lines))
                .num("max_ms", ms(delay.row.max_ns))
                .num("total_ms", ms(delay.row.sum_ns))
                .text("user_agent", agent)
                .text("verb", verb)
                .text("resource", resource)
        })
        .collect();
    set.put(
        &keys::LOGS_TRACES,
        Subject::cluster(),
        out.window,
        out.origin().with(Completeness::AtLeast),
        table(rows, MAX_ROWS),
    );
}

/// Slow calls that kube-apiserver itself made, by whom it called.
fn apiserver_calls(view: &View, out: &Out<'_>, set: &mut EvidenceSet) {
    let mut tables: BTreeMap<Subject, Vec<Row>> = BTreeMap::new();
    for delay in &view.calls {
        let [target, name, verb, resource] = parts(delay);
        let row = Row::new(format!("{target} {name} {verb} {resource}"))
            .num("count", num(delay.row.lines))
            .num("max_ms", ms(delay.row.max_ns))
            .num("total_ms", ms(delay.row.sum_ns))
            .text("target", target)
            .text("name", name)
            .text("verb", verb)
            .text("resource", resource);
        tables.entry(subject(&delay.place)).or_default().push(row);
    }
    for (about, rows) in tables {
        set.put(
            &keys::LOGS_APISERVER_CALLS,
            about,
            out.window,
            out.origin().with(Completeness::AtLeast),
            table(rows, MAX_ROWS),
        );
    }
}

fn turned_away(view: &View, out: &Out<'_>, set: &mut EvidenceSet) {
    let logged = |kind: &str| kind.starts_with("http-");
    if !view.kinds.iter().any(|kind| logged(&kind.kind)) {
        return;
    }
    // Replicas tell of the same level and the same client.
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for delay in &view.turned_away {
        let [level, schema, agent] = parts(delay);
        let key = format!("{level} | {schema} | {agent}");
        let mut row = Row::new(&key).num("count", num(delay.row.lines));
        if let Some(last) = delay.row.last {
            row = row.num("last_secs", last.0 as f64 / 1e6);
        }
        let known = rows.entry(key).or_insert_with_key(|key| {
            Row::new(key)
                .text("level", level)
                .text("flow_schema", schema)
                .text("user_agent", agent)
        });
        add(known, &row);
    }
    let mut rows: Vec<Row> = rows.into_values().collect();
    let count = |row: &Row| row.get("count").unwrap_or(0.0);
    rows.sort_by(|a, b| count(b).total_cmp(&count(a)));
    set.put(
        &keys::LOGS_TURNED_AWAY,
        Subject::cluster(),
        out.window,
        out.origin(),
        table(rows, MAX_ROWS),
    );
}

/// Whether all of a client's delays are of the time right after its start, when it lists all that
/// it watches.
fn is_startup(view: &View, delay: &DelayView) -> bool {
    const STARTING_US: i64 = 120_000_000;
    let (Some(first), Some(last)) = (delay.row.first, delay.row.last) else {
        return false;
    };
    // Of a client without a name it may be any start.
    let unnamed = delay.place.component == UNNAMED_CLIENT;
    let starts = view
        .facts
        .iter()
        .filter(|(place, _)| *place == delay.place || unnamed && place.node == delay.place.node)
        .flat_map(|(_, facts)| &facts.starts);
    starts
        .filter_map(|start| start.at)
        .any(|at| first.since_us(at) >= 0 && last.since_us(at) <= STARTING_US)
}

fn parts<const N: usize>(delay: &DelayView) -> [&str; N] {
    std::array::from_fn(|at| delay.parts.get(at).map_or("", String::as_str))
}

pub(super) fn audit(view: &View, out: &Out<'_>, set: &mut EvidenceSet) {
    if view.audit_records == 0 {
        return;
    }
    let total = &view.audit.total;
    let window = Window {
        from: total.first,
        to: total.last,
    };
    let mut callers: Vec<(&str, &AuditRow)> = view.audit.callers.iter().collect();
    callers.sort_by(|a, b| {
        b.1.all_requests()
            .cmp(&a.1.all_requests())
            .then(a.0.cmp(b.0))
    });
    let mut other = view
        .audit
        .callers
        .other()
        .map(|row| audit_row("other", row));
    let rest: Vec<Row> = callers
        .iter()
        .skip(MAX_CLIENTS)
        .map(|(_, row)| audit_row("other", row))
        .collect();
    for row in &rest {
        add(other.get_or_insert_with(|| Row::new("other")), row);
    }
    let rows = callers
        .iter()
        .take(MAX_CLIENTS)
        .map(|(key, row)| {
            let mut parts = key.split(SEPARATOR);
            let mut next = || parts.next().unwrap_or_default();
            let (agent, user, verb, resource) = (next(), next(), next(), next());
            audit_row(&format!("{agent} | {user} | {verb} {resource}"), row)
                .text("user_agent", agent)
                .text("user", user)
                .text("verb", verb)
                .text("resource", resource)
        })
        .collect();
    let mut clients = table(rows, MAX_CLIENTS);
    clients.other = other;
    set.put(
        &keys::LOGS_AUDIT_CLIENTS,
        Subject::cluster(),
        window,
        out.origin(),
        clients,
    );
}

fn audit_row(key: &str, row: &AuditRow) -> Row {
    // The rate between the row's own first and last request: a loop that began late is as fast.
    let rated = match row.rate() {
        Some(rate) => Row::new(key).num("max_per_sec", rate),
        None => Row::new(key),
    };
    rated
        .num("requests", num(row.all_requests()))
        .num("not_found", num(row.not_found))
        .num("conflicts", num(row.conflicts))
        .num("throttled", num(row.throttled))
        .num("held", num(row.held))
        .num("errors", num(row.server_errors))
        .num("timeouts", num(row.timeouts))
        // A list without limit is answered from the cache where it names a resource version.
        .num("bare", num(row.bare))
        .num("bare_secs", secs(row.bare_ns))
        .num("unlimited", num(row.unbounded))
        .num("unlimited_secs", secs(row.unbounded_ns))
        .num("rv_unset", num(row.rv_unset))
        .num("total_secs", secs(row.took.sum_ns()))
        .num("max_ms", ms(row.took.max_ns().unwrap_or(0)))
        .num("etcd_secs", secs(row.etcd_ns))
}
