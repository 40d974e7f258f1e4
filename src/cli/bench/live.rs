//! The etcds that run on this node, where they write, and how to ask them how they fare.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bench::disk::Terms;
use crate::bench::disk::observe::trace::Listener;
use crate::bench::disk::observe::vitals::Vitals;
use crate::bench::disk::observe::{Device, Subject, guard};
use crate::cli::etcd_access::EtcdArgs;
use crate::clock::Clock;
use crate::formats::argv::{flag_value, parse_cmdline, parse_environ};
use crate::host::{self, Hints, HostModel, Storage, StorageRole, directory};
use crate::metrics::fetch::{Access, FetchLimits, Fetcher};
use crate::target::HostRoot;
use crate::target::etcd::Endpoint;

use super::host::is_amazon;

/// Most bytes of a page of metrics: etcd's has some hundred KiB.
const PAGE: u64 = 32 << 20;
/// A guard that looks every second cannot wait for long.
const ANSWER: Duration = Duration::from_millis(800);

/// The etcds of this node.
pub(super) struct Node {
    root: HostRoot,
    model: HostModel,
}

/// One of them.
pub(super) struct LiveEtcd {
    pub(super) pid: u32,
    pub(super) name: Option<String>,
    /// Where its write-ahead log is, on the host.
    pub(super) wal_dir: Option<String>,
    /// Its data directory, on the host.
    pub(super) data_dir: Option<String>,
    /// Bytes of its database file.
    db_bytes: u64,
    /// Every device under its directories, and file systems by their numbers.
    under: Ground,
    disks: Vec<Device>,
}

/// What lies under directories.
#[derive(Clone, Debug, Default)]
struct Ground {
    names: Vec<String>,
    numbers: Vec<(u32, u32)>,
    /// Why it is not known.
    unknown: Option<String>,
}

impl Ground {
    fn add(&mut self, storage: &Storage) {
        let names = storage.chain.layers.iter().map(|layer| layer.name.clone());
        self.names.extend(names);
        match &storage.mount {
            Ok(mount) => {
                let real = storage.below_overlay.as_ref().unwrap_or(mount);
                self.numbers.extend(real.device);
            }
            Err(why) => self.unknown = Some(why.to_string()),
        }
    }

    /// Whether two places share a device or a file system; `None` when that cannot be told.
    fn shares(&self, other: &Ground) -> Option<bool> {
        let names = self.names.iter().any(|name| other.names.contains(name));
        let numbers = self.numbers.iter().any(|n| other.numbers.contains(n));
        if names || numbers {
            return Some(true);
        }
        let known = |ground: &Ground| ground.unknown.is_none() && !ground.numbers.is_empty();
        (known(self) && known(other)).then_some(false)
    }
}

impl Node {
    /// Looks at the node. Takes no sample and writes nothing.
    pub(super) fn look(clock: Clock, only: &[u32]) -> Self {
        let root = HostRoot::live();
        let mut model = host::read(&root, &Hints::default(), Duration::ZERO, clock);
        if !only.is_empty() {
            model.processes.etcd.retain(|etcd| only.contains(&etcd.pid));
        }
        Node { root, model }
    }

    /// All etcds that run here.
    pub(super) fn etcds(&self) -> Vec<LiveEtcd> {
        let processes = &self.model.processes.etcd;
        processes
            .iter()
            .map(|process| {
                let mut etcd = LiveEtcd {
                    pid: process.pid,
                    name: process.name.clone(),
                    wal_dir: None,
                    data_dir: None,
                    db_bytes: 0,
                    under: Ground::default(),
                    disks: Vec::new(),
                };
                let storages = self.model.storage.iter();
                for storage in storages.filter(|storage| storage.pid == Some(process.pid)) {
                    self.add(storage, &mut etcd);
                }
                if etcd.wal_dir.is_none() {
                    etcd.wal_dir = etcd
                        .data_dir
                        .as_ref()
                        .map(|dir| format!("{dir}/member/wal"));
                }
                etcd
            })
            .collect()
    }

