//! Manners of a guest: beside a running etcd, which may be sick, reading is slow on purpose.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::logs::reader::{Pace, ReadOptions};
use crate::sys;
use crate::target::HostRoot;

/// The pace of this process, if it is a guest.
pub(super) static PACE: Pace = Pace::new();

/// How much of the node may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Guest {
    /// Threads; 0 stands for as many as there are processors.
    pub(super) threads: usize,
    /// One thread at the lowest priority, with rests, and the page cache left as it was.
    pub(super) polite: bool,
}

impl Guest {
    /// What the user asked for.
    pub(super) fn with_threads(threads: usize) -> Self {
        Guest {
            threads,
            polite: false,
        }
    }

    /// The lowest priority for processor and disk, for this thread and those it starts, and rests
    /// as long as the etcd of the node does anything.
    pub(super) fn polite(root: &HostRoot) -> Self {
        // Not being allowed to is no fault.
        rustix::process::nice(19).ok();
        sys::set_ioprio(3, 0).ok();
        let mut hosts = vec![HostRoot::live()];
        if !root.is_live() {
            hosts.push(root.clone());
        }
        // It ends with the process. Without it, the guest rests all the time.
        std::thread::Builder::new()
            .name("guest".to_owned())
            .spawn(move || watch(&hosts, &PACE))
            .ok();
        Guest {
            threads: 1,
            polite: true,
        }
    }

    /// How files are read.
    pub(super) fn read(self) -> ReadOptions {
        ReadOptions {
            guest: self.polite.then_some(&PACE),
            ..ReadOptions::default()
        }
    }

    /// What people should know.
    pub(super) fn words(self) -> Option<&'static str> {
        self.polite.then_some(
            "etcd runs here: one thread, idle priority, with rests while etcd works (--threads N: not)",
        )
    }
}

/// Looks at etcd so often.
const LOOK: Duration = Duration::from_millis(100);
/// So many looks in a row must find it at rest, before it counts as at rest.
const LOOKS: usize = 5;
/// Share of a processor's time, in percent, that is still rest. An idle etcd uses about 1 %. On a
/// busy node the looks come late, so it is a share of the time that has passed.
const PERCENT_AT_REST: u128 = 4;
/// What `/proc/PID/stat` counts processor time in.
const TICK: Duration = Duration::from_millis(10);
/// Looks for new processes after so many looks.
const LOOKS_PER_SEARCH: usize = 10;

/// Sets the pace free while no etcd of these hosts does anything. A host without processes (a copy,
/// or the root of a host as a container without its processes sees it) does not tell.
fn watch(hosts: &[HostRoot], pace: &Pace) {
    let mut last: VecDeque<Option<Work>> = VecDeque::new();
    let mut times: VecDeque<Instant> = VecDeque::new();
    let mut servers = Vec::new();
    for look in 0_usize.. {
        if look % LOOKS_PER_SEARCH == 0 {
            servers = hosts
                .iter()
                .flat_map(|host| {
                    let pids = servers_of(host).into_iter();
                    pids.map(move |pid| (host, pid))
                })
                .collect();
        }
        let told = hosts.iter().all(|host| host.exists("/proc/1")) || !servers.is_empty();
        last.push_back(told.then(|| work_of(&servers)).flatten());
        times.push_back(Instant::now());
        while last.len() > LOOKS + 1 {
            last.pop_front();
            times.pop_front();
        }
        let passed = times.front().map_or(Duration::ZERO, Instant::elapsed);
        pace.set_free(at_rest(&last, passed));
        std::thread::sleep(LOOK);
    }
}

/// What etcds have done since they started. One that cannot be looked at is not known to rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Work {
    /// Whose work it is.
    pids: Vec<u32>,
    ticks: u64,
    bytes_written: u64,
    /// A thread waits for the disk.
    waits: bool,
}

/// Whether all looks in the time that has passed found etcd at rest. It writes to the disk with each change of a key; a sick
/// one may write nothing because it waits.
fn at_rest(last: &VecDeque<Option<Work>>, passed: Duration) -> bool {
    let (Some(Some(first)), Some(Some(now))) = (last.front(), last.back()) else {
        return false;
    };
    last.len() > LOOKS
        && last.iter().all(|look| {
            look.as_ref().is_some_and(|work| {
                !work.waits && work.pids == now.pids && work.bytes_written == first.bytes_written
            })
        })
        && u128::from(now.ticks.saturating_sub(first.ticks)) * TICK.as_micros() * 100
            <= passed.as_micros() * PERCENT_AT_REST
}

/// The work of these processes; `None` where one of them cannot be looked at.
fn work_of(servers: &[(&HostRoot, u32)]) -> Option<Work> {
    let mut work = Work::default();
    for (host, pid) in servers {
        let folder = format!("/proc/{pid}");
        // Gone since it was found.
        if !host.exists(&folder) {
            continue;
        }
        let io = host.read_text(format!("{folder}/io")).ok()?;
        let written = io
            .lines()
            .find_map(|line| line.strip_prefix("write_bytes: "))?;
        work.bytes_written += written.trim().parse::<u64>().ok()?;
        let stat = host.read_text(format!("{folder}/stat")).ok()?;
        work.ticks += stat_fields(&stat)?.1;
        let threads = host.list(format!("{folder}/task")).ok()?;
        work.waits |= threads.iter().any(|thread| {
            let name = thread.name.to_string_lossy();
            let stat = host.read_text(format!("{folder}/task/{name}/stat"));
            stat.is_ok_and(|stat| stat_fields(&stat).is_some_and(|(state, _)| state == "D"))
        });
        work.pids.push(*pid);
    }
    Some(work)
}

