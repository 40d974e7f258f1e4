//! A processor that etcd lacks: who uses it up.

use super::*;

/// An etcd that waits for a processor, with answers of so many bytes and so many cores used by itself.
fn waiting(bytes: f64, cores: f64) -> Set {
    let sent = [("count", 400.0 * bytes)];
    let counters: [(&str, &[(&str, f64)]); 2] = [
        ("client-bytes-out", &sent),
        ("ranges", &[("count", 400.0), ("per_sec", 10.0)]),
    ];
    measured(syncs(Set::new(), "cp0", 20.0), "cp0", 0.2)
        .put(&keys::SERVER_COUNTERS, member("cp0"), table(&counters))
        .put(&keys::PROCESS_CPU, etcd("cp0"), cores)
        .put(&keys::RUN_DELAY, etcd("cp0"), 0.9)
}

#[test]
fn lists_that_use_it_up_come_first_and_neighbours_do_not() {
    let lists = judged(&waiting(8e6, 1.3));
    let roles: Vec<_> = lists.causes.iter().map(|c| (c.cause, c.role)).collect();
    assert_eq!(
        roles,
        [
            (Cause::QueryLoad, Role::Primary),
            (Cause::Cpu, Role::Consequence)
        ]
    );
    assert_eq!(lists.verdict.cause, Cause::QueryLoad);
    // Neighbours use it: etcd itself hardly runs, or answers little.
    for (bytes, cores) in [(8e6, 0.2), (2e4, 1.3)] {
        let other = judged(&waiting(bytes, cores));
        assert!(
            other.causes.iter().all(|c| c.cause != Cause::QueryLoad),
            "{other:?}"
        );
    }
    // A limit keeps it from the processor whoever asks for what.
    let limited = waiting(8e6, 1.3).put(&keys::CGROUP_THROTTLED, etcd("cp0"), 0.6);
    let limited = judged(&limited);
    assert_eq!(limited.causes[0].cause, Cause::Cpu, "{limited:?}");
}
