//! Memory headroom and swap: of the machine and of a cgroup.

use crate::target::HostRoot;

use super::process::parse_kib;

/// `/proc/meminfo`, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// What can be had without swapping.
    pub available: u64,
    /// Swap in use; `None` when the file does not say.
    pub swap_used: Option<u64>,
    /// Swap there is.
    pub swap_total: Option<u64>,
    /// Waiting to be written to disks.
    pub dirty: Option<u64>,
    /// Being written.
    pub writeback: Option<u64>,
}

/// Reads `/proc/meminfo`.
pub fn parse_meminfo(bytes: &[u8]) -> Option<Memory> {
    let text = std::str::from_utf8(bytes).ok()?;
    let of = |name| parse_kib(text, name);
    let swap_total = of("SwapTotal");
    Some(Memory {
        total: of("MemTotal").filter(|total| *total > 0)?,
        available: of("MemAvailable")?,
        swap_used: swap_total
            .zip(of("SwapFree"))
            .and_then(|(total, free)| total.checked_sub(free)),
        swap_total,
        dirty: of("Dirty"),
        writeback: of("Writeback"),
    })
}

impl Memory {
    /// Available memory, share of all.
    pub fn available_share(&self) -> f64 {
        (self.available as f64 / self.total as f64).min(1.0)
    }
}

/// The memory limit of a cgroup and what is used of it, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CgroupMemory {
    /// The limit, where there is one.
    pub limit: Option<u64>,
    /// What is used, page cache included.
    pub used: Option<u64>,
    /// How often a process in it was killed for memory.
    pub oom_kills: Option<u64>,
}

/// Reads the memory files of a cgroup folder of either version.
pub(super) fn cgroup_memory(root: &HostRoot, folder: &str) -> CgroupMemory {
    let number = |file: &str| -> Option<u64> {
        let text = root.read_text(format!("{folder}/{file}")).ok()?;
        text.trim().parse().ok()
    };
    // Version 1 says "no limit" with a number near 2^63.
    let limit = number("memory.max")
        .or_else(|| number("memory.limit_in_bytes"))
        .filter(|limit| *limit < 1 << 60);
    let kills = |file: &str| -> Option<u64> {
        let text = root.read_text(format!("{folder}/{file}")).ok()?;
        text.lines()
            .find_map(|line| line.strip_prefix("oom_kill "))?
            .trim()
            .parse()
            .ok()
    };
    CgroupMemory {
        limit,
        used: number("memory.current").or_else(|| number("memory.usage_in_bytes")),
        oom_kills: kills("memory.events").or_else(|| kills("memory.oom_control")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"MemTotal:       24731272 kB\nMemFree:        15353052 kB\nMemAvailable:   22088864 kB\nSwapTotal:          2048 kB\nSwapFree:           1024 kB\nDirty:            109476 kB\n";

    #[test]
    fn headroom_and_swap() {
        let memory = parse_meminfo(TEXT).unwrap();
        assert!((memory.available_share() - 0.8932).abs() < 0.0001);
        assert_eq!(memory.swap_used, Some(1 << 20));
        assert_eq!(memory.writeback, None);
        // A kernel before 3.14 has no MemAvailable; nothing is made up from MemFree.
        assert_eq!(parse_meminfo(b"MemTotal: 5 kB\nMemFree: 5 kB\n"), None);
    }

    #[test]
    fn a_cgroup_without_a_limit_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let root = HostRoot::new(dir.path());
        std::fs::write(dir.path().join("memory.max"), "max\n").unwrap();
        std::fs::write(dir.path().join("memory.current"), "4096\n").unwrap();
        std::fs::write(dir.path().join("memory.events"), "oom 2\noom_kill 1\n").unwrap();
        let memory = cgroup_memory(&root, "");
        assert_eq!(memory.limit, None);
        assert_eq!(memory.used, Some(4096));
        assert_eq!(memory.oom_kills, Some(1));
        std::fs::remove_file(dir.path().join("memory.max")).unwrap();
        std::fs::write(
            dir.path().join("memory.limit_in_bytes"),
            "9223372036854771712\n",
        )
        .unwrap();
        assert_eq!(cgroup_memory(&root, "").limit, None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_do(bytes: Vec<u8>, cut in 0..TEXT.len()) {
            for bytes in [&bytes[..], &TEXT[..cut]] {
                if let Some(memory) = parse_meminfo(bytes) {
                    let _ = memory.available_share();
                }
            }
        }
    }
}
