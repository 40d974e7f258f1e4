//! Running processes: exact arguments and environment, secrets masked.

use std::collections::BTreeMap;
use std::time::Duration;

use super::argv::{self, Word};
use super::gather::ManifestModel;
use super::model::{Given, Instance, Means, Place, SourceKind};
use super::pods::etcd_role;
use super::secret::mask_env;
use crate::catalog::settings::Component;
use crate::formats::argv::{parse_cmdline, parse_environ};
use crate::target::HostRoot;

/// A process with more arguments than the kernel's usual limit is not read.
const MAX_BYTES: u64 = 2 << 20;
/// A read of `/proc/PID` that takes longer is given up: it can hang on a sick process.
const LIMIT: Duration = Duration::from_secs(2);
/// Processes looked at; a node with more is looked at in part, and that is said.
const MAX_PROCESSES: usize = 200_000;

/// Reads the processes under `proc` (`/proc` of the root).
pub(super) fn read(root: &HostRoot, proc: &str, model: &mut ManifestModel) {
    let entries = match root.list(proc) {
        Ok(entries) => entries,
        Err(missing) => {
            model.cannot_read(&missing);
            return;
        }
    };
    let pids = entries
        .iter()
        .filter(|entry| entry.is_dir)
        .filter_map(|entry| entry.name.to_str()?.parse::<u32>().ok());
    for (count, pid) in pids.enumerate() {
        if count >= MAX_PROCESSES {
            model.unread.push(format!(
                "only the first {MAX_PROCESSES} processes were looked at"
            ));
            return;
        }
        let dir = format!("{proc}/{pid}");
        let bytes = match read_file(root, &format!("{dir}/cmdline")) {
            Ok(bytes) => bytes,
            Err(missing) => {
                // Gone by now, or a bundle that holds other files of that process.
                if root.exists(format!("{dir}/cmdline")) {
                    model.unread.push(missing);
                }
                continue;
            }
        };
        let file = format!("{dir}/cmdline");
        let Some(mut instance) = of_cmdline(&bytes, &file) else {
            if let Some(name) = rancher_server(&bytes) {
                model.sign(name, "its server process", Place::new(&file, 0));
            }
            continue;
        };
        instance.pid = Some(pid);
        instance.service = read_file(root, &format!("{dir}/cgroup"))
            .ok()
            .map(|bytes| service_of(&String::from_utf8_lossy(&bytes)));
        if instance.component == Some(Component::Etcd) {
            match read_file(root, &format!("{dir}/environ")) {
                Ok(bytes) => environment(&bytes, &format!("{dir}/environ"), &mut instance),
                Err(missing) if root.exists(format!("{dir}/environ")) => {
                    // A variable there would be in force.
                    instance.unread.push(missing.clone());
                    model.unread.push(missing);
                }
                Err(_) => {}
            }
            instance.name = etcd_role(&instance);
        }
        binary(root, &dir, &mut instance);
        model.instances.push(instance);
    }
}

/// Several processes of one program on one node: the settings of one of them stand for it, and that is said.
pub(super) fn beside_one_another(instances: &[Instance]) -> Vec<String> {
    let mut all: BTreeMap<(&str, Option<&str>), Vec<&str>> = BTreeMap::new();
    for instance in instances {
        if instance.source == SourceKind::Process {
            all.entry((instance.name.as_str(), instance.node.as_deref()))
                .or_default()
                .push(&instance.place.file);
        }
    }
    all.retain(|_, files| files.len() > 1);
    let words = all.into_iter().map(|((name, node), files)| {
        let node = node.map_or_else(String::new, |node| format!(" on {node}"));
        format!(
            "{} processes run {name}{node} ({}): the settings of one were judged",
            files.len(),
            files.join(", ")
        )
    });
    words.collect()
}

fn read_file(root: &HostRoot, path: &str) -> Result<Vec<u8>, String> {
    let read = if root.is_live() {
        root.read_within(path, MAX_BYTES, LIMIT)
    } else {
        root.read(path, MAX_BYTES)
    };
    read.map_err(|missing| missing.to_string())
}

/// The systemd service in `/proc/PID/cgroup`, empty when there is none. Programs in containers of a service (`k3s.service`)
/// have a path that goes on below it: they are not started by its unit.
fn service_of(cgroup: &str) -> String {
    cgroup
        .lines()
        .filter_map(|line| line.rsplit('/').next())
        .find(|last| last.ends_with(".service"))
        .unwrap_or_default()
        .to_owned()
}

