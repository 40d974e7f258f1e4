//! What stands between a zap record's time and its fields is the same at each of its call site's
//! records: logger, caller and message. It is read once, and then compared.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::logs::head::Message;

/// Bytes of a site that are kept. What is longer is read each time.
const ROOM: usize = 192;
/// How many sites are remembered.
const SITES: usize = 64;
/// Places by hash, each with the number of a site: more than sites, so that few share one.
const PLACES: usize = 1024;
/// The next site's number, whichever thread reads it.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// Where the parts of a site are, from its beginning on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts {
    /// From and to of `logger`.
    pub logger: (u8, u8),
    /// Of `caller`.
    pub caller: (u8, u8),
    /// Where the message's text begins.
    pub msg: u8,
    /// Where its closing quote is; 0 when the site's messages differ from each other.
    pub end: u8,
    /// Which message it is, if one of those.
    pub message: Option<Message>,
    /// A number that no other site has; 0 when the site's messages differ from each other.
    pub number: u64,
}

#[derive(Clone, Copy, Debug)]
struct Site {
    parts: Parts,
    text: [u8; ROOM],
}

/// The sites that were met lately.
#[derive(Clone, Debug, Default)]
pub struct Sites {
    /// Numbers from 1 on; 0 is no site.
    places: Vec<u8>,
    sites: Vec<Site>,
    /// Which site makes room for the next one.
    next: usize,
}

impl Sites {
    /// The parts of the site that `text` begins with, if it is known.
    #[inline]
    pub fn find(&self, text: &[u8]) -> Option<Parts> {
        let number = usize::from(*self.places.get(place(text)?)?);
        let site = self.sites.get(number.checked_sub(1)?)?;
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
        let (Some(place), Some(new)) = (place(text), text.get(..len)) else {
            return;
        };
        if len > ROOM {
            return;
        }
        if self.places.is_empty() {
            self.places.resize(PLACES, 0);
        }
        let Some(number) = self.places.get_mut(place) else {
            return;
        };
        let mut at = usize::from(*number).wrapping_sub(1);
        if at >= self.sites.len() {
            at = self.next % SITES;
            self.next = at + 1;
            *number = u8::try_from(at + 1).unwrap_or(0);
            if at == self.sites.len() {
                let nothing = Site {
                    parts: Parts::default(),
                    text: [0; ROOM],
                };
                self.sites.push(nothing);
            }
        }
        let Some(site) = self.sites.get_mut(at) else {
            return;
        };
        let msg = usize::from(parts.msg);
        // A second message of a site: its next one will be another, too.
        let differs = site.parts.msg == parts.msg && site.text.get(..msg) == text.get(..msg);
        site.parts = match differs {
            true => Parts {
                end: 0,
                number: 0,
                ..parts
            },
            false => Parts {
                number: NUMBER.fetch_add(1, Ordering::Relaxed),
                ..parts
            },
        };
        if let Some(room) = site.text.get_mut(..len) {
            room.copy_from_slice(new);
        }
    }
}

/// The place of a site, by the bytes in which callers differ.
#[inline]
fn place(text: &[u8]) -> Option<usize> {
    let [_, words @ ..] = text.first_chunk::<40>()?.as_chunks::<8>().0 else {
        return None;
    };
    let mixed = words.iter().fold(0_u64, |mixed, word| {
        (mixed.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    });
    usize::try_from(mixed >> 54).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of a site whose message is `applied`.
    fn parts(text: &str) -> Parts {
        let msg = u8::try_from(text.find("applied").unwrap()).unwrap();
        Parts {
            msg,
            end: msg + 7,
            ..Parts::default()
        }
    }

    #[test]
    fn sites_of_one_file_do_not_drive_each_other_out() {
        let mut sites = Sites::default();
        let texts: Vec<String> = (100..140)
            .map(|line| format!(r#"caller":"etcdserver/server.go:{line}","msg":"applied","#))
            .collect();
        for text in &texts {
            sites.keep(text.as_bytes(), parts(text));
        }
        let known = texts
            .iter()
            .filter(|text| sites.find(text.as_bytes()).is_some());
        assert!(known.count() > 36);
        assert!(
            sites
                .find(br#"caller":"etcdserver/server.go:100","msg":"applied!","#)
                .is_none()
        );
    }

    #[test]
    fn no_more_sites_are_kept_than_there_is_room_for() {
        let mut sites = Sites::default();
        for line in 0..1000 {
            let text = format!(r#"caller":"etcdserver/server.go:{line:04}","msg":"applied","#);
            sites.keep(text.as_bytes(), parts(&text));
            assert!(sites.find(text.as_bytes()).is_some(), "{line}");
        }
        assert_eq!(sites.sites.len(), SITES);
    }
}
