//! kube-apiserver's watch cache: events that it gets from etcd faster than it, or those who watch, can
//! take them.

use crate::logs::event::Component::Apiserver;
use crate::logs::event::Event;
use crate::logs::record::Level::{Info, Warn};
use crate::logs::record::Record;

use super::api_trace::of_name;
use super::classify::Detail;
use super::dispatch::Found;
use super::extract::{self, call};
use super::types::How::{Find, Klog};
use super::types::Nature::Symptom;
use super::types::Role::{Int, Text as Txt, Took};
use super::types::{Extractor, Field, Signature, field, form, row};

const TYPE: Field = field("type", Txt("object_type"), "a resource or a Go type");

pub(super) static TABLE: &[Signature] = &[
    row(
        "watcher-closed-slow", Apiserver, Warn, Symptom, "all",
        "A watch was closed because its client did not take its events in time: the client, the network or kube-apiserver is too slow. The client lists or watches anew.",
        &[
            form(Find("^Forcing watcher close due to unresponsiveness: {type}"), "W0305 10:11:15.123456       1 cacher.go:863] Forcing watcher close due to unresponsiveness: *core.Pod"),
            form(Find("^Forcing {type} watcher close due to unresponsiveness: {_}len(c.input) = {input:int}, len(c.result) = {result:int},"), r#"I0305 10:11:15.123456       1 cache_watcher.go:193] Forcing pods watcher close due to unresponsiveness: key: "/pods/", labels: "", fields: "spec.nodeName=n1". len(c.input) = 10, len(c.result) = 10, graceful = false"#),
        ],
        &[TYPE, field("input", Int("queued"), "events that wait"), field("result", Int("queued_result"), "events ready to be sent")],
    )
    .by(Extractor::WatchCache),
    row(
        "watch-init-slow", Apiserver, Info, Symptom, "all; above 500 ms, at v2 in some",
        "A watch that began got everything there is, which took long.",
        &[form(Find("^processing {count:int} initEvents of {type} took {took}"), "I0305 10:11:15.123456       1 cacher.go:1129] processing 17963 initEvents of *core.Pod took 5.657225771s")],
        &[TYPE, field("count", Int("queued"), "objects"), field("took", Took, "")],
    )
    .by(Extractor::WatchCache),
    row(
        "watch-processing-slow", Apiserver, Info, Symptom, "all",
        "Events arrive from etcd faster than kube-apiserver decodes and hands them on: a buffer of them is full.",
        &[
            form(Klog("Fast watcher, slow processing. Probably caused by slow decoding, user not receiving fast, or other processing logic"), r#"I1101 20:09:12.285170      54 watcher.go:439] "Fast watcher, slow processing. Probably caused by slow decoding, user not receiving fast, or other processing logic" incomingEvents=100 objectType="*core.Pod" groupResource="pods""#),
            form(Find("^Fast watcher, slow processing"), "I1101 20:09:12.285170      54 watcher.go:230] Fast watcher, slow processing. Number of buffered events: 100. Probably caused by slow decoding, user not receiving fast, or other processing logic"),
        ],
        &[
            field("groupResource", Txt("object_type"), "a resource"),
            field("incomingEvents", Int("queued"), "events that wait"),
        ],
    )
    .by(Extractor::WatchCache),
    row(
        "watch-cache-terminated", Apiserver, Warn, Symptom, "all",
        "The watch cache of a resource lost its own watch of etcd and closes all of its clients', who list anew.",
        &[form(Find("^Terminating all watchers from cacher {type}"), "W0305 10:11:17.123456       1 cacher.go:162] Terminating all watchers from cacher *core.Pod")],
        &[TYPE],
    )
    .by(Extractor::WatchCache),
    row(
        "watch-cache-queued", Apiserver, Info, Symptom, "1.16+, at v1",
        "More events than ever since its start wait to be taken into the watch cache of a resource.",
        &[form(Find("^cacher ({type}): {count:int} objects queued in incoming channel"), "I0305 10:11:17.123456       1 cacher.go:801] cacher (*core.Pod): 1 objects queued in incoming channel.")],
        &[TYPE, field("count", Int("queued"), "")],
    )
    .by(Extractor::WatchCache),
];

/// Reads the declared fields, and of what resource the cache is where the line says more than a type.
pub(super) fn watch_cache<'a>(
    event: &mut Event<'a>,
    record: &'a Record<'a>,
    found: &Found<'a>,
    detail: Detail,
) {
    extract::fields(event, record, found, detail);
    let in_field = || record.fields.get("groupResource").map(|value| value.raw);
    let name = found.captures.get("type").or_else(in_field);
    let name = name.and_then(|name| str::from_utf8(name).ok());
    if let Some(parts) = name
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .and_then(of_name)
    {
        call(event).parts = parts;
    }
}
