//! `--redact` for evidence: node names, namespaces, object names, users and addresses become keyed
//! hashes, the same word wherever it stands, so that joins and verdicts stay.
//!
//! Words that are public anyway stay: resources, components, settings, versions, user agents'
//! programs, the system's own users. First all names are gathered from the places that hold names;
//! then every text is gone through, so that a name is also hidden inside a path or a message.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use regex::{Captures, Regex};

use crate::evidence::{
    Cell, EvidenceSet, Missing, Reading, Record, Row, Scalar, Shape, SubjectKind, Table, keys,
};

use super::redact::Redactor;
use super::redact_names;

/// Columns whose text is one name.
const NAME_COLUMNS: &[(&str, &[&str])] = &[
    (keys::LOGS_AUDIT_OBJECTS.info.name, &["object"]),
    (keys::ETCD_ALARMS.info.name, &["member"]),
    (keys::WORKLOADS.info.name, &["namespace"]),
];
/// Columns whose text is a user.
const USER_COLUMNS: &[&str] = &["user"];
/// Settings whose value is a name, or several.
const NAME_SETTINGS: &[&str] = &[
    "name",
    "initial-cluster-token",
    "cluster-name",
    "discovery-srv",
    "hostname-override",
    "node-name",
    "oidc-client-id",
];
/// etcd's `auth-token`: the kind of token, then where its keys are.
const TOKEN_SETTING: &str = "auth-token";
/// Keys whose texts are messages of other programs, which may name anything.
const MESSAGES: &[&str] = &[keys::LOGS_MESSAGES.info.name, keys::LOGS_EPISODES.info.name];
/// Keys whose rows are named by users: webhooks.
const NAMED_ROWS: &[&str] = &[keys::APISERVER_WEBHOOKS.info.name];

static ACCOUNT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"system:serviceaccount:([a-z0-9.-]+):([a-z0-9.-]+)|system:node:([a-z0-9.-]+)")
});
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        // The new notation with an old address at its end is one address, and not the half of one.
        r"(?:\b(?:[0-9a-fA-F]{1,4}:)*[0-9a-fA-F]{1,4})?::(?:[0-9a-fA-F]{1,4}:)*(?:\d{1,3}\.){3}\d{1,3}\b",
        r"|\b(?:\d{1,3}\.){3}\d{1,3}\b",
        // At least four colons, or two in a row: times of day have neither.
        r"|\b(?:[0-9a-fA-F]{1,4}:){4,7}[0-9a-fA-F]{1,4}\b",
        r"|\b(?:[0-9a-fA-F]{1,4}:)+(?::[0-9a-fA-F]{1,4})+\b",
        // With nothing behind the two colons, as a prefix is written, or nothing before them. `a::` of
        // a path in a program goes with them.
        r"|\b(?:[0-9a-fA-F]{1,4}:){1,7}:",
        r"|\B::(?:[0-9a-fA-F]{1,4}:){0,6}[0-9a-fA-F]{1,4}\b",
    ))
});
static HOST: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"([a-zA-Z][a-zA-Z0-9+.-]*://)(?:[^/@\s]*@)?([^/:\s,\[\]]+)"));
static MAIL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b")
});

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern of our own")
}

/// Hides names in evidence and in the notes beside it.
pub(super) fn redacted(
    evidence: &EvidenceSet,
    notes: &mut [String],
    redactor: &Redactor,
) -> EvidenceSet {
    let hide = Hide::of(evidence, redactor);
    for note in notes.iter_mut() {
        *note = hide.text(note);
    }
    let mut out = EvidenceSet::new();
    for record in evidence.records() {
        out.insert(hide.record(record));
    }
    for conflict in evidence.conflicts() {
        out.note_conflict(hide.text(conflict));
    }
    out
}

struct Hide<'r> {
    redactor: &'r Redactor,
    names: Vec<String>,
    finder: Option<AhoCorasick>,
}

