//! The kubelet's liveness probe can kill an etcd that is merely slow.

use crate::catalog::probes;
use crate::evidence::{Missing, keys};
use crate::rules::settings;
use crate::rules::{Confidence, Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "liveness-probe-kills",
    summary: "the liveness probe can kill an etcd that is merely slow",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "liveness-probe-kills",
    check,
};

/// The probe asks a path that this etcd answers with 404.
pub const UNKNOWN_PATH: &str = "unknown-path";
/// The probe reads through the quorum.
pub const QUORUM: &str = "quorum";
/// The probe asks the right thing and gives up soon.
pub const IMPATIENT: &str = "impatient";

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let threshold = cx.profile.limit("probe-failures");
    let timeout = cx.profile.limit("probe-timeout");
    let tables = cx.evidence.some(&keys::PROBES)?;
    cx.evidence.take_citations();
    let mut drafts = Vec::new();
    for (subject, table) in tables {
        if subject.name != "etcd" {
            continue;
        }
        let Some(row) = table.row("liveness") else {
            continue;
        };
        let path = row.get_text("path").unwrap_or_default();
        let failures = row.get("failure_threshold").unwrap_or(3.0);
        let seconds = row.get("timeout_secs").unwrap_or(1.0);
        let version = settings::version_of(cx, &subject);
        let exec = row.get_text("how") == Some("exec");
        // `etcdctl endpoint health` reads through the quorum as a plain /health and /readyz do. An etcd that does
        // not know `serializable=` does so too, without a word.
        let quorum = if exec {
            path.contains("endpoint health")
        } else {
            probes::asks_quorum(path, version)
        };
        let livez = ["/livez", "/readyz"].iter().any(|p| path.starts_with(p));
        let unknown_path = !exec && livez && version.is_some_and(|v| !probes::knows_livez(v));
        let patient = failures >= threshold.value && seconds * 1e3 >= timeout.value;
        let of = version.map_or_else(String::new, |version| format!("etcd {version}"));
        let aspect = if unknown_path {
            UNKNOWN_PATH
        } else if quorum {
            QUORUM
        } else {
            IMPATIENT
        };
        let (severity, why) = if unknown_path {
            (
                Severity::Critical,
                format!("is answered with 404 by {of}: the kubelet restarts it for ever"),
            )
        } else if quorum && path.contains("serializable=true") {
            let severity = if patient {
                Severity::Info
            } else {
                Severity::Warn
            };
            (
                severity,
                format!("asks for a quorum read all the same: {of} does not know `serializable=`"),
            )
        } else {
            match (quorum, patient) {
                (true, false) => (
                    Severity::Warn,
                    "asks for a quorum read and gives up soon".to_owned(),
                ),
                (true, true) => (Severity::Info, "asks for a quorum read".to_owned()),
                (false, false) if !path.is_empty() => (Severity::Info, "gives up soon".to_owned()),
                _ => continue,
            }
        };
        let right = match version {
            Some(version) if quorum || unknown_path => {
                format!("; right for {of}: {}", probes::right_liveness(version))
            }
            _ => String::new(),
        };
        let words = format!(
            "liveness probe {path} {why} (timeout {seconds:.0} s, {failures:.0} failures){right}"
        );
        let place = row.get_text("where").map(str::to_owned);
        cx.evidence
            .cite_at(&keys::PROBES, &subject, words.clone(), place);
        drafts.push(
            Draft::new(subject, severity, words)
                .confidence(Confidence::High)
                .aspect(aspect)
                .threshold(threshold.words())
                .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Row, Table};
    use crate::rules::Status;
    use crate::rules::testing::{Set, component};

    #[test]
    fn quorum_and_patience() {
        let with = |path: &str, failures: f64, timeout: f64| {
            let row = Row::new("liveness")
                .text("path", path)
                .num("failure_threshold", failures)
                .num("timeout_secs", timeout);
            Set::new().put(
                &keys::PROBES,
                component("etcd"),
                Table {
                    rows: vec![row],
                    ..Table::default()
                },
            )
        };
        assert_eq!(
            with("/health", 3.0, 1.0).status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(
            with("/health", 8.0, 15.0).status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(
            with("/health?exclude=NOSPACE&serializable=true", 8.0, 15.0)
                .status(&RULE)
                .0,
            Status::Pass
        );
        assert_eq!(
            with("/livez", 7.0, 15.0).status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(with("/livez", 8.0, 15.0).status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    /// What the version answers decides, and the message names the right probe.
    #[test]
    fn the_version_decides() {
        let with = |version: &str, path: &str| {
            let table = |row| Table {
                rows: vec![row],
                ..Table::default()
            };
            let row = Row::new("liveness")
                .text("path", path)
                .num("failure_threshold", 8.0)
                .num("timeout_secs", 15.0);
            Set::new()
                .put(&keys::PROBES, component("etcd"), table(row))
                .put(
                    &keys::VERSIONS,
                    component("etcd"),
                    table(Row::new("image").text("version", version)),
                )
        };
        let serializable = "/health?exclude=NOSPACE&serializable=true";
        assert_eq!(with("3.5.3", serializable).status(&RULE).0, Status::Pass);
        assert_eq!(
            with("3.5.2", serializable).status(&RULE),
            (Status::Fail, Severity::Info)
        );
        assert_eq!(
            with("3.4.23", "/livez").status(&RULE),
            (Status::Fail, Severity::Critical)
        );
        assert_eq!(with("3.4.29", "/livez").status(&RULE).0, Status::Pass);
        // /readyz holds a read through the quorum.
        assert_eq!(
            with("3.5.15", "/readyz").status(&RULE),
            (Status::Fail, Severity::Info)
        );
        let spared = "/readyz?exclude=linearizable_read";
        assert_eq!(with("3.5.15", spared).status(&RULE).0, Status::Pass);
        let aspect = |version, path| with(version, path).check(&RULE)[0].aspect.clone();
        assert_eq!(aspect("3.5.15", "/readyz"), QUORUM);
        assert_eq!(aspect("3.5.9", "/livez"), UNKNOWN_PATH);
        let named_readyz = with("3.5.15", "/readyz").check(&RULE)[0].message.clone();
        assert!(
            named_readyz.ends_with("right for etcd 3.5.15: /livez"),
            "{named_readyz}"
        );
        let named = |version| with(version, "/health").check(&RULE)[0].message.clone();
        assert!(named("3.5.15").ends_with("right for etcd 3.5.15: /livez"));
        assert!(named("3.5.9").ends_with("&serializable=true"));
    }
}
