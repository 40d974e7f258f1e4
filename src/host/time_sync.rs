//! Whether the clock is kept in step: the kernel's own answer, the time daemons that run, and
//! recorded output of `chronyc tracking` or `timedatectl`.

use crate::sys::ClockDiscipline;
use crate::target::HostRoot;

/// What is known about the clock.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeSync {
    /// Whether it is in step; `None` when nothing tells.
    pub synced: Option<bool>,
    /// Where that comes from.
    pub source: String,
    /// Offset from the source in milliseconds, where a daemon says it.
    pub offset_ms: Option<f64>,
    /// Upper bound of the error in milliseconds.
    pub max_error_ms: Option<f64>,
    /// Time daemons that run.
    pub daemons: Vec<String>,
}

/// Names of time daemons, cut to 15 bytes as the kernel does.
const DAEMONS: &[&str] = &[
    "chronyd",
    "ntpd",
    "ntpsec",
    "openntpd",
    "systemd-timesyn",
    "ptp4l",
    "phc2sys",
    "timesyncd",
];

/// Puts together what a tree and the kernel tell. `kernel` is the answer of the running one.
pub(super) fn read<'a>(
    root: &HostRoot,
    processes: impl Iterator<Item = &'a String>,
    kernel: Option<ClockDiscipline>,
) -> TimeSync {
    let mut daemons: Vec<String> = processes
        .filter(|name| DAEMONS.contains(&name.as_str()))
        .cloned()
        .collect();
    daemons.sort();
    daemons.dedup();
    let mut sync = TimeSync {
        daemons,
        ..TimeSync::default()
    };
    // Recorded answers first: they are what the node's daemon itself said.
    for name in super::samples::names(root, "/") {
        if !(name.contains("chronyc") || name.contains("timedatectl")) {
            continue;
        }
        if let Ok(text) = root.read_text(format!("/{name}")) {
            let (synced, offset) = parse_report(&text);
            if synced.is_some() {
                sync.synced = synced;
                sync.source.clone_from(&name);
            }
            sync.offset_ms = offset.or(sync.offset_ms);
        }
    }
    if let Some(kernel) = kernel {
        sync.max_error_ms = Some(kernel.max_error_us as f64 / 1e3);
        if sync.synced.is_none() {
            sync.synced = Some(kernel.synced);
            "adjtimex".clone_into(&mut sync.source);
        }
    }
    // systemd-timesyncd touches this file once it is in step.
    const FLAG: &str = "/run/systemd/timesync/synchronized";
    if sync.synced.is_none() && root.exists(FLAG) {
        sync.synced = Some(true);
        FLAG.clone_into(&mut sync.source);
    }
    sync
}

/// Reads `chronyc tracking` or `timedatectl`: whether in step, and the offset in milliseconds.
pub fn parse_report(text: &str) -> (Option<bool>, Option<f64>) {
    let mut synced = None;
    let mut offset = None;
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':').or_else(|| line.split_once('=')) else {
            continue;
        };
        let value = value.trim();
        match name.trim() {
            // chronyc: "Normal", "Insert second", "Not synchronised".
            "Leap status" => synced = Some(!value.starts_with("Not")),
            // chronyc: "0.000012 seconds slow of NTP time".
            "System time" => {
                let number = value.split_ascii_whitespace().next();
                let number = number.and_then(|word| word.parse::<f64>().ok());
                let sign = if value.contains("slow") { -1.0 } else { 1.0 };
                offset = number.map(|secs| secs * 1e3 * sign);
            }
            // timedatectl, by age.
            "System clock synchronized" | "NTP synchronized" | "NTPSynchronized" => {
                synced = Some(value == "yes");
            }
            _ => {}
        }
    }
    (synced, offset.filter(|ms| ms.is_finite()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_daemons_say() {
        let chrony = "Reference ID    : A9FEA97B\nSystem time     : 0.000250000 seconds slow of NTP time\nLeap status     : Normal\n";
        assert_eq!(parse_report(chrony), (Some(true), Some(-0.25)));
        let lost = "Leap status     : Not synchronised\n";
        assert_eq!(parse_report(lost).0, Some(false));
        let timedatectl = "System clock synchronized: no\n              NTP service: active\n";
        assert_eq!(parse_report(timedatectl).0, Some(false));
        assert_eq!(parse_report("nothing"), (None, None));
    }

    #[test]
    fn the_daemons_answer_stands_above_the_kernels() {
        let dir = tempfile::tempdir().unwrap();
        let root = HostRoot::new(dir.path());
        let kernel = Some(ClockDiscipline {
            synced: false,
            max_error_us: 16_000_000,
            estimated_error_us: 0,
        });
        let names = ["chronyd".to_owned(), "etcd".to_owned()];
        let sync = read(&root, names.iter(), kernel);
        assert_eq!(sync.synced, Some(false));
        assert_eq!(sync.daemons, ["chronyd"]);
        std::fs::write(
            dir.path().join("chronyc-tracking"),
            "Leap status : Normal\n",
        )
        .unwrap();
        let sync = read(&root, names.iter(), kernel);
        assert_eq!(sync.synced, Some(true));
        assert_eq!(sync.source, "chronyc-tracking");
        assert_eq!(
            read(&HostRoot::new("/nowhere"), [].iter(), None).synced,
            None
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_does(text: String) {
            let _ = parse_report(&text);
        }
    }
}
