//! Answers a bench's questions about the host from the `host` engine.

use std::path::Path;

use crate::bench::disk::{Counted, Host};
use crate::formats::bench::disk::{Barrier, BarrierStep, Disk, Ground};
use crate::host::barrier::{self, FlushCount};
use crate::host::filesystem::fitness;
use crate::host::{Storage, directory};
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
        directory::directory(&self.root, &dir.to_string_lossy())
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
