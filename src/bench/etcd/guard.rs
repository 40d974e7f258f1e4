//! What a load must not do: touch a cluster that somebody needs, fill it, or go on when it hurts.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::channel::Channel;
use super::cluster::{ASK, Cluster, ask};
use super::drive::Run;
use super::grpc::CallError;
use super::plan::{Plan, QUOTA_SHARE, ROOT};
use super::record::Recorder;
use super::wire::{self, Range, path};

/// What was seen before a load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The begin of a key that is not a bench's, if there is one: its first part only, for names
    /// of objects are nobody's business.
    pub foreign: Option<String>,
    /// Keys that another run left; they go with their leases, where they have any.
    pub leftovers: u64,
    /// Alarms and errors by the members' own words.
    pub alarms: Vec<String>,
    /// Whether a leader is known.
    pub leader: bool,
    /// The largest database file.
    pub db_size: u64,
    /// The smallest quota.
    pub quota: u64,
    /// Where the quota is from.
    pub quota_source: QuotaSource,
}

/// How a quota is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QuotaSource {
    /// The member says so in its status (3.6.6 and later).
    Status,
    /// Its metric `etcd_server_quota_backend_bytes`.
    Metric,
    /// Nothing could be asked: etcd's default is taken.
    #[default]
    Assumed,
}

impl QuotaSource {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            QuotaSource::Status => "status",
            QuotaSource::Metric => "metric",
            QuotaSource::Assumed => "assumed",
        }
    }
}

/// etcd's default quota (`server/storage/quota.go`, DefaultQuotaBytes).
pub const DEFAULT_QUOTA: u64 = 2 << 30;

/// Why a load is not begun, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is in the way.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

fn refuse(what: impl Into<String>, hint: impl Into<String>) -> Result<(), Refusal> {
    Err(Refusal {
        what: what.into(),
        hint: hint.into(),
    })
}

/// Judges what was seen. Pure, so that every refusal is tested.
pub fn judge(plan: &Plan, seen: &Seen) -> Result<(), Refusal> {
    if !seen.leader {
        return refuse(
            "no member knows a leader: a load would only wait",
            "see `etcd-doctor check etcd`",
        );
    }
    if let Some(alarm) = seen.alarms.first() {
        return refuse(
            format!("a member reports `{alarm}`"),
            "a cluster with an alarm gets no load: see `etcd-doctor check etcd` for the way out",
        );
    }
    if let Some(key) = &seen.foreign {
        if !plan.production {
            return refuse(
                format!("refusing to load this cluster: it holds keys of others (`{key}`)"),
                "run it against a scratch cluster; or, in a quiet hour and knowing that everybody \
                 waits longer meanwhile, with --i-know-this-is-production",
            );
        }
        if !plan.leased {
            return refuse(
                "keys without leases are for scratch clusters only",
                "leave --no-lease out: should this program be killed, its keys then go by \
                 themselves",
            );
        }
    }
    let allowance = plan.allowance(seen.foreign.is_some(), seen.db_size, seen.quota);
    if allowance < (1 << 20) {
        return refuse(
            format!(
                "the database has {} MiB of a quota of {} MiB: a load may fill it to {:.0} % only",
                seen.db_size >> 20,
                seen.quota >> 20,
                QUOTA_SHARE * 100.0
            ),
            "compact and defragment it, or take a scratch cluster",
        );
    }
    Ok(())
}

/// Looks at the cluster before a load. Reads only, and only keys.
pub async fn look(cluster: &Cluster, quotas: &[Option<f64>]) -> Result<Seen, CallError> {
    let mut seen = Seen {
        leader: cluster.leader_id().is_some(),
        ..Seen::default()
    };
    let mut smallest: Option<(u64, QuotaSource)> = None;
    for (at, member) in cluster.members.iter().enumerate() {
        seen.alarms.extend(member.status.errors.iter().cloned());
        let size = u64::try_from(member.status.db_size).unwrap_or(0);
        seen.db_size = seen.db_size.max(size);
        let quota = match quotas.get(at).copied().flatten() {
            _ if member.status.quota > 0 => (
                u64::try_from(member.status.quota).unwrap_or(0),
                QuotaSource::Status,
            ),
            // A negative quota switches it off; the file's size is then bounded by the disk alone,
            // and the largest that etcd recommends is taken.
            Some(bytes) if bytes <= 0.0 => (8 << 30, QuotaSource::Metric),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a positive number of bytes"
            )]
            Some(bytes) => (bytes as u64, QuotaSource::Metric),
            None => (DEFAULT_QUOTA, QuotaSource::Assumed),
        };
        if smallest.is_none_or(|(least, _)| quota.0 < least) {
            smallest = Some(quota);
        }
    }
    (seen.quota, seen.quota_source) = smallest.unwrap_or((DEFAULT_QUOTA, QuotaSource::Assumed));
    let Some(member) = cluster.leader().or(cluster.members.first()) else {
        return Ok(seen);
    };
    let mut channel = member.channel.clone();
    let root = ROOT.as_bytes();
    let end = super::keyspace::prefix_end(root);
    // What is before the benches' own prefix, and what is behind it.
    for (key, upto) in [(&[0][..], root), (&end, &[0][..])] {
        let range = Range {
            key,
            end: upto,
            limit: 1,
            keys_only: true,
            serializable: true,
            ..Range::default()
        };
        let answer = range_once(&mut channel, &range).await?;
        if let Some(key) = wire::keys(&answer).next() {
            seen.foreign = Some(first_part(key));
            break;
        }
    }
    let range = Range {
        key: root,
        end: &end,
        count_only: true,
        serializable: true,
        ..Range::default()
    };
    let answer = range_once(&mut channel, &range).await?;
    seen.leftovers = u64::try_from(wire::ranged(&answer).count).unwrap_or(0);
    Ok(seen)
}

