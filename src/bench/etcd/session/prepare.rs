//! What a run finds ready: leases, connections, and the keys that its workload expects.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use super::super::client::Client;
use super::super::drive::Link;
use super::super::grpc::CallError;
use super::super::leases;
use super::super::wire;
use super::super::workload::{Preload, Workload};
use super::{Session, Spec, Surroundings};

impl Session<'_> {
    /// Leases, connections, and the keys that a workload expects.
    pub(super) async fn prepare(
        &mut self,
        spec: &Spec<'_>,
        clients: &[Rc<RefCell<Client>>],
        around: &mut dyn Surroundings,
    ) -> Result<(), CallError> {
        let writes = spec.workload.write_share() > 0.0 || spec.workload.preloads() != Preload::None;
        if self.plan.leased && writes && self.leases.is_empty() {
            let Some(mut channel) = self.control() else {
                return Err(CallError::Transport("no member answers".to_owned()));
            };
            let granted = leases::grant(&mut channel, &self.keys, self.plan.lease_ttl).await?;
            self.keys.set_leases(granted.clone());
            self.leases = Rc::new(granted);
            let mut channels = vec![channel];
            channels.extend(self.cluster.members.iter().map(|m| m.channel.clone()));
            self.keeper = Some(tokio::task::spawn_local(leases::keep(
                channels,
                Rc::clone(&self.leases),
                self.plan.lease_ttl,
            )));
        }
        while (self.links.len() as u64) < spec.connections {
            let at = self.links.len() % self.chosen.len().max(1);
            let place = self.chosen.get(at).copied().unwrap_or(0);
            let Some(member) = self.cluster.members.get(place) else {
                return Err(CallError::Transport("no member to load".to_owned()));
            };
            let limit = self.plan.limit;
            self.links
                .push(Link::open(&member.address, &self.auth, limit).await?);
        }
        if spec.workload == Workload::KeepAlive {
            let Some(mut channel) = self.control() else {
                return Ok(());
            };
            for (number, client) in clients.iter().enumerate() {
                let ttl = leases::ttl(self.plan.lease_ttl, number as u64 % 60, 1);
                let lease = leases::grant_one(&mut channel, ttl).await?;
                self.extra.push(lease);
                client.borrow_mut().hold(lease);
            }
        }
        if spec.workload.preloads() != Preload::None {
            around.progress("writing the keys", Duration::ZERO);
            self.written = true;
            self.preload(spec.workload.preloads(), clients).await?;
        }
        self.written |= writes;
        Ok(())
    }

    /// Writes the keys that a workload reads or changes, some at once.
    async fn preload(
        &self,
        which: Preload,
        clients: &[Rc<RefCell<Client>>],
    ) -> Result<(), CallError> {
        let at_once = 32.min(clients.len().max(1));
        let step = if which == Preload::Half { 2 } else { 1 };
        let next = Rc::new(Cell::new(0_u64));
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..at_once {
            let Some(link) = self.links.get(number % self.links.len().max(1)) else {
                continue;
            };
            let mut ready = link
                .ready()
                .ok_or_else(|| CallError::Transport("not connected".to_owned()))?;
            let (keys, next, limit) = (Rc::clone(&self.keys), Rc::clone(&next), self.plan.limit);
            let signal = Arc::clone(&self.signal);
            // Half: each client creates every second key of its own, and so learns its revision.
            let own: Vec<_> = clients
                .iter()
                .skip(number)
                .step_by(at_once)
                .cloned()
                .collect();
            tasks.spawn_local(async move {
                let stopped = || signal.load(std::sync::atomic::Ordering::Relaxed);
                if which == Preload::Half {
                    for client in own {
                        let mut slot = 0;
                        loop {
                            let planned = client.borrow_mut().preload(slot);
                            let Some(planned) = planned.filter(|_| !stopped()) else {
                                break;
                            };
                            let answer = tokio::time::timeout(limit, ready.send(&planned))
                                .await
                                .map_err(|_| CallError::Timeout)??;
                            client.borrow_mut().answered(&planned, &answer);
                            slot += step;
                        }
                    }
                    return Ok(());
                }
                let mut key = Vec::new();
                let mut buffer = BytesMut::new();
                while next.get() < keys.count() && !stopped() {
                    let n = next.replace(next.get() + 1);
                    keys.key(n, &mut key);
                    let message = wire::put(&mut buffer, &key, keys.value(n), keys.lease(n));
                    tokio::time::timeout(limit, ready.put(message))
                        .await
                        .map_err(|_| CallError::Timeout)??;
                }
                Ok::<(), CallError>(())
            });
        }
        while let Some(joined) = tasks.join_next().await {
            joined.unwrap_or_else(|err| Err(CallError::Transport(err.to_string())))?;
        }
        Ok(())
    }
}
