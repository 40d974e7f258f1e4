//! What each priority level of kube-apiserver gets of its concurrency, computed from its flags as the server computes it.

use crate::catalog::apf;
use crate::catalog::releases::Version;
use crate::catalog::settings::{parse_bool, parse_int};
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
        let text = |name: &str| settings.row(name)?.get_text("value");
        let flag = |name: &str| u32::try_from(parse_int(text(name)?)?).ok();
        // No levels divide the seats then.
        if text("enable-priority-and-fairness").and_then(parse_bool) == Some(false) {
            continue;
        }
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
        // With none at all kube-apiserver refuses to start.
        if limit == 0 {
            continue;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Collector, Origin, Row, SubjectKind, Table, Window};

    fn of(version: &str, flags: &[(&str, &str)]) -> Vec<Seats> {
        let mut set = EvidenceSet::new();
        let about = Subject::new(SubjectKind::Component, "kube-apiserver");
        let origin = || Origin::new(Collector::Manifest, "kube-apiserver.yaml");
        let mut rows: Vec<Row> = flags
            .iter()
            .map(|(name, value)| Row::new(*name).text("value", *value))
            .collect();
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        let table = |rows| Table {
            rows,
            ..Table::default()
        };
        let versions = vec![Row::new("image").text("version", version)];
        let now = Window::default();
        set.put(&keys::SETTINGS, about.clone(), now, origin(), table(rows));
        set.put(&keys::VERSIONS, about, now, origin(), table(versions));
        seats(&set)
    }

    #[test]
    fn only_a_server_that_divides_its_seats_has_a_table() {
        let with = |read: &str, apf: &str| {
            of(
                "1.30.1",
                &[
                    ("max-requests-inflight", read),
                    ("max-mutating-requests-inflight", "0"),
                    ("enable-priority-and-fairness", apf),
                ],
            )
        };
        assert_eq!(with("400", "true").len(), 1);
        assert_eq!(with("400", "false"), []);
        assert_eq!(with("0", "true"), []);
        // As pflag reads it.
        assert_eq!(with("0400", "true")[0].limit, 256);
    }
}
