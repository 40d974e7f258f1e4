//! From the model of a node to evidence.
//!
//! Subjects: the node; kube-apiserver on it; each etcd as `etcd` (or `etcd-events`) on its node; each disk under an
//! etcd. Where one tree holds several main etcds (a lab), each is on a node of its own name.

mod component;
mod devices;
mod machine;
mod storage;

pub use crate::evidence::Missing;
use crate::evidence::{
    Collector, Completeness, EvidenceSet, Key, Origin, Row, Subject, SubjectKind, Table, Window,
    keys,
};

use super::model::{HostModel, PressureUse, Span};
use super::process::{EtcdProcess, Role};

/// Turns a node's model into evidence about `node` (empty when its name is not known).
pub fn collect(model: &HostModel, node: &str) -> EvidenceSet {
    let mut out = Out {
        set: EvidenceSet::new(),
        node: node.to_owned(),
    };
    storage::collect(model, &mut out);
    devices::collect(model, &mut out);
    for etcd in &model.processes.etcd {
        component::collect(model, etcd, &mut out);
    }
    for apiserver in &model.processes.apiservers {
        component::apiserver(model, apiserver, &mut out);
    }
    machine::collect(model, &mut out);
    out.set
}

struct Out {
    set: EvidenceSet,
    node: String,
}

impl Out {
    fn origin(source: &str) -> Origin {
        Origin::new(Collector::Host, source.trim_start_matches('/'))
    }

    fn node(&self) -> Subject {
        Subject::new(SubjectKind::Node, &self.node)
    }

    /// A disk, on the node of the etcd that uses it: in a lab with several members in one tree
    /// that is the member's own, so that the two can be joined.
    fn device(&self, model: &HostModel, name: &str) -> Subject {
        let mut nodes: Vec<String> = model
            .storage
            .iter()
            .filter(|storage| storage.chain.disks().iter().any(|disk| disk.name == name))
            .filter_map(|storage| model.etcd(storage.pid?))
            .filter_map(|etcd| subject(model, etcd, &self.node).node)
            .collect();
        nodes.sort();
        nodes.dedup();
        let node = match nodes.as_slice() {
            [one] => one,
            _ => &self.node,
        };
        Subject::new(SubjectKind::Device, name).on(node)
    }

    fn num(&mut self, key: &Key<f64>, subject: &Subject, span: Span, origin: Origin, value: f64) {
        if value.is_finite() {
            self.set
                .put(key, subject.clone(), window(span), origin, value);
        }
    }

    fn missing<T>(&mut self, key: &Key<T>, subject: &Subject, source: &str, why: &Missing) {
        self.set
            .put_missing(key, subject.clone(), Self::origin(source), why.clone());
    }
}

/// When the files of one moment were read.
fn moment(model: &HostModel) -> Span {
    Span {
        from: model.taken,
        to: model.taken,
    }
}

fn window(span: Span) -> Window {
    Window {
        from: span.from,
        to: span.to,
    }
}

/// The subject of an etcd process.
fn subject(model: &HostModel, etcd: &EtcdProcess, node: &str) -> Subject {
    let word = match etcd.role {
        Role::Main => "etcd",
        Role::Events => "etcd-events",
    };
    let same = |other: &&EtcdProcess| other.role == etcd.role;
    let several = model.processes.etcd.iter().filter(same).count() > 1;
    let own = etcd.name.as_deref().unwrap_or("");
    // kubeadm names a member after its node, so a member's name can stand for an unknown node.
    let on = if several && !own.is_empty() || node.is_empty() {
        own
    } else {
        node
    };
    Subject::new(SubjectKind::Component, word).on(on)
}

fn table(rows: Vec<Row>) -> Table {
    let mut rows = rows;
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    Table {
        rows,
        ..Table::default()
    }
}

/// One pressure file's windows.
fn pressure(kind: &str, windows: &[PressureUse], about: &Subject, out: &mut Out) {
    for used in windows {
        let mut row = Row::new(kind).num("max_some", used.some);
        if let Some(full) = used.full {
            row = row.num("max_full", full);
        }
        let mut origin = Out::origin(&used.source);
        if used.average {
            origin = origin.with(Completeness::Estimate);
        }
        out.set.put(
            &keys::PRESSURE,
            about.clone(),
            window(used.span),
            origin,
            table(vec![row]),
        );
    }
}
