//! What was written goes again, whatever became of the run.

use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::super::channel::Channel;
use super::super::cluster::{self, Cluster, Member};
use super::super::grpc::CallError;
use super::super::guard;
use super::super::keyspace::KEYS_AT_ONCE;
use super::super::leases;
use super::super::wire::{self, Range, path};
use super::{Session, Surroundings};

/// How long a clean-up waits for a leader: longer than elections take, with etcd's longest
/// recommended timeout of some seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a clean-up came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Leases revoked.
    pub leases_revoked: u64,
    /// Keys left under the prefix.
    pub keys_left: Option<u64>,
    /// The database's size after it.
    pub db_size: Option<u64>,
    /// The first thing that went wrong.
    pub fault: Option<String>,
}

impl Session<'_> {
    /// Takes away everything that was written: at most a thousand keys at once, with a pause after them
    /// as long as it took, so that others get their turn. Tells how many leases went and how many keys are
    /// left.
    pub async fn clean_up(mut self, around: &mut dyn Surroundings) -> Cleaned {
        let mut cleaned = Cleaned::default();
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
        }
        // The load's own connections go first: nothing of it is to come after the clean-up.
        self.links.clear();
        if !self.written && self.leases.is_empty() && self.extra.is_empty() {
            cleaned.keys_left = Some(0);
            return cleaned;
        }
        around.progress("cleaning up", Duration::ZERO);
        let Some(mut channel) = self.living().await else {
            cleaned.fault = Some("no member with a leader answers".to_owned());
            return cleaned;
        };
        let fault = |cleaned: &mut Cleaned, err: CallError| {
            cleaned.fault.get_or_insert(err.to_string());
        };
        let at_once = usize::try_from(self.keys.leases_at_once()).unwrap_or(1);
        for some in self
            .leases
            .chunks(at_once)
            .chain(self.extra.chunks(at_once))
        {
            let begin = Instant::now();
            for result in leases::revoke_all(&channel, some.to_vec()).await {
                match result {
                    Ok(()) => cleaned.leases_revoked += 1,
                    Err(err) => fault(&mut cleaned, err),
                }
            }
            tokio::time::sleep(begin.elapsed().min(Duration::from_millis(200))).await;
        }
        if self.leases.is_empty()
            && self.written
            && let Err(err) = self.delete(&mut channel).await
        {
            fault(&mut cleaned, err);
        }
        let end = self.keys.end();
        let count = Range {
            key: self.keys.prefix(),
            end: &end,
            count_only: true,
            ..Range::default()
        };
        match guard::range_once(&mut channel, &count).await {
            Ok(answer) => {
                cleaned.keys_left = u64::try_from(wire::ranged(&answer).count).ok();
            }
            Err(err) => fault(&mut cleaned, err),
        }
        if let Ok(status) = cluster::ask(&mut channel).await {
            cleaned.db_size = u64::try_from(status.db_size).ok();
        }
        cleaned
    }

    /// Deletes keys without leases, a thousand at once.
    async fn delete(&self, channel: &mut Channel) -> Result<(), CallError> {
        let mut buffer = BytesMut::new();
        let (mut key, mut end) = (Vec::new(), Vec::new());
        let mut from = 0;
        while from < self.keys.count() {
            self.keys.key(from, &mut key);
            let next = from + KEYS_AT_ONCE;
            if next < self.keys.count() {
                self.keys.key(next, &mut end);
            } else {
                end = self.keys.end();
            }
            let begin = Instant::now();
            let request = wire::delete_range(&mut buffer, &key, &end);
            channel
                .once(path::DELETE_RANGE, request, Duration::from_secs(30))
                .await?;
            tokio::time::sleep(begin.elapsed().min(Duration::from_millis(200))).await;
            from = next;
        }
        Ok(())
    }

    /// A connection to a member that knows a leader now: after a run that ended because one was
    /// lost, the old connection may lead to a dead member.
    async fn living(&self) -> Option<Channel> {
        let until = Instant::now() + PATIENCE;
        let mut spare = None;
        loop {
            for member in self
                .cluster
                .leader()
                .iter()
                .copied()
                .chain(&self.cluster.members)
            {
                if let Some(channel) = self.alive(member).await {
                    return Some(channel);
                }
            }
            // Of members that no endpoint led to the cluster itself gave the addresses.
            if spare.is_none() {
                let found = Cluster::find(&self.cluster.spare, &self.auth).await;
                spare = Some(found.members);
            }
            for member in spare.iter().flatten() {
                if let Some(channel) = self.alive(member).await {
                    return Some(channel);
                }
            }
            if Instant::now() >= until {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn alive(&self, member: &Member) -> Option<Channel> {
        let mut channel = member.channel.clone();
        let status = match cluster::ask(&mut channel).await {
            Ok(status) => status,
            Err(_) => {
                channel = Channel::connect(&member.address, &self.auth, cluster::ASK)
                    .await
                    .ok()?;
                cluster::ask(&mut channel).await.ok()?
            }
        };
        (status.leader != 0).then_some(channel)
    }
}
