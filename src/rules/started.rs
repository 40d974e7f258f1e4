//! What the last start in a log says of settings goes before what a file says: a file that was edited
//! since acts only after a restart.

use crate::evidence::{
    Cell, Collector, EvidenceSet, Origin, Reader, Reading, Record, Row, Shape, Subject,
    SubjectKind, Table, keys,
};
use crate::units::parse_go_duration;

/// The quota that etcd takes for 0.
const QUOTA_DEFAULT: f64 = 2_147_483_648.0;
const QUOTA: &str = "quota-backend-bytes";
const HEARTBEAT: &str = "heartbeat-interval";
const ELECTION: &str = "election-timeout";

/// What differs from the file, where a log tells it: the settings get the value of the process, with
/// what the file defines beside it, as readers of running processes write it. What a process itself or
/// its metrics tell goes before the log.
pub fn reconcile(evidence: &mut EvidenceSet) {
    let reader = Reader::new(evidence);
    let said = reader.all(&keys::LOGS_SETTINGS);
    if said.is_empty() {
        return;
    }
    let all: Vec<Subject> = evidence
        .of_key(&keys::SETTINGS)
        .map(|record| record.subject.clone())
        .collect();
    let mut changed: Vec<Record> = Vec::new();
    let mut faults: Vec<(Record, Vec<Row>)> = Vec::new();
    for record in evidence.of_key(&keys::SETTINGS) {
        let mut record = record.clone();
        let (found, quota) = match log_of(&said, &all, &record.subject) {
            Some((_, table)) => (
                differences(&record, table),
                measured_quota(&reader, &record.subject),
            ),
            None => (Vec::new(), None),
        };
        let mut rows = Vec::new();
        if let Reading::Known(Shape::Table(table)) = &mut record.value {
            for (name, value) in found {
                let taken = number(&name, &value);
                if name == QUOTA && quota.is_some() && quota != taken {
                    continue;
                }
                let row = table.rows.iter_mut().find(|row| row.key == name);
                rows.extend(row.map(|row| take(row, &value)));
            }
        }
        if !rows.is_empty() {
            faults.push((record.clone(), rows));
        }
        changed.push(record);
    }
    let quotas: Vec<(Subject, f64)> = said
        .iter()
        .filter(|(who, _)| who.kind == SubjectKind::Member)
        .filter(|(who, _)| reader.peek(&keys::DB_QUOTA, who).is_none())
        .filter_map(|(who, table)| {
            let value = table.row(QUOTA)?.get_text("value")?;
            Some((who.clone(), number(QUOTA, value)?))
        })
        .collect();
    put(evidence, changed, faults, quotas);
}

fn put(
    evidence: &mut EvidenceSet,
    changed: Vec<Record>,
    faults: Vec<(Record, Vec<Row>)>,
    quotas: Vec<(Subject, f64)>,
) {
    let origin = Origin::new(Collector::Logs, "the last start in the log");
    if !faults.is_empty() {
        evidence.retain(|record| record.key != keys::SETTINGS.info.name);
        changed
            .into_iter()
            .for_each(|record| evidence.insert(record));
    }
    for (settings, mut rows) in faults {
        let about = settings.subject;
        let known = evidence.record(&keys::SETTINGS_FAULTS, &about).cloned();
        if let Some(Record {
            value: Reading::Known(Shape::Table(table)),
            ..
        }) = known
        {
            rows.retain(|row| table.row(&row.key).is_none());
            rows.extend(table.rows);
        }
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        evidence.retain(|record| {
            record.key != keys::SETTINGS_FAULTS.info.name || record.subject != about
        });
        let table = Table {
            rows,
            ..Table::default()
        };
        let window = settings.window;
        evidence.put(&keys::SETTINGS_FAULTS, about, window, origin.clone(), table);
    }
    for (who, quota) in quotas {
        let record = evidence.record(&keys::LOGS_SETTINGS, &who);
        let window = record.map(|record| record.window).unwrap_or_default();
        evidence.put(&keys::DB_QUOTA, who, window, origin.clone(), quota);
    }
}

/// The log of the component whose settings these are: that of the same node, or where one of both
/// names no node, the only one of the only component of that name.
fn log_of<'l>(
    said: &'l [(Subject, Table)],
    all: &[Subject],
    settings: &Subject,
) -> Option<&'l (Subject, Table)> {
    let node_of = |log: &Subject| match log.kind {
        SubjectKind::Member => log.name.clone(),
        _ => log.node.clone().unwrap_or_default(),
    };
    let node = settings.node.as_deref().unwrap_or_default();
    let same_component = |log: &Subject| match log.kind {
        SubjectKind::Member => settings.name == "etcd",
        _ => log.name == settings.name,
    };
    let logs: Vec<&(Subject, Table)> = said.iter().filter(|(log, _)| same_component(log)).collect();
    let same_node = logs.iter().find(|(log, _)| node_of(log) == node);
    let alone = all
        .iter()
        .filter(|other| other.name == settings.name)
        .count()
        == 1;
    match (same_node, logs.as_slice()) {
        (Some(log), _) => Some(log),
        (None, [only]) if alone && (node.is_empty() || node_of(&only.0).is_empty()) => Some(only),
        _ => None,
    }
}

