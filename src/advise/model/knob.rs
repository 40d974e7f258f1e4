//! What advice on a controller's knob says besides its value: where it is set, what is written for
//! it, when it goes, and how it is undone.

use crate::catalog::controllers::{Controller, Knob};
use crate::catalog::settings::setting;

use super::super::advice::{Advice, Disposition};
use super::super::process::{Process, Set};
use super::pace::number;

/// Adds where a knob is set, for those who write files.
pub(super) fn place(mut advice: Advice, process: &Process, knob: &Knob, set: &Set) -> Advice {
    let Some(known) = process.known else {
        return advice;
    };
    if known.id.starts_with("kube") {
        return advice;
    }
    advice = advice.detail("controller", known.id.clone());
    if let Some(workload) = &process.workload {
        for (name, value) in [
            ("kind", Some(&workload.kind)),
            ("namespace", workload.namespace.as_ref()),
            ("workload", Some(&workload.name)),
            ("container", Some(&workload.container)),
        ] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                advice = advice.detail(name, value.clone());
            }
        }
    }
    for (name, value) in [("helm", &knob.helm), ("config-map", &knob.config_map)] {
        if let Some(value) = value {
            advice = advice.detail(name, value.clone());
        }
    }
    // Variables are written with capitals or underscores, flags never are.
    let means = if knob.helm.as_deref() == Some(set.name.as_str()) || set.name.contains('.') {
        "file"
    } else if set.name.contains('_') {
        "env"
    } else {
        "flag"
    };
    advice.detail("means", means)
}

/// A proposal that equals the default of a version whose default changed says nothing: the
/// setting goes, and later defaults act. It stays where it is a step from below the default with
/// more steps above (`further`): a default that is written out shows that it was raised.
pub(super) fn remove_if_default(
    mut advice: Advice,
    process: &Process,
    knob: &Knob,
    set: &Set,
    value: f64,
    further: bool,
) -> Advice {
    let (oldest, newest) = process.span();
    let default = knob
        .default_for(oldest, newest)
        .and_then(|text| text.parse::<f64>().ok());
    if knob.defaults.len() < 2 || default != Some(value) || !set.set || further {
        return advice;
    }
    advice.proposed = format!("remove it: the default is {}", number(value));
    advice.detail("remove", set.name.clone())
}

/// What a file may be written for: known values in known versions.
pub(super) fn disposition(process: &Process, set: &Set, known: &Controller) -> Disposition {
    if set.unread.is_some() {
        return Disposition::ShowOnly;
    }
    if known.id == "kube-controller-manager" {
        return Disposition::Disruptive;
    }
    // Kubernetes' own parts have their value in a file of theirs, which a patch edits where it stands.
    let written = known
        .component()
        .is_some_and(|component| setting(component, &set.name).is_some())
        || !known.id.starts_with("kube");
    let sure = set.set || process.version.is_some();
    if written && sure && set.now.is_some() {
        Disposition::Disruptive
    } else {
        Disposition::ShowOnly
    }
}

pub(super) fn undo(set: &Set, known: &Controller) -> String {
    let restarts = match known.kind.as_str() {
        "Deployment" | "StatefulSet" | "DaemonSet" => "its pods are rolled",
        _ => "the component restarts within seconds",
    };
    if set.now.is_some() {
        format!("set {} back to the value above; {restarts}", set.name)
    } else {
        format!("take {} out again; {restarts}", set.name)
    }
}
