//! Errors of etcd and of the apiserver as they are passed up, in free text of any component.

use crate::logs::event::Component::Unknown;
use crate::logs::record::Level::{Error as Err, Warn};

use super::types::How::{Code, Find, Klog};
use super::types::Nature::{Fault, Noise, Symptom};
use super::types::Role::Error;
use super::types::{Extractor, Field, Signature, field, form, row};

const AROUND: &[Field] = &[field("err", Error, "the whole error text")];

pub(super) static TABLE: &[Signature] = &[
    row(
        "etcd-error-no-space", Unknown, Err, Fault, "all",
        "etcd refuses writes: its quota is reached (alarm NOSPACE). A server's own log may say nothing.",
        &[form(Find("etcdserver: mvcc: database space exceeded"), r#"E1121 20:54:43.504296       1 controller.go:199] "Failed to update lease" err="etcdserver: mvcc: database space exceeded""#)],
        AROUND,
    )
    .by(Extractor::Around),
    row(
        "etcd-error-leader-changed", Unknown, Err, Symptom, "all",
        "A request was lost in an election.",
        &[form(Find("etcdserver: leader changed"), r#"E0316 23:05:06.287650       1 status.go:71] apiserver received an error that is not an metav1.Status: rpctypes.EtcdError{code:0xe, desc:"etcdserver: leader changed"}: etcdserver: leader changed"#)],
        AROUND,
    )
    .by(Extractor::Around),
    row(
        "etcd-error-no-leader", Unknown, Err, Fault, "all",
        "etcd has no leader.",
        &[form(Find("etcdserver: no leader"), r#"E0316 23:05:06.287650       1 status.go:71] "Unhandled Error" err="etcdserver: no leader""#)],
        AROUND,
    )
    .by(Extractor::Around),
    row(
        "etcd-error-timeout", Unknown, Err, Fault, "all",
        "etcd did not answer a request in time: no quorum, slow disk or network.",
        &[
            form(Find("etcdserver: request timed out"), r#"E0618 16:43:50.492354    1120 controller.go:251] "Failed to update lease" err="etcdserver: request timed out""#),
            form(Code, r#"time=2026-03-06T10:00:06.123Z level=ERROR msg="Reconciler error" controller=x err="etcdserver: request timed out""#),
            form(Code, "E1121 20:30:20.000000       1 reflector.go:138] k8s.io/client-go/informers/factory.go:134: Failed to watch *v1.Pod: failed to list *v1.Pod: etcdserver: request timed out"),
            form(Code, r#"E1121 20:30:20.000000       1 reflector.go:200] "Failed to watch" err="failed to list *v1.Pod: etcdserver: request timed out" logger="UnhandledError" reflector="k8s.io/client-go/informers/factory.go:160" type="*v1.Pod""#),
        ],
        AROUND,
    )
    .by(Extractor::Around),
    row(
        "etcd-error-too-many-requests", Unknown, Err, Fault, "all",
        "etcd's applying lags more than 5000 entries behind: it takes no more proposals.",
        &[form(Find("etcdserver: too many requests"), r#"E0316 23:05:06.287650       1 status.go:71] "Unhandled Error" err="etcdserver: too many requests""#)],
        AROUND,
    )
    .by(Extractor::Around),
    row(
        "etcd-error-too-large", Unknown, Err, Fault, "all",
        "An object or an answer is larger than etcd or gRPC allow (1.5 MiB for a request).",
        &[
            form(Find("etcdserver: request is too large"), r#"E0316 23:05:06.287650       1 status.go:71] "Unhandled Error" err="etcdserver: request is too large""#),
            form(Find("trying to send message larger than max"), r#"E0316 23:05:06.287650       1 status.go:71] "Unhandled Error" err="rpc error: code = ResourceExhausted desc = trying to send message larger than max (2147483690 vs. 2147483647)""#),
            form(Find("received message larger than max"), r#"E0316 23:05:06.287650       1 status.go:71] "Unhandled Error" err="rpc error: code = ResourceExhausted desc = grpc: received message larger than max (4194400 vs. 4194304)""#),
        ],
        AROUND,
    )
    .by(Extractor::Around),
    row(
        "etcd-error-compacted", Unknown, Warn, Noise, "all",
        "A watch or list asked for a revision that is compacted. Harmless alone.",
        &[form(Find("etcdserver: mvcc: required revision has been compacted"), "W0503 06:23:23.804106      15 watcher.go:338] watch chan error: etcdserver: mvcc: required revision has been compacted")],
        AROUND,
    )
    .by(Extractor::Around),
    row(
        "api-timeout", Unknown, Err, Fault, "all",
        "A request ran into the apiserver's time limit (504).",
        &[
            form(Find("request did not complete within requested timeout"), r#"E0316 23:05:06.287650       1 controller.go:145] "Unhandled Error" err="Timeout: request did not complete within requested timeout - context deadline exceeded""#),
            form(Find("the server was unable to return a response in the time allotted"), r#"E0316 23:05:06.287650       1 replica_set.go:488] sync failed: the server was unable to return a response in the time allotted, but may still be processing the request (put leases.coordination.k8s.io kube-controller-manager)"#),
        ],
        AROUND,
    )
    .by(Extractor::Around),
    row(
        "api-too-many-requests", Unknown, Err, Fault, "all",
        "The apiserver answered 429: its queues or its inflight limit are full.",
        &[
            form(Find("the server has received too many requests"), r#"E0316 23:05:06.287650       1 controller.go:145] "Unhandled Error" err="the server has received too many requests and has asked us to try again later (get pods)""#),
            form(Code, r#"E1120 10:01:00.000000       1 reflector.go:147] vendor/k8s.io/client-go/informers/factory.go:150: Failed to watch *v1.Pod: failed to list *v1.Pod: the server has received too many requests and has asked us to try again later (get pods)"#),
            form(Code, r#"E1120 10:01:00.000000       1 reflector.go:200] "Failed to watch" err="failed to list *v1.Pod: the server has received too many requests and has asked us to try again later (get pods)" logger="UnhandledError" reflector="k8s.io/client-go/informers/factory.go:160" type="*v1.Pod""#),
            form(Find("Too many requests, please try again later"), r#"E0316 23:05:06.287650       1 controller.go:145] "Unhandled Error" err="Too many requests, please try again later.""#),
        ],
        AROUND,
    )
    .by(Extractor::Around),
    row(
        "api-version-too-large", Unknown, Warn, Symptom, "1.19+",
        "The watch cache lags behind what the client has seen: the apiserver waited 3 s for etcd's events in vain.",
        &[form(Find("Too large resource version: {_}"), r#"I1121 20:54:22.375768    2600 stats.go:119] "Error getting keys" err="Timeout: Too large resource version: 2028, current: 2016""#)],
        AROUND,
    )
    .by(Extractor::Around),
    row(
        "kms-failed", Unknown, Err, Fault, "all with a KMS provider",
        "A KMS plug-in did not decrypt: what is stored encrypted cannot be read meanwhile.",
        &[
            form(Find("failed to decrypt DEK"), r#"E1121 20:30:26.287650       1 status.go:71] "Unhandled Error" err="failed to decrypt DEK, error: rpc error: code = Unavailable desc = x""#),
            form(Klog("failed to decrypt"), r#"E1121 20:30:30.000000   21295 grpc_service.go:100] "failed to decrypt" err="rpc error: code = DeadlineExceeded desc = context deadline exceeded" provider="kms1""#),
        ],
        // The error names a gRPC call, which would be taken for one of etcd.
        &[],
    ),
    row(
        "apiservice-unavailable", Unknown, Err, Symptom, "all",
        "The server of an aggregated API does not answer: whoever looks at all APIs waits for it.",
        &[
            form(Find("failing or missing response from"), r#"E1121 20:30:26.287650   21295 remote_available_controller.go:448] "Unhandled Error" err="v1beta1.metrics.k8s.io failed with: failing or missing response from https://10.96.1.2:443/apis/metrics.k8s.io/v1beta1: Get \"https://10.96.1.2:443/apis/metrics.k8s.io/v1beta1\": dial tcp 10.96.1.2:443: i/o timeout" logger="UnhandledError""#),
            form(Find("stale GroupVersion discovery"), r#"E1121 20:30:26.287650       1 resource_quota_controller.go:446] "Unhandled Error" err="unable to retrieve the complete list of server APIs: metrics.k8s.io/v1beta1: stale GroupVersion discovery: metrics.k8s.io/v1beta1" logger="UnhandledError""#),
            form(Find("retrieve openAPI spec, http error"), r#"E1121 20:30:26.287650   21295 controller.go:146] "Unhandled Error" err="Error updating APIService \"v1beta1.metrics.k8s.io\" with err: failed to download v1beta1.metrics.k8s.io: failed to retrieve openAPI spec, http error: ResponseCode: 503, Body: service unavailable""#),
        ],
        AROUND,
    )
    .by(Extractor::Around),
    row(
        "etcd-unavailable", Unknown, Err, Fault, "all",
        "A gRPC server, mostly etcd, could not be reached.",
        &[form(Find("rpc error: code = Unavailable"), r#"E0316 23:05:06.287650       1 controller.go:145] "Unhandled Error" err="rpc error: code = Unavailable desc = transport is closing""#)],
        AROUND,
    )
    .by(Extractor::Around),
    row(
        "etcd-deadline", Unknown, Err, Fault, "all",
        "A gRPC server, mostly etcd, did not answer in time.",
        &[form(Find("rpc error: code = DeadlineExceeded"), r#"E0316 23:05:06.287650       1 controller.go:145] "Unhandled Error" err="rpc error: code = DeadlineExceeded desc = context deadline exceeded""#)],
        AROUND,
    )
    .by(Extractor::Around),
    row(
        "etcd-exhausted", Unknown, Err, Fault, "all",
        "A gRPC server, mostly etcd, refused for lack of something.",
        &[form(Find("rpc error: code = ResourceExhausted"), r#"E0316 23:05:06.287650       1 controller.go:145] "Unhandled Error" err="rpc error: code = ResourceExhausted desc = x""#)],
        AROUND,
    )
    .by(Extractor::Around),
    row(
        "webhook-failed", Unknown, Err, Symptom, "all",
        "An admission webhook could not be called.",
        &[
            form(Find("failed calling webhook"), r#"W0316 23:05:06.287650       1 dispatcher.go:225] rejected by webhook: Internal error occurred: failed calling webhook "x.io": failed to call webhook: Post "https://x.a.svc:443/?timeout=10s": context deadline exceeded"#),
            form(Find("Failed calling webhook, failing"), r#"W0316 23:05:06.287650       1 dispatcher.go:180] Failed calling webhook, failing open x.io: failed calling x"#),
        ],
        AROUND,
    )
    .by(Extractor::Around),
];