impl<'r> Hide<'r> {
    fn of(evidence: &EvidenceSet, redactor: &'r Redactor) -> Self {
        let mut names = BTreeSet::new();
        for record in evidence.records() {
            gather(record, redactor, &mut names);
        }
        let names: Vec<String> = names.into_iter().filter(|name| tells(name)).collect();
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&names)
            .ok();
        Hide {
            redactor,
            names,
            finder,
        }
    }

    /// A text with all names in it hidden.
    fn text(&self, text: &str) -> String {
        // Whole hosts first: a part of one may be a node's name.
        let text = HOST.replace_all(text, |found: &Captures<'_>| {
            let part = |at: usize| found.get(at).map_or("", |part| part.as_str());
            format!("{}{}", part(1), self.host(part(2)))
        });
        let text = MAIL.replace_all(&text, |found: &Captures<'_>| {
            self.redactor
                .name(found.get(0).map_or("", |all| all.as_str()))
        });
        let text = ACCOUNT.replace_all(&text, |found: &Captures<'_>| {
            self.redactor
                .user(found.get(0).map_or("", |all| all.as_str()))
        });
        let text = self.known(&text);
        let text = ADDRESS.replace_all(&text, |found: &Captures<'_>| {
            self.address(found.get(0).map_or("", |all| all.as_str()))
        });
        text.into_owned()
    }

    /// Names that were gathered, where they stand as words.
    fn known(&self, text: &str) -> String {
        let Some(finder) = &self.finder else {
            return text.to_owned();
        };
        let bytes = text.as_bytes();
        let word = |at: Option<usize>| {
            at.and_then(|at| bytes.get(at))
                .is_some_and(u8::is_ascii_alphanumeric)
        };
        let mut out = String::new();
        let mut last = 0;
        for found in finder.find_iter(text) {
            // Already hidden, or a part of a longer word.
            if word(found.start().checked_sub(1)) || word(Some(found.end())) {
                continue;
            }
            let Some(name) = self.names.get(found.pattern().as_usize()) else {
                continue;
            };
            out.push_str(text.get(last..found.start()).unwrap_or_default());
            out.push_str(&self.redactor.user(name));
            last = found.end();
        }
        out.push_str(text.get(last..).unwrap_or_default());
        out
    }

    fn host(&self, host: &str) -> String {
        let public = host == "localhost" || host.starts_with("kubernetes");
        if public || host.parse::<std::net::IpAddr>().is_ok() {
            // Addresses have their own turn.
            return host.to_owned();
        }
        self.redactor.name(host)
    }

    fn address(&self, text: &str) -> String {
        match text.parse::<std::net::IpAddr>() {
            Ok(ip) if ip.is_loopback() || ip.is_unspecified() => text.to_owned(),
            // A version with four parts is no address above 255, and any other is hidden with them.
            _ => self.redactor.name(text),
        }
    }

    fn record(&self, record: &Record) -> Record {
        let mut record = record.clone();
        let key = record.key.clone();
        record.subject.name = match record.subject.kind {
            SubjectKind::Node | SubjectKind::Member => self.text(&record.subject.name),
            _ if record.subject.name.is_empty() => String::new(),
            _ => self.text(&record.subject.name),
        };
        record.subject.node = record.subject.node.as_deref().map(|node| self.text(node));
        record.origin.source = self.text(&record.origin.source);
        match &mut record.value {
            Reading::Missing(missing) => self.missing(missing),
            Reading::Known(shape) => self.shape(&key, shape),
        }
        record
    }

    fn missing(&self, missing: &mut Missing) {
        match missing {
            Missing::NotCollected => {}
            Missing::NotPresent { source }
            | Missing::Denied { source }
            | Missing::TimedOut { source, .. } => *source = self.text(source),
            Missing::Unreadable { source, why, .. } => {
                *source = self.text(source);
                *why = self.text(why);
            }
            Missing::NotEnough { why } => *why = self.text(why),
        }
    }

    fn shape(&self, key: &str, shape: &mut Shape) {
        match shape {
            Shape::Scalar(Scalar::Text(text)) => *text = self.text(text),
            Shape::Table(table) => self.table(key, table),
            Shape::Episodes(episodes) => {
                for episode in &mut episodes.episodes {
                    episode.detail = self.redactor.text(&self.text(&episode.detail));
                }
            }
            Shape::Scalar(_) | Shape::Histogram(_) | Shape::Series(_) => {}
        }
    }

    fn table(&self, key: &str, table: &mut Table) {
        for row in table.rows.iter_mut().chain(&mut table.other) {
            self.row(key, row);
        }
        // A table is searched by key.
        table.rows.sort_by(|a, b| a.key.cmp(&b.key));
    }

    fn row(&self, key: &str, row: &mut Row) {
        let setting = row.key.clone();
        // Rows of this table end with the object that they are about.
        let object = match key == keys::LOGS_AUDIT_OBJECTS.info.name {
            true => row.get_text("object").map(str::to_owned),
            false => None,
        };
        row.key = match &object {
            Some(object) => {
                let head = row.key.strip_suffix(object.as_str()).unwrap_or_default();
                let head = Row {
                    key: head.to_owned(),
                    ..row.clone()
                };
                let shown = redact_names::key(&head, self.redactor, |text| self.text(text));
                let shown = shown.unwrap_or_else(|| self.text(&head.key));
                format!("{shown}{}", self.object(object))
            }
            None if NAMED_ROWS.contains(&key) => self.redactor.name(&row.key),
            None if MESSAGES.contains(&key) => self.redactor.text(&self.text(&row.key)),
            None => redact_names::key(row, self.redactor, |text| self.text(text))
                .unwrap_or_else(|| self.text(&row.key)),
        };
        for (column, cell) in &mut row.cells {
            let Cell::Text(text) = cell else {
                continue;
            };
            let whole = key == keys::SETTINGS.info.name
                && matches!(column.as_str(), "value" | "defined")
                && NAME_SETTINGS.contains(&setting.as_str());
            *text = if USER_COLUMNS.contains(&column.as_str()) {
                self.redactor.user(text)
            } else if redact_names::is_agent(column) {
                self.text(&self.redactor.agent(text))
            } else if object.is_some() && column == "object" {
                self.object(text)
            } else if whole && tells(text) {
                self.redactor.name(text)
            } else if MESSAGES.contains(&key)
                || (key == keys::LOGS_LIVES.info.name && column == "why")
            {
                self.redactor.text(&self.text(text))
            } else {
                self.text(text)
            };
        }
    }

    /// `namespace/name`, or a name.
    fn object(&self, text: &str) -> String {
        text.split('/')
            .map(|part| self.redactor.name(part))
            .collect::<Vec<_>>()
            .join("/")
    }
}

