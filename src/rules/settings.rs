//! What several rules ask of effective settings.

use crate::catalog::releases::Version;
use crate::catalog::settings::{Component, parse_int};
use crate::evidence::{Missing, Subject, SubjectKind, Table, keys};
use crate::units::{parse_bytes, parse_go_duration};

use super::{Context, Draft, Severity, Verdict, faults};

/// One effective setting of one component.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Setting {
    pub(super) subject: Subject,
    pub(super) value: String,
    /// `flag`, `env`, `file`, `default` or `unknown default`.
    pub(super) source: String,
    /// `file:line`, where it stands in a file.
    place: Option<String>,
}

impl Setting {
    /// Whether somebody set it, so that it is not the default.
    pub(super) fn is_set(&self) -> bool {
        !self.source.ends_with("default")
    }

    /// As a duration in milliseconds: a Go duration, or a bare number of milliseconds as etcd's
    /// heartbeat and election flags take it.
    pub(super) fn ms(&self) -> Option<f64> {
        if let Ok(ms) = self.value.trim().parse::<f64>() {
            return Some(ms);
        }
        parse_go_duration(self.value.trim().as_bytes()).map(|ns| ns as f64 / 1e6)
    }

    /// Whether a retention or an interval of compaction makes anybody compact: `0`, in whatever unit,
    /// and an empty text do not.
    pub(super) fn compacts(&self) -> bool {
        !self.value.trim().is_empty() && self.ms() != Some(0.0)
    }

    /// As a whole number, as pflag reads it: with a leading 0 by eights.
    pub(super) fn whole(&self) -> Option<f64> {
        parse_int(&self.value).map(|value| value as f64)
    }

    /// As a number or a size in bytes.
    pub(super) fn number(&self) -> Option<f64> {
        let text = self.value.trim();
        text.parse::<f64>()
            .ok()
            .or_else(|| parse_bytes(text).map(|bytes| bytes as f64))
    }

    /// As yes or no.
    pub(super) fn flag(&self) -> Option<bool> {
        match self.value.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "t" | "yes" | "on" => Some(true),
            "false" | "0" | "f" | "no" | "off" => Some(false),
            _ => None,
        }
    }
}

/// A setting on every instance of a component. `Err` when that component's settings were not read.
pub(super) fn of(
    cx: &Context<'_>,
    component: &str,
    names: &[&str],
) -> Result<Vec<Setting>, Missing> {
    let tables = cx.evidence.some(&keys::SETTINGS)?;
    cx.evidence.take_citations();
    let mut known = false;
    let mut unread = None;
    let mut settings = Vec::new();
    for (subject, table) in tables {
        // A second etcd (`etcd-events`) is an etcd too.
        let same = subject.name == component
            || Component::of_subject(&subject.name).map(Component::program) == Some(component);
        if !same {
            continue;
        }
        known = true;
        // Names of the same setting in different versions: the one that is set wins.
        let rows = names.iter().filter_map(|name| table.row(name));
        let row = rows
            .clone()
            .find(|row| {
                row.get_text("source")
                    .is_some_and(|source| !source.ends_with("default"))
            })
            .or_else(|| rows.clone().next());
        let Some(row) = row else { continue };
        // A source that could not be read may set it: neither its default nor "not set" is known.
        if let Some(why) = row.get_text("unread") {
            unread.get_or_insert_with(|| why.to_owned());
        }
        let source = row.get_text("source").unwrap_or("flag");
        let Some(value) = row
            .get_text("value")
            .filter(|_| source != "unknown default")
        else {
            continue;
        };
        // A value that the component does not take is none: it cannot be judged as one.
        if let Some(why) = faults::refused(cx, &subject, &row.key) {
            unread.get_or_insert(why);
            continue;
        }
        settings.push(Setting {
            subject,
            value: value.to_owned(),
            source: source.to_owned(),
            place: row
                .get_text("where")
                .filter(|place| !place.is_empty())
                .map(str::to_owned),
        });
    }
    if !known {
        return Err(Missing::NotEnough {
            why: format!("the settings of {component} were not read"),
        });
    }
    if let Some(why) = unread.filter(|_| !settings.iter().any(Setting::is_set)) {
        return Err(Missing::NotEnough {
            why: format!("the settings of {component} are not all known: {why}"),
        });
    }
    Ok(settings)
}

/// One draft for each etcd whose setting is at fault, as `words` say of it. The names are those of one
/// setting in different versions, the present one first; `threshold` is what it is compared with.
pub(super) fn etcds(
    cx: &Context<'_>,
    names: &[&str],
    severity: Severity,
    threshold: &str,
    words: impl Fn(&Setting) -> Option<String>,
) -> Result<Verdict, Missing> {
    let mut drafts = Vec::new();
    for setting in of(cx, "etcd", names)? {
        let Some(words) = words(&setting) else {
            continue;
        };
        cite(cx, &setting, names.first().copied().unwrap_or_default());
        drafts.push(
            Draft::new(setting.subject, severity, words)
                .threshold(threshold)
                .cites(cx.evidence.take_citations()),
        );
    }
    Ok(Verdict::Fail(drafts))
}

