//! System calls that no safe crate wraps. The only place with `unsafe`; each call says why it is
//! sound.
#![expect(
    unsafe_code,
    reason = "ioprio, the scheduler, clocks of processes, sizes of pipes, adjtimex, getrusage, sigaction and the admin commands of NVMe have no safe wrapper in rustix; vector instructions have none in std"
)]

mod bytes;
pub mod nvme;
mod sched;
mod signal;

pub use bytes::{BLOCK, Look, find, has_odd_quotes, look, places_of};
pub use sched::{real_time, set_ioprio};
pub use signal::is_ignored;

/// A process's I/O class and level: (1 real time, 2 best effort, 3 idle; 0 none set).
pub fn ioprio(pid: u32) -> Option<(u8, u8)> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    let pid = libc::c_int::try_from(pid).ok()?;
    // SAFETY: ioprio_get takes two integers by value, touches no memory of ours, and fails with
    // an error for a process that is gone.
    let value = unsafe { libc::syscall(libc::SYS_ioprio_get, IOPRIO_WHO_PROCESS, pid) };
    let value = u16::try_from(value).ok()?;
    // linux/ioprio.h: the class is above bit 13, the level in the lowest three bits.
    let class = u8::try_from(value >> 13).ok()?;
    let level = u8::try_from(value & 7).ok()?;
    Some((class, level))
}

/// What the kernel's clock discipline says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockDiscipline {
    /// Whether the clock is kept in step with a source.
    pub synced: bool,
    /// Upper bound of its error in microseconds, as the time daemon set it.
    pub max_error_us: i64,
    /// Estimated error in microseconds.
    pub estimated_error_us: i64,
}

/// Asks the kernel about the clock without changing it.
pub fn clock_discipline() -> Option<ClockDiscipline> {
    // SAFETY: `timex` is plain integers, for which all zeroes is a value.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // No bit of `modes` is set, so nothing is changed and no privilege is needed.
    timex.modes = 0;
    // SAFETY: the pointer is to a live, writable `timex` of ours for the whole call.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    (state >= 0).then_some(ClockDiscipline {
        synced: timex.status & libc::STA_UNSYNC == 0,
        max_error_us: timex.maxerror,
        estimated_error_us: timex.esterror,
    })
}

/// Processor time that this process has used, in seconds: its own, and the kernel's for it.
pub fn own_cpu() -> Option<(f64, f64)> {
    let usage = usage(libc::RUSAGE_SELF)?;
    let secs = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    Some((secs(usage.ru_utime), secs(usage.ru_stime)))
}

/// What disks were asked for in this thread's name, whether or not it waited for them: blocks of 512
/// bytes, and pages of its memory (of the program's file, mostly). 0 where the kernel does not count.
pub fn own_reads() -> (i64, i64) {
    usage(libc::RUSAGE_THREAD).map_or((0, 0), |usage| (usage.ru_inblock, usage.ru_majflt))
}

fn usage(who: libc::c_int) -> Option<libc::rusage> {
    // SAFETY: `rusage` is plain integers, for which all zeroes is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live, writable `rusage` of ours for the whole call.
    let done = unsafe { libc::getrusage(who, &raw mut usage) };
    (done == 0).then_some(usage)
}

/// Processor time that a process has used, if there is one of this number in our name space.
pub fn process_cpu(pid: u32) -> Option<std::time::Duration> {
    let pid = libc::pid_t::try_from(pid).ok()?;
    let mut clock: libc::clockid_t = 0;
    // SAFETY: the pointer is to a live, writable clock id of ours for the whole call.
    let known = unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) };
    if known != 0 {
        return None;
    }
    // SAFETY: `timespec` is plain integers, for which all zeroes is a value.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live, writable `timespec` of ours for the whole call; a clock
    // whose process is gone is an error.
    let done = unsafe { libc::clock_gettime(clock, &raw mut time) };
    let secs = u64::try_from(time.tv_sec).ok()?;
    let nanos = u32::try_from(time.tv_nsec).ok()?;
    (done == 0).then(|| std::time::Duration::new(secs, nanos))
}

/// Sets how many bytes a pipe holds; the kernel rounds up to pages.
pub fn set_pipe_size(pipe: &impl std::os::fd::AsRawFd, bytes: u32) -> std::io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    // SAFETY: three integers by value; what is no pipe is an error.
    let done = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) };
    match done {
        0.. => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_processor_time_rises() {
        let (user, system) = own_cpu().unwrap();
        let begin = std::time::Instant::now();
        while begin.elapsed() < std::time::Duration::from_millis(30) {}
        let (user_after, system_after) = own_cpu().unwrap();
        assert!(user_after + system_after > user + system);
    }

    #[test]
    fn a_process_has_a_clock_as_long_as_it_lives() {
        let (user, system) = own_cpu().unwrap();
        let time = process_cpu(std::process::id()).unwrap();
        assert!(time.as_secs_f64() >= user + system - 0.05);
        assert_eq!(process_cpu(u32::MAX), None);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert_eq!(process_cpu(child.id()), None);
    }

    #[test]
    fn our_own_io_priority_is_a_class_and_a_level() {
        // A sandbox may refuse the call; what it answers must make sense.
        if let Some((class, level)) = ioprio(std::process::id()) {
            assert!(class <= 3 && level <= 7);
        }
        assert_eq!(ioprio(u32::MAX), None);
    }
}
