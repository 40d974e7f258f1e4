//! Simulated disks of every kind: each recognised, none taken for another.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::bench::disk::storage::{Allocation, DiskFile};
use crate::bench::stats::whole;
use crate::formats::bench::throttle::{Confidence, Limit};

/// A disk that is only arithmetic: seconds per flush and write, bandwidth, buckets, slices.
#[derive(Clone, Copy, Default)]
struct Model {
    flush: f64,
    write: f64,
    bandwidth: f64,
    bytes_per_sec: f64,
    burst_bytes: f64,
    writes_per_sec: f64,
    burst_writes: f64,
    /// Every write waits for its bytes at this rate, whatever was idle before.
    stingy: f64,
    /// blk-throttle: bytes per second in slices of 100 ms, above the device.
    cgroup: f64,
    /// How much a sync varies: 0.3 is 30 %.
    noise: f64,
}

#[derive(Default)]
struct State {
    now: f64,
    tokens: (f64, f64),
    filled: f64,
    device_busy: f64,
    dirty: (f64, f64),
    random: u64,
}

#[derive(Clone)]
struct Simulated(Arc<(Model, Mutex<State>, AtomicU64)>);

impl Simulated {
    fn new(model: Model) -> Self {
        let state = State {
            tokens: (model.burst_bytes, model.burst_writes),
            random: 7,
            ..State::default()
        };
        Simulated(Arc::new((model, Mutex::new(state), AtomicU64::new(0))))
    }

    fn sync(&self) {
        let (model, state, clock) = &*self.0;
        let mut s = state.lock().unwrap();
        let (bytes, writes) = std::mem::take(&mut s.dirty);
        s.random = s
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let random = (s.random >> 40) as f64 / f64::from(1 << 24);
        let mut device =
            model.flush * 2.0 * (1.0 + model.noise * (random - 0.5)) + model.write * writes;
        if model.bandwidth > 0.0 {
            device += bytes / model.bandwidth;
        }
        let passed = s.now - s.filled;
        s.filled = s.now;
        if model.bytes_per_sec > 0.0 {
            s.tokens.0 = (s.tokens.0 + passed * model.bytes_per_sec).min(model.burst_bytes) - bytes;
            device = device.max(-s.tokens.0 / model.bytes_per_sec);
        }
        if model.writes_per_sec > 0.0 {
            // The journal's writes count too.
            s.tokens.1 =
                (s.tokens.1 + passed * model.writes_per_sec).min(model.burst_writes) - writes - 1.5;
            device = device.max(-s.tokens.1 / model.writes_per_sec);
        }
        if model.stingy > 0.0 {
            // Two blocks of the journal with each sync.
            device += (bytes + 8192.0) / model.stingy;
        }
        let mut wait = 0.0;
        if model.cgroup > 0.0 {
            // Granted in slices: what does not fit waits for a whole one.
            let slices = (bytes / model.cgroup / 0.1).ceil();
            wait = slices * 0.1;
        }
        s.device_busy += device;
        s.now += device.max(wait);
        clock.store(whole(s.now * 1e9), Ordering::SeqCst);
    }
}

