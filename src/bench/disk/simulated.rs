//! A disk and a clock that are only numbers, for tests: each call costs what the test says, and
//! time passes only by that.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::storage::{Allocation, Disk, DiskFile, Time};

/// A clock that moves only when something is waited for.
#[derive(Debug, Default)]
pub struct SimulatedTime(AtomicU64);

impl SimulatedTime {
    /// Lets time pass.
    pub fn pass(&self, ns: u64) {
        self.0.fetch_add(ns, Ordering::SeqCst);
    }
}

impl Time for SimulatedTime {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn sleep_until(&self, at: u64) {
        self.0.fetch_max(at, Ordering::SeqCst);
    }
}

/// What was called on a simulated disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A file was made.
    Create(String),
    /// Bytes were written at an offset.
    Write {
        /// The file's name when it was made.
        file: String,
        /// Where.
        offset: u64,
        /// How many.
        len: usize,
    },
    /// `fdatasync`.
    SyncData(String),
    /// `fsync`.
    SyncAll(String),
    /// The file was cut or made longer.
    SetLen(String, u64),
    /// A rename.
    Rename(String, String),
    /// A removal.
    Remove(String),
    /// The directory was synced.
    SyncDir,
}

/// What calls cost and when they fail.
#[derive(Clone, Debug)]
pub struct Costs {
    /// One `write`.
    pub write_ns: u64,
    /// The sync by its number, counted from 0.
    pub sync_ns: fn(u64) -> u64,
    /// The write with this number fails as a full disk does.
    pub full_at_write: Option<u64>,
    /// Whether blocks can be reserved.
    pub allocates: bool,
}

impl Default for Costs {
    fn default() -> Self {
        Costs {
            write_ns: 2_000,
            sync_ns: |_| 1_000_000,
            full_at_write: None,
            allocates: true,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Call>,
    files: BTreeMap<String, ()>,
    writes: u64,
    syncs: u64,
}

/// A directory on a simulated disk.
#[derive(Clone, Debug)]
pub struct SimulatedDisk {
    time: Arc<SimulatedTime>,
    costs: Costs,
    state: Arc<Mutex<State>>,
}

impl SimulatedDisk {
    /// An empty one.
    pub fn new(time: Arc<SimulatedTime>, costs: Costs) -> Self {
        SimulatedDisk {
            time,
            costs,
            state: Arc::default(),
        }
    }

    /// What was called so far.
    pub fn calls(&self) -> Vec<Call> {
        self.with(|state| state.calls.clone())
    }

    /// Names of the files that are there.
    pub fn files(&self) -> Vec<String> {
        self.with(|state| state.files.keys().cloned().collect())
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Disk for SimulatedDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.with(|state| {
            if state.files.insert(name.to_owned(), ()).is_some() {
                return Err(io::Error::from(io::ErrorKind::AlreadyExists));
            }
            state.calls.push(Call::Create(name.to_owned()));
            Ok(())
        })?;
        Ok(Box::new(SimulatedFile {
            disk: self.clone(),
            name: name.to_owned(),
            offset: 0,
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.with(|state| {
            state.files.remove(from);
            state.files.insert(to.to_owned(), ());
            state
                .calls
                .push(Call::Rename(from.to_owned(), to.to_owned()));
        });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.with(|state| {
            state.calls.push(Call::Remove(name.to_owned()));
            match state.files.remove(name) {
                Some(()) => Ok(()),
                None => Err(io::Error::from(io::ErrorKind::NotFound)),
            }
        })
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.with(|state| state.calls.push(Call::SyncDir));
        Ok(())
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    name: String,
    offset: u64,
}

impl SimulatedFile {
    fn wrote(&self, offset: u64, len: usize) -> io::Result<()> {
        self.disk.time.pass(self.disk.costs.write_ns);
        self.disk.with(|state| {
            let number = state.writes;
            state.writes += 1;
            if self.disk.costs.full_at_write == Some(number) {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            state.calls.push(Call::Write {
                file: self.name.clone(),
                offset,
                len,
            });
            Ok(())
        })
    }

    fn sync(&self, call: Call) {
        let number = self.disk.with(|state| {
            state.calls.push(call);
            state.syncs += 1;
            state.syncs - 1
        });
        self.disk.time.pass((self.disk.costs.sync_ns)(number));
    }
}

impl DiskFile for SimulatedFile {
    fn allocate(&mut self, _len: u64) -> io::Result<Allocation> {
        Ok(if self.disk.costs.allocates {
            Allocation::Reserved
        } else {
            Allocation::Sparse
        })
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let call = Call::SetLen(self.name.clone(), len);
        self.disk.with(|state| state.calls.push(call));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wrote(self.offset, bytes.len())?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.offset = offset;
        Ok(())
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.wrote(offset, bytes.len())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.sync(Call::SyncData(self.name.clone()));
        Ok(())
    }

    fn sync_all(&mut self) -> io::Result<()> {
        self.sync(Call::SyncAll(self.name.clone()));
        Ok(())
    }
}
