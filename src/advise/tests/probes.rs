//! The liveness probe of etcd.

use super::*;

#[test]
fn the_probe_follows_the_version_of_etcd() {
    let plane = |etcd: Option<&str>, severity, restarts: bool| {
        let mut plane =
            Plane::with(Cause::Unknown).fails("liveness-probe-kills", component("etcd"), severity);
        if let Some(version) = etcd {
            plane = plane.version("etcd", version);
        }
        if restarts {
            plane = plane.fails(
                "component-restarting",
                Subject::new(SubjectKind::Member, "cp0"),
                Warn,
            );
        }
        plane
            .find("etcd-liveness-probe")
            .map(|advice| advice.proposed)
    };
    let note = crate::rules::Severity::Info;
    assert_eq!(
        plane(Some("3.4.13"), note, false),
        None,
        "patient, and nothing restarts"
    );
    assert_eq!(
        plane(Some("3.4.13"), note, true).as_deref(),
        Some("failureThreshold 24, timeoutSeconds 15")
    );
    assert_eq!(
        plane(None, Warn, false).as_deref(),
        Some("failureThreshold 8, timeoutSeconds 15")
    );
}

/// A path that the version does not know is the fault, not patience, whatever the sentence says.
#[test]
fn the_probe_gets_a_path_that_the_version_knows() {
    use crate::rules::config::liveness_probe_kills::{IMPATIENT, QUORUM, UNKNOWN_PATH};
    let advice = |version: &str, aspect, path: &str, failures: f64| {
        let row = Row::new("liveness")
            .text("path", path)
            .num("failure_threshold", failures)
            .num("timeout_secs", 15.0);
        Plane::with(Cause::Unknown)
            .fails_as("liveness-probe-kills", component("etcd"), aspect)
            .version("etcd", version)
            .put(&keys::PROBES, component("etcd"), table(vec![row]))
            .find("etcd-liveness-probe")
    };
    let unknown = advice("3.5.9", UNKNOWN_PATH, "/livez", 8.0).unwrap();
    let serializable = "/health?exclude=NOSPACE&serializable=true";
    assert_eq!(unknown.proposed, format!("path {serializable}"));
    assert_eq!(
        unknown.now.as_deref(),
        Some("path /livez, failureThreshold 8, timeoutSeconds 15")
    );
    let quorum = advice("3.5.15", QUORUM, "/readyz", 8.0).unwrap();
    assert_eq!(
        quorum.details.get("path").map(String::as_str),
        Some("/livez")
    );
    // A version without a cheap path: another path and patience, or what of it is missing.
    let old = |failures| advice("3.5.2", UNKNOWN_PATH, "/livez", failures).unwrap();
    assert_eq!(
        old(3.0).proposed,
        "path /health?exclude=NOSPACE, failureThreshold 8, timeoutSeconds 15"
    );
    assert_eq!(old(8.0).proposed, "path /health?exclude=NOSPACE");
    assert_eq!(
        advice("3.5.15", IMPATIENT, "/livez", 3.0).unwrap().proposed,
        "failureThreshold 8, timeoutSeconds 15"
    );
    // What is there already is no advice.
    assert_eq!(advice("3.5.15", IMPATIENT, "/livez", 8.0), None);
}
