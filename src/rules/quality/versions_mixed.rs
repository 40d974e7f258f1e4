//! Members run different releases of etcd.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::settings::Component;
use crate::evidence::{Key, Missing, Subject, SubjectKind, Table, keys};
use crate::rules::nodes;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "versions-mixed",
    summary: "members run different releases of etcd",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "versions-mixed",
    check,
};

/// Members of one release that are told by name.
const MANY: usize = 7;

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    // An etcd for events beside the main one is another cluster, and may be of another release.
    let mut clusters: BTreeMap<(String, String), Releases> = BTreeMap::new();
    let ids = cluster_ids(cx);
    let of = |subject: &Subject| {
        let id = ids.get(&subject.name).cloned();
        let which = nodes::instance(subject).to_owned();
        (which, id.unwrap_or_default())
    };
    // The best that tells each member's release.
    let mut best: BTreeMap<_, (u8, Vec<_>)> = BTreeMap::new();
    for key in [&keys::VERSIONS, &keys::METRICS_VERSIONS] {
        for (subject, table) in cx.evidence.all(key) {
            let etcd = subject.kind == SubjectKind::Member
                || Component::of_subject(&subject.name) == Some(Component::Etcd);
            if !etcd {
                continue;
            }
            for row in &table.rows {
                // A scrape also tells the cluster's version and that of Go.
                if key.name() == keys::METRICS_VERSIONS.name() && row.key != "server" {
                    continue;
                }
                // Nor does a version that was only asked about run anywhere.
                if row.key == "asked" {
                    continue;
                }
                if let Some(version) = row.get_text("version") {
                    let rank = rank(&row.key);
                    let slot = best.entry((of(&subject), node_of(&subject)));
                    let (have, all) = slot.or_insert_with(|| (rank, Vec::new()));
                    if rank < *have {
                        (*have, *all) = (rank, Vec::new());
                    }
                    if rank == *have {
                        all.push((key, subject.clone(), version.to_owned()));
                    }
                }
            }
        }
    }
    for ((of, node), (_, all)) in best {
        let cluster = clusters.entry(of).or_default();
        for (key, subject, version) in all {
            cluster.note(key, &subject, &version);
        }
        cluster.told.insert(node);
    }
    // Who is not asked says in its log what it started as. The last start counts: an upgrade that
    // went round leaves one release behind.
    for (subject, table) in cx.evidence.all(&keys::LOGS_RESTARTS) {
        let cluster = clusters.entry(of(&subject)).or_default();
        if subject.kind != SubjectKind::Member || cluster.told.contains(&node_of(&subject)) {
            continue;
        }
        let last = table
            .rows
            .iter()
            .filter_map(|row| Some((row.key != "?", &row.key, row.get_text("version")?)))
            .max();
        if let Some((_, _, version)) = last {
            cluster.by_log = true;
            cluster.note(&keys::LOGS_RESTARTS, &subject, version);
        }
    }
    clusters.retain(|_, cluster| !cluster.by_version.is_empty());
    if clusters.is_empty() {
        return Err(Missing::NotEnough {
            why: "no version of etcd is known".to_owned(),
        });
    }
    let drafts = clusters
        .iter()
        .filter_map(|((which, _), cluster)| cluster.mixed(cx, which));
    let drafts: Vec<Draft> = drafts.collect();
    if drafts.is_empty() {
        clusters.values().for_each(|cluster| cluster.cite(cx));
    }
    Ok(Verdict::Fail(drafts))
}

/// How well a source tells what runs: the running program best, then where its binary lies. The tag
/// of an image may be of the next start, and what was only configured of an upgrade to come.
fn rank(source: &str) -> u8 {
    match source {
        "image" => 2,
        "config" => 3,
        "binary" => 1,
        _ => 0,
    }
}

