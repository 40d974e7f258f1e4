//! What is in force: value and source of every setting of an instance, and what is wrong with them.

mod check;
mod etcd;

use std::collections::BTreeMap;

use super::model::{Fault, Given, Instance, Means, Place, Weight};
use crate::catalog::releases::Version;
use crate::catalog::settings::{
    self, Component, DefaultOf, Existence, Found, Kind, Setting, Since, Spelling, flag_of_env,
    parse_gates,
};

/// Where a value in force comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// A flag, a variable or a file.
    Given(Means),
    /// The default of the version.
    Default,
    /// A default that depends on a version that is not known.
    UnknownDefault,
}

impl Provenance {
    /// The words used in evidence.
    pub fn word(self) -> &'static str {
        match self {
            Provenance::Given(means) => means.word(),
            Provenance::Default => "default",
            Provenance::UnknownDefault => "unknown default",
        }
    }
}

/// One setting in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    /// The catalogue's name, or the name as given when the catalogue does not know it.
    pub name: String,
    /// The value; `None` for an empty default and for a default that is not known.
    pub value: Option<String>,
    /// Where it comes from.
    pub from: Provenance,
    /// The name as given, when it was.
    pub spelled: Option<String>,
    /// Where it was given.
    pub place: Option<Place>,
    /// Whether the catalogue knows it.
    pub known: bool,
}

/// All settings of one instance, and their faults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settled {
    /// By name.
    pub settings: BTreeMap<String, Effective>,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// Why a source could not be read, so that what was not given may be no default.
    pub unread: Vec<String>,
}

/// Works out what is in force for an instance.
pub fn settle(instance: &Instance) -> Settled {
    settle_as(instance, instance.version())
}

/// Like [`settle`], with a version that another source gave, or that is asked about.
pub fn settle_as(instance: &Instance, version: Option<Version>) -> Settled {
    let mut out = Settled {
        unread: instance.unread.clone(),
        ..Settled::default()
    };
    let given = in_force(instance, &mut out.faults);
    let unread = !out.unread.is_empty();
    for one in &given {
        take(one, instance, version, &mut out);
    }
    if let Some(component) = instance.component {
        conflicts(&given, component, version, &instance.place, &mut out.faults);
        words(instance, component, &mut out.faults);
        for setting in settings::settings(component) {
            let partial = instance.partial && !instance.left_alone.contains(&setting.name);
            fill_default(setting, version, partial || unread, &mut out);
        }
        adjust_defaults(component, &mut out);
        check::check(component, version, &mut out);
    }
    out
}

/// What a component looks at: with a configuration file etcd ignores flags and environment.
fn in_force<'a>(instance: &'a Instance, faults: &mut Vec<Fault>) -> Vec<&'a Given> {
    if instance.component != Some(Component::Etcd) {
        return instance.given.iter().collect();
    }
    let file = instance.given.iter().find(|given| {
        (given.means == Means::Flag && given.name == "config-file")
            || (given.means == Means::Env && given.name == "ETCD_CONFIG_FILE")
    });
    let Some(file) = file else {
        return instance.given.iter().collect();
    };
    let others = instance
        .given
        .iter()
        .filter(|given| given.means != Means::File && !std::ptr::eq(*given, file))
        .filter(|given| {
            given.means == Means::Flag
                || flag_of_env(&given.name)
                    .is_some_and(|flag| settings::setting(Component::Etcd, &flag).is_some())
        })
        .count();
    if others > 0 {
        faults.push(
            Fault::new(
                "ignored-settings",
                Weight::Warn,
                file.place.clone(),
                format!("etcd reads `--config-file` and ignores the other {others} flags and variables given beside it"),
            )
            .about("config-file"),
        );
    }
    if !instance
        .given
        .iter()
        .any(|given| given.means == Means::File)
    {
        faults.push(
            Fault::new(
                "config-file-not-read",
                Weight::Warn,
                file.place.clone(),
                format!(
                    "etcd takes all settings from `{}`, which is not among the files read: what is in force is not known",
                    file.value.as_deref().unwrap_or("")
                ),
            )
            .about("config-file"),
        );
    }
    instance
        .given
        .iter()
        .filter(|given| given.means == Means::File || std::ptr::eq(*given, file))
        .collect()
}

