//! etcd's processes: found by their arguments, with what the kernel tells about each.
//!
//! Several may run on one machine (main and events, or a whole lab). `etcd-manager`, shells and
//! `etcdctl` are not etcd; an embedded one (k3s) is.

use std::collections::BTreeMap;
use std::time::Duration;

use procfs::FromRead;

use crate::clock::Timestamp;
use crate::formats::argv::{flag_value, parse_cmdline, parse_environ};
use crate::target::HostRoot;

use super::apiserver::{Apiserver, is_apiserver};
use super::{Got, Missing};

/// Reads about a process are given up after this long: a process stuck on a dead disk holds locks
/// that `cmdline` and `environ` wait for.
pub(super) const READ_LIMIT: Duration = Duration::from_millis(500);
/// Most processes that are looked at.
const MAX_PROCESSES: usize = 32_768;
/// After so many reads that hang, the scan stops.
const MAX_HUNG: u32 = 4;
/// Arguments and environment are limited by the kernel to far less.
const CAP: u64 = 4 << 20;
/// The kernel's clock tick for user space, the same on every architecture of today (`USER_HZ`).
const TICKS_PER_SEC: f64 = 100.0;

/// What an etcd is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The cluster's main etcd.
    Main,
    /// A second one for events (kops, or sharded by hand).
    Events,
}

/// One running etcd.
#[derive(Clone, Debug)]
pub struct EtcdProcess {
    /// Its process id in this tree.
    pub pid: u32,
    /// `--name` or `ETCD_NAME`.
    pub name: Option<String>,
    /// What it is for.
    pub role: Role,
    /// Whether another program contains it (k3s).
    pub embedded: bool,
    /// The data directory as the process sees it.
    pub data_dir: Option<String>,
    /// The WAL directory, where it is a separate one.
    pub wal_dir: Option<String>,
    /// Whether it runs with `--unsafe-no-fsync`; `None` when its arguments could not be read.
    pub unsafe_no_fsync: Option<bool>,
    /// Facts from `/proc/PID/stat`.
    pub stat: Got<ProcStat>,
    /// When it started.
    pub started: Option<Timestamp>,
    /// Soft limit of open files.
    pub nofile: Got<u64>,
    /// `oom_score_adj`.
    pub oom_score_adj: Got<i64>,
    /// Bytes of it that are swapped out.
    pub swapped: Got<u64>,
    /// Resident bytes.
    pub rss: Got<u64>,
    /// I/O priority in words (`best-effort 4`), where it can be asked for.
    pub ionice: Option<String>,
    /// Its cgroup by controller; the empty name is version 2's.
    pub cgroups: Got<BTreeMap<String, String>>,
}

/// What else runs here, as far as it matters.
#[derive(Clone, Debug, Default)]
pub struct ProcessScan {
    /// Every etcd, by process id.
    pub etcd: Vec<EtcdProcess>,
    /// Every kube-apiserver, by process id.
    pub apiservers: Vec<Apiserver>,
    /// Names of all processes by id.
    pub names: BTreeMap<u32, String>,
    /// Processes that could not be looked at, and why the last one could not.
    pub skipped: u64,
    /// Why.
    pub why: Option<Missing>,
}

/// Fields of `/proc/PID/stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcStat {
    /// The program's name, 15 bytes at most.
    pub comm: String,
    /// `R`, `S`, `D` and so on.
    pub state: char,
    /// CPU ticks used in user space and kernel.
    pub cpu_ticks: u64,
    /// Nice value.
    pub nice: i64,
    /// Threads.
    pub threads: u64,
    /// Start in ticks after boot.
    pub start_ticks: u64,
    /// Real-time priority, 0 for normal scheduling.
    pub rt_priority: u64,
    /// Scheduling policy: 0 normal, 1 FIFO, 2 round robin, 3 batch, 5 idle, 6 deadline.
    pub policy: u64,
    /// Ticks that it waited for block I/O (needs `delayacct`).
    pub blkio_ticks: u64,
}

/// Reads `/proc/PID/stat`. By hand: procfs' parser panics on a torn line.
pub fn parse_proc_stat(bytes: &[u8]) -> Option<ProcStat> {
    let text = String::from_utf8_lossy(bytes);
    // The name may hold blanks and brackets; the last bracket ends it.
    let (head, rest) = text.rsplit_once(')')?;
    let (_, comm) = head.split_once('(')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // Numbered as in proc_pid_stat(5), where the state is field 3.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(ProcStat {
        comm: comm.to_owned(),
        state: fields.first()?.chars().next()?,
        cpu_ticks: number(14)?.saturating_add(number(15)?),
        nice: fields.get(19 - 3)?.parse().ok()?,
        threads: number(20)?,
        start_ticks: number(22)?,
        rt_priority: number(40)?,
        policy: number(41)?,
        blkio_ticks: number(42)?,
    })
}

