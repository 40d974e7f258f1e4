//! API Priority and Fairness: the built-in levels and schemas by version, and what each level gets.
//!
//! Sources: kubernetes/apiserver pkg/apis/flowcontrol/bootstrap/default.go,
//! pkg/util/flowcontrol/apf_controller.go, pkg/util/flowcontrol/request/config.go.

use super::releases::Version;

/// One priority level as the API server creates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Its name.
    pub name: &'static str,
    /// Nominal concurrency shares (assured shares before 1.26).
    pub shares: u32,
    /// How much it lends, in percent (from 1.26).
    pub lendable_percent: u32,
    /// Its queues; 0 when it rejects at once or is exempt.
    pub queues: u32,
    /// Queues that one flow is dealt.
    pub hand_size: u32,
    /// Requests that one queue holds.
    pub queue_length: u32,
    /// Whether its requests are not limited at all.
    pub exempt: bool,
}

const fn level(
    name: &'static str,
    shares: u32,
    lendable_percent: u32,
    queues: u32,
    hand_size: u32,
) -> Level {
    Level {
        name,
        shares,
        lendable_percent,
        queues,
        hand_size,
        queue_length: if queues == 0 { 0 } else { 50 },
        exempt: false,
    }
}

/// In the order of importance.
const LEVELS: &[Level] = &[
    Level {
        exempt: true,
        ..level("exempt", 0, 0, 0, 0)
    },
    level("system", 30, 33, 64, 6),
    level("node-high", 40, 25, 64, 6),
    level("leader-election", 10, 0, 16, 4),
    level("workload-high", 40, 50, 128, 6),
    level("workload-low", 100, 90, 128, 6),
    level("global-default", 20, 50, 128, 6),
    level("catch-all", 5, 0, 0, 0),
];

/// The built-in levels of a version, or none before 1.20, where the feature was off.
pub fn levels(version: Version) -> Vec<Level> {
    if version < Version::minor(1, 20) {
        return Vec::new();
    }
    LEVELS
        .iter()
        .filter(|level| level.name != "node-high" || version >= Version::minor(1, 22))
        .map(|level| Level {
            lendable_percent: if version >= Version::minor(1, 26) {
                level.lendable_percent
            } else {
                0
            },
            ..*level
        })
        .collect()
}

/// A flow schema: which level a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// Its name.
    pub name: &'static str,
    /// The lowest number that matches wins.
    pub precedence: u32,
    /// Its level.
    pub level: &'static str,
    /// First and last minor of Kubernetes 1 with it.
    minors: (u16, u16),
}

const fn schema(
    name: &'static str,
    precedence: u32,
    level: &'static str,
    from: u16,
    to: u16,
) -> Schema {
    Schema {
        name,
        precedence,
        level,
        minors: (from, to),
    }
}

const SCHEMAS: &[Schema] = &[
    schema("exempt", 1, "exempt", 20, u16::MAX),
    schema("probes", 2, "exempt", 22, u16::MAX),
    schema(
        "system-leader-election",
        100,
        "leader-election",
        20,
        u16::MAX,
    ),
    schema("endpoint-controller", 150, "workload-high", 26, 33),
    schema("workload-leader-election", 200, "leader-election", 20, 33),
    schema("system-node-high", 400, "node-high", 22, u16::MAX),
    schema("system-nodes", 500, "system", 20, u16::MAX),
    schema(
        "kube-controller-manager",
        800,
        "workload-high",
        20,
        u16::MAX,
    ),
    schema("kube-scheduler", 800, "workload-high", 20, u16::MAX),
    schema(
        "kube-system-service-accounts",
        900,
        "workload-high",
        20,
        u16::MAX,
    ),
    schema("service-accounts", 9000, "workload-low", 20, u16::MAX),
    schema("global-default", 9900, "global-default", 20, u16::MAX),
    schema("catch-all", 10_000, "catch-all", 20, u16::MAX),
];

/// Whether a name is that of a built-in level of some version.
pub fn is_level(name: &str) -> bool {
    LEVELS.iter().any(|level| level.name == name)
}

/// Whether a name is that of a built-in flow schema of some version.
pub fn is_schema(name: &str) -> bool {
    SCHEMAS.iter().any(|schema| schema.name == name)
}

/// The built-in flow schemas of a version, by precedence.
pub fn schemas(version: Version) -> Vec<Schema> {
    SCHEMAS
        .iter()
        .filter(|schema| (schema.minors.0..=schema.minors.1).contains(&version.minor))
        .copied()
        .collect()
}