/// Notes a setting as used: `name=value (flag, file:line)`.
pub(super) fn cite(cx: &Context<'_>, setting: &Setting, name: &str) {
    let place = setting.place.clone();
    let shown = place
        .as_ref()
        .map_or_else(String::new, |place| format!(", {place}"));
    cx.evidence.cite_at(
        &keys::SETTINGS,
        &setting.subject,
        format!("{name}={} ({}{shown})", setting.value, setting.source),
        place,
    );
}

/// The version of a component: of its image, binary or process first, as settings tell it, then as
/// metrics and logs do. A member's version is etcd's alone; the parts of Kubernetes that do not tell
/// theirs go by kube-apiserver's.
pub(super) fn version_of(cx: &Context<'_>, subject: &Subject) -> Option<Version> {
    let newest = |table: &Table| {
        table
            .rows
            .iter()
            .filter(|row| !matches!(row.key.as_str(), "go" | "cluster"))
            .find_map(|row| Version::parse(row.get_text("version")?))
    };
    let keys = [
        &keys::VERSIONS,
        &keys::METRICS_VERSIONS,
        &keys::LOGS_VERSIONS,
    ];
    let of = |subject: &Subject| {
        keys.iter()
            .find_map(|key| newest(&cx.evidence.peek(key, subject)?))
    };
    let own = of(subject);
    let component = Component::of_subject(&subject.name);
    if own.is_some() || component.is_none() {
        return own;
    }
    if component == Some(Component::Etcd) {
        let node = subject.node.clone().unwrap_or_default();
        return of(&Subject::new(SubjectKind::Member, node));
    }
    let mut apiserver = Subject::new(SubjectKind::Component, Component::ApiServer.program());
    apiserver.node.clone_from(&subject.node);
    of(&apiserver).or_else(|| {
        let all = keys.iter().flat_map(|key| cx.evidence.all(key));
        all.filter(|(subject, _)| subject.name == apiserver.name)
            .filter_map(|(_, table)| newest(&table))
            .min()
    })
}

/// From here on priority levels divide kube-apiserver's seats unless that is turned off.
pub(super) const LEVELS_SINCE: Version = Version::minor(1, 20);

/// Whether a kube-apiserver is known to have no priority levels: they are turned off, or it is older.
pub(super) fn without_levels(cx: &Context<'_>, subject: &Subject) -> bool {
    let name = "enable-priority-and-fairness";
    let off = of(cx, Component::ApiServer.program(), &[name])
        .unwrap_or_default()
        .iter()
        .any(|setting| setting.subject == *subject && setting.flag() == Some(false));
    off || version_of(cx, subject).is_some_and(|version| version < LEVELS_SINCE)
}

#[cfg(test)]
mod tests {
    use crate::evidence::{Row, Table, keys};
    use crate::rules::config::unsafe_no_fsync::RULE;
    use crate::rules::testing::{Set, component};
    use crate::rules::{Severity, Status};

    #[test]
    fn a_value_that_is_refused_is_not_judged_as_one() {
        use crate::rules::config::event_ttl_long::RULE;
        use crate::rules::settings::testing::settings;
        let fault = Row::new("invalid-value:event-ttl")
            .text("kind", "invalid-value")
            .text("weight", "stop")
            .text("setting", "event-ttl")
            .text(
                "fault",
                "kube-apiserver refuses the value `1d` of `event-ttl`",
            );
        let faults = Table {
            rows: vec![fault],
            ..Table::default()
        };
        let apiserver = component("kube-apiserver");
        let given = settings(&[("event-ttl", "1d", "flag")]);
        let set = Set::new()
            .put(&keys::SETTINGS, apiserver.clone(), given)
            .put(&keys::SETTINGS_FAULTS, apiserver, faults);
        let found = set.check(&RULE);
        assert_eq!(found[0].status, Status::Unknown, "{found:?}");
    }

    #[test]
    fn what_an_unread_file_may_set_is_unknown() {
        let row = |source: &str, value: &str| {
            Row::new("unsafe-no-fsync")
                .text("value", value)
                .text("source", source)
        };
        let of = |row: Row| {
            let table = Table {
                rows: vec![row],
                ..Table::default()
            };
            let set = Set::new().put(&keys::SETTINGS, component("etcd"), table);
            set.status(&RULE)
        };
        let denied = "no permission for /etc/default/etcd";
        let hidden = row("unknown default", "").text("unread", denied);
        assert_eq!(of(hidden).0, Status::Unknown);
        // What an installer sets is not known either, and was not hidden.
        assert_eq!(of(row("unknown default", "")).0, Status::Pass);
        assert_eq!(of(row("flag", "true")), (Status::Fail, Severity::Critical));
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! Hand-made settings.

    use crate::evidence::{Row, Table};

    /// A table of settings from `(name, value, source)`.
    pub(crate) fn settings(rows: &[(&str, &str, &str)]) -> Table {
        let mut rows: Vec<Row> = rows
            .iter()
            .map(|(name, value, source)| {
                Row::new(*name)
                    .text("value", *value)
                    .text("source", *source)
                    .text("where", "etcd.yaml:7")
            })
            .collect();
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        Table {
            rows,
            ..Table::default()
        }
    }
}
