//! etcd: disk, heartbeat, read index, streams: the signs of a stall.

use crate::logs::event::Component::Etcd;
use crate::logs::record::Level::{Info, Warn};

use super::types::How::{Find, Msg, Text};
use super::types::Nature::{Fault, Noise, Symptom};
use super::types::Role::{Error, Expected, Int, Ms, Text as Txt, Took};
use super::types::{Extractor, Signature, field, form, row};

pub(super) static TABLE: &[Signature] = &[
    row(
        "wal-sync-slow", Etcd, Warn, Fault, "3.0 to 3.7",
        "One fsync of the write-ahead log took more than a second. The healthy bound is 25 ms at the 99th percentile, so silence proves little.",
        &[
            form(Msg("slow fdatasync"), r#"{"level":"warn","ts":"2022-08-30T09:19:17.672Z","caller":"wal/wal.go:802","msg":"slow fdatasync","took":"1.263337456s","expected-duration":"1s"}"#),
            form(Text("sync duration of {took}, expected less than {expected-duration}"), "2021-05-14 16:47:40.070062 W | wal: sync duration of 2.004393954s, expected less than 1s"),
        ],
        &[field("took", Took, ""), field("expected-duration", Expected, "fixed at 1 s")],
    ),
    row(
        "heartbeat-late", Etcd, Warn, Symptom, "all",
        "The leader sent a heartbeat late: its loop was held up by disk, CPU or both. One line per peer; the duration is the excess over the limit.",
        &[
            form(Msg("leader failed to send out heartbeat on time; took too long, leader is overloaded likely from slow disk"), r#"{"level":"warn","ts":"2022-08-30T09:17:30.387Z","caller":"etcdserver/raft.go:369","msg":"leader failed to send out heartbeat on time; took too long, leader is overloaded likely from slow disk","to":"63b75c3d731594fc","heartbeat-interval":"100ms","expected-duration":"200ms","exceeded-duration":"61.150187ms"}"#),
            form(Text("failed to send out heartbeat on time (exceeded the {heartbeat-interval} timeout for {exceeded-duration}, to {to:hex})"), "2019-08-20 16:58:45.366953 W | etcdserver: failed to send out heartbeat on time (exceeded the 100ms timeout for 154.491083ms, to 7ceb206ff2a779a3)"),
            form(Text("failed to send out heartbeat on time (exceeded the {heartbeat-interval} timeout for {exceeded-duration})"), "2018-05-15 17:58:11.366953 W | etcdserver: failed to send out heartbeat on time (exceeded the 100ms timeout for 169.793744ms)"),
            form(Text("failed to send out heartbeat on time (deadline exceeded for {exceeded-duration})"), "2016-05-15 17:58:11.366953 W | etcdserver: failed to send out heartbeat on time (deadline exceeded for 169.793744ms)"),
        ],
        &[
            field("exceeded-duration", Took, "the excess"),
            field("expected-duration", Expected, "twice the heartbeat interval"),
            field("heartbeat-interval", Ms("heartbeat_interval_ms"), ""),
            field("to", Txt("peer"), "the member that waited"),
        ],
    ),
    row(
        "heartbeat-hint", Etcd, Warn, Noise, "up to 3.4, capnslog",
        "The second line of `heartbeat-late`.",
        &[form(Text("server is likely overloaded"), "2019-08-20 16:58:45.366979 W | etcdserver: server is likely overloaded")],
        &[],
    ),
    row(
        "readindex-timeout", Etcd, Warn, Fault, "3.1 to 3.7",
        "A linearizable read gave up waiting for the leader (after 5 s and twice the election timeout; late 3.4 and later name it): slow disk, network or no leader.",
        &[
            form(Msg("timed out waiting for read index response (local node might have slow network)"), r#"{"level":"warn","ts":"2026-05-25T15:58:15.606Z","caller":"etcdserver/v3_server.go:1030","msg":"timed out waiting for read index response (local node might have slow network)","timeout":"7s"}"#),
            form(Text("timed out waiting for read index response (local node might have slow network) timeout: {timeout}"), "2022-03-19 02:50:30.130186 W | etcdserver: timed out waiting for read index response (local node might have slow network) timeout: 7s"),
            form(Text("timed out waiting for read index response (local node might have slow network)"), "2022-03-19 02:50:30.130186 W | etcdserver: timed out waiting for read index response (local node might have slow network)"),
            form(Text("timed out waiting for read index response"), "2017-03-19 02:50:30.130186 W | etcdserver: timed out waiting for read index response"),
        ],
        &[field("timeout", Took, "how long it waited")],
    ),
    row(
        "readindex-retry", Etcd, Warn, Symptom, "3.4.20+, 3.5 to 3.7",
        "A read index request waits for its answer and is sent again, each 500 ms: 20 lines are one stall of 10 s.",
        &[
            form(Msg("waiting for ReadIndex response took too long, retrying"), r#"{"level":"warn","ts":"2022-08-30T09:19:24.521Z","caller":"etcdserver/v3_server.go:815","msg":"waiting for ReadIndex response took too long, retrying","sent-request-id":13176832041700219758,"retry-timeout":"500ms"}"#),
            form(Text("waiting for ReadIndex response took too long, retrying (sent-request-id: {sent-request-id}, retry-timeout: {retry-timeout})"), "2026-11-21 19:33:01.521000 W | etcdserver: waiting for ReadIndex response took too long, retrying (sent-request-id: 13176832041700219758, retry-timeout: 500ms)"),
        ],
        &[
            field("sent-request-id", Int("sent_request_id"), "one stall keeps one id"),
            field("retry-timeout", Ms("retry_ms"), ""),
        ],
    ),
    row(
        "readindex-stale", Etcd, Warn, Symptom, "3.1 to 3.7",
        "An answer to an earlier read index request arrived: reads queue up behind a stall.",
        &[
            form(Msg("ignored out-of-date read index response; local node read indexes queueing up and waiting to be in sync with leader"), r#"{"level":"warn","ts":"2026-11-21T20:56:44.938Z","caller":"etcdserver/v3_server.go:803","msg":"ignored out-of-date read index response; local node read indexes queueing up and waiting to be in sync with leader","sent-request-id":3132673005432378348,"received-request-id":3132673005432378156}"#),
            form(Text("ignored out-of-date read index response; local node read indexes queueing up and waiting to be in sync with leader (request ID want {sent-request-id}, got {received-request-id})"), "2022-03-19 02:51:31.656083 W | etcdserver: ignored out-of-date read index response; local node read indexes queueing up and waiting to be in sync with leader (request ID want 3132673005432378348, got 3132673005432378156)"),
            form(Text("ignored out-of-date read index response (want {_}, got {_})"), "2018-08-19 10:00:26.000003 W | etcdserver: ignored out-of-date read index response (want [0 0 0 0 0 0 0 5], got [0 0 0 0 0 0 0 4])"),
        ],
        &[
            field("sent-request-id", Int("sent_request_id"), ""),
            field("received-request-id", Int("received_request_id"), ""),
        ],
    ),
    row(
        "readindex-failed", Etcd, Warn, Symptom, "3.1 to 3.7",
        "Raft refused a read index request, mostly because the server stops.",
        &[
            form(Msg("failed to get read index from Raft"), r#"{"level":"warn","ts":"2022-08-30T09:19:24.521Z","caller":"etcdserver/v3_server.go:775","msg":"failed to get read index from Raft","error":"raft: stopped"}"#),
            form(Text("failed to get read index from raft: {error}"), "2019-03-19 02:51:31.656083 W | etcdserver: failed to get read index from raft: raft: stopped"),
        ],
        &[field("error", Error, "")],
    ),
    row(
        "readindex-resend", Etcd, Info, Noise, "3.4.x, 3.5 to 3.7",
        "The leader committed first in its term and asks again for read indexes that waited for it.",
        &[form(Msg("first commit in current term: resending ReadIndex request"), r#"{"level":"info","ts":"2022-08-30T09:19:24.521Z","caller":"etcdserver/v3_server.go:790","msg":"first commit in current term: resending ReadIndex request"}"#)],
        &[],
    ),
    row(
        "readstate-timeout", Etcd, Warn, Symptom, "3.1 to 3.7",
        "Nobody took a read state within a second: the reading loop is held up.",
        &[
            form(Msg("timed out sending read state"), r#"{"level":"warn","ts":"2022-08-30T09:19:24.521Z","caller":"etcdserver/raft.go:200","msg":"timed out sending read state","timeout":"1s"}"#),
            form(Text("timed out sending read state"), "2019-03-19 02:51:31.656083 W | etcdserver: timed out sending read state"),
        ],
        &[field("timeout", Ms("timeout_ms"), "")],
    ),
    row(
        "tick-missed", Etcd, Warn, Fault, "3.2 to 3.7",
        "Raft's clock could not tick: the process is starved of CPU or stopped.",
        &[
            form(Text("{member:hex} A tick missed to fire. Node blocks too long!"), r#"{"level":"warn","ts":"2022-08-30T09:19:24.521Z","logger":"raft","caller":"etcdserver/zap_raft.go:85","msg":"141adac8c067b6dd A tick missed to fire. Node blocks too long!"}"#),
            form(Text("A tick missed to fire. Node blocks too long!"), "2019-03-19 02:51:31.656083 W | raft: A tick missed to fire. Node blocks too long!"),
        ],
        &[field("member", Txt("member"), "")],
    ),
    row(
        "lease-revoke-failed", Etcd, Warn, Symptom, "3.0 to 3.7",
        "An expired lease could not be revoked in time: writes do not go through.",
        &[
            form(Msg("failed to revoke lease"), r#"{"level":"warn","ts":"2023-11-24T19:07:05.711193Z","caller":"etcdserver/server.go:1168","msg":"failed to revoke lease","lease-id":"6bb58c021286526e","error":"etcdserver: request timed out"}"#),
            form(Text("failed to revoke {lease-id:hex} (\"{error}\")"), r#"2022-03-19 02:50:31.065856 W | etcdserver: failed to revoke 61707d802f6b4582 ("etcdserver: request timed out")"#),
        ],
        &[field("lease-id", Txt("lease"), ""), field("error", Error, "")],
    )
    .by(Extractor::LeaseRevoke),
    row(
        "watch-send-failed", Etcd, Warn, Noise, "3.0 to 3.7",
        "A watch's stream to its client broke; the client reconnects. There is no log line for a slow watcher.",
        &[
            form(Msg("failed to send watch response to gRPC stream"), r#"{"level":"warn","ts":"2022-08-30T09:19:24.521Z","caller":"v3rpc/watch.go:400","msg":"failed to send watch response to gRPC stream","error":"rpc error: code = Unavailable desc = transport is closing"}"#),
            form(Msg("failed to send watch control response to gRPC stream"), r#"{"level":"warn","ts":"2022-08-30T09:19:24.521Z","caller":"v3rpc/watch.go:400","msg":"failed to send watch control response to gRPC stream","error":"rpc error: code = Unavailable desc = transport is closing"}"#),
            form(Text("failed to send watch response to gRPC stream (\"{error}\")"), r#"2019-03-19 02:51:31.656083 D | etcdserver/api/v3rpc: failed to send watch response to gRPC stream ("rpc error: code = Unavailable desc = transport is closing")"#),
            form(Text("failed to send watch control response to gRPC stream (\"{error}\")"), r#"2019-03-19 02:51:31.656083 D | etcdserver/api/v3rpc: failed to send watch control response to gRPC stream ("rpc error: code = Unavailable desc = transport is closing")"#),
        ],
        &[field("error", Error, "")],
    ),
    row(
        "grpc-write-failed", Etcd, Warn, Symptom, "3.2 to 3.4",
        "An answer could not be written because the client had left, as it does after waiting too long.",
        &[
            form(Find("grpc: Server.processUnaryRPC failed to write status{_} connection error: desc = \"{error}\""), r#"WARNING: 2021/05/14 16:47:45 grpc: Server.processUnaryRPC failed to write status: connection error: desc = "transport is closing""#),
            form(Find("grpc: Server.processStreamingRPC failed to write status{_} connection error: desc = \"{error}\""), r#"WARNING: 2021/05/14 16:47:45 grpc: Server.processStreamingRPC failed to write status: connection error: desc = "transport is closing""#),
            form(Find("grpc: Server.processUnaryRPC failed to write status"), r#"WARNING: 2023/05/14 16:47:45 [core] grpc: Server.processUnaryRPC failed to write status: rpc error: code = Unavailable"#),
        ],
        &[field("error", Error, "")],
    ),
];