/// One range within the usual limit.
pub async fn range_once(
    channel: &mut Channel,
    range: &Range<'_>,
) -> Result<bytes::Bytes, CallError> {
    let mut buffer = BytesMut::new();
    let request = range.encode(&mut buffer);
    channel.once(path::RANGE, request, ASK).await
}

/// `/registry/pods/default/x` → `/registry/…`: enough to see whose it is.
fn first_part(key: &[u8]) -> String {
    let text = String::from_utf8_lossy(key);
    let mut part: String = text.chars().take(1).collect();
    part.extend(text.chars().skip(1).take(40).take_while(|c| *c != '/'));
    let part: String = part.chars().filter(|c| !c.is_control()).collect();
    if part.len() < text.len() {
        format!("{part}/…")
    } else {
        part
    }
}

/// This part of what a database may grow by is left to what comes after the last look: requests that are
/// under way, and the clean-up, whose deletions take pages too (5 % were measured).
pub(super) const RESERVE: u64 = 16;
/// How often the cluster is looked at during a load.
const LOOK: Duration = Duration::from_millis(250);
/// Canaries that the idle latency is taken from, and that make a verdict during the load.
pub const CANARIES: usize = 8;
/// A cluster hurts when a read takes so many times what it took idle.
pub const HURTS: f64 = 2.0;
/// And longer than this where others wait too: etcd's own bound for a disk that is in order
/// (FAQ, `wal_fsync` p99 below 10 ms). Below it nobody notices a doubling.
pub const FLOOR_PRODUCTION: f64 = 0.010;
/// On a scratch cluster only we wait; the official check's bound for the slowest request.
pub const FLOOR_SCRATCH: f64 = 0.5;

/// Ends a run when it hurts. All its state is about one run.
#[derive(Debug)]
pub struct Watchdog {
    /// Bytes that the database may grow by.
    pub allowance: u64,
    /// Bytes before the load.
    pub db_before: u64,
    /// Leader before the load.
    pub leader: u64,
    /// Term before the load.
    pub term: i64,
    /// Median read while idle, in seconds.
    pub idle: Option<f64>,
    /// Bound below which a doubling is no reason to stop.
    pub floor: f64,
    /// Set by a signal.
    pub signal: Arc<AtomicBool>,
}

/// What a watchdog knows at the end.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// Why it ended the run, if it did.
    pub reason: Option<Reason>,
    /// Largest database seen.
    pub db_size: u64,
    /// Median canary read during the load, in seconds.
    pub canary: Option<f64>,
}

/// Why a run ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A signal.
    Signal,
    /// It hurt the cluster.
    Hurt(String),
    /// It may write no more.
    Full(String),
    /// Its outcome stands already.
    Decided(String),
}

impl Reason {
    /// In words.
    pub fn words(&self) -> &str {
        match self {
            Reason::Signal => "interrupted by a signal",
            Reason::Hurt(words) | Reason::Full(words) | Reason::Decided(words) => words,
        }
    }

    /// The kind, for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Reason::Signal => "signal",
            Reason::Hurt(_) => "hurt",
            Reason::Full(_) => "growth-limit",
            Reason::Decided(_) => "decided",
        }
    }
}

/// A check that ends a run whose outcome stands.
pub type Early = dyn Fn(&Recorder, Duration) -> Option<String>;

