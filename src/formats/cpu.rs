//! CPU time of the machine: steal and I/O wait from `/proc/stat`, load from `/proc/loadavg`.

use procfs::FromRead;

/// CPU time since boot, in ticks, over all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTimes {
    /// All of it. Guest time is part of user time, so it is not added.
    pub total: u64,
    /// Idle without I/O under way.
    pub idle: u64,
    /// Idle with I/O under way. Only a hint: the kernel documents it as unreliable.
    pub iowait: u64,
    /// Taken by the hypervisor.
    pub steal: u64,
    /// How many CPUs there are.
    pub cpus: u32,
    /// Boot time, seconds since the epoch.
    pub boot_secs: Option<i64>,
}

/// Reads `/proc/stat`.
pub fn parse_cpu(bytes: &[u8]) -> Option<CpuTimes> {
    let text = String::from_utf8_lossy(bytes);
    let mut times = CpuTimes::default();
    let mut found = false;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("cpu") => {
                let ticks: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
                let at = |i: usize| ticks.get(i).copied();
                // user nice system idle iowait irq softirq steal guest guest_nice
                times.idle = at(3)?;
                times.iowait = at(4)?;
                times.steal = at(7)?;
                times.total = ticks
                    .iter()
                    .take(8)
                    .fold(0, |sum: u64, n| sum.saturating_add(*n));
                found = true;
            }
            Some("btime") => times.boot_secs = words.next().and_then(|word| word.parse().ok()),
            Some(word) if word.strip_prefix("cpu").is_some_and(all_digits) => times.cpus += 1,
            _ => {}
        }
    }
    found.then_some(times)
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Shares of the CPU time between two samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuShares {
    /// Not idle and not stolen.
    pub busy: f64,
    /// Taken by the hypervisor.
    pub steal: f64,
    /// Idle with I/O under way.
    pub iowait: f64,
}

/// What two samples tell; `None` after a restart or when no time passed.
pub fn shares(before: &CpuTimes, after: &CpuTimes) -> Option<CpuShares> {
    let total = after.total.checked_sub(before.total).filter(|n| *n > 0)? as f64;
    let share = |a: u64, b: u64| {
        // Steal and I/O wait can run backwards by a tick (kernel: account_steal_time, nohz idle).
        b.saturating_sub(a) as f64 / total
    };
    let idle = share(before.idle, after.idle);
    let iowait = share(before.iowait, after.iowait);
    let steal = share(before.steal, after.steal);
    Some(CpuShares {
        busy: (1.0 - idle - iowait - steal).clamp(0.0, 1.0),
        steal: steal.min(1.0),
        iowait: iowait.min(1.0),
    })
}

/// The one-minute load of `/proc/loadavg`.
pub fn parse_load(bytes: &[u8]) -> Option<f64> {
    let load = f64::from(procfs::LoadAverage::from_read(bytes).ok()?.one);
    (load.is_finite() && load >= 0.0).then_some(load)
}

/// Seconds since boot of `/proc/uptime`.
pub fn parse_uptime(bytes: &[u8]) -> Option<f64> {
    let uptime = procfs::Uptime::from_read(bytes).ok()?.uptime;
    (uptime.is_finite() && uptime >= 0.0).then_some(uptime)
}

/// One line `RUN WAIT RUNS` of a `schedstat`, or a sum of such lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Nanoseconds on a CPU.
    pub ran: u64,
    /// Nanoseconds of waiting for one.
    pub waited: u64,
    /// How often it got one.
    pub runs: u64,
}

impl Waits {
    /// Waiting, share of the time in which the threads could run.
    pub fn share(self) -> Option<f64> {
        let could = self.ran.saturating_add(self.waited);
        (could > 0).then(|| self.waited as f64 / could as f64)
    }

    /// Mean wait before one run, in milliseconds.
    pub fn mean_ms(self) -> Option<f64> {
        (self.runs > 0).then(|| self.waited as f64 / 1e6 / self.runs as f64)
    }

    fn add(&mut self, other: Waits) {
        self.ran = self.ran.saturating_add(other.ran);
        self.waited = self.waited.saturating_add(other.waited);
        self.runs = self.runs.saturating_add(other.runs);
    }
}

/// How threads ran and waited for a CPU: the lines of `/proc/PID/schedstat` or of all
/// `/proc/PID/task/*/schedstat`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchedStat {
    /// By thread. The id is 0 where only the process's file is there.
    pub threads: Vec<(u32, Waits)>,
}

