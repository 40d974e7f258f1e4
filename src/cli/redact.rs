//! `--redact`: names and namespaces as keyed hashes, the same within one run. How it goes over
//! evidence is in `redact_evidence`.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::Path;

use crate::catalog::resources::{KNOWN_PREFIXES, parse_key};
use crate::error::Error;

mod words;

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
        let Some(rest) = text.strip_prefix("system:") else {
            return self.name(text);
        };
        // Each part by itself, so that a namespace is the same word wherever it stands.
        let mut parts = rest.split(':');
        let kind = parts.next().unwrap_or_default();
        let names = parts.map(|part| format!(":{}", self.name(part)));
        format!("system:{kind}{}", names.collect::<String>())
    }

    /// A free text: words of known messages, resources, numbers and addresses stay, all others are
    /// hashed.
    pub(in crate::cli) fn text(&self, text: &str) -> String {
        if !self.is_on() {
            return text.to_owned();
        }
        let mut out = String::new();
        for piece in words::pieces(text) {
            match words::is_plain(piece) {
                true => out.push_str(piece),
                false => out.push_str(&self.name(piece)),
            }
        }
        out
    }

    /// A user agent: known programs and versions stay, and a service account keeps its kind.
    pub(in crate::cli) fn agent(&self, text: &str) -> String {
        if !self.is_on() {
            return text.to_owned();
        }
        let mut out = String::new();
        for piece in words::pieces(text) {
            match words::is_plain(piece) || words::is_program(piece) {
                true => out.push_str(piece),
                false => out.push_str(&self.name(piece)),
            }
        }
        out
    }

    /// An etcd key: its prefix and what it is about stay, all behind that goes.
    pub(in crate::cli) fn key(&self, key: &str) -> String {
        if !self.is_on() {
            return key.to_owned();
        }
        let kept = kept_of_key(key);
        let (head, rest) = key.split_at_checked(kept).unwrap_or(("", key));
        // A page begins behind the last key of the one before: that key and a NUL.
        let (rest, nul) = match rest.strip_suffix('\0') {
            Some(rest) => (rest, "\0"),
            None => (rest, ""),
        };
        let parts: Vec<String> = rest.split('/').map(|part| self.name(part)).collect();
        format!("{head}{}{nul}", parts.join("/"))
    }

    /// The prefix of keys: one that distributions use stays.
    pub(in crate::cli) fn prefix(&self, prefix: &str) -> String {
        let known = KNOWN_PREFIXES.contains(&prefix) || !prefix.starts_with('/');
        match known {
            true => prefix.to_owned(),
            false => self.key(prefix),
        }
    }
}

