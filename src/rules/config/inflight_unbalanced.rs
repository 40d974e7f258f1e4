//! kube-apiserver's concurrency is set below its default, so that its smallest priority levels
//! have a seat or two.

use std::collections::BTreeMap;

use crate::catalog::apf;
use crate::evidence::{Missing, Subject};
use crate::rules::settings;
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "inflight-unbalanced",
    summary: "kube-apiserver's concurrency is below its default",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "inflight-unbalanced",
    check,
};

const NAMES: [&str; 2] = ["max-requests-inflight", "max-mutating-requests-inflight"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("inflight-sum");
    let mut sums: BTreeMap<_, (f64, bool)> = BTreeMap::new();
    let mut cited = Vec::new();
    for name in NAMES {
        for setting in settings::of(cx, "kube-apiserver", &[name])? {
            let Some(value) = setting.number() else {
                continue;
            };
            let sum = sums.entry(setting.subject.clone()).or_default();
            sum.0 += value;
            sum.1 |= setting.is_set();
            settings::cite(cx, &setting, name);
        }
        // Looking a setting up starts anew.
        cited.extend(cx.evidence.take_citations());
    }
    let drafts = sums
        .into_iter()
        // One setting alone says nothing: the sum of both is what is divided.
        .filter(|(_, (sum, set))| *set && *sum < limit.value)
        .map(|(subject, (sum, _))| {
            let own = cited
                .iter()
                .filter(|c| c.subject == subject)
                .cloned()
                .collect();
            Draft::new(
                subject.clone(),
                Severity::Warn,
                format!(
                    "kube-apiserver serves {sum:.0} requests at once; {}",
                    seats(cx, &subject, sum)
                ),
            )
            .threshold(limit.words())
            .cites(own)
        })
        .collect();
    Ok(Verdict::Fail(drafts))
}

/// What each priority level gets of the seats, computed as kube-apiserver does.
fn seats(cx: &Context<'_>, subject: &Subject, sum: f64) -> String {
    let version = settings::version_of(cx, subject);
    let Some(version) = version else {
        return "divided among its priority levels".to_owned();
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates, and flags are no larger than this"
    )]
    let limit = sum.max(0.0) as u32;
    let shares = apf::all_shares(version);
    let levels: Vec<String> = apf::levels(version)
        .iter()
        .map(|level| {
            let seats = apf::seats(level, limit, shares, version);
            // Exempt requests take no seat, and a level that lends keeps less than its share.
            if level.exempt {
                format!("{} no limit", level.name)
            } else if seats.min < seats.nominal {
                format!("{} {} (keeps {})", level.name, seats.nominal, seats.min)
            } else {
                format!("{} {}", level.name, seats.nominal)
            }
        })
        .collect();
    if levels.is_empty() {
        return format!("{version} has no priority levels that divide them");
    }
    format!("seats by priority level: {}", levels.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Row, Table, keys};
    use crate::rules::Status;
    use crate::rules::settings::testing::settings;
    use crate::rules::testing::{Set, component};

    #[test]
    fn the_sum_counts() {
        let with = |read: &str, write: &str| {
            Set::new().put(
                &keys::SETTINGS,
                component("kube-apiserver"),
                settings(&[(NAMES[0], read, "flag"), (NAMES[1], write, "flag")]),
            )
        };
        assert_eq!(with("8", "4").status(&RULE), (Status::Fail, Severity::Warn));
        assert_eq!(with("400", "199").status(&RULE).0, Status::Fail);
        assert_eq!(with("600", "0").status(&RULE).0, Status::Pass);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    /// API Priority and Fairness is on from 1.20.
    #[test]
    fn a_version_without_levels_is_told_none() {
        let with = |version: &str| {
            let set = Set::new()
                .put(
                    &keys::SETTINGS,
                    component("kube-apiserver"),
                    settings(&[(NAMES[0], "8", "flag"), (NAMES[1], "4", "flag")]),
                )
                .put(
                    &keys::VERSIONS,
                    component("kube-apiserver"),
                    Table {
                        rows: vec![Row::new("server").text("version", version)],
                        ..Table::default()
                    },
                );
            set.check(&RULE)[0].message.clone()
        };
        let old = with("1.19.16");
        assert!(
            old.ends_with("has no priority levels that divide them"),
            "{old}"
        );
        let new = with("1.36.2");
        assert!(new.contains("seats by priority level: exempt"), "{new}");
    }
}
