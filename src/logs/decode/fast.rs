//! The path of nearly all lines: one look at fixed places, nothing allocated, nothing kept.

use crate::logs::format::{Parsed, Reference, capnslog, klog, object, zap};
use crate::logs::record::{Encoding, Fields, Level, Outer, Record};
use crate::logs::wrapper::cri;

use super::Decoder;

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
            Some(b'{') => (self.quick_object(line), Outer::default()),
            Some(b'0'..=b'9') => match self.cri(line) {
                Some((text, outer)) => (self.text(text, outer), outer),
                None => (self.text(line, Outer::default()), Outer::default()),
            },
            Some(_) => (self.text(line, Outer::default()), Outer::default()),
            None => return false,
        };
        let Some(parsed) = parsed else {
            return false;
        };
        let record = parsed.into_record(number, number, outer);
        self.counts.records += 1;
        self.counts.parsed += 1;
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
        let (_, more, text) = cri::flags(line.get(stamp.len..)?)?;
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
                (!klog::goes_on(text)).then_some(parsed)
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
            let parsed = zap::parse(text, &mut self.cache)?;
            // Two records on one line, and fatal ones with a dump after them, go the slow way.
            let Fields::Json(rest) = parsed.fields else {
                return None;
            };
            let single = memchr::memmem::find(rest, zap::HEAD).is_none();
            return (single && parsed.level < Level::Fatal).then_some(parsed);
        }
        if object::is_audit(text) {
            let parsed = object::audit(text, &mut self.cache);
            return (parsed.encoding == Encoding::Audit && parsed.time.is_some()).then_some(parsed);
        }
        None
    }
}