/// The catalogue's entry for what was given.
fn lookup(component: Option<Component>, given: &Given) -> Option<Found> {
    let component = component?;
    match given.means {
        Means::Flag => settings::setting(component, &given.name),
        Means::Env => {
            let flag = (component == Component::Etcd)
                .then(|| flag_of_env(&given.name))
                .flatten()?;
            settings::setting(component, &flag)
        }
        Means::File => settings::setting_of_file(component, &given.name)
            .or_else(|| settings::setting(component, &given.name)),
    }
}

fn take(given: &Given, instance: &Instance, version: Option<Version>, out: &mut Settled) {
    let component = instance.component;
    let found = lookup(component, given);
    let Some(found) = found else {
        // Only variables that tune a controller were kept; etcd warns of the others and goes on.
        if component == Some(Component::Etcd) && given.means == Means::Env {
            out.faults.push(
                Fault::new(
                    "unknown-variable",
                    Weight::Note,
                    given.place.clone(),
                    format!(
                        "etcd knows no variable `{}` and only warns of it",
                        given.name
                    ),
                )
                .about(&given.name),
            );
            return;
        }
        if component == Some(Component::Etcd) {
            out.faults.extend(etcd::unknown_flag(given, version));
        }
        let name = given.name.clone();
        put(out, name, given, false, None);
        return;
    };
    let setting = found.setting;
    let taken = accepted(given, &found, component, version, &mut out.faults);
    if !taken && component == Some(Component::Etcd) && given.means != Means::Flag {
        // etcd goes on with its default.
        return;
    }
    let value = given
        .value
        .clone()
        .or_else(|| (setting.kind == Kind::Bool).then(|| "true".to_owned()));
    let given = Given {
        value,
        ..given.clone()
    };
    let accumulates = match setting.kind {
        Kind::Gates => true,
        // etcd's lists are replaced by a repeated flag, pflag's slices grow.
        Kind::List => component != Some(Component::Etcd),
        _ => false,
    };
    put(
        out,
        setting.name.to_owned(),
        &given,
        true,
        Some(accumulates),
    );
    if setting.kind == Kind::Gates && setting.name == "feature-gates" {
        for (gate, on) in parse_gates(given.value.as_deref().unwrap_or("")) {
            match on {
                Some(on) => {
                    let gate_given = Given {
                        value: Some(on.to_string()),
                        ..given.clone()
                    };
                    put(
                        out,
                        format!("feature-gates.{gate}"),
                        &gate_given,
                        true,
                        None,
                    );
                }
                None => out.faults.push(
                    Fault::new(
                        "invalid-value",
                        Weight::Stop,
                        given.place.clone(),
                        format!("the feature gate `{gate}` has no `=true` or `=false`"),
                    )
                    .about("feature-gates"),
                ),
            }
        }
    }
}

/// Notes a value. `accumulates` says whether a repeated one adds to it; `None` for single values.
fn put(out: &mut Settled, name: String, given: &Given, known: bool, accumulates: Option<bool>) {
    let new = Effective {
        name: name.clone(),
        value: given.value.clone(),
        from: Provenance::Given(given.means),
        spelled: Some(given.name.clone()),
        place: Some(given.place.clone()),
        known,
    };
    let Some(old) = out.settings.get_mut(&name) else {
        out.settings.insert(name, new);
        return;
    };
    // Before 3.4 the flag wins; later etcd does not start with both, and it is what was meant to win.
    if (old.from, new.from)
        == (
            Provenance::Given(Means::Flag),
            Provenance::Given(Means::Env),
        )
    {
        return;
    }
    if accumulates == Some(true) && old.from == new.from {
        let add = new.value.unwrap_or_default();
        let have = old.value.get_or_insert_default();
        if !have.is_empty() && !add.is_empty() {
            have.push(',');
        }
        have.push_str(&add);
        return;
    }
    // A drop-in that overrides its file is meant; the same file saying two things is not.
    let same_file = old
        .place
        .as_ref()
        .is_some_and(|place| place.file == given.place.file);
    let differs = old.value != new.value && old.from == new.from;
    if differs && same_file && !name.starts_with("feature-gates.") {
        out.faults.push(
            Fault::new(
                "repeated-setting",
                Weight::Warn,
                given.place.clone(),
                format!(
                    "`{}` is given twice with different values; the last one counts",
                    given.name
                ),
            )
            .about(&name),
        );
    }
    *old = new;
}

