//! What a controller's version does not take, or what its authors call unsafe there.

use crate::catalog::controllers::{Known, Role};
use crate::rules::Confidence;

use super::super::advice::{Advice, Disposition, Remedy};
use super::super::facts::Facts;
use super::super::process::Process;
use super::knob::place;

/// Flags that are set and that the version does not know: it does not start with them.
pub(super) fn crashes(facts: &Facts<'_>, process: &Process) -> Vec<Advice> {
    let Some(known) = process.known else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for knob in &known.knobs {
        let Known::Gone(version) = process.knows(knob) else {
            continue;
        };
        let set = process.knob(facts, knob);
        if !set.set {
            continue;
        }
        let mut advice = Advice::new(
            format!("{}-{}-removed", process.short(), set.name),
            Remedy::Safety,
            &process.name,
            set.name.clone(),
        )
        .detail("remove", set.name.clone());
        advice.now = set.words();
        advice.proposed = "remove the flag".to_owned();
        advice.why = format!(
            "{} is {}, and --{} is gone since {version}: a program that meets an unknown flag does \
             not start",
            known.title,
            process
                .version
                .map_or_else(|| "newer".to_owned(), |span| span.words()),
            set.name
        );
        advice.effect = "it starts, and goes on starting after the next roll-out".to_owned();
        advice.confidence = Confidence::High;
        advice.risk = "none".to_owned();
        advice.undo = "none is advised".to_owned();
        advice.verify = "the pod runs, and its log names no unknown flag".to_owned();
        advice.disposition = Disposition::Disruptive;
        advice.source.clone_from(&known.source);
        all.push(place(advice, process, knob, &set));
    }
    all
}

/// More workers than one in a version whose authors call that unsafe.
pub(super) fn unsafe_now(facts: &Facts<'_>, process: &Process) -> Vec<Advice> {
    let Some(known) = process.known else {
        return Vec::new();
    };
    let (oldest, _) = process.span();
    let mut all = Vec::new();
    for knob in known.knobs_of(Role::Workers) {
        let set = process.knob(facts, knob);
        let (Some(safe), Some(oldest), Some(workers)) = (knob.unsafe_before, oldest, set.number())
        else {
            continue;
        };
        if !set.set || oldest >= safe || workers <= 1.0 {
            continue;
        }
        let mut advice = Advice::new(
            format!("{}-{}-unsafe", process.short(), set.name),
            Remedy::Safety,
            &process.name,
            set.name.clone(),
        );
        advice.now = set.words();
        advice.proposed = "1".to_owned();
        let note = knob.note.as_deref().unwrap_or_default();
        advice.why = format!("{} is {oldest}, and {note}", known.title);
        advice.effect = "its workers do not get into each other's way".to_owned();
        advice.confidence = Confidence::High;
        advice.risk = format!("its queue is worked off more slowly until it is {safe} or newer");
        advice.undo = format!("set {} back to the value above", set.name);
        advice.verify = "the pod runs with the new value".to_owned();
        advice.disposition = Disposition::Disruptive;
        advice.source.clone_from(&known.source);
        all.push(place(advice, process, knob, &set));
    }
    all
}
