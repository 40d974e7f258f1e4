//! Keys of effective settings.
//!
//! Subjects: `Component` (`etcd@node`, `etcd-events@node`, `kube-apiserver@node`, a controller by
//! the name of its Deployment). Faults of files that belong to no component stand on the `Node`,
//! or on the `Cluster` where the node is not known.
//!
//! Kinds of faults: `bare-word`, `config-file-not-read`, `drift`, `duplicate-key`,
//! `flag-and-variable`, `ignored-settings`, `invalid-value`, `missing-value`, `not-applied`,
//! `open-quote`, `refused-timers`, `removed-setting`, `removed-value`, `renamed-setting`, `repeated-setting`,
//! `stray-manifest`,
//! `two-definitions`, `idle-unit`, `ambiguous-scalar`,
//! `two-names`, `unfilled-template`, `unknown-setting`, `unknown-variable`, `unreadable`.
//! Weights: `stop` (the component refuses it, or the source could not be read), `warn`, `note`.

use super::super::Table;

keys! { MANIFEST;
    /// Where the API servers keep their data, on the cluster: row `datastore`, texts `kind` (local, external, kine, unknown), `servers` (comma separated, masked), `why`.
    DATASTORE: Table = "datastore", None, Latest;
    /// Which distribution runs the control plane, on the cluster: row `distribution`, texts `name` (kubeadm, k3s, rke2, talos, kops, openshift, systemd, unknown), `why` (signs with their places), `others`.
    DISTRIBUTION: Table = "distribution", None, Latest;
    /// Probes of a static pod: rows `liveness`, `readiness`, `startup`; texts `how` (http, exec, tcp, grpc), `path` (with query, or the command), `host`, `port`, `scheme`, `where`; columns `timeout_secs`, `period_secs`, `failure_threshold`, `initial_delay_secs`, Kubernetes' defaults filled in.
    PROBES: Table = "probes", None, Latest;
    /// CPU and memory of a container: rows `cpu`, `memory`, …; texts `request`, `limit` as written.
    RESOURCES: Table = "resources", None, Latest;
    /// Effective settings: row = setting (the newest long flag name without dashes, also for older spellings; `feature-gates.NAME` for a gate; the file's path where there is no flag); texts `value` (empty for an empty or unknown default; secrets masked as `***`), `source` (flag, env, file, default, unknown default), `where` (file:line), `spelled` (the name as given, where it differs), `known` (`no` for names that the catalogue lacks), `unread` (of an unknown default: why a source that may set it could not be read), `defined` and `defined-where` (what the manifest says, where the running process has another value), `process` (`yes` where the running process has the value too that stands at `where`).
    SETTINGS: Table = "settings", None, Latest;
    /// Faults seen while reading settings, one row each (key `KIND:SETTING`): texts `fault` (one sentence), `kind`, `weight` (stop, warn, note), `setting`, `where`.
    SETTINGS_FAULTS: Table = "settings.faults", None, Latest;
    /// Version of a component: rows by source (`asked`: to be judged by it; `image`, `binary`, `process`, `config`; `log`, `metrics` by other collectors), texts `version`, `text` (what it was read from), `where`.
    VERSIONS: Table = "version", None, Latest;
    /// The object that runs a container: row `workload`, texts `kind` (Deployment, StatefulSet, DaemonSet, Pod, Values, ConfigMap), `namespace`, `name`, `container`, `image`, `controller` (its id in `profiles/controllers.toml`); column `replicas`.
    WORKLOADS: Table = "workload", None, Latest;
}
