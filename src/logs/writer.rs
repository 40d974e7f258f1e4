//! Which program wrote a record, as its wrapper says.
//!
//! Programs that use the same client library use the same words, so of a stream of several
//! programs only the wrapper tells whose a record is: the journal's unit and identifier, syslog's
//! tag, the pod and container of `kubectl logs --prefix` and stern.

use crate::catalog::controllers::{self, Controller};

use super::aggregate::audit::SEPARATOR;
use super::event::Component;
use super::input::{is_events, of_container, of_path};

/// Longest name that is believed: a pod's and a container's.
const LONGEST: usize = 320;
/// How `kubectl logs --prefix` names a pod and its container.
const POD: &str = "pod/";

/// How names of static pods, and EKS's of log streams, begin. An etcd member says its own name.
const PODS: [(&str, Component); 3] = [
    ("kube-apiserver-", Component::Apiserver),
    ("kube-controller-manager-", Component::ControllerManager),
    ("kube-scheduler-", Component::Scheduler),
];
/// What OpenShift calls programs beside these.
const BESIDE: [&str; 6] = [
    "operator",
    "syncer",
    "recovery",
    "regeneration",
    "endpoints",
    "readyz",
];

/// The etcd that keeps only events, beside the one that keeps all the rest.
pub const EVENTS: &str = "etcd-events";

/// Whether a component is an etcd, whatever it keeps.
pub fn is_etcd(component: &str) -> bool {
    component == Component::Etcd.word() || component == EVENTS
}

/// Whether a pod, unit or file of that name is of the etcd that keeps only events.
pub fn is_events_name(name: &str) -> bool {
    let rest = name.strip_prefix(EVENTS);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.', '_', '@']))
}

/// A component's word, of an etcd by what it keeps.
fn word(component: Component, events: bool) -> &'static str {
    match component {
        Component::Etcd if events => EVENTS,
        known => known.word(),
    }
}

/// The component of a program or unit of that name; of the control plane only.
pub fn program(name: &[u8]) -> Option<Component> {
    let name = name.strip_suffix(b".service").unwrap_or(name);
    Some(match name {
        b"etcd" | b"etcd-events" => Component::Etcd,
        b"kube-apiserver" => Component::Apiserver,
        b"kube-controller-manager" => Component::ControllerManager,
        b"kube-scheduler" => Component::Scheduler,
        b"kubelet" => Component::Kubelet,
        _ => return None,
    })
}

/// Of several names for one writer the one that is a known program's, else the first.
pub fn best(names: [Option<&[u8]>; 3]) -> Option<&[u8]> {
    let mut names = names.into_iter().flatten().filter(|name| !name.is_empty());
    let first = names.next()?;
    if program(first).is_some() {
        // The second etcd's unit starts the same program.
        let unit = (first == b"etcd").then(|| names.find(|name| is_events_unit(name)));
        return unit.flatten().or(Some(first));
    }
    names.find(|name| program(name).is_some()).or(Some(first))
}

fn is_events_unit(name: &[u8]) -> bool {
    name.strip_suffix(b".service") == Some(EVENTS.as_bytes())
}

/// The component of a static pod of that name.
fn of_static_pod(name: &str) -> Option<Component> {
    let (_, component) = PODS.iter().find(|(start, _)| name.starts_with(start))?;
    (!BESIDE.iter().any(|word| name.contains(word))).then_some(*component)
}

/// Of several names for one writer the one that surely is a program's, else the first. A pod alone
/// counts where its name says which program's it is.
pub fn surest<'n>(names: [Option<&'n [u8]>; 2], pod: Option<&'n [u8]>) -> Option<&'n [u8]> {
    let names = names.into_iter().flatten();
    let is_sure = |name: &&[u8]| writer(name).is_some();
    names
        .clone()
        .chain(pod)
        .find(is_sure)
        .or_else(|| names.clone().next())
}

/// The writer that a wrapper's name stands for, if it surely is one program. Names of runtimes and of
/// programs that run a whole control plane (`k3s`) are not a writer's; a path is where it says whose
/// log it is.
pub fn writer(ident: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(ident).ok()?;
    if text.len() > LONGEST {
        return None;
    }
    if text.contains('/') && !text.starts_with(POD) {
        return of_file(text);
    }
    let pod = match text.strip_prefix(POD) {
        Some(rest) => rest.split_once('/'),
        None => text.split_once(' ').or_else(|| {
            // `POD[CONTAINER` of kail.
            text.split_once('[')
        }),
    };
    if let Some((pod, container)) = pod {
        return Some(of_pod(pod, container));
    }
    if let Some(known) = program(ident) {
        return Some(word(known, is_events_name(text)).to_owned());
    }
    if let Some(known) = of_static_pod(text) {
        return Some(known.word().to_owned());
    }
    if is_numbered_etcd(text) {
        return Some(format!("{}{SEPARATOR}{text}", Component::Etcd.word()));
    }
    let name = text.strip_suffix(".service").unwrap_or(text);
    Controller::by_name(name).map(|_| controllers::component_of_pod(name, ""))
}

fn of_pod(pod: &str, container: &str) -> String {
    let (component, node) = of_container(pod, container);
    let name = match component {
        // One member of several has its pod's name, whoever runs it.
        Component::Etcd if node.is_none() && pod != component.word() => {
            let name = word(component, is_events(pod, container));
            return format!("{name}{SEPARATOR}{pod}");
        }
        Component::Unknown | Component::Controller => controllers::component_of_pod(pod, container),
        known => word(known, is_events(pod, container)).to_owned(),
    };
    match node {
        Some(node) => format!("{name}{SEPARATOR}{node}"),
        None => name,
    }
}

