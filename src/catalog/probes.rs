//! What an etcd of a version answers on its health paths.
//!
//! Sources: etcd server/etcdserver/api/etcdhttp/health.go by tag. `/health?exclude=` came with 3.4.16 and 3.5.0,
//! `serializable=` with 3.4.29 and 3.5.3, `/livez` and `/readyz` with 3.4.29 and 3.5.11. An unknown parameter is
//! ignored without a word; an unknown path is answered with 404.

use super::releases::Version;

/// Whether a version holds something that came to 3.4 and 3.5 with these patches.
fn since(version: Version, patch34: u16, patch35: u16) -> bool {
    match (version.major, version.minor) {
        (3, 4) => version.patch >= patch34,
        (3, 5) => version.patch >= patch35,
        (major, minor) => (major, minor) > (3, 5),
    }
}

/// Whether `/livez` and `/readyz` are answered.
pub fn knows_livez(version: Version) -> bool {
    since(version, 29, 11)
}

/// Whether `serializable=true` keeps `/health` from asking the quorum.
pub fn knows_serializable(version: Version) -> bool {
    since(version, 29, 3)
}

/// The liveness probe that does not kill a slow etcd of this version.
pub fn right_liveness(version: Version) -> &'static str {
    if knows_livez(version) {
        "/livez"
    } else if knows_serializable(version) {
        "/health?exclude=NOSPACE&serializable=true"
    } else if since(version, 16, 0) {
        "/health?exclude=NOSPACE with failureThreshold 8 and timeoutSeconds 15 or more (every path of this version asks the quorum)"
    } else {
        "/health with failureThreshold 8 and timeoutSeconds 15 or more (every path of this version asks the quorum)"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_each_release() {
        let right = |major, minor, patch| right_liveness(Version::new(major, minor, patch));
        assert_eq!(right(3, 6, 0), "/livez");
        assert_eq!(right(3, 5, 11), "/livez");
        assert_eq!(right(3, 5, 10), "/health?exclude=NOSPACE&serializable=true");
        assert_eq!(right(3, 5, 3), "/health?exclude=NOSPACE&serializable=true");
        assert!(right(3, 5, 2).starts_with("/health?exclude=NOSPACE with"));
        assert_eq!(right(3, 4, 29), "/livez");
        assert!(right(3, 4, 28).starts_with("/health?exclude=NOSPACE with"));
        assert!(right(3, 4, 15).starts_with("/health with"));
    }
}
