//! Runs the program in a scrubbed environment and gives back exit code, stdout and stderr as one
//! text, with folders and the version masked.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "shared by several test binaries, each of which uses a part of it"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A run of the program.
pub struct Run {
    command: Command,
    home: tempfile::TempDir,
    stdin: Vec<u8>,
}

/// The folder of fixtures.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Starts a run with arguments, in an empty folder, with an empty environment.
pub fn doctor(args: &[&str]) -> Run {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_etcd-doctor"));
    command.args(args).env_clear().current_dir(home.path());
    command.stdin(Stdio::null());
    Run {
        command,
        home,
        stdin: Vec::new(),
    }
}

impl Run {
    /// Adds an argument that is a path.
    pub fn path(mut self, path: impl AsRef<Path>) -> Self {
        self.command.arg(path.as_ref());
        self
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: &str) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Feeds standard input.
    pub fn stdin(mut self, bytes: &[u8]) -> Self {
        self.stdin = bytes.to_vec();
        self.command.stdin(Stdio::piped());
        self
    }

    /// The folder it runs in.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs and gives the raw output.
    pub fn output(&mut self) -> Output {
        use std::io::Write;
        let mut child = self
            .command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        if let Some(mut input) = child.stdin.take() {
            let bytes = std::mem::take(&mut self.stdin);
            // The program may stop reading early.
            std::thread::spawn(move || input.write_all(&bytes).ok());
        }
        child.wait_with_output().unwrap()
    }

    /// Runs and gives the raw output and the most memory that was resident, in bytes.
    pub fn output_and_peak(&mut self) -> (Output, u64) {
        let child = self
            .command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let status = PathBuf::from(format!("/proc/{}/status", child.id()));
        let watch = std::thread::spawn(move || {
            let mut peak = 0;
            // Gone, or a zombie, which has no memory.
            while let Some(kib) = std::fs::read_to_string(&status)
                .ok()
                .as_deref()
                .and_then(high_water)
            {
                peak = kib;
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            peak * 1024
        });
        let output = child.wait_with_output().unwrap();
        (output, watch.join().unwrap())
    }

    /// Starts it and gives the child, for tests that send signals.
    pub fn spawn(&mut self) -> std::process::Child {
        self.command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs and gives exit code, stdout and stderr as one masked text.
    pub fn text(mut self) -> String {
        let output = self.output();
        let text = format!(
            "exit {}\n--- stdout\n{}--- stderr\n{}",
            output
                .status
                .code()
                .map_or_else(|| "signal".to_owned(), |code| code.to_string()),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        mask(&text, self.home.path())
    }

    /// Runs, expects success, and parses stdout as JSON Lines.
    pub fn json_lines(mut self) -> Vec<serde_json::Value> {
        let output = self.output();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|err| panic!("{err}: {line}")))
            .collect()
    }

    /// Runs, expects success of a kind, and parses stdout as JSON.
    pub fn json(mut self) -> serde_json::Value {
        let output = self.output();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|err| {
            panic!(
                "no JSON ({err}); exit {:?}\n{}\n{}",
                output.status.code(),
                String::from_utf8_lossy(&output.stdout)
                    .chars()
                    .take(2000)
                    .collect::<String>(),
                String::from_utf8_lossy(&output.stderr)
            )
        })
    }
}

/// The largest resident size so far, in KiB.
fn high_water(status: &str) -> Option<u64> {
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// A file's text.
pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The diagnosis of bundles, as JSON.
pub fn diagnose(bundles: &[impl AsRef<Path>]) -> serde_json::Value {
    let run = doctor(&["diagnose", "--format", "json", "--bundle"]);
    bundles.iter().fold(run, Run::path).json()
}

/// A recorded control plane, unpacked into a folder of its name.
pub fn capture(name: &str, into: &Path) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = format!("{name}.tar.zst");
    let path = [root.join("tests/fixtures/captures"), root.join("demo")]
        .into_iter()
        .map(|folder| folder.join(&file))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("no {file}"));
    let bytes = zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap();
    tar::Archive::new(bytes.as_slice()).unpack(into).unwrap();
    into.join(name)
}

/// What `logs --emit events` says of a text, with one thread.
pub fn events(text: impl AsRef<[u8]>) -> Vec<serde_json::Value> {
    doctor(&["logs", "--emit", "events", "--threads", "1", "-"])
        .stdin(text.as_ref())
        .json_lines()
}

/// Replaces what differs between machines and releases.
pub fn mask(text: &str, home: &Path) -> String {
    text.replace(&home.display().to_string(), "[HOME]")
        .replace(&fixtures().display().to_string(), "[FIXTURES]")
        .replace(env!("CARGO_PKG_VERSION"), "[VERSION]")
}