/// Which releases the members of one cluster run.
#[derive(Default)]
struct Releases {
    /// Nodes by version.
    by_version: BTreeMap<String, BTreeSet<String>>,
    /// Nodes whose running release is known.
    told: BTreeSet<String>,
    /// What told it: the key, whose, and the version as written.
    read: Vec<(&'static Key<Table>, Subject, String)>,
    /// Whether some only said it in their log.
    by_log: bool,
}

impl Releases {
    fn note(&mut self, key: &'static Key<Table>, subject: &Subject, version: &str) {
        let nodes = self.by_version.entry(plain(version)).or_default();
        nodes.insert(node_of(subject));
        self.read.push((key, subject.clone(), version.to_owned()));
    }

    fn cite(&self, cx: &Context<'_>) {
        for (key, subject, version) in &self.read {
            cx.evidence.cite_as(key, subject, version.clone());
        }
    }

    fn mixed(&self, cx: &Context<'_>, which: &str) -> Option<Draft> {
        let nodes: BTreeSet<&String> = self.by_version.values().flatten().collect();
        if self.by_version.len() < 2 || nodes.len() < 2 {
            return None;
        }
        self.cite(cx);
        let words: Vec<String> = self
            .by_version
            .iter()
            .map(|(version, nodes)| {
                let names: Vec<&str> = nodes.iter().take(MANY).map(String::as_str).collect();
                let more = match nodes.len().saturating_sub(MANY) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!("{version} on {}{more}", names.join(", "))
            })
            .collect();
        let about = match which {
            "" => Subject::cluster(),
            which => Subject::new(SubjectKind::Component, format!("etcd-{which}")),
        };
        let confidence = match self.by_log {
            true => Confidence::Medium,
            false => Confidence::High,
        };
        let draft = Draft::new(about, Severity::Warn, words.join("; "))
            .confidence(confidence)
            .threshold("etcd upgrade guide: mixed releases only during an upgrade")
            .cites(cx.evidence.take_citations());
        Some(draft)
    }
}

/// The cluster of each member that a look at a live etcd met, where they belong to several.
fn cluster_ids(cx: &Context<'_>) -> BTreeMap<String, String> {
    let all = cx.evidence.all(&keys::ETCD_STATUS);
    cx.evidence.take_citations();
    let ids = all.into_iter().filter_map(|(subject, table)| {
        let id = table.row("status")?.get_text("cluster-id")?;
        Some((subject.name, id.to_owned()))
    });
    let ids: BTreeMap<String, String> = ids.collect();
    let several = ids.values().collect::<BTreeSet<_>>().len() > 1;
    match several {
        true => ids,
        false => BTreeMap::new(),
    }
}

fn node_of(subject: &Subject) -> String {
    subject.node.clone().unwrap_or_else(|| subject.name.clone())
}

/// `3.5.15` of `v3.5.15-0`.
fn plain(version: &str) -> String {
    version
        .trim_start_matches('v')
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == '.')
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Row;
    use crate::rules::Status;
    use crate::rules::testing::Set;

    fn with(versions: &[&str]) -> Set {
        versions
            .iter()
            .enumerate()
            .fold(Set::new(), |set, (at, version)| {
                let subject = Subject::new(SubjectKind::Component, "etcd").on(format!("n{at}"));
                let rows = vec![Row::new("image").text("version", *version)];
                set.put(
                    &keys::VERSIONS,
                    subject,
                    Table {
                        rows,
                        ..Table::default()
                    },
                )
            })
    }

