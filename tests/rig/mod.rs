//! A programmable disk: a file in a FUSE file system of this process under a loop device, so that
//! a real file system lies on a block device whose flushes, writes, limits, lies and power cuts
//! the test decides.
//!
//! Needs root, `/dev/fuse`, `losetup` and mkfs; where the machine has not all of it, [`FakeDisk::new`]
//! says what is missing and the test skips with that sentence.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "shared by several test binaries, each of which uses a part of it"
)]

pub mod fuse;
pub mod media;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use media::Media;

/// Names of the rig's folders begin with it; the process id follows.
const PREFIX: &str = "etcd-doctor-rig-";

/// A disk that does as the test says.
pub struct FakeDisk {
    /// What it holds, and how it behaves.
    pub media: Arc<Media>,
    /// The loop device: `/dev/loop3`.
    pub device: String,
    session: Option<fuser::BackgroundSession>,
    folder: PathBuf,
    mounts: Vec<PathBuf>,
    loops: Vec<String>,
    // One rig at a time: two processors are little, and times are looked at.
    _turn: File,
}

/// Runs a command; its standard error is the reason when it fails.
pub fn run(program: &str, args: &[&str]) -> Result<String, String> {
    let out = Command::new(program)
        .args(args)
        .output()
        .map_err(|err| format!("{program}: {err}"))?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned());
    }
    let why = String::from_utf8_lossy(&out.stderr);
    Err(format!("{program} {}: {}", args.join(" "), why.trim()))
}

/// Takes the turn of tests that look at times; held until the file is dropped.
pub fn turn() -> Result<File, String> {
    let path = std::env::temp_dir().join("etcd-doctor-rig.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|err| format!("{}: {err}", path.display()))?;
    file.lock().map_err(|err| format!("flock: {err}"))?;
    Ok(file)
}

impl FakeDisk {
    /// A disk of so many MiB without a file system; the reason where the machine cannot.
    pub fn new(mib: u64) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("a loop device needs root".to_owned());
        }
        if !Path::new("/dev/fuse").exists() {
            return Err("there is no /dev/fuse".to_owned());
        }
        run("losetup", &["--version"])?;
        let turn = turn()?;
        sweep();
        let folder = std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()));
        let fuse_at = folder.join("fuse");
        fs::create_dir_all(&fuse_at).map_err(|err| err.to_string())?;
        let media = Arc::new(Media::new(mib << 20));
        let session = fuse::mount(Arc::clone(&media), &fuse_at)?;
        let mut disk = FakeDisk {
            media,
            device: String::new(),
            session: Some(session),
            folder,
            mounts: Vec::new(),
            loops: Vec::new(),
            _turn: turn,
        };
        let image = fuse_at.join(fuse::IMAGE);
        disk.device = run("losetup", &["-f", "--show", image.to_str().unwrap()])?;
        disk.loops.push(disk.device.clone());
        // The setting outlives a device that an earlier test let go of.
        disk.write_cache("write back")?;
        Ok(disk)
    }

    /// The kernel's name of the device: `loop3`.
    pub fn name(&self) -> &str {
        self.device.trim_start_matches("/dev/")
    }

    /// Tells the kernel whether the device has a volatile cache: `write back`, `write through`.
    pub fn write_cache(&self, word: &str) -> Result<(), String> {
        let path = format!("/sys/block/{}/queue/write_cache", self.name());
        fs::write(&path, word).map_err(|err| format!("{path}: {err}"))
    }

    /// Makes a file system (`ext4`, `xfs`) and mounts it with these options.
    pub fn format(&mut self, kind: &str, options: &str) -> Result<PathBuf, String> {
        let mkfs = format!("mkfs.{kind}");
        match kind {
            // Nothing is left to be written in the background while a test counts.
            "ext4" => run(
                &mkfs,
                &[
                    "-q",
                    "-F",
                    "-b",
                    "4096",
                    "-E",
                    "lazy_itable_init=0,lazy_journal_init=0,nodiscard",
                    &self.device,
                ],
            )?,
            _ => run(&mkfs, &["-q", "-f", "-K", &self.device])?,
        };
        let device = self.device.clone();
        self.mount(&device, "disk", options)
    }

    fn mount(&mut self, device: &str, name: &str, options: &str) -> Result<PathBuf, String> {
        let at = self.folder.join(name);
        fs::create_dir_all(&at).map_err(|err| err.to_string())?;
        run("mount", &["-o", options, device, at.to_str().unwrap()])?;
        self.mounts.push(at.clone());
        Ok(at)
    }

    /// Cuts the power: what was not flushed is gone, and the device answers no more. Gives the
    /// folder where what survived is mounted again, from a copy.
    pub fn power_cut(&mut self) -> Result<PathBuf, String> {
        self.media.power_cut();
        let copy = self.folder.join("survived.img");
        self.media.save(&copy).map_err(|err| err.to_string())?;
        let device = run("losetup", &["-f", "--show", copy.to_str().unwrap()])?;
        self.loops.push(device.clone());
        self.mount(&device, "survived", "rw")
    }

    /// Counters of the device: `/sys/block/X/stat`.
    pub fn stat(&self) -> Vec<u64> {
        fs::read_to_string(format!("/sys/block/{}/stat", self.name()))
            .unwrap()
            .split_ascii_whitespace()
            .map(|word| word.parse().unwrap())
            .collect()
    }
}

impl Drop for FakeDisk {
    fn drop(&mut self) {
        // Nothing may wait for a slow disk now, nor fail.
        self.media.heal();
        for at in self.mounts.iter().rev() {
            if run("umount", &[at.to_str().unwrap()]).is_err() {
                run("umount", &["-l", at.to_str().unwrap()]).ok();
            }
        }
        for device in self.loops.iter().rev() {
            detach(device);
        }
        if let Some(session) = self.session.take() {
            session.umount_and_join().ok();
        }
        fs::remove_dir_all(&self.folder).ok();
    }
}

fn detach(device: &str) {
    let begin = Instant::now();
    while run("losetup", &["-d", device]).is_err() && begin.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Takes away what tests that were killed left behind.
fn sweep() {
    let mine = std::env::temp_dir().join(PREFIX);
    let mine = mine.to_str().unwrap();
    let dead = |path: &str| {
        path.strip_prefix(mine)
            .map(|rest| {
                rest.chars()
                    .take_while(char::is_ascii_digit)
                    .collect::<String>()
            })
            .is_some_and(|pid| !pid.is_empty() && !Path::new("/proc").join(pid).exists())
    };
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let lines: Vec<Vec<&str>> = mounts.lines().map(|l| l.split(' ').collect()).collect();
    for words in lines.iter().rev() {
        let at = words.get(1).copied().unwrap_or_default();
        if dead(at) {
            run("umount", &["-l", at]).ok();
            if words[0].starts_with("/dev/loop") {
                run("losetup", &["-d", words[0]]).ok();
            }
        }
    }
    for entry in fs::read_dir(std::env::temp_dir())
        .into_iter()
        .flatten()
        .flatten()
    {
        if dead(&entry.path().display().to_string()) {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}
