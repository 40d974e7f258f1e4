//! Listens to the syncs of live etcds: a private instance of the kernel's tracing, which nobody
//! else sees, with two events of each sync for their threads only. No restart, no ptrace, no eBPF;
//! etcd is slowed by some hundred nanoseconds a sync.
//!
//! An instance lives in the kernel and survives a kill of this program. Its name holds our process
//! id; the next run takes away those whose process is gone.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};

use crate::bench::recorder::Recorder;
use crate::formats::bench::observe::Traced;
use crate::formats::ftrace::{Call, Event, parse, parse_lost};
use crate::target::HostRoot;

use super::vitals::{Counted, Signs, Vitals};

/// Where tracefs is mounted: its own place, or below debugfs.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
/// Names of our instances; the process id follows.
const PREFIX: &str = "etcd-doctor-";
/// Of each CPU. An event takes some sixty bytes, so that is minutes of a busy etcd.
const BUFFER_KIB: &str = "1024";
const EVENTS: [&str; 4] = [
    "sys_enter_fdatasync",
    "sys_exit_fdatasync",
    "sys_enter_fsync",
    "sys_exit_fsync",
];
/// How long a file's number is taken to mean the same file: etcd opens a new segment every 64 MB.
const FD_LIFE: Duration = Duration::from_millis(500);

/// What a file is to etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The write-ahead log.
    Wal,
    /// The database.
    Db,
    /// Anything else.
    Other,
}

impl Target {
    /// By the path that `/proc/PID/fd` shows, which is the container's own.
    pub fn of(path: &Path) -> Self {
        let text = path.to_string_lossy();
        // A file that was removed or renamed while open.
        let text = text.trim_end_matches(" (deleted)");
        let segment = text.ends_with(".wal") || text.ends_with(".tmp") && text.contains("wal");
        if segment {
            Target::Wal
        } else if text.ends_with("/snap/db") {
            Target::Db
        } else {
            Target::Other
        }
    }
}

/// An etcd's syncs so far.
#[derive(Debug, Default)]
struct Heard {
    wal: Recorder,
    db: Recorder,
    other: Recorder,
    failed: u64,
    unpaired: u64,
    threads: usize,
}

/// Pairs begin and end of calls by thread.
#[derive(Debug, Default)]
struct Pairs(BTreeMap<u32, (u64, Call, Target)>);

