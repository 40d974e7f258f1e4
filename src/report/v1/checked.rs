//! What `check --format json` prints.

use serde::Serialize;

use super::{Advice, Finding, advice, finding};
use crate::report::Checked;

/// What `check` prints.
#[derive(Debug, Serialize)]
pub struct CheckDocument<'a> {
    /// Always `etcd-doctor/check`.
    pub format: &'static str,
    /// Always 1.
    pub version: u32,
    /// The program's release.
    pub program: &'static str,
    /// The profile whose limits were used.
    pub profile: &'a str,
    /// Every rule's answer.
    pub findings: Vec<Finding<'a>>,
    /// What could not be read.
    pub problems: &'a [String],
    /// What each priority level of kube-apiserver gets of its concurrency; empty where settings were not checked.
    pub seats: Vec<ServerSeats>,
    /// The write barriers under each etcd; only of `check host`.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub barriers: &'a [crate::report::barriers::Ladder],
    /// The members of a live etcd; only of `check etcd`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etcd: Option<&'a crate::report::etcd::EtcdOverview>,
    /// What to do; only of `check etcd`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<Vec<Advice<'a>>>,
}

/// The priority levels of one kube-apiserver.
#[derive(Debug, Serialize)]
pub struct ServerSeats {
    /// The server.
    pub subject: String,
    /// `max-requests-inflight` and `max-mutating-requests-inflight` together.
    pub limit: u32,
    /// Its version.
    pub server_version: String,
    /// The levels.
    pub levels: Vec<LevelSeats>,
}

/// One priority level.
#[derive(Debug, Serialize)]
pub struct LevelSeats {
    /// Its name.
    pub level: &'static str,
    /// Its share.
    pub nominal: u32,
    /// What it keeps when all that it may lend is lent.
    pub min: u32,
    /// With everything borrowed.
    pub max: u32,
    /// The most that one request may take.
    pub request_max: u32,
}

fn server_seats(all: &[crate::report::seats::Seats]) -> Vec<ServerSeats> {
    all.iter()
        .map(|server| ServerSeats {
            subject: server.subject.to_string(),
            limit: server.limit,
            server_version: server.version.to_string(),
            levels: server
                .levels
                .iter()
                .map(|(level, seats)| LevelSeats {
                    level,
                    nominal: seats.nominal,
                    min: seats.min,
                    max: seats.max,
                    request_max: seats.request_max,
                })
                .collect(),
        })
        .collect()
}

impl<'a> CheckDocument<'a> {
    /// The document of a check.
    pub fn of(checked: &'a Checked) -> Self {
        CheckDocument {
            format: "etcd-doctor/check",
            version: 1,
            program: env!("CARGO_PKG_VERSION"),
            profile: &checked.profile,
            findings: checked.findings.iter().map(finding).collect(),
            problems: &checked.problems,
            seats: server_seats(&checked.seats),
            barriers: &checked.barriers,
            etcd: checked.etcd.as_ref(),
            advice: checked
                .etcd
                .is_some()
                .then(|| checked.advice.iter().map(advice).collect()),
        }
    }
}