/// The built-in schema that takes the requests of a user: the one that its requests were counted
/// under, where it is one that several users share by what they ask for, or else the one of its name.
/// Members of `system:masters` are exempt, which a name does not tell.
pub fn schema_of(user: &str, counted: Option<&str>) -> Option<Schema> {
    const BY_REQUEST: [&str; 2] = ["system-leader-election", "workload-leader-election"];
    let account = user.strip_prefix("system:serviceaccount:");
    let by_name = match (account, user) {
        (Some(account), _) if account.starts_with("kube-system:") => "kube-system-service-accounts",
        (Some(_), _) => "service-accounts",
        (_, "system:kube-controller-manager") => "kube-controller-manager",
        (_, "system:kube-scheduler") => "kube-scheduler",
        (_, user) if user.starts_with("system:node:") => "system-nodes",
        _ => "global-default",
    };
    let of_plane = by_name.starts_with("kube-");
    let name = counted
        .filter(|name| {
            // Whom global-default misses is caught by the last one.
            *name == "catch-all" && by_name == "global-default"
                || BY_REQUEST.contains(name) && (account.is_some() || of_plane)
        })
        .unwrap_or(by_name);
    SCHEMAS.iter().find(|schema| schema.name == name).copied()
}

impl Schema {
    /// A precedence that comes before this schema, and after those that come before it. Of the last
    /// ones all leave much room.
    pub fn before(&self) -> u32 {
        match self.precedence {
            9000.. => 1000,
            own => own.saturating_sub(10),
        }
    }
}

/// The version of `flowcontrol.apiserver.k8s.io` to write for a release; `None` before 1.20.
pub fn api_version(version: Version) -> Option<&'static str> {
    match version.minor {
        0..20 => None,
        20..23 => Some("v1beta1"),
        23..26 => Some("v1beta2"),
        26..29 => Some("v1beta3"),
        _ => Some("v1"),
    }
}

/// Seats of one level at a server's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seats {
    /// `ceil(limit × shares / all shares)`.
    pub nominal: u32,
    /// What is left when all that is lendable is lent.
    pub min: u32,
    /// With everything borrowed; the built-in levels have no limit of their own, so the server's.
    pub max: u32,
    /// The most that one request may take: one seat before 1.22 (kubernetes#102185), then the
    /// estimator's cap of 10, from 1.28 on a part of the level.
    pub request_max: u32,
}

/// What a level gets out of a server's limit (`max-requests-inflight` +
/// `max-mutating-requests-inflight`) when all levels together have `all_shares`.
pub fn seats(level: &Level, limit: u32, all_shares: u32, version: Version) -> Seats {
    if level.exempt || all_shares == 0 {
        return Seats {
            nominal: 0,
            min: 0,
            max: limit,
            request_max: limit,
        };
    }
    let nominal = (u64::from(limit) * u64::from(level.shares)).div_ceil(u64::from(all_shares));
    let nominal = u32::try_from(nominal).unwrap_or(u32::MAX);
    // `math.Round`: halves go up.
    let lendable = (u64::from(nominal) * u64::from(level.lendable_percent) + 50) / 100;
    let lendable = u32::try_from(lendable).unwrap_or(u32::MAX);
    let request_max = if version >= Version::minor(1, 28) {
        let share = u32::try_from((u64::from(nominal) * 15).div_ceil(100)).unwrap_or(u32::MAX);
        // A level without queues has no hands to deal to.
        nominal
            .checked_div(level.hand_size)
            .map_or(nominal, |hand| share.min(hand).max(1))
    } else if version >= Version::minor(1, 22) {
        10
    } else {
        1
    };
    Seats {
        nominal,
        min: nominal.saturating_sub(lendable),
        max: limit,
        request_max,
    }
}

