//! What a log file's path says: which pod or program, which restart, which rotation.

use std::path::Path;

use crate::logs::event::Component;

use super::pod::{component_of, is_events, node_of, static_node};
use super::program::of_file;

/// What a path says about a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// What stands before the part that the id is made of: another tree, another cluster.
    pub base: String,
    /// The stream's name.
    pub id: String,
    pub component: Component,
    pub node: Option<String>,
    pub namespace: Option<String>,
    pub pod: Option<String>,
    pub container: Option<String>,
    /// Files of one group are in the order of `order`; groups follow their last change.
    pub group: String,
    pub order: Order,
    /// How much the path told: of two ways to one file the better one names it.
    pub rank: u8,
}

/// The age of a file among those of its stream: smaller is older.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order {
    /// Which start of the container.
    pub restart: u64,
    /// Dated rotations, then numbered ones, then the file being written.
    pub slot: u8,
    /// The date, or the number counted down.
    pub place: i64,
}

const DATED: u8 = 0;
const NUMBERED: u8 = 1;
const CURRENT: u8 = 2;

/// Reads a path.
pub(super) fn identify(path: &Path) -> Identity {
    let parts: Vec<&str> = path
        .components()
        .filter_map(|part| part.as_os_str().to_str())
        .filter(|part| *part != ".")
        .collect();
    kubelet(&parts)
        .or_else(|| must_gather(&parts))
        .or_else(|| links(&parts))
        .or_else(|| sosreport(&parts))
        .or_else(|| bundle(&parts))
        .unwrap_or_else(|| plain(&parts))
}

fn join(parts: &[&str]) -> String {
    parts.join("/").replacen("//", "/", 1)
}

/// `pods/NAMESPACE_POD_UID/CONTAINER/RESTART.log[.DATE][.gz]`.
fn kubelet(parts: &[&str]) -> Option<Identity> {
    let [base @ .., folder, container, file] = parts else {
        return None;
    };
    let mut names = folder.splitn(3, '_');
    let (namespace, pod, uid) = (names.next()?, names.next()?, names.next()?);
    let hex = |c: char| c.is_ascii_hexdigit() || c == '-';
    if uid.len() < 8 || !uid.chars().all(hex) {
        return None;
    }
    let (stem, mut order) = rotation(file);
    order.restart = stem.strip_suffix(".log")?.parse().ok()?;
    // A static pod's uid is the hash of its manifest, and its name ends with its node's.
    let node = (uid.len() == 32 && !uid.contains('-'))
        .then(|| node_of(pod, container))
        .flatten();
    let base = base.strip_suffix(&["pods"]).unwrap_or(base);
    Some(pod_identity(
        base,
        namespace,
        pod,
        container,
        node,
        join(&[folder, container]),
        order,
        4,
    ))
}

#[expect(
    clippy::too_many_arguments,
    reason = "they are the fields of one value"
)]
fn pod_identity(
    base: &[&str],
    namespace: &str,
    pod: &str,
    container: &str,
    node: Option<String>,
    group: String,
    order: Order,
    rank: u8,
) -> Identity {
    Identity {
        base: join(base),
        id: format!("{namespace}/{pod}/{container}"),
        component: component_of(pod, container),
        node,
        namespace: Some(namespace.to_owned()),
        pod: Some(pod.to_owned()),
        container: Some(container.to_owned()),
        group,
        order,
        rank,
    }
}

/// Who writes a log at that path, on which node, and whether it is the etcd that keeps only events.
pub(in crate::logs) fn of_path(path: &str) -> (Component, Option<String>, bool) {
    let found = identify(Path::new(path));
    let events = match (&found.pod, &found.container) {
        (Some(pod), Some(container)) => is_events(pod, container),
        _ => false,
    };
    (found.component, found.node, events)
}

