//! etcd: what members warn of when they join, catch up or talk to each other, and lines of raft that
//! go with an election.

use crate::logs::event::Component::Etcd;
use crate::logs::record::Level::{Info, Warn};

use super::types::How::{Msg, Text};
use super::types::Nature::{Change, Noise, Symptom};
use super::types::Role::{Error, Int, Text as Txt};
use super::types::{Field, Signature, field, form, row};

const ERROR: Field = field("error", Error, "");

pub(super) static TABLE: &[Signature] = &[
    row(
        "raft-message-failed",
        Etcd,
        Warn,
        Symptom,
        "all",
        "What a peer sent could not be read or taken: its connection broke, or this member stops.",
        &[
            form(
                Msg("failed to process Raft message"),
                r#"{"level":"warn","ts":"2024-03-05T10:11:13.345678Z","caller":"rafthttp/http.go:145","msg":"failed to process Raft message","local-member-id":"8e9e05c52164694d","error":"raft: stopped"}"#,
            ),
            form(
                Msg("failed to read Raft message"),
                r#"{"level":"warn","ts":"2024-03-05T10:11:13.445678Z","caller":"rafthttp/http.go:121","msg":"failed to read Raft message","local-member-id":"8e9e05c52164694d","error":"unexpected EOF"}"#,
            ),
        ],
        &[ERROR],
    ),
    row(
        "peer-removed",
        Etcd,
        Warn,
        Symptom,
        "3.4 to 3.7",
        "A member that was removed from the cluster still tries to connect.",
        &[form(
            Msg("rejected stream from remote peer because it was removed"),
            r#"{"level":"warn","ts":"2024-03-05T10:11:13.545678Z","caller":"rafthttp/http.go:394","msg":"rejected stream from remote peer because it was removed","local-member-id":"8e9e05c52164694d","remote-peer-id-stream-handler":"8e9e05c52164694d","remote-peer-id-from":"91bc3c398fb3c146"}"#,
        )],
        &[field("remote-peer-id-from", Txt("peer"), "")],
    ),
    row(
        "member-change-refused",
        Etcd,
        Warn,
        Symptom,
        "3.4 to 3.7",
        "A change of the members was refused: too few of them are healthy or started for it to be safe.",
        &[
            form(
                Msg("rejecting member add request; not enough healthy members"),
                r#"{"level":"warn","ts":"2024-03-05T10:11:13.745678Z","caller":"etcdserver/server.go:1465","msg":"rejecting member add request; not enough healthy members","local-member-id":"8e9e05c52164694d","requested-member-add":"{}","error":"etcdserver: re-configuration failed due to not enough started members"}"#,
            ),
            form(
                Msg("rejecting member remove request; not enough healthy members"),
                r#"{"level":"warn","ts":"2024-03-05T10:11:13.745678Z","caller":"etcdserver/server.go:1465","msg":"rejecting member remove request; not enough healthy members","local-member-id":"8e9e05c52164694d","requested-member-remove-id":"91bc3c398fb3c146","error":"etcdserver: re-configuration failed due to not enough started members"}"#,
            ),
        ],
        &[ERROR],
    ),
    row(
        "snapshot-apply-started",
        Etcd,
        Info,
        Change,
        "all",
        "A member takes over the leader's whole database, which it lagged too far behind.",
        &[form(
            Msg("applying snapshot"),
            r#"{"level":"info","ts":"2024-03-05T10:11:13.845678Z","caller":"etcdserver/server.go:999","msg":"applying snapshot","current-snapshot-index":100,"current-applied-index":120,"incoming-leader-snapshot-index":50000,"incoming-leader-snapshot-term":7}"#,
        )],
        &[
            field("current-applied-index", Int("applied"), "where it was"),
            field(
                "incoming-leader-snapshot-index",
                Int("index"),
                "where it will be",
            ),
        ],
    ),
    row(
        "snapshot-apply-finished",
        Etcd,
        Info,
        Change,
        "all",
        "A member has taken over the leader's whole database.",
        &[form(
            Msg("applied snapshot"),
            r#"{"level":"info","ts":"2024-03-05T10:11:14.845678Z","caller":"etcdserver/server.go:1120","msg":"applied snapshot","current-snapshot-index":100,"incoming-leader-snapshot-index":50000}"#,
        )],
        &[field("incoming-leader-snapshot-index", Int("index"), "")],
    ),
    row(
        "cluster-info-failed",
        Etcd,
        Warn,
        Symptom,
        "all",
        "A member that starts could not ask another one who the members are.",
        &[
            form(
                Msg("failed to get cluster response"),
                r#"{"level":"warn","ts":"2022-01-26T03:41:11.897Z","caller":"etcdserver/cluster_util.go:79","msg":"failed to get cluster response","address":"https://10.0.0.2:2380/members","error":"Get \"https://10.0.0.2:2380/members\": dial tcp 10.0.0.2:2380: connect: connection refused"}"#,
            ),
            form(
                Text("could not get cluster response from {address}: {error}"),
                "2021-03-02 10:00:06.000001 W | etcdserver: could not get cluster response from https://10.0.0.2:2380: Get https://10.0.0.2:2380/members: dial tcp 10.0.0.2:2380: connect: connection refused",
            ),
        ],
        &[field("address", Txt("address"), ""), ERROR],
    ),
    row(
        "hash-request-failed",
        Etcd,
        Warn,
        Symptom,
        "3.4 to 3.7",
        "A member could not ask another one for the hash of its data: whether they hold the same was not seen.",
        &[form(
            Msg("failed hash kv request"),
            r#"{"level":"warn","ts":"2024-03-05T10:11:16.345678Z","caller":"etcdserver/corrupt.go:257","msg":"failed hash kv request","requested-revision":10,"remote-peer-endpoint":"https://10.0.0.2:2380","error":"context deadline exceeded"}"#,
        )],
        &[
            field("remote-peer-endpoint", Txt("address"), ""),
            field("requested-revision", Int("revision"), ""),
            ERROR,
        ],
    ),
    row(
        "grpc-read-failed",
        Etcd,
        Warn,
        Noise,
        "3.4 to 3.7",
        "A client ended its stream of watches or keep-alives, as it does when it stops or loses its connection.",
        &[
            form(
                Msg("failed to receive watch request from gRPC stream"),
                r#"{"level":"warn","ts":"2022-01-26T03:41:10.897Z","caller":"v3rpc/watch.go:457","msg":"failed to receive watch request from gRPC stream","error":"rpc error: code = Canceled desc = context canceled"}"#,
            ),
            form(
                Msg("failed to receive lease keepalive request from gRPC stream"),
                r#"{"level":"warn","ts":"2022-01-26T03:41:10.997Z","caller":"v3rpc/lease.go:141","msg":"failed to receive lease keepalive request from gRPC stream","error":"rpc error: code = Unavailable desc = client disconnected"}"#,
            ),
        ],
        &[ERROR],
    ),
    row(
        "raft-log-replaced",
        Etcd,
        Info,
        Noise,
        "all",
        "After an election a member drops entries of the former leader that no majority had, and takes the new one's. Nothing that was confirmed is lost.",
        &[
            form(
                Text(
                    "found conflict at index {index} [existing term: {_}, conflicting term: {term}]",
                ),
                r#"{"level":"info","ts":"2024-03-05T10:11:15.345678Z","logger":"raft","caller":"etcdserver/zap_raft.go:77","msg":"found conflict at index 7653014 [existing term: 79, conflicting term: 80]"}"#,
            ),
            form(
                Text("truncate the unstable entries before index {index}"),
                "2021-03-02 10:00:06.000001 I | raft: truncate the unstable entries before index 7653014",
            ),
        ],
        &[
            field("index", Int("index"), ""),
            field("term", Int("term"), "the new leader's"),
        ],
    ),
];
