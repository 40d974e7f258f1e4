//! What a component refuses of the values that are in force.

use crate::catalog::releases::Version;
use crate::catalog::settings::{self, Component, Kind, parse_bool, parse_float, parse_int};
use crate::manifest::model::{Fault, Means, Weight};
use crate::manifest::secret;
use crate::units::parse_go_duration;

use super::{Provenance, Settled, etcd};

/// Values that the component itself refuses.
pub(super) fn check(component: Component, version: Option<Version>, out: &mut Settled) {
    for effective in out.settings.values() {
        let Provenance::Given(means) = effective.from else {
            continue;
        };
        let (Some(found), Some(value)) = (
            settings::setting(component, &effective.name),
            effective.value.as_deref(),
        ) else {
            continue;
        };
        if !is_whole(value) {
            continue;
        }
        let in_etcd_file = component == Component::Etcd && means == Means::File;
        if let Some(version) = version
            && let Some(refused) = found
                .setting
                .refused_by(value, means == Means::File, version)
        {
            out.faults.push(
                Fault::new(
                    "removed-value",
                    Weight::Stop,
                    effective.place.clone().unwrap_or_default(),
                    format!(
                        "{} {version} refuses the value `{value}` of `{}`, which was removed in {}.{}",
                        component.program(),
                        effective.spelled.as_deref().unwrap_or(&effective.name),
                        refused.removed.major,
                        refused.removed.minor
                    ),
                )
                .about(&effective.name),
            );
            continue;
        }
        let good = match found.setting.kind {
            Kind::Bool => parse_bool(value).is_some(),
            Kind::Int | Kind::Bytes | Kind::Millis | Kind::Secs => parse_int(value).is_some(),
            Kind::Float => parse_float(value).is_some(),
            // etcd decodes its file into Go durations: whole nanoseconds.
            Kind::Duration if in_etcd_file => parse_int(value).is_some(),
            Kind::Duration => {
                parse_go_duration(value.trim_start_matches('-').as_bytes()).is_some()
                    || value == "0"
            }
            Kind::Text | Kind::List | Kind::Gates => true,
        };
        if good {
            continue;
        }
        let hint = match found.setting.kind {
            Kind::Duration if in_etcd_file => " (etcd's file wants whole nanoseconds)",
            Kind::Bytes => " (it must be a plain number of bytes)",
            _ => "",
        };
        out.faults.push(
            Fault::new(
                "invalid-value",
                Weight::Stop,
                effective.place.clone().unwrap_or_default(),
                format!(
                    "{} refuses the value `{value}` of `{}`{hint}",
                    component.program(),
                    effective.spelled.as_deref().unwrap_or(&effective.name)
                ),
            )
            .about(&effective.name),
        );
    }
    match component {
        Component::Etcd => {
            etcd::check(version, out);
            check_timing(out);
        }
        Component::ApiServer => check_ranges(out),
        Component::ControllerManager | Component::Scheduler => check_lease(component, out),
        _ => {}
    }
}

/// Whether a value is what the component gets: not masked, and no template of the pod that only the
/// kubelet fills in.
pub(super) fn is_whole(value: &str) -> bool {
    value != secret::MASK && !value.contains("$(") && !value.contains("${")
}

/// Numbers that kube-apiserver refuses although it can read them (apiserver
/// pkg/server/options/server_run_options.go, Validate).
fn check_ranges(out: &mut Settled) {
    const RANGES: [(&str, f64, &str); 3] = [
        ("max-requests-inflight", f64::MAX, "must not be negative"),
        (
            "max-mutating-requests-inflight",
            f64::MAX,
            "must not be negative",
        ),
        ("goaway-chance", 0.02, "must be from 0 to 0.02"),
    ];
    for (name, most, why) in RANGES {
        let Some(effective) = out.settings.get(name) else {
            continue;
        };
        let text = effective.value.as_deref().unwrap_or_default();
        if parse_float(text).is_none_or(|value| (0.0..=most).contains(&value)) {
            continue;
        }
        out.faults.push(
            Fault::new(
                "invalid-value",
                Weight::Stop,
                effective.place.clone().unwrap_or_default(),
                format!("kube-apiserver refuses the value `{text}` of `{name}`: it {why}"),
            )
            .about(name),
        );
    }
}

