//! What the members said → evidence.

mod rows;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::gather::gather;
use super::model::{Backend, Member, Model, Sample};
use super::plan::Plan;
use super::trouble::Trouble;
use crate::catalog::releases::Version;
use crate::clock::Timestamp;
use crate::evidence::{
    Collector, EvidenceSet, Key, Missing, Origin, Point, Row, Series, Subject, SubjectKind, Table,
    Window, keys,
};
use crate::formats::x509::Certificate;
use crate::units::growth::{TimeToFull, growth, time_to_full};
use rows::{lag, lists, members, read_row, rights};

/// Quotas that the settings of a node give, by member name: the value and where it stands.
pub type Quotas = BTreeMap<String, (f64, String)>;

/// Everything the model holds, as evidence. `quotas` stand in where a member does not tell its own.
pub fn collect(model: &Model, own: Option<&(Certificate, String)>, quotas: &Quotas) -> EvidenceSet {
    let mut out = Collecting {
        set: EvidenceSet::new(),
        window: model
            .window
            .map(|(from, to)| Window::between(from, to))
            .unwrap_or_default(),
        now: model.window.map(|(_, to)| to),
    };
    let source: Vec<String> = model
        .members
        .iter()
        .filter_map(|member| member.endpoint.as_ref())
        .chain(model.strangers.iter().map(|(endpoint, _)| endpoint))
        .map(ToString::to_string)
        .collect();
    let cluster = Origin::new(Collector::Etcd, source.join(", "));
    let Some(backend) = model.backend() else {
        out.nobody(model, &cluster);
        out.certificates(model, own, &cluster);
        return out.set;
    };
    out.put(
        &keys::ETCD_BACKEND,
        Subject::cluster(),
        &cluster,
        backend.word().to_owned(),
    );
    out.table(&keys::ETCD_MEMBERS, &cluster, members(model));
    if backend == Backend::Etcd {
        out.table(&keys::ETCD_LISTS, &cluster, lists(model));
        out.table(&keys::ETCD_LAG, &cluster, lag(model));
        let alarms = model
            .alarms()
            .into_iter()
            .map(|alarm| {
                Row::new(format!("{} {}", alarm.alarm, alarm.member))
                    .text("alarm", alarm.alarm)
                    .text("member", alarm.member)
            })
            .collect();
        out.table(&keys::ETCD_ALARMS, &cluster, alarms);
    }
    if model.hash_asked {
        out.hashes(model, &cluster);
    }
    out.certificates(model, own, &cluster);
    out.table(&keys::ETCD_RIGHTS, &cluster, rights(model));
    for member in model.answering() {
        out.member(member, backend, quotas);
    }
    out.set
}

/// Asks everything in the plan and gives it as evidence: the way for those who gather from many
/// sources side by side. Ends by `deadline`, and soon after `cancel` is set.
pub fn examine(
    plan: &Plan,
    quotas: &Quotas,
    deadline: Duration,
    cancel: &AtomicBool,
) -> Result<EvidenceSet, Trouble> {
    let model = gather(plan, deadline, cancel)?;
    Ok(collect(&model, plan.own_certificate().as_ref(), quotas))
}

struct Collecting {
    set: EvidenceSet,
    window: Window,
    now: Option<Timestamp>,
}

impl Collecting {
    fn put<T: crate::evidence::FromShape>(
        &mut self,
        key: &Key<T>,
        subject: Subject,
        origin: &Origin,
        value: T,
    ) {
        self.set
            .put(key, subject, self.window, origin.clone(), value);
    }

    fn table(&mut self, key: &Key<Table>, origin: &Origin, mut rows: Vec<Row>) {
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        let table = Table {
            rows,
            ..Table::default()
        };
        self.put(key, Subject::cluster(), origin, table);
    }

    /// No member answered: what was tried, so that the report can say it.
    fn nobody(&mut self, model: &Model, origin: &Origin) {
        let why = model
            .strangers
            .first()
            .map(|(endpoint, trouble)| format!("{endpoint}: {trouble}"))
            .or_else(|| {
                let member = model.members.iter().find(|m| m.trouble.is_some())?;
                Some(format!("{}: {}", member.name, member.trouble.as_ref()?))
            });
        if let Some(why) = why {
            let missing = Missing::NotEnough { why };
            self.set.put_missing(
                &keys::ETCD_MEMBERS,
                Subject::cluster(),
                origin.clone(),
                missing,
            );
        }
    }

