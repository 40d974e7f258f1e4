//! What a client should change that asks and changes nothing, by how it is seen to.

use crate::rules::load::client_hot_loop::{READS, REFUSED};

use super::super::super::advice::Advice;
use super::super::super::facts::Facts;
use super::super::relief::percent;
use super::{Culprit, for_client, loudest, who};

pub(super) fn advise(facts: &Facts<'_>, culprit: &Culprit) -> Advice {
    let what = culprit.resource.as_deref().unwrap_or("objects");
    let (now, proposed, stops) = match culprit.aspect.as_str() {
        READS => (
            format!("reads the same {what} at a fixed rate"),
            "watch it instead (an informer), or requeue with exponential back-off",
            "",
        ),
        REFUSED => (
            format!("writes the same {what} at a fixed rate, and is refused"),
            "requeue with exponential back-off, read the object again after a conflict, stop on NotFound",
            ", and its answers 404 and 409 stop",
        ),
        _ => (
            format!("requeues the same {what} at a fixed rate"),
            "requeue with exponential back-off, stop on NotFound, write only when something changed",
            ", and its 404s stop",
        ),
    };
    let most = loudest(facts).filter(|(name, _, _)| *name == culprit.name);
    Advice {
        now: Some(now),
        proposed: proposed.to_owned(),
        why: format!("{}: {}", who(culprit), culprit.message),
        effect: match most {
            Some((_, _, share)) => format!(
                "the requests that change nothing stop; this client sends {} of all requests in the \
                 audit log",
                percent(share)
            ),
            None => "the requests that change nothing stop; the rest of the control plane hardly \
                     notices, since such a loop is a bug more than a load"
                .to_owned(),
        },
        risk: "a back-off that is too long delays real changes: cap it at a few minutes".to_owned(),
        undo: "roll the controller back to its former version".to_owned(),
        verify: format!(
            "requests of this client fall below one per object and resync period{stops}"
        ),
        source: "client-go workqueue: per-item exponential back-off, 5 ms to 1000 s".to_owned(),
        ..for_client(culprit, "client-hot-loop", "requeue")
    }
}