impl Pairs {
    /// Takes an event in; gives target, microseconds and whether it failed when it ends a call.
    fn take(&mut self, event: Event, target: impl FnOnce(u32) -> Target) -> Step {
        match event {
            Event::Enter {
                tid,
                at_us,
                call,
                fd,
            } => match self.0.insert(tid, (at_us, call, target(fd))) {
                Some(_) => Step::Unpaired(tid),
                None => Step::Nothing,
            },
            Event::Exit {
                tid,
                at_us,
                call,
                failed,
            } => match self.0.remove(&tid) {
                Some((begin, begun, target)) if begun == call && at_us >= begin => Step::Done {
                    tid,
                    // An fsync of the database is its growth and no commit.
                    target: if call == Call::Fsync {
                        Target::Other
                    } else {
                        target
                    },
                    us: at_us - begin,
                    failed,
                },
                _ => Step::Unpaired(tid),
            },
            Event::Lost(_) => {
                // Ends of what was under way may be among them.
                let open = self.0.len() as u64;
                self.0.clear();
                Step::Forgot(open)
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    Done {
        tid: u32,
        target: Target,
        us: u64,
        failed: bool,
    },
    Unpaired(u32),
    Forgot(u64),
}

/// A running trace of some processes.
#[derive(Debug)]
pub struct Trace {
    instance: PathBuf,
    pipe: Option<File>,
    rest: Vec<u8>,
    pairs: Pairs,
    heard: BTreeMap<u32, Heard>,
    /// Which process a thread belongs to.
    owners: BTreeMap<u32, u32>,
    files: BTreeMap<(u32, u32), (Instant, Target)>,
    told_lost: u64,
    begin: Instant,
    heard_any: bool,
}

impl Trace {
    /// Begins to listen to these processes. The reason, with what to do, where it cannot.
    pub fn start(pids: &[u32]) -> Result<Self, String> {
        let base = PLACES
            .iter()
            .map(Path::new)
            .find(|place| place.join("instances").is_dir())
            .ok_or("tracefs is not mounted, or not readable without root; `mount -t tracefs tracefs /sys/kernel/tracing` mounts it")?;
        if !base.join("events/syscalls/sys_enter_fdatasync").is_dir() {
            return Err(
                "the kernel has no events of system calls (CONFIG_FTRACE_SYSCALLS)".to_owned(),
            );
        }
        sweep(base);
        let instance = base
            .join("instances")
            .join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&instance).map_err(|err| {
            format!(
                "a private instance of tracing cannot be made in {}: {err}",
                base.display()
            )
        })?;
        // From here on it is taken away again, whatever fails.
        let mut trace = Trace {
            instance,
            pipe: None,
            rest: Vec::new(),
            pairs: Pairs::default(),
            heard: BTreeMap::new(),
            owners: BTreeMap::new(),
            files: BTreeMap::new(),
            told_lost: 0,
            begin: Instant::now(),
            heard_any: false,
        };
        trace.set_up(pids)?;
        Ok(trace)
    }

    fn set_up(&mut self, pids: &[u32]) -> Result<(), String> {
        let set = |name: &str, text: &str| {
            fs::write(self.instance.join(name), text)
                .map_err(|err| format!("tracing does not take `{name}`: {err}"))
        };
        set("buffer_size_kb", BUFFER_KIB)?;
        // Monotonic and not adjusted; older kernels have no other that is exact across CPUs.
        set("trace_clock", "mono")?;
        // When the reader is late, new events are kept and old ones counted as lost.
        let root = HostRoot::live();
        let mut all = Vec::new();
        for pid in pids {
            let threads = threads(&root, *pid);
            if threads.is_empty() {
                return Err(format!(
                    "process {pid} has no threads to listen to: it is gone, or of another user"
                ));
            }
            self.heard.entry(*pid).or_default().threads = threads.len();
            all.extend(threads.iter().map(|tid| (*tid, *pid)));
        }
        self.owners.extend(all.iter().copied());
        let list: Vec<String> = all.iter().map(|(tid, _)| tid.to_string()).collect();
        set("set_event_pid", &list.join(" "))?;
        // Threads that they start later are followed too.
        set("options/event-fork", "1")?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let pipe = rustix::fs::open(self.instance.join("trace_pipe"), flags, Mode::empty())
            .map_err(|err| format!("tracing cannot be read: {err}"))?;
        self.pipe = Some(File::from(pipe));
        for event in EVENTS {
            set(&format!("events/syscalls/{event}/enable"), "1")?;
        }
        self.begin = Instant::now();
        Ok(())
    }

    /// Takes in what came since the last call. To be called some times a second.
    pub fn listen(&mut self) {
        let mut buffer = [0; 1 << 16];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    self.rest
                        .extend_from_slice(buffer.get(..count).unwrap_or_default());
                    self.lines();
                }
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    }

    fn lines(&mut self) {
        let text = std::mem::take(&mut self.rest);
        let end = memchr::memrchr(b'\n', &text).map_or(0, |at| at + 1);
        let (whole, rest) = text.split_at(end);
        for line in whole.split(|byte| *byte == b'\n') {
            if let Some(event) = parse(line) {
                self.event(event);
            }
        }
        self.rest = rest.to_vec();
    }

    fn event(&mut self, event: Event) {
        let tid = match event {
            Event::Enter { tid, .. } | Event::Exit { tid, .. } => tid,
            Event::Lost(count) => {
                self.told_lost += count;
                0
            }
        };
        self.heard_any = true;
        let owner = self.owner(tid);
        let files = &mut self.files;
        let step = self.pairs.take(event, |fd| {
            owner.map_or(Target::Other, |pid| target(files, pid, fd))
        });
        match step {
            Step::Nothing => {}
            Step::Done {
                target, us, failed, ..
            } => {
                let Some(heard) = owner.and_then(|pid| self.heard.get_mut(&pid)) else {
                    return;
                };
                heard.failed += u64::from(failed);
                let recorder = match target {
                    Target::Wal => &mut heard.wal,
                    Target::Db => &mut heard.db,
                    Target::Other => &mut heard.other,
                };
                recorder.record(us.saturating_mul(1_000));
            }
            Step::Unpaired(_) => {
                if let Some(heard) = owner.and_then(|pid| self.heard.get_mut(&pid)) {
                    heard.unpaired += 1;
                }
            }
            Step::Forgot(open) => {
                if let Some(heard) = self.heard.values_mut().next() {
                    heard.unpaired += open;
                }
            }
        }
    }

    /// The process of a thread; one that was started meanwhile is looked up once.
    fn owner(&mut self, tid: u32) -> Option<u32> {
        if let Some(pid) = self.owners.get(&tid) {
            return Some(*pid);
        }
        let root = HostRoot::live();
        let pid = self
            .heard
            .keys()
            .copied()
            .find(|pid| root.exists(format!("/proc/{pid}/task/{tid}")))
            // With one process there is no doubt, also when the thread is gone again.
            .or_else(|| (self.heard.len() == 1).then(|| self.heard.keys().next().copied())?)?;
        self.owners.insert(tid, pid);
        Some(pid)
    }

    /// Ends the trace; what was heard by process id, and a doubt where nothing was.
    pub fn finish(mut self) -> (BTreeMap<u32, Traced>, Option<String>) {
        for event in EVENTS {
            fs::write(
                self.instance
                    .join(format!("events/syscalls/{event}/enable")),
                "0",
            )
            .ok();
        }
        self.listen();
        let secs = self.begin.elapsed().as_secs_f64();
        // The reader is told of losses when it meets them; the buffers know of all.
        let lost = self.told_lost.max(self.lost());
        let open = self.pairs.0.len() as u64;
        let mut heard = std::mem::take(&mut self.heard);
        if let Some(first) = heard.values_mut().next() {
            first.unpaired += open;
        }
        let silent = (!self.heard_any).then(|| {
            "no sync was traced: etcd wrote nothing, or this program sees other process ids than the kernel's tracing (a container without hostPID)".to_owned()
        });
        let traced = heard.into_iter().map(|(pid, heard)| {
            let traced = Traced {
                secs,
                wal: heard.wal.latency(),
                db: heard.db.latency(),
                other: heard.other.latency(),
                failed: heard.failed,
                lost_events: lost,
                unpaired: heard.unpaired,
                threads: heard.threads,
            };
            (pid, traced)
        });
        (traced.collect(), silent)
    }

    fn lost(&self) -> u64 {
        let root = HostRoot::new(&self.instance);
        let cpus = root.list("/per_cpu").unwrap_or_default();
        cpus.iter()
            .filter_map(|cpu| {
                let stats = Path::new("/per_cpu").join(&cpu.name).join("stats");
                root.read_text(stats).ok()
            })
            .map(|text| parse_lost(&text))
            .sum()
    }
}

/// How one etcd fares, by a trace of its syncs: for a guard where metrics cannot be read. Neither
/// its leader nor its waiting proposals show in it.
#[derive(Debug)]
pub struct Listener {
    pid: u32,
    trace: Mutex<Trace>,
}

impl Listener {
    /// Begins to listen. The reason, with what to do, where it cannot.
    pub fn start(pid: u32) -> Result<Self, String> {
        let trace = Mutex::new(Trace::start(&[pid])?);
        Ok(Listener { pid, trace })
    }
}

impl Vitals for Listener {
    fn scrape(&self) -> Result<Vec<u8>, String> {
        Err("a trace has no page of metrics".to_owned())
    }

