//! What a stream goes by, as far as the names of its files tell.

use crate::catalog::controllers::{self, Controller};
use crate::logs::event::Component;
use crate::logs::input::{self, Stream};
use crate::logs::writer;

/// Who writes a stream, as far as names tell. Controllers are many: each goes by its workload's
/// name, so that its settings and metrics can be laid beside its log.
pub(in crate::logs) fn named(stream: &Stream) -> String {
    let workload = || {
        let pod = stream.pod.as_deref()?;
        Some(controllers::component_of_pod(
            pod,
            stream.container.as_deref().unwrap_or_default(),
        ))
    };
    // `logs/capi-controller-manager.log` of a hand-made bundle.
    let file = || {
        let file = stream.id.rsplit('/').next()?;
        Some(file.split('.').next()?.to_owned())
    };
    let known = |name: &String| Controller::by_name(name).is_some();
    match stream.component {
        Component::Unknown => workload()
            .filter(known)
            .or_else(|| file().filter(known))
            .unwrap_or_default(),
        Component::Controller => workload()
            .or_else(|| file().filter(known))
            .unwrap_or_else(|| Component::Controller.word().to_owned()),
        Component::Etcd if is_events(stream) => writer::EVENTS.to_owned(),
        known => known.word().to_owned(),
    }
}

/// Whether a stream is of the etcd that keeps only events.
fn is_events(stream: &Stream) -> bool {
    match (&stream.pod, &stream.container) {
        (Some(pod), Some(container)) => input::is_events(pod, container),
        // `kube-system-etcd-events-cp0.log`.
        _ => {
            let file = stream.id.rsplit('/').next().unwrap_or_default();
            let file = file.strip_prefix("kube-system").unwrap_or(file);
            writer::is_events_name(file.trim_start_matches(['-', '_', '.']))
                || file.starts_with("etcd-manager-events-")
        }
    }
}

/// What a stream goes by where nothing says better.
pub(super) fn called(stream: &Stream) -> String {
    let Some(pod) = stream.pod.as_deref() else {
        return String::new();
    };
    let container = stream.container.as_deref().unwrap_or_default();
    match stream.component {
        Component::Etcd if stream.node.is_none() && pod != container => pod.to_owned(),
        Component::Unknown => controllers::component_of_pod(pod, container),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(component: Component, pod: &str, container: &str, node: Option<&str>) -> Stream {
        Stream {
            id: format!("ns/{pod}/{container}"),
            component,
            node: node.map(str::to_owned),
            pod: Some(pod.to_owned()),
            container: Some(container.to_owned()),
            ..Stream::default()
        }
    }

    #[test]
    fn the_etcd_for_events_is_another_one_than_the_main_etcd() {
        use Component::{Apiserver, Etcd, Unknown};
        for (stream, name, called_so) in [
            (pod(Etcd, "etcd-cp0", "etcd", Some("cp0")), "etcd", ""),
            (
                pod(Etcd, "etcd-events-cp0", "etcd-events", Some("cp0")),
                "etcd-events",
                "",
            ),
            (pod(Etcd, "etcd-0", "etcd", None), "etcd", "etcd-0"),
            (
                pod(
                    Apiserver,
                    "kube-apiserver-6d5f5f5f-abcde",
                    "kube-apiserver",
                    None,
                ),
                "kube-apiserver",
                "",
            ),
            (pod(Unknown, "myop-0", "main", None), "", "myop/main"),
            (
                pod(Unknown, "kyverno-admission-6d5f5f5f-abcde", "kyverno", None),
                "",
                "kyverno-admission",
            ),
        ] {
            assert_eq!(
                (&*named(&stream), &*called(&stream)),
                (name, called_so),
                "{}",
                stream.id
            );
        }
        let file = |id: &str| Stream {
            id: id.to_owned(),
            component: Etcd,
            ..Stream::default()
        };
        for (id, name) in [
            ("/var/log/etcd-events.log", "etcd-events"),
            ("x/kube-system-etcd-events-cp0.log", "etcd-events"),
            ("/var/log/etcd.log", "etcd"),
        ] {
            assert_eq!(named(&file(id)), name);
        }
    }
}
