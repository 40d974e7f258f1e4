//! What a record means: its signature, and for etcd requests what was asked for.

use std::borrow::Cow;

use crate::clock::Timestamp;

use super::record::{Encoding, Level, TimeSource};

pub use crate::catalog::resources::{ApiPath, KeyParts, RowKey};

/// The closed list of what a request is for Kubernetes. Count polls, probes and health checks
/// never count as lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    /// A whole or namespaced LIST without limit, or its first answer.
    List,
    /// One page of a paginated LIST.
    Page,
    /// `count_only`: the apiserver's object count poll.
    Count,
    /// One object.
    Get,
    /// The watch cache's revision probe: the resource's prefix as a key, limit 1.
    RevisionProbe,
    /// Health checks of the apiserver, etcdctl, kubeadm and etcd itself.
    Health,
    /// A transaction that creates an object.
    Create,
    /// A transaction or put that updates an object.
    Update,
    /// A transaction or range that deletes.
    Delete,
    /// Lease grants, revokes, keep-alives, checkpoints.
    Lease,
    /// Compaction and the compactor's own key.
    Compaction,
    /// A transaction that is none of the above.
    Txn,
    /// Anything else: cluster members, alarms, authentication, snapshots.
    Other,
}

impl Shape {
    /// All shapes, in the order of tables.
    pub const ALL: [Shape; 13] = [
        Shape::List,
        Shape::Page,
        Shape::Count,
        Shape::Get,
        Shape::RevisionProbe,
        Shape::Health,
        Shape::Create,
        Shape::Update,
        Shape::Delete,
        Shape::Lease,
        Shape::Compaction,
        Shape::Txn,
        Shape::Other,
    ];

    /// The word used in output.
    pub fn word(self) -> &'static str {
        match self {
            Shape::List => "list",
            Shape::Page => "page",
            Shape::Count => "count",
            Shape::Get => "get",
            Shape::RevisionProbe => "revision-probe",
            Shape::Health => "health",
            Shape::Create => "create",
            Shape::Update => "update",
            Shape::Delete => "delete",
            Shape::Lease => "lease",
            Shape::Compaction => "compaction",
            Shape::Txn => "txn",
            Shape::Other => "other",
        }
    }
}

/// etcd's request name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// KV range.
    Range,
    /// KV put.
    Put,
    /// KV transaction.
    Txn,
    /// KV delete_range.
    DeleteRange,
    /// Lease grant.
    LeaseGrant,
    /// Lease revoke.
    LeaseRevoke,
    /// Lease checkpoint.
    LeaseCheckpoint,
    /// KV compaction.
    Compaction,
    /// Alarm.
    Alarm,
    /// `auth_*` and authenticate, by its name.
    Auth(&'static str),
    /// Cluster version, member attributes, downgrade, by its name.
    Cluster(&'static str),
    /// A call that is no entry of raft's, by its name: of leases and of maintenance.
    Call(&'static str),
    /// A request of the v2 store.
    V2,
    /// The read-index loop of a linearizable read.
    ReadIndex,
    /// Not known.
    Unknown,
}

impl Operation {
    /// A number for hashes, which are saved: it never changes.
    pub fn number(self) -> u8 {
        match self {
            Operation::Range => 0,
            Operation::Put => 1,
            Operation::Txn => 2,
            Operation::DeleteRange => 3,
            Operation::LeaseGrant => 4,
            Operation::LeaseRevoke => 5,
            Operation::LeaseCheckpoint => 6,
            Operation::Compaction => 7,
            Operation::Alarm => 8,
            Operation::Auth(_) => 9,
            Operation::Cluster(_) => 10,
            Operation::V2 => 11,
            Operation::ReadIndex => 12,
            Operation::Unknown => 13,
            Operation::Call(_) => 14,
        }
    }

    /// etcd's name for it.
    pub fn word(self) -> &'static str {
        match self {
            Operation::Range => "range",
            Operation::Put => "put",
            Operation::Txn => "txn",
            Operation::DeleteRange => "delete_range",
            Operation::LeaseGrant => "lease_grant",
            Operation::LeaseRevoke => "lease_revoke",
            Operation::LeaseCheckpoint => "lease_checkpoint",
            Operation::Compaction => "compaction",
            Operation::Alarm => "alarm",
            Operation::Auth(name) | Operation::Cluster(name) | Operation::Call(name) => name,
            Operation::V2 => "v2",
            Operation::ReadIndex => "read_index",
            Operation::Unknown => "unknown",
        }
    }
}

/// One etcd request as a log line describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// etcd's request name.
    pub operation: Operation,
    /// What it is for Kubernetes.
    pub shape: Shape,
    /// The raft request's number: the same on every member that applies it.
    pub id: Option<u64>,
    /// The first key, unescaped down to the key's own bytes.
    pub key: Option<Cow<'a, [u8]>>,
    /// End of the range, unescaped.
    pub range_end: Option<Cow<'a, [u8]>>,
    /// What the key means. A range over many objects has no name.
    pub parts: KeyParts<'a>,
    /// `limit:`.
    pub limit: Option<u64>,
    /// `revision:` of a range or of a compaction.
    pub revision: Option<u64>,
    /// `count_only:true`.
    pub count_only: bool,
    /// `keys_only:true`.
    pub keys_only: bool,
    /// `serializable:true`: answered without asking the leader.
    pub serializable: bool,
    /// The object has a lease (events, endpoint leases of the apiserver).
    pub leased: bool,
    /// Number of operations inside a transaction's success branch; 1 otherwise.
    pub operations: u32,
    /// `value_size:` of the put, in bytes.
    pub value_size: Option<u64>,
    /// The text was cut inside the key, of which `key` is the beginning.
    pub torn: bool,
}

