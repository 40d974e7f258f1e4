//! Bytes that another thread makes: filled buffers come, used ones go back.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// How often one that waits looks whether it is to stop.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// A filled buffer.
#[derive(Debug, Default)]
pub(super) struct Filled {
    pub(super) bytes: Vec<u8>,
    /// Where in it what it is about stands.
    pub(super) range: Range<usize>,
    /// How many of its lines were longer and are cut.
    pub(super) cut_lines: u64,
}

impl Filled {
    pub(super) fn get(&self) -> &[u8] {
        self.bytes.get(self.range.clone()).unwrap_or_default()
    }
}

/// A filled buffer, or what went wrong after the last one.
pub(super) type Message = io::Result<Filled>;

/// The reading end.
#[derive(Debug)]
pub(super) struct Flow {
    /// Emptied when the source is over.
    receive: Option<Receiver<Message>>,
    /// Used buffers go back to be filled again.
    back: Sender<Vec<u8>>,
    current: Filled,
}

impl Flow {
    pub(super) fn new(receive: Receiver<Message>, back: Sender<Vec<u8>>) -> Self {
        Flow {
            receive: Some(receive),
            back,
            current: Filled::default(),
        }
    }

    fn receive(&mut self, stop: Option<&AtomicBool>) -> Option<Message> {
        let receive = self.receive.as_ref()?;
        let Some(stop) = stop else {
            return receive.recv().ok();
        };
        while !stop.load(Ordering::Relaxed) {
            match receive.recv_timeout(LOOK) {
                Ok(message) => return Some(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        None
    }

    /// The next buffer; `None` at the end, and when `stop` is set: a pipe may say nothing for ever.
    pub(super) fn next(&mut self, stop: Option<&AtomicBool>) -> io::Result<Option<&Filled>> {
        let message = self.receive(stop);
        let used = match message {
            Some(Ok(next)) => std::mem::replace(&mut self.current, next),
            other => {
                self.receive = None;
                let used = std::mem::take(&mut self.current);
                if let Some(Err(err)) = other {
                    return Err(err);
                }
                used
            }
        };
        if used.bytes.capacity() > 0 {
            self.back.send(used.bytes).ok();
        }
        Ok(self.receive.is_some().then_some(&self.current))
    }

    /// Copies what is there, or waits for it, as [`Self::next`] does.
    pub(super) fn read(&mut self, buf: &mut [u8], stop: Option<&AtomicBool>) -> io::Result<usize> {
        while self.current.range.is_empty() {
            if self.next(stop)?.is_none() {
                return Ok(0);
            }
        }
        let ready = self.current.get();
        let len = ready.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..len), ready.get(..len)) {
            to.copy_from_slice(from);
        }
        self.current.range.start += len;
        Ok(len)
    }
}