    #[test]
    fn different_releases_on_different_nodes() {
        assert_eq!(with(&["3.5.15-0", "v3.5.15"]).status(&RULE).0, Status::Pass);
        assert_eq!(
            with(&["3.5.15-0", "3.4.23"]).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn what_runs_counts_before_a_tag() {
        let members = |runs: &[&str]| {
            let all = runs.iter().enumerate();
            all.fold(with(&["3.5.9", "3.5.9", "3.5.9"]), |set, (at, version)| {
                let rows = vec![Row::new("server").text("version", *version)];
                let table = Table {
                    rows,
                    ..Table::default()
                };
                let member = Subject::new(SubjectKind::Member, format!("n{at}"));
                set.put(&keys::METRICS_VERSIONS, member, table)
            })
        };
        let same = members(&["3.5.21", "3.5.21", "3.5.21"]);
        assert_eq!(same.status(&RULE).0, Status::Pass);
        let mixed = members(&["3.5.21", "3.5.21", "3.5.20"]).check(&RULE);
        assert_eq!(mixed[0].message, "3.5.20 on n2; 3.5.21 on n0, n1");
        let half = members(&["3.5.21"]).check(&RULE);
        assert_eq!(half[0].message, "3.5.21 on n0; 3.5.9 on n1, n2");
    }

    #[test]
    fn a_long_list_of_members_is_cut() {
        let mut all = vec!["3.5.21"; 50];
        all.push("3.5.20");
        let found = with(&all).check(&RULE);
        assert!(found[0].message.ends_with("and 43 more"), "{found:?}");
    }

    #[test]
    fn each_cluster_has_its_own_release() {
        let version = |text: &str| Table {
            rows: vec![Row::new("server").text("version", text)],
            ..Table::default()
        };
        let named = |name: &str| Subject::new(SubjectKind::Member, name);
        let with = |all: &[(&str, &str)]| {
            all.iter().fold(Set::new(), |set, (name, text)| {
                set.put(&keys::METRICS_VERSIONS, named(name), version(text))
            })
        };
        let beside = with(&[("n0", "3.4.23"), ("n0/events", "3.5.1")]);
        assert_eq!(beside.status(&RULE).0, Status::Pass);
        let events = with(&[
            ("n0", "3.4.23"),
            ("n0/events", "3.5.1"),
            ("n1/events", "3.5.2"),
        ]);
        let found = events.check(&RULE);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].subject.name, "etcd-events");
        assert_eq!(found[0].message, "3.5.1 on n0/events; 3.5.2 on n1/events");
        // Addresses of two clusters.
        let status = |set: Set, name: &str, id: &str| {
            let rows = vec![Row::new("status").text("cluster-id", id)];
            let table = Table {
                rows,
                ..Table::default()
            };
            set.put(&keys::ETCD_STATUS, named(name), table)
        };
        let both = || with(&[("a", "3.4.23"), ("b", "3.5.1")]);
        let one = status(status(both(), "a", "7"), "b", "7");
        assert_eq!(one.status(&RULE).0, Status::Fail);
        let two = status(status(both(), "a", "7"), "b", "8");
        assert_eq!(two.status(&RULE).0, Status::Pass);
    }

    /// Starts in the logs of n0, n1, …: time and version.
    fn started(of: &[&[(&str, &str)]]) -> Set {
        of.iter().enumerate().fold(Set::new(), |set, (at, starts)| {
            let rows = starts
                .iter()
                .map(|(time, version)| Row::new(*time).text("version", *version))
                .collect();
            let subject = Subject::new(SubjectKind::Member, format!("n{at}"));
            set.put(
                &keys::LOGS_RESTARTS,
                subject,
                Table {
                    rows,
                    ..Table::default()
                },
            )
        })
    }

    #[test]
    fn the_last_start_in_the_log_says_what_runs() {
        let (morning, noon) = ("2026-11-20T08:00:00Z", "2026-11-20T12:00:00Z");
        let mixed = started(&[&[(morning, "3.5.12")], &[(morning, "3.6.1")]]);
        assert_eq!(mixed.status(&RULE), (Status::Fail, Severity::Warn));
        let upgraded = started(&[
            &[(morning, "3.5.12"), (noon, "3.6.1")],
            &[(morning, "3.5.12"), (noon, "3.6.1")],
        ]);
        assert_eq!(upgraded.status(&RULE).0, Status::Pass);
        // What runs is known better than from the log.
        let subject = Subject::new(SubjectKind::Component, "etcd").on("n1");
        let asked = started(&[&[(noon, "3.6.1")], &[(morning, "3.5.12")]]).put(
            &keys::VERSIONS,
            subject,
            Table {
                rows: vec![Row::new("binary").text("version", "3.6.1")],
                ..Table::default()
            },
        );
        assert_eq!(asked.status(&RULE).0, Status::Pass);
    }
}