impl Watchdog {
    /// Judges one status. `step` is what the database grew by from one look to the next: so much it may
    /// grow by again before the next one.
    pub fn status(&self, status: &wire::Status, step: u64) -> Option<Reason> {
        if let Some(alarm) = status.errors.first() {
            return Some(Reason::Hurt(format!("a member reports `{alarm}`")));
        }
        if status.leader == 0 {
            return Some(Reason::Hurt("the cluster lost its leader".to_owned()));
        }
        if status.leader != self.leader || status.term != self.term {
            return Some(Reason::Hurt("the leader changed".to_owned()));
        }
        let grown = u64::try_from(status.db_size)
            .unwrap_or(0)
            .saturating_sub(self.db_before);
        if grown.saturating_add(step) >= self.allowance - self.allowance / RESERVE {
            return Some(Reason::Full(format!(
                "the database grew by {} MiB, as far as it may",
                grown >> 20
            )));
        }
        None
    }

    /// Judges the last canaries, in seconds.
    pub fn canaries(&self, median: f64) -> Option<Reason> {
        let idle = self.idle?;
        (median > (HURTS * idle).max(self.floor)).then(|| {
            Reason::Hurt(format!(
                "a read of one key took {:.1} ms, {:.0} times the {:.2} ms of the idle cluster",
                median * 1e3,
                median / idle,
                idle * 1e3
            ))
        })
    }

    /// Watches until the run is over, and ends it when something is wrong.
    pub async fn watch(
        &self,
        run: &Run,
        mut channels: Vec<Channel>,
        early: Option<&Early>,
        out: &RefCell<Watched>,
        done: &Cell<bool>,
    ) {
        let mut canaries: VecDeque<f64> = VecDeque::new();
        let mut all = Vec::new();
        let mut silent = 0;
        let (mut size_before, mut step) = (self.db_before, 0);
        let mut turn = 0_u64;
        while !done.get() && !run.arrivals.is_stopped() {
            tokio::time::sleep(LOOK / 5).await;
            turn += 1;
            let mut reason = self
                .signal
                .load(Ordering::Relaxed)
                .then_some(Reason::Signal);
            if reason.is_none()
                && let Some(early) = early
            {
                let elapsed = run.arrivals.begin().elapsed();
                reason = early(&run.recorder.borrow(), elapsed).map(Reason::Decided);
            }
            if reason.is_none() && turn.is_multiple_of(5) {
                for channel in &mut channels {
                    match ask(channel).await {
                        Ok(status) => {
                            silent = 0;
                            let size = u64::try_from(status.db_size).unwrap_or(0);
                            let mut out = out.borrow_mut();
                            out.db_size = out.db_size.max(size);
                            step = step.max(size.saturating_sub(size_before));
                            size_before = size_before.max(size);
                            reason = reason.or_else(|| self.status(&status, step));
                        }
                        Err(err) => {
                            silent += 1;
                            // Twice five seconds without an answer is not a busy server any more.
                            if silent >= 2 {
                                reason = reason.or_else(|| {
                                    Some(Reason::Hurt(format!("a member does not answer: {err}")))
                                });
                            }
                        }
                    }
                }
                if let Some(first) = channels.first_mut()
                    && let Ok(secs) = canary(first).await
                {
                    all.push(secs);
                    canaries.push_back(secs);
                    if canaries.len() > CANARIES {
                        canaries.pop_front();
                    }
                    if canaries.len() == CANARIES
                        && let Some(middle) = median(canaries.iter().copied())
                    {
                        reason = reason.or_else(|| self.canaries(middle));
                    }
                }
            }
            if let Some(reason) = reason {
                out.borrow_mut().reason.get_or_insert(reason);
                run.arrivals.stop();
            }
        }
        out.borrow_mut().canary = median(all.into_iter());
    }
}

/// One linearizable read of a key that is not there: through the leader and the store, as every
/// client's reads go, and it touches nothing.
pub async fn canary(channel: &mut Channel) -> Result<f64, CallError> {
    let begin = Instant::now();
    let range = Range {
        key: b"/etcd-doctor-bench/canary",
        ..Range::default()
    };
    range_once(channel, &range).await?;
    Ok(begin.elapsed().as_secs_f64())
}