    fn member(&mut self, member: &Member, backend: Backend, quotas: &Quotas) {
        let (Some(last), Some(endpoint)) = (member.last(), &member.endpoint) else {
            return;
        };
        let subject = Subject::new(SubjectKind::Member, &member.name);
        let origin = Origin::new(Collector::Etcd, endpoint.to_string());
        let mut status = Row::new("status")
            .num("revision", last.revision as f64)
            .num("term", last.term as f64)
            .num("index", last.index as f64)
            .num("learner", f64::from(u8::from(last.learner)))
            .num(
                "leads",
                f64::from(u8::from(last.leader != 0 && last.leader == last.id)),
            )
            .text("endpoint", endpoint.to_string())
            .text("version", last.version.clone())
            .text("errors", last.errors.join("; "));
        if last.applied > 0 {
            status = status.num("applied", last.applied as f64);
        }
        for (column, value) in [
            ("db_bytes", last.db),
            ("in_use_bytes", last.in_use),
            ("quota_bytes", last.quota),
        ] {
            if let Some(value) = value {
                status = status.num(column, value);
            }
        }
        if last.leader != 0 {
            status = status.text("leader", format!("{:x}", last.leader));
        }
        // Of members that follow two leaders only the look before tells whether it was an election.
        if let [first, .., _] = member.samples.as_slice()
            && first.leader != 0
        {
            status = status
                .text("first-leader", format!("{:x}", first.leader))
                .num("first_term", first.term as f64);
        }
        if last.id != 0 {
            status = status
                .text("id", format!("{:x}", last.id))
                .text("cluster-id", format!("{:x}", last.cluster_id));
        }
        if !last.storage_version.is_empty() {
            status = status.text("storage-version", last.storage_version.clone());
        }
        let status = Table {
            rows: vec![status],
            ..Table::default()
        };
        self.put(&keys::ETCD_STATUS, subject.clone(), &origin, status);
        if backend != Backend::Etcd {
            return;
        }
        let mut reads = Vec::new();
        for (kind, all) in [
            ("linearizable", &member.linearizable),
            ("serializable", &member.serializable),
        ] {
            if !all.took.is_empty() || all.error.is_some() {
                reads.push(read_row(kind, all));
            }
        }
        if !reads.is_empty() {
            let reads = Table {
                rows: reads,
                ..Table::default()
            };
            self.put(&keys::ETCD_READS, subject.clone(), &origin, reads);
        }
        self.shared(member, &subject, &origin);
        // 3.6.0 to 3.6.5 tell 0 or a wrong one (etcd pull request 20786).
        let told =
            Version::parse(&last.version).is_some_and(|version| version >= Version::new(3, 6, 6));
        let quota = last
            .quota
            .filter(|_| told)
            .map(|quota| (quota, origin.clone()))
            .or_else(|| {
                let (quota, place) = quotas.get(&member.name)?;
                Some((*quota, Origin::new(Collector::Manifest, place.clone())))
            });
        let bytes = quota.as_ref().map(|(bytes, _)| *bytes);
        if let Some((quota, origin)) = quota {
            self.put(&keys::DB_QUOTA, subject.clone(), &origin, quota);
        }
        self.growth(member, bytes, &subject, &origin);
    }

    /// Growth between the two looks, drawn out to the quota where that says anything.
    fn growth(&mut self, member: &Member, quota: Option<f64>, subject: &Subject, origin: &Origin) {
        let (Some(first), Some(last)) = (member.samples.first(), member.samples.last()) else {
            return;
        };
        let Some(size) = last.db else {
            return;
        };
        let after = |sample: &Sample| sample.at.since_us(first.at) as f64 / 1e6;
        let secs = after(last);
        let samples = member.samples.iter();
        let points: Vec<(f64, f64)> = samples
            .filter_map(|sample| Some((after(sample), sample.db?)))
            .collect();
        let full = quota.is_some_and(|quota| quota > 0.0 && size >= quota);
        let growth = growth(&points, full);
        if let Some(growth) = growth {
            self.put(&keys::DB_GROWTH, subject.clone(), origin, growth.per_sec);
        }
        let secs = match time_to_full(quota, Some(size), growth) {
            Some(TimeToFull::Full) => 0.0,
            Some(TimeToFull::Secs(secs)) => secs,
            Some(TimeToFull::NotEnough) | None => {
                let why = if quota.is_none() {
                    format!("the quota of {} is not known", member.name)
                } else {
                    format!(
                        "{secs:.0} s are too short, or too little grew, to say when {} is full",
                        member.name
                    )
                };
                self.set.put_missing(
                    &keys::DB_TIME_TO_FULL,
                    subject.clone(),
                    origin.clone(),
                    Missing::NotEnough { why },
                );
                return;
            }
        };
        self.put(&keys::DB_TIME_TO_FULL, subject.clone(), origin, secs);
    }

