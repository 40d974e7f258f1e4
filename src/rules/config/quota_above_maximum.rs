//! The quota is above the suggested maximum, or off: recovery and defragmentation take long, and memory grows with
//! the file.

use crate::evidence::{Missing, Subject, Unit, keys, number};
use crate::profile::Limit;
use crate::rules::settings;
use crate::rules::{Context, Draft, Rule, Severity, Verdict};

/// The rule.
pub static RULE: Rule = Rule {
    id: "quota-above-maximum",
    summary: "the quota is above the suggested maximum of 8 GiB",
    severity: Severity::Warn,
    since: "0.1.0",
    playbook: "quota-above-maximum",
    check,
};

/// The setting's names, the present one first.
const NAMES: &[&str] = &["quota-backend-bytes"];

fn check(cx: &Context<'_>) -> Result<Verdict, Missing> {
    let limit = cx.profile.limit("quota-max");
    let set = settings::etcds(cx, NAMES, Severity::Warn, &limit.words(), |setting| {
        let quota = setting.number()?;
        // etcd takes a negative value for no quota at all.
        if quota < 0.0 {
            return Some(format!(
                "the quota is off ({quota}): nothing stops the database before the disk is full"
            ));
        }
        (quota > limit.value).then(|| format!("the quota is {}", number(quota, Unit::Bytes)))
    });
    cx.evidence.take_citations();
    let measured = in_force(cx, limit);
    let mut found = match &set {
        Ok(Verdict::Fail(drafts)) => drafts.clone(),
        _ => Vec::new(),
    };
    // Whom its settings accuse already is accused once.
    let more = measured.iter().flatten();
    let more: Vec<Draft> = more
        .filter(|draft| !found.iter().any(|have| same(&have.subject, &draft.subject)))
        .cloned()
        .collect();
    found.extend(more);
    Verdict::of_either(found, set, measured)
}

/// What members run with by their own word, whatever the files say.
fn in_force(cx: &Context<'_>, limit: &Limit) -> Result<Vec<Draft>, Missing> {
    let quotas = cx.evidence.some(&keys::DB_QUOTA)?;
    cx.evidence.take_citations();
    let above = quotas
        .into_iter()
        .filter(|(_, quota)| *quota > limit.value)
        .map(|(member, quota)| {
            cx.evidence.cite(&keys::DB_QUOTA, &member);
            let words = format!("the quota in force is {}", number(quota, Unit::Bytes));
            Draft::new(member, Severity::Warn, words)
                .threshold(limit.words())
                .cites(cx.evidence.take_citations())
        });
    Ok(above.collect())
}

/// Whether a component's settings are those of a member.
fn same(component: &Subject, member: &Subject) -> bool {
    match (&component.node, &member.node) {
        (Some(one), Some(other)) => one == other,
        (Some(node), None) => **node == *member.name,
        (None, _) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Status;
    use crate::rules::settings::testing::settings;
    use crate::rules::testing::{Set, component, member};

    fn with(value: &str, source: &str) -> Set {
        Set::new().put(
            &keys::SETTINGS,
            component("etcd"),
            settings(&[(NAMES[0], value, source)]),
        )
    }

    #[test]
    fn both_sides() {
        assert_eq!(
            with("8589934593", "flag").status(&RULE),
            (Status::Fail, Severity::Warn)
        );
        assert_eq!(with("8589934592", "flag").status(&RULE).0, Status::Pass);
        assert_eq!(with("0", "default").status(&RULE).0, Status::Pass);
        let off = with("-1", "flag");
        assert_eq!(off.status(&RULE), (Status::Fail, Severity::Warn));
        assert!(off.check(&RULE)[0].message.contains("off (-1)"));
        assert_eq!(Set::new().status(&RULE).0, Status::Unknown);
    }

    #[test]
    fn the_quota_in_force_counts_whatever_the_files_say() {
        let ran = |bytes: f64| with("0", "default").put(&keys::DB_QUOTA, member(), bytes);
        let found = ran(17_179_869_184.0).check(&RULE);
        assert!(
            found[0].message.ends_with("in force is 16 GiB"),
            "{found:?}"
        );
        assert_eq!(ran(8_589_934_592.0).status(&RULE).0, Status::Pass);
        // One member is accused once.
        let both = with("17179869184", "flag").put(&keys::DB_QUOTA, member(), 17_179_869_184.0);
        assert_eq!(both.check(&RULE).len(), 1);
        let alone = Set::new().put(&keys::DB_QUOTA, member(), 17_179_869_184.0);
        assert_eq!(alone.status(&RULE).0, Status::Fail);
    }
}
