//! The flag changes that a set of advice asks for, for emitters that write them all into one file.

use std::collections::BTreeSet;

use crate::advise::{Disposition, Strength};
use crate::catalog::settings::Component;

use super::change::{Change, change_of, component_of, is_list};
use super::floor::{Floor, left_with, row, together};
use super::model::{PatchInput, Shown};

/// One flag of one component, and the advice that asks for it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) component: Component,
    pub(super) flag: String,
    pub(super) value: String,
    pub(super) advice: String,
    /// What it raises to, where it is a raise.
    pub(super) floor: Option<Floor>,
}

/// The wanted flags in groups of those that go together.
pub(super) fn groups(wanted: &[Wanted]) -> Vec<Vec<&Wanted>> {
    let name = |one: &Wanted| (one.component.program().to_owned(), one.flag.clone());
    together(wanted, &name)
        .into_iter()
        .map(|group| group.into_iter().filter_map(|at| wanted.get(at)).collect())
        .collect()
}

/// Every flag to set, and what cannot be one.
/// `shard` says what to do about a second etcd, given the value of the override.
pub(super) fn flags(
    input: &PatchInput<'_>,
    components: &[Component],
    shard: &dyn Fn(&str) -> String,
) -> (Vec<Wanted>, Vec<Shown>) {
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut shown = Vec::new();
    // Settings that cannot be set, with the row that they belong to.
    let mut refused: Vec<(Component, usize, String)> = Vec::new();
    for advice in input.advices.iter().filter(|advice| input.wants(advice)) {
        let mut show = |why: String| {
            shown.push(Shown {
                advice: advice.id.clone(),
                on: advice.target.clone(),
                why,
            });
        };
        debug_assert!(advice.strength != Strength::Refused);
        let Some(component) = component_of(advice).filter(|c| components.contains(c)) else {
            show("not a setting of a component that is set here: do it by hand".to_owned());
            continue;
        };
        let overrides = advice.setting == "etcd-servers-overrides";
        if advice.details.contains_key("resource")
            || overrides && advice.disposition != Disposition::ShowOnly
        {
            // An override to an etcd that is not there keeps kube-apiserver from starting.
            show(shard(&advice.proposed));
            continue;
        }
        if advice.disposition == Disposition::ShowOnly || advice.details.contains_key("level") {
            show("something to do, not a setting".to_owned());
            continue;
        }
        if is_list(advice, component) {
            // One value for all would drop what a node's own list holds.
            show(format!(
                "{} is a list, and each node may have its own: add to it where it is set; {}",
                advice.setting, advice.proposed
            ));
            continue;
        }
        let version = match component {
            Component::Etcd => input.etcd,
            _ => input.kubernetes,
        };
        match change_of(advice, component, &advice.proposed, version) {
            Ok(Change::Set { flag, value }) => wanted.push(Wanted {
                component,
                flag,
                value,
                advice: advice.id.clone(),
                floor: Floor::of(advice, version),
            }),
            Ok(Change::Remove { flags }) => {
                show(format!("take {} out where it is set", flags.join(" and ")));
            }
            Err(why) => {
                show(why);
                let row = row(&advice.setting);
                refused.extend(row.map(|row| (component, row, advice.setting.clone())));
            }
        }
    }
    wanted.retain(|one| {
        let of = |(component, have, _): &&(Component, usize, String)| {
            *component == one.component && row(&one.flag) == Some(*have)
        };
        let Some((.., other)) = refused.iter().find(of) else {
            return true;
        };
        shown.push(Shown {
            advice: one.advice.clone(),
            on: one.component.program().to_owned(),
            why: left_with(other),
        });
        false
    });
    // One value a flag: the earlier advice stands.
    let mut seen = BTreeSet::new();
    wanted.retain(|one| seen.insert((one.component, one.flag.clone())));
    (wanted, shown)
}
