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