/// `etcd2`, `etcd-2` and `etcd2-1` of compose files: the only names of members that need no pod.
fn is_numbered_etcd(name: &str) -> bool {
    let numbers = name.strip_prefix(Component::Etcd.word());
    numbers.is_some_and(|text| {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let text = text.strip_prefix(['-', '_']).unwrap_or(text);
        text.split(['-', '_']).all(digits)
    })
}

/// The writer on that host, unless its name says where it is.
pub fn on_host(writer: String, host: &[u8]) -> String {
    // `etcd2` is a unit's name as well: of several hosts each has one.
    let writer = match parts(&writer) {
        (name, Some(node)) if is_numbered_etcd(node) => name.to_owned(),
        _ => writer,
    };
    match (writer.contains(SEPARATOR), std::str::from_utf8(host)) {
        // A static pod's name ends with its node's.
        (false, Ok(host)) if host.len() <= LONGEST => {
            let of_pod = host.strip_prefix(&*writer);
            let node = of_pod.and_then(|rest| rest.strip_prefix('-'));
            format!("{writer}{SEPARATOR}{}", node.unwrap_or(host))
        }
        _ => writer,
    }
}

/// The writer of a file that grep names.
fn of_file(path: &str) -> Option<String> {
    let (component, node, events) = of_path(path);
    let name = word(program(component.word().as_bytes())?, events);
    Some(match node {
        Some(node) => format!("{name}{SEPARATOR}{node}"),
        None => name.to_owned(),
    })
}

/// A writer's component and its node, where its name says it.
pub fn parts(writer: &str) -> (&str, Option<&str>) {
    match writer.split_once(SEPARATOR) {
        Some((component, node)) => (component, Some(node)),
        None => (writer, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_programs_are_writers() {
        for (ident, want) in [
            ("kube-controller-manager", Some("kube-controller-manager")),
            ("kube-scheduler.service", Some("kube-scheduler")),
            ("kubelet", Some("kubelet")),
            ("etcd", Some("etcd")),
            ("k3s", None),
            ("rke2-pods", None),
            ("dockerd", None),
            ("postfix/smtpd", None),
            ("capi-controller-manager", Some("capi-controller-manager")),
            ("pod/etcd-cp0/etcd", Some("etcd\u{1f}cp0")),
            ("etcd-0 etcd", Some("etcd\u{1f}etcd-0")),
            ("etcd-events.service", Some("etcd-events")),
            (
                "pod/etcd-events-cp0/etcd-events",
                Some("etcd-events\u{1f}cp0"),
            ),
            (
                "pod/etcd-druid-6d5f5f5f-abcde/etcd-druid",
                Some("etcd-druid"),
            ),
            (
                "pods/kube-system_etcd-events-cp0_0123456789abcdef0123456789abcdef/etcd-events/0.log",
                Some("etcd-events\u{1f}cp0"),
            ),
            ("pod/my-etcd-0/etcd", Some("etcd\u{1f}my-etcd-0")),
            (
                "pods/kube-system_etcd-cp0_0123456789abcdef0123456789abcdef/etcd/0.log",
                Some("etcd\u{1f}cp0"),
            ),
            ("tmp/notes.log", None),
            ("etcd2", Some("etcd\u{1f}etcd2")),
            ("etcd-2-1", Some("etcd\u{1f}etcd-2-1")),
            ("etcd-2nd", None),
            (
                "pod/kube-scheduler-cp0/kube-scheduler",
                Some("kube-scheduler\u{1f}cp0"),
            ),
            (
                "pod/capi-controller-manager-7d4b9c6f5d-x2x9z/manager",
                Some("capi-controller-manager"),
            ),
            ("web-7d4b9c6f5d-x2x9z proxy", Some("web/proxy")),
            (
                "kube-scheduler-cp0[kube-scheduler",
                Some("kube-scheduler\u{1f}cp0"),
            ),
            (
                "kube-controller-manager-0123abcd",
                Some("kube-controller-manager"),
            ),
            ("kube-controller-manager-cert-syncer", None),
            ("kube-apiserver-operator-5d-x", None),
            ("etcd-cp0", None),
        ] {
            assert_eq!(writer(ident.as_bytes()).as_deref(), want, "{ident}");
        }
    }

    #[test]
    fn a_host_tells_more_than_a_number() {
        let of =
            |ident: &str, host: &str| on_host(writer(ident.as_bytes()).unwrap(), host.as_bytes());
        assert_eq!(of("etcd2", "node-1"), "etcd\u{1f}node-1");
        assert_eq!(of("etcd", "node-2"), "etcd\u{1f}node-2");
        assert_eq!(of("pod/my-etcd-0/etcd", "node-1"), "etcd\u{1f}my-etcd-0");
        assert_eq!(of("etcd-2-1", "node-1"), "etcd\u{1f}node-1");
    }

    #[test]
    fn a_known_unit_tells_more_than_an_unknown_identifier() {
        let names = |ident: &'static str, unit: &'static str| {
            best([Some(ident.as_bytes()), None, Some(unit.as_bytes())])
        };
        assert_eq!(
            names("start.sh", "kube-apiserver.service"),
            Some(&b"kube-apiserver.service"[..])
        );
        assert_eq!(names("etcd", "kubelet.service"), Some(&b"etcd"[..]));
        assert_eq!(
            names("etcd", "etcd-events.service"),
            Some(&b"etcd-events.service"[..])
        );
        assert_eq!(names("bash", "session-1.scope"), Some(&b"bash"[..]));
        assert_eq!(names("", ""), None);
    }
}
