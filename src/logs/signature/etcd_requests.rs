//! etcd: single requests.

use crate::logs::event::Component;
use crate::logs::record::Level;

use super::types::{Extractor, Field, How, Nature, Role, Signature, field, form};

/// Fields of a trace of the loop that serves linearizable reads.
const LOOP: &[Field] = &[
    field("duration", Role::Took, ""),
    field("steps", Role::Text("step"), "the longest step"),
    field("steps", Role::Ms("step_ms"), "its duration"),
];

const APPLY: &[Field] = &[
    field(
        "took",
        Role::Took,
        "time to apply; of linearizable ranges, with the wait for the read index",
    ),
    field(
        "expected-duration",
        Role::Expected,
        "the threshold (zap only)",
    ),
    field("request", Role::Request, "the request's text"),
    field("response", Role::Response, "the answer's text"),
    field("error", Role::Error, "why it failed"),
];

pub(super) static TABLE: &[Signature] = &[
    Signature {
        id: "slow-apply",
        component: Component::Etcd,
        level: Level::Warn,
        nature: Nature::Request,
        versions: "3.1.18+, 3.2.23+, 3.3.1+, 3.4 to 3.7",
        doc: "A request took longer to apply than the threshold (100 ms by default).",
        forms: &[
            form(
                How::Msg("apply request took too long"),
                r#"{"level":"warn","ts":"2023-03-13T08:46:25.065Z","caller":"etcdserver/util.go:166","msg":"apply request took too long","took":"101.221909ms","expected-duration":"100ms","prefix":"read-only range ","request":"key:\"/registry/replicasets/apps/\" range_end:\"/registry/replicasets/apps0\" ","response":"range_response_count:2849 size:12995415","error":"context canceled"}"#,
            ),
            form(
                How::Text("read-only range request \""),
                r#"2021-05-14 16:47:40.512613 W | etcdserver: read-only range request "key:\"/registry/leases/kube-system/kube-controller-manager\" " with result "range_response_count:1 size:506" took too long (2.261772101s) to execute"#,
            ),
            form(
                How::Text("read-only txn request \""),
                r#"2021-05-14 16:47:40.512613 W | etcdserver: read-only txn request "compare:<> success:<request_range:<key:\"/registry/pods/a/b\" > > failure:<>" with result "responses:<range_response_count:1> size:4155" took too long (261.7ms) to execute"#,
            ),
            form(
                How::Text("request \""),
                r#"2021-05-14 16:47:40.482463 W | etcdserver: request "header:<ID:11233518338286848764 > lease_grant:<ttl:15-second id:1be57969336c8afb>" with result "size:43" took too long (411.876518ms) to execute"#,
            ),
            form(
                How::Find(" took too long ("),
                r#"nt:1 size:518" took too long (395.546629ms) to execute"#,
            ),
        ],
        fields: APPLY,
        extractor: Extractor::Apply,
    },
    Signature {
        id: "request-logged",
        component: Component::Etcd,
        level: Level::Info,
        nature: Nature::Request,
        versions: "patched servers (kubemark)",
        doc: "A request of any duration, logged by a server patched to log all of them.",
        forms: &[form(
            How::Code,
            r#"2020-09-25 20:25:29.188661 I | etcdserver: request "header:<ID:10636223341819497370 > txn:<compare:<target:MOD key:\"/registry/deployments/test/d-0\" mod_revision:156142 > success:<request_delete_range:<key:\"/registry/deployments/test/d-0\" > > failure:<>>" with result "size:20" took (211.829µs) to execute"#,
        )],
        fields: &[
            field("took", Role::Took, ""),
            field("request", Role::Request, ""),
            field("response", Role::Response, ""),
        ],
        extractor: Extractor::Apply,
    },
    Signature {
        id: "failed-apply",
        component: Component::Etcd,
        level: Level::Warn,
        nature: Nature::Symptom,
        versions: "3.3.2x, 3.4.8+, 3.5 to 3.7",
        doc: "A request could not be applied; independent of its duration, and no slow request.",
        forms: &[
            form(
                How::Msg("failed to apply request"),
                r#"{"level":"warn","ts":"2022-04-21T11:25:40.672Z","caller":"etcdserver/util.go:121","msg":"failed to apply request","took":"656.527µs","request":"header:<ID:16984622604441375451 > lease_revoke:<id:6bb5804535cc52be>","response":"size:30","error":"lease not found"}"#,
            ),
            form(
                How::Text("failed to apply request \""),
                r#"2021-05-14 16:47:40.482463 W | etcdserver: failed to apply request "header:<ID:1 > lease_revoke:<id:6bb5804535cc52be>" with response "size:30" took (57.79µs) to execute, err is lease not found"#,
            ),
            form(
                How::Text("failed to apply request,took "),
                "2021-05-14 16:47:40.482463 W | etcdserver: failed to apply request,took 57.79µs,request header:<ID:1 > lease_revoke:<id:6bb5804535cc52be> ,resp size:30,err is lease not found",
            ),
        ],
        fields: &[
            field("took", Role::Took, ""),
            field("request", Role::Request, ""),
            field("response", Role::Response, "also set on some errors"),
            field("error", Role::Error, ""),
        ],
        extractor: Extractor::Apply,
    },
    Signature {
        id: "request-stats",
        component: Component::Etcd,
        level: Level::Warn,
        nature: Nature::Request,
        versions: "3.3 and 3.4 at debug level; 3.5 to 3.7 above 300 ms, all at debug level",
        doc: "One unary call: the only etcd line with the client's address.",
        forms: &[
            form(
                How::Msg("request stats"),
                r#"{"level":"warn","ts":"2023-03-14T01:41:03.397Z","caller":"v3rpc/interceptor.go:197","msg":"request stats","start time":"2023-03-14T01:41:03.090Z","time spent":"307.305871ms","remote":"127.0.0.1:28932","response type":"/etcdserverpb.KV/Range","request count":0,"request size":56,"response count":2028,"response size":1332819,"request content":"key:\"/registry/events/apps/\" range_end:\"/registry/events/apps0\" "}"#,
            ),
            form(
                How::Text(
                    "start time = {_}, time spent = {time spent}, remote = {remote}, response type = {response type}, request count = {_}, request size = {request size}, response count = {response count}, response size = {response size}, request content = {request content}",
                ),
                r#"2026-11-21 19:32:27.311694 D | etcdserver/api/v3rpc: start time = 2026-11-21 19:32:27.309541721 +0000 UTC m=+0.945779781, time spent = 2.128842ms, remote = 127.0.0.1:47252, response type = /etcdserverpb.KV/Range, request count = 0, request size = 56, response count = 5, response size = 37, request content = key:"/registry/pods/" range_end:"/registry/pods0" "#,
            ),
        ],
        fields: &[
            field("time spent", Role::Took, "with queueing outside apply"),
            field("remote", Role::Client, "the client's address"),
            field("response type", Role::Text("method"), "gRPC method"),
            field(
                "response count",
                Role::ResponseCount,
                "of ranges, all that match, also for counts and limited lists",
            ),
            field("response size", Role::ResponseSize, ""),
            field("request size", Role::Int("request_size"), ""),
            field("request content", Role::Request, ""),
        ],
        extractor: Extractor::Stats,
    },
    Signature {
        id: "trace",
        component: Component::Etcd,
        level: Level::Info,
        nature: Nature::Request,
        versions: "3.4.2+ with zap, 3.5 to 3.7; above 100 ms",
        doc: "Where the time of one request went, step by step.",
        forms: &[
            form(
                How::Text("trace["),
                r#"{"level":"info","ts":"2022-12-23T05:46:45.510Z","caller":"traceutil/trace.go:171","msg":"trace[1289777367] range","detail":"{range_begin:/registry/pods/; range_end:/registry/pods0; response_count:3; response_revision:15133368; }","duration":"125.847593ms","start":"2022-12-23T05:46:45.384Z","end":"2022-12-23T05:46:45.510Z","steps":["trace[1289777367] 'agreement among raft nodes before linearized reading'  (duration: 122.764756ms)"],"step_count":1}"#,
            ),
            form(
                How::Msg("trace"),
                r#"{"level":"info","ts":"2026-11-21T20:04:05.510000Z","caller":"traceutil/trace.go:195","msg":"trace","trace_id":"1289777367","operation":"range","detail":"{range_begin:/registry/pods/; range_end:/registry/pods0; response_count:3; response_revision:15133368; }","duration":"125.847593ms","start":"2022-12-23T05:46:45.384Z","end":"2022-12-23T05:46:45.510Z","steps":["'agreement among raft nodes before linearized reading'  (duration: 122.764756ms)"],"step_count":1}"#,
            ),
        ],
        fields: &[
            field("duration", Role::Took, ""),
            field(
                "detail",
                Role::Request,
                "keys are raw; transactions have none",
            ),
            field("detail", Role::ResponseCount, ""),
            field(
                "steps",
                Role::Agreement,
                "the step `agreement among raft nodes before linearized reading`",
            ),
            field("steps", Role::Text("step"), "the longest step"),
            field("steps", Role::Ms("step_ms"), "its duration"),
        ],
        extractor: Extractor::Trace,
    },
    Signature {
        id: "read-loop-slow",
        component: Component::Etcd,
        level: Level::Info,
        nature: Nature::Symptom,
        versions: "3.4.2+ with zap, 3.5 to 3.7; told apart from 500 ms on",
        doc: "The reads of a member waited for the leader's confirmation of where they stand: one loop serves all that came in meanwhile.",
        forms: &[form(
            How::Code,
            r#"{"level":"info","ts":"2026-11-20T10:00:05.000100Z","caller":"traceutil/trace.go:172","msg":"trace[7] linearizableReadLoop","detail":"{readStateIndex:5; appliedIndex:4; }","duration":"5s","start":"2026-11-20T10:00:00.000Z","end":"2026-11-20T10:00:05.000Z","steps":["trace[7] 'read index received'  (duration: 4.99s)","trace[7] 'applied index is now lower than readState.Index'  (duration: 1ms)"],"step_count":2}"#,
        )],
        fields: LOOP,
        extractor: Extractor::Trace,
    },
    Signature {
        id: "apply-behind",
        component: Component::Etcd,
        level: Level::Info,
        nature: Nature::Symptom,
        versions: "3.4.2+ with zap, 3.5 to 3.7; told apart from 500 ms on",
        doc: "The reads of a member waited for it to apply what the leader had confirmed: it lags.",
        forms: &[form(
            How::Code,
            r#"{"level":"info","ts":"2026-11-20T10:00:05.000100Z","caller":"traceutil/trace.go:172","msg":"trace[7] linearizableReadLoop","detail":"{readStateIndex:5; appliedIndex:4; }","duration":"5s","start":"2026-11-20T10:00:00.000Z","end":"2026-11-20T10:00:05.000Z","steps":["trace[7] 'read index received'  (duration: 1ms)","trace[7] 'applied index is now lower than readState.Index'  (duration: 4.99s)"],"step_count":2}"#,
        )],
        fields: LOOP,
        extractor: Extractor::Trace,
    },
    Signature {
        id: "apply-entries-slow",
        component: Component::Etcd,
        level: Level::Warn,
        nature: Nature::Symptom,
        versions: "3.1, 3.2 up to 3.2.22, 3.3.0",
        doc: "A batch of entries took more than 100 ms to apply; these versions name no key.",
        forms: &[form(
            How::Text("apply entries took too long [{took} for {entries} entries]"),
            "2017-07-10 03:07:35.262082 W | etcdserver: apply entries took too long [13.994439ms for 1 entries]",
        )],
        fields: &[
            field("took", Role::Took, ""),
            field("entries", Role::Int("entries"), ""),
        ],
        extractor: Extractor::Fields,
    },
    Signature {
        id: "apply-entries-hint",
        component: Component::Etcd,
        level: Level::Warn,
        nature: Nature::Noise,
        versions: "3.1 to 3.3.0",
        doc: "The second line of `apply-entries-slow`.",
        forms: &[form(
            How::Text("avoid queries with large range/delete range!"),
            "2017-07-10 03:07:35.262089 W | etcdserver: avoid queries with large range/delete range!",
        )],
        fields: &[],
        extractor: Extractor::Fields,
    },
    Signature {
        id: "apply-debug",
        component: Component::Etcd,
        level: Level::Debug,
        nature: Nature::Request,
        versions: "3.5 to 3.7 at debug level",
        doc: "A raft entry as it is applied. Its text holds whole objects, secrets too: values are never kept.",
        forms: &[
            form(
                How::Msg("applyEntryNormal"),
                r#"{"level":"debug","ts":"2024-12-31T12:04:19.178727Z","caller":"etcdserver/server.go:2282","msg":"applyEntryNormal","raftReq":"header:<ID:11823237772231225757 > put:<key:\"/registry/leases/kube-system/kube-scheduler\" value:\"k8s\\000\" > "}"#,
            ),
            form(
                How::Msg("Applying entries"),
                r#"{"level":"debug","ts":"2024-12-31T12:04:19.17864Z","caller":"etcdserver/server.go:2192","msg":"Applying entries","num-entries":1}"#,
            ),
        ],
        fields: &[
            field("raftReq", Role::Request, ""),
            field("num-entries", Role::Int("entries"), ""),
        ],
        extractor: Extractor::Fields,
    },
];
