//! Leases under everything that a load writes, so that it goes even when nobody cleans up.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;

use super::channel::Channel;
use super::cluster::ASK;
use super::grpc::CallError;
use super::keyspace::Keyspace;
use super::wire::{self, path};

/// Requests about leases that are under way at the same time: etcd writes what comes together in one
/// step.
const TOGETHER: usize = 64;

/// Seconds to live of lease `number`, when `at_once` may end in the same second: so the store serves
/// others in between. Beats reach all leases in nearly the same moment, so their ends stay as far apart
/// as they were granted.
pub fn ttl(base: i64, number: u64, at_once: u64) -> i64 {
    base + i64::try_from(number / at_once.max(1)).unwrap_or(0)
}

/// Grants what the keys need.
pub async fn grant(
    channel: &mut Channel,
    keys: &Keyspace,
    base: i64,
) -> Result<Vec<i64>, CallError> {
    let ttls: Vec<i64> = (0..keys.leases_needed())
        .map(|number| ttl(base, number, keys.leases_at_once()))
        .collect();
    let granted = all(channel, ttls, |mut channel, ttl| async move {
        grant_one(&mut channel, ttl).await
    })
    .await;
    if let Some(Err(err)) = granted.iter().find(|lease| lease.is_err()) {
        // What was granted has no keys yet; leave none behind.
        let left = granted
            .iter()
            .filter_map(|lease| lease.as_ref().ok().copied());
        revoke_all(channel, left.collect()).await;
        return Err(err.clone());
    }
    Ok(granted.into_iter().filter_map(Result::ok).collect())
}

/// Revokes some at once and tells how each went.
pub async fn revoke_all(channel: &Channel, leases: Vec<i64>) -> Vec<Result<(), CallError>> {
    all(channel, leases, |mut channel, lease| async move {
        revoke(&mut channel, lease).await
    })
    .await
}

/// Asks something for each item, [`TOGETHER`] at a time; the answers come in the order of the items.
async fn all<T: 'static, F>(
    channel: &Channel,
    items: Vec<i64>,
    ask: impl Fn(Channel, i64) -> F + 'static,
) -> Vec<Result<T, CallError>>
where
    F: Future<Output = Result<T, CallError>>,
{
    let count = items.len();
    let (ask, next) = (
        Rc::new(ask),
        Rc::new(RefCell::new(items.into_iter().enumerate())),
    );
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..count.min(TOGETHER) {
        let (channel, ask, next) = (channel.clone(), Rc::clone(&ask), Rc::clone(&next));
        tasks.spawn_local(async move {
            let mut done = Vec::new();
            loop {
                let item = next.borrow_mut().next();
                let Some((at, item)) = item else { break done };
                done.push((at, ask(channel.clone(), item).await));
            }
        });
    }
    let mut done: Vec<(usize, Result<T, CallError>)> = Vec::with_capacity(count);
    while let Some(joined) = tasks.join_next().await {
        done.extend(joined.unwrap_or_default());
    }
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, answer)| answer).collect()
}

/// Grants one.
pub async fn grant_one(channel: &mut Channel, ttl: i64) -> Result<i64, CallError> {
    let mut buffer = BytesMut::new();
    let request = wire::lease_grant(&mut buffer, ttl);
    let answer = channel.once(path::LEASE_GRANT, request, ASK).await?;
    Ok(wire::leased(&answer).0)
}

/// Revokes one, and with it deletes its keys. One that is gone already is no fault.
pub async fn revoke(channel: &mut Channel, lease: i64) -> Result<(), CallError> {
    let mut buffer = BytesMut::new();
    let request = wire::lease_id(&mut buffer, lease);
    match channel
        .once(path::LEASE_REVOKE, request, Duration::from_secs(30))
        .await
    {
        Err(CallError::Status { code: 5, .. }) | Ok(_) => Ok(()),
        Err(err) => Err(err),
    }
}

/// Keeps leases alive until it is dropped. A beat is no entry in the log: the leader only notes
/// the time.
pub async fn keep(channels: Vec<Channel>, leases: Rc<Vec<i64>>, base: i64) {
    // Three beats in the shortest life.
    let pause = Duration::from_millis(u64::try_from(base * 1000 / 3).unwrap_or(1000));
    loop {
        tokio::time::sleep(pause).await;
        // Any member passes beats on to the leader. If none comes through, it is tried again at
        // the next turn; and if none ever does, the keys go, which is what the leases are for.
        for channel in &channels {
            match beat(channel, &leases).await {
                Ok(()) => break,
                // The token has been renewed by now.
                Err(err) if err.is_stale_token() && beat(channel, &leases).await.is_ok() => break,
                Err(_) => {}
            }
        }
    }
}

async fn beat(channel: &Channel, leases: &[i64]) -> Result<(), CallError> {
    let mut channel = channel.clone();
    let mut buffer = BytesMut::new();
    let mut stream = channel.stream(path::LEASE_KEEP_ALIVE).await?;
    for lease in leases {
        stream.send(wire::lease_id(&mut buffer, *lease))?;
    }
    for _ in leases {
        if let Err(err) = stream.next_within(ASK).await {
            channel.after(&stream, &err).await;
            return Err(err);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_leases_end_in_a_second_than_may() {
        let mut ends = std::collections::BTreeMap::new();
        for number in 0..2500 {
            *ends.entry(ttl(60, number, 250)).or_insert(0) += 1;
        }
        assert_eq!(ends.first_key_value(), Some((&60, &250)));
        assert_eq!((ends.len(), ends.values().max()), (10, Some(&250)));
    }
}