/// Whether this version takes the name that was used; what it does with it is a fault.
fn accepted(
    given: &Given,
    found: &Found,
    component: Option<Component>,
    version: Option<Version>,
    faults: &mut Vec<Fault>,
) -> bool {
    let (Some(version), Some(component)) = (version, component) else {
        return true;
    };
    let program = component.program();
    let now = match found.setting.name_for(Some(version)) {
        Some(Spelling::Flag(name)) if name != given.name => Some(format!("`--{name}`")),
        Some(Spelling::Gate(gate)) => Some(format!("`--feature-gates={gate}=true`")),
        _ => None,
    };
    let now = now.map_or(String::new(), |now| format!("; it is {now} there"));
    let place = given.place.clone();
    let shown = match given.means {
        Means::Flag => format!("--{}", given.name),
        Means::Env | Means::File => given.name.clone(),
    };
    let verb = match given.means {
        Means::Flag => "refuses",
        // etcd warns of an unknown variable; unknown keys of its file it passes over in silence.
        Means::Env | Means::File => "ignores",
    };
    let weight = match given.means {
        Means::Flag => Weight::Stop,
        Means::Env => Weight::Note,
        Means::File => Weight::Warn,
    };
    let existence = found.accepted_by(version);
    let fault = match existence {
        Existence::Yes => match (found.former, found.setting.since) {
            (Some(former), Since::At(first)) if version >= first => {
                let end = former.removed.map_or(String::new(), |end| {
                    format!(" and is gone in {}.{}", end.major, end.minor)
                });
                Some((
                    "renamed-setting",
                    Weight::Note,
                    format!("`{shown}` is an old name in {program} {version}{end}{now}"),
                ))
            }
            _ => None,
        },
        Existence::Removed(removed) => Some((
            "removed-setting",
            weight,
            format!(
                "{program} {version} {verb} `{shown}`, which was removed in {}.{}{now}",
                removed.major, removed.minor
            ),
        )),
        Existence::NotYet(first) => Some((
            "unknown-setting",
            weight,
            format!("{program} {version} {verb} `{shown}`, which came with {first}{now}"),
        )),
        Existence::Unknown => None,
    };
    if let Some((kind, weight, text)) = fault {
        faults.push(Fault::new(kind, weight, place, text).about(found.setting.name));
    }
    !matches!(existence, Existence::Removed(_) | Existence::NotYet(_))
}

/// A flag and its variable both set, with which etcd from 3.4 on refuses to start; and an old and a
/// new name both set.
fn conflicts(
    given: &[&Given],
    component: Component,
    version: Option<Version>,
    place: &Place,
    faults: &mut Vec<Fault>,
) {
    if component != Component::Etcd {
        return;
    }
    let flags: Vec<(&Given, Option<&str>)> = given
        .iter()
        .filter(|given| given.means == Means::Flag)
        .map(|given| {
            let name = settings::setting(component, &given.name).map(|found| found.setting.name);
            (*given, name)
        })
        .collect();
    for env in given.iter().filter(|given| given.means == Means::Env) {
        let Some(flag) = flag_of_env(&env.name) else {
            continue;
        };
        let Some((twin, canonical)) = flags.iter().find(|(given, _)| given.name == flag) else {
            continue;
        };
        let (weight, text) = both(&env.name, twin, version);
        faults.push(
            Fault::new("flag-and-variable", weight, env.place.clone(), text)
                .about(canonical.unwrap_or(&flag)),
        );
    }
    for (index, (one, name)) in flags.iter().enumerate() {
        let Some(name) = name else { continue };
        let other = flags
            .iter()
            .take(index)
            .find(|(other, other_name)| *other_name == Some(*name) && other.name != one.name);
        if let Some((other, _)) = other {
            let at = if one.place.line == 0 {
                place
            } else {
                &one.place
            };
            faults.push(
                Fault::new(
                    "two-names",
                    Weight::Warn,
                    at.clone(),
                    format!(
                        "`--{}` and `--{}` are two names of one setting",
                        other.name, one.name
                    ),
                )
                .about(name),
            );
        }
    }
}