/// Whether a command line is that of a k3s or RKE2 server.
fn rancher_server(bytes: &[u8]) -> Option<&'static str> {
    let words = parse_cmdline(bytes);
    let first = words.first()?;
    // Both rewrite their title: `/usr/local/bin/k3s server` may be one word.
    let mut parts = first
        .split(' ')
        .chain(words.iter().skip(1).map(String::as_str));
    let program = parts.next()?.rsplit('/').next()?;
    let server = parts.next().is_some_and(|word| word == "server");
    match program {
        "k3s" | "k3s-server" if server || program == "k3s-server" => Some("k3s"),
        "rke2" if server => Some("rke2"),
        _ => None,
    }
}

/// The instance of a command line, if it runs a catalogued component.
pub(super) fn of_cmdline(bytes: &[u8], file: &str) -> Option<Instance> {
    let words: Vec<Word> = parse_cmdline(bytes)
        .into_iter()
        .map(|text| Word::new(text, 0))
        .collect();
    // A shell that only starts the program would count it twice.
    let first = words.first()?.text.rsplit('/').next()?;
    let own = Component::ALL.into_iter().any(|c| c.program() == first) || first == "hyperkube";
    if !own {
        return None;
    }
    let line = argv::read(&words, file, None);
    let component = line.component?;
    let mut instance = Instance::new(
        component.program(),
        SourceKind::Process,
        Place::new(file, 0),
    );
    instance.component = Some(component);
    instance.given = line.given;
    instance.bare = line.bare;
    instance.dangling = line.dangling;
    if let Some(program) = line.program {
        instance.note_binary(&program, Place::new(file, 0));
    }
    Some(instance)
}

fn environment(bytes: &[u8], file: &str, instance: &mut Instance) {
    for (name, value) in parse_environ(bytes) {
        if name.starts_with("ETCD_") {
            instance.given.push(Given {
                value: Some(mask_env(&name, &value)),
                name,
                means: Means::Env,
                place: Place::new(file, 0),
            });
        }
    }
}

/// The version in the path of the program (`/opt/etcd-v3.5.16-linux-amd64/etcd`).
fn binary(root: &HostRoot, dir: &str, instance: &mut Instance) {
    // Only the name of the target is wanted: it may lie in a container's file system.
    let link = format!("{dir}/exe");
    let Ok(target) = root.resolve(&link) else {
        return;
    };
    let inside = target.strip_prefix(root.path()).unwrap_or(&target);
    let text = format!("/{}", inside.display());
    if text == link {
        return;
    }
    instance.note_binary(&text, Place::new(&link, 0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_with_their_environment() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, bytes: &[u8]| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        put(
            "proc/7/cmdline",
            b"/usr/bin/etcd\0--name\0n1\0--data-dir=/d\0",
        );
        put(
            "proc/7/environ",
            b"ETCD_QUOTA_BACKEND_BYTES=5\0SECRET=x\0ETCD_DISCOVERY_PASSWORD=hunter2\0",
        );
        put("proc/8/cmdline", b"/bin/sh\0-c\0etcd --name=twice\0");
        put("proc/9/cmdline", b"etcd\0--data-dir=/var/lib/etcd-events\0");
        // A folder cannot be read: what it may set is not known.
        put("proc/90/cmdline", b"etcd\0--name=hidden\0");
        put("proc/90/environ/x", b"");
        put("proc/self/mountinfo", b"");
        std::os::unix::fs::symlink(
            "/opt/etcd-v3.5.16-linux-amd64/etcd",
            dir.path().join("proc/7/exe"),
        )
        .unwrap();
        let mut model = ManifestModel::default();
        read(&HostRoot::new(dir.path()), "/proc", &mut model);
        let names: Vec<_> = model
            .instances
            .iter()
            .map(|i| (i.name.as_str(), i.pid))
            .collect();
        assert_eq!(
            names,
            [
                ("etcd", Some(7)),
                ("etcd-events", Some(9)),
                ("etcd", Some(90))
            ]
        );
        let unread: Vec<usize> = model.instances.iter().map(|i| i.unread.len()).collect();
        assert_eq!(unread, [0, 0, 1]);
        assert_eq!(
            beside_one_another(&model.instances),
            [
                "2 processes run etcd (/proc/7/cmdline, /proc/90/cmdline): the settings of one were judged"
            ]
        );
        let etcd = &model.instances[0];
        assert_eq!(etcd.last("name"), Some("n1"));
        assert_eq!(etcd.version().unwrap().to_string(), "3.5.16");
        let shown = format!("{model:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("SECRET="));
        assert!(shown.contains("ETCD_QUOTA_BACKEND_BYTES"));
    }
}
