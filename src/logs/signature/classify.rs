//! From a record to an event.

use crate::logs::event::{Component, Event, Response};
use crate::logs::record::{Encoding, Fields, Record};

use super::extract::PlainFields;
use super::types::{Extractor, Signature};
use super::{api, api_trace, apply, dispatch, extract, kine, origin, requests, watch_cache};

/// How much of a record is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// What the load table and the timeline need; signatures' own fields are left out.
    Counts,
    /// Everything.
    #[default]
    Full,
}

/// What a record means, or `None` where the catalogue does not know it.
pub fn classify<'a>(record: &'a Record<'a>, detail: Detail) -> Option<Event<'a>> {
    classify_as(record, |_| detail)
}

/// As [`classify`]; how much is wanted depends on the signature's id.
#[inline]
pub fn classify_as<'a>(
    record: &'a Record<'a>,
    detail: impl FnOnce(&'static str) -> Detail,
) -> Option<Event<'a>> {
    let found = dispatch::find(record)?;
    let detail = detail(found.signature.id);
    extracted(record, found, detail)
}

/// The signature of a zap record, for those messages of etcd of which [`classify`] would tell the
/// time, the duration, a client and an error, when no more than [`Detail::Counts`] is asked for.
pub fn classify_plain(logger: &[u8], caller: &[u8], msg: &[u8]) -> Option<&'static Signature> {
    dispatch::plain(logger, caller, msg)
}

/// The signature of a structured line of the HTTP log, its duration and whose log it is, where
/// that is all there is to count.
pub fn classify_http(record: &Record<'_>) -> Option<(&'static Signature, Option<u64>, Component)> {
    if record.encoding != Encoding::Klog || record.msg.as_ref() != b"HTTP" {
        return None;
    }
    let signature = dispatch::http()?;
    let (took_ns, of_api) = api::http_counts(record)?;
    let component = if of_api {
        Component::Apiserver
    } else {
        signature.component
    };
    Some((signature, took_ns, component))
}

/// The fields of a record of [`classify_plain`].
pub fn plain_fields(fields: &Fields<'_>, signature: &Signature) -> PlainFields {
    extract::plain(fields, signature)
}

fn extracted<'a>(
    record: &'a Record<'a>,
    found: dispatch::Found<'a>,
    detail: Detail,
) -> Option<Event<'a>> {
    let mut event = new_event(record, found.signature);
    match found.signature.extractor {
        Extractor::Fields => extract::fields(&mut event, record, &found, detail),
        Extractor::Around => extract::around(&mut event, record, &found, detail),
        Extractor::Aborted => {
            extract::fields(&mut event, record, &found, detail);
            api::aborted(&mut event);
        }
        Extractor::Before => extract::before(&mut event, record, &found, detail),
        Extractor::Kine => kine::kine(&mut event, record, &found, detail),
        Extractor::WatchCache => watch_cache::watch_cache(&mut event, record, &found, detail),
        Extractor::Crash => extract::crash(&mut event, record, &found, detail),
        Extractor::Apply => {
            if !apply::apply(&mut event, record) {
                return None;
            }
        }
        Extractor::Stats => requests::stats(&mut event, record, &found, detail),
        Extractor::Trace => requests::trace(&mut event, record, detail),
        Extractor::LeaseRevoke => requests::lease_revoke(&mut event, record, &found, detail),
        Extractor::Health => requests::health(&mut event, record, &found, detail),
        Extractor::ClientRetry => requests::client_retry(&mut event, record, &found, detail),
        Extractor::Start => {
            if !api::start(&mut event, record, &found, detail) {
                return None;
            }
        }
        Extractor::Drift => requests::drift(&mut event, record, &found, detail),
        Extractor::Checks => api::checks(&mut event, record, &found, detail),
        Extractor::ApiTrace => api_trace::trace(&mut event, record, detail),
        Extractor::ApiTraceStep => api_trace::trace_step(&mut event, record, detail),
        Extractor::Lock => {
            extract::fields(&mut event, record, &found, detail);
            api::lock_in_text(&mut event);
        }
        Extractor::Waited => api::waited(&mut event, record, &found, detail),
        Extractor::Http => api::http(&mut event, record, &found, detail),
        Extractor::Audit => api::audit(&mut event, record, detail),
    }
    origin::elected(&mut event, record);
    Some(event)
}

/// Builds the dispatch tables now rather than at the first record.
pub fn warm_up() {
    dispatch::warm_up();
}

fn new_event<'a>(record: &Record<'a>, signature: &'static Signature) -> Event<'a> {
    let of_server = signature.component == Component::Unknown && origin::is_etcd(record);
    Event {
        kind: signature.id,
        line: record.line,
        line_end: record.line_end,
        time: record.time,
        time_source: record.time_source,
        encoding: record.encoding,
        level: record.level,
        component: match (signature.component, record.encoding) {
            // An etcd server never writes klog: this is another program that quotes it.
            (Component::Etcd, Encoding::Klog | Encoding::KlogJson) => Component::Unknown,
            (Component::Unknown, _) if of_server => Component::Etcd,
            (component, _) => component,
        },
        writer: match (of_server, record.encoding) {
            (true, _) => Some(Component::Etcd.word()),
            (false, Encoding::Logrus) => kine::writer(signature.id),
            _ => None,
        },
        repeats: record.repeats,
        took_ns: None,
        expected_ns: None,
        request: None,
        response: Response::default(),
        api: None,
        client: None,
        agreement_ns: None,
        error: None,
        extra: Vec::new(),
    }
}
