//! Keys of effective settings.
//!
//! Subjects: `Component` (`etcd@node`, `kube-apiserver@node`, …).

use super::super::Table;

keys! { MANIFEST;
    /// Probes of a static pod: rows `liveness`, `readiness`, `startup`; texts `path`; columns `timeout_secs`, `period_secs`, `failure_threshold`.
    PROBES: Table = "probes", None, Latest;
    /// Effective settings: row = setting (long flag name without dashes); texts `value`, `source` (flag, env, file, default), `where`.
    SETTINGS: Table = "settings", None, Latest;
    /// Faults seen while reading settings, one row each: text `fault`.
    SETTINGS_FAULTS: Table = "settings.faults", None, Latest;
    /// Version of a component: rows by source (`image`, `log`, `metrics`, `binary`), text `version`.
    VERSIONS: Table = "version", None, Latest;
}
