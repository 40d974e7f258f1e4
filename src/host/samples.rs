//! Timed samples of the same file: two live reads, or what a bundle recorded.
//!
//! A bundle names further samples by their time: `proc/diskstats-20261121T203805.693Z` beside
//! `proc/diskstats`, and `sys-block-loop0-stat-TIME` at the top for `sys/block/loop0/stat`. A file
//! without a time was taken at boot time plus uptime, which are in the tree too.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::target::HostRoot;

use super::{Got, Missing};

/// Largest file read here. Kernel files of counters are far smaller.
const CAP: u64 = 4 << 20;
/// Most samples of one file that are looked at.
const MAX_SAMPLES: usize = 10_000;
/// After so many reads that hang, no further process is read.
const MAX_HUNG: u32 = 4;
/// Two samples closer than this are one: the time of an untimed file is known to the second.
const APART_US: i64 = 1_500_000;
/// Where there are timed samples enough, an untimed one counts only so far from them: the boot second
/// has no fraction, so that its time is up to a second late, and a window to it as much too short.
const ROUGH_US: i64 = 10_000_000;
/// The shortest window that gives rates. Live windows may be short on purpose.
const SHORTEST_US: i64 = 100_000;

/// One reading of a file.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// When, where known.
    pub(super) at: Option<Timestamp>,
    /// The file, as the user would name it.
    pub(super) source: String,
    /// What it held.
    pub(super) bytes: Got<Vec<u8>>,
}

/// One parsed sample.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Timed<T> {
    /// When, where known.
    pub(super) at: Option<Timestamp>,
    /// The file.
    pub(super) source: String,
    /// Its value.
    pub(super) value: T,
}

/// All samples of all files that were asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples {
    by_path: BTreeMap<String, Vec<Sample>>,
}

impl Samples {
    /// Adds a sample.
    pub(super) fn push(&mut self, path: &str, sample: Sample) {
        self.by_path
            .entry(path.to_owned())
            .or_default()
            .push(sample);
    }

    /// The samples of a file by rising time, those that parse; or why there is none.
    pub(super) fn parsed<T>(
        &self,
        path: &str,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Got<Vec<Timed<T>>> {
        let mut good: Vec<Timed<T>> = Vec::new();
        let mut why = None;
        for sample in self.by_path.get(path).into_iter().flatten() {
            match &sample.bytes {
                Ok(bytes) => match parse(bytes) {
                    Some(value) => good.push(Timed {
                        at: sample.at,
                        source: sample.source.clone(),
                        value,
                    }),
                    None => {
                        why.get_or_insert(Missing::Unreadable {
                            source: sample.source.clone(),
                            line: None,
                            why: "not in the kernel's format".to_owned(),
                        });
                    }
                },
                Err(missing) => {
                    why.get_or_insert_with(|| missing.clone());
                }
            }
        }
        if good.is_empty() {
            return Err(why.unwrap_or(Missing::NotPresent {
                source: path.to_owned(),
            }));
        }
        good.sort_by_key(|sample| sample.at);
        Ok(good)
    }
}

/// Neighbouring samples with known times, far enough apart to be two.
pub(super) fn pairs<T>(samples: &[Timed<T>]) -> Vec<(&Timed<T>, &Timed<T>, f64)> {
    let mut pairs = Vec::new();
    let mut before: Option<&Timed<T>> = None;
    for sample in samples {
        let Some(at) = sample.at else { continue };
        if let Some((earlier, from)) = before.and_then(|b| Some((b, b.at?))) {
            let us = at.since_us(from);
            if us < SHORTEST_US {
                continue;
            }
            pairs.push((earlier, sample, us as f64 / 1e6));
        }
        before = Some(sample);
    }
    pairs
}

/// Both sources of a pair, in the form that merged origins have.
pub(super) fn sources<T>(a: &Timed<T>, b: &Timed<T>) -> String {
    if a.source == b.source {
        a.source.clone()
    } else {
        format!("{}, {}", a.source, b.source)
    }
}

/// Finds recorded samples in a tree.
pub(super) struct Recorded<'a> {
    root: &'a HostRoot,
    /// When the untimed files were taken.
    taken: Option<Timestamp>,
    /// Files at the top whose name ends in a time: name without the time, time, whole name.
    flat: Vec<(String, Timestamp, String)>,
    folders: BTreeMap<String, Vec<String>>,
}

