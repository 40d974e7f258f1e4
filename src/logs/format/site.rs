//! What stands between a zap record's time and its fields is the same at each of its call site's
//! records: logger, caller and message. It is read once, and then compared.

/// Bytes of a site that are kept. What is longer is read each time.
const ROOM: usize = 112;
/// How many sites are remembered.
const SITES: usize = 64;

/// Where the parts of a site are, from its beginning on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// From and to of `logger`.
    pub logger: (u8, u8),
    /// Of `caller`.
    pub caller: (u8, u8),
    /// Where the message's text begins.
    pub msg: u8,
    /// Where its closing quote is; 0 when the site's messages differ from each other.
    pub end: u8,
}

#[derive(Clone, Copy, Debug)]
struct Site {
    parts: Parts,
    text: [u8; ROOM],
}

/// The sites that were met lately.
#[derive(Clone, Debug, Default)]
pub struct Sites {
    sites: Vec<Site>,
}

impl Sites {
    /// The parts of the site that `text` begins with, if it is known.
    #[inline]
    pub fn find(&self, text: &[u8]) -> Option<Parts> {
        let site = self.sites.get(slot(text)?)?;
        let parts = site.parts;
        // With the message's closing quote, where there is one message.
        let len = match parts.end {
            0 => parts.msg,
            end => end + 1,
        };
        let known = site.text.get(..usize::from(len))?;
        (len > 0 && text.starts_with(known)).then_some(parts)
    }

    /// Remembers the parts of a site.
    pub fn keep(&mut self, text: &[u8], parts: Parts) {
        let len = usize::from(parts.end) + 1;
        let (Some(slot), Some(new)) = (slot(text), text.get(..len)) else {
            return;
        };
        if len > ROOM {
            return;
        }
        if self.sites.is_empty() {
            let nothing = Site {
                parts: Parts::default(),
                text: [0; ROOM],
            };
            self.sites.resize(SITES, nothing);
        }
        let Some(site) = self.sites.get_mut(slot) else {
            return;
        };
        let msg = usize::from(parts.msg);
        // A second message of a site: its next one will be another, too.
        let differs = site.parts.msg == parts.msg && site.text.get(..msg) == text.get(..msg);
        site.parts = Parts {
            end: if differs { 0 } else { parts.end },
            ..parts
        };
        if let Some(room) = site.text.get_mut(..len) {
            room.copy_from_slice(new);
        }
    }
}

/// The only slot that a site may be in, by its first bytes.
#[inline]
fn slot(text: &[u8]) -> Option<usize> {
    let head = text.first_chunk::<32>()?;
    let (words, _) = head.as_chunks::<8>();
    let mixed = words.iter().fold(0_u64, |mixed, word| {
        (mixed.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    });
    usize::try_from(mixed >> 58).ok()
}
