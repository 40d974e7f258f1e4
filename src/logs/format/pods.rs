//! Which pod and container wrote a line, by what a shipper puts beside it: names of its own,
//! labels, attributes, or the path of the file that the line was read from.

use crate::logs::record::{Value, ValueKind};
use crate::logs::writer;

use super::json::{JsonFields, nested_end};

/// How deep labels are looked for: OpenTelemetry's stand in a resource's attributes.
const DEPTH: u8 = 3;

/// A pod and its container, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place<'a> {
    /// The pod.
    pub pod: Option<&'a [u8]>,
    /// The container.
    pub container: Option<&'a [u8]>,
}

impl<'a> Place<'a> {
    /// What is not known here is taken from there.
    pub fn or(self, other: impl FnOnce() -> Option<Self>) -> Self {
        if self.pod.is_some() && self.container.is_some() {
            return self;
        }
        let other = other().unwrap_or_default();
        Place {
            pod: self.pod.or(other.pod),
            container: self.container.or(other.container),
        }
    }

    /// Takes a field of an object, if it names one of both. The first of a name counts.
    pub fn note(&mut self, name: &[u8], value: &Value<'a>) -> bool {
        let slot = match name {
            b"pod"
            | b"pod_name"
            | b"podName"
            | b"k8s.pod.name"
            | b"k8s_pod_name"
            | b"kubernetes_pod_name" => &mut self.pod,
            b"container"
            | b"container_name"
            | b"containerName"
            | b"k8s.container.name"
            | b"k8s_container_name"
            | b"kubernetes_container_name" => &mut self.container,
            _ => return false,
        };
        *slot = slot.or_else(|| name_of(value));
        true
    }

    /// What labels say: of Fluent Bit (`{"pod_name":"etcd-a",…}`), filebeat
    /// (`{"pod":{"name":"etcd-a"},…}`), Loki, or OpenTelemetry, whose attributes are a list.
    pub fn in_labels(labels: Value<'a>) -> Self {
        let mut place = Place::default();
        place.labels(labels, 0);
        place
    }

    fn labels(&mut self, labels: Value<'a>, depth: u8) {
        if labels.kind != ValueKind::Nested || depth >= DEPTH {
            return;
        }
        if labels.raw.starts_with(b"[") {
            for (name, value) in attributes(labels.raw) {
                self.label(name, value, depth);
            }
        } else {
            for (name, value) in JsonFields::new(labels.raw) {
                self.label(name, value, depth);
            }
        }
    }

    fn label(&mut self, name: &[u8], value: Value<'a>, depth: u8) {
        if self.note(name, &value) {
            return;
        }
        match name {
            // A program's own name, where nobody names its container.
            b"app" | b"app_kubernetes_io_name" | b"component" => {
                let app = name_of(&value).filter(|name| writer::program(name).is_some());
                self.container = self.container.or(app);
            }
            b"filename" | b"log.file.path" | b"file" | b"path" => {
                if let Some(path) = name_of(&value) {
                    *self = self.or(|| Place::of_path(path));
                }
            }
            b"attributes" | b"labels" => self.labels(value, depth + 1),
            _ => {}
        }
    }

    /// `…/pods/NAMESPACE_POD_UID/CONTAINER/0.log` and `…/containers/POD_NAMESPACE_CONTAINER-ID.log`,
    /// which Fluent Bit makes names of streams of, with points for the slashes.
    pub fn of_path(path: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(path).ok()?;
        if let Some((_, rest)) = text.split_once("/pods/") {
            let mut parts = rest.split('/');
            let mut names = parts.next()?.split('_');
            let (_, pod, _) = (names.next()?, names.next()?, names.next()?);
            return Some(Place {
                pod: some(pod),
                container: parts.next().and_then(some),
            });
        }
        let (_, file) = text
            .rsplit_once("containers/")
            .or_else(|| text.rsplit_once("containers."))?;
        let mut names = file.splitn(3, '_');
        let (pod, _, rest) = (names.next()?, names.next()?, names.next()?);
        let (container, id) = rest.rsplit_once('-')?;
        (id.len() >= 64).then(|| Place {
            pod: some(pod),
            container: some(container),
        })
    }

    /// Docker's name of a container, which the kubelet makes `k8s_CONTAINER_POD_NAMESPACE_UID_N`.
    pub fn of_docker(name: &'a [u8]) -> Self {
        let mut names = name.split(|b| *b == b'_');
        if names.next() == Some(b"k8s")
            && let (Some(container), Some(pod), Some(_)) =
                (names.next(), names.next(), names.next())
        {
            return Place {
                pod: Some(pod),
                container: Some(container),
            };
        }
        Place {
            pod: None,
            container: Some(name).filter(|name| !name.is_empty()),
        }
    }

