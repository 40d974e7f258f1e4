//! kube-apiserver's own lines: slow traces, HTTP log, time-outs, audit; starts of all components.

use crate::logs::event::Component::{Apiserver, ControllerManager, Kubelet, Scheduler, Unknown};
use crate::logs::record::Level::{Error as Err, Info, Warn};

use super::types::How::{Code, Find, Klog};
use super::types::Nature::{Change, Fault, Noise, Request, Symptom};
use super::types::Role::{Agent, Client, Error, Int, Ms, Status, Text as Txt, Took, Url, Verb};
use super::types::{Extractor, Field, Signature, field, form, row};

const ERR: Field = field("err", Error, "");
const METHOD: Field = field("method", Verb, "");
const URI: Field = field("URI", Url, "");
const TRACE: Field = field("trace", Txt("trace"), "joins a header with its steps");
const WHAT: Field = field("what", Txt("what"), "the traced operation");
const TOTAL: Field = field("total time", Took, "");

/// Fields of the HTTP log.
const HTTP: &[Field] = &[
    field("verb", Verb, ""),
    field("URI", Url, ""),
    field("latency", Took, "of watches, their lifetime"),
    field("userAgent", Agent, ""),
    field("srcIP", Client, ""),
    field("resp", Status, "0 when hijacked"),
    field("audit-ID", Txt("audit_id"), ""),
    field("apf_pl", Txt("priority_level"), ""),
    field("apf_fs", Txt("flow_schema"), ""),
    field("apf_init_latency", Ms("queue_ms"), "waited in the queue"),
    field("apf_execution_time", Ms("execution_ms"), ""),
];