/// The word of a scheduling policy.
pub fn policy_word(policy: u64) -> &'static str {
    match policy {
        0 => "normal",
        1 => "fifo",
        2 => "round-robin",
        3 => "batch",
        5 => "idle",
        6 => "deadline",
        _ => "other",
    }
}

/// An I/O priority in words.
pub fn ionice_words((class, level): (u8, u8)) -> String {
    match class {
        // Without a class of its own the level follows the nice value (kernel: task_nice_ioprio).
        0 => "none".to_owned(),
        1 => format!("real-time {level}"),
        2 => format!("best-effort {level}"),
        _ => "idle".to_owned(),
    }
}

/// Seconds of a number of ticks.
pub(super) fn ticks_secs(ticks: u64) -> f64 {
    ticks as f64 / TICKS_PER_SEC
}

/// The soft limit `Max open files` of `/proc/PID/limits`; unlimited is the largest number.
pub fn parse_nofile(text: &str) -> Option<u64> {
    let rest = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    match rest.split_ascii_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// A size in `/proc/PID/status` or `/proc/meminfo`, in bytes.
pub fn parse_kib(text: &str, name: &str) -> Option<u64> {
    let rest = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let mut words = rest.split_ascii_whitespace();
    let kib: u64 = words.next()?.parse().ok()?;
    // Without its unit the line may be torn inside the number.
    (words.next()? == "kB").then(|| kib.saturating_mul(1024))
}

/// Reads `/proc/PID/cgroup`: paths by controller; the empty name is version 2's.
pub fn parse_cgroups(bytes: &[u8]) -> Option<BTreeMap<String, String>> {
    let groups = procfs::ProcessCGroups::from_read(bytes).ok()?;
    let mut paths = BTreeMap::new();
    for group in groups {
        // Version 2's line has no controllers.
        if group.controllers.is_empty() {
            paths.insert(String::new(), group.pathname.clone());
        }
        for controller in group.controllers {
            paths.insert(controller, group.pathname.clone());
        }
    }
    (!paths.is_empty()).then_some(paths)
}

/// Looks at every process of the tree.
pub(super) fn scan(root: &HostRoot, boot: Option<Timestamp>) -> ProcessScan {
    let mut scan = ProcessScan::default();
    let entries = match root.list("/proc") {
        Ok(entries) => entries,
        Err(why) => {
            scan.why = Some(why);
            return scan;
        }
    };
    let mut hung = 0;
    let pids = entries
        .iter()
        .filter_map(|entry| entry.name.to_str()?.parse::<u32>().ok());
    for (seen, pid) in pids.enumerate() {
        if seen >= MAX_PROCESSES || hung >= MAX_HUNG {
            scan.skipped += 1;
            continue;
        }
        let stat = parse(root, &format!("/proc/{pid}/stat"), parse_proc_stat);
        if let Ok(stat) = &stat {
            scan.names.insert(pid, stat.comm.clone());
        }
        let argv = match root.read_within(format!("/proc/{pid}/cmdline"), CAP, READ_LIMIT) {
            Ok(bytes) => parse_cmdline(&bytes),
            // The process ended meanwhile, or a bundle recorded no arguments.
            Err(Missing::NotPresent { .. }) => Vec::new(),
            Err(why) => {
                hung += u32::from(matches!(why, Missing::TimedOut { .. }));
                scan.skipped += 1;
                scan.why = Some(why);
                Vec::new()
            }
        };
        let comm = stat.as_ref().map_or("", |stat| stat.comm.as_str());
        if let Some(kind) = kind(root, &argv, comm) {
            scan.etcd.push(describe(root, boot, pid, &argv, stat, kind));
        } else if is_apiserver(&argv, comm) {
            scan.apiservers.push(Apiserver {
                pid,
                started: started(boot, &stat),
                cgroups: parse(root, &format!("/proc/{pid}/cgroup"), parse_cgroups),
            });
        }
    }
    scan.etcd.sort_by_key(|etcd| etcd.pid);
    scan.apiservers.sort_by_key(|apiserver| apiserver.pid);
    scan
}

/// When a process started.
fn started(boot: Option<Timestamp>, stat: &Got<ProcStat>) -> Option<Timestamp> {
    boot.zip(stat.as_ref().ok()).map(|(boot, stat)| {
        #[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
        boot.add_us((ticks_secs(stat.start_ticks) * 1e6) as i64)
    })
}

/// How a process is an etcd.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    K3s,
}

