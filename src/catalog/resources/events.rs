//! Events have two API groups, and one place in etcd.

/// Whether a resource is that of events, by whichever group it is called.
pub fn is_events(resource: &str) -> bool {
    matches!(resource, "events" | "events.events.k8s.io")
}

#[cfg(test)]
mod tests {
    use super::is_events;

    #[test]
    fn both_groups_and_nothing_else() {
        assert!(is_events("events") && is_events("events.events.k8s.io"));
        assert!(!is_events("eventsources") && !is_events("leases.coordination.k8s.io"));
    }
}