/// All shares of the built-in levels of a version.
pub fn all_shares(version: Version) -> u32 {
    levels(version).iter().map(|level| level.shares).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_requests_had_a_width_each_took_one_seat() {
        let level = |version: Version| {
            let levels = levels(version);
            let system = levels.iter().find(|level| level.name == "system").unwrap();
            seats(system, 600, all_shares(version), version).request_max
        };
        assert_eq!(level(Version::new(1, 20, 4)), 1);
        assert_eq!(level(Version::new(1, 22, 0)), 10);
    }

    #[test]
    fn shares_add_up() {
        assert_eq!(all_shares(Version::minor(1, 36)), 245);
        assert_eq!(all_shares(Version::minor(1, 21)), 205);
        assert_eq!(all_shares(Version::minor(1, 19)), 0);
    }

    /// Nominal, min and most seats of one request, worked out by hand from the formulas.
    #[test]
    fn worked_seats_come_out() {
        type Row = (u32, [(u32, u32, u32); 6], u32);
        let table: &[Row] = &[
            (
                600,
                [
                    (74, 50, 12),
                    (98, 73, 15),
                    (25, 25, 4),
                    (98, 49, 15),
                    (245, 24, 37),
                    (49, 24, 8),
                ],
                13,
            ),
            (
                1500,
                [
                    (184, 123, 28),
                    (245, 184, 37),
                    (62, 62, 10),
                    (245, 122, 37),
                    (613, 61, 92),
                    (123, 61, 19),
                ],
                31,
            ),
            (
                2000,
                [
                    (245, 164, 37),
                    (327, 245, 50),
                    (82, 82, 13),
                    (327, 163, 50),
                    (817, 82, 123),
                    (164, 82, 25),
                ],
                41,
            ),
            (
                3000,
                [
                    (368, 247, 56),
                    (490, 367, 74),
                    (123, 123, 19),
                    (490, 245, 74),
                    (1225, 122, 184),
                    (245, 122, 37),
                ],
                62,
            ),
            (
                4000,
                [
                    (490, 328, 74),
                    (654, 490, 99),
                    (164, 164, 25),
                    (654, 327, 99),
                    (1633, 163, 245),
                    (327, 163, 50),
                ],
                82,
            ),
        ];
        let names = [
            "system",
            "node-high",
            "leader-election",
            "workload-high",
            "workload-low",
            "global-default",
        ];
        let version = Version::minor(1, 30);
        let levels = levels(version);
        let of = |name: &str, limit| {
            let level = levels.iter().find(|level| level.name == name).expect(name);
            seats(level, limit, all_shares(version), version)
        };
        for (limit, rows, catch_all) in table {
            for (name, (nominal, min, most)) in names.iter().zip(rows) {
                let got = of(name, *limit);
                assert_eq!(
                    (got.nominal, got.min, got.request_max),
                    (*nominal, *min, *most),
                    "{name} at {limit}"
                );
                assert_eq!(got.max, *limit);
            }
            let got = of("catch-all", *limit);
            assert_eq!((got.nominal, got.min), (*catch_all, *catch_all), "{limit}");
        }
    }

    #[test]
    fn what_shall_catch_a_user_comes_before_the_schema_that_does() {
        let of = |user: &str, counted: Option<&str>| {
            let schema = schema_of(user, counted).unwrap();
            (schema.name, schema.before())
        };
        let leases = Some("workload-leader-election");
        let account = "system:serviceaccount:op:chatty";
        assert_eq!(of(account, None), ("service-accounts", 1000));
        assert_eq!(of(account, Some("catch-all")), ("service-accounts", 1000));
        assert_eq!(of(account, leases), ("workload-leader-election", 190));
        let system = "system:serviceaccount:kube-system:x";
        assert_eq!(of(system, None), ("kube-system-service-accounts", 890));
        assert_eq!(of("jane", leases), ("global-default", 1000));
        assert_eq!(of("jane", Some("catch-all")), ("catch-all", 1000));
        assert_eq!(of("system:node:n1", None), ("system-nodes", 490));
        for schema in SCHEMAS.iter().filter(|schema| schema.precedence > 2) {
            let taken = SCHEMAS.iter().map(|other| other.precedence);
            let between = schema.before()..schema.precedence;
            let others = taken.filter(|other| between.contains(other)).count();
            assert!(others == 0 || schema.precedence > 9000, "{}", schema.name);
        }
    }

    #[test]
    fn schemas_and_levels_fit_together() {
        for minor in 20..=37 {
            let version = Version::minor(1, minor);
            let levels = levels(version);
            let schemas = schemas(version);
            assert!(schemas.is_sorted_by(|a, b| a.precedence <= b.precedence));
            for schema in &schemas {
                assert!(
                    levels.iter().any(|level| level.name == schema.level),
                    "{} in {version}",
                    schema.name
                );
            }
            assert!(api_version(version).is_some());
        }
        assert!(
            schemas(Version::minor(1, 34))
                .iter()
                .all(|s| s.name != "workload-leader-election")
        );
        assert_eq!(api_version(Version::minor(1, 25)), Some("v1beta2"));
        assert_eq!(api_version(Version::minor(1, 29)), Some("v1"));
    }
}
