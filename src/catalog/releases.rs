//! Versions of etcd and Kubernetes: how they are written, and which is older.

use std::cmp::Ordering;
use std::fmt;

/// How far a version is from its release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// `-alpha.N`
    Alpha(u16),
    /// `-beta.N`
    Beta(u16),
    /// `-rc.N`
    Rc(u16),
    /// The release itself. Build and packaging suffixes (`-0`, `+rke2r1`, `-gke.100`) do not
    /// change the order: they repackage the same code.
    Release,
}

/// A version `major.minor.patch`, ordered as releases follow each other.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    /// Major.
    pub major: u16,
    /// Minor.
    pub minor: u16,
    /// Patch; 0 when the text had none.
    pub patch: u16,
    /// Whether the text named the patch. A bare `3.5` says which defaults hold, and not which
    /// bugs are fixed.
    pub patch_known: bool,
    /// Pre-release stage.
    pub stage: Stage,
}

impl Version {
    /// Whether a release of etcd holds what came to 3.4 and to 3.5 with these patches, and is in all later minors.
    pub fn holds(self, patch34: u16, patch35: u16) -> bool {
        match (self.major, self.minor) {
            (3, 4) => self.patch >= patch34,
            (3, 5) => self.patch >= patch35,
            (major, minor) => (major, minor) > (3, 5),
        }
    }

    /// A release, for tables.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Version {
            major,
            minor,
            patch,
            patch_known: true,
            stage: Stage::Release,
        }
    }

    /// The first release of a minor version, for tables.
    pub const fn minor(major: u16, minor: u16) -> Self {
        Version::new(major, minor, 0)
    }

    /// Reads the forms that occur: `v1.36.2 (abc)`, `3.4.23`, `3.5.15-0`, `v1.31.4+rke2r1`,
    /// `v1.31.4-rke2r1-build2024`, `etcd Version: 3.4.23`, `Kubernetes v1.29.0-rc.1`, `3.5`.
    /// Four numbers in a row are an address, not a version; a lone number is none either.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.trim().as_bytes();
        let mut at = 0;
        loop {
            let start = at + bytes.get(at..)?.iter().position(u8::is_ascii_digit)?;
            // A digit inside a word (`sha256`, `k8s`, `build20241106`) starts no version; a `v` does.
            let before = start.checked_sub(1).and_then(|i| bytes.get(i)).copied();
            let word = match before {
                Some(b'v' | b'V') => start
                    .checked_sub(2)
                    .and_then(|i| bytes.get(i))
                    .is_some_and(u8::is_ascii_alphanumeric),
                Some(b) => b.is_ascii_alphanumeric() || b == b'.',
                None => false,
            };
            let end = start
                + bytes
                    .get(start..)?
                    .iter()
                    .take_while(|b| b.is_ascii_digit() || **b == b'.')
                    .count();
            if !word && let Some(version) = numbers(bytes.get(start..end)?, bytes.get(end..)?) {
                return Some(version);
            }
            at = end.max(start + 1);
        }
    }

    /// Whether both belong to the same `major.minor`.
    pub fn same_minor(self, other: Version) -> bool {
        (self.major, self.minor) == (other.major, other.minor)
    }

    fn rank(&self) -> (u16, u16, u16, Stage) {
        (self.major, self.minor, self.patch, self.stage)
    }
}

fn numbers(digits: &[u8], rest: &[u8]) -> Option<Version> {
    let text = std::str::from_utf8(digits).ok()?.trim_end_matches('.');
    let mut parts = text.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    let patch = match parts.next() {
        Some(patch) => Some(patch.parse().ok()?),
        None => None,
    };
    if parts.next().is_some() {
        return None;
    }
    Some(Version {
        major,
        minor,
        patch: patch.unwrap_or(0),
        patch_known: patch.is_some(),
        stage: stage(rest),
    })
}

