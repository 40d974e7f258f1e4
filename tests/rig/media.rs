//! What the fake disk holds: a medium, a volatile cache in front of it, and how it behaves.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The cache keeps whole blocks.
pub const BLOCK: u64 = 4096;

/// How it behaves; all zero is an honest disk as fast as memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Behaviour {
    /// Time of a flush.
    pub flush: Duration,
    /// Time of a write.
    pub write: Duration,
    /// Token bucket: bytes per second; 0 is no limit.
    pub bytes_per_sec: f64,
    /// Size of the bucket in bytes.
    pub burst_bytes: f64,
    /// Token bucket: writes per second; 0 is no limit.
    pub writes_per_sec: f64,
    /// Size of that bucket.
    pub burst_writes: f64,
    /// Flushes are acknowledged and do nothing.
    pub lies: bool,
    /// Writes fail with EIO.
    pub writes_fail: bool,
    /// Flushes fail with EIO.
    pub flushes_fail: bool,
}

/// What was asked of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Write requests.
    pub writes: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Flush requests.
    pub flushes: u64,
    /// Blocks that a power cut lost.
    pub lost_blocks: u64,
}

type Blocks = BTreeMap<u64, Box<[u8; BLOCK as usize]>>;

#[derive(Default)]
struct State {
    behaviour: Behaviour,
    counts: Counts,
    media: Blocks,
    cache: Blocks,
    off: bool,
    byte_tokens: f64,
    write_tokens: f64,
    filled: Option<Instant>,
}

/// The disk.
pub struct Media {
    size: u64,
    state: Mutex<State>,
}

impl Media {
    /// An empty one.
    pub fn new(size: u64) -> Self {
        Media {
            size,
            state: Mutex::default(),
        }
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// From now on it behaves so, with full buckets.
    pub fn behave(&self, behaviour: Behaviour) {
        let mut state = self.state.lock().unwrap();
        state.behaviour = behaviour;
        state.byte_tokens = behaviour.burst_bytes;
        state.write_tokens = behaviour.burst_writes;
        state.filled = Some(Instant::now());
    }

    /// Honest, fast and switched on again, so that it can be unmounted.
    pub fn heal(&self) {
        self.behave(Behaviour::default());
        self.state.lock().unwrap().off = false;
    }

    /// What was asked so far.
    pub fn counts(&self) -> Counts {
        self.state.lock().unwrap().counts
    }

    /// The cache is lost and nothing is answered from now on.
    pub fn power_cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.counts.lost_blocks += state.cache.len() as u64;
        state.cache.clear();
        state.off = true;
    }

    /// Writes what the medium holds into a sparse file.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let file = File::create(path)?;
        file.set_len(self.size)?;
        for (block, bytes) in &self.state.lock().unwrap().media {
            file.write_all_at(&bytes[..], block * BLOCK)?;
        }
        Ok(())
    }

    pub(super) fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let state = self.state.lock().unwrap();
        if state.off {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        let end = (offset + len as u64).min(self.size);
        let mut bytes = vec![0; end.saturating_sub(offset) as usize];
        each_block(offset, bytes.len(), |block, inside, range| {
            let found = state.cache.get(&block).or_else(|| state.media.get(&block));
            if let Some(data) = found {
                let count = range.len();
                bytes[range].copy_from_slice(&data[inside..inside + count]);
            }
        });
        Ok(bytes)
    }

    pub(super) fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let wait = {
            let mut state = self.state.lock().unwrap();
            let State { off, behaviour, .. } = *state;
            if off || behaviour.writes_fail {
                return Err(io::Error::from_raw_os_error(libc::EIO));
            }
            state.counts.writes += 1;
            state.counts.bytes += data.len() as u64;
            let State { media, cache, .. } = &mut *state;
            each_block(offset, data.len(), |block, inside, range| {
                let kept = cache.entry(block).or_insert_with(|| {
                    media
                        .get(&block)
                        .cloned()
                        .unwrap_or_else(|| Box::new([0; BLOCK as usize]))
                });
                kept[inside..inside + range.len()].copy_from_slice(&data[range]);
            });
            state.pay(data.len() as f64)
        };
        std::thread::sleep(wait);
        Ok(())
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        let behaviour = self.state.lock().unwrap().behaviour;
        std::thread::sleep(behaviour.flush);
        let mut state = self.state.lock().unwrap();
        if state.off || behaviour.flushes_fail {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        state.counts.flushes += 1;
        if !behaviour.lies {
            let cache = std::mem::take(&mut state.cache);
            state.media.extend(cache);
        }
        Ok(())
    }
}

impl State {
    /// How long a write of so many bytes has to wait.
    fn pay(&mut self, bytes: f64) -> Duration {
        let Behaviour {
            write,
            bytes_per_sec,
            burst_bytes,
            writes_per_sec,
            burst_writes,
            ..
        } = self.behaviour;
        let now = Instant::now();
        let passed = self.filled.map_or(0.0, |at| (now - at).as_secs_f64());
        self.filled = Some(now);
        let mut owed: f64 = 0.0;
        if bytes_per_sec > 0.0 {
            self.byte_tokens = (self.byte_tokens + passed * bytes_per_sec).min(burst_bytes) - bytes;
            owed = owed.max(-self.byte_tokens / bytes_per_sec);
        }
        if writes_per_sec > 0.0 {
            self.write_tokens =
                (self.write_tokens + passed * writes_per_sec).min(burst_writes) - 1.0;
            owed = owed.max(-self.write_tokens / writes_per_sec);
        }
        write + Duration::from_secs_f64(owed.max(0.0))
    }
}

/// Calls for each block that a range touches: its number, where the range begins inside it, and
/// which part of the data lies there.
fn each_block(offset: u64, len: usize, mut act: impl FnMut(u64, usize, std::ops::Range<usize>)) {
    let mut done = 0;
    while done < len {
        let at = offset + done as u64;
        let inside = (at % BLOCK) as usize;
        let count = (BLOCK as usize - inside).min(len - done);
        act(at / BLOCK, inside, done..done + count);
        done += count;
    }
}
