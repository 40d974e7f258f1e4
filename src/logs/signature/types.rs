//! What a signature declares.

use crate::logs::event::Component;
use crate::logs::record::{Encoding, Level};

/// What an event of a kind says about the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Nature {
    /// Something is wrong now.
    Fault,
    /// A sign of trouble that may lie elsewhere.
    Symptom,
    /// One request or call; slow or not.
    Request,
    /// The system changed its state: start, stop, election, compaction.
    Change,
    /// Done on purpose: hand-over of leadership, clean stop.
    Planned,
    /// Says nothing about health; never an incident.
    Noise,
}

impl Nature {
    /// The word used in output.
    pub fn word(self) -> &'static str {
        match self {
            Nature::Fault => "fault",
            Nature::Symptom => "symptom",
            Nature::Request => "request",
            Nature::Change => "change",
            Nature::Planned => "planned",
            Nature::Noise => "noise",
        }
    }
}

/// How a text is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The whole `msg` of a zap record of an etcd server.
    Msg(&'static str),
    /// The whole `msg` of a zap record of an etcd client inside another program.
    Client(&'static str),
    /// The whole message of a structured klog record.
    Klog(&'static str),
    /// A template from the start of the message, in any etcd encoding. `{name}` stands for text
    /// up to what follows it; `{name:hex}` must be a hexadecimal id; `{_}` is not kept.
    Text(&'static str),
    /// A template whose first text stands anywhere in a klog, gRPC or bare message or its
    /// fields; after a leading `^`, only at the beginning of the message.
    Find(&'static str),
    /// Recognised by its encoding or inside another signature's extractor.
    Code,
}

/// One wording of a message.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// How it is recognised.
    pub how: How,
    /// A line with it.
    pub sample: &'static str,
}

/// What is done with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The event's duration.
    Took,
    /// The threshold that the line names.
    Expected,
    /// The client's address.
    Client,
    /// The error text.
    Error,
    /// The etcd request's text.
    Request,
    /// The answer's text.
    Response,
    /// Number of rows or objects of the answer.
    ResponseCount,
    /// Size of the answer in bytes.
    ResponseSize,
    /// The time spent waiting for the read index.
    Agreement,
    /// The API call's verb or HTTP method.
    Verb,
    /// The API call's URL or path.
    Url,
    /// The caller's user agent.
    Agent,
    /// HTTP status.
    Status,
    /// `NAMESPACE/NAME` of a lease.
    Lease,
    /// Kept as a text under this name.
    Text(&'static str),
    /// Kept as a whole number under this name.
    Int(&'static str),
    /// Kept as milliseconds under this name, which ends in `_ms`.
    Ms(&'static str),
    /// Kept as yes or no under this name.
    Flag(&'static str),
    /// A member's id in decimal, kept in hexadecimal, as everywhere else, under this name.
    Member(&'static str),
}

impl Role {
    /// The name in an event's own fields, for roles that have one.
    pub fn extra(self) -> Option<&'static str> {
        match self {
            Role::Text(name)
            | Role::Int(name)
            | Role::Ms(name)
            | Role::Flag(name)
            | Role::Member(name) => Some(name),
            _ => None,
        }
    }
}

/// A field of a message.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name in the log, or in the template.
    pub name: &'static str,
    /// What is done with it.
    pub role: Role,
    /// What it means, where its name does not say it.
    pub doc: &'static str,
}

/// Who reads a message's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extractor {
    /// By the declared fields.
    Fields,
    /// Slow apply and its relatives.
    Apply,
    /// Request stats.
    Stats,
    /// A trace of an etcd server.
    Trace,
    /// A lease request known by its kind.
    LeaseRevoke,
    /// A call that an etcd client repeats.
    ClientRetry,
    /// The start of a component, told by the file that writes it.
    Start,
    /// A failed probe of /health, which may tell of an alarm.
    Health,
    /// A peer's clock: early 3.4 wrote its two durations the wrong way round.
    Drift,
    /// Health checks of the apiserver that failed.
    Checks,
    /// A trace of a Kubernetes component.
    ApiTrace,
    /// A line that follows such a trace.
    ApiTraceStep,
    /// The lock of a leader election, which an error may name better.
    Lock,
    /// A delayed request of a Kubernetes client.
    Waited,
    /// The HTTP log.
    Http,
    /// An audit record.
    Audit,
    /// A request that ended early: a watch's end is no fault.
    Aborted,
    /// SQL below kube-apiserver.
    Kine,
    /// The watch cache of a resource.
    WatchCache,
    /// What stands before a found literal names a device or a unit.
    Before,
    /// A declared field and the text around a found literal as error.
    Around,
    /// What ends a program: declared fields, and all that it says as error.
    Crash,
}

/// One message of the catalogue.
#[derive(Debug)]
pub struct Signature {
    /// Kebab-case, names the fault; never renamed.
    pub id: &'static str,
    /// Who writes it; `Unknown` where several programs do.
    pub component: Component,
    /// Its usual severity.
    pub level: Level,
    /// What it says about the system.
    pub nature: Nature,
    /// Versions that write it.
    pub versions: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// Its wordings, each with a sample.
    pub forms: &'static [Form],
    /// Its fields.
    pub fields: &'static [Field],
    /// Who reads them.
    pub extractor: Extractor,
}

impl Signature {
    /// The encodings it is recognised in.
    pub fn encodings(&self) -> Vec<Encoding> {
        let mut out: Vec<Encoding> = Vec::new();
        for form in self.forms {
            let encodings: &[Encoding] = match form.how {
                How::Msg(_) | How::Client(_) => &[Encoding::ZapJson, Encoding::ZapConsole],
                How::Klog(_) => &[Encoding::Klog, Encoding::KlogJson],
                How::Text(_) => &[Encoding::Capnslog, Encoding::RaftText, Encoding::Bare],
                How::Find(_) => &[Encoding::Klog, Encoding::GrpcText, Encoding::Bare],
                How::Code => &[],
            };
            for encoding in encodings {
                if !out.contains(encoding) {
                    out.push(*encoding);
                }
            }
        }
        out
    }

    /// The fixed texts it is recognised by.
    pub fn literals(&self) -> Vec<&'static str> {
        self.forms
            .iter()
            .filter_map(|form| match form.how {
                How::Msg(text) | How::Client(text) | How::Klog(text) => Some(text),
                How::Text(text) | How::Find(text) => Some(text),
                How::Code => None,
            })
            .collect()
    }
}

pub(super) const fn form(how: How, sample: &'static str) -> Form {
    Form { how, sample }
}

pub(super) const fn field(name: &'static str, role: Role, doc: &'static str) -> Field {
    Field { name, role, doc }
}

/// A signature whose declared fields say all.
#[expect(
    clippy::too_many_arguments,
    reason = "one row of a table, in the order of its columns"
)]
pub(super) const fn row(
    id: &'static str,
    component: Component,
    level: Level,
    nature: Nature,
    versions: &'static str,
    doc: &'static str,
    forms: &'static [Form],
    fields: &'static [Field],
) -> Signature {
    Signature {
        id,
        component,
        level,
        nature,
        versions,
        doc,
        forms,
        fields,
        extractor: Extractor::Fields,
    }
}

impl Signature {
    /// The same with another reader.
    pub(super) const fn by(mut self, extractor: Extractor) -> Self {
        self.extractor = extractor;
        self
    }
}
