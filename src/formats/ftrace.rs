//! The kernel's trace in text, as far as syncs go: who entered and left `fdatasync` and `fsync`,
//! when, and how many events were lost.
//!
//! A line of `trace_pipe` (`Documentation/trace/ftrace.rst`):
//!
//! ```text
//!             etcd-4711    [001] .....  1234.567890: sys_fdatasync(fd: 0x8)
//!             etcd-4711    [001] .....  1234.568901: sys_fdatasync -> 0x0
//! CPU:1 [LOST 27 EVENTS]
//! ```
//!
//! Older kernels write the number of the file without `0x`; a task's name may hold blanks, dashes
//! and brackets.

/// Which call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `fdatasync`: the WAL and the database.
    FdataSync,
    /// `fsync`: directories, snapshots, a database that grows.
    Fsync,
}

/// What one line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A thread began a call.
    Enter {
        /// The thread.
        tid: u32,
        /// Microseconds of the trace's clock.
        at_us: u64,
        /// Which call.
        call: Call,
        /// The file's number.
        fd: u32,
    },
    /// A thread's call returned.
    Exit {
        /// The thread.
        tid: u32,
        /// Microseconds of the trace's clock.
        at_us: u64,
        /// Which call.
        call: Call,
        /// Whether it failed.
        failed: bool,
    },
    /// So many events are missing here.
    Lost(u64),
}

/// Reads one line; `None` when it is about something else.
pub fn parse(line: &[u8]) -> Option<Event> {
    let text = std::str::from_utf8(line).ok()?.trim_end();
    if let Some((_, rest)) = text.split_once("[LOST ") {
        let (count, _) = rest.split_once(' ')?;
        return Some(Event::Lost(count.parse().ok()?));
    }
    let (head, what) = text.split_once(": sys_")?;
    let (call, rest) = if let Some(rest) = what.strip_prefix("fdatasync") {
        (Call::FdataSync, rest)
    } else {
        (Call::Fsync, what.strip_prefix("fsync")?)
    };
    // `TASK-PID [CPU] FLAGS TIME`, read from the end: the task's name may be anything.
    let (head, time) = head.trim_end().rsplit_once(char::is_whitespace)?;
    let (secs, micros) = time.split_once('.')?;
    let digits =
        |text: &str| (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then_some(());
    digits(micros)?;
    if micros.len() != 6 {
        return None;
    }
    let at_us = secs
        .parse::<u64>()
        .ok()?
        .checked_mul(1_000_000)?
        .checked_add(micros.parse().ok()?)?;
    let (task, _) = head.rsplit_once('[')?;
    // A thread group in brackets may stand between, with `record-tgid`.
    let task = task.trim_end();
    let task = match task.rsplit_once('(') {
        Some((before, group)) if group.ends_with(')') && !before.trim_end().is_empty() => {
            before.trim_end()
        }
        _ => task,
    };
    let tid = task.rsplit_once('-')?.1.trim().parse().ok()?;
    if let Some(arguments) = rest.strip_prefix("(fd: ") {
        let number = arguments.trim_end_matches(')');
        let fd = match number.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            // Without a prefix it is hexadecimal too (kernel before 5.x printed `%lx`).
            None => u32::from_str_radix(number, 16).ok()?,
        };
        return Some(Event::Enter {
            tid,
            at_us,
            call,
            fd,
        });
    }
    let result = rest.strip_prefix(" -> ")?;
    let failed = !matches!(result, "0x0" | "0");
    Some(Event::Exit {
        tid,
        at_us,
        call,
        failed,
    })
}

/// Events that a CPU's buffer lost, of `per_cpu/cpuN/stats`: overwritten and dropped ones.
pub fn parse_lost(stats: &str) -> u64 {
    stats
        .lines()
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            matches!(name.trim(), "overrun" | "commit overrun" | "dropped events")
                .then(|| value.trim().parse::<u64>().ok())?
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_several_kernels() {
        let enter = Event::Enter {
            tid: 4711,
            at_us: 1_234_567_890,
            call: Call::FdataSync,
            fd: 8,
        };
        for line in [
            "            etcd-4711    [001] .....  1234.567890: sys_fdatasync(fd: 0x8)",
            "           <...>-4711  [001] ....  1234.567890: sys_fdatasync(fd: 8)",
            " my-app [x] (1)-4711 [001] d.h1.  1234.567890: sys_fdatasync(fd: 0x00000008)",
            "            etcd-4711    (   4700) [001] .....  1234.567890: sys_fdatasync(fd: 0x8)",
        ] {
            assert_eq!(parse(line.as_bytes()), Some(enter), "{line}");
        }
        let exit = |failed| Event::Exit {
            tid: 4711,
            at_us: 1_234_568_901,
            call: Call::Fsync,
            failed,
        };
        let line = "            etcd-4711    [001] .....  1234.568901: sys_fsync -> 0x0\n";
        assert_eq!(parse(line.as_bytes()), Some(exit(false)));
        let line =
            "            etcd-4711    [001] .....  1234.568901: sys_fsync -> 0xfffffffffffffffb";
        assert_eq!(parse(line.as_bytes()), Some(exit(true)));
        assert_eq!(parse(b"CPU:1 [LOST 27 EVENTS]"), Some(Event::Lost(27)));
    }

    #[test]
    fn other_lines_say_nothing() {
        for line in [
            "",
            "# tracer: nop",
            "  etcd-1 [001] ..... 1.5: sys_fdatasync(fd: 0x8)",
            "  etcd-1 [001] ..... 1.500000: sys_write(fd: 0x8)",
            "  etcd-1 [001] ..... 1.500000: sys_fdatasync(",
            "  etcd [001] ..... 1.500000: sys_fdatasync -> 0x0",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn lost_events_of_a_buffer() {
        let stats = "entries: 3\noverrun: 5\ncommit overrun: 1\nbytes: 99\ndropped events: 2\nread events: 40\n";
        assert_eq!(parse_lost(stats), 8);
        assert_eq!(parse_lost("overrun: many\n"), 0);
    }

    proptest::proptest! {
        #[test]
        fn any_line_does(line: Vec<u8>, text in ".{0,40}: sys_f(data)?sync.{0,20}") {
            let _ = parse(&line);
            let _ = parse(text.as_bytes());
            let _ = parse_lost(&text);
        }
    }
}
