//! One list out of what all models said: order of remedies, no duplicate, one value per setting.

use std::collections::BTreeMap;

use super::advice::{Advice, Remedy, Strength};

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
    let mut by_setting: BTreeMap<(String, String, bool), usize> = BTreeMap::new();
    for advice in all {
        // Something to do about a setting is no rival of a value for it: both are to be done.
        let value = advice.details.contains_key("remove") || !advice.proposed.contains(' ');
        let place = (advice.target.clone(), advice.setting.clone(), value);
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
    weigh(&mut kept);
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
        first.conflicts.push(format!(
            "another model proposed {} ({}); the earlier remedy goes first",
            second.proposed, second.why
        ));
    }
}

/// Advice that would work against other advice waits for it: what a client may send is not raised
/// while kube-apiserver turns requests away, and one and the same client is not both held back and
/// let loose.
fn weigh(all: &mut [Advice]) {
    let asked = |all: &[Advice], remedy: Remedy| -> Option<(String, String)> {
        all.iter()
            .find(|one| one.remedy == remedy && one.strength == Strength::Recommended)
            .map(|one| (one.id.clone(), one.setting.clone()))
    };
    let full = all.iter().any(|one| {
        one.finding_ids.iter().any(|id| id == "apf-rejections")
            && matches!(one.remedy, Remedy::Inflight | Remedy::Apf | Remedy::Client)
    });
    let room = asked(all, Remedy::Inflight).or_else(|| asked(all, Remedy::Apf));
    let held_back: Vec<(String, String)> = all
        .iter()
        .filter(|one| one.remedy == Remedy::Apf && one.strength != Strength::Refused)
        .filter_map(|one| Some((one.id.clone(), one.details.get("user")?.clone())))
        .collect();
    for advice in all.iter_mut() {
        if advice.remedy != Remedy::ClientLimits || advice.strength == Strength::Refused {
            continue;
        }
        if full {
            advice.strength = Strength::Candidate;
            advice.conflicts.push(match &room {
                Some((id, setting)) => format!(
                    "kube-apiserver turns requests away: `{id}` ({setting}) comes first, and then \
                     look whether it still waits"
                ),
                None => "kube-apiserver turns requests away: more of them would be turned away"
                    .to_owned(),
            });
        }
        // A service account's name ends with its manager's in most installations.
        let short = advice.target.trim_end_matches("-controller-manager");
        if let Some((id, user)) = held_back.iter().find(|(_, user)| {
            user.rsplit(':')
                .next()
                .is_some_and(|name| name.contains(short))
        }) {
            advice.strength = Strength::Candidate;
            advice.conflicts.push(format!(
                "`{id}` holds the requests of {user} back: both at once make no sense, and the \
                 others come first"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
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
        assert!(settled[0].conflicts[0].contains("proposed 2"));
    }

    #[test]
    fn what_is_to_be_mended_does_not_hide_the_value_to_set() {
        let settled = settle(vec![
            advice(
                "invalid",
                Remedy::Etcd,
                Strength::Recommended,
                "a",
                "take `x` out",
            ),
            advice("shard", Remedy::Shard, Strength::Recommended, "a", "y#z"),
        ]);
        let ids: Vec<&str> = settled.iter().map(|a| a.id.as_str()).collect();
        assert_eq!(ids, ["invalid", "shard"]);
        assert!(settled.iter().all(|a| a.conflicts.is_empty()));
    }

    #[test]
    fn no_client_is_let_loose_on_a_full_apiserver() {
        let mut room = advice("i", Remedy::Inflight, Strength::Recommended, "m", "400");
        room.finding_ids = vec!["apf-rejections".to_owned()];
        let raise = advice(
            "q",
            Remedy::ClientLimits,
            Strength::Recommended,
            "qps",
            "100",
        );
        let settled = settle(vec![room.clone(), raise.clone()]);
        let q = settled.iter().find(|a| a.id == "q").unwrap();
        assert_eq!(q.strength, Strength::Candidate);
        assert!(q.conflicts[0].contains("`i`"), "{:?}", q.conflicts);
        room.finding_ids.clear();
        let settled = settle(vec![room, raise]);
        assert_eq!(settled[0].strength, Strength::Recommended);
        assert!(settled.iter().all(|a| a.conflicts.is_empty()));
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
