//! Clients that wait for their own limiter and whose limits are left alone, and why.

use crate::catalog::controllers::{Controller, Knob, shown};
use crate::diagnosis::Cause;
use crate::units::format_ms;

use super::super::advice::{Advice, Remedy, Strength};
use super::super::process::Process;
use super::pace::{number, waits};

/// A sick etcd comes first.
pub(super) fn not_now(process: &Process, cause: Cause) -> Advice {
    let mut advice = Advice::new(
        format!("{}-qps", process.short()),
        Remedy::ClientLimits,
        &process.name,
        "client QPS and burst",
    );
    advice.strength = Strength::Refused;
    advice.proposed = "leave both as they are for now".to_owned();
    advice.why = format!(
        "{}; but {}: more requests would make that worse, and its limiter may rest once that is \
         mended",
        waits(process).join("; "),
        cause.headline()
    );
    advice.effect = "none: its requests would wait in etcd instead".to_owned();
    advice.risk = "a client that is let loose on a sick etcd slows down everybody".to_owned();
    advice.undo = "nothing to undo".to_owned();
    advice.verify = "look again when the cause above is mended".to_owned();
    advice.finding_ids = vec!["client-throttled".to_owned()];
    advice.source = "order of remedies: disk and etcd, clients, shards, limits".to_owned();
    advice
}

/// Its version has no such knob: the way is an upgrade.
pub(super) fn lacks(
    process: &Process,
    knob: &Knob,
    first: crate::catalog::releases::Version,
) -> Advice {
    let name = knob.names.first().map_or("", String::as_str);
    let version = process
        .version
        .map_or_else(|| "its version".to_owned(), |span| span.words());
    let mut advice = Advice::new(
        format!("{}-qps", process.short()),
        Remedy::ClientLimits,
        &process.name,
        name,
    );
    advice.strength = Strength::Refused;
    advice.proposed = format!("do not set {name}: {version} does not know it");
    advice.why = format!(
        "{}; but the flag came with {first}, and an unknown flag keeps the program from starting: \
         upgrade first",
        waits(process).join("; ")
    );
    advice.effect = "none".to_owned();
    advice.risk = "a crash loop".to_owned();
    advice.undo = "nothing to undo".to_owned();
    advice.verify = "nothing to verify".to_owned();
    advice.finding_ids = vec!["client-throttled".to_owned()];
    advice.source = process
        .known
        .map_or_else(String::new, |known| known.source.clone());
    advice
}

/// What is set is already the most that anybody published.
pub(super) fn beyond(process: &Process, known: &Controller, qps: f64, burst: f64) -> Advice {
    let mut advice = Advice::new(
        format!("{}-qps", process.short()),
        Remedy::ClientLimits,
        &process.name,
        "client QPS and burst",
    );
    advice.strength = Strength::Refused;
    advice.now = Some(format!("{}/{}", number(qps), number(burst)));
    advice.proposed = "leave both as they are".to_owned();
    advice.why = format!(
        "{}; but nobody publishes more than {}/{} for it at this size: what it asks so often for \
         is the question, not the limit",
        waits(process).join("; "),
        number(qps),
        number(burst)
    );
    advice.effect = "none to be expected".to_owned();
    advice.risk = "more requests reach kube-apiserver and etcd".to_owned();
    advice.undo = "nothing to undo".to_owned();
    advice.verify = "nothing to verify".to_owned();
    advice.finding_ids = vec!["client-throttled".to_owned()];
    advice.source = known.source.clone();
    advice
}

/// A client whose limits, or whose version, nobody knows.
pub(super) fn unknown_client(process: &Process) -> Advice {
    let name = shown(&process.name);
    let mut advice = Advice::new(
        format!("{}-qps", process.short()),
        Remedy::ClientLimits,
        name,
        "client QPS and burst",
    );
    advice.strength = Strength::Candidate;
    advice.proposed = "raise its QPS and burst by its own flags, environment or chart values, one \
                       step at a time"
        .to_owned();
    let note = process
        .known
        .and_then(|known| known.note.as_deref())
        .map_or_else(String::new, |note| format!("; {note}"));
    advice.why = format!(
        "{name} throttles itself, the longest wait {}; client-go allows 5 requests a second with \
         burst 10 unless the program sets more. What this program sets, or in which version it \
         runs, is not known{note}",
        format_ms(process.wait.max_ms)
    );
    advice.effect = "its requests no longer wait in the client".to_owned();
    advice.risk = "more requests reach kube-apiserver and etcd; from controller-runtime 0.21 on \
                   there is no client limit at all unless the program sets one, and then a \
                   priority level is the knob"
        .to_owned();
    advice.undo = "set the former values again".to_owned();
    advice.verify = "no more client-side throttling in its log".to_owned();
    advice.finding_ids = vec!["client-throttled".to_owned()];
    advice.source = "client-go rest/config.go; controller-runtime pkg/client/config".to_owned();
    advice
}
