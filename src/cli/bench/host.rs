//! Answers a bench's questions about the host from the `host` engine.

use std::fs::File;
use std::path::Path;

use crate::bench::disk::{Counted, Host};
use crate::formats::bench::disk::{Barrier, BarrierStep, Disk, Ground};
use crate::formats::ebs;
use crate::host::barrier::{self, FlushCount};
use crate::host::filesystem::fitness;
use crate::host::{Storage, directory};
use crate::sys;
use crate::target::HostRoot;

/// The running host.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) root: HostRoot,
    /// Whether the etcd that the bench stands for runs with `--unsafe-no-fsync`.
    pub(super) unsafe_no_fsync: Option<bool>,
}

impl Live {
    /// The host that this program runs on.
    pub(super) fn new() -> Self {
        Live {
            root: HostRoot::live(),
            unsafe_no_fsync: None,
        }
    }

    fn storage(&self, dir: &Path) -> Storage {
        // The mount table knows whole paths only, and a link may lead to another mount.
        let real = match self.root.is_live() {
            true => dir.canonicalize().or_else(|_| std::path::absolute(dir)),
            false => Ok(dir.to_owned()),
        };
        let real = real.unwrap_or_else(|_| dir.to_owned());
        directory::directory(&self.root, &real.to_string_lossy())
    }
}

impl Host for Live {
    fn ground(&self, dir: &Path) -> Ground {
        let storage = self.storage(dir);
        let mut ground = Ground {
            dir: dir.display().to_string(),
            barrier: self.judge(&storage, None),
            ..Ground::default()
        };
        match &storage.mount {
            Ok(mount) => {
                let (fit, why) = fitness(&mount.fs);
                ground.fs.clone_from(&mount.fs);
                fit.word().clone_into(&mut ground.fitness);
                why.clone_into(&mut ground.fitness_why);
                ground.mount_point.clone_from(&mount.point);
                ground.options = mount.all_options().collect::<Vec<_>>().join(",");
                let real = storage.below_overlay.as_ref().unwrap_or(mount);
                ground.device = real.device;
            }
            Err(why) => ground.problem = Some(why.to_string()),
        }
        ground.journal = match storage.journal {
            barrier::Journal::Present => "present",
            barrier::Journal::Absent => "absent",
            barrier::Journal::Unknown => "unknown",
        }
        .to_owned();
        ground.remarks = storage
            .remarks
            .iter()
            .map(|(option, why)| format!("{option}: {why}"))
            .collect();
        ground.devices = storage.chain.words();
        ground.kernel_threads = storage
            .chain
            .layers
            .iter()
            .filter(|layer| layer.kind.has_threads())
            .map(|layer| format!("{} ({})", layer.name, layer.kind.word()))
            .collect();
        if let Some(why) = &storage.chain.problem {
            ground.problem.get_or_insert(why.to_string());
        }
        ground.disks = storage
            .chain
            .disks()
            .into_iter()
            .map(|layer| Disk {
                name: layer.name.clone(),
                kind: layer.kind.word().to_owned(),
                model: layer.model.clone(),
                write_cache: layer
                    .write_cache
                    .as_ref()
                    .ok()
                    .map(|cache| cache.words().to_owned()),
                fua: layer.setting("fua").map(|fua| fua.trim() == "1"),
                counts_flushes: layer.kind.counts_flushes(),
                stat_path: directory::stat_path(&self.root, &layer.name),
            })
            .collect();
        ground
    }

    fn barrier(&self, dir: &Path, counted: Counted) -> Barrier {
        let count = FlushCount {
            flushes: counted.flushes,
            writes: counted.writes,
            flush_ms: counted.flush_ms,
            secs: counted.secs,
            // The bench synced after every write, as etcd does.
            etcd_wrote: true,
        };
        self.judge(&self.storage(dir), Some(count))
    }

    fn volume_page(&self, disk: &Disk) -> Option<Vec<u8>> {
        let model = disk.model.as_deref().unwrap_or_default();
        is_amazon(model).then(|| volume_page(&disk.name)).flatten()
    }
}

/// Whether a model is one of Amazon's NVMe devices, which keep statistics of their limits.
pub(super) fn is_amazon(model: &str) -> bool {
    model.starts_with("Amazon E")
}

/// Reads the statistics of an Amazon volume.
pub(super) fn volume_page(name: &str) -> Option<Vec<u8>> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a device of the live host, read only"
    )]
    let device = File::open(Path::new("/dev").join(name)).ok()?;
    sys::nvme::log_page(&device, ebs::LOG_PAGE, ebs::LOG_BYTES).ok()
}

impl Live {
    fn judge(&self, storage: &Storage, count: Option<FlushCount>) -> Barrier {
        let judged = directory::barrier(&self.root, storage, self.unsafe_no_fsync, count);
        let Some(judged) = judged else {
            return Barrier {
                state: "unknown".to_owned(),
                confidence: "low".to_owned(),
                why: "the mount is not known".to_owned(),
                steps: Vec::new(),
            };
        };
        Barrier {
            state: judged.state.word().to_owned(),
            confidence: judged.confidence.word().to_owned(),
            why: judged.why.clone(),
            steps: judged
                .steps
                .iter()
                .map(|step| BarrierStep {
                    id: step.id.to_owned(),
                    state: step.state.word().to_owned(),
                    confidence: step.confidence.word().to_owned(),
                    why: step.why.clone(),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_judged_by_the_mount_that_it_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("shm");
        std::os::unix::fs::symlink("/dev/shm", &link).unwrap();
        let live = Live::new();
        let here = live.ground(Path::new("."));
        assert_eq!(here.problem, None, "a relative path has a mount");
        let direct = live.ground(Path::new("/dev/shm"));
        let linked = live.ground(&link);
        assert_eq!(linked.mount_point, direct.mount_point);
        assert_eq!(linked.fs, direct.fs);
    }
}
