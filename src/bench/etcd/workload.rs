//! What a load does: its workloads by name, what each expects, and which requests it mixes.

use super::record::Op;

/// What a load does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Puts, over and over the same keys.
    Put,
    /// Ranges of one key.
    Get,
    /// Ranges of a hundred keys by prefix, at once.
    List,
    /// Paginated ranges over all keys; each page is a request.
    Page,
    /// Ranges that count all keys.
    Count,
    /// Transactions as kube-apiserver issues them: half updates, a quarter creates, a quarter
    /// deletes.
    Txn,
    /// Requests in the shares in which a quiet kube-apiserver makes them.
    Mixed,
    /// One writer; every client watches all keys.
    Watch,
    /// Leases granted and revoked.
    LeaseGrant,
    /// Leases kept alive, one for each client.
    KeepAlive,
}

impl Workload {
    /// Every workload with its name.
    pub const ALL: [(Workload, &'static str); 10] = [
        (Workload::Put, "put"),
        (Workload::Get, "get"),
        (Workload::List, "list"),
        (Workload::Page, "page"),
        (Workload::Count, "count"),
        (Workload::Txn, "txn"),
        (Workload::Mixed, "mixed"),
        (Workload::Watch, "watch"),
        (Workload::LeaseGrant, "lease-grant"),
        (Workload::KeepAlive, "keep-alive"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(workload, _)| *workload == self)
            .map_or("", |(_, name)| name)
    }

    /// Whether keys must be there before it begins.
    pub fn preloads(self) -> Preload {
        match self {
            Workload::Get | Workload::List | Workload::Page | Workload::Count => Preload::All,
            // Creates need room, updates and deletes need keys.
            Workload::Txn | Workload::Mixed => Preload::Half,
            Workload::Put | Workload::Watch | Workload::LeaseGrant | Workload::KeepAlive => {
                Preload::None
            }
        }
    }

    /// Share of its requests that add to the database's history.
    pub fn write_share(self) -> f64 {
        match self {
            Workload::Put | Workload::Txn | Workload::Watch => 1.0,
            Workload::Mixed => 0.72,
            _ => 0.0,
        }
    }
}

/// Which keys are written before a load begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preload {
    /// None.
    None,
    /// Every second key.
    Half,
    /// All.
    All,
}

/// Shares of [`Workload::Mixed`] in percent: update, get, create, delete, and the rest is paged
/// lists. From `etcd_requests_total` of a kube-apiserver 1.36 over two minutes: a quiet cluster of
/// 20 nodes with their leases, and half a pod a second. Lists came to 1 % and less.
pub(super) const MIXED: [(u64, Op); 5] = [
    (37, Op::Update),
    (64, Op::Get),
    (84, Op::Create),
    (99, Op::Delete),
    (100, Op::Page),
];

/// Shares of [`Workload::Txn`] in percent.
pub(super) const TXN: [(u64, Op); 3] = [(50, Op::Update), (75, Op::Create), (100, Op::Delete)];
