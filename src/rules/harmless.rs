//! Kinds of messages that are symptoms, and that no rule judges: of each why any number of them is
//! harmless by itself. Whatever other symptom is logged often enough is a finding, so that a log
//! full of it is never called healthy.

/// Kinds, sorted, each with the reason.
pub const HARMLESS: &[(&str, &str)] = &[
    (
        "apiserver-not-a-status",
        "mostly a client that went away; an error of etcd's in it makes the line a kind of its own",
    ),
    (
        "apiserver-unauthenticated",
        "who comes with an old or a foreign token is turned away, as it should be; expired certificates are a kind of their own",
    ),
    (
        "grpc-write-failed",
        "the client had left; what it waited for is judged as slow requests and time-outs",
    ),
    (
        "leader-transfer-failed",
        "a member that stops says so once; the election that it costs is counted as one",
    ),
    (
        "nodes-all-not-ready",
        "said at the start of every new cluster; what keeps kubelets away is told by kinds of its own",
    ),
    (
        "unhandled-error",
        "what it tells is not known; causes that matter to etcd are kinds of their own",
    ),
    (
        "watch-cache-queued",
        "tells of each new maximum since a start, be it one event; watches that are closed are judged",
    ),
    (
        "watch-init-slow",
        "a watch that begins gets all there is; slow lists and traces tell of the same load",
    ),
    (
        "workqueue-retry",
        "conflicts are how controllers work; queues and their rates of retries are judged by metrics",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_stands_once() {
        assert!(HARMLESS.is_sorted_by(|a, b| a.0 < b.0));
    }
}
