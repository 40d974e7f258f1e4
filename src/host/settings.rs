//! Settings of the kernel that matter to etcd's latency: governor, huge pages, swappiness, clock
//! source, write-back limits. Hygiene: none of them is a cause by itself.

use std::collections::BTreeMap;

use crate::target::HostRoot;

/// One setting as it is, with the file it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name in evidence.
    pub name: &'static str,
    /// Its value; for a choice, the chosen one.
    pub value: String,
    /// The file.
    pub source: String,
}

/// Plain files with one value each. Where the kernel offers a choice, the chosen one is in
/// brackets.
const FILES: &[(&str, &str)] = &[
    ("kernel", "/proc/sys/kernel/osrelease"),
    ("swappiness", "/proc/sys/vm/swappiness"),
    ("dirty-ratio", "/proc/sys/vm/dirty_ratio"),
    (
        "dirty-background-ratio",
        "/proc/sys/vm/dirty_background_ratio",
    ),
    ("overcommit-memory", "/proc/sys/vm/overcommit_memory"),
    ("thp", "/sys/kernel/mm/transparent_hugepage/enabled"),
    ("thp-defrag", "/sys/kernel/mm/transparent_hugepage/defrag"),
    (
        "clocksource",
        "/sys/devices/system/clocksource/clocksource0/current_clocksource",
    ),
    (
        "clocksource-available",
        "/sys/devices/system/clocksource/clocksource0/available_clocksource",
    ),
    ("file-max", "/proc/sys/fs/file-max"),
    (
        "hung-task-timeout-secs",
        "/proc/sys/kernel/hung_task_timeout_secs",
    ),
];

/// Reads the settings that are there.
pub(super) fn read(root: &HostRoot) -> Vec<Setting> {
    let mut settings = Vec::new();
    for (name, path) in FILES {
        let Ok(text) = root.read_text(path) else {
            continue;
        };
        let text = text.trim();
        let value = text
            .split_once('[')
            .and_then(|(_, rest)| rest.split_once(']'))
            .map_or(text, |(chosen, _)| chosen);
        if !value.is_empty() {
            settings.push(Setting {
                name,
                value: value.to_owned(),
                source: (*path).to_owned(),
            });
        }
    }
    if !settings.iter().any(|setting| setting.name == "kernel")
        && let Ok(text) = root.read_text("/proc/version")
        && let Some(release) = text.split_ascii_whitespace().nth(2)
    {
        settings.push(Setting {
            name: "kernel",
            value: release.to_owned(),
            source: "/proc/version".to_owned(),
        });
    }
    settings.extend(governors(root));
    settings
}

/// The frequency governors of all CPUs: one name, or several with their counts.
fn governors(root: &HostRoot) -> Option<Setting> {
    const FOLDER: &str = "/sys/devices/system/cpu";
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for name in super::samples::names(root, FOLDER) {
        let number = name.strip_prefix("cpu").unwrap_or("");
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let path = format!("{FOLDER}/{name}/cpufreq/scaling_governor");
        if let Ok(text) = root.read_text(path) {
            *counts.entry(text.trim().to_owned()).or_default() += 1;
        }
    }
    let value = match counts.len() {
        0 => return None,
        1 => counts.into_keys().next()?,
        _ => counts
            .iter()
            .map(|(name, count)| format!("{name} ({count})"))
            .collect::<Vec<_>>()
            .join(", "),
    };
    Some(Setting {
        name: "governor",
        value,
        source: format!("{FOLDER}/cpu*/cpufreq/scaling_governor"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_governors_and_the_version_file() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "sys/kernel/mm/transparent_hugepage/enabled",
            "always [madvise] never\n",
        );
        write("proc/version", "Linux version 5.14.0-70.el9 (x) #1 SMP\n");
        write(
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
            "powersave\n",
        );
        write(
            "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor",
            "powersave\n",
        );
        write("sys/devices/system/cpu/cpufreq/x", "");
        let find = |name: &str| {
            read(&HostRoot::new(dir.path()))
                .into_iter()
                .find(|setting| setting.name == name)
                .map(|setting| setting.value)
        };
        assert_eq!(find("thp").as_deref(), Some("madvise"));
        assert_eq!(find("kernel").as_deref(), Some("5.14.0-70.el9"));
        assert_eq!(find("governor").as_deref(), Some("powersave"));
        assert_eq!(find("swappiness"), None);
        write(
            "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor",
            "performance\n",
        );
        assert_eq!(
            find("governor").as_deref(),
            Some("performance (1), powersave (1)")
        );
    }
}
