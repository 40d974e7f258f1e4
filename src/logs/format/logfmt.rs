//! logrus text and Go's slog text: `time="2022-04-07T16:25:14+08:00" level=info msg="…"`; the
//! lines of k3s, containerd and many operators.

use memchr::memmem;

use crate::logs::record::{Encoding, Fields, TimeSource};
use crate::logs::timestamp::{TimeCache, epoch};

use super::{Parsed, level_word};

/// Names that a line may open with.
const FIRST: [&[u8]; 5] = [b"time=", b"level=", b"ts=", b"t=", b"lvl="];

/// Whether a logfmt record stands here: one of the usual first names, and a message.
pub fn starts(text: &[u8]) -> bool {
    let head = text.get(..text.len().min(400)).unwrap_or_default();
    FIRST.iter().any(|name| text.starts_with(name)) && memmem::find(head, b" msg=").is_some()
}

/// Reads a line.
pub fn parse<'a>(text: &'a [u8], cache: &mut TimeCache) -> Option<Parsed<'a>> {
    if !starts(text) {
        return None;
    }
    let fields = Fields::Klog(text);
    let mut parsed = Parsed::bare(Encoding::Logrus, text);
    let mut msg = None;
    for (name, value) in fields {
        match name {
            b"time" | b"ts" | b"t" if parsed.time.is_none() => {
                let stamp = cache.iso(value.raw).map(|stamp| stamp.time);
                parsed.time = stamp.or_else(|| epoch(value.raw));
            }
            b"level" | b"lvl" => parsed.level = level_word(value.raw).unwrap_or_default(),
            b"msg" if msg.is_none() => msg = Some(value.bytes()),
            b"logger" | b"component" | b"subsys" | b"pkg" => parsed.logger = value.raw,
            b"caller" | b"source" | b"file" => parsed.caller = value.raw,
            _ => {}
        }
    }
    parsed.msg = msg?;
    parsed.fields = fields;
    if parsed.time.is_some() {
        parsed.time_source = TimeSource::Inner;
    }
    Some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::logs::record::Level;

    #[test]
    fn logrus_and_slog() {
        let mut cache = TimeCache::default();
        let text = br#"time="2022-04-07T16:25:14+08:00" level=info msg="Defragmenting \"etcd\" database" subsys=db"#;
        let parsed = parse(text, &mut cache).expect("parses");
        assert_eq!(&*parsed.msg, br#"Defragmenting "etcd" database"#);
        assert_eq!(parsed.time, Timestamp::parse("2022-04-07T08:25:14Z"));
        assert_eq!((parsed.level, parsed.logger), (Level::Info, &b"db"[..]));
        let text = b"time=2026-01-02T03:04:05.678Z level=WARN source=/go/src/a.go:12 msg=short n=1";
        let parsed = parse(text, &mut cache).expect("parses");
        assert_eq!((parsed.level, &*parsed.msg), (Level::Warn, &b"short"[..]));
        assert_eq!(parsed.fields.get("n").and_then(|n| n.as_i64()), Some(1));
        assert!(parse(b"time to go", &mut cache).is_none());
        assert!(parse(b"level=info without a message", &mut cache).is_none());
    }
}
