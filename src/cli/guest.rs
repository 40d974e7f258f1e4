//! Manners of a guest: beside a running etcd, which may be sick, reading is slow on purpose.

use crate::logs::reader::ReadOptions;
use crate::sys;
use crate::target::HostRoot;

/// How much of the node may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Guest {
    /// Threads; 0 stands for as many as there are processors.
    pub(super) threads: usize,
    /// One thread at the lowest priority, and the page cache given back.
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

    /// The lowest priority for processor and disk, for this thread and those it starts.
    pub(super) fn polite() -> Self {
        // Not being allowed to is no fault.
        rustix::process::nice(19).ok();
        sys::set_ioprio(3, 0).ok();
        Guest {
            threads: 1,
            polite: true,
        }
    }

    /// How files are read.
    pub(super) fn read(self) -> ReadOptions {
        ReadOptions {
            give_back: self.polite,
            ..ReadOptions::default()
        }
    }

    /// What people should know.
    pub(super) fn words(self) -> Option<&'static str> {
        self.polite
            .then_some("etcd runs here: one thread, idle priority (--threads N: not)")
    }
}

/// A guest where an etcd runs on the node under `root`, else with all processors.
pub(super) fn beside_etcd(root: &HostRoot) -> Guest {
    if etcd_runs(root) {
        Guest::polite()
    } else {
        Guest::default()
    }
}

/// Whether a process is an etcd, or a distribution's server with an etcd inside.
fn etcd_runs(root: &HostRoot) -> bool {
    /// Names of the process (the kernel keeps 15 bytes), and a folder that says that an etcd is
    /// inside.
    const SERVERS: [(&str, &str); 4] = [
        ("etcd", ""),
        ("microshift-etcd", ""),
        ("k3s-server", "/var/lib/rancher/k3s/server/db/etcd"),
        ("rke2", "/var/lib/rancher/rke2/server/db/etcd"),
    ];
    let Ok(entries) = root.list("/proc") else {
        return false;
    };
    entries
        .iter()
        .filter(|entry| entry.is_dir)
        .filter_map(|entry| entry.name.to_str())
        .filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        .filter_map(|pid| root.read_text(format!("/proc/{pid}/comm")).ok())
        .any(|comm| {
            SERVERS.iter().any(|(name, folder)| {
                comm.trim() == *name && (folder.is_empty() || root.exists(folder))
            })
        })
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
        assert!(!etcd_runs(&root));
        process("1", "systemd");
        process("7", "etcdctl");
        process("8", "k3s-server");
        assert!(!etcd_runs(&root), "k3s with an SQLite database");
        let db = home.path().join("var/lib/rancher/k3s/server/db/etcd");
        std::fs::create_dir_all(db).unwrap();
        assert!(etcd_runs(&root));
        process("8", "k3s-agent");
        assert!(!etcd_runs(&root));
        process("9", "etcd");
        assert!(etcd_runs(&root));
    }

    #[test]
    fn threads_that_are_asked_for_are_no_guest() {
        let guest = Guest::with_threads(4);
        assert!(!guest.polite && !guest.read().give_back && guest.words().is_none());
    }
}
