//! Whether a file's own value is already at or above what an advice raises to. Such a file stays as it
//! is: a raise lowers nothing. Every emitter asks here.

use crate::advise::Advice;
use crate::catalog::releases::Version;
use crate::catalog::settings::{Component, DefaultOf, allowance, setting};

use crate::manifest::{Provenance, Settled, mask_text};

use super::change::component_of;
use super::model::{Had, PatchSet};
use super::wanted::Wanted;

/// Settings that are to be equal on all members: more on one of them is no gain (etcd tuning guide).
const EQUAL: &[&str] = &["election-timeout", "heartbeat-interval"];

/// Settings that make sense only together, so that a file gets all of a row or none. Priority levels
/// share the sum of the first; etcd and client-go refuse the others when their order is broken.
const TOGETHER: &[&[&str]] = &[
    &["max-requests-inflight", "max-mutating-requests-inflight"],
    &["heartbeat-interval", "election-timeout"],
    &[
        "leader-elect-lease-duration",
        "leader-elect-renew-deadline",
        "leader-elect-retry-period",
    ],
];

/// What an advice raises a setting to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Floor {
    setting: String,
    value: f64,
    /// What a component runs with that is not told otherwise, where that is known.
    default: Option<&'static str>,
}

impl Floor {
    /// What an advice raises to; `None` where it lowers on purpose or sets no number.
    pub(super) fn of(advice: &Advice, version: Option<Version>) -> Option<Self> {
        if advice.details.contains_key("lowers")
            || advice.details.contains_key("remove")
            || EQUAL.contains(&advice.setting.as_str())
        {
            return None;
        }
        let value = allowance(&advice.setting, &advice.proposed)?;
        let default = component_of(advice).and_then(|one| default(one, &advice.setting, version));
        let now = advice.now.as_deref().and_then(|now| {
            now.split(',')
                .filter_map(|one| allowance(&advice.setting, one.split_whitespace().next()?))
                .min_by(f64::total_cmp)
        });
        let now = now.or_else(|| allowance(&advice.setting, default?))?;
        (now < value).then(|| Floor {
            setting: advice.setting.clone(),
            value,
            default,
        })
    }

    /// Whether a value of the file is enough. What is not given has no say here.
    fn met_by(&self, own: &str) -> bool {
        allowance(&self.setting, own).is_some_and(|own| own >= self.value)
    }
}

fn default(component: Component, name: &str, version: Option<Version>) -> Option<&'static str> {
    match setting(component, name)?.setting.default_of(version) {
        DefaultOf::Value(value) => Some(value),
        _ => None,
    }
}

/// The value that a place has of a setting.
#[derive(Clone, Copy, Debug)]
pub(super) enum Own<'a> {
    /// It gives this one.
    Given(&'a str),
    /// It gives none, and all of it was read: the default is in force.
    Default,
    /// What is in force is not known.
    Unknown,
}

impl<'a> Own<'a> {
    /// Of a place that was read to its end.
    pub(super) fn read(given: Option<&'a str>) -> Self {
        given.map_or(Own::Default, Own::Given)
    }

    /// Of what all files of a node together say of a setting.
    pub(super) fn settled(settled: Option<&'a Settled>, flag: &str, component: Component) -> Self {
        let Some(settled) = settled else {
            return Own::Unknown;
        };
        let name = setting(component, flag).map_or(flag, |found| found.setting.name);
        let given = settled
            .settings
            .get(name)
            .filter(|one| matches!(one.from, Provenance::Given(_)))
            .and_then(|one| one.value.as_deref());
        match given {
            Some(value) => Own::Given(value),
            None if settled.unread.is_empty() => Own::Default,
            None => Own::Unknown,
        }
    }
}

impl PatchSet {
    /// Whether a place keeps its own value, since it is as much or more than an advice raises to. Says
    /// so then.
    pub(super) fn keeps(
        &mut self,
        floor: Option<&Floor>,
        advice: &str,
        on: &str,
        own: Own<'_>,
    ) -> bool {
        let Some(floor) = floor else {
            return false;
        };
        let value = match own {
            Own::Given(value) => value,
            Own::Default => match floor.default {
                Some(value) => value,
                None => return false,
            },
            Own::Unknown => return false,
        };
        // The very value is told as such by whoever would write it.
        let same = matches!(own, Own::Given(value) if value.parse() == Ok(floor.value));
        if same || !floor.met_by(value) {
            return false;
        }
        let words = match own {
            Own::Given(_) => format!("`{value}`"),
            _ => format!("not set, by default `{value}`"),
        };
        let words = match allowance(&floor.setting, value) {
            Some(f64::INFINITY) => format!("{words}, which is no limit or not its own"),
            Some(more) if more > floor.value => format!("{words}, which is more"),
            _ => words,
        };
        self.already
            .push(format!("{on}: {} ({words})", floor.setting));
        self.had.push(Had {
            advice: advice.to_owned(),
            on: on.to_owned(),
            had: words,
            becomes: None,
        });
        true
    }

    /// Notes that a place gets another value than it has.
    pub(super) fn changes(&mut self, advice: &str, on: &str, own: Own<'_>, becomes: &str) {
        let had = match own {
            Own::Given(value) => format!("`{}`", mask_text(value)),
            Own::Default => "not set".to_owned(),
            Own::Unknown => return,
        };
        self.had.push(Had {
            advice: advice.to_owned(),
            on: on.to_owned(),
            had,
            becomes: Some(becomes.to_owned()),
        });
    }
}

/// The row of settings that one goes with.
pub(super) fn row(setting: &str) -> Option<usize> {
    TOGETHER.iter().position(|row| row.contains(&setting))
}