    /// Readings that metrics give as well, under the same keys.
    fn shared(&mut self, member: &Member, subject: &Subject, origin: &Origin) {
        let Some(last) = member.last() else {
            return;
        };
        let series = |value: &dyn Fn(&Sample) -> Option<f64>| Series {
            points: member
                .samples
                .iter()
                .filter_map(|sample| {
                    Some(Point {
                        at: sample.at,
                        value: value(sample)?,
                    })
                })
                .collect(),
        };
        let yes = |yes: bool| Some(f64::from(u8::from(yes)));
        let all = [
            (&keys::DB_SIZE, series(&|sample| sample.db)),
            (&keys::HAS_LEADER, series(&|sample| yes(sample.leader != 0))),
            (
                &keys::IS_LEADER,
                series(&|sample| yes(sample.leader != 0 && sample.leader == sample.id)),
            ),
        ];
        for (key, series) in all {
            if !series.points.is_empty() {
                self.put(key, subject.clone(), origin, series);
            }
        }
        if let Some(in_use) = last.in_use {
            self.put(&keys::DB_IN_USE, subject.clone(), origin, in_use);
        }
        self.put(
            &keys::MEMBER_ID,
            subject.clone(),
            origin,
            format!("{:x}", last.id),
        );
        let version = Row::new("api")
            .text("version", last.version.clone())
            .text("text", last.version.clone())
            .text("where", origin.source.clone());
        let versions = Table {
            rows: vec![version],
            ..Table::default()
        };
        self.put(&keys::VERSIONS, subject.clone(), origin, versions);
    }

    fn hashes(&mut self, model: &Model, origin: &Origin) {
        if let Some(why) = &model.hash_refused {
            let missing = Missing::NotEnough { why: why.clone() };
            self.set.put_missing(
                &keys::ETCD_HASHES,
                Subject::cluster(),
                origin.clone(),
                missing,
            );
            return;
        }
        let rows = model
            .members
            .iter()
            .filter_map(|member| {
                let row = Row::new(&member.name);
                Some(match member.hash.as_ref()? {
                    Ok(hash) => row
                        .num("hash", f64::from(hash.hash))
                        .num("revision", hash.revision as f64)
                        .num("compacted", hash.compacted as f64),
                    Err(trouble) => row.text("error", trouble.in_full()),
                })
            })
            .collect();
        self.table(&keys::ETCD_HASHES, origin, rows);
    }

