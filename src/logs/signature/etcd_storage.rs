//! etcd: space, compaction, defragmentation, snapshots, corruption.

use crate::logs::event::Component::{Etcd, Unknown};
use crate::logs::record::Level::{Error as Err, Fatal, Info, Notice, Warn};

use super::types::How::{Code, Find, Msg, Text};
use super::types::Nature::{Change, Fault, Noise, Planned, Symptom};
use super::types::Role::{Error, Int, Member, Text as Txt, Took};
use super::types::{Extractor, Field, Signature, field, form, row};

const ERROR: Field = field("error", Error, "");
const REVISION: Field = field("revision", Int("revision"), "");
const DB_SIZE: Field = field(
    "current-db-size-bytes",
    Int("db_size_bytes"),
    "3.4.31+, 3.5.12+",
);
const DB_IN_USE: Field = field(
    "current-db-size-in-use-bytes",
    Int("db_in_use_bytes"),
    "the rest is free pages",
);

pub(super) static TABLE: &[Signature] = &[
    row(
        "alarm-raised", Etcd, Warn, Fault, "all up to 3.5; 3.6 and 3.7 say nothing: see `health-alarm`",
        "An alarm was raised: NOSPACE refuses all writes, CORRUPT all requests.",
        &[
            form(Msg("alarm raised"), r#"{"level":"warn","ts":"2026-11-21T19:35:40.437Z","caller":"etcdserver/apply.go:636","msg":"alarm raised","alarm":"NOSPACE","from":"603c9a8c473917ed"}"#),
            form(Text("alarm {alarm} raised by peer {from:hex}"), "2023-09-02 14:41:56.220448 W | etcdserver: alarm NOSPACE raised by peer c9ac9fc89eae9cf7"),
        ],
        &[field("alarm", Txt("alarm"), "NOSPACE or CORRUPT"), field("from", Txt("peer"), "")],
    ),
    row(
        "alarm-disarmed", Etcd, Info, Change, "all up to 3.5",
        "An alarm was cleared.",
        &[
            form(Msg("alarm disarmed"), r#"{"level":"warn","ts":"2026-11-21T19:35:40.494Z","caller":"etcdserver/apply.go:667","msg":"alarm disarmed","alarm":"NOSPACE","from":"603c9a8c473917ed"}"#),
            form(Text("alarm disarmed action:DEACTIVATE memberID:{memberID} alarm:{alarm} "), "2026-11-21 19:35:38.272508 I | etcdserver: alarm disarmed action:DEACTIVATE memberID:2587294181814879189 alarm:NOSPACE "),
        ],
        &[
            field("alarm", Txt("alarm"), ""),
            field("from", Txt("peer"), ""),
            field("memberID", Member("peer"), "hexadecimal here, decimal in the line"),
        ],
    ),
    row(
        "quota-exceeded", Etcd, Warn, Fault, "all",
        "A write would exceed the backend quota and the alarm is raised.",
        &[
            form(Msg("message exceeded backend quota; raising alarm"), r#"{"level":"warn","ts":"2026-11-21T19:35:40.437Z","caller":"etcdserver/server.go:1900","msg":"message exceeded backend quota; raising alarm","quota-size-bytes":4000000,"quota-size":"4.0 MB","error":"etcdserver: no space"}"#),
            form(Text("applying raft message exceeded backend quota"), "2019-11-21 19:35:38.272508 E | etcdserver: applying raft message exceeded backend quota"),
        ],
        &[field("quota-size-bytes", Int("quota_bytes"), ""), ERROR],
    ),
    row(
        "quota-set", Etcd, Info, Change, "3.4 to 3.7",
        "The backend quota at a start. The default is 2 GiB.",
        &[
            form(Msg("enabled backend quota"), r#"{"level":"info","ts":"2026-11-21T20:08:17.232987Z","caller":"storage/quota.go:116","msg":"enabled backend quota","quota-name":"v3-applier","quota-size-bytes":4000000,"quota-size":"4.0 MB"}"#),
            form(Msg("enabled backend quota with default value"), r#"{"level":"info","ts":"2026-11-21T20:04:03.724540Z","caller":"storage/quota.go:93","msg":"enabled backend quota with default value","quota-name":"v3-applier","quota-size-bytes":2147483648,"quota-size":"2.1 GB"}"#),
        ],
        &[field("quota-size-bytes", Int("quota_bytes"), "")],
    ),
    row(
        "quota-too-large", Etcd, Warn, Noise, "all",
        "The backend quota is above the recommended maximum of 8 GiB.",
        &[
            form(Msg("quota exceeds the maximum value"), r#"{"level":"warn","ts":"2026-11-21T20:04:03.724540Z","caller":"storage/quota.go:105","msg":"quota exceeds the maximum value","quota-name":"v3-applier","quota-size-bytes":10737418240,"quota-size":"11 GB","quota-maximum-size-bytes":8589934592,"quota-maximum-size":"8.6 GB"}"#),
            form(Text("backend quota {quota-size-bytes} exceeds maximum recommended quota {_}"), "2019-11-21 19:35:38.272508 W | etcdserver: backend quota 10737418240 exceeds maximum recommended quota 8589934592"),
        ],
        &[field("quota-size-bytes", Int("quota_bytes"), "")],
    ),
    row(
        "quota-disabled", Etcd, Warn, Fault, "all",
        "The backend quota is switched off: the database may fill the disk.",
        &[
            form(Msg("disabled backend quota"), r#"{"level":"info","ts":"2026-11-21T20:04:03.724540Z","caller":"storage/quota.go:80","msg":"disabled backend quota","quota-name":"v3-applier","quota-size-bytes":-1}"#),
            form(Text("disabling backend quota"), "2019-11-21 19:35:38.272508 W | etcdserver: disabling backend quota"),
        ],
        &[field("quota-size-bytes", Int("quota_bytes"), "")],
    ),
    row(
        "compaction-started", Etcd, Info, Change, "all",
        "The index is compacted; the database follows.",
        &[
            form(Msg("compact tree index"), r#"{"level":"info","ts":"2026-05-03T05:31:28.222655Z","caller":"mvcc/index.go:214","msg":"compact tree index","revision":14480351}"#),
            form(Text("store.index: compact {revision}"), "2017-07-10 03:07:35.261819 I | mvcc: store.index: compact 337242"),
        ],
        &[REVISION],
    ),
    row(
        "compaction-finished", Etcd, Info, Change, "all",
        "A compaction is done. The database's size here, each five minutes, is its history for free.",
        &[
            form(Msg("finished scheduled compaction"), r#"{"level":"info","ts":"2026-05-03T05:31:28.387368Z","caller":"mvcc/kvstore_compaction.go:72","msg":"finished scheduled compaction","compact-revision":14480351,"took":"162.222347ms","number-of-keys-compacted":12,"hash":1257154790,"current-db-size-bytes":300457984,"current-db-size":"300 MB","current-db-size-in-use-bytes":81850368,"current-db-size-in-use":"82 MB"}"#),
            form(Text("finished scheduled compaction at {compact-revision} (took {took})"), "2018-04-13 01:46:04.741091 I | mvcc: finished scheduled compaction at 17261206 (took 6m13.399335972s)"),
        ],
        &[
            field("took", Took, ""),
            field("compact-revision", Int("revision"), ""),
            field("number-of-keys-compacted", Int("keys"), "3.7"),
            DB_SIZE,
            DB_IN_USE,
        ],
    ),
    row(
        "compaction-resumed", Etcd, Info, Change, "all",
        "A compaction that a stop interrupted goes on.",
        &[
            form(Msg("resume scheduled compaction"), r#"{"level":"info","ts":"2026-05-03T05:31:28.387368Z","caller":"mvcc/kvstore.go:388","msg":"resume scheduled compaction","scheduled-compact-revision":17261206}"#),
            form(Text("resume scheduled compaction at {revision}"), "2018-04-13 01:38:51.274892 I | mvcc: resume scheduled compaction at 17261206"),
        ],
        &[field("scheduled-compact-revision", Int("revision"), ""), REVISION],
    ),
    row(
        "auto-compaction-started", Etcd, Info, Change, "all with --auto-compaction-retention",
        "etcd's own compactor begins. kube-apiserver compacts by itself each five minutes.",
        &[
            form(Msg("starting auto periodic compaction"), r#"{"level":"info","ts":"2026-05-03T05:31:28.387368Z","caller":"v3compactor/periodic.go:134","msg":"starting auto periodic compaction","revision":36,"compact-period":"1h0m0s"}"#),
            form(Msg("starting auto revision compaction"), r#"{"level":"info","ts":"2026-05-03T05:31:28.387368Z","caller":"v3compactor/revision.go:96","msg":"starting auto revision compaction","revision":36,"revision-compaction-retention":1000}"#),
            form(Text("Starting auto-compaction at revision {revision} (retention: {_})"), "2019-11-21 19:35:38.272508 N | compactor: Starting auto-compaction at revision 36 (retention: 1h0m0s)"),
        ],
        &[REVISION],
    ),
    row(
        "auto-compaction-finished", Etcd, Info, Change, "all with --auto-compaction-retention",
        "etcd's own compactor is done.",
        &[
            form(Msg("completed auto periodic compaction"), r#"{"level":"info","ts":"2026-05-03T05:31:28.387368Z","caller":"v3compactor/periodic.go:142","msg":"completed auto periodic compaction","revision":36,"compact-period":"1h0m0s","took":"53.4ms"}"#),
            form(Msg("completed auto revision compaction"), r#"{"level":"info","ts":"2026-05-03T05:31:28.387368Z","caller":"v3compactor/revision.go:103","msg":"completed auto revision compaction","revision":36,"revision-compaction-retention":1000,"took":"53.4ms"}"#),
            form(Text("Finished auto-compaction at revision {revision}"), "2019-11-21 19:35:38.272508 N | compactor: Finished auto-compaction at revision 36"),
        ],
        &[REVISION, field("took", Took, "")],
    ),
    row(
        "auto-compaction-failed", Etcd, Warn, Fault, "all with --auto-compaction-retention",
        "etcd's own compactor failed and tries again.",
        &[
            form(Msg("failed auto periodic compaction"), r#"{"level":"warn","ts":"2026-05-03T05:31:28.387368Z","caller":"v3compactor/periodic.go:150","msg":"failed auto periodic compaction","revision":36,"compact-period":"1h0m0s","retry-interval":"6m0s","error":"etcdserver: request timed out"}"#),
            form(Msg("failed auto revision compaction"), r#"{"level":"warn","ts":"2026-05-03T05:31:28.387368Z","caller":"v3compactor/revision.go:110","msg":"failed auto revision compaction","revision":36,"error":"etcdserver: request timed out"}"#),
            form(Text("Failed auto-compaction at revision {revision} ({error})"), "2019-11-21 19:35:38.272508 N | compactor: Failed auto-compaction at revision 36 (etcdserver: request timed out)"),
        ],
        &[REVISION, ERROR],
    ),
    row(
        "hash-stored", Etcd, Info, Noise, "3.5.5+, 3.6, 3.7",
        "The hash of a compaction, for comparing members.",
        &[form(Msg("storing new hash"), r#"{"level":"info","ts":"2025-11-11T00:34:21.083521Z","caller":"mvcc/hash.go:157","msg":"storing new hash","hash":1608398330,"revision":6809,"compact-revision":6419}"#)],
        &[REVISION],
    ),
    row(
        "defrag-start", Etcd, Info, Planned, "all",
        "A member begins to defragment and answers nothing until it is done.",
        &[
            form(Msg("starting defragment"), r#"{"level":"info","ts":"2023-11-06T06:40:11.567Z","caller":"v3rpc/maintenance.go:90","msg":"starting defragment"}"#),
            form(Text("starting to defragment the storage backend..."), "2018-04-13 01:41:48.812722 N | etcdserver/api/v3rpc: starting to defragment the storage backend..."),
        ],
        &[],
    ),
    row(
        "defrag-sizes", Etcd, Info, Noise, "3.4 to 3.7",
        "The database's size before a defragmentation.",
        &[form(Msg("defragmenting"), r#"{"level":"info","ts":"2023-11-06T06:40:11.570Z","caller":"backend/backend.go:497","msg":"defragmenting","path":"/var/lib/etcd/member/snap/db","current-db-size-bytes":234262528,"current-db-size":"234 MB","current-db-size-in-use-bytes":124407808,"current-db-size-in-use":"124 MB"}"#)],
        &[DB_SIZE, DB_IN_USE],
    ),
    row(
        "defrag-finish", Etcd, Notice, Planned, "all",
        "A defragmentation is done, with its length and gain from 3.4 on.",
        &[
            form(Msg("finished defragmenting directory"), r#"{"level":"info","ts":"2023-11-06T06:40:12.845Z","caller":"backend/backend.go:549","msg":"finished defragmenting directory","path":"/var/lib/etcd/member/snap/db","current-db-size-bytes-diff":-111833088,"current-db-size-bytes":122429440,"current-db-size":"122 MB","current-db-size-in-use-bytes-diff":-2002944,"current-db-size-in-use-bytes":122404864,"current-db-size-in-use":"122 MB","took":"1.278275759s"}"#),
            form(Msg("defragmented"), r#"{"level":"info","ts":"2026-11-21T19:35:40.494Z","caller":"backend/backend.go:480","msg":"defragmented","path":"/var/lib/etcd/member/snap/db","current-db-size-bytes-diff":-111833088,"current-db-size-bytes":122429440,"current-db-size":"122 MB","took":"1.278275759s"}"#),
            form(Text("finished defragmenting the storage backend"), "2018-04-13 01:43:01.563374 N | etcdserver/api/v3rpc: finished defragmenting the storage backend"),
        ],
        &[
            field("took", Took, ""),
            field("current-db-size-bytes-diff", Int("db_size_diff_bytes"), "negative: what was gained"),
            DB_SIZE,
            DB_IN_USE,
        ],
    ),
    row(
        "defrag-rpc-finish", Etcd, Info, Noise, "3.4 to 3.7",
        "The call that asked for a defragmentation returns; `defrag-finish` has the figures.",
        &[form(Msg("finished defragment"), r#"{"level":"info","ts":"2023-11-06T06:40:12.845Z","caller":"v3rpc/maintenance.go:96","msg":"finished defragment"}"#)],
        &[],
    ),
    row(
        "defrag-failed", Etcd, Warn, Fault, "all",
        "A defragmentation failed.",
        &[
            form(Msg("failed to defragment"), r#"{"level":"warn","ts":"2023-11-06T06:40:12.845Z","caller":"v3rpc/maintenance.go:93","msg":"failed to defragment","error":"no space left on device"}"#),
            form(Text("failed to defragment the storage backend ({error})"), "2018-04-13 01:43:01.563374 E | etcdserver/api/v3rpc: failed to defragment the storage backend (no space left on device)"),
        ],
        &[ERROR],
    ),
    row(
        "raft-snapshot-started", Etcd, Info, Noise, "all",
        "Raft takes a snapshot of its state, each --snapshot-count entries.",
        &[
            form(Msg("triggering snapshot"), r#"{"level":"info","ts":"2026-11-21T19:34:28.494Z","caller":"etcdserver/server.go:1400","msg":"triggering snapshot","local-member-id":"603c9a8c473917ed","local-member-applied-index":58260753,"local-member-snapshot-index":58250752,"local-member-snapshot-count":10000}"#),
            form(Text("start to snapshot (applied: {local-member-applied-index}, lastsnap: {local-member-snapshot-index})"), "2026-11-21 19:34:28.934183 I | etcdserver: start to snapshot (applied: 58260753, lastsnap: 58250752)"),
        ],
        &[
            field("local-member-applied-index", Int("applied_index"), ""),
            field("local-member-snapshot-index", Int("last_snapshot_index"), ""),
        ],
    ),
    row(
        "raft-snapshot-saved", Etcd, Info, Noise, "all",
        "Raft's snapshot is on disk.",
        &[
            form(Msg("saved snapshot"), r#"{"level":"info","ts":"2026-11-21T19:34:28.494Z","caller":"etcdserver/server.go:2420","msg":"saved snapshot","snapshot-index":58260753}"#),
            form(Msg("saved snapshot to disk"), r#"{"level":"info","ts":"2026-11-21T19:34:28.494Z","caller":"etcdserver/server.go:2100","msg":"saved snapshot to disk","snapshot-index":58260753}"#),
            form(Text("saved snapshot at index {snapshot-index}"), "2026-11-21 19:34:28.934183 I | etcdserver: saved snapshot at index 58260753"),
        ],
        &[field("snapshot-index", Int("index"), "")],
    ),
    row(
        "raft-log-compacted", Etcd, Info, Noise, "all",
        "Raft's log was cut behind a snapshot.",
        &[
            form(Msg("compacted Raft logs"), r#"{"level":"info","ts":"2026-11-21T19:34:28.494Z","caller":"etcdserver/server.go:2450","msg":"compacted Raft logs","compact-index":58255753}"#),
            form(Text("compacted raft log at {compact-index}"), "2026-11-21 19:34:28.934183 I | etcdserver: compacted raft log at 58255753"),
        ],
        &[field("compact-index", Int("index"), "")],
    ),
    row(
        "db-snapshot-sending", Etcd, Info, Symptom, "all",
        "The whole database is sent to a member that lags too far behind, or is new.",
        &[
            form(Msg("sending database snapshot"), r#"{"level":"info","ts":"2026-11-21T19:34:28.494Z","caller":"rafthttp/snapshot_sender.go:84","msg":"sending database snapshot","snapshot-index":13,"remote-peer-id":"99eab3685d8363a1","bytes":25000,"size":"25 kB"}"#),
            form(Text("start to send database snapshot [index: {snapshot-index}, to {peer:hex}]"), "2026-11-21 19:34:28.934183 I | rafthttp: start to send database snapshot [index: 13, to 99eab3685d8363a1]..."),
        ],
        &[
            field("remote-peer-id", Txt("peer"), ""),
            field("peer", Txt("peer"), ""),
            field("snapshot-index", Int("index"), ""),
            field("bytes", Int("bytes"), ""),
        ],
    ),
    row(
        "db-snapshot-sent", Etcd, Info, Change, "all",
        "The database was sent to a member.",
        &[
            form(Msg("sent database snapshot"), r#"{"level":"info","ts":"2026-11-21T19:34:28.494Z","caller":"rafthttp/snapshot_sender.go:140","msg":"sent database snapshot","snapshot-index":13,"remote-peer-id":"99eab3685d8363a1","bytes":25000,"size":"25 kB"}"#),
            form(Text("database snapshot [index: {snapshot-index}, to: {peer:hex}] sent out successfully"), "2026-11-21 19:34:28.934183 I | rafthttp: database snapshot [index: 13, to: 99eab3685d8363a1] sent out successfully"),
        ],
        &[
            field("remote-peer-id", Txt("peer"), ""),
            field("peer", Txt("peer"), ""),
            field("snapshot-index", Int("index"), ""),
            field("bytes", Int("bytes"), ""),
        ],
    ),
    row(
        "db-snapshot-failed", Etcd, Warn, Fault, "all",
        "The database could not be sent to a member.",
        &[
            form(Msg("failed to send database snapshot"), r#"{"level":"warn","ts":"2026-11-21T19:34:28.494Z","caller":"rafthttp/snapshot_sender.go:120","msg":"failed to send database snapshot","snapshot-index":13,"remote-peer-id":"99eab3685d8363a1","error":"EOF"}"#),
            form(Text("database snapshot [index: {snapshot-index}, to: {peer:hex}] failed to be sent out ({error})"), "2026-11-21 19:34:28.934183 W | rafthttp: database snapshot [index: 13, to: 99eab3685d8363a1] failed to be sent out (EOF)"),
        ],
        &[field("remote-peer-id", Txt("peer"), ""), field("peer", Txt("peer"), ""), field("snapshot-index", Int("index"), ""), ERROR],
    ),
    row(
        "db-snapshot-received", Etcd, Info, Symptom, "all",
        "This member received the whole database: it had lagged too far behind, or is new.",
        &[
            form(Msg("received and saved database snapshot"), r#"{"level":"info","ts":"2026-11-21T19:34:28.494Z","caller":"rafthttp/http.go:300","msg":"received and saved database snapshot","local-member-id":"99eab3685d8363a1","remote-snapshot-sender-id":"89eab3685d8363a1","incoming-snapshot-index":13,"incoming-snapshot-size-bytes":25000}"#),
            form(Text("received and saved database snapshot [index: {incoming-snapshot-index}, from: {peer:hex}] successfully"), "2026-11-21 19:34:28.934183 I | rafthttp: received and saved database snapshot [index: 13, from: 89eab3685d8363a1] successfully"),
        ],
        &[
            field("remote-snapshot-sender-id", Txt("peer"), ""),
            field("peer", Txt("peer"), ""),
            field("incoming-snapshot-index", Int("index"), ""),
            field("incoming-snapshot-size-bytes", Int("bytes"), ""),
        ],
    ),
    row(
        "backup-started", Etcd, Info, Planned, "3.5 to 3.7",
        "A client takes a snapshot of the database (etcdctl snapshot save).",
        &[form(Msg("sending database snapshot to client"), r#"{"level":"info","ts":"2025-03-01T04:34:10.345927Z","caller":"v3rpc/maintenance.go:130","msg":"sending database snapshot to client","total-bytes":20480,"size":"20 kB"}"#)],
        &[field("total-bytes", Int("bytes"), "")],
    ),
    row(
        "backup-finished", Etcd, Info, Planned, "3.5 to 3.7",
        "A client has taken a snapshot of the database.",
        &[form(Msg("successfully sent database snapshot to client"), r#"{"level":"info","ts":"2025-03-01T04:34:10.346108Z","caller":"v3rpc/maintenance.go:179","msg":"successfully sent database snapshot to client","total-bytes":20480,"size":"20 kB","took":"10.9815ms"}"#)],
        &[field("total-bytes", Int("bytes"), ""), field("took", Took, "a word like `now` in 3.4 and 3.5")],
    ),
    row(
        "backup-slow", Etcd, Warn, Symptom, "3.4 to 3.7",
        "A snapshot is taken so slowly that the database grows beside it.",
        &[form(Text("snapshotting is taking more than {limit} to"), r#"2019-11-21 19:34:28.934183 W | mvcc/backend: snapshotting is taking more than 21 seconds to finish transferring 2097 MB [started at 2019-11-21 19:34:07]"#)],
        &[field("limit", Txt("longest"), "in words")],
    ),
    row(
        "corruption-detected", Etcd, Err, Fault, "all",
        "Members hold different data. Restore the odd member from the others before anything else.",
        &[
            form(Msg("found hash mismatch"), r#"{"level":"warn","ts":"2026-05-03T05:31:28.387368Z","caller":"etcdserver/corrupt.go:140","msg":"found hash mismatch","revision":36,"compact-revision":30,"remote-peer-id":"99eab3685d8363a1"}"#),
            form(Msg("found different hash values from remote peer"), r#"{"level":"warn","ts":"2026-05-03T05:31:28.387368Z","caller":"etcdserver/corrupt.go:90","msg":"found different hash values from remote peer","remote-peer-id":"99eab3685d8363a1"}"#),
            form(Msg("found data inconsistency with peers"), r#"{"level":"fatal","ts":"2026-05-03T05:31:28.387368Z","caller":"etcdserver/corrupt.go:110","msg":"found data inconsistency with peers","local-member-id":"99eab3685d8363a1","error":"etcdserver: corrupt cluster"}"#),
            form(Msg("failed compaction hash check"), r#"{"level":"error","ts":"2026-05-03T05:31:28.387368Z","caller":"etcdserver/corrupt.go:300","msg":"failed compaction hash check","error":"etcdserver: corrupt cluster"}"#),
            form(Msg("same compact revision then hashes must match"), r#"{"level":"error","ts":"2026-05-03T05:31:28.387368Z","caller":"etcdserver/corrupt.go:330","msg":"same compact revision then hashes must match","revision":36}"#),
            form(Msg("Detected compaction hash mismatch"), r#"{"level":"error","ts":"2026-05-03T05:31:28.387368Z","caller":"etcdserver/corrupt.go:330","msg":"Detected compaction hash mismatch","revision":36}"#),
            form(Text("Detected compaction hash mismatch but cannot identify the corrupted members"), r#"{"level":"error","ts":"2026-05-03T05:31:28.387368Z","caller":"etcdserver/corrupt.go:340","msg":"Detected compaction hash mismatch but cannot identify the corrupted members, so intentionally set the memberID as 0","revision":36}"#),
            form(Msg("checkpoint hash mismatch"), r#"{"level":"panic","ts":"2026-05-03T05:31:28.387368Z","caller":"etcdserver/corrupt.go:340","msg":"checkpoint hash mismatch"}"#),
            form(Text("{local:hex}'s hash {_} != {remote:hex}'s hash {_}"), "2019-11-21 19:34:28.934183 E | etcdserver: 99eab3685d8363a1's hash 1 != 89eab3685d8363a1's hash 2"),
            form(Code, r#"{"level":"error","ts":"2024-05-14T20:27:22.185646Z","caller":"embed/etcd.go:262","msg":"checkInitialHashKV failed","error":"6e3bd23ae5f1eae0 found data inconsistency with peers"}"#),
            form(Code, r#"{"level":"fatal","ts":"2024-05-14T20:27:22.185646Z","caller":"etcdmain/etcd.go:204","msg":"discovery failed","error":"6e3bd23ae5f1eae0 found data inconsistency with peers"}"#),
            form(Find("etcdserver: corrupt cluster"), "W0503 06:23:23.804106      15 watcher.go:338] watch chan error: etcdserver: corrupt cluster"),
        ],
        &[field("remote-peer-id", Txt("peer"), ""), field("remote", Txt("peer"), ""), REVISION, ERROR],
    )
    .by(Extractor::Crash),
    row(
        "db-locked", Etcd, Warn, Fault, "all",
        "Another etcd holds the database file, or it loads for more than 10 s.",
        &[
            form(Msg("db file is flocked by another process, or taking too long"), r#"{"level":"info","ts":"2026-05-03T05:31:28.387368Z","caller":"etcdserver/backend.go:90","msg":"db file is flocked by another process, or taking too long","path":"/var/lib/etcd/member/snap/db","took":"10.000238s"}"#),
            form(Text("another etcd process is using \"{path}\" and holds the file lock"), r#"2018-04-13 01:37:27.388720 W | etcdserver: another etcd process is using "node.etcd/member/snap/db" and holds the file lock, or loading backend file is taking >10 seconds"#),
        ],
        &[field("path", Txt("path"), ""), field("took", Took, "")],
    ),
    row(
        "db-opened", Etcd, Info, Change, "3.4 to 3.7",
        "The database file was opened; seconds here are a cold or slow disk.",
        &[form(Msg("opened backend db"), r#"{"level":"info","ts":"2026-11-21T20:04:03.714846Z","caller":"storage/backend.go:80","msg":"opened backend db","path":"/var/lib/etcd/member/snap/db","took":"1.65157ms"}"#)],
        &[field("took", Took, "")],
    ),
    row(
        "disk-full", Unknown, Fatal, Fault, "all",
        "The file system is full.",
        &[form(Find("no space left on device"), "2019-11-21 19:34:28.934183 C | etcdserver: create wal error: write /var/lib/etcd/member/wal/0.tmp: no space left on device")],
        &[ERROR],
    )
    .by(Extractor::Around),
    row(
        "storage-damaged", Etcd, Fatal, Fault, "all",
        "A file of the data directory is damaged, cut short or missing, or raft's log lacks what was promised, so that the server cannot start or go on. Copy the directory before anything else.",
        &[
            form(Find("walpb: crc mismatch"), r#"panic: walpb: crc mismatch"#),
            form(Code, r#"{"level":"fatal","ts":"2024-05-14T20:27:11.085646Z","caller":"etcdserver/storage.go:96","msg":"failed to read WAL, cannot be repaired","error":"wal: crc mismatch"}"#),
            form(Code, "2019-03-04 10:00:00.000066 C | etcdserver: read wal error (wal: crc mismatch) and cannot be repaired"),
            form(Code, r#"{"level":"panic","ts":"2024-05-14T20:27:16.185646Z","caller":"backend/backend.go:245","msg":"failed to open database","path":"/var/lib/etcd/member/snap/db","error":"checksum error"}"#),
            form(Code, "2019-03-04 10:00:00.000066 C | mvcc: cannot open database at /var/lib/etcd/member/snap/db (invalid database)"),
            form(Code, r#"{"level":"panic","ts":"2024-05-14T20:27:12.085646Z","caller":"etcdserver/server.go:515","msg":"failed to recover v3 backend from snapshot","error":"failed to find database snapshot file (snap: snapshot file doesn't exist)"}"#),
            form(Code, r#"{"level":"panic","ts":"2026-11-28T10:00:32.000001Z","logger":"raft","caller":"etcdserver/zap_raft.go:101","msg":"tocommit(123) is out of range [lastIndex(100)]. Was the raft log corrupted, truncated, or lost?"}"#),
            form(Code, "2019-11-28 10:00:32.000001 C | raft: tocommit(123) is out of range [lastIndex(100)]. Was the raft log corrupted, truncated, or lost?"),
            form(Code, "panic: tocommit(123) is out of range [lastIndex(100)]. Was the raft log corrupted, truncated, or lost?"),
            form(Code, "2019-11-28 10:00:32.000001 C | raft: 6e3bd23ae5f1eae0 state.commit 5231 is out of range [4800, 5002]"),
            form(Code, r#"{"level":"panic","ts":"2026-11-28T10:00:32.000001Z","logger":"raft","caller":"etcdserver/zap_raft.go:101","msg":"applied(5231) is out of range [prevApplied(5230), committed(5002)]"}"#),
            form(Code, "2019-11-28 10:00:32.000001 C | raft: slice[5003,5231) out of bound [4800,5002]"),
            form(Code, "2026-11-28 10:00:36.000001 C | etcdserver: open wal error: wal: file not found"),
            form(Code, r#"{"level":"fatal","ts":"2024-05-14T20:27:11.085646Z","caller":"etcdserver/storage.go:88","msg":"failed to open WAL","error":"wal: file not found"}"#),
            form(Code, r#"{"level":"panic","ts":"2026-11-28T10:00:32.000001Z","caller":"etcdserver/server.go:420","msg":"failed to load snapshot","error":"snap: crc mismatch"}"#),
            form(Code, "panic: page 4517 already freed"),
            form(Code, "panic: cannot free page 0 or 1: 1"),
            form(Code, "2018-04-13 01:37:27.388720 C | etcdmain: database file (/var/lib/etcd/member/snap/db index 4517) does not match with snapshot (index 4620)."),
            form(Code, r#"{"level":"fatal","ts":"2024-05-14T20:27:11.085646Z","caller":"etcdmain/etcd.go:204","msg":"discovery failed","error":"wal: max entry size limit exceeded, recBytes: 451, fileSize(64000000) - offset(63999712) - padBytes(5) = entryLimit(283)"}"#),
            form(Find("^panic: assertion failed: Page expected to be: "), "panic: assertion failed: Page expected to be: 23713, but self identifies as 0"),
            form(Find("^panic: invalid page type: "), "panic: invalid page type: 4517: 4"),
            form(Find("freepages: failed to get all reachable pages ({error})"), "panic: freepages: failed to get all reachable pages (page 4517: multiple references)"),
        ],
        &[ERROR],
    )
    .by(Extractor::Crash),
    row(
        "storage-io-error", Unknown, Fatal, Fault, "all",
        "The server could not read or write its files: the disk below fails, or its file system went read-only. SIGBUS in bbolt is a page of the database that could not be read; where the kernel logs no error of the disk, the file was cut short.",
        &[
            form(Code, r#"{"level":"fatal","ts":"2024-05-14T20:27:14.185646Z","caller":"etcdserver/raft.go:229","msg":"failed to save Raft hard state and entries","error":"write /var/lib/etcd/member/wal/0000000000000001-0000000000000001.wal: input/output error"}"#),
            form(Code, "2019-03-04 10:00:00.000066 C | etcdserver: save raft state and entries error: write /var/lib/etcd/member/wal/0000000000000001-0000000000000001.wal: input/output error"),
            form(Code, r#"{"level":"panic","ts":"2024-05-14T20:27:16.185646Z","caller":"backend/backend.go:245","msg":"failed to open database","path":"/var/lib/etcd/member/snap/db","error":"open /var/lib/etcd/member/snap/db: read-only file system"}"#),
            form(Code, "unexpected fault address 0x7f3a457f3008\nfatal error: fault\n[signal SIGBUS: bus error code=0x2 addr=0x7f3a457f3008 pc=0x9e2b65]\n\ngoroutine 1 [running]:\nruntime.throw(0x121d104, 0x5)\n\t/usr/local/go/src/runtime/panic.go:1117 +0x72\ngo.etcd.io/bbolt.(*Cursor).search(0xc000)\n"),
        ],
        &[ERROR],
    )
    .by(Extractor::Crash),
    row(
        "purged-file", Etcd, Info, Noise, "all",
        "An old WAL or snapshot file was removed.",
        &[
            form(Msg("purged"), r#"{"level":"info","ts":"2026-11-21T20:04:03.714846Z","caller":"fileutil/purge.go:85","msg":"purged","path":"/var/lib/etcd/member/wal/0000000000000000-0000000000000000.wal"}"#),
            form(Text("purged file {path} successfully"), "2026-11-21 19:34:28.934183 I | pkg/fileutil: purged file /var/lib/etcd/member/snap/0000000000000002-0000000000000009.snap successfully"),
        ],
        &[field("path", Txt("path"), "")],
    ),
];
