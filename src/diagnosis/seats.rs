//! What holds the seats of kube-apiserver, other than etcd and the number of requests.

use crate::evidence::{Reader, Subject, Table, keys};
use crate::profile::Profile;

/// Levels of a kube-apiserver whose seats are known from fewer are not all of them.
const LEVELS: usize = 5;

/// Whether some kube-apiserver divides fewer seats among its levels than its defaults give.
pub(super) fn few(reader: &Reader<'_>, profile: &Profile) -> bool {
    let limit = profile.get("inflight-sum");
    reader.all(&keys::APF_LEVELS).iter().any(|(_, table)| {
        let seats = table.rows.iter().filter_map(|row| row.get("limit_seats"));
        let seats: Vec<f64> = seats.collect();
        seats.len() >= LEVELS && seats.iter().sum::<f64>() < limit
    })
}

/// The share of the time for which requests hold seats that webhooks take, on the kube-apiserver
/// where it is most; `None` where it is the smaller part, or not known.
pub(super) fn webhook_share(reader: &Reader<'_>, profile: &Profile) -> Option<f64> {
    let held = |about: &Subject| {
        let executed = reader
            .peek(&keys::APF_LEVELS, about)
            .map(|levels| levels.total("execution_secs"));
        executed.filter(|secs| *secs > 0.0).or_else(|| {
            let requests = reader.peek(&keys::APISERVER_REQUESTS, about)?;
            Some(answering(&requests)).filter(|secs| *secs > 0.0)
        })
    };
    reader
        .all(&keys::APISERVER_WEBHOOKS)
        .iter()
        // Webhooks that are asked side by side take longer in sum than the request waits.
        .filter_map(|(about, hooks)| Some((hooks.total("total_secs") / held(about)?).min(1.0)))
        .filter(|share| *share >= profile.get("webhook-seats"))
        .max_by(f64::total_cmp)
}

/// Seconds for which requests were answered; a watch keeps its seat for its first moment only.
fn answering(requests: &Table) -> f64 {
    let long = |key: &str| key.starts_with("WATCH ") || key.starts_with("CONNECT ");
    let rows = requests.rows.iter().filter(|row| !long(&row.key));
    rows.filter_map(|row| row.get("total_secs")).sum()
}