/// `namespaces/NS/pods/POD/CONTAINER/CONTAINER/logs/current.log` and `…/logs/rotated/…`.
fn must_gather(parts: &[&str]) -> Option<Identity> {
    let at = parts.iter().rposition(|part| *part == "namespaces")?;
    let (base, rest) = parts.split_at(at);
    let [_, namespace, "pods", pod, container, rest @ ..] = rest else {
        return None;
    };
    let (rotated, file) = match rest {
        [_, "logs", file] | ["logs", file] => (false, file),
        [_, "logs", "rotated", file] => (true, file),
        _ => return None,
    };
    let (stem, mut order) = rotation(file);
    // Rotations are older than the files that were taken whole.
    order.restart = match (rotated, stem) {
        (true, _) => 0,
        (false, "previous.insecure.log") => 1,
        (false, "previous.log") => 2,
        (false, _) => 3,
    };
    let node = static_node(pod, container);
    Some(pod_identity(
        base,
        namespace,
        pod,
        container,
        node,
        join(&[namespace, pod, container]),
        order,
        3,
    ))
}

/// `containers/POD_NAMESPACE_CONTAINER-ID.log`, and Docker's `containers/ID/ID-json.log`.
fn links(parts: &[&str]) -> Option<Identity> {
    let [base @ .., folder, file] = parts else {
        return None;
    };
    let (stem, order) = rotation(file);
    if let Some(id) = stem.strip_suffix("-json.log")
        && id.len() == 64
        && *folder == id
    {
        let base = base.strip_suffix(&["containers"]).unwrap_or(base);
        let short = id.get(..12)?;
        return Some(Identity {
            base: join(base),
            id: format!("docker/{short}"),
            container: Some(short.to_owned()),
            group: id.to_owned(),
            order,
            rank: 1,
            ..Identity::default()
        });
    }
    let stem = stem.strip_suffix(".log")?;
    let (names, id) = stem.rsplit_once('-')?;
    if id.len() != 64 || !id.chars().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    let mut names = names.splitn(3, '_');
    let (pod, namespace, container) = (names.next()?, names.next()?, names.next()?);
    let node = static_node(pod, container);
    Some(pod_identity(
        base,
        namespace,
        pod,
        container,
        node,
        id.to_owned(),
        order,
        3,
    ))
}

/// `logs/NAMESPACE/POD/CONTAINER.log` of support bundles.
fn bundle(parts: &[&str]) -> Option<Identity> {
    let [base @ .., "logs", namespace, pod, file] = parts else {
        return None;
    };
    let (stem, mut order) = rotation(file);
    let container = stem.strip_suffix(".log")?;
    let name = |text: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
    };
    if !name(namespace) || !name(pod) || *namespace == "var" {
        return None;
    }
    let previous = container
        .strip_suffix("-previous")
        .or_else(|| container.strip_suffix(".previous"));
    order.restart = u64::from(previous.is_none());
    let container = previous.unwrap_or(container);
    let node = static_node(pod, container);
    Some(pod_identity(
        base,
        namespace,
        pod,
        container,
        node,
        join(&[namespace, pod, container]),
        order,
        2,
    ))
}

/// Any other file: its path without the rotation's suffix.
/// `kubectl_--namespace_NAMESPACE_logs_POD_-c_CONTAINER` of sosreport, which names a file by the
/// command whose output it holds.
fn sosreport(parts: &[&str]) -> Option<Identity> {
    let [base @ .., file] = parts else {
        return None;
    };
    let (stem, order) = rotation(file);
    let command = stem
        .strip_prefix("kubectl_")
        .or_else(|| stem.strip_prefix("oc_"))?;
    let (options, names) = command.split_once("_logs_")?;
    // No name of an object has an underscore.
    let mut names = names.split('_');
    let pod = names.next()?;
    let container = names
        .skip_while(|word| !matches!(*word, "-c" | "--container"))
        .nth(1)?;
    let namespace = options.rsplit('_').next()?;
    let node = static_node(pod, container);
    Some(pod_identity(
        base,
        namespace,
        pod,
        container,
        node,
        join(base),
        order,
        3,
    ))
}