/// Names that a record holds.
fn gather(record: &Record, redactor: &Redactor, names: &mut BTreeSet<String>) {
    let subject = &record.subject;
    names.extend(subject.node.clone());
    if matches!(subject.kind, SubjectKind::Node | SubjectKind::Member) {
        // `NODE/events` is the second etcd of a node.
        names.extend(subject.name.split('/').next().map(str::to_owned));
    }
    let Reading::Known(Shape::Table(table)) = &record.value else {
        return;
    };
    for row in table.rows.iter().chain(&table.other) {
        redact_names::gather(&record.key, row, redactor, names);
        for (column, cell) in &row.cells {
            let Cell::Text(text) = cell else {
                continue;
            };
            let named = NAME_COLUMNS
                .iter()
                .any(|(key, columns)| *key == record.key && columns.contains(&column.as_str()));
            if named {
                names.extend(text.split('/').map(str::to_owned));
            }
            if USER_COLUMNS.contains(&column.as_str()) {
                user_names(text, names);
            }
        }
        if record.key == keys::SETTINGS.info.name {
            // What is in force, and what another place says.
            let values = ["value", "defined"].into_iter();
            for value in values.filter_map(|column| row.get_text(column)) {
                setting_names(&row.key, value, names);
            }
        }
        if record.key == keys::SETTINGS_FAULTS.info.name {
            let setting = row.get_text("setting").unwrap_or_default();
            // The values of both places stand in the sentence, in backquotes.
            let fault = row.get_text("fault").unwrap_or_default();
            for value in fault.split('`').skip(1).step_by(2) {
                setting_names(setting, value, names);
            }
        }
        // Rows by member.
        if record.key == keys::ETCD_MEMBERS.info.name {
            names.insert(row.key.clone());
        }
    }
}

