//! Rows of the tables that a look at a live etcd makes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::etcd::model::{Member, Model, Reads};
use crate::etcd::trouble::{Trouble, TroubleKind};
use crate::evidence::Row;

/// `answers`, `silent`, `refuses` or `unstarted`.
fn state(member: &Member) -> &'static str {
    if member.answers() {
        return "answers";
    }
    if member.is_unstarted() {
        return "unstarted";
    }
    match &member.trouble {
        Some(trouble) if trouble.kind.is_ours() => "refuses",
        Some(_) => "silent",
        None => "not-asked",
    }
}

pub(super) fn members(model: &Model) -> Vec<Row> {
    model
        .members
        .iter()
        .map(|member| {
            let mut row = Row::new(&member.name)
                .num("learner", f64::from(u8::from(member.is_learner())))
                .text("state", state(member));
            if let Some(id) = member.id {
                row = row.text("id", format!("{id:x}"));
            }
            if let Some(endpoint) = &member.endpoint {
                row = row.text("endpoint", endpoint.to_string());
            }
            if let Some(listed) = &member.listed {
                row = row
                    .text("client-urls", listed.client_urls.join(","))
                    .text("peer-urls", listed.peer_urls.join(","));
            }
            if let Some(trouble) = &member.trouble {
                row = row
                    .text("kind", trouble.kind.word())
                    .text("why", trouble.in_full());
            }
            row
        })
        .collect()
}

pub(super) fn lists(model: &Model) -> Vec<Row> {
    model
        .lists
        .iter()
        .map(|(who, list)| {
            let words: Vec<String> = list
                .iter()
                .map(|member| {
                    format!(
                        "{:x}{}{} {} {}",
                        member.id,
                        if member.name.is_empty() { "" } else { "=" },
                        member.name,
                        member.peer_urls.join(","),
                        if member.learner { "learner" } else { "voter" }
                    )
                })
                .collect();
            let row = Row::new(who)
                .num("members", list.len() as f64)
                .text("list", words.join("; "));
            let giver = model.members.iter().find(|member| member.name == *who);
            match giver.and_then(Member::last) {
                Some(sample) => row.text("cluster-id", format!("{:x}", sample.cluster_id)),
                None => row,
            }
        })
        .collect()
}

/// How far each member is behind the longest log of its cluster. Members are asked at slightly different moments, so the smaller
/// of two looks counts: what lags stays behind.
pub(super) fn lag(model: &Model) -> Vec<Row> {
    let looks = model
        .answering()
        .map(|member| member.samples.len())
        .max()
        .unwrap_or(0);
    let mut rows: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for look in 0..looks {
        let samples: Vec<_> = model
            .answering()
            .filter_map(|member| Some((member.name.as_str(), member.samples.get(look)?)))
            .collect();
        // Each cluster has a log of its own: indices of another tell nothing.
        let mut heads: BTreeMap<u64, u64> = BTreeMap::new();
        for (_, sample) in &samples {
            let head = heads.entry(sample.cluster_id).or_default();
            *head = sample.index.max(*head);
        }
        for (name, sample) in samples {
            let head = heads.get(&sample.cluster_id).copied().unwrap_or_default();
            let behind = head.saturating_sub(sample.index) as f64;
            // 3.3 does not tell what it applied.
            let unapplied = if sample.applied == 0 {
                0.0
            } else {
                sample.index.saturating_sub(sample.applied) as f64
            };
            let row = rows.entry(name).or_insert((behind, unapplied));
            row.0 = row.0.min(behind);
            row.1 = row.1.min(unapplied);
        }
    }
    rows.into_iter()
        .map(|(name, (behind, unapplied))| {
            Row::new(name)
                .num("behind", behind)
                .num("unapplied", unapplied)
                .num("looks", looks as f64)
        })
        .collect()
}

pub(super) fn read_row(kind: &str, reads: &Reads) -> Row {
    let ms = |took: &Duration| took.as_secs_f64() * 1e3;
    let mut took: Vec<f64> = reads.took.iter().map(ms).collect();
    took.sort_by(f64::total_cmp);
    let mut row = Row::new(kind).num("count", took.len() as f64);
    if let (Some(least), Some(middle), Some(most)) =
        (took.first(), took.get(took.len() / 2), took.last())
    {
        row = row
            .num("min_ms", *least)
            .num("p50_ms", *middle)
            .num("max_ms", *most);
    }
    if let Some(trouble) = &reads.error {
        row = row
            .text("kind", trouble.kind.word())
            .text("error", trouble.in_full());
    }
    row
}

/// What can be seen with the rights at hand, and what needs more.
pub(super) fn rights(model: &Model) -> Vec<Row> {
    let mut rows = vec![
        Row::new("status and member list")
            .text("state", "seen")
            .text("needs", "a TLS client certificate, where etcd asks for one"),
    ];
    let errors: Vec<&Trouble> = model
        .answering()
        .flat_map(|member| [&member.serializable, &member.linearizable])
        .filter_map(|reads| reads.error.as_ref())
        .collect();
    let lacking = |errors: &[&Trouble]| -> Option<Trouble> {
        errors
            .iter()
            .find(|trouble| {
                matches!(
                    trouble.kind,
                    TroubleKind::Denied | TroubleKind::Authentication
                )
            })
            .map(|trouble| (*trouble).clone())
    };
    let read = model
        .answering()
        .any(|member| !member.serializable.took.is_empty());
    let reads = Row::new("reads").text(
        "needs",
        "with authentication on: a user that may read the key `health`",
    );
    rows.push(match lacking(&errors) {
        Some(trouble) => reads.text("state", "denied").text("why", trouble.in_full()),
        None if read => reads.text("state", "seen"),
        None => reads.text("state", "not-seen").text(
            "why",
            errors.first().map_or_else(
                || "no member answers".to_owned(),
                |trouble| trouble.in_full(),
            ),
        ),
    });
    let hash = Row::new("hash").text(
        "needs",
        "--hash, and with authentication on a user with the role root",
    );
    let hashes: Vec<&Trouble> = model
        .members
        .iter()
        .filter_map(|member| member.hash.as_ref()?.as_ref().err())
        .collect();
    rows.push(match (model.hash_asked, lacking(&hashes)) {
        (false, _) => hash.text("state", "not-asked"),
        (true, Some(trouble)) => hash.text("state", "denied").text("why", trouble.in_full()),
        (true, None) => match &model.hash_refused {
            Some(why) => hash.text("state", "not-seen").text("why", why.clone()),
            None => hash.text("state", "seen"),
        },
    });
    if let Some(user) = &model.user {
        rows.push(Row::new("log-in").text("state", "seen").text(
            "why",
            format!("as `{user}`: etcd notes each log-in in its raft log"),
        ));
    }
    rows
}