/// State, and ticks of processor time, of a line of `/proc/PID/stat`.
fn stat_fields(stat: &str) -> Option<(&str, u64)> {
    // The name may hold blanks and brackets.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    // proc_pid_stat(5): fields 14 and 15 of all; the state is the third.
    let mut ticks = fields.skip(14 - 4);
    let user: u64 = ticks.next()?.parse().ok()?;
    let system: u64 = ticks.next()?.parse().ok()?;
    Some((state, user + system))
}

/// A guest where an etcd runs on the node under `root`, else with all processors.
pub(super) fn beside_etcd(root: &HostRoot) -> Guest {
    if !servers_of(root).is_empty() {
        Guest::polite(root)
    } else {
        Guest::default()
    }
}

/// Processes that are an etcd, or a distribution's server with an etcd inside.
fn servers_of(root: &HostRoot) -> Vec<u32> {
    /// Names of the process (the kernel keeps 15 bytes), and a folder that says that an etcd is
    /// inside.
    const SERVERS: [(&str, &str); 4] = [
        ("etcd", ""),
        ("microshift-etcd", ""),
        ("k3s-server", "/var/lib/rancher/k3s/server/db/etcd"),
        ("rke2", "/var/lib/rancher/rke2/server/db/etcd"),
    ];
    let Ok(entries) = root.list("/proc") else {
        return Vec::new();
    };
    let is_server = |pid: &u32| {
        let comm = root.read_text(format!("/proc/{pid}/comm"));
        comm.is_ok_and(|comm| {
            SERVERS.iter().any(|(name, folder)| {
                comm.trim() == *name && (folder.is_empty() || root.exists(folder))
            })
        })
    };
    let names = entries.iter().filter(|entry| entry.is_dir);
    let pids = names.filter_map(|entry| entry.name.to_str()?.parse().ok());
    pids.filter(is_server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etcd_is_known_by_its_process() {
        let home = tempfile::tempdir().unwrap();
        let process = |pid: &str, comm: &str| {
            let dir = home.path().join("proc").join(pid);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("comm"), format!("{comm}\n")).unwrap();
        };
        let root = HostRoot::new(home.path());
        let runs = |root: &HostRoot| !servers_of(root).is_empty();
        assert!(!runs(&root));
        process("1", "systemd");
        process("7", "etcdctl");
        process("8", "k3s-server");
        assert!(!runs(&root), "k3s with an SQLite database");
        let db = home.path().join("var/lib/rancher/k3s/server/db/etcd");
        std::fs::create_dir_all(db).unwrap();
        assert!(runs(&root));
        process("8", "k3s-agent");
        assert!(!runs(&root));
        process("9", "etcd");
        assert!(runs(&root));
    }

    #[test]
    fn threads_that_are_asked_for_are_no_guest() {
        let guest = Guest::with_threads(4);
        assert!(!guest.polite && guest.read().guest.is_none() && guest.words().is_none());
    }

    #[test]
    fn etcd_is_at_rest_when_it_has_written_nothing_for_a_while() {
        let work = |bytes_written, ticks, waits| {
            let pids = vec![7];
            Some(Work {
                pids,
                ticks,
                bytes_written,
                waits,
            })
        };
        let rest = |looks: &VecDeque<_>| at_rest(looks, LOOK * 5);
        let looks = |list: &[Option<Work>]| list.iter().cloned().collect::<VecDeque<_>>();
        let still = vec![work(100, 5, false); LOOKS + 1];
        assert!(rest(&looks(&still)));
        assert!(!rest(&looks(&still[1..])), "not for long enough");
        let with = |at: usize, look: Option<Work>| {
            let mut list = still.clone();
            list[at] = look;
            looks(&list)
        };
        assert!(rest(&with(LOOKS, work(100, 7, false))), "its own clockwork");
        assert!(!rest(&with(LOOKS, work(100, 8, false))), "it reads");
        assert!(
            at_rest(&with(LOOKS, work(100, 8, false)), LOOK * 9),
            "little for the time that the looks took"
        );
        assert!(!rest(&with(LOOKS, work(101, 5, false))), "it writes");
        assert!(
            !rest(&with(2, work(100, 5, true))),
            "it waited for the disk"
        );
        assert!(!rest(&with(2, None)), "it could not be looked at");
        let other = Work {
            pids: vec![8],
            ..still[0].clone().unwrap()
        };
        assert!(!rest(&with(0, Some(other))), "another process");
        assert!(
            rest(&looks(&vec![Some(Work::default()); LOOKS + 1])),
            "there is none"
        );
    }

    #[test]
    fn the_work_of_a_process_is_read_or_not_known() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("proc/9");
        std::fs::create_dir_all(folder.join("task/9")).unwrap();
        std::fs::create_dir_all(folder.join("task/10")).unwrap();
        let stat = |state: &str| {
            format!(
                "9 (etcd (x) y) {state} 1 9 9 0 -1 4194560 100 0 0 0 31 11 0 0 20 0 12 0 77 1 2\n"
            )
        };
        std::fs::write(folder.join("stat"), stat("S")).unwrap();
        std::fs::write(folder.join("task/9/stat"), stat("S")).unwrap();
        std::fs::write(folder.join("task/10/stat"), stat("D")).unwrap();
        let root = HostRoot::new(home.path());
        assert_eq!(
            work_of(&[(&root, 9)]),
            None,
            "no io, as for somebody who is not root"
        );
        std::fs::write(
            folder.join("io"),
            "rchar: 1\nwrite_bytes: 4096\ncancelled_write_bytes: 0\n",
        )
        .unwrap();
        let work = Work {
            pids: vec![9],
            ticks: 42,
            bytes_written: 4096,
            waits: true,
        };
        assert_eq!(work_of(&[(&root, 9)]), Some(work));
        assert_eq!(work_of(&[(&root, 10)]), Some(Work::default()), "gone");
    }
}