/// What etcd makes of a variable beside the flag of the same setting.
fn both(variable: &str, flag: &Given, version: Option<Version>) -> (Weight, String) {
    let at = &flag.place;
    match (settings::stops_at_both(version), version) {
        (Some(true), _) => (
            Weight::Stop,
            format!(
                "etcd refuses to start: conflicting environment variable \"{variable}\" is shadowed by corresponding command-line flag (either unset environment variable or disable flag); the flag is at {at}"
            ),
        ),
        (Some(false), Some(version)) => (
            Weight::Note,
            format!(
                "etcd {version} leaves the variable `{variable}` unused and takes the flag at {at}; from 3.4 on it refuses to start with both"
            ),
        ),
        _ => (
            Weight::Warn,
            format!(
                "the variable `{variable}` and the flag at {at} are both set: etcd from 3.4 on refuses to start like that, an older one takes the flag, and which version runs is not known"
            ),
        ),
    }
}

/// Words on the command line that no flag takes, and flags without their value.
fn words(instance: &Instance, component: Component, faults: &mut Vec<Fault>) {
    let program = component.program();
    if let Some(word) = instance.bare.first() {
        let text = if component == Component::Etcd {
            format!(
                "etcd refuses to start: '{word}' is not a valid flag; what follows it is not read"
            )
        } else {
            format!(
                "{program} takes no bare words such as `{word}`: a boolean flag needs `=`, not a blank"
            )
        };
        faults.push(Fault::new(
            "bare-word",
            Weight::Stop,
            instance.place.clone(),
            text,
        ));
    }
    if let Some(place) = &instance.open_quote {
        faults.push(Fault::new(
            "open-quote",
            Weight::Stop,
            place.clone(),
            format!(
                "systemd ignores the `ExecStart=` of {program}: a quote in it is never closed, and the unit does not load"
            ),
        ));
    }
    for (flag, line) in &instance.dangling {
        let place = Place {
            line: *line,
            ..instance.place.clone()
        };
        faults.push(
            Fault::new(
                "missing-value",
                Weight::Stop,
                place,
                format!("{program} refuses to start: `--{flag}` has no value"),
            )
            .about(flag),
        );
    }
}

fn fill_default(setting: &Setting, version: Option<Version>, partial: bool, out: &mut Settled) {
    if out.settings.contains_key(setting.name) {
        return;
    }
    let (value, from) = match setting.default_of(version) {
        DefaultOf::Absent => return,
        _ if partial => (None, Provenance::UnknownDefault),
        DefaultOf::Value(value) => (Some(value.to_owned()), Provenance::Default),
        DefaultOf::Unset => (None, Provenance::Default),
        DefaultOf::Unknown => (None, Provenance::UnknownDefault),
    };
    out.settings.insert(
        setting.name.to_owned(),
        Effective {
            name: setting.name.to_owned(),
            value,
            from,
            spelled: None,
            place: None,
            known: true,
        },
    );
}

/// Defaults that follow another setting.
fn adjust_defaults(component: Component, out: &mut Settled) {
    if component != Component::Kubelet {
        return;
    }
    // kubelet: an explicit nodeStatusUpdateFrequency becomes the report frequency's default too,
    // so that every node writes its whole status at that pace instead of every five minutes. Of its
    // file only: flags are laid over what the file's defaults came to.
    let update = out
        .settings
        .get("node-status-update-frequency")
        .filter(|setting| setting.from == Provenance::Given(Means::File))
        .and_then(|setting| setting.value.clone());
    if let (Some(update), Some(report)) =
        (update, out.settings.get_mut("nodeStatusReportFrequency"))
        && report.from == Provenance::Default
    {
        report.value = Some(update);
    }
}
