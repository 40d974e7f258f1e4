//! What an etcd of a version answers on its health paths.
//!
//! Sources: etcd server/etcdserver/api/etcdhttp/health.go by tag. `/health?exclude=` came with 3.4.16 and 3.5.0,
//! `serializable=` with 3.4.29 and 3.5.3, `/livez` and `/readyz` with 3.4.29 and 3.5.11. An unknown parameter is
//! ignored without a word; an unknown path is answered with 404. `/readyz` got `linearizable_read` in the same
//! releases (same file, `installReadyzEndpoints`, which names `read_index` as what may take its place in 3.6).

use super::releases::Version;

/// Whether `/livez` and `/readyz` are answered.
pub fn knows_livez(version: Version) -> bool {
    version.holds(29, 11)
}

/// Whether `serializable=true` keeps `/health` from asking the quorum.
pub fn knows_serializable(version: Version) -> bool {
    version.holds(29, 3)
}

/// Whether a path reads through the quorum, so that it fails where there is no leader; of an unknown version
/// it is taken that the path's parameters are understood.
///
/// `/readyz` holds `linearizable_read`, which asks the quorum (`read_index` in its place would, too), and any check
/// can be excluded by name; `/livez` holds `serializable_read` alone.
pub fn asks_quorum(path: &str, version: Option<Version>) -> bool {
    let (route, query) = path.split_once('?').unwrap_or((path, ""));
    let has = |wanted: &[&str]| query.split('&').any(|pair| wanted.contains(&pair));
    match route.trim_end_matches('/') {
        "/readyz" => !has(&["exclude=linearizable_read", "exclude=read_index"]),
        "/readyz/linearizable_read" | "/readyz/read_index" => true,
        route => {
            route.starts_with("/health")
                && !(has(&["serializable=true"]) && version.is_none_or(knows_serializable))
        }
    }
}

/// A liveness probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// What is asked.
    pub path: &'static str,
    /// It asks the quorum all the same, for want of a better one: the probe has to be patient.
    pub quorum: bool,
}

/// The liveness probe that does not kill a slow etcd of this version.
pub fn liveness(version: Version) -> Liveness {
    let path = if knows_livez(version) {
        "/livez"
    } else if knows_serializable(version) {
        "/health?exclude=NOSPACE&serializable=true"
    } else if version.holds(16, 0) {
        "/health?exclude=NOSPACE"
    } else {
        "/health"
    };
    Liveness {
        path,
        quorum: asks_quorum(path, Some(version)),
    }
}

/// [`liveness`] in words.
pub fn right_liveness(version: Version) -> String {
    let Liveness { path, quorum } = liveness(version);
    if quorum {
        format!(
            "{path} with failureThreshold 8 and timeoutSeconds 15 or more (every path of this version asks the \
             quorum)"
        )
    } else {
        path.to_owned()
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

    #[test]
    fn what_asks_the_quorum() {
        let version = Some(Version::new(3, 5, 15));
        for path in [
            "/health",
            "/health?exclude=NOSPACE",
            "/health?serializable=false",
            "/readyz",
            "/readyz?verbose",
            "/readyz?exclude=serializable_read",
            "/readyz/linearizable_read",
        ] {
            assert!(asks_quorum(path, version), "{path}");
        }
        for path in [
            "/livez",
            "/livez?exclude=NOSPACE",
            "/health?exclude=NOSPACE&serializable=true",
            "/readyz?exclude=linearizable_read",
            "/readyz/serializable_read",
            "/metrics",
            "",
        ] {
            assert!(!asks_quorum(path, version), "{path}");
        }
        let old = Some(Version::new(3, 5, 2));
        assert!(asks_quorum("/health?serializable=true", old));
        assert!(!asks_quorum("/health?serializable=true", None));
    }
}
