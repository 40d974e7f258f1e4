//! `--redact`: names and namespaces as keyed hashes, the same within one run. How it goes over
//! evidence is in `redact_evidence`.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::Path;

use crate::error::Error;

/// Fewest bytes of a key that is shared between runs: names are few, and could be guessed with a
/// shorter one.
const KEY_MIN: usize = 16;
/// Bytes of a key that are read.
const KEY_MAX: usize = 4096;

/// Hashes names with a key that is new in every run, or with one that runs share, or leaves them.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Redactor(Option<Key>);

#[derive(Clone, Debug)]
enum Key {
    New(RandomState),
    Shared(u64, u64),
}

impl Key {
    fn hash(&self, text: &str) -> u64 {
        match self {
            Key::New(state) => state.hash_one(text),
            Key::Shared(a, b) => sip((*a, *b), text.as_bytes()),
        }
    }
}

/// SipHash-2-4, which keeps its key even from somebody who knows many names with their hashes.
#[expect(
    deprecated,
    reason = "the only keyed hash of the standard library; it is wanted for exactly what it is"
)]
fn sip((a, b): (u64, u64), bytes: &[u8]) -> u64 {
    let mut hasher = std::hash::SipHasher::new_with_keys(a, b);
    hasher.write(bytes);
    hasher.finish()
}

impl Redactor {
    /// One that hashes, or one that does nothing.
    pub(in crate::cli) fn new(on: bool) -> Self {
        Redactor(on.then(|| Key::New(RandomState::new())))
    }

    /// One whose hashes are those of every run with the same file.
    pub(in crate::cli) fn shared(path: &Path) -> Result<Self, Error> {
        #[expect(clippy::disallowed_methods, reason = "the user named this file")]
        let bytes = std::fs::read(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        if !(KEY_MIN..=KEY_MAX).contains(&bytes.len()) {
            return Err(Error::Format {
                path: path.to_owned(),
                why: format!(
                    "a key has {KEY_MIN} to {KEY_MAX} random bytes, this has {}; `head -c 32 /dev/urandom` makes one",
                    bytes.len()
                ),
            });
        }
        Ok(Redactor(Some(Key::Shared(
            sip((0, 1), &bytes),
            sip((0, 2), &bytes),
        ))))
    }

    /// Whether it hashes.
    pub(in crate::cli) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    fn hash(&self, kind: &str, text: &str) -> Option<String> {
        let key = self.0.as_ref()?;
        // 48 bits: names stay apart, and a short word fits a table.
        Some(format!("{kind}-{:012x}", key.hash(text) & 0xFFFF_FFFF_FFFF))
    }

    /// A name or a namespace.
    pub(in crate::cli) fn name(&self, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        self.hash("x", text).unwrap_or_else(|| text.to_owned())
    }

    /// A user: the system's own keep their kind.
    pub(in crate::cli) fn user(&self, text: &str) -> String {
        if text.is_empty() || !self.is_on() {
            return text.to_owned();
        }
        if let Some(rest) = text.strip_prefix("system:serviceaccount:") {
            // Each part by itself, so that a namespace is the same word wherever it stands.
            let parts: Vec<String> = rest.split(':').map(|part| self.name(part)).collect();
            return format!("system:serviceaccount:{}", parts.join(":"));
        }
        if let Some(rest) = text.strip_prefix("system:node:") {
            return format!("system:node:{}", self.name(rest));
        }
        if text.starts_with("system:") {
            return text.to_owned();
        }
        self.name(text)
    }

    /// A free text: words that may hold names are hashed, plain words and numbers stay.
    pub(in crate::cli) fn text(&self, text: &str) -> String {
        if !self.is_on() {
            return text.to_owned();
        }
        text.split(' ')
            .map(|word| {
                let telling = word.contains(['/', '"', '\\', '@', '_'])
                    || (word.contains('-') && word.len() > 3);
                if telling {
                    self.name(word)
                } else {
                    word.to_owned()
                }
            })
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// An etcd key: what it is about stays, namespace and name go.
    pub(in crate::cli) fn key(
        &self,
        key: &str,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> String {
        if !self.is_on() {
            return key.to_owned();
        }
        // Names may hold slashes nowhere, so the last parts are namespace and name.
        let hidden: Vec<&str> = [namespace, name].into_iter().flatten().collect();
        if hidden.is_empty() && !key.starts_with('/') {
            return self.name(key);
        }
        key.split('/')
            .map(|part| {
                // The end of a range is its begin with the last byte raised.
                let is_hidden = hidden
                    .iter()
                    .any(|text| part == *text || (!text.is_empty() && part.starts_with(*text)));
                if is_hidden {
                    self.name(part)
                } else {
                    part.to_owned()
                }
            })
            .collect::<Vec<_>>()
            .join("/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hidden_and_stay_the_same_within_a_run() {
        let redactor = Redactor::new(true);
        let key = redactor.key(
            "/registry/pods/payments/web-1",
            Some("payments"),
            Some("web-1"),
        );
        assert!(key.starts_with("/registry/pods/x-"), "{key}");
        assert!(!key.contains("payments") && !key.contains("web-1"));
        assert_eq!(redactor.name("web-1"), redactor.name("web-1"));
        assert_ne!(redactor.name("web-1"), redactor.name("web-2"));
        assert_ne!(redactor.name("web-1"), Redactor::new(true).name("web-1"));
        assert!(
            redactor
                .user("system:node:cp-0")
                .starts_with("system:node:x-")
        );
        assert_eq!(redactor.user("system:apiserver"), "system:apiserver");
        assert!(
            !redactor
                .text("Put \"https://10.0.0.1/api/v1/x\": refused")
                .contains("https")
        );
    }

    #[test]
    fn runs_with_one_key_hide_alike() {
        let dir = tempfile::tempdir().unwrap();
        let with = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            Redactor::shared(&path)
        };
        let (a, b) = (with("a", &[7; 32]).unwrap(), with("b", &[8; 32]).unwrap());
        let again = with("c", &[7; 32]).unwrap();
        assert_eq!(a.name("web-1"), again.name("web-1"));
        assert_ne!(a.name("web-1"), a.name("web-2"));
        assert_ne!(a.name("web-1"), b.name("web-1"));
        assert!(a.is_on() && a.name("web-1").starts_with("x-"));
        assert!(with("short", &[7; 15]).is_err());
        assert!(with("long", &[7; KEY_MAX + 1]).is_err());
        assert!(Redactor::shared(&dir.path().join("none")).is_err());
    }

    #[test]
    fn without_the_flag_nothing_changes() {
        let redactor = Redactor::new(false);
        assert_eq!(redactor.name("web-1"), "web-1");
        assert_eq!(
            redactor.key("/registry/pods/a/b", Some("a"), Some("b")),
            "/registry/pods/a/b"
        );
    }
}