fn stage(rest: &[u8]) -> Stage {
    let Some(rest) = rest.strip_prefix(b"-") else {
        return Stage::Release;
    };
    for (word, make) in [
        (&b"alpha"[..], Stage::Alpha as fn(u16) -> Stage),
        (&b"beta"[..], Stage::Beta),
        (&b"rc"[..], Stage::Rc),
    ] {
        if let Some(rest) = rest.strip_prefix(word) {
            let digits: String = rest
                .strip_prefix(b".")
                .unwrap_or(rest)
                .iter()
                .take_while(|b| b.is_ascii_digit())
                .map(|b| char::from(*b))
                .collect();
            return make(digits.parse().unwrap_or(0));
        }
    }
    Stage::Release
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Version {}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.patch_known {
            write!(f, ".{}", self.patch)?;
        }
        match self.stage {
            Stage::Alpha(n) => write!(f, "-alpha.{n}"),
            Stage::Beta(n) => write!(f, "-beta.{n}"),
            Stage::Rc(n) => write!(f, "-rc.{n}"),
            Stage::Release => Ok(()),
        }
    }
}

/// The version in an image reference, from its tag. A digest alone tells nothing.
pub fn of_image(image: &str) -> Option<Version> {
    let name = image.split('@').next()?;
    // The tag follows the last colon after the last slash; an earlier colon is a port.
    let last = name.rsplit('/').next()?;
    let (_, tag) = last.split_once(':')?;
    Version::parse(tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn versions_of_every_form() {
        let cases: &[(&str, Option<&str>)] = &[
            ("v1.36.2 (linux/amd64)", Some("1.36.2")),
            ("3.4.23", Some("3.4.23")),
            ("3.5.15-0", Some("3.5.15")),
            ("v1.31.4+rke2r1", Some("1.31.4")),
            ("v1.31.4-rke2r1-build20241212", Some("1.31.4")),
            ("v3.5.16-k3s1", Some("3.5.16")),
            ("etcd Version: 3.4.23", Some("3.4.23")),
            ("Kubernetes v1.29.0-rc.1", Some("1.29.0-rc.1")),
            ("v1.37.0-beta.0", Some("1.37.0-beta.0")),
            ("v1.30.0-alpha.3+abc", Some("1.30.0-alpha.3")),
            ("3.5", Some("3.5")),
            ("v1.31", Some("1.31")),
            ("etcd-3.6", Some("3.6")),
            ("v1.30.5-eks-a1b2c3", Some("1.30.5")),
            ("v1.29.3-gke.1282000", Some("1.29.3")),
            ("latest", None),
            ("sha256:ab12", None),
            ("10.0.0.1", None),
            ("5", None),
            ("", None),
            ("99999.1.1", None),
        ];
        for (text, expected) in cases {
            let got = Version::parse(text).map(|v| v.to_string());
            assert_eq!(got.as_deref(), *expected, "{text}");
        }
    }

    #[test]
    fn images_of_every_registry() {
        let cases: &[(&str, Option<&str>)] = &[
            ("registry.k8s.io/etcd:3.5.15-0", Some("3.5.15")),
            ("localhost:5000/etcd:v3.6.1", Some("3.6.1")),
            ("localhost:5000/etcd", None),
            (
                "rancher/hardened-etcd:v3.5.16-k3s1-build20241106",
                Some("3.5.16"),
            ),
            ("quay.io/openshift/etcd@sha256:0a1b2c", None),
            ("gcr.io/etcd:3.4.13-0@sha256:0a1b2c", Some("3.4.13")),
        ];
        for (image, expected) in cases {
            let got = of_image(image).map(|v| v.to_string());
            assert_eq!(got.as_deref(), *expected, "{image}");
        }
    }

    #[test]
    fn order_is_that_of_releases() {
        let sorted = [
            "1.9.0",
            "1.10.0",
            "1.36.0-alpha.2",
            "1.36.0-beta.0",
            "1.36.0-rc.1",
            "1.36.0",
            "1.36.1",
        ];
        let parsed: Vec<Version> = sorted.iter().filter_map(|t| Version::parse(t)).collect();
        assert_eq!(parsed.len(), sorted.len());
        assert!(parsed.is_sorted_by(|a, b| a < b));
    }

    proptest! {
        #[test]
        fn printing_and_reading_give_the_same(major in 0u16..100, minor in 0u16..100, patch in 0u16..1000, stage in 0u8..4, n in 0u16..9) {
            let stage = match stage { 0 => Stage::Alpha(n), 1 => Stage::Beta(n), 2 => Stage::Rc(n), _ => Stage::Release };
            let version = Version { major, minor, patch, patch_known: true, stage };
            prop_assert_eq!(Version::parse(&version.to_string()), Some(version));
        }

        #[test]
        fn never_panics(text: String) {
            let _ = Version::parse(&text);
            let _ = of_image(&text);
        }
    }
}
