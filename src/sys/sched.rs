//! Scheduling and I/O classes of the calling thread.

use std::io;

/// Puts the calling thread into SCHED_FIFO, so that it is not kept waiting by normal tasks. Threads
/// and processes that it starts are normal again.
pub fn real_time(priority: u8) -> io::Result<()> {
    // SAFETY: `sched_param` is plain integers, for which all zeroes is a value; musl's has more
    // fields than glibc's.
    let mut param: libc::sched_param = unsafe { std::mem::zeroed() };
    param.sched_priority = libc::c_int::from(priority);
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: 0 is the calling thread, and the pointer is to a live `sched_param` of ours.
    let done = unsafe { libc::sched_setscheduler(0, policy, &raw const param) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sets the calling thread's I/O class (1 real time, 2 best effort, 3 idle) and level (0 to 7).
pub fn set_ioprio(class: u8, level: u8) -> io::Result<()> {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    // linux/ioprio.h: the class is above bit 13, the level in the lowest three bits.
    let value = (libc::c_int::from(class) << 13) | libc::c_int::from(level & 7);
    // SAFETY: three integers by value; 0 is the calling thread.
    let done = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_takes_a_class_or_is_told_why_not() {
        std::thread::spawn(|| {
            if let Err(err) = real_time(1) {
                assert_eq!(err.kind(), io::ErrorKind::PermissionDenied);
            }
            if set_ioprio(2, 7).is_ok() {
                let tid = rustix::thread::gettid().as_raw_nonzero().get();
                assert_eq!(crate::sys::ioprio(tid.unsigned_abs()), Some((2, 7)));
            }
        })
        .join()
        .unwrap();
    }
}
