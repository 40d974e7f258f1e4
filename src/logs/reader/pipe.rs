//! Sources that can only be read in sequence: compressed files, pipes, standard input, commands.

use std::fs::File;
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use crate::formats::inflate::Inflate;
use crate::logs::input::Source;

use super::ReadOptions;
use super::flow::{Filled, Flow, Message};
use super::pace::{Breath, GuestFile, PIECE, Pace};

/// Bytes of a buffer that goes from the inflating thread to the parsing one.
const BUFFER: usize = 1 << 20;
/// Buffers on their way.
const AHEAD: usize = 2;
/// Most that is kept of what a command says on its standard error.
const STDERR_MAX: u64 = 4096;
/// Bytes that a command may be ahead of a guest.
const PIPE_OF_GUEST: u32 = 16 << 10;

/// The reading end.
#[derive(Debug)]
pub(super) struct Pipe {
    flow: Flow,
    bytes_read: Arc<AtomicU64>,
    breath: Option<Breath>,
}

impl Pipe {
    /// A compressed file.
    pub(super) fn inflate(file: File, options: &ReadOptions) -> io::Result<Self> {
        match options.guest {
            None => Pipe::spawn(|| Ok(file), None, options),
            Some(pace) => Pipe::spawn(move || Ok(Guest::new(file, pace)), None, options),
        }
    }

    /// A pipe, standard input, or a command.
    pub(super) fn open(source: &Source, options: &ReadOptions) -> io::Result<Self> {
        match source {
            Source::File { path, .. } | Source::Pipe(path) => {
                // A fifo opens when somebody writes to it, which may be never.
                let path = path.clone();
                Pipe::spawn(move || crate::logs::input::open(&path), None, options)
            }
            Source::Stdin => Pipe::spawn(|| Ok(io::stdin()), None, options),
            Source::Command(argv) => {
                let (program, args) = argv
                    .split_first()
                    .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no command"))?;
                let mut child = Command::new(program)
                    .args(args)
                    .stdin(Stdio::null())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()?;
                let out = child
                    .stdout
                    .take()
                    .ok_or_else(|| io::Error::other("no output of the command"))?;
                if options.guest.is_some() {
                    // A full pipe stops the command soon.
                    crate::sys::set_pipe_size(&out, PIPE_OF_GUEST).ok();
                }
                Pipe::spawn(|| Ok(out), Some(Running(child)), options)
            }
        }
    }

    fn spawn<R: Read>(
        source: impl FnOnce() -> io::Result<R> + Send + 'static,
        child: Option<Running>,
        options: &ReadOptions,
    ) -> io::Result<Self> {
        let (send, receive) = sync_channel(AHEAD);
        let (back, empty) = channel();
        let bytes_read = Arc::new(AtomicU64::new(0));
        let limits = options.limits;
        let pace = options.guest;
        let count = Arc::clone(&bytes_read);
        thread::Builder::new()
            .name("inflate".to_owned())
            .spawn(move || {
                let mut child = child;
                match source().and_then(|source| Inflate::new(source, limits)) {
                    Ok(mut inflate) => {
                        let rests = pace.map(|pace| Rests::new(pace, child.as_ref()));
                        let over = pump(&mut inflate, &send, &empty, &count, rests);
                        // Nobody listens any more, or the command is over.
                        if !over && let Some(child) = &mut child {
                            child.0.kill().ok();
                        }
                    }
                    Err(err) => {
                        send.send(Err(err)).ok();
                    }
                }
                if let Some(err) = child.and_then(Running::failure) {
                    send.send(Err(err)).ok();
                }
            })?;
        Ok(Pipe {
            flow: Flow::new(receive, back),
            bytes_read,
            breath: pace.map(Breath::new),
        })
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }
}