    fn add(&self, storage: &Storage, etcd: &mut LiveEtcd) {
        let place = match storage.role {
            StorageRole::Data => &mut etcd.data_dir,
            StorageRole::Wal => &mut etcd.wal_dir,
        };
        *place = Some(storage.host_path.clone());
        if let Some(Ok(kept)) = &storage.kept {
            etcd.db_bytes = kept.db.unwrap_or(0);
        }
        etcd.under.add(storage);
        for layer in storage.chain.disks() {
            let model = layer.model.as_deref().unwrap_or_default();
            let device = Device {
                name: layer.name.clone(),
                stat_path: directory::stat_path(&self.root, &layer.name),
                amazon: is_amazon(model),
            };
            if !etcd.disks.contains(&device) {
                etcd.disks.push(device);
            }
        }
    }

    /// The etcds that share a disk with a directory, and those of which that cannot be told.
    pub(super) fn beside(&self, dir: &Path) -> (Vec<LiveEtcd>, Vec<String>) {
        let mut ground = Ground::default();
        let real = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
        ground.add(&directory::directory(&self.root, &real.to_string_lossy()));
        let mut unsure = Vec::new();
        let mut found = Vec::new();
        for etcd in self.etcds() {
            match etcd.under.shares(&ground) {
                Some(true) => found.push(etcd),
                Some(false) => {}
                None => {
                    let why = etcd.under.unknown.as_ref().or(ground.unknown.as_ref());
                    let why = why.map_or("its devices are not known", String::as_str);
                    unsure.push(format!("etcd {}: {why}", etcd.pid));
                }
            }
        }
        (found, unsure)
    }

    /// Where a data directory is that no etcd uses now.
    pub(super) fn resting_data_dir(&self) -> Option<PathBuf> {
        let storages = self.model.storage.iter();
        storages
            .filter(|storage| storage.pid.is_none() && storage.role == StorageRole::Data)
            .map(|storage| PathBuf::from(&storage.host_path))
            .find(|path| path.is_dir())
    }

    /// What a bench has to leave alone and to leave free.
    pub(super) fn terms(&self, need_bytes: u64, in_data_dir: bool) -> Terms {
        let mut terms = Terms {
            need_bytes,
            in_data_dir,
            ..Terms::default()
        };
        for etcd in self.etcds() {
            let dirs = [&etcd.data_dir, &etcd.wal_dir];
            terms
                .data_dirs
                .extend(dirs.into_iter().flatten().map(PathBuf::from));
            terms.db_bytes = terms.db_bytes.max(etcd.db_bytes);
        }
        terms
    }

    /// How to watch an etcd.
    pub(super) fn subject(&self, etcd: &LiveEtcd, access: &EtcdArgs) -> Subject {
        let used = self.model.process_use.get(&etcd.pid);
        Subject {
            pid: etcd.pid,
            name: etcd.name.clone(),
            wal_dir: etcd.wal_dir.clone(),
            cgroup: used.and_then(|used| used.placement.unified.clone()),
            io_limits: used.map_or_else(Vec::new, |used| {
                let words = used.io_limits.iter();
                words
                    .map(|(device, what, limit)| format!("{device} {what} {limit}"))
                    .collect()
            }),
            vitals: self
                .vitals(etcd, access)
                .map(|scraper| Box::new(scraper) as Box<dyn Vitals>),
            disks: etcd.disks.iter().map(|disk| disk.name.clone()).collect(),
        }
    }

    /// How to read an etcd's metrics, or why that cannot be tried.
    pub(super) fn vitals(&self, etcd: &LiveEtcd, access: &EtcdArgs) -> Result<Scraper, String> {
        let resolved = access.resolve(&self.root).map_err(|err| err.to_string())?;
        let url = if access.names_endpoints() {
            resolved.endpoints.iter().find_map(Endpoint::metrics_url)
        } else {
            self.listens(etcd.pid).or_else(|| {
                let only = self.model.processes.etcd.len() == 1;
                let mut known = resolved.endpoints.iter().filter(|_| only);
                known.find_map(Endpoint::metrics_url)
            })
        };
        let url = url.ok_or("no address of its metrics is known; --endpoints names one")?;
        let credentials = resolved.access;
        let fetcher = Fetcher::new(
            &Access {
                ca: credentials.ca.map(|pem| pem.bytes),
                cert: credentials
                    .identity
                    .as_ref()
                    .map(|id| id.cert.bytes.clone()),
                key: credentials.identity.map(|id| id.key.bytes),
                token: None,
                insecure: credentials.skip_verify,
            },
            FetchLimits {
                deadline: ANSWER,
                bytes: PAGE,
            },
        );
        Ok(Scraper {
            fetcher: fetcher.map_err(|err| err.to_string())?,
            url,
        })
    }

