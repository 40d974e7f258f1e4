//! etcd: start and stop, health, authentication, and what a server says without meaning harm.

use crate::logs::event::Component::{Etcd, Unknown};
use crate::logs::record::Level::{Error as Err, Fatal, Info, Notice, Warn};

use super::types::How::{Code, Find, Msg, Text};
use super::types::Nature::{Change, Fault, Noise, Planned, Symptom};
use super::types::Role::{Error, Int, Ms, Status, Text as Txt};
use super::types::{Extractor, Field, Signature, field, form, row};

const ERROR: Field = field("error", Error, "");
const VERSION: Field = field("version", Txt("version"), "");

pub(super) static TABLE: &[Signature] = &[
    row(
        "settings-refused", Unknown, Err, Fault, "all",
        "A component ended before it served, for a setting: etcd's own checks, or the flags of etcd and of Kubernetes components. It counts as a start; repeated, it never serves.",
        &[
            form(Msg("failed to verify flags"), r#"{"level":"warn","ts":"2026-11-20T03:00:10.010000Z","caller":"etcdmain/etcd.go:75","msg":"failed to verify flags","error":"--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[500ms]"}"#),
            form(Text("error verifying flags, {error}. See 'etcd --help'."), "2026-11-20 03:00:10.010000 E | etcdmain: error verifying flags, --election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[500ms]. See 'etcd --help'."),
            form(Find("^flag provided but not defined: {error}"), "flag provided but not defined: -experimental-corrupt-check-time"),
            form(Find("^invalid value {error}"), r#"invalid value "10k" for flag -snapshot-count: parse error"#),
            form(Find("^Error: unknown flag: {error}"), "Error: unknown flag: --enable-dynamic-kubelet"),
            form(Find("^Error: invalid argument {error}"), r#"Error: invalid argument "x" for "--max-requests-inflight" flag: strconv.ParseInt: parsing "x": invalid syntax"#),
        ],
        &[ERROR],
    ),
    row(
        "etcd-start", Etcd, Info, Change, "all",
        "A server starts; with its version and its settings.",
        &[
            form(Msg("starting an etcd server"), r#"{"level":"info","ts":"2026-11-21T20:04:03.712755Z","caller":"embed/etcd.go:321","msg":"starting an etcd server","etcd-version":"3.7.1","git-sha":"x","go-version":"go1.27.3","max-cpu-set":2,"member-initialized":false,"name":"m1","data-dir":"/var/lib/etcd","heartbeat-interval":"100ms","election-timeout":"1s","snapshot-count":10000,"quota-backend-bytes":0,"auto-compaction-retention":"0s"}"#),
            form(Text("etcd Version: {version}"), "2026-11-21 19:32:22.517156 I | etcdmain: etcd Version: 3.4.23"),
        ],
        &[
            field("etcd-version", Txt("version"), ""),
            VERSION,
            field("name", Txt("name"), "the member's name"),
            field("heartbeat-interval", Ms("heartbeat_interval_ms"), ""),
            field("election-timeout", Ms("election_timeout_ms"), ""),
            field("snapshot-count", Int("snapshot_count"), ""),
            field("quota-backend-bytes", Int("quota_bytes"), "0: the default"),
            field("max-cpu-set", Int("cpus"), "GOMAXPROCS"),
        ],
    ),
    row(
        "member-id", Etcd, Info, Noise, "all",
        "The member's own id, which its metrics tell too.",
        &[
            form(Msg("starting local member"), r#"{"level":"info","ts":"2026-11-29T23:45:47.086Z","caller":"etcdserver/raft.go:448","msg":"starting local member","local-member-id":"9a850cd45a3f91c4","cluster-id":"345f73ac7b2c24bb"}"#),
            form(Msg("restarting local member"), r#"{"level":"info","ts":"2026-11-29T23:45:47.086Z","caller":"etcdserver/raft.go:483","msg":"restarting local member","cluster-id":"345f73ac7b2c24bb","local-member-id":"9a850cd45a3f91c4","commit-index":1042}"#),
            form(Text("starting member {local-member-id:hex} in cluster {_}"), "2026-11-29 23:47:01.947022 I | etcdserver: starting member 9a850cd45a3f91c4 in cluster 345f73ac7b2c24bb"),
            form(Text("restarting member {local-member-id:hex} in cluster {_} at commit index {_}"), "2026-11-29 23:47:01.947022 I | etcdserver: restarting member 9a850cd45a3f91c4 in cluster 345f73ac7b2c24bb at commit index 1042"),
        ],
        &[field("local-member-id", Txt("member"), "in hexadecimal")],
    ),
    row(
        "member-name", Etcd, Info, Noise, "up to 3.4",
        "The member's name among the settings that the old log writer lists at a start.",
        &[form(Text("name = {name}"), "2026-11-21 19:32:22.517332 I | embed: name = m1")],
        &[field("name", Txt("name"), "the member's name")],
    ),
    row(
        "member-start", Etcd, Info, Change, "all",
        "The server part starts; with its own and the cluster's version.",
        &[
            form(Msg("starting etcd server"), r#"{"level":"info","ts":"2026-11-21T20:04:03.724600Z","caller":"etcdserver/server.go:584","msg":"starting etcd server","local-member-id":"53f728c967300dd8","local-server-version":"3.7.1","cluster-version":"to_be_decided"}"#),
            form(Text("starting server... [version: {version}, cluster version: {cluster-version}]"), "2026-11-21 19:32:22.579476 I | etcdserver: starting server... [version: 3.4.23, cluster version: to_be_decided]"),
        ],
        &[
            field("local-member-id", Txt("member"), ""),
            field("local-server-version", Txt("version"), ""),
            VERSION,
            field("cluster-version", Txt("cluster_version"), ""),
        ],
    ),
    row(
        "etcd-ready", Etcd, Info, Change, "all",
        "The server takes requests.",
        &[
            form(Msg("ready to serve client requests"), r#"{"level":"info","ts":"2026-11-21T20:04:04.118913Z","caller":"embed/serve.go:139","msg":"ready to serve client requests"}"#),
            form(Text("ready to serve client requests"), "2026-11-21 19:32:22.637195 I | embed: ready to serve client requests"),
        ],
        &[],
    ),
    row(
        "member-bootstrapped", Etcd, Fatal, Fault, "all",
        "A member starts with an empty data directory, and the cluster knows it as one that has data: it was lost or is another one. It does not start.",
        &[
            form(Code, r#"{"level":"fatal","ts":"2026-11-29T13:28:03.193Z","caller":"etcdmain/etcd.go:203","msg":"discovery failed","error":"member cc4a03f30001902d has already been bootstrapped"}"#),
            form(Code, "2019-03-04 10:00:00.000066 C | etcdmain: member cc4a03f30001902d has already been bootstrapped"),
        ],
        &[ERROR],
    )
    .by(Extractor::Crash),
    row(
        "cluster-version", Etcd, Info, Change, "all",
        "The cluster's version was set or changed.",
        &[
            form(Msg("updated cluster version"), r#"{"level":"info","ts":1526586617.1649303,"caller":"membership/cluster.go:473","msg":"updated cluster version","cluster-id":"7dee9ba76d59ed53","local-member-id":"7339c4e5e833c029","from":"3.0","from":"3.3"}"#),
            form(Msg("set initial cluster version"), r#"{"level":"info","ts":"2026-11-21T20:04:04.118626Z","caller":"membership/cluster.go:601","msg":"set initial cluster version","cluster-id":"df3d6074342b49c3","local-member-id":"53f728c967300dd8","cluster-version":"3.7"}"#),
            form(Msg("cluster version is updated"), r#"{"level":"info","ts":"2026-11-21T20:04:04.118812Z","caller":"etcdserver/server.go:2326","msg":"cluster version is updated","cluster-version":"3.7"}"#),
            form(Msg("the cluster has been downgraded"), r#"{"level":"info","ts":"2026-07-02T06:48:32.312205+0300","caller":"version/monitor.go:143","msg":"the cluster has been downgraded","cluster-version":"3.6.0"}"#),
            form(Text("updated the cluster version from {from} to {to}"), "2017-04-27 14:15:54.536901 N | etcdserver/membership: updated the cluster version from 3.1 to 3.2"),
            form(Text("set the initial cluster version to {to}"), "2026-11-21 19:32:22.639125 N | etcdserver/membership: set the initial cluster version to 3.4"),
        ],
        &[
            field("cluster-version", Txt("cluster_version"), ""),
            field("from", Txt("from"), "up to 3.5 the new version stands in a second `from`"),
            field("to", Txt("to"), ""),
        ],
    ),
    row(
        "shutdown", Etcd, Info, Planned, "all",
        "The server was asked to stop: what follows is no failure.",
        &[
            form(Msg("received signal; shutting down"), r#"{"level":"info","ts":"2026-11-21T20:52:37.554728Z","caller":"osutil/interrupt_unix.go:65","msg":"received signal; shutting down","signal":"terminated"}"#),
            form(Text("received {signal} signal, shutting down..."), "2026-11-21 19:34:26.192174 N | pkg/osutil: received interrupt signal, shutting down..."),
        ],
        &[field("signal", Txt("signal"), "")],
    ),
    row(
        "etcd-stopped", Etcd, Info, Planned, "3.4 to 3.7",
        "The server has stopped.",
        &[form(Msg("closed etcd server"), r#"{"level":"info","ts":"2026-11-21T20:52:37.660Z","caller":"embed/etcd.go:420","msg":"closed etcd server","name":"m1","data-dir":"/var/lib/etcd"}"#)],
        &[field("name", Txt("name"), "")],
    ),
    row(
        "clean-stop-error", Etcd, Err, Noise, "3.6, 3.7",
        "Errors that every clean stop writes, with a stack trace. Not an incident.",
        &[
            form(Msg("setting up serving from embedded etcd failed."), r#"{"level":"error","ts":"2026-11-21T20:52:37.554931Z","caller":"embed/etcd.go:912","msg":"setting up serving from embedded etcd failed.","error":"http: Server closed","stacktrace":"x"}"#),
            form(Msg("stopping insecure grpc server due to error"), r#"{"level":"warn","ts":"2026-11-21T20:52:37.554931Z","caller":"embed/serve.go:170","msg":"stopping insecure grpc server due to error","error":"accept tcp 127.0.0.1:2379: use of closed network connection"}"#),
            form(Msg("stopped insecure grpc server due to error"), r#"{"level":"warn","ts":"2026-11-21T20:52:37.554931Z","caller":"embed/serve.go:172","msg":"stopped insecure grpc server due to error","error":"accept tcp 127.0.0.1:2379: use of closed network connection"}"#),
            form(Msg("stopping secure grpc server due to error"), r#"{"level":"warn","ts":"2026-11-21T20:52:37.554931Z","caller":"embed/serve.go:170","msg":"stopping secure grpc server due to error","error":"accept tcp 127.0.0.1:2379: use of closed network connection"}"#),
            form(Msg("stopped secure grpc server due to error"), r#"{"level":"warn","ts":"2026-11-21T20:52:37.554931Z","caller":"embed/serve.go:172","msg":"stopped secure grpc server due to error","error":"accept tcp 127.0.0.1:2379: use of closed network connection"}"#),
        ],
        &[ERROR],
    ),
    row(
        "start-hint", Etcd, Warn, Noise, "all",
        "Warnings that come with every start and mean nothing for its health.",
        &[
            form(Msg("Running http and grpc server on single port. This is not recommended for production."), r#"{"level":"warn","ts":"2026-11-21T20:04:03.711937Z","caller":"embed/config.go:956","msg":"Running http and grpc server on single port. This is not recommended for production."}"#),
            form(Text("Running http and grpc server on single port."), "2026-04-26 06:45:39.811033 W | embed: Running http and grpc server on single port. This is not recommended for production."),
            form(Msg("simple token is not cryptographically signed"), r#"{"level":"warn","ts":"2026-11-21T20:04:03.717468Z","caller":"auth/store.go:1137","msg":"simple token is not cryptographically signed"}"#),
            form(Text("simple token is not cryptographically signed"), "2026-11-21 19:32:22.540882 W | auth: simple token is not cryptographically signed"),
            form(Msg("check file permission"), r#"{"level":"warn","ts":1661828684.1843698,"caller":"fileutil/fileutil.go:57","msg":"check file permission","error":"directory \"/var/lib/etcd\" exist, but the permission is \"drwxr-xr-x\"."}"#),
            form(Msg("failed to detect default host"), r#"{"level":"info","ts":"2026-11-21T20:04:03.717468Z","caller":"etcdmain/etcd.go:100","msg":"failed to detect default host","error":"could not find default route"}"#),
            form(Text("failed to detect default host ({error})"), "2026-04-26 06:45:39.811080 N | etcdmain: failed to detect default host (could not find default route)"),
            form(Text("Deprecated '--logger=capnslog' flag is set"), "[WARNING] Deprecated '--logger=capnslog' flag is set; use '--logger=zap' flag instead"),
        ],
        &[ERROR],
    ),
    row(
        "health-ok", Etcd, Info, Noise, "3.3 and early 3.4 at info; debug later",
        "A probe of /health was answered well.",
        &[
            form(Text("/health OK (status code 200)"), "2021-05-14 16:47:28.068343 I | etcdserver/api/etcdhttp: /health OK (status code 200)"),
            form(Msg("/health OK"), r#"{"level":"debug","ts":"2022-11-21T02:50:55.054Z","caller":"etcdhttp/metrics.go:90","msg":"/health OK","status-code":200}"#),
        ],
        &[],
    ),
    row(
        "health-error", Etcd, Warn, Fault, "all",
        "A probe of /health, /livez or /readyz failed: no leader, or a read timed out. One line for one probe: what stands beside it is `health-false`.",
        &[
            form(Text("/health error; QGET failed {error} (status code {status-code:int})"), "2021-05-14 16:47:39.063518 W | etcdserver/api/etcdhttp: /health error; QGET failed etcdserver: request timed out (status code 503)"),
            form(Text("/health error; {reason} (status code {status-code:int})"), "2021-05-14 16:47:39.063518 W | etcdserver/api/etcdhttp: /health error; no leader (status code 503)"),
            form(Msg("/health error"), r#"{"level":"warn","ts":"2022-11-21T02:50:55.054Z","caller":"etcdhttp/metrics.go:86","msg":"/health error","output":"{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}","status-code":503}"#),
            form(Msg("Health check error"), r#"{"level":"error","ts":"2024-03-13T08:46:25.065000Z","caller":"etcdhttp/health.go:280","msg":"Health check error","path":"/readyz","reason":"[-]read_index failed: etcdserver: request timed out\n","status-code":503}"#),
        ],
        &[
            ERROR,
            field("output", Txt("reason"), "the answer's JSON"),
            field("reason", Txt("reason"), ""),
            field("status-code", Status, ""),
        ],
    )
    .by(Extractor::Health),
    row(
        "health-false", Etcd, Warn, Noise, "3.5+",
        "Why a probe of /health failed, in a line of its own before its `health-error`, which is the one that counts.",
        &[
            form(Msg("serving /health false; no leader"), r#"{"level":"warn","ts":"2022-11-21T02:50:55.054Z","caller":"etcdhttp/metrics.go:173","msg":"serving /health false; no leader"}"#),
            form(Msg("serving /health false; QGET fails"), r#"{"level":"warn","ts":"2022-11-21T02:50:55.054Z","caller":"etcdhttp/metrics.go:190","msg":"serving /health false; QGET fails","error":"etcdserver: request timed out"}"#),
            form(Msg("serving /health false; Range fails"), r#"{"level":"warn","ts":"2022-11-21T02:50:55.054Z","caller":"etcdhttp/health.go:230","msg":"serving /health false; Range fails","error":"etcdserver: request timed out"}"#),
        ],
        &[ERROR],
    ),
    row(
        "health-alarm", Etcd, Warn, Fault, "all; in 3.6 and 3.7 the only trace of an alarm",
        "A probe of /health says that an alarm is on. Without a probe, 3.6 and 3.7 say nothing.",
        &[
            form(Msg("serving /health false due to an alarm"), r#"{"level":"warn","ts":"2026-11-21T20:08:17.656086Z","caller":"etcdhttp/health.go:202","msg":"serving /health false due to an alarm","alarm":"memberID:11544984024142947402 alarm:NOSPACE "}"#),
            form(Code, r#"{"level":"error","ts":"2024-03-13T08:46:25.065000Z","caller":"etcdhttp/health.go:280","msg":"Health check error","path":"/readyz","reason":"[-]data_corruption failed: alarm activated: CORRUPT\n[+]serializable_read ok\n","status-code":503}"#),
            form(Text("/health error due to an alarm memberID:{memberID} alarm:{alarm-type}"), "2019-11-21 19:35:38.242465 W | etcdserver/api/etcdhttp: /health error due to an alarm memberID:2587294181814879189 alarm:NOSPACE "),
            form(Text("/health error due to memberID:{memberID} alarm:{alarm-type}"), "2026-11-21 19:35:38.242465 W | etcdserver/api/etcdhttp: /health error due to memberID:2587294181814879189 alarm:NOSPACE "),
            form(Code, r#"{"level":"warn","ts":"2026-11-21T20:08:17.656193Z","caller":"etcdhttp/health.go:101","msg":"/health error","output":"{\"health\":\"false\",\"reason\":\"ALARM NOSPACE\"}","status-code":503}"#),
        ],
        &[
            field("alarm", Txt("alarm"), "NOSPACE or CORRUPT"),
            field("memberID", Txt("peer"), "hexadecimal here, decimal in the line"),
            field("output", Txt("reason"), ""),
            field("status-code", Status, ""),
        ],
    )
    .by(Extractor::Health),
    row(
        "grpc-status-changed", Etcd, Info, Change, "3.5.14+, 3.6, 3.7",
        "The gRPC health service changed; NOT_SERVING while defragmenting, where that option is on.",
        &[form(Msg("grpc service status changed"), r#"{"level":"info","ts":"2026-11-21T20:04:04.119404Z","caller":"v3rpc/health.go:63","msg":"grpc service status changed","service":"","status":"SERVING"}"#)],
        &[field("status", Txt("status"), "")],
    ),
    row(
        "auth-failed", Etcd, Warn, Symptom, "all",
        "A client's token or password was refused.",
        &[
            form(Msg("invalid auth token"), r#"{"level":"warn","ts":"2026-11-21T20:04:04.119404Z","caller":"auth/store.go:1045","msg":"invalid auth token","token":"x"}"#),
            form(Msg("failed to authenticate"), r#"{"level":"warn","ts":"2026-11-21T20:04:04.119404Z","caller":"auth/store.go:360","msg":"failed to authenticate","user-name":"root","error":"etcdserver: authentication failed, invalid user ID or password"}"#),
            form(Text("authentication failed, invalid password for user {user-name}"), "2019-11-21 19:35:38.242465 N | auth: authentication failed, invalid password for user root"),
            form(Text("invalid auth token"), "2019-11-21 19:35:38.242465 W | auth: invalid auth token: x"),
        ],
        &[field("user-name", Txt("user"), ""), ERROR],
    ),
    row(
        "too-many-open-files", Unknown, Fatal, Fault, "all",
        "The process or the host ran out of file descriptors.",
        &[form(Find("too many open files"), "2021-12-27 08:49:13.294184 C | etcdmain: accept tcp [::]:2380: accept4: too many open files in system")],
        &[ERROR],
    )
    .by(Extractor::Around),
    row(
        "fatal-exit", Etcd, Fatal, Fault, "all",
        "etcd ended in order because something that it needs to start is not so: an address in use, data of a newer release, too few open files, members that do not answer. It did not crash.",
        &[
            form(Code, r#"{"level":"fatal","ts":"2024-05-14T20:27:15.085646Z","caller":"etcdmain/etcd.go:204","msg":"discovery failed","error":"cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs"}"#),
            form(Code, "2019-03-04 10:00:00.000066 C | etcdmain: cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs"),
            form(Code, r#"{"level":"fatal","ts":"2026-11-29T16:45:51.560Z","caller":"membership/cluster.go:795","msg":"invalid downgrade; server version is lower than determined cluster version","current-server-version":"3.4.23","determined-cluster-version":"3.5"}"#),
            form(Code, r#"{"level":"fatal","ts":"2026-11-29T16:46:00.353Z","caller":"etcdmain/etcd.go:203","msg":"discovery failed","error":"listen tcp 127.0.0.1:2380: bind: address already in use"}"#),
            form(Code, r#"{"level":"fatal","ts":"2026-11-29T16:46:07.980Z","caller":"embed/etcd.go:644","msg":"file descriptor limit of etcd process is too low; please set higher","limit":45,"recommended-limit":150}"#),
        ],
        &[ERROR],
    )
    .by(Extractor::Crash),
    row(
        "panic", Unknown, Fatal, Fault, "all",
        "A program ended by itself: Go's panic with its dump, a signal that made Go write one, or a line of the level fatal or panic whose cause the catalogue does not know. Both at once are mostly one crash.",
        &[
            form(Find("^panic: {error}"), "panic: runtime error: invalid memory address or nil pointer dereference"),
            form(Find("^fatal error: {error}"), "fatal error: runtime: out of memory"),
            form(Find("^runtime: out of memory"), "runtime: out of memory: cannot allocate 4194304-byte block"),
            form(Code, "unexpected fault address 0xc0f7a2d000\nfatal error: fault\n[signal SIGSEGV: segmentation violation code=0x1 addr=0xc0f7a2d000 pc=0x9e2b65]"),
            form(Code, "SIGABRT: abort\nPC=0x46c3a1 m=0 sigcode=0"),
            form(Code, r#"{"level":"panic","ts":"2024-05-14T20:27:13.085646Z","caller":"membership/cluster.go:506","msg":"unexpected removal of unknown remote peer","remote-peer-id":"99eab3685d8363a1"}"#),
            form(Code, "2019-03-04 10:00:00.000066 C | etcdmain: create wal error: file already exists"),
            form(Code, "F1120 10:00:21.000000       1 instance.go:226] Error creating leases: error creating storage factory: context deadline exceeded"),
            form(Code, r#"time="2026-03-06T10:00:06Z" level=fatal msg="starting kubernetes: preparing server: failed to bootstrap cluster data""#),
        ],
        &[ERROR],
    )
    .by(Extractor::Crash),
    row(
        "journald-suppressed", Unknown, Notice, Symptom, "journald with its rate limit",
        "The journal threw messages away: counts of this time are a floor.",
        &[form(Find("^Suppressed {count:int} messages from {unit}"), "Suppressed 4127 messages from etcd.service")],
        &[
            field("count", Int("count"), "how many are missing"),
            field("unit", Txt("unit"), ""),
        ],
    ),
    row(
        "serving", Etcd, Info, Noise, "all",
        "An endpoint is served.",
        &[
            form(Msg("serving client traffic securely"), r#"{"level":"info","ts":"2023-09-03T16:55:11.4992Z","caller":"embed/serve.go:250","msg":"serving client traffic securely","traffic":"grpc+http","address":"192.168.92.129:2379"}"#),
            form(Msg("serving client traffic insecurely; this is strongly discouraged!"), r#"{"level":"info","ts":"2026-11-21T20:04:04.120291Z","caller":"embed/serve.go:222","msg":"serving client traffic insecurely; this is strongly discouraged!","traffic":"grpc+http","address":"127.0.0.1:45010"}"#),
        ],
        &[field("address", Txt("address"), "")],
    ),
];
