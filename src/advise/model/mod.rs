//! The models, one file a knob family. Each gets the facts and gives any number of advices.

mod accused;
mod apf;
mod ask;
mod client;
mod config;
mod corrupt;
mod cpu;
mod defrag;
mod disk;
mod endless;
mod events;
mod filler;
mod headroom;
mod hygiene;
mod inflight;
mod io_limit;
mod knob;
mod kubelet;
mod leader;
mod limits;
mod lowered;
mod network;
mod noise;
mod not_safe;
mod overrides;
mod pace;
mod pairs;
mod pending;
mod pinned;
mod places;
mod quota_max;
mod relief;
mod shard;
mod space;
mod timers;
mod unfinished;
mod unraised;
mod watch_cache;
mod webhook;
mod workers;

pub(super) use client::slug;
pub(super) use corrupt::goes_first;
pub(super) use lowered::keep_larger;
pub(super) use pace::mean_latency;
pub(super) use workers::bounds;

use super::advice::Advice;
use super::facts::Facts;

/// A model.
pub(super) type Model = fn(&Facts<'_>) -> Vec<Advice>;

/// Every model. Their order is no matter: [`settle`](super::settle) sorts.
pub(super) const ALL: &[Model] = &[
    corrupt::advise,
    disk::advise,
    io_limit::advise,
    cpu::advise,
    network::advise,
    space::advise,
    config::advise,
    pending::advise,
    timers::advise,
    client::advise,
    kubelet::advise,
    webhook::advise,
    shard::advise,
    limits::advise,
    workers::advise,
    hygiene::advise,
    leader::advise,
    apf::advise,
    inflight::advise,
    |facts| inflight::uneven(facts).into_iter().collect(),
];