impl<'a> Recorded<'a> {
    /// Looks at the top folder.
    pub(super) fn new(root: &'a HostRoot, taken: Option<Timestamp>) -> Self {
        let flat = names(root, "/")
            .into_iter()
            .filter_map(|name| {
                let (base, at) = split_timed(&name)?;
                Some((base.to_owned(), at, name.clone()))
            })
            .take(MAX_SAMPLES)
            .collect();
        Recorded {
            root,
            taken,
            flat,
            folders: BTreeMap::new(),
        }
    }

    /// Every device with a `sys-block-DEV-stat-TIME` file at the top.
    pub(super) fn sampled_devices(&self) -> Vec<String> {
        let mut devices: Vec<String> = self
            .flat
            .iter()
            .filter_map(|(base, ..)| {
                let name = base.strip_prefix("sys-block-")?.strip_suffix("-stat")?;
                Some(name.to_owned())
            })
            .collect();
        devices.sort();
        devices.dedup();
        devices
    }

    /// Adds all samples of a file.
    pub(super) fn load(&mut self, path: &str, into: &mut Samples) {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        let root = self.root;
        let siblings = self
            .folders
            .entry(folder.to_owned())
            .or_insert_with(|| names(root, &format!("{folder}/")));
        let mut found: Vec<(Option<Timestamp>, String)> = siblings
            .iter()
            .filter_map(|name| {
                let (base, at) = split_timed(name)?;
                (base == file).then(|| (Some(at), format!("{folder}/{name}")))
            })
            .collect();
        // `/sys/block/loop0/stat` is also `sys-block-loop0-stat` at the top.
        let flattened = path.trim_start_matches('/').replace('/', "-");
        found.extend(
            self.flat
                .iter()
                .filter(|(base, ..)| *base == flattened)
                .map(|(_, at, name)| (Some(*at), format!("/{name}"))),
        );
        found.sort();
        found.truncate(MAX_SAMPLES);
        let plain = root.read(path, CAP);
        let apart = match found.len() {
            0 | 1 => APART_US,
            _ => ROUGH_US,
        };
        let near = |at: Timestamp| {
            found
                .iter()
                .filter_map(|(have, _)| *have)
                .any(|have| have.since_us(at).abs() < apart)
        };
        // The untimed file is often a copy of a timed one; then it adds nothing.
        let is_new = plain.is_ok() && !self.taken.is_some_and(near);
        if found.is_empty() || is_new {
            into.push(
                path,
                Sample {
                    at: self.taken,
                    source: path.trim_start_matches('/').to_owned(),
                    bytes: plain,
                },
            );
        }
        for (at, name) in found {
            into.push(
                path,
                Sample {
                    at,
                    bytes: root.read(&name, CAP),
                    source: name.trim_start_matches('/').to_owned(),
                },
            );
        }
    }
}

/// Reads files of a live host once, each with its own time.
pub(super) fn take(
    root: &HostRoot,
    clock: Clock,
    paths: &[String],
    limit: Duration,
    into: &mut Samples,
) {
    let mut hung = 0;
    for path in paths {
        // Only reads about a process can hang; the others are answered from kernel memory.
        let of_process = path
            .strip_prefix("/proc/")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let at = clock.now();
        let bytes = if !of_process {
            root.read(path, CAP)
        } else if hung < MAX_HUNG {
            root.read_within(path, CAP, limit)
        } else {
            Err(Missing::NotCollected)
        };
        hung += u32::from(matches!(bytes, Err(Missing::TimedOut { .. })));
        into.push(
            path,
            Sample {
                at: Some(at),
                source: path.clone(),
                bytes,
            },
        );
    }
}

/// Reads files that are one reading together, so that they share one time.
pub(super) fn take_together(root: &HostRoot, clock: Clock, paths: &[String], into: &mut Samples) {
    let at = clock.now();
    for path in paths {
        into.push(
            path,
            Sample {
                at: Some(at),
                source: path.clone(),
                bytes: root.read(path, CAP),
            },
        );
    }
}

/// File names of a folder, those that are UTF-8.
pub(super) fn names(root: &HostRoot, folder: &str) -> Vec<String> {
    root.list(folder)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|entry| entry.name.into_string().ok())
        .collect()
}

