//! What etcd's metrics tell of alarms (3.6 and later).
//!
//! The gauge is raised by each request that asks for the alarm, and lowered by one when it is
//! disarmed: every write that a full database refuses adds one, and after a disarming most of them
//! are still there until the process ends (etcd: server/etcdserver/apply, applierV3backend.Alarm, and
//! v3alarm.AlarmStore.Activate, which gives the old alarm back). So it says that there was one, and
//! writes say whether it still holds: under either alarm nothing is put.

use crate::evidence::{Subject, keys};

use super::Context;

/// An alarm as the members' metrics show it.
pub(super) struct Shown {
    /// The member, or the cluster where several show it.
    pub(super) subject: Subject,
    /// The names of the members that show it.
    pub(super) members: String,
    /// Nothing was written while it was shown, so that it holds.
    pub(super) holds: bool,
}

/// The alarm of this name. `None` where no member shows it, or where members write all the same.
pub(super) fn shown(cx: &Context<'_>, alarm: &str) -> Option<Shown> {
    let mut showing = Vec::new();
    let mut refuses = false;
    for (subject, table) in cx.evidence.all(&keys::SERVER_ALARMS) {
        let Some(row) = table.row(alarm) else {
            continue;
        };
        // Of a reading that holds no more than that it was there nothing else is known.
        if row.get("last_raised").unwrap_or(1.0) <= 0.0 {
            continue;
        }
        let rises = row.get("max_rise").is_some_and(|rise| rise > 0.0);
        match puts(cx, &subject) {
            Some(puts) if puts > 0.0 && !rises => return None,
            Some(puts) => refuses |= puts <= 0.0,
            None => {}
        }
        showing.push(subject);
    }
    let mut names: Vec<&str> = showing.iter().map(|member| member.name.as_str()).collect();
    names.sort_unstable();
    let members = names.join(", ");
    let subject = match showing.len() {
        0 => return None,
        1 => showing.remove(0),
        // Each member shows the alarms of all.
        _ => Subject::cluster(),
    };
    Some(Shown {
        subject,
        members,
        holds: refuses,
    })
}

/// Notes it as used.
pub(super) fn cite(cx: &Context<'_>, alarm: &str) {
    for (subject, table) in cx.evidence.all(&keys::SERVER_ALARMS) {
        if table.row(alarm).is_some() {
            let words = format!("the metric of the {alarm} alarm is above 0");
            cx.evidence.cite_as(&keys::SERVER_ALARMS, &subject, words);
            if puts(cx, &subject) == Some(0.0) {
                let words = "nothing was put".to_owned();
                cx.evidence.cite_as(&keys::SERVER_COUNTERS, &subject, words);
            }
        }
    }
}

/// How often a member wrote a key, where that was counted.
fn puts(cx: &Context<'_>, member: &Subject) -> Option<f64> {
    let counters = cx.evidence.peek(&keys::SERVER_COUNTERS, member)?;
    counters.row("puts")?.get("count")
}

#[cfg(test)]
pub(super) mod testing {
    use crate::evidence::{Subject, SubjectKind, keys};
    use crate::rules::testing::{Set, table};

    /// A member whose metrics show an alarm, which rose by so much while so many keys were put.
    pub(crate) fn showing(set: Set, name: &str, alarm: &str, rise: f64, puts: Option<f64>) -> Set {
        let member = || Subject::new(SubjectKind::Member, name);
        let row: &[(&str, f64)] = &[
            ("last_raised", 1.0),
            ("max_raised", 1.0),
            ("max_rise", rise),
        ];
        let set = set.put(&keys::SERVER_ALARMS, member(), table(&[(alarm, row)]));
        match puts {
            Some(n) => {
                let counters = table(&[("puts", &[("count", n)])]);
                set.put(&keys::SERVER_COUNTERS, member(), counters)
            }
            None => set,
        }
    }
}
