//! Hand-made evidence for the rules' own tests.

use crate::clock::Timestamp;
use crate::evidence::{
    Bucket, Collector, Completeness, Episode, Episodes, EvidenceSet, FromShape, Histogram, Key,
    Origin, Point, Row, Series, Subject, SubjectKind, Table, Window,
};
use crate::profile::Profile;

use super::engine::{Rule, run};
use super::finding::{Finding, Severity, Status};

/// Builds evidence in a chain.
pub(crate) struct Set(pub(crate) EvidenceSet);

impl Set {
    pub(crate) fn new() -> Self {
        Set(EvidenceSet::new())
    }

    pub(crate) fn put<T: FromShape>(self, key: &Key<T>, subject: Subject, value: T) -> Self {
        self.put_over(key, subject, value, 100)
    }

    /// Adds a reading of so many seconds.
    pub(crate) fn put_over<T: FromShape>(
        mut self,
        key: &Key<T>,
        subject: Subject,
        value: T,
        secs: i64,
    ) -> Self {
        let window = Window::between(Timestamp::from_secs(0), Timestamp::from_secs(secs));
        self.0.put(
            key,
            subject,
            window,
            Origin::new(Collector::Metrics, "test"),
            value,
        );
        self
    }

    /// Adds what one scrape tells: all that was counted since the start of the process.
    pub(crate) fn put_since_start<T: FromShape>(
        mut self,
        key: &Key<T>,
        subject: Subject,
        value: T,
    ) -> Self {
        let window = Window::between(Timestamp::from_secs(0), Timestamp::from_secs(100));
        let origin = Origin::new(Collector::Metrics, "test").with(Completeness::Estimate);
        self.0.put(key, subject, window, origin, value);
        self
    }

    /// Adds the same reading of three kube-apiservers, over which a load balancer spreads requests.
    pub(crate) fn put_on_three<T: FromShape>(self, key: &Key<T>, value: impl Fn() -> T) -> Self {
        ["a", "b", "c"].iter().fold(self, |set, node| {
            let about = Subject::new(SubjectKind::Component, "kube-apiserver").on(*node);
            set.put(key, about, value())
        })
    }

    /// All findings of one rule.
    pub(crate) fn check(&self, rule: &'static Rule) -> Vec<Finding> {
        run(&[rule], &self.0, &Profile::default())
    }

    /// Status and severity of the one finding of a rule.
    pub(crate) fn status(&self, rule: &'static Rule) -> (Status, Severity) {
        let findings = self.check(rule);
        assert_eq!(findings.len(), 1, "{findings:?}");
        if findings[0].failed() {
            assert!(
                !findings[0].evidence.is_empty(),
                "{} cites nothing",
                rule.id
            );
        }
        (findings[0].status, findings[0].severity)
    }
}

/// The member on node `a`.
pub(crate) fn member() -> Subject {
    Subject::new(SubjectKind::Member, "a")
}

/// A component on node `a`.
pub(crate) fn component(name: &str) -> Subject {
    Subject::new(SubjectKind::Component, name).on("a")
}

/// A device on node `a`.
pub(crate) fn device(name: &str) -> Subject {
    Subject::new(SubjectKind::Device, name).on("a")
}

/// Values a minute apart.
pub(crate) fn each_minute(values: &[f64]) -> Series {
    let point = |(at, value): (i64, &f64)| Point {
        at: Timestamp::from_secs(at * 60),
        value: *value,
    };
    Series {
        points: (0..).zip(values).map(point).collect(),
    }
}

/// An episode of one sign, between two seconds.
pub(crate) fn episode(kind: &str, from: i64, to: i64) -> Episode {
    Episode {
        kind: kind.to_owned(),
        from: Timestamp::from_secs(from),
        to: Timestamp::from_secs(to),
        count: 1,
        max_ms: None,
        detail: String::new(),
        nature: String::new(),
        planned: false,
    }
}

/// All episodes of a log.
pub(crate) fn episodes(episodes: Vec<Episode>) -> Episodes {
    Episodes {
        episodes,
        dropped: 0,
    }
}

/// A histogram with etcd's fsync buckets, from `(le in ms, count)`.
pub(crate) fn histogram(buckets: &[(f64, f64)]) -> Histogram {
    Histogram {
        buckets: buckets
            .iter()
            .map(|(le, count)| Bucket {
                le: *le,
                count: *count,
            })
            .collect(),
        sum: buckets
            .iter()
            .map(|(le, count)| le.min(1e4) * count * 0.7)
            .sum(),
        max: None,
    }
}

/// A table of rows with numbers, sorted by key.
pub(crate) fn table(rows: &[(&str, &[(&str, f64)])]) -> Table {
    let mut rows: Vec<Row> = rows
        .iter()
        .map(|(key, cells)| {
            cells.iter().fold(Row::new(*key), |row, (column, value)| {
                row.num(column, *value)
            })
        })
        .collect();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    Table {
        rows,
        ..Table::default()
    }
}
