//! What several rules ask of faults in settings.

use std::collections::BTreeMap;

use crate::evidence::{Missing, Reading, Subject, keys};

use super::{Context, Severity};

/// One fault that was seen while settings were read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    pub(super) subject: Subject,
    pub(super) text: String,
    /// `stop`, `warn` or `note`.
    pub(super) weight: String,
    /// One of those that the evidence key lists.
    pub(super) kind: String,
    key: String,
    place: Option<String>,
}

impl Fault {
    /// How bad it is by its weight: it stops the component, or is worth a warning, or a note.
    pub(super) fn severity(&self) -> Severity {
        match self.weight.as_str() {
            "stop" => Severity::Critical,
            "warn" => Severity::Warn,
            _ => Severity::Info,
        }
    }
}

/// Faults of any of `kinds`. `Err` when no settings were read at all.
pub(super) fn of(cx: &Context<'_>, kinds: &[&str]) -> Result<Vec<Fault>, Missing> {
    let tables = cx.evidence.all(&keys::SETTINGS_FAULTS);
    let read = cx
        .evidence
        .records(&keys::SETTINGS)
        .iter()
        .any(|record| matches!(record.value, Reading::Known(_)));
    if tables.is_empty() && !read {
        return Err(cx
            .evidence
            .any(&keys::SETTINGS)
            .err()
            .unwrap_or(Missing::NotCollected));
    }
    let mut faults = Vec::new();
    for (subject, table) in tables {
        for row in &table.rows {
            if !row
                .get_text("kind")
                .is_some_and(|kind| kinds.contains(&kind))
            {
                continue;
            }
            let place = row.get_text("where").filter(|place| !place.is_empty());
            let shown = place.map_or_else(String::new, |place| format!(" ({place})"));
            faults.push(Fault {
                subject: subject.clone(),
                text: format!(
                    "{}{shown}",
                    row.get_text("fault").unwrap_or("a fault of the settings")
                ),
                weight: row.get_text("weight").unwrap_or("note").to_owned(),
                kind: row.get_text("kind").unwrap_or_default().to_owned(),
                key: row.key.clone(),
                place: place.map(str::to_owned),
            });
        }
    }
    Ok(faults)
}

/// As [`of`], by what they are about.
pub(super) fn by_subject(
    cx: &Context<'_>,
    kinds: &[&str],
) -> Result<BTreeMap<Subject, Vec<Fault>>, Missing> {
    let mut by_subject: BTreeMap<Subject, Vec<Fault>> = BTreeMap::new();
    for fault in of(cx, kinds)? {
        let all = by_subject.entry(fault.subject.clone()).or_default();
        all.push(fault);
    }
    Ok(by_subject)
}

/// Faults in one sentence: the first `many` in full, which are noted as used, and how many more.
pub(super) fn in_words(cx: &Context<'_>, all: &[Fault], many: usize) -> String {
    let told = all.iter().take(many);
    for fault in told.clone() {
        cite(cx, fault);
    }
    let mut words: Vec<String> = told.map(|fault| fault.text.clone()).collect();
    let more = all.len().saturating_sub(many);
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    words.join("; ")
}

/// Why a component refuses a setting, or the value that it is given for it, if it does.
pub(super) fn refused(cx: &Context<'_>, subject: &Subject, setting: &str) -> Option<String> {
    let table = cx.evidence.peek(&keys::SETTINGS_FAULTS, subject)?;
    table.rows.iter().find_map(|row| {
        let kind = row.get_text("kind").unwrap_or_default();
        let value = matches!(
            kind,
            "invalid-value" | "removed-setting" | "unknown-setting"
        ) && row.get_text("weight") == Some("stop")
            && row.get_text("setting") == Some(setting);
        value.then(|| row.get_text("fault").unwrap_or_default().to_owned())
    })
}

/// Notes a fault as used.
pub(super) fn cite(cx: &Context<'_>, fault: &Fault) {
    cx.evidence.cite_at(
        &keys::SETTINGS_FAULTS,
        &fault.subject,
        format!("{}: {}", fault.key, fault.text),
        fault.place.clone(),
    );
}

#[cfg(test)]
pub(super) mod testing {
    //! Hand-made faults.

    use crate::evidence::{Row, Table, keys};
    use crate::rules::testing::{Set, component};

    /// Evidence with one fault.
    pub(crate) fn fault(kind: &str, weight: &str) -> Set {
        let row = Row::new(format!("{kind}:x"))
            .text("kind", kind)
            .text("weight", weight)
            .text("fault", "x is wrong")
            .text("where", "etcd.yaml:7");
        Set::new().put(
            &keys::SETTINGS_FAULTS,
            component("etcd"),
            Table {
                rows: vec![row],
                ..Table::default()
            },
        )
    }
}