/// Settings that a file gives one value and the last start took another. None where the process
/// itself was read.
fn differences(settings: &Record, said: &Table) -> Vec<(String, String)> {
    let Reading::Known(Shape::Table(table)) = &settings.value else {
        return Vec::new();
    };
    let of_process = |row: &Row| {
        let place = row.get_text("where").unwrap_or_default();
        place.starts_with("proc/") || place.contains("/proc/") || row.get_text("process").is_some()
    };
    if table.rows.iter().any(of_process) {
        return Vec::new();
    }
    let of = |table: &Table, name: &str| number(name, table.row(name)?.get_text("value")?);
    let said_heartbeat = of(said, HEARTBEAT);
    let differs = |said: &Row| {
        let (row, taken) = (table.row(&said.key)?, said.get_text("value")?);
        let source = row.get_text("source")?;
        // Defaults are the catalogue's; of the quota it is the same in every release.
        let comparable = !source.ends_with("default") || (source == "default" && said.key == QUOTA);
        let given = number(&said.key, row.get_text("value")?)?;
        let heartbeat = said_heartbeat.or_else(|| of(table, HEARTBEAT));
        let same = as_logged(&said.key, given, heartbeat) == number(&said.key, taken)?;
        let open = row.get_text("defined").is_none();
        (comparable && open && !same).then(|| (said.key.clone(), taken.to_owned()))
    };
    said.rows.iter().filter_map(differs).collect()
}

/// What etcd logs for a value of a file. Of an election timeout those are whole heartbeats: it counts
/// in ticks (`ElectionTicks` in server/embed/config.go).
fn as_logged(name: &str, given: f64, heartbeat: Option<f64>) -> f64 {
    match heartbeat {
        Some(heartbeat) if name == ELECTION && heartbeat > 0.0 => {
            (given / heartbeat).trunc() * heartbeat
        }
        _ => given,
    }
}

/// A number, or a duration in milliseconds. Values that are neither are not compared.
fn number(name: &str, value: &str) -> Option<f64> {
    let value = value.trim();
    let number = match value.parse::<f64>() {
        Ok(number) => number,
        Err(_) if value.is_empty() && name == QUOTA => 0.0,
        Err(_) => parse_go_duration(value.as_bytes())? as f64 / 1e6,
    };
    Some(if name == QUOTA && number == 0.0 {
        QUOTA_DEFAULT
    } else {
        number
    })
}

fn measured_quota(reader: &Reader<'_>, settings: &Subject) -> Option<f64> {
    let node = settings.node.clone().unwrap_or_default();
    let member = Subject::new(SubjectKind::Member, node);
    reader.peek(&keys::DB_QUOTA, &member)
}