/// Names in a setting's value.
fn setting_names(setting: &str, value: &str, names: &mut BTreeSet<String>) {
    match setting {
        setting if NAME_SETTINGS.contains(&setting) => {
            names.insert(value.to_owned());
        }
        TOKEN_SETTING => names.extend(value.split_once(',').map(|(_, keys)| keys.to_owned())),
        // NAME=URL,NAME=URL
        "initial-cluster" => names.extend(
            value
                .split(',')
                .filter_map(|one| one.split_once('='))
                .map(|(name, _)| name.trim().to_owned()),
        ),
        _ => {}
    }
}

fn user_names(user: &str, names: &mut BTreeSet<String>) {
    if let Some(rest) = user.strip_prefix("system:serviceaccount:") {
        names.extend(rest.split(':').map(str::to_owned));
    } else if let Some(node) = user.strip_prefix("system:node:") {
        names.insert(node.to_owned());
    } else if !user.starts_with("system:") {
        names.insert(user.to_owned());
    }
}

/// Whether a name tells anything. What is a word of Kubernetes or etcd itself tells nothing, and
/// hiding it inside texts would make them unreadable.
fn tells(name: &str) -> bool {
    const PUBLIC: &[&str] = &[
        "default",
        "events",
        "etcd",
        "admin",
        "agent",
        "root",
        "main",
        "system",
        "apps",
        "metrics",
        "monitoring",
        "localhost",
        "kubernetes",
        "kubernetes-admin",
        // etcd's default of `initial-cluster-token`.
        "etcd-cluster",
        "leader",
        "server",
        "client",
        "node",
        "cluster",
        "list",
        "write",
        "flag",
        "data",
        "true",
        "false",
        "unknown",
        "none",
    ];
    let public = PUBLIC.contains(&name)
        || name.starts_with("kube-")
        || name.starts_with("etcd-events")
        || name.parse::<f64>().is_ok()
        || crate::catalog::resources::builtin_by_name(name, "").is_some();
    name.len() > 2 && !public
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Collector, Episode, Episodes, Origin, Subject, Window};

    fn evidence() -> EvidenceSet {
        let mut set = EvidenceSet::new();
        let origin = || Origin::new(Collector::Logs, "/home/carol/acme-cp0/etcd.log");
        set.put(
            &keys::LOGS_AUDIT_OBJECTS,
            Subject::cluster(),
            Window::default(),
            origin(),
            Table {
                rows: vec![
                    Row::new("a/1 | system:serviceaccount:pay:bot | get pods pay/web-1")
                        .text("user", "system:serviceaccount:pay:bot")
                        .text("object", "pay/web-1"),
                ],
                ..Table::default()
            },
        );
        set.put(
            &keys::LOGS_EPISODES,
            Subject::new(SubjectKind::Member, "acme-cp0"),
            Window::default(),
            origin(),
            Episodes {
                episodes: vec![Episode {
                    kind: "x".to_owned(),
                    from: crate::clock::Timestamp(0),
                    to: crate::clock::Timestamp(0),
                    count: 1,
                    max_ms: None,
                    detail: "dial 10.1.2.3:2380 of acme-cp0 by alice@acme.example".to_owned(),
                    nature: String::new(),
                    planned: false,
                }],
                dropped: 0,
            },
        );
        set.put(
            &keys::SETTINGS,
            Subject::new(SubjectKind::Component, "etcd").on("acme-cp0"),
            Window::default(),
            origin(),
            Table {
                rows: vec![
                    Row::new("data-dir").text("value", "/srv/acme-cp0/etcd"),
                    Row::new("initial-cluster").text(
                        "value",
                        "blue=https://10.1.2.3:2380,red=https://red.acme.example:2380",
                    ),
                    Row::new("listen-client-urls")
                        .text("value", "https://127.0.0.1:2379,https://[fd00::12]:2379"),
                    Row::new("quota-backend-bytes").text("value", "8589934592"),
                    Row::new("initial-cluster-token")
                        .text("value", "etcd-cluster")
                        .text("defined", "s3cret"),
                    Row::new("auth-token").text("value", "jwt,sign-method=HS256,priv-key=hush"),
                    Row::new("oidc-client-id").text("value", "oidcClient"),
                ],
                ..Table::default()
            },
        );
        set.put(
            &keys::SETTINGS_FAULTS,
            Subject::new(SubjectKind::Component, "etcd").on("acme-cp0"),
            Window::default(),
            origin(),
            Table {
                rows: vec![
                    Row::new("not-applied:initial-cluster-token")
                        .text("setting", "initial-cluster-token")
                        .text(
                            "fault",
                            "initial-cluster-token: the running process has its default `etcd-cluster`, etcd.yaml says `t0ken`",
                        ),
                    Row::new("not-applied:auth-token")
                        .text("setting", "auth-token")
                        .text("fault", "auth-token: etcd.yaml has `jwt,priv-key=hush2`"),
                ],
                ..Table::default()
            },
        );
        set
    }

    #[test]
    fn addresses_of_every_notation_are_hidden_whole() {
        let redactor = Redactor::new(true);
        let set = EvidenceSet::new();
        let hidden = |text: &str| {
            let mut notes = vec![text.to_owned()];
            redacted(&set, &mut notes, &redactor);
            notes.remove(0)
        };
        for (text, raw) in [
            ("10.96.0.0/12,fd00:10:96::/112", "fd00:10:96::"),
            ("https://[2001:db8:77::]:2379", "2001:db8:77::"),
            ("to 2001:db8:77::5.", "2001:db8:77::5"),
            ("to fe80:: by", "fe80::"),
            ("--bind ::5,x", "::5"),
            ("[::abcd:12]:2380", "::abcd:12"),
            ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
            ("64:ff9b::10.1.2.3", "64:ff9b::10.1.2.3"),
            ("::ffff:10.1.2.3", "::ffff:10.1.2.3"),
        ] {
            let name = redactor.name(raw);
            let want = text.replace(raw, &name);
            let want = want.replace("10.96.0.0", &redactor.name("10.96.0.0"));
            assert_eq!(hidden(text), want, "{text}");
        }
        for text in [
            "https://[::1]:2379",
            "[::]:2379",
            "::/0",
            "at 10:20:30.5",
            "std::add",
            "2026-11-01T10:20:30Z",
            "system:node",
        ] {
            assert_eq!(hidden(text), text);
        }
    }

    #[test]
    fn no_name_and_no_address_is_left_and_each_has_one_hash() {
        let mut notes = vec!["acme-cp0: no permission for /home/carol".to_owned()];
        let redactor = Redactor::new(true);
        let set = redacted(&evidence(), &mut notes, &redactor);
        let text = format!(
            "{}{notes:?}",
            serde_json::to_string(&set.records().collect::<Vec<_>>()).unwrap()
        );
        for raw in [
            "acme", "pay", "web-1", "bot", "alice", "10.1.2.3", "fd00", "blue", "red",
        ] {
            assert!(
                !text.contains(&format!("{raw}\""))
                    && !text.contains(&format!("{raw}:"))
                    && !text.contains(&format!("{raw}="))
                    && !text.contains(&format!("/{raw}")),
                "{raw}: {text}"
            );
        }
        assert!(!text.contains("acme") && !text.contains("10.1.2.3") && !text.contains("web-1"));
        for raw in ["s3cret", "t0ken", "hush", "oidcClient"] {
            assert!(!text.contains(raw), "{raw}: {text}");
        }
        for kept in [
            "etcd-cluster",
            "jwt,x-",
            "127.0.0.1:2379",
            "8589934592",
            "data-dir",
            "a/1 | system:serviceaccount:",
        ] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
        let node = redactor.name("acme-cp0");
        assert!(text.matches(&node).count() >= 4, "{text}");
    }
}
