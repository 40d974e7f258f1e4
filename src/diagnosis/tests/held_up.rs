//! A leader that is held up: its heartbeats are late by its own clock, so its links are not the first
//! that is asked about.

use super::*;

#[test]
fn late_heartbeats_ask_for_the_disk_and_the_cpu_before_the_network() {
    let log = |late: f64| {
        let late: &[(&str, f64)] = &[("count", late)];
        let retries: &[(&str, f64)] = &[("count", 40.0)];
        events(
            Set::new(),
            "cp0",
            &[("heartbeat-late", late), ("readindex-retry", retries)],
        )
    };
    let asked = |late: f64| -> Vec<Cause> {
        let found = judged(&log(late));
        found.alternatives.iter().map(|other| other.cause).collect()
    };
    assert_eq!(asked(150.0), [Cause::Disk, Cause::Cpu, Cause::Network]);
    assert_eq!(asked(1.0), [Cause::Network]);
}

/// Every link of a leader that stood still is slow at one look; a network is slow at the next, too.
#[test]
fn slow_links_of_a_leader_that_stood_still_are_not_the_network() {
    let with = |looks: f64, late: f64| {
        let heartbeats: &[(&str, f64)] = &[("count", late), ("max_ms", 4_840.0)];
        let mut set = events(Set::new(), "cp0", &[("heartbeat-late", heartbeats)]);
        for node in ["cp0", "cp1", "cp2"] {
            let slow: &[(&str, f64)] = &[("count", looks), ("mean_ms", 150.0)];
            let rows: Vec<(&str, &[(&str, f64)])> = ["cp0", "cp1", "cp2"]
                .into_iter()
                .filter(|peer| *peer != node)
                .map(|peer| (peer, slow))
                .collect();
            set = probes(syncs(set, node, 1.0), node, 150.0)
                .put(&keys::MEMBER_ID, member(node), node.to_owned())
                .put(&keys::PEER_RTT_BY, member(node), table(&rows));
        }
        judged(&set).verdict.cause
    };
    assert_ne!(with(2.0, 2.0), Cause::Network);
    assert_eq!(with(20.0, 2.0), Cause::Network);
    assert_eq!(with(2.0, 0.0), Cause::Network);
}