/// The times of a leader lease that client-go refuses (tools/leaderelection, NewLeaderElector).
fn check_lease(component: Component, out: &mut Settled) {
    let of = |name: &str| {
        let effective = out.settings.get(name)?;
        let time = parse_go_duration(effective.value.as_deref()?.as_bytes())?;
        Some((time, effective))
    };
    let elects = out.settings.get("leader-elect");
    if elects.and_then(|on| parse_bool(on.value.as_deref()?)) == Some(false) {
        return;
    }
    let (Some((lease, of_lease)), Some((renew, of_renew))) = (
        of("leader-elect-lease-duration"),
        of("leader-elect-renew-deadline"),
    ) else {
        return;
    };
    let text = |effective: &super::Effective| effective.value.clone().unwrap_or_default();
    if lease > renew {
        // A retry may come a fifth late (its JitterFactor is 1.2).
        let retry = of("leader-elect-retry-period");
        if let Some((retry, of_retry)) =
            retry.filter(|(retry, _)| renew <= retry.saturating_mul(6) / 5)
            && retry > 0
        {
            let place = of_renew.place.clone().or(of_retry.place.clone());
            let fault = Fault::new(
                "invalid-value",
                Weight::Stop,
                place.unwrap_or_default(),
                format!(
                    "{} refuses the lease: leader-elect-renew-deadline {} is not longer than 1.2 times leader-elect-retry-period {}",
                    component.program(),
                    text(of_renew),
                    text(of_retry)
                ),
            );
            out.faults.push(fault.about("leader-elect-renew-deadline"));
        }
        return;
    }
    let fault = Fault::new(
        "invalid-value",
        Weight::Stop,
        of_lease.place.clone().or(of_renew.place.clone()).unwrap_or_default(),
        format!(
            "{} refuses the lease: leader-elect-lease-duration {} is not longer than leader-elect-renew-deadline {}",
            component.program(),
            text(of_lease),
            text(of_renew)
        ),
    )
    .about("leader-elect-lease-duration");
    out.faults.push(fault);
}

/// etcd's own start-up checks of heartbeat and election (server/embed/config.go, Validate).
fn check_timing(out: &mut Settled) {
    let number = |name: &str| {
        let effective = out.settings.get(name)?;
        Some((
            parse_int(effective.value.as_deref()?)?,
            effective.place.clone(),
        ))
    };
    let (Some((heartbeat, near)), Some((election, at))) =
        (number("heartbeat-interval"), number("election-timeout"))
    else {
        return;
    };
    let why = if heartbeat.saturating_mul(5) > election {
        format!(
            "--election-timeout[{election}ms] should be at least as 5 times as --heartbeat-interval[{heartbeat}ms]"
        )
    } else if election > 50_000 {
        format!("--election-timeout[{election}ms] is too long, and should be set less than 50000ms")
    } else {
        return;
    };
    out.faults.push(
        Fault::new(
            "refused-timers",
            Weight::Stop,
            at.or(near).unwrap_or_default(),
            format!("etcd refuses to start: {why}"),
        )
        .about("election-timeout"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::effective::settle;
    use crate::manifest::model::{Given, Instance, Place, SourceKind};

    #[test]
    fn a_lease_leaves_room_for_a_late_retry() {
        let refused = |renew: &str, retry: &str| {
            let mut it = Instance::new("kube-scheduler", SourceKind::StaticPod, Place::default());
            it.component = Some(Component::Scheduler);
            for (name, value) in [
                ("leader-elect-renew-deadline", renew),
                ("leader-elect-retry-period", retry),
            ] {
                it.given.push(Given {
                    name: name.to_owned(),
                    value: Some(value.to_owned()),
                    means: Means::Flag,
                    place: Place::default(),
                });
            }
            let faults = settle(&it).faults;
            faults
                .iter()
                .any(|fault| fault.text.contains("refuses the lease"))
        };
        assert!(refused("10s", "9s") && refused("12s", "10s"));
        assert!(!refused("12001ms", "10s") && !refused("10s", "2s"));
    }
}
