//! The path of nearly all lines: one look at fixed places, nothing allocated, nothing kept.

use crate::logs::fields::unescape_into;
use crate::logs::format::{Parsed, Reference, capnslog, klog, object, zap};
use crate::logs::record::{Encoding, Fields, Level, Outer, Record};
use crate::logs::wrapper::cri;
use crate::sys::find;

use super::Decoder;
use super::bare::is_free_text;

impl Decoder {
    /// Reads a line that is a whole record in its program's own form, bare or in CRI's wrapper.
    /// `false` means that nothing was done.
    #[inline]
    pub(super) fn fast(
        &mut self,
        line: &[u8],
        number: u64,
        sink: &mut impl FnMut(&Record<'_>),
    ) -> bool {
        let line = match line {
            [head @ .., b'\r'] => head,
            _ => line,
        };
        let (parsed, outer) = match line.first() {
            Some(b'{') => {
                if line.starts_with(object::DOCKER) {
                    return self.docker(line, number, sink);
                }
                (self.quick_object(line), Outer::default())
            }
            Some(b'0'..=b'9') => match self.cri(line) {
                Some((text, outer)) => (self.text(text, outer), outer),
                None => (self.text(line, Outer::default()), Outer::default()),
            },
            Some(_) => (self.text(line, Outer::default()), Outer::default()),
            None => return false,
        };
        let Some(parsed) = parsed else {
            return self.free_text(line, number, sink);
        };
        let record = parsed.into_record(number, number, outer);
        self.counts.records += 1;
        self.counts.parsed += 1;
        sink(&record);
        true
    }

    /// A line that is surely of another program and in no wrapper.
    fn free_text(&mut self, line: &[u8], number: u64, sink: &mut impl FnMut(&Record<'_>)) -> bool {
        if !is_free_text(line) {
            return false;
        }
        let record =
            Parsed::bare(Encoding::Bare, line).into_record(number, number, Outer::default());
        self.counts.records += 1;
        self.counts.unparsed += 1;
        sink(&record);
        true
    }

    #[inline]
    fn cri<'a>(&mut self, line: &'a [u8]) -> Option<(&'a [u8], Outer<'a>)> {
        // capnslog has a space there.
        if line.get(10) != Some(&b'T') {
            return None;
        }
        let stamp = self.cache.iso(line)?;
        let rest = line.get(stamp.len..)?;
        let (more, text) = match cri::flags(rest) {
            Some((_, more, text)) => (more, text),
            // `kubectl logs --timestamps` and must-gather have the time alone.
            None => (false, rest.strip_prefix(b" ")?),
        };
        let outer = Outer {
            time: Some(stamp.time),
            ..Outer::default()
        };
        (!more && stamp.zoned).then_some((text, outer))
    }

    #[inline]
    fn text<'a>(&mut self, text: &'a [u8], outer: Outer<'a>) -> Option<Parsed<'a>> {
        let reference = Reference {
            outer: outer.time,
            outer_zoned: outer.time.is_some(),
            context: self.context.reference,
        };
        match text.first()? {
            b'{' => self.quick_object(text),
            b'I' | b'W' | b'E' => {
                let parsed = klog::parse(text, &reference, &mut self.cache)?;
                (!klog::line_goes_on(text)).then_some(parsed)
            }
            b'0'..=b'9' => {
                let parsed = capnslog::parse(text, &reference, &mut self.cache)?;
                capnslog::glued(&parsed.msg).is_none().then_some(parsed)
            }
            b'T' => klog::parse_trace(text),
            _ => None,
        }
    }

    #[inline]
    fn quick_object<'a>(&mut self, text: &'a [u8]) -> Option<Parsed<'a>> {
        if text.last() != Some(&b'}') {
            return None;
        }
        if text.starts_with(zap::HEAD) {
            let parsed = self.zap(text)?;
            // A fatal record may have a dump after it, which the slow way waits for.
            if parsed.level >= Level::Fatal {
                return None;
            }
            return Some(parsed);
        }
        if object::is_audit(text) {
            let parsed = object::usual_audit(text, &mut self.cache, &mut self.tails);
            return (parsed.encoding == Encoding::Audit && parsed.time.is_some()).then_some(parsed);
        }
        None
    }

    /// One whole record in etcd's own form; two on one line are none.
    #[inline]
    pub(super) fn single_zap<'a>(&mut self, text: &'a [u8]) -> Option<Parsed<'a>> {
        if !text.starts_with(zap::HEAD) || text.last() != Some(&b'}') {
            return None;
        }
        self.zap(text)
    }

    #[inline]
    fn zap<'a>(&mut self, text: &'a [u8]) -> Option<Parsed<'a>> {
        let parsed = zap::parse(text, &mut self.cache, &mut self.sites)?;
        let Fields::Json(rest) = parsed.fields else {
            return None;
        };
        // Another record inside this one is rare, and so is any other object.
        let mut inner = rest;
        while let Some(at) = find(b'{', inner) {
            let object = inner.get(at..)?;
            if object.starts_with(zap::HEAD) {
                return None;
            }
            inner = object.get(1..)?;
        }
        Some(parsed)
    }

    /// A line in Docker's own form that holds a whole record.
    fn docker(&mut self, line: &[u8], number: u64, sink: &mut impl FnMut(&Record<'_>)) -> bool {
        let Some((log, time)) = object::docker(line) else {
            return false;
        };
        let Some(stamp) = self.cache.iso(time) else {
            return false;
        };
        let outer = Outer {
            time: Some(stamp.time),
            ..Outer::default()
        };
        let mut text = self.scratch.pop().unwrap_or_default();
        text.clear();
        unescape_into(log, &mut text);
        let parsed = stamp.zoned.then(|| self.text(&text, outer)).flatten();
        let known = parsed.is_some();
        if let Some(parsed) = parsed {
            self.counts.records += 1;
            self.counts.parsed += 1;
            sink(&parsed.into_record(number, number, outer));
        }
        self.scratch.push(text);
        known
    }
}