/// How much of a key says what it is about: up to the resource. Nothing of a key that is not
/// Kubernetes's.
fn kept_of_key(key: &str) -> usize {
    let parts = parse_key(key.as_bytes());
    let prefix = parts.prefix.as_ref();
    let under = KNOWN_PREFIXES.contains(&prefix);
    if parts.resource.is_empty() || !under && !prefix.is_empty() {
        return 0;
    }
    let whole = key.strip_suffix('\0').unwrap_or(key);
    let names = match (&parts.namespace, &parts.name) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        (Some(name), None) | (None, Some(name)) => name.to_string(),
        // A resource has two segments at most: its group, or `services/specs`.
        (None, None) => {
            let behind = whole
                .match_indices('/')
                .nth(prefix.matches('/').count() + 2);
            return behind.map_or(whole.len(), |(at, _)| at + 1);
        }
    };
    // They are the end of the key, as they stand there.
    [names.clone(), names + "/"]
        .iter()
        .find_map(|names| whole.strip_suffix(names.as_str()))
        .map_or(0, str::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hidden_and_stay_the_same_within_a_run() {
        let redactor = Redactor::new(true);
        let key = redactor.key("/registry/pods/payments/web-1");
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
    }

    #[test]
    fn all_of_a_key_behind_its_resource_is_hidden() {
        let redactor = Redactor::new(true);
        let x = |text: &str| redactor.name(text);
        for (key, hidden) in [
            ("/registry/pods/", "/registry/pods/".to_owned()),
            ("/registry/pods", "/registry/pods".to_owned()),
            (
                "/registry/pods/pay/",
                format!("/registry/pods/{}/", x("pay")),
            ),
            (
                "/registry/pods/pay/web\0",
                format!("/registry/pods/{}/{}\0", x("pay"), x("web")),
            ),
            (
                "/registry/pods/pay/web/more",
                format!("/registry/pods/{}/{}/{}", x("pay"), x("web"), x("more")),
            ),
            (
                "/registry/services/specs/pay/pay",
                format!("/registry/services/specs/{}/{}", x("pay"), x("pay")),
            ),
            (
                "/registry/minions/cp-0",
                format!("/registry/minions/{}", x("cp-0")),
            ),
            (
                "/registry/acme.io/widgets/pay/w",
                format!("/registry/acme.io/widgets/{}/{}", x("pay"), x("w")),
            ),
            (
                "/custom/pay/web",
                format!("/{}/{}/{}", x("custom"), x("pay"), x("web")),
            ),
            (
                "/tenant/registry/pods/pay/web",
                format!(
                    "/{}/{}/{}/{}/{}",
                    x("tenant"),
                    x("registry"),
                    x("pods"),
                    x("pay"),
                    x("web")
                ),
            ),
            ("health", "health".to_owned()),
            ("lock", x("lock")),
        ] {
            assert_eq!(redactor.key(key), hidden, "{key}");
        }
        assert_eq!(redactor.prefix("/registry"), "/registry");
        assert_eq!(redactor.prefix("/custom"), format!("/{}", x("custom")));
    }

    #[test]
    fn words_of_known_messages_stay_and_names_do_not() {
        let redactor = Redactor::new(true);
        let x = |text: &str| redactor.name(text);
        for (text, hidden) in [
            (
                "etcdserver: request timed out",
                "etcdserver: request timed out".to_owned(),
            ),
            (
                "context deadline exceeded",
                "context deadline exceeded".to_owned(),
            ),
            (
                "etcdserver: pay web failed",
                format!("etcdserver: {} {} failed", x("pay"), x("web")),
            ),
            (
                "dial tcp cp0.acme.corp:6443: connect: connection refused",
                format!(
                    "dial tcp {}:6443: connect: connection refused",
                    x("cp0.acme.corp")
                ),
            ),
            (
                "Get \"https://10.0.0.1:443/api/v1/namespaces/pay/pods/web-1?timeout=5s\": EOF",
                format!(
                    "Get \"https://10.0.0.1:443/api/v1/namespaces/{}/pods/{}?timeout=5s\": EOF",
                    x("pay"),
                    x("web-1")
                ),
            ),
            (
                "rpc error: code = Unavailable desc = transport is closing",
                "rpc error: code = Unavailable desc = transport is closing".to_owned(),
            ),
            (
                "8e9e05c52164694d took 1.5s",
                "8e9e05c52164694d took 1.5s".to_owned(),
            ),
            (
                "User system:serviceaccount:pay:bot cannot get",
                format!(
                    "User system:serviceaccount:{}:{} cannot get",
                    x("pay"),
                    x("bot")
                ),
            ),
        ] {
            let once = redactor.text(text);
            assert_eq!(once, hidden);
            assert_eq!(redactor.text(&once), once);
        }
        assert_eq!(
            redactor.agent(
                "kubectl/v1.24.3 (linux/amd64) kubernetes/aef86a9/system:serviceaccount:pay:bot"
            ),
            format!(
                "kubectl/v1.24.3 (linux/amd64) kubernetes/aef86a9/system:serviceaccount:{}:{}",
                x("pay"),
                x("bot")
            )
        );
        assert_eq!(
            redactor.agent("acme-tool/v1"),
            format!("{}/v1", x("acme-tool"))
        );
        assert_eq!(
            redactor.agent(
                "kube-controller-manager/v1.24.3 (linux/amd64) kubernetes/$Format/leader-election"
            ),
            "kube-controller-manager/v1.24.3 (linux/amd64) kubernetes/$Format/leader-election"
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
        assert_eq!(redactor.key("/registry/pods/a/b"), "/registry/pods/a/b");
    }
}
