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

/// Nanoseconds that threads ran and waited for a CPU: the sum over the lines
/// `[TID:]RUN WAIT SLICES` of `/proc/PID/schedstat` or of all `/proc/PID/task/*/schedstat`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchedStat {
    /// By thread: id, ran, waited. The id is 0 where only the process's file is there.
    pub threads: Vec<(u32, u64, u64)>,
}

/// Reads one `schedstat`.
pub fn parse_schedstat(bytes: &[u8]) -> Option<(u64, u64)> {
    let stat = procfs::process::Schedstat::from_read(bytes).ok()?;
    Some((stat.sum_exec_runtime, stat.run_delay))
}

impl SchedStat {
    /// Nanoseconds waited since the start, over all threads that are left.
    pub fn waited(&self) -> u64 {
        self.threads
            .iter()
            .fold(0, |sum, (_, _, wait)| sum.saturating_add(*wait))
    }

    /// Nanoseconds that threads waited between two samples. A thread that began meanwhile counts
    /// in full; one that ended is lost, so this is a lower bound.
    pub fn waited_since(&self, before: &SchedStat) -> u64 {
        let mut sum: u64 = 0;
        for (tid, _, wait) in &self.threads {
            let old = before
                .threads
                .iter()
                .find(|(have, ..)| have == tid)
                .map_or(0, |(_, _, wait)| *wait);
            sum = sum.saturating_add(wait.saturating_sub(old));
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
            Some((1_699_048_590, 35_389_952_000))
        );
        assert_eq!(parse_schedstat(b"1699048590 "), None);
    }

    #[test]
    fn waiting_of_threads_that_come_and_go() {
        let before = SchedStat {
            threads: vec![(1, 0, 100), (2, 0, 50)],
        };
        let after = SchedStat {
            threads: vec![(1, 0, 160), (3, 0, 7)],
        };
        assert_eq!(after.waited_since(&before), 67);
        assert_eq!(after.waited(), 167);
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