/// Gives a row the value of the process, and tells of the fault.
fn take(row: &mut Row, value: &str) -> Row {
    let name = row.key.clone();
    let defined = row.get_text("value").unwrap_or_default().to_owned();
    let place = row.get_text("where").unwrap_or_default().to_owned();
    let is_set = row
        .get_text("source")
        .is_some_and(|source| !source.ends_with("default"));
    let says = match is_set {
        true => format!("its file says {defined}"),
        false => "its file does not set it".to_owned(),
    };
    let words = format!(
        "{name}: the last start in its log took {value}, {says}: a restart is pending, or it was \
         started otherwise"
    );
    let fault = Row::new(format!("not-applied:{name}"))
        .text("kind", "not-applied")
        .text("weight", "warn")
        .text("setting", name)
        .text("fault", words)
        .text("where", place.clone());
    let mut cell = |column: &str, text: String| {
        row.cells.insert(column.to_owned(), Cell::Text(text));
    };
    cell("defined", defined);
    cell("defined-where", place);
    cell("value", value.to_owned());
    cell("source", "flag".to_owned());
    row.cells.remove("where");
    fault
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::config::{quota_default, settings_not_applied};
    use crate::rules::settings::testing::settings;
    use crate::rules::testing::{Set, member};
    use crate::rules::{Severity, Status};

    fn etcd() -> Subject {
        Subject::new(SubjectKind::Component, "etcd").on(&member().name)
    }

    fn said(name: &str, value: &str) -> Table {
        Table {
            rows: vec![Row::new(name).text("value", value)],
            ..Table::default()
        }
    }

    fn quota(file: &str, source: &str, log: &str) -> Set {
        let mut set = Set::new()
            .put(&keys::SETTINGS, etcd(), settings(&[(QUOTA, file, source)]))
            .put(&keys::LOGS_SETTINGS, member(), said(QUOTA, log));
        reconcile(&mut set.0);
        set
    }

    #[test]
    fn the_last_start_goes_before_the_file() {
        let (small, large) = ("2147483648", "8589934592");
        let warns = (Status::Fail, Severity::Warn);
        let waits = quota(large, "flag", small);
        assert_eq!(waits.status(&settings_not_applied::RULE), warns);
        assert_eq!(waits.status(&quota_default::RULE).0, Status::Fail);
        let other = quota("0", "default", large);
        assert_eq!(other.status(&settings_not_applied::RULE), warns);
        assert_eq!(other.status(&quota_default::RULE).0, Status::Pass);
        // 0 is the default, written either way.
        let same = quota("0", "default", "0").status(&settings_not_applied::RULE);
        assert_eq!(same.0, Status::Pass);
        let same = quota(small, "flag", "0").status(&settings_not_applied::RULE);
        assert_eq!(same.0, Status::Pass);
    }

    #[test]
    fn a_process_or_its_metrics_go_before_the_log() {
        let large = "8589934592";
        let mut rows = settings(&[(QUOTA, large, "flag")]);
        rows.rows[0] = Row::new(QUOTA)
            .text("value", large)
            .text("source", "flag")
            .text("where", "proc/2211/cmdline");
        let mut of_process = Set::new().put(&keys::SETTINGS, etcd(), rows).put(
            &keys::LOGS_SETTINGS,
            member(),
            said(QUOTA, "0"),
        );
        reconcile(&mut of_process.0);
        let status = of_process.status(&settings_not_applied::RULE).0;
        assert_eq!(status, Status::Pass);
        let given = settings(&[(QUOTA, large, "flag")]);
        let mut measured = Set::new()
            .put(&keys::SETTINGS, etcd(), given)
            .put(&keys::LOGS_SETTINGS, member(), said(QUOTA, "0"))
            .put(&keys::DB_QUOTA, member(), 8_589_934_592.0);
        reconcile(&mut measured.0);
        let status = measured.status(&settings_not_applied::RULE).0;
        assert_eq!(status, Status::Pass);
    }

    #[test]
    fn an_election_timeout_is_logged_in_whole_heartbeats() {
        let status = |heartbeat: &str, file: &str, logged: &str| {
            let rows = [(HEARTBEAT, heartbeat, "flag"), (ELECTION, file, "flag")];
            let log = Table {
                rows: vec![
                    Row::new(ELECTION).text("value", logged),
                    Row::new(HEARTBEAT).text("value", format!("{heartbeat}ms")),
                ],
                ..Table::default()
            };
            let mut set = Set::new()
                .put(&keys::SETTINGS, etcd(), settings(&rows))
                .put(&keys::LOGS_SETTINGS, member(), log);
            reconcile(&mut set.0);
            set.status(&settings_not_applied::RULE).0
        };
        assert_eq!(status("900", "5000", "4.5s"), Status::Pass);
        assert_eq!(status("900", "5400", "4.5s"), Status::Fail);
        assert_eq!(status("100", "1050", "1s"), Status::Pass);
        assert_eq!(status("100", "1050", "1.05s"), Status::Fail);
    }

    #[test]
    fn a_process_that_has_what_its_file_says_goes_before_the_log() {
        let row = Row::new(QUOTA)
            .text("value", "8589934592")
            .text("source", "flag")
            .text("where", "manifests/etcd.yaml:22")
            .text("process", "yes");
        let rows = Table {
            rows: vec![row],
            ..Table::default()
        };
        let mut set = Set::new().put(&keys::SETTINGS, etcd(), rows).put(
            &keys::LOGS_SETTINGS,
            member(),
            said(QUOTA, "0"),
        );
        reconcile(&mut set.0);
        assert_eq!(set.status(&settings_not_applied::RULE).0, Status::Pass);
    }

    #[test]
    fn a_log_without_a_node_is_that_of_the_only_one() {
        let unnamed = Subject::new(SubjectKind::Member, "");
        let given = || settings(&[(QUOTA, "8589934592", "flag")]);
        let one = || {
            Set::new().put(&keys::SETTINGS, etcd(), given()).put(
                &keys::LOGS_SETTINGS,
                unnamed.clone(),
                said(QUOTA, "0"),
            )
        };
        let status = |mut set: Set| {
            reconcile(&mut set.0);
            set.status(&settings_not_applied::RULE).0
        };
        assert_eq!(status(one()), Status::Fail);
        let other = Subject::new(SubjectKind::Component, "etcd").on("other");
        assert_eq!(
            status(one().put(&keys::SETTINGS, other, given())),
            Status::Pass
        );
    }

    #[test]
    fn doing_it_twice_changes_nothing() {
        let mut set = quota("8589934592", "flag", "0").0;
        let once: Vec<Record> = set.records().cloned().collect();
        reconcile(&mut set);
        assert_eq!(once, set.records().cloned().collect::<Vec<_>>());
    }
}
