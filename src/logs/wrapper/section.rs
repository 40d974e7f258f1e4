//! The lines that `kubectl cluster-info dump` prints before and behind each container's log.

/// How the line before a log begins.
pub const START: &[u8] = b"==== START logs for container ";
/// How the line behind it does.
const END: &[u8] = b"==== END logs for container ";

/// What such a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The log of `POD CONTAINER` begins.
    Start(Vec<u8>),
    /// It is over.
    End,
}

/// Reads `==== START logs for container etcd of pod kube-system/etcd-cp0 ====`.
pub fn mark(line: &[u8]) -> Option<Mark> {
    let line = line.trim_ascii_end();
    if line.starts_with(END) {
        return Some(Mark::End);
    }
    let text = line.strip_prefix(START)?.strip_suffix(b" ====")?;
    let text = std::str::from_utf8(text).ok()?;
    let (container, pod) = text.split_once(" of pod ")?;
    let pod = pod.rsplit_once('/').map_or(pod, |(_, pod)| pod);
    Some(Mark::Start(format!("{pod} {container}").into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks() {
        let line = b"==== START logs for container etcd of pod kube-system/etcd-cp0 ====\r";
        assert_eq!(mark(line), Some(Mark::Start(b"etcd-cp0 etcd".to_vec())));
        let line = b"==== END logs for container etcd of pod kube-system/etcd-cp0 ====";
        assert_eq!(mark(line), Some(Mark::End));
        assert_eq!(mark(b"==== START logs for container"), None);
        assert_eq!(mark(b"===="), None);
    }
}
