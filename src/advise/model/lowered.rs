//! No advice to raise a setting lowers it somewhere: on another node, or in a file that waits for a
//! restart.

use crate::catalog::settings::allowance;

use super::super::advice::{Advice, Disposition, Strength};
use super::super::facts::Facts;
use super::pace::number;

/// What nothing else in the list may undo.
pub(in super::super) fn keep_larger(facts: &Facts<'_>, all: &mut Vec<Advice>) {
    let restart: Vec<String> = all
        .iter()
        // Files that only contradict each other ask for no restart.
        .filter(|advice| {
            advice.id.starts_with("settings-not-applied") && advice.setting == "running process"
        })
        .map(|advice| advice.target.clone())
        .collect();
    // A burst is one of a limiter, and a file that has none waits for the restart.
    let unlimited = |advice: &Advice| {
        restart.contains(&advice.target)
            && advice.setting == "kube-api-burst"
            && facts
                .pending(&advice.target, "kube-api-qps")
                .any(|qps| allowance("kube-api-qps", qps) == Some(f64::INFINITY))
    };
    all.retain_mut(|advice| {
        if unlimited(advice) {
            return false;
        }
        let Some(larger) = larger(facts, advice) else {
            return true;
        };
        if larger.waits && restart.contains(&advice.target) {
            // The restart, which is advised, brings more than this would.
            return false;
        }
        let place = match larger.waits {
            true => "a file that waits for a restart",
            // A patch compares node by node, and leaves that one alone.
            false => "another node",
        };
        if larger.waits {
            advice.disposition = Disposition::ShowOnly;
            advice.strength = Strength::Candidate;
        }
        let has = match larger.value.is_infinite() {
            true => "no limit".to_owned(),
            false => format!("{} already, which is more", number(larger.value)),
        };
        advice.conflicts.push(format!(
            "{place} has {has}: leave it there, and raise only what is lower"
        ));
        true
    });
}

struct Larger {
    value: f64,
    /// It is what a file holds and the process does not.
    waits: bool,
}

/// A value above what a raise proposes.
fn larger(facts: &Facts<'_>, advice: &Advice) -> Option<Larger> {
    if advice.strength == Strength::Refused
        || ["remove", "lowers"]
            .iter()
            .any(|name| advice.details.contains_key(*name))
    {
        return None;
    }
    let proposed: f64 = advice.proposed.trim().parse().ok()?;
    let now = facts.setting(&advice.target, &advice.setting, None)?;
    let allowed = |value: &str| allowance(&advice.setting, value);
    if now.texts().filter_map(allowed).min_by(f64::total_cmp)? >= proposed {
        return None;
    }
    let pending = facts
        .pending(&advice.target, &advice.setting)
        .filter_map(allowed)
        .max_by(f64::total_cmp);
    let waits = pending.filter(|value| *value > proposed);
    let most = now.texts().filter_map(allowed).max_by(f64::total_cmp);
    let set = most.filter(|value| *value > proposed);
    waits
        .map(|value| Larger { value, waits: true })
        .or(set.map(|value| Larger {
            value,
            waits: false,
        }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advise::Remedy;
    use crate::advise::testing::{Plane, table};
    use crate::diagnosis::Cause;
    use crate::evidence::{Row, Subject, SubjectKind, keys};

    fn plane(nodes: &[(&str, &str, Option<&str>)]) -> Plane {
        let set = |plane: Plane, (node, value, file): &(&str, &str, Option<&str>)| {
            let mut row = Row::new("kube-api-qps")
                .text("value", *value)
                .text("source", "process");
            if let Some(file) = file {
                row = row.text("defined", *file);
            }
            let about = Subject::new(SubjectKind::Component, "kube-controller-manager").on(*node);
            plane.put(&keys::SETTINGS, about, table(vec![row]))
        };
        nodes.iter().fold(Plane::with(Cause::ClientThrottling), set)
    }

    fn kept(nodes: &[(&str, &str, Option<&str>)], restart: bool) -> Option<Advice> {
        let name = "kube-controller-manager";
        let mut raise = Advice::new("kcm-qps", Remedy::ClientLimits, name, "kube-api-qps");
        raise.proposed = "200".to_owned();
        raise.disposition = Disposition::Safe;
        let mut all = vec![raise];
        if restart {
            let remedy = Remedy::Etcd;
            all.push(Advice::new(
                "settings-not-applied",
                remedy,
                name,
                "running process",
            ));
        }
        plane(nodes).with_facts(|facts| keep_larger(facts, &mut all));
        all.into_iter().find(|advice| advice.id == "kcm-qps")
    }

    #[test]
    fn a_raise_lowers_nothing() {
        let one = kept(&[("a", "20", None)], false).unwrap();
        assert_eq!(one.disposition, Disposition::Safe);
        let two = kept(&[("a", "20", None), ("b", "400", None)], false).unwrap();
        assert_eq!(two.disposition, Disposition::Safe);
        assert!(two.conflicts[0].contains("another node has 400"), "{two:?}");
        let file = [("a", "20", Some("500"))];
        assert!(kept(&file, true).is_none(), "the restart brings more");
        let alone = kept(&file, false).unwrap();
        assert!(
            alone.conflicts[0].contains("waits for a restart"),
            "{alone:?}"
        );
        // Below zero client-go has no limiter.
        let none = [("a", "20", Some("-1"))];
        assert!(
            kept(&none, true).is_none(),
            "the restart takes the limit away"
        );
        let one_has = kept(&[("a", "20", None), ("b", "-1", None)], false).unwrap();
        assert!(
            one_has.conflicts[0].contains("another node has no limit"),
            "{one_has:?}"
        );
        assert!(
            kept(&[("a", "-1", None)], false)
                .unwrap()
                .conflicts
                .is_empty()
        );
        // What lowers on purpose is no raise.
        let lower = kept(&[("a", "400", None)], false).unwrap();
        assert_eq!(lower.disposition, Disposition::Safe);
    }
}