    fn signs(&self) -> Result<Signs, String> {
        if !Path::new("/proc").join(self.pid.to_string()).exists() {
            return Err(format!("process {} is gone", self.pid));
        }
        let mut trace = self.trace.lock().unwrap_or_else(PoisonError::into_inner);
        trace.listen();
        let heard = trace.heard.get(&self.pid);
        Ok(Signs {
            wal: heard.map(|heard| Counted::of(&heard.wal)),
            ..Signs::default()
        })
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.pipe = None;
        remove(&self.instance);
    }
}

/// Takes an instance away. The kernel refuses while somebody has a file of it open.
fn remove(instance: &Path) {
    fs::write(instance.join("events/enable"), "0").ok();
    fs::write(instance.join("set_event_pid"), "").ok();
    fs::remove_dir(instance).ok();
}

/// Takes away the instances of runs that were killed.
fn sweep(base: &Path) {
    let root = HostRoot::new(base);
    for entry in root.list("/instances").unwrap_or_default() {
        let name = entry.name.to_string_lossy();
        let Some(pid) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let ours = pid
            .parse::<u32>()
            .is_ok_and(|pid| pid != std::process::id());
        if ours && !Path::new("/proc").join(pid).exists() {
            remove(&base.join("instances").join(&entry.name));
        }
    }
}

fn threads(root: &HostRoot, pid: u32) -> Vec<u32> {
    let entries = root.list(format!("/proc/{pid}/task")).unwrap_or_default();
    entries
        .iter()
        .filter_map(|entry| entry.name.to_string_lossy().parse().ok())
        .collect()
}

fn target(files: &mut BTreeMap<(u32, u32), (Instant, Target)>, pid: u32, fd: u32) -> Target {
    if let Some((when, target)) = files.get(&(pid, fd))
        && when.elapsed() < FD_LIFE
    {
        return *target;
    }
    let target = fs::read_link(format!("/proc/{pid}/fd/{fd}"))
        .map_or(Target::Other, |path| Target::of(&path));
    files.insert((pid, fd), (Instant::now(), target));
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_by_their_names() {
        for (path, target) in [
            (
                "/var/lib/etcd/member/wal/0000000000000001-000000000000a1b2.wal",
                Target::Wal,
            ),
            ("/wal/0.tmp", Target::Wal),
            ("/var/lib/etcd/member/wal/0.tmp (deleted)", Target::Wal),
            ("/var/lib/etcd/member/snap/db", Target::Db),
            (
                "/var/lib/etcd/member/snap/0000000000000002-000000000000c3d4.snap",
                Target::Other,
            ),
            ("socket:[4711]", Target::Other),
            ("/var/lib/etcd/member/wal", Target::Other),
        ] {
            assert_eq!(Target::of(Path::new(path)), target, "{path}");
        }
    }

    #[test]
    fn calls_are_paired_by_thread() {
        let mut pairs = Pairs::default();
        let enter = |tid, at_us, call| Event::Enter {
            tid,
            at_us,
            call,
            fd: 8,
        };
        let exit = |tid, at_us, call| Event::Exit {
            tid,
            at_us,
            call,
            failed: false,
        };
        let wal = |_| Target::Wal;
        assert_eq!(
            pairs.take(enter(1, 100, Call::FdataSync), wal),
            Step::Nothing
        );
        assert_eq!(
            pairs.take(enter(2, 110, Call::Fsync), |_| Target::Db),
            Step::Nothing
        );
        let done = |tid, target, us| Step::Done {
            tid,
            target,
            us,
            failed: false,
        };
        assert_eq!(
            pairs.take(exit(2, 150, Call::Fsync), wal),
            done(2, Target::Other, 40)
        );
        assert_eq!(
            pairs.take(exit(1, 900, Call::FdataSync), wal),
            done(1, Target::Wal, 800)
        );
        // Its begin was before ours.
        assert_eq!(
            pairs.take(exit(3, 950, Call::FdataSync), wal),
            Step::Unpaired(3)
        );
        // Its end was lost, and what was open then.
        assert_eq!(
            pairs.take(enter(1, 1_000, Call::FdataSync), wal),
            Step::Nothing
        );
        assert_eq!(pairs.take(Event::Lost(5), wal), Step::Forgot(1));
        assert_eq!(
            pairs.take(exit(1, 9_000, Call::FdataSync), wal),
            Step::Unpaired(1)
        );
    }
}