/// Whose settings, and the row of those that go together.
type Row = (String, usize);

/// Which of a list of settings go together, as groups of places in it, in the order of their first.
pub(super) fn together<T>(all: &[T], name: &dyn Fn(&T) -> (String, String)) -> Vec<Vec<usize>> {
    let mut groups: Vec<(Option<Row>, Vec<usize>)> = Vec::new();
    for (at, one) in all.iter().enumerate() {
        let (of, setting) = name(one);
        let row = row(&setting).map(|row| (of, row));
        match groups
            .iter_mut()
            .find(|(have, _)| row.is_some() && *have == row)
        {
            Some((_, group)) => group.push(at),
            None => groups.push((row, vec![at])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// Why a setting is not written whose companion cannot be.
pub(super) fn left_with(other: &str) -> String {
    format!(
        "it goes with {other}, which cannot be set here, and half of what goes together is worse than none"
    )
}

/// Of settings that go together, those that could be set while another could not are refused too.
/// Gives whether the place is to be as it was before.
pub(super) fn all_or_none(results: &mut [(&Wanted, Result<bool, String>)]) -> bool {
    let refused = results.iter().find(|(_, result)| result.is_err());
    let Some(flag) = refused.map(|(one, _)| one.flag.clone()) else {
        return false;
    };
    let mut any = false;
    for (_, result) in results.iter_mut().filter(|(_, r)| *r == Ok(true)) {
        *result = Err(left_with(&flag));
        any = true;
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(setting: &str, now: Option<&str>, proposed: &str) -> Advice {
        let target = if setting.starts_with("quota") || setting.contains("interval") {
            "etcd"
        } else if setting.starts_with("max-") {
            "kube-apiserver"
        } else {
            "kube-controller-manager"
        };
        serde_json::from_value(serde_json::json!({
            "id": "x", "remedy": "etcd", "strength": "recommended", "target": target,
            "setting": setting, "now": now, "proposed": proposed, "why": "w", "effect": "e",
            "confidence": "high", "risk": "r", "undo": "u", "verify": "v",
            "disposition": "disruptive", "finding_ids": [], "source": "s",
        }))
        .unwrap()
    }

    fn kept(setting: &str, now: Option<&str>, proposed: &str, own: Own<'_>) -> bool {
        let floor = Floor::of(&advice(setting, now, proposed), None);
        PatchSet::default().keeps(floor.as_ref(), "x", "file", own)
    }

    #[test]
    fn a_file_that_has_as_much_or_more_keeps_it() {
        let quota = "quota-backend-bytes";
        let two = "2147483648";
        for (setting, now, proposed, own, expected) in [
            (quota, Some("67108864"), two, Own::Given("6442450944"), true),
            (quota, Some("67108864"), two, Own::Given("67108864"), false),
            // The very value is not called more.
            (quota, Some("67108864"), two, Own::Given(two), false),
            // 0 is the default of 2 GiB, below zero there is none.
            (quota, Some("67108864"), two, Own::Given("0"), true),
            (quota, Some("67108864"), two, Own::Given("-1"), true),
            (quota, Some("67108864"), two, Own::Default, true),
            (quota, Some("67108864"), "8589934592", Own::Default, false),
            (
                quota,
                Some("not set: 64 MiB"),
                two,
                Own::Given("9e9"),
                false,
            ),
            ("kube-api-qps", Some("5"), "20", Own::Given("-1"), true),
            ("kube-api-qps", Some("5"), "20", Own::Given("200"), true),
            ("kube-api-qps", Some("5"), "20", Own::Default, true),
            ("kube-api-qps", Some("5"), "20", Own::Unknown, false),
            (
                "kube-api-qps",
                Some("5 (a), 200 (b)"),
                "20",
                Own::Given("200"),
                true,
            ),
            ("kube-api-qps", None, "100", Own::Given("200"), true),
            ("kube-api-burst", Some("5"), "20", Own::Given("-1"), false),
            (
                "max-requests-inflight",
                Some("8"),
                "400",
                Own::Given("0"),
                true,
            ),
            // Lowered on purpose, no number, or to be equal everywhere.
            ("kube-api-qps", Some("400"), "20", Own::Given("200"), false),
            ("kube-api-qps", Some("5"), "20", Own::Given("fast"), false),
            (
                "heartbeat-interval",
                Some("100"),
                "200",
                Own::Given("500"),
                false,
            ),
        ] {
            let got = kept(setting, now, proposed, own);
            assert_eq!(got, expected, "{setting} {now:?} {proposed} {own:?}");
        }
    }

    #[test]
    fn an_advice_that_says_it_lowers_is_no_floor() {
        let mut lower = advice(
            "quota-backend-bytes",
            Some("1 (a), 100000000000 (b)"),
            "8589934592",
        );
        assert!(Floor::of(&lower, None).is_some());
        lower.details.insert("lowers".to_owned(), "true".to_owned());
        assert!(Floor::of(&lower, None).is_none());
    }

    #[test]
    fn what_goes_together_is_one_group_for_each_component() {
        let all = [
            ("etcd", "heartbeat-interval"),
            ("kcm", "leader-elect-renew-deadline"),
            ("kcm", "kube-api-qps"),
            ("scheduler", "leader-elect-renew-deadline"),
            ("kcm", "leader-elect-lease-duration"),
            ("etcd", "election-timeout"),
        ];
        let groups = together(&all, &|(of, name)| ((*of).to_owned(), (*name).to_owned()));
        assert_eq!(groups, [vec![0, 5], vec![1, 4], vec![2], vec![3]]);
    }
}