fn plain(parts: &[&str]) -> Identity {
    let (folder, file) = match parts {
        [folder @ .., file] => (folder, *file),
        [] => (parts, ""),
    };
    let (stem, order) = rotation(file);
    let folder = join(folder);
    let id = if folder.is_empty() {
        stem.to_owned()
    } else {
        format!("{}/{stem}", folder.trim_end_matches('/'))
    };
    Identity {
        base: String::new(),
        component: of_file(stem, parent(parts)),
        group: folder,
        id,
        order,
        ..Identity::default()
    }
}

fn parent<'p>(parts: &[&'p str]) -> &'p str {
    match parts {
        [.., parent, _] => parent,
        _ => "",
    }
}

/// The file's name without its rotation, and its age.
pub(super) fn rotation(file: &str) -> (&str, Order) {
    let name = [".gz", ".zst", ".bz2", ".xz"]
        .iter()
        .find_map(|suffix| file.strip_suffix(suffix))
        .unwrap_or(file);
    let order = |slot, place| Order {
        restart: 0,
        slot,
        place,
    };
    if let Some(found) = odd_rotation(name) {
        return found;
    }
    if let Some((stem, suffix)) = name.rsplit_once('.') {
        // logrotate: `etcd.log.2`.
        if let Ok(number) = suffix.parse::<u32>()
            && suffix.len() <= 4
            && !stem.is_empty()
        {
            return (stem, order(NUMBERED, -i64::from(number)));
        }
        // kubelet: `0.log.20250502-181650`.
        if let Some(date) = digits_of(suffix, 14).filter(|_| suffix.len() == 15) {
            return (stem, order(DATED, date));
        }
    }
    // lumberjack: `audit-2025-05-02T18-16-50.123.log`. The stem of all of them is `audit`.
    if let Some(stem) = name.strip_suffix(".log")
        && let Some(at) = stem.len().checked_sub(24)
        && let (Some(head), Some(date)) = (stem.get(..at), stem.get(at..))
        && date.starts_with('-')
        && date.get(11..12) == Some("T")
        && let Some(date) = digits_of(date, 17)
        && !head.is_empty()
    {
        return (head, order(DATED, date));
    }
    // logrotate's dateext: `etcd.log-20200925-1601065806`.
    if let Some((stem, suffix)) = name.split_once(".log-")
        && let Some(date) = digits_of(suffix.get(..8).unwrap_or(""), 8)
    {
        let rest = suffix.get(8..).unwrap_or("").trim_start_matches('-');
        let second = rest.parse::<i64>().unwrap_or(0) % 10_000_000_000;
        let len = stem.len() + ".log".len();
        return (
            name.get(..len).unwrap_or(name),
            order(DATED, date * 10_000_000_000 + second),
        );
    }
    // The same of a file without an extension: `messages-20200925`.
    if let Some((stem, date)) = name.rsplit_once('-')
        && date.len() == 8
        && !stem.is_empty()
        && let Some(date) = day_of(date)
    {
        return (stem, order(DATED, date * 10_000_000_000));
    }
    (name, order(CURRENT, 0))
}

/// Rotations of rarer tools, whose names look like others' in part.
fn odd_rotation(name: &str) -> Option<(&str, Order)> {
    let dated = |place| Order {
        restart: 0,
        slot: DATED,
        place,
    };
    // glog: `kube-scheduler.cp0.root.log.INFO.20200925-181650.1234`.
    if let Some((head, rest)) = name.split_once(".log.")
        && let Some((level, rest)) = rest.split_once('.')
        && matches!(level, "INFO" | "WARNING" | "ERROR" | "FATAL")
        && let Some((date, _)) = rest.split_once('.')
        && let Some(date) = digits_of(date, 14)
    {
        let stem = name.get(..head.len() + ".log.".len() + level.len())?;
        return Some((stem, dated(date)));
    }
    // multilog, beside `current`: seconds and nanoseconds in hexadecimal (TAI64N).
    if let Some(stamp) = name.strip_prefix('@') {
        let (stamp, _) = stamp.split_once('.').unwrap_or((stamp, ""));
        let secs = (stamp.len() == 24).then(|| stamp.get(..16)).flatten()?;
        let secs = u64::from_str_radix(secs, 16).ok()? & u64::from(u32::MAX);
        return Some(("current", dated(i64::try_from(secs).ok()?)));
    }
    // CloudWatch's export to S3: `000000.gz`, `000001.gz`.
    if name.len() >= 6 && name.bytes().all(|b| b.is_ascii_digit()) {
        return Some((name.get(..1)?, dated(name.parse().ok()?)));
    }
    // `split`: `etcd.log.aa`, and `xaa` where nobody gave it a name.
    let (stem, piece) = match name.split_once(".log.") {
        Some((head, piece)) => (name.get(..head.len() + ".log".len())?, piece),
        None => (name.get(..1).filter(|x| *x == "x")?, name.get(1..)?),
    };
    let letters = piece.len() == 2 && piece.bytes().all(|b| b.is_ascii_lowercase());
    letters.then(|| {
        let place = piece.bytes().fold(0, |sum, b| sum * 26 + i64::from(b));
        (stem, dated(place))
    })
}