    /// How a guard sees an etcd: its metrics, else a trace of its syncs.
    pub(super) fn eyes(&self, etcd: &LiveEtcd, access: &EtcdArgs) -> Result<Eyes, String> {
        let metrics = self
            .vitals(etcd, access)
            .and_then(|scraper| guard::read(&scraper).map(|_| scraper));
        match metrics {
            Ok(scraper) => Ok(Eyes {
                vitals: Box::new(scraper),
                by: "metrics",
            }),
            Err(why) => match Listener::start(etcd.pid) {
                Ok(listener) => Ok(Eyes {
                    vitals: Box::new(listener),
                    by: "trace",
                }),
                Err(blind) => Err(format!("{why}; nor can its syncs be traced: {blind}")),
            },
        }
    }

    /// Where a process says that it serves metrics: `--listen-metrics-urls`, else its clients'
    /// address.
    fn listens(&self, pid: u32) -> Option<String> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            self.root
                .read_within(path, 4 << 20, Duration::from_millis(500))
                .ok()
        };
        let argv = parse_cmdline(&read("cmdline")?);
        let environ = read("environ")
            .map(|bytes| parse_environ(&bytes))
            .unwrap_or_default();
        let of = |flag: &str, variable: &str| {
            let value = flag_value(&argv, flag).map(str::to_owned);
            value.or_else(|| {
                let found = environ.iter().find(|(name, _)| name == variable);
                found.map(|(_, value)| value.clone())
            })
        };
        let urls = of("listen-metrics-urls", "ETCD_LISTEN_METRICS_URLS")
            .or_else(|| of("listen-client-urls", "ETCD_LISTEN_CLIENT_URLS"))?;
        let mut endpoints: Vec<Endpoint> = urls
            .split(',')
            .filter_map(|url| Endpoint::parse(url, false).ok())
            .map(Endpoint::connectable)
            .collect();
        endpoints.sort_by_key(|endpoint| !endpoint.is_loopback());
        // A socket in the file system serves clients and no metrics.
        endpoints.iter().find_map(Endpoint::metrics_url)
    }
}

impl LiveEtcd {
    /// Name and process id.
    pub(super) fn words(&self) -> String {
        match &self.name {
            Some(name) => format!("etcd `{name}` (process {})", self.pid),
            None => format!("etcd (process {})", self.pid),
        }
    }

    /// The disks under it.
    pub(super) fn disks(&self) -> &[Device] {
        &self.disks
    }
}

/// What a guard looks through.
pub(super) struct Eyes {
    pub(super) vitals: Box<dyn Vitals>,
    /// `metrics` or `trace`.
    pub(super) by: &'static str,
}

/// Reads a page of metrics.
pub(super) struct Scraper {
    fetcher: Fetcher,
    url: String,
}

impl Vitals for Scraper {
    fn scrape(&self) -> Result<Vec<u8>, String> {
        self.fetcher.get(&self.url).map_err(|err| err.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ground(names: &[&str], numbers: &[(u32, u32)]) -> Ground {
        Ground {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            numbers: numbers.to_vec(),
            unknown: None,
        }
    }

    #[test]
    fn a_shared_disk_is_found_below_partitions_and_is_never_denied_in_doubt() {
        let etcd = ground(&["sda2", "sda"], &[(8, 2)]);
        assert_eq!(
            etcd.shares(&ground(&["sda1", "sda"], &[(8, 1)])),
            Some(true)
        );
        assert_eq!(
            etcd.shares(&ground(&["sdb1", "sdb"], &[(8, 17)])),
            Some(false)
        );
        // The same file system, of which no device is known.
        let network = ground(&[], &[(0, 44)]);
        assert_eq!(network.shares(&ground(&[], &[(0, 44)])), Some(true));
        let unknown = Ground {
            unknown: Some("denied".to_owned()),
            ..Ground::default()
        };
        assert_eq!(etcd.shares(&unknown), None);
        assert_eq!(Ground::default().shares(&etcd), None);
    }
}
