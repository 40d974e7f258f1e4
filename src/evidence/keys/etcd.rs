//! Keys of what a live etcd says through its own API.
//!
//! Subjects: the cluster, or `Member` (name = the member's name) where the text says so.
//! Sizes, leader and version of a member stand under the keys of the metrics, which say the same.

use super::super::Table;

keys! { ETCD;
    /// Alarms as members' status tells them: rows `ALARM MEMBER`, texts `alarm` (NOSPACE, CORRUPT), `member` (who raised it). Empty when none is raised.
    ETCD_ALARMS: Table = "etcd.alarms", None, Latest;
    /// What speaks etcd's protocol: `etcd`, `kine`, or `other` for another backend that speaks a part of it.
    ETCD_BACKEND: String = "etcd.backend", None, Latest;
    /// Certificates seen in handshakes: rows `client`, `server MEMBER`; columns `days_left` (negative: expired); texts `subject`, `issuer`, `until`, `names`, `path` (the client's).
    ETCD_CERTIFICATES: Table = "etcd.certificates", None, Latest;
    /// Hashes of the keyspace, at one revision where nothing was compacted meanwhile, by member: columns `hash`, `revision`, `compacted` (hashes compare only with the same one); text `error`.
    ETCD_HASHES: Table = "etcd.hashes", None, Latest;
    /// How far members are behind, by member: columns `behind` (entries behind the longest log of its cluster), `unapplied` (entries in its log and not applied), each the smaller of `looks` looks.
    ETCD_LAG: Table = "etcd.lag", None, Latest;
    /// Member lists by the member that gave it: column `members`; texts `list` (id, name, peer URLs, voter or learner of each), `cluster-id` (of the giver).
    ETCD_LISTS: Table = "etcd.lists", None, Latest;
    /// Members by name: column `learner`; texts `state` (answers, silent, refuses: it may be well and we may not talk to it, unstarted, not-asked), `id`, `endpoint`, `client-urls`, `peer-urls`, `kind` and `why` of one that did not answer.
    ETCD_MEMBERS: Table = "etcd.members", None, Latest;
    /// Reads that a member answered, rows `linearizable`, `serializable`: columns `count`, `min_ms`, `p50_ms`, `max_ms`; texts `kind` and `error` of what ended them. Subject: the member.
    ETCD_READS: Table = "etcd.reads", None, Latest;
    /// What the rights at hand let see: rows by what, texts `state` (seen, denied, not-seen, not-asked), `why`, `needs`.
    ETCD_RIGHTS: Table = "etcd.rights", None, Latest;
    /// A member's status, row `status`: columns `revision`, `term`, `index`, `applied`, `learner`, `leads`, `db_bytes`, `in_use_bytes`, `quota_bytes` (3.6.6+); texts `endpoint`, `version`, `storage-version`, `id`, `leader` (its id; absent without one), `first-leader` with column `first_term` (of the look before), `cluster-id`, `errors`. Subject: the member.
    ETCD_STATUS: Table = "etcd.status", None, Latest;
}
