//! Follows what grows: the last file of every stream, standard input, and commands that go on.
//!
//! Files are polled; a pipe may not say anything for long, so each has a thread of its own.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use super::input::{FileId, LogFile, Plan, Source, Stream};
use super::reader::follow::{Follower, From};
use super::reader::{Chunk, ReadOptions, open};

/// Blocks of one file taken in a row before the others have their turn.
const IN_A_ROW: usize = 64;
/// Blocks of pipes on their way.
const AHEAD: usize = 16;

/// What came.
#[derive(Debug)]
pub enum News<'a> {
    /// A file begins: the first one, or after a rotation, a truncation or a restart.
    File(&'a LogFile),
    /// Whole lines.
    Lines(&'a [u8]),
    /// The file cannot be followed any more.
    Failed(&'a LogFile, io::Error),
}

/// What a thread reads from a pipe; nothing at its end.
type Message = (usize, LogFile, Option<io::Result<Vec<u8>>>);

/// All that is followed.
#[derive(Debug)]
pub struct Tails {
    options: ReadOptions,
    files: Vec<Tailed>,
    known: BTreeSet<FileId>,
    streams: Vec<(String, Option<String>)>,
    receive: Receiver<Message>,
    /// Pipes that have not ended.
    pipes: usize,
    /// Streams whose pipe said something.
    piped: BTreeSet<usize>,
}

#[derive(Debug)]
struct Tailed {
    stream: usize,
    file: LogFile,
    follower: Follower,
    /// Generation whose beginning was told.
    told: Option<u64>,
    /// Files of the same stream that came later.
    next: VecDeque<LogFile>,
}

/// Whether more can come from a file.
fn grows(file: &LogFile) -> bool {
    file.compression.is_none()
}

/// The plan without what is followed, and that: the last file of each stream, if it can grow.
pub fn split(plan: &Plan) -> (Plan, Vec<(usize, LogFile)>) {
    let mut now = plan.clone();
    let mut later = Vec::new();
    for (at, stream) in now.streams.iter_mut().enumerate() {
        if stream.files.last().is_some_and(grows)
            && let Some(mut file) = stream.files.pop()
        {
            if let Source::Command(argv) = &mut file.source
                && argv.iter().any(|arg| arg.starts_with("--unit="))
            {
                argv.push("--follow".to_owned());
                // Without it, following begins at the last ten lines.
                argv.push("--lines=all".to_owned());
            }
            later.push((at, file));
        }
    }
    (now, later)
}

impl Tails {
    /// Begins to follow. What cannot be opened is given back with the reason.
    pub fn new(
        plan: &Plan,
        followed: Vec<(usize, LogFile)>,
        options: ReadOptions,
    ) -> (Self, Vec<(String, io::Error)>) {
        let (send, receive) = sync_channel(AHEAD);
        let mut tails = Tails {
            options,
            files: Vec::new(),
            known: ids(&plan.streams).collect(),
            streams: plan.streams.iter().map(name).collect(),
            receive,
            pipes: 0,
            piped: BTreeSet::new(),
        };
        let mut bad = Vec::new();
        for (stream, file) in followed {
            let name = file.name.clone();
            if let Err(err) = tails.add(stream, file, &send) {
                bad.push((name, err));
            }
        }
        (tails, bad)
    }

    fn add(&mut self, stream: usize, file: LogFile, send: &SyncSender<Message>) -> io::Result<()> {
        if !matches!(file.source, Source::File { .. }) {
            pipe(stream, file, self.options, send.clone())?;
            self.pipes += 1;
            return Ok(());
        }
        let follower = Follower::new(&file, From::Start, &self.options)?;
        self.files.push(Tailed {
            stream,
            file,
            follower,
            told: None,
            next: VecDeque::new(),
        });
        Ok(())
    }

    /// Whether nothing can come any more.
    pub fn ended(&self) -> bool {
        self.files.is_empty() && self.pipes == 0
    }

    /// How many files and pipes are followed.
    pub fn count(&self) -> usize {
        self.files.len() + self.pipes
    }

    /// Gives what came by now; whether there was anything.
    pub fn poll(
        &mut self,
        on: &mut dyn FnMut(usize, News<'_>) -> io::Result<()>,
    ) -> io::Result<bool> {
        let mut any = false;
        let mut failed = Vec::new();
        for (at, tailed) in self.files.iter_mut().enumerate() {
            for _ in 0..IN_A_ROW {
                match tailed.poll(&self.options, on)? {
                    Polled::Some => any = true,
                    Polled::Nothing => break,
                    Polled::Failed => {
                        failed.push(at);
                        break;
                    }
                }
            }
        }
        for at in failed.into_iter().rev() {
            self.files.remove(at);
        }
        for _ in 0..IN_A_ROW {
            match self.receive.try_recv() {
                Ok((stream, file, said)) => {
                    any = true;
                    if self.piped.insert(stream) {
                        on(stream, News::File(&file))?;
                    }
                    match said {
                        Some(Ok(lines)) => on(stream, News::Lines(&lines))?,
                        Some(Err(err)) => on(stream, News::Failed(&file, err))?,
                        None => self.pipes -= 1,
                    }
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.pipes = 0;
                    break;
                }
            }
        }
        Ok(any)
    }

    /// Takes up files that came since: a container that was restarted writes a new one. Gives the
    /// streams that are new; their numbers go on from the last one.
    pub fn look_again(&mut self, plan: Plan) -> Vec<Stream> {
        let mut new = Vec::new();
        for mut stream in plan.streams {
            let at = self
                .streams
                .iter()
                .position(|known| *known == name(&stream));
            let known = &self.known;
            let fresh: Vec<LogFile> = stream
                .files
                .iter()
                .filter(|file| id(file).is_some_and(|id| !known.contains(&id)))
                .cloned()
                .collect();
            self.known.extend(fresh.iter().filter_map(id));
            match at {
                Some(at) => {
                    if let Some(tailed) = self.files.iter_mut().find(|t| t.stream == at) {
                        for file in fresh.into_iter().filter(grows) {
                            // A rotation: the follower sees it by itself.
                            if file.name != tailed.file.name
                                && !tailed.next.iter().any(|next| next.name == file.name)
                            {
                                tailed.next.push_back(file);
                            }
                        }
                    }
                }
                None => {
                    let at = self.streams.len();
                    let Some(file) = fresh.into_iter().rfind(grows) else {
                        continue;
                    };
                    let Ok(follower) = Follower::new(&file, From::Start, &self.options) else {
                        continue;
                    };
                    self.streams.push(name(&stream));
                    self.files.push(Tailed {
                        stream: at,
                        file,
                        follower,
                        told: None,
                        next: VecDeque::new(),
                    });
                    stream.files.clear();
                    new.push(stream);
                }
            }
        }
        new
    }
}

enum Polled {
    Some,
    Nothing,
    Failed,
}

impl Tailed {
    fn poll(
        &mut self,
        options: &ReadOptions,
        on: &mut dyn FnMut(usize, News<'_>) -> io::Result<()>,
    ) -> io::Result<Polled> {
        let before = self.follower.generation();
        if self.told.is_none() {
            on(self.stream, News::File(&self.file))?;
            self.told = Some(before);
        }
        let polled = self.follower.poll();
        let fresh = match polled {
            Ok(Some(block)) => Ok(Some(block.bytes.to_vec())),
            Ok(None) => Ok(None),
            Err(err) => Err(err),
        };
        match fresh {
            Ok(Some(bytes)) => {
                let generation = self.follower.generation();
                if self.told != Some(generation) {
                    self.told = Some(generation);
                    on(self.stream, News::File(&self.file))?;
                }
                on(self.stream, News::Lines(&bytes))?;
                Ok(Polled::Some)
            }
            Ok(None) => match self.next.pop_front() {
                Some(file) => match Follower::new(&file, From::Start, options) {
                    Ok(follower) => {
                        (self.file, self.follower, self.told) = (file, follower, None);
                        Ok(Polled::Some)
                    }
                    Err(err) => {
                        on(self.stream, News::Failed(&file, err))?;
                        Ok(Polled::Nothing)
                    }
                },
                None => Ok(Polled::Nothing),
            },
            Err(err) => {
                on(self.stream, News::Failed(&self.file, err))?;
                Ok(Polled::Failed)
            }
        }
    }
}

fn name(stream: &Stream) -> (String, Option<String>) {
    (stream.id.clone(), stream.node.clone())
}

fn id(file: &LogFile) -> Option<FileId> {
    match file.source {
        Source::File { id, .. } => Some(id),
        _ => None,
    }
}

fn ids(streams: &[Stream]) -> impl Iterator<Item = FileId> {
    streams
        .iter()
        .flat_map(|stream| &stream.files)
        .filter_map(id)
}

/// Reads a pipe on a thread of its own until it ends or nobody listens.
fn pipe(
    stream: usize,
    file: LogFile,
    options: ReadOptions,
    send: SyncSender<Message>,
) -> io::Result<()> {
    let mut reader = open(&file, Chunk::WHOLE, &options, Vec::new())?;
    std::thread::Builder::new()
        .name("follow".to_owned())
        .spawn(move || {
            loop {
                let said = match reader.next_block() {
                    Ok(Some(block)) => Ok(block.bytes.to_vec()),
                    Ok(None) => break,
                    Err(err) => Err(err),
                };
                let over = said.is_err();
                if send.send((stream, file.clone(), Some(said))).is_err() || over {
                    break;
                }
            }
            send.send((stream, file, None)).ok();
        })?;
    Ok(())
}