/// Reads one `schedstat`.
pub fn parse_schedstat(bytes: &[u8]) -> Option<Waits> {
    let stat = procfs::process::Schedstat::from_read(bytes).ok()?;
    Some(Waits {
        ran: stat.sum_exec_runtime,
        waited: stat.run_delay,
        runs: stat.pcount,
    })
}

impl SchedStat {
    /// Since the start, over all threads that are left.
    pub fn total(&self) -> Waits {
        self.since(&SchedStat::default())
    }

    /// Between two samples. A thread that began meanwhile counts in full; one that ended is lost,
    /// so this is a lower bound.
    pub fn since(&self, before: &SchedStat) -> Waits {
        let mut sum = Waits::default();
        for (tid, now) in &self.threads {
            let old = before
                .threads
                .iter()
                .find(|(have, _)| have == tid)
                .map_or(Waits::default(), |(_, old)| *old);
            sum.add(Waits {
                ran: now.ran.saturating_sub(old.ran),
                waited: now.waited.saturating_sub(old.waited),
                runs: now.runs.saturating_sub(old.runs),
            });
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &[u8] = b"cpu  174384 646292 127918 147833 8845 0 7962 1737 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\ncpu1 1 1 1 1 1 1 1 1 0 0\nintr 1\nbtime 1795287899\n";
    const B: &[u8] =
        b"cpu  174394 646302 127938 147833 8835 0 7962 1747 0 0\ncpu0 1\ncpu1 1\nbtime 1795287899\n";

    fn waits(ran: u64, waited: u64, runs: u64) -> Waits {
        Waits { ran, waited, runs }
    }

    #[test]
    fn steal_is_a_share_of_all_time() {
        let (a, b) = (parse_cpu(A).unwrap(), parse_cpu(B).unwrap());
        assert_eq!(a.cpus, 2);
        assert_eq!(a.boot_secs, Some(1_795_287_899));
        let shares = shares(&a, &b).unwrap();
        // 10 + 10 + 20 ticks of work, 10 stolen, I/O wait ran back by 10: 40 in all.
        assert!((shares.steal - 0.25).abs() < 1e-9);
        assert_eq!(shares.iowait, 0.0);
        assert!((shares.busy - 0.75).abs() < 1e-9);
        assert_eq!(super::shares(&b, &a), None);
        assert_eq!(super::shares(&a, &a), None);
    }

    #[test]
    fn small_files() {
        assert_eq!(parse_load(b"7.25 7.35 6.14 5/383 29251\n"), Some(7.25));
        assert_eq!(parse_load(b"7.25 7.35"), None);
        assert_eq!(parse_uptime(b"5702.88 1479.16\n"), Some(5702.88));
        assert_eq!(
            parse_schedstat(b"1699048590 35389952000 22754\n"),
            Some(waits(1_699_048_590, 35_389_952_000, 22_754))
        );
        assert_eq!(parse_schedstat(b"1699048590 "), None);
    }

    #[test]
    fn waiting_of_threads_that_come_and_go() {
        let before = SchedStat {
            threads: vec![(1, waits(9, 100, 4)), (2, waits(0, 50, 1))],
        };
        let after = SchedStat {
            threads: vec![(1, waits(19, 160, 6)), (3, waits(1, 7, 1))],
        };
        assert_eq!(after.since(&before), waits(11, 67, 3));
        assert_eq!(after.total(), waits(20, 167, 7));
    }

    #[test]
    fn waiting_is_told_of_the_time_that_could_be_run() {
        let starved = waits(1_699_048_590, 35_389_952_000, 22_754);
        assert!((starved.share().unwrap() - 0.954).abs() < 1e-3);
        assert!((starved.mean_ms().unwrap() - 1.555).abs() < 1e-3);
        assert_eq!(Waits::default().share(), None);
        assert_eq!(Waits::default().mean_ms(), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_do(bytes: Vec<u8>, cut in 0..A.len()) {
            let _ = (parse_cpu(&bytes), parse_load(&bytes), parse_uptime(&bytes), parse_schedstat(&bytes));
            if let (Some(a), Some(b)) = (parse_cpu(&A[..cut]), parse_cpu(B)) {
                let _ = shares(&a, &b);
            }
        }
    }
}
