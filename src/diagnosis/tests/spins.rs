//! A client that asks and changes nothing, one that works hard, and the faults that both stand beside.

use super::*;

/// A client that asks for one object 15 times a second for 100 s; so much of it is answered 404.
fn asking(set: Set, verb: &str, gone: f64) -> Set {
    let row = || {
        Row::new("r")
            .text("user_agent", "writer/1.0")
            .text("user", "system:serviceaccount:apps:writer")
            .text("verb", verb)
            .text("resource", "configmaps")
            .num("requests", 1_500.0)
            .num("not_found", gone)
    };
    let object = row()
        .text("object", "apps/rw-02")
        .num("max_steady_per_sec", 15.0);
    let of = |row| Table {
        rows: vec![row],
        ..Table::default()
    };
    set.put(&keys::LOGS_AUDIT_CLIENTS, Subject::cluster(), of(row()))
        .put(&keys::LOGS_AUDIT_OBJECTS, Subject::cluster(), of(object))
}

/// etcd is well by its own account.
fn well() -> Set {
    syncs(Set::new(), "cp0", 1.0)
}

fn throttled(set: Set) -> Set {
    set.put(&keys::CGROUP_THROTTLED, etcd("cp0"), 0.98)
}

#[test]
fn a_busy_writer_is_no_cause() {
    for set in [well(), throttled(well())] {
        let found = judged(&asking(set, "update", 0.0));
        assert_ne!(found.verdict.cause, Cause::QueryLoad, "{found:?}");
        let told = found.alternatives.iter().map(|other| other.cause);
        assert!(told.into_iter().all(|cause| cause != Cause::QueryLoad));
    }
    assert_eq!(
        judged(&asking(well(), "get", 0.0)).verdict.cause,
        Cause::QueryLoad
    );
}

#[test]
fn a_loop_leads_over_no_fault_of_etcd_that_was_measured() {
    let spins = |set| judged(&asking(set, "get", 900.0));
    let alone = spins(well());
    assert_eq!(alone.verdict.cause, Cause::QueryLoad);
    let beside = spins(throttled(well()));
    assert_ne!(beside.verdict.cause, Cause::QueryLoad, "{beside:?}");
    // It was counted all the same.
    let told = beside.alternatives.iter().map(|other| other.cause);
    assert!(told.into_iter().any(|cause| cause == Cause::QueryLoad));
    let both = spins(throttled(syncs(Set::new(), "cp0", 128.0)));
    let roles: Vec<_> = both.causes.iter().map(|c| (c.cause, c.role)).collect();
    assert_eq!(both.verdict.cause, Cause::Cpu, "{roles:?}");
    assert!(
        roles.contains(&(Cause::QueryLoad, Role::Contributing)),
        "{roles:?}"
    );
}
