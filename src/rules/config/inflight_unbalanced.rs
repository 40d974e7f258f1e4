//! kube-apiserver's concurrency is set below its default, so that its smallest priority levels
//! have a seat or two.

use std::collections::BTreeMap;

use crate::catalog::apf;
use crate::evidence::{Missing, Subject, keys};
use crate::rules::settings;
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "inflight-unbalanced",
    summary: "kube-apiserver's concurrency is below its default",
    severity: Severity::Critical,
    since: "0.1.0",
    playbook: "inflight-unbalanced",
    check,
};

const NAMES: [&str; 2] = ["max-requests-inflight", "max-mutating-requests-inflight"];

/// Each flag's own default.
const DEFAULTS: [f64; 2] = [400.0, 200.0];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("inflight-sum");
    // Both values where known, and whether somebody set one.
    let mut all: BTreeMap<_, ([Option<f64>; 2], bool)> = BTreeMap::new();
    let mut cited = Vec::new();
    for (at, name) in NAMES.into_iter().enumerate() {
        for setting in settings::of(cx, "kube-apiserver", &[name])? {
            let Some(value) = setting.whole() else {
                continue;
            };
            let (values, set) = all.entry(setting.subject.clone()).or_default();
            if let Some(slot) = values.get_mut(at) {
                *slot = Some(value);
            }
            *set |= setting.is_set();
            settings::cite(cx, &setting, name);
        }
        // Looking a setting up starts anew.
        cited.extend(cx.evidence.take_citations());
    }
    let mut drafts = Vec::new();
    for (subject, (mut values, set)) in all {
        // Of what an installer adds one flag may be all that is known: it leaves the other one alone.
        let slots = values.iter_mut().zip(NAMES).zip(DEFAULTS);
        for ((slot, name), default) in slots {
            if slot.is_none() && is_left_alone(cx, &subject, name) {
                *slot = Some(default);
            }
        }
        // One alone says nothing: the sum of both is what is divided.
        if !set || values.contains(&None) {
            continue;
        }
        let Some((severity, message)) = judged(cx, &subject, values, limit.value) else {
            continue;
        };
        let own = cited
            .iter()
            .filter(|c| c.subject == subject)
            .cloned()
            .collect();
        let draft = Draft::new(subject.clone(), severity, message);
        drafts.push(draft.threshold(limit.words()).cites(own));
    }
    cx.evidence.take_citations();
    Ok(Verdict::Fail(drafts))
}

/// Whether nothing sets a flag, and nothing that may set it was not read.
fn is_left_alone(cx: &Context<'_>, subject: &Subject, name: &str) -> bool {
    let table = cx.evidence.peek(&keys::SETTINGS, subject);
    table.is_none_or(|table| {
        table.row(name).is_none_or(|row| {
            row.get_text("source") == Some("unknown default") && row.get_text("unread").is_none()
        })
    })
}

/// What is wrong with both values, if anything is.
fn judged(
    cx: &Context<'_>,
    subject: &Subject,
    values: [Option<f64>; 2],
    limit: f64,
) -> Option<(Severity, String)> {
    let sum: f64 = values.iter().flatten().sum();
    if settings::without_levels(cx, subject) {
        // Each flag limits its own requests then, and 0 is no limit.
        let limited = || {
            let both = values.into_iter().zip(DEFAULTS);
            both.filter_map(|(value, default)| Some((value.filter(|n| *n > 0.0)?, default)))
        };
        let usual: f64 = limited().map(|(_, default)| default).sum();
        let few: f64 = limited().map(|(value, _)| value).sum();
        let what = match values {
            [Some(0.0), _] => " that change something, and any number of others",
            [_, Some(0.0)] => " that only read, and any number of others",
            _ => "",
        };
        let message = || {
            format!(
                "kube-apiserver serves {few:.0} requests at once{what}; {}",
                seats(cx, subject, sum)
            )
        };
        return (few < usual).then(|| (Severity::Warn, message()));
    }
    if values == [Some(0.0); 2] {
        let message = format!(
            "{} and {} are both 0: with priority and fairness on, kube-apiserver refuses to start",
            NAMES[0], NAMES[1]
        );
        return Some((Severity::Critical, message));
    }
    (sum < limit).then(|| {
        let words = seats(cx, subject, sum);
        let message = format!("kube-apiserver serves {sum:.0} requests at once; {words}");
        (Severity::Warn, message)
    })
}

/// What each priority level gets of the seats, computed as kube-apiserver does.
fn seats(cx: &Context<'_>, subject: &Subject, sum: f64) -> String {
    let version = settings::version_of(cx, subject);
    if settings::without_levels(cx, subject) && version.is_none_or(|v| v >= settings::LEVELS_SINCE)
    {
        return "priority and fairness is off, so that no priority levels divide them".to_owned();
    }
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
    use crate::evidence::{Row, Table};
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
        // pflag reads a number with a leading 0 by eights: 256.
        assert_eq!(with("0400", "300").status(&RULE).0, Status::Fail);
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    /// kubeadm, Talos and k3s set only what their configuration names.
    #[test]
    fn the_flag_that_nobody_sets_has_its_default() {
        let with = |rows: &[(&str, &str, &str)]| {
            let about = component("kube-apiserver");
            Set::new().put(&keys::SETTINGS, about, settings(rows))
        };
        let unset = |name| (name, "", "unknown default");
        let [read, write] = NAMES;
        let both = |a, b| with(&[a, b]).status(&RULE).0;
        assert_eq!(both((read, "500", "flag"), unset(write)), Status::Pass);
        assert_eq!(both(unset(read), (write, "500", "flag")), Status::Pass);
        assert_eq!(with(&[(read, "500", "flag")]).status(&RULE).0, Status::Pass);
        let none = with(&[(read, "0", "flag"), unset(write)]).check(&RULE);
        assert!(none[0].message.contains("serves 200 requests"), "{none:?}");
        // Where a file that was not read may set it, the sum is not known.
        let mut table = settings(&[(read, "100", "flag"), unset(write)]);
        for row in &mut table.rows {
            if row.key == write {
                *row = row.clone().text("unread", "no permission for x");
            }
        }
        let hidden = Set::new().put(&keys::SETTINGS, component("kube-apiserver"), table);
        assert_ne!(hidden.status(&RULE).0, Status::Fail);
    }

    #[test]
    fn zero_is_no_limit_without_levels_and_no_start_with_them() {
        let with = |read: &str, write: &str, apf: &str| {
            let rows = [
                (NAMES[0], read, "flag"),
                (NAMES[1], write, "flag"),
                ("enable-priority-and-fairness", apf, "flag"),
            ];
            let about = component("kube-apiserver");
            Set::new().put(&keys::SETTINGS, about, settings(&rows))
        };
        assert_eq!(with("0", "0", "false").status(&RULE).0, Status::Pass);
        assert_eq!(with("0", "200", "false").status(&RULE).0, Status::Pass);
        let half = with("0", "20", "false").check(&RULE);
        assert!(
            half[0]
                .message
                .contains("20 requests at once that change something"),
            "{half:?}"
        );
        let none = with("0", "0", "true");
        assert_eq!(none.status(&RULE), (Status::Fail, Severity::Critical));
        assert!(none.check(&RULE)[0].message.contains("refuses to start"));
        assert_eq!(with("640", "0", "true").status(&RULE).0, Status::Pass);
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