pub(super) static TABLE: &[Signature] = &[
    row(
        "apiserver-trace", Apiserver, Info, Request, "all; above 500 ms; v2 and more since 2024",
        "One slow request with who asked: user agent, address, URL. The best line there is for naming the caller of a slow LIST.",
        &[
            form(Find("^Trace["), r#"I0401 06:47:07.032841       1 trace.go:219] Trace[1893148101]: "List" accept:application/json, */*,audit-id:223398123-0b6c,client:172.10.24.12,protocol:HTTP/2.0,resource:pods,scope:namespace,url:/api/v1/namespaces/infer/pods,user-agent: okhttp/v3.12 (linux/amd64) kubernetes/$Format/admin,verb:LIST (01-Apr-2025 06:47:06.490) (total time: 1542ms):"#),
            form(Code, r#"I0505 09:14:11.071205       1 trace.go:76] Trace[394416108]: "List /apis/rbac.authorization.k8s.io/v1/clusterrolebindings" (started: 2019-05-05 09:14:09.261 +0000 UTC m=+3.1) (total time: 1.81s):"#),
            form(Code, r#"I1220 07:32:11.071205       1 trace.go:205] Trace[908013652]: "Get" url:/api/v1/namespaces/default/pods/nginx-19/log,user-agent:kubectl/v1.22.5 (darwin/arm64) kubernetes/5c99e2a,audit-id:cf9bb093,client:192.168.64.1,accept:application/json, */*,protocol:HTTP/2.0 (20-Dec-2022 07:31:25.959) (total time: 45111ms):"#),
        ],
        &[
            TOTAL,
            TRACE,
            WHAT,
            field("verb", Verb, ""),
            field("url", Url, ""),
            field("user-agent", Agent, ""),
            field("client", Client, ""),
            field("audit-id", Txt("audit_id"), ""),
        ],
    )
    .by(Extractor::ApiTrace),
    row(
        "apiserver-storage-trace", Apiserver, Info, Request, "all; above 500 ms",
        "One slow call of the apiserver to etcd.",
        &[
            form(Code, r#"I0331 23:00:06.844303      10 trace.go:205] Trace[484169231]: "List etcd3" key:/pods,resourceVersion:9,resourceVersionMatch:,limit:10000,continue: (31-Mar-2022 23:00:04.575) (total time: 2268ms):"#),
            form(Code, r#"I0606 10:00:07.000001       1 trace.go:76] Trace[1]: "GuaranteedUpdate etcd3: *core.Node" (started: 2018-06-06 10:00:05.1 +0000 UTC m=+1.0) (total time: 1.5s):"#),
            form(Code, r#"I1028 11:17:56.769385     484 trace.go:205] Trace[1920479996]: "GuaranteedUpdate etcd3" type:*v1.Endpoints (28-Oct-2021 11:17:54.460) (total time: 2308ms):"#),
            form(Code, r#"I0331 23:00:06.844303      10 trace.go:205] Trace[484169231]: "List(recursive=true) etcd3" audit-id:a-b,key:/pods,resourceVersion:,resourceVersionMatch:,limit:500,continue: (31-Mar-2024 23:00:04.575) (total time: 2268ms):"#),
        ],
        &[
            TOTAL,
            TRACE,
            WHAT,
            field("key", Url, "without its prefix"),
            field("type", Txt("object_type"), ""),
            field("limit", Int("limit"), ""),
            field("resourceVersion", Txt("resource_version"), ""),
            field("audit-id", Txt("audit_id"), ""),
        ],
    )
    .by(Extractor::ApiTrace),
    row(
        "apiserver-cache-trace", Apiserver, Info, Request, "all; above 500 ms",
        "One slow list that the apiserver answered from its watch cache: its own CPU, not etcd.",
        &[form(Code, r#"I1120 10:00:00.000022       1 trace.go:236] Trace[683]: "cacher list" audit-id:abc,type:deployments.apps (20-Nov-2026 09:59:59.000) (total time: 3800ms):"#)],
        &[
            TOTAL,
            TRACE,
            WHAT,
            field("type", Txt("object_type"), "`resource.group` since 1.27"),
            field("audit-id", Txt("audit_id"), ""),
        ],
    )
    .by(Extractor::ApiTrace),
    row(
        "apiserver-webhook-trace", Apiserver, Info, Request, "all; above 500 ms",
        "One slow call of the apiserver to a webhook: admission, or conversion of a custom resource.",
        &[
            form(Code, r#"I1120 10:00:00.500022       1 trace.go:236] Trace[10000]: "Call mutating webhook" configuration:istio,webhook:sidecar.istio.io,resource:/v1, Resource=pods,subresource:,operation:CREATE,UID:abc (20-Nov-2026 10:00:00.000) (total time: 5800ms):"#),
            form(Code, r#"Trace[1000]: ["Call validating webhook" configuration:policy,webhook:pods.policy.example.com,resource:/v1, Resource=pods,subresource:,operation:CREATE,UID:abc 4201ms (20:30:22.100)"#),
            form(Code, r#"I1120 10:00:00.500022       1 trace.go:236] Trace[10000]: "Call conversion webhook" custom-resource-definition:widgets.example.com,desired-api-version:example.com/v2,object-count:5,UID:abc (20-Nov-2026 10:00:00.000) (total time: 5800ms):"#),
        ],
        &[
            TOTAL,
            TRACE,
            WHAT,
            field("webhook", Txt("webhook"), "or the custom resource"),
            field("operation", Verb, ""),
            field("resource", Url, ""),
        ],
    )
    .by(Extractor::ApiTrace),
    row(
        "component-trace", Unknown, Info, Request, "all",
        "Another slow operation that a Kubernetes component traced.",
        &[form(Code, r#"I0331 23:00:06.844303      10 trace.go:205] Trace[484169231]: "Reflector ListAndWatch" name:k8s.io/client-go/informers/factory.go:134 (31-Mar-2022 22:59:54.575) (total time: 12268ms):"#)],
        &[TOTAL, TRACE, WHAT],
    )
    .by(Extractor::ApiTrace),
    row(
        "apiserver-trace-step", Unknown, Info, Request, "all",
        "A line that follows a trace's header, without one of its own; joined by the trace's number within one stream. It is whose its header is.",
        &[
            form(Code, r#"Trace[908013652]: ---"Writing http response done" 45107ms (07:32:11.071)"#),
            form(Code, "Trace[908013652]: [45.111899611s] [45.111899611s] END"),
        ],
        &[field("duration", Took, ""), TRACE, field("step", Txt("step"), "")],
    )
    .by(Extractor::ApiTraceStep),
    row(
        "http-log", Unknown, Info, Request, "all, at v3; lists and watches told apart since 1.22",
        "One HTTP request. The controller-manager and the scheduler write it for their own /healthz.",
        &[
            form(Klog("HTTP"), r#"I1008 04:37:11.770951       1 httplog.go:132] "HTTP" verb="LIST" URI="/api/v1/pods?limit=500" latency="556.708µs" userAgent="kubectl/v1.24.3 (darwin/arm64) kubernetes/aef86a9" audit-ID="f6579fa5" srcIP="172.18.0.1:60528" apf_pl="exempt" apf_fs="exempt" apf_iseats=1 apf_fseats=0 apf_additionalLatency="0s" apf_init_latency="1ms" apf_execution_time="41.167µs" resp=404"#),
            form(Find("^verb=\"{verb}\" URI=\""), r#"I1008 04:37:11.770951       1 httplog.go:90] verb="GET" URI="/api/v1/pods?limit=500" latency=10.7ms resp=200 UserAgent="kubectl/v1.18.3" srcIP="172.18.0.1:60528": "#),
            form(Find("^GET /"), "I1008 04:37:11.770951       1 httplog.go:90] GET /api/v1/pods?limit=500: (2.3ms) 200 [kubectl/v1.16.3 (linux/amd64) kubernetes/b3cbbae 172.18.0.1:60528]"),
            form(Find("^PUT /"), "I1008 04:37:11.770951       1 httplog.go:90] PUT /api/v1/nodes/a/status: (2.3ms) 200 [kubelet/v1.16.3 172.18.0.1:60528]"),
            form(Find("^POST /"), "I1008 04:37:11.770951       1 httplog.go:90] POST /api/v1/namespaces/a/events: (2.3ms) 201 [kubelet/v1.16.3 172.18.0.1:60528]"),
            form(Find("^PATCH /"), "I1008 04:37:11.770951       1 httplog.go:90] PATCH /api/v1/nodes/a/status: (2.3ms) 200 [kubelet/v1.16.3 172.18.0.1:60528]"),
            form(Find("^DELETE /"), "I1008 04:37:11.770951       1 httplog.go:90] DELETE /api/v1/namespaces/a/pods/b: (2.3ms) 200 [kubelet/v1.16.3 172.18.0.1:60528]"),
        ],
        HTTP,
    )
    .by(Extractor::Http),
    row(
        "http-too-many-requests", Unknown, Info, Symptom, "all, at v3",
        "The HTTP log shows a request answered 429; with its priority level and flow schema where priority and fairness is on. A line of `http-log` is not counted there, too.",
        &[
            form(Code, r#"I1120 10:01:00.000000       1 httplog.go:132] "HTTP" verb="LIST" URI="/api/v1/namespaces/x/configmaps" latency="10ms" userAgent="batchjob/1.0" audit-ID="a-b" srcIP="10.0.0.1:444" apf_pl="workload-low" apf_fs="service-accounts" apf_iseats=10 apf_fseats=0 apf_additionalLatency="0s" apf_init_latency="1ms" apf_execution_time="41.167µs" resp=429"#),
            form(Code, r#"{"ts":1772791209000.123,"caller":"httplog/httplog.go:132","msg":"HTTP","v":3,"verb":"LIST","URI":"/api/v1/pods?limit=500","latency":"1.2s","userAgent":"x/1","audit-ID":"a","srcIP":"10.0.0.1:2","apf_pl":"workload-low","apf_fs":"service-accounts","resp":429}"#),
            form(Code, "I1008 04:37:11.770951       1 httplog.go:90] GET /api/v1/pods?limit=500: (2.3ms) 429 [kubectl/v1.16.3 (linux/amd64) kubernetes/b3cbbae 172.18.0.1:60528]"),
        ],
        HTTP,
    )
    .by(Extractor::Http),
    row(
        "http-timeout", Apiserver, Info, Fault, "all, at v3",
        "The HTTP log shows a request answered 504: it was not done in its time. A line of `http-log` is not counted there, too.",
        &[form(Code, r#"I1120 10:00:00.500022       1 httplog.go:132] "HTTP" verb="LIST" URI="/api/v1/secrets" latency="59.8s" userAgent="badclient/v1" audit-ID="a0" srcIP="10.0.0.9:1234" apf_pl="workload-low" apf_fs="service-accounts" apf_init_latency="1ms" apf_execution_time="59.7s" resp=504"#)],
        HTTP,
    )
    .by(Extractor::Http),
    row(
        "http-server-error", Apiserver, Info, Symptom, "all, at v3",
        "The HTTP log shows a request for a built-in resource answered 500, 503 or another error of the server. A line of `http-log` is not counted there, too.",
        &[
            form(Code, r#"I1120 10:00:00.500022       1 httplog.go:132] "HTTP" verb="LIST" URI="/api/v1/secrets" latency="59.8s" userAgent="badclient/v1" audit-ID="a0" srcIP="10.0.0.9:1234" apf_pl="workload-low" apf_fs="service-accounts" apf_init_latency="1ms" apf_execution_time="59.7s" resp=500 statusStack="x" addedInfo="y""#),
            form(Code, "I1008 04:37:11.770951       1 httplog.go:90] PUT /api/v1/nodes/a/status: (2.3ms) 500 [kubelet/v1.16.3 172.18.0.1:60528]"),
        ],
        HTTP,
    )
    .by(Extractor::Http),
    row(
        "apiserver-timeout", Apiserver, Err, Fault, "1.20+",
        "A handler ran into its deadline, or its client went away.",
        &[
            form(Klog("Timeout or abort while handling"), r#"E0919 22:56:58.072707       1 wrap.go:53] "Timeout or abort while handling" logger="UnhandledError" method="GET" URI="/api/v1/namespaces/kube-system/configmaps/c" auditID="e422a037""#),
            form(Find("timeout or abort while handling: method={method} URI=\"{URI}\" audit-ID=\"{auditID}\""), r#"E0124 21:42:45.057395       1 wrap.go:54] timeout or abort while handling: method=GET URI="/apis/custom.metrics.k8s.io/v1beta1/pods" audit-ID="2635435b""#),
            form(Find("timeout or abort while handling: {method} \"{URI}\""), r#"E0124 21:42:45.057395       1 wrap.go:54] timeout or abort while handling: GET "/api/v1/pods""#),
        ],
        &[METHOD, URI, field("auditID", Txt("audit_id"), "")],
    )
    .by(Extractor::Aborted),
    row(
        "apiserver-watch-ended", Apiserver, Err, Noise, "1.20+",
        "A watch came to the end of its time, or its client left. Not counted as `apiserver-timeout`.",
        &[form(Code, r#"E0211 12:59:19.703718      19 wrap.go:54] timeout or abort while handling: method=GET URI="/apis/route.openshift.io/v1/routes?allowWatchBookmarks=true&resourceVersion=52489&timeout=8m28s&timeoutSeconds=508&watch=true" audit-ID="b0a35b5f""#)],
        &[METHOD, URI, field("auditID", Txt("audit_id"), "")],
    )
    .by(Extractor::Aborted),
    row(
        "panic-recovered", Unknown, Err, Symptom, "all",
        "A Kubernetes component caught a panic of its own and went on: a defect, or, in kube-apiserver, an answer that was broken off because its time was over or its client had left.",
        &[
            form(Klog("Observed a panic"), r#"E0912 11:26:23.990371       1 panic.go:262] "Observed a panic" panic="net/http: abort Handler" panicGoValue="&errors.errorString{s:\"net/http: abort Handler\"}""#),
            form(Find("^Observed a panic: {error}"), "E0810 02:50:37.892721       1 runtime.go:76] Observed a panic: runtime error: invalid memory address or nil pointer dereference"),
            form(Find("^apiserver panic'd on {verb} {url}"), "E0912 11:26:22.990371       1 wrap.go:32] apiserver panic'd on GET /api/v1/secrets?limit=500&resourceVersion=0"),
        ],
        &[field("panic", Error, ""), field("error", Error, ""), field("verb", Verb, ""), field("url", Url, "")],
    ),
    row(
        "apiserver-endpoints-reset", Apiserver, Warn, Change, "all",
        "A kube-apiserver put the addresses of the `kubernetes` service in order, as at its start and when another one comes or goes.",
        &[form(Find("^Resetting endpoints for master service {_} to {addresses}"), r#"W0305 10:11:16.123456       1 lease.go:265] Resetting endpoints for master service "kubernetes" to [10.0.0.1 10.0.0.2]"#)],
        &[field("addresses", Txt("addresses"), "")],
    ),
    row(
        "nodes-all-not-ready", ControllerManager, Info, Symptom, "all",
        "No node is ready, so that nothing is evicted: a new cluster, or no kubelet reached kube-apiserver.",
        &[
            form(Find("^Controller detected that all Nodes are not-Ready"), "I0305 10:11:19.123456       1 node_lifecycle_controller.go:1102] Controller detected that all Nodes are not-Ready. Entering master disruption mode."),
            form(Klog("Controller detected that all Nodes are not-Ready. Entering master disruption mode"), r#"I1025 16:06:37.561200       1 node_lifecycle_controller.go:1029] "Controller detected that all Nodes are not-Ready. Entering master disruption mode""#),
        ],
        &[],
    ),
    row(
        "apiserver-post-timeout", Apiserver, Err, Symptom, "1.21+",
        "A handler ended after its deadline.",
        &[
            form(Klog("Post-timeout activity"), r#"E1121 20:36:58.488441   22116 timeout.go:140] "Post-timeout activity" logger="UnhandledError" timeElapsed="3.5ms" method="PUT" path="/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler" result=null"#),
            form(Find("ost-timeout activity - time-elapsed: {timeElapsed}, {method} \"{path}\" result: {_}"), r#"E1121 20:36:58.488441   22116 timeout.go:137] post-timeout activity - time-elapsed: 3.5ms, GET "/api/v1/pods" result: <nil>"#),
            form(Find("FinishRequest: post-timeout activity - time-elapsed: {timeElapsed}, "), r#"E1121 20:36:58.488441   22116 finisher.go:175] "Unhandled Error" err="FinishRequest: post-timeout activity - time-elapsed: 10.047µs, panicked: false, err: context canceled, panic-reason: <nil>" logger="UnhandledError""#),
        ],
        &[field("timeElapsed", Took, "after the deadline"), METHOD, field("path", Url, "")],
    ),
    row(
        "apiserver-handler-timeout", Apiserver, Err, Fault, "all",
        "An answer could not be written because the handler's time was over.",
        &[form(Find("http: Handler timeout"), r#"E0316 23:08:28.151158       1 writers.go:123] "Unhandled Error" err="apiserver was unable to write a JSON response: http: Handler timeout" logger="UnhandledError""#)],
        &[ERR],
    )
    .by(Extractor::Around),
    row(
        "apiserver-not-a-status", Apiserver, Err, Symptom, "all",
        "A request ended with an error that is none of the API's: mostly its client went away.",
        &[form(Find("apiserver received an error that is not an metav1.Status: {error}"), r#"E0316 23:08:28.151019       1 status.go:71] "Unhandled Error" err="apiserver received an error that is not an metav1.Status: &errors.errorString{s:\"context canceled\"}: context canceled" logger="UnhandledError""#)],
        &[ERR, field("error", Error, "")],
    ),
    row(
        "apiserver-health-failed", Apiserver, Info, Fault, "all",
        "A health endpoint of the apiserver failed, with the checks that did.",
        &[
            form(Find("healthz check failed: {checks}"), "I0316 23:08:28.151019       1 healthz.go:257] healthz check failed: etcd"),
            form(Find(" check failed: livez"), "I0316 23:08:28.151019       1 healthz.go:261] etcd check failed: livez\n[-]etcd failed: error getting data from etcd: context deadline exceeded"),
            form(Find(" check failed: readyz"), "I0316 23:08:28.151019       1 healthz.go:261] etcd,etcd-readiness check failed: readyz\n[-]etcd failed: error getting data from etcd: context deadline exceeded"),
            form(Find(" check failed: healthz"), "I0316 23:08:28.151019       1 healthz.go:261] etcd check failed: healthz\n[-]etcd failed: etcd client connection not yet established"),
        ],
        &[field("checks", Txt("checks"), "separated by commas"), field("error", Error, "of the first of them")],
    )
    .by(Extractor::Checks),
    row(
        "apiserver-unauthenticated", Apiserver, Err, Symptom, "all",
        "A request came with a token or a client certificate that is not valid. It is answered 401.",
        &[
            form(Klog("Unable to authenticate the request"), r#"E1121 20:30:26.645000   21295 authentication.go:73] "Unable to authenticate the request" err="[invalid bearer token, service account token has expired]""#),
            form(Find("^Unable to authenticate the request due to an error: {err}"), "E0305 10:11:12.345678       1 authentication.go:53] Unable to authenticate the request due to an error: [invalid bearer token, Token has been invalidated]"),
        ],
        &[field("err", super::types::Role::Error, "")],
    ),
    row(
        "apiserver-client-expired", Apiserver, Err, Fault, "all",
        "A request came with a client certificate that has expired or is not valid yet. It is answered 401. A line of `apiserver-unauthenticated` is not counted there, too.",
        &[
            form(Code, r#"E1121 20:30:26.645000   21295 authentication.go:73] "Unable to authenticate the request" err="[x509: certificate has expired or is not yet valid: current time 2026-11-21T20:30:26Z is after 2026-11-21T20:00:00Z, verifying certificate SN=1234, SKID=, AKID=AA:BB failed: x509: certificate has expired or is not yet valid: current time 2026-11-21T20:30:26Z is after 2026-11-21T20:00:00Z]""#),
            form(Code, "E0305 10:11:12.345678       1 authentication.go:53] Unable to authenticate the request due to an error: x509: certificate has expired or is not yet valid"),
        ],
        &[field("err", super::types::Role::Error, "")],
    )
    .by(Extractor::Crash),
    row(
        "apiserver-check", Apiserver, Info, Noise, "all",
        "Which check of those named in the line before it failed, and why.",
        &[
            form(Find("^[-]etcd failed: {error}"), "[-]etcd failed: error getting data from etcd: context deadline exceeded"),
            form(Find("^[-]etcd-readiness failed: {error}"), "[-]etcd-readiness failed: error getting data from etcd: context deadline exceeded"),
            form(Find("^[-]poststarthook/{hook} failed: {error}"), "[-]poststarthook/rbac/bootstrap-roles failed: not finished"),
            form(Find("^[-]informer-sync failed: {error}"), "[-]informer-sync failed: 1 informers not started yet: [*v1.ConfigMap]"),
            form(Find("^[-]shutdown failed: {error}"), "[-]shutdown failed: process is shutting down"),
        ],
        &[field("hook", Txt("hook"), ""), field("error", Error, "")],
    ),
    row(
        "apiserver-not-ready", Apiserver, Info, Noise, "all",
        "A health endpoint of the apiserver says that it is still starting or is stopping.",
        &[
            form(Code, "I0331 23:00:07.844303      10 healthz.go:261] informer-sync,poststarthook/start-apiextensions-controllers check failed: readyz\n[-]informer-sync failed: 1 informers not started yet: [*v1.ConfigMap]"),
            form(Code, "I0331 23:00:08.844303      10 healthz.go:261] shutdown check failed: readyz\n[-]shutdown failed: process is shutting down"),
        ],
        &[field("checks", Txt("checks"), ""), field("error", Error, "")],
    )
    .by(Extractor::Checks),
    row(
        "unhandled-error", Unknown, Err, Symptom, "1.31+ structured",
        "An error that nobody handles, without a cause this catalogue knows.",
        &[
            form(Klog("Unhandled Error"), r#"E0316 23:05:06.287650       1 cronjob.go:145] "Unhandled Error" err="something else" logger="UnhandledError""#),
            form(Code, r#"{"ts":1738557840904.059,"logger":"UnhandledError","caller":"resourcequota/resource_quota_controller.go:446","msg":"Unhandled Error","err":"resource quota a/b was not found"}"#),
        ],
        &[ERR],
    )
    .by(Extractor::Around),
    row(
        "apiserver-start", Apiserver, Info, Change, "all",
        "kube-apiserver starts; with its version.",
        &[form(Code, "I1121 20:50:54.843028    1542 server.go:187] Version: v1.36.2")],
        &[field("version", Txt("version"), "")],
    )
    .by(Extractor::Start),
    row(
        "controller-manager-start", ControllerManager, Info, Change, "all",
        "kube-controller-manager starts; with its version.",
        &[
            form(Klog("Starting"), r#"I1121 20:29:55.665326   21313 controllermanager.go:211] "Starting" version="v1.36.2""#),
            form(Find("^Version: {version}"), "I1121 20:29:55.665326   21313 controllermanager.go:175] Version: v1.20.4"),
        ],
        &[field("version", Txt("version"), "")],
    )
    .by(Extractor::Start),
    row(
        "scheduler-start", Scheduler, Info, Change, "all",
        "kube-scheduler starts; with its version.",
        &[
            form(Klog("Starting Kubernetes Scheduler"), r#"I1121 20:50:58.230058    1562 server.go:183] "Starting Kubernetes Scheduler" version="v1.36.2""#),
            form(Find("Starting Kubernetes Scheduler version {version}"), "I1121 20:50:58.230058    1562 server.go:140] Starting Kubernetes Scheduler version v1.19.2"),
        ],
        &[field("version", Txt("version"), "")],
    ),
    row(
        "kubelet-start", Kubelet, Info, Change, "all",
        "kubelet starts; with its version.",
        &[form(Klog("Kubelet version"), r#"I1121 20:50:58.230058    1562 server.go:467] "Kubelet version" kubeletVersion="v1.28.0""#)],
        &[field("kubeletVersion", Txt("version"), "")],
    ),
    row(
        "component-stop", Unknown, Info, super::types::Nature::Planned, "all",
        "A Kubernetes component was asked to stop.",
        &[
            form(Klog("[graceful-termination] shutdown event"), r#"I1121 20:50:58.230058    1562 genericapiserver.go:540] "[graceful-termination] shutdown event" name="ShutdownInitiated""#),
            form(Klog("Requested to terminate, exiting"), r#"I1121 20:50:58.230058    1562 server.go:270] "Requested to terminate, exiting""#),
        ],
        &[field("name", Txt("event"), "")],
    ),
    row(
        "component-flag", Unknown, Info, Noise, "from verbosity 1 on",
        "One flag with which a Kubernetes component starts; it lists all of them, defaults among them.",
        &[form(Find(r#"^FLAG: --{name}="{value}""#), r#"I1120 03:00:01.000000       1 flags.go:64] FLAG: --kube-api-qps="20""#)],
        &[
            field("name", Txt("flag"), ""),
            field("value", Txt("value"), ""),
        ],
    ),
    row(
        "command-failed", Unknown, Err, Fault, "1.24+",
        "A Kubernetes component ended with an error: a file it cannot read, an etcd that does not answer. Repeated, it never starts.",
        &[
            form(Klog("command failed"), r#"E1121 20:31:01.000000       1 run.go:72] "command failed" err="error creating self-signed certificates: open /etc/kubernetes/pki/apiserver.crt: permission denied""#),
        ],
        &[ERR],
    ),
    row(
        "audit-request", Apiserver, Info, Request, "audit.k8s.io/v1",
        "One stage of one request in the audit log. Count one per audit id.",
        &[form(Code, r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"6f26","stage":"ResponseComplete","requestURI":"/apis/apps/v1/namespaces/default/deployments?limit=500\u0026resourceVersion=0","verb":"list","user":{"username":"admin","groups":["system:masters"]},"impersonatedUser":{"username":"bob"},"sourceIPs":["192.168.13.138"],"userAgent":"kubectl/v1.23.5","objectRef":{"resource":"deployments","namespace":"default","apiGroup":"apps","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":200},"requestReceivedTimestamp":"2022-05-15T17:50:20.617783Z","stageTimestamp":"2022-05-15T17:50:20.620154Z","annotations":{"apiserver.latency.k8s.io/etcd":"1.5ms"}}"#)],
        &[
            field("latency", Took, "between the two times; not for watches"),
            field("sourceIPs", Client, "the first"),
            field("verb", Verb, ""),
            field("objectRef", Url, ""),
            field("userAgent", Agent, ""),
            field("responseStatus.code", Status, ""),
            field("auditID", Txt("audit_id"), ""),
            field("stage", Txt("stage"), ""),
            field("user", Txt("user"), ""),
            field("impersonatedUser", Txt("impersonated"), ""),
            field("apiserver.latency.k8s.io/etcd", Ms("etcd_ms"), "1.24+, above 500 ms"),
            field("requestURI", Txt("list"), "of lists: unset, cache, exact, not-older"),
        ],
    )
    .by(Extractor::Audit),
];