fn kind(root: &HostRoot, argv: &[String], comm: &str) -> Option<Kind> {
    let Some(program) = argv.first() else {
        // Without arguments (denied, or not recorded) only the name is left.
        return is_etcd_name(comm).then_some(Kind::Plain);
    };
    let base = program.rsplit('/').next().unwrap_or(program);
    // A process that set its own title has everything in the first argument.
    let base = base.split(' ').next().unwrap_or(base);
    if is_etcd_name(base) {
        return Some(Kind::Plain);
    }
    let serves = program.split(' ').any(|word| word == "server")
        || argv.get(1).is_some_and(|word| word == "server");
    (base.starts_with("k3s") && serves && root.exists(format!("{}/member", k3s_dir(argv))))
        .then_some(Kind::K3s)
}

/// `etcd`, `etcd-3.6`, `etcd-v3.5.1`, `etcd.bin`; not `etcdctl`, `etcd-manager`, `etcd-doctor`.
fn is_etcd_name(name: &str) -> bool {
    match name.strip_prefix("etcd") {
        Some("" | ".bin" | "-server") => true,
        Some(rest) => {
            let version = rest
                .strip_prefix(['-', '_', '.'])
                .unwrap_or(rest)
                .trim_start_matches('v');
            version.starts_with(|c: char| c.is_ascii_digit())
        }
        None => false,
    }
}

fn k3s_dir(argv: &[String]) -> String {
    let base = flag_value(argv, "data-dir")
        .or_else(|| flag_value(argv, "d"))
        .filter(|dir| dir.starts_with('/'))
        .unwrap_or("/var/lib/rancher/k3s");
    format!("{}/server/db/etcd", base.trim_end_matches('/'))
}

fn describe(
    root: &HostRoot,
    boot: Option<Timestamp>,
    pid: u32,
    argv: &[String],
    stat: Got<ProcStat>,
    kind: Kind,
) -> EtcdProcess {
    let environ = root
        .read_within(format!("/proc/{pid}/environ"), CAP, READ_LIMIT)
        .map(|bytes| parse_environ(&bytes));
    // A bundle often holds no environment, and then none is assumed.
    let hidden = matches!(&environ, Err(why) if !matches!(why, Missing::NotPresent { .. }));
    let environ = environ.unwrap_or_default();
    let variable = |name: &str| {
        environ
            .iter()
            .find(|(have, _)| have == name)
            .map(|(_, value)| value.as_str())
    };
    let config = flag_value(argv, "config-file")
        .or_else(|| variable("ETCD_CONFIG_FILE"))
        .map(|path| root.read_text(path));
    let hidden = match &config {
        Some(read) => read.is_err(),
        None => hidden,
    };
    let config = config.and_then(Result::ok).unwrap_or_default();
    // etcd ignores all flags and variables once a configuration file is given.
    let setting = |flag: &str, env: &str| -> Option<String> {
        if !config.is_empty() {
            return config_value(&config, flag);
        }
        flag_value(argv, flag)
            .or_else(|| variable(env))
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
    };
    let name = setting("name", "ETCD_NAME");
    let data_dir = match kind {
        Kind::K3s => Some(k3s_dir(argv)),
        Kind::Plain => setting("data-dir", "ETCD_DATA_DIR").or_else(|| {
            // etcd's default is `NAME.etcd` in its working directory; the name's is `default`.
            (!argv.is_empty()).then(|| format!("{}.etcd", name.as_deref().unwrap_or("default")))
        }),
    }
    .map(|dir| absolute(root, pid, &dir));
    let wal_dir = setting("wal-dir", "ETCD_WAL_DIR").map(|dir| absolute(root, pid, &dir));
    let events = |text: &Option<String>| text.as_deref().is_some_and(|t| t.contains("events"));
    let unsafe_no_fsync = (!argv.is_empty()).then(|| {
        let value = if config.is_empty() {
            flag_value(argv, "unsafe-no-fsync").or_else(|| variable("ETCD_UNSAFE_NO_FSYNC"))
        } else {
            None
        };
        match (value, config_value(&config, "unsafe-no-fsync")) {
            (Some(value), _) => !matches!(value, "false" | "0" | "f" | "F" | "FALSE" | "False"),
            (None, value) => value.as_deref() == Some("true"),
        }
    });
    // What could not be read may say otherwise.
    let unsafe_no_fsync = unsafe_no_fsync.filter(|on| *on || !hidden);
    let status = root.read_text(format!("/proc/{pid}/status"));
    let of_status = |name: &str| match &status {
        Ok(text) => parse_kib(text, name).ok_or_else(|| unreadable(pid, "status", name)),
        Err(why) => Err(why.clone()),
    };
    EtcdProcess {
        pid,
        role: if events(&name) || events(&data_dir) {
            Role::Events
        } else {
            Role::Main
        },
        name,
        embedded: kind == Kind::K3s,
        data_dir,
        wal_dir,
        unsafe_no_fsync,
        started: started(boot, &stat),
        stat,
        nofile: root
            .read_text(format!("/proc/{pid}/limits"))
            .and_then(|text| {
                parse_nofile(&text).ok_or_else(|| unreadable(pid, "limits", "Max open files"))
            }),
        oom_score_adj: root
            .read_text(format!("/proc/{pid}/oom_score_adj"))
            .and_then(|text| {
                text.trim()
                    .parse()
                    .map_err(|_| unreadable(pid, "oom_score_adj", "a number"))
            }),
        swapped: of_status("VmSwap"),
        rss: of_status("VmRSS"),
        ionice: None,
        cgroups: parse(root, &format!("/proc/{pid}/cgroup"), parse_cgroups),
    }
}

