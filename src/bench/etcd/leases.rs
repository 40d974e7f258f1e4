//! Leases under everything that a load writes, so that it goes even when nobody cleans up.

use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;

use super::channel::{CallError, Channel};
use super::cluster::ASK;
use super::keyspace::Keyspace;
use super::wire::{self, path};

/// Two leases end this far from each other: a lease of a thousand keys is gone in some ten
/// milliseconds, so the store serves others in between.
const STAGGER_SECS: i64 = 1;

/// Seconds to live of lease `number`. Beats reach all leases in the same moment, so their ends
/// stay as far apart as they were granted.
pub fn ttl(base: i64, number: u64) -> i64 {
    base + STAGGER_SECS * i64::try_from(number).unwrap_or(0)
}

/// Grants what the keys need.
pub async fn grant(
    channel: &mut Channel,
    keys: &Keyspace,
    base: i64,
) -> Result<Vec<i64>, CallError> {
    let mut leases = Vec::new();
    for number in 0..keys.leases_needed() {
        match grant_one(channel, ttl(base, number)).await {
            Ok(lease) => leases.push(lease),
            Err(err) => {
                // What was granted has no keys yet; leave none behind.
                for lease in leases {
                    revoke(channel, lease).await.ok();
                }
                return Err(err);
            }
        }
    }
    Ok(leases)
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
            if beat(channel, &leases).await.is_ok() {
                break;
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
        stream.next_within(ASK).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_leases_end_in_the_same_second() {
        let ttls: std::collections::BTreeSet<i64> = (0..500).map(|n| ttl(60, n)).collect();
        assert_eq!(ttls.len(), 500);
        assert_eq!(ttls.first(), Some(&60));
    }
}