/// Fills buffers until the source is over (`true`) or nobody takes them (`false`).
fn pump<R: Read>(
    inflate: &mut Inflate<R>,
    send: &SyncSender<Message>,
    empty: &Receiver<Vec<u8>>,
    count: &AtomicU64,
    mut rests: Option<Rests>,
) -> bool {
    let most = if rests.is_some() { PIECE } else { BUFFER };
    loop {
        let mut buf = empty.try_recv().unwrap_or_default();
        buf.resize(BUFFER, 0);
        let mut len = 0;
        // A slow pipe gives little at a time, and what it gives must not wait.
        let err = loop {
            let end = (len + most).min(BUFFER);
            let room = buf.get_mut(len..end).unwrap_or_default();
            match inflate.read(room) {
                Ok(0) => break None,
                Ok(more) => len += more,
                Err(err) => break Some(err),
            }
            if let Some(rests) = &mut rests {
                rests.take(inflate.bytes_in());
            }
            if len == BUFFER || inflate.compression().is_none() {
                break None;
            }
        };
        count.store(inflate.bytes_in(), Ordering::Relaxed);
        let over = len == 0 && err.is_none();
        let filled = Filled {
            bytes: buf,
            range: 0..len,
            cut_lines: 0,
        };
        if !over && len > 0 && send.send(Ok(filled)).is_err() {
            return false;
        }
        if let Some(err) = err {
            send.send(Err(err)).ok();
            return true;
        }
        if over {
            return true;
        }
    }
}

impl Pipe {
    /// Reads until `stop` is set, which is an end: a pipe may say nothing for ever.
    pub(super) fn until<'p>(&'p mut self, stop: &'p AtomicBool) -> Until<'p> {
        Until { pipe: self, stop }
    }

    fn read_until(&mut self, buf: &mut [u8], stop: Option<&AtomicBool>) -> io::Result<usize> {
        let len = self.flow.read(buf, stop)?;
        if len > 0
            && let Some(breath) = &mut self.breath
        {
            breath.take(0, Duration::ZERO);
        }
        Ok(len)
    }
}

impl Read for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_until(buf, None)
    }
}

/// A pipe that ends when it is told to.
pub(super) struct Until<'p> {
    pipe: &'p mut Pipe,
    stop: &'p AtomicBool,
}

impl Read for Until<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.pipe.read_until(buf, Some(self.stop))
    }
}

/// A file that is read as a guest.
struct Guest {
    file: GuestFile,
    at: u64,
}

impl Guest {
    fn new(file: File, pace: &'static Pace) -> Self {
        GuestFile::no_read_ahead(&file);
        Guest {
            file: GuestFile::new(file, None, pace),
            at: 0,
        }
    }
}

impl Read for Guest {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(buf, self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

/// The rests of the inflating thread, and of the command that it reads from: that one stops when
/// its pipe is full.
struct Rests {
    breath: Breath,
    /// The command, and the processor time that it had used.
    command: Option<(u32, Duration)>,
    bytes: u64,
}

impl Rests {
    fn new(pace: &'static Pace, child: Option<&Running>) -> Self {
        Rests {
            breath: Breath::new(pace),
            command: child.map(|child| (child.0.id(), Duration::ZERO)),
            bytes: 0,
        }
    }

    fn take(&mut self, bytes_in: u64) {
        let (mut bytes, mut others) = (bytes_in.saturating_sub(self.bytes), Duration::ZERO);
        self.bytes = bytes_in;
        if let Some((pid, before)) = &mut self.command {
            // How much a command will say is not known, so it is not part of the plan.
            bytes = 0;
            if let Some(now) = crate::sys::process_cpu(*pid) {
                others = now.saturating_sub(*before);
                *before = now;
            }
        }
        self.breath.take(bytes, others);
    }
}

/// A command that is not left behind.
#[derive(Debug)]
struct Running(Child);

impl Running {
    /// Waits for its end; what it says when that is not a good one.
    fn failure(mut self) -> Option<io::Error> {
        let mut said = Vec::new();
        if let Some(stderr) = self.0.stderr.take() {
            stderr.take(STDERR_MAX).read_to_end(&mut said).ok();
        }
        let status = self.0.wait().ok()?;
        if status.success() || status.code().is_none() {
            return None;
        }
        let said = String::from_utf8_lossy(&said);
        Some(io::Error::other(format!("{status}: {}", said.trim())))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
