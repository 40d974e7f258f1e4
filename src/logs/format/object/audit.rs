//! Records of the audit log: only their time is read here.

use crate::logs::audit::Tails;
use crate::logs::format::Parsed;
use crate::logs::format::json::JsonFields;
use crate::logs::needle;
use crate::logs::record::{Encoding, Fields, TimeSource};
use crate::logs::timestamp::TimeCache;

use super::journal::time_of;

/// Reads an audit record: its stage's time from the end, everything else when asked for.
pub fn audit<'a>(text: &'a [u8], cache: &mut TimeCache) -> Parsed<'a> {
    let fields = Fields::Json(text);
    let mut parsed = Parsed::bare(Encoding::Audit, b"");
    parsed.fields = fields;
    let value = |at: usize| Some(JsonFields::new(text.get(at..)?).next()?.1);
    let last = |name: &needle::Needle| name.rfind(text).and_then(value);
    let stamp = last(&needle::STAGE_TIME).or_else(|| last(&needle::RECEIVED_TIME));
    parsed.time = stamp.and_then(|stamp| time_of(stamp, cache));
    if parsed.time.is_some() {
        parsed.time_source = TimeSource::Inner;
    }
    parsed
}

/// Whether a batch of audit records begins here, as the apiserver sends them to a webhook. It may be
/// cut off.
pub fn begins_batch(text: &[u8]) -> bool {
    let (mut list, mut audited) = (false, false);
    for (name, value) in JsonFields::new(text) {
        list |= name == b"kind" && value.raw == b"EventList";
        audited |= name == b"apiVersion" && value.raw.starts_with(b"audit.k8s.io/");
    }
    list && audited
}

/// As [`audit`], of a whole record in the apiserver's own order: most end as an earlier one did.
#[inline]
pub fn usual_audit<'a>(text: &'a [u8], cache: &mut TimeCache, tails: &mut Tails) -> Parsed<'a> {
    let stamp = tails.stage_time(text).and_then(|time| {
        // A time that takes the whole text has no quote in it.
        cache.iso(time).filter(|stamp| stamp.len == time.len())
    });
    match stamp {
        Some(stamp) => Parsed {
            time: Some(stamp.time),
            time_source: TimeSource::Inner,
            fields: Fields::Json(text),
            ..Parsed::bare(Encoding::Audit, b"")
        },
        None => {
            tails.learn(text);
            audit(text, cache)
        }
    }
}
