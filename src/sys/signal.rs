//! What a signal does to this process.

/// Whether a signal is ignored, as `nohup` arranges it for SIGHUP before it starts a program. A
/// handler must not undo that.
pub fn is_ignored(signal: i32) -> bool {
    // SAFETY: `sigaction` is plain data, for which all zeroes is a value.
    let mut old: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: with a null new action the call only fills the old one, which is alive and ours.
    let done = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut old) };
    done == 0 && old.sa_sigaction == libc::SIG_IGN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_nobody_touched_is_not_ignored() {
        assert!(!is_ignored(libc::SIGUSR2));
        // No such signal.
        assert!(!is_ignored(-1));
    }
}