impl Disk for Simulated {
    fn create(&self, _name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(self.clone()))
    }
    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        Ok(())
    }
    fn remove(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }
    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for Simulated {
    fn allocate(&mut self, _len: u64) -> io::Result<Allocation> {
        Ok(Allocation::Reserved)
    }
    fn set_len(&mut self, _len: u64) -> io::Result<()> {
        Ok(())
    }
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_at(bytes, 0)
    }
    fn seek(&mut self, _offset: u64) -> io::Result<()> {
        Ok(())
    }
    fn write_at(&mut self, bytes: &[u8], _offset: u64) -> io::Result<()> {
        let mut state = self.0.1.lock().unwrap();
        state.dirty.0 += bytes.len() as f64;
        state.dirty.1 += 1.0;
        Ok(())
    }
    fn sync_data(&mut self) -> io::Result<()> {
        self.sync();
        Ok(())
    }
    fn sync_all(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Time for Simulated {
    fn now(&self) -> u64 {
        self.0.2.load(Ordering::SeqCst)
    }
    fn sleep_until(&self, at: u64) {
        let (_, state, clock) = &*self.0;
        let mut state = state.lock().unwrap();
        state.now = state.now.max(at as f64 / 1e9);
        clock.store(whole(state.now * 1e9), Ordering::SeqCst);
    }
}

impl Busy for Simulated {
    fn device_busy_ns(&self) -> Option<u64> {
        Some(whole(self.0.1.lock().unwrap().device_busy * 1e9))
    }
    fn cpu_wait_ns(&self) -> Option<u64> {
        Some(0)
    }
}

fn probe(model: Model) -> ThrottleProbe {
    let disk = Simulated::new(model);
    look(
        &disk,
        &disk,
        &disk,
        Budget::default(),
        None,
        &Cancel::default(),
    )
}

const MIB: f64 = (1 << 20) as f64;

fn honest(flush: f64, bandwidth: f64, noise: f64) -> Model {
    Model {
        flush,
        bandwidth,
        noise,
        ..Model::default()
    }
}

#[test]
fn honest_disks_have_no_plateau() {
    for (name, model) in [
        ("NVMe with a battery", honest(15e-6, 1.5e9, 0.3)),
        ("consumer NVMe", honest(1e-3, 1e9, 0.4)),
        ("SATA flash", honest(3e-3, 450e6, 0.4)),
        ("SATA flash with a battery", honest(30e-6, 500e6, 0.0)),
        ("slow flush", honest(10e-3, 2e9, 0.0)),
        ("spinning and a clockwork", honest(5e-3, 80e6, 0.0)),
        ("spinning, short flush", honest(3e-3, 80e6, 0.0)),
        ("spinning, outer tracks", honest(4e-3, 150e6, 0.5)),
        ("network volume", honest(2e-3, 400e6, 0.2)),
        (
            "spinning",
            Model {
                write: 2e-3,
                ..honest(8e-3, 150e6, 1.2)
            },
        ),
        ("slow and steady", honest(5e-3, 300e6, 0.0)),
    ] {
        let found = probe(model);
        assert_eq!(found.plateau, None, "{name}: {found:#?}");
        assert!(
            found.words.starts_with("no plateau within"),
            "{}",
            found.words
        );
    }
}

#[test]
fn a_token_bucket_shows_its_step_plateau_and_credit() {
    let found = probe(Model {
        bytes_per_sec: 20.0 * MIB,
        burst_bytes: 60.0 * MIB,
        ..honest(1e-3, 400e6, 0.3)
    });
    let plateau = found.plateau.unwrap();
    assert_eq!(plateau.limit, Limit::Bytes, "{}", found.words);
    assert!(
        (plateau.bytes_per_sec / MIB - 20.0).abs() < 1.5,
        "{}",
        found.words
    );
    let credit = plateau.step.unwrap().credit / MIB;
    assert!((40.0..75.0).contains(&credit), "{credit}");
    assert!(found.words.contains("a token bucket"), "{}", found.words);
}

#[test]
fn an_empty_bucket_shows_by_two_sizes() {
    let found = probe(Model {
        bytes_per_sec: 10.0 * MIB,
        ..honest(1e-3, 400e6, 0.3)
    });
    let plateau = found.plateau.unwrap();
    assert_eq!((plateau.limit, plateau.step), (Limit::Bytes, None));
    assert!(
        (plateau.bytes_per_sec / MIB - 10.0).abs() < 1.0,
        "{}",
        found.words
    );
}

#[test]
fn an_empty_bucket_that_fills_while_idle_is_surely_a_limit() {
    let found = probe(Model {
        bytes_per_sec: 10.0 * MIB,
        burst_bytes: 0.5 * MIB,
        ..honest(1e-3, 400e6, 0.3)
    });
    let plateau = found.plateau.unwrap();
    assert_eq!((plateau.limit, plateau.step), (Limit::Bytes, None));
    assert_eq!(plateau.confidence, Confidence::High, "{found:#?}");
    assert!(found.words.contains("after") || found.words.contains("rest"));
}

#[test]
fn a_limit_without_any_credit_looks_as_a_slow_medium_and_both_are_said() {
    for (name, model) in [
        (
            "limit",
            Model {
                stingy: 8.0 * MIB,
                ..honest(1e-3, 400e6, 0.3)
            },
        ),
        ("card", honest(5e-3, 15e6, 0.3)),
        ("card, short flush", honest(1e-3, 12e6, 0.1)),
        ("stick", honest(3e-3, 20e6, 0.2)),
    ] {
        let found = probe(model);
        let plateau = found
            .plateau
            .unwrap_or_else(|| panic!("{name}: {found:#?}"));
        assert_eq!((plateau.limit, plateau.step), (Limit::Bytes, None));
        assert_eq!(plateau.confidence, Confidence::Low, "{name}");
        let rate = if model.stingy > 0.0 {
            model.stingy
        } else {
            model.bandwidth
        };
        assert!(
            (plateau.bytes_per_sec / rate - 1.0).abs() < 0.35,
            "{name}: {}",
            found.words
        );
        assert!(
            found.words.contains("or a medium of that bandwidth"),
            "{}",
            found.words
        );
    }
}

#[test]
fn a_card_that_takes_long_for_scattered_writes_is_no_certain_limit() {
    let card = Model {
        write: 4e-3,
        ..honest(2e-3, 15e6, 0.1)
    };
    let found = probe(card);
    if let Some(plateau) = found.plateau {
        assert_eq!(plateau.confidence, Confidence::Low, "{}", found.words);
    }
}

#[test]
fn a_limit_of_writes_is_none_of_bytes() {
    for burst in [0.0, 1_500.0] {
        let found = probe(Model {
            writes_per_sec: 500.0,
            burst_writes: burst,
            ..honest(0.5e-3, 400e6, 0.3)
        });
        let plateau = found.plateau.unwrap_or_else(|| panic!("{found:#?}"));
        assert_eq!(plateau.limit, Limit::Writes, "{}", found.words);
        // The journal's own writes are in the device's count and not in ours.
        assert!(
            (400.0..510.0).contains(&plateau.writes_per_sec),
            "{}",
            found.words
        );
    }
}

#[test]
fn a_cgroup_holds_back_while_the_device_is_idle() {
    let model = Model {
        cgroup: 2.0 * MIB,
        ..honest(50e-6, 400e6, 0.3)
    };
    let found = probe(model);
    assert_eq!(
        found.plateau.unwrap().limit,
        Limit::Cgroup,
        "{}",
        found.words
    );
    // The same wait without a look at the device is not blamed on a cgroup.
    let disk = Simulated::new(model);
    let blind = look(
        &disk,
        &disk,
        &UnknownBusy,
        Budget::default(),
        None,
        &Cancel::default(),
    );
    assert_ne!(blind.plateau.map(|p| p.limit), Some(Limit::Cgroup));
}

#[test]
fn the_budget_holds() {
    let found = probe(honest(1e-6, 3e9, 0.1));
    assert!(found.searched_bytes <= Budget::default().bytes);
    let slow = probe(honest(40e-3, 20e6, 0.1));
    assert!(slow.searched_secs < Budget::default().secs + 1.0);
}

#[test]
fn a_stopped_probe_says_so() {
    let disk = Simulated::new(honest(1e-3, 1e9, 0.0));
    let cancel = Cancel::default();
    cancel.abort("etcd suffers");
    let found = look(&disk, &disk, &disk, Budget::default(), None, &cancel);
    assert_eq!(found.doubt.unwrap(), "ended early: etcd suffers");
    assert_eq!(found.plateau, None);
}