/// A day as `20200925`, if there is such a one.
fn day_of(text: &str) -> Option<i64> {
    let date = digits_of(text, 8)?;
    let (month, day) = (date / 100 % 100, date % 100);
    ((1990..2100).contains(&(date / 10_000))
        && (1..=12).contains(&month)
        && (1..=31).contains(&day))
    .then_some(date)
}

/// The digits of a text as one number, if there are just so many and only dashes, dots and a `T`
/// between them.
fn digits_of(text: &str, count: usize) -> Option<i64> {
    let mut number: i64 = 0;
    let mut seen = 0;
    for c in text.chars() {
        match c.to_digit(10) {
            Some(digit) => {
                number = number.checked_mul(10)?.checked_add(i64::from(digit))?;
                seen += 1;
            }
            None if matches!(c, '-' | '.' | 'T') => {}
            None => return None,
        }
    }
    (seen == count).then_some(number)
}

/// A stream's name where rotated files of lumberjack and the current one differ by `.log`.
pub(super) fn stream_key(identity: &Identity) -> (String, String) {
    let id = identity.id.strip_suffix(".log").unwrap_or(&identity.id);
    (identity.base.clone(), id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotations_of_every_tool() {
        let cases = [
            ("0.log", ("0.log", CURRENT, 0)),
            (
                "3.log.20250502-181650",
                ("3.log", DATED, 20_250_502_181_650),
            ),
            (
                "3.log.20250502-181650.gz",
                ("3.log", DATED, 20_250_502_181_650),
            ),
            ("etcd.log.2.gz", ("etcd.log", NUMBERED, -2)),
            ("messages.1", ("messages", NUMBERED, -1)),
            (
                "audit-2025-05-02T18-16-50.123.log",
                ("audit", DATED, 20_250_502_181_650_123),
            ),
            (
                "audit-2025-05-02T18-16-50.123.log.gz",
                ("audit", DATED, 20_250_502_181_650_123),
            ),
            (
                "etcd.log-20200925-1601065806.gz",
                ("etcd.log", DATED, 202_009_251_601_065_806),
            ),
            (
                "messages-20261118",
                ("messages", DATED, 202_611_180_000_000_000),
            ),
            ("messages-20261318", ("messages-20261318", CURRENT, 0)),
            ("000001.gz", ("0", DATED, 1)),
            (
                "@400000005f6e1e2a12345678.s",
                ("current", DATED, 0x5f6e_1e2a),
            ),
            (
                "kube-scheduler.cp0.root.log.INFO.20200925-181650.1234",
                (
                    "kube-scheduler.cp0.root.log.INFO",
                    DATED,
                    20_200_925_181_650,
                ),
            ),
            ("etcd.log.ab", ("etcd.log", DATED, 97 * 26 + 98)),
            ("xab", ("x", DATED, 97 * 26 + 98)),
            ("current.log", ("current.log", CURRENT, 0)),
            ("10.0.0.1", ("10.0.0", NUMBERED, -1)),
        ];
        for (file, (stem, slot, place)) in cases {
            let (got, order) = rotation(file);
            assert_eq!(
                (got, order.slot, order.place),
                (stem, slot, place),
                "{file}"
            );
        }
    }

    #[test]
    fn paths_of_every_layout() {
        let long = "0123456789abcdef".repeat(4);
        let cases = [
            (
                "/var/log/pods/kube-system_etcd-cp0_dc711967b1cdd840d7b1b04656e9ff0f/etcd/0.log".to_owned(),
                ("kube-system/etcd-cp0/etcd", Component::Etcd, Some("cp0")),
            ),
            (
                format!("/var/log/containers/kube-apiserver-cp0_kube-system_kube-apiserver-{long}.log"),
                ("kube-system/kube-apiserver-cp0/kube-apiserver", Component::Apiserver, Some("cp0")),
            ),
            (
                format!("/var/lib/docker/containers/{long}/{long}-json.log.1"),
                ("docker/0123456789ab", Component::Unknown, None),
            ),
            (
                "mg/quay/namespaces/openshift-etcd/pods/etcd-m0/etcd/etcd/logs/previous.log".to_owned(),
                ("openshift-etcd/etcd-m0/etcd", Component::Etcd, Some("m0")),
            ),
            (
                "mg/namespaces/openshift-etcd/pods/etcd-m0/etcd-metrics/etcd-metrics/logs/current.log".to_owned(),
                ("openshift-etcd/etcd-m0/etcd-metrics", Component::Unknown, None),
            ),
            (
                "sb/logs/capi-system/capi-controller-manager-7c/manager.log".to_owned(),
                ("capi-system/capi-controller-manager-7c/manager", Component::Controller, None),
            ),
            (
                "/var/log/kubernetes/audit/audit-2025-05-02T18-16-50.123.log.gz".to_owned(),
                ("/var/log/kubernetes/audit/audit", Component::Apiserver, None),
            ),
            (
                "mg/host_service_logs/masters/kubelet_service.log".to_owned(),
                ("mg/host_service_logs/masters/kubelet_service.log", Component::Kubelet, None),
            ),
            (
                "sos/kubectl_--namespace_kube-system_logs_kube-scheduler-cp0_-c_kube-scheduler".to_owned(),
                ("kube-system/kube-scheduler-cp0/kube-scheduler", Component::Scheduler, Some("cp0")),
            ),
            ("etcd.log.2".to_owned(), ("etcd.log", Component::Etcd, None)),
            ("x/etcd-cp1.log".to_owned(), ("x/etcd-cp1.log", Component::Etcd, None)),
        ];
        for (path, (id, component, node)) in cases {
            let got = identify(Path::new(&path));
            assert_eq!(
                (&*got.id, got.component, got.node.as_deref()),
                (id, component, node),
                "{path}"
            );
        }
    }

    #[test]
    fn restarts_and_previous_files_are_in_order() {
        let order = |path: &str| identify(Path::new(path)).order;
        let pod = "/var/log/pods/a_b_0123456789abcdef/c";
        assert!(order(&format!("{pod}/1.log.20250502-181650.gz")) < order(&format!("{pod}/1.log")));
        assert!(order(&format!("{pod}/1.log")) < order(&format!("{pod}/2.log.20250502-181650")));
        let logs = "namespaces/n/pods/p/c/c/logs";
        let names = [
            "rotated/0.log.20250502-181650.gz",
            "previous.insecure.log",
            "previous.log",
            "current.log",
        ];
        let orders: Vec<_> = names
            .iter()
            .map(|name| order(&format!("{logs}/{name}")))
            .collect();
        assert!(orders.is_sorted(), "{orders:?}");
        assert!(
            order("x/etcd.log.2") < order("x/etcd.log.1")
                && order("x/etcd.log.1") < order("x/etcd.log")
        );
    }

    proptest::proptest! {
        #[test]
        fn never_panics(path in "[a-z0-9./_\u{e9}T-]{0,80}") {
            let _ = identify(Path::new(&path));
        }
    }
}
