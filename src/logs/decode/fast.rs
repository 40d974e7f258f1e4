//! The path of nearly all lines: one look at fixed places, nothing allocated, nothing kept.

use crate::logs::fields::unescape_into;
use crate::logs::format::zap::Beginning;
use crate::logs::format::{Parsed, Reference, capnslog, klog, object, zap};
use crate::logs::head::Taker;
use crate::logs::record::{Encoding, Level, Outer};
use crate::logs::wrapper::cri;
use crate::sys::find;

use super::Decoder;
use super::bare::is_free_text;

impl Decoder {
    /// Reads a line that is a whole record in its program's own form, bare or in CRI's wrapper.
    /// `false` means that nothing was done.
    #[inline]
    pub(super) fn fast(&mut self, line: &[u8], number: u64, taker: &mut impl Taker) -> bool {
        let line = match line {
            [head @ .., b'\r'] => head,
            _ => line,
        };
        let none = Outer::default();
        let (quick, outer) = match line.first() {
            Some(b'{') => {
                if line.starts_with(object::DOCKER) {
                    return self.docker(line, number, taker);
                }
                (self.quick_object(line, taker), none)
            }
            Some(b'0'..=b'9') => match self.cri(line) {
                Some((text, outer)) => (self.text(text, outer, taker), outer),
                None => (self.text(line, none, taker), none),
            },
            Some(_) => (self.text(line, none, taker), none),
            None => return false,
        };
        match quick {
            Quick::Taken => {}
            Quick::Record(parsed) => taker.take(&parsed.into_record(number, number, outer)),
            Quick::Nothing => return self.free_text(line, number, taker),
        }
        self.counts.records += 1;
        self.counts.parsed += 1;
        true
    }

    /// A line that is surely of another program and in no wrapper.
    fn free_text(&mut self, line: &[u8], number: u64, taker: &mut impl Taker) -> bool {
        if !is_free_text(line) {
            return false;
        }
        let outer = Outer {
            unread: 1,
            ..Outer::default()
        };
        let record = Parsed::bare(Encoding::Bare, line).into_record(number, number, outer);
        self.counts.records += 1;
        self.counts.unparsed += 1;
        taker.take(&record);
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
    fn text<'a>(&mut self, text: &'a [u8], outer: Outer<'a>, taker: &mut impl Taker) -> Quick<'a> {
        match text.first() {
            Some(b'{') => self.quick_object(text, taker),
            _ => Quick::of(self.plain_text(text, outer)),
        }
    }

    #[inline]
    fn plain_text<'a>(&mut self, text: &'a [u8], outer: Outer<'a>) -> Option<Parsed<'a>> {
        let reference = Reference {
            outer: outer.time,
            outer_zoned: outer.time.is_some(),
            context: self.context.reference,
            bare_us: self.context.bare_us,
        };
        match text.first()? {
            b'I' | b'W' | b'E' => {
                let parsed = klog::parse(text, &reference, &mut self.cache)?;
                (!klog::line_goes_on(text)).then_some(parsed)
            }
            b'0'..=b'9' => {
                let parsed = capnslog::parse(text, &reference, &mut self.cache)?;
                // After a fatal one its dump may follow, as after zap's.
                let ends = parsed.level >= Level::Fatal || capnslog::glued(&parsed.msg).is_some();
                (!ends).then_some(parsed)
            }
            b'T' => klog::parse_trace(text),
            _ => None,
        }
    }

    #[inline]
    fn quick_object<'a>(&mut self, text: &'a [u8], taker: &mut impl Taker) -> Quick<'a> {
        if text.last() != Some(&b'}') {
            return Quick::Nothing;
        }
        if text.starts_with(zap::HEAD) {
            let beginning = zap::begin(text, &mut self.cache, &mut self.sites);
            let Some(begun) = &beginning else {
                return Quick::Nothing;
            };
            let head = begun.head();
            let is_message = head.as_ref().is_some_and(|head| head.message.is_some());
            if is_message && head.as_ref().is_some_and(|head| taker.take_head(head)) {
                return Quick::Taken;
            }
            if !is_alone(begun.fields()) {
                return Quick::Nothing;
            }
            if !is_message && head.as_ref().is_some_and(|head| taker.take_head(head)) {
                return Quick::Taken;
            }
            // A fatal record may have a dump after it, which the slow way waits for.
            let parsed = beginning.map(Beginning::parsed);
            return Quick::of(parsed.filter(|parsed| parsed.level < Level::Fatal));
        }
        if object::is_audit(text) {
            let parsed = object::usual_audit(text, &mut self.cache, &mut self.tails);
            let whole = parsed.encoding == Encoding::Audit && parsed.time.is_some();
            return Quick::of(whole.then_some(parsed));
        }
        Quick::Nothing
    }

    /// One whole record in etcd's own form; two on one line are none.
    #[inline]
    pub(super) fn single_zap<'a>(&mut self, text: &'a [u8]) -> Option<Parsed<'a>> {
        if !text.starts_with(zap::HEAD) || text.last() != Some(&b'}') {
            return None;
        }
        let beginning = zap::begin(text, &mut self.cache, &mut self.sites)?;
        is_alone(beginning.fields()).then(|| beginning.parsed())
    }

    /// A line in Docker's own form that holds a whole record.
    fn docker(&mut self, line: &[u8], number: u64, taker: &mut impl Taker) -> bool {
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
        let quick = match stamp.zoned {
            true => self.text(&text, outer, taker),
            false => Quick::Nothing,
        };
        let known = !matches!(quick, Quick::Nothing);
        if let Quick::Record(parsed) = quick {
            taker.take(&parsed.into_record(number, number, outer));
        }
        self.counts.records += u64::from(known);
        self.counts.parsed += u64::from(known);
        self.scratch.push(text);
        known
    }
}

/// What the fast way makes of a text.
enum Quick<'a> {
    /// It was taken by its beginning.
    Taken,
    /// A record.
    Record(Parsed<'a>),
    /// Nothing was done.
    Nothing,
}

impl<'a> Quick<'a> {
    #[inline]
    fn of(parsed: Option<Parsed<'a>>) -> Self {
        parsed.map_or(Quick::Nothing, Quick::Record)
    }
}

/// Whether no other record stands inside the one with these fields.
#[inline]
fn is_alone(fields: &[u8]) -> bool {
    let mut inner = fields;
    // That is rare, and so is any other object.
    while let Some(at) = find(b'{', inner) {
        let object = inner.get(at..).unwrap_or_default();
        if object.starts_with(zap::HEAD) {
            return false;
        }
        inner = object.get(1..).unwrap_or_default();
    }
    true
}
