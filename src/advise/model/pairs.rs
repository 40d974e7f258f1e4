//! Published pairs of QPS and burst, and which of them is enough.

use crate::catalog::controllers::Controller;

use super::pace::number;

/// Published pairs of QPS and burst for one client, with the cluster size they were published
/// for. A proposal is always one of them, or one of the controller's own in the catalogue.
pub(super) const STEPS: &[(f64, f64, u64, &str)] = &[
    (20.0, 30.0, 0, "kube-controller-manager default 20/30"),
    (50.0, 100.0, 0, "component-base default 50/100"),
    (
        100.0,
        100.0,
        0,
        "100/100: Kubernetes' own 5000-node scale tests, and Huawei CCE from 50 nodes on",
    ),
    (200.0, 200.0, 1000, "200/200: Huawei CCE above 1000 nodes"),
    (500.0, 500.0, 5000, "500/500: kOps' 5000-node scale test"),
];

/// A pair to propose.
pub(super) struct Pair {
    pub(super) qps: f64,
    pub(super) burst: f64,
    /// Nodes for which it was published; 0 where that does not matter.
    pub(super) size: u64,
    pub(super) source: String,
}

/// The smallest published step that lets the longest wait fall below a second, within what was
/// published for this controller, or for the size of the cluster.
pub(super) fn step(
    own: Option<&Controller>,
    qps: f64,
    burst: f64,
    backlog: f64,
    nodes: Option<u64>,
    target_secs: f64,
) -> Option<Pair> {
    let own_steps = own.map_or(&[][..], |own| own.steps.as_slice());
    let pairs: Vec<Pair> = if own_steps.is_empty() {
        STEPS
            .iter()
            .map(|(qps, burst, size, source)| Pair {
                qps: *qps,
                burst: *burst,
                size: *size,
                source: (*source).to_owned(),
            })
            .collect()
    } else {
        own_steps
            .iter()
            .map(|step| Pair {
                qps: step.qps,
                burst: step.burst,
                size: 0,
                source: format!(
                    "{}/{}: {}",
                    number(step.qps),
                    number(step.burst),
                    step.source
                ),
            })
            .collect()
    };
    let mut best = None;
    for pair in pairs {
        let higher = pair.qps > qps || (pair.qps >= qps && pair.burst > burst);
        let published = pair.size == 0 || nodes.is_some_and(|nodes| nodes >= pair.size);
        if !higher || !published {
            continue;
        }
        let enough = backlog / pair.qps <= target_secs;
        best = Some(pair);
        if enough {
            break;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_published_pairs_within_the_size() {
        let qps = |qps, burst, backlog, nodes| {
            step(None, qps, burst, backlog, nodes, 1.0).map(|s| (s.qps, s.burst))
        };
        // 5/5 with the longest wait 3.9 s: the default drains it.
        assert_eq!(qps(5.0, 5.0, 19.5, None), Some((20.0, 30.0)));
        assert_eq!(qps(20.0, 30.0, 632.0, Some(4100)), Some((200.0, 200.0)));
        assert_eq!(qps(20.0, 30.0, 632.0, None), Some((100.0, 100.0)));
        assert_eq!(qps(20.0, 30.0, 632.0, Some(300)), Some((100.0, 100.0)));
        assert_eq!(qps(200.0, 200.0, 9999.0, Some(4100)), None);
        assert_eq!(qps(200.0, 200.0, 9999.0, Some(5000)), Some((500.0, 500.0)));
        assert!(STEPS.is_sorted_by(|a, b| a.0 < b.0 && a.2 <= b.2));
    }

    #[test]
    fn a_controller_with_published_values_gets_those() {
        let capi = Controller::by_id("cluster-api");
        let pair = step(capi, 20.0, 30.0, 60.0, Some(50), 1.0).unwrap();
        assert_eq!((pair.qps, pair.burst), (100.0, 200.0));
        assert!(step(capi, 100.0, 200.0, 9e9, Some(9000), 1.0).is_none());
        let faas = Controller::by_id("openfaas-operator");
        let pair = step(faas, 5.0, 10.0, 60.0, None, 1.0).unwrap();
        assert_eq!((pair.qps, pair.burst), (100.0, 250.0));
    }
}