/// Splits a name at the time it ends in: `diskstats-20261121T203805.693Z`.
pub(super) fn split_timed(name: &str) -> Option<(&str, Timestamp)> {
    name.char_indices()
        .filter(|(_, c)| matches!(c, '-' | '.' | '@' | '_'))
        .find_map(|(at, _)| {
            let (base, rest) = name.split_at_checked(at)?;
            let at = parse_stamp(rest.get(1..)?)?;
            (!base.is_empty()).then_some((base, at))
        })
}

/// Reads `20261121T203805.693Z`, RFC 3339, or seconds or milliseconds since the epoch.
fn parse_stamp(text: &str) -> Option<Timestamp> {
    if text.len() >= 10 && text.bytes().all(|b| b.is_ascii_digit()) {
        let number: i64 = text.parse().ok()?;
        return match text.len() {
            10 => Some(Timestamp::from_secs(number)),
            13 => Some(Timestamp(number.checked_mul(1000)?)),
            _ => None,
        };
    }
    // A date alone would make `report-2026` a sample; a time of day is required.
    let (date, time) = text.split_once('T')?;
    if date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit()) {
        let time = time.trim_end_matches('Z');
        let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
        if clock.len() != 6 || !clock.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let text = format!(
            "{}-{}-{}T{}:{}:{}.{fraction}Z",
            date.get(..4)?,
            date.get(4..6)?,
            date.get(6..)?,
            clock.get(..2)?,
            clock.get(2..4)?,
            clock.get(4..)?
        );
        return Timestamp::parse(&text);
    }
    // Colons are often written as dashes in file names.
    let time = time.replacen('-', ":", 2);
    Timestamp::parse(&format!("{date}T{time}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_times() {
        let at = Timestamp::parse("2026-11-21T20:38:05.693Z").unwrap();
        for name in [
            "diskstats-20261121T203805.693Z",
            "diskstats-2026-11-21T20:38:05.693Z",
            "diskstats-2026-11-21T20-38-05.693Z",
            "diskstats.1795293485693",
        ] {
            assert_eq!(split_timed(name), Some(("diskstats", at)), "{name}");
        }
        assert_eq!(
            split_timed("sys-block-dm-0-stat-20261121T203805Z").map(|(base, _)| base),
            Some("sys-block-dm-0-stat")
        );
        for name in [
            "diskstats",
            "cpu.stat",
            "-20261121T203805Z",
            "a-2026",
            "a-20261121T2038Z",
        ] {
            assert_eq!(split_timed(name), None, "{name}");
        }
    }

    #[test]
    fn untimed_and_timed_files_are_one_series() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("sys/block/loop0")).unwrap();
        std::fs::write(dir.path().join("sys/block/loop0/stat"), "1").unwrap();
        std::fs::write(
            dir.path().join("sys-block-loop0-stat-20261121T203805.000Z"),
            "1",
        )
        .unwrap();
        std::fs::write(
            dir.path().join("sys-block-loop0-stat-20261121T203815.000Z"),
            "3",
        )
        .unwrap();
        let root = HostRoot::new(dir.path());
        let read = |taken: Option<&str>| {
            let mut samples = Samples::default();
            let taken = taken.and_then(Timestamp::parse);
            let mut recorded = Recorded::new(&root, taken);
            assert_eq!(recorded.sampled_devices(), ["loop0"]);
            recorded.load("/sys/block/loop0/stat", &mut samples);
            let parse = |bytes: &[u8]| String::from_utf8_lossy(bytes).parse::<u32>().ok();
            let series = samples.parsed("/sys/block/loop0/stat", parse).unwrap();
            let pairs = pairs(&series).len();
            (
                series.into_iter().map(|s| s.value).collect::<Vec<_>>(),
                pairs,
            )
        };
        // Taken at the time of the first sample: the same reading.
        assert_eq!(read(Some("2026-11-21T20:38:05.4Z")), (vec![1, 3], 1));
        // Taken between or shortly after: windows to it would be off by more than a tenth.
        assert_eq!(read(Some("2026-11-21T20:38:10Z")), (vec![1, 3], 1));
        assert_eq!(read(Some("2026-11-21T20:38:24Z")), (vec![1, 3], 1));
        // A third sample.
        assert_eq!(read(Some("2026-11-21T20:38:26Z")), (vec![1, 3, 1], 2));
        // Time unknown: it cannot be one end of a window.
        assert_eq!(read(None), (vec![1, 1, 3], 1));
    }

    proptest::proptest! {
        #[test]
        fn names_never_panic(name: String) {
            let _ = split_timed(&name);
        }
    }
}
