//! One list out of what all models said: order of remedies, no duplicate, one value per setting.

use std::collections::BTreeMap;

use super::advice::{Advice, Strength};

/// Sorts by strength (refused last) and remedy, drops duplicates, and keeps one value for each
/// setting of each target.
pub(super) fn settle(mut all: Vec<Advice>) -> Vec<Advice> {
    // Stable: models give their advice in the order they want within one remedy.
    all.sort_by_key(|advice| {
        (
            advice.strength == Strength::Refused,
            advice.remedy,
            advice.strength,
        )
    });
    let mut kept: Vec<Advice> = Vec::new();
    let mut by_setting: BTreeMap<(String, String), usize> = BTreeMap::new();
    for advice in all {
        let place = (advice.target.clone(), advice.setting.clone());
        let twin = kept.iter().position(|have| have.id == advice.id);
        let rival = twin.or_else(|| {
            // Refusals argue about resources that share one flag; they set nothing.
            (advice.strength != Strength::Refused)
                .then(|| by_setting.get(&place).copied())
                .flatten()
        });
        match rival.and_then(|at| kept.get_mut(at)) {
            None => {
                if advice.strength != Strength::Refused {
                    by_setting.insert(place, kept.len());
                }
                kept.push(advice);
            }
            Some(first) => join(first, advice),
        }
    }
    kept
}

/// Two advices about one setting: the earlier remedy's value stands, and says what it overruled.
fn join(first: &mut Advice, second: Advice) {
    for id in second.finding_ids {
        if !first.finding_ids.contains(&id) {
            first.finding_ids.push(id);
        }
    }
    if second.proposed != first.proposed && second.strength != Strength::Refused {
        first.risk = format!(
            "{} Another model proposed {} ({}); the earlier remedy goes first.",
            first.risk, second.proposed, second.why
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::advice::Remedy;
    use super::*;

    fn advice(id: &str, remedy: Remedy, strength: Strength, setting: &str, value: &str) -> Advice {
        Advice {
            strength,
            proposed: value.to_owned(),
            ..Advice::new(id, remedy, "kube-apiserver", setting)
        }
    }

    #[test]
    fn remedies_keep_their_order_and_refusals_come_last() {
        let settled = settle(vec![
            advice("i", Remedy::Inflight, Strength::Recommended, "a", "1"),
            advice("x", Remedy::Shard, Strength::Refused, "b", "1"),
            advice("d", Remedy::Disk, Strength::Candidate, "c", "1"),
            advice("s", Remedy::Shard, Strength::Candidate, "d", "1"),
        ]);
        let ids: Vec<&str> = settled.iter().map(|a| a.id.as_str()).collect();
        assert_eq!(ids, ["d", "s", "i", "x"]);
    }

    #[test]
    fn one_value_per_setting_and_the_loser_is_named() {
        let settled = settle(vec![
            advice("late", Remedy::Inflight, Strength::Recommended, "a", "2"),
            advice("early", Remedy::Etcd, Strength::Recommended, "a", "1"),
        ]);
        assert_eq!(settled.len(), 1);
        assert_eq!(settled[0].proposed, "1");
        assert!(settled[0].risk.contains("proposed 2"));
    }

    #[test]
    fn the_same_advice_twice_is_one_with_both_findings() {
        let mut one = advice("same", Remedy::Etcd, Strength::Recommended, "a", "1");
        one.finding_ids = vec!["x".to_owned()];
        let mut two = one.clone();
        two.finding_ids = vec!["y".to_owned()];
        let settled = settle(vec![one, two]);
        assert_eq!(settled.len(), 1);
        assert_eq!(settled[0].finding_ids, ["x", "y"]);
    }
}
