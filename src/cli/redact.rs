//! `--redact`: names and namespaces as keyed hashes, the same within one run. How it goes over
//! evidence is in `redact_evidence`.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// Hashes names with a key that is new in every run, or leaves them.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Redactor(Option<RandomState>);

impl Redactor {
    /// One that hashes, or one that does nothing.
    pub(in crate::cli) fn new(on: bool) -> Self {
        Redactor(on.then(RandomState::new))
    }

    /// Whether it hashes.
    pub(in crate::cli) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    fn hash(&self, kind: &str, text: &str) -> Option<String> {
        let key = self.0.as_ref()?;
        // 48 bits: names stay apart, and a short word fits a table.
        Some(format!(
            "{kind}-{:012x}",
            key.hash_one(text) & 0xFFFF_FFFF_FFFF
        ))
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
    fn without_the_flag_nothing_changes() {
        let redactor = Redactor::new(false);
        assert_eq!(redactor.name("web-1"), "web-1");
        assert_eq!(
            redactor.key("/registry/pods/a/b", Some("a"), Some("b")),
            "/registry/pods/a/b"
        );
    }
}
