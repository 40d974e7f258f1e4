//! Tables of delays: who waited how long for what.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::logs::event::{ApiCall, Event};

use super::audit::SEPARATOR;
use super::facts::text;
use super::hash::stable_hash;
use super::kinds::earliest;
use super::seconds::{Cell, Class, Seconds};
use super::table::{Bounded, RowValue};

/// Delays of one client's requests of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DelayRow {
    /// Lines: a floor, since the client limits them itself.
    pub lines: u64,
    /// The largest delay in nanoseconds.
    pub max_ns: u64,
    /// Sum of delays.
    pub sum_ns: u64,
    /// Earliest line.
    pub first: Option<Timestamp>,
    /// Latest line.
    pub last: Option<Timestamp>,
}

impl DelayRow {
    fn count(&mut self, event: &Event<'_>) {
        let ns = event.took_ns.unwrap_or(0);
        self.lines += event.repeats;
        self.max_ns = self.max_ns.max(ns);
        self.sum_ns = self.sum_ns.saturating_add(ns);
        self.first = earliest(self.first, event.time);
        self.last = self.last.max(event.time);
    }
}

impl RowValue for DelayRow {
    fn add(&mut self, other: &Self) {
        self.lines += other.lines;
        self.max_ns = self.max_ns.max(other.max_ns);
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        self.first = earliest(self.first, other.first);
        self.last = self.last.max(other.last);
    }
    fn raise(&mut self, other: &Self) {
        self.lines = self.lines.max(other.lines);
        self.max_ns = self.max_ns.max(other.max_ns);
        self.sum_ns = self.sum_ns.max(other.sum_ns);
    }
    fn weight(&self) -> u64 {
        self.lines + self.sum_ns / 1_000_000
    }
}

/// A delay by verb and resource.
pub(super) fn call_row(table: &mut Bounded<DelayRow>, event: &Event<'_>) {
    let call = event.api.as_deref();
    let verb = call.map_or("", |call| call.verb.as_ref());
    let key = key_of([verb, &resource_of(call)]);
    table.entry(&key).count(event);
    if table.is_over() {
        table.prune(&[]);
    }
}

/// A request answered 429 by priority level, flow schema and user agent.
pub(super) fn turned_away_row(table: &mut Bounded<DelayRow>, event: &Event<'_>) {
    let level = text(event, "priority_level").unwrap_or("");
    let schema = text(event, "flow_schema").unwrap_or("");
    let agent = event
        .api
        .as_deref()
        .and_then(|call| call.user_agent.as_deref());
    let key = key_of([level, schema, agent.unwrap_or("")]);
    table.entry(&key).count(event);
    if table.is_over() {
        table.prune(&[]);
    }
}

/// A call of kube-apiserver by whom it called, name, verb and resource.
pub(super) fn calls_row(
    table: &mut Bounded<DelayRow>,
    target: &str,
    name: &str,
    event: &Event<'_>,
) {
    let call = event.api.as_deref();
    let verb = call.map_or("", |call| call.verb.as_ref());
    let key = key_of([target, name, verb, &resource_of(call)]);
    table.entry(&key).count(event);
    if table.is_over() {
        table.prune(&[]);
    }
}

/// A slow call by user agent, or address, verb and resource.
pub(super) fn trace_row(table: &mut Bounded<DelayRow>, event: &Event<'_>) {
    let call = event.api.as_deref();
    let agent = call
        .and_then(|call| call.user_agent.as_deref())
        .or(event.client.as_deref())
        .unwrap_or("");
    let verb = call.map_or("", |call| call.verb.as_ref());
    let key = key_of([agent, verb, &resource_of(call)]);
    table.entry(&key).count(event);
    if table.is_over() {
        table.prune(&[]);
    }
}

/// Marks the seconds that a traced call spans.
pub(super) fn trace_second(seconds: &mut Seconds, event: &Event<'_>) {
    let (Some(call), Some(at), Some(ns)) = (event.api.as_deref(), event.time, event.took_ns) else {
        return;
    };
    let agent = call.user_agent.as_deref().unwrap_or("");
    let Some(class @ (Class::List | Class::Write)) = Class::of_verb(&call.verb) else {
        return;
    };
    if agent.is_empty() {
        return;
    }
    let cell = Cell {
        requests: 1,
        ns,
        unlimited: 0,
    };
    let resource = call.parts.resource_group();
    let began = at.add_us(
        i64::try_from(ns / 1_000)
            .unwrap_or(i64::MAX)
            .saturating_neg(),
    );
    let tag = [agent, &resource, class.word()]
        .iter()
        .fold(2, |hash, part| stable_hash(hash, part.as_bytes()));
    seconds.add_span(began.0, at.0, tag, &cell, &|key| {
        key.push_str(&resource);
        for part in [class.word(), agent, ""] {
            key.push(SEPARATOR);
            key.push_str(part);
        }
    });
}

/// The key of a row: its parts with [`SEPARATOR`] between them.
fn key_of<const N: usize>(parts: [&str; N]) -> String {
    let mut key = String::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    for (at, part) in parts.into_iter().enumerate() {
        if at > 0 {
            key.push(SEPARATOR);
        }
        key.push_str(part);
    }
    key
}

fn resource_of<'a>(call: Option<&'a ApiCall<'_>>) -> Cow<'a, str> {
    let Some(call) = call else {
        return Cow::Borrowed("");
    };
    let resource = call.parts.resource_group();
    match call.subresource.as_deref() {
        Some(sub) if !sub.is_empty() => Cow::Owned([resource.as_ref(), "/", sub].concat()),
        _ => resource,
    }
}
