//! The catalogue of keys: each one declared once, with its type, unit, merge law and meaning.
//!
//! One file a family, each sorted by name; a test over all of them keeps names unique, sorted
//! and well formed.

/// Declares keys and the family's table of [`KeyInfo`](super::KeyInfo).
macro_rules! keys {
    ($family:ident; $($(#[doc = $doc:literal])* $ident:ident: $type:ty = $name:literal, $unit:ident, $merge:ident;)*) => {
        $(
            $(#[doc = $doc])*
            pub const $ident: super::super::Key<$type> = super::super::Key::new(super::super::KeyInfo {
                name: $name,
                unit: super::super::Unit::$unit,
                shape: <$type as super::super::FromShape>::KIND,
                merge: super::super::MergeLaw::$merge,
                doc: concat!($($doc),*),
            });
        )*
        /// All keys of this family, sorted by name.
        pub const $family: &[super::super::KeyInfo] = &[$($ident.info),*];
    };
}

mod bench;
mod bench_etcd;
mod etcd;
mod host;
mod logs;
mod manifest;
mod metrics;

pub use bench::*;
pub use bench_etcd::*;
pub use etcd::*;
pub use host::*;
pub use logs::*;
pub use manifest::*;
pub use metrics::*;

use super::KeyInfo;

/// Every key of every family.
pub fn all() -> impl Iterator<Item = &'static KeyInfo> {
    BENCH
        .iter()
        .chain(ETCD)
        .chain(BENCH_ETCD)
        .chain(HOST)
        .chain(LOGS)
        .chain(MANIFEST)
        .chain(METRICS)
}

/// The catalogue's row of a name.
pub fn info(name: &str) -> Option<&'static KeyInfo> {
    all().find(|info| info.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_sorted_and_well_formed() {
        for family in [BENCH, BENCH_ETCD, ETCD, HOST, LOGS, MANIFEST, METRICS] {
            assert!(
                family.is_sorted_by(|a, b| a.name < b.name),
                "{:?}",
                family.iter().map(|k| k.name).collect::<Vec<_>>()
            );
        }
        let names: BTreeSet<&str> = all().map(|info| info.name).collect();
        assert_eq!(names.len(), all().count());
        for info in all() {
            assert!(
                info.name.bytes().all(|b| b.is_ascii_lowercase()
                    || b.is_ascii_digit()
                    || matches!(b, b'.' | b'-')),
                "{}",
                info.name
            );
            assert!(
                !info.doc.trim().is_empty(),
                "{} has no description",
                info.name
            );
        }
    }
}