/// Median of canaries while idle.
pub async fn idle(channel: &mut Channel) -> Option<f64> {
    let mut all = Vec::new();
    for _ in 0..2 * CANARIES {
        if let Ok(secs) = canary(channel).await {
            all.push(secs);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    median(all.into_iter())
}

/// The middle one.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Watchdog's result, shared with its task.
pub type Shared = Rc<RefCell<Watched>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::etcd::plan::testing::plan;

    fn fine() -> Seen {
        Seen {
            leader: true,
            quota: DEFAULT_QUOTA,
            ..Seen::default()
        }
    }

    #[test]
    fn a_cluster_of_others_is_refused_unless_told() {
        let mut plan = plan();
        assert_eq!(judge(&plan, &fine()), Ok(()));
        let mut seen = fine();
        seen.foreign = Some("/registry/…".to_owned());
        let refusal = judge(&plan, &seen).unwrap_err();
        assert!(refusal.what.contains("/registry/…"), "{}", refusal.what);
        assert!(refusal.hint.contains("--i-know-this-is-production"));
        plan.production = true;
        assert_eq!(judge(&plan, &seen), Ok(()));
        plan.leased = false;
        let refusal = judge(&plan, &seen).unwrap_err();
        assert!(refusal.what.contains("leases"));
        assert!(refusal.hint.contains("--no-lease out"), "{}", refusal.hint);
        assert_eq!(judge(&plan, &fine()), Ok(()), "scratch may do without");
    }

    #[test]
    fn no_load_without_a_leader_with_an_alarm_or_on_a_full_database() {
        let plan = plan();
        let mut seen = fine();
        seen.leader = false;
        assert!(judge(&plan, &seen).unwrap_err().what.contains("leader"));
        let mut seen = fine();
        seen.alarms = vec!["memberID:1 alarm:NOSPACE".to_owned()];
        assert!(judge(&plan, &seen).unwrap_err().what.contains("NOSPACE"));
        let mut seen = fine();
        seen.db_size = DEFAULT_QUOTA * 6 / 10;
        assert!(judge(&plan, &seen).unwrap_err().what.contains("60 %"));
        seen.db_size -= 2 << 20;
        assert_eq!(judge(&plan, &seen), Ok(()));
    }

    #[test]
    fn growth_is_bounded_by_flag_stake_and_quota() {
        let mut plan = plan();
        assert_eq!(plan.allowance(false, 0, 8 << 30), 1 << 30);
        assert_eq!(plan.allowance(true, 0, 8 << 30), 128 << 20);
        plan.max_growth = Some(1 << 20);
        assert_eq!(plan.allowance(false, 0, 8 << 30), 1 << 20);
        plan.max_growth = Some(8 << 30);
        let quota = 1_000_000_000;
        assert_eq!(plan.allowance(false, 100_000_000, quota), 500_000_000);
        assert_eq!(plan.allowance(false, 700_000_000, quota), 0);
    }

    fn dog() -> Watchdog {
        Watchdog {
            allowance: 100 << 20,
            db_before: 10 << 20,
            leader: 7,
            term: 3,
            idle: Some(0.0005),
            floor: FLOOR_PRODUCTION,
            signal: Arc::default(),
        }
    }

    fn status() -> wire::Status {
        wire::Status {
            leader: 7,
            term: 3,
            db_size: 50 << 20,
            ..wire::Status::default()
        }
    }

    #[test]
    fn the_watchdog_barks_at_alarms_elections_and_growth() {
        let dog = dog();
        assert_eq!(dog.status(&status(), 0), None);
        let mut alarm = status();
        alarm.errors = vec!["alarm:NOSPACE".to_owned()];
        assert!(matches!(dog.status(&alarm, 0), Some(Reason::Hurt(_))));
        let mut other = status();
        other.leader = 8;
        assert_eq!(
            dog.status(&other, 0),
            Some(Reason::Hurt("the leader changed".to_owned()))
        );
        let mut again = status();
        again.term = 4;
        assert!(dog.status(&again, 0).is_some(), "re-elected is changed too");
        let mut none = status();
        none.leader = 0;
        assert!(dog.status(&none, 0).is_some());
        let mut full = status();
        // A sixteenth is kept back.
        let most = (110 << 20) - (100 << 20) / 16;
        full.db_size = most;
        assert!(matches!(dog.status(&full, 0), Some(Reason::Full(_))));
        full.db_size -= 1;
        assert_eq!(dog.status(&full, 0), None);
        // What the next look would find is too much.
        assert!(matches!(dog.status(&full, 1), Some(Reason::Full(_))));
    }

    #[test]
    fn a_doubled_latency_counts_from_the_floor_on() {
        let mut dog = dog();
        assert_eq!(dog.canaries(0.009), None, "18 times, and nobody notices");
        assert!(dog.canaries(0.0101).is_some());
        dog.idle = Some(0.008);
        assert_eq!(dog.canaries(0.0155), None);
        assert!(dog.canaries(0.0161).is_some());
        dog.idle = None;
        assert_eq!(dog.canaries(9.0), None, "with nothing to compare");
    }

    #[test]
    fn names_of_objects_are_not_shown() {
        assert_eq!(
            first_part(b"/registry/secrets/kube-system/x"),
            "/registry/…"
        );
        assert_eq!(first_part(b"compact_rev_key"), "compact_rev_key");
        assert_eq!(first_part(b"foo/bar"), "foo/…");
        assert_eq!(first_part(b"/"), "/");
    }
}
