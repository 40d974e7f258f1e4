//! One record as a JSON object.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::logs::event::{Component, Event, Extra};
use crate::logs::record::TimeSource;

use super::Redact;

/// An event as JSON, up to the request it belongs to.
pub(super) struct Object<'o> {
    pub(super) file: &'o str,
    pub(super) line: u64,
    pub(super) line_end: u64,
    pub(super) event: &'o Event<'o>,
    pub(super) component: Component,
    pub(super) redact: &'o dyn Redact,
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.event;
        let ms = |ns: Option<u64>| ns.map(|ns| ns as f64 / 1e6);
        let request = event.request.as_ref();
        let api = event.api.as_deref();
        let parts = request
            .map(|request| &request.parts)
            .or(api.map(|call| &call.parts));
        let namespace = parts.and_then(|parts| parts.namespace.as_deref());
        let name = parts.and_then(|parts| parts.name.as_deref());
        let resource = parts
            .map(|parts| parts.resource.as_ref())
            .filter(|resource| !resource.is_empty());
        let group = match parts {
            Some(parts) if resource.is_some() => match parts.builtin {
                Some(builtin) => builtin
                    .resource_group
                    .split_once('.')
                    .map(|(_, group)| group),
                None => parts.group.as_deref(),
            },
            _ => None,
        };
        let key = request
            // The beginning of a key is another one.
            .filter(|request| !request.torn)
            .and_then(|request| request.key.as_deref())
            .map(|key| self.redact.key(&String::from_utf8_lossy(key)));
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("file", &self.redact.text(self.file))?;
        map.serialize_entry("line", &self.line)?;
        map.serialize_entry("line_end", &self.line_end)?;
        map.serialize_entry("time", &event.time)?;
        let source = match event.time_source {
            TimeSource::None => None,
            TimeSource::Inner => Some("inner"),
            TimeSource::Wrapper => Some("wrapper"),
            TimeSource::Completed => Some("completed"),
        };
        map.serialize_entry("time_source", &source)?;
        let component =
            Some(self.component.word()).filter(|_| self.component != Component::Unknown);
        map.serialize_entry("component", &component)?;
        map.serialize_entry("level", &event.level.word())?;
        map.serialize_entry("kind", event.kind)?;
        map.serialize_entry("resource", &resource)?;
        map.serialize_entry("group", &group.filter(|group| !group.is_empty()))?;
        map.serialize_entry("namespace", &namespace.map(|text| self.redact.name(text)))?;
        map.serialize_entry("key", &key)?;
        map.serialize_entry("operation", &request.map(|r| r.operation.word()))?;
        map.serialize_entry("shape", &request.map(|r| r.shape.word()))?;
        map.serialize_entry("took_ms", &ms(event.took_ns))?;
        map.serialize_entry("range_response_count", &event.response.range_response_count)?;
        map.serialize_entry("response_size", &event.response.size)?;
        let client = event.client.as_deref();
        map.serialize_entry("client", &client.map(|text| self.redact.agent(text)))?;
        let named = name.is_some();
        if let Some(name) = name {
            map.serialize_entry("name", &self.redact.name(name))?;
        }
        let limit = request.and_then(|request| request.limit);
        if let Some(limit) = limit {
            map.serialize_entry("limit", &limit)?;
        }
        if let Some(expected) = ms(event.expected_ns) {
            map.serialize_entry("expected_ms", &expected)?;
        }
        if let Some(agreement) = ms(event.agreement_ns) {
            map.serialize_entry("agreement_ms", &agreement)?;
        }
        if event.repeats != 1 {
            map.serialize_entry("repeats", &event.repeats)?;
        }
        if let Some(call) = api {
            if !call.verb.is_empty() {
                map.serialize_entry("verb", &call.verb)?;
            }
            if let Some(subresource) = &call.subresource {
                map.serialize_entry("subresource", subresource)?;
            }
            if let Some(agent) = &call.user_agent {
                map.serialize_entry("user_agent", &self.redact.agent(agent))?;
            }
            if let Some(status) = call.status {
                map.serialize_entry("status", &status)?;
            }
        }
        if let Some(error) = &event.error {
            map.serialize_entry("error", &self.redact.text(error))?;
        }
        for (at, (name, value)) in event.extra.iter().enumerate() {
            // What the request or the call has already said under this name.
            let said = match *name {
                "name" => named,
                "limit" => limit.is_some(),
                "expected_ms" => event.expected_ns.is_some(),
                "agreement_ms" => event.agreement_ns.is_some(),
                "repeats" => event.repeats != 1,
                "verb" => api.is_some_and(|call| !call.verb.is_empty()),
                "subresource" => api.is_some_and(|call| call.subresource.is_some()),
                "user_agent" => api.is_some_and(|call| call.user_agent.is_some()),
                "status" => api.is_some_and(|call| call.status.is_some()),
                "error" => event.error.is_some(),
                _ => taken(name),
            };
            // A field may stand twice (`from` up to 3.5): an object has it once.
            if said || event.extra.iter().take(at).any(|(known, _)| known == name) {
                continue;
            }
            match value {
                Extra::Text(text) if matches!(*name, "user" | "impersonated") => {
                    map.serialize_entry(name, &self.redact.user(text))?;
                }
                Extra::Text(text) => map.serialize_entry(name, &self.redact.text(text))?,
                Extra::Int(number) => map.serialize_entry(name, number)?,
                Extra::Num(number) => map.serialize_entry(name, number)?,
                Extra::Flag(flag) => map.serialize_entry(name, flag)?,
            }
        }
        map.end()
    }
}

/// Names that every object has.
fn taken(name: &str) -> bool {
    matches!(
        name,
        "file"
            | "line"
            | "line_end"
            | "time"
            | "time_source"
            | "component"
            | "level"
            | "kind"
            | "resource"
            | "group"
            | "namespace"
            | "key"
            | "operation"
            | "shape"
            | "took_ms"
            | "range_response_count"
            | "response_size"
            | "client"
            | "request_id"
            | "primary"
    )
}
