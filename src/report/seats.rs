//! What each priority level of kube-apiserver gets of its concurrency, computed from its flags as the server computes it.

use crate::catalog::apf;
use crate::catalog::releases::Version;
use crate::evidence::{EvidenceSet, Reader, Subject, keys};

/// The built-in levels of one server.
#[derive(Clone, Debug, PartialEq)]
pub struct Seats {
    /// The server.
    pub subject: Subject,
    /// `max-requests-inflight` and `max-mutating-requests-inflight` together.
    pub limit: u32,
    /// Its version, which decides which levels there are.
    pub version: Version,
    /// Each level's name and seats.
    pub levels: Vec<(&'static str, apf::Seats)>,
}

/// Computes them for every server whose flags and version are known.
pub fn seats(evidence: &EvidenceSet) -> Vec<Seats> {
    let reader = Reader::new(evidence);
    let mut all = Vec::new();
    for (subject, settings) in reader.all(&keys::SETTINGS) {
        if subject.name != "kube-apiserver" {
            continue;
        }
        let flag = |name: &str| {
            settings
                .row(name)?
                .get_text("value")?
                .trim()
                .parse::<u32>()
                .ok()
        };
        // Of what an installer adds one flag may be all that is known: the other one has its default.
        let unset = |name: &str| {
            settings.row(name).is_none_or(|row| {
                row.get_text("source") == Some("unknown default")
                    && row.get_text("unread").is_none()
            })
        };
        let names = [
            ("max-requests-inflight", 400),
            ("max-mutating-requests-inflight", 200),
        ];
        let [read, write] =
            names.map(|(name, default)| flag(name).or(unset(name).then_some(default)));
        let (Some(read), Some(write)) = (read, write) else {
            continue;
        };
        if names.iter().all(|(name, _)| unset(name)) {
            continue;
        }
        let version = reader.peek(&keys::VERSIONS, &subject).and_then(|table| {
            table
                .rows
                .iter()
                .find_map(|row| Version::parse(row.get_text("version")?))
        });
        let Some(version) = version else { continue };
        let limit = read.saturating_add(write);
        let shares = apf::all_shares(version);
        let levels: Vec<_> = apf::levels(version)
            .iter()
            .map(|level| (level.name, apf::seats(level, limit, shares, version)))
            .collect();
        if !levels.is_empty() {
            all.push(Seats {
                subject,
                limit,
                version,
                levels,
            });
        }
    }
    all
}