impl Request<'_> {
    /// A request of which only the operation is known.
    pub fn of(operation: Operation, shape: Shape) -> Self {
        Request {
            operation,
            shape,
            id: None,
            key: None,
            range_end: None,
            parts: KeyParts::default(),
            limit: None,
            revision: None,
            count_only: false,
            keys_only: false,
            serializable: false,
            leased: false,
            operations: 1,
            value_size: None,
            torn: false,
        }
    }
}

/// What the answer was, as far as the line says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// `range_response_count:` (of a transaction with ranges: their sum).
    pub range_response_count: Option<u64>,
    /// `size:` in bytes.
    pub size: Option<u64>,
}

/// Who wrote the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// Not known.
    #[default]
    Unknown,
    /// An etcd server.
    Etcd,
    /// kube-apiserver.
    Apiserver,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// kubelet.
    Kubelet,
    /// Another controller or operator.
    Controller,
    /// The kernel.
    Kernel,
}

impl Component {
    /// The word used in output.
    pub const fn word(self) -> &'static str {
        match self {
            Component::Unknown => "unknown",
            Component::Etcd => "etcd",
            Component::Apiserver => "kube-apiserver",
            Component::ControllerManager => "kube-controller-manager",
            Component::Scheduler => "kube-scheduler",
            Component::Kubelet => "kubelet",
            Component::Controller => "controller",
            Component::Kernel => "kernel",
        }
    }
}

/// A field of a signature's own, ready for output.
#[derive(Clone, Debug, PartialEq)]
pub enum Extra<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// A whole number.
    Int(i64),
    /// A number; durations are milliseconds and their names end in `_ms`.
    Num(f64),
    /// Yes or no.
    Flag(bool),
}

/// A call of the Kubernetes API as a log line names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiCall<'a> {
    /// `list`, `get`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, or the
    /// HTTP method in lower case where the line gives no more.
    pub verb: Cow<'a, str>,
    /// Resource, group, namespace, name.
    pub parts: KeyParts<'a>,
    /// `status`, `binding`, `eviction`.
    pub subresource: Option<Cow<'a, str>>,
    /// User agent, where the line names it beside the client's address.
    pub user_agent: Option<Cow<'a, str>>,
    /// HTTP status.
    pub status: Option<u16>,
}

/// One recognised record.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// The signature's id: those of `expected.tsv` for etcd, the documented list for the others.
    pub kind: &'static str,
    /// First line in its file.
    pub line: u64,
    /// Last line.
    pub line_end: u64,
    /// When.
    pub time: Option<Timestamp>,
    /// Where the time was read.
    pub time_source: TimeSource,
    /// How it was written.
    pub encoding: Encoding,
    /// Severity.
    pub level: Level,
    /// Who wrote it, as far as the record itself tells.
    pub component: Component,
    /// The writer that the record itself names, of a kind that several programs write: of a stream of
    /// several programs it is this one's.
    pub writer: Option<&'static str>,
    /// How many records it stands for.
    pub repeats: u64,
    /// How long it took, in nanoseconds.
    pub took_ns: Option<u64>,
    /// The threshold that the line names (`expected-duration`), in nanoseconds.
    pub expected_ns: Option<u64>,
    /// The etcd request, for kinds that have one.
    pub request: Option<Request<'a>>,
    /// The answer.
    pub response: Response,
    /// The Kubernetes API call, for kinds that name one (throttling, traces, time-outs, HTTP log).
    pub api: Option<Box<ApiCall<'a>>>,
    /// Address or user agent of the client.
    pub client: Option<Cow<'a, str>>,
    /// Time spent waiting for the read index, from a trace's steps, in nanoseconds.
    pub agreement_ns: Option<u64>,
    /// Error text of the request, where it failed.
    pub error: Option<Cow<'a, str>>,
    /// The signature's own fields, in catalogue order.
    pub extra: Vec<(&'static str, Extra<'a>)>,
}