    /// The name of a log stream: the file's, or that of EKS, `kube-scheduler-0123abcd`.
    pub fn of_stream(name: &'a [u8]) -> Self {
        Place::of_path(name).unwrap_or(Place {
            pod: Some(name).filter(|name| !name.is_empty()),
            container: None,
        })
    }

    /// Both as one name, `POD CONTAINER`, where both are known.
    pub fn join(&self, into: &mut Vec<u8>) -> bool {
        let (Some(pod), Some(container)) = (self.pod, self.container) else {
            return false;
        };
        into.extend_from_slice(pod);
        into.push(b' ');
        into.extend_from_slice(container);
        true
    }
}

fn some(name: &str) -> Option<&[u8]> {
    (!name.is_empty()).then_some(name.as_bytes())
}

/// A name, alone or as an object's.
fn name_of<'a>(value: &Value<'a>) -> Option<&'a [u8]> {
    let text = |value: &Value<'a>| (value.kind == ValueKind::String).then_some(value.raw);
    let raw = match value.kind {
        ValueKind::Nested => JsonFields::new(value.raw)
            .find(|(name, _)| matches!(*name, b"name" | b"stringValue"))
            .and_then(|(_, value)| text(&value)),
        _ => text(value),
    }?;
    // Docker's own names begin with a slash.
    let raw = match raw {
        [b'/', name @ ..] if !name.contains(&b'/') => name,
        raw => raw,
    };
    (!raw.is_empty()).then_some(raw)
}

/// Names and values of `[{"key":"k8s.pod.name","value":{"stringValue":"etcd-a"}},…]`.
fn attributes(list: &[u8]) -> impl Iterator<Item = (&[u8], Value<'_>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let from = at + memchr::memchr(b'{', list.get(at..)?)?;
        at = nested_end(list, from).ok()?;
        let (mut key, mut value) = (None, None);
        for (name, field) in JsonFields::new(list.get(from..at)?) {
            match name {
                b"key" => key = Some(field.raw),
                b"value" => value = Some(field),
                _ => {}
            }
        }
        Some((key?, value?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_every_shipper() {
        for labels in [
            r#"{"pod_name":"web-0","namespace_name":"a","container_name":"web"}"#,
            r#"{"pod":{"name":"web-0"},"node":{"name":"cp0"},"container":{"name":"web"}}"#,
            r#"{"pod":"web-0","container":"web","app":"kube-scheduler"}"#,
            r#"{"attributes":[{"key":"k8s.pod.name","value":{"stringValue":"web-0"}},{"key":"k8s.container.name","value":{"stringValue":"web"}}]}"#,
            r#"{"k8s.pod.name":"web-0","k8s.container.name":"web"}"#,
            r#"{"filename":"/var/log/pods/a_web-0_0f0f/web/0.log"}"#,
        ] {
            let place = Place::in_labels(Value {
                raw: labels.as_bytes(),
                kind: ValueKind::Nested,
            });
            assert_eq!(place.pod, Some(&b"web-0"[..]), "{labels}");
            assert_eq!(place.container, Some(&b"web"[..]), "{labels}");
        }
    }

    #[test]
    fn paths_and_names_of_streams() {
        let id = "0123456789abcdef".repeat(4);
        let both = |place: Option<Place<'_>>| {
            let mut name = Vec::new();
            place.unwrap_or_default().join(&mut name);
            String::from_utf8(name).unwrap()
        };
        for (path, want) in [
            (
                "/var/log/pods/a_web-0_0f0f/web/0.log".to_owned(),
                "web-0 web",
            ),
            (
                format!("/var/log/containers/web-0_a_web-{id}.log"),
                "web-0 web",
            ),
            (
                format!("ip-10-0-0-1-application.var.log.containers.web-0_a_web-{id}.log"),
                "web-0 web",
            ),
            ("/var/log/syslog".to_owned(), ""),
            ("/var/log/pods".to_owned(), ""),
        ] {
            assert_eq!(both(Place::of_path(path.as_bytes())), want, "{path}");
        }
        let docker = |name: &'static str| Place::of_docker(name.as_bytes());
        assert_eq!(both(Some(docker("k8s_web_web-0_a_0f0f_1"))), "web-0 web");
        assert_eq!(docker("etcd").container, Some(&b"etcd"[..]));
        assert_eq!(Place::of_stream(b"etcd-cp0").pod, Some(&b"etcd-cp0"[..]));
    }
}