fn absolute(root: &HostRoot, pid: u32, dir: &str) -> String {
    if dir.starts_with('/') {
        return dir.trim_end_matches('/').to_owned();
    }
    // The link's text, not what it resolves to here: the path is the process's own.
    let link = root.path().join(format!("proc/{pid}/cwd"));
    let cwd = std::fs::read_link(link)
        .ok()
        .and_then(|path| path.into_os_string().into_string().ok())
        .unwrap_or_default();
    format!("{}/{dir}", cwd.trim_end_matches('/'))
}

fn unreadable(pid: u32, file: &str, what: &str) -> Missing {
    Missing::Unreadable {
        source: format!("/proc/{pid}/{file}"),
        line: None,
        why: format!("no {what}"),
    }
}

fn parse<T>(root: &HostRoot, path: &str, parse: fn(&[u8]) -> Option<T>) -> Got<T> {
    let bytes = root.read_within(path, CAP, READ_LIMIT)?;
    parse(&bytes).ok_or_else(|| Missing::Unreadable {
        source: path.to_owned(),
        line: None,
        why: "not in the kernel's format".to_owned(),
    })
}

/// A plain value at the top of etcd's configuration file (YAML or JSON).
fn config_value(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let line = line.trim_end_matches([',', '\r']);
        let (key, value) = line.split_once(':')?;
        if line.starts_with([' ', '\t']) && !key.trim_start().starts_with('"') {
            return None;
        }
        (key.trim().trim_matches(['"', '\'']) == name).then_some(())?;
        let value = value.split(" #").next()?.trim().trim_matches(['"', '\'']);
        (!value.is_empty()).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &[u8] = b"27021 (etcd) 3.6) R 26931 26927 26927 0 -1 4194560 18490 0 0 0 688 217 0 0 5 -15 10 0 556971 12124028928 34388 18446744073709551615 4194304 16426417 140736650745728 0 0 0 0 1 2143420158 0 0 0 17 1 7 2 33 0 0 30400512 31009952 922857472 140736650749444 1 2 3 0\n";

    #[test]
    fn stat_with_brackets_in_the_name() {
        let stat = parse_proc_stat(STAT).unwrap();
        assert_eq!(stat.comm, "etcd) 3.6");
        assert_eq!((stat.state, stat.nice, stat.threads), ('R', -15, 10));
        assert_eq!(stat.cpu_ticks, 905);
        assert_eq!(stat.start_ticks, 556_971);
        assert_eq!(
            (stat.rt_priority, stat.policy, stat.blkio_ticks),
            (7, 2, 33)
        );
    }

    #[test]
    fn only_etcd_is_etcd() {
        for name in ["etcd", "etcd-3.6", "etcd-v3.5.1", "etcd3", "etcd.bin"] {
            assert!(is_etcd_name(name), "{name}");
        }
        for name in [
            "etcdctl",
            "etcd-manager",
            "etcd-doctor",
            "etcdutl",
            "etcd-defrag",
            "netcd",
        ] {
            assert!(!is_etcd_name(name), "{name}");
        }
    }

    #[test]
    fn small_files_of_a_process() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \nMax open files            20000                20000                files     \n";
        assert_eq!(parse_nofile(limits), Some(20_000));
        assert_eq!(parse_nofile("Max open files   unlimited"), Some(u64::MAX));
        assert_eq!(parse_nofile("Max open"), None);
        assert_eq!(
            parse_kib("VmRSS:\t  137640 kB\n", "VmRSS"),
            Some(140_943_360)
        );
        assert_eq!(parse_kib("VmRSS:\t  137", "VmRSS"), None);
        let groups = parse_cgroups(b"3:cpu,cpuacct:/a:b\n0::/c\n1:name=systemd:/\n").unwrap();
        assert_eq!(groups["cpu"], "/a:b");
        assert_eq!(groups[""], "/c");
        assert_eq!(parse_cgroups(b"torn"), None);
    }

    #[test]
    fn values_of_a_configuration_file() {
        let yaml = "name: \"m0\"\ndata-dir: /var/lib/etcd # here\nclient-transport-security:\n  data-dir: no\n";
        assert_eq!(
            config_value(yaml, "data-dir").as_deref(),
            Some("/var/lib/etcd")
        );
        assert_eq!(config_value(yaml, "name").as_deref(), Some("m0"));
        assert_eq!(
            config_value("{\n  \"name\": \"x\",\n}", "name").as_deref(),
            Some("x")
        );
        assert_eq!(config_value("", "name"), None);
    }

    #[test]
    fn a_tree_with_two_etcds_and_their_manager() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: &[u8]| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        write("proc/10/cmdline", b"/etcd-manager\0--data-dir=/x\0");
        write("proc/11/cmdline", b"/opt/etcd-v3.5.9-linux-amd64/etcd\0");
        write(
            "proc/11/environ",
            b"ETCD_DATA_DIR=/rootfs/mnt/master-vol-1/data\0ETCD_NAME=etcd-a\0",
        );
        write(
            "proc/12/cmdline",
            b"etcd\0--data-dir\0/var/lib/etcd-events/\0--wal-dir=/wal\0--unsafe-no-fsync\0",
        );
        write("proc/13/cmdline", b"sh\0-c\0exec etcd --name x\0");
        write(
            "proc/14/cmdline",
            b"etcd\0--config-file=/etc/etcd.yml\0--name=ignored\0",
        );
        write("etc/etcd.yml", b"name: filed\ndata-dir: /srv/etcd\n");
        // What cannot be read, here a folder in place of a file, may say so all the same.
        write("proc/15/cmdline", b"etcd\0--name=hidden\0");
        write("proc/15/environ/x", b"");
        write("proc/16/cmdline", b"etcd\0--config-file=/etc/no.yml\0");
        let root = HostRoot::new(dir.path());
        let found = scan(&root, None).etcd;
        assert_eq!(
            found.iter().map(|e| e.pid).collect::<Vec<_>>(),
            [11, 12, 14, 15, 16]
        );
        assert_eq!(found[3].unsafe_no_fsync, None);
        assert_eq!(found[4].unsafe_no_fsync, None);
        assert_eq!(found[0].name.as_deref(), Some("etcd-a"));
        assert_eq!(
            found[0].data_dir.as_deref(),
            Some("/rootfs/mnt/master-vol-1/data")
        );
        assert_eq!(found[0].unsafe_no_fsync, Some(false));
        assert_eq!(found[1].role, Role::Events);
        assert_eq!(found[1].data_dir.as_deref(), Some("/var/lib/etcd-events"));
        assert_eq!(found[1].wal_dir.as_deref(), Some("/wal"));
        assert_eq!(found[1].unsafe_no_fsync, Some(true));
        assert_eq!(found[2].name.as_deref(), Some("filed"));
        assert_eq!(found[2].data_dir.as_deref(), Some("/srv/etcd"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_do(bytes: Vec<u8>, text: String, cut in 0..STAT.len()) {
            let _ = parse_proc_stat(&bytes);
            let _ = parse_proc_stat(&STAT[..cut]);
            let _ = parse_cgroups(&bytes);
            let _ = parse_nofile(&text);
            let _ = parse_kib(&text, "VmRSS");
            let _ = config_value(&text, "name");
        }
    }
}
