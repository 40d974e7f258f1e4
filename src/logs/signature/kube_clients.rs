//! Kubernetes clients: their own throttling, leader election, watches; and the etcd client that
//! kube-apiserver embeds.

use crate::logs::event::Component::{Apiserver, Unknown};
use crate::logs::record::Level::{Error as Err, Info, Warn};

use super::types::How::{Client, Code, Find, Klog};
use super::types::Nature::{Change, Fault, Noise, Symptom};
use super::types::Role::{Error, Int, Lease, Text as Txt, Took, Url, Verb};
use super::types::{Extractor, Field, Signature, field, form, row};

const ERR: Field = field("err", Error, "");
const ERROR: Field = field("error", Error, "in texts");
const LOCK: Field = field("lock", Lease, "the Lease that the replicas compete for");
const DELAY: Field = field("took", Took, "how long the request was held back");
const VERB: Field = field("verb", Verb, "");
const TARGET: Field = field("target", Url, "its URL");

pub(super) static TABLE: &[Signature] = &[
    row(
        "client-throttled", Unknown, Info, Symptom, "client-go: up to 0.20, 0.21 to 0.32, 0.33+: three wordings",
        "The client's own rate limiter (QPS, burst) held a request back. Written for delays above 1 s, through a rate-limited logger: the count is a floor, the largest delay is what to read.",
        &[
            form(Find("Throttling request took {took}, request: {verb}:{target}"), "I0706 09:23:08.710529       1 request.go:645] Throttling request took 1.032290619s, request: GET:https://10.96.0.1:443/apis/apps/v1/namespaces/a/deployments/b?timeout=32s"),
            form(Find("Waited for {took} due to client-side throttling, not priority and fairness, request: {verb}:{target}"), "I1202 03:21:38.792986   66884 request.go:697] Waited for 1.000577592s due to client-side throttling, not priority and fairness, request: POST:https://127.0.0.1:34721/api/v1/namespaces/default/pods/nginx-7c79c4bf97-2kv48/eviction"),
            form(Klog("Waited before sending request"), r#"I0205 13:35:21.293404 4121569 request.go:752] "Waited before sending request" delay="1.200875613s" reason="client-side throttling, not priority and fairness" verb="POST" URL="https://cp1.lab.local:6443/api/v1/namespaces/longhorn-system/pods/csi-resizer-1/eviction""#),
            // slog, logrus.
            form(Code, r#"{"time":"2026-03-06T10:00:06.123Z","level":"INFO","msg":"Waited before sending request","delay":"1.5s","reason":"client-side throttling, not priority and fairness","verb":"GET","URL":"https://10.0.0.1:6443/api/v1/nodes"}"#),
            form(Code, r#"level=info ts=2026-03-06T10:00:06.123Z caller=request.go:752 msg="Waited before sending request" delay=1.5s reason="client-side throttling, not priority and fairness" verb=GET URL=https://10.0.0.1:6443/api/v1/nodes"#),
            // The middle of the line may be elided.
            form(Find("Throttling request took "), "I0305 05:46:20.660498   29706 request.go:530] Throttling request took ...t=32s"),
        ],
        &[
            DELAY,
            field("delay", Took, "structured wording"),
            VERB,
            TARGET,
            field("URL", Url, "structured wording"),
        ],
    )
    .by(Extractor::Waited),
    row(
        "server-wait", Unknown, Info, Symptom, "client-go 0.21+",
        "A request waited because the server had asked for it (429 or 503 with Retry-After).",
        &[
            form(Find("Waited for {took}, {reason} - request: {verb}:{target}"), "I1202 03:21:38.792986   66884 request.go:697] Waited for 1s, retry-after due to 429 - request: GET:https://127.0.0.1:34721/api/v1/pods?limit=500"),
            form(Code, r#"I0205 13:35:21.293404 4121569 request.go:752] "Waited before sending request" delay="1.200875613s" reason="retries: 1, retry-after: 1s - retry-reason: 429" verb="GET" URL="https://cp1:6443/api/v1/pods""#),
        ],
        &[DELAY, VERB, TARGET, field("reason", Txt("reason"), "")],
    )
    .by(Extractor::Waited),
    row(
        "client-limiter-error", Unknown, Err, Fault, "client-go 0.24+",
        "The client's own rate limiter held a request back until its deadline: it was never sent.",
        &[form(Find("client rate limiter Wait returned an error: {error}"), r#"E0316 23:04:52.328801       1 leaderelection.go:332] error retrieving resource lock kube-system/kube-scheduler: client rate limiter Wait returned an error: context deadline exceeded"#)],
        &[ERROR],
    ),
    row(
        "leaderelection-acquiring", Unknown, Info, Change, "all",
        "A replica begins to compete for the lease.",
        &[
            form(Klog("Attempting to acquire leader lease..."), r#"I1121 20:50:58.403198    1559 leaderelection.go:258] "Attempting to acquire leader lease..." lock="kube-system/kube-controller-manager""#),
            form(Find("^attempting to acquire leader lease {lock}"), "I1121 20:50:58.403198    1559 leaderelection.go:248] attempting to acquire leader lease kube-system/kube-scheduler..."),
        ],
        &[LOCK],
    ),
    row(
        "leaderelection-acquired", Unknown, Info, Change, "all",
        "A replica holds the lease and works.",
        &[
            form(Klog("Successfully acquired lease"), r#"I1121 20:50:58.412530    1559 leaderelection.go:272] "Successfully acquired lease" lock="kube-system/kube-controller-manager""#),
            form(Find("^successfully acquired lease {lock}"), "I1121 20:50:58.403198    1559 leaderelection.go:258] successfully acquired lease kube-system/kube-scheduler"),
        ],
        &[LOCK],
    ),
    row(
        "leaderelection-renew-failed", Unknown, Info, Fault, "all",
        "Renewals of the lease failed for ten seconds: the leader will give up. A sure sign of a stalled apiserver or etcd.",
        &[
            form(Klog("Failed to renew lease"), r#"I0316 23:05:24.718342       1 leaderelection.go:299] "Failed to renew lease" lock="kube-system/kube-controller-manager" err="context deadline exceeded""#),
            form(Find("^failed to renew lease {lock}: {error}"), "I0325 11:08:47.205695       1 leaderelection.go:278] failed to renew lease kube-system/kube-controller-manager: timed out waiting for the condition"),
            form(Find("^failed to tryAcquireOrRenew {error}"), "I0325 11:08:47.205695       1 leaderelection.go:278] failed to tryAcquireOrRenew context deadline exceeded"),
        ],
        &[LOCK, ERR, ERROR],
    ),
    row(
        "leaderelection-lost", Unknown, Err, Fault, "all",
        "The leader lost its lease and exits.",
        &[
            form(Klog("leaderelection lost"), r#"E0316 23:05:24.718660       1 controllermanager.go:368] "leaderelection lost""#),
            form(Klog("leaderelection lost/stopped"), r#"E1006 21:30:01.841918       1 controllermanager.go:413] "leaderelection lost/stopped""#),
            form(Klog("Leaderelection lost"), r#"E1006 21:30:01.841918       1 server.go:300] "Leaderelection lost""#),
            form(Find("^leaderelection lost"), "F0325 11:08:47.205929       1 controllermanager.go:294] leaderelection lost"),
            // csi-lib-utils, with its own `stopped leading` in lower case.
            form(Find("^stopped leading"), "F0117 11:11:11.212909       1 leader_election.go:182] stopped leading"),
            form(Find("leader election lost"), "F0325 11:08:47.205929       1 main.go:294] leader election lost"),
            // controller-runtime returns it as an error, which the program's last line names.
            form(Code, r#"{"level":"error","ts":"2026-03-06T10:00:12.1Z","logger":"setup","msg":"problem running manager","error":"leader election lost","stacktrace":"main.main"}"#),
            form(Code, r#"E0306 10:00:12.000001       1 main.go:340] "problem running manager" err="leader election lost" logger="setup""#),
            form(Code, "2026-03-06T10:00:13.123Z\tERROR\tsetup\tproblem running manager\t{\"error\": \"leader election lost\"}"),
            form(Code, r#"time=2026-03-06T10:00:13.123Z level=ERROR msg="problem running manager" err="leader election lost""#),
        ],
        &[],
    ),
    row(
        "leaderelection-slow-path", Unknown, Info, Noise, "1.30+",
        "An optimistic update of the lease failed and the full one follows: no failure by itself.",
        &[
            form(Klog("Failed to update lease optimistically, falling back to slow path"), r#"E0316 23:05:19.718364       1 leaderelection.go:445] "Failed to update lease optimistically, falling back to slow path" err="context deadline exceeded" lock="kube-system/kube-controller-manager""#),
            form(Find("^Failed to update lock optim{_}: {error}, falling back to slow path"), "E0316 23:05:19.718364       1 leaderelection.go:429] Failed to update lock optimitically: context deadline exceeded, falling back to slow path"),
        ],
        &[LOCK, ERR, ERROR],
    )
    .by(Extractor::Lock),
    row(
        "leaderelection-lock-error", Unknown, Err, Symptom, "all",
        "The lease could not be read or written this time.",
        &[
            form(Klog("Error retrieving lease lock"), r#"E0316 23:04:52.328801       1 leaderelection.go:452] "Error retrieving lease lock" err="Get \"https://192.168.1.15:6443/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager?timeout=5s\": context deadline exceeded" lock="kube-system/kube-controller-manager""#),
            form(Find("^error retrieving resource lock {lock}: {error}"), r#"E0325 11:08:47.205570       1 leaderelection.go:325] error retrieving resource lock kube-system/kube-controller-manager: Get "https://192.168.10.50:6443/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager?timeout=10s": context deadline exceeded"#),
            form(Code, r#"E0316 23:05:06.287650       1 leaderelection.go:488] "Failed to update lease" err="the server was unable to return a response in the time allotted, but may still be processing the request (put leases.coordination.k8s.io kube-controller-manager)" lock="kube-system/kube-controller-manager""#),
            form(Find("^Failed to update lock: {error}"), "E0325 11:08:47.205570       1 leaderelection.go:361] Failed to update lock: Put \"https://192.168.10.50:6443/x\": context deadline exceeded"),
            form(Code, r#"E0325 11:08:47.205570       1 leaderelection.go:320] error retrieving resource lock kube-system/kube-scheduler: Get https://192.168.10.50:6443/api/v1/namespaces/kube-system/endpoints/kube-scheduler?timeout=10s: context deadline exceeded"#),
        ],
        &[LOCK, ERR, ERROR],
    )
    .by(Extractor::Lock),
    row(
        "lease-update-failed", Unknown, Err, Symptom, "all",
        "A lease could not be renewed: a node's heartbeat or an apiserver's identity.",
        &[
            form(Klog("Failed to update lease"), r#"E0316 23:05:06.287650       1 controller.go:251] "Failed to update lease" err="context deadline exceeded""#),
            form(Klog("Failed to ensure lease exists, will retry"), r#"E0316 23:05:06.287650       1 controller.go:145] "Failed to ensure lease exists, will retry" err="namespaces \"kube-system\" not found" interval="200ms""#),
            form(Klog("Unable to delete lease"), r#"E0316 23:05:06.287650       1 controller.go:145] "Unable to delete lease" err="x" lease="kube-system/apiserver-x""#),
        ],
        &[field("lease", Lease, ""), ERR],
    )
    .by(Extractor::Around),
    row(
        "lease-update-conflict", Unknown, Err, Noise, "all",
        "Somebody else had changed the lease; it is read and renewed anew at once.",
        &[form(Code, r#"E0316 23:05:06.287650       1 controller.go:251] "Failed to update lease" err="Operation cannot be fulfilled on leases.coordination.k8s.io \"a\": the object has been modified; please apply your changes to the latest version and try again""#)],
        &[ERR],
    )
    .by(Extractor::Around),
    row(
        "reflector-list-failed", Unknown, Warn, Symptom, "all",
        "A watch cache could not list what it watches.",
        &[
            form(Find("failed to list {type}: {error}"), r#"W0503 06:23:23.804106      15 reflector.go:539] k8s.io/client-go/informers/factory.go:150: failed to list *v1.Node: Get "https://10.0.0.1:6443/api/v1/nodes?limit=500&resourceVersion=0": dial tcp 10.0.0.1:6443: connect: connection refused"#),
            form(Find("Failed to list {type}: {error}"), r#"E0503 06:23:23.804106      15 reflector.go:126] k8s.io/client-go/informers/factory.go:133: Failed to list *v1.Node: connection refused"#),
            form(Code, r#"E1120 10:00:07.000022       1 reflector.go:205] "Failed to watch" err="failed to list *v1.Node: Get \"https://10.0.0.1:6443/api/v1/nodes?limit=500\": dial tcp 10.0.0.1:6443: connect: connection refused" logger="UnhandledError" reflector="k8s.io/client-go/informers/factory.go:160" type="*v1.Node""#),
        ],
        &[field("type", Txt("object_type"), ""), ERROR],
    ),
    row(
        "reflector-watch-failed", Unknown, Err, Symptom, "all",
        "A watch could not be opened.",
        &[
            form(Find("Failed to watch {type}: {error}"), r#"E0503 06:23:23.804106      15 reflector.go:147] k8s.io/client-go/informers/factory.go:150: Failed to watch *v1.Pod: unknown (get pods)"#),
            form(Klog("Failed to watch"), r#"E0503 06:23:23.804106      15 reflector.go:200] "Failed to watch" err="context deadline exceeded" logger="UnhandledError" reflector="k8s.io/client-go/informers/factory.go:160" type="*v1.Pod""#),
        ],
        &[field("type", Txt("object_type"), ""), ERR, ERROR],
    ),
    row(
        "reflector-watch-refused", Unknown, Info, Noise, "all",
        "The apiserver put a watch off (429), as it does while its watch cache is not filled yet.",
        &[
            form(Klog("Watch returned 429 - backing off"), r#"I0114 13:59:06.123456       1 reflector.go:568] "Watch returned 429 - backing off" reflector="k8s.io/client-go/informers/factory.go:160" type="*v1.Pod""#),
            form(Find("returned 429 - backing off"), "W0114 13:59:07.123456       1 reflector.go:568] k8s.io/client-go/informers/factory.go:134: watch of *v1.Pod returned 429 - backing off"),
        ],
        &[],
    ),
    row(
        "reflector-watch-ended", Unknown, Warn, Noise, "all",
        "A watch ended and is opened again. Many at once mean that the apiserver went away.",
        &[
            form(Find("watch of {type} ended with: {error}"), r#"W0503 06:23:23.804106      15 reflector.go:484] k8s.io/client-go/informers/factory.go:160: watch of *v1.Pod ended with: very short watch: Unexpected watch close - watch lasted less than a second and no items received"#),
            form(Klog("Warning: watch ended with error"), r#"I0503 06:23:23.804106      15 reflector.go:580] "Warning: watch ended with error" reflector="x" type="*v1.Pod" err="an error on the server (\"unable to decode an event from the watch stream: http2: client connection lost\")""#),
        ],
        &[field("type", Txt("object_type"), ""), ERR, ERROR],
    ),
    row(
        "workqueue-retry", Unknown, Err, Symptom, "all",
        "A controller failed to bring one object in order and tries again.",
        &[
            form(Find("rror syncing {_} \"{object}\": {error}"), r#"E0503 06:23:23.804106      15 replica_set.go:560] error syncing ReplicaSet "apps/web-1": Operation cannot be fulfilled on replicasets.apps"#),
            form(Find("rror syncing '{object}': {error}"), r#"E0503 06:23:23.804106      15 controller.go:114] error syncing 'node-7': failed to patch node CIDR"#),
            form(Klog("Error syncing deployment"), r#"I1121 20:30:09.815754   21531 deployment_controller.go:500] "Error syncing deployment" deployment="apps/web-1" err="Operation cannot be fulfilled on deployments.apps \"web-1\": the object has been modified; please apply your changes to the latest version and try again""#),
        ],
        &[field("object", Txt("object"), ""), field("deployment", Txt("object"), ""), ERR, ERROR],
    ),
    row(
        "grpc-connect-canceled", Unknown, Warn, Noise, "all",
        "A gRPC client gave up a connection by itself, as it does when it starts, stops or balances.",
        &[
            form(Find("addrConn.createTransport failed to connect to {_}operation was canceled"), r#"W1121 20:50:58.403198    1559 logging.go:55] [core] [Channel #4 SubChannel #6] grpc: addrConn.createTransport failed to connect to {Addr: "127.0.0.1:2379", }. Err: connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:2379: operation was canceled""#),
            form(Find("addrConn.createTransport failed to connect to {_}context canceled"), r#"W1121 20:50:58.403198    1559 logging.go:55] [core] [Channel #4 SubChannel #6] grpc: addrConn.createTransport failed to connect to {Addr: "127.0.0.1:2379", }. Err: connection error: desc = "transport: authentication handshake failed: context canceled""#),
            form(Find("addrConn.createTransport failed to connect to {_}use of closed network connection"), r#"W1121 20:50:58.403198    1559 logging.go:55] [core] [Channel #4 SubChannel #6] grpc: addrConn.createTransport failed to connect to {Addr: "127.0.0.1:2379", }. Err: connection error: desc = "error reading server preface: read tcp 127.0.0.1:1->127.0.0.1:2379: use of closed network connection""#),
        ],
        &[],
    ),
    row(
        "grpc-connect-failed", Unknown, Warn, Fault, "all",
        "A gRPC client, mostly of etcd, cannot reach its server.",
        &[
            form(Find("addrConn.createTransport failed to connect to {to}. Err :{error}. Reconnecting..."), r#"W0114 13:59:01.123456       1 clientconn.go:1223] grpc: addrConn.createTransport failed to connect to {https://127.0.0.1:2379  <nil> 0 <nil>}. Err :connection error: desc = "transport: Error while dialing dial tcp 127.0.0.1:2379: connect: connection refused". Reconnecting..."#),
            form(Find("addrConn.createTransport failed to connect to {to}. Err: {error}"), "WARNING: 2022/11/21 02:37:42 [core] grpc: addrConn.createTransport failed to connect to {127.0.0.1:2379 127.0.0.1 <nil> 0 <nil>}. Err: connection error: desc = \"transport: Error while dialing dial tcp 127.0.0.1:2379: connect: connection refused\""),
        ],
        &[field("to", Txt("to"), ""), ERROR],
    ),
    row(
        "etcd-client-retry", Apiserver, Warn, Symptom, "etcd client 3.4 to 3.7 inside another program",
        "kube-apiserver's etcd client repeats a call that failed. Not a line of the server.",
        &[form(Client("retrying of unary invoker failed"), r#"{"level":"warn","ts":"2026-03-16T23:08:23.946036Z","logger":"etcd-client","caller":"v3@v3.6.5/retry_interceptor.go:65","msg":"retrying of unary invoker failed","target":"etcd-endpoints://0xc00088cd20/192.168.1.15:2379","method":"/etcdserverpb.KV/Range","attempt":0,"error":"rpc error: code = DeadlineExceeded desc = context deadline exceeded"}"#)],
        &[
            field("method", Txt("method"), "gRPC method"),
            field("target", Txt("target"), ""),
            field("attempt", Int("attempt"), ""),
            ERROR,
        ],
    )
    .by(Extractor::ClientRetry),
    row(
        "etcd-client-canceled", Apiserver, Warn, Noise, "etcd client 3.4 to 3.7 inside another program",
        "A call of the etcd client that its caller gave up, as at a stop.",
        &[form(Code, r#"{"level":"warn","ts":"2026-03-16T23:08:23.946036Z","logger":"etcd-client","caller":"v3@v3.6.5/retry_interceptor.go:65","msg":"retrying of unary invoker failed","target":"etcd-endpoints://0xc00088cd20/192.168.1.15:2379","method":"/etcdserverpb.KV/Range","attempt":0,"error":"rpc error: code = Canceled desc = grpc: the client connection is closing"}"#)],
        &[
            field("method", Txt("method"), ""),
            field("target", Txt("target"), ""),
            field("attempt", Int("attempt"), ""),
            ERROR,
        ],
    )
    .by(Extractor::ClientRetry),
    row(
        "etcd-client-answered", Apiserver, Warn, Noise, "etcd client 3.4 to 3.7 inside another program",
        "etcd's answer was no: a revision that was compacted away, a lease that is gone. The caller asks anew.",
        &[form(Code, r#"{"level":"warn","ts":"2026-03-16T23:08:23.946036Z","logger":"etcd-client","caller":"v3@v3.6.5/retry_interceptor.go:65","msg":"retrying of unary invoker failed","target":"etcd-endpoints://0xc00088cd20/192.168.1.15:2379","method":"/etcdserverpb.KV/Range","attempt":0,"error":"rpc error: code = OutOfRange desc = etcdserver: mvcc: required revision has been compacted"}"#)],
        &[
            field("method", Txt("method"), ""),
            field("target", Txt("target"), ""),
            field("attempt", Int("attempt"), ""),
            ERROR,
        ],
    )
    .by(Extractor::ClientRetry),
    row(
        "etcd-client-keepalive-full", Apiserver, Warn, Symptom, "etcd client 3.4 to 3.7 inside another program",
        "Nobody takes the answers to a lease's keep-alives: the client program is held up.",
        &[form(Client("lease keepalive response queue is full; dropping response send"), r#"{"level":"warn","ts":"2026-03-16T23:08:23.946036Z","logger":"etcd-client","caller":"v3@v3.6.5/lease.go:500","msg":"lease keepalive response queue is full; dropping response send","queue-size":16,"queue-capacity":16}"#)],
        &[field("queue-size", Int("queue"), "")],
    ),
];