    fn certificates(
        &mut self,
        model: &Model,
        own: Option<&(Certificate, String)>,
        origin: &Origin,
    ) {
        let Some(now) = self.now else {
            return;
        };
        let mut rows = Vec::new();
        let row = |key: String, certificate: &Certificate| {
            let left = certificate.not_after.since_us(now) as f64 / 86_400e6;
            Row::new(key)
                .num("days_left", left)
                .text("subject", certificate.subject.clone())
                .text("issuer", certificate.issuer.clone())
                .text("until", crate::formats::x509::minute(certificate.not_after))
                .text("names", certificate.names.join(","))
        };
        for member in &model.members {
            if let Some(certificate) = member.greeting.certificates.first() {
                rows.push(row(format!("server {}", member.name), certificate));
            }
        }
        if let Some((certificate, path)) = own {
            rows.push(row("client".to_owned(), certificate).text("path", path.clone()));
        }
        if !rows.is_empty() {
            self.table(&keys::ETCD_CERTIFICATES, origin, rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Reader;
    use crate::target::etcd::Endpoint;

    const MIB: f64 = 1024.0 * 1024.0;

    fn sample(at: i64, index: u64, applied: u64, db: f64) -> Sample {
        Sample {
            at: Timestamp::from_secs(at),
            id: 7,
            cluster_id: 1,
            revision: 3,
            version: "3.6.5".to_owned(),
            storage_version: String::new(),
            db: Some(db),
            in_use: Some(db / 2.0),
            quota: Some(1.0),
            leader: 7,
            term: 2,
            index,
            applied,
            learner: false,
            errors: Vec::new(),
        }
    }

    fn member(name: &str, samples: Vec<Sample>) -> Member {
        Member {
            id: Some(7),
            name: name.to_owned(),
            endpoint: Endpoint::parse("http://127.0.0.1:2379", false).ok(),
            samples,
            ..Member::default()
        }
    }

    fn model(members: Vec<Member>) -> Model {
        Model {
            members,
            window: Some((Timestamp::from_secs(0), Timestamp::from_secs(10))),
            ..Model::default()
        }
    }

    #[test]
    fn lag_is_the_smaller_of_two_looks() {
        let model = model(vec![
            member(
                "a",
                vec![sample(0, 900, 900, MIB), sample(10, 2000, 2000, MIB)],
            ),
            // Late at the first look only, then behind in what it applies.
            member(
                "b",
                vec![sample(0, 100, 90, MIB), sample(10, 1990, 1000, MIB)],
            ),
        ]);
        let rows = lag(&model);
        let of = |name: &str| rows.iter().find(|row| row.key == name).unwrap();
        assert_eq!(of("a").get("behind"), Some(0.0));
        assert_eq!(of("b").get("behind"), Some(10.0));
        assert_eq!(of("b").get("unapplied"), Some(10.0));
    }

    #[test]
    fn each_cluster_has_its_own_log() {
        let other = |mut sample: Sample| {
            sample.cluster_id = 9;
            sample
        };
        let model = model(vec![
            member("a", vec![sample(0, 20_000, 20_000, MIB)]),
            member("b", vec![other(sample(0, 100, 100, MIB))]),
            member("c", vec![other(sample(0, 70, 70, MIB))]),
        ]);
        let behind: Vec<_> = lag(&model).iter().map(|row| row.get("behind")).collect();
        assert_eq!(behind, [Some(0.0), Some(0.0), Some(30.0)]);
        assert_eq!(model.clusters(), [1, 9].into());
    }

    #[test]
    fn the_look_before_tells_whom_a_member_followed() {
        let subject = Subject::new(SubjectKind::Member, "a");
        let first = |looks: Vec<Sample>| {
            let set = collect(&model(vec![member("a", looks)]), None, &Quotas::new());
            let status = Reader::new(&set)
                .peek(&keys::ETCD_STATUS, &subject)
                .unwrap();
            let row = status.row("status").unwrap();
            (
                row.get_text("first-leader").map(str::to_owned),
                row.get("first_term"),
            )
        };
        let mut before = sample(0, 1, 1, MIB);
        before.leader = 0xab;
        let told = (Some("ab".to_owned()), Some(2.0));
        assert_eq!(first(vec![before, sample(10, 2, 2, MIB)]), told);
        assert_eq!(first(vec![sample(10, 2, 2, MIB)]), (None, None));
    }

    #[test]
    fn a_quota_is_never_made_up() {
        let subject = Subject::new(SubjectKind::Member, "a");
        let quota = |version: &str, quotas: &Quotas| {
            let mut only = sample(0, 1, 1, MIB);
            only.version = version.to_owned();
            let set = collect(&model(vec![member("a", vec![only])]), None, quotas);
            Reader::new(&set).peek(&keys::DB_QUOTA, &subject)
        };
        let settings: Quotas = [("a".to_owned(), (8e9, "etcd.yaml:3".to_owned()))].into();
        // 3.6.5 tells a wrong one, 3.6.6 the right one; settings stand in.
        assert_eq!(quota("3.6.5", &Quotas::new()), None);
        assert_eq!(quota("3.6.6", &Quotas::new()), Some(1.0));
        assert_eq!(quota("3.4.23", &settings), Some(8e9));
    }

    #[test]
    fn growth_is_drawn_out_only_where_it_tells() {
        let subject = Subject::new(SubjectKind::Member, "a");
        let quotas: Quotas = [("a".to_owned(), (1000.0 * MIB, "etcd.yaml:3".to_owned()))].into();
        let left = |from: f64, to: f64| {
            let samples = vec![sample(0, 1, 1, from * MIB), sample(10, 1, 1, to * MIB)];
            let set = collect(&model(vec![member("a", samples)]), None, &quotas);
            Reader::new(&set).peek(&keys::DB_TIME_TO_FULL, &subject)
        };
        assert_eq!(left(100.0, 200.0), Some(80.0));
        assert_eq!(left(100.0, 101.0), None);
        // Defragmented in between.
        assert_eq!(left(500.0, 200.0), None);
    }

    #[test]
    fn kine_tells_its_members_and_nothing_about_raft() {
        let mut only = sample(0, 0, 0, MIB);
        (only.id, only.cluster_id, only.leader) = (0, 0, 0);
        let set = collect(
            &model(vec![member("kine", vec![only])]),
            None,
            &Quotas::new(),
        );
        let reader = Reader::new(&set);
        let backend = reader.peek(&keys::ETCD_BACKEND, &Subject::cluster());
        assert_eq!(backend.as_deref(), Some("kine"));
        assert!(reader.all(&keys::HAS_LEADER).is_empty());
        assert!(reader.all(&keys::ETCD_LAG).is_empty());
    }
}
