//! etcd: the members' connections to each other.

use crate::logs::event::Component::Etcd;
use crate::logs::record::Level::{Error as Err, Info, Warn};

use super::types::How::{Msg, Text};
use super::types::Nature::{Change, Fault, Noise, Symptom};
use super::types::Role::{Client, Error, Flag, Int, Ms, Text as Txt, Took};
use super::types::{Extractor, Field, Signature, field, form, row};

const PEER: Field = field("remote-peer-id", Txt("peer"), "the other member");
const PEER_C: Field = field("peer", Txt("peer"), "the other member (capnslog)");
const ERROR: Field = field("error", Error, "");

const DROPPED: &str = r#"{"level":"warn","ts":"2020-03-10T00:53:02.463Z","caller":"rafthttp/peer.go:267","msg":"dropped internal Raft message since sending buffer is full (overloaded network)","message-type":"MsgHeartbeat","local-member-id":"8e9e05c52164694d","from":"8e9e05c52164694d","remote-peer-id":"467d02f1279bb468","remote-peer-active": false}"#;

pub(super) static TABLE: &[Signature] = &[
    row(
        "raft-message-dropped",
        Etcd,
        Warn,
        Symptom,
        "all",
        "A raft message was thrown away because its queue was full: the peer or the network to it is slow or gone.",
        &[
            form(
                Msg(
                    "dropped internal Raft message since sending buffer is full (overloaded network)",
                ),
                DROPPED,
            ),
            form(
                Msg("dropped internal Raft message since sending buffer is full"),
                r#"{"level":"warn","ts":"2026-05-25T15:58:15.641Z","caller":"rafthttp/peer.go:254","msg":"dropped internal Raft message since sending buffer is full","message-type":"MsgHeartbeat","local-member-id":"8e9e05c52164694d","from":"8e9e05c52164694d","remote-peer-id":"e08783cfcc895f20","remote-peer-name":"pipeline","remote-peer-active":false}"#,
            ),
            form(
                Msg("dropped Raft message since sending buffer is full (overloaded network)"),
                r#"{"level":"warn","ts":"2026-05-25T15:58:15.641Z","caller":"rafthttp/remote.go:80","msg":"dropped Raft message since sending buffer is full (overloaded network)","message-type":"MsgApp","remote-peer-id":"e08783cfcc895f20"}"#,
            ),
            form(
                Msg("dropped Raft message since sending buffer is full"),
                r#"{"level":"warn","ts":"2026-05-25T15:58:15.641Z","caller":"rafthttp/remote.go:80","msg":"dropped Raft message since sending buffer is full","message-type":"MsgApp","remote-peer-id":"e08783cfcc895f20"}"#,
            ),
            form(
                Msg(
                    "dropped internal Raft message since receiving buffer is full (overloaded network)",
                ),
                r#"{"level":"warn","ts":"2026-05-25T15:58:15.641Z","caller":"rafthttp/stream.go:560","msg":"dropped internal Raft message since receiving buffer is full (overloaded network)","message-type":"MsgApp","from":"8e9e05c52164694d","remote-peer-id":"e08783cfcc895f20"}"#,
            ),
            form(
                Msg("dropped internal Raft message since receiving buffer is full"),
                r#"{"level":"warn","ts":"2026-05-25T15:58:15.641Z","caller":"rafthttp/stream.go:560","msg":"dropped internal Raft message since receiving buffer is full","message-type":"MsgApp","from":"8e9e05c52164694d","remote-peer-id":"e08783cfcc895f20"}"#,
            ),
            form(
                Msg("dropped Raft message since receiving buffer is full (overloaded network)"),
                r#"{"level":"warn","ts":"2026-05-25T15:58:15.641Z","caller":"rafthttp/stream.go:565","msg":"dropped Raft message since receiving buffer is full (overloaded network)","message-type":"MsgApp","from":"8e9e05c52164694d","remote-peer-id":"e08783cfcc895f20"}"#,
            ),
            form(
                Msg("dropped Raft message since receiving buffer is full"),
                r#"{"level":"warn","ts":"2026-05-25T15:58:15.641Z","caller":"rafthttp/stream.go:565","msg":"dropped Raft message since receiving buffer is full","message-type":"MsgApp","from":"8e9e05c52164694d","remote-peer-id":"e08783cfcc895f20"}"#,
            ),
            form(
                Text("dropped internal raft message to {peer:hex} since "),
                "2019-08-16 14:32:02.226522 W | rafthttp: dropped internal raft message to 272dad16f2666b47 since pipeline's sending buffer is full (bad/overloaded network)",
            ),
            form(
                Text("dropped internal raft message from {peer:hex} since "),
                "2019-08-16 14:32:02.226522 W | rafthttp: dropped internal raft message from 272dad16f2666b47 since receiving buffer is full (overloaded network)",
            ),
            form(
                Text("dropped {message-type} to {peer:hex} since "),
                "2019-08-16 14:32:02.226522 W | rafthttp: dropped MsgAppResp to 272dad16f2666b47 since streamMsg's sending buffer is full",
            ),
            form(
                Text("dropped {message-type} from {peer:hex} since "),
                "2019-08-16 14:32:02.226522 W | rafthttp: dropped MsgAppResp from 272dad16f2666b47 since receiving buffer is full",
            ),
        ],
        &[
            field("message-type", Txt("message"), "MsgHeartbeat, MsgApp, …"),
            PEER,
            PEER_C,
            field("remote-peer-name", Txt("stream"), "the queue's name"),
            field(
                "remote-peer-active",
                Flag("active"),
                "whether the peer was thought reachable",
            ),
        ],
    ),
    row(
        "peer-unhealthy",
        Etcd,
        Warn,
        Fault,
        "all",
        "The prober cannot reach a peer. Twice per check: once per round tripper.",
        &[
            form(
                Msg("prober detected unhealthy status"),
                r#"{"level":"warn","ts":"2025-07-26T06:56:25.006319Z","caller":"rafthttp/probing_status.go:68","msg":"prober detected unhealthy status","round-tripper-name":"ROUND_TRIPPER_RAFT_MESSAGE","remote-peer-id":"99eab3685d8363a1","rtt":"1.470376ms","error":"dial tcp: lookup etcd1 on 127.0.0.11:53: server misbehaving"}"#,
            ),
            form(
                Text("health check for peer {peer:hex} could not connect: {error}"),
                "2023-01-06 06:37:05.978934 W | rafthttp: health check for peer 90169b554bad10c6 could not connect: dial tcp 10.0.0.1:2380: i/o timeout",
            ),
        ],
        &[
            PEER,
            PEER_C,
            field("round-tripper-name", Txt("prober"), ""),
            field("rtt", Ms("rtt_ms"), "of the last good probe, so stale"),
            ERROR,
        ],
    ),
    row(
        "clock-drift",
        Etcd,
        Warn,
        Fault,
        "all",
        "A peer's clock differs by more than a second. Twice per check: once per round tripper.",
        &[
            form(
                Msg("prober found high clock drift"),
                r#"{"level":"warn","ts":"2024-12-28T08:48:44.522403Z","caller":"rafthttp/probing_status.go:82","msg":"prober found high clock drift","round-tripper-name":"ROUND_TRIPPER_RAFT_MESSAGE","remote-peer-id":"4df3de4b88bd271","clock-drift":"1.123978766s","rtt":"15.900899ms"}"#,
            ),
            form(
                Text(
                    "the clock difference against peer {peer:hex} is too high [{clock-drift} > {_}]",
                ),
                "2023-01-06 06:37:05.978952 W | rafthttp: the clock difference against peer 90169b554bad10c6 is too high [1m29.239296422s > 1s]",
            ),
        ],
        &[
            field("clock-drift", Took, "the difference"),
            PEER,
            PEER_C,
            field("round-tripper-name", Txt("prober"), ""),
            field("rtt", Ms("rtt_ms"), ""),
        ],
    )
    .by(Extractor::Drift),
    row(
        "stream-lost",
        Etcd,
        Warn,
        Symptom,
        "all",
        "A stream between two members broke.",
        &[
            form(
                Msg("lost TCP streaming connection with remote peer"),
                r#"{"level":"warn","ts":"2024-05-14T20:27:09.094119Z","caller":"rafthttp/stream.go:421","msg":"lost TCP streaming connection with remote peer","stream-reader-type":"stream MsgApp v2","local-member-id":"91bc3c398fb3c146","remote-peer-id":"8211f1d0f64f3269","error":"EOF"}"#,
            ),
            form(
                Text(
                    "lost the TCP streaming connection with peer {peer:hex} ({stream-reader-type})",
                ),
                "2017-01-17 09:34:18.548116 W | rafthttp: lost the TCP streaming connection with peer fd32987dcd0511e0 (stream Message writer)",
            ),
        ],
        &[
            PEER,
            PEER_C,
            field("stream-reader-type", Txt("stream"), ""),
            field("stream-writer-type", Txt("stream"), ""),
            field("local-member-id", Txt("member"), ""),
            ERROR,
        ],
    ),
    row(
        "stream-closed",
        Etcd,
        Warn,
        Noise,
        "all",
        "A stream between two members was closed or replaced.",
        &[
            form(
                Msg("closed TCP streaming connection with remote peer"),
                r#"{"level":"warn","ts":"2026-11-21T19:34:26.175Z","caller":"rafthttp/stream.go:291","msg":"closed TCP streaming connection with remote peer","stream-writer-type":"stream MsgApp v2","remote-peer-id":"b548c2511513015"}"#,
            ),
            form(
                Text("closed an existing TCP streaming connection with peer {peer:hex} ("),
                "2026-11-21 19:34:26.933043 W | rafthttp: closed an existing TCP streaming connection with peer b548c2511513015 (stream MsgApp v2 writer)",
            ),
            form(
                Text("closed the TCP streaming connection with peer {peer:hex} ("),
                "2026-11-21 19:34:26.933043 I | rafthttp: closed the TCP streaming connection with peer b548c2511513015 (stream MsgApp v2 writer)",
            ),
        ],
        &[PEER, PEER_C],
    ),
    row(
        "peer-active",
        Etcd,
        Info,
        Change,
        "all",
        "A peer can be reached again.",
        &[
            form(
                Msg("peer became active"),
                r#"{"level":"info","ts":"2024-05-14T20:27:09.095535Z","caller":"rafthttp/peer_status.go:53","msg":"peer became active","peer-id":"8211f1d0f64f3269"}"#,
            ),
            form(
                Text("peer {peer:hex} became active"),
                "2017-04-27 14:13:31.693289 I | rafthttp: peer 6d4f535bae3ab960 became active",
            ),
        ],
        &[field("peer-id", Txt("peer"), ""), PEER_C],
    ),
    row(
        "peer-inactive",
        Etcd,
        Warn,
        Fault,
        "all",
        "A peer cannot be reached any more.",
        &[
            form(
                Msg("peer became inactive (message send to peer failed)"),
                r#"{"level":"warn","ts":"2024-05-14T20:27:09.095535Z","caller":"rafthttp/peer_status.go:66","msg":"peer became inactive (message send to peer failed)","peer-id":"8211f1d0f64f3269","error":"failed to dial 8211f1d0f64f3269 on stream MsgApp v2 (EOF)"}"#,
            ),
            form(
                Text("peer {peer:hex} became inactive"),
                "2017-04-27 14:13:31.693289 I | rafthttp: peer 6d4f535bae3ab960 became inactive (message send to peer failed)",
            ),
        ],
        &[field("peer-id", Txt("peer"), ""), PEER_C, ERROR],
    ),
    row(
        "peer-dial-failed",
        Etcd,
        Err,
        Symptom,
        "3.0 to 3.4 capnslog",
        "A stream to a peer could not be opened or read.",
        &[
            form(
                Text("failed to dial {peer:hex} on {stream} ({error})"),
                "2017-04-27 14:13:31.693275 E | rafthttp: failed to dial 6d4f535bae3ab960 on stream Message (dial tcp [::1]:2380: getsockopt: connection refused)",
            ),
            form(
                Text("failed to read {peer:hex} on {stream} ({error})"),
                "2026-11-21 19:33:40.693275 E | rafthttp: failed to read 6d4f535bae3ab960 on stream MsgApp v2 (read tcp 127.0.0.1:1->127.0.0.1:2: i/o timeout)",
            ),
            form(
                Text("failed to write {peer:hex} on {stream} ({error})"),
                "2026-11-21 19:33:40.693275 E | rafthttp: failed to write 6d4f535bae3ab960 on stream MsgApp v2 (write tcp 127.0.0.1:1->127.0.0.1:2: i/o timeout)",
            ),
        ],
        &[PEER_C, field("stream", Txt("stream"), ""), ERROR],
    ),
    row(
        "peer-unreachable",
        Etcd,
        Warn,
        Symptom,
        "all",
        "The leader's version monitor could not ask a member for its version, each 4 s.",
        &[
            form(
                Msg("failed to reach the peer URL"),
                r#"{"level":"warn","ts":"2024-05-14T20:27:11.085646Z","caller":"etcdserver/cluster_util.go:294","msg":"failed to reach the peer URL","address":"http://127.0.0.1:12380/version","remote-member-id":"8211f1d0f64f3269","error":"Get \"http://127.0.0.1:12380/version\": dial tcp 127.0.0.1:12380: connect: connection refused"}"#,
            ),
            form(
                Msg("failed to get version"),
                r#"{"level":"warn","ts":"2024-05-14T20:27:11.085718Z","caller":"etcdserver/cluster_util.go:158","msg":"failed to get version","remote-member-id":"8211f1d0f64f3269","error":"Get \"http://127.0.0.1:12380/version\": dial tcp 127.0.0.1:12380: connect: connection refused"}"#,
            ),
            form(
                Text("failed to reach the peerURL({address}) of member {peer:hex} ({error})"),
                "2017-01-17 09:34:18.359630 W | etcdserver: failed to reach the peerURL(http://localhost:2380) of member fd32987dcd0511e0 (Get http://localhost:2380/version: dial tcp 127.0.0.1:2380: getsockopt: connection refused)",
            ),
            form(
                Text("cannot get the version of member {peer:hex} ({error})"),
                "2017-01-17 09:34:18.359679 W | etcdserver: cannot get the version of member fd32987dcd0511e0 (Get http://localhost:2380/version: dial tcp 127.0.0.1:2380: getsockopt: connection refused)",
            ),
        ],
        &[
            field("remote-member-id", Txt("peer"), ""),
            PEER_C,
            field("address", Txt("address"), ""),
            ERROR,
        ],
    ),
    row(
        "cluster-id-mismatch",
        Etcd,
        Warn,
        Symptom,
        "all",
        "A peer belongs to another cluster: an address or a data directory of another one. Both ends say so, at each try.",
        &[
            form(
                Msg("request cluster ID mismatch"),
                r#"{"level":"warn","ts":"2026-11-20T03:00:10.000000Z","caller":"rafthttp/http.go:396","msg":"request cluster ID mismatch","local-member-id":"8e9e05c52164694d","local-member-cluster-id":"cdf818194e3a8c32","local-member-server-version":"3.6.5","remote-peer-server-name":"b01ddf10aa","remote-peer-server-version":"3.6.5","remote-peer-cluster-id":"aaaa18194e3a8c32"}"#,
            ),
            form(
                Msg("request sent was ignored due to cluster ID mismatch"),
                r#"{"level":"error","ts":"2026-11-20T03:00:10.000000Z","caller":"rafthttp/http_util.go:64","msg":"request sent was ignored due to cluster ID mismatch","remote-peer-id":"8e9e05c52164694d","remote-peer-cluster-id":"cdf818194e3a8c32","local-member-cluster-id":"aaaa18194e3a8c32"}"#,
            ),
            form(
                Msg("request sent was ignored by remote peer due to cluster ID mismatch"),
                r#"{"level":"warn","ts":"2026-11-20T03:00:10.000000Z","caller":"rafthttp/stream.go:653","msg":"request sent was ignored by remote peer due to cluster ID mismatch","remote-peer-id":"8e9e05c52164694d","remote-peer-cluster-id":"cdf818194e3a8c32","local-member-id":"b01ddf10aa","local-member-cluster-id":"aaaa18194e3a8c32","error":"cluster ID mismatch"}"#,
            ),
            form(
                Text("request cluster ID mismatch (got {cluster:hex} want {_})"),
                "2026-11-21 19:34:26.933043 E | rafthttp: request cluster ID mismatch (got cf138cda9790f1d0 want 8732ef518b18f052)",
            ),
            form(
                Text("request sent was ignored (cluster ID mismatch: {_}"),
                "2026-11-21 19:34:26.933043 E | rafthttp: request sent was ignored (cluster ID mismatch: peer[8732ef518b18f052]=cf138cda9790f1d0, local=8732ef518b18f052)",
            ),
        ],
        &[
            field("remote-peer-cluster-id", Txt("cluster"), ""),
            field("cluster", Txt("cluster"), ""),
        ],
    ),
    row(
        "member-removed",
        Etcd,
        Warn,
        Fault,
        "all",
        "The member was taken out of the cluster, and ends: right once, after `member remove`; again and again, it is still started with its former data.",
        &[
            form(
                Msg("data-dir used by this member must be removed"),
                r#"{"level":"warn","ts":"2026-11-20T03:00:11.100000Z","caller":"etcdserver/server.go:861","msg":"data-dir used by this member must be removed"}"#,
            ),
            form(
                Text("the data-dir used by this member must be removed."),
                "2026-11-21 19:34:26.933043 I | etcdserver: the data-dir used by this member must be removed.",
            ),
        ],
        &[],
    ),
    row(
        "server-error",
        Etcd,
        Warn,
        Noise,
        "all",
        "Why a member ends, in a line of its own before its `member-removed`, which is the one that counts.",
        &[
            form(
                Msg("server error"),
                r#"{"level":"warn","ts":"2026-11-20T03:00:11.000000Z","caller":"etcdserver/server.go:860","msg":"server error","error":"the member has been permanently removed from the cluster"}"#,
            ),
            form(
                Text("the member has been permanently removed from the cluster"),
                "2021-03-02 10:00:00.000001 E | etcdserver: the member has been permanently removed from the cluster",
            ),
        ],
        &[ERROR],
    ),
    row(
        "peer-unknown",
        Etcd,
        Warn,
        Symptom,
        "all",
        "A member that is not in the cluster's list tried to connect; at a stop or a join this passes.",
        &[
            form(
                Msg("failed to find remote peer in cluster"),
                r#"{"level":"warn","ts":"2025-03-01T04:35:01.545668Z","caller":"rafthttp/http.go:413","msg":"failed to find remote peer in cluster","local-member-id":"bf9071f4639c75cc","remote-peer-id-stream-handler":"bf9071f4639c75cc","remote-peer-id-from":"91bc3c398fb3c146","cluster-id":"59a05384c9b79ee"}"#,
            ),
            form(
                Text("failed to find member {peer:hex} in cluster {_}"),
                "2026-11-21 19:34:26.933043 E | rafthttp: failed to find member b548c2511513015 in cluster 7dee9ba76d59ed53",
            ),
        ],
        &[field("remote-peer-id-from", Txt("peer"), ""), PEER_C],
    ),
    row(
        "publish-failed",
        Etcd,
        Warn,
        Fault,
        "all",
        "A starting member could not write its name through raft: no quorum, or writes time out.",
        &[
            form(
                Msg("failed to publish local member to cluster through raft"),
                r#"{"level":"warn","ts":"2022-11-21T02:50:52.546Z","caller":"etcdserver/server.go:2063","msg":"failed to publish local member to cluster through raft","local-member-id":"ac5a143a5c9bfc26","publish-timeout":"7s","error":"etcdserver: request timed out"}"#,
            ),
            form(
                Text("publish error: {error}"),
                "2019-11-21 19:34:26.933043 E | etcdserver: publish error: etcdserver: request timed out",
            ),
        ],
        &[field("publish-timeout", Ms("timeout_ms"), ""), ERROR],
    ),
    row(
        "leadership-check-failed",
        Etcd,
        Warn,
        Symptom,
        "3.4.31+, 3.5.13+, 3.6, 3.7",
        "Before revoking leases, the server could not confirm in time that it still leads.",
        &[form(
            Msg("Failed to check current member's leadership"),
            r#"{"level":"warn","ts":"2026-05-25T15:58:15.641Z","caller":"etcdserver/server.go:939","msg":"Failed to check current member's leadership","error":"context deadline exceeded"}"#,
        )],
        &[ERROR],
    ),
    row(
        "version-mismatch",
        Etcd,
        Warn,
        Change,
        "all",
        "Members run different versions, as during an upgrade or a downgrade.",
        &[
            form(
                Msg("leader found higher-versioned member"),
                r#"{"level":"warn","ts":"2025-03-01T04:40:37.545960Z","caller":"etcdserver/cluster_util.go:189","msg":"leader found higher-versioned member","local-member-version":"3.5.18","remote-member-id":"bf9071f4639c75cc","remote-member-version":"3.6.0-alpha.0"}"#,
            ),
            form(
                Msg("remotes server has mismatching etcd version"),
                r#"{"level":"warn","ts":"2026-07-02T06:48:16.856521Z","caller":"version/monitor.go:212","msg":"remotes server has mismatching etcd version","remote-member-id":"b548c2511513015","current-server-version":"3.7.0","target-version":"3.6.0"}"#,
            ),
            form(
                Msg(
                    "request sent was ignored by remote peer due to server version incompatibility",
                ),
                r#"{"level":"warn","ts":"2024-03-05T10:11:13.645678Z","caller":"rafthttp/stream.go:653","msg":"request sent was ignored by remote peer due to server version incompatibility","local-member-id":"8e9e05c52164694d","remote-peer-id":"91bc3c398fb3c146","error":"incompatible version"}"#,
            ),
            form(
                Text("the local etcd version {local-member-version} is not up-to-date"),
                "2017-01-17 09:36:38.406268 W | etcdserver: the local etcd version 3.0.16 is not up-to-date",
            ),
            form(
                Text("member {peer:hex} has a higher version {remote-member-version}"),
                "2017-01-17 09:36:38.406295 W | etcdserver: member fd32987dcd0511e0 has a higher version 3.1.0",
            ),
        ],
        &[
            field("remote-member-id", Txt("peer"), ""),
            PEER_C,
            field("local-member-version", Txt("local_version"), ""),
            field("current-server-version", Txt("local_version"), ""),
            field("remote-member-version", Txt("remote_version"), ""),
            field("target-version", Txt("remote_version"), ""),
        ],
    ),
    row(
        "rejected-connection",
        Etcd,
        Warn,
        Symptom,
        "all; `EOF` at debug level only from 3.5.24 and 3.6.6",
        "A TLS handshake failed. `EOF` is a port check of a load balancer; the error says the rest.",
        &[
            form(
                Msg("rejected connection"),
                r#"{"level":"warn","ts":"2022-07-05T07:45:00.769Z","caller":"embed/config_logging.go:169","msg":"rejected connection","remote-addr":"192.168.222.202:42614","server-name":"etcd.example","error":"tls: first record does not look like a TLS handshake"}"#,
            ),
            form(
                Msg("rejected connection on client endpoint"),
                r#"{"level":"warn","ts":"2025-09-14T19:59:58.069864Z","caller":"embed/config_logging.go:170","msg":"rejected connection on client endpoint","remote-addr":"127.0.0.1:36582","server-name":"","error":"tls: first record does not look like a TLS handshake"}"#,
            ),
            form(
                Msg("rejected connection on peer endpoint"),
                r#"{"level":"warn","ts":"2025-09-14T19:59:58.069864Z","caller":"embed/config_logging.go:170","msg":"rejected connection on peer endpoint","remote-addr":"127.0.0.1:36582","server-name":"","error":"remote error: tls: bad certificate"}"#,
            ),
            form(
                Text(
                    "rejected connection from \"{remote-addr}\" (error \"{error}\", ServerName \"{server-name}\"",
                ),
                r#"2026-11-21 19:37:24.330034 I | embed: rejected connection from "127.0.0.1:32906" (error "tls: client didn't provide a certificate", ServerName "localhost")"#,
            ),
            // Up to 3.2.
            form(
                Text("rejected connection from \"{remote-addr}\" ({error})"),
                r#"2018-05-15 17:58:11.366953 I | etcdmain: rejected connection from "192.0.2.7:45144" (tls: "192.0.2.7" does not match any of DNSNames ["*.etcd.example"])"#,
            ),
        ],
        &[
            field("remote-addr", Client, ""),
            field("server-name", Txt("server_name"), ""),
            ERROR,
        ],
    ),
    row(
        "member-changed",
        Etcd,
        Info,
        Change,
        "all",
        "A member was added to or removed from the cluster, or is read back at a start.",
        &[
            form(
                Msg("added member"),
                r#"{"level":"info","ts":"2026-11-21T20:04:03.726104Z","caller":"membership/cluster.go:408","msg":"added member","cluster-id":"df3d6074342b49c3","local-member-id":"53f728c967300dd8","added-peer-id":"53f728c967300dd8","added-peer-is-learner":false}"#,
            ),
            form(
                Msg("removed member"),
                r#"{"level":"info","ts":"2026-11-21T20:04:03.726104Z","caller":"membership/cluster.go:420","msg":"removed member","cluster-id":"df3d6074342b49c3","local-member-id":"53f728c967300dd8","removed-remote-peer-id":"63f728c967300dd8"}"#,
            ),
            form(
                Text("added member {peer:hex} [{_}] to cluster {_}"),
                "2026-11-21 19:32:22.583998 I | etcdserver/membership: added member f5121792235e72bf [http://127.0.0.1:41001] to cluster b1ec1ce45edb8b7b",
            ),
            form(
                Text("removed member {peer:hex} from cluster {_}"),
                "2026-11-21 19:32:22.583998 I | etcdserver/membership: removed member f5121792235e72bf from cluster b1ec1ce45edb8b7b",
            ),
        ],
        &[
            field("added-peer-id", Txt("peer"), ""),
            field("removed-remote-peer-id", Txt("peer"), ""),
            PEER_C,
            field("added-peer-is-learner", Flag("learner"), ""),
        ],
    ),
    row(
        "ticks-forwarded",
        Etcd,
        Info,
        Noise,
        "3.4 to 3.7",
        "At its start a member skips most of the first election timeout.",
        &[
            form(
                Msg("initialized peer connections; fast-forwarding election ticks"),
                r#"{"level":"info","ts":"2026-11-21T20:04:03.726104Z","caller":"etcdserver/server.go:480","msg":"initialized peer connections; fast-forwarding election ticks","local-member-id":"53f728c967300dd8","forward-ticks":8,"active-remote-members":2}"#,
            ),
            form(
                Msg("started as single-node; fast-forwarding election ticks"),
                r#"{"level":"info","ts":"2026-11-21T20:04:03.726104Z","caller":"etcdserver/server.go:470","msg":"started as single-node; fast-forwarding election ticks","local-member-id":"53f728c967300dd8","forward-ticks":9}"#,
            ),
        ],
        &[
            field("forward-ticks", Int("ticks"), ""),
            field("active-remote-members", Int("active_members"), ""),
        ],
    ),
];
