//! What stands between kube-apiserver and its data where that is no plain etcd: the SQL of kine and
//! k8s-dqlite, and what k3s and rke2 say of the etcd inside them.

use std::borrow::Cow;

use memchr::memmem;

use crate::catalog::resources::parse_key;
use crate::logs::event::Component::Unknown;
use crate::logs::event::{Event, Extra};
use crate::logs::record::Level::{Error as Err, Info, Warn};
use crate::logs::record::Record;

use super::classify::Detail;
use super::dispatch::{FIND_LIMIT, Found};
use super::extract::{self, call};
use super::types::How::Text;
use super::types::Nature::{Fault, Symptom};
use super::types::Role::{Error, Int, Text as Txt, Took, Url};
use super::types::{Extractor, Field, Signature, field, form, row};

const ERROR: Field = field("error", Error, "");

pub(super) static TABLE: &[Signature] = &[
    row(
        "kine-sql-slow", Unknown, Info, Symptom, "kine; from 1 s on",
        "A statement took longer than a second in the database below kine (SQLite, dqlite, MySQL, PostgreSQL): the datastore is slow, or locked. Its values are never kept.",
        &[
            form(Text("Slow SQL (started: {started}) (total time: {took}): {sql}"), r#"time="2024-06-18T16:30:11+02:00" level=info msg="Slow SQL (started: 2024-06-18 16:30:03.685309152 +0200 CEST m=+521992.662599903) (total time: 7.982377818s):  SELECT COUNT(c.theid) FROM (SELECT * FROM kine) c  : [[/registry/leases/kube-system/k3s false]]""#),
            form(Text("Slow SQL: {sql}"), r#"time="2026-05-18T12:10:19Z" level=info msg="Slow SQL: SELECT id, name FROM kine WHERE id = (SELECT MAX(id) FROM kine WHERE name = '/registry/leases/kube-system/k3s')" duration=1.235096511s started="2026-05-18T12:10:18Z""#),
        ],
        &[
            field("took", Took, ""),
            field("duration", Took, "newer wording"),
            field("started", Txt("started"), "as the line has it"),
            field("statement", Txt("statement"), "its first word"),
            field("key", Url, "the first of its arguments that is a key"),
        ],
    )
    .by(Extractor::Kine),
    row(
        "kine-request-failed", Unknown, Err, Fault, "kine, k8s-dqlite",
        "The database below kine refused a read or a write, or did not answer before kube-apiserver gave up.",
        &[
            form(Text("error while range on {of} {_}: {error}"), r#"time="2022-12-14T17:58:37Z" level=error msg="error while range on /registry/leases/kube-system/k3s : query (try: 0): context deadline exceeded""#),
            form(Text("error in txn: {error}"), r#"time="2022-12-14T17:58:37Z" level=error msg="error in txn: query (try: 0): context canceled""#),
        ],
        &[field("key", Url, "of reads"), ERROR],
    )
    .by(Extractor::Kine),
    row(
        "server-not-member", Unknown, Info, Fault, "k3s, rke2; each 5 s",
        "The etcd of this node serves a cluster that does not list the node under its present name and address, as after its address changed: k3s waits for ever. A fault of the membership, not of the disk or the network.",
        &[
            form(Text("Failed to test data store connection: this server is {_}not a member of the etcd cluster. Found {found}, expect: {expected}"), r#"time="2021-03-23T15:49:28.620152500Z" level=info msg="Failed to test data store connection: this server is a not a member of the etcd cluster. Found [k3d-0-09ac1081=https://172.19.0.2:2380], expect: k3d-1-5d1ce7ce=172.19.0.5""#),
            form(Text("Failed to test etcd connection: this server is {_}not a member of the etcd cluster. Found {found}, expect: {expected}"), r#"time="2025-03-23T15:49:28Z" level=info msg="Failed to test etcd connection: this server is a not a member of the etcd cluster. Found [a-f917b42f=https://192.168.1.124:2380], expect: a-f917b42f=https://192.168.1.136:2380""#),
        ],
        &[field("found", Txt("found"), "who is a member"), field("expected", Txt("expected"), "this node")],
    ),
    row(
        "datastore-test-failed", Unknown, Info, Symptom, "k3s, rke2; each 5 s while they start",
        "k3s or rke2 could not ask the etcd inside them.",
        &[
            form(Text("Failed to test data store connection: {error}"), r#"time="2022-03-17T17:22:56-07:00" level=info msg="Failed to test data store connection: context deadline exceeded""#),
            form(Text("Failed to test etcd connection: {error}"), r#"time="2025-03-17T17:22:56-07:00" level=info msg="Failed to test etcd connection: etcdserver: no leader""#),
            form(Text("Failed to get recorded learner progress from etcd: {error}"), r#"time="2021-02-22T10:05:44+01:00" level=error msg="Failed to get recorded learner progress from etcd: context deadline exceeded""#),
        ],
        &[ERROR],
    ),
    row(
        "learner-stalled", Unknown, Warn, Symptom, "k3s, rke2",
        "A new server's etcd, a learner still, does not take over what the leader sends: it will be removed.",
        &[form(Text("Learner {member} stalled at RaftAppliedIndex={index} for {took}"), r#"time="2021-06-04T07:06:32.089411933Z" level=warning msg="Learner server-2 stalled at RaftAppliedIndex=0 for 2m45.08940257s""#)],
        &[field("member", Txt("member"), ""), field("index", Int("index"), ""), field("took", Took, "since it last moved")],
    ),
];

/// Who writes a kind of this table, in a stream of several programs: what k3s and rke2 hold is told
/// apart from the etcd and the apiserver beside it.
pub(super) fn writer(kind: &str) -> Option<&'static str> {
    match kind {
        "kine-sql-slow" | "kine-request-failed" => Some("kine"),
        "server-not-member" | "datastore-test-failed" | "learner-stalled" => Some("k3s"),
        _ => None,
    }
}

/// Reads a line of kine's: beside the declared fields the statement's first word and its key. The
/// rest of a statement may hold whole objects, secrets too.
pub(super) fn kine<'a>(
    event: &mut Event<'a>,
    record: &'a Record<'a>,
    found: &Found<'a>,
    detail: Detail,
) {
    extract::fields(event, record, found, detail);
    if let Some(sql) = found.captures.get("sql")
        && detail == Detail::Full
    {
        let sql = sql.trim_ascii_start();
        let word = sql.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        if let Some(word) = sql.get(..word).and_then(|word| str::from_utf8(word).ok())
            && (3..=8).contains(&word.len())
        {
            let word = Extra::Text(Cow::Borrowed(word));
            event.extra.push(("statement", word));
        }
    }
    let key = match found.captures.get("sql") {
        Some(sql) => key_in(sql),
        None => found.captures.get("of"),
    };
    if let Some(key) = key.filter(|key| key.starts_with(b"/")) {
        call(event).parts = parse_key(key);
    }
    // The caller asks anew; nothing is wrong with the database.
    let error = event.error.as_deref().unwrap_or_default();
    if error.contains("required revision has been compacted") {
        event.kind = "etcd-error-compacted";
    }
}

/// The first key of a statement: among its arguments (`[[/registry/a false]]`) or, in the newer
/// wording, inside it (`name = '/registry/a'`).
fn key_in(sql: &[u8]) -> Option<&[u8]> {
    let sql = sql.get(..FIND_LIMIT).unwrap_or(sql);
    [(&b"[[/"[..], 2), (b"'/", 1)]
        .into_iter()
        .find_map(|(open, skip)| {
            let rest = sql.get(memmem::find(sql, open)? + skip..)?;
            // Without its end it is the beginning of another key.
            let end = rest.iter().position(|b| matches!(b, b' ' | b']' | b'\''))?;
            let key = rest.get(..end)?;
            Some(key.strip_suffix(b"%").unwrap_or(key))
        })
}
