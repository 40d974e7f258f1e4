//! In which order members are defragmented, with the command for each, and how long one takes.

use crate::evidence::{SubjectKind, keys};
use crate::units::{format_bytes, format_ms};

use super::super::facts::{Facts, whole};

/// One command a member, followers first, the leader last; `None` where the members were not asked.
pub(super) fn steps(facts: &Facts<'_>) -> Option<String> {
    let mut members: Vec<(bool, String, String)> = facts
        .all(&keys::ETCD_STATUS)
        .into_iter()
        .filter(|(subject, _)| subject.kind == SubjectKind::Member)
        .filter_map(|(subject, table)| {
            let row = table.row("status")?;
            let leads = row.get("leads") == Some(1.0);
            Some((leads, subject.name, row.get_text("endpoint")?.to_owned()))
        })
        .collect();
    if members.is_empty() {
        return None;
    }
    members.sort();
    let several = members.len() > 1;
    let steps: Vec<String> = members
        .iter()
        .map(|(leads, name, endpoint)| {
            let last = if *leads && several {
                " (the leader, last)"
            } else {
                ""
            };
            format!(
                "`etcdctl --endpoints {endpoint} --command-timeout=10m defrag` for {name}{last}"
            )
        })
        .collect();
    Some(steps.join(", then "))
}

/// How long one takes: as it took here, else by the bytes that it copies.
pub(super) fn stall(facts: &Facts<'_>) -> String {
    let measured = facts
        .all(&keys::DEFRAG)
        .iter()
        .filter_map(|(_, took)| took.max.or_else(|| took.mean()))
        .max_by(f64::total_cmp);
    if let Some(ms) = measured {
        return format!("{} as the last one here took", format_ms(ms));
    }
    let in_use = facts
        .all(&keys::DB_IN_USE)
        .into_iter()
        .map(|(_, bytes)| bytes)
        .max_by(f64::total_cmp);
    match (in_use, measured_speed(facts)) {
        // etcd syncs after ten thousand keys, so larger pieces than the bench's: it is no slower.
        (Some(bytes), Some((piece, speed))) => format!(
            "at most about {} for the {} in use ({}/s, as `bench disk` wrote {} at a time with a sync \
             after each)",
            format_ms(bytes / speed * 1e3),
            format_bytes(whole(bytes).unwrap_or(0)),
            format_bytes(whole(speed).unwrap_or(0)),
            format_bytes(piece),
        ),
        // So little is copied in no time: the files that are made, synced and renamed take what is left.
        (Some(bytes), None) if bytes < LITTLE => format!(
            "about a second at the most: no more than {} are in use",
            format_bytes(whole(bytes).unwrap_or(0))
        ),
        // etcd hardware guide: 10 MB/s at the least, 100 MB/s for large clusters.
        (Some(bytes), None) => format!(
            "about {} to {} for the {} in use (copied at 100 to 10 MB/s, as etcd's hardware guide asks \
             for; `bench disk --plan standard` measures this disk)",
            format_ms(bytes / 1e5),
            format_ms(bytes / 1e4),
            format_bytes(whole(bytes).unwrap_or(0))
        ),
        (None, _) => "some seconds per GiB".to_owned(),
    }
}

/// Bytes that the slowest disk that etcd's hardware guide takes copies in a tenth of a second.
const LITTLE: f64 = 1e6;

/// From this size of a piece on, time goes into bytes and not into the sync alone.
const LARGE_PIECE: u64 = 64 << 10;

/// The largest piece of the fsync curve, and the bytes a second at which it was written: on the slowest
/// disk that was measured. `None` for a curve of small pieces, which says nothing about copying.
fn measured_speed(facts: &Facts<'_>) -> Option<(u64, f64)> {
    facts
        .all(&keys::BENCH_DISK_CURVE)
        .iter()
        .filter_map(|(_, curve)| {
            curve
                .rows
                .iter()
                .filter_map(|row| Some((row.key.parse::<u64>().ok()?, row.get("mean_ms")?)))
                .filter(|(piece, mean_ms)| *piece >= LARGE_PIECE && *mean_ms > 0.0)
                .map(|(piece, mean_ms)| (piece, piece as f64 / mean_ms * 1e3))
                .max_by_key(|(piece, _)| *piece)
        })
        .min_by(|a, b| a.1.total_cmp(&b.1))
}
