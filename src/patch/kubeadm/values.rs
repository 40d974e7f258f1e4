//! What a manifest has for a flag, and what a change makes of it.

use crate::advise::Advice;
use crate::catalog::releases::Version;
use crate::catalog::settings::Component;
use crate::patch::change::{Change, is_list, value_for};
use crate::patch::pod::Pod;

use super::pods::Edited;
use crate::patch::yaml::Refusal;

/// From here on kube-scheduler lets the flags of leader election win over its file (kubernetes #105712).
const FLAGS_WIN: Version = Version::minor(1, 23);

/// Whether the component heeds the flag: kube-scheduler with `--config` reads some in its file alone.
pub(super) fn heeded(
    one: &Edited,
    advice: &Advice,
    version: Option<Version>,
) -> Result<(), String> {
    if one.component != Component::Scheduler {
        return Ok(());
    }
    let Some(file) = one.pod.flag("config") else {
        return Ok(());
    };
    let election = advice.setting.starts_with("leader-elect");
    let client = advice.setting.starts_with("kube-api-");
    if client || election && version.is_none_or(|version| version < FLAGS_WIN) {
        let version = version.map_or_else(|| "its version".to_owned(), |v| v.to_string());
        return Err(format!(
            "kube-scheduler {version} runs with --config={file} and heeds what stands there, not \
             --{}: `patch --target scheduler-config` changes that file",
            advice.setting
        ));
    }
    Ok(())
}

/// Sets or takes out flags.
pub(super) fn apply(pod: &mut Pod, change: &Change) -> Result<(), Refusal> {
    match change {
        Change::Set { flag, value } => pod.set_flag(flag, value),
        Change::Remove { flags } => flags.iter().try_for_each(|flag| pod.remove_flag(flag)),
    }
}

/// What a pod has for the flag that a change sets.
pub(super) fn have(
    pod: &Pod,
    advice: &Advice,
    component: Component,
    change: &Change,
) -> Option<String> {
    let Change::Set { flag, .. } = change else {
        return None;
    };
    let given = if is_list(advice, component) {
        pod.joined(flag)
    } else {
        pod.flag(flag)
    };
    given.or_else(|| {
        let variable = format!("ETCD_{}", flag.to_ascii_uppercase().replace('-', "_"));
        let set = (component == Component::Etcd).then(|| pod.env(&variable));
        set.flatten().map(str::to_owned)
    })
}

/// The change as it is for a file that has this value.
pub(super) fn fitted(
    change: Change,
    advice: &Advice,
    component: Component,
    have: Option<&str>,
) -> Result<Change, String> {
    let Change::Set { flag, value } = change else {
        return Ok(change);
    };
    let value = value_for(advice, component, &value, have)?;
    Ok(if value.is_empty() {
        Change::Remove { flags: vec![flag] }
    } else {
        Change::Set { flag, value }
    })
}

/// A value that is not what the advice was made from, and what becomes of it.
pub(super) fn difference(on: &str, advice: &Advice, have: Option<&str>, change: &Change) -> String {
    let after = match change {
        Change::Set { value, .. } => format!("becomes `{value}`"),
        Change::Remove { .. } => "goes".to_owned(),
    };
    format!(
        "{on}: {} is {} there, and the evidence showed `{}`; it {after}",
        advice.setting,
        have.map_or_else(|| "not set".to_owned(), |have| format!("`{have}`")),
        advice.now.as_deref().unwrap_or("nothing"),
    )
}

/// Whether a change gives a file another value than it has.
pub(super) fn sets_anew(change: &Change, have: Option<&str>) -> bool {
    !matches!(change, Change::Set { value, .. } if Some(value.as_str()) == have)
}
