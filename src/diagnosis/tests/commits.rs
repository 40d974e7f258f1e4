//! Commits of the backend that are slow while the WAL is fast: its own device, or the database's.

use super::*;

/// A WAL that syncs in a millisecond, and commits that all take this long.
fn commits(ms: f64) -> Set {
    let took = histogram(&[(ms / 1.5, 0.0), (ms, 400.0)]);
    syncs(Set::new(), "cp0", 1.0).put(&keys::WAL_COMMIT, member("cp0"), took)
}

fn cleared(found: &Diagnosis) -> bool {
    found.ruled_out.iter().any(|out| out.cause == Cause::Disk)
}

#[test]
fn a_fast_wal_clears_no_disk_that_commits_wait_for() {
    assert!(cleared(&judged(&commits(10.0))));
    let slow = judged(&commits(256.0));
    assert!(!cleared(&slow), "{:?}", slow.ruled_out);
    assert!(slow.alternatives.iter().any(|a| a.cause == Cause::Disk));
    assert_ne!(slow.verdict.cause, Cause::Disk);
}

#[test]
fn a_slow_device_of_the_database_is_the_disk() {
    let flushes = judged(&measured(commits(256.0), "cp0", 60.0));
    assert_eq!(flushes.verdict.cause, Cause::Disk);
    let writes = |set: Set| {
        judged(&set.put(&keys::DEVICE_WRITE_TIME, device("cp0"), 45.0).put(
            &keys::DEVICE_WRITES,
            device("cp0"),
            900.0,
        ))
    };
    let slow = writes(commits(256.0));
    assert_eq!(slow.verdict.cause, Cause::Disk);
    // Long queues of somebody's that etcd does not feel.
    assert_ne!(writes(commits(10.0)).verdict.cause, Cause::Disk);
    assert_ne!(
        judged(&measured(commits(10.0), "cp0", 60.0)).verdict.cause,
        Cause::Disk
    );
    // A slow device of one member, and slow commits of another, are two things.
    let apart = syncs(measured(commits(256.0), "cp1", 60.0), "cp1", 1.0);
    assert_ne!(judged(&apart).verdict.cause, Cause::Disk);
}
